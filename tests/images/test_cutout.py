"""Cutouts: against analytic sources, against reproject, and pixel for pixel where nothing need be resampled."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.errors import DataError, SpecError
from rgbench.images.brightness import per_pixel
from rgbench.images.cutout import CutoutSpec, cutout
from rgbench.images.fits import FitsImage, read_fits

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")
needs_reproject = pytest.mark.skipif(
    importlib.util.find_spec("reproject") is None,
    reason="needs the package reproject, the other implementation",
)
SOURCE = SkyCoord(150.003, 30.002, unit="deg")
WIDTH = 12.0
"""Arcsec, standard deviation of the round Gaussian of the analytic tests."""


def frame(
    code="TAN", scale=1.8, turn=0.0, parity=-1, system="equatorial", side=160, far=(0.0, 0.0)
) -> fits.Header:
    """Give a header whose image holds the source near its middle; `far` shifts the reference point, degrees."""
    names = ("RA---", "DEC--") if system == "equatorial" else ("GLON-", "GLAT-")
    at = SOURCE if system == "equatorial" else SOURCE.galactic
    lon, lat = at.spherical.lon.deg + far[0], at.spherical.lat.deg + far[1]
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    step = scale / 3600
    header = fits.Header(
        {
            "CTYPE1": names[0] + code, "CTYPE2": names[1] + code, "CRVAL1": lon, "CRVAL2": lat, "CRPIX1": side / 2,
            "CRPIX2": side / 2, "CD1_1": parity * step * c, "CD1_2": -step * s, "CD2_1": parity * step * s,
            "CD2_2": step * c, "RADESYS": "ICRS",
        }
    )  # fmt: skip
    if code == "CAR":  # away from its equator CAR is stretched; a reference on the equator is the sound way
        header["CRVAL2"] = 0.0
    x, y = WCS(header).wcs_world2pix([[at.spherical.lon.deg, at.spherical.lat.deg]], 0)[0]
    header["CRPIX1"] += side / 2 - x
    header["CRPIX2"] += side / 2 - y
    return header


def separations(wcs, side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return wcs.pixel_to_world(x, y).separation(SOURCE).arcsec


def gaussian(header: fits.Header, side=160, unit="Jy/beam") -> FitsImage:
    header["BUNIT"] = unit
    pixels = np.exp(-0.5 * (separations(WCS(header), side) / WIDTH) ** 2)
    return FitsImage(pixels.astype(np.float32), header, "gaussian.fits")


@settings(max_examples=30, deadline=None)
@given(
    code=st.sampled_from(["TAN", "SIN", "ARC", "ZEA", "CAR"]), turn=st.floats(-180, 180),
    scale=st.floats(1.2, 2.5), parity=st.sampled_from([-1, 1]), system=st.sampled_from(["equatorial", "galactic"]),
)  # fmt: skip
def test_a_gaussian_in_any_frame_comes_out_north_up(code, turn, scale, parity, system):
    image = gaussian(frame(code, scale, turn, parity, system))
    middle = SOURCE.directional_offset_by(0 * SOURCE.ra, 0 * SOURCE.ra)
    ra, dec = middle.ra.deg + 6 / 3600, middle.dec.deg - 9 / 3600
    found = cutout(image, ra, dec, CutoutSpec(n_pixels=41, pixel_scale=1.8))
    expected = np.exp(-0.5 * (separations(found.wcs, 41) / WIDTH) ** 2)
    assert found.coverage == 1.0
    # Bilinear interpolation is off by at most an eighth of the second derivative times the pixel squared, twice.
    np.testing.assert_allclose(found.pixels, expected, atol=(max(scale, 1.8) / WIDTH) ** 2 / 4)
    row, column = np.unravel_index(np.argmax(found.pixels), found.pixels.shape)
    # The source is 9 arcsec north (5 pixels, a higher row) and 5.2 arcsec west (2.9 pixels, a higher column).
    assert (row, column) == (25, 23)


@needs_reproject
@pytest.mark.parametrize("code", ["TAN", "SIN", "ARC", "ZEA", "STG", "CAR"])
@pytest.mark.parametrize("system", ["equatorial", "galactic"])
def test_interpolation_is_reproject_s(code, system):
    from reproject import reproject_interp

    header = frame(code, 2.0, 33.0, 1, system, far=(0.4, -0.3) if code != "CAR" else (0.4, 0.0))
    noise = np.random.default_rng(3).normal(size=(160, 160)).astype(np.float32)
    image = FitsImage(noise, header)
    # Near the pole of CAR columns are narrow: coarser pixels would be means, not interpolated.
    scale = min(1.8, *image.pixel_sides)
    found = cutout(image, 150.01, 30.01, CutoutSpec(n_pixels=100, pixel_scale=scale, order=1))
    other, _ = reproject_interp((noise.astype(float), WCS(header)), found.wcs, (100, 100), order="bilinear")
    both = np.isfinite(found.pixels) & np.isfinite(other)
    assert both.mean() > 0.9
    assert (np.isfinite(found.pixels) != np.isfinite(other)).mean() < 0.01
    np.testing.assert_allclose(found.pixels[both], other[both], atol=2e-6)


@needs_mirror
@needs_reproject
@pytest.mark.parametrize(
    "name", ["NVSS_J105007.27+304037.52", "LOTSS_J105007.27+304037.52", "J105007+304037"]
)
@pytest.mark.parametrize("order", [1, 3])
def test_real_images_are_resampled_as_reproject_does(name, order):
    from reproject import reproject_interp

    image = read_fits(MIRROR / f"other_FITS/{name}.fits.gz")
    found = cutout(image, 162.5303, 30.67709, CutoutSpec(size_arcsec=200, pixel_scale=1.2, order=order))
    assert found.pixels.shape == (167, 167)
    kernel = {1: "bilinear", 3: "bicubic"}[order]
    other, _ = reproject_interp((image.pixels, image.wcs), found.wcs, found.pixels.shape, order=kernel)
    np.testing.assert_allclose(found.pixels, other, atol=1e-6 * np.nanmax(other))


@needs_reproject
def test_the_mean_over_coarser_pixels_is_reproject_s_exact_one():
    from reproject import reproject_exact

    noise = np.random.default_rng(4).normal(size=(160, 160)).astype(np.float32)
    header = frame("SIN", 1.5, 20.0)
    found = cutout(FitsImage(noise, header), 150.003, 30.002, CutoutSpec(n_pixels=24, pixel_scale=6.0))
    assert found.method == "averaged"
    other, _ = reproject_exact((noise.astype(float), WCS(header)), found.wcs, (24, 24), parallel=False)
    # Four by four bilinear samples a pixel against areas of overlap: white noise is the hardest case.
    assert np.corrcoef(found.pixels.ravel(), other.ravel())[0, 1] > 0.97
    assert found.pixels.std() == pytest.approx(other.std(), rel=0.15)


def test_a_compact_source_between_pixels_keeps_its_peak():
    """A beam of three pixels: bilinear interpolation, half a pixel off in both directions, takes 15 % of the peak."""
    header = frame("TAN", 1.8)
    image = FitsImage(
        np.exp(-0.5 * (separations(WCS(header), 160) / (5.4 / 2.3548)) ** 2).astype(np.float32), header
    )
    row, column = np.unravel_index(np.argmax(image.pixels), image.pixels.shape)
    ra, dec = image.positions(np.array([column + 0.5]), np.array([row + 0.5]))
    peaks = {}
    for order in (1, 3):
        spec = CutoutSpec(n_pixels=31, pixel_scale=1.8, order=order)
        found = cutout(image, float(ra[0]), float(dec[0]), spec)
        true = np.exp(-0.5 * (separations(found.wcs, 31) / (5.4 / 2.3548)) ** 2)
        peaks[order] = found.pixels.max() / true.max()
    assert CutoutSpec(n_pixels=1).order == 3
    assert peaks[1] < 0.88
    assert peaks[3] == pytest.approx(1, abs=0.01)


@needs_mirror
def test_pixels_in_place_are_copied():
    image = read_fits(sorted((MIRROR / "MiraBest_FITS").glob("*.fits.gz"))[0])
    found = cutout(image, *image.centre, CutoutSpec(n_pixels=150))
    assert found.method == "copied"
    np.testing.assert_array_equal(found.pixels, image.pixels[75:225, 75:225])
    wider = cutout(image, *image.centre, CutoutSpec(n_pixels=320))
    np.testing.assert_array_equal(wider.pixels[10:310, 10:310], image.pixels)
    assert np.isnan(wider.pixels[:10]).all()
    assert wider.coverage == pytest.approx(300**2 / 320**2)


def test_the_exact_way_and_interpolation_agree():
    image = gaussian(frame())
    ra, dec = image.positions(np.array([70.0]), np.array([90.0]))
    spec = CutoutSpec(n_pixels=31)
    found = cutout(image, float(ra[0]), float(dec[0]), spec)
    near = cutout(image, float(ra[0]), float(dec[0]) + 0.05 * 1.8 / 3600, spec)
    assert (found.method, near.method) == ("copied", "interpolated")
    np.testing.assert_array_equal(found.pixels, image.pixels[55:86, 75:106])
    np.testing.assert_allclose(found.pixels, near.pixels, atol=0.01)


@pytest.mark.parametrize("parity", [-1, 1])
@pytest.mark.parametrize("scale", [0.9, 1.8, 5.0])
def test_units_amounts_are_kept_per_pixel_and_brightness_per_beam(parity, scale):
    spec = CutoutSpec(size_arcsec=150, pixel_scale=scale)
    position = (SOURCE.ra.deg, SOURCE.dec.deg)
    header = frame(turn=25.0, parity=parity, side=160)
    bright = cutout(gaussian(header.copy()), *position, spec)
    amount = cutout(gaussian(header.copy(), unit="JY/PIXEL"), *position, spec)
    area = 2 * np.pi * WIDTH**2
    # A mean over pixels widens the source, but keeps its sum times the area of a pixel.
    assert bright.pixels.sum() * scale**2 == pytest.approx(area, rel=2e-3)
    assert amount.pixels.sum() * 1.8**2 == pytest.approx(area, rel=2e-3)


def test_noise_is_averaged_not_aliased():
    noise = np.random.default_rng(5).normal(size=(160, 160)).astype(np.float32)
    image = FitsImage(noise, frame(scale=1.0))
    found = cutout(image, SOURCE.ra.deg, SOURCE.dec.deg, CutoutSpec(n_pixels=30, pixel_scale=4.0))
    assert found.pixels.std() < 0.35  # 1 for the nearest pixel, 0.25 for a perfect mean of 16


def test_blanked_and_missing_pixels_stay_nan():
    image = gaussian(frame(turn=10.0))
    image.pixels[:80] = np.nan
    found = cutout(image, SOURCE.ra.deg, SOURCE.dec.deg, CutoutSpec(n_pixels=61, pixel_scale=1.8))
    assert found.coverage == pytest.approx(0.5, abs=0.03)
    assert np.isnan(found.pixels[5]).all()
    assert found.pixels[58].max() > 0
    image.pixels[:] = np.nan
    assert (
        cutout(image, SOURCE.ra.deg, SOURCE.dec.deg, CutoutSpec(n_pixels=9, pixel_scale=1.0)).coverage == 0.0
    )


def test_plate_carree_round_the_sky():
    """A map whose reference is more than half the sky away: astropy gives places a whole turn off."""
    keys = {
        "CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL1": 0.0, "CRVAL2": 0.0, "CDELT1": -0.01, "CDELT2": 0.01,
        "CRPIX1": 20050.5, "CRPIX2": 50.5, "RADESYS": "ICRS",
    }  # fmt: skip
    noise = np.random.default_rng(6).normal(size=(100, 100)).astype(np.float32)
    image = FitsImage(noise, fits.Header(keys))
    ra, dec = image.centre
    assert (ra, dec) == pytest.approx((200.0, 0.0), abs=1e-6)
    found = cutout(image, ra, dec, CutoutSpec(n_pixels=10))
    np.testing.assert_allclose(found.pixels, noise[45:55, 45:55], atol=1e-2)


def test_where_pixels_are_narrower_than_at_the_reference_noise_is_averaged_all_the_same():
    """At Dec 60 CAR has columns half as wide: a new pixel of 1.8 arcsec is the mean of two of them."""
    keys = {
        "CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL1": 180.0, "CRVAL2": 0.0, "CDELT1": -0.0005,
        "CDELT2": 0.0005, "CRPIX1": 100.5, "CRPIX2": 100.5 - 60 / 0.0005, "RADESYS": "ICRS",
    }  # fmt: skip
    noise = np.random.default_rng(6).normal(size=(200, 200)).astype(np.float32)
    image = FitsImage(noise, fits.Header(keys))
    found = cutout(image, *image.centre, CutoutSpec(n_pixels=60, pixel_scale=1.8, order=0))
    assert found.method == "averaged"
    assert found.pixels.std() == pytest.approx(np.sqrt(0.5), rel=0.1)


def test_the_other_side_of_the_sky_is_refused():
    image = gaussian(frame("SIN"))
    for ra, dec in ((330.003, -30.002), (10.0, -80.0), (150.2, 30.0)):
        with pytest.raises(DataError, match=r"gaussian.fits: the field of .* lies outside the image"):
            cutout(image, ra, dec, CutoutSpec(n_pixels=20))
    with pytest.raises(DataError, match="are no position"):
        cutout(image, float("nan"), 30.0, CutoutSpec(n_pixels=20))
    with pytest.raises(DataError, match="the header tells no position"):
        cutout(FitsImage(image.pixels), 150.0, 30.0, CutoutSpec(n_pixels=20))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "give one of them"),
        ({"n_pixels": 3, "size_arcsec": 3.0}, "give one of them"),
        ({"n_pixels": 0}, "n_pixels is 0; it must be above 0"),
        ({"size_arcsec": float("nan")}, "size_arcsec is nan"),
        ({"n_pixels": 3, "pixel_scale": -1.0}, "pixel_scale is -1.0"),
        ({"n_pixels": 3, "order": 2}, r"order is 2; legal are 0 \(nearest pixel\), 1 \(bilinear\)"),
    ],
)
def test_wrong_specs_name_the_key(keys, message):
    with pytest.raises(SpecError, match=message):
        CutoutSpec(**keys)


def test_units_per_pixel():
    assert all(per_pixel(u) for u in ("Jy/pixel", "JY/PIX", "mJy/pixels", "Jy pixel^-1", "Jy pix**-1"))
    assert not any(per_pixel(u) for u in ("Jy/beam", "K", "MJy/sr", "", "Jy/arcsec2", "pixel"))


def test_a_spline_keeps_the_peak_of_a_point_source_that_lines_flatten():
    """FIRST: a beam of 5.4 arcsec in pixels of 1.8, cut out half a pixel off in both directions."""
    header = frame()
    sharp = np.exp(-4 * np.log(2) * (separations(WCS(header), 160) / 5.4) ** 2).astype(np.float32)
    image = FitsImage(sharp, header, "point.fits")
    y, x = np.unravel_index(sharp.argmax(), sharp.shape)
    at = WCS(header).pixel_to_world(x + 0.5, y + 0.5)
    peaks, found = {}, {}
    for order in (1, 3):
        found[order] = cutout(image, at.ra.deg, at.dec.deg, CutoutSpec(n_pixels=41, order=order))
        truth = np.exp(-4 * np.log(2) * (separations(found[order].wcs, 41) / 5.4) ** 2)
        peaks[order] = np.abs(found[order].pixels - truth).max()
    assert peaks[3] < 0.03 < 0.08 < peaks[1]
    assert found[3].pixels.sum() == pytest.approx(found[1].pixels.sum(), rel=0.01)
    blank = sharp.copy()
    blank[:, :70] = np.nan
    cut = cutout(FitsImage(blank, header, "b.fits"), at.ra.deg, at.dec.deg, CutoutSpec(n_pixels=41, order=3))
    assert 0.5 < cut.coverage < 1
    np.testing.assert_allclose(cut.pixels[:, -20:], found[3].pixels[:, -20:], atol=1e-3)
