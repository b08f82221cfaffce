"""What a test set can show: what its labels allow.

All differences are fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from rgbench.errors import SpecError


@dataclass(frozen=True)
class LabelCeiling:
    """What wrong labels allow.

    Attributes
    ----------
    agreement : float
        Share of the sources on which the test labels agree with other labels.
    label_accuracy : float
        Share of the test labels that are right.
    shrinkage : float
        An observed difference in accuracy is this times the true one.
    """

    agreement: float
    label_accuracy: float
    shrinkage: float

    @property
    def ceiling(self) -> float:
        """Accuracy that a network that is always right is expected to reach on these labels."""
        return self.label_accuracy


def label_ceiling(agreement: float, n_classes: int, other_is_true: bool = False) -> LabelCeiling:
    """Give the best accuracy that wrong labels leave, and how much they shrink a difference.

    Parameters
    ----------
    agreement : float
        Share of the sources on which the labels of the test set agree with other labels of the same sources.
    n_classes : int
        Number of classes k, 2 or more.
    other_is_true : bool
        Whether the others are always right; else both are taken to err equally often, apart from each other.

    Raises
    ------
    SpecError
        If the agreement is not above chance 1/k and at most 1, or there are fewer than 2 classes.

    Notes
    -----
    The model is simple: labels err with the same chance for every source, to any other class alike, and
    networks do not learn to err with them. If q of the labels are right, a network with true accuracy a is
    observed to have a q + (1 - a) (1 - q) / (k - 1), and differences shrink by q - (1 - q) / (k - 1). Two
    catalogues that err alike agree on q^2 + (1 - q)^2 / (k - 1), which is solved for q. Hard sources are in
    truth mislabelled more often, and a network can learn the habits of a catalogue and beat this ceiling.

    Examples
    --------
    >>> found = label_ceiling(0.68, 4)
    >>> round(found.ceiling, 2), round(found.shrinkage, 2)
    (0.82, 0.76)
    """
    k = n_classes
    if k < 2 or not 1 / k < agreement <= 1:
        raise SpecError(
            f"agreement and n_classes: found {agreement} and {k}; legal are numbers above chance, up to 1, and "
            "2 or more"
        )
    q = agreement if other_is_true else (1 + sqrt((k - 1) * (k * agreement - 1))) / k
    return LabelCeiling(agreement, q, q - (1 - q) / (k - 1))
