"""The effective receptive field against what it must be for networks whose gradient is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rgbench.diagnostics.effective_field import effective_receptive_field, effective_size
from rgbench.errors import DataError
from rgbench.networks import describe_network
from rgbench.networks.modules.build import build_layers, build_network
from rgbench.networks.notation.notation import parse_layers


def test_two_boxes_make_a_tent() -> None:
    """Two linear 3x3 convolutions of ones: the gradient is the box with itself, 1 2 3 2 1."""
    network = build_layers(parse_layers("C3x3-1 same · C3x3-1 same · Flat · FC{classes} softmax"), 9, 2)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    field = effective_receptive_field(network, torch.rand(3, 1, 9, 9))
    tent = np.array([0, 0, 1, 2, 3, 2, 1, 0, 0]) / 9
    np.testing.assert_allclose(field, np.outer(tent, tent), atol=1e-7)
    assert effective_size(field) == 5


@pytest.mark.parametrize("name", ["mcrgnet", "rg-resnet", "deepsource"])
def test_it_lies_within_the_theoretical_one(name: str) -> None:
    facts = describe_network(name, 150)
    field = effective_receptive_field(build_network(name, 150, seed=1), torch.rand(4, 1, 150, 150))
    reach = facts["receptive_field"] + facts["stride"] * (facts["feature_map"][0] % 2 == 0)
    touched = np.flatnonzero(field.sum(0) > 0)
    assert touched.max() - touched.min() + 1 <= reach
    assert 0 < effective_size(field) <= reach
    assert np.isclose(field.sum(), 1)


def test_training_mode_is_kept_and_nothing_is_left_behind() -> None:
    network = build_network("mcrgnet", 50, seed=1).train()
    effective_receptive_field(network, torch.rand(1, 1, 50, 50))
    assert network.training
    assert all(not module._forward_hooks for module in network.modules())
    assert all(weight.grad is None for weight in network.parameters())


def test_what_cannot_be_measured() -> None:
    with pytest.raises(DataError, match="none is given"):
        effective_receptive_field(build_network("mcrgnet", 50, seed=1), torch.rand(0, 1, 50, 50))
    flat = build_layers(parse_layers("Flat · FC{classes} softmax"), 9, 2)
    with pytest.raises(DataError, match="no layer that gives a map"):
        effective_receptive_field(flat, torch.rand(1, 1, 9, 9))
