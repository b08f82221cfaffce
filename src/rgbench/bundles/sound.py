"""What a run of a bundle must be beyond what a store asks of its own: whoever made it may have changed its files."""

from __future__ import annotations

import numpy as np

from rgbench.errors import DataError, shown
from rgbench.numbers import counted, is_number, listed
from rgbench.spec import ScoredSpec
from rgbench.store.digest import is_digest_of
from rgbench.store.record import LOOKS, RunRecord
from rgbench.store.tables import MODELS, Predictions


def check_sound(record: RunRecord, conditions: Predictions | None) -> None:
    """Raise `DataError`, which names the run, if its files contradict each other or hold what no run has.

    Parameters
    ----------
    record : RunRecord
        A complete run.
    conditions : Predictions or None
        Its predictions on disturbed images, and on second ones.
    """
    if (predictions := record.predictions) is None:
        raise TypeError(f"run {record.run_id} of a bundle has no predictions")
    why = _other_predictions(record, predictions) or _looks(record) or _cost(record)
    if not why and conditions is not None:
        why = _conditions(predictions, conditions)
    if why:
        raise DataError(f"run {record.run_id} ({record.spec.network.name}) {why}")


def _other_predictions(record: RunRecord, predictions: Predictions) -> str:
    """Say that predictions made elsewhere are not those of which the run has its id."""
    if not isinstance(record.spec, ScoredSpec):
        return ""
    expected = record.spec.elsewhere.table
    if all(is_digest_of(expected, predictions, model) for model in MODELS):
        return ""
    return f"has other predictions than those of which it has its id: their SHA-256 is not {shown(expected)}"


def _looks(record: RunRecord) -> str:
    looks = record.provenance.get("looks", 1)
    if type(looks) is int and looks in (1, LOOKS):
        return ""
    return f"says that its pairs were looked at {shown(looks)} times; 1 and {LOOKS} are legal"


def _cost(record: RunRecord) -> str:
    for key, value in record.cost.items():
        if isinstance(value, int | float) and not (is_number(value) and value >= 0):
            return f"has the cost {key} of {shown(value)}; a number of 0 or more is legal"
    return ""


def _conditions(predictions: Predictions, conditions: Predictions) -> str:
    """Say in what predictions on other images are not of a run's test sources, with the same classes and labels."""
    kinds = [(each.classes, each.activation) for each in (predictions, conditions)]
    if kinds[0] != kinds[1]:
        said = [f"{listed(list(classes))} ({activation})" for classes, activation in kinds]
        return f"has the classes {said[1]} on other images, and {said[0]} on its own"
    test = predictions.select("test", MODELS[0])
    own = dict(zip(test.source_id.tolist(), test.label.tolist(), strict=True))
    sources, labels = conditions.source_id.tolist(), conditions.label.tolist()
    foreign = [name for name in sources if name not in own]
    if foreign or (conditions.split != "test").any():
        named = listed(list(dict.fromkeys(foreign))) or "rows of another side"
        return f"has predictions on other images of what are no test sources of it: {named}"
    other = np.unique([name for name, label in zip(sources, labels, strict=True) if own[name] != label])
    if len(other):
        named = f"{counted(len(other), 'test source')}: {listed(other.tolist())}"
        return f"has another label on other images than on its own, for {named}"
    return ""
