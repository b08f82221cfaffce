"""The command ``rgbench data split``: the sources of a split as a table, for other programs; it loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rgbench.cli.bars import bar_of
from rgbench.cli.screen import say, warn
from rgbench.data.load import load_dataset, split_dataset
from rgbench.data.sets import data_sets
from rgbench.data.split import SIDES, source_columns
from rgbench.runs.output_tables import table_writer
from rgbench.spec import DataSpec, read_study
from rgbench.store.files import check_output, into_place
from rgbench.validation import validate


@dataclass(frozen=True)
class SplitChoice:
    """Whose split, by the name of a data set or a study's file, and which."""

    name: str
    split: str | None
    seed: int


def data_spec(name: str, split: str | None) -> DataSpec:
    """Give the data of a study's file, or of a data set by its name, with another split if one is named.

    Raises
    ------
    SpecError
        If there is no such file or data set, or no such split.
    """
    found = (
        read_study(Path(name)).data if name.endswith(".toml") else DataSpec(name=data_sets().canonical(name))
    )
    return found if split is None else validate(DataSpec, {**found.model_dump(), "split": split}, "--split")


def write_split(choice: SplitChoice, out: Path, overwrite: bool, console: Console) -> None:
    """Write the sources of a split as a table."""
    write = table_writer(out)
    check_output(out, overwrite)
    spec = data_spec(choice.name, choice.split)
    with bar_of("loading sources"):
        dataset = load_dataset(spec)
        split = split_dataset(spec, dataset, choice.seed)
    with into_place(out) as temporary:
        write(temporary, source_columns(dataset, split))
    counts = ", ".join(f"{len(split.indices(side))} {side}" for side in SIDES)
    say(
        console,
        f"{out}: {len(dataset.catalogue):,} sources of {dataset.card.name}, split {spec.split}: {counts}",
    )
    warn(console, *(f"without a split: {name}: {reason}" for name, reason in split.removed))
