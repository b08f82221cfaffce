"""Where on the sky to fetch images: the sources of a table, of a data set, or of one side of its published split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rgbench.data.overlap import Labelled
from rgbench.data.own.plan import FolderOptions
from rgbench.data.own.sources import read_sources
from rgbench.data.sets import data_sets, load_data, load_labels
from rgbench.errors import SpecError


class Targets(NamedTuple):
    """Sources with their positions.

    Attributes
    ----------
    names : list of str
        Their names.
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS.
    labels : list of str or None
        Their labels in words; None if none of them has one.
    """

    names: list[str]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    labels: list[str] | None


def find_targets(
    catalogue: str, options: FolderOptions | None = None, tell: Callable[[str], None] | None = None
) -> Targets:
    """Give the sources of a catalogue.

    Parameters
    ----------
    catalogue : str
        The name of a data set, ``NAME:SIDE`` for one side of its published split, or the file of a table.
    options : FolderOptions, optional
        What columns and labels of a table are called.
    tell : callable, optional
        Is told what was done to the positions of a table, or taken for granted.

    Raises
    ------
    SpecError
        If the data set has no published split, or no such side.
    DataError
        If the table cannot be read.

    Examples
    --------
    >>> len(find_targets("first-galaxy-data:test").names)
    200
    """
    options = options or FolderOptions()
    name, colon, side = catalogue.partition(":")
    if name in data_sets():
        known = _side(name, side) if colon else load_labels(name)
        table = known.catalogue
        return Targets(table.source_id.tolist(), table.ra, table.dec, known.words.tolist())
    rule = replace(options.labels, classes=()) if not options.labels.mapping else options.labels
    sources = read_sources(Path(catalogue), options.columns, rule)
    if tell is not None:
        for remark in sources.remarks:
            tell(remark)
    labels = sources.label.tolist()
    return Targets(sources.name.tolist(), sources.ra, sources.dec, labels if any(labels) else None)


def _side(name: str, side: str) -> Labelled:
    dataset = load_data(name)
    if "published" not in dataset.splits:
        raise SpecError(f"{name}:{side}: {name} has no published split; legal is {name}, all its sources")
    sides = dataset.splits["published"]
    if side not in sides:
        raise SpecError(f"{name}:{side}: legal sides are {', '.join(sorted(set(sides.tolist())))}")
    return Labelled(name, dataset.classes, dataset.catalogue.take(sides == side))
