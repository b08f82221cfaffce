"""The principal axis of sources, and rotation to it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops
from skimage.transform import rotate as skimage_rotate

from rgbench.errors import SpecError
from rgbench.images.align import align_principal_axis, principal_angles, rotate
from rgbench.images.fits import read_fits
from rgbench.images.segment import Segmentation, source_mask

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")


def sky(angle=0.0, long=24.0, short=8.0, peak=200.0, centre=(0.0, 0.0), side=121, seed=0):
    """Give one image of an elliptical Gaussian on noise of 1; widths in pixels, angle from columns to rows."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    y, x = y - centre[0], x - centre[1]
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along, across = x * cosine + y * sine, y * cosine - x * sine
    image = peak * np.exp(-4 * np.log(2) * ((along / long) ** 2 + (across / short) ** 2))
    return (image + np.random.default_rng(seed).normal(size=image.shape))[None]


def double(angle, separation=32.0, side=121):
    """Give one image of two lobes on noise."""
    offset = separation / 2 * np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    parts = [sky(0, 8, 8, 100, sign * offset, side, seed) for seed, sign in enumerate((1, -1))]
    return (parts[0] + parts[1]) / np.sqrt(2)


def apart(first, second):
    """Smallest angle between two axes in degrees."""
    return np.abs((np.asarray(first) - second + 90) % 180 - 90)


@given(
    st.floats(-180, 180),
    st.floats(14, 40),
    st.tuples(st.floats(-15, 15), st.floats(-15, 15)),
    st.integers(0, 9),
)
@settings(deadline=None, max_examples=60)
def test_the_angle_of_an_elongated_source_is_found(angle, long, centre, seed):
    image = sky(angle, long, 8.0, 200.0, centre, seed=seed)
    found = principal_angles(image)[0]
    assert -90 < found <= 90
    assert apart(found, angle) < 2


@given(st.floats(0, 180))
@settings(deadline=None, max_examples=30)
def test_a_double_is_found_over_its_gap(angle):
    assert apart(principal_angles(double(angle))[0], angle) < 2


@given(st.floats(0, 180))
@settings(deadline=None, max_examples=30)
def test_an_aligned_source_lies_along_the_rows(angle):
    aligned = align_principal_axis(sky(angle))
    assert apart(principal_angles(aligned)[0], 0) < 1
    expected = sky(0.0)
    strong = expected > 30
    np.testing.assert_allclose(aligned[strong], expected[strong], atol=25)


@pytest.mark.parametrize("peak", [100, 1e3, 1e5])
@pytest.mark.parametrize("width", [4, 10, 25])
def test_a_round_source_is_left_as_it_is(peak, width):
    images = np.concatenate([sky(0, width, width, peak, (3.3, -2.1), seed=seed) for seed in range(5)])
    assert np.isnan(principal_angles(images)).all()
    np.testing.assert_array_equal(align_principal_axis(images), images)


def test_what_counts_as_round_can_be_set():
    image = sky(30.0, 12.0, 10.0, 1e5)
    assert np.isnan(principal_angles(image, elongation=1.3)[0])
    assert apart(principal_angles(image, elongation=1.1)[0], 30) < 1
    with pytest.raises(SpecError, match=r"elongation: 0\.5 was given; legal is 1 or more"):
        principal_angles(image, elongation=0.5)


def test_without_a_source_nothing_is_turned():
    images = np.concatenate([np.random.default_rng(1).normal(size=(1, 60, 60)), np.zeros((1, 60, 60))])
    assert np.isnan(principal_angles(images)).all()
    np.testing.assert_array_equal(align_principal_axis(images), images)
    assert align_principal_axis(images[:0]).shape == (0, 60, 60)


def test_a_neighbour_does_not_turn_the_image():
    alone = sky(20.0)
    both = alone + sky(0, 6, 6, 500, (50, 45)) - np.random.default_rng(0).normal(size=(121, 121))
    assert apart(principal_angles(both)[0], principal_angles(alone)[0]) < 0.5


def test_the_angle_is_that_of_scikit_image():
    for angle in range(-80, 91, 17):
        image = sky(angle)
        noise = Segmentation().estimate_noise(image)[0]
        mask = source_mask(image[0], noise, Segmentation())
        region = regionprops(mask.astype(int), image[0])[0]
        xx, xy, yy = (region.moments_weighted_central[i] for i in ((0, 2), (1, 1), (2, 0)))
        assert apart(principal_angles(image)[0], np.degrees(np.arctan2(2 * xy, xx - yy)) / 2) < 1e-6
        # Theirs is counted from the rows, and of the mask alone.
        assert apart(np.degrees(np.pi / 2 - region.orientation), angle) < 3


@pytest.mark.parametrize("angle", [0.0, 17.0, 45.0, 90.0, -60.0])
def test_rotation_is_that_of_scikit_image(angle):
    image = sky(10.0)
    # Theirs turns the other way about, as images are shown with row 0 on top.
    expected = skimage_rotate(image[0], angle, order=1, preserve_range=True)
    inside = np.hypot(*(np.indices(expected.shape) - 60)) < 58
    np.testing.assert_allclose(rotate(image, np.array([angle]))[0][inside], expected[inside], atol=1e-6)


def test_quarter_turns_are_exact():
    image = np.arange(49.0).reshape(1, 7, 7)
    np.testing.assert_allclose(rotate(image, np.array([90.0]))[0], np.rot90(image[0], 1), atol=1e-9)
    np.testing.assert_allclose(rotate(image, np.array([180.0]))[0], image[0, ::-1, ::-1], atol=1e-9)
    np.testing.assert_array_equal(rotate(image, np.array([np.nan])), image)


def test_missing_pixels_become_zero_flux_and_nothing_is_changed_in_place():
    image = sky(30.0)
    image[0, :3] = np.nan
    before = image.copy()
    aligned = align_principal_axis(image.astype(np.float32))
    assert np.isfinite(aligned).all()
    assert aligned.dtype == np.float32
    np.testing.assert_array_equal(image, before)
    assert apart(principal_angles(image)[0], 30) < 2


@needs_mirror
def test_real_sources_lie_along_the_rows_after_it():
    paths = sorted((MIRROR / "MiraBest_FITS").glob("2*.fits.gz"))[::3]
    images = np.stack([read_fits(path).pixels for path in paths])
    angles = principal_angles(images)
    assert np.isfinite(angles).mean() > 0.9
    after = principal_angles(align_principal_axis(images))
    turned = np.isfinite(angles) & np.isfinite(after)
    assert np.median(apart(after[turned], 0)) < 1
    assert np.median(apart(angles[turned], 0)) > 20
