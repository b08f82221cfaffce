"""The command line: ``rgbench quickstart | run | report | stress | replicate | predict | networks | data | ...``."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rgbench.cli import diagnostics as cli_analysis
from rgbench.cli.names import PredictCommand, RunCommand, StressCommand
from rgbench.cli.options import DEFAULT_STORE, DeviceOption, ModelOption, StoreOption, console
from rgbench.errors import RgbenchError
from rgbench.extensions import EXTENSIONS, load_extensions

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Train, compare and apply image classifiers for radio-galaxy morphology.",
    epilog="Begin with: rgbench quickstart",
)


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train, compare and apply image classifiers for radio-galaxy morphology."""


@app.command()
def quickstart(
    architectures: Annotated[
        Path | None,
        typer.Option(
            "-a", "--architectures", help="File of lines name,learning rate,epochs. Runs the 2021 protocol."
        ),
    ] = None,
    num_classes: Annotated[int, typer.Option("-c", "--num_classes", help="Number of classes.")] = 4,
    data_path: Annotated[
        Path | None, typer.Option("-d", "--data_path", help="Folder of images, <CLASS>/<name>.fits.")
    ] = None,
    data_manifest: Annotated[
        Path | None,
        typer.Option("-f", "--data_manifest", help="CSV of names and labels, with a header line."),
    ] = None,
    img_size: Annotated[
        str, typer.Option("-i", "--img_size", help="Pixels: one number, or rows,columns.")
    ] = "300,300",
    model_path: Annotated[
        Path | None, typer.Option("-m", "--model_path", help="Folder to copy the trained models to.")
    ] = None,
    only_test: Annotated[
        str,
        typer.Option("-o", "--only_test", help="False, True (test stored models only) or time (time them)."),
    ] = "False",
    results_path: Annotated[
        Path, typer.Option("-p", "--results_path", envvar="RGBENCH_STORE", help="Folder of runs and results.")
    ] = DEFAULT_STORE,
    rotate: Annotated[int, typer.Option("-r", "--rotate", help="Step of the rotations, in degrees.")] = 15,
    seed: Annotated[
        int, typer.Option("-s", "--seed", help="The seed: 8901, 1826 and 4915 were published.")
    ] = 8901,
    train_size: Annotated[
        int, typer.Option("-t", "--train_size", help="Training sources per class (with -d).")
    ] = 250,
    val_size: Annotated[
        int, typer.Option("-v", "--val_size", help="Validation sources per class (with -d).")
    ] = 100,
    mnist: Annotated[
        bool,
        typer.Option("-X", "--mnist", help="The original's control: MNIST, 28 pixels, 10 classes (with -a)."),
    ] = False,
    protocol: Annotated[
        str, typer.Option("--protocol", help="becker2021, rg-benchmarker-2021-11 or modern (with -a).")
    ] = "becker2021",
    device: DeviceOption = "auto",
) -> None:
    """Train and compare three networks on real images; with -a, run the 2021 study's protocol.

    Without options: ConvXpress and two more networks, three seeds, on the embedded data set, in
    minutes. With -a FILE: the original's quickstart, all its options with their meaning.
    """
    screen = console()
    if architectures is None:
        if data_path is not None or data_manifest is not None or mnist:
            raise typer.BadParameter("-d, -f and -X go with -a FILE, the networks to train", param_hint="-a")
        _commands().run_and_report("quickstart", results_path, device, screen)
        return
    original = _commands().quickstart
    options = original.OriginalOptions(
        architectures=architectures,
        num_classes=num_classes,
        data_path=data_path,
        data_manifest=data_manifest,
        img_size=original.parse_image_size(img_size),
        rotate=rotate,
        seed=seed,
        train_size=train_size,
        val_size=val_size,
        protocol=protocol,
        mnist=mnist,
    )
    _commands().run_original(options, only_test, _commands().Places(results_path, model_path, device), screen)


@app.command(cls=RunCommand)
def run(
    study: Annotated[
        str, typer.Argument(help="A study's TOML file, or the name of one that ships: quickstart.")
    ],
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> None:
    """Run a study: what is in the store is not computed again; then print the table, write the report."""
    _commands().run_and_report(study, store, device, console())


@app.command()
def report(
    store: StoreOption = DEFAULT_STORE,
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file to write; by default report.html in the store.")
    ] = None,
    model: ModelOption = "best",
    table: Annotated[
        Path | None, typer.Option("--table", help="Also write the table, as .csv or .tex by the ending.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            help="Folder for every figure as SVG, PDF and CSV and every table as CSV and LaTeX. "
            "Files of the same names are replaced, as the report is.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="What weighs in the ranking, and how much: mpca=3,inference_images_per_second=1. By default "
            "mpca, inference_images_per_second, parameters and macs, in equal parts.",
        ),
    ] = None,
) -> None:
    """Compare the runs in the store, averaged over their seeds: table and HTML report."""
    commands = _commands()
    commands.report(store, commands.ReportChoice(out, model, table, figures, weights), console())


networks_app = typer.Typer(help="List the networks, or show one.", invoke_without_command=True)
app.add_typer(networks_app, name="networks")
ImageSizeOption = Annotated[int, typer.Option("--image-size", help="Side of the input, in pixels.")]


@networks_app.callback()
def networks(
    context: typer.Context,
    image_size: ImageSizeOption = 300,
    variants: Annotated[bool, typer.Option("--all", help="List the variants of networks too.")] = False,
) -> None:
    """List the networks with parameters, operations and receptive field, or show one (show NAME)."""
    if context.invoked_subcommand is None:
        _network_commands().list_networks(image_size, variants, console())


@networks_app.command("list")
def networks_list(
    image_size: ImageSizeOption = 300,
    variants: Annotated[bool, typer.Option("--all", help="List the variants of networks too.")] = False,
) -> None:
    """List the networks with parameters, operations and receptive field."""
    _network_commands().list_networks(image_size, variants, console())


@networks_app.command("show")
def networks_show(
    name: Annotated[str, typer.Argument(help="A network, or an alias; module:callable and timm:NAME too.")],
    image_size: ImageSizeOption = 300,
    n_classes: Annotated[int, typer.Option("--classes", help="Number of classes.")] = 4,
    data_name: Annotated[
        str, typer.Option("--data", help="Data set whose pixel scale and source sizes it is held against.")
    ] = "first-galaxy-data",
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", help="SVG to draw: the effective receptive field, measured on real images."
        ),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--run", help="With --picture: stored run whose weights are looked at.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show a network's layers, what each costs and sees, and how that compares with real sources."""
    commands = _network_commands()
    view = commands.View(image_size, n_classes, data_name, picture, run_id, store)
    commands.show_network(name, view, console())


for _command in cli_analysis.COMMANDS:
    app.command(cls=StressCommand if _command is cli_analysis.stress else None)(_command)


@app.command("import-keras")
def import_keras(
    model: Annotated[Path, typer.Argument(help="Model file that Keras 2 wrote (.h5).")],
    classes: Annotated[
        str, typer.Option("--classes", help="Class names in the order of the outputs, with commas.")
    ] = "",
    protocol: Annotated[
        str, typer.Option("--protocol", help="Whose preparation of images the model expects.")
    ] = "becker2021",
    pixel_scale: Annotated[
        float | None, typer.Option("--pixel-scale", help="Arcseconds per pixel of its training images.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Turn a model file of the original (Keras 2, HDF5) into a stored run that predicts the same."""
    names = tuple(name.strip() for name in classes.split(",") if name.strip())
    choice = {"classes": names, "protocol": protocol, "pixel_scale": pixel_scale}
    _network_commands().import_model(model, store, choice, console())


data_app = typer.Typer(
    help="Data sets: list, show, fetch and check them, see what two of them share.",
    invoke_without_command=True,
)
app.add_typer(data_app, name="data")
MirrorOption = Annotated[
    Path | None,
    typer.Option(
        "--mirror", envvar="RGBENCH_MIRROR", help="Folder of public files, looked in before any download."
    ),
]


ManifestOption = Annotated[
    Path | None,
    typer.Option("-f", "--manifest", help="Table of the sources: CSV, ECSV, VOTable, FITS or Parquet."),
]
ColumnsOption = Annotated[
    list[str] | None,
    typer.Option("--column", help="What a column is called there, e.g. ra=RA_J2000; may be repeated."),
]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option("--label", help="What a label means, e.g. wat=Bent; may be repeated."),
]


@data_app.callback()
def data(context: typer.Context, mirror: MirrorOption = None) -> None:
    """List the data sets, or one of the commands below."""
    if context.invoked_subcommand is None:
        _data_commands().list_data(mirror, console())


@data_app.command("list")
def list_data(mirror: MirrorOption = None) -> None:
    """List the data sets, and whether their files are here."""
    _data_commands().list_data(mirror, console())


@data_app.command("show")
def show_data(
    name: Annotated[str, typer.Argument(help="Name of the data set.")],
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="SVG file for the images; by default NAME-sheet.svg.")
    ] = None,
    set_aside: Annotated[
        Path | None, typer.Option("--set-aside", help="CSV file for the sources left out, with the reason.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Show paper, licence, classes, splits and known defects, and draw a contact sheet of images."""
    work = _data_commands()
    work.show_data(name, work.Outputs(sheet, set_aside, overwrite), console())


@data_app.command("fetch")
def fetch_data(
    names: Annotated[list[str], typer.Argument(help="Names of data sets.")], mirror: MirrorOption = None
) -> None:
    """Fetch the files of data sets, checked by SHA-256; what is here already is only checked."""
    _data_commands().fetch_data(names, mirror, console())


@data_app.command("check")
def check_data(
    name: Annotated[str, typer.Argument(help="Name of a data set, or a folder of one's own images.")],
    manifest: ManifestOption = None,
    columns: ColumnsOption = None,
    labels: LabelsOption = None,
    pixel_scale: Annotated[
        float | None, typer.Option("--pixel-scale", help="Arcseconds per pixel to resample to.")
    ] = None,
    size: Annotated[
        float | None, typer.Option("--size", help="Arcseconds along a side of cutouts about the positions.")
    ] = None,
) -> None:
    """Say of every file what is wrong with it and what would be done; nothing is changed."""
    work = _data_commands()
    options = work.folder_options(columns or [], labels or [], pixel_scale, size)
    work.check_data(name, manifest, options, console())


@data_app.command("overlap")
def show_overlap(
    first: Annotated[str, typer.Argument(help="Name of a data set: the rows.")],
    second: Annotated[str, typer.Argument(help="Name of another: the columns.")],
    radius: Annotated[
        float, typer.Option("--radius", help="Arcseconds within which two entries are one source.")
    ] = 10.0,
) -> None:
    """Count how two data sets label the sources that both hold: the ceiling of any score across them."""
    _data_commands().show_overlap(first, second, radius, console())


@data_app.command("build")
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Fetch anew what is there.")] = False,
) -> None:
    """Fetch cutouts by position from a public service; a run that was stopped goes on.

    The folder gets NAME.fits for each source, manifest.csv, and failures.csv with the reasons. A study's data table
    reads it with path = "FOLDER" and manifest = "FOLDER/manifest.csv".
    """
    work = _data_commands()
    angle = work.parse_size(size)
    spec = work.BuildSpec(
        survey, angle, pixel_scale, hips, server, rate=rate, workers=workers, overwrite=overwrite
    )
    options = work.folder_options(columns or [], labels or [], None, None)
    work.build_data(catalogue, folder, spec, options, console())


@app.command()
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
) -> None:
    """Simulate FIRST-like sources with known size, bend, flux density and redshift.

    The folder holds FOLDER/CLASS/NAME.fits and truth.csv; rgbench quickstart -a FILE -d FOLDER trains on it.
    """
    options = {"n": n, "seed": seed, "noise": noise, "neighbours": neighbours}
    names = tuple(name.strip() for name in classes.split(","))
    _data_commands().simulate_sky(folder, options | {"classes": names}, side, console())


@app.command(cls=PredictCommand)
def predict(
    paths: Annotated[list[Path], typer.Argument(help="FITS files, or folders of them.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Table to write; its ending says how: .csv, .parquet, .vot (VOTable), .fits."
        ),
    ] = Path("predictions.csv"),
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run", help="Id of a stored run, or its beginning; by default the best on validation data."
        ),
    ] = None,
    model: ModelOption = "best",
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the table if it is there.")] = False,
) -> None:
    """Classify FITS images with a stored run; write source, class and probabilities to a table."""
    choice = _commands().PredictChoice(run_id, model, out, overwrite)
    _commands().predict(paths, choice, _commands().Places(store, None, device), console())


def _commands() -> Any:
    """Give the module that does the work; importing it loads torch, which help need not wait for."""
    return import_module("rgbench.cli.work.runs")


def _data_commands() -> Any:
    """Give the module of the data commands, which loads no torch."""
    return import_module("rgbench.cli.work.data")


def _network_commands() -> Any:
    """Give the module of the network commands, which lists networks without torch."""
    return import_module("rgbench.cli.work.networks")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors of the package end in one line and their exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        load_extensions(filter(None, os.environ.get(EXTENSIONS, "").split(os.pathsep)))
        app([a for a in arguments if a != "--debug"], prog_name="rgbench", standalone_mode=True)
    except RgbenchError as error:
        if debug:
            traceback.print_exc()
        Console(stderr=True, soft_wrap=True).print(
            f"error: {error}", style="red", markup=False, highlight=False
        )
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; the same command goes on where it was")
        sys.exit(130)
