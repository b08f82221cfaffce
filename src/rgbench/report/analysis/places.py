"""Ranking by recognition and cost, and how sure the places are."""

from __future__ import annotations

import numpy as np

from rgbench.comparison.ranking import (
    DEFAULT_WEIGHTS,
    RankInterval,
    pareto_front,
    rank_intervals,
    rank_networks,
)
from rgbench.comparison.summary import Row
from rgbench.report import numbers
from rgbench.report.analysis.runs import Runs
from rgbench.report.blocks import Cell, Section, Table

COSTS = {"macs": "operations", "parameters": "parameters", "inference_images_per_second": "inference time"}
"""Costs against which the Pareto front is drawn, in words."""


def section(runs: Runs) -> Section | None:
    """Rank the networks; nothing to rank if there is one only."""
    rows = [row for row in runs.main.rows if row.status == "ok" and runs.main.metric in row.metrics]
    if len(rows) < 2 or any(row.network not in runs.main.resamples for row in rows):
        return None
    places = rank_networks({row.network: _measures(row) for row in rows})
    sure = {each.network: each for each in _intervals(runs, rows)}
    fronts = _fronts(rows)
    table = Table(
        name="ranking",
        title="By recognition and computational performance",
        columns=(
            "network",
            "mean rank",
            "MPCA",
            "inference time",
            "parameters",
            "operations",
            "rank by MPCA",
            "95 % interval",
            "probability of being best",
            "group",
            "on the Pareto front of",
        ),
        rows=tuple(
            (
                Cell(place.network),
                Cell(numbers.significant(place.score), place.score),
                *(_rank(place.ranks.get(key)) for key in DEFAULT_WEIGHTS),
                *_sure(sure[place.network]),
                Cell(", ".join(fronts[place.network]) or numbers.NONE),
            )
            for place in places
        ),
        words=frozenset({9, 10}),
    )
    best = [each for each in sure.values() if each.best >= 0.05]
    best.sort(key=lambda each: -each.best)
    return Section(
        anchor="places",
        menu="Ranking",
        title="Which network, all things considered?",
        sentences=(
            f"{places[0].network} has the best mean rank over recognition, speed, parameters and operations, "
            "each with the same weight.",
            "Probability of having the best MPCA on new sources like these: "
            + ", ".join(f"{each.network} {numbers.percent(each.best, 0)} %" for each in best)
            + ".",
        ),
        tables=(table,),
        early=True,
        notes=(
            "Mean rank: the ranks in the four measures of the 2021 study, averaged. That study's exact formula "
            "could not be verified; weights are a choice, and the measures say more than their mean. Ranks by "
            "MPCA, their intervals and probabilities come from the same resampled test sources for all networks; "
            "the noise of the seeds is in them only as far as the mean over seeds. Networks that share a letter "
            "are not told apart by the paired test (Holm-corrected over all pairs). A network is on a Pareto "
            "front if no other has a better MPCA for the same cost or less.",
        ),
    )


def _measures(row: Row) -> dict[str, float]:
    return {"mpca": row.metrics["mpca"].mean, **row.cost}


def _intervals(runs: Runs, rows: list[Row]) -> list[RankInterval]:
    apart = [(p.first, p.second) for p in runs.main.pairs if p.p_value < 1 - runs.main.confidence]
    names = [row.network for row in rows]
    values = {row.network: row.metrics[runs.main.metric].mean for row in rows}
    drawn = {name: runs.main.resamples[name] for name in names}
    known = [pair for pair in apart if pair[0] in drawn and pair[1] in drawn]
    return rank_intervals(values, drawn, known, runs.main.confidence)


def _fronts(rows: list[Row]) -> dict[str, list[str]]:
    gains = np.array([row.metrics["mpca"].mean for row in rows])
    found: dict[str, list[str]] = {row.network: [] for row in rows}
    for key, words in COSTS.items():
        sign = -1 if key == "inference_images_per_second" else 1
        costs = np.array([sign * row.cost.get(key, np.nan) for row in rows])
        for row, on in zip(rows, pareto_front(gains, costs), strict=True):
            if on:
                found[row.network].append(words)
    return found


def _rank(value: float | None) -> Cell:
    return Cell(numbers.NONE if value is None else f"{value:g}", value)


def _sure(each: RankInterval) -> tuple[Cell, ...]:
    return (
        Cell(f"{each.rank:g}", each.rank),
        Cell(f"{each.low:g} – {each.high:g}", f"{each.low:g}-{each.high:g}"),
        Cell(f"{numbers.percent(each.best, 0)} %", each.best),
        Cell(each.group),
    )
