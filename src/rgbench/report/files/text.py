"""The comparison as a table: for the terminal, as plain text, as CSV and as LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from rgbench import numbers
from rgbench.comparison.results import PARTS, Comparison, Estimate, Row
from rgbench.escapes import csv_text, for_latex, visible
from rgbench.measures.cards import MAIN, MetricCard
from rgbench.measures.catalogue import metrics
from rgbench.report.files.latex import latex_table
from rgbench.store.files import writing

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
    """Give a cost of a row, of an answer with all its views; None if it is not there or not finite."""
    value = row.answer_costs.get(name)
    return float(value) if value is not None and numbers.is_number(float(value)) else None


def learned(row: Row) -> bool:
    """Tell whether a row's network learned something in every one of its runs."""
    return row.status == "ok"


def remarks(row: Row) -> str:
    """Give a row's notes in one line."""
    return "; ".join(row.notes)


def views_words(comparison: Comparison) -> str:
    """Say of how many views an answer is the mean, for which the costs are given; "" if it is of one."""
    views = sorted({row.views for row in comparison.rows if not row.elsewhere}) or [1]
    if views in ([], [1]):
        return ""
    number = f"{views[0]}" if len(views) == 1 else f"{views[0]} to {views[-1]}"
    return (
        f"An answer is the mean over {number} views of an image, turned and mirrored; MACs and images per second are "
        "for such an answer."
    )


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
    return known(row.metrics.get(name), part)


def known(estimate: Estimate | None, part: str) -> Value:
    """Give the mean, spread, low or high of an estimate; None if it is not there or not finite."""
    value = getattr(estimate, part, None)
    return float(value) if value is not None and numbers.is_number(float(value)) else None


def recalls_of(row: Row, n_classes: int) -> tuple[Estimate | None, ...]:
    """Give the recall of each class, None for each if it is not known."""
    return row.recalls or (None,) * n_classes


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
    _cost("macs", "MACs", "multiply-accumulates of one scored answer", "macs", numbers.count),
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
        "scored answers per second: median of repeats",
        "inference_images_per_second",
        numbers.significant,
    ),
)
"""Columns of what a network costs."""
PAGE_COSTS = tuple(column for column in COSTS if column.key != "train_rate")
"""Those that a page shows: how fast training was stands in files and in the terminal."""

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
    noted += [said] if (said := views_words(comparison)) else []
    table.caption = Text("\n".join(noted)) if noted else None
    return table


def comparison_csv(comparison: Comparison) -> str:
    """Give the table as CSV: fractions and SI units, nothing rounded, one row per network; costs as in the table."""
    table, rows = comparison.table(), comparison.rows
    recalls = [name for each in comparison.classes if (name := f"recall_{each}") in table]
    estimates = [*sorted({name for row in rows for name in row.metrics}), *recalls]
    costs = sorted({name for row in rows for name in row.cost})
    columns: dict[str, list[str | float | None]] = {
        "network": table["network"].tolist(),
        "status": table["status"].tolist(),
        "seeds": [" ".join(map(str, row.seeds)) for row in rows],
        "n_test": table["test_sources"].tolist(),
        "views": table["views"].tolist(),
        **{f"{name}_{part}": _known(table[name + end]) for name in estimates for part, end in PARTS.items()},
        **{name: _known(table[name]) for name in costs},
        "notes": [remarks(row) for row in rows],
    }
    return csv_text([list(columns), *zip(*columns.values(), strict=True)])


def _known(values: NDArray[Any]) -> list[str | float | None]:
    """Give numbers, None for those that are not finite."""
    return [value if numbers.is_number(value) else None for value in values.tolist()]


def comparison_latex(comparison: Comparison) -> str:
    r"""Give the table as a LaTeX ``tabular`` that needs the package ``booktabs``."""
    shown = columns(comparison.metric, comparison.confidence)
    rows, notes = [], []
    for row in comparison.rows:
        rows.append([row.network, *(column.show(row) for column in shown)])
        if row.notes:
            notes.append(rf"\par\footnotesize {for_latex(row.network)}: {for_latex(remarks(row))}.")
    notes += [rf"\par\footnotesize {said}"] if (said := views_words(comparison)) else []
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
    with writing(path):
        path.write_text(content, encoding="utf8")
