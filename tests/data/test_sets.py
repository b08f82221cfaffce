"""The data sets: facts of the publications, real files, robust folders."""

from __future__ import annotations

import csv
import gzip
import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from rgbench.data.catalogue import CLASSES
from rgbench.data.own.folder import load_folder
from rgbench.data.own.manifest import read_class_labels, read_manifest
from rgbench.data.public import fetch
from rgbench.data.public.fetch import locate
from rgbench.data.sets import data_names, describe_data, first_galaxy_data, load_data
from rgbench.data.split import published_split
from rgbench.errors import DataError, SpecError
from rgbench.images.fits import read_fits

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")


@pytest.fixture(scope="module")
def first():
    return load_data("first-galaxy-data")


def test_first_galaxy_data_has_the_published_numbers(first):
    assert first.images.shape == (2158, 300, 300)
    assert first.images.dtype == np.uint8
    assert Counter(first.splits["published"]) == {"train": 1758, "validation": 200, "test": 200}
    counts = Counter(CLASSES[label] for label in first.catalogue.label)
    assert counts == {"FRI": 495, "FRII": 924, "Compact": 391, "Bent": 348}
    assert Counter(first.catalogue.extra["parent"])["Proctor_Tab1"] == 281
    assert len(set(first.catalogue.source_id)) == 2158


def test_first_galaxy_data_positions_agree_with_the_rounded_ones(first):
    with zipfile.ZipFile(locate(first_galaxy_data.ARCHIVE)) as archive:
        import io

        import h5py

        file = h5py.File(io.BytesIO(archive.read(archive.namelist()[0])), "r")
    for i in range(0, 2158, 40):
        group = file[first.catalogue.path[i]]["Img"]
        assert abs(group.attrs["RA"] - first.catalogue.ra[i]) < 0.0015
        assert abs(group.attrs["DEC"] - first.catalogue.dec[i]) < 0.0015
        np.testing.assert_array_equal(group[()], first.images[i])


def test_first_galaxy_data_split_is_clean(first):
    split = published_split(first)
    assert [len(split.indices(s)) for s in ("train", "validation", "test")] == [1758, 198, 200]
    assert len(split.removed) == 2


@pytest.mark.slow
@needs_mirror
def test_first_galaxy_data_loads_from_the_mirror_too(first, monkeypatch):
    monkeypatch.setattr(fetch.metadata, "files", lambda name: [])
    assert load_data("first-galaxy-data").checksum == first.checksum


def test_names_and_cards():
    assert "first-galaxy-data" in data_names()
    card = describe_data("first-galaxy-data")
    assert card["pixel_scale"] == 1.8
    assert "1994, University of California" in card["licence"]
    with pytest.raises(SpecError, match="did you mean first-galaxy-data"):
        load_data("first-galaxy")


def source(seed: int = 0, side: int = 40) -> np.ndarray:
    image = np.random.default_rng(seed).normal(0, 1e-4, (side, side)).astype(np.float32)
    image[side // 2 - 2 : side // 2 + 2, side // 2 - 2 : side // 2 + 2] += 0.1
    return image


@pytest.fixture
def folder(tmp_path):
    for c, name in enumerate(("COMP", "FRI", "FRII", "BENT")):
        (tmp_path / name).mkdir()
        for i in range(3):
            fits.writeto(tmp_path / name / f"J0{c}0{i}00.00+1{i}0000.0.fits", source(10 * c + i))
    return tmp_path


def test_a_folder_in_the_original_s_layout(folder):
    dataset = load_folder(folder)
    assert dataset.classes == CLASSES
    assert Counter(dataset.catalogue.label.tolist()) == {0: 3, 1: 3, 2: 3, 3: 3}
    assert dataset.catalogue.ra[0] == 0.0
    assert dataset.catalogue.dec[1] == 11.0
    assert dataset.images.shape == (12, 40, 40)


def test_what_the_original_wrote_beside_the_images_is_passed_over(folder):
    fits.writeto(folder / "FRI" / "J010000.00+100000.0_rot_15.fits", source())
    fits.writeto(folder / "FRI" / "J010000.00+100000.0_clipped.fits", source())
    assert len(load_folder(folder).catalogue) == 12


def test_bad_files_are_set_aside_and_named(folder):
    bad = folder / "FRII"
    (bad / "truncated.fits").write_bytes((bad / "J020000.00+100000.0.fits").read_bytes()[:4000])
    (bad / "text.fits").write_text("this is not FITS")
    fits.writeto(bad / "nan.fits", np.full((40, 40), np.nan, np.float32))
    fits.writeto(bad / "zero.fits", np.zeros((40, 40), np.float32))
    fits.writeto(bad / "constant.fits", np.ones((40, 40), np.float32))
    fits.writeto(bad / "small.fits", source(side=20))
    dataset = load_folder(folder, image_size=(40, 40))
    assert len(dataset.catalogue) == 12
    aside = dict(dataset.set_aside)
    assert set(aside) == {"truncated", "text", "nan", "zero", "constant", "small"}
    assert "the file ends after 4000 bytes" in aside["truncated"]
    assert "cannot be read as FITS" in aside["text"]
    assert "all pixels are NaN" in aside["nan"]
    assert "all pixels are equal" in aside["zero"]
    assert "all pixels are equal" in aside["constant"]
    assert "is 20x20 pixels, expected 40x40" in aside["small"]


def write_manifest(folder, *rows):
    path = folder / "manifest.csv"
    path.write_text("Name,Type-MAN\n" + "\n".join(rows) + "\n")
    return path


def test_a_manifest_chooses_and_orders(folder):
    manifest = write_manifest(
        folder, "J030000.00+100000.0,4", "J000000.00+100000.0,1F", "J010000.00+100000.0,2", "gone,3"
    )
    dataset = load_folder(folder, manifest)
    assert dataset.catalogue.source_id.tolist() == ["J030000.00+100000.0", "J010000.00+100000.0"]
    assert dataset.catalogue.label.tolist() == [3, 1]
    assert "there is no such file" in dict(dataset.set_aside)["gone"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,1", "a,2"], "row 3: the name 'a' stands in row 2 already"),
        (["a,7"], "row 2: unknown class label '7'; legal are 1 .COMP., 2 .FRI., 3 .FRII., 4 .BENT., 1F"),
        (["a"], "row 2: has 1 cells, 2 are needed"),
        ([",1"], "row 2: the name is empty"),
        ([], "holds no source"),
    ],
)
def test_mistakes_in_a_manifest_name_the_row(folder, rows, message):
    with pytest.raises(DataError, match=message) as caught:
        read_manifest(write_manifest(folder, *rows), read_class_labels())
    assert "manifest.csv" in str(caught.value)


def test_class_labels_are_read(tmp_path):
    path = tmp_path / "class_labels.txt"
    path.write_text("Label,Class\n1,COMP\n2,FRI\n")
    assert read_class_labels(path) == {"1": "COMP", "2": "FRI"}
    with pytest.raises(DataError, match=r"missing.txt: cannot be read"):
        read_class_labels(tmp_path / "missing.txt")


def test_an_empty_or_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no FITS image in its folders COMP, FRI, FRII, BENT"):
        load_folder(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        load_folder(tmp_path / "nowhere")


def test_fits_of_any_kind_are_read(tmp_path):
    image = source()
    fits.writeto(tmp_path / "cube.fits", image[None, None].astype(">f8"))
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image)]).writeto(tmp_path / "ext.fits")
    scaled = fits.PrimaryHDU(np.arange(1600, dtype=np.int16).reshape(40, 40))
    scaled.header["BSCALE"], scaled.header["BZERO"] = 0.5, 10.0
    scaled.writeto(tmp_path / "scaled.fits")
    with gzip.open(tmp_path / "z.fits.gz", "wb") as file:
        file.write((tmp_path / "ext.fits").read_bytes())
    for name in ("cube.fits", "ext.fits", "z.fits.gz"):
        read = read_fits(tmp_path / name)
        np.testing.assert_array_equal(read.pixels, image)
        assert read.pixels.dtype == np.float32
        assert read.pixels.dtype.isnative
    np.testing.assert_allclose(read_fits(tmp_path / "scaled.fits").pixels[0, :3], [10, 10.5, 11])
    fits.writeto(tmp_path / "true_cube.fits", np.zeros((3, 40, 40), np.float32))
    with pytest.raises(DataError, match=r"true_cube.fits: the image has shape \(3, 40, 40\)"):
        read_fits(tmp_path / "true_cube.fits")
    fits.PrimaryHDU().writeto(tmp_path / "none.fits")
    with pytest.raises(DataError, match="none.fits: holds no image"):
        read_fits(tmp_path / "none.fits")


@needs_mirror
def test_every_public_fits_is_read_or_refused_with_a_reason():
    paths = sorted(MIRROR.glob("*FITS*/*.fits*"))
    assert len(paths) > 150
    for path in paths:
        read = read_fits(path)
        assert read.pixels.ndim == 2
    first = read_fits(sorted((MIRROR / "MiraBest_FITS").glob("*.fits.gz"))[0])
    assert first.pixels.shape == (300, 300)
    assert first.pixel_scale == pytest.approx(1.8, rel=1e-3)
    assert first.unit.upper() == "JY/BEAM"


@needs_mirror
def test_the_public_manifests_are_read():
    rows = {
        n: read_manifest(MIRROR / "catalogues/original" / f"{n}_manifest.csv", read_class_labels())
        for n in ("LRG", "unLRG")
    }
    assert {name: len(found) for name, found in rows.items()} == {"LRG": 1328, "unLRG": 14093}
    assert Counter(label for _, label in rows["LRG"])["1F"] == 134
    with (MIRROR / "catalogues/original/LRG_manifest.csv").open() as file:
        assert [row[0] for row in csv.reader(file)][1:] == [name for name, _ in rows["LRG"]]
