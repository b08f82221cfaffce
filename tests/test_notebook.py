"""How things show themselves in a notebook, and the tables that they give."""

from __future__ import annotations

import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import rgbench
from rgbench.errors import SpecError
from rgbench.images.domain import Oddity
from rgbench.networks.cards import NetworkCard
from rgbench.networks.catalogue import networks
from rgbench.notebook import MOST, ends, html_facts, html_table
from rgbench.references import Paper
from rgbench.runs.classify import Classified
from rgbench.store.tables import Predictions

NASTY = "<script>alert(1)</script>&\"'\x1b[31m"


class Page(HTMLParser):
    """Reads HTML: the rows of its table, its tags, and whether they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data
        if self.open[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += data


def test_text_is_text_and_there_is_no_colour():
    html = html_table(NASTY, [{NASTY: NASTY}], [NASTY])
    page = Page(html)
    assert set(page.tags) == {"div", "strong", "table", "thead", "tbody", "tr", "th", "td", "p"}
    assert page.words.count("<script>alert(1)</script>&\"'\\x1b[31m") == 4
    assert html.count("color") == html.count("color: inherit") == 1
    assert "background" not in html


def test_of_a_long_table_the_ends_are_shown():
    rows = [{"n": str(i)} for i in ends(1000)]
    page = Page(html_table("Long", rows, n=1000))
    assert [row[0] for row in page.rows] == ["n", *map(str, range(10)), "...", *map(str, range(990, 1000))]
    assert "980 rows in the middle left out." in page.words
    assert len(Page(html_table("Short", rows[:3], n=3)).rows) == 4
    assert "left out" not in html_table("Whole", [{"n": ""}] * MOST, n=MOST)
    assert "Empty" in html_table("Empty", [])
    bare = Page(html_table("Bare", [{"name": "a", "remarks": ""}]))
    assert bare.rows == [["name"], ["a"]]


def test_a_long_text_is_cut_and_what_is_not_known_is_left_out():
    page = Page(html_facts("Facts", {"long": "x" * 10_000, "none": ""}))
    (row,) = page.rows
    assert row[0] == "long"
    assert len(row[1]) < 500


def test_a_comparison_shows_its_answer_and_gives_its_numbers(make_run):
    runs = [
        make_run(name, seed, skill) for name, skill in (("lenet", 0.9), ("mcrgnet", 0.5)) for seed in (1, 2)
    ]
    found = rgbench.compare(runs)
    page = Page(found._repr_html_())
    assert page.rows[0][:3] == ["network", "MPCA %", "95 % interval"]
    assert "remarks" not in page.rows[0]
    assert [row[0] for row in page.rows[1:]] == ["lenet", "mcrgnet"]
    mean = 100 * found.rows[0].metrics["mpca"].mean
    assert page.rows[1][1].startswith(f"{mean:.1f} ± ")
    for line in found.words:
        assert line in page.words
    table = found.to_astropy()
    assert table["network"].tolist() == ["lenet", "mcrgnet"]
    for row, estimates in zip(table, (row.metrics for row in found.rows), strict=True):
        for name, estimate in estimates.items():
            np.testing.assert_equal(row[name], estimate.mean)
            np.testing.assert_equal(row[f"{name}_low"], estimate.low)
    assert table["parameters"].tolist() == [1000, 1000]
    assert table["views"].tolist() == [run.spec.recipe.views for run in runs[::2]]
    for row, recalls in zip(table, (row.recalls for row in found.rows), strict=True):
        for name, recall in zip(found.classes, recalls, strict=True):
            ends = [row[f"recall_{name}{end}"] for end in ("", "_spread", "_low", "_high")]
            np.testing.assert_equal(ends, [recall.mean, recall.spread, recall.low, recall.high])


def test_a_comparison_of_failed_runs_shows_dashes(make_run):
    run = make_run("lenet", 1, 0.9)
    failed = type(run)(run.run_id, run.spec, "failed", "no <memory>")
    found = rgbench.compare([failed])
    (_, row) = Page(found._repr_html_()).rows
    assert row[1:3] == ["–", "–"]
    assert "no <memory>" in row[-1]
    assert found.to_astropy()["status"].tolist() == ["failed"]


def test_a_run_shows_itself_in_a_few_lines(make_run):
    run = make_run("lenet", 7, 0.9)
    assert repr([run]) == f"[<run {run.run_id}: lenet, seed 7, complete>]"
    page = Page(run._repr_html_())
    facts = {row[0]: row[1] for row in page.rows}
    assert facts["parameters"] == "1.00 k"
    assert facts["status"] == "complete"
    assert "device" not in facts
    assert run.to_astropy()["train_loss"].tolist() == run.history["train_loss"].tolist()
    failed = type(run)(run.run_id, run.spec, "failed", NASTY)
    assert "failed: <script>" in Page(failed._repr_html_()).words


def test_predictions_show_their_classes_and_give_probabilities(make_run):
    found: Predictions = make_run("lenet", 1, 0.9).predictions
    page = Page(found._repr_html_())
    assert len(page.rows) == MOST + 2
    table = found.to_astropy()
    assert len(table) == len(found)
    np.testing.assert_array_equal(
        np.stack([table[f"p_{name}"] for name in found.classes], axis=1), found.probabilities()
    )
    assert [found.classes.index(name) for name in table["label"]] == found.label.tolist()
    assert [found.classes.index(name) for name in table["class"]] == found.logits.argmax(axis=1).tolist()
    assert page.rows[1][:6] == ["t0s0", "test", "best", "clean", table["label"][0], table["class"][0]]


def test_predictions_without_label_or_class_say_nothing_there(make_run):
    found: Predictions = make_run("lenet", 1, 0.9).predictions.take(np.arange(2))
    found.label[0] = -1
    found.logits[1] = np.nan
    table = found.to_astropy()
    assert table["label"][0] == ""
    assert table["class"][1] == ""
    assert Page(found._repr_html_()).rows[2][-1] == "–"
    empty = found.take(np.zeros(0, dtype=int))
    assert "0 predictions" in empty._repr_html_()
    assert len(empty.to_astropy()) == 0


def test_classified_images_show_what_was_set_aside_too():
    p = np.array([[0.9, 0.1], [np.nan, np.nan]])
    found = Classified(
        ["a.fits", "b.fits"],
        ("Compact", "FRI"),
        p,
        [("c.fits", "is no image")],
        spread=np.zeros(2),
        unlike=np.zeros(2),
        oddities=[Oddity(0), Oddity(0)],
        ra=np.array([10.0, 11.0]),
        dec=np.zeros(2),
        made_by="first-1",
    )
    page = Page(found._repr_html_())
    assert [row[:3] for row in page.rows[1:]] == [["a", "Compact", "0.90"], ["b", "", "–"], ["c", "", "–"]]
    assert page.rows[3][-1] == "is no image"
    table = found.to_astropy()
    assert len(table) == 3
    assert str(table["ra"].unit) == "deg"


def test_a_card_of_a_network_shows_paper_and_layers():
    card = networks().get("mcrgnet")
    facts = {row[0]: row[1] for row in Page(card._repr_html_()).rows}
    assert card.paper.citation in facts["paper"]
    assert facts["layers"].startswith(card.layers[:50])
    own = NetworkCard("own", NASTY, Paper(NASTY), "", factory="mine:make")
    assert Page(own._repr_html_()).words.count("<script>") == 2


def test_pandas_gives_the_same_columns(make_run):
    pytest.importorskip("pandas", reason="needs pandas: pip install 'rgbench[pandas]'")
    found = make_run("lenet", 1, 0.9).predictions
    frame, table = found.to_pandas(), found.to_astropy()
    assert list(frame.columns) == table.colnames
    assert frame["p_FRI"].tolist() == table["p_FRI"].tolist()
    assert frame["class"].tolist() == table["class"].tolist()


def test_without_pandas_the_extra_is_named(make_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    said = r"^to_pandas needs the package pandas: pip install 'rgbench\[pandas\]'$"
    with pytest.raises(SpecError, match=said):
        make_run("lenet", 1, 0.9).predictions.to_pandas()
