"""Second views: beam, flux, noise, place and clipping against what they must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rgbench.data.catalogue import Card
from rgbench.diagnostics.disturbances import beams_seen, disturb
from rgbench.diagnostics.second_view import BEAMS, CLIPS, DEPTHS, SHIFT, TURN, View, hidden_noise, observe
from rgbench.images.noise import FWHM_TO_SIGMA, unit_noise
from rgbench.store.conditions import Condition

BEAM = 3.0
CARD = Card("toy", "toy", classes=("one", "two"), pixel_scale=1.8, beam=1.8 * BEAM)
SAME = View((0.0, 0.0), 0.0, beam=1.0, depth=1.0, clip=3.0)
VIEW = Condition("view", 1)


def gaussian(fwhm: float, at: tuple[float, float] = (0.0, 0.0), side: int = 101) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.exp(-4 * np.log(2) * ((y - at[0]) ** 2 + (x - at[1]) ** 2) / fwhm**2)


def seen(sky: np.ndarray, view: View, noise: float = 0.0) -> np.ndarray:
    return observe(sky, noise, view, np.random.default_rng(2), BEAM)


def moments(image: np.ndarray) -> tuple[float, float, float]:
    """Give the place of an image's centroid about the middle, and its FWHM from the second moment of the rows."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] - (image.shape[0] - 1) / 2
    total = image.sum()
    down, right = (y * image).sum() / total, (x * image).sum() / total
    return down, right, np.sqrt(((y - down) ** 2 * image).sum() / total) / FWHM_TO_SIGMA


@pytest.mark.parametrize("factor", [1.0, 1.25, 1.5])
def test_a_point_source_is_as_wide_as_the_new_beam_and_as_bright(factor):
    found = seen(gaussian(BEAM), replace(SAME, beam=factor))
    assert moments(found)[2] == pytest.approx(factor * BEAM, rel=0.01)
    assert found.max() == pytest.approx(1.0, rel=0.01)
    # Flux density: the sum of the pixels over the area of the beam.
    assert found.sum() / factor**2 == pytest.approx(gaussian(BEAM).sum(), rel=1e-6)


@pytest.mark.parametrize(("shift", "turn"), [((1.3, -0.4), 0.0), ((0.0, 0.0), 5.0), ((-0.7, 0.9), -4.0)])
def test_a_source_goes_where_the_view_says(shift, turn):
    """A point off the middle turns about it, then moves, and keeps its flux and width."""
    angle, start = np.deg2rad(turn), np.array([10.0, 20.0])
    found = seen(gaussian(BEAM, tuple(start)), replace(SAME, shift=shift, turn=turn))
    turned = [
        start[0] * np.cos(angle) + start[1] * np.sin(angle),
        start[1] * np.cos(angle) - start[0] * np.sin(angle),
    ]
    down, right, width = moments(found)
    np.testing.assert_allclose([down, right], np.add(turned, shift), atol=0.02)
    assert width == pytest.approx(BEAM, rel=0.01)
    assert found.sum() == pytest.approx(gaussian(BEAM).sum(), rel=1e-3)


@pytest.mark.parametrize("depth", [0.5, 0.8])
def test_noise_has_the_level_and_the_width_that_the_view_says(depth):
    sky = 2.0 * unit_noise(np.random.default_rng(5), (256, 256), BEAM)
    found = seen(sky, replace(SAME, beam=1.2, depth=depth), 2.0)
    assert found.std() == pytest.approx(max(2.0 / depth, 2.0 * 1.2), rel=0.06)
    # Neighbours are correlated as white noise seen with the new beam.
    near = (found[:, 1:] * found[:, :-1]).mean() / found.var()
    assert near == pytest.approx(np.exp(-2 * np.log(2) / (1.2 * BEAM) ** 2), abs=0.02)


def test_draws_lie_within_their_bounds_and_fill_them():
    views = [View.draw(np.random.default_rng(i)) for i in range(400)]
    shifts, turns = np.array([view.shift for view in views]), np.array([view.turn for view in views])
    assert np.abs(shifts).max() == pytest.approx(SHIFT, abs=0.05)
    assert np.abs(turns).max() == pytest.approx(TURN, abs=0.1)
    assert np.abs(shifts.mean(axis=0)).max() < 0.15
    for name, (low, high) in (("beam", BEAMS), ("depth", DEPTHS), ("clip", CLIPS)):
        values = np.array([getattr(view, name) for view in views])
        assert (values.min(), values.max()) == pytest.approx((low, high), abs=0.02)


def clipped(noise: float, subtracted: bool = True, seed: int = 3) -> np.ndarray:
    """An image of 8 bits as data sets have them: a source of 200 grey levels, clipped at 3 times the noise."""
    sky = 200 * gaussian(12.0, side=300) + noise * unit_noise(np.random.default_rng(seed), (300, 300), BEAM)
    kept = np.clip(sky - 3 * noise, 0, None) if subtracted else np.where(sky > 3 * noise, sky, 0)
    return np.floor(255 * kept / kept.max()).astype(np.uint8)


@pytest.mark.parametrize("noise", [2.0, 5.0, 10.0])
def test_hidden_noise_is_found_again(noise):
    images = [clipped(noise, seed=seed).astype(float) for seed in range(6)]
    found = [hidden_noise(image) for image in images]
    grey = noise * 255 / (200 - 3 * noise)
    # Few peaks and coarse grey levels: about a third is what a single image tells.
    assert np.median([each[0] for each in found]) == pytest.approx(grey, rel=0.35)
    assert {each[1] for each in found} == {True}


def test_a_level_that_was_not_subtracted_tells_the_noise():
    found, subtracted = hidden_noise(clipped(5.0, subtracted=False).astype(float))
    assert not subtracted
    assert found == pytest.approx(5.0 * 255 / 200, rel=0.15)


@pytest.mark.parametrize("subtracted", [True, False])
def test_a_clipped_image_is_clipped_again_as_it_was(subtracted):
    image = clipped(5.0, subtracted)[None]
    again = disturb(image, ["a"], VIEW, CARD)[0]
    assert set(np.unique(again)) <= set(map(float, range(256)))
    assert again.max() == 255
    assert np.median(again) == 0
    assert np.mean(again > 0) < 0.05
    lowest = again[again > 0].min()
    assert lowest == 1 if subtracted else lowest > 8
    # The source is where it was, within the shift and its noise.
    weight = np.where(again > 100, again, 0)
    assert np.abs(moments(weight)[:2]).max() < SHIFT + 1


def test_an_image_with_visible_noise_is_not_clipped():
    sky = 0.001 * unit_noise(np.random.default_rng(4), (128, 128), BEAM)[None].astype(np.float32)
    sky[0] += 0.1 * gaussian(BEAM, side=128).astype(np.float32)
    again = disturb(sky, ["a"], VIEW, CARD)[0]
    assert again.dtype == np.float32
    assert np.mean(again < 0) == pytest.approx(0.5, abs=0.1)
    assert again.max() == pytest.approx(0.1, rel=0.15)


def test_a_view_depends_on_the_source_and_the_draw_alone():
    images = np.stack([clipped(5.0, seed=seed)[100:200, 100:200] for seed in range(3)])
    whole = disturb(images, ["a", "b", "c"], VIEW, CARD)
    np.testing.assert_array_equal(disturb(images[1:2], ["b"], VIEW, CARD)[0], whole[1])
    assert (disturb(images, ["a", "b", "c"], Condition("view", 2), CARD) != whole).any()


def test_the_beam_that_is_told_is_the_one_in_the_image():
    """A bright point above faint noise, seen again: its width is what a header would say."""
    names = [f"source {i}" for i in range(6)]
    sky = np.stack(
        [1000 * gaussian(BEAM) + unit_noise(np.random.default_rng(i), (101, 101), BEAM) for i in range(6)]
    )
    found = disturb(sky, names, VIEW, CARD)
    middles = [image[30:71, 30:71] * (image[30:71, 30:71] > 0.03 * image.max()) for image in found]
    cut = moments(gaussian(BEAM)[30:71, 30:71] * (gaussian(BEAM)[30:71, 30:71] > 0.03))[2]
    widths = np.array([moments(image)[2] for image in middles]) / cut
    told = beams_seen(names, VIEW, CARD)
    assert told.std() > 0.1
    np.testing.assert_allclose(widths, told, rtol=0.05)
    assert beams_seen(names, Condition("noise", 1.0), CARD).tolist() == [1.0] * 6
    assert beams_seen(["a"], Condition("survey", survey="nvss-simulated"), CARD)[0] == pytest.approx(45 / 5.4)


def test_what_shows_nothing_stays_and_nan_move():
    empty = np.zeros((2, 20, 20))
    empty[1] = np.nan
    np.testing.assert_array_equal(disturb(empty, ["a", "b"], VIEW, CARD), empty)
    sky = np.random.default_rng(1).normal(size=(1, 60, 60))
    sky[0, 20:26, 30:36] = np.nan
    assert np.isnan(disturb(sky, ["a"], VIEW, CARD)).sum() == pytest.approx(36, abs=12)
