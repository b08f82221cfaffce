"""A position brings its source to the middle of the image that a classifier sees."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from rgbench.data.own.files import ImageFile, SetAside
from rgbench.images.fits import FitsImage
from rgbench.runs.classifier import load_classifier
from rgbench.runs.seen import about_position, see_image

STEP = 0.0005


def image(rows: int = 41, columns: int = 61) -> FitsImage:
    header = fits.Header(
        {
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 0.0, "RADESYS": "ICRS",
            "CRPIX1": (columns + 1) / 2, "CRPIX2": (rows + 1) / 2, "CDELT1": -STEP, "CDELT2": STEP,
        }
    )  # fmt: skip
    return FitsImage(np.arange(rows * columns, dtype=np.float32).reshape(rows, columns), header, "a.fits")


@pytest.mark.parametrize(("down", "across"), [(0, 7), (5, 0), (-12, 20), (20, -30), (0.3, -0.4)])
def test_a_position_is_brought_to_the_middle(down, across):
    whole = image()
    position = 150.0 - across * STEP, down * STEP
    found, reason = about_position(whole, position)
    assert reason == ""
    row, column = 20 + round(down), 30 + round(across)
    assert found.pixels[20, 30] == whole.pixels[row, column]
    assert found.pixels.shape == whole.pixels.shape
    assert np.nansum(found.pixels == whole.pixels[0, 0]) == int(row <= 20 and column <= 30)
    assert found.centre == pytest.approx(
        tuple(map(float, whole.positions(np.array(row), np.array(column)))), abs=1e-9
    )
    assert (found is whole) == (row == 20 and column == 30)


def test_a_position_that_is_not_known_or_not_on_the_image():
    whole = image()
    assert about_position(whole, (np.nan, np.nan)) == (whole, "")
    assert about_position(FitsImage(whole.pixels), (1.0, 2.0))[1] == ""
    _, reason = about_position(whole, (150.0, 0.02))
    assert reason == "its middle is 72.0 arcsec off the position in the manifest, which is not on the image"


def test_the_source_of_a_position_is_what_is_seen(tmp_path):
    pixels = np.random.default_rng(1).normal(0, 1e-4, (300, 300)).astype(np.float32)
    pixels[200:203, 60:63] += 0.05
    header = image(300, 300).header
    fits.writeto(tmp_path / "a.fits", pixels, header)
    card, aside, file = load_classifier().card, list[SetAside](), ImageFile("a", tmp_path / "a.fits")
    nothing = see_image(file, card, aside)
    assert nothing.field is None, "no source in the middle"
    position = 150.0 - (61 - 149.5) * STEP, (201 - 149.5) * STEP
    seen = see_image(file, card, aside, position=position)
    assert seen.field is not None
    assert (
        np.abs(
            np.array(np.unravel_index(seen.field.argmax(), seen.field.shape)) - seen.field.shape[0] / 2
        ).max()
        < 20
    )
    assert aside == []
