"""How ``rgbench --help`` lists the commands, and a command its options: whole sentences, under headings."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from typer.core import TyperCommand, TyperGroup

from rgbench.errors import Stopped
from rgbench.escapes import visible


class _Formatter(Protocol):
    """What writes the help: a part of click's formatter, which some versions of typer bring themselves."""

    def section(self, name: str) -> AbstractContextManager[None]:
        """Write a heading, and indent what follows."""

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write names with their explanations beside them."""


MACHINES = "On more machines"
"""Heading of the options for queues of a cluster."""


class HeadedCommand(TyperCommand):
    """A command whose options stand under the headings that they were given; those without come first."""

    # The context is of click, or of typer's own copy of it, by the version of typer.
    def format_options(self, ctx: Any, formatter: _Formatter) -> None:
        """Write arguments and options; those that are hidden are left out."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            plain = "Arguments" if each.param_type_name == "argument" else "Options"
            if record is not None:
                sections.setdefault(getattr(each, "rich_help_panel", None) or plain, []).append(record)
        for heading, own in sections.items():
            if own:
                with formatter.section(heading):
                    formatter.write_dl(own)


class HeadedGroup(TyperGroup):
    """Commands under the headings that they were added with, first those that have commands of their own."""

    def format_commands(self, ctx: object, formatter: _Formatter) -> None:  # noqa: ARG002
        """Write the commands; those that are hidden are left out."""
        shown = {name: command for name, command in self.commands.items() if not command.hidden}
        # typer itself puts groups behind all commands, wherever they were added.
        groups_first = sorted(shown, key=lambda name: not isinstance(shown[name], TyperGroup))
        for heading in dict.fromkeys(_heading(command) for command in shown.values()):
            own = [name for name in groups_first if _heading(shown[name]) == heading]
            with formatter.section(heading):
                formatter.write_dl([(name, shown[name].get_short_help_str(limit=1000)) for name in own])

    # What a pattern of the shell makes of file names may stand in what they raise.
    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the options before the command; errors name them as `visible` writes them."""
        with _plain_errors():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Call the command, likewise; an interrupt that a library raises itself, as astropy does, is a stop."""
        try:
            with _plain_errors():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:  # of which typer would say nothing
            raise Stopped(signal.SIGINT) from error


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Have errors of click, or of typer's own copy of it, say what cannot be seen as `visible` writes it."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message") and isinstance(getattr(error, "message", None), str):
            error.message = visible(error.message, "\n")  # type: ignore[attr-defined]
        raise


def _heading(command: object) -> str:
    named = command.rich_help_panel if isinstance(command, TyperCommand | TyperGroup) else None
    return named or "Commands"
