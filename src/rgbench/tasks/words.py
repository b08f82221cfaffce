"""A task in words: its data, what it is scored by, and what is allowed."""

from __future__ import annotations

from rgbench.measures.catalogue import metrics
from rgbench.numbers import counted
from rgbench.tasks.catalogue import Task

EXTERNAL = {"no": "may not be used", "declared": "may be used, if whoever hands the result in says so"}
"""What a task's rule on external data means."""


def rules(task: Task) -> tuple[tuple[str, str], ...]:
    """Tell the rules of a task, as terms with what they are.

    Examples
    --------
    >>> from rgbench.tasks.catalogue import tasks
    >>> dict(rules(tasks().get("rgbench/first-4class@1")))["external data"]
    'may be used, if whoever hands the result in says so'
    """
    counts = ", ".join(f"{len(own)} {name}" for name, own in task.test.items())
    checksum = f", checksum {task.data_checksum[:12]}" if task.data_checksum else ""
    metric, allowed = metrics().get(task.metric), task.rules
    return (
        ("data", f"{task.data}, split {task.split}{checksum}"),
        ("test", f"{counted(len(task.labels), 'source')} ({counts})"),
        ("metric", f"{metric.words}: {metric.definition}"),
        ("training", allowed.training),
        ("external data", EXTERNAL[allowed.external_data]),
        ("looks at the test sources", f"{counted(allowed.looks, 'look')}. {allowed.looks_words}".strip()),
        ("checksum", task.checksum),
    )
