"""The entries of a board: the runs of one network, under one recipe, in one bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from rgbench.bundles.manifest import Statement
from rgbench.bundles.read import Bundle, said_of
from rgbench.bundles.statements import by_network, check_statements
from rgbench.errors import DataError
from rgbench.numbers import listed
from rgbench.spec import AnySpec, DataSpec, ImageSpec, NetworkSpec, RunSpec
from rgbench.store.store import RunRecord
from rgbench.store.tables import MODELS, Predictions
from rgbench.tasks.catalogue import Task, tasks
from rgbench.tasks.check import in_terms_of, why_not

_ANY = ImageSpec(preset="any", field=8, size=8)
"""In place of what images a network saw: entries need not have seen them alike."""


@dataclass(frozen=True)
class Entry:
    """The runs of one network, under one recipe, in one bundle.

    Attributes
    ----------
    label : str
        What tells it from the other entries of its task.
    network : str
        The network, as `rgbench.spec.NetworkSpec.label` names it.
    protocol : str
        What its images and its training followed.
    bundle : Bundle
        Where it came from.
    statement : Statement
        What it was trained on.
    records : tuple of RunRecord
        Its runs, as they stand in the bundle.
    """

    label: str
    network: str
    protocol: str
    bundle: Bundle
    statement: Statement
    records: tuple[RunRecord, ...]

    def comparable(self, task: Task) -> list[RunRecord]:
        """Give its runs with the label as their network and what all entries share, so that they can be compared.

        Entries of a task have its test sources and nothing else in common: not the protocol, not the images.
        """
        return [
            replace(record, spec=self._spec(task, record.spec), predictions=self._said(task, record))
            for record in self.records
        ]

    def _spec(self, task: Task, spec: AnySpec) -> AnySpec:
        data = DataSpec(name=task.data, split=task.split, checksum=task.data_checksum)
        shared: dict[str, Any] = {"data": data, "network": NetworkSpec(name=self.label)}
        if isinstance(spec, RunSpec):
            shared |= {"protocol": task.name, "images": _ANY}
        return spec.model_copy(update=shared)

    def _said(self, task: Task, record: RunRecord) -> Predictions:
        return in_terms_of(task, _predictions(record))


@dataclass(frozen=True)
class Field:
    """The entries of a task, and what was left out of it.

    Attributes
    ----------
    task : Task
        The task.
    entries : tuple of Entry
        In the order of the bundles.
    notes : tuple of str
        What was left out or is odd, in sentences.
    """

    task: Task
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


def fields(bundles: Sequence[Bundle]) -> list[Field]:
    """Part the runs of bundles by their tasks; each task by its entries.

    A bundle that names no task gives the runs that are of any.

    Raises
    ------
    DataError
        If a bundle has no run of a task that is known here, or two of one network, setting and seed.
    """
    distinct: dict[str, Bundle] = {}
    for bundle in bundles:
        distinct.setdefault(bundle.sha256, bundle)
    found: dict[str, list[Entry]] = {}
    for bundle in distinct.values():
        own = _tasks_of(bundle)
        if not own:
            raise DataError(
                f"{bundle.path}: none of its runs is of a task; the tasks are {', '.join(tasks().names())}"
            )
        for task, records in own:
            found.setdefault(task.name, []).extend(_entries(bundle, records))
    return [_field(tasks().get(name), found[name]) for name in sorted(found)]


def _tasks_of(bundle: Bundle) -> list[tuple[Task, list[RunRecord]]]:
    if bundle.task is not None:
        return [(bundle.task, list(bundle.records))]
    parted = [
        (task, [record for record in bundle.records if not why_not(task, record)]) for _, task in tasks()
    ]
    found = [(task, records) for task, records in parted if records]
    for task, records in found:
        _check(bundle, task, records)
    return found


def _check(bundle: Bundle, task: Task, records: Sequence[RunRecord]) -> None:
    """Hold what a bundle states without a task to the rules of one."""
    of_it = by_network(records)
    stated = [each for each in bundle.manifest.statements if each.network in of_it]
    with said_of(bundle.path):
        check_statements(stated, records, task)


def _entries(bundle: Bundle, records: Sequence[RunRecord]) -> Iterable[Entry]:
    stated = {statement.network: statement for statement in bundle.manifest.statements}
    for network, runs in by_network(records).items():
        settings: dict[str, list[RunRecord]] = {}
        for record in runs:
            settings.setdefault(_setting(record.spec), []).append(record)
        for own in settings.values():
            own.sort(key=_place)
            for first, second in pairwise(own):
                if _place(first) == _place(second):
                    raise DataError(
                        f"{bundle.path}: the runs {first.run_id} and {second.run_id} of {network} have the same seed"
                    )
            yield Entry(network, network, own[0].spec.protocol, bundle, stated[network], tuple(own))


def _place(record: RunRecord) -> tuple[str, int]:
    return record.spec.data.split, record.spec.seed


def _setting(spec: AnySpec) -> str:
    """Write all that is the same in repeats of a run: everything but seed, fold and predictions made elsewhere."""
    content = spec.settings()
    del content["seed"]
    # The predictions themselves, which every seed has its own of.
    content.pop("elsewhere", None)
    if spec.data.split.startswith("fold-"):
        del content["data"]["split"]
    return json.dumps(content, sort_keys=True)


def _field(task: Task, entries: Sequence[Entry]) -> Field:
    kept, notes = _distinct(entries)
    notes += [
        f"{first.network}: {first.bundle.path.name} and {second.bundle.path.name} have the same run {run_id} with "
        "other predictions: it was computed twice, or changed in one of them."
        for first, second in combinations(kept, 2)
        for run_id in _contradicted(first, second)
    ]
    once = [_each_once(task, entry) for entry in _labelled(kept)]
    return Field(
        task, tuple(entry for entry, _ in once), (*notes, *(note for _, own in once for note in own))
    )


def _distinct(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Give the entries whose runs do not all stand in another, and say which are left out."""
    kept: list[int] = []
    notes = []
    # The larger first, so that the order of the bundles does not matter.
    for i in sorted(range(len(entries)), key=lambda i: -len(entries[i].records)):
        entry = entries[i]
        same = next((entries[j] for j in kept if _same(entry, entries[j])), None)
        if same is None:
            kept.append(i)
        else:
            notes.append(
                f"{entry.network} of {entry.bundle.path.name} is left out: {same.bundle.path.name} has the same runs."
            )
    return [entries[i] for i in sorted(kept)], notes


def _same(first: Entry, second: Entry) -> bool:
    """Tell whether all runs of an entry stand in another, with the same answers."""
    others = _by_id(second)
    return all(
        record.run_id in others and _alike_runs(record, others[record.run_id]) for record in first.records
    )


def _contradicted(first: Entry, second: Entry) -> list[str]:
    """Give the ids of the runs that two entries have with other answers."""
    others = _by_id(second)
    shared = [record for record in first.records if record.run_id in others]
    return [record.run_id for record in shared if not _alike_runs(record, others[record.run_id])]


def _by_id(entry: Entry) -> dict[str, RunRecord]:
    return {record.run_id: record for record in entry.records}


def _alike_runs(first: RunRecord, second: RunRecord) -> bool:
    return np.array_equal(_predictions(first).logits, _predictions(second).logits, equal_nan=True)


def _predictions(record: RunRecord) -> Predictions:
    if record.predictions is None:
        raise TypeError(f"run {record.run_id} of a bundle has no predictions")
    return record.predictions


def _each_once(task: Task, entry: Entry) -> tuple[Entry, list[str]]:
    """Keep one of the runs whose answers are the same to the last bit: such runs are copies, not repeats."""
    alike: dict[bytes, list[RunRecord]] = {}
    for record in entry.records:
        alike.setdefault(_answers(task, record), []).append(record)
    notes = [
        f"{entry.label}: the runs with the seeds {listed([str(record.spec.seed) for record in own])} gave the same "
        "predictions; they count as one."
        for own in alike.values()
        if own[1:]
    ]
    return replace(entry, records=tuple(own[0] for own in alike.values())), notes


def _answers(task: Task, record: RunRecord) -> bytes:
    """Give what a run says of the test sources, in the order of their names."""
    test = in_terms_of(task, _predictions(record).select("test", MODELS[0]))
    test = test.take(test.label >= 0)
    return test.logits[np.argsort(test.source_id)].tobytes()


def _labelled(entries: Sequence[Entry]) -> list[Entry]:
    """Give every entry a label of its own: its network, with protocol, name and number as far as they are needed."""
    parts = [[entry.network] for entry in entries]
    for part in (_protocol, _by, _bundle):
        for own in _alike(parts):
            if len({part(entries[i]) for i in own}) > 1:
                for i in own:
                    parts[i].append(part(entries[i]))
    for own in _alike(parts):
        for number, i in enumerate(own[1:], start=2):
            parts[i].append(f"no. {number}")
    return [replace(entry, label=_label(part)) for entry, part in zip(entries, parts, strict=True)]


def _alike(parts: Sequence[Sequence[str]]) -> list[list[int]]:
    """Give the places of those that are alike, of each such kind."""
    found: dict[tuple[str, ...], list[int]] = {}
    for i, each in enumerate(parts):
        found.setdefault(tuple(each), []).append(i)
    return [own for own in found.values() if len(own) > 1]


def _label(parts: Sequence[str]) -> str:
    return f"{parts[0]} ({', '.join(parts[1:])})" if parts[1:] else parts[0]


def _protocol(entry: Entry) -> str:
    return entry.protocol


def _by(entry: Entry) -> str:
    return entry.statement.by


def _bundle(entry: Entry) -> str:
    return entry.bundle.path.stem
