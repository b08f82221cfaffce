"""The radio surveys of which cutouts can be fetched, and the public services that serve them, as data.

A service answers one GET request with one FITS image. Its parameters are those of its documentation and of
astroquery 0.4.11: hips2fits (https://alasky.cds.unistra.fr/hips-image-services/hips2fits) and SkyView's script
for batch work (https://skyview.gsfc.nasa.gov/current/docs/batchpage.html). FIRST is no HiPS, so it comes from
SkyView; the other four are HiPS.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import urlencode

from rgbench.errors import DataError, SpecError
from rgbench.registry import Registry

LONGEST_WAIT = 600.0
"""Seconds; a service that asks to wait longer is not asked again for that source."""
LARGEST_SIDE = 4096
"""Pixels; hips2fits makes no more than 50 million."""
_UNITS = {"arcsec": 1.0, "arcmin": 60.0, "deg": 3600.0, '"': 1.0, "'": 60.0, "°": 3600.0}
_ANGLE = re.compile(r"\s*(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)\s*([a-z\"'°]+)\s*")
_HIPS_ID = re.compile(r"(?:ivo://)?[\w.+-]+(?:/[\w.+-]+)+", re.ASCII)


@dataclass(frozen=True)
class Field:
    """What is asked of a service: a square of so many pixels of so many arcsec about a position (deg, ICRS)."""

    ra: float
    dec: float
    pixels: int
    pixel_scale: float

    @property
    def degrees(self) -> float:
        """Side of the image in degrees."""
        return self.pixels * self.pixel_scale / 3600


@dataclass(frozen=True)
class Service:
    """A public service of cutouts.

    Attributes
    ----------
    title, url : str
        The URL takes the parameters as a query.
    acknowledgement : str
        The words that it asks to be acknowledged with.
    rounding : float
        Arcseconds by which the position in the header may be off, because it is written in few digits.
    parameters : callable
        Gives the parameters of a request from the survey's id and the field.
    """

    title: str
    url: str
    acknowledgement: str
    rounding: float
    parameters: Callable[[str, Field], dict[str, str]]


@dataclass(frozen=True)
class Survey:
    """A radio survey, and where its cutouts come from.

    Attributes
    ----------
    name, title : str
        Short name, as on the command line, and full name.
    service : str
        Name of the service: "skyview" or "hips2fits".
    survey_id : str
        What the service calls it.
    beam : float
        Full width at half maximum of the synthesised beam in arcsec, as published.
    pixel_scale : float
        Arcseconds per pixel that are asked for unless others are wanted.
    frequency : float
        MHz.
    coverage : str
        Which part of the sky, in words.
    declination : (float, float)
        Degrees outside of which there is nothing for certain. Within, there may be gaps.
    licence, citation : str
        The owners' own words, or what they ask to be acknowledged with; the paper.
    verified : bool
        Whether `survey_id` is known to give images; if not, `note` says what is in doubt.
    note : str
        What a user should know.
    """

    name: str
    title: str
    service: str
    survey_id: str
    beam: float
    pixel_scale: float
    frequency: float
    coverage: str
    declination: tuple[float, float]
    licence: str
    citation: str
    verified: bool
    note: str = ""

    def covers(self, dec: float) -> bool:
        """Tell whether a declination, degrees, may be in the survey.

        Examples
        --------
        >>> find_survey("vlass").covers(-60.0)
        False
        """
        return self.declination[0] <= dec <= self.declination[1]

    def with_hips(self, hips: str) -> Survey:
        """Give this survey as another HiPS, by its id as "CDS/P/NVSS" or its URL.

        Raises
        ------
        SpecError
            If it is neither.

        Examples
        --------
        >>> find_survey("vlass").with_hips("CDS/P/VLASS/epoch1").survey_id
        'CDS/P/VLASS/epoch1'
        """
        is_url = hips.startswith(("http://", "https://"))
        if not (hips.isascii() and hips.isprintable() and (is_url or _HIPS_ID.fullmatch(hips))):
            raise SpecError(f"hips: {hips!r} is no id of a HiPS; legal are ids as CDS/P/NVSS, or a URL")
        note = "The id was given by the user; survey, beam and coverage are those of the card."
        return replace(self, service="hips2fits", survey_id=hips, verified=False, note=note)


def _hips2fits(survey_id: str, field: Field) -> dict[str, str]:
    return {
        "hips": survey_id,
        "width": str(field.pixels),
        "height": str(field.pixels),
        "projection": "TAN",
        "coordsys": "icrs",
        "rotation_angle": "0.0",
        "ra": f"{field.ra:.7f}",
        "dec": f"{field.dec:.7f}",
        "fov": f"{field.degrees:.9f}",
        "format": "fits",
    }


def _skyview(survey_id: str, field: Field) -> dict[str, str]:
    # FK5 at J2000 and ICRS differ by 0.02 arcsec, a hundredth of a pixel.
    return {
        "Survey": survey_id,
        "Position": f"{field.ra:.7f},{field.dec:.7f}",
        "Coordinates": "J2000",
        "Projection": "Tan",
        "Pixels": str(field.pixels),
        "Size": f"{field.degrees:.9f}",
        "Return": "FITS",
    }


SERVICES = {
    "hips2fits": Service(
        title="CDS hips2fits",
        url="https://alasky.cds.unistra.fr/hips-image-services/hips2fits",
        acknowledgement=(
            "This research has made use of the hips2fits, a tool developed at CDS, Strasbourg, France aiming at "
            "extracting FITS images from HiPS sky maps with respect to a WCS."
        ),
        rounding=0.0,
        parameters=_hips2fits,
    ),
    "skyview": Service(
        title="NASA SkyView",
        url="https://skyview.gsfc.nasa.gov/current/cgi/runquery.pl",
        acknowledgement=(
            "We acknowledge the use of NASA's SkyView facility (https://skyview.gsfc.nasa.gov) located at NASA "
            "Goddard Space Flight Center."
        ),
        # CRVAL has six significant digits: half a unit of the last is 0.0005 degrees from RA 100 on.
        rounding=1.8,
        parameters=_skyview,
    ),
}
"""The services by name."""

_NRAO = (
    "The National Radio Astronomy Observatory is a facility of the National Science Foundation operated under "
    "cooperative agreement by Associated Universities, Inc."
)

SURVEYS = (
    Survey(
        name="first",
        title="Faint Images of the Radio Sky at Twenty-Centimeters",
        service="skyview",
        survey_id="VLA FIRST (1.4 GHz)",
        beam=5.4,
        pixel_scale=1.8,
        frequency=1400.0,
        coverage="10,575 square degrees about the Galactic caps, four fifths of it about the north one",
        declination=(-12.0, 66.0),
        licence=(
            "Copyright: 1994, University of California. Permission is granted for publication and reproduction of "
            "this material for scholarly, educational, and private non-commercial use."
        ),
        citation="Becker, White & Helfand 1995, ApJ 450, 559",
        verified=True,
        note=(
            "SkyView resamples to the nearest pixel, and writes six digits of the position: up to 1.8 arcsec off."
        ),
    ),
    Survey(
        name="nvss",
        title="NRAO VLA Sky Survey",
        service="hips2fits",
        survey_id="CDS/P/NVSS",
        beam=45.0,
        pixel_scale=15.0,
        frequency=1400.0,
        coverage="the sky north of Dec -40",
        declination=(-41.0, 90.0),
        licence=_NRAO,
        citation="Condon et al. 1998, AJ 115, 1693",
        verified=True,
    ),
    Survey(
        name="vlass",
        title="VLA Sky Survey, Quick Look, median of the epochs",
        service="hips2fits",
        survey_id="NRAO/P/VLASS-Quicklook-MedianStack",
        beam=2.5,
        pixel_scale=1.0,
        frequency=3000.0,
        coverage="the sky north of Dec -40",
        declination=(-41.0, 90.0),
        licence=_NRAO,
        citation="Lacy et al. 2020, PASP 132, 035001",
        verified=False,
        note=(
            "The id is that of the registry of HiPS, but hips2fits has been reported to answer it with errors or "
            "blank images. Another HiPS of VLASS can be given by its id or URL."
        ),
    ),
    Survey(
        name="lotss",
        title="LOFAR Two-metre Sky Survey, second data release, 6 arcsec",
        service="hips2fits",
        survey_id="astron.nl/P/lotss_dr2_high",
        beam=6.0,
        pixel_scale=1.5,
        frequency=144.0,
        coverage="5,634 square degrees of the north in two regions, about RA 13h and RA 1h",
        declination=(5.0, 80.0),
        licence=(
            "LOFAR data products were provided by the LOFAR Surveys Key Science project (LSKSP; "
            "https://lofar-surveys.org/) and were derived from observations with the International LOFAR "
            "Telescope (ILT)."
        ),
        citation="Shimwell et al. 2022, A&A 659, A1",
        verified=True,
    ),
    Survey(
        name="racs",
        title="Rapid ASKAP Continuum Survey, low band, Stokes I",
        service="hips2fits",
        survey_id="CSIRO/P/RACS/low/I",
        beam=25.0,
        pixel_scale=2.5,
        frequency=887.5,
        coverage="the sky south of Dec +41",
        declination=(-90.0, 51.0),
        licence="Images of the CSIRO ASKAP Science Data Archive, https://data.csiro.au; its terms are there.",
        citation="McConnell et al. 2020, PASA 37, e048",
        verified=True,
        note=(
            "The beam is that of the release at one resolution (Hale et al. 2021, PASA 38, e058); images of single "
            "fields are sharper, about 15 arcsec."
        ),
    ),
)
"""The surveys, in the order in which they are listed."""


@cache
def surveys() -> Registry[Survey]:
    """Give the registry of surveys."""
    registry: Registry[Survey] = Registry("survey")
    for survey in SURVEYS:
        registry.register(survey.name, survey)
    return registry


def find_survey(name: str) -> Survey:
    """Give a survey by name, small and capital letters alike; raise `SpecError` with close matches.

    Examples
    --------
    >>> find_survey("FIRST").survey_id
    'VLA FIRST (1.4 GHz)'
    """
    return surveys().get(name.strip().lower())


def credits_of(survey: Survey) -> tuple[str, str, str]:
    """Give what a survey and its service ask to be acknowledged with, in sentences."""
    return f"Please cite {survey.citation}.", SERVICES[survey.service].acknowledgement, survey.licence


def reaching(dec: float, but: str = "") -> str:
    """Say which surveys reach a declination, degrees, beside one; "" if none does.

    Examples
    --------
    >>> reaching(-60.0, "first"), reaching(30.0, "first")
    ('; racs reaches there', '; nvss, vlass, lotss, racs reach there')
    """
    found = [survey.name for survey in SURVEYS if survey.covers(dec) and survey.name != but]
    return f"; {', '.join(found)} {'reaches' if len(found) == 1 else 'reach'} there" if found else ""


def request_url(survey: Survey, field: Field, server: str = "") -> str:
    """Give the URL that asks for one cutout.

    Parameters
    ----------
    survey : Survey
        Which survey, of which service.
    field : Field
        Which part of the sky, in which pixels.
    server : str, optional
        URL of another server of the same service, e.g. its mirror.

    Examples
    --------
    >>> print(request_url(find_survey("nvss"), Field(187.5, -1.5, 60, 15.0)).replace("&", " &"))
    https://alasky.cds.unistra.fr/hips-image-services/hips2fits?hips=CDS%2FP%2FNVSS &width=60 &height=60
        &projection=TAN &coordsys=icrs &rotation_angle=0.0 &ra=187.5000000 &dec=-1.5000000 &fov=0.250000000
        &format=fits
    """
    service = SERVICES[survey.service]
    return f"{server or service.url}?{urlencode(service.parameters(survey.survey_id, field))}"


def parse_size(text: str) -> float:
    """Give arcseconds of an angle as "9arcmin", "540arcsec" or "0.15deg".

    Raises
    ------
    SpecError
        If it is no positive number with one of these units.

    Examples
    --------
    >>> parse_size("9arcmin"), parse_size("0.15 deg")
    (540.0, 540.0)
    """
    match = _ANGLE.fullmatch(text)
    if match is None or match[2] not in _UNITS or not 0 < float(match[1]) * _UNITS[match[2]] < math.inf:
        raise SpecError(f"{text!r} is no angle; legal are numbers above 0 as 9arcmin, 540arcsec, 0.15deg")
    return float(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True)
class BuildSpec:
    """What is fetched, and how.

    Attributes
    ----------
    survey : str
        One of `surveys`.
    size : float
        Side of a cutout in arcsec; the 2021 study's are 540.
    pixel_scale : float, optional
        Arcseconds per pixel; by default those of the survey's card.
    hips : str
        Another HiPS, by id or URL, that is asked of hips2fits instead of the card's.
    server : str
        Another server of the same service, as https://alaskybis.cds.unistra.fr/hips-image-services/hips2fits.
    workers : int
        Requests under way at once, 1 to 16.
    rate : float
        Requests per second, of all workers together. Neither service publishes a limit; two per second is
        what they bear from interactive use, and gives 7,000 cutouts an hour.
    attempts : int
        Requests for one source at most; between them `backoff` seconds, twice that, four times that, ...,
        or as long as the service asks.
    timeout : float
        Seconds within which an answer must have come.
    overwrite : bool
        Fetch anew what is there.

    Examples
    --------
    >>> BuildSpec("first", size=parse_size("9arcmin")).pixels
    300
    """

    survey: str = "first"
    size: float = 540.0
    pixel_scale: float | None = None
    hips: str = ""
    server: str = ""
    workers: int = 4
    rate: float = 2.0
    attempts: int = 4
    backoff: float = 1.0
    timeout: float = 60.0
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in ("size", "scale", "rate", "timeout"):
            if not 0 < getattr(self, name) < math.inf:
                key = "pixel_scale" if name == "scale" else name
                raise SpecError(f"{key}: found {getattr(self, name)}; it must be above 0")
        for name, low, high in (("workers", 1, 16), ("attempts", 1, 20), ("backoff", 0, LONGEST_WAIT)):
            if not low <= getattr(self, name) <= high:
                raise SpecError(f"{name}: found {getattr(self, name)}; legal are {low} to {high:g}")
        if self.server and not self.server.startswith(("http://", "https://")):
            raise SpecError(f"server: found {self.server!r}; it must begin with http:// or https://")
        if not 2 <= self.pixels <= LARGEST_SIDE:
            raise SpecError(
                f"size: {self.size:g} arcsec are {self.pixels} pixels of {self.scale:g} arcsec; "
                f"legal are 2 to {LARGEST_SIDE}"
            )

    @property
    def card(self) -> Survey:
        """The survey, or its other HiPS."""
        card = find_survey(self.survey)
        return card.with_hips(self.hips) if self.hips else card

    @property
    def scale(self) -> float:
        """Arcseconds per pixel."""
        return self.card.pixel_scale if self.pixel_scale is None else self.pixel_scale

    @property
    def pixels(self) -> int:
        """Side of a cutout in pixels."""
        return round(min(self.size / self.scale, 1e9))


class FetchError(DataError):
    """A cutout could not be had.

    `again` tells whether another attempt may succeed, `after` the seconds that the service asks to wait before
    it, `service_fault` whether the service failed, rather than the survey having nothing there.
    """

    def __init__(
        self, reason: str, again: bool = False, after: float | None = None, service_fault: bool = True
    ) -> None:
        super().__init__(reason)
        self.again, self.after, self.service_fault = again, after, service_fault


def first_line(content: bytes) -> str:
    """Give the first line that a person would read of an answer that should have been an image.

    Examples
    --------
    >>> first_line(b"<html><head><title>Error 500</title></head></html>")
    'Error 500'
    >>> first_line(b'{"title": "Bad request", "description": "no such HiPS"}')
    'Bad request: no such HiPS'
    """
    text = content[:65536].decode("utf-8", "replace")
    try:
        told = json.loads(text)
        text = ": ".join(str(told[key]) for key in ("title", "description") if told.get(key)) or text
    except (ValueError, AttributeError, RecursionError):
        text = re.sub(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->", "\n", text)
        text = re.sub(r"<[^>]*>", "\n", text)
    lines = ("".join(c for c in line if c.isprintable()).strip() for line in text.splitlines())
    return next((line for line in lines if line), "")[:200]
