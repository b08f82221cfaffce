"""What a study will compute, and what each run will cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rgbench.spec import RecipeSpec, RunSpec


@dataclass(frozen=True)
class Plan:
    """The runs of a study, and what each will cost.

    Attributes
    ----------
    runs : tuple of RunSpec
        All runs, each once.
    done : frozenset of str
        Ids of those that are in the store already.
    images : dict of str to int
        Training images of one epoch, by run id.
    work : dict of str to float
        Work of one training step in arbitrary units, by run id: the same unit for all runs.
    words : tuple of str
        What there is to say of it: in which precision networks train, where that was found out.
    warnings : tuple of str
        What its scores cannot show: test sources that took part in choices.
    study : str
        Name of the study.
    store : path, optional
        Folder of the store.
    """

    runs: tuple[RunSpec, ...]
    done: frozenset[str]
    images: dict[str, int]
    work: dict[str, float]
    words: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    study: str = ""
    store: Path | None = None

    def share(self, number: int, of: int) -> Plan:
        """Give a share of the runs, from 0: always the same runs, whatever is done of them."""
        return replace(self, runs=self.runs[number::of])

    def steps(self, spec: RunSpec) -> int:
        """Give the number of training steps of an epoch of a run."""
        return -(-self.images[spec.run_id] // spec.recipe.batch_size)

    def total_work(self, specs: Iterable[RunSpec]) -> float:
        """Give the work of all steps of some runs."""
        return sum(self.work[s.run_id] * self.steps(s) * _epochs(s.recipe) for s in specs)

    @property
    def missing(self) -> tuple[RunSpec, ...]:
        """The runs that must be computed."""
        return tuple(spec for spec in self.runs if spec.run_id not in self.done)


def _epochs(recipe: RecipeSpec) -> int:
    """Count the epochs of a recipe; one of pre-training decodes too, and counts twice."""
    return recipe.epochs + (2 * recipe.pretraining_epochs if recipe.pretraining != "none" else 0)


def estimate_seconds(plan: Plan, rate: float) -> float:
    """Give the seconds that the missing runs will take, at a measured rate of work (per second)."""
    return plan.total_work(plan.missing) / rate
