"""The columns of a board's table, in four views; what stands in them is said in a sentence each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rgbench import numbers
from rgbench.board.standing import Place, Standing
from rgbench.measures.catalogue import metrics
from rgbench.report.cells import NO_CELL, Cell, count, number, span
from rgbench.report.files.text import BESIDE, PAGE_COSTS

VIEWS = {"scores": "Scores", "images": "Other images", "cost": "Cost", "training": "Training and origin"}
"""Views of the table, and their names on the page."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes
    ----------
    key : str
        Name in links and in files.
    heading, meaning : str
        What stands above it, and what it is.
    view : str
        One of `VIEWS`; "" for all of them.
    cell : callable
        Gives the cell of a place.
    words : bool
        Whether it holds words, which are aligned left.
    """

    key: str
    heading: str
    meaning: str
    view: str
    cell: Callable[[Place], Cell]
    words: bool = False


def columns(standing: Standing) -> tuple[Column, ...]:
    """Give the columns of a board behind the name of the entry, with those views only that have something to show."""
    shown = [*_scores(standing), *_images(standing), *_costs(), *_training()]
    return tuple(column for column in shown if _filled(column, standing))


def _filled(column: Column, standing: Standing) -> bool:
    return column.view != "images" or any(column.cell(place).data is not None for place in standing.places)


def _scores(standing: Standing) -> list[Column]:
    card, confidence = standing.card, standing.comparison.confidence
    scale = numbers.scale(card.scale)

    def score(place: Place) -> Cell:
        own = place.row.metrics.get(card.name)
        if own is None or not numbers.is_number(own.mean):
            return NO_CELL
        spread = own.spread if numbers.is_number(own.spread) else None
        behind = f" ± {scale.show(spread)}" if spread is not None else ""
        return Cell(f"{scale.show(own.mean)}{behind}", own.mean, spread=spread, scale=scale)

    def ends(place: Place) -> Cell:
        own = place.row.metrics.get(card.name)
        return span(own.low, own.high, scale) if own else NO_CELL

    return [
        Column("group", "tie group", "Entries that share a letter cannot be told apart.", "", _group, True),
        Column(
            "score",
            scale.heading(card.short),
            f"{numbers.capital(card.words)}, mean ± spread over runs.",
            "",
            score,
        ),
        Column(
            "interval",
            f"{100 * confidence:g} % interval",
            "Of the mean, for new sources and new runs.",
            "",
            ends,
        ),
        Column(
            "ranks",
            "possible ranks",
            f"Ranks that these sources and runs allow ({100 * confidence:g} %).",
            "scores",
            ranks_cell,
        ),
        *(_beside(name) for name in BESIDE if name != card.name),
        Column(
            "runs",
            "runs",
            "Repeats with other seeds or folds.",
            "scores",
            lambda place: count(place.row.n_seeds),
        ),
    ]


def _group(place: Place) -> Cell:
    return Cell(place.groups) if place.groups else Cell(place.row.status)


def ranks_cell(place: Place) -> Cell:
    """Give the ranks that are possible for an entry."""
    ranks = place.ranks
    if ranks is None or not np.isfinite([ranks.low, ranks.high]).all():
        return NO_CELL
    low, high = f"{ranks.low:g}", f"{ranks.high:g}"
    return Cell(low if low == high else f"{low} – {high}", ranks.low, ranks.high)


def _beside(name: str) -> Column:
    card = metrics().get(name)
    scale = numbers.scale(card.scale)

    def mean(place: Place) -> Cell:
        own = place.row.metrics.get(name)
        return number(own.mean if own else None, scale)

    return Column(name, scale.heading(card.short), f"{numbers.capital(card.definition)}.", "scores", mean)


def _images(standing: Standing) -> list[Column]:
    name = standing.condition_metric
    card = metrics().get(name)
    heading = numbers.PERCENT.heading(card.short)

    def second(place: Place) -> Cell:
        return number(place.second.values[name][0] if place.second else None, numbers.PERCENT)

    def second_ends(place: Place) -> Cell:
        return span(*place.second.values[name][1:]) if place.second else NO_CELL

    def kept(place: Place) -> Cell:
        return number(place.second.kept[0] if place.second else None, numbers.PERCENT)

    def worst(place: Place) -> Cell:
        found = place.worst(name)
        if found is None or not numbers.is_number(found.drops[name][0]):
            return NO_CELL
        drop = found.drops[name][0]
        return Cell(f"{numbers.signed_percent(-drop)} ({found.condition.name})", -drop, scale=numbers.PERCENT)

    of_second = (
        "on other images of the same sources, made by simulation: other pixels, beam, depth and clipping."
    )
    return [
        Column(
            "second",
            f"second view, {heading}",
            f"{numbers.capital(card.short)} {of_second}",
            "images",
            second,
        ),
        Column(
            "second_interval", "its 95 % interval", "For new sources and new runs.", "images", second_ends
        ),
        Column(
            "kept",
            "class kept %",
            "Sources that get the same class in both images, right or wrong.",
            "images",
            kept,
        ),
        Column(
            "worst",
            "largest loss / points",
            f"Of {card.short} under noise, blur, shift or coarser pixels; rotations stand on the network's page.",
            "images",
            worst,
        ),
    ]


def _costs() -> list[Column]:
    def of(show: Callable[..., str], value: Callable[..., float | None]) -> Callable[[Place], Cell]:
        return lambda place: Cell(show(place.row), value(place.row))

    told = "as whoever ran it measured it"
    own = [
        Column(
            each.key,
            each.heading,
            f"{numbers.capital(each.meaning)}, {told}.",
            "cost",
            of(each.show, each.value),
        )
        for each in PAGE_COSTS
    ]
    return [*own, Column("device", "device", "On which these times were measured.", "cost", _device, True)]


def _device(place: Place) -> Cell:
    devices = {str(record.cost["device"]) for record in place.entry.records if record.cost.get("device")}
    return Cell(", ".join(sorted(devices)) or numbers.NONE)


def _training() -> list[Column]:
    return [
        Column(
            "protocol",
            "protocol",
            "How images were prepared and how it was trained.",
            "training",
            lambda p: Cell(p.entry.protocol),
            True,
        ),
        Column(
            "external",
            "external data",
            "Whether more than the task's training sources was used.",
            "training",
            _external,
            True,
        ),
        Column(
            "trained_on",
            "trained on",
            "As stated by whoever handed it in.",
            "training",
            lambda p: Cell(p.entry.statement.trained_on),
            True,
        ),
        Column(
            "by",
            "stated by",
            "Who states it; the name is not checked.",
            "training",
            lambda p: Cell(p.entry.statement.by),
            True,
        ),
    ]


def _external(place: Place) -> Cell:
    said = place.entry.statement
    return Cell(f"{said.external_data}: {said.external_words}" if said.external_words else said.external_data)
