"""Rows of a survey that lead by some measure, found in one pass over all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

ROW = "#"
"""Column of the number of a row, from 0."""


@dataclass
class Leading:
    """The rows with the highest marks so far; of two that are equal the first stays.

    Parameters
    ----------
    number : int
        How many are kept.
    """

    number: int
    _marks: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0), init=False)
    _rows: pa.Table | None = field(default=None, init=False)

    def add(self, table: pa.Table, marks: NDArray[np.float64]) -> None:
        """Look at more rows; those whose mark is NaN are passed over."""
        best = np.argsort(-marks, kind="stable")[: self.number]
        best = best[np.isfinite(marks[best])]
        if not len(best) or not self.number:
            return
        rows = table.take(pa.array(best))
        joined = rows if self._rows is None else pa.concat_tables([self._rows, rows])
        marks = np.concatenate([self._marks, marks[best]])
        kept = np.argsort(-marks, kind="stable")[: self.number]
        self._marks, self._rows = marks[kept], joined.take(pa.array(kept))

    def rows(self) -> list[dict[str, object]]:
        """Give the rows, the highest mark first."""
        return [] if self._rows is None else list(self._rows.to_pylist())


@dataclass
class Thinned:
    """Rows of one class, evenly spread over all of them, as the map shows them.

    Parameters
    ----------
    most : int
        How many are kept at most; at least half as many, where there are so many.
    """

    most: int
    _every: int = field(default=1, init=False)
    _seen: int = field(default=0, init=False)
    _kept: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)), init=False)

    def add(self, places: NDArray[np.float64]) -> None:
        """Look at more places, shape (n, 2)."""
        first = -self._seen % self._every
        self._seen += len(places)
        self._kept = np.concatenate([self._kept, places[first :: self._every]])
        while len(self._kept) > self.most:
            self._kept, self._every = self._kept[::2], 2 * self._every

    @property
    def places(self) -> NDArray[np.float64]:
        """Those that are kept, shape (n, 2)."""
        return self._kept

    @property
    def whole(self) -> bool:
        """Whether all are kept."""
        return self._every == 1
