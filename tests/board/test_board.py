"""A board says what the predictions say, whatever its bundles state."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import zipfile
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from rgbench.board.build import build_board
from rgbench.board.entries import fields
from rgbench.board.names import Names
from rgbench.board.standing import letters, stand
from rgbench.board.task import TaskPage
from rgbench.board.words import terms
from rgbench.bundles.read import read_bundle
from rgbench.bundles.statements import Stated
from rgbench.bundles.write import BundleSpec, write_bundle
from rgbench.comparison.summary import compare
from rgbench.errors import DataError, SpecError
from rgbench.measures.catalogue import metrics
from rgbench.tasks.catalogue import tasks

TASK = "rgbench/first-4class@1"
STEM = "task-rgbench-first-4class-1"


@pytest.fixture(scope="module")
def told(site):
    return json.loads((site / f"{STEM}.json").read_text(encoding="utf8"))


@pytest.fixture
def one(filled_store, tmp_path):
    """Write a bundle of one network."""

    def make(name, skill=0.7, by="Jane", seeds=(1,), task=TASK, **changes):
        store = filled_store(tmp_path / name, {"lenet": skill}, seeds=seeds, **changes)
        path = tmp_path / f"{name}.zip"
        write_bundle(store, path, BundleSpec(Stated(by), tasks().get(task) if task else None))
        return path

    return make


def test_scores_are_those_of_the_predictions(bundles, told):
    records = sorted(read_bundle(bundles[0]).records, key=lambda record: record.spec.seed)
    expected = {row.network: row for row in compare(records).rows}
    assert len(told["entries"]) == 6
    for entry in told["entries"]:
        if entry["bundle"]["file"] != "bundles/one.zip":
            continue
        own = expected[entry["network"]]
        assert entry["metrics"]["mpca"]["mean"] == own.metrics["mpca"].mean
        assert entry["metrics"]["mpca"]["low"] == own.metrics["mpca"].low
        assert entry["metrics"]["mpca"]["values"] == list(own.metrics["mpca"].values)
    # By hand: the mean over the classes of the share that is right, then over the runs.
    for entry in told["entries"]:
        runs = [r for path in bundles for r in read_bundle(path).records if r.run_id in entry["runs"]]
        by_id = {run.run_id: run.predictions for run in runs}
        own = [by_id[run_id] for run_id in entry["runs"]]
        shares = [[(p.logits.argmax(1) == p.label)[p.label == k].mean() for k in range(4)] for p in own]
        assert np.allclose(entry["metrics"]["mpca"]["values"], np.mean(shares, axis=1))
        assert np.isclose(entry["metrics"]["mpca"]["mean"], np.mean(shares))


def test_entries_share_a_letter_exactly_if_they_are_not_told_apart(told):
    groups = {entry["label"]: set(entry["groups"]) for entry in told["entries"]}
    separable = {frozenset((pair["first"], pair["second"])): pair["separable"] for pair in told["pairs"]}
    assert len(separable) == 15
    for first, second in combinations(groups, 2):
        assert bool(groups[first] & groups[second]) != separable[frozenset((first, second))]
    assert told["groups"]["a"][0] == told["entries"][0]["label"]
    assert letters("acb12") == ["a", "c", "b12"]


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("mpca", "for all pairs together by step-down minP"),
        ("nll", "for the number of pairs by Holm's method"),
    ],
)
def test_tie_groups_say_how_p_values_of_their_metric_are_corrected(metric, said):
    standing = SimpleNamespace(card=metrics().get(metric), comparison=SimpleNamespace(confidence=0.95))
    meaning = dict(terms(standing))["tie group"]
    assert f"difference, corrected {said} (" in meaning
    assert "is not below 0.05" in meaning


def test_entries_of_other_protocols_are_compared_on_the_same_sources(told):
    labels = [entry["label"] for entry in told["entries"]]
    assert {"mcrgnet (modern)", "mcrgnet (sky)"} <= set(labels)
    (pair,) = [p for p in told["pairs"] if {p["first"], p["second"]} == {"mcrgnet (modern)", "mcrgnet (sky)"}]
    assert pair["separable"] is True


def test_a_number_that_a_bundle_states_is_not_looked_at(filled_store, tmp_path):
    store = filled_store(tmp_path / "s", {"lenet": 0.7}, seeds=(1,))
    (run_id,) = store.run_ids()
    cost = store.run_path(run_id) / "cost.json"
    cost.write_text(json.dumps(json.loads(cost.read_text()) | {"mpca": 0.9876, "accuracy": 0.9876}))
    write_bundle(store, tmp_path / "b.zip", BundleSpec(Stated("Jane"), tasks().get(TASK)))
    build_board([tmp_path / "b.zip"], tmp_path / "site")
    for path in (tmp_path / "site").glob("*.*"):
        assert "98.76" not in path.read_text(encoding="utf8")
        assert "98.8" not in path.read_text(encoding="utf8")
        assert "0.9876" not in path.read_text(encoding="utf8")
    (entry,) = json.loads((tmp_path / "site" / f"{STEM}.json").read_text())["entries"]
    assert entry["metrics"]["mpca"]["mean"] == pytest.approx(0.7, abs=0.1)


def test_runs_without_history_cost_and_second_view_are_shown(told):
    entry = told["entries"][-1]
    assert entry["stated_cost"] == {}
    assert entry["conditions"] == {}
    assert entry["statement"]["external_data"] == "yes"
    assert all(each["conditions"]["view-1"] for each in told["entries"][:-1])


def test_downloads_are_there_and_agree(site, bundles, told):
    with (site / f"{STEM}.csv").open(encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["MPCA %"]) for row in rows] == pytest.approx(
        [100 * entry["metrics"]["mpca"]["mean"] for entry in told["entries"]]
    )
    for row, entry in zip(rows, told["entries"], strict=True):
        content = (site / row["bundle"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["SHA-256"] == entry["bundle"]["sha256"]
    assert {(site / f"bundles/{path.name}").read_bytes() for path in bundles} == {
        p.read_bytes() for p in bundles
    }
    assert not any(cell.startswith(("=", "@")) for row in rows for cell in row.values())


def test_every_link_leads_to_a_file_and_nothing_comes_from_elsewhere(site):
    pages = sorted(site.glob("*.html"))
    assert len(pages) == 1 + 1 + 5
    for page in pages:
        text = page.read_text(encoding="utf8")
        for address in re.findall(r'(?:href|src)="([^"]*)"', text):
            if address.startswith(("#", "data:")):
                continue
            assert "://" not in address
            assert (site / address).is_file(), (page.name, address)
        assert "default-src 'none'" in text


@pytest.mark.slow
def test_the_same_bundles_give_the_same_pages(site, bundles, tmp_path):
    build_board(bundles, tmp_path / "again")
    found = {p.relative_to(site): p.read_bytes() for p in site.rglob("*") if p.is_file()}
    assert {
        p.relative_to(tmp_path / "again"): p.read_bytes()
        for p in (tmp_path / "again").rglob("*")
        if p.is_file()
    } == found


def test_labels_tell_entries_apart(one):
    paths = [
        one("a"),
        one("b", by="John", seeds=(2,)),
        one("c", by="John", seeds=(3,)),
        one("d", protocol="sky", seeds=(4,)),
    ]
    (field,) = fields([read_bundle(path) for path in paths])
    assert [entry.label for entry in field.entries] == [
        "lenet (modern, Jane)",
        "lenet (modern, John, b)",
        "lenet (modern, John, c)",
        "lenet (sky)",
    ]


def test_the_same_runs_in_two_bundles_are_one_entry(one, tmp_path):
    first, second = one("a", seeds=(1, 2)), one("b", by="John", seeds=(1, 2))
    built = build_board([first, second, first], tmp_path / "site")
    assert built.notes == ("lenet of b.zip is left out: a.zip has the same runs.",)
    told = json.loads((tmp_path / "site" / f"{STEM}.json").read_text())
    assert [entry["label"] for entry in told["entries"]] == ["lenet"]
    assert "is the only entry" in built.answers[TASK]
    other = one("c", skill=0.8, seeds=(1, 2))
    (field,) = fields([read_bundle(first), read_bundle(other)])
    assert len(field.entries) == 2, "the same runs with other answers are another entry"


def test_the_same_runs_with_other_answers_are_told(one, tmp_path):
    first, second = one("a"), one("b", skill=0.8)
    ids = [record.run_id for record in read_bundle(first).records]
    built = build_board([first, second], tmp_path / "site")
    assert built.notes == (
        f"lenet: a.zip and b.zip have the same run {ids[0]} with other predictions: it was computed twice, or changed "
        "in one of them.",
    )


def test_a_bundle_with_a_part_of_the_runs_of_another_is_left_out_in_any_order(one):
    whole, part = read_bundle(one("a", seeds=(1, 2, 3))), read_bundle(one("b", by="John", seeds=(2, 3)))
    for order in ([whole, part], [part, whole]):
        (field,) = fields(order)
        assert [len(entry.records) for entry in field.entries] == [3]
        assert field.notes == ("lenet of b.zip is left out: a.zip has the same runs.",)


def test_copies_of_a_run_under_other_seeds_count_as_one(one, tmp_path):
    found = read_bundle(one("a", seeds=(1, 2, 3)))
    first, second, third = sorted(found.records, key=lambda record: record.spec.seed)
    backwards = np.arange(len(first.predictions))[::-1]
    copy = replace(second, predictions=first.predictions.take(backwards))
    (field,) = fields([replace(found, records=(third, copy, first))])
    (entry,) = field.entries
    assert [record.spec.seed for record in entry.records] == [1, 3]
    told = "lenet: the runs with the seeds 1 and 2 gave the same predictions; they count as one."
    assert field.notes == (told,)
    assert told in stand(field).notes
    (untouched,) = fields([found])
    assert (len(untouched.entries[0].records), untouched.notes) == (3, ())


def test_seeds_of_predictions_made_elsewhere_are_one_entry(scored_store, tmp_path):
    store = scored_store(tmp_path / "s", {"ViT": (1, 2, 3), "CNN": (1,)})
    write_bundle(store, tmp_path / "b.zip", BundleSpec(Stated("Jane"), tasks().get(TASK)))
    found = read_bundle(tmp_path / "b.zip")
    standing = stand(fields([found])[0])
    by_seed = sorted(found.records, key=lambda record: record.spec.seed)
    rows = {row.network: row for row in compare(by_seed).rows}
    assert {p.entry.label: p.row.seeds for p in standing.places} == {"ViT": (1, 2, 3), "CNN": (1,)}
    for place in standing.places:
        own, expected = place.row.metrics["mpca"], rows[place.entry.label].metrics["mpca"]
        assert (own.mean, own.low, own.high, own.values) == (
            expected.mean,
            expected.low,
            expected.high,
            expected.values,
        )


def test_two_tables_of_one_name_and_seed_are_no_repeats(scored_store, tmp_path):
    store = scored_store(tmp_path / "s", {"ViT": (1,)})
    write_bundle(store, tmp_path / "b.zip", BundleSpec(Stated("Jane"), tasks().get(TASK)))
    found = read_bundle(tmp_path / "b.zip")
    (record,) = found.records
    logits = record.predictions.logits[:, ::-1].copy()
    other = replace(record, run_id="0" * 16, predictions=replace(record.predictions, logits=logits))
    with pytest.raises(DataError, match=r"b\.zip: the runs \w{16} and \w{16} of ViT have the same seed"):
        fields([replace(found, records=(record, other))])


def test_a_bundle_without_a_task_gives_its_runs_of_any(one, tmp_path):
    (field,) = fields([read_bundle(one("a", task=None))])
    assert (field.task.name, len(field.entries)) == (TASK, 1)
    with pytest.raises(
        DataError, match=r"none of its runs is of a task; the tasks are rgbench/first-4class@1"
    ):
        build_board([one("b", task=None, data={"split": "fold-0"})], tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_statement_without_a_task_is_held_to_that_of_the_board(one):
    found = read_bundle(one("a", task=None))
    (record,) = found.records
    data = record.spec.data.model_copy(update={"name": "mirabest", "test": "first-galaxy-data"})
    elsewhere = replace(record, spec=record.spec.model_copy(update={"data": data}))
    with pytest.raises(
        DataError, match=r"a\.zip: Jane states that lenet saw no external data, but it was trained on mira"
    ):
        fields([replace(found, records=(elsewhere,))])


def test_a_network_that_learnt_nothing_comes_last_without_a_group(filled_store, tmp_path):
    store = filled_store(tmp_path / "s", {"lenet": 0.7, "mcrgnet": 0.6}, seeds=(1,))
    write_bundle(store, tmp_path / "b.zip", BundleSpec(Stated("Jane"), tasks().get(TASK)))
    found = read_bundle(tmp_path / "b.zip")
    dead = [
        replace(r, predictions=replace(r.predictions, logits=np.full_like(r.predictions.logits, np.nan)))
        if r.spec.network.name == "lenet"
        else r
        for r in found.records
    ]
    (field,) = fields([replace(found, records=tuple(dead))])
    standing = stand(field)
    assert [(place.entry.label, place.groups, place.row.status) for place in standing.places] == [
        ("mcrgnet", "a", "ok"),
        ("lenet", "", "did not learn"),
    ]


def test_second_views_of_other_sources_are_left_out_and_told(one):
    found = read_bundle(one("a"))
    (record,) = found.records
    fewer = {record.run_id: found.conditions[record.run_id].take(np.arange(150))}
    standing = stand(fields([replace(found, conditions=fewer)])[0])
    assert standing.places[0].conditions == ()
    assert "Of lenet nothing is said on other images" in standing.notes[0]


def test_nothing_is_overwritten_unasked(one, tmp_path):
    path = one("a")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine.txt").write_text("mine")
    with pytest.raises(SpecError, match="holds files already"):
        build_board([path], tmp_path / "site")
    build_board([path], tmp_path / "site", overwrite=True)
    assert (tmp_path / "site" / "mine.txt").read_text() == "mine"
    with pytest.raises(SpecError, match="is a file; name a folder"):
        build_board([path], tmp_path / "site" / "mine.txt")
    with pytest.raises(SpecError, match="one bundle or more"):
        build_board([], tmp_path / "other")


def test_a_bundle_in_the_folder_of_the_board_is_copied_before_another_of_its_name_takes_its_place(
    one, tmp_path
):
    site = tmp_path / "site" / "bundles"
    site.mkdir(parents=True)
    first, second = one("a", skill=0.8), (site / "a.zip")
    second.write_bytes(one("b", skill=0.6).read_bytes())
    contents = [path.read_bytes() for path in (first, second)]
    build_board([first, second], tmp_path / "site", overwrite=True)
    assert [(site / name).read_bytes() for name in ("a.zip", "a-2.zip")] == contents
    assert {path.name for path in site.iterdir()} == {"a.zip", "a-2.zip"}


def test_the_rules_of_the_task_are_on_its_page(site):
    said = " ".join((site / f"{STEM}.html").read_text(encoding="utf8").split())
    assert "200 sources (50 Compact, 50 FRI, 50 FRII, 50 Bent)" in said
    assert "may be used, if whoever hands the result in says so" in said


def test_a_bundle_that_is_not_sound_ends_it_before_anything_is_written(one, tmp_path):
    path = one("a")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.txt", "x")
    with pytest.raises(DataError, match="does not list"):
        build_board([path], tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_of_many_entries_the_first_groups_are_named_in_part(one, tmp_path):
    (field,) = fields([read_bundle(one("a"))])
    (entry,) = field.entries
    standing = stand(replace(field, entries=tuple(replace(entry, label=f"net {k}") for k in range(12))))
    page = TaskPage(standing, Names.of([standing]))
    (group,) = page.groups
    assert (len(group.members), group.others, page.more_groups) == (6, 6, "")
    lone = [
        replace(p, ranks=replace(p.ranks, group="abcdefghijkl"[k])) for k, p in enumerate(standing.places)
    ]
    page = TaskPage(replace(standing, places=tuple(lone)), Names.of([standing]))
    assert [group.letter for group in page.groups] == ["a", "b", "c"]
    assert page.more_groups == "9 more groups can be chosen above the table."
