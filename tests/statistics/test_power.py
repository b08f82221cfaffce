"""What a test set can show: by simulation, by closed formulas, and in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from rgbench.errors import SpecError
from rgbench.statistics import power as ours
from rgbench.statistics.significance import score_difference_interval

designs = st.builds(
    ours.Design,
    discordance=st.floats(0.01, 1),
    shares=st.sampled_from([(1.0,), (0.5, 0.5), (0.3, 0.45, 0.21, 0.04)]),
    alpha=st.sampled_from([0.01, 0.05]),
    power=st.sampled_from([0.5, 0.8, 0.95]),
)


def test_sources_needed_by_the_formula():
    """Miettinen's formula in Connor 1987, with both counts of z written out."""
    psi, d = 0.15, 0.04
    by_hand = (1.959964 * np.sqrt(psi) + 0.841621 * np.sqrt(psi - d**2)) ** 2 / d**2
    assert ours.sources_needed(d, ours.Design(psi)) == int(np.ceil(by_hand))


@pytest.mark.parametrize("shares", [(1.0,), (0.25, 0.25, 0.25, 0.25), (0.23, 0.43, 0.18, 0.16)])
@pytest.mark.parametrize(("discordance", "difference"), [(0.1, 0.03), (0.2, 0.06)])
def test_so_many_sources_find_the_difference_as_often_as_stated(shares, discordance, difference):
    """Score intervals of simulated test sets exclude 0 in 80 % of the cases, within 3 points."""
    design = ours.Design(discordance, shares)
    sizes = np.round(ours.sources_needed(difference, design) * np.array(shares))
    rng, draws = np.random.default_rng(1), 4000
    above, below = (discordance + difference) / 2, (discordance - difference) / 2
    b = rng.binomial(sizes.astype(int), above, (draws, len(sizes)))
    c = rng.binomial(sizes.astype(int) - b, below / (1 - above))
    d = np.mean((b - c) / sizes, axis=1)
    error = np.sqrt(np.sum((b + c) / sizes**2, axis=1)) / len(sizes)
    found = np.mean(np.abs(d) > 1.959964 * error)
    assert found == pytest.approx(0.8, abs=0.03)
    low, high = score_difference_interval(
        b[:200].astype(float), c[:200].astype(float), np.broadcast_to(sizes, (200, len(sizes))), 1.959964
    )
    assert np.mean((low > 0) | (high < 0)) == pytest.approx(0.8, abs=0.1)


@given(designs, st.integers(20, 20_000))
def test_smallest_difference_and_sources_needed_are_inverse(design, n):
    d = ours.smallest_difference(n, design)
    if np.isnan(d):
        assert ours.sources_needed(design.discordance, design) > n
        return
    assert 0 < d <= design.discordance
    assert ours.sources_needed(d, design) == pytest.approx(n, abs=1)
    assert ours.smallest_difference(2 * n, design) < d


def test_a_rare_class_needs_more_sources():
    balanced, rare = ours.Design(0.1, (0.25,) * 4), ours.Design(0.1, (0.3, 0.45, 0.21, 0.04))
    assert balanced.imbalance == pytest.approx(1)
    assert ours.sources_needed(0.03, rare) > 2 * ours.sources_needed(0.03, balanced)


def test_the_design_is_read_off_answers():
    y = np.repeat([0, 1], [30, 10])
    first, second = np.ones(40, dtype=bool), np.ones(40, dtype=bool)
    second[:3] = False
    first[35] = False
    design = ours.observed_design(y, first, second, power=0.9)
    # The variance of MPCA is the sum of psi_c / (k^2 n_c); the one discordance that would bring as much:
    same = (3 / 30 / 30 + 1 / 10 / 10) / (1 / 30 + 1 / 10)
    assert design.discordance == pytest.approx((40 * same + 1) / 41)
    assert design.shares == (0.75, 0.25)
    assert design.power == 0.9
    assert ours.observed_design(y, first, first).discordance == pytest.approx(1 / 41)


# Labels


def test_label_ceiling_by_simulation():
    """Two catalogues that err alike; what they agree on, what a perfect and a worse network score."""
    rng, n, q, k = np.random.default_rng(0), 400_000, 0.85, 4

    def wrong(share: float) -> np.ndarray:
        return np.where(rng.random(n) < share, rng.integers(1, k, n), 0)

    labels, others, network = wrong(1 - q), wrong(1 - q), wrong(0.2)
    ceiling = ours.label_ceiling(float(np.mean(labels == others)), k)
    assert ceiling.ceiling == pytest.approx(q, abs=0.005)
    assert np.mean(labels == 0) == pytest.approx(ceiling.ceiling, abs=0.005)
    observed = np.mean(labels == 0) - np.mean(labels == network)
    assert observed == pytest.approx(0.2 * ceiling.shrinkage, abs=0.005)


def test_label_ceiling_at_its_ends():
    assert ours.label_ceiling(1, 4) == ours.LabelCeiling(1, 1, 1)
    assert ours.label_ceiling(0.7, 4, other_is_true=True).ceiling == 0.7
    assert ours.label_ceiling(0.250001, 4).shrinkage == pytest.approx(0, abs=0.01)


@given(st.floats(0.51, 1), st.integers(2, 8))
def test_a_ceiling_lies_between_agreement_and_one(agreement, k):
    found = ours.label_ceiling(agreement, k)
    assert agreement <= found.ceiling + 1e-9
    assert found.ceiling <= 1 + 1e-9
    assert -1e-9 <= found.shrinkage <= 1 + 1e-9
    assert found.ceiling**2 + (1 - found.ceiling) ** 2 / (k - 1) == pytest.approx(agreement)


def test_resolution_in_words():
    assert ours.resolution_words(100, ours.Design(0.02)) == (
        "100 test sources resolve no difference between networks that agree so often"
    )
    least = ours.smallest_difference(1500, ours.Design(0.1))
    assert f"from {100 * least:.1f} points up" in ours.resolution_words(1500, ours.Design(0.1))


def test_a_test_set_with_half_the_power_finds_its_quantile():
    """With power 0.5 the second quantile is 0: the difference is 1.96 standard errors."""
    design = ours.Design(0.1, power=0.5)
    assert ours.smallest_difference(1000, design) == pytest.approx(norm.ppf(0.975) * np.sqrt(0.1 / 1000))


def test_impossible_designs_are_refused():
    with pytest.raises(SpecError, match="discordance: found 0"):
        ours.Design(0)
    with pytest.raises(SpecError, match="power: found 1"):
        ours.Design(0.1, power=1)
    with pytest.raises(SpecError, match="sum is 1"):
        ours.Design(0.1, shares=(0.5, 0.4))
    with pytest.raises(SpecError, match="difference: found 0.2"):
        ours.sources_needed(0.2, ours.Design(0.1))
    with pytest.raises(SpecError, match="n: found 0"):
        ours.smallest_difference(0, ours.Design(0.1))
    with pytest.raises(SpecError, match="found 0.2 and 4"):
        ours.label_ceiling(0.2, 4)
    with pytest.raises(SpecError, match="found shapes"):
        ours.observed_design(np.zeros(3, dtype=int), np.ones(2, dtype=bool), np.ones(3, dtype=bool))
