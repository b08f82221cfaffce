"""The summary of a study: one row per network, and the pairs; `rgbench.comparison.words.answer` says what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.groups import _why_not, group_records
from rgbench.comparison.results import Comparison, Estimate, Row
from rgbench.comparison.words.answer import answer
from rgbench.comparison.words.pairs import pair as pair_words
from rgbench.data.sets import data_sets
from rgbench.errors import SpecError, raise_stop
from rgbench.measures.cards import MAIN, MetricCard
from rgbench.measures.catalogue import Measured, find_metric, measure, metrics
from rgbench.measures.classification import confusion_matrix, per_class
from rgbench.measures.health import Note, check_history, check_predictions
from rgbench.numbers import counted
from rgbench.seeds import numpy_generator
from rgbench.spec import RecipeSpec
from rgbench.statistics.intervals import Weights, interval, joint_weights, resampled, stratified_weights
from rgbench.statistics.label_ceiling import LabelCeiling, label_ceiling
from rgbench.statistics.losses import RowDraws, mean_ends, row_ends
from rgbench.statistics.paired import (
    PairedDifference,
    Sample,
    paired_differences,
    recognition_differences,
    widened,
)
from rgbench.statistics.recognition import Answers, mean_interval
from rgbench.store.store import RunRecord
from rgbench.store.tables import Predictions

COSTS = (
    "parameters",
    "macs",
    "receptive_field",
    "stride",
    "coverage",
    "training_seconds",
    "training_images_per_second",
    "inference_images_per_second",
    "peak_memory_mb",
)
_RESAMPLES = 2000
_FURTHER = tuple(key for key in RecipeSpec.model_fields if key not in ("learning_rate", "epochs"))
"""Keys of a recipe that name a row only where they differ."""


@dataclass(frozen=True)
class _Tested:
    """A network's complete runs with their test predictions, and its metric on all resamples."""

    name: str
    records: list[RunRecord]
    tests: list[Predictions]
    measured: list[Measured]
    """Of each run, every metric."""
    cards: Sequence[MetricCard]
    """The metrics."""
    resamples: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """By metric, shape (runs, n_resamples)."""
    row_draws: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """By metric of rows, draws for the ends of its interval, shape (runs, 2, n_resamples)."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by metric, it has no resamples although its card promises an interval."""

    @property
    def shared(self) -> bool:
        """Whether all runs have the same test sources."""
        return len({_key(test) for test in self.tests}) <= 1

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

    def values(self, metric: str) -> NDArray[np.float64]:
        """Give the metric of each run; NaN where it failed."""
        return np.array([each.values[metric] for each in self.measured])

    def ends(self, sample: Sample, metric: str, confidence: float) -> tuple[float, float]:
        """Give the interval of the mean over runs for new test sources alone."""
        if len(sample.y):
            return mean_ends(sample.y, sample.mean_losses(), confidence)
        if metric in self.row_draws:
            ends = [replace(sample, resamples=draws) for draws in np.moveaxis(self.row_draws[metric], 1, 0)]
            return row_ends(np.stack([end.by_split()[1].mean(axis=0) for end in ends]), confidence)
        return interval(sample.by_split()[1].mean(axis=0), confidence)


def compare(
    records: Sequence[RunRecord],
    metric: str = MAIN,
    model: str = "best",
    confidence: float = 0.95,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare networks by their stored predictions on the test sources.

    Parameters
    ----------
    records : sequence of RunRecord
        Runs of one data set, split and protocol; failed ones stay in the table as such.
    metric : str
        What sorts the rows and is compared in pairs: a name of `rgbench.measures.catalogue.metrics`, hyphens
        allowed. One without an interval sorts the rows, and no pairs are compared.
    model : {"best", "final"}
        Which model of each run.
    confidence : float
        Coverage of the intervals.
    resamples : int
        Number of bootstrap resamples of the test sources, class by class. Runs that share test sources
        share the resamples, so that pairs are compared on the same sources. Where every seed has a
        split of its own, each is resampled by itself and the means over seeds are compared.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Comparison
        Rows, pairs and words.

    Raises
    ------
    SpecError
        If the runs are not comparable: the message says in what they differ; or the metric is unknown.
    """
    metric = find_metric(metric).name
    groups = group_records(records)
    if len(groups) != 1:
        raise SpecError(_why_not(groups))
    labels = _labels(groups[0])
    tested = _tested(groups[0], labels, model, [card for _, card in metrics()])
    weights = _weights([t for each in tested for t in each.tests], resamples, seed)
    rows_drawn = _row_draws([each.tests[0] for each in tested if each.tests and each.shared], resamples, seed)
    for each in tested:
        each.resamples.update(_resample(each, weights))
        each.row_draws.update(_rows_drawn(each, rows_drawn))
    failed = _failed(groups[0], labels)
    rows = sorted((_row(each, failed[each.name], confidence) for each in tested), key=_order(metric))
    by_name = {each.name: each for each in tested}
    able = _able(rows, by_name, metric)
    pairs = _pairs(able, by_name, metric, confidence)
    classes = next((t.classes for each in tested for t in each.tests), ())
    drawn = {row.network: _drawn(by_name[row.network], metric, seed) for row in able}
    lost = {name: why for each in tested for own in each.measured for name, why in own.failed.items()}
    lost.update({name: why for each in tested for name, why in each.failed.items()})
    data = groups[0][0].spec.data.test or groups[0][0].spec.data.name
    found = Comparison(
        metric,
        model,
        confidence,
        tuple(rows),
        tuple(replace(pair, words=pair_words(pair)) for pair in pairs),
        classes,
        drawn,
        lost,
        data,
        _ceiling(data),
    )
    return replace(found, words=answer(found))


def score_rows(
    records: Sequence[RunRecord], only: Sequence[str], model: str = "best", confidence: float = 0.95
) -> tuple[Row, ...]:
    """Give the rows of `compare` with a few metrics, and without what compares rows: in a small part of its time.

    Parameters
    ----------
    records, model, confidence
        As of `compare`.
    only : sequence of str
        Names of metrics.

    Returns
    -------
    tuple of Row
        In the order of the records.
    """
    labels = _labels(records)
    tested = _tested(records, labels, model, [metrics().get(name) for name in only])
    weights = _weights([test for each in tested for test in each.tests], _RESAMPLES, 0)
    rows_drawn = _row_draws([each.tests[0] for each in tested if each.tests and each.shared], _RESAMPLES, 0)
    for each in tested:
        # What is recognised of a common test set has an interval in closed form.
        free = [card for card in each.cards if not (card.is_recognition and each.shared)]
        each.resamples.update(_resample(replace(each, cards=free), weights))
        each.row_draws.update(_rows_drawn(each, rows_drawn))
    failed = _failed(records, labels)
    return tuple(_row(each, failed[each.name], confidence) for each in tested)


def _failed(records: Sequence[RunRecord], labels: Sequence[str]) -> dict[str, list[RunRecord]]:
    """Give the runs of each row that are not complete."""
    found: dict[str, list[RunRecord]] = {label: [] for label in labels}
    for record, label in zip(records, labels, strict=True):
        if not _complete(record):
            found[label].append(record)
    return found


def _ceiling(name: str) -> LabelCeiling | None:
    """Give what the labels of a data set allow; None where another catalogue's labels are not known."""
    card = data_sets().get(name).card if name in data_sets() else None
    if card is None or not card.agreement:
        return None
    return label_ceiling(card.agreement, len(card.classes))


def _tested(
    records: Sequence[RunRecord], labels: Sequence[str], model: str, cards: Sequence[MetricCard]
) -> list[_Tested]:
    """Gather the complete runs of each row, with their test predictions and every metric of them."""
    tested = []
    for name in dict.fromkeys(labels):
        own = [r for r, label in zip(records, labels, strict=True) if label == name and _complete(r)]
        tests = [_labelled(r.predictions.select("test", model)) for r in own if r.predictions is not None]
        for record, test in zip(own, tests, strict=True):
            if not len(test):
                raise SpecError(f"run {record.run_id} has no labelled test source of the {model} model")
        measured = [measure(test.label, test.log_probabilities(), cards) for test in tests]
        tested.append(_Tested(name, own, tests, measured, cards))
    return tested


def _labels(records: Sequence[RunRecord]) -> list[str]:
    """Name each run's row: the network, with rate, epochs and whatever else differs where one has several recipes."""
    recipes: dict[str, list[RecipeSpec]] = {}
    for record in records:
        recipes.setdefault(record.spec.network.name, []).append(record.spec.recipe)
    labels = []
    for record in records:
        name, recipe = record.spec.network.name, record.spec.recipe
        own = recipes[name]
        differ = [key for key in _FURTHER if any(getattr(each, key) != getattr(own[0], key) for each in own)]
        further = "".join(f", {key} {getattr(recipe, key)}" for key in differ)
        several = any(each != own[0] for each in own)
        said = f"({recipe.learning_rate:g}, {counted(recipe.epochs, 'epoch')}{further})"
        labels.append(f"{name} {said}" if several else name)
    return labels


def _complete(record: RunRecord) -> bool:
    return record.status == "complete" and record.predictions is not None


def _key(test: Predictions) -> tuple[str, ...]:
    return tuple(sorted(test.source_id.tolist()))


def _labelled(test: Predictions) -> Predictions:
    """Leave out test sources without a label, in the order of the others' names."""
    known = test.take(test.label >= 0)
    return known.take(np.argsort(known.source_id))


def _weights(tests: list[Predictions], resamples: int, seed: int) -> dict[tuple[str, ...], Weights]:
    """Draw weights for every distinct test set; where there are several, a source has one weight in all of them."""
    distinct = {_key(test): test for test in tests}
    if len(distinct) > 1:
        generator = numpy_generator(seed, "bootstrap", test="joint")
        drawn = joint_weights([test.source_id for test in distinct.values()], resamples, generator)
        return dict(zip(distinct, drawn, strict=True))
    generator = numpy_generator(seed, "bootstrap", test=0)
    return {key: stratified_weights(test.label, resamples, generator) for key, test in distinct.items()}


def _resample(each: _Tested, weights: Mapping[tuple[str, ...], Weights]) -> dict[str, NDArray[np.float64]]:
    """Give, by metric, every run on every resample, shape (runs, n_resamples)."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for test in each.tests:
        scores = test.log_probabilities()
        for name, card in ((card.name, card) for card in each.cards):
            if name in each.failed or any(name in own.failed for own in each.measured):
                continue
            try:
                values = resampled(card, test.label, scores, weights[_key(test)])
            except (Exception, SystemExit) as error:  # of another package: it costs that metric its interval
                raise_stop(error)
                each.failed[name] = f"on resampled sources, {type(error).__name__}: {error}"
                continue
            if values is not None:
                found.setdefault(name, []).append(values)
    return {name: np.stack(values) for name, values in found.items() if name not in each.failed}


def _row_draws(tests: list[Predictions], n_draws: int, seed: int) -> dict[tuple[str, ...], RowDraws]:
    """Draw what metrics of rows, such as macro F1, need for every distinct test set."""
    distinct = {_key(test): test for test in tests}
    generator = numpy_generator(seed, "bootstrap", rows=0)
    return {
        key: RowDraws.draw(len(test), len(test.classes), n_draws, generator) for key, test in distinct.items()
    }


def _rows_drawn(each: _Tested, drawn: Mapping[tuple[str, ...], RowDraws]) -> dict[str, NDArray[np.float64]]:
    """Give each run's draws by metric; none where every run has test sources of its own."""
    cards = [card for card in each.cards if card.interval == "rows" and card.name not in each.failed]
    if not each.shared or not each.tests:
        return {}
    said = [(drawn[_key(test)], test.label, test.logits.argmax(axis=1)) for test in each.tests]
    return {
        card.name: np.stack([rows.of(card.of_counts, y, predicted) for rows, y, predicted in said])
        for card in cards
        if card.of_counts is not None
    }


def _drawn(each: _Tested, metric: str, seed: int) -> NDArray[np.float64]:
    """Give a network's mean on every resample, with other runs drawn too, shape (n_resamples,)."""
    sample = each.sample(metric)
    values = np.asarray(sample.by_split()[1].mean(axis=0))
    part = sample.part()
    if part is None:
        return values
    generator = numpy_generator(seed, "bootstrap", runs=each.name)
    return np.asarray(values + part.error * generator.standard_t(part.degrees, size=len(values)))


def _row(each: _Tested, failed: Sequence[RunRecord], confidence: float) -> Row:
    notes = [f"seed {r.spec.seed} {r.lacking or 'has no predictions'}" for r in failed]
    found = [_notes(record, test) for record, test in zip(each.records, each.tests, strict=True)]
    for record, own in zip(each.records, found, strict=True):
        notes += [f"seed {record.spec.seed} did not learn: {note.text}" for note in own]
    none = "not finished" if all(r.status == "running" for r in failed) else "failed"
    status = none if not each.tests else "did not learn" if all(found) else "ok"
    confusions = [confusion_matrix(t.label, t.logits, len(t.classes)) for t in each.tests]
    classes = [per_class(t.label, t.logits) for t in each.tests]
    return Row(
        network=each.name,
        seeds=tuple(record.spec.seed for record in each.records),
        n_seeds=len(each.records),
        n_test=len(each.tests[0]) if each.tests else 0,
        metrics=_estimates(each, confidence),
        cost=_costs(each.records),
        confusion=np.sum(confusions, axis=0) if confusions else None,
        per_class={key: np.mean([c[key] for c in classes], axis=0) for key in classes[0]} if classes else {},
        notes=tuple(notes),
        status=status,
        name=(each.records or failed)[0].spec.network.name,
    )


def _notes(record: RunRecord, test: Predictions) -> list[Note]:
    notes = [*check_predictions(test.logits, test.classes), *check_history(record.history, len(test.classes))]
    return list({note.code: note for note in notes}.values())


def _estimates(each: _Tested, confidence: float) -> dict[str, Estimate]:
    """Estimate every metric of a network; nothing if none of its runs is complete."""
    if not each.tests:
        return {}
    return {card.name: _estimate(each, card, confidence) for card in each.cards}


def _estimate(each: _Tested, card: MetricCard, confidence: float) -> Estimate:
    values = each.values(card.name)
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    low, high = _span(each, card, confidence) if np.isfinite(values).all() else (float("nan"), float("nan"))
    return Estimate(float(np.mean(values)), spread, low, high, tuple(values.tolist()))


def _span(each: _Tested, card: MetricCard, confidence: float) -> tuple[float, float]:
    """Give the interval of a network's mean over its runs; NaN if the metric has none."""
    if card.is_recognition and each.shared:
        found = mean_interval(_answers(each, card.name), confidence)
        return found.low, found.high
    if card.name not in each.resamples:
        return float("nan"), float("nan")
    sample = each.sample(card.name)
    part, ends = sample.part(), each.ends(sample, card.name, confidence)
    mean, parts = float(np.mean(sample.values)), [] if part is None else [part]
    low, high = widened(mean, ends, parts, confidence)
    return max(low, card.value_range[0]), min(high, card.value_range[1])


def _costs(records: Sequence[RunRecord]) -> dict[str, float]:
    costs = {}
    for name in COSTS:
        known = [float(r.cost[name]) for r in records if r.cost.get(name) is not None]
        if known:
            costs[name] = float(np.median(known))
    return costs


def _order(metric: str) -> Any:
    card = metrics().get(metric)

    def key(row: Row) -> tuple[int, float]:
        value = row.metrics[metric].mean if metric in row.metrics else np.nan
        rank = {"ok": 0, "did not learn": 1}.get(row.status, 2)
        value = np.nan_to_num(value, nan=-np.inf if card.higher_is_better else np.inf)
        return rank, float(-value if card.higher_is_better else value)

    return key


def _able(rows: list[Row], tested: Mapping[str, _Tested], metric: str) -> list[Row]:
    """Give the rows that can be compared: sound ones, tested on the same sources as the best of them."""
    sound = [
        row
        for row in rows
        if row.status == "ok"
        and metric in tested[row.network].resamples
        and np.isfinite(row.metrics[metric].mean)
    ]
    sets = {row.network: {_key(test) for test in tested[row.network].tests} for row in sound}
    return [row for row in sound if sets[row.network] == sets[sound[0].network]]


def _pairs(
    able: list[Row], tested: Mapping[str, _Tested], metric: str, confidence: float
) -> list[PairedDifference]:
    """Compare rows whose runs were tested on the same sources."""
    if not able:
        return []
    if metrics().get(metric).is_recognition and tested[able[0].network].shared:
        answers = [_answers(tested[row.network], metric) for row in able]
        return recognition_differences(answers, confidence, metric)
    samples = [tested[row.network].sample(metric) for row in able]
    return paired_differences(samples, metrics().get(metric), confidence, able[0].n_test)


def _answers(each: _Tested, metric: str) -> Answers:
    """Gather what a network's runs recognise of their common test set."""
    y = each.tests[0].label
    right = np.stack([test.logits.argmax(axis=1) == y for test in each.tests])
    return Answers(each.name, metrics().get(metric).strata(y), right, each.splits)
