"""Options that several commands share, and where they print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

DEFAULT_STORE = Path("rgbench-results")
LOG_WIDTH = 140
"""Characters of a line where the output is no terminal."""
StoreOption = Annotated[
    Path, typer.Option("--store", envvar="RGBENCH_STORE", help="Folder of the runs; made if it is not there.")
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


def console() -> Console:
    """Give a console on standard output: as wide as the terminal, or wide enough for a log."""
    found = Console()
    return found if found.is_terminal else Console(width=LOG_WIDTH)
