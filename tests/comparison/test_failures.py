"""Where networks fail: bins, trends against statsmodels, planted groups, links, properties of a real set."""

from __future__ import annotations

import os
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.stats import binomtest

from rgbench.comparison.failures import (
    NOT_KNOWN,
    Answered,
    by_category,
    by_number,
    collect,
    failing_groups,
    missed_by_all,
    properties,
)
from rgbench.comparison.words.curves import trend as trend_words
from rgbench.comparison.words.failures import group as group_words
from rgbench.data.catalogue import Catalogue
from rgbench.data.sets import load_data
from rgbench.data.surveys.links import sky_link
from rgbench.errors import DataError, SpecError
from rgbench.statistics.trend import trend


def table(names, **extra):
    n = len(names)
    zeros = np.zeros(n, dtype=np.int64)
    place = {"ra": np.linspace(10.0, 11.0, n), "dec": np.linspace(-5.0, 5.0, n)}
    return Catalogue(
        np.array(names),
        label=zeros,
        group=np.arange(n),
        path=np.array(names),
        flags=zeros,
        extra=extra,
        **place,
    )


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, st.integers(1, 60), elements=st.floats(-5, 5).map(lambda x: round(x, 1))),
    st.integers(1, 7),
)
def test_bins_hold_every_source_once_and_do_not_overlap(values, bins):
    values = np.where(values == 5.0, np.nan, values)
    found = by_number(values, np.zeros(len(values)), bins)
    assert sum(part.n for part in found) == len(values)
    ranges = [part for part in found if part.name != NOT_KNOWN]
    assert len(ranges) <= bins
    assert all(a.high < b.low for a, b in pairwise(ranges))
    assert sum(part.n for part in found if part.name == NOT_KNOWN) == np.isnan(values).sum()


def test_bins_have_equal_numbers_and_wilson_intervals(rng):
    values, right = rng.permutation(200.0 * np.arange(200)), rng.random(200) < 0.8
    found = by_number(values, right, 5)
    assert [part.n for part in found] == [40] * 5
    for part in found:
        inside = (values >= part.low) & (values <= part.high)
        expected = binomtest(int(right[inside].sum()), 40).proportion_ci(method="wilson")
        assert (part.accuracy.low, part.accuracy.high) == pytest.approx(
            (expected.low, expected.high), abs=1e-7
        )


def test_runs_that_share_sources_do_not_narrow_the_interval(rng):
    right = (rng.random(100) < 0.7).astype(float)
    once = by_category(np.full(100, "a"), right)[0].accuracy
    tested = Answered(
        ("x", "y"),
        np.arange(100).astype(str),
        np.zeros(100, np.int64),
        np.stack([30 * right, 30 * (1 - right)], axis=1).astype(np.int64),
        np.stack([right, 1 - right], axis=1),
    )
    assert by_category(np.full(100, "a"), tested.right)[0].accuracy == once


def test_categories_are_sorted_by_number_and_an_empty_one_is_named():
    found = by_category(np.array(["b", "", "a", "a"]), np.array([1.0, 0.5, 0, 1]))
    assert [(part.name, part.n, part.accuracy.value) for part in found] == [
        ("a", 2, 0.5), ("b", 1, 1.0), (NOT_KNOWN, 1, 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("stratified", [False, True])
def test_slopes_of_one_run_are_those_of_statsmodels(rng, scale, stratified):
    size = np.exp(rng.normal(3, 1, 400))
    groups = rng.integers(0, 3, 400)
    right = rng.random(400) < 1 / (1 + np.exp(-(1.5 + 0.5 * groups - 0.8 * (np.log(size) - 3))))
    found = trend(size, right, groups if stratified else None, scale)
    x = np.log2(size) if scale == "log" else size / np.std(size)
    design = np.column_stack([x, np.eye(3)[groups]]) if stratified else sm.add_constant(x)[:, ::-1]
    expected = sm.Logit(right.astype(float), design).fit(disp=0, use_t=True)
    assert found.slope == pytest.approx(expected.params[0], abs=1e-6)
    assert (found.low, found.high) == pytest.approx(tuple(expected.conf_int()[0]), abs=1e-6)
    assert found.p_value == pytest.approx(expected.pvalues[0], rel=1e-4)
    assert trend_words(found).startswith("accuracy falls")


def test_slopes_of_several_runs_have_the_sandwich_error_with_leverage(rng):
    x = rng.normal(size=300)
    share = rng.binomial(3, 1 / (1 + np.exp(-(1 + 0.4 * x + rng.normal(0, 1.5, 300))))) / 3
    found = trend(x, share)
    model = sm.GLM(share, sm.add_constant(x / np.std(x)), family=sm.families.Binomial())
    expected = model.fit()
    assert found.slope == pytest.approx(expected.params[1], abs=1e-6)
    kept = expected.resid_response / (1 - expected.get_influence().hat_matrix_diag)
    bread = expected.cov_params()
    cov = bread @ (model.exog.T @ (model.exog * kept[:, None] ** 2)) @ bread
    half = stats.t.ppf(0.975, 298) * np.sqrt(cov[1, 1])
    assert (found.low, found.high) == pytest.approx((found.slope - half, found.slope + half), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "runs"), [(50, 3), (50, 9), (200, 9)])
def test_without_a_trend_few_are_found(n, runs):
    found = []
    for seed in range(500):
        rng = np.random.default_rng([n, runs, seed])
        hard, size = rng.normal(0, 1.5, n), np.exp(rng.normal(0, 1, n))
        right = (rng.random((runs, n)) < 1 / (1 + np.exp(-1.5 - hard))).mean(axis=0)
        found.append(trend(size, right, np.arange(n) % 4, "log").p_value < 0.05)
    assert 0.02 < np.mean(found) < 0.08, "5 % within three standard errors of 500 cases"


def test_a_trend_that_is_only_one_of_classes_goes_with_strata(rng):
    groups = np.repeat([0, 1], 400)
    size = rng.normal(groups * 3.0, 1.0)
    right = rng.random(800) < np.where(groups == 1, 0.55, 0.95)
    assert trend(size, right).p_value < 1e-10
    assert trend(size, right, groups).p_value > 0.01


def test_intervals_of_slopes_hold_the_truth():
    rng, inside = np.random.default_rng(3), 0
    for _ in range(400):
        x = rng.normal(size=200)
        right = rng.random(200) < 1 / (1 + np.exp(-(1 + 0.5 * x)))
        found = trend(x, right)
        inside += found.low <= 0.5 * found.step <= found.high
    assert 0.93 <= inside / 400 <= 0.975


@pytest.mark.parametrize(
    ("values", "right", "reason"),
    [
        (np.arange(30.0), np.arange(30) < 15, "part recognised sources from others"),
        (np.arange(30.0), np.ones(30), "all sources fare alike"),
        (np.ones(30), np.arange(30) < 15, "does not vary"),
        (np.arange(5.0), np.array([1, 0, 1, 0, 1]), "only 5 sources are left, 10 are needed"),
        (np.full(30, np.nan), np.arange(30) < 15, "only 0 sources are left"),
    ],
)
def test_where_no_trend_can_be_fitted_it_says_why(values, right, reason):
    found = trend(values, right)
    assert np.isnan(found.slope)
    assert trend_words(found).startswith("no trend can be fitted: ")
    assert reason in trend_words(found)


def test_runs_are_gathered_source_by_source_and_what_all_miss_is_found(make_run):
    records = [make_run("mcrgnet", 1, 0.7), make_run("mcrgnet", 2, 0.7), make_run("convxpress", 1, 0.7)]
    tested = collect(records)
    tests = [r.predictions.select("test", "best") for r in records]
    right = {}
    for test in tests:
        for name, y, logits in zip(test.source_id, test.label, test.logits, strict=True):
            right.setdefault(str(name), []).append(int(logits.argmax() == y))
    assert dict(zip(tested.source_id.tolist(), tested.right, strict=True)) == {
        name: pytest.approx(np.mean(hits)) for name, hits in right.items()
    }
    catalogue = table(sorted(right))
    found = missed_by_all(tested, catalogue)
    assert {m.source_id for m in found} == {name for name, hits in right.items() if not any(hits)}
    assert found, "three runs of 0.7 miss some sources together"
    assert [m.of_label for m in found] == sorted(m.of_label for m in found)
    place = dict(zip(catalogue.source_id.tolist(), catalogue.ra, strict=True))
    for missed in found:
        assert missed.ra == place[missed.source_id]
        assert missed.label not in dict(missed.answers)
        assert sum(m for _, m in missed.answers) == 3
        assert f"ra={missed.ra:.6f}" in missed.link
    assert all(m.link == "" and np.isnan(m.ra) for m in missed_by_all(tested))
    assert missed_by_all(tested, catalogue, least_runs=4) == []


def test_runs_that_do_not_fit_are_refused(make_run):
    with pytest.raises(DataError, match="no complete run has test predictions"):
        collect([])
    first, second = make_run("mcrgnet", 1, 0.7), make_run("mcrgnet", 2, 0.7)
    second.predictions.label[0] = (second.predictions.label[0] + 1) % 4
    with pytest.raises(DataError, match="source 't0s0' has two labels"):
        collect([first, second])


def test_planted_failures_are_found_and_chance_is_not(rng):
    size, faint = rng.random(900), rng.random(900)
    parent = rng.choice(["Proctor", "Gendre"], 900)
    bad = (size > 2 / 3) & (parent == "Proctor")
    right = rng.random(900) < np.where(bad, 0.4, 0.92)
    found = failing_groups({"size": size, "faint": faint, "parent": parent}, right)
    pair = next(group for group in found if len(group.conditions) == 2)
    assert {name for name, _ in pair.conditions} == {"size", "parent"}
    assert pair.accuracy.value == pytest.approx(0.4, abs=0.12)
    assert pair.excess == pytest.approx(bad.sum() * 0.52, rel=0.25)
    assert all("faint" not in dict(group.conditions) for group in found), "it has no part in it"
    (first, *_) = failing_groups({"angular size / arcsec": size, "parent": parent}, right)
    said = {"angular size / arcsec": "angular size {} arcsec", "parent": "parent {}"}
    assert group_words(first).startswith(
        " and ".join(said[name].format(part) for name, part in first.conditions)
    )
    false = 0
    for _ in range(60):
        false += bool(
            failing_groups({"size": rng.random(200), "faint": rng.random(200)}, rng.random(200) < 0.8)
        )
    assert false <= 7, "5 % of 60 are 3"


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 360), st.floats(-90, 90), st.sampled_from(["legacy", "aladin", "esasky"]))
def test_links_say_where(ra, dec, service):
    parts = urlsplit(sky_link(ra, dec, service))
    query = parse_qs(parts.query, strict_parsing=True)
    place = (query["ra"] + query["dec"]) if service == "legacy" else query["target"][0].split()
    assert [float(x) for x in place] == pytest.approx([ra, dec], abs=1e-6)
    assert parts.scheme == "https"
    assert " " not in parts.geturl()


def test_links_have_no_place_without_position_and_refuse_what_is_none():
    assert sky_link(float("nan"), 1.0) == ""
    with pytest.raises(SpecError, match="service: found 'ned'; legal are legacy, aladin, esasky"):
        sky_link(1.0, 1.0, "ned")
    with pytest.raises(SpecError, match=r"arcmin: found 0; legal"):
        sky_link(1.0, 1.0, arcmin=0)
    for ra, dec in ((1.0, 91.0), (-1.0, 0.0), (400.0, 0.0), (float("inf"), 0.0)):
        assert sky_link(ra, dec) == "", "no place on the sky"


def test_what_is_not_legal_says_so():
    with pytest.raises(SpecError, match=r"found \(3,\) and \(2,\)"):
        by_number(np.arange(3.0), np.ones(2))
    with pytest.raises(SpecError, match="bins: found 0; legal are 1 and more"):
        by_number(np.arange(3.0), np.ones(3), 0)
    with pytest.raises(SpecError, match="shares from 0 to 1"):
        by_category(np.array(["a"]), np.array([2.0]))
    with pytest.raises(SpecError, match="scale: found 'sqrt'; legal are linear, log"):
        trend(np.arange(20.0), np.arange(20) % 2, scale="sqrt")


@pytest.mark.skipif("RGBENCH_MIRROR" not in os.environ, reason="RGBENCH_MIRROR is not set")
def test_properties_of_a_real_set():
    dataset = load_data("mirabest-full")
    catalogue = dataset.catalogue
    n, k = len(catalogue), len(dataset.classes)
    order = np.argsort(catalogue.source_id)
    said = np.eye(k, dtype=np.int64)[np.zeros(n, np.int64)]
    tested = Answered(dataset.classes, catalogue.source_id[order], catalogue.label[order], said, said * 1.0)
    found = properties(tested, catalogue)
    assert {"class", "redshift", "angular_size"} <= set(found)
    np.testing.assert_array_equal(found["angular_size"], catalogue.extra["angular_size"][order])
    parts = by_number(found["redshift"], tested.right, 4)
    assert sum(part.n for part in parts) == n
    assert {part.name: part.accuracy.value for part in by_category(found["class"], tested.right)}["FRII"] == 0
