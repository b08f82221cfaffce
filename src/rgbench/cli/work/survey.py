"""The command ``rgbench survey``: what it does and says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from rgbench.cli.bars import bar_of
from rgbench.cli.queues import NO_QUEUE, QueueAsked
from rgbench.cli.screen import console as new_console
from rgbench.cli.screen import say, warn
from rgbench.cli.work.data import NAMED, pairs
from rgbench.cli.work.predict import SOME_SET_ASIDE, Choice, chosen_classifier
from rgbench.cli.work.queues import parse_share, print_job_script, queue_of
from rgbench.errors import SpecError, Stopped
from rgbench.measures.prior import parse_shares
from rgbench.numbers import counted, duration
from rgbench.queues.hand_on import MOST_JOBS
from rgbench.runs.classifier import Classifier
from rgbench.runs.device import device_kind
from rgbench.survey.estimate import estimate
from rgbench.survey.find import AUTO, FindChoice, find_sources
from rgbench.survey.job import asker
from rgbench.survey.outputs import Outputs, check_formats, write_outputs
from rgbench.survey.plan import FROM_SIZE, NO_POSITION, NOT_COVERED
from rgbench.survey.sizes import compact_class
from rgbench.survey.survey import Counts, Survey, SurveyChoice, plan_survey, unlikely_for

_GIGABYTE = 1e9


@dataclass(frozen=True)
class Asked:
    """What was asked for on the command line."""

    catalogue: Path | None
    images: Sequence[Path]
    out: Path
    columns: Sequence[str] = ()
    prior: str | None = None
    jobs: int | None = None
    queue: QueueAsked = NO_QUEUE
    dry_run: bool = False
    overwrite: bool = False
    formats: Sequence[str] | None = None
    weights: Sequence[Path] = ()
    noise_maps: Sequence[Path] = ()
    unresolved_below: float | None = None
    whole_sources: bool = False
    find: bool = False
    finder: str = AUTO


def survey(asked: Asked, who: Choice) -> None:
    """Plan a survey, compute what is missing of it, and write the classes."""
    queue = asked.queue
    console = new_console(stderr=queue.job_script is not None)  # which alone goes where the output goes
    _check_catalogue(asked)
    share = parse_share(queue.share)
    formats = None if asked.formats is None else check_formats(asked.formats)
    prior = {} if asked.prior is None else parse_shares(asked.prior)
    # Held by Ray, beside GPUs that need not be here.
    held = queue.ray is not None and who.device != "auto" and device_kind(who.device) == "cuda"
    classifier = chosen_classifier(replace(who, device="cpu") if held else who, bool(prior), console)
    choice = SurveyChoice(
        columns=pairs("--column", asked.columns),
        views=who.views,
        prior=prior,
        device=who.device if held else classifier.members[0].device,
        overwrite=asked.overwrite,
        weights=tuple(asked.weights),
        noise_maps=tuple(asked.noise_maps),
        unresolved_below=asked.unresolved_below,
        whole_sources=asked.whole_sources,
    )
    catalogue = asked.catalogue or _find(asked, classifier, console)
    work = plan_survey(catalogue, asked.images, asked.out, classifier, choice)
    _say_plan(work, console)
    if queue.job_script is not None:
        print_job_script(queue.job_script)
        return
    if asked.dry_run:
        _say_estimate(work, asked, console)
        return
    lost = _compute(work, asked, share)
    if lost:
        warn(console, lost_words(len(lost), sum(work.plan.size_of(shard) for shard in lost)))
    missing = work.plan.missing()
    if queue.share is not None and missing:
        elsewhere = counted(len(missing) - len(lost), "part")
        word = "ended" if lost else "done"
        say(console, f"share {queue.share} is {word}; {elsewhere} of the work are missing elsewhere")
        if lost:
            sys.exit(SOME_SET_ASIDE)
        return
    with bar_of("writing"):
        outputs = write_outputs(work, formats)
    _say_result(work, outputs, console)


def _check_catalogue(asked: Asked) -> None:
    """Raise `SpecError` unless there is either a catalogue, or the wish to find one."""
    if asked.find == (asked.catalogue is not None):
        both = (
            f"CATALOGUE {asked.catalogue} and --find are" if asked.find else "neither CATALOGUE nor --find is"
        )
        raise SpecError(f"{both} given; give one of them")
    FindChoice(asked.finder)
    if asked.finder != AUTO and not asked.find:
        raise SpecError(f"--finder {asked.finder}: goes with --find alone")
    if asked.find and asked.columns:
        raise SpecError("--column: is of a CATALOGUE; with --find there is none")


def _find(asked: Asked, classifier: Classifier, console: Console) -> Path:
    """Find the sources of the images that the classifier can look at; give their catalogue."""
    choice = FindChoice(asked.finder, overwrite=asked.overwrite)
    try:
        with bar_of("finding") as told:
            found = find_sources(asked.images, asked.out, choice, unlikely_for(classifier), told)
    except Stopped as stop:
        stop.kept = "the parts of the images in which sources were found are kept; to go on"
        raise
    say(console, f"{found.path}: {counted(found.rows, 'source')}, found by {found.finder}")
    warn(console, *(f"a part of an image could not be searched: {reason}" for reason in found.unread[:NAMED]))
    if len(found.unread) > NAMED:
        warn(console, f"and {counted(len(found.unread) - NAMED, 'more part')}")
    return found.path


def lost_words(parts: int, rows: int) -> str:
    """Say that parts of the work could not be done."""
    return (
        f"{counted(parts, 'part')} of the work, {counted(rows, 'row')}, could not be done: the process that read it "
        "died twice. An image may be damaged there. The same command tries again."
    )


def _compute(work: Survey, asked: Asked, share: tuple[int, int]) -> list[int]:
    """Compute a share of the work with a bar; give the parts that were lost."""
    total = sum(work.plan.size_of(shard) for shard in work.missing(share))
    done: list[int] = []
    try:
        with bar_of("classifying") as told:

            def finished(shard: int) -> None:
                done.append(work.plan.size_of(shard))
                told(sum(done), total)

            held = asked.queue.ray is not None and work.job.device.startswith("cuda")
            load = partial(asker, work.job) if held else None
            with queue_of(asked.queue, work.plan.folder, gpus=float(held), load=load) as submit:
                if submit is not None:
                    return work.run_on(submit, finished, asked.jobs or MOST_JOBS)
            return work.run(asked.jobs, finished, share)
    except Stopped as stop:
        parts = work.plan.shards - len(work.plan.missing())
        stop.kept = (
            f"{parts} of {counted(work.plan.shards, 'part')} of the work are done, and are kept; to go on"
        )
        raise


def _where(files: Sequence[Path]) -> str:
    """Say where the files of a format are."""
    return str(files[0]) if len(files) == 1 else f"{files[0].parent} ({len(files)} files)"


def _say_plan(work: Survey, console: Console) -> None:
    profile = work.catalogue.profile
    kind = f" ({profile.title})" if profile.title else ""
    rows = counted(len(work.catalogue), "row")
    say(console, f"{work.catalogue.path}{kind}: {rows}; positions from {' and '.join(profile.placed)}")
    warn(console, *work.catalogue.remarks, *work.plan.remarks)
    warn(console, *(f"set aside: {path}: {reason}" for path, reason in work.aside[:NAMED]))
    if len(work.aside) > NAMED:
        warn(console, f"and {counted(len(work.aside) - NAMED, 'more image')}")
    chosen = work.plan.chosen
    nowhere, uncovered = int((chosen == NO_POSITION).sum()), int((chosen == NOT_COVERED).sum())
    say(console, f"{counted(len(work.mosaics), 'image')}; {counted(int((chosen >= 0).sum()), 'row')} on them")
    if nowhere:
        warn(console, f"{counted(nowhere, 'row')} without a position that can be read")
    if uncovered:
        warn(console, f"{counted(uncovered, 'row')} that no image covers")
    sized = int((chosen == FROM_SIZE).sum())
    if sized:
        say(
            console,
            f"{counted(sized, 'row')} are called {compact_class(work.classifier.classes)} by their sizes",
        )
    _say_crowded(work, console)
    if not sized and not np.any(chosen >= 0):
        raise SpecError(
            f"no row of {work.catalogue.path} lies on an image; look at the columns of positions (--column ra=NAME "
            "--column dec=NAME) and at what the images cover"
        )


def _say_crowded(work: Survey, console: Console) -> None:
    crowded = int((work.plan.nearest < work.corner).sum())
    if not crowded:
        return
    rows = f"{counted(crowded, 'row')} with another row within {work.corner:.0f} arcsec"
    if work.choice.whole_sources:
        say(console, f"{rows}, whose light is taken out of the picture")
    else:
        warn(
            console,
            f"{rows}, which can look like a lobe there; if each row is a whole source with its lobes, give "
            "--whole-sources",
        )


def _say_estimate(work: Survey, asked: Asked, console: Console) -> None:
    found = estimate(work, asked.jobs)
    say(
        console,
        f"{counted(work.plan.shards, 'part')} of the work, {len(work.plan.missing())} of them to be done",
        f"pixels to be read: {found.pixel_bytes / _GIGABYTE:.2f} GB; result: {found.result_bytes / _GIGABYTE:.2f} GB",
        f"one process classifies {found.rate:.0f} sources a second here; {counted(found.jobs, 'process', 'processes')} "
        f"take about {duration(found.seconds)}",
    )


def _sized_words(counts: Counts) -> list[str]:
    if not counts.from_size:
        return []
    return [
        f"{counted(counts.from_size, 'class', 'classes')} follow from sizes in the catalogue (flag from-size)"
    ]


def _say_result(work: Survey, outputs: Outputs, console: Console) -> None:
    counts = work.counts()
    known = [f"{counts.classes.get(name, 0)} {name}" for name in work.classifier.classes]
    say(
        console,
        f"{counted(len(work.catalogue), 'row')}: {', '.join(known)}, {counts.classes.get('', 0)} without a class",
        *_sized_words(counts),
        *(f"{name}: {_where(files)}" for name, files in outputs.files.items()),
        *outputs.remarks,
        "What the columns and the flags say: docs/survey.md",
    )
    if counts.failed:
        sys.exit(SOME_SET_ASIDE)
