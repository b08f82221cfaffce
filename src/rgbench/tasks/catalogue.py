"""What a task is, and the tasks by name: those of the package, one TOML file each, and those of other packages.

A task never changes. Its checksum covers all that a score depends on: name, version, data set, split, test sources with
their labels, metric and rules. A mistake makes another version, and results of the old one stay what they are.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from rgbench.errors import ChecksumError, SpecError
from rgbench.measures.catalogue import metrics
from rgbench.registry import Registry
from rgbench.toml import read_toml
from rgbench.validation import Frozen, Whole, validate

NAME = re.compile(r"[a-z0-9-]+/[a-z0-9-]+@[1-9]\d*")
_REWORDED = {"checksum", "title", "about"}
"""What the checksum does not cover: words that change no score."""


class Rules(Frozen):
    """What may be done for a result of a task.

    Attributes
    ----------
    training : str
        What may be used for training and for every choice, in words.
    external_data : {"no", "declared"}
        Whether other data may be used: not at all, or if the result says so.
    looks : int
        How often a network may be scored on the test sources.
    looks_words : str
        What counts as a look.
    """

    training: str = Field(min_length=1)
    external_data: Literal["no", "declared"]
    looks: Whole = Field(ge=1)
    looks_words: str = ""


class Task(Frozen):
    """A data set, a split, a metric and rules, frozen.

    Attributes
    ----------
    name : str
        ``owner/task@version``.
    title, about : str
        What it is, in a few words and in sentences.
    data, data_checksum, split : str
        The data set, the SHA-256 of its content (`rgbench.data.catalogue.DataSet.checksum`), and which of its splits.
    metric : str
        What results are compared in.
    rules : Rules
        What may be done.
    test : dict of str to tuple of str
        The test sources of each class. The order of the classes is that of the task.
    checksum : str
        SHA-256 of all of it but title and about.
    """

    name: str
    title: str = Field(min_length=1)
    about: str = ""
    data: str
    data_checksum: str = ""
    split: str
    metric: str
    rules: Rules
    test: dict[str, tuple[str, ...]] = Field(min_length=1)
    checksum: str

    @field_validator("name")
    @classmethod
    def _versioned(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError("must be owner/task@version, in small letters, digits and hyphens")
        return value

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in metrics():
            raise ValueError(f"must be one of {', '.join(metrics().names())}")
        return value

    @model_validator(mode="after")
    def _each_once(self) -> Task:
        names = [name for own in self.test.values() for name in own]
        twice = [name for name, number in Counter(names).items() if number > 1]
        if twice:
            raise ValueError(f"the test source {min(twice)!r} stands there twice")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the task."""
        return tuple(self.test)

    @property
    def version(self) -> int:
        """The version, from 1."""
        return int(self.name.rpartition("@")[2])

    @property
    def labels(self) -> dict[str, str]:
        """The class of each test source."""
        return {source: label for label, own in self.test.items() for source in own}

    def computed_checksum(self) -> str:
        """Compute the checksum from the content, whatever the file says."""
        content = self.model_dump(mode="json", exclude=_REWORDED)
        content["test"] = [[label, sorted(own)] for label, own in self.test.items()]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@cache
def tasks() -> Registry[Task]:
    """Give the registry of tasks; others join it by entry points ``rgbench.tasks`` or `rgbench.register`.

    What joins is the path of a TOML file, or its content as a dictionary.

    Examples
    --------
    >>> task = tasks().get("rgbench/first-4class@1")
    >>> task.metric, len(task.labels), task.classes
    ('mpca', 200, ('Compact', 'FRI', 'FRII', 'Bent'))
    """
    registry = Registry("task", "rgbench.tasks", _task)
    for file in sorted(resources.files("rgbench.tasks").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            registry.register(str(read_toml(file)["name"]), file)
    return registry


def read_task(content: Any, where: str) -> Task:
    """Make a task of plain values, and hold it to its checksum.

    Parameters
    ----------
    content : dict
        As a TOML file has it.
    where : str
        Where it stands, for messages.

    Raises
    ------
    SpecError
        If a key or a value is not legal.
    ChecksumError
        If it is not what its checksum was made of.
    """
    if not isinstance(content, dict):
        raise SpecError(
            f"{where} is a {type(content).__name__}; a dictionary, or the path of a TOML file, is legal"
        )
    task = validate(Task, content, where)
    computed = task.computed_checksum()
    if computed != task.checksum:
        raise ChecksumError(
            f"{where}: the task {task.name} has the checksum {computed}, its file says {task.checksum}; a task never "
            "changes: give the changed one a new version"
        )
    return task


def _task(name: str, item: Any) -> Task:
    """Make a task of what was registered; errors say what is legal."""
    if isinstance(item, str):
        item = Path(item)
    where = f"task {name!r}"
    task = item if isinstance(item, Task) else read_task(_content(item), where)
    if task.name != name:
        raise SpecError(f"{where}: its file has the name {task.name!r}; the same is legal")
    return task


def _content(item: Any) -> Any:
    return read_toml(item) if isinstance(item, Traversable) else item
