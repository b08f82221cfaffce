"""What the page of a network shows: of each of its entries, scores, ties, classes, other images, and its runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rgbench import numbers
from rgbench.board import words
from rgbench.board.columns import ranks_cell
from rgbench.board.names import Names
from rgbench.board.standing import Place, Standing
from rgbench.measures.catalogue import metrics
from rgbench.numbers import counted
from rgbench.report.blocks import Figure, Section, Table
from rgbench.report.cells import Cell, difference, number, p_cell, span
from rgbench.report.sections.confusion import class_table, confusion
from rgbench.report.sections.robustness import conditions_table


@dataclass(frozen=True)
class NetworkPage:
    """The page of a network: its entries, task by task."""

    network: str
    standings: tuple[Standing, ...]
    names: Names

    @property
    def file(self) -> str:
        """Name of its file."""
        return self.names.networks[self.network]

    @property
    def own(self) -> list[tuple[Standing, Place]]:
        """Its entries."""
        return [
            (s, place) for s in self.standings for place in s.places if place.entry.network == self.network
        ]

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What it is, from its catalogue."""
        return words.network_facts(self.own[0][1].entry)

    @property
    def sections(self) -> tuple[Section, ...]:
        """Everything known of each entry."""
        found = []
        for n, (standing, place) in enumerate(self.own, start=1):
            section = _section(standing, place, f"entry-{n}")
            found.append(section if n == 1 else _renamed(section, n))
        return tuple(found)

    @property
    def links(self) -> list[tuple[str, str]]:
        """Words and address of where it stands, and of its bundles."""
        tasks = {s.task.title: self.names.tasks[s.task.name] for s, _ in self.own}
        bundles = {
            f"bundle {place.entry.bundle.path.name}": self.names.bundles[place.entry.bundle.sha256]
            for _, place in self.own
        }
        return [*tasks.items(), *bundles.items()]


def _renamed(section: Section, number: int) -> Section:
    """Give tables and figures of a further entry file names of their own."""
    return replace(
        section,
        tables=tuple(replace(table, name=f"{table.name}-{number}") for table in section.tables),
        figures=tuple(replace(figure, name=f"{figure.name}-{number}") for figure in section.figures),
    )


def _section(standing: Standing, place: Place, anchor: str) -> Section:
    """Show an entry: its score, who it can be told apart from, its classes, other images, and its runs."""
    entry = place.entry
    drawn = confusion(place.row, standing.comparison.classes, {})
    title = f"{entry.label}: {standing.task.title}"
    return Section(
        anchor,
        entry.label,
        title,
        sentences=(_score(standing, place), *_groups(standing, place), _seen(place), *_origin(place)),
        figures=(_named(drawn, title),) if drawn else (),
        tables=tuple(table for table in _tables(standing, place) if table is not None and table.rows),
        notes=place.row.notes,
    )


def _named(figure: Figure, title: str) -> Figure:
    return replace(figure, title=f"Which classes are confused: {title.partition(':')[0]}")


def _score(standing: Standing, place: Place) -> str:
    card, own = standing.card, place.row.metrics.get(standing.task.metric)
    if own is None or not numbers.is_number(own.mean):
        return f"It has no {card.short}: {place.row.status}."
    scale = numbers.scale(card.scale)
    interval = numbers.interval(own.low, own.high, standing.comparison.confidence, scale.show)
    n = f"{counted(place.row.n_seeds, 'run')}, {place.row.n_test} test sources"
    return f"{numbers.capital(card.words)}: {scale.whole(own.mean)} ({interval}; {n})."


def _groups(standing: Standing, place: Place) -> tuple[str, ...]:
    if not place.groups:
        return ()
    own = place.entry.label
    tied = [p for p in standing.comparison.pairs if own in (p.first, p.second) and not p.separable]
    others = [p.second if p.first == own else p.first for p in tied]
    told = (
        f"It cannot be told apart from {', '.join(others)}."
        if others
        else "It is told apart from all other entries."
    )
    ranks = ranks_cell(place).text
    possible = f" Possible ranks: {ranks} of {len(standing.places)}." if ranks != numbers.NONE else ""
    return (f"{told}{possible}",) if standing.comparison.pairs else ()


def _seen(place: Place) -> str:
    return f"What was seen in training: {place.entry.statement.words}."


def _origin(place: Place) -> tuple[str, ...]:
    bundle, entry = place.entry.bundle, place.entry
    of_it = [each for each in bundle.manifest.left_out if each.network == entry.network]
    left = (
        f" {counted(len(of_it), 'run')} of it {'is' if len(of_it) == 1 else 'are'} not in the bundle."
        if of_it
        else ""
    )
    return (f"Protocol {entry.protocol}; from {bundle.path.name} (SHA-256 {bundle.sha256[:16]}).{left}",)


def _tables(standing: Standing, place: Place) -> tuple[Table | None, ...]:
    classes = class_table(replace(standing.comparison, rows=(place.row,)))
    metric = metrics().get(standing.condition_metric)
    label = place.entry.label
    images = conditions_table({label: list(place.conditions)}, metric) if place.conditions else None
    return (
        _pairs(standing, place),
        classes and replace(classes, folded=False),
        images,
        _runs(standing, place),
    )


def _pairs(standing: Standing, place: Place) -> Table:
    """Set an entry against each other one."""
    card, own, rows = standing.card, place.entry.label, []
    scale = numbers.scale(card.scale)
    for pair in standing.comparison.pairs:
        if own not in (pair.first, pair.second):
            continue
        first = pair.first == own
        sign, other = (1, pair.second) if first else (-1, pair.first)
        low, high = sorted((sign * pair.low, sign * pair.high))
        rows.append(
            (
                Cell(other),
                difference(sign * pair.difference, scale),
                span(low, high, scale, signed=True),
                p_cell(pair.p_value),
                Cell("yes" if pair.separable else "no"),
            )
        )
    heads = ("against", scale.differences(f"{card.short} more"), "95 % interval", "corrected p", "told apart")
    return Table(
        "pairs", "Against the other entries, on the same sources", heads, tuple(rows), frozenset({4})
    )


def _runs(standing: Standing, place: Place) -> Table:
    """List the runs of an entry, with what each was made on."""
    card = standing.card
    scale, own = numbers.scale(card.scale), place.row.metrics.get(card.name)
    values = dict(zip((r.run_id for r in place.entry.records), own.values if own else (), strict=False))
    rows = []
    for record in place.entry.records:
        made, versions = record.provenance, record.provenance.get("versions", {})
        rows.append(
            (
                Cell(record.run_id),
                Cell(str(record.spec.seed), record.spec.seed),
                number(values.get(record.run_id), scale),
                Cell(str(made.get("machine") or numbers.NONE)),
                Cell(str(versions.get("torch") or numbers.NONE)),
                Cell(str(versions.get("rgbench") or numbers.NONE)),
                Cell(str(made.get("written") or numbers.NONE)[:10]),
            )
        )
    heads = ("run", "seed", scale.heading(card.short), "machine", "torch", "rgbench", "date")
    return Table("runs", "Its runs", heads, tuple(rows), frozenset({3, 4, 5, 6}))
