"""What trackers are told of a run, as flat tables of names and values."""

from __future__ import annotations

import json
import re
from types import MappingProxyType

from rgbench.measures.catalogue import measure
from rgbench.runs.listeners import History
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord
from rgbench.store.tables import MODELS, Predictions

Value = str | int | float | bool

PER_EPOCH = MappingProxyType(
    {
        "loss/train": "train_loss",
        "loss/validation": "validation_loss",
        "loss/running": "running_loss",
        "loss/l2": "l2",
        "accuracy/train": "train_accuracy",
        "accuracy/validation": "validation_accuracy",
        "learning_rate": "learning_rate",
        "seconds/training": "train_seconds",
        "seconds/epoch": "seconds",
    }
)
"""Columns of the history by the names under which trackers have them; those of one group stand together."""
PREFIXES = MappingProxyType({"best": "test", "final": "test_final"})
"""What the names of test metrics begin with, by model."""
RUN_ID = "rgbench_run_id"
"""Tag by which a run is found again."""

_ODD = re.compile(r"[^\w\-. /]", re.ASCII)
"""What no tracker's names may hold."""


def parameters(spec: RunSpec) -> dict[str, Value]:
    """Give the spec of a run as parameters: ``part.key``, lists and tables as JSON; what is not set is left out.

    Examples
    --------
    >>> from rgbench.spec import Study, resolve
    >>> (spec,) = resolve(Study(name="s", networks=("lenet",), seeds=(1,)), "c", (300, 300))
    >>> found = parameters(spec)
    >>> found["seed"], found["network.name"], found["recipe.optimizer"], found["data.frame"]
    (1, 'lenet', 'adamw', '[300, 300]')
    """
    found: dict[str, Value] = {}
    for part, content in spec.settings().items():
        table = (
            {f"{part}.{key}": value for key, value in content.items()} if isinstance(content, dict) else {}
        )
        for name, value in (table or {part: content}).items():
            if isinstance(value, Value):
                found[name] = value
            elif value:
                found[name] = json.dumps(value)
    return found


def tags(spec: RunSpec) -> dict[str, str]:
    """Give what one looks for a run by."""
    return {
        RUN_ID: spec.run_id,
        "network": spec.network.label,
        "seed": str(spec.seed),
        "data": spec.data.name,
        "split": spec.data.split,
        "protocol": spec.protocol,
    }


def name(spec: RunSpec) -> str:
    """Name a run for people; different runs have different names.

    Examples
    --------
    >>> from rgbench.spec import Study, resolve
    >>> (spec,) = resolve(Study(name="s", networks=("lenet",), seeds=(1,)), "c")
    >>> name(spec).removesuffix(spec.run_id[:8])
    'lenet-seed-1-'
    """
    return f"{spec.network.label}-seed-{spec.seed}-{spec.run_id[:8]}"


def of_epoch(history: History, row: int) -> dict[str, float]:
    """Give what is told of one epoch, a row of the history."""
    return {name: float(history[column][row]) for name, column in PER_EPOCH.items() if column in history}


def at_the_end(record: RunRecord) -> dict[str, float]:
    """Give the test metrics of both models of a run, and its costs; nothing of one that failed."""
    found: dict[str, float] = {} if record.predictions is None else _scores(record.predictions)
    for key, cost in record.cost.items():
        if isinstance(cost, int | float) and not isinstance(cost, bool):
            found[f"cost/{key}"] = float(cost)
    return {_ODD.sub("_", key): value for key, value in found.items()}


def _scores(predictions: Predictions) -> dict[str, float]:
    """Give every metric of both models on the labelled test sources."""
    found: dict[str, float] = {}
    for model in MODELS:
        test = predictions.select("test", model)
        known = test.take(test.label >= 0)
        if len(known):
            scores = measure(known.label, known.log_probabilities()).values
            found |= {f"{PREFIXES[model]}/{metric}": value for metric, value in scores.items()}
    return found
