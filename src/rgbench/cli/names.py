"""Help that ends in the names one may give: those of other packages too, whose code is not imported for it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rgbench.cli.help import HeadedCommand
from rgbench.extensions import names


class _NamingCommand(HeadedCommand):
    """A command whose help ends in the names of `kinds`, looked up when the help is shown."""

    kinds: tuple[str, ...] = ()
    heads: Mapping[str, str] = MappingProxyType({})
    """What stands before the names of a kind, if not its name."""
    prefix = ""

    # The context and the formatter are of click, or of typer's own copy of it, by the version of typer.
    def format_help(self, *click: Any) -> None:
        """Write the help, with the names as its last paragraphs."""
        self.epilog = "\n\n".join(
            f"{self.heads.get(kind, f'{kind.capitalize()}s')}: "
            f"{', '.join(f'{self.prefix}{name}' for name in names(kind))}"
            for kind in self.kinds
        )
        super().format_help(*click)


class RunCommand(_NamingCommand):
    """``rgbench run``: what a study may name."""

    kinds = ("protocol", "preset", "listener")
    heads = MappingProxyType({"listener": "Listeners for --track"})


class ReportCommand(_NamingCommand):
    """``rgbench report``: metrics to compare by, and the sections of the page."""

    kinds = ("metric", "report section")
    heads = MappingProxyType(
        {"report section": "Sections of the page, each where the runs have something for it"}
    )


class PredictCommand(_NamingCommand):
    """``rgbench predict``: the endings of its table."""

    kinds = ("table",)
    heads = MappingProxyType({"table": "Endings of --out"})
    prefix = "."


class ClassifyCommand(PredictCommand):
    """``rgbench classify``: the endings of its table and its page."""

    heads = MappingProxyType({"table": "Endings of --out, beside .html"})


class StressCommand(_NamingCommand):
    """``rgbench stress``: what is done to the images."""

    kinds = ("disturbance",)
    heads = MappingProxyType({"disturbance": "What is done to the images, at several strengths"})


NAMING: Mapping[str, type[HeadedCommand]] = MappingProxyType(
    {
        "run": RunCommand,
        "report": ReportCommand,
        "predict": PredictCommand,
        "classify": ClassifyCommand,
        "stress": StressCommand,
    }
)
"""Commands whose help ends in names."""
