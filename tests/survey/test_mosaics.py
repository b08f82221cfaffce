"""Mosaics: which of them covers a source, and parts of their pixels."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from rgbench.data.own.files import SetAside
from rgbench.errors import DataError
from rgbench.survey.mosaics import RANKS, covering, edge_distance, find_mosaics


def found(*paths, scratch):
    aside: list[SetAside] = []
    return find_mosaics(paths, scratch, aside), aside


def test_the_mosaic_in_which_a_source_lies_furthest_from_the_edge(tmp_path, sky_header):
    for number, ra in enumerate((180.0, 180.06)):
        fits.writeto(
            tmp_path / f"m{number}.fits", np.zeros((200, 200), np.float32), sky_header((200, 200), ra, 0.0)
        )
    mosaics, _ = found(tmp_path, scratch=tmp_path / "w")
    ra = np.array([179.96, 180.02, 180.04, 180.1, 180.2, np.nan])
    dec = np.zeros(6)
    assert covering(mosaics, ra, dec).tolist() == [
        [0, -1, -1], [0, 1, -1], [1, 0, -1], [1, -1, -1], [-1] * 3, [-1] * 3
    ]  # fmt: skip


def test_mosaics_are_ranked_as_a_stable_sort_ranks_them(tmp_path, sky_header):
    """Five of them, of which two are alike."""
    rng = np.random.default_rng(5)
    for number, ra in enumerate((180.0, 180.02, 180.02, 179.99, 180.05)):
        header = sky_header((200, 200), ra, 0.0)
        fits.writeto(tmp_path / f"m{number}.fits", np.zeros((200, 200), np.float32), header)
    mosaics, _ = found(tmp_path, scratch=tmp_path / "w")
    ra, dec = rng.uniform(179.9, 180.15, 500), rng.uniform(-0.06, 0.06, 500)
    depth = np.array([edge_distance(mosaic, ra, dec) for mosaic in mosaics], dtype=np.float32)
    order = np.argsort(-depth, axis=0, kind="stable")[:RANKS]
    expected = np.where(np.take_along_axis(depth, order, axis=0) > 0, order, -1)
    assert np.array_equal(covering(mosaics, ra, dec), expected.T)


@pytest.mark.parametrize(
    ("ra", "dec"), [(0.0, 0.0), (359.99, 45.0), (10.0, 89.97), (200.0, -89.9), (120.0, -30.0)]
)
def test_distances_to_the_edge_are_those_of_astropy(tmp_path, sky_header, ra, dec):
    """Around RA 0 and the poles too."""
    shape = (300, 420)
    header = sky_header(shape, ra, dec)
    fits.writeto(tmp_path / "m.fits", np.zeros(shape, np.float32), header)
    (mosaic,), _ = found(tmp_path / "m.fits", scratch=tmp_path)
    rng = np.random.default_rng(1)
    rows, columns = rng.uniform(-60, 360, 400), rng.uniform(-60, 480, 400)
    at = SkyCoord.from_pixel(columns, rows, WCS(header)).icrs
    expected = 1.8 * np.min([rows, shape[0] - 1 - rows, columns, shape[1] - 1 - columns], axis=0) + 0.9
    got = edge_distance(mosaic, at.ra.deg, at.dec.deg)
    inside = expected > 0
    np.testing.assert_allclose(got[inside], expected[inside], rtol=1e-3, atol=0.01)
    assert (got[~inside] == -1).all()
    assert np.array_equal(covering([mosaic], at.ra.deg, at.dec.deg)[:, 0] == 0, inside)


def test_all_kinds_of_files_give_the_same_pixels(tmp_path, sky):
    part = (slice(100, 150), slice(40, 260))
    scratch = tmp_path / "scratch"
    packed = tmp_path / "packed.fits.gz"
    packed.write_bytes(gzip.compress(sky.mosaic.read_bytes()))
    fits.CompImageHDU(sky.pixels, sky.header, compression_type="GZIP_2", quantize_level=0).writeto(
        tmp_path / "c.fits.fz"
    )
    deep = sky.header.copy()
    for axis, kind in ((3, "FREQ"), (4, "STOKES")):
        deep[f"CTYPE{axis}"], deep[f"CRVAL{axis}"], deep[f"CDELT{axis}"], deep[f"CRPIX{axis}"] = (
            kind,
            1.4e9,
            1.0,
            1.0,
        )
    fits.writeto(tmp_path / "four.fits", sky.pixels[None, None], deep)
    first = fits.ImageHDU(sky.pixels, sky.header)
    fits.HDUList([fits.PrimaryHDU(), first, fits.ImageHDU(sky.pixels[::-1].copy(), sky.header)]).writeto(
        tmp_path / "two.fits"
    )
    for name, tolerance in (("packed.fits.gz", 0), ("c.fits.fz", 0), ("four.fits", 0), ("two.fits", 0)):
        mosaics, aside = found(tmp_path / name, scratch=scratch)
        assert not aside
        np.testing.assert_allclose(mosaics[0].pixels(*part), sky.pixels[part], atol=tolerance)
    assert len(mosaics) == 2
    np.testing.assert_array_equal(mosaics[1].pixels(*part), sky.pixels[::-1][part])
    assert mosaics[1].name.endswith("two.fits[2]")


def test_scaled_integers_and_blanks(tmp_path, sky):
    data = np.round(sky.pixels * 1e6).astype(np.int32)
    data[10, 10] = -99
    hdu = fits.PrimaryHDU(data, sky.header)
    hdu.header["BLANK"] = -99
    hdu.writeto(tmp_path / "w.fits")
    with fits.open(tmp_path / "w.fits", mode="update", do_not_scale_image_data=True) as file:
        file[0].header["BSCALE"] = 1e-6
    (mosaic,), _ = found(tmp_path / "w.fits", scratch=tmp_path)
    pixels = mosaic.pixels(slice(5, 15), slice(5, 15))
    assert np.isnan(pixels[5, 5])
    np.testing.assert_allclose(pixels[0], sky.pixels[5, 5:15], atol=1e-6)


def test_what_cannot_be_used_is_set_aside_with_its_reason(tmp_path, sky, sky_header):
    fits.writeto(tmp_path / "nowhere.fits", sky.pixels)
    (tmp_path / "damaged.fits").write_bytes(sky.mosaic.read_bytes()[:-100_000])
    fits.writeto(tmp_path / "cube.fits", np.zeros((3, 50, 50), np.float32), sky_header((50, 50)))
    (tmp_path / "odd.fits.gz").write_bytes(b"not packed")
    mosaics, aside = found(tmp_path, scratch=tmp_path / "w")
    assert [mosaic.path.name for mosaic in mosaics] == ["mosaic.fits"]
    reasons = {each.source.rsplit("/")[-1]: each.reason for each in aside}
    assert "tells no position" in reasons["nowhere.fits"]
    assert "the file ends after" in reasons["damaged.fits"]
    assert "two axes longer than 1 are needed" in reasons["cube.fits"]
    assert "not packed" in reasons["odd.fits.gz"]


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="there is no such file or folder"):
        found(tmp_path / "none.fits", scratch=tmp_path)
    with pytest.raises(DataError, match="no FITS file"):
        found(tmp_path, scratch=tmp_path)
    (tmp_path / "a.fits").write_bytes(b"nothing")
    with pytest.raises(DataError, match="none of 1 images can be used; the first, "):
        found(tmp_path, scratch=tmp_path)


def test_scale_and_beam_far_from_the_reference_pixel_are_those_of_the_place(tmp_path):
    """In plate carrée, pixels at a declination of 60 degrees are half as long along RA."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---CAR", "DEC--CAR"]
    wcs.wcs.crval, wcs.wcs.cdelt, wcs.wcs.crpix = [180, 0], [-0.05, 0.05], [100.5, 0.5]
    fits.writeto(tmp_path / "m.fits", np.zeros((1400, 200), np.float32), wcs.to_header())
    (mosaic,), _ = found(tmp_path / "m.fits", scratch=tmp_path)
    row = 60 / 0.05
    face = mosaic.face_at(row, 99.5, 101)
    np.testing.assert_allclose(face.centre, (180, 60), atol=0.03)  # half a pixel
    np.testing.assert_allclose(face.pixel_sides, (90, 180), rtol=1e-3)


def test_a_packed_file_that_unpacks_to_too_much_is_set_aside(tmp_path, sky, monkeypatch):
    (tmp_path / "bomb.fits.gz").write_bytes(gzip.compress(bytes(60_000_000)))
    monkeypatch.setenv("RGBENCH_MAX_PIXELS", "1000000")
    mosaics, aside = found(tmp_path, scratch=tmp_path / "w")
    assert [mosaic.path.name for mosaic in mosaics] == ["mosaic.fits"]
    assert "unpacks to more than 58000000 bytes" in aside[0].reason
    assert not list((tmp_path / "w").glob("*"))
