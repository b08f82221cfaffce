"""The command ``rgbench suspects``; it loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rgbench.cli.screen import say, warn
from rgbench.cli.work.stored import check_model, open_store, reading
from rgbench.comparison.label_errors import write_suspects
from rgbench.comparison.label_review import review_labels
from rgbench.comparison.words.failures import suspects
from rgbench.numbers import counted


@dataclass(frozen=True)
class SuspectsChoice:
    """Where the list goes, of which data set, and which model of each run is asked."""

    out: Path
    overwrite: bool = False
    data: str = ""
    model: str = "best"


def list_suspects(store_path: Path, choice: SuspectsChoice, console: Console) -> None:
    """Write a table of the sources whose labels are likely wrong, by what stored runs say of sources held out."""
    model = check_model(choice.model)
    store = open_store(store_path)
    with reading("asking stored runs", console) as told:
        found = review_labels(store, choice.data, model, told)
    for record, why in found.left_out:
        warn(console, f"left out: {record.spec.network.name}, seed {record.spec.seed}: {why}")
    write_suspects(choice.out, found.suspects, choice.overwrite)
    said = suspects(found.held, found.share, found.suspects, found.labelled)
    say(
        console,
        f"{found.data}, {counted(len(found.records), 'run')}: {said}.",
        f"{choice.out}: {counted(len(found.suspects), 'source')}, likeliest first; the column verdict is for those who "
        "look.",
    )
