"""Parts as arrays of Slurm jobs, by submitit."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rgbench.errors import SpecError, one_line, raise_stop
from rgbench.extras import extra
from rgbench.queues.hand_on import Bundle, Compute, Submit, Waiting, compute_bundle

LOOK = 20.0
"""Seconds between two questions to Slurm which jobs it has."""
SQUEUE = ("squeue", "--me", "--noheader", "--array", "--format=%i")
SCANCEL = ("scancel", "--quiet")
"""The two programs of Slurm that are called: what waits or is at work, and an end to it."""
ENDING = 30.0
"""Seconds that jobs of this machine have to end after they were cancelled: a busy one takes long to load a program."""

SUBMITIT_LOGS = "SUBMITIT_LOG_LEVEL"
"""The environment variable that says what submitit does to logging when it is imported."""


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
        If submitit is not installed, there is no Slurm here, an option is not known, or Slurm refuses the first jobs.
    """
    submitit = _submitit()
    try:
        executor = submitit.AutoExecutor(folder=folder / "slurm", cluster=choice.cluster)
        executor.update_parameters(
            **{"timeout_min": 24 * 60, "cpus_per_task": 1, "name": "rgbench", **_typed(choice.options)}
        )
    except (RuntimeError, NameError, ValueError, TypeError) as error:
        raise SpecError(f"--slurm: {one_line(error)}") from error
    handed, listed = list[Any](), _Listed()

    def submit(compute: Compute, bundles: Sequence[Bundle]) -> Sequence[Waiting]:
        try:
            jobs = executor.map_array(compute_bundle, [compute] * len(bundles), bundles)
        except (RuntimeError, subprocess.SubprocessError, OSError) as error:
            raise_stop(error)
            if not handed:
                raise SpecError(f"--slurm: {one_line(error)}") from error
            return [_Refused(error) for _ in bundles]
        handed.extend(jobs)
        return [_SlurmFuture(each, listed) for each in jobs] if choice.cluster == "slurm" else list(jobs)

    try:
        yield submit
    except BaseException:
        _cancel(handed, choice.cluster)
        raise


def _submitit() -> Any:
    """Import submitit, and keep it from setting up logging, which closes the handlers that the program has."""
    asked = os.environ.get(SUBMITIT_LOGS)
    os.environ[SUBMITIT_LOGS] = asked or "NOCONFIG"
    try:
        return extra("submitit", "--slurm:", "slurm")
    finally:
        if asked is None:
            del os.environ[SUBMITIT_LOGS]


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


class _Refused:
    """A job that Slurm did not take while others were on their way, as when it is busy; it ends after a while."""

    def __init__(self, error: Exception) -> None:
        self._error, self._since = error, time.monotonic()

    def done(self) -> bool:
        return time.monotonic() - self._since > LOOK

    def result(self) -> Any:
        raise self._error


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
    end = time.monotonic() + ENDING
    while time.monotonic() < end and not all(job.done() for job in open_):
        time.sleep(0.05)


def _typed(options: Mapping[str, str]) -> dict[str, Any]:
    return {key: int(value) if value.isdecimal() else value for key, value in options.items()}
