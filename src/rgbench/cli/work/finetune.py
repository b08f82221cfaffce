"""The command ``rgbench finetune``: a classifier trained further, and the answer whether that helped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from rgbench.cli.bars import bar_of
from rgbench.cli.screen import say, warn
from rgbench.cli.work.data import Meanings, folder_options
from rgbench.cli.work.predict import say_written
from rgbench.data.own.plan import FolderOptions, parse_plane
from rgbench.errors import SpecError
from rgbench.finetuning.finetune import Finetuned
from rgbench.finetuning.finetune import finetune as fine_tune
from rgbench.finetuning.spec import FinetuneSpec
from rgbench.finetuning.words import class_rows
from rgbench.numbers import percent
from rgbench.runs.classifier import check_classifier_path, load_classifier
from rgbench.runs.device import choose_device

NAMED = 5
"""Images set aside that are named one by one."""


@dataclass(frozen=True)
class Sources:
    """One's own images, their table, and how it is read."""

    images: Path
    labels: Path | None
    meanings: Meanings
    pixel_scale: float | None = None
    plane: str | None = None


@dataclass(frozen=True)
class Start:
    """The classifier that training begins with, and where to compute."""

    classifier: str | None
    device: str


@dataclass(frozen=True)
class Target:
    """What comes of it: its file and its name."""

    out: Path
    name: str
    overwrite: bool


def finetune(sources: Sources, start: Start, spec: FinetuneSpec, target: Target, console: Console) -> None:
    """Train a classifier further, write it, and say whether it beats the one it came from."""
    check_classifier_path(target.out, target.overwrite)
    parent = load_classifier(start.classifier, choose_device(start.device))
    options = _options(sources, parent.classes)
    say(console, f"Fine-tuning {parent.name} on the images of {sources.images}")
    with bar_of("training") as told:
        made = fine_tune(sources.images, sources.labels, parent, spec, options, target.name, told)
    made.classifier.save(target.out)
    say(console, made.words, style="bold")
    _say_classes(made, console)
    say(console, *made.basis)
    _say_sources(made, console)
    say_written(target.out, console)
    wish = "" if made.comparison.verdict == "better" else " all the same"
    say(console, f"To classify with it{wish}: rgbench predict FOLDER --classifier {target.out}")


def _options(sources: Sources, classes: tuple[str, ...]) -> FolderOptions:
    options = folder_options(sources.meanings, classes=classes)
    return replace(options, plane=parse_plane(sources.plane), pixel_scale=sources.pixel_scale)


def _say_sources(made: Finetuned, console: Console) -> None:
    own = made.own
    counts = [f"{n} {name}" for n, name in zip(own.counts.tolist(), own.classes, strict=True) if n]
    say(
        console,
        f"{made.classifier.name} was trained on all {len(own)} labelled sources ({', '.join(counts)}).",
        *own.remarks,
    )
    warn(console, *(f"set aside: {source}: {reason}" for source, reason in own.set_aside[:NAMED]))
    if len(own.set_aside) > NAMED:
        warn(console, f"set aside: {len(own.set_aside) - NAMED} more; rgbench predict names them all")


def _say_classes(made: Finetuned, console: Console) -> None:
    """Say how many of each class are recognised, before and after."""
    for name, n, before, after in class_rows(made.comparison, made.own.classes):
        say(
            console,
            f"  {name}: of {n}, {made.classifier.name} recognises {after} ({percent(after / n, 0)} %), "
            f"{made.parent.name} {before} ({percent(before / n, 0)} %)",
        )


def parse_seeds(text: str | None) -> tuple[int, ...]:
    """Read seeds from the command line, as 1,2,3.

    Examples
    --------
    >>> parse_seeds("1, 2,3"), parse_seeds(None)
    ((1, 2, 3), ())
    """
    words = [word.strip() for word in text.split(",")] if text else []
    for word in words:
        if not word.isdecimal():
            raise SpecError(f"--seeds: found {word!r}; whole numbers are legal, as 1,2,3")
    return tuple(map(int, words))
