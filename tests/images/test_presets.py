"""The presets against published images: MiraBest made again from the FITS files that it was made from."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.stats import sigma_clipped_stats
from astropy.utils.exceptions import AstropyUserWarning
from PIL import Image

from rgbench.data.sets import mirabest
from rgbench.errors import DataError, SpecError
from rgbench.images.fits import read_fits
from rgbench.images.preprocess import STEPS, Preset, preprocess, preprocess_batch, presets

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")

NOT_REPRODUCED = ("200_147.709-000.888", "200_149.170-000.023", "300_147.428-000.840")
"""Sources whose images in mirabest-f were made in another way."""
NOT_RELEASED = {"100_036.061+000.563", "200_003.198+000.788", "200_033.655+000.710", "210_348.925-000.435"}
"""FITS files of the mirror whose sources are in no release, for want of pixels."""
BLANKED = {"100_016.732+000.523", "102_321.443+000.931", "110_345.859-000.360", "200_020.485-000.490"}
"""Some released sources with NaN in their FITS files."""


def short(name):
    return name[:19]


@pytest.fixture(scope="module")
def pixels():
    """Give the pixels of every MiraBest FITS file of the mirror, by code and position."""
    found = sorted((MIRROR / "MiraBest_FITS").glob("*.fits.gz")) + sorted(
        (MIRROR / "FITS_defects").glob("*.fits.gz")
    )
    return {short(path.name): read_fits(path).pixels for path in found}


@pytest.fixture(scope="module")
def released():
    """Give the images of each release, hybrids included, by code and position."""
    sets = {name: mirabest.load(name, hybrids=True) for name in mirabest.CARDS}
    return {
        name: dict(zip(map(short, dataset.catalogue.source_id), dataset.images, strict=True))
        for name, dataset in sets.items()
    }


def oracle(image):
    """How the images of mirabest-full were made, with astropy and Pillow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        noise = sigma_clipped_stats(image, sigma=3, maxiters=5)[2]
    field = np.nan_to_num(np.where(image <= 3 * noise, 0, image))[75:225, 75:225]
    grey = (field - field.min()) / (field.max() - field.min()) * 255
    return np.asarray(Image.fromarray(grey.astype(np.float32), mode="F").convert("L"))


@needs_mirror
def test_the_mirror_holds_what_is_tested(pixels, released):
    assert len(pixels) == 178
    assert set(pixels) - set(released["mirabest-full"]) == NOT_RELEASED
    assert len(set(pixels) & set(released["mirabest-basic"])) == 98
    assert {name for name in BLANKED if np.isnan(pixels[name]).any()} == BLANKED


@needs_mirror
@pytest.mark.parametrize(
    ("release", "preset"),
    [("mirabest-full", "mirabest"), ("mirabest-basic", "mirabest"), ("mirabest-f", "mirabest-f")],
)
def test_mirabest_is_reproduced_bit_for_bit(release, preset, pixels, released):
    images = released[release]
    names = [name for name in pixels if name in images]
    made = preprocess_batch(np.stack([pixels[name] for name in names]), preset)
    different = {
        name for name, image in zip(names, made, strict=True) if not np.array_equal(image, images[name])
    }
    assert different <= (set(NOT_REPRODUCED) if release == "mirabest-f" else set())


@needs_mirror
def test_the_two_presets_of_mirabest_differ(pixels):
    image = pixels["100_016.732+000.523"]
    assert not np.array_equal(preprocess(image, "mirabest"), preprocess(image, "mirabest-f"))


@needs_mirror
def test_mirabest_equals_astropy_and_pillow(pixels):
    for name in sorted(pixels)[::12]:
        if name not in NOT_RELEASED:
            np.testing.assert_array_equal(preprocess(pixels[name], "mirabest"), oracle(pixels[name]))


@needs_mirror
def test_every_preset_takes_every_usable_field(pixels):
    names = [name for name in sorted(pixels)[::9] if np.isfinite(pixels[name]).all()]
    images = np.stack([pixels[name] for name in names])
    for preset in presets().names():
        ready = preprocess_batch(images, preset)
        assert ready.dtype == np.float32
        assert np.isfinite(ready).all()
        assert (ready.max(axis=(1, 2)) > 0).all()
        np.testing.assert_array_equal(ready[3], preprocess(images[3], preset))


@needs_mirror
def test_becker2021_equals_its_definition_on_real_fields(pixels):
    for name in sorted(BLANKED):
        image = np.nan_to_num(pixels[name])
        image = (image - image.min()) / (image.max() - image.min())
        expected = np.where(image > image.mean() + 3 * image.std(), image, 0)
        np.testing.assert_array_equal(preprocess(pixels[name], "becker2021"), expected)


def test_presets_are_data():
    for name, preset in presets():
        assert preset.name == name
        assert all(step in STEPS for step, _ in preset.steps)
    again = Preset(
        "again", tuple((step, dict(arguments)) for step, arguments in presets().get("mirabest").steps)
    )
    image = np.random.default_rng(1).normal(size=(300, 300))
    np.testing.assert_array_equal(preprocess(image, again), preprocess(image, "mirabest"))
    with pytest.raises(SpecError, match=r"unknown step 'sharpen'; the steps are replace_nan"):
        Preset("mine", (("sharpen", {}),))


def test_an_empty_field_cannot_be_made_a_mirabest_image():
    image = np.random.default_rng(1).uniform(-1, 1, (300, 300))
    with pytest.raises(DataError, match="image 0: all pixels are equal"):
        preprocess(image, "mirabest")


def test_what_was_clipped_has_no_noise_to_stretch_by():
    image = np.zeros((40, 40), np.float32)
    image[20, 20] = 1
    for preset in ("asinh-noise", "log-noise"):
        with pytest.raises(DataError, match=r"image 0: has no noise .*clipped before"):
            preprocess(image, preset)
