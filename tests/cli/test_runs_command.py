"""``rgbench runs``, and commands that are given the name of a network in place of a run."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from scipy.special import log_softmax, softmax

from rgbench.runs.export import classifier_of_runs
from rgbench.runs.listing import SCORES
from rgbench.runs.reopen import StoredRun
from rgbench.store.store import Store
from tests.fixtures.command import said

FIXTURE = Path(__file__).parents[1] / "fixtures" / "store-0.1"
TINY, TINIER = ("e0130ebd8966ba08", "a272e5c30b239213"), ("5ea7dbee727b144a", "56f1b059efb43921")
"""Two networks, seeds 1 and 2 of each, which have splits of their own."""
SIDE = 72


@pytest.fixture
def store(tmp_path) -> Store:
    shutil.copytree(FIXTURE / "runs", tmp_path / "store" / "runs")
    return Store(tmp_path / "store")


@pytest.fixture
def images(tmp_path) -> Path:
    """Five FITS images of two spots, of the scale of the runs."""
    folder, rng = tmp_path / "images", np.random.default_rng(1)
    folder.mkdir()
    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRPIX1": 36.5, "CRPIX2": 36.5})
    header.update({"CDELT1": -1.8 / 3600, "CDELT2": 1.8 / 3600, "CRVAL1": 150.0, "CRVAL2": 2.0})
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + 0.5
    for number in range(5):
        image = rng.normal(0, 0.01, (SIDE, SIDE)) + np.exp(-((abs(x) - 2 * number) ** 2 + y**2) / 8)
        fits.writeto(folder / f"{number}.fits", image.astype(np.float32), header)
    return folder


def test_every_run_is_a_line_and_the_damaged_one_is_named(store, capsys):
    (store.run_path(TINIER[0]) / "run.json").write_text("{")
    code, out, _ = said(capsys, "runs", "--store", str(store.root))
    assert code == 0
    (line,) = (line for line in out.splitlines() if line.endswith(TINY[0][:8]))
    assert line.split() == [
        "tiny",
        "1",
        "87.5",
        "87.5",
        "87.5",
        "87.5",
        "complete",
        "2026-11-28",
        TINY[0][:8],
    ]
    assert out.count(TINIER[0]) == 2, "the run, and the path of its file"
    assert f"Run {TINIER[0]} is damaged: " in out
    assert "sky, split becker2021, protocol modern" in out
    assert "5 runs (3 complete, 1 imported, 1 damaged)" in out


def test_json_is_read_by_others_and_unknown_scores_are_null(store, capsys):
    (store.run_path(TINIER[0]) / "run.json").write_text("{")
    code, out, _ = said(capsys, "runs", "--json", "--store", str(store.root))
    rows = json.loads(out)
    assert (code, len(rows)) == (0, 5)
    assert rows[-1]["run"] == TINIER[0]
    assert rows[-1]["status"] == "damaged"
    assert [rows[-1][key] for key in ("network", "seed", *SCORES)] == [None] * 6
    code, out, _ = said(capsys, "runs", "--json", "--network", "TINY", "--store", str(store.root))
    assert [row["run"] for row in json.loads(out)] == list(TINY)


@pytest.mark.parametrize(
    ("ending", "how"), [("csv", "ascii.csv"), ("vot", "votable"), ("fits", "fits"), ("parquet", "")]
)
def test_tables_are_read_by_others(store, tmp_path, capsys, ending, how):
    out = tmp_path / f"runs.{ending}"
    assert said(capsys, "runs", "--out", str(out), "--store", str(store.root))[0] == 0
    table = pq.read_table(out).to_pydict() if ending == "parquet" else Table.read(out, format=how)
    assert [str(run) for run in table["run"][:4]] == [*TINIER, *TINY]
    assert table["test_accuracy"][0] == pytest.approx(0.875)
    code, _, err = said(capsys, "runs", "--out", str(out), "--store", str(store.root))
    assert code == 2
    assert "is there already" in err


def test_an_empty_store_and_a_missing_one_say_what_to_do(tmp_path, capsys):
    code, out, _ = said(capsys, "runs", "--store", str(tmp_path))
    assert (code, out.count("\n")) == (0, 1)
    assert "the store holds no run; rgbench quickstart" in out
    assert json.loads(said(capsys, "runs", "--json", "--store", str(tmp_path))[1]) == []
    code, out, err = said(capsys, "runs", "--store", str(tmp_path / "none"))
    assert (code, out) == (2, "")
    assert "there is no such folder; rgbench quickstart makes one" in err


def test_a_network_that_is_not_there_is_said(store, capsys):
    code, out, err = said(capsys, "runs", "--network", "lenet", "--store", str(store.root))
    assert (code, out) == (2, "")
    assert "--network lenet" in err
    assert "tiny seed 1 (e0130ebd)" in err


@pytest.mark.slow
def test_the_list_loads_no_torch(store):
    code = f"""
import sys
from rgbench.cli.app import main
try:
    main(["runs", "--store", {str(store.root)!r}])
except SystemExit as ended:
    assert ended.code in (0, None)
print([name for name in ("torch", "astropy", "pandas") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert not done.stderr


# --- predict with all seeds -------------------------------------------------------------------------------


def classes_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf8").splitlines()))


def test_all_seeds_of_a_network_answer_together_with_their_spread(store, images, tmp_path, capsys):
    """What the table must hold is worked out from the logits of the two runs, by the formulas of docs/predict.md."""
    out = tmp_path / "p.csv"
    options = ["--run", "Tiny", "--store", str(store.root), "--out", str(out)]
    code, printed, err = said(capsys, "predict", str(images), *options)
    assert (code, err) == (0, "")
    assert (
        "Classifying with 2 runs together, whose mean answers: tiny seed 1 (e0130ebd), tiny seed 2" in printed
    )
    runs = [StoredRun(run_id, store) for run_id in TINY]
    temperature = classifier_of_runs(runs).card.temperature
    pixels = np.stack([fits.getdata(path) for path in sorted(images.iterdir())])
    logs = np.stack([log_softmax(run.logits(pixels).astype(float), axis=1) for run in runs])
    together, each = softmax(logs.mean(axis=0) / temperature, axis=1), softmax(logs / temperature, axis=2)
    rows = classes_of(out)
    for number, row in enumerate(rows):
        p = together[number]
        assert row["class"] == runs[0].classes[p.argmax()]
        assert [float(row[f"p_{name}"]) for name in runs[0].classes] == pytest.approx(p.tolist(), abs=1e-6)
        one, other = each[:, number, p.argmax()]
        assert float(row["spread"]) == pytest.approx(abs(one - other) / 2**0.5, abs=1e-6)
        assert all(run_id in row["classifier"] for run_id in TINY)
    assert len(rows) == 5


def test_one_run_has_no_spread(store, images, tmp_path, capsys):
    out = tmp_path / "p.csv"
    options = ["--run", TINY[0][:6], "--store", str(store.root), "--out", str(out)]
    assert said(capsys, "predict", str(images), *options)[0] == 0
    assert {row["spread"] for row in classes_of(out)} == {"nan"}


def test_of_seeds_with_splits_of_their_own_each_is_calibrated_on_its_own_sources(store):
    """The temperature lies between those of the two, as the sources of both are put together."""
    runs = [StoredRun(run_id, store) for run_id in TINIER]
    own = [run.record.predictions.select("validation", "best").source_id.tolist() for run in runs]
    assert set(own[0]) != set(own[1])
    alone = sorted(classifier_of_runs([run]).card.temperature for run in runs)
    assert alone[0] <= classifier_of_runs(runs).card.temperature <= alone[1]


def test_several_ids_with_commas_and_what_they_must_share(store, capsys):
    options = ["predict", "--card", "--store", str(store.root), "--run"]
    code, out, _ = said(capsys, *options, f"{TINY[0][:4]},{TINY[1][:4]}")
    assert code == 0
    assert f"runs {TINY[0]}, {TINY[1]}: Compact" in out
    code, _, err = said(capsys, *options, f"{TINY[0][:4]},imported:normalised")
    assert code == 2
    assert "differ in their data, classes, field or preset" in err


def test_a_damaged_seed_is_left_out_and_said(store, capsys):
    table = store.run_path(TINY[0]) / "predictions.parquet"
    table.write_bytes(table.read_bytes()[:100])
    code, out, _ = said(capsys, "predict", "--card", "--run", "tiny", "--store", str(store.root))
    assert code == 0
    assert f"Run {TINY[0]} is left out: {table}: cannot be read" in out
    assert f"run {TINY[1]}: Compact" in out


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "--card", "--run"],
        *([name, "--run"] for name in ("stress", "uncertainty", "explain")),
        ["export", "--name", "x"],
    ],
)
def test_a_run_that_is_not_there_is_said_with_names_beside_ids(store, command, capsys):
    code, _, err = said(capsys, *command, "zz", "--store", str(store.root))
    assert code == 2
    assert "no run begins with 'zz', and no network there is called so; the store holds" in err
    assert re.search(r"tinier seed 1 \(5ea7dbee\), tiny seed 1 \(e0130ebd\)", err)


# --- bars -------------------------------------------------------------------------------------------------


def test_bars_are_on_the_error_stream_of_a_terminal_only(monkeypatch, capsys):
    from rgbench.cli.bars import bar_of

    with bar_of("working") as told:
        told(1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the stream for a terminal then
    monkeypatch.setenv("TERM", "xterm")
    with bar_of("working") as told:
        told(1, 2)
        sys.stdout.write("a result\n")
    out, err = capsys.readouterr()
    assert out == "a result\n"
    assert "working" in err
