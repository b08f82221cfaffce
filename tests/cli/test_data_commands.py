"""The data commands, as a user calls them: on the public sets, and on folders of one's own."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.table import Table
from rich.console import Console

from rgbench.cli.app import main
from rgbench.cli.work import data as data_commands
from rgbench.data.own.plan import FolderOptions
from rgbench.data.sets import data_names, load_data
from rgbench.data.surveys.targets import find_targets
from rgbench.errors import SpecError
from rgbench.simulate import FIRST, SimulationSpec

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="RGBENCH_MIRROR is not set")


@pytest.fixture
def rgbench(capsys, monkeypatch, tmp_path):
    """Give a caller of the command line, in an empty folder, that returns what was printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        shown = capsys.readouterr()
        assert ended.value.code in (0, None), shown.err
        return shown.out

    return call


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """Give a folder of 12 simulated sources."""
    folder = tmp_path_factory.mktemp("simulated") / "sky"
    spec = SimulationSpec(12, 3, survey=replace(FIRST, side=100))
    data_commands.simulate_sky(folder, spec, Console(quiet=True))
    return folder


def test_every_data_set_is_listed_with_the_place_of_its_files(rgbench, tmp_path, monkeypatch):
    monkeypatch.delenv("RGBENCH_MIRROR", raising=False)
    monkeypatch.setenv("RGBENCH_CACHE", str(tmp_path / "empty"))
    text = rgbench("data", "list")
    for name in data_names():
        assert name in text
    assert "rgbench data fetch unlrg" in text
    assert rgbench("data") == text, "without a word more, the list"
    if MIRROR is not None:
        assert "rgbench data fetch unlrg" not in rgbench("data", "list", "--mirror", str(MIRROR))


@pytest.mark.slow
def test_lists_and_labels_need_no_torch():
    code = (
        "import sys; from rgbench.cli.work.data import list_data; from rich.console import Console; "
        "list_data(None, Console(quiet=True)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_set_is_shown_with_its_card_and_a_sheet(rgbench, tmp_path):
    text = rgbench("data", "show", "first-galaxy-data")
    for part in (
        "Griese",
        "10.5281/zenodo.7120632",
        "1994, University of California",
        "known defects",
        "fold-0: train",
    ):
        assert part in text
    sheet = (tmp_path / "first-galaxy-data-sheet.svg").read_text()
    assert sheet.startswith("<svg")
    assert sheet.count("<image") == 4 * 8
    assert "348 sources" in sheet
    before = (tmp_path / "first-galaxy-data-sheet.svg").stat().st_mtime_ns
    assert "is there already" in rgbench("data", "show", "first-galaxy-data")
    assert (tmp_path / "first-galaxy-data-sheet.svg").stat().st_mtime_ns == before


@pytest.mark.slow
@needs_mirror
def test_what_is_missing_of_lrg_can_be_had_as_a_table(rgbench, tmp_path):
    text = rgbench("data", "show", "lrg-first", "--sheet", "a.svg", "--set-aside", "missing.csv")
    assert "134 set aside, FR0 source" in text
    rows = list(csv.DictReader((tmp_path / "missing.csv").read_text().splitlines()))
    assert len(rows) == 231
    assert rows[0] == {
        "name": "J011425.58+002932.6",
        "reason": "no image of first-galaxy-data within 10 arcsec",
    }


@needs_mirror
def test_a_catalogue_is_shown_without_images(rgbench):
    text = rgbench("data", "show", "unlrg")
    assert "Ma et al. 2019" in text
    assert "images: unlrg is a catalogue" in text


@needs_mirror
def test_fetching_finds_what_the_mirror_has(rgbench):
    text = rgbench("data", "fetch", "mirabest-f", "lrg", "--mirror", str(MIRROR))
    assert "MiraBest_F_batches.tar.gz" in text
    assert "LRG_manifest.csv" in text


@needs_mirror
def test_a_public_set_is_checked(rgbench):
    text = rgbench("data", "check", "fr-deep-first")
    assert "files as published" in text
    assert "1 image flagged unusable: data_batch_11" in text
    assert "2 sources equal to another in every pixel" in text
    assert "split published: 2 sources taken out" in text, "the all-zero image, and a twin of a test source"


def test_a_folder_is_checked_file_by_file(rgbench, sky):
    assert "12 images: 12 ok, 0 repaired, 0 set aside" in rgbench("data", "check", str(sky))


@needs_mirror
def test_defects_of_real_files_are_told(rgbench):
    text = rgbench("data", "check", str(MIRROR / "FITS_defects"))
    assert "set aside" in text
    assert "all pixels are NaN" in text
    assert "43.60% of the pixels are blanked" in text
    assert "10 images: 1 ok, 8 repaired, 1 set aside" in text


def test_a_manifest_s_columns_are_mapped(rgbench, sky, tmp_path):
    truth = Table.read(sky / "truth.csv", format="ascii.ecsv")
    table = Table({"which": truth["source_id"], "kind": [str(name).lower() for name in truth["class"]]})
    table.write(tmp_path / "mine.csv", format="csv")
    arguments = ("--column", "name=which", "--column", "label=kind", "--label", "fri=Bent")
    assert "12 images: 12 ok" in rgbench(
        "data", "check", str(sky), "-f", str(tmp_path / "mine.csv"), *arguments
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere"], "nowhere: neither a data set nor a folder"),
        (["check", "mirabest"], "did you mean mirabest-f"),
        (["check", ".", "--column", "ra"], "--column: found 'ra'; NAME=VALUE is needed"),
        (["check", ".", "--column", "rra=x"], "columns: unknown key 'rra'"),
        (["check", ".", "--label", "wat=Tail"], "'wat' is mapped to 'Tail'"),
        (
            ["check", ".", "--pixel-scale", "-2"],
            "pixel scale (--pixel-scale, image_scale): -2.0 was given; 1e-06 to 3600 arcsec are legal",
        ),
        (["check", ".", "--pixel-scale", "1e300"], "1e+300 was given; 1e-06 to 3600 arcsec are legal"),
        (["check", ".", "--size", "90", "--pixel-scale", "1e300"], "1e-06 to 3600 arcsec are legal"),
        (["overlap", "lrg", "nope"], "unknown data set 'nope'"),
        (["overlap", "lrg", "lrg", "--radius", "0"], "--radius: found 0"),
        (["show", "first-galaxy"], "did you mean first-galaxy-data"),
        (["fetch", "first-galaxy"], "did you mean first-galaxy-data"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["data", *arguments])
    assert ended.value.code == SpecError.exit_code
    shown = " ".join(capsys.readouterr().err.split())
    assert message in shown
    assert "Traceback" not in shown


@needs_mirror
def test_the_matrix_of_labels_is_printed(rgbench):
    text = rgbench("data", "overlap", "lrg", "mirabest-f")
    assert "Pairs within 10 arcsec: lrg (rows) and mirabest-f (columns)" in text
    assert [line.split() for line in text.splitlines() if line.strip().startswith("Bent")] == [
        ["Bent", "36", "14", "23", "0"]
    ]
    assert "Labels agree for 105 of 180 (58.3 %)" in text
    assert '([data] test = "mirabest-f")' in text


@pytest.mark.slow
def test_votes_of_all_catalogues_are_counted_and_written(rgbench, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("RGBENCH_MIRROR", raising=False)
    text = rgbench("data", "consensus", "--out", "votes.csv", "--resamples", "3")
    lines = [line.split() for line in text.splitlines()]
    assert ["MiraBest", "unLRG", "1026", "596", "58.1", "%"] in lines
    assert ["known", "8", "75", "471", "103", "657"] in lines
    assert "Of their published labels 70.6 % (" in text
    rows = list(csv.DictReader((tmp_path / "votes.csv").read_text().splitlines()))
    assert len(rows) == 2585
    assert rows[0]["MiraBest"] == "FRI"
    with pytest.raises(SystemExit):
        main(["data", "consensus", "--out", "votes.csv"])
    assert "votes.csv: is there already; give another name, or --overwrite" in capsys.readouterr().err


def test_a_sky_is_simulated_and_never_overwritten(rgbench, tmp_path):
    text = rgbench("simulate", "sky", "-n", "4", "--side", "64", "--no-noise", "-s", "5")
    assert "4 sources, 64 x 64 pixels" in text
    truth = Table.read(tmp_path / "sky" / "truth.csv", format="ascii.ecsv")
    assert truth["class"].tolist() == ["Compact", "FRI", "FRII", "Bent"]
    assert sorted(p.name for p in (tmp_path / "sky").iterdir()) == [
        "BENT",
        "COMP",
        "FRI",
        "FRII",
        "truth.csv",
    ]
    for arguments in (["sky"], ["other", "--classes", "Spiral"]):
        with pytest.raises(SystemExit) as ended:
            main(["simulate", *arguments])
        assert ended.value.code != 0
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_one_side_of_a_published_split_can_be_built():
    names, ra, dec, labels = find_targets("first-galaxy-data:test", FolderOptions())
    dataset = load_data("first-galaxy-data")
    test = dataset.splits["published"] == "test"
    assert names == dataset.catalogue.source_id[test].tolist()
    assert len(ra) == len(dec) == len(labels) == 200
    assert sorted(set(labels)) == ["Bent", "Compact", "FRI", "FRII"]
    with pytest.raises(SpecError, match=r"legal sides are test, train, validation"):
        find_targets("first-galaxy-data:tests", FolderOptions())
