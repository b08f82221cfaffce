"""Gather what all catalogues call each source, from their files: entries at one position are one source."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import numpy as np

from rgbench.data.catalogue import CLASSES, Catalogue
from rgbench.data.consensus import BETWEEN, ORIGINS, UNSURE, VOTES_NEEDED, Votes
from rgbench.data.leakage import linked_groups, sky_links
from rgbench.data.overlap import SAME
from rgbench.data.own.angles import name_of_position, position_in_name
from rgbench.data.public.fetch import PublicFile, locate
from rgbench.data.sets import first_galaxy_data, ma2019, mirabest
from rgbench.errors import DataError

_PARENTS = {
    "Gendre": "CoNFIG",
    "Capetti2017a": "FRCAT",
    "Capetti2017b": "FRCAT",
    "Baldi2018": "FRCAT",
    "Proctor_Tab1": "Proctor",
    "MiraBest": "MiraBest",
}
_LRG_ORIGINS = {
    "CoNFIG": "CoNFIG",
    "FR0CAT": "FRCAT",
    "FRICAT": "FRCAT",
    "FRIICAT": "FRCAT",
    "Proctor 2011": "Proctor",
}
REMOVED = PublicFile(
    name="galaxy_data_removed.csv",
    mirror_path="RadioGalaxyDataset/meta/galaxy_data_removed.csv",
    url="https://raw.githubusercontent.com/floriangriese/RadioGalaxyDataset/"
    "f1448eb109f2b870821a110aa2a83b21b456bdc8/meta/galaxy_data_removed.csv",
    sha256="7241efffdf7c3445b1e07668e192993ce52761ec8d0bd3c1687303d6c30131b7",
)
"""Entries that first-galaxy-data left out as another catalogue has the source too, with the label of each."""
_MIRABEST = "mirabest-full"
FILES = (
    *first_galaxy_data.FILES,
    REMOVED,
    *mirabest.files(_MIRABEST),
    *ma2019.files("lrg"),
    *ma2019.files("unlrg"),
)
"""The files that the votes are gathered from."""
_NATIVE = {"0": "FRI", "1": "FRII", "2": "Compact", "3": "Bent"}


def gather_votes() -> Votes:
    """Gather the votes from the files of all catalogues.

    Returns
    -------
    Votes
        Every source of first-galaxy-data, in its order, then every other source that two origins or more
        labelled, by right ascension.

    Raises
    ------
    ChecksumError
        If a file is not the published one.
    DataError
        If a file is nowhere to be had, or cannot be read.

    Notes
    -----
    Entries within 10 arcsec are one source, friends of friends. The position is that of first-galaxy-data, or of the
    first entry in the order CoNFIG, FRCAT, Proctor, MiraBest, unLRG. FR-DEEP is not asked: its labels are those of
    CoNFIG and FRICAT.
    """
    images = first_galaxy_data.load().catalogue
    entries = [*_of_images(images), *_of_removed(), *_of_lrg(), *_of_mirabest(), *_of_unlrg()]
    entries[len(images) :] = sorted(
        entries[len(images) :], key=lambda entry: list(ORIGINS).index(entry.origin)
    )
    ra, dec = np.array([(entry.ra, entry.dec) for entry in entries]).T
    group = linked_groups(len(entries), [sky_links(ra, dec, SAME)])
    members: dict[int, list[int]] = {}
    for row, number in enumerate(group.tolist()):
        members.setdefault(number, []).append(row)
    sources = [[entries[row] for row in rows] for rows in members.values()]
    pictured = [source for source in sources if source[0].image]
    others = [
        source
        for source in sources
        if not source[0].image and len({entry.origin for entry in source}) >= VOTES_NEEDED
    ]
    return _table(pictured + sorted(others, key=lambda source: (source[0].ra, source[0].dec)))


@dataclass(frozen=True)
class _Entry:
    """One row of one compilation: who labelled the source, where it is, the label, and its name if it is pictured."""

    origin: str
    ra: float
    dec: float
    word: str
    image: str = ""


def _of_images(images: Catalogue) -> list[_Entry]:
    return [
        _Entry(_PARENTS[parent], ra, dec, CLASSES[label], name)
        for parent, ra, dec, label, name in zip(
            images.extra["parent"].tolist(),
            images.ra.tolist(),
            images.dec.tolist(),
            images.label.tolist(),
            images.source_id.tolist(),
            strict=True,
        )
    ]


def _of_removed() -> list[_Entry]:
    text = locate(REMOVED).read_text(encoding="utf-8-sig")
    label, parent = "Type (FRI=0,FRII=1,Compact=2,Bent=3)", "Source"
    entries = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        if row.get(parent) not in _PARENTS or row.get(label) not in _NATIVE:
            raise DataError(
                f"{REMOVED.name}: line {number}: found {row.get(parent)!r} and {row.get(label)!r}; legal are "
                f"{', '.join(_PARENTS)} in {parent!r} and {', '.join(_NATIVE)} in {label!r}"
            )
        position = first_galaxy_data.parse_position(row["coord_str"])
        entries.append(_Entry(_PARENTS[row[parent]], *position, _NATIVE[row[label]]))
    return entries


def _of_lrg() -> list[_Entry]:
    lrg = ma2019.labelled("lrg").catalogue
    columns = (lrg.extra["origin"].tolist(), lrg.ra.tolist(), lrg.dec.tolist(), lrg.label.tolist())
    return [
        _Entry(_LRG_ORIGINS[origin], ra, dec, CLASSES[label])
        for origin, ra, dec, label in zip(*columns, strict=True)
        if origin in _LRG_ORIGINS
    ]


def _of_mirabest() -> list[_Entry]:
    known = mirabest.labelled(_MIRABEST).catalogue
    columns = (known.extra["native"].tolist(), known.ra.tolist(), known.dec.tolist())
    return [_Entry("MiraBest", ra, dec, _mirabest_word(code)) for code, ra, dec in zip(*columns, strict=True)]


def _mirabest_word(code: str) -> str:
    """Give the word of a native code of three digits: class, and whether it is certain."""
    name = mirabest.common_class(code)
    return f"{name}{UNSURE}" if code[1] == "1" and name in ("FRI", "FRII") else name


def _of_unlrg() -> list[_Entry]:
    known = ma2019.labelled("unlrg").catalogue
    columns = (known.extra["certainty"].tolist(), known.ra.tolist(), known.dec.tolist(), known.label.tolist())
    return [
        _Entry("unLRG", ra, dec, CLASSES[label] + ("" if certainty == "certain" else UNSURE))
        for certainty, ra, dec, label in zip(*columns, strict=True)
    ]


def _table(sources: list[list[_Entry]]) -> Votes:
    words = {
        origin: [
            BETWEEN.join(sorted({entry.word for entry in source if entry.origin == origin}))
            for source in sources
        ]
        for origin in ORIGINS
    }
    names = [source[0].image or name_of_position(source[0].ra, source[0].dec) for source in sources]
    position = np.array([position_in_name(name) for name in names])
    return Votes(
        np.array(names),
        position[:, 0],
        position[:, 1],
        np.array([source[0].image for source in sources]),
        {origin: np.array(column) for origin, column in words.items()},
    )
