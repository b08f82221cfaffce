"""Measured properties of sources, against analytic sources, scikit-image and published sizes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from skimage.measure import label as skimage_label

from rgbench.data.catalogue import Catalogue
from rgbench.data.sets import load_data
from rgbench.errors import DataError, SpecError
from rgbench.images.fits import read_fits
from rgbench.images.flags import Flag
from rgbench.images.measure import MEASURED, Measures, beam_area, measure_sources
from rgbench.images.segment import Segmentation, source_mask

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")

SCALE, BEAM, NOISE, SIDE = 1.8, 5.4, 1.5e-4, 151
"""Those of FIRST: arcsec per pixel, arcsec, Jy/beam; and the side of the images here in pixels."""


def noise(seed=0, side=SIDE):
    """Give noise that is correlated over the beam."""
    white = np.random.default_rng(seed).normal(size=(side, side))
    smooth = gaussian_filter(white, BEAM / SCALE / 2.355, mode="wrap")
    return NOISE * smooth / smooth.std()


def ellipse(peak, major=BEAM, minor=BEAM, angle=0.0, centre=(0.0, 0.0)):
    """Give a Gaussian without noise; full widths and offset (rows, columns) in arcsec, angle in degrees."""
    y, x = (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2) * SCALE
    y, x = y - centre[0], x - centre[1]
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along, across = x * cosine + y * sine, y * cosine - x * sine
    return peak * np.exp(-4 * np.log(2) * ((along / major) ** 2 + (across / minor) ** 2))


def measured(*images, **options):
    return measure_sources(np.stack(images), SCALE, BEAM, **options)


def names(flags):
    return {flag.name for flag in Flag(int(flags))}


@given(
    peak=st.floats(50 * NOISE, 1.0),
    major=st.floats(BEAM, 40),
    ratio=st.floats(0.3, 1),
    angle=st.floats(0, 180),
    seed=st.integers(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_a_gaussian_is_measured(peak, major, ratio, angle, seed):
    minor = max(BEAM, major * ratio)
    found = measured(noise(seed) + ellipse(peak, major, minor, angle))
    # A source that fills a fifth of the field raises the robust noise, but by less than a half.
    assert 0.9 < found.noise[0] / NOISE < 1.5
    assert found.peak[0] == pytest.approx(peak, rel=0.05, abs=4 * NOISE)
    assert found.signal_to_noise[0] == pytest.approx(found.peak[0] / found.noise[0])
    # What lies below three noise levels is not counted: of a Gaussian, that part of its flux density.
    total = peak * major * minor / BEAM**2
    level = 3 * found.noise[0]
    beams = major * minor / BEAM**2 * np.log(peak / level) / np.log(2)
    error = 5 * NOISE * np.sqrt(beams)
    assert found.flux_density[0] == pytest.approx(total * (1 - level / peak), rel=0.05, abs=error)
    width = major * np.sqrt(np.log(peak / level) / np.log(2))
    assert found.largest_angular_size[0] == pytest.approx(width, rel=0.15, abs=3.5 * BEAM)
    assert not found.flags[0] & ~Flag.SATURATED


@given(st.floats(20, 40), st.floats(0, 180))
@settings(deadline=None, max_examples=30)
def test_two_point_sources_lie_as_far_apart_as_they_do(separation, angle):
    """The size of a double is its separation and half the size of either lobe at each end."""
    half = separation / 2 * np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    found = measured(
        noise() + ellipse(0.02, centre=half) + ellipse(0.02, centre=-half), noise() + ellipse(0.02)
    )
    alone = found.largest_angular_size[1]
    assert found.largest_angular_size[0] == pytest.approx(separation + alone, abs=2.5 * SCALE)
    assert found.flux_density[0] == pytest.approx(2 * found.flux_density[1], rel=0.05)


def test_a_gap_may_be_bridged_or_not():
    pair = noise() + ellipse(0.05, centre=(0, 10)) + ellipse(0.05, centre=(0, -50))
    near = measured(pair, segmentation=Segmentation(gap=5))
    far = measured(pair, segmentation=Segmentation(gap=30))
    assert far.flux_density[0] == pytest.approx(2 * near.flux_density[0], rel=0.05)
    assert far.largest_angular_size[0] > 60 > 30 > near.largest_angular_size[0]


@pytest.mark.parametrize("gap", range(0, 12))
def test_a_gap_is_counted_in_pixels(gap):
    """Two clumps with `between` empty columns between them."""
    for between in range(1, 12):
        image = np.zeros((1, 30, 41))
        image[0, 14:17, 17:20] = image[0, 14:17, 20 + between : 23 + between] = 1
        pixels = source_mask(image[0], 0.1, Segmentation(gap=gap)).sum()
        linked = between <= 2 * (gap // 2)
        assert pixels == (18 if linked else 9), (gap, between)


@given(seed=st.integers(0, 500), level=st.floats(0.3, 1.5), smallest=st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_the_source_is_that_of_scikit_image(seed, level, smallest):
    """Clumps of correlated noise, labelled there; without gaps, the one nearest to the centre."""
    image = noise(seed) / NOISE
    how = Segmentation(detect=level + 0.5, grow=level, smallest=smallest, gap=0)
    clumps = skimage_label(image > level, connectivity=2)
    good = [
        number
        for number in range(1, clumps.max() + 1)
        if (clumps == number).sum() >= smallest and image[clumps == number].max() > level + 0.5
    ]
    found = source_mask(image, 1.0, how)
    places = np.argwhere(np.isin(clumps, good))
    if len(places) == 0:
        assert not found.any()
        return
    nearest = places[np.hypot(*(places - (SIDE - 1) / 2).T).argmin()]
    np.testing.assert_array_equal(found, clumps == clumps[tuple(nearest)])


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), min_size=1, max_size=30, unique=True))
@settings(deadline=None)
def test_the_size_is_the_greatest_distance_of_all_pairs(places):
    image = np.zeros((1, 20, 20))
    image[0][tuple(np.array(places).T)] = np.arange(1, len(places) + 1)
    size = measure_sources(image, 1.0, 3.0, segmentation=Segmentation(smallest=1, gap=40))
    assert size.largest_angular_size[0] == pytest.approx(pdist(places).max(initial=0) + 1)


@given(factor=st.floats(0.2, 5))
@settings(deadline=None, max_examples=20)
def test_units_and_scales(factor):
    image = noise() + ellipse(0.05, 15, 8)
    first = measured(image)
    other = measure_sources(1e3 * image[None], SCALE * factor, (BEAM * factor, BEAM * factor), "mJy/beam")
    for name in ("noise", "peak", "flux_density", "signal_to_noise"):
        np.testing.assert_allclose(getattr(other, name), getattr(first, name), rtol=1e-9)
    np.testing.assert_allclose(other.largest_angular_size, factor * first.largest_angular_size)


def test_unit_names():
    image = noise() + ellipse(0.05)
    first = measured(image)
    for unit, value in {"JY/BEAM": 1, " uJy / beam ": 1e6, "µJy/beam": 1e6, "μJy/beam": 1e6}.items():
        np.testing.assert_allclose(measured(value * image, unit=unit).flux_density, first.flux_density)
    per_pixel = measured(image / beam_area(BEAM, SCALE), unit="Jy/pixel")
    for name in MEASURED:
        np.testing.assert_allclose(getattr(per_pixel, name), getattr(first, name))
    bare = measured(image, unit="")
    assert np.isnan([bare.noise, bare.peak, bare.flux_density]).all()
    np.testing.assert_array_equal(bare.signal_to_noise, first.signal_to_noise)
    np.testing.assert_array_equal(bare.largest_angular_size, first.largest_angular_size)


def test_every_image_has_its_own_beam_unit_and_scale():
    """Point sources of 0.1 Jy: through whatever beam, in whatever unit, they have 0.1 Jy."""
    wide = ellipse(0.1, 2 * BEAM, 2 * BEAM) + noise()
    images = [noise() + ellipse(0.1), wide, 1e3 * (noise() + ellipse(0.1)), wide / beam_area(2 * BEAM, SCALE)]
    beams = np.array([[BEAM] * 2, [2 * BEAM] * 2, [BEAM] * 2, [np.nan] * 2])
    found = measure_sources(np.stack(images), SCALE, beams, ["Jy/beam", "Jy/beam", "mJy/beam", "Jy/pixel"])
    np.testing.assert_allclose(found.flux_density, 0.1, rtol=0.03)
    np.testing.assert_allclose(found.peak[:3], 0.1, rtol=0.01)
    scales = measure_sources(np.stack(images[:2]), np.array([SCALE, 2 * SCALE]), BEAM)
    np.testing.assert_allclose(scales.flux_density, [0.1, 1.6], rtol=0.03)
    unknown = measure_sources(np.stack(images[:2]), SCALE, BEAM, ["", "Jy/beam"])
    assert np.isnan(unknown.flux_density).tolist() == [True, False]


def test_what_is_not_known_is_nan():
    image = (noise() + ellipse(0.05))[None]
    no_beam = measure_sources(image, SCALE, float("nan"))
    assert np.isnan(no_beam.flux_density[0])
    assert no_beam.peak[0] == pytest.approx(0.05, rel=0.02)
    no_scale = measure_sources(image, float("nan"), BEAM)
    assert np.isnan([no_scale.flux_density[0], no_scale.largest_angular_size[0]]).all()


def test_flags():
    blanked = noise() + ellipse(0.05)
    blanked[:5] = np.nan
    cut = noise() + ellipse(0.05, 30, 30, centre=(0, 125))
    hidden = noise() + ellipse(0.05, 15, 15)
    hidden[:, 78:] = np.nan
    far = noise() + ellipse(0.05, centre=(60, 0))
    flat = np.minimum(noise() + ellipse(0.05, 20, 20), 0.02)
    images = {
        "good": noise() + ellipse(0.05),
        "blanked": blanked,
        "cut": cut,
        "hidden": hidden,
        "far": far,
        "flat": flat,
        "empty": noise(3),
        "zero": np.zeros((SIDE, SIDE)),
        "missing": np.full((SIDE, SIDE), np.nan),
    }
    found = measured(*images.values())
    assert dict(zip(images, map(names, found.flags), strict=True)) == {
        "good": set(),
        "blanked": {"BLANKED"},
        "cut": {"TRUNCATED", "OFF_CENTRE"},
        "hidden": {"BLANKED", "TRUNCATED"},
        "far": {"OFF_CENTRE"},
        "flat": {"SATURATED"},
        "empty": {"EMPTY"},
        "zero": {"EMPTY", "UNUSABLE"},
        "missing": {"BLANKED", "EMPTY", "UNUSABLE"},
    }
    assert np.isnan(found.peak[6:]).all()
    assert np.isnan(found.largest_angular_size[6:]).all()
    assert found.noise[6] == pytest.approx(NOISE, rel=0.1)


def test_infinite_pixels_are_missing_ones():
    image = noise() + ellipse(0.05)
    image[3, 3] = np.inf
    found = measured(image)
    assert found.peak[0] == pytest.approx(0.05, rel=0.02)
    assert names(found.flags[0]) == {"BLANKED"}


def test_clipped_images_have_no_noise_and_are_measured_still():
    grey = np.zeros((1, 60, 60), np.uint8)
    grey[0, 28:33, 20:40] = 7
    grey[0, 30, 30] = 255
    found = measure_sources(grey, SCALE, BEAM, unit="")
    assert np.isnan(found.signal_to_noise[0])
    assert found.largest_angular_size[0] == pytest.approx((np.hypot(4, 19) + 1) * SCALE)


@pytest.mark.parametrize("places", [[0], [-16, 16], [-32, 0, 32]])
def test_components_are_clumps_that_do_not_touch(places):
    """scikit-image's labelling above the same level is the oracle."""
    image = noise(1) + sum(ellipse(0.05, centre=(0.0, along)) for along in places)
    found = measured(image, image + ellipse(0.05, centre=(0.0, 125.0)))
    clumps = skimage_label(image > 3 * found.noise[0], connectivity=2)
    large = [n for n in range(1, clumps.max() + 1) if (clumps == n).sum() >= Segmentation().smallest]
    bright = [n for n in large if image[clumps == n].max() > 5 * found.noise[0]]
    assert found.components[0] == len(bright) == len(places)
    assert found.components[1] == len(places), "another source in the field is no part of it"
    assert np.isnan(measured(noise(3)).components[0])
    assert measure_sources(image[None], float("nan"), float("nan"), unit="").components[0] == len(places)


def test_the_iterative_noise_may_be_taken():
    image = noise() + ellipse(0.05)
    robust, iterative = (
        measured(image, segmentation=Segmentation(noise=name)).noise[0] for name in ("robust", "iterative")
    )
    assert robust != iterative
    assert robust == pytest.approx(iterative, rel=0.1)


def test_refusals():
    image = np.ones((1, 8, 8))
    with pytest.raises(DataError, match="2 axes"):
        measure_sources(image[0], SCALE, BEAM)
    with pytest.raises(DataError, match="unit: 'K' was given; legal are Jy/beam"):
        measure_sources(image, SCALE, BEAM, "K")
    for scale, beam in [(0, BEAM), (SCALE, -1.0), (SCALE, (5.0, 0.0))]:
        with pytest.raises(DataError, match="must be above 0"):
            measure_sources(image, scale, beam)
    with pytest.raises(SpecError, match="grow: 6"):
        Segmentation(grow=6)
    with pytest.raises(SpecError, match="smallest, gap: 0"):
        Segmentation(smallest=0)
    with pytest.raises(SpecError, match="legal are"):
        Segmentation(noise="rms")


def test_no_images_have_no_measures():
    found = measure_sources(np.zeros((0, 8, 8)), SCALE, BEAM)
    assert all(len(column) == 0 for column in found.columns().values())


def test_measures_are_kept_in_a_catalogue():
    found = measured(noise() + ellipse(0.05), noise(3))
    flags = np.array([int(Flag.BLANKED), 0])
    whole = np.arange(2)
    bare = Catalogue(
        np.array(["a", "b"]), whole * 1.0, whole * 1.0, whole, whole, np.array(["", ""]), flags, {"z": whole}
    )
    full = bare.with_measures(found)
    assert set(full.extra) == {"z", *MEASURED}
    assert full.take(np.array([1])).extra["noise"][0] == found.noise[1]
    assert [names(bits) for bits in full.flags] == [{"BLANKED"}, {"EMPTY"}]
    assert bare.extra.keys() == {"z"}
    with pytest.raises(DataError, match="2 measured images for 1 sources"):
        bare.take(np.array([0])).with_measures(found)


def test_every_column_has_a_unit():
    assert {name for name in Measures.__dataclass_fields__ if name != "flags"} == set(MEASURED)


@pytest.fixture(scope="module")
def real():
    """Give published sizes in arcsec and measures of the MiraBest FITS files of the mirror."""
    paths = sorted((MIRROR / "MiraBest_FITS").glob("*.fits.gz"))
    sizes = np.array([float(path.name.removesuffix(".fits.gz").split("_")[3]) for path in paths])
    return sizes, measured(*(read_fits(path).pixels for path in paths))


@needs_mirror
def test_real_sources_are_found_in_real_noise(real):
    _, found = real
    assert np.isfinite(found.flux_density).all()
    assert np.median(found.noise) == pytest.approx(1.5e-4, rel=0.1)  # FIRST: 0.15 mJy/beam
    assert np.percentile(found.flux_density, 5) > 0.01
    assert np.median(found.flux_density) == pytest.approx(0.07, rel=0.1)  # MiraBest: above 40 mJy in NVSS
    assert np.mean(found.flags == 0) > 0.95


@needs_mirror
def test_sizes_go_with_the_published_ones(real):
    """They are not the same quantity: these are of the 3 sigma contour, and not deconvolved."""
    sizes, found = real
    assert spearmanr(sizes, found.largest_angular_size).statistic > 0.65
    large = sizes > 60
    assert np.median(found.largest_angular_size[large] / sizes[large]) == pytest.approx(1.05, abs=0.1)
    assert np.median(found.largest_angular_size / sizes) == pytest.approx(1.5, abs=0.15)


@needs_mirror
def test_blanked_files_are_flagged():
    for path in sorted((MIRROR / "FITS_defects").glob("*.fits.gz")):
        pixels = read_fits(path).pixels
        flags = names(measured(pixels).flags[0])
        assert ("BLANKED" in flags) == bool(np.isnan(pixels).any())
        assert ("UNUSABLE" in flags) == bool(np.isnan(pixels).all())


@pytest.mark.slow
def test_real_sources_of_each_class():
    """Compact sources are as large as the beam of 5.4 arcsec makes them; the others are larger."""
    data = load_data("first-galaxy-data")
    found = measure_sources(data.images[::10], 1.8, np.nan, unit="")
    sizes, label = found.largest_angular_size, data.catalogue.label[::10]
    median = {name: np.nanmedian(sizes[label == k]) for k, name in enumerate(data.classes)}
    assert median["Compact"] == pytest.approx(17, abs=4)
    assert all(median[name] > 2 * median["Compact"] for name in ("FRI", "FRII", "Bent"))
