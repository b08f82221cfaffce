"""Sources on the sky, by class: the whole sky in Mollweide's projection, or the part of it where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rgbench.report.draw import svg
from rgbench.report.draw.figures import WIDTH, short
from rgbench.report.draw.plots import COLOURS
from rgbench.report.draw.scatter import marker

WIDEST = 40.0
"""Degrees from the middle up to which a part of the sky is drawn."""
FEW = 300
"""Sources up to which each class has a shape of its own; more are dots."""
_LEFT, _RIGHT, _TOP, _ROOM, _KEY = 40, WIDTH - 8, 10, 40, 22
_STEPS = (30.0, 15.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
_LEAST = 0.005
"""Degrees from the middle to the edge of a map at least."""
_FINE = 121
"""Points of a line of the grid."""

_MERIDIANS, _PARALLELS = (60, 120, 180, 240, 300), (-60, -30, 0, 30, 60)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Frame:
    """A part of the sky on the paper: equal distances and directions from the middle, east to the left."""

    ra: float
    dec: float
    reach: float
    aspect: float

    def place(self, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
        """Give where positions come to lie."""
        east, north = _offsets(ra, dec, self.ra, self.dec)
        middle, half = (_LEFT + _RIGHT) / 2, (_RIGHT - _LEFT) / 2
        scale = half / self.reach
        return middle - east * scale, _TOP + half * self.aspect - north * scale

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return _TOP + (_RIGHT - _LEFT) * self.aspect

    def inside(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """Tell what lies within the edges."""
        return (x >= _LEFT) & (x <= _RIGHT) & (y >= _TOP) & (y <= self.bottom)


def sky_figure(ra: Floats, dec: Floats, label: NDArray[np.int64], classes: Sequence[str], words: str) -> str:
    """Draw sources on the sky with a key of their classes; the rarest class lies on top.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees; what is not finite is not drawn.
    label : ndarray of int64, shape (n,)
        Index into the classes.
    classes : sequence of str
        Names.
    words : str
        Text for screen readers.
    """
    known = np.isfinite(ra) & np.isfinite(dec)
    ra, dec, label = ra[known], dec[known], label[known]
    frame = _frame_of(ra, dec) if len(ra) else None
    if frame is None:
        x, y = mollweide(ra, dec)
        parts, above, bottom = list(_globe()), list(_globe_numbers()), _TOP + (_RIGHT - _LEFT) / 2
    else:
        x, y = frame.place(ra, dec)
        parts, above, bottom = list(_grid(frame)), [], frame.bottom
    counts = np.bincount(label, minlength=len(classes))
    for kind in np.argsort(-counts, kind="stable").tolist():
        for across, down in zip(x[label == kind].tolist(), y[label == kind].tolist(), strict=True):
            parts.append(_source(kind, across, down, len(ra) <= FEW))
    parts += above
    parts += _key(classes, bottom + _ROOM, len(ra) <= FEW)
    return svg.drawing(WIDTH, bottom + _ROOM + _KEY * -(-len(classes) // 4), parts, words)


def mollweide(ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
    """Give where positions, degrees, lie in Mollweide's projection: RA 180 in the middle, east to the left."""
    latitude = np.radians(dec)
    theta = latitude.copy()
    for _ in range(60):
        slope = 2 + 2 * np.cos(2 * theta)
        theta -= (2 * theta + np.sin(2 * theta) - np.pi * np.sin(latitude)) / np.maximum(slope, 1e-6)
        theta = np.clip(theta, -np.pi / 2, np.pi / 2)
    half = (_RIGHT - _LEFT) / 2
    x = (_LEFT + _RIGHT) / 2 - half * (np.remainder(ra, 360) - 180) / 180 * np.cos(theta)
    return x, _TOP + half / 2 * (1 - np.sin(theta))


def _frame_of(ra: Floats, dec: Floats) -> _Frame | None:
    """Give the part of the sky that holds positions; None if that is too large."""
    a, d = np.radians(ra), np.radians(dec)
    vectors = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    mean = vectors.mean(axis=1)
    length = float(np.linalg.norm(mean))
    if length == 0 or float((mean / length @ vectors).min()) < np.cos(np.radians(WIDEST)):
        return None
    middle = (float(np.degrees(np.arctan2(mean[1], mean[0]))), float(np.degrees(np.arcsin(mean[2] / length))))
    east, north = _offsets(ra, dec, *middle)
    # The middle of what is seen, not of the sources, which may crowd at one side.
    shift = ((east.max() + east.min()) / 2, (north.max() + north.min()) / 2)
    dec0 = float(np.clip(middle[1] + shift[1], -90, 90))
    ra0 = float(middle[0] + shift[0] / max(np.cos(np.radians(dec0)), 0.02)) % 360
    east, north = (np.abs(each).max() for each in _offsets(ra, dec, ra0, dec0))
    reach = max(1.06 * float(east), 1.06 * float(north) * 0.8, _LEAST)
    return _Frame(ra0, dec0, reach, float(np.clip(1.06 * float(north) / reach, 0.35, 1.25)))


def _offsets(ra: Floats, dec: Floats, ra0: float, dec0: float) -> tuple[Floats, Floats]:
    """Give distances to the east and the north of a position, degrees, true along all lines through it."""
    a, d, d0 = np.radians(ra - ra0), np.radians(dec), np.radians(dec0)
    east = np.cos(d) * np.sin(a)
    north = np.sin(d) * np.cos(d0) - np.cos(d) * np.sin(d0) * np.cos(a)
    along = np.sin(d) * np.sin(d0) + np.cos(d) * np.cos(d0) * np.cos(a)
    sine = np.hypot(east, north)
    ratio = np.degrees(np.arctan2(sine, along)) / np.where(sine > 0, sine, 1)
    return east * np.where(sine > 0, ratio, 0), north * np.where(sine > 0, ratio, 0)


def _grid(frame: _Frame) -> Iterator[str]:
    """Draw lines of equal RA and Dec, with their numbers at the edges."""
    tall = frame.reach * frame.aspect
    step = next((each for each in _STEPS if 2 * tall / each >= 3), _STEPS[-1])
    wide = frame.reach / max(np.cos(np.radians(frame.dec)), 0.05)
    across = next((each for each in _STEPS if 2 * wide / each >= 3), _STEPS[-1])
    southmost, northmost = max(frame.dec - 2 * tall, -90), min(frame.dec + 2 * tall, 90)
    span = min(2 * wide, 180)
    for dec in np.arange(np.ceil(southmost / step), northmost / step + 1e-9) * step:
        ra = np.linspace(frame.ra - span, frame.ra + span, 4 * _FINE)
        yield from _line(frame, ra, np.full_like(ra, dec), svg.tick_label(float(dec), step), False)
    last = min(span, 180 - across / 2)
    for ra0 in np.arange(np.ceil((frame.ra - last) / across), (frame.ra + last) / across + 1e-9) * across:
        dec = np.linspace(southmost, northmost, 4 * _FINE)
        name = svg.tick_label(float(ra0 % 360), across)
        yield from _line(frame, np.full_like(dec, ra0), dec, name, True)
    yield svg.polyline(_corners(frame), "rule none")
    yield svg.text(_RIGHT, frame.bottom + 30, "RA / deg (ICRS), east to the left", "tick", "end")
    yield svg.text(_LEFT, frame.bottom + 30, "Dec / deg", "tick")


def _corners(frame: _Frame) -> list[tuple[float, float]]:
    return [(_LEFT, _TOP), (_RIGHT, _TOP), (_RIGHT, frame.bottom), (_LEFT, frame.bottom), (_LEFT, _TOP)]


def _line(frame: _Frame, ra: Floats, dec: Floats, name: str, upright: bool) -> Iterator[str]:
    x, y = frame.place(ra, dec)
    inside = np.flatnonzero(frame.inside(x, y))
    if len(inside) < 2:
        return
    pieces = np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1)
    for piece in pieces:
        yield svg.polyline(zip(x[piece].tolist(), y[piece].tolist(), strict=True), "rule none")
    if upright:
        lowest = inside[np.argmax(y[inside])]
        if y[lowest] > frame.bottom - 6:
            yield svg.text(float(x[lowest]), frame.bottom + 14, name, "tick tiny", "middle")
        return
    leftmost, highest = inside[np.argmin(x[inside])], inside[np.argmin(y[inside])]
    if x[leftmost] >= _LEFT + 6:  # a circle about a pole
        yield svg.text(float(x[highest]), float(y[highest]) - 3, name, "tick tiny", "middle")
    else:
        yield svg.text(_LEFT - 4, float(y[leftmost]) + 4, name, "tick tiny", "end")


def _globe() -> Iterator[str]:
    """Draw the grid of the whole sky."""
    dec = np.linspace(-90, 90, _FINE)
    for ra0 in (0.001, *_MERIDIANS, 359.999):
        x, y = mollweide(np.full_like(dec, ra0), dec)
        yield svg.polyline(zip(x.tolist(), y.tolist(), strict=True), "rule none")
    ra = np.linspace(0.001, 359.999, _FINE)
    for dec0 in _PARALLELS:
        x, y = mollweide(ra, np.full_like(ra, float(dec0)))
        yield svg.polyline(zip(x.tolist(), y.tolist(), strict=True), "rule none")


def _globe_numbers() -> Iterator[str]:
    """Write the numbers of the grid of the whole sky; those within it are to lie on top of the sources."""
    for ra0 in _MERIDIANS:
        x, y = mollweide(np.array([float(ra0)]), np.zeros(1))
        yield svg.text(float(x[0]) + 2, float(y[0]) - 3, str(ra0), "bold tiny")
    for dec0 in _PARALLELS:
        x, y = mollweide(np.array([359.999]), np.array([float(dec0)]))
        yield svg.text(float(x[0]) - 3, float(y[0]) + 4, svg.tick_label(dec0), "tick tiny", "end")
    bottom = _TOP + (_RIGHT - _LEFT) / 2
    yield svg.text(_RIGHT, bottom + 22, "RA and Dec / deg (ICRS), east to the left", "tick", "end")


def _source(kind: int, x: float, y: float, shaped: bool) -> str:
    return marker(kind, x, y) if shaped else svg.circle(x, y, 1.5, f"spot c{kind % COLOURS}")


def _key(classes: Sequence[str], top: float, shaped: bool) -> Iterator[str]:
    for kind, name in enumerate(classes):
        x, y = _LEFT + 90 * (kind % 4), top + _KEY * (kind // 4)
        yield marker(kind, x, y + 6) if shaped else svg.circle(x, y + 6, 4, f"spot c{kind % COLOURS}")
        yield svg.text(x + 10, y + 10, short(name, 12), f"name c{kind % COLOURS}")
