"""The training loop.

It is handed training and validation batches, and nothing else: the test split never comes here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rgbench.errors import StoreError
from rgbench.networks.modules.build import Network
from rgbench.seeds import derive_seed
from rgbench.spec import RecipeSpec
from rgbench.store.tables import HISTORY_COLUMNS
from rgbench.training.autoencoder import pretrain
from rgbench.training.checkpoint import ANEW, load_checkpoint, save_checkpoint, save_weights
from rgbench.training.loss import balanced_weights, cross_entropy
from rgbench.training.schedule import Schedule
from rgbench.training.shortcuts import Shortcuts, has_l2, make_optimizer, shorten

OnEpoch = Callable[[Mapping[str, Sequence[float]]], None]
"""Called after each epoch with the history so far: a column per name of `HISTORY_COLUMNS`, a row per epoch."""


class Batches(Protocol):
    """A source of batches: images (n, channels, h, w) float32 and labels (n,) int64, on the device.

    Training batches may have probabilities (n, n_classes) float32 for labels.
    """

    @property
    def n_images(self) -> int:
        """Give the number of images of an epoch."""

    def __len__(self) -> int:
        """Give the number of batches of an epoch."""

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give the batches of an epoch (from 1)."""


@dataclass(frozen=True)
class TrainingData:
    """What training may see.

    Attributes
    ----------
    train : Batches
        Augmented training batches.
    train_plain : Batches
        A fixed sample of training sources, not augmented, to measure the training loss without
        dropout.
    validation : Batches
        Validation batches.
    labels : Tensor of int64, shape (n,), or of float32, shape (n, n_classes)
        What the training sources are trained on, classes or probabilities of them, for class weights.
    """

    train: Batches
    train_plain: Batches
    validation: Batches
    labels: Tensor


@dataclass(frozen=True)
class TrainingFiles:
    """Where training leaves its work: weights of the best model so far, and the checkpoint."""

    best: Path
    checkpoint: Path


@dataclass
class Progress:
    """What a run has behind it; all of it goes into the checkpoint."""

    epoch: int = 0
    pretraining_losses: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    best_epoch: int = 0
    history: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in HISTORY_COLUMNS})

    def stale(self, recipe: RecipeSpec) -> bool:
        """Tell whether early stopping, where it is on, ends the run here."""
        if recipe.early_stopping < 0 or not self.epoch:
            return False
        losses = np.add(self.history["validation_loss"], self.history["l2"])
        best, wait = math.inf, 0
        for loss in losses:
            best, wait = (loss, 0) if loss < best - recipe.plateau_min_delta else (best, wait + 1)
        return wait > 0 and wait >= max(1, recipe.early_stopping)


def fit(
    network: Network,
    data: TrainingData,
    recipe: RecipeSpec,
    seed: int,
    files: TrainingFiles | None,
    on_step: Callable[[int, int], None] = lambda epoch, step: None,
    on_epoch: OnEpoch = lambda history: None,
) -> Progress:
    """Train a network; go on from the checkpoint if there is one.

    Parameters
    ----------
    network : Network
        An initialised network on its device.
    data : TrainingData
        Training and validation batches.
    recipe : RecipeSpec
        The recipe.
    seed : int
        The study seed; dropout draws from seeds derived from it and the epoch.
    files : TrainingFiles, optional
        Where the best weights and the checkpoint go; None keeps neither.
    on_step : callable
        Called with the epoch (from 1) and the step (from 0) after each step.
    on_epoch : callable
        Called after each epoch, once its checkpoint is written, with the history so far.

    Returns
    -------
    Progress
        History, best epoch and best monitored loss (validation loss plus L2 penalty).

    Notes
    -----
    A run resumed from a checkpoint gives the same bits as one that was never interrupted, on one
    machine: nothing in an epoch depends on the epochs before but the checkpoint's content.
    """
    weights = balanced_weights(data.labels, network.n_classes) if recipe.class_weights else None
    step = TrainingStep.of(network, recipe, Shortcuts.chosen(), weights)
    schedule = Schedule.start(recipe, len(data.train))
    progress = Progress()
    if files is not None and files.checkpoint.exists():
        progress = _resume(files.checkpoint, network, step.optimizer, schedule)
    if recipe.pretraining == "autoencoder" and not progress.epoch:
        progress.pretraining_losses = pretrain(network, data.train.epoch, recipe, seed)
    while progress.epoch < recipe.epochs and not progress.stale(recipe):
        epoch, began = progress.epoch + 1, time.perf_counter()
        with torch.random.fork_rng(_devices(network)):
            torch.manual_seed(derive_seed(seed, "dropout", epoch=epoch))
            rate, running = _train_epoch(step, data.train, schedule, epoch, on_step)
        row = {"epoch": epoch, "learning_rate": rate, "running_loss": running}
        row["train_seconds"] = time.perf_counter() - began
        row |= _evaluate_both(network, data, recipe)
        monitored = row["validation_loss"] + row["l2"]
        better = monitored < progress.best_loss
        if better or (files is not None and not files.best.exists()):
            progress.best_loss, progress.best_epoch = monitored, epoch
            if files is not None:
                save_weights(files.best, network)
        schedule.epoch_ends(monitored)
        row["seconds"] = time.perf_counter() - began
        for name in HISTORY_COLUMNS:
            progress.history[name].append(float(row[name]))
        progress.epoch = epoch
        if files is not None:
            state = {"schedule": schedule.state(), "progress": vars(progress)}
            save_checkpoint(files.checkpoint, network, step.optimizer, state)
        on_epoch({name: tuple(values) for name, values in progress.history.items()})
    return progress


def _resume(path: Path, network: Network, optimizer: torch.optim.Optimizer, schedule: Schedule) -> Progress:
    """Take up a checkpoint; raise `StoreError` if it is damaged."""
    state = load_checkpoint(path, network, optimizer)
    try:
        schedule.restore(state["schedule"])
        progress = Progress(**state["progress"])
        lengths = {len(progress.history[name]) for name in HISTORY_COLUMNS}
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: is damaged: {type(error).__name__}: {error}; {ANEW}") from error
    if lengths != {progress.epoch}:
        raise StoreError(
            f"{path}: is damaged: epoch is {progress.epoch!r}, its history has {sorted(lengths)} rows; {ANEW}"
        )
    return progress


def evaluate(network: Network, batches: Batches, recipe: RecipeSpec) -> tuple[float, float]:
    """Give mean cross-entropy (nats, without L2) and accuracy over batches, without dropout."""
    network.eval()
    loss, right, n = 0.0, 0, 0
    with torch.inference_mode():
        for images, labels in batches.epoch(0):
            with autocast(images.device, recipe.precision):
                logits = network(images)
            loss += float(cross_entropy(logits, labels, network.activation_name)) * len(labels)
            right += int((logits.argmax(dim=1) == labels).sum())
            n += len(labels)
    return loss / n, right / n


def keep_dropout(network: nn.Module, where: str) -> None:
    """Switch dropout off where a recipe does not want it.

    Parameters
    ----------
    network : nn.Module
        The network, changed in place.
    where : {"all", "dense", "none"}
        "all" leaves it as published, "dense" keeps only the dropout behind the last convolution and the
        flattening, "none" keeps none. Weights and their names stay as they are.
    """
    layers = list(network.modules())
    image = [i for i, layer in enumerate(layers) if isinstance(layer, (nn.modules.conv._ConvNd, nn.Flatten))]
    last = max(image, default=-1)
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Dropout) and (where == "none" or (where == "dense" and i < last)):
            layer.p = 0.0


def autocast(device: torch.device, precision: str) -> Any:
    """Give the context in which a network computes in the recipe's precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


@dataclass(frozen=True)
class TrainingStep:
    """One step of the optimiser, on one batch.

    Attributes
    ----------
    network : Network
        In training mode.
    optimizer : torch.optim.Optimizer
        As from `rgbench.training.shortcuts.make_optimizer`.
    recipe : RecipeSpec
        Precision, smoothing and L2 are taken from it.
    shortcuts : Shortcuts
        Those that `network` and `optimizer` were made with.
    weights : Tensor, shape (n_classes,), optional
        Weight of each class.
    """

    network: Network
    optimizer: torch.optim.Optimizer
    recipe: RecipeSpec
    shortcuts: Shortcuts
    weights: Tensor | None = None

    @classmethod
    def of(
        cls, network: Network, recipe: RecipeSpec, shortcuts: Shortcuts, weights: Tensor | None = None
    ) -> TrainingStep:
        """Set the shortcuts of a network and make its optimiser."""
        shorten(network, shortcuts)
        return cls(network, make_optimizer(network, recipe, shortcuts), recipe, shortcuts, weights)

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Change the weights by one batch; give its loss before that, L2 term included."""
        network, recipe = self.network, self.recipe
        with autocast(images.device, recipe.precision):
            logits = network(images)
        loss = cross_entropy(logits, labels, network.activation_name, self.weights, recipe.label_smoothing)
        if recipe.l2:
            with torch.set_grad_enabled(not has_l2(recipe, self.shortcuts)):
                penalty = network.l2_penalty()
            loss = loss + penalty
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()


def _train_epoch(
    step: TrainingStep,
    batches: Batches,
    schedule: Schedule,
    epoch: int,
    on_step: Callable[[int, int], None],
) -> tuple[float, float]:
    losses, rate = [], schedule.rate
    step.network.train()
    for number, (images, labels) in enumerate(batches.epoch(epoch)):
        rate = schedule.rate_at(epoch, number)
        for group in step.optimizer.param_groups:
            group["lr"] = rate
        losses.append(step(images, labels))
        on_step(epoch, number)
    return rate, float(torch.stack(losses).mean())


def _evaluate_both(network: Network, data: TrainingData, recipe: RecipeSpec) -> dict[str, float]:
    train_loss, train_accuracy = evaluate(network, data.train_plain, recipe)
    validation_loss, validation_accuracy = evaluate(network, data.validation, recipe)
    with torch.no_grad():
        l2 = float(network.l2_penalty()) if recipe.l2 else 0.0
    return {
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "validation_loss": validation_loss,
        "validation_accuracy": validation_accuracy,
        "l2": l2,
    }


def _devices(network: nn.Module) -> list[torch.device]:
    device = next(network.parameters()).device
    return [device] if device.type == "cuda" else []
