"""What seeds bring to an interval: limits that are known, and a simulation written another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import halfcauchy, norm, t

from rgbench.statistics.seed_scatter import SCALE, SeedScatter, SplitScatter, borrow, reference

SCALES = np.geomspace(0.9e-3, 0.45, 600)
"""Scales of the prior of tau, much finer than the package has them, and as far; each stands for a range like itself."""


def prior(tau: float, told: np.ndarray) -> float:
    """The prior of tau: half-Cauchy, of scales as likely as they are told to be."""
    return float((halfcauchy.pdf(tau, scale=SCALES) * told).sum() / told.sum())


def likelihood(tau: float, scatter: SeedScatter) -> float:
    total, degrees = tau**2 + scatter.single, scatter.seeds - 1
    return float(total ** (-degrees / 2) * np.exp(-degrees * scatter.variance / 2 / total))


def posterior_mean(scatter: SeedScatter, told: np.ndarray) -> float:
    """Integrate tau over its posterior, by quadrature; beyond 100 points no share can scatter."""

    def weight(tau: float) -> float:
        return likelihood(tau, scatter) * prior(tau, told)

    mean, _ = quad(lambda x: x * weight(x), 1e-6, 1, limit=200, epsrel=1e-4)
    whole, _ = quad(weight, 1e-6, 1, limit=200, epsrel=1e-4)
    return mean / whole


def mean_of(scatter: SeedScatter) -> float:
    return float(scatter.taus((np.arange(4000) + 0.5) / 4000).mean())


@pytest.mark.parametrize("variance", [0.01**2, 0.03**2])
@pytest.mark.parametrize("single", [0.005**2, 0.02**2])
@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_the_posterior_is_that_of_a_quadrature(variance, single, seeds):
    scatter = SeedScatter(variance, single, seeds)
    alone = (np.abs(SCALES - SCALE) == np.abs(SCALES - SCALE).min()).astype(float)
    assert mean_of(scatter) == pytest.approx(posterior_mean(scatter, alone), rel=0.06)


def test_other_networks_tell_the_scale_of_the_prior_as_a_quadrature_has_it():
    """With others that hardly scatter, three seeds that do scatter are believed less."""
    one = SeedScatter(0.02**2, 0.01**2, 3)
    others = [
        SeedScatter(spread**2, 0.005**2, seeds) for spread, seeds in ((0.005, 5), (0.002, 3), (0.008, 10))
    ]
    told = SCALES * halfcauchy.pdf(SCALES, scale=0.5)
    taus = np.geomspace(1e-5, 1, 2000)
    for other in others:
        each = np.array([likelihood(tau, other) for tau in taus])
        told = told * np.trapezoid(each * halfcauchy.pdf(taus[None], scale=SCALES[:, None]), taus, axis=1)
    mine = borrow([one, *others])[0]
    assert mean_of(mine) == pytest.approx(posterior_mean(one, told), rel=0.06)
    assert mean_of(mine) < 0.9 * mean_of(one)
    assert borrow([]) == []


def test_without_seeds_the_distribution_is_normal():
    alone = reference(0.02, [])
    assert alone.critical(0.95) == pytest.approx(norm.ppf(0.975), abs=1e-6)
    assert float(alone.tail(1.5)) == pytest.approx(2 * norm.sf(1.5))
    assert alone.above_zero(0.02) == pytest.approx(norm.cdf(1))


def test_many_seeds_tell_how_far_they_scatter():
    assert reference(0.02, [SeedScatter(0.03**2, 0.0, 400)] * 2).critical(0.95) == pytest.approx(
        1.96, abs=0.02
    )


def test_folds_alone_have_student_s_t():
    found = reference(0.0, [SplitScatter(0.02, 5)])
    assert found.critical(0.95) == pytest.approx(t.ppf(0.975, 4), rel=0.01)
    assert found.above_zero(0.03) == pytest.approx(t.cdf(1.5, 4), abs=0.01)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.001, 0.1), st.floats(0.0, 0.05), st.integers(2, 12), st.floats(0.005, 0.05))
def test_seeds_need_more_than_1_96_and_order_does_not_count(spread, single, seeds, source_error):
    one, other = SeedScatter(spread**2, single**2, seeds), SeedScatter(0.01**2, 0.01**2, 3)
    found, turned = reference(source_error, [one, other]), reference(source_error, [other, one])
    assert found.critical(0.95) == turned.critical(0.95)
    assert 1.9 < found.critical(0.95) < 60
    assert float(found.tail(found.critical(0.9))) == pytest.approx(0.1, abs=1e-6)
    assert found.above_zero(0.01) > 0.5 > found.above_zero(-0.01)


def test_the_tail_is_that_of_studies_simulated_one_by_one():
    """Draw tau from its posterior by rejection, then seeds, and count how often the statistic is as large."""
    rng, scatter, source = np.random.default_rng(5), SeedScatter(0.02**2, 0.01**2, 3), 0.015
    tau = np.abs(rng.standard_cauchy(600_000)) * SCALE
    tau = tau[tau < 1]
    total = tau**2 + scatter.single
    chance = 1 / total * np.exp(-scatter.variance / total)
    tau = tau[rng.random(len(tau)) < chance / chance.max()][:40_000]
    assert len(tau) > 20_000
    runs = rng.normal(size=(len(tau), 3)) * np.sqrt(tau**2 + scatter.single)[:, None]
    error = np.sqrt(source**2 + np.maximum(runs.var(axis=1, ddof=1) - scatter.single, 0) / 3)
    # The mean is independent of the variance that is seen, as in every sample of a normal distribution.
    off = rng.normal(size=len(tau)) * np.sqrt(source**2 + tau**2 / 3)
    spread = reference(source, [scatter])
    for z in (1.0, 2.0, 3.0):
        assert float(spread.tail(z)) == pytest.approx(float(np.mean(np.abs(off / error) >= z)), abs=0.01)
