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
from rgbench.data.own.folder import FolderOptions, load_folder
from rgbench.data.own.labels import LabelRule
from rgbench.data.own.sources import SourceColumns
from rgbench.errors import DataError
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
    assert loaded.startswith("8 sources loaded, 1 set aside\nNo source has a label: ")
    assert loaded.count("the header tells no position") == NAMED
    assert "and 3 more: rgbench data check --all lists them" in loaded
    _, said = run(capsys, "data", "check", tmp_path / "d")
    assert "9 images: 8 ok, 0 repaired, 1 set aside" in said


@pytest.fixture
def survey(tmp_path) -> Path:
    """Eight images on the sky, of which a table names the right positions, three labels and two files that are not."""
    for i in range(8):
        write(tmp_path / f"d/s{i}.fits", (40, 40), 150.0 + i, seed=i)
    labels = ["fri", "WAT", "FR II", "", "n/a", "Hybrid", "hybrid", "FRI"]
    rows = [f"s{i}.fits,{150 + i},30,{label}" for i, label in enumerate(labels)]
    lines = ["File_ID,RA,Dec,kind", *rows, "gone.fits.gz,1,2,FRI"]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def check(capsys, survey: Path, *options: object) -> tuple[int, str]:
    return run(
        capsys, "data", "check", survey / "d", "-f", survey / "t.csv", "--column", "label=kind", *options
    )


def test_check_counts_classes_and_says_who_has_no_label(survey, capsys):
    code, said = check(capsys, survey)
    assert (code, "unknown label 'Hybrid'" in said, "--leave-out WORD" in said) == (1, True, True)
    code, said = check(capsys, survey, "--leave-out", "Hybrid")
    assert code == 0, said
    assert "2 sources with the label 'Hybrid' are left out, as asked" in said
    assert "2 of 9 sources in the table are without a label" in said
    assert "Classes: 2 FRI, 1 FRII, 1 Bent, 4 without a label No source is Compact:" in said
    assert "gone.fits.gz: in the manifest, but missing" in said
    assert "gone.fits.gz.fits" not in said
    assert "8 images: 8 ok, 0 repaired, 0 set aside; 1 row of the table without an image" in said
    assert "odd" not in said


def test_a_run_says_the_same_and_a_study_leaves_out_what_it_names(survey, capsys, monkeypatch):
    monkeypatch.chdir(survey)
    text = (
        'networks = ["mcrgnet"]\n[data]\nname = "mine"\npath = "d"\nmanifest = "t.csv"\ncolumns = { label = "kind" }\n'
        'split = "becker2021"\n'
    )
    (survey / "s.toml").write_text(text)
    code, said = run(capsys, "run", "s.toml", "--store", "store", "--device", "cpu")
    assert (code, "unknown label 'Hybrid'" in said, "leave_out = [" in said) == (1, True, True)
    (survey / "s.toml").write_text(
        text + 'leave_out = ["hybrid"]\nlabels = { wat = "fri" }\n[images]\nfield = 32\n'
    )
    code, said = run(capsys, "run", "s.toml", "--store", "store", "--device", "cpu")
    assert "8 sources loaded, 1 set aside Classes: 3 FRI, 1 FRII, 4 without a label" in said
    assert "No source is Compact or Bent: a network that is trained on these data will not know it" in said
    assert "2 sources with the label 'hybrid' are left out, as asked" in said
    assert (code, "train_size and validation_size under [data] of a study" in said) == (1, True)
    (survey / "s.toml").write_text('networks = ["mcrgnet"]\n[data]\nleave_out = ["Hybrid"]\n')
    code, said = run(capsys, "run", "s.toml")
    assert (code, "[data] leave_out: goes with path" in said) == (2, True)


def test_equal_complaints_are_shortened_unless_all_are_asked_for(survey, capsys):
    table = (survey / "t.csv").read_text().replace("File_ID", "which")
    (survey / "t.csv").write_text(table)
    code, said = check(capsys, survey, "--leave-out", "Hybrid")
    assert said.count("in the manifest, but missing") == NAMED
    assert said.count("not in the manifest") == NAMED
    assert "and 4 more like these; --all names them" in said
    assert "and 3 more like these; --all names them" in said
    assert "no column of names or files was found among which, RA, Dec, kind" in said
    assert "--column name=which" in said
    assert "error: " in said
    assert (code, "none of the images can be used" in said) == (1, True)
    _, said = check(capsys, survey, "--leave-out", "Hybrid", "--all")
    assert said.count("in the manifest, but missing") == 9
    assert "more like these" not in said


def test_what_is_only_cut_is_not_called_repaired(survey, capsys):
    code, said = check(capsys, survey, "--leave-out", "Hybrid", "--size", 36)
    assert code == 0
    assert "8 images: 0 ok, 8 cut to size, 0 repaired, 0 set aside" in said
    assert "copied" not in said, "healthy images are not listed"
    _, said = check(capsys, survey, "--leave-out", "Hybrid", "--size", 36, "--pixel-scale", 2.5)
    assert "8 images: 0 ok, 8 resampled, 0 repaired, 0 set aside" in said


def test_a_wrong_unit_of_the_positions_is_suspected_where_all_images_are_far_off(survey, capsys):
    table = (survey / "t.csv").read_text()
    (survey / "t.csv").write_text(
        "\n".join(
            line.replace(f",{150 + i},", f",{(150 + i) / 15},")
            for line in table.splitlines()
            for i in [int(line[1]) if line[1].isdigit() else 0]
        )
    )
    hint = "8 of 8 images are more than a degree off their positions in the table: the unit"
    code, said = check(capsys, survey, "--leave-out", "Hybrid")
    assert (code, hint in said) == (1, True)
    assert "degrees off the position in the manifest" in said
    assert "arcsec off" not in said
    rule = LabelRule(unlabelled=("Hybrid",))
    options = FolderOptions(SourceColumns(label="kind"), rule)
    with pytest.raises(DataError, match=hint):
        load_folder(survey / "d", survey / "t.csv", options=options)
    (survey / "t.csv").write_text(table.replace("0,30,fri", "0,31.5,fri"))
    _, said = check(capsys, survey, "--leave-out", "Hybrid")
    assert "its middle is 1.5 degrees off" in said
    assert hint[7:] not in said


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
