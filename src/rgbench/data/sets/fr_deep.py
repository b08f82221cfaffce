"""FR-DEEP: 600 FRI and FRII sources, as FIRST and as NVSS images (Tang, Scaife & Leahy 2019).

The files tell no positions, and FIRST and NVSS images are in different orders with different names: they
cannot be paired by place. File names repeat in the FIRST set, so a source is named by batch and place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import Card, Catalogue, DataSet, ImageModel
from rgbench.data.public.fetch import PublicFile, locate
from rgbench.data.public.unpickle import Batches, read_batches
from rgbench.data.sets.first_galaxy_data import FIRST_WORDS, image_flags
from rgbench.errors import SpecError

CLASSES = ("FRI", "FRII")
_SIDE = (150, 150)
_URL = "http://www.jb.man.ac.uk/research/ascaife/{}_PNG_dataset.tar.gz"
_TWICE = (("163", "30"), ("151", "15"), ("154", "44"))
"""FRICAT and CoNFIG numbers of FRI sources that are in both catalogues, and so twice in the data set."""
_NAMES = {
    "fr-deep-first": ("{}_FRICAT_FR1_example.png", "{}_example.png"),
    "fr-deep-nvss": ("{}_FRICAT_FR1_.png", "{}_CoNFIG_FR1_.png"),
}
"""How a FRICAT and a CoNFIG source are named in each set."""
_SHA256 = {
    "fr-deep-first": "9bacbcc771a0b7d373ae1340e290bc1950531ed4fa1fa17d5d3d14295c9b2c48",
    "fr-deep-nvss": "37ef88b83a8177454002dd2dea3075d54b9b60a31ada44caa922dfbd8fbb2248",
}
_COMMON_DEFECTS = (
    "no validation set is published: the split has train and test only",
    "no positions: sky groups are those of the images that are known to show one source",
    "at least three FRI sources, in FRICAT and in CoNFIG, appear twice; they share a group",
    "images are 8-bit, clipped and scaled one by one: there is no flux scale",
    "at least 94 % of the sources are in first-galaxy-data too, by the positions in CRUMB's table",
)


def _card(
    name: str,
    title: str,
    survey: str,
    scale: tuple[float, float],
    defects: tuple[str, ...],
    image_model: ImageModel | None = None,
) -> Card:
    file = survey.partition(" ")[0]
    words = FIRST_WORDS if file == "FIRST" else "Images: NVSS, National Radio Astronomy Observatory."
    return Card(
        name=name,
        title=title,
        paper="Tang, Scaife & Leahy 2019, MNRAS 488, 3358",
        doi="10.1093/mnras/stz1883",
        keys=("Tang2019",),
        url=_URL.format(file),
        licence=f"No licence file beside the batches; the authors ask to cite the paper. {words}",
        classes=CLASSES,
        survey=survey,
        pixel_scale=scale[0],
        beam=scale[1],
        version=f"{file}_PNG_dataset.tar.gz",
        defects=(*defects, *_COMMON_DEFECTS),
        image_size=_SIDE,
        splits=("published",),
        image_model=image_model,
    )


CARDS = {
    card.name: card
    for card in (
        _card(
            "fr-deep-first",
            "FR-DEEP: 600 FIRST images of FRI and FRII",
            "FIRST (VLA, 1.4 GHz)",
            (1.8, 5.4),
            (
                "13_FRICAT_FR1_example.png (FRI, data_batch_11) is all zero and is set aside",
                "134_example.png and 182_example.png (FRII, data_batch_10) are equal in every pixel",
                "163_FRICAT_FR1_example.png (train) and the FRI 30_example.png (test) are one source",
                "43 file names stand for two images each",
                "30 of 172 FRI that could be identified are Bent in first-galaxy-data or MiraBest",
            ),
            ImageModel(clip=3.0, subtracted=False, bits=8),
        ),
        _card(
            "fr-deep-nvss",
            "FR-DEEP: 600 NVSS images of FRI and FRII",
            "NVSS (VLA, 1.4 GHz)",
            (15.0, 45.0),
            (
                "163_FRICAT_FR1_.png and 30_CoNFIG_FR1_.png are equal in every pixel",
                "a field of 37 arcmin holds many sources that are not the labelled one",
                "what was done to the flux is not known: no NVSS FITS image of these sources was at hand. The images "
                "were clipped and the level was not subtracted, as the faintest pixel left is grey level 2 or more in "
                "41 % of them; the level in units of the noise cannot be told from them",
            ),
        ),
    )
}
"""Cards by name."""


def files(name: str) -> tuple[PublicFile]:
    """Give the public file of "fr-deep-first" or "fr-deep-nvss"."""
    if name not in CARDS:
        raise SpecError(f"there is no FR-DEEP set {name!r}; legal are {', '.join(CARDS)}")
    card = CARDS[name]
    return (PublicFile(card.version, f"FR-DEEP/{card.version}", card.url, _SHA256[name]),)


def load(name: str) -> DataSet:
    """Load FR-DEEP.

    Parameters
    ----------
    name : str
        "fr-deep-first" or "fr-deep-nvss".

    Returns
    -------
    DataSet
        Images of (150, 150) bytes, row 0 south; positions are NaN. Extra columns: `native` (class as
        published), `batch` and `file_name`. The split "published" has train and test.

    Raises
    ------
    ChecksumError
        If the archive is not the published one.
    DataError
        If it is nowhere to be had, or cannot be read.
    """
    batches = read_batches(locate(*files(name)), _SIDE)
    nowhere = np.full(len(batches.images), np.nan)
    extra: dict[str, NDArray[Any]] = {
        "native": np.array(batches.label_name),
        "batch": np.array(batches.batch),
        "file_name": np.array(batches.file_name),
    }
    places = list(zip(batches.batch, batches.place, strict=True))
    catalogue = Catalogue(
        source_id=np.array([f"{batch}-{place:02d}" for batch, place in places]),
        ra=nowhere,
        dec=nowhere.copy(),
        label=np.array([CLASSES.index(label) for label in batches.label_name], dtype=np.int64),
        group=_groups(batches, _NAMES[name]),
        path=np.array([f"{batch}/{place}" for batch, place in places]),
        flags=image_flags(batches.images),
        extra=extra,
    )
    return DataSet(CARDS[name], catalogue, batches.images, {"published": batches.split})


def _groups(batches: Batches, names: tuple[str, str]) -> NDArray[np.int64]:
    """Group images with equal pixels, and the FRI sources that are known to be in both catalogues."""
    twins = {
        pattern.format(number): pair
        for pair, numbers in enumerate(_TWICE)
        for pattern, number in zip(names, numbers, strict=True)
    }
    group = np.arange(len(batches.images), dtype=np.int64)
    first_of: dict[bytes | int, int] = {}
    for i, image in enumerate(batches.images):
        keys: list[bytes | int] = [image.tobytes()] if image.min() != image.max() else []
        if batches.label_name[i] == "FRI" and batches.file_name[i] in twins:
            keys.append(twins[batches.file_name[i]])
        for key in keys:
            group[group == group[i]] = group[first_of.setdefault(key, i)]
    return group
