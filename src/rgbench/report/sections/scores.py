"""How sure the scores are: every network with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rgbench import numbers
from rgbench.comparison.results import Row
from rgbench.report.blocks import Figure, Section, file_name
from rgbench.report.draw import figures
from rgbench.report.files import text
from rgbench.report.material import Runs


def section(runs: Runs) -> Section:
    """Draw the scores of all networks with their intervals."""
    return Section("ranking", "How sure?", "How sure are the scores?", figures=(_scores_figure(runs),))


def _scores_figure(runs: Runs) -> Figure:
    lines = [_line(runs, row) for row in runs.main.rows]
    rows = [(line.name, line.middle, line.low, line.high, " ".join(map(repr, line.points))) for line in lines]
    card, axis = runs.card, runs.scale.axis
    title = numbers.capital(card.words)
    bars = (
        "Bar: 95 % interval of the mean. " if card.interval != "none" else f"{card.short} has no interval. "
    )
    overlap = (
        "Two bars may overlap although the networks differ: see “Are they different?”."
        if runs.main.pairs
        else ""
    )
    return Figure(
        file_name(card.name),
        title,
        figures.interval_figure(lines, axis(card.short), f"{title}: {spoken(lines)}"),
        f"Dot: mean over the seeds. Rings: the seeds. {bars}{overlap}".strip(),
        ("network", axis(card.short), *(axis(end) for end in ("low", "high", "seeds"))),
        tuple(rows),
    )


def spoken(lines: Sequence[figures.Interval]) -> str:
    """Say in words what lines show, for those who cannot see them."""
    return "; ".join(f"{line.name} {line.words}" for line in lines)


def _line(runs: Runs, row: Row) -> figures.Interval:
    estimate = row.metrics.get(runs.main.metric)
    middle, low, high = scores_of(runs, row) or (np.nan, np.nan, np.nan)
    shown, factor = text.mean_spread(row, runs.card), runs.scale.factor
    return figures.Interval(
        name=row.network,
        middle=middle,
        low=low,
        high=high,
        points=tuple(factor * float(value) for value in estimate.values) if estimate is not None else (),
        words=shown if text.learned(row) else f"{row.status}, {shown}",
        dull=not text.learned(row),
    )


def scores_of(runs: Runs, row: Row) -> tuple[float, float, float] | None:
    """Give the mean and the ends of its interval in the units shown; None if there is no mean."""
    mean, low, high = (text.value_of(row, runs.main.metric, part) for part in ("mean", "low", "high"))
    if mean is None:
        return None
    factor = runs.scale.factor
    return factor * mean, factor * (mean if low is None else low), factor * (mean if high is None else high)
