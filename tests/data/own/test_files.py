"""One reader of image files: what it finds, and that a file has the same verdict wherever it is read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import struct
import zlib
from functools import partial

import numpy as np
import pytest
from astropy.io import fits

from rgbench.data.own.check import check_folder, check_own
from rgbench.data.own.files import (
    ImageFile,
    examine,
    file_stem,
    find_images,
    passed_over,
    read_image,
    search_images,
)
from rgbench.data.own.folder import load_folder
from rgbench.data.own.manifest import is_original, read_manifest
from rgbench.data.own.tabular import read_table
from rgbench.errors import DataError
from rgbench.images.fits import ENDINGS, read_fits

SIDE = 24
PACKED = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def source(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(SIDE, SIDE)).astype(np.float32)


def compressed(path, pixels) -> None:
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(pixels, compression_type="GZIP_1", quantize_level=0)]
    ).writeto(path)


@pytest.fixture
def folder(tmp_path):
    """Images of every ending, of which some cannot be used, and files that are none."""
    root = tmp_path / "images"
    root.mkdir()
    for number, ending in enumerate(ENDINGS):
        path = root / f"J{number}{ending}"
        if ending.endswith(".fz"):
            compressed(path, source(number))
            continue
        fits.writeto(root / "new.fits", source(number))
        content = (root / "new.fits").read_bytes()
        path.write_bytes(PACKED.get(path.suffix, bytes)(content))
        (root / "new.fits").unlink()
    compressed(root / "ROOM.FITS.FZ", source(90))
    fits.writeto(root / "blank.fits", np.full((SIDE, SIDE), np.nan, np.float32))
    fits.writeto(root / "equal.fit", np.ones((SIDE, SIDE), np.float32))
    (root / "text.fts").write_text("no FITS")
    shutil.copy(root / "J0.fits", root / "J0_rot_15.fits")
    shutil.copy(root / "J0.fits", root / "J0_clipped.fits")
    shutil.copy(root / "J0.fits", root / ".hidden.fits")
    (root / "notes.txt").write_text("none")
    (root / "folder.fits").mkdir()
    return root


GOOD = {f"J{number}" for number in range(len(ENDINGS))} | {"ROOM"}
BAD = {"blank": "all pixels are NaN", "equal": "all pixels are equal", "text": "cannot be read as FITS"}


def test_all_kinds_of_fits_are_found_and_nothing_else(folder):
    assert set(ENDINGS) == {
        f"{one}{two}" for one in (".fits", ".fit", ".fts") for two in ("", *PACKED, ".fz")
    }
    found = find_images([folder])
    assert {file.name for file in found} == GOOD | set(BAD)
    assert [file.path for file in found] == sorted(file.path for file in found)


def test_a_file_that_is_named_is_taken_whatever_it_is_called(folder):
    named = [folder / "J0_rot_15.fits", folder / "notes.txt", str(folder / "ROOM.FITS.FZ")]
    assert [file.name for file in find_images(named)] == ["J0_rot_15", "notes.txt", "ROOM"]
    with pytest.raises(DataError, match="gone: there is no such file or folder"):
        find_images([folder, folder / "gone"])


def test_every_kind_of_fits_holds_what_was_written(folder):
    for file in find_images([folder]):
        if file.name in GOOD - {"ROOM"}:
            image, reason = examine(file)
            np.testing.assert_array_equal(image.pixels, source(int(file.name[1:])))
            assert reason == ""


def test_a_file_has_the_same_verdict_when_it_is_checked_and_when_it_is_loaded(folder):
    alone = {file.name: examine(file)[1] for file in find_images([folder])}
    checked = {finding.name: finding for finding in check_folder(folder)}
    loaded = load_folder(folder)
    aside = {name: reason.removeprefix(f"{checked[name].path}: ") for name, reason in loaded.set_aside}
    assert {name for name, reason in alone.items() if reason} == set(aside) == set(BAD)
    for name, reason in BAD.items():
        assert reason in alone[name]
        assert aside[name] == alone[name]
        assert checked[name].status == "set aside"
        assert checked[name].problems[0] == alone[name]
    assert {name for name, finding in checked.items() if finding.status != "set aside"} == GOOD
    assert set(loaded.catalogue.source_id.tolist()) == GOOD


def test_what_is_passed_over_is_counted_by_kind(folder):
    (folder / "deep.imfits").touch()
    (folder / "old.tar.gz").touch()
    (folder / "README").touch()
    said = passed_over(search_images([folder]).passed)
    head, kinds = said.split(": ")
    assert head == "6 files passed over"
    assert kinds.startswith("copies named _clipped or _rot 2, ")
    assert set(kinds.split(", ")[1:]) == {"without ending 1", ".imfits 1", ".txt 1", ".tar.gz 1"}
    assert said in check_own(folder).remarks
    assert passed_over(search_images([folder], [".fits"]).passed).startswith(f"{6 + len(ENDINGS) + 2} files")
    table = folder / "notes.txt"
    table.write_text("name,path,ra,dec\nJ0,J0.fits,10,20\n")
    assert ".txt" not in check_own(folder, table).remarks[-1]


def test_a_copy_of_the_testbed_without_its_original_is_an_image(tmp_path):
    for name in ("a_clipped.fits", "b_rot_90.fits", "b.fits", "b_clipped_rot_90.fits", "c_rot_x.fits"):
        fits.writeto(tmp_path / name, source(1))
    assert [file.name for file in find_images([tmp_path])] == ["a_clipped", "b", "c_rot_x"]
    assert (
        passed_over(search_images([tmp_path]).passed)
        == "2 files passed over: copies named _clipped or _rot 2"
    )


def test_links_are_followed_each_folder_once_and_broken_ones_are_told(tmp_path):
    root, other = tmp_path / "images", tmp_path / "other"
    (root / "sub").mkdir(parents=True)
    (other / "deep").mkdir(parents=True)
    fits.writeto(root / "sub" / "a.fits", source(1))
    fits.writeto(other / "b.fits", source(2))
    fits.writeto(other / "deep" / "c.fits", source(3))
    (root / "around").symlink_to(root)  # without end
    (root / "again").symlink_to(root / "sub")
    (root / "deep").symlink_to(other / "deep")
    (root / "outside").symlink_to(other)
    (other / "back").symlink_to(root)
    (root / "file.fits").symlink_to(other / "b.fits")
    (root / "gone.fits").symlink_to("nowhere.fits")
    (root / "self.fits").symlink_to("self.fits")
    found = {file.name: file for file in find_images([root])}
    assert sorted(found) == ["a", "b", "c", "file", "gone", "self"]
    there = sorted(file.path.resolve() for file in found.values() if file.path.exists())
    assert there == sorted([root / "sub/a.fits", other / "b.fits", other / "b.fits", other / "deep/c.fits"])
    assert examine(found["gone"]) == (None, "is a link to nowhere.fits, which is not there")
    told = {finding.name: finding for finding in check_folder(root)}
    assert told["gone"].problems == ("is a link to nowhere.fits, which is not there",)
    assert told["gone"].status == told["self"].status == "set aside"


@pytest.mark.parametrize("name", ["a.fits", "a.fits.fz", "a.png", "a.h5", "a.table"])
def test_what_is_no_regular_file_is_told_not_waited_for(fifo, tmp_path, name):
    path = fifo(tmp_path / name)
    (named,) = find_images([path])
    reason = examine(named)[1]
    assert "is no regular file but a FIFO, a socket or a device; only regular files are read" in reason
    if name != "a.table":
        assert [file.path for file in find_images([tmp_path])] == [path]


@pytest.mark.parametrize("name", ["a.csv", "a.vot", "a.fits", "a.parquet"])
def test_a_table_that_is_no_regular_file_is_told(fifo, tmp_path, name):
    path = fifo(tmp_path / name)
    assert not is_original(path)
    for reader in (read_table, partial(read_manifest, labels={})):
        with pytest.raises(DataError, match=f"{name}: cannot be read.*: is no regular file"):
            reader(path)
    with pytest.raises(DataError, match=f"{name}: cannot be read as FITS: is no regular file"):
        read_fits(path)


def test_what_is_absent_says_why():
    assert examine(ImageFile("a", "a.fits", absent="its name is that of two")) == (
        None,
        "its name is that of two",
    )


@pytest.mark.parametrize("ending", [*ENDINGS, ".FITS.gz", ".png", ".h5", ".hdf5", ""])
def test_names_are_without_endings(ending):
    assert file_stem(f"a/J1.5+2.5{ending}") == "J1.5+2.5"


def png(path, planes, bits: int, kind: int, *chunks: tuple[bytes, bytes]) -> None:
    """Write a PNG by its definition: signature, header, lines without a filter, end."""
    pixels = np.stack(planes, -1).astype(">u2" if bits == 16 else "u1")
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, kind, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(b)) + t + b + struct.pack(">I", zlib.crc32(t + b)) for t, b in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def test_a_png_keeps_all_its_bits_or_is_refused(tmp_path):
    pytest.importorskip("PIL")
    deep = np.arange(1024).reshape(32, 32) * 61
    opaque = deep * 0 + 65535
    png(tmp_path / "grey.png", [deep], 16, 0)
    np.testing.assert_array_equal(read_image(ImageFile("grey", tmp_path / "grey.png")).pixels, deep)
    for kind, planes in ((4, [deep, opaque]), (2, [deep] * 3), (6, [deep] * 3 + [opaque])):
        png(tmp_path / "deep.png", planes, 16, kind)
        with pytest.raises(DataError, match=r"deep\.png: has 16 bits and colour, or transparency"):
            read_image(ImageFile("deep", tmp_path / "deep.png"))
    flat = deep % 251
    for kind, planes in (
        (0, [flat]),
        (4, [flat, flat * 0 + 255]),
        (2, [flat] * 3),
        (6, [flat] * 3 + [flat * 0 + 255]),
    ):
        png(tmp_path / "flat.png", planes, 8, kind)
        np.testing.assert_array_equal(read_image(ImageFile("flat", tmp_path / "flat.png")).pixels, flat)
    palette = (b"PLTE", bytes(v for i in range(256) for v in (255 - i,) * 3))
    png(tmp_path / "flat.png", [flat], 8, 3, palette)
    np.testing.assert_array_equal(read_image(ImageFile("flat", tmp_path / "flat.png")).pixels, 255 - flat)


def test_a_large_png_is_refused_before_it_is_read(tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    png(tmp_path / "a.png", [np.zeros((32, 32))], 8, 0)
    monkeypatch.setenv("RGBENCH_MAX_PIXELS", "1023")
    with pytest.raises(
        DataError, match=r"a\.png: cannot be read as PNG: it promises 32x32 pixels; at most 1023"
    ):
        read_image(ImageFile("a", tmp_path / "a.png"))
