"""Tasks are frozen, and a run is of one only if it was tested on its sources, labels and data."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from rgbench.data.sets import load_data
from rgbench.data.split import published_split
from rgbench.errors import ChecksumError, DataError, SpecError
from rgbench.registry import Registry
from rgbench.tasks.catalogue import _task, read_task, tasks
from rgbench.tasks.check import check_run, in_terms_of, why_not
from rgbench.tasks.words import rules
from rgbench.toml import read_toml

NAME = "rgbench/first-4class@1"
FROZEN = {NAME: "fe7178f418ecc57866da8ff7f1d3d3090e630b9200515709c43b19a374c70fe7"}
"""Never to be changed: whoever mends a task makes another version, and adds a line."""


@pytest.fixture
def task():
    return tasks().get(NAME)


@pytest.fixture
def record(filled_store, tmp_path):
    return filled_store(tmp_path, {"lenet": 0.8}, seeds=(1,)).records()[0]


def content():
    return read_toml(resources.files("rgbench.tasks") / "first-4class-1.toml")


def test_every_task_is_what_it_always_was():
    assert {name: task.computed_checksum() for name, task in tasks()} == FROZEN


def test_the_first_task_is_the_published_test_side(task):
    data = load_data(task.data)
    test = published_split(data, task.split).indices("test")
    words = np.array(data.classes)[data.catalogue.label[test]]
    assert task.labels == dict(zip(data.catalogue.source_id[test].tolist(), words.tolist(), strict=True))
    assert task.classes == data.classes
    assert task.data_checksum == data.checksum


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "accuracy"},
        {"split": "fold-0"},
        {"data_checksum": "0" * 64},
        {"rules": {"training": "anything", "external_data": "no", "looks": 1}},
        {"test": {"Compact": ["a"], "FRI": ["b"]}},
        {"name": "rgbench/first-4class@2"},
    ],
    ids=str,
)
def test_a_changed_task_is_refused(change):
    with pytest.raises(ChecksumError, match="a task never changes"):
        read_task(content() | change, "here")


def test_one_label_changed_is_another_task():
    changed = content()
    changed["test"]["FRI"].append(changed["test"]["FRII"].pop())
    with pytest.raises(ChecksumError):
        read_task(changed, "here")


def test_words_that_change_no_score_may_be_mended():
    assert read_task(content() | {"title": "Another title", "about": ""}, "here").title == "Another title"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "first-4class"}, "owner/task@version"),
        ({"name": "rgbench/first-4class@0"}, "owner/task@version"),
        ({"metric": "mpac"}, "must be one of"),
        ({"rules": {"training": "x", "external_data": "perhaps", "looks": 1}}, "external_data"),
        ({"rules": {"training": "x", "external_data": "no", "looks": 0}}, "looks"),
        ({"test": {"FRI": ["a"], "FRII": ["a"]}}, "'a' stands there twice"),
        ({"sources": []}, "unknown key 'sources'"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_task_is_said(change, said):
    with pytest.raises(SpecError, match=said):
        read_task(content() | change, "here")


def test_the_rules_in_words(task):
    told = dict(rules(task))
    assert told["data"] == f"first-galaxy-data, split published, checksum {content()['data_checksum'][:12]}"
    assert told["test"] == "200 sources (50 Compact, 50 FRI, 50 FRII, 50 Bent)"
    assert told["looks at the test sources"].startswith("1 look. ")
    assert told["external data"].startswith("may be used, if")
    assert told["checksum"] == FROZEN[NAME]
    closed = task.rules.model_copy(update={"external_data": "no"})
    other = dict(rules(task.model_copy(update={"rules": closed, "data_checksum": ""})))
    assert (other["data"], other["external data"]) == (
        "first-galaxy-data, split published",
        "may not be used",
    )


def test_others_bring_tasks_as_files_or_tables(tmp_path):
    registry = Registry("task", adapt=_task)
    registry.register(NAME, content())
    assert registry.get(NAME).checksum == FROZEN[NAME]
    with pytest.raises(SpecError, match="the same is legal"):
        registry.register("me/other@1", content())
    with pytest.raises(SpecError, match="a dictionary, or the path of a TOML file, is legal"):
        registry.register("me/third@1", 3)
    (tmp_path / "t.toml").write_bytes((resources.files("rgbench.tasks") / "first-4class-1.toml").read_bytes())
    other = Registry("task", adapt=_task)
    other.register(NAME, tmp_path / "t.toml")
    assert other.get(NAME) == registry.get(NAME)


def with_predictions(record, **changes):
    return replace(record, predictions=replace(record.predictions, **changes))


def with_data(record, **changes):
    data = record.spec.data.model_copy(update=changes)
    return replace(record, spec=record.spec.model_copy(update={"data": data}))


def test_a_run_of_the_task(task, record):
    assert why_not(task, record) == ""
    check_run(task, record)


def test_a_run_with_nothing_but_predictions_is_of_the_task(task, filled_store, tmp_path):
    (own,) = filled_store(tmp_path / "else", {"lenet": 0.8}, seeds=(1,), elsewhere=("lenet",)).records()
    assert own.cost == {}
    assert own.history == {}
    assert why_not(task, own) == ""


def test_a_run_trained_on_other_data_is_of_the_task(task, record):
    names = np.array([f"{task.data}/{name}" for name in record.predictions.source_id.tolist()])
    other = with_predictions(
        with_data(record, name="mirabest", test=task.data, checksum="1"), source_id=names
    )
    assert why_not(task, other) == ""
    assert in_terms_of(task, other.predictions).source_id.tolist() == record.predictions.source_id.tolist()


def test_classes_in_another_order_are_brought_into_that_of_the_task(task, record):
    turned = with_predictions(
        record,
        classes=record.predictions.classes[::-1],
        label=3 - record.predictions.label,
        logits=record.predictions.logits[:, ::-1],
    )
    assert why_not(task, turned) == ""
    back = in_terms_of(task, turned.predictions)
    np.testing.assert_array_equal(back.logits, record.predictions.logits)
    np.testing.assert_array_equal(back.label, record.predictions.label)
    unknown = replace(turned.predictions, label=np.full(200, -1))
    assert set(in_terms_of(task, unknown).label.tolist()) == {-1}


def test_why_a_run_is_not_of_the_task(task, record):
    predictions = record.predictions
    label = predictions.label.copy()
    label[3] = (label[3] + 1) % 4
    other_name = predictions.source_id.copy()
    other_name[0] = "J000000.00+000000.0"
    more = np.arange(201) % 200
    names = predictions.source_id[more].astype("U30")
    names[200] = "one more"
    cases = {
        "is not complete: failed: no luck": replace(record, status="failed", error="no luck"),
        "has no predictions": replace(record, predictions=None),
        "has the split fold-0, the task published": with_data(record, split="fold-0"),
        "with the checksum 000000000000, the task has 6fd15246dee0": with_data(record, checksum="0" * 64),
        f"lacks 1 of the 200 test sources: {predictions.source_id[0]}": with_predictions(
            record, source_id=other_name
        ),
        "lacks 200 of the 200 test sources": replace(
            record, predictions=predictions.take(np.zeros(200, bool))
        ),
        "was tested on 1 source that the task does not have: one more": replace(
            record, predictions=replace(predictions.take(more), source_id=names)
        ),
        f"has another label for 1 test source: {predictions.source_id[3]} is": with_predictions(
            record, label=label
        ),
        "has the classes a, b, c, d, the task Compact, FRI, FRII, Bent": with_predictions(
            record, classes=("a", "b", "c", "d")
        ),
    }
    for said, wrong in cases.items():
        assert said in why_not(task, wrong), said
        with pytest.raises(DataError, match=r"is not of rgbench/first-4class@1: it "):
            check_run(task, wrong)
