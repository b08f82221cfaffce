"""Zeros beyond a survey's edge are no sky; zeros of a clipped image are."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from rgbench.data.own.files import ImageFile, examine
from rgbench.images.observed import unobserved

SIDE = 60


def noise(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1e-4, (SIDE, SIDE)).astype(np.float32)


@given(st.integers(0, 3), st.integers(1, 50), st.floats(-0.01, 0.01))
def test_a_strip_at_any_edge_is_not_observed(edge, width, sky):
    image = np.rot90(noise() + np.float32(sky), edge).copy()
    image[:width] = 0
    found = unobserved(np.rot90(image, -edge))
    expected = np.zeros((SIDE, SIDE), dtype=bool)
    expected[:width] = True
    np.testing.assert_array_equal(found, np.rot90(expected, -edge))


def test_a_slanting_edge_and_two_corners_are_not_observed():
    y, x = np.indices((SIDE, SIDE))
    outside = (x + 2 * y < 40) | (x - y > 45)
    np.testing.assert_array_equal(unobserved(np.where(outside, np.float32(0), noise())), outside)


def test_zeros_that_are_values_stay():
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    source = np.exp(-(x**2 + y**2) / 200)
    clipped = np.where(noise() + source > 3e-4, noise() + source, 0)
    counts = np.random.default_rng(2).poisson(1.0, (SIDE, SIDE))
    hole = noise()
    hole[20:30, 20:30] = 0
    few = noise()
    few[0, :30] = 0
    flat = np.ones((SIDE, SIDE))
    flat[:10] = 0
    for image in (
        noise(),
        clipped,
        source * (source > 0.5),
        counts,
        hole,
        few,
        flat,
        flat * 0,
        flat * np.nan,
    ):
        assert unobserved(image.astype(np.float32)) is None


@pytest.mark.parametrize("ending", [".fits", ".fits.gz"])
def test_the_reader_blanks_what_was_not_observed(tmp_path, ending):
    pixels = noise()
    pixels[:, :20] = 0
    path = tmp_path / f"edge{ending}"
    fits.writeto(path, pixels)
    image, reason = examine(ImageFile("edge", path))
    assert reason == ""
    assert np.isnan(image.pixels[:, :20]).all()
    np.testing.assert_array_equal(image.pixels[:, 20:], pixels[:, 20:])
