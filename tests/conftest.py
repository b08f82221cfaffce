"""Fake runs with known truth, and a study small enough for tests."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rgbench.spec import Study, resolve
from rgbench.store.store import RunRecord
from rgbench.store.tables import Predictions

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
