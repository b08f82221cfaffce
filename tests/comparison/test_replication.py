"""Verdicts on published numbers: what is compared and what is not, and how often truth is called a difference."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, tost_proportions_2indep

from rgbench.comparison.published import Paper, Test, Value, find_paper, paper_names
from rgbench.comparison.replication import Found, _difference, compare_with, found_in
from rgbench.comparison.words.replication import summary
from rgbench.comparison.words.replication import verdict as sentence

FOLDS = tuple(f"fold-{k}" for k in range(5))


def value(**more):
    fields = {"network": "mcrgnet", "metric": "accuracy", "value": 0.8, "where": "table 1", "confidence": "C"}
    return Value(**{**fields, **more})


def paper(*values, **more):
    fields = {"data": "first-galaxy-data", "split": "w", "protocol": "w", "n_test": 400, "our_splits": FOLDS}
    fields["kind"] = "replication" if more.get("our_splits", FOLDS) else None
    test = Test(**{**fields, **more, "values": values})
    return Paper(name="p", citation="x", read="x", tests=(test,))


def ours(mean=0.8, values=(), n=400, **more):
    fields = {"data": "first-galaxy-data", "splits": FOLDS, "metric": "accuracy"}
    return Found(value=mean, n_test=n, values=tuple(values), **{**fields, **more})


def one(p, found):
    (verdict,) = compare_with(p, {"mcrgnet": [found]})
    return verdict


def test_the_interval_without_runs_is_that_of_newcombe():
    verdict = one(paper(value(value=0.75)), ours(0.83))
    low, high = confint_proportions_2indep(332, 400, 300, 400, method="newcomb")
    assert (verdict.difference.low, verdict.difference.high) == pytest.approx((low, high), abs=1e-9)
    assert verdict.kind == "above"
    assert "above, i.e. better, by 0.080" in sentence(verdict)


def test_a_test_source_that_is_set_aside_widens_the_interval_by_all_that_it_could_change():
    whole, fewer = one(paper(value()), ours(0.78)), one(paper(value()), ours(0.78, n=399))
    assert "399 of the 400 sources, the others are unusable" in sentence(fewer)
    assert fewer.difference.low == pytest.approx(whole.difference.low - 1 / 400, abs=1e-4)
    assert fewer.difference.high == pytest.approx(whole.difference.high + 1 / 400, abs=1e-4)
    for n in (395, 401):
        assert "the splits differ" in sentence(one(paper(value()), ours(0.78, n=n)))


@pytest.mark.parametrize(
    ("mean", "kind"), [(0.8, "not contradicted"), (0.76, "not contradicted"), (0.7, "below"), (0.9, "above")]
)
def test_kinds(mean, kind):
    verdict = one(paper(value()), ours(mean))
    assert verdict.kind == kind
    assert (verdict.p_value < 0.05) == (kind != "not contradicted")
    assert f"): {kind}" in sentence(verdict)
    assert "400 sources, one run" in sentence(verdict)


def test_p_values_are_where_the_interval_ends_at_zero():
    verdict = one(paper(value()), ours(0.74, [0.73, 0.74, 0.74, 0.74, 0.75]))
    edge = compare_with(
        paper(value()), {"mcrgnet": [ours(0.74, [0.73, 0.74, 0.74, 0.74, 0.75])]}, 1 - verdict.p_value
    )
    assert edge[0].difference.high == pytest.approx(0, abs=1e-6)


def test_more_doubt_makes_the_interval_wider():
    def width(p, found):
        difference = one(p, found).difference
        return difference.high - difference.low

    plain = width(paper(value()), ours())
    spread = {"uncertainty": 0.02, "repeats": 5}
    seeds = width(paper(value(**spread, uncertainty_is="standard deviation over seeds")), ours())
    folds = width(paper(value(**spread, uncertainty_is="standard deviation over folds")), ours())
    unsaid = width(paper(value(uncertainty=0.02, uncertainty_is="not said")), ours())
    assert plain < seeds < folds
    assert plain < unsaid
    assert plain < width(paper(value()), ours(0.8, [0.78, 0.8, 0.8, 0.8, 0.82]))
    assert width(paper(value(), n_test=None), ours()) < plain, (
        "noise of a test set of no known size is not counted"
    )


def test_lower_is_better_for_the_brier_score():
    brier = value(metric="brier", value=0.3, uncertainty=0.01, uncertainty_is="standard error")
    verdict = one(paper(brier), ours(0.4, metric="brier", source_error=0.012))
    assert verdict.kind == "above"
    assert "above, i.e. worse" in sentence(verdict)
    error = np.sqrt(0.012**2 * 2 + 0.01**2)
    assert verdict.difference.high - 0.1 == pytest.approx(1.959964 * error, rel=1e-6)


@pytest.mark.parametrize(
    ("published", "more", "found", "reason"),
    [
        ({"network": "", "method": "ViT"}, {}, {}, "this network is not registered here"),
        ({"relation": "above"}, {}, {}, "only a bound is published"),
        ({}, {"our_splits": (), "differs": "six types there"}, {}, "the splits differ: six types there"),
        ({"metric": "mpca"}, {}, {}, "mpca was not measured here"),
        ({}, {}, {"data": "frgmrc"}, "the data differ: first-galaxy-data there, frgmrc here"),
        ({}, {}, {"splits": ("published",)}, "the splits differ: fold-0, .* there, published here"),
        ({}, {}, {"n": 390}, "the splits differ: 400 test sources there, 390 here"),
        ({}, {}, {"mean": float("nan")}, "ours is not finite"),
        ({"metric": "nll", "value": 0.5}, {}, {"metric": "nll"}, "how far nll depends on the test sources"),
    ],
)
def test_what_cannot_be_said_says_why(published, more, found, reason):
    (verdict,) = compare_with(paper(value(**published), **more), {"mcrgnet": [ours(**found)]})
    assert verdict.kind == "cannot be said"
    assert "cannot be said because" in sentence(verdict)
    assert re.search(reason, sentence(verdict)), sentence(verdict)
    assert verdict.ours is None


def test_without_runs_nothing_is_said_and_the_sum_of_it_all():
    verdicts = compare_with(find_paper("rustige2023"), {})
    assert {v.kind for v in verdicts} == {"cannot be said"}
    assert summary(verdicts) == f"none of {len(verdicts)} numbers can be compared"
    found = {"convxpress": [ours(0.79)], "mcrgnet": [ours(0.6)]}
    assert summary(compare_with(find_paper("rustige2023"), found)).endswith(
        "2 of 29 numbers can be compared, of which 1 is not contradicted and 1 is below; this sets other methods "
        "beside it, and replicates nothing"
    )


SPREAD = {"uncertainty": 0.002, "uncertainty_is": "standard deviation over seeds", "repeats": 5}


def test_equivalent_is_said_only_where_two_one_sided_tests_show_it():
    """Against statsmodels, whose two tests of a difference of 5 points know of sources alone."""
    runs, splits = (0.899, 0.9, 0.901), ("published",)
    more = {"n_test": 3000, "our_splits": splits}
    published = value(value=0.9, **SPREAD)
    close = one(paper(published, **more), ours(0.9, runs, 3000, splits=splits))
    assert close.kind == "equivalent"
    assert sentence(close).endswith("3 runs): equivalent within 5 points")
    assert tost_proportions_2indep(2700, 3000, 2700, 3000, -0.05, 0.05).pvalue < 0.05
    few = one(paper(published, n_test=100, our_splits=splits), ours(0.9, runs, 100, splits=splits))
    assert few.kind == "not contradicted"
    assert tost_proportions_2indep(90, 100, 90, 100, -0.05, 0.05).pvalue > 0.05
    far = one(paper(published, **more), ours(0.86, (0.859, 0.86, 0.861), 3000, splits=splits))
    assert far.kind == "below", "a difference that was found, within the margin or not"


@pytest.mark.parametrize(
    ("published", "more", "runs"),
    [
        ({"uncertainty": None, "uncertainty_is": None}, {}, 3),
        ({"relation": "about"}, {}, 3),
        ({}, {"n_test": None}, 3),
        ({}, {}, 1),
    ],
)
def test_what_is_not_known_of_a_paper_shows_no_equivalence(published, more, runs):
    splits = ("published",)
    there = value(value=0.9, **{**SPREAD, **published})
    setting = {"n_test": 3000, "our_splits": splits, **more}
    found = ours(0.9, [0.899, 0.9, 0.901][:runs], 3000, splits=splits)
    assert one(paper(there, **setting), found).kind == "not contradicted"


@pytest.mark.slow
def test_of_differences_as_large_as_the_margin_few_are_called_equivalent():
    rng, rounds, called = np.random.default_rng(2), 400, 0
    splits = ("published",)
    for _ in range(rounds):
        theirs, mine = (
            (rng.random(2000)[None] < np.clip(p + rng.normal(0, 0.005, 5), 0, 1)[:, None]).mean(axis=1)
            for p in (0.85, 0.90)
        )
        spread = {**SPREAD, "uncertainty": float(theirs.std(ddof=1))}
        there = paper(value(value=float(theirs.mean()), **spread), n_test=2000, our_splits=splits)
        called += one(there, ours(float(mine.mean()), mine, 2000, splits=splits)).kind == "equivalent"
    assert called / rounds <= 0.075, f"{called} of {rounds}"


def test_what_replicates_and_what_sets_other_methods_beside_it():
    """Every paper that ships and has a study, as a list: who adds one decides what it is."""
    kinds = {
        (name, test.data, number): test.kind
        for name in paper_names()
        for number, test in enumerate(find_paper(name).tests)
        if test.kind
    }
    assert kinds == {
        ("bowles2021", "fr-deep-first", 2): "comparison",
        ("rustige2023", "first-galaxy-data", 0): "comparison",
        ("shabih2024", "mirabest-two-class", 0): "comparison",
        ("shabih2024", "mirabest-two-class", 1): "replication",
        ("shabih2024", "fr-deep-first", 2): "comparison",
        ("shabih2024", "fr-deep-first", 3): "replication",
        ("slijepcevic2024", "mirabest-confident", 0): "comparison",
    }
    found = {"convxpress": [ours(0.9, n=50, data="fr-deep-first", splits=("published",))]}
    assert summary(compare_with(find_paper("shabih2024"), found)).endswith(
        "of which 2 are not contradicted; 1 of them is a replication, the others set other methods beside it"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "p", "spread"), [(50, 0.93, 0.0), (400, 0.81, 0.0), (400, 0.81, 0.015), (104, 0.97, 0.01)]
)
def test_of_numbers_that_agree_in_truth_few_are_called_different(n, p, spread):
    """Two laboratories, each with its own test sources and five runs, of one true accuracy."""
    rng, called = np.random.default_rng(1), 0
    rounds = 250
    for _ in range(rounds):
        sides = []
        for _ in range(2):
            chances = np.clip(p + rng.normal(0, spread, 5), 0, 1)
            sides.append(
                (rng.random(n)[None] < chances[:, None]).mean(axis=1)
            )  # the same sources for all five
        theirs = value(
            value=float(sides[0].mean()),
            uncertainty=float(sides[0].std(ddof=1)),
            uncertainty_is="standard deviation over seeds",
            repeats=5,
        )
        mine = ours(float(sides[1].mean()), sides[1], n, splits=("published",))
        called += _difference(theirs, mine, n, 0.95).separable
    assert called / rounds <= 0.075, f"{called} of {rounds}"


def test_what_runs_reach_is_gathered_by_network_and_split(make_run):
    folds = [make_run("mcrgnet", seed, 0.8, data={"split": f"fold-{k}"}) for k in range(3) for seed in (1, 2)]
    alone = [make_run("convxpress", 1, 0.7), make_run("convxpress", 2, 0.7)]
    fewer = make_run("convxpress", 3, 0.2, data={"train_limit": 50})
    failed = replace(make_run("convxpress", 4, 0.2), status="failed")
    found = found_in([*folds, *alone, fewer, failed])
    accuracy = next(f for f in found["mcrgnet"] if f.metric == "accuracy")
    assert accuracy.splits == ("fold-0", "fold-1", "fold-2")
    assert len(accuracy.values) == 3, "seeds on a fold are no new folds"
    hits = [(r.predictions.logits.argmax(axis=1) == r.predictions.label).mean() for r in folds]
    assert accuracy.values == pytest.approx(np.reshape(hits, (3, 2)).mean(axis=1))
    assert accuracy.value == pytest.approx(np.mean(hits))
    assert len(next(f for f in found["convxpress"] if f.metric == "mpca").values) == 2
    recall = next(f for f in found["convxpress"] if (f.metric, f.of_class) == ("recall", "Bent"))
    assert recall.n_test == 50
    brier = next(f for f in found["convxpress"] if f.metric == "brier")
    scores = [
        ((r.predictions.probabilities() - np.eye(4)[r.predictions.label]) ** 2).sum(axis=1) for r in alone
    ]
    assert brier.source_error == pytest.approx(np.mean(scores, axis=0).std() / np.sqrt(200), rel=0.1)


def test_intervals_end_where_no_value_can_lie():
    """Two folds that differ by 60 points have t = 12.7."""
    verdict = one(paper(value()), ours(0.5, [0.2, 0.8]))
    assert (verdict.ours.low, verdict.ours.high) == (0, 1)
    assert (verdict.difference.low, verdict.difference.high) == (-1, 1)
    assert "95 % interval 0.000 to 1.000" in sentence(verdict)
    assert sentence(verdict).endswith("would most likely have shown no difference, however large it is")
