"""The runs of a report, as its sections need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from rgbench.comparison.answer_modes import Answer, answers_of
from rgbench.comparison.members import Side, side_of
from rgbench.comparison.summary import Comparison
from rgbench.data.catalogue import Catalogue, DataSet
from rgbench.errors import RgbenchError, SpecError
from rgbench.report.blocks import Section
from rgbench.report.measured import measured
from rgbench.store.attributions import Looks
from rgbench.store.store import RunRecord
from rgbench.store.tables import Predictions


@dataclass(frozen=True)
class Setting:
    """What the runs of a comparison were made on.

    Attributes
    ----------
    data : str
        Name of the data set whose sources they were tested on.
    protocol : str
        Their protocol; "" if it is not known.
    all, test : Catalogue or None
        All sources of their data, and those tested on; None if they are not at hand.
    """

    data: str
    protocol: str = ""
    all: Catalogue | None = None
    test: Catalogue | None = None

    @classmethod
    def of(cls, records: Sequence[RunRecord], data: DataSet | None) -> Setting:
        """Gather it from runs of one setting and their data."""
        spec = records[0].spec
        name, tables = spec.data.test or spec.data.name, [r.predictions for r in records if r.predictions]
        if data is None or not tables:
            return cls(name, spec.protocol)
        ids = np.unique(np.concatenate([table.source_id[table.split == "test"] for table in tables]))
        test = data.catalogue.take(np.isin(data.catalogue.source_id, ids))
        return cls(name, spec.protocol, data.catalogue, test)


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
        Comparisons on other data sets, or under other protocols, by names that tell them apart.
    doubt : mapping of str to Predictions
        Rows of Monte-Carlo dropout, by run id.
    looks : mapping of str to Looks
        What runs look at, by run id.
    weights : mapping of str to float or None
        Weights of the ranking; None for the default.
    settings : mapping of str to Setting
        What the comparisons elsewhere were made on, by the same names.
    """

    smaller: tuple[RunRecord, ...] = ()
    conditions: Mapping[str, Predictions] = field(default_factory=dict)
    data: DataSet | None = None
    elsewhere: Mapping[str, Comparison] = field(default_factory=dict)
    doubt: Mapping[str, Predictions] = field(default_factory=dict)
    looks: Mapping[str, Looks] = field(default_factory=dict)
    weights: Mapping[str, float] | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)


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
    def measured(self) -> tuple[Catalogue, tuple[str, ...]] | None:
        """The catalogue of the test sources with what their images tell, and what they do not; None without data."""
        tables = [r.predictions.select("test", self.main.model) for r in self.complete if r.predictions]
        if self.beside.data is None or not tables:
            return None
        return measured(self.beside.data, np.unique(np.concatenate([table.source_id for table in tables])))

    @cached_property
    def apart(self) -> str:
        """Why the runs cannot be set side by side, source by source; "" if they can."""
        for split in ("test", "validation"):
            try:
                side_of(self.complete, split, self.main.model)
            except SpecError:
                return f"the runs do not share their {split} sources, as every seed or fold has a split of its own"
            except RgbenchError as error:
                return str(error)
        return ""

    def left_out(self, anchor: str, menu: str, title: str) -> Section | None:
        """Say in a section's place why it is left out; None if the runs can be set side by side."""
        if not self.apart:
            return None
        need = "This section needs runs that answered for the same test and validation sources"
        return Section(anchor, menu, title, (f"{need}. It is left out here: {self.apart}.",))

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
