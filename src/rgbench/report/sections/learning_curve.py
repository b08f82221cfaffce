"""Learning curves: what more training sources would bring."""

from __future__ import annotations

import numpy as np

from rgbench import numbers
from rgbench.comparison.words.curves import learning_curve as curve_words
from rgbench.errors import DataError
from rgbench.numbers import Scale
from rgbench.report.blocks import Figure, LeftOut, Section, Table
from rgbench.report.cells import Cell, Value, number, span
from rgbench.report.draw.plots import Axes, Line, lines_figure
from rgbench.report.material import Runs
from rgbench.statistics.learning_curve import LearningCurve, fit_learning_curve

FAR = 4.0
"""How many times the largest training set the curves are drawn to."""
SHOWN = 6
"""Networks of the figure, from the top of the ranking."""
POINTS = 60
LESS = 0.02
"""What the error is to fall by in the table: two points."""


def section(runs: Runs) -> Section | LeftOut:
    """Fit error against the number of training sources, where runs with several numbers are there."""
    measured = {name: _errors(runs, name) for name in runs.networks}
    measured = {name: pairs for name, pairs in measured.items() if len({n for n, _ in pairs}) > 1}
    if not measured:
        return LeftOut(
            "Learning curves", "they need runs on fewer training sources: set train_limits in a study"
        )
    curves, refusals = {}, []
    for name, pairs in measured.items():
        sizes, errors = np.array(pairs).T
        try:
            curves[name] = fit_learning_curve(sizes, errors)
        except DataError as error:
            refusals.append(f"{name}: {error}.")
    title, scale = _error(runs), runs.scale
    return Section(
        anchor="learning",
        menu="Learning curves",
        title="Would more labels help?",
        finding=_finding(curves, scale),
        sentences=(*(f"{name}: {curve_words(curve, scale)}." for name, curve in curves.items()), *refusals),
        figures=(_figure(measured, curves, title, scale),),
        tables=(_table(curves, scale),) if curves else (),
        notes=(
            f"Error: {title.replace('−', 'minus')} on the same test sources. The law error = a + b n^-c is fitted to "
            "the means over the seeds. Bands and intervals are those of the seeds, which also choose the training "
            "sources. Other test sources would move all numbers in the same way; that is not in the intervals. "
            "Beyond the largest training set the law is a guess.",
        ),
    )


def _finding(curves: dict[str, LearningCurve], scale: Scale) -> str:
    """Say what the law of the leading network makes of twice as many sources."""
    if not curves:
        return "The runs are too few to fit a law."
    name, curve = next(iter(curves.items()))
    last = curve.sizes[-1]
    less = float(curve.law(last) - curve.law(2 * last))
    return f"By the fitted law, twice as many training sources would take {scale.amount(less)} off the error of {name}."


def _error(runs: Runs) -> str:
    """Say what the error is, in words: what lacks to the best value, or a loss itself."""
    best, short = runs.card.value_range[1], runs.card.short
    if not runs.card.higher_is_better:
        return short
    return f"{runs.scale.heading(f'{runs.scale.factor * best:g}')} − {short}"


def _errors(runs: Runs, network: str) -> list[tuple[float, float]]:
    """Give number of training sources and error of each run of a network, whole and limited ones."""
    records = [*runs.of_network(network), *(r for r in runs.beside.smaller if r.spec.network.name == network)]
    card, found = runs.card, []
    for record in records:
        n = record.cost.get("training_sources") or record.spec.data.train_limit
        if n and record.status == "complete" and record.predictions is not None and not record.elsewhere:
            test = record.predictions.select("test", runs.main.model)
            value = card.value(test.label, test.log_probabilities())
            found.append((float(n), card.value_range[1] - value if card.higher_is_better else value))
    return [pair for pair in found if np.isfinite(pair[1])]


def _figure(
    measured: dict[str, list[tuple[float, float]]],
    curves: dict[str, LearningCurve],
    title: str,
    scale: Scale,
) -> Figure:
    lines, factor = [], scale.factor
    for style, (name, pairs) in enumerate(list(measured.items())[:SHOWN]):
        sizes = np.array(sorted({n for n, _ in pairs}))
        means = np.array([np.mean([e for n, e in pairs if n == size]) for size in sizes])
        curve = curves.get(name)
        if curve is not None:
            grid = np.geomspace(sizes[0], FAR * sizes[-1], POINTS)
            low, high = curve.band(grid)
            law = factor * curve.law(grid)
            lines.append(Line(name, grid, law, factor * low, factor * high, style=style))
        lines.append(Line("" if curve else name, sizes, factor * means, points=True, style=style))
    rows: tuple[tuple[Value, ...], ...] = tuple(
        (name, n, e) for name, pairs in measured.items() for n, e in pairs
    )
    axes = Axes("training sources", scale.axis(title.replace(" % −", " −")), log=True)
    label = f"Error against the number of training sources for {', '.join(measured)}"
    words = (
        "Points: means over the seeds. Lines: the fitted law, drawn to four times the largest training set."
    )
    return Figure(
        "learning-curve",
        "Learning curves",
        lines_figure(lines, axes, label),
        words,
        ("network", "training sources", "error"),
        rows,
    )


def _table(curves: dict[str, LearningCurve], scale: Scale) -> Table:
    rows = []
    for name, curve in curves.items():
        double = curve.at(2 * curve.sizes[-1])
        fewer = curve.needed(float(curve.law(curve.sizes[-1])) - LESS)
        rows.append(
            (
                Cell(name),
                number(curve.law.a, scale),
                Cell(numbers.significant(curve.law.c, 2), curve.law.c),
                number(double.error, scale),
                span(double.low, double.high, scale),
                Cell(f"{fewer.n:,.0f}" if np.isfinite(fewer.n) else "no number", fewer.n),
            )
        )
    columns = (
        "network",
        scale.heading("limit a"),
        "exponent c",
        scale.heading("error with twice the sources"),
        "interval",
        f"sources for {numbers.points(LESS) if scale is numbers.PERCENT else f'{LESS:g}'} less",
    )
    return Table("learning-curves", "The fitted laws", columns, tuple(rows))
