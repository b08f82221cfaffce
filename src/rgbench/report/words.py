"""Words of the report: what its terms mean, how to cite, and what a training history says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.paired import PairedDifference
from rgbench.comparison.power import label_ceiling
from rgbench.comparison.summary import Comparison, Row
from rgbench.data.sets import data_sets
from rgbench.report import numbers
from rgbench.spec import DataSpec

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
        "Range of the mean that the test sources and, from two runs on, the seeds or folds allow: of as many such "
        "intervals, 95 in 100 hold the value for new sources like these and new seeds (tried by simulation). "
        "Intervals of two networks may overlap although one is clearly better: see paired differences.",
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
        "Harmonic mean of precision and recall of each class, averaged over the classes that the test sources have.",
    ),
    (
        "NLL, Brier score",
        "How far the stated probabilities are from what came: negative log-likelihood, the mean of −ln p of the true "
        "class in nats, and the mean squared distance of the probabilities from 0 and 1. Lower is better.",
    ),
    (
        "ECE",
        "Expected calibration error: of answers given with about the same probability p, how far the share that is "
        "right lies from p, on average. Not zero even for true probabilities, as bins hold few sources.",
    ),
    (
        "temperature",
        "Number by which logits are divided before they become probabilities; fitted on validation sources, it mends "
        "probabilities that are too sure (above 1) or not sure enough (below 1), and changes no answer.",
    ),
    (
        "MC dropout",
        "Monte-Carlo dropout: a trained network answers many times with its dropout layers left on, and the mean "
        "probability counts. A seed ensemble is the mean probability of runs that differ in their seed.",
    ),
    (
        "entropy, mutual information",
        "Entropy: how evenly the probabilities are spread over the classes, 0 if one class has them all. Mutual "
        "information: the part of it that comes from members that contradict each other.",
    ),
    (
        "conformal set",
        "Classes named together so that the true one is among them for a promised share of sources like those of the "
        "validation set.",
    ),
    (
        "receptive field",
        "Part of the image on which one pixel of a network's last feature map can depend (theoretical), or does "
        "depend measurably (effective).",
    ),
    (
        "Holm correction",
        "Makes p-values larger when several questions are asked at once, so that chance alone gives a false answer "
        "to any of them in 5 of 100 reports.",
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
        "does not depend on the machine. Images per second do: they hold for the machine named under “How it was "
        "made”.",
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
_NAMED = 4
"""Networks named in a list, and pairs said in full in the answer."""
_MANY = 10
"""Networks from which on the first is said to have been picked from many."""


def answer(main: Comparison, data: DataSpec) -> list[str]:
    """Give the answer of a comparison in sentences, the verdict first.

    Parameters
    ----------
    main : Comparison
        The comparison.
    data : DataSpec
        The data of its runs, for what their labels allow.

    Returns
    -------
    list of str
        The best network and which others it can be told apart from; the pairs; the smallest difference that
        the test sources would most likely have shown; the ceiling that wrong labels set; what failed.
    """
    sound = [row for row in main.rows if row.status == "ok"]
    if not sound or "mpca" not in sound[0].metrics:
        return list(main.words)
    pairs = [pair for pair in main.pairs if pair.first == sound[0].network]
    tied = [pair for pair in pairs if not pair.separable]
    beaten = [pair.second for pair in pairs if pair.separable]
    said = [
        _verdict(sound[0], beaten, [pair.second for pair in tied]),
        *(f"{pair.words}." for pair in pairs[:_NAMED]),
    ]
    if len(pairs) > _NAMED:
        said.append(f"The other {len(pairs) - _NAMED} pairs with {sound[0].network} stand under “How sure?”.")
    if len(sound) >= _MANY:
        said.append(
            f"{sound[0].network} is the first of {len(sound)} networks on these very test sources: the best of many "
            "is likely to score lower on new ones, which its interval does not count."
        )
    said += _resolution(sound, tied or pairs, pairs)
    failed = [
        f"{row.network} {row.status}: {row.notes[0]}."
        for row in main.rows
        if row.status != "ok" and row.notes
    ]
    return [*said, ceiling(data), *failed]


def _resolution(
    sound: Sequence[Row], told: Sequence[PairedDifference], pairs: Sequence[PairedDifference]
) -> list[str]:
    """Say what difference would have been found, and what runs that did not learn or failed have to do with it."""
    known = [pair.resolvable for pair in told if numbers.is_number(pair.resolvable)]
    if not known:
        return []
    text = (
        f"With these {sound[0].n_test:,} test sources and runs a true difference of "
        f"{numbers.percent(max(known))} points or more would most likely have been found (in 80 of "
        "100 such tests); a smaller one may be there unseen."
    )
    lame = {row.network: row.notes[0].partition(": ")[0] for row in sound if row.notes}
    whole = [pair.resolvable for pair in pairs if not {pair.first, pair.second} & set(lame)]
    if whole and max(whole) < max(known):
        reasons = ", ".join(f"{name} ({note})" for name, note in lame.items())
        text += f" Without {reasons} it would be {numbers.percent(max(whole))} points."
    return [text]


def ceiling(data: DataSpec) -> str:
    """Say in a sentence which score wrong labels allow, or that it is not known."""
    name = data.test or data.name
    card = data_sets().get(name).card if name in data_sets() else None
    if card is None or not card.agreement:
        return f"What score wrong labels allow is not known for {name}: no other labels of its sources are at hand."
    allowed = label_ceiling(card.agreement, len(card.classes))
    return (
        f"The labels set a ceiling: those of {name} agree with {card.agreement_with} for "
        f"{numbers.percent(card.agreement, 0)} % of the sources. If both err as often, a network that is always right "
        f"would score about {numbers.percent(allowed.ceiling, 0)} %; if the others err more often, the ceiling is "
        "higher."
    )


def listed(names: Sequence[str]) -> str:
    """Join names, the later ones of many as their number.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b", "c"]), listed(list("abcdefg"))
    ('a', 'a, b and c', 'a, b, c, d and 3 others')
    """
    if len(names) > _NAMED + 1:
        names = [*names[:_NAMED], f"{len(names) - _NAMED} others"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _verdict(best: Row, beaten: Sequence[str], tied: Sequence[str]) -> str:
    """Say which network is best, and how sure that is."""
    estimate = best.metrics["mpca"]
    said = (
        f"{best.network} has the best mean per-class accuracy (MPCA), {numbers.percent(estimate.mean)} % "
        f"(95 % interval {numbers.percent(estimate.low)} to {numbers.percent(estimate.high)})"
    )
    if not beaten and not tied:
        return f"{said}."
    sources = f"with {best.n_test:,} test sources"
    if not beaten:
        return f"{said}, but {sources} it cannot be told apart from {listed(tied)}."
    said += f" and beats {listed(beaten)}"
    return f"{said}; {sources} it cannot be told apart from {listed(tied)}." if tied else f"{said}."


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
