"""Just enough SVG: shapes as strings, a linear or logarithmic axis, ticks at round numbers.

Colours come from CSS classes of the page's style sheet (so that a figure follows light and dark), not
from attributes. All text is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rgbench.escapes import for_xml

_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """A mapping of data values to a coordinate of the drawing.

    Attributes
    ----------
    low, high : float
        Data values at the ends.
    start, end : float
        Coordinates of the ends.
    log : bool
        Whether the axis is logarithmic; its values must then be positive.

    Examples
    --------
    >>> Axis(0, 10, 100, 200).place(5)
    150.0
    >>> Axis(1, 100, 0, 10, log=True).place(10)
    5.0
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Give the coordinate of a value; values outside are moved to the nearer end."""
        value = min(max(value, self.low), self.high)
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        part = ((math.log(value) if self.log else value) - low) / (high - low)
        return self.start + part * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Give about so many round values within the axis."""
        return _log_ticks(self.low, self.high) if self.log else _linear_ticks(self.low, self.high, about)


def text(x: float, y: float, content: str, style: str = "", anchor: str = "start") -> str:
    """Draw escaped text at a point; `style` names CSS classes."""
    place = f'x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"'
    return f"<text {place}{_class(style)}>{for_xml(content)}</text>"


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """Draw a straight line."""
    return f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"{_class(style)}/>'


def circle(x: float, y: float, radius: float, style: str, title: str = "") -> str:
    """Draw a dot, with a tooltip if a title is given."""
    tip = f"<title>{for_xml(title)}</title>" if title else ""
    return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"{_class(style)}>{tip}</circle>'


def rectangle(box: Sequence[float], style: str, opacity: float = 1.0, radius: float = 0) -> str:
    """Draw a rectangle; `box` is x, y, width, height."""
    x, y, width, height = (_n(value) for value in box)
    extra = "" if opacity >= 1 else f' fill-opacity="{opacity:.3f}"'
    extra += f' rx="{_n(radius)}"' if radius else ""
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}"{extra}{_class(style)}/>'


def image(box: Sequence[float], address: str, title: str) -> str:
    """Place a picture, given as a data URI; `box` is x, y, width, height, `title` its tooltip."""
    x, y, width, height = (_n(value) for value in box)
    place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<image {place} href="{for_xml(address)}"><title>{for_xml(title)}</title></image>'


def polyline(points: Iterable[tuple[float, float]], style: str) -> str:
    """Draw a line through points."""
    content = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    return f'<polyline points="{content}"{_class(style)}/>'


def polygon(points: Iterable[tuple[float, float]], style: str) -> str:
    """Draw a filled area."""
    content = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    return f'<polygon points="{content}"{_class(style)}/>'


def link(anchor: str, parts: Iterable[str], label: str) -> str:
    """Make shapes lead to an anchor of the page."""
    return f'<a href="#{for_xml(anchor)}" aria-label="{for_xml(label)}">{"".join(parts)}</a>'


def drawing(width: float, height: float, parts: Iterable[str], label: str) -> str:
    """Wrap shapes into an SVG that scales with the page; `label` is what a screen reader says."""
    box = f'viewBox="0 0 {_n(width)} {_n(height)}"'
    return f'<svg {box} role="img" aria-label="{for_xml(label)}">{"".join(parts)}</svg>'


def tick_label(value: float, step_hint: float = 1.0) -> str:
    """Write a tick's value with no more decimals than its spacing needs.

    Examples
    --------
    >>> tick_label(0.30000000000000004, 0.1), tick_label(70.0, 10), tick_label(2.5, 2.5)
    ('0.3', '70', '2.5')
    """
    decimals = 0
    while decimals < 6 and abs(round(step_hint, decimals) - step_hint) > 1e-9:
        decimals += 1
    return f"{value:.{decimals}f}".replace("-", "−")


def _linear_ticks(low: float, high: float, about: int) -> list[float]:
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * r for r in _ROUND if power * r >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [f * 10.0**p for p in powers for f in factors if low <= f * 10.0**p <= high]
        if len(found) >= 3:
            break
    return found[:: max(1, len(found) // 5)]


def _class(style: str) -> str:
    return f' class="{for_xml(style)}"' if style else ""


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
