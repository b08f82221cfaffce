"""What of networks is compared: their complete runs, with test predictions, and metrics also on drawn test sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import SpecError, raise_stop
from rgbench.measures.cards import MetricCard
from rgbench.measures.catalogue import Measured, measure, metrics
from rgbench.seeds import numpy_generator
from rgbench.statistics.intervals import Weights, interval, joint_weights, resampled, stratified_weights
from rgbench.statistics.losses import RowDraws, mean_ends, row_ends
from rgbench.statistics.paired import Sample
from rgbench.statistics.recognition import Answers
from rgbench.store.store import RunRecord
from rgbench.store.tables import Predictions

Sources = tuple[str, ...]
"""Names of the sources of a test set, in their order."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tested:
    """A network's complete runs with their test predictions, and its metrics on all resamples (`with_draws`)."""

    name: str
    records: list[RunRecord]
    tests: list[Predictions]
    measured: list[Measured]
    """Of each run, every metric."""
    cards: Sequence[MetricCard]
    """The metrics."""
    resamples: Mapping[str, Floats] = field(default_factory=dict)
    """By metric, shape (runs, n_resamples)."""
    row_draws: Mapping[str, Floats] = field(default_factory=dict)
    """By metric of rows, draws for the ends of its interval, shape (runs, 2, n_resamples)."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why, by metric, it has no resamples although its card promises an interval."""

    @cached_property
    def test_sets(self) -> frozenset[Sources]:
        """The different test sets of the runs."""
        return frozenset(_sources(test) for test in self.tests)

    @property
    def shared(self) -> bool:
        """Whether all runs have the same test sources."""
        return len(self.test_sets) <= 1

    @property
    def splits(self) -> tuple[str, ...]:
        """The split of each run; where every seed has test sources of its own, that of the seed."""
        if self.shared:
            return tuple(record.spec.data.split for record in self.records)
        return tuple(f"{r.spec.data.split}, seed {r.spec.seed}" for r in self.records)

    def sample(self, metric: str) -> Sample:
        """Give the metric of each run, with its resamples."""
        card = metrics().get(metric)
        sample = Sample(self.name, self.values(metric), self.resamples[metric], self.splits, self.shared)
        if card.interval != "mean" or card.per_source is None or not self.shared:
            return sample
        y, scores = self.tests[0].label, [test.log_probabilities() for test in self.tests]
        return replace(sample, y=y, losses=np.stack([card.per_source(y, own) for own in scores]))

    def values(self, metric: str) -> Floats:
        """Give the metric of each run; NaN where it failed."""
        return np.array([each.values[metric] for each in self.measured])

    def answers(self, metric: str) -> Answers:
        """Gather what the runs recognise of their common test set, as a metric of recognition asks for it."""
        y = self.tests[0].label
        right = np.stack([test.logits.argmax(axis=1) == y for test in self.tests])
        return Answers(self.name, metrics().get(metric).strata(y), right, self.splits)

    def ends(self, sample: Sample, metric: str, confidence: float) -> tuple[float, float]:
        """Give the interval of the mean over runs for new test sources alone."""
        if len(sample.y):
            return mean_ends(sample.y, sample.mean_losses(), confidence)
        if metric in self.row_draws:
            ends = [replace(sample, resamples=draws) for draws in np.moveaxis(self.row_draws[metric], 1, 0)]
            return row_ends(np.stack([end.by_split()[1].mean(axis=0) for end in ends]), confidence)
        return interval(sample.by_split()[1].mean(axis=0), confidence)


def is_complete(record: RunRecord) -> bool:
    """Tell whether a run can be compared: it is complete, and has predictions."""
    return record.status == "complete" and record.predictions is not None


def gather_tested(
    records: Sequence[RunRecord], labels: Sequence[str], model: str, cards: Sequence[MetricCard]
) -> list[Tested]:
    """Gather the complete runs of each row, with their test predictions and the metrics of them.

    Parameters
    ----------
    records : sequence of RunRecord
        All runs.
    labels : sequence of str
        Name of each run's row.
    model : {"best", "final"}
        Which model of each run.
    cards : sequence of MetricCard
        The metrics.

    Raises
    ------
    SpecError
        If a complete run has no labelled test source.
    """
    tested = []
    for name in dict.fromkeys(labels):
        own = [r for r, label in zip(records, labels, strict=True) if label == name and is_complete(r)]
        tests = [_labelled(r.predictions.select("test", model)) for r in own if r.predictions is not None]
        for record, test in zip(own, tests, strict=True):
            if not len(test):
                raise SpecError(f"run {record.run_id} has no labelled test source of the {model} model")
        measured = [measure(test.label, test.log_probabilities(), cards) for test in tests]
        tested.append(Tested(name, own, tests, measured, cards))
    return tested


def with_draws(tested: Sequence[Tested], n_draws: int, seed: int, closed_forms: bool = True) -> list[Tested]:
    """Give networks with their metrics on drawn test sources: networks with the same test sources share the draws.

    Parameters
    ----------
    tested : sequence of Tested
        The networks.
    n_draws : int
        Number of draws.
    seed : int
        Seed of the draws.
    closed_forms : bool
        Whether those metrics are drawn too of which an interval in closed form is known: what is recognised of a common
        test set.
    """
    weights = _weights([test for each in tested for test in each.tests], n_draws, seed)
    rows = _row_draws([each.tests[0] for each in tested if each.tests and each.shared], n_draws, seed)
    found = []
    for each in tested:
        free = [card for card in each.cards if closed_forms or not (card.is_recognition and each.shared)]
        resamples, failed = _resample(each, free, weights)
        drawn = _of_rows(each, rows, failed) if each.shared else {}
        found.append(replace(each, resamples=resamples, row_draws=drawn, failed=failed))
    return found


def _sources(test: Predictions) -> Sources:
    return tuple(sorted(test.source_id.tolist()))


def _labelled(test: Predictions) -> Predictions:
    """Leave out test sources without a label, in the order of the others' names."""
    known = test.take(test.label >= 0)
    return known.take(np.argsort(known.source_id))


def _weights(tests: Sequence[Predictions], resamples: int, seed: int) -> dict[Sources, Weights]:
    """Draw weights for every distinct test set; where there are several, a source has one weight in all of them."""
    distinct = {_sources(test): test for test in tests}
    if len(distinct) > 1:
        generator = numpy_generator(seed, "bootstrap", test="joint")
        drawn = joint_weights([test.source_id for test in distinct.values()], resamples, generator)
        return dict(zip(distinct, drawn, strict=True))
    generator = numpy_generator(seed, "bootstrap", test=0)
    return {key: stratified_weights(test.label, resamples, generator) for key, test in distinct.items()}


def _resample(
    each: Tested, cards: Sequence[MetricCard], weights: Mapping[Sources, Weights]
) -> tuple[dict[str, Floats], dict[str, str]]:
    """Give, by metric, every run on every resample, shape (runs, n_resamples); and why metrics have none."""
    found: dict[str, list[Floats]] = {}
    failed: dict[str, str] = {}
    for test in each.tests:
        scores = test.log_probabilities()
        for name, card in ((card.name, card) for card in cards):
            if name in failed or any(name in own.failed for own in each.measured):
                continue
            try:
                values = resampled(card, test.label, scores, weights[_sources(test)])
            except (Exception, SystemExit) as error:  # of another package: it costs that metric its interval
                raise_stop(error)
                failed[name] = f"on resampled sources, {type(error).__name__}: {error}"
                continue
            if values is not None:
                found.setdefault(name, []).append(values)
    return {name: np.stack(values) for name, values in found.items() if name not in failed}, failed


def _row_draws(tests: Sequence[Predictions], n_draws: int, seed: int) -> dict[Sources, RowDraws]:
    """Draw what metrics of rows, such as macro F1, need for every distinct test set."""
    distinct = {_sources(test): test for test in tests}
    generator = numpy_generator(seed, "bootstrap", rows=0)
    return {
        key: RowDraws.draw(len(test), len(test.classes), n_draws, generator) for key, test in distinct.items()
    }


def _of_rows(each: Tested, drawn: Mapping[Sources, RowDraws], failed: Mapping[str, str]) -> dict[str, Floats]:
    """Give each run's draws by metric of rows."""
    if not each.tests:
        return {}
    said = [(drawn[_sources(test)], test.label, test.logits.argmax(axis=1)) for test in each.tests]
    return {
        card.name: np.stack([rows.of(card.of_counts, y, predicted) for rows, y, predicted in said])
        for card in each.cards
        if card.interval == "rows" and card.name not in failed and card.of_counts is not None
    }
