"""Who is told how a study goes, by name or as an object."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol

from rgbench.errors import RgbenchError, SpecError, one_line, raise_stop
from rgbench.registry import Registry
from rgbench.runs.plan import Plan
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord

History = Mapping[str, Sequence[float]]
"""What an epoch's end tells: a column per name of `rgbench.store.tables.HISTORY_COLUMNS`, a row per epoch so far."""


class Listener(Protocol):
    """Who is told how a study goes.

    Two more methods are called where a listener has them: ``tries(network)``, before the study starts, of each network
    whose arithmetic is tried; and ``epoch(spec, history)``, after each epoch of a run that is computed here, with the
    history so far (see `History`).
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


class Several:
    """A listener that tells others, in their order.

    One that raises is told nothing more and stops no run; `dropped` says which it was, and why.

    Parameters
    ----------
    *listeners : Listener
        The others.
    say : callable
        Is told at once, in a sentence, which one raised; by default a warning says it.

    Examples
    --------
    >>> told = Several(Silence(), make_listener("silence"))
    >>> told.run_starts(None)
    >>> told.dropped
    []
    """

    def __init__(self, *listeners: Listener, say: Callable[[str], None] = warnings.warn) -> None:
        self._listeners = list(listeners)
        self._say = say
        self.dropped: list[str] = []

    def tries(self, network: str) -> None:
        """Tell those who want to hear it that the arithmetic of a network is tried."""
        self._tell(lambda listener: _method(listener, "tries")(network))

    def starts(self, plan: Plan) -> None:
        """Tell all that the study starts."""
        self._tell(lambda listener: listener.starts(plan))

    def run_starts(self, spec: RunSpec) -> None:
        """Tell all that a run starts."""
        self._tell(lambda listener: listener.run_starts(spec))

    def step(self, spec: RunSpec, epoch: int, step: int) -> None:
        """Tell all of a training step."""
        self._tell(lambda listener: listener.step(spec, epoch, step))

    def epoch(self, spec: RunSpec, history: History) -> None:
        """Tell those who want to hear it of the end of an epoch."""
        self._tell(lambda listener: _method(listener, "epoch")(spec, history))

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
                self.dropped.append(_why_dropped(type(listener).__name__, error))
                self._say(self.dropped[-1])


def _method(listener: Listener, name: str) -> Callable[..., None]:
    """Give a method that a listener need not have; nothing is done by what stands for one that it lacks."""
    found: Callable[..., None] = getattr(listener, name, lambda *told: None)
    return found


def _why_dropped(name: str, error: Exception) -> str:
    # What the package raises on purpose is a sentence already.
    said = (
        f": {error}"
        if isinstance(error, RgbenchError)
        else f" raised {type(error).__name__}: {one_line(error)}"
    )
    return f"listener {name}{said}; it was told nothing more"


Chosen = Listener | str | Sequence[Listener | str]
"""Listeners as one names them: an object, a name of the registry, or several of either."""


def all_of(chosen: Chosen) -> Several:
    """Give one listener that tells all that were chosen.

    Raises
    ------
    SpecError
        As for `make_listener`.

    Examples
    --------
    >>> all_of(("silence", Silence())).dropped
    []
    """
    if isinstance(chosen, Several):
        return chosen
    several = [chosen] if isinstance(chosen, str) or not isinstance(chosen, Sequence) else chosen
    return Several(*(make_listener(each) if isinstance(each, str) else each for each in several))


OWN = MappingProxyType(
    {
        "progress": "rgbench.runs.progress:TextProgress",
        "tensorboard": "rgbench.runs.trackers.tensorboard:TensorBoard",
        "mlflow": "rgbench.runs.trackers.mlflow:Mlflow",
    }
)
"""Listeners that ship, by name: module and class, imported when one is made."""


@cache
def listeners() -> Registry[Callable[[], Listener]]:
    """Give the registry of listeners: callables without arguments, such as a class, that make one.

    Others join it by entry points ``rgbench.listeners`` or `rgbench.register`.

    Examples
    --------
    >>> listeners().names()[:4]
    ['silence', 'progress', 'tensorboard', 'mlflow']
    """
    registry = Registry("listener", "rgbench.listeners", _factory)
    registry.register("silence", Silence)
    for name, place in OWN.items():
        registry.register(name, partial(_make, place))
    return registry


def _make(place: str) -> Listener:
    """Make a listener of a class that is named by its place."""
    module, _, name = place.partition(":")
    made: Listener = getattr(import_module(module), name)()
    return made


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
    except SpecError:  # an extra that is not installed: its message says what to do
        raise
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
