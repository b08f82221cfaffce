"""Which label is right, where several annotators disagree: Dawid & Skene's model.

Each source has one true class. An annotator who looks at a source of true class c says word s with a chance of his
own, whatever the others say. Neither the classes nor the chances are known; both are estimated together. The words
of an annotator need not be the classes: one has no word for a class, another says of some that it is not certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError

Floats = NDArray[np.float64]
NO_CLASS = -1
"""Stands for the class that a word means, where it means none of them."""
_TINY = 1e-300


@dataclass(frozen=True)
class Annotator:
    """Who labels, and in which words.

    Attributes
    ----------
    name : str
        Its name.
    words : tuple of str
        All words that it may say.
    meant : tuple of int
        For each word the class that it means, -1 for none. Only the prior uses this: what a word is worth is learnt.
    """

    name: str
    words: tuple[str, ...]
    meant: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.words or len(self.words) != len(self.meant):
            raise SpecError(
                f"annotator {self.name}: found {len(self.words)} words and {len(self.meant)} meanings; legal are "
                "equally many, 1 or more"
            )


@dataclass(frozen=True)
class Belief:
    """What is believed before any vote: a Dirichlet prior, in votes that nobody gave.

    Attributes
    ----------
    votes : float
        For each annotator and each true class the number of imagined votes.
    right : float
        Share of them that are right; they are spread evenly over the words that mean the class, the others over all
        other words. Where no word means the class, all are spread evenly.
    sources : float
        Imagined sources of each class.

    Examples
    --------
    >>> Belief(votes=4, right=0.75).imagined(Annotator("a", ("FRI", "FRII", "odd"), (0, 1, -1)), 2).tolist()
    [[3.0, 0.5, 0.5], [0.5, 3.0, 0.5]]
    """

    votes: float = 4.0
    right: float = 0.7
    sources: float = 1.0

    def __post_init__(self) -> None:
        if not (self.votes >= 0 and 0 < self.right < 1 and self.sources >= 0):
            raise SpecError(
                f"votes, right, sources: found {self.votes}, {self.right}, {self.sources}; legal are 0 or more, "
                "between 0 and 1, 0 or more"
            )

    def imagined(self, annotator: Annotator, n_classes: int) -> Floats:
        """Give the imagined votes of an annotator, shape (classes, words)."""
        words = len(annotator.words)
        table = np.full((n_classes, words), self.votes / words)
        for c in range(n_classes):
            right = np.array(annotator.meant) == c
            if right.any() and not right.all():
                table[c, right] = self.votes * self.right / right.sum()
                table[c, ~right] = self.votes * (1 - self.right) / (~right).sum()
        return table


@dataclass(frozen=True)
class AnnotatorModel:
    """What was learnt of the annotators and of the sources.

    Attributes
    ----------
    annotators : tuple of Annotator
        Who labelled.
    prior : ndarray of float64, shape (k,)
        Share of each class.
    emission : tuple of ndarray of float64, shape (k, words)
        For each annotator the chance of each word, given the true class; rows sum to 1.
    posterior : ndarray of float64, shape (n, k)
        Probability of each class for each source; rows sum to 1.
    log_posterior : float
        Logarithm, to a constant, of the probability of votes and parameters, which the fit makes as large as it can.
    steps : int
        Steps that it took.
    """

    annotators: tuple[Annotator, ...]
    prior: Floats
    emission: tuple[Floats, ...]
    posterior: Floats
    log_posterior: float
    steps: int

    def confusion(self, annotator: int) -> Floats:
        """Give the chance that an annotator means a class, given the true one, shape (true, meant).

        Rows sum to less than 1 where it may say a word that means no class.
        """
        k, who = len(self.prior), self.annotators[annotator]
        table = np.zeros((k, k))
        for word, c in enumerate(who.meant):
            if c != NO_CLASS:
                table[:, c] += self.emission[annotator][:, word]
        return table


def fit_annotators(
    votes: Sequence[Floats],
    annotators: Sequence[Annotator],
    n_classes: int,
    belief: Belief | None = None,
    weights: Floats | None = None,
    tolerance: float = 1e-8,
    most_steps: int = 2000,
) -> AnnotatorModel:
    """Estimate how annotators err, and the class of each source, by expectation maximisation.

    Parameters
    ----------
    votes : sequence of ndarray of float64, shape (n, words)
        For each annotator how often it said each of its words of each source: a row of zeros if it did not look, more
        than one vote if it looked several times, shares of a vote if it is in doubt what it said.
    annotators : sequence of Annotator
        Who they are, in the same order.
    n_classes : int
        Number of classes k, 2 or more.
    belief : Belief, optional
        The prior; by default 4 imagined votes of each annotator on each class, 70 % of them right.
    weights : ndarray of float64, shape (n,), optional
        How often each source counts, e.g. of a bootstrap resample.
    tolerance : float
        The fit ends when a step gains less than this in `log_posterior`, divided by the number of votes.
    most_steps : int
        Largest number of steps.

    Returns
    -------
    AnnotatorModel
        Estimates (maximum a posteriori).

    Raises
    ------
    DataError
        If shapes do not fit, a vote is negative or not finite, or the fit does not end.
    SpecError
        If there are fewer than 2 classes, or a word means a class that is not there.

    Notes
    -----
    The first guess is the share of the votes that mean each class. The votes of one source are taken to be
    independent, given its class: annotators who copied each other must be one annotator here, and sources that
    are hard for everybody make all of them look better than they are. The result is a local maximum.

    References
    ----------
    Dawid & Skene 1979, Applied Statistics 28, 20.

    Examples
    --------
    >>> names = [Annotator(name, ("a", "b"), (0, 1)) for name in "xyz"]
    >>> said = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 1, 0], [1, 1, 1], [0, 0, 0]])
    >>> fit = fit_annotators([np.eye(2)[column] for column in said.T], names, 2)
    >>> fit.posterior.argmax(axis=1).tolist()
    [0, 0, 1, 1, 1, 0]
    >>> bool(fit.confusion(0)[0, 0] > fit.confusion(2)[0, 0])
    True
    """
    _check(votes, annotators, n_classes)
    n = len(votes[0])
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (n,) or not (w >= 0).all():
        raise DataError(f"weights {w.shape}: {n} numbers of 0 or more are needed")
    belief = belief or Belief()
    imagined = [belief.imagined(each, n_classes) for each in annotators]
    posterior = _first_guess(votes, annotators, n_classes)
    total = max(1.0, sum(float((each * w[:, None]).sum()) for each in votes))
    before = -np.inf
    for step in range(1, most_steps + 1):
        weighted = posterior * w[:, None]
        prior = _rows(weighted.sum(axis=0) + belief.sources)
        emission = tuple(
            _rows(weighted.T @ each + added) for each, added in zip(votes, imagined, strict=True)
        )
        joint = _log_joint(votes, prior, emission)
        evidence = np.logaddexp.reduce(joint, axis=1)
        posterior = np.exp(joint - evidence[:, None])
        believed = belief.sources * _log(prior).sum() + sum(
            float((added * _log(each)).sum()) for added, each in zip(imagined, emission, strict=True)
        )
        now = float((w * evidence).sum() + believed)
        if now - before < tolerance * total:
            return AnnotatorModel(tuple(annotators), prior, emission, posterior, now, step)
        before = now
    raise DataError(f"the fit of {len(annotators)} annotators has not ended after {most_steps} steps")


def class_posterior(votes: Sequence[Floats], prior: Floats, emission: Sequence[Floats]) -> Floats:
    """Give the probability of each class of sources, given the votes and a fitted model, shape (n, k).

    Parameters
    ----------
    votes : sequence of ndarray of float64, shape (n, words)
        As in `fit_annotators`.
    prior : ndarray of float64, shape (k,)
        Share of each class among such sources.
    emission : sequence of ndarray of float64, shape (k, words)
        Chance of each word given the class.

    Examples
    --------
    >>> emission = np.array([[0.8, 0.2], [0.2, 0.8]])
    >>> class_posterior([np.array([[1.0, 0.0]])], np.array([0.5, 0.5]), [emission]).round(3).tolist()
    [[0.8, 0.2]]
    """
    joint = _log_joint(votes, prior, emission)
    return np.asarray(np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None]))


def _check(votes: Sequence[Floats], annotators: Sequence[Annotator], n_classes: int) -> None:
    if n_classes < 2 or not annotators:
        raise SpecError(f"found {n_classes} classes, {len(annotators)} annotators; legal are 2, 1 or more")
    if len(votes) != len(annotators):
        raise DataError(f"found votes of {len(votes)} annotators; {len(annotators)} are named")
    for each, table in zip(annotators, votes, strict=True):
        wrong = [c for c in each.meant if not NO_CLASS <= c < n_classes]
        if wrong:
            raise SpecError(
                f"annotator {each.name}: a word means class {wrong[0]}; legal are -1 to {n_classes - 1}"
            )
        if table.shape != (len(votes[0]), len(each.words)):
            raise DataError(
                f"annotator {each.name}: votes have shape {table.shape}; {(len(votes[0]), len(each.words))} is needed"
            )
        bad = ~(np.isfinite(table) & (table >= 0)).all(axis=1)
        if bad.any():
            raise DataError(
                f"annotator {each.name}: row {int(bad.argmax())}: found {table[bad][0].tolist()}; legal are 0 or more"
            )


def _first_guess(votes: Sequence[Floats], annotators: Sequence[Annotator], n_classes: int) -> Floats:
    shares = np.zeros((len(votes[0]), n_classes))
    for each, table in zip(annotators, votes, strict=True):
        for word, c in enumerate(each.meant):
            if c != NO_CLASS:
                shares[:, c] += table[:, word]
    return np.where(shares.sum(axis=1, keepdims=True) > 0, _rows(shares), 1 / n_classes)


def _log_joint(votes: Sequence[Floats], prior: Floats, emission: Sequence[Floats]) -> Floats:
    joint = np.tile(_log(prior), (len(votes[0]), 1))
    for table, chance in zip(votes, emission, strict=True):
        joint += table @ _log(chance).T
    return joint


def _log(p: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(p, _TINY)))


def _rows(table: Floats) -> Floats:
    """Scale rows to sum 1; rows of zeros become even."""
    total = table.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(table, total, out=np.full_like(table, 1 / table.shape[-1]), where=total > 0))
