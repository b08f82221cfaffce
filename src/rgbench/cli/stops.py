"""What Ctrl-C, SIGTERM and SIGHUP do to a command, and what is said then."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from _thread import interrupt_main
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Timer, current_thread, main_thread
from types import FrameType, MappingProxyType
from typing import Any
from weakref import finalize

from rgbench.errors import Stopped

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Windows has no SIGHUP."""
_SOON = 0.01
"""Seconds until a stop that was dropped is sent again."""
_ECHO = 0.3
"""Seconds after a stop in which another signal is the same one: ``timeout`` sends to the process and to its group."""
_SHOW_CURSOR = b"\x1b[?25h"
_IN_STORE = "runs and epochs that were finished are in the store; to go on from there"
_KEPT: Mapping[str, str] = MappingProxyType(
    {
        "run": _IN_STORE,
        "quickstart": _IN_STORE,
        "replicate": _IN_STORE,
        "stress": "conditions that were computed are in the store; to go on from there",
        "uncertainty": "what was computed of other runs is in the store; to go on from there",
        "explain": "what was computed of other runs is in the store; to go on from there",
        "predict": "the first images were not yet classified, and there is no table; to begin again",
        "classify": "images that were fetched are kept; to go on from there",
        "export": "the classifier is written whole at the end, or not at all; to begin again",
        "survey": "parts of the work that were finished are kept; to go on from there",
        "finetune": "the classifier is written whole at the end, or not at all; to begin again",
        "data": "files that were complete stay; to go on from there",
    }
)
_OTHERWISE = "files that were complete stay; to begin again"


@contextmanager
def stoppable() -> Iterator[None]:
    """Make the first signal raise `Stopped`, and the second, unless it comes with the first, end the process at once.

    A stop that is lost on its way up is raised again: whatever caught it, or cleared it in C, would otherwise go on.
    An error that comes up in place of the stop is turned into it. A signal that the process was started to ignore, as
    by ``nohup``, stays ignored. In threads other than the main one, which cannot handle signals, nothing changes.
    """
    if current_thread() is not main_thread():
        yield
        return
    stops, hook = _Stops(), sys.unraisablehook
    before = {
        number: signal.signal(number, stops.stop)
        for number in _SIGNALS
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    sys.unraisablehook = stops.unraisable
    try:
        yield
    except Stopped:
        raise
    except BaseException as error:
        if stops.number and not (isinstance(error, SystemExit) and not error.code):
            raise Stopped(stops.number) from error
        raise
    finally:
        stops.over = True
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def say_stopped(number: int, arguments: Sequence[str], kept: str = "") -> str:
    """Say that a command was stopped, what is kept, and the command that goes on.

    Parameters
    ----------
    number : int
        The signal.
    arguments : sequence of str
        Those of the command, without ``rgbench``.
    kept : str
        What is kept, and how to go on, where the kind of command does not tell it.

    Examples
    --------
    >>> say_stopped(2, ["run", "my study.toml"])
    "stopped; runs and epochs that were finished are in the store; to go on from there: rgbench run 'my study.toml'"
    """
    command = next((word for word in arguments if not word.startswith("-")), "")
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    return f"stopped{by}; {kept or _KEPT.get(command, _OTHERWISE)}: {shlex.join(['rgbench', *arguments])}"


def _send(number: int) -> None:
    """Send a signal to the main thread, and wake it."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main_thread().ident or 0, number)
    else:  # Windows
        interrupt_main(signal.Signals(number))


class _Stops:
    """Which signal came, and whether its stop is on its way up.

    Attributes
    ----------
    number : int
        The last signal; 0 if none came.
    over : bool
        Whether a stop that is dropped has done its work.
    """

    def __init__(self) -> None:
        self.number, self.over, self._raised, self._since = 0, False, False, 0.0

    def stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handle a signal."""
        if self._raised:
            if time.monotonic() < self._since + _ECHO:
                return
            if os.isatty(1):
                os.write(1, _SHOW_CURSOR)  # which progress bars hide
            os._exit(128 + number)
        self.number, self._raised, self._since = number, True, time.monotonic()
        # Held by no name here: it must go when whoever caught it lets it go.
        raise self._made(number)

    def _made(self, number: int) -> Stopped:
        made = Stopped(number)
        finalize(made, self._lost, number).atexit = False
        return made

    def _lost(self, number: int) -> None:
        """Send a stop again that was dropped on its way."""
        if not self.over:
            self._raised = False
            Timer(_SOON, _send, [number]).start()

    def unraisable(self, lost: Any) -> None:
        """Say nothing of a stop that Python drops because it came while an object was deleted: it comes again."""
        if not isinstance(lost.exc_value, Stopped):
            sys.__unraisablehook__(lost)
