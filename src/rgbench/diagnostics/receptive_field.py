"""What a network sees of real images: its effective receptive field, with fresh or stored weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rgbench.data.catalogue import DataSet, Flag
from rgbench.diagnostics.effective_field import effective_receptive_field, effective_size
from rgbench.errors import SpecError
from rgbench.images.preprocess import central_crop, preprocess_batch
from rgbench.networks import canonical_name
from rgbench.networks.modules.build import Network, build_network
from rgbench.runs.find import find_runs
from rgbench.runs.inputs import prepare
from rgbench.runs.reopen import StoredRun
from rgbench.seeds import derive_seed, numpy_generator
from rgbench.spec import PUBLISHED_SEEDS
from rgbench.store.named import SHORT
from rgbench.store.store import Store

IMAGES = 16
"""Real images over which the effective receptive field is averaged."""


@dataclass(frozen=True)
class Subject:
    """Which network is looked at, and with which weights.

    Attributes
    ----------
    name : str
        The network.
    image_size, n_classes : int
        Side of its input in pixels, and length of its output; a stored run has its own.
    store : Path
        Folder of runs.
    run_id : str or None
        Stored run whose weights are taken, as `rgbench.runs.find.find_runs` takes it, several for their mean; fresh
        ones otherwise.
    """

    name: str
    image_size: int
    n_classes: int
    store: Path
    run_id: str | None = None


@dataclass(frozen=True)
class Seen:
    """An effective receptive field.

    Attributes
    ----------
    field : ndarray of float64, shape (rows, columns)
        See `rgbench.diagnostics.effective_field.effective_receptive_field`.
    size : float
        Its effective size in pixels.
    weights : str
        In words, whose weights it was measured with.
    """

    field: NDArray[np.float64]
    size: float
    weights: str


def look(subject: Subject, dataset: DataSet) -> Seen:
    """Measure the effective receptive field of a network on real images.

    Raises
    ------
    SpecError
        If the images are smaller than the network's input, or the stored run is of another network or not complete.
    """
    usable = np.flatnonzero((dataset.catalogue.flags & Flag.UNUSABLE) == 0)
    chosen = numpy_generator(PUBLISHED_SEEDS[0], "order", sample="receptive field").choice(
        usable, min(IMAGES, len(usable)), replace=False
    )
    raw = dataset.images[np.sort(chosen)]
    if subject.run_id is None:
        network, images, weights = _fresh(subject, raw)
        field = effective_receptive_field(network, images)
    else:
        field, weights = _stored(subject, subject.run_id, raw)
    return Seen(field, effective_size(field), weights)


def _fresh(subject: Subject, raw: NDArray[Any]) -> tuple[Network, Tensor, str]:
    """Build a network anew, and prepare images by the 2021 preset."""
    if min(raw.shape[1:]) < subject.image_size:
        raise SpecError(
            f"--image-size {subject.image_size}: the images have {raw.shape[1]} x {raw.shape[2]} pixels"
        )
    seed = derive_seed(PUBLISHED_SEEDS[0], "init")
    network = build_network(subject.name, subject.image_size, subject.n_classes, seed=seed)
    pixels = central_crop(preprocess_batch(raw, "becker2021"), subject.image_size)
    return network, torch.from_numpy(np.ascontiguousarray(pixels))[:, None], "initial weights"


def _stored(subject: Subject, wanted: str, raw: NDArray[Any]) -> tuple[NDArray[np.float64], str]:
    """Measure the mean field of stored runs on images prepared as they had them; say which runs they are."""
    store = Store(subject.store)
    records = find_runs(store, wanted)
    fields = []
    for record in records:
        run = StoredRun(record, store)
        if run.spec.network.name not in (subject.name, canonical_name(subject.name)):
            raise SpecError(f"--run {wanted}: is a run of {run.spec.network.name}, not of {subject.name}")
        source = run.prepared(prepare(raw, run.spec))
        images = torch.cat(list(source.plain(np.arange(len(raw))).images()))
        fields.append(effective_receptive_field(run.network(), images))
    if len({field.shape for field in fields}) > 1:
        raise SpecError(
            f"--run {wanted}: runs whose images have different sizes have no mean field; name one"
        )
    names = ", ".join(record.run_id[:SHORT] for record in records)
    return np.mean(fields, axis=0), f"run{'s' * (len(records) > 1)} {names}"
