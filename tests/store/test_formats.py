"""What a release has written, the next ones read: a file of each format, with the numbers that it must give.

``tests/fixtures/write_formats.py`` wrote them.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.table import Table

from rgbench.errors import StoreError
from rgbench.report.of_store import write_report
from rgbench.runs.classifier import load_classifier
from rgbench.runs.reopen import StoredRun
from rgbench.store.attributions import read_looks
from rgbench.store.conditions import read_conditions
from rgbench.store.doubt import read_doubt
from rgbench.store.store import Store
from rgbench.training.checkpoint import read_tensors

FIXTURES = Path(__file__).parents[1] / "fixtures"
sys.path.append(str(FIXTURES))
import write_formats  # noqa: E402

FOLDER = FIXTURES / "formats-1"
GOLDEN = json.loads((FOLDER / "golden.json").read_text())


@pytest.fixture
def store(tmp_path) -> Store:
    shutil.copytree(FOLDER / "runs", tmp_path / "runs")
    return Store(tmp_path)


def test_a_store_opens_and_gives_its_numbers(store):
    (record,) = store.records()
    assert record.run_id == GOLDEN["run_id"] == record.spec.run_id
    assert record.history["validation_loss"][-1] == GOLDEN["last_validation_loss"]
    rows = record.predictions.select("test", "best")
    np.testing.assert_array_equal(rows.logits[:8], np.float32(GOLDEN["test_logits"]))
    found = StoredRun(record, store).predict(write_formats.images()[:8])
    np.testing.assert_allclose(found, GOLDEN["run"], atol=1e-6)
    assert set(read_conditions(store, record.run_id).condition.tolist()) == {"rotation-090"}
    assert read_doubt(store, record.run_id).member.max() == 3
    assert read_looks(store, record.run_id).maps.shape == (4, 16, 16)


def test_the_report_of_a_store_is_written(store):
    (report,) = write_report(store).reports
    assert [record.run_id for record in report.records] == [GOLDEN["run_id"]]


def test_a_classifier_opens_and_gives_its_numbers():
    classifier = load_classifier(FOLDER / "classifier.safetensors")
    images = write_formats.images()[:8]
    np.testing.assert_allclose(classifier.predict(images), GOLDEN["probabilities"], atol=1e-6)
    np.testing.assert_allclose(classifier.unlike(images), GOLDEN["unlike"], atol=1e-6)


@pytest.mark.parametrize("ending", ["csv", "vot", "fits", "parquet"])
def test_a_table_of_classes_has_its_numbers_and_its_version(ending):
    path = FOLDER / f"classes.{ending}"
    columns = pq.read_table(path).to_pydict() if ending == "parquet" else Table.read(path)
    found = np.column_stack([np.asarray(columns[f"p_{name}"]) for name in write_formats.CLASSES])
    np.testing.assert_allclose(found, GOLDEN["probabilities"], rtol=1e-12)
    versions = {
        "csv": lambda: 1,  # which has no place for it
        "parquet": lambda: json.loads(pq.read_schema(path).metadata[b"rgbench"])["version"],
        "fits": lambda: fits.getheader(path, 1)["RGFORMAT"],
        "vot": lambda: int(parse_single_table(path).description.rpartition(" ")[2]),
    }
    assert versions[ending]() == 1


def test_every_file_of_a_run_has_its_version(store):
    path = store.run_path(GOLDEN["run_id"])
    for name in ("run.json", "cost.json"):
        assert json.loads((path / name).read_text())["version"] == 1
    for name in ("predictions", "history", "conditions", "doubt"):
        facts = json.loads(pq.read_schema(path / f"{name}.parquet").metadata[b"rgbench"])
        assert facts["version"] == 1
    for file in (path / "best.safetensors", path / "final.safetensors", FOLDER / "classifier.safetensors"):
        assert read_tensors(file)[1]["format_version"] == "1"
    with np.load(path / "looks.npz") as looks:
        assert looks["version"] == 1


@pytest.mark.parametrize("name", ["run.json", "cost.json"])
@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (
            2,
            "has schema version 2, this rgbench reads up to 1; a newer release reads it: pip install --upgrade",
        ),
        ("1", "is damaged: its schema version is '1'"),
    ],
)
def test_a_newer_file_says_so_before_all_else(store, name, version, reason):
    path = store.run_path(GOLDEN["run_id"]) / name
    path.write_text(json.dumps({"version": version, "what": "nobody knows yet"}))
    with pytest.raises(StoreError) as error:
        store.record(GOLDEN["run_id"])
    assert str(error.value).startswith(f"{path}: {reason}")
