"""Weights of Keras models: in from, and out to, lists of NumPy arrays in Keras' order and layout.

Keras keeps a convolution as (rows, columns, in, out), a dense layer as (in, out), and flattens a map
channels last; torch keeps (out, in, rows, columns) and (out, in), and flattens channels first.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rgbench.errors import DataError
from rgbench.networks.modules.modules import (
    BranchModule,
    KerasBatchNorm1d,
    KerasConv2d,
    KerasLinear,
    LayeredNetwork,
)
from rgbench.networks.notation.geometry import Shape
from rgbench.networks.notation.layers import Branches, Layer
from rgbench.networks.notation.order import Place, keras_order, position

FloatArray = NDArray[np.float32]


def load_keras_weights(model: nn.Module, arrays: Sequence[NDArray[np.floating]]) -> None:
    """Load the weights of the original Keras network into a model, in place.

    Parameters
    ----------
    model : LayeredNetwork
        A network of the catalogue.
    arrays : sequence of numpy.ndarray
        For each layer in model order: kernel, bias; or gamma, beta, mean, variance.

    Raises
    ------
    DataError
        If there are too few or too many arrays, or one has a wrong shape; the message names the
        layer. The model is then unchanged.

    Examples
    --------
    >>> from rgbench.networks.modules.build import build_network
    >>> source, target = (build_network("mcrgnet", 50, seed=seed) for seed in (1, 2))
    >>> load_keras_weights(target, keras_weights(source))
    >>> x = torch.ones(1, 1, 50, 50)
    >>> bool(torch.equal(source.eval()(x), target.eval()(x)))
    True
    """
    slots = _slots(model)
    if len(arrays) != len(slots):
        lacking = [label for label, _, _ in slots[len(arrays) :]]
        hint = f"; the first without an array is {lacking[0]}" if lacking else ""
        raise DataError(f"{len(slots)} arrays are expected, {len(arrays)} were given{hint}")
    for (label, tensor, _), array in zip(slots, arrays, strict=True):
        expected = _keras_shape(tensor)
        if tuple(np.shape(array)) != expected:
            raise DataError(f"{label}: expected shape {expected}, found {tuple(np.shape(array))}")
    with torch.no_grad():
        for (_, tensor, flat), array in zip(slots, arrays, strict=True):
            tensor.copy_(_to_torch(np.asarray(array, dtype=np.float32), flat))


def keras_weights(model: nn.Module) -> list[FloatArray]:
    """Give the weights of a network as arrays in Keras' order and layout; see `load_keras_weights`."""
    return [_to_keras(tensor.detach().cpu(), flat) for _, tensor, flat in _slots(model)]


def _slots(model: nn.Module) -> list[tuple[str, Tensor, tuple[Shape, ...]]]:
    """List (label, tensor, shapes of the flattened maps) in Keras' order."""
    if not isinstance(model, LayeredNetwork):
        raise DataError(f"Keras weights fit networks of the catalogue only, not {type(model).__name__}")
    slots: list[tuple[str, Tensor, tuple[Shape, ...]]] = []
    for place in keras_order(model.layers):
        layer, module = _at(model.layers, model.stack, place)  # type: ignore[arg-type]
        if module is not None:
            slots += _module_slots(f"layer {position(place)} ({layer})", module)
    return slots


def _at(layers: Sequence[Layer], stack: Sequence[nn.Module], place: Place) -> tuple[Layer, nn.Module | None]:
    """Give the layer at a place and its module; an output activation has none."""
    layer, module = layers[place[0]], stack[place[0]] if place[0] < len(stack) else None
    if len(place) > 1 and isinstance(layer, Branches) and isinstance(module, BranchModule):
        inner: Any = module.branches[place[1]]
        return _at(layer.branches[place[1]], inner, place[2:])
    return layer, module


def _module_slots(label: str, module: nn.Module) -> list[tuple[str, Tensor, tuple[Shape, ...]]]:
    """List (label, tensor, flattened maps) of one module in Keras' order."""
    if isinstance(module, KerasConv2d | KerasLinear):
        flat = module.flat if isinstance(module, KerasLinear) else ()
        slots: list[tuple[str, Tensor, tuple[Shape, ...]]] = [(f"{label}, kernel", module.weight, flat)]
        return slots if module.bias is None else [*slots, (f"{label}, bias", module.bias, ())]
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        flat = module.flat if isinstance(module, KerasBatchNorm1d) else ()
        tensors = (module.weight, module.bias, module.running_mean, module.running_var)
        parts = ("gamma", "beta", "mean", "variance")
        return [
            (f"{label}, {part}", t, flat) for part, t in zip(parts, tensors, strict=True) if t is not None
        ]
    if any(True for _ in module.parameters(recurse=False)):
        raise DataError(f"{label} has no counterpart in the original's Keras networks")
    return []


def _keras_shape(tensor: Tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    return (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape[::-1]


def _to_torch(array: FloatArray, flat: tuple[Shape, ...]) -> Tensor:
    """Turn one array from Keras' layout to torch's."""
    if array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    if flat:
        array = array[_channels_first(flat)]
    if array.ndim == 2:
        array = array.T
    return torch.from_numpy(np.ascontiguousarray(array))


def _to_keras(tensor: Tensor, flat: tuple[Shape, ...]) -> FloatArray:
    """Turn one tensor from torch's layout to Keras'."""
    array: FloatArray = tensor.numpy()
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
    if array.ndim == 2:
        array = array.T
    if flat:
        array = array[np.argsort(_channels_first(flat))]
    return np.ascontiguousarray(array).copy()


def _channels_first(flat: tuple[Shape, ...]) -> NDArray[np.int64]:
    """Give where in Keras' vector each number of torch's vector stands."""
    parts, start = [], 0
    for shape in flat:
        order = np.arange(start, start + prod(shape)).reshape(shape)
        parts.append(np.moveaxis(order, -1, 0).ravel())
        start += prod(shape)
    return np.concatenate(parts)
