"""What a network sees of real images: its effective receptive field, with fresh or stored weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rgbench.data.catalogue import DataSet, Flag
from rgbench.errors import SpecError
from rgbench.images.preprocess import central_crop, preprocess_batch
from rgbench.network_commands import PICTURE_SOURCES, View
from rgbench.networks import canonical_name
from rgbench.networks.build import Network, build_network
from rgbench.networks.effective import effective_receptive_field, effective_size
from rgbench.run import load_network
from rgbench.seeds import derive_seed, numpy_generator
from rgbench.spec import PUBLISHED_SEEDS
from rgbench.store import Store
from rgbench.training.source import prepare


@dataclass(frozen=True)
class Seen:
    """An effective receptive field.

    Attributes
    ----------
    field : ndarray of float64, shape (rows, columns)
        See `rgbench.networks.effective.effective_receptive_field`.
    size : float
        Its effective size in pixels.
    weights : str
        In words, whose weights it was measured with.
    """

    field: NDArray[np.float64]
    size: float
    weights: str


def look(name: str, view: View, dataset: DataSet) -> Seen:
    """Measure the effective receptive field of a network on real images.

    Raises
    ------
    SpecError
        If the images are smaller than the network's input, or the stored run is of another network.
    """
    usable = np.flatnonzero((dataset.catalogue.flags & Flag.UNUSABLE) == 0)
    chosen = numpy_generator(PUBLISHED_SEEDS[0], "order", sample="receptive field").choice(
        usable, min(PICTURE_SOURCES, len(usable)), replace=False
    )
    raw = dataset.images[np.sort(chosen)]
    if view.run_id is not None:
        network, pixels, weights = _stored(name, view, raw)
    else:
        if min(raw.shape[1:]) < view.image_size:
            raise SpecError(
                f"--image-size {view.image_size}: the images have {raw.shape[1]} x {raw.shape[2]} pixels"
            )
        seed = derive_seed(PUBLISHED_SEEDS[0], "init")
        network = build_network(name, view.image_size, view.n_classes, seed=seed)
        pixels = central_crop(preprocess_batch(raw, "becker2021"), view.image_size)
        weights = "initial weights"
    field = effective_receptive_field(network, torch.from_numpy(np.ascontiguousarray(pixels))[:, None])
    return Seen(field, effective_size(field), weights)


def _stored(name: str, view: View, raw: NDArray[np.float32]) -> tuple[Network, NDArray[np.float32], str]:
    """Load a stored run's network, and prepare images as it had them."""
    store = Store(view.store)
    record = store.record(store.find(view.run_id or ""))
    if record.spec.network.name != canonical_name(name):
        raise SpecError(f"--run {view.run_id}: is a run of {record.spec.network.name}, not of {name}")
    network = load_network(record, store)
    pixels = prepare(raw, record.spec)
    size = record.spec.images.size
    return network, central_crop(pixels, size), f"run {record.run_id[:8]}"
