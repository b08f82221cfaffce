"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
