"""The command ``rgbench classify``: sources by their positions or names, whose images are fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rgbench.cli.data import ColumnsOption
from rgbench.cli.options import (
    DEFAULT_STORE,
    ClassifierOption,
    DeviceOption,
    ModelOption,
    OverwriteFilesOption,
    PriorOption,
    RunChoiceOption,
    StoreOption,
    ViewsOption,
    given,
)
from rgbench.cli.screen import console


def classify(
    context: typer.Context,
    positions: Annotated[
        list[str],
        typer.Argument(
            help='Positions ("160.80 +24.59", "10h43m12.3s +24d35m21s"), names that hold one ("J104312.3+243521"), or '
            "files of tables with positions (CSV, ECSV, VOTable, FITS, Parquet)."
        ),
    ],
    survey: Annotated[str, typer.Option("--survey", help="first, nvss, vlass, lotss or racs.")] = "first",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Page of the pictures (.html) or table (as of rgbench predict) to write, by the ending; or a folder "
            "for both.",
        ),
    ] = None,
    resolve: Annotated[
        bool,
        typer.Option("--resolve", help='Ask CDS Sesame for names that hold no position, as "3C 31".'),
    ] = False,
    classifier: ClassifierOption = None,
    run_id: RunChoiceOption = None,
    prior: PriorOption = None,
    views: ViewsOption = None,
    hips: Annotated[
        str, typer.Option("--hips", help="Another HiPS than that of the survey, by its id or URL.")
    ] = "",
    server: Annotated[str, typer.Option("--server", help="Another server of the same service.")] = "",
    columns: ColumnsOption = None,
    model: ModelOption = "best",
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
    overwrite: OverwriteFilesOption = False,
) -> None:
    """Fetch images of sources by position or name, and classify them.

    For example: rgbench classify "J104312.3+243521" --survey first --out page.html

    Images are kept, so that a second call asks for nothing. The exit code is 0 if every source was classified or
    flagged, 3 if some have no image, 1 or 2 if none was classified.
    """
    from rgbench.cli.work import cutouts
    from rgbench.data.surveys.surveys import BuildSpec

    answer = cutouts.Answer.of(out, overwrite, prior)
    spec = BuildSpec(survey, hips=hips, server=server)
    found = cutouts.fetch(cutouts.Sources(tuple(positions), spec, resolve, columns or ()), console())
    # Only now, as it loads torch: where there is no image, that is said at once.
    from rgbench.cli.work import classify as work
    from rgbench.cli.work.predict import Choice

    from_store = run_id is not None or given(context, "store")
    choice = Choice(classifier, run_id, from_store, model, store, device, views)
    work.classify(found, choice, answer, console())
