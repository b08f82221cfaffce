"""Apply a classifier to FITS images: a table of source, class, probabilities, and what is odd about each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.leakage import near_any
from rgbench.data.own.files import ImageFile, SetAside, file_stem, passed_over, search_images
from rgbench.errors import DataError, SpecError
from rgbench.images.domain import Oddity, words
from rgbench.images.fits import ENDINGS as FITS_ENDINGS
from rgbench.images.fits import NO_IMAGE
from rgbench.measures.calibration import Floats
from rgbench.measures.prior import complete_shares, with_prior
from rgbench.notebook import Tabular, ends, html_table
from rgbench.numbers import counted, probability
from rgbench.runs.classifier import Classifier
from rgbench.runs.engines import TORCH
from rgbench.runs.export import classifier_of_run
from rgbench.runs.output_tables import Columns, is_own_table, table_writer
from rgbench.runs.reopen import StoredRun
from rgbench.runs.seen import AS_TOLD, OwnImages, SeenImage, see_image
from rgbench.store.files import check_output, into_place
from rgbench.store.store import RunRecord, Store
from rgbench.version import version

CHUNK = 64
"""Images that are read and classified together; bounds the memory, and what a stop loses."""
NOT_REACHED = "not looked at: the work was stopped before"
"""Why a file has no class in a table of work that was stopped."""

OWN_TABLE = "is a table of classes that rgbench wrote, no image"
"""Why a table among the images has no class, which is no failure."""


@dataclass(frozen=True)
class Classified(Tabular):
    """Classes of images, and what could not be classified. Row i of every array is image i.

    Attributes
    ----------
    path : list of str
        Path of each image that could be read.
    classes : tuple of str
        Class names, in the order of the columns of `probabilities`.
    probabilities : ndarray of float64, shape (n, n_classes)
        Calibrated class probabilities; NaN where a flag allows no class.
    set_aside : list of SetAside
        Path and reason of each file that could not be looked at.
    sets : ndarray of bool, shape (n, n_classes), optional
        Conformal sets; None if the classifier has none.
    spread : ndarray of float64, shape (n,)
        Standard deviation, over the members of the classifier, of the probability of the most probable class; NaN if
        it has one member, or there is no class.
    unlike : ndarray of float64, shape (n,)
        Share of the validation sources that are less unlike the training sources; NaN if it is not known.
    oddities : list of Oddity
        Flags of each image.
    ra, dec : ndarray of float64, shape (n,)
        Middle of each image in degrees, ICRS; NaN if the header does not tell.
    remarks : list of str
        What was taken on trust of each image, "" for nothing.
    made_by : str
        The classifier, its views, the prior and the version of rgbench.
    """

    path: list[str]
    classes: tuple[str, ...]
    probabilities: Floats
    set_aside: list[SetAside]
    sets: NDArray[np.bool_] | None = None
    spread: Floats = field(default_factory=lambda: np.zeros(0))
    unlike: Floats = field(default_factory=lambda: np.zeros(0))
    oddities: list[Oddity] = field(default_factory=list)
    ra: Floats = field(default_factory=lambda: np.zeros(0))
    dec: Floats = field(default_factory=lambda: np.zeros(0))
    remarks: list[str] = field(default_factory=list)
    made_by: str = ""

    def table(self) -> dict[str, NDArray[Any]]:
        """Give the columns with a row for every file: after the images those that were set aside.

        They have no class, and the reason as their remark.
        """
        own, n = self.columns(), len(self.set_aside)
        paths = [path for path, _ in self.set_aside]
        lacking = {key: np.full(n, "" if values.dtype.kind == "U" else np.nan) for key, values in own.items()}
        lacking["source"] = np.array([file_stem(path) for path in paths], dtype=str)
        lacking["path"] = np.array(paths, dtype=str)
        lacking["remark"] = np.array([reason for _, reason in self.set_aside], dtype=str)
        lacking["classifier"] = np.full(n, self.made_by)
        return {key: np.concatenate((values, lacking[key])) for key, values in own.items()}

    def columns(self) -> dict[str, NDArray[Any]]:
        """Give the columns of the images that could be read.

        They are source, path, class, one probability per class, and what is known beside it: spread, set (classes
        with a bar between them), unlike, flags, ra, dec and remark; classifier says what gave them.
        """
        names = np.array(self.classes)
        known = np.isfinite(self.probabilities).all(axis=1)
        winners = np.where(known, names[np.nan_to_num(self.probabilities).argmax(axis=1)], "")
        sets = np.zeros_like(self.probabilities, bool) if self.sets is None else self.sets
        table = {
            "source": np.array([file_stem(p) for p in self.path], dtype=str),
            "path": np.array(self.path, dtype=str),
            "class": winners.astype(str),
        }
        table |= {f"p_{name}": self.probabilities[:, k] for k, name in enumerate(self.classes)}
        return table | {
            "spread": self.spread,
            "set": np.array(["|".join(names[own]) for own in sets], dtype=str),
            "unlike": self.unlike,
            "flags": np.array([words(odd) for odd in self.oddities], dtype=str),
            "ra": self.ra,
            "dec": self.dec,
            "remark": np.array(self.remarks or [""] * len(self.path), dtype=str),
            "classifier": np.full(len(self.path), self.made_by),
        }

    def _repr_html_(self) -> str:
        columns, n = self.table(), len(self.path) + len(self.set_aside)
        p = np.full(n, np.nan)
        p[: len(self.path)] = self.probabilities.max(axis=1)
        rows = [
            {name: str(columns[name][i]) for name in ("source", "class")}
            | {"probability": probability(float(p[i]))}
            | {name: str(columns[name][i]) for name in ("set", "flags", "remark")}
            for i in ends(n)
        ]
        return html_table(
            f"{counted(n, 'image')}, classified", rows, [self.made_by] if self.made_by else (), n
        )


def classify(
    record: RunRecord,
    store: Store,
    paths: Sequence[Path | str],
    model: str = "best",
    device: str = "cpu",
    own: OwnImages = AS_TOLD,
) -> Classified:
    """Classify FITS images with the network of a stored run.

    Parameters
    ----------
    record : RunRecord
        A complete run.
    store : Store
        The store that holds its weights.
    paths : sequence of path
        Files, or folders that are searched for FITS files; see `classify_files`.
    model : {"best", "final"}
        Which weights.
    device : str
        A torch device.
    own : OwnImages
        What is said of the images beside their headers.

    Returns
    -------
    Classified
        As `classify_files` gives it. Probabilities are calibrated on the run's validation sources; how unlike its
        training sources an image is, and whether it was among them, is not known.

    Raises
    ------
    SpecError
        If the run is not complete, or there is no such model.
    DataError
        If no FITS file is found, or none can be read.
    DeviceError
        If the device is not there.
    """
    return classify_files(classifier_of_run(StoredRun(record, store, model, device)), paths, own=own)


def classify_files(
    classifier: Classifier,
    paths: Sequence[Path | str],
    prior: Mapping[str, float] | None = None,
    own: OwnImages = AS_TOLD,
) -> Classified:
    """Classify FITS images.

    Parameters
    ----------
    classifier : Classifier
        As from `rgbench.load_classifier`.
    paths : sequence of path
        Files, or folders that are searched for FITS files, subfolders included, as
        `rgbench.data.own.files.search_images` does; PNG and HDF5, which tell no pixel scale, only by name.
    prior : mapping of str to float, optional
        Shares of classes in the survey, see `rgbench.measures.prior`; by default those of training.
    own : OwnImages
        What is said of the images beside their headers: their pixel scale, the plane of cubes.

    Returns
    -------
    Classified
        Every file is classified, or set aside with its reason; the table has a row for each. An image of another
        pixel scale or a finer beam is brought to those of training, a larger one cut to its centre; all that is odd
        is flagged.

    Raises
    ------
    SpecError
        If a share is not legal.
    DataError
        If no FITS file is found, or none can be read.
    """
    return Classifying(classifier, paths, prior, own).run()


class Classifying:
    """The work of `classify_files`, which can be looked at while it goes on, and after it was stopped.

    Takes what `classify_files` takes, and raises what it raises.

    Attributes
    ----------
    files : list of ImageFile
        The files, in the order in which they are looked at.
    passed : dict of Path to str
        Files of folders that are passed over, and their kind.
    done : int
        How many files were looked at.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from rgbench.runs.classifier import load_classifier
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.fits"
    ...     _ = file.write_bytes(b"no image")
    ...     work = Classifying(load_classifier(), [file])
    ...     work.so_far().set_aside[0].reason
    'not looked at: the work was stopped before'
    """

    def __init__(
        self,
        classifier: Classifier,
        paths: Sequence[Path | str],
        prior: Mapping[str, float] | None = None,
        own: OwnImages = AS_TOLD,
    ) -> None:
        self.classifier, self.own = classifier, own
        self._made_by = _made_by(classifier, prior)
        self._shares = complete_shares(prior, classifier.classes, classifier.prior) if prior else None
        self.files, self.passed = search_images(paths, FITS_ENDINGS)
        self._paths = paths
        self._check_files()
        self.done = 0
        self._parts: list[_Part] = []

    def leave_out_table(self, path: Path) -> None:
        """Leave out of the files a table that is to be replaced.

        Raises
        ------
        SpecError
            If there is one of the images at the path, or another file that is to be classified.
        DataError
            If nothing else is there to be classified.
        """
        if not path.exists():
            return
        same = [file for file in self.files if file.path.exists() and file.path.samefile(path)]
        if same and not is_own_table(path):
            raise SpecError(
                f"--out {path}: is one of the files that are to be classified; choose another name"
            )
        self.files = [file for file in self.files if file not in same]
        self._check_files()

    def _check_files(self) -> None:
        if not self.files:
            passed = f"; {passed_over(self.passed)}" if self.passed else ""
            places = ", ".join(map(str, self._paths))
            raise DataError(f"{places}: no FITS file ({', '.join(FITS_ENDINGS)}) there{passed}")

    def run(self, told: Callable[[int, int], None] = lambda done, total: None) -> Classified:
        """Classify all files; `told` is given the files looked at and the files in all, again and again."""
        while self.done < len(self.files):
            files = self.files[self.done : self.done + CHUNK]
            self._parts.append(self._part(files))
            self.done += len(files)
            told(self.done, len(self.files))
        result = self.so_far()
        if not result.path:
            name, reason = result.set_aside[0]
            raise DataError(
                f"none of {len(self.files)} files could be classified; the first, {name}: {reason}"
            )
        return result

    def so_far(self) -> Classified:
        """Give what is known by now; the files that were not looked at are set aside."""
        waiting = [SetAside(file.place, NOT_REACHED) for file in self.files[self.done :]]
        return replace(_joined(self.classifier, self._parts, waiting), made_by=self._made_by)

    def _part(self, files: Sequence[ImageFile]) -> _Part:
        aside: list[SetAside] = []
        read = [see_image(file, self.classifier.card, aside, self.own) for file in files]
        aside = [_of_table(each) for each in aside]
        rows = [row for row in read if row is not None]
        answers = answer(rows, self.classifier, self._shares)
        return _Part([row.without_pixels() for row in rows], aside, answers)


def _of_table(aside: SetAside) -> SetAside:
    """Give the reason anew where a file holds no image as it is a table that was written here."""
    ours = aside.reason == NO_IMAGE and is_own_table(Path(aside.source))
    return aside._replace(reason=OWN_TABLE) if ours else aside


def write_table(path: Path, result: Classified, overwrite: bool = False) -> None:
    """Write the classes to a table: by its ending CSV, Parquet, VOTable, FITS or one of `rgbench.runs.output_tables`.

    Raises
    ------
    SpecError
        If the ending is none of those, or the file is there and `overwrite` is false.
    StoreError
        If it cannot be written.
    """
    write_columns(path, result.table(), overwrite)


def write_columns(path: Path, columns: Columns, overwrite: bool = False) -> None:
    """Write columns to a table, as `write_table` does."""
    check_table_path(path, overwrite)
    write = table_writer(path)
    with into_place(path) as temporary:
        write(temporary, columns)


def check_table_path(path: Path, overwrite: bool) -> None:
    """Raise `SpecError` if a table cannot go to a path: before the work, not after it."""
    table_writer(path)
    check_output(path, overwrite)


def _made_by(classifier: Classifier, prior: Mapping[str, float] | None) -> str:
    """Say what gives the classes, so that two tables can be told apart."""
    shares = [f"prior {','.join(f'{name}={share:g}' for name, share in prior.items())}"] if prior else []
    engine = [] if classifier.engine == TORCH else [f"engine {classifier.engine}"]
    words = [
        classifier.name,
        f"views {classifier.views}",
        *engine,
        *shares,
        f"rgbench {version()}",
    ]
    return "; ".join(words)


@dataclass(frozen=True)
class Answers:
    """What the classifier said of some images; NaN and empty sets where it was not asked."""

    probabilities: Floats
    spread: Floats
    sets: NDArray[np.bool_] | None
    unlike: Floats


Ask = Callable[[NDArray[np.float32]], tuple[Floats, Floats]]
"""Gives what `Classifier.members_and_unlike` gives of prepared images."""


def answer(
    rows: Sequence[SeenImage], classifier: Classifier, shares: Floats | None, ask: Ask | None = None
) -> Answers:
    """Ask a classifier about what was seen; with shares of classes in a survey, correct for them.

    With `ask` the networks are elsewhere: the classifier itself gives calibration and classes alone.
    """
    ask = ask or partial(classifier.members_and_unlike, prepared=True)
    n, k = len(rows), len(classifier.classes)
    asked = np.array([row.field is not None for row in rows], dtype=bool)
    found = np.full((n, k), np.nan)
    spread, unlike = np.full(n, np.nan), np.full(n, np.nan)
    sets = None if classifier.card.conformal is None else np.zeros((n, k), dtype=bool)
    if asked.any():
        fields = np.stack([row.field for row in rows if row.field is not None])
        each, unlike[asked] = ask(fields)
        scores = classifier.calibrated(classifier.joined(each))
        own = classifier.sets(scores)
        if sets is not None and own is not None:
            sets[asked] = own
        members = np.stack([classifier.calibrated(scores_of_one) for scores_of_one in each])
        if shares is not None:
            scores = with_prior(scores, shares, classifier.prior)
            members = np.stack(
                [with_prior(scores_of_one, shares, classifier.prior) for scores_of_one in members]
            )
        found[asked] = np.exp(scores)
        spread[asked] = _spread(np.exp(members), scores.argmax(axis=1))
    return Answers(found, spread, sets, unlike)


def _spread(members: Floats, winner: NDArray[np.int64]) -> Floats:
    """Give the sample standard deviation over members (m, n, k) of the probability of one class of each image, (n,)."""
    if len(members) < 2:
        return np.full(len(winner), np.nan)
    return np.asarray(members[:, np.arange(len(winner)), winner].std(axis=0, ddof=1))


@dataclass(frozen=True)
class _Part:
    """Some files: the images, those set aside, and what the classifier said of the images."""

    rows: list[SeenImage]
    aside: list[SetAside]
    answers: Answers


def _joined(classifier: Classifier, parts: Sequence[_Part], waiting: list[SetAside]) -> Classified:
    # Of no images too the columns have their types and widths.
    parts = [_Part([], [], answer([], classifier, None)), *parts]
    rows, answers = [row for part in parts for row in part.rows], [part.answers for part in parts]
    ra, dec = np.array([row.centre for row in rows], dtype=np.float64).reshape(-1, 2).T
    seen = near_any(ra, dec, np.array(classifier.card.seen, dtype=np.float64).reshape(-1, 2))
    marks = [Oddity.IN_TRAINING if old else Oddity(0) for old in seen]
    sets = [each.sets for each in answers if each.sets is not None]
    return Classified(
        path=[row.place for row in rows],
        classes=classifier.classes,
        probabilities=np.concatenate([each.probabilities for each in answers]),
        set_aside=[*(file for part in parts for file in part.aside), *waiting],
        sets=np.concatenate(sets) if sets else None,
        spread=np.concatenate([each.spread for each in answers]),
        unlike=np.concatenate([each.unlike for each in answers]),
        oddities=[row.oddities | mark for row, mark in zip(rows, marks, strict=True)],
        ra=ra,
        dec=dec,
        remarks=[row.remark for row in rows],
    )
