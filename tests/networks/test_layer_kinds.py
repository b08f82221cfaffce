"""Kinds of layers from elsewhere: what they must keep, and what they become."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
import torch

from rgbench.errors import SpecError
from rgbench.networks.modules.build import build_layers
from rgbench.networks.notation import kinds
from rgbench.networks.notation.analysis import analyse
from rgbench.networks.notation.geometry import Window
from rgbench.networks.notation.kinds import LayerKind, layer_kinds
from rgbench.networks.notation.layers import Layer
from rgbench.networks.notation.notation import parse_layers, to_text


@dataclass(frozen=True)
class Mean(Layer):
    """A mean over windows of k x k pixels, at a step of k."""

    takes = "map"
    counts_as = "MaxPool"
    side: int
    loud: bool = False

    def __str__(self):
        return f"AP{self.side}{' loud' if self.loud else ''}"

    def window(self, shape):
        return Window((self.side, self.side), (self.side, self.side), "valid")

    def output_shape(self, shape):
        return (*self.window(shape).slide(shape), shape[2])


def make(layer, facts, generator):
    return torch.nn.AvgPool2d(layer.side)


def read(head, options):
    return Mean(int(head[1]), options.take("loud") is not None)


@pytest.fixture
def registry(monkeypatch):
    """A registry for one test."""
    fresh = cache(layer_kinds.__wrapped__)
    monkeypatch.setattr(kinds, "layer_kinds", fresh)
    return fresh()


def test_a_kind_from_elsewhere_is_parsed_counted_and_built(registry):
    registry.register("AP", LayerKind("AP2", r"AP(\d+)", read, make))
    layers = parse_layers("AP2 loud ×2; Add[= | AP1]; GAP; FC{classes} softmax")
    assert layers[0] == Mean(2, loud=True)
    assert to_text(layers) == "AP2 loud ×2 · Add[= | AP1] · GAP · FC{classes} softmax <gu>"
    facts = analyse(layers, 16, 3)
    assert (facts.receptive_field, facts.stride, facts.feature_map) == (4, 4, (4, 4, 1))
    model = build_layers(layers, 16, 3, generator=torch.Generator().manual_seed(1))
    x = torch.rand(2, 1, 16, 16)
    mean = 2 * x.mean(dim=(2, 3))
    torch.testing.assert_close(model(x), mean @ model.stack[-1].weight.T + model.stack[-1].bias)
    with pytest.raises(SpecError, match=r"'APx' is not a layer: unknown layer 'APx'; did you mean .*AP"):
        parse_layers("APx")
    with pytest.raises(
        SpecError, match="'AP' is not a layer; it is written like AP2; legal forms: C3x3.*, AP;"
    ):
        parse_layers("AP")
    with pytest.raises(SpecError, match=r"layer 1 \(AP32\) does not fit: its 32x32 window"):
        analyse(parse_layers("AP32 · GAP · FC{classes} softmax"), 16, 3)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "AP2",
            LayerKind("AP2", r"AP(\d+)", read, make),
            "the name is the letters that its word begins with",
        ),
        ("AP", LayerKind("AP2", r"AP(\d+)", read), "its kind has no module"),
        ("AP", LayerKind("AV2", r"AV(\d+)", read, make), "'AV2' does not begin with that name"),
        (
            "AP",
            LayerKind("APx", r"AP(\d+)", read, make),
            "'APx' does not begin .* or does not fit its pattern",
        ),
        (
            "AP",
            LayerKind("AP2", r"AP(\d+)", lambda head, options: 3, make),
            "its reader gave a int, not a Layer",
        ),
        ("AP", LayerKind("AP2 soft", r"AP(\d+)", read, make), "'soft' does not belong here"),
        (
            "AP",
            LayerKind("AP2", r"AP(\d+)", lambda head, options: Mean(int(head[1]) + 1), make),
            r"'AP2' is Mean\(side=3, loud=False\), written AP3, which is read as Mean\(side=4",
        ),
    ],
)
def test_a_kind_that_does_not_hold_together_is_refused(registry, name, kind, message):
    with pytest.raises(SpecError, match=message):
        registry.register(name, kind)
    assert name not in registry


def test_a_module_that_is_none_is_refused(registry):
    registry.register("AP", LayerKind("AP2", r"AP(\d+)", read, lambda layer, facts, generator: "none"))
    with pytest.raises(SpecError, match="layer AP2: its kind made a str, not a torch.nn.Module"):
        build_layers(parse_layers("AP2 · GAP · FC{classes} softmax"), 16, 3)


def test_every_kind_of_ours_is_written_as_it_is_read():
    for name, kind in layer_kinds():
        text = kind.form.partition(",")[0]
        (layer,) = parse_layers(text)
        assert parse_layers(to_text([layer])) == (layer,)
        assert str(layer).startswith(name)
