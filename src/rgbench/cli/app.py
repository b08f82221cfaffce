"""The command line: ``rgbench quickstart | run | report | predict | classify | ... | networks | data``.

Each family of commands has a module here that declares its options (`runs`, `classify`, `diagnostics`, `networks`,
`data`) and one in `rgbench.cli.work` that calls the library and prints. The latter is imported inside the commands:
what is heavy is loaded when a command needs it, and help needs nothing.
"""

from __future__ import annotations

import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from rgbench.cli import about, classify, cost, data, diagnostics, finetune, networks, runs, score, share
from rgbench.cli import survey as surveys
from rgbench.cli.help import HeadedCommand, HeadedGroup
from rgbench.cli.names import NAMING
from rgbench.cli.screen import complain
from rgbench.cli.stops import say_stopped, stoppable
from rgbench.errors import RgbenchError, Stopped, raise_stop
from rgbench.extensions import load_extensions, named_in_environment
from rgbench.version import clone, commit, version

app = typer.Typer(
    cls=HeadedGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Help in plain text: rich would take longer to load than all the rest.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Train, compare and apply image classifiers for radio-galaxy morphology.",
    epilog="Begin with: rgbench quickstart. The options of a command: rgbench COMMAND --help",
)

TRAIN, LOOK, SHARE, BRING = (
    "Train, compare, classify",
    "Look closer at stored runs",
    "Share results",
    "Networks and data",
)


def _add(heading: str, *commands: Callable[..., None]) -> None:
    """Add commands to the end of the help, under a heading; some end their own help with the names they take."""
    for command in commands:
        app.command(cls=NAMING.get(command.__name__, HeadedCommand), rich_help_panel=heading)(command)


_add(TRAIN, runs.quickstart, runs.run, runs.runs, runs.report)
_add(TRAIN, runs.predict, classify.classify, surveys.survey)
_add(TRAIN, finetune.finetune, runs.export, score.score, diagnostics.replicate)
_add(LOOK, diagnostics.uncertainty, diagnostics.stress, diagnostics.explain, diagnostics.suspects)
# Its old name, which scripts may call.
app.command("doubt", hidden=True)(diagnostics.uncertainty)
_add(SHARE, share.tasks, share.bundle, share.board)
app.add_typer(networks.app, name="networks", rich_help_panel=BRING)
app.add_typer(data.app, name="data", rich_help_panel=BRING)
_add(BRING, cost.cost, data.simulate)
app.command("import-keras", rich_help_panel=BRING)(networks.import_keras)
_add(BRING, about.about)


def _show_version(wanted: bool) -> None:
    if wanted:
        root = clone()
        at = commit(root)[:10] if root else ""
        typer.echo(f"rgbench {version()}{f' (clone at {at})' if at else ''}")
        raise typer.Exit


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version, and end.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Train, compare and apply image classifiers for radio-galaxy morphology."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors of the package, and stops, end in one line and their exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _print_all()
    with (
        _stops_told(arguments),
        _errors_told("--debug" in arguments),
        stoppable(),
        warnings.catch_warnings(),
    ):
        warnings.showwarning = _say_warning
        load_extensions(named_in_environment())
        app([a for a in arguments if a != "--debug"], prog_name="rgbench", standalone_mode=True)


@contextmanager
def _errors_told(debug: bool) -> Iterator[None]:
    try:
        yield
    except RgbenchError as error:
        raise_stop(error)
        if debug:
            complain(traceback.format_exc())
        complain(f"error: {error}", style="red")
        sys.exit(error.exit_code)


@contextmanager
def _stops_told(arguments: list[str]) -> Iterator[None]:
    try:
        yield
    except (Stopped, KeyboardInterrupt) as stop:
        told = stop if isinstance(stop, Stopped) else Stopped(signal.SIGINT)
        more = [word for word in told.again if word not in arguments]
        with suppress(OSError):  # the terminal may be gone
            complain(say_stopped(told.signal, [*arguments, *more], told.kept))
        sys.exit(128 + told.signal)


def _print_all() -> None:
    """Have characters that the terminal's encoding lacks written as Python does, rather than stop at them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _say_warning(message: Warning | str, category: type[Warning], *_where: Any, **_more: Any) -> None:
    complain(f"warning: {message} ({category.__name__})", style="yellow")
