"""The keys of what `rgbench.networks.describe_network` gives, with their types."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from rgbench.networks.notation.geometry import Pads, Shape
from rgbench.protocols.choices import Choice


class PaperFacts(TypedDict):
    """The publication of a network; ``doi`` and ``arxiv`` are "" where there is none."""

    citation: str
    doi: str
    arxiv: str


class LayerRow(TypedDict):
    """One layer at one image size; only the notation tells the keys that need not be there."""

    position: str
    kind: str
    text: str
    input_shape: Shape
    output_shape: Shape
    parameters: int
    trainable_parameters: int
    macs: int
    pads: NotRequired[Pads]
    flops_2021: NotRequired[int]
    receptive_field: NotRequired[int]
    stride: NotRequired[int]
    coverage: NotRequired[float]


class NetworkFacts(TypedDict):
    """A network at one image size: its card, its layers, what it costs and sees; None is what only layers tell."""

    name: str
    title: str
    paper: PaperFacts
    layers: str
    aliases: tuple[str, ...]
    notes: str
    base: str
    change: str
    factory: str
    choices: tuple[Choice, ...]
    activation: str
    layer_table: list[LayerRow]
    image_size: tuple[int, int]
    n_classes: int
    channels: int
    parameters: int
    trainable_parameters: int
    conv_parameters: int | None
    dense_parameters: int | None
    batchnorm_parameters: int | None
    flatten_size: int | None
    macs: int
    flops_2021: int | None
    receptive_field: int | None
    stride: int | None
    coverage: float | None
    last_conv_receptive_field: int | None
    last_conv_stride: int | None
    last_conv_coverage: float | None
    feature_map: Shape | None
