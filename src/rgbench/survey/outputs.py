"""What ``rgbench survey`` writes: one function a format, and all of them from the Parquet files of the classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

from rgbench.data.own.files import SetAside
from rgbench.errors import SpecError
from rgbench.numbers import counted
from rgbench.registry import Registry
from rgbench.runs.classifier import Classifier, load_classifier
from rgbench.store.files import locked, remove_halves
from rgbench.survey.find import FindChoice, find_sources
from rgbench.survey.formats import coverage, hats
from rgbench.survey.formats.binary import write_fits
from rgbench.survey.formats.comma import write_csv
from rgbench.survey.formats.inspect import MANIFEST, write_inspection
from rgbench.survey.formats.regions import write_regions
from rgbench.survey.formats.votable import write_votable
from rgbench.survey.formats.written import Written
from rgbench.survey.mosaics import Mosaic
from rgbench.survey.page.build import write_page
from rgbench.survey.page.sections import Shown
from rgbench.survey.survey import CLASSES, Survey, SurveyChoice, plan_survey, unlikely_for

PARQUET, PAGE, REGIONS, MOC = "parquet", "page", "regions", "moc"
FEW = 100_000
"""Rows below which regions are written unless told otherwise: programs that show them grow slow beyond."""
INSPECTED = 100
"""Sources of the list for visual inspection."""
EXTRA = "survey"
"""The extra that brings the packages that formats need."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """What was written of a survey.

    Attributes
    ----------
    files : dict of str to list of path
        The files of each format, in the order in which they were written.
    remarks : list of str
        What a reader should know of them.
    """

    files: dict[str, list[Path]]
    remarks: list[str]


@dataclass(frozen=True, eq=False)
class Source:
    """What formats are made from.

    Attributes
    ----------
    survey : Survey
        The survey.
    written : Written
        Its rows.
    outputs : Outputs
        What was written so far.
    inspected : int
        Sources of the list for visual inspection.
    """

    survey: Survey
    written: Written
    outputs: Outputs
    inspected: int

    @property
    def out(self) -> Path:
        """The folder of the survey."""
        return self.survey.out

    @cached_property
    def mosaics(self) -> dict[str, Mosaic]:
        """The images by the names that rows have."""
        return {each.name: each for each in self.survey.mosaics}

    @property
    def arcsec(self) -> float:
        """Side of what the classifier sees of a source."""
        card = self.survey.classifier.card
        scale = (
            card.domain.pixel_scale or card.spec.data.pixel_scale or self.survey.mosaics[0].face.pixel_scale
        )
        return float(card.spec.images.field * scale)


@dataclass(frozen=True)
class Format:
    """A format of the outputs.

    Attributes
    ----------
    write : callable
        Writes it, and gives its files.
    needs : str
        A package that it needs beside those that are there anyway; "" for none.
    last : bool
        Whether it tells of the other formats.
    """

    write: Callable[[Source], list[Path]]
    needs: str = ""
    last: bool = False

    @property
    def usable(self) -> bool:
        """Whether the package that it needs is installed."""
        return not self.needs or find_spec(self.needs) is not None


@cache
def known_formats() -> Registry[Format]:
    """Give the registry of formats.

    Examples
    --------
    >>> known_formats().names()
    ['parquet', 'page', 'regions', 'moc', 'fits', 'votable', 'csv', 'hats', 'inspect']
    """
    registry: Registry[Format] = Registry("format")
    registry.register(PARQUET, Format(lambda source: list(source.written.files)))
    registry.register(PAGE, Format(_page, last=True))
    registry.register(REGIONS, Format(_regions), aliases=["ds9"])
    registry.register(MOC, Format(_moc, coverage.NEEDS))
    registry.register("fits", Format(lambda source: _table(source, "classes.fits", write_fits)))
    registry.register("votable", Format(lambda source: _table(source, "classes.vot", write_votable)))
    registry.register("csv", Format(lambda source: _table(source, "classes.csv", write_csv)))
    registry.register("hats", Format(_hats, hats.NEEDS))
    registry.register("inspect", Format(_inspect))
    return registry


def default_formats(rows: int) -> list[str]:
    """Give the formats that are written unless told otherwise."""
    wanted = [PARQUET, PAGE]
    if rows < FEW:
        wanted.append(REGIONS)
    return [*wanted, MOC] if known_formats().get(MOC).usable else wanted


def check_formats(names: Sequence[str]) -> list[str]:
    """Give the names of formats in the order in which they are written, Parquet first: before the work, not after it.

    Raises
    ------
    SpecError
        If a name is not known, or a package that the format needs is not installed; it lists what is legal.

    Examples
    --------
    >>> check_formats(["page", "csv"])
    ['parquet', 'csv', 'page']
    >>> check_formats(["docx"])
    Traceback (most recent call last):
    rgbench.errors.SpecError: unknown format 'docx'; ...
    """
    wanted = dict.fromkeys([PARQUET, *(known_formats().canonical(name) for name in names)])
    for name in wanted:
        found = known_formats().get(name)
        if not found.usable:
            raise SpecError(
                f"format {name}: needs the package {found.needs}, which is not installed: "
                f"pip install 'rgbench[{EXTRA}]'; formats that need no other package: {', '.join(_plain())}"
            )
    return sorted(wanted, key=lambda name: known_formats().get(name).last)


def write_outputs(survey: Survey, names: Sequence[str] | None = None, inspected: int = INSPECTED) -> Outputs:
    """Write the classes of a survey in some formats; Parquet, from which the others are made, is always among them.

    Parameters
    ----------
    survey : Survey
        The survey; what is not finished of it has no class, and says so.
    names : sequence of str, optional
        The formats; by default `default_formats`.
    inspected : int
        Sources of the list for visual inspection.

    Raises
    ------
    SpecError
        If a format is not known, or a package that it needs is not installed.
    DataError
        If a format cannot hold the rows.
    StoreError
        If a file cannot be written.
    """
    chosen = check_formats(default_formats(len(survey.catalogue)) if names is None else names)
    outputs = Outputs({}, [])
    with locked(survey.plan.folder / ".lock"):
        for folder in (survey.out, survey.out / CLASSES):
            remove_halves(folder)
        written = Written(tuple(survey.write()), survey.about, survey.catalogue.profile.name)
        source = Source(survey, written, outputs, inspected)
        for name in chosen:
            outputs.files[name] = known_formats().get(name).write(source)
    return outputs


def classify_survey(
    catalogue: Path | str | None,
    images: Sequence[Path | str],
    out: Path | str,
    classifier: Classifier | None = None,
    choice: SurveyChoice | None = None,
    jobs: int | None = None,
    formats: Sequence[str] | None = None,
) -> Survey:
    """Classify every row of a catalogue by what mosaics show there, and write the classes; ``rgbench survey``.

    With more than one process a script needs the guard ``if __name__ == "__main__":`` about the call, as all of
    Python's multiprocessing does. Work that was stopped goes on where it was.

    Parameters
    ----------
    catalogue : path or None
        CSV, ECSV, VOTable, FITS table or Parquet; None: the sources are found first, as `rgbench.find_sources` does.
    images : sequence of path
        Mosaics, or folders that are searched for them.
    out : path
        Folder of the survey; it is made, but not those above it.
    classifier : Classifier, optional
        By default the one that comes with the package.
    choice : SurveyChoice, optional
        How to classify.
    jobs : int, optional
        Number of processes, by default one for each core.
    formats : sequence of str, optional
        What is written beside Parquet, by default `default_formats`.

    Returns
    -------
    Survey
        ``classes/part-*.parquet`` in its folder has every row.

    Raises
    ------
    SpecError
        If the folder holds another survey, or what was asked is not legal.
    DataError
        If the catalogue or all images cannot be read.
    StoreError
        If the folder cannot be written to.

    Examples
    --------
    ::

        survey = rgbench.classify_survey("sources.fits", ["mosaics/"], "classes-of-my-survey")
        survey.counts().classes      # {"Compact": 913_004, "FRII": 40_112, ...}
    """
    wanted = None if formats is None else check_formats(formats)
    if catalogue is None:
        choice = choice or SurveyChoice()
        classifier = classifier or load_classifier(device=choice.device)
        how = FindChoice(overwrite=choice.overwrite)
        catalogue = find_sources(images, out, how, unlikely_for(classifier)).path
    survey = plan_survey(catalogue, images, out, classifier, choice)
    survey.run(jobs)
    write_outputs(survey, wanted)
    return survey


def _plain() -> list[str]:
    return [name for name, found in known_formats() if not found.needs]


def _table(source: Source, name: str, write: Callable[[Path, Written], None]) -> list[Path]:
    path = source.out / name
    write(path, source.written)
    return [path]


def _regions(source: Source) -> list[Path]:
    path = source.out / "classes.reg"
    write_regions(path, source.written, {name: each.face.beam.major for name, each in source.mosaics.items()})
    return [path]


def _moc(source: Source) -> list[Path]:
    path = source.out / "coverage.fits"
    coverage.write_coverage(path, source.survey.mosaics)
    return [path]


def _hats(source: Source) -> list[Path]:
    folder, places = source.out / "hats", source.survey.catalogue.positions()
    without = hats.write_hats(folder, source.written, places.ra, places.dec)
    if without:
        source.outputs.remarks.append(f"{folder}: {counted(without, 'row')} without a position left out")
    return [folder / "hats.properties"]


def _inspect(source: Source) -> list[Path]:
    folder = source.out / "inspect"
    number = write_inspection(folder, source.written, source.mosaics, source.arcsec, source.inspected)
    source.outputs.remarks.append(f"{folder}: {counted(number, 'source')} to look at")
    return [folder / MANIFEST]


def _page(source: Source) -> list[Path]:
    path, survey = source.out / "page.html", source.survey
    aside: Sequence[SetAside] = survey.aside
    shown = Shown(survey.catalogue.path.name, source.mosaics, aside, source.arcsec, source.outputs.files)
    write_page(path, source.written, shown)
    return [path]
