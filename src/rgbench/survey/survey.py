"""From a catalogue and mosaics to a class for every row: the whole of it, which can be stopped and goes on."""

from __future__ import annotations

import math
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from rgbench.data.own.files import SetAside
from rgbench.errors import SpecError
from rgbench.images.domain import Oddity, words
from rgbench.images.fits import FitsImage
from rgbench.measures.prior import complete_shares
from rgbench.queues.hand_on import MOST_JOBS, Bundles, Submit, Work, run_queue
from rgbench.runs.classifier import Classifier, Views, load_classifier
from rgbench.runs.inputs import side_that_counts
from rgbench.runs.seen import unlikely_pixels
from rgbench.store.files import locked, remove_halves
from rgbench.survey.catalogue import SurveyCatalogue
from rgbench.survey.executors import Told, run_here, run_processes
from rgbench.survey.formats.about import About
from rgbench.survey.job import CLASSIFIER, Job, compute
from rgbench.survey.merge import PREFIX, Merged, write_partitions
from rgbench.survey.mosaics import IMAGES, Mosaic, find_mosaics, fits_files
from rgbench.survey.plan import Asked, Plan, make_plan
from rgbench.survey.sizes import check_unresolved
from rgbench.survey.weights import Weights, find_weights, map_files, which_option
from rgbench.version import version

PARTITION = 1_000_000
"""Rows of a file of classes."""
WORK, CLASSES, UNPACKED = "work", "classes", "unpacked"
"""Folders of a survey: what is needed to go on, and the result; of the work, what was packed."""


def _nobody(shard: int) -> None:
    """Is told of a shard, and does nothing."""


@dataclass(frozen=True)
class SurveyChoice:
    """How a survey is classified.

    Attributes
    ----------
    columns : mapping of str to str
        Columns of the catalogue that are not to be found: name, position, ra, dec, size.
    views : int or "auto", optional
        Turns and reflections that an answer is averaged over; None for those of the classifier.
    prior : mapping of str to float
        Shares of classes in the survey; empty for those of training.
    device : str
        A torch device.
    overwrite : bool
        Whether the work of another survey in the folder may be replaced.
    weights, noise_maps : tuple of path
        Maps of weight or of noise, or folders of them, one for each mosaic: of several mosaics that cover a source
        that with the greatest weight, or the least noise, is taken. One of both at most.
    unresolved_below : float, optional
        Size in the catalogue, arcsec, below which a row gets the class Compact without a look at an image.
    whole_sources : bool
        Whether each row is a whole source, lobes included: the light of all other rows is then taken out of the picture
        of each.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    views: Views | None = None
    prior: Mapping[str, float] = field(default_factory=dict)
    device: str = "cpu"
    overwrite: bool = False
    weights: tuple[Path, ...] = ()
    noise_maps: tuple[Path, ...] = ()
    unresolved_below: float | None = None
    whole_sources: bool = False


@dataclass(frozen=True, eq=False)
class Survey:
    """A survey whose work is cut.

    Attributes
    ----------
    out : path
        Its folder.
    catalogue : SurveyCatalogue
        The rows.
    mosaics : list of Mosaic
        The images.
    plan : Plan
        The work.
    job : Job
        The work as a queue hands it on.
    classifier : Classifier
        What classifies.
    aside : list of SetAside
        Images that cannot be used, and why.
    choice : SurveyChoice
        How it is classified.
    """

    out: Path
    catalogue: SurveyCatalogue
    mosaics: list[Mosaic]
    plan: Plan
    job: Job
    classifier: Classifier
    aside: list[SetAside]
    choice: SurveyChoice

    @property
    def corner(self) -> float:
        """How far from a source, in arcsec, its picture reaches: half its diagonal."""
        side = _scale(self.classifier, self.mosaics) * self.classifier.card.spec.images.field
        return side * math.sqrt(0.5)

    def run(
        self, jobs: int | None = None, told: Told = _nobody, share: tuple[int, int] = (0, 1)
    ) -> list[int]:
        """Compute the shards that are missing; give those that were lost: their process died twice.

        Parameters
        ----------
        jobs : int, optional
            Processes; by default one for each core.
        told : callable
            Is told each shard that is finished.
        share : (int, int)
            Which share of the work, from 0, of how many: what one job of a queue does.
        """
        missing = self.missing(share)
        jobs = min(jobs or usable_cores(), max(1, len(missing)))
        if jobs == 1:
            return run_here(self.job, missing, told)
        return run_processes(self.job, missing, jobs, told)

    def run_on(self, submit: Submit, told: Told = _nobody, most: int = MOST_JOBS) -> list[int]:
        """Compute the shards that are missing on a queue, in at most so many jobs; give those that were lost.

        Where some were, the last words of the job that lost one are told as a warning.

        Parameters
        ----------
        submit : callable
            See `rgbench.queues.hand_on.Submit`.
        told : callable
            Is told each shard that is finished.
        most : int
            Jobs of the queue.
        """
        missing = self.plan.missing()
        how = Bundles(size=max(1, math.ceil(len(missing) / most)), ahead=most)
        lost = run_queue(Work(partial(compute, self.job), self._missing_of, told), missing, submit, how)
        if lost:
            failure = list(lost.values())[-1]
            warnings.warn(f"the last job of the queue that failed: {failure}", stacklevel=2)
        return list(lost)

    def _missing_of(self, shards: Sequence[int]) -> list[int]:
        """Give those of some shards that are not finished. The folder is read anew, also on network file systems."""
        missing = set(self.plan.missing())
        return [shard for shard in shards if shard in missing]

    def missing(self, share: tuple[int, int] = (0, 1)) -> list[int]:
        """Give the shards of a share that are not finished."""
        return [shard for shard in self.plan.missing() if shard % share[1] == share[0]]

    @property
    def merged(self) -> Merged:
        """The rows of the catalogue with what the shards say that are finished now."""
        return Merged(
            self.catalogue, self.plan, self.classifier.classes, [each.name for each in self.mosaics]
        )

    @cached_property
    def about(self) -> About:
        """What makes the classes."""
        classifier = self.classifier
        return About(
            classifier.name,
            _checksum(classifier),
            version(),
            classifier.classes,
            self.job.views or classifier.views,
            dict(self.job.prior),
        )

    def write(self, rows: int = PARTITION) -> list[Path]:
        """Write every row of the catalogue with its class, as Parquet; give the files."""
        if not self.plan.missing():
            remove_halves(self.plan.folder / "done")
        return write_partitions(self.merged, self.out / CLASSES, rows, self.about)

    def counts(self) -> Counts:
        """Count the classes of what was written, and the rows that could not be looked at."""
        classes: Counter[str] = Counter()
        failed = sized = 0
        for path in sorted((self.out / CLASSES).glob("part-*.parquet")):
            part = pq.read_table(path, columns=[f"{PREFIX}class", f"{PREFIX}flags"])
            own, flags = part.columns
            classes.update({each["values"]: each["counts"] for each in own.value_counts().to_pylist()})
            failed += pc.sum(pc.and_(pc.equal(own, ""), pc.equal(flags, ""))).as_py() or 0
            sized += pc.sum(pc.equal(flags, words(Oddity.FROM_SIZE))).as_py() or 0
        return Counts(classes, failed, sized)


@dataclass(frozen=True)
class Counts:
    """How many rows have each class.

    Attributes
    ----------
    classes : dict of str to int
        "" counts those without one.
    failed : int
        Those that could not be looked at: no position, no image there, or one that cannot be read.
    from_size : int
        Those whose class follows from their size in the catalogue.
    """

    classes: Mapping[str, int]
    failed: int
    from_size: int = 0


def plan_survey(
    catalogue: Path | str,
    images: Sequence[Path | str],
    out: Path | str,
    classifier: Classifier | None = None,
    choice: SurveyChoice | None = None,
) -> Survey:
    """Read a catalogue and the headers of images, and cut the work; what was done before is kept.

    Parameters
    ----------
    catalogue : path
        CSV, ECSV, VOTable, FITS table or Parquet.
    images : sequence of path
        Mosaics, or folders that are searched for them.
    out : path
        Folder of the survey; it is made, but not those above it.
    classifier : Classifier, optional
        By default the one that comes with the package.
    choice : SurveyChoice, optional
        How to classify.

    Raises
    ------
    SpecError
        If the folder holds the work of another survey, or what was asked is not legal.
    DataError
        If the catalogue or all images cannot be read.
    StoreError
        If the folder cannot be written to.
    """
    choice = choice or SurveyChoice()
    classifier = classifier or load_classifier(device=choice.device)
    if choice.views is not None:
        classifier.with_views(choice.views)
    if choice.prior:
        complete_shares(choice.prior, classifier.classes, classifier.prior)
    rows = SurveyCatalogue(catalogue, choice.columns)
    if choice.unresolved_below is not None:
        check_unresolved(choice.unresolved_below, rows, classifier.classes)
    folder = Path(out) / WORK
    make_folder(Path(out), folder)
    with locked(folder / ".lock"):
        remove_halves(folder)
        aside: list[SetAside] = []
        files = _map_files(images, choice)
        mosaics = find_mosaics(
            images,
            folder / UNPACKED,
            aside,
            unlikely_for(classifier),
            files,
        )
        option = which_option(choice.weights, choice.noise_maps)
        weights = find_weights(files, mosaics, option, folder / UNPACKED) if option else None
        asked = _asked(rows, mosaics, classifier, choice, weights)
        plan = Plan(folder)
        if not _goes_on(plan, asked, choice.overwrite):
            shutil.rmtree(folder / "done", ignore_errors=True)
            classifier.save(folder / CLASSIFIER)
            plan = make_plan(folder, asked, rows.positions(), mosaics, weights)
    how = (choice.views, tuple(choice.prior.items()), choice.device, classifier.engine)
    job = Job(folder.resolve(), *how, asked.checksum)
    return Survey(Path(out), rows, mosaics, plan, job, classifier, aside, choice)


def unlikely_for(classifier: Classifier) -> Callable[[FitsImage], str]:
    """Give what says why a classifier cannot look at an image, by its face; "" if it can."""
    domain = classifier.card.domain
    return lambda face: unlikely_pixels(face, face.pixel_scale, domain)


def usable_cores() -> int:
    """Give the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_folder(out: Path, folder: Path) -> None:
    """Make the folder of the work within that of a survey.

    Raises
    ------
    SpecError
        If there is a file, or no folder above it, or it cannot be made.
    """
    if out.exists() and not out.is_dir():
        raise SpecError(f"--out {out}: is a file; name a folder")
    if not out.parent.is_dir():
        raise SpecError(f"--out {out}: there is no folder {out.parent}; make it first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"--out {out}: cannot be written: {error.strerror or error}") from error


def _map_files(images: Sequence[Path | str], choice: SurveyChoice) -> list[Path]:
    """Give the files that are maps of weight or noise."""
    option = which_option(choice.weights, choice.noise_maps)
    if not option:
        return []
    return map_files([*choice.weights, *choice.noise_maps], fits_files(images, IMAGES), option)


def _asked(
    rows: SurveyCatalogue,
    mosaics: Sequence[Mosaic],
    classifier: Classifier,
    choice: SurveyChoice,
    weights: Weights | None,
) -> Asked:
    maps = [each.image for each in weights.maps] if weights else []
    files = [rows.path, *(each.path for each in (*mosaics, *maps))]
    option = which_option(choice.weights, choice.noise_maps)
    return Asked(
        catalogue=str(rows.path.resolve()),
        columns=tuple(rows.profile.placed),
        mosaics=tuple((str(each.path.resolve()), each.face.path, each.place) for each in mosaics),
        stamps=tuple((file.stat().st_size, file.stat().st_mtime_ns) for file in files),
        classifier=_checksum(classifier),
        views=choice.views or classifier.views,
        prior=dict(choice.prior),
        engine=classifier.engine,
        unresolved=choice.unresolved_below,
        alone_within=_seen_radius(classifier, mosaics) if choice.whole_sources else None,
        weights=tuple((option, str(each.path.resolve()), each.place) for each in maps),
    )


def _seen_radius(classifier: Classifier, mosaics: Sequence[Mosaic]) -> float:
    """Give how far from a source, in arcsec, light can reach its picture."""
    side = side_that_counts(classifier.card.spec) * _scale(classifier, mosaics)
    return round(side * math.sqrt(0.5), 1)


def _scale(classifier: Classifier, mosaics: Sequence[Mosaic]) -> float:
    """Give the pixels of a classifier, arcsec; of one that does not know them those of the mosaics."""
    return classifier.card.domain.pixel_scale or max(each.face.pixel_scale for each in mosaics)


def _checksum(classifier: Classifier) -> str:
    """Tell a classifier from another by its card and tensors."""
    found = sha256(classifier.card.model_dump_json().encode())
    for name, values in sorted(classifier.tensors().items()):
        found.update(name.encode() + values.cpu().numpy().tobytes())
    return found.hexdigest()


def has_result(out: Path) -> bool:
    """Tell whether the folder of a survey holds classes, or parts of the work that are done."""
    return (out / CLASSES).exists() or any((out / WORK / "done").glob("*.parquet"))


def _goes_on(plan: Plan, asked: Asked, overwrite: bool) -> bool:
    """Tell whether a folder holds the work that is asked for; `SpecError` if it holds another, begun already."""
    if not (plan.folder / "plan.json").exists():
        return False
    if plan.facts.get("asked") == asked.checksum:
        return True
    if overwrite or not has_result(plan.folder.parent):
        return False
    raise SpecError(
        f"--out {plan.folder.parent}: holds the work of another survey, or the catalogue, an image, the classifier or "
        "an option has changed since; choose another folder, or give --overwrite"
    )
