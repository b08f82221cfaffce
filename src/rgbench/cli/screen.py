"""Where the commands print, and how."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from rgbench.escapes import visible

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH = 140
"""Characters of a line where the output is no terminal."""


def console(stderr: bool = False) -> Console:
    """Give a console on standard output or error: as wide as the terminal, or wide enough for a log."""
    # Help, which prints without it, need not wait for rich.
    from rgbench.cli.plain import PlainConsole

    found = PlainConsole(stderr=stderr)
    return found if found.is_terminal else PlainConsole(width=LOG_WIDTH, stderr=stderr)


def starting() -> AbstractContextManager[object]:
    """Show a bar while a command loads what it needs: torch alone takes seconds."""
    from rgbench.cli.bars import bar_of

    return bar_of("starting")


def say(screen: Console, *lines: str, style: str = "", wrap: bool = False) -> None:
    """Print lines as they are: nothing in them is coloured or taken for markup; only `wrap` breaks them, at blanks."""
    for line in lines:
        screen.print(
            visible(line), style=style, markup=False, highlight=False, emoji=False, soft_wrap=not wrap
        )


def warn(screen: Console, *lines: str) -> None:
    """Print lines that a reader should not miss."""
    say(screen, *lines, style="yellow")


def complain(text: str, style: str = "") -> None:
    """Print an error on the standard error stream; lines behind its first are indented, as nothing else is."""
    from rgbench.cli.plain import PlainConsole

    first, *others = text.split("\n")
    say(PlainConsole(stderr=True), first, *(f"  {line}" for line in others), style=style)
