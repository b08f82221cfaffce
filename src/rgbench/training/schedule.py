"""Learning-rate schedules; their state is a few numbers, so that a checkpoint can hold it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from rgbench.spec import RecipeSpec


@dataclass
class Schedule:
    """The learning rate of each step of a training run.

    "plateau" follows Keras' ReduceLROnPlateau: when the monitored loss has not fallen by more than
    `plateau_min_delta` for `plateau_patience` epochs, the rate is multiplied by `plateau_factor`.
    "warmup-cosine" rises linearly over the first share `warmup` of all steps and falls to zero on
    half a cosine (Loshchilov & Hutter 2017).
    """

    recipe: RecipeSpec
    steps_per_epoch: int
    rate: float
    best: float = math.inf
    wait: int = 0

    @classmethod
    def start(cls, recipe: RecipeSpec, steps_per_epoch: int) -> Schedule:
        """Make the schedule of a run that begins."""
        return cls(recipe, steps_per_epoch, recipe.learning_rate)

    def rate_at(self, epoch: int, step: int) -> float:
        """Give the learning rate of a step (from 0) of an epoch (from 1)."""
        if self.recipe.schedule != "warmup-cosine":
            return self.rate
        total = self.recipe.epochs * self.steps_per_epoch
        done = (epoch - 1) * self.steps_per_epoch + step
        warmup = max(1, round(self.recipe.warmup * total))
        if done < warmup:
            return self.recipe.learning_rate * (done + 1) / warmup
        share = (done - warmup) / max(1, total - warmup)
        return self.recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def epoch_ends(self, loss: float) -> None:
        """Take note of the monitored loss at the end of an epoch."""
        if self.recipe.schedule != "plateau":
            return
        if loss < self.best - self.recipe.plateau_min_delta:
            self.best, self.wait = loss, 0
            return
        self.wait += 1
        if self.wait >= self.recipe.plateau_patience:
            self.rate = max(self.rate * self.recipe.plateau_factor, self.recipe.plateau_min_rate)
            self.wait = 0

    def state(self) -> dict[str, Any]:
        """Give the numbers that a checkpoint keeps."""
        return {key: value for key, value in asdict(self).items() if key in ("rate", "best", "wait")}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the numbers of a checkpoint."""
        self.rate, self.best, self.wait = state["rate"], state["best"], state["wait"]
