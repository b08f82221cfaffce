"""The conductor: one run, from its spec to the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rgbench.data.catalogue import DataSet, Flag
from rgbench.data.split import Split
from rgbench.errors import RgbenchError, SpecError, StoreError, raise_stop
from rgbench.networks import describe_network
from rgbench.networks.modules.build import Network
from rgbench.runs.device import _device_name, _peak_memory, check_device
from rgbench.runs.inputs import ImageSource, kept_side, prepare
from rgbench.runs.logits import RowLabels, inference_rate, predict_logits
from rgbench.runs.precision import AUTO, FAST, SLOW
from rgbench.runs.prepare import make_network, make_split, make_targets
from rgbench.runs.reopen import TIMING_BATCH
from rgbench.seeds import derive_seed, numpy_generator
from rgbench.spec import RunSpec
from rgbench.store.files import remove_halves
from rgbench.store.store import RunDirectory, RunRecord, Store
from rgbench.store.tables import MODELS, Outputs, Predictions, concatenate, write_history, write_predictions
from rgbench.training.checkpoint import load_weights, save_weights
from rgbench.training.loop import OnEpoch, Progress, TrainingData, TrainingFiles, evaluate, fit, keep_dropout
from rgbench.training.shortcuts import Shortcuts, memory_kept

OnStep = Callable[[int, int], None]
"""Called with the epoch (from 1) and the step (from 0) after each training step."""


@dataclass(frozen=True)
class Bench:
    """What runs work with: data, store, device, and images that were prepared for an earlier run.

    `beside` is the number of other runs that are computed at the same time.
    """

    dataset: DataSet
    store: Store
    device: str = "cpu"
    prepared: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    beside: int = 0

    def pixels(self, spec: RunSpec) -> NDArray[np.float32]:
        """Give the images prepared as a spec says; those of the last way of preparing are kept."""
        key = f"{spec.images} {kept_side(spec, max(self.dataset.images.shape[1:]))}"
        if key not in self.prepared:
            self.prepared.clear()
            usable = (self.dataset.catalogue.flags & Flag.UNUSABLE) == 0
            self.prepared[key] = prepare(
                self.dataset.images, spec, usable, names=self.dataset.catalogue.places()
            )
        return self.prepared[key]


@dataclass(frozen=True)
class Told:
    """Who is told how a run goes: of each step, and of each epoch."""

    step: OnStep = lambda epoch, step: None
    epoch: OnEpoch = lambda history: None


NOBODY = Told()


@dataclass(frozen=True)
class _Workplace:
    """A run under way: spec, data set, split, images and network."""

    spec: RunSpec
    dataset: DataSet
    split: Split
    source: ImageSource
    network: Network

    @property
    def outputs(self) -> Outputs:
        """What the network's outputs mean."""
        return Outputs(self.dataset.classes, self.network.activation_name)


def execute(spec: RunSpec, bench: Bench, told: Told = NOBODY) -> RunRecord:
    """Compute one run, or take it from the store if it is complete.

    Parameters
    ----------
    spec : RunSpec
        The resolved spec.
    bench : Bench
        Data set, store and device.
    told : Told
        Who is told of each training step, and of each epoch.

    Returns
    -------
    RunRecord
        The run as the store has it. A run that fails with an error of this package, or for want of
        memory, is stored as failed with the reason, and stays in every comparison as such.

    Raises
    ------
    DeviceError
        If the device is not there.
    StoreError
        If the store cannot be written.
    """
    check_device(bench.device)
    if spec.recipe.precision == AUTO:
        raise SpecError(
            f'recipe.precision: "{AUTO}" is settled by `plan_study`; one run has {SLOW} or {FAST}'
        )
    store = bench.store
    with store.claim(spec) as directory:
        if store.is_complete(spec.run_id):
            return store.record(spec.run_id)
        remove_halves(directory.path)
        directory.write_status("running", device=bench.device)
        try:
            with memory_kept(torch.device(bench.device).type == "cpu" and Shortcuts.chosen().memory):
                place = _compute(spec, bench, directory, told)
        except StoreError:
            raise
        except (RgbenchError, torch.OutOfMemoryError, MemoryError) as error:
            raise_stop(error)
            directory.write_status("failed", f"{type(error).__name__}: {error}", device=bench.device)
        else:
            directory.write_status("complete", None, _notes(place), bench.device, place.outputs)
            directory.checkpoint.unlink(missing_ok=True)
    return store.record(spec.run_id)


def _compute(spec: RunSpec, bench: Bench, directory: RunDirectory, told: Told) -> _Workplace:
    place = _prepare(spec, bench)
    data = _training_data(place.source, place.split)
    files = TrainingFiles(directory.weights("best"), directory.checkpoint)
    progress = fit(place.network, data, spec.recipe, spec.seed, files, told.step, told.epoch)
    write_history(directory.history, {key: np.array(values) for key, values in progress.history.items()})
    save_weights(directory.weights("final"), place.network)
    cost, tables = _cost(place, data, progress), []
    for model in MODELS:
        load_weights(directory.weights(model), place.network)
        if spec.augmentation.kind == "rotations":
            cost.setdefault("evaluation", {})[model] = _evaluate_rotated(place)
        tables += [_predict(place, part, model) for part in ("validation", "test")]
    write_predictions(directory.predictions, concatenate(tables))
    if bench.beside:
        cost["device"] += f", beside {bench.beside} other run{'s' if bench.beside > 1 else ''}"
    directory.write_cost(cost)
    return place


def _prepare(spec: RunSpec, bench: Bench) -> _Workplace:
    dataset, device = bench.dataset, torch.device(bench.device)
    split = make_split(spec, dataset)
    source = ImageSource(
        bench.pixels(spec), dataset.catalogue.label, spec, device, make_targets(spec, dataset, split)
    )
    generator = torch.Generator().manual_seed(derive_seed(spec.seed, "init"))
    network = make_network(spec, len(dataset.classes), generator)
    keep_dropout(network, spec.recipe.dropout)
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _Workplace(spec, dataset, split, source, network)


def _training_data(source: ImageSource, split: Split) -> TrainingData:
    """Collect what training may see; the test split is not among it."""
    train, validation = split.indices("train"), split.indices("validation")
    return TrainingData(
        train=source.training(train),
        train_plain=source.plain(_sample(train, len(validation), source.spec.seed)),
        validation=source.validation(validation),
        labels=source.targets[torch.from_numpy(train).to(source.device)],
    )


def _sample(index: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Draw as many training sources as there are for validation, to measure the training loss on."""
    if len(index) <= n:
        return index
    return np.sort(numpy_generator(seed, "order", sample="train").choice(index, n, replace=False))


def _evaluate_rotated(place: _Workplace) -> dict[str, float]:
    """Measure loss and accuracy on the rotated training and validation sets, as the 2021 study did."""
    found: dict[str, float] = {}
    for side in ("train", "validation"):
        batches = place.source.rotated(place.split.indices(side))
        loss, accuracy = evaluate(place.network, batches, place.spec.recipe)
        found |= {f"{side}_loss": loss, f"{side}_accuracy": accuracy}
    return found


def _predict(place: _Workplace, split: str, model: str) -> Predictions:
    recipe, index = place.spec.recipe, place.split.indices(split)
    batches = place.source.plain(index).images()
    logits = predict_logits(place.network, batches, recipe.precision, recipe.views)
    return RowLabels(place.spec.run_id, place.outputs, split, model).predictions(place.dataset, index, logits)


def _cost(place: _Workplace, data: TrainingData, progress: Progress) -> dict[str, Any]:
    """Collect the run's cost; every rate is a median, its batch size and device beside it."""
    spec, network = place.spec, place.network
    wanted = spec.network
    size, layers = place.source.size, wanted.layers
    facts: dict[str, Any] = {**describe_network(wanted.name, size, network.n_classes, layers=layers)}
    batch = next(iter(data.validation.epoch(0)))[0][:TIMING_BATCH]
    keys = ("parameters", "trainable_parameters", "macs", "receptive_field", "stride", "coverage")
    return {key: facts[key] for key in keys if facts[key] is not None} | {
        "training_sources": len(place.split.indices("train")),
        "training_seconds": float(np.sum(progress.history["seconds"])),
        "training_images_per_second": data.train.n_images
        / float(np.median(progress.history["train_seconds"])),
        "inference_images_per_second": inference_rate(network, batch, spec.recipe.precision),
        "inference_batch_size": len(batch),
        "peak_memory_mb": _peak_memory(place.source.device),
        "device": _device_name(place.source.device),
        "precision": spec.recipe.precision,
        "best_epoch": progress.best_epoch,
        "pretraining_losses": progress.pretraining_losses,
    }


def _notes(place: _Workplace) -> tuple[str, ...]:
    removed = [f"{name} removed from the split: {reason}" for name, reason in place.split.removed]
    aside = [f"{name} set aside: {reason}" for name, reason in place.dataset.set_aside]
    return (*removed, *aside)
