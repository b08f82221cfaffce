"""What the page of a survey tells, found in one pass over the columns that it needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rgbench.images.domain import Oddity, words
from rgbench.survey.formats.written import Written
from rgbench.survey.merge import PREFIX
from rgbench.survey.page.chosen import ROW, Leading, Thinned
from rgbench.survey.page.expected import Sums

ON_MAP = 1_000
"""Sources of a class that the map shows at most."""
REASONS = 1_000
"""Different reasons that are counted; those beyond are counted together."""
OTHER = "other reasons"
_CLASS, _FLAGS, _REASON, _UNLIKE = (f"{PREFIX}{name}" for name in ("class", "flags", "reason", "unlike"))
_RA, _DEC, _MOSAIC = (f"{PREFIX}{name}" for name in ("ra", "dec", "mosaic"))


@dataclass(frozen=True, eq=False)
class Summary:
    """What was found in a survey.

    Attributes
    ----------
    rows : int
        All of them.
    sums : Sums
        Of the rows that have a class by what an image shows.
    flags, reasons : Counter of str
        How many rows have each flag, and have no class for each reason.
    on_map : list of Thinned
        RA and Dec, degrees, of rows of each class.
    certain : list of Leading
        Of each class the rows with its highest probabilities.
    doubtful, unlike : Leading
        The rows whose most probable class is least so, and those that are least like training.
    """

    rows: int
    sums: Sums
    flags: Counter[str]
    reasons: Counter[str]
    on_map: list[Thinned]
    certain: list[Leading]
    doubtful: Leading
    unlike: Leading

    @property
    def classed(self) -> int:
        """How many rows have a class by what an image shows."""
        return int(self.sums.rows.sum())

    @property
    def from_size(self) -> int:
        """How many rows have a class by their size in the catalogue."""
        return self.flags[words(Oddity.FROM_SIZE)]


def summarise(written: Written, of_class: int, of_doubt: int) -> Summary:
    """Go through the rows once.

    Parameters
    ----------
    written : Written
        The rows; of their columns only those that are needed are read.
    of_class, of_doubt : int
        Rows of each class, and doubtful and unlike ones, that are picked.
    """
    k = len(written.about.classes)
    sums = Sums(np.zeros(k, dtype=np.int64), np.zeros((k, k)), np.zeros((k, k)))
    found = Summary(
        written.rows,
        sums,
        Counter(),
        Counter(),
        [Thinned(ON_MAP) for _ in range(k)],
        [Leading(of_class) for _ in range(k)],
        Leading(of_doubt),
        Leading(of_doubt),
    )
    needed = [_CLASS, *written.chances, _UNLIKE, _FLAGS, _RA, _DEC, _MOSAIC, _REASON, written.name]
    start = 0
    for table in written.batches([name for name in dict.fromkeys(needed) if name]):
        numbers = np.arange(start, start + table.num_rows)
        _add(found, written, table.append_column(ROW, pa.array(numbers)))
        start += table.num_rows
    return found


def _add(found: Summary, written: Written, table: pa.Table) -> None:
    chances = np.stack([table[name].to_numpy() for name in written.chances], axis=1).astype(np.float64)
    known = np.isfinite(chances).all(axis=1)
    called = np.where(known, np.nan_to_num(chances).argmax(axis=1), -1)
    names = np.array(table[_CLASS].to_pylist(), dtype=object)
    places = np.stack([table[_RA].to_numpy(), table[_DEC].to_numpy()], axis=1)
    for c in range(chances.shape[1]):
        own = called == c
        found.sums.rows[c] += int(own.sum())
        found.sums.chances[c] += chances[own].sum(axis=0)
        found.sums.squares[c] += (chances[own] ** 2).sum(axis=0)
        found.on_map[c].add(places[names == written.about.classes[c]])
        found.certain[c].add(table, np.where(own, chances[:, c], np.nan))
    found.doubtful.add(table, doubt(chances))
    found.unlike.add(table, np.where(known, table[_UNLIKE].to_numpy().astype(np.float64), np.nan))
    for flags, rows in _counts(table[_FLAGS]):
        found.flags.update(dict.fromkeys(flags.split("|"), rows))
    for reason, rows in _counts(table[_REASON]):
        new = reason not in found.reasons and len(found.reasons) >= REASONS
        found.reasons[OTHER if new else reason] += rows


def doubt(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give how doubtful rows are: one minus the highest probability; NaN without a class.

    Parameters
    ----------
    chances : ndarray, shape (n, k)
        Probabilities.
    """
    return np.asarray(1 - chances.max(axis=1))


def _counts(column: pa.ChunkedArray) -> list[tuple[str, int]]:
    """Count the values of a column of texts, without the empty one."""
    pairs = pc.value_counts(column.combine_chunks()).to_pylist()
    return [(str(each["values"]), int(each["counts"])) for each in pairs if each["values"]]
