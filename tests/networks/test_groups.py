"""Group convolutions turn with the image, and the networks made of them do not change their mind."""

from __future__ import annotations

from itertools import product as pairs

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, rotate

from rgbench.networks.modules.build import build_network
from rgbench.networks.modules.groups import (
    GroupConv2d,
    elements,
    inverse,
    product,
    relative_table,
    steerable_basis,
)

QUARTERS = ["lenet-c4", "lenet-c8", "lenet-c16", "lenet-d4", "lenet-d8", "lenet-d16"]


def _sources(n: int, side: int, seed: int = 0) -> NDArray[np.float32]:
    """Draw smooth blobs within the central disc, (n, side, side)."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, side, side), dtype=np.float32)
    for image in images:
        for _ in range(4):
            row, column = (side / 2 + rng.uniform(-side / 5, side / 5, 2)).astype(int)
            image[row, column] = rng.uniform(20, 60)
    return np.stack([gaussian_filter(image, 2.0) for image in images]).astype(np.float32)


@pytest.mark.parametrize("group", ["C1", "C6", "D1", "D4"])
def test_the_group_axioms(group: str) -> None:
    members, turns = elements(group), int(group[1:])
    for a, b, c in pairs(members, repeat=3):
        assert product(product(a, b, turns), c, turns) == product(a, product(b, c, turns), turns)
    for a in members:
        assert product(a, inverse(a, turns), turns) == product(inverse(a, turns), a, turns) == (0, 0)
    table = relative_table(group)
    assert all(sorted(row.tolist()) == list(range(len(members))) for row in table)


def test_the_elements_act_on_the_basis_as_matrices_act_on_the_plane() -> None:
    """Sample each function at turned and mirrored points: an independent way to turn a kernel."""
    size, group = 5, "D8"
    fine = steerable_basis(size, group)
    grid = torch.arange(size) - size // 2
    for place, (s, k) in enumerate(elements(group)):
        if k % 2:
            continue  # only quarter turns map the grid onto itself
        angle = 2 * np.pi * k / 8
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.diag([1, -1 if s else 1])
        back = np.linalg.inv(matrix).round().astype(int)
        for y, x in pairs(grid.tolist(), repeat=2):
            x0, y0 = back @ np.array([x, y])
            moved = fine[0, :, y0 + size // 2, x0 + size // 2]
            torch.testing.assert_close(fine[place, :, y + 2, x + 2], moved, atol=1e-6, rtol=0)


@pytest.mark.parametrize("group", ["C4", "C8", "D4"])
def test_a_convolution_turns_with_its_input(group: str) -> None:
    """A quarter turn of the input turns the maps, and moves each field's channels on by a quarter."""
    order, quarter = len(elements(group)), int(group[1:]) // 4
    torch.manual_seed(0)
    lift = GroupConv2d(1, 3, 5, group, ((2, 2), (2, 2)), lift=True)
    regular = GroupConv2d(3 * order, 2, 5, group, ((2, 2), (2, 2)), lift=False)
    for layer in (lift, regular):
        torch.nn.init.normal_(layer.weight)
    x = torch.rand(1, 1, 15, 15)
    with torch.no_grad():
        plain, turned = (
            regular(lift(each)).unflatten(1, (2, order)) for each in (x, torch.rot90(x, -1, (2, 3)))
        )
    moved = torch.tensor(
        [elements(group).index(product((0, quarter), g, int(group[1:]))) for g in elements(group)]
    )
    expected = torch.rot90(plain, -1, (3, 4))
    torch.testing.assert_close(turned[:, :, moved], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("side", [64, 75])
@pytest.mark.parametrize("name", QUARTERS)
def test_quarter_turns_leave_the_output_unchanged(name: str, side: int) -> None:
    model = build_network(name, side, 4, seed=3).eval()
    x = torch.from_numpy(_sources(2, side))[:, None]
    with torch.no_grad():
        logits = model(x)
        for turns in (1, 2, 3):
            torch.testing.assert_close(model(torch.rot90(x, turns, (2, 3))), logits, rtol=0, atol=2e-5)
        mirrored = model(x.flip(3))
    assert torch.allclose(mirrored, logits, atol=2e-5) == ("-d" in name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "angle"), [("lenet-c8", 45), ("lenet-d8", 135), ("lenet-c16", 22.5)])
def test_other_turns_leave_it_unchanged_within_the_interpolation_error(name: str, angle: float) -> None:
    """Against the spread over sources the change is a tenth at most; a plain LeNet's exceeds the spread."""
    images = _sources(8, 100)
    turned = rotate(images, angle, axes=(1, 2), reshape=False, order=3)

    def change(network: str, seed: int) -> float:
        model = build_network(network, 100, 4, seed=seed).eval()
        with torch.no_grad():
            before, after = (model(torch.from_numpy(each)[:, None]) for each in (images, turned))
        return float((before - after).square().mean().sqrt() / before.std(dim=0).mean())

    def mean_change(network: str) -> float:
        return float(np.mean([change(network, seed) for seed in (3, 4, 5)]))

    assert mean_change(name) < min(0.1, 0.1 * mean_change("lenet"))
    assert mean_change(name) < 0.8 * mean_change("lenet-c4")


def test_the_flat_variant_of_the_authors_code_is_not_invariant() -> None:
    model = build_network("lenet-d4-flat", 64, 4, seed=3).eval()
    x = torch.from_numpy(_sources(2, 64))[:, None]
    with torch.no_grad():
        assert not torch.allclose(model(torch.rot90(x, 1, (2, 3))), model(x), atol=1e-3)
