"""Geometry and brightness of a source: core, jets, plumes, hotspots and lobes as round Gaussians.

Each arm is a ridge line on the sky, straight or bent. Along it stand round Gaussian blobs, whose sizes and
flux densities follow the arm's width and brightness. A round Gaussian stays one when it is convolved with a
round beam, so that an image of them is exact and its flux density is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rgbench.simulate.truth import Truth, doppler_boost

Floats = NDArray[np.float64]

RIDGE_POINTS = 129
"""Points of a ridge line, core and end included."""
JET_BLOBS, PLUME_BLOBS, LOBE_BLOBS = 40, 110, 90
"""Blobs of one arm."""
JET_WIDTH = 0.04
"""FWHM of a jet over the length of its arm: jets open by a few degrees (Bridle & Perley 1984)."""
HOTSPOT_WIDTH = 0.03
"""FWHM of a hotspot over the length of its arm: Hardcastle+ 1998, MNRAS 296, 445."""
CORE_FWHM = 0.05
"""Arcseconds; the core is far below any beam."""
DECELERATION = 0.4
"""Jets of FRI and bent sources have slowed down at this fraction of the arm: Laing & Bridle 2014."""
WIGGLE = 12.0
"""Largest sideways swing of a ridge line, degrees: precession and buoyancy, both arms alike in S shape."""


@dataclass(frozen=True)
class Blobs:
    """Round Gaussians on the sky.

    Attributes
    ----------
    east, north : ndarray of float64, shape (k,)
        Offset from the centre of the image, arcseconds.
    fwhm : ndarray of float64, shape (k,)
        Full width at half maximum before the beam, arcseconds.
    flux : ndarray of float64, shape (k,)
        Integrated flux density, mJy; the first blob is the core.
    """

    east: Floats
    north: Floats
    fwhm: Floats
    flux: Floats

    def scaled(self, flux: float) -> Blobs:
        """Give the same blobs with another total flux density, mJy."""
        return Blobs(self.east, self.north, self.fwhm, self.flux * (flux / self.flux.sum()))


@dataclass(frozen=True)
class Arm:
    """One side of a source: its ridge line, in arcseconds from the core.

    Attributes
    ----------
    east, north : ndarray of float64, shape (RIDGE_POINTS,)
        The ridge line, at equal steps from the core to the end.
    length : float
        Its length, arcseconds.
    """

    east: Floats
    north: Floats
    length: float

    def place(self, along: Floats, across: Floats) -> tuple[Floats, Floats]:
        """Give east and north at fractions of the length, `across` arcseconds to the left of the ridge."""
        steps = np.linspace(0.0, 1.0, RIDGE_POINTS)
        slope_east, slope_north = np.gradient(self.east), np.gradient(self.north)
        norm = np.hypot(slope_east, slope_north)
        left_east = np.interp(along, steps, slope_north / norm)
        left_north = np.interp(along, steps, -slope_east / norm)
        east = np.interp(along, steps, self.east) + across * left_east
        return east, np.interp(along, steps, self.north) + across * left_north


def make_blobs(label: str, truth: Truth, rng: np.random.Generator) -> Blobs:
    """Build a source from its parameters.

    Parameters
    ----------
    label : str
        Its class.
    truth : Truth
        Its parameters.
    rng : numpy.random.Generator
        Draws what is not a parameter: where clumps stand and how ridges wiggle.

    Returns
    -------
    Blobs
        Their flux densities add up to ``truth.flux_mjy``; the ridge lines span ``truth.size_arcsec``.
    """
    arms = make_arms(truth, rng)
    near, far = doppler_boost(truth.beta, truth.inclination), doppler_boost(-truth.beta, truth.inclination)
    shares = np.array([1.0, truth.arm_flux_ratio])
    if rng.random() < 0.5:
        shares = shares[::-1]
    shares /= shares.sum()
    parts = [_core(truth.core * (near + far) / 2)]
    for arm, share, sign in zip(arms, shares, (1, -1), strict=True):
        if truth.jet > 0:
            parts.append(_jet(label, arm, truth, sign, rng).scaled_by(truth.jet / 2))
        parts += [part.scaled_by((1 - truth.jet) * share) for part in _ends(label, arm, truth, rng)]
    return _centred(_join(part.blobs for part in parts), truth.centring).scaled(truth.flux_mjy)


def make_arms(truth: Truth, rng: np.random.Generator) -> tuple[Arm, Arm]:
    """Lay the two ridge lines; the largest distance between their points is ``truth.size_arcsec``."""
    swing = np.deg2rad(WIGGLE) * rng.uniform(-1, 1) * (1.0 if truth.hotspot == 0 else 0.15)
    phase, waves = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.5)
    lengths = (1.0, truth.arm_ratio) if rng.random() < 0.5 else (truth.arm_ratio, 1.0)
    arms = []
    for turn, sign, length in zip((0.0, 180.0), (1, -1), lengths, strict=True):
        steps = (np.arange(RIDGE_POINTS - 1) + 0.5) / (RIDGE_POINTS - 1)
        bend = truth.bend if sign == 1 else truth.bend * truth.bend_ratio
        bent = _turning(steps, truth.bend_scale) * np.deg2rad(bend) * truth.side * sign
        wave = swing * (np.sin(2 * np.pi * waves * steps + phase) - np.sin(phase))
        angle = np.deg2rad(truth.position_angle + turn) + bent + wave
        step = length / (RIDGE_POINTS - 1)
        arms.append(
            (np.append(0, np.cumsum(np.sin(angle)) * step), np.append(0, np.cumsum(np.cos(angle)) * step))
        )
    scale = truth.size_arcsec / _extent(*np.concatenate(arms, axis=1))
    first, second = (
        Arm(east * scale, north * scale, length * scale)
        for (east, north), length in zip(arms, lengths, strict=True)
    )
    return first, second


@dataclass(frozen=True)
class _Part:
    """Blobs of one part, whose flux densities add up to 1 times its weight."""

    blobs: Blobs

    def scaled_by(self, factor: float) -> _Part:
        old = self.blobs
        return _Part(Blobs(old.east, old.north, old.fwhm, old.flux * factor))


def _core(flux: float) -> _Part:
    zero = np.zeros(1)
    return _Part(Blobs(zero, zero, np.array([CORE_FWHM]), np.array([flux])))


def _ends(label: str, arm: Arm, truth: Truth, rng: np.random.Generator) -> list[_Part]:
    """Give what the jet feeds: a plume, or a hotspot with its lobe; together of flux density 1."""
    if label in ("FRI", "Bent"):
        return [_plume(arm, truth, rng)]
    hotspot = _hotspot(arm, rng).scaled_by(truth.hotspot)
    return [hotspot] if truth.hotspot == 1 else [hotspot, _lobe(arm, truth, rng).scaled_by(1 - truth.hotspot)]


def _jet(label: str, arm: Arm, truth: Truth, sign: int, rng: np.random.Generator) -> _Part:
    """Lay knots along the jet; its flux density is 1 at 90 degrees, and boosted by its speed otherwise."""
    along = (np.arange(JET_BLOBS) + rng.random(JET_BLOBS)) / JET_BLOBS
    if label == "FRII":
        light, beta = np.ones(JET_BLOBS), np.full(JET_BLOBS, truth.beta)
    else:
        light = np.exp(-along / max(2 * truth.peak, 0.05))
        beta = truth.beta * np.clip(1 - along / DECELERATION, 0, 1)
    light *= _clumps(truth.clumps, JET_BLOBS, rng)
    boost = np.array([doppler_boost(sign * b, truth.inclination) for b in beta])
    fwhm = np.full(JET_BLOBS, JET_WIDTH * arm.length)
    return _part(arm, along, np.zeros(JET_BLOBS), fwhm, (light / light.sum()) * boost)


def _plume(arm: Arm, truth: Truth, rng: np.random.Generator) -> _Part:
    """Lay a plume that widens outwards, with its highest surface brightness at ``truth.peak``."""
    along = (np.arange(PLUME_BLOBS) + rng.random(PLUME_BLOBS)) / PLUME_BLOBS
    ramp = along / truth.peak
    surface = 0.93 * ramp * np.exp(1 - ramp) + 0.07 * np.clip(ramp, 0, 1)
    width = truth.width * arm.length * (0.12 + 0.88 * along**1.2)
    fwhm = 0.6 * width
    across = 0.34 * width * rng.standard_normal(PLUME_BLOBS).clip(-1.8, 1.8)
    light = surface * width * _clumps(truth.clumps, PLUME_BLOBS, rng)
    inside = np.minimum(along, 1 - 0.3 * fwhm / arm.length)
    return _part(arm, inside, across, fwhm, light / light.sum())


def _hotspot(arm: Arm, rng: np.random.Generator) -> _Part:
    """Lay a hotspot at the arm's end, with a weaker second one beside it."""
    width = HOTSPOT_WIDTH * arm.length
    second = rng.uniform(0.0, 0.4)
    along = np.array([1.0, rng.uniform(0.88, 0.98)])
    across = np.array([0.0, rng.uniform(-3, 3) * width])
    flux = np.array([1 - second, second])
    return _part(arm, along, across, np.array([width, 1.5 * width]), flux)


def _lobe(arm: Arm, truth: Truth, rng: np.random.Generator) -> _Part:
    """Lay a lobe that reaches back from the end towards the core and fades on the way."""
    back = (np.arange(LOBE_BLOBS) + rng.random(LOBE_BLOBS)) / LOBE_BLOBS
    shape = np.sqrt(np.clip(1 - (2 * back - 0.9) ** 2 / 1.3, 0.05, 1))
    width = truth.width * arm.length * shape
    fwhm = 0.55 * width
    across = 0.3 * width * rng.standard_normal(LOBE_BLOBS).clip(-1.8, 1.8)
    light = np.exp(-2 * back) * shape * _clumps(truth.clumps, LOBE_BLOBS, rng)
    along = 1 - np.maximum(truth.backflow * back, 0.4 * fwhm / arm.length)
    return _part(arm, np.maximum(along, 0), across, fwhm, light / light.sum())


def _clumps(scatter: float, n: int, rng: np.random.Generator) -> Floats:
    """Draw factors of brightness with a scatter in the logarithm, smooth over a twelfth of the arm."""
    knots = rng.standard_normal(14)
    smooth = np.interp(np.linspace(0, 13, n), np.arange(14), knots)
    return np.asarray(np.exp(scatter * (smooth + 0.5 * rng.standard_normal(n)).clip(-2, 2)))


def _turning(along: Floats, scale: float) -> Floats:
    """Give how far an arm has turned at a fraction of its length, 0 at the core and 1 at its end."""
    return np.asarray((1 - np.exp(-along / scale)) / (1 - np.exp(-1 / scale)))


def _part(arm: Arm, along: Floats, across: Floats, fwhm: Floats, flux: Floats) -> _Part:
    east, north = arm.place(along, across)
    return _Part(Blobs(east, north, fwhm, flux))


def _extent(east: Floats, north: Floats) -> float:
    """Give the largest distance between two points."""
    return float(np.sqrt(np.max((east[:, None] - east) ** 2 + (north[:, None] - north) ** 2)))


def _join(parts: Iterable[Blobs]) -> Blobs:
    several = list(parts)
    return Blobs(
        *(np.concatenate([getattr(p, name) for p in several]) for name in ("east", "north", "fwhm", "flux"))
    )


def _centred(blobs: Blobs, centring: float) -> Blobs:
    """Move the core away from the centre of the image, by a fraction of its distance to the centroid."""
    share = centring / blobs.flux.sum()
    east, north = float(blobs.east @ blobs.flux), float(blobs.north @ blobs.flux)
    return Blobs(blobs.east - share * east, blobs.north - share * north, blobs.fwhm, blobs.flux)
