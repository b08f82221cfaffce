"""Parts as tasks of Ray."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from rgbench.errors import SpecError, one_line, raise_stop
from rgbench.extras import extra
from rgbench.queues.hand_on import Bundle, Compute, Submit, Waiting, compute_bundle, last_line

RESTARTS = 10
"""How often a holder that dies is started anew, as on a node that was taken away; what kills it each time ends so."""
PATIENCE = 30.0
"""Seconds after which it is said that holders are waited for."""
OURS = "RGBENCH_"
"""What the names of our environment variables begin with: tasks have those of the command."""


@dataclass(frozen=True)
class RayChoice:
    """What Ray is asked for.

    Attributes
    ----------
    address : str, optional
        Of a cluster that is there, as "auto" or "ray://head:10001"; None starts one on this machine.
    cores : int
        Cores of a task.
    gpus : float
        GPUs of a task, or of a holder if there are any; below 1 so many share one as fit. Ray hides the others.
    holders : int, optional
        How many holders there are, if any are wanted; None for one for each GPU of the cluster.
    """

    address: str | None = None
    cores: int = 1
    gpus: float = 0.0
    holders: int | None = None


class _RayFuture:
    """A task of Ray with the part of the interface of a future that is needed."""

    def __init__(self, ray: Any, task: Any) -> None:
        self._ray, self._task = ray, task

    def done(self) -> bool:
        return bool(self._ray.wait([self._task], timeout=0)[0])

    def result(self) -> Any:
        return self._ray.get(self._task)


class _Holder:
    """An actor of Ray that holds what is costly to load, as networks beside a GPU, and answers tasks."""

    def __init__(self, load: Callable[[], Callable[..., Any]]) -> None:
        self._answer = load()

    def ready(self) -> bool:
        return True

    def ask(self, *asked: Any) -> Any:
        return self._answer(*asked)


@dataclass(frozen=True)
class Held:
    """What a task calls to have something computed by a holder; if that kills it twice, the task fails."""

    holders: tuple[Any, ...]

    def __call__(self, *asked: Any) -> Any:
        """Give what a holder answers; it is waited for while it is started anew on another node."""
        holder = self.holders[os.getpid() % len(self.holders)]
        return import_module("ray").get(holder.ask.remote(*asked))


@contextmanager
def on_ray(choice: RayChoice, load: Callable[[], Callable[..., Any]] | None = None) -> Iterator[Submit]:
    """Hand bundles to Ray, each as a task; stops stay those of the command.

    Ray tries no task again by itself: whoever waits does. Where an error or a stop ends the waiting, the tasks that
    have not ended are cancelled.

    Parameters
    ----------
    choice : RayChoice
        What is asked for.
    load : callable, optional
        Loads what answers. It is called once in each holder, beside a GPU; tasks then take no GPU, and `compute` gets
        another argument, ``ask``, which calls what was loaded. A holder that dies is started anew.

    Raises
    ------
    SpecError
        If Ray is not installed, there is no cluster at the address, it has no GPU for a holder, or a holder cannot
        load.
    """
    ray = extra("ray", "--ray:", "ray")
    mine = not ray.is_initialized()
    try:
        if mine:
            _begin_ray(ray, choice.address)
    except Exception as error:  # where Ray takes too long to start, it raises one of no kind
        raise_stop(error)
        raise SpecError(f"--ray {choice.address or 'local'}: {one_line(error)}") from error
    told = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    how = {"max_retries": 0, "runtime_env": {"env_vars": told}}
    tasks, holders = list[Any](), list[Any]()
    try:
        if load is not None:
            holders.extend(_holders(ray, choice, load, told))
        gpus = 0.0 if holders else choice.gpus
        asked = ray.remote(compute_bundle).options(num_cpus=choice.cores, num_gpus=gpus, **how)

        def submit(compute: Compute, bundles: Sequence[Bundle]) -> Sequence[Waiting]:
            own: Callable[..., object] = compute
            if holders:
                own = partial(own, ask=Held(tuple(holders)))
            new = [asked.remote(own, each) for each in bundles]
            tasks.extend(new)
            return [_RayFuture(ray, each) for each in new]

        yield submit
    except BaseException:
        if not mine:  # those of a cluster that we leave end with it
            for task in tasks:
                ray.cancel(task, force=True)
        raise
    finally:
        for holder in holders:
            ray.kill(holder)
        if mine:
            ray.shutdown()


def _holders(
    ray: Any, choice: RayChoice, load: Callable[[], Callable[..., Any]], told: dict[str, str]
) -> list[Any]:
    """Start holders, and wait until each has loaded."""
    where = f"--ray {choice.address or 'local'}"
    n = int(ray.cluster_resources().get("GPU", 0)) if choice.holders is None else choice.holders
    if not n:
        raise SpecError(f"{where}: the cluster has no GPU; --device cpu computes on its processors")
    kind = ray.remote(_Holder).options(
        num_cpus=0,
        num_gpus=choice.gpus,
        max_restarts=RESTARTS,
        max_task_retries=1,
        runtime_env={"env_vars": told},
    )
    made = [kind.remote(load) for _ in range(n)]
    told_ready = [each.ready.remote() for each in made]
    try:
        waiting = ray.wait(told_ready, num_returns=n, timeout=PATIENCE)[1]
        if waiting:
            warnings.warn(
                f"{where}: {len(waiting)} of {n} GPUs are not free yet; they are waited for", stacklevel=2
            )
        ray.get(told_ready)
    except Exception as error:  # Ray has kinds of its own for what went wrong there
        raise_stop(error)
        for each in made:
            ray.kill(each)
        raise SpecError(f"{where}: the networks cannot be loaded there: {last_line(error)}") from None
    return made


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
