"""The labels of a data set looked at again, by what the runs of a store say of sources that they held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rgbench.comparison.label_errors import (
    OutOfSample,
    Suspects,
    no_better_than_guessing,
    out_of_sample,
    suspects,
    wrong_share,
)
from rgbench.data.load import load_dataset
from rgbench.errors import DataError, SpecError
from rgbench.measures.health import check_history, check_predictions
from rgbench.statistics.significance import Interval
from rgbench.store.choose import complete_runs, runs_of_one_set
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import MODELS


@dataclass(frozen=True)
class LabelReview:
    """What the runs of a store say of the labels of a data set.

    Attributes
    ----------
    data : str
        Name of the data set.
    records : tuple of RunRecord
        The runs that were asked.
    left_out : tuple of (RunRecord, str)
        Runs that were not asked, and why.
    held : OutOfSample
        What they say of the sources that they held out.
    share : Interval
        Estimated share of wrong labels.
    suspects : Suspects
        Sources whose labels are likely wrong, the likeliest first.
    labelled : int
        Number of sources of the data set that have a label.
    """

    data: str
    records: tuple[RunRecord, ...]
    left_out: tuple[tuple[RunRecord, str], ...]
    held: OutOfSample
    share: Interval
    suspects: Suspects
    labelled: int


def review_labels(
    store: Store, data: str = "", model: str = "best", on_damage: Callable[[str], None] | None = None
) -> LabelReview:
    """Ask the complete runs of a store which labels of a data set are likely wrong.

    Runs that have learnt nothing are not asked.

    Parameters
    ----------
    store : Store
        The store.
    data : str
        Name of the data set, or the beginning of its checksum, if the store holds runs of several.
    model : {"best", "final"}
        Which model of each run is asked.
    on_damage : callable, optional
        Told of runs that cannot be read, as `rgbench.store.store.Store.records` says.

    Raises
    ------
    SpecError
        If the model is not legal, or not exactly one data set answers to the name.
    DataError
        If no run is complete, none has learnt anything that tells it from guessing, or the data cannot be had.
    """
    if model not in MODELS:
        raise SpecError(f"model: found {model!r}; legal are {', '.join(MODELS)}")
    records = runs_of_one_set(complete_runs(store, on_damage=on_damage), data)
    found = [(record, unsound(record, model)) for record in records]
    sound = [record for record, why in found if not why]
    if not sound:
        raise DataError(f"no run has learnt anything: {'; '.join(dict.fromkeys(why for _, why in found))}")
    held = out_of_sample(sound, model)
    if why := no_better_than_guessing(held):
        raise DataError(f"which labels are likely wrong cannot be told: {why}")
    catalogue = load_dataset(sound[0].spec.data).catalogue
    return LabelReview(
        sound[0].spec.data.name,
        tuple(sound),
        tuple((record, why) for record, why in found if why),
        held,
        wrong_share(held),
        suspects(held, catalogue),
        int((catalogue.label >= 0).sum()),
    )


def unsound(record: RunRecord, model: str = "best") -> str:
    """Say why a run has learnt nothing; "" if it has."""
    if record.predictions is None:
        return "it has no predictions"
    test = record.predictions.select("test", model)
    notes = [*check_predictions(test.logits, test.classes), *check_history(record.history, len(test.classes))]
    return "; ".join({note.code: note.text for note in notes}.values())
