"""Pictures of sources with what networks say of them, as galleries show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.comparison.failures import positions
from rgbench.data.catalogue import Catalogue
from rgbench.data.surveys.links import sky_link
from rgbench.images.geometry import central_crop
from rgbench.numbers import counted
from rgbench.report.blocks import Tile
from rgbench.report.draw.pictures import picture
from rgbench.report.examples import Example, HardSource, examples, hardest
from rgbench.store.store import RunRecord


@dataclass(frozen=True)
class Look:
    """How sources are shown.

    Attributes
    ----------
    find : callable or None
        Source id -> image or None.
    size : int
        Longest side of a picture in pixels.
    model : str
        Whose predictions are shown, "best" or "final".
    field : int, optional
        Side in pixels of the central field that the networks saw, which is shown; left out, the whole image.
    catalogue : Catalogue, optional
        Where the sources are on the sky.
    """

    find: Callable[[str], NDArray[Any] | None] | None
    size: int
    model: str
    field: int | None = None
    catalogue: Catalogue | None = None

    def picture(self, source_id: str) -> str | None:
        """Give a source's picture as a data URI, None if there is no image of it."""
        image = self.find(source_id) if self.find is not None else None
        if image is None:
            return None
        return picture(image if self.field is None else central_crop(image, self.field), self.size)


@dataclass(frozen=True)
class Behind:
    """The sources behind a cell of a network's confusion matrix.

    Attributes
    ----------
    place : (int, int)
        Row and column: true and given class.
    anchor, title : str
        Its address within the page, and what it holds.
    tiles : tuple of Tile
        The sources shown.
    """

    place: tuple[int, int]
    anchor: str
    title: str
    tiles: tuple[Tile, ...]


def example_tile(example: Example, look: Look, named: bool = True) -> Tile:
    """Show a source with a network's answer; the classes are named unless the heading does so."""
    probability = numbers.probability(example.probability)
    said = f"p {probability}" if probability[0] in "<>" else f"p = {probability}"
    stated = [said] if numbers.is_number(example.probability) else []
    seeds = [f"{example.agreeing} of {example.runs} seeds"] if example.runs > 1 else []
    verdict = example.truth if example.right else f"{example.truth}, said {example.predicted}"
    return Tile(
        example.source_id,
        look.picture(example.source_id),
        example.right,
        verdict if named else "",
        (", ".join((*stated, *seeds)),),
    )


def hard_tiles(records: Sequence[RunRecord], look: Look, number: int) -> list[Tile]:
    """Show the sources that most runs miss; none for a single run."""
    if sum(record.predictions is not None for record in records) < 2:
        return []
    found = hardest(records, look.model, number)
    places = zip(*positions(np.array([source.source_id for source in found]), look.catalogue), strict=True)
    return [_hard(*each, look) for each in zip(found, places, strict=True)]


def behind_cells(network: str, records: Sequence[RunRecord], look: Look, number: int) -> list[Behind]:
    """Show the sources behind each cell of a network's confusion matrix, the surest answers first."""
    found = examples([r for r in records if r.spec.network.name == network], look.model)
    classes = next((r.predictions.classes for r in records if r.predictions is not None), ())
    stem = "".join(c if c.isalnum() else "-" for c in network)
    made = []
    for i, truth in enumerate(classes):
        for j, said in enumerate(classes):
            own = [each for each in found if (each.truth, each.predicted) == (truth, said)]
            shown = f", {number} shown" if len(own) > number else ""
            if own and number:
                tiles = tuple(example_tile(each, look, named=False) for each in own[:number])
                title = f"{truth}, said {said}: {len(own)}{shown}"
                made.append(Behind((i, j), f"cell-{stem}-{i}-{j}", title, tiles))
    return made


def _hard(source: HardSource, place: tuple[float, float], look: Look) -> Tile:
    """Show a source; its position (RA, Dec in degrees) leads to a page that shows the sky there."""
    ra, dec = place
    said = ", ".join(f"{name} ({number})" for name, number in source.answers if name != source.truth)
    link = sky_link(ra, dec)
    return Tile(
        source.source_id,
        look.picture(source.source_id),
        False,
        f"{source.truth}, said {said}",
        (f"missed by {source.wrong} of {counted(source.runs, 'run')}",),
        f"{ra:.4f} {dec:+.4f}".replace("-", "−") if link else "",
        link,
    )
