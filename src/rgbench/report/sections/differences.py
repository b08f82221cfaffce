"""Pairs of networks: by how much they differ, tested in several ways, and what would be needed to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isinf

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.comparison.words.pairs import basis, bounded, correction, posterior
from rgbench.measures.cards import MetricCard
from rgbench.numbers import Scale
from rgbench.report.blocks import Figure, LeftOut, Section, Table
from rgbench.report.cells import Cell, chance, count, difference, number, p_cell, span
from rgbench.report.draw import figures
from rgbench.report.material import Runs
from rgbench.report.sections.scores import spoken
from rgbench.seeds import numpy_generator
from rgbench.statistics.paired import PairedDifference
from rgbench.statistics.resampled import CorrectedT, Posterior, corrected_t, correlated_t
from rgbench.statistics.significance import (
    McNemar,
    class_weights,
    excludes_zero,
    holm,
    mcnemar,
    permutation_test,
)

Flags = NDArray[np.bool_]
Labels = NDArray[np.int64]
LARGEST = 12
"""Networks, from the top of the ranking, of which all pairs are compared."""
DRAWN = 15
"""Pairs in the figure."""
EQUAL = 0.01
"""Half width of the region of practical equivalence: one point."""
FOLDS = ("Nadeau2003", "Corani2015")
"""Publications of the tests over splits."""
_COMMON = (
    "Both networks of a pair answered for the same test sources. The interval is for their mean difference in {metric} "
    "if other test sources and, from two runs on, other seeds or folds had been taken. With three seeds it is wide, "
    "because three seeds tell little about all seeds. For the test sources it comes from {basis}."
)
_APART = (
    "Every seed has a random split of its own, so that the runs have no common test sources. Intervals come from "
    "{basis}. The scatter over the seeds is added. Networks are paired seed by seed."
)
_CHECKED = "Its coverage was checked by simulation (benchmarks/coverage_runs.py)."
_NARROW = "Such an interval is too narrow for fewer than some hundred sources."
_DECIDES = "p belongs to the same interval and is {correction}. It decides which networks are told apart."
_TOGETHER = (
    "For step-down minP, the p-values of all pairs are drawn as if no two networks differed. First better: the chance "
    "that the first network is the better one, if nothing is known but these runs."
)
_RESOLVABLE = (
    "Resolvable: the smallest true difference that would have been found, among so many pairs, in 80 of 100 such "
    "comparisons."
)
_ONE_ANSWER = (
    "McNemar's test and the permutation test ask another question: do these trained networks differ? For them, each "
    "network gives one answer per source, the mean probability over its runs. McNemar's test compares accuracy and the "
    "permutation test MPCA; both are corrected by Holm's method."
)
_OVER_SPLITS = (
    "Different splits share training sources, so that an ordinary t-test over them would be too sure. Corrected t "
    "is the t-test of Nadeau & Bengio (2003), its p-values corrected by Holm's method. The chances that the first "
    "is better, that both are practically equal (within {region}) and that the second is better come from the "
    "Bayesian correlated t-test (Corani & Benavoli 2015). Runs of several seeds on one split are averaged first. If "
    "all folds have the same test sources, this table shows what other training sources would change. What other "
    "test sources would change stands in the table above."
)


@dataclass(frozen=True)
class _Splits:
    """Two networks over the splits that both were trained on."""

    test: CorrectedT
    chances: Posterior


@dataclass(frozen=True)
class _Tests:
    """Tests of one answer per network."""

    mcnemar: McNemar
    permutation: float


@dataclass(frozen=True)
class _Pair:
    """Two networks: their difference as the comparison has it, and further tests.

    McNemar's test needs common test sources, the tests over splits two splits or more.
    """

    difference: PairedDifference
    test: _Tests | None
    splits: _Splits | None


def section(runs: Runs) -> Section | LeftOut:
    """Compare every pair of networks that were tested on the same sources, or on the same random splits."""
    shown = runs.networks[:LARGEST]
    main = [pair for pair in runs.main.pairs if {pair.first, pair.second} <= set(shown)]
    decided, scores = runs.decided, {name: _by_split(runs, name) for name in shown}
    if not main or (decided is None and all(len(own) < 2 for own in scores.values())):
        return LeftOut(
            "Differences", "it needs two networks tested on the same sources, in a metric with an interval"
        )
    share = _test_share(runs)
    pairs = [
        _Pair(
            each,
            None if decided is None else _tests(*decided, each),
            _over_splits(runs.card, scores[each.first], scores[each.second], share),
        )
        for each in main
    ]
    return Section(
        anchor="differences",
        menu="Differences",
        title="Are they different?",
        finding=_finding(main),
        sentences=(
            *_resolution(main, runs.main.rows[0].n_test, runs.scale),
            *_split_words(pairs, decided, runs.card),
        ),
        figures=(_figure(runs, main),),
        tables=tuple(
            table
            for table in (_table(pairs, runs.scale), _split_table(pairs, runs.scale))
            if table is not None
        ),
        notes=_notes(runs, decided is not None, pairs),
        cites=FOLDS if any(pair.splits for pair in pairs) else (),
    )


def _finding(pairs: Sequence[PairedDifference]) -> str:
    """Say how many pairs are told apart, and name those that are not, if they are few."""
    tied = [f"{pair.first} and {pair.second}" for pair in pairs if not pair.separable]
    if not tied:
        return f"Yes: {'both networks are' if len(pairs) == 1 else f'all {len(pairs)} pairs are'} told apart."
    if len(pairs) == 1:
        return f"That cannot be shown: {tied[0]} are not told apart."
    if len(tied) == len(pairs):
        return f"That cannot be shown for any of {len(pairs)} pairs."
    which = f" Not told apart: {numbers.listed(tied)}." if len(tied) <= numbers.NAMED else ""
    return f"{len(pairs) - len(tied)} of {len(pairs)} pairs are told apart.{which}"


def _figure(runs: Runs, pairs: Sequence[PairedDifference]) -> Figure:
    scale, axis = runs.scale, runs.scale.differences
    lines = [
        figures.Interval(
            name=f"{pair.first} − {pair.second}",
            middle=scale.factor * pair.difference,
            low=scale.factor * pair.low,
            high=scale.factor * pair.high,
            words=scale.signed(pair.difference),
            dull=not excludes_zero(pair.low, pair.high),
        )
        for pair in pairs
    ]
    label = f"Paired differences of {runs.card.short}: {spoken(lines[:DRAWN])}"
    left = f" The first {DRAWN} of {len(lines)} pairs; all are in the data." if lines[DRAWN:] else ""
    better = "" if runs.card.higher_is_better else " Below zero, the first network is better."
    return Figure(
        "paired-differences",
        "Paired differences",
        figures.interval_figure(lines[:DRAWN], axis(f"difference of {runs.card.short}"), label, mark=0.0),
        "Both networks answered for the same test sources. Bar: 95 % interval of the difference. It is grey if it "
        f"contains zero or is not known: then either network may be the better one.{better}{left}",
        ("pair", *(axis(each) for each in ("difference", "low", "high"))),
        tuple((line.name, line.middle, line.low, line.high) for line in lines),
    )


def _tests(y: Labels, right: Mapping[str, Flags], pair: PairedDifference) -> _Tests:
    """Test which of the common test sources, of classes y, either network of a pair recognises."""
    generator = numpy_generator(0, "bootstrap", permutation=len(y))
    first, second = right[pair.first], right[pair.second]
    return _Tests(
        mcnemar(first, second), permutation_test(first, second, class_weights(y), generator).p_value
    )


def _resolution(pairs: list[PairedDifference], n: int, scale: Scale) -> tuple[str, ...]:
    """Say what differences could have been seen."""
    known = [pair.resolvable for pair in pairs if numbers.is_number(pair.resolvable)]
    never = sum(isinf(pair.resolvable) for pair in pairs)
    if not known:
        none = (
            f"With {numbers.counted(n, 'test source')} and these runs, no true difference would be found, however "
            "large."
        )
        return (none,) if never else ()
    least, most = (scale.amount(value) for value in (min(known), max(known)))
    span = most if least == most else f"{least.removesuffix(f' {scale.points}')} to {most}"
    upon = "" if len(known) == 1 else " (it depends on the pair)"
    return (
        f"With {numbers.counted(n, 'test source')} and these runs, a true difference of {span} or more{upon} would be "
        f"found in 80 of 100 cases{f'; for {never} of {len(pairs)} pairs, none would be' if never else ''}.",
    )


def _notes(runs: Runs, common: bool, pairs: list[_Pair]) -> tuple[str, ...]:
    card = runs.card
    scored = common and card.is_recognition
    parts = [
        _COMMON if common else _APART,
        _CHECKED if scored else _NARROW if not common or card.interval != "mean" else "",
        _DECIDES,
        _TOGETHER if scored else "",
        _RESOLVABLE,
    ]
    words = {"metric": card.short, "basis": basis(card, common), "correction": correction(card, common)}
    said = [" ".join(filter(None, parts)).format(**words), *([_ONE_ANSWER] if common else [])]
    if not card.higher_is_better:
        said.append(
            f"A lower {card.short} is better, so that a difference below 0 is in favour of the first network."
        )
    if any(pair.splits for pair in pairs):
        said.append(_OVER_SPLITS.format(region=_region(runs)))
    return tuple(said)


def _region(runs: Runs) -> str:
    return numbers.points(EQUAL) if runs.scale is numbers.PERCENT else f"{EQUAL:g}"


def _by_split(runs: Runs, network: str) -> dict[str, float]:
    """Give the mean score of a network's runs on each of its splits: a fold, or the random split of a seed."""
    found = dict[str, list[float]]()
    for record in runs.of_network(network):
        split, predictions = record.spec.data.split, record.predictions
        if predictions is not None and split != "published":
            test = predictions.select("test", runs.main.model)
            key = f"seed-{record.spec.seed}" if split == "becker2021" else split
            found.setdefault(key, []).append(runs.card.value(test.label, test.log_probabilities()))
    return {split: float(np.mean(own)) for split, own in found.items()}


def _test_share(runs: Runs) -> float:
    """Give the share of a split's training and test sources that it tests on; NaN if it is not known."""
    sizes = [
        (len(record.predictions.select("test", runs.main.model)), float(record.cost["training_sources"]))
        for record in runs.complete
        if record.predictions is not None and record.cost.get("training_sources")
    ]
    return float(np.median([test / (test + train) for test, train in sizes])) if sizes else float("nan")


def _over_splits(
    card: MetricCard, first: dict[str, float], second: dict[str, float], share: float
) -> _Splits | None:
    """Compare two networks over the splits that both were trained on; None if there are fewer than two."""
    splits = sorted(set(first) & set(second))
    if len(splits) < 2 or not np.isfinite(share):
        return None
    differences = np.array([first[split] - second[split] for split in splits])
    better = 1 if card.higher_is_better else -1
    return _Splits(
        corrected_t(differences, share, most=card.largest_difference),
        correlated_t(better * differences, share, EQUAL),
    )


def _split_words(
    pairs: list[_Pair], decided: tuple[Labels, object] | None, card: MetricCard
) -> tuple[str, ...]:
    """Say how the first pair stands over the splits."""
    pair = next((pair for pair in pairs if pair.splits is not None), None)
    if pair is None or pair.splits is None:
        return ()
    names = f"{pair.difference.first} against {pair.difference.second}"
    test = pair.splits.test
    count, found = test.degrees + 1, bounded(test.interval, card)
    if decided is None:
        return (f"{names} over {count} random splits: {found}; {posterior(pair.splits.chances)}.",)
    # One test set for all folds: what its luck does is not in the t-test, and no chance of being better follows.
    return (
        f"{names} over {count} folds, on these {numbers.counted(len(decided[0]), 'test source')} alone: {found}.",
    )


def _table(pairs: list[_Pair], scale: Scale) -> Table:
    tests = [pair.test for pair in pairs if pair.test is not None]
    better = any(numbers.is_number(pair.difference.better) for pair in pairs)
    corrected = iter(
        zip(
            holm([each.mcnemar.p_value for each in tests]),
            holm([each.permutation for each in tests]),
            strict=True,
        )
    )
    columns = (
        "first", "second", scale.differences("difference"), "95 % interval",
        *(("first better",) if better else ()), "p", scale.differences("resolvable"),
        *(("only first right", "only second right", "McNemar p", "permutation p") if tests else ()),
    )  # fmt: skip
    rows = [
        (
            *_cells(pair.difference, scale, better),
            *(() if pair.test is None else _tested(pair.test.mcnemar, *next(corrected))),
        )
        for pair in pairs
    ]
    return Table("differences", "Every pair", columns, tuple(rows), frozenset({1}))


def _cells(each: PairedDifference, scale: Scale, better: bool) -> tuple[Cell, ...]:
    return (
        Cell(each.first),
        Cell(each.second),
        difference(each.difference, scale),
        span(each.low, each.high, scale, signed=True),
        *((chance(each.better),) if better else ()),
        p_cell(each.p_value),
        number(each.resolvable, scale),
    )


def _tested(test: McNemar, p_value: float, permutation: float) -> tuple[Cell, ...]:
    return count(test.first_only), count(test.second_only), p_cell(p_value), p_cell(permutation)


def _split_table(pairs: list[_Pair], scale: Scale) -> Table | None:
    """Make the table of the tests over splits; None if there are none."""
    found = [(pair.difference, pair.splits) for pair in pairs if pair.splits is not None]
    if not found:
        return None
    columns = (
        "first", "second", "splits", scale.differences("mean difference"), "95 % interval", "corrected t", "p (Holm)",
        "first better", "practically equal", "second better",
    )  # fmt: skip
    corrected = holm([splits.test.p_value for _, splits in found])
    rows = [
        (
            Cell(each.first),
            Cell(each.second),
            count(splits.test.degrees + 1),
            difference(splits.test.interval.value, scale),
            span(splits.test.interval.low, splits.test.interval.high, scale, signed=True),
            number(splits.test.statistic),
            p_cell(p_value),
            *(chance(p) for p in (splits.chances.right, splits.chances.rope, splits.chances.left)),
        )
        for (each, splits), p_value in zip(found, corrected, strict=True)
    ]
    return Table("differences-splits", "Every pair, over the splits", columns, tuple(rows), frozenset({1}))
