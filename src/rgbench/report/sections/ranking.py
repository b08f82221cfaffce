"""Ranking by recognition and cost, how sure the places are, and how much they depend on the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    rank_intervals,
    rank_networks,
)
from rgbench.comparison.results import Row
from rgbench.measures.cards import MAIN
from rgbench.report.blocks import Section, Table
from rgbench.report.cells import NO_CELL, Cell, number, share
from rgbench.report.material import Runs
from rgbench.seeds import numpy_generator

COSTS = {"macs": "operations", "parameters": "parameters", "inference_images_per_second": "inference time"}
"""Costs against which the Pareto front is drawn, in words."""


def section(runs: Runs) -> Section | None:
    """Rank the networks; nothing to rank if fewer than two have learnt anything."""
    rows = [row for row in runs.main.rows if row.status == "ok" and runs.main.metric in row.metrics]
    if len(rows) < 2:
        return None
    weights = runs.beside.weights or default_weights(runs.main.metric)
    sound = {row.network for row in rows}
    measured = {row.network: _measures(row) if row.network in sound else {} for row in runs.main.rows}
    places = rank_networks(measured, weights)
    sure = _intervals(runs, [row for row in rows if row.network in runs.main.resamples])
    return Section(
        anchor="places",
        menu="Ranking",
        title="Which network, all things considered?",
        sentences=(
            *_first_words(places, weights, runs.main.metric),
            *([_best_words(runs, sure, rows)] if sure else []),
            *_left_out(runs.main.rows, places),
        ),
        tables=(
            _ranking(runs, places, measured, {each.network: each for each in sure}),
            _orders(measured, places, weights, runs.main.metric),
        ),
        notes=_notes(runs),
        cites=("Piepho2004",),
    )


def _notes(runs: Runs) -> tuple[str, ...]:
    short = runs.card.short
    default = (
        "By default these are the four of the 2021 study in equal parts; that study's exact formula could not be "
        "verified."
        if runs.main.metric == MAIN
        else f"By default these are {short} and the three costs of the 2021 study's ranking in equal parts."
    )
    return (
        f"Mean rank: the ranks in the measures, averaged with the weights. {default} Weights are a choice (rgbench "
        f"report --weights {runs.main.metric}=3,macs=1), and the measures say more than their mean. First of all "
        "weightings: share of all weightings of these measures, drawn evenly, under which the network has the best "
        "mean rank (Lahdelma, Hokkanen & Salminen 1998).",
        f"Ranks by {short}, their intervals and the shares of resamples come from the same resampled test sources for "
        "all networks and, where a network has several runs, from other runs drawn with Student's t. Networks that "
        "share a letter are not told apart (Holm-corrected over all pairs). A network is on a Pareto front if no other "
        f"has a better {short} for the same cost or less. Networks that failed or learnt nothing have no rank and "
        "come last; the ranks of the others are among themselves.",
    )


def _first_words(places: Sequence[Place], weights: Mapping[str, float], metric: str) -> tuple[str, ...]:
    """Say who is first, and by which weights."""
    ranked = [place for place in places if np.isfinite(place.score)]
    if not ranked:
        return (f"No network has all of {_weighed(weights)}, so that there is no mean rank.",)
    first = [place.network for place in ranked if place.score <= ranked[0].score + 1e-12]
    names = " and ".join(first)
    has = "have" if len(first) > 1 else "has"
    chosen = (
        "the default"
        if dict(weights) == default_weights(metric)
        else "chosen with --weights; not the default"
    )
    return (f"{names} {has} the best mean rank by {_weighed(weights)} ({chosen}).",)


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
    return f"{', '.join(names[:-1])} and {names[-1]}{' in equal parts' if equal else ''}"


def _best_words(runs: Runs, sure: Sequence[RankInterval], rows: Sequence[Row]) -> str:
    first = sorted(sure, key=lambda each: -each.best)
    if np.isnan(first[0].best):
        return (
            f"How probably each network has the best {runs.card.short} cannot be said: the test sources are too few to "
            f"give {runs.card.short} a value on all of their resamples."
        )
    # In a wide field even the likeliest may have less.
    best = [each for each in first if each.best >= 0.05] or first[: numbers.NAMED]
    listed = ", ".join(f"{each.network} {numbers.percent(each.best, 0)} %" for each in best)
    drawn = "and of the runs" if any(row.n_seeds > 1 for row in rows) else "for these trained runs"
    return (
        f"Best {runs.card.short} in the joint resamples of the test sources {drawn}: {listed}. That estimates how "
        "probably each is the best, and is too sure of the first where the field is close."
    )


def _left_out(rows: Sequence[Row], places: Sequence[Place]) -> tuple[str, ...]:
    """Say what has no rank, and of which networks some runs are missing or learnt nothing."""
    unranked = {place.network for place in places if not np.isfinite(place.score)}
    said = []
    for row in rows:
        if row.status != "ok":
            state = "is not finished" if row.status == "not finished" else row.status
            said.append(f"{row.network} has no rank: it {state}.")
        elif row.network in unranked:
            said.append(f"{row.network} has no mean rank: not all of the measures are known of it.")
        elif row.notes:
            said.append(f"Among the runs of {row.network}: {'; '.join(row.notes)}.")
    return tuple(said)


def _ranking(
    runs: Runs,
    places: Sequence[Place],
    measured: Mapping[str, Mapping[str, float]],
    sure: Mapping[str, RankInterval],
) -> Table:
    weights = runs.beside.weights or default_weights(runs.main.metric)
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
    return {name: found.mean for name, found in row.metrics.items()} | row.cost


def _intervals(runs: Runs, rows: list[Row]) -> list[RankInterval]:
    if not rows:
        return []
    apart = [(p.first, p.second) for p in runs.main.pairs if p.separable]
    names = [row.network for row in rows]
    sign = 1 if runs.card.higher_is_better else -1
    values = {row.network: sign * row.metrics[runs.main.metric].mean for row in rows}
    drawn = {name: sign * runs.main.resamples[name] for name in names}
    known = [pair for pair in apart if pair[0] in drawn and pair[1] in drawn]
    return rank_intervals(values, drawn, known, runs.main.confidence)


def _fronts(runs: Runs, rows: list[Row]) -> dict[str, list[str]]:
    sign = 1 if runs.card.higher_is_better else -1
    gains = np.array([sign * row.metrics[runs.main.metric].mean for row in rows], dtype=float)
    found: dict[str, list[str]] = {row.network: [] for row in rows}
    for key, words in COSTS.items():
        less = -1 if key == "inference_images_per_second" else 1
        costs = np.array([less * row.cost.get(key, np.nan) for row in rows])
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
