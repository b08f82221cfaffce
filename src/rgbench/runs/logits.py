"""Model x images -> logits: the one path for tests, calibration and surveys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rgbench.data.catalogue import DataSet
from rgbench.images.augment import views
from rgbench.networks.modules.build import Network
from rgbench.store.tables import Outputs, Predictions


def predict_logits(
    network: Network, batches: Iterator[Tensor], precision: str = "float32", n_views: int = 1
) -> NDArray[np.float32]:
    """Apply a network to batches of images, without dropout.

    Parameters
    ----------
    network : Network
        The network, on the device of the images.
    batches : iterator of Tensor, shape (n, channels, h, w)
        Images as the network expects them, float32.
    precision : {"float32", "bfloat16"}
        Arithmetic of the network.
    n_views : {1, 2, 4, 8, 16, 24, 48}
        Number of turns and flips of each image whose logits are averaged.

    Returns
    -------
    ndarray of float32, shape (n_images, n_classes)
        Logits before the output activation.
    """
    network.eval()
    parts = []
    with torch.inference_mode():
        for images in batches:
            enabled = precision == "bfloat16"
            with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=enabled):
                total = sum(network(view).float() for view in views(images, n_views))
            parts.append((total / n_views).cpu())
    if not parts:
        return np.zeros((0, network.n_classes), dtype=np.float32)
    return torch.cat(parts).numpy()


@dataclass(frozen=True)
class RowLabels:
    """What the rows of a predictions table have in common: run, outputs, side, model and condition."""

    run_id: str
    outputs: Outputs
    split: str
    model: str
    condition: str = "clean"

    def predictions(
        self, dataset: DataSet, index: NDArray[np.int64], logits: NDArray[np.float32]
    ) -> Predictions:
        """Give the rows of some sources, by their rows in a data set and their logits (n, n_classes)."""
        catalogue, n = dataset.catalogue, len(index)
        return Predictions(
            run_id=self.run_id,
            classes=self.outputs.classes,
            activation=self.outputs.activation,
            label_version=dataset.card.version,
            source_id=catalogue.source_id[index],
            split=np.full(n, self.split),
            model=np.full(n, self.model),
            condition=np.full(n, self.condition),
            member=np.zeros(n, dtype=np.int64),
            label=catalogue.label[index],
            logits=logits,
        )


def inference_rate(network: Network, images: Tensor, precision: str, repeats: int = 3) -> float:
    """Measure the inference rate, in images/s, of one view a batch.

    The batch is on the device before the clock starts; one pass warms up; the median of `repeats`
    passes counts, each ended by copying the logits to the host.
    """
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        predict_logits(network, iter([images]), precision)
        seconds.append(time.perf_counter() - began)
    return len(images) / float(np.median(seconds[1:]))


@contextmanager
def quiet(network: Network) -> Iterator[nn.Module]:
    """Hold a network in evaluation mode, and give it back in the mode that it was in."""
    was_training = network.training  # dropout is off meanwhile
    try:
        yield network.eval()
    finally:
        network.train(was_training)
