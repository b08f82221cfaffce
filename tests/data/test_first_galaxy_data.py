"""first-galaxy-data: the folds, the second labelling, and every published number and defect."""

from __future__ import annotations

import io
import os
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.stats import sigma_clipped_stats

from rgbench.data.catalogue import CLASSES, Flag
from rgbench.data.public.fetch import locate
from rgbench.data.sets import first_galaxy_data, load_data
from rgbench.data.split import published_split
from rgbench.images.fits import read_fits

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")


@pytest.fixture(scope="module")
def first():
    return load_data("first-galaxy-data")


FOLD_FILES = [
    pytest.param(f"galaxy_data_crossvalid_{k}_h5.zip", marks=[pytest.mark.slow] if k in (1, 2, 3) else [])
    for k in (*range(5), "test")
]


def fold_file(name):
    """Give pixels, split and label of each image of a published file of folds."""
    with zipfile.ZipFile(MIRROR / "RadioGalaxyDataset" / name) as archive:
        content = archive.read(archive.namelist()[0])
    with h5py.File(io.BytesIO(content), "r") as file:
        for key in file:
            group = file[key]
            start = group["Img"].id.get_offset()
            pixels = np.frombuffer(content, np.uint8, 90000, start).reshape(300, 300)
            yield pixels, group["Split_literature"][()].decode(), group["Label_literature"][()]


@pytest.mark.slow
@needs_mirror
@pytest.mark.parametrize("name", FOLD_FILES)
def test_the_table_of_folds_is_that_of_the_published_files(first, name):
    dataset = first
    place = {image.tobytes(): i for i, image in enumerate(dataset.images)}
    assert len(place) == 2158
    labels = [CLASSES.index(c) for c in ("FRI", "FRII", "Compact", "Bent")]
    k = name.split("_")[3]
    found = np.full(2158, "test" if k != "test" else "other", dtype="<U10")
    for pixels, split, label in fold_file(name):
        i = place[pixels.tobytes()]
        assert dataset.catalogue.label[i] == labels[int(label)]
        found[i] = {"valid": "validation"}.get(split, split)
    if k == "test":
        assert Counter(found) == {"test": 400, "other": 1758}
        for fold in range(5):
            assert ((dataset.splits[f"fold-{fold}"] == "test") == (found == "test")).all()
    else:
        assert (dataset.splits[f"fold-{k}"] == found).all()


def test_the_folds_have_the_published_numbers(first):
    dataset = first
    assert list(dataset.splits) == ["published", *(f"fold-{k}" for k in range(5))]
    validated = np.zeros(2158, dtype=int)
    for k in range(5):
        split = dataset.splits[f"fold-{k}"]
        size = 346 if k == 4 else 353
        assert Counter(split) == {"train": 1758 - size, "validation": size, "test": 400}
        validated += split == "validation"
    test = dataset.splits["fold-0"] == "test"
    assert (validated == ~test).all()
    assert set(Counter(dataset.catalogue.label[test]).values()) == {100}
    assert (test & (dataset.splits["published"] == "test")).sum() == 54
    for k in range(5):
        split = published_split(dataset, f"fold-{k}")
        assert len(split.indices("test")) == 399  # the all-zero image is one of the 400


def test_the_folds_need_no_mirror(monkeypatch):
    monkeypatch.delenv("RGBENCH_MIRROR", raising=False)
    assert set(first_galaxy_data.fold_splits()) == {f"fold-{k}" for k in range(5)}


def test_the_five_class_labels_part_the_bent_sources(first):
    catalogue = first.catalogue
    counts = Counter(zip(np.array(CLASSES)[catalogue.label], catalogue.extra["label_cdl1"], strict=True))
    assert counts == {
        ("FRI", "FRI-Sta"): 495,
        ("FRII", "FRII"): 924,
        ("Compact", "Compact"): 391,
        ("Bent", "FRI-WAT"): 166,
        ("Bent", "FRI-NAT"): 182,
    }


def test_the_five_class_labels_are_those_of_the_file(first):
    dataset = first
    names = ("FRI-Sta", "FRII", "Compact", "FRI-WAT", "FRI-NAT")
    with zipfile.ZipFile(locate(first_galaxy_data.ARCHIVE)) as archive:
        content = archive.read(archive.namelist()[0])
    with h5py.File(io.BytesIO(content), "r") as file:
        found = [names[int(file[key]["Label_CDL1"][()])] for key in dataset.catalogue.path]
    assert dataset.catalogue.extra["label_cdl1"].tolist() == found


def test_parent_catalogues_of_first_galaxy_data_are_as_published(first):
    dataset = first
    parents = Counter(
        zip(dataset.catalogue.extra["parent"], np.array(CLASSES)[dataset.catalogue.label], strict=True)
    )
    assert parents == {
        ("MiraBest", "FRI"): 288,
        ("MiraBest", "FRII"): 412,
        ("MiraBest", "Bent"): 45,
        ("Gendre", "FRI"): 46,
        ("Gendre", "FRII"): 463,
        ("Gendre", "Bent"): 18,
        ("Gendre", "Compact"): 283,
        ("Capetti2017a", "FRI"): 161,
        ("Capetti2017a", "Bent"): 4,
        ("Capetti2017b", "FRII"): 49,
        ("Baldi2018", "Compact"): 108,
        ("Proctor_Tab1", "Bent"): 281,
    }


def test_defects_of_first_galaxy_data_are_flagged(first):
    dataset = first
    catalogue, images = dataset.catalogue, dataset.images
    unusable = (catalogue.flags & Flag.UNUSABLE) != 0
    assert unusable.sum() == 1
    assert dataset.splits["published"][unusable] == "validation"
    assert catalogue.label[unusable] == CLASSES.index("Bent")
    empty = (catalogue.flags & Flag.EMPTY_CENTRE) != 0
    rounded = {
        (round(float(r), 2), round(float(d), 2))
        for r, d in zip(catalogue.ra[empty], catalogue.dec[empty], strict=True)
    }
    assert rounded == {(154.63, 46.16), (3.2, 0.79), (22.45, 0.78), (16.01, -0.41)}
    filled = (images != 0).sum(axis=(1, 2))
    assert np.percentile(filled, [1, 50, 99]).round().tolist() == [58, 295, 1530]
    assert np.median(filled[catalogue.label == CLASSES.index("Compact")]) == 84
    assert np.median(filled[catalogue.label == CLASSES.index("Bent")]) == 443
    assert (images[:, 0].any(axis=1) | images[:, -1].any(axis=1)).sum() == 508
    numbers, counts = np.unique(catalogue.group, return_counts=True)
    assert (counts > 1).sum() == 3
    pairs = [catalogue.label[catalogue.group == g].tolist() for g in numbers[counts > 1]]
    fr2, bent = CLASSES.index("FRII"), CLASSES.index("Bent")
    assert sorted(pairs) == [[fr2, fr2], [bent, bent], [bent, bent]]


# --- the image model on the card --------------------------------------------------------------------------


def zero_in_noise(grey, flux):
    """Give how alike the pixels of two images of a source are, and the flux at grey level 0 over the noise.

    The grids differ by a part of a pixel; the best of nine whole shifts is taken.
    """
    noise = sigma_clipped_stats(flux, sigma=3, maxiters=5)[2]
    peaks = [np.unravel_index(np.nanargmax(image), image.shape) for image in (grey, flux)]
    clear = (grey > 10) & (grey < 250)
    found = []
    for step in np.ndindex(3, 3):
        moved = np.roll(flux, np.subtract(*peaks) + np.array(step) - 1, (0, 1))
        if clear.sum() >= 8:
            alike = np.corrcoef(grey[clear], moved[clear])[0, 1]
            found.append((alike, np.polyfit(grey[clear], moved[clear], 1)[1] / noise))
    return max(found, default=(0.0, np.nan))


@pytest.mark.slow
@needs_mirror
def test_grey_level_zero_lies_at_the_level_that_the_card_names(first):
    model = first.card.image_model
    assert (model.clip, model.subtracted, model.bits) == (3.0, True, 8)
    ra, dec, zeros = first.catalogue.ra, first.catalogue.dec, []
    for path in sorted((MIRROR / "MiraBest_FITS").glob("*.fits.gz")):
        image = read_fits(path)
        east = (ra - image.centre[0]) * np.cos(np.radians(dec))
        away = np.hypot(east, dec - image.centre[1]) * 3600
        if away.min() < 10:
            alike, zero = zero_in_noise(first.images[away.argmin()].astype(float), image.pixels)
            zeros += [zero] if alike > 0.995 else []
    assert len(zeros) >= 10
    assert 2.7 < np.median(zeros) < 3.1
