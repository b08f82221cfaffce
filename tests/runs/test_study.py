"""From a folder of FITS to predictions: resume, locks, the original's files, prediction tables."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from scipy.special import softmax

import rgbench
import rgbench.runs.execute
from rgbench.cli.app import main
from rgbench.data.load import load_dataset
from rgbench.data.own.check import check_folder
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.measures.calibration import fit_temperature
from rgbench.runs.check import check_study
from rgbench.runs.classify import check_table_path
from rgbench.runs.execute import Bench, execute
from rgbench.runs.seen import OwnImages
from rgbench.runs.study import find_study, plan_study, run_study
from rgbench.spec import DataSpec, Study, resolve
from rgbench.store.store import Store
from rgbench.training import loop

SIDE = 40
FOLDERS = ("COMP", "FRI", "FRII", "BENT")


def source(kind: int, rng: np.random.Generator) -> np.ndarray:
    """A toy source: one blob, two near, two far, or three at an angle."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + 0.5
    spots = {0: [(0, 0)], 1: [(-4, 0), (4, 0)], 2: [(-12, 0), (12, 0)], 3: [(0, 0), (10, 0), (0, 10)]}[kind]
    turn = np.exp(1j * rng.uniform(0, 2 * np.pi))
    image = rng.normal(0, 2e-3, (SIDE, SIDE))
    for a, b in spots:
        place = (a + 1j * b) * turn
        image += np.exp(-((x - place.real) ** 2 + (y - place.imag) ** 2) / 5)
    return image.astype(np.float32)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("FITS")
    rng = np.random.default_rng(1)
    for kind, name in enumerate(FOLDERS):
        (root / name).mkdir()
        for i in range(14):
            fits.writeto(root / name / f"J{kind:02d}{i:02d}00.00+{10 + i}0000.0.fits", source(kind, rng))
    return root


@pytest.fixture
def study(folder) -> Study:
    data = {
        "name": "folder",
        "path": str(folder),
        "split": "becker2021",
        "train_size": 8,
        "validation_size": 3,
    }
    return Study(
        name="toy",
        networks=("mcrgnet",),
        seeds=(8901,),
        protocol="becker2021",
        data=DataSpec(**data),
        images={"field": SIDE, "size": SIDE},
        augmentation={"step": 90},
        recipe={"epochs": 3, "learning_rate": 2e-3},
    )


def test_a_study_runs_once_and_is_found_again(tmp_path, study, monkeypatch):
    store = Store(tmp_path)
    (record,) = run_study(study, store)
    assert (record.status, record.error) == ("complete", None)
    assert {p.name for p in store.run_path(record.run_id).iterdir()} == {
        ".lock",
        "run.json",
        "history.parquet",
        "predictions.parquet",
        "best.safetensors",
        "final.safetensors",
        "cost.json",
    }
    assert len(record.predictions.select("test", "best")) == 12
    assert len(record.predictions.select("test", "final")) == 12
    assert set(record.predictions.split) == {"validation", "test"}
    assert record.cost["parameters"] == rgbench.describe_network("mcrgnet", SIDE, 4)["parameters"]
    assert set(record.cost["evaluation"]) == {"best", "final"}

    def never(*arguments, **keywords):
        raise AssertionError("a stored run was computed again")

    monkeypatch.setattr("rgbench.runs.execute.fit", never)
    (again,) = run_study(study, store)
    np.testing.assert_array_equal(again.predictions.logits, record.predictions.logits)


def test_what_was_chosen_for_a_study_is_kept_with_its_runs(tmp_path, study):
    def chosen(what):
        return {"what": what, "data": "mnist", "splits": ["published"]}

    store = Store(tmp_path)
    first = Study.model_validate(study.model_dump() | {"choices": [chosen("epochs")]})
    (record,) = run_study(first, store)
    assert [choice.what for choice in record.choices] == ["epochs"]
    second = Study.model_validate(study.model_dump() | {"choices": [chosen("views"), chosen("epochs")]})
    (again,) = run_study(second, store)
    assert again.run_id == record.run_id
    assert [choice.what for choice in again.choices] == ["epochs", "views"]
    before = (store.run_path(record.run_id) / "run.json").stat().st_mtime_ns
    run_study(first, store)
    assert (store.run_path(record.run_id) / "run.json").stat().st_mtime_ns == before
    assert store.record(record.run_id).status == "complete"


def test_training_is_never_handed_the_test_split(tmp_path, study, monkeypatch):
    seen = []
    original = loop.fit

    def spy(network, data, *rest, **keywords):
        seen.append(data)
        return original(network, data, *rest, **keywords)

    monkeypatch.setattr("rgbench.runs.execute.fit", spy)
    (record,) = run_study(study, Store(tmp_path))
    dataset = load_dataset(study.data)
    test = set(record.predictions.select("test", "best").source_id)
    for part in (seen[0].train, seen[0].train_plain, seen[0].validation):
        handed = set(dataset.catalogue.source_id[np.asarray(part.index)])
        assert handed
        assert not handed & test


SCRIPT = """
import sys
from rgbench.spec import Study
from rgbench.store.store import Store
from rgbench.runs.study import run_study
study = Study.model_validate_json(sys.argv[1])
run_study(study, Store(sys.argv[2]))
"""


def start(study: Study, store: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, study.model_dump_json(), str(store)], env=environment
    )


def test_a_damaged_run_of_the_study_is_told_with_the_way_out(tmp_path, study):
    store = Store(tmp_path / "store")
    dataset = load_dataset(study.data)
    first = plan_study(study, dataset, store).runs[0].run_id
    (store.run_path(first)).mkdir(parents=True)
    (store.run_path(first) / "run.json").write_text('{"a"')
    with pytest.raises(
        StoreError, match=f"{first}/run.json: cannot be read: .* delete the folder .*{first} and give"
    ):
        plan_study(study, dataset, store)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_predictions(tmp_path, study):
    study = study.model_copy(update={"recipe": {"epochs": 12, "learning_rate": 2e-3}})
    (whole,) = run_study(study, Store(tmp_path / "whole"))
    checkpoint = tmp_path / "killed" / "runs" / whole.run_id / "checkpoint.safetensors"
    process = start(study, tmp_path / "killed")
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    store = Store(tmp_path / "killed")
    assert checkpoint.exists()
    assert store.record(whole.run_id).status == "running"
    (resumed,) = run_study(study, store)
    np.testing.assert_array_equal(resumed.predictions.logits, whole.predictions.logits)
    np.testing.assert_array_equal(resumed.history["train_loss"], whole.history["train_loss"])


@pytest.mark.slow
def test_two_processes_on_one_store_agree(tmp_path, study):
    processes = [start(study, tmp_path) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    (run_id,) = Store(tmp_path).run_ids()
    assert Store(tmp_path).record(run_id).status == "complete"


def test_a_run_that_fails_is_stored_with_its_reason(tmp_path, study, monkeypatch):
    def fail(*arguments, **keywords):
        raise DataError("J0000: something is wrong")

    monkeypatch.setattr("rgbench.runs.execute.fit", fail)
    (record,) = run_study(study, Store(tmp_path))
    assert (record.status, record.error) == ("failed", "DataError: J0000: something is wrong")
    monkeypatch.undo()
    (record,) = run_study(study, Store(tmp_path))
    assert record.status == "complete"


def test_a_full_disk_is_an_error_not_a_failed_network(tmp_path, study, monkeypatch):
    def full(*arguments, **keywords):
        raise StoreError("x: cannot be written: No space left on device")

    monkeypatch.setattr("rgbench.runs.execute.fit", full)
    store, dataset = Store(tmp_path), load_dataset(study.data)
    (spec,) = plan_study(study, dataset, store).runs
    with pytest.raises(StoreError, match="No space left"):
        execute(spec, Bench(dataset, store))


@pytest.fixture(scope="session")
def original(tmp_path_factory, folder) -> Path:
    """A store made by the original's command line."""
    root = tmp_path_factory.mktemp("original")
    (root / "a.txt").write_text("mcrgnet,0.002,3\nradio_galaxy_zoo,0.001,1\n")
    options = ["-d", str(folder), "-i", f"{SIDE},{SIDE}", "-r", "90", "-t", "8", "-v", "3"]
    where = ["-p", str(root / "results"), "-m", str(root / "models")]
    with pytest.raises(SystemExit) as done:
        main(["quickstart", "-a", str(root / "a.txt"), *options, *where, "-s", "8901"])
    assert done.value.code == 0
    return root


def test_the_original_s_line_writes_the_original_s_files(original):
    for name in ("mcrgnet", "radio-galaxy-zoo"):
        for ending in ("", "_final"):
            (row,) = csv.DictReader((original / "results" / f"{name}{ending}.csv").read_text().splitlines())
            assert row["Seed"] == "8901"
            assert 0 <= float(row["MPCA"]) <= 100
            assert float(row["loss_ratio"]) == pytest.approx(
                float(row["train_loss"]) / float(row["val_loss"])
            )
    models = {path.name for path in (original / "models").iterdir()}
    assert models >= {"mcrgnet_8901_0.002_3.safetensors", "mcrgnet_8901_0.002_3_final.safetensors"}


def test_the_last_lines_of_the_log_are_the_results(original, folder, capsys):
    options = [
        "-d",
        str(folder),
        "-i",
        str(SIDE),
        "-r",
        "90",
        "-t",
        "8",
        "-v",
        "3",
        "-p",
        str(original / "results"),
    ]
    with pytest.raises(SystemExit):
        main(["quickstart", "-a", str(original / "a.txt"), *options, "-o", "True"])
    lines = capsys.readouterr().out.strip().splitlines()[-24:]
    text = "\n".join(lines)
    for word in (
        "best model, 12 test sources",
        "final model, 12 test sources",
        "MPCA",
        "Precision",
        "Images per second",
    ):
        assert word in text
    with pytest.raises(SystemExit):
        main(["quickstart", "-a", str(original / "a.txt"), *options, "-o", "time"])
    assert "images/s" in capsys.readouterr().out


def test_reports_average_what_is_in_the_store(original, capsys):
    out = original / "r.html"
    with pytest.raises(SystemExit) as done:
        main(
            [
                "report",
                "--store",
                str(original / "results"),
                "--out",
                str(out),
                "--table",
                str(original / "t.csv"),
            ]
        )
    assert done.value.code == 0
    assert "mcrgnet" in capsys.readouterr().out
    assert "mcrgnet" in out.read_text()
    assert "radio-galaxy-zoo" in (original / "t.csv").read_text()


def test_data_that_cannot_be_had_cost_the_report_only_its_images(original, tmp_path, monkeypatch, capsys):
    def nothing(spec):
        raise DataError("the set could not be fetched")

    monkeypatch.setattr("rgbench.report.of_store.load_dataset", nothing)
    arguments = ["report", "--store", str(original / "results"), "--out", str(tmp_path / "r.html")]
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 0
    assert (
        "has no images and no properties of sources: the set could not be fetched" in capsys.readouterr().out
    )
    assert "The data are not at hand" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("ending", ["csv", "parquet", "vot", "fits"])
def test_images_are_classified_into_a_table(original, folder, tmp_path, ending, capsys):
    (tmp_path / "new").mkdir()
    fits.writeto(tmp_path / "new" / "blank.fits", np.zeros((SIDE, SIDE), np.float32))
    (tmp_path / "new" / "broken.fits").write_bytes(b"SIMPLE")
    out = tmp_path / f"t.{ending}"
    arguments = ["predict", str(folder / "FRII"), str(tmp_path / "new"), "--store", str(original / "results")]
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--out", str(out)])
    assert done.value.code == 3, "some were set aside"
    printed = capsys.readouterr().out
    assert "14 sources" in printed
    assert "2 set aside" in printed
    if ending == "parquet":
        columns = pq.read_table(out).to_pydict()
    else:
        formats = {"csv": "ascii.csv", "vot": "votable", "fits": "fits"}
        table = Table.read(out, format=formats[ending])
        columns = {name: table[name].tolist() for name in table.colnames}
    old = ["source", "path", "class", "p_Compact", "p_FRI", "p_FRII", "p_Bent", "spread"]
    assert list(columns) == [*old, "set", "unlike", "flags", "ra", "dec", "remark", "classifier"]
    sums = np.sum([columns[f"p_{name}"][:14] for name in ("Compact", "FRI", "FRII", "Bent")], axis=0)
    np.testing.assert_allclose(sums, 1, atol=1e-6)
    assert columns["source"][14:] == ["blank", "broken"]
    assert [word or "" for word in columns["class"][14:]] == ["", ""]
    assert columns["remark"][14] == "all pixels are equal"
    assert columns["remark"][15].startswith("cannot be read as FITS")
    with pytest.raises(rgbench.RgbenchError, match="is there already"):
        check_table_path(out, overwrite=False)


def test_prediction_repeats_what_the_test_said(original, folder):
    store = Store(original / "results")
    record = next(r for r in store.records() if r.spec.network.name == "mcrgnet")
    test = record.predictions.select("test", "best")
    paths = {p.name.removesuffix(".fits"): p for p in folder.rglob("*.fits")}
    result = rgbench.classify(record, store, [paths[name] for name in test.source_id])
    validation = record.predictions.select("validation", "best")
    fit = fit_temperature(validation.label, validation.log_probabilities())
    expected = softmax(test.log_probabilities() / fit.value, axis=1)
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)


def test_compressed_images_are_found_and_a_bad_one_has_the_verdict_of_data_check(original, folder, tmp_path):
    """`predict FOLDER` passed over .fits.fz without a word, and named its source b.fits where it was given."""
    store = Store(original / "results")
    record = next(r for r in store.records() if r.spec.network.name == "mcrgnet")
    new, image = tmp_path / "new", fits.getdata(sorted((folder / "FRII").iterdir())[0])
    new.mkdir()
    fits.writeto(new / "a.fits", image)
    packed = fits.CompImageHDU(image, compression_type="GZIP_1", quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(new / "b.fits.fz")
    fits.writeto(new / "blank.fits.gz", np.zeros((SIDE, SIDE), np.float32))
    (new / "broken.fts").write_bytes(b"SIMPLE")
    shutil.copy(new / "a.fits", new / "a_rot_15.fits")
    result = rgbench.classify(record, store, [new])
    assert result.columns()["source"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(result.probabilities[0], result.probabilities[1])
    checked = {f.path: f.problems[0] for f in check_folder(new) if f.status == "set aside"}
    assert dict(result.set_aside) == checked
    assert set(checked) == {str(new / "blank.fits.gz"), str(new / "broken.fts")}
    named = rgbench.classify(record, store, [new / "b.fits.fz"])
    assert named.columns()["source"].tolist() == ["b"]
    assert named.columns()["path"].tolist() == [str(new / "b.fits.fz")]


def test_an_image_is_classified_by_itself_and_in_the_training_frame(original, folder, tmp_path):
    store = Store(original / "results")
    record = next(r for r in store.records() if r.spec.network.name == "mcrgnet")
    path = sorted((folder / "FRII").iterdir())[0]
    large = np.pad(fits.getdata(path), 7)
    large[0, 0] = 100
    fits.writeto(tmp_path / "large.fits", large)
    alone = rgbench.classify(record, store, [path])
    both = rgbench.classify(record, store, [path, tmp_path / "large.fits"])
    np.testing.assert_allclose(both.probabilities[0], alone.probabilities[0], atol=1e-6)
    np.testing.assert_allclose(both.probabilities[1], alone.probabilities[0], atol=1e-6)


def test_an_image_of_another_pixel_scale_is_brought_to_that_of_training(original, folder, tmp_path):
    store = Store(original / "results")
    record = next(r for r in store.records() if r.spec.network.name == "mcrgnet")
    data = record.spec.data.model_copy(update={"pixel_scale": 1.8})
    record = replace(record, spec=record.spec.model_copy(update={"data": data}))
    path = sorted((folder / "FRII").iterdir())[0]
    for name, step in (("coarse", 3.6), ("fine", 0.9)):
        header = fits.Header(
            {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CDELT1": -step / 3600, "CDELT2": step / 3600}
        )
        fits.writeto(tmp_path / f"{name}.fits", fits.getdata(path), header)
    files = [path, tmp_path / "coarse.fits", tmp_path / "fine.fits"]
    result = rgbench.classify(record, store, files, own=OwnImages(pixel_scale=1.8))
    assert result.path == [str(path), str(tmp_path / "coarse.fits")]
    assert dict(rgbench.classify(record, store, files).set_aside)[str(path)].startswith(
        "the header tells no pixel scale (CTYPE1 and CTYPE2 are missing): give it (--pixel-scale, image_scale)"
    )
    flags = result.columns()["flags"].tolist()
    assert flags[0] == "no-scale"
    assert "resampled" in flags[1].split("|")
    assert result.set_aside[0][1] == (
        "is 40x40 pixels, 20x20 of the classifier's scale; the network was trained on fields of 40x40"
    )


TINY = "C3x3-4 s2 same relu ; GAP ; FC{classes} softmax"


def test_a_network_of_ones_own_stands_in_the_study(study, tmp_path):
    own = study.model_copy(update={"networks": ("tiny", "mcrgnet"), "layers": {"tiny": TINY}})
    store = Store(tmp_path)
    first, second = run_study(own, store)
    assert [first.status, second.status] == ["complete", "complete"]
    assert first.spec.network.layers == "C3x3-4 s2 same relu · GAP · FC{classes} softmax <gu>"
    assert first.cost["parameters"] == 4 * 10 + 4 * 5
    assert rgbench.StoredRun(first, store).network().name == "tiny"
    other = own.model_copy(update={"layers": {"tiny": TINY.replace("-4", "-5")}})
    assert run_study(other, store)[0].run_id != first.run_id


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ({"mcrgnet": TINY}, r"\[layers\] 'mcrgnet': a registered network has that name"),
        ({"tiny": "C3x3-4 relu"}, r"\[layers\] 'tiny': layer 1 .* padding is missing"),
        ({"tiny": "Flat · FC9 softmax"}, r"FC9"),
    ],
)
def test_wrong_layers_are_refused_before_anything_runs(study, tmp_path, layers, reason):
    own = study.model_copy(update={"networks": ("tiny",), "layers": {"tiny": TINY} | layers})
    with pytest.raises(SpecError, match=reason):
        plan_study(own, load_dataset(own.data), Store(tmp_path))


def test_a_door_stands_in_the_study_too(study, tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(
        "import torch\n"
        "def small(*, image_size, n_classes, channels):\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(channels, 4, 3), torch.nn.ReLU(),\n"
        "        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, n_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = study.model_copy(update={"networks": ("my_networks:small",)})
    (record,) = run_study(own, Store(tmp_path / "store"))
    assert record.status == "complete", record.error
    assert record.spec.network.name == "my_networks:small"


def test_the_study_of_the_2021_networks_has_all_that_fit_its_size():
    study, whole = find_study("fourteen"), find_study("becker2021")
    specs = resolve(check_study(study), "")
    assert len(specs) == 12 * 3
    assert {spec.recipe.epochs for spec in specs} == {14}
    left_out = set(whole.networks) - set(study.networks)
    assert left_out == {"alexnet-plain", "alexnet-adapted"}
    for name in left_out:
        with pytest.raises(SpecError, match="use a larger image"):
            check_study(study.model_copy(update={"networks": (name,)}))
