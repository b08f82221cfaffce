"""A stored run opened again: it says what it said, of its own data and of others; what cannot be opened says why."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

import rgbench
from rgbench.data.catalogue import Card, Catalogue, DataSet, Flag
from rgbench.errors import DataError, DeviceError, SpecError, StoreError
from rgbench.images.preprocess import central_crop, preprocess_batch
from rgbench.runs import reopen
from rgbench.runs.inputs import prepare
from rgbench.runs.reopen import StoredRun, open_runs
from rgbench.runs.study import run_study
from rgbench.spec import DataSpec, Study
from rgbench.store.store import Store
from rgbench.training.checkpoint import save_weights

SIDE, FIELD = 48, 40
FIXTURE = Path(__file__).parents[1] / "fixtures" / "store-0.1" / "runs"


@pytest.fixture(scope="module")
def dataset() -> DataSet:
    """One blob, or two; the last source has no usable image."""
    n, rng = 61, np.random.default_rng(5)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    label = np.arange(n) % 2
    images = rng.normal(0, 0.01, (n, SIDE, SIDE))
    for image, kind in zip(images, label, strict=True):
        for sign in (-1, 1):
            image += np.exp(-((x - sign * kind * 8) ** 2 + y**2) / 6)
    flags = np.zeros(n, np.int64)
    images[-1], flags[-1] = 0, int(Flag.UNUSABLE)
    names, nothing = np.array([f"s{i:03d}" for i in range(n)]), np.full(n, np.nan)
    catalogue = Catalogue(names, nothing, nothing, label.astype(np.int64), np.arange(n), names, flags)
    sides = np.array(["train"] * 30 + ["validation"] * 10 + ["test"] * 20 + [""])
    card = Card("toy", "toy", classes=("one", "two"), pixel_scale=1.8, beam=5.4)
    return DataSet(card, catalogue, images.astype(np.float32), {"published": sides})


def study(*seeds: int) -> Study:
    return Study(
        name="toy",
        networks=("lenet",),
        seeds=seeds,
        data=DataSpec(name="toy"),
        images={"field": FIELD, "size": FIELD, "preset": "becker2021"},
        augmentation={"kind": "none"},
        recipe={"epochs": 3, "batch_size": 10, "precision": "float32", "views": 2, "dropout": "dense"},
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory, dataset) -> Path:
    root = tmp_path_factory.mktemp("store")
    assert [record.error for record in run_study(study(1, 2), Store(root), dataset=dataset)] == [None, None]
    return root


@pytest.fixture
def store(tmp_path, trained) -> Store:
    return Store(shutil.copytree(trained, tmp_path / "store"))


@pytest.mark.parametrize("model", ["best", "final"])
def test_a_run_says_of_its_images_what_it_said_at_its_test(store, dataset, model):
    run = rgbench.StoredRun(store.run_ids()[0], store, model=model, dataset=dataset)
    stored = run.record.predictions.select("test", model)
    index = run.rows(stored.source_id.tolist())
    assert index.tolist() == run.side("test").tolist()
    raw = dataset.images[index]
    np.testing.assert_allclose(run.logits(raw), stored.logits, atol=1e-5)
    np.testing.assert_allclose(run.predict(raw), softmax(stored.logits.astype(float), axis=1), atol=1e-5)
    np.testing.assert_array_equal(run.predict(prepare(raw, run.spec), prepared=True), run.predict(raw))
    np.testing.assert_allclose(run.predict(raw[3:4]), run.predict(raw)[3:4], atol=1e-6)
    assert (run.classes, run.activation) == (("one", "two"), "softmax")


def test_best_and_final_are_two_networks_and_each_call_builds_another(store, dataset):
    run = StoredRun(store.run_ids()[0], store, dataset=dataset)
    blank = run.network()
    with torch.no_grad():
        for parameter in blank.parameters():
            parameter.zero_()
    assert next(run.network().parameters()).any()
    save_weights(store.run_path(run.run_id) / "final.safetensors", blank)
    assert not next(run.network("final").parameters()).any()
    assert next(run.network("best").parameters()).any()
    final = StoredRun(run.record, store, model="final")
    np.testing.assert_allclose(final.predict(dataset.images[:2]), 0.5)
    assert not np.allclose(run.predict(dataset.images[:2]), 0.5)


def test_dropout_is_as_published_or_as_it_was_trained_with(store):
    run = StoredRun(store.run_ids()[0], store)
    rates = [
        [each.p for each in run.network(dropout=trained).modules() if isinstance(each, torch.nn.Dropout)]
        for trained in (False, True)
    ]
    assert len(rates[0]) == len(rates[1])
    assert sum(rates[0]) >= sum(rates[1])
    convolutions = run.network(channels_last=True).modules()
    weight = next(
        each.weight for each in convolutions if isinstance(each, torch.nn.Conv2d) and each.in_channels > 1
    )
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_images_are_prepared_as_in_training(store, dataset):
    run = StoredRun(store.run_ids()[0], store, dataset=dataset)
    index = run.rows(["s041", "s003"])
    (images,) = run.images(index).plain(np.arange(2)).images()
    wanted = central_crop(preprocess_batch(dataset.images[[41, 3]], "becker2021"), FIELD)
    np.testing.assert_allclose(images[:, 0].numpy(), wanted, atol=1e-6)
    assert run.images(index).labels.tolist() == [1, 1]
    assert run.timing_batch().shape == (20, 1, FIELD, FIELD)


def test_data_are_loaded_when_they_are_needed_and_once_for_runs_that_share_them(store, dataset, monkeypatch):
    loaded = []

    def load(spec: DataSpec) -> DataSet:
        loaded.append(spec.name)
        return dataset

    monkeypatch.setattr(reopen, "load_dataset", load)
    run = StoredRun(store.run_ids()[0], store)
    run.predict(dataset.images[:2])
    assert loaded == [], "images are predicted without the data that it was trained on"
    assert len(run.split.indices("train")) == 30
    assert run.dataset is dataset
    assert loaded == ["toy"]
    runs = list(open_runs(store.records(), store))
    assert loaded == ["toy", "toy"]
    assert runs[0].dataset is runs[1].dataset


def test_data_that_are_not_its_own_are_refused_with_both_checksums(store, dataset, monkeypatch):
    other = replace(dataset, images=dataset.images + 1)
    said = (
        f"was trained on data with checksum {dataset.checksum[:16]}, those of toy have {other.checksum[:16]}"
    )
    with pytest.raises(DataError, match=said):
        StoredRun(store.run_ids()[0], store, dataset=other)
    monkeypatch.setattr(reopen, "load_dataset", lambda spec: other)
    with pytest.raises(DataError, match=said):
        StoredRun(store.run_ids()[0], store).side("test")


def test_what_cannot_be_opened_says_why(store, dataset):
    record = store.records()[0]
    with pytest.raises(SpecError, match="is failed; only complete runs can be used, and imported ones"):
        StoredRun(replace(record, status="failed"), store)
    with pytest.raises(SpecError, match="is imported, its data are not known; only complete runs"):
        StoredRun(replace(record, status="imported"), store).side("test")
    with pytest.raises(SpecError, match="model: found 'last'; legal are best, final"):
        StoredRun(record, store, model="last")
    with pytest.raises(SpecError, match="no run begins with 'zz'"):
        StoredRun("zz", store)
    with pytest.raises(DeviceError, match="'cuda:77' is not available"):
        StoredRun(record, store, device="cuda:77")
    with pytest.raises(StoreError, match=r"neither run\.json nor predictions\.parquet tells the classes"):
        StoredRun(replace(record, outputs=None, predictions=None), store)
    run = StoredRun(record, store, dataset=dataset)
    with pytest.raises(SpecError, match="toy has no source 's999'"):
        run.rows(["s000", "s999"])
    with pytest.raises(SpecError, match="no source given"):
        run.rows([])
    with pytest.raises(DataError, match="source 's060' of toy has no usable image"):
        run.rows(["s060"])
    for bad in (np.zeros((2, FIELD, FIELD - 1)), np.zeros((SIDE, SIDE))):
        with pytest.raises(
            DataError, match=rf"have shape .*; \(n, rows, columns\) is legal, with {FIELD} or more"
        ):
            run.predict(bad)
    with pytest.raises(DataError, match="image 1: all pixels are equal"):
        run.predict(np.stack([dataset.images[0], np.ones((SIDE, SIDE), np.float32)]))
    (store.run_path(record.run_id) / "best.safetensors").unlink()
    with pytest.raises(StoreError, match=r"best\.safetensors: weights cannot be read"):
        run.predict(dataset.images[:1])


# --- what the store tells ---------------------------------------------------------------------------------


def test_run_json_tells_classes_and_activation_and_a_store_of_before_is_read(store, dataset):
    run_id = store.run_ids()[0]
    path = store.run_path(run_id) / "run.json"
    content = json.loads(path.read_text())
    assert (content.pop("classes"), content.pop("activation")) == (["one", "two"], "softmax")
    now = StoredRun(run_id, store).predict(dataset.images[:3])
    path.write_text(json.dumps(content))
    old = StoredRun(run_id, store)
    assert old.record.outputs is None
    assert (old.classes, old.activation) == (("one", "two"), "softmax")
    np.testing.assert_array_equal(old.predict(dataset.images[:3]), now)


def test_runs_of_0_1_are_opened_the_imported_one_with_its_empty_table_too(tmp_path):
    store = Store(shutil.copytree(FIXTURE.parent, tmp_path / "store"))
    opened = [StoredRun(record, store) for record in store.records()]
    assert {run.record.status for run in opened} == {"complete", "imported"}
    for run in opened:
        own = run.record.status == "complete"
        assert run.classes == (("Compact", "FRI", "FRII", "Bent") if own else ("A", "B", "C"))
        assert run.activation == run.network().activation_name
        if not own:  # its network takes three channels, which a preset does not make
            continue
        rng = np.random.default_rng(1)
        answers = run.predict(rng.normal(size=(2, 80, 80)).astype(np.float32))
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-9)


_HOLD = """
import sys, time
from rgbench.store.store import Store

store = Store(sys.argv[1])
print("asks", flush=True)
with store.lock(sys.argv[2]):
    print("holds", flush=True)
    time.sleep(float(sys.argv[3]))
"""


def test_a_process_waits_for_another_and_goes_on_when_it_is_killed(store):
    run_id = store.run_ids()[0]
    processes = []
    try:
        for seconds in ("600", "0"):
            command = [sys.executable, "-c", _HOLD, str(store.root), run_id, seconds]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            first, second = processes[0], processes[-1]
            assert second.stdout.readline() == "asks\n"
            if second is first:
                assert first.stdout.readline() == "holds\n"
        time.sleep(0.5)
        assert second.poll() is None, "the second waits"
        first.kill()
        assert second.communicate(timeout=60)[0] == "holds\n"
        assert second.returncode == 0
    finally:
        for process in processes:
            process.kill()
            process.communicate()
