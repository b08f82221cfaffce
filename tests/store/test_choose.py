"""Runs chosen from a store."""

from __future__ import annotations

import pytest

from rgbench.errors import DataError, SpecError
from rgbench.spec import Study, resolve
from rgbench.store.choose import complete_runs, one_of_each_network, runs_of_one_set
from rgbench.store.store import RunRecord, Store


def records(*networks: str, seeds=(2, 1), checksum="a" * 64, **data) -> list[RunRecord]:
    study = Study(name="s", networks=networks, seeds=seeds, data=data)
    return [RunRecord(spec.run_id, spec, "complete") for spec in resolve(study, checksum)]


def test_one_of_each_network_is_that_of_the_first_seed():
    one, other = records("mcrgnet", "lenet"), records("lenet", checksum="b" * 64)
    chosen = one_of_each_network([*one, *other])
    assert sorted((r.spec.network.name, r.spec.seed, r.spec.data.checksum[0]) for r in chosen) == [
        ("lenet", 1, "a"),
        ("lenet", 1, "b"),
        ("mcrgnet", 1, "a"),
    ]


def test_runs_of_one_set_by_name_or_checksum():
    one = records("lenet")
    other = records("lenet", checksum="b" * 64, name="mirabest-basic")
    assert runs_of_one_set(one) == one
    assert runs_of_one_set([*one, *other], "mirabest-basic") == other
    assert runs_of_one_set([*one, *other], "aaa") == one
    for name in ("", "mnist"):
        with pytest.raises(
            SpecError, match=r"one data set is needed .* aaaaaaaa \(first-galaxy-data\), bbbbbbbb \(mirabest"
        ):
            runs_of_one_set([*one, *other], name)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    for record, status in zip(records("lenet"), ("complete", "failed"), strict=True):
        with made.claim(record.spec) as directory:
            directory.write_status(status)
    return made


def test_complete_runs_are_those_that_ended_well(store, tmp_path):
    (complete,) = complete_runs(store)
    assert (complete.status, complete.spec.seed) == ("complete", 2)
    with pytest.raises(DataError, match="holds no complete run"):
        complete_runs(Store(tmp_path / "empty"))
