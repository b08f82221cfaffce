"""Train on one data set, test on another: one set made of two, and no source of both on two sides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import Catalogue, DataSet
from rgbench.data.leakage import RADIUS, linked_groups, sky_links
from rgbench.data.twins import find_twins
from rgbench.errors import DataError, LeakageError, SpecError
from rgbench.images.geometry import central_crop, resample
from rgbench.numbers import counted

POLICIES = ("remove", "refuse")
"""What happens to a training source that stands in the test set too."""
TEST_SOURCES = ("test", "all")
"""Which sources of the other set are tested on: its published test side, or all of them."""
_SCALES_AGREE = 0.01


def train_here_test_there(
    train: DataSet, test: DataSet, split: str = "published", sources: str = "test", shared: str = "remove"
) -> DataSet:
    """Make one data set: training and validation from one, the test side from another.

    Parameters
    ----------
    train : DataSet
        Its split gives training and validation sources; its own test sources are not used.
    test : DataSet
        Its images are brought to the pixel scale of the other's, and both to the smaller field. A source of
        a class that `train` does not have is set aside.
    split : str
        Name of the published split of `train`.
    sources : {"test", "all"}
        Which sources of `test` are tested on.
    shared : {"remove", "refuse"}
        Training sources within 60 arcsec of a test source, chains included, are taken out by the split, or
        refused. Where positions are not known, those whose image may show the same source: they are set
        aside here.

    Returns
    -------
    DataSet
        With the split "published"; names of test sources begin with the name of their data set.

    Raises
    ------
    SpecError
        If the split or an option is not known.
    LeakageError
        If sources are shared and `shared` is "refuse"; the message names them. Always, if positions are not
        known and the images come from different surveys: what is shared cannot be found then.
    DataError
        If the pixel scales are not known, or no class is common.
    """
    _check(train, test, sources, shared)
    ours, theirs = _side(train, split), _tested(test, sources)
    train_images, test_images = _one_grid(train, test)
    group = joint_groups(train.catalogue, test.catalogue)
    label = _labels(test, train.classes)
    foreign = theirs & (label < 0)
    theirs &= label >= 0
    twins = _twins(train, test, ours != "", theirs)
    assignment = np.concatenate((ours, np.where(theirs, "test", "")))
    if shared == "refuse":
        _refuse(train, test, ours, theirs, group, twins)
    assignment[[row for row, _ in twins]] = ""
    keep = assignment != ""
    catalogue = _joined(train.catalogue, test.catalogue, test.card.name, label, group)
    aside = [
        *train.set_aside,
        *test.set_aside,
        *((str(train.catalogue.source_id[row]), reason) for row, reason in twins),
        *(
            (
                str(test.catalogue.source_id[row]),
                f"class {test.classes[test.catalogue.label[row]]}: not trained",
            )
            for row in np.flatnonzero(foreign)
        ),
    ]
    return DataSet(
        replace(
            train.card,
            name=f"{train.card.name} to {test.card.name}",
            version=_versions(train, test),
            image_size=None,
        ),
        catalogue.take(keep),
        np.concatenate((train_images, test_images))[keep],
        {"published": assignment[keep]},
        tuple(aside),
    )


def joint_groups(*catalogues: Catalogue) -> NDArray[np.int64]:
    """Number the sky groups of several catalogues together; groups within one of them stay whole.

    Returns
    -------
    ndarray of int64, shape (n1 + n2 + ...,)
        Group numbers from 0, catalogue after catalogue.
    """
    ra = np.concatenate([each.ra for each in catalogues])
    dec = np.concatenate([each.dec for each in catalogues])
    links, start = [sky_links(ra, dec, RADIUS)], 0
    for each in catalogues:
        _, first, inverse = np.unique(each.group, return_index=True, return_inverse=True)
        links.append(np.stack((first[inverse], np.arange(len(each))), axis=1) + start)
        start += len(each)
    return linked_groups(start, links)


def _check(train: DataSet, test: DataSet, sources: str, shared: str) -> None:
    if train.card.name == test.card.name:
        raise SpecError(f"test: {test.card.name!r} is the training set itself; name another, or leave it out")
    for key, value, legal in (("test_sources", sources, TEST_SOURCES), ("shared", shared, POLICIES)):
        if value not in legal:
            raise SpecError(f"{key}: found {value!r}; legal are {', '.join(legal)}")
    if not set(train.classes) & set(test.classes):
        raise DataError(
            f"{test.card.name} has the classes {', '.join(test.classes)}, none of which {train.card.name} has"
        )


def _side(train: DataSet, split: str) -> NDArray[Any]:
    """Give "train", "validation" or "" for each source of the training set."""
    if split not in train.splits:
        known = ", ".join(train.splits) or "none"
        raise SpecError(
            f"split: {train.card.name} has no published split {split!r}; where another set is tested on, legal are "
            f"{known}"
        )
    sides = train.splits[split].astype("<U10")
    return np.where(np.isin(sides, ("train", "validation")), sides, "")


def _tested(test: DataSet, sources: str) -> NDArray[np.bool_]:
    labelled = test.catalogue.label >= 0
    if sources == "all":
        return labelled
    if "published" not in test.splits:
        raise SpecError(f'{test.card.name} has no published test side; give test_sources = "all"')
    return np.asarray(labelled & (test.splits["published"] == "test"))


def _one_grid(train: DataSet, test: DataSet) -> tuple[NDArray[Any], NDArray[Any]]:
    """Bring the images of both sets to the pixel scale of the first and the smaller field."""
    scales = train.card.pixel_scale, test.card.pixel_scale
    if not np.isfinite(scales).all():
        names = f"{train.card.name}: {scales[0]}, {test.card.name}: {scales[1]} arcsec"
        raise DataError(f"the pixel scale must be known to test on another set; found {names}")
    theirs = test.images
    if abs(scales[1] / scales[0] - 1) > _SCALES_AGREE:
        wanted = int(max(train.images.shape[1:]) * scales[0] / scales[1]) + 2
        theirs = resample(central_crop(theirs, wanted).astype(np.float32), scales[1], scales[0])
    field = tuple(min(a, b) for a, b in zip(train.images.shape[1:], theirs.shape[1:], strict=True))
    return central_crop(train.images, (field[0], field[1])), central_crop(theirs, (field[0], field[1]))


def _labels(test: DataSet, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Give the labels of the test set as indices into the classes of the training set."""
    places = [classes.index(name) if name in classes else -1 for name in test.classes]
    return np.array([*places, -1], dtype=np.int64)[test.catalogue.label]


def _twins(
    train: DataSet, test: DataSet, ours: NDArray[np.bool_], theirs: NDArray[np.bool_]
) -> list[tuple[int, str]]:
    """Give row and reason of each training source whose image may show a test source without position."""
    nowhere = [~np.isfinite(each.catalogue.ra) for each in (train, test)]
    if not (nowhere[0].any() or nowhere[1].any()):
        return []
    if train.card.survey != test.card.survey:
        blind = " and ".join(
            each.card.name for each, unknown in zip((train, test), nowhere, strict=True) if unknown.any()
        )
        raise LeakageError(
            f"{blind}: positions are not known, and images of {train.card.survey} and {test.card.survey} are too "
            "different to find the sources that both sets hold"
        )
    rows, others = np.flatnonzero(ours), np.flatnonzero(theirs)
    mine, foreign = _one_grid(train, test)
    found = find_twins(mine[rows], foreign[others])
    reasons: dict[int, str] = {}
    for (i, j), likeness in zip(found.pairs, found.correlation, strict=True):
        row, other = int(rows[i]), int(others[j])
        if nowhere[0][row] or nowhere[1][other]:
            name = test.catalogue.source_id[other]
            reasons.setdefault(
                row,
                f"its image may show the test source {test.card.name}/{name} (correlation {likeness:.3f})",
            )
    return sorted(reasons.items())


def _refuse(
    train: DataSet,
    test: DataSet,
    ours: NDArray[Any],
    theirs: NDArray[np.bool_],
    group: NDArray[np.int64],
    twins: list[tuple[int, str]],
) -> None:
    n = len(train.catalogue)
    near = np.isin(group[:n], group[n:][theirs]) & (ours != "")
    names = train.catalogue.source_id[near].tolist() + [train.catalogue.source_id[row] for row, _ in twins]
    if names:
        listed = ", ".join(str(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")
        many = counted(len(names), "training source")
        are = "is a test source" if len(names) == 1 else "are test sources"
        raise LeakageError(f"{many} of {train.card.name} {are} of {test.card.name} too: {listed}")


def _joined(
    train: Catalogue, test: Catalogue, name: str, label: NDArray[np.int64], group: NDArray[np.int64]
) -> Catalogue:
    def both(column: str) -> NDArray[Any]:
        return np.concatenate((getattr(train, column), getattr(test, column)))

    names = np.array([f"{name}/{source}" for source in test.source_id.tolist()])
    return Catalogue(
        source_id=np.concatenate((train.source_id, names)),
        ra=both("ra"),
        dec=both("dec"),
        label=np.concatenate((train.label, label)),
        group=group,
        path=both("path"),
        flags=both("flags"),
    )


def _versions(train: DataSet, test: DataSet) -> str:
    return f"{train.card.version}; tested on {test.card.version}"
