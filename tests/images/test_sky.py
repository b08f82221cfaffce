"""What headers say of the sky: cards read critically, frames and units honoured, faults named."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import FK4, FK5, ICRS, BarycentricMeanEcliptic, Galactic, SkyCoord, Supergalactic
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from rgbench.errors import DataError
from rgbench.images.cards import factor, number, text
from rgbench.images.cutout import CutoutSpec, cutout
from rgbench.images.fits import FitsImage
from rgbench.images.sky import PROJECTIONS

PIXELS = np.random.default_rng(1).normal(size=(30, 40)).astype(np.float32)
SKY = {
    "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRPIX1": 20.5, "CRPIX2": 15.5,
    "CDELT1": -0.0005, "CDELT2": 0.0005, "CRVAL1": 150.0, "CRVAL2": 20.0,
}  # fmt: skip


def image(**other) -> FitsImage:
    keys = {key: value for key, value in {**SKY, **other}.items() if value is not None}
    return FitsImage(PIXELS, fits.Header(keys))


def written(key: str, value: str) -> FitsImage:
    """An image one card of which is written by hand."""
    header = fits.Header({k: v for k, v in SKY.items() if k != key})
    text = header.tostring(endcard=False, padding=False) + f"{key:8}= {value}".ljust(80) + "END".ljust(80)
    return FitsImage(PIXELS, fits.Header.fromstring(text))


@pytest.mark.parametrize("value", ["150.1", "'150.1'", "1.501D+02", "1.501d2", "' 150.1  '", "+150.1 / RA"])
def test_a_number_in_any_dress_is_read_rightly(value):
    assert written("CRVAL1", value).centre == pytest.approx((150.1, 20.0))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CRVAL1", "150.1 deg"),
        ("CRVAL1", "150,1"),
        ("CRVAL1", "10:00:24"),
        ("CRVAL1", "T"),
        ("CRVAL1", "(150.0, 1.0)"),
        ("CRVAL1", "1E400"),
        ("CRVAL1", ""),
        ("CRVAL2", "91.0"),
        ("CRVAL1", "-1.6E+30"),
        ("CRPIX1", "'middle'"),
        ("CRPIX2", "1.0E+30"),
        ("EQUINOX", "'now'"),
        ("EQUINOX", "20000"),
        ("RADESYS", "'J2000'"),
        ("LONPOLE", "'x'"),
        ("PV2_1", "'x'"),
        ("PV2_99", "1.0"),
        ("A_ORDER", "1000000000"),
        ("CPDIS1", "'LOOKUP'"),
        ("PC1_3", "0.5"),
    ],
)
def test_a_card_that_cannot_be_is_named_and_loses_nothing_else(key, value):
    found = written(key, value)
    assert found.wcs is None
    assert found.position_fault.startswith(key)
    assert np.isnan(found.centre).all()
    if key != "PC1_3":
        assert (found.pixel_scale, found.scale_fault) == (pytest.approx(1.8), "")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CDELT1", "'much'"),
        ("CDELT2", "0.0"),
        ("CDELT1", "-18.0"),
        ("CDELT1", "-1e200"),
        ("CUNIT1", "'furlong'"),
        ("CTYPE1", "'FREQ'"),
        ("CD1_1", "'x'"),
        ("CROTA2", "'x'"),
    ],
)
def test_a_bad_step_is_named_and_no_scale_is_made_of_it(key, value):
    found = written(key, value)
    assert np.isnan(found.pixel_scale)
    assert key in found.scale_fault
    assert found.position_fault == found.scale_fault


def test_a_card_that_stands_twice_with_two_values_is_no_position():
    header = fits.Header(SKY)
    header.append(("CRVAL1", 151.0), end=True)
    assert FitsImage(PIXELS, header).position_fault == "CRVAL1 stands 2 times: 150.0, 151.0; one is needed"
    header = fits.Header(SKY)
    header.append(("CRVAL1", 150.0), end=True)
    assert FitsImage(PIXELS, header).centre == pytest.approx((150.0, 20.0))


def test_a_missing_reference_is_not_zero():
    assert image(CRVAL1=None).position_fault == "CRVAL1 is missing"
    assert image(CRVAL1=None).pixel_scale == pytest.approx(1.8)
    assert FitsImage(PIXELS).position_fault == "there is no header"
    assert image(CTYPE1=None, CTYPE2=None).position_fault == "CTYPE1 and CTYPE2 are missing"


def test_an_odd_character_in_another_card_costs_nothing():
    raw = (
        fits.Header({**SKY, "ORIGIN": "CASA 4.7.0-REL (r38335)X"})
        .tostring()
        .replace("(r38335)X", "(r38335)\n")
    )
    assert FitsImage(PIXELS, fits.Header.fromstring(raw)).centre == pytest.approx((150.0, 20.0))


FRAMES = [
    ({}, ICRS()),
    ({"RADESYS": "FK5"}, FK5(equinox="J2000")),
    ({"EQUINOX": 2000.0}, FK5(equinox="J2000")),
    ({"EQUINOX": "J2000"}, FK5(equinox="J2000")),
    ({"EQUINOX": 1975.0, "RADESYS": "FK5"}, FK5(equinox="J1975")),
    ({"EQUINOX": 2015.5}, FK5(equinox=Time(2015.5, format="jyear"))),
    ({"EQUINOX": 1950.0}, FK4(equinox="B1950")),
    ({"EQUINOX": "1950.0"}, FK4(equinox="B1950")),
    ({"EPOCH": 1950.0}, FK4(equinox="B1950")),
    ({"RADECSYS": "FK4"}, FK4(equinox="B1950")),
    ({"RADESYS": "FK4", "EQUINOX": 1975.0}, FK4(equinox=Time(1975.0, format="byear"))),
    ({"RADESYS": "ICRS", "EQUINOX": 1950.0}, ICRS()),
    ({"CTYPE1": "GLON-SIN", "CTYPE2": "GLAT-SIN"}, Galactic()),
    ({"CTYPE1": "SLON-SIN", "CTYPE2": "SLAT-SIN"}, Supergalactic()),
    ({"CTYPE1": "ELON-SIN", "CTYPE2": "ELAT-SIN"}, BarycentricMeanEcliptic(equinox="J2000")),
    ({"CTYPE1": "ELON-SIN", "CTYPE2": "ELAT-SIN", "EQUINOX": 2015.0},
     BarycentricMeanEcliptic(equinox=Time(2015.0, format="jyear"))),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "frame"), FRAMES)
def test_the_frame_of_a_header_is_honoured(keys, frame):
    found = image(**keys)
    expected = SkyCoord(150 * units.deg, 20 * units.deg, frame=frame).icrs
    assert SkyCoord(*found.centre, unit="deg").separation(expected) < 1e-5 * units.arcsec
    rows, columns = found.places(np.array(expected.ra.deg), np.array(expected.dec.deg))
    assert (rows, columns) == (pytest.approx(14.5, abs=1e-5), pytest.approx(19.5, abs=1e-5))


@pytest.mark.parametrize("keys", [{"EQUINOX": 1950.0}, {"CTYPE1": "ELON-SIN", "CTYPE2": "ELAT-SIN"}])
def test_a_cutout_is_cut_where_the_frame_says(keys):
    whole = image(**keys)
    piece = cutout(whole, *whole.centre, CutoutSpec(n_pixels=1, order=0))
    assert piece.pixels[0, 0] in PIXELS[14:16, 19:21]


@pytest.mark.parametrize(
    ("unit", "size"), [("arcsec", 3600), ("ARCMIN", 60), ("rad", math.pi / 180), ("degrees", 1)]
)
def test_steps_in_other_units_are_steps(unit, size):
    keys = {key: SKY[key] * size for key in ("CDELT1", "CDELT2", "CRVAL1", "CRVAL2")}
    found = image(CUNIT1=unit, CUNIT2=unit, **keys)
    assert found.pixel_scale == pytest.approx(1.8)
    assert found.centre == pytest.approx((150.0, 20.0))


def test_a_comment_that_contradicts_the_unit_is_said():
    header = fits.Header(SKY)
    header["CDELT1"] = (-1.8e-3, "[arcsec] step")
    found = FitsImage(PIXELS, header)
    assert found.scale_fault.startswith("the comment of CDELT1 says arcsec, CUNIT1 is ''")


@pytest.mark.parametrize(
    ("card", "major"),
    [
        ((5.4, "[arcsec] beam"), 5.4),
        ((0.09, "(arcmin)"), 5.4),
        ((0.0015, "[deg] beam"), 5.4),
        ((0.0015, "in arcsec once"), 5.4),
    ],
)
def test_the_unit_of_a_beam_stands_in_its_comment(card, major):
    header = fits.Header(SKY)
    header["BMAJ"] = header["BMIN"] = card
    assert FitsImage(PIXELS, header).beam[:2] == pytest.approx((major, major))


def test_a_beam_larger_than_the_image_is_none():
    found = image(BMAJ=5.4, BMIN=5.4)
    assert np.isnan(found.beam.major)
    assert found.beam_fault.startswith("BMAJ would be a beam of 1.944e+04 arcsec, if it is in degrees")
    assert image(BMAJ="wide").beam_fault == "BMAJ is 'wide'; a finite number is needed"
    header = fits.Header(SKY)
    header["HISTORY"] = "AIPS CLEAN BMAJ= 1.2.3 BMIN= 1.0"
    assert "1.2.3" in FitsImage(PIXELS, header).beam_fault


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("code", [code for code in PROJECTIONS if code not in ("TPV", "XPH")])
def test_every_projection_is_astropy_s(code):
    keys = {"CTYPE1": f"RA---{code}", "CTYPE2": f"DEC--{code}"}
    keys |= {"PV2_1": 45.0} if code in ("COP", "COE", "COD", "COO", "BON") else {}
    keys |= {"PV2_1": 1.0, "PV2_3": 20.0} if code == "ZPN" else {}
    keys |= {"PV2_1": 1.0, "PV2_2": 1.0} if code == "CYP" else {}
    keys |= {"CRVAL2": 0.0} if code in ("CEA", "CYP", "MER", "CAR") else {}
    found = image(**keys)
    assert found.position_fault == ""
    expected = WCS(found.header).wcs_pix2world([[3.0, 4.0]], 0)[0]
    assert found.positions(np.array(4.0), np.array(3.0)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_polynomial_distortions_are_astropy_s():
    sip = {
        "CTYPE1": "RA---TAN-SIP",
        "CTYPE2": "DEC--TAN-SIP",
        "A_ORDER": 2,
        "B_ORDER": 2,
        "A_2_0": 1e-3,
        "B_1_1": 2e-3,
    }
    tpv = {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV1_4": 3.0, "PV2_1": 1.0, "PV2_5": 2.0}
    # Of CDELT astropy makes another distortion than the definition of TPV does.
    tpv |= {"CDELT1": None, "CDELT2": None, "CD1_1": -0.0005, "CD2_2": 0.0005}
    for keys in (sip, tpv):
        found = image(**keys)
        expected = WCS(found.header).all_pix2world([[3.0, 4.0]], 0)[0]
        plain = np.array(image().positions(np.array(4.0), np.array(3.0)))
        here = np.array(found.positions(np.array(4.0), np.array(3.0)))
        np.testing.assert_allclose(here, expected, atol=1e-9)
        assert np.abs(here - plain).max() > 1e-5


def sides_by_astropy(found: FitsImage) -> tuple[float, float]:
    """Arcsec between the edges of the middle pixel, along columns and along rows."""
    row, column = ((side - 1) / 2 for side in found.pixels.shape)
    wcs = WCS(found.header)
    x, y = column + np.array([-0.5, 0.5, 0, 0]), row + np.array([0, 0, -0.5, 0.5])
    sky = SkyCoord(wcs.all_pix2world(np.column_stack((x, y)), 0), unit="deg")
    return sky[0].separation(sky[1]).arcsec, sky[2].separation(sky[3]).arcsec


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("turn", [0.0, 33.0])
@pytest.mark.parametrize("code", [code for code in PROJECTIONS if code not in ("TPV", "XPH")])
def test_pixels_have_the_sides_that_they_have_where_the_image_is(code, turn):
    """Far from the reference no projection keeps its steps; astropy walks from edge to edge of the middle pixel."""
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    keys = {"CTYPE1": f"RA---{code}", "CTYPE2": f"DEC--{code}", "CRPIX1": -20_000.0, "CRPIX2": -30_000.0}
    keys |= {"PC1_1": cosine, "PC1_2": -sine, "PC2_1": sine, "PC2_2": cosine}
    keys |= {"PV2_1": 45.0} if code in ("COP", "COE", "COD", "COO", "BON") else {}
    keys |= {"PV2_1": 1.0, "PV2_3": 20.0} if code == "ZPN" else {}
    keys |= {"PV2_1": 1.0, "PV2_2": 1.0} if code == "CYP" else {}
    keys |= {"CRVAL2": 0.0} if code in ("CEA", "CYP", "MER", "CAR") else {}
    found = image(**keys)
    assert np.isfinite(found.centre).all()
    assert found.pixel_sides == pytest.approx(sides_by_astropy(found), rel=2e-4)


def test_the_scale_of_a_distorted_image_is_that_of_its_middle():
    sip = {
        "CTYPE1": "RA---TAN-SIP",
        "CTYPE2": "DEC--TAN-SIP",
        "A_ORDER": 2,
        "B_ORDER": 2,
        "A_2_0": 1e-4,
        "CRPIX1": -900.0,
    }
    found = image(**sip)
    assert found.pixel_sides == pytest.approx(sides_by_astropy(found), rel=1e-6)
    assert found.pixel_sides[0] > 1.1 * found.pixel_sides[1]


def test_pixels_that_are_slanted_have_a_longest_and_a_shortest_side():
    """45 degrees off the reference, turned by 45 degrees, TAN has sides of one length that are not upright."""
    half = np.sqrt(0.5)
    keys = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 0.0}
    keys |= {"PC1_1": half, "PC1_2": -half, "PC2_1": half, "PC2_2": half}
    away = np.degrees(np.tan(np.radians(45))) / 0.0005  # steps to the north
    found = image(**keys, CRPIX1=20.5 - half * away, CRPIX2=15.5 - half * away)
    assert found.centre == pytest.approx((150.0, 45.0), abs=1e-3)
    assert found.pixel_sides[0] == pytest.approx(found.pixel_sides[1], rel=1e-3)
    # North-south the scale is cos(45 deg)^2 of that of the reference, east-west cos(45 deg).
    assert found.pixel_span == pytest.approx((1.8 * np.sqrt(0.5), 0.9), rel=1e-3)


def test_at_a_pole_the_scale_is_none_of_longitude():
    keys = {
        "CTYPE1": "RA---CAR",
        "CTYPE2": "DEC--CAR",
        "CRVAL2": 0.0,
        "CRPIX1": 20.5,
        "CRPIX2": 15.5 - 90 / 0.0005,
    }
    assert image(**keys).pixel_sides == pytest.approx((0.0, 1.8), abs=1e-4)
    zenithal = image(CRVAL2=90.0)
    assert zenithal.pixel_sides == pytest.approx((1.8, 1.8))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive(value):
    assert number(fits.Header({"X": value}), "X") == pytest.approx(value, rel=1e-14)
    assert number(fits.Header({"X": repr(value)}), "X") == value


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_any_value_is_a_number_or_named(value):
    header = fits.Header.fromstring(
        f"X       = {value}".ljust(80) + "Y       = 3".ljust(80) + "END".ljust(80)
    )
    try:
        said = f"X is {number(header, 'X')}"
    except DataError as error:
        said = str(error)
    assert said.startswith("X ")
    assert "inf" not in said or ";" in said
    assert number(header, "Y") == 3


def test_units_of_angles_and_their_errors():
    assert text(fits.Header({"X": " a "}), "X") == "a"
    assert factor("GHZ", "Hz", "CUNIT3") == 1e9
    with pytest.raises(DataError, match="CUNIT1 is 'Hz'; legal are deg, arcmin, arcsec, mas, rad"):
        factor("Hz", "deg", "CUNIT1")
    with pytest.raises(DataError, match=r"CUNIT1 is 'km999'; legal are deg"):
        factor("km999", "deg", "CUNIT1")
