"""Published numbers as data: every file is whole, and mistakes name file, table, key and what is legal."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rgbench.comparison.published import find_paper, paper_names, read_paper
from rgbench.data.sets import data_names, load_data
from rgbench.errors import SpecError
from rgbench.networks import network_names
from rgbench.spec import resolve

GOOD = """
citation = "Nobody 2020"
read = "the abstract"
[[tests]]
data = "first-galaxy-data"
split = "folds"
protocol = "theirs"
our_splits = ["fold-0"]
kind = "replication"
[[tests.values]]
network = "mcrgnet"
metric = "accuracy"
value = 0.8
where = "table 1"
confidence = "C"
"""


@pytest.mark.parametrize("name", paper_names())
def test_every_paper_is_whole(name):
    paper = find_paper(name)
    assert paper.name == name
    assert "tables" not in paper.read or name in ("shabih2024", "becker2021"), "no table of a paper was read"
    for test in paper.tests:
        assert test.data == "" or test.data in data_names()
        for value in test.values:
            assert value.title
            assert set(value.networks) <= set(network_names())
    for study in paper.studies:
        assert resolve(study, "")
        assert study.name.startswith(name)


def test_a_study_that_is_there_can_give_what_is_asked():
    """Where a number can be compared and the paper has a study, the study runs those networks on those splits."""
    for paper in map(find_paper, paper_names()):
        asked = {n for t in paper.tests if t.our_splits for v in t.values for n in v.networks}
        if not paper.studies:
            assert not asked, f"{paper.name}: no study for {asked}"
            continue
        for test in paper.tests:
            if test.our_splits:
                study = next(s for s in paper.studies if s.data.name == test.data)
                assert {n for v in test.values for n in v.networks} <= set(study.networks)
                assert set(study.splits or (study.data.split,)) <= set(test.our_splits)


def test_the_numbers_to_beat_are_there_and_none_of_2021():
    (test,) = find_paper("rustige2023").tests
    best = {(v.metric, v.value, v.uncertainty) for v in test.values if v.title == "CNN + wGAN (lambda 3)"}
    assert {("accuracy", 0.8135, 0.008), ("macro_f1", 0.813, None), ("brier", 0.293, 0.0266)} <= best
    assert max(v.value for v in test.values if v.metric == "accuracy") == 0.8135
    assert all(not test.values for test in find_paper("becker2021").tests)


def test_what_an_abstract_does_not_say_is_no_number_of_ours():
    """The abstract of Slijepcevic et al. says "by up to half", and an error of 7.79 % for 145 labels."""
    paper = find_paper("slijepcevic2024")
    assert sorted(value.value for test in paper.tests for value in test.values) == [0.9221, 0.98]
    assert "by up to half" in paper.note
    assert {value.where for test in paper.tests for value in test.values} == {
        "README",
        "abstract (error 7.79 %)",
    }


@pytest.mark.slow
def test_test_sets_have_the_sizes_that_papers_say():
    for paper in map(find_paper, paper_names()):
        for test in paper.tests:
            if test.data == "first-galaxy-data" and test.our_splits:
                splits = load_data(test.data).splits
                assert {int((splits[s] == "test").sum()) for s in test.our_splits} == {test.n_test}


@pytest.mark.parametrize("data", ["fr-deep-first", "mirabest-two-class"])
def test_uncertainties_over_three_runs_are_possible(data):
    """Three runs on n sources: the mean is a multiple of 1/(3 n), and so is what the spread comes from."""
    tests = [test for test in find_paper("shabih2024").tests if test.data == data]
    for n, value in ((test.n_test, value) for test in tests for value in test.values):
        right = round(value.value * 3 * n)
        # Published in per cent with two digits, a mean of values that had been rounded to as many.
        assert right / (3 * n) == pytest.approx(value.value, abs=1.1e-4)
        possible = {
            float(np.std([a, b, right - a - b])) / n
            for a in range(n + 1)
            for b in range(n + 1)
            if 0 <= right - a - b <= n
        }
        assert min(abs(value.uncertainty - one) for one in possible) < 1.1e-4, (
            "a population standard deviation"
        )


def test_a_good_file_is_read(tmp_path):
    path = tmp_path / "nobody2020.toml"
    path.write_text(GOOD)
    paper = read_paper(path)
    assert paper.name == "nobody2020"
    assert paper.tests[0].values[0].networks == ("mcrgnet",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"C"', '"R"', r"tests 1, values 1: key 'confidence': .*'C' or 'A', found 'R'"),
        ('"accuracy"', '"acc"', r"key 'metric': must be one of .*accuracy.*f1.*, found 'acc'"),
        ("0.8", "80.0", r"value must lie between 0 and 1: fractions, not percent"),
        (
            'network = "mcrgnet"',
            'network = "mcrgnett"',
            r"key 'network': unknown network .*did you mean mcrgnet",
        ),
        ('network = "mcrgnet"', "", r"network .* or method .* is needed"),
        ('"first-galaxy-data"', '"first-galaxy"', r"tests 1: key 'data': unknown data set .*did you mean"),
        ('our_splits = ["fold-0"]', "", "our_splits .* or differs .* is needed"),
        ('kind = "replication"', "", 'our_splits goes with kind: "replication" or "comparison"'),
        (
            "value = 0.8",
            'value = 0.8\nagainst = ["convxpress"]',
            'kind must be "comparison": other networks are set against mcrgnet',
        ),
        ("value = 0.8", "valu = 0.8", "unknown key 'valu'; did you mean 'value'"),
        ("value = 0.8", "value = 0.8\nuncertainty = 0.1", "uncertainty and uncertainty_is go together"),
        ('where = "table 1"', "", "key 'where' is missing"),
        ('read = "the abstract"', "", "key 'read' is missing"),
        ("[[tests]]", "[tests]", r"key 'tests': must be a list of tables, \[\[tests\]\]"),
        ("citation", "[", "is not TOML"),
    ],
)
def test_mistakes_name_file_table_and_key(tmp_path, old, new, message):
    path = tmp_path / "nobody2020.toml"
    assert old in GOOD
    path.write_text(
        GOOD.replace(old, new, 1).replace(
            "[[tests.values]]", "[[tests.values]]" if new != "[tests]" else "[[x]]"
        )
    )
    with pytest.raises(SpecError, match=message) as caught:
        read_paper(path)
    assert "nobody2020.toml" in str(caught.value)


def test_a_study_that_is_wrong_and_a_paper_that_is_not_there(tmp_path):
    path = tmp_path / "nobody2020.toml"
    path.write_text(GOOD + '[[studies]]\nnetworks = ["mcrgnett"]\n')
    with pytest.raises(SpecError, match=r"studies 1: unknown network 'mcrgnett'; did you mean mcrgnet"):
        read_paper(path)
    path.write_text(GOOD + "[[studies]]\nseeds = [1]\n")
    with pytest.raises(SpecError, match=r"studies 1: key 'networks' is missing"):
        read_paper(path)
    with pytest.raises(SpecError, match="cannot be read"):
        read_paper(tmp_path / "none.toml")
    with pytest.raises(SpecError, match="no paper 'nobody2020': give a TOML file, or one of alhassan2018"):
        find_paper("nobody2020")
    assert all(a < b for a, b in pairwise(paper_names()))
