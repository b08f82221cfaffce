"""The data sets by name; one file each holds a card and a loader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any

from rgbench.data.catalogue import Card, DataSet
from rgbench.data.overlap import Labelled
from rgbench.data.public.fetch import PublicFile
from rgbench.data.sets import (
    first_consensus,
    first_galaxy_data,
    fr_deep,
    frgmrc,
    lrg_first,
    ma2019,
    mirabest,
    mnist,
)
from rgbench.errors import SpecError
from rgbench.registry import Registry


@dataclass(frozen=True)
class Entry:
    """A registered data set: its card, how it is loaded, from which files, and its labels.

    `files` are those that `rgbench data fetch` can fetch. `labels` gives the whole labelled catalogue where it
    is more than the data set: of a catalogue without images, or with classes (hybrids) that are left out. `sources`
    gives names, positions and splits where they are known without the images.
    """

    card: Card
    load: Callable[[], DataSet]
    files: tuple[PublicFile, ...] = ()
    labels: Callable[[], Labelled] | None = None
    sources: Callable[[], DataSet] | None = None


@cache
def data_sets() -> Registry[Entry]:
    """Give the registry of data sets; others join it by entry points ``rgbench.data`` or `rgbench.register`."""
    registry = Registry("data set", "rgbench.data", _entry)
    entries = [
        Entry(
            first_galaxy_data.CARD,
            first_galaxy_data.load,
            first_galaxy_data.FILES,
            sources=first_galaxy_data.sources,
        ),
        *(
            Entry(card, partial(mirabest.load, name), mirabest.files(name), partial(mirabest.labelled, name))
            for name, card in mirabest.CARDS.items()
        ),
        *(
            Entry(card, partial(fr_deep.load, name), fr_deep.files(name))
            for name, card in fr_deep.CARDS.items()
        ),
        *(
            Entry(card, partial(ma2019.load, name), ma2019.files(name), partial(ma2019.labelled, name))
            for name, card in ma2019.CARDS.items()
        ),
        Entry(lrg_first.CARD, lrg_first.load, (*first_galaxy_data.FILES, *ma2019.files("lrg"))),
        Entry(first_consensus.CARD, first_consensus.load, first_galaxy_data.FILES),
        Entry(frgmrc.CARD, frgmrc.load),
        Entry(mnist.CARD, mnist.load, tuple(mnist.FILES.values())),
    ]
    for entry in entries:
        registry.register(entry.card.name, entry)
    return registry


def _entry(name: str, item: Any) -> Entry:
    """Check what was registered; `SpecError` says what is legal."""
    if not isinstance(item, Entry):
        raise SpecError(
            f"data set {name!r} is a {type(item).__name__}; an Entry, with a card and a loader, is legal"
        )
    return item


def data_names() -> list[str]:
    """List the names of the data sets.

    Returns
    -------
    list of str
        Sets that ship, and those that other packages have registered.
    """
    return data_sets().names()


def describe_data(name: str) -> dict[str, Any]:
    """Give the card of a data set as a dictionary.

    Parameters
    ----------
    name : str
        One of `data_names`.

    Returns
    -------
    dict
        The attributes of `rgbench.data.catalogue.Card`.

    Raises
    ------
    SpecError
        If no data set has that name.
    """
    return asdict(data_sets().get(name).card)


def load_data(name: str) -> DataSet:
    """Load a data set by its name.

    Parameters
    ----------
    name : str
        One of `data_names`.

    Returns
    -------
    DataSet
        Sources, labels, published splits and raw images, ``uint8`` or ``float32`` of shape (n, rows, columns), row 0
        south.

    Raises
    ------
    SpecError
        If no data set has that name.
    DataError
        If its files cannot be had or read.
    """
    return data_sets().get(name).load()


def load_labels(name: str) -> Labelled:
    """Load the labelled catalogue of a data set, hybrids and sources without images included.

    Raises
    ------
    SpecError
        If no data set has that name.
    DataError
        If its files cannot be had or read.
    """
    entry = data_sets().get(name)
    if entry.labels is not None:
        return entry.labels()
    dataset = entry.load()
    return Labelled(entry.card.name, dataset.classes, dataset.catalogue)
