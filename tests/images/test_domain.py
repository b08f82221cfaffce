"""Images outside a classifier's domain: mended where that is honest, flagged where it is not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rgbench.errors import SpecError
from rgbench.images.domain import Domain, Oddity, beam_after, bring, look, words
from rgbench.images.fits import NO_BEAM, Beam, read_fits
from rgbench.images.geometry import central_crop, resample
from rgbench.simulate import FIRST, SimulationSpec, Survey, simulate
from rgbench.simulate.sky import make_noise

MIRROR = os.environ.get("RGBENCH_MIRROR", "")
needs_mirror = pytest.mark.skipif(not MIRROR, reason="needs the public files in $RGBENCH_MIRROR")
FIRST_DOMAIN = Domain(pixel_scale=1.8, beam=5.4, largest_size=120.0, least_signal_to_noise=7.0)
FIELD = 96


def gaussian(side: int, scale: float, beam: Beam) -> np.ndarray:
    """A point source of 1 Jy in the middle, Jy/beam, north up, east left."""
    north = (np.arange(side)[:, None] - (side - 1) / 2) * scale
    east = -(np.arange(side) - (side - 1) / 2) * scale
    angle = np.deg2rad(beam.angle)
    along = north * np.cos(angle) + east * np.sin(angle)
    across = -north * np.sin(angle) + east * np.cos(angle)
    return np.exp(-4 * np.log(2) * ((along / beam.major) ** 2 + (across / beam.minor) ** 2)).astype(
        np.float32
    )


def noise(seed: int, side: int = 300) -> np.ndarray:
    return make_noise(0.14, Survey(side=side), np.random.default_rng(seed)).astype(np.float32)


def flags(image: np.ndarray, domain: Domain = FIRST_DOMAIN, field: int = FIELD) -> set[str]:
    return set(filter(None, words(look(image, field, domain).oddities).split("|")))


# --- what is there ----------------------------------------------------------------------------------------


def test_noise_alone_is_no_detection():
    found = [flags(noise(seed)) for seed in range(40)]
    assert sum(each == {"no-detection"} for each in found) >= 39


def test_simulated_sources_are_detected_and_mostly_without_flags():
    sky = simulate(SimulationSpec(n=24, seed=3, survey=FIRST, neighbours=False))
    found = [flags(image) for image in sky.images]
    assert not any("no-detection" in each or "bright-neighbour" in each for each in found)
    assert sum(not each for each in found) >= 18


def test_a_sky_that_is_not_zero_is_taken_off():
    image = noise(1) + 5 * gaussian(300, 1.8, Beam(5.4, 5.4, 0.0))
    assert flags(image) == flags(image + 100) == set()


def test_a_brighter_source_beside_is_flagged_and_a_fainter_one_is_not():
    spot = gaussian(300, 1.8, Beam(5.4, 5.4, 0.0))
    beside = np.roll(spot, (35, -25), axis=(0, 1))
    assert flags(noise(1) + 10 * spot + 30 * beside) == {"bright-neighbour"}
    assert flags(noise(1) + 10 * spot + 5 * beside) == set()
    assert flags(noise(1) + 10 * spot + 30 * np.roll(spot, 70, axis=0)) == set(), "outside of the field"


def test_signal_to_noise_size_and_place():
    spot = gaussian(300, 1.8, Beam(5.4, 5.4, 0.0))
    found = look(noise(1) + 2.8 * spot, FIELD, FIRST_DOMAIN)
    assert found.signal_to_noise == pytest.approx(20, rel=0.15)
    assert "low-snr" in flags(noise(1) + 2.8 * spot, Domain(least_signal_to_noise=30.0))
    assert flags(noise(1) + 10 * np.roll(spot, 30, axis=1)) == {"off-centre"}
    lobes = np.roll(spot, 12, axis=1) + np.roll(spot, -12, axis=1)
    assert flags(noise(1) + 10 * lobes) == set(), "two lobes with nothing between them"
    wide = gaussian(300, 1.8, Beam(150.0, 20.0, 30.0))
    assert flags(noise(1) + 10 * wide) == {"large"}
    assert flags(
        noise(1) + 1 * gaussian(300, 1.8, Beam(60.0, 8.0, 30.0)), Domain(1.8, largest_size=50.0)
    ) == {"large"}


def test_blanked_fields():
    image = noise(1) + 10 * gaussian(300, 1.8, Beam(5.4, 5.4, 0.0))
    half, corner, middle, outside = (image.copy() for _ in range(4))
    half[:, :147] = np.nan
    corner[110:120, 110:120] = np.nan
    middle[147:153, 147:153] = np.nan
    outside[:90] = np.nan
    assert flags(corner) == {"part-blanked"}
    assert flags(middle) == {"blanked"}
    assert flags(outside) == set()
    assert flags(np.where(np.arange(300) < 160, np.nan, image)) == {"blanked"}
    assert flags(np.full((300, 300), np.nan, np.float32)) == {"blanked"}
    assert "blanked" not in flags(half)


def test_an_image_without_noise_is_not_called_empty():
    clipped = np.where(gaussian(300, 1.8, Beam(5.4, 5.4, 0.0)) > 0.1, 200, 0).astype(np.float32)
    found = look(clipped, FIELD, FIRST_DOMAIN)
    assert found.oddities == 0
    assert np.isnan(found.signal_to_noise)


# --- what can be mended -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "error"), [(1.2, 0.08), (1.8, 0.0), (2.5, 0.06)])
def test_pixels_of_another_scale_are_brought_to_that_of_training(scale, error):
    image = gaussian(241, scale, Beam(5.4, 5.4, 0.0))
    found, odd = bring(image, scale, Beam(5.4, 5.4, 0.0), FIRST_DOMAIN, 150)
    assert words(odd) == ("" if scale == 1.8 else "resampled")
    wanted = gaussian(found.shape[0], 1.8, Beam(5.4, 5.4, 0.0))
    np.testing.assert_allclose(found, wanted, atol=error + 1e-6)
    assert found.sum() * 1.8**2 == pytest.approx(image.sum() * scale**2, rel=0.01)


def test_a_spline_keeps_the_peak_that_lines_flatten():
    image, truth = (gaussian(n, scale, Beam(5.4, 5.4, 0.0)) for n, scale in ((60, 2.7), (90, 1.8)))
    linear, cubic = (np.abs(resample(image, 2.7, 1.8, order=order) - truth).max() for order in (1, 3))
    assert cubic < 0.06 < 0.1 < linear
    with pytest.raises(SpecError, match=r"order: 2 was given; legal are 1 \(linear\), 3 \(cubic spline\)"):
        resample(image, 2.7, 1.8, order=2)


@pytest.mark.parametrize("beam", [Beam(2.5, 2.5, 0.0), Beam(4.0, 2.0, 30.0), Beam(4.0, 2.0, 120.0)])
@pytest.mark.parametrize("scale", [0.6, 0.9])
def test_a_finer_beam_is_convolved_to_that_of_training(beam, scale):
    image = gaussian(301, scale, beam)
    found, odd = bring(image, scale, beam, FIRST_DOMAIN, 60)
    assert "convolved" in words(odd).split("|")
    wanted = gaussian(found.shape[0], 1.8, Beam(5.4, 5.4, 0.0))
    near = central_crop(np.stack((found / found.max(), wanted / wanted.max())), 15)
    np.testing.assert_allclose(near[0], near[1], atol=0.06)


def test_a_coarse_beam_is_flagged_and_one_that_nearly_fits_left_alone():
    image = gaussian(150, 1.8, Beam(5.4, 5.4, 0.0))
    for width, said in ((45.0, "coarse-beam"), (8.0, ""), (4.6, ""), (np.nan, "")):
        found, odd = bring(image, 1.8, Beam(width, width, 0.0), FIRST_DOMAIN, 150)
        assert words(odd) == said
        assert found is image
    assert bring(image, np.nan, NO_BEAM, FIRST_DOMAIN, 150)[1] == Oddity.NO_SCALE
    assert words(bring(image, 3.0, NO_BEAM, FIRST_DOMAIN, 150)[1]) == "resampled|no-beam"
    assert bring(image, 3.0, NO_BEAM, Domain(), 150)[1] == 0


def test_blanked_pixels_stay_blanked_and_do_not_spread():
    image = np.ones((200, 200), np.float32)
    image[:50] = np.nan
    found, _ = bring(image, 0.9, Beam(2.0, 2.0, 0.0), FIRST_DOMAIN, 100)
    assert np.isnan(found[:24]).all()
    np.testing.assert_allclose(found[26:], 1, atol=1e-4)


def test_amounts_per_pixel_keep_their_sum_and_brightnesses_their_mean():
    image = np.ones((80, 80), np.float32)
    for quantity, value in (("per beam", 1.0), ("per pixel", 4.0)):
        found, _ = bring(image, 0.9, NO_BEAM, FIRST_DOMAIN, 40, quantity)
        np.testing.assert_allclose(found, value, rtol=1e-6)


def test_a_large_image_is_cut_before_it_is_worked_on():
    found, _ = bring(np.zeros((4000, 4000), np.float32), 0.9, Beam(2.0, 2.0, 0.0), FIRST_DOMAIN, 100)
    assert 100 <= found.shape[0] < 150


# --- real images ------------------------------------------------------------------------------------------


def of_file(path: Path) -> set[str]:
    image = read_fits(path)
    pixels, odd = bring(image.pixels, image.pixel_scale, image.beam, FIRST_DOMAIN, 300)
    found = look(central_crop(pixels, 300), FIELD, FIRST_DOMAIN)
    return set(filter(None, words(odd | found.oddities).split("|")))


@pytest.mark.slow
@needs_mirror
def test_real_sources_are_rarely_flagged():
    found = [of_file(path) for path in sorted(Path(MIRROR, "MiraBest_FITS").glob("*.fits.gz"))]
    assert len(found) == 168
    counts = {name: sum(name in each for each in found) for name in set().union(*found)}
    assert set(counts) <= {"large", "off-centre", "bright-neighbour"}
    assert counts.get("large", 0) < 30
    assert counts.get("bright-neighbour", 0) <= 2


@needs_mirror
def test_real_defects_and_other_surveys_are_flagged():
    defects, other = Path(MIRROR, "FITS_defects"), Path(MIRROR, "other_FITS")
    assert of_file(defects / "200_033.655+000.710_0.2900_0030.76.fits.gz") == {"blanked"}
    assert "blanked" in of_file(defects / "200_003.198+000.788_0.1484_0026.82.fits.gz")
    assert "part-blanked" in of_file(defects / "210_348.925-000.435_0.0910_0050.37.fits.gz")
    nvss = of_file(other / "NVSS_J105007.27+304037.52.fits.gz")
    assert nvss >= {"coarse-beam", "resampled"}
    assert of_file(other / "LOTSS_J105007.27+304037.52.fits.gz") == {"resampled"}
    assert of_file(other / "J105007+304037.fits.gz") == set()


@pytest.mark.parametrize(
    ("major", "minor", "flag"), [(8.0, 8.0, ""), (9.0, 3.0, "coarse-beam"), (12.0, 12.0, "coarse-beam")]
)
def test_a_long_beam_is_a_coarse_one_however_thin(major, minor, flag):
    image = np.ones((40, 40), dtype=np.float32)
    _, odd = bring(image, 1.8, Beam(major, minor, 20.0), Domain(pixel_scale=1.8, beam=5.4), side=40)
    assert words(odd) == flag


def test_the_beam_after_is_that_of_the_header_unless_it_was_convolved():
    ours = Domain(pixel_scale=1.8, beam=5.4)
    assert beam_after(Beam(8.1, 8.1, 0.0), Oddity(0), ours) == pytest.approx(1.5)
    assert beam_after(Beam(2.7, 2.7, 0.0), Oddity.CONVOLVED, ours) == 1
    assert beam_after(NO_BEAM, Oddity(0), ours) == 1


def test_a_beam_that_is_half_mended_keeps_what_cannot_be_mended():
    ours = Domain(pixel_scale=1.8, beam=5.4)
    assert beam_after(Beam(8.1, 2.0, 0.0), Oddity.CONVOLVED, ours) == pytest.approx(np.sqrt(1.5))


def test_a_coarse_beam_is_told_without_a_scale_too_and_an_empty_field_is_no_source():
    image = np.zeros((150, 150), np.float32)
    image[3, 3] = 1
    found, odd = bring(image, np.nan, Beam(45.0, 45.0, 0.0), FIRST_DOMAIN, 96)
    assert words(odd) == "coarse-beam|no-scale"
    assert look(found, 96, FIRST_DOMAIN).oddities == Oddity.NO_DETECTION
