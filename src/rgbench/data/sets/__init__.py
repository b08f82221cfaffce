"""The data sets by name; one file each holds a card and a loader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from rgbench.data.catalogue import Card, DataSet
from rgbench.data.sets import first_galaxy_data, fr_deep, frgmrc, ma2019, mirabest, mnist
from rgbench.registry import Registry


@dataclass(frozen=True)
class Entry:
    """A registered data set: its card and how it is loaded."""

    card: Card
    load: Callable[[], DataSet]


@cache
def data_sets() -> Registry[Entry]:
    """Give the registry of data sets; others join it by entry points ``rgbench.data``."""
    registry: Registry[Entry] = Registry("data set", entry_point_group="rgbench.data")
    registry.register(first_galaxy_data.CARD.name, Entry(first_galaxy_data.CARD, first_galaxy_data.load))
    for several in (mirabest, fr_deep, ma2019):
        for name, card in several.CARDS.items():
            registry.register(name, Entry(card, several.LOADERS[name]))
    registry.register(frgmrc.CARD.name, Entry(frgmrc.CARD, frgmrc.load))
    registry.register(mnist.CARD.name, Entry(mnist.CARD, mnist.load))
    return registry


def data_names() -> list[str]:
    """List the names of the data sets."""
    return data_sets().names()


def describe_data(name: str) -> dict[str, Any]:
    """Give the card of a data set as a dictionary."""
    return asdict(data_sets().get(name).card)


def load_data(name: str) -> DataSet:
    """Load a data set by its name.

    Raises
    ------
    SpecError
        If no data set has that name.
    DataError
        If its files cannot be had or read.
    """
    return data_sets().get(name).load()
