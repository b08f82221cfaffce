"""The commands ``rgbench data list | show | fetch | check | overlap | build`` and ``simulate``; none loads torch."""

from __future__ import annotations

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from rgbench.cli.screen import say, warn
from rgbench.data.catalogue import CLASSES, Card, DataSet, Flag
from rgbench.data.croissant import write_croissant
from rgbench.data.overlap import overlap
from rgbench.data.own.check import OK, REPAIRED, SET_ASIDE, Finding, check_own, summary
from rgbench.data.own.labels import LabelRule
from rgbench.data.own.plan import FolderOptions, parse_plane
from rgbench.data.own.sources import SourceColumns
from rgbench.data.public.fetch import PublicFile, locate, where
from rgbench.data.sets import Entry, data_sets, load_data, load_labels
from rgbench.data.split import SIDES, published_split
from rgbench.data.surveys.cutouts import build_cutouts
from rgbench.data.surveys.surveys import SERVICES, BuildSpec, credits_of
from rgbench.data.surveys.targets import find_targets
from rgbench.data.twins import identical_groups
from rgbench.errors import DataError, SpecError
from rgbench.escapes import csv_text, for_file_name, utf8
from rgbench.images.cutout import CutoutSpec
from rgbench.numbers import counted
from rgbench.report.draw.contact import contact_sheet
from rgbench.simulate import MosaicSpec, SimulationSpec, simulate, write_mosaic, write_simulation
from rgbench.store.files import check_output, write_bytes

NAMED = 5
"""Sources named of each kind of defect."""


def list_data(mirror: Path | None, console: Console) -> None:
    """List the data sets, and whether their files are here."""
    table = Table("name", "what it is", "classes", "files", box=None)
    for name, entry in data_sets():
        table.add_row(name, entry.card.title, ", ".join(entry.card.classes), _place(entry, mirror))
    console.print(table)
    for name, reason in data_sets().broken().items():
        warn(console, f"{name}: {reason}")
    say(console, "One of them, with a picture: rgbench data show first-galaxy-data")
    say(console, "One's own images: rgbench data check FOLDER")


@dataclass(frozen=True)
class Outputs:
    """Files that `show_data` writes: the contact sheet, and the table of sources that were set aside."""

    sheet: Path | None = None
    set_aside: Path | None = None
    overwrite: bool = False


def show_data(name: str, outputs: Outputs, console: Console) -> None:
    """Show a data set's card, count its sources, and draw a contact sheet."""
    card = data_sets().get(name).card
    path = outputs.sheet or Path(f"{for_file_name(name)}-sheet.svg")
    for file in (path, outputs.set_aside):
        if file is not None and not file.exists():
            check_output(file, outputs.overwrite)
    for line in _card_lines(card):
        say(console, line)
    try:
        dataset = load_data(name)
    except DataError as error:
        say(console, f"images: {error}")
        return
    console.print(_size(dataset), highlight=False)
    console.print(_counts(dataset))
    _say_aside(dataset, console)
    _write(path, contact_sheet(dataset), outputs.overwrite, console)
    if outputs.set_aside is not None:
        rows = csv_text([("name", "reason"), *dataset.set_aside])
        _write(outputs.set_aside, rows, outputs.overwrite, console)


def fetch_data(names: list[str], mirror: Path | None, console: Console) -> None:
    """Fetch the files of data sets into the cache, unless they are in the mirror; check every one."""
    for name in names:
        entry = data_sets().get(name)
        if not entry.files:
            entry.load()
            continue
        for file in entry.files:
            say(console, f"{name}: {_fetch(file, mirror, console)}")


def describe_set(name: str, split: str | None, folder: Path, overwrite: bool, console: Console) -> None:
    """Write the Croissant description of a data set, and the table of its sources."""
    for path in write_croissant(name, split, folder, overwrite):
        say(console, f"wrote {path}")


def check_data(
    name: str, manifest: Path | None, options: FolderOptions, console: Console, every: bool = False
) -> None:
    """Check a public data set by its name, or a folder of one's own images; nothing is changed.

    With `every`, every file of the folder is named that there is something to say of.
    """
    if name in data_sets():
        _check_set(name, console)
    else:
        _check_folder(Path(name), manifest, options, console, every)


@dataclass(frozen=True)
class Cutting:
    """How fields are cut out of images: arcsec a pixel and a side, about what, and of which plane of a cube."""

    pixel_scale: float | None = None
    size: float | None = None
    about: str = FolderOptions.about
    plane: str | None = None


@dataclass(frozen=True)
class Meanings:
    """What columns and labels of a table mean, as ``name=value``, and which labels are to be left out."""

    columns: Sequence[str] = ()
    labels: Sequence[str] = ()
    leave_out: Sequence[str] = ()


def folder_options(
    meanings: Meanings, cutting: Cutting | None = None, classes: tuple[str, ...] = CLASSES
) -> FolderOptions:
    """Make the options of a folder from words of the command line."""
    cutting = cutting or Cutting()
    cut, told = None, cutting.pixel_scale
    if cutting.size is not None:
        cut, told = CutoutSpec(size_arcsec=cutting.size, pixel_scale=cutting.pixel_scale), None
    rule = LabelRule(classes, pairs("--label", meanings.labels), tuple(meanings.leave_out))
    named = SourceColumns.of(pairs("--column", meanings.columns))
    plane = parse_plane(cutting.plane)
    return FolderOptions(named, rule, cut, cutting.about, plane, pixel_scale=told)


def _check_set(name: str, console: Console) -> None:
    """Check checksums, images, sky groups and splits of a public data set; say what is odd."""
    dataset = load_data(name)
    say(console, f"{name}: files as published (SHA-256)")
    console.print(_size(dataset), highlight=False)
    console.print(_counts(dataset))
    for line in _oddities(dataset):
        say(console, line)
    _say_aside(dataset, console)
    for split in dataset.splits:
        removed = published_split(dataset, split).removed
        names = "; ".join(f"{source}: {reason}" for source, reason in removed[:NAMED])
        more = ", ..." if len(removed) > NAMED else ""
        taken = f"{counted(len(removed), 'source')} taken out: {names}{more}"
        say(console, f"split {split}: {taken if removed else 'no sky group is divided'}")


def _check_folder(
    folder: Path, manifest: Path | None, options: FolderOptions, console: Console, every: bool
) -> None:
    """List what is wrong with each file of a folder, and what loading would do."""
    if not _exists(folder):
        close = ", ".join(difflib.get_close_matches(str(folder), data_sets().names(), n=3))
        hint = f"; did you mean {close}?" if close else ""
        raise SpecError(f"{folder}: neither a data set nor a folder{hint}")
    findings, remarks = check_own(folder, manifest, options=options)
    say(console, *_complaints(findings, every), *remarks)
    usable = [finding for finding in findings if finding.usable]
    if usable:
        say(console, *_classes_said(Counter(f.label for f in usable), options.labels.classes))
    say(console, _checked(findings))
    if not usable:
        raise DataError(f"{folder}: none of the images can be used; above it says why")


def _complaints(findings: list[Finding], every: bool) -> Iterator[str]:
    """Say what is wrong with files; of equal complaints the first ones, and how many there are more."""
    groups: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        if finding.problems or finding.status in (REPAIRED, SET_ASIDE):
            told = finding.action.removeprefix(f"{finding.status}: ")
            said = "; ".join((*finding.problems, *([] if told in finding.problems else [told])))
            # Numbers differ from file to file where the complaint is one.
            kind = re.sub(r"\d+", "", f"{finding.status}: {said}")
            groups[kind].append(f"{finding.status}: {finding.path}: {said}")
    for lines in groups.values():
        yield from lines if every else lines[:NAMED]
        if len(lines) > NAMED and not every:
            yield f"  and {len(lines) - NAMED:,} more like these; --all names them"


def _checked(findings: list[Finding]) -> str:
    """Count images by what becomes of them, and rows of the table that have none."""
    images = [finding for finding in findings if finding.there]
    counts = summary(images)
    told = [f"{n} {status}" for status, n in counts.items() if n or status in (OK, REPAIRED, SET_ASIDE)]
    odd = sum(bool(finding.problems) for finding in images if finding.status == OK)
    rows = len(findings) - len(images)
    notes = [
        f"; {odd} of the {counts[OK]} ok have something odd, as said above" if odd else "",
        f"; {counted(rows, 'row')} of the table without an image" if rows else "",
    ]
    return f"{counted(len(images), 'image')}: {', '.join(told)}{''.join(notes)}"


def _classes_said(counts: Mapping[str, int], classes: Sequence[str]) -> Iterator[str]:
    """Say how many sources that can be used there are of each class, "" for those without one."""
    if not any(counts[name] for name in counts if name):
        yield "No source has a label: they can be classified, but nothing can be trained on them"
        return
    names = classes or sorted(name for name in counts if name)
    told = [f"{counts[name]} {name}" for name in names if counts.get(name)]
    none = [f"{counts['']} without a label"] if counts.get("") else []
    yield f"Classes: {', '.join(told + none)}"
    missing = [name for name in names if not counts.get(name)]
    if missing:
        yield f"No source is {' or '.join(missing)}: a network that is trained on these data will not know it"


def _exists(path: Path) -> bool:
    """Tell whether there is such a file or folder; a name that no file system holds is none."""
    try:
        return path.exists()
    except OSError:
        return False


def show_overlap(first: str, second: str, radius: float, console: Console) -> None:
    """Print how two data sets label the sources that both hold."""
    if not radius > 0:
        raise SpecError(f"--radius: found {radius}; it must be above 0 arcsec")
    for name in (first, second):
        data_sets().canonical(name)
    shared = overlap(load_labels(first), load_labels(second), radius)
    title = f"Pairs within {radius:g} arcsec: {first} (rows) and {second} (columns)"
    say(console, title)
    table = Table("", *shared.second.classes, box=None)
    for label, counts in zip(shared.first.classes, shared.matrix(), strict=True):
        table.add_row(label, *(str(count) for count in counts))
    console.print(table)
    equal, known = shared.agreement()
    say(
        console,
        f"{counted(shared.n_first, 'source')} of {first} and {shared.n_second} of {second}, "
        f"{counted(len(shared.pairs), 'pair')}",
    )
    if known:
        say(
            console,
            f"Labels agree for {equal} of {known} ({100 * equal / known:.1f} %): no classifier that is "
            "trained on one and tested on the other can be expected to do better.",
        )
    say(
        console,
        f'A study that trains on one and tests on the other ([data] test = "{second}") takes shared sources '
        "out of training, within 60 arcsec.",
    )


def build_data(
    catalogue: str, folder: Path, spec: BuildSpec, options: FolderOptions, console: Console
) -> None:
    """Fetch cutouts at the positions of a table, or of a public catalogue by its name."""
    targets = find_targets(catalogue, options, lambda remark: warn(console, remark))
    say_request(spec, console)
    with cutout_bar(console) as bar:
        task = bar.add_task("cutouts", total=len(targets.names))
        result = build_cutouts(
            targets.names,
            targets.ra,
            targets.dec,
            folder,
            spec,
            targets.labels,
            progress=lambda done, failed, total: bar.update(task, completed=done + failed, total=total),
        )
    say(
        console,
        f"{counted(len(result.done), 'cutout')} in {folder}, {result.fetched} of them fetched now; "
        f"{len(result.failed)} failed",
    )
    if result.failed:
        say(console, f"why, one by one: {result.failures}; the same command tries them again")
    say(console, f"table of the sources: {result.manifest}")
    say_credits(spec, console)


def say_request(spec: BuildSpec, console: Console) -> None:
    """Say what is asked of which service, and what should be known of the survey."""
    card = spec.card
    say(
        console,
        f"{card.title} from {SERVICES[card.service].title}: {spec.pixels} x {spec.pixels} pixels of "
        f"{spec.scale:g} arcsec, at most {spec.rate:g} requests a second",
    )
    for words in ("" if card.verified else "Not verified:", card.note):
        if words:
            warn(console, words)


def say_credits(spec: BuildSpec, console: Console) -> None:
    """Say what survey and service ask to be acknowledged with."""
    say(console, *credits_of(spec.card))


def cutout_bar(console: Console) -> Progress:
    """Give a bar that counts cutouts."""
    return Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), console=console
    )


def simulate_sky(folder: Path, spec: SimulationSpec, console: Console) -> None:
    """Simulate sources, write them, and say what was made."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists and is not an empty folder; give a new one")
    dataset = simulate(spec)
    table = write_simulation(dataset, folder)
    console.print(_size(dataset), highlight=False)
    console.print(_counts(dataset))
    say(console, f"truth: {table}")


def simulate_mosaic(folder: Path, spec: MosaicSpec, console: Console) -> None:
    """Simulate a mosaic and its catalogue, and say how they are classified."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists and is not an empty folder; give a new one")
    mosaic, catalogue = write_mosaic(spec, folder)
    say(console, f"{counted(spec.n, 'source')} on {spec.side} x {spec.side} pixels: {mosaic}, {catalogue}")
    say(console, f"rgbench survey {catalogue} --images {mosaic} --out {folder / 'classes'}")


def _fetch(file: PublicFile, mirror: Path | None, console: Console) -> Path:
    """Find or fetch a file, with a bar where it must be downloaded."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(file.name, total=None)
        return locate(
            file,
            mirror=mirror,
            progress=lambda done, total: bar.update(task, completed=done, total=total or None),
        )


def _place(entry: Entry, mirror: Path | None) -> str:
    """Say where a data set's files are."""
    if not entry.files:
        return "by hand"
    return (
        "here"
        if all(where(file, mirror) for file in entry.files)
        else f"rgbench data fetch {entry.card.name}"
    )


def _card_lines(card: Card) -> Iterator[str]:
    yield f"{card.title} ({card.name})"
    scale = f"{card.pixel_scale:g} arcsec per pixel, beam {card.beam:g} arcsec"
    for key, value in (
        ("paper", card.paper),
        ("doi", card.doi),
        ("url", card.url),
        ("licence", card.licence),
        ("classes", ", ".join(card.classes)),
        ("survey", f"{card.survey}; {scale}" if np.isfinite(card.pixel_scale) else card.survey),
        ("images", "not known" if card.image_model is None else str(card.image_model)),
        ("version", card.version),
    ):
        yield f"  {key}: {value}"
    if card.defects:
        yield "  known defects:"
    yield from (f"    - {defect}" for defect in card.defects)


def _counts(dataset: DataSet) -> Table:
    """Count sources by class and side of each published split."""
    table = Table("", *dataset.classes, "all", box=None)

    def add(name: str, chosen: NDArray[np.bool_]) -> None:
        labels = dataset.catalogue.label[chosen]
        counts = [int((labels == label).sum()) for label in range(len(dataset.classes))]
        table.add_row(name, *map(str, counts), str(len(labels)))

    add("all", np.ones(len(dataset.catalogue), dtype=bool))
    for split, sides in dataset.splits.items():
        for side in SIDES:
            if (sides == side).any():
                add(f"{split}: {side}", sides == side)
    return table


def _size(dataset: DataSet) -> str:
    rows, columns = dataset.images.shape[1:]
    return f"{counted(len(dataset.catalogue), 'source')}, {columns} x {rows} pixels"


def _oddities(dataset: DataSet) -> Iterator[str]:
    catalogue = dataset.catalogue
    for flag in Flag:
        names = catalogue.source_id[(catalogue.flags & flag) != 0].tolist()
        if names:
            meaning = str(flag.name).lower().replace("_", " ")
            yield f"{counted(len(names), 'image')} flagged {meaning}: {_some(names)}"
    for numbers, what in (
        (catalogue.group, "within 60 arcsec of another"),
        (identical_groups(dataset.images), "equal to another in every pixel"),
    ):
        _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        names = catalogue.source_id[counts[inverse] > 1].tolist()
        if names:
            yield f"{counted(len(names), 'source')} {what}: {_some(names)}"


def _say_aside(dataset: DataSet, console: Console) -> None:
    if not dataset.set_aside:
        return
    reasons: dict[str, list[str]] = {}
    for name, reason in dataset.set_aside:
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        line = f"{len(names)} set aside, {reason}: {_some(names)}"
        say(console, line)


def say_loaded(dataset: DataSet, console: Console) -> None:
    """Say how many sources of one's own folder were loaded, which were set aside, and what was guessed of others."""
    say(console, f"{counted(len(dataset.catalogue), 'source')} loaded, {len(dataset.set_aside)} set aside")
    words = ("", *dataset.classes)
    say(console, *_classes_said(Counter(words[k + 1] for k in dataset.catalogue.label), dataset.classes))
    warn(console, *_first(f"set aside: {reason}" for _, reason in dataset.set_aside))
    warn(console, *_first(f"{name}: {remark}" if name else remark for name, remark in dataset.remarks))


def _first(lines: Iterable[str]) -> list[str]:
    """Keep the first lines, and say how many there are more."""
    found = list(lines)
    more = (
        [f"and {len(found) - NAMED} more: rgbench data check --all lists them"] if len(found) > NAMED else []
    )
    return found[:NAMED] + more


def _write(path: Path, text: str, overwrite: bool, console: Console) -> None:
    """Write a file, unless it is there already."""
    if path.exists() and not overwrite:
        say(console, f"{path}: is there already; --overwrite writes it anew")
        return
    write_bytes(path, utf8(text).encode())
    say(console, f"wrote {path}")


def pairs(option: str, words: Sequence[str]) -> dict[str, str]:
    """Split ``name=value`` words; raise `SpecError` naming the option for others."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name.strip() and equals):
            raise SpecError(f"{option}: found {word!r}; NAME=VALUE is needed")
        found[name.strip()] = value.strip()
    return found


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
