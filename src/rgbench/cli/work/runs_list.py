"""The command ``rgbench runs``: what a store holds; it loads no torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console

from rgbench import numbers
from rgbench.cli.bars import bar_of
from rgbench.cli.screen import say, warn
from rgbench.cli.work.stored import open_store
from rgbench.errors import SpecError
from rgbench.escapes import visible
from rgbench.measures.cards import MetricCard, registry
from rgbench.runs.listing import SCORES, ListedRun, columns, list_runs
from rgbench.spec import ELSEWHERE
from rgbench.store.files import check_output, into_place
from rgbench.store.named import SHORT

DAY = len("2026-11-28")
"""Characters of the date in a time."""


@dataclass(frozen=True)
class Listing:
    """Which runs are listed, and how: on the terminal, as JSON, or into a table."""

    network: str = ""
    as_json: bool = False
    out: Path | None = None
    overwrite: bool = False


def list_store(path: Path, wanted: Listing, console: Console) -> None:
    """List the runs of a store."""
    if wanted.out is not None:
        _check_table(wanted.out, wanted.overwrite)
    store = open_store(path)
    with bar_of("reading runs"):
        runs = list_runs(store, wanted.network)
    if wanted.network and not runs and store.run_ids():
        raise SpecError(
            f"--network {wanted.network}: {path} has no run of such a network; it holds {store.held()}"
        )
    if wanted.out is not None:
        _write_table(wanted.out, runs)
        say(console, f"{wanted.out}: {numbers.counted(len(runs), 'run')}")
    elif wanted.as_json:
        say(console, *json.dumps([_plain(run) for run in runs], indent=1).split("\n"))
    elif not runs:
        say(
            console,
            f"{path}: the store holds no run; rgbench quickstart trains some, rgbench run those of a study",
        )
    else:
        _show(path, runs, console)


def _check_table(path: Path, overwrite: bool) -> None:
    """Raise `SpecError` if no table can be written to a path: before the work, not after it."""
    from rgbench.runs.output_tables import table_writer

    table_writer(path)
    check_output(path, overwrite)


def _write_table(path: Path, runs: Sequence[ListedRun]) -> None:
    # It loads astropy, for which a list on the terminal need not wait.
    from rgbench.runs.output_tables import table_writer

    write = table_writer(path)
    with into_place(path) as temporary:
        write(temporary, columns(runs))


def _plain(run: ListedRun) -> dict[str, object]:
    """Give a run as JSON has it: null where something is not known."""
    row = run.row() | {key: run.scores[key] if numbers.is_number(run.scores[key]) else None for key in SCORES}
    return row if run.network else row | dict.fromkeys(("network", "seed", "data", "split", "protocol"))


def _show(path: Path, runs: Sequence[ListedRun], console: Console) -> None:
    """Print a table for each data set, split and protocol, then what is wrong with runs."""
    readable = [run for run in runs if run.network]
    for (data, split, protocol), own in groupby(readable, key=lambda run: run.setting):
        made = "predictions made elsewhere" if protocol == ELSEWHERE else f"protocol {protocol}"
        say(console, f"{data}, split {split}, {made}", style="bold")
        say(console, *_lines(list(own)))
    for run in runs:
        if run.remark:
            warn(console, f"Run {run.run_id} is {run.status}: {run.remark}")
    if any(run.status == "running" for run in runs):
        say(
            console,
            "running: it is being computed, or was stopped; the command that began it goes on with it",
        )
    statuses = Counter(run.status for run in runs)
    counts = ", ".join(f"{n} {status}" for status, n in statuses.most_common())
    say(console, f"{path}: {numbers.counted(len(runs), 'run')} ({counts})")
    if usable := [run.network for run in readable if run.status == "complete" and run.protocol != ELSEWHERE]:
        say(console, f"All seeds of a network classify together: rgbench predict FOLDER --run {usable[0]}")


def _lines(runs: Sequence[ListedRun]) -> list[str]:
    """Write runs of one setting as lines, in columns: hundreds of them take rich a second."""
    rows = [_HEADINGS, *(_cells(run) for run in runs)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, range(len(row)), strict=True)
        padded = [_padded(cell, width, place in _NUMBERS) for cell, width, place in cells]
        lines.append(f"  {'  '.join(padded)}".rstrip())
    return lines


def _cells(run: ListedRun) -> tuple[str, ...]:
    """Give the texts of a row: scores in the units of their metrics."""
    scores = [numbers.scale(_metric(key).scale).show(run.scores[key]) for key in SCORES]
    return visible(run.network), str(run.seed), *scores, run.status, run.written[:DAY], run.run_id[:SHORT]


def _padded(text: str, width: int, to_the_right: bool) -> str:
    blanks = " " * (width - cell_len(text))
    return f"{blanks}{text}" if to_the_right else f"{text}{blanks}"


def _metric(key: str) -> MetricCard:
    return registry().get(key.partition("_")[2])


def _heading(key: str) -> str:
    """Head the column of a score: the side and the metric with its unit."""
    card = _metric(key)
    return f"{key.partition('_')[0]} {numbers.scale(card.scale).heading(card.short)}"


_HEADINGS = ("network", "seed", *map(_heading, SCORES), "status", "date", "run")
_NUMBERS = range(1, 2 + len(SCORES))
"""Columns of numbers, which stand to the right."""
