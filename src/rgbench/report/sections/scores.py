"""Figures and tables of the comparison itself: the scores, the pairs, confusion, training, the runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rgbench import numbers
from rgbench.comparison.summary import Comparison, Row
from rgbench.report.blocks import Cell, Figure, file_name
from rgbench.report.draw import figures
from rgbench.report.files import text

_MAX_PAIRS = 15
_TRADEOFFS = (
    (
        "macs",
        "Score against cost",
        "MACs per image",
        "Up is better, left is cheaper. Bars are 95 % intervals.",
    ),
    (
        "receptive_field",
        "Score against receptive field",
        "receptive field / px",
        "The theoretical receptive field of the last map, in pixels of the network's input; its share of "
        "the image is the coverage, in the CSV table. Bars are 95 % intervals.",
    ),
)


def ranking_figures(main: Comparison) -> list[Figure]:
    """Draw the scores with their intervals, the paired differences, and scores against costs."""
    drawn = [_scores_figure(main), _pairs_figure(main), *(_tradeoff(main, *each) for each in _TRADEOFFS)]
    return [figure for figure in drawn if figure is not None]


def _scores_figure(main: Comparison) -> Figure:
    lines = [_line(row) for row in main.rows]
    rows = [(line.name, line.middle, line.low, line.high, " ".join(map(repr, line.points))) for line in lines]
    label = f"Mean per-class accuracy: {_said(lines)}"
    return Figure(
        "mpca",
        "Mean per-class accuracy",
        figures.interval_figure(lines, "MPCA / %", label),
        "Dot: mean over the seeds. Rings: the seeds. Bar: 95 % interval of the mean. "
        "Bars may overlap although the paired test tells two networks apart.",
        ("network", "MPCA / %", "low / %", "high / %", "seeds / %"),
        tuple(rows),
    )


def _pairs_figure(main: Comparison) -> Figure | None:
    if not main.pairs:
        return None
    lines = [
        figures.Interval(
            name=f"{pair.first} − {pair.second}",
            middle=100 * pair.difference,
            low=100 * pair.low,
            high=100 * pair.high,
            words=numbers.signed_percent(pair.difference),
            dull=pair.low <= 0 <= pair.high,
        )
        for pair in main.pairs
    ]
    shown, label = lines[:_MAX_PAIRS], f"Paired differences of MPCA: {_said(lines[:_MAX_PAIRS])}"
    left = (
        f" The first {_MAX_PAIRS} of {len(lines)} pairs; all are in the data." if lines[_MAX_PAIRS:] else ""
    )
    return Figure(
        "paired-differences",
        "Paired differences",
        figures.interval_figure(shown, "difference of MPCA / points", label, mark=0.0),
        "The same test sources, answered by both. Bar: 95 % interval of the difference; grey where it "
        f"contains zero, so that either network may be the better one.{left}",
        ("pair", "difference / points", "low / points", "high / points"),
        tuple((line.name, line.middle, line.low, line.high) for line in lines),
    )


def _tradeoff(main: Comparison, cost: str, title: str, axis: str, caption: str) -> Figure | None:
    """Draw scores against a cost; nothing if all networks cost the same."""
    spots = [
        figures.Spot(row.network, value, *scores)
        for row in main.rows
        if (value := text.cost(row, cost)) and (scores := _scores(row)) and text.learned(row)
    ]
    if len({spot.cost for spot in spots}) < 2:
        return None
    label = f"MPCA against {axis}: " + "; ".join(f"{s.name} {s.middle:.1f} at {s.cost:g}" for s in spots)
    return Figure(
        file_name("mpca against", cost),
        title,
        figures.tradeoff_figure(spots, axis, "MPCA / %", label),
        caption,
        ("network", axis, "MPCA / %", "low / %", "high / %"),
        tuple((spot.name, spot.cost, spot.middle, spot.low, spot.high) for spot in spots),
    )


def _said(lines: Sequence[figures.Interval]) -> str:
    return "; ".join(f"{line.name} {line.words}" for line in lines)


def _line(row: Row) -> figures.Interval:
    estimate = row.metrics.get("mpca")
    middle, low, high = _scores(row) or (np.nan, np.nan, np.nan)
    spread = text.metric(row, "mpca", "spread")
    shown = numbers.percent(middle / 100) + (f" ± {numbers.percent(spread)}" if spread is not None else "")
    return figures.Interval(
        name=row.network,
        middle=middle,
        low=low,
        high=high,
        points=tuple(100 * float(value) for value in estimate.values) if estimate is not None else (),
        words=shown if text.learned(row) else f"{row.status}, {shown}",
        dull=not text.learned(row),
    )


def _scores(row: Row) -> tuple[float, float, float] | None:
    """Give the mean MPCA and the ends of its interval in percent; None if there is no mean."""
    mean, low, high = (text.metric(row, "mpca", part) for part in ("mean", "low", "high"))
    if mean is None:
        return None
    return 100 * mean, 100 * (mean if low is None else low), 100 * (mean if high is None else high)


def _score_cells(row: Row | None) -> list[Cell]:
    if row is None:
        return [Cell(numbers.NONE), Cell(numbers.NONE)]
    shown = {column.key: column.show(row) for column in text.COLUMNS}
    mean, spread, low, high = (text.metric(row, "mpca", part) for part in ("mean", "spread", "low", "high"))
    return [Cell(shown["mpca"], mean, spread=spread), Cell(shown["interval"], low, high)]
