"""The commands ``rgbench networks list | show`` and ``rgbench import-keras``; lists load no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rgbench.cli.bars import bar_of
from rgbench.cli.screen import say, warn
from rgbench.data.choices import where
from rgbench.errors import DataError, SpecError
from rgbench.networks import NetworkCard, describe_network, networks
from rgbench.networks.facts import LayerRow, NetworkFacts
from rgbench.networks.notation.analysis import CONVOLUTIONS, analyse
from rgbench.networks.notation.notation import parse_layers

if TYPE_CHECKING:
    from rgbench.data.catalogue import DataSet
    from rgbench.runs.import_keras import ImportChoice

SOURCES = 400
"""Sources whose angular sizes are measured, drawn evenly over the data set."""


@dataclass(frozen=True)
class View:
    """How a network is looked at.

    Attributes
    ----------
    image_size : int
        Side of its input in pixels.
    n_classes : int
        Length of its output.
    data : str
        Data set whose pixel scale and sources it is held against.
    picture : Path or None
        SVG file for the effective receptive field.
    run_id : str or None
        Stored run whose weights the picture shows; fresh ones otherwise.
    store : Path
        Where that run is.
    """

    image_size: int = 300
    n_classes: int = 4
    data: str = "first-galaxy-data"
    picture: Path | None = None
    run_id: str | None = None
    store: Path = Path("rgbench-results")


def list_networks(image_size: int, variants: bool, console: Console) -> None:
    """List the networks with their size at an image size; variants only if wanted."""
    title = f"Networks at {image_size} x {image_size} pixels"
    table = Table(
        "network", "title", "parameters", "MMACs", "receptive field", "stride", box=None, title=title
    )
    items = list(networks())
    hidden = 0
    for name, item in items:
        card = item if isinstance(item, NetworkCard) else None
        if card is not None and card.base and not variants and name.startswith(f"{card.base}-"):
            hidden += 1
            continue
        table.add_row(name, *_numbers(card, image_size))
    console.print(table)
    for name, reason in networks().broken().items():
        warn(console, f"{name}: {reason}")
    if hidden:
        say(console, f"{hidden} variants of these: rgbench networks --all")
    say(console, "One of them: rgbench networks show convxpress")


def _numbers(card: NetworkCard | None, image_size: int) -> tuple[str, str, str, str, str]:
    """Give title, parameters, MMACs, receptive field and stride of a network, from its layers alone."""
    if card is None or not card.layers:
        return (card.title if card else "from another package", "see show", "", "", "")
    try:
        facts = analyse(parse_layers(card.layers), image_size, 4)
    except SpecError as error:
        return (card.title, f"cannot be built: {error}", "", "", "")
    field = f"{facts.receptive_field} px ({100 * facts.coverage:.0f} %)"
    return (card.title, f"{facts.parameters:,}", f"{facts.macs / 1e6:,.1f}", field, str(facts.stride))


def show_network(name: str, view: View, console: Console) -> None:
    """Show one network: paper, layers with their numbers, what it sees of the data set's sources."""
    from rgbench.data.sets import describe_data, load_data

    with bar_of("counting operations"):
        facts = describe_network(name, view.image_size, view.n_classes)
    say(console, f"{facts['title']} ({facts['name']})", style="bold")
    for line in _heading(facts):
        say(console, line)
    scale = float(describe_data(view.data)["pixel_scale"])
    console.print(_layer_table(facts, scale))
    for line in _totals(facts):
        say(console, line)
    with bar_of("measuring sources"):
        dataset = load_data(view.data)
        sizes = _extents(dataset)
    for line in _coverage(facts, scale, sizes, dataset.card.title):
        say(console, line)
    if view.picture is not None:
        effective = _draw(name, view, facts, dataset, scale)
        say(console, effective)


def import_model(path: Path, store_path: Path, choice: ImportChoice, console: Console) -> None:
    """Store a Keras model file as a run, and say how to use it."""
    from rgbench.runs.import_keras import import_keras
    from rgbench.store.store import Store

    record = import_keras(path, Store(store_path), choice)
    network = record.spec.network
    say(
        console, f"{path.name}: {network.name}, {record.cost['parameters']:,} parameters, run {record.run_id}"
    )
    if network.layers:
        line = f"  not one of the registered networks: {network.layers}"
        say(console, line)
    say(console, f"  classes: {', '.join(record.classes)}")
    say(console, f"  rgbench predict FITS_FOLDER --run {record.run_id[:8]} --store {store_path}")


def _heading(facts: NetworkFacts) -> Iterable[str]:
    paper = facts["paper"]
    links = [f"doi:{paper['doi']}"] * bool(paper["doi"]) + [f"arXiv:{paper['arxiv']}"] * bool(paper["arxiv"])
    if paper["citation"]:
        yield f"  {'; '.join([paper['citation'], *links])}"
    if facts["aliases"]:
        yield f"  also called {', '.join(facts['aliases'])}"
    if facts["base"]:
        yield f"  {facts['base']} with: {facts['change']}"
    if facts["notes"]:
        yield f"  {' '.join(facts['notes'].split())}"
    for choice in facts["choices"]:
        yield f"  chosen on validation sources ({where(choice)}): {choice.what}"


def _layer_table(facts: NetworkFacts, scale: float) -> Table:
    rows, columns = facts["image_size"]
    table = Table(
        box=None, title=f"{rows} x {columns} pixels, {facts['n_classes']} classes", title_justify="left"
    )
    table.add_column("layer")
    table.add_column("")
    for head in ("output", "parameters", "MMACs", "sees px", "arcsec", "stride"):
        table.add_column(head, justify="right")
    for layer in facts["layer_table"]:
        field = layer.get("receptive_field")
        sees = (
            [f"{field}", f"{field * scale:.0f}", str(layer["stride"])]
            if field and _is_map(layer)
            else [""] * 3
        )
        table.add_row(
            str(layer["position"]),
            Text(layer["text"]),
            " x ".join(map(str, layer["output_shape"])),
            f"{layer['parameters']:,}" if layer["parameters"] else "",
            f"{layer['macs'] / 1e6:,.2f}" if layer["macs"] else "",
            *sees,
        )
    return table


def _is_map(layer: LayerRow) -> bool:
    return len(layer["output_shape"]) == 3 and layer["kind"] in (
        *CONVOLUTIONS,
        "MaxPool",
        "BlurPool",
        "Branches",
    )


def _totals(facts: NetworkFacts) -> Iterable[str]:
    yield (
        f"{facts['parameters']:,} parameters ({facts['trainable_parameters']:,} trained), "
        f"{facts['macs'] / 1e6:,.1f} million multiply-accumulates per image"
    )
    if facts["flops_2021"] is not None:
        yield f"{facts['flops_2021'] / 1e6:,.1f} million operations by the rule of the 2021 testbed"


def _coverage(facts: NetworkFacts, scale: float, sizes: NDArray[np.float64], title: str) -> Iterable[str]:
    """Say what the last map sees of the image, and of how many sources it sees the whole."""
    low, median, high = np.percentile(sizes, [10, 50, 90])
    yield (
        f"{title}: {scale} arcsec per pixel; angular sizes {low:.0f} to {high:.0f} arcsec (10 to 90 %), "
        f"median {median:.0f}"
    )
    field, share = facts["receptive_field"], facts["coverage"]
    if field is None or share is None:
        yield "Its receptive field is not known from layers; --picture measures the effective one."
        return
    whole = 100 * float((sizes <= field * scale).mean())
    yield (
        f"The last map sees {field} px = {field * scale:.0f} arcsec: {100 * share:.0f} % of the image, "
        f"at least the extent of {whole:.0f} % of the sources; stride {facts['stride']} px"
    )


def _extents(dataset: DataSet) -> NDArray[np.float64]:
    """Give the largest angular size of sources in arcsec, from an even sample of the data set; 0 for none."""
    from rgbench.images.measure import measure_sources

    step = max(1, len(dataset.images) // SOURCES)
    found = measure_sources(dataset.images[::step], dataset.card.pixel_scale, np.nan, unit="")
    return np.asarray(np.nan_to_num(found.largest_angular_size))


def _draw(name: str, view: View, facts: NetworkFacts, dataset: DataSet, scale: float) -> str:
    """Draw the effective receptive field, averaged over real images; say its size."""
    from rgbench.diagnostics.receptive_field import IMAGES, Subject, look
    from rgbench.report.draw.receptive import receptive_figure

    if view.picture is None or view.picture.suffix != ".svg":
        raise SpecError(f"--picture {view.picture}: the ending must be .svg")
    if view.picture.exists():
        raise SpecError(f"--picture {view.picture}: is there already; choose another name")
    subject = Subject(name, view.image_size, view.n_classes, view.store, view.run_id)
    with bar_of("looking at real images"):
        seen = look(subject, dataset)
    figure = receptive_figure(seen.field, scale, facts["receptive_field"], facts["title"])
    try:
        view.picture.write_text(figure, encoding="utf8")
    except OSError as error:
        raise DataError(f"{view.picture}: cannot be written: {error.strerror or error}") from error
    return (
        f"Effective receptive field ({seen.weights}, {IMAGES} real images): "
        f"{seen.size:.0f} px = {seen.size * scale:.0f} arcsec; {view.picture}"
    )
