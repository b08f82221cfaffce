"""rgbench replicate: lists papers, runs the study of one, says of each number whether ours contradicts it."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from rgbench.cli.work.papers import list_papers, replicate
from rgbench.comparison.published import paper_names
from rgbench.errors import SpecError

PAPER = """
citation = "Nobody 2020"
read = "the abstract"
note = "a paper that there is not"

[[tests]]
data = "first-galaxy-data"
split = "the published one"
protocol = "one pass"
n_test = 200
our_splits = ["published"]
kind = "replication"
values = [
    { network = "mcrgnet", metric = "accuracy", value = 0.999, where = "table 1", confidence = "C" },
    { method = "a network of theirs", metric = "accuracy", value = 0.5, where = "table 2", confidence = "C" },
]

[[studies]]
networks = ["mcrgnet"]
seeds = [8901]
protocol = "modern"
[studies.data]
name = "first-galaxy-data"
[studies.images]
field = 48
size = 48
[studies.recipe]
epochs = 1
views = 1
"""


def printed(console):
    return " ".join(console.file.getvalue().split())


@pytest.fixture
def console():
    return Console(file=StringIO(), width=200)


def test_papers_are_listed_with_what_there_is_to_run(console):
    list_papers(console)
    said = printed(console)
    assert all(name in said for name in paper_names())
    assert "15 runs on first-galaxy-data (comparison)" in said
    assert "12 runs on fr-deep-first (comparison and replication), 12 runs on mirabest-two-class" in said
    assert "its test sets cannot be had" in said


@pytest.mark.slow
def test_a_paper_is_run_and_judged(tmp_path, console):
    path = tmp_path / "nobody2020.toml"
    path.write_text(PAPER, encoding="utf8")
    replicate(str(path), tmp_path / "store", "cpu", console)
    said = printed(console)
    assert "a paper that there is not" in said
    assert "published 0.999; ours (mcrgnet)" in said
    assert "200 sources, one run): below, i.e. worse, by" in said
    assert "cannot be said because this network is not registered here (table 2)" in said
    assert "1 of 2 numbers can be compared, of which 1 is below; this is a replication" in said


def test_a_paper_without_a_study_says_so_and_one_that_is_not_there_too(tmp_path, console):
    replicate("ndungu2024", tmp_path, "cpu", console)
    assert "there is nothing to run" in printed(console)
    assert not list(tmp_path.glob("runs"))
    with pytest.raises(SpecError, match="no paper 'ndungu2042'"):
        replicate("ndungu2042", tmp_path, "cpu", console)
