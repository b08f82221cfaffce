"""Tables of predictions from any code: columns, formats, and what is refused."""

from __future__ import annotations

import csv
import re
import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from rgbench.data.own.predicted import LEAST, PredictedColumns, read_predicted
from rgbench.errors import DataError, RgbenchError, SpecError

CLASSES = ("Compact", "FRI", "FRII", "Bent")
P = softmax(np.random.default_rng(0).normal(size=(5, 4)), axis=1)
NAMES = [f"J{i}" for i in range(5)]


def written(folder: Path, ending: str, columns: dict) -> Path:
    path = folder / f"table{ending}"
    if ending == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    elif ending == ".parquet":
        pq.write_table(pa.table(columns), path)
    else:
        Table(columns).write(path, **({"format": "votable"} if ending == ".vot" else {}))
    return path


def of(heads, values=P, **more) -> dict:
    return {"source_id": NAMES, **dict(zip(heads, values.T.tolist(), strict=True)), **more}


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".vot", ".fits"])
def test_every_format_says_the_same(tmp_path, ending):
    found = read_predicted(written(tmp_path, ending, of(f"p_{name}" for name in CLASSES)), CLASSES)
    assert found.name.tolist() == NAMES
    assert found.given == "probabilities"
    np.testing.assert_allclose(np.exp(found.logits), P, rtol=1e-6)


@pytest.mark.parametrize(
    "heads",
    [
        CLASSES,
        ("compact", "fr1", "FR-II", "bent"),
        [f"prob_{name}" for name in CLASSES],
        [f"Probability {name}" for name in CLASSES],
        [f"p({name})" for name in CLASSES],
    ],
)
def test_columns_of_probabilities_are_found_by_their_names(heads):
    np.testing.assert_allclose(np.exp(read_predicted(of(heads), CLASSES).logits), P, rtol=1e-6)


def test_the_order_of_columns_does_not_matter():
    backwards = of([f"p_{name}" for name in CLASSES[::-1]], P[:, ::-1])
    np.testing.assert_array_equal(
        read_predicted(backwards, CLASSES).logits, read_predicted(of(CLASSES), CLASSES).logits
    )


def test_logits_stay_as_they_are_but_for_the_highest_of_their_row():
    logits = np.random.default_rng(1).normal(size=(5, 4)) * 5
    found = read_predicted(of([f"logit_{name}" for name in CLASSES], logits), CLASSES)
    assert found.given == "logits"
    np.testing.assert_allclose(
        softmax(found.logits.astype(float), axis=1), softmax(logits, axis=1), rtol=1e-5
    )
    np.testing.assert_array_equal(found.logits.max(axis=1), np.zeros(5))
    told = read_predicted(of(CLASSES, logits), CLASSES, PredictedColumns(given="logits"))
    np.testing.assert_array_equal(told.logits, found.logits)


@pytest.mark.parametrize("offset", [-3e8, 1e12])
def test_large_logits_keep_what_tells_them_apart(offset):
    logits = np.log([[0.74, 0.12, 0.08, 0.06]] * 5) + offset
    found = read_predicted(of([f"logit_{name}" for name in CLASSES], logits), CLASSES).logits
    np.testing.assert_allclose(softmax(found.astype(float), axis=1)[:, 0], 0.74, atol=1e-4)


def test_logits_beyond_float32_are_taken_or_named():
    heads = [f"logit_{name}" for name in CLASSES]
    logits = np.zeros((5, 4))
    logits[2] = 1e39
    np.testing.assert_array_equal(read_predicted(of(heads, logits), CLASSES).logits, np.zeros((5, 4)))
    logits[2, 1:] = 0
    with pytest.raises(DataError, match=r"row 3 \(J2\): logits 1e\+39, 0, 0, 0; .* less than 3.4e38"):
        read_predicted(of(heads, logits), CLASSES)
    logits[2] = [1.7e308, -1.7e308, 0, 0]
    with pytest.raises(DataError, match=r"row 3 \(J2\)"):
        read_predicted(of(heads, logits), CLASSES)


@pytest.mark.parametrize("head", ["p_", "logit_", ""])
def test_incomplete_numbers_never_give_way_to_a_column_of_classes(head):
    table = of([f"{head}{name}" for name in ("Kompakt", *CLASSES[1:])]) | {"class": ["Bent"] * 5}
    there = ", ".join(f"{head}{name}" for name in CLASSES[1:])
    with pytest.raises(
        SpecError,
        match=f"{there} are there; a column for Compact is missing.*--given classes takes .* class$",
    ):
        read_predicted(table, CLASSES)
    assert read_predicted(table, CLASSES, PredictedColumns(given="classes")).given == "classes"
    said = PredictedColumns(mapping={"Compact": f"{head}Kompakt"})
    if head != "logit_":
        np.testing.assert_allclose(np.exp(read_predicted(table, CLASSES, said).logits), P, rtol=1e-6)


@pytest.mark.parametrize("head", ["p({})", "p [{}]", "prob({})", "logit({})"])
def test_a_class_in_brackets_of_a_csv_is_no_unit(tmp_path, head):
    path = written(tmp_path, ".csv", of([head.format(name) for name in CLASSES], 3 * P))
    found = read_predicted(path, CLASSES, PredictedColumns(given="logits"))
    np.testing.assert_allclose(softmax(found.logits, axis=1), softmax(3 * P, axis=1), rtol=1e-6)


def test_the_unit_of_a_column_of_probabilities_counts(tmp_path):
    path = written(tmp_path, ".csv", of([f"p_{name} [%]" for name in CLASSES], 100 * P))
    np.testing.assert_allclose(np.exp(read_predicted(path, CLASSES).logits), P, rtol=1e-6)


def advised(error: pytest.ExceptionInfo, option: str) -> str:
    """Give the value that a message advises for an option."""
    (value,) = re.findall(rf"{option} ([^\s;,)]+)", str(error.value))
    return value


def test_the_advice_for_numbers_of_the_other_kind_works():
    logits = np.log(P) + 3
    for heads, values in (([f"p_{c}" for c in CLASSES], logits), ([f"logit_{c}" for c in CLASSES], P)):
        with pytest.raises(DataError) as error:
            read_predicted(of(heads, values), CLASSES)
        told = read_predicted(of(heads, values), CLASSES, PredictedColumns(given=advised(error, "--given")))
        np.testing.assert_allclose(softmax(told.logits, axis=1), P, rtol=1e-5)


def test_the_advice_for_an_unknown_class_works():
    table = {"source_id": NAMES, "predicted": ["FRI", "WAT", "hybrid", "", "Compact"]}
    with pytest.raises(DataError) as error:
        read_predicted(table, CLASSES)
    assert "leave-out" not in str(error.value)
    word, _, _ = advised(error, "--label").partition("=")
    told = read_predicted(table, CLASSES, PredictedColumns(labels={word: "FRII"}))
    assert told.logits[2].argmax() == 2
    with pytest.raises(SpecError, match="leave their cells empty") as error:
        read_predicted(table, CLASSES, PredictedColumns(labels={word: "none"}))
    assert "leave-out" not in str(error.value)
    table["predicted"][2] = ""
    assert np.isnan(read_predicted(table, CLASSES).logits[2]).all()


def test_the_advice_for_a_word_of_several_can_be_given_to_a_shell():
    with pytest.raises(DataError) as error:
        read_predicted({"source_id": NAMES, "predicted": ["odd one"] * 5}, CLASSES)
    assert shlex.split(re.search(r"\((--label .*?)\)", str(error.value))[1]) == ["--label", "odd one=CLASS"]


def test_of_two_columns_of_classes_that_of_predictions_is_advised():
    table = {"source_id": NAMES, "class": ["FRI"] * 5, "predicted": ["Bent"] * 5}
    with pytest.raises(SpecError, match="could be any of the columns predicted, class") as error:
        read_predicted(table, CLASSES)
    said = dict([advised(error, "--column").split("=")])
    assert read_predicted(table, CLASSES, PredictedColumns(said)).logits.argmax(axis=1).tolist() == [3] * 5


def test_the_advice_for_half_a_position_works():
    table = of(CLASSES, ra_h=[1.0] * 5, dec=[2.0] * 5)
    with pytest.raises(SpecError) as error:
        read_predicted(table, CLASSES)
    ways = [
        way.rstrip(";").split("=")
        for way in re.findall(r"--column (\S+)", str(error.value).replace(",", " "))
    ]
    assert ways == [["ra", "ra_h"], ["dec", ""]]
    assert read_predicted(table, CLASSES, PredictedColumns(dict(ways[:1]))).ra.tolist() == [15.0] * 5
    assert np.isnan(read_predicted(table, CLASSES, PredictedColumns(dict(ways[1:]))).ra).all()


def test_the_advice_for_two_columns_of_a_kind_works():
    for heads, more in ((("Compact", "FRI", "FR1", "Bent"), {"FRII": P[:, 2]}), (CLASSES, {"name": NAMES})):
        table = of(heads, **more)
        with pytest.raises(SpecError, match="could be any of") as error:
            read_predicted(table, CLASSES)
        said = dict([advised(error, "--column").split("=")])
        assert read_predicted(table, CLASSES, PredictedColumns(said)).given == "probabilities"


def test_classes_are_votes_and_words_for_them_can_be_said():
    table = {"source_id": NAMES, "predicted": ["FRI", "WAT", "fr2", "", "Compact"]}
    found = read_predicted(table, CLASSES)
    assert found.given == "classes"
    assert found.logits[[0, 1, 2, 4]].argmax(axis=1).tolist() == [1, 3, 2, 0]
    assert np.isnan(found.logits[3]).all()
    assert set(found.logits[0].tolist()) == {0.0, -1.0}
    numbers = {"source_id": NAMES, "prediction": np.array([0, 1, 2, 3, 0])}
    with pytest.raises(DataError, match=r"unknown label '0'.*--label 0=CLASS"):
        read_predicted(numbers, CLASSES)
    said = PredictedColumns(labels=dict(zip("0123", CLASSES, strict=True)))
    assert read_predicted(numbers, CLASSES, said).logits.argmax(axis=1).tolist() == [0, 1, 2, 3, 0]


def test_the_true_class_is_not_taken_for_a_prediction():
    with pytest.raises(SpecError, match="no column tells probabilities, logits or a predicted class"):
        read_predicted({"source_id": NAMES, "label": ["FRI"] * 5}, CLASSES)
    both = {"source_id": NAMES, "label": ["FRI"] * 5, "predicted": ["Bent"] * 5}
    assert read_predicted(both, CLASSES).logits.argmax(axis=1).tolist() == [3] * 5


def test_probabilities_lead_unless_something_else_is_asked_for():
    table = of([f"p_{name}" for name in CLASSES], predicted=["Bent"] * 5)
    assert read_predicted(table, CLASSES).given == "probabilities"
    assert read_predicted(table, CLASSES, PredictedColumns(given="classes")).given == "classes"


def test_columns_with_other_names_can_be_said():
    table = of(["a", "b", "c", "d"])
    said = PredictedColumns(mapping=dict(zip(CLASSES, "abcd", strict=True)))
    np.testing.assert_allclose(np.exp(read_predicted(table, CLASSES, said).logits), P, rtol=1e-6)
    with pytest.raises(SpecError, match="no column 'e'"):
        read_predicted(table, CLASSES, PredictedColumns(mapping={"FRI": "e"}))
    with pytest.raises(SpecError, match="a, c, d are there; a column for FRI is missing"):
        read_predicted(table, CLASSES, replace(said, mapping=said.mapping | {"FRI": ""}))
    with pytest.raises(SpecError, match="FRIII.*legal are"):
        read_predicted(table, CLASSES, PredictedColumns(mapping={"FRIII": "a"}))


def test_a_probability_of_0_counts_as_a_little_and_is_said():
    p = np.array([[1.0, 0, 0, 0]] * 5)
    found = read_predicted(of(CLASSES, p), CLASSES)
    assert np.isfinite(found.logits).all()
    np.testing.assert_allclose(found.logits[0, 1], np.log(LEAST), rtol=1e-6)
    assert "5 rows with a probability of 0" in found.remarks[0]


def test_an_empty_row_says_nothing_and_half_a_row_is_an_error():
    p = P.copy()
    p[2] = np.nan
    assert np.isnan(read_predicted(of(CLASSES, p), CLASSES).logits).all(axis=1).tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]
    p[2, 0] = 0.5
    with pytest.raises(DataError, match=r"row 3 \(J2\)"):
        read_predicted(of(CLASSES, p), CLASSES)


@pytest.mark.parametrize(
    ("heads", "values", "why"),
    [
        (CLASSES, P * 2, r"row 1 \(J0\): .* sum to 2; .*--given logits"),
        (CLASSES, P * 100, "sum to 100; .*; divide percentages by 100$"),
        (CLASSES, P * [[1], [1.03], [1], [1], [1]], r"row 2 \(J1\): .* sum to 1.03; .* are needed$"),
        (CLASSES, np.array([[1.2, -0.2, 0, 0]] * 5), "probabilities from 0 to 1"),
        ([f"logit_{name}" for name in CLASSES], P, "so they are probabilities"),
        (("Compact", "FRI", "FRII", "x"), P, "Compact, FRI, FRII are there; a column for Bent is"),
        (("Compact", "FRI", "FR1", "Bent"), P, "FRI could be any of the columns FRI, FR1"),
    ],
)
def test_what_is_no_prediction_is_refused_with_the_reason(heads, values, why):
    with pytest.raises(RgbenchError, match=why):
        read_predicted(of(heads, values), CLASSES)


def test_rounded_probabilities_are_taken():
    read_predicted(of(CLASSES, P.round(2)), CLASSES)


def test_rows_may_have_positions_or_files_in_place_of_names():
    placed = {"RA": [10.0, 20.0], "Dec": [1.0, 2.0], "predicted": ["FRI", "FRII"]}
    found = read_predicted(placed, CLASSES)
    assert (found.name.tolist(), found.ra.tolist(), found.place(1)) == (
        ["", ""],
        [10.0, 20.0],
        "20.0000 +2.0000",
    )
    filed = {"file": ["a/J1.fits", "J2.fits.gz"], "predicted": ["FRI", "FRII"]}
    assert read_predicted(filed, CLASSES).name.tolist() == ["J1", "J2"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.sampled_from('source_id,predicted\np_FRI"0.51e-;ÿ \r'), max_size=80))
def test_any_text_is_a_table_or_an_error_of_ours(tmp_path, text):
    path = tmp_path / "any.csv"
    path.write_text(f"source_id,p_FRI,p_FRII\n{text}", encoding="utf8")
    with suppress(RgbenchError):
        found = read_predicted(path, ("FRI", "FRII"))
        assert found.logits.shape == (len(found.name), 2)
        assert not np.isinf(found.logits).any()


def test_a_table_without_rows_holds_no_prediction():
    for empty in ({}, {"id": [], "p_FRI": [], "p_FRII": []}):
        with pytest.raises(DataError, match="the columns given: holds no prediction"):
            read_predicted(empty, ("FRI", "FRII"))
