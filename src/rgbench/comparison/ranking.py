"""Ranking: which network is best by recognition and cost together, and how sure the places are.

Becker et al. (2021) ranked networks by recognition and computational performance: mean per-class accuracy,
inference time, model complexity and computational complexity. Their exact formula could not be verified. The
family here is the weighted mean of the ranks in chosen measures; by default those four, equally weighted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from string import ascii_lowercase
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from rgbench.comparison.results import Comparison
from rgbench.errors import SpecError
from rgbench.measures.cards import MAIN
from rgbench.measures.catalogue import metrics

STUDY_COSTS = ("inference_images_per_second", "parameters", "macs")
"""The costs of the 2021 study's ranking, beside recognition."""
_BLOCK = 1000


@dataclass(frozen=True)
class Measure:
    """What a ranking may weigh: a metric or a cost.

    Attributes
    ----------
    words : str
        Its name within a sentence.
    higher_is_better : bool
        Which way is better.
    """

    words: str
    higher_is_better: bool = False


COSTS: Mapping[str, Measure] = MappingProxyType(
    {
        "inference_images_per_second": Measure("inference time", True),
        "training_images_per_second": Measure("training time per image", True),
        "training_seconds": Measure("training time"),
        "parameters": Measure("parameters"),
        "macs": Measure("operations"),
        "peak_memory_mb": Measure("memory"),
    }
)
"""Costs that a ranking may weigh; rates are better if higher."""


def measures() -> dict[str, Measure]:
    """Give all that a ranking may weigh, by name: every metric, then every cost.

    Examples
    --------
    >>> measures()["nll"].higher_is_better, measures()["macs"].words
    (False, 'operations')
    """
    scores = {name: Measure(card.short, card.higher_is_better) for name, card in metrics()}
    return {**scores, **COSTS}


def default_weights(metric: str = MAIN) -> dict[str, float]:
    """Give the weights of the default ranking: a metric and the costs of the 2021 study, in equal parts."""
    return dict.fromkeys((metric, *STUDY_COSTS), 1.0)


@dataclass(frozen=True)
class Place:
    """A network's place in a ranking.

    Attributes
    ----------
    network : str
        Its name.
    score : float
        Weighted mean of its ranks; 1 is best in everything. NaN if a measure is missing.
    ranks : dict of str to float
        Its rank in each measure, from 1; equal values share the mean of their ranks.
    """

    network: str
    score: float
    ranks: dict[str, float]


@dataclass(frozen=True)
class RankInterval:
    """How sure a network's rank in one measure is.

    Attributes
    ----------
    network : str
        Its name.
    rank : float
        Its rank by the measured values, from 1.
    low, high : float
        Interval of the rank over the resamples, in whole ranks: networks may share one in a resample, and an end
        between two ranks is rounded outwards. NaN where the metric has no value on one of them.
    best : float
        Share of the resamples in which it is first; equal firsts share. NaN as the interval is.
    group : str
        Letters: networks that share one cannot be told apart.
    """

    network: str
    rank: float
    low: float
    high: float
    best: float
    group: str = ""


def parse_weights(text: str) -> dict[str, float]:
    """Read weights of a ranking, as the command line has them.

    Parameters
    ----------
    text : str
        Measures with their weights, parted by commas: a weight is 0 or more, not all are 0.

    Raises
    ------
    SpecError
        If a measure is unknown or stands there twice, or a weight is none.

    Examples
    --------
    >>> parse_weights("mpca=3, inference_images_per_second=1")
    {'mpca': 3.0, 'inference_images_per_second': 1.0}
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name in weights:
            found = f"{name!r} twice" if name in weights else repr(part.strip())
            raise SpecError(
                f"weights of the ranking: found {found}; legal is measure=weight, each measure once"
            )
        try:
            weights[name] = float(value)
        except ValueError:
            raise SpecError(f"weights of the ranking, {name}: found {value!r}; legal is a number") from None
    _check_weights(weights)
    return weights


def rank_networks(
    measured: Mapping[str, Mapping[str, float]], weights: Mapping[str, float] | None = None
) -> list[Place]:
    """Rank networks by the weighted mean of their ranks in several measures.

    Parameters
    ----------
    measured : mapping of str to mapping of str to float
        Measures by network. A network that lacks one, or whose value is not finite (a failed run), has no
        score and comes last.
    weights : mapping of str to float, optional
        Weight of each measure; by default `default_weights`.

    Returns
    -------
    list of Place
        Best first.

    Raises
    ------
    SpecError
        If a measure is not one of `measures`, a weight is negative or not finite, or all are 0.

    Examples
    --------
    >>> places = rank_networks({"a": {"mpca": 0.8, "macs": 9}, "b": {"mpca": 0.7, "macs": 2}}, {"mpca": 2, "macs": 1})
    >>> [(place.network, round(place.score, 2)) for place in places]
    [('a', 1.33), ('b', 1.67)]
    """
    weights = default_weights() if weights is None else weights
    _check_weights(weights)
    whole, ranks = _ranked(measured, list(weights))
    share = np.array(list(weights.values())) / sum(weights.values())
    places = [
        Place(network, float(own @ share), dict(zip(weights, own.tolist(), strict=True)))
        for network, own in zip(whole, ranks, strict=True)
    ]
    missing = [Place(network, float("nan"), {}) for network in measured if network not in whole]
    return [*sorted(places, key=lambda place: place.score), *missing]


def first_shares(
    measured: Mapping[str, Mapping[str, float]],
    names: Sequence[str],
    generator: np.random.Generator,
    draws: int = 10_000,
) -> dict[str, float]:
    """Give the share of all weightings of some measures under which each network comes first.

    Parameters
    ----------
    measured : mapping of str to mapping of str to float
        As for `rank_networks`.
    names : sequence of str
        The measures weighed.
    generator : numpy.random.Generator
        Source of chance.
    draws : int
        Number of weightings, drawn evenly from all that add up to 1.

    Returns
    -------
    dict of str to float
        Share by network, equal firsts sharing; a network that lacks a measure has 0.

    References
    ----------
    Lahdelma, Hokkanen & Salminen 1998, Eur. J. Oper. Res. 106, 137 (rank acceptability).

    Examples
    --------
    >>> shares = first_shares({"a": {"mpca": 0.8, "macs": 9}, "b": {"mpca": 0.7, "macs": 2}}, ["mpca", "macs"],
    ...                       np.random.default_rng(0))
    >>> round(shares["a"], 1), round(shares["b"], 1)
    (0.5, 0.5)
    """
    whole, ranks = _ranked(measured, names)
    won, even = np.zeros(len(whole)), np.ones(len(names))
    for begin in range(0, draws if whole else 0, _BLOCK):
        weights = generator.dirichlet(even, size=min(_BLOCK, draws - begin))
        scores = weights @ ranks.T
        first = scores <= scores.min(axis=1, keepdims=True) + 1e-12
        won += (first / first.sum(axis=1, keepdims=True)).sum(axis=0)
    return {**dict.fromkeys(measured, 0.0), **dict(zip(whole, (won / draws).tolist(), strict=True))}


def pareto_front(gains: NDArray[np.float64], costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which networks no other beats in both, more gain and no more cost, or as much for less.

    Parameters
    ----------
    gains, costs : ndarray, shape (n,)
        E.g. accuracies and MACs; a network with a value that is not finite is never on the front.

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> pareto_front(np.array([0.8, 0.7, 0.75]), np.array([10.0, 2.0, 20.0])).tolist()
    [True, True, False]
    """
    known = np.isfinite(gains) & np.isfinite(costs)
    better = (gains[:, None] >= gains) & (costs[:, None] <= costs)
    strictly = (gains[:, None] > gains) | (costs[:, None] < costs)
    beaten = (better & strictly & known[:, None]).any(axis=0)
    return np.asarray(known & ~beaten)


def rank_intervals(
    values: Mapping[str, float],
    resamples: Mapping[str, NDArray[np.float64]],
    separable: Sequence[tuple[str, str]] = (),
    confidence: float = 0.95,
) -> list[RankInterval]:
    """Give the interval of each network's rank in a metric, and how probably it is the best.

    Parameters
    ----------
    values : mapping of str to float
        The metric of each network, higher better.
    resamples : mapping of str to ndarray, shape (n_resamples,)
        The metric on the same resampled sources for all, so that what all find hard cancels.
    separable : sequence of (str, str)
        Pairs that a test tells apart; networks that share a letter are those it does not.
    confidence : float
        Coverage of the intervals.

    Returns
    -------
    list of RankInterval
        Best first.

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=(2, 500)) * 0.01
    >>> found = rank_intervals({"a": 0.8, "b": 0.7}, {"a": 0.8 + draws[0], "b": 0.7 + draws[1]}, [("a", "b")])
    >>> [(each.network, each.low, each.high, each.best, each.group) for each in found]
    [('a', 1.0, 1.0, 1.0, 'a'), ('b', 2.0, 2.0, 0.0, 'b')]
    """
    names = sorted(values, key=lambda name: -values[name])
    low, high, best = _drawn_ranks(np.stack([resamples[name] for name in names]), confidence)
    low, high = np.floor(low), np.ceil(high)
    ranks = rankdata([-values[name] for name in names])
    letters = tie_groups(names, separable)
    return [
        RankInterval(name, float(ranks[i]), float(low[i]), float(high[i]), float(best[i]), letters[name])
        for i, name in enumerate(names)
    ]


def ranks_of(found: Comparison) -> list[RankInterval]:
    """Give `rank_intervals` of the networks that a comparison compares with each other; none if there are none."""
    sign = 1 if metrics().get(found.metric).higher_is_better else -1
    rows = [row for row in found.rows if row.status == "ok" and row.network in found.resamples]
    if not rows:
        return []
    values = {row.network: sign * row.metrics[found.metric].mean for row in rows}
    drawn = {name: sign * found.resamples[name] for name in values}
    apart = [(pair.first, pair.second) for pair in found.pairs if pair.separable]
    known = [pair for pair in apart if pair[0] in drawn and pair[1] in drawn]
    return rank_intervals(values, drawn, known, found.confidence)


def _drawn_ranks(drawn: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """Give both ends of the interval of each rank, and how often it is the first: (3, networks)."""
    if np.isnan(drawn).any():
        return np.full((3, len(drawn)), np.nan)
    ranks = rankdata(-drawn, axis=0)
    first = ranks == ranks.min(axis=0)
    tail = (1 - confidence) / 2
    low, high = np.quantile(ranks, [tail, 1 - tail], axis=1, method="closest_observation")
    return np.stack([low, high, (first / first.sum(axis=0)).mean(axis=1)])


def tie_groups(names: Sequence[str], separable: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Give letters to names so that two share one exactly if they are not told apart (Piepho 2004).

    Parameters
    ----------
    names : sequence of str
        Best first.
    separable : sequence of (str, str)
        Pairs that differ.

    Returns
    -------
    dict of str to str
        Letters by name; the best has an a.

    References
    ----------
    Piepho 2004, J. Comput. Graph. Stat. 13, 456 (insert and absorb).

    Examples
    --------
    >>> tie_groups(["a", "b", "c"], [("a", "c")])
    {'a': 'a', 'b': 'ab', 'c': 'b'}
    """
    columns = [frozenset(names)]
    for first, second in separable:
        split = [column for column in columns if first in column and second in column]
        for column in split:
            columns.remove(column)
            columns += [column - {first}, column - {second}]
        columns = [
            column
            for i, column in enumerate(columns)
            if not any(column < other or (column == other and j < i) for j, other in enumerate(columns))
        ]
    columns.sort(key=lambda column: sorted(names.index(name) for name in column))
    letters = dict.fromkeys(names, "")
    for number, column in enumerate(columns):
        for name in column:
            letters[name] += _letter(number)
    return letters


def kendall_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Count the pairs that two rankings of the same names put in a different order.

    Examples
    --------
    >>> kendall_distance(["a", "b", "c"], ["b", "a", "c"])
    1
    """
    place = {name: i for i, name in enumerate(second)}
    return sum(place[a] > place[b] for a, b in combinations(first, 2))


def _letter(number: int) -> str:
    """Give a, b ... z, then a1, b1 ..."""
    turn, place = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[place] + (str(turn) if turn else "")


def _check_weights(weights: Mapping[str, float]) -> None:
    known = measures()
    unknown = [name for name in weights if name not in known]
    if unknown:
        raise SpecError(
            f"weights of the ranking: found the measure {unknown[0]!r}; legal are {', '.join(known)}"
        )
    values = list(weights.values())
    if not values or not np.isfinite(values).all() or min(values) < 0 or sum(values) == 0:
        raise SpecError(f"weights of the ranking: found {dict(weights)}; none may be below 0, nor all be 0")


def _ranked(
    measured: Mapping[str, Mapping[str, float]], names: Sequence[str]
) -> tuple[list[str], NDArray[np.float64]]:
    """Rank the networks that have all measures, in each; ranks have the shape (networks, measures)."""
    values = {
        network: np.array([own.get(name, np.nan) for name in names], dtype=float)
        for network, own in measured.items()
    }
    whole = [network for network, own in values.items() if np.isfinite(own).all()]
    if not whole:
        return [], np.zeros((0, len(names)))
    return whole, _ranks(np.array([values[network] for network in whole]), names)


def _ranks(table: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.float64]:
    known = measures()
    signs = np.array([-1.0 if known[name].higher_is_better else 1.0 for name in names])
    return np.asarray(rankdata(table * signs, axis=0))
