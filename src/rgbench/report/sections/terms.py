"""The terms of the report, explained."""

from __future__ import annotations

from rgbench import numbers
from rgbench.report.blocks import Section, Terms
from rgbench.report.material import Runs


def section(runs: Runs) -> Section:
    """Explain the terms; the metric compared first, if it is not among them."""
    card = runs.card
    named = {name.casefold() for term, _ in TERMS for name in term.split(", ")}
    own = ((numbers.capital(card.short), f"{numbers.capital(card.definition)}."),)
    terms = TERMS if card.short.casefold() in named else (*own, *TERMS)
    return Section(
        "terms",
        "Terms",
        "What the words mean",
        finding="MPCA, interval, seed, MAC and other terms, explained.",
        blocks=(Terms(terms),),
    )


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
        "Range of the mean that the test sources and, from two runs on, the seeds or folds allow: of 100 such "
        "intervals, about 95 hold the true value, for new sources like these and new seeds (tried by simulation). "
        "Intervals of two networks may overlap although one is clearly better: see paired differences.",
    ),
    (
        "paired difference",
        "Both networks answer for the same test sources, so the hard sources cancel; this is the way to tell "
        "whether one is better. Its interval counts new seeds too. The p-value is corrected for all pairs that are "
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
        "correction for several pairs",
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
        "Multiply-accumulate operations for one answer, all its views included, in convolutions and dense layers: "
        "a cost that does not depend on the machine. Images per second do: they hold for the machine named under "
        "“How it was made”.",
    ),
    (
        "confusion matrix",
        "Rows are true classes, columns predicted ones; counts are summed over the seeds, percentages are of "
        "a row.",
    ),
)
"""Terms of the report and what they mean."""
