"""The command ``rgbench survey``: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rgbench.cli.options import (
    DEFAULT_STORE,
    ClassifierOption,
    DeviceOption,
    EngineOption,
    ModelOption,
    PriorOption,
    RunChoiceOption,
    StoreOption,
    ViewsOption,
    given,
)
from rgbench.cli.queues import (
    JobScriptOption,
    QueueAsked,
    RayOption,
    ShardOption,
    SlurmOption,
    SlurmSettingOption,
)
from rgbench.cli.screen import starting

SKY = "The catalogue and the images"
"""Heading of what is said of them."""


def survey(
    context: typer.Context,
    catalogue: Annotated[
        Path | None,
        typer.Argument(
            help="Table of sources: CSV, ECSV, VOTable, FITS or Parquet, by its ending. None with --find."
        ),
    ] = None,
    *,
    images: Annotated[
        list[Path], typer.Option("--images", help="A FITS mosaic, or a folder of them; may be given again.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the result, and for what is needed to go on.")
    ],
    find: Annotated[
        bool,
        typer.Option(
            "--find",
            rich_help_panel=SKY,
            help="Without a catalogue: find the sources of the images, into DIR/found.parquet.",
        ),
    ] = False,
    finder: Annotated[
        str,
        typer.Option(
            "--finder",
            rich_help_panel=SKY,
            help="What finds: pybdsf or photutils (extra find); auto is the first of them that is installed.",
        ),
    ] = "auto",
    weights: Annotated[
        list[Path] | None,
        typer.Option(
            "--weights",
            rich_help_panel=SKY,
            help="A FITS map of weight, or a folder of them, one for each mosaic: of several mosaics that cover a "
            "source the one with the greatest weight there is taken. May be given again.",
        ),
    ] = None,
    noise_maps: Annotated[
        list[Path] | None,
        typer.Option(
            "--noise-maps",
            rich_help_panel=SKY,
            help="The same with maps of noise (rms): the least noise is taken.",
        ),
    ] = None,
    unresolved_below: Annotated[
        float | None,
        typer.Option(
            "--unresolved-below",
            rich_help_panel=SKY,
            help="Size in arcsec: rows whose size in the catalogue is below it get the class Compact, and no image "
            "of them is looked at. By default all are looked at.",
        ),
    ] = None,
    whole_sources: Annotated[
        bool,
        typer.Option(
            "--whole-sources",
            rich_help_panel=SKY,
            help="Each row of the catalogue is a whole source, with its lobes: the light of other rows is taken out of "
            "the picture of each. Not for catalogues in which the lobes of a double are rows of their own.",
        ),
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            rich_help_panel=SKY,
            help="KEY=NAME where a column is not recognised; keys are name, position, ra, dec, size.",
        ),
    ] = None,
    classifier: ClassifierOption = None,
    run_id: RunChoiceOption = None,
    prior: PriorOption = None,
    views: ViewsOption = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Processes; by default one for each core.")
    ] = None,
    shard: ShardOption = None,
    job_script: JobScriptOption = None,
    slurm: SlurmOption = False,
    slurm_option: SlurmSettingOption = None,
    ray: RayOption = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="What is written beside Parquet: page, regions, moc, fits, votable, csv, hats, inspect; may be given "
            "again. By default page, moc, and regions of fewer than 100,000 rows.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say rows, shards, bytes and hours; classify nothing.")
    ] = False,
    model: ModelOption = "best",
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "cpu",
    engine: EngineOption = "torch",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the work of another survey in the folder.")
    ] = False,
) -> None:
    """Classify every source of a catalogue by what mosaics of the sky show there.

    Every row comes back, in order, with its own columns and ours (they begin with rg_). With --find there is no
    catalogue: it is made of the images first. A command that was stopped goes on where it was. The exit code is 0 if
    every row has a class or a flag that says why there is none, 3 if the result is written but some rows could not be
    looked at, 1 or 2 if there is no result.
    """
    queue = QueueAsked.of(slurm, slurm_option, ray, shard, job_script)
    with starting():
        from rgbench.cli.work import survey as work
        from rgbench.cli.work.predict import Choice

    from_store = run_id is not None or given(context, "store")
    who = Choice(classifier, run_id, from_store, model, store, device, views, engine)
    asked = work.Asked(
        catalogue,
        images,
        out,
        columns=column or [],
        prior=prior,
        jobs=jobs,
        queue=queue,
        dry_run=dry_run,
        overwrite=overwrite,
        formats=formats,
        weights=weights or [],
        noise_maps=noise_maps or [],
        unresolved_below=unresolved_below,
        whole_sources=whole_sources,
        find=find,
        finder=finder,
    )
    work.survey(asked, who)
