"""The commands ``rgbench stress | uncertainty | explain``: they ask stored networks again, and load torch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from rich.console import Console

from rgbench.cli.bars import Told, bar_of
from rgbench.cli.screen import say, warn
from rgbench.cli.work.stored import OneByOne, open_store, wanted_runs
from rgbench.comparison.failures import choose_sources
from rgbench.comparison.groups import group_records
from rgbench.comparison.robustness import StressedRun, stressed_run
from rgbench.comparison.second_views import STANDARD, second_view
from rgbench.comparison.words.second_views import sentences
from rgbench.diagnostics.disturbances import conditions_for
from rgbench.diagnostics.explain import METHOD, look_again
from rgbench.diagnostics.mc_dropout import mc_dropout, no_dropout
from rgbench.diagnostics.stress import OnCondition, stress
from rgbench.diagnostics.survey_shift import SeenBy, parse_survey, seen_by
from rgbench.errors import SpecError
from rgbench.numbers import counted
from rgbench.runs.device import choose_device
from rgbench.runs.reopen import StoredRun, open_runs
from rgbench.store.choose import one_of_each_network
from rgbench.store.conditions import Condition
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import Predictions


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
    store, device = open_store(store_path), choose_device(device)
    folders = [parse_survey(text) for text in surveys]
    records, conditions = wanted_runs(store, run_id, console), {}
    work = OneByOne(store, console)
    for run in _opened(records, store, device):
        began = time.perf_counter()
        seen = {}
        for condition, folder in folders:
            found = seen_by(condition, folder, run.dataset, run.side("test"), run.spec.images.field)
            _say_survey(found, console)
            seen[condition] = found.data
        with work.run(run.run_id):
            total = len({*conditions_for(run.dataset.card), *seen})
            with bar_of(f"testing {_named(run)}") as told:
                rows = conditions[run.run_id] = stress(run, seen=seen, on_condition=_counting(told, total))
            say(
                console,
                f"{_named(run)}: {len(set(rows.condition.tolist()))} conditions, "
                f"{time.perf_counter() - began:.0f} s",
            )
    done = [record for record in records if record.run_id in conditions]
    _say_second_views(done, conditions, [condition for condition, _ in folders], console)
    say(console, f"rgbench report --store {store_path}   shows them")
    work.ends()


def _say_second_views(
    records: Sequence[RunRecord],
    conditions: Mapping[str, Predictions],
    surveys: Sequence[Condition],
    console: Console,
) -> None:
    """Say of each group of comparable runs what second images do: those made, then those of other surveys."""
    for group in group_records(records):
        stressed: dict[str, list[StressedRun]] = {}
        for record in group:
            run = stressed_run(record, conditions[record.run_id])
            stressed.setdefault(record.spec.network.name, []).append(run)
        for condition in (STANDARD, *surveys):
            found = second_view(stressed, condition)
            say(console, *(sentences(found) if found else ()))


def _say_survey(found: SeenBy, console: Console) -> None:
    shown, missing = len(found.data.catalogue), [f"{name} ({reason})" for name, reason in found.missing]
    said = f"{found.condition.name}: {shown} of {counted(shown + len(missing), 'test source')}"
    say(
        console,
        f"{said}; without: {', '.join(missing[:5])}{', ...' * (len(missing) > 5)}" if missing else said,
    )


def explain_runs(store_path: Path, choice: ExplainChoice, device: str, console: Console) -> None:
    """See what stored networks look at, one run of each network or the one asked for, and keep it beside the run."""
    store, device = open_store(store_path), choose_device(device)
    complete, work = wanted_runs(store, None, console), OneByOne(store, console)
    wanted = choice.run_id
    chosen = one_of_each_network(complete) if wanted is None else wanted_runs(store, wanted, console)
    for run in _opened(chosen, store, device):
        alike = [r for r in complete if r.spec.data.checksum == run.spec.data.checksum]
        began = time.perf_counter()
        shown = choose_sources(one_of_each_network(alike), choice.per_class)
        with work.run(run.run_id):
            with bar_of(f"explaining {_named(run)}"):
                looks = look_again(run, shown, choice.method)
            seen = counted(len(looks.shown), "source")
            say(console, f"{_named(run)}: {looks.method} of {seen}, {time.perf_counter() - began:.0f} s")
    say(console, f"rgbench report --store {store_path}   shows them")
    work.ends()


def doubt_runs(store_path: Path, run_id: str | None, passes: int, device: str, console: Console) -> None:
    """Ask stored runs, or one, again with their dropout left on; what is there already is not computed again."""
    store, device = open_store(store_path), choose_device(device)
    work, complete = OneByOne(store, console), wanted_runs(store, run_id, console)
    opened = [StoredRun(record, store, device=device) for record in complete]
    without = {run.run_id: why for run in opened if (why := no_dropout(run))}
    if len(without) == len(opened):
        raise SpecError("; ".join(dict.fromkeys(without.values())))
    for run in opened:
        if run.run_id in without:
            warn(console, f"{_named(run)}: left out: {without[run.run_id]}")
    for run in _opened([run.record for run in opened if run.run_id not in without], store, device):
        began = time.perf_counter()
        with work.run(run.run_id):
            with bar_of(f"asking {_named(run)}") as told:
                rows = mc_dropout(run, passes, told)
            say(console, f"{_named(run)}: {rows.member.max()} passes, {time.perf_counter() - began:.0f} s")
    say(console, f"rgbench report --store {store_path}   shows them")
    work.ends()


def _opened(records: Sequence[RunRecord], store: Store, device: str) -> Iterator[StoredRun]:
    """Open runs one by one, with a bar while data are loaded."""
    runs = open_runs(records, store, device)
    while True:
        with bar_of("loading images"):
            run = next(runs, None)
        if run is None:
            return
        yield run


def _counting(told: Told, total: int) -> OnCondition:
    """Give what counts conditions that are done."""
    done = count(1)
    return lambda _condition, _known: told(next(done), total)


def _named(run: StoredRun) -> str:
    return f"{run.spec.network.name}, seed {run.spec.seed}"
