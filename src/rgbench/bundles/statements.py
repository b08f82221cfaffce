"""What networks were trained on: what their runs tell of it, and what whoever makes a bundle states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rgbench.bundles.manifest import Statement
from rgbench.errors import DataError, SpecError
from rgbench.numbers import counted, listed
from rgbench.spec import ScoredSpec
from rgbench.store.store import RunRecord
from rgbench.tasks.catalogue import Task

External = Literal["no", "yes", "not known"]


@dataclass(frozen=True)
class Stated:
    """What somebody states of networks, by their names, beyond what the runs tell.

    Attributes
    ----------
    by : str
        Who states it.
    external : mapping of str to str
        What beside the training side of the data set was used, in words; "no" for nothing.
    trained_on : mapping of str to str
        What the network was trained on, in words.
    """

    by: str
    external: Mapping[str, str] = field(default_factory=dict)
    trained_on: Mapping[str, str] = field(default_factory=dict)


def statements(
    records: Sequence[RunRecord], stated: Stated, task: Task | None = None
) -> tuple[Statement, ...]:
    """State what each network of some runs was trained on.

    Parameters
    ----------
    records : sequence of RunRecord
        Complete runs.
    stated : Stated
        Who states it, and what more.
    task : Task, optional
        Whose data are no external ones.

    Raises
    ------
    SpecError
        If nobody states it, a network is not among the runs, or the runs contradict what is stated.
    """
    if not stated.by.strip():
        raise SpecError(
            "--by: a bundle states what its networks were trained on; give the name of whoever states it"
        )
    own = by_network(records)
    for option, said in (("--external", stated.external), ("--trained-on", stated.trained_on)):
        unknown = [name for name in said if name not in own]
        if unknown:
            raise SpecError(f"{option}: found the network {unknown[0]!r}; legal are {', '.join(own)}")
    return tuple(_statement(name, runs, stated, task) for name, runs in own.items())


def by_network(records: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Part runs by their network."""
    own: dict[str, list[RunRecord]] = {}
    for record in records:
        own.setdefault(record.spec.network.label, []).append(record)
    return own


def check_statements(
    found: Sequence[Statement], records: Sequence[RunRecord], task: Task | None = None
) -> None:
    """Raise `DataError` if a network lacks a statement or has two, its runs contradict it, or the task forbids it.

    Parameters
    ----------
    found : sequence of Statement
        What was stated.
    records : sequence of RunRecord
        The runs of which it was stated.
    task : Task, optional
        The task that the runs are of.
    """
    own, names = by_network(records), [statement.network for statement in found]
    if sorted(names) != sorted(own):
        raise DataError(
            f"it states what {listed(names) or 'no network'} was trained on; its runs are of {listed(list(own))}"
        )
    for statement in found:
        external, why = external_data(own[statement.network], task)
        if statement.external_data == "no" and external == "yes":
            raise DataError(f"{statement.by} states that {statement.network} saw no external data, but {why}")
        if task is not None and task.rules.external_data == "no" and statement.external_data != "no":
            raise DataError(
                f"{statement.network} has external data: {statement.external_data}; the rules of {task.name} allow none"
            )


def external_data(records: Sequence[RunRecord], task: Task | None = None) -> tuple[External, str]:
    """Tell whether the runs of a network used more than the training side of the data set, and why that is said.

    Parameters
    ----------
    records : sequence of RunRecord
        Runs of one network.
    task : Task, optional
        Whose data set is meant; without one, that of each run.
    """
    for record in records:
        if record.elsewhere:
            return "not known", "its predictions were made elsewhere"
        spec = record.trained
        if spec.network.weights:
            return "yes", "its training began with other weights"
        if spec.recipe.labels == "consensus":
            return "yes", "its training labels are votes of several catalogues"
        if spec.data.test or (task is not None and spec.data.name != task.data):
            return "yes", f"it was trained on {spec.data.name}"
    if any(record.spec.network.is_foreign for record in records):
        return "not known", "its code is in another package, whose weights may be trained ones"
    if not all(record.history for record in records):
        return "not known", "it was not trained by rgbench"
    return "no", ""


def _statement(name: str, runs: Sequence[RunRecord], stated: Stated, task: Task | None) -> Statement:
    external, why = external_data(runs, task)
    said = stated.external.get(name)
    if said == "no":
        if external == "yes":
            raise SpecError(f"--external {name}=no: {why}; say what was used")
        external, why = "no", ""
    elif said:
        external, why = "yes", said
    return Statement(
        network=name,
        trained_on=stated.trained_on.get(name) or _trained_on(runs),
        external_data=external,
        external_words=why,
        by=stated.by,
    )


def _trained_on(runs: Sequence[RunRecord]) -> str:
    """Say what the specs of runs tell: data set, split, and how many sources."""
    told = []
    for record in runs:
        if isinstance(record.spec, ScoredSpec):
            told.append(record.spec.elsewhere.trained_on or "not known: its predictions were made elsewhere")
            continue
        data = record.spec.data
        n = record.cost.get("training_sources") or data.train_limit
        size = f", {counted(int(n), 'source')}" if n else ""
        told.append(f"the training side of {data.name}, split {data.split}{size}")
    return "; ".join(dict.fromkeys(told))
