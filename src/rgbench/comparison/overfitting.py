"""Overfitting, from the history of a run: how training and validation part, when, and what it costs.

The history's losses are mean cross-entropies in nats, without dropout and without the L2 penalty. The 2021
study's measure is the ratio of training to validation loss, both with the penalty. The same penalty stands
in both, so the gap is the same with and without it, while the ratio is drawn towards 1: ratios with the
penalty cannot be compared between networks that have it and networks that have not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError

Floats = NDArray[np.float64]
SIGMAS = 3.0
"""A gap is open when it stands this many times its noise above where it began,"""
LEAST = 0.02
"""and no less than this (nats, or fraction of the sources),"""
LASTING = 3
"""and it has opened for good if that holds from some epoch to the last, over at least so many epochs."""
_COLUMNS = ("epoch", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "l2")


@dataclass(frozen=True)
class State:
    """A model of a run: the best or the final one.

    Attributes
    ----------
    epoch : int
        Its epoch, counted as in the history.
    train_loss, validation_loss : float
        Mean cross-entropies in nats, without dropout and L2 penalty.
    train_accuracy, validation_accuracy : float
        Fractions.
    loss_ratio, loss_ratio_l2, accuracy_ratio : float
        Training over validation; the middle one with the L2 penalty in both losses.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    train_accuracy: float
    validation_accuracy: float
    loss_ratio: float
    loss_ratio_l2: float
    accuracy_ratio: float


@dataclass(frozen=True)
class Overfitting:
    """How training and validation part in one run; arrays have one entry per epoch.

    Attributes
    ----------
    epoch : ndarray of int64
        Epochs, as in the history.
    loss_gap : ndarray of float64
        Validation minus training loss, in nats, with the L2 penalty or without.
    loss_ratio, loss_ratio_l2 : ndarray of float64
        Training over validation loss, without and with the L2 penalty; below 1 where the network knows its
        training sources better.
    accuracy_gap : ndarray of float64
        Training minus validation accuracy, a fraction.
    accuracy_ratio : ndarray of float64
        Training over validation accuracy.
    loss_opens, accuracy_opens : int or None
        Epoch from which the gap is open for good (`opening_epoch`); None if it never is.
    best, final : State
        The model of the lowest validation loss with L2 penalty (the one that is kept), and the last.
    """

    epoch: NDArray[np.int64]
    loss_gap: Floats
    loss_ratio: Floats
    loss_ratio_l2: Floats
    accuracy_gap: Floats
    accuracy_ratio: Floats
    loss_opens: int | None
    accuracy_opens: int | None
    best: State
    final: State

    @property
    def loss_lost(self) -> float:
        """Validation loss of the final model above that of the best one, in nats."""
        return self.final.validation_loss - self.best.validation_loss

    @property
    def accuracy_lost(self) -> float:
        """Validation accuracy of the best model above that of the final one."""
        return self.best.validation_accuracy - self.final.validation_accuracy


def overfitting(history: Mapping[str, NDArray[Any]]) -> Overfitting:
    """Read the overfitting of a run from its history.

    Parameters
    ----------
    history : mapping of str to ndarray
        Columns of `rgbench.store.tables.HISTORY_COLUMNS`.

    Raises
    ------
    DataError
        If a column is missing, there is no epoch, or a value is not finite.

    Examples
    --------
    >>> columns = {"epoch": [1, 2, 3], "train_loss": [1.0, 0.5, 0.2], "validation_loss": [1.0, 0.8, 0.9]}
    >>> columns |= {"train_accuracy": [0.5, 0.8, 1], "validation_accuracy": [0.5, 0.7, 0.7], "l2": [0, 0, 0]}
    >>> found = overfitting(columns)
    >>> found.best.epoch, found.final.epoch, round(found.loss_lost, 2), found.loss_gap.round(2).tolist()
    (2, 3, 0.1, [0.0, 0.3, 0.7])
    """
    h = _columns(history)
    ratios = {
        "loss_ratio": _ratio(h["train_loss"], h["validation_loss"]),
        "loss_ratio_l2": _ratio(h["train_loss"] + h["l2"], h["validation_loss"] + h["l2"]),
        "accuracy_ratio": _ratio(h["train_accuracy"], h["validation_accuracy"]),
    }
    loss_gap = h["validation_loss"] - h["train_loss"]
    accuracy_gap = h["train_accuracy"] - h["validation_accuracy"]
    epoch = h["epoch"].astype(np.int64)
    opens = [opening_epoch(gap) for gap in (loss_gap, accuracy_gap)]

    def state(i: int) -> State:
        values = {name: float(h[name][i]) for name in _COLUMNS[1:5]}
        return State(int(epoch[i]), **values, **{name: float(ratio[i]) for name, ratio in ratios.items()})

    return Overfitting(
        epoch=epoch,
        loss_gap=loss_gap,
        accuracy_gap=accuracy_gap,
        **ratios,
        loss_opens=None if opens[0] is None else int(epoch[opens[0]]),
        accuracy_opens=None if opens[1] is None else int(epoch[opens[1]]),
        best=state(int(np.argmin(h["validation_loss"] + h["l2"]))),
        final=state(len(epoch) - 1),
    )


def opening_epoch(gap: Floats) -> int | None:
    """Find the epoch from which a gap stays open to the end.

    Parameters
    ----------
    gap : ndarray of float64, shape (epochs,)
        A gap that grows with overfitting.

    Returns
    -------
    int or None
        Index of the first epoch from which every gap lies above a threshold; None if fewer than `LASTING`
        do. The threshold is the gap's early level (its median over the first fifth of the epochs, at least
        three, and no less than 0) plus the larger of `LEAST` and `SIGMAS` times its noise. The noise is
        that of one epoch against the next, from the median absolute deviation of the steps, which a steady
        growth does not move. A gap that opens within the first fifth is found late, or not at all.

    Examples
    --------
    >>> gap = np.concatenate([np.tile([0.0, 0.01], 5), np.linspace(0, 1, 11)])
    >>> opening_epoch(gap), opening_epoch(np.tile([0.0, 0.3], 10))
    (12, None)
    """
    early = max(3, len(gap) // 5)
    if len(gap) < early + LASTING:
        return None
    steps = np.diff(gap)
    noise = 1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2)
    threshold = max(float(np.median(gap[:early])), 0.0) + max(LEAST, SIGMAS * float(noise))
    closed = np.flatnonzero(gap <= threshold)
    first = int(closed[-1]) + 1 if len(closed) else 0
    return first if len(gap) - first >= LASTING else None


@dataclass(frozen=True)
class Spread:
    """A number over seeds: its mean, sample standard deviation (NaN for one seed), and how many have it."""

    mean: float
    spread: float
    n: int


@dataclass(frozen=True)
class OverSeeds:
    """Overfitting of a network over its seeds.

    Attributes
    ----------
    epoch : ndarray of int64, shape (epochs,)
        Every epoch that a seed reached.
    n : ndarray of int64, shape (epochs,)
        How many seeds reached it.
    mean, spread : dict of str to ndarray
        Mean and sample standard deviation over them of each series of `Overfitting`, by its name; the
        spread is NaN where only one seed is left.
    opened_loss, opened_accuracy : Spread
        Epoch at which the gap opens, over the seeds in which it does.
    best_epoch, loss_lost, accuracy_lost : Spread
        Epoch of the best model, and what the final one lost against it.
    final_ratio, final_ratio_l2 : Spread
        Loss ratio of the final model, without and with L2 penalty.
    n_seeds : int
        Number of seeds.
    """

    epoch: NDArray[np.int64]
    n: NDArray[np.int64]
    mean: dict[str, Floats]
    spread: dict[str, Floats]
    opened_loss: Spread
    opened_accuracy: Spread
    best_epoch: Spread
    loss_lost: Spread
    accuracy_lost: Spread
    final_ratio: Spread
    final_ratio_l2: Spread
    n_seeds: int


SERIES = ("loss_gap", "loss_ratio", "loss_ratio_l2", "accuracy_gap", "accuracy_ratio")
"""Series of `Overfitting` that have one entry per epoch."""


def over_seeds(runs: Sequence[Overfitting]) -> OverSeeds:
    """Summarise the overfitting of one network over its seeds, which may have stopped at different epochs.

    Raises
    ------
    DataError
        If there is no run.
    """
    if not runs:
        raise DataError("overfitting over seeds needs runs, found none")
    epoch = np.unique(np.concatenate([run.epoch for run in runs]))
    n = np.array([sum(e in run.epoch for run in runs) for e in epoch.tolist()])
    moments = {name: _moments(epoch, [(run.epoch, getattr(run, name)) for run in runs]) for name in SERIES}
    return OverSeeds(
        epoch=epoch,
        n=n,
        mean={name: mean for name, (mean, _) in moments.items()},
        spread={name: spread for name, (_, spread) in moments.items()},
        opened_loss=spread([run.loss_opens for run in runs]),
        opened_accuracy=spread([run.accuracy_opens for run in runs]),
        best_epoch=spread([run.best.epoch for run in runs]),
        loss_lost=spread([run.loss_lost for run in runs]),
        accuracy_lost=spread([run.accuracy_lost for run in runs]),
        final_ratio=spread([run.final.loss_ratio for run in runs]),
        final_ratio_l2=spread([run.final.loss_ratio_l2 for run in runs]),
        n_seeds=len(runs),
    )


@dataclass(frozen=True)
class Rotated:
    """Loss and accuracy of a model on the rotated training and validation sets, the 2021 study's measure.

    Attributes
    ----------
    train_loss, validation_loss : float
        Mean cross-entropies in nats, without dropout, with the L2 penalty in both.
    train_accuracy, validation_accuracy : float
        Fractions.
    """

    train_loss: float
    validation_loss: float
    train_accuracy: float
    validation_accuracy: float

    @property
    def loss_ratio(self) -> float:
        """Training over validation loss: below 1 where the network knows its training sources better."""
        return self.train_loss / self.validation_loss if self.validation_loss > 0 else float("nan")


def rotated(cost: Mapping[str, Any], model: str) -> Rotated | None:
    """Read what a run measured on its rotated sets; None if it was not trained on fixed rotations.

    Parameters
    ----------
    cost : mapping
        Of the run, as it is stored.
    model : {"best", "final"}
        Which model.

    Examples
    --------
    >>> own = {"train_loss": 0.2, "train_accuracy": 0.9, "validation_loss": 0.8, "validation_accuracy": 0.7}
    >>> found = rotated({"evaluation": {"best": own}}, "best")
    >>> found.loss_ratio, rotated({}, "best") is None
    (0.25, True)
    """
    kept = cost.get("evaluation", {}).get(model)
    names = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
    if kept is None or any(name not in kept for name in names):
        return None
    return Rotated(*(float(kept[name]) for name in names))


def _columns(history: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    missing = [name for name in _COLUMNS if name not in history]
    if missing:
        raise DataError(f"the history has no column {missing[0]!r}; needed are {', '.join(_COLUMNS)}")
    columns = {name: np.asarray(history[name], dtype=np.float64) for name in _COLUMNS}
    if not len(columns["epoch"]):
        raise DataError("the history has no epoch")
    for name, values in columns.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise DataError(f"the history's {name!r} is not finite in row {bad[0] + 1}: the run diverged")
    return columns


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0))


def _moments(
    epoch: NDArray[np.int64], series: list[tuple[NDArray[np.int64], Floats]]
) -> tuple[Floats, Floats]:
    table = np.full((len(series), len(epoch)), np.nan)
    for row, (own, values) in zip(table, series, strict=True):
        row[np.searchsorted(epoch, own)] = values
    known = ~np.isnan(table)
    n = known.sum(axis=0)
    mean = _ratio(np.where(known, table, 0).sum(axis=0), n)
    squares = np.where(known, (table - mean) ** 2, 0).sum(axis=0)
    return mean, np.sqrt(_ratio(squares, n - 1.0))


def spread(values: Sequence[float | None]) -> Spread:
    """Summarise a number over seeds, of those that have it."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    scatter = float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")
    return Spread(float(np.mean(known)) if known else float("nan"), scatter, len(known))
