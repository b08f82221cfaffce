import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rgbench.errors import DataError, SpecError
from rgbench.images.preprocess import (
    CHUNK,
    STEPS,
    Preset,
    asinh_stretch,
    bin_thresh_2021,
    block_mean,
    central_crop,
    log_stretch,
    minmax,
    noise_clip,
    preprocess,
    preprocess_batch,
    presets,
    replace_nan,
    sigma_clip_2021,
    usable,
)


def cutouts(n, shape=(40, 40), seed=0, nan=0.05):
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 1e-4, (n, *shape)).astype(np.float32)
    images[:, shape[0] // 2 - 2 : shape[0] // 2 + 2, 10:14] += 0.01
    images[rng.random(images.shape) < nan] = np.nan
    return images


def original(image, bin_thresh=False):
    """The 2021 protocol written for one image, as NumPy does it on the float32 array of a FITS file."""
    image = np.where(np.isnan(image), np.float32(0), image)
    image = (image - image.min()) / (image.max() - image.min())
    if bin_thresh:
        return np.where(image > 0.8 * image.max(), np.float32(1), image)
    level = np.mean(image) + 3 * np.std(image)
    return np.where(image > level, image, np.float32(0))


@pytest.mark.parametrize("shape", [(40, 40), (33, 57), (300, 300)])
def test_becker2021_equals_a_per_image_reference_to_the_bit(shape):
    images = cutouts(6, shape)
    expected = np.stack([original(image) for image in images])
    assert expected.any()
    np.testing.assert_array_equal(preprocess_batch(images, "becker2021"), expected)
    np.testing.assert_array_equal(preprocess(images[2]), expected[2])


def test_bin_thresh_is_neither_binary_nor_clipped():
    images = cutouts(3)
    result = preprocess_batch(images, "becker2021-bin-thresh")
    np.testing.assert_array_equal(result, np.stack([original(image, bin_thresh=True) for image in images]))
    assert ((result > 0) & (result < 1)).any()


def test_clip_is_strict_and_keeps_the_peak():
    image = np.zeros((1, 10, 10), np.float64)
    image[0, 0, 0] = 1.0
    level = 0.01 + 3 * np.sqrt(0.01 * 0.99)
    assert 0 < level < 1
    np.testing.assert_array_equal(sigma_clip_2021(image), image)
    two_values = np.tile([0.0, 1.0], (1, 10, 5))
    assert not sigma_clip_2021(two_values).any()


def test_nan_becomes_zero_flux_before_the_min_max():
    image = np.array([[np.nan, -1.0], [1.0, 3.0]], np.float32)
    np.testing.assert_allclose(preprocess(image, "minmax"), [[0.25, 0.0], [0.5, 1.0]])


def test_byte_order_and_type_do_not_matter():
    image = cutouts(1, nan=0)[0]
    np.testing.assert_array_equal(preprocess(image.astype(">f4")), preprocess(image))
    grey = np.arange(100, dtype=np.uint8).reshape(10, 10)
    np.testing.assert_array_equal(preprocess(grey, "minmax"), preprocess(grey.astype(np.float32), "minmax"))
    assert preprocess(grey.astype(np.float64)).dtype == np.float32


def test_chunks_do_not_matter():
    images = cutouts(CHUNK + 3, (8, 20))
    result = preprocess_batch(images)
    assert result.shape == images.shape
    np.testing.assert_array_equal(result[CHUNK:], preprocess_batch(images[CHUNK:]))


def test_no_images_give_no_images():
    for preset in presets().names():
        assert preprocess_batch(np.zeros((0, 8, 8), np.float32), preset).shape == (0, 8, 8)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (np.full((8, 8), np.nan, np.float32), "all pixels are NaN"),
        (np.full((8, 8), 3.0, np.float32), "all pixels are equal"),
        (np.full((8, 8), np.inf, np.float32), "infinite pixels"),
    ],
)
def test_bad_images_are_named(bad, reason):
    images = np.stack([*cutouts(CHUNK + 1, (8, 16), nan=0)[:, :, 8:], bad])
    with pytest.raises(DataError, match=rf"image {CHUNK + 1}: .*{reason}"):
        preprocess_batch(images)
    with pytest.raises(DataError, match=reason):
        preprocess(bad)
    assert reason in usable(bad)


def test_an_image_that_a_step_makes_constant_is_named():
    images = cutouts(CHUNK + 2, (20, 20), nan=0)
    images[-1] = -1.0
    images[-1, 0, 0] = 0.0
    with pytest.raises(DataError, match=f"image {CHUNK + 1}: all pixels are equal"):
        preprocess_batch(images, "modern")


def test_a_constant_image_with_gaps_is_usable():
    image = np.full((4, 4), 2.0, np.float32)
    image[0, 0] = np.nan
    assert usable(image) is None
    assert preprocess(image, "minmax")[0, 0] == 0
    image[image == 2] = 0
    assert usable(image) == "all pixels are equal"


def test_axes_are_checked():
    with pytest.raises(DataError, match=r"3 axes .*2 are needed"):
        preprocess(np.zeros((1, 4, 4)))
    with pytest.raises(DataError, match=r"2 axes .*\(n, h, w\)"):
        preprocess_batch(np.zeros((4, 4)))
    with pytest.raises(DataError, match="type complex128"):
        preprocess(np.zeros((4, 4), complex))
    with pytest.raises(DataError, match="no pixels"):
        preprocess(np.zeros((0, 4)))


def test_size_averages_after_the_preset():
    image = cutouts(1)[0]
    np.testing.assert_allclose(
        preprocess(image, "minmax", size=20), block_mean(preprocess(image, "minmax"), 2), atol=1e-7
    )
    with pytest.raises(DataError, match="size: 15"):
        preprocess(image, size=15)


def test_unknown_names_are_answered_with_the_legal_ones():
    with pytest.raises(SpecError, match=r"'becker'.*becker2021"):
        preprocess(np.eye(4), "becker")
    with pytest.raises(SpecError, match=r"'minimax'.*minmax"):
        Preset("mine", (("minimax", {}),))


def test_own_preset():
    mine = Preset("mine", (("minmax", {}), ("central_crop", {"size": 8}), ("block_mean", {"factor": 4})))
    assert preprocess_batch(cutouts(2, nan=0), mine).shape == (2, 2, 2)


def test_every_preset_uses_known_steps_and_gives_finite_float32():
    for name, preset in presets():
        assert preset.name == name
        assert {step for step, _ in preset.steps} <= set(STEPS)
        result = preprocess_batch(cutouts(2), name)
        assert result.dtype == np.float32
        assert np.isfinite(result).all()


def test_noise_clip_removes_the_noise_and_leaves_clipped_images_alone():
    images = cutouts(4, nan=0)
    clipped = noise_clip(images)
    assert np.count_nonzero(clipped) < 0.03 * clipped.size
    assert (clipped[:, 18:22, 10:14] == images[:, 18:22, 10:14]).all()
    before = np.where(images > 1e-3, images, np.float32(0))
    np.testing.assert_array_equal(noise_clip(before), before)


images_of_any_shape = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=12),
    elements=st.floats(0, 1, width=32),
)


@settings(max_examples=40, deadline=None)
@given(images_of_any_shape)
def test_steps_keep_shape_type_and_range(images):
    for step in (replace_nan, sigma_clip_2021, bin_thresh_2021, log_stretch, asinh_stretch, noise_clip):
        result = step(images)
        assert result.shape == images.shape, step
        assert result.dtype == np.float32, step
        assert result.min() >= 0
        assert result.max() <= 1 + 1e-6


@settings(max_examples=40, deadline=None)
@given(images_of_any_shape)
def test_minmax_spans_0_to_1_or_refuses(images):
    flat = images.reshape(len(images), -1)
    if (np.ptp(flat, axis=1) == 0).any():
        with warnings.catch_warnings(), pytest.raises(DataError, match="all pixels are equal"):
            minmax(images)
    else:
        result = minmax(images)
        assert (result.min(axis=(1, 2)) == 0).all()
        assert (result.max(axis=(1, 2)) == 1).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
def test_block_mean_keeps_the_mean(rows, columns, factor):
    images = np.random.default_rng(0).random((2, rows * factor, columns * factor))
    small = block_mean(images, factor)
    assert small.shape == (2, rows, columns)
    np.testing.assert_allclose(small.mean(axis=(1, 2)), images.mean(axis=(1, 2)))


def test_block_mean_refuses_what_does_not_divide():
    with pytest.raises(DataError, match="3 does not divide 4 x 6"):
        block_mean(np.zeros((1, 4, 6)), 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12))
def test_central_crop_is_central_and_never_larger(rows, columns, size):
    image = np.arange(rows * columns).reshape(1, rows, columns)
    field = central_crop(image, size)
    assert field.shape == (1, min(rows, size), min(columns, size))
    top, left = np.argwhere(image[0] == field[0, 0, 0])[0]
    assert top == (rows - field.shape[1]) // 2
    assert left == (columns - field.shape[2]) // 2


def test_central_crop_needs_a_pixel():
    with pytest.raises(SpecError, match="size: 0"):
        central_crop(np.zeros((1, 4, 4)), 0)
