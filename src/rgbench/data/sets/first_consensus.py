"""The sources of first-galaxy-data whose class is known: two teams or more name it, and hardly any vote speaks against.

Labels of catalogues contradict each other, so that a network that is always right does not score 100 % on any of
them. On these sources it should come near: they are the ones that several catalogues labelled apart from each other,
and called the same. That makes them easier than others, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import CLASSES, Catalogue, DataSet, Flag
from rgbench.data.consensus import Consensus, read_consensus
from rgbench.data.leakage import sky_groups
from rgbench.data.sets import first_galaxy_data
from rgbench.data.split import grouped_stratified_folds
from rgbench.errors import DataError

N_FOLDS = 5
"""Folds of its cross-validation."""
_SEED = 0
CARD = replace(
    first_galaxy_data.CARD,
    name="first-consensus",
    title="535 sources of first-galaxy-data whose class several catalogues agree on",
    paper=f"{first_galaxy_data.CARD.paper}; votes of, among others, Miraghaei & Best 2017, MNRAS 466, 4346, and "
    "Ma et al. 2019, ApJS 240, 34; model of Dawid & Skene 1979, Applied Statistics 28, 20",
    keys=("Griese2023", "Dawid1979", "Ma2019", "Miraghaei2017"),
    version="consensus 1, 7689127",
    defects=(
        "8 Compact sources only: hardly any catalogue labelled Compact sources apart from the others",
        "seven in ten sources are FRII, and sources that catalogues disagree on are missing: it is easier than the sky",
        "59 of the 73 FRI have a probability of 0.950 to 0.956: with a stronger prior they would not be here",
        "whether tailed FRI are Bent is decided as unLRG and Proctor do, where a second catalogue does as well",
        "images are 8-bit, clipped and scaled one by one: there is no flux scale",
        "every source is in first-galaxy-data, most of them in its training set: what was trained there is tested "
        'here with data.test = "first-consensus", which takes shared sources out of training, or on the test side '
        'of the split "published"',
    ),
    agreement=0.0,
    agreement_with="",
    splits=("published", *(f"fold-{k}" for k in range(N_FOLDS))),
)
"""The card."""


def load() -> DataSet:
    """Load the data set; `rgbench.load_data` is the front door.

    Returns
    -------
    DataSet
        Sources under their names in first-galaxy-data, in its order, with its images; labels are the consensus.
        Extra columns beside those there: `published_label` (its class there), `probability` (of the label),
        `n_votes`. The split "published" has the sides of first-galaxy-data; of "fold-0" to "fold-4" each tests on
        another fifth of the sources and validates on the next.

    Raises
    ------
    ChecksumError
        If the archive of the images is not the published one.
    DataError
        If it is nowhere to be had.
    """
    images, consensus = first_galaxy_data.load(), read_consensus()
    row, place = _rows(images.catalogue, consensus)
    usable = (images.catalogue.flags[row] & Flag.UNUSABLE) == 0
    aside = tuple(
        (str(name), "image has no signal: all pixels are equal")
        for name in images.catalogue.source_id[row[~usable]]
    )
    row, place = row[usable], place[usable]
    catalogue = _catalogue(images.catalogue.take(row), consensus, place)
    splits = {
        "published": images.splits["published"][row],
        **fold_splits(catalogue.label, catalogue.group),
    }
    return DataSet(CARD, catalogue, images.images[row], splits, aside)


def fold_splits(
    label: NDArray[np.int64], group: NDArray[np.int64], n_folds: int = N_FOLDS
) -> dict[str, NDArray[Any]]:
    """Give the splits of a cross-validation: fold k is tested on, the next validates, the others train.

    Parameters
    ----------
    label, group : ndarray of int64, shape (n,)
        Classes and sky groups; groups stay whole.
    n_folds : int
        Number of folds, 3 or more.

    Returns
    -------
    dict of str to ndarray of str, shape (n,)
        "fold-0", ...: "train", "validation" or "test" for each source, the same at every call.

    Examples
    --------
    >>> splits = fold_splits(np.zeros(6, dtype=np.int64), np.arange(6), 3)
    >>> [int((side == "test").sum()) for side in splits.values()]
    [2, 2, 2]
    """
    fold = grouped_stratified_folds(label, group, n_folds, _SEED)
    return {
        f"fold-{k}": np.where(fold == k, "test", np.where(fold == (k + 1) % n_folds, "validation", "train"))
        for k in range(n_folds)
    }


def _rows(catalogue: Catalogue, consensus: Consensus) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give rows of first-galaxy-data and of the consensus of the sources whose class is known."""
    known = np.flatnonzero(consensus.sharp & (consensus.votes.image != ""))
    place = {str(name): row for row, name in enumerate(catalogue.source_id)}
    names = [str(name) for name in consensus.votes.source_id[known]]
    missing = [name for name in names if name not in place]
    if missing:
        raise DataError(f"first-consensus: the source {missing[0]} of its table is not in first-galaxy-data")
    rows = np.array([place[name] for name in names], dtype=np.int64)
    order = np.argsort(rows)
    return rows[order], known[order]


def _catalogue(found: Catalogue, consensus: Consensus, place: NDArray[np.int64]) -> Catalogue:
    extra = {
        **found.extra,
        "published_label": np.array(CLASSES)[found.label],
        "probability": consensus.posterior[place].max(axis=1),
        "n_votes": consensus.votes.number[place],
    }
    return replace(found, label=consensus.label[place], group=sky_groups(found.ra, found.dec), extra=extra)
