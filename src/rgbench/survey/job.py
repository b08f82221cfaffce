"""The work of a survey as a queue hands it on: from a folder and how to classify any process computes a shard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from rgbench.errors import StoreError
from rgbench.measures.calibration import Floats
from rgbench.runs.classifier import Classifier, Views, load_classifier
from rgbench.runs.classify import Ask
from rgbench.runs.engines import TORCH
from rgbench.runs.threads import in_threads
from rgbench.survey.mosaics import reopen_mosaic
from rgbench.survey.plan import Plan
from rgbench.survey.shard import Work, classify_shard

CLASSIFIER = "classifier.safetensors"
"""The classifier as it was when the work began, in the folder of the plan."""


@dataclass(frozen=True)
class Job:
    """A folder of work, and how to classify.

    Attributes
    ----------
    folder : path
        That of the plan; the classifier lies in it.
    views : int or "auto", optional
        Turns and reflections that an answer is averaged over; None for those of the classifier.
    prior : tuple of (str, float)
        Shares of classes in the survey; empty for those of training.
    device : str
        A torch device.
    engine : str
        What computes the networks, one of `rgbench.runs.engines.ENGINES`.
    asked : str
        Checksum of what the plan is of: the folder may hold other work later.
    """

    folder: Path
    views: Views | None = None
    prior: tuple[tuple[str, float], ...] = ()
    device: str = "cpu"
    engine: str = TORCH
    asked: str = ""


def compute(job: Job, shard: int, wait: bool = True, ask: Ask | None = None) -> bool:
    """Classify one shard and write it into place; tell whether it is done.

    With `ask` the networks are held elsewhere, beside a GPU, and all else is computed on the processor.

    A shard that another process is at is waited for, or left to it. The lock spares work and no more: on a file system
    where it does not hold, two processes write the same bytes, one after the other.

    One thread computes: sums are then the same whatever the machine, and processes beside each other are faster.

    Raises
    ------
    StoreError
        If the folder holds other work by now, as where it was given ``--overwrite`` while a queue had jobs left.
    """
    claim = Plan(job.folder).claim(shard)
    try:
        with in_threads(1), FileLock(claim, timeout=-1 if wait else 0):
            work = work_of(job) if ask is None else replace(work_of(replace(job, device="cpu")), ask=ask)
            classify_shard(work, shard)
            claim.unlink(missing_ok=True)
    except Timeout:
        return False
    return True


@lru_cache(maxsize=2)
def work_of(job: Job) -> Work:
    """Load what the shards of a job need; once in each process."""
    plan = Plan(job.folder)
    if plan.facts["asked"] != job.asked:
        raise StoreError(f"{job.folder}: holds the work of another survey by now")
    mosaics = [reopen_mosaic(Path(path), named, place) for path, named, place in plan.facts["mosaics"]]
    return Work(plan, mosaics, _classifier(job), dict(job.prior))


def asker(job: Job) -> Ask:
    """Load the networks of a job, and give what asks them: what a holder beside a GPU does."""
    classifier = _classifier(job)

    def ask(fields: NDArray[np.float32]) -> tuple[Floats, Floats]:
        with in_threads(1):
            return classifier.members_and_unlike(fields, prepared=True)

    return ask


def _classifier(job: Job) -> Classifier:
    classifier = load_classifier(job.folder / CLASSIFIER, job.device).with_engine(job.engine)
    return classifier if job.views is None else classifier.with_views(job.views)
