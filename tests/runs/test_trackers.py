"""Trackers: what they are told, that they change nothing, and that none of them ends a study."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rgbench.cli.app import main
from rgbench.data.load import load_dataset
from rgbench.errors import SpecError, StoreError
from rgbench.measures.catalogue import metrics
from rgbench.runs.listeners import Silence, all_of, listeners, make_listener
from rgbench.runs.study import run_study
from rgbench.runs.trackers import values
from rgbench.runs.trackers.mlflow import PATIENCE, _asking
from rgbench.runs.trackers.tracker import Page, Tracker
from rgbench.spec import Study, resolve
from rgbench.store.store import Store
from rgbench.store.tables import HISTORY_COLUMNS


@pytest.fixture(scope="module")
def study(toy_study, toy_images) -> Study:
    return toy_study(toy_images, (5, 2), (20, 20), 3)


@pytest.fixture(scope="module")
def dataset(study):
    return load_dataset(study.data)


@pytest.fixture(scope="module")
def plain(study, dataset, tmp_path_factory):
    """The study without any tracker: its store and its record."""
    store = Store(tmp_path_factory.mktemp("plain"))
    (record,) = run_study(study, store, dataset=dataset)
    return store, record


class Notebook(Tracker):
    """A tracker that remembers; a run that was stopped goes on with a page of its own."""

    def __init__(self):
        super().__init__()
        self.plans, self.written, self.ended = [], {}, {}

    def starts(self, plan):
        self.plans.append(plan)

    def has(self, spec):
        return spec.run_id in self.ended

    def page(self, spec):
        return Leaf(self, spec.run_id)


class Leaf(Page):
    def __init__(self, book, run_id):
        super().__init__()
        self.rows, self.ended = book.written.setdefault(run_id, []), book.ended

    def write(self, values, epoch):
        self.rows.append((epoch, values))

    def close(self, record, values):
        self.ended[record.run_id] = (record.status, values)


def same_run(one: Store, other: Store, run_id: str) -> None:
    """Check that a run has the same bits in two stores: weights, predictions, losses."""
    for model in ("best", "final"):
        file = f"{model}.safetensors"
        assert (one.run_path(run_id) / file).read_bytes() == (other.run_path(run_id) / file).read_bytes()
    ours, theirs = one.record(run_id), other.record(run_id)
    np.testing.assert_array_equal(ours.predictions.logits, theirs.predictions.logits)
    for column in set(HISTORY_COLUMNS) - {"seconds", "train_seconds"}:
        np.testing.assert_array_equal(ours.history[column], theirs.history[column])


@pytest.fixture
def entry_point(monkeypatch):
    """Bring a listener as another package does; the registry is made anew before and after."""

    def bring(name, item):
        point = SimpleNamespace(
            name=name, value=f"other:{name}", module="other", dist=None, load=lambda: item
        )
        found = {"rgbench.listeners": [point]}
        monkeypatch.setattr("rgbench.registry.entry_points", lambda group: found.get(group, []))
        listeners.cache_clear()

    yield bring
    monkeypatch.undo()
    listeners.cache_clear()


def test_a_tracker_of_another_package_is_told_every_epoch_and_changes_no_bit(
    entry_point, study, dataset, plain, tmp_path
):
    book = Notebook()
    entry_point("book", lambda: book)
    assert "book" in listeners().names()
    store = Store(tmp_path)
    (record,) = run_study(study, store, listener="book", dataset=dataset)
    same_run(store, plain[0], record.run_id)
    assert [(plan.study, plan.store) for plan in book.plans] == [("toy", tmp_path)]
    rows = book.written[record.run_id]
    assert [epoch for epoch, _ in rows] == [1, 2, 3]
    for name, column in values.PER_EPOCH.items():
        assert [found[name] for _, found in rows] == record.history[column].tolist()
    status, last = book.ended[record.run_id]
    assert status == "complete"
    test = record.predictions.select("test", "final")
    assert last["test_final/accuracy"] == np.mean(test.logits.argmax(axis=1) == test.label)
    assert {name for name in last if name.startswith("test/")} == {
        f"test/{name}" for name in metrics().names()
    }
    assert last["cost/parameters"] == record.cost["parameters"]


def test_a_listener_may_keep_what_it_is_told(study, dataset, plain, tmp_path):
    kept, told = Silence(), []
    kept.epoch = lambda spec, history: told.append(history)
    (record,) = run_study(study, Store(tmp_path), listener=kept, dataset=dataset)
    for epochs, history in enumerate(told, 1):
        assert {name: list(column) for name, column in history.items()} == {
            name: column[:epochs].tolist() for name, column in record.history.items()
        }
    assert len(told) == 3


def test_runs_of_the_store_are_told_once(study, dataset, plain):
    store, record = plain
    book = Notebook()
    run_study(study, store, listener=book, dataset=dataset)
    assert [epoch for epoch, _ in book.written[record.run_id]] == [1, 2, 3]
    first = book.ended[record.run_id]
    run_study(study, store, listener=(book, "silence"), dataset=dataset)
    assert len(book.written[record.run_id]) == 3
    assert book.ended[record.run_id] is first


class Interrupts(Silence):
    def epoch(self, spec, history):
        if len(history["epoch"]) == 2:
            raise KeyboardInterrupt


def test_a_run_that_goes_on_tells_the_epochs_before_it_was_stopped(study, dataset, plain, tmp_path):
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, store, listener=Interrupts(), dataset=dataset)
    book = Notebook()
    (record,) = run_study(study, store, listener=book, dataset=dataset)
    assert [epoch for epoch, _ in book.written[record.run_id]] == [1, 2, 3]
    same_run(store, plain[0], record.run_id)


@pytest.mark.slow
def test_runs_side_by_side_tell_their_epochs_too(study, dataset, plain, tmp_path):
    book = Notebook()
    both = study.model_copy(update={"seeds": (1, 2)})
    records = run_study(both, Store(tmp_path), listener=book, dataset=dataset, jobs=2)
    for record in records:
        rows = book.written[record.run_id]
        assert [found["loss/validation"] for _, found in rows] == record.history["validation_loss"].tolist()


@pytest.mark.parametrize("when", ["starts", "run_starts", "step", "epoch", "run_ends"])
def test_a_tracker_that_fails_ends_and_changes_no_run(when, study, dataset, plain, tmp_path):
    def fails(*told):
        raise OSError("no server")

    tracker, book = Silence(), Notebook()
    setattr(tracker, when, fails)
    with pytest.warns(
        UserWarning, match="^listener Silence raised OSError: no server; it was told nothing more$"
    ):
        (record,) = run_study(study, Store(tmp_path), listener=(tracker, book), dataset=dataset)
    assert record.status == "complete"
    same_run(Store(tmp_path), plain[0], record.run_id)
    assert len(book.written[record.run_id]) == 3


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [("tensorboard", "torch.utils.tensorboard", "tensorboard"), ("mlflow", "mlflow", "mlflow-skinny")],
)
def test_a_package_that_is_missing_is_said_before_anything_is_computed(
    name, module, package, monkeypatch, study, dataset, tmp_path
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        SpecError, match=rf"^it needs the package {package}: pip install 'rgbench\[{name}\]'$"
    ):
        run_study(study, Store(tmp_path), listener=name, dataset=dataset)
    assert Store(tmp_path).run_ids() == []


def test_the_command_says_at_once_that_a_tracker_is_missing(monkeypatch, study, plain, tmp_path, capsys):
    for module in ("torch.utils.tensorboard", "mlflow"):
        monkeypatch.setitem(sys.modules, module, None)
    content = study.model_dump(
        mode="json", exclude={"data": {"frame", "columns", "labels"}}, exclude_none=True
    )
    path = tmp_path / "toy.toml"
    data = content["data"]
    lines = ['networks = ["lenet"]', "seeds = [1]", 'protocol = "modern"']
    for table, own in (("images", content["images"]), ("recipe", content["recipe"])):
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in own.items())]
    keys = ("name", "path", "split", "train_size", "validation_size")
    path.write_text("\n".join([*lines, "[data]", *(f"{key} = {json.dumps(data[key])}" for key in keys)]))
    words = ["run", str(path), "--store", str(plain[0].root), "--track", "tensorboard", "--track", "mlflow"]
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "pip install 'rgbench[tensorboard]'" in capsys.readouterr().err


def test_a_name_that_nobody_knows_is_an_error_before_the_work(study, tmp_path):
    with pytest.raises(SpecError, match="unknown listener 'tensorbord'; did you mean tensorboard"):
        run_study(study, Store(tmp_path), listener="tensorbord")


def test_listeners_are_named_or_given():
    book = Notebook()
    told = all_of([book, "silence"])
    assert all_of(told) is told
    assert told._listeners[0] is book
    assert type(make_listener("progress")).__name__ == "TextProgress"


def test_parameters_are_flat_and_none_is_lost():
    (spec,) = resolve(Study(name="s", networks=("lenet",), seeds=(7,)), "c", (300, 300), 1.8)
    found = values.parameters(spec)
    content = spec.settings()
    for name, value in found.items():
        part, _, key = name.partition(".")
        kept = content[part][key] if key else content[part]
        assert value == kept or json.loads(value) == kept
    lost = [
        f"{part}.{key}"
        for part, table in content.items()
        if isinstance(table, dict)
        for key, value in table.items()
        if value not in (None, [], {}) and f"{part}.{key}" not in found
    ]
    assert lost == []
    assert found["seed"] == 7


def test_names_of_metrics_hold_nothing_that_a_tracker_refuses(make_run):
    record = make_run("lenet", 1, 0.8)
    record.cost["odd <name>"] = 1.5
    found = values.at_the_end(record)
    assert found["cost/odd _name_"] == 1.5
    assert "test/mpca" in found


def test_a_failed_run_has_no_metrics(make_run):
    (spec,) = resolve(Study(name="s", networks=("lenet",), seeds=(7,)), "c")
    failed = type(make_run("lenet", 1, 0.8))(spec.run_id, spec, "failed", "no memory")
    assert values.at_the_end(failed) == {}


def test_mlflow_is_waited_for_a_short_time_and_secrets_are_not_told(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    seen = {}

    def ask():
        with _asking("http://me:secret@host:1"):
            seen.update({key: os.environ[key] for key in PATIENCE})
            raise ConnectionError("http://me:secret@host:1/api is not there")

    with pytest.raises(
        StoreError, match="^MLflow at http://host:1: ConnectionError: http://host:1/api is not there$"
    ):
        ask()
    assert seen == {**PATIENCE, "MLFLOW_HTTP_REQUEST_TIMEOUT": "77"}
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
