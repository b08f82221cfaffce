"""What the page of a task shows: who leads, tie groups, the table with its filters, terms and rules."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rgbench import numbers
from rgbench.board import words
from rgbench.board.columns import VIEWS, Column, columns
from rgbench.board.names import Names
from rgbench.board.standing import Place, Standing, letters
from rgbench.numbers import counted
from rgbench.report.blocks import Figure, Section, Table, Terms
from rgbench.report.cells import Cell
from rgbench.report.draw.figures import Interval, interval_figure
from rgbench.tasks.words import rules

_GROUPS, _MEMBERS = 3, 6
"""Tie groups that stand first, and members that are named of each; of many entries they overlap a lot."""
_DRAWN = 30
"""Entries in the figure of a task: no reader wants more."""


@dataclass(frozen=True)
class ShownGroup:
    """A tie group as it stands at the top of the page.

    Attributes
    ----------
    letter : str
        Its letter.
    members : tuple of (str, str)
        Labels of its first entries, and the pages of their networks.
    others : int
        Number of its other entries.
    said : str
        What there is to say of it, in a sentence.
    """

    letter: str
    members: tuple[tuple[str, str], ...]
    others: int
    said: str


@dataclass(frozen=True)
class TaskPage:
    """The page of a task.

    Attributes
    ----------
    standing : Standing
        What it shows.
    names : Names
        Where other pages are.
    """

    standing: Standing
    names: Names

    @property
    def file(self) -> str:
        """Name of its file."""
        return self.names.tasks[self.standing.task.name]

    @property
    def stem(self) -> str:
        """What its downloads begin with."""
        return self.file.removesuffix(".html")

    @property
    def lead(self) -> str:
        """Who leads, in a line."""
        return words.lead(self.standing)

    @property
    def size(self) -> str:
        """How much is compared."""
        return words.size(self.standing)

    @property
    def answer(self) -> tuple[str, ...]:
        """The answer in sentences."""
        return words.answer(self.standing)

    @property
    def groups(self) -> list[ShownGroup]:
        """The first tie groups, each with its first members."""
        pages = {p.entry.label: self.names.networks[p.entry.network] for p in self.standing.places}
        shown = []
        for letter, own, said in words.groups(self.standing)[:_GROUPS]:
            named = own if len(own) <= _MEMBERS + 1 else own[:_MEMBERS]
            members = tuple((label, pages[label]) for label in named)
            shown.append(ShownGroup(letter, members, len(own) - len(named), said))
        return shown

    @property
    def more_groups(self) -> str:
        """How many tie groups there are beside those, in a sentence; "" for none."""
        left = len(self.standing.groups) - _GROUPS
        return f"{counted(left, 'more group')} can be chosen above the table." if left > 0 else ""

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its table, behind the name."""
        return columns(self.standing)

    @property
    def views(self) -> dict[str, str]:
        """The views that have a column, and their names."""
        there = {column.view for column in self.columns}
        return {key: name for key, name in VIEWS.items() if key in there}

    @cached_property
    def rows(self) -> list[tuple[Place, list[Cell]]]:
        """Each place with its cells."""
        return [(place, [column.cell(place) for column in self.columns]) for place in self.standing.places]

    @property
    def filters(self) -> list[tuple[str, str, list[str]]]:
        """Key, name and choices of each filter that has more than one choice."""
        places = self.standing.places
        found: list[tuple[str, str, list[str]]] = [
            ("group", "tie group", list(self.standing.groups)),
            ("protocol", "protocol", sorted({place.entry.protocol for place in places})),
            ("external", "external data", sorted({place.entry.statement.external_data for place in places})),
            ("by", "stated by", sorted({place.entry.statement.by for place in places})),
        ]
        return [each for each in found if each[2][1:]]

    def data(self, place: Place) -> dict[str, str]:
        """Give what filters look at in a row; several values are parted by line breaks."""
        return {
            "name": place.entry.label.casefold(),
            "group": "\n".join(letters(place.groups)),
            "protocol": place.entry.protocol,
            "external": place.entry.statement.external_data,
            "by": place.entry.statement.by,
        }

    @property
    def table(self) -> Table:
        """The whole table, as it is downloaded."""
        rows = [
            (
                Cell(place.entry.label),
                Cell(place.entry.network),
                *cells,
                Cell(place.row.status),
                Cell(self.names.bundles[place.entry.bundle.sha256]),
                Cell(place.entry.bundle.sha256),
            )
            for place, cells in self.rows
        ]
        heads = (
            "entry",
            "network",
            *(column.heading for column in self.columns),
            "status",
            "bundle",
            "SHA-256",
        )
        return Table(self.stem, self.standing.task.title, heads, tuple(rows))

    @property
    def sections(self) -> tuple[Section, ...]:
        """What stands below the table."""
        notes, answer = self.standing.notes, self.answer[1:]
        return (
            *((Section("sure", "How sure", "How sure is that?", sentences=answer),) if answer else ()),
            Section("figure", "Intervals", "Scores with their intervals", figures=(self._figure(),)),
            Section(
                "terms",
                "What the words mean",
                "What the words mean",
                blocks=(Terms(words.terms(self.standing)),),
            ),
            Section("rules", "Rules", "The rules of the task", blocks=(Terms(rules(self.standing.task)),)),
            *(
                (Section("notes", "Left out", "What was left out or is odd", sentences=notes),)
                if notes
                else ()
            ),
        )

    def _figure(self) -> Figure:
        card = self.standing.card
        scale = numbers.scale(card.scale)
        shown = [place for place in self.standing.places if card.name in place.row.metrics][:_DRAWN]
        lines, rows = [], []
        for place in shown:
            own = place.row.metrics[card.name]
            values = (own.mean, own.low, own.high)
            mean, low, high = (scale.factor * value for value in values)
            points = tuple(scale.factor * value for value in own.values)
            name = f"{place.groups}  {place.entry.label}" if place.groups else place.entry.label
            lines.append(
                Interval(name, mean, low, high, points, scale.show(own.mean), place.row.status != "ok")
            )
            rows.append((place.entry.label, *values))
        label = f"{card.short} of {', '.join(place.entry.label for place in shown)}"
        said = (
            "Letters are tie groups, circles single runs. The intervals are for new sources and new runs; those of two "
            "entries may overlap although the two are told apart."
        )
        drawing = interval_figure(lines, scale.axis(card.short), label)
        return Figure(
            f"{self.stem}-intervals",
            card.title,
            drawing,
            said,
            ("entry", card.name, "low", "high"),
            tuple(rows),
        )
