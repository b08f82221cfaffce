"""Pre-training as an autoencoder: shapes come back, kernels are shared, the error falls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rgbench.errors import SpecError
from rgbench.networks.modules.build import build_layers, build_network
from rgbench.networks.notation.notation import parse_layers
from rgbench.spec import RecipeSpec
from rgbench.training.autoencoder import Autoencoder, _unfold, pretrain

RECIPE = RecipeSpec(
    epochs=1,
    batch_size=4,
    learning_rate=1e-3,
    pretraining="autoencoder",
    pretraining_epochs=40,
    pretraining_rate=5e-3,
)


@pytest.mark.parametrize(
    ("name", "size"), [("mcrgnet", 75), ("convxpress", 96), ("hosenie", 99), ("radio-galaxy-zoo", 100)]
)
def test_an_image_comes_back_in_its_own_shape(name: str, size: int) -> None:
    x = torch.rand(2, 1, size, size)
    decoded = Autoencoder(build_network(name, size, seed=1))(x)
    assert decoded.shape == x.shape
    assert bool((decoded >= 0).all())


def test_decoding_is_the_transpose_of_encoding() -> None:
    """<C x, y> = <x, C^T y>, by which the transpose is defined, for every kind of padding."""
    for line in ("C3x3-5 s2 same", "C4x4-5 s3 same", "C3x3-5 s2 valid", "C5x5-5 s1 pad1"):
        network = build_layers(parse_layers(f"{line} · Flat · FC{{classes}} softmax"), (12, 13), 2)
        conv = Autoencoder(network).encoder[0]
        assert isinstance(conv, nn.Conv2d)
        x = torch.randn(1, 1, 12, 13)
        y = torch.randn_like(conv(x))
        back = _unfold(y, conv, torch.zeros(1), x.shape)
        left, right = (conv(x) * y).sum(), (x * back).sum()
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_error_falls_and_the_kernels_are_those_of_the_network() -> None:
    network = build_network("mcrgnet", 48, seed=1)
    rng = np.random.default_rng(0)
    y, x = np.indices((48, 48)) - 23.5
    blobs = np.stack([np.exp(-(((x - a) ** 2 + (y - b) ** 2) / 20)) for a, b in rng.uniform(-8, 8, (16, 2))])
    images = torch.from_numpy(blobs.astype(np.float32))[:, None]
    asked: list[int] = []

    def epoch(number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        asked.append(number)
        return [(part, torch.zeros(len(part))) for part in images.split(4)]

    before = {key: value.clone() for key, value in network.state_dict().items()}
    losses = pretrain(network, epoch, RECIPE, seed=1)
    assert asked == list(range(-1, -41, -1))
    assert losses[-1] < 0.7 * losses[0]
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    output = [key for key in before if key.startswith(f"stack.{len(network.layers) - 1}.")]
    assert changed == set(before) - set(output)
    again = build_network("mcrgnet", 48, seed=1)
    assert pretrain(again, epoch, RECIPE, seed=1) == losses


@pytest.mark.parametrize(
    ("name", "reason"),
    [("rg-resnet", "Add has no mirror"), ("lenet", "Disc has no"), ("ag-cnn", "not known")],
)
def test_networks_without_a_mirror_image_are_refused(name: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        Autoencoder(build_network(name, 48, seed=1))
