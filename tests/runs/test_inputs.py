"""What of a prepared image a network is shown, with the standard frame and without."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from astropy.io import fits

from rgbench.data.load import load_dataset
from rgbench.errors import DataError
from rgbench.images import storage
from rgbench.images.geometry import central_crop
from rgbench.images.network_input import MARGIN, kept_field
from rgbench.runs.inputs import ImageSource, cut_to_field, prepare
from rgbench.runs.prepare import make_split
from rgbench.spec import Study, resolve


def spec_of(protocol, **content):
    return resolve(Study(name="s", networks=("mcrgnet",), seeds=(1,), protocol=protocol, **content), "abc")[0]


def source(side=300):
    """A double source in noise; a smaller image is the middle of the larger one."""
    y, x = np.indices((300, 300)) - 150
    image = np.random.default_rng(1).normal(0, 1e-4, (300, 300))
    # The third lobe tells up from down, which noise would do else.
    for flux, off, up in ((1e-2, 0, 0), (6e-3, 14, 0), (4e-3, 20, 5)):
        image = image + flux * np.exp(-((x - off) ** 2 + (y - up) ** 2) / 3.4)
    return central_crop(image[None].astype(np.float32), side)


def shown(image, spec):
    pixels = cut_to_field(prepare(image, spec), spec)
    batches = ImageSource(pixels, np.zeros(1, np.int64), spec, torch.device("cpu")).plain(np.arange(1))
    return next(batches.images())[0, 0].numpy()


def test_the_frame_looks_beyond_the_field():
    assert kept_field(spec_of("modern")) == 96
    assert kept_field(spec_of("sky")) == 96 + 2 * MARGIN


@pytest.mark.parametrize(("frame", "most"), [("sky", 0.02), ("sky-axis", 0.13)])
@pytest.mark.parametrize("side", [96, 100, 128, 160])
def test_a_smaller_image_is_shown_as_the_middle_of_a_larger_one(side, frame, most):
    """What is turned is centred to a fraction of a pixel, and moves by a hundredth of one at steep flanks."""
    spec = spec_of("sky", images={"frame": frame})
    large, small = shown(source(), spec), shown(source(side), spec)
    assert large.shape == small.shape == (96, 96)
    bright = large > 0.3
    # The noise is measured on less sky, hence another clip level, by some per cent of itself.
    assert np.abs(large - small)[bright].max() < most


@pytest.mark.parametrize(("frame", "most"), [("sky", 2e-3), ("sky-axis", 0.02)])
def test_a_source_off_the_centre_is_shown_alike(frame, most):
    spec = spec_of("sky", images={"frame": frame})
    there, moved = source(), np.roll(source(), (9, -7), (1, 2))
    np.testing.assert_allclose(shown(there, spec), shown(moved, spec), atol=most)


def test_without_a_frame_nothing_is_filled_up():
    spec = spec_of("modern")
    assert cut_to_field(np.ones((1, 90, 90), np.float32), spec).shape == (1, 90, 90)
    assert cut_to_field(np.ones((1, 128, 128), np.float32), spec).shape == (1, 96, 96)


@pytest.mark.parametrize("bad", [2, 130])
def test_an_image_that_cannot_be_prepared_is_called_by_its_name(bad):
    images = np.random.default_rng(1).normal(0, 1, (132, 24, 24)).astype(np.float32)
    images[bad] = 1
    spec = spec_of("becker2021", images={"field": 24, "size": 24})
    names = [f"s{i} (s{i}.fits)" for i in range(len(images))]
    with pytest.raises(DataError, match=rf"^s{bad} \(s{bad}\.fits\): all pixels are equal$"):
        prepare(images, spec, names=names)
    with pytest.raises(DataError, match=rf"^image {bad}: all pixels are equal$"):
        prepare(images, spec)


def test_a_source_whose_field_is_blanked_is_on_no_side(tmp_path):
    """What lies beyond the field does not count: neither blanks nor pixels there."""
    rng = np.random.default_rng(1)
    images = rng.normal(size=(24, 40, 40)).astype(np.float32)
    images[3, 12:28, 12:28] = np.nan
    images[4, :10] = np.nan
    for i, image in enumerate(images):
        place = tmp_path / ("FRI", "FRII")[i % 2] / f"s{i}.fits"
        place.parent.mkdir(exist_ok=True)
        fits.writeto(place, image)
    data = {
        "name": "folder",
        "path": str(tmp_path),
        "split": "becker2021",
        "train_size": 6,
        "validation_size": 3,
    }
    study = Study(name="s", networks=("lenet",), seeds=(1,), data=data, images={"field": 16, "size": 16})
    dataset = load_dataset(study.data)
    (spec,) = resolve(study, dataset.checksum, (40, 40))
    split = make_split(spec, dataset)
    gone = dataset.catalogue.source_id[split.assignment == ""].tolist()
    assert gone == ["s3"]
    assert [name for name, why in split.removed if "field of 16 pixels" in why] == ["s3"]


@pytest.mark.parametrize("protocol", ["becker2021", "sky"])
def test_images_that_fill_the_memory_are_prepared_into_a_file_and_give_the_same_batches(
    protocol, monkeypatch
):
    images = np.concatenate([source(), 2 * source()[:, ::-1]])
    spec, index = spec_of(protocol), np.arange(2)
    found = []
    for share in (storage.SHARE, 0.0):
        monkeypatch.setattr(storage, "SHARE", share)
        pixels = prepare(images, spec)
        assert isinstance(pixels, np.memmap) == (share == 0)
        batches = ImageSource(pixels, index, spec, torch.device("cpu")).training(index)
        found.append([part for part, _ in batches.epoch(1)])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("side", ["training", "validation"])
def test_rotated_batches_are_kept_and_are_those_that_were_made(side, monkeypatch):
    images = np.concatenate([source(), 2 * source()[:, ::-1], source()[:, :, ::-1]])
    spec, index, found = spec_of("becker2021"), np.arange(3), []
    pixels = prepare(images, spec)
    for without in ("rotations", ""):
        monkeypatch.setenv("RGBENCH_WITHOUT", without)
        batches = getattr(ImageSource(pixels, index, spec, torch.device("cpu")), side)(index)
        assert (batches.kept is None) == (without == "rotations")
        found.append([part for epoch in (1, 2, 3) for part, _ in batches.epoch(epoch)])
    assert len(batches.kept._batches) == len(batches) == 3
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
