"""MiraBest: FRI, FRII and bent sources from FIRST, in three published releases (Porter & Scaife 2023).

Two tasks that papers report on stand beside the releases, both made of the release F: "mirabest-confident", the
certain FRI and FRII, and "mirabest-two-class", all of them. In these, tailed sources are FRI or FRII as published.

The native class is a code of three digits: FRI 1, FRII 2, hybrid 3; certain 0, uncertain 1; and the shape,
standard 0, double-double 1, wide-angle tail 2, head-tail 4. Tailed sources are Bent in the common task.
Hybrids, FRI on one side and FRII on the other, have no place in it: they are set aside unless asked for.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import Card, Catalogue, DataSet, ImageModel
from rgbench.data.leakage import sky_groups
from rgbench.data.overlap import Labelled
from rgbench.data.public.fetch import PublicFile, locate
from rgbench.data.public.unpickle import Batches, read_batches
from rgbench.data.sets.first_galaxy_data import FIRST_WORDS, image_flags
from rgbench.errors import DataError, SpecError

HYBRID = "Hybrid"
TASKS = {
    "mirabest-confident": {"100": "FRI", "102": "FRI", "104": "FRI", "200": "FRII", "201": "FRII"},
    "mirabest-two-class": {
        "100": "FRI",
        "102": "FRI",
        "104": "FRI",
        "110": "FRI",
        "112": "FRI",
        "200": "FRII",
        "201": "FRII",
        "210": "FRII",
    },
}
"""Class of each native code in the tasks of papers, as the release's own loader gives it; others are set aside."""
_SIDE = (150, 150)
_NAME = re.compile(r"^(\d{3})_(\d{3}\.\d{3})([+-]\d{3}\.\d{3})_(\d\.\d{4})_(\d{4}\.\d{2})\.png$")
_LICENCE = f"No licence file beside the batches; the authors ask to cite paper and DOI. {FIRST_WORDS}"
_COMMON_DEFECTS = (
    "no validation set is published: the split has train and test only",
    "images are 8-bit, clipped and scaled one by one: there is no flux scale",
    "the three releases hold the same sources with other test sets: 64 of the 77 test sources of "
    "mirabest-basic are training sources of mirabest-f",
    "most sources are in first-galaxy-data too: 709 of mirabest-basic, 806 of mirabest-full and -f, within "
    "10 arcsec",
    "100_209.593+018.300 is centred 90 arcsec north of its name",
)
_FULL_DEFECTS = (
    "169.641+31.255 (FRI) and 169.640+31.253 (wide-angle tail) are one source, both in train",
    "227.489+33.454 and 227.499+33.463 lie 43 arcsec apart",
)

_SAME_AS_UNLRG = {
    "mirabest-basic": (404, 502),
    "mirabest-full": (598, 1030),
    "mirabest-f": (598, 1030),
    "mirabest-confident": (417, 516),
    "mirabest-two-class": (565, 764),
}
"""Sources with the same label, and all, of those that both call Compact, FRI, FRII or Bent (two classes: FRI, FRII)."""


def _card(name: str, title: str, classes: tuple[str, ...], file: str, defects: tuple[str, ...]) -> Card:
    same, both = _SAME_AS_UNLRG[name]
    which = "sources" if "Bent" in classes else "FRI and FRII"
    return Card(
        name=name,
        title=title,
        paper="Porter & Scaife 2023, RASTI 2, 293; labels of Miraghaei & Best 2017, MNRAS 466, 4346",
        doi="10.5281/zenodo.4288837",
        keys=("Porter2023", "Miraghaei2017"),
        url=f"http://www.jb.man.ac.uk/research/MiraBest/{file}",
        licence=_LICENCE,
        classes=classes,
        survey="FIRST (VLA, 1.4 GHz)",
        pixel_scale=1.8,
        beam=5.4,
        version=file.rpartition("/")[2],
        defects=(*defects, *_COMMON_DEFECTS),
        agreement=same / both,
        agreement_with=f"unLRG, labelled apart ({both:,} {which} within 10 arcsec)",
        image_size=_SIDE,
        splits=("published",),
        image_model=ImageModel(clip=3.0, subtracted=False, bits=8),
    )


CARDS = {
    card.name: card
    for card in (
        _card(
            "mirabest-basic",
            "MiraBest basic: 770 certain FRI and FRII",
            ("FRI", "FRII"),
            "basic/MiraBest_basic_batches.tar.gz",
            (),
        ),
        _card(
            "mirabest-full",
            "MiraBest full: 1256 sources in ten sub-classes, square cutouts",
            ("FRI", "FRII", "Bent"),
            "full_dataset/MiraBest_full_batches.tar.gz",
            _FULL_DEFECTS,
        ),
        _card(
            "mirabest-f",
            "MiraBest F: 1256 sources in ten sub-classes, circular cutouts",
            ("FRI", "FRII", "Bent"),
            "MiraBest_F/MiraBest_F_batches.tar.gz",
            _FULL_DEFECTS,
        ),
        _card(
            "mirabest-confident",
            "MiraBest Confident: 833 certain FRI and FRII of MiraBest F, tailed ones among them",
            ("FRI", "FRII"),
            "MiraBest_F/MiraBest_F_batches.tar.gz",
            ("58 certain wide-angle and head-tailed sources count as FRI", *_FULL_DEFECTS),
        ),
        _card(
            "mirabest-two-class",
            "MiraBest F in two classes: 1222 FRI and FRII, certain or not",
            ("FRI", "FRII"),
            "MiraBest_F/MiraBest_F_batches.tar.gz",
            ("61 tailed sources count as FRI", *_FULL_DEFECTS),
        ),
    )
}
"""Cards by name. Classes carry the names of the common task."""
_SHA256 = {
    "MiraBest_basic_batches.tar.gz": "dd68ffca1b5137f7918e995b0a8f411118dc720f24eb8d21f4d2bc6fe1755373",
    "MiraBest_full_batches.tar.gz": "71532907b8706d76e8449076de87a6f0475eb7f8dc2136b4c0cc2f09f6e10f6a",
    "MiraBest_F_batches.tar.gz": "5ad6b8fbe982e4f7ae52d3f88dd2e6cb03de0c4f7c00b00b92608c6e78a5243b",
}


def files(name: str) -> tuple[PublicFile]:
    """Give the public file of a release or task of `CARDS`."""
    if name not in CARDS:
        raise SpecError(f"there is no MiraBest set {name!r}; legal are {', '.join(CARDS)}")
    card = CARDS[name]
    return (PublicFile(card.version, f"MiraBest/{card.version}", card.url, _SHA256[card.version]),)


def load(name: str, hybrids: bool = False) -> DataSet:
    """Load a release of MiraBest.

    Parameters
    ----------
    name : str
        "mirabest-basic", "mirabest-full" or "mirabest-f", or one of `TASKS`.
    hybrids : bool
        Whether hybrid sources are kept, as a class "Hybrid" after the common ones. By default they are in
        `set_aside`; in the tasks they always are.

    Returns
    -------
    DataSet
        Images of (150, 150) bytes, row 0 south. Extra columns: `native` (the code), `certain`, `redshift`,
        `angular_size` (arcsec), `batch` and `file_name`. The split "published" has train and test.

    Raises
    ------
    ChecksumError
        If the archive is not the published one.
    DataError
        If it is nowhere to be had, or cannot be read.
    """
    batches = read_batches(locate(*files(name)), _SIDE)
    card, task = CARDS[name], TASKS.get(name)
    classes = (*card.classes, HYBRID) if hybrids and task is None else card.classes
    given = [common_class(code) if task is None else task.get(code, "") for code in batches.label_name]
    keep = np.array([label in classes for label in given])
    catalogue = _catalogue(batches, np.array([classes.index(c) if c in classes else -1 for c in given]))
    aside = [
        (str(source), _why_aside(code, task is not None))
        for source, code, kept in zip(catalogue.source_id, batches.label_name, keep, strict=True)
        if not kept
    ]
    card = replace(card, classes=classes)
    return DataSet(
        card, catalogue.take(keep), batches.images[keep], {"published": batches.split[keep]}, tuple(aside)
    )


def _why_aside(code: str, task: bool) -> str:
    if task:
        return f"native code {code}: no part of this task"
    return 'hybrid morphology; loaded with hybrids=True, as class "Hybrid"'


def labelled(name: str) -> Labelled:
    """Give the labelled catalogue of a release, hybrids included."""
    dataset = load(name, hybrids=True)
    return Labelled(name, dataset.classes, dataset.catalogue)


def common_class(code: str) -> str:
    """Give the class of the common task, or "Hybrid", for a native code of three digits.

    Examples
    --------
    >>> [common_class(code) for code in ("100", "112", "104", "201", "310")]
    ['FRI', 'Bent', 'Bent', 'FRII', 'Hybrid']
    """
    if not re.fullmatch(r"[123][01][0124]", code):
        raise DataError(f"MiraBest: unknown code {code!r}; three digits 1-3, 0-1, 0-4 are known")
    if code[0] == "3":
        return HYBRID
    if code[2] in "24":
        return "Bent"
    return "FRI" if code[0] == "1" else "FRII"


def parse_file_name(name: str) -> tuple[str, float, float, float, float]:
    """Give code, RA and Dec (degrees), redshift and angular size (arcsec) from a file name.

    Examples
    --------
    >>> parse_file_name("100_167.886+016.439_0.2165_0093.36.png")
    ('100', 167.886, 16.439, 0.2165, 93.36)
    """
    match = _NAME.match(name)
    if match is None:
        raise DataError(f"MiraBest: the file name {name!r} is not CCC_RRR.RRR+DDD.DDD_Z.ZZZZ_SSSS.SS.png")
    code, ra, dec, redshift, size = match.groups()
    return code, float(ra), float(dec), float(redshift), float(size)


def _catalogue(batches: Batches, label: NDArray[np.int64]) -> Catalogue:
    rows = [parse_file_name(name) for name in batches.file_name]
    for row, code, name in zip(rows, batches.label_name, batches.file_name, strict=True):
        if row[0] != code:
            raise DataError(f"MiraBest: {name} has the label {code}, but its name says {row[0]}")
    ra, dec, redshift, size = np.array([row[1:] for row in rows]).T
    extra: dict[str, NDArray[Any]] = {
        "native": np.array(batches.label_name),
        "certain": np.array([code[1] == "0" for code in batches.label_name]),
        "redshift": redshift,
        "angular_size": size,
        "batch": np.array(batches.batch),
        "file_name": np.array(batches.file_name),
    }
    return Catalogue(
        source_id=np.array([name.removesuffix(".png") for name in batches.file_name]),
        ra=ra,
        dec=dec,
        label=label.astype(np.int64),
        group=sky_groups(ra, dec),
        path=np.array([f"{b}/{p}" for b, p in zip(batches.batch, batches.place, strict=True)]),
        flags=image_flags(batches.images),
        extra=extra,
    )
