"""The runs of a report, as its sections need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from rgbench.comparison.answers import Answer, answers_of
from rgbench.comparison.members import Side, side_of
from rgbench.comparison.summary import Comparison
from rgbench.data.catalogue import DataSet
from rgbench.errors import RgbenchError
from rgbench.store import RunRecord
from rgbench.tables import Predictions


@dataclass(frozen=True)
class Beside:
    """What stands beside the runs of a report.

    Attributes
    ----------
    smaller : tuple of RunRecord
        Runs on fewer training sources, for learning curves.
    conditions : mapping of str to Predictions
        Predictions on disturbed images, by run id.
    data : DataSet or None
        The sources with their images; None if they are not at hand.
    elsewhere : mapping of str to Comparison
        Comparisons on other data sets, by their names.
    doubt : mapping of str to Predictions
        Rows of Monte-Carlo dropout, by run id.
    """

    smaller: tuple[RunRecord, ...] = ()
    conditions: Mapping[str, Predictions] = field(default_factory=dict)
    data: DataSet | None = None
    elsewhere: Mapping[str, Comparison] = field(default_factory=dict)
    doubt: Mapping[str, Predictions] = field(default_factory=dict)


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
    beside : Beside
        What stands beside them.
    """

    main: Comparison
    complete: tuple[RunRecord, ...]
    networks: tuple[str, ...]
    beside: Beside = Beside()

    @classmethod
    def of(cls, main: Comparison, records: Sequence[RunRecord], beside: Beside | None = None) -> Runs:
        """Choose the runs of rows that are sound; a network with two recipes is left to the main table."""
        sound = [row.network for row in main.rows if row.status == "ok"]
        order = {name: i for i, name in enumerate(sound)}
        chosen = [r for r in records if r.status == "complete" and r.spec.network.name in order]
        chosen.sort(key=lambda r: (order[r.spec.network.name], r.spec.data.split, r.spec.seed))
        names = dict.fromkeys(r.spec.network.name for r in chosen)
        return cls(main, tuple(chosen), tuple(names), beside or Beside())

    def of_network(self, name: str) -> tuple[RunRecord, ...]:
        """Give the runs of one network."""
        return tuple(record for record in self.complete if record.spec.network.name == name)

    def side(self, split: str) -> Side | None:
        """Gather what all runs said of one side; None if they saw different sources, or none."""
        try:
            return side_of(self.complete, split, self.main.model)
        except RgbenchError:
            return None

    @cached_property
    def answers(self) -> dict[str, tuple[Answer, ...]]:
        """The ways in which each network answers, by its name; none if the runs saw different sources."""
        sides = self.side("validation"), self.side("test")
        if sides[0] is None or sides[1] is None:
            return {}
        found = {}
        for name in self.networks:
            rows = [i for i, record in enumerate(self.complete) if record.spec.network.name == name]
            own = sides[0].take(rows), sides[1].take(rows)
            found[name] = answers_of(self.of_network(name), self.beside.doubt, own, self.main.model)
        return found
