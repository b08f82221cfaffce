"""Foreign bytes: whatever a file holds, it gives an image or an error that names it, in bounded time and memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import resource
import signal
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from rgbench.errors import DataError, RgbenchError, SpecError
from rgbench.images import apart
from rgbench.images.fits import read_fits
from rgbench.images.limits import MAX_PIXELS

PIXELS = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
COUNTS = np.random.default_rng(1).integers(0, 200, (40, 50)).astype(np.int16)
CD = {"CD1_1": -0.0005, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0005}
PLACE = {"CRPIX1": 25.5, "CRPIX2": 20.5, "CRVAL1": 150.0, "CRVAL2": 20.0}
STEPS = {"CDELT1": -0.0005, "CDELT2": 0.0005}
HEADERS = (
    {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", **PLACE, **STEPS, "CROTA2": 3.0, "RADESYS": "FK5", "EQUINOX": 2000.0,
     "BMAJ": 0.0015, "BMIN": 0.001, "BPA": 3.0, "BUNIT": "Jy/beam", "LONPOLE": 180.0, "CUNIT1": "deg"},
    {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", **PLACE, **CD, "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-5,
     "B_0_2": 1e-5, "AP_ORDER": 2, "BP_ORDER": 2, "AP_2_0": -1e-5, "BP_0_2": -1e-5},
    {"CTYPE1": "RA---ZPN", "CTYPE2": "DEC--ZPN", **PLACE, **STEPS, "PC1_1": 1.0, "PC1_2": 0.1, "PC2_1": -0.1,
     "PC2_2": 1.0, "PV2_1": 1.0, "PV2_3": 40.0, "PV1_1": 10.0},
    {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", **PLACE, **CD, "PV1_0": 0.0, "PV1_1": 1.0, "PV1_4": 0.01},
)  # fmt: skip
TILES = (("RICE_1", PIXELS), ("GZIP_2", PIXELS), ("HCOMPRESS_1", COUNTS), ("PLIO_1", COUNTS))
KEYS = [
    "NAXIS", "NAXIS1", "NAXIS2", "BITPIX", "PCOUNT", "GCOUNT", "WCSAXES", "CTYPE9", "PV1_99", "PV2_999999", "A_ORDER",
    "A_9_9", "CD9_9", "PC1_2", "D2IMDIS1", "CPDIS1", "WAT0_001", "CRVAL99", "PS1_0", "LONPOLE", "EQUINOX", "RADESYS",
    "CUNIT1", "MJDREFI", "DATE-OBS", "CROTA1", "CTYPE1A", "CD1_1", "BLANK", "BZERO", "BSCALE", "EXTEND", "XTENSION",
    "ZNAXIS1", "ZTILE1", "ZCMPTYPE", "ZQUANTIZ", "ZVAL1", "TFORM1", "TTYPE1", "ZBITPIX", "ZBLANK", "THEAP",
]  # fmt: skip
VALUES = [
    "1E400", "-1", "0", "1e-300", "1E300", "'x'", "T", "999999999999999999999", "1000000000", "NaN", "'RA---TAN'",
    "'DEC--XPH'", "'FREQ'", "-32", "65", "(1,2)", "1.5", "'GZIP_1'", "'RICE_1'", "'HCOMPRESS_1'", "'PLIO_1'", "8", "64",
    "-64", "'1PB(9)'",
]  # fmt: skip


def whole_files() -> list[bytes]:
    files = []
    units = [fits.PrimaryHDU(PIXELS, fits.Header(keys)) for keys in HEADERS]
    units += [fits.CompImageHDU(data, fits.Header(HEADERS[0]), compression_type=kind) for kind, data in TILES]
    for unit in units:
        unit.writeto(buffer := io.BytesIO())
        files.append(buffer.getvalue())
    return files


def mutated(raw: bytes, chance: np.random.Generator) -> bytes:
    """Change cards, bytes of headers and data, and the length; pack some."""
    content = bytearray(raw)
    ends = [at for at in range(0, len(content), 80) if content[at : at + 8] == b"END     "]
    head = ends[-1]
    for _ in range(chance.integers(1, 5)):
        card = 80 * int(chance.integers(0, head // 80))
        value = VALUES[chance.integers(len(VALUES))]
        match chance.integers(5):
            case 0:
                content[card + 10 : card + 80] = value.ljust(70).encode()
            case 1:
                content[card : card + 80] = f"{KEYS[chance.integers(len(KEYS))]:8}= {value}".ljust(
                    80
                ).encode()
            case 2:
                content[int(chance.integers(head))] = int(chance.integers(256))
            case 3:
                at, many = int(chance.integers(head, len(content))), int(chance.integers(1, 40))
                content[at : at + many] = chance.bytes(len(content[at : at + many]))
    if chance.random() < 0.1:
        content = content[: int(chance.integers(len(content)))]
    if chance.random() < 0.2:
        content = bytearray(gzip.compress(content))
        for _ in range(chance.integers(0, 3)):
            content[int(chance.integers(len(content)))] = int(chance.integers(256))
    return bytes(content)


def read_all(path: Path, first: int, count: int) -> dict[str, int]:
    """Read mutated files and all that is asked of their headers; count images, positions and errors."""
    files, found = whole_files(), {"image": 0, "position": 0, "error": 0, "unnamed": 0}
    for seed in range(first, first + count):
        chance = np.random.default_rng(seed)
        path.write_bytes(mutated(files[seed % len(files)], chance))
        try:
            image = read_fits(path)
            told = (
                image.centre,
                image.pixel_scale,
                image.beam_on_pixels,
                image.frequency,
                image.unit,
                image.survey,
            )
            assert all(part is not None for part in told)
            found["image"] += 1
            found["position"] += bool(np.isfinite(image.centre).all())
        except RgbenchError as error:
            found["error"] += str(path) in str(error)
            found["unnamed"] += str(path) not in str(error)
    return found


def test_mutated_files_give_an_image_or_an_error(tmp_path):
    found = read_all(tmp_path / "m.fits", 0, 40)
    assert found.pop("unnamed") == 0
    assert min(found.values()) >= 5


@pytest.mark.slow
def test_many_mutated_files_give_an_image_or_an_error_in_bounded_time_and_memory(tmp_path):
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = read_all(tmp_path / "m.fits", 1000, 1200)
    assert found.pop("unnamed") == 0
    assert min(found.values()) >= 100
    assert time.process_time() - start < 120
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes"


def promise(**cards) -> bytes:
    header = fits.PrimaryHDU(PIXELS).header
    header.update(cards)
    return header.tostring().encode() + PIXELS.astype(">f4").tobytes()


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ({"NAXIS1": 10**9, "NAXIS2": 10**9}, "promises 1000000000x1000000000 pixels; at most 400000000"),
        ({"NAXIS1": -3}, "a side must be 0 or more"),
        ({"NAXIS": 999}, "NAXIS is 999; 0 to 9 axes are legal"),
        ({"NAXIS1": 50.5}, "NAXIS1 is 50.5; a whole number is needed"),
        ({"BITPIX": 7}, "BITPIX is 7"),
        ({"NAXIS1": 5000}, "the file ends after"),
    ],
)
def test_what_a_header_promises_is_looked_at_before_it_is_believed(tmp_path, cards, message):
    path = tmp_path / "a.fits"
    path.write_bytes(promise(**cards))
    with pytest.raises(DataError, match=f"a.fits: cannot be read as FITS: .*{message}"):
        read_fits(path)


def test_a_packed_image_of_too_many_columns_is_refused_at_once(tmp_path):
    """Found by the campaign: astropy looks for each column, for hours."""
    fits.CompImageHDU(PIXELS).writeto(path := tmp_path / "a.fits")
    whole = path.read_bytes()
    card = re.search(rb"TFIELDS =\s+\d+", whole).group()
    path.write_bytes(whole.replace(card, f"TFIELDS = {2**63:>20}".encode()))
    with pytest.raises(DataError, match=r"TFIELDS is \d+; 0 to 999 columns are legal"):
        read_fits(path)


def test_a_header_without_an_end_is_not_searched_for_ever(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(b"SIMPLE  =                    T".ljust(80) + b" " * 2880 * 1200)
    with pytest.raises(DataError, match="the header of unit 0 has no END within 2880000 bytes"):
        read_fits(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_are_unpacked_up_to_a_limit(tmp_path, monkeypatch, pack):
    fits.PrimaryHDU(PIXELS).writeto(buffer := io.BytesIO())
    path = tmp_path / "a.fits"
    path.write_bytes(pack(buffer.getvalue()))
    np.testing.assert_array_equal(read_fits(path).pixels, PIXELS)
    monkeypatch.setattr("rgbench.images.limits._HEAD", 0)
    monkeypatch.setenv("RGBENCH_MAX_PIXELS", "1000")
    with pytest.raises(DataError, match="unpacks to more than 8000 bytes.*RGBENCH_MAX_PIXELS"):
        read_fits(path)


def test_the_limit_of_pixels_is_the_user_s(tmp_path, monkeypatch):
    path = tmp_path / "a.fits"
    fits.writeto(path, PIXELS)
    for said, legal in (("2000", True), ("1999", False), (str(MAX_PIXELS), True)):
        monkeypatch.setenv("RGBENCH_MAX_PIXELS", said)
        if legal:
            assert read_fits(path).pixels.shape == (40, 50)
            continue
        with pytest.raises(DataError, match=r"promises 40x50 pixels; at most 1999 .* RGBENCH_MAX_PIXELS"):
            read_fits(path)
    monkeypatch.setenv("RGBENCH_MAX_PIXELS", "many")
    with pytest.raises(SpecError, match="RGBENCH_MAX_PIXELS: 'many' was given"):
        read_fits(path)


def test_other_packings_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.fits", "w") as file:
        file.writestr("b", "c")
    (tmp_path / "b.fits").write_bytes(b"\x1f\x9d\x90abc")
    for name, kind in (("a", "ZIP"), ("b", "compress")):
        with pytest.raises(DataError, match=f"{name}.fits: cannot be read as FITS: it is packed by {kind}"):
            read_fits(tmp_path / f"{name}.fits")


@pytest.fixture
def tiled(tmp_path) -> Path:
    path = tmp_path / "t.fits.fz"
    fits.CompImageHDU(PIXELS, compression_type="GZIP_2", quantize_level=0).writeto(path)
    return path


def test_the_death_of_the_reader_costs_one_file(tiled, monkeypatch):
    reader = apart.Reader()
    asked = {"what": "tiles", "place": 1, "shape": (40, 50)}
    np.testing.assert_array_equal(reader.ask(tiled, asked)[1], PIXELS)
    process = reader._process
    monkeypatch.setattr(reader, "_running", lambda: process)
    os.kill(process.pid, signal.SIGSEGV)
    with pytest.raises(OSError, match="reading it ended with Segmentation fault"):
        reader.ask(tiled, asked)
    monkeypatch.undo()
    np.testing.assert_array_equal(reader.ask(tiled, asked, tiled.read_bytes())[1], PIXELS)
    assert reader._process.pid != process.pid


def test_one_process_reads_all_compressed_files(tiled):
    read_fits(tiled)
    first = apart._reader()._process.pid
    assert [read_fits(tiled).pixels.shape for _ in range(3)] == [(40, 50)] * 3
    packed = tiled.with_name("t.fits.gz")
    packed.write_bytes(gzip.compress(tiled.read_bytes()))
    np.testing.assert_array_equal(read_fits(packed).pixels, PIXELS)
    assert apart._reader()._process.pid == first


@pytest.mark.parametrize(("key", "value"), [("ZNAXIS2", 400), ("ZCMPTYPE", "RICE_1"), ("ZBITPIX", 7)])
def test_a_header_that_lies_about_its_tiles_is_refused(tiled, key, value):
    with fits.open(tiled, mode="update", disable_image_compression=True) as units:
        units[1].header[key] = value
    with pytest.raises(DataError, match=r"t\.fits\.fz: cannot be read as FITS"):
        read_fits(tiled)


@pytest.mark.parametrize("offset", [0, 32768])
@pytest.mark.parametrize("packed", [False, True])
def test_blank_is_compared_with_the_stored_number(tmp_path, offset, packed):
    """FITS 4.0, 4.4.2.5: before BSCALE and BZERO, which make integers unsigned."""
    stored = (np.arange(2000).reshape(40, 50) - 1000).astype(np.int16)
    stored[:3] = 32767
    unit = fits.CompImageHDU(stored) if packed else fits.PrimaryHDU(stored)
    path = tmp_path / "u.fits"
    unit.writeto(path)
    with fits.open(
        path, mode="update", disable_image_compression=True, do_not_scale_image_data=True
    ) as units:
        header = units[-1].header
        header["BZERO"], header["BSCALE"], header["BLANK"] = offset, 1, 32767
    found = read_fits(path).pixels
    assert np.isnan(found[:3]).all()
    np.testing.assert_array_equal(found[3:], stored[3:].astype(np.float32) + offset)
