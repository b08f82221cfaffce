"""Runs by name: all seeds of a network that differ in nothing else; ids go before names."""

from __future__ import annotations

import re

import pytest

from rgbench.errors import DataError, SpecError, StoreError
from rgbench.runs.find import find_runs
from rgbench.spec import Study, resolve
from rgbench.store.store import Store


@pytest.fixture
def make(tmp_path):
    """Write runs of a study to a store."""
    store = Store(tmp_path / "store")

    def written(*networks: str, status: str = "complete", checksum: str = "a" * 64, **study) -> Store:
        for spec in resolve(Study(name="s", networks=networks, **study), checksum):
            with store.claim(spec) as directory:
                directory.write_status(status)
        return store

    return written


def seeds(store: Store, wanted: str, **options) -> list[int]:
    return [record.spec.seed for record in find_runs(store, wanted, **options)]


@pytest.mark.parametrize("name", ["convxpress", "convXpress", "CONVXPRESS"])
def test_a_name_or_an_alias_means_all_seeds(make, name):
    store = make("convxpress", "lenet", seeds=(3, 1, 2))
    found = find_runs(store, name)
    assert [(record.spec.network.name, record.spec.seed) for record in found] == [
        ("convxpress", seed) for seed in (1, 2, 3)
    ]


def test_the_names_of_the_original_are_aliases(make):
    assert seeds(make("vgg16-d", seeds=(1, 2)), "vgg16_d_real") == [1, 2]


def test_an_id_or_its_beginning_goes_before_a_name(make):
    store = make("lenet", seeds=(1, 2))
    one = store.run_ids()[0]
    named = one[:5]
    store = make(named, seeds=(7,), layers={named: "Flat · FC4 softmax"})
    for wanted in (one, named):
        assert [record.run_id for record in find_runs(store, wanted)] == [one]


def test_several_with_commas_each_once(make):
    store = make("lenet", "mcrgnet", seeds=(1, 2))
    first, *_, last = store.run_ids()
    assert [r.run_id for r in find_runs(store, f"{last[:6]}, {first[:6]},{last}")] == [last, first]
    assert len(find_runs(store, f"lenet,{first}")) in (2, 3)


def test_runs_that_are_not_complete_take_no_part(make):
    store = make("lenet", seeds=(1, 2))
    make("lenet", seeds=(3,), status="failed")
    make("mcrgnet", seeds=(1,), status="running")
    assert seeds(store, "lenet") == [1, 2]
    with pytest.raises(
        DataError, match=r"mcrgnet: no run of it is complete: mcrgnet seed 1 \(\w{8}\) is running"
    ):
        find_runs(store, "mcrgnet")
    make("mcrgnet", seeds=(0,), status="imported")
    assert seeds(store, "mcrgnet") == [0], "one that was imported classifies"


@pytest.mark.parametrize(
    ("other", "key"),
    [
        ({"protocol": "becker2021"}, "protocol"),
        ({"data": {"name": "mirabest-basic"}}, "data.name"),
        ({"data": {"split": "fold-1"}}, "data.split"),
        ({"checksum": "b" * 64}, "data.checksum"),
        ({"recipe": {"epochs": 3}}, "recipe.epochs"),
    ],
)
def test_other_settings_are_said_with_the_choices_as_they_may_be_given(make, other, key):
    store = make("lenet", seeds=(1, 2))
    make("lenet", seeds=(1, 2), **other)
    with pytest.raises(
        SpecError, match=f"its runs have 2 settings, which differ in {key}; choose one: "
    ) as said:
        find_runs(store, "lenet")
    choices = re.findall(r"\(seeds 1, 2\): --run ([\w,]+)", str(said.value))
    assert len(choices) == 2
    assert "\n" not in str(said.value)
    found = [{r.run_id for r in find_runs(store, choice)} for choice in choices]
    assert found[0] | found[1] == set(store.run_ids())
    assert not found[0] & found[1]


def test_where_the_data_lie_is_no_setting(make, tmp_path):
    store = make("lenet", seeds=(1,), data={"path": str(tmp_path)})
    make("lenet", seeds=(2,), data={"path": str(tmp_path / "moved")})
    assert seeds(store, "lenet") == [1, 2]


def test_folds_count_as_seeds_where_they_may(make):
    store = make("lenet", seeds=(1,), splits=("fold-0", "fold-1"))
    assert seeds(store, "lenet", folds=True) == [1, 1]
    with pytest.raises(SpecError, match=r"data\.split fold-0 \(seed 1\): --run"):
        find_runs(store, "lenet")


def test_many_settings_are_shortened(make):
    for epochs in range(1, 8):
        store = make("lenet", seeds=(1,), recipe={"epochs": epochs})
    with pytest.raises(SpecError, match="7 settings.*; and 3 more: rgbench runs --network lenet$"):
        find_runs(store, "lenet")


def test_what_is_not_there_is_said_with_what_is(make):
    store = make("lenet", "mcrgnet", seeds=(1, 2, 3))
    with pytest.raises(SpecError, match="no run begins with 'zz', and no network there is called so") as said:
        find_runs(store, "zz")
    shown = re.search(
        r"the store holds lenet seed 1 \((\w+)\), mcrgnet seed 1 \(\w+\), lenet seed 2 \(\w+\), "
        r"mcrgnet seed 2 \(\w+\), and 2 others; rgbench runs lists them$",
        str(said.value),
    )
    assert shown
    (record,) = find_runs(store, shown[1])
    assert (record.spec.network.name, record.spec.seed) == ("lenet", 1)


def test_a_beginning_of_several_ids_is_said_with_these(make):
    store = make("lenet", seeds=tuple(range(20)))
    begun = [run_id for run_id in store.run_ids() if run_id[0] == store.run_ids()[0][0]]
    assert len(begun) > 1, "20 runs have two ids that begin alike"
    with pytest.raises(
        SpecError, match=f"{len(begun)} runs begin with '{begun[0][0]}'; these are lenet seed"
    ):
        find_runs(store, begun[0][0])


def test_an_empty_store_says_so(tmp_path):
    with pytest.raises(SpecError, match="the store holds no run"):
        find_runs(Store(tmp_path), "lenet")


def test_a_damaged_run_is_told_and_the_others_are_found(make):
    store = make("lenet", seeds=(1, 2, 3))
    bad, worse, good = store.run_ids()
    (store.run_path(bad) / "run.json").write_text("{")
    (store.run_path(worse) / "predictions.parquet").write_bytes(b"PAR1")
    told: list[str] = []
    assert [r.run_id for r in find_runs(store, "lenet", on_damage=told.append)] == [good]
    assert [line.split()[1] for line in told] == [bad, worse]
    with pytest.raises(StoreError, match=r"run\.json: cannot be read"):
        find_runs(store, "lenet")
    with pytest.raises(SpecError, match=rf"a damaged run \({bad[:8]}\)"):
        find_runs(store, "zz", on_damage=told.append)
