"""The report's pictures of sources: what the template needs to show an example."""

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
from rgbench.report.draw.pictures import picture
from rgbench.report.sections.gallery import Example, HardSource, examples, hardest, surest_right, surest_wrong
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


def hard_items(records: Sequence[RunRecord], look: Look, number: int) -> list[dict[str, Any]]:
    """Give what the template needs of the sources that most runs miss; none for a single run."""
    if sum(record.predictions is not None for record in records) < 2:
        return []
    found = hardest(records, look.model, number)
    places = zip(*positions(np.array([source.source_id for source in found]), look.catalogue), strict=True)
    return [_hard(*each, look) for each in zip(found, places, strict=True)]


def gallery(
    network: str, records: Sequence[RunRecord], look: Look, number: tuple[int, int]
) -> dict[str, Any] | None:
    """Give what the template needs of a network's surest right and wrong answers; None if it has none."""
    found = examples([r for r in records if r.spec.network.name == network], look.model)
    if not found:
        return None
    wrong = surest_wrong(found, number[1])
    right = surest_right(found, number[0])
    missed = sum(not example.right for example in found)
    lists = [
        (f"Wrong, and surest of it ({len(wrong)} of {missed})", "wrong", [_item(e, look) for e in wrong]),
        (
            f"Right, and surest of it ({len(right)} of {len(found) - missed})",
            "right",
            [_item(e, look) for e in right],
        ),
    ]
    return {"name": network, "lists": lists}


@dataclass(frozen=True)
class Cell:
    """The sources behind a cell of a network's confusion matrix.

    Attributes
    ----------
    place : (int, int)
        Row and column: true and given class.
    anchor, title : str
        Its address within the page, and what it holds.
    items : list of dict
        What the template needs of each source shown.
    """

    place: tuple[int, int]
    anchor: str
    title: str
    items: list[dict[str, Any]]


def cells(network: str, records: Sequence[RunRecord], look: Look, number: int) -> list[Cell]:
    """Give the sources behind each cell of a network's confusion matrix, the surest answers first."""
    found = examples([r for r in records if r.spec.network.name == network], look.model)
    classes = next((r.predictions.classes for r in records if r.predictions is not None), ())
    stem = "".join(c if c.isalnum() else "-" for c in network)
    made = []
    for i, truth in enumerate(classes):
        for j, said in enumerate(classes):
            own = [each for each in found if (each.truth, each.predicted) == (truth, said)]
            if own:
                title = f"{truth}, said {said}: {len(own)}" + (
                    f", {number} shown" if len(own) > number else ""
                )
                made.append(
                    Cell((i, j), f"cell-{stem}-{i}-{j}", title, [_item(e, look) for e in own[:number]])
                )
    return made


def words(networks: int, shown: int) -> str:
    """Say how to read the pictures, and how many networks are left out."""
    said = (
        "The field that the networks saw, north up; brightness is stretched by an inverse hyperbolic sine from each "
        "image's faintest to its brightest pixel. p is the probability of the class given, averaged over the seeds; "
        "beside it, how many seeds say the same."
    )
    left = networks - shown
    return said + (
        f" The other {left} networks' examples are left out to keep the file small." if left > 0 else ""
    )


def _item(example: Example, look: Look) -> dict[str, Any]:
    return {
        "source_id": example.source_id,
        "truth": example.truth,
        "said": example.predicted,
        "probability": p if (p := numbers.probability(example.probability))[0] in "<>" else f"= {p}",
        "votes": f"{example.agreeing} of {example.runs}" if example.runs > 1 else "",
        "picture": look.picture(example.source_id),
    }


def _hard(source: HardSource, place: tuple[float, float], look: Look) -> dict[str, Any]:
    """Describe a source; its position (RA, Dec in degrees) leads to a page that shows the sky there."""
    ra, dec = place
    said = ", ".join(f"{name} ({number})" for name, number in source.answers if name != source.truth)
    return {
        "source_id": source.source_id,
        "truth": source.truth,
        "said": said,
        "votes": f"{source.wrong} of {source.runs}",
        "link": (link := sky_link(ra, dec)),
        "place": f"{ra:.4f} {dec:+.4f}".replace("-", "−") if link else "",
        "picture": look.picture(source.source_id),
    }
