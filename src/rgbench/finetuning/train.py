"""Training that goes on from a classifier's weights, on one's own sources."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from rgbench.finetuning.own import OwnSources
from rgbench.finetuning.spec import FinetuneSpec
from rgbench.measures.calibration import Floats
from rgbench.runs.classifier import Classifier
from rgbench.runs.inputs import ImageSource, image_source
from rgbench.runs.trained import Trained
from rgbench.training.loop import TrainingData, fit, keep_dropout

WATCHED = 8
"""Training sources on which the loop measures the loss; nothing is chosen by it."""
OnStep = Callable[[int, int], None]
"""Called after each training step with the number of steps that are done, and of all."""


@dataclass(frozen=True, eq=False)
class Tuner:
    """The networks of a classifier, and the sources on which they are trained further.

    Attributes
    ----------
    classifier : Classifier
        Where training begins; it is not changed.
    own : OwnSources
        The sources.
    how : FinetuneSpec
        How they are trained.
    """

    classifier: Classifier
    own: OwnSources
    how: FinetuneSpec

    def folds(self) -> NDArray[np.int64]:
        """Give the fold of each source, -1 for those that the classifier knows."""
        return self.own.folds(self.how.folds, self.how.seeds_of(self.classifier)[0])

    def held_out(self, fold: NDArray[np.int64], on_step: Callable[[], None]) -> Floats:
        """Give log-probabilities (n, k) by networks that were trained on the other folds; NaN where there is none."""
        scores = np.full((len(self.own), len(self.own.classes)), np.nan)
        for number in range(self.how.folds):
            tuned = replace(self.classifier, members=self.tuned(np.flatnonzero(fold != number), on_step))
            scores[fold == number] = tuned.logits(self.own.fields[fold == number], prepared=True)
        return scores

    def tuned(self, rows: NDArray[np.int64], on_step: Callable[[], None]) -> tuple[Trained, ...]:
        """Give the networks, trained further on some rows."""
        return tuple(
            self._tuned(member, images, rows, on_step)
            for member, images in zip(self.classifier.members, self._images, strict=True)
        )

    def steps(self, fold: NDArray[np.int64]) -> int:
        """Count the training steps of all folds, and of the last training on all sources."""
        sides = [
            *(np.flatnonzero(fold != number) for number in range(self.how.folds)),
            np.arange(len(self.own)),
        ]
        return self.how.epochs * sum(len(images.training(rows)) for images in self._images for rows in sides)

    @cached_property
    def _images(self) -> tuple[ImageSource, ...]:
        """The sources as each network is trained on them."""
        seeds, label = self.how.seeds_of(self.classifier), self.own.catalogue.label
        return tuple(
            image_source(self.own.prepared, self.how.run(member.spec, seed), member.device, label)
            for member, seed in zip(self.classifier.members, seeds, strict=True)
        )

    def _tuned(
        self, member: Trained, images: ImageSource, rows: NDArray[np.int64], on_step: Callable[[], None]
    ) -> Trained:
        spec, network = images.spec, deepcopy(member.network)
        if self.how.epochs:
            keep_dropout(network, spec.recipe.dropout)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            data = _data(images, rows)
            fit(network, data, spec.recipe, spec.seed, None, lambda epoch, step: on_step())
        # In the layout of a network that was read from a file, so that both give the same bits.
        fresh = deepcopy(member.network)
        fresh.load_state_dict(network.state_dict())
        return Trained(spec, member.outputs, fresh.eval(), member.device)


def _data(images: ImageSource, rows: NDArray[np.int64]) -> TrainingData:
    """Collect what training may see: the loop watches training sources too, as no held-out source may choose."""
    watched = images.plain(rows[:: max(1, len(rows) // WATCHED)][:WATCHED])
    labels = images.labels[torch.from_numpy(rows).to(images.device)]
    return TrainingData(images.training(rows), watched, watched, labels)
