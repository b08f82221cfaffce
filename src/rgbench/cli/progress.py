"""What the terminal shows while a study runs: bars with the time left, and a line per run."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rgbench.cli.screen import say, warn
from rgbench.escapes import visible
from rgbench.numbers import counted, duration
from rgbench.runs.device import emulates_bfloat16
from rgbench.runs.plan import Plan, estimate_seconds
from rgbench.runs.progress import called, outcome
from rgbench.runs.study import measure_rate
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord

LONG = 15 * 60
"""A study that will take longer than this many seconds says so before it starts."""


class _Bars:
    """Bars on a rich console; use as a context.

    Parameters
    ----------
    console : Console
        Where to show them.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            speed_estimate_period=120,
        )
        self._all: TaskID | None = None
        self._trial: TaskID | None = None
        self._finished = 0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def tries(self, network: str) -> None:
        """Show that the arithmetic of a network is tried, which takes minutes for the largest."""
        self._end_trial()
        self._trial = self._bars.add_task(f"{visible(network)}: trying bfloat16", total=None, state="")

    def _end_trial(self) -> None:
        if self._trial is not None:
            self._bars.remove_task(self._trial)
        self._trial = None

    def _say_plan(self, plan: Plan) -> None:
        """Say how many runs there are, and how many are done."""
        self._end_trial()
        done = len(plan.runs) - len(plan.missing)
        say(self.console, f"{counted(len(plan.runs), 'run')}, {done} of them in the store already")
        say(self.console, *(f"  {word}" for word in plan.words), style="dim")
        for warning in plan.warnings:
            warn(self.console, warning)

    def _say_end(self, record: RunRecord) -> None:
        """Leave one line about a run."""
        failed = record.status != "complete"
        say(self.console, f"  {called(record.trained)}: {outcome(record)}", style="red" if failed else "")


class QueueListener(_Bars):
    """Shows how a study goes whose runs are computed on a queue: a bar of all runs, and a line for each that ends."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._open = set[str]()
        self._begun = set[str]()

    def starts(self, plan: Plan) -> None:
        """Say how many runs there are, and how many are done."""
        self._say_plan(plan)
        self._open = {spec.run_id for spec in plan.missing}
        if self._open:
            self._all = self._bars.add_task("all runs", total=len(self._open), state="")
            self._move()

    def run_starts(self, spec: RunSpec) -> None:
        """Count a run as begun."""
        self._begun.add(spec.run_id)
        self._move()

    def step(self, spec: RunSpec, epoch: int, step: int) -> None:
        """Do nothing: queues tell of no steps."""

    def run_ends(self, record: RunRecord) -> None:
        """Leave one line about the run."""
        if record.run_id not in self._open:
            return
        self._open.remove(record.run_id)
        self._begun.discard(record.run_id)
        self._finished += 1
        self._move()
        self._say_end(record)

    def again(self, spec: RunSpec, why: str) -> None:
        """Say that a run is handed on again."""
        warn(self.console, f"  {called(spec)}: its job ended without it and is submitted again ({why})")

    def _move(self) -> None:
        if self._all is not None:
            waiting = len(self._open) - len(self._begun)
            state = f"{self._finished} ended, {len(self._begun)} at work, {waiting} waiting"
            self._bars.update(self._all, completed=self._finished, state=state)


class TerminalListener(_Bars):
    """Shows a study's progress on a rich console; use as a context.

    Parameters
    ----------
    console : Console
        Where to show it.
    device : str
        The device, to estimate the time that a study will take.
    """

    def __init__(self, console: Console, device: str) -> None:
        super().__init__(console)
        self.device = device
        self._plan: Plan | None = None
        self._bars_of_runs: dict[str, TaskID] = {}
        self._done: dict[str, float] = {}

    def starts(self, plan: Plan) -> None:
        """Say how many runs there are, how many are done, and how long the rest will take if long."""
        self._plan = plan
        missing = plan.missing
        self._say_plan(plan)
        if any(spec.recipe.precision == "bfloat16" for spec in missing) and emulates_bfloat16(self.device):
            warn(
                self.console,
                "This processor has no instructions for bfloat16, in which these runs compute: they take up to six "
                'times as long as in float32. precision = "float32" under [recipe] in the study file changes it.',
            )
        if missing:
            seconds = estimate_seconds(plan, measure_rate(self.device))
            if seconds > LONG:
                say(
                    self.console,
                    f"This will take about {duration(seconds)} on this machine "
                    f"(device {self.device}) if it has little else to do. "
                    "It can be stopped at any time and goes on where it was.",
                )
            self._all = self._bars.add_task(
                "all runs", total=plan.total_work(missing), state=f"0/{len(missing)}"
            )

    def run_starts(self, spec: RunSpec) -> None:
        """Show the bar of a run."""
        assert self._plan is not None
        name = visible(called(spec))
        total = self._plan.steps(spec) * spec.recipe.epochs
        self._bars_of_runs[spec.run_id] = self._bars.add_task(name, total=total, state="loading")

    def step(self, spec: RunSpec, epoch: int, step: int) -> None:
        """Move the bar of the run, and that of all."""
        assert self._plan is not None
        bar = self._bars_of_runs.get(spec.run_id)
        if bar is None:
            return
        done = (epoch - 1) * self._plan.steps(spec) + step + 1
        self._bars.update(bar, completed=done, state=f"epoch {epoch}/{spec.recipe.epochs}")
        self._move(spec.run_id, self._plan.work[spec.run_id] * done)

    def run_ends(self, record: RunRecord) -> None:
        """Leave one line about the run."""
        bar = self._bars_of_runs.pop(record.run_id, None)
        if bar is None or self._plan is None:
            return
        self._bars.remove_task(bar)
        self._finished += 1
        self._move(record.run_id, self._plan.total_work([record.trained]))
        self._say_end(record)

    def _move(self, run_id: str, work: float) -> None:
        """Move the bar of all runs to where they are, now that one has so much work behind it."""
        assert self._plan is not None
        self._done[run_id] = work
        if self._all is not None:
            state = f"{self._finished}/{len(self._plan.missing)}"
            self._bars.update(self._all, completed=sum(self._done.values()), state=state)
