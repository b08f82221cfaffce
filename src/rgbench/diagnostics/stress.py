"""Stress tests: a stored run's network on disturbed images of its own test sources.

Noise, a coarser beam, a shifted centre and coarser pixels are done to the raw images, before they are prepared,
as a telescope would. Rotations are done to the prepared ones, as in the 2021 protocol: a turned raw image has
empty corners and smoother noise, from which the preparation would take its statistics. They are not written
over the run's predictions but to a table of their own beside it, ``conditions.parquet``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rgbench.data.catalogue import DataSet
from rgbench.diagnostics.disturbances import BEAM, beams_seen, conditions_for, disturb, missing
from rgbench.errors import SpecError, StoreError
from rgbench.images.augment import rotate_stack
from rgbench.images.batches import sequential_batches
from rgbench.networks.modules.build import Network
from rgbench.runs.inputs import EVALUATION_BATCH, ImageSource, prepare
from rgbench.runs.logits import RowLabels, predict_logits
from rgbench.runs.reopen import StoredRun
from rgbench.spec import AugmentationSpec, RunSpec
from rgbench.store.conditions import CONDITIONS_FILE, VIEW, Condition, read_conditions
from rgbench.store.tables import MODELS, Predictions, concatenate, write_predictions

DRAWS = (1, 2, 3)
"""Second views of each validation source that a classifier is calibrated on."""
CHUNK = 128
"""Raw images that are disturbed together; bounds the memory."""

OnCondition = Callable[[Condition, bool], None]
"""Called with each condition, and whether it had been computed before."""


def _ignore(condition: Condition, known: bool) -> None:
    """Say nothing of a condition."""


def stress(
    run: StoredRun,
    conditions: Sequence[Condition] | None = None,
    on_condition: OnCondition = _ignore,
    seen: Mapping[Condition, DataSet] | None = None,
) -> Predictions:
    """Predict the test sources of a stored run from disturbed images, and keep the rows beside the run.

    Parameters
    ----------
    run : StoredRun
        A complete run. ``conditions.parquet`` in its directory is written after each condition; those that are
        there already are not computed again, but for those of `seen`, whose images may have become others: their
        rows are replaced. Another process that tests the run meanwhile is waited for.
    conditions : sequence of Condition, optional
        What to test; left out, `conditions_for` the data set.
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
        If the run was imported, or a condition cannot be made of these images.
    DataError
        If its data are not to be had.
    StoreError
        If the table cannot be read or written.
    """
    seen = seen or {}
    asked = conditions_for(run.dataset.card) if conditions is None else conditions
    wanted = tuple(dict.fromkeys((*asked, *seen)))
    if not wanted:
        raise SpecError("no condition is asked for; name one, or leave them out for the default ones")
    if reasons := [why for condition in wanted if (why := missing(condition, run.dataset.card))]:
        raise SpecError(reasons[0])
    with run.store.lock(run.run_id):
        table = read_conditions(run.store, run.run_id)
        if table is not None:
            table = table.take(~np.isin(table.condition, [condition.name for condition in seen]))
        known = set() if table is None else set(table.condition.tolist())
        place = None
        for condition in wanted:
            if condition.name not in known:
                place = place or _place(run)
                here = place.at(seen[condition]) if condition in seen else place
                table = concatenate([*([] if table is None else [table]), *_predict(here, condition)])
                write_predictions(run.store.run_path(run.run_id) / CONDITIONS_FILE, table)
            on_condition(condition, condition.name in known)
    assert table is not None  # something was wanted, so it was known or has been made
    return table.take(np.isin(table.condition, [condition.name for condition in wanted]))


def views_of(run: StoredRun, side: str = "validation", draws: Sequence[int] = DRAWS) -> list[Predictions]:
    """Predict the sources of one side of a run's split from second views of them; nothing is kept.

    Parameters
    ----------
    run : StoredRun
        A complete run.
    side : str
        "validation", to calibrate a classifier on, or "test".
    draws : sequence of int
        Numbers of the views, from 1.

    Returns
    -------
    list of Predictions
        One table a view, with the rows of the run's model. Empty where no view can be made: the card of the data set
        tells no beam, or no pixel scale.

    Raises
    ------
    SpecError
        If the run was imported.
    DataError
        If its data are not to be had.
    """
    views = [Condition(VIEW, draw) for draw in draws]
    if not len(run.side(side)) or any(missing(view, run.dataset.card) for view in views):
        return []
    place = _place(run, side, (run.model,))
    return [table for view in views for table in _predict(place, view)]


def _check_finite(run: StoredRun, model: str, logits: NDArray[np.float32]) -> None:
    """Raise `StoreError` if a network that gave finite values in its own test gives others now."""
    known = run.record.predictions
    if np.isfinite(logits).all() or known is None or not np.isfinite(known.select(model=model).logits).all():
        return
    path = run.store.run_path(run.run_id) / f"{model}.safetensors"
    raise StoreError(
        f"{path}: is damaged: the network gives values that are not finite, as it did not in its test"
    )


@dataclass(frozen=True)
class _Place:
    """A run under test: its networks by model, and the sources that they are tested on."""

    run: StoredRun
    networks: dict[str, Network]
    dataset: DataSet
    index: NDArray[np.int64]
    side: str = "test"
    images_given: bool = False

    def at(self, dataset: DataSet) -> _Place:
        """Give the same networks before other images, which are tested on as they are."""
        return replace(self, dataset=dataset, index=np.arange(len(dataset.catalogue)), images_given=True)

    @cached_property
    def places(self) -> list[str]:
        """What errors call the images."""
        return self.dataset.catalogue.take(self.index).places()

    @cached_property
    def turnable(self) -> ImageSource:
        """The prepared images, with all that a turn can bring into the field."""
        wide = self.run.spec.model_copy(update={"augmentation": AugmentationSpec(kind="rotations")})
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
            beams = self._beams(part, condition)
            pixels.append(prepare(images, self.run.spec, beams=beams, names=self.places[part]))
        return self._source(np.concatenate(pixels), self.run.spec, ready=True)

    def _beams(self, part: slice, condition: Condition) -> NDArray[np.float64]:
        """Give the widths of the beams of some sources' images, in units of that of training."""
        catalogue = self.dataset.catalogue.take(self.index[part])
        if self.images_given:
            return np.asarray(catalogue.extra.get(BEAM, np.ones(len(catalogue))), dtype=np.float64)
        return beams_seen(catalogue.source_id.tolist(), condition, self.dataset.card)

    def _source(self, images: NDArray[Any], spec: RunSpec, ready: bool = False) -> ImageSource:
        pixels = images if ready else prepare(images, spec, names=self.places)
        return ImageSource(
            pixels, self.dataset.catalogue.label[self.index], spec, torch.device(self.run.device)
        )


def _place(run: StoredRun, side: str = "test", models: Sequence[str] = MODELS) -> _Place:
    networks = {model: run.network(model, channels_last=True) for model in models}
    return _Place(run, networks, run.dataset, run.side(side), side)


def _predict(place: _Place, condition: Condition) -> Iterator[Predictions]:
    """Give the rows of one condition, model by model."""
    run, recipe = place.run, place.run.spec.recipe
    source = place.source(condition)
    angle = condition.strength if condition.family == "rotation" else 0.0
    for model, network in place.networks.items():
        logits = predict_logits(network, _batches(source, angle), recipe.precision, recipe.views)
        _check_finite(run, model, logits)
        labels = RowLabels(run.run_id, run.outputs, place.side, model, condition.name)
        yield labels.predictions(place.dataset, place.index, logits)


def _batches(source: ImageSource, angle: float) -> Iterator[Tensor]:
    """Give the images for the network, turned by an angle in degrees."""
    for part in sequential_batches(len(source.labels), EVALUATION_BATCH):
        yield source.finish(rotate_stack(source.take(part), angle))
