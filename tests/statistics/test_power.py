"""What a test set can show: what labels allow by simulation, and answers in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgbench.errors import SpecError
from rgbench.statistics import power as ours
from rgbench.statistics.recognition import Difference, Part, Resolution
from rgbench.statistics.significance import Interval

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


# Words


def found(interval, n, error, single=(False, False), parts=()):
    return Difference(interval, 0.5, Resolution(n, error, parts, 0.95), single)


def test_answers_in_words():
    beats = found(Interval(0.031, 0.004, 0.058), 800, 0.0138)
    said = "ConvXpress beats MCRGNet by 3.1 points (95 % interval 0.4 to 5.8)"
    assert ours.answer(("ConvXpress", "MCRGNet"), beats, True) == said
    turned = found(Interval(-0.031, -0.058, -0.004), 800, 0.0138)
    assert ours.answer(("MCRGNet", "ConvXpress"), turned, True) == said
    assert ours.answer(("ConvXpress", "MCRGNet"), beats, False, pairs=6) == (
        "ConvXpress and MCRGNet cannot be told apart with 800 test sources when all 6 pairs are counted "
        "(3.1 points (95 % interval 0.4 to 5.8) for this pair alone)"
    )
    alone = found(Interval(0.031, 0.004, 0.058), 800, 0.0138, (False, True))
    assert ours.answer(("a", "b"), alone, True).endswith(
        "(95 % interval 0.4 to 5.8), of one trained run of b"
    )
    tied = found(Interval(0.01, -0.02, 0.04), 200, 0.0167)
    # (1.96 + 0.84)^2 (0.0167 / 0.02)^2 200 = 1094
    assert ours.answer(("ConvXpress", "FR-Deep"), tied, False) == (
        "ConvXpress and FR-Deep cannot be told apart with 200 test sources; "
        "about 1,100 would be needed to resolve a difference of 2 points"
    )
    many = found(Interval(0.001, -0.002, 0.004), 5000, 0.0015)
    assert ours.answer(("a", "b"), many, False, wanted=0.01) == (
        "a and b cannot be told apart with 5,000 test sources, "
        "which would most likely have shown a difference of 1 point"
    )
    noisy = found(Interval(0.01, -0.02, 0.04), 5000, 0.0015, parts=(Part(0.01, 2),))
    assert "more seeds are needed, not only more sources" in ours.answer(("a", "b"), noisy, False)


def test_impossible_agreement_is_refused():
    with pytest.raises(SpecError, match="found 0.2 and 4"):
        ours.label_ceiling(0.2, 4)
