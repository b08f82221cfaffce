"""What the terminal shows while a command works for seconds: a bar on the standard error stream; it loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rgbench.cli.plain import PlainConsole

Told = Callable[[int, int], None]
"""Is told how much is done, and how much there is in all."""


@contextmanager
def bar_of(what: str) -> Iterator[Told]:
    """Show a bar while something is done, with the time left once it is told how far the work is.

    It goes when the work is done. Where the standard error stream is no terminal, there is none. Nothing is to be
    printed meanwhile.

    Parameters
    ----------
    what : str
        What is done, in a word or two.

    Yields
    ------
    callable
        Moves the bar: what is done, and what there is in all. Until it is called, the bar only shows that work goes on.
    """
    console = PlainConsole(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    progress = Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # What others print stays in its own stream.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
