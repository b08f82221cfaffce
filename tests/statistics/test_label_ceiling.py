"""What a test set can show: what labels allow by simulation, and answers in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgbench.errors import SpecError
from rgbench.statistics import label_ceiling as ours

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


def test_impossible_agreement_is_refused():
    with pytest.raises(SpecError, match="found 0.2 and 4"):
        ours.label_ceiling(0.2, 4)
