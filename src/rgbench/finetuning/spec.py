"""How a classifier is trained further: frozen, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass

from rgbench.errors import SpecError
from rgbench.runs.classifier import Classifier
from rgbench.spec import RecipeSpec, RunSpec

LEAST = 10
"""Sources of a class that are needed for it to be trained on; and unseen ones for it to be scored on."""


@dataclass(frozen=True)
class FinetuneSpec:
    """How a classifier is trained further on one's own sources.

    Attributes
    ----------
    epochs : int
        How often every source is shown. The number is fixed beforehand: no epoch is chosen by its score. With 0 the
        weights stay as they are, and only the calibration is made anew.
    learning_rate : float
        Largest learning rate; it rises, and falls to 0, as half a cosine.
    folds : int
        Parts into which sources are dealt for the comparison, sky groups whole. Each is classified by networks that
        were trained on the others.
    seeds : tuple of int
        One for each network of the classifier; none for those that they were trained with. The first deals the folds.

    Examples
    --------
    >>> FinetuneSpec(folds=1)
    Traceback (most recent call last):
    rgbench.errors.SpecError: folds: found 1; 2 or more are legal
    """

    epochs: int = 10
    learning_rate: float = 5e-4
    folds: int = 5
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise SpecError(f"epochs: found {self.epochs}; 0 or more are legal")
        if not 0 < self.learning_rate < 1:
            raise SpecError(
                f"learning_rate: found {self.learning_rate:g}; a number above 0 and below 1 is legal"
            )
        if self.folds < 2:
            raise SpecError(f"folds: found {self.folds}; 2 or more are legal")

    def seeds_of(self, classifier: Classifier) -> tuple[int, ...]:
        """Give a seed for each network of a classifier; raise `SpecError` if there are not as many."""
        members = classifier.card.members
        if self.seeds and len(self.seeds) != len(members):
            raise SpecError(
                f"seeds: found {len(self.seeds)}; {classifier.name} has {len(members)} networks, and each needs one"
            )
        return self.seeds or tuple(member.spec.seed for member in members)

    def recipe(self, before: RecipeSpec) -> RecipeSpec:
        """Give the recipe of the training that goes on: that of a network, but shorter and with a smaller rate."""
        return before.model_copy(
            update={
                "epochs": max(1, self.epochs),
                "learning_rate": self.learning_rate,
                "schedule": "warmup-cosine",
                "early_stopping": -1,
                "pretraining": "none",
            }
        )

    def run(self, before: RunSpec, seed: int) -> RunSpec:
        """Give the spec of a network's training that goes on; without epochs that of the network itself."""
        if not self.epochs:
            return before
        return before.model_copy(update={"recipe": self.recipe(before.recipe), "seed": seed})
