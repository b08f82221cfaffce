"""Frozen specifications: a study (what a user writes) and a run (what is computed).

A study names networks, seeds, a protocol and a data set, and may override any key of the
protocol. It resolves to runs. A run's spec holds every value that its result depends on, and its
id is the hash of that spec: two people with the same spec have the same id.
"""

from __future__ import annotations

from rgbench.spec.parts import (
    LARGEST_BATCH,
    LARGEST_CUTOUT,
    LARGEST_RATE,
    MOST_EPOCHS,
    OWN_KEYS,
    AugmentationSpec,
    DataSpec,
    ImageSpec,
    NetworkSpec,
    RecipeSpec,
)
from rgbench.spec.run import (
    ELSEWHERE,
    SPEC_VERSION,
    AnySpec,
    Elsewhere,
    RunSpec,
    ScoredSpec,
)
from rgbench.spec.study import (
    MOST_RUNS,
    PUBLISHED_SEEDS,
    ScheduleLine,
    Study,
    read_study,
    resolve,
)

__all__ = [
    "ELSEWHERE",
    "LARGEST_BATCH",
    "LARGEST_CUTOUT",
    "LARGEST_RATE",
    "MOST_EPOCHS",
    "MOST_RUNS",
    "OWN_KEYS",
    "PUBLISHED_SEEDS",
    "SPEC_VERSION",
    "AnySpec",
    "AugmentationSpec",
    "DataSpec",
    "Elsewhere",
    "ImageSpec",
    "NetworkSpec",
    "RecipeSpec",
    "RunSpec",
    "ScheduleLine",
    "ScoredSpec",
    "Study",
    "read_study",
    "resolve",
]
