"""What the commands do that look again at stored runs, or set them beside published numbers."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rgbench.comparison.published import find_paper, paper_names
from rgbench.comparison.replication import compare_with, found_in, summary
from rgbench.data.catalogue import DataSet
from rgbench.errors import DataError, SpecError
from rgbench.progress import TerminalListener
from rgbench.run import choose_device
from rgbench.store import RunRecord, Store
from rgbench.stress import stress
from rgbench.study import load_dataset, run_study


def replicate(name: str, store_path: Path, device: str, console: Console) -> None:
    """Run the study of a paper, and say of each of its numbers whether ours agrees."""
    paper = find_paper(name)
    console.print(paper.citation, style="bold", markup=False, highlight=False)
    _say(console, *filter(None, (paper.note,)))
    if not paper.studies:
        _say(console, "None of its test sets can be had here: there is nothing to run.")
        return
    store, device = Store(store_path), choose_device(device)
    records: list[RunRecord] = []
    for study in paper.studies:
        dataset = load_dataset(study.data)
        with TerminalListener(console, device) as listener:
            records += run_study(study, store, device, listener, dataset)
    verdicts = compare_with(paper, found_in(records))
    for verdict in verdicts:
        style = {"agrees": "", "cannot be said": "dim"}.get(verdict.kind, "yellow")
        _say(console, f"{verdict.words} ({verdict.value.where})", style=style)
    _say(console, summary(verdicts))


def list_papers(console: Console) -> None:
    """List the papers that ship, with how many numbers each holds and what there is to run."""
    table = Table("paper", "citation", "numbers", "rgbench replicate")
    for paper in map(find_paper, paper_names()):
        numbers = sum(len(test.values) for test in paper.tests)
        runs = [
            f"{len(s.networks) * len(s.seeds) * max(1, len(s.splits))} runs on {s.data.name}"
            for s in paper.studies
        ]
        table.add_row(
            paper.name, paper.citation, str(numbers), ", ".join(runs) or "its test sets cannot be had"
        )
    console.print(table)


def _say(console: Console, *lines: str, style: str = "") -> None:
    for line in lines:
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def stress_runs(store_path: Path, run_id: str | None, device: str, console: Console) -> None:
    """Test the stored runs, or one, on disturbed test images; what is there already is not computed again."""
    if not store_path.exists():
        raise SpecError(f"--store {store_path}: there is no such folder; rgbench quickstart makes one")
    store, device = Store(store_path), choose_device(device)
    records = [store.record(store.find(run_id))] if run_id else store.records()
    complete = [record for record in records if record.status == "complete"]
    if not complete:
        raise DataError(f"{store_path}: the store holds no complete run; begin with rgbench quickstart")
    loaded: dict[str, DataSet] = {}
    for record in complete:
        data = record.spec.data
        if data.checksum not in loaded:
            loaded = {data.checksum: load_dataset(data)}
        began = time.perf_counter()
        found = stress(record, loaded[data.checksum], store, device=device)
        console.print(
            f"{record.spec.network.name}, seed {record.spec.seed}: {len(set(found.condition.tolist()))} conditions, "
            f"{time.perf_counter() - began:.0f} s",
            highlight=False,
        )
    console.print(f"rgbench report --store {store_path}   shows them", highlight=False, soft_wrap=True)
