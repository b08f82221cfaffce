"""The store: atomic, locked, explained."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from rgbench.errors import SpecError, StoreError
from rgbench.spec import RunSpec, Study, resolve
from rgbench.store.files import write_bytes
from rgbench.store.store import Store


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
