"""Ensembles: what several networks, or several seeds of one, gain together."""

from __future__ import annotations

from rgbench.comparison.diversity import contributions, diversity
from rgbench.comparison.ensembles import Blend, EnsembleScore, choose_subsets, score_ensembles
from rgbench.comparison.members import Side, groups
from rgbench.report import numbers
from rgbench.report.analysis.runs import Runs
from rgbench.report.blocks import Cell, Section, Table

LARGEST = 6
"""Largest ensemble that is chosen on validation sources."""
LIMIT = 400
"""Subsets of a size that are all tried."""
RULES = (
    ("majority vote", Blend("vote")),
    ("mean probability", Blend("probability")),
    ("mean logit", Blend("logit")),
    ("weighted by validation accuracy", Blend("probability", "accuracy")),
)
"""How the ensemble of all runs is combined, in words."""


def section(runs: Runs) -> Section | None:
    """Score ensembles of seeds, of networks, of everything, and those chosen on validation sources."""
    validation, test = runs.side("validation"), runs.side("test")
    if validation is None or test is None or len(test.members) < 2:
        return None
    metric = runs.main.metric
    natural = groups(test.members)
    choices = choose_subsets(validation, Blend(), metric, LARGEST, LIMIT)
    scored = score_ensembles(
        [*(group.index for group in natural), *(choice.index for choice in choices)],
        validation,
        test,
        Blend(),
        metric,
    )
    names = [*(g.name for g in natural), *(f"best {c.size} on validation sources" for c in choices)]
    kinds = [*(g.kind for g in natural), *(f"chosen, {c.method}" for c in choices)]
    return Section(
        anchor="ensembles",
        menu="Ensembles",
        title="Is more than one network better?",
        sentences=_sentences(scored, names, test),
        tables=(
            _scores(scored, names, kinds),
            _rules(validation, test, metric),
            _members(validation, test, metric),
        ),
        notes=(
            "Members answer with their mean probability unless told otherwise. Subsets are chosen on validation "
            "sources and scored on test sources; the gain is against the one run that is best on validation "
            "sources, with the 95 % interval of the same resampled test sources. Q (Yule): 1 if two members are "
            "right on the same sources, 0 if independently. Shapley value: a member's mean gain over all orders "
            "in which members may join.",
        ),
    )


def _sentences(scored: tuple[EnsembleScore, ...], names: list[str], test: Side) -> tuple[str, ...]:
    better = [(name, each) for name, each in zip(names, scored, strict=True) if each.gain_low > 0]
    spread = diversity(test)
    pairs = (
        f"Two members answer differently for {numbers.percent(spread.mean_disagreement)} % of the test sources, "
        f"and both are wrong for {numbers.percent(spread.mean_double_fault)} %."
    )
    if not better:
        single = scored[0].single_name
        return (f"No ensemble is better than the best single run ({single}) beyond its interval.", pairs)
    name, each = max(better, key=lambda pair: pair[1].value)
    words = (
        f"The ensemble of {name} gains {numbers.signed_percent(each.gain)} points over {each.single_name} (95 % "
        f"interval {numbers.percent(each.gain_low)} to {numbers.percent(each.gain_high)})."
    )
    return (words, pairs)


def _scores(scored: tuple[EnsembleScore, ...], names: list[str], kinds: list[str]) -> Table:
    return Table(
        name="ensembles",
        title="Ensembles on test sources",
        columns=(
            "ensemble",
            "kind",
            "members",
            "MPCA %",
            "95 % interval",
            "mean of its members %",
            "gain / points",
            "interval of the gain",
        ),
        rows=tuple(
            (
                Cell(name),
                Cell(kind),
                Cell(str(len(each.members)), len(each.members)),
                Cell(numbers.percent(each.value), each.value),
                Cell(f"{numbers.percent(each.low)} – {numbers.percent(each.high)}", each.low),
                Cell(numbers.percent(each.members_mean), each.members_mean),
                Cell(numbers.signed_percent(each.gain), each.gain),
                Cell(
                    f"{numbers.signed_percent(each.gain_low)} – {numbers.signed_percent(each.gain_high)}",
                    each.gain_low,
                ),
            )
            for name, kind, each in zip(names, kinds, scored, strict=True)
        ),
        words=frozenset({1}),
    )


def _rules(validation: Side, test: Side, metric: str) -> Table:
    everything = [tuple(range(len(test.members)))]
    rows = []
    for words, blend in RULES:
        (each,) = score_ensembles(everything, validation, test, blend, metric)
        interval = f"{numbers.percent(each.low)} – {numbers.percent(each.high)}"
        nll = each.metrics.get("nll")
        rows.append(
            (
                Cell(words),
                Cell(numbers.percent(each.value), each.value),
                Cell(interval, each.low),
                Cell(numbers.significant(nll), nll),
            )
        )
    return Table(
        "ensemble-rules",
        f"All {len(test.members)} runs, combined in four ways",
        ("rule", "MPCA %", "95 % interval", "NLL / nat"),
        tuple(rows),
    )


def _members(validation: Side, test: Side, metric: str) -> Table:
    spread = diversity(test)
    parts = contributions(validation, Blend(), metric)
    rows = []
    for i, part in enumerate(parts):
        others = [j for j in range(len(parts)) if j != i]
        disagreement = float(spread.disagreement[i, others].mean())
        rows.append(
            (
                Cell(part.member.name),
                Cell(numbers.signed_percent(part.leave_one_out), part.leave_one_out),
                Cell(numbers.signed_percent(part.shapley), part.shapley),
                Cell(numbers.percent(disagreement), disagreement),
            )
        )
    return Table(
        "ensemble-members",
        "What each member adds",
        (
            "member",
            "lost without it / points (validation)",
            "Shapley value / points",
            "answers other than another member's %",
        ),
        tuple(rows),
    )
