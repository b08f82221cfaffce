"""One's own data on the command line: what was done to them is said, and a run says what check said."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from rich.console import Console

from rgbench.cli.app import main
from rgbench.cli.work.data import NAMED, say_loaded
from rgbench.data.own.folder import load_folder
from rgbench.spec import read_study


def run(capsys, *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    said = capsys.readouterr()
    return ended.value.code or 0, " ".join((said.out + said.err).split())


def write(path: Path, shape: tuple[int, ...] = (300, 300), ra: float | None = None, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).normal(0, 1e-4, shape).astype(np.float32)
    pixels[..., shape[-2] // 2 - 6 :: 12, shape[-1] // 2][..., :2] += 0.05
    middle = slice(shape[-2] // 2 - 3, shape[-2] // 2 + 3), slice(shape[-1] // 2 - 3, shape[-1] // 2 + 3)
    pixels[(..., *middle)] += 0.05
    header = fits.Header()
    if ra is not None:
        header.update(
            {
                "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": ra, "CRVAL2": 30.0, "RADESYS": "ICRS",
                "CRPIX1": (shape[-1] + 1) / 2, "CRPIX2": (shape[-2] + 1) / 2, "CDELT1": -0.0005, "CDELT2": 0.0005,
            }
        )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.writeto(path, pixels, header)
    return path


def test_check_says_the_frame_the_middle_and_the_plane(tmp_path, capsys):
    write(tmp_path / "d/a.fits", (2, 60, 60), 10.65896728)
    old = SkyCoord(10.65896728, 30.005, unit="deg").fk4
    (tmp_path / "m.csv").write_text(f"name,RA (B1950),Dec (B1950)\na,{old.ra.deg:.7f},{old.dec.deg:.7f}\n")
    code, said = run(
        capsys, "data", "check", tmp_path / "d", "-f", tmp_path / "m.csv", "--plane", 1, "--size", 36
    )
    assert code == 0
    assert "RA and Dec are in FK4 B1950, as its head says: turned to ICRS" in said
    assert "the field is cut about that position" in said
    _, said = run(
        capsys,
        "data",
        "check",
        tmp_path / "d",
        "-f",
        tmp_path / "m.csv",
        "--plane",
        1,
        "--size",
        36,
        "--about",
        "image",
    )
    assert "the middle is taken all the same" in said
    code, said = run(capsys, "data", "check", tmp_path / "d", "--about", "centre")
    assert (code, "about: 'centre' was given; legal are image, source" in said) == (2, True)
    code, said = run(capsys, "data", "check", tmp_path / "d", "--plane", "x")
    assert (code, "plane: found 'x'" in said) == (2, True)


def test_a_run_says_the_counts_of_check(tmp_path, capsys):
    for i in range(8):
        write(tmp_path / f"d/s{i}.fits", (20, 20), seed=i)
    (tmp_path / "d/broken.fits").write_bytes(b"SIMPLE")
    screen = Console(width=300)
    say_loaded(load_folder(tmp_path / "d"), screen)
    loaded = capsys.readouterr().out
    assert loaded.startswith("8 sources loaded, 1 set aside\nset aside: ")
    assert loaded.count("the header tells no position") == NAMED
    assert "and 3 more: rgbench data check lists them" in loaded
    _, said = run(capsys, "data", "check", tmp_path / "d")
    assert "9 images: 8 ok, 0 repaired, 1 set aside" in said


def test_about_and_plane_are_keys_of_a_study(tmp_path, capsys):
    text = 'networks = ["mcrgnet"]\n[data]\npath = "."\ncutout = 60.0\nabout = "{}"\nplane = [0, 1]\n'
    (tmp_path / "s.toml").write_text(text.format("image"))
    data = read_study(tmp_path / "s.toml").data
    assert (data.about, data.plane) == ("image", (0, 1))
    (tmp_path / "s.toml").write_text(text.format("middle"))
    code, said = run(capsys, "run", tmp_path / "s.toml")
    assert (code, "key 'data.about': input should be 'source' or 'image', found 'middle'" in said) == (
        2,
        True,
    )
    (tmp_path / "s.toml").write_text('networks = ["mcrgnet"]\n[data]\nplane = 0\n')
    code, said = run(capsys, "run", tmp_path / "s.toml")
    assert (code, "[data] plane: goes with path" in said) == (2, True)


def test_predict_has_a_row_for_every_file_and_says_what_is_on_trust(tmp_path, capsys):
    write(tmp_path / "d/good.fits", ra=180.0)
    write(tmp_path / "d/nowhere.fits", seed=1)
    write(tmp_path / "d/mosaic.fits", (700, 700), 181.0, seed=2)
    write(tmp_path / "d/small.fits", (30, 30), 182.0, seed=3)
    write(tmp_path / "d/cube.fits", (2, 300, 300), 183.0, seed=4)
    out = tmp_path / "p.csv"
    code, said = run(capsys, "predict", tmp_path / "d", "--out", out, "--views", 1, "--pixel-scale", 1.8)
    rows = {row["source"]: row for row in csv.DictReader(out.read_text().splitlines())}
    assert code == 3
    assert set(rows) == {"good", "nowhere", "mosaic", "small", "cube"}
    assert rows["good"]["remark"] == ""
    assert rows["nowhere"]["remark"].startswith(
        "the header tells no position (CTYPE1 and CTYPE2 are missing); the source is taken"
    )
    assert rows["mosaic"]["remark"].startswith(
        "the image of 700x700 pixels is much larger than the field of 96x96"
    )
    assert rows["mosaic"]["remark"] in said
    assert (rows["small"]["class"], rows["small"]["p_FRI"]) == ("", "nan")
    assert rows["small"]["remark"].startswith("is 30x30 pixels")
    assert "give a plane (0 to 1)" in rows["cube"]["remark"]
    options = ("--plane", 1, "--overwrite", "--views", 1)
    code, said = run(
        capsys, "predict", tmp_path / "d/cube.fits", tmp_path / "d/good.fits", "--out", out, *options
    )
    assert (code, "2 sources" in said) == (0, True)


def test_names_that_fits_cannot_hold_are_written_as_python_does(tmp_path, capsys):
    write(tmp_path / "d/S\u00e9gr\u00e9.fits", (300, 300))
    write(tmp_path / "d/a\x07.fits", (300, 300), 181.0, seed=2)
    code, said = run(capsys, "predict", tmp_path / "d", "--out", tmp_path / "p.fits", "--pixel-scale", 1.8)
    assert code == 0, said
    names = {name.strip() for name in fits.getdata(tmp_path / "p.fits")["source"]}
    assert names == {r"S\xe9gr\xe9", r"a\x07"}


def test_a_sheet_that_cannot_be_written_is_refused_before_the_data_are_loaded(tmp_path, capsys, monkeypatch):
    def loaded(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("rgbench.cli.work.data.load_data", loaded)
    code, said = run(capsys, "data", "show", "first-galaxy-data", "--sheet", tmp_path / "no/folder.svg")
    assert (code, "there is no folder" in said) == (2, True)


def test_a_folder_of_a_name_that_no_file_system_holds_is_no_traceback(capsys):
    code, said = run(capsys, "data", "check", "d" * 300)
    assert (code, "neither a data set nor a folder" in said) == (2, True)
    code, said = run(capsys, "predict", "d" * 300)
    assert (code, "cannot be looked at: File name too long" in said) == (1, True)
