"""A list of the sources that a model was trained on, against the test sources of a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rgbench.data.catalogue import DataSet
from rgbench.data.leakage import assert_no_leak, linked_groups, sky_links
from rgbench.data.match import match_sources
from rgbench.data.own.sources import SourceColumns, read_places, written_names
from rgbench.data.own.tabular import read_table
from rgbench.data.split import Split
from rgbench.numbers import counted, listed


def check_training(path: Path, dataset: DataSet, split: Split, tolerance: float) -> tuple[str, ...]:
    """Check that no source of a list of training sources is a test source, or in the sky group of one.

    Parameters
    ----------
    path : path
        The list: names or positions.
    dataset, split : DataSet, Split
        The test sources.
    tolerance : float
        Arcseconds within which a position is that of a source.

    Returns
    -------
    tuple of str
        What was checked, and how many sources of the list are sources of the data set.

    Raises
    ------
    LeakageError
        If one is.

    Examples
    --------
    `rgbench.score` asks it before anything is stored::

        remarks = check_training(Path("my-training.csv"), dataset, split, 5.0)
    """
    catalogue = dataset.catalogue
    content, _ = read_table(path)
    places = read_places(path, content, SourceColumns(label="", redshift="", size=""))
    used, ra, dec, n = places.columns, places.ra, places.dec, len(places)
    name = written_names(path, content, used.name or used.path, n)
    found = match_sources(name, ra, dec, catalogue, tolerance).row
    known = np.flatnonzero(found >= 0)
    first = len(catalogue)
    order = np.argsort(catalogue.group, kind="stable")
    alike = np.flatnonzero(np.diff(catalogue.group[order]) == 0)
    groups = linked_groups(
        first + n,
        [
            np.stack((order[alike], order[alike + 1]), axis=1),
            np.stack((found[known], first + known), axis=1),
            sky_links(np.concatenate((catalogue.ra, ra)), np.concatenate((catalogue.dec, dec))),
        ],
    )
    own = [str(catalogue.source_id[row]) if row >= 0 else "" for row in found.tolist()]
    called = [
        source or word or f"{a:.4f} {d:+.4f}"
        for source, word, a, d in zip(own, name.tolist(), ra, dec, strict=True)
    ]
    side = np.concatenate((np.where(split.assignment == "test", "test", ""), np.full(n, "train")))
    assert_no_leak(np.concatenate((catalogue.source_id, called)), groups, side)
    lost = [called[row] for row in np.flatnonzero((found < 0) & ~np.isfinite(ra))]
    recognised = _recognised(len(known), bool(np.isfinite(ra).any()), dataset)
    return (
        f"{path.name} lists {counted(n, 'training source')}{recognised} "
        f"None is a test source, or within 60 arcsec of one{_as_far(lost, dataset)}.",
    )


def _recognised(number: int, placed: bool, dataset: DataSet) -> str:
    """Say how many sources of a list are sources of a data set; where none is, the list may be misread."""
    name = dataset.card.name
    if number:
        return f", of which {number:,} {'is a source' if number == 1 else 'are sources'} of {name}."
    if placed:
        return f"; none of them is a source of {name}: are the positions in degrees?"
    return f"; none of them is a source of {name}: sources are called as {str(dataset.catalogue.source_id[0])!r}."


def _as_far(lost: list[str], dataset: DataSet) -> str:
    if not lost:
        return ""
    return (
        f", as far as can be told: {counted(len(lost), 'source')} of it have no position and are none of "
        f"{dataset.card.name}: {listed(lost)}"
    )
