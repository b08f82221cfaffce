"""What networks say of another image of the same sources, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rgbench import numbers
from rgbench.comparison.results import Comparison, Sentence
from rgbench.comparison.robustness import ConditionScore, stressed_run
from rgbench.comparison.second_views import GapChange, SecondView, second_view
from rgbench.measures.catalogue import metrics
from rgbench.numbers import NAMED, counted, listed
from rgbench.store.conditions import SURVEY
from rgbench.store.store import RunRecord
from rgbench.store.tables import Predictions


def sentences(found: SecondView) -> tuple[str, ...]:
    """Say how often networks are right, and keep their class, in second images; then whether their order holds.

    Returns
    -------
    tuple of str
        Sentences with their full stops; nothing on the order of one network, or of networks whose sources differ.
    """
    names = list(found.scores)
    first = found.scores[names[0]]
    where = f"In another image of the same {counted(first.n_sources, 'source')}{_made(found)}"
    said = f"{where} {names[0]} {_right(first)}, and {_kept(first)}"
    others = "; ".join(f"{name} {_short(found.scores[name])}" for name in names[1 : NAMED + 1])
    return (f"{said}{'; ' if others else ''}{others}.", *_order(found))


def with_second_views(
    found: Comparison, records: Sequence[RunRecord], conditions: Mapping[str, Predictions]
) -> Comparison:
    """Say in a comparison's answer, behind the verdict, what second views of its sources show.

    Parameters
    ----------
    found : Comparison
        As from `rgbench.compare`.
    records : sequence of RunRecord
        Its runs.
    conditions : mapping of str to Predictions
        Predictions on disturbed images, by run id, as from `read_conditions`.

    Returns
    -------
    Comparison
        The same, where no network of its rows has all its runs tested on second views.
    """
    stressed = {}
    for row in found.rows:
        own = [r for r in records if r.spec.network.name == row.network and r.status == "complete"]
        if row.status == "ok" and own and all(r.run_id in conditions for r in own):
            stressed[row.network] = [stressed_run(r, conditions[r.run_id], found.model) for r in own]
    view = second_view(stressed, metric=found.metric, confidence=found.confidence)
    if view is None:
        return found
    verdict, *rest = found.sentences
    return replace(found, sentences=(verdict, *map(Sentence, sentences(view)), *rest))


def kept(score: ConditionScore) -> str:
    """Say which share of the sources keeps its class under a condition; no full stop.

    Examples
    --------
    >>> from rgbench.store.conditions import Condition
    >>> kept(ConditionScore(Condition("view", 1), 200, 1, {}, {}, {}, 1.0, (0.81, 0.75, 0.86)))
    '81.0 % of 200 sources (95 % interval 75.0 to 86.0) keep the class that they have in the first image'
    """
    share, low, high = score.kept
    return (
        f"{numbers.percent(share)} % of {counted(score.n_sources, 'source')} "
        f"({numbers.interval(low, high, score.confidence)}) keep the class that they have in the first image"
    )


def _made(found: SecondView) -> str:
    if found.condition.family == SURVEY:
        return f" ({found.condition.name})"
    return ", made by simulation,"


def _right(score: ConditionScore) -> str:
    value, low, high = score.values["accuracy"]
    before = numbers.percent(score.clean["accuracy"][0])
    span = numbers.interval(low, high, score.confidence)
    return f"is right for {numbers.percent(value)} % ({span}; {before} % in the first image)"


def _kept(score: ConditionScore) -> str:
    share, low, high = score.kept
    return f"{numbers.percent(share)} % ({numbers.percent(low)} to {numbers.percent(high)}) keep their class"


def _short(score: ConditionScore) -> str:
    value, before = (numbers.percent(x["accuracy"][0]) for x in (score.values, score.clean))
    return f"for {value} % ({before} %), and {numbers.percent(score.kept[0])} % keep it"


def _order(found: SecondView) -> tuple[str, ...]:
    """Say whether the order holds; that it changes, only of pairs whose difference changes by more than chance."""
    if not found.gaps:
        return ()
    short = metrics().get(found.metric).short
    shown = [gap for gap in found.gaps if gap.shown]
    turned = [gap for gap in shown if gap.turns]
    if turned:
        said = [f"The order of the networks by {short} changes: {_list(turned)}."]
    elif found.order == tuple(found.scores):
        said = [f"The order of the networks by {short} stays the same there."]
    else:
        said = [
            f"By {short} the order there would be {listed(found.order)}, but that it changes cannot be shown: "
            f"where two change places, their difference changes by no more than chance may."
        ]
    rest = [gap for gap in shown if not gap.turns]
    if rest:
        said.append(f"Their differences do change, by more than chance: {_list(rest)}.")
    return tuple(said)


def _list(gaps: list[GapChange]) -> str:
    said = "; ".join(_change(gap) for gap in gaps[:NAMED])
    return f"{said}; and {counted(len(gaps) - NAMED, 'more pair')}" if len(gaps) > NAMED else said


def _change(gap: GapChange) -> str:
    before, after = (numbers.signed_percent(value) for value in (gap.before, gap.after))
    span = numbers.interval(gap.change.low, gap.change.high, gap.change.confidence)
    return f"{gap.first} over {gap.second} from {before} to {after} points (change: {span})"
