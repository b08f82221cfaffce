"""What a network really looks at: the effective receptive field, measured by gradients.

Luo, Li, Urtasun & Zemel 2016 (arXiv 1701.04128): the theoretical receptive field says which pixels can
reach a unit, the gradient of the unit with respect to the image says how much each does. Most of it comes
from a small central part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rgbench.errors import DataError
from rgbench.networks.modules.modules import Network

LUO_THRESHOLD = 1 - 0.9545
"""Share of the peak above which Luo et al. count a pixel: two sigma of a Gaussian."""


def effective_receptive_field(network: Network, images: Tensor) -> NDArray[np.float64]:
    """Measure how much each pixel moves the centre of the last map, averaged over images.

    Parameters
    ----------
    network : Network
        Any network; it is run without dropout.
    images : Tensor
        Real images, prepared for the network, (n, channels, rows, columns).

    Returns
    -------
    ndarray of float64, shape (rows, columns)
        Mean absolute gradient of the sum over the channels of the central pixel of the last map (of
        the four central ones where a side is even), scaled to a sum of 1; zero where nothing was seen.

    Raises
    ------
    DataError
        If there is no image, or no layer of the network gives a map.

    Examples
    --------
    >>> from rgbench.networks.modules.build import build_network
    >>> field = effective_receptive_field(build_network("mcrgnet", 64, seed=1), torch.rand(2, 1, 64, 64))
    >>> field.shape, round(float(field.sum()), 6)
    ((64, 64), 1.0)
    """
    if len(images) == 0:
        raise DataError("the effective receptive field is an average over images; none is given")
    was_training = network.training
    network.eval()
    total = torch.zeros(images.shape[2:], dtype=torch.float64)
    for image in images:
        total += _gradient(network, image[None]).double().cpu()
    network.train(was_training)
    field = total.numpy()
    return np.asarray(field / field.sum() if field.sum() > 0 else field)


def effective_size(field: NDArray[np.float64]) -> float:
    """Give the side of the square whose area is that of the pixels above 4.55 % of the peak.

    Parameters
    ----------
    field : ndarray, shape (rows, columns)
        An effective receptive field.

    Returns
    -------
    float
        Pixels; 0 for a field without gradient. The square root of an area, as Luo et al. measure it.
    """
    return float(np.sqrt((field > LUO_THRESHOLD * field.max()).sum()))


def _gradient(network: Network, image: Tensor) -> Tensor:
    """Give the absolute gradient for one image, summed over its channels, (rows, columns)."""
    image = image.clone().requires_grad_(True)
    with torch.enable_grad():
        last = _last_map(network, image)
        rows, columns = (slice((side - 1) // 2, side // 2 + 1) for side in last.shape[2:])
        (gradient,) = torch.autograd.grad(last[:, :, rows, columns].sum(), image)
    return gradient[0].abs().sum(0)


def _last_map(network: Network, image: Tensor) -> Tensor:
    """Run the network and keep the last map that a layer gives."""
    maps: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output.requires_grad:
            maps.append(output)

    handles = [part.register_forward_hook(keep) for part in network.modules() if not list(part.children())]
    try:
        network(image)
    finally:
        for handle in handles:
            handle.remove()
    if not maps:
        raise DataError(f"network {network.name} has no layer that gives a map")
    return maps[-1]
