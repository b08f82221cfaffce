"""What a network makes of images before its last layer: embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rgbench.errors import DataError
from rgbench.images.augment import views
from rgbench.networks.modules.build import Network
from rgbench.runs.logits import quiet


def embed(network: Network, images: Iterator[Tensor], n_views: int = 1) -> NDArray[np.float32]:
    """Give what the last layer with weights reads: the last hidden layer.

    Parameters
    ----------
    network : Network
        Any network with a dense layer or a convolution (else `DataError`); it is run without dropout.
    images : iterator of Tensor, shape (n, channels, h, w)
        Batches of prepared images, one or more.
    n_views : {1, 2, 4, 8, 16, 24, 48}
        Number of exact turns and flips of each image over which the mean is taken.

    Returns
    -------
    ndarray of float32, shape (n_images, d)
        One row per image; a map is averaged over its pixels.

    Examples
    --------
    >>> from rgbench.networks.modules.build import build_network
    >>> embed(build_network("lenet", 64, seed=1), iter([torch.rand(3, 1, 64, 64)])).shape
    (3, 84)
    """
    with quiet(network), torch.inference_mode():
        parts = [
            torch.stack([with_hidden(network, view)[1].cpu() for view in views(batch, n_views)]).mean(dim=0)
            for batch in images
        ]
    if not parts:
        raise DataError("embeddings are of images; none is given")
    return torch.cat(parts).numpy()


def with_hidden(network: Network, images: Tensor) -> tuple[Tensor, Tensor]:
    """Run a network once, and give its logits and what the last layer with weights that ran has read.

    Parameters
    ----------
    network : Network
        Any network with a dense layer or a convolution (else `DataError`).
    images : Tensor, shape (n, channels, h, w)
        Prepared images, on the device of the network.

    Returns
    -------
    logits : Tensor, shape (n, n_classes)
        Before the output activation.
    hidden : Tensor of float32, shape (n, d)
        A map is averaged over its pixels.
    """
    read: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        read[:] = [inputs[0].detach()]

    weighted = [part for part in network.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    handles = [part.register_forward_pre_hook(keep) for part in weighted]
    try:
        logits = network(images)
    finally:
        for handle in handles:
            handle.remove()
    if not read:
        raise DataError(f"network {network.name} has no dense layer or convolution to read the input of")
    rows = read[0].float()
    return logits, rows.flatten(2).mean(dim=2) if rows.dim() > 2 else rows
