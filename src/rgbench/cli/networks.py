"""The commands ``rgbench networks list | show`` and ``rgbench import-keras``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rgbench.cli.options import DEFAULT_STORE, StoreOption
from rgbench.cli.screen import console, starting

app = typer.Typer(help="List the networks, or show one.", invoke_without_command=True, rich_markup_mode=None)
ImageSizeOption = Annotated[int, typer.Option("--image-size", help="Side of the input, in pixels.")]
VariantsOption = Annotated[bool, typer.Option("--all", help="List the variants of networks too.")]


@app.callback()
def networks(
    context: typer.Context,
    image_size: ImageSizeOption = 300,
    variants: VariantsOption = False,
) -> None:
    """List the networks with parameters, operations and receptive field, or show one (show NAME)."""
    if context.invoked_subcommand is None:
        list_networks(image_size, variants)


@app.command("list")
def list_networks(
    image_size: ImageSizeOption = 300,
    variants: VariantsOption = False,
) -> None:
    """List the networks with parameters, operations and receptive field."""
    from rgbench.cli.work import networks as work

    work.list_networks(image_size, variants, console())


@app.command("show")
def show_network(
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
        str | None,
        typer.Option(
            "--run",
            help="With --picture: id of a stored run whose weights are looked at; or the network's name, for the mean "
            "of all its seeds.",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show a network's layers, what each costs and sees, and how that compares with real sources."""
    with starting():
        from rgbench.cli.work import networks as work

    view = work.View(image_size, n_classes, data_name, picture, run_id, store)
    work.show_network(name, view, console())


def import_keras(
    model: Annotated[Path, typer.Argument(help="Model file that Keras 2 or 3 wrote (.h5 or .keras).")],
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
    """Turn a model file of Keras (2 or 3, .h5 or .keras) into a stored run that predicts the same."""
    from rgbench.cli.work import networks as work
    from rgbench.runs.import_keras import ImportChoice

    names = tuple(name.strip() for name in classes.split(",") if name.strip())
    work.import_model(model, store, ImportChoice(names, protocol, pixel_scale), console())
