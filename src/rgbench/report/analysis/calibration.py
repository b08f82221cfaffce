"""Calibration and doubt: whether the stated probabilities are true, and what they buy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.members import Side
from rgbench.measures.calibration import (
    CalibrationTest,
    Temperature,
    apply_temperature,
    brier_decomposition,
    calibration_test,
    fit_temperature,
    reliability_curve,
)
from rgbench.measures.classification import negative_log_likelihoods
from rgbench.measures.doubt import ConformalRule, conformal, rejection_curve
from rgbench.report import numbers
from rgbench.report.analysis.runs import Runs
from rgbench.report.blocks import Cell, Figure, Section, Table, Value
from rgbench.report.plots import Axes, Line, lines_figure
from rgbench.seeds import numpy_generator

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

SHOWN = 6
"""Networks of the figures, from the top of the ranking."""
BINS = 8
"""Bins of equally many sources in the reliability diagram."""
SIGNIFICANT = 0.05
"""p-value below which probabilities are said not to be calibrated."""
REJECTED = 0.2
"""Share of the sources that is rejected in the table."""


def section(runs: Runs) -> Section | None:
    """Judge the probabilities of each network, its seeds averaged."""
    sides = runs.side("validation"), runs.side("test")
    if sides[0] is None or sides[1] is None:
        return None
    averaged = {name: (_mean(sides[0], name), _mean(sides[1], name)) for name in runs.networks}
    y_validation, y = sides[0].y, sides[1].y
    warm = {name: fit_temperature(y_validation, pair[0]) for name, pair in averaged.items()}
    tests = {name: pair[1] for name, pair in averaged.items()}
    return Section(
        anchor="calibration",
        menu="Calibration",
        title="Can its probabilities be believed?",
        sentences=_sentences(y, tests),
        figures=(
            _reliability(y, tests),
            _classes(y, tests[runs.networks[0]], runs),
            _rejection(y, tests),
        ),
        tables=(_table(y, tests, warm), _conformal((y_validation, y), averaged)),
        notes=(
            "Probabilities are means over a network's seeds. ECE: expected calibration error of the most probable"
            " class, 15 bins of equally many sources; beside it what a perfectly calibrated network would show "
            "with as many sources, which is not zero. Temperatures and conformal thresholds are fitted on "
            "validation sources. Brier score = reliability - resolution + uncertainty + what varies within bins. "
            "Conformal sets (LAC) hold the true class for at least 90 % of new sources that are like the "
            "validation sources; not under a shift of survey or class shares.",
        ),
    )


def _mean(side: Side, network: str) -> Floats:
    """Give the log of the mean probability over the seeds of a network, shape (n, k)."""
    rows = [i for i, member in enumerate(side.members) if member.network == network]
    return np.asarray(np.logaddexp.reduce(side.scores[rows], axis=0) - np.log(len(rows)))


def _tested(y: Labels, scores: Floats) -> CalibrationTest:
    return calibration_test(y, scores, numpy_generator(0, "bootstrap", calibration=len(y)))


def _sentences(y: Labels, tests: dict[str, Floats]) -> tuple[str, ...]:
    wrong = [name for name, scores in tests.items() if _tested(y, scores).p_value < SIGNIFICANT]
    if not wrong:
        words = f"With {len(y)} test sources, no network's probabilities can be told from perfectly calibrated ones."
        return (words,)
    return (f"Not calibrated, beyond what {len(y)} test sources show by chance: {', '.join(wrong)}.",)


def _reliability(y: Labels, tests: dict[str, Floats]) -> Figure:
    curves = {
        name: reliability_curve(y, scores, bins="equal-mass", n_bins=BINS)
        for name, scores in list(tests.items())[:SHOWN]
    }
    lines = [Line(name, curve.stated, curve.observed, points=True) for name, curve in curves.items()]
    first = next(iter(curves.values()))
    lines[0] = replace(lines[0], low=first.low, high=first.high)
    axes = Axes("stated probability", "share that is right", (0.25, 1.0), (0.0, 1.0), diagonal=True)
    label = "Share of right answers against the stated probability, one line for each network"
    rows = _rows({name: (c.stated, c.observed, c.low, c.high, c.count) for name, c in curves.items()})
    words = "On the line: true probabilities. Below it: too sure. Band: 95 % interval of the first network's bins."
    columns = ("network", "stated", "observed", "low", "high", "sources")
    return Figure("reliability", "Reliability", lines_figure(lines, axes, label), words, columns, rows)


def _classes(y: Labels, scores: Floats, runs: Runs) -> Figure:
    curves = {
        name: reliability_curve(y, scores, of_class=c, bins="equal-mass", n_bins=BINS)
        for c, name in enumerate(runs.main.classes)
        if (y == c).any()
    }
    lines = [Line(name, curve.stated, curve.observed, points=True) for name, curve in curves.items()]
    axes = Axes(
        "stated probability of the class", "share that is of the class", (0.0, 1.0), (0.0, 1.0), diagonal=True
    )
    label = f"Reliability of {runs.networks[0]}, one line for each class"
    rows = _rows({name: (c.stated, c.observed, c.low, c.high, c.count) for name, c in curves.items()})
    columns = ("class", "stated", "observed", "low", "high", "sources")
    title = f"Reliability of {runs.networks[0]}, class by class"
    return Figure("reliability-classes", title, lines_figure(lines, axes, label), "", columns, rows)


def _rejection(y: Labels, tests: dict[str, Floats]) -> Figure:
    curves = {name: rejection_curve(y, scores) for name, scores in list(tests.items())[:SHOWN]}
    lines = []
    for i, (name, curve) in enumerate(curves.items()):
        enough = curve.kept >= max(10, len(y) // 20)
        band = (100 * curve.low[enough], 100 * curve.high[enough]) if i == 0 else ()
        lines.append(Line(name, 100 * curve.rejected[enough], 100 * curve.accuracy[enough], *band))
    axes = Axes("sources rejected / %", "accuracy of the rest / %", (0.0, 100.0))
    label = "Accuracy of the sources kept against the share rejected, one line for each network"
    rows = _rows({name: (c.rejected, c.accuracy, c.low, c.high, c.mpca) for name, c in curves.items()})
    words = "The least certain sources are rejected first. Band: 95 % interval of the first network."
    columns = ("network", "rejected", "accuracy", "low", "high", "mpca")
    return Figure("rejection", "What doubt buys", lines_figure(lines, axes, label), words, columns, rows)


def _rows(columns: dict[str, tuple[NDArray[Any], ...]]) -> tuple[tuple[Value, ...], ...]:
    """Give arrays, by name, as rows that begin with the name."""
    rows: list[tuple[Value, ...]] = []
    for name, arrays in columns.items():
        for values in zip(*arrays, strict=True):
            rows.append((name, *(float(value) for value in values)))
    return tuple(rows)


def _table(y: Labels, tests: dict[str, Floats], warm: dict[str, Temperature]) -> Table:
    rows = []
    for name, scores in tests.items():
        test, brier, curve = _tested(y, scores), brier_decomposition(y, scores), rejection_curve(y, scores)
        warmed = apply_temperature(scores, warm[name].value)
        nll = [float(negative_log_likelihoods(y, each).mean()) for each in (scores, warmed)]
        kept = float(curve.accuracy[curve.at(REJECTED)])
        rows.append(
            (
                Cell(name),
                *(Cell(numbers.significant(value), value) for value in nll),
                Cell(numbers.significant(warm[name].value), warm[name].value),
                *(Cell(numbers.percent(value), value) for value in (test.value, test.expected, test.high)),
                *(
                    Cell(numbers.significant(value), value)
                    for value in (brier.score, brier.reliability, brier.resolution, brier.uncertainty)
                ),
                Cell(numbers.percent(kept), kept),
            )
        )
    return Table(
        name="calibration",
        title="Probabilities on test sources",
        columns=(
            "network",
            "NLL / nat",
            "after temperature",
            "temperature",
            "ECE %",
            "if calibrated %",
            "at most %",
            "Brier",
            "reliability",
            "resolution",
            "uncertainty",
            f"accuracy of the surest {100 - 100 * REJECTED:.0f} %",
        ),
        rows=tuple(rows),
    )


def _conformal(labels: tuple[Labels, Labels], averaged: dict[str, tuple[Floats, Floats]]) -> Table:
    rows = []
    for name, (validation, test) in averaged.items():
        found = conformal((labels[0], validation), (labels[1], test), ConformalRule(alpha=0.1)).test
        worst = float(np.nanmin(found.class_coverage))
        rows.append(
            (
                Cell(name),
                Cell(numbers.percent(found.coverage), found.coverage),
                Cell(f"{numbers.percent(found.low)} – {numbers.percent(found.high)}", found.low),
                Cell(numbers.percent(worst), worst),
                Cell(numbers.significant(found.mean_size), found.mean_size),
                Cell(str(int(found.sizes[1])), int(found.sizes[1])),
            )
        )
    columns = (
        "network",
        "coverage %",
        "95 % interval",
        "of the worst class %",
        "mean size",
        "sets of one class",
    )
    return Table(
        "conformal", "Sets of classes that hold the true one for 90 % of the sources", columns, tuple(rows)
    )
