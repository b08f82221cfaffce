"""Where shards are computed: in this process, or in several of this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from rgbench.survey.job import Job, compute

Told = Callable[[int, int], None]
"""Is told the number of a shard that is finished, and of its rows."""
AHEAD = 2
"""Shards that wait for each process."""


@dataclass(frozen=True)
class Lost:
    """A shard whose process died, or that raised what should not be raised.

    Attributes
    ----------
    shard : int
        Which one.
    reason : str
        What is known of it.
    """

    shard: int
    reason: str


def run_here(job: Job, shards: Sequence[int], told: Told) -> list[Lost]:
    """Compute shards one after another in this process; what a shard raises is raised."""
    for shard in shards:
        told(shard, compute(job, shard))
    return []


def run_processes(job: Job, shards: Sequence[int], jobs: int, told: Told) -> list[Lost]:
    """Compute shards in several processes of this machine, the default.

    A process that dies costs the shard that it was at; it is tried once more, alone.

    Parameters
    ----------
    job : Job
        The work.
    shards : sequence of int
        Which.
    jobs : int
        How many processes.
    told : callable
        See `Told`.
    """
    suspects = _round(job, shards, jobs, told)
    lost: list[Lost] = []
    for shard in suspects:
        if _round(job, [shard], 1, told):
            lost.append(Lost(shard, "the process that read it died"))
    return lost


def _round(job: Job, shards: Sequence[int], jobs: int, told: Told) -> list[int]:
    """Compute shards; give those that were at work, or had not begun, when a process died."""
    waiting = list(reversed(shards))
    running: dict[Future[int], int] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < AHEAD * jobs:
                    shard = waiting.pop()
                    running[pool.submit(compute, job, shard)] = shard
                finished: set[Future[int]] = wait(running, return_when=FIRST_COMPLETED).done
                for future in finished:
                    rows = future.result()
                    told(running.pop(future), rows)
        except BrokenProcessPool:
            return sorted([*running.values(), *waiting])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return []
