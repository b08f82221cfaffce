"""Runs in the real TensorBoard and MLflow, read back by other means; a process of its own for each study."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from rgbench.runs.trackers import values
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import HISTORY_COLUMNS

pytestmark = pytest.mark.slow

HAS_TENSORBOARD, HAS_MLFLOW = find_spec("tensorboard") is not None, find_spec("mlflow") is not None
needs_tensorboard = pytest.mark.skipif(
    not HAS_TENSORBOARD, reason="needs tensorboard: pip install 'rgbench[tensorboard]'"
)
needs_mlflow = pytest.mark.skipif(not HAS_MLFLOW, reason="needs mlflow: pip install 'rgbench[mlflow]'")

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from astropy.io import fits
from rgbench.runs.listeners import Silence
from rgbench.runs.study import run_study
from rgbench.spec import Study
from rgbench.store.store import Store

root, names, stop = Path(sys.argv[1]), sys.argv[2].split(), int(sys.argv[3])
rng = np.random.default_rng(1)
for name in ("COMP", "FRI", "FRII", "BENT"):
    (root / name).mkdir(exist_ok=True, parents=True)
    for i in range(10):
        image = rng.normal(0, 1, (20, 20)).astype(np.float32)
        image[8:12, 6 : 12 + i] += 50
        fits.writeto(root / name / f"{name}-{i}.fits", image, overwrite=True)
study = Study(
    name="tracked", networks=("lenet",), seeds=(1,),
    data={"name": "folder", "path": str(root), "split": "becker2021", "train_size": 5, "validation_size": 2},
    images={"field": 20, "size": 20}, recipe={"epochs": 4, "views": 1, "precision": "float32"},
)

class Stop(Silence):
    def epoch(self, spec, history):
        if len(history["epoch"]) == stop:
            sys.exit(7)

run_study(study, Store("store"), listener=(*names, Stop()))
"""


def run(folder: Path, names: str = "", stop: int = 0, **environment: str) -> str:
    """Run the study in a folder, with trackers, as far as an epoch; give what was said on standard error."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder / "images"), names, str(stop)],
        cwd=folder,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == (7 if stop else 0), done.stdout + done.stderr
    return done.stderr


def record_in(folder: Path) -> RunRecord:
    store = Store(folder / "store")
    return store.record(store.run_ids()[0])


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """The study, tracked by whatever is installed; stopped after its second epoch, and gone on with."""
    folder = tmp_path_factory.mktemp("tracked")
    names = " ".join(["tensorboard"] * HAS_TENSORBOARD + ["mlflow"] * HAS_MLFLOW)
    run(folder, names, stop=2)
    said = run(folder, names)
    assert "told nothing more" not in said
    return folder, names


@pytest.mark.skipif(not (HAS_TENSORBOARD or HAS_MLFLOW), reason="needs tensorboard or mlflow")
def test_the_bits_are_those_of_a_run_without(tracked, tmp_path):
    run(tmp_path / "plain")
    ours, theirs = record_in(tracked[0]), record_in(tmp_path / "plain")
    np.testing.assert_array_equal(ours.predictions.logits, theirs.predictions.logits)
    for column in set(HISTORY_COLUMNS) - {"seconds", "train_seconds"}:
        np.testing.assert_array_equal(ours.history[column], theirs.history[column])
    for name in ("best", "final"):
        paths = [
            folder / "store" / "runs" / ours.run_id / f"{name}.safetensors"
            for folder in (tracked[0], tmp_path / "plain")
        ]
        assert paths[0].read_bytes() == paths[1].read_bytes()


@needs_tensorboard
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_has_each_epoch_once_and_the_end(tracked):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    record = record_in(tracked[0])
    (folder,) = (tracked[0] / "store" / "tensorboard").iterdir()
    assert folder.name == f"lenet-seed-1-{record.run_id[:8]}"
    found = EventAccumulator(str(folder))
    found.Reload()
    for name, column in values.PER_EPOCH.items():
        events = found.Scalars(name)
        assert [event.step for event in events] == [1, 2, 3, 4]
        told = np.float32([event.value for event in events])
        np.testing.assert_array_equal(told, record.history[column].astype(np.float32))
    last = values.at_the_end(record)
    assert {"test/mpca", "test_final/accuracy", "cost/parameters", "cost/training_seconds"} <= set(last)
    for name, value in last.items():
        (event,) = found.Scalars(name)
        assert event.value == np.float32(value) or math.isnan(value)
    plugin = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    session = plugin_data_pb2.HParamsPluginData.FromString(plugin).session_start_info.hparams
    assert session["network.name"].string_value == "lenet"
    assert session["recipe.epochs"].number_value == 4
    assert session[values.RUN_ID].string_value == record.run_id
    (text,) = found.Tensors("spec/text_summary")[-1:]
    assert b"batch_size" in text.tensor_proto.string_val[0]


@needs_tensorboard
def test_tensorboard_is_told_of_a_finished_run_once(tracked):
    (folder,) = (tracked[0] / "store" / "tensorboard").iterdir()
    before = sorted(path.name for path in folder.iterdir())
    run(tracked[0], "tensorboard")
    assert sorted(path.name for path in folder.iterdir()) == before


def rows(folder: Path, query: str) -> list[tuple]:
    with sqlite3.connect(folder / "mlflow.db") as file:
        return file.execute(query).fetchall()


@needs_mlflow
def test_mlflow_has_each_epoch_once_and_the_end(tracked):
    folder, record = tracked[0], record_in(tracked[0])
    ((run_id, name, status, experiment),) = rows(
        folder,
        "select run_uuid, runs.name, status, experiments.name from runs join experiments using (experiment_id)",
    )
    assert (name, status, experiment) == (f"lenet-seed-1-{record.run_id[:8]}", "FINISHED", "tracked")
    told: dict[str, dict[int, float]] = {}
    for key, step, value, is_nan in rows(
        folder, "select key, step, value, is_nan from metrics order by step"
    ):
        assert step not in told.setdefault(key, {}), (key, step)
        told[key][step] = math.nan if is_nan else value
    for key, column in values.PER_EPOCH.items():
        assert told[key] == dict(zip([1, 2, 3, 4], record.history[column].tolist(), strict=True))
    for key, value in values.at_the_end(record).items():
        np.testing.assert_equal(told[key], {4: value})
    kept = dict(rows(folder, "select key, value from params"))
    assert kept == {key: str(value) for key, value in values.parameters(record.spec).items()}
    tags = dict(rows(folder, "select key, value from tags"))
    assert values.tags(record.spec).items() <= tags.items()
    run(folder, "mlflow")
    assert rows(folder, "select run_uuid from runs") == [(run_id,)]


@needs_mlflow
def test_without_a_server_the_runs_go_on_after_a_sentence(tmp_path):
    began = time.monotonic()
    said = run(tmp_path / "away", "mlflow", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert (
        "listener Mlflow: MLflow at http://127.0.0.1:9: no server answers there; it was told nothing more"
        in said
    )
    assert record_in(tmp_path / "away").status == "complete"
    assert time.monotonic() - began < 300
