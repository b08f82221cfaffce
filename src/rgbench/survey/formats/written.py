"""The rows of a survey as they lie on disk: the Parquet files that all other formats are made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rgbench.errors import StoreError, one_line
from rgbench.survey.catalogue import BATCH
from rgbench.survey.formats.about import About
from rgbench.survey.merge import PREFIX


@dataclass(frozen=True)
class Written:
    """The rows of a survey, which are read a part and some columns at a time.

    Attributes
    ----------
    files : tuple of path
        Parquet, in the order of the catalogue.
    about : About
        What made the classes.
    name : str
        The column of the names of the sources; "" if there is none.
    """

    files: tuple[Path, ...]
    about: About
    name: str = ""

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns, with unit, UCD and description in their metadata."""
        return _open(self.files[0]).schema_arrow

    @cached_property
    def rows(self) -> int:
        """How many there are."""
        return sum(int(_open(path).metadata.num_rows) for path in self.files)

    @property
    def chances(self) -> list[str]:
        """The columns of the probabilities, in the order of the classes."""
        return [f"{PREFIX}p_{name}" for name in self.about.classes]

    def batches(self, columns: Sequence[str] | None = None, rows: int = BATCH) -> Iterator[pa.Table]:
        """Give the rows, so many at a time, in order; of the columns those that are asked for.

        Raises
        ------
        StoreError
            If a file cannot be read; it names the file.
        """
        for path in self.files:
            try:
                for batch in _open(path).iter_batches(rows, columns=columns):
                    yield pa.Table.from_batches([batch])
            except (OSError, pa.ArrowException) as error:
                raise StoreError(f"{path}: cannot be read: {one_line(error)}") from error


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: cannot be read: {one_line(error)}; write the survey again") from error
