"""What the commands do that look again at stored runs, or set them beside published numbers."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from rgbench.comparison.published import judge, read_paper, study_of
from rgbench.comparison.summary import compare
from rgbench.data.catalogue import DataSet
from rgbench.errors import DataError, SpecError
from rgbench.progress import TerminalListener
from rgbench.run import choose_device
from rgbench.store import Store
from rgbench.stress import stress
from rgbench.study import load_dataset, run_study


def replicate(name: str, store_path: Path, device: str, console: Console) -> None:
    """Run the study of a paper, and say of each of its numbers whether ours agrees."""
    paper = read_paper(name)
    console.print(paper.citation, style="bold", markup=False, highlight=False)
    for line in (
        paper.note,
        *([] if paper.number else ["No number of it is known here: nothing to compare."]),
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not paper.number:
        return
    study, store, device = study_of(paper), Store(store_path), choose_device(device)
    dataset = load_dataset(study.data)
    with TerminalListener(console, device) as listener:
        records = run_study(study, store, device, listener, dataset)
    comparison = compare(records)
    for verdict in judge(paper, comparison):
        style = "" if verdict.agrees else "yellow"
        console.print(f"{verdict.words} ({verdict.number.where})", style=style, markup=False, highlight=False)


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
