"""Metrics against scikit-learn and by hand; health notes on the failures they are for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from rgbench.measures import classification as ours
from rgbench.measures.catalogue import metrics
from rgbench.measures.health import check_history, check_predictions

CLASSES = ("Compact", "FRI", "FRII", "Bent")


def draw(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    return y, rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[y]


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_scikit_learn_s(seed):
    y, logits = draw(seed)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predicted = logits.argmax(axis=1)
    expected = {
        "mpca": sk.balanced_accuracy_score(y, predicted),
        "accuracy": sk.accuracy_score(y, predicted),
        "macro_f1": sk.f1_score(y, predicted, average="macro"),
        "mcc": sk.matthews_corrcoef(y, predicted),
        "nll": sk.log_loss(y, p),
        "brier": sk.brier_score_loss(y, p, scale_by_half=False),
    }
    for name, value in expected.items():
        assert metrics().get(name).function(y, logits) == pytest.approx(value, rel=1e-12), name
    found = ours.per_class(y, logits)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(y, predicted)
    for key, value in (("precision", precision), ("recall", recall), ("f1", f1)):
        np.testing.assert_allclose(found[key], value)
    np.testing.assert_array_equal(ours.confusion_matrix(y, logits), sk.confusion_matrix(y, predicted))


def test_the_2021_kind_is_that_of_a_balanced_test_set():
    counts = np.array([[80, 20], [1, 9]])
    y = np.repeat([0, 0, 1, 1], counts.ravel())
    predicted = np.repeat([0, 1, 0, 1], counts.ravel())
    found = ours.per_class(y, np.eye(2)[predicted])
    np.testing.assert_allclose(found["precision_2021"], [0.8 / 0.9, 0.9 / 1.1])
    np.testing.assert_allclose(found["recall_2021"], [0.8, 0.9])
    np.testing.assert_allclose(found["precision"], [80 / 81, 9 / 29])


def test_a_class_never_predicted_is_nan_in_2021_and_zero_elsewhere():
    y, logits = np.array([0, 0, 1, 1]), np.tile([1.0, 0.0], (4, 1))
    found = ours.per_class(y, logits)
    assert np.isnan(found["precision_2021"][1])
    assert np.isnan(found["f1_2021"][1])
    assert found["f1"][1] == 0
    assert np.isnan(ours.macro_f1_2021(y, logits))
    assert ours.mcc(y, logits) == 0


def test_a_class_without_test_sources_does_not_count():
    y, logits = draw(0)
    some = y < 2
    y, logits = y[some], logits[some]
    predicted = logits.argmax(axis=1)
    assert set(predicted) == {0, 1, 2, 3}
    assert ours.macro_f1(y, logits) == pytest.approx(
        sk.f1_score(y, predicted, labels=[0, 1], average="macro")
    )
    assert ours.macro_f1(y, np.eye(4)[y]) == 1
    found = ours.per_class(y, logits)
    for key in ("precision", "recall", "f1"):
        np.testing.assert_array_equal(np.isnan(found[key]), [False, False, True, True])


def test_ece_by_hand():
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.65, 0.35]])
    y = np.array([0, 1, 0, 0])
    assert ours.ece(y, np.log(p)) == pytest.approx(0.5 * abs(0.5 - 0.95) + 0.5 * abs(1 - 0.65))
    assert ours.ece(np.array([0]), np.array([[1000.0, -1000.0]])) == 0


@settings(deadline=None)
@given(
    st.integers(1, 30).flatmap(
        lambda n: st.tuples(
            arrays(np.int64, n, elements=st.integers(0, 3)),
            arrays(np.float64, (n, 4), elements=st.floats(-1e3, 1e3)),
        )
    )
)
def test_every_metric_stays_in_its_range(drawn):
    y, logits = drawn
    for name, card in metrics():
        value = card.function(y, logits)
        low, high = card.value_range
        assert np.isnan(value) or low - 1e-12 <= value <= high + 1e-12, name
        assert card.title
        assert card.definition


def test_diverged_logits_give_nan_and_wrong_input_raises():
    y, logits = draw(1)
    logits[3, 2] = np.inf
    for name, card in metrics():
        assert np.isnan(card.function(y, logits)), name
    with pytest.raises(ValueError, match="labels lie between -1 and 1; legal are 0 to 1"):
        ours.accuracy(np.array([-1, 1]), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"\(n,\) and \(n, k\) are needed"):
        ours.accuracy(np.array([0]), np.zeros((2, 2)))


def test_a_constant_predictor_is_named():
    (note,) = check_predictions(np.tile([0.0, 1, 5, 2], (153, 1)), CLASSES)
    assert (note.code, note.text) == ("constant", "predicts FRII for every one of 153 sources")


def test_probabilities_in_place_of_logits_are_named():
    _, logits = draw(1)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert [note.code for note in check_predictions(p, CLASSES)] == ["probabilities"]
    assert check_predictions(logits, CLASSES) == []


def test_losses_that_tell_something():
    flat = {"train_loss": np.full(5, 1.386), "validation_loss": np.full(5, 1.39)}
    assert check_history(flat, 4)[0].code == "no-progress"
    good = {"train_loss": np.array([1.3, 0.9]), "validation_loss": np.array([1.3, 1.1])}
    assert check_history(good, 4) == []
    bad = {"train_loss": np.array([1.3, np.nan]), "validation_loss": np.array([1.3, 1.1])}
    assert "from epoch 2" in check_history(bad, 4)[0].text
    assert check_history({}, 4) == []


@pytest.mark.slow
def test_nothing_that_reads_tables_loads_torch():
    modules = (
        "measures.classification measures.health comparison.summary report.html report.files.text "
        "store.tables store.store spec"
    )
    code = "import sys, importlib\n"
    code += "".join(
        f"importlib.import_module('rgbench.{m}')\n" for m in f"{modules} data.sets networks".split()
    )
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
