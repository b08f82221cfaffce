"""Shards on a cluster: Slurm by submitit, or Ray. Both are extras, and loaded when they are asked for."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from rgbench.errors import SpecError, one_line, raise_stop
from rgbench.survey.executors import Told
from rgbench.survey.job import Job, compute
from rgbench.survey.plan import Plan

PATIENCE = 0.5
"""Seconds between two looks at what a queue has done."""
LOOK = 20.0
"""Seconds between two questions to Slurm which jobs it has."""
SQUEUE = ("squeue", "--me", "--noheader", "--array", "--format=%i")
SCANCEL = ("scancel", "--quiet")
"""The two programs of Slurm that are called: what waits or is at work, and an end to it."""
TRIES = 3
"""How often a shard is handed to a queue before it is lost."""


class Waiting(Protocol):
    """What a queue gives for a bundle: a part of the interface of `concurrent.futures.Future`."""

    def done(self) -> bool:
        """Tell whether it has ended."""

    def result(self) -> Any:
        """Give what came of it, or raise."""


Bundle = tuple[int, ...]
"""Shards that one job of a queue computes, one after another."""
Submit = Callable[[Job, Sequence[Bundle]], Sequence[Waiting]]
"""Hands bundles to a queue, together, and gives what tells of each when it has ended."""


@dataclass(frozen=True)
class Bundles:
    """How shards are handed to a queue.

    Attributes
    ----------
    size : int
        Shards of a bundle, which one job of the queue computes, one after another.
    ahead : int
        Bundles that are handed on before the first has ended: bounds what waits in the queue.
    """

    size: int = 8
    ahead: int = 1000

    def of(self, shards: Sequence[int]) -> list[Bundle]:
        """Cut shards into bundles."""
        starts = range(0, len(shards), self.size)
        return [tuple(shards[start : start + self.size]) for start in starts]


def compute_bundle(job: Job, shards: Sequence[int]) -> int:
    """Compute shards one after another; give their number. What is done already is left alone."""
    for shard in shards:
        compute(job, shard)
    return len(shards)


def run_queue(job: Job, shards: Sequence[int], submit: Submit, told: Told, how: Bundles) -> list[int]:
    """Hand shards to a queue, wait for it, and hand on again what is missing; give the shards that were lost.

    What counts as done is what lies in the folder of the work: a job of the queue that died after it wrote is no
    loss, and two drivers at once do the work once. What is missing is handed on alone, each shard as a bundle: one
    that kills its job takes no other with it. The last failure is told as a warning where shards are lost.

    Parameters
    ----------
    job : Job
        The work.
    shards : sequence of int
        Which.
    submit : callable
        See `Submit`.
    told : callable
        Is told each shard that is finished.
    how : Bundles
        How many at a time.
    """
    missing, failure = list(shards), ""
    for tried in range(TRIES):
        if tried:
            how = replace(how, size=1)
        failure = _wait_for(job, missing, submit, told, how) or failure
        missing = _still_missing(job, missing)
        if not missing:
            return []
    warnings.warn(
        f"the last job of the queue that failed: {failure or 'it ended without a word'}", stacklevel=2
    )
    return missing


def _wait_for(job: Job, shards: Sequence[int], submit: Submit, told: Told, how: Bundles) -> str:
    """Hand bundles to a queue until each has ended, well or not; give what the last that failed said."""
    waiting, running = how.of(shards), list[Waiting]()
    missing, failure = list(shards), ""
    while waiting or running:
        room = how.ahead - len(running)
        if waiting and room > 0:
            running += submit(job, waiting[:room])
            waiting = waiting[room:]
        ended = [future for future in running if future.done()]
        for future in ended:
            failure = _failure_of(future) or failure
        running = [future for future in running if future not in ended]
        missing = _tell(job, missing, told)
        if running:
            time.sleep(PATIENCE)
    return failure


def _still_missing(job: Job, shards: Sequence[int]) -> list[int]:
    """Give those of some shards that are not finished. The folder is read anew: network file systems are then too."""
    missing = set(Plan(job.folder).missing())
    return [shard for shard in shards if shard in missing]


def _tell(job: Job, shards: Sequence[int], told: Told) -> list[int]:
    """Tell of the shards that are finished; give the others."""
    missing = _still_missing(job, shards)
    for shard in sorted({*shards} - {*missing}):
        told(shard)
    return missing


def _failure_of(future: Waiting) -> str:
    """Give what a bundle that has ended failed of, "" if it did not; it is handed on again, whatever it was."""
    try:
        future.result()
    except Exception as error:
        raise_stop(error)
        return _last_line(error)
    return ""


def _last_line(error: Exception) -> str:
    """Give the last line of an error: there stands what happened on another machine, below where it did."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" -")]
    return one_line(lines[-1] if lines else error)


def on_executor(executor: Executor) -> Submit:
    """Hand bundles to any executor with the interface of `concurrent.futures`."""
    return lambda job, bundles: [executor.submit(compute_bundle, job, each) for each in bundles]


@dataclass(frozen=True)
class SlurmChoice:
    """What Slurm is asked for, for each job of the array.

    Attributes
    ----------
    options : dict of str to str
        Parameters of submitit, as slurm_partition, timeout_min, mem_gb, slurm_account.
    cluster : {"slurm", "local"}
        "local" runs the jobs on this machine, for a trial.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    cluster: str = "slurm"


@contextmanager
def on_slurm(folder: Path, choice: SlurmChoice) -> Iterator[Submit]:
    """Hand bundles to Slurm, as arrays of jobs; logs go to a folder of the work.

    Where an error or a stop ends the waiting, the jobs that have not ended are cancelled.

    Raises
    ------
    SpecError
        If submitit is not installed, there is no Slurm here, or an option is not known.
    """
    submitit = _extra("submitit", "--slurm", "slurm")
    try:
        executor = submitit.AutoExecutor(folder=folder / "slurm", cluster=choice.cluster)
        executor.update_parameters(
            **{"timeout_min": 24 * 60, "cpus_per_task": 1, "name": "rgbench", **_typed(choice.options)}
        )
    except (RuntimeError, NameError, ValueError, TypeError) as error:
        raise SpecError(f"--slurm: {one_line(error)}") from error
    handed, listed = list[Any](), _Listed()

    def submit(job: Job, bundles: Sequence[Bundle]) -> Sequence[Waiting]:
        jobs = executor.map_array(compute_bundle, [job] * len(bundles), bundles)
        handed.extend(jobs)
        return [_SlurmFuture(each, listed) for each in jobs] if choice.cluster == "slurm" else list(jobs)

    try:
        yield submit
    except BaseException:
        _cancel(handed, choice.cluster)
        raise


class _Listed:
    """The jobs that Slurm lists, looked up every so often; its accounting, which some clusters lack, is not asked."""

    def __init__(self) -> None:
        self._looked, self._there = float("-inf"), frozenset[str]()

    def has(self, number: str, since: float) -> bool:
        """Tell whether a job that was handed on at a time is waiting or at work, as far as is known."""
        if time.monotonic() - self._looked > LOOK:
            self._look()
        return self._looked < since + LOOK or number in self._there

    def _look(self) -> None:
        with suppress(OSError, subprocess.SubprocessError):  # a controller that is busy is asked again
            found = subprocess.run(SQUEUE, check=True, capture_output=True, text=True, timeout=60)
            self._looked, self._there = time.monotonic(), frozenset(found.stdout.split())


class _SlurmFuture:
    """A job of Slurm with the part of the interface of a future that is needed.

    It has ended when its result lies there, or when Slurm lists it no more: it was killed, or its node died.
    """

    def __init__(self, job: Any, listed: _Listed) -> None:
        self._job, self._listed, self._since = job, listed, time.monotonic()

    def done(self) -> bool:
        return self._has_result() or not self._listed.has(self._job.job_id, self._since)

    def result(self) -> Any:
        if not self._has_result():
            raise RuntimeError(f"job {self._job.job_id} was killed; its log: {self._job.paths.stderr}")
        return self._job.result()

    def _has_result(self) -> bool:
        return bool(self._job.paths.result_pickle.exists())


def _cancel(jobs: Sequence[Any], cluster: str) -> None:
    """Cancel the jobs of Slurm, arrays whole; those of this machine one by one, and wait for their end."""
    if cluster == "slurm":
        arrays = dict.fromkeys(job.job_id.partition("_")[0] for job in jobs)
        if arrays:
            subprocess.run([*SCANCEL, *arrays], check=False, timeout=60)
        return
    open_ = [job for job in jobs if not job.done()]
    for job in open_:
        job.cancel()
    end = time.monotonic() + 10 * PATIENCE
    while time.monotonic() < end and not all(job.done() for job in open_):
        time.sleep(PATIENCE / 10)


def _typed(options: Mapping[str, str]) -> dict[str, Any]:
    return {key: int(value) if value.isdecimal() else value for key, value in options.items()}


class _RayFuture:
    """A task of Ray with the part of the interface of a future that is needed."""

    def __init__(self, ray: Any, task: Any) -> None:
        self._ray, self._task = ray, task

    def done(self) -> bool:
        return bool(self._ray.wait([self._task], timeout=0)[0])

    def result(self) -> Any:
        return self._ray.get(self._task)


@contextmanager
def on_ray(address: str | None) -> Iterator[Submit]:
    """Hand bundles to Ray, each as a task of one core; a task whose worker dies is tried again by Ray itself.

    A task has a GPU beside it where the work is done on one: Ray hides the others. Stops stay those of the command.

    Parameters
    ----------
    address : str, optional
        Of a cluster that is there, as "auto" or "ray://head:10001"; None starts one on this machine.

    Raises
    ------
    SpecError
        If Ray is not installed, or there is no cluster at the address.
    """
    ray = _extra("ray", "--ray", "ray")
    mine = not ray.is_initialized()
    try:
        if mine:
            _begin_ray(ray, address)
    except Exception as error:  # where Ray takes too long to start, it raises one of no kind
        raise_stop(error)
        raise SpecError(f"--ray {address or ''}: {one_line(error)}") from error
    task = ray.remote(compute_bundle)

    def submit(job: Job, bundles: Sequence[Bundle]) -> Sequence[Waiting]:
        gpus = int(job.device.startswith("cuda"))
        asked = task.options(num_cpus=1, num_gpus=gpus, max_retries=TRIES)
        return [_RayFuture(ray, asked.remote(job, each)) for each in bundles]

    try:
        yield submit
    finally:
        if mine:
            ray.shutdown()


def _begin_ray(ray: Any, address: str | None) -> None:
    """Join a cluster, or start one on this machine that tells nobody of it; SIGTERM stays ours, which Ray takes."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address or "local", log_to_driver=False, configure_logging=False, include_dashboard=False
        )
    finally:
        with suppress(ValueError):  # of a thread that is not the main one, which Ray leaves alone too
            signal.signal(signal.SIGTERM, before)


def _extra(module: str, option: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise SpecError(f"{option}: needs the package {module}: pip install 'rgbench[{extra}]'") from None


def job_script(arguments: Sequence[str], shares: int) -> str:
    """Write a job script for queues that know arrays: Slurm, PBS, SGE, LSF.

    Parameters
    ----------
    arguments : sequence of str
        Those of the command, without ``rgbench`` and ``--shard``.
    shares : int
        Jobs of the array.

    Examples
    --------
    >>> print(job_script(["survey", "my sources.fits", "--images", "m", "--out", "o"], 20).splitlines()[-1])
    rgbench survey 'my sources.fits' --images m --out o --jobs 1 --shard "$K/20"
    """
    command = shlex.join(["rgbench", *arguments])
    return f"""#!/bin/bash
#SBATCH --job-name=rgbench --array=1-{shares} --cpus-per-task=1 --mem=4G
#PBS -N rgbench -J 1-{shares} -l select=1:ncpus=1:mem=4gb
# One job of the array computes one of {shares} shares. When all have ended, this command writes the result:
#   {command}
# For a queue of another kind, set K to the number of the job, from 1.
K=${{SLURM_ARRAY_TASK_ID:-${{PBS_ARRAY_INDEX:-${{LSB_JOBINDEX:-$SGE_TASK_ID}}}}}}
cd "${{SLURM_SUBMIT_DIR:-${{PBS_O_WORKDIR:-.}}}}"
{command} --jobs 1 --shard "$K/{shares}"
"""
