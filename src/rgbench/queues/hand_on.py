"""Work handed to a queue, part by part, until each part is done or lost."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from rgbench.errors import one_line, raise_stop

PATIENCE = 0.5
"""Seconds between two looks at what a queue has done."""
TRIES = 3
"""How often a part is handed to a queue before it is lost."""
MOST_JOBS = 1000
"""Jobs of a queue at a time: what most clusters take as one array."""
T = TypeVar("T", bound=Hashable)


class Waiting(Protocol):
    """What a queue gives for a bundle: a part of the interface of `concurrent.futures.Future`."""

    def done(self) -> bool:
        """Tell whether it has ended."""

    def result(self) -> Any:
        """Give what came of it, or raise."""


Compute = Callable[[Any], object]
"""Computes one part. Queues pickle it: a function of a module, or a `functools.partial` of one."""
Bundle = Sequence[Any]
"""Parts that one job of a queue computes, one after another."""
Submit = Callable[[Compute, Sequence[Bundle]], Sequence[Waiting]]
"""Hands bundles to a queue, together, and gives what tells of each when it has ended."""


def _ignore(part: object, why: str) -> None:
    """Hear of a part that is handed on again, and do nothing."""


@dataclass(frozen=True)
class Work(Generic[T]):
    """Work that is cut into parts, each named by something that can be hashed.

    Attributes
    ----------
    compute : callable
        Computes a part, in a job of the queue, and stores what comes of it. A part that is done is left alone.
    missing : callable
        Gives those of some parts that are not done, in their order: it looks at what is stored, each time anew.
    told : callable
        Is told each part that is done.
    again : callable
        Is told each part that is handed on again, and why: the last words of the job that did not do it.
    """

    compute: Callable[[T], object]
    missing: Callable[[Sequence[T]], Sequence[T]]
    told: Callable[[T], None]
    again: Callable[[T, str], None] = _ignore


@dataclass(frozen=True)
class Bundles:
    """How parts are handed to a queue.

    Attributes
    ----------
    size : int
        Parts of a bundle, which one job of the queue computes, one after another.
    ahead : int
        Bundles that are handed on before the first has ended: bounds what waits in the queue.
    look : float
        Seconds between two looks at what is stored, while no job has ended.
    """

    size: int = 8
    ahead: int = MOST_JOBS
    look: float = 0.0

    def of(self, parts: Sequence[T]) -> list[Sequence[T]]:
        """Cut parts into bundles."""
        starts = range(0, len(parts), self.size)
        return [tuple(parts[start : start + self.size]) for start in starts]


def compute_bundle(compute: Compute, parts: Sequence[Any]) -> int:
    """Compute parts one after another; give their number."""
    for part in parts:
        compute(part)
    return len(parts)


def run_queue(work: Work[T], parts: Sequence[T], submit: Submit, how: Bundles) -> dict[T, str]:
    """Hand parts to a queue, wait for it, and hand on again what is missing; give the parts that were lost, and why.

    What counts as done is what is stored: a job that died after it wrote is no loss, and what another driver has done
    meanwhile is not handed on. What a job leaves undone is handed on at once, each part as a bundle: one that kills
    its job takes no other with it.

    Parameters
    ----------
    work : Work
        The work.
    parts : sequence
        Those that are to be done.
    submit : callable
        See `Submit`.
    how : Bundles
        How many at a time.
    """
    return _Driver(work, parts, submit, how).run()


class _Driver(Generic[T]):
    """Work on its way through a queue."""

    def __init__(self, work: Work[T], parts: Sequence[T], submit: Submit, how: Bundles) -> None:
        self._work, self._submit, self._how = work, submit, how
        self._waiting = deque(how.of(parts))
        self._running: list[tuple[Waiting, Sequence[T]]] = []
        self._missing = dict.fromkeys(parts)  # a set that keeps its order
        self._tries: Counter[T] = Counter()
        self._lost: dict[T, str] = {}
        self._looked = time.monotonic()

    def run(self) -> dict[T, str]:
        """Go on until nothing waits and nothing runs."""
        while self._waiting or self._running:
            self._hand_on()
            ended, running = list[tuple[Waiting, Sequence[T]]](), list[tuple[Waiting, Sequence[T]]]()
            for each in self._running:
                (ended if each[0].done() else running).append(each)
            self._running = running
            if ended or time.monotonic() - self._looked >= self._how.look:
                self._look()
            for future, bundle in ended:
                self._take_back(future, bundle)
            if self._running:
                time.sleep(PATIENCE)
        if self._lost:  # another driver may have done it meanwhile
            self._look()
        return {part: why for part, why in self._lost.items() if part in self._missing}

    def _hand_on(self) -> None:
        """Hand on as many bundles as there is room for, without what is done by now."""
        bundles = list[Sequence[T]]()
        while self._waiting and len(self._running) + len(bundles) < self._how.ahead:
            bundle = [part for part in self._waiting.popleft() if part in self._missing]
            if bundle:
                bundles.append(tuple(bundle))
        if bundles:
            self._running += zip(self._submit(self._work.compute, bundles), bundles, strict=True)

    def _look(self) -> None:
        """Look at what is stored, and tell of the parts that are done."""
        missing = set(self._work.missing(list(self._missing)))
        for part in [part for part in self._missing if part not in missing]:
            del self._missing[part]
            self._work.told(part)
        self._looked = time.monotonic()

    def _take_back(self, future: Waiting, bundle: Sequence[T]) -> None:
        """Put what a job that has ended left undone back into the row, or give it up."""
        failure = _failure_of(future) or "it ended without a word"
        for part in bundle:
            if part not in self._missing:
                continue
            self._tries[part] += 1
            if self._tries[part] < TRIES:
                self._waiting.append((part,))
                self._work.again(part, failure)
            else:
                self._lost[part] = failure


def _failure_of(future: Waiting) -> str:
    """Give what a bundle that has ended failed of, "" if it did not; it is handed on again, whatever it was."""
    try:
        future.result()
    except Exception as error:
        raise_stop(error)
        return last_line(error)
    return ""


def last_line(error: Exception) -> str:
    """Give the last line of an error: there stands what happened on another machine, below where it did."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" -")]
    return one_line(lines[-1] if lines else error)
