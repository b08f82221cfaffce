"""The commands ``rgbench tasks | bundle | board``; nothing here loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rgbench.bundles.manifest import Statement
from rgbench.bundles.read import check_task, read_bundle
from rgbench.bundles.statements import Stated
from rgbench.bundles.write import BundleSpec, write_bundle
from rgbench.cli.bars import bar_of
from rgbench.cli.screen import say, warn
from rgbench.cli.work.stored import open_store, reading
from rgbench.errors import SpecError
from rgbench.measures.catalogue import metrics
from rgbench.numbers import counted
from rgbench.tasks.catalogue import Task, tasks
from rgbench.tasks.check import why_not
from rgbench.tasks.words import rules


@dataclass(frozen=True)
class Asked:
    """What the command line asks of a bundle."""

    by: str
    external: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    task: str | None = None
    weights: bool = False
    overwrite: bool = False

    def spec(self) -> BundleSpec:
        """Read it; `SpecError` says what is wrong."""
        said = Stated(self.by, _words("--external", self.external), _words("--trained-on", self.trained_on))
        return BundleSpec(said, tasks().get(self.task) if self.task else None, self.weights, self.overwrite)


def list_tasks(console: Console) -> None:
    """List the tasks, each with what it is about."""
    table = Table("task", "title", "data", "split", "metric", "test sources", box=None)
    for name, task in tasks():
        title = metrics().get(task.metric).title
        table.add_row(name, task.title, task.data, task.split, title, f"{len(task.labels):,}")
    console.print(table)
    for name, reason in tasks().broken().items():
        warn(console, f"{name}: {reason}")
    say(console, f"One of them: rgbench tasks {tasks().names()[0]}")


def show_task(name: str, store: Path | None, console: Console) -> None:
    """Show the card of a task, and which runs of a store are of it."""
    task = tasks().get(name)
    say(console, f"{task.title} ({task.name})", style="bold")
    told = [f"{term}: {words}" for term, words in rules(task)]
    say(console, *(f"  {line}" for line in (task.about, *told) if line), wrap=True)
    if store is not None:
        _tell_runs(task, store, console)


def make_bundle(store: Path, out: Path, asked: Asked, console: Console) -> None:
    """Write a bundle, and say what stands in it."""
    with reading("writing the bundle", console) as told:
        manifest = write_bundle(open_store(store), out, asked.spec(), told)
    runs = {name.split("/")[1] for name in manifest.files if name.startswith("runs/")}
    say(console, f"{out}: {counted(len(runs), 'run')} of {counted(len(manifest.statements), 'network')}")
    _tell_statements(manifest.statements, console)
    warn(
        console,
        *(f"  run {each.run_id} ({each.network}) is left out: it {each.why}" for each in manifest.left_out),
    )
    say(console, f"Check it: rgbench bundle --check {out}", f"Show it: rgbench board {out} --out site")


def check_bundle(path: Path, task: str | None, console: Console) -> None:
    """Check a bundle, and say what stands in it."""
    wanted = tasks().get(task) if task else None
    with bar_of("checking"):
        found = read_bundle(path)
    if wanted is not None:
        check_task(found, wanted)
    of = f", all of {found.task.name}" if found.task else ""
    networks = counted(len(found.manifest.statements), "network")
    say(console, f"{path}: sound; {counted(len(found.records), 'run')} of {networks}{of}")
    say(console, f"  made with {found.manifest.made_with}, SHA-256 {found.sha256}")
    _tell_statements(found.manifest.statements, console)


def make_board(paths: Sequence[Path], out: Path, overwrite: bool, console: Console) -> None:
    """Make the pages of a leaderboard, and say where they are."""
    from rgbench.board.build import build_board

    with bar_of("comparing"):
        made = build_board(paths, out, overwrite)
    for task, words in made.answers.items():
        say(console, f"{task}: {words}", wrap=True)
    warn(console, *made.notes)
    say(console, f"Board: {made.index}")


def _words(option: str, given: Sequence[str]) -> dict[str, str]:
    """Read NETWORK=WORDS."""
    found: dict[str, str] = {}
    for each in given:
        network, equals, words = (part.strip() for part in each.partition("="))
        if not (network and equals and words):
            raise SpecError(f"{option}: found {each!r}; NETWORK=WORDS is legal, as vgg16=ImageNet")
        if network in found:
            raise SpecError(f"{option}: {network} is given twice")
        found[network] = words
    return found


def _tell_runs(task: Task, store: Path, console: Console) -> None:
    """Say which runs of a store are of a task, and of the others why not."""
    with reading("reading runs", console) as told:
        found = [(record, why_not(task, record)) for record in open_store(store).records(on_damage=told)]
    say(console, f"  of {counted(len(found), 'run')} in {store}, {sum(not why for _, why in found)} of it")
    for record, why in found:
        if why:
            said = f"  run {record.run_id} ({record.spec.network.label}, seed {record.spec.seed}) {why}"
            warn(console, said)


def _tell_statements(statements: Sequence[Statement], console: Console) -> None:
    say(console, *(f"  {each.network}: {each.words}" for each in statements), wrap=True)
