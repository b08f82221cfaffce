"""What the network of a stored run looks at: maps of sources, embeddings, effective receptive field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from rgbench.diagnostics.attribution import METHODS
from rgbench.diagnostics.effective_field import effective_receptive_field, effective_size
from rgbench.diagnostics.embedding import nearest_neighbour_share, principal_plane
from rgbench.errors import SpecError
from rgbench.networks.modules.build import Network
from rgbench.runs.embedding import embed
from rgbench.runs.logits import predict_logits
from rgbench.runs.prepare import make_network
from rgbench.runs.reopen import StoredRun
from rgbench.seeds import derive_seed
from rgbench.store.attributions import Looks, read_looks, write_looks

METHOD = "occlusion"
"""What is done unless another method is asked for: it works for every network, and its unit means something."""
FIELD_IMAGES = 16
"""Test images over which the effective receptive field is averaged."""
BATCH = 64


def look_again(run: StoredRun, source_ids: Sequence[str], method: str = METHOD) -> Looks:
    """See where the network of a stored run looks, and keep it beside the run.

    Parameters
    ----------
    run : StoredRun
        A complete run. ``looks.npz`` in its directory is written; another process that looks at the run
        meanwhile is waited for.
    source_ids : sequence of str
        Sources to make maps of.
    method : str
        One of `rgbench.diagnostics.attribution.METHODS`.

    Returns
    -------
    Looks
        What is there already for the same sources and method is read, not made again.

    Raises
    ------
    SpecError
        If the run was imported, or the method or a source is not known.
    DataError
        If its data are not to be had, a source has no usable image, or the network has no map that the method
        needs.
    StoreError
        If the file beside the run cannot be read or written.
    """
    if method not in METHODS:
        raise SpecError(f"unknown method {method!r}; the methods are {', '.join(METHODS)}")
    with run.store.lock(run.run_id):
        known = read_looks(run.store, run.run_id)
        if known is not None and known.method == method and known.shown.tolist() == list(source_ids):
            return known
        looks = _look(run, source_ids, method)
        write_looks(run.store, looks)
    return looks


def _look(run: StoredRun, source_ids: Sequence[str], method: str) -> Looks:
    index = run.rows(source_ids)
    network = run.network()
    images = torch.cat(list(run.images(index).plain(np.arange(len(index))).images())).contiguous()
    target = predict_logits(network, iter(_batches(images))).argmax(axis=1)
    maps = _maps(network, images, target, method)
    generator = torch.Generator().manual_seed(derive_seed(run.spec.seed, "init", look="fresh"))
    fresh = make_network(run.spec, len(run.classes), generator).to(images.device)
    return Looks(
        run_id=run.run_id,
        method=method,
        classes=np.array(run.classes),
        shown=np.array(source_ids),
        label=run.dataset.catalogue.label[index],
        target=target,
        inputs=images.mean(dim=1).cpu().numpy(),
        maps=maps.astype(np.float32),
        likeness=_likeness(maps, _maps(fresh, images, target, method)),
        pixel_scale=_pixel_scale(run),
        **_embedded(run, network),
    )


def _maps(network: Network, images: Tensor, target: NDArray[np.int64], method: str) -> NDArray[np.float64]:
    wanted = torch.from_numpy(target).to(images.device)
    pairs = zip(_batches(images), _batches(wanted), strict=True)
    return np.concatenate([METHODS[method](network, part, own) for part, own in pairs])


def _batches(rows: Tensor) -> list[Tensor]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _embedded(run: StoredRun, network: Network) -> dict[str, Any]:
    """Embed all test sources, and measure the effective receptive field on some, spread over them."""
    index, catalogue = run.side("test"), run.dataset.catalogue
    source, rows, label = run.images(index), np.arange(len(index)), catalogue.label[index]
    embeddings = embed(network, source.plain(rows).images())
    points, explained = principal_plane(embeddings)
    some = np.unique(np.linspace(0, len(rows) - 1, FIELD_IMAGES).astype(np.int64))
    field = effective_receptive_field(network, torch.cat(list(source.plain(some).images())))
    return {
        "sources": catalogue.source_id[index],
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


def _pixel_scale(run: StoredRun) -> float:
    """Give arcseconds per pixel of the network's input."""
    images = run.spec.images
    side = images.size if isinstance(images.size, int) else max(images.size)
    return (run.spec.data.pixel_scale or run.dataset.card.pixel_scale) * images.field / side
