"""Ensembles: rules by hand, weights and diversity against other formulas, choices by brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, combinations_with_replacement, pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, softmax
from scipy.stats import entropy
from sklearn.ensemble import VotingClassifier
from sklearn.metrics import balanced_accuracy_score, log_loss, zero_one_loss
from statsmodels.stats.contingency_tables import Table2x2

from rgbench.comparison import diversity as differ
from rgbench.comparison import ensembles as ours
from rgbench.comparison import members as who
from rgbench.errors import DataError, LeakageError, SpecError
from rgbench.measures.catalogue import metrics
from rgbench.measures.classification import accuracy, nll
from rgbench.store.tables import concatenate

SKILL = (2.2, 1.6, 1.6, 1.0, 0.3)


def side(split: str = "validation", skill: tuple[float, ...] = SKILL, n: int = 80, seed: int = 0) -> who.Side:
    rng = np.random.default_rng([seed, split == "test"])
    y = rng.permutation(np.arange(n) % 4)
    shared = rng.normal(size=(n, 4))
    scores = np.stack([s * np.eye(4)[y] + 0.6 * shared + rng.normal(size=(n, 4)) for s in skill])
    members = tuple(who.Member(f"net{i // 2}", i % 2) for i in range(len(skill)))
    return who.Side(split, members, np.array([f"{split}{i}" for i in range(n)]), y, scores)


predictions = st.tuples(st.integers(1, 5), st.integers(1, 12), st.integers(2, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-30, 30))
)


class Fixed:
    """A classifier for scikit-learn that says what it was told."""

    def __init__(self, p: np.ndarray) -> None:
        self.p = p

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.p[x[:, 0]].argmax(axis=1)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return self.p[x[:, 0]]


def scikit(p: np.ndarray, voting: str, weights: np.ndarray | None) -> VotingClassifier:
    made = VotingClassifier([(str(i), None) for i in range(len(p))], voting=voting, weights=weights)
    made.estimators_ = [Fixed(own) for own in p]
    made.classes_ = np.arange(p.shape[2])
    made.le_ = type("Same", (), {"inverse_transform": staticmethod(lambda x: x)})
    return made


@pytest.mark.parametrize("weights", [None, np.array([0.5, 0.2, 0.1, 0.15, 0.05])])
def test_votes_and_means_equal_scikit_learn_s(weights):
    members = side()
    p, rows = np.exp(members.scores), np.arange(80)[:, None]
    soft = scikit(p, "soft", weights).predict_proba(rows)
    np.testing.assert_allclose(np.exp(ours.combine(members.scores, "probability", weights)), soft)
    hard = scikit(p, "hard", weights).predict(rows)
    found = ours.combine(members.scores, "vote", weights)
    share = np.eye(4)[p.argmax(axis=2)]
    totals = np.sort(np.average(share, axis=0, weights=weights), axis=1)
    untied = totals[:, -1] - totals[:, -2] > 1e-9
    assert untied.sum() > 40
    np.testing.assert_array_equal(found.argmax(axis=1)[untied], hard[untied])


def test_ties_of_votes_go_to_the_mean_probability():
    p = np.array([[[0.6, 0.3, 0.1]], [[0.1, 0.8, 0.1]]])
    assert ours.combine(np.log(p), "vote").argmax() == 1
    five = np.array([[[0.34, 0.33, 0.33]]] * 3 + [[[0.005, 0.99, 0.005]]] * 2)
    assert ours.combine(np.log(five), "vote").argmax() == 0
    assert ours.combine(np.log(five), "probability").argmax() == 1


def test_the_mean_of_logits_is_that_of_log_probabilities():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 20, 3)) + rng.normal(size=(4, 20, 1))
    expected = log_softmax(logits.mean(axis=0), axis=1)
    np.testing.assert_allclose(ours.combine(log_softmax(logits, axis=2), "logit"), expected, atol=1e-12)


@settings(deadline=None, max_examples=80)
@given(predictions, st.sampled_from(ours.RULES), st.randoms(use_true_random=False))
def test_a_combination_is_a_distribution_whatever_the_order_of_members(logits, rule, random):
    scores = log_softmax(logits, axis=2)
    found = ours.combine(scores, rule)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)
    assert np.isfinite(found).all()
    order = random.sample(range(len(scores)), len(scores))
    np.testing.assert_allclose(ours.combine(scores[order], rule), found, atol=1e-9)
    repeated = ours.combine(np.repeat(scores[:1], 3, axis=0), rule)
    np.testing.assert_allclose(
        np.take_along_axis(scores[0], repeated.argmax(axis=1)[:, None], axis=1)[:, 0],
        scores[0].max(axis=1),
        atol=1e-9,
    )


@settings(deadline=None, max_examples=80)
@given(predictions)
def test_the_vote_goes_to_a_class_that_no_other_beats(logits):
    scores = log_softmax(logits, axis=2)
    winner = ours.combine(scores, "vote").argmax(axis=1)
    votes = np.array([np.bincount(column, minlength=scores.shape[2]) for column in scores.argmax(axis=2).T])
    assert (votes[np.arange(len(votes)), winner] == votes.max(axis=1)).all()


def test_weights_by_hand():
    y = np.arange(8) % 4
    right = np.eye(4)[y]
    members = (who.Member("a", 0), who.Member("b", 0), who.Member("c", 0))
    scores = 5 * np.stack(
        [right, np.where(np.arange(8)[:, None] < 6, right, 1 - right), np.eye(4)[(y + 1) % 4]]
    )
    validation = who.Side("validation", members, np.arange(8).astype(str), y, scores)
    odds = [np.log(0.9 * 3 / 0.1), np.log(0.7 * 3 / 0.3), 0.0]
    np.testing.assert_allclose(ours.member_weights(validation, "accuracy"), odds / np.sum(odds))
    losses = [log_loss(y, softmax(own, axis=1)) for own in scores]
    expected = np.exp(-np.array(losses))
    np.testing.assert_allclose(ours.member_weights(validation, "nll"), expected / expected.sum())
    np.testing.assert_allclose(ours.member_weights(validation, "equal"), 1 / 3)
    np.testing.assert_allclose(ours.member_weights(validation.take([2, 2]), "accuracy"), 0.5)


@pytest.mark.parametrize("blend", [ours.Blend(), ours.Blend("vote"), ours.Blend("logit", "nll")])
@pytest.mark.parametrize("metric", ["accuracy", "nll"])
def test_the_best_of_each_size_is_that_of_brute_force(blend, metric):
    validation = side()

    def value(index):
        part = validation.take(index)
        weights = ours.member_weights(part, blend.weighting)
        return metrics().get(metric).function(validation.y, ours.combine(part.scores, blend.rule, weights))

    for choice in ours.choose_subsets(validation, blend, metric):
        values = [value(index) for index in combinations(range(5), choice.size)]
        assert choice.value == pytest.approx(min(values) if metric == "nll" else max(values), abs=1e-12)
        assert choice.value == pytest.approx(value(choice.index), abs=1e-12)
        assert choice.method == "exhaustive"


def test_greedy_selection_takes_the_best_step_and_may_repeat_a_member():
    validation = side(skill=(2.5, 0.2, 0.2, 0.2, 0.2))
    path = ours.choose_subsets(validation, metric="nll", limit=0)
    assert {choice.method for choice in path} == {"greedy"}
    assert [choice.size for choice in path] == [1, 2, 3, 4, 5]

    def value(index):
        return nll(validation.y, ours.combine(validation.scores[list(index)]))

    for before, after in pairwise(path):
        extended = [tuple(sorted((*before.index, i))) for i in range(5)]
        assert after.index in extended
        assert after.value == pytest.approx(min(value(index) for index in extended), abs=1e-12)
    assert path[1].index == (0, 0)
    all_pairs = [value(index) for index in combinations_with_replacement(range(5), 2)]
    assert path[1].value == pytest.approx(min(all_pairs), abs=1e-12)


def test_nothing_is_chosen_on_test_sources():
    validation, test = side(), side("test")
    for choose in (
        ours.choose_subsets,
        differ.contributions,
        lambda s: ours.member_weights(s, "nll"),
        ours.ensemble_value,
    ):
        with pytest.raises(SpecError, match="validation sources, found those of test"):
            choose(test)
    with pytest.raises(SpecError, match="scored on test sources, found those of validation"):
        ours.score_ensembles([(0,)], validation, validation)
    with pytest.raises(SpecError, match="members of the validation side are not those"):
        ours.score_ensembles([(0,)], validation.take([0, 1]), test)
    leaking = replace(test, source_id=np.array([*validation.source_id[:2], *test.source_id[2:]]))
    with pytest.raises(LeakageError, match="2 sources stand on both sides, e.g. validation0"):
        ours.score_ensembles([(0,)], validation, leaking)
    other_labels = replace(test, y=(test.y + 1) % 4)
    blend = ours.Blend("probability", "nll")
    one = ours.score_ensembles([(0, 1)], validation, test, blend, resamples=10)[0]
    other = ours.score_ensembles([(0, 1)], validation, other_labels, blend, resamples=10)[0]
    assert one.single_name == other.single_name
    assert one.value != other.value


def test_scores_are_those_of_the_ensemble_and_of_the_member_validation_chose():
    validation, test = side(), side("test", n=200)
    alone = [accuracy(validation.y, own) for own in validation.scores]
    best = int(np.argmax(alone))
    found, same = ours.score_ensembles([range(5), (best,)], validation, test)
    p = np.exp(test.scores).mean(axis=0)
    assert found.value == pytest.approx(np.mean(p.argmax(axis=1) == test.y))
    assert found.metrics["mpca"] == pytest.approx(balanced_accuracy_score(test.y, p.argmax(axis=1)))
    assert found.metrics["nll"] == pytest.approx(log_loss(test.y, p))
    assert set(found.metrics) == set(metrics().names())
    assert found.single == pytest.approx(accuracy(test.y, test.scores[best]))
    assert found.members_mean == pytest.approx(np.mean([accuracy(test.y, own) for own in test.scores]))
    assert found.low < found.value < found.high
    assert found.gain_low < found.gain < found.gain_high
    assert (same.gain, same.gain_low, same.gain_high) == (0, 0, 0)
    assert (same.value, same.single_name) == (same.single, validation.members[best].name)
    (without,) = ours.score_ensembles([range(5)], validation, test, metric="ece", resamples=5)
    assert np.isnan([without.low, without.gain_high]).all()


@pytest.mark.slow
def test_the_stated_interval_of_the_gain_contains_the_truth_as_often_as_it_says():
    # Three equal members with known chances: the true gain comes from a very large test side.
    skill, inside, trials = (1.2, 1.2, 1.2), 0, 120
    validation = side(skill=skill)
    truth = ours.score_ensembles([range(3)], validation, side("test", skill, 200_000), resamples=1)[0].gain
    for trial in range(trials):
        test = side("test", skill, 200, seed=trial + 1)
        (found,) = ours.score_ensembles([range(3)], validation, test, resamples=400)
        inside += found.gain_low <= truth <= found.gain_high
    assert inside / trials >= 0.89


def test_diversity_equals_yule_s_q_from_odds_ratios_and_scikit_learn():
    members = side(n=400)
    found = differ.diversity(members)
    chosen = members.scores.argmax(axis=2)
    right = chosen == members.y
    for i, j in combinations(range(5), 2):
        table = [[np.sum(right[i] & right[j]), np.sum(right[i] & ~right[j])]]
        table.append([np.sum(~right[i] & right[j]), np.sum(~right[i] & ~right[j])])
        odds = Table2x2(np.array(table)).oddsratio
        assert found.q_statistic[i, j] == pytest.approx((odds - 1) / (odds + 1))
        assert found.disagreement[i, j] == pytest.approx(zero_one_loss(chosen[i], chosen[j]))
        assert found.double_fault[i, j] == pytest.approx(np.mean(~right[i] & ~right[j]))
    shares = [np.bincount(column, minlength=4) for column in chosen.T]
    assert found.vote_entropy == pytest.approx(np.mean(entropy(shares, axis=1)) / np.log(4))
    upper = np.triu_indices(5, 1)
    assert found.mean_q == pytest.approx(found.q_statistic[upper].mean())
    np.testing.assert_allclose(np.diag(found.double_fault), 1 - right.mean(axis=1))
    np.testing.assert_array_equal(np.diag(found.disagreement), 0)


def test_members_that_say_the_same_and_members_that_never_err_together():
    one = side()
    same = differ.diversity(one.take([0, 0]))
    assert (same.mean_disagreement, same.mean_q, same.vote_entropy) == (0, 1, 0)
    y = np.arange(4) % 2
    right = np.eye(2)[y]
    halves = np.stack([np.where([[True], [True], [False], [False]], r, 1 - r) for r in (right, 1 - right)])
    sides = who.Side("test", one.members[:2], np.arange(4).astype(str), y, 3 * halves)
    found = differ.diversity(sides)
    assert (found.mean_q, found.mean_double_fault, found.mean_disagreement) == (-1, 0, 1)
    assert found.vote_entropy == pytest.approx(1)
    never_alike = np.stack([np.eye(4), np.eye(4)[[1, 0, 3, 2]]])
    two = who.Side("test", one.members[:2], np.arange(4).astype(str), np.arange(4), never_alike)
    assert differ.diversity(two).vote_entropy == pytest.approx(1)
    perfect = who.Side("test", one.members[:2], np.arange(4).astype(str), y, np.stack([right, right]))
    assert np.isnan(differ.diversity(perfect).mean_q)


@pytest.mark.parametrize("metric", ["mpca", "nll"])
def test_shapley_values_are_the_mean_over_all_orders_and_share_out_the_gain(metric):
    validation = side(skill=SKILL[:4])
    sign = -1 if metric == "nll" else 1
    blend = ours.Blend()

    def worth(index):
        return sign * ours.ensemble_value(validation, blend, metric)(tuple(sorted(index)))

    gains = np.zeros(4)
    for order in permutations(range(4)):
        for place, i in enumerate(order):
            gains[i] += worth(order[: place + 1]) - worth(order[:place])
    found = differ.contributions(validation, blend, metric)
    np.testing.assert_allclose([c.shapley for c in found], gains / 24)
    total = sum(c.shapley for c in found)
    chance = -np.log(4) if metric == "nll" else 0.25
    assert total == pytest.approx(worth(range(4)) - chance, abs=1e-6)
    for i, c in enumerate(found):
        others = [j for j in range(4) if j != i]
        assert c.leave_one_out == pytest.approx(worth(range(4)) - worth(others))


def test_many_members_have_no_shapley_value_and_one_has_no_contribution():
    found = differ.contributions(side(skill=SKILL * 3, n=20))
    assert len(found) == 15
    assert np.isnan([c.shapley for c in found]).all()
    assert np.isfinite([c.leave_one_out for c in found]).all()
    for function in (differ.contributions, differ.diversity):
        with pytest.raises(SpecError, match="found 1"):
            function(side().take([0]))


def records(make_run, changes=lambda record, split: record):
    made = []
    for network in ("convxpress", "mcrgnet"):
        for seed in (1, 2):
            record = make_run(network, seed, 0.8)
            table = record.predictions
            n = len(table)
            ids = np.array([f"v{i}" for i in range(n)])
            other = replace(table, split=np.full(n, "validation"), source_id=ids)
            shuffled = np.random.default_rng(seed).permutation(2 * n)
            made.append(replace(record, predictions=concatenate([table, other]).take(shuffled)))
    return made


def test_sides_are_gathered_from_runs_source_by_source(make_run):
    runs = records(make_run)
    validation, test = who.side_of(runs, "validation"), who.side_of(runs, "test")
    assert [m.name for m in test.members] == [
        "convxpress, seed 1",
        "convxpress, seed 2",
        "mcrgnet, seed 1",
        "mcrgnet, seed 2",
    ]
    own = runs[2].predictions.select("test", "best")
    row = int(np.flatnonzero(own.source_id == test.source_id[7])[0])
    np.testing.assert_allclose(test.scores[2, 7], own.log_probabilities()[row])
    assert test.y[7] == own.label[row]
    kinds = [(g.kind, g.index) for g in who.groups(test.members)]
    assert kinds == [
        ("seeds", (0, 1)),
        ("seeds", (2, 3)),
        ("networks", (0, 2)),
        ("networks", (1, 3)),
        ("everything", (0, 1, 2, 3)),
    ]
    scored = ours.score_ensembles([g.index for g in who.groups(test.members)], validation, test, resamples=50)
    assert all(s.value > s.members_mean for s in scored[-1:])


def test_runs_that_do_not_fit_are_refused(make_run):
    runs = records(make_run)
    with pytest.raises(SpecError, match="found none"):
        who.side_of([], "test")
    with pytest.raises(SpecError, match="has no predictions"):
        who.side_of([replace(runs[0], predictions=None)], "test")
    odd = replace(runs[1], predictions=runs[1].predictions.take(np.arange(399)))
    side_that_lacks_one = str(runs[1].predictions.split[399])
    with pytest.raises(SpecError, match=f"differ in their {side_that_lacks_one} sources"):
        who.side_of([runs[0], odd], side_that_lacks_one)
    broken = replace(runs[0].predictions, logits=runs[0].predictions.logits * np.float32(np.nan))
    with pytest.raises(DataError, match="convxpress, seed 1: its logits are not finite"):
        who.side_of([replace(runs[0], predictions=broken)], "test")
    with pytest.raises(SpecError, match="rule: found 'median'; legal are vote, probability, logit"):
        ours.Blend("median")
    with pytest.raises(DataError, match="do not fit"):
        who.Side("test", (), np.array([]), np.array([]), np.zeros((0, 0, 4)))
    with pytest.raises(SpecError, match="unknown metric"):
        ours.choose_subsets(side(), metric="acuracy")
    assert who.groups(side().members[:1]) == ()
