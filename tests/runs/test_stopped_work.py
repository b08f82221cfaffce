"""Work that is stopped at any moment goes on to the same bits as work that nobody stopped."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from rgbench.cli.stops import stoppable
from rgbench.diagnostics.stress import stress
from rgbench.errors import Stopped
from rgbench.runs.reopen import StoredRun
from rgbench.runs.study import find_study, run_study
from rgbench.store.conditions import Condition
from rgbench.store.store import Store
from rgbench.training.checkpoint import read_tensors

SIDE = 24
STUDY = """
name = "stopped"
networks = ["lenet"]
seeds = [1]
protocol = "modern"

[data]
name = "folder"
path = "{folder}"
split = "becker2021"
train_size = 6
validation_size = 2

[images]
field = 16
size = 16

[recipe]
epochs = {epochs}
views = 1
precision = "float32"
"""
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with images of two classes, a study of them, and a store in which nobody was stopped."""
    root = tmp_path_factory.mktemp("stopped")
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + 0.5
    for apart, name in ((0, "COMP"), (4, "FRII")):
        (root / "sky" / name).mkdir(parents=True)
        for i in range(12):
            spots = np.exp(-((np.abs(x) - apart) ** 2 + y**2) / 4) * rng.uniform(0.5, 2)
            header = fits.Header(
                {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CDELT1": -5e-4, "CDELT2": 5e-4}
            )
            image = (spots + rng.normal(0, 0.01, spots.shape)).astype(np.float32)
            fits.writeto(root / "sky" / name / f"J{apart:02d}{i:02d}00.0+{10 + i}0000.fits.gz", image, header)
    for name, epochs in (("study.toml", 3), ("long.toml", 60)):
        (root / name).write_text(STUDY.format(folder=root / "sky", epochs=epochs))
    run_study(find_study(str(root / "study.toml")), Store(root / "undisturbed"))
    return root


def alike(one: Store, other: Store) -> None:
    """Raise unless two stores hold the same weights, predictions and histories, to the bit."""
    assert one.run_ids() == other.run_ids() != []
    for run_id in one.run_ids():
        first, second = one.record(run_id), other.record(run_id)
        assert first.status == second.status == "complete"
        np.testing.assert_array_equal(first.predictions.logits, second.predictions.logits)
        for name in set(first.history) - {"seconds", "train_seconds"}:
            np.testing.assert_array_equal(first.history[name], second.history[name])
        for model in ("best", "final"):
            a, b = (read_tensors(s.run_path(run_id) / f"{model}.safetensors")[0] for s in (one, other))
            assert list(a) == list(b)
            assert all((a[key] == b[key]).all() for key in a)
        assert not (other.run_path(run_id) / "checkpoint.safetensors").exists()
        assert not list(other.run_path(run_id).glob(".tmp-*"))


def heed_stops() -> None:
    """Tests that a shell runs in the background, or under ``nohup``, are started to ignore some of the signals."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _heeded() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in STOPS[:3]]
    heed_stops()
    yield
    for number, handler in before:
        signal.signal(number, handler)


class StopAtWrite:
    """Send a signal in the midst of the n-th file that is written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.number, self._sync = 0, signal.SIGTERM, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(self.number)
        self._sync(descriptor)


@pytest.mark.parametrize("seed", range(2))
def test_a_run_that_is_stopped_while_it_writes_goes_on_to_the_same_bits(place, tmp_path, monkeypatch, seed):
    monkeypatch.setattr(
        "rgbench.runs.execute.inference_rate", lambda *rest: 1.0
    )  # which takes most of the time
    study, store, rng = find_study(str(place / "study.toml")), Store(tmp_path), random.Random(seed)
    stops, stopped = StopAtWrite(monkeypatch), 0
    while True:
        stops.left, stops.number = rng.randint(1, 12), rng.choice(STOPS[1:3])
        signal_seen = 0
        try:
            with stoppable():
                run_study(study, store)
        except Stopped as stop:
            signal_seen = stop.signal
        if not signal_seen:
            break
        stopped += 1
        assert signal_seen == stops.number
        assert {record.status for record in store.records()} <= {"running", "complete"}
    assert stopped
    alike(Store(place / "undisturbed"), store)


def test_conditions_that_were_computed_are_kept(place, tmp_path, monkeypatch):
    run = StoredRun(Store(place / "undisturbed").run_ids()[0], Store(place / "undisturbed"))
    conditions = [Condition("rotation", angle) for angle in (15, 30, 45)]
    undisturbed = stress(run, conditions)
    kept = run.store.run_path(run.run_id) / "conditions.parquet"
    kept.unlink()
    StopAtWrite(monkeypatch).left = 3
    with pytest.raises(Stopped), stoppable():
        stress(run, conditions)
    told: list[tuple[str, bool]] = []
    again = stress(run, conditions, lambda condition, known: told.append((condition.name, known)))
    assert told == [("rotation-015", True), ("rotation-030", True), ("rotation-045", False)]
    np.testing.assert_array_equal(again.logits, undisturbed.logits)
    kept.unlink()


# --- commands as processes of their own ------------------------------------------------------------------


def run_until_done(rng: random.Random, seconds: float, *arguments: str) -> int:
    """Start a command again and again, stop it at random moments, until it ends by itself; give how often."""
    stopped = 0
    while True:
        command = [sys.executable, "-m", "rgbench", *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_stops
        )
        number = rng.choice(STOPS)
        try:
            process.wait(rng.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        _, said = process.communicate(timeout=120)
        assert "Traceback" not in said or stopped_before_it_began(said), said
        if process.returncode == 0:
            return stopped
        # C++ code through which no exception can pass ends the process itself; nothing more is lost than by a kill.
        aborted = process.returncode == -signal.SIGABRT and "error_already_set" in said
        assert aborted or process.returncode in (-number, 128 + number), (process.returncode, number, said)
        if process.returncode > 0:
            assert said.splitlines()[-1].startswith("stopped"), said
        seconds *= 1.1  # what keeps nothing must come to its end as well
        stopped += 1


def stopped_before_it_began(said: str) -> bool:
    """Tell whether Python was stopped while it imported the package, before it can handle a signal."""
    return "KeyboardInterrupt" in said and "rgbench.cli.app import main" in said


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_commands_that_are_killed_at_random_moments_go_on_to_the_same_bits(place, tmp_path, seed):
    rng, study = random.Random(seed), str(place / "long.toml")
    calm, store = Store(tmp_path / "calm"), Store(tmp_path / "store")
    run_study(find_study(study), calm)
    stopped = run_until_done(rng, 3.0, "run", study, "--store", str(store.root))
    alike(calm, store)
    for each in (calm, store):
        subprocess.run([sys.executable, "-m", "rgbench", "stress", "--store", str(each.root)], check=True)
    for run_id in store.run_ids():
        (store.run_path(run_id) / "conditions.parquet").unlink()
    stopped += run_until_done(rng, 3.0, "stress", "--store", str(store.root))
    for run_id in store.run_ids():
        one, other = (s.beside(run_id, "conditions.parquet") for s in (calm, store))
        np.testing.assert_array_equal(one.logits, other.logits)
    out = tmp_path / "classes.csv"
    command = ("predict", str(place / "sky"), "--store", str(store.root), "--out", str(out))
    # A stop may come when the table has just been written, and the next command would refuse to replace it.
    stopped += run_until_done(rng, 3.0, *command, "--overwrite")
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == 24
    assert all(row["class"] for row in rows)
    stopped += run_until_done(rng, 3.0, "report", "--store", str(store.root))
    assert (store.root / "report.html").read_text().rstrip().endswith("</html>")
    assert stopped > 4


def test_what_a_killed_process_left_half_written_is_removed(place, tmp_path, monkeypatch):
    monkeypatch.setattr("rgbench.runs.execute.inference_rate", lambda *rest: 1.0)
    store, (run_id,) = Store(tmp_path), Store(place / "undisturbed").run_ids()
    store.run_path(run_id).mkdir()
    half = store.run_path(run_id) / ".tmp-1-checkpoint.safetensors"
    half.write_bytes(b"half")
    run_study(find_study(str(place / "study.toml")), store)
    assert not half.exists()
    alike(Store(place / "undisturbed"), store)
