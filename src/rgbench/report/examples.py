"""Which sources are worth looking at: surest hits, surest misses, and those that all networks miss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.store.store import RunRecord


@dataclass(frozen=True)
class Example:
    """One source of the test set as some runs see it.

    Attributes
    ----------
    source_id : str
        The source.
    truth, predicted : str
        Its class, and the one with the largest probability averaged over the runs.
    probability : float
        That mean probability; NaN where only classes are known.
    agreeing, runs : int
        Runs whose own answer is `predicted`, out of those that tested the source.
    """

    source_id: str
    truth: str
    predicted: str
    probability: float
    agreeing: int
    runs: int

    @property
    def right(self) -> bool:
        """Whether the predicted class is the true one."""
        return self.predicted == self.truth


@dataclass(frozen=True)
class HardSource:
    """A source that most runs get wrong; its label may deserve a second look.

    Attributes
    ----------
    source_id, truth : str
        The source and its class.
    wrong, runs : int
        Runs that miss it, out of those that tested it.
    answers : tuple of (str, int)
        The classes that runs gave and how often, commonest first.
    """

    source_id: str
    truth: str
    wrong: int
    runs: int
    answers: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class _Votes:
    """Test predictions of some runs, a row per source and run."""

    classes: tuple[str, ...]
    names: NDArray[Any]
    source: NDArray[np.int64]
    label: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    stated: bool
    """Whether they are probabilities; where a run gave classes only they are votes."""


def examples(records: Sequence[RunRecord], model: str) -> list[Example]:
    """Average the runs' class probabilities for every labelled test source.

    Parameters
    ----------
    records : sequence of RunRecord
        Runs of one network; those without predictions are passed over.
    model : {"best", "final"}
        Which model of each run.

    Returns
    -------
    list of Example
        The sources, the surest answers first.
    """
    votes = _collect(records, model)
    if votes is None:
        return []
    runs = np.bincount(votes.source)
    mean = np.zeros((len(votes.names), len(votes.classes)))
    np.add.at(mean, votes.source, votes.probabilities)
    mean /= runs[:, None]
    answer = mean.argmax(axis=1)
    agree = np.bincount(votes.source, votes.probabilities.argmax(axis=1) == answer[votes.source])
    label = np.zeros(len(votes.names), dtype=np.int64)
    label[votes.source] = votes.label
    order = np.argsort(-mean.max(axis=1), kind="stable")
    return [
        Example(
            source_id=str(votes.names[i]),
            truth=votes.classes[label[i]],
            predicted=votes.classes[answer[i]],
            probability=float(mean[i, answer[i]]) if votes.stated else float("nan"),
            agreeing=int(agree[i]),
            runs=int(runs[i]),
        )
        for i in order
    ]


def surest_right(found: Sequence[Example], number: int) -> list[Example]:
    """Give the surest right answers, taking the classes in turn so that each is seen."""
    turns = Counter[str]()
    ranked = []
    for place, example in enumerate(found):
        if example.right:
            ranked.append((turns[example.truth], place, example))
            turns[example.truth] += 1
    return [example for _, _, example in sorted(ranked, key=lambda item: item[:2])[:number]]


def surest_wrong(found: Sequence[Example], number: int) -> list[Example]:
    """Give the surest wrong answers."""
    return [example for example in found if not example.right][:number]


def hardest(records: Sequence[RunRecord], model: str, number: int) -> list[HardSource]:
    """Give the test sources that more than half of all runs miss, most often missed first."""
    votes = _collect(records, model)
    if votes is None:
        return []
    answer = votes.probabilities.argmax(axis=1)
    runs = np.bincount(votes.source)
    wrong = np.bincount(votes.source, answer != votes.label)
    chance = votes.probabilities[np.arange(len(answer)), votes.label]
    belief = np.bincount(votes.source, chance) / runs
    found = [i for i in np.lexsort((belief, -wrong / runs)) if wrong[i] > runs[i] / 2][:number]
    return [_hard(votes, answer, i, int(wrong[i])) for i in found]


def _hard(votes: _Votes, answer: NDArray[np.int64], i: int, wrong: int) -> HardSource:
    rows = votes.source == i
    tally = Counter(votes.classes[k] for k in answer[rows])
    truth = votes.classes[votes.label[rows][0]]
    return HardSource(str(votes.names[i]), truth, wrong, int(rows.sum()), tuple(tally.most_common()))


def _collect(records: Sequence[RunRecord], model: str) -> _Votes | None:
    tables = [r.predictions.select(split="test", model=model) for r in records if r.predictions is not None]
    tables = [t.take((t.label >= 0) & np.isfinite(t.logits).all(axis=1)) for t in tables]
    tables = [t for t in tables if len(t)]
    if not tables:
        return None
    names, source = np.unique(np.concatenate([t.source_id for t in tables]), return_inverse=True)
    return _Votes(
        classes=tables[0].classes,
        names=names,
        source=source.astype(np.int64),
        label=np.concatenate([t.label for t in tables]),
        probabilities=np.concatenate([t.probabilities() for t in tables]),
        stated=all(t.has_probabilities for t in tables),
    )
