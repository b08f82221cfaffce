"""What a network costs and sees, from its layers alone: no weight is made.

Symbols of the formulas: a layer takes maps of ``c`` channels to maps of ``h x w`` pixels and ``f``
channels with a ``k x l`` kernel, or a vector of ``m`` numbers to one of ``n``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

from rgbench.errors import SpecError
from rgbench.networks.geometry import output_size, padding_amounts
from rgbench.networks.notation import BatchNorm, Conv, Dense, Flatten, Layer, MaxPool

Shape = tuple[int, ...]
"""(rows, columns, channels) of a map, or (features,) of a vector; without the batch axis."""
ImageSize = int | tuple[int, int]
"""Side of a square image, or (rows, columns), in pixels."""


@dataclass(frozen=True)
class LayerFacts:
    """One layer at one image size.

    Attributes
    ----------
    position : int
        Place of the layer, from 1.
    text : str
        The layer in the notation.
    input_shape, output_shape : tuple of int
        (rows, columns, channels), or (features,).
    pads : tuple of tuple of int
        Padding ((top, bottom), (left, right)) in pixels.
    parameters, trainable_parameters : int
        Batch normalisation has four per channel, of which two are trained.
    macs : int
        Multiply-accumulate operations per image: ``h w f k l c`` or ``m n``, otherwise 0.
    flops_2021 : int
        Operations per image by the rule of the 2021 testbed, see `Analysis`.
    receptive_field, stride : int
        Of one output pixel, in pixels of the image; the larger of the two axes.
    coverage : float
        Receptive field over image size; the larger of the two axes.
    """

    position: int
    text: str
    input_shape: Shape
    output_shape: Shape
    pads: tuple[tuple[int, int], tuple[int, int]]
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
        Length of the vector after the flatten layer; 0 without one.
    macs : int
        Multiply-accumulate operations per image of convolutions and dense layers.
    flops_2021 : int
        Operations per image as the 2021 testbed counts them: convolution ``2 h w f c k l + h w f``,
        dense ``2 m n + n``, batch normalisation 4 per element, max pool ``k k h w c``, others 0.
    receptive_field, stride : int
        At the last convolution or pool, in pixels: ``r += (k - 1) j; j *= s`` from ``r = j = 1``.
        The receptive field is the theoretical one, padding included.
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
        Dense(n_classes, layer.activation, layer.l2, layer.initialiser, layer.seeded)
        if isinstance(layer, Dense) and layer.units is None
        else layer
        for layer in layers
    )


def analyse(layers: Sequence[Layer], image_size: ImageSize, n_classes: int, channels: int = 1) -> Analysis:
    """Count and measure a network without building it.

    Parameters
    ----------
    layers : sequence of Layer
        The network, see `rgbench.networks.notation`.
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
    >>> from rgbench.networks.notation import parse_layers
    >>> facts = analyse(parse_layers("C3x3-8 s2 same relu · Flat · FC{classes} softmax"), 100, 4)
    >>> facts.parameters, facts.macs, facts.receptive_field
    (80084, 260000, 3)
    """
    shape = image_shape(image_size, channels)
    state, facts = _State(shape, shape[:2]), []
    resolved = resolve_classes(layers, n_classes)
    for position, layer in enumerate(resolved, start=1):
        entry, state = _measure(position, layer, state)
        facts.append(entry)
    return _summarise(resolved, tuple(facts), shape, n_classes)


def _measure(position: int, layer: Layer, state: _State) -> tuple[LayerFacts, _State]:
    """Measure one layer and give the state after it."""
    after = _advance(position, layer, state)
    parameters, trainable = _parameters(layer, state.shape)
    facts = LayerFacts(
        position=position,
        text=str(layer),
        input_shape=state.shape,
        output_shape=after.shape,
        pads=_pads(layer, state.shape),
        parameters=parameters,
        trainable_parameters=trainable,
        macs=_macs(layer, state.shape, after.shape),
        flops_2021=_flops_2021(layer, state.shape, after.shape),
        receptive_field=max(after.field),
        stride=max(after.jump),
        coverage=max(after.field[0] / after.image[0], after.field[1] / after.image[1]),
    )
    return facts, after


def _advance(position: int, layer: Layer, state: _State) -> _State:
    """Give the state after a layer, or say why the layer cannot follow."""
    is_map = len(state.shape) == 3
    if isinstance(layer, Conv | MaxPool):
        if not is_map:
            raise SpecError(f"layer {position} ({layer}) needs a map, but stands after Flat")
        return _slide(position, layer, state)
    if isinstance(layer, Flatten):
        if not is_map:
            raise SpecError(f"layer {position} ({layer}) stands after another Flat")
        return replace(state, shape=(prod(state.shape),))
    if isinstance(layer, Dense):
        if is_map:
            raise SpecError(f"layer {position} ({layer}) needs a vector: write Flat before it")
        return replace(state, shape=(_units(layer),))
    return state


def _slide(position: int, layer: Conv | MaxPool, state: _State) -> _State:
    """Move a window over a map."""
    window = _window(layer)
    rows, columns = (
        output_size(size, kernel, stride, layer.padding)
        for size, kernel, stride in zip(state.shape[:2], window, layer.stride, strict=True)
    )
    if min(rows, columns) < 1:
        raise SpecError(
            f"layer {position} ({layer}) does not fit: its {window[0]}x{window[1]} window meets a map of "
            f"{state.shape[0]}x{state.shape[1]} pixels; use a larger image"
        )
    channels = layer.filters if isinstance(layer, Conv) else state.shape[2]
    field = (
        state.field[0] + (window[0] - 1) * state.jump[0],
        state.field[1] + (window[1] - 1) * state.jump[1],
    )
    jump = (state.jump[0] * layer.stride[0], state.jump[1] * layer.stride[1])
    return replace(state, shape=(rows, columns, channels), field=field, jump=jump)


def _window(layer: Conv | MaxPool) -> tuple[int, int]:
    return layer.kernel if isinstance(layer, Conv) else layer.window


def _units(layer: Dense) -> int:
    if layer.units is None:
        raise SpecError("FC{classes} needs the number of classes")
    return layer.units


def _pads(layer: Layer, shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
    if not isinstance(layer, Conv | MaxPool):
        return ((0, 0), (0, 0))
    window = _window(layer)
    return (
        padding_amounts(shape[0], window[0], layer.stride[0], layer.padding),
        padding_amounts(shape[1], window[1], layer.stride[1], layer.padding),
    )


def _parameters(layer: Layer, shape: Shape) -> tuple[int, int]:
    """Count all and trainable parameters of a layer."""
    if isinstance(layer, Conv):
        count = layer.filters * (prod(layer.kernel) * shape[2] + 1)
        return count, count
    if isinstance(layer, Dense):
        count = _units(layer) * (shape[0] + 1)
        return count, count
    if isinstance(layer, BatchNorm):
        return 4 * shape[-1], 2 * shape[-1]
    return 0, 0


def _macs(layer: Layer, before: Shape, after: Shape) -> int:
    if isinstance(layer, Conv):
        return prod(after) * prod(layer.kernel) * before[2]
    if isinstance(layer, Dense):
        return before[0] * after[0]
    return 0


def _flops_2021(layer: Layer, before: Shape, after: Shape) -> int:
    if isinstance(layer, Conv | Dense):
        return 2 * _macs(layer, before, after) + prod(after)
    if isinstance(layer, BatchNorm):
        return 4 * prod(after)
    if isinstance(layer, MaxPool):
        return layer.window[0] ** 2 * prod(after)
    return 0


def _summarise(
    layers: tuple[Layer, ...], facts: tuple[LayerFacts, ...], shape: tuple[int, int, int], n_classes: int
) -> Analysis:
    """Add the layers up."""
    pairs = list(zip(layers, facts, strict=True))
    last = _last(pairs, (Conv, MaxPool))
    last_conv = _last(pairs, (Conv,))
    flats = [entry.output_shape[0] for layer, entry in pairs if isinstance(layer, Flatten)]
    return Analysis(
        image_size=shape[:2],
        n_classes=n_classes,
        channels=shape[2],
        parameters=sum(entry.parameters for entry in facts),
        trainable_parameters=sum(entry.trainable_parameters for entry in facts),
        conv_parameters=_count(pairs, Conv),
        dense_parameters=_count(pairs, Dense),
        batchnorm_parameters=_count(pairs, BatchNorm),
        flatten_size=flats[0] if flats else 0,
        macs=sum(entry.macs for entry in facts),
        flops_2021=sum(entry.flops_2021 for entry in facts),
        receptive_field=last.receptive_field if last else 1,
        stride=last.stride if last else 1,
        coverage=last.coverage if last else 1 / min(shape[:2]),
        last_conv_receptive_field=last_conv.receptive_field if last_conv else 1,
        last_conv_stride=last_conv.stride if last_conv else 1,
        last_conv_coverage=last_conv.coverage if last_conv else 1 / min(shape[:2]),
        feature_map=last.output_shape if last else shape,
        layers=facts,
    )


def _last(
    pairs: list[tuple[Layer, LayerFacts]], kinds: tuple[type[Conv] | type[MaxPool], ...]
) -> LayerFacts | None:
    found = [entry for layer, entry in pairs if isinstance(layer, kinds)]
    return found[-1] if found else None


def _count(pairs: list[tuple[Layer, LayerFacts]], kind: type[Conv] | type[Dense] | type[BatchNorm]) -> int:
    return sum(entry.parameters for layer, entry in pairs if isinstance(layer, kind))
