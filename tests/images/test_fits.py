"""Reading FITS: every kind of file, what headers say, and a reason for what cannot be read."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rgbench.errors import DataError, SpecError
from rgbench.images.fits import FitsImage, read_fits

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")
IMAGE = np.random.default_rng(1).normal(size=(12, 16)).astype(np.float32)
SKY = {
    "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRPIX1": 8.5, "CRPIX2": 6.5,
    "CDELT1": -0.0005, "CDELT2": 0.0005, "CRVAL1": 150.0, "CRVAL2": 20.0,
}  # fmt: skip


def write(path: Path, data, header=None) -> Path:
    fits.PrimaryHDU(data, fits.Header(header or {})).writeto(path)
    return path


def test_a_plane_of_a_cube(tmp_path):
    cube = np.stack([IMAGE, IMAGE + 1, IMAGE + 2])[:, None]
    keys = {**SKY, "CTYPE3": "STOKES", "CTYPE4": "FREQ", "CRVAL4": 1e9, "CDELT4": 1e6, "CRPIX4": 1.0}
    path = write(tmp_path / "cube.fits", cube, keys)
    with pytest.raises(DataError, match=r"has shape \(3, 1, 12, 16\).*give a plane \(0 to 2\)"):
        read_fits(path)
    for number in range(3):
        image = read_fits(path, plane=number)
        np.testing.assert_array_equal(image.pixels, IMAGE + number)
        assert image.frequency == pytest.approx(1e9 + number * 1e6)
        assert image.pixel_scale == pytest.approx(1.8)
    with pytest.raises(SpecError, match="plane: 3 was given .* legal are 0 to 2"):
        read_fits(path, plane=3)
    with pytest.raises(SpecError, match="needs 1 numbers"):
        read_fits(path, plane=(0, 1))
    with pytest.raises(SpecError, match="needs 0 numbers"):
        read_fits(write(tmp_path / "flat.fits", IMAGE), plane=1)
    np.testing.assert_array_equal(read_fits(tmp_path / "flat.fits", plane=0).pixels, IMAGE)


def test_compressed_scaled_blanked_and_big_endian(tmp_path):
    header = fits.Header({**SKY, "BUNIT": "Jy/beam"})
    fits.CompImageHDU(IMAGE, header, compression_type="GZIP_2", quantize_level=0).writeto(
        tmp_path / "c.fits.fz"
    )
    image = read_fits(tmp_path / "c.fits.fz")
    np.testing.assert_array_equal(image.pixels, IMAGE)
    assert image.unit == "Jy/beam"
    assert image.pixel_scale == pytest.approx(1.8)
    whole = fits.PrimaryHDU(np.array([[1, 2, -99], [4, 5, 6]], dtype=np.int16))
    whole.header["BLANK"] = -99
    whole.header["BSCALE"], whole.header["BZERO"] = 0.5, 3.0
    whole.writeto(tmp_path / "blank.fits")
    read = read_fits(tmp_path / "blank.fits").pixels
    np.testing.assert_array_equal(read, [[3.5, 4, np.nan], [5, 5.5, 6]])
    assert read.dtype == np.float32
    assert read.dtype.isnative


def test_damaged_files_are_refused_by_name(tmp_path):
    raw = write(tmp_path / "good.fits", np.zeros((100, 100), np.float32) + IMAGE[0, 0]).read_bytes()
    zipped = gzip.compress(np.random.default_rng(0).bytes(10) + raw)
    compressed = tmp_path / "comp.fits"
    noise = np.random.default_rng(2).normal(size=(200, 200)).astype(np.float32)
    fits.CompImageHDU(noise, compression_type="GZIP_2", quantize_level=0).writeto(compressed)
    cases = {
        "header.fits": raw[:1000],
        "data.fits": raw[:20000],
        "empty.fits": b"",
        "stub.fits.gz": gzip.compress(raw)[:-30],
        "garbage.fits.gz": zipped[:40] + b"\x00" * 40 + zipped[80:],
        "comp_cut.fits": compressed.read_bytes()[:60000],
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: cannot be read as FITS"):
            read_fits(tmp_path / name)


def test_a_table_before_the_image_is_passed_over(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.zeros(3))])
    path = tmp_path / "t.fits"
    fits.HDUList([fits.PrimaryHDU(), table, fits.ImageHDU(IMAGE, fits.Header(SKY))]).writeto(path)
    image = read_fits(path)
    np.testing.assert_array_equal(image.pixels, IMAGE)
    assert image.centre == pytest.approx((150.0, 20.0), abs=1e-4)


def test_of_several_images_the_first_is_read_and_said(tmp_path):
    mask = (IMAGE > 0).astype(np.uint8)
    path, table = tmp_path / "mask.fits", fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])
    fits.HDUList([fits.PrimaryHDU(mask), table, fits.ImageHDU(IMAGE, name="SCI")]).writeto(path)
    image = read_fits(path)
    np.testing.assert_array_equal(image.pixels, mask)
    assert image.remarks == ("holds 2 images; the first is read",)
    # What is damaged after the image costs the count only.
    cut = tmp_path / "cut.fits"
    cut.write_bytes(path.read_bytes()[:-2880])
    assert read_fits(cut).remarks == ()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(IMAGE), fits.CompImageHDU(IMAGE)]).writeto(
        tmp_path / "c.fits.fz"
    )
    assert read_fits(tmp_path / "c.fits.fz").remarks == ("holds 2 images; the first is read",)


@pytest.mark.parametrize("value", [1e300, -1e300, 3.5e38])
def test_pixels_beyond_the_range_of_32_bits_are_said_and_nothing_warns(tmp_path, value):
    """Warnings are errors here. An infinite pixel of the file is another matter, which is told later."""
    wide = IMAGE.astype(np.float64)
    wide[0, 0] = value
    why = "has pixels beyond the range of 32-bit floats, which ends at 3.4e"
    with pytest.raises(DataError, match=why):
        read_fits(write(tmp_path / "a.fits", wide))
    fits.CompImageHDU(wide, compression_type="GZIP_1", quantize_level=0).writeto(tmp_path / "a.fits.fz")
    with pytest.raises(DataError, match=why):
        read_fits(tmp_path / "a.fits.fz")
    # Of a cube only the plane that is read must be in the range.
    cube = write(tmp_path / "cube.fits", np.stack([IMAGE.astype(np.float64), wide]))
    np.testing.assert_array_equal(read_fits(cube, plane=0).pixels, IMAGE)
    wide[0, 0] = np.inf
    assert np.isinf(read_fits(write(tmp_path / "b.fits", wide)).pixels[0, 0])


def test_a_primary_of_no_pixels_is_passed_over(tmp_path):
    path = tmp_path / "empty.fits"
    fits.HDUList([fits.PrimaryHDU(np.zeros((1, 1))), fits.ImageHDU(IMAGE)]).writeto(path)
    raw = path.read_bytes()
    for axis in (1, 2):
        raw = raw.replace(
            f"NAXIS{axis}  =                    1".encode(),
            f"NAXIS{axis}  =                    0".encode(),
            1,
        )
    path.write_bytes(raw[:2880] + raw[5760:])
    image = read_fits(path)
    np.testing.assert_array_equal(image.pixels, IMAGE)
    assert image.remarks == ()
    path.write_bytes(raw[:2880])
    with pytest.raises(DataError, match=r"the image has shape \(0, 0\): it has no pixels"):
        read_fits(path)


@pytest.mark.parametrize(
    ("keys", "beam"),
    [
        ({"BMAJ": 0.0015, "BMIN": 0.001, "BPA": 30.0}, (5.4, 3.6, 30.0)),
        ({"BMAJ": 0.0015}, (5.4, 5.4, 0.0)),
        ({"HISTORY": "AIPS   CLEAN BMAJ=  1.2500E-02 BMIN=  1.1000E-02 BPA=  -7.50"}, (45.0, 39.6, -7.5)),
        ({"BMAJ": 0.0, "HISTORY": "AIPS CLEAN BMAJ=  1.2500D-02 BMIN=  1.25D-02"}, (45.0, 45.0, 0.0)),
    ],
)
def test_the_beam_in_keywords_or_history(keys, beam):
    assert FitsImage(IMAGE, fits.Header(keys)).beam == pytest.approx(beam)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0])
def test_a_beam_whose_axes_changed_places_is_the_same_ellipse(angle):
    """The same ellipse: its width in any direction, by the quadratic form of both, is the same."""
    keys = {**SKY, "BMAJ": 6 / 3600, "BMIN": 20 / 3600, "BPA": angle}
    image = FitsImage(IMAGE, fits.Header(keys))

    def form(major, minor, angle):
        axis = np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
        across = np.array([axis[1], -axis[0]])
        return major**2 * np.outer(axis, axis) + minor**2 * np.outer(across, across)

    assert image.beam[:2] == pytest.approx((20, 6))
    np.testing.assert_allclose(form(*image.beam), form(6, 20, angle), atol=1e-9)
    assert image.remarks == (
        "BMIN, 20 arcsec, is larger than BMAJ, 6: it is taken for the major axis, which lies at BPA + 90 degrees",
    )


def test_a_round_beam_and_one_in_order_need_no_remark():
    for minor in (6 * (1 + 1e-7), 6.0, 3.0):
        keys = {**SKY, "BMAJ": 6 / 3600, "BMIN": minor / 3600, "BPA": 0.0}
        image = FitsImage(IMAGE, fits.Header(keys))
        assert (image.beam.major >= image.beam.minor, image.remarks) == (True, ())


@pytest.mark.parametrize("keys", [{}, {"BMAJ": "unknown"}, {"BMAJ": -1.0}, {"HISTORY": "CLEANed"}])
def test_no_beam_is_nan(keys):
    assert np.isnan(FitsImage(IMAGE, fits.Header(keys)).beam).all()


@pytest.mark.parametrize(
    ("keys", "hertz"),
    [
        ({"RESTFRQ": 1.4e9}, 1.4e9),
        ({"FREQ": 1.4e9}, 1.4e9),
        ({"CTYPE3": "FREQ", "CRVAL3": 3.0, "CUNIT3": "GHz", "RESTFRQ": 1.4e9}, 3e9),
        ({"CTYPE3": "FREQ-LSR", "CRVAL3": 1e9, "CRPIX3": 0.0, "CDELT3": 1e6}, 1.001e9),
    ],
)
def test_the_frequency(keys, hertz):
    assert FitsImage(IMAGE, fits.Header(keys)).frequency == pytest.approx(hertz)


@pytest.mark.parametrize(
    "keys", [{}, {"FREQ": 1.4}, {"RESTFRQ": "x"}, {"CTYPE3": "FREQ", "CRVAL3": 1, "CUNIT3": "m"}]
)
def test_no_frequency_is_nan(keys):
    assert np.isnan(FitsImage(IMAGE, fits.Header(keys)).frequency)


@given(
    scale=st.floats(1e-5, 1e-2), ratio=st.floats(0.5, 2), turn=st.floats(-180, 180),
    code=st.sampled_from(["TAN", "SIN", "ARC", "ZEA", "CAR"]), form=st.sampled_from(["plain", "crota", "cd", "pc"]),
    far=st.floats(-3000, 3000),
)  # fmt: skip
@settings(deadline=None)
def test_the_pixel_scale_is_astropy_s(scale, ratio, turn, code, form, far):
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    keys = {
        "CTYPE1": f"RA---{code}", "CTYPE2": f"DEC--{code}", "CRVAL1": 10.0, "CRVAL2": 0.0, "CRPIX1": far, "CRPIX2": far
    }  # fmt: skip
    if form == "cd":
        keys |= {
            "CD1_1": -scale * c,
            "CD1_2": scale * s,
            "CD2_1": scale * s * ratio,
            "CD2_2": scale * c * ratio,
        }
    else:
        keys |= {"CDELT1": -scale, "CDELT2": scale * ratio}
    if form == "crota":
        keys["CROTA2"] = turn
    if form == "pc":
        keys |= {"PC1_1": c, "PC1_2": -s, "PC2_1": s, "PC2_2": c}
    image = FitsImage(IMAGE, fits.Header(keys))
    assume(np.isfinite(image.centre[0]))
    columns, rows = 7.5 + np.array([-0.5, 0.5, 0, 0]), 5.5 + np.array([0, 0, -0.5, 0.5])
    sky = WCS(image.header).pixel_to_world(columns, rows)
    sides = sky[0].separation(sky[1]).arcsec, sky[2].separation(sky[3]).arcsec
    assert image.pixel_sides == pytest.approx(sides, rel=2e-4)
    assert image.pixel_scale == pytest.approx(np.mean(sides), rel=2e-4)


@given(
    scale=st.floats(1e-5, 1e-2), ratio=st.floats(0.5, 2), code=st.sampled_from(["TAN", "SIN", "CAR", "MER"])
)
def test_at_the_reference_the_pixel_scale_is_that_of_the_header(scale, ratio, code):
    keys = {"CTYPE1": f"RA---{code}", "CTYPE2": f"DEC--{code}", "CRVAL1": 10.0, "CRVAL2": 0.0}
    keys |= {"CRPIX1": 8.5, "CRPIX2": 6.5, "CDELT1": -scale, "CDELT2": scale * ratio}
    image = FitsImage(IMAGE, fits.Header(keys))
    assert image.pixel_sides == pytest.approx(proj_plane_pixel_scales(WCS(image.header)) * 3600, rel=1e-12)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"CTYPE1": "FREQ", "CTYPE2": "STOKES", "CDELT1": 1.0, "CDELT2": 1.0},
        {**SKY, "CTYPE2": "DEC--TAN"},
        {**SKY, "CDELT1": "much"},
        {key: value for key, value in SKY.items() if "CDELT" not in key},
        {**SKY, "CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ", "CROTA2": 1.0},
    ],
)
def test_a_header_without_sky_has_no_wcs_and_no_crash(keys):
    image = FitsImage(IMAGE, fits.Header(keys))
    assert image.wcs is None
    assert np.isnan(image.centre).all()


def test_other_axes_than_the_sky_s_are_no_sky(tmp_path):
    keys = {**SKY, "CTYPE3": "FREQ", "CRVAL3": 1e9, "CDELT3": 1e6, "CRPIX3": 1.0}
    image = read_fits(write(tmp_path / "pv.fits", IMAGE.reshape(12, 1, 16), keys))
    assert image.axes == (3, 1)
    assert image.wcs is None


def test_b1950_and_galactic_centres_are_icrs():
    from astropy.coordinates import SkyCoord

    keys = {**SKY, "CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}
    expected = SkyCoord(150, 20, unit="deg", frame="galactic").icrs
    assert FitsImage(IMAGE, fits.Header(keys)).centre == pytest.approx(
        (expected.ra.deg, expected.dec.deg), abs=1e-9
    )
    keys = {**SKY, "EPOCH": 1950.0}
    expected = SkyCoord(150, 20, unit="deg", frame="fk4", equinox="B1950").icrs
    assert FitsImage(IMAGE, fits.Header(keys)).centre == pytest.approx(
        (expected.ra.deg, expected.dec.deg), abs=1e-6
    )


@needs_mirror
@pytest.mark.parametrize(
    ("name", "shape", "scale", "beam", "hertz", "centre"),
    [
        ("J103007+304037", (167, 167), 1.8, 5.4, 1.3649e9, (157.5303, 30.6771)),
        ("LOTSS_J105007.27+304037.52", (200, 200), 1.5, 6.0, 1.4365e8, (162.5303, 30.6771)),
        ("NVSS_J105007.27+304037.52", (458, 458), 2.0, 45.0, 1.4e9, (162.5303, 30.6771)),
        ("3C194", (300, 300), 1.8, np.nan, np.nan, (122.515, 42.4678)),
    ],
)
def test_real_headers(name, shape, scale, beam, hertz, centre):
    image = read_fits(MIRROR / f"other_FITS/{name}.fits.gz")
    assert image.pixels.shape == shape
    # A degree off its reference a mosaic in SIN has pixels that are 0.02 % longer to the north.
    assert image.pixel_scale == pytest.approx(scale, rel=1e-6 if "LOTSS" not in name else 2e-4)
    assert image.beam.major == pytest.approx(beam, nan_ok=True)
    assert image.frequency == pytest.approx(hertz, nan_ok=True)
    assert image.centre == pytest.approx(centre, abs=0.003)
    assert image.unit == "JY/BEAM"
    assert image.telescope in ("VLA", "LOFAR")


def test_the_wcs_is_not_paid_for_unless_asked(tmp_path, monkeypatch):
    path = write(tmp_path / "a.fits", IMAGE, SKY)

    def parsed(*args, **kwargs):
        raise AssertionError("the WCS was parsed")

    monkeypatch.setattr("rgbench.images.fits.read_wcs", parsed)
    image = read_fits(path)
    assert (image.unit, image.scale_fault) == ("", "")
    with pytest.raises(AssertionError, match="the WCS was parsed"):
        image.wcs  # noqa: B018


@pytest.mark.parametrize("parity", [-1, 1])
@pytest.mark.parametrize("turn", [0.0, 33.0, 90.0, -120.0])
@pytest.mark.parametrize("angle", [0.0, 45.0, 110.0])
def test_the_beam_lies_on_the_pixels_as_on_the_sky(parity, turn, angle):
    """Astropy walks from the middle along the position angle; the pixels that it meets lie along the beam."""
    t, step = np.radians(turn), 1.8 / 3600
    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 180.0, "CRVAL2": 60.0})
    header["CRPIX1"] = header["CRPIX2"] = 50.5
    header["CD1_1"], header["CD1_2"] = parity * step * np.cos(t), -step * np.sin(t)
    header["CD2_1"], header["CD2_2"] = parity * step * np.sin(t), step * np.cos(t)
    header["BMAJ"], header["BMIN"], header["BPA"] = 6 / 3600, 3 / 3600, angle
    image = FitsImage(np.zeros((100, 100), np.float32), header)
    middle = SkyCoord(*image.centre, unit="deg")
    away = middle.directional_offset_by(angle * units.deg, 1 * units.arcsec)
    columns, rows = image.wcs.world_to_pixel(away)
    found = image.beam_on_pixels
    expected = np.degrees(np.arctan2(-(columns - 49.5), rows - 49.5))
    assert (found.major, found.minor) == (image.beam.major, image.beam.minor)
    assert (found.angle - expected + 90) % 180 - 90 == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("turn", [0.0, 33.0])
def test_the_beam_lies_rightly_where_the_first_axis_is_the_latitude(turn):
    t, step = np.radians(turn), 1.8 / 3600
    header = fits.Header({"CTYPE1": "DEC--SIN", "CTYPE2": "RA---SIN", "CRVAL1": 60.0, "CRVAL2": 180.0})
    header["CRPIX1"] = header["CRPIX2"] = 50.5
    header["CD1_1"], header["CD1_2"] = step * np.cos(t), -step * np.sin(t)
    header["CD2_1"], header["CD2_2"] = step * np.sin(t), step * np.cos(t)
    header["BMAJ"], header["BMIN"], header["BPA"] = 6 / 3600, 3 / 3600, 20.0
    image = FitsImage(np.zeros((100, 100), np.float32), header)
    away = SkyCoord(*image.centre, unit="deg").directional_offset_by(20 * units.deg, 1 * units.arcsec)
    rows, columns = image.places(np.array(away.ra.deg), np.array(away.dec.deg))
    expected = np.degrees(np.arctan2(-(columns - 49.5), rows - 49.5))
    assert (image.beam_on_pixels.angle - expected + 90) % 180 - 90 == pytest.approx(0, abs=0.01)
    assert image.pixel_sides == pytest.approx((1.8, 1.8))


@pytest.mark.parametrize(
    ("cards", "fault"),
    [
        ({"BMIN": -0.0015}, "BMIN is -0.0015; more than 0 is legal"),
        ({"BMIN": 0.001, "BPA": 999.0}, "BPA is 999 degrees; -360 to 360 are legal"),
        ({"BMIN": 0.0015, "BPA": 999.0}, ""),
    ],
)
def test_cards_of_a_beam_that_there_cannot_be(cards, fault):
    """BMIN below 0 was a round beam, and any BPA an angle; that of a round beam says nothing."""
    image = FitsImage(IMAGE, fits.Header({"BMAJ": 0.0015} | cards))
    assert image.beam_fault == fault
    assert np.isnan(image.beam.major) == bool(fault)


@pytest.mark.parametrize(
    ("cards", "key"), [({"BMAJ": 1e-9}, "BMAJ"), ({"BMAJ": 0.0015, "BMIN": 1e-9}, "BMIN")]
)
def test_a_beam_finer_than_a_pixel_is_none(tmp_path, cards, key):
    """It was convolved to that of training, and flux densities were divided by its area."""
    header = fits.Header(
        {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CDELT1": -0.0005, "CDELT2": 0.0005} | cards
    )
    fits.writeto(tmp_path / "a.fits", np.ones((20, 20)), header)
    image = read_fits(tmp_path / "a.fits")
    assert np.isnan(image.beam.major)
    assert image.beam_fault.startswith(f"{key} would be a beam of")
    assert "half of a pixel, 0.9, or more is legal" in image.beam_fault
