"""How sure the scores are: every network with its interval, the pairs, and scores against costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rgbench import numbers
from rgbench.comparison.results import Row
from rgbench.report.blocks import Figure, Fold, Listing, Section, file_name
from rgbench.report.draw import figures
from rgbench.report.files import text
from rgbench.report.material import Runs
from rgbench.statistics.significance import excludes_zero

_MAX_PAIRS = 15
_OPEN = 3
"""Most pairs whose sentences are seen at once."""
_TRADEOFFS = (
    (
        "macs",
        "Score against cost",
        "MACs per image",
        "{better} is better, left is cheaper. Bars are 95 % intervals.",
    ),
    (
        "receptive_field",
        "Score against receptive field",
        "receptive field / px",
        "The theoretical receptive field of the last map, in pixels of the network's input; its share of "
        "the image is the coverage, in the CSV table. Bars are 95 % intervals.",
    ),
)


def section(runs: Runs) -> Section:
    """Draw the scores with their intervals, the paired differences, and scores against costs."""
    drawn = [_scores_figure(runs), _pairs_figure(runs), *(_tradeoff(runs, *each) for each in _TRADEOFFS)]
    sentences = tuple(f"{pair.words}." for pair in runs.main.pairs)
    paired = (
        " Whether two networks differ is judged by their paired difference, not by whether the bars of their scores "
        "overlap."
    )
    words = Fold("The differences in words", (Listing(sentences),), opened=len(sentences) <= _OPEN)
    return Section(
        "ranking",
        "How sure?",
        "How sure is the ranking?",
        sentences=(
            "Other test sources and other seeds would have given other scores: the bars show by how much."
            + (paired if sentences else ""),
        ),
        figures=tuple(figure for figure in drawn if figure is not None),
        blocks=(words,) if sentences else (),
    )


def _scores_figure(runs: Runs) -> Figure:
    lines = [_line(runs, row) for row in runs.main.rows]
    rows = [(line.name, line.middle, line.low, line.high, " ".join(map(repr, line.points))) for line in lines]
    card, axis = runs.card, runs.scale.axis
    title = numbers.capital(card.words)
    bars = (
        "Bar: 95 % interval of the mean. " if card.interval != "none" else f"{card.short} has no interval. "
    )
    overlap = "Bars may overlap although the paired test tells two networks apart." if runs.main.pairs else ""
    return Figure(
        file_name(card.name),
        title,
        figures.interval_figure(lines, axis(card.short), f"{title}: {_said(lines)}"),
        f"Dot: mean over the seeds. Rings: the seeds. {bars}{overlap}".strip(),
        ("network", axis(card.short), *(axis(end) for end in ("low", "high", "seeds"))),
        tuple(rows),
    )


def _pairs_figure(runs: Runs) -> Figure | None:
    if not runs.main.pairs:
        return None
    scale, axis = runs.scale, runs.scale.differences
    lines = [
        figures.Interval(
            name=f"{pair.first} − {pair.second}",
            middle=scale.factor * pair.difference,
            low=scale.factor * pair.low,
            high=scale.factor * pair.high,
            words=scale.signed(pair.difference),
            dull=not excludes_zero(pair.low, pair.high),
        )
        for pair in runs.main.pairs
    ]
    label = f"Paired differences of {runs.card.short}: {_said(lines[:_MAX_PAIRS])}"
    left = (
        f" The first {_MAX_PAIRS} of {len(lines)} pairs; all are in the data." if lines[_MAX_PAIRS:] else ""
    )
    better = "" if runs.card.higher_is_better else " Below zero the first is better."
    return Figure(
        "paired-differences",
        "Paired differences",
        figures.interval_figure(
            lines[:_MAX_PAIRS], axis(f"difference of {runs.card.short}"), label, mark=0.0
        ),
        "The same test sources, answered by both. Bar: 95 % interval of the difference; grey where it "
        f"contains zero, or is not known, so that either network may be the better one.{better}{left}",
        ("pair", *(axis(each) for each in ("difference", "low", "high"))),
        tuple((line.name, line.middle, line.low, line.high) for line in lines),
    )


def _tradeoff(runs: Runs, cost: str, title: str, axis: str, caption: str) -> Figure | None:
    """Draw scores against a cost; nothing if all networks cost the same."""
    spots = [
        figures.Spot(row.network, value, *scores)
        for row in runs.main.rows
        if (value := text.cost(row, cost)) and (scores := _scores(runs, row)) and text.learned(row)
    ]
    if len({spot.cost for spot in spots}) < 2:
        return None
    short, scale = runs.card.short, runs.scale
    middles = [f"{s.name} {scale.show(s.middle / scale.factor)} at {s.cost:g}" for s in spots]
    label = f"{short} against {axis}: " + "; ".join(middles)
    return Figure(
        file_name(runs.card.name, "against", cost),
        title,
        figures.tradeoff_figure(spots, axis, scale.axis(short), label),
        caption.format(better="Up" if runs.card.higher_is_better else "Down"),
        ("network", axis, scale.axis(short), scale.axis("low"), scale.axis("high")),
        tuple((spot.name, spot.cost, spot.middle, spot.low, spot.high) for spot in spots),
    )


def _said(lines: Sequence[figures.Interval]) -> str:
    return "; ".join(f"{line.name} {line.words}" for line in lines)


def _line(runs: Runs, row: Row) -> figures.Interval:
    estimate = row.metrics.get(runs.main.metric)
    middle, low, high = _scores(runs, row) or (np.nan, np.nan, np.nan)
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


def _scores(runs: Runs, row: Row) -> tuple[float, float, float] | None:
    """Give the mean and the ends of its interval in the units shown; None if there is no mean."""
    mean, low, high = (text.value_of(row, runs.main.metric, part) for part in ("mean", "low", "high"))
    if mean is None:
        return None
    factor = runs.scale.factor
    return factor * mean, factor * (mean if low is None else low), factor * (mean if high is None else high)
