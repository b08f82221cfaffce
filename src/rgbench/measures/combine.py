"""Several members' scores made one."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import log_softmax

from rgbench.measures.calibration import Floats

Rule = Literal["vote", "probability", "logit"]


RULES: tuple[Rule, ...] = ("vote", "probability", "logit")


_TINY = 1e-9


def combine(scores: Floats, rule: Rule = "probability", weights: Floats | None = None) -> Floats:
    """Combine members into one prediction.

    Parameters
    ----------
    scores : ndarray of float64, shape (m, n, k)
        Log-probabilities.
    rule : {"vote", "probability", "logit"}
        "vote": shares of the members' votes; the mean probability votes too, with so small a weight that it
        decides ties and nothing else, and keeps every probability above 0. "probability": mean of the
        probabilities. "logit": mean of the logits (geometric mean of the probabilities).
    weights : ndarray of float64, shape (m,), optional
        Weights, 0 or more, not all 0; equal if left out.

    Returns
    -------
    ndarray of float64, shape (n, k)
        Log-probabilities.

    Examples
    --------
    >>> p = np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.4, 0.6]]])
    >>> [int(combine(np.log(p), rule).argmax()) for rule in RULES]
    [1, 0, 0]
    """
    w = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)
    scores, w = scores[w > 0], w[w > 0] / w.sum()
    if rule == "logit":
        return np.asarray(log_softmax(np.tensordot(w, scores, axes=1), axis=1))
    top = scores.max(axis=0)
    mean = np.asarray(top + np.log(np.tensordot(w, np.exp(scores - top), axes=1)))
    return mean if rule == "probability" else _vote(scores, w, mean)


def _vote(scores: Floats, weights: Floats, mean: Floats) -> Floats:
    votes = np.tensordot(weights, np.eye(scores.shape[2])[scores.argmax(axis=2)], axes=1)
    top = votes.max(axis=1, keepdims=True)
    next_below = np.where(votes < top - _TINY, votes, -np.inf).max(axis=1, keepdims=True)
    small = np.minimum(top - next_below, 1 / len(scores))
    with np.errstate(divide="ignore"):  # a class without votes has only the mean probability
        return np.asarray(np.logaddexp(np.log(votes), np.log(small) + mean) - np.log1p(small))
