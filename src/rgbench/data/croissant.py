"""Croissant: what a data set and its split are, as JSON-LD that loaders and search engines of other projects read.

The format is version 1.1 of MLCommons (http://mlcommons.org/croissant/1.1), a vocabulary on top of schema.org. The
archives stay as their authors made them, and are named with address and SHA-256. The table of the sources, which no
archive has in this form, is a CSV file beside the description.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rgbench import references
from rgbench.data.catalogue import Card, DataSet
from rgbench.data.public.fetch import PublicFile, locate, sha256_of
from rgbench.data.sets import data_sets
from rgbench.data.split import SIDES, Split, published_split, source_columns
from rgbench.errors import SpecError
from rgbench.escapes import csv_text, for_file_name, utf8
from rgbench.store.files import check_output, write_bytes, write_json

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
TABLE = "sources.csv"
"""Id of the table of the sources; its file is named after the data set."""
COLUMNS = (
    ("source_id", "sc:Text", "Name of the source, unique in the data set."),
    ("ra", "sc:Float", "Right ascension in degrees, ICRS; empty where it is not known."),
    ("dec", "sc:Float", "Declination in degrees, ICRS; empty where it is not known."),
    ("label", "sc:Text", "Class of the source; empty where it is not known."),
    ("split", "sc:Text", "Side of the split: train, validation or test; empty for sources in none."),
    (
        "group",
        "sc:Integer",
        "Sky group: sources of one group lie close to each other, and stand on one side.",
    ),
    ("image", "sc:Text", "Where the image is: a file, or the place within the archive."),
)
"""Columns of the table: name, type and meaning."""
_SIDE_TYPES = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}
_TYPES = {".zip": "application/zip", ".gz": "application/gzip", ".npz": "application/zip", ".csv": "text/csv"}
_OF_CROISSANT = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileProperty fileObject fileSet format "
    "includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "samplingRate separator source subField transform"
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{name: f"cr:{name}" for name in _OF_CROISSANT.split()},
}
"""The context of the standard; validators compare it key by key."""
_LAYOUT = "1.0.0"
"""Version of the form that descriptions have here."""


@dataclass(frozen=True)
class File:
    """A file that a description names: its id, address (relative for one that lies beside it), and SHA-256."""

    name: str
    url: str
    sha256: str
    kind: str


def describe(
    dataset: DataSet, split: Split | None = None, files: Sequence[File] = (), table: File | None = None
) -> dict[str, Any]:
    """Describe a data set, and one split of it, as a Croissant document.

    Parameters
    ----------
    dataset : DataSet
        Its card tells name, paper, licence, classes and defects.
    split : Split, optional
        Which sources are for training, validation and test; a split of any origin.
    files : sequence of File
        The published files that hold the images.
    table : File, optional
        The table of the sources, as `source_table` writes it. By default one of that content, in a file beside
        the description.

    Returns
    -------
    dict
        Ready for `json.dumps`.

    References
    ----------
    MLCommons Croissant format specification 1.1; Akhtar et al. 2024, arXiv:2403.19546.
    """
    card = dataset.card
    if table is None:
        table = _table_file(card, source_table(dataset, split))
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": card.name,
        "description": _description(dataset, split),
        "license": card.licence or "not known",
        "citeAs": _citation(card),
        "url": card.url or (f"https://doi.org/{card.doi}" if card.doi else "not known"),
        **({"sameAs": f"https://doi.org/{card.doi}"} if card.doi else {}),
        **({"datePublished": year} if (year := _year(card)) else {}),
        "version": f"{_LAYOUT}+{re.sub(r'[^0-9A-Za-z]+', '-', card.version).strip('-') or '1'}",
        "identifier": f"sha256:{dataset.checksum}",
        "keywords": ["astronomy", "radio galaxies", "morphological classification"],
        **({"rai:dataLimitations": list(card.defects)} if card.defects else {}),
        "distribution": [_file_object(file) for file in (*files, table)],
        "recordSet": list(_record_sets(dataset, split)),
    }


def source_table(dataset: DataSet, split: Split | None = None) -> str:
    """Write the table of the sources as CSV, with the columns of `COLUMNS`; without a split, its column is left out.

    Examples
    --------
    >>> import numpy as np
    >>> from rgbench.data.catalogue import Catalogue
    >>> none, position = np.zeros(1, dtype=np.int64), np.array([161.25])
    >>> sources = Catalogue(np.array(["J1045+24"]), position, position, none, none, np.array(["a.fits"]), none)
    >>> print(source_table(DataSet(Card("mine", "My sources"), sources, np.zeros((1, 9, 9)))), end="")
    source_id,ra,dec,label,group,image
    J1045+24,161.25,161.25,Compact,0,a.fits
    """
    columns = source_columns(dataset, split)
    columns["image"] = columns.pop("path")
    names = [name for name, *_ in _columns(split)]
    cells = [[_known(value) for value in columns[name].tolist()] for name in names]
    return csv_text([names, *zip(*cells, strict=True)])


def write_croissant(name: str, split: str | None, folder: Path, overwrite: bool = False) -> tuple[Path, Path]:
    """Write the description of a registered data set, and the table of its sources, to a folder.

    Parameters
    ----------
    name : str
        The data set.
    split : str, optional
        One of its published splits; by default the first, if it has any.
    folder : path
        Made if it is not there.
    overwrite : bool
        Whether files that are there are replaced.

    Returns
    -------
    (path, path)
        The description, ``NAME.croissant.json``, and the table, ``NAME.csv``.

    Raises
    ------
    SpecError
        If there is no such data set or split, or a file is there already.
    DataError
        If the files of the data set cannot be had: their checksums are taken from what is here.
    """
    entry = data_sets().get(name)
    stem = for_file_name(entry.card.name)
    paths = (folder / f"{stem}.croissant.json", folder / f"{stem}.csv")
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"--out {folder}: is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        check_output(path, overwrite)
    dataset = entry.load()
    chosen = split or next(iter(dataset.splits), None)
    parted = published_split(dataset, chosen) if chosen else None
    content = source_table(dataset, parted)
    files = [_public(file) for file in entry.files]
    document = describe(dataset, parted, files, _table_file(entry.card, content))
    write_bytes(paths[1], _bytes(content))
    write_json(paths[0], document)
    return paths


def _bytes(content: str) -> bytes:
    return utf8(content).encode()


def _table_file(card: Card, content: str) -> File:
    checksum = hashlib.sha256(_bytes(content)).hexdigest()
    return File(TABLE, f"{for_file_name(card.name)}.csv", checksum, "text/csv")


def _public(file: PublicFile) -> File:
    checksum = file.sha256 or sha256_of(locate(file))
    return File(file.name, file.url, checksum, _TYPES.get(Path(file.name).suffix, "application/octet-stream"))


def _file_object(file: File) -> dict[str, str]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.url,
        "encodingFormat": file.kind,
        "sha256": file.sha256,
    }


def _columns(split: Split | None) -> list[tuple[str, str, str]]:
    return [column for column in COLUMNS if split is not None or column[0] != "split"]


def _record_sets(dataset: DataSet, split: Split | None) -> Iterator[dict[str, Any]]:
    yield _words(
        "classes", "sc:Enumeration", "The classes, in the order of a network's outputs.", dataset.classes
    )
    if split is not None:
        yield _sides(split)
    yield {
        "@type": "cr:RecordSet",
        "@id": "sources",
        "name": "sources",
        "description": "One record for each source.",
        "key": {"@id": "sources/source_id"},
        "field": [_field(*column) for column in _columns(split)],
    }


def _field(name: str, kind: str, meaning: str) -> dict[str, Any]:
    refers = {"label": "classes/name", "split": "splits/name"}.get(name)
    return {
        "@type": "cr:Field",
        "@id": f"sources/{name}",
        "name": name,
        "description": meaning,
        "dataType": kind,
        "source": {"fileObject": {"@id": TABLE}, "extract": {"column": name}},
        **({"references": {"field": {"@id": refers}}} if refers else {}),
    }


def _words(name: str, kind: str, meaning: str, values: Sequence[str]) -> dict[str, Any]:
    """Give a record set that lists values, each a record with a name."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": meaning,
        "dataType": kind,
        "key": {"@id": f"{name}/name"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/name",
                "name": "name",
                "description": meaning,
                "dataType": "sc:Text",
            }
        ],
        "data": [{f"{name}/name": value} for value in values],
    }


def _sides(split: Split) -> dict[str, Any]:
    found = [side for side in SIDES if (split.assignment == side).any()]
    listed = _words("splits", "cr:Split", f"The sides of the split: {split.name}.", found)
    url = {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": "sc:URL"}
    url["description"] = "What the side is for, in the words of the standard."
    data = [{"splits/name": side, "splits/url": _SIDE_TYPES[side]} for side in found]
    return {**listed, "field": [*listed["field"], url], "data": data}


def _description(dataset: DataSet, split: Split | None) -> str:
    card = dataset.card
    rows, columns = dataset.images.shape[1:3]
    said = [
        f"{card.title}.",
        f"{len(dataset.catalogue)} sources, images of {columns} x {rows} pixels.",
        f"Survey: {card.survey}." if card.survey else "",
        f"Version of the labels: {card.version}.",
        f"Pixels: {card.image_model}." if card.image_model is not None else "",
        f"Split: {split.name}." if split else "",
    ]
    if split is not None:
        counts = [f"{len(split.indices(side))} {side}" for side in SIDES]
        why = "in a sky group that would be divided, or without signal"
        said.append(f"{', '.join(counts)}; {len(split.removed)} taken out: {why}.")
    return " ".join(filter(None, said))


def _citation(card: Card) -> str:
    return "\n\n".join(_entries(card)) or card.paper or "not known"


def _entries(card: Card) -> list[str]:
    """Give the BibTeX entries of a data set; another package's may name keys that are not here."""
    library = references.library()
    return [library[key] for key in card.keys if key in library]


def _year(card: Card) -> str:
    """Give the year of the first publication that is known; "" if none is."""
    years = (re.search(r"year = \{(\d{4})\}", entry) for entry in _entries(card))
    return next((year[1] for year in years if year), "")


def _known(value: Any) -> Any:
    """Give the value of a cell, None, an empty one, for NaN."""
    return value if value == value else None
