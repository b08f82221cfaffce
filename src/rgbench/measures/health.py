"""Is a run what it seems? Constant predictors, losses that never fell, NaN, probabilities as logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGIN = 0.05
"""A training loss that never fell this far below ln(number of classes), in nats, has learnt nothing."""


@dataclass(frozen=True)
class Note:
    """Something wrong with a run.

    Attributes
    ----------
    code : str
        "not-finite", "constant", "no-progress" or "probabilities".
    text : str
        The same in words.
    """

    code: str
    text: str


def check_predictions(logits: NDArray[np.floating], classes: tuple[str, ...]) -> list[Note]:
    """Look at test logits, shape (n, n_classes).

    Examples
    --------
    >>> check_predictions(np.array([[0.0, 1.0], [0.0, 2.0]]), ("FRI", "FRII"))[0].text
    'predicts FRII for every one of 2 sources'
    """
    if not len(logits):
        return []
    if not np.isfinite(logits).all():
        return [Note("not-finite", "gives values that are not finite: it diverged")]
    notes = []
    chosen = logits.argmax(axis=1)
    if len(logits) > 1 and (chosen == chosen[0]).all():
        notes.append(
            Note("constant", f"predicts {classes[chosen[0]]} for every one of {len(logits)} sources")
        )
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
        text = "its outputs are probabilities, but the loss expects logits: it ends in a softmax of its own"
        notes.append(Note("probabilities", text))
    return notes


def check_history(history: Mapping[str, NDArray[Any]], n_classes: int) -> list[Note]:
    """Look at the losses of a history."""
    losses = np.asarray(history.get("train_loss", ()), dtype=np.float64)
    if not len(losses):
        return []
    watched = np.concatenate([losses, np.asarray(history["validation_loss"], dtype=np.float64)])
    if not np.isfinite(watched).all():
        epoch = int(np.flatnonzero(~np.isfinite(losses + watched[len(losses) :]))[0]) + 1
        return [Note("not-finite", f"its loss is not finite from epoch {epoch}: it diverged")]
    if losses.min() > np.log(n_classes) - MARGIN:
        text = f"its training loss never left ln({n_classes}) = {np.log(n_classes):.2f}: lowest {losses.min():.2f}"
        return [Note("no-progress", text)]
    return []
