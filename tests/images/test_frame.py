"""The standard frame and training views: against SciPy, and against what a shift, a turn or a gain must not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from rgbench.images.frame import centre_of_flux, into_frame, into_turned_frame
from rgbench.images.noise import FWHM_TO_SIGMA, subtract_clip
from rgbench.images.preprocess import preprocess_batch
from rgbench.images.reobserve import CLIP, Views, blur, reobserve, to_common_beam


def double(side: int = 128, at: tuple[float, float] = (0.0, 0.0), gap: float = 20.0) -> np.ndarray:
    """Two unequal lobes, a beam of 3 pixels, about a place off the middle (rows, columns)."""
    y, x = np.indices((side, side)) - (side - 1) / 2
    sigma = 3 * FWHM_TO_SIGMA
    image = np.zeros((side, side))
    for flux, off in ((1.0, -gap / 2), (0.6, gap / 2)):
        image += flux * np.exp(-0.5 * ((y - at[0]) ** 2 + (x - at[1] - off) ** 2) / sigma**2)
    return np.maximum(image - 0.02, 0).astype(np.float32)


def stack(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images).astype(np.float32))[:, None]


@given(rows=st.integers(-12, 12), columns=st.integers(-12, 12))
@settings(max_examples=25, deadline=None)
def test_a_shift_by_whole_pixels_changes_nothing(rows, columns):
    there, moved = double(), double(at=(rows, columns))
    framed = into_frame(stack(there, moved), 96)
    # The window follows the source to within a pixel of where it was found before.
    off = (centre_of_flux(stack(moved), 16) - centre_of_flux(stack(there), 16))[0]
    assert np.abs(off.numpy() - [columns, rows]).max() < 1
    shifts = [torch.roll(framed[1], (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert min(float((framed[0] - each).abs().max()) for each in shifts) < 1e-4


def test_gain_and_grey_levels_change_nothing_but_rounding():
    image = double()
    bytes_ = np.round(255 * image / image.max()).astype(np.uint8)
    one, other, third = into_frame(stack(image, 1e-4 * image, bytes_), 96)
    assert torch.allclose(one, other, atol=1e-5)
    assert float((one**2 - third**2).abs().max()) < 1 / 255


def bent(angle: float = 0.0) -> np.ndarray:
    """Three unequal lobes in the shape of a tick, turned about the middle by an angle in degrees."""
    y, x = np.indices((128, 128)) - 63.5
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    u, v = x * cos + y * sin, y * cos - x * sin
    lobes = ((1.0, -16, -3), (0.7, 2, -6), (0.5, 22, 9))
    image = sum(flux * np.exp(-((u - a) ** 2 + (v - b) ** 2) / 9) for flux, a, b in lobes)
    return np.maximum(image - 0.02, 0)


def test_the_turned_frame_is_one_for_all_ways_in_which_a_source_can_lie():
    image = bent()
    exact = [np.rot90(each, n) for each in (image, image[::-1]) for n in range(4)]
    framed = into_turned_frame(stack(*exact), 96)
    assert float((framed - framed[:1]).abs().max()) < 1e-3
    between = into_turned_frame(stack(*(bent(angle) for angle in (33, 160, 201, 290))), 96)
    # Interpolated anew: the flux, of which the frame holds the root.
    assert float((between**2 - framed[:1] ** 2).abs().max()) < 0.1
    assert all(
        float((between**2 - each**2).abs().max()) > 0.5 for each in (framed[:1].flip(2), framed[:1].flip(3))
    )


def test_sources_of_any_shape_are_shown_alike_however_they_lie():
    """All but those that are symmetric to a hundred-thousandth: there rounding decides, and shows nearly the same."""
    chance = np.random.default_rng(4)
    y, x = np.indices((120, 120)) - 59.5
    images = np.zeros((60, 120, 120))
    for image in images:
        for _ in range(chance.integers(3, 6)):  # two are symmetric
            (across, down), peak = chance.uniform(-24, 24, 2), chance.uniform(0.2, 1)
            image += peak * np.exp(-((x - across) ** 2 + (y - down) ** 2) / 9)
    images = np.maximum(images - 0.02, 0)
    framed = into_turned_frame(stack(*images), 100)
    for other in (images[:, ::-1], images[:, :, ::-1], np.rot90(images, 1, (1, 2))):
        off = (into_turned_frame(stack(*other), 100) - framed).abs().amax(dim=(1, 2, 3))
        assert (off > 0.05).sum() <= 1


def test_the_tails_lie_right_and_up():
    framed = into_turned_frame(stack(bent(140)), 96)[0, 0].numpy() ** 2
    place = np.arange(96) - 47.5
    share = framed / framed.sum()
    for along in (share.sum(axis=0), share.sum(axis=1)):
        middle = (along * place).sum()
        assert (along * (place - middle) ** 3).sum() > 0


def test_in_training_no_end_is_chosen():
    image, nothing = stack(bent(), bent()[:, ::-1]), torch.zeros(2)
    framed = into_turned_frame(image, 96, nothing)
    assert torch.allclose(framed[0], framed[1].flip(2), atol=1e-3)
    assert not torch.allclose(framed[0], framed[1], atol=0.1)


def test_a_quarter_turn_turns_the_frame():
    image = stack(double())
    framed, turned = into_frame(image, 96), into_frame(torch.rot90(image, 1, (2, 3)), 96)
    back = torch.rot90(turned, -1, (2, 3))
    near = [torch.roll(back, (i, j), (2, 3)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert min(float((framed - each).abs().max()) for each in near) < 1e-5


def test_nothing_stands_outside_the_disc_and_an_empty_image_stays_empty():
    framed = into_frame(torch.rand(2, 1, 128, 128), 96)
    y, x = np.indices((96, 96)) - 47.5
    assert float(framed[:, 0][:, torch.from_numpy(x**2 + y**2 > 48**2)].abs().max()) == 0
    assert float(into_frame(torch.zeros(1, 1, 128, 128), 96).abs().max()) == 0


def test_an_image_no_larger_than_the_field_stays_where_it_is():
    image = stack(double(96, at=(5, 0)))
    framed = into_frame(image, 96)[0, 0]
    assert np.unravel_index(int(framed.argmax()), (96, 96)) == np.unravel_index(int(image.argmax()), (96, 96))


def test_blur_is_scipy_s():
    images = np.random.default_rng(1).random((3, 64, 64)).astype(np.float32)
    sigma = [0.0, 1.2, 3.0]
    ours = blur(stack(*images), torch.tensor(sigma))[:, 0].numpy()
    for image, s, found in zip(images, sigma, ours, strict=True):
        np.testing.assert_allclose(found, gaussian_filter(image, s, mode="wrap", truncate=8), atol=2e-4)


def test_a_view_has_the_beam_and_the_clipping_that_were_drawn():
    point = np.zeros((128, 128), np.float32)
    y, x = np.indices(point.shape) - 64
    point[:] = np.exp(-0.5 * (x**2 + y**2) / (3 * FWHM_TO_SIGMA) ** 2)
    images = stack(*[point] * 200)
    wide = reobserve(images, Views(beam=2.0, noise=1e-9), torch.Generator().manual_seed(1))[:, 0].numpy()
    # The sum of a Gaussian with a peak of 1 is 2 pi sigma^2.
    width = np.sqrt(wide.sum(axis=(1, 2)) / (2 * np.pi)) / FWHM_TO_SIGMA
    assert width.min() == pytest.approx(3, abs=0.1)
    assert width.max() == pytest.approx(6, abs=0.3)
    noisy = reobserve(images, Views(beam=1.0, noise=0.05), torch.Generator().manual_seed(1))[:, 0].numpy()
    specks = (noisy[:, :30] > 1e-4).mean(axis=(1, 2))
    # Of Gaussian noise 2.3 % lie above 2 sigma and 0.003 % above 4: the levels are CLIP +- 1.
    assert CLIP == 3
    assert 0.002 < specks.max() < 0.035
    assert (specks == 0).mean() > 0.3
    assert noisy.min() == 0
    assert noisy.max() == 1


def test_a_view_without_noise_or_without_a_wider_beam_is_one_too():
    images = stack(double())
    for how in (Views(beam=1.5, noise=0.0), Views(beam=1.0, noise=0.02), Views(beam=1.0, noise=0.0)):
        seen = reobserve(images, how, torch.Generator().manual_seed(1))
        assert torch.isfinite(seen).all()
    assert torch.allclose(seen, images / images.max(), atol=1 / 255)


def test_views_follow_from_the_generator():
    images = stack(double(), double(gap=8))
    one, again = (reobserve(images, Views(), torch.Generator().manual_seed(3)) for _ in range(2))
    other = reobserve(images, Views(), torch.Generator().manual_seed(4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_clip_level_is_measured_on_observed_pixels_alone():
    rng = np.random.default_rng(1)
    sky = rng.normal(0, 1e-4, (300, 300)).astype(np.float32)
    sky[148:152, 148:152] += 0.01
    blanked = sky.copy()
    blanked[:, :200] = np.where(np.arange(200) < 120, np.nan, blanked[:, :200])
    whole, part = subtract_clip(sky[None])[0], subtract_clip(blanked[None])[0]
    assert np.isfinite(part).all()
    assert part[:, :120].max() == 0
    # The noise of half an image is that of the whole, to the error of its estimate.
    assert whole[150, 150] == pytest.approx(part[150, 150], rel=1e-3)
    assert whole[150, 150] == pytest.approx(sky[150, 150] - 3e-4, rel=2e-3)


def test_noise_without_a_source_comes_through_without_an_error():
    ready = preprocess_batch(np.full((1, 20, 20), 1.0, np.float32) + np.eye(20, dtype=np.float32) * -1, "sky")
    assert ready.min() >= 0
    assert np.isfinite(ready).all()


@pytest.mark.parametrize("subtracted", [True, False])
def test_eight_bits_and_fits_of_one_source_enter_alike(subtracted):
    """An image with noise, and the same clipped at 3 sigma, with the level subtracted or not, in 8 bits."""
    rng = np.random.default_rng(2)
    noisy = 0.01 * double(300) + rng.normal(0, 1e-4, (300, 300))
    clipped = np.maximum(noisy - 3e-4, 0) if subtracted else np.where(noisy > 3e-4, noisy, 0)
    grey = np.round(255 * clipped / clipped.max()).astype(np.uint8)
    one, other = (preprocess_batch(image[None], "sky")[0] for image in (noisy.astype(np.float32), grey))
    assert np.abs(one - other).max() < 0.01


def test_one_source_through_two_known_beams_enters_alike():
    """What SciPy blurs to 1.4 times the beam meets the image as it is at the common beam of 1.5."""
    image = double()
    wider = gaussian_filter(image.astype(float), 3 * FWHM_TO_SIGMA * np.sqrt(1.4**2 - 1)).astype(np.float32)
    both = to_common_beam(np.stack([image, wider]), 1.5, np.array([1.0, 1.4]))
    by_scipy = gaussian_filter(image.astype(float), 3 * FWHM_TO_SIGMA * np.sqrt(1.5**2 - 1))
    np.testing.assert_allclose(both[0], by_scipy, atol=1e-4 * by_scipy.max())
    np.testing.assert_allclose(both[1], by_scipy, atol=1e-4 * by_scipy.max())
    untold = to_common_beam(wider[None], 1.5, np.ones(1))[0]
    assert np.abs(untold - by_scipy).max() > 0.1 * by_scipy.max()


def test_what_leaves_the_image_does_not_come_in_on_the_other_side():
    image = np.zeros((1, 41, 41), dtype=np.float32)
    image[0, 20, 40] = 1
    found = to_common_beam(image, 2.0, np.ones(1))[0]
    assert found[20, :20].max() < 1e-6
    assert found[20, 40] > 0.02


def test_a_wider_beam_than_the_common_one_stays():
    image = double()[None]
    for beam in (1.8, np.nan):  # an unknown one too
        np.testing.assert_array_equal(to_common_beam(image, 1.5, np.array([beam])), image)


def test_arrays_of_any_make_are_brought_to_the_common_beam():
    image = np.stack([double(), double(at=(3, 4))])
    expected, beams = to_common_beam(image, 1.5, np.ones(2)), np.ones(2)
    fixed = image.copy()
    fixed.flags.writeable = False
    for other in (image.astype(np.float64), image.astype(">f4"), fixed, image[:, ::-1].copy()[:, ::-1]):
        np.testing.assert_allclose(to_common_beam(other, 1.5, beams), expected, atol=1e-6)
    assert to_common_beam(image[:0], 1.5, beams[:0]).shape == (0, 128, 128)
