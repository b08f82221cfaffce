"""Whether a run is of a task: the same test sources, the same labels, the same data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from rgbench.errors import DataError
from rgbench.numbers import counted, listed
from rgbench.store.store import RunRecord
from rgbench.store.tables import MODELS, Predictions
from rgbench.tasks.catalogue import Task


def why_not(task: Task, record: RunRecord, model: str = MODELS[0]) -> str:
    """Say why a run is not of a task; "" if it is.

    Parameters
    ----------
    task : Task
        The task.
    record : RunRecord
        A run of a store. It needs predictions, and neither weights nor a history.
    model : {"best", "final"}
        Whose predictions.

    Returns
    -------
    str
        A clause without a full stop, which names the first sources that differ.
    """
    if record.status != "complete":
        return f"is not complete: {record.lacking}"
    predictions = record.predictions
    if predictions is None:
        return "has no predictions"
    if sorted(predictions.classes) != sorted(task.classes):
        return f"has the classes {', '.join(predictions.classes)}, the task {', '.join(task.classes)}"
    test = in_terms_of(task, predictions.select("test", model))
    # Also of sources without a label: which of two rows counts would be chance.
    return _other_data(task, record) or _twice(test) or _other_sources(task, test.take(test.label >= 0))


def check_run(task: Task, record: RunRecord, model: str = MODELS[0]) -> None:
    """Raise `DataError`, which says why, if a run is not of a task; arguments as of `why_not`."""
    why = why_not(task, record, model)
    if why:
        raise DataError(f"run {record.run_id} ({record.spec.network.name}) is not of {task.name}: it {why}")


def in_terms_of(task: Task, predictions: Predictions) -> Predictions:
    """Give predictions with the task's names of sources and its order of classes, so that runs stand side by side.

    Where a run was trained on another data set, names of test sources begin with the name of theirs.

    Parameters
    ----------
    task : Task
        The task.
    predictions : Predictions
        Of a run that has its classes.
    """
    prefix = f"{task.data}/"
    names = [name.removeprefix(prefix) for name in predictions.source_id.tolist()]
    order = [predictions.classes.index(name) for name in task.classes]
    place = np.array([*np.argsort(order), -1])  # the last is that of sources without a label
    return replace(
        predictions,
        classes=task.classes,
        source_id=np.array(names, dtype=str),
        label=place[predictions.label],
        logits=predictions.logits[:, order],
    )


def _other_data(task: Task, record: RunRecord) -> str:
    """Say in what the data of a run on the task's own data set differ."""
    data = record.spec.data
    if data.name != task.data or data.test:
        return ""
    if data.split != task.split:
        return f"has the split {data.split}, the task {task.split}"
    if data.checksum and task.data_checksum and data.checksum != task.data_checksum:
        return f"was made on {data.name} with the checksum {data.checksum[:12]}, the task has {task.data_checksum[:12]}"
    return ""


def _twice(test: Predictions) -> str:
    names, times = np.unique(test.source_id, return_counts=True)
    twice = names[times > 1].tolist()
    if not twice:
        return ""
    return f"was tested on {counted(len(twice), 'source')} more than once: {listed(twice)}"


def _other_sources(task: Task, test: Predictions) -> str:
    wanted = task.labels
    found = dict(zip(test.source_id.tolist(), (test.classes[k] for k in test.label.tolist()), strict=True))
    missing, foreign = _missing(wanted, found), _missing(found, wanted)
    if missing:
        return f"lacks {len(missing)} of the {counted(len(wanted), 'test source')}: {listed(missing)}"
    if foreign:
        return (
            f"was tested on {counted(len(foreign), 'source')} that the task does not have: {listed(foreign)}"
        )
    other = [source for source, label in wanted.items() if found[source] != label]
    if other:
        first = other[0]
        return (
            f"has another label for {counted(len(other), 'test source')}: {first} is {found[first]} there, "
            f"{wanted[first]} in the task"
        )
    return ""


def _missing(names: Mapping[str, str], among: Mapping[str, str]) -> list[str]:
    return [name for name in names if name not in among]
