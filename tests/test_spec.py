"""Specs: a study resolves to runs, ids are stable, mistakes are explained."""

from __future__ import annotations

import pytest

from rgbench.errors import SpecError
from rgbench.spec import (
    PROTOCOLS,
    PUBLISHED_SEEDS,
    DataSpec,
    ScheduleLine,
    Study,
    read_protocol,
    read_study,
    resolve,
    validate,
)

PAPER_RATES = {
    "convxpress": (1e-4, 1e-4),
    "convnet-4": (1e-5, 1e-6),
    "convnet-8": (1e-4, 1e-4),
    "vgg16-d": (1e-5, 1e-6),
    "alexnet-plain": (1e-5, 1e-5),
    "alexnet-adapted": (1e-5, 1e-5),
    "simplenet": (1e-3, 1e-4),
    "mcrgnet": (1e-3, 1e-4),
    "hosenie": (1e-4, 1e-4),
    "atlas-x-id": (1e-4, 1e-4),
    "fr-deep": (1e-4, 1e-4),
    "first-classifier": (1e-4, 1e-4),
    "radio-galaxy-zoo": (1e-4, 1e-5),
    "toothless": (1e-5, 1e-6),
}
"""Learning rates of the repository at the paper's submission and at its end."""


def runs_of(**changes):
    content = {"name": "s", "networks": ("mcrgnet",), "seeds": (1,), **changes}
    return resolve(Study(**content), checksum="c")


@pytest.mark.parametrize(("protocol", "column"), [("becker2021", 0), ("rg-benchmarker-2021-11", 1)])
def test_schedules_are_the_repository_s(protocol, column):
    runs = runs_of(networks=tuple(PAPER_RATES), protocol=protocol)
    rates = {run.network.name: run.recipe.learning_rate for run in runs}
    assert rates == {name: pair[column] for name, pair in PAPER_RATES.items()}
    epochs = {run.network.name: run.recipe.epochs for run in runs}
    longer = {"convxpress": 30} if column else {}
    assert epochs == {name: longer.get(name, 16) for name in PAPER_RATES}


def test_the_2021_protocol_has_the_original_s_values():
    (run,) = runs_of(protocol="becker2021")
    assert (run.images.preset, run.images.size, run.augmentation.step) == ("becker2021", 300, 15)
    assert run.augmentation.validation
    recipe = run.recipe
    assert (recipe.batch_size, recipe.batches, recipe.adam_epsilon) == (32, "two-sources", 1e-7)
    assert (recipe.plateau_factor, recipe.plateau_patience, recipe.plateau_min_delta) == (0.5, 3, 0.01)
    assert (recipe.plateau_min_rate, recipe.early_stopping, recipe.l2) == (1e-12, -1, True)
    assert (recipe.precision, recipe.class_weights, recipe.views) == ("float32", False, 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_resolves(protocol):
    assert len(runs_of(protocol=protocol, seeds=PUBLISHED_SEEDS)) == 3


def test_ids_depend_on_what_matters_and_on_nothing_else():
    (run,) = runs_of()
    (again,) = runs_of(name="another name")
    assert run.run_id == again.run_id
    assert len(run.run_id) == 16
    others = [
        runs_of(seeds=(2,)),
        runs_of(recipe={"epochs": 3}),
        runs_of(networks=("convxpress",)),
        runs_of(augmentation={"flip": False}),
        resolve(Study(name="s", networks=("mcrgnet",), seeds=(1,)), checksum="other"),
    ]
    assert len({run.run_id, *(other[0].run_id for other in others)}) == 6


def test_where_own_data_lie_does_not_change_the_id():
    here, there = (runs_of(data=DataSpec(name="folder", path=p, split="becker2021"))[0] for p in ("/a", "/b"))
    assert here.run_id == there.run_id


def test_the_split_sizes_count_only_where_they_are_used():
    one, other = (runs_of(data=DataSpec(train_size=n))[0] for n in (250, 80))
    assert one.run_id == other.run_id
    one, other = (runs_of(data=DataSpec(split="becker2021", train_size=n))[0] for n in (250, 80))
    assert one.run_id != other.run_id


def test_a_schedule_takes_the_place_of_the_networks():
    lines = (ScheduleLine(network="mcrgnet", learning_rate=0.5, epochs=7),)
    (run,) = runs_of(protocol="becker2021", schedule=lines)
    assert (run.recipe.learning_rate, run.recipe.epochs) == (0.5, 7)


def test_a_study_file_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('networks = ["mcrgnet"]\nseeds = [1, 2]\n[recipe]\nepochs = 4\n')
    study = read_study(path)
    assert study.name == "mine"
    assert [run.recipe.epochs for run in resolve(study, "")] == [4, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('network = ["a"]', "unknown key 'network'; did you mean 'networks'"),
        ("networks = []", "key 'networks': .*at least 1 item"),
        ('networks = ["a"]\nseeds = [1, 1]', "key 'seeds': 1 is listed twice"),
        ('networks = ["a"]\nprotocol = "becker"', "'becker' is not one of modern, becker2021"),
        ('networks = ["a"]\n[data]\nsplit = "random"', "key 'data.split': .*'published' or 'becker2021'"),
        ('networks = ["a"]\n[data]\nfoo = 1', "unknown key 'data.foo'; the keys are name, split"),
        ('networks = ["a"', "is not TOML"),
    ],
)
def test_mistakes_in_a_study_name_the_key_and_the_legal_values(tmp_path, text, message):
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(SpecError, match=message) as caught:
        read_study(path)
    assert "s.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"epoch": 3}, r"\[recipe\]: unknown key 'epoch'; did you mean 'epochs'"),
        ({"epochs": 0}, r"key 'epochs': .*greater than or equal to 1, found 0"),
        ({"precision": "float16"}, r"key 'precision': .*'float32' or 'bfloat16', found 'float16'"),
        ({"learning_rate": float("nan")}, "key 'learning_rate'"),
    ],
)
def test_mistakes_in_overrides_are_explained(recipe, message):
    with pytest.raises(SpecError, match=message):
        runs_of(recipe=recipe)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(SpecError, match="the protocols are modern, becker2021"):
        read_protocol("nope")


def test_folds_and_training_sizes_multiply_the_runs():
    study = Study(
        name="s", networks=("mcrgnet",), seeds=(1, 2), splits=("fold-0", "fold-1"), train_limits=(50, 100)
    )
    runs = resolve(study, "x")
    assert len({run.run_id for run in runs}) == len(runs) == 8
    assert [(r.data.split, r.data.train_limit, r.seed) for r in runs[:3]] == [
        ("fold-0", 50, 1),
        ("fold-0", 50, 2),
        ("fold-0", 100, 1),
    ]
    with pytest.raises(SpecError, match="'data'.*split|split.*'published' or 'becker2021'"):
        resolve(Study(name="s", networks=("mcrgnet",), splits=("fold",)), "x")


def test_what_is_not_used_does_not_enter_the_id():
    plain = runs_of(data=DataSpec())[0]
    assert (
        runs_of(data=DataSpec(columns={"ra": "RA"}, cutout=300.0, cutout_scale=1.8))[0].run_id == plain.run_id
    )
    assert runs_of(data=DataSpec(shared="refuse"))[0].run_id == plain.run_id
    for other in (DataSpec(test="mirabest-f"), DataSpec(train_limit=100), DataSpec(split="fold-0")):
        assert runs_of(data=other)[0].run_id != plain.run_id


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"test": "mirabest-f", "split": "becker2021"}, "test goes with a published split"),
        ({"cutout_scale": 1.8}, "cutout_scale goes with cutout"),
        ({"shared": "keep"}, "'remove' or 'refuse'"),
        ({"train_limit": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_do_not_go_together_are_refused(data, message):
    with pytest.raises(SpecError, match=message):
        validate(DataSpec, data, "[data]")
