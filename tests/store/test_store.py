"""The store: atomic, locked, explained."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rgbench.errors import SpecError, StoreError
from rgbench.spec import RunSpec, Study, resolve
from rgbench.store.files import into_place, locked, write_bytes, write_json, write_parquet
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import HISTORY_COLUMNS, Outputs, write_history, write_predictions


@pytest.fixture
def spec() -> RunSpec:
    return resolve(Study(name="s", networks=("mcrgnet",), seeds=(1,)), "")[0]


def test_a_run_is_kept_with_spec_status_and_provenance(tmp_path, spec):
    store = Store(tmp_path / "store")
    with store.claim(spec) as directory:
        directory.write_status("failed", "DataError: no", notes=("one set aside",))
        directory.write_cost({"macs": 8021088})
    record = store.record(spec.run_id)
    assert record.spec == spec
    assert (record.status, record.error, record.notes) == ("failed", "DataError: no", ("one set aside",))
    assert record.cost == {"macs": 8021088}
    assert set(record.provenance) >= {"versions", "machine", "python", "written", "device"}
    assert store.run_ids() == [spec.run_id]
    assert not store.is_complete(spec.run_id)


@pytest.mark.parametrize("cost", [[], {"macs": "many"}, {"parameters": [1]}, {"device": 3}, {"macs": True}])
def test_costs_of_another_kind_are_named(tmp_path, spec, cost):
    store = Store(tmp_path)
    with store.claim(spec) as directory:
        directory.write_status("complete")
        (directory.path / "cost.json").write_text(json.dumps(cost))
    with pytest.raises(StoreError, match=r"cost\.json: cannot be read"):
        store.record(spec.run_id)


def test_the_note_of_looks_is_there_before_a_run_and_stays_when_it_is_computed(tmp_path, spec):
    store = Store(tmp_path)
    with store.claim(spec) as directory:
        directory.write_looks(4)
    assert (store.record(spec.run_id).status, store.record(spec.run_id).looks) == ("running", 4)
    assert not store.is_complete(spec.run_id)
    with store.claim(spec) as directory:
        for status in ("running", "failed", "complete"):
            directory.write_status(status)
            assert (store.record(spec.run_id).status, store.record(spec.run_id).looks) == (status, 4)


def test_a_damaged_record_is_written_anew_without_a_note(tmp_path, spec):
    store = Store(tmp_path)
    with store.claim(spec) as directory:
        directory.write_looks(4)
        (directory.path / "run.json").write_text("{")
        directory.write_status("complete")
    assert (store.record(spec.run_id).status, store.record(spec.run_id).looks) == ("complete", 1)


def test_runs_are_found_by_the_beginning_of_their_id(tmp_path, spec):
    store = Store(tmp_path)
    with store.claim(spec) as directory:
        directory.write_status("complete")
    assert store.find(spec.run_id[:4]) == spec.run_id
    with pytest.raises(SpecError, match="no run begins with 'zz'"):
        store.find("zz")


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(StoreError, match="there is no such run"):
        Store(tmp_path).record("feedfeedfeedfeed")


def test_a_broken_record_is_named(tmp_path, spec):
    store = Store(tmp_path)
    with store.claim(spec) as directory:
        directory.write_status("complete")
    path = store.run_path(spec.run_id) / "run.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(StoreError, match="run.json: cannot be read"):
        store.record(spec.run_id)


def test_a_store_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="the store cannot be made"):
        Store(tmp_path / "file" / "store")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_store_is_an_error(tmp_path):
    (tmp_path / "runs").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="not writable"):
        Store(tmp_path)


def test_a_full_disk_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    write_bytes(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="run.json: cannot be written: No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("error", [ValueError("no FITS"), KeyboardInterrupt()])
def test_whoever_fails_while_writing_leaves_nothing_behind(tmp_path, error):
    path = tmp_path / "table.csv"

    def write() -> None:
        with into_place(path) as temporary:
            temporary.write_text("half a ta")
            raise error

    with pytest.raises(type(error)):
        write()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match=r"none/table.csv: cannot be written: No such file or directory"):
        write_bytes(tmp_path / "none" / "table.csv", b"")
    write_bytes(path, b"old")
    (tmp_path / "sub").mkdir()
    with pytest.raises(StoreError, match=r"sub: cannot be written: Is a directory"):
        write_bytes(tmp_path / "sub", b"")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["sub", "table.csv"]


def test_everything_is_flushed_to_disk_before_it_is_in_its_place(tmp_path, monkeypatch):
    seen, sync = [], os.fsync

    def look(descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        seen.append(next(each.name for each in tmp_path.iterdir() if each.stat().st_ino == inode))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    write_json(tmp_path / "a.json", {"b": 1})
    write_parquet(tmp_path / "c.parquet", pa.table({"d": [1]}))
    assert [name.split("-")[2] for name in seen] == ["a.json", "c.parquet"]
    assert all(name.startswith(".tmp-") for name in seen)
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": 1}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.json", "c.parquet"]


# --- tables are read when they are used -------------------------------------------------------------------


def test_runs_are_listed_without_their_tables_which_are_read_once(tmp_path, make_run, monkeypatch):
    made, store = make_run("mcrgnet", 1, 0.8), Store(tmp_path)
    with store.claim(made.spec) as directory:
        write_predictions(directory.predictions, made.predictions)
        write_history(directory.history, dict.fromkeys(HISTORY_COLUMNS, np.array([1.0, 0.5])))
        directory.write_status("complete", outputs=Outputs(made.predictions.classes, "softmax"))
    read, reader = [], pq.ParquetFile

    def count(path, **options):
        read.append(path.name)
        return reader(path, **options)

    monkeypatch.setattr(pq, "ParquetFile", count)
    (record,) = store.records()
    assert record.classes == made.classes == ("Compact", "FRI", "FRII", "Bent")
    assert record.activation == "softmax"
    assert read == []
    assert record.history["train_loss"].tolist() == [1.0, 0.5]
    assert read == ["history.parquet"]
    np.testing.assert_array_equal(record.predictions.logits, made.predictions.logits)
    assert record.predictions is record.predictions
    assert read == ["history.parquet", "predictions.parquet"]
    other = replace(record, status="failed", predictions=None)
    assert (other.status, other.predictions, other.spec) == ("failed", None, record.spec)
    assert other.history is record.history


def test_a_table_that_cannot_be_read_is_named_when_it_is_used(tmp_path, make_run):
    made, store = make_run("mcrgnet", 1, 0.8), Store(tmp_path)
    with store.claim(made.spec) as directory:
        directory.predictions.write_bytes(b"no table")
        directory.history.write_bytes(b"nor this")
        directory.write_status("complete")
    (record,) = store.records()
    assert record.status == "complete"
    for name in ("predictions", "history"):
        for _ in range(2):
            with pytest.raises(StoreError, match=rf"{made.run_id}/{name}\.parquet: cannot be read"):
                getattr(record, name)
    with pytest.raises(StoreError, match=r"predictions\.parquet: cannot be read"):
        _ = record.classes  # which run.json of an older store does not tell


def test_a_record_is_made_with_values_or_without(make_run):
    made = make_run("mcrgnet", 1, 0.8)
    bare = RunRecord(made.run_id, made.spec, "running")
    assert (bare.predictions, bare.history, bare.classes, bare.activation) == (None, {}, (), "")
    assert RunRecord(made.run_id, made.spec, "running").history is not bare.history
    empty = replace(made, predictions=made.predictions.take(np.zeros(0, np.int64)))
    assert empty.classes == made.classes
    with pytest.raises(FrozenInstanceError):
        made.predictions = None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"classes": ["a", "a"]}, "classes: found a, a; one or more different names are legal"),
        ({"classes": []}, "classes: found none"),
        ({"activation": "relu"}, "activation 'relu' is not one of softmax, sigmoid"),
        ({}, "it lacks status, error, provenance, notes"),
    ],
)
def test_what_is_wrong_in_run_json_is_named(tmp_path, spec, changes, reason):
    store = Store(tmp_path)
    with store.claim(spec) as directory:
        directory.write_status("complete", outputs=Outputs(("a", "b"), "softmax"))
    path = store.run_path(spec.run_id) / "run.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes if changes else {"spec": content["spec"]}))
    with pytest.raises(StoreError, match=rf"run\.json: .*{reason}"):
        store.record(spec.run_id)


def test_a_lock_that_cannot_be_had_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    lock = locked(tmp_path / "file" / ".lock")
    with pytest.raises(StoreError, match=r"file/\.lock: cannot be locked: "):
        lock.__enter__()


_APPEND = """
import sys, time
from pathlib import Path
from rgbench.spec import RunSpec
from rgbench.store.store import Store

with Store(Path(sys.argv[1])).claim(RunSpec.model_validate_json(sys.argv[2])) as directory:
    path = directory.path / "log"
    content = path.read_text() if path.exists() else ""
    time.sleep(0.1)
    path.write_text(content + "x")
"""


def test_two_processes_do_not_hold_one_run_at_once(tmp_path, spec):
    command = [sys.executable, "-c", _APPEND, str(tmp_path), spec.model_dump_json()]
    workers = [subprocess.Popen(command) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert (Store(tmp_path).run_path(spec.run_id) / "log").read_text() == "xxx"


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        ("complete", None, ""),
        ("failed", "MemoryError: no room", "failed: MemoryError: no room"),
        ("failed", None, "failed"),
        ("running", None, "not finished: it is being computed, or was stopped"),
    ],
)
def test_what_a_run_lacks_is_said(make_run, status, error, said):
    assert replace(make_run("mcrgnet", 1, 0.8), status=status, error=error).lacking == said
