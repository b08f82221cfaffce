"""Lines with bands, and bars of shares: the drawings of the report's later sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rgbench.report.draw import svg
from rgbench.report.draw.figures import WIDTH, apart, levels, padded, short

COLOURS = 6
"""Colours of lines in the style sheet; a seventh line begins again, dashed."""
_LEFT, _RIGHT, _TOP = 44, WIDTH - 12, 24
_LETTERS = 18
"""Letters of a name that are shown at most."""
_LETTER = 6.2
"""Width of one of them."""


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Attributes
    ----------
    name : str
        What stands at its end; "" for none.
    x, y : ndarray, shape (n,)
        Points; where y is not finite, the line has a gap.
    low, high : ndarray of shape (n,), optional
        Edges of the band about it.
    points : bool
        Whether the points are marked.
    style : int, optional
        Number of its colour; by default its place among the lines.
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    points: bool = False
    style: int | None = None


@dataclass(frozen=True)
class Axes:
    """Titles, ranges and ticks of a plot's axes; a range left out is that of the lines."""

    x_title: str
    y_title: str
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    log: bool = False
    diagonal: bool = False
    height: int = 280
    x_ticks: tuple[float, ...] = ()


def lines_figure(lines: Sequence[Line], axes: Axes, label: str) -> str:
    """Draw lines, each with its name at its end.

    Parameters
    ----------
    lines : sequence of Line
        From the most important to the least.
    axes : Axes
        Titles, ranges, and whether the horizontal axis is logarithmic or the diagonal is drawn.
    label : str
        Text for screen readers.
    """
    right = _RIGHT - _LETTER * min(_LETTERS, max((len(line.name) for line in lines), default=0))
    x = svg.Axis(*(axes.x_range or _range([line.x for line in lines], axes.log)), _LEFT, right, axes.log)
    values = [v for line in lines for v in (line.y, line.low, line.high) if v is not None]
    y = svg.Axis(*(axes.y_range or _range(values)), axes.height - 44, _TOP)
    parts = [
        svg.text(2, 13, axes.y_title, "tick"),
        svg.text(right, axes.height - 6, axes.x_title, "tick", "end"),
    ]
    parts += [*levels(y, _LEFT, right, "tick"), *_columns(x, y, axes.x_ticks)]
    if axes.diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        parts.append(svg.line(x.place(low), y.place(low), x.place(high), y.place(high), "zero"))
    ends = []
    for number, line in enumerate(lines):
        style = _style(number if line.style is None else line.style)
        parts += [*_band(line, x, y, style), *_curve(line, x, y, style)]
        ends.append(_end(line, y))
    for line, number, place in zip(lines, range(len(lines)), apart(ends, 14), strict=True):
        style = _style(number if line.style is None else line.style)
        parts.append(svg.text(right + 8, place + 4, short(line.name, _LETTERS), f"name {style}"))
    return svg.drawing(WIDTH, axes.height, parts, label)


def _style(number: int) -> str:
    return f"c{number % COLOURS}" + (" dashed" if number >= COLOURS else "")


def _range(values: Sequence[NDArray[np.float64]], log: bool = False) -> tuple[float, float]:
    known = np.concatenate([np.asarray(v, dtype=float).ravel() for v in values]) if values else np.zeros(0)
    known = known[np.isfinite(known)]
    if log:
        known = known[known > 0]
        return (float(known.min()) / 1.15, float(known.max()) * 1.15) if len(known) else (1.0, 10.0)
    return padded(known.tolist())


def _columns(x: svg.Axis, y: svg.Axis, given: Sequence[float]) -> list[str]:
    ticks = given or x.ticks(5)
    step = min(np.diff(ticks)) if len(ticks) > 1 else 1.0
    parts = []
    for tick in ticks:
        parts.append(svg.line(x.place(tick), y.end, x.place(tick), y.start, "rule"))
        words = f"{tick:g}" if x.log else svg.tick_label(tick, float(step))
        parts.append(svg.text(x.place(tick), y.start + 16, words, "tick", "middle"))
    return parts


def _band(line: Line, x: svg.Axis, y: svg.Axis, style: str) -> list[str]:
    if line.low is None or line.high is None:
        return []
    good = np.isfinite(line.low) & np.isfinite(line.high)
    if good.sum() < 2:
        return []
    across = [x.place(float(v)) for v in line.x[good]]
    up = [(a, y.place(float(v))) for a, v in zip(across, line.high[good], strict=True)]
    down = [(a, y.place(float(v))) for a, v in zip(across, line.low[good], strict=True)]
    return [svg.polygon([*up, *down[::-1]], f"band {style}")]


def _curve(line: Line, x: svg.Axis, y: svg.Axis, style: str) -> list[str]:
    good = np.flatnonzero(np.isfinite(line.y) & np.isfinite(line.x))
    if not len(good):
        return []
    places = {i: (x.place(float(line.x[i])), y.place(float(line.y[i]))) for i in good}
    pieces = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    drawn = [svg.polyline([places[i] for i in piece], f"curve {style}") for piece in pieces]
    if line.points:
        drawn += [svg.circle(*place, 3, f"mark {style}") for place in places.values()]
    return drawn


def _end(line: Line, y: svg.Axis) -> float:
    good = np.flatnonzero(np.isfinite(line.y))
    return y.place(float(line.y[good[-1]])) if len(good) else y.start
