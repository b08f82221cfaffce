"""How training and validation part, and what the final model lost."""

from __future__ import annotations

import numpy as np

from rgbench.comparison.overfitting import OverSeeds, Spread, over_seeds, overfitting
from rgbench.numbers import counted
from rgbench.report.blocks import Figure, Section, Table
from rgbench.report.cells import NO_CELL, Cell, count
from rgbench.report.draw.plots import Axes, Line, lines_figure
from rgbench.report.material import Runs

SHOWN = 6
"""Networks of the figures, from the top of the ranking."""


def section(runs: Runs) -> Section | None:
    """Summarise the overfitting of every network over its runs."""
    found = {
        name: over_seeds([overfitting(record.history) for record in runs.of_network(name)])
        for name in runs.networks
        if all(len(record.history.get("epoch", ())) > 1 for record in runs.of_network(name))
    }
    if not found:
        return None
    opened = {name: each for name, each in found.items() if each.opened_loss.n}
    words = "In no run does the gap between training and validation loss open and stay open."
    if opened:
        listed = ", ".join(
            f"{name} (epoch {each.opened_loss.mean:.0f}, {each.opened_loss.n} of {counted(each.n_seeds, 'run')})"
            for name, each in opened.items()
        )
        words = f"The gap between training and validation loss opens, and does not close again, in {listed}."
    return Section(
        anchor="overfitting",
        menu="Overfitting",
        title="Does a network learn its training sources by heart?",
        sentences=(words,),
        figures=(
            _figure("loss-ratio", "Training loss over validation loss", "loss_ratio", found),
            _figure("accuracy-gap", "Training accuracy minus validation accuracy", "accuracy_gap", found),
        ),
        tables=(_table(found),),
        notes=(
            "Losses are measured after each epoch, without dropout; columns say where the L2 penalty is counted in. "
            "Loss ratio: training over validation; below 1 the network knows its training sources better. Lost: final "
            "against best model. The epoch at which the gap opens is the first after which it stays beyond what the "
            "noise of its early epochs explains. The best model is that of the lowest validation loss, so it flatters "
            "itself a little on validation sources.",
        ),
    )


def _figure(name: str, title: str, series: str, found: dict[str, OverSeeds]) -> Figure:
    shown = dict(list(found.items())[:SHOWN])
    lines = [
        Line(
            network,
            each.epoch.astype(float),
            each.mean[series],
            each.mean[series] - each.spread[series],
            each.mean[series] + each.spread[series],
        )
        for network, each in shown.items()
    ]
    label = f"{title}, by epoch: " + "; ".join(
        f"{k} ends at {v.mean[series][-1]:.2f}" for k, v in shown.items()
    )
    rows = tuple(
        (network, int(epoch), float(mean), float(spread))
        for network, each in found.items()
        for epoch, mean, spread in zip(each.epoch, each.mean[series], each.spread[series], strict=True)
    )
    caption = "Mean over the runs; band: their standard deviation."
    return Figure(
        name,
        title,
        lines_figure(lines, Axes("epoch", ""), label),
        caption,
        ("network", "epoch", "mean", "spread"),
        rows,
    )


def _table(found: dict[str, OverSeeds]) -> Table:
    return Table(
        name="overfitting",
        title="Best model against final model",
        columns=(
            "network",
            "runs",
            "best epoch",
            "gap opens at epoch",
            "in runs",
            "loss ratio at the end",
            "the same with L2 penalty",
            "validation loss lost / nat",
            "validation accuracy lost / points",
        ),
        rows=tuple(
            (
                Cell(name),
                count(each.n_seeds),
                _number(each.best_epoch, 1),
                _number(each.opened_loss, 1),
                count(each.opened_loss.n),
                _number(each.final_ratio, 2),
                _number(each.final_ratio_l2, 2),
                _number(each.loss_lost, 3),
                _number(each.accuracy_lost, 1, 100),
            )
            for name, each in found.items()
        ),
    )


def _number(value: Spread, decimals: int, scale: float = 1.0) -> Cell:
    if not value.n or not np.isfinite(value.mean):
        return NO_CELL
    shown = f"{scale * value.mean:z.{decimals}f}".replace("-", "−")
    if not np.isfinite(value.spread):
        return Cell(shown, scale * value.mean)
    return Cell(
        f"{shown} ± {scale * value.spread:.{decimals}f}", scale * value.mean, spread=scale * value.spread
    )
