"""What a network costs and sees, from its layers alone: no weight is made.

The formulas of each layer stand with it, in `rgbench.networks.notation.layers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rgbench.errors import SpecError
from rgbench.networks.notation.geometry import Pads, Shape, Window
from rgbench.networks.notation.layers import Activation, Branches, Dense, Layer

ImageSize = int | tuple[int, int]
"""Side of a square image, or (rows, columns), in pixels."""
CONVOLUTIONS = ("Conv", "DepthwiseConv", "GroupConv")
"""The kinds of layers that count as convolutions."""
WINDOWS = (*CONVOLUTIONS, "MaxPool", "BlurPool")
"""The kinds of layers whose windows slide over a map."""

OUTPUT_ACTIVATIONS = ("softmax", "sigmoid")
"""What a network may end in."""


@dataclass(frozen=True)
class LayerFacts:
    """One layer at one image size.

    Attributes
    ----------
    position : str
        Place of the layer, from 1; ``3b2`` is the second layer of branch b of layer 3.
    kind : str
        Name of the layer's class in `rgbench.networks.notation.layers`, or of the one that it counts as.
    text : str
        The layer in the notation.
    input_shape, output_shape : tuple of int
        (rows, columns, channels), or (features,).
    pads : tuple of tuple of int
        Padding ((top, bottom), (left, right)) in pixels.
    parameters, trainable_parameters : int
        Batch normalisation has four per channel, of which two are trained.
    macs : int
        Multiply-accumulate operations per image.
    flops_2021 : int
        Operations per image by the rule of the 2021 testbed, see `Analysis`.
    receptive_field, stride : int
        Of one output pixel, in pixels of the image; the larger of the two axes.
    coverage : float
        Receptive field over image size; the larger of the two axes.
    """

    position: str
    kind: str
    text: str
    input_shape: Shape
    output_shape: Shape
    pads: Pads
    parameters: int
    trainable_parameters: int
    macs: int
    flops_2021: int
    receptive_field: int
    stride: int
    coverage: float


@dataclass(frozen=True)
class Analysis:
    """A whole network at one image size.

    Attributes
    ----------
    parameters, trainable_parameters : int
        Sums over the layers; the other three count one kind of layer each.
    flatten_size : int
        Length of the vector that the first dense layer takes; 0 without one.
    macs : int
        Multiply-accumulate operations per image of convolutions and dense layers.
    flops_2021 : int
        Operations per image as the 2021 testbed counts them: convolution ``2 h w f c k l + h w f``,
        dense ``2 m n + n``, batch normalisation 4 per element, max pool ``k k h w c``, others 0. (Its own
        code stops at a concatenation, which is free here.)
    receptive_field, stride : int
        At the last convolution or pool, in pixels: ``r += (k - 1) j; j *= s`` from ``r = j = 1``.
        The receptive field is the theoretical one, padding included; the larger one where branches meet.
    coverage : float
        Receptive field over image size; the larger of the two axes.
    last_conv_receptive_field, last_conv_stride, last_conv_coverage
        The same at the last convolution.
    feature_map : tuple of int
        Shape at the last convolution or pool, (rows, columns, channels).
    layers : tuple of LayerFacts
        One entry per layer.
    """

    image_size: tuple[int, int]
    n_classes: int
    channels: int
    parameters: int
    trainable_parameters: int
    conv_parameters: int
    dense_parameters: int
    batchnorm_parameters: int
    flatten_size: int
    macs: int
    flops_2021: int
    receptive_field: int
    stride: int
    coverage: float
    last_conv_receptive_field: int
    last_conv_stride: int
    last_conv_coverage: float
    feature_map: Shape
    layers: tuple[LayerFacts, ...]

    def as_dict(self) -> dict[str, Any]:
        """Give the analysis as plain nested dicts, lists left as tuples."""
        return asdict(self)


@dataclass(frozen=True)
class _State:
    """What the next layer needs to know: shape, and per axis image size, receptive field and stride."""

    shape: Shape
    image: tuple[int, int]
    field: tuple[int, int] = (1, 1)
    jump: tuple[int, int] = (1, 1)


def image_shape(image_size: ImageSize, channels: int = 1) -> tuple[int, int, int]:
    """Give (rows, columns, channels) of the input; a size below 1 raises `SpecError`.

    Examples
    --------
    >>> image_shape(150), image_shape((100, 120), channels=3)
    ((150, 150, 1), (100, 120, 3))
    """
    rows, columns = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(rows, columns, channels) < 1:
        raise SpecError(f"image_size {image_size!r} and channels {channels!r} must be 1 or more")
    return (int(rows), int(columns), int(channels))


def resolve_classes(layers: Sequence[Layer], n_classes: int) -> tuple[Layer, ...]:
    """Write the number of classes into ``FC{classes}``; fewer than 2 classes raise `SpecError`."""
    if n_classes < 2:
        raise SpecError(f"n_classes is {n_classes!r}; a classifier has 2 or more classes")
    return tuple(
        replace(layer, units=n_classes) if isinstance(layer, Dense) and layer.units is None else layer
        for layer in layers
    )


def analyse(layers: Sequence[Layer], image_size: ImageSize, n_classes: int, channels: int = 1) -> Analysis:
    """Count and measure a network without building it.

    Parameters
    ----------
    layers : sequence of Layer
        The network, see `rgbench.networks.notation.notation`.
    image_size : int or (int, int)
        Side of the square image, or (rows, columns), in pixels.
    n_classes : int
        Units of ``FC{classes}``.
    channels : int
        Channels of the image.

    Returns
    -------
    Analysis
        Totals and one entry per layer.

    Raises
    ------
    SpecError
        If a layer cannot work on what the layers before it leave: the message names the layer,
        its position and the map size.

    Examples
    --------
    >>> from rgbench.networks.notation.notation import parse_layers
    >>> facts = analyse(parse_layers("C3x3-8 s2 same relu · Flat · FC{classes} softmax"), 100, 4)
    >>> facts.parameters, facts.macs, facts.receptive_field
    (80084, 260000, 3)
    """
    shape = image_shape(image_size, channels)
    facts, end = _walk(resolve_classes(layers, n_classes), _State(shape, shape[:2]))
    return _summarise(tuple(facts), end, shape, n_classes)


def check_outputs(shape: Shape, last: str, n_classes: int) -> None:
    """Raise `SpecError` if a network's last layer does not give one number per class."""
    if shape != (n_classes,):
        raise SpecError(f"the last layer ({last}) gives {shape}, not ({n_classes},): write FC{{classes}}")


def _walk(layers: Sequence[Layer], state: _State, prefix: str = "") -> tuple[list[LayerFacts], _State]:
    """Measure layers one after the other; those of branches stand before their merge."""
    facts: list[LayerFacts] = []
    for number, layer in enumerate(layers, start=1):
        position = f"{prefix}{number}"
        inner: list[LayerFacts] = []
        try:
            if isinstance(layer, Branches):
                inner, after = _walk_branches(layer, state, position)
            else:
                after = _advance(layer, state)
        except _WrongLayer:
            raise
        except SpecError as error:
            raise _WrongLayer(f"layer {position} ({layer}) {error}") from error
        facts += [*inner, _measure(position, layer, state, after)]
        state = after
    return facts, state


class _WrongLayer(SpecError):
    """An error that names its layer already."""


def _walk_branches(layer: Branches, state: _State, position: str) -> tuple[list[LayerFacts], _State]:
    """Measure branches that start from one state, and give the state after their merge."""
    walked = [
        _walk(branch, state, f"{position}{chr(ord('a') + place)}")
        for place, branch in enumerate(layer.branches)
    ]
    ends = [end for _, end in walked]
    merged = replace(
        state,
        shape=layer.merged_shape([end.shape for end in ends]),
        field=(max(end.field[0] for end in ends), max(end.field[1] for end in ends)),
        jump=(max(end.jump[0] for end in ends), max(end.jump[1] for end in ends)),
    )
    return [entry for entries, _ in walked for entry in entries], merged


def _measure(position: str, layer: Layer, state: _State, after: _State) -> LayerFacts:
    """Put the facts of one layer together."""
    window = layer.window(state.shape) if len(state.shape) == 3 else None
    parameters, trainable = layer.parameters(state.shape)
    return LayerFacts(
        position=position,
        kind=layer.counts_as or type(layer).__name__,
        text=str(layer),
        input_shape=state.shape,
        output_shape=after.shape,
        pads=window.pads(state.shape) if window else ((0, 0), (0, 0)),
        parameters=parameters,
        trainable_parameters=trainable,
        macs=layer.macs(state.shape, after.shape),
        flops_2021=layer.flops_2021(state.shape, after.shape),
        receptive_field=max(after.field),
        stride=max(after.jump),
        coverage=_coverage(after),
    )


def _advance(layer: Layer, state: _State) -> _State:
    """Give the state after a layer, or say why the layer cannot follow."""
    is_map = len(state.shape) == 3
    if layer.takes == "map" and not is_map:
        raise SpecError("needs a map, but stands after Flat")
    if layer.takes == "vector" and is_map:
        raise SpecError("needs a vector: write Flat or GAP before it")
    shape = layer.output_shape(state.shape)
    window = layer.window(state.shape) if is_map else None
    return replace(state, shape=shape) if window is None else _slide(window, shape, state)


def _slide(window: Window, shape: Shape, state: _State) -> _State:
    """Move a window over a map."""
    kernel, stride = window.kernel, window.stride
    if min(shape) < 1:
        raise SpecError(
            f"does not fit: its {kernel[0]}x{kernel[1]} window meets a map of "
            f"{state.shape[0]}x{state.shape[1]} pixels; use a larger image"
        )
    field = (
        state.field[0] + (kernel[0] - 1) * state.jump[0],
        state.field[1] + (kernel[1] - 1) * state.jump[1],
    )
    jump = (state.jump[0] * stride[0], state.jump[1] * stride[1])
    return replace(state, shape=shape, field=field, jump=jump)


def _coverage(state: _State) -> float:
    return max(state.field[0] / state.image[0], state.field[1] / state.image[1])


def _summarise(
    facts: tuple[LayerFacts, ...], end: _State, shape: tuple[int, int, int], n_classes: int
) -> Analysis:
    """Add the layers up."""
    convolutions = [entry for entry in facts if entry.kind in CONVOLUTIONS]
    windows = [entry for entry in facts if entry.kind in WINDOWS]
    dense = [entry for entry in facts if entry.kind == "Dense"]
    last = convolutions[-1] if convolutions else None
    return Analysis(
        image_size=shape[:2],
        n_classes=n_classes,
        channels=shape[2],
        parameters=sum(entry.parameters for entry in facts),
        trainable_parameters=sum(entry.trainable_parameters for entry in facts),
        conv_parameters=sum(entry.parameters for entry in convolutions),
        dense_parameters=sum(entry.parameters for entry in dense),
        batchnorm_parameters=sum(entry.parameters for entry in facts if entry.kind == "BatchNorm"),
        flatten_size=dense[0].input_shape[0] if dense else 0,
        macs=sum(entry.macs for entry in facts),
        flops_2021=sum(entry.flops_2021 for entry in facts),
        receptive_field=max(end.field),
        stride=max(end.jump),
        coverage=_coverage(end),
        last_conv_receptive_field=last.receptive_field if last else 1,
        last_conv_stride=last.stride if last else 1,
        last_conv_coverage=last.coverage if last else 1 / min(shape[:2]),
        feature_map=windows[-1].output_shape if windows else shape,
        layers=facts,
    )


def split_output(layers: tuple[Layer, ...]) -> tuple[str, tuple[Layer, ...]]:
    """Split the output activation off the last layer; raise `SpecError` if it has none that is legal."""
    last = layers[-1]
    if isinstance(last, Activation) and last.function in OUTPUT_ACTIVATIONS:
        return last.function, layers[:-1]
    if isinstance(last, Dense) and last.activation in OUTPUT_ACTIVATIONS:
        return last.activation, (*layers[:-1], replace(last, activation="linear"))
    raise SpecError(f"the last layer ({last}) must end in {' or '.join(OUTPUT_ACTIVATIONS)}")
