"""What can be measured on the images of the test sources, for the sections that ask how a source looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import Catalogue, DataSet
from rgbench.images.measure import MEASURED, measure_sources

_AT_ONCE = 200
"""Images that are measured together, lest all of them are copied."""


def measured(data: DataSet, source_id: NDArray[Any]) -> tuple[Catalogue, tuple[str, ...]]:
    """Give the catalogue of some sources with what can be measured on their images, and say what cannot.

    A column that the catalogue has already stays as it is. Images that are not in the catalogue with their
    measures have no flux scale that is known, so that they have no flux density.
    """
    rows = np.flatnonzero(np.isin(data.catalogue.source_id, source_id))
    own = data.catalogue.take(rows)
    if not len(rows) or set(MEASURED) <= set(own.extra):
        return own, ()
    parts = [
        measure_sources(data.images[some], data.card.pixel_scale, data.card.beam, unit="").columns()
        for some in np.split(rows, range(_AT_ONCE, len(rows), _AT_ONCE))
    ]
    found = {name: np.concatenate([part[name] for part in parts]) for name in MEASURED}
    known = {name: column for name, column in found.items() if np.isfinite(column).any()}
    return replace(own, extra=known | own.extra), _unknown(data, {*known, *own.extra})


def _unknown(data: DataSet, known: set[str]) -> tuple[str, ...]:
    """Say what the images cannot tell."""
    notes = []
    if data.images.dtype.kind in "iu":
        notes.append(
            "Angular size and number of components are of the images as they were published, scaled to whole numbers: "
            "fainter parts that were clipped are not in them."
        )
    if "flux_density" not in known:
        notes.append("Flux density is not known: the images have no flux scale.")
    if "signal_to_noise" not in known:
        notes.append("S/N is not known: the images were clipped, and no noise is left to measure it by.")
    if not {"largest_angular_size", "angular_size"} & known:
        notes.append("Angular size is not known: the data set does not tell its pixel scale.")
    return tuple(notes)
