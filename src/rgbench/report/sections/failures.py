"""Where the networks fail: accuracy against what sources are like, groups that fail, and what every run gets wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.comparison.failures import (
    NOT_KNOWN,
    Answered,
    Bin,
    Group,
    Missed,
    by_category,
    by_number,
    collect,
    failing_groups,
    missed_by_all,
    properties,
)
from rgbench.comparison.words.curves import trend as trend_words
from rgbench.comparison.words.failures import group as group_words
from rgbench.data.catalogue import Catalogue, DataSet
from rgbench.errors import DataError
from rgbench.numbers import PERCENT, capital
from rgbench.report.blocks import Figure, LeftOut, Section, Table
from rgbench.report.cells import Cell, Value, chance, count, number, p_cell, span
from rgbench.report.draw.figures import Interval, interval_figure
from rgbench.report.draw.plots import Axes, Line, lines_figure
from rgbench.report.material import Runs
from rgbench.report.sizes import Sizes
from rgbench.statistics.significance import excludes_zero, holm
from rgbench.statistics.trend import Trend, trend

SHOWN = 3
"""Networks of the figures, from the top of the ranking; the table has all."""
LEVEL = 0.05
_EMPTY = Section(anchor="failures", menu="Failures", title="Where do they fail?")
_GROUPS = 3
_FEWEST = 5
_UNFOLDED = 24


@dataclass(frozen=True)
class Kind:
    """A property that accuracy is held against.

    Attributes
    ----------
    title, unit : str
        Its name and unit in words.
    scale : {"linear", "log", ""}
        Scale of a number; "" for words.
    """

    title: str
    unit: str = ""
    scale: Literal["linear", "log", ""] = ""

    @property
    def name(self) -> str:
        """Title and unit, as axes and columns have it."""
        return f"{self.title} / {self.unit}" if self.unit else self.title


KINDS = {
    "class": Kind("class"),
    "largest_angular_size": Kind("angular size", "arcsec", "log"),
    "angular_size": Kind("catalogued angular size", "arcsec", "log"),
    "signal_to_noise": Kind("S/N", "", "log"),
    "flux_density": Kind("flux density", "Jy", "log"),
    "components": Kind("number of components", "", "log"),
    "redshift": Kind("redshift", "", "linear"),
    "parent": Kind("parent catalogue"),
    "origin": Kind("parent catalogue"),
    "certain": Kind("certain label"),
    "certainty": Kind("certainty of the label"),
}
"""The columns of a catalogue that are looked at, and what they are. Others say nothing of how a source looks."""


@dataclass(frozen=True)
class _Tested:
    """What all runs said of the test sources, and what these are like."""

    answered: Answered
    catalogue: Catalogue | None
    values: dict[Kind, NDArray[Any]]
    notes: tuple[str, ...]


def section(runs: Runs) -> Section | LeftOut:
    """Say which sources the networks fail on; nothing without test predictions."""
    if all(record.predictions is None for record in runs.complete):
        return LeftOut("Failures", "no run has predictions")
    try:
        tested = _tested(runs)
    except DataError as error:
        return replace(_EMPTY, sentences=(f"This cannot be told: {error}.",))
    missed = missed_by_all(tested.answered, tested.catalogue)
    parts = _parts(runs, tested)
    trends = _trends(tested, runs.main.confidence)
    groups = failing_groups({k.name: v for k, v in tested.values.items()}, tested.answered.right, level=LEVEL)
    tables = (_accuracies(parts), _group_table(groups), _missed_table(missed))
    return replace(
        _EMPTY,
        finding=_overall(tested.answered, missed, Sizes.of(runs.complete, runs.main.model).apart),
        sentences=(
            *(_trend_words(kind, found) for kind, found in trends.items()),
            *_group_words(groups),
        ),
        figures=tuple(_figure(kind, parts) for kind in tested.values if _drawable(kind, parts)),
        tables=tuple(table for table in tables if table.rows),
        notes=(_METHOD, *tested.notes),
    )


_METHOD = (
    "A network's accuracy is the mean over its runs. Intervals are Wilson's, for other sources; several runs on the "
    "same sources do not make them narrower. Bins hold about the same number of sources each. Trends are logistic "
    "regressions of the share of the runs that recognise a source, within classes; their p-values are corrected by "
    "Holm's method. Groups are Fisher's exact tests of all groups of 20 sources or more, by one property or two, "
    "corrected likewise. Properties go together (above all class and parent catalogue), so that none of this shows "
    "a cause."
)


def _tested(runs: Runs) -> _Tested:
    answered = collect(runs.complete, runs.main.model)
    data = runs.beside.data
    if data is None or runs.measured is None:
        values = {KINDS["class"]: np.array(answered.classes)[answered.label]}
        note = "The data are not at hand where this report was written: only the classes of the sources are known."
        return _Tested(answered, None, values, (note,))
    catalogue, notes = runs.measured
    of = properties(answered, catalogue)
    kinds = {column: kind for column, kind in _kinds(data).items() if column in of}
    return _Tested(answered, catalogue, {kind: of[column] for column, kind in kinds.items()}, notes)


def _kinds(data: DataSet) -> dict[str, Kind]:
    """Give the properties; those measured on images of whole numbers say so."""
    if data.images.dtype.kind not in "iu":
        return KINDS
    changed = ("largest_angular_size", "signal_to_noise", "components")
    return KINDS | {
        key: replace(KINDS[key], title=f"{KINDS[key].title} on the published image")
        for key in changed
        if key not in data.catalogue.extra
    }


def _parts(runs: Runs, tested: _Tested) -> dict[str, dict[Kind, list[Bin]]]:
    """Give each network's accuracy by every property."""
    found = {}
    for name in runs.networks:
        own = collect(runs.of_network(name), runs.main.model)
        rows = np.searchsorted(tested.answered.source_id, own.source_id)
        found[name] = {
            kind: (by_number if kind.scale else by_category)(
                values[rows], own.right, confidence=runs.main.confidence
            )
            for kind, values in tested.values.items()
        }
    return found


def _trends(tested: _Tested, confidence: float) -> dict[Kind, Trend]:
    """Fit a trend with each property that is a number, p-values corrected for their number."""
    answered = tested.answered
    found = {
        kind: trend(values, answered.right, answered.label, kind.scale, confidence)
        for kind, values in tested.values.items()
        if kind.scale
    }
    fitted = [kind for kind, each in found.items() if not each.reason]
    corrected = holm([found[kind].p_value for kind in fitted])
    return found | {kind: replace(found[kind], p_value=p) for kind, p in zip(fitted, corrected, strict=True)}


def _trend_words(kind: Kind, found: Trend) -> str:
    said = f"With {kind.title}, {trend_words(found)}"
    if not found.reason and excludes_zero(found.low, found.high) and found.p_value > LEVEL:
        said += ", which may be chance among so many trends"
    return f"{said}."


def _overall(answered: Answered, missed: Sequence[Missed], apart: bool) -> str:
    n, every = len(answered.label), int((answered.right == 1).sum())
    if answered.runs.max() < 2:
        return f"{every} of {numbers.counted(n, 'test source')} are recognised."
    if apart:
        said = (
            f"Of the {n:,} sources that any run was tested on, {every:,} are recognised by every run that was tested "
            "on them"
        )
    else:
        said = f"{every:,} of {numbers.counted(n, 'test source')} are recognised by every run"
    return f"{said}, {len(missed)} by none."


def _group_words(groups: Sequence[Group]) -> list[str]:
    if not groups:
        return [
            "No group of 20 sources or more, by one property or two, is missed more often than chance explains."
        ]
    left = len(groups) - _GROUPS
    said = [f"{capital(group_words(group))}." for group in groups[:_GROUPS]]
    return [
        *said,
        *([f"The table has {numbers.counted(left, 'more group')}. Groups overlap."] if left > 0 else []),
    ]


def _drawable(kind: Kind, parts: Mapping[str, Mapping[Kind, Sequence[Bin]]]) -> bool:
    first = next(iter(parts.values()))[kind]
    least = 1 if kind.scale else _FEWEST
    return sum(part.name != NOT_KNOWN and part.n >= least for part in first) > 1


def _figure(kind: Kind, parts: Mapping[str, Mapping[Kind, Sequence[Bin]]]) -> Figure:
    shown = {name: own[kind] for name, own in list(parts.items())[:SHOWN]}
    drawing, words = _curves(kind, shown) if kind.scale else _categories(kind, shown)
    rows = tuple(_numbers(name, part) for name, own in parts.items() for part in own[kind])
    columns = ("network", kind.name, "least", "greatest", "sources", "accuracy", "low", "high")
    return Figure(f"failures-{_file(kind)}", capital(kind.title), drawing, words, columns, rows)


def _file(kind: Kind) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in kind.title.lower()).split())


def _numbers(network: str, part: Bin) -> tuple[Value, ...]:
    ends = (part.low, part.high) if np.isfinite(part.low) else (None, None)
    return (network, part.name, *ends, part.n, part.accuracy.value, part.accuracy.low, part.accuracy.high)


def _curves(kind: Kind, shown: Mapping[str, Sequence[Bin]]) -> tuple[str, str]:
    """Draw accuracy against a number: a point for each bin, at its middle."""
    lines: list[Line] = []
    for name, own in shown.items():
        known = [part for part in own if np.isfinite(part.low)]
        ends = np.array([(part.low, part.high) for part in known])
        middle = np.sqrt(ends.prod(axis=1)) if kind.scale == "log" else ends.mean(axis=1)
        spans = [(part.accuracy.value, part.accuracy.low, part.accuracy.high) for part in known]
        y, low, high = 100 * np.array(spans).T
        # The bands of several networks would cover each other.
        band = {"low": low, "high": high} if not lines else {}
        lines.append(Line(name, middle, y, points=True, **band))
    axes = Axes(kind.name, "accuracy / %", log=kind.scale == "log")
    words = (
        "Bins of about equal numbers of sources, at their middles. Band: 95 % interval of the first network; those "
        "of the others are in the data and the table."
    )
    return lines_figure(lines, axes, f"Accuracy against {kind.name} for {', '.join(shown)}"), words


def _categories(kind: Kind, shown: Mapping[str, Sequence[Bin]]) -> tuple[str, str]:
    """Draw the first network's accuracy in each category with its interval, and that of others as rings."""
    first, *others = shown
    rings = {name: {part.name: 100 * part.accuracy.value for part in shown[name]} for name in others}
    lines = [
        _line(part, [own[part.name] for own in rings.values() if part.name in own])
        for part in shown[first]
        if part.n >= _FEWEST
    ]
    label = f"Accuracy of {first} by {kind.title}: " + "; ".join(f"{x.name} {x.words}" for x in lines)
    words = [f"Dot and bar: {first}, with its 95 % interval."]
    words += [f"Rings: {', '.join(others)}."] if others else []
    words += [f"Fewer than {_FEWEST} sources are not drawn."] if len(lines) < len(shown[first]) else []
    return interval_figure(lines, "accuracy / %", label), " ".join(words)


def _line(part: Bin, points: Sequence[float]) -> Interval:
    value, low, high = (100 * v for v in (part.accuracy.value, part.accuracy.low, part.accuracy.high))
    said = f"{numbers.percent(part.accuracy.value)} % of {part.n}"
    return Interval(part.name, value, low, high, points=tuple(points), words=said)


def _accuracies(parts: Mapping[str, Mapping[Kind, Sequence[Bin]]]) -> Table:
    rows = tuple(
        (
            Cell(name),
            Cell(kind.name),
            Cell(part.name),
            count(part.n),
            number(part.accuracy.value, PERCENT),
            span(part.accuracy.low, part.accuracy.high),
        )
        for name, own in parts.items()
        for kind, found in own.items()
        for part in found
    )
    columns = ("network", "property", "range", "sources", "accuracy %", "95 % interval")
    title = "Accuracy by property, of every network"
    return Table("failures-accuracy", title, columns, rows, frozenset({1, 2}), folded=len(rows) > _UNFOLDED)


def _group_table(groups: Sequence[Group]) -> Table:
    rows = tuple(
        (
            Cell(" and ".join(f"{name} {part}" for name, part in group.conditions)),
            count(group.n),
            number(group.accuracy.value, PERCENT),
            span(group.accuracy.low, group.accuracy.high),
            number(group.elsewhere.value, PERCENT),
            Cell(f"{group.excess:.0f}", group.excess),
            p_cell(group.p_value),
        )
        for group in groups
    )
    columns = (
        "group",
        "sources",
        "accuracy %",
        "95 % interval",
        "elsewhere %",
        "missed in excess",
        "p (Holm)",
    )
    title = "Groups that fail more often than the rest"
    return Table("failing-groups", title, columns, rows, folded=len(rows) > _UNFOLDED)


def _missed_table(missed: Sequence[Missed]) -> Table:
    rows = tuple(
        (
            Cell(each.source_id),
            sky_cell(each.link),
            Cell(each.label),
            Cell(", ".join(f"{name} ({number})" for name, number in each.answers)),
            chance(each.probability),
            chance(each.of_label),
            *place_cells(each.ra, each.dec),
        )
        for each in missed
    )
    columns = ("source", SKY, "label", "runs said", "p of that", "p of the label", *PLACE)
    title = f"{numbers.counted(len(rows), 'source')} that every run gets wrong"
    return Table("missed-by-all", title, columns, rows, frozenset({2, 3}), folded=len(rows) > _UNFOLDED)


SKY, PLACE = "look", ("RA / deg", "Dec / deg")
"""Headings of `sky_cell` and `place_cells`."""


def sky_cell(link: str) -> Cell:
    """Give the cell of the address of a page that shows a place on the sky; "" where it is not known."""
    return Cell("sky", link, link=link) if link else Cell(numbers.NONE, "")


def place_cells(ra: float, dec: float) -> tuple[Cell, Cell]:
    """Give the cells of a position in degrees (ICRS); NaN where it is not known."""
    if not (np.isfinite(ra) and np.isfinite(dec)):
        return Cell(numbers.NONE, ""), Cell(numbers.NONE, "")
    return Cell(f"{ra:.5f}", ra), Cell(f"{dec:+.5f}".replace("-", "−"), dec)
