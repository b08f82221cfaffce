"""What a study names and sizes is checked before the work: before data are loaded, or before training."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from rgbench.cli.app import main
from rgbench.data.catalogue import Card, Catalogue, DataSet, Flag
from rgbench.data.sets import data_sets
from rgbench.data.split import published_split
from rgbench.errors import DataError, SpecError
from rgbench.protocols import protocols
from rgbench.runs.check import check_images, check_sides, check_study
from rgbench.runs.import_keras import ImportChoice, import_keras
from rgbench.runs.inputs import prepare
from rgbench.runs.study import plan_study, run_study
from rgbench.spec import Study, resolve
from rgbench.store.store import Store
from rgbench.validation import validate

TINY = "C3x3-4 s2 same relu · GAP · FC{classes} softmax"


def study_of(**content) -> Study:
    return validate(Study, {"name": "s", "networks": ["mcrgnet"], "seeds": [1], **content}, "s")


WRONG = [
    (
        {"images": {"preset": "modren"}},
        r"\[images\] preset: unknown preset 'modren'; did you mean modern\?.*becker2021",
    ),
    ({"images": {"field": 4000}}, "field = 4000: the images of first-galaxy-data have 300 x 300 pixels"),
    ({"images": {"size": 100_000}}, r"\[images\] size: found 100000; 8 to 4096 pixels are legal"),
    (
        {"networks": ["tiny"], "layers": {"tiny": "C3x3-1000000 s1 same relu · Flat · FC4 softmax"}},
        "tiny has .* parameters at 96 pixels; up to 4,000,000,000 are legal",
    ),
    ({"data": {"cutout": 1e20}}, "key 'data.cutout': .*less than or equal to 36000"),
    ({"images": {"feild": 40}}, "unknown key 'feild'; did you mean 'field'"),
    (
        {"data": {"name": "first-galaxy"}},
        r"\[data\] name: unknown data set 'first-galaxy'; did you mean first-galaxy-data",
    ),
    (
        {"data": {"test": "mirabst-f"}},
        r"\[data\] test: unknown data set 'mirabst-f'; did you mean mirabest-f",
    ),
    (
        {"data": {"test": "first-galaxy-data"}},
        r"\[data\] test: 'first-galaxy-data' is the training set itself",
    ),
    ({"splits": ["fold"]}, "key 'split': must be 'published' or 'becker2021'"),
    ({"networks": ["mcrgnt"]}, "unknown network 'mcrgnt'; did you mean mcrgnet"),
    (
        {"networks": ["tiny"], "layers": {"tiny": "Flt"}},
        "'Flt' is not a layer: unknown layer 'Flt'; did you mean Flat",
    ),
    ({"networks": ["tiny"], "layers": {"tiny": "Flat · FC9 softmax"}}, r"FC9 .*gives \(9,\), not \(4,\)"),
    ({"augmentation": {"kind": "turns"}}, r"\[augmentation\]: key 'kind': .*'rotations', 'random' or 'none'"),
    ({"recipe": {"optimizer": "sgd"}}, r"\[recipe\]: key 'optimizer': .*'adam' or 'adamw'"),
    ({"networks": ["toothless"], "images": {"size": 8}}, "layer .* does not fit"),
    (
        {"schedule": [{"network": "convxpres", "learning_rate": 1, "epochs": 1}]},
        "unknown network 'convxpres'; did you mean conv[xX]press",
    ),
    (
        {"splits": ["fold-99"]},
        "first-galaxy-data has no split 'fold-99'; legal are published, fold-0, .*becker2021",
    ),
    ({"networks": ["tiny"], "layers": {"tiny": "GAP · FC{classes} relu"}}, "must end in softmax or sigmoid"),
    ({"data": {"cutout": 120.0}}, r"\[data\] cutout: goes with path"),
    ({"data": {"labels": {"1": "FRI"}}}, r"\[data\] labels: goes with path"),
    (
        {"data": {"path": "no-such-folder"}},
        r"\[data\] path: 'no-such-folder': there is no such folder of images",
    ),
    ({"data": {"path": ".", "manifest": "no.csv"}}, r"\[data\] manifest: no.csv: there is no such file"),
    ({"data": {"path": ".", "columns": {"rra": "x"}}}, "columns: unknown key 'rra'"),
    ({"data": {"path": ".", "labels": {"1": "FR3"}}}, "labels: '1' is mapped to 'FR3'"),
    ({"data": {"checksum": "abc"}}, r"\[data\] checksum: is filled in from the data; leave it out"),
    (
        {"schedule": [{"network": "convxpress", "learning_rate": 1, "epochs": 1}]},
        "schedule: trains convxpress, but networks lists mcrgnet: list the same",
    ),
    ({"recipe": {"epochs": True}}, "key 'epochs': .*valid integer, found True"),
    ({"recipe": {"epochs": "3"}}, "key 'epochs': .*valid integer, found '3'"),
    ({"recipe": {"views": True}}, "key 'views': must be 1, 2, 4, 8, 16, 24 or 48, found True"),
    ({"seeds": [1.5]}, "key 'seeds.0': .*valid integer"),
    ({"networks": "mcrgnet"}, r"key 'networks': must be a list, as \['mcrgnet'\]"),
    ({"images": {"beam": 1.5}}, r'\[images\] beam: needs linear flux, so frame = "sky"'),
    ({"augmentation": {"beam": 1.5}}, 'beam, noise: need linear flux, so frame = "sky"'),
    (
        {"protocol": "sky", "augmentation": {"kind": "none"}},
        r"\[augmentation\] beam, noise: go with kind = \"random\", found 'none'",
    ),
    (
        {"images": {"frame": "ground"}},
        r"\[images\]: key 'frame': .*'none', 'sky' or 'sky-axis', found 'ground'",
    ),
    (
        {"data": {"name": "mirabest-f"}, "recipe": {"labels": "consensus"}},
        r'\[recipe\] labels: found "consensus", but mirabest-f has no votes of several catalogues; "published" is '
        r'legal there, and "consensus" for first-galaxy-data, lrg-first, first-consensus',
    ),
    (
        {"data": {"name": "mine", "path": "."}, "recipe": {"labels": "consensus"}},
        r'\[recipe\] labels: found "consensus", but the images in \. has no votes',
    ),
    ({"recipe": {"labels": "soft"}}, r"\[recipe\]: key 'labels': .*'published' or 'consensus', found 'soft'"),
    ({"name": "report"}, "key 'name': .*not 'report'"),
    ({"name": ".x"}, "key 'name': .*no dot at the beginning"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_what_is_wrong_is_said_before_data_are_loaded(content, message, monkeypatch, tmp_path):
    def loaded(*arguments):
        raise AssertionError("the data were loaded")

    monkeypatch.setattr("rgbench.runs.study.load_dataset", loaded)
    store = Store(tmp_path)
    with pytest.raises(SpecError, match=message):
        run_study(study_of(**content), store)
    assert store.run_ids() == []


def test_the_command_checks_before_it_loads(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("rgbench.cli.work.runs.load_dataset", None)
    (tmp_path / "s.toml").write_text('networks = ["mcrgnet"]\n[images]\npreset = "modren"\n')
    with pytest.raises(SystemExit) as done:
        main(["run", str(tmp_path / "s.toml"), "--store", str(tmp_path / "store")])
    assert done.value.code == 2
    assert "unknown preset 'modren'; did you mean modern?" in capsys.readouterr().err
    assert not list((tmp_path / "store").rglob("*.html"))


def test_a_study_that_is_right_passes():
    study = study_of(networks=["convXpress", "tiny"], layers={"tiny": TINY.replace("·", ";")})
    checked = check_study(study)
    assert checked.networks == ("convxpress", "tiny")
    assert checked.layers == {"tiny": TINY.replace("softmax", "softmax <gu>")}
    assert check_study(study_of(images={"field": 300})).networks == ("mcrgnet",)


@pytest.mark.slow
def test_a_split_on_a_card_is_a_split_of_its_images():
    for name, entry in data_sets():
        if name in ("lrg", "unlrg"):
            continue
        with suppress(DataError):  # its files are not here
            assert entry.card.splits == tuple(entry.load().splits), name


def test_a_table_of_a_protocol_is_a_table():
    with pytest.raises(SpecError, match="protocol 'sixes': images is 5; a table is legal"):
        protocols().register("sixes", {"images": 5})


@pytest.mark.slow
def test_the_sizes_on_cards_are_those_of_the_images():
    sizes = {name: entry.card.image_size for name, entry in data_sets()}
    assert sizes["first-galaxy-data"] == data_sets().get("first-galaxy-data").load().images.shape[1:]
    assert {name for name, size in sizes.items() if size is None} == {
        "lrg",
        "unlrg",
    }  # catalogues without images


# --- what only the data tell ------------------------------------------------------------------------------


def toy(n: int = 24, side: int = 40, group: np.ndarray | None = None, sides: str = "") -> DataSet:
    names = np.array([f"s{i:02d}" for i in range(n)])
    nowhere = np.full(n, np.nan)
    images = np.random.default_rng(1).random((n, side, side)).astype(np.float32)
    catalogue = Catalogue(
        names,
        nowhere,
        nowhere,
        np.arange(n) % 2,
        np.arange(n) if group is None else group,
        names,
        np.zeros(n, dtype=np.int64),
    )
    parts = {"t": "train", "v": "validation", "e": "test", " ": ""}
    split = np.array([parts[letter] for letter in sides or "ttttvvee" * (n // 8)])
    return DataSet(Card("toy", "toy", classes=("one", "two")), catalogue, images, {"published": split})


def test_a_field_that_only_the_data_refuse_is_refused_before_training(tmp_path):
    study, store = study_of(images={"field": 41, "size": 32}), Store(tmp_path)
    with pytest.raises(
        SpecError, match="field = 41: the images of toy have 40 x 40 pixels; 8 to 40 is legal"
    ):
        run_study(study, store, dataset=toy())
    assert store.run_ids() == []
    assert plan_study(study_of(images={"field": 40, "size": 32}), toy(), store).missing


def test_a_field_is_held_against_what_the_preset_leaves():
    (spec,) = resolve(study_of(images={"preset": "mirabest", "field": 160, "size": 64}), "")
    dataset = toy(8, 200)
    with pytest.raises(
        SpecError, match="of the images of toy, 200 x 200 pixels, the preset 'mirabest' leaves 150 x 150"
    ):
        check_images(spec, dataset)
    (spec,) = resolve(study_of(images={"preset": "mirabest", "field": 140, "size": 64}), "")
    check_images(spec, dataset)
    assert prepare(dataset.images, spec).shape == (8, 150, 150)


def test_an_image_that_cannot_be_prepared_is_left_to_the_run():
    (spec,) = resolve(study_of(images={"preset": "minmax", "field": 40, "size": 32}), "")
    dataset = toy()
    dataset.images[0] = 1
    check_images(spec, dataset)
    bad = replace(dataset.catalogue, flags=np.full(24, int(Flag.UNUSABLE)))
    check_images(spec, replace(dataset, catalogue=bad))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            toy(group=np.zeros(24, dtype=np.int64)),
            "no training source is left: all 24 are in one sky group with test",
        ),
        (
            toy(
                sides="t" * 8 + "v" * 4 + "e" * 12,
                group=np.array([*range(12, 20), *range(4), *range(12, 24)]),
            ),
            "no training source is left: all 8 are in sky groups with test sources",
        ),
        (toy(sides="e" * 12 + "v" * 12), "no training source is left: the split 'published' of toy has none"),
        (toy(sides="t" * 12 + "v" * 12), "no test source is left: the split 'published' of toy has none"),
        (
            toy(
                sides="t" * 8 + "v" * 8 + "e" * 8, group=np.array([*range(8), *range(16, 24), *range(16, 24)])
            ),
            "no validation source is left: all 8 are in sky groups with test sources",
        ),
    ],
)
def test_a_side_without_sources_is_refused_before_training(dataset, message, tmp_path):
    with pytest.raises(DataError, match=message):
        check_sides(published_split(dataset), dataset)
    store = Store(tmp_path)
    with pytest.raises(DataError, match=message):
        run_study(study_of(images={"field": 40, "size": 32}), store, dataset=dataset)
    assert store.run_ids() == []


def test_sources_without_signal_are_a_reason_too():
    dataset = toy()
    flags = np.where(dataset.splits["published"] == "train", int(Flag.UNUSABLE), 0)
    dataset = replace(dataset, catalogue=replace(dataset.catalogue, flags=flags))
    with pytest.raises(
        DataError, match="no training source is left: all 12 were taken out .* image has no signal"
    ):
        check_sides(published_split(dataset), dataset)


@pytest.mark.parametrize(("sides", "side"), [("tvtvtvee", "training"), ("ttttvvev", "test")])
def test_a_class_without_training_or_test_source_is_refused_by_name(sides, side):
    dataset = toy(8, sides=sides)
    message = (
        f"no {side} source of the class two is left in the split 'published' of toy, which has 4 sources"
    )
    with pytest.raises(DataError, match=message):
        check_sides(published_split(dataset), dataset)


def test_of_a_drawn_split_the_sizes_are_said_to_be_too_large():
    dataset = toy(8, sides="ttttvvev")
    drawn = replace(published_split(dataset), name="becker2021")
    message = "of the class two .*: give smaller numbers for train_size and validation_size, or label more"
    with pytest.raises(DataError, match=message):
        check_sides(drawn, dataset)


def test_another_data_set_to_test_on_need_not_have_every_class():
    dataset = toy(8, sides="ttttvvev")
    check_sides(published_split(dataset), dataset, tested_elsewhere=True)


def test_a_class_of_which_there_is_no_source_at_all_is_no_reason():
    dataset = toy(8)
    card = replace(dataset.card, classes=("one", "two", "three"))
    check_sides(published_split(dataset), replace(dataset, card=card))


# --- other places where a preset is named, and failed runs ------------------------------------------------


def test_importing_a_model_checks_protocol_and_preset(tmp_path, monkeypatch):
    with pytest.raises(SpecError, match="unknown protocol 'becker2012'; did you mean becker2021"):
        import_keras("no-such-file.h5", Store(tmp_path), ImportChoice(protocol="becker2012"))
    wrong = {**protocols().get("modern"), "images": {"preset": "modren"}}
    monkeypatch.setattr("rgbench.runs.import_keras.read_protocol", lambda name: wrong)
    with pytest.raises(SpecError, match=r"protocol 'mine', \[images\] preset: unknown preset 'modren'"):
        import_keras("no-such-file.h5", Store(tmp_path), ImportChoice(protocol="mine"))


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(1)
    for name in ("FRI", "FRII"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(8):
            image = rng.normal(0, 0.01, (32, 32)).astype(np.float32)
            image[12:18, 12 : 18 + 4 * (name == "FRII")] += 1
            fits.writeto(tmp_path / "data" / name / f"{name}{i}.fits", image)
    (tmp_path / "s.toml").write_text(
        f'networks = ["tiny", "mcrgnet"]\nseeds = [1]\n[layers]\ntiny = "{TINY}"\n'
        f'[data]\nname = "mine"\npath = "{tmp_path / "data"}"\nsplit = "becker2021"\ntrain_size = 3\n'
        "validation_size = 2\n[images]\nfield = 32\nsize = 32\n[recipe]\nepochs = 1\n"
    )
    return tmp_path


@pytest.mark.parametrize(("failing", "code"), [(("tiny",), 0), (("tiny", "mcrgnet"), 1)])
def test_failed_runs_are_named_and_are_an_error_if_all_failed(folder, failing, code, monkeypatch, capsys):
    from rgbench.runs import execute

    fit = execute.fit

    def broken(network, *rest):
        if network.name in failing:
            raise DataError("something is wrong")
        return fit(network, *rest)

    monkeypatch.setattr("rgbench.runs.execute.fit", broken)
    with pytest.raises(SystemExit) as done:
        main(["run", str(folder / "s.toml"), "--store", str(folder / "store")])
    assert (done.value.code or 0) == code
    said = capsys.readouterr().out
    assert f"{len(failing)} of 2 runs failed:" in said
    assert "  tiny, seed 1: DataError: something is wrong" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": {"learning_rate": 1e300}}, "learning_rate.*less than or equal to 100"),
        (
            {"images": {"size": [96, 48]}},
            r"\[recipe\] views: 8 views need square images, and \[images\] size is \[96, 48\]",
        ),
        ({"augmentation": {"shift": 1e6}}, r"shift: 1e\+06 was given; at most half of the field, 48 pixels"),
    ],
)
def test_what_would_fail_or_train_on_nothing_is_refused_before_the_data_are_loaded(changes, message):
    with pytest.raises(SpecError, match=message):
        check_study(Study(name="s", networks=("mcrgnet",), **changes))


def test_an_oblong_field_can_have_four_views():
    study = Study(name="s", networks=("lenet",), images={"size": (96, 48)}, recipe={"views": 4})
    assert check_study(study).networks == ("lenet",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, r"\[data\] name: 'first-galaxy-data' is the name of a public data set"),
        (
            {"name": "mirabest-f"},
            "'mirabest-f' is the name of a public data set, and path says where your own images are",
        ),
        ({"name": "mine", "columns": {"ra": "x"}}, r"\[data\] columns: goes with manifest"),
        ({"name": "mine", "plane": -1}, r"\[data\] plane: -1 was given"),
        ({"name": "mine", "path": ""}, r"\[data\] path: '': there is no such folder"),
    ],
)
def test_one_s_own_images_are_not_a_public_set_and_keys_do_something(tmp_path, data, message):
    """A report on them spoke of the paper, the ceiling and the name of first-galaxy-data."""
    with pytest.raises(SpecError, match=message):
        check_study(Study(name="s", networks=("lenet",), data={"path": str(tmp_path), **data}))
