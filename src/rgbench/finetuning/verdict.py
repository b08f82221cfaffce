"""Is the classifier that was trained further better than the one it came from? On sources that neither has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rgbench.measures.calibration import Floats
from rgbench.statistics.recognition import Answers, difference, mean_interval
from rgbench.statistics.significance import Interval

Verdict = Literal["better", "worse", "not told apart"]
WANTED = 0.05
"""A difference that one would like to resolve, to say how many sources that needs."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Sources that neither classifier has seen, and what each says of them; row i of every array is source i.

    Attributes
    ----------
    source_id : ndarray of str, shape (n,)
        Names.
    label, group, fold : ndarray of int64, shape (n,)
        True class, sky group, and the fold whose networks were not trained on it.
    before, after : ndarray of float64, shape (n, k)
        Log-probabilities, before calibration, by the classifier as it was, and trained further on the other folds.
    """

    source_id: NDArray[np.str_]
    label: NDArray[np.int64]
    group: NDArray[np.int64]
    fold: NDArray[np.int64]
    before: Floats
    after: Floats

    def right(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Tell which sources are recognised before, and after, each of shape (n,)."""
        return self.before.argmax(axis=1) == self.label, self.after.argmax(axis=1) == self.label


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """A classifier before and after it was trained further, on the same sources that it has not seen.

    Attributes
    ----------
    held_out : HeldOut
        The sources, and what was said of them.
    before, after : Interval
        Mean per-class accuracy (MPCA) with its 95 % interval.
    difference : Interval
        After minus before, of the same sources, with its 95 % interval.
    p_value : float
        Two-sided, that of the interval.
    needed : float
        Held-out sources that would most likely show a difference of `WANTED`; infinite if none would.
    """

    held_out: HeldOut
    before: Interval
    after: Interval
    difference: Interval
    p_value: float
    needed: float

    @property
    def verdict(self) -> Verdict:
        """Whether the interval of the difference lies above 0, below it, or holds it."""
        if not self.difference.separable:
            return "not told apart"
        return "better" if self.difference.value > 0 else "worse"


def compare(held_out: HeldOut) -> BeforeAfter:
    """Compare a classifier before and after, source by source; those of a class in one sky group count as one.

    Examples
    --------
    >>> y, i = np.arange(200) % 4, np.arange(200)
    >>> says = [np.log(0.1 + 0.6 * np.eye(4)[(y + wrong) % 4]) for wrong in (i % 3 == 0, i % 10 == 0)]
    >>> found = compare(HeldOut(i.astype(str), y, i, i % 5, *says))
    >>> found.verdict, round(found.before.value, 3), round(found.after.value, 3), round(found.difference.low, 2)
    ('better', 0.665, 0.9, 0.16)
    """
    before, after = (
        _answers(name, held_out, right) for name, right in zip("ba", held_out.right(), strict=True)
    )
    found = difference(after, before)
    return BeforeAfter(
        held_out,
        mean_interval(before),
        mean_interval(after),
        found.interval,
        found.p_value,
        found.resolution.needed(WANTED),
    )


def _answers(name: str, held_out: HeldOut, right: NDArray[np.bool_]) -> Answers:
    """Give the share that is right of each class in each sky group: what lies in one group is not independent."""
    units, place = np.unique(np.column_stack((held_out.group, held_out.label)), axis=0, return_inverse=True)
    share = np.bincount(place.ravel(), right) / np.bincount(place.ravel())
    return Answers(name, units[:, 1], share[None], ("",))
