"""What a simulated source is: its parameters, the ranges they are drawn from, and the drawing.

Ranges are data: `RANGES` holds one `ClassRanges` for each class. Every entry names the paper whose sample
or model it was chosen after; the limits are round numbers, not fits. Sizes, bends and brightness profiles
are those of the projected source, as catalogues give them; the inclination to the line of sight enters by
the beaming of core and jets and by the true length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np
from astropy import units
from astropy.cosmology import Planck18

from rgbench.data.catalogue import CLASSES
from rgbench.errors import SpecError

SPECTRAL_INDEX = 0.7
"""S ∝ ν^-0.7: Condon 1992, ARA&A 30, 575, for the radio power; also of jets in `doppler_boost`."""
JET_EXPONENT = 2 + SPECTRAL_INDEX
"""A continuous jet is boosted by its Doppler factor to this power: Scheuer & Readhead 1979, Nature 277, 182."""
MAX_TRIES = 500
"""Redshifts and sizes drawn before a spec is said to be impossible."""

_FOOTPRINT_RA = (120.0, 255.0)
_FOOTPRINT_SIN_DEC = (-0.1, 0.9)
"""About the northern area of FIRST: Helfand, White & Becker 2015, ApJ 801, 26."""


@dataclass(frozen=True)
class Range:
    """A distribution p(x) ∝ x^index between two limits: 0 is uniform, -1 uniform in the logarithm.

    Attributes
    ----------
    low, high : float
        Limits; equal ones give a constant. Positive unless the index is 0.
    index : float
        Exponent of the density.
    source : str
        Where the range comes from.
    """

    low: float
    high: float
    index: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high, self.index]).all() and self.low <= self.high):
            raise SpecError(f"range {self.low} to {self.high}: limits must be finite, the lower one first")
        if self.index != 0 and self.low <= 0:
            raise SpecError(
                f"range {self.low} to {self.high} with index {self.index}: limits must be positive"
            )

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value; exactly one uniform number is used.

        Examples
        --------
        >>> Range(5.0, 5.0).draw(np.random.default_rng(0))
        5.0
        """
        u = rng.random()
        if self.index == -1:
            return float(self.low * (self.high / self.low) ** u)
        power = self.index + 1
        low, high = self.low**power, self.high**power
        return float(np.clip((low + u * (high - low)) ** (1 / power), self.low, self.high))


@dataclass(frozen=True)
class ClassRanges:
    """The ranges of one class; "arm" is one side of the source, from core to end.

    Attributes
    ----------
    redshift : Range
        Redshift.
    size_kpc : Range
        Largest projected extent of the ridge line, kpc.
    size_arcsec : Range
        Only its limits count: sources of another angular size do not enter a catalogue of this class.
    flux_mjy : Range
        Integrated flux density at 1.4 GHz, mJy.
    cos_inclination : Range
        Cosine of the angle between the near jet and the line of sight; uniform is isotropic.
    beta : Range
        Speed at the base of the jets in units of that of light.
    core : Range
        Flux density of the core over that of the rest, both as if seen at 90 degrees.
    jet : Range
        Flux density of the two jets over that of all but the core, as if seen at 90 degrees.
    hotspot : Range
        Flux density of the hotspots over that of hotspots and lobes.
    arm_ratio, arm_flux_ratio : Range
        Length and flux density of the second arm over those of the first.
    bend : Range
        Angle by which the first arm turns between core and end, degrees; the second one turns to the same
        side of the source.
    bend_ratio : Range
        Angle by which the second arm turns over that of the first.
    bend_scale : Range
        Fraction of the arm over which it turns.
    peak : Range
        Fraction of the arm at which the surface brightness of its plume is highest.
    width : Range
        FWHM at the widest place over the length of the arm.
    backflow : Range
        Length of the lobe over that of the arm.
    clumps : Range
        Scatter of the brightness along the arm, natural logarithm.
    centring : Range
        Where the image is centred: 0 on the core (the host), 1 on the centroid of the emission.
    """

    redshift: Range
    size_kpc: Range
    size_arcsec: Range
    flux_mjy: Range
    cos_inclination: Range
    beta: Range
    core: Range
    jet: Range
    hotspot: Range
    arm_ratio: Range
    arm_flux_ratio: Range
    bend: Range
    bend_ratio: Range
    bend_scale: Range
    peak: Range
    width: Range
    backflow: Range
    clumps: Range
    centring: Range


_ISOTROPIC = Range(0.0, 0.9, source="isotropic; closer than 26 degrees it is a blazar: Urry & Padovani 1995")
_NONE = Range(0.0, 0.0, source="the class has none")

RANGES: Mapping[str, ClassRanges] = MappingProxyType(
    {
        "Compact": ClassRanges(
            redshift=Range(0.01, 1.0, source="FR0CAT to CoNFIG: Baldi+ 2018, Gendre+ 2010"),
            size_kpc=Range(
                0.1, 20.0, -1, "FR0 < 5 kpc, compact steep-spectrum < 20 kpc: O'Dea & Saikia 2021"
            ),
            size_arcsec=Range(0.0, 4.0, source="unresolved by FIRST: Baldi+ 2018, A&A 609, A1"),
            flux_mjy=Range(5.0, 3000.0, -1, "FR0CAT's limit to CoNFIG's brightest: Gendre+ 2010"),
            cos_inclination=_ISOTROPIC,
            beta=Range(0.0, 0.5, source="mildly relativistic: Cheng & An 2018, ApJ 863, 155"),
            core=Range(0.3, 3.0, -1, "core dominated: Baldi+ 2015, A&A 576, A38"),
            jet=_NONE,
            hotspot=Range(1.0, 1.0, source="ends of a double far below the beam"),
            arm_ratio=Range(0.5, 1.0, source="as of FRII"),
            arm_flux_ratio=Range(0.3, 1.0, source="as of FRII"),
            bend=_NONE,
            bend_ratio=Range(1.0, 1.0, source="without effect"),
            bend_scale=Range(0.5, 0.5, source="without effect"),
            peak=Range(1.0, 1.0, source="without effect"),
            width=Range(0.2, 0.2, source="without effect below the beam"),
            backflow=Range(0.5, 0.5, source="without effect"),
            clumps=_NONE,
            centring=Range(0.0, 1.0, source="host or radio position"),
        ),
        "FRI": ClassRanges(
            redshift=Range(0.02, 0.3, 1, "FRICAT and MiraBest: Capetti+ 2017, Miraghaei & Best 2017"),
            size_kpc=Range(
                60.0, 600.0, -0.5, "FRICAT is larger than 30 kpc each side: Capetti+ 2017a, A&A 598, A49"
            ),
            size_arcsec=Range(25.0, 250.0, source="resolved; MiraBest drops sources of 270 arcsec and more"),
            flux_mjy=Range(
                30.0, 3000.0, -1.7, "MiraBest's limit is 40 mJy in NVSS, of which FIRST resolves a part out"
            ),
            cos_inclination=_ISOTROPIC,
            beta=Range(0.3, 0.85, source="Laing & Bridle 2014, MNRAS 437, 3405"),
            core=Range(0.01, 0.3, -1, "Laing, Parma, de Ruiter & Fanti 1999, MNRAS 306, 513"),
            jet=Range(0.05, 0.4, source="Parma+ 1987, A&A 181, 244"),
            hotspot=_NONE,
            arm_ratio=Range(0.4, 1.0, source="Parma+ 1987"),
            arm_flux_ratio=Range(0.15, 1.0, -1, "Parma+ 1987"),
            bend=Range(0.0, 18.0, source="below the least bend of class Bent"),
            bend_ratio=Range(-1.0, 1.0, source="C or S shape alike"),
            bend_scale=Range(0.3, 1.0, source="gentle"),
            peak=Range(0.08, 0.28, source="edge-darkened: Fanaroff & Riley 1974, MNRAS 167, 31"),
            width=Range(0.15, 0.8, source="spreading of plumes: Bridle & Perley 1984, ARA&A 22, 319"),
            backflow=_NONE,
            clumps=Range(0.2, 0.8, source="chosen by eye"),
            centring=Range(0.0, 0.3, source="most are centred on the host"),
        ),
        "FRII": ClassRanges(
            redshift=Range(0.05, 1.5, source="CoNFIG and MiraBest: Gendre+ 2010, Miraghaei & Best 2017"),
            size_kpc=Range(30.0, 700.0, -1, "Mullin, Riley & Hardcastle 2008, MNRAS 390, 595"),
            size_arcsec=Range(12.0, 250.0, source="two beams, else it is Compact; and MiraBest's limit"),
            flux_mjy=Range(
                30.0, 5000.0, -1.6, "MiraBest's 40 mJy, and CoNFIG, which is complete to 50 to 1300 mJy"
            ),
            cos_inclination=Range(0.0, 0.7, source="closer than 45 degrees it is a quasar: Barthel 1989"),
            beta=Range(0.5, 0.8, source="Mullin & Hardcastle 2009, MNRAS 398, 1989"),
            core=Range(0.001, 0.03, -1, "Mullin, Riley & Hardcastle 2008"),
            jet=Range(0.002, 0.03, -1, "Mullin, Riley & Hardcastle 2008"),
            hotspot=Range(0.2, 0.7, source="Mullin, Riley & Hardcastle 2008"),
            arm_ratio=Range(0.6, 1.0, source="Arshakian & Longair 2000, MNRAS 311, 846"),
            arm_flux_ratio=Range(0.25, 1.0, source="Mackay 1971, MNRAS 154, 209"),
            bend=Range(0.0, 10.0, source="misalignment of lobes: Leahy & Williams 1984, MNRAS 210, 929"),
            bend_ratio=Range(-1.0, 1.0, source="C or S shape alike"),
            bend_scale=Range(0.3, 1.0, source="gentle"),
            peak=Range(1.0, 1.0, source="edge-brightened: Fanaroff & Riley 1974"),
            width=Range(0.15, 0.4, source="axial ratios of lobes: Leahy & Williams 1984"),
            backflow=Range(0.35, 0.95, source="Leahy & Williams 1984"),
            clumps=Range(0.1, 0.4, source="chosen by eye"),
            centring=Range(0.0, 1.0, source="host or middle of the double"),
        ),
        "Bent": ClassRanges(
            redshift=Range(0.03, 0.5, source="Miraghaei & Best 2017; Wing & Blanton 2011, AJ 141, 88"),
            size_kpc=Range(80.0, 700.0, -0.5, "O'Donoghue, Eilek & Owen 1993, ApJ 408, 428"),
            size_arcsec=Range(25.0, 200.0, source="resolved: Proctor 2011, ApJS 194, 31"),
            flux_mjy=Range(25.0, 1500.0, -1.7, "Proctor 2011"),
            cos_inclination=_ISOTROPIC,
            beta=Range(0.3, 0.7, source="Jetha, Hardcastle & Sakelliou 2006, MNRAS 368, 609"),
            core=Range(0.003, 0.2, -1, "as of FRI"),
            jet=Range(0.05, 0.3, source="O'Donoghue, Eilek & Owen 1993"),
            hotspot=_NONE,
            arm_ratio=Range(0.4, 1.0, source="Proctor 2011"),
            arm_flux_ratio=Range(0.25, 1.0, source="Proctor 2011"),
            bend=Range(25.0, 85.0, source="wide-angle (25) to narrow-angle tails (85): Owen & Rudnick 1976"),
            bend_ratio=Range(0.3, 1.0, source="O'Donoghue, Eilek & Owen 1993"),
            bend_scale=Range(0.1, 1.0, source="O'Donoghue, Eilek & Owen 1993"),
            peak=Range(0.1, 0.6, source="the flaring point of the jets: Hardcastle & Sakelliou 2004"),
            width=Range(0.15, 0.6, source="O'Donoghue, Eilek & Owen 1993"),
            backflow=_NONE,
            clumps=Range(0.4, 1.1, source="chosen by eye"),
            centring=Range(0.0, 1.0, source="host, or middle of the group of components: Proctor 2011"),
        ),
    }
)
"""Ranges by class."""


@dataclass(frozen=True)
class Truth:
    """The parameters of one source, as drawn or as they follow.

    Attributes
    ----------
    ra, dec : float
        Centre of the image, degrees, ICRS, as exact as the source's name tells it.
    redshift, size_kpc, flux_mjy, beta, core, jet, hotspot, ... : float
        As in `ClassRanges`.
    size_arcsec : float
        The projected extent `size_kpc` on the sky.
    length_kpc : float
        True length, `size_kpc` over the sine of the inclination.
    log_power : float
        Logarithm of the radio power at 1.4 GHz in the source's frame, W/Hz.
    position_angle : float
        Of the near jet at its base, degrees from north through east, 0 to 360.
    inclination : float
        Angle between the near jet and the line of sight, degrees.
    side : float
        1 or -1: both arms bend to the left or to the right of the near jet.
    """

    ra: float
    dec: float
    position_angle: float
    inclination: float
    side: float
    redshift: float
    size_kpc: float
    size_arcsec: float
    length_kpc: float
    flux_mjy: float
    log_power: float
    beta: float
    core: float
    jet: float
    hotspot: float
    arm_ratio: float
    arm_flux_ratio: float
    bend: float
    bend_ratio: float
    bend_scale: float
    peak: float
    width: float
    backflow: float
    clumps: float
    centring: float

    @property
    def jet_ratio(self) -> float:
        """Flux density of the near jet's base over that of the far jet's."""
        return doppler_boost(self.beta, self.inclination) / doppler_boost(-self.beta, self.inclination)


def doppler_boost(beta: float, inclination: float) -> float:
    """Give the boost of a jet's flux density relative to the same jet seen at 90 degrees.

    Parameters
    ----------
    beta : float
        Speed over that of light; negative for the jet that flies away.
    inclination : float
        Angle between the near jet and the line of sight, degrees.

    Returns
    -------
    float
        (1 - beta cos i)^-(2 + spectral index): Scheuer & Readhead 1979, Nature 277, 182.

    Examples
    --------
    >>> doppler_boost(0.5, 90.0) == 1.0 and doppler_boost(0.5, 60.0) > 1 > doppler_boost(-0.5, 60.0)
    True
    """
    cosine = 0.0 if inclination == 90 else math.cos(math.radians(inclination))
    return math.pow(1 - beta * cosine, -JET_EXPONENT)


def kpc_per_arcsec(redshift: float) -> float:
    """Give the projected kpc of one arcsecond at a redshift, in the Planck 2018 cosmology.

    Examples
    --------
    >>> round(kpc_per_arcsec(0.1), 2)
    1.91
    """
    kpc = Planck18.kpc_proper_per_arcmin(redshift).to_value(units.kpc / units.arcmin)
    return float(kpc) / 60


def log_power(redshift: float, flux_mjy: float) -> float:
    """Give log10 of the power in W/Hz at 1.4 GHz: 4π D_L² S (1 + z)^(α - 1), with α = `SPECTRAL_INDEX`."""
    distance = float(Planck18.luminosity_distance(redshift).to_value(units.m))
    power = 4 * np.pi * distance**2 * flux_mjy * 1e-29 * (1 + redshift) ** (SPECTRAL_INDEX - 1)
    return float(np.log10(power))


def draw_truth(
    ranges: ClassRanges, rng: np.random.Generator, largest: float = float("inf"), label: str = ""
) -> Truth:
    """Draw the parameters of one source.

    Parameters
    ----------
    ranges : ClassRanges
        Of its class.
    rng : numpy.random.Generator
        The source's own stream.
    largest : float
        Largest angular size that the image holds, arcseconds.
    label : str
        Name of the class, for messages.

    Raises
    ------
    SpecError
        If no redshift and size of the ranges give an angular size within the limits.
    """
    ra, dec = _draw_position(rng)
    redshift, size_kpc, size_arcsec = _draw_size(ranges, rng, largest, label)
    done = ("redshift", "size_kpc", "size_arcsec", "cos_inclination")
    drawn = {f.name: getattr(ranges, f.name).draw(rng) for f in fields(ranges) if f.name not in done}
    cosine = ranges.cos_inclination.draw(rng)
    return Truth(
        ra=ra,
        dec=dec,
        position_angle=360 * rng.random(),
        inclination=float(np.rad2deg(np.arccos(cosine))),
        side=1.0 if rng.random() < 0.5 else -1.0,
        redshift=redshift,
        size_kpc=size_kpc,
        size_arcsec=size_arcsec,
        length_kpc=size_kpc / float(np.sqrt(1 - cosine**2)),
        log_power=log_power(redshift, drawn["flux_mjy"]),
        **drawn,
    )


def source_name(ra: float, dec: float) -> str:
    """Name a source by its position, JHHMMSS.ss+DDMMSS.s, truncating nothing: `ra`, `dec` are rounded.

    Examples
    --------
    >>> source_name(187.5, -1.5)
    'J123000.00-013000.0'
    """
    ticks = round(ra * 24000) % 8640000
    seconds, hundredths = divmod(ticks, 100)
    tenths = round(abs(dec) * 36000)
    arcsec, tenth = divmod(tenths, 10)
    east = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}.{hundredths:02d}"
    north = f"{arcsec // 3600:02d}{arcsec // 60 % 60:02d}{arcsec % 60:02d}.{tenth}"
    return f"J{east}{'-' if dec < 0 and tenths else '+'}{north}"


def check_ranges(ranges: Mapping[str, ClassRanges]) -> None:
    """Raise `SpecError` if a class is missing from, or unknown in, a mapping of ranges."""
    unknown = sorted(set(ranges) - set(CLASSES))
    if unknown:
        raise SpecError(f"ranges: unknown class {unknown[0]!r}; the classes are {', '.join(CLASSES)}")


def _draw_position(rng: np.random.Generator) -> tuple[float, float]:
    """Draw a position evenly on the footprint, rounded as a name rounds it."""
    (west, east), (south, north) = _FOOTPRINT_RA, _FOOTPRINT_SIN_DEC
    ra = west + (east - west) * rng.random()
    dec = float(np.rad2deg(np.arcsin(south + (north - south) * rng.random())))
    return round(ra * 24000) / 24000, round(dec * 36000) / 36000


def _draw_size(
    ranges: ClassRanges, rng: np.random.Generator, largest: float, label: str
) -> tuple[float, float, float]:
    low, high = ranges.size_arcsec.low, min(ranges.size_arcsec.high, largest)
    for _ in range(MAX_TRIES):
        redshift, size_kpc = ranges.redshift.draw(rng), ranges.size_kpc.draw(rng)
        size_arcsec = size_kpc / kpc_per_arcsec(redshift)
        if low <= size_arcsec <= high:
            return redshift, size_kpc, size_arcsec
    raise SpecError(
        f"{label or 'a class'}: none of {MAX_TRIES} draws of redshift and size_kpc spans {low:g} to "
        f"{high:g} arcsec; widen the ranges or the image"
    )
