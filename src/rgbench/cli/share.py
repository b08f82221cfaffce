"""The commands ``rgbench tasks | bundle | board``: results that others can check, compare and show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rgbench.cli.options import OverwriteFileOption
from rgbench.cli.screen import console

TaskOption = Annotated[
    str | None, typer.Option("--task", help="A task, as rgbench tasks lists it: only its runs are taken.")
]


def tasks(
    name: Annotated[str | None, typer.Argument(help="A task, to see its card.")] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", help="With NAME: a folder of runs; which of them are of the task?"),
    ] = None,
) -> None:
    """List the tasks that results can be compared on, or show the card of one.

    A task is a data set, a split, a metric and rules, frozen under a checksum.
    """
    from rgbench.cli.work import share as work

    if name is None:
        if store is not None:
            raise typer.BadParameter("goes with the name of a task", param_hint="--store")
        work.list_tasks(console())
    else:
        work.show_task(name, store, console())


def bundle(
    store: Annotated[Path | None, typer.Argument(help="Folder of the runs.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write, as results.zip.")] = None,
    task: TaskOption = None,
    by: Annotated[
        str, typer.Option("--by", help="Your name: who states what the networks were trained on.")
    ] = "",
    external: Annotated[
        list[str] | None,
        typer.Option(
            "--external",
            metavar="NETWORK=WORDS",
            help="What the network saw beside the training sources, as vgg16=ImageNet; vgg16=no for nothing. Once a "
            "network.",
        ),
    ] = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(
            "--trained-on",
            metavar="NETWORK=WORDS",
            help="What the network was trained on, where its runs do not tell it. Once a network.",
        ),
    ] = None,
    weights: Annotated[bool, typer.Option("--weights", help="Take the weights of the networks too.")] = False,
    check: Annotated[
        Path | None, typer.Option("--check", help="A bundle to check; nothing is written.")
    ] = None,
    overwrite: OverwriteFileOption = False,
) -> None:
    """Make one file of a store's results, which others can check and compare; or check one of theirs.

    It holds specs, predictions, cards, versions and machine, and what each network was trained on. With --check: every
    file is held to its checksum, every run to its id, and all of them to the task.
    """
    from rgbench.cli.work import share as work

    if check is not None:
        if store is not None or out is not None:
            raise typer.BadParameter("goes with nothing else but --task", param_hint="--check")
        work.check_bundle(check, task, console())
        return
    if store is None or out is None:
        raise typer.BadParameter("a store and --out FILE are needed, or --check FILE", param_hint="STORE")
    asked = work.Asked(by, tuple(external or ()), tuple(trained_on or ()), task, weights, overwrite)
    work.make_bundle(store, out, asked, console())


def board(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="Files that rgbench bundle wrote.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write the pages to.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that holds files already.")
    ] = False,
) -> None:
    """Make a leaderboard of bundles: pages that open without a server.

    Every number is computed anew from the predictions in the bundles.
    """
    from rgbench.cli.work import share as work

    work.make_board(bundles, out, overwrite, console())
