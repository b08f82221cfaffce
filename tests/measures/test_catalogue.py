"""Metrics by name: complete whatever was imported, open to others, and each alone in its failure."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import recall_score

from rgbench.comparison.summary import compare
from rgbench.errors import SpecError
from rgbench.measures.cards import MAIN, MetricCard, registry
from rgbench.measures.catalogue import find_metric, means, measure, metrics, recognition
from rgbench.report.html import write_page


@pytest.fixture
def others(monkeypatch):
    """Leave the registry as it was."""
    known = registry()
    monkeypatch.setattr(known, "_items", dict(known._items))
    return known


def worst_recall(y, logits):
    return float(recall_score(y, logits.argmax(axis=1), average=None, zero_division=0).min())


def card(name, function, **facts):
    return MetricCard(name, name.title(), "a metric of a test", function, **facts)


@pytest.mark.parametrize("first", ["rgbench.measures.cards", "rgbench.measures.calibration", "rgbench"])
def test_the_names_do_not_depend_on_what_was_imported_before(first):
    code = f"import {first}; from rgbench.measures.catalogue import metrics; print(*metrics().names())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        *("mpca", "accuracy", "macro_f1", "macro_f1_2021", "mcc", "nll", "brier", "ece"),
        *("ece_equal_mass", "ece_classwise", "ece_adaptive"),
    ]


def test_a_metric_is_found_by_either_spelling_and_an_unknown_one_is_told():
    assert find_metric("macro-f1") is find_metric("macro_f1")
    with pytest.raises(SpecError, match="unknown metric 'f1'; legal are mpca, accuracy, macro_f1"):
        find_metric("f1")


def test_what_cards_say_of_intervals_is_kept_to():
    assert MAIN in recognition()
    assert set(recognition()) == {"mpca", "accuracy"}
    assert set(means()) == {"nll", "brier"}
    y = np.array([0, 1, 1])
    assert metrics().get("mpca").strata(y).tolist() == [0, 1, 1]
    assert metrics().get("accuracy").strata(y).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"interval": "wald"}, "metric 'x', interval: found 'wald'; legal are classes, score, rows"),
        ({"scale": "dB"}, "metric 'x', scale: found 'dB'; legal are percent, plain"),
        ({"interval": "rows"}, "'rows' needs of_counts"),
        ({"interval": "mean"}, "'mean' needs per_source"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(facts, message):
    with pytest.raises(SpecError, match=message):
        card("x", worst_recall, **facts)


@pytest.mark.slow
def test_a_metric_of_one_s_own_is_compared_with_its_interval(others, make_run):
    others.register("worst", card("worst", worst_recall, interval="bootstrap"))
    records = [make_run("a", seed, 0.9) for seed in (1, 2, 3)] + [
        make_run("b", seed, 0.5) for seed in (1, 2, 3)
    ]
    found = compare(records, metric="worst", resamples=200)
    row = found.rows[0]
    truth = [worst_recall(r.predictions.label, r.predictions.logits) for r in records[:3]]
    assert row.network == "a"
    assert row.metrics["worst"].values == pytest.approx(tuple(truth))
    assert row.metrics["worst"].low < row.metrics["worst"].mean < row.metrics["worst"].high
    (pair,) = found.pairs
    assert pair.separable
    assert pair.difference == pytest.approx(row.metrics["worst"].mean - found.rows[1].metrics["worst"].mean)


def test_a_metric_without_an_interval_sorts_and_compares_no_pairs(others, make_run):
    others.register("worst", card("worst", worst_recall))
    found = compare([make_run("a", 1, 0.5), make_run("b", 1, 0.9)], metric="worst", resamples=50)
    assert [row.network for row in found.rows] == ["b", "a"]
    assert found.pairs == ()
    assert np.isnan(found.rows[0].metrics["worst"].low)


def test_a_metric_that_fails_spoils_its_own_value_only(others, make_run):
    def fails(y, logits):
        raise ZeroDivisionError("no sources of the second kind")

    others.register("fails", card("fails", fails, interval="bootstrap"))
    others.register("wild", card("wild", lambda y, logits: 7.0, value_range=(0.0, 1.0)))
    records = [make_run(name, seed, skill) for name, skill in (("a", 0.9), ("b", 0.5)) for seed in (1, 2)]
    test = records[0].predictions
    measured = measure(test.label, test.logits)
    assert np.isnan([measured.values["fails"], measured.values["wild"]]).all()
    assert measured.failed == {
        "fails": "ZeroDivisionError: no sources of the second kind",
        "wild": "gave 7; its card says 0 to 1",
    }
    found = compare(records, resamples=50)
    assert found.failed == measured.failed
    assert np.isnan(found.rows[0].metrics["fails"].mean)
    registry()._items.pop("fails"), registry()._items.pop("wild")
    alone = compare(records, resamples=50)
    assert found.rows[0].metrics["mpca"] == alone.rows[0].metrics["mpca"]
    assert found.pairs == alone.pairs


def test_a_metric_that_cannot_be_imported_is_told(monkeypatch, make_run):
    class Point:
        name, value, dist = "theirs", "theirs:metric", None

        def load(self):
            raise ImportError("no libfoo")

    known = registry()
    monkeypatch.setattr(known, "_points", {"theirs": Point()})
    monkeypatch.setattr(known, "_broken", {})
    assert "ImportError: no libfoo" in compare([make_run("a", 1, 0.9)], resamples=50).failed["theirs"]


def fails_on_resamples(y, logits):
    if len(np.unique(logits, axis=0)) < len(logits):
        raise ValueError("late")
    return 0.5


@pytest.mark.parametrize(
    ("function", "facts", "why"),
    [
        (lambda y, logits: None, {}, "gave a NoneType; a number is legal"),
        (lambda y, logits: "0.5", {}, "gave a str; a number is legal"),
        (lambda y, logits: np.ones(3), {}, "gave a ndarray; a number is legal"),
        (lambda y, logits: exit(3), {}, "SystemExit: 3"),
        (fails_on_resamples, {"interval": "bootstrap"}, "on resampled sources, ValueError: late"),
        (worst_recall, {"interval": "mean", "per_source": lambda y, logits: y[:3]}, "on resampled sources"),
        (
            worst_recall,
            {"interval": "rows", "of_counts": lambda counts: counts[..., 0]},
            "on resampled sources, SpecError: metric 'odd': gave shape",
        ),
    ],
)
@pytest.mark.parametrize("asked", ["mpca", "odd"])
def test_whatever_another_package_s_metric_does_the_page_is_written(
    others, make_run, tmp_path, function, facts, why, asked
):
    others.register("odd", card("odd", function, **facts))
    records = [make_run("a", 1, 0.9), make_run("b", 1, 0.5)]
    comparison = compare(records, metric=asked, resamples=50)
    assert comparison.failed["odd"].startswith(why)
    assert comparison.rows[0].metrics["mpca"].low > 0
    page = write_page(tmp_path / "r.html", {"best": comparison}, records).read_text()
    assert "The metric odd could not be worked out" in page


@pytest.mark.parametrize("ends", [None, "01", (0.0,), (1.0, 0.0), ("a", "b")])
def test_a_range_that_is_none_is_refused(ends):
    with pytest.raises(SpecError, match="metric 'x', value_range: found"):
        card("x", worst_recall, value_range=ends)


def test_a_metric_that_writes_into_what_it_is_given_spoils_nothing(others, make_run):
    def writes(y, logits):
        y[:] = 0
        logits[:] = 0
        return 0.5

    records = [make_run(name, seed, skill) for name, skill in (("a", 0.9), ("b", 0.5)) for seed in (1, 2)]
    alone = compare(records, resamples=50)
    others.register("writes", card("writes", writes, interval="bootstrap"))
    found = compare(records, resamples=50)
    assert found.failed["writes"].startswith("ValueError: assignment destination is read-only")
    for row, before in zip(found.rows, alone.rows, strict=True):
        for name, estimate in before.metrics.items():
            assert repr(row.metrics[name]) == repr(estimate), name
    assert found.pairs == alone.pairs
