"""The command ``rgbench about``."""

from __future__ import annotations

from rgbench.cli.screen import console, starting


def about() -> None:
    """Say what a report of a bug needs: versions, the machine, what is installed, what the environment sets."""
    with starting():
        from rgbench.cli.work import about as work

        lines = list(work.facts())
    work.say_facts(lines, console())
