"""Runs as members of an ensemble: what they said of the sources of one side, and which belong together.

Symbols: m members, n sources, k classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from rgbench.errors import DataError, SpecError
from rgbench.store.store import RunRecord

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Member:
    """A run that takes part."""

    network: str
    seed: int

    @property
    def name(self) -> str:
        """Network and seed."""
        return f"{self.network}, seed {self.seed}"


@dataclass(frozen=True)
class Side:
    """What members said of the sources of one side.

    Attributes
    ----------
    split : {"validation", "test"}
        Which side.
    members : tuple of Member
        The runs.
    source_id : ndarray of str, shape (n,)
        The sources.
    y : ndarray of int64, shape (n,)
        Their true classes.
    scores : ndarray of float64, shape (m, n, k)
        Log-probabilities; logits are made such when the side is made.
    """

    split: str
    members: tuple[Member, ...]
    source_id: NDArray[Any]
    y: NDArray[np.int64]
    scores: Floats

    def __post_init__(self) -> None:
        m, n = len(self.members), len(self.source_id)
        if self.scores.ndim != 3 or self.scores.shape[:2] != (m, n) or self.y.shape != (n,) or not m * n:
            raise DataError(
                f"{m} members, {n} sources, labels of shape {self.y.shape} and scores of shape "
                f"{self.scores.shape} do not fit; (n,) and (members, n, classes) are needed, none of them empty"
            )
        bad = [x.name for x, s in zip(self.members, self.scores, strict=True) if not np.isfinite(s).all()]
        if bad:
            raise DataError(f"{bad[0]}: its logits are not finite; a run that diverged cannot be a member")
        object.__setattr__(self, "scores", log_softmax(self.scores.astype(np.float64), axis=2))

    def take(self, index: Sequence[int]) -> Side:
        """Give the side of some of the members."""
        return replace(self, members=tuple(self.members[i] for i in index), scores=self.scores[list(index)])


@dataclass(frozen=True)
class Group:
    """Members that make a natural ensemble.

    Attributes
    ----------
    kind : {"seeds", "networks", "everything"}
        All seeds of one network; one seed of all networks; all runs.
    name : str
        E.g. "convxpress x 3 seeds".
    index : tuple of int
        Its members, as indices into those of a side.
    """

    kind: str
    name: str
    index: tuple[int, ...]


def side_of(records: Sequence[RunRecord], split: str, model: str = "best") -> Side:
    """Gather what runs said of one side, sources in sorted order.

    Parameters
    ----------
    records : sequence of RunRecord
        Complete runs.
    split : {"validation", "test"}
        The side.
    model : {"best", "final"}
        Which model of each run.

    Raises
    ------
    SpecError
        If there is no run, or runs predicted different sources (a split per seed), labels or classes.
    DataError
        If a run's logits are not finite.
    """
    if not records:
        raise SpecError("an ensemble needs runs, found none")
    tables = []
    for record in records:
        if record.predictions is None:
            raise SpecError(f"run {record.run_id}: has no predictions, so it cannot be a member")
        own = record.predictions.select(split, model)
        tables.append(own.take(np.argsort(own.source_id)))
    first = tables[0]
    for record, own in zip(records, tables, strict=True):
        same = own.classes == first.classes and np.array_equal(own.source_id, first.source_id)
        if not (same and np.array_equal(own.label, first.label)):
            raise SpecError(
                f"runs {records[0].run_id} and {record.run_id} differ in their {split} sources, labels or "
                "classes; an ensemble needs members of one split"
            )
    members = tuple(Member(r.spec.network.name, r.spec.seed) for r in records)
    scores = np.stack([own.log_probabilities() for own in tables])
    return Side(split, members, first.source_id, first.label, scores)


def groups(members: Sequence[Member]) -> tuple[Group, ...]:
    """Find the ensembles of all seeds of a network, of all networks of a seed, and of everything.

    Examples
    --------
    >>> runs = [Member(network, seed) for network in ("a", "b") for seed in (1, 2)]
    >>> [(group.name, group.index) for group in groups(runs)][:3]
    [('a, 2 seeds', (0, 1)), ('b, 2 seeds', (2, 3)), ('2 networks, seed 1', (0, 2))]
    """
    found = []
    for network in dict.fromkeys(member.network for member in members):
        index = tuple(i for i, member in enumerate(members) if member.network == network)
        found.append(Group("seeds", f"{network}, {len(index)} seeds", index))
    for seed in dict.fromkeys(member.seed for member in members):
        index = tuple(i for i, member in enumerate(members) if member.seed == seed)
        found.append(Group("networks", f"{len(index)} networks, seed {seed}", index))
    kept = [group for group in found if 1 < len(group.index) < len(members)]
    everything = Group("everything", f"all {len(members)} runs", tuple(range(len(members))))
    return (*kept, everything) if len(members) > 1 else ()
