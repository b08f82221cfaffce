"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_STORE = Path("rgbench-results")
StoreOption = Annotated[
    Path, typer.Option("--store", envvar="RGBENCH_STORE", help="Folder of the runs; training makes it.")
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device", help="Where to compute: cpu, cuda, cuda:1, mps; auto takes cuda if it is there."
    ),
]
ModelOption = Annotated[
    str, typer.Option("--model", help="Which weights: best (lowest validation loss) or final.")
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        help="Id of a stored run, or its beginning; or the name of a network, for all its seeds; by default all.",
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the table if it is there.")]
OverwriteFileOption = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")]
OverwriteFilesOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]
SplitOption = Annotated[
    str | None,
    typer.Option("--split", help="published, fold-0, fold-1, ... or becker2021; by default published."),
]
ImageScaleOption = Annotated[
    float | None,
    typer.Option(
        "--pixel-scale",
        help="Arcseconds per pixel of images whose headers do not tell it; without it they are set aside.",
    ),
]
PlaneOption = Annotated[
    str | None,
    typer.Option(
        "--plane",
        help="Plane of FITS cubes, from 0, or 0,2 where there are two such axes; without it cubes are set aside.",
    ),
]
ClassifierOption = Annotated[
    str | None,
    typer.Option(
        "--classifier",
        help="Name of a classifier that comes with the package, or a file that rgbench export wrote; by default "
        "the newest that comes with the package.",
    ),
]
RunChoiceOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        help="Classify with a stored run instead: its id, or the beginning of it; or the name of a network, all whose "
        "seeds answer together then. With --store alone, the run of that store that is best on validation sources, "
        "whatever its data. rgbench runs lists them.",
    ),
]
PriorOption = Annotated[
    str | None,
    typer.Option(
        "--prior",
        help="Shares of the classes in your survey, for which probabilities are corrected: compact=0.95,fri=0.02. "
        "Classes that are not named divide the rest as in training.",
    ),
]


def views_of(word: str | int) -> str | int:
    """Read a number of views: a number as one, another word as it is, which is looked at later."""
    return int(word) if str(word).isdecimal() else word


ViewsOption = Annotated[
    Any,
    typer.Option(
        "--views",
        metavar="N|auto",
        parser=views_of,
        help="Turned and mirrored views of each image that are averaged: 1, 2, 4, 8, 16, 24 or 48; by default "
        "8 for first-1. One is several times as fast; one image in twenty then gets another class. With auto only "
        "images of which one view is not sure are looked at in all.",
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        help="What computes the networks: torch, onnx or openvino; openvino-bf16 in bfloat16; auto takes onnx where it "
        "is installed. All but torch are extras: pip install 'rgbench[onnx]' or 'rgbench[openvino]'.",
    ),
]


def given(context: typer.Context, name: str) -> bool:
    """Tell whether an option was given on the command line, and not by the environment or by default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
