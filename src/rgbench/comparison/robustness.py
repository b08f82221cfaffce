"""What disturbed images do to a network: accuracy per condition, and the loss against clean images.

A *condition* is one way to disturb the test images. Its name is what the column `condition` of a predictions
table holds, such as ``noise-1.0``; `rgbench.diagnostics.stress` makes the rows and keeps them beside the run's clean
predictions. Here they are read: no network and no image is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from rgbench.errors import SpecError
from rgbench.measures.catalogue import metrics, recognition
from rgbench.seeds import numpy_generator
from rgbench.statistics.intervals import Weights, interval, resampled, stratified_weights
from rgbench.statistics.recognition import Answers, change_intervals, mean_intervals
from rgbench.statistics.resampled import scatter_of_splits, widened
from rgbench.statistics.significance import holm
from rgbench.store.conditions import SURVEY, Condition, disturbances, families, is_known
from rgbench.store.store import RunRecord
from rgbench.store.tables import Predictions

Floats = NDArray[np.float64]
Estimate = tuple[float, float, float]


@dataclass(frozen=True)
class StressedRun:
    """A run's predictions on the same test sources, clean and disturbed.

    Attributes
    ----------
    clean, disturbed : Predictions
        Rows of the test side, of one model, member 0; the sources are in the order of their names. Another survey may
        have seen fewer of them.
    split : str
        The run's split, e.g. its fold.
    """

    clean: Predictions
    disturbed: Mapping[Condition, Predictions]
    split: str = ""


@dataclass(frozen=True)
class ConditionScore:
    """How well a network does on images disturbed in one way; all numbers are fractions, means over its runs.

    Attributes
    ----------
    condition : Condition
        The way.
    n_sources, n_runs : int
        Labelled test sources of a run, and the number of runs.
    values, clean : dict of str to (float, float, float)
        Accuracy and MPCA on the disturbed and on the clean images, each with the bounds of its score interval, for
        new sources and, from two runs on, new seeds (`rgbench.statistics.recognition`).
    drops : dict of str to (float, float, float)
        Clean minus disturbed on the same sources, with its paired interval of the same kind. Runs with test sources of
        their own have the bootstrap over sources instead, with the scatter over the runs added.
    p_value : float
        Exact sign test over sources of whether as many are lost as gained (of one run: McNemar's exact
        test), Holm-corrected over the conditions; NaN where the logits are not finite.
    kept : (float, float, float)
        Share of the sources that get the class that the same run gave to the clean image, right or wrong, with an
        interval of the same kind as `values`.
    confidence : float
        Coverage of the intervals.
    """

    condition: Condition
    n_sources: int
    n_runs: int
    values: dict[str, tuple[float, float, float]]
    clean: dict[str, tuple[float, float, float]]
    drops: dict[str, tuple[float, float, float]]
    p_value: float
    kept: tuple[float, float, float]
    confidence: float = 0.95

    @property
    def changed(self) -> float:
        """Share of the sources whose predicted class is another than on the clean image."""
        return 1 - self.kept[0]


@dataclass(frozen=True)
class FamilyCurve:
    """A metric as a function of the strength of one kind of disturbance; clean images come first.

    Attributes
    ----------
    family, metric : str
        A kind of disturbance, and a metric of recognition.
    strengths : ndarray of float64, shape (m,)
        In the unit of the family, ascending.
    values, drops : ndarray of float64, shape (m, 3)
        The metric, and its drop against clean, each with the bounds of its interval.
    """

    family: str
    metric: str
    strengths: Floats
    values: Floats
    drops: Floats


def stressed_run(record: RunRecord, disturbed: Predictions, model: str = "best") -> StressedRun:
    """Set a run's predictions on disturbed images beside its clean ones.

    Parameters
    ----------
    record : RunRecord
        A complete run.
    disturbed : Predictions
        As from `read_conditions`. Kinds of disturbance that are not registered here are left out.
    model : {"best", "final"}
        Which model.

    Raises
    ------
    SpecError
        If the run has no clean predictions, or a condition was not tested on the same sources (another survey: on
        other ones).
    """
    if record.predictions is None:
        raise SpecError(f"run {record.run_id} has no predictions; only complete runs can be compared")
    stored = record.predictions.select("test", model)
    order = np.argsort(stored.source_id)
    clean, found = stored.take(order), {}
    tested = disturbed.select("test", model, condition=None)
    names, place = np.unique(tested.condition, return_inverse=True)
    for i, name in enumerate(names.tolist()):
        if not is_known(name):
            continue
        own = np.flatnonzero(place == i)
        sources = tested.source_id[own]
        # Mostly the rows stand as the clean ones do, and need no sorting of their own.
        alike = np.array_equal(sources, stored.source_id)
        rows = tested.take(own[order if alike else np.argsort(sources)])
        condition = Condition.of(name)
        whole = rows.source_id.tolist() == clean.source_id.tolist()
        part = condition.family == SURVEY and len(rows) > 0 and np.isin(rows.source_id, clean.source_id).all()
        if not (whole or part):
            raise SpecError(
                f"run {record.run_id}, {name}: {len(rows)} sources, not the same as the {len(clean)} clean ones"
            )
        found[condition] = rows
    return StressedRun(clean, found, record.spec.data.split)


def score_conditions(
    runs: Sequence[StressedRun], confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> list[ConditionScore]:
    """Score every condition that all runs of a network have.

    Parameters
    ----------
    runs : sequence of StressedRun
        Runs of one network, which differ in seed or fold. Their means are scored.
    confidence : float
        Coverage of the intervals.
    resamples, seed : int
        Number of bootstrap resamples of the test sources, class by class, and their seed, for runs with test sources of
        their own. Clean and disturbed predictions share them.

    Returns
    -------
    list of ConditionScore
        By family and strength. Sources without a label are left out.

    Raises
    ------
    SpecError
        If there is no run, or no condition that all have.
    """
    shared = shared_conditions(runs)
    whole = _Baseline([labelled(run) for run in runs], resamples, seed)
    bases = [whole.covered(condition) for condition in shared]
    values, drops = _paired(shared, bases, confidence)
    kept = _kept(shared, bases, confidence)
    scores = [_score(*each, confidence) for each in zip(shared, bases, values, drops, kept, strict=True)]
    corrected = holm([score.p_value for score in scores])
    return [replace(score, p_value=p) for score, p in zip(scores, corrected, strict=True)]


def strength_curves(scores: Sequence[ConditionScore], metric: str = "accuracy") -> list[FamilyCurve]:
    """Arrange scores as functions of strength, one per family that has one; the clean images are the first point.

    Raises
    ------
    SpecError
        If the metric is none of recognition.
    """
    if metric not in recognition():
        raise SpecError(f"unknown metric {metric!r}; curves are drawn of {', '.join(recognition())}")
    curves = []
    for family in families():
        own = sorted((s for s in scores if s.condition.family == family), key=lambda s: s.condition.strength)
        if own and not families()[family].drawn:
            curves.append(_curve(family, metric, own))
    return curves


def shared_conditions(runs: Sequence[StressedRun]) -> list[Condition]:
    """List the conditions that all runs have, by family and strength."""
    if not runs:
        raise SpecError("there is no run whose predictions on disturbed images could be scored")
    shared = set.intersection(*(set(run.disturbed) for run in runs))
    if not shared:
        raise SpecError(f"the {len(runs)} runs have no condition in common")
    places = [*families(), SURVEY]
    return sorted(shared, key=lambda c: (places.index(c.family), c.strength, c.survey))


@dataclass(frozen=True)
class _Baseline:
    """Runs on the sources of a condition, with what their bootstrap needs, if any."""

    runs: list[StressedRun]
    resamples: int
    seed: int
    known: dict[float, dict[str, Estimate]] = field(default_factory=dict)

    @cached_property
    def sources(self) -> NDArray[np.intp]:
        """Number of the source in each row of all runs, one run after the other."""
        return np.unique(np.concatenate([run.clean.source_id for run in self.runs]), return_inverse=True)[1]

    @cached_property
    def shared(self) -> bool:
        """Whether all runs have the same test sources."""
        return len({tuple(run.clean.source_id.tolist()) for run in self.runs}) == 1

    @cached_property
    def weights(self) -> list[Weights]:
        """Bootstrap weights of each run's sources."""
        return bootstrap_weights([run.clean for run in self.runs], self.resamples, self.seed)

    @cached_property
    def clean(self) -> list[dict[str, Floats]]:
        """Metrics of the clean images and of their resamples."""
        return [_measured(r.clean, w) for r, w in zip(self.runs, self.weights, strict=True)]

    def of_clean(self, confidence: float) -> dict[str, Estimate]:
        """Give the means over runs on clean images with their score intervals, worked out once."""
        if confidence not in self.known:
            tables = [run.clean for run in self.runs]
            names = recognition()
            spans = mean_intervals([_answers(tables, metric) for metric in names], confidence)
            self.known[confidence] = {m: (s.value, s.low, s.high) for m, s in zip(names, spans, strict=True)}
        return self.known[confidence]

    def disturbed(self, condition: Condition) -> list[dict[str, Floats]]:
        """Give those of the disturbed ones."""
        return [_measured(r.disturbed[condition], w) for r, w in zip(self.runs, self.weights, strict=True)]

    def covered(self, condition: Condition) -> _Baseline:
        """Keep the sources that the condition has; another survey may have seen fewer."""
        # The sources of a condition are among the clean ones.
        if all(len(run.disturbed[condition]) == len(run.clean) for run in self.runs):
            return self
        parts = [covered(run, condition) for run in self.runs]
        return _Baseline(parts, self.resamples, self.seed)


def covered(run: StressedRun, condition: Condition) -> StressedRun:
    """Keep the sources that a condition has, and the condition; another survey may have seen fewer."""
    rows = run.disturbed[condition]
    keep = np.isin(run.clean.source_id, rows.source_id)
    return StressedRun(run.clean.take(keep), {condition: rows}, run.split)


def labelled(run: StressedRun) -> StressedRun:
    """Keep the sources with a label; raise `SpecError` if there is none."""
    keep = run.clean.label >= 0
    if keep.all():
        return run
    if not keep.any():
        raise SpecError(f"run {run.clean.run_id}: no test source has a label")
    disturbed = {condition: rows.take(rows.label >= 0) for condition, rows in run.disturbed.items()}
    return StressedRun(run.clean.take(keep), disturbed, run.split)


def bootstrap_weights(tests: Sequence[Predictions], resamples: int = 2000, seed: int = 0) -> list[Weights]:
    """Draw bootstrap weights for the rows of each table; tables of the same sources share them."""
    drawn: dict[tuple[str, ...], Weights] = {}
    for test in tests:
        key = tuple(test.source_id.tolist())
        if key not in drawn:
            generator = numpy_generator(seed, "bootstrap", stress=len(drawn))
            drawn[key] = stratified_weights(test.label, resamples, generator)
    return [drawn[tuple(test.source_id.tolist())] for test in tests]


def _measured(rows: Predictions, weights: Weights) -> dict[str, Floats]:
    """Give each metric: its value first, then that of every resample."""
    logits, whole = rows.log_probabilities(), np.ones((1, len(rows)), dtype=np.float32)
    found = {}
    for name in recognition():
        card = metrics().get(name)
        parts = [resampled(card, rows.label, logits, each) for each in (whole, weights)]
        found[name] = np.concatenate([part for part in parts if part is not None])
    return found


def _finite(condition: Condition, runs: Sequence[StressedRun]) -> bool:
    return all(
        np.isfinite(r.clean.logits).all() and np.isfinite(r.disturbed[condition].logits).all() for r in runs
    )


def _score(
    condition: Condition,
    base: _Baseline,
    values: dict[str, Estimate],
    drops: dict[str, Estimate],
    kept: Estimate,
    confidence: float,
) -> ConditionScore:
    """Score a condition; `values` and `drops` are empty where the runs cannot be paired source by source."""
    runs, finite = base.runs, _finite(condition, base.runs)
    if drops:
        clean = base.of_clean(confidence)
    else:
        measured, names = (base.disturbed(condition), base.clean), recognition()
        after, ahead = ({m: np.stack([r[m] for r in x]) for m in names} for x in measured)
        values, clean = ({m: _estimate(x[m], confidence, 0.0) for m in names} for x in (after, ahead))
        drops = {m: _estimate(ahead[m] - after[m], confidence, -1.0) for m in names}
    return ConditionScore(
        condition,
        len(runs[0].clean),
        len(runs),
        values,
        clean,
        drops,
        _p_value(base, condition) if finite else float("nan"),
        kept,
        confidence,
    )


def _answers(tables: Sequence[Predictions], metric: str) -> Answers:
    y = tables[0].label
    right = np.stack([_said(rows) == rows.label for rows in tables])
    return Answers("", metrics().get(metric).strata(y), right, ("",) * len(tables))


def _paired(
    conditions: Sequence[Condition], bases: Sequence[_Baseline], confidence: float
) -> tuple[list[dict[str, Estimate]], list[dict[str, Estimate]]]:
    """Give means and mean drops of each condition, for new sources and, from two runs on, new seeds; {} without pairs.

    All conditions are worked out at once, which is several times as fast as one by one.
    """
    cases: list[tuple[NDArray[np.int64], Floats]] = []
    places, now = [], []
    for i, (condition, base) in enumerate(zip(conditions, bases, strict=True)):
        for metric in recognition() if base.shared and _finite(condition, base.runs) else ():
            one = _answers([run.clean for run in base.runs], metric)
            other = _answers([run.disturbed[condition] for run in base.runs], metric)
            cases.append((one.y, one.right.astype(np.float64) - other.right))
            places.append((i, metric))
            now.append(other)
    values: list[dict[str, Estimate]] = [{} for _ in conditions]
    for (i, metric), span in zip(places, mean_intervals(now, confidence), strict=True):
        values[i][metric] = (span.value, span.low, span.high)
    drops: list[dict[str, Estimate]] = [{} for _ in conditions]
    for (i, metric), span in zip(places, change_intervals(cases, confidence), strict=True):
        drops[i][metric] = (span.value, span.low, span.high)
    return values, drops


def _kept(conditions: Sequence[Condition], bases: Sequence[_Baseline], confidence: float) -> list[Estimate]:
    """Give the share of the sources that keep their class under each condition; NaN where logits are not finite."""
    found: list[Estimate] = [(float("nan"),) * 3] * len(conditions)
    alike: dict[int, Answers] = {}
    for i, (condition, base) in enumerate(zip(conditions, bases, strict=True)):
        if not _finite(condition, base.runs):
            continue
        same = [_said(run.clean) == _said(run.disturbed[condition]) for run in base.runs]
        if base.shared:
            one_class = np.zeros(len(same[0]), dtype=np.int64)
            alike[i] = Answers("", one_class, np.stack(same), ("",) * len(same))
        else:
            each = [_shares(own, drawn) for own, drawn in zip(same, base.weights, strict=True)]
            found[i] = _estimate(np.stack(each), confidence, 0.0)
    for i, span in zip(alike, mean_intervals(list(alike.values()), confidence), strict=True):
        found[i] = (span.value, span.low, span.high)
    return found


def _shares(flags: NDArray[np.bool_], weights: Weights) -> Floats:
    """Give the share of sources with a flag: its value first, then that of every resample."""
    drawn = weights @ flags / weights.sum(axis=1)
    return np.concatenate([[flags.mean()], drawn])


def _estimate(values: Floats, confidence: float, least: float) -> Estimate:
    """Give a mean over runs with test sources of their own, from `least` to 1, and the interval of its resamples.

    The values are (runs, 1 + n_resamples), measured ones first. Their scatter over the runs is added, as it is to a
    difference of networks that were tested so (`rgbench.statistics.paired`).
    """
    mean, runs = values.mean(axis=0), values[:, 0]
    scatters = [scatter_of_splits(runs, folds=False)] if len(runs) > 1 else []
    low, high = widened(float(mean[0]), interval(mean[1:], confidence), scatters, confidence)
    return float(mean[0]), max(low, least), min(high, 1.0)


def _p_value(base: _Baseline, condition: Condition) -> float:
    """Test by signs whether as many sources are lost as are gained; 1 where no source changes."""
    pairs = [(run.clean, run.disturbed[condition]) for run in base.runs]
    lost = [1 * (_said(a) == a.label) - 1 * (_said(b) == b.label) for a, b in pairs]
    total = np.bincount(base.sources, weights=np.concatenate(lost))
    worse, better = int((total > 0).sum()), int((total < 0).sum())
    return float(binomtest(worse, worse + better).pvalue) if worse + better else 1.0


def _said(rows: Predictions) -> NDArray[np.int64]:
    return np.asarray(rows.logits.argmax(axis=1), dtype=np.int64)


def _curve(family: str, metric: str, own: Sequence[ConditionScore]) -> FamilyCurve:
    points = [(s.condition.strength, s.values[metric], s.drops[metric]) for s in own]
    clean = disturbances().get(family).clean
    if points[0][0] != clean:
        points.insert(0, (clean, own[0].clean[metric], (0.0, 0.0, 0.0)))
    return FamilyCurve(family, metric, *(np.array(column) for column in zip(*points, strict=True)))
