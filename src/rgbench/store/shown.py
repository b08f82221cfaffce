"""How a run and its predictions show themselves in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rgbench.notebook import ends, html_facts, html_table
from rgbench.numbers import count, counted, duration, percent, probability

if TYPE_CHECKING:
    from rgbench.store.store import RunRecord
    from rgbench.store.tables import Predictions


def run_html(record: RunRecord) -> str:
    """Write what one wants to know of a run first."""
    spec, cost = record.spec, record.cost
    facts = {
        "data": f"{spec.data.name}, split {spec.data.split}",
        "protocol": spec.protocol,
        "status": record.lacking or record.status,
        "parameters": count(cost["parameters"]) if "parameters" in cost else "",
        "training time": duration(cost["training_seconds"]) if "training_seconds" in cost else "",
        "device": str(cost.get("device", "")),
    }
    accuracies = record.history.get("validation_accuracy")
    if accuracies is not None and len(accuracies):
        facts["epochs"] = f"{len(accuracies)}, the best one {cost.get('best_epoch') or 'not known'}"
        facts["validation accuracy"] = f"{percent(float(accuracies[-1]))} % after the last epoch"
    facts["remarks"] = "; ".join(record.notes)
    return html_facts(f"Run {record.run_id}: {spec.network.label}, seed {spec.seed}", facts)


def predictions_html(predictions: Predictions) -> str:
    """Write the first and the last rows of predictions, with the class that is most probable."""
    n = len(predictions)
    columns = predictions.take(np.array(ends(n), dtype=int)).table()
    shown = ("source_id", "split", "model", "condition", "label", "class")
    p = np.stack([columns[f"p_{name}"] for name in predictions.classes]).max(axis=0)
    rows = [
        {name: str(columns[name][i]) for name in shown} | {"probability": probability(float(p[i]))}
        for i in range(len(p))
    ]
    return html_table(f"{counted(n, 'prediction')} of run {predictions.run_id}", rows, n=n)
