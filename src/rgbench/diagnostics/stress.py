"""Stress tests: a stored run's network on disturbed images of its own test sources.

Noise, a coarser beam, a shifted centre and coarser pixels are done to the raw images, before they are prepared,
as a telescope would. Rotations are done to the prepared ones, as in the 2021 protocol: a turned raw image has
empty corners and smoother noise, from which the preparation would take its statistics. They are not written
over the run's predictions but to a table of their own beside it, ``conditions.parquet``.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rgbench.data.catalogue import DataSet
from rgbench.diagnostics.disturbances import conditions_for, disturb, missing
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.images.augment import rotate_stack
from rgbench.images.batches import sequential_batches
from rgbench.networks.modules.build import Network
from rgbench.runs.device import check_device
from rgbench.runs.inputs import EVALUATION_BATCH, ImageSource, prepare
from rgbench.runs.predict import predict_logits
from rgbench.runs.reopen import load_network, make_split
from rgbench.spec import AugmentationSpec, RunSpec
from rgbench.store.conditions import CONDITIONS_FILE, Condition, read_conditions
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import MODELS, Predictions, concatenate, write_predictions

CHUNK = 128
"""Raw images that are disturbed together; bounds the memory."""

OnCondition = Callable[[Condition, bool], None]
"""Called with each condition, and whether it had been computed before."""


def _ignore(condition: Condition, known: bool) -> None:
    """Say nothing of a condition."""


def stress(
    record: RunRecord,
    dataset: DataSet,
    store: Store,
    conditions: Sequence[Condition] | None = None,
    device: str = "cpu",
    on_condition: OnCondition = _ignore,
    seen: Mapping[Condition, DataSet] | None = None,
) -> Predictions:
    """Predict the test sources of a stored run from disturbed images, and keep the rows beside the run.

    Parameters
    ----------
    record : RunRecord
        A complete run.
    dataset : DataSet
        The data it was trained on.
    store : Store
        The store that holds its weights. ``conditions.parquet`` in the directory of the run is written after
        each condition; those that are there already are not computed again, but for those of `seen`, whose images
        may have become others: their rows are replaced.
    conditions : sequence of Condition, optional
        What to test; left out, `conditions_for` the data set.
    device : str
        A torch device.
    on_condition : callable
        Told of each condition when it is done.
    seen : mapping of Condition to DataSet, optional
        Test sources as another survey shows them, as from `rgbench.diagnostics.survey_shift.seen_by`; conditions that
        are asked for beside `conditions`.

    Returns
    -------
    Predictions
        Rows of the conditions asked for, of the best and the final model; `condition` holds their names.

    Raises
    ------
    SpecError
        If the run is not complete, or a condition cannot be made of these images.
    DataError
        If the data are not those of the run.
    StoreError
        If the table cannot be read or written.
    DeviceError
        If the device is not there.
    """
    check_device(device)
    seen = seen or {}
    asked = conditions_for(dataset.card) if conditions is None else conditions
    wanted = tuple(dict.fromkeys((*asked, *seen)))
    _check(record, dataset, wanted)
    folder = store.run_path(record.run_id)
    with _locked(folder):
        table = read_conditions(store, record.run_id)
        if table is not None:
            table = table.take(~np.isin(table.condition, [condition.name for condition in seen]))
        known = set() if table is None else set(table.condition.tolist())
        place = None
        for condition in wanted:
            if condition.name not in known:
                place = place or _place(record, dataset, store, device)
                here = place.at(seen[condition]) if condition in seen else place
                table = concatenate([*([] if table is None else [table]), *_predict(here, condition)])
                write_predictions(folder / CONDITIONS_FILE, table)
            on_condition(condition, condition.name in known)
    if table is None:
        raise SpecError("no condition is asked for; name one, or leave them out for the default ones")
    return table.take(np.isin(table.condition, [condition.name for condition in wanted]))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's directory, whose name may come from the spec of an earlier version."""
    try:
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class _Place:
    """A run under test: its spec, its test sources, its networks by model."""

    record: RunRecord
    dataset: DataSet
    index: NDArray[np.int64]
    networks: dict[str, Network]
    device: torch.device

    images_given: bool = False

    def at(self, dataset: DataSet) -> _Place:
        """Give the same networks before other images, which are tested on as they are."""
        return replace(self, dataset=dataset, index=np.arange(len(dataset.catalogue)), images_given=True)

    @cached_property
    def turnable(self) -> ImageSource:
        """The prepared images, with all that a turn can bring into the field."""
        wide = self.record.spec.model_copy(update={"augmentation": AugmentationSpec(kind="rotations")})
        return self._source(self.dataset.images[self.index], wide)

    def source(self, condition: Condition) -> ImageSource:
        """Give the prepared images, disturbed unless they are to be turned."""
        if condition.family == "rotation":
            return self.turnable
        raw, names = self.dataset.images, self.dataset.catalogue.source_id[self.index].tolist()
        pixels = []
        for start in range(0, len(names), CHUNK):
            part = slice(start, start + CHUNK)
            images = raw[self.index[part]]
            if not self.images_given:
                images = disturb(images, names[part], condition, self.dataset.card)
            pixels.append(prepare(images, self.record.spec))
        return self._source(np.concatenate(pixels), self.record.spec, ready=True)

    def _source(self, images: NDArray[Any], spec: RunSpec, ready: bool = False) -> ImageSource:
        pixels = images if ready else prepare(images, spec)
        return ImageSource(pixels, self.dataset.catalogue.label[self.index], spec, self.device)


def _check(record: RunRecord, dataset: DataSet, wanted: Sequence[Condition]) -> None:
    if record.status != "complete" or record.predictions is None:
        raise SpecError(f"run {record.run_id} is {record.status}; only complete runs can be tested")
    if dataset.checksum != record.spec.data.checksum:
        raise DataError(
            f"run {record.run_id} was trained on data with checksum {record.spec.data.checksum[:16]}, "
            f"those of {dataset.card.name} have {dataset.checksum[:16]}"
        )
    for condition in wanted:
        reason = missing(condition, dataset.card)
        if reason:
            raise SpecError(reason)


def _place(record: RunRecord, dataset: DataSet, store: Store, device: str) -> _Place:
    index = make_split(record.spec, dataset).indices("test")
    networks = {model: load_network(record, store, model, device) for model in MODELS}
    for network in networks.values():
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _Place(record, dataset, index, networks, torch.device(device))


def _predict(place: _Place, condition: Condition) -> Iterator[Predictions]:
    """Give the rows of one condition, model by model."""
    recipe, catalogue = place.record.spec.recipe, place.dataset.catalogue
    index, n = place.index, len(place.index)
    source = place.source(condition)
    angle = condition.strength if condition.family == "rotation" else 0.0
    for model, network in place.networks.items():
        yield Predictions(
            run_id=place.record.run_id,
            classes=place.dataset.classes,
            activation=network.activation_name,
            label_version=place.dataset.card.version,
            source_id=catalogue.source_id[index],
            split=np.full(n, "test"),
            model=np.full(n, model),
            condition=np.full(n, condition.name),
            member=np.zeros(n, dtype=np.int64),
            label=catalogue.label[index],
            logits=predict_logits(network, _batches(source, angle), recipe.precision, recipe.views),
        )


def _batches(source: ImageSource, angle: float) -> Iterator[Tensor]:
    """Give the images for the network, turned by an angle in degrees."""
    for part in sequential_batches(len(source.labels), EVALUATION_BATCH):
        yield source.finish(rotate_stack(source.take(part), angle))
