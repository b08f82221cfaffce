"""What labels mean: usual words, one's own, those that are left out, and messages that can be followed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rgbench.data.catalogue import CLASSES
from rgbench.data.own.labels import CLASS_WORDS, LabelRule, read_labels
from rgbench.errors import DataError, SpecError


def read(words: list[str], rule: LabelRule):
    names = np.array([f"s{i}" for i in range(len(words))])
    return read_labels(Path("t.csv"), np.array(words), names, rule)


def test_usual_words_are_their_classes():
    words = [
        "WAT",
        "nat",
        "HT",
        "wide-angle tail",
        "Head Tail",
        "FR1",
        "FR-I",
        "FR II",
        "fr_ii",
        "COMP",
        "Bent-Tail",
    ]
    expected = ["Bent"] * 5 + ["FRI"] * 2 + ["FRII"] * 2 + ["Compact", "Bent"]
    assert read(words, LabelRule()).classes.tolist() == expected
    assert tuple(CLASS_WORDS) == CLASSES


def test_a_word_stands_for_one_class():
    folded = [
        word.casefold().replace(" ", "").replace("-", "") for words in CLASS_WORDS.values() for word in words
    ]
    assert len(folded) == len(set(folded))


def test_words_of_classes_that_are_not_legal_are_not_understood():
    with pytest.raises(DataError, match="unknown label 'WAT'"):
        read(["WAT"], LabelRule(classes=("FRI", "FRII")))
    assert read(["WAT", "x"], LabelRule(classes=())).classes.tolist() == ["WAT", "x"]


def test_the_class_of_a_mapping_may_be_in_small_letters_and_beats_the_usual_word():
    rule = LabelRule(mapping={"odd": "bent", "WAT": "fr-i"})
    assert read(["ODD", "wat", "NAT"], rule).classes.tolist() == ["Bent", "FRI", "Bent"]
    with pytest.raises(
        SpecError,
        match=r"'odd' is mapped to 'unlabelled'; legal are .* To leave sources out.*--leave-out odd",
    ):
        LabelRule(mapping={"odd": "unlabelled"})


def test_what_is_left_out_is_counted_by_its_word():
    found = read(["FRI", "hybrid", "Hybrid", ""], LabelRule(unlabelled=("Hybrid", "DD")))
    assert found.classes.tolist() == ["FRI", "", "", ""]
    assert found.left_out == {"Hybrid": 2, "DD": 0}


def test_an_unknown_label_is_told_with_the_options_and_keys_that_help():
    with pytest.raises(DataError) as caught:
        read(["FRI", "Hybrid"], LabelRule())
    said = str(caught.value)
    assert said.startswith("t.csv, row 2 (s1): unknown label 'Hybrid'; ")
    for help in ("--label WORD=CLASS", "labels = {", "--leave-out WORD", "leave_out = ["):
        assert help in said


def test_signs_and_points_of_numbers_count_in_labels():
    """-1, which often means "not classified", was taken for 1."""
    rule = LabelRule(mapping={"1": "FRII", "-1": "Compact", "1_0": "FRI"})
    assert [rule.class_of(word) for word in ("1", "-1", "1_0", "10", " 1 ")] == [
        "FRII",
        "Compact",
        "FRI",
        "",
        "FRII",
    ]
    assert LabelRule(mapping={"1": "FRII"}, unlabelled=("-1",)).class_of("1") == "FRII"


def test_one_label_cannot_be_two_classes():
    with pytest.raises(
        SpecError, match="'wide tail' and 'WIDE-TAIL' are one label, and mapped to 'Bent' and 'FRI'"
    ):
        LabelRule(mapping={"wide tail": "Bent", "WIDE-TAIL": "FRI"})
