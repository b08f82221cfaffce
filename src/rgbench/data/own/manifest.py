"""The original's text files: manifests of names and labels, and the labels of the classes."""

from __future__ import annotations

import csv
import difflib
from pathlib import Path

from rgbench.errors import DataError, check_regular

CLASS_FOLDERS = {"COMP": "Compact", "FRI": "FRI", "FRII": "FRII", "BENT": "Bent"}
"""The class folders of the original, and what the classes are called here."""
DEFAULT_LABELS = {"1": "COMP", "2": "FRI", "3": "FRII", "4": "BENT"}
FR0 = "1F"
_WIDTH = 2


def read_class_labels(path: Path | str | None = None) -> dict[str, str]:
    """Read ``class_labels.txt`` (header ``Label,Class``): class folder by label.

    Without a path the original's four classes are given.
    """
    if path is None:
        return dict(DEFAULT_LABELS)
    labels: dict[str, str] = {}
    for number, (label, name) in _rows(Path(path), 2):
        if label in labels:
            raise DataError(f"{path}, row {number}: the label {label!r} stands there twice")
        labels[label] = name
    if not labels:
        raise DataError(f"{path}: holds no label; a row is label,class, e.g. 1,COMP")
    return labels


def read_manifest(path: Path | str, labels: dict[str, str]) -> list[tuple[str, str]]:
    """Read a manifest (a header line, then ``name,label``): names with their labels, in order.

    Parameters
    ----------
    path : path
        The CSV file.
    labels : dict
        Legal labels, as from `read_class_labels`; of a label its first character counts, and "1F"
        (FR0) is legal too.

    Raises
    ------
    DataError
        Naming the row, if a name is empty or stands there twice, or a label is not legal.
    """
    rows: list[tuple[str, str]] = []
    seen: dict[str, int] = {}
    for number, (name, label) in _rows(Path(path), 2):
        if not name:
            raise DataError(f"{path}, row {number}: the name is empty")
        if name in seen:
            raise DataError(f"{path}, row {number}: the name {name!r} stands in row {seen[name]} already")
        if label != FR0 and label[:1] not in labels:
            near = difflib.get_close_matches(label, labels, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            legal = ", ".join(f"{key} ({value})" for key, value in labels.items())
            raise DataError(
                f"{path}, row {number}: unknown class label {label!r}{hint}; legal are {legal}, {FR0}"
            )
        seen[name] = number
        rows.append((name, label))
    if not rows:
        raise DataError(f"{path}: holds no source; a header line and rows name,label are needed")
    return rows


def is_original(path: Path | str, stated: bool = False) -> bool:
    """Tell whether a table is one of the testbed's manifests: a CSV of two columns, the second Type-Lit or Type-MAN.

    Any other table of two columns may hold sizes or labels of one's own, which a guess would make classes of.

    Parameters
    ----------
    path : path
        The table. A file that cannot be read as CSV is none; who reads it next says what is wrong.
    stated : bool
        Whether what its labels mean is told, in ``class_labels.txt``; the second column may then have any head.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".txt"):
        return False
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return len(head) == _WIDTH and (stated or head[1].strip().casefold().startswith("type-"))


def _rows(path: Path, width: int) -> list[tuple[int, list[str]]]:
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in line]
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if not any(cells):
            continue
        if len(cells) != width:
            raise DataError(
                f"{path}, row {number}: has {len(cells)} cells, {width} are needed: {','.join(line)!r}"
            )
        rows.append((number, cells))
    return rows
