"""Ways of answering: seeds and passes as rows, scored against scikit-learn, and by simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, log_loss

from rgbench.comparison import answer_modes as ours
from rgbench.comparison.members import Side, side_of
from rgbench.errors import SpecError, StoreError
from rgbench.measures.calibration import ece_equal_mass, fit_temperature
from rgbench.measures.catalogue import metrics
from rgbench.measures.uncertainty import member_doubt, with_members
from rgbench.statistics.significance import mpca_interval
from rgbench.store.doubt import read_doubt
from rgbench.store.store import Store
from rgbench.store.tables import SIDES, Predictions, concatenate, write_predictions


def both_sides(record, n: int = 200):
    """A record with validation rows too, sources in no order."""
    table = record.predictions
    other = replace(
        table,
        split=np.full(n, "validation"),
        source_id=np.array([f"v{i}" for i in range(n)]),
        label=table.label,
    )
    shuffled = np.random.default_rng(record.spec.seed).permutation(2 * n)
    return replace(record, predictions=concatenate([table, other]).take(shuffled))


@pytest.fixture
def seeds(make_run):
    return [both_sides(make_run("convxpress", seed, 0.7 + 0.05 * seed)) for seed in (1, 2, 3)]


def sides(records) -> tuple[Side, Side]:
    return side_of(records, "validation"), side_of(records, "test")


def passes(record, m: int = 4, spread: float = 0.8) -> Predictions:
    """Rows of Monte-Carlo dropout: the run's own answers with noise, in one table for both sides."""
    parts = []
    for split in SIDES:
        rows = record.predictions.select(split, "best")
        noise = np.random.default_rng([record.spec.seed, len(split)]).normal(0, spread, (m, len(rows), 4))
        scores = log_softmax(rows.log_probabilities() + noise, axis=2)
        parts.append(with_members(rows, ours.MC_DROPOUT, scores))
    return concatenate(parts)


# --- rows -------------------------------------------------------------------------------------------------


def test_the_ensemble_of_seeds_is_the_mean_of_what_they_say_source_by_source(seeds):
    together = ours.answers_of(seeds, {}, sides(seeds), "best")[-1]
    test = side_of(seeds, "test")
    for place in range(0, 200, 37):
        own = []
        for record in seeds:
            rows = record.predictions.select("test", "best")
            own.append(rows.probabilities()[np.flatnonzero(rows.source_id == test.source_id[place])[0]])
        np.testing.assert_allclose(np.exp(together.test[0, place]), np.mean(own, axis=0), atol=1e-6)


def test_a_table_of_another_run_is_refused(tmp_path, seeds):
    store = Store(tmp_path)
    folder = store.run_path("mine")
    folder.mkdir()
    assert read_doubt(store, "mine") is None
    write_predictions(folder / ours.DOUBT_FILE, passes(seeds[0]))
    with pytest.raises(StoreError, match="not of mine"):
        read_doubt(store, "mine")


# --- ways -------------------------------------------------------------------------------------------------


def test_a_network_answers_in_as_many_ways_as_there_are_rows_for(seeds):
    doubt = {record.run_id: passes(record) for record in seeds}
    found = ours.answers_of(seeds, doubt, sides(seeds), "best")
    assert [each.name for each in found] == ["single run", "MC dropout, 4 passes", "seed ensemble, 3 seeds"]
    assert [each.test.shape for each in found] == [(3, 200, 4), (3, 200, 4), (1, 200, 4)]
    mean = doubt[seeds[1].run_id].select("test", "best", condition=ours.MC_DROPOUT)
    np.testing.assert_allclose(
        np.exp(found[1].test[1]), mean.probabilities()[np.argsort(mean.source_id)], atol=1e-6
    )
    information = found[2].doubts[0].mutual_information
    np.testing.assert_allclose(information, member_doubt(found[0].test).mutual_information)

    one_lacks = {key: table for key, table in doubt.items() if key != seeds[0].run_id}
    assert len(ours.answers_of(seeds, one_lacks, sides(seeds), "best")) == 2
    only_final = {key: replace(t, model=np.full(len(t), "final")) for key, t in doubt.items()}
    assert len(ours.answers_of(seeds, only_final, sides(seeds), "best")) == 2
    alone = ours.answers_of(seeds[:1], doubt, sides(seeds[:1]), "best")
    assert [each.kind for each in alone] == [ours.SINGLE, ours.DROPOUT]
    stale = {**doubt, seeds[0].run_id: doubt[seeds[0].run_id].take(doubt[seeds[0].run_id].source_id != "v3")}
    with pytest.raises(SpecError, match="199 validation sources, not the same as its 200 clean ones"):
        ours.answers_of(seeds, stale, sides(seeds), "best")


def test_scores_equal_scikit_learn_s_and_are_means_over_the_runs(seeds):
    doubt = {record.run_id: passes(record) for record in seeds}
    validation, test = sides(seeds)
    found = ours.score_answers(
        ours.answers_of(seeds, doubt, (validation, test), "best"), validation.y, test.y
    )
    y, truth = test.y, np.eye(4)[test.y]
    for score in found:
        p = np.exp(score.answer.test)
        wanted = {
            "accuracy": np.mean([accuracy_score(y, each.argmax(axis=1)) for each in p]),
            "mpca": np.mean([balanced_accuracy_score(y, each.argmax(axis=1)) for each in p]),
            "nll": np.mean([log_loss(y, each) for each in p]),
            "brier": np.mean(
                [sum(brier_score_loss(truth[:, c], each[:, c]) for c in range(4)) for each in p]
            ),
        }
        for name, value in wanted.items():
            assert score.values[name][0] == pytest.approx(value, abs=1e-9), (score.answer.name, name)
            assert score.values[name][1] < value < score.values[name][2]
        assert score.part("score") == pytest.approx(wanted["brier"])
        fits = [fit_temperature(validation.y, own).value for own in score.answer.validation]
        assert score.temperature == pytest.approx(np.exp(np.mean(np.log(fits))))
        warm = [log_loss(y, softmax(own / t, axis=1)) for own, t in zip(score.answer.test, fits, strict=True)]
        assert score.scaled["nll"][0] == pytest.approx(np.mean(warm))
        assert score.scaled["accuracy"] == score.values["accuracy"]
        assert np.isnan(score.values["ece"][1:]).all()
    together = found[2]
    right = together.answer.test[0].argmax(axis=1) == y
    span = mpca_interval(y, right)
    assert together.values["mpca"] == pytest.approx((span.value, span.low, span.high))
    assert found[0].nll_gain == (0, 0, 0)
    assert together.nll_gain[0] == pytest.approx(found[0].values["nll"][0] - together.values["nll"][0])
    assert together.nll_gain[0] > 0  # Jensen's inequality
    assert together.nll_gain[1] < together.nll_gain[0] < together.nll_gain[2]


def test_nothing_is_fitted_on_test_sources(seeds):
    validation, test = sides(seeds)
    answers = ours.answers_of(seeds, {}, (validation, test), "best")
    one = ours.score_answers(answers, validation.y, test.y)
    other = ours.score_answers(answers, validation.y, (test.y + 1) % 4)
    for first, second in zip(one, other, strict=True):
        assert first.temperatures == second.temperatures
        assert first.values["nll"][0] < second.values["nll"][0]


# --- what the intervals are worth -------------------------------------------------------------------------


def honest(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from the stated probabilities: perfectly calibrated."""
    rng = np.random.default_rng(seed)
    scores = log_softmax(1.5 * rng.normal(size=(n, 4)), axis=1)
    drawn = (rng.random((n, 1)) > np.exp(scores).cumsum(axis=1)).sum(axis=1)
    return np.minimum(drawn, 3), scores


@pytest.mark.slow
def test_intervals_of_losses_hold_the_truth_as_often_as_they_say():
    y, scores = honest(200_000, 10**6)
    truth = {name: metrics().get(name).function(y, scores) for name in ("nll", "brier")}
    inside, trials = dict.fromkeys(truth, 0), 250
    for seed in range(trials):
        y, scores = honest(200, seed)
        answer = ours.Answer("a", ours.SINGLE, scores[None], scores[None])
        (found,) = ours.score_answers([answer], y, y)
        for name, value in truth.items():
            inside[name] += found.values[name][1] <= value <= found.values[name][2]
    for name, number in inside.items():
        assert 0.92 <= number / trials <= 0.98, name


def test_a_bootstrap_of_the_calibration_error_would_not_hold_the_truth():
    """Why it has no interval: of a calibrated network, whose error is 0, no resample comes near 0."""
    lows = []
    for seed in range(20):
        y, scores = honest(200, seed)
        rng = np.random.default_rng(seed)
        draws = [ece_equal_mass(y[i], scores[i]) for i in rng.integers(0, 200, (100, 200))]
        lows.append(np.quantile(draws, 0.025))
        assert np.mean(draws) > ece_equal_mass(y, scores)
    assert min(lows) > 0.03
