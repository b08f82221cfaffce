"""Stretches: ranges, order, limits, and the formulae as astropy writes them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.visualization import AsinhStretch, LogStretch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rgbench.errors import DataError, SpecError
from rgbench.images.noise import clipped_noise, mad_noise
from rgbench.images.stretch import (
    asinh_noise_stretch,
    asinh_stretch,
    grey_levels,
    log_noise_stretch,
    log_stretch,
    power_stretch,
)

UNIT_IMAGES = hnp.arrays(
    st.sampled_from([np.float32, np.float64]), (2, 5, 7), elements=st.floats(0, 1, width=32)
)


def sky(peak=100.0, sigma=1.0, seed=0):
    """Give two images of noise with a source of three pixels, the second ten times as bright in all."""
    image = np.random.default_rng(seed).normal(0, sigma, (1, 60, 60))
    image[0, 30, 29:32] = peak * np.array([0.5, 1.0, 0.5])
    return np.concatenate([image, 10 * image])


@pytest.mark.parametrize("a", [0.02, 0.1, 1.0])
@given(images=UNIT_IMAGES)
def test_asinh_is_that_of_astropy(a, images):
    np.testing.assert_allclose(asinh_stretch(images, a), AsinhStretch(a)(images), atol=1e-6)


@pytest.mark.parametrize("a", [10.0, 255.0, 1000.0])
@given(images=UNIT_IMAGES)
def test_log_is_that_of_astropy(a, images):
    np.testing.assert_allclose(log_stretch(images, a), LogStretch(a)(images), atol=1e-6)


@pytest.mark.parametrize("stretch", [power_stretch, log_stretch, asinh_stretch])
@given(images=UNIT_IMAGES)
def test_unit_stretches_keep_range_order_and_type(stretch, images):
    result = stretch(images)
    assert result.dtype == images.dtype
    assert result.shape == images.shape
    assert result.min() >= 0
    assert result.max() <= 1 + 1e-6
    assert (result >= images - 1e-6).all()  # faint pixels are raised
    order = np.argsort(images, axis=None)
    assert (np.diff(result.ravel()[order]) >= -1e-7).all()


@pytest.mark.parametrize("stretch", [power_stretch, log_stretch, asinh_stretch])
def test_unit_stretches_keep_both_ends(stretch):
    np.testing.assert_allclose(stretch(np.array([[[0.0, 1.0]]])), [[[0.0, 1.0]]])
    assert np.isnan(stretch(np.array([[[np.nan, 1.0]]]))[0, 0, 0])


def test_asinh_is_linear_below_and_logarithmic_above():
    faint = asinh_stretch(np.array([[[1e-4, 2e-4]]]), a=0.1)[0, 0]
    assert faint[1] / faint[0] == pytest.approx(2, rel=1e-4)
    bright = asinh_stretch(np.array([[[1e-3, 1e-2, 1e-1, 1.0]]]), a=1e-5)[0, 0]
    np.testing.assert_allclose(np.diff(bright, 2), 0, atol=1e-4)


@given(st.floats(0.1, 3))
def test_power_is_a_power(exponent):
    images = np.array([[[0.0, 0.25, 0.81, 1.0]]])
    np.testing.assert_allclose(power_stretch(images, exponent), images**exponent)


@pytest.mark.parametrize("stretch", [asinh_noise_stretch, log_noise_stretch])
@pytest.mark.parametrize("noise", ["iterative", "robust"])
def test_noise_stretches_do_not_depend_on_the_unit(stretch, noise):
    result = stretch(sky(), noise=noise)
    np.testing.assert_allclose(result[0], result[1], atol=1e-9)
    np.testing.assert_allclose(result.max(axis=(1, 2)), 1)
    np.testing.assert_allclose(stretch(sky() * 1e-6, noise=noise), result, atol=1e-9)


@pytest.mark.parametrize(("noise", "estimate"), [("iterative", clipped_noise), ("robust", mad_noise)])
def test_noise_stretches_are_what_they_say(noise, estimate):
    image = sky()[:1]
    unit = 2.0 * estimate(image)[0]
    peak = image.max()
    np.testing.assert_allclose(
        asinh_noise_stretch(image, 2.0, noise), np.arcsinh(image / unit) / np.arcsinh(peak / unit)
    )
    positive = np.clip(image, 0, None)
    np.testing.assert_allclose(
        log_noise_stretch(image, 2.0, noise), np.log(1 + positive / unit) / np.log(1 + peak / unit)
    )


def test_noise_is_seen_below_faint_and_bright_sources():
    """Unlike after a division by the peak, after which the noise of a bright source has gone."""
    images = np.concatenate([sky(peak)[:1] for peak in (20.0, 2000.0)])
    faint, bright = mad_noise(asinh_noise_stretch(images))
    assert faint / bright < 3
    faint, bright = mad_noise(images / images.max(axis=(1, 2), keepdims=True))
    assert faint / bright == pytest.approx(100, rel=0.01)


def test_signs_of_the_noise():
    assert asinh_noise_stretch(sky()).min() < 0
    assert log_noise_stretch(sky()).min() == 0
    image = sky()[:1]
    image[0, 0, 0] = np.nan
    assert np.isnan(asinh_noise_stretch(image)[0, 0, 0])
    assert np.isnan(log_noise_stretch(image)[0, 0, 0])


@pytest.mark.parametrize("stretch", [asinh_noise_stretch, log_noise_stretch])
def test_noise_stretches_refuse(stretch):
    empty = sky()
    empty[1] = 0
    empty[1, 0, 0] = 1
    with pytest.raises(DataError, match="image 1: has no noise"):
        stretch(empty)
    with pytest.raises(DataError, match="image 0: has no pixel above 0"):
        stretch(sky() - 1e5)
    with pytest.raises(SpecError, match="softening: 0.0"):
        stretch(sky(), 0.0)
    with pytest.raises(SpecError, match="noise: 'rms' was given; legal are iterative, robust"):
        stretch(sky(), 3.0, "rms")


@given(UNIT_IMAGES)
def test_grey_levels_are_those_of_a_cast(images):
    levels = grey_levels(images)
    np.testing.assert_array_equal(levels, (images * 255).astype(np.uint8))
    assert levels.dtype == images.dtype
