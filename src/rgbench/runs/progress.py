"""How a study goes, as plain text: one output that changes in a notebook, one line on a terminal."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any, Protocol, TextIO

from rgbench.escapes import visible
from rgbench.numbers import counted, duration
from rgbench.runs.listeners import Silence
from rgbench.runs.plan import Plan
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord

PAUSE = 0.5
"""Seconds between two changes of what is shown."""
KEPT = 12
"""Lines of runs that have ended that stay in a notebook; earlier ones are counted."""


def called(spec: RunSpec) -> str:
    """Name a run for people: network and seed."""
    return f"{spec.network.name}, seed {spec.seed}"


def outcome(record: RunRecord) -> str:
    """Say in a few words how a run ended."""
    if record.status == "running":
        return f"lost: {record.error or ''}"
    if record.status != "complete":
        return f"failed: {record.error or ''}"
    accuracy = record.history["validation_accuracy"][-1]
    seconds, epochs = (
        duration(float(record.cost["training_seconds"])),
        counted(len(record.history["epoch"]), "epoch"),
    )
    return f"validation accuracy {100 * accuracy:.1f} % after {epochs}, {seconds}"


class Screen(Protocol):
    """Where lines of text are shown."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def change(self, line: str) -> None:
        """Show a line in place of the one that was shown so before; "" takes it away."""


class Cell:
    """The cell of a notebook: one output whose text changes, so that the saved notebook holds the last text only."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        display: Any = sys.modules["IPython"].display.display
        self._output = display(_plain(""), raw=True, display_id=True)

    def say(self, line: str) -> None:
        """Show a line that stays, the latest ones of many."""
        self._lines.append(visible(line))
        self.change("")

    def change(self, line: str) -> None:
        """Change the last line."""
        earlier = len(self._lines) - KEPT
        head = [f"... {counted(earlier, 'earlier line')}"] if earlier > 0 else []
        last = [visible(line)] if line else []
        self._output.update(_plain("\n".join([*head, *self._lines[-KEPT:], *last])), raw=True)


class Stream:
    """A terminal, whose last line changes; or a file, which is told only what stays."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._changes = stream.isatty()

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self.change("")
        self._stream.write(f"{visible(line)}\n")
        self._stream.flush()

    def change(self, line: str) -> None:
        """Write over the last line of a terminal."""
        if self._changes:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{visible(line)[:width]}")
            self._stream.flush()


def _plain(text: str) -> dict[str, str]:
    return {"text/plain": text}


def find_screen() -> Screen:
    """Give the cell of the notebook in which this runs, or else the standard error stream."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return Cell() if hasattr(shell, "kernel") else Stream(sys.stderr)


class TextProgress(Silence):
    """A listener that says as plain text which run and epoch a study is at, and about how long it will take.

    Parameters
    ----------
    screen : Screen, optional
        Where to say it; by default the cell of the notebook, or else the standard error stream.

    Examples
    --------
    In a notebook: ``rgbench.run_study(study, store, listener="progress")``.
    """

    def __init__(self, screen: Screen | None = None) -> None:
        self._screen = screen
        self._plan: Plan | None = None
        self._began = self._shown = 0.0
        self._work: dict[str, float] = {}
        self._before: dict[str, float] = {}
        self._ended = 0

    def tries(self, network: str) -> None:
        """Say that the arithmetic of a network is tried."""
        self._where().change(f"{network}: trying bfloat16")

    def starts(self, plan: Plan) -> None:
        """Say how many runs there are, and how many are done."""
        self._plan, self._began = plan, time.monotonic()
        done = len(plan.runs) - len(plan.missing)
        self._where().say(f"{counted(len(plan.runs), 'run')}, {done} of them in the store already")
        for words in plan.words:
            self._where().say(f"  {words}")

    def run_starts(self, spec: RunSpec) -> None:
        """Say that a run has begun."""
        self._where().change(f"{called(spec)}: loading")

    def step(self, spec: RunSpec, epoch: int, step: int) -> None:
        """Say at which epoch a run is, now and then."""
        plan = self._plan
        if plan is None:
            return
        unit, steps = plan.work[spec.run_id], (epoch - 1) * plan.steps(spec) + step
        self._before.setdefault(spec.run_id, unit * steps)  # of a run that goes on
        self._work[spec.run_id] = unit * (steps + 1)
        now = time.monotonic()
        if now - self._shown >= PAUSE:
            self._shown = now
            left = duration(self._seconds_left(plan, now - self._began))
            where = f"epoch {epoch} of {spec.recipe.epochs}"
            self._where().change(
                f"{called(spec)}: {where}; {self._ended} of {counted(len(plan.missing), 'run')} done, about {left} left"
            )

    def run_ends(self, record: RunRecord) -> None:
        """Say how a run ended that was computed now."""
        if self._plan is None or record.run_id in self._plan.done:
            return
        self._ended += 1
        self._work[record.run_id] = self._plan.total_work([record.trained])
        self._where().say(f"  {called(record.trained)}: {outcome(record)}")

    def _where(self) -> Screen:
        self._screen = self._screen or find_screen()
        return self._screen

    def _seconds_left(self, plan: Plan, seconds: float) -> float:
        """Estimate from the work that is behind, at the rate that it has had so far."""
        behind = sum(self._work.values())
        return (
            seconds * max(0.0, plan.total_work(plan.missing) - behind) / (behind - sum(self._before.values()))
        )
