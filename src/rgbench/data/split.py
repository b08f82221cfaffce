"""How a source is split: published splits, the 2021 algorithm, grouped stratified folds.

A split is a table: "train", "validation", "test" or "" for each source. None ever divides a sky group.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import Catalogue, DataSet, Flag
from rgbench.data.leakage import assert_no_leak
from rgbench.errors import DataError, SpecError
from rgbench.numbers import counted
from rgbench.seeds import numpy_generator

SIDES = ("train", "validation", "test")
PARTS = 8
"""One training source in so many validates where no validation set is published."""
FR0 = "1F"
"""Label of FR0 sources in the 2021 manifests: dropped from every split."""


@dataclass(frozen=True)
class Split:
    """A split of a data set.

    Attributes
    ----------
    name : str
        Where it comes from.
    assignment : ndarray of str, shape (n,)
        "train", "validation", "test" or "" for each source.
    order : ndarray of int64, shape (n,)
        Sources in the order in which each side lists them.
    removed : tuple of (str, str)
        Name and reason of each source that was taken out.
    """

    name: str
    assignment: NDArray[Any]
    order: NDArray[np.int64]
    removed: tuple[tuple[str, str], ...] = ()

    def indices(self, side: str) -> NDArray[np.int64]:
        """Give the sources of one side, in its order."""
        if side not in SIDES:
            raise SpecError(f"unknown side {side!r} of a split; legal are {', '.join(SIDES)}")
        return np.asarray(self.order[self.assignment[self.order] == side])


def source_columns(dataset: DataSet, split: Split | None = None) -> dict[str, NDArray[Any]]:
    """Give the sources of a data set as columns: names, positions, classes, sides, sky groups and files.

    Parameters
    ----------
    dataset : DataSet
        The data set.
    split : Split, optional
        A split of it; without one there is no column ``split``.

    Returns
    -------
    dict of str to ndarray
        ``source_id``; ``ra`` and ``dec`` in degrees, ICRS, NaN where they are not known; ``label``, the name of the
        class, "" where it is not known; ``split``, as `Split.assignment`; ``group``; ``path``.

    Examples
    --------
    >>> from rgbench.data.catalogue import Card
    >>> none, position, unknown = np.zeros(1, dtype=np.int64), np.array([161.25]), np.array([-1])
    >>> sources = Catalogue(np.array(["a"]), position, position, unknown, none, np.array(["a.fits"]), none)
    >>> columns = source_columns(DataSet(Card("mine", "My sources"), sources, np.zeros((1, 9, 9))))
    >>> list(columns), columns["label"].tolist()
    (['source_id', 'ra', 'dec', 'label', 'group', 'path'], [''])
    """
    catalogue = dataset.catalogue
    return {
        "source_id": catalogue.source_id,
        "ra": catalogue.ra,
        "dec": catalogue.dec,
        # A source without a label has -1: the last of the names.
        "label": np.array([*dataset.classes, ""])[catalogue.label],
        **({"split": split.assignment} if split is not None else {}),
        "group": catalogue.group,
        "path": catalogue.path,
    }


def becker2021_split(
    names: Sequence[str],
    labels: Sequence[str | int],
    seed: int,
    train: int = 250,
    validation: int = 100,
    usable: Callable[[str], bool] | None = None,
) -> dict[str, list[str]]:
    """Split names as the 2021 testbed did.

    The names are shuffled by Python's generator. Each in turn goes to the training set while its class
    has fewer than `train` sources there, else to the validation set while that has fewer than
    `validation`, else to the test set, which thus keeps the classes' natural proportions.

    Parameters
    ----------
    names : sequence of str
        Source names, in the order of the manifest.
    labels : sequence of str or int
        Manifest labels; "1F" (FR0) is dropped, of others the first character counts.
    seed : int
        Seed of the shuffle.
    train, validation : int
        Sources per class.
    usable : callable, optional
        Tells whether a source has a usable image; one that has none goes nowhere and does not count.

    Returns
    -------
    dict
        Names of "train", "validation" and "test", in order.

    References
    ----------
    Becker, Vaccari, Prescott & Grobler 2021, MNRAS 503, 1828.

    Examples
    --------
    >>> becker2021_split(["a", "b", "c", "d"], ["1", "1", "1", "1F"], 8901, 1, 1)
    {'train': ['a'], 'validation': ['b'], 'test': ['c']}
    """
    if len(names) != len(labels):
        raise DataError(f"{len(names)} names, but {len(labels)} labels")
    label_of = {n: str(label) for n, label in zip(names, labels, strict=True) if str(label) != FR0}
    shuffled = list(label_of)
    random.Random(seed).shuffle(shuffled)
    result: dict[str, list[str]] = {side: [] for side in SIDES}
    limits = {"train": train, "validation": validation}
    counts: dict[tuple[str, str], int] = {}
    for name in shuffled:
        if usable is not None and not usable(name):
            continue
        label = label_of[name][:1]
        side = next((s for s, limit in limits.items() if counts.get((s, label), 0) < limit), "test")
        counts[side, label] = counts.get((side, label), 0) + 1
        result[side].append(name)
    return result


def becker2021(dataset: DataSet, seed: int, train: int = 250, validation: int = 100) -> Split:
    """Split a data set by the 2021 algorithm; then take out training sources that leak.

    Raises
    ------
    DataError
        If a side has no source.
    """
    catalogue = dataset.catalogue
    names = catalogue.source_id.tolist()
    bad = set(catalogue.source_id[(catalogue.flags & Flag.UNUSABLE) != 0].tolist())
    labelled = [name for name, label in zip(names, catalogue.label, strict=True) if label >= 0]
    labels = [str(label) for label in catalogue.label if label >= 0]
    sides = becker2021_split(labelled, labels, seed, train, validation, lambda name: name not in bad)
    place = {name: i for i, name in enumerate(names)}
    assignment = np.full(len(names), "", dtype="<U10")
    order = []
    for side, members in sides.items():
        index = [place[name] for name in members]
        assignment[index] = side
        order += index
        if not index:
            raise DataError(
                f"the {side} set is empty: {counted(len(labelled), 'labelled source')}, {train} wanted per class for "
                f"training and {validation} for validation. Give smaller numbers{_smaller(catalogue.label)}: "
                "train_size and validation_size under [data] of a study, --train_size and --val_size in quickstart"
            )
    return _without_leaks("becker2021", catalogue, assignment, np.array(order, dtype=np.int64))


def _smaller(label: NDArray[np.int64]) -> str:
    """Propose numbers that leave sources of the smallest class for the test; "" if it has too few for that."""
    counts = np.bincount(label[label >= 0])
    fewest = min(counts[counts > 0].tolist(), default=0)
    return f", such as {fewest // 2} and {fewest // 4}" if fewest >= 4 else ""


def published_split(dataset: DataSet, name: str = "published") -> Split:
    """Give a published split of a data set, its test set untouched but for unusable images.

    Where no validation set is published, one training source in eight becomes it: sky groups whole, classes in
    their shares, the same for every seed.

    A training or validation source in the sky group of a test source is taken out and listed, likewise
    a training source in the group of a validation source.

    Parameters
    ----------
    dataset : DataSet
        The data set, with the splits that were published of it.
    name : str
        One of them.

    Returns
    -------
    Split
        The sources of each side.

    Raises
    ------
    SpecError
        If the data set has no such split.
    """
    if name not in dataset.splits:
        known = ", ".join(dataset.splits) or 'none; use split = "becker2021"'
        raise SpecError(f"{dataset.card.name} has no split {name!r}; its splits: {known}")
    order = np.arange(len(dataset.catalogue), dtype=np.int64)
    sides = _with_validation(dataset.splits[name].astype("<U10"), dataset.catalogue)
    return _without_leaks(name, dataset.catalogue, sides, order)


def _with_validation(sides: NDArray[Any], catalogue: Catalogue) -> NDArray[Any]:
    """Make a validation side of training sources where there is none."""
    train = np.flatnonzero(sides == "train")
    if (sides == "validation").any() or len(np.unique(catalogue.group[train])) < PARTS:
        return sides
    part = grouped_stratified_folds(catalogue.label[train], catalogue.group[train], PARTS, seed=0)
    sides[train[part == 0]] = "validation"
    return sides


def limit_training(split: Split, label: NDArray[np.int64], limit: int, seed: int) -> Split:
    """Keep a number of training sources, for a learning curve; validation and test stay as they are.

    Parameters
    ----------
    split : Split
        The whole split.
    label : ndarray of int64, shape (n,)
        Classes.
    limit : int
        Training sources to keep. Classes keep their shares, and the sources of a smaller limit are among those
        of a larger one.
    seed : int
        The study seed.

    Returns
    -------
    Split
        The same, with fewer training sources; those left out are used nowhere.

    Raises
    ------
    SpecError
        If there are not as many training sources.
    """
    rows = split.indices("train")
    if not 1 <= limit <= len(rows):
        raise SpecError(f"train_limit: found {limit}; the split has {len(rows)} training sources")
    rows = numpy_generator(seed, "split", part="train").permutation(rows)
    place = np.empty(len(rows))
    for c in np.unique(label[rows]):
        members = label[rows] == c
        place[members] = (np.arange(members.sum()) + 0.5) / members.sum()
    assignment = split.assignment.copy()
    assignment[rows[np.argsort(place, kind="stable")[limit:]]] = ""
    return replace(split, name=f"{split.name}, {limit} for training", assignment=assignment)


def grouped_stratified_folds(
    label: NDArray[np.int64], group: NDArray[np.int64], n_folds: int, seed: int
) -> NDArray[np.int64]:
    """Deal sources into folds: sky groups stay whole, classes are spread evenly.

    Parameters
    ----------
    label, group : ndarray of int64, shape (n,)
        Classes and sky groups.
    n_folds : int
        Number of folds, 2 or more.
    seed : int
        The study seed.

    Returns
    -------
    ndarray of int64, shape (n,)
        Fold of each source, from 0. Every group goes, in random order, larger ones first, to the fold
        that has fewest sources of its most frequent class.
    """
    if not 2 <= n_folds <= len(np.unique(group)):
        raise SpecError(
            f"n_folds: found {n_folds}; legal are 2 to {len(np.unique(group))}, the number of sky groups"
        )
    generator = numpy_generator(seed, "split", folds=n_folds)
    numbers, inverse, sizes = np.unique(group, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(sizes)[:-1])
    shuffled = generator.permutation(len(numbers))
    counts = np.zeros((n_folds, int(label.max()) + 2))
    fold = np.empty(len(label), dtype=np.int64)
    for g in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        classes = np.bincount(label[members[g]] + 1, minlength=counts.shape[1])
        best = np.lexsort((counts.sum(axis=1), counts[:, classes.argmax()]))[0]
        counts[best] += classes
        fold[members[g]] = best
    return fold


def _without_leaks(
    name: str, catalogue: Catalogue, assignment: NDArray[Any], order: NDArray[np.int64]
) -> Split:
    removed = []
    for i in np.flatnonzero((assignment != "") & ((catalogue.flags & Flag.UNUSABLE) != 0)):
        removed.append(
            (str(catalogue.source_id[i]), f"{assignment[i]} image has no signal: all pixels are equal")
        )
        assignment[i] = ""
    for side, others in (("validation", ("test",)), ("train", ("test", "validation"))):
        taken = {int(g): i for i, g in enumerate(catalogue.group) if assignment[i] in others}
        for i in np.flatnonzero(assignment == side):
            other = taken.get(int(catalogue.group[i]))
            if other is not None:
                near = f"in the sky group of {catalogue.source_id[other]} ({assignment[other]})"
                removed.append((str(catalogue.source_id[i]), f"{side} source {near}"))
                assignment[i] = ""
    assert_no_leak(catalogue.source_id, catalogue.group, assignment)
    return Split(name, assignment, order, tuple(removed))
