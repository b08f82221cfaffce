"""The tuner: which values it tries, on what it judges them, and that it goes on where it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from benchmarks import tune
from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.errors import LeakageError, SpecError
from rgbench.protocols.choices import read_choices
from rgbench.runs.study import plan_study
from rgbench.spec import DataSpec, Study
from rgbench.store.store import Store

SIDE = 40
STUDY = Study(
    name="toy",
    networks=("lenet",),
    seeds=(3, 4),
    data=DataSpec(name="toy"),
    images={"field": 32, "size": 32, "preset": "becker2021"},
    augmentation={"kind": "none"},
    recipe={"epochs": 1, "batch_size": 10, "precision": "float32", "views": 1},
)


def dataset() -> DataSet:
    """One blob or two, with a beam, so that second views can be made."""
    rng, n = np.random.default_rng(5), 40
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    label = np.arange(n) % 2
    images = rng.normal(0, 0.01, (n, SIDE, SIDE))
    for image, kind in zip(images, label, strict=True):
        for place in (6 * kind, -6 * kind):
            image += np.exp(-((x - place) ** 2 + y**2) / 6)
    names, nothing = np.array([f"s{i:03d}" for i in range(n)]), np.full(n, np.nan)
    sides = np.array(["train"] * 20 + ["validation"] * 10 + ["test"] * 10)
    card = Card(name="toy", title="toy", classes=("one", "two"), pixel_scale=1.8, beam=5.4)
    catalogue = Catalogue(names, nothing, nothing, label, np.arange(n), names, np.zeros(n, np.int64))
    return DataSet(card, catalogue, images.astype(np.float32), {"published": sides})


def space(folder: Path, text: str) -> dict[str, optuna.distributions.BaseDistribution]:
    path = folder / "space.toml"
    path.write_text(text)
    return tune.read_space(path)


WIDE = """
[recipe]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
class_weights = { choices = [true, false] }
"""


def test_a_space_is_read_and_other_sections_are_refused(tmp_path):
    found = space(tmp_path, WIDE)
    assert found["recipe.learning_rate"] == optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)
    assert set(found) == {"recipe.learning_rate", "recipe.class_weights"}
    with pytest.raises(
        SpecError, match=r"space\.toml: section 'data'; legal are recipe, augmentation, images"
    ):
        space(tmp_path, "[data]\nname = { choices = ['a'] }\n")


def test_the_shipped_space_is_of_legal_values_of_the_protocol():
    study = Study(name="s", networks=("lenet",), seeds=(1,), protocol="sky")
    found = tune.read_space(Path(tune.__file__).parent / "spaces/sky.toml")
    for end in ("low", "high"):
        values = {k: getattr(d, end) for k, d in found.items() if hasattr(d, end)}
        assert tune.with_values(study, "lenet", values).networks == ("lenet",)


@pytest.mark.slow
def test_trials_are_judged_on_validation_sources_and_a_search_goes_on(tmp_path):
    data, store = dataset(), Store(tmp_path / "store")
    wide = space(tmp_path, WIDE)
    first = tune.search(STUDY, "lenet", wide, 2, store, data)
    runs = {record.run_id for record in store.records()}
    again = tune.search(STUDY, "lenet", wide, 3, store, data)
    assert again[:2] == first
    assert len({record.run_id for record in store.records()} - runs) == 1
    assert first[0]["values"] == {}
    assert {row["sources"] for row in again} == {10.0}
    assert all(0 <= row["view_kept"] <= 1 and np.isfinite(tune.loss(row)) for row in again)


@pytest.mark.slow
def test_the_command_writes_every_trial(tmp_path, monkeypatch):
    data = dataset()
    monkeypatch.setattr(tune, "load_dataset", lambda _: data)
    monkeypatch.setattr(tune, "find_study", lambda _: STUDY)
    path = tmp_path / "space.toml"
    path.write_text(WIDE)
    words = [
        "s.toml",
        "--space",
        str(path),
        "--trials",
        "2",
        "--store",
        str(tmp_path / "s"),
        "--out",
        str(tmp_path / "o.json"),
    ]
    monkeypatch.setattr("sys.argv", ["tune.py", *words])
    tune.main()
    found = json.loads((tmp_path / "o.json").read_text())
    assert [row["trial"] for row in found["trials"]] == [0, 1]
    assert found["study"]["name"] == "toy"
    (choice,) = read_choices(found["choices"], "o.json")
    assert (choice.data, choice.splits, choice.trials) == ("toy", ("published",), 2)
    turned = np.array(["train"] * 20 + ["test"] * 10 + ["validation"] * 10)
    elsewhere = replace(data, splits={**data.splits, "fold-0": turned})
    study = STUDY.model_copy(update={"splits": ("fold-0",), "choices": (choice,)})
    with pytest.raises(
        LeakageError, match="10 of the 10 test sources judged the choice of values in a search"
    ):
        plan_study(study, elsewhere, Store(tmp_path / "t"), "cpu")


def test_labels_of_test_sources_change_no_trial(tmp_path):
    data = dataset()
    label = np.where(data.splits["published"] == "test", 1 - data.catalogue.label, data.catalogue.label)
    other = replace(data, catalogue=replace(data.catalogue, label=label))
    wide, names = space(tmp_path, WIDE), ("nll", "accuracy", "view_nll", "view_kept")
    found = [
        tune.search(STUDY, "lenet", wide, 2, Store(tmp_path / str(number)), own)
        for number, own in enumerate((data, other))
    ]
    scores = [[(row["values"], *(row[name] for name in names)) for row in rows] for rows in found]
    assert scores[0] == scores[1]
