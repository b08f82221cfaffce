"""How training and validation part, what the final model lost, and the 2021 study's measure on rotated sets."""

from __future__ import annotations

import numpy as np

from rgbench import numbers
from rgbench.comparison.overfitting import (
    OverSeeds,
    Rotated,
    Spread,
    over_seeds,
    overfitting,
    rotated,
    spread,
)
from rgbench.report.blocks import Figure, LeftOut, Section, Table
from rgbench.report.cells import NO_CELL, Cell, count
from rgbench.report.draw.plots import Axes, Line, lines_figure
from rgbench.report.material import Runs
from rgbench.store.tables import MODELS

SHOWN = 6
"""Networks of the figures, from the top of the ranking."""


def section(runs: Runs) -> Section | LeftOut:
    """Summarise the overfitting of every network over its runs."""
    found = {
        name: over_seeds([overfitting(record.history) for record in runs.of_network(name)])
        for name in runs.networks
        if all(len(record.history.get("epoch", ())) > 1 for record in runs.of_network(name))
    }
    if not found:
        return LeftOut("Overfitting", "no network was trained for more than one epoch")
    measured = _rotated_rows(runs)
    return Section(
        anchor="overfitting",
        menu="Overfitting",
        title="Does a network learn its training sources by heart?",
        finding=_opened({name: each for name, each in found.items() if each.opened_loss.n}),
        sentences=_rotated_words(measured, runs.main.model),
        figures=(
            _figure("loss-ratio", "Training loss over validation loss", "loss_ratio", found),
            _figure("accuracy-gap", "Training accuracy minus validation accuracy", "accuracy_gap", found),
        ),
        tables=(*((_rotated_table(measured),) if measured else ()), _table(found)),
        notes=(*((_ROTATED,) if measured else ()), _NOTE),
    )


_NOTE = (
    "Losses are measured after each epoch, without dropout. Loss ratio: training loss over validation loss. Below "
    "1, the network knows its training sources better than others. Lost: what the final model is worse than the "
    "best one. The gap counts as open from the epoch after which it stays larger than the noise of the early epochs "
    "can explain. The best model is the one with the lowest validation loss, so that its validation loss is a "
    "little too good."
)
_ROTATED = (
    "On the rotated sets: the measure of the 2021 study. After training, the best and the final model are measured "
    "on all rotations of the training and the validation sources, without dropout. Both losses hold the same L2 "
    "penalty, which draws the ratio towards 1. The ratios of networks with and without that penalty cannot be "
    "compared."
)


def _opened(opened: dict[str, OverSeeds]) -> str:
    """Say of which networks training and validation loss part for good."""
    if not opened:
        return "No: in no run do training loss and validation loss part for good."
    listed = numbers.listed([f"{name} (epoch {each.opened_loss.mean:.0f})" for name, each in opened.items()])
    return f"Yes, from some epoch on validation loss no longer follows training loss: {listed}."


_RotatedRows = dict[str, dict[str, list[Rotated]]]


def _rotated_rows(runs: Runs) -> _RotatedRows:
    """Gather, by network and model, what its runs measured on their rotated sets."""
    found: _RotatedRows = {}
    for name in runs.networks:
        for model in MODELS:
            own = [each for r in runs.of_network(name) if (each := rotated(r.cost, model)) is not None]
            if own:
                found.setdefault(name, {})[model] = own
    return found


def _rotated_words(measured: _RotatedRows, model: str) -> tuple[str, ...]:
    """Say of the leading model which network has the smallest and the largest loss ratio on the rotated sets."""
    ratios = {
        name: float(np.mean([each.loss_ratio for each in own[model]]))
        for name, own in measured.items()
        if model in own
    }
    if not ratios:
        return ()
    least, most = min(ratios, key=lambda k: ratios[k]), max(ratios, key=lambda k: ratios[k])
    ratio = f"its training loss is {ratios[least]:.2f} times its validation loss"
    if least == most:
        return (f"On the rotated sets of the 2021 study, of the {model} model of {least}: {ratio}.",)
    return (
        f"On the rotated sets of the 2021 study, the {model} model of {least} overfits most: {ratio}. {most} overfits "
        f"least ({ratios[most]:.2f} times).",
    )


def _rotated_table(measured: _RotatedRows) -> Table:
    rows = []
    for name, own in measured.items():
        for model, each in own.items():
            values = {key: [getattr(one, key) for one in each] for key in _MEASURED}
            rows.append(
                (
                    Cell(name),
                    Cell(model),
                    count(len(each)),
                    *(
                        _number(spread(values[key]), decimals, scale)
                        for key, (decimals, scale) in _MEASURED.items()
                    ),
                )
            )
    columns = (
        "network", "model", "runs", "training loss / nat", "validation loss / nat", "loss ratio", "training accuracy %",
        "validation accuracy %",
    )  # fmt: skip
    return Table(
        "overfitting-rotated",
        "Best and final model on the rotated sets",
        columns,
        tuple(rows),
        frozenset({1}),
    )


_MEASURED = {
    "train_loss": (3, 1.0),
    "validation_loss": (3, 1.0),
    "loss_ratio": (2, 1.0),
    "train_accuracy": (1, 100.0),
    "validation_accuracy": (1, 100.0),
}
"""What the table of rotated sets shows, with its decimals and its scale."""


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
        folded=True,
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
