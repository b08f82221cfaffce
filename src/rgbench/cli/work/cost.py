"""The command ``rgbench cost``: what networks cost, in a table or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rgbench import numbers
from rgbench.cli.bars import bar_of
from rgbench.cli.screen import say, warn
from rgbench.cli.work.predict import SOME_SET_ASIDE
from rgbench.cli.work.stored import open_store
from rgbench.errors import Stopped
from rgbench.numbers import significant
from rgbench.runs import cost as measuring
from rgbench.runs.classify import check_table_path, write_columns
from rgbench.runs.cost import FAILED, LEFT_OUT, Cost, CostSpec
from rgbench.runs.cost_of_store import keep, measurements
from rgbench.runs.cost_process import EAGER

HEADINGS = (
    "network",
    "mode",
    "ms",
    "ms 95 %",
    "images/s",
    "lowest to highest",
    "batch",
    "MB",
    "J/image",
    "ready s",
)
"""Columns of the table; those from the third on are numbers."""


@dataclass(frozen=True)
class Wanted:
    """What comes of it: a table on the terminal or JSON, and a file."""

    as_json: bool = False
    out: Path | None = None
    overwrite: bool = False


def cost(names: Sequence[str], spec: CostSpec, wanted: Wanted, console: Console) -> None:
    """Measure what networks cost, and say it, the fastest mode of each first.

    It ends with the exit code `SOME_SET_ASIDE` if a process died or hung.
    """
    if wanted.out is not None:
        check_table_path(wanted.out, wanted.overwrite)
    costs = _run(names, spec, wanted, console)
    _give(costs, wanted, console)
    if any(each.status == FAILED for each in costs):
        sys.exit(SOME_SET_ASIDE)


def cost_of_store(
    folder: Path, names: Sequence[str], spec: CostSpec, wanted: Wanted, console: Console
) -> None:
    """Measure the networks of a store's runs as these use them, say it, and keep it in the store.

    It ends with the exit code `SOME_SET_ASIDE` if a process died or hung.
    """
    if wanted.out is not None:
        check_table_path(wanted.out, wanted.overwrite)
    store = open_store(folder)
    asked, costs = measurements(store, names, spec), list[Cost]()
    try:
        with bar_of("measuring") as told:
            for label, own in asked:
                told(len(costs), len(asked))
                costs += measuring.cost([label], own)
                kept = keep(store, costs)
    except Stopped as stop:
        stop.kept = "what was measured before that is kept in the store; to begin again"
        raise
    _give(costs, wanted, console)
    say(console, f"{kept}: kept for the report and the ranking of this store (rgbench report {folder})")
    if any(each.status == FAILED for each in costs):
        sys.exit(SOME_SET_ASIDE)


def _run(names: Sequence[str], spec: CostSpec, wanted: Wanted, console: Console) -> list[Cost]:
    """Measure with a bar; where it is stopped, what was measured is given."""
    so_far: list[Cost] = []
    try:
        with bar_of("measuring") as told:

            def listen(found: Sequence[Cost], total: int) -> None:
                so_far[:] = found
                told(len(found), total)

            return measuring.cost(names, spec, listen)
    except Stopped as stop:
        if so_far:
            _give(so_far, wanted, console)
            stop.kept = "what was measured before that is told; to begin again"
            stop.again = () if wanted.out is None else ("--overwrite",)
        raise


def _give(costs: Sequence[Cost], wanted: Wanted, console: Console) -> None:
    """Write the table that was asked for, and print."""
    if wanted.out is not None:
        write_columns(wanted.out, measuring.columns(costs), wanted.overwrite)
    if wanted.as_json:
        say(console, *json.dumps([measuring.plain(each) for each in costs], indent=1).split("\n"))
        return
    _show(costs, console)
    if wanted.out is not None:
        say(console, f"{wanted.out}: {numbers.counted(len(costs), 'row')}")


def _show(costs: Sequence[Cost], console: Console) -> None:
    """Print the answer, the table, what is not in it, and how all was measured."""
    say(console, *_answers(costs), style="bold")
    say(console, *_facts(costs))
    if any(each.measured for each in costs):
        console.print(_table(costs))
    warn(console, *_remarks(costs))
    say(console, *_settings(costs))


def _answers(costs: Sequence[Cost]) -> Iterator[str]:
    """Say which mode is the fastest for each network."""
    best = measuring.fastest(costs)
    for name, own in _by_network(costs).items():
        if name not in best:
            yield f"{name}: not measured in any mode"
            continue
        found = best[name]
        ratio = _times_eager(found, own)
        rate = f"{found.best.median:,.0f} images/s in batches of {found.best.batch}{ratio}"
        quick = min((each for each in own if each.measured), key=lambda each: each.latency(50))
        alone = f"one image alone takes {significant(quick.latency(50))} ms with {quick.mode}"
        yield f"{name}: fastest with {found.mode}, {rate}; {alone}"


def _times_eager(found: Cost, own: Sequence[Cost]) -> str:
    eager = next((each for each in own if each.mode == EAGER and each.measured), None)
    if eager is None or eager is found:
        return ""
    return f", {significant(found.best.median / eager.best.median, 2)} times eager"


def _by_network(costs: Sequence[Cost]) -> dict[str, list[Cost]]:
    found: dict[str, list[Cost]] = {}
    for each in costs:
        found.setdefault(each.subject.name, []).append(each)
    return found


def _facts(costs: Sequence[Cost]) -> Iterator[str]:
    """Say how large each network is."""
    for subject in dict.fromkeys(each.subject for each in costs):
        if subject.parameters:
            yield (
                f"{subject.name}: {numbers.counted(subject.parameters, 'parameter')} "
                f"({significant(subject.weight_bytes / 1e6)} MB), {significant(subject.macs / 1e6)} million "
                f"multiply-accumulates for an image of {subject.rows} x {subject.columns} pixels, "
                f"{numbers.counted(subject.n_classes, 'class', 'classes')}"
            )


def _table(costs: Sequence[Cost]) -> Table:
    table = Table(box=None)
    for place, head in enumerate(HEADINGS):
        table.add_column(head, justify="right" if place > 1 else "left")
    for each in costs:
        if each.measured:
            table.add_row(each.subject.name, each.mode, *_cells(each))
    return table


def _cells(found: Cost) -> Iterator[str]:
    """Give the numbers of a row."""
    row = found.row()
    yield significant(row["latency_ms"])
    yield significant(row["latency_p95_ms"])
    yield f"{row['images_per_second']:,.0f}"
    yield f"{row['images_per_second_low']:,.0f} to {row['images_per_second_high']:,.0f}"
    yield str(row["batch"])
    yield f"{row['memory_mb']:,.0f}"
    yield significant(row["joules_per_image"])
    yield significant(row["ready_s"], 2)


def _remarks(costs: Sequence[Cost]) -> Iterator[str]:
    """Say what is not in the table, and why; a reason that several networks share is said once."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for each in costs:
        if each.remark:
            found.setdefault((each.mode, each.status, each.remark), []).append(each.subject.name)
    for (mode, status, remark), names in found.items():
        said = f"{status}: " if status in (LEFT_OUT, FAILED) else ""
        yield f"{numbers.listed(names)}, {mode}: {said}{remark}"


def _settings(costs: Sequence[Cost]) -> Iterator[str]:
    """Say how it was measured, once for all that was measured alike."""
    measured = [each for each in costs if each.measured]
    for energy in dict.fromkeys(each.row()["energy"] for each in measured):
        known = any(numbers.is_number(each.best.joules_per_image) for each in measured)
        yield f"Energy: {energy}" if known else f"Energy is not known: {energy}"
    for device in dict.fromkeys(each.row()["device"] for each in measured):
        engines = ", ".join(dict.fromkeys(each.row()["engine"] for each in measured))
        # The name of a processor has the threads in it.
        threads = "" if "threads" in device else f"; {numbers.counted(measured[0].threads, 'thread')}"
        yield f"{device}{threads}; {engines}"
    if measured:
        yield "What the columns say, and how they are measured: docs/cost.md"
