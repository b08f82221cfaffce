"""Tables: what is written is read back to the bit, and nothing illegal is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit, log_softmax

from rgbench.errors import StoreError
from rgbench.store.tables import (
    HISTORY_COLUMNS,
    Predictions,
    concatenate,
    read_history,
    read_predictions,
    write_history,
    write_predictions,
)


@pytest.fixture
def predictions() -> Predictions:
    rng = np.random.default_rng(1)
    n = 10
    return Predictions(
        run_id="abc",
        classes=("Compact", "FRI", "FRII", "Bent"),
        activation="softmax",
        label_version="1",
        source_id=np.array([f"J{i}" for i in range(n)]),
        split=np.full(n, "test"),
        model=np.full(n, "best"),
        condition=np.full(n, "clean"),
        member=np.zeros(n, dtype=np.int64),
        label=rng.integers(0, 4, n),
        logits=rng.normal(size=(n, 4)).astype(np.float32),
    )


def test_predictions_come_back_to_the_bit(tmp_path, predictions):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, predictions)
    back = read_predictions(path)
    assert back.classes == predictions.classes
    assert back.run_id == "abc"
    for name in ("source_id", "split", "model", "condition", "member", "label", "logits"):
        np.testing.assert_array_equal(getattr(back, name), getattr(predictions, name))


def test_probabilities_are_derived_as_the_activation_says(predictions):
    expected = log_softmax(predictions.logits.astype(float), axis=1)
    np.testing.assert_allclose(predictions.log_probabilities(), expected, rtol=1e-12)
    sigmoids = expit(predictions.logits.astype(float))
    expected = sigmoids / sigmoids.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        replace(predictions, activation="sigmoid").probabilities(), expected, rtol=1e-10
    )


def test_huge_logits_give_finite_log_probabilities(predictions):
    huge = replace(predictions, logits=predictions.logits * np.float32(1e6))
    assert np.isfinite(huge.log_probabilities()).all()
    assert np.isfinite(replace(huge, activation="sigmoid").log_probabilities()).all()


def test_selection_takes_the_rows_of_one_split_and_model(predictions):
    both = concatenate([predictions, replace(predictions, model=np.full(10, "final"))])
    assert len(both) == 20
    assert len(both.select("test", "final")) == 10
    assert len(both.select("validation")) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": np.full(10, "tset")}, "split 'tset' is not one of train, validation, test"),
        ({"model": np.full(10, "last")}, "model 'last' is not one of best, final"),
        ({"activation": "relu"}, "activation 'relu' is not one of softmax, sigmoid"),
        ({"label": np.full(10, 4)}, "labels must lie between -1 and 3"),
        ({"logits": np.zeros((10, 3), np.float32)}, "logits have shape"),
        ({"source_id": np.array(["J0"] * 10)}, "stands twice"),
    ],
)
def test_illegal_rows_are_not_written(tmp_path, predictions, change, message):
    path = tmp_path / "predictions.parquet"
    with pytest.raises(StoreError, match=message):
        write_predictions(path, replace(predictions, **change))
    assert not path.exists()


def test_a_diverged_run_can_be_stored(tmp_path, predictions):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, replace(predictions, logits=np.full((10, 4), np.nan, np.float32)))
    assert np.isnan(read_predictions(path).logits).all()


def test_history_needs_every_column(tmp_path):
    columns = {name: np.arange(3.0) for name in HISTORY_COLUMNS}
    write_history(tmp_path / "h.parquet", columns)
    np.testing.assert_array_equal(read_history(tmp_path / "h.parquet")["l2"], np.arange(3.0))
    with pytest.raises(StoreError, match="lacks columns \\['l2'\\]"):
        write_history(tmp_path / "h.parquet", {k: v for k, v in columns.items() if k != "l2"})


def test_foreign_and_broken_files_are_named(tmp_path):
    path = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(StoreError, match="foreign.parquet: is not a table of rgbench"):
        read_predictions(path)
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(StoreError, match="foreign.parquet: cannot be read"):
        read_predictions(path)
