"""What the cards say was done to the flux: FITS images of the same sources, treated so, are the published ones."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import sigma_clipped_stats

from rgbench.data.catalogue import ImageModel
from rgbench.data.sets import data_sets, load_data
from rgbench.images.preprocess import preprocess_batch

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")
REACH = 2
"""Pixels by which positions of two catalogues differ, along each axis."""
FOUND = {
    "87_FRICAT_FR1_example.png": "100_169.796+008.261",
    "154_FRICAT_FR1_example.png": "102_216.568+000.838",
    "66_FRICAT_FR1_example.png": "100_158.245+056.748",
    "146_example.png": "200_153.566+010.852",
    "227_example.png": "200_224.474+028.539",
}
"""Images of FR-DEEP that a FITS image of MiraBest's sources gives in every pixel, with the position in its name."""


@pytest.fixture(scope="module")
def flux():
    """The FITS images of MiraBest's sources by their names, read by astropy, and the noise of each."""
    images = {}
    for path in sorted((MIRROR / "MiraBest_FITS").glob("*.fits.gz")):
        with gzip.open(path) as file, fits.open(file) as content:
            image = content[0].data.astype(np.float32)
        images[path.name[:19]] = image, sigma_clipped_stats(image, sigma=3, maxiters=5)[2]
    return images


@pytest.fixture(scope="module")
def deep():
    return load_data("fr-deep-first")


def grey(image: np.ndarray, level: float, subtracted: bool = False) -> np.ndarray:
    """The middle of an image, clipped, brought to 0 to 255, fractions cut off or not."""
    clipped = np.where(image > level, image - level * subtracted, 0)[75:225, 75:225]
    low, high = clipped.min(), clipped.max()
    return np.floor((clipped - low) / (high - low) * 255)


def equal_images(flux, deep, make):
    """Find the images of FR-DEEP that one of the FITS images gives in every pixel, shifted by two pixels or less."""
    place = {image.tobytes(): i for i, image in enumerate(deep.images)}
    found = {}
    for name, (image, noise) in flux.items():
        for shift in np.ndindex(2 * REACH + 1, 2 * REACH + 1):
            moved = np.roll(image, np.array(shift) - REACH, (0, 1))
            row = place.get(make(moved, noise).astype(np.uint8).tobytes())
            if row is not None:
                found[str(deep.catalogue.extra["file_name"][row])] = name
    return found


@needs_mirror
def test_fr_deep_is_flux_clipped_at_the_level_of_its_card(flux, deep):
    assert deep.card.image_model == ImageModel(clip=3.0, subtracted=False, bits=8)
    assert equal_images(flux, deep, lambda image, noise: grey(image, 3 * noise)) == FOUND


@needs_mirror
@pytest.mark.parametrize(
    "make",
    [
        lambda image, noise: grey(image, 3 * noise, subtracted=True),
        lambda image, noise: grey(image, 2.9 * noise),
        lambda image, noise: grey(image, 3.1 * noise),
        lambda image, noise: np.sqrt(grey(image, 3 * noise) * 255),
    ],
    ids=["subtracted", "2.9 sigma", "3.1 sigma", "square root"],
)
def test_no_other_model_gives_these_images(flux, deep, make):
    """But of a source so bright that both levels are below its first grey level."""
    few = {key: value for key, value in flux.items() if key in FOUND.values()}
    assert set(equal_images(few, deep, make)) <= {"146_example.png"}


@needs_mirror
def test_the_preset_mirabest_makes_them_too(flux, deep):
    names = deep.catalogue.extra["file_name"].tolist()
    for file, name in FOUND.items():
        published = {deep.images[i].tobytes() for i, own in enumerate(names) if own == file}
        moved = [
            np.roll(flux[name][0], np.array(shift) - REACH, (0, 1))
            for shift in np.ndindex(2 * REACH + 1, 2 * REACH + 1)
        ]
        made = preprocess_batch(np.stack(moved), "mirabest")
        assert made.max() == 255
        assert published & {image.astype(np.uint8).tobytes() for image in made}, file


@pytest.mark.slow
@needs_mirror
def test_what_the_card_of_the_nvss_images_says():
    """Subtracted images begin at grey level 1, all but one; these do not. More than that cannot be told."""
    nvss, subtracted = load_data("fr-deep-nvss"), load_data("first-galaxy-data")
    faintest = [
        np.array([image[image > 0].min() for image in each.images if image.any()])
        for each in (nvss, subtracted)
    ]
    assert np.mean(faintest[0] >= 2) == pytest.approx(0.41, abs=0.005)
    assert (faintest[1] > 1).sum() == 1
    assert nvss.card.image_model is None
    assert any("41 % of them" in line for line in nvss.card.defects)


def test_every_card_of_images_tells_its_model_or_that_it_is_not_known():
    for name, entry in data_sets():
        card = entry.card
        if card.image_size is None or name == "mnist":
            continue
        unknown = any("what was done to the flux" in line and "not known" in line for line in card.defects)
        assert (card.image_model is None) == unknown, name
