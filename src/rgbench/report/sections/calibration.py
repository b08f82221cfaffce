"""Calibration: whether the stated probabilities are true; single runs, MC dropout and seeds side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.comparison.answer_modes import SINGLE, Answer, AnswerScore, score_answers
from rgbench.measures.calibration import (
    CalibrationTest,
    ReliabilityCurve,
    calibration_test,
    reliability_curve,
)
from rgbench.measures.cards import MAIN
from rgbench.measures.catalogue import metrics
from rgbench.numbers import PERCENT, PLAIN, Scale, signed
from rgbench.report.blocks import Figure, Fold, Grid, LeftOut, Section, Table
from rgbench.report.cells import Cell, Value, difference, number, span
from rgbench.report.draw.plots import Axes, Line, lines_figure
from rgbench.report.material import Runs
from rgbench.seeds import numpy_generator
from rgbench.statistics.significance import excludes_zero, holm

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Scores = Mapping[str, Sequence[AnswerScore]]

TITLE = "Can the stated probabilities be believed?"
SHOWN = 6
"""Networks of the figures, from the top of the ranking."""
BINS = 8
"""Bins of equally many sources in the reliability diagram."""
CLASS_BINS = 5
"""Those in the diagrams of single classes, most of whose sources have probabilities near 0 or 1."""
SAID = 4
"""Networks of which the sentences say what dropout and seeds gain."""
SIGNIFICANT = 0.05
"""Corrected p-value below which probabilities are said not to be calibrated."""
DRAWS = 200
"""Draws of what a calibrated network would show, for each row of the table."""


def section(runs: Runs) -> Section | LeftOut:
    """Judge the probabilities of each network, in each way in which it answers."""
    sides = runs.side("validation"), runs.side("test")
    if sides[0] is None or sides[1] is None:
        return runs.left_out("Calibration")
    y_validation, y = sides[0].y, sides[1].y
    scores = {
        name: score_answers(own, y_validation, y, runs.main.confidence) for name, own in runs.answers.items()
    }
    together = {name: mean_answer(own) for name, own in runs.answers.items()}
    return Section(
        anchor="calibration",
        menu="Calibration",
        title=TITLE,
        finding=_finding(y, together),
        sentences=(*_gains(scores), *runs.unasked_words),
        figures=(_reliability(y, together),),
        tables=(_errors(scores, y), _scores(scores)),
        blocks=(
            Fold(
                f"Reliability of {next(iter(together))} for each class",
                (Grid(_classes(y, next(iter(together.values())), next(iter(together)), runs)),),
            ),
        ),
        notes=_notes(runs),
        cites=("Guo2017",),
    )


def mean_answer(answers: Sequence[Answer]) -> Floats:
    """Give the mean probability of a network's single runs on the test sources, as its log, shape (n, k)."""
    scores = answers[0].test
    return np.asarray(np.logaddexp.reduce(scores, axis=0) - np.log(len(scores)))


def rows_of(columns: Mapping[str, tuple[NDArray[Any], ...]]) -> tuple[tuple[Value, ...], ...]:
    """Give arrays, by name, as rows that begin with the name."""
    rows: list[tuple[Value, ...]] = []
    for name, arrays in columns.items():
        for values in zip(*arrays, strict=True):
            rows.append((name, *(float(value) for value in values)))
    return tuple(rows)


def _notes(runs: Runs) -> tuple[str, ...]:
    chosen = (
        " The validation sources also chose the epoch of the best model, so that its probabilities look a little "
        "too good on them, and the temperatures may be too low."
        if runs.main.model == "best"
        else ""
    )
    return (
        "The figures show the mean probability of a network's runs. Single run: the measures of each run by itself, "
        "averaged. MC dropout: the mean probability of many passes with dropout left on (made by rgbench "
        "uncertainty), averaged over runs. Seed ensemble: the mean probability of the runs. A temperature divides "
        "the logits: above 1 it lowers probabilities that are too sure, below 1 it raises them. Temperatures are "
        f"fitted on validation sources, and nothing is fitted on test sources.{chosen} A mean of probabilities never "
        "has a larger NLL or Brier score than its members have on average, so that only the size of the gain of a "
        "seed ensemble is news.",
        "Intervals are for other test sources and these runs, and are not corrected for the number of rows: score "
        f"intervals of accuracy and {metrics().get(MAIN).short}, Hall's transformed t of NLL and Brier score. "
        "Calibration errors have no interval, because they are never below 0 and too large on average. Instead, the "
        "table says what a perfectly calibrated network would show with as many sources; that is not zero.",
        f"ECE, equal width: {metrics().get('ece').definition}. ECE, equal mass: "
        f"{metrics().get('ece_equal_mass').definition}. Brier score = reliability − resolution + uncertainty + what "
        "varies within bins (15 of equal mass for each class). Reliability: how far stated probabilities lie from "
        "the truth (0 is best). Resolution: how far they tell sources apart (more is better). Uncertainty: what the "
        "shares of the classes leave open.",
    )


def _tested(y: Labels, scores: Floats, draws: int = 1000) -> CalibrationTest:
    return calibration_test(y, scores, numpy_generator(0, "bootstrap", calibration=len(y)), resamples=draws)


def _finding(y: Labels, tests: Mapping[str, Floats]) -> str:
    """Say of which networks the probabilities are wrong by more than chance."""
    p_values = holm([_tested(y, scores).p_value for scores in tests.values()])
    wrong = [name for name, p in zip(tests, p_values, strict=True) if p < SIGNIFICANT]
    if not wrong:
        return (
            f"{numbers.capital(numbers.counted(len(y), 'test source'))} show no error in the probabilities of any "
            "network."
        )
    return f"Not those of {numbers.listed(wrong)}: they are wrong by more than chance explains."


def _gains(scores: Scores) -> tuple[str, ...]:
    """Say of the leading networks what their other ways of answering gain against a single run."""
    return tuple(
        f"NLL of {name}, compared with its single runs: {'; '.join(_gain(each) for each in own[1:])}."
        for name, own in list(scores.items())[:SAID]
        if len(own) > 1
    )


def _gain(score: AnswerScore) -> str:
    value, low, high = score.nll_gain
    if not (numbers.is_number(low) and numbers.is_number(high)):
        return f"{score.answer.name} changes it by {signed(value)} nat (no interval: too few sources)"
    if not excludes_zero(low, high):
        return f"{score.answer.name} shows no change (95 % interval of the gain {signed(low)} to {signed(high)} nat)"
    ends = sorted(abs(end) for end in (low, high))
    amount, least, most = (numbers.significant(each, 2) for each in (abs(value), *ends))
    verb = "lowers" if value > 0 else "raises"
    return f"{score.answer.name} {verb} it by {amount} nat (95 % interval {least} to {most})"


def _reliability(y: Labels, tests: Mapping[str, Floats]) -> Figure:
    curves = {
        name: reliability_curve(y, scores, bins="equal-mass", n_bins=BINS)
        for name, scores in list(tests.items())[:SHOWN]
    }
    lines = [Line(name, curve.stated, curve.observed, points=True) for name, curve in curves.items()]
    first = next(iter(curves.values()))
    lines[0] = replace(lines[0], low=first.low, high=first.high)
    least = 1 / next(iter(tests.values())).shape[1]
    axes = Axes("stated probability", "share that is right", (least, 1.0), (0.0, 1.0), diagonal=True)
    label = "Share of right answers against the stated probability, one line for each network"
    words = (
        "On the line, probabilities are true. Below it, a network is too sure. Band: 95 % interval of the first "
        "network."
    )
    drawing = lines_figure(lines, axes, label)
    return Figure("reliability", "Reliability", drawing, words, ("network", *_COLUMNS), _curve_rows(curves))


_COLUMNS = ("stated", "observed", "low", "high", "sources")


def _curve_rows(curves: Mapping[str, ReliabilityCurve]) -> tuple[tuple[Value, ...], ...]:
    return rows_of({name: (c.stated, c.observed, c.low, c.high, c.count) for name, c in curves.items()})


def _classes(y: Labels, scores: Floats, network: str, runs: Runs) -> tuple[Figure, ...]:
    """Draw the diagram of each class by itself, with its band: four lines in one plot hide each other."""
    found = []
    for c, name in enumerate(runs.main.classes):
        if not (y == c).any():
            continue
        curve = reliability_curve(y, scores, of_class=c, bins="equal-mass", n_bins=CLASS_BINS)
        line = Line("", curve.stated, curve.observed, curve.low, curve.high, points=True, style=c)
        axes = Axes(
            f"stated probability of {name}", f"share that is {name}", (0.0, 1.0), (0.0, 1.0), diagonal=True
        )
        drawing = lines_figure([line], axes, f"Reliability of {network} for the class {name}")
        share = f"{int((y == c).sum())} of {numbers.counted(len(y), 'test source')}"
        words = f"{share} are {name}. Band: 95 % interval of each bin."
        title = f"Reliability of {network}: {name}"
        rows = _curve_rows({name: curve})
        found.append(Figure(f"reliability-class-{c + 1}", title, drawing, words, ("class", *_COLUMNS), rows))
    return tuple(found)


def _scores(scores: Scores) -> Table:
    rows, lead = [], ("accuracy", MAIN)
    for name, own in scores.items():
        for each in own:
            gain = each.nll_gain if each.answer.kind != SINGLE else (float("nan"),) * 3
            rows.append(
                (
                    Cell(name),
                    Cell(each.answer.name),
                    *(cell for name in lead for cell in _valued(each.values[name], PERCENT)),
                    *_valued(each.values["nll"], PLAIN),
                    difference(gain[0], PLAIN),
                    span(gain[1], gain[2], PLAIN, signed=True),
                    *_valued(each.values["brier"], PLAIN),
                )
            )
    shorts = [metrics().get(name).short for name in lead]
    columns: tuple[str, ...] = ("network", "answer")
    columns += tuple(head for short in shorts for head in (PERCENT.heading(short), f"interval of {short}"))
    columns += ("NLL / nat", "interval of NLL", "NLL gained / nat", "interval of gain")
    title = "Single runs, MC dropout and seeds on test sources"
    return Table(
        "answers", title, (*columns, "Brier score", "interval of Brier"), tuple(rows), frozenset({1})
    )


def _errors(scores: Scores, y: Labels) -> Table:
    rows = []
    for name, own in scores.items():
        for each in own:
            tests = [_tested(y, scores, DRAWS) for scores in each.answer.test]
            chance = [float(np.mean([getattr(test, key) for test in tests])) for key in ("expected", "high")]
            warm, now, then = each.temperature, each.values, each.scaled
            rows.append(
                (
                    Cell(name),
                    Cell(each.answer.name),
                    number(warm),
                    *(number(side["nll"][0]) for side in (now, then)),
                    *(number(side["brier"][0]) for side in (now, then)),
                    *(number(each.part(part)) for part in _PARTS),
                    *(number(side["ece"][0], PERCENT) for side in (now, then)),
                    *(number(side["ece_equal_mass"][0], PERCENT) for side in (now, then)),
                    *(number(value, PERCENT) for value in chance),
                )
            )
    columns: tuple[str, ...] = ("network", "answer", "temperature", "NLL / nat", "NLL after temperature")
    columns += ("Brier score", "Brier after temperature", *_PARTS)
    columns += ("ECE, equal width %", "equal width, after %", "ECE, equal mass %", "equal mass, after %")
    columns += ("equal mass, if calibrated %", "95 % of calibrated ones below %")
    title = "Calibration on test sources, before and after a temperature"
    return Table("calibration", title, columns, tuple(rows), frozenset({1}), folded=True)


_PARTS = ("reliability", "resolution", "uncertainty")


def _valued(estimate: tuple[float, float, float], scale: Scale) -> tuple[Cell, Cell]:
    return number(estimate[0], scale), span(estimate[1], estimate[2], scale)
