"""The torch modules of a network: one module per layer, exact to Keras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from math import prod, sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbench.errors import DataError
from rgbench.networks.notation.analysis import ImageSize, image_shape
from rgbench.networks.notation.geometry import Pads, Shape
from rgbench.networks.notation.layers import Branches, Conv, Dense, Layer

TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of a unit normal that is cut at two sigma."""
CHUNK = 1 << 20
"""Numbers of a kernel that are drawn at once."""
BATCHNORM_EPSILON = 1e-3
"""Keras' default."""
BATCHNORM_MOMENTUM = 0.01
"""Weight of the new batch in the running statistics: 1 minus Keras' 0.99."""
NARROW = 32
"""Channels of a map below which normalising it plane by plane was measured to be faster."""


def activate(x: Tensor, function: str) -> Tensor:
    """Apply an activation of the notation; softmax is over axis 1."""
    if function == "relu":
        return F.relu(x)
    if function == "sigmoid":
        return torch.sigmoid(x)
    if function == "softmax":
        return F.softmax(x, dim=1)
    if function == "gelu":
        return F.gelu(x)
    return x


class KerasConv2d(nn.Conv2d):
    """A convolution with Keras' padding and its activation; `groups` is 1, or the channels if depthwise.

    Padding that is equal on both sides is done by the convolution; otherwise the map is padded first. With `late`,
    a max pool computes the ReLU, in training: see `rgbench.networks.modules.late_relus`.
    """

    def __init__(
        self, shape: tuple[int, int, int, int], stride: tuple[int, int], pads: Pads, groups: int = 1
    ) -> None:
        filters, channels, *kernel = shape
        symmetric = all(before == after for before, after in pads)
        own = (pads[0][0], pads[1][0]) if symmetric else (0, 0)
        super().__init__(channels, filters, (kernel[0], kernel[1]), stride, own, groups=groups)
        self.pads = pads
        self.explicit_pads = () if symmetric else (*pads[1], *pads[0])
        self.activation = "linear"
        self.late = False

    def reset_parameters(self) -> None:
        """Do nothing: `initialise_` fills the weights, from its own generator."""

    def forward(self, x: Tensor) -> Tensor:
        """Pad, convolve, activate: (n, c, rows, columns) to (n, filters, rows', columns')."""
        if self.explicit_pads:
            x = F.pad(x, self.explicit_pads)
        x = super().forward(x)
        if self.late and self.training:
            return x
        return F.relu_(x) if self.activation == "relu" else activate(x, self.activation)


class KerasLinear(nn.Linear):
    """A dense layer with its activation.

    If the input is a flattened map, its weights stand in torch's order (channel, row, column), so
    that the forward pass permutes nothing; `flat` holds the map's (rows, columns, channels), or those of
    each map of a concatenation, by which `rgbench.networks.keras.weights` reorders kernels that come from Keras.
    """

    def __init__(self, inputs: int, units: int, flat: tuple[Shape, ...] = ()) -> None:
        super().__init__(inputs, units)
        self.flat = flat
        self.activation = "linear"

    def reset_parameters(self) -> None:
        """Do nothing: `initialise_` fills the weights, from its own generator."""

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and activate: (n, inputs) to (n, units)."""
        x = super().forward(x)
        return F.relu_(x) if self.activation == "relu" else activate(x, self.activation)


class KerasMaxPool2d(nn.Module):
    """A max pool with Keras' padding, which never wins against a pixel; with `late` it ends in a ReLU, in training."""

    def __init__(self, window: tuple[int, int], stride: tuple[int, int], pads: Pads) -> None:
        super().__init__()
        self.window, self.stride, self.pads = window, stride, pads
        axes = list(zip(window, stride, pads, strict=True))
        self.symmetric = all(before == after for _, _, (before, after) in axes)
        self.ceil_mode = not self.symmetric and all(
            before == 0 and after < step for _, step, (before, after) in axes
        )
        self.late = False

    def forward(self, x: Tensor) -> Tensor:
        """Pool: (n, c, rows, columns) to (n, c, rows', columns')."""
        pooled = self._pool(x)
        return F.relu_(pooled) if self.late and self.training else pooled

    def _pool(self, x: Tensor) -> Tensor:
        if self.symmetric:
            own = (self.pads[0][0], self.pads[1][0])
            return F.max_pool2d(x, self.window, self.stride, own)
        if self.ceil_mode:
            return F.max_pool2d(x, self.window, self.stride, ceil_mode=True)
        padded = F.pad(x, (*self.pads[1], *self.pads[0]), value=float("-inf"))
        return F.max_pool2d(padded, self.window, self.stride)

    def extra_repr(self) -> str:
        """Show window, stride and padding."""
        return f"window={self.window}, stride={self.stride}, pads={self.pads}"


class KerasBatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation of vectors, whose running variance is Keras': the biased batch variance.

    Of a flattened map, its entries stand in torch's order; see `KerasLinear` for `flat`.
    """

    def __init__(self, features: int, flat: tuple[Shape, ...] = ()) -> None:
        super().__init__(features, eps=BATCHNORM_EPSILON, momentum=BATCHNORM_MOMENTUM)
        self.flat = flat

    def forward(self, x: Tensor) -> Tensor:
        """Normalise: (n, features) to (n, features)."""
        if not self.training:
            return super().forward(x)
        _update_statistics(self, x)
        if len(x) == 1:
            return _normalise_one(self, x)
        return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)


class _Reordered(torch.autograd.Function):
    """The same map in another order of memory, whose gradient comes back in the order before."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, to: torch.memory_format, back: torch.memory_format) -> Tensor:
        ctx.back = back
        return x.contiguous(memory_format=to)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient.contiguous(memory_format=ctx.back), None, None


def _reordered(x: Tensor, to: torch.memory_format, back: torch.memory_format) -> Tensor:
    found: Tensor = _Reordered.apply(x, to, back)  # type: ignore[no-untyped-call]
    return found


class KerasBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of maps.

    With `by_plane`, maps of fewer than `NARROW` channels are brought into the order of planes for it in training, on a
    CPU: where the channels of a pixel lie side by side, PyTorch takes up to ten times as long for few of them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=BATCHNORM_EPSILON, momentum=BATCHNORM_MOMENTUM)
        self.by_plane = False

    def forward(self, x: Tensor) -> Tensor:
        """Normalise: (n, c, rows, columns) to the same shape."""
        if self.training and x.numel() == x.shape[1]:
            _update_statistics(self, x.flatten(1))
            return _normalise_one(self, x.flatten(1))[..., None, None]
        if self.by_plane and self.training and x.shape[1] < NARROW and x.device.type == "cpu":
            normal = super().forward(_reordered(x, torch.contiguous_format, torch.channels_last))
            return _reordered(normal, torch.channels_last, torch.contiguous_format)
        return super().forward(x)


def _update_statistics(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> None:
    """Move the running statistics towards the mean and the biased variance of a batch (n, features)."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    with torch.no_grad():
        batch = x.detach().float()
        norm.running_mean.lerp_(batch.mean(0), BATCHNORM_MOMENTUM)
        norm.running_var.lerp_(batch.var(0, correction=0), BATCHNORM_MOMENTUM)
        norm.num_batches_tracked.add_(1)


def _normalise_one(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Normalise a single vector (1, features), which torch refuses: it is its own mean."""
    return (x - x) * norm.weight + norm.bias


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel of a map, or the features of a vector."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise: (n, c, rows, columns) or (n, features) to the same shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class BlurPool2d(nn.Module):
    """Every second pixel after a binomial blur of the window's size, which is 3 or 4 per axis."""

    def __init__(self, channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = (torch.tensor([1.0, 2, 1] if side == 3 else [1.0, 3, 3, 1]) for side in kernel)
        blur = torch.outer(rows / rows.sum(), columns / columns.sum())
        self.register_buffer("blur", blur.expand(channels, 1, *kernel).contiguous(), persistent=False)
        self.blur: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Blur and thin out: (n, c, rows, columns) to (n, c, ceil(rows / 2), ceil(columns / 2))."""
        return F.conv2d(x, self.blur.to(x.dtype), stride=2, padding=1, groups=len(self.blur))


class GlobalPool2d(nn.Module):
    """The mean over all pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Average: (n, c, rows, columns) to (n, c)."""
        return x.mean(dim=(2, 3))


class RingPool2d(nn.Module):
    """The mean over rings about the centre; pixels outside the largest disc count nowhere.

    A pixel between the mid-radii of two rings counts for both, linearly, so that the mean changes
    little when the map is turned between pixels.
    """

    def __init__(self, rows: int, columns: int, rings: int) -> None:
        super().__init__()
        radius = radii(rows, columns) / (min(rows, columns) / 2) * rings
        middle = torch.arange(rings) + 0.5
        near = (1 - (radius.clamp(min=0.5)[..., None] - middle).abs()).clamp(min=0)
        near = near * (radius <= rings)[..., None]
        weights = near.flatten(0, 1)
        weights = weights / weights.sum(0).clamp(min=1e-6)
        self.register_buffer("weights", weights, persistent=False)
        self.weights: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Average: (n, c, rows, columns) to (n, c * rings)."""
        return (x.flatten(2) @ self.weights.to(x.dtype)).flatten(1)


class DiscMask(nn.Module):
    """Zero outside the largest disc, less a margin of one pixel."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        inside = (radii(rows, columns) <= min(rows, columns) / 2 - 1).float()
        self.register_buffer("inside", inside, persistent=False)
        self.inside: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Mask: (n, c, rows, columns) to the same shape."""
        return x * self.inside.to(x.dtype)


def radii(rows: int, columns: int) -> Tensor:
    """Give each pixel's distance from the centre of a map, in pixels, (rows, columns)."""
    y = torch.arange(rows) - (rows - 1) / 2
    x = torch.arange(columns) - (columns - 1) / 2
    return torch.hypot(y[:, None], x[None, :])


class BranchModule(nn.Module):
    """Branches that start from one input; their ends are summed or stand side by side."""

    def __init__(self, merge: str, branches: Sequence[nn.Sequential]) -> None:
        super().__init__()
        self.merge = merge
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Run every branch, then merge over axis 1 or by the sum."""
        ends: list[Tensor] = [branch(x) for branch in self.branches]
        return reduce(torch.add, ends) if self.merge == "Add" else torch.cat(ends, dim=1)


class ActivationModule(nn.Module):
    """An activation that is a layer of its own.

    In training, with `late`, a max pool computes it, and with `overwrites` its input is overwritten: see
    `rgbench.networks.modules.late_relus`, which sets them for ReLUs alone.
    """

    def __init__(self, function: str) -> None:
        super().__init__()
        self.function = function
        self.late = False
        self.overwrites = False

    def forward(self, x: Tensor) -> Tensor:
        """Activate: any shape to the same shape."""
        if self.training and self.late:
            return x
        return F.relu_(x) if self.training and self.overwrites else activate(x, self.function)

    def extra_repr(self) -> str:
        """Show the function."""
        return self.function


class Network(nn.Module):
    """Any classifier that `build_network` gives; it computes logits, before the output activation.

    Attributes
    ----------
    name : str
        Canonical name, or the door it came through.
    layers : tuple of Layer
        The layers, output activation included; empty if they are not known.
    image_size : int or (int, int)
        Size in pixels that the network is built for.
    n_classes, channels : int
        Length of the output, channels of the input.
    activation_name : {"softmax", "sigmoid"}
        The output activation.
    """

    def __init__(self, name: str, image_size: ImageSize, n_classes: int, channels: int) -> None:
        super().__init__()
        self.name = name
        self.image_size = image_size
        self.n_classes = n_classes
        self.channels = channels
        self.layers: tuple[Layer, ...] = ()
        self.activation_name = "softmax"

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits of images that have passed the check of shape."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits.

        Parameters
        ----------
        x : Tensor
            Images, (n, channels, rows, columns).

        Returns
        -------
        Tensor
            Logits, (n, n_classes).

        Raises
        ------
        DataError
            If the images are not of the network's size, or a network from elsewhere gives another shape.
        """
        rows, columns, channels = image_shape(self.image_size, self.channels)
        if x.shape[1:] != (channels, rows, columns):
            raise DataError(
                f"network {self.name} takes images of shape (n, {channels}, {rows}, {columns}), "
                f"not {tuple(x.shape)}"
            )
        return self.logits(x)

    def activate(self, logits: Tensor) -> Tensor:
        """Turn logits (n, n_classes) into the original's class outputs by softmax or sigmoid."""
        return activate(logits, self.activation_name)

    def regularised_kernels(self) -> list[tuple[Tensor, float]]:
        """List (kernel, coefficient) of every layer with an L2 term."""
        return []

    def l2_penalty(self) -> Tensor:
        """Sum coefficient * sum(w ** 2) over the regularised kernels; differentiable, 0 if there are none."""
        terms = [coefficient * kernel.square().sum() for kernel, coefficient in self.regularised_kernels()]
        if terms:
            return torch.stack(terms).sum()
        return next((weight.new_zeros(()) for weight in self.parameters()), torch.zeros(()))


class LayeredNetwork(Network):
    """A network that is built from layers.

    Attributes
    ----------
    stack : torch.nn.Sequential
        One module per layer, in order; the output activation has none.
    """

    def __init__(
        self,
        layers: tuple[Layer, ...],
        stack: nn.Sequential,
        image_size: ImageSize,
        n_classes: int,
        channels: int,
    ) -> None:
        super().__init__("", image_size, n_classes, channels)
        self.layers = layers
        self.stack = stack

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits of images (n, channels, rows, columns)."""
        logits: Tensor = self.stack(x)
        return logits

    def regularised_kernels(self) -> list[tuple[Tensor, float]]:
        """List (kernel, coefficient) of every layer with an L2 term."""
        return [
            (module.weight, layer.l2)
            for layer, module in pair_layers(self.layers, self.stack)
            if isinstance(layer, Conv | Dense) and layer.l2 and isinstance(module, KerasConv2d | KerasLinear)
        ]


def pair_layers(layers: Sequence[Layer], stack: nn.Sequential) -> Iterator[tuple[Layer, nn.Module]]:
    """Go through layers and their modules, those within branches before the merge."""
    for layer, module in zip(layers, stack, strict=False):
        if isinstance(layer, Branches) and isinstance(module, BranchModule):
            for inner, branch in zip(layer.branches, module.branches, strict=True):
                yield from pair_layers(inner, branch)  # type: ignore[arg-type]
        yield layer, module


def initialise_(weight: Tensor, initialiser: str, generator: torch.Generator) -> None:
    """Fill a kernel in place.

    Parameters
    ----------
    weight : Tensor
        Kernel, (outputs, inputs) or (filters, channels, rows, columns).
    initialiser : {"he", "gu"}
        ``he``: normal, cut at two sigma and rescaled so that the standard deviation is
        ``sqrt(2 / fan_in)``; ``gu``: uniform in ``±sqrt(6 / (fan_in + fan_out))``.
    generator : torch.Generator
        Where the numbers come from; no other generator is touched.

    Notes
    -----
    A kernel on the meta device has no numbers, and is left alone.
    """
    if weight.is_meta:
        return
    window = prod(weight.shape[2:])
    fan_in, fan_out = weight.shape[1] * window, weight.shape[0] * window
    with torch.no_grad():
        if initialiser == "he":
            sigma = sqrt(2 / fan_in) / TRUNCATED_STD
            for chunk in torch.split(weight.view(-1), CHUNK):
                _truncated_normal_(chunk, sigma, generator)
        else:
            limit = sqrt(6 / (fan_in + fan_out))
            weight.uniform_(-limit, limit, generator=generator)


def _truncated_normal_(numbers: Tensor, sigma: float, generator: torch.Generator) -> None:
    """Fill a vector from a normal; what lies beyond two sigma is drawn again, as Keras does."""
    numbers.normal_(0.0, sigma, generator=generator)
    beyond = (numbers.abs() > 2 * sigma).nonzero().squeeze(1)
    while len(beyond):
        drawn = torch.empty(len(beyond), dtype=numbers.dtype).normal_(0.0, sigma, generator=generator)
        numbers[beyond] = drawn
        beyond = beyond[drawn.abs() > 2 * sigma]


def ends_in_softmax(module: nn.Module) -> bool:
    """Tell whether the last registered layer of a module is a softmax or a log-softmax.

    A network that ends so gives probabilities where logits are due: the loss then takes a second
    softmax, and training nearly stops. A softmax called as a function in `forward` is not seen.

    Examples
    --------
    >>> ends_in_softmax(nn.Sequential(nn.Linear(3, 2), nn.Softmax(dim=1)))
    True
    """
    leaves = [part for part in module.modules() if not list(part.children())]
    return bool(leaves) and isinstance(leaves[-1], nn.Softmax | nn.LogSoftmax)
