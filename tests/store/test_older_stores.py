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
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rgbench.cli.app import main
from rgbench.data.catalogue import CLASSES
from rgbench.data.own.folder import load_folder
from rgbench.errors import StoreError
from rgbench.measures.calibration import fit_temperature
from rgbench.runs.reopen import StoredRun
from rgbench.runs.study import find_study, run_study
from rgbench.store.store import Store

FIXTURE = Path(__file__).parents[1] / "fixtures" / "store-0.1"
IMPORTED = "1243809df6c06326"
TAKEN = "56f1b059efb43921"
"""The run that is best on validation sources."""


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
    """Their probabilities are calibrated now, which keeps the order of the classes."""
    with pytest.raises(SystemExit) as ended:
        main(["predict", "sky", "--store", "store", "--out", "now.csv"])
    assert not ended.value.code
    before, now = (
        {row["source"]: row for row in csv.DictReader(path.read_text().splitlines())}
        for path in (FIXTURE / "predict.csv", Path("now.csv"))
    )
    assert list(before) == list(now)
    first = next(iter(before.values()))
    assert list(first) == list(next(iter(now.values())))[: len(first)], "the columns of before come first"
    names = [name for name in first if name.startswith("p_")]
    validation = old.record(TAKEN).predictions.select("validation", "best")
    temperature = fit_temperature(validation.label, validation.log_probabilities()).value
    told = [source for source, row in now.items() if row["class"]]
    assert len(told) > 0.9 * len(before)
    for source in told:
        was = np.array([float(before[source][name]) for name in names]) ** (1 / temperature)
        is_ = [float(now[source][name]) for name in names]
        assert is_ == pytest.approx((was / was.sum()).tolist(), abs=1e-4)
        assert now[source]["class"] == before[source]["class"]


def downloads(page: str) -> dict[str, list[list[str]]]:
    """Give the cells of every CSV file that a report holds, by its name, row by row."""
    found = re.findall(r'href="data:text/csv;base64,([^"]+)" download="([^"]+)"', page)
    return {name: list(csv.reader(io.StringIO(base64.b64decode(coded).decode()))) for coded, name in found}


def numbers_of(rows: list[list[str]], like: list[str]) -> list[list[float]]:
    """Give the numbers of rows; of a file that has got more columns, those of the columns of before."""
    if set(like) <= set(rows[0]):
        rows = [[row[rows[0].index(name)] for name in like] for row in rows]
    return [[float(cell) for cell in row if _number(cell)] for row in rows]


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
    for name, cells in before.items():
        assert len(cells) == len(now[name]), name
        rows, later = numbers_of(cells, cells[0]), numbers_of(now[name], cells[0])
        if name == "runs.csv":
            # Runs stood in the order of their ids, and now stand in that of their seeds.
            rows, later = sorted(rows), sorted(later)
        for was, is_ in zip(rows, later, strict=True):
            # These held the upper ends of their intervals rounded to what the page shows.
            rounded = 0.051 if name in ("robustness.csv", "learning-curves.csv") else 1e-9
            if name == "robustness.csv" and was:
                # The share that changes its class has become the share that keeps it, with its interval.
                was, is_ = [*was[:-1], 100 - was[-1]], is_[: len(was)]
            if name.startswith("robustness") and was:
                # Every seed has test sources of its own: the intervals now count the scatter over the runs, too.
                assert is_[2] <= was[2] + rounded, name
                assert is_[3] >= was[3] - rounded, name
                was = [*was[:2], *is_[2:4], *was[4:]]
            if name == "differences.csv" and was:
                # The last, the difference that would have been found, counts the correction for all pairs now.
                assert is_[-1] >= was[-1]
                was, is_ = was[:-1], is_[:-1]
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


RUN, OTHER = "e0130ebd8966ba08", "56f1b059efb43921"


def altered(path: Path, change) -> None:
    """Write a table again with its columns, and what it says of itself, changed."""
    table = pq.read_table(path)
    columns, facts = (
        dict(zip(table.column_names, table.columns, strict=True)),
        json.loads(table.schema.metadata[b"rgbench"]),
    )
    change(columns, facts)
    new = pa.table(columns).replace_schema_metadata({"rgbench": json.dumps(facts)})
    pq.write_table(new, path)


@pytest.mark.parametrize("file", ["run.json", "predictions.parquet"])
def test_a_file_of_another_run_is_never_taken_for_this_one_s(old, file):
    shutil.copy(old.run_path(OTHER) / file, old.run_path(RUN) / file)
    with pytest.raises(StoreError, match=f"{RUN}/{file}: is of run '?{OTHER}'?, not of {RUN}"):
        old.record(RUN).predictions  # noqa: B018


def test_a_copied_run_does_not_count_twice(old):
    shutil.copytree(old.run_path(RUN), old.run_path("backup"))
    with pytest.raises(StoreError, match=f"backup/run.json: is of run '{RUN}', not of backup"):
        old.records()


@pytest.mark.parametrize(
    ("key", "value"), [("classes", ["Bent", "FRII", "FRI", "Compact"]), ("activation", "sigmoid")]
)
def test_run_json_and_the_table_agree_on_the_outputs(old, key, value):
    path = old.run_path(RUN) / "run.json"
    content = json.loads(path.read_text()) | {"classes": list(CLASSES), "activation": "softmax", key: value}
    path.write_text(json.dumps(content))
    for use in (lambda: old.record(RUN).predictions, lambda: StoredRun(RUN, old)):
        with pytest.raises(StoreError, match=r"predictions.parquet: has the classes .* run.json says"):
            use()


def twice(columns, facts):
    columns.update({name: pa.concat_arrays([*c.chunks, *c.chunks]) for name, c in columns.items()})


def text(columns, facts):
    columns["logit_FRI"] = pa.array(["x"] * len(columns["label"]))


def empty(columns, facts):
    columns["label"] = pa.array([None] * len(columns["label"]), pa.int32())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (twice, "the row .* stands twice"),
        (text, "is damaged: ArrowInvalid"),
        (empty, "is damaged: ValueError"),
        (lambda columns, facts: columns.pop("label"), "is damaged: KeyError"),
        (
            lambda columns, facts: columns.update(label=pa.array([99] * len(columns["label"]))),
            "labels must lie",
        ),
        (lambda columns, facts: facts.pop("classes"), "is damaged: KeyError: 'classes'"),
        (lambda columns, facts: facts.update(version="x"), "is damaged: its schema version is 'x'"),
        (
            lambda columns, facts: facts.update(version=99),
            "has schema version 99, this rgbench reads up to 1",
        ),
    ],
)
def test_a_damaged_table_is_told_by_its_name(old, change, message):
    altered(old.run_path(RUN) / "predictions.parquet", change)
    with pytest.raises(StoreError, match=f"{RUN}/predictions.parquet: {message}"):
        old.record(RUN).predictions  # noqa: B018


def test_a_damaged_history_is_told_by_its_name(old):
    altered(old.run_path(RUN) / "history.parquet", lambda columns, facts: columns.pop("l2"))
    with pytest.raises(StoreError, match=f"{RUN}/history.parquet: is damaged"):
        old.record(RUN).history  # noqa: B018
