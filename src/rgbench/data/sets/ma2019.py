"""LRG and unLRG: the labelled catalogues of Ma et al. (2019), as the 2021 testbed used them.

They are catalogues without images: those of the 2021 study were never public. Names tell the positions,
so that images can come from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import CLASSES, Card, Catalogue
from rgbench.data.leakage import sky_groups
from rgbench.data.overlap import Labelled
from rgbench.data.own.angles import position_in_name
from rgbench.data.own.manifest import CLASS_FOLDERS, DEFAULT_LABELS, FR0, read_manifest
from rgbench.data.public.fetch import PublicFile, locate
from rgbench.errors import DataError, SpecError

FR0_REASON = "FR0 source (label 1F): left out, as in the 2021 study"
_PAPER = "Ma et al. 2019, ApJS 240, 34; as used by Becker, Vaccari, Prescott & Grobler 2021, MNRAS 503, 1828"
_LICENCE = (
    "Manifest: no licence file in its repository (BurgerBecker/rg-benchmarker). Tables of Ma et al.: MIT "
    "(myinxd/MCRGNet)."
)
_MANIFESTS = (
    "https://raw.githubusercontent.com/BurgerBecker/rg-benchmarker/9c0a80730615b9c2a7e4e437e961eb98107c9af3"
)
_TABLES = "https://raw.githubusercontent.com/myinxd/MCRGNet/390db60e6b6cf62b7b7c003303dd28a01a89c9f2/catalog"
_ORIGINS = ("CoNFIG", "FR0CAT", "FRICAT", "FRIICAT", "Proctor 2011", "Cheung 2007")
_SELECTION = "Best & Heckman 2012"
_WORDS = 6
AGREEMENT = 3.0
"""Arcseconds by which a name and the table's columns may differ."""
CERTAINTIES = ("certain", "possible", "uncertain")
"""How sure the human inspectors of unLRG were, by the table's flag from 1."""


@dataclass(frozen=True)
class _Sample:
    """One of the two samples: its card, its files, and which of a row's last six words say what."""

    card: Card
    manifest: PublicFile
    table: PublicFile
    cnn_label: int
    probability: int
    note: int


def _card(name: str, title: str, version: str, defects: tuple[str, ...]) -> Card:
    return Card(
        name=name,
        title=title,
        paper=_PAPER,
        doi="10.3847/1538-4365/aaf9a2",
        keys=("Ma2019", "Becker2021"),
        url=f"{_MANIFESTS}/{version}",
        licence=_LICENCE,
        classes=CLASSES,
        survey="FIRST (VLA, 1.4 GHz)",
        pixel_scale=1.8,
        beam=5.4,
        version=version,
        defects=(*defects, "the images of the 2021 study were never public: this is a catalogue alone"),
    )


_SAMPLES = {
    "lrg": _Sample(
        _card(
            "lrg",
            "LRG: 1328 labelled radio galaxies, labels from the literature",
            "LRG_manifest.csv",
            (
                "class and parent catalogue are confounded",
                "134 FR0 sources (label 1F) are left out",
                "six names tell another position than the table's own columns (extra column table_agrees)",
            ),
        ),
        PublicFile(
            "LRG_manifest.csv",
            "catalogues/original/LRG_manifest.csv",
            f"{_MANIFESTS}/LRG_manifest.csv",
            "e3e55da867c3f4ef1c4ebd4803e78e266921ac38255611bdef968a6586b02b17",
        ),
        PublicFile(
            "mrt-table3.txt",
            "catalogues/Ma2019_MCRGNet/mrt-table3.txt",
            f"{_TABLES}/mrt-table3.txt",
            "0f87b83e65474f3e30d23fd4ce61c26e132c87e00a9557488a19ce77f23b8a5a",
        ),
        cnn_label=3,
        probability=5,
        note=0,
    ),
    "unlrg": _Sample(
        _card(
            "unlrg",
            "unLRG: 14093 radio galaxies labelled by eye and by a network",
            "unLRG_manifest.csv",
            (
                "labels agree with MiraBest's for 58 % of the common sources, 66 % of those flagged certain",
                "51 FR0 sources (label 1F) are left out",
                "the rows of the table of Ma et al. stand off the columns that it declares",
                "nine names tell another position than the table's own columns (extra column table_agrees)",
                "the authors of the tables say that some entries should be revised",
            ),
        ),
        PublicFile(
            "unLRG_manifest.csv",
            "catalogues/original/unLRG_manifest.csv",
            f"{_MANIFESTS}/unLRG_manifest.csv",
            "3d863bd4d72fa700a8100c43afbf8fad40e23495040be3b92d26b9e91e302f15",
        ),
        PublicFile(
            "mrt-table4.txt",
            "catalogues/Ma2019_MCRGNet/mrt-table4.txt",
            f"{_TABLES}/mrt-table4.txt",
            "96036be48f4ac6c1360467b4c593cc3bc7c1a87bf5f56579eca790b17c9e9e37",
        ),
        cnn_label=0,
        probability=4,
        note=5,
    ),
}
CARDS = {name: sample.card for name, sample in _SAMPLES.items()}
"""Cards by name."""


def catalogue(name: str, fr0: bool = False) -> Catalogue:
    """Give the catalogue of "lrg" or "unlrg", by default without the FR0 sources that `set_aside` lists.

    Parameters
    ----------
    name : str
        "lrg" or "unlrg".
    fr0 : bool
        Whether FR0 sources (label 1F) are kept, as Compact.

    Returns
    -------
    Catalogue
        Sources in the order of the manifest; positions in degrees, from the names. Extra columns, from
        the tables of Ma et al. where the name stands there: `native` (label as in the manifest), `origin`
        (parent catalogue), `certainty` ("certain", "possible", "uncertain", or "" where it is not told),
        `redshift` (NaN if unknown), `flux_density` (Jy, NVSS at 1.4 GHz, integrated; NaN if unknown),
        `cnn_label` and `cnn_probability` (of the authors' network), and `table_agrees` (whether the
        table's own RA and Dec are within 3 arcsec of the name's, which alone are used).

    Raises
    ------
    ChecksumError
        If a file is not the published one.
    DataError
        If a file is nowhere to be had, or cannot be read.
    """
    sample = _sample(name)
    rows = [(n, label) for n, label in _rows(sample) if fr0 or label != FR0]
    names = [n for n, _ in rows]
    ra, dec = np.array([position_in_name(n) for n in names], dtype=np.float64).T
    if not np.isfinite(ra).all():
        raise DataError(
            f"{sample.manifest.name}: the name {names[int(np.argmin(np.isfinite(ra)))]!r} is no position"
        )
    order = [CLASSES.index(CLASS_FOLDERS[DEFAULT_LABELS[label[:1]]]) for _, label in rows]
    return Catalogue(
        source_id=np.array(names),
        ra=ra,
        dec=dec,
        label=np.array(order, dtype=np.int64),
        group=sky_groups(ra, dec),
        path=np.full(len(names), ""),
        flags=np.zeros(len(names), dtype=np.int64),
        extra={"native": np.array([label for _, label in rows]), **_columns(sample, names, ra, dec)},
    )


def files(name: str) -> tuple[PublicFile, PublicFile]:
    """Give manifest and table of "lrg" or "unlrg"."""
    sample = _sample(name)
    return sample.manifest, sample.table


def labelled(name: str) -> Labelled:
    """Give the labelled catalogue of "lrg" or "unlrg", FR0 sources as Compact."""
    return Labelled(name, CLASSES, catalogue(name, fr0=True))


def set_aside(name: str) -> tuple[tuple[str, str], ...]:
    """Give name and reason of each source of the manifest that is not in the catalogue: the FR0 sources."""
    return tuple((n, FR0_REASON) for n, label in _rows(_sample(name)) if label == FR0)


def load(name: str) -> NoReturn:
    """Say that there are no images, and what to do.

    Raises
    ------
    DataError
        Always.
    """
    raise DataError(
        f"{name} is a catalogue: the images of the 2021 study were never public. Use the data set lrg-first, "
        "which joins public images to the labels of LRG by position, or fetch cutouts at the catalogue's "
        "positions and load them as a folder with this manifest"
    )


def _sample(name: str) -> _Sample:
    if name not in _SAMPLES:
        raise SpecError(f"there is no sample {name!r}; legal are {', '.join(_SAMPLES)}")
    return _SAMPLES[name]


def _rows(sample: _Sample) -> list[tuple[str, str]]:
    return read_manifest(locate(sample.manifest), DEFAULT_LABELS)


def _columns(
    sample: _Sample, names: list[str], ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Give what the table of Ma et al. tells of each name."""
    lines = locate(sample.table).read_text(encoding="ascii").splitlines()
    table = {line[:19].strip(): line for line in lines if line.startswith("J") and len(line) > 70}
    rows = [table.get(name, "") for name in names]
    # Table 4 stands one byte off the columns that it declares, some rows two: so words are counted.
    words = [row.split()[-_WORDS:] or [""] * _WORDS for row in rows]
    labelled = sample.card.name == "lrg"
    notes = [int(word[sample.note] or 0) for word in words]
    return {
        "origin": np.array([_origin(note) if labelled else _SELECTION for note in notes]),
        "certainty": np.array(["" if labelled or not note else CERTAINTIES[note - 1] for note in notes]),
        "redshift": np.array([_number(row[40:46]) for row in rows]),
        "flux_density": np.array([_number(row[47:55]) / 1000 for row in rows]),
        "cnn_label": np.array([word[sample.cnn_label] for word in words]),
        "cnn_probability": np.array([_number(word[sample.probability]) for word in words]),
        "table_agrees": _agrees(rows, ra, dec),
    }


def _agrees(rows: list[str], ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell whether RA (hours) and Dec of each row are those of the name; False for an empty row."""
    there = np.array([[_number(row[21:29]) * 15, _number(row[30:39])] for row in rows])
    across = (there[:, 0] - ra) * np.cos(np.deg2rad(dec))
    return np.asarray(np.hypot(across, there[:, 1] - dec) * 3600 < AGREEMENT)


def _origin(note: int) -> str:
    return _ORIGINS[note - 1] if note else ""


def _number(text: str) -> float:
    return float(text.strip() or "nan")
