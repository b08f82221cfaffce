"""What each command does; `rgbench.cli.app` only reads the options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from rgbench.cli.progress import TerminalListener
from rgbench.comparison.ranking import parse_weights
from rgbench.comparison.summary import Comparison
from rgbench.data.load import load_dataset
from rgbench.errors import DataError, SpecError
from rgbench.report.files.export import NO_PDF, can_write_pdf
from rgbench.report.files.text import comparison_tables, write_csv, write_latex
from rgbench.report.html import ReportOptions, write_report
from rgbench.report.material import Setting
from rgbench.report.of_store import _beside, _comparisons, _groups, _images, _paths, _stored_data
from rgbench.runs import classify as apply
from rgbench.runs import original as quickstart
from rgbench.runs.check import check_study
from rgbench.runs.device import choose_device
from rgbench.runs.predict import inference_rate
from rgbench.runs.reopen import load_network, timing_batch
from rgbench.runs.study import find_study, run_study, stored_records
from rgbench.store.store import RunRecord, Store, best_on_validation
from rgbench.store.tables import MODELS

TIMING_PASSES = 5
"""Passes of the original's timing test."""


@dataclass(frozen=True)
class Places:
    """Where things go: the store, the folder of copied models, the device."""

    store: Path
    models: Path | None
    device: str


@dataclass(frozen=True)
class PredictChoice:
    """Which run and model classify, and where the table goes."""

    run_id: str | None
    model: str
    out: Path
    overwrite: bool


def run_and_report(study_name: str, store_path: Path, device: str, console: Console) -> None:
    """Run a study, print its table, write its report, say what to try next."""
    study, store, device = find_study(study_name), Store(store_path), choose_device(device)
    check_study(study)
    console.print(
        f"[bold]{study.name}[/bold]: protocol {study.protocol}, data {study.data.name}, on {device}"
    )
    dataset = load_dataset(study.data)
    with TerminalListener(console, device) as listener:
        records = run_study(study, store, device, listener, dataset)
    path, groups = store.root / f"{study.name}.html", _groups(records)
    paths = _paths(path, list(groups))
    for file, (lead, smaller) in zip(paths, groups.values(), strict=True):
        comparisons = _comparisons(lead)
        beside = _beside(lead, smaller, store, dataset)
        write_report(file, comparisons, lead, _images(dataset), beside=beside)
        _say_results(comparisons["best"], lead, console)
    _say_reports(paths, list(groups), console)
    _say_where(path, store, records, console)
    _say_failed(records, console)


def run_original(
    options: quickstart.OriginalOptions, only_test: str, places: Places, console: Console
) -> None:
    """Run the original's quickstart: split, training, both tests, results in the last lines."""
    mode = _only_test_mode(only_test)
    study, device = quickstart.original_study(options), choose_device(places.device)
    check_study(study)
    store = Store(places.store)
    dataset = load_dataset(study.data, options.img_size)
    if options.mnist:
        study, reasons = quickstart.buildable(study, len(dataset.classes))
        console.print("\n".join(reasons), style="yellow", highlight=False, markup=False)
    else:
        quickstart.check_classes(options.num_classes, dataset.classes)
    _say_data(study.data.path is None, dataset, console)
    if mode != "train":
        records = stored_records(study, dataset, store)
        if not records:
            raise DataError(
                f"{store.root}: no network of this file is stored; train without --only_test first"
            )
    else:
        with TerminalListener(console, device) as listener:
            records = run_study(study, store, device, listener, dataset)
    if mode == "time":
        _time_models(records, dataset, store, device, console)
        return
    for record in records:
        paths = quickstart.write_original_results(places.store, record)
        if places.models is not None and record.status == "complete":
            paths += quickstart.copy_models(places.models, record, store)
        console.print("\n".join(f"wrote {path}" for path in paths), highlight=False)
    for record in records:
        console.print("\n".join(quickstart.final_results(record)), highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class ReportChoice:
    """Where a report goes, which model's table is shown, what is written beside it, what weighs in the ranking."""

    out: Path | None
    model: str
    table: Path | None
    figures: Path | None = None
    weights: str | None = None


def report(store_path: Path, choice: ReportChoice, console: Console) -> None:
    """Compare what is in the store; one report for each group of comparable runs."""
    if choice.model not in MODELS:
        raise SpecError(f"--model: found {choice.model!r}; legal are {', '.join(MODELS)}")
    weights = None if choice.weights is None else parse_weights(choice.weights)
    if not store_path.exists():
        raise SpecError(f"--store {store_path}: there is no such folder; rgbench quickstart makes one")
    store = Store(store_path)
    groups = _groups([record for record in store.records() if record.status != "imported"])
    if not groups:
        raise DataError(f"{store_path}: the store holds no run to compare; begin with rgbench quickstart")
    names = list(groups)
    compared = {name: _comparisons(records) for name, (records, _) in groups.items()}
    data = {name: _stored_data(records, console) for name, (records, _) in groups.items()}
    settings = {name: Setting.of(records, data[name]) for name, (records, _) in groups.items()}
    paths = _paths(choice.out or store.root / "report.html", names)
    for number, (name, (records, smaller)) in enumerate(groups.items()):
        others = {other: compared[other]["best"] for other in names if other != name}
        beside = _beside(records, smaller, store, data[name], others)
        beside = replace(beside, weights=weights, settings=settings)
        figures = None if choice.figures is None else _paths(choice.figures, names)[number]
        options = ReportOptions(figures=figures)
        write_report(paths[number], compared[name], records, _images(data[name]), options, beside)
        if len(names) > 1:
            console.print(f"\n{name}", style="bold", highlight=False, markup=False)
        _say_results(compared[name][choice.model], records, console)
        if choice.table is not None:
            _write_table(_paths(choice.table, names)[number], compared[name][choice.model])
        console.print(f"Report: {paths[number]}", highlight=False, soft_wrap=True)
        if figures is not None:
            console.print(f"Figures and tables: {figures}", highlight=False, soft_wrap=True)
    _say_reports(paths, names, console)
    if choice.figures is not None and not can_write_pdf():
        console.print(NO_PDF, style="yellow", highlight=False, markup=False, soft_wrap=True)


def predict(paths: Sequence[Path], choice: PredictChoice, places: Places, console: Console) -> None:
    """Classify FITS images with a stored run."""
    if choice.model not in MODELS:
        raise SpecError(f"--model: found {choice.model!r}; legal are {', '.join(MODELS)}")
    apply.check_table_path(choice.out, choice.overwrite)
    if not places.store.exists():
        raise SpecError(f"--store {places.store}: there is no such folder; rgbench quickstart makes one")
    store = Store(places.store)
    record = store.record(store.find(choice.run_id)) if choice.run_id else best_on_validation(store.records())
    device = choose_device(places.device)
    console.print(
        f"Classifying with {record.spec.network.name}, seed {record.spec.seed} (run {record.run_id})"
    )
    result = apply.classify(record, store, paths, choice.model, device)
    apply.write_table(choice.out, result, choice.overwrite)
    for path, reason in result.set_aside:
        console.print(f"set aside: {path}: {reason}", style="yellow", highlight=False, soft_wrap=True)
    counts = result.columns()["class"].tolist()
    summary = ", ".join(f"{counts.count(name)} {name}" for name in result.classes)
    console.print(
        f"{len(counts)} sources ({summary}), {len(result.set_aside)} set aside: {choice.out}", soft_wrap=True
    )


def _say_results(comparison: Comparison, records: list[RunRecord], console: Console) -> None:
    console.print()
    for table in comparison_tables(comparison, console.width):
        console.print(table)
    for line in comparison.words:
        console.print(f"  {line}", highlight=False)
    removed = records[0].notes
    if removed:
        console.print(
            f"  {len(removed)} sources removed or set aside: {'; '.join(removed[:3])}", highlight=False
        )


def _say_failed(records: list[RunRecord], console: Console) -> None:
    """Name the runs that failed; if all did, end with exit code 1."""
    failed = [record for record in records if record.status != "complete"]
    if not failed:
        return
    console.print(f"{len(failed)} of {len(records)} runs failed:", style="red", highlight=False)
    for record in failed:
        line = f"  {record.spec.network.name}, seed {record.spec.seed}: {record.error}"
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
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
        "  rgbench networks                            what else can be compared",
        "  rgbench run my-study.toml                   a study of your own (copy studies/quickstart.toml)",
        "  rgbench quickstart -a convxpress.txt -s 8901   the 2021 study's protocol (hours on a CPU)",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)


def _say_data(embedded: bool, dataset: Any, console: Console) -> None:
    split = "its published split (--train_size and --val_size do not apply)" if embedded else "the 2021 split"
    console.print(f"{len(dataset.catalogue)} sources of {dataset.card.name}, {split}")
    for name, reason in dataset.set_aside:
        console.print(f"set aside: {name}: {reason}", style="yellow", highlight=False, soft_wrap=True)


def _only_test_mode(text: str) -> str:
    modes = {"false": "train", "true": "test", "time": "time"}
    if text.lower() not in modes:
        raise SpecError(f"--only_test: found {text!r}; legal are False, True, time")
    return modes[text.lower()]


def _time_models(records: list[RunRecord], dataset: Any, store: Store, device: str, console: Console) -> None:
    """Time the best model of each run: five passes, as the original did, the median beside them."""
    for record in records:
        batch = timing_batch(record, dataset, device)
        network = load_network(record, store, "best", device)
        rates = [
            inference_rate(network, batch, record.spec.recipe.precision, 1) for _ in range(TIMING_PASSES)
        ]
        listed = ", ".join(f"{rate:.1f}" for rate in rates)
        console.print(
            f"{record.spec.network.name}, seed {record.spec.seed}: {listed} images/s, "
            f"mean {np.mean(rates):.1f}, standard deviation {np.std(rates):.1f} (batch {len(batch)}, {device})",
            highlight=False,
        )


def _say_reports(paths: Sequence[Path], names: Sequence[str], console: Console) -> None:
    """Say which report is of which data, if there are several."""
    if len(names) < 2:
        return
    console.print(
        f"\nRuns on different data, or under different protocols, are not compared run by run: {len(names)} reports"
    )
    width = max(map(len, names))
    for name, path in zip(names, paths, strict=True):
        console.print(f"  {name:{width}}  {path}", highlight=False, markup=False, soft_wrap=True)


def _write_table(path: Path, comparison: Comparison) -> None:
    writers = {".csv": write_csv, ".tex": write_latex}
    if path.suffix not in writers:
        raise SpecError(f"--table {path}: the ending is none of {', '.join(writers)}")
    writers[path.suffix](path, comparison)
