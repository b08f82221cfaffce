"""How ``rgbench --help`` lists the commands: whole sentences, under headings."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from typer.core import TyperCommand, TyperGroup

from rgbench.errors import Stopped


class _Formatter(Protocol):
    """What writes the help: a part of click's formatter, which some versions of typer bring themselves."""

    def section(self, name: str) -> AbstractContextManager[None]:
        """Write a heading, and indent what follows."""

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write names with their explanations beside them."""


class HeadedGroup(TyperGroup):
    """Commands under the headings that they were added with, first those that have commands of their own."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an interrupt that a library raises itself, as astropy does after writing, is a stop too."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # of which typer would say nothing
            raise Stopped(signal.SIGINT) from error

    def format_commands(self, ctx: object, formatter: _Formatter) -> None:  # noqa: ARG002
        """Write the commands; those that are hidden are left out."""
        shown = {name: command for name, command in self.commands.items() if not command.hidden}
        # typer itself puts groups behind all commands, wherever they were added.
        groups_first = sorted(shown, key=lambda name: not isinstance(shown[name], TyperGroup))
        for heading in dict.fromkeys(_heading(command) for command in shown.values()):
            own = [name for name in groups_first if _heading(shown[name]) == heading]
            with formatter.section(heading):
                formatter.write_dl([(name, shown[name].get_short_help_str(limit=1000)) for name in own])


def _heading(command: object) -> str:
    named = command.rich_help_panel if isinstance(command, TyperCommand | TyperGroup) else None
    return named or "Commands"
