"""Ensembles: what several networks, or several seeds of one, gain together."""

from __future__ import annotations

from itertools import combinations

from rgbench import numbers
from rgbench.comparison.diversity import contributions, diversity
from rgbench.comparison.ensembles import (
    Blend,
    Choice,
    EnsembleScore,
    choose_subsets,
    member_weights,
    score_ensembles,
)
from rgbench.comparison.members import Group, Side, groups
from rgbench.measures.cards import MetricCard
from rgbench.measures.catalogue import metrics
from rgbench.measures.combine import combine
from rgbench.numbers import PERCENT
from rgbench.report.blocks import Block, Fold, LeftOut, Section, Table
from rgbench.report.cells import Cell, count, difference, number, span
from rgbench.report.material import Runs
from rgbench.statistics.significance import excludes_zero

TITLE = "Is more than one network better?"
LARGEST = 6
"""Largest ensemble that is chosen on validation sources."""
_KINDS = {"exhaustive": "chosen, all subsets tried", "greedy": "chosen, one run after another"}
LIMIT = 400
"""Subsets of a size that are all tried."""
RULES = (
    ("majority vote", Blend("vote")),
    ("mean probability", Blend("probability")),
    ("mean logit", Blend("logit")),
    ("weighted by validation accuracy", Blend("probability", "accuracy")),
    ("weighted by validation NLL", Blend("probability", "nll")),
)
"""How ensembles are combined, in words."""
PAIRS = 45
"""Most pairs of members that have a table of their own."""


def section(runs: Runs) -> Section | LeftOut:
    """Score ensembles of seeds, of networks, of everything, and those chosen on validation sources."""
    validation, test = runs.side("validation"), runs.side("test")
    if validation is None or test is None:
        return runs.left_out("Ensembles")
    if len(test.members) < 2:
        return LeftOut("Ensembles", "there is one run only")
    metric, card = runs.main.metric, runs.card
    natural = groups(test.members)
    choices = choose_subsets(validation, Blend(), metric, LARGEST, LIMIT)
    scored = score_ensembles(
        [*(group.index for group in natural), *(choice.index for choice in choices)],
        validation,
        test,
        Blend(),
        metric,
    )
    names = [*(g.name for g in natural), *(_chosen(c) for c in choices)]
    kinds = [*(g.kind for g in natural), *(_KINDS[c.method] for c in choices)]
    return Section(
        anchor="ensembles",
        menu="Ensembles",
        title=TITLE,
        finding=_gain(f"All {len(test.members)} runs together", scored[len(natural) - 1]),
        sentences=_sentences(choices, scored[len(natural) :], test, runs.unasked_words),
        tables=(
            _scores(scored, names, kinds, card),
            _rules(validation, test, card),
            _rules_of_groups(natural, validation, test, card),
            _diversity(natural, test),
        ),
        blocks=(
            Fold(
                "For specialists: Q statistics and Shapley values of the members",
                _details(validation, test, card),
            ),
        ),
        cites=("Kuncheva2003",),
        notes=(
            "Members answer with their mean probability unless the table says otherwise. Subsets are chosen on "
            "validation sources and scored on test sources. The best single run is the one that is best on "
            f"validation sources. The gain is the paired difference to it, with its 95 % {_kind(card)} for other "
            f"test sources{_way(card)}.",
            "Differences between members are measured on test sources; nothing is chosen by them. Disagreement: "
            "share of sources for which they answer differently. Double fault: share for which both are wrong. "
            "Entropy of votes: 0 if all members agree about every source, 100 % if they are as divided as possible. "
            "Q (Yule): 1 if two members are right about the same sources, 0 if they are independent. Shapley value: "
            "the mean gain on validation sources when a member joins, over all orders of joining.",
        ),
    )


def _details(validation: Side, test: Side, card: MetricCard) -> tuple[Block, ...]:
    return (*_pairs(test), _members(validation, test, card))


def _sentences(
    choices: tuple[Choice, ...], chosen: tuple[EnsembleScore, ...], test: Side, left_out: tuple[str, ...]
) -> tuple[str, ...]:
    """Say what the ensemble gains that validation sources prefer, as no other is singled out; and how runs differ."""
    sign = 1 if metrics().get(chosen[0].metric).higher_is_better else -1
    best = max(range(len(choices)), key=lambda i: (sign * choices[i].value, -choices[i].size))
    spread = diversity(test)
    pairs = (
        f"On average over all pairs, two runs answer differently for {numbers.percent(spread.mean_disagreement)} % of "
        f"the test sources, and both are wrong for {numbers.percent(spread.mean_double_fault)} %."
    )
    said = []
    if choices[best].size > 1:
        name = f"The ensemble that is best on validation sources ({choices[best].size} members)"
        said.append(_gain(name, chosen[best]))
    return (*said, pairs, *left_out)


def _chosen(choice: Choice) -> str:
    return f"best {f'{choice.size} runs' if choice.size > 1 else 'run'} on validation sources"


def _kind(card: MetricCard) -> str:
    return "score interval" if card.is_recognition else "interval"


def _way(card: MetricCard) -> str:
    """Say which way a gain is counted where a lower value is better."""
    return (
        ""
        if card.higher_is_better
        else f"; {card.short} is better where it is lower, and so is a gain below 0"
    )


def _gain(name: str, score: EnsembleScore) -> str:
    card = metrics().get(score.metric)
    scale, single = (
        numbers.scale(card.scale),
        f"the best single run ({score.single_name})",
    )
    low, high = score.gain_low, score.gain_high
    if not (numbers.is_number(low) and numbers.is_number(high)):
        return f"{name}: {scale.difference(score.gain)} against {single} ({card.short} has no interval)."
    span = f"95 % interval {scale.signed(low)} to {scale.signed(high)}"
    if not excludes_zero(low, high):
        return f"{name} cannot be told apart from {single}: {scale.difference(score.gain)} ({span})."
    verb = "better" if (score.gain > 0) == card.higher_is_better else "worse"
    return f"{name}: {scale.amount(score.gain)} {verb} than {single} ({span})."


def _scores(scored: tuple[EnsembleScore, ...], names: list[str], kinds: list[str], card: MetricCard) -> Table:
    scale = numbers.scale(card.scale)
    return Table(
        name="ensembles",
        title="Ensembles on test sources",
        columns=(
            "ensemble",
            "kind",
            "members",
            scale.heading(card.short),
            "95 % interval",
            scale.heading("mean of its members"),
            scale.differences("gain"),
            "interval of the gain",
        ),
        rows=tuple(
            (
                Cell(name),
                Cell(kind),
                count(len(each.members)),
                number(each.value, scale),
                span(each.low, each.high, scale),
                number(each.members_mean, scale),
                difference(each.gain, scale),
                span(each.gain_low, each.gain_high, scale, signed=True),
            )
            for name, kind, each in zip(names, kinds, scored, strict=True)
        ),
        words=frozenset({1}),
    )


def _rules(validation: Side, test: Side, card: MetricCard) -> Table:
    everything, scale = [tuple(range(len(test.members)))], numbers.scale(card.scale)
    beside = () if card.name == "nll" else ("NLL / nat",)
    rows = []
    for words, blend in RULES:
        (each,) = score_ensembles(everything, validation, test, blend, card.name)
        own = (number(each.value, scale), span(each.low, each.high, scale))
        rows.append((Cell(words), *own, *([number(each.metrics.get("nll"))] if beside else [])))
    return Table(
        "ensemble-rules",
        f"All {len(test.members)} runs, combined in {len(RULES)} ways",
        ("rule", scale.heading(card.short), "95 % interval", *beside),
        tuple(rows),
    )


def _rules_of_groups(natural: tuple[Group, ...], validation: Side, test: Side, card: MetricCard) -> Table:
    """Score each natural ensemble in each way; weights come from validation sources."""
    function, rows, scale = card.function, [], numbers.scale(card.scale)
    for group in natural:
        own = validation.take(group.index), test.take(group.index)
        values = [
            function(test.y, combine(own[1].scores, blend.rule, member_weights(own[0], blend.weighting)))
            for _, blend in RULES
        ]
        rows.append((Cell(group.name), *(number(value, scale) for value in values)))
    columns = ("ensemble", *(scale.heading(f"{words}, {card.short}") for words, _ in RULES))
    title = "Ensembles of seeds, of networks and of everything, combined in each way"
    return Table("ensemble-groups", title, columns, tuple(rows), folded=True)


def _diversity(natural: tuple[Group, ...], test: Side) -> Table:
    rows = []
    for group in natural:
        found = diversity(test.take(group.index))
        shares = (found.mean_disagreement, found.mean_double_fault, found.vote_entropy)
        rows.append(
            (
                Cell(group.name),
                count(len(group.index)),
                number(found.mean_q),
                *(number(value, PERCENT) for value in shares),
            )
        )
    columns = ("ensemble", "members", "Q", "disagreement %", "double fault %", "entropy of votes %")
    return Table("ensemble-diversity", "How members differ: means over their pairs", columns, tuple(rows))


def _pairs(test: Side) -> tuple[Table, ...]:
    """List every pair of members, where they are not too many."""
    m = len(test.members)
    if m * (m - 1) // 2 > PAIRS:
        return ()
    found, rows = diversity(test), []
    for i, j in combinations(range(m), 2):
        q = float(found.q_statistic[i, j])
        shares = float(found.disagreement[i, j]), float(found.double_fault[i, j])
        rows.append(
            (
                Cell(test.members[i].name),
                Cell(test.members[j].name),
                number(q),
                *(number(value, PERCENT) for value in shares),
            )
        )
    columns = ("member", "other member", "Q", "disagreement %", "double fault %")
    return (
        Table("ensemble-pairs", "Every pair of members", columns, tuple(rows), frozenset({1}), folded=True),
    )


def _members(validation: Side, test: Side, card: MetricCard) -> Table:
    spread, scale = diversity(test), numbers.scale(card.scale)
    parts = contributions(validation, Blend(), card.name)
    rows = []
    for i, part in enumerate(parts):
        others = [j for j in range(len(parts)) if j != i]
        disagreement = float(spread.disagreement[i, others].mean())
        rows.append(
            (
                Cell(part.member.name),
                difference(part.leave_one_out, scale),
                difference(part.shapley, scale),
                number(disagreement, PERCENT),
            )
        )
    return Table(
        "ensemble-members",
        "What each member adds",
        (
            "member",
            f"{scale.differences('lost without it')} (validation)",
            f"{scale.differences('Shapley value')} (validation)",
            "answers other than another member's %",
        ),
        tuple(rows),
    )
