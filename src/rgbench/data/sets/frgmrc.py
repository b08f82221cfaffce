"""FRGMRC: 960 FIRST images in four classes, cleaned by hand (Brand et al. 2023).

No copy was at hand when this was written, so neither the name nor the checksum of the published archive
is known here: it is fetched by hand, its SHA-256 is recorded when it is first read, and every later
reading is compared with that.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import CLASSES, Card, Catalogue, DataSet, Flag
from rgbench.data.leakage import sky_groups
from rgbench.data.own.files import ending_of, file_stem, wrong_size
from rgbench.data.public.archive import read_members
from rgbench.data.public.fetch import cache_folder, check_recorded
from rgbench.data.sets.first_galaxy_data import FIRST_WORDS
from rgbench.errors import DataError
from rgbench.images.fits import ENDINGS as FITS_ENDINGS
from rgbench.images.fits import read_fits
from rgbench.images.preprocess import usable

_SIDE = (300, 300)
CARD = Card(
    name="frgmrc",
    title="FRGMRC-221022: 960 FIRST images, Compact, FRI, FRII, Bent",
    paper="Brand, Grobler, Kleynhans, Vaccari, Prescott & Becker 2023, MNRAS 522, 292",
    doi="10.5281/zenodo.7645530",
    keys=("Brand2023",),
    url="https://zenodo.org/records/7645530",
    licence=f"The words on the record at the DOI count; they were not seen here. {FIRST_WORDS}",
    classes=CLASSES,
    survey="FIRST (VLA, 1.4 GHz)",
    pixel_scale=1.8,
    beam=5.4,
    version="FRGMRC-221022-RELEASE-V1.0",
    defects=(
        "no copy was at hand: the checksum is the one recorded at the first reading, and nothing in this "
        "loader has been tried on the published file",
        "no split is published",
        "what was done to the flux, if anything, is not known: no published image was at hand to be held against FITS "
        "images of the same sources",
    ),
    image_size=_SIDE,
    splits=(),
)
_CLASS_OF = {"COMPACT": "Compact", "COMP": "Compact", "FRI": "FRI", "FRII": "FRII", "BENT": "Bent"}
_RECORD = "frgmrc.sha256"


def load() -> DataSet:
    """Load FRGMRC from the archive that the user has put in the mirror or the cache.

    Returns
    -------
    DataSet
        Images of (300, 300) float32 as in the files, row 0 south; classes from the names, positions from
        the table. Images that cannot be used are in `set_aside`.

    Raises
    ------
    ChecksumError
        If the archive is not the one that was read first.
    DataError
        If there is no archive, with what to do, or it cannot be read.
    """
    path = find_archive()
    check_recorded(path, cache_folder() / _RECORD)
    rows, images = None, {}
    for name, content in read_members(path):
        if name.lower().endswith(".csv"):
            rows = _table(content, f"{path.name}: {name}")
        elif ending_of(name).lower() in FITS_ENDINGS:
            images[file_stem(name)] = read_fits(f"{path.name}: {name}", content=content).pixels
    if rows is None:
        raise DataError(f"{path}: holds no table (.csv) of names and positions")
    return _assemble(rows, images)


def find_archive() -> Path:
    """Find the archive, a single .zip or .tar.gz in the folder ``frgmrc`` of the mirror or the cache.

    Raises
    ------
    DataError
        If there is none, or more than one; the message says what to fetch and where to put it.
    """
    folders = [cache_folder() / "frgmrc"]
    if os.environ.get("RGBENCH_MIRROR"):
        folders.insert(0, Path(os.environ["RGBENCH_MIRROR"]) / "frgmrc")
    for folder in folders:
        found = sorted([*folder.glob("*.zip"), *folder.glob("*.tar.gz")])
        if len(found) > 1:
            raise DataError(f"{folder}: holds {len(found)} archives, which of them is not clear; leave one")
        if found:
            return found[0]
    raise DataError(
        f"frgmrc is not fetched by itself; download it from https://doi.org/{CARD.doi}, pack FITS files and "
        f"table into one .zip if they are not, and put it into {' or '.join(map(str, folders))}"
    )


def _table(content: bytes, source: str) -> list[tuple[str, float, float]]:
    """Give name, RA and Dec (degrees) of each row."""
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
        rows = [(row["NAME"], float(row["RA"]), float(row["DEC"])) for row in reader]
    except (UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{source}: needs columns NAME, RA and DEC in degrees; {error!r}") from error
    for name, _, _ in rows:
        if name.partition("_")[0] not in _CLASS_OF:
            raise DataError(f"{source}: the name {name!r} starts with none of {', '.join(_CLASS_OF)}")
    return rows


def _assemble(rows: list[tuple[str, float, float]], images: dict[str, NDArray[np.float32]]) -> DataSet:
    kept, aside = [], []
    for row in rows:
        image = images.get(row[0])
        reason = "no image in the archive" if image is None else usable(image)
        if image is not None and reason is None:
            reason = wrong_size(image.shape, _SIDE)
        if not reason:
            kept.append(row)
        else:
            aside.append((row[0], reason))
    if not kept:
        raise DataError(f"frgmrc: none of {len(rows)} sources has an image that can be used")
    names = [name for name, _, _ in kept]
    ra, dec = np.array([row[1:] for row in kept], dtype=np.float64).T
    label = [CLASSES.index(_CLASS_OF[name.partition("_")[0]]) for name in names]
    pixels = np.stack([images[name] for name in names])
    blanked = np.where(np.isnan(pixels).any(axis=(1, 2)), int(Flag.BLANKED), 0)
    catalogue = Catalogue(
        np.array(names),
        ra,
        dec,
        np.array(label, dtype=np.int64),
        sky_groups(ra, dec),
        np.array(names),
        blanked,
    )
    return DataSet(CARD, catalogue, pixels, set_aside=tuple(aside))
