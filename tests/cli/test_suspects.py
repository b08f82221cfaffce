"""The command that lists likely label errors: what it writes, of which runs, and what it refuses."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from rgbench.cli.app import main
from rgbench.cli.work.suspects import SuspectsChoice, list_suspects
from rgbench.comparison import label_review
from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.spec import Study, resolve
from rgbench.store.store import Store
from rgbench.store.tables import HISTORY_COLUMNS, Predictions, write_history, write_predictions

CLASSES = ("Compact", "FRI", "FRII", "Bent")
NAMES = np.array([f"s{i:03d}" for i in range(200)])
TRUTH = np.random.default_rng(1).permutation(np.arange(200) % 4)
WRONG = np.flatnonzero(np.arange(200) % 11 == 0)
GIVEN = np.where(np.isin(np.arange(200), WRONG), (TRUTH + 1) % 4, TRUTH)
LOSSES = np.array([1.2, 0.9, 0.5])


def predictions(spec, rows, side, seed, skill=5.0) -> Predictions:
    n = len(rows)
    noise = np.random.default_rng(seed).normal(size=(n, 4))
    return Predictions(
        spec.run_id,
        CLASSES,
        "softmax",
        "1",
        NAMES[rows],
        np.full(n, side),
        np.full(n, "best"),
        np.full(n, "clean"),
        np.zeros(n, dtype=np.int64),
        GIVEN[rows],
        (skill * np.eye(4)[TRUTH[rows]] + noise).astype(np.float32),
    )


def write(store, table, spec) -> None:
    with store.claim(spec) as directory:
        write_predictions(directory.predictions, table)
        write_history(directory.history, dict.fromkeys(HISTORY_COLUMNS, LOSSES))
        directory.write_status("complete")


def specs(checksum="a" * 64, **data):
    study = Study(
        name="s", networks=("mcrgnet",), seeds=(1,), splits=[f"fold-{k}" for k in range(5)], data=data
    )
    return resolve(study, checksum)


@pytest.fixture
def folds(tmp_path, monkeypatch):
    """Five folds, each of which holds other validation sources out; 100 more sources are never held out."""
    n = 300
    names = np.array([*NAMES, *(f"trained {i}" for i in range(n - 200))])
    catalogue = Catalogue(
        names,
        ra=np.linspace(0.5, 350.0, n),
        dec=np.linspace(-50.0, 50.0, n),
        label=np.resize(GIVEN, n),
        group=np.arange(n),
        path=names,
        flags=np.zeros(n, dtype=np.int64),
    )
    data = DataSet(Card("toy", "toy"), catalogue, np.zeros((n, 4, 4), np.uint8))
    monkeypatch.setattr(label_review, "load_dataset", lambda spec: data)
    store = Store(tmp_path / "store")
    for k, spec in enumerate(specs()):
        write(store, predictions(spec, np.flatnonzero(np.arange(200) % 5 == k), "validation", k), spec)
    return store


def run(store, out, **choice) -> str:
    said = Console(width=300, record=True)
    list_suspects(store.root, SuspectsChoice(out, **choice), said)
    return said.export_text()


def test_the_folds_together_find_the_planted_errors(folds, tmp_path):
    said = run(folds, tmp_path / "s.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text())))
    found = {row["source_id"] for row in rows}
    planted = set(NAMES[WRONG].tolist())
    assert len(found & planted) > 0.85 * len(planted)
    assert len(found & planted) > 0.85 * len(found)
    assert {row["verdict"] for row in rows} == {""}
    assert all(row["link"].startswith("https://") for row in rows)
    assert {row["side"] for row in rows} == {"validation"}
    for row in rows:
        i = int(row["source_id"][1:])
        assert row["given_label"] == CLASSES[GIVEN[i]]
        assert float(row["ra_deg"]) == pytest.approx(0.5 + i * 349.5 / 299)
    assert "of 200 sources the networks are surer of another class" in said
    assert "Only 200 of the 300 labelled sources (67 %) could be looked at" in said


def test_nothing_is_replaced_unasked(folds, tmp_path):
    out = tmp_path / "s.csv"
    out.write_text("verdicts of an evening")
    with pytest.raises(StoreError, match=r"s\.csv: is there already"):
        run(folds, out)
    assert out.read_text() == "verdicts of an evening"
    run(folds, out, overwrite=True)
    assert out.read_text().startswith('"source_id"')


def test_runs_that_did_not_learn_are_left_out_and_named(folds, tmp_path):
    (spec,) = resolve(Study(name="s", networks=("convxpress",), seeds=(7,), splits=["fold-0"]), "a" * 64)
    constant = predictions(spec, np.arange(20), "test", 1)
    write(folds, replace(constant, logits=np.tile(np.eye(4, dtype=np.float32)[2], (20, 1))), spec)
    said = run(folds, tmp_path / "s.csv")
    assert "left out: convxpress, seed 7: predicts FRII for every one of 20 sources" in said
    assert "5 runs:" in said


def test_where_no_run_has_learnt_the_reason_is_said(tmp_path):
    spec = specs()[0]
    constant = replace(
        predictions(spec, np.arange(20), "test", 1), logits=np.tile(np.eye(4, dtype=np.float32)[2], (20, 1))
    )
    store = Store(tmp_path / "store")
    write(store, constant, spec)
    with pytest.raises(
        DataError, match="no run has learnt anything: predicts FRII for every one of 20 sources"
    ):
        run(store, tmp_path / "s.csv")


def test_runs_that_guess_are_not_believed(tmp_path):
    store, spec = Store(tmp_path / "store"), specs()[0]
    held = predictions(spec, np.arange(20), "test", 1)
    drawn = np.random.default_rng(3).normal(size=held.logits.shape).astype(np.float32)
    write(store, replace(held, logits=drawn), spec)
    out = tmp_path / "s.csv"
    with pytest.raises(DataError, match="cannot be told: of the 20 sources .* guessing recognises 25.0 %"):
        run(store, out)
    assert not out.exists()


def test_one_data_set_must_be_chosen(folds, tmp_path):
    first = specs("b" * 64, name="mirabest-basic")[0]
    write(folds, predictions(first, np.arange(50), "test", 1), first)
    with pytest.raises(
        SpecError, match=r"one data set is needed .* aaaaaaaa \(first-galaxy-data\), bbbbbbbb"
    ):
        run(folds, tmp_path / "s.csv")
    assert "of 200 sources" in run(folds, tmp_path / "s.csv", data="first-galaxy-data")
    assert "of 50 sources" in run(folds, tmp_path / "t.csv", data="bbbb")


def test_refusals(tmp_path, folds):
    with pytest.raises(SpecError, match="there is no such folder"):
        list_suspects(tmp_path / "none", SuspectsChoice(tmp_path / "s.csv"), Console())
    with pytest.raises(SpecError, match="--model: found 'x'; legal are best, final"):
        run(folds, tmp_path / "s.csv", model="x")
    with pytest.raises(DataError, match="holds no complete run"):
        run(Store(tmp_path / "empty"), tmp_path / "s.csv")


def test_the_command_reads_its_options(folds, tmp_path, capsys):
    arguments = ["suspects", "--store", str(folds.root), "--out", str(tmp_path / "s.parquet")]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert (tmp_path / "s.parquet").exists()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == StoreError.exit_code
    assert "is there already" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--overwrite"])
    assert ended.value.code == 0
