"""Whether recognition goes with receptive field, stride and coverage: a figure each, and what few networks can show."""

from __future__ import annotations

from dataclasses import dataclass

from rgbench import numbers
from rgbench.comparison.design import FEWEST, Relation, relation
from rgbench.comparison.results import Row
from rgbench.numbers import counted, listed
from rgbench.report.blocks import LeftOut, Section, Table
from rgbench.report.cells import NO_CELL, Cell, number, p_cell
from rgbench.report.files import text
from rgbench.report.material import Runs
from rgbench.report.sections.tradeoffs import tradeoff

_NAME = "Receptive field, stride and coverage"
_DRAWN_FROM = 2
"""Networks from which on they are drawn; from `FEWEST` on their ranks are correlated."""


@dataclass(frozen=True)
class _Property:
    """A number of a network: its key among the costs, its name, and what it is."""

    key: str
    name: str
    axis: str
    caption: str


_PROPERTIES = (
    _Property(
        "receptive_field",
        "receptive field",
        "receptive field / px",
        "How many pixels of the input, along one side, one pixel of the last map can depend on.",
    ),
    _Property(
        "stride",
        "stride",
        "stride / px",
        "How many pixels of the input lie between two neighbouring pixels of the last map.",
    ),
    _Property(
        "coverage",
        "coverage",
        "coverage (receptive field / image side)",
        "The receptive field as a share of the side of the image; above 1 it is larger than the image.",
    ),
)


def section(runs: Runs) -> Section | LeftOut:
    """Set the scores against receptive field, stride and coverage; left out for a single network."""
    rows = [row for row in runs.main.rows if text.learned(row) and _score(runs, row) is not None]
    known = [row for row in rows if text.cost(row, "receptive_field")]
    if len(known) < _DRAWN_FROM:
        return LeftOut(_NAME, "fewer than two networks tell their receptive field")
    found = {each: _relation(runs, known, each) for each in _PROPERTIES}
    drawn = [
        tradeoff(
            runs,
            each.key,
            f"{runs.card.short} against {each.name}",
            each.axis,
            f"{each.caption} Bars: 95 % intervals.",
        )
        for each in _PROPERTIES
    ]
    return Section(
        "design",
        "Design",
        "Does it matter how much of the image a network sees?",
        finding=_finding(runs, len(known), found),
        sentences=tuple(_words(runs, each, one) for each, one in found.items()),
        figures=tuple(figure for figure in drawn if figure is not None),
        tables=(_table(runs, known, found),),
        cites=("Fieller1957",),
        notes=(
            "The unit is the network. Kendall's tau compares the order of the networks by score, from the worst to "
            "the best, with their order by the number: 1 if both are the same, −1 if one is the other turned round, "
            "0 if they have nothing to do with each other. p: the chance of a tau as far from 0 if all orders were "
            "equally likely. The interval (Fieller, Hartley & Pearson 1957) is for other networks like these, and "
            "needs six. Networks differ in much more than these three numbers, so that no cause is shown: for that, "
            "change one number of one network and keep the rest.",
        ),
    )


def _score(runs: Runs, row: Row) -> float | None:
    """Give the score of a network, so that higher is better."""
    value = text.value_of(row, runs.main.metric)
    return value if value is None or runs.card.higher_is_better else -value


def _relation(runs: Runs, rows: list[Row], each: _Property) -> Relation:
    pairs = [(text.cost(row, each.key), _score(runs, row)) for row in rows]
    whole = [(x, y) for x, y in pairs if x is not None and y is not None]
    return relation([x for x, _ in whole], [y for _, y in whole], runs.main.confidence)


def _finding(runs: Runs, n: int, found: dict[_Property, Relation]) -> str:
    least = min((one.least for one in found.values() if numbers.is_number(one.tau)), default=1.0)
    if least > 0.05:
        return (
            f"{numbers.capital(counted(n, 'network'))} cannot tell: whatever the order of their scores, it could be "
            "chance."
        )
    shown = [each.name for each, one in found.items() if one.p_value < 0.05]
    if not shown:
        return f"Among these {n} networks no relation of {runs.card.short} to any of the three can be shown."
    return f"Among these {n} networks {runs.card.short} goes with {listed(shown)}; other reasons are not ruled out."


def _words(runs: Runs, each: _Property, found: Relation) -> str:
    """Say how scores go with a number, and what so few networks can show."""
    if not numbers.is_number(found.tau):
        few = f"it is known of fewer than {FEWEST} networks"
        why = few if found.n < FEWEST else f"the networks are alike in it, or in {runs.card.short}"
        return f"{numbers.capital(each.name)}: nothing can be said, as {why}."
    way = "rises" if (found.tau > 0) == runs.card.higher_is_better else "falls"
    said = (
        f"{numbers.capital(each.name)}: with it, {runs.card.short} {way}"
        if found.tau
        else f"{numbers.capital(each.name)}: {runs.card.short} neither rises nor falls with it"
    )
    span = f", 95 % interval {_tau(found.low)} to {_tau(found.high)}" if numbers.is_number(found.low) else ""
    said += f" (Kendall's tau {_tau(found.tau)}{span}, p = {numbers.p_value(found.p_value)})"
    if found.least > 0.05:
        least = numbers.p_value(found.least)
        return f"{said}. With these {found.n} networks p is never below {least}: nothing is shown."
    return f"{said}. " + ("That is more than chance." if found.p_value < 0.05 else "That may well be chance.")


def _tau(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _table(runs: Runs, rows: list[Row], found: dict[_Property, Relation]) -> Table:
    cells = [
        (
            Cell(row.network),
            Cell(text.mean_spread(row, runs.card), text.value_of(row, runs.main.metric), scale=runs.scale),
            *(number(text.cost(row, each.key)) for each in _PROPERTIES),
        )
        for row in rows
    ]
    taus = [
        NO_CELL if not numbers.is_number(one.tau) else Cell(_tau(one.tau), one.tau) for one in found.values()
    ]
    ps = [NO_CELL if not numbers.is_number(one.tau) else p_cell(one.p_value) for one in found.values()]
    last = ((Cell("Kendall's tau"), NO_CELL, *taus), (Cell("p"), NO_CELL, *ps))
    columns = ("network", runs.scale.heading(runs.card.short), *(each.axis for each in _PROPERTIES))
    return Table("design", "Networks by what they see of the image", columns, (*cells, *last))
