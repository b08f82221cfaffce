"""Words of the report: what its terms mean, how to cite, and what a training history says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.report import numbers

TERMS = (
    (
        "MPCA",
        "Mean per-class accuracy, in percent: the share of each class that is recognised, averaged over "
        "the classes (also called balanced accuracy or macro-averaged recall). Chance is 100 % divided by "
        "the number of classes, whatever the mix of the test set.",
    ),
    (
        "mean ± spread",
        "Mean over the seeds, and the standard deviation between them: how much the result moves when only "
        "initialisation, order, augmentation and dropout change.",
    ),
    (
        "95 % interval",
        "Range of the mean that the test sources allow: of as many such intervals, 95 in 100 hold the value "
        "for new sources like these (tried by simulation). Intervals of two networks may overlap although one is "
        "clearly better: see paired differences.",
    ),
    (
        "paired difference",
        "Both networks answer for the same test sources, so the hard sources cancel; this is the way to tell "
        "whether one is better. Its interval counts new seeds too. The p-value is adjusted for the number of pairs "
        "tested.",
    ),
    ("accuracy", "Share of all test sources recognised; depends on the mix of classes in the test set."),
    (
        "macro F1",
        "Harmonic mean of precision and recall of each class, averaged over the classes.",
    ),
    (
        "seed",
        "Number from which a run's random streams are drawn. Runs that differ only in their seed are repeats.",
    ),
    (
        "best and final model",
        "The model of the epoch with the lowest validation loss, and that of the last epoch. The test set "
        "takes no part in the choice.",
    ),
    (
        "overfitting",
        "The training loss goes on falling while the validation loss rises. Both curves are measured the same "
        "way, without dropout and without the L2 penalty, so that their gap means what it seems to mean.",
    ),
    (
        "MAC",
        "Multiply-accumulate operations to classify one image, in convolutions and dense layers: a cost that "
        "does not depend on the machine. Images per second do: they hold for the machine named in the table "
        "of runs.",
    ),
    (
        "confusion matrix",
        "Rows are true classes, columns predicted ones; counts are summed over the seeds, percentages are of "
        "a row.",
    ),
)
"""Terms of the report and what they mean."""

CITATION = """@article{Becker2021,
  author  = {Becker, Burger and Vaccari, Mattia and Prescott, Matthew and Grobler, Trienko},
  title   = {CNN architecture comparison for radio galaxy classification},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = {503},
  number  = {2},
  pages   = {1828},
  year    = {2021},
  eprint  = {2102.03780},
  archivePrefix = {arXiv}
}"""
"""BibTeX entry of the study whose networks and protocol are reproduced."""

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
        return f"The loss stopped being a number within {len(epochs)} epochs: the run diverged."
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
