"""Where the commands print, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH = 140
"""Characters of a line where the output is no terminal."""


def console() -> Console:
    """Give a console on standard output: as wide as the terminal, or wide enough for a log."""
    # Help, which prints without it, need not wait for rich.
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=LOG_WIDTH)


def say(screen: Console, *lines: str, style: str = "") -> None:
    """Print lines as they are: nothing in them is coloured, taken for markup or broken."""
    for line in lines:
        screen.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def warn(screen: Console, *lines: str) -> None:
    """Print lines that a reader should not miss."""
    say(screen, *lines, style="yellow")
