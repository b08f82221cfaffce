"""Intervals and paired differences against other implementations, and the coverage that they state."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import recall_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from rgbench.comparison.groups import group_records
from rgbench.comparison.summary import compare
from rgbench.errors import SpecError
from rgbench.measures.catalogue import metrics
from rgbench.statistics.intervals import interval, joint_weights, resampled, stratified_weights, wilson
from rgbench.statistics.paired import Sample, paired_differences
from rgbench.statistics.significance import holm


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 4
    return y, rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[y]


@pytest.mark.parametrize("name", [name for name, card in metrics() if card.interval != "none"])
def test_weighted_metrics_equal_those_of_the_repeated_sources(name):
    y, logits = draw(60)
    weights = stratified_weights(y, 20, np.random.default_rng(1))
    fast = resampled(metrics().get(name), y, logits, weights)
    for value, row in zip(fast, weights.astype(int), strict=True):
        chosen = np.repeat(np.arange(60), row)
        assert value == pytest.approx(metrics().get(name).function(y[chosen], logits[chosen]), rel=1e-6)


def test_weights_keep_the_classes():
    y = np.array([0, 0, 0, 1, 1, 2])
    weights = stratified_weights(y, 500, np.random.default_rng(1))
    for c in range(3):
        assert (weights[:, y == c].sum(axis=1) == (y == c).sum()).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)


def test_the_interval_equals_scipy_s_bootstrap():
    y, logits = draw(200)
    right = (logits.argmax(axis=1) == y).astype(float)
    samples = tuple(right[y == c] for c in range(4))

    def mean_of_means(*parts, axis=-1):
        return np.mean([part.mean(axis=axis) for part in parts], axis=0)

    theirs = stats.bootstrap(
        samples, mean_of_means, n_resamples=20000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    weights = stratified_weights(y, 20000, np.random.default_rng(1))
    low, high = interval(resampled(metrics().get("mpca"), y, logits, weights), 0.95)
    assert low == pytest.approx(theirs.low, abs=0.004)
    assert high == pytest.approx(theirs.high, abs=0.004)


def test_the_interval_of_a_difference_equals_scipy_s_paired_bootstrap():
    """Of losses of one class: strata and pairs are the same thing to scipy, and quantiles lie on no lattice."""
    rng = np.random.default_rng(4)
    hard = rng.gamma(1.0, 1.0, 150)
    losses = [hard + rng.gamma(1.0, scale, 150) for scale in (1.3, 0.9)]
    theirs = stats.bootstrap(
        losses,
        lambda a, b, axis=-1: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True,
        n_resamples=20000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    weights = stratified_weights(np.zeros(150, dtype=int), 20000, np.random.default_rng(1))
    samples = [
        Sample(name, np.array([own.mean()]), (weights @ own / 150)[None], ("published",))
        for name, own in zip("ab", losses, strict=True)
    ]
    (pair,) = paired_differences(samples, metrics().get("nll"), 0.95, 150).pairs
    # Two quantiles of 20,000 draws each: four standard errors are a fourteenth of the interval.
    close = (theirs.high - theirs.low) / 14
    assert (pair.low, pair.high) == pytest.approx((theirs.low, theirs.high), abs=close)


def test_wilson_and_holm_equal_statsmodels():
    assert wilson(100, 104) == pytest.approx(proportion_confint(100, 104, method="wilson"))
    p = [0.001, 0.04, 0.03, 0.2, 0.04]
    assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]))
    assert holm([]) == []


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 400])
def test_stated_intervals_contain_the_truth_as_often_as_they_say(n):
    rng, inside, trials = np.random.default_rng(7), 0, 400
    truth = np.array([0.9, 0.7, 0.8, 0.6])
    y = np.arange(n) % 4
    for _ in range(trials):
        said = np.where(rng.random(n) < truth[y], y, (y + 1) % 4)
        weights = stratified_weights(y, 400, rng)
        low, high = interval(resampled(metrics().get("mpca"), y, np.eye(4)[said], weights), 0.95)
        inside += low <= truth.mean() <= high
    assert 0.91 <= inside / trials <= 0.98


def test_a_clear_winner_is_named_and_a_tie_is_not(make_run):
    records = [
        make_run(name, seed, skill)
        for name, skill in (("mcrgnet", 0.5), ("convxpress", 0.9))
        for seed in (1, 2, 3)
    ]
    comparison = compare(records)
    assert [row.network for row in comparison.rows] == ["convxpress", "mcrgnet"]
    (pair,) = comparison.pairs
    assert pair.separable
    assert pair.p_value < 0.01
    assert comparison.words[1].startswith("convxpress beats mcrgnet by ")
    tie = compare([make_run(name, 1, 0.8) for name in ("mcrgnet", "toothless")])
    assert "cannot be told apart with 200 test sources" in tie.words[1]
    assert not tie.pairs[0].separable


def test_estimates_are_means_over_seeds_with_their_spread(make_run):
    records = [make_run("mcrgnet", seed, 0.8) for seed in (1, 2, 3)]
    (row,) = compare(records).rows
    estimate = row.metrics["accuracy"]
    values = [metrics().get("accuracy").function(r.predictions.label, r.predictions.logits) for r in records]
    assert estimate.values == pytest.approx(tuple(values))
    assert estimate.mean == pytest.approx(np.mean(values))
    assert estimate.spread == pytest.approx(np.std(values, ddof=1))
    assert estimate.low < estimate.mean < estimate.high
    assert row.cost["training_seconds"] == 5.0
    assert row.confusion.sum() == 600
    assert np.isnan(compare(records[:1]).rows[0].metrics["accuracy"].spread)


def test_recalls_are_those_of_scikit_learn_with_the_interval_of_an_accuracy(make_run):
    records = [make_run("mcrgnet", seed, 0.8) for seed in (1, 2, 3)]
    (row,) = compare(records).rows
    said = [
        recall_score(r.predictions.label, r.predictions.logits.argmax(axis=1), average=None) for r in records
    ]
    for k, found in enumerate(row.recalls):
        assert found.values == pytest.approx([own[k] for own in said])
        assert found.mean == pytest.approx(np.mean(found.values))
        assert found.low < found.mean < found.high
    (one,) = compare(records[:1]).rows
    label = records[0].predictions.label
    for k, found in enumerate(one.recalls):
        n = int((label == k).sum())
        assert (found.low, found.high) == pytest.approx(
            proportion_confint(round(n * found.mean), n, method="wilson"), abs=1e-6
        )


def test_recalls_of_seeds_with_test_sources_of_their_own_are_wider_than_one_wilson_interval(make_run):
    records = [make_run("mcrgnet", s, 0.8, test_seed=s) for s in (1, 2, 3)]
    (row,) = compare(records).rows
    for k, found in enumerate(row.recalls):
        n = min(int((r.predictions.label == k).sum()) for r in records)
        low, high = proportion_confint(round(n * found.mean), n, method="wilson")
        assert found.low <= low + 1e-9 < found.mean < high - 1e-9 <= found.high
    gone = replace(records[0], predictions=records[0].predictions.take(records[0].predictions.label != 0))
    (row,) = compare([gone]).rows
    assert np.isnan(row.recalls[0].mean)
    assert np.isfinite([each.mean for each in row.recalls[1:]]).all()


def test_the_cost_of_an_answer_is_that_of_all_its_views(make_run):
    record = make_run("mcrgnet", 1, 0.8)
    views = record.spec.recipe.views
    record = replace(record, cost=record.cost | {"macs": 7.0, "inference_images_per_second": 80.0})
    (row,) = compare([record]).rows
    assert row.views == views
    assert row.answer_costs["macs"] == 7.0 * views
    assert row.answer_costs["inference_images_per_second"] == 80.0 / views
    assert row.answer_costs["training_seconds"] == row.cost["training_seconds"]


def test_the_order_of_rows_in_a_table_changes_nothing(make_run):
    records = [make_run("mcrgnet", 1, 0.8), make_run("toothless", 1, 0.7)]
    order = np.random.default_rng(1).permutation(200)
    shuffled = [records[0], replace(records[1], predictions=records[1].predictions.take(order))]
    assert compare(records).pairs == compare(shuffled).pairs


def test_failed_and_constant_runs_stay_and_come_last(make_run):
    good, constant, failed = (
        make_run("mcrgnet", 1, 0.8),
        make_run("toothless", 1, 0.8),
        make_run("hosenie", 1, 0.8),
    )
    logits = np.tile(np.float32([0, 0, 1, 0]), (200, 1))
    constant = replace(constant, predictions=replace(constant.predictions, logits=logits))
    failed = replace(failed, status="failed", predictions=None, error="OutOfMemoryError: no")
    comparison = compare([failed, constant, good])
    assert [(row.network, row.status) for row in comparison.rows] == [
        ("mcrgnet", "ok"),
        ("toothless", "did not learn"),
        ("hosenie", "failed"),
    ]
    assert "predicts FRII for every one of 200 sources" in comparison.rows[1].notes[0]
    assert "OutOfMemoryError: no" in comparison.rows[2].notes[0]
    assert comparison.pairs == ()
    assert any("toothless did not learn" in line for line in comparison.words)


def test_a_diverged_run_is_reported(make_run):
    good, bad = make_run("mcrgnet", 1, 0.8), make_run("toothless", 1, 0.8)
    nan = np.full((200, 4), np.nan, np.float32)
    bad = replace(bad, predictions=replace(bad.predictions, logits=nan))
    rows = {row.network: row for row in compare([good, bad]).rows}
    assert rows["toothless"].status == "did not learn"
    assert "diverged" in rows["toothless"].notes[0]


def test_different_settings_are_not_compared(make_run):
    records = [make_run("mcrgnet", 1, 0.8), make_run("mcrgnet", 1, 0.8, protocol="becker2021")]
    assert [len(group) for group in group_records(records)] == [1, 1]
    with pytest.raises(SpecError, match=r"they differ in protocol \(modern and becker2021\)"):
        compare(records)
    with pytest.raises(SpecError, match="no run to compare"):
        compare([])


def test_seeds_with_splits_of_their_own_are_still_paired(make_run):
    records = [
        make_run(name, s, skill, test_seed=s)
        for name, skill in (("mcrgnet", 0.6), ("toothless", 0.9))
        for s in (1, 2, 3, 4)
    ]
    comparison = compare(records)
    (pair,) = comparison.pairs
    assert pair.first == "toothless"
    assert pair.separable
    other = compare([*records[:4], make_run("toothless", 9, 0.9, test_seed=9)])
    assert other.pairs == ()
    assert "mcrgnet was tested on other sources than toothless: the two are not compared." in other.words


def test_sources_without_a_label_are_left_out(make_run):
    record = make_run("mcrgnet", 1, 0.8)
    table = record.predictions
    hidden = replace(table, label=np.where(np.arange(len(table)) < 20, -1, table.label))
    known = replace(record, predictions=table.take(np.arange(len(table)) >= 20))
    one, other = (compare([r]).rows[0].metrics["mpca"] for r in (replace(record, predictions=hidden), known))
    assert (one.values, one.low, one.high) == (other.values, other.low, other.high)


def test_one_diverged_seed_keeps_a_network_out_of_the_pairs_and_is_said(make_run):
    good, bad = [make_run("mcrgnet", s, 0.8) for s in (1, 2)], [make_run("toothless", s, 0.8) for s in (1, 2)]
    nan = np.full((200, 4), np.nan, np.float32)
    bad[1] = replace(bad[1], predictions=replace(bad[1].predictions, logits=nan))
    comparison = compare([*good, *bad])
    assert comparison.pairs == ()
    assert set(comparison.resamples) == {"mcrgnet"}
    assert any("Among the runs of toothless: seed 2 did not learn" in line for line in comparison.words)


def test_losses_are_said_in_their_unit_and_lower_is_better(make_run):
    records = [make_run(n, s, k) for n, k in (("mcrgnet", 0.5), ("convxpress", 0.95)) for s in (1, 2, 3)]
    comparison = compare(records, metric="nll")
    leader, pair = comparison.words[0], comparison.words[1]
    best = r"convxpress has the best negative log-likelihood \(NLL\), \d\.\d{3} \(95 % interval"
    assert re.match(best, leader)
    found = re.fullmatch(r"convxpress beats mcrgnet in NLL by (\S+) \(95 % interval (\S+) to (\S+)\)\.", pair)
    value, low, high = map(float, found.groups())
    assert 0 < low < value < high


def test_equal_networks_share_the_first_place(make_run):
    one = make_run("mcrgnet", 1, 0.8)
    other = replace(make_run("toothless", 1, 0.8), predictions=one.predictions)
    assert "share the best mean per-class accuracy (MPCA)" in compare([one, other]).words[0]


def test_one_network_with_two_recipes_has_two_rows(make_run):
    records = [make_run("mcrgnet", 1, 0.8), make_run("mcrgnet", 1, 0.8, recipe={"epochs": 3})]
    names = [row.network for row in compare(records).rows]
    assert len(set(names)) == 2
    assert any("3 epochs" in name for name in names)


def test_paired_resamples_cancel_what_the_sources_share():
    shared = np.random.default_rng(1).normal(0.8, 0.05, 2000)
    samples = [
        Sample(name, np.array([0.8 + gap]), shared[None] + gap, ("published",))
        for name, gap in (("a", 0.02), ("b", 0))
    ]
    (pair,) = paired_differences(samples, metrics().get("mpca"), 0.95, 200).pairs
    assert pair.low == pytest.approx(0.02)
    assert pair.resolvable == pytest.approx(0, abs=1e-9)


def networks_around(truths, rng, error=0.01, draws=4000) -> list[Sample]:
    """Give one run of each network, found with a normal error around the truth, and its resamples."""
    values = [truth + error * rng.normal() for truth in truths]
    return [
        Sample(f"net-{i}", np.array([value]), value + error * rng.normal(size=(1, draws)), ("published",))
        for i, value in enumerate(values)
    ]


@pytest.mark.parametrize(("networks", "looks"), [(2, 1), (3, 1), (4, 4)])
def test_the_resolvable_difference_is_that_of_80_of_100_tests_among_so_many_pairs(networks, looks):
    samples = networks_around([0.5] * networks, np.random.default_rng(7), draws=200_000)
    found = paired_differences(samples, metrics().get("macro_f1"), 0.95, 200, looks).pairs
    steps = stats.norm.ppf(1 - 0.05 / 2 / len(found) / looks) + stats.norm.ppf(0.8)
    assert [pair.resolvable for pair in found] == pytest.approx(
        [steps * 0.01 * np.sqrt(2)] * len(found), rel=0.03
    )


def test_a_difference_as_large_as_the_resolvable_one_is_found_in_80_of_100_tests():
    rng, card = np.random.default_rng(8), metrics().get("macro_f1")
    named = [paired_differences(networks_around([0.5, 0.5], rng), card, 0.95, 200).pairs for _ in range(30)]
    gap = np.median([pair.resolvable for (pair,) in named])
    found = [
        paired_differences(networks_around([0.5 + gap, 0.5], rng), card, 0.95, 200).pairs[0].separable
        for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)


def test_recipes_that_differ_in_one_more_key_have_rows_of_their_own(make_run):
    """Two ways to be trained are not pooled as if they were seeds of one."""
    runs = [
        make_run("mcrgnet", seed, skill, recipe={"labels": labels})
        for labels, skill in (("published", 0.8), ("consensus", 0.6))
        for seed in (1, 2)
    ]
    found = compare(runs)
    names = [row.network for row in found.rows]
    assert [name.split(", ")[-1] for name in names] == ["labels published)", "labels consensus)"]
    assert [row.n_seeds for row in found.rows] == [2, 2]
    assert {row.name for row in found.rows} == {"mcrgnet"}


def test_an_unknown_p_value_stays_unknown_and_does_not_count():
    known = [0.001, 0.04, 0.03]
    found = holm([known[0], np.nan, *known[1:]])
    assert np.isnan(found[1])
    assert [found[0], *found[2:]] == pytest.approx(list(multipletests(known, method="holm")[1]))


def test_every_resample_of_every_test_set_has_a_source():
    """Of one source each, half a source in e draws would be missing; the others follow a Poisson law above 0."""
    tests = [np.array(["a"]), np.array(["b"]), np.array([f"c{i}" for i in range(50)])]
    one, other, many = joint_weights(tests, 20_000, np.random.default_rng(1))
    assert one.min() == other.min() == 1
    assert many.sum(axis=1).min() > 0
    law = stats.poisson(1)
    expected = 1 / (1 - law.pmf(0))
    assert [one.mean(), other.mean()] == pytest.approx([expected, expected], abs=0.03)
    assert np.mean(one == 2) == pytest.approx(law.pmf(2) / (1 - law.pmf(0)), abs=0.015)
    assert many.mean() == pytest.approx(1, abs=0.01)


def test_resamples_that_lack_nothing_are_those_of_before():
    tests = [np.array([f"s{i}" for i in range(40)]), np.array([f"s{i}" for i in range(20, 60)])]
    first, second = joint_weights(tests, 300, np.random.default_rng(3))
    plain = np.random.default_rng(3).poisson(1.0, size=(300, 60))
    names = sorted(f"s{i}" for i in range(60))
    for own, drawn in zip(tests, (first, second), strict=True):
        np.testing.assert_array_equal(drawn, plain[:, [names.index(name) for name in own]])


def test_a_handful_of_sources_for_every_seed_tells_nobody_apart(make_run):
    """Some resamples of 4 sources would be empty, and two seeds have t = 12.7."""
    records = [
        make_run(name, seed, skill, n=4, test_seed=seed)
        for name, skill in (("mcrgnet", 0.5), ("toothless", 0.6))
        for seed in (1, 5)
    ]
    comparison = compare(records)
    (pair,) = comparison.pairs
    assert (pair.low, pair.high) == (-1, 1)
    assert (pair.separable, pair.resolvable) == (False, np.inf)
    assert pair.p_value > 0.05
    assert all(np.isfinite(drawn).all() for drawn in comparison.resamples.values())
    assert "95 % interval −100.0 to 100.0, which excludes nothing" in comparison.words[1]
    assert comparison.words[2] == (
        "With these 4 test sources and runs a true difference may be there unseen, however large it is."
    )


def test_without_an_interval_there_is_no_decision(make_run):
    """A class of one source each has no variance, and a loss then no interval."""
    records = [make_run(name, 1, skill, n=4) for name, skill in (("mcrgnet", 0.1), ("toothless", 1.0))]
    comparison = compare(records, metric="nll")
    (pair,) = comparison.pairs
    assert np.isnan([pair.low, pair.high, pair.p_value, pair.resolvable]).all()
    assert not pair.separable
    leader, said = comparison.words[0], comparison.words[1]
    assert "with 4 test sources it cannot be told apart from mcrgnet" in leader
    assert said == (
        "toothless and mcrgnet cannot be told apart in NLL with 4 test sources: these are too few to give their "
        "difference an interval."
    )
    assert not any("beats" in line for line in comparison.words)


def test_a_pair_without_an_interval_leaves_the_others_alone():
    """Of three networks one has a resample without a value: two pairs are not tested, the third by itself."""
    rng = np.random.default_rng(2)
    samples = [
        Sample(name, np.array([mean]), mean + 0.01 * rng.normal(size=(1, 4000)), ("published",))
        for name, mean in (("a", 0.9), ("b", 0.7), ("c", 0.5))
    ]
    samples[2].resamples[0, 7] = np.nan
    first, second, third = paired_differences(samples, metrics().get("macro_f1"), 0.95, 50).pairs
    (alone,) = paired_differences(samples[:2], metrics().get("macro_f1"), 0.95, 50).pairs
    assert first.separable
    assert first.p_value == alone.p_value
    for pair in (second, third):
        assert np.isnan([pair.low, pair.high, pair.p_value]).all()
        assert not pair.separable


@pytest.mark.parametrize(
    ("metric", "most"), [("macro_f1", 1.0), ("mcc", 2.0), ("brier", 2.0), ("nll", np.inf)]
)
def test_a_difference_ends_where_values_do(metric, most):
    draws = np.zeros((2, 100))
    samples = [
        Sample(name, np.array(values), draws + np.array(values)[:, None], ("x", "y"), shared=False)
        for name, values in (("a", (0.9, 0.0)), ("b", (0.0, 0.9)))
    ]
    (pair,) = paired_differences(samples, metrics().get(metric), 0.95, 10).pairs
    # The differences are 0.9 and -0.9: a standard error of 0.9, times 12.7.
    half = min(12.706 * 0.9, most)
    assert (pair.low, pair.high) == pytest.approx((-half, half), rel=1e-4)
    assert np.isinf(pair.resolvable) == np.isfinite(most)
