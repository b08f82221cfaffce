"""What the terminal shows while a study runs: bars with the time left, and a line per run."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rgbench.cli.screen import say, warn
from rgbench.escapes import visible
from rgbench.numbers import counted, duration
from rgbench.runs.device import emulates_bfloat16
from rgbench.runs.plan import Plan, estimate_seconds
from rgbench.runs.study import measure_rate
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord

LONG = 15 * 60
"""A study that will take longer than this many seconds says so before it starts."""


class TerminalListener:
    """Shows a study's progress on a rich console; use as a context.

    Parameters
    ----------
    console : Console
        Where to show it.
    device : str
        The device, to estimate the time that a study will take.
    """

    def __init__(self, console: Console, device: str) -> None:
        self.console = console
        self.device = device
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
        self._plan: Plan | None = None
        self._all: TaskID | None = None
        self._bars_of_runs: dict[str, TaskID] = {}
        self._done: dict[str, float] = {}
        self._finished = 0

    def __enter__(self) -> TerminalListener:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def starts(self, plan: Plan) -> None:
        """Say how many runs there are, how many are done, and how long the rest will take if long."""
        self._plan = plan
        missing = plan.missing
        found = (
            f"{counted(len(plan.runs), 'run')}, {len(plan.runs) - len(missing)} of them in the store already"
        )
        say(self.console, found)
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
                    f"(device {self.device}). It can be stopped at any time and goes on where it was.",
                )
            self._all = self._bars.add_task(
                "all runs", total=plan.total_work(missing), state=f"0/{len(missing)}"
            )

    def run_starts(self, spec: RunSpec) -> None:
        """Show the bar of a run."""
        assert self._plan is not None
        name = visible(f"{spec.network.name}, seed {spec.seed}")
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
        self._move(record.run_id, self._plan.total_work([record.spec]))
        named = f"  {record.spec.network.name}, seed {record.spec.seed}"
        failed = record.status != "complete"
        say(self.console, f"{named}: {_outcome(record)}", style="red" if failed else "")

    def _move(self, run_id: str, work: float) -> None:
        """Move the bar of all runs to where they are, now that one has so much work behind it."""
        assert self._plan is not None
        self._done[run_id] = work
        if self._all is not None:
            state = f"{self._finished}/{len(self._plan.missing)}"
            self._bars.update(self._all, completed=sum(self._done.values()), state=state)


def _outcome(record: RunRecord) -> str:
    if record.status != "complete":
        return f"failed: {record.error or ''}"
    accuracy = record.history["validation_accuracy"][-1]
    seconds, epochs = (
        duration(float(record.cost["training_seconds"])),
        counted(len(record.history["epoch"]), "epoch"),
    )
    return f"validation accuracy {100 * accuracy:.1f} % after {epochs}, {seconds}"
