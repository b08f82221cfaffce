"""The source table, the card of a data set, and the data set itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError
from rgbench.images.flags import Flag

if TYPE_CHECKING:
    from rgbench.images.measure import Measures

__all__ = ["CLASSES", "Card", "Catalogue", "DataSet", "Flag"]

CLASSES = ("Compact", "FRI", "FRII", "Bent")
"""The classes of the common task, in the order that is used everywhere."""


@dataclass(frozen=True)
class Catalogue:
    """The source table: row i of every column is one source.

    Attributes
    ----------
    source_id : ndarray of str, shape (n,)
        Unique names.
    ra, dec : ndarray of float64, shape (n,)
        Position in degrees, ICRS; NaN where it is not known.
    label : ndarray of int64, shape (n,)
        Class as an index into the data set's classes, -1 where it is not known.
    group : ndarray of int64, shape (n,)
        Sky group: sources of one group never stand on two sides of a split.
    path : ndarray of str, shape (n,)
        File, or place within the data set's archive.
    flags : ndarray of int64, shape (n,)
        Bits of `Flag`.
    extra : dict of str to ndarray
        Further columns of the data set, e.g. the parent catalogue.
    """

    source_id: NDArray[Any]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    label: NDArray[np.int64]
    group: NDArray[np.int64]
    path: NDArray[Any]
    flags: NDArray[np.int64]
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.source_id)
        for name in ("ra", "dec", "label", "group", "path", "flags"):
            if len(getattr(self, name)) != n:
                raise DataError(f"catalogue: column {name} has {len(getattr(self, name))} rows, expected {n}")
        names, counts = np.unique(self.source_id, return_counts=True)
        if (counts > 1).any():
            raise DataError(
                f"catalogue: the source {names[counts > 1][0]!r} stands there {counts.max()} times"
            )

    def __len__(self) -> int:
        return len(self.source_id)

    def take(self, index: NDArray[Any]) -> Catalogue:
        """Give the rows of an index or boolean mask."""
        columns: dict[str, Any] = {
            name: getattr(self, name)[index]
            for name in ("source_id", "ra", "dec", "label", "group", "path", "flags")
        }
        return replace(self, **columns, extra={key: value[index] for key, value in self.extra.items()})

    def places(self) -> list[str]:
        """Give what a message calls each source: its name, and its file where that is another."""
        pairs = zip(self.source_id.tolist(), self.path.tolist(), strict=True)
        return [f"{name} ({path})" if path and path != name else str(name) for name, path in pairs]

    def with_measures(self, measures: Measures) -> Catalogue:
        """Give the catalogue with what was measured on its images, in the order of its rows.

        Parameters
        ----------
        measures : Measures
            As from `rgbench.images.measure.measure_sources`. Its columns become further columns, in the units
            of `rgbench.images.measure.MEASURED`, in place of any of the same name; its flags are added.

        Raises
        ------
        DataError
            If the numbers of sources differ.
        """
        if len(measures.flags) != len(self):
            raise DataError(f"catalogue: {len(measures.flags)} measured images for {len(self)} sources")
        return replace(self, flags=self.flags | measures.flags, extra={**self.extra, **measures.columns()})


@dataclass(frozen=True)
class ImageModel:
    """What was done to the flux before it became the images of a data set.

    Attributes
    ----------
    clip : float
        Level in units of the noise below which all was set to 0.
    subtracted : bool
        Whether the level was then subtracted, so that the faintest pixels that are left lie just above 0.
    bits : int
        Bits of a pixel, each image scaled by itself to the whole range; 0 for flux as it is.

    Examples
    --------
    >>> print(ImageModel(clip=3.0, subtracted=True, bits=8))
    flux minus 3 times the noise, 0 below; each image scaled to 8 bits
    """

    clip: float
    subtracted: bool
    bits: int = 0

    def __str__(self) -> str:
        level = f"{self.clip:g} times the noise"
        flux = f"flux minus {level}, 0 below" if self.subtracted else f"flux, 0 below {level}"
        return f"{flux}; each image scaled to {self.bits} bits" if self.bits else flux


@dataclass(frozen=True)
class Card:
    """What a data set is: who made it, from what, under which words, in which pixels.

    Attributes
    ----------
    name, title, paper, doi, url, licence : str
        Licence holds the owners' own words.
    classes : tuple of str
        Class names, in the order of the labels.
    survey : str
        The survey the images come from.
    pixel_scale : float
        Arcseconds per pixel; NaN where it is not known.
    beam : float
        Full width at half maximum of the synthesised beam in arcseconds; NaN where it is not known.
    image_size : (int, int), optional
        Rows and columns of the images, where all of them have the same and the loader sees to it.
    splits : tuple of str, optional
        Names of its published splits, where the card tells them.
    image_model : ImageModel, optional
        What was done to the flux, where that is known and was checked against FITS images of the same sources.
    version : str
        Version of the labels.
    defects : tuple of str
        What is known to be wrong.
    agreement : float
        Share of its sources to which another catalogue, labelled apart, gives the same class, of those at the same
        position; 0 where it is not known. It bounds what a network can reach.
    agreement_with : str
        That catalogue, and how many sources.
    keys : tuple of str
        Its publications, by their keys in ``references.bib``.
    votes : bool
        Whether its sources stand in the table of what all catalogues call them (`rgbench.data.consensus`).
    """

    name: str
    title: str
    paper: str = ""
    doi: str = ""
    url: str = ""
    licence: str = ""
    classes: tuple[str, ...] = CLASSES
    survey: str = ""
    pixel_scale: float = float("nan")
    beam: float = float("nan")
    version: str = "1"
    defects: tuple[str, ...] = ()
    agreement: float = 0.0
    agreement_with: str = ""
    keys: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    splits: tuple[str, ...] | None = None
    image_model: ImageModel | None = None
    votes: bool = False


@dataclass(frozen=True)
class DataSet:
    """Sources and their images.

    Attributes
    ----------
    card : Card
        What it is.
    catalogue : Catalogue
        The sources.
    images : ndarray of uint8 or float32, shape (n, h, w)
        Raw images; row 0 is the south edge.
    splits : dict of str to ndarray of str
        Published splits: "train", "validation", "test" or "" for each source.
    set_aside : tuple of (str, str)
        Name and reason of each source that could not be used.
    remarks : tuple of (str, str)
        Name of a source ("" for all), and what was guessed of it, or is odd about where it lies.
    """

    card: Card
    catalogue: Catalogue
    images: NDArray[Any]
    splits: dict[str, NDArray[Any]] = field(default_factory=dict)
    set_aside: tuple[tuple[str, str], ...] = ()
    remarks: tuple[tuple[str, str], ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return self.card.classes

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of what a run depends on: names, labels, groups, published splits and pixels."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        digest.update("\n".join(self.catalogue.source_id.tolist()).encode())
        for column in (self.catalogue.label, self.catalogue.group, self.images):
            digest.update(np.ascontiguousarray(column).reshape(-1).view(np.uint8).data)
        for name in sorted(self.splits):
            digest.update("\n".join([name, *self.splits[name].tolist()]).encode())
        return digest.hexdigest()
