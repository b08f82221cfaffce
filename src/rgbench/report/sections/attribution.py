"""What networks look at: maps over sources, embeddings, and how much of a source they see."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.report.blocks import Figure, LeftOut, Section, Table
from rgbench.report.cells import NO_CELL, Cell, number
from rgbench.report.draw import svg
from rgbench.report.draw.figures import WIDTH
from rgbench.report.draw.overlay import overlay
from rgbench.report.draw.plots import Axes, Line, lines_figure
from rgbench.report.draw.scatter import scatter_figure
from rgbench.report.material import Runs
from rgbench.store.attributions import Looks

SHOWN = 3
"""Networks of which maps and embeddings are drawn, from the top of the ranking."""
ACROSS = 4
"""Pictures in a row."""
FRESH = 0.5
"""A rank correlation above which a map tells of the image more than of what the network has learnt."""
_GAP = 6
_UNITS = {
    "occlusion": "Orange: the network's evidence for the class goes where this is hidden; blue: it grows",
    "other": "Orange: what raises the logit of the class",
}


def section(runs: Runs) -> Section | LeftOut:
    """Show what is kept of the runs' looks (``rgbench explain``)."""
    looks = {
        r.spec.network.name: runs.beside.looks[r.run_id]
        for r in reversed(runs.complete)
        if r.run_id in runs.beside.looks
    }
    looks = {name: looks[name] for name in runs.networks if name in looks}
    if not looks:
        return LeftOut("What the networks look at", "run rgbench explain")
    first = next(iter(looks.values()))
    shown = dict(list(looks.items())[:SHOWN])
    sizes = _sizes(runs, first)
    fields = _fields(runs, looks, sizes)
    return Section(
        anchor="looks",
        menu="Attribution",
        title="What do they look at?",
        finding=_finding(looks),
        sentences=tuple(filter(None, (_separations(looks), _reaches(looks, sizes), _sanity(looks)))),
        figures=(
            *(_maps(name, each) for name, each in shown.items()),
            *(_plane(name, each) for name, each in shown.items()),
            *([_size_figure(looks, sizes)] if len(sizes) and np.isfinite(first.pixel_scale) else []),
        ),
        tables=(fields,),
        cites=("Zeiler2014", "Selvaraju2017", "Draelos2020", "Adebayo2018", "Luo2016"),
        notes=(
            f"Maps: {first.method}, of the best model of one run of each network, for the class that it gives. Of "
            "each class, the source that most runs recognise and the one that fewest runs recognise are shown. A "
            "map shows what moves the answer, not whether the answer is right. A map that stays the same with "
            "untrained weights shows the image only (Adebayo et al. 2018); the rank correlation tests that.",
            "Embedding: the input of the last layer with weights, in the plane of its two largest principal "
            "components. Effective receptive field: the side of a square as large as the area that moves the middle "
            "of the last map (above 4.55 % of the peak; Luo et al. 2016), on test images. The middle is four pixels "
            "where the map has an even side. The theoretical field is what one pixel of the map can see at all, so "
            "that the effective field of four pixels may be larger. The whole map sees more.",
        ),
    )


def _finding(looks: Mapping[str, Looks]) -> str:
    """Say how far the leading network sees, where that is known."""
    name, first = next(iter(looks.items()))
    reach = first.field_pixels * first.pixel_scale
    if not np.isfinite(reach):
        return f"Maps of what moves the answers of {numbers.listed(list(looks))}."
    return (
        f"Maps of what moves their answers; a point of the last map of {name} sees about {reach:.0f} arcsec."
    )


def _maps(name: str, looks: Looks) -> Figure:
    """Draw a network's maps over the sources, each with its class and the answer."""
    side = (WIDTH - (ACROSS - 1) * _GAP) / ACROSS
    parts, rows = [], []
    for i, source in enumerate(looks.shown.tolist()):
        x, y = (i % ACROSS) * (side + _GAP), (i // ACROSS) * (side + 32)
        said = str(looks.classes[looks.target[i]])
        true = str(looks.classes[looks.label[i]]) if looks.label[i] >= 0 else "not known"
        address = overlay(looks.inputs[i], looks.maps[i])
        parts.append(svg.image((x, y, side, side), address, f"{source}: {true}, taken for {said}"))
        parts.append(svg.text(x, y + side + 13, true if true == said else f"{true} → {said}", "tick"))
        rows.append((source, true, said, float(looks.likeness[i])))
    height = -(-len(looks.shown) // ACROSS) * (side + 32)
    words = "; ".join(f"{source}, {true}, taken for {said}" for source, true, said, _ in rows)
    unit = _UNITS.get(looks.method, _UNITS["other"])
    caption = f"{unit}. Beneath: the class, and after an arrow the answer where it is another. North is up."
    columns = ("source", "class", "answer", "rank_correlation_with_fresh_weights")
    drawing = svg.drawing(WIDTH, height, parts, f"Maps of {name}: {words}")
    return Figure(f"maps-{name}", f"Where {name} looks", drawing, caption, columns, tuple(rows))


def _plane(name: str, looks: Looks) -> Figure:
    first, second = (numbers.percent(float(share), 0) for share in looks.explained)
    axes = (f"first component, {first} % of the variance", f"second, {second} %")
    classes = [str(each) for each in looks.classes]
    near = numbers.percent(looks.neighbour, 0)
    words = f"Test sources in the embedding of {name}; of {near} % the nearest neighbour has the same class"
    drawing = scatter_figure(
        np.asarray(looks.points, dtype=np.float64), looks.source_label, classes, axes, words
    )
    rows = tuple(
        (str(source), classes[kind] if kind >= 0 else "", float(x), float(y))
        for source, kind, (x, y) in zip(looks.sources, looks.source_label, looks.points, strict=True)
    )
    caption = "One mark per test source, by its class. What lies together here may lie apart in the other components."
    return Figure(
        f"embedding-{name}",
        f"Last hidden layer of {name}",
        drawing,
        caption,
        ("source", "class", "x", "y"),
        rows,
    )


def _separations(looks: Mapping[str, Looks]) -> str:
    n = len(next(iter(looks.values())).sources)
    shares = ", ".join(f"{name} {numbers.percent(each.neighbour, 0)} %" for name, each in looks.items())
    of = numbers.counted(n, "test source")
    return (
        f"In the last hidden layer, the nearest neighbour of a source is of its class for this share of {of}: "
        f"{shares}."
    )


def _sanity(looks: Mapping[str, Looks]) -> str:
    """Say whether maps change when the weights are drawn anew."""
    known = {name: each.likeness[np.isfinite(each.likeness)] for name, each in looks.items()}
    medians = {name: float(np.median(values)) for name, values in known.items() if len(values)}
    if not medians:
        return ""
    listed = ", ".join(f"{name} " + f"{middle:.2f}".replace("-", "−") for name, middle in medians.items())
    image = [name for name, middle in medians.items() if middle > FRESH]
    verdict = "so that the maps show what was learnt"
    if image:
        verdict = f"so that the maps of {', '.join(image)} show the image more than what was learnt"
    return (
        "Are the maps about what was learnt? Their median rank correlation with the maps of an untrained network of "
        f"the same kind is {listed}, {verdict}."
    )


def _sizes(runs: Runs, looks: Looks) -> NDArray[np.float64]:
    """Give the angular sizes of the test sources in arcsec: published ones, else measured; none if not known."""
    if runs.measured is None:
        return np.zeros(0)
    catalogue = runs.measured[0]
    catalogue = catalogue.take(np.isin(catalogue.source_id, looks.sources))
    for key in ("angular_size", "largest_angular_size"):
        if key in catalogue.extra:
            values = np.asarray(catalogue.extra[key], dtype=np.float64)
            return np.sort(values[np.isfinite(values)])
    return np.zeros(0)


def _reaches(looks: Mapping[str, Looks], sizes: NDArray[np.float64]) -> str:
    """Say how far the middle of the last map sees, and how many sources are larger."""
    reach = {name: each.field_pixels * each.pixel_scale for name, each in looks.items()}
    if not len(sizes) or not np.isfinite(list(reach.values())).all():
        return ""
    listed = ", ".join(
        f"{name} {arcsec:.0f} arcsec ({numbers.percent(float((sizes > arcsec).mean()), 0)} % of the test sources "
        "are larger)"
        for name, arcsec in reach.items()
    )
    return f"The middle of the last feature map sees this much of the sky (its effective receptive field): {listed}."


def _size_figure(looks: dict[str, Looks], sizes: NDArray[np.float64]) -> Figure:
    """Draw the share of sources above each size, with the effective fields of the networks upright in it."""
    share = 100 * (1 - np.arange(len(sizes)) / len(sizes))
    lines = [Line("sources", sizes, share)]
    rows: list[tuple[str, float, float]] = [
        ("sources", float(s), float(p)) for s, p in zip(sizes, share, strict=True)
    ]
    for name, each in looks.items():
        reach = each.field_pixels * each.pixel_scale
        lines.append(
            Line(name, np.array([reach, reach]), np.array([0.0, 100 * float((sizes > reach).mean())]))
        )
        rows.append((name, reach, 100 * float((sizes > reach).mean())))
    label = f"Share of test sources above an angular size, with the effective receptive fields of {', '.join(looks)}"
    drawing = lines_figure(
        lines, Axes("angular size / arcsec", "sources larger / %", y_range=(0, 100)), label
    )
    words = "Upright: effective receptive field of the middle of the last map; above it, the sources that are larger."
    return Figure(
        "field-and-size",
        "Receptive field and source size",
        drawing,
        words,
        ("name", "arcsec", "larger_percent"),
        tuple(rows),
    )


def _fields(runs: Runs, looks: dict[str, Looks], sizes: NDArray[np.float64]) -> Table:
    theory = {row.network: row.cost.get("receptive_field", float("nan")) for row in runs.main.rows}
    rows = []
    for name, each in looks.items():
        scale, reach = each.pixel_scale, each.field_pixels * each.pixel_scale
        larger = float((sizes > reach).mean()) if len(sizes) and np.isfinite(reach) else None
        rows.append(
            (
                Cell(name),
                _arcsec(reach),
                _arcsec(theory.get(name, float("nan")) * scale),
                _arcsec(each.field.shape[0] * scale),
                number(larger, numbers.PERCENT),
                number(each.neighbour, numbers.PERCENT),
            )
        )
    columns = (
        "network",
        "effective field / arcsec",
        "theoretical field / arcsec",
        "image / arcsec",
        "sources larger %",
        "nearest neighbour of its class %",
    )
    return Table("looks", "What each network sees", columns, tuple(rows))


def _arcsec(value: float) -> Cell:
    return Cell(f"{value:.0f}", value) if np.isfinite(value) else NO_CELL
