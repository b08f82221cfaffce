"""How many sources runs were trained, chosen and tested on, and of which classes, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rgbench.comparison.results import Comparison
from rgbench.numbers import NONE, counted, listed
from rgbench.store.store import RunRecord


@dataclass(frozen=True)
class Sizes:
    """Labelled sources of complete runs.

    Attributes
    ----------
    train, validation, test : tuple of int
        Their different numbers in the runs, ascending; none where it is not known.
    tested : int
        Number of different sources that any run was tested on.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    tested: int

    @classmethod
    def of(cls, records: Sequence[RunRecord], model: str) -> Sizes:
        """Count what one model of each complete run was trained and asked on."""
        own = [record for record in records if record.status == "complete"]
        validation, test = (
            [
                table.source_id[table.label >= 0]
                for record in own
                if record.predictions is not None and len(table := record.predictions.select(split, model))
            ]
            for split in ("validation", "test")
        )
        train = [
            int(record.cost["training_sources"]) for record in own if record.cost.get("training_sources")
        ]
        trained, chosen, tested = map(_different, (train, map(len, validation), map(len, test)))
        return cls(trained, chosen, tested, len(np.unique(np.concatenate(test))) if test else 0)

    @property
    def apart(self) -> bool:
        """Whether some runs were tested on other sources than others."""
        return bool(self.test) and self.tested > self.test[-1]

    def test_words(self) -> str:
        """Write the number of test sources; in each run and in all, where these differ.

        Examples
        --------
        >>> Sizes((15,), (6,), (7,), 12).test_words(), Sizes((15,), (6,), (7,), 7).test_words()
        ('7 in each run, 12 in all', '7')
        """
        shown = _span(self.test) or NONE
        return f"{shown} in each run, {self.tested:,} in all" if self.apart else shown

    def words(self) -> str:
        """Write the numbers of all sides that are known.

        Examples
        --------
        >>> Sizes((15,), (6,), (7,), 12).words()
        '15 training, 6 validation and 7 test sources in each run (12 test sources in all)'
        >>> Sizes((), (), (1,), 1).words()
        '1 test source'
        """
        known = {"training": self.train, "validation": self.validation, "test": self.test}
        parts = [f"{_span(sizes)} {side}" for side, sizes in known.items() if any(sizes)]
        last = "source" if self.test == (1,) else "sources"
        every = f" in each run ({counted(self.tested, 'test source')} in all)" if self.apart else ""
        return f"{listed(parts)} {last}{every}"


def class_words(main: Comparison) -> str:
    """Name the classes, and those of which there was no source to test on."""
    none = f" (no test source of {listed(main.untested)})" if main.untested else ""
    return f"{', '.join(main.classes)}{none}"


def _different(sizes: Iterable[int]) -> tuple[int, ...]:
    return tuple(np.unique(list(sizes)).astype(int).tolist())


def _span(sizes: Sequence[int]) -> str:
    return " to ".join(f"{size:,}" for size in dict.fromkeys((*sizes[:1], *sizes[-1:])))
