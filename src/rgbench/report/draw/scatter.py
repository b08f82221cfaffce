"""Points in a plane, by class: a shape and a colour for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rgbench.report.draw import svg
from rgbench.report.draw.figures import WIDTH, padded, short
from rgbench.report.draw.plots import COLOURS

_LEFT, _TOP, _BOTTOM, _HEIGHT = 12, 12, 28, 300
_LABELS = 96
"""Room for the key at the right."""
_SIDE = 3.2


def scatter_figure(
    points: NDArray[np.float64],
    label: NDArray[np.int64],
    classes: Sequence[str],
    axes: tuple[str, str],
    words: str,
) -> str:
    """Draw points with a key of their classes.

    Parameters
    ----------
    points : ndarray, shape (n, 2)
        Places along the horizontal and the vertical axis.
    label : ndarray of int64, shape (n,)
        Index into the classes; others are not drawn.
    classes : sequence of str
        Names.
    axes : (str, str)
        Titles of the axes.
    words : str
        Text for screen readers.
    """
    known = (label >= 0) & (label < len(classes)) & np.isfinite(points).all(axis=1)
    right = WIDTH - _LABELS
    x = svg.Axis(*padded(points[known, 0].tolist()), _LEFT, right)
    y = svg.Axis(*padded(points[known, 1].tolist()), _HEIGHT - _BOTTOM, _TOP)
    parts = [
        svg.line(_LEFT, y.start, right, y.start, "rule"),
        svg.line(_LEFT, y.start, _LEFT, y.end, "rule"),
        svg.text(right, _HEIGHT - 8, axes[0], "tick", "end"),
        svg.text(_LEFT + 4, _TOP + 4, axes[1], "tick"),
    ]
    for (across, up), kind in zip(points[known], label[known], strict=True):
        parts.append(marker(int(kind), x.place(float(across)), y.place(float(up))))
    for kind, name in enumerate(classes):
        place = _TOP + 16 + 18 * kind
        parts.append(marker(kind, right + 14, place - 4))
        parts.append(svg.text(right + 24, place, short(name, 12), f"name c{kind % COLOURS}"))
    return svg.drawing(WIDTH, _HEIGHT, parts, words)


def marker(kind: int, x: float, y: float) -> str:
    """Draw the mark of a class: a ring, a square, a triangle or a diamond, in its colour."""
    return _SHAPES[kind % len(_SHAPES)](x, y, f"mark c{kind % COLOURS}")


def _ring(x: float, y: float, style: str) -> str:
    return svg.circle(x, y, _SIDE, style)


def _square(x: float, y: float, style: str) -> str:
    return svg.polygon(
        [(x - _SIDE, y - _SIDE), (x + _SIDE, y - _SIDE), (x + _SIDE, y + _SIDE), (x - _SIDE, y + _SIDE)],
        style,
    )


def _triangle(x: float, y: float, style: str) -> str:
    return svg.polygon(
        [(x, y - _SIDE - 0.6), (x + _SIDE + 0.6, y + _SIDE), (x - _SIDE - 0.6, y + _SIDE)], style
    )


def _diamond(x: float, y: float, style: str) -> str:
    reach = _SIDE + 1
    return svg.polygon([(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)], style)


_SHAPES: tuple[Callable[[float, float, str], str], ...] = (_ring, _square, _triangle, _diamond)
