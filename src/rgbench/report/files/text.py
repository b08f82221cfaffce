"""The comparison as a table: for the terminal, as plain text, as CSV and as LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from rgbench import numbers
from rgbench.comparison.results import Comparison, Row
from rgbench.errors import StoreError
from rgbench.escapes import csv_text, for_latex, visible
from rgbench.measures.cards import MAIN, MetricCard
from rgbench.measures.catalogue import metrics
from rgbench.report.files.latex import latex_table

Value = float | None


@dataclass(frozen=True)
class Column:
    """One column of the comparison table.

    Attributes
    ----------
    key : str
        Name for machines.
    heading : str
        Heading for people, with its unit.
    meaning : str
        What the number is, in a sentence.
    show : callable
        Row -> text for people.
    value : callable
        Row -> number by which rows are sorted, None where there is none.
    """

    key: str
    heading: str
    meaning: str
    show: Callable[[Row], str]
    value: Callable[[Row], Value]


def cost(row: Row, name: str) -> Value:
    """Give a cost of a row; None if it is not there or not finite."""
    value = row.cost.get(name)
    return float(value) if value is not None and numbers.is_number(float(value)) else None


def learned(row: Row) -> bool:
    """Tell whether a row's network learned something in every one of its runs."""
    return row.status == "ok"


def remarks(row: Row) -> str:
    """Give a row's notes in one line."""
    return "; ".join(row.notes)


def columns(metric: str, confidence: float = 0.95) -> tuple[Column, ...]:
    """Give the columns of the table after the network's name and before its notes: the metric compared leads.

    Examples
    --------
    >>> [column.heading for column in columns("nll")][:4]
    ['NLL', '95 % interval', 'MPCA %', 'accuracy %']
    """
    lead = metrics().get(metric)
    others = [name for name in BESIDE if name != metric]
    interval = Column(
        "interval",
        f"{100 * confidence:g} % interval",
        f"of the mean {lead.short}",
        lambda row: _range(row, lead),
        lambda row: value_of(row, metric, "low"),
    )
    return (
        Column(
            metric,
            numbers.scale(lead.scale).heading(lead.short),
            f"{lead.words}: mean over seeds ± their standard deviation",
            lambda row: mean_spread(row, lead),
            lambda row: value_of(row, metric),
        ),
        interval,
        *(_mean(metrics().get(name)) for name in others),
        *COSTS,
    )


def value_of(row: Row, name: str, part: str = "mean") -> Value:
    """Give the mean, spread, low or high of a row's metric; None if it is not there or not finite."""
    estimate = row.metrics.get(name)
    value = getattr(estimate, part, None)
    return float(value) if value is not None and numbers.is_number(float(value)) else None


def mean_spread(row: Row, card: MetricCard) -> str:
    """Write the mean of a metric over the seeds, with their spread where there are several."""
    show = numbers.scale(card.scale).show
    mean, spread = value_of(row, card.name), value_of(row, card.name, "spread")
    return show(mean) if mean is None or spread is None else f"{show(mean)} ± {show(spread)}"


def _range(row: Row, card: MetricCard) -> str:
    show = numbers.scale(card.scale).show
    low, high = value_of(row, card.name, "low"), value_of(row, card.name, "high")
    return numbers.NONE if low is None or high is None else f"{show(low)} – {show(high)}"


def _mean(card: MetricCard) -> Column:
    scale = numbers.scale(card.scale)
    return Column(
        card.name,
        scale.heading(card.short),
        "mean over seeds",
        lambda row: scale.show(value_of(row, card.name)),
        lambda row: value_of(row, card.name),
    )


def _cost(key: str, heading: str, meaning: str, name: str, show: Callable[[Value], str]) -> Column:
    return Column(key, heading, meaning, lambda row: show(cost(row, name)), lambda row: cost(row, name))


BESIDE = (MAIN, "accuracy", "macro_f1")
"""Metrics that the table shows beside the one compared."""
COSTS = (
    _cost("parameters", "parameters", "trainable or not", "parameters", numbers.count),
    _cost("macs", "MACs", "multiply-accumulates per image", "macs", numbers.count),
    _cost("time", "training time", "of one run, mean", "training_seconds", numbers.duration),
    _cost(
        "train_rate",
        "training images/s",
        "median over epochs",
        "training_images_per_second",
        numbers.significant,
    ),
    _cost(
        "rate",
        "inference images/s",
        "median of repeats",
        "inference_images_per_second",
        numbers.significant,
    ),
)
"""Columns of what a network costs."""


WIDE = 116
"""Characters below which the terminal shows two tables, scores and costs, instead of one."""


def comparison_tables(comparison: Comparison, width: int) -> list[Table]:
    """Make the tables that a terminal so many characters wide shows: one, or scores and costs apart."""
    if width >= WIDE:
        return [comparison_table(comparison)]
    whole = columns(comparison.metric, comparison.confidence)
    scores = comparison_table(comparison, whole[: -len(COSTS)])
    scores.caption = None
    return [scores, comparison_table(comparison, COSTS)]


def comparison_table(comparison: Comparison, shown: Sequence[Column] = ()) -> Table:
    """Make the table that the terminal shows; a network that did not learn is marked, with the reason.

    Parameters
    ----------
    comparison : Comparison
        The comparison of one model of every run.
    shown : sequence of Column
        Which columns stand behind the name; all of `columns` if there are none.
    """
    shown = shown or columns(comparison.metric, comparison.confidence)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), caption_justify="left", pad_edge=False)
    table.add_column("network", overflow="fold", min_width=12)
    for column in shown:
        table.add_column(column.heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for row in comparison.rows:
        cells = [column.show(row) for column in shown]
        name = Text(visible(row.network))
        if not learned(row):
            name.append(" !", "yellow")
        table.add_row(name, *cells, style="" if learned(row) else "dim")
    noted = [visible(f"{row.network}: {remarks(row)}") for row in comparison.rows if row.notes]
    table.caption = Text("\n".join(noted)) if noted else None
    return table


def comparison_lines(comparison: Comparison) -> list[str]:
    """Give the table as lines of plain text, columns aligned, notes beneath."""
    shown = columns(comparison.metric, comparison.confidence)
    cells = [["network", *(column.heading for column in shown)]]
    for row in comparison.rows:
        name = visible(row.network if learned(row) else f"{row.network} !")
        cells.append([name, *(column.show(row) for column in shown)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in cells
    ]
    noted = [visible(f"{row.network}: {remarks(row)}") for row in comparison.rows if row.notes]
    return [lines[0], "-" * len(lines[0]), *lines[1:], *noted]


def comparison_csv(comparison: Comparison) -> str:
    """Give the table as CSV: fractions and SI units, nothing rounded, one row per network."""
    names = sorted({name for row in comparison.rows for name in row.metrics})
    costs = sorted({name for row in comparison.rows for name in row.cost})
    parts = ("mean", "spread", "low", "high")
    head = ["network", "status", "seeds", "n_test"]
    head += [f"{name}_{part}" for name in names for part in parts] + costs + ["notes"]
    rows: list[list[float | int | str | None]] = []
    for row in comparison.rows:
        values = [value_of(row, name, part) for name in names for part in parts]
        seeds = " ".join(str(seed) for seed in row.seeds)
        known = [row.cost.get(name, "") for name in costs]
        rows.append([row.network, row.status, seeds, row.n_test, *values, *known, remarks(row)])
    return csv_text([head, *rows])


def comparison_latex(comparison: Comparison) -> str:
    r"""Give the table as a LaTeX ``tabular`` that needs the package ``booktabs``."""
    shown = columns(comparison.metric, comparison.confidence)
    rows, notes = [], []
    for row in comparison.rows:
        rows.append([row.network, *(column.show(row) for column in shown)])
        if row.notes:
            notes.append(rf"\par\footnotesize {for_latex(row.network)}: {for_latex(remarks(row))}.")
    return latex_table(["network", *(column.heading for column in shown)], rows, notes=notes)


def write_csv(path: Path, comparison: Comparison) -> None:
    """Write the table as CSV, in full precision.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    _write(path, comparison_csv(comparison))


def write_latex(path: Path, comparison: Comparison) -> None:
    """Write the table as LaTeX.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    _write(path, comparison_latex(comparison))


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf8")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error
