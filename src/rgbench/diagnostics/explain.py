"""What the network of a stored run looks at: maps of sources, embeddings, effective receptive field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from rgbench.data.catalogue import DataSet
from rgbench.diagnostics.attribution import METHODS, ready
from rgbench.diagnostics.effective_field import effective_receptive_field, effective_size
from rgbench.diagnostics.embedding import embed, nearest_neighbour_share, principal_plane
from rgbench.errors import DataError, SpecError
from rgbench.networks.modules.build import Network
from rgbench.runs.predict import predict_logits
from rgbench.runs.reopen import make_network, make_split
from rgbench.seeds import derive_seed
from rgbench.store.attributions import Looks, read_looks, write_looks
from rgbench.store.store import RunRecord, Store

METHOD = "occlusion"
"""What is done unless another method is asked for: it works for every network, and its unit means something."""
FIELD_IMAGES = 16
"""Test images over which the effective receptive field is averaged."""
BATCH = 64


def look_again(
    record: RunRecord,
    dataset: DataSet,
    store: Store,
    source_ids: Sequence[str],
    method: str = METHOD,
    device: str = "cpu",
) -> Looks:
    """See where the best model of a stored run looks, and keep it beside the run.

    Parameters
    ----------
    record, store : RunRecord, Store
        A complete run, and the store that holds its weights.
    dataset : DataSet
        The data it was trained on.
    source_ids : sequence of str
        Sources to make maps of.
    method : str
        One of `rgbench.diagnostics.attribution.METHODS`.
    device : str
        A torch device.

    Returns
    -------
    Looks
        What is there already for the same sources and method is read, not made again.

    Raises
    ------
    SpecError
        If the run is not complete, or the method or a source is not known.
    DataError
        If the data are not those of the run, or the network has no map that the method needs.
    StoreError
        If the file beside the run cannot be read or written.
    """
    _check(record, dataset, method)
    known = read_looks(store, record.run_id)
    if known is not None and known.method == method and known.shown.tolist() == list(source_ids):
        return known
    network, source, index = ready(record, dataset, store, source_ids, ("best", device))
    images = torch.cat(list(source.plain(np.arange(len(index))).images())).contiguous()
    target = predict_logits(network, iter(_batches(images))).argmax(axis=1)
    maps = _maps(network, images, target, method)
    generator = torch.Generator().manual_seed(derive_seed(record.spec.seed, "init", look="fresh"))
    fresh = make_network(record.spec, len(dataset.classes), generator).to(images.device)
    made = _embedded(record, dataset, store, device)
    looks = Looks(
        run_id=record.run_id,
        method=method,
        classes=np.array(dataset.classes),
        shown=np.array(source_ids),
        label=dataset.catalogue.label[index],
        target=target,
        inputs=images.mean(dim=1).cpu().numpy(),
        maps=maps.astype(np.float32),
        likeness=_likeness(maps, _maps(fresh, images, target, method)),
        pixel_scale=_pixel_scale(record, dataset),
        **made,
    )
    write_looks(store, looks)
    return looks


def _check(record: RunRecord, dataset: DataSet, method: str) -> None:
    if record.status != "complete" or record.predictions is None:
        raise SpecError(f"run {record.run_id} is {record.status}; only complete runs can be looked at")
    if method not in METHODS:
        raise SpecError(f"unknown method {method!r}; the methods are {', '.join(METHODS)}")
    if dataset.checksum != record.spec.data.checksum:
        raise DataError(
            f"run {record.run_id} was trained on data with checksum {record.spec.data.checksum[:16]}, "
            f"those of {dataset.card.name} have {dataset.checksum[:16]}"
        )


def _maps(network: Network, images: Tensor, target: NDArray[np.int64], method: str) -> NDArray[np.float64]:
    wanted = torch.from_numpy(target).to(images.device)
    pairs = zip(_batches(images), _batches(wanted), strict=True)
    return np.concatenate([METHODS[method](network, part, own) for part, own in pairs])


def _batches(rows: Tensor) -> list[Tensor]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _embedded(record: RunRecord, dataset: DataSet, store: Store, device: str) -> dict[str, Any]:
    """Embed all test sources, and measure the effective receptive field on some, spread over them."""
    names = dataset.catalogue.source_id[make_split(record.spec, dataset).indices("test")].tolist()
    network, source, index = ready(record, dataset, store, names, ("best", device))
    rows, label = np.arange(len(index)), dataset.catalogue.label[index]
    embeddings = embed(network, source.plain(rows).images())
    points, explained = principal_plane(embeddings)
    some = np.unique(np.linspace(0, len(rows) - 1, FIELD_IMAGES).astype(np.int64))
    field = effective_receptive_field(network, torch.cat(list(source.plain(some).images())))
    return {
        "sources": np.array(names),
        "source_label": label,
        "points": points,
        "explained": explained,
        "neighbour": nearest_neighbour_share(embeddings, label),
        "field": field,
        "field_pixels": effective_size(field),
    }


def _likeness(maps: NDArray[np.float64], fresh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give Spearman's rank correlation of pairs of maps, shape (m,); NaN where one is constant."""
    found = []
    for one, other in zip(maps, fresh, strict=True):
        a, b = (rankdata(each) - (each.size + 1) / 2 for each in (one, other))
        scale = np.sqrt((a**2).sum() * (b**2).sum())
        found.append(float((a * b).sum() / scale) if scale else np.nan)
    return np.array(found)


def _pixel_scale(record: RunRecord, dataset: DataSet) -> float:
    """Give arcseconds per pixel of the network's input."""
    images = record.spec.images
    side = images.size if isinstance(images.size, int) else max(images.size)
    return (record.spec.data.pixel_scale or dataset.card.pixel_scale) * images.field / side
