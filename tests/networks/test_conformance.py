"""One suite over every registered network: whatever is listed can be built, trained, exported and counted."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rgbench.errors import SpecError
from rgbench.networks import NetworkCard, describe_network, network_names, networks
from rgbench.networks.modules.build import Network, build_network
from rgbench.training.loss import cross_entropy

SIZES = (32, 48, 64, 100, 180, 200, 240, 300)
"""Sides in pixels; a network is tried at the smallest at which it can be built."""
N_CLASSES = 3


def _is_variant(name: str) -> bool:
    card = networks().get(name)
    return isinstance(card, NetworkCard) and bool(card.base)


def _marks(name: str) -> list[pytest.MarkDecorator]:
    """Leave variants, and what takes many seconds, to the full run."""
    return [pytest.mark.slow] if _is_variant(name) or name == "vgg19" else []


NAMES = [pytest.param(name, marks=_marks(name)) for name in network_names()]
every_network = pytest.mark.parametrize("name", NAMES)


def _smallest(name: str) -> int:
    for size in SIZES:
        try:
            describe_network(name, size, N_CLASSES)
        except SpecError:
            continue
        return size
    raise AssertionError(f"{name} can be built at none of {SIZES} pixels")


def _build(name: str, channels: int = 1, seed: int = 1) -> Network:
    return build_network(name, _smallest(name), N_CLASSES, channels, seed)


def _images(model: Network, n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    side = model.image_size
    assert isinstance(side, int)
    return torch.rand(n, model.channels, side, side, generator=generator)


@pytest.mark.slow
@every_network
def test_it_learns(name: str) -> None:
    model = _build(name)
    labels = torch.tensor([0, 1, 2])
    logits = model.train()(_images(model, 3))
    assert logits.shape == (3, N_CLASSES)
    (cross_entropy(logits, labels, model.activation_name) + model.l2_penalty()).backward()
    gradients = {key: weight.grad for key, weight in model.named_parameters()}
    lacking = [key for key, gradient in gradients.items() if gradient is None]
    assert not lacking
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values() if gradient is not None)
    assert any(gradient.abs().sum() > 0 for gradient in gradients.values() if gradient is not None)


@every_network
def test_it_takes_single_images_and_three_channels(name: str) -> None:
    model = _build(name, channels=3)
    model.train()(_images(model, 1)).sum().backward()
    images = _images(model, 2)
    with torch.no_grad():
        both, first = model.eval()(images), model(images[:1])
    assert torch.isfinite(both).all()
    torch.testing.assert_close(both[:1], first, rtol=1e-4, atol=1e-4 * float(both.abs().max()))
    outputs = model.activate(both)
    assert bool(((outputs >= 0) & (outputs <= 1)).all())


@every_network
def test_a_seed_decides_the_weights(name: str) -> None:
    first, again, other = (_build(name, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert any(not torch.equal(value, other[key]) for key, value in first.items())


@every_network
def test_it_exports(name: str) -> None:
    model = _build(name).eval()
    images = _images(model, 2)
    exported = torch.export.export(model, (images,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(images), model(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", network_names())
def test_it_is_counted_without_weights(name: str) -> None:
    """MACs are those that torch counts, parameters those of the module; neither needs a weight."""
    size = _smallest(name)
    facts = describe_network(name, size, N_CLASSES)
    model = build_network(name, size, N_CLASSES, device="meta").eval()
    assert all(weight.is_meta for weight in model.parameters())
    totals = []
    for n in (1, 2):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.zeros(n, 1, size, size, device="meta"))
        totals.append(counter.get_total_flops())
    assert facts["macs"] == (totals[1] - totals[0]) // 2
    assert facts["trainable_parameters"] == sum(weight.numel() for weight in model.parameters())
    assert facts["title"]
    assert facts["paper"]["citation"]


def test_every_registered_network_is_covered() -> None:
    covered = {param.values[0] for param in NAMES}
    assert covered == set(networks().names())
