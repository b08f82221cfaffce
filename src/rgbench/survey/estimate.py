"""What a survey will take: bytes and hours, by a short trial on its first sources."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from rgbench.runs.threads import in_threads
from rgbench.survey.job import work_of
from rgbench.survey.shard import try_rows
from rgbench.survey.survey import Survey, usable_cores

TRIAL = 64
"""Sources of the trial."""
_ROW = 120
"""Bytes of our columns in a row, beside those of the catalogue."""


@dataclass(frozen=True)
class Estimate:
    """What a survey will take.

    Attributes
    ----------
    rows : int
        Rows that are still to be looked at.
    pixel_bytes, result_bytes : int
        Bytes of the images, and of the result.
    rate : float
        Sources that one process classifies in a second.
    jobs : int
        Processes.
    seconds : float
        Time that is left.
    """

    rows: int
    pixel_bytes: int
    result_bytes: int
    rate: float
    jobs: int

    @property
    def seconds(self) -> float:
        """Time that is left."""
        return self.rows / (self.rate * self.jobs)


def estimate(survey: Survey, jobs: int | None = None) -> Estimate:
    """Try the first sources, and tell what all will take; no class is kept."""
    missing = survey.plan.missing()
    rows = sum(survey.plan.size_of(shard) for shard in missing)
    used = {survey.plan.mosaic_of(shard) for shard in missing}
    pixels = sum(4 * int(np.prod(survey.mosaics[number].shape)) for number in used)
    written = survey.catalogue.path.stat().st_size + _ROW * len(survey.catalogue)
    rate = _rate(survey, missing[0]) if missing else float("inf")
    return Estimate(rows, pixels, written, rate, jobs or usable_cores())


def _rate(survey: Survey, shard: int) -> float:
    rows = min(TRIAL, survey.plan.size_of(shard))
    with in_threads(1):
        work = work_of(survey.job)
        try_rows(work, shard, min(8, rows))  # what is slow the first time
        began = time.perf_counter()
        try_rows(work, shard, rows)
        return rows / (time.perf_counter() - began)
