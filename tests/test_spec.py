"""Specs: a study resolves to runs, ids are stable, mistakes are explained."""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from importlib import resources

import pytest

from rgbench.errors import SpecError
from rgbench.protocols import protocols, read_protocol
from rgbench.registry import Registry
from rgbench.spec import (
    PUBLISHED_SEEDS,
    DataSpec,
    ScheduleLine,
    Study,
    read_study,
    resolve,
)
from rgbench.validation import validate

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


@pytest.mark.parametrize("protocol", protocols().names())
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


GOLDEN = {
    "smoke": ("c81e34517fa5a8bb", "c482cc49349faf30", "6cbc11e8ab95d666", "c31da7a8825756d4"),
    "cross-validation": ("22add15e1c6e155d", "ed724f6373800efa", "b9bf37351da94762", "7d40d3c364728894"),
    "becker2021-lrg": ("f8db696f83d2a7de", "3c691c3606debc58", "2b6f22994656cff0", "8e31d1634767956d"),
    "across-sets": ("d65bb50108b87790", "be554ef3e1fcabc0", "aafcc84fb134a9cb", "6174a26b1a0bfcd1"),
    "learning-curve": ("b3d6d7b119f28726", "6f03ffe55d8fdb42", "eac9f60844e026d5", "c53859220fb2f3ab"),
}
"""The first four ids of studies that ship, of data without a checksum, as they were on 28 November 2026."""


@pytest.mark.parametrize("name", GOLDEN)
def test_the_ids_of_runs_stay_what_they_were(name):
    file = resources.files("rgbench.studies").joinpath(f"{name}.toml")
    study = validate(Study, tomllib.loads(file.read_text("utf8")), name)
    if resolve(study, checksum="")[0].recipe.precision == "auto":
        # A run is in one precision, and that of `modern` was bfloat16 before it was tried which is faster.
        study = study.model_copy(update={"recipe": {**study.recipe, "precision": "bfloat16"}})
    runs = resolve(study, checksum="")
    assert tuple(run.run_id for run in runs[:4]) == GOLDEN[name]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"images": {}, "augmentation": {}}, r"protocol 'mine': the table \[recipe\] is missing"),
        ({"recipes": {}}, "unknown key 'recipes'; the keys are title, extends, images"),
        ({"extends": "mine"}, r"extends itself \(mine extends mine\)"),
        ({"extends": "modem"}, "unknown protocol 'modem'; did you mean modern"),
        (3, "is a int; a dictionary of tables or the path of a TOML file is legal"),
        ("no/such.toml", "no/such.toml: cannot be read: No such file"),
    ],
)
def test_a_protocol_that_is_wrong_says_what_is_legal(monkeypatch, item, message):
    registry = Registry("protocol", None, protocols()._adapt)
    registry.register("modern", protocols().get("modern"))
    monkeypatch.setattr("rgbench.protocols.protocols", lambda: registry)

    def use():
        registry.register("mine", item)
        return read_protocol("mine")

    with pytest.raises(SpecError, match=message):
        use()


def test_extensions_of_a_study_are_imported_once_and_change_no_id(tmp_path, monkeypatch):
    anew = cache(protocols.__wrapped__)
    monkeypatch.setattr("rgbench.protocols.protocols", anew)
    monkeypatch.setattr("rgbench.spec.study.protocols", anew)
    (tmp_path / "mine.py").write_text(
        "import rgbench\n"
        "rgbench.register('protocol', 'test-spec', {'extends': 'modern', 'recipe': dict(epochs=3, batch_size=8,"
        " learning_rate=1e-3)})\n"
    )
    text = 'networks = ["mcrgnet"]\nseeds = [1]\nprotocol = "{}"\n'
    (tmp_path / "a.toml").write_text('extensions = ["mine.py"]\n' + text.format("test-spec"))
    for _ in range(2):
        study = read_study(tmp_path / "a.toml")
    (run,) = resolve(study, "c")
    assert (run.recipe.epochs, run.images.preset) == (3, "modern")
    (tmp_path / "b.toml").write_text(text.format("test-spec"))
    assert resolve(read_study(tmp_path / "b.toml"), "c") == [run]


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        ("no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("nowhere.py", "FileNotFoundError"),
        ("broken.py", "ZeroDivisionError: division by zero"),
        ("wrong.py", "unknown kind 'presets'; did you mean preset"),
    ],
)
def test_an_extension_that_cannot_be_imported_says_why(tmp_path, extension, reason):
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "wrong.py").write_text("import rgbench\nrgbench.register('presets', 'a', 1)\n")
    (tmp_path / "s.toml").write_text(f'networks = ["mcrgnet"]\nextensions = ["{extension}"]\n')
    with pytest.raises(SpecError, match=rf"extensions: '.*{extension}' cannot be imported: {reason}"):
        read_study(tmp_path / "s.toml")


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
        (
            'networks = ["a"]\nprotocol = "becker"',
            "key 'protocol': unknown protocol 'becker'; did you mean becker2021",
        ),
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
        ({"precision": "float16"}, r"key 'precision': .*'float32', 'bfloat16' or 'auto', found 'float16'"),
        ({"learning_rate": float("nan")}, "key 'learning_rate'"),
    ],
)
def test_mistakes_in_overrides_are_explained(recipe, message):
    with pytest.raises(SpecError, match=message):
        runs_of(recipe=recipe)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(SpecError, match="the protocols are becker2021, modern"):
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
    left_out = runs_of(data=DataSpec(leave_out=("Hybrid",)))[0]
    assert left_out.run_id == plain.run_id, "the checksum says what came of it"
    assert left_out.settings()["data"]["leave_out"] == ["Hybrid"]
    assert "leave_out" not in plain.settings()["data"]
    assert runs_of(data=DataSpec(shared="refuse"))[0].run_id == plain.run_id
    for other in (DataSpec(test="mirabest-f"), DataSpec(train_limit=100), DataSpec(split="fold-0")):
        assert runs_of(data=other)[0].run_id != plain.run_id


def test_what_a_run_is_trained_on_enters_the_id_where_it_is_not_the_published_label():
    plain, same, soft = (
        runs_of(recipe=recipe)[0] for recipe in ({}, {"labels": "published"}, {"labels": "consensus"})
    )
    assert plain.run_id == same.run_id != soft.run_id
    assert "labels" not in plain.settings()["recipe"]
    assert soft.settings()["recipe"]["labels"] == "consensus"


def test_the_votes_are_those_that_ids_speak_of():
    """An id says "consensus", not which: another table of votes needs another word in `RecipeSpec.labels`."""
    table = resources.files("rgbench.data").joinpath("consensus.csv").read_bytes()
    assert (
        hashlib.sha256(table).hexdigest()
        == "b3a15ab18b4fb3213a416a3b3af60f852bde0c4a99d10e7ec51ab4128dcb1783"
    )


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
