"""A store and a report written by 0.1.0, before its modules moved, are read and made again with the same numbers.

`tests/fixtures/store-0.1` holds two tiny networks with two seeds each, trained on 80 simulated sources (``rgbench
simulate sky -n 80 --side 72 -s 7``, then ``study.toml``), with disturbed images, dropout passes and maps beside some of
them, a model imported from Keras, the report of all without the images, and the classes of the 80 sources.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from rgbench.cli.app import main
from rgbench.data.own.folder import load_folder
from rgbench.errors import StoreError
from rgbench.runs.study import find_study, run_study
from rgbench.store.store import Store

FIXTURE = Path(__file__).parents[1] / "fixtures" / "store-0.1"
IMPORTED = "1243809df6c06326"


@pytest.fixture
def old(tmp_path, monkeypatch) -> Store:
    """A copy of the store, in an empty folder."""
    shutil.copytree(FIXTURE / "runs", tmp_path / "store" / "runs")
    monkeypatch.chdir(tmp_path)
    return Store(tmp_path / "store")


@pytest.fixture
def sky(old) -> Path:
    """The simulated sources, made again beside the store."""
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "sky", "-n", "80", "--side", "72", "-s", "7"])
    assert not ended.value.code
    return Path("sky")


def test_every_run_opens(old):
    records = {record.run_id: record for record in old.records()}
    assert len(records) == 5
    assert records.pop(IMPORTED).status == "imported"
    assert {record.status for record in records.values()} == {"complete"}
    assert {(r.spec.network.name, r.spec.seed) for r in records.values()} == {
        (name, seed) for name in ("tiny", "tinier") for seed in (1, 2)
    }
    for record in records.values():
        assert record.spec.run_id == record.run_id, "the id of a spec is what it was"
        assert record.predictions.classes == ("Compact", "FRI", "FRII", "Bent")
        assert len(record.predictions.select("test", "best")) == 24
        assert len(record.history["epoch"]) == 60


def test_the_study_has_the_ids_that_it_had_and_nothing_is_computed_again(old, sky):
    study = find_study(str(FIXTURE / "study.toml"))
    dataset = load_folder("sky")
    if dataset.checksum != old.records()[1].spec.data.checksum:
        pytest.skip("this platform simulates another sky to the last bit")
    written = {path: path.stat().st_mtime_ns for path in Path("store").rglob("*.safetensors")}
    records = run_study(study, old, dataset=dataset)
    assert {record.run_id for record in records} | {IMPORTED} == set(old.run_ids())
    assert written == {path: path.stat().st_mtime_ns for path in Path("store").rglob("*.safetensors")}


def test_images_get_the_classes_that_they_got(old, sky):
    with pytest.raises(SystemExit) as ended:
        main(["predict", "sky", "--store", "store", "--out", "now.csv"])
    assert not ended.value.code
    before, now = (
        {row["source"]: row for row in csv.DictReader(path.read_text().splitlines())}
        for path in (FIXTURE / "predict.csv", Path("now.csv"))
    )
    assert list(before) == list(now)
    names = [name for name in next(iter(before.values())) if name.startswith("p_")]
    for source, row in before.items():
        assert [float(now[source][name]) for name in names] == pytest.approx(
            [float(row[name]) for name in names], abs=1e-4
        )


def downloads(page: str) -> dict[str, list[list[float]]]:
    """Give the numbers of every CSV file that a report holds, by its name, row by row."""
    found = {}
    for coded, name in re.findall(r'href="data:text/csv;base64,([^"]+)" download="([^"]+)"', page):
        rows = csv.reader(io.StringIO(base64.b64decode(coded).decode()))
        found[name] = [[float(cell) for cell in row if _number(cell)] for row in rows]
    return found


def _number(cell: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", cell) is not None


def test_the_report_has_the_numbers_that_it_had(old):
    with pytest.raises(SystemExit) as ended:
        main(["report", "--store", "store"])
    assert not ended.value.code
    before = downloads((FIXTURE / "report.html").read_text(encoding="utf8"))
    now = downloads(Path("store/report.html").read_text(encoding="utf8"))
    assert len(before) == 34
    assert set(before) - set(now) == set()
    for name, rows in before.items():
        assert len(rows) == len(now[name]), name
        for was, is_ in zip(rows, now[name], strict=True):
            # These held the upper ends of their intervals rounded to what the page shows.
            rounded = 0.051 if name in ("robustness.csv", "learning-curves.csv") else 1e-9
            assert np.allclose(was, is_, rtol=1e-6, atol=rounded), name


@pytest.mark.parametrize(
    ("file", "key", "value", "message"),
    [
        ("run.json", "provenance", None, "provenance is None"),
        ("run.json", "notes", "none", "notes is 'none'"),
        ("run.json", "status", "done", "status is 'done'; legal are running, complete"),
        ("run.json", "classes", 4, "classes is 4"),
        ("cost.json", None, [1], "it is list, not a table of costs"),
    ],
)
def test_what_a_run_cannot_have_is_told_by_its_file(old, file, key, value, message):
    path = old.run_path(IMPORTED) / file
    content = json.loads(path.read_text()) if key else value
    if key == "classes":
        content["activation"] = "softmax"
    if key:
        content[key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=f"{IMPORTED}/{file}: .*{re.escape(message)}"):
        old.record(IMPORTED)
