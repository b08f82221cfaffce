"""Scores against what a network costs, or is made like: one figure for each such number."""

from __future__ import annotations

from rgbench.report.blocks import Figure, file_name
from rgbench.report.draw import figures
from rgbench.report.files import text
from rgbench.report.material import Runs
from rgbench.report.sections.scores import scores_of


def tradeoff(runs: Runs, cost: str, title: str, axis: str, caption: str) -> Figure | None:
    """Draw scores against a number of each network; nothing if it is the same for all.

    Parameters
    ----------
    runs : Runs
        The runs; networks that have learnt nothing are not drawn.
    cost : str
        Which of a row's costs.
    title, axis, caption : str
        Of the figure; "{better}" in the caption becomes "Up" or "Down".
    """
    spots = [
        figures.Spot(row.network, value, *scores)
        for row in runs.main.rows
        if (value := text.cost(row, cost)) and (scores := scores_of(runs, row)) and text.learned(row)
    ]
    if len({spot.cost for spot in spots}) < 2:
        return None
    short, scale = runs.card.short, runs.scale
    middles = [f"{s.name} {scale.show(s.middle / scale.factor)} at {s.cost:g}" for s in spots]
    label = f"{short} against {axis}: " + "; ".join(middles)
    return Figure(
        file_name(runs.card.name, "against", cost),
        title,
        figures.tradeoff_figure(spots, axis, scale.axis(short), label),
        caption.format(better="Up" if runs.card.higher_is_better else "Down"),
        ("network", axis, scale.axis(short), scale.axis("low"), scale.axis("high")),
        tuple((spot.name, spot.cost, spot.middle, spot.low, spot.high) for spot in spots),
    )
