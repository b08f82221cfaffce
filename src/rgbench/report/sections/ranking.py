"""Ranking by recognition and cost, how sure the places are, and how much they depend on the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rgbench import numbers
from rgbench.comparison.ranking import (
    Place,
    RankInterval,
    default_weights,
    first_shares,
    kendall_distance,
    measures,
    pareto_front,
    rank_networks,
    ranks_of,
)
from rgbench.comparison.results import Row
from rgbench.measures.cards import MAIN
from rgbench.report.blocks import LeftOut, Section, Table
from rgbench.report.cells import NO_CELL, Cell, number, share
from rgbench.report.material import Runs
from rgbench.report.sections.tradeoffs import tradeoff
from rgbench.seeds import numpy_generator

COSTS = {"macs": "operations", "parameters": "parameters", "inference_images_per_second": "inference time"}
"""Costs against which the Pareto front is drawn, in words."""


@dataclass(frozen=True)
class _Ranked:
    """The networks that can be ranked, by which weights, and what comes of it."""

    rows: list[Row]
    weights: Mapping[str, float]
    measured: dict[str, dict[str, float]]
    places: list[Place]

    @property
    def first(self) -> list[str]:
        """The networks with the best mean rank; none if no network has one."""
        ranked = [place for place in self.places if np.isfinite(place.score)]
        return [place.network for place in ranked if place.score <= ranked[0].score + 1e-12]


def _ranked(runs: Runs) -> _Ranked | None:
    """Rank the networks; None if fewer than two have learnt anything."""
    rows = [row for row in runs.main.rows if row.status == "ok" and runs.main.metric in row.metrics]
    if len(rows) < 2:
        return None
    weights = runs.beside.weights or default_weights(runs.main.metric)
    sound = {row.network for row in rows}
    measured = {row.network: _measures(row) if row.network in sound else {} for row in runs.main.rows}
    return _Ranked(rows, weights, measured, list(rank_networks(measured, weights)))


def section(runs: Runs) -> Section | LeftOut:
    """Rank the networks; left out if fewer than two have learnt anything."""
    found = _ranked(runs)
    if found is None:
        return LeftOut("Ranking by score and cost", "fewer than two networks have learnt anything")
    sure = ranks_of(runs.main)
    cost = tradeoff(
        runs,
        "macs",
        "Score against cost",
        "MACs per answer",
        "{better} is better, left is cheaper. Bars are 95 % intervals.",
    )
    return Section(
        anchor="places",
        menu="Ranking",
        title="Which network, if cost counts too?",
        finding=_first_words(found, runs.main.metric),
        sentences=(
            *([_best_words(runs, sure, found.rows)] if sure else []),
            *_left_out(runs.main.rows, found.places),
        ),
        figures=(cost,) if cost is not None else (),
        tables=(
            _ranking(runs, found, {each.network: each for each in sure}),
            _orders(found.measured, found.places, found.weights, runs.main.metric),
        ),
        notes=_notes(runs),
        cites=("Piepho2004",),
    )


def joined(runs: Runs) -> tuple[str, ...]:
    """Join the verdict with the ranking, in a sentence; nothing where there is no ranking, or it says the same."""
    found = _ranked(runs)
    if found is None or not found.first:
        return ()
    best, costs = found.rows[0], [key for key in found.weights if key != runs.main.metric]
    if not costs:
        return ()
    counted = f"{numbers.joined([measures()[key].words for key in costs])} count too"
    if runs.main.metric in found.weights and len(set(found.weights.values())) == 1:
        counted = (
            f"{numbers.joined([measures()[key].words for key in costs])} count as much as {runs.card.short}"
        )
    if found.first == [best.network]:
        return (f"It is also the first choice where {counted}.",)
    if best.network in found.first:
        others = numbers.joined([name for name in found.first if name != best.network])
        return (f"Where {counted}, {others} {'is' if len(found.first) == 2 else 'are'} as good a choice.",)
    first = next(row for row in found.rows if row.network == found.first[0])
    return (
        f"Where {counted}, the first choice is {numbers.joined(found.first)}{_price(runs, best, first)}.",
    )


def _price(runs: Runs, best: Row, first: Row) -> str:
    """Say what the cheaper network saves, and what its score loses."""
    metric, scale = runs.main.metric, runs.scale
    lost = abs(best.metrics[metric].mean - first.metrics[metric].mean)
    macs = [row.answer_costs.get("macs", float("nan")) for row in (best, first)]
    saved = f"{numbers.percent(macs[1] / macs[0], 0)} % of the operations" if macs[1] < macs[0] else ""
    pairs = [pair for pair in runs.main.pairs if {pair.first, pair.second} == {best.network, first.network}]
    apart = (
        ", a difference that is more than chance"
        if any(pair.separable for pair in pairs)
        else ", which may be chance"
    )
    said = (
        f"its {runs.card.short} is {scale.amount(lost)} {'lower' if runs.card.higher_is_better else 'higher'}"
        f"{apart if pairs else ''}"
    )
    return f": {f'it needs {saved}; ' if saved else ''}{said}"


def _notes(runs: Runs) -> tuple[str, ...]:
    short = runs.card.short
    default = (
        "By default the measures are those of the 2021 study, with equal weights; the exact formula of that study "
        "could not be checked."
        if runs.main.metric == MAIN
        else f"By default the measures are {short} and the three costs of the 2021 study, with equal weights."
    )
    return (
        f"Mean rank: each network has a rank in each measure, and these are averaged with the weights. {default} The "
        f"weights are your choice: rgbench report --weights {runs.main.metric}=3,macs=1. First of all weightings: "
        "the share of all possible weightings of these measures for which the network has the best mean rank "
        "(Lahdelma, Hokkanen & Salminen 1998).",
        f"Ranks by {short}: the test sources are resampled, for all networks alike, and the scatter of the seeds is "
        "added. The interval is that of the rank over these resamples. Networks that share a letter are not told "
        f"apart. A network is on a Pareto front if no other network has a better {short} at the same cost or a lower "
        "one. Networks that failed or learnt nothing have no rank.",
    )


def _first_words(found: _Ranked, metric: str) -> str:
    """Say who is first, and by which weights."""
    if not found.first:
        return f"No network has all of {_weighed(found.weights)}, so that there is no mean rank."
    has = "have" if len(found.first) > 1 else "has"
    chosen = "" if dict(found.weights) == default_weights(metric) else ", as chosen with --weights"
    return f"{numbers.joined(found.first)} {has} the best mean rank by {_weighed(found.weights)}{chosen}."


def _weighed(weights: Mapping[str, float]) -> str:
    """Name measures with their weights, where these differ.

    Examples
    --------
    >>> _weighed({"mpca": 1.0, "macs": 1.0}), _weighed({"mpca": 3.0, "macs": 1.0})
    ('MPCA and operations in equal parts', 'MPCA (weight 3) and operations (weight 1)')
    """
    equal = len(set(weights.values())) == 1
    names = [
        measures()[key].words + ("" if equal else f" (weight {value:g})") for key, value in weights.items()
    ]
    if len(names) == 1:
        return f"{names[0]} alone"
    return f"{numbers.joined(names)}{' in equal parts' if equal else ''}"


def _best_words(runs: Runs, sure: Sequence[RankInterval], rows: Sequence[Row]) -> str:
    first = sorted(sure, key=lambda each: -each.best)
    if np.isnan(first[0].best):
        return (
            f"It cannot be said how probably each network has the best {runs.card.short}: there are too few test "
            "sources to resample them."
        )
    # In a wide field even the likeliest may have less.
    best = [each for each in first if each.best >= 0.05] or first[: numbers.NAMED]
    shares = [f"{each.network} in {numbers.percent(each.best, 0)} %" for each in best]
    listed = f"{shares[0]} of the cases{f', of {numbers.joined(shares[1:])}' if shares[1:] else ''}"
    drawn = "and other seeds" if any(row.n_seeds > 1 for row in rows) else "for these trained runs"
    return (
        f"With other test sources {drawn}, the best {runs.card.short} would be that of {listed}. If networks are "
        "close, this is too sure of the first one."
    )


def _left_out(rows: Sequence[Row], places: Sequence[Place]) -> tuple[str, ...]:
    """Say what has no rank, and why."""
    unranked = {place.network for place in places if not np.isfinite(place.score)}
    said = []
    for row in rows:
        if row.status != "ok":
            state = "is not finished" if row.status == "not finished" else row.status
            said.append(f"{row.network} has no rank, because it {state}.")
        elif row.network in unranked:
            said.append(f"{row.network} has no mean rank, because not all of its measures are known.")
    return tuple(said)


def _ranking(runs: Runs, found: _Ranked, sure: Mapping[str, RankInterval]) -> Table:
    weights, places, measured = found.weights, found.places, found.measured
    rows = {row.network: row for row in runs.main.rows}
    shares = first_shares(measured, list(weights), numpy_generator(0, "bootstrap", of="weights"))
    fronts = _fronts(runs, [rows[name] for name in sure])
    ranked = [name for name in weights if name != runs.main.metric]
    columns = (
        "network", "mean rank", "first of all weightings", *(measures()[key].words for key in ranked),
        f"rank by {runs.card.short}", "95 % interval", "best in resamples", "group", "on the Pareto front of",
    )  # fmt: skip
    cells = [
        (
            Cell(place.network),
            number(place.score),
            share(shares[place.network], 0) if place.ranks else NO_CELL,
            *(_rank(place.ranks.get(key)) for key in ranked),
            *_sure(sure.get(place.network)),
            Cell(", ".join(fronts.get(place.network, ())) or numbers.NONE),
        )
        for place in places
    ]
    last = len(columns) - 1
    return Table(
        "ranking",
        "By recognition and computational performance",
        columns,
        tuple(cells),
        frozenset({last - 1, last}),
        {i: rows[p.network].status for i, p in enumerate(places) if rows[p.network].status != "ok"},
    )


def _orders(
    measured: Mapping[str, Mapping[str, float]],
    places: Sequence[Place],
    weights: Mapping[str, float],
    metric: str,
) -> Table:
    """Set the order beside those under other weights."""
    own = {place.network for place in places if np.isfinite(place.score)}
    given = {key: values for key, values in measured.items() if key in own}
    kinds = {"as above": weights, "default": default_weights(metric), "recognition only": {metric: 1.0}}
    if dict(weights) == default_weights(metric):
        del kinds["default"]
    lead = [place.network for place in rank_networks(given, weights)]
    rows = []
    for kind, other in kinds.items():
        found = rank_networks(given, other)
        order = [place.network for place in found if np.isfinite(place.score)]
        whole = len(order) == len(lead)
        turned = kendall_distance(lead, order) if whole else None
        pairs = len(lead) * (len(lead) - 1) // 2
        words = numbers.NONE if turned is None else f"{turned} of {pairs}"
        rows.append((Cell(kind), Cell(_weighed(other)), Cell(_ordered(found)), Cell(words, turned)))
    columns = ("weights", "measures", "order", "pairs in another order (Kendall distance)")
    return Table("rankings", "The order under other weights", columns, tuple(rows), frozenset({1, 2}))


def _ordered(places: Sequence[Place]) -> str:
    """Write an order, equal places joined by "="."""
    ranked = [place for place in places if np.isfinite(place.score)]
    words = ranked[0].network if ranked else numbers.NONE
    for before, place in pairwise(ranked):
        words += (" = " if place.score <= before.score + 1e-12 else ", ") + place.network
    return words


def _measures(row: Row) -> dict[str, float]:
    return {name: found.mean for name, found in row.metrics.items()} | row.answer_costs


def _fronts(runs: Runs, rows: list[Row]) -> dict[str, list[str]]:
    sign = 1 if runs.card.higher_is_better else -1
    gains = np.array([sign * row.metrics[runs.main.metric].mean for row in rows], dtype=float)
    found: dict[str, list[str]] = {row.network: [] for row in rows}
    for key, words in COSTS.items():
        less = -1 if key == "inference_images_per_second" else 1
        costs = np.array([less * row.answer_costs.get(key, np.nan) for row in rows])
        for row, on in zip(rows, pareto_front(gains, costs), strict=True):
            if on:
                found[row.network].append(words)
    return found


def _rank(value: float | None) -> Cell:
    return Cell(numbers.NONE if value is None else f"{value:g}", value)


def _sure(each: RankInterval | None) -> tuple[Cell, ...]:
    if each is None:
        return (NO_CELL,) * 4
    known = np.isfinite([each.low, each.high]).all()
    return (
        Cell(f"{each.rank:g}", each.rank),
        Cell(f"{each.low:g} – {each.high:g}", f"{each.low:g}-{each.high:g}") if known else NO_CELL,
        share(each.best, 0),
        Cell(each.group),
    )
