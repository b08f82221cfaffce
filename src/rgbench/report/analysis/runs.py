"""The runs of a report, as its sections need them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rgbench.comparison.members import Side, side_of
from rgbench.comparison.summary import Comparison
from rgbench.errors import RgbenchError
from rgbench.store import RunRecord


@dataclass(frozen=True)
class Runs:
    """What the sections are made from.

    Attributes
    ----------
    main : Comparison
        The comparison that leads the report.
    complete : tuple of RunRecord
        Runs that have learnt something, networks in the order of the ranking, then by seed.
    networks : tuple of str
        Their networks, best first.
    smaller : tuple of RunRecord
        Complete runs on fewer training sources, for learning curves.
    """

    main: Comparison
    complete: tuple[RunRecord, ...]
    networks: tuple[str, ...]
    smaller: tuple[RunRecord, ...] = ()

    @classmethod
    def of(cls, main: Comparison, records: Sequence[RunRecord], smaller: Sequence[RunRecord] = ()) -> Runs:
        """Choose the runs of rows that are sound; a network with two recipes is left to the main table."""
        sound = [row.network for row in main.rows if row.status == "ok"]
        order = {name: i for i, name in enumerate(sound)}
        chosen = [r for r in records if r.status == "complete" and r.spec.network.name in order]
        chosen.sort(key=lambda r: (order[r.spec.network.name], r.spec.data.split, r.spec.seed))
        names = dict.fromkeys(r.spec.network.name for r in chosen)
        fewer = tuple(record for record in smaller if record.status == "complete")
        return cls(main, tuple(chosen), tuple(names), fewer)

    def of_network(self, name: str) -> tuple[RunRecord, ...]:
        """Give the runs of one network."""
        return tuple(record for record in self.complete if record.spec.network.name == name)

    def side(self, split: str) -> Side | None:
        """Gather what all runs said of one side; None if they saw different sources, or none."""
        try:
            return side_of(self.complete, split, self.main.model)
        except RgbenchError:
            return None
