"""The cards that go with results: of networks, data sets, the metric and the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rgbench.data.sets import data_sets
from rgbench.measures.cards import MAIN
from rgbench.measures.catalogue import metrics
from rgbench.networks.catalogue import card_of
from rgbench.spec import NetworkSpec
from rgbench.store.store import RunRecord
from rgbench.tasks.catalogue import Task


def cards(records: Sequence[RunRecord], task: Task | None) -> dict[str, Any]:
    """Give the cards of all that some runs name, as JSON has them."""
    specs = {record.spec.network.label: record.spec.network for record in records}
    metric = metrics().get(task.metric if task else MAIN)
    return {
        "networks": {label: _network(spec) for label, spec in specs.items()},
        "data": {name: _data(name) for name in sorted({record.spec.data.name for record in records})},
        "metric": {"name": metric.name, "title": metric.title, "definition": metric.definition},
        "task": task.model_dump(mode="json") if task else None,
    }


def _network(spec: NetworkSpec) -> dict[str, Any]:
    """Give what is known of a network without its package; its layers are its own, or those that are registered."""
    card = card_of(spec.name, spec.layers)
    return asdict(card) if card else {"name": spec.name, "layers": spec.layers}


def _data(name: str) -> dict[str, Any]:
    """Give the words of a data set's card; of one's own data there is only the name."""
    if name not in data_sets():
        return {"name": name}
    card = data_sets().get(name).card
    words = ("name", "title", "paper", "doi", "url", "licence", "survey", "version")
    return {key: getattr(card, key) for key in words} | {
        "classes": list(card.classes),
        "defects": list(card.defects),
    }
