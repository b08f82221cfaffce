"""The commands ``rgbench quickstart | run``: they train networks, and load torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from rgbench.cli.progress import TerminalListener
from rgbench.cli.screen import say, warn
from rgbench.cli.work.data import say_loaded
from rgbench.cli.work.report import say_reports, say_results
from rgbench.cli.work.shipped import say_shipped
from rgbench.data.catalogue import DataSet
from rgbench.data.load import load_dataset
from rgbench.errors import SpecError
from rgbench.escapes import for_file_name
from rgbench.measures.best import best_on_validation
from rgbench.numbers import counted
from rgbench.report.of_store import ReportSpec, report_records
from rgbench.runs import original
from rgbench.runs.check import check_study
from rgbench.runs.device import choose_device
from rgbench.runs.listeners import Several, make_listener
from rgbench.runs.side_by_side import check_jobs
from rgbench.runs.study import find_study, run_study
from rgbench.store.store import RunRecord, Store


@dataclass(frozen=True)
class Places:
    """Where things go: the store, the folder of copied models, the device."""

    store: Path
    models: Path | None
    device: str


def run_and_report(
    study_name: str,
    store_path: Path,
    device: str,
    console: Console,
    listeners: Sequence[str] = (),
    shipped: bool = False,
    jobs: int | None = 1,
) -> None:
    """Run a study, print its table, write its report, say what to try next.

    With `shipped`, say first what the classifier that comes with the package gives on the same data. `jobs` as in
    `rgbench.runs.study.run_study`.
    """
    study, store, device = find_study(study_name), Store(store_path), choose_device(device)
    check_jobs(jobs, device)
    check_study(study)
    others = [make_listener(name) for name in listeners]
    about = f"{study.name}: protocol {study.protocol}, data {study.data.name}, on {device}"
    say(console, about, style="bold")
    dataset = load_dataset(study.data)
    if study.data.path is not None:
        say_loaded(dataset, console)
    if shipped:
        say_shipped(dataset, device, console)
    with TerminalListener(console, device) as listener:
        told = Several(listener, *others)
        records = run_study(study, store, device, told, dataset, jobs)
    for why in told.dropped:
        warn(console, why)
    spec = ReportSpec(out=store.root / f"{for_file_name(study.name)}.html")
    reports = report_records(records, store, spec, dataset).reports
    for each in reports:
        say_results(each.comparisons[spec.model], each.records, console)
        warn(console, *each.warnings)
    say_reports(reports, console)
    _say_where(reports[0].path, store, records, console)
    _say_failed(records, console)


def run_original(options: original.OriginalOptions, only_test: str, places: Places, console: Console) -> None:
    """Run the original's quickstart: split, training, both tests, results in the last lines."""
    mode = _only_test_mode(only_test)
    prepared, device = original.prepare_original(options), choose_device(places.device)
    store, dataset = Store(places.store), prepared.dataset
    if options.mnist:
        warn(console, *prepared.left_out)
    _say_data(options.data_path is None, dataset, console)
    if mode == "train":
        with TerminalListener(console, device) as listener:
            records = run_study(prepared.study, store, device, listener, dataset)
    else:
        records = original.trained_before(prepared, store)
    if mode == "time":
        for record in records:
            _say_timing(original.time_model(record, dataset, store, device), device, console)
        return
    for record in records:
        paths = original.write_original_results(places.store, record)
        if places.models is not None and record.status == "complete":
            paths += original.copy_models(places.models, record, store)
        say(console, *(f"wrote {path}" for path in paths))
    for record in records:
        say(console, *original.final_results(record))


def _say_failed(records: list[RunRecord], console: Console) -> None:
    """Name the runs that failed; if all did, end with exit code 1."""
    failed = [record for record in records if record.status != "complete"]
    if not failed:
        return
    say(console, f"{len(failed)} of {counted(len(records), 'run')} failed:", style="red")
    for record in failed:
        line = f"  {record.spec.network.name}, seed {record.spec.seed}: {record.error}"
        say(console, line, style="red")
    if len(failed) == len(records):
        sys.exit(1)


def _say_where(path: Path, store: Store, records: list[RunRecord], console: Console) -> None:
    best = best_on_validation(records).run_id if any(r.status == "complete" for r in records) else None
    lines = [f"Report: {path.resolve()}", f"Runs:   {(store.root / 'runs').resolve()}", "Next:"]
    if best is not None:
        lines.append(
            f"  rgbench predict FITS_FOLDER --run {best[:8]} --store {store.root}   classify your own images"
        )
    lines += [
        f"  rgbench stress --store {store.root}   whether this holds on other images of the same sources",
        "  rgbench networks                            what else can be compared",
        "  rgbench run my-study.toml                   a study of your own (copy studies/quickstart.toml)",
        "  rgbench quickstart -a convxpress.txt -s 8901   the 2021 study's protocol (hours on a CPU)",
    ]
    say(console, *lines)


def _say_data(embedded: bool, dataset: DataSet, console: Console) -> None:
    split = "its published split (--train_size and --val_size do not apply)" if embedded else "the 2021 split"
    say(console, f"{counted(len(dataset.catalogue), 'source')} of {dataset.card.name}, {split}")
    for name, reason in dataset.set_aside:
        warn(console, f"set aside: {name}: {reason}")


def _only_test_mode(text: str) -> str:
    modes = {"false": "train", "true": "test", "time": "time"}
    if text.lower() not in modes:
        raise SpecError(f"--only_test: found {text!r}; legal are False, True, time")
    return modes[text.lower()]


def _say_timing(timed: original.Timing, device: str, console: Console) -> None:
    """Say the rate of each pass, as the original did, and their mean and spread."""
    spec, rates = timed.record.spec, timed.rates
    listed = ", ".join(f"{rate:.1f}" for rate in rates)
    say(
        console,
        f"{spec.network.name}, seed {spec.seed}: {listed} images/s, mean {np.mean(rates):.1f}, "
        f"standard deviation {np.std(rates):.1f} (batch {timed.batch_size}, {device})",
    )
