"""Crop, mask and resampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import disk
from skimage.measure import block_reduce

from rgbench.errors import SpecError
from rgbench.images.geometry import block_mean, central_crop, circular_mask, pixels_that_fit, resample

SIDES = st.integers(1, 30)


def gaussian(side, fwhm, row=0.0, column=0.0):
    """Give one image of a Gaussian with peak 1 at an offset from the centre in pixels."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.exp(-4 * np.log(2) * ((y - row) ** 2 + (x - column) ** 2) / fwhm**2)[None]


def centroid(image):
    y, x = np.indices(image.shape) - (np.array(image.shape)[:, None, None] - 1) / 2
    return np.array([(image * y).sum(), (image * x).sum()]) / image.sum()


@given(SIDES, SIDES, st.integers(1, 40), st.integers(1, 40))
def test_a_crop_lies_in_the_middle(rows, columns, height, width):
    image = np.arange(rows * columns).reshape(1, rows, columns)
    field = central_crop(image, (height, width))
    assert field.shape == (1, min(rows, height), min(columns, width))
    top, left = divmod(int(field[0, 0, 0]), columns)
    assert rows - field.shape[1] - 2 * top in (0, 1)
    assert columns - field.shape[2] - 2 * left in (0, 1)
    np.testing.assert_array_equal(central_crop(field, (height, width)), field)


def test_the_mirabest_crop():
    image = np.arange(300 * 300).reshape(1, 300, 300)
    np.testing.assert_array_equal(central_crop(image, 150), image[:, 75:225, 75:225])


@given(SIDES, st.floats(0.1, 25), st.sampled_from([0.0, 0.5, -1.0]))
def test_a_mask_is_the_disk_of_scikit_image(side, radius, shift):
    centre = (side - 1) / 2 + shift
    expected = np.zeros((side, side))
    expected[disk((centre, centre), radius, shape=(side, side))] = 1
    found = circular_mask(np.ones((1, side, side)), radius, shift)[0]
    # scikit-image leaves out what lies on the circle itself.
    y, x = np.indices((side, side)) - centre
    on = np.isclose(np.hypot(y, x), radius)
    np.testing.assert_array_equal(found[~on], expected[~on])


@given(SIDES, SIDES)
def test_a_mask_is_symmetric_unless_shifted(rows, columns):
    mask = circular_mask(np.ones((1, rows, columns)))[0]
    np.testing.assert_array_equal(mask, mask[::-1])
    np.testing.assert_array_equal(mask, mask[:, ::-1])
    assert mask[rows // 2, columns // 2] == 1


def test_the_mirabest_mask_and_what_is_missing():
    y, x = np.indices((150, 150))
    mask = circular_mask(np.ones((1, 150, 150)), shift=0.5)[0]
    np.testing.assert_array_equal(mask == 1, np.hypot(x - 75, y - 75) <= 75)
    image = np.full((1, 9, 9), np.nan)
    masked = circular_mask(image, 2)
    assert masked[0, 0, 0] == 0
    assert np.isnan(masked[0, 4, 4])
    with pytest.raises(SpecError, match="radius: -1"):
        circular_mask(image, -1)


@pytest.mark.parametrize("factor", [1, 2, 3, 6])
def test_block_mean_is_that_of_scikit_image(factor):
    image = np.random.default_rng(1).normal(size=(12, 18))
    expected = block_reduce(image, (factor, factor), np.mean)
    np.testing.assert_allclose(block_mean(image[None], factor)[0], expected)
    np.testing.assert_allclose(resample(image[None], 1.8, 1.8 * factor)[0], expected)


@given(side=st.integers(2, 40), factor=st.floats(1.0, 8.0), seed=st.integers(0, 99))
@settings(deadline=None)
def test_shrinking_keeps_brightness_or_flux_density(side, factor, seed):
    image = np.random.default_rng(seed).normal(1, 1, (1, side, side))
    small = resample(image, 1.0, factor)
    count = small.shape[1]
    assert count == max(int(side / factor + 1e-6), 1)
    flat = resample(np.ones_like(image), 1.0, factor)
    np.testing.assert_allclose(flat, 1)
    if count * factor == side:
        np.testing.assert_allclose(small.mean(), image.mean())
        np.testing.assert_allclose(resample(image, 1.0, factor, "per pixel").sum(), image.sum())


@given(
    to=st.floats(0.6, 4.0),
    row=st.floats(-6, 6),
    column=st.floats(-6, 6),
    size=st.sampled_from([None, 20, 21]),
)
@settings(deadline=None)
def test_a_source_stays_where_it_is_and_keeps_its_flux(to, row, column, size):
    """In arcsec about the centre: at a scale of 1.5 arcsec per pixel, to any other."""
    image = gaussian(90, 6.0, row, column)
    new = resample(image, 1.5, to, size=size if size and size * to >= 75 else None)
    np.testing.assert_allclose(centroid(new[0]) * to, np.array([row, column]) * 1.5, atol=0.1)
    np.testing.assert_allclose(new.sum() * to**2, image.sum() * 1.5**2, rtol=0.012)
    other = resample(image, 1.5, to, "per pixel")
    np.testing.assert_allclose(other.sum(), image.sum(), rtol=0.012)


def test_there_and_back_gives_a_smooth_image_again():
    image = gaussian(100, 20.0)
    back = resample(resample(image, 2.0, 1.0), 1.0, 2.0)
    np.testing.assert_allclose(back, image, atol=0.01)
    np.testing.assert_allclose(resample(image, 1.8, 1.8), image, atol=1e-12)


def test_missing_pixels_are_left_out_of_means():
    image = np.ones((1, 8, 8), np.float32)
    image[0, 0, 0] = image[0, 4:6, 4:6] = np.nan
    small = resample(image, 1.0, 2.0)
    assert small.dtype == np.float32
    assert small[0, 0, 0] == 1
    assert np.isnan(small[0, 2, 2])
    assert np.count_nonzero(np.isnan(small)) == 1
    image[0, 0, 1] = np.nan  # half of the area is missing
    assert np.isnan(resample(image, 1.0, 2.0)[0, 0, 0])


def test_resampling_refuses():
    image = np.ones((1, 10, 10))
    for scales in [(0, 1), (1, 0), (-1, 1), (1, np.nan), (np.inf, 1)]:
        with pytest.raises(SpecError, match="pixel scales"):
            resample(image, *scales)
    with pytest.raises(SpecError, match="'flux' was given; legal are per beam, per pixel"):
        resample(image, 1, 2, "flux")
    with pytest.raises(SpecError, match="size: 6 pixels of 2 arcsec .* 1 to 5"):
        resample(image, 1, 2, size=6)


def test_pixels_that_fit():
    assert pixels_that_fit(300, 1.8, 15.0) == 36
    assert pixels_that_fit(3, 1.0, 10.0) == 1
