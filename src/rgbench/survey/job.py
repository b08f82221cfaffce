"""The work of a survey as a queue hands it on: from a folder and how to classify any process computes a shard."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from rgbench.runs.classifier import load_classifier
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
    views : int, optional
        Turns and reflections that an answer is averaged over; None for those of the classifier.
    prior : tuple of (str, float)
        Shares of classes in the survey; empty for those of training.
    device : str
        A torch device.
    """

    folder: Path
    views: int | None = None
    prior: tuple[tuple[str, float], ...] = ()
    device: str = "cpu"


def compute(job: Job, shard: int) -> int:
    """Classify one shard, write it into place, and give the number of its rows.

    One thread computes: sums are then the same whatever the machine, and processes beside each other are faster.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return classify_shard(work_of(job), shard)
    finally:
        torch.set_num_threads(threads)


@cache
def work_of(job: Job) -> Work:
    """Load what the shards of a job need; once in each process."""
    plan = Plan(job.folder)
    classifier = load_classifier(job.folder / CLASSIFIER, job.device)
    if job.views is not None:
        classifier = classifier.with_views(job.views)
    mosaics = [reopen_mosaic(Path(path), named, place) for path, named, place in plan.facts["mosaics"]]
    return Work(plan, mosaics, classifier, dict(job.prior))
