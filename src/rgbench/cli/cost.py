"""The command ``rgbench cost``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rgbench.cli.options import DeviceOption, OverwriteOption
from rgbench.cli.screen import console, starting


def cost(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="Networks, as rgbench networks lists them; a classifier, as first-1 or its file, too. With --store "
            "they may be left out.",
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            help="Measure the networks of this store at the size of their images, in eager or in the --mode given, and "
            "keep it there: its report and its ranking take the rates from it.",
        ),
    ] = None,
    size: Annotated[
        int,
        typer.Option("--size", help="Side of the images in pixels. A classifier has its own."),
    ] = 96,
    n_classes: Annotated[
        int, typer.Option("--classes", help="Number of classes. A classifier has its own.")
    ] = 4,
    device: DeviceOption = "cpu",
    modes: Annotated[
        list[str] | None,
        typer.Option(
            "--mode",
            help="What computes the networks: eager (PyTorch as it is), compiled (by torch.compile), onnx, openvino or "
            "openvino-bf16. Give it several times for several; by default all.",
        ),
    ] = None,
    batches: Annotated[
        list[int] | None,
        typer.Option(
            "--batch",
            help="Images of a batch. Give it several times for several, of which the fastest counts; by default "
            "1, 8, 32 and 128.",
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", help="How often the throughput of each batch size is measured.")
    ] = 5,
    threads: Annotated[int, typer.Option("--threads", help="Threads of the processor.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: a list with a table for each network and mode.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Also write a table: .csv, .parquet, .vot or .fits, by the ending."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure what networks cost: latency, throughput, memory and energy, by each engine that computes them.

    Each network in each mode has a process of its own. Exit code 3: one of these processes died or hung; the others
    were measured. docs/cost.md says how it is measured.
    """
    with starting():
        from rgbench.cli.work import cost as work
        from rgbench.runs.cost import DEFAULT, CostSpec
        from rgbench.runs.cost_process import EAGER

    if not names and store is None:
        raise typer.BadParameter("give networks, or --store FOLDER", param_hint="NAME")
    if store is not None and len(modes or []) > 1:
        raise typer.BadParameter(
            "give one with --store: only rates of one mode can be compared", param_hint="--mode"
        )
    spec = CostSpec(
        image_size=size,
        n_classes=n_classes,
        device=device,
        modes=tuple(modes or (DEFAULT.modes if store is None else (EAGER,))),
        batches=tuple(batches or DEFAULT.batches),
        repeats=repeats,
        threads=threads,
    )
    wanted = work.Wanted(as_json, out, overwrite)
    if store is None:
        work.cost(names or [], spec, wanted, console())
    else:
        work.cost_of_store(store, names or [], spec, wanted, console())
