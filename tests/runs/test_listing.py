"""The list of a store: every run in it, with scores that the metrics of the whole tables confirm."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from rgbench.runs.listing import SCORES, columns, list_runs
from rgbench.spec import Study, resolve
from rgbench.store.store import Store
from rgbench.store.tables import Outputs, Predictions, read_predictions, write_predictions

FIXTURE = Path(__file__).parents[1] / "fixtures" / "store-0.1"
CLASSES = ("Compact", "FRI", "FRII", "Bent")


@pytest.fixture
def store(tmp_path) -> Store:
    shutil.copytree(FIXTURE / "runs", tmp_path / "store" / "runs")
    return Store(tmp_path / "store")


def test_runs_are_sorted_and_have_the_scores_of_another_library(store):
    listed = list_runs(store)
    assert [(run.network, run.seed, run.status) for run in listed] == [
        *[(network, seed, "complete") for network in ("tinier", "tiny") for seed in (1, 2)],
        ("imported:normalised", 0, "imported"),
    ]
    for run in listed[:4]:
        rows = store.record(run.run_id).predictions
        for side in ("validation", "test"):
            own = rows.select(side, "best")
            said = own.logits.argmax(axis=1)
            assert run.scores[f"{side}_accuracy"] == pytest.approx(accuracy_score(own.label, said))
            assert run.scores[f"{side}_mpca"] == pytest.approx(balanced_accuracy_score(own.label, said))
        assert run.setting == ("sky", "becker2021", "modern")
        assert run.written.startswith("2026-11-28T09:1")
    assert all(np.isnan(listed[4].scores[key]) for key in SCORES)


def test_damaged_and_failed_runs_are_a_line_each(store):
    cut, gone, unreadable, failed = (run.run_id for run in list_runs(store)[:4])
    table = store.run_path(cut) / "predictions.parquet"
    table.write_bytes(table.read_bytes()[:-40])
    other = (store.run_path(failed) / "predictions.parquet").read_bytes()
    (store.run_path(gone) / "predictions.parquet").write_bytes(other)
    (store.run_path(unreadable) / "run.json").write_text('{"status": 1}')
    with store.claim(store.record(failed).spec) as directory:
        directory.write_status("failed", "DataError: no such file")
    listed = {run.run_id: run for run in list_runs(store)}
    assert len(listed) == 5
    assert [listed[key].status for key in (cut, gone, unreadable)] == ["damaged"] * 3
    assert "predictions.parquet: cannot be read" in listed[cut].remark
    assert f"is of run '{failed}', not of {gone}" in listed[gone].remark
    assert (listed[failed].status, listed[failed].remark) == ("failed", "DataError: no such file")
    assert listed[cut].network == "tinier"
    last = list_runs(store)[-1]
    assert (last.run_id, last.network, last.seed) == (unreadable, "", -1), "what cannot be read comes last"


@pytest.mark.parametrize("column", ["split", "model", "label", "logit_FRI"])
def test_a_page_that_was_changed_is_seen_by_its_checksum(store, column):
    run_id = list_runs(store)[0].run_id
    path = store.run_path(run_id) / "predictions.parquet"
    write_predictions(path, read_predictions(path))  # the fixture is of before there were checksums
    content, group = bytearray(path.read_bytes()), pq.ParquetFile(path).metadata.row_group(0)
    (chunk,) = (c for i in range(group.num_columns) if (c := group.column(i)).path_in_schema == column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start + chunk.total_compressed_size - 2] ^= 255
    path.write_bytes(content)
    assert list_runs(store)[0].status == "damaged"


def test_a_network_is_listed_by_its_alias(tmp_path):
    store = Store(tmp_path)
    for spec in resolve(
        Study(name="s", networks=("convxpress", "lenet"), splits=("fold-4", "fold-0")), "a" * 64
    ):
        with store.claim(spec) as directory:
            directory.write_status("running")
    found = list_runs(store, "convXpress")
    assert [(run.network, run.split, run.seed) for run in found] == [
        ("convxpress", split, seed) for split in ("fold-0", "fold-4") for seed in (1826, 4915, 8901)
    ]
    assert {run.status for run in found} == {"running"}
    assert not list_runs(store, "alexnet")


def test_columns_have_one_type_each_whatever_is_known(store):
    (store.run_path(list_runs(store)[0].run_id) / "run.json").write_text("{")
    table = columns(list_runs(store))
    assert {len(values) for values in table.values()} == {5}
    assert table["seed"].dtype == np.int64
    assert {table[key].dtype for key in SCORES} == {np.dtype(float)}
    assert table["seed"][-1] == -1
    assert [values.dtype for values in columns([]).values()][2] == np.int64


def test_a_hundred_runs_are_listed_in_a_fraction_of_a_second(tmp_path):
    """0.2 s of processor time on a busy core, a fifth of what reading all takes; the limit is for a slower one."""
    store, rng = Store(tmp_path), np.random.default_rng(1)
    n = 400
    label = np.tile(np.arange(4), 2 * n // 4)
    for spec in resolve(Study(name="s", networks=("lenet", "mcrgnet"), seeds=tuple(range(50))), "a" * 64):
        with store.claim(spec) as directory:
            directory.write_status("complete", outputs=Outputs(CLASSES, "softmax"))
            table = Predictions(
                spec.run_id,
                CLASSES,
                "softmax",
                "1",
                np.tile([f"J{i:09}" for i in range(n)], 2),
                np.tile(["validation", "test"], n),
                np.repeat(["best", "final"], n),
                np.full(2 * n, "clean"),
                np.zeros(2 * n, np.int64),
                label,
                rng.normal(0, 1, (2 * n, 4)).astype(np.float32),
            )
            write_predictions(directory.predictions, table)
    began = time.process_time()
    assert len(list_runs(store)) == 100
    assert time.process_time() - began < 0.8
