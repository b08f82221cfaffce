"""Second views: the share that keeps its class, and whether the order of networks holds, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rgbench.comparison.robustness import StressedRun, score_conditions
from rgbench.comparison.second_views import STANDARD, second_view
from rgbench.comparison.summary import compare
from rgbench.comparison.words.second_views import sentences, with_second_views
from rgbench.store.conditions import Condition
from rgbench.store.tables import Predictions

K = 4
N = 200
NAMES = np.array([f"s{i:03d}" for i in range(N)])
LABEL = np.arange(N) % K


def rows(classes: np.ndarray, names: np.ndarray = NAMES, label: np.ndarray = LABEL) -> Predictions:
    n = len(classes)
    text = [names, np.full(n, "test"), np.full(n, "best"), np.full(n, STANDARD.name)]
    said = (5 * np.eye(K)[classes]).astype(np.float32)
    return Predictions("r", tuple("abcd"), "softmax", "1", *text, np.zeros(n, np.int64), label, said)


def wrong(index: range | list[int], by: int = 1) -> np.ndarray:
    """Right classes but for the sources of an index."""
    classes = LABEL.copy()
    classes[list(index)] = (classes[list(index)] + by) % K
    return classes


def run(first: range | list[int], second: range | list[int], by: int = 1) -> StressedRun:
    """A run that errs on some sources in the first image, and on some in the second."""
    return StressedRun(rows(wrong(first)), {STANDARD: rows(wrong(second, by))}, "published")


def test_the_share_that_keeps_its_class_is_counted_whether_right_or_wrong():
    """20 wrong at first; 10 of them stay wrong in another way, 10 in the same, 30 more become wrong."""
    now = wrong(range(50))
    now[:10] = (LABEL[:10] + 2) % K
    own = StressedRun(rows(wrong(range(20))), {STANDARD: rows(now)})
    (score,) = score_conditions([own])
    assert score.kept[0] == pytest.approx(160 / 200)
    assert score.values["accuracy"][0] == pytest.approx(150 / 200)
    # Wilson's interval of 160 of 200, from its closed form.
    z, p = 1.959963985, 0.8
    half = z * np.sqrt(p * (1 - p) / N + z**2 / (4 * N**2)) / (1 + z**2 / N)
    middle = (p + z**2 / (2 * N)) / (1 + z**2 / N)
    assert score.kept[1:] == pytest.approx((middle - half, middle + half), abs=1e-8)


def test_seeds_are_pooled_and_widen_the_interval():
    one, other = run([], range(20)), run([], range(60))
    (score,) = score_conditions([one, other])
    assert score.kept[0] == pytest.approx(0.8)
    (alone,) = score_conditions([run([], range(40))])
    assert score.kept[2] - score.kept[1] > alone.kept[2] - alone.kept[1]


def test_runs_with_test_sources_of_their_own_have_the_bootstrap():
    half = [
        StressedRun(own.clean.take(part), {STANDARD: own.disturbed[STANDARD].take(part)}, own.split)
        for own, part in (
            (run([], range(20)), np.arange(100)),
            (run([], range(120, 150)), np.arange(100, 200)),
        )
    ]
    (score,) = score_conditions(half)
    assert score.kept[0] == pytest.approx((0.8 + 0.7) / 2)
    assert score.kept[1] < 0.75 < score.kept[2]


def test_an_order_that_turns_by_more_than_chance_is_said():
    """The first is ahead by 5 points, and behind by 25 in the second image."""
    found = second_view({"a": [run(range(10), range(80))], "b": [run(range(20), range(30))]})
    (gap,) = found.gaps
    assert (gap.before, gap.after) == (pytest.approx(0.05), pytest.approx(-0.25))
    assert gap.change.value == pytest.approx(-0.3)
    assert gap.change.low < -0.3 < gap.change.high < 0
    assert gap.shown
    assert gap.turns
    assert found.order == ("b", "a")
    said = sentences(found)
    assert said[0].startswith(
        "In another image of the same 200 sources, made by simulation, a is right for 60.0 % (95 % interval "
    )
    assert "; 95.0 % in the first image), and 65.0 % (" in said[0]
    assert said[0].endswith("; b for 85.0 % (90.0 %), and 95.0 % keep it.")
    assert said[1].startswith(
        "The order of the networks by MPCA changes: a over b from +5.0 to −25.0 points (change"
    )


def test_an_order_that_turns_within_chance_is_not_claimed():
    found = second_view({"a": [run(range(20), range(44))], "b": [run(range(22), [*range(2, 42), 150, 151])]})
    assert found.order == ("b", "a")
    assert not found.gaps[0].shown
    assert "would be b and a, but that it changes cannot be shown" in sentences(found)[1]


def test_a_lead_that_shrinks_is_no_change_of_the_order():
    found = second_view({"a": [run([], range(60))], "b": [run(range(70), range(70))]})
    order, change = sentences(found)[1:]
    assert order == "The order of the networks by MPCA stays the same there."
    assert "a over b from +35.0 to +5.0 points" in change


def test_the_change_is_for_new_seeds_too():
    """Two networks whose seeds scatter: what one seed of each shows, three of each do not."""
    steady = [run(range(20), range(20))] * 3
    wild = [run(range(22), range(22 + extra)) for extra in (0, 5, 70)]
    assert second_view({"a": steady[:1], "b": wild[2:]}).gaps[0].shown
    assert not second_view({"a": steady, "b": wild}).gaps[0].shown


def test_p_values_are_corrected_over_all_pairs():
    runs = {"a": [run(range(10), range(22))], "b": [run(range(20), range(20))]}
    alone = second_view(runs).gaps[0].p_value
    both = second_view({**runs, "c": [run(range(30), range(30))]}).gaps
    assert len(both) == 3
    assert both[0].p_value >= 2 * alone


def test_what_was_not_measured_is_not_said():
    other = StressedRun(rows(LABEL), {Condition("noise", 1): rows(LABEL)})
    assert second_view({"a": [other], "b": []}) is None
    (alone,) = sentences(second_view({"a": [run([], range(9))], "b": [other]}))
    assert "order" not in alone
    elsewhere = StressedRun(
        rows(LABEL, np.char.add(NAMES, "x")), {STANDARD: rows(LABEL, np.char.add(NAMES, "x"))}
    )
    assert second_view({"a": [run([], [1])], "b": [elsewhere]}).gaps == ()
    broken = run([], [])
    broken.disturbed[STANDARD].logits[0, 0] = np.nan
    assert second_view({"a": [broken]}) is None


def test_another_survey_s_images_are_second_views_of_the_sources_that_it_has():
    survey = Condition("survey", survey="first-fits")
    part = np.arange(50)
    one = StressedRun(rows(LABEL), {survey: rows(wrong(range(5))).take(part)})
    found = second_view({"a": [one]}, survey)
    assert found.scores["a"].n_sources == 50
    assert found.scores["a"].kept[0] == pytest.approx(0.9)
    assert sentences(found)[0].startswith(
        "In another image of the same 50 sources (survey-first-fits) a is right"
    )


def test_the_answer_says_it_behind_the_verdict(make_run):
    records = [
        make_run(name, seed, skill)
        for name, skill in (("mcrgnet", 0.8), ("convxpress", 0.6))
        for seed in (1, 2)
    ]
    found = compare(records)
    seen = {
        r.run_id: replace(test, condition=np.full(len(test), STANDARD.name))
        for r in records
        for test in [r.predictions.select("test", "best")]
    }
    words = with_second_views(found, records, seen).words
    assert words[0] == found.words[0]
    assert words[1].startswith(
        "In another image of the same 200 sources, made by simulation, mcrgnet is right for"
    )
    assert words[2] == "The order of the networks by MPCA stays the same there."
    assert words[3:] == found.words[1:]
    first = dict(list(seen.items())[1:])
    assert "mcrgnet" not in with_second_views(found, records, first).words[1], (
        "every seed must have been tested"
    )
    assert with_second_views(found, records, {}) == found
