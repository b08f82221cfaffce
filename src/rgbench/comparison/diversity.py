"""How members of an ensemble differ, and what each adds.

Symbols: m members, n sources, k classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import factorial

import numpy as np
from scipy.special import entr

from rgbench.comparison.ensembles import Blend, ensemble_value
from rgbench.comparison.members import Floats, Member, Side
from rgbench.errors import SpecError
from rgbench.measures.catalogue import metrics

SHAPLEY_MEMBERS = 10
"""Most members for which all 2^m subsets are gone through."""


@dataclass(frozen=True)
class Diversity:
    """How members differ; matrices (m, m) are symmetric, and `mean_...` are means over the pairs.

    Attributes
    ----------
    disagreement : ndarray of float64, shape (m, m)
        Share of the sources that two members put in different classes.
    q_statistic : ndarray of float64, shape (m, m)
        Yule's Q of being right: 1 if two are right on the same sources, 0 if independent, below 0 if they
        err on different ones; NaN where 0/0, and on the diagonal.
    double_fault : ndarray of float64, shape (m, m)
        Share of the sources that both get wrong; on the diagonal the error rate.
    vote_entropy : float
        Mean over sources of the entropy of the members' votes, as a share of the largest possible,
        ln(min(m, k)).
    mean_disagreement, mean_q, mean_double_fault : float
        Means over pairs; pairs without Q are left out.
    """

    disagreement: Floats
    q_statistic: Floats
    double_fault: Floats
    vote_entropy: float
    mean_disagreement: float
    mean_q: float
    mean_double_fault: float


def diversity(side: Side) -> Diversity:
    """Measure how members differ.

    Raises
    ------
    SpecError
        If there are fewer than two members.

    References
    ----------
    Kuncheva & Whitaker 2003, Machine Learning 51, 181.
    """
    m, n, k = side.scores.shape
    if m < 2:
        raise SpecError("diversity needs two members or more, found 1")
    chosen = side.scores.argmax(axis=2)
    right = (chosen == side.y).astype(np.float64)
    wrong = 1 - right
    both, neither, one = right @ right.T / n, wrong @ wrong.T / n, right @ wrong.T / n
    above, below = both * neither - one * one.T, both * neither + one * one.T
    q = np.divide(above, below, out=np.full((m, m), np.nan), where=below > 0)
    np.fill_diagonal(q, np.nan)
    disagreement = (chosen[:, None] != chosen[None]).mean(axis=2)
    votes = np.eye(k)[chosen].mean(axis=0)
    pairs = np.triu_indices(m, 1)
    known = q[pairs][~np.isnan(q[pairs])]
    return Diversity(
        disagreement=disagreement,
        q_statistic=q,
        double_fault=neither,
        vote_entropy=float(entr(votes).sum(axis=1).mean() / np.log(min(m, k))),
        mean_disagreement=float(disagreement[pairs].mean()),
        mean_q=float(known.mean()) if len(known) else float("nan"),
        mean_double_fault=float(neither[pairs].mean()),
    )


@dataclass(frozen=True)
class Contribution:
    """What a member adds to the ensemble of all, on validation sources; above 0 the ensemble is better for it.

    Attributes
    ----------
    member : Member
        The member.
    leave_one_out : float
        By how much the ensemble is better with it than without.
    shapley : float
        Its mean gain over all orders in which members may join, the first joining a guess by chance; NaN
        with more than `SHAPLEY_MEMBERS` members. The sum over members is the gain of all over chance.
    """

    member: Member
    leave_one_out: float
    shapley: float


def contributions(
    validation: Side, blend: Blend | None = None, metric: str = "accuracy"
) -> tuple[Contribution, ...]:
    """Measure what each member adds on validation sources.

    Raises
    ------
    SpecError
        If the side is not the validation side, or has fewer than two members.
    """
    value = ensemble_value(validation, blend, metric)
    m = len(validation.members)
    if m < 2:
        raise SpecError("what a member adds can be told of two members or more, found 1")
    sign = 1 if metrics().get(metric).higher_is_better else -1
    everything = tuple(range(m))

    def worth(index: tuple[int, ...]) -> float:
        return sign * value(index)

    alone = [worth(everything) - worth(everything[:i] + everything[i + 1 :]) for i in range(m)]
    shares = _shapley(m, worth) if m <= SHAPLEY_MEMBERS else np.full(m, np.nan)
    return tuple(
        Contribution(member, gain, float(share))
        for member, gain, share in zip(validation.members, alone, shares, strict=True)
    )


def _shapley(m: int, worth: Callable[[tuple[int, ...]], float]) -> Floats:
    subsets = [index for size in range(m + 1) for index in combinations(range(m), size)]
    value = {index: worth(index) for index in subsets}
    shares = np.zeros(m)
    for index in subsets:
        for i in set(range(m)) - set(index):
            chance = factorial(len(index)) * factorial(m - len(index) - 1) / factorial(m)
            shares[i] += chance * (value[tuple(sorted((*index, i)))] - value[index])
    return shares
