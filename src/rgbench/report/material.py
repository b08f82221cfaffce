"""The runs of a report, as its sections need them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.answer_modes import Answer, answers_of
from rgbench.comparison.label_review import unsound
from rgbench.comparison.members import Side, side_of
from rgbench.comparison.results import Comparison
from rgbench.comparison.robustness import StressedRun, stressed_run
from rgbench.comparison.second_views import SecondView, second_view
from rgbench.data.catalogue import Catalogue, DataSet
from rgbench.errors import RgbenchError, SpecError
from rgbench.measures.cards import MetricCard
from rgbench.measures.catalogue import metrics
from rgbench.numbers import Scale, scale
from rgbench.report.blocks import LeftOut
from rgbench.report.measured import measured
from rgbench.report.tiles import Look
from rgbench.store.attributions import Looks
from rgbench.store.store import RunRecord
from rgbench.store.tables import Predictions

Find = Callable[[str], NDArray[Any] | None]


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
class ReportOptions:
    """What a report shows.

    Attributes
    ----------
    title : str
        Title of the page; by default the data set's name is in it.
    right, wrong : int
        Examples of right and of wrong answers shown for each network.
    hard : int
        Sources shown that most runs miss.
    galleries : int
        Networks, from the top of the ranking, of which examples are shown.
    cells, cell : int
        Networks whose confusion matrices open the sources behind their cells, and sources shown of a cell.
    picture_size : int
        Longest side of an example's picture, in pixels.
    figures : Path, optional
        Folder into which every figure and table is written as files of its own (`rgbench.report.files.export`).
    """

    title: str = ""
    right: int = 4
    wrong: int = 8
    hard: int = 8
    galleries: int = 8
    cells: int = 3
    cell: int = 8
    picture_size: int = 128
    figures: Path | None = None


@dataclass(frozen=True)
class Runs:
    """What every section of a report is made from.

    Attributes
    ----------
    main : Comparison
        The comparison that leads the report.
    complete : tuple of RunRecord
        Runs that have learnt something, networks in the order of the ranking, then by split; seeds as in `records`.
    networks : tuple of str
        Their networks, best first.
    beside : Beside
        What stands beside them.
    records : tuple of RunRecord
        All runs, failed ones among them.
    comparisons : mapping of str to Comparison
        Comparison of each model; the first is `main`.
    find : callable or None
        Source id -> image, or None where there is none.
    options : ReportOptions
        What to show.
    cited : tuple of str
        What the sections that stand before rest on: keys of ``references.bib``, or whole entries.
    """

    main: Comparison
    complete: tuple[RunRecord, ...]
    networks: tuple[str, ...]
    beside: Beside = Beside()
    records: tuple[RunRecord, ...] = ()
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    find: Find | None = None
    options: ReportOptions = ReportOptions()
    cited: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        comparisons: Comparison | Mapping[str, Comparison],
        records: Sequence[RunRecord],
        beside: Beside | None = None,
        find: Find | None = None,
        options: ReportOptions | None = None,
    ) -> Runs:
        """Choose the runs of rows that are sound; a network with two recipes is left to the main table.

        Parameters
        ----------
        comparisons : Comparison or mapping of str to Comparison
            One comparison, or that of each model, the leading one first.
        records, beside, find, options
            As the attributes; None for nothing beside, no images and the defaults.
        """
        if isinstance(comparisons, Comparison):
            comparisons = {comparisons.model: comparisons}
        main = next(iter(comparisons.values()))
        sound = [row.network for row in main.rows if row.status == "ok"]
        order = {name: i for i, name in enumerate(sound)}
        chosen = [r for r in records if r.status == "complete" and r.spec.network.name in order]
        chosen.sort(key=lambda r: (order[r.spec.network.name], r.spec.data.split))
        names = dict.fromkeys(r.spec.network.name for r in chosen)
        return cls(
            main,
            tuple(chosen),
            tuple(names),
            beside or Beside(),
            tuple(records),
            comparisons,
            find,
            options or ReportOptions(),
        )

    def copied(self) -> Runs:
        """Give the same with comparisons of its own: what another package changes there, nobody else sees."""
        copies = deepcopy(dict(self.comparisons))
        return replace(self, main=copies.get(self.main.model, deepcopy(self.main)), comparisons=copies)

    def citing(self, cites: Iterable[str]) -> Runs:
        """Give the same with more that is cited, keeping what has been worked out."""
        other = copy(self)
        object.__setattr__(other, "cited", (*self.cited, *cites))
        return other

    @property
    def card(self) -> MetricCard:
        """The metric in which networks are compared."""
        return metrics().get(self.main.metric)

    @property
    def scale(self) -> Scale:
        """How its values are written."""
        return scale(self.card.scale)

    @cached_property
    def look(self) -> Look:
        """How sources are shown."""
        data = self.beside.data
        return Look(
            self.find,
            self.options.picture_size,
            self.main.model,
            self._field,
            None if data is None else data.catalogue,
        )

    @property
    def _field(self) -> int:
        """Field that the networks saw, in pixels; the whole image where nobody knows."""
        for record in self.records:
            if not record.elsewhere:
                return record.trained.images.field
        return max(self.records[0].spec.data.frame or (0,))

    def of_network(self, name: str) -> tuple[RunRecord, ...]:
        """Give the runs of one network."""
        return tuple(record for record in self.complete if record.spec.network.name == name)

    @cached_property
    def asked(self) -> tuple[RunRecord, ...]:
        """The complete runs of which probabilities of validation and test sources are known, the same for all.

        Runs that were trained here are asked whatever they said; predictions made elsewhere may lack any of it.
        """
        trained = next((record for record in self.complete if not record.elsewhere), None)
        first = trained or next(
            (record for record in self.complete if not self._unasked(record, record)), None
        )
        if first is None:
            return ()
        return tuple(r for r in self.complete if not r.elsewhere or not self._unasked(r, first))

    def _unasked(self, record: RunRecord, first: RunRecord) -> str:
        """Say what a run lacks to be set beside the first, source by source; "" if nothing."""
        own, other = record.predictions, first.predictions
        if own is None or not own.has_probabilities:
            return "no probabilities"
        for split in ("validation", "test"):
            sources, wanted = (
                () if table is None else sorted(table.select(split, self.main.model).source_id.tolist())
                for table in (own, other)
            )
            if not len(sources) or sources != wanted:
                return f"not the same {split} sources" if len(sources) else f"no {split} sources"
        return ""

    @property
    def unasked_words(self) -> tuple[str, ...]:
        """Name the networks whose predictions were made elsewhere and do not suffice for a section of all sides."""
        if not self.asked:
            return ()
        asked = {record.run_id for record in self.asked}
        left = [record for record in self.complete if record.run_id not in asked]
        lacking = {record.spec.network.name: self._unasked(record, self.asked[0]) for record in left}
        return tuple(f"Left out: {name}, of which {why} are known." for name, why in lacking.items())

    def side(self, split: str) -> Side | None:
        """Gather what the runs that are asked said of one side; None if they saw different sources, or none."""
        try:
            return side_of(self.asked, split, self.main.model)
        except RgbenchError:
            return None

    @cached_property
    def unsound(self) -> dict[str, str]:
        """Why a run has learnt nothing, by the ids of such runs; what they say of a source tells nothing of it."""
        why = {record.run_id: unsound(record, self.main.model) for record in self.records or self.complete}
        return {run_id: said for run_id, said in why.items() if said}

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
        if self.complete and not self.asked:
            return "all predictions were made elsewhere, and none has probabilities of validation and test sources"
        for split in ("test", "validation"):
            try:
                side_of(self.asked, split, self.main.model)
            except SpecError:
                return f"the runs do not share their {split} sources, as every seed or fold has a split of its own"
            except RgbenchError as error:
                return str(error)
        return ""

    def left_out(self, name: str) -> LeftOut:
        """Say why a section that needs all runs side by side is left out."""
        need = "it needs runs that answered for the same test and validation sources"
        return LeftOut(name, f"{need}, and {self.apart}" if self.apart else need)

    @cached_property
    def stressed(self) -> dict[str, list[StressedRun]]:
        """The stressed runs of each network (``rgbench stress``); none of a network of which one was not stressed."""
        found = {name: self._stressed(name) for name in self.networks}
        return {name: own for name, own in found.items() if own}

    def _stressed(self, network: str) -> list[StressedRun]:
        own = self.of_network(network)
        if any(record.run_id not in self.beside.conditions for record in own):
            return []
        found = [stressed_run(r, self.beside.conditions[r.run_id], self.main.model) for r in own]
        # None is left if the package is gone that brought all that was done to the images.
        return found if all(run.disturbed for run in found) else []

    @cached_property
    def second_view(self) -> SecondView | None:
        """What the networks say of another image of the same sources; None if none was asked."""
        return second_view(self.stressed, metric=self.main.metric, confidence=self.main.confidence)

    @cached_property
    def decided(self) -> tuple[NDArray[np.int64], dict[str, NDArray[np.bool_]]] | None:
        """True classes of the test sources that the runs share, and which of them each network recognises.

        A network answers with the mean probability of its runs; where only classes are known, with their votes.
        Predictions made elsewhere of other sources are left out. None if runs that were trained here, or all there are,
        were tested on different sources.
        """
        tables = {r.run_id: table for r in self.complete if (table := self._tested(r)) is not None}
        if len(tables) < len(self.complete):
            return None
        trained = [tables[r.run_id] for r in self.complete if not r.elsewhere] or [*tables.values()]
        if not trained or any(not np.array_equal(own.source_id, trained[0].source_id) for own in trained):
            return None
        first, right = trained[0], {}
        for name in self.networks:
            own = [tables[r.run_id] for r in self.of_network(name)]
            if all(np.array_equal(table.source_id, first.source_id) for table in own):
                said = np.logaddexp.reduce([table.log_probabilities() for table in own], axis=0)
                right[name] = np.asarray(said.argmax(axis=1) == first.label)
        return first.label, right

    def _tested(self, record: RunRecord) -> Predictions | None:
        """Give what a run said of its test sources, in the order of their names; None if that is not finite."""
        if record.predictions is None:
            return None
        table = record.predictions.select("test", self.main.model)
        return table.take(np.argsort(table.source_id)) if np.isfinite(table.logits).all() else None

    @cached_property
    def answers(self) -> dict[str, tuple[Answer, ...]]:
        """The ways in which each network answers, by its name; none if the runs saw different sources."""
        sides = self.side("validation"), self.side("test")
        if sides[0] is None or sides[1] is None:
            return {}
        found = {}
        for name in self.networks:
            rows = [i for i, record in enumerate(self.asked) if record.spec.network.name == name]
            if not rows:
                continue
            own = sides[0].take(rows), sides[1].take(rows)
            runs = [self.asked[i] for i in rows]
            found[name] = answers_of(runs, self.beside.doubt, own, self.main.model)
        return found
