"""What the commands do that look again at stored runs, or set them beside published numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rgbench.cli.progress import TerminalListener
from rgbench.comparison.failures import choose_sources
from rgbench.comparison.label_errors import out_of_sample, suspects, words, write_suspects, wrong_share
from rgbench.comparison.published import find_paper, paper_names
from rgbench.comparison.replication import compare_with, found_in, summary
from rgbench.data.catalogue import DataSet
from rgbench.data.load import load_dataset
from rgbench.diagnostics.explain import METHOD, look_again
from rgbench.diagnostics.mc_dropout import mc_dropout, no_dropout
from rgbench.diagnostics.stress import stress
from rgbench.diagnostics.survey_shift import SeenBy, parse_survey, seen_by
from rgbench.errors import DataError, SpecError
from rgbench.measures.health import check_history, check_predictions
from rgbench.runs.check import check_study
from rgbench.runs.device import choose_device
from rgbench.runs.reopen import make_split
from rgbench.runs.study import run_study
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import MODELS


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
        check_study(study)
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


@dataclass(frozen=True)
class ExplainChoice:
    """Which run is looked at, how, and at how many sources of each class twice over: the clearest and the hardest."""

    run_id: str | None = None
    method: str = METHOD
    per_class: int = 1


def stress_runs(
    store_path: Path, run_id: str | None, surveys: Sequence[str], device: str, console: Console
) -> None:
    """Test stored runs on disturbed test images, and on other surveys' images of them, where there are none yet."""
    store, device = _store(store_path), choose_device(device)
    folders = [parse_survey(text) for text in surveys]
    complete = _complete([store.record(store.find(run_id))] if run_id else store.records(), store)
    loaded: dict[str, DataSet] = {}
    for record in complete:
        data = record.spec.data
        if data.checksum not in loaded:
            loaded = {data.checksum: load_dataset(data)}
        began = time.perf_counter()
        dataset = loaded[data.checksum]
        seen = {}
        for condition, folder in folders:
            tested = make_split(record.spec, dataset).indices("test")
            found = seen_by(condition, folder, dataset, tested, record.spec.images.field)
            _say_survey(found, console)
            seen[condition] = found.data
        rows = stress(record, dataset, store, device=device, seen=seen)
        console.print(
            f"{record.spec.network.name}, seed {record.spec.seed}: {len(set(rows.condition.tolist()))} conditions, "
            f"{time.perf_counter() - began:.0f} s",
            highlight=False,
        )
    console.print(f"rgbench report --store {store_path}   shows them", highlight=False, soft_wrap=True)


def _say_survey(found: SeenBy, console: Console) -> None:
    shown, missing = len(found.data.catalogue), [f"{name} ({reason})" for name, reason in found.missing]
    said = f"{found.condition.name}: {shown} of {shown + len(missing)} test sources"
    _say(
        console,
        f"{said}; without: {', '.join(missing[:5])}{', ...' * (len(missing) > 5)}" if missing else said,
    )


def explain_runs(store_path: Path, choice: ExplainChoice, device: str, console: Console) -> None:
    """See what stored networks look at, one run of each network or the one asked for, and keep it beside the run."""
    store, device = _store(store_path), choose_device(device)
    complete = _complete(store.records(), store)
    chosen = [store.record(store.find(choice.run_id))] if choice.run_id else _one_each(complete)
    loaded: dict[str, DataSet] = {}
    for record in chosen:
        data = record.spec.data
        alike = [r for r in complete if r.spec.data.checksum == data.checksum]
        if data.checksum not in loaded:
            loaded = {data.checksum: load_dataset(data)}
        began = time.perf_counter()
        shown = choose_sources(_one_each(alike), choice.per_class)
        looks = look_again(record, loaded[data.checksum], store, shown, choice.method, device)
        named = f"{record.spec.network.name}, seed {record.spec.seed}"
        _say(
            console,
            f"{named}: {looks.method} of {len(looks.shown)} sources, {time.perf_counter() - began:.0f} s",
        )
    _say(console, f"rgbench report --store {store_path}   shows them")


def _one_each(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Give the first run of each network on each data set, by seed."""
    found: dict[tuple[str, str], RunRecord] = {}
    for record in sorted(records, key=lambda r: (r.spec.network.name, r.spec.data.split, r.spec.seed)):
        found.setdefault((record.spec.network.name, record.spec.data.checksum), record)
    return list(found.values())


def doubt_runs(store_path: Path, run_id: str | None, passes: int, device: str, console: Console) -> None:
    """Ask stored runs, or one, again with their dropout left on; what is there already is not computed again."""
    store, device = _store(store_path), choose_device(device)
    loaded: dict[str, DataSet] = {}
    records = _complete([store.record(store.find(run_id))] if run_id else store.records(), store)
    without = {record.run_id: why for record in records if (why := no_dropout(record))}
    if len(without) == len(records):
        raise SpecError("; ".join(dict.fromkeys(without.values())))
    for record in records:
        named = f"{record.spec.network.name}, seed {record.spec.seed}"
        if record.run_id in without:
            _say(console, f"{named}: left out: {without[record.run_id]}", style="yellow")
            continue
        data = record.spec.data
        if data.checksum not in loaded:
            loaded = {data.checksum: load_dataset(data)}
        began = time.perf_counter()
        rows = mc_dropout(record, loaded[data.checksum], store, passes, device)
        _say(console, f"{named}: {rows.member.max()} passes, {time.perf_counter() - began:.0f} s")
    _say(console, f"rgbench report --store {store_path}   shows them")


@dataclass(frozen=True)
class SuspectsChoice:
    """Where the list goes, of which data set, and which model of each run is asked."""

    out: Path
    overwrite: bool = False
    data: str = ""
    model: str = "best"


def list_suspects(store_path: Path, choice: SuspectsChoice, console: Console) -> None:
    """Write a table of the sources whose labels are likely wrong, by what stored runs say of sources held out."""
    if choice.model not in MODELS:
        raise SpecError(f"--model: found {choice.model!r}; legal are {', '.join(MODELS)}")
    store = _store(store_path)
    records = _of_one_set(_complete(store.records(), store), choice.data)
    sound = []
    for record in records:
        if why := _unsound(record, choice.model):
            named = f"{record.spec.network.name}, seed {record.spec.seed}"
            _say(console, f"left out: {named}: {why}", style="yellow")
        else:
            sound.append(record)
    held = out_of_sample(sound, choice.model)
    catalogue = load_dataset(sound[0].spec.data).catalogue
    found = suspects(held, catalogue)
    write_suspects(choice.out, found, choice.overwrite)
    said = words(held, wrong_share(held), found, int((catalogue.label >= 0).sum()))
    _say(console, f"{sound[0].spec.data.name}, {len(sound)} runs: {said}.")
    _say(
        console,
        f"{choice.out}: {len(found)} sources, likeliest first; the column verdict is for those who look.",
    )


def _store(path: Path) -> Store:
    if not path.exists():
        raise SpecError(f"--store {path}: there is no such folder; rgbench quickstart makes one")
    return Store(path)


def _complete(records: Sequence[RunRecord], store: Store) -> list[RunRecord]:
    complete = [record for record in records if record.status == "complete"]
    if not complete:
        raise DataError(f"{store.root}: the store holds no complete run; begin with rgbench quickstart")
    return complete


def _of_one_set(records: Sequence[RunRecord], name: str) -> list[RunRecord]:
    """Choose the runs of a data set, by its name or the beginning of its checksum; it must be one only."""
    sets = {r.spec.data.checksum: r.spec.data for r in records}
    chosen = [key for key, data in sets.items() if not name or name == data.name or key.startswith(name)]
    if len(chosen) != 1:
        listed = ", ".join(
            f"{key[:8]} ({data.name}{data.test and ' tested on ' + data.test})" for key, data in sets.items()
        )
        raise SpecError(f"--data: found {name!r}; one data set is needed of those in the store: {listed}")
    return [record for record in records if record.spec.data.checksum == chosen[0]]


def _unsound(record: RunRecord, model: str) -> str:
    """Say why a run has learnt nothing; "" if it has."""
    if record.predictions is None:
        return "it has no predictions"
    test = record.predictions.select("test", model)
    notes = [*check_predictions(test.logits, test.classes), *check_history(record.history, len(test.classes))]
    return "; ".join(note.text for note in notes)
