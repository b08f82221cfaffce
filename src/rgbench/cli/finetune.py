"""The command ``rgbench finetune``: a classifier trained further on one's own sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rgbench.cli.data import ColumnsOption, LabelsOption, LeaveOutOption
from rgbench.cli.options import DeviceOption, ImageScaleOption, OverwriteFileOption, PlaneOption
from rgbench.cli.screen import console, starting


def finetune(
    images: Annotated[Path, typer.Option("--images", help="Folder of your images, subfolders included.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="Table of your sources: name or file, class, and position if it is known. CSV, ECSV, VOTable, FITS or "
            "Parquet. Without it, the folders are named as the classes.",
        ),
    ] = None,
    columns: ColumnsOption = None,
    meanings: LabelsOption = None,
    leave_out: LeaveOutOption = None,
    classifier: Annotated[
        str | None,
        typer.Option(
            "--classifier",
            help="Where training begins: a name or a file; by default that of rgbench predict.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="File to write.")] = Path("my-classifier.safetensors"),
    name: Annotated[
        str | None, typer.Option("--name", help="What the new classifier is called; by default as the file.")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", help="How often every source is shown.")] = 10,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Largest learning rate.")] = 5e-4,
    folds: Annotated[
        int,
        typer.Option(
            "--folds", help="Parts of your sources; each is classified by networks trained on the others."
        ),
    ] = 5,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds", help="One for each network, as 1,2,3; by default those that they were trained with."
        ),
    ] = None,
    pixel_scale: ImageScaleOption = None,
    plane: PlaneOption = None,
    device: DeviceOption = "auto",
    overwrite: OverwriteFileOption = False,
) -> None:
    """Train a classifier further on your own labelled images; say whether it got better for them.

    Your sources are dealt into parts, neighbours within 60 arcsec together. Each is classified by networks that were
    not trained on its part, and by the classifier as it was. What is said is the difference, with an interval.
    """
    with starting():
        from rgbench.cli.work import finetune as work
        from rgbench.cli.work.data import Meanings
        from rgbench.finetuning.spec import FinetuneSpec

    spec = FinetuneSpec(epochs, learning_rate, folds, work.parse_seeds(seeds))
    said = Meanings(columns or [], meanings or [], leave_out or [])
    sources = work.Sources(images, labels, said, pixel_scale, plane)
    target = work.Target(out, name or out.stem, overwrite)
    work.finetune(sources, work.Start(classifier, device), spec, target, console())
