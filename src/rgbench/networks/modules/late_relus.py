"""ReLUs that are computed late, after the max pool behind them, and in place: the same numbers from fewer passes.

max(relu(x)) = relu(max(x)), and dropout only scales or zeroes what it meets, so that a ReLU may pass a dropout and a
max pool. Gradients are the same too: where the largest number of a window is not above 0, none passes either way,
and else both choose the same pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rgbench.networks.modules.modules import (
    ActivationModule,
    KerasBatchNorm1d,
    KerasBatchNorm2d,
    KerasConv2d,
    KerasLinear,
    KerasMaxPool2d,
)


def compute_late(network: nn.Module, wanted: bool) -> None:
    """Set, or take back, which ReLUs of a network are computed late in training."""
    for module in network.modules():
        if isinstance(module, KerasConv2d | ActivationModule | KerasMaxPool2d):
            module.late = False
        if isinstance(module, ActivationModule):
            module.overwrites = False
    if not wanted:
        return
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            _set(list(module))


def _set(row: Sequence[nn.Module]) -> None:
    """Set it in layers that follow one another."""
    for place, module in enumerate(row):
        if not _is_relu(module):
            continue
        behind = next((each for each in row[place + 1 :] if not isinstance(each, nn.Dropout)), None)
        if isinstance(behind, KerasMaxPool2d):
            module.late = behind.late = True  # type: ignore[assignment]
        elif isinstance(module, ActivationModule) and place and _needs_no_output(row[place - 1]):
            module.overwrites = True


def _is_relu(module: nn.Module) -> bool:
    if isinstance(module, KerasConv2d):
        return module.activation == "relu"
    return isinstance(module, ActivationModule) and module.function == "relu"


def _needs_no_output(module: nn.Module) -> bool:
    """Tell whether the gradient of a layer is computed from its input alone."""
    if isinstance(module, KerasConv2d | KerasLinear):
        return module.activation == "linear"
    return isinstance(module, KerasBatchNorm1d | KerasBatchNorm2d)
