"""All pairs of the networks of a study at once: which differ, and which networks may be the best.

Among 14 networks there are 91 pairs, and with a p-value of 0.05 each about four of them differ by chance. Holm's
correction takes nothing for granted, and loses much: pairs share networks, and all share the test sources. Here the
p-values of all pairs are drawn together, as they would be if no two networks differed: the covariance of what networks
recognise, source by source, moves them together, and what seeds do is drawn network by network as in
`rgbench.statistics.seed_scatter`, where the networks of a study tell by how much such networks scatter. A pair is told
apart where its p-value is below all but a twentieth of the smallest ones so drawn, step by step from the clearest pair
on (step-down minP; Westfall & Young 1993, Resampling-based multiple testing; Romano & Wolf 2005, Econometrica 73,
1237). The chance that any pair is told apart wrongly is then a twentieth.

A network may be the best where the same draws do not say that some other one is better (Hsu 1984, Ann. Statist. 12,
1136; Mogstad et al. 2024, Rev. Econ. Stud. 91, 476). The best one is left out in one study of twenty at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rgbench.seeds import numpy_generator
from rgbench.statistics.recognition import Answers, Difference, run_scatters
from rgbench.statistics.seed_scatter import SeedScatter, SplitScatter, borrow, reference
from rgbench.statistics.significance import Floats, holm

_DRAWS, _BLOCK = 10_000, 500
_AT = np.linspace(0, 10, 101)
"""Standard errors off at which p-values are worked out; between them their logarithm is interpolated."""
_LEAST = 1e-9


@dataclass(frozen=True)
class AllPairs:
    """What all pairs tell together.

    Attributes
    ----------
    p_values : tuple of float
        Of each pair, corrected for all of them; NaN where a pair has none.
    confidence : float
        Of the interval of a pair alone that decides as the first step does, 0.98 for example.
    maybe_best : tuple of int
        Places of the networks that may be the best.
    """

    p_values: tuple[float, ...]
    confidence: float
    maybe_best: tuple[int, ...]


def all_pairs(answers: Sequence[Answers], found: Sequence[Difference], confidence: float = 0.95) -> AllPairs:
    """Tell which pairs differ, and which networks may be the best.

    Parameters
    ----------
    answers : sequence of Answers
        Networks, tested on the same sources.
    found : sequence of Difference
        Of all pairs, in the order of ``itertools.combinations``.
    confidence : float
        1 less the chance that any pair is told apart wrongly.

    Notes
    -----
    Networks that were trained on several folds share these, and how that moves pairs together is not known: Holm's
    correction stands for them.

    Examples
    --------
    >>> from rgbench.statistics.recognition import difference
    >>> y, i = np.arange(400) % 4, np.arange(400)
    >>> made = [Answers(name, y, (i % k > 0)[None], ("published",)) for name, k in (("a", 20), ("b", 10), ("c", 2))]
    >>> joint = all_pairs(made, [difference(first, second) for first, second in combinations(made, 2)])
    >>> [p < 0.05 for p in joint.p_values], joint.maybe_best
    ([True, True, True], (0,))
    """
    pairs = list(combinations(range(len(answers)), 2))
    scatters = [run_scatters(each) for each in answers]
    known = not any(np.isnan(each.p_value) for each in found)
    if len(pairs) < 2 or not known or any(isinstance(one, SplitScatter) for own in scatters for one in own):
        return _by_holm(found, len(answers), confidence)
    seen_scatters = [next((one for one in own if isinstance(one, SeedScatter)), None) for own in scatters]
    borrowed = iter(borrow([one for one in seen_scatters if one is not None]))
    drawn_scatters = [None if one is None else next(borrowed) for one in seen_scatters]
    study = _Study(_covariance(answers), seen_scatters, drawn_scatters, np.array(pairs))
    seen = np.array([each.p_value for each in found])
    ahead = np.array([each.interval.value > 0 for each in found])
    order = np.argsort(seen)
    exceeded, smallest = np.zeros(len(pairs)), []
    behind, seen_behind = np.zeros(len(answers)), _least_behind(seen, ahead, study.pairs, len(answers))
    for p, first in study.draw():
        smallest.append(p.min(axis=0))
        # The smallest p-value among a pair and all that are less clear.
        rest = np.minimum.accumulate(p[order][::-1], axis=0)[::-1]
        exceeded[order] += (rest <= seen[order][:, None]).sum(axis=1)
        behind += (_least_behind(p, first, study.pairs, len(answers)) <= seen_behind[:, None]).sum(axis=1)
    corrected = np.empty(len(pairs))
    corrected[order] = np.maximum.accumulate((exceeded[order] + 1) / (_DRAWS + 1))
    corrected = np.maximum(corrected, seen)
    decides = 1 - float(np.quantile(np.concatenate(smallest), 1 - confidence))
    best = np.flatnonzero((behind + 1) / (_DRAWS + 1) > 1 - confidence)
    return AllPairs(tuple(corrected.tolist()), max(decides, confidence), tuple(best.tolist()))


def unbeaten(networks: int, ahead: Sequence[bool], told: Sequence[bool]) -> tuple[int, ...]:
    """Give the places of the networks that no other is told to be better than.

    Parameters
    ----------
    networks : int
        Number of networks.
    ahead, told : sequence of bool
        Of each pair, in the order of ``itertools.combinations``: whether the first is ahead, and whether the two are
        told apart.

    Examples
    --------
    >>> unbeaten(3, ahead=[True, True, True], told=[False, True, True])
    (0, 1)
    """
    pairs = combinations(range(networks), 2)
    worse = {j if first else i for (i, j), first, sure in zip(pairs, ahead, told, strict=True) if sure}
    return tuple(i for i in range(networks) if i not in worse)


def _by_holm(found: Sequence[Difference], networks: int, confidence: float) -> AllPairs:
    """Correct the pairs by Holm's method, which asks nothing of what moves them together."""
    corrected = holm([each.p_value for each in found])
    ahead, told = [each.interval.value > 0 for each in found], [p < 1 - confidence for p in corrected]
    decides = 1 - (1 - confidence) / max(len(found), 1)
    return AllPairs(tuple(corrected), decides, unbeaten(networks, ahead, told))


@dataclass(frozen=True)
class _Study:
    """What moves the scores of all networks: the sources they share, and seeds of their own."""

    covariance: Floats
    seen_scatters: Sequence[SeedScatter | None]
    """How each network's own seeds scatter, by which a pair is judged; None for a single run."""
    drawn_scatters: Sequence[SeedScatter | None]
    """The same with what all networks tell together, from which seeds are drawn."""
    pairs: NDArray[np.int64]

    def draw(self) -> Iterator[tuple[Floats, NDArray[np.bool_]]]:
        """Yield blocks of p-values of all pairs, and which first ones are ahead, (pairs, draws), where none differ."""
        i, j = self.pairs.T
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))
        single = np.diag(self.covariance)
        sources = np.maximum(single[i] + single[j] - 2 * self.covariance[i, j], _LEAST)
        tables = np.stack(
            [self._log_tail(pair, error) for pair, error in zip(self.pairs, np.sqrt(sources), strict=True)]
        )
        generator = numpy_generator(0, "bootstrap", pairs=len(self.pairs))
        for _ in range(_DRAWS // _BLOCK):
            scores = root @ generator.normal(size=(len(single), _BLOCK))
            squares = np.zeros_like(scores)
            for k, scatter in enumerate(self.drawn_scatters):
                if scatter is not None:
                    moved, squares[k] = _seeds_drawn(scatter, generator)
                    scores[k] += moved
            statistic = (scores[i] - scores[j]) / np.sqrt(sources[:, None] + squares[i] + squares[j])
            yield _from_tables(np.abs(statistic), tables), statistic > 0

    def _log_tail(self, pair: NDArray[np.int64], source_error: float) -> Floats:
        scatters = [own for own in (self.seen_scatters[k] for k in pair) if own is not None]
        return np.asarray(np.log(np.maximum(reference(float(source_error), scatters).tail(_AT), 1e-300)))


def _seeds_drawn(scatter: SeedScatter, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw how far seeds move a mean over them, and the square of the standard error that they would seem to bring."""
    k = scatter.seeds
    tau = scatter.taus(generator.random(_BLOCK))
    variance = (tau**2 + scatter.single) * generator.chisquare(k - 1, _BLOCK) / (k - 1)
    return tau / np.sqrt(k) * generator.normal(size=_BLOCK), np.maximum(variance - scatter.single, 0) / k


def _from_tables(statistic: Floats, tables: Floats) -> Floats:
    """Interpolate the p-values of statistics, a row of each for each table."""
    place = np.minimum(statistic / _AT[1], len(_AT) - 1.001)
    left = place.astype(np.int64)
    low, high = (np.take_along_axis(tables, at, axis=1) for at in (left, left + 1))
    return np.asarray(np.exp(low + (place - left) * (high - low)))


def _covariance(answers: Sequence[Answers]) -> Floats:
    """Give the covariance of the networks' means over classes that new test sources bring, (networks, networks)."""
    y, means = answers[0].y, np.stack([each.mean() for each in answers])
    classes = np.unique(y)
    found = np.zeros((len(answers), len(answers)))
    for c in classes:
        own = means[:, y == c]
        own = own - own.mean(axis=1, keepdims=True)
        found += own @ own.T / max(own.shape[1] - 1, 1) / own.shape[1]
    return found / len(classes) ** 2


def _least_behind(p: Floats, ahead: NDArray[np.bool_], pairs: NDArray[np.int64], networks: int) -> Floats:
    """Give the smallest one-sided p-value of each network's being worse than another, (networks, ...)."""
    found = np.ones((networks, *p.shape[1:]))
    for row, (i, j) in enumerate(pairs):
        second_worse = np.where(ahead[row], p[row] / 2, 1 - p[row] / 2)
        found[j] = np.minimum(found[j], second_worse)
        found[i] = np.minimum(found[i], 1 - second_worse)
    return found
