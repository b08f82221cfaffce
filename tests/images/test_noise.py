"""Estimates of the noise, against astropy and against noise of known strength."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.stats import mad_std, sigma_clip, sigma_clipped_stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rgbench.images import noise
from rgbench.images.fits import read_fits
from rgbench.images.noise import SMALL, ImageError, clipped_noise, mad_noise, median, noise_clip, rms_clip

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")


def field(sigma=1.0, offset=0.0, source=0.0, side=120, seed=0):
    """Give one image: Gaussian noise, and a bright square in the middle."""
    image = np.random.default_rng(seed).normal(offset, sigma, (1, side, side))
    image[0, side // 2 - 6 : side // 2 + 6, side // 2 - 6 : side // 2 + 6] += source
    return image


def reference(image, n_sigma=3.0, rounds=5):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(sigma_clipped_stats(image, sigma=n_sigma, maxiters=rounds)[2])


@pytest.mark.parametrize("side", [20, 63, 64, 65, 120])  # less than SMALL pixels, and more
@pytest.mark.parametrize("n_sigma", [2.0, 3.0, 5.0])
@pytest.mark.parametrize("rounds", [0, 1, 5, 20])
def test_iterative_noise_is_that_of_astropy(side, n_sigma, rounds):
    image = field(2.0, 10.0, 100.0, side, seed=side)
    expected = reference(image[0], n_sigma, rounds) if rounds else image.std()
    np.testing.assert_allclose(clipped_noise(image, n_sigma, rounds), expected, rtol=1e-12)


@needs_mirror
def test_iterative_noise_is_that_of_astropy_on_real_fields():
    for path in sorted((MIRROR / "MiraBest_FITS").glob("*.fits.gz"))[::8]:
        pixels = read_fits(path).pixels
        found = clipped_noise(pixels[None])[0]
        np.testing.assert_allclose(found, reference(pixels.astype(np.float64)), rtol=1e-12)
        kept = sigma_clip(pixels, sigma=3, maxiters=5, masked=False, axis=None)
        np.testing.assert_allclose(found, kept.std(dtype=np.float64), rtol=1e-12)


@given(
    hnp.arrays(np.float32, (1, 72, 72), elements=st.floats(-1e3, 1e3, width=32), fill=st.integers(-2, 2)),
    st.sampled_from([1.5, 3.0]),
)
@settings(max_examples=60, deadline=None)
def test_any_pixels_are_clipped_as_astropy_does(image, n_sigma):
    # The noise keeps pixels off the very bounds, where rounding alone would tell on which side they fall.
    image = image + field(0.1, side=72)
    expected = reference(image[0], n_sigma)
    np.testing.assert_allclose(clipped_noise(image, n_sigma), expected, rtol=1e-9, atol=1e-12)


def test_the_quick_way_and_the_plain_way_agree_where_both_work():
    quick = 0
    for seed in range(20):
        pixels = field(1.0, -5.0, 10.0 * seed, seed=seed).ravel()
        plain = noise._clipped_by_sorting(pixels, 3.0, 5)
        other = noise._clipped_by_tails(pixels, 3.0, 5)
        if other is not None:
            quick += 1
            assert other == pytest.approx(plain, rel=1e-12)
    assert quick == 20


def test_the_quick_way_declines_what_it_cannot_do():
    pixels = field().ravel()
    assert noise._clipped_by_tails(pixels, 1.0, 5) is None
    assert clipped_noise(pixels[None, None], 1.0)[0] == pytest.approx(reference(pixels, 1.0), rel=1e-12)


def test_a_sample_that_misleads_does_no_harm():
    pixels = field(side=120).ravel()
    step = len(pixels) // (SMALL // 2)
    for every in (step, 2 * step, 2):
        image = pixels.copy()
        image[::every] += 1e6
        assert clipped_noise(image[None, None])[0] == pytest.approx(reference(image), rel=1e-9)
        assert median(image) == np.median(image)


@pytest.mark.parametrize("estimate", [clipped_noise, mad_noise])
def test_estimates_find_the_noise_below_a_source(estimate):
    found = estimate(field(3e-4, 0.0, 0.5, 300))[0]
    assert found == pytest.approx(3e-4, rel=0.03)
    assert field(3e-4, 0.0, 0.5, 300).std() > 50 * found


@pytest.mark.parametrize("estimate", [clipped_noise, mad_noise])
@given(factor=st.floats(1e-6, 1e6), shift=st.floats(-100, 100))
@settings(deadline=None, max_examples=20)
def test_estimates_scale_with_the_image_and_ignore_its_level(estimate, factor, shift):
    image = field(1.0, 0.0, 50.0)
    before = estimate(image)
    np.testing.assert_allclose(estimate(image * factor), before * factor, rtol=1e-9)
    np.testing.assert_allclose(estimate(image + shift), before, rtol=1e-9)


def test_robust_noise_is_that_of_astropy():
    image = field(2.0, 5.0, 40.0)
    # They take the factor to more digits.
    np.testing.assert_allclose(mad_noise(image), mad_std(image[0]), rtol=3e-6)


@pytest.mark.parametrize("estimate", [clipped_noise, mad_noise])
def test_missing_pixels_are_left_out(estimate):
    image = field(side=80)
    gaps = image.copy()
    gaps[0, :20] = np.nan
    gaps[0, 20, :3] = np.inf, -np.inf, np.nan
    flat = gaps[np.isfinite(gaps)].reshape(1, 1, -1)
    np.testing.assert_array_equal(estimate(gaps), estimate(flat))
    assert np.isnan(estimate(np.full((1, 5, 5), np.nan)))[0]


@pytest.mark.parametrize("estimate", [clipped_noise, mad_noise])
def test_types_and_shapes(estimate):
    grey = np.random.default_rng(1).integers(0, 255, (3, 70, 70), dtype=np.uint8)
    found = estimate(grey)
    assert found.shape == (3,)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, estimate(grey.astype(np.float64)), rtol=1e-6)
    assert estimate(grey[:0]).shape == (0,)
    assert estimate(np.full((1, 90, 90), 7.0))[0] == 0


@given(
    hnp.arrays(
        np.float64,
        st.integers(1, 3 * SMALL),
        elements=st.floats(-1e6, 1e6),
        fill=st.floats(-1, 1),
    )
)
@settings(deadline=None)
def test_median_is_that_of_numpy(pixels):
    assert median(pixels) == np.median(pixels)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("count", [SMALL - 1, SMALL, 90_000, 90_001])
def test_median_of_noise_is_that_of_numpy(kind, count):
    pixels = np.random.default_rng(count).normal(size=count).astype(kind)
    for row in (pixels, np.sort(pixels), np.round(pixels), np.where(pixels > 2, np.inf, pixels)):
        assert median(row) == np.median(row)
    pixels[5] = np.nan
    assert np.isnan(median(pixels))
    assert median(np.array([3e38, 3e38, 3e38], dtype=np.float32)) == np.float32(3e38)


def test_rms_clip_does_not_add_the_median():
    image = np.array([[[10.0, 12.0] * 500 + [13.5, 17.9, 20.0]]])
    assert clipped_noise(image)[0] == pytest.approx(1.0, rel=0.01)
    np.testing.assert_array_equal(rms_clip(image), image)  # the median alone is eleven times the noise
    assert np.unique(rms_clip(image - 11)).tolist() == pytest.approx([0.0, 6.9, 9.0])
    assert np.isnan(rms_clip(np.array([[[np.nan, *([1.0, -1.0] * 50)]]]))[0, 0, 0])


def test_noise_clip_adds_the_median():
    image = field(1.0, 100.0, 50.0)
    clipped = noise_clip(image)
    assert 144 <= np.count_nonzero(clipped) < 144 + 0.005 * image.size
    assert np.all(clipped[0, 54:66, 54:66] > 0)


def test_an_error_names_the_image():
    error = ImageError(2, "is odd")
    assert str(error) == "image 2: is odd"
    assert str(error.shifted(10)) == "image 12: is odd"
