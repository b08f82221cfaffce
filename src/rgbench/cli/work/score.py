"""The command ``rgbench score``: it reads, matches, stores, and says how the predictions do; it loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console

from rgbench.cli.bars import bar_of
from rgbench.cli.screen import say, warn
from rgbench.cli.work.data import pairs
from rgbench.cli.work.report import say_results
from rgbench.cli.work.split import data_spec
from rgbench.comparison.summary import compare
from rgbench.data.own.predicted import Given, PredictedColumns
from rgbench.errors import SpecError
from rgbench.measures.catalogue import metrics
from rgbench.numbers import listed
from rgbench.runs.score import ScoreSpec, Stated, score
from rgbench.store.named import named


@dataclass(frozen=True)
class Place:
    """Which data and split, which seed, and the store."""

    data: str
    split: str | None
    seed: int
    store: Path
    overwrite: bool


@dataclass(frozen=True)
class RowsChoice:
    """How the rows of the table are read, and whether some may be missing."""

    given: str | None
    columns: Sequence[str]
    labels: Sequence[str]
    tolerance: float
    partial: bool

    def read_as(self) -> PredictedColumns:
        """Give what names of columns do not tell."""
        kinds: dict[str, Given] = {kind: kind for kind in get_args(Given)}
        if self.given is not None and self.given not in kinds:
            raise SpecError(f"--given: found {self.given!r}; legal are {', '.join(kinds)}")
        given = None if self.given is None else kinds[self.given]
        return PredictedColumns(pairs("--column", self.columns), pairs("--label", self.labels), given)


@dataclass(frozen=True)
class Told:
    """What is stated of the model, and the table of what it was trained on."""

    stated: Stated
    training_sources: Path | None


def score_table(table: Path, name: str, place: Place, rows: RowsChoice, told: Told, console: Console) -> None:
    """Score a table, and print what was left out, the scores, and where they stand."""
    spec = ScoreSpec(
        data=data_spec(place.data, place.split),
        seed=place.seed,
        columns=rows.read_as(),
        tolerance=rows.tolerance,
        partial=rows.partial,
        stated=told.stated,
        training_sources=told.training_sources,
        overwrite=place.overwrite,
    )
    with bar_of("scoring"):
        scored = score(table, name, place.store, spec)
    record = scored.record
    warn(console, *scored.remarks)
    there = "" if scored.is_new else " was in the store already; nothing is changed"
    say(console, f"{named(record.run_id, record.spec)}{there or ' is in the store'}")
    found = compare([record])
    say_results(found, [record], console)
    votes = record.predictions is not None and not record.predictions.has_probabilities
    unknown = [name for name, card in metrics() if votes and not card.of_classes]
    if unknown:
        say(
            console,
            f"  Not known, as the table has classes and no probabilities: {listed(unknown)}.",
            wrap=True,
        )
    say(console, f"rgbench report --store {place.store}   shows it beside the other runs")
