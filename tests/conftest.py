"""Fake runs with known truth, and a study small enough for tests."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.data.own.predicted import PredictedColumns
from rgbench.runs.score import ScoreSpec, score
from rgbench.spec import DataSpec, RunSpec, Study, resolve
from rgbench.store.conditions import CONDITIONS_FILE
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import HISTORY_COLUMNS, Outputs, Predictions, write_history, write_predictions
from rgbench.tasks.catalogue import Task, tasks

CLASSES = ("Compact", "FRI", "FRII", "Bent")


def run(network: str, seed: int, skill: float, n: int = 200, test_seed: int = 0, **changes) -> RunRecord:
    """A run whose network is right on each source with a chance of about `skill`."""
    study = Study(name="s", networks=(network,), seeds=(seed,), **changes)
    (spec,) = resolve(study, "c")
    y = np.random.default_rng(test_seed).permutation(np.arange(n) % 4)
    rng = np.random.default_rng([seed, *network.encode()])
    said = np.where(rng.random(n) < skill, y, (y + rng.integers(1, 4, n)) % 4)
    logits = (3 * np.eye(4)[said] + rng.normal(0, 0.3, (n, 4))).astype(np.float32)
    tables = Predictions(
        spec.run_id,
        CLASSES,
        "softmax",
        "1",
        np.array([f"t{test_seed}s{i}" for i in range(n)]),
        np.full(n, "test"),
        np.full(n, "best"),
        np.full(n, "clean"),
        np.zeros(n, np.int64),
        y,
        logits,
    )
    losses = np.array([1.3, 0.8, 0.6])
    return RunRecord(
        spec.run_id,
        spec,
        "complete",
        predictions=tables,
        history={"train_loss": losses, "validation_loss": losses},
        cost={"parameters": 1000, "macs": 10, "training_seconds": 3.0 + seed},
    )


@pytest.fixture
def make_run():
    return run


@pytest.fixture(scope="module")
def toy_images(tmp_path_factory) -> Path:
    """Write ten images of each class, of 20 x 20 pixels, in the layout of the original."""
    root, rng = tmp_path_factory.mktemp("FITS"), np.random.default_rng(1)
    for name in ("COMP", "FRI", "FRII", "BENT"):
        (root / name).mkdir()
        for i in range(10):
            image = rng.normal(0, 1, (20, 20)).astype(np.float32)
            image[8:12, 6 : 12 + i] += 50
            fits.writeto(root / name / f"{name}-{i}.fits", image)
    return root


@pytest.fixture(scope="session")
def toy_study() -> Callable[..., Study]:
    """Make a study of one small network on a folder of images: sources per class, field and size, epochs."""

    def make(folder: Path, sizes: tuple[int, int], images: tuple[int, int], epochs: int) -> Study:
        train, validation = sizes
        data = {"name": "folder", "path": str(folder), "split": "becker2021"}
        return Study(
            name="toy",
            networks=("lenet",),
            seeds=(1,),
            protocol="modern",
            data={**data, "train_size": train, "validation_size": validation},
            images={"field": images[0], "size": images[1]},
            recipe={"epochs": epochs, "views": 1, "precision": "float32"},
        )

    return make


@pytest.fixture
def fifo():
    """Give what makes a FIFO; whoever opens it all the same is let go after ten seconds, so that the test fails."""
    timers: list[threading.Timer] = []

    def let_go(path: Path) -> None:
        with contextlib.suppress(OSError):  # nobody waits
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

    def made(path: Path) -> Path:
        os.mkfifo(path)
        timers.append(threading.Timer(10, let_go, [path]))
        timers[-1].start()
        return path

    yield made
    for timer in timers:
        timer.cancel()


TASK = "rgbench/first-4class@1"


def task_predictions(spec: RunSpec, skill: float, task: Task, condition: str = "clean") -> Predictions:
    """What a network says of the test sources of a task, right with a chance of about `skill`."""
    names, words = zip(*sorted(task.labels.items()), strict=True)
    y = np.array([task.classes.index(word) for word in words])
    rng = np.random.default_rng([spec.seed, *spec.network.name.encode(), *condition.encode()])
    said = np.where(rng.random(len(y)) < skill, y, (y + rng.integers(1, 4, len(y))) % 4)
    logits = 3 * np.eye(4)[said] + rng.normal(0, 0.3, (len(y), 4))
    repeated = {
        key: np.full(len(y), value)
        for key, value in (("split", "test"), ("model", "best"), ("condition", condition))
    }
    return Predictions(
        run_id=spec.run_id,
        classes=task.classes,
        activation="softmax",
        label_version="1",
        source_id=np.array(names),
        member=np.zeros(len(y), np.int64),
        label=y,
        logits=logits.astype(np.float32),
        **repeated,
    )


def fill_store(folder: Path, skills: dict[str, float], seeds=(1, 2, 3), elsewhere=(), **changes) -> Store:
    """Write runs of a task to a store; those of `elsewhere` have neither history nor cost, and no second view."""
    task, store = tasks().get(TASK), Store(folder)
    study = Study(name="s", networks=tuple(skills), seeds=seeds, **changes)
    for spec in resolve(study, task.data_checksum, (300, 300), 1.8):
        name, skill = spec.network.name, skills[spec.network.name]
        with store.claim(spec) as directory:
            write_predictions(directory.predictions, task_predictions(spec, skill, task))
            if name not in elsewhere:
                losses = {key: np.array([1.3, 0.8, 0.6]) for key in HISTORY_COLUMNS}
                write_history(directory.history, losses)
                directory.write_cost(
                    {"parameters": 1000 * len(name), "macs": 10**6, "training_sources": 1758}
                )
                second = task_predictions(spec, skill - 0.1, task, "view-1")
                write_predictions(directory.path / CONDITIONS_FILE, second)
            directory.write_status("complete", outputs=Outputs(task.classes, "softmax"))
    return store


@pytest.fixture(scope="session")
def filled_store():
    return fill_store


@pytest.fixture(scope="session")
def task_data() -> DataSet:
    """The sources of a task, and 40 to validate on, as a data set of its name and checksum whose images are blank."""
    task = tasks().get(TASK)
    names = np.array([*sorted(task.labels), *(f"V{i:02d}" for i in range(40))])
    words = [task.labels.get(name, task.classes[i % 4]) for i, name in enumerate(names.tolist())]
    n = len(names)
    label = np.array([task.classes.index(word) for word in words])
    ra, dec = np.arange(n) * 1.0, np.zeros(n)
    catalogue = Catalogue(names, ra, dec, label, np.arange(n), names, np.zeros(n, np.int64))
    sides = np.where(np.arange(n) < len(task.labels), "test", "validation")
    card = Card(task.data, "Blank", pixel_scale=1.8)
    data = DataSet(card, catalogue, np.zeros((n, 8, 8), np.uint8), {task.split: sides})
    data.__dict__["checksum"] = task.data_checksum  # as if it were already computed
    return data


@pytest.fixture(scope="session")
def scored_store(task_data):
    """Put tables that were made elsewhere into a store: of test sources, of both sides, or of a part of the other."""

    def make(
        folder: Path, seeds: dict[str, tuple[int, ...]], rows: str = "test", skill: float = 0.7
    ) -> Store:
        n = {"test": 200, "both": 240, "some": 210}[rows]
        y, store = task_data.catalogue.label[:n], Store(folder)
        for name, seed in ((name, seed) for name, own in seeds.items() for seed in own):
            rng = np.random.default_rng([seed, *name.encode()])
            said = np.where(rng.random(n) < skill, y, (y + rng.integers(1, 4, n)) % 4)
            logits = 3 * np.eye(4)[said] + rng.normal(0, 0.3, (n, 4))
            table = {
                "source_id": task_data.catalogue.source_id[:n],
                **dict(zip(CLASSES, logits.T, strict=True)),
            }
            spec = ScoreSpec(DataSpec(name=task_data.card.name), seed, PredictedColumns(given="logits"))
            score(table, name, store, spec, task_data)
        return store

    return make
