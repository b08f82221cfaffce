"""FRGMRC: a made-up archive is read, its checksum recorded and compared."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from rgbench.data.catalogue import Flag
from rgbench.data.public.fetch import sha256_of
from rgbench.data.sets import load_data
from rgbench.errors import ChecksumError, DataError


def cutout(seed: int, side: int = 300) -> bytes:
    image = np.random.default_rng(seed).normal(0, 1e-4, (side, side)).astype(">f4")
    file = io.BytesIO()
    fits.writeto(file, image)
    return file.getvalue()


ROWS = [("BENT_1", 10.0, 1.0), ("COMPACT_1", 20.0, 2.0), ("FRI_1", 30.0, -3.0), ("FRII_1", 40.0, 4.0)]


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Give a writer of made-up FRGMRC archives in a temporary mirror with a temporary cache."""
    monkeypatch.setenv("RGBENCH_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("RGBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mirror" / "frgmrc").mkdir(parents=True)

    def write(rows=ROWS, header=("NAME", "RA", "DEC"), table=True, name="f.zip", **files):
        text = io.StringIO()
        csv.writer(text).writerows([header, *rows])
        path = tmp_path / "mirror" / "frgmrc" / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            if table:
                archive.writestr("R/R.csv", text.getvalue())
            for i, row in enumerate(rows):
                content = files.get(row[0], cutout(i))
                if content:
                    archive.writestr(f"R/{row[0]}.fits", content)
        return path

    return write


def test_frgmrc_is_read_from_an_archive_of_fits_and_a_table(mirror):
    mirror()
    dataset = load_data("frgmrc")
    assert dataset.images.shape == (4, 300, 300)
    assert dataset.images.dtype == np.float32
    assert dataset.images.dtype.isnative
    assert [dataset.classes[label] for label in dataset.catalogue.label] == ["Bent", "Compact", "FRI", "FRII"]
    assert dataset.catalogue.source_id.tolist() == [row[0] for row in ROWS]
    assert dataset.catalogue.dec.tolist() == [1.0, 2.0, -3.0, 4.0]
    with fits.open(io.BytesIO(cutout(2))) as units:
        np.testing.assert_array_equal(dataset.images[2], units[0].data)
    assert dataset.splits == {}


def test_images_of_frgmrc_that_cannot_be_used_are_set_aside(mirror):
    blank = io.BytesIO()
    fits.writeto(blank, np.full((300, 300), np.nan, np.float32))
    partly = io.BytesIO()
    image = np.random.default_rng(9).normal(size=(300, 300)).astype(np.float32)
    image[0] = np.nan
    fits.writeto(partly, image)
    mirror(BENT_1=None, COMPACT_1=cutout(1, side=20), FRI_1=blank.getvalue(), FRII_1=partly.getvalue())
    dataset = load_data("frgmrc")
    assert dict(dataset.set_aside) == {
        "BENT_1": "no image in the archive",
        "COMPACT_1": "is 20x20 pixels, expected 300x300",
        "FRI_1": "all pixels are NaN",
    }
    assert dataset.catalogue.flags.tolist() == [Flag.BLANKED]
    mirror(rows=ROWS[:1], BENT_1=None)
    Path(os.environ["RGBENCH_CACHE"], "frgmrc.sha256").unlink()
    with pytest.raises(DataError, match="none of 1 sources"):
        load_data("frgmrc")


def test_the_checksum_of_frgmrc_is_recorded_at_the_first_reading_and_compared_later(mirror):
    path = mirror()
    load_data("frgmrc")
    record = Path(os.environ["RGBENCH_CACHE"]) / "frgmrc.sha256"
    assert record.read_text() == f"{sha256_of(path)}  f.zip\n"
    assert len(load_data("frgmrc").catalogue) == 4
    mirror(rows=ROWS[:3])
    with pytest.raises(ChecksumError, match=r"was recorded at the first reading; .* delete .*frgmrc\.sha256"):
        load_data("frgmrc")
    record.unlink()
    assert len(load_data("frgmrc").catalogue) == 3


def test_without_frgmrc_it_says_what_to_fetch_and_where_to_put_it(mirror):
    with pytest.raises(
        DataError, match=r"10\.5281/zenodo\.7645530.*put it into .*mirror/frgmrc or .*cache/frgmrc"
    ):
        load_data("frgmrc")
    mirror()
    mirror(name="g.zip")
    with pytest.raises(DataError, match="holds 2 archives"):
        load_data("frgmrc")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": False}, "holds no table"),
        ({"header": ("Name", "RA", "DEC")}, "needs columns NAME, RA and DEC"),
        ({"rows": [("BENT_1", "x", 1)]}, "needs columns NAME, RA and DEC in degrees"),
        ({"rows": [("WAT_1", 1, 1)]}, "'WAT_1' starts with none of"),
        ({"BENT_1": b"no FITS"}, r"R/BENT_1\.fits: cannot be read as FITS"),
    ],
)
def test_a_broken_archive_of_frgmrc_is_named(mirror, change, message):
    mirror(**change)
    with pytest.raises(DataError, match=message) as caught:
        load_data("frgmrc")
    assert "f.zip" in str(caught.value)
