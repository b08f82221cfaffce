"""The commands ``rgbench predict | export``: classifiers applied and made."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rgbench.cli.bars import bar_of
from rgbench.cli.screen import say, warn
from rgbench.cli.work.data import NAMED
from rgbench.cli.work.stored import check_model, open_store, reading
from rgbench.data.own.files import passed_over
from rgbench.diagnostics.stress import views_of
from rgbench.errors import SpecError, Stopped
from rgbench.escapes import for_file_name
from rgbench.images.domain import FORBIDDING, words
from rgbench.measures.best import chosen_run
from rgbench.measures.prior import parse_shares
from rgbench.numbers import counted
from rgbench.runs.classifier import (
    Classifier,
    Views,
    check_classifier_path,
    load_classifier,
    names_classifier,
)
from rgbench.runs.classifier_card import card_lines
from rgbench.runs.classify import OWN_TABLE, Classified, Classifying, check_table_path, write_table
from rgbench.runs.device import choose_device
from rgbench.runs.engines import PACKAGES, TORCH, choose_engine
from rgbench.runs.export import ExportChoice, classifier_of_runs, make_classifier
from rgbench.runs.find import find_runs
from rgbench.runs.onnx_file import ENDING as ONNX
from rgbench.runs.onnx_file import check_onnx_path, write_onnx
from rgbench.runs.reopen import StoredRun
from rgbench.runs.seen import AS_TOLD, OwnImages
from rgbench.store.named import named
from rgbench.store.store import RunRecord, Store

MEGABYTE = 1_000_000
_NEEDS_NAME = "--name: several runs make a classifier that needs a name, as mine-1"
SOME_SET_ASIDE = 3
"""Exit code of ``rgbench predict`` where the table is written, but some of the files were set aside."""


@dataclass(frozen=True)
class Choice:
    """Which classifier: by its name or file, or a stored run."""

    classifier: str | None
    run_id: str | None
    from_store: bool
    model: str
    store: Path
    device: str
    views: Views | None = None
    engine: str = TORCH

    def place(self) -> tuple[str, str]:
        """Give the device and the engine; with an engine that needs the processor, "auto" is the processor."""
        on_processor = self.device == "auto" and self.engine in PACKAGES
        device = "cpu" if on_processor else choose_device(self.device)
        return device, choose_engine(self.engine, device)


@dataclass(frozen=True)
class Table:
    """Where the table goes, the shares of classes that it is for, and what is said of the images."""

    out: Path
    overwrite: bool
    prior: str | None
    own: OwnImages = AS_TOLD


@dataclass(frozen=True)
class Export:
    """What the classifier is called, its file, and the weights it is made of."""

    name: str
    out: Path
    model: str
    overwrite: bool


@dataclass(frozen=True)
class OnnxExport:
    """The name of a classifier that is to be made of runs, the ONNX file, the weights and the views."""

    name: str | None
    out: Path | None
    model: str
    overwrite: bool
    views: int | None


@dataclass(frozen=True)
class StorePlace:
    """The store, and where to compute."""

    store: Path
    device: str


def predict(paths: Sequence[Path], choice: Choice, table: Table, console: Console) -> None:
    """Classify FITS images, write the table, and say how many there are of each class and each flag.

    If files were set aside, it ends with the exit code `SOME_SET_ASIDE`.
    """
    prior = None if table.prior is None else parse_shares(table.prior)
    check_table_path(table.out, table.overwrite)
    classifier = chosen_classifier(choice, prior is not None, console)
    work = Classifying(classifier, paths, prior, table.own)
    work.leave_out_table(table.out)
    result = _run(work, table)
    write_table(table.out, result, table.overwrite)
    warn(console, *(f"set aside: {path}: {reason}" for path, reason in result.set_aside))
    _say_trust(result, console)
    if passed := passed_over(work.passed):
        say(console, passed)
    _say_counts(result, table.out, console)
    if any(reason != OWN_TABLE for _, reason in result.set_aside):
        sys.exit(SOME_SET_ASIDE)


def show_card(choice: Choice, console: Console) -> None:
    """Print the card of a classifier."""
    say(console, *card_lines(_chosen(choice, False, console, quiet=True).card))


def export(run_ids: Sequence[str], wanted: Export, place: StorePlace, console: Console) -> None:
    """Make a classifier of stored runs."""
    check_classifier_path(wanted.out, wanted.overwrite)
    classifier = _of_runs(run_ids, wanted.name, wanted.model, place)
    classifier.save(wanted.out)
    say(console, *card_lines(classifier.card))
    say_written(wanted.out, console)


def export_onnx(models: Sequence[str], wanted: OnnxExport, place: StorePlace, console: Console) -> None:
    """Write a classifier as an ONNX file: one that is there, a stored run, or one that is made of stored runs."""
    if wanted.out is not None:
        check_onnx_path(wanted.out, wanted.overwrite)
    classifier = _to_write(models, wanted, place)
    out = wanted.out or Path(f"{for_file_name(classifier.name)}{ONNX}")
    check_onnx_path(out, wanted.overwrite)
    if wanted.views is not None:
        classifier = classifier.with_views(wanted.views)
    write_onnx(out, classifier, wanted.overwrite)
    say_written(out, console)
    say(console, "How other programs use it: docs/engines.md")


def _to_write(models: Sequence[str], wanted: OnnxExport, place: StorePlace) -> Classifier:
    """Give the classifier that is to become an ONNX file."""
    ready = [each for each in models if names_classifier(each)]
    place = StorePlace(place.store, "cpu" if place.device == "auto" else place.device)
    if ready and (len(models) > 1 or wanted.name is not None):
        raise SpecError(f"{ready[0]}: is a classifier already; with --onnx it goes alone, and without --name")
    if ready:
        return load_classifier(ready[0], choose_device(place.device))
    if wanted.name is not None:
        return _of_runs(models, wanted.name, wanted.model, place)
    if len(models) > 1:
        raise SpecError(_NEEDS_NAME)
    store = open_store(place.store)
    records = find_runs(store, models[0])
    model, device = check_model(wanted.model), choose_device(place.device)
    if len(records) > 1:
        raise SpecError(_NEEDS_NAME)
    return classifier_of_runs([StoredRun(records[0], store, model, device)])


def _of_runs(run_ids: Sequence[str], name: str, model: str, place: StorePlace) -> Classifier:
    """Make a classifier of stored runs, whose data are loaded."""
    choice = ExportChoice(name, check_model(model))
    store, device = open_store(place.store), choose_device(place.device)
    records = [record for run_id in run_ids for record in find_runs(store, run_id)]
    twice = [run_id for run_id, n in Counter(record.run_id for record in records).items() if n > 1]
    if twice:
        raise SpecError(f"run {twice[0]} is named twice; each votes once")
    with bar_of("calibrating"):
        runs: list[StoredRun] = []
        for record in records:
            dataset = runs[0].dataset if runs else None
            runs.append(StoredRun(record, store, choice.model, device, dataset))
        return make_classifier(runs, choice, [views_of(run) for run in runs])


def say_written(path: Path, console: Console) -> None:
    """Say which file was written, and how large it is."""
    say(console, f"wrote {path} ({path.stat().st_size / MEGABYTE:.1f} MB)")


def chosen_classifier(choice: Choice, with_shares: bool, console: Console) -> Classifier:
    """Give the classifier that was asked for, with the views that were asked for, and say which it is."""
    _, engine = choice.place()
    classifier = _chosen(choice, with_shares, console).with_engine(engine)
    if engine != TORCH:
        say(console, f"Engine: {engine}; the networks are made ready for it first, which takes some seconds")
    return classifier if choice.views is None else classifier.with_views(choice.views)


def _chosen(choice: Choice, with_shares: bool, console: Console, quiet: bool = False) -> Classifier:
    device, _ = choice.place()
    if not choice.from_store:
        classifier = load_classifier(choice.classifier, device)
        if not quiet:
            say(console, f"Classifying with {classifier.name}")
        return classifier
    if choice.classifier is not None:
        raise SpecError(f"--classifier {choice.classifier}: goes without --run and --store; give one of them")
    model, store = check_model(choice.model), open_store(choice.store)
    records = _chosen_runs(store, choice.run_id, console)
    runs = [StoredRun(record, store, model, device) for record in records]
    if not quiet:
        say(console, f"Classifying with {_said(records)}")
    return classifier_of_runs(runs, with_shares)


def _chosen_runs(store: Store, wanted: str | None, console: Console) -> list[RunRecord]:
    """Give the runs that are named, or the best one on validation sources."""
    with reading("reading runs", console) as told:
        return [chosen_run(store, told)] if wanted is None else find_runs(store, wanted, on_damage=told)


def _said(records: Sequence[RunRecord]) -> str:
    """Say which runs classify."""
    if len(records) == 1:
        spec = records[0].spec
        return f"{spec.network.name}, seed {spec.seed} (run {records[0].run_id})"
    names = ", ".join(named(record.run_id, record.spec) for record in records)
    return f"{len(records)} runs together, whose mean answers: {names}"


def _run(work: Classifying, table: Table) -> Classified:
    """Classify with a bar; where it is stopped, what was classified becomes the table."""
    try:
        with bar_of("classifying") as told:
            told(0, len(work.files))
            return work.run(told)
    except Stopped as stop:
        if work.done:
            write_table(table.out, work.so_far(), table.overwrite)
            first = f"{table.out} has the first {work.done} of {counted(len(work.files), 'image')}"
            stop.kept = f"{first}, and the others without a class; to begin again"
            stop.again = ("--overwrite",)
        raise


def _say_trust(result: Classified, console: Console) -> None:
    """Say of how many images something was taken on trust; the table has it row by row."""
    told = [(path, remark) for path, remark in zip(result.path, result.remarks, strict=True) if remark]
    warn(console, *(f"{path}: {remark}" for path, remark in told[:NAMED]))
    if len(told) > NAMED:
        warn(console, f"and {counted(len(told) - NAMED, 'more such image')}; the column remark has them all")


def _say_counts(result: Classified, out: Path, console: Console) -> None:
    classes = result.columns()["class"].tolist()
    counts = [f"{classes.count(name)} {name}" for name in result.classes]
    none = [f"{classes.count('')} without a class"] if "" in classes else []
    flags = Counter(flag for oddities in result.oddities for flag in oddities)
    if flags:
        listed = ", ".join(f"{words(flag)} {n}" for flag, n in sorted(flags.items()))
        say(console, f"Flags: {listed}")
    if any(flag & FORBIDDING for flag in flags):
        say(
            console,
            f"No class where a flag is {words(FORBIDDING).replace('|', ' or ')}: there is nothing to classify.",
        )
    say(
        console,
        f"{counted(len(classes), 'source')} ({', '.join(counts + none)}), {len(result.set_aside)} set aside: {out}",
        "What its columns and the flags say: docs/predict.md",
    )
