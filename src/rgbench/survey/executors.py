"""Where shards are computed: in this process, or in several of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from threading import Thread

from rgbench.errors import StoreError
from rgbench.survey.job import Job, compute
from rgbench.survey.plan import Plan

Told = Callable[[int], None]
"""Is told the number of a shard that is finished."""
AHEAD = 2
"""Shards that wait for each process."""
STARTS = 3
"""How often processes may die before one of them has begun a shard."""


def run_here(job: Job, shards: Sequence[int], told: Told) -> list[int]:
    """Compute shards one after another in this process; what a shard raises is raised. None is lost."""
    for shard in _in_turns(job, shards):
        told(shard)
    return []


def run_processes(job: Job, shards: Sequence[int], jobs: int, told: Told) -> list[int]:
    """Compute shards in several processes of this machine; give those that were lost.

    When a process dies, all that were begun are tried once more, each in a process of its own: the one that kills
    it again is lost, and no other. The processes end with this one, however it ends, and what is begun then is left.

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

    Raises
    ------
    StoreError
        If processes die again and again before they begin.
    """
    lost: list[int] = []
    waiting, starts = list(shards), 0
    while waiting:
        handed, waiting = _round(job, waiting, jobs, told)
        begun = [shard for shard in handed if Plan(job.folder).claim(shard).exists()]
        waiting = [shard for shard in handed if shard not in begun] + waiting
        starts += bool(handed) and not begun
        if starts == STARTS:
            raise StoreError(
                "processes die before they begin: there may be too little memory for --jobs of them; a script of "
                'Python that classifies in several needs: if __name__ == "__main__":'
            )
        for shard in begun:
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
    """Compute shards; give those that processes had when one died, and those that none had."""
    waiting = list(reversed(shards))
    running: dict[Future[bool], int] = {}
    later: set[int] = set()
    with _pool(jobs) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < AHEAD * jobs:
                    shard = waiting[-1]
                    running[pool.submit(compute, job, shard, shard in later)] = shard
                    waiting.pop()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done, shard = future.result(), running.pop(future)
                    if done:
                        told(shard)
                    else:
                        later.add(shard)
                        waiting.insert(0, shard)
        except BrokenProcessPool:
            return _without_done(job, sorted(running.values()), told), waiting[::-1]
    return [], []


def _without_done(job: Job, shards: Sequence[int], told: Told) -> list[int]:
    """Tell of the shards whose files are there, and give the others."""
    missing = set(Plan(job.folder).missing())
    for shard in shards:
        if shard not in missing:
            told(shard)
    return [shard for shard in shards if shard in missing]


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Give processes that end when they are left: after their work, and at once where an error or a stop leaves them.

    They are told by a pipe whose other end only this process holds. The system closes it if this process is killed.
    """
    context = multiprocessing.get_context("spawn")
    listening, held = context.Pipe(duplex=False)
    with listening, held, ProcessPoolExecutor(jobs, context, _begin, (listening,)) as pool:
        try:
            yield pool
        except BaseException:
            held.close()
            for process in list((pool._processes or {}).values()):
                process.terminate()  # at once, also where it is still loading; Python 3.14 has terminate_workers
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin(held: Connection) -> None:
    """Begin a process: the keys that stop the command are for the process that waits for this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(held,), daemon=True).start()


def _end_with(held: Connection) -> None:
    """End this process when the other end of a pipe is closed."""
    try:
        held.poll(None)
    finally:
        os._exit(1)
