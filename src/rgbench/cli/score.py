"""The command ``rgbench score``: predictions that were made elsewhere become a run of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rgbench.cli.data import LabelsOption
from rgbench.cli.options import DEFAULT_STORE, SplitOption, StoreOption
from rgbench.cli.screen import console, starting

STATED = "What you state of the model"


def score(
    table: Annotated[
        Path,
        typer.Argument(
            help="Table of sources (source_id, or ra and dec) with p_CLASS or logit_CLASS for each class, or "
            "predicted: .csv, .parquet, .vot, .fits."
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="What the model is called in tables and figures.")],
    data: Annotated[
        str, typer.Option("--data", help="Name of a data set, or a study's TOML file, whose data it is.")
    ] = "first-galaxy-data",
    split: SplitOption = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", help="Tells several tables of one model apart; for becker2021 the split's seed."
        ),
    ] = 0,
    store: StoreOption = DEFAULT_STORE,
    given: Annotated[
        str | None,
        typer.Option(
            "--given", help="What is taken: probabilities, logits or classes; by default by the columns."
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            help="What a column is called there, e.g. FRI=col3; name, path, position, ra, dec, class, or a class; may "
            "be repeated.",
        ),
    ] = None,
    labels: LabelsOption = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Arcseconds within which a position is that of a source.")
    ] = 5.0,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Score the test sources that are there, though others are missing."),
    ] = False,
    trained_on: Annotated[
        str, typer.Option("--trained-on", help="On what it was trained.", rich_help_panel=STATED)
    ] = "",
    training_sources: Annotated[
        Path | None,
        typer.Option(
            "--training-sources",
            help="Table of the names or positions of the sources it was trained on; no test source may be near.",
            rich_help_panel=STATED,
        ),
    ] = None,
    parameters: Annotated[
        int | None, typer.Option("--parameters", help="How many it has.", rich_help_panel=STATED)
    ] = None,
    reference: Annotated[
        str, typer.Option("--reference", help="A paper or a URL.", rich_help_panel=STATED)
    ] = "",
    code: Annotated[str, typer.Option("--code", help="Where its code is.", rich_help_panel=STATED)] = "",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace the run of this name and seed, or what is stated of it."),
    ] = False,
) -> None:
    """Score predictions that any other code made; they stand in the store as a run beside the others.

    rgbench data split writes the sources and their split for it. docs/score.md has examples.
    """
    with starting():
        from rgbench.cli.work import score as work
        from rgbench.runs.score import Stated

    rows = work.RowsChoice(given, columns or [], labels or [], tolerance, partial)
    stated = Stated(trained_on, parameters, reference, code)
    place = work.Place(data, split, seed, store, overwrite)
    work.score_table(table, name, place, rows, work.Told(stated, training_sources), console())
