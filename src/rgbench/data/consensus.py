"""What all catalogues call each source, one vote for each team that looked, and what that amounts to.

Catalogues copy each other, so a label is counted for those who gave it first, its origin, and once, in however many
compilations it stands. `rgbench.data.votes` gathers them, `rgbench.comparison.label_consensus` estimates which label
is right; its answer ships beside this module: names of positions, words of the catalogues, probabilities.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import CLASSES, DataSet
from rgbench.data.own.angles import position_in_name
from rgbench.errors import DataError
from rgbench.escapes import csv_text

UNSURE = "?"
"""Follows a class of which the catalogue says itself that it is not certain."""
BETWEEN = "|"
"""Stands between the words of a vote that two compilations tell differently: each counts half."""
_UNSURE_CLASSES = tuple(f"{name}{UNSURE}" for name in CLASSES)
ORIGINS: dict[str, tuple[str, ...]] = {
    "CoNFIG": CLASSES,
    "FRCAT": CLASSES,
    "Proctor": CLASSES,
    "MiraBest": ("FRI", "FRII", "FRI?", "FRII?", "Bent", "Hybrid"),
    "unLRG": (*CLASSES, *_UNSURE_CLASSES),
}
"""Who labelled sources apart from the others, and the words that each of them has.

CoNFIG is Gendre, Best & Wall 2010; FRCAT is FR0CAT, FRICAT and FRIICAT, by one team; Proctor is the bent sources of
Proctor 2011; MiraBest is Miraghaei & Best 2017; unLRG is Ma et al. 2019, by eye.
"""
OTHER = "unLRG"
"""The catalogue whose classes are set beside a data set's: of all, it alone was labelled apart and has all classes."""
_SHIPPED = "consensus.csv"
DECIMALS = 4
"""Decimals of probabilities in the table."""
SHARP = 0.95
"""Probability from which the class of a source counts as known."""
VOTES_NEEDED = 2
"""Origins that must name the class of a source for it to count as known."""
IMAGE_ID = "image_id"
"""Column of a data set with the names that its images have in first-galaxy-data, where its sources have others."""


@dataclass(frozen=True)
class Votes:
    """What each origin calls each source; row i of every column is one source on the sky.

    Attributes
    ----------
    source_id : ndarray of str, shape (n,)
        Unique names, made of the positions.
    ra, dec : ndarray of float64, shape (n,)
        Position in degrees, ICRS.
    image : ndarray of str, shape (n,)
        Name of the source in first-galaxy-data, "" where it is not there.
    words : dict of str to ndarray of str
        For each of `ORIGINS` its word on each source: "" where it has none, "FRI|Bent" where compilations
        tell it differently.
    """

    source_id: NDArray[Any]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    image: NDArray[Any]
    words: dict[str, NDArray[Any]]

    def __post_init__(self) -> None:
        for origin, legal in ORIGINS.items():
            for row, cell in enumerate(self.words[origin].tolist()):
                for word in cell.split(BETWEEN) if cell else ():
                    if word not in legal:
                        raise DataError(
                            f"votes: source {self.source_id[row]}, column {origin}: found {word!r}; legal are "
                            f"{', '.join(legal)}"
                        )

    def __len__(self) -> int:
        return len(self.source_id)

    @property
    def number(self) -> NDArray[np.int64]:
        """Number of origins that labelled each source, shape (n,)."""
        voted = [self.words[origin] != "" for origin in ORIGINS]
        return np.asarray(np.sum(voted, axis=0), dtype=np.int64)

    def counts(self, origin: str) -> NDArray[np.float64]:
        """Give the vote of an origin as shares of its words, shape (n, words); rows without vote are 0."""
        legal = ORIGINS[origin]
        shares = np.zeros((len(self), len(legal)))
        for row, cell in enumerate(self.words[origin].tolist()):
            words = cell.split(BETWEEN) if cell else []
            for word in words:
                shares[row, legal.index(word)] += 1 / len(words)
        return shares

    def classes(self, origin: str) -> NDArray[np.int64]:
        """Give the class that an origin's vote means, as an index into the common classes, shape (n,).

        It is -1 where there is no vote, one for a hybrid, or two that contradict each other.
        """
        meant = [class_of(cell) if cell else -1 for cell in self.words[origin].tolist()]
        return np.array(meant, dtype=np.int64)


@dataclass(frozen=True)
class Consensus:
    """Votes, and how likely each class is given all of them.

    Attributes
    ----------
    votes : Votes
        What the catalogues say.
    posterior : ndarray of float64, shape (n, 4)
        Probability of each of the common classes; rows sum to 1.
    """

    votes: Votes
    posterior: NDArray[np.float64]

    @property
    def entropy(self) -> NDArray[np.float64]:
        """Entropy of the posterior in bits, shape (n,): 0 where the class is certain, 2 where nothing is known."""
        p = np.where(self.posterior > 0, self.posterior, 1.0)
        return np.asarray(np.abs(np.sum(p * np.log2(p), axis=1)))

    @property
    def label(self) -> NDArray[np.int64]:
        """Most probable class, as an index into the common classes, shape (n,)."""
        return np.asarray(self.posterior.argmax(axis=1), dtype=np.int64)

    @property
    def sharp(self) -> NDArray[np.bool_]:
        """Whether a class has a probability of 0.95 or more, and two origins or more name it, shape (n,)."""
        named = np.sum([self.votes.classes(origin) == self.label for origin in ORIGINS], axis=0)
        return np.asarray((self.posterior.max(axis=1) >= SHARP) & (named >= VOTES_NEEDED))


@dataclass(frozen=True)
class ClassAgreement:
    """How often another catalogue gives the sources of a class the same class.

    Attributes
    ----------
    name : str
        The class, by the labels of a data set.
    counts : dict of str to int
        What the other catalogue calls those of its sources that it holds too, by class.
    """

    name: str
    counts: dict[str, int]

    @property
    def n(self) -> int:
        """Number of its sources that both hold."""
        return sum(self.counts.values())

    @property
    def same(self) -> int:
        """Number of those to which both give this class."""
        return self.counts[self.name]

    @property
    def share(self) -> float:
        """Share of those; NaN if both hold no source of the class."""
        return self.same / self.n if self.n else float("nan")

    @property
    def elsewhere(self) -> tuple[tuple[str, int], ...]:
        """The other classes that it gives them, the most frequent first."""
        others = [(name, n) for name, n in self.counts.items() if n and name != self.name]
        return tuple(sorted(others, key=lambda each: -each[1]))


def class_agreement(dataset: DataSet, origin: str = OTHER) -> tuple[ClassAgreement, ...]:
    """Count, class by class, what another catalogue calls the sources of a data set; none where it holds none.

    Parameters
    ----------
    dataset : DataSet
        A set with sources of first-galaxy-data, under their names there or with these names in `image_id`.
    origin : str
        The other catalogue, one of `ORIGINS`.

    Examples
    --------
    >>> import rgbench
    >>> found = {each.name: each for each in class_agreement(rgbench.load_data("first-galaxy-data"))}
    >>> [(found[name].same, found[name].n) for name in ("FRI", "FRII")]
    [(77, 256), (342, 378)]
    """
    if not dataset.card.votes or set(dataset.classes) != set(CLASSES):
        return ()
    votes, catalogue = read_consensus().votes, dataset.catalogue
    said = dict(zip(votes.image.tolist(), votes.classes(origin).tolist(), strict=True))
    names = catalogue.extra.get(IMAGE_ID, catalogue.source_id)
    other = np.array([said.get(name, -1) if name else -1 for name in names.tolist()])
    found = []
    for k, name in enumerate(dataset.classes):
        own = other[(catalogue.label == k) & (other >= 0)]
        found.append(
            ClassAgreement(name, {each: int(np.sum(own == CLASSES.index(each))) for each in dataset.classes})
        )
    return tuple(found) if any(each.n for each in found) else ()


def class_of(cell: str) -> int:
    """Give the common class that a vote means, -1 for none or several.

    Examples
    --------
    >>> [class_of(cell) for cell in ("FRI?", "Bent", "Hybrid", "FRI|Compact", "FRII|FRII?")]
    [1, 3, -1, -1, 2]
    """
    meant = {word.removesuffix(UNSURE) for word in cell.split(BETWEEN)}
    name = meant.pop() if len(meant) == 1 else ""
    return CLASSES.index(name) if name in CLASSES else -1


def read_consensus(path: Path | str | None = None) -> Consensus:
    """Read a table of votes and probabilities, by default the one that ships.

    Raises
    ------
    DataError
        If a column is missing, or a cell is not legal; the message names file and row.

    Examples
    --------
    >>> consensus = read_consensus()
    >>> consensus.posterior.shape[1], int((consensus.votes.image != "").sum())
    (4, 2158)
    """
    return _shipped() if path is None else _parse(str(path), Path(path).read_text(encoding="utf8"))


@cache
def _shipped() -> Consensus:
    return _parse(_SHIPPED, (resources.files(__package__) / _SHIPPED).read_text(encoding="ascii"))


def _parse(name: str, text: str) -> Consensus:
    rows = list(csv.DictReader(io.StringIO(text)))
    missing = [key for key in _columns() if not rows or key not in rows[0]]
    if missing:
        raise DataError(f"{name}: has no column {missing[0]!r}; needed are {', '.join(_columns())}")
    position = np.array([position_in_name(row["source_id"]) for row in rows])
    votes = Votes(
        np.array([row["source_id"] for row in rows]),
        position[:, 0],
        position[:, 1],
        np.array([row["source_id"] if row["image"] == "1" else "" for row in rows]),
        {origin: np.array([row[origin] for row in rows]) for origin in ORIGINS},
    )
    return Consensus(votes, np.array([_probabilities(name, row) for row in rows]))


def consensus_csv(consensus: Consensus) -> str:
    """Give the table as CSV.

    Columns are `source_id`, whose name tells the position; `image`, 1 where first-galaxy-data has one; the word of each
    origin; `n_votes`; the probability of each class, with 4 decimals; `entropy_bits`.
    """
    votes = consensus.votes
    rows: list[list[Any]] = [[*_columns(), "n_votes", "entropy_bits"]]
    for i, (number, entropy) in enumerate(zip(votes.number, consensus.entropy, strict=True)):
        words = [votes.words[origin][i] for origin in ORIGINS]
        p = [f"{value:.{DECIMALS}f}" for value in consensus.posterior[i]]
        image = int(votes.image[i] != "")
        rows.append([votes.source_id[i], image, *words, *p, number, f"{entropy:.{DECIMALS}f}"])
    return csv_text(rows)


def soft_labels(dataset: DataSet) -> NDArray[np.float64]:
    """Give the probability of each class for the sources of a data set, given the votes of all catalogues.

    Parameters
    ----------
    dataset : DataSet
        A set with the sources of first-galaxy-data, or some of them, under their names there or with these names
        in `image_id`.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        Rows in the order of the data set, columns in that of its classes; rows sum to 1.

    Raises
    ------
    DataError
        If the set has other classes, or a source that the table of votes does not have; the message names it.

    Notes
    -----
    The probabilities know the published label of every source, test sources included: to train with the rows of
    training sources is what they are for, to score with them is not the published score.
    """
    rows = _rows(dataset, np.arange(len(dataset.catalogue)))
    return read_consensus().posterior[rows][:, _order(dataset)]


def training_targets(dataset: DataSet, train: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the probability of each class that a network is trained on, where votes count and not one label.

    Parameters
    ----------
    dataset : DataSet
        A set with sources of first-galaxy-data, under their names there or with their names in `image_id`.
    train : ndarray of int64
        Its training sources, as an index.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        Rows in the order of the data set. Training sources with two votes or more have the probabilities of
        `soft_labels`; all other sources have 1 for their published class.

    Raises
    ------
    DataError
        If the set has other classes, or a training source that the table of votes does not have.

    Notes
    -----
    Of a source with one vote the model knows no more than which catalogue gave it: all FRII of CoNFIG would have the
    same probabilities. That says nothing of the source, so that its published class stays.

    Examples
    --------
    >>> from rgbench.data.sets import load_data
    >>> dataset = load_data("first-galaxy-data")
    >>> p = training_targets(dataset, np.flatnonzero(dataset.splits["published"] == "train"))
    >>> int((p.max(axis=1) < 1).sum())
    687
    """
    consensus, rows = read_consensus(), _rows(dataset, train)
    label = dataset.catalogue.label
    targets = np.eye(len(dataset.classes))[label] * (label >= 0)[:, None]
    several = consensus.votes.number[rows] >= VOTES_NEEDED
    targets[train[several]] = consensus.posterior[rows[several]][:, _order(dataset)]
    return targets


def _rows(dataset: DataSet, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the rows of some sources of a data set in the table of votes."""
    if set(dataset.classes) != set(CLASSES):
        raise DataError(
            f"{dataset.card.name} has the classes {', '.join(dataset.classes)}; soft labels are of "
            f"{', '.join(CLASSES)}"
        )
    row = {name: i for i, name in enumerate(read_consensus().votes.source_id.tolist())}
    names = dataset.catalogue.extra.get(IMAGE_ID, dataset.catalogue.source_id)[chosen].tolist()
    unknown = [name for name in names if name not in row]
    if unknown:
        raise DataError(
            f"{dataset.card.name}: {len(unknown)} sources are not in the table of votes, e.g. {unknown[0]!r}; it has "
            "those of first-galaxy-data"
        )
    return np.array([row[name] for name in names], dtype=np.int64)


def _order(dataset: DataSet) -> list[int]:
    """Give the columns of the table in the order of a data set's classes."""
    return [CLASSES.index(name) for name in dataset.classes]


def _columns() -> list[str]:
    return ["source_id", "image", *ORIGINS, *(f"p_{name}" for name in CLASSES)]


def _probabilities(name: str, row: dict[str, str]) -> NDArray[np.float64]:
    try:
        p = np.array([float(row[f"p_{c}"]) for c in CLASSES])
    except ValueError as error:
        raise DataError(f"{name}: source {row['source_id']}: {error}; probabilities are needed") from error
    if not ((p >= 0).all() and abs(p.sum() - 1) < len(CLASSES) * 10.0**-DECIMALS):
        raise DataError(f"{name}: source {row['source_id']}: {p.tolist()} are no probabilities that sum to 1")
    return np.asarray(p / p.sum())
