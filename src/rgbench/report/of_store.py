"""The report of a store: runs grouped, what lies beside them gathered, files named and written.

`rgbench.write_report` makes here what the command ``rgbench report`` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.groups import comparable_groups
from rgbench.comparison.results import Comparison
from rgbench.comparison.shared_sources import set_names
from rgbench.comparison.summary import compare
from rgbench.comparison.words.choices import with_choices
from rgbench.comparison.words.known_scores import with_known_scores
from rgbench.comparison.words.second_views import with_second_views
from rgbench.data.catalogue import DataSet
from rgbench.data.load import load_dataset
from rgbench.errors import DataError, SpecError, StoreError, raise_stop
from rgbench.measures.cards import MAIN
from rgbench.measures.catalogue import find_metric
from rgbench.numbers import listed
from rgbench.report.blocks import file_name
from rgbench.report.files.export import NO_PDF, can_write_pdf
from rgbench.report.files.text import write_csv, write_latex
from rgbench.report.html import ReportOptions, make_page, save_page
from rgbench.report.material import Beside, Setting
from rgbench.store.attributions import Looks, read_looks
from rgbench.store.conditions import read_conditions
from rgbench.store.costs import take_measured
from rgbench.store.doubt import read_doubt
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import MODELS, Predictions

_TABLE_WRITERS: Mapping[str, Callable[[Path, Comparison], None]] = {".csv": write_csv, ".tex": write_latex}
_MAKERS: Mapping[str, str] = {
    "read_conditions": "stress",
    "read_doubt": "uncertainty",
    "read_looks": "explain",
}
"""The command that makes what a function reads."""
T = TypeVar("T")


@dataclass(frozen=True)
class ReportSpec:
    """What a report of a store shows, and where its files go.

    Where a store holds several groups of comparable runs, each has a report of its own: the first has the names
    given here, the others have these names with that of their group in them.

    Attributes
    ----------
    out : Path, optional
        HTML file; by default ``report.html`` in the store. It is replaced if it is there.
    metric : str
        Metric that sorts the networks and that pairs are compared in, as `rgbench.measures` names it; ``-`` may
        stand for ``_``.
    model : {"best", "final"}
        Model of whose comparison `table` is.
    weights : mapping of str to float, optional
        What weighs in the ranking, and how much; see `rgbench.comparison.ranking`.
    figures : Path, optional
        Folder for every figure and table as files of their own.
    table : Path, optional
        The comparison as a table, ``.csv`` or ``.tex``.
    title : str
        Title of the page; by default the name of the data set is in it.

    Raises
    ------
    SpecError
        If the metric, the model or the ending of the table is not legal.

    Examples
    --------
    >>> ReportSpec(metric="macro-f1").metric
    'macro_f1'
    """

    out: Path | None = None
    metric: str = MAIN
    model: str = MODELS[0]
    weights: Mapping[str, float] | None = None
    figures: Path | None = None
    table: Path | None = None
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", find_metric(self.metric).name)
        if self.model not in MODELS:
            raise SpecError(f"model: found {self.model!r}; legal are {', '.join(MODELS)}")
        if self.table is not None and self.table.suffix not in _TABLE_WRITERS:
            raise SpecError(f"table {self.table}: the ending is none of {', '.join(_TABLE_WRITERS)}")


@dataclass(frozen=True)
class WrittenReport:
    """The report of one group of comparable runs.

    Attributes
    ----------
    name : str
        What tells the group from the others of its store.
    path : Path
        The HTML file.
    comparisons : mapping of str to Comparison
        Comparison of each model, "best" and "final".
    records : tuple of RunRecord
        The runs compared.
    figures, table : Path or None
        Folder of figures, and table, if they were asked for.
    warnings : tuple of str
        What is missing in it, in sentences.
    """

    name: str
    path: Path
    comparisons: Mapping[str, Comparison]
    records: tuple[RunRecord, ...]
    figures: Path | None = None
    table: Path | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class WrittenReports:
    """The reports of a store.

    Attributes
    ----------
    reports : tuple of WrittenReport
        One of each group of comparable runs; that with most runs first.
    warnings : tuple of str
        What all of them lack, in sentences; each has warnings of its own too.
    """

    reports: tuple[WrittenReport, ...]
    warnings: tuple[str, ...] = ()


def write_report(store: Store | Path | str, spec: ReportSpec | None = None) -> WrittenReports:
    """Compare all runs of a store and write the report: the files that ``rgbench report`` writes.

    Runs on different data, or under different protocols, are not compared with each other: each group of
    comparable runs has a file of its own. Imported models take no part.

    Parameters
    ----------
    store : Store or path
        The store, or its folder.
    spec : ReportSpec, optional
        What to show, and where to write.

    Returns
    -------
    WrittenReports
        The files written, the comparisons in them, and what could not be had.

    Raises
    ------
    SpecError
        If there is no such folder, or a weight of the ranking is not legal.
    DataError
        If the store holds no run to compare.
    StoreError
        If a run cannot be read or a file cannot be written.

    Examples
    --------
    >>> write_report("no-such-folder")
    Traceback (most recent call last):
        ...
    rgbench.errors.SpecError: no-such-folder: there is no such store; rgbench quickstart makes one
    """
    if not isinstance(store, Store):
        if not Path(store).exists():
            raise SpecError(f"{store}: there is no such store; rgbench quickstart makes one")
        store = Store(store)
    damaged: list[str] = []
    records = [r for r in store.records(on_damage=damaged.append) if r.status != "imported"]
    # A store has them in the order of their ids, which tells nothing.
    records.sort(key=lambda r: (r.spec.network.name, r.spec.data.split, r.spec.seed))
    if damaged and not records:
        raise StoreError(f"{store.root}: no run can be read. {' '.join(damaged)}")
    made = report_records(records, store, spec)
    return replace(made, warnings=(*damaged, *made.warnings))


def report_records(
    records: Sequence[RunRecord],
    store: Store,
    spec: ReportSpec | None = None,
    dataset: DataSet | None = None,
) -> WrittenReports:
    """Write the report of some runs of a store, e.g. of those of one study.

    Parameters
    ----------
    records : sequence of RunRecord
        The runs, failed ones among them.
    store : Store
        The store that they are in, with what was added to them later.
    spec : ReportSpec, optional
        What to show, and where to write.
    dataset : DataSet, optional
        The data of all of them, if they are loaded already.

    Returns
    -------
    WrittenReports
        As `write_report` gives it.

    Raises
    ------
    DataError
        If there is no run.
    """
    if not records:
        raise DataError(f"{store.root}: the store holds no run to compare; begin with rgbench quickstart")
    spec = spec or ReportSpec()
    for file in (spec.out, spec.table):
        if file is not None and not file.parent.is_dir():
            raise StoreError(f"{file}: cannot be written: there is no folder {file.parent}")
    records, doubt = _with_costs(records, store)
    groups = _groups(records, store, spec, dataset)
    settings = {group.name: Setting.of(group.records, group.data) for group in groups}
    written = []
    for group, files in zip(groups, _files(spec, store, [group.name for group in groups]), strict=True):
        elsewhere = {each.name: each.comparisons[MODELS[0]] for each in groups if each is not group}
        beside = _beside(group, _Around(elsewhere, settings, spec.weights))
        title = f"{spec.title} ({group.name})" if spec.title and elsewhere else spec.title
        options = ReportOptions(title=title, figures=files.figures)
        page = make_page(group.comparisons, group.records, _images(group.data), options, beside)
        save_page(files.page, page, files.figures)
        if files.table is not None:
            _TABLE_WRITERS[files.table.suffix](files.table, group.comparisons[spec.model])
        written.append(group.written(files, page.broken))
    lacking = (NO_PDF,) if spec.figures is not None and not can_write_pdf() else ()
    return WrittenReports(tuple(written), (*doubt, *lacking))


def _with_costs(records: Sequence[RunRecord], store: Store) -> tuple[Sequence[RunRecord], tuple[str, ...]]:
    """Give runs with the inference rates that were measured apart, if they were; a damaged file of them is told."""
    try:
        return take_measured(records, store.root), ()
    except StoreError as error:
        return records, (f"The report has the inference rates that were measured in passing: {error}",)


@dataclass(frozen=True)
class _Files:
    """Where the report of one group goes."""

    page: Path
    figures: Path | None
    table: Path | None


@dataclass(frozen=True)
class _Around:
    """What a report is told of the other groups, and how it ranks."""

    elsewhere: Mapping[str, Comparison]
    settings: Mapping[str, Setting]
    weights: Mapping[str, float] | None


@dataclass(frozen=True)
class _Group:
    """Runs that may be compared, by a name that tells them apart, and those on fewer training sources."""

    name: str
    records: list[RunRecord]
    smaller: list[RunRecord]
    comparisons: dict[str, Comparison]
    conditions: dict[str, Predictions]
    doubt: dict[str, Predictions]
    looks: dict[str, Looks]
    data: DataSet | None
    warnings: tuple[str, ...]

    def written(self, files: _Files, broken: tuple[str, ...]) -> WrittenReport:
        """Say what was written of it, and what could not be shown."""
        return WrittenReport(
            self.name,
            files.page,
            self.comparisons,
            tuple(self.records),
            files.figures,
            files.table,
            (*self.warnings, *broken),
        )


def _groups(
    records: Sequence[RunRecord], store: Store, spec: ReportSpec, dataset: DataSet | None
) -> list[_Group]:
    """Part runs into those that may be compared; most runs first."""
    found = sorted(comparable_groups(records), key=lambda group: (-len(group[0]), group[0][0].spec.data.name))
    names = set_names([lead[0].spec for lead, _ in found])
    groups = []
    for name, (lead, smaller) in zip(names, found, strict=True):
        ids, damaged = [r.run_id for r in lead], list[str]()
        conditions = _kept(read_conditions, store, ids, damaged)
        comparisons = {model: compare(lead, metric=spec.metric, model=model) for model in MODELS}
        data, warnings = (dataset, ()) if dataset is not None else _stored_data(lead[0])
        # Of the others nobody reads the answer.
        for model in {MODELS[0], spec.model}:
            viewed = with_second_views(comparisons[model], lead, conditions)
            comparisons[model] = with_choices(with_known_scores(viewed, lead, data), lead, data)
        doubt, looks = _kept(read_doubt, store, ids, damaged), _kept(read_looks, store, ids, damaged)
        told = (*warnings, *damaged, *_on_fewer_sources(lead, smaller))
        groups.append(_Group(name, lead, smaller, comparisons, conditions, doubt, looks, data, told))
    return groups


def _on_fewer_sources(lead: Sequence[RunRecord], smaller: Sequence[RunRecord]) -> list[str]:
    """Name the networks that no table has, since others of the study were trained on more sources."""
    there = {record.spec.network.name for record in lead}
    alone = dict.fromkeys(r.spec.network.name for r in smaller if r.spec.network.name not in there)
    if not alone:
        return []
    verb = "was" if len(alone) == 1 else "were"
    return [
        f"The report on {lead[0].spec.data.name} leaves out {listed(list(alone))}, which {verb} trained on fewer "
        "sources than the others (train_limit): such runs stand in learning curves alone."
    ]


def _stored_data(record: RunRecord) -> tuple[DataSet | None, tuple[str, ...]]:
    """Load the data of a run; None, and why, if they cannot be had: what is compared stands in the store."""
    data = record.spec.data
    try:
        if data.path is not None and not Path(data.path).exists():
            raise DataError(f"{data.path} is no longer there")
        return load_dataset(data), ()
    except (DataError, SpecError) as error:
        return None, (f"The report on {data.name} has no images and no properties of sources: {error}",)


def _kept(
    read: Callable[[Store, str], T | None], store: Store, run_ids: Sequence[str], damaged: list[str]
) -> dict[str, T]:
    """Read what lies beside runs; what cannot be read is left out, and said."""
    found = {}
    for run_id in run_ids:
        try:
            kept = read(store, run_id)
        except StoreError as error:
            raise_stop(error)
            again = f"Delete it, and rgbench {_MAKERS[read.__name__]} makes it again."
            damaged.append(f"The report is without a file of run {run_id}: {error}. {again}")
        else:
            if kept is not None:
                found[run_id] = kept
    return found


def _beside(group: _Group, around: _Around) -> Beside:
    """Gather what stands beside runs."""
    return Beside(
        smaller=tuple(group.smaller),
        conditions=group.conditions,
        data=group.data,
        elsewhere=around.elsewhere,
        # The report asks the model that leads it; the rows of the other would only take memory.
        doubt={key: table.select(None, MODELS[0], None, None) for key, table in group.doubt.items()},
        looks=group.looks,
        weights=around.weights,
        settings=around.settings,
    )


def _files(spec: ReportSpec, store: Store, names: Sequence[str]) -> list[_Files]:
    pages = _paths(spec.out or store.root / "report.html", names)
    figures, tables = (
        [None] * len(names) if path is None else _paths(path, names) for path in (spec.figures, spec.table)
    )
    return [_Files(*each) for each in zip(pages, figures, tables, strict=True)]


def _paths(path: Path, names: Sequence[str]) -> list[Path]:
    """Give each group its file: the first that of the path, the others with the group's name in it."""
    found = [path]
    for number, name in enumerate(names[1:], start=2):
        own = path.with_name(f"{path.stem}-{file_name(name)}{path.suffix}")
        found.append(own if own not in found else path.with_name(f"{own.stem}-{number}{path.suffix}"))
    return found


def _images(dataset: DataSet | None) -> Callable[[str], NDArray[np.generic] | None] | None:
    if dataset is None:
        return None
    place = {name: i for i, name in enumerate(dataset.catalogue.source_id.tolist())}
    return lambda source_id: dataset.images[place[source_id]] if source_id in place else None
