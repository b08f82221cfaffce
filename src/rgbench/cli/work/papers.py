"""The command ``rgbench replicate``: published numbers beside ours."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from rgbench.cli.screen import say
from rgbench.comparison.published import Paper, find_paper, paper_names
from rgbench.comparison.replication import compare_with, found_in
from rgbench.comparison.words import replication
from rgbench.data.load import load_dataset
from rgbench.numbers import counted
from rgbench.store.store import RunRecord, Store


def replicate(name: str, store_path: Path, device: str, console: Console) -> None:
    """Run the study of a paper, and say of each of its numbers whether ours contradicts it."""
    from rgbench.cli.progress import TerminalListener
    from rgbench.runs.check import check_study
    from rgbench.runs.device import choose_device
    from rgbench.runs.study import run_study

    paper = find_paper(name)
    say(console, paper.citation, style="bold")
    say(console, *filter(None, (paper.note,)))
    if not paper.studies:
        say(console, "None of its test sets can be had here: there is nothing to run.")
        return
    store, device = Store(store_path), choose_device(device)
    records: list[RunRecord] = []
    for study in paper.studies:
        check_study(study)
    for study in paper.studies:
        dataset = load_dataset(study.data)
        with TerminalListener(console, device) as listener:
            records += run_study(study, store, device, listener, dataset)
    verdicts = compare_with(paper, found_in(records))
    for verdict in verdicts:
        style = "yellow" if verdict.kind in ("below", "above") else "dim" if verdict.ours is None else ""
        say(console, f"{replication.verdict(verdict)} ({verdict.value.where})", style=style)
    say(console, replication.summary(verdicts))


def list_papers(console: Console) -> None:
    """List the papers that ship, with how many numbers each holds and what there is to run."""
    table = Table("paper", "citation", "numbers", "rgbench replicate")
    for paper in map(find_paper, paper_names()):
        numbers = sum(len(test.values) for test in paper.tests)
        runs = [
            f"{counted(len(s.networks) * len(s.seeds) * max(1, len(s.splits)), 'run')} on {s.data.name} "
            f"({_kind(paper, s.data.name)})"
            for s in paper.studies
        ]
        table.add_row(
            paper.name, paper.citation, str(numbers), ", ".join(runs) or "its test sets cannot be had"
        )
    console.print(table)


def _kind(paper: Paper, data: str) -> str:
    """Say whether the study on a data set replicates the paper, or sets other methods beside it."""
    kinds = {test.kind for test in paper.tests if test.data == data and test.kind}
    return " and ".join(sorted(kinds)) or "nothing to compare it with"
