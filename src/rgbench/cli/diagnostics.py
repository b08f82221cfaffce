"""The commands that look again at stored runs, or set them beside published numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rgbench.cli.options import (
    DEFAULT_STORE,
    DeviceOption,
    ModelOption,
    OverwriteOption,
    RunOption,
    StoreOption,
)
from rgbench.cli.screen import console, starting


def replicate(
    paper: Annotated[
        str | None, typer.Argument(help="A paper's TOML file, or the name of one that ships: rustige2023.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> None:
    """Set ours beside a paper's numbers, and say whether they contradict each other; without a name, list papers."""
    from rgbench.cli.work import papers as work

    if paper is None:
        work.list_papers(console())
    else:
        work.replicate(paper, store, device, console())


def stress(
    run_id: RunOption = None,
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
    """Test stored runs on other images of the same sources, for the report.

    On a second view of each, as a source looks when it is observed again; and turned, noisier, blurred, shifted,
    coarser, or as another survey shows it.
    """
    with starting():
        from rgbench.cli.work import diagnostics as work

    work.stress_runs(store, run_id, surveys or [], device, console())


def uncertainty(
    run_id: RunOption = None,
    passes: Annotated[
        int, typer.Option("--passes", help="How often each source is asked again; 2 or more.")
    ] = 20,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> None:
    """Measure how sure stored runs are of each source, by Monte-Carlo dropout, for the report.

    Each run is asked again and again with its dropout left on. The old name of this command, doubt, works too.
    """
    with starting():
        from rgbench.cli.work import diagnostics as work

    work.doubt_runs(store, run_id, passes, device, console())


def explain(
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run",
            help="Id of a stored run, or its beginning; or the name of a network, for all its seeds; by default one "
            "run of each network.",
        ),
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
    """See what stored networks look at, for the report: maps of sources, embeddings, receptive field."""
    with starting():
        from rgbench.cli.work import diagnostics as work

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
    overwrite: OverwriteOption = False,
) -> None:
    """List sources whose labels are likely wrong, by what stored runs say of sources that they held out."""
    with starting():
        from rgbench.cli.work import suspects as work

    work.list_suspects(store, work.SuspectsChoice(out, overwrite, data_name, model), console())
