"""One's own labelled sources, as a classifier sees them: read, grouped on the sky, dealt into folds."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.data.leakage import assert_no_leak, near_any, sky_groups
from rgbench.data.own.files import SetAside
from rgbench.data.own.folder import check_names, placed
from rgbench.data.own.plan import FolderOptions, Wanted, plan_folder
from rgbench.data.split import grouped_stratified_folds
from rgbench.errors import DataError, SpecError
from rgbench.finetuning.spec import LEAST
from rgbench.images.domain import FORBIDDING, Looked, words
from rgbench.images.preprocess import central_crop
from rgbench.numbers import counted
from rgbench.runs.classifier import Classifier
from rgbench.runs.classifier_card import ClassifierCard
from rgbench.runs.inputs import kept_side
from rgbench.runs.seen import OwnImages, SeenImage, see_image

_UNBOUNDED = 1_000_000


@dataclass(frozen=True, eq=False)
class OwnSources:
    """One's own labelled sources; row i of every array is source i.

    Attributes
    ----------
    where : str
        The table of labels, or the folder: what messages name.
    card : Card
        Their name and classes.
    catalogue : Catalogue
        Names, positions, classes and sky groups.
    known : ndarray of bool, shape (n,)
        Whether the classifier has been trained, or tuned, on the source or another of its sky group.
    fields : ndarray of float32, shape (n, side, side)
        Prepared images, as `rgbench predict` shows them to the networks.
    prepared : ndarray of float32, shape (n, wide, wide)
        The same with what turns and shifts bring into the field while training.
    looked : tuple of Looked
        What each image shows.
    set_aside : tuple of SetAside
        Images that could not be used, with the reason.
    remarks : tuple of str
        What should be known of how the table was read, and of sources without a label.
    """

    where: str
    card: Card
    catalogue: Catalogue
    known: NDArray[np.bool_]
    fields: NDArray[np.float32]
    prepared: NDArray[np.float32]
    looked: tuple[Looked, ...]
    set_aside: tuple[SetAside, ...] = ()
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.catalogue)

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the classifier."""
        return self.card.classes

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of names, labels, groups and prepared pixels."""
        return DataSet(self.card, self.catalogue, self.prepared).checksum

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Number of sources of each class, shape (k,)."""
        return np.bincount(self.catalogue.label, minlength=len(self.classes))

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """Whether a source counts in the comparison, shape (n,): it is not known, and `LEAST` of its class are not."""
        unseen = np.bincount(self.catalogue.label[~self.known], minlength=len(self.classes))
        return ~self.known & (unseen >= LEAST)[self.catalogue.label]

    def folds(self, n_folds: int, seed: int) -> NDArray[np.int64]:
        """Deal the sources that are not known into folds, sky groups whole; -1 for those that are known.

        Raises
        ------
        SpecError
            If there are fewer sky groups than folds.
        """
        own, unseen = self.catalogue, np.flatnonzero(~self.known)
        _check_folds(
            n_folds, len(np.unique(own.group[unseen])), "sky groups that the classifier has not seen"
        )
        fold = np.full(len(own), -1, dtype=np.int64)
        fold[unseen] = grouped_stratified_folds(own.label[unseen], own.group[unseen], n_folds, seed)
        for number in range(n_folds):
            assert_no_leak(own.source_id, own.group, np.where(fold == number, "validation", "train"))
        return fold


def _check_folds(n_folds: int, most: int, what: str) -> None:
    if n_folds > most:
        raise SpecError(f"folds: found {n_folds}; legal are 2 to {most}, the number of {what}")


def read_own(
    images: Path | str,
    labels: Path | str | None,
    classifier: Classifier,
    options: FolderOptions,
    folds: int = 2,
) -> OwnSources:
    """Read one's own labelled sources as a classifier sees them.

    Parameters
    ----------
    images : path
        Folder of images, or one HDF5 file.
    labels : path, optional
        Table of names or paths, and labels; as of `rgbench.data.own.folder.load_folder`. Without one, the names of
        folders are the labels.
    classifier : Classifier
        Its classes are the legal ones; images are brought to its pixel scale and beam.
    options : FolderOptions
        Columns of the table, what labels mean, pixel scale where headers do not tell it, and plane of cubes.
    folds : int
        Parts into which they will be dealt: more than there are labelled sources are refused before any image is read.

    Raises
    ------
    DataError
        If the table or a label is wrong, no image can be used, there is one class only, or too few sources of a
        class: the message names the table and what it found.
    SpecError
        If an option is wrong.
    """
    if options.cutout is not None:
        raise SpecError("cutout: images are cut about their middle to the classifier's field; leave it out")
    rule = replace(options.labels, classes=classifier.classes)
    plan = plan_folder(Path(images), labels, None, replace(options, labels=rule))
    where, wanted = str(labels or images), [w for w in plan.wanted if w.label]
    if labels is None:
        check_names(wanted)
    also = _too_few_unseen(wanted, classifier)
    _check_classes(where, Counter(w.label for w in wanted), classifier.classes, also=also)
    _check_folds(folds, len(wanted), "labelled sources")
    kept, aside = _seen(wanted, classifier.card, OwnImages(options.pixel_scale, options.plane))
    if not kept:
        raise DataError(
            f"{where}: none of its {counted(len(wanted), 'labelled source')} has an image that can be used; the first, "
            f"{_first(aside)}"
        )
    found = Counter(w.label for w, _ in kept)
    _check_classes(
        where, found, classifier.classes, f"; {len(aside)} were set aside: {_first(aside)}" if aside else ""
    )
    own = _assembled(Path(images), where, kept, classifier.card)
    own = replace(own, set_aside=tuple(aside), remarks=plan.remarks)
    _check_scored(own, classifier.name)
    return own


def _seen(
    wanted: list[Wanted], card: ClassifierCard, own: OwnImages
) -> tuple[list[tuple[Wanted, SeenImage]], list[SetAside]]:
    """Read the images; give those that can be used, with their sources, and those that cannot."""
    kept: list[tuple[Wanted, SeenImage]] = []
    aside: list[SetAside] = []
    for w in wanted:
        seen = see_image(w.file, card, aside, own, (w.ra, w.dec))
        if seen is not None and seen.oddities & FORBIDDING:
            why = words(seen.oddities & FORBIDDING)
            aside.append(SetAside(seen.place, f"{why}: there is nothing to classify"))
        elif seen is not None:
            kept.append((placed(w, seen.centre), seen))
    return kept, aside


def _assembled(
    root: Path, where: str, kept: list[tuple[Wanted, SeenImage]], card: ClassifierCard
) -> OwnSources:
    sources, images = [w for w, _ in kept], [seen for _, seen in kept]
    _check_once(sources, images)
    ra, dec = np.array([(w.ra, w.dec) for w in sources], dtype=np.float64).T
    group = sky_groups(ra, dec)
    near = near_any(ra, dec, np.array(card.seen, dtype=np.float64).reshape(-1, 2))
    catalogue = Catalogue(
        source_id=np.array([w.name for w in sources]),
        ra=ra,
        dec=dec,
        label=np.array([card.classes.index(w.label) for w in sources], dtype=np.int64),
        group=group,
        path=np.array([seen.place for seen in images]),
        flags=np.zeros(len(kept), dtype=np.int64),
    )
    side = kept_side(card.spec, _UNBOUNDED)
    return OwnSources(
        where=where,
        card=Card(name=root.stem or "folder", title=f"images in {root}", classes=card.classes),
        catalogue=catalogue,
        known=np.isin(group, group[near]),
        fields=np.stack([seen.field for seen in images if seen.field is not None]),
        prepared=np.stack([_padded(seen.prepared, side) for seen in images if seen.prepared is not None]),
        looked=tuple(seen.looked for seen in images),
    )


def _check_once(sources: list[Wanted], images: list[SeenImage]) -> None:
    """Refuse one image under two names where positions do not group them: it could be trained on and scored."""
    first: dict[bytes, str] = {}
    for source, seen in zip(sources, images, strict=True):
        if np.isfinite(source.ra):
            continue
        assert seen.field is not None  # those without a field were set aside
        content = hashlib.sha256(seen.field.tobytes()).digest()
        if content in first:
            raise DataError(
                f"sources {first[content]!r} and {source.name!r} have the same image ({seen.place}); "
                "leave one of them out"
            )
        first[content] = source.name


def _padded(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Cut an image to a side, or fill it up with 0, which is what lies beyond every image while it is turned."""
    cut = central_crop(image, side)
    before = [(side - have) // 2 for have in cut.shape]
    return np.pad(cut, [(b, side - have - b) for b, have in zip(before, cut.shape, strict=True)])


def _check_classes(
    where: str, counts: Counter[str], classes: tuple[str, ...], more: str = "", also: str = ""
) -> None:
    """Raise `DataError` unless there are two classes of `LEAST` sources, and none of fewer.

    `more` is said beside what was found, `also` is another reason, which is said at the end.
    """
    unknown = sorted(set(counts) - set(classes))
    if unknown:
        raise DataError(f"{where}: unknown class {unknown[0]!r}; legal are {', '.join(classes)}")
    if len(counts) < 2:
        found = f"all {counts.total()} are {next(iter(counts))}" if counts else "no source has a label"
        raise DataError(
            f"{where}: {found}; labelled sources of two classes or more of {', '.join(classes)} are needed"
        )
    few = [f"{counts[name]} {name}" for name in classes if 0 < counts[name] < LEAST]
    if few:
        raise DataError(
            f"{where}: has only {', '.join(few)}{more}; {LEAST} sources or more of each class that stands there are "
            f"needed: label more, or leave the class out{also}"
        )


def _too_few_unseen(wanted: list[Wanted], classifier: Classifier) -> str:
    """Say that too few sources can be scored, as far as the positions in the table tell; "" if they do not."""
    near = near_any(
        np.array([w.ra for w in wanted], dtype=np.float64),
        np.array([w.dec for w in wanted], dtype=np.float64),
        np.array(classifier.card.seen, dtype=np.float64).reshape(-1, 2),
    )
    unseen = Counter(w.label for w, known in zip(wanted, near.tolist(), strict=True) if not known)
    if sum(n >= LEAST for n in unseen.values()) >= 2:
        return ""
    return (
        f". Besides, {_unscorable(classifier.name, int(near.sum()), len(wanted), unseen, classifier.classes)}"
    )


def _unscorable(name: str, known: int, n: int, unseen: Counter[str], classes: tuple[str, ...]) -> str:
    """Say how many sources the classifier has seen, how many it has not, and what is needed."""
    found = ", ".join(f"{unseen[c]} {c}" for c in classes if unseen[c]) or "none"
    return (
        f"{name} was trained on {known} of these {counted(n, 'source')}, or on neighbours of theirs; of those that it "
        f"has not seen there are {found}. To compare, {LEAST} or more of each of two classes are needed: label sources "
        "that it has not seen"
    )


def _first(aside: list[SetAside]) -> str:
    more = ", ..." if len(aside) > 1 else ""
    return f"{aside[0].source}: {aside[0].reason}{more}"


def _check_scored(own: OwnSources, name: str) -> None:
    """Raise `DataError` unless two classes or more can be scored."""
    if len(np.unique(own.catalogue.label[own.scored])) >= 2:
        return
    unseen = Counter(own.classes[k] for k in own.catalogue.label[~own.known].tolist())
    known = int(own.known.sum())
    raise DataError(f"{own.where}: {_unscorable(name, known, len(own), unseen, own.classes)}")
