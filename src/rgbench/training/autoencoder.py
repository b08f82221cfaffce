"""Pre-training as a convolutional autoencoder, with tied weights (Ma et al. 2019, ApJS 240, 34).

The layers before the output layer encode an image; the same kernels, transposed, decode it. What is
learnt is the mean squared error between image and reconstruction, on training images and without labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbench.errors import SpecError
from rgbench.networks.modules.build import Network
from rgbench.networks.modules.modules import (
    ActivationModule,
    KerasBatchNorm1d,
    KerasBatchNorm2d,
    KerasConv2d,
    KerasLinear,
    KerasMaxPool2d,
    LayeredNetwork,
)
from rgbench.networks.notation.layers import Dense
from rgbench.seeds import derive_seed
from rgbench.spec import RecipeSpec

_SKIPPED = (ActivationModule, KerasBatchNorm1d, KerasBatchNorm2d, nn.Dropout, nn.LeakyReLU)
"""Layers that the decoder has no counterpart of."""
_ENCODING = (KerasConv2d, KerasLinear, KerasMaxPool2d, nn.Flatten, *_SKIPPED)

Images = Callable[[int], Iterable[tuple[Tensor, Tensor]]]
"""Gives the batches (images, labels) of an epoch; labels are not looked at."""


class Autoencoder(nn.Module):
    """A network's layers up to its last hidden one, and their mirror image.

    Parameters
    ----------
    network : Network
        A network that is a row of convolutions, pools and dense layers. Its kernels are shared, so that
        training the autoencoder trains them; the decoder's biases are its own.

    Raises
    ------
    SpecError
        If a layer has no mirror image, such as a branch or a global pool.

    Examples
    --------
    >>> from rgbench.networks.modules.build import build_network
    >>> x = torch.rand(2, 1, 50, 50)
    >>> tuple(Autoencoder(build_network("mcrgnet", 50, seed=1))(x).shape)
    (2, 1, 50, 50)
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        if not isinstance(network, LayeredNetwork):
            raise SpecError(
                f"network {network.name} cannot be pre-trained as an autoencoder: its layers are not known"
            )
        output = max(place for place, layer in enumerate(network.layers) if isinstance(layer, Dense))
        self.encoder = list(network.stack)[:output]
        for layer, module in zip(network.layers, self.encoder, strict=False):
            if not isinstance(module, _ENCODING):
                raise SpecError(
                    f"network {network.name} cannot be pre-trained as an autoencoder: {layer} has no mirror image"
                )
        biases = [self._bias(module) for module in self.encoder]
        self.biases = nn.ParameterList(bias for bias in biases if bias is not None)

    @staticmethod
    def _bias(module: nn.Module) -> nn.Parameter | None:
        if isinstance(module, KerasConv2d | KerasLinear):
            return nn.Parameter(module.weight.new_zeros(module.weight.shape[1]))
        return None

    def forward(self, x: Tensor) -> Tensor:
        """Encode and decode images: (n, c, rows, columns) to the same shape, not negative."""
        shapes = []
        for module in self.encoder:
            shapes.append(x.shape)
            x = module(x)
        biases = list(self.biases)
        for module, shape in zip(reversed(self.encoder), reversed(shapes), strict=True):
            if isinstance(module, KerasConv2d):
                x = F.relu(_unfold(x, module, biases.pop(), shape))
            elif isinstance(module, KerasLinear):
                x = F.relu(F.linear(x, module.weight.t(), biases.pop()))
            elif isinstance(module, KerasMaxPool2d):
                x = F.interpolate(x, [shape[2], shape[3]])
            elif isinstance(module, nn.Flatten):
                x = x.reshape(shape)
        return x


def pretrain(network: Network, images: Images, recipe: RecipeSpec, seed: int) -> list[float]:
    """Train a network's kernels as an autoencoder, in place.

    Parameters
    ----------
    network : Network
        An initialised network.
    images : callable
        Gives the training batches of an epoch; epochs -1, -2 ... are asked for, so that their order and
        augmentation are not those of the training that follows.
    recipe : RecipeSpec
        Its `pretraining_epochs` and `pretraining_rate` are used.
    seed : int
        The study seed; dropout draws from seeds derived from it.

    Returns
    -------
    list of float
        Mean squared error of each epoch.
    """
    autoencoder = Autoencoder(network).train()
    network.train()
    parameters = [*network.parameters(), *autoencoder.biases]
    optimizer = torch.optim.Adam(parameters, lr=recipe.pretraining_rate, eps=recipe.adam_epsilon)
    losses = []
    for epoch in range(1, recipe.pretraining_epochs + 1):
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed(seed, "dropout", epoch=-epoch))
            losses.append(_train_epoch(autoencoder, images(-epoch), optimizer))
    return losses


def _train_epoch(
    autoencoder: Autoencoder, batches: Iterable[tuple[Tensor, Tensor]], optimizer: torch.optim.Optimizer
) -> float:
    total, n = 0.0, 0
    for images, _ in batches:
        loss = F.mse_loss(autoencoder(images), images)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(loss.detach()) * len(images)
        n += len(images)
    return total / n


def _unfold(x: Tensor, conv: KerasConv2d, bias: Tensor, shape: torch.Size) -> Tensor:
    """Transpose a convolution: its output's map back to one of its input's shape."""
    full = F.conv_transpose2d(x, conv.weight, bias, conv.stride)
    (top, bottom), (left, right) = conv.pads
    rows, columns = shape[2] + top + bottom, shape[3] + left + right
    padded = F.pad(full, (0, max(0, columns - full.shape[3]), 0, max(0, rows - full.shape[2])))
    return padded[:, :, top : top + shape[2], left : left + shape[3]]
