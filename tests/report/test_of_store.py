"""The report of a store: what Python writes and what the command writes are the same files."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rgbench
from rgbench.cli.app import main
from rgbench.data.load import load_dataset
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.report.of_store import ReportSpec, report_records
from rgbench.simulate import FIRST, SimulationSpec, simulate, write_simulation
from rgbench.spec import Study, resolve
from rgbench.store.store import Store
from rgbench.store.tables import HISTORY_COLUMNS, MODELS, Predictions, write_history, write_predictions

N, TESTED, SIDE = 48, 24, 48
NETWORKS = {"convxpress": 1.6, "mcrgnet": 1.0}


def predictions(spec, dataset, skill: float) -> Predictions:
    rows = np.arange(N)[-TESTED:]
    label = dataset.catalogue.label[rows]
    rng = np.random.default_rng([spec.seed, int(10 * skill)])
    logits = [skill * np.eye(4)[label] + rng.normal(size=(TESTED, 4)) for _ in MODELS]
    twice = 2 * TESTED
    return Predictions(
        run_id=spec.run_id,
        classes=dataset.classes,
        activation="softmax",
        label_version="1",
        source_id=np.tile(dataset.catalogue.source_id[rows], 2),
        split=np.full(twice, "test"),
        model=np.repeat(MODELS, TESTED),
        condition=np.full(twice, "clean"),
        member=np.zeros(twice, dtype=np.int64),
        label=np.tile(label, 2),
        logits=np.concatenate(logits).astype(np.float32),
    )


def fill(store: Store, folder: Path, protocol: str, networks: dict[str, float], **more) -> None:
    """Write runs on a folder of images, two seeds each, as training would have left them."""
    data = {"name": "folder", "path": str(folder), "split": "becker2021", **more}
    study = Study(name="s", networks=tuple(networks), seeds=(1, 2), protocol=protocol, data=data)
    dataset = load_dataset(study.data)
    for spec in resolve(study, dataset.checksum, (SIDE, SIDE), 1.8):
        with store.claim(spec) as directory:
            write_predictions(directory.predictions, predictions(spec, dataset, networks[spec.network.name]))
            write_history(directory.history, dict.fromkeys(HISTORY_COLUMNS, np.array([1.2, 0.9, 0.5])))
            directory.write_cost({"parameters": 5000, "macs": 1e6, "inference_images_per_second": 9.0})
            directory.write_status("complete")


@pytest.fixture(scope="module")
def sky(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "sky"
    write_simulation(simulate(SimulationSpec(N, 3, survey=replace(FIRST, side=SIDE))), folder)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory, sky) -> Store:
    """Give a store of two groups: two networks under one protocol, one under another."""
    made = Store(tmp_path_factory.mktemp("stores") / "store")
    fill(made, sky, "modern", NETWORKS)
    fill(made, sky, "becker2021", {"mcrgnet": 1.0})
    return made


@pytest.fixture(scope="module")
def one(tmp_path_factory, sky) -> Store:
    """Give a store of one group."""
    made = Store(tmp_path_factory.mktemp("stores") / "one")
    fill(made, sky, "modern", {"mcrgnet": 1.0})
    return made


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def command(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", *arguments])
    assert ended.value.code == 0


def test_networks_that_were_trained_on_fewer_sources_alone_are_named(tmp_path, sky):
    made = Store(tmp_path / "store")
    fill(made, sky, "modern", {"mcrgnet": 1.0})
    fill(made, sky, "modern", {"lenet": 1.0}, train_limit=8)
    (written,) = rgbench.write_report(made.root, rgbench.ReportSpec(out=tmp_path / "r.html")).reports
    assert any(
        said.startswith("The report on folder leaves out lenet, which was trained")
        for said in written.warnings
    )


@pytest.mark.slow
def test_python_and_the_command_write_the_same_bytes(store, tmp_path, monkeypatch, capsys):
    for name in ("python", "command"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "python")
    spec = rgbench.ReportSpec(
        out=Path("r.html"),
        table=Path("t.csv"),
        figures=Path("f"),
        weights={"accuracy": 2.0, "macs": 1.0},
    )
    written = rgbench.write_report(store.root, spec)
    assert not capsys.readouterr().out, "the library prints nothing"
    monkeypatch.chdir(tmp_path / "command")
    command(
        *("--store", str(store.root), "--out", "r.html", "--table", "t.csv", "--figures", "f"),
        *("--weights", "accuracy=2,macs=1"),
    )
    ours, theirs = files(tmp_path / "python"), files(tmp_path / "command")
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert {"r.html", "r-folder-becker2021.html", "t.csv", "t-folder-becker2021.csv"} <= set(ours)
    assert [(each.name, str(each.path)) for each in written.reports] == [
        ("folder, modern", "r.html"),
        ("folder, becker2021", "r-folder-becker2021.html"),
    ]
    first = written.reports[0]
    assert [record.spec.network.name for record in first.records].count("convxpress") == 2
    assert {row.network for row in first.comparisons["best"].rows} == set(NETWORKS)
    assert first.table == Path("t.csv")
    assert written.warnings == ()


def test_a_store_and_its_folder_give_the_same(one, tmp_path):
    by_path = rgbench.write_report(str(one.root), ReportSpec(out=tmp_path / "a.html"))
    by_store = rgbench.write_report(one, ReportSpec(out=tmp_path / "b.html"))
    assert by_path.reports[0].path.read_bytes() == by_store.reports[0].path.read_bytes()


def test_the_default_place_is_in_the_store(store):
    first, second = rgbench.write_report(store).reports
    assert first.path == store.root / "report.html"
    assert second.path == store.root / "report-folder-becker2021.html"
    assert "Which network classifies folder best?" in first.path.read_text()


def test_a_title_tells_groups_apart(store, tmp_path):
    written = rgbench.write_report(store, ReportSpec(out=tmp_path / "r.html", title="A title"))
    for each in written.reports:
        assert f"A title ({each.name})" in each.path.read_text()


@pytest.mark.slow
def test_another_metric_sorts_and_is_compared(store, tmp_path, capsys):
    out = tmp_path / "r.html"
    command("--store", str(store.root), "--out", str(out), "--metric", "macro-f1")
    written = rgbench.write_report(store, ReportSpec(out=tmp_path / "p.html", metric="macro_f1"))
    compared = written.reports[0].comparisons["best"]
    assert compared.metric == "macro_f1"
    first, second = (row.metrics["macro_f1"].mean for row in compared.rows)
    assert compared.pairs[0].difference == pytest.approx(first - second)
    assert first - second != pytest.approx(
        compared.rows[0].metrics["mpca"].mean - compared.rows[1].metrics["mpca"].mean
    )
    assert out.read_bytes() == (tmp_path / "p.html").read_bytes()
    assert "has the best macro f1" in " ".join(capsys.readouterr().out.lower().split())


def test_metrics_are_named_as_tables_name_them():
    assert ReportSpec(metric="ece-equal-mass").metric == "ece_equal_mass"
    with pytest.raises(SpecError, match="unknown metric 'beauty'; legal are mpca, accuracy, macro_f1"):
        ReportSpec(metric="beauty")


def test_what_is_wrong_is_said_before_the_work(tmp_path, store):
    with pytest.raises(SpecError, match="model: found 'worst'; legal are best, final"):
        ReportSpec(model="worst")
    with pytest.raises(SpecError, match=r"table t\.txt: the ending is none of \.csv, \.tex"):
        ReportSpec(table=Path("t.txt"))
    with pytest.raises(SpecError, match="no such store"):
        rgbench.write_report(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(DataError, match="holds no run to compare"):
        rgbench.write_report(Store(tmp_path / "empty"))


def test_a_folder_that_is_not_there_is_said_before_the_work(store, tmp_path, monkeypatch):
    monkeypatch.setattr("rgbench.report.of_store.compare", None)
    with pytest.raises(StoreError, match=r"nodir/x\.html: cannot be written: there is no folder"):
        rgbench.write_report(store, ReportSpec(out=tmp_path / "nodir" / "x.html"))


def test_data_that_are_gone_are_missed_in_the_result(store, tmp_path, monkeypatch, capsys):
    records = [
        replace(record, spec=record.spec.model_copy(update={"data": gone}))
        for record in store.records()
        if (gone := record.spec.data.model_copy(update={"path": "/gone"}))
    ]
    written = report_records(records, store, ReportSpec(out=tmp_path / "r.html"))
    for each in written.reports:
        (text,) = each.warnings
        assert text == (
            "The report on folder has no images and no properties of sources: /gone is no longer there"
        )
        assert "The data are not at hand" in each.path.read_text()
    assert not capsys.readouterr().out
    monkeypatch.setattr(Store, "records", lambda self, on_damage: records)
    command("--store", str(store.root), "--out", str(tmp_path / "c.html"))
    assert capsys.readouterr().out.count("/gone is no longer there") == 2


@pytest.mark.slow
def test_missing_pdf_is_said_once(one, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("rgbench.report.of_store.can_write_pdf", lambda: False)
    spec = ReportSpec(out=tmp_path / "r.html", figures=tmp_path / "f")
    assert "PDF files were left out" in rgbench.write_report(one, spec).warnings[0]
    assert not rgbench.write_report(one, replace(spec, figures=None)).warnings
    command("--store", str(one.root), "--out", str(tmp_path / "r.html"), "--figures", str(tmp_path / "f"))
    assert capsys.readouterr().out.count("PDF files were left out") == 1


@pytest.mark.slow
def test_the_command_loads_no_torch(one, tmp_path):
    code = f"""
import sys
from rgbench.cli.app import main
try:
    main(["report", "--store", {str(one.root)!r}, "--out", {str(tmp_path / "r.html")!r}])
except SystemExit as ended:
    assert ended.code == 0
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ), capture_output=True)
    assert (tmp_path / "r.html").exists()


def test_runs_of_a_store_stand_by_network_and_seed(store, tmp_path):
    written = rgbench.write_report(store, ReportSpec(out=tmp_path / "r.html"))
    for each in written.reports:
        found = [(r.spec.network.name, r.spec.data.split, r.spec.seed) for r in each.records]
        assert found == sorted(found)
    ids = [r.run_id for each in written.reports for r in each.records]
    assert ids != sorted(ids), "so that the order of ids would show"
