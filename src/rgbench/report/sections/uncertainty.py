"""Doubt: what a network gains if it may stay silent, or name several classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.comparison.answer_modes import DROPOUT, SEEDS, Answer
from rgbench.comparison.members import Side
from rgbench.measures.calibration import wilson_intervals
from rgbench.measures.cards import MAIN
from rgbench.measures.conformal import ConformalRule, conformal, expected_coverage
from rgbench.measures.uncertainty import RejectionCurve, areas, certainty, rejection_curve
from rgbench.numbers import PERCENT
from rgbench.report.blocks import Figure, LeftOut, Section, Table
from rgbench.report.cells import Cell, difference, number, span
from rgbench.report.draw.plots import Axes, Line, lines_figure
from rgbench.report.material import Runs
from rgbench.report.sections.calibration import mean_answer, rows_of
from rgbench.seeds import numpy_generator
from rgbench.statistics.intervals import Weights, interval, stratified_weights
from rgbench.statistics.significance import excludes_zero

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Answers = Mapping[str, Sequence[Answer]]

TITLE = "Do they know when they are wrong?"
SHOWN = 6
"""Networks of the figure, from the top of the ranking."""
RULE = ConformalRule(alpha=0.1)
RESAMPLES = 400
"""Resamples of the test sources for the areas."""
GRID = np.linspace(0, 0.9, 46)
"""Shares rejected at which the curves of several runs are averaged."""
PROBABILITY, ENTROPY, INFORMATION = "max probability", "entropy", "mutual information"
_SHORT = {PROBABILITY: PROBABILITY, ENTROPY: ENTROPY, INFORMATION: "mutual inform."}
"""What sources are rejected by, as it fits beside a plot."""
_AXES = Axes("sources rejected / %", "accuracy of the rest / %", (0.0, 100.0))

_PARTS = (
    "Entropy of the mean probability = expected entropy of the members + mutual information (all in nats, means "
    "over the test sources). Mutual information is what the members disagree about; more training sources could "
    "reduce it. The rest lies in the images or the labels. Passes of dropout differ only in what dropout layers can "
    "change: with dropout in the dense layers alone, they say nothing about doubt in the convolutions. Area: the "
    "mean error rate of the 1, 2, ... n most certain sources; smaller is better, and a random order gives the error "
    "rate. Intervals use the same resampled test sources. Numbers of MC dropout are means over the runs."
)
_NO_MEMBERS = (
    "Doubt can be divided into its kinds if a network has several seeds, or Monte-Carlo dropout (rgbench "
    "uncertainty)."
)


def section(runs: Runs) -> Section | LeftOut:
    """Reject sources by doubt, part doubt into its kinds, and make conformal sets."""
    validation, test = runs.side("validation"), runs.side("test")
    if validation is None or test is None:
        return runs.left_out("Uncertainty")
    answers, y = runs.answers, test.y
    weights = stratified_weights(y, RESAMPLES, numpy_generator(0, "bootstrap", test=0))
    orders = [_orders(y, next(iter(answers.values())), kind) for kind in (SEEDS, DROPOUT)]
    parted = _parted(y, answers, weights)
    return Section(
        anchor="doubt",
        menu="Uncertainty",
        title=TITLE,
        finding=_rejected(y, answers),
        sentences=(*_preferred(parted), _covered(answers, validation, test), *runs.unasked_words),
        figures=(_networks(y, answers), *(figure for figure in orders if figure is not None)),
        tables=(*((parted,) if parted.rows else ()), _conformal(answers, validation, test)),
        notes=(*((_PARTS,) if parted.rows else (_NO_MEMBERS,)), _promise(runs, validation, test)),
        cites=("Gal2016", "Lakshminarayanan2017", "Geifman2017", "Angelopoulos2021"),
    )


def sureness(answer: Answer) -> list[dict[str, Floats]]:
    """Give how certain each repeat is of each test source, by what orders them; mutual information needs members."""
    found = []
    for i, scores in enumerate(answer.test):
        own = {PROBABILITY: certainty(scores), ENTROPY: certainty(scores, "entropy")}
        if answer.doubts:
            own[INFORMATION] = -answer.doubts[i].mutual_information
        found.append(own)
    return found


def _rejected(y: Labels, answers: Answers, share: float = 0.2) -> str:
    name, own = next(iter(answers.items()))
    curve = rejection_curve(y, mean_answer(own))
    kept, everything = (float(curve.accuracy[i]) for i in (curve.at(share), 0))
    return (
        f"Partly: without the {100 * share:.0f} % of the sources that {name} is least sure of, "
        f"{numbers.percent(kept)} % of its answers are right, instead of {numbers.percent(everything)} %."
        if kept > everything
        else f"No: the answers that {name} is sure of are right no more often than the others."
    )


def _preferred(parted: Table) -> tuple[str, ...]:
    """Say of the leading network whether mutual information is the better doubt to go by."""
    leading = [row for row in parted.rows if row[0].text == parted.rows[0][0].text]
    said = []
    for row in leading:
        excess, ends = row[-2], row[-1]
        low, high = ends.value, ends.high
        if not (isinstance(low, float) and isinstance(high, float)):
            continue
        verdict = (
            f"is {'worse' if low > 0 else 'better'} than"
            if excludes_zero(low, high)
            else "cannot be told from"
        )
        said.append(
            f"{row[0].text}, {row[1].text}: to find wrong answers, mutual information {verdict} the largest "
            f"probability (difference of the areas under the curve of errors {excess.text} points, 95 % interval "
            f"{numbers.signed_percent(low)} to {numbers.signed_percent(high)})."
        )
    return tuple(said)


def _networks(y: Labels, answers: Answers) -> Figure:
    curves = {name: rejection_curve(y, mean_answer(own)) for name, own in list(answers.items())[:SHOWN]}
    lines = []
    for i, (name, curve) in enumerate(curves.items()):
        enough = _enough(curve, y)
        band = (100 * curve.low[enough], 100 * curve.high[enough]) if i == 0 else ()
        lines.append(Line(name, 100 * curve.rejected[enough], 100 * curve.accuracy[enough], *band))
    label = "Accuracy of the sources kept against the share rejected, one line for each network"
    rows = rows_of({name: (c.rejected, c.accuracy, c.low, c.high, c.mpca) for name, c in curves.items()})
    words = (
        "The sources whose most probable class has the lowest probability (mean over the runs) are rejected first. "
        "Band: 95 % interval of the first network."
    )
    columns: tuple[str, ...] = ("network", "rejected", "accuracy", "low", "high", MAIN)
    return Figure(
        "rejection",
        "Accuracy without the least certain sources",
        lines_figure(lines, _AXES, label),
        words,
        columns,
        rows,
    )


def _enough(curve: RejectionCurve, y: Labels) -> NDArray[np.bool_]:
    return np.asarray(curve.kept >= max(10, len(y) // 20))


def _orders(y: Labels, answers: Sequence[Answer], kind: str) -> Figure | None:
    """Draw the curves of one way of answering, one for each order in which sources are rejected."""
    answer = next((each for each in answers if each.kind == kind), None)
    if answer is None:
        return None
    grid = GRID[np.ceil(len(y) * (1 - GRID)) >= max(10, len(y) // 20)]
    drawn: dict[str, list[Floats]] = {}
    for scores, sure in zip(answer.test, sureness(answer), strict=True):
        for order, each in sure.items():
            curve = rejection_curve(y, scores, each)
            drawn.setdefault(order, []).append(np.interp(grid, curve.rejected, curve.accuracy))
    means = {order: np.mean(each, axis=0) for order, each in drawn.items()}
    lines = [Line(_SHORT[order], 100 * grid, 100 * mean) for order, mean in means.items()]
    label = f"Accuracy of the sources kept against the share rejected, {answer.network}, {answer.name}"
    words = (
        f"{answer.network}, {answer.name}: sources rejected by probability, entropy or mutual information."
        + (f" Means over {len(answer.test)} runs." if len(answer.test) > 1 else "")
    )
    name = f"rejection-{'dropout' if kind == DROPOUT else 'seeds'}"
    rows = rows_of({order: (grid, mean) for order, mean in means.items()})
    title = f"Which measure of doubt finds errors: {kind}"
    return Figure(
        name, title, lines_figure(lines, _AXES, label), words, ("order", "rejected", "accuracy"), rows
    )


def _parted(y: Labels, answers: Answers, weights: Weights) -> Table:
    rows = []
    for name, own in answers.items():
        for answer in own[1:]:
            kinds = ("entropy", "expected_entropy", "mutual_information")
            means = [float(np.mean([getattr(doubt, kind) for doubt in answer.doubts])) for kind in kinds]
            error, drawn = _areas(y, answer, weights)
            excess = drawn[INFORMATION] - drawn[PROBABILITY]
            low, high = interval(excess[1:], 0.95)
            rows.append(
                (
                    Cell(name),
                    Cell(answer.name),
                    *(number(value) for value in means),
                    *(number(value, PERCENT) for value in (means[2] / means[0], error)),
                    *(number(float(d[0]), PERCENT) for d in drawn.values()),
                    difference(float(excess[0])),
                    span(low, high, signed=True),
                )
            )
    columns: tuple[str, ...] = (
        "network",
        "answer",
        "entropy / nat",
        "expected entropy",
        "mutual information",
        "its share %",
    )
    columns += ("error rate %", *(f"area by {order} %" for order in (PROBABILITY, ENTROPY, INFORMATION)))
    columns += ("mutual information less probability / points", "95 % interval")
    return Table(
        "doubt",
        "Kinds of doubt, and which errors each finds",
        columns,
        tuple(rows),
        frozenset({1}),
        folded=True,
    )


def _areas(y: Labels, answer: Answer, weights: Weights) -> tuple[float, dict[str, Floats]]:
    """Give the error rate, and by order the area under the risk-coverage curve, then those of resamples.

    The area by entropy is not compared, and has none.
    """
    whole = np.vstack([np.ones((1, len(y)), dtype=np.float32), weights])
    right = answer.test.argmax(axis=2) == y
    sure = sureness(answer)
    drawn = {
        order: np.mean(
            [
                areas(own, each[order], whole[:1] if order == ENTROPY else whole)
                for own, each in zip(right, sure, strict=True)
            ],
            axis=0,
        )
        for order in sure[0]
    }
    return float(1 - right.mean()), drawn


def _covered(answers: Answers, validation: Side, test: Side) -> str:
    ways = [(name, each) for name, own in answers.items() for each in own]
    low, high = expected_coverage(len(validation.y), len(test.y), RULE, 1 - 0.05 / len(ways))
    promised, span = 100 * (1 - RULE.alpha), f"{numbers.percent(low)} to {numbers.percent(high)} %"
    short = [
        f"{name} ({each.name}, {numbers.percent(found)} %)"
        for name, each in ways
        if (found := _coverage(each, validation, test)[0]) < low
    ]
    said = f"Sets of classes that should hold the true class of {promised:.0f} % of the sources"
    if short:
        return f"{said} hold it too seldom, less often than chance allows ({span}): {', '.join(short)}."
    return f"{said} do so, within what chance allows ({span})."


def _coverage(answer: Answer, validation: Side, test: Side) -> Floats:
    """Give coverage, that of the worst class, mean size and sets of one class: means over the repeats."""
    found = [
        conformal((validation.y, own), (test.y, scores), RULE).test
        for own, scores in zip(answer.validation, answer.test, strict=True)
    ]
    values = [(f.coverage, np.nanmin(f.class_coverage), f.mean_size, f.sizes[1] / len(test.y)) for f in found]
    return np.asarray(np.mean(values, axis=0))


def _conformal(answers: Answers, validation: Side, test: Side) -> Table:
    n, rows = len(test.y), []
    expected = expected_coverage(len(validation.y), n, RULE)
    for name, own in answers.items():
        for answer in own:
            coverage, worst, size, one = _coverage(answer, validation, test).tolist()
            low, high = wilson_intervals(np.array([coverage * n]), np.array([n]))
            rows.append(
                (
                    Cell(name),
                    Cell(answer.name),
                    number(coverage, PERCENT),
                    span(float(low[0]), float(high[0])),
                    span(*expected),
                    number(worst, PERCENT),
                    number(size),
                    number(one, PERCENT),
                )
            )
    columns: tuple[str, ...] = (
        "network",
        "answer",
        "coverage %",
        "95 % interval",
        "if exchangeable",
        "of the worst class %",
    )
    columns += ("mean size", "sets of one class %")
    title = f"Sets of classes that hold the true one for {100 * (1 - RULE.alpha):.0f} % of the sources"
    return Table("conformal", title, columns, tuple(rows), frozenset({1}))


def _promise(runs: Runs, validation: Side, test: Side) -> str:
    """Say what the promise of conformal sets rests on, and how far that holds here."""
    chosen = (
        "validation sources also chose the epoch of the best model, so that they are a little easier than new ones; "
        if runs.main.model == "best"
        else ""
    )
    k = len(runs.main.classes)
    shares = [
        ", ".join(f"{100 * each:.0f}" for each in np.bincount(side.y, minlength=k) / len(side.y))
        for side in (validation, test)
    ]
    return (
        "A conformal set holds all classes whose probability reaches a threshold. Validation sources set the "
        "threshold, so that the promised share of true classes reaches it (LAC). The promise holds for test sources "
        f"that are like the validation sources. Here {chosen}shares of {', '.join(runs.main.classes)} among "
        f"validation sources: {shares[0]} %; among test sources: {shares[1]} %. For another survey, or other shares "
        "of the classes, nothing is promised. If exchangeable: the range in which 95 of 100 such experiments have "
        "their coverage (beta-binomial). The interval (Wilson) is for more test sources at this threshold. The "
        "promise is for all sources together, and not for each class: see the worst class."
    )
