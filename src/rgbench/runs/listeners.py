"""Who is told how a study goes, by name or as an object."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

from rgbench.errors import SpecError, raise_stop
from rgbench.registry import Registry
from rgbench.runs.plan import Plan
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord


class Listener(Protocol):
    """Who is told how a study goes.

    One that also has a method ``tries(network)`` is told, before the study starts, of each network whose arithmetic is
    tried.
    """

    def starts(self, plan: Plan) -> None:
        """Called once, before the first run."""

    def run_starts(self, spec: RunSpec) -> None:
        """Called before each run that must be computed."""

    def step(self, spec: RunSpec, epoch: int, step: int) -> None:
        """Called after each training step."""

    def run_ends(self, record: RunRecord) -> None:
        """Called after each run, computed or found in the store."""


class Silence:
    """A listener that says nothing; derive from it to hear only some of what is told."""

    def starts(self, plan: Plan) -> None:
        """Do nothing."""

    def run_starts(self, spec: RunSpec) -> None:
        """Do nothing."""

    def step(self, spec: RunSpec, epoch: int, step: int) -> None:
        """Do nothing."""

    def run_ends(self, record: RunRecord) -> None:
        """Do nothing."""


def hear_of_trials(listener: Listener) -> Callable[[str], None]:
    """Give what tells a listener of a network whose arithmetic is tried; nothing is done if it does not hear of it."""
    heard: Callable[[str], None] = getattr(listener, "tries", lambda network: None)
    return heard


class Several:
    """A listener that tells others, in their order.

    One that raises is told nothing more and stops no run; `dropped` says which it was, and why.

    Examples
    --------
    >>> told = Several(Silence(), make_listener("silence"))
    >>> told.run_starts(None)
    >>> told.dropped
    []
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = list(listeners)
        self.dropped: list[str] = []

    def tries(self, network: str) -> None:
        """Tell those who want to hear it that the arithmetic of a network is tried."""
        self._tell(lambda listener: hear_of_trials(listener)(network))

    def starts(self, plan: Plan) -> None:
        """Tell all that the study starts."""
        self._tell(lambda listener: listener.starts(plan))

    def run_starts(self, spec: RunSpec) -> None:
        """Tell all that a run starts."""
        self._tell(lambda listener: listener.run_starts(spec))

    def step(self, spec: RunSpec, epoch: int, step: int) -> None:
        """Tell all of a training step."""
        self._tell(lambda listener: listener.step(spec, epoch, step))

    def run_ends(self, record: RunRecord) -> None:
        """Tell all of the end of a run."""
        self._tell(lambda listener: listener.run_ends(record))

    def _tell(self, call: Callable[[Listener], None]) -> None:
        for listener in tuple(self._listeners):
            try:
                call(listener)
            except Exception as error:
                raise_stop(error)
                self._listeners.remove(listener)
                name = type(listener).__name__
                self.dropped.append(
                    f"listener {name} raised {type(error).__name__}: {error}; it was told nothing more"
                )


@cache
def listeners() -> Registry[Callable[[], Listener]]:
    """Give the registry of listeners: callables without arguments, such as a class, that make one.

    Others join it by entry points ``rgbench.listeners`` or `rgbench.register`.
    """
    registry = Registry("listener", "rgbench.listeners", _factory)
    registry.register("silence", Silence)
    return registry


def make_listener(name: str) -> Listener:
    """Make a listener by its name.

    Raises
    ------
    SpecError
        If there is none of that name, making it raises, or what is made lacks one of the methods of `Listener`.
    """
    factory = listeners().get(name)
    try:
        made = factory()
    except Exception as error:
        raise SpecError(f"listener {name!r} raised {type(error).__name__}: {error}") from error
    lacking = [m for m in ("starts", "run_starts", "step", "run_ends") if not hasattr(made, m)]
    if lacking:
        raise SpecError(f"listener {name!r}: {type(made).__name__} has no method {', '.join(lacking)}")
    return made


def _factory(name: str, item: Any) -> Callable[[], Listener]:
    """Check what was registered; `SpecError` says what is legal."""
    if not callable(item):
        raise SpecError(
            f"listener {name!r} is a {type(item).__name__}; a class or function that makes one is legal"
        )
    found: Callable[[], Listener] = item
    return found
