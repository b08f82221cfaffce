"""Which labels are right, by the votes of all catalogues; how often catalogues agree, and how each of them errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import CLASSES, Catalogue
from rgbench.data.consensus import IMAGE_ID, ORIGINS, Consensus, Votes, class_of, read_consensus
from rgbench.errors import DataError, SpecError
from rgbench.seeds import numpy_generator
from rgbench.statistics.annotators import (
    Annotator,
    AnnotatorModel,
    Belief,
    class_posterior,
    fit_annotators,
)
from rgbench.statistics.significance import Interval
from rgbench.store.tables import Predictions

Floats = NDArray[np.float64]
ANNOTATORS = (("CoNFIG",), ("FRCAT", "Proctor"), ("MiraBest",), ("unLRG",))
"""The origins that share one way of erring.

FRICAT, FRIICAT, FR0CAT and Proctor's bent sources are catalogues of one class each: in which of them a source is, is
the whole statement. So they are one annotator, who may vote twice.
"""
BELIEF = Belief(votes=2.0, right=0.7)
"""The prior that the shipped table was made with."""
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Agreement:
    """How two origins label the sources that both labelled.

    Attributes
    ----------
    first, second : str
        The origins.
    matrix : ndarray of int64, shape (4, 4)
        Sources by the class of the first (rows) and of the second. Hybrids, and votes that contradict themselves,
        are not counted.
    """

    first: str
    second: str
    matrix: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of sources."""
        return int(self.matrix.sum())

    @property
    def same(self) -> int:
        """Number of sources with the same class."""
        return int(np.trace(self.matrix))


@dataclass(frozen=True)
class Reached:
    """A consensus and the model behind it.

    Attributes
    ----------
    consensus : Consensus
        Votes and probabilities.
    model : AnnotatorModel
        Fitted to the sources with two votes or more.
    origins : tuple of tuple of str
        The origins of each annotator of the model.
    """

    consensus: Consensus
    model: AnnotatorModel
    origins: tuple[tuple[str, ...], ...]


def reach_consensus(
    votes: Votes, belief: Belief = BELIEF, origins: Sequence[tuple[str, ...]] = ANNOTATORS
) -> Reached:
    """Estimate the class of each source from the votes of all catalogues.

    Parameters
    ----------
    votes : Votes
        As from `rgbench.data.votes.gather_votes`, or of the shipped table.
    belief : Belief
        The prior on how annotators err.
    origins : sequence of tuple of str
        Which origins are one annotator.

    Returns
    -------
    Reached
        Probabilities for every source.

    Raises
    ------
    SpecError
        If origins of one annotator have other words.

    Notes
    -----
    The model of Dawid & Skene is fitted to the sources with two votes or more: one vote alone tells nothing on
    how often its giver errs. To sources with one vote it is then applied, with all classes equally likely
    beforehand: what catalogues alone contain is not what they share with others.

    Examples
    --------
    >>> reached = reach_consensus(read_consensus().votes)
    >>> bool(reached.consensus.sharp.sum() > 500)
    True
    """
    annotators, tables = _tables(votes, origins)
    several = votes.number > 1
    model = fit_annotators([each[several] for each in tables], annotators, len(CLASSES), belief)
    posterior = np.empty((len(votes), len(CLASSES)))
    posterior[several] = model.posterior
    even = np.full(len(CLASSES), 1 / len(CLASSES))
    posterior[~several] = class_posterior([each[~several] for each in tables], even, model.emission)
    return Reached(Consensus(votes, posterior), model, tuple(origins))


def agreements(votes: Votes) -> tuple[Agreement, ...]:
    """Count, for each two origins, the sources that both labelled by what they call them.

    Examples
    --------
    >>> [(a.first, a.second, a.same, a.n) for a in agreements(read_consensus().votes) if a.n > 200]
    [('MiraBest', 'unLRG', 596, 1026)]
    """
    found = []
    for first, second in combinations(ORIGINS, 2):
        rows, columns = votes.classes(first), votes.classes(second)
        both = (rows >= 0) & (columns >= 0)
        matrix = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
        np.add.at(matrix, (rows[both], columns[both]), 1)
        found.append(Agreement(first, second, matrix))
    return tuple(found)


@dataclass(frozen=True)
class Trust:
    """How far labels and annotators can be trusted, with bootstrap intervals for other sources.

    Attributes
    ----------
    ceiling : Interval
        Expected share of published labels that are right: what a network that is always right would score.
    n : int
        Sources that it is of.
    confusion : dict of str to tuple of (ndarray, ndarray, ndarray), each of shape (4, 4)
        For each annotator, by its origins, the chance that it means a class (columns) given the true one (rows):
        estimate, lower and upper bound.
    """

    ceiling: Interval
    n: int
    confusion: dict[str, tuple[Floats, Floats, Floats]]


def trust(
    reached: Reached,
    published: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    belief: Belief = BELIEF,
    resamples: int = 200,
    confidence: float = 0.95,
) -> Trust:
    """Estimate how many published labels are right, and how annotators err, with intervals.

    Parameters
    ----------
    reached : Reached
        The consensus.
    published : ndarray of int64, shape (n,)
        The published label of each source of its table, as an index into the common classes; -1 for none.
    chosen : ndarray of bool, shape (n,)
        The sources whose labels are asked for; those with one vote are left out.
    belief : Belief
        The prior.
    resamples : int
        Number of bootstrap resamples of sources, each fitted anew; 2 or more.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    DataError
        If no source with two votes or more and a published label is chosen.
    SpecError
        If the confidence is out of range or there are fewer than 2 resamples.

    Notes
    -----
    A published label is itself one of the votes. The interval holds what chance does to the choice of sources, not
    what the model does: see docs/labels.md.
    """
    if not 0 < confidence < 1 or resamples < 2:
        raise SpecError(
            f"confidence, resamples: found {confidence}, {resamples}; legal are 0 to 1, 2 or more"
        )
    votes = reached.consensus.votes
    several = votes.number > 1
    label, asked = published[several], (chosen & (published >= 0))[several]
    if not asked.any():
        raise DataError("no source with two votes or more and a published label is chosen")
    annotators, tables = _tables(votes, reached.origins)
    tables = [each[several] for each in tables]
    own = np.where(asked, label, 0)

    def measured(model: AnnotatorModel, weights: Floats) -> tuple[float, list[Floats]]:
        right = model.posterior[np.arange(len(own)), own]
        share = float(np.average(right, weights=weights * asked))
        return share, [model.confusion(i) for i in range(len(annotators))]

    generator = numpy_generator(0, "bootstrap")
    drawn: list[tuple[float, list[Floats]]] = []
    n = len(own)
    while len(drawn) < resamples:
        weights = generator.multinomial(n, np.full(n, 1 / n)).astype(np.float64)
        if (weights * asked).any():
            model = fit_annotators(tables, annotators, len(CLASSES), belief, weights, _TOLERANCE)
            drawn.append(measured(model, weights))
    share, confusion = measured(reached.model, np.ones(n))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile([each for each, _ in drawn], tails)
    bounds = [np.quantile([tables[i] for _, tables in drawn], tails, axis=0) for i in range(len(annotators))]
    return Trust(
        Interval(share, float(low), float(high), confidence),
        int(asked.sum()),
        {
            who.name: (estimate, lower, upper)
            for who, estimate, (lower, upper) in zip(annotators, confusion, bounds, strict=True)
        },
    )


def published_labels(votes: Votes, source_id: NDArray[Any], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the label that a catalogue gives each source of the table, by name; -1 where it has none, shape (n,)."""
    known = dict(zip(source_id.tolist(), label.tolist(), strict=True))
    return np.array([known.get(name, -1) for name in votes.source_id.tolist()], dtype=np.int64)


def known_classes(catalogue: Catalogue | None = None) -> dict[str, str]:
    """Give the class of each source of first-consensus, by its name.

    Parameters
    ----------
    catalogue : Catalogue, optional
        Of a data set that shows images of first-galaxy-data under other names, such as lrg-first: then its names
        are given. Left out: the names of first-galaxy-data.

    Examples
    --------
    >>> known = known_classes()
    >>> len(known), known["J074708.40+171727.6"]
    (535, 'FRI')
    """
    consensus = read_consensus()
    known = consensus.sharp & (consensus.votes.image != "")
    names = consensus.votes.source_id[known].tolist()
    found = {name: CLASSES[c] for name, c in zip(names, consensus.label[known].tolist(), strict=True)}
    if catalogue is None:
        return found
    images = catalogue.extra.get(IMAGE_ID, catalogue.source_id).tolist()
    named = zip(catalogue.source_id.tolist(), images, strict=True)
    return {source: found[image] for source, image in named if image in found}


def on_consensus(predictions: Predictions, known: Mapping[str, str] | None = None) -> Predictions:
    """Give the test predictions of a run on the sources whose class is known, with that class as their label.

    Parameters
    ----------
    predictions : Predictions
        Of a run on first-galaxy-data, in whose names the sources are looked up.
    known : mapping of str to str, optional
        Class of each known source, by its name in the run; left out, that of `known_classes`.

    Returns
    -------
    Predictions
        The rows of the test side that are sources of first-consensus. Training sources were there never.

    Raises
    ------
    DataError
        If the run has other classes, or no test source of it is in first-consensus.
    """
    if set(predictions.classes) != set(CLASSES):
        raise DataError(
            f"run {predictions.run_id} has the classes {', '.join(predictions.classes)}; the consensus is of "
            f"{', '.join(CLASSES)}"
        )
    known = known_classes() if known is None else known
    rows = (predictions.split == "test") & np.isin(predictions.source_id, list(known))
    if not rows.any():
        raise DataError(f"run {predictions.run_id}: none of its test sources is in first-consensus")
    held = predictions.take(rows)
    label = [predictions.classes.index(known[name]) for name in held.source_id.tolist()]
    return replace(held, label=np.array(label, dtype=np.int64))


def _tables(votes: Votes, origins: Sequence[tuple[str, ...]]) -> tuple[tuple[Annotator, ...], list[Floats]]:
    """Give the annotators and, for each, its votes, shape (n, words)."""
    annotators, tables = [], []
    for names in origins:
        words = {ORIGINS[name] for name in names}
        if len(words) != 1:
            raise SpecError(f"origins {', '.join(names)}: one annotator needs origins with the same words")
        legal = words.pop()
        annotators.append(Annotator(" and ".join(names), legal, tuple(class_of(word) for word in legal)))
        tables.append(np.sum([votes.counts(name) for name in names], axis=0))
    return tuple(annotators), tables
