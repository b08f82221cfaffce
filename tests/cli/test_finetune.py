"""The command that trains a classifier further: what it prints and writes, and what it refuses beforehand."""

from __future__ import annotations

import csv

import pytest

from rgbench.cli.app import main
from rgbench.runs.classifier import Classifier, load_classifier
from rgbench.runs.export import ExportChoice, make_classifier
from rgbench.runs.reopen import StoredRun
from rgbench.runs.study import run_study
from rgbench.simulate import SimulationSpec, Survey, simulate, write_simulation
from rgbench.spec import Study
from rgbench.store.store import Store


def write_sky(folder, n, seed):
    write_simulation(
        simulate(SimulationSpec(n=n, seed=seed, survey=Survey(side=64), neighbours=False)), folder
    )
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The file of a classifier that has been trained for an epoch."""
    folder = tmp_path_factory.mktemp("start")
    data = {
        "name": "sky",
        "path": str(write_sky(folder / "sky", 48, 1)),
        "split": "becker2021",
        "train_size": 5,
        "validation_size": 5,
    }
    small = {"images": {"field": 32, "size": 16}, "recipe": {"epochs": 1, "views": 1, "precision": "float32"}}
    store = Store(folder / "store")
    run_study(Study(name="toy", networks=("lenet",), seeds=(1,), data=data, **small), store)
    made: Classifier = make_classifier([StoredRun(store.run_ids()[0], store)], ExportChoice("toy-1"))
    made.save(folder / "toy-1.safetensors")
    return folder / "toy-1.safetensors"


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    return write_sky(tmp_path_factory.mktemp("mine"), 48, 2)


def said(capsys, *arguments):
    with pytest.raises(SystemExit) as done:
        main([str(each) for each in arguments])
    told = capsys.readouterr()
    return done.value.code, " ".join(told.out.split()), " ".join(told.err.split())


def test_from_a_folder_and_a_table_to_a_file_that_predict_reads(tmp_path, monkeypatch, capsys, start, sky):
    monkeypatch.chdir(tmp_path)
    names = {"COMP": "compact", "FRI": "fr1", "FRII": "fr2", "BENT": "odd"}
    rows = [(path.stem, names[path.parent.name]) for path in sorted(sky.rglob("*.fits"))]
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "kind"), *rows])
    table = ("--labels", "mine.csv", "--column", "label=kind", "--label", "fr1=FRI", "--label", "fr2=FRII")
    how = ("--classifier", start, "--epochs", 2, "--folds", 3, "--seeds", 7)
    command = ("finetune", "--images", sky, *table, "--leave-out", "odd", *how, "--out", "mine-1.safetensors")
    code, out, err = said(capsys, *command)
    assert code == 0, err
    assert "on your own sources. As a mean over the classes, mine-1 recognises" in out
    assert "The difference is" in out
    assert "FRI: of 12, mine-1 recognises" in out
    assert "You have no source of Bent" in out
    assert (
        "was trained on all 36 labelled sources (12 Compact, 12 FRI, 12 FRII). "
        "12 sources with the label 'odd' are left out, as asked" in out
    )
    assert "rgbench predict FOLDER --classifier mine-1.safetensors" in out
    card = load_classifier(tmp_path / "mine-1.safetensors").card
    assert (card.name, card.members[0].spec.seed) == ("mine-1", 7)
    code, out, err = said(capsys, "predict", sky, "--classifier", "mine-1.safetensors", "--out", "said.csv")
    assert code == 0, err
    assert "in-training 36" in out
    code, _, err = said(capsys, *command)
    assert (code, "is there already; choose another name, or give --overwrite" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--out", "mine.pt"], 2, "--out mine.pt: the ending is not .safetensors"),
        (["--out", "nowhere/mine.safetensors"], 2, "there is no folder nowhere; make it first"),
        (["--seeds", "one"], 2, "--seeds: found 'one'; whole numbers are legal, as 1,2,3"),
        (["--folds", "1"], 2, "folds: found 1; 2 or more are legal"),
        (["--epochs", "-2"], 2, "epochs: found -2; 0 or more are legal"),
        (["--classifier", "first-9"], 2, "there is no file and no classifier 'first-9'"),
        (["--label", "wat=Bend"], 2, "'wat' is mapped to 'Bend'; did you mean 'Bent'?"),
        (["--images", "nowhere"], 1, "nowhere: there is no such folder of images"),
        (["--labels", "nowhere.csv"], 1, "nowhere.csv: cannot be read"),
    ],
)
def test_what_is_wrong_is_one_line_before_any_work(
    tmp_path, monkeypatch, capsys, sky, options, code, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rgbench.finetuning.train.fit", lambda *a: pytest.fail("trained"))
    given = dict(zip(options[::2], options[1::2], strict=True))
    wanted = {"--images": str(sky), **given}
    found, _, err = said(capsys, "finetune", *(word for pair in wanted.items() for word in pair))
    assert (found, message in err) == (code, True), err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path, monkeypatch, capsys, sky):
    def refuse(**where):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("rgbench.store.files.TemporaryFile", refuse)
    code, _, err = said(capsys, "finetune", "--images", sky, "--out", tmp_path / "mine.safetensors")
    assert (code, "mine.safetensors: cannot be written: Permission denied" in err) == (1, True)
