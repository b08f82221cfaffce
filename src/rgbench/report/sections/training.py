"""How training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.report.blocks import Block, Figure, Fold, Grid, Heading, Key, LeftOut, Section, Text, file_name
from rgbench.report.draw import figures
from rgbench.report.material import Runs
from rgbench.store.store import RunRecord

_HISTORY = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "l2", "learning_rate")


def section(runs: Runs) -> Section | LeftOut:
    """Draw loss and accuracy of every run against the epoch, networks in the order of the ranking."""
    trained: dict[str, list[RunRecord]] = {}
    for record in sorted(runs.records, key=lambda r: (r.spec.data.split, r.spec.seed)):
        if len(record.history.get("epoch", ())):
            trained.setdefault(record.spec.network.name, []).append(record)
    if not trained:
        return LeftOut("Training curves", "no run has a history")
    order = [row.name for row in runs.main.rows if row.name in trained]
    key = Key(
        (
            (figures.legend_swatch("train"), "training sources"),
            (figures.legend_swatch("valid"), "validation sources"),
        )
    )
    said = Text(
        "Both curves are measured after each epoch, without dropout and without the L2 penalty. The dotted line "
        "marks the best epoch: the one with the lowest validation loss."
    )
    names = list(dict.fromkeys([*order, *trained]))
    first = _curves(names[0], trained[names[0]])
    others = [Fold(f"Training of {name}", _curves(name, trained[name])[1:]) for name in names[1:]]
    return Section(
        "training",
        "Training",
        "How did training go?",
        finding=_finding([record for own in trained.values() for record in own]),
        blocks=(said, key, *first, *others),
    )


def _curves(name: str, records: Sequence[RunRecord]) -> tuple[Block, ...]:
    return Heading(name), Grid(tuple(training_figures(records)))


def _finding(records: Sequence[RunRecord]) -> str:
    """Say when the best epochs came, and whether training was long enough."""
    best = [(best_epoch(record.history, record.cost), len(record.history["epoch"])) for record in records]
    known = [(epoch, of) for epoch, of in best if epoch]
    if not known:
        return "The loss of every run stopped being a number."
    last = sum(epoch == of for epoch, of in known)
    epochs = sorted(epoch for epoch, _ in known)
    when = (
        f"at epoch {epochs[0]}" if epochs[0] == epochs[-1] else f"between epochs {epochs[0]} and {epochs[-1]}"
    )
    said = f"The runs were best {when} of {max(of for _, of in known)}."
    if last:
        said += f" For {last} of {numbers.counted(len(known), 'run')} it was the last epoch: more epochs might help."
    return said


def training_figures(records: Sequence[RunRecord]) -> list[Figure]:
    """Draw the training curves of a network's runs, each with the settings by which its recipe is another."""
    recipes = [record.trained.recipe.model_dump(mode="json") for record in records]
    differ = [name for name in recipes[0] if any(recipe[name] != recipes[0][name] for recipe in recipes)]
    return [
        _training_figure(record, "".join(f", {name.replace('_', ' ')} {recipe[name]}" for name in differ))
        for record, recipe in zip(records, recipes, strict=True)
    ]


def _training_figure(record: RunRecord, settings: str) -> Figure:
    network, seed, split = record.spec.network.name, record.spec.seed, record.spec.data.split
    fold = (f", {split}" if split.startswith("fold-") else "") + settings
    epoch = best_epoch(record.history, record.cost)
    said = training_words(record.history, epoch)
    names = [name for name in _HISTORY if name in record.history]
    table = zip(*(record.history[name].tolist() for name in ("epoch", *names)), strict=True)
    return Figure(
        file_name("training", network, str(seed), fold),
        f"seed {seed}{fold}",
        figures.training_figure(record.history, epoch, f"Training of {network}, seed {seed}{fold}. {said}"),
        said,
        ("epoch", *names),
        tuple(table),
    )


_GAP = 0.1


def best_epoch(history: Mapping[str, NDArray[np.float64]], cost: Mapping[str, Any]) -> int:
    """Give the epoch of the best model: as the run has it, else that of the lowest monitored loss; 0 if none.

    Examples
    --------
    >>> best_epoch({"epoch": np.arange(1.0, 4.0), "validation_loss": np.array([3.0, 1.0, 2.0])}, {})
    2
    """
    if cost.get("best_epoch"):
        return int(cost["best_epoch"])
    losses = history["validation_loss"] + history.get("l2", np.zeros(1))
    if not np.isfinite(losses).any():
        return 0
    return int(history["epoch"][np.nanargmin(losses)])


def training_words(history: Mapping[str, NDArray[np.float64]], epoch: int) -> str:
    """Say in a sentence what a training history shows at its best epoch and at its end.

    Parameters
    ----------
    history : mapping of str to ndarray
        Columns of the history table.
    epoch : int
        Epoch of the best model, from 1; 0 if there is none.
    """
    epochs, train, validation = (history[name] for name in ("epoch", "train_loss", "validation_loss"))
    found = np.flatnonzero(epochs == epoch)
    if not len(found) or not np.isfinite([train[-1], validation[-1]]).all():
        return f"The loss stopped being a number within {numbers.counted(len(epochs), 'epoch')}: the run diverged."
    best = found[0]
    said = f"Best epoch {epoch} of {epochs[-1]:.0f}: validation loss {_loss(validation[best])}"
    if best == len(epochs) - 1:
        return f"{said}, still the lowest at the end."
    said += (
        f", {_loss(validation[-1])} at the end; training loss {_loss(train[best])}, then {_loss(train[-1])}."
    )
    rises = validation[-1] > (1 + _GAP) * validation[best]
    falls = train[-1] < train[best]
    return f"{said} It overfits after its best epoch." if rises and falls else said


def _loss(value: float) -> str:
    return numbers.significant(float(value), 2) if value >= 0.01 else "< 0.01"
