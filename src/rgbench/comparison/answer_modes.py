"""Ways in which a network can answer: single runs, Monte-Carlo dropout, and all its seeds together.

The rows that a run stored have the condition "clean"; the passes of Monte-Carlo dropout have "mc-dropout" (made by
`rgbench.diagnostics.mc_dropout`, kept beside the run): member 0 is the mean of the probabilities, members 1, 2, ... are
what it is the mean of. The seeds of a network are averaged here, of their stored rows. So every measure takes any of
them, and `rgbench.measures.uncertainty.member_doubt` parts their doubt.

Symbols: m members, n sources, k classes, r repeats of a way (one per run, or one).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from rgbench.comparison.members import Floats, Side
from rgbench.errors import SpecError
from rgbench.measures.calibration import (
    BrierParts,
    Temperature,
    apply_temperature,
    brier_decomposition,
    ece_equal_mass,
    fit_temperature,
)
from rgbench.measures.catalogue import means, metrics
from rgbench.measures.catalogue import recognition as recognition_names
from rgbench.measures.classification import Labels, ece
from rgbench.measures.combine import combine
from rgbench.measures.uncertainty import MemberDoubt, member_doubt, stack_members
from rgbench.statistics.losses import mean_ends
from rgbench.statistics.significance import score_mean_interval
from rgbench.store.doubt import DOUBT_FILE, MC_DROPOUT
from rgbench.store.store import RunRecord
from rgbench.store.tables import Predictions

SINGLE, DROPOUT, SEEDS = "single run", "MC dropout", "seed ensemble"
"""The ways, in words."""

Estimate = tuple[float, float, float]
"""A value with the bounds of its interval; NaN where there is none."""


@dataclass(frozen=True)
class Answer:
    """One way in which a network answers, on either side; sources are in sorted order.

    Attributes
    ----------
    network : str
        The network.
    kind : str
        `SINGLE`, `DROPOUT` or `SEEDS`.
    validation, test : ndarray of float64, shape (r, n, k)
        Log-probabilities: of each run, or of the one ensemble.
    doubts : tuple of MemberDoubt
        Doubt about the test sources, for each repeat; none for single runs, which have no members.
    members : int
        Passes or seeds that the answer is the mean of; 1 for a single run.
    """

    network: str
    kind: str
    validation: Floats
    test: Floats
    doubts: tuple[MemberDoubt, ...] = ()
    members: int = 1

    @property
    def name(self) -> str:
        """The way in words, with the number of its members."""
        if self.kind == SINGLE:
            return self.kind
        return f"{self.kind}, {self.members} {'passes' if self.kind == DROPOUT else 'seeds'}"


def answers_of(
    records: Sequence[RunRecord], doubt: Mapping[str, Predictions], sides: tuple[Side, Side], model: str
) -> tuple[Answer, ...]:
    """Gather the ways in which one network answers.

    Parameters
    ----------
    records : sequence of RunRecord
        Its complete runs.
    doubt : mapping of str to Predictions
        Rows of Monte-Carlo dropout by run id; they count if every run has them, of equally many passes.
    sides : (Side, Side)
        What the same runs, in the same order, said of the validation and of the test sources.
    model : {"best", "final"}
        Which model.
    """
    network, (validation, test) = records[0].spec.network.name, sides
    found = [Answer(network, SINGLE, validation.scores, test.scores)]
    own = [doubt[record.run_id] for record in records if record.run_id in doubt]
    if len(own) == len(records):
        passes = [[_passes(table, side, model) for table in own] for side in sides]
        if len({each.shape for each in passes[0]}) == 1 and all(
            len(each) for side in passes for each in side
        ):
            found.append(_of_members(network, DROPOUT, *passes))
    if len(records) > 1 and len({record.spec.seed for record in records}) == len(records):
        found.append(_of_members(network, SEEDS, [validation.scores], [test.scores]))
    return tuple(found)


@dataclass(frozen=True)
class AnswerScore:
    """How good the probabilities of one way are; every number is the mean over its repeats.

    Attributes
    ----------
    answer : Answer
        The way.
    temperatures : tuple of Temperature
        Fitted on the validation rows of each repeat.
    values, scaled : dict of str to (float, float, float)
        "accuracy", "mpca", "nll" and "brier" with their intervals over test sources, "ece" and
        "ece_equal_mass" without (see Notes): as they are, and after the temperature.
    nll_gain : (float, float, float)
        NLL of the network's single runs minus this one's, paired over the sources; above 0 this one is better.
    parts : tuple of BrierParts
        Of each repeat, in bins of equal mass.

    Notes
    -----
    Intervals of accuracy and MPCA are score intervals, those of NLL and Brier score come from the bootstrap over
    sources. A binned calibration error has none: it is never below 0, it is biased upwards by the noise of the
    bins, and a resample adds that noise once more, so that the bootstrap's interval lies above the truth.
    """

    answer: Answer
    temperatures: tuple[Temperature, ...]
    values: dict[str, Estimate]
    scaled: dict[str, Estimate]
    nll_gain: Estimate
    parts: tuple[BrierParts, ...]

    @property
    def temperature(self) -> float:
        """Geometric mean of the temperatures."""
        return float(np.exp(np.mean(np.log([each.value for each in self.temperatures]))))

    def part(self, name: str) -> float:
        """Mean of a part of the Brier score over the repeats."""
        return float(np.mean([getattr(each, name) for each in self.parts]))


def score_answers(
    answers: Sequence[Answer],
    y_validation: Labels,
    y_test: Labels,
    confidence: float = 0.95,
) -> tuple[AnswerScore, ...]:
    """Score the ways in which one network answers on the test sources.

    Parameters
    ----------
    answers : sequence of Answer
        As from `answers_of`; the first is the single runs, against which the others are held.
    y_validation, y_test : ndarray of int64, shapes (n_validation,) and (n,)
        True classes. Of the validation sources only temperatures are taken.
    confidence : float
        Coverage of the intervals.
    """
    alone = _losses(answers[0].test, y_test, "nll")
    scored = []
    for answer in answers:
        warm = tuple(fit_temperature(y_validation, own) for own in answer.validation)
        scaled = np.stack(
            [apply_temperature(own, fit.value) for own, fit in zip(answer.test, warm, strict=True)]
        )
        gain = alone - _losses(answer.test, y_test, "nll")
        scored.append(
            AnswerScore(
                answer,
                warm,
                _values(answer.test, y_test, confidence),
                _values(scaled, y_test, confidence),
                (float(gain.mean()), *mean_ends(y_test, gain, confidence)),
                tuple(brier_decomposition(y_test, own, "equal-mass") for own in answer.test),
            )
        )
    return tuple(scored)


def recognition(right: Floats, y: Labels, confidence: float = 0.95) -> Estimate:
    """Give a mean of shares over sources, class by class, with its score interval.

    Parameters
    ----------
    right : ndarray of float64, shape (n,)
        Share of the repeats that are right about each source.
    y : ndarray of int64, shape (n,)
        What parts the sources into classes of equal weight: the true classes for MPCA, zeros for accuracy.
    confidence : float
        Coverage.

    Examples
    --------
    >>> [round(x, 3) for x in recognition(np.arange(104) < 100, np.zeros(104, int))]  # Wilson's interval
    [0.962, 0.905, 0.985]
    """
    classes = [np.asarray(right[y == c], dtype=np.float64) for c in np.unique(y)]
    hits, sizes = np.array([own.sum() for own in classes]), np.array([float(len(own)) for own in classes])
    low, high = score_mean_interval(hits, sizes, float(norm.ppf((1 + confidence) / 2)))
    return float(np.mean(hits / sizes)), float(low), float(high)


def _passes(table: Predictions, side: Side, model: str) -> Floats:
    """Give the passes of one side, shape (m, n, k); none if there are none, or they are of other sources."""
    rows = table.select(side.split, model, None, MC_DROPOUT)
    if not (rows.member > 0).any():
        return np.zeros((0, *side.scores.shape[1:]))
    source_id, _, scores = stack_members(rows)
    if not np.array_equal(source_id, side.source_id):
        raise SpecError(
            f"run {table.run_id}: its rows of {MC_DROPOUT} are of {len(source_id)} {side.split} sources, not the "
            f"same as its {len(side.source_id)} clean ones; remove {DOUBT_FILE} and run rgbench uncertainty again"
        )
    return scores


def _of_members(network: str, kind: str, validation: list[Floats], test: list[Floats]) -> Answer:
    """Make a way of members, shape (m, n, k) for each repeat."""
    means = [np.stack([combine(scores) for scores in side]) for side in (validation, test)]
    doubts = tuple(member_doubt(scores) for scores in test)
    return Answer(network, kind, means[0], means[1], doubts, len(test[0]))


def _values(scores: Floats, y: Labels, confidence: float) -> dict[str, Estimate]:
    right = np.mean(scores.argmax(axis=2) == y, axis=0)
    cards = dict(metrics())
    found = {name: recognition(right, cards[name].strata(y), confidence) for name in recognition_names()}
    for name in means():
        losses = _losses(scores, y, name)
        found[name] = (float(losses.mean()), *mean_ends(y, losses, confidence))
    for name, function in (("ece", ece), ("ece_equal_mass", ece_equal_mass)):
        found[name] = (float(np.mean([function(y, own) for own in scores])), float("nan"), float("nan"))
    return found


def _losses(scores: Floats, y: Labels, name: str) -> Floats:
    """Give the loss of each source, mean over repeats."""
    per_source = metrics().get(name).per_source
    assert per_source is not None, f"{name} is no mean over sources"
    return np.asarray(np.mean([per_source(y, own) for own in scores], axis=0))
