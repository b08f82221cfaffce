"""The table of all networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rgbench import numbers
from rgbench.comparison.results import Comparison, Row
from rgbench.comparison.second_views import SecondView
from rgbench.data.sets import data_sets
from rgbench.measures.catalogue import metrics
from rgbench.numbers import PERCENT, percent
from rgbench.report.blocks import Section, Table, Text, file_name
from rgbench.report.cells import NO_CELL, Cell
from rgbench.report.files import text
from rgbench.report.material import Runs


@dataclass(frozen=True)
class MainTable(Table):
    """The table of all networks, whose files hold more than it shows."""

    comparison: Comparison | None = None

    def csv(self) -> str:
        """Give every metric and cost as CSV, fractions and SI units, nothing rounded."""
        return text.comparison_csv(self.comparison) if self.comparison else super().csv()

    def latex(self) -> str:
        r"""Give the table as a LaTeX ``tabular``, what is to note beneath."""
        return text.comparison_latex(self.comparison) if self.comparison else super().latex()


def section(runs: Runs) -> Section:
    """Show all networks: scores, the recall of every class, and what a scored answer costs."""
    return Section(
        "table",
        "All networks",
        "All networks",
        blocks=(
            main_table(runs),
            *(Text(sentence) for sentence in _beneath(runs)),
        ),
    )


def main_table(runs: Runs) -> MainTable:
    """Make the table of all networks of a comparison."""
    main = runs.main
    columns = [*_scored(runs), *_recalled(main), *_viewed(runs.second_view), *_further(main)]
    rows = [(Cell(row.network), *(each.cell(row) for each in columns)) for row in main.rows]
    return MainTable(
        file_name("rgbench", runs.records[0].spec.data.name),
        "All networks",
        ("network", *(each.heading for each in columns)),
        tuple(rows),
        frozenset(),
        {i: row.status for i, row in enumerate(main.rows) if not text.learned(row)},
        ("", *(each.meaning for each in columns)),
        main,
        headed=False,
        hint="Select a heading to sort by it.",
    )


def images_words(data: str) -> tuple[str, ...]:
    """Say on what images scores were measured, if these are not what a survey gives."""
    known = data_sets()
    model = known.get(data).card.image_model if data in known else None
    if model is None or not model.bits:
        return ()
    return (
        f"The scores were measured on {model.bits}-bit images from which their authors had cut everything below "
        f"{model.clip:g} times the noise. On images straight from a survey they may be lower.",
    )


@dataclass(frozen=True)
class _Shown:
    """A column of the table: its heading, what it is, and the cell of a row."""

    heading: str
    meaning: str
    cell: Callable[[Row], Cell]


def _plain(column: text.Column) -> _Shown:
    return _Shown(column.heading, column.meaning, lambda row: Cell(column.show(row), column.value(row)))


def _scored(runs: Runs) -> list[_Shown]:
    """Give the metric compared, with its interval beneath."""
    score, span = text.columns(runs.main.metric, runs.main.confidence)[:2]

    def cell(row: Row) -> Cell:
        found = span.show(row)
        return Cell(score.show(row), score.value(row), beneath="" if found == numbers.NONE else found)

    return [_Shown(score.heading, f"{score.meaning}; beneath, its {span.heading}", cell)]


def _recalled(main: Comparison) -> list[_Shown]:
    """Give the recall of each class, with its interval beneath."""

    def cell(row: Row, k: int) -> Cell:
        found = text.recalls_of(row, len(main.classes))[k]
        mean, low, high = (text.known(found, part) for part in ("mean", "low", "high"))
        span = "" if low is None or high is None else f"{percent(low, 0)} – {percent(high, 0)}"
        return Cell(PERCENT.show(mean), mean, beneath=span)

    meaning = "share of the test sources of the class that is recognised; beneath, its interval"
    return [_Shown(f"{name} recall %", meaning, partial(cell, k=k)) for k, name in enumerate(main.classes)]


def _viewed(view: SecondView | None) -> list[_Shown]:
    """Give the metric on another image of the same sources, where the networks were asked."""
    if view is None:
        return []
    card = metrics().get(view.metric)

    def cell(row: Row) -> Cell:
        score = view.scores.get(row.network)
        if score is None:
            return NO_CELL
        mean, low, high = score.values[view.metric]
        return Cell(percent(mean), mean, beneath=f"{percent(low, 0)} – {percent(high, 0)}")

    return [
        _Shown(
            f"{card.short} in a second image %", "another image of the same sources, made by simulation", cell
        )
    ]


def _further(main: Comparison) -> list[_Shown]:
    """Give the other metrics, the seeds and the costs."""
    scores = text.columns(main.metric, main.confidence)[2 : -len(text.COSTS)]
    seeds = _Shown("seeds", "runs that count in the means", lambda row: Cell(str(row.n_seeds), row.n_seeds))
    return [*map(_plain, scores), seeds, *map(_plain, text.PAGE_COSTS)]


def _beneath(runs: Runs) -> tuple[str, ...]:
    """Say what the numbers of the table are."""
    said = [
        "Scores: mean over the seeds ± their standard deviation; beneath, the "
        f"{100 * runs.main.confidence:g} % interval.",
        text.views_words(runs.main),
        *([_VIEWED] if runs.second_view is not None else []),
        _rates(runs),
    ]
    return (
        " ".join(filter(None, said)),
        *_elsewhere(runs.main),
        *_without_interval(runs),
        *_failed(runs.main),
    )


_VIEWED = "The second image of a source is a simulation of the source observed again."


def _elsewhere(main: Comparison) -> list[str]:
    """Say of which networks the predictions were made elsewhere."""
    names = [row.network for row in main.rows if row.elsewhere]
    if not names:
        return []
    whose = f"The predictions of {numbers.listed(names)} were made elsewhere and scored here (rgbench score)"
    return [f"{whose}: what training and answering cost is not known."]


def _rates(runs: Runs) -> str:
    """Say how inference rates were measured; nothing where none was."""
    measured = [record for record in runs.records if record.status == "complete" and not record.elsewhere]
    ways = {record.cost.get("inference_measured") for record in measured}
    way = ways.pop() if len(ways) == 1 else None
    if not measured:
        return ""
    if way is None:
        return "Speeds were measured right after training; rgbench cost --store FOLDER measures them better."
    return f"Speeds were measured for each network alone, in a process of its own: {way}."


def _without_interval(runs: Runs) -> list[str]:
    if runs.card.interval != "none":
        return []
    words = numbers.capital(runs.card.short)
    return [f"{words} has no interval, so that networks are not compared in pairs."]


def _failed(main: Comparison) -> list[str]:
    """Say which metrics could not be worked out, those for one reason in one sentence."""
    reasons: dict[str, list[str]] = {}
    for name, why in main.failed.items():
        reasons.setdefault(why, []).append(name)
    return [
        f"The metric {names[0]} could not be worked out: {why}."
        if len(names) == 1
        else f"The metrics {numbers.listed(names)} could not be worked out: {why}."
        for why, names in reasons.items()
    ]
