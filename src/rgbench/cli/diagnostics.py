"""The commands that look again at stored runs, or set them beside published numbers; `rgbench.cli.app` adds them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from rgbench.cli.options import DEFAULT_STORE, DeviceOption, ModelOption, StoreOption, console


def replicate(
    paper: Annotated[
        str | None, typer.Argument(help="A paper's TOML file, or the name of one that ships: rustige2023.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> None:
    """Rerun what a paper reports, and say of each number whether ours agrees; without a name, list the papers."""
    if paper is None:
        _work().list_papers(console())
    else:
        _work().replicate(paper, store, device, console())


def stress(
    run_id: Annotated[
        str | None, typer.Option("--run", help="Id of a stored run, or its beginning; by default all.")
    ] = None,
    surveys: Annotated[
        list[str] | None,
        typer.Option(
            "--survey",
            help="NAME=FOLDER: another survey's images of the test sources, as rgbench data build fetches them.",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> None:
    """Test stored runs on turned, noisier, blurred, shifted, coarser images, and another survey's, for the report."""
    _work().stress_runs(store, run_id, surveys or [], device, console())


def doubt(
    run_id: Annotated[
        str | None, typer.Option("--run", help="Id of a stored run, or its beginning; by default all.")
    ] = None,
    passes: Annotated[
        int, typer.Option("--passes", help="How often each source is asked again; 2 or more.")
    ] = 20,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> None:
    """Ask stored runs again and again with dropout left on (Monte-Carlo dropout), for the report."""
    _work().doubt_runs(store, run_id, passes, device, console())


def explain(
    run_id: Annotated[
        str | None,
        typer.Option("--run", help="Id of a stored run, or its beginning; by default one of each network."),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", help="occlusion, gradcam, gradcam-fine, hirescam or hirescam-fine.")
    ] = "occlusion",
    sources: Annotated[
        int,
        typer.Option(
            "--sources", help="Maps of so many of each class that networks recognise, and that they miss."
        ),
    ] = 1,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> None:
    """See what stored networks look at: maps of sources, embeddings, receptive field; for the report."""
    work = _work()
    work.explain_runs(store, work.ExplainChoice(run_id, method, sources), device, console())


def suspects(
    out: Annotated[Path, typer.Option("--out", help="Table to write: .csv or .parquet.")] = Path(
        "suspects.csv"
    ),
    data_name: Annotated[
        str, typer.Option("--data", help="Name of the data set, if the store holds runs of several.")
    ] = "",
    model: ModelOption = "best",
    store: StoreOption = DEFAULT_STORE,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the table if it is there.")] = False,
) -> None:
    """List sources whose labels are likely wrong, by what stored runs say of sources that they held out."""
    commands = _work()
    choice = commands.SuspectsChoice(out, overwrite, data_name, model)
    commands.list_suspects(store, choice, console())


def _work() -> Any:
    """Give the module that does the work; importing it loads torch, which help need not wait for."""
    return import_module("rgbench.cli.work.diagnostics")


COMMANDS = (replicate, stress, doubt, explain, suspects)
"""In the order of the help."""
