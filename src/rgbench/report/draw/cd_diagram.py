"""Demsar's critical-difference diagram: mean ranks on a line, bars over what cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rgbench.report.draw import svg
from rgbench.report.draw.figures import WIDTH, short
from rgbench.statistics.rank_tests import Nemenyi

_LEFT, _RIGHT = 130, WIDTH - 130
"""Ends of the axis; names stand on either side of it."""
_AXIS, _BAR, _ROW = 58, 9, 32
"""Height of the axis, and of a bar and a name in the rows below it."""


def cd_diagram(names: Sequence[str], test: Nemenyi, label: str) -> str:
    """Draw mean ranks over data sets, and which of them Nemenyi's test does not tell apart.

    Parameters
    ----------
    names : sequence of str
        The networks, in the order of the test's ranks.
    test : Nemenyi
        Mean ranks and critical difference.
    label : str
        Text for screen readers.

    Returns
    -------
    str
        SVG: the best rank at the left, the critical difference above the axis, a bar below it for each group
        that is not told apart.

    References
    ----------
    Demsar 2006, JMLR 7, 1, figure 1.

    Examples
    --------
    >>> from rgbench.statistics.rank_tests import nemenyi
    >>> drawn = cd_diagram(["a", "b", "c"], nemenyi(np.tile([0.9, 0.8, 0.7], (9, 1))), "ranks")
    >>> drawn.count("whisker"), drawn.startswith("<svg")
    (2, True)
    """
    axis = svg.Axis(1, max(len(names), 2), _LEFT, _RIGHT)
    order = [int(i) for i in np.argsort(test.ranks, kind="stable")]
    first_row = _AXIS + 18 + _BAR * len(test.groups)
    half = (len(order) + 1) // 2
    sides = [*enumerate(order[:half]), *enumerate(reversed(order[half:]))]
    parts = [*_scale(axis, len(names)), *_difference(axis, test.critical_difference)]
    for row, i in sides:
        at_left = order.index(i) < half
        parts += _leader(axis, float(test.ranks[i]), first_row + _ROW * row, names[i], at_left)
    parts += _bars(axis, test.ranks, test.groups)
    return svg.drawing(WIDTH, first_row + _ROW * half, parts, label)


def _scale(axis: svg.Axis, networks: int) -> list[str]:
    parts = [svg.line(axis.start, _AXIS, axis.end, _AXIS, "zero")]
    step = max(1, networks // 8)
    for rank in range(1, networks + 1, step):
        x = axis.place(rank)
        parts.append(svg.line(x, _AXIS - 5, x, _AXIS, "zero"))
        parts.append(svg.text(x, _AXIS - 9, str(rank), "tick", "middle"))
    parts.append(svg.text(axis.start - 10, _AXIS + 4, "mean rank", "tick", "end"))
    return parts


def _difference(axis: svg.Axis, difference: float) -> list[str]:
    """Draw the critical difference as a length; one longer than the axis is only said."""
    words = f"critical difference {difference:.2f}"
    if difference > axis.high - axis.low:
        return [svg.text(axis.start, 14, f"{words}: more than the axis holds", "tick")]
    end = axis.place(axis.low + difference)
    return [
        svg.line(axis.start, 24, end, 24, "zero"),
        *(svg.line(x, 20, x, 28, "zero") for x in (axis.start, end)),
        svg.text(axis.start, 14, words, "tick"),
    ]


def _leader(axis: svg.Axis, rank: float, y: float, name: str, at_left: bool) -> list[str]:
    """Lead from a rank on the axis down and out to the network's name."""
    x, end = axis.place(rank), axis.start - 6 if at_left else axis.end + 6
    place, anchor = (end - 4, "end") if at_left else (end + 4, "start")
    return [
        svg.line(x, _AXIS, x, y, "zero"),
        svg.line(x, y, end, y, "zero"),
        svg.circle(x, _AXIS, 4, "dot", f"{name}: mean rank {rank:.2f}"),
        svg.text(place, y + 4, short(name, 18), "bold", anchor),
        svg.text(place, y + 17, f"{rank:.2f}", "tick", anchor),
    ]


def _bars(axis: svg.Axis, ranks: NDArray[np.float64], groups: Sequence[Sequence[int]]) -> list[str]:
    parts = []
    for number, group in enumerate(groups):
        y = _AXIS + 10 + _BAR * number
        ends = [axis.place(float(rank)) for rank in (min(ranks[list(group)]), max(ranks[list(group)]))]
        parts.append(svg.line(ends[0] - 4, y, ends[1] + 4, y, "whisker"))
    return parts
