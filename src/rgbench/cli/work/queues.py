"""What commands whose work goes to a queue have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rgbench.cli.queues import QueueAsked
from rgbench.cli.screen import console, say
from rgbench.cli.work.data import pairs
from rgbench.errors import SpecError
from rgbench.queues.hand_on import Submit
from rgbench.queues.job_script import job_script
from rgbench.queues.ray_tasks import RayChoice, on_ray
from rgbench.queues.slurm import SlurmChoice, on_slurm

_OF_JOBS = ("--job-script", "--gpus-per-run")
"""Options that the jobs of a script are not given."""


def parse_share(word: str | None) -> tuple[int, int]:
    """Read ``K/N``, K from 1; raise `SpecError` for another.

    Examples
    --------
    >>> parse_share("2/8"), parse_share(None)
    ((1, 8), (0, 1))
    """
    if word is None:
        return 0, 1
    one, slash, all_ = word.partition("/")
    if not (slash and one.isdecimal() and all_.isdecimal() and 1 <= int(one) <= int(all_)):
        raise SpecError(f"--shard: found {word!r}; K/N is legal, as 2/8, with K from 1 to N")
    return int(one) - 1, int(all_)


def print_job_script(jobs: int, cores: int = 1, gpus: int = 0) -> None:
    """Print the job script of the command that was given."""
    words = without(sys.argv[1:], _OF_JOBS)
    say(console(), *job_script(words, jobs, cores, gpus).splitlines())


def without(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Give the words of a command without some options and their values.

    Examples
    --------
    >>> without(["run", "s.toml", "--job-script", "3", "--store=s", "--gpus-per-run=1"], _OF_JOBS)
    ['run', 's.toml', '--store=s']
    """
    words, left = iter(arguments), list[str]()
    for word in words:
        if word in options:
            next(words, None)
        elif word.partition("=")[0] not in options:
            left.append(word)
    return left


@contextmanager
def queue_of(
    asked: QueueAsked,
    folder: Path,
    cores: int = 1,
    gpus: float = 0.0,
    load: Callable[[], Callable[..., Any]] | None = None,
) -> Iterator[Submit | None]:
    """Give what hands work to the queue that was asked for, None for this machine.

    Parameters
    ----------
    asked : QueueAsked
        Which queue.
    folder : path
        Logs of Slurm go to a folder in it.
    cores : int
        Cores of a job.
    gpus : float
        GPUs of a job; for Slurm a whole number, and 0 where the settings say it.
    load : callable, optional
        What holders of Ray load, beside a GPU each (see `rgbench.queues.ray_tasks.on_ray`).
    """
    if asked.ray is not None:
        with on_ray(RayChoice(None if asked.ray == "local" else asked.ray, cores, gpus), load) as submit:
            yield submit
    elif asked.slurm is not None:
        options = slurm_settings(asked)
        cluster = options.pop("cluster", "slurm")
        of_job = {"cpus_per_task": str(cores)} | ({"gpus_per_node": str(int(gpus))} if gpus else {})
        with on_slurm(folder, SlurmChoice(of_job | options, cluster)) as submit:
            yield submit
    else:
        yield None


def slurm_settings(asked: QueueAsked) -> dict[str, str]:
    """Give the settings of Slurm that were asked for, by their keys."""
    return pairs("--slurm-option", asked.slurm or ())
