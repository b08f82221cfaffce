"""A table of predictions, from any code: which source, and what is said of its class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rgbench.data.own.files import file_stem
from rgbench.data.own.labels import LabelRule, near, read_labels
from rgbench.data.own.sources import (
    SourceColumns,
    as_alias,
    read_numbers,
    read_places,
    read_texts,
    written_names,
)
from rgbench.data.own.tabular import Column, listed_names, read_table
from rgbench.errors import DataError, SpecError
from rgbench.numbers import counted, listed

Given = Literal["probabilities", "logits", "classes"]
"""What a table says of each source."""
CLASS_COLUMNS = ("predicted_class", "predicted_label", "predicted", "prediction", "pred", "class")
"""Names of a column of predicted classes; `label` is none of them, as it is the true class in most tables."""
TOLERANCE = 0.02
"""How far the sum of a row's probabilities may be from 1, as where they were rounded."""
LEAST = float(np.finfo(np.float64).eps)
"""Stands for a probability of 0, whose logarithm is infinite; scikit-learn's log loss takes the same."""
_PLACES = ("name", "path", "position", "ra", "dec")
_HEAD = re.compile(
    r"(?P<kind>p|prob|proba|probability|logits?)[\s_\-.:(\[]+(?P<name>.+?)[)\]]?", re.IGNORECASE
)


@dataclass(frozen=True)
class PredictedColumns:
    """Which column of a table holds what, where its name does not tell, and what its rows say.

    Attributes
    ----------
    mapping : mapping of str to str
        Column by what it holds: "name", "path", "position", "ra", "dec", "class" for predicted classes, or a class.
    labels : mapping of str to str
        Class by the word that stands for it in a column of predicted classes, as {"2": "FRII"}.
    given : {"probabilities", "logits", "classes"}, optional
        What is taken; by default whatever the columns are named after.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    given: Given | None = None

    def __post_init__(self) -> None:
        if self.given is not None and self.given not in get_args(Given):
            raise SpecError(f"given: found {self.given!r}; legal are {', '.join(get_args(Given))}")


@dataclass(frozen=True, eq=False)
class PredictedTable:
    """Predictions of a table, in its order; row i of every array is one row.

    Attributes
    ----------
    name : ndarray of str, shape (n,)
        Source id as it is written; the stem of the file where there is only that, "" where there is neither.
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS; NaN where the table tells none.
    given : {"probabilities", "logits", "classes"}
        What `logits` were made of.
    logits : ndarray of float32, shape (n, k)
        Logits, less the highest of their row, which changes no probability; logarithms of probabilities, as given; or
        0 for the class given and -1 for all others. NaN throughout a row where nothing is said of a source.
    remarks : tuple of str
        What was taken for granted on the way.
    """

    name: NDArray[Any]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    given: Given
    logits: NDArray[np.float32]
    remarks: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """Give what a message calls a row: its name, or its position."""
        return str(self.name[row]) or f"{self.ra[row]:.4f} {self.dec[row]:+.4f}"


def read_predicted(
    table: Path | str | Mapping[str, Any], classes: Sequence[str], columns: PredictedColumns | None = None
) -> PredictedTable:
    r"""Read a table of predictions.

    Parameters
    ----------
    table : path or mapping
        CSV, ECSV, VOTable, FITS table or Parquet, by its ending; or columns by name, each of n values.
    classes : sequence of str
        Classes of the data set, in its order.
    columns : PredictedColumns, optional
        What names of columns do not tell.

    Returns
    -------
    PredictedTable
        Columns of sources are found as those of a list of sources (`rgbench.data.own.sources`). Columns of classes are
        called as the class, or ``p_CLASS``, ``p(CLASS)``, ``prob_CLASS``, ``probability_CLASS``, ``logit_CLASS``; a
        column of predicted classes as in `CLASS_COLUMNS`. Probabilities lead, then logits, then classes; these are
        taken only if no class has numbers, or if they are asked for.

    Raises
    ------
    DataError
        If the file cannot be read, or a row is wrong: it is named, counted from 1 without the head.
    SpecError
        If a column is missing, or more than one would do.

    Examples
    --------
    >>> found = read_predicted({"id": ["a", "b"], "p_FRI": [0.5, 0.25], "p_FRII": [0.5, 0.75]}, ("FRI", "FRII"))
    >>> found.given, np.exp(found.logits).round(4).tolist()
    ('probabilities', [[0.5, 0.5], [0.25, 0.75]])
    """
    columns = columns or PredictedColumns()
    path, content, remarks = _content(table)
    _check_mapping(columns, classes)
    own = {key: columns.mapping.get(key) for key in _PLACES}
    places = read_places(path, content, SourceColumns(**own, label="", redshift="", size=""), of="prediction")
    used, turned, n = places.columns, places.remark, len(places)
    stems = np.array(
        [file_stem(file) if file else "" for file in written_names(path, content, used.path, n).tolist()]
    )
    written = written_names(path, content, used.name, n)
    name = np.where(written == "", stems, written)
    given, heads = _answers(path, list(content), classes, columns)
    if given == "classes":
        label = read_texts(path, content, heads[0], n)
        rule = LabelRule(tuple(classes), columns.labels, may_leave_out=False)
        logits = _votes(read_labels(path, label, name, rule).classes, classes)
    else:
        named = {head: _without_class(head, content[head]) for head in heads}
        values = np.stack([read_numbers(path, named, head, n) for head in heads], axis=1)
        _check_rows(path, values, name, given)
        logits, zeros = (
            (_from_highest(path, values, name), "") if given == "logits" else _logarithms(path, values)
        )
        turned = "; ".join(word for word in (turned, zeros) if word)
    told = (*remarks, turned) if turned else remarks
    return PredictedTable(name, places.ra, places.dec, given, logits.astype(np.float32), tuple(told))


def _content(table: Path | str | Mapping[str, Any]) -> tuple[Path, dict[str, Column], tuple[str, ...]]:
    """Give what messages call a table, its columns, and remarks."""
    if isinstance(table, str | Path):
        return Path(table), *read_table(table)
    columns = {str(name): Column(_plain(values)) for name, values in table.items()}
    if len({len(column.values) for column in columns.values()}) > 1:
        raise DataError("the columns given have different lengths; one value a row is needed in each")
    return Path("the columns given"), columns, ()


def _plain(values: Any) -> NDArray[Any]:
    found = np.asarray(values)
    return found.astype(str) if found.dtype.kind not in "biuf" else found


def _without_class(head: str, column: Column) -> Column:
    """Give a column whose unit is none: in p(FRI) and p [FRI] the class stands where others have their unit."""
    match = _HEAD.fullmatch(head.strip())
    return replace(column, unit="") if match and match["name"] == column.unit.strip() else column


def _check_mapping(columns: PredictedColumns, classes: Sequence[str]) -> None:
    legal = (*_PLACES, "class", *classes)
    for key in columns.mapping:
        if key not in legal:
            raise SpecError(
                f"--column {key}: nothing is called so{near(key, legal)}; legal are {', '.join(legal)}"
            )


def _answers(
    path: Path, names: list[str], classes: Sequence[str], columns: PredictedColumns
) -> tuple[Given, list[str]]:
    """Find what a table says of its sources, and its columns: one for each class, or one of classes."""
    for name in columns.mapping.values():
        if name and name not in names:
            raise SpecError(
                f"{path}: there is no column {name!r}{near(name, names)}; there are {listed_names(names)}"
            )
    wanted = (columns.given,) if columns.given else get_args(Given)
    part: dict[str, list[str]] = {}
    for given in wanted:
        found = (
            _class_column(names, columns) if given == "classes" else _by_class(names, classes, columns, given)
        )
        head = {name: own for name, own in found.items() if len(own) > 1}
        if head:
            name, own = next(iter(head.items()))
            raise SpecError(
                f"{path}: {name} could be any of the columns {listed_names(own)}: say which, --column "
                f"{quote(f'{name}={own[0]}')}"
            )
        if given == "classes" and part:
            break
        if all(found.values()):
            return given, [own[0] for own in found.values()]
        part = max(part, found, key=lambda each: sum(map(bool, each.values())))
    if part:
        raise SpecError(_incomplete(path, names, part, columns))
    raise SpecError(
        f"{path}: no column tells {columns.given or 'probabilities, logits or a predicted class'}; the columns are "
        f"{listed_names(names)}. Call them p_CLASS or logit_CLASS for each of {', '.join(classes)}, or "
        f"{' or '.join(CLASS_COLUMNS[2:4])} for one of classes, or say which they are: --column {classes[0]}=COLUMN, "
        "--column class=COLUMN"
    )


def _incomplete(path: Path, names: list[str], part: dict[str, list[str]], columns: PredictedColumns) -> str:
    """Say which classes have a column of numbers and which lack one, and what to do."""
    there = [own[0] for own in part.values() if own]
    missing = [name for name, own in part.items() if not own]
    said = (
        f"{path}: {', '.join(there)} {'is' if len(there) == 1 else 'are'} there; a column for {listed(missing)} is "
        f"missing; the columns are {listed_names(names)}. Say which it is: --column {missing[0]}=COLUMN"
    )
    classes = _class_column(names, columns)["class"]
    return f"{said}; --given classes takes the column {classes[0]}" if classes else said


def _class_column(names: list[str], columns: PredictedColumns) -> dict[str, list[str]]:
    """Give the columns that may hold predicted classes, the likeliest first: `class` is the true one in many tables."""
    if "class" in columns.mapping:
        return {"class": [name for name in (columns.mapping["class"],) if name]}
    found = [name for name in names if as_alias(name) in CLASS_COLUMNS]
    return {"class": sorted(found, key=lambda name: CLASS_COLUMNS.index(as_alias(name)))}


def _by_class(
    names: list[str], classes: Sequence[str], columns: PredictedColumns, given: Given
) -> dict[str, list[str]]:
    """Give the columns that may hold the numbers of each class."""
    found = _headed(names, classes, columns.given, (given,))
    if columns.given == given and not any(found.values()):
        # Who says what the numbers are knows better than the heads.
        found = _headed(names, classes, columns.given, get_args(Given))
    mapped = {name: [head] if head else [] for name, head in columns.mapping.items()}
    return {name: mapped.get(name, own) for name, own in found.items()}


def _headed(
    names: list[str], classes: Sequence[str], said: Given | None, kinds: Sequence[Given]
) -> dict[str, list[str]]:
    """Give the columns whose heads name each class, and one of some kinds; a class alone is of the kind said."""
    rule, found = LabelRule(tuple(classes)), {name: list[str]() for name in classes}
    for head in names:
        match = _HEAD.fullmatch(head.strip())
        if match is None:
            of, kind = rule.class_of(head), said or "probabilities"
        else:
            logits = match["kind"].casefold().startswith("logit")
            of, kind = rule.class_of(match["name"]), "logits" if logits else "probabilities"
        if of and kind in kinds:
            found[of].append(head)
    return found


def _check_rows(path: Path, values: NDArray[np.float64], name: NDArray[Any], given: Given) -> None:
    """Raise `DataError` for the first row that cannot be what it is said to be; one without any number is left out."""
    empty = np.isnan(values).all(axis=1)
    half = ~np.isfinite(values).all(axis=1) & ~empty
    if half.any():
        row = int(np.argmax(half))
        raise DataError(
            f"{path}, row {row + 1} ({name[row]}): {given} {_shown(values[row])}; a number for each class, or none at "
            "all, is needed"
        )
    sums = values.sum(axis=1)
    if given == "logits":
        if not empty.all() and (values[~empty] >= 0).all() and np.allclose(sums[~empty], 1, atol=TOLERANCE):
            raise DataError(
                f"{path}: the logits of every row are 0 or more and sum to 1, so they are probabilities: say so, "
                "--given probabilities"
            )
        return
    wrong = ~empty & ((values < 0).any(axis=1) | (np.abs(sums - 1) > TOLERANCE))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{path}, row {row + 1} ({name[row]}): {_shown(values[row])} sum to {sums[row]:g}; probabilities from 0 "
            f"to 1 that sum to 1 are needed{_instead(values[~empty], wrong[~empty])}"
        )


def _instead(values: NDArray[np.float64], wrong: NDArray[np.bool_]) -> str:
    """Say what numbers may be, of which some rows cannot be probabilities; "" where most rows can."""
    if (values >= 0).all() and np.allclose(values.sum(axis=1), 100, atol=100 * TOLERANCE):
        return "; divide percentages by 100"
    return ". If these are logits, say so: --given logits" if 2 * wrong.sum() > len(wrong) else ""


def _shown(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _from_highest(path: Path, values: NDArray[np.float64], name: NDArray[Any]) -> NDArray[np.float64]:
    """Give logits less the highest of their row: as float32 large ones would lose what tells them apart.

    `DataError` if a row spans more than float32 holds.
    """
    with np.errstate(over="ignore"):
        lower = values - values.max(axis=1, keepdims=True)
    far = lower.min(axis=1) < np.finfo(np.float32).min
    if far.any():
        row = int(np.argmax(far))
        raise DataError(
            f"{path}, row {row + 1} ({name[row]}): logits {_shown(values[row])}; such that differ by less than 3.4e38 "
            "are needed"
        )
    return np.asarray(lower)


def _logarithms(path: Path, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Give the logarithms of probabilities, those of 0 as if they were a little more, and say so."""
    zeros = int((values < LEAST).any(axis=1).sum())
    said = (
        f"{path}: {counted(zeros, 'row')} with a probability of 0, which counts as {LEAST:.1e}"
        if zeros
        else ""
    )
    return np.log(np.where(np.isnan(values), np.nan, np.maximum(values, LEAST))), said


def _votes(words: NDArray[Any], classes: Sequence[str]) -> NDArray[np.float64]:
    """Give 0 for the class of each row and -1 for the others; NaN where it has none."""
    found = np.array(words)[:, None] == np.array(list(classes))
    return np.where(found.any(axis=1, keepdims=True), np.where(found, 0.0, -1.0), np.nan)
