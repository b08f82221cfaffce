"""Whether what networks say, and their order, holds in another image of the same sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.robustness import (
    ConditionScore,
    StressedRun,
    covered,
    labelled,
    score_conditions,
)
from rgbench.measures.cards import MAIN
from rgbench.measures.catalogue import metrics
from rgbench.statistics.recognition import Answers, difference, gap
from rgbench.statistics.significance import Interval, holm
from rgbench.store.conditions import VIEW, Condition
from rgbench.store.tables import Predictions

STANDARD = Condition(VIEW, 1)
"""The second view that an answer speaks of."""


@dataclass(frozen=True)
class GapChange:
    """How the difference of two networks changes from the first image of the sources to the second.

    Attributes
    ----------
    first, second : str
        The networks; the first is the better one on the first images.
    before, after : float
        First minus second, on the first and on the second images, as fractions.
    change : Interval
        After minus before on the same sources, for new sources and, from two runs on, new seeds or folds.
    p_value : float
        That the difference does not change; of the interval, corrected by Holm over all pairs.
    """

    first: str
    second: str
    before: float
    after: float
    change: Interval
    p_value: float

    @property
    def shown(self) -> bool:
        """Whether the change is more than chance would make of none."""
        return self.p_value < 1 - self.change.confidence

    @property
    def turns(self) -> bool:
        """Whether the better one becomes the worse one."""
        return self.after < 0 <= self.before


@dataclass(frozen=True)
class SecondView:
    """Networks on second images of the sources that they were compared on.

    Attributes
    ----------
    condition : Condition
        Which images.
    metric : str
        Metric of recognition that orders the networks.
    scores : dict of str to ConditionScore
        By network, best first on the first images.
    gaps : tuple of GapChange
        All pairs of networks; none if they do not share the sources.
    """

    condition: Condition
    metric: str
    scores: dict[str, ConditionScore]
    gaps: tuple[GapChange, ...]

    @property
    def order(self) -> tuple[str, ...]:
        """The networks, best first on the second images."""
        return tuple(sorted(self.scores, key=lambda name: -self.scores[name].values[self.metric][0]))


def second_view(
    stressed: Mapping[str, Sequence[StressedRun]],
    condition: Condition = STANDARD,
    metric: str = MAIN,
    confidence: float = 0.95,
) -> SecondView | None:
    """Measure networks on second images of their test sources.

    Parameters
    ----------
    stressed : mapping of str to sequence of StressedRun
        Runs of each network. Networks of which not all runs have the condition, or have logits that are not finite, are
        left out.
    condition : Condition
        Which images; another survey's are second images too.
    metric : str
        What orders the networks; a metric that is none of recognition gives way to the main one.
    confidence : float
        Coverage of the intervals.

    Returns
    -------
    SecondView or None
        None if no network was tested on them.
    """
    metric = metric if metrics().get(metric).is_recognition else MAIN
    runs = {name: _only(own, condition) for name, own in stressed.items()}
    scores = {name: score_conditions(own, confidence)[0] for name, own in runs.items() if own}
    scores = {name: score for name, score in scores.items() if np.isfinite(score.kept[0])}
    if not scores:
        return None
    names = sorted(scores, key=lambda name: -scores[name].clean[metric][0])
    gaps = _gaps({name: runs[name] for name in names}, condition, metric, confidence)
    return SecondView(condition, metric, {name: scores[name] for name in names}, gaps)


def _only(runs: Sequence[StressedRun], condition: Condition) -> list[StressedRun]:
    """Keep one condition of runs that all have it, and the labelled sources that it has; none if one run lacks it."""
    if not runs or any(condition not in run.disturbed for run in runs):
        return []
    one = [replace(run, disturbed={condition: run.disturbed[condition]}) for run in runs]
    return [covered(labelled(run), condition) for run in one]


def _gaps(
    runs: Mapping[str, Sequence[StressedRun]], condition: Condition, metric: str, confidence: float
) -> tuple[GapChange, ...]:
    if len({tuple(run.clean.source_id.tolist()) for own in runs.values() for run in own}) != 1:
        return ()
    y = metrics().get(metric).strata(next(iter(runs.values()))[0].clean.label)
    before = {name: _right(name, y, [run.clean for run in own], own) for name, own in runs.items()}
    after = {
        name: _right(name, y, [run.disturbed[condition] for run in own], own) for name, own in runs.items()
    }
    pairs = list(combinations(runs, 2))
    found = [_gap(pair, before, after, confidence) for pair in pairs]
    corrected = holm([each.p_value for each in found])
    return tuple(replace(each, p_value=float(p)) for each, p in zip(found, corrected, strict=True))


def _right(
    name: str, y: NDArray[np.int64], tables: Sequence[Predictions], runs: Sequence[StressedRun]
) -> Answers:
    right = np.stack([table.logits.argmax(axis=1) == table.label for table in tables])
    return Answers(name, y, right, tuple(run.split for run in runs))


def _gap(
    pair: tuple[str, str], before: Mapping[str, Answers], after: Mapping[str, Answers], confidence: float
) -> GapChange:
    first, second = pair
    was, now = (gap(answers[first], answers[second]) for answers in (before, after))
    # Half of what each network gains, so that the difference of two lies between -1 and 1.
    gains = {
        name: replace(after[name], right=(after[name].right.astype(np.float64) - before[name].right) / 2)
        for name in pair
    }
    half = difference(gains[first], gains[second], confidence)
    span = half.interval
    change = Interval(2 * span.value, 2 * span.low, 2 * span.high, confidence)
    return GapChange(*pair, was, now, change, half.p_value)
