"""The commands ``rgbench data list | show | fetch | split | check | croissant | ...`` and ``rgbench simulate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from rgbench.cli.options import (
    OverwriteFileOption,
    OverwriteFilesOption,
    OverwriteOption,
    PlaneOption,
    SplitOption,
)
from rgbench.cli.screen import console

app = typer.Typer(
    help="Data sets: list, show, fetch and check them, see what two of them share.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
MirrorOption = Annotated[
    Path | None,
    typer.Option(
        "--mirror", envvar="RGBENCH_MIRROR", help="Folder of public files, looked in before any download."
    ),
]


PUBLISHED_SEED = 8901
"""The first seed of the 2021 study."""


ManifestOption = Annotated[
    Path | None,
    typer.Option("-f", "--manifest", help="Table of the sources: CSV, ECSV, VOTable, FITS or Parquet."),
]
ColumnsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="What a column is called there, e.g. ra=RA_J2000; name, path, position, ra, dec, label, redshift, size; "
        "may be repeated.",
    ),
]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option("--label", help="What a label means, e.g. odd=Bent; may be repeated."),
]


LeaveOutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--leave-out", help="A label that counts as none: its sources are left out; may be repeated."
    ),
]


@app.callback()
def data(context: typer.Context, mirror: MirrorOption = None) -> None:
    """List the data sets, or one of the commands below."""
    if context.invoked_subcommand is None:
        list_data(mirror)


@app.command("list")
def list_data(mirror: MirrorOption = None) -> None:
    """List the data sets, and whether their files are here."""
    from rgbench.cli.work import data as work

    work.list_data(mirror, console())


@app.command("show")
def show_data(
    name: Annotated[str, typer.Argument(help="Name of the data set.")],
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="SVG file for the images; by default NAME-sheet.svg.")
    ] = None,
    set_aside: Annotated[
        Path | None, typer.Option("--set-aside", help="CSV file for the sources left out, with the reason.")
    ] = None,
    overwrite: OverwriteFilesOption = False,
) -> None:
    """Show paper, licence, classes, splits and known defects, and draw a contact sheet of images."""
    from rgbench.cli.work import data as work

    work.show_data(name, work.Outputs(sheet, set_aside, overwrite), console())


@app.command("fetch")
def fetch_data(
    names: Annotated[list[str], typer.Argument(help="Names of data sets.")], mirror: MirrorOption = None
) -> None:
    """Fetch the files of data sets, checked by SHA-256; what is here already is only checked."""
    from rgbench.cli.work import data as work

    work.fetch_data(names, mirror, console())


@app.command("split")
def split_data(
    name: Annotated[
        str, typer.Argument(help="Name of a data set, or a study's TOML file, whose data it is.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Table to write: .csv, .parquet, .vot or .fits.")],
    split: SplitOption = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split becker2021.")] = PUBLISHED_SEED,
    overwrite: OverwriteOption = False,
) -> None:
    """Write the sources of a split, for other programs: source_id, ra, dec, label, split, and the sky group.

    Sources that are in none of train, validation and test have no split. rgbench score takes what is predicted of them.
    """
    from rgbench.cli.work import split as work

    work.write_split(work.SplitChoice(name, split, seed), out, overwrite, console())


@app.command("check")
def check_data(
    name: Annotated[str, typer.Argument(help="Name of a data set, or a folder of one's own images.")],
    manifest: ManifestOption = None,
    columns: ColumnsOption = None,
    labels: LabelsOption = None,
    leave_out: LeaveOutOption = None,
    pixel_scale: Annotated[
        float | None,
        typer.Option(
            "--pixel-scale",
            help="With --size: arcseconds per pixel to resample to. Without: those of images whose headers do not "
            "tell it.",
        ),
    ] = None,
    size: Annotated[
        float | None, typer.Option("--size", help="Arcseconds along a side of cutouts about the positions.")
    ] = None,
    about: Annotated[
        str,
        typer.Option(
            "--about",
            help="Middle of cutouts: source, the position in the table, or image, the middle of each image.",
        ),
    ] = "source",
    plane: PlaneOption = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="Name every file; otherwise the first 5 of each complaint are named."),
    ] = False,
) -> None:
    """Say of every file what is wrong with it and what would be done; nothing is changed.

    The exit code is 0 if images can be used, though others were set aside, and 1 if none can be used.
    """
    from rgbench.cli.work import data as work

    meanings = work.Meanings(columns or [], labels or [], leave_out or [])
    options = work.folder_options(meanings, work.Cutting(pixel_scale, size, about, plane))
    work.check_data(name, manifest, options, console(), every)


@app.command("croissant")
def write_croissant(
    name: Annotated[str, typer.Argument(help="Name of the data set.")],
    split: Annotated[
        str | None, typer.Option("--split", help="One of its published splits; by default the first.")
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder for NAME.croissant.json and NAME.csv, made if it is not there."),
    ] = Path(),
    overwrite: OverwriteFilesOption = False,
) -> None:
    """Describe a data set and its split for other programs: in Croissant (JSON-LD), with a table of the sources."""
    from rgbench.cli.work import data as work

    work.describe_set(name, split, out, overwrite, console())


@app.command("overlap")
def show_overlap(
    first: Annotated[str, typer.Argument(help="Name of a data set: the rows.")],
    second: Annotated[str, typer.Argument(help="Name of another: the columns.")],
    radius: Annotated[
        float, typer.Option("--radius", help="Arcseconds within which two entries are one source.")
    ] = 10.0,
) -> None:
    """Count how two data sets label the sources that both hold: the ceiling of any score across them."""
    from rgbench.cli.work import data as work

    work.show_overlap(first, second, radius, console())


@app.command("consensus")
def show_consensus(
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV file for all votes and the probability of each class.")
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Gather the votes anew, from the catalogues' files.")
    ] = False,
    resamples: Annotated[
        int,
        typer.Option(
            "--resamples",
            help="Say, with intervals of so many resamples, how right labels are; 200 take 30 s.",
        ),
    ] = 0,
    overwrite: OverwriteFileOption = False,
) -> None:
    """Say how often catalogues agree, and which sources have a class that several of them give."""
    from rgbench.cli.work import consensus as work

    work.show_consensus(work.ConsensusChoice(out, overwrite, rebuild, resamples), console())


@app.command("build")
def build_data(
    catalogue: Annotated[
        str,
        typer.Argument(
            help="Table with names, RA and Dec (CSV, ECSV, VOTable, FITS, Parquet), or a data set: lrg, unlrg, or one "
            "side of its published split, first-galaxy-data:test."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="Folder for the FITS images; made if it is not there.")],
    survey: Annotated[str, typer.Option("--survey", help="first, nvss, vlass, lotss or racs.")] = "first",
    size: Annotated[
        str, typer.Option("--size", help="Side of a cutout, e.g. 9arcmin, 540arcsec.")
    ] = "9arcmin",
    pixel_scale: Annotated[
        float | None,
        typer.Option("--pixel-scale", help="Arcseconds per pixel; by default those of the survey."),
    ] = None,
    hips: Annotated[str, typer.Option("--hips", help="Another HiPS, by its id or URL.")] = "",
    server: Annotated[str, typer.Option("--server", help="Another server of the same service.")] = "",
    rate: Annotated[
        float, typer.Option("--rate", help="Requests per second, of all workers together.")
    ] = 2.0,
    workers: Annotated[int, typer.Option("--workers", help="Requests under way at once.")] = 4,
    columns: ColumnsOption = None,
    labels: LabelsOption = None,
    leave_out: LeaveOutOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Fetch anew what is there.")] = False,
) -> None:
    """Fetch cutouts by position from a public service; a run that was stopped goes on.

    The folder gets NAME.fits for each source, manifest.csv, and failures.csv with the reasons. A study's data table
    reads it with path = "FOLDER" and manifest = "FOLDER/manifest.csv".
    """
    from rgbench.cli.work import data as work
    from rgbench.data.surveys.surveys import BuildSpec, parse_size

    angle = parse_size(size)
    spec = BuildSpec(
        survey, angle, pixel_scale, hips, server, rate=rate, workers=workers, overwrite=overwrite
    )
    options = work.folder_options(work.Meanings(columns or [], labels or [], leave_out or []))
    work.build_data(catalogue, folder, spec, options, console())


def simulate(
    folder: Annotated[Path, typer.Argument(help="New folder for FITS images and the table of the truth.")],
    n: Annotated[int, typer.Option("-n", "--sources", help="Number of sources.")] = 1000,
    seed: Annotated[int, typer.Option("-s", "--seed", help="The same seed gives the same sky.")] = 8901,
    classes: Annotated[
        str,
        typer.Option("--classes", help="Classes in turn, with commas; one named twice comes twice as often."),
    ] = "Compact,FRI,FRII,Bent",
    side: Annotated[int, typer.Option("--side", help="Side of an image in pixels of 1.8 arcsec.")] = 300,
    noise: Annotated[bool, typer.Option(help="Noise, correlated as FIRST's is.")] = True,
    neighbours: Annotated[bool, typer.Option(help="Unrelated sources in the field.")] = True,
    mosaic: Annotated[
        int | None,
        typer.Option(
            "--mosaic", help="One image of so many pixels a side with all sources, and a catalogue."
        ),
    ] = None,
) -> None:
    """Simulate FIRST-like sources with known size, bend, flux density and redshift.

    The folder holds FOLDER/CLASS/NAME.fits and truth.csv; rgbench quickstart -a FILE -d FOLDER trains on it. With
    --mosaic it holds mosaic.fits and sources.fits, for a trial of rgbench survey.
    """
    from rgbench.cli.work import data as work
    from rgbench.simulate import FIRST, MosaicSpec, SimulationSpec

    if mosaic is not None:
        work.simulate_mosaic(folder, MosaicSpec(n, mosaic, seed), console())
        return

    names = tuple(name.strip() for name in classes.split(","))
    survey = replace(FIRST, side=side)
    spec = SimulationSpec(n, seed, names, survey, noise=noise, neighbours=neighbours)
    work.simulate_sky(folder, spec, console())
