"""Where shards are computed: in this process, or in several of this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from rgbench.survey.job import Job, compute

Told = Callable[[int], None]
"""Is told the number of a shard that is finished."""
AHEAD = 2
"""Shards that wait for each process."""


def run_here(job: Job, shards: Sequence[int], told: Told) -> list[int]:
    """Compute shards one after another in this process; what a shard raises is raised. None is lost."""
    for shard in _in_turns(job, shards):
        told(shard)
    return []


def run_processes(job: Job, shards: Sequence[int], jobs: int, told: Told) -> list[int]:
    """Compute shards in several processes of this machine; give those that were lost.

    When a process dies, all that were at work are tried once more, each in a process of its own: the one that kills
    it again is lost, and no other.

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
    lost: list[int] = []
    waiting = list(shards)
    while waiting:
        at_work, waiting = _round(job, waiting, jobs, told)
        for shard in at_work:
            lost += _round(job, [shard], 1, told)[0]
    return lost


def _in_turns(job: Job, shards: Sequence[int]) -> Iterator[int]:
    """Compute shards, last those that another process is at."""
    later = []
    for shard in shards:
        if compute(job, shard, wait=False):
            yield shard
        else:
            later.append(shard)
    for shard in later:
        compute(job, shard)
        yield shard


def _round(job: Job, shards: Sequence[int], jobs: int, told: Told) -> tuple[list[int], list[int]]:
    """Compute shards; give those that were at work when a process died, and those that had not begun."""
    waiting = list(reversed(shards))
    running: dict[Future[bool], int] = {}
    later: set[int] = set()
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < AHEAD * jobs:
                    shard = waiting.pop()
                    running[pool.submit(compute, job, shard, shard in later)] = shard
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done, shard = future.result(), running.pop(future)
                    if done:
                        told(shard)
                    else:
                        later.add(shard)
                        waiting.insert(0, shard)
        except BrokenProcessPool:
            return sorted(running.values()), waiting[::-1]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [], []
