"""What a network says when images are turned, noisy, blurred, shifted or coarse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from rgbench import numbers
from rgbench.comparison.robustness import (
    ConditionScore,
    StressedRun,
    bootstrap_weights,
    score_conditions,
    strength_curves,
)
from rgbench.comparison.rotation import RotationConsistency, rotation_consistency
from rgbench.comparison.words.robustness import condition, rotation
from rgbench.comparison.words.second_views import kept
from rgbench.comparison.words.second_views import sentences as view_words
from rgbench.errors import SpecError
from rgbench.measures.cards import MAIN, MetricCard
from rgbench.measures.catalogue import metrics
from rgbench.numbers import PERCENT
from rgbench.report.blocks import Figure, LeftOut, Section, Table
from rgbench.report.cells import Cell, Value, difference, number, p_cell, span
from rgbench.report.draw.plots import Axes, Line, lines_figure
from rgbench.report.material import Runs
from rgbench.store.conditions import SURVEY, disturbances, families

SHOWN = 6
"""Networks of the figures, from the top of the ranking."""


_ANGLES = (0.0, 90.0, 180.0, 270.0)


def section(runs: Runs) -> Section | LeftOut:
    """Score the networks whose runs were all stressed (``rgbench stress``)."""
    scores = {name: score_conditions(own, runs.main.confidence) for name, own in runs.stressed.items()}
    if not scores:
        return LeftOut("Robustness, and another image of the same sources", "run rgbench stress")
    card = runs.card if runs.card.is_recognition else metrics().get(MAIN)
    turned = _turned(runs.stressed, runs.main.confidence)
    return Section(
        anchor="robustness",
        menu="Robustness",
        title="What if the image were a little different?",
        finding=_finding(runs, scores, turned),
        sentences=(
            *(() if runs.second_view is None else view_words(runs.second_view)),
            *(f"{name}: {rotation(found)}." for name, found in turned.items()),
            *(f"{name} loses most by {condition(_worst(own), card.name)}." for name, own in scores.items()),
            *_surveys(scores, card),
        ),
        figures=tuple(_figure(family, scores, card) for family in families() if _curved(family, scores)),
        tables=(conditions_table(scores, card),),
        notes=(
            *_measured(runs, card),
            "The test images are changed before they are prepared, and the networks answer as they were trained. "
            "Answers to changed and unchanged images are compared on the same sources. “survey-NAME”: the images of "
            "the same sources in that survey. “-simulated”: these images, blurred to its beam and put on its "
            "pixels. Intervals are for new sources and, from two runs on, new seeds. p-values are for these trained "
            "runs: an exact sign test over the sources, corrected by Holm's method for the conditions of a network.",
        ),
    )


def _finding(
    runs: Runs, scores: dict[str, list[ConditionScore]], turned: dict[str, RotationConsistency]
) -> str:
    """Say what the leading network keeps of its answers in another image, or when turned, or loses at most."""
    name = next(iter(scores))
    if runs.second_view is not None:
        first, score = next(iter(runs.second_view.scores.items()))
        kept_share = numbers.percent(score.kept[0], 0)
        return f"In another image of the same sources, {first} gives {kept_share} % of them the class it gave before."
    if name in turned:
        return f"{name} gives {numbers.percent(turned[name].same[0], 0)} % of the sources one class at all angles."
    return f"{name} loses most by {_worst(scores[name]).condition.name}."


def _measured(runs: Runs, card: MetricCard) -> tuple[str, ...]:
    """Say in what the conditions are scored, where that is not what the networks are compared in."""
    if card.name == runs.main.metric:
        return ()
    return (f"For changed images the score is {card.words}, not {runs.card.short}.",)


def _turned(stressed: dict[str, list[StressedRun]], confidence: float) -> dict[str, RotationConsistency]:
    """Measure the networks whose runs share test sources and were tested at two angles or more."""
    weights = bootstrap_weights([own[0].clean for own in stressed.values()])
    found = {}
    for (name, own), drawn in zip(stressed.items(), weights, strict=True):
        with suppress(SpecError):
            found[name] = rotation_consistency(own, confidence, drawn)
    return found


def _worst(scores: list[ConditionScore]) -> ConditionScore:
    return max(scores, key=lambda score: score.drops["accuracy"][0])


def _surveys(scores: dict[str, list[ConditionScore]], card: MetricCard) -> list[str]:
    """Say what other surveys' images of the same sources do."""
    return [
        f"{name}: {condition(score, card.name)}; {kept(score)}."
        for name, own in scores.items()
        for score in own
        if score.condition.family == SURVEY and not score.condition.survey.endswith("-simulated")
    ]


def _curved(family: str, scores: dict[str, list[ConditionScore]]) -> bool:
    """Tell whether there is a curve to draw of a kind of disturbance."""
    return not families()[family].drawn and any(
        score.condition.family == family for own in scores.values() for score in own
    )


def _figure(family: str, scores: dict[str, list[ConditionScore]], card: MetricCard) -> Figure:
    lines: list[Line] = []
    rows: list[tuple[Value, ...]] = []
    for name, own in list(scores.items())[:SHOWN]:
        for curve in strength_curves(own, card.name):
            if curve.family == family:
                value, low, high = 100 * curve.values.T
                band = {"low": low, "high": high} if not lines else {}
                lines.append(Line(name, curve.strengths, value, points=True, **band))
                for strength, each in zip(curve.strengths, curve.values, strict=True):
                    rows.append((name, float(strength), *(float(end) for end in each)))
    kind = disturbances().get(family)
    label = f"{card.short} against {kind.title} for {', '.join(scores)}"
    ticks = _ANGLES if family == "rotation" else ()
    drawing = lines_figure(
        lines, Axes(f"{kind.title} / {kind.unit}", PERCENT.axis(card.short), x_ticks=ticks), label
    )
    words = f"{kind.words} Band: 95 % interval of the first network."
    columns = ("network", "strength", card.name, "low", "high")
    return Figure(f"robustness-{family}", kind.title.capitalize(), drawing, words, columns, tuple(rows))


def conditions_table(scores: Mapping[str, Sequence[ConditionScore]], card: MetricCard) -> Table:
    """Tell what each condition but the rotations does to networks, by their names, in a metric of recognition."""
    rows = []
    for name, own in scores.items():
        for score in own:
            if score.condition.family == "rotation":
                continue
            value, drop = score.values[card.name], score.drops[card.name]
            rows.append(
                (
                    Cell(name),
                    Cell(score.condition.name),
                    number(value[0], PERCENT),
                    difference(drop[0]),
                    span(drop[1], drop[2], signed=True),
                    p_cell(score.p_value),
                    number(score.kept[0], PERCENT),
                    span(*score.kept[1:]),
                )
            )
    columns = (
        "network",
        "condition",
        PERCENT.heading(card.short),
        "lost / points",
        "95 % interval",
        "p of these runs",
        "class kept %",
        "95 % interval of the kept",
    )
    return Table("robustness", "Every change but the rotations", columns, tuple(rows), frozenset({1}))
