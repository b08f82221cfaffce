"""A board of bundles, built: read, compared, and written as pages into a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rgbench.board.entries import fields
from rgbench.board.names import Names
from rgbench.board.network import NetworkPage
from rgbench.board.render import Renderer
from rgbench.board.standing import Place, Standing, letters, stand
from rgbench.board.task import TaskPage
from rgbench.bundles.read import read_bundle
from rgbench.errors import SpecError, StoreError
from rgbench.numbers import is_number
from rgbench.store.files import into_place, make_folder, write_bytes
from rgbench.version import version

BOARD_VERSION = 1
"""Of the JSON that a board offers."""
INDEX = "index.html"


@dataclass(frozen=True)
class Built:
    """A board that was written.

    Attributes
    ----------
    index : Path
        The page to open.
    answers : dict of str to str
        Who leads, in a line, by task.
    notes : tuple of str
        What was left out or is odd, in sentences.
    """

    index: Path
    answers: Mapping[str, str]
    notes: tuple[str, ...]


def build_board(paths: Sequence[Path | str], out: Path, overwrite: bool = False) -> Built:
    """Write a board of bundles into a folder: pages that need no server and no network.

    Parameters
    ----------
    paths : sequence of path
        Bundles. Every number is computed from their predictions; numbers that they state are not looked at, but for
        costs, which are shown as stated.
    out : path
        The folder; made if it is not there.
    overwrite : bool
        Whether it may hold files already; those of the same names are replaced.

    Raises
    ------
    SpecError
        If there is no bundle, or the folder holds files and `overwrite` is not given.
    DataError, ChecksumError, StoreError
        If a bundle is not sound, is of no task, or the folder cannot be written to.
    """
    if not paths:
        raise SpecError("a board needs one bundle or more; rgbench bundle makes them")
    _check_folder(out, overwrite)
    bundles = [read_bundle(path) for path in paths]
    standings = [stand(field) for field in fields(bundles)]
    names = Names.of(standings)
    downloads = {
        names.bundles[bundle.sha256]: bundle.path for bundle in bundles if bundle.sha256 in names.bundles
    }
    _write(out, _pages(standings, names), downloads)
    answers = {standing.task.name: TaskPage(standing, names).lead for standing in standings}
    return Built(out / INDEX, answers, tuple(note for standing in standings for note in standing.notes))


def _check_folder(out: Path, overwrite: bool) -> None:
    try:
        if out.exists() and not out.is_dir():
            raise SpecError(f"--out {out}: is a file; name a folder")
        if out.is_dir() and any(out.iterdir()) and not overwrite:
            raise SpecError(f"--out {out}: holds files already; choose another folder, or give --overwrite")
    except OSError as error:
        raise StoreError(f"{out}: cannot be read: {error.strerror or error}") from error


def _pages(standings: Sequence[Standing], names: Names) -> dict[str, bytes]:
    """Give the content of every file by its name."""
    made = Renderer(
        f"Made with rgbench {version()}. No number is taken from a bundle but costs, and how "
        "often pairs were to be looked at."
    )
    pages = [TaskPage(standing, names) for standing in standings]
    contents = {INDEX: made.html("index.html.j2", pages=pages, title="Leaderboards", home="")}
    for page in pages:
        title = page.standing.task.title
        contents[page.file] = made.html("task.html.j2", page=page, title=title, home=INDEX)
        contents[f"{page.stem}.csv"] = page.table.csv().encode("utf8")
        contents[f"{page.stem}.json"] = _json(page)
    for network in names.networks:
        own = NetworkPage(network, tuple(standings), names)
        contents[own.file] = made.html("network.html.j2", page=own, title=network, home=INDEX)
    return contents


def _json(page: TaskPage) -> bytes:
    """Give all that a board knows of a task, for programs: fractions and SI units, not rounded; null for unknown."""
    standing = page.standing
    content = {
        "version": BOARD_VERSION,
        "task": {
            "name": standing.task.name,
            "checksum": standing.task.checksum,
            "metric": standing.task.metric,
        },
        "answer": list(page.answer),
        "groups": standing.groups,
        "entries": [_entry(place, page.names) for place in standing.places],
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "difference": pair.difference,
                "low": pair.low,
                "high": pair.high,
                "p_value": pair.p_value,
                "separable": bool(pair.separable),
            }
            for pair in standing.comparison.pairs
        ],
        "notes": list(standing.notes),
    }
    return (json.dumps(_known(content), indent=1, allow_nan=False) + "\n").encode()


def _entry(place: Place, names: Names) -> dict[str, Any]:
    entry, ranks = place.entry, place.ranks
    return {
        "label": entry.label,
        "network": entry.network,
        "protocol": entry.protocol,
        "status": place.row.status,
        "groups": letters(place.groups),
        "ranks": [ranks.low, ranks.high] if ranks else None,
        "metrics": {name: asdict(estimate) for name, estimate in place.row.metrics.items()},
        "conditions": {
            score.condition.name: {"values": score.values, "drops": score.drops, "kept": score.kept}
            for score in place.conditions
        },
        "stated_cost": place.row.cost,
        "statement": entry.statement.model_dump(mode="json"),
        "runs": [record.run_id for record in entry.records],
        "bundle": {"file": names.bundles[entry.bundle.sha256], "sha256": entry.bundle.sha256},
    }


def _known(value: Any) -> Any:
    """Give null in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _known(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_known(each) for each in value]
    return value if isinstance(value, (str, bool)) or value is None or is_number(value) else None


def _write(out: Path, pages: Mapping[str, bytes], downloads: Mapping[str, Path]) -> None:
    """Write pages, and copies of files, under their names."""
    for place in sorted({(out / name).parent for name in (*pages, *downloads)}):
        make_folder(place)
    with ExitStack() as copies:
        # None takes its place before all are copied: another of them may lie there.
        for name, path in downloads.items():
            shutil.copyfile(path, copies.enter_context(into_place(out / name)))
    for name, content in pages.items():
        write_bytes(out / name, content)
