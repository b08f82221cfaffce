"""The SHA-256 of predictions that were made elsewhere: it tells runs of them apart, and whether one was changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.store.tables import SIDES, Predictions


def digest(sides: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> str:
    """Give the SHA-256 of what is said of which source.

    Parameters
    ----------
    sides : mapping of str to (ndarray, ndarray)
        Names of the sources of a side, in the order of the data set, and the logits of each.

    Examples
    --------
    >>> digest({"test": (np.array(["a", "b"]), np.eye(2))})[:12]
    'cb2a5c4f712c'
    """
    found = hashlib.sha256()
    for side in SIDES:
        if side in sides:
            names, logits = sides[side]
            found.update("\n".join((side, *names.tolist(), "")).encode())
            found.update(np.ascontiguousarray(logits, dtype="<f4").tobytes())
    return found.hexdigest()


def is_digest_of(expected: str, predictions: Predictions, model: str) -> bool:
    """Tell whether the predictions of a model have a SHA-256.

    Parameters
    ----------
    expected : str
        The SHA-256, as the spec of the run has it.
    predictions : Predictions
        Of a run whose predictions were made elsewhere.
    model : {"best", "final"}
        Whose predictions.
    """
    rows = {side: predictions.select(side, model) for side in SIDES}
    sides = {side: (own.source_id, own.logits) for side, own in rows.items()}
    there = {side: own for side, own in sides.items() if len(own[0])}
    # A side of which a table had no source was hashed too; one of which it had a part was left out.
    return expected in (digest(sides), digest(there))
