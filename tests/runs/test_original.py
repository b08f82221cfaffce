"""The original's files and options."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from rgbench.data.sets import mnist
from rgbench.errors import DataError, SpecError
from rgbench.networks import canonical_name
from rgbench.runs.original import (
    OriginalOptions,
    buildable,
    check_classes,
    original_study,
    parse_image_size,
    prepare_original,
    read_architectures,
    trained_before,
)
from rgbench.runs.study import run_study
from rgbench.spec import resolve
from rgbench.store.store import Store

ROOT = Path(__file__).parents[2]


def test_architecture_files_allow_comments_blank_lines_and_repeats(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(
        "# name,rate,epochs\nconvXpress,0.0001,16\n\nconvXpress,1e-3,8 # again\nmcrgnet , 0.001 , 16\n\n"
    )
    lines = read_architectures(path)
    assert [(line.network, line.learning_rate, line.epochs) for line in lines] == [
        ("convXpress", 1e-4, 16),
        ("convXpress", 1e-3, 8),
        ("mcrgnet", 1e-3, 16),
    ]
    runs = resolve(original_study(OriginalOptions(path)), "")
    assert len({run.run_id for run in runs}) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("convXpres,1e-4,16", "line 1: unknown network 'convXpres'; did you mean convXpress"),
        ("\nconvXpress,1e-4", "line 2: found 'convXpress,1e-4'; a line is name,learning rate,epochs"),
        ("convXpress,fast,16", "the learning rate is a number, the epochs a whole one"),
        ("convXpress,1e-4,0", "line 1: key 'epochs': .*greater than or equal to 1"),
        ("convXpress,-1,3", "line 1: key 'learning_rate': .*greater than 0"),
        ("# nothing\n", "holds no network"),
    ],
)
def test_mistakes_in_architecture_files_name_the_line(tmp_path, text, message):
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(SpecError, match=message) as caught:
        read_architectures(path)
    assert str(path) in str(caught.value)


def test_a_missing_architecture_file_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"nope.txt: the architecture file cannot be read"):
        read_architectures(tmp_path / "nope.txt")


@pytest.mark.parametrize("name", ["convxpress.txt", "architectures.txt"])
def test_the_shipped_files_are_the_paper_s_schedule(name):
    lines = read_architectures(ROOT / name)
    assert len(lines) == {"convxpress.txt": 1, "architectures.txt": 14}[name]
    study = original_study(OriginalOptions(ROOT / name, seed=1826))
    for run in resolve(study, ""):
        name = canonical_name(run.network.name)
        paper = resolve(study.model_copy(update={"schedule": (), "networks": (name,)}), "")[0]
        assert run.recipe == paper.recipe


@pytest.mark.parametrize("text", ["x", "300,300,3", "4", "300,-1", ""])
def test_image_sizes_are_checked(text):
    with pytest.raises(SpecError, match="--img_size: found"):
        parse_image_size(text)


def test_options_become_a_study():
    options = OriginalOptions(
        ROOT / "convxpress.txt",
        data_path=Path("FITS"),
        img_size=(150, 150),
        rotate=30,
        train_size=80,
        val_size=60,
    )
    (run,) = resolve(original_study(options), "")
    assert (run.protocol, run.seed, run.data.split) == ("becker2021", 8901, "becker2021")
    assert (run.data.train_size, run.data.validation_size) == (80, 60)
    assert (run.images.size, run.images.field, run.augmentation.step) == (150, 150, 30)


def test_a_manifest_needs_a_data_path():
    with pytest.raises(SpecError, match="--data_path, the folder of images, is missing"):
        original_study(OriginalOptions(ROOT / "convxpress.txt", data_manifest=Path("m.csv")))


def test_the_number_of_classes_must_be_right():
    check_classes(2, ("FRI", "FRII"))
    with pytest.raises(Exception, match="--num_classes is 3, but the data have 2: FRI, FRII"):
        check_classes(3, ("FRI", "FRII"))


def handwritten(n_train: int, n_test: int):
    """Give real handwritten digits (UCI, 8 x 8 pixels, in scikit-learn) as MNIST has them: 28 x 28 bytes."""
    digits = load_digits()
    small = np.pad(np.kron(digits.images, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2)))
    images, labels = np.round(small * 255 / 16).astype(np.uint8), digits.target.astype(np.uint8)
    end = n_train + n_test
    parts = (images[:n_train], labels[:n_train], images[n_train:end], labels[n_train:end])
    return mnist._assemble(dict(zip(mnist.FILES, parts, strict=True)))


def test_the_mnist_control_leaves_out_what_28_pixels_cannot_hold(tmp_path):
    path = tmp_path / "mnist.txt"
    path.write_text("convXpress,1e-3,1\ntoothless_real,1e-4,1\nradio_galaxy_zoo,1e-4,1\n")
    study = original_study(OriginalOptions(path, mnist=True))
    kept, reasons = buildable(study, 10)
    assert kept.networks == ("convxpress",)
    assert [line.network for line in kept.schedule] == ["convXpress"]
    assert [reason.partition(" ")[0] for reason in reasons] == ["toothless_real", "radio_galaxy_zoo"]
    (run,) = resolve(kept, "")
    assert (run.images.preset, run.images.size, run.augmentation.kind) == ("bytes", 28, "none")
    assert (run.recipe.batches, run.recipe.plateau_min_delta) == ("shuffled", 0.001)
    assert run.recipe.optimizer == "adam"
    path.write_text("toothless_real,1e-4,1\n")
    with pytest.raises(SpecError, match="toothless_real is left out"):
        buildable(original_study(OriginalOptions(path, mnist=True)), 10)
    with pytest.raises(SpecError, match="--mnist is a data set of its own"):
        original_study(OriginalOptions(path, mnist=True, data_path=tmp_path))


def test_options_are_prepared_with_their_data(tmp_path, monkeypatch):
    path = tmp_path / "mnist.txt"
    path.write_text("mcrgnet,1e-3,1\ntoothless_real,1e-4,1\n")
    asked = []

    def load(spec, image_size):
        asked.append((spec.name, image_size))
        return handwritten(1200, 297)

    monkeypatch.setattr(mnist, "VALIDATION", 200)
    monkeypatch.setattr("rgbench.runs.original.load_dataset", load)
    prepared = prepare_original(OriginalOptions(path, mnist=True))
    assert asked == [("mnist", (300, 300))]
    assert prepared.study.networks == ("mcrgnet",)
    (reason,) = prepared.left_out
    assert reason.startswith("toothless_real is left out")
    with pytest.raises(DataError, match="no network of this file is stored; train without --only_test first"):
        trained_before(prepared, Store(tmp_path / "store"))
    with pytest.raises(DataError, match="--num_classes is 4, but the data have 10"):
        prepare_original(OriginalOptions(path))


def test_the_mnist_control_learns_digits(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "VALIDATION", 200)
    path = tmp_path / "mnist.txt"
    path.write_text("mcrgnet,4e-3,4\n")
    study, _ = buildable(original_study(OriginalOptions(path, mnist=True)), 10)
    dataset = handwritten(1200, 297)
    assert {
        side: int((dataset.splits["published"] == side).sum()) for side in ("train", "validation", "test")
    } == {
        "train": 1000,
        "validation": 200,
        "test": 297,
    }
    (record,) = run_study(study, Store(tmp_path / "store"), dataset=dataset)
    assert record.status == "complete", record.error
    test = record.predictions.select(split="test", model="best")
    assert len(test) == 297
    assert np.mean(test.logits.argmax(axis=1) == test.label) > 0.5, "chance is 10 %"
