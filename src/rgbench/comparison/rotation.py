"""Whether a network says the same of a source however it is turned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from rgbench.comparison.robustness import StressedRun, bootstrap_weights, shared_conditions
from rgbench.errors import SpecError
from rgbench.statistics.intervals import Weights, interval, wilson

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RotationConsistency:
    """Whether a network says the same of a source however it is turned.

    Attributes
    ----------
    angles : tuple of float
        Degrees.
    source_id : ndarray of str, shape (n,)
        Sources, in the order of their names.
    agreement : ndarray of float64, shape (n,)
        Share of the pairs of angles at which a source gets the same class, mean over runs.
    entropy : ndarray of float64, shape (n,)
        Entropy of the classes over the angles as a share of the largest possible, ln(min(angles, classes)),
        mean over runs.
    same : (float, float, float)
        Share of the sources that get one class at all angles, with its interval: Wilson for one run, else
        from the bootstrap over sources.
    mean_agreement, mean_entropy : (float, float, float)
        Means over sources with their bootstrap intervals.
    """

    angles: tuple[float, ...]
    source_id: NDArray[Any]
    agreement: Floats
    entropy: Floats
    same: tuple[float, float, float]
    mean_agreement: tuple[float, float, float]
    mean_entropy: tuple[float, float, float]


def rotation_consistency(
    runs: Sequence[StressedRun], confidence: float = 0.95, weights: Weights | None = None
) -> RotationConsistency:
    """Measure whether the predicted class stays when the image is turned.

    Unlike accuracy it needs no label, so that all test sources count.

    Parameters
    ----------
    runs : sequence of StressedRun
        Runs of one network on the same test sources, which differ in seed. Their means are given.
    confidence : float
        Coverage of the intervals.
    weights : ndarray of float32, shape (resamples, n), optional
        As from `bootstrap_weights`, for the sources in the order of their names; drawn here if left out. Networks with
        the same test sources can share them.

    Raises
    ------
    SpecError
        If the runs have fewer than two angles in common, or were not tested on the same sources.
    """
    angles = [condition for condition in shared_conditions(runs) if condition.family == "rotation"]
    if len(angles) < 2:
        raise SpecError(f"rotation consistency needs two angles or more, found {len(angles)}")
    names = runs[0].clean.source_id
    if any(not np.array_equal(run.clean.source_id, names) for run in runs):
        raise SpecError("rotation consistency is a mean over runs with the same test sources; these differ")
    turned = [np.stack([run.disturbed[angle].logits for angle in angles]) for run in runs]
    means = np.mean([_consistency(logits) for logits in turned], axis=0)
    drawn = bootstrap_weights([runs[0].clean])[0] if weights is None else weights
    resamples = drawn.astype(np.float64) @ means.T / len(names)
    ends = [interval(column, confidence) for column in resamples.T]
    same, agreement, entropy = means
    if len(runs) == 1 and np.isfinite(same).all():
        ends[0] = wilson(int(same.sum()), len(same), confidence)
    spans = [(float(values.mean()), *end) for values, end in zip(means, ends, strict=True)]
    return RotationConsistency(tuple(a.strength for a in angles), names, agreement, entropy, *spans)


def _consistency(logits: NDArray[np.float32]) -> Floats:
    """Give, of each source, whether its class is the same at all angles, its agreement and its entropy.

    Logits (angles, n, k) to (3, n); NaN for a source with a logit that is not finite.
    """
    angles, _, k = logits.shape
    counts = np.eye(k)[logits.argmax(axis=2)].sum(axis=0)
    agreement = (counts * (counts - 1)).sum(axis=1) / (angles * (angles - 1))
    entropy = entr(counts / angles).sum(axis=1) / np.log(min(angles, k))
    found = np.stack([(counts.max(axis=1) == angles).astype(float), agreement, entropy])
    found[:, ~np.isfinite(logits).all(axis=(0, 2))] = np.nan
    return found
