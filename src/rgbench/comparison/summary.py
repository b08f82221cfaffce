"""The summary of a study: one row per network, and the pairs; `rgbench.comparison.words.answer` says what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.groups import _why_not, group_records
from rgbench.comparison.results import Comparison, Estimate, Row
from rgbench.comparison.tested import Tested, gather_tested, is_complete, with_draws
from rgbench.comparison.words.answer import answer
from rgbench.comparison.words.pairs import pair as pair_words
from rgbench.errors import SpecError
from rgbench.measures.cards import MAIN, ONLY_CLASSES, MetricCard
from rgbench.measures.catalogue import find_metric, metrics
from rgbench.measures.classification import confusion_matrix, per_class
from rgbench.measures.health import Note, check_history, check_predictions
from rgbench.numbers import counted, listed
from rgbench.seeds import numpy_generator
from rgbench.spec import RecipeSpec, RunSpec
from rgbench.statistics.intervals import wilson
from rgbench.statistics.paired import Pairs, Sample, paired_differences, recognition_differences
from rgbench.statistics.recognition import Answers, mean_interval
from rgbench.statistics.resampled import widened
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


def compare(
    records: Sequence[RunRecord],
    metric: str = MAIN,
    model: str = "best",
    confidence: float = 0.95,
    resamples: int = _RESAMPLES,
    seed: int = 0,
    looks: int | None = None,
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
    looks : int, optional
        How often pairs were to be compared, at most, while seeds were added: p-values are so many times as large. Left
        out, what the runs tell (``rgbench run --until-decided``).

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
    tested = gather_tested(groups[0], labels, model, [card for _, card in metrics()])
    tested = with_draws(tested, resamples, seed)
    failed = _failed(groups[0], labels)
    in_part = _tested_in_part(tested)
    found_rows = [_row(each, failed[each.name], confidence) for each in tested]
    rows = sorted(found_rows, key=_order(metric, in_part))
    by_name = {each.name: each for each in tested}
    able = _able(rows, by_name, metric)
    looks = max(record.looks for record in groups[0]) if looks is None else looks
    pairs = _pairs(able, by_name, metric, confidence, looks)
    classes = next((t.classes for each in tested for t in each.tests), ())
    drawn = {row.network: _drawn(by_name[row.network], metric, seed) for row in able}
    lost = _lost(tested)
    lost.update({name: why for each in tested for name, why in each.failed.items()})
    data = groups[0][0].spec.data.test or groups[0][0].spec.data.name
    found = Comparison(
        metric,
        model,
        confidence,
        tuple(rows),
        tuple(replace(pair, words=pair_words(pair)) for pair in pairs.pairs),
        classes,
        drawn,
        lost,
        data,
        maybe_best=pairs.maybe_best,
        looks=looks,
    )
    return replace(found, sentences=answer(found))


def score_rows(
    records: Sequence[RunRecord], only: Sequence[str], model: str = "best", confidence: float = 0.95
) -> tuple[Row, ...]:
    """Give the rows of `compare` with a few metrics, and without what compares rows: in a small part of its time.

    Parameters
    ----------
    records : sequence of RunRecord
        As of `compare`.
    only : sequence of str
        Names of metrics.
    model, confidence : str, float
        As of `compare`.

    Returns
    -------
    tuple of Row
        In the order of the records.
    """
    labels = _labels(records)
    tested = gather_tested(records, labels, model, [metrics().get(name) for name in only])
    tested = with_draws(tested, _RESAMPLES, 0, closed_forms=False)
    failed = _failed(records, labels)
    return tuple(_row(each, failed[each.name], confidence) for each in tested)


def _lost(tested: Sequence[Tested]) -> dict[str, str]:
    """Say by metric why it could not be worked out; where only classes are known, of which networks."""
    lost = {name: why for each in tested for own in each.measured for name, why in own.failed.items()}
    for name, why in lost.items():
        if why == ONLY_CLASSES:
            whose = [each.name for each in tested if any(name in own.failed for own in each.measured)]
            lost[name] = f"{why} of {listed(whose)}"
    return lost


def _tested_in_part(tested: Sequence[Tested]) -> frozenset[str]:
    """Name the networks that were tested on a part of another's test sources, as predictions made elsewhere may be."""
    sets = {each.name: {frozenset(sources) for sources in each.test_sets} for each in tested}
    whole = set().union(*sets.values())
    return frozenset(name for name, own in sets.items() if any(a < b for a in own for b in whole))


def _failed(records: Sequence[RunRecord], labels: Sequence[str]) -> dict[str, list[RunRecord]]:
    """Give the runs of each row that are not complete."""
    found: dict[str, list[RunRecord]] = {label: [] for label in labels}
    for record, label in zip(records, labels, strict=True):
        if not is_complete(record):
            found[label].append(record)
    return found


def _labels(records: Sequence[RunRecord]) -> list[str]:
    """Name each run's row: the network, with rate, epochs and whatever else differs where one has several recipes."""
    recipes: dict[str, list[RecipeSpec]] = {}
    for record in records:
        if isinstance(record.spec, RunSpec):
            recipes.setdefault(record.spec.network.name, []).append(record.spec.recipe)
    labels = []
    for record in records:
        name = record.spec.network.name
        if not isinstance(record.spec, RunSpec):
            labels.append(name)
            continue
        recipe, own = record.spec.recipe, recipes[name]
        differ = [key for key in _FURTHER if any(getattr(each, key) != getattr(own[0], key) for each in own)]
        further = "".join(f", {key} {getattr(recipe, key)}" for key in differ)
        several = any(each != own[0] for each in own)
        said = f"({recipe.learning_rate:g}, {counted(recipe.epochs, 'epoch')}{further})"
        labels.append(f"{name} {said}" if several else name)
    return labels


def _drawn(each: Tested, metric: str, seed: int) -> NDArray[np.float64]:
    """Give a network's mean on every resample, with other runs drawn too, shape (n_resamples,)."""
    sample = each.sample(metric)
    values = np.asarray(sample.by_split()[1].mean(axis=0))
    generator = numpy_generator(seed, "bootstrap", runs=each.name)
    for scatter in sample.scatters():
        values = values + scatter.error * generator.standard_t(scatter.degrees, size=len(values))
    return values


def _row(each: Tested, failed: Sequence[RunRecord], confidence: float) -> Row:
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
        views=_views(each.records or failed),
        recalls=_recalls(each, confidence),
        elsewhere=(*each.records, *failed)[0].elsewhere,
    )


def _views(records: Sequence[RunRecord]) -> int:
    """Give of how many views an answer is the mean; 1 where predictions were made elsewhere, which do not tell."""
    return 1 if records[0].elsewhere else records[0].trained.recipe.views


def _recalls(each: Tested, confidence: float) -> tuple[Estimate, ...]:
    """Estimate the recall of each class; nothing if no run is complete."""
    classes = each.tests[0].classes if each.tests else ()
    return tuple(_recall(each, k, confidence) for k in range(len(classes)))


def _recall(each: Tested, k: int, confidence: float) -> Estimate:
    """Estimate a recall: the accuracy on the sources of one class alone; NaN where a run has none, or no logits."""
    own = [test.take(test.label == k) for test in each.tests]
    if any(not len(test) or not np.isfinite(test.logits).all() for test in own):
        nan = float("nan")
        return Estimate(nan, nan, nan, nan, (nan,) * len(own))
    right = [test.logits.argmax(axis=1) == k for test in own]
    values = np.array([rows.mean() for rows in right])
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    if each.shared:
        one_class = np.zeros(len(own[0]), dtype=np.int64)
        span = mean_interval(Answers(each.name, one_class, np.stack(right), each.splits), confidence)
        low, high = span.low, span.high
    else:
        low, high = _recall_ends(each, right, values, confidence)
    return Estimate(float(values.mean()), spread, low, high, tuple(values.tolist()))


def _recall_ends(
    each: Tested, right: Sequence[NDArray[np.bool_]], values: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """Give the interval of a recall whose runs have test sources of their own.

    The sources are taken to be as many as the smallest run has: how many more they are worth is not known.
    """
    n, mean = min(map(len, right)), float(values.mean())
    sample = Sample(each.name, values, np.zeros((len(values), 1)), each.splits, shared=False)
    low, high = widened(mean, wilson(round(mean * n), n, confidence), sample.scatters(), confidence)
    return max(low, 0.0), min(high, 1.0)


def _notes(record: RunRecord, test: Predictions) -> list[Note]:
    notes = [*check_predictions(test.logits, test.classes), *check_history(record.history, len(test.classes))]
    return list({note.code: note for note in notes}.values())


def _estimates(each: Tested, confidence: float) -> dict[str, Estimate]:
    """Estimate every metric of a network; nothing if none of its runs is complete."""
    if not each.tests:
        return {}
    return {card.name: _estimate(each, card, confidence) for card in each.cards}


def _estimate(each: Tested, card: MetricCard, confidence: float) -> Estimate:
    values = each.values(card.name)
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    low, high = _span(each, card, confidence) if np.isfinite(values).all() else (float("nan"), float("nan"))
    return Estimate(float(np.mean(values)), spread, low, high, tuple(values.tolist()))


def _span(each: Tested, card: MetricCard, confidence: float) -> tuple[float, float]:
    """Give the interval of a network's mean over its runs; NaN if the metric has none."""
    if card.is_recognition and each.shared:
        found = mean_interval(each.answers(card.name), confidence)
        return found.low, found.high
    if card.name not in each.resamples:
        return float("nan"), float("nan")
    sample = each.sample(card.name)
    mean, ends = float(np.mean(sample.values)), each.ends(sample, card.name, confidence)
    low, high = widened(mean, ends, sample.scatters(), confidence)
    return max(low, card.value_range[0]), min(high, card.value_range[1])


def _costs(records: Sequence[RunRecord]) -> dict[str, float]:
    costs = {}
    for name in COSTS:
        known = [float(r.cost[name]) for r in records if r.cost.get(name) is not None]
        if known:
            costs[name] = float(np.median(known))
    return costs


def _order(metric: str, in_part: frozenset[str]) -> Any:
    """Give what sorts rows; those tested on a part of the sources come behind the others, which lead."""
    card = metrics().get(metric)

    def key(row: Row) -> tuple[int, bool, float]:
        value = row.metrics[metric].mean if metric in row.metrics else np.nan
        rank = {"ok": 0, "did not learn": 1}.get(row.status, 2)
        value = np.nan_to_num(value, nan=-np.inf if card.higher_is_better else np.inf)
        return rank, row.network in in_part, float(-value if card.higher_is_better else value)

    return key


def _able(rows: list[Row], tested: Mapping[str, Tested], metric: str) -> list[Row]:
    """Give the rows that can be compared: sound ones, tested on the same sources as the best of them."""
    sound = [
        row
        for row in rows
        if row.status == "ok"
        and metric in tested[row.network].resamples
        and np.isfinite(row.metrics[metric].mean)
    ]
    return [row for row in sound if tested[row.network].test_sets == tested[sound[0].network].test_sets]


def _pairs(
    able: list[Row], tested: Mapping[str, Tested], metric: str, confidence: float, looks: int
) -> Pairs:
    """Compare rows whose runs were tested on the same sources."""
    if not able:
        return Pairs()
    if metrics().get(metric).is_recognition and tested[able[0].network].shared:
        answers = [tested[row.network].answers(metric) for row in able]
        return recognition_differences(answers, confidence, metric, looks)
    samples = [tested[row.network].sample(metric) for row in able]
    return paired_differences(samples, metrics().get(metric), confidence, able[0].n_test, looks)
