"""Figures as SVG strings, drawn at phone width and scaled up; styled by the page's style sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from unicodedata import east_asian_width

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.escapes import visible
from rgbench.report.draw import svg

WIDTH = 420
"""Width of a drawing in its own units, about the width of a phone in CSS pixels."""

_ROW = 42
_LEFT, _RIGHT = 12, WIDTH - 12


@dataclass(frozen=True)
class Interval:
    """One line of a dot-and-whisker figure.

    Attributes
    ----------
    name : str
        What stands above the line, at the left.
    middle, low, high : float
        The value and the ends of its interval; NaN where there is none.
    points : tuple of float
        Values of the single seeds.
    words : str
        What stands above the line, at the right.
    dull : bool
        Whether the line is drawn in grey.
    """

    name: str
    middle: float
    low: float
    high: float
    points: tuple[float, ...] = ()
    words: str = ""
    dull: bool = False


def interval_figure(
    lines: Sequence[Interval], unit: str, label: str, mark: float | None = None, mark_words: str = ""
) -> str:
    """Draw a dot and whiskers for each line, from top to bottom.

    Parameters
    ----------
    lines : sequence of Interval
        The lines; those without a finite value show only their words.
    unit : str
        Title of the axis.
    label : str
        Text for screen readers.
    mark : float, optional
        Value at which a vertical line is drawn, e.g. zero difference; the axis always contains it.
    mark_words : str
        What stands beside that line.
    """
    values = [v for one in lines for v in (one.middle, one.low, one.high, *one.points)]
    values += [mark] if mark is not None else []
    low, high = padded([v for v in values if numbers.is_number(v)])
    axis = svg.Axis(low, high, _LEFT, _RIGHT)
    bottom = 8 + _ROW * len(lines)
    parts = _ground(axis, bottom, unit)
    if mark is not None:
        x = axis.place(mark)
        # In pieces, about the bars only: it would cross out the names.
        parts += [svg.line(x, y + 4, x, y + 24, "zero") for y in range(22, bottom, _ROW)]
        parts.append(svg.text(x, bottom + 46, mark_words, "tick", "middle") if mark_words else "")
    for i, one in enumerate(lines):
        parts += _interval(one, axis, 22 + _ROW * i)
    return svg.drawing(WIDTH, bottom + (52 if mark_words else 38), parts, label)


def confusion_figure(
    matrix: NDArray[Any],
    classes: Sequence[str],
    label: str,
    links: Mapping[tuple[int, int], str] | None = None,
) -> str:
    """Draw a confusion matrix: counts, and each row's percentages as shade.

    Parameters
    ----------
    matrix : ndarray, shape (k, k)
        Counts; rows are true classes, columns predicted ones.
    classes : sequence of str, length k
        Names of the classes.
    label : str
        Text for screen readers.
    links : mapping of (int, int) to str, optional
        Anchors within the page that cells lead to, by row and column.
    """
    left, top, k = 92, 40, len(classes)
    cell = (WIDTH - left - 8) / k
    height = min(cell, 56)
    totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    share = matrix / totals
    parts = [
        svg.text(left + k * cell / 2, 13, "predicted", "tick", "middle"),
        svg.text(2, 32, "true", "tick"),
    ]
    for i, name in enumerate(classes):
        parts.append(svg.text(left + (i + 0.5) * cell, 32, short(name, int(cell / 6.5)), "bold", "middle"))
        y = top + (i + 0.5) * height
        parts.append(svg.text(left - 8, y - 1, short(name, 11), "bold", "end"))
        parts.append(svg.text(left - 8, y + 12, f"n = {matrix[i].sum():.0f}", "tiny muted", "end"))
        for j in range(k):
            place = (left + j * cell + 1.5, top + i * height + 1.5, cell - 3, height - 3)
            drawn = _cell(place, float(matrix[i, j]), float(share[i, j]), i == j)
            anchor = (links or {}).get((i, j))
            what = f"{name} taken for {classes[j]}: show the sources"
            parts += [svg.link(anchor, drawn, what)] if anchor else drawn
    return svg.drawing(WIDTH, top + k * height + 4, parts, label)


def training_figure(history: Mapping[str, NDArray[np.float64]], best_epoch: int, label: str) -> str:
    """Draw loss and accuracy of the training and validation sources against the epoch.

    Parameters
    ----------
    history : mapping of str to ndarray
        Columns of the history table, one value per epoch.
    best_epoch : int
        Epoch (from 1) of the best model, marked by a dotted line.
    label : str
        Text for screen readers.
    """
    epochs = history["epoch"]
    height, half, gap = 190, WIDTH / 2, 34
    pairs = {
        "cross-entropy / nat": ("train_loss", "validation_loss"),
        "accuracy / %": ("train_accuracy", "validation_accuracy"),
    }
    parts = []
    for i, (title, names) in enumerate(pairs.items()):
        scale = 1.0 if i == 0 else 100.0
        curves = [scale * np.asarray(history[name], dtype=np.float64) for name in names]
        x = svg.Axis(min(1, epochs[0]), max(epochs[-1], 2), i * half + gap, (i + 1) * half - 10)
        y = svg.Axis(*_curve_range(curves, percent=i == 1), height - 34, 26)
        parts += [*_panel(x, y, title), *_best(x, y, best_epoch)]
        for style, curve in zip(("train", "valid"), curves, strict=True):
            parts += _curve(x, y, epochs, curve, style)
    return svg.drawing(WIDTH, height, parts, label)


@dataclass(frozen=True)
class Spot:
    """A point of the trade-off figure: a network's cost and its score with interval."""

    name: str
    cost: float
    middle: float
    low: float
    high: float


def tradeoff_figure(spots: Sequence[Spot], cost: str, unit: str, label: str) -> str:
    """Draw scores with their intervals against a cost on a logarithmic axis.

    Parameters
    ----------
    spots : sequence of Spot
        The networks; cost must be positive.
    cost, unit : str
        Titles of the horizontal and the vertical axis.
    label : str
        Text for screen readers.
    """
    height = 270
    costs = [spot.cost for spot in spots]
    x = svg.Axis(min(costs) / 2.2, max(costs) * 2.2, 40, _RIGHT, log=True)
    y = svg.Axis(*padded([v for s in spots for v in (s.low, s.high, s.middle)]), height - 44, 24)
    parts = [svg.text(2, 13, unit, "tick"), svg.text(_RIGHT, height - 6, cost, "tick", "end")]
    for tick in x.ticks():
        parts.append(svg.line(x.place(tick), 24, x.place(tick), y.start, "rule"))
        parts.append(svg.text(x.place(tick), y.start + 16, numbers.count(tick), "tick", "middle"))
    parts += levels(y, 40, _RIGHT, "tick")
    for spot, label_y in zip(spots, apart([y.place(s.middle) for s in spots], 14), strict=True):
        place, right = x.place(spot.cost), x.place(spot.cost) < WIDTH / 2
        parts.append(svg.line(place, y.place(spot.low), place, y.place(spot.high), "whisker thin"))
        parts.append(svg.circle(place, y.place(spot.middle), 5, "dot", spot.name))
        side = ("start", 9) if right else ("end", -9)
        parts.append(svg.text(place + side[1], label_y + 4, short(spot.name, 26), "bold", side[0]))
    return svg.drawing(WIDTH, height, parts, label)


def legend_swatch(style: str) -> str:
    """Draw the sample of a curve for a legend."""
    return svg.drawing(32, 10, [svg.line(1, 5, 31, 5, f"curve {style}")], "")


def _interval(one: Interval, axis: svg.Axis, y: float) -> list[str]:
    dull = " dull" if one.dull else ""
    style = "strong muted" if one.dull else "strong"
    parts = [svg.text(_LEFT, y, short(one.name, 40), style), svg.text(_RIGHT, y, one.words, "muted", "end")]
    y += 13
    parts.append(svg.line(_LEFT, y, _RIGHT, y, "track"))
    if not numbers.is_number(one.middle):
        return parts
    if numbers.is_number(one.low) and numbers.is_number(one.high):
        parts.append(svg.line(axis.place(one.low), y, axis.place(one.high), y, "whisker" + dull))
    for value in one.points:
        if numbers.is_number(value):
            parts.append(svg.circle(axis.place(value), y, 3.2, "seed" + dull))
    parts.append(svg.circle(axis.place(one.middle), y, 5.6, "dot" + dull, f"{one.name}: {one.words}"))
    return parts


def _ground(axis: svg.Axis, bottom: float, unit: str) -> list[str]:
    ticks = axis.ticks()
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    parts = []
    for tick in ticks:
        x = axis.place(tick)
        parts.append(svg.line(x, 4, x, bottom, "rule"))
        parts.append(svg.text(x, bottom + 15, svg.tick_label(tick, step), "tick", "middle"))
    return [*parts, svg.text(_RIGHT, bottom + 32, unit, "tick", "end")]


def _cell(place: tuple[float, float, float, float], number: float, share: float, right: bool) -> list[str]:
    x, y, width, height = place
    ink = "on" if share > 0.55 else ""
    middle = x + width / 2
    return [
        svg.rectangle(place, "cell", radius=4),
        svg.rectangle(place, "good" if right else "bad", opacity=share, radius=4),
        svg.text(middle, y + height / 2 - 1, f"{number:.0f}", f"bold {ink}".strip(), "middle"),
        svg.text(middle, y + height / 2 + 13, f"{100 * share:.0f} %", f"tiny {ink or 'muted'}", "middle"),
    ]


def _panel(x: svg.Axis, y: svg.Axis, title: str) -> list[str]:
    parts = [svg.text(x.start, 13, title, "tick"), *levels(y, x.start, x.end, "tick tiny")]
    ticks = [tick for tick in x.ticks(4) if tick >= 1 and tick == round(tick)]
    parts += [svg.text(x.place(tick), y.start + 14, f"{tick:.0f}", "tick tiny", "middle") for tick in ticks]
    return [*parts, svg.text(x.end, y.start + 28, "epoch", "tick tiny", "end")]


def levels(y: svg.Axis, left: float, right: float, style: str) -> list[str]:
    """Draw the horizontal lines of an axis with their numbers."""
    ticks = y.ticks(4)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    parts = []
    for tick in ticks:
        parts.append(svg.line(left, y.place(tick), right, y.place(tick), "rule"))
        parts.append(svg.text(left - 5, y.place(tick) + 4, svg.tick_label(tick, step), style, "end"))
    return parts


def _best(x: svg.Axis, y: svg.Axis, epoch: int) -> list[str]:
    if epoch < 1:
        return []
    place = x.place(epoch)
    anchor = "end" if place > (x.start + x.end) / 2 else "start"
    words = svg.text(place + (-4 if anchor == "end" else 4), y.end + 8, f"best: {epoch}", "tick tiny", anchor)
    return [svg.line(place, y.end, place, y.start, "best"), words]


def _curve(
    x: svg.Axis, y: svg.Axis, epochs: NDArray[np.float64], values: NDArray[np.float64], style: str
) -> list[str]:
    """Draw a curve in pieces, with gaps where a value is not finite."""
    finite = np.flatnonzero(np.isfinite(values))
    if not len(finite):
        return []
    pieces = np.split(finite, np.flatnonzero(np.diff(finite) > 1) + 1)
    points = [[(x.place(float(epochs[i])), y.place(float(values[i]))) for i in piece] for piece in pieces]
    last = points[-1][-1]
    return [
        *(svg.polyline(piece, f"curve {style}") for piece in points),
        svg.circle(*last, 2.6, f"end {style}"),
    ]


def _curve_range(curves: Sequence[NDArray[np.float64]], percent: bool) -> tuple[float, float]:
    """Give the range of a panel: accuracy up to 100 %, losses from 0 to what nearly all values need."""
    values = np.concatenate(curves)
    values = values[np.isfinite(values)]
    if percent:
        return (max(0.0, 10 * np.floor((values.min() - 2) / 10)) if len(values) else 0.0), 100.0
    top = float(np.quantile(values, 0.98)) if len(values) else 1.0
    return 0.0, max(1.08 * top, 1e-3)


def padded(values: Sequence[float]) -> tuple[float, float]:
    """Give the range of values with a little room at both ends."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def apart(places: Sequence[float], distance: float) -> list[float]:
    """Move labels down so that none covers another, keeping their order."""
    moved = dict.fromkeys(range(len(places)), 0.0)
    last = -np.inf
    for i in sorted(range(len(places)), key=lambda i: places[i]):
        moved[i] = last = max(places[i], last + distance)
    return [moved[i] for i in range(len(places))]


def short(name: str, length: int) -> str:
    """Shorten a name, as it is shown, to so many characters; wide ones, such as Chinese, count twice.

    Examples
    --------
    >>> short("convxpress", 6), short("銀河銀河", 6), short("a[/b]", 6)
    ('convx…', '銀河…', 'a[/b]')
    """
    shown = visible(name)
    ends = list(accumulate(2 if east_asian_width(c) in "WF" else 1 for c in shown))
    if not ends or ends[-1] <= length:
        return shown
    return shown[: max(1, sum(end < length for end in ends))] + "…"
