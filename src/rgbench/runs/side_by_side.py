"""Runs of a study side by side: each in a process of its own, with its share of the processor's cores.

How much it saves depends on how well one run uses all cores by itself: docs/modern-recipe.md has what was measured.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

import torch

from rgbench.data.catalogue import DataSet
from rgbench.errors import SpecError, StoreError
from rgbench.extensions import load_extensions, named_in_environment
from rgbench.images.storage import memory_bytes
from rgbench.runs.execute import Bench, Told, execute
from rgbench.runs.listeners import Several
from rgbench.spec import RunSpec
from rgbench.store.store import Store

MEMORY = 2**30
"""Bytes that a run takes beside its images: torch, the network, what the optimiser keeps."""
COPIES = 6
"""Memory of a run's images over that of the data set: 8 bits as they are, and float32 as they are prepared."""
PATIENCE = 1.0
"""Seconds after which one looks whether a process has died."""


@dataclass(frozen=True)
class Team:
    """Processes that compute runs at the same time, and the threads of each.

    Attributes
    ----------
    jobs, threads : int
        Their numbers.
    """

    jobs: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Work:
    """What each process needs to know beside its runs.

    Attributes
    ----------
    dataset : DataSet
        The data.
    store : Path
        Where runs are kept.
    extensions : tuple of str
        What the study adds to the registries, as `Study.extensions`.
    team : Team
        How many runs are under way, and the threads of each.
    """

    dataset: DataSet
    store: Path
    extensions: tuple[str, ...]
    team: Team


def choose_team(n_runs: int, n_bytes: int, device: str, wanted: int | None = None) -> Team:
    """Choose how many runs are computed at the same time.

    Parameters
    ----------
    n_runs : int
        Runs of the study, those in the store too: so a study that was stopped goes on with as many threads.
    n_bytes : int
        Size of the images of the data set.
    device : str
        The device. On another than the CPU runs follow one another.
    wanted : int, optional
        Number of jobs that was asked for; left out, as many as there are cores, runs, and memory for.

    Returns
    -------
    Team
        The threads that torch has now, shared out.

    Raises
    ------
    SpecError
        If the number is not legal, or the device is not the CPU.

    Examples
    --------
    >>> choose_team(9, 10**8, "cuda")
    Team(jobs=1, threads=1)
    """
    check_jobs(wanted, device)
    if torch.device(device).type != "cpu":
        return Team()
    cores = torch.get_num_threads()
    room = memory_bytes() // (2 * (MEMORY + COPIES * n_bytes))
    jobs = min(cores, room) if wanted is None else wanted
    jobs = max(1, min(jobs, n_runs))
    return Team(jobs, max(1, cores // jobs))


def check_jobs(wanted: int | None, device: str) -> None:
    """Raise `SpecError` if so many jobs are not legal on a device: before the work."""
    if wanted is not None and wanted < 1:
        raise SpecError(f"--jobs: found {wanted}; 1 and more are legal")
    if wanted not in (None, 1) and torch.device(device).type != "cpu":
        raise SpecError(f"--jobs: found {wanted} on device {device}; only 1 is legal, more need --device cpu")


def run_side_by_side(runs: Sequence[RunSpec], work: Work, told: Several) -> None:
    """Compute runs that are not in the store, several at a time; they are in the store afterwards, failed ones too.

    Raises
    ------
    StoreError
        If the store cannot be written, or a process dies; the other processes are ended, and what they did
        up to their last epoch stays.
    """
    context, jobs = multiprocessing.get_context("spawn"), min(work.team.jobs, len(runs))
    todo: Any = context.Queue()
    news: Any = context.Queue()
    for spec in runs:
        todo.put(spec)
    for _ in range(jobs):
        todo.put(None)
    by_id, store = {spec.run_id: spec for spec in runs}, Store(work.store)
    with _processes(context, jobs, (work, todo, news)) as processes:
        under_way: dict[int, str] = {}
        finished = 0
        while finished < len(runs):
            try:
                number, kind, run_id, detail = news.get(timeout=PATIENCE)
            except queue.Empty:
                _check_alive(processes, under_way)
                continue
            if kind == "starts":
                under_way[number] = run_id
                told.run_starts(by_id[run_id])
            elif kind == "step":
                told.step(by_id[run_id], *detail)
            elif kind == "epoch":
                told.epoch(by_id[run_id], detail)
            elif kind == "stuck":
                raise StoreError(detail)
            else:
                del under_way[number]
                finished += 1
                told.run_ends(store.record(run_id))


@contextmanager
def _processes(context: SpawnContext, n: int, arguments: tuple[Any, ...]) -> Iterator[list[SpawnProcess]]:
    """Start processes, and leave none behind."""
    processes = [context.Process(target=_compute, args=(k, *arguments), daemon=True) for k in range(n)]
    try:
        for process in processes:
            process.start()
        yield processes
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join()


def _check_alive(processes: Sequence[SpawnProcess], under_way: dict[int, str]) -> None:
    for number, process in enumerate(processes):
        if process.exitcode:
            what = f"run {under_way[number]}" if number in under_way else "a run"
            raise StoreError(
                f"{what}: its process ended with exit code {process.exitcode}, for want of memory perhaps; the same "
                "command goes on where it was, with --jobs 1 in less memory"
            )


def _compute(number: int, work: Work, todo: Any, news: Any) -> None:
    """Compute runs one by one until there are none left; this is a process's whole life."""
    # Ctrl-C reaches all processes of a terminal; the first one decides for the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(work.team.threads)
    load_extensions((*named_in_environment(), *work.extensions))
    bench = Bench(work.dataset, Store(work.store), beside=work.team.jobs - 1)
    for spec in iter(todo.get, None):
        tell = partial(_tell, news, number, spec.run_id)
        tell("starts")
        try:
            execute(spec, bench, Told(partial(_tell_step, tell), partial(tell, "epoch")))
        except StoreError as error:
            tell("stuck", str(error))
            return
        tell("ends")


def _tell_step(tell: Callable[..., None], epoch: int, step: int) -> None:
    """Tell of a step; end if nobody listens any more, as the first process was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        sys.exit(1)
    tell("step", (epoch, step))


def _tell(news: Any, number: int, run_id: str, kind: str, detail: Any = None) -> None:
    news.put((number, kind, run_id, detail))
