"""The embedded default: 2158 FIRST cutouts in four classes (Griese et al. 2023).

It installs with pip (package ``firstgalaxydata``); the archive inside is read by its path, the package
is never imported. Where it is not installed, the same file is looked for in the mirror and the cache.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from importlib import resources
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import CLASSES, Card, Catalogue, DataSet, Flag, ImageModel
from rgbench.data.leakage import sky_groups
from rgbench.data.own.angles import name_of_position, position_in_name
from rgbench.data.public.fetch import PublicFile, locate
from rgbench.errors import DataError

FIRST_WORDS = (
    "Images: The FIRST project team: R.J. Becker, D.H. Helfand, "
    "R.L. White, M.D. Gregg, S.A. Laurent-Muehleisen. Copyright: 1994, University of California. "
    "Permission is granted for publication and reproduction of this material for scholarly, "
    "educational, and private non-commercial use."
)
"""The owners' words on every FIRST image."""
_SIDE = (300, 300)
CARD = Card(
    name="first-galaxy-data",
    title="RadioGalaxyDataset: 2158 FIRST cutouts, Compact, FRI, FRII, Bent",
    paper="Griese, Kummer, Connor, Brueggen & Rustige 2023, Data in Brief 47, 108974",
    doi="10.5281/zenodo.7120632",
    keys=("Griese2023",),
    url="https://zenodo.org/record/7689127",
    licence=f"Code: MIT, (c) 2022 Florian Griese. {FIRST_WORDS}",
    classes=CLASSES,
    survey="FIRST (VLA, 1.4 GHz)",
    pixel_scale=1.8,
    beam=5.4,
    version="Label_literature, 7689127",
    defects=(
        "images are 8-bit, clipped and scaled one by one: there is no flux scale",
        "class and parent catalogue are confounded: Compact comes from Gendre and Baldi only, four in five "
        "Bent from Proctor",
        "one validation image (Bent) is all zero and is set aside",
        "three pairs of sources, two of them Bent and one FRII, lie closer than 60 arcsec",
        'the two published split options overlap: only 54 of the 200 test images of "published" are among the '
        '400 of "fold-0" to "fold-4", so what was trained on one is never to be tested on the other',
        "a second, undocumented labelling (extra column label_cdl1) parts Bent into FRI-WAT and FRI-NAT",
    ),
    # Not those of LRG, with which 1190 of 1219 agree: both took their labels from the same parent catalogues.
    agreement=491 / 721,
    agreement_with="unLRG, labelled apart (721 sources within 10 arcsec)",
    image_size=_SIDE,
    splits=("published", *(f"fold-{k}" for k in range(5))),
    image_model=ImageModel(clip=3.0, subtracted=True, bits=8),
    votes=True,
)
ARCHIVE = PublicFile(
    name="galaxy_data_h5.zip",
    mirror_path="RadioGalaxyDataset/galaxy_data_h5.zip",
    url="https://zenodo.org/record/7689127/files/galaxy_data_h5.zip?download=1",
    sha256="1f9656a9fe2519857a5b7c7498f60087a6af73d8015b85559418ce30cc212c52",
    package="firstgalaxydata",
)
FILES = (ARCHIVE,)
_UNPACKED_LIMIT = 300 << 20
"""Bytes; the archive unpacks to 201 MB, anything much larger is not it."""
_LABELS = {0: "FRI", 1: "FRII", 2: "Compact", 3: "Bent"}
_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_CDL1 = {0: "FRI-Sta", 1: "FRII", 2: "Compact", 3: "FRI-WAT", 4: "FRI-NAT"}
_BENT = 3
_FOLDS = "first_galaxy_data_folds.txt"
_SOURCES = "first_galaxy_data_sources.txt"
N_FOLDS = 5
"""Folds of the second split option."""
_NUMBERS = re.compile(r"^(\d+) +(\d+) +([\d.]+) *([+-]) *(\d+) +(\d+) +([\d.]+)$")
_MIRABEST = re.compile(r"^\d{3}_([\d.]+)([+-][\d.]+)_")


def load() -> DataSet:
    """Load the data set; `rgbench.load_data` is the front door.

    Raises
    ------
    ChecksumError
        If the archive is not the published one.
    DataError
        If it is nowhere to be had.
    """
    with zipfile.ZipFile(locate(ARCHIVE)) as archive:
        members = archive.infolist()
        if len(members) != 1 or members[0].file_size > _UNPACKED_LIMIT:
            raise DataError(f"{ARCHIVE.name}: expected one HDF5 file of 201 MB, found {len(members)} members")
        content = archive.read(members[0])
    with h5py.File(io.BytesIO(content), "r") as file:
        return _read(file, content)


def fold_splits() -> dict[str, NDArray[Any]]:
    """Give the second published split option, five folds with one test set of 400, by name.

    The authors publish it as six more files with the same 2158 images in another order. Which image is
    in which file stands in a table beside this module, so that nothing more need be fetched.

    Returns
    -------
    dict of str to ndarray of str, shape (2158,)
        "fold-0" to "fold-4": "train", "validation" or "test" for each source, in the order of the data set.

    Examples
    --------
    >>> [int((split == "validation").sum()) for split in fold_splits().values()]
    [353, 353, 353, 353, 346]
    """
    text = (resources.files(__package__) / _FOLDS).read_text(encoding="ascii")
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    fold = np.array(list("".join(rows)))
    return {
        f"fold-{k}": np.where(fold == "t", "test", np.where(fold == str(k), "validation", "train"))
        for k in range(N_FOLDS)
    }


def sources() -> DataSet:
    """Give names, positions and splits, without the images and the labels, from a table beside this module.

    So it can be said at once, and without the archive, which sources stand on which side.

    Examples
    --------
    >>> dataset = sources()
    >>> len(dataset.catalogue), dataset.images.shape
    (2158, (2158, 0, 0))
    """
    text = (resources.files(__package__) / _SOURCES).read_text(encoding="ascii")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    names = [row["source_id"] for row in rows]
    ra, dec = np.array([position_in_name(name) for name in names]).T
    catalogue = Catalogue(
        source_id=np.array(names),
        ra=ra,
        dec=dec,
        label=np.full(len(rows), -1, dtype=np.int64),
        group=sky_groups(ra, dec),
        path=np.array(names),
        flags=np.array([int(row["unusable"]) * int(Flag.UNUSABLE) for row in rows], dtype=np.int64),
    )
    published = np.array([row["published"] for row in rows])
    return DataSet(
        CARD, catalogue, np.zeros((len(rows), 0, 0), np.uint8), {"published": published, **fold_splits()}
    )


def parse_position(text: str) -> tuple[float, float]:
    """Parse a source's position, in degrees, from either of the data set's two notations.

    Examples
    --------
    >>> parse_position("12 30 00.00 -01 30 00.0")
    (187.5, -1.5)
    >>> parse_position("100_167.886+016.439_0.2165_0093.36.png")
    (167.886, 16.439)
    """
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    if match := _NUMBERS.match(text):
        hours, minutes, seconds, sign, degrees, arcmin, arcsec = match.groups()
        ra = 15 * (int(hours) + int(minutes) / 60 + float(seconds) / 3600)
        dec = int(degrees) + int(arcmin) / 60 + float(arcsec) / 3600
        return ra, -dec if sign == "-" else dec
    if match := _MIRABEST.match(text):
        return float(match[1]), float(match[2])
    raise DataError(f"{ARCHIVE.name}: no position in {text!r}")


def _read(file: Any, content: bytes) -> DataSet:
    keys = sorted(file, key=lambda key: int(key.rpartition("_")[2]))
    images = np.empty((len(keys), *_SIDE), dtype=np.uint8)
    columns: dict[str, list[Any]] = {name: [] for name in ("position", "label", "split", "parent", "cdl1")}
    for image, key in zip(images, keys, strict=True):
        group = file[key]
        pixels = group["Img"]
        start = pixels.id.get_offset()
        if start is None or pixels.shape != _SIDE or pixels.dtype != np.uint8:
            raise DataError(f"{ARCHIVE.name}: {key}/Img is not a contiguous 300 x 300 image of bytes")
        image[...] = np.frombuffer(content, np.uint8, image.size, start).reshape(_SIDE)
        columns["position"].append(parse_position(_text(pixels.attrs["coord_str"])))
        columns["parent"].append(_text(pixels.attrs["Source"]))
        label = int(group["Label_literature"][()])
        # The two labellings differ in Bent sources only; reading both for all would cost 0.3 s.
        detail = int(group["Label_CDL1"][()]) if label == _BENT else label
        columns["label"].append(CLASSES.index(_LABELS[label]))
        columns["cdl1"].append(_CDL1[detail])
        columns["split"].append(_SPLITS[_text(group["Split_literature"][()])])
    return _assemble(keys, images, columns)


def _assemble(keys: list[str], images: NDArray[np.uint8], columns: dict[str, list[Any]]) -> DataSet:
    ra, dec = np.array(columns["position"], dtype=np.float64).T
    catalogue = Catalogue(
        source_id=np.array([name_of_position(*position) for position in columns["position"]]),
        ra=ra,
        dec=dec,
        label=np.array(columns["label"], dtype=np.int64),
        group=sky_groups(ra, dec),
        path=np.array(keys),
        flags=image_flags(images),
        extra={"parent": np.array(columns["parent"]), "label_cdl1": np.array(columns["cdl1"])},
    )
    return DataSet(CARD, catalogue, images, {"published": np.array(columns["split"]), **fold_splits()})


def image_flags(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Flag 8-bit cutouts that are constant, or empty in the central fifth of the field.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w)
        Images whose background is 0.

    Returns
    -------
    ndarray of int64, shape (n,)
        Bits of `Flag`.
    """
    fifth = images.shape[1] // 5
    centre = images[:, 2 * fifth : 3 * fifth, 2 * fifth : 3 * fifth]
    unusable = images.max(axis=(1, 2)) == images.min(axis=(1, 2))
    empty = centre.max(axis=(1, 2)) == 0
    return np.asarray(unusable * int(Flag.UNUSABLE) + empty * int(Flag.EMPTY_CENTRE), dtype=np.int64)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
