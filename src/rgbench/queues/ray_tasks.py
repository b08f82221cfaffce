"""Parts as tasks of Ray."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from rgbench.errors import SpecError, one_line, raise_stop
from rgbench.queues.extras import extra
from rgbench.queues.hand_on import Bundle, Compute, Submit, Waiting, compute_bundle

OURS = "RGBENCH_"
"""What the names of our environment variables begin with: tasks have those of the command."""


@dataclass(frozen=True)
class RayChoice:
    """What Ray is asked for, for each task.

    Attributes
    ----------
    address : str, optional
        Of a cluster that is there, as "auto" or "ray://head:10001"; None starts one on this machine.
    cores : int
        Cores of a task.
    gpus : float
        GPUs of a task; below 1 so many tasks share one as fit. Ray hides the others.
    """

    address: str | None = None
    cores: int = 1
    gpus: float = 0.0


class _RayFuture:
    """A task of Ray with the part of the interface of a future that is needed."""

    def __init__(self, ray: Any, task: Any) -> None:
        self._ray, self._task = ray, task

    def done(self) -> bool:
        return bool(self._ray.wait([self._task], timeout=0)[0])

    def result(self) -> Any:
        return self._ray.get(self._task)


@contextmanager
def on_ray(choice: RayChoice) -> Iterator[Submit]:
    """Hand bundles to Ray, each as a task; stops stay those of the command.

    Ray tries nothing again by itself: whoever waits does. Where an error or a stop ends the waiting, the tasks that
    have not ended are cancelled.

    Raises
    ------
    SpecError
        If Ray is not installed, or there is no cluster at the address.
    """
    ray = extra("ray", "--ray", "ray")
    mine = not ray.is_initialized()
    try:
        if mine:
            _begin_ray(ray, choice.address)
    except Exception as error:  # where Ray takes too long to start, it raises one of no kind
        raise_stop(error)
        raise SpecError(f"--ray {choice.address or 'local'}: {one_line(error)}") from error
    told = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    asked = ray.remote(compute_bundle).options(
        num_cpus=choice.cores, num_gpus=choice.gpus, max_retries=0, runtime_env={"env_vars": told}
    )
    tasks = list[Any]()

    def submit(compute: Compute, bundles: Sequence[Bundle]) -> Sequence[Waiting]:
        new = [asked.remote(compute, each) for each in bundles]
        tasks.extend(new)
        return [_RayFuture(ray, each) for each in new]

    try:
        yield submit
    except BaseException:
        if not mine:  # those of a cluster that we leave end with it
            for task in tasks:
                ray.cancel(task, force=True)
        raise
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
