"""Scores where several catalogues agree: against counts by hand and other people's code, in report and answer."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score
from statsmodels.stats.proportion import proportion_confint

from rgbench.comparison.known_scores import known_scores
from rgbench.comparison.label_consensus import known_classes
from rgbench.comparison.summary import compare
from rgbench.comparison.words.known_scores import with_known_scores
from rgbench.data.catalogue import CLASSES, Catalogue
from rgbench.data.sets import first_consensus, load_data
from rgbench.report import page
from rgbench.report.material import Runs

pytestmark = pytest.mark.slow

N = 200


@pytest.fixture(scope="module")
def first():
    return load_data("first-galaxy-data")


@pytest.fixture(scope="module")
def agreed():
    """Class of each source of first-consensus, from its own loader."""
    known = first_consensus.load()
    return {
        str(name): CLASSES[label]
        for name, label in zip(known.catalogue.source_id, known.catalogue.label, strict=True)
    }


@pytest.fixture(scope="module")
def records(runs, first):
    """Three networks on the published test side of first-galaxy-data, with its published labels."""
    test = np.flatnonzero(first.splits["published"] == "test")
    made = runs(names=first.catalogue.source_id[test])
    truth = dict(zip(first.catalogue.source_id.tolist(), first.catalogue.label.tolist(), strict=True))
    return [relabelled(record, truth) for record in made]


def relabelled(record, truth):
    """Give a run with other labels of its test sources, and answers that are right of two in three."""
    table = record.predictions
    label = np.array([truth.get(str(name), 0) for name in table.source_id])
    rng = np.random.default_rng([record.spec.seed, len(record.spec.network.name)])
    said = np.where(rng.random(len(label)) < 2 / 3, label, rng.integers(0, 4, len(label)))
    logits = (3 * np.eye(4)[said]).astype(np.float32)
    return replace(record, predictions=replace(table, label=label, logits=logits))


def test_the_names_are_those_of_the_set(agreed):
    assert known_classes() == agreed


def test_scores_are_those_of_a_count_by_hand(records, agreed):
    found = known_scores(compare(records), records)
    assert found.n == sum(name in agreed for name in records[0].predictions.select("test", "best").source_id)
    assert found.n == 45
    assert found.counts == {"Compact": 1, "FRI": 7, "FRII": 26, "Bent": 11}
    assert (found.n_test, found.relabelled) == (N, 0)
    assert {score.network for score in found.scores} == {"convxpress", "mcrgnet", "radio-galaxy-zoo"}
    for score in found.scores:
        right, f1 = [], []
        for record in records:
            if record.spec.network.name != score.network:
                continue
            table = record.predictions.select("test", "best")
            rows = [i for i, name in enumerate(table.source_id.tolist()) if name in agreed]
            said = [CLASSES[i] for i in table.logits[rows].argmax(axis=1)]
            truth = [agreed[table.source_id[i]] for i in rows]
            right.append(np.mean([a == b for a, b in zip(said, truth, strict=True)]))
            f1.append(f1_score(truth, said, labels=CLASSES, average="macro", zero_division=0))
        assert score.n == 45
        assert score.consensus["accuracy"].mean == pytest.approx(np.mean(right))
        assert score.consensus["macro_f1"].mean == pytest.approx(np.mean(f1))
        assert score.published == score.consensus, "no label differs"


def test_the_interval_of_a_single_run_is_wilsons(records):
    (one,) = [r for r in records if r.spec.network.name == "mcrgnet" and r.spec.seed == 1826]
    (score,) = known_scores(compare([one]), [one]).scores
    accuracy = score.consensus["accuracy"]
    low, high = proportion_confint(round(45 * accuracy.mean), 45, method="wilson")
    assert (accuracy.low, accuracy.high) == pytest.approx((low, high), abs=1e-6)
    assert score.consensus["macro_f1"].high - score.consensus["macro_f1"].low > 0.1


def test_published_labels_that_differ_are_scored_apart(records, agreed):
    """Ten known sources get another published label: the score on the consensus stays, the other one moves."""
    changed = set(sorted(set(records[0].predictions.source_id.tolist()) & set(agreed))[:10])

    def turned(record):
        table = record.predictions
        flip = np.array([name in changed for name in table.source_id.tolist()])
        return replace(
            record, predictions=replace(table, label=np.where(flip, (table.label + 1) % 4, table.label))
        )

    others = [turned(record) for record in records]
    before, after = (known_scores(compare(each), each) for each in (records, others))
    assert after.relabelled == 10
    assert after.counts == before.counts
    was = {score.network: score for score in before.scores}
    for score in after.scores:
        assert score.consensus["accuracy"].values == was[score.network].consensus["accuracy"].values
        assert score.published["accuracy"].mean < score.consensus["accuracy"].mean
    (said, _, labels, *_) = section(others).sentences
    assert "45 of the 200 test sources" in said
    assert labels.startswith("For 10 of these 45 sources the published label is another class")


def section(records):
    comparison = with_known_scores(compare(records), records)
    return page.make(Runs.of(comparison, records)).section("known")


def test_the_section_and_its_table(records):
    comparison = with_known_scores(compare(records), records)
    made = section(records)
    (table,) = made.tables
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [(row["labels"], row["sources"]) for row in rows] == 3 * [
        ("what catalogues agree on", "45"),
        ("published, same sources", "45"),
        ("published, all sources", "200"),
    ]
    for score, own in zip(comparison.known.scores, (rows[0], rows[3], rows[6]), strict=True):
        assert own["network"] == score.network
        assert float(own["accuracy %"]) == pytest.approx(100 * score.consensus["accuracy"].mean)
        assert float(own["95 % interval of macro F1 low"]) == pytest.approx(
            100 * score.consensus["macro_f1"].low
        )
    for row in comparison.rows:
        (own,) = [r for r in rows if r["network"] == row.network and r["sources"] == "200"]
        assert float(own["accuracy %"]) == pytest.approx(100 * row.metrics["accuracy"].mean)
    assert "45 sources are few" in made.sentences[1]
    assert "1 Compact, 7 FRI, 26 FRII and 11 Bent" in made.sentences[3]


def test_the_answer_says_it_last_and_keeps_the_rest(records):
    before = compare(records)
    after = with_known_scores(before, records)
    assert after.words[: len(before.words)] == before.words
    best = after.known.scores[0]
    assert (
        f"On these {best.network} is right for {100 * best.consensus['accuracy'].mean:.1f} %"
        in after.words[-2]
    )
    assert "not the fault of the labels" in after.words[-1]


def test_there_is_no_section_where_nothing_is_agreed_on(made, records, runs, agreed):
    assert all(anchor != "known" for anchor, _ in page.make(Runs.of(made.comparisons, made.records)).menu)
    whole = compare(records)
    assert known_scores(replace(whole, data="first-consensus"), records) is None, (
        "the labels are those agreed on"
    )
    assert known_scores(replace(whole, classes=("FRI", "FRII")), records) is None
    strange = [replace(r, predictions=r.predictions.take(r.predictions.split == "test")) for r in records[:1]]
    names = np.array([f"x{i}" for i in range(len(strange[0].predictions))])
    strange = [replace(strange[0], predictions=replace(strange[0].predictions, source_id=names))]
    assert with_known_scores(compare(strange), strange).known is None


def test_sources_under_other_names_are_found_by_their_images(records, first):
    """As those of lrg-first are: `image_id` tells which image of first-galaxy-data a source has."""
    old = first.catalogue.source_id
    named = {str(name): f"LRG {i}" for i, name in enumerate(old)}
    data = replace(
        first,
        catalogue=replace(
            first.catalogue, source_id=np.array([named[str(n)] for n in old]), extra={"image_id": old}
        ),
    )
    assert isinstance(data.catalogue, Catalogue)
    others = [
        replace(
            r,
            predictions=replace(
                r.predictions,
                source_id=np.array([named.get(str(n), str(n)) for n in r.predictions.source_id]),
            ),
        )
        for r in records
    ]
    assert known_scores(compare(others), others) is None
    assert (
        known_scores(compare(others), others, data).counts == known_scores(compare(records), records).counts
    )
