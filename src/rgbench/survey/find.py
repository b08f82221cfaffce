"""A catalogue for a survey that has none: a source finder makes it from the images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rgbench.data.own.files import SetAside
from rgbench.errors import DataError, SpecError
from rgbench.images.fits import FitsImage
from rgbench.numbers import counted
from rgbench.store.files import locked, remove_halves, write_parquet
from rgbench.survey.finders.gaussians import PYBDSF, find_gaussians
from rgbench.survey.finders.islands import Find, Islands, Thresholds, Tile, scale_of, tiles_of
from rgbench.survey.finders.mesh import PHOTUTILS
from rgbench.survey.finders.segments import find_segments
from rgbench.survey.mosaics import Mosaic, edge_distance, find_mosaics
from rgbench.survey.near import on_sphere
from rgbench.survey.survey import WORK, has_result, make_folder

FOUND = "found.parquet"
"""The catalogue, in the folder of a survey."""
AUTO = "auto"
_PARTS = "found"
_VERSION = 1
_FACTS = b"rgbench.found"


@dataclass(frozen=True)
class Finder:
    """A source finder.

    Attributes
    ----------
    package : str
        What must be installed.
    install : str
        How.
    open : callable
        Gives, of a mosaic and thresholds, what finds the islands of its tiles.
    """

    package: str
    install: str
    open: Callable[[Mosaic, Thresholds], Find]

    @property
    def usable(self) -> bool:
        """Whether the package is installed."""
        return find_spec(self.package) is not None


FINDERS = {
    "pybdsf": Finder(PYBDSF, "pip install bdsf", find_gaussians),
    "photutils": Finder(PHOTUTILS, "pip install 'rgbench[find]'", find_segments),
}
"""Source finders by name; unless told otherwise the first that is installed is taken."""


@dataclass(frozen=True)
class FindChoice:
    """How sources are found.

    Attributes
    ----------
    finder : str
        One of `FINDERS`; "auto" is the first of them that is installed.
    thresholds : Thresholds
        How bright a source is.
    overwrite : bool
        Whether the catalogue of other images in the folder may be replaced.

    Raises
    ------
    SpecError
        If the finder is not known.
    """

    finder: str = AUTO
    thresholds: Thresholds = field(default_factory=Thresholds)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.finder not in (AUTO, *FINDERS):
            raise SpecError(f"--finder: unknown {self.finder!r}; legal are {', '.join((AUTO, *FINDERS))}")


@dataclass(frozen=True)
class Found:
    """A catalogue of sources that were found.

    Attributes
    ----------
    path : path
        A Parquet file.
    rows : int
        Its sources.
    finder : str
        Name and version of what found them.
    unread : tuple of str
        Why parts of images could not be searched: their sources are not there.
    """

    path: Path
    rows: int
    finder: str
    unread: tuple[str, ...] = ()


Told = Callable[[int, int], None]
"""Is told how many parts are done, and how many there are."""


def _nobody(done: int, total: int) -> None:
    """Is told, and does nothing."""


def find_sources(
    images: Sequence[Path | str],
    out: Path | str,
    choice: FindChoice | None = None,
    unlikely: Callable[[FitsImage], str] = lambda face: "",
    told: Told = _nobody,
) -> Found:
    """Find the sources of mosaics, and write them as a catalogue into the folder of a survey.

    An island, pixels above the threshold that touch, is one source, whatever it is made of: a classifier is to see
    the whole galaxy. One that several tiles or mosaics show within a beam is counted once. A catalogue of the same
    images that is there already is taken as it is.

    Parameters
    ----------
    images : sequence of path
        Mosaics, or folders that are searched for them.
    out : path
        Folder of the survey; it is made, but not those above it.
    choice : FindChoice, optional
        How to find.
    unlikely : callable
        Says why an image cannot be looked at, by its face; "" if it can.
    told : callable
        Is told each part that is finished.

    Returns
    -------
    Found
        The catalogue is ``found.parquet``: Source_id, Image, RA and DEC (deg, the brightness-weighted middle),
        Total_flux (Jy), Peak_flux (Jy/beam), Maj and Min (arcsec, full width at half maximum), Isl_rms (Jy/beam),
        RA_max and DEC_max (deg, the brightest pixel).

    Raises
    ------
    SpecError
        If no finder is installed, or the folder holds a catalogue of other images, or a survey of another catalogue.
    DataError
        If no image can be used, or no source is found.
    StoreError
        If the folder cannot be written to.

    Examples
    --------
    ::

        found = rgbench.find_sources(["mosaics/"], "my-survey")
        rgbench.classify_survey(found.path, ["mosaics/"], "my-survey")
    """
    choice = choice or FindChoice()
    path, folder = Path(out) / FOUND, Path(out) / WORK
    make_folder(Path(out), folder)
    with locked(folder / ".lock"):
        remove_halves(Path(out))
        aside: list[SetAside] = []
        mosaics = find_mosaics(images, folder / "unpacked", aside, unlikely)
        asked = _asked(mosaics, choice.thresholds)
        there = read_found(path, asked, choice)
        if there is None and has_result(Path(out)) and not choice.overwrite:
            raise SpecError(
                f"--out {out}: holds a survey whose catalogue is none of these images; choose another folder, or give "
                "--overwrite"
            )
        return there or _find(mosaics, path, asked, choice, told)


def read_found(path: Path, asked: str, choice: FindChoice) -> Found | None:
    """Give the catalogue that a folder holds, None if it must be made.

    Parameters
    ----------
    path : path
        The file.
    asked : str
        Checksum of the images and thresholds.
    choice : FindChoice
        What is wanted.

    Raises
    ------
    SpecError
        If it is of other images, or by another finder than the one that was named, and must not be replaced.
    """
    if not path.exists():
        return None
    try:
        kept = pq.ParquetFile(path)
        facts = json.loads(kept.schema_arrow.metadata[_FACTS])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        facts = {"asked": "", "finder": ""}
    same = choice.finder in (AUTO, facts["finder"].partition(" ")[0])
    if facts["asked"] == asked and same:
        return Found(path, int(kept.metadata.num_rows), facts["finder"], tuple(facts["unread"]))
    if choice.overwrite:
        return None
    what = "of other images, or they have changed since" if same else f"by {facts['finder']}"
    raise SpecError(f"--out {path.parent}: its {FOUND} is {what}; choose another folder, or give --overwrite")


def _asked(mosaics: Sequence[Mosaic], thresholds: Thresholds) -> str:
    """Tell the images and thresholds from others."""
    files = [Path(each.face.path).resolve() for each in mosaics]
    stamps = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    named = [
        (str(file), each.place, *stamp) for file, each, stamp in zip(files, mosaics, stamps, strict=True)
    ]
    told = {"version": _VERSION, "images": named, "thresholds": [thresholds.peak, thresholds.island]}
    return sha256(json.dumps(told).encode()).hexdigest()


def chosen_finder(name: str) -> str:
    """Give the name of the finder that is used where one is asked for, or "auto".

    Raises
    ------
    SpecError
        If it is not installed.
    """
    usable = [each for each, finder in FINDERS.items() if finder.usable]
    if name in usable:
        return name
    if name == AUTO and usable:
        return usable[0]
    if name == AUTO:
        ways = " or ".join(finder.install for finder in reversed(FINDERS.values()))
        raise SpecError(f"--find: needs a source finder, and none is installed: {ways}")
    raise SpecError(f"--finder {name}: is not installed: {FINDERS[name].install}")


def _find(mosaics: Sequence[Mosaic], path: Path, asked: str, choice: FindChoice, told: Told) -> Found:
    """Find the sources of all tiles, of which each is a file until the end; join them, and write them into place."""
    name = chosen_finder(choice.finder)
    finder = FINDERS[name]
    version = f"{name} {metadata.version(finder.package)}"
    key = sha256(f"{asked} {version}".encode()).hexdigest()[:12]
    parts = path.parent / WORK / f"{_PARTS}-{key}"
    for other in parts.parent.glob(f"{_PARTS}-*"):
        if other != parts:
            shutil.rmtree(other, ignore_errors=True)
    parts.mkdir(exist_ok=True)
    remove_halves(parts)
    files: list[Path] = []
    work = [(number, tile) for number, mosaic in enumerate(mosaics) for tile in tiles_of(mosaic)]
    finders = _Opened(mosaics, finder, choice.thresholds)
    for number, tile in work:
        files.append(parts / f"{number:05d}-{tile.rows[0]:06d}-{tile.columns[0]:06d}.parquet")
        if not files[-1].exists():
            write_parquet(files[-1], _part(finders, number, tile))
        told(len(files), len(work))
    rows = pa.concat_tables(pq.read_table(file) for file in files)
    unread = tuple(_unread(files))
    rows = rows.take(_once(rows, mosaics))
    if not rows.num_rows:
        raise DataError(_nothing(mosaics, choice.thresholds, unread))
    facts = {"asked": asked, "finder": version, "unread": unread}
    write_parquet(path, _catalogue(rows, mosaics, facts))
    shutil.rmtree(parts, ignore_errors=True)
    return Found(path, rows.num_rows, version, unread)


class _Opened:
    """Finders of mosaics, of which the last stays open: to open one may mean to measure its noise."""

    def __init__(self, mosaics: Sequence[Mosaic], finder: Finder, thresholds: Thresholds) -> None:
        self.mosaics, self.finder, self.thresholds = mosaics, finder, thresholds
        self.number, self.find = -1, None

    number: int
    find: Find | None

    def __call__(self, number: int, tile: Tile) -> Islands:
        if self.find is None or number != self.number:
            self.number, self.find = number, self.finder.open(self.mosaics[number], self.thresholds)
        return self.find(tile)


_PART = pa.schema(
    [("mosaic", pa.int32()), ("tile", pa.int64()), ("beam", pa.float64()), ("row", pa.float64()),
     ("column", pa.float64()), *((name, pa.float64()) for name in
     ("RA", "DEC", "Total_flux", "Peak_flux", "Maj", "Min", "Isl_rms", "RA_max", "DEC_max"))]
)  # fmt: skip
_UNREAD = b"rgbench.unread"


def _part(finders: _Opened, number: int, tile: Tile) -> pa.Table:
    """Find the sources of a tile; of one that cannot be read, there are none, and the reason is kept."""
    mosaic = finders.mosaics[number]
    try:
        found = finders(number, tile)
    except DataError as error:
        return _PART.with_metadata({_UNREAD: str(error).encode()}).empty_table()
    found = found[np.isfinite(found.ra) & np.isfinite(found.dec)]
    order = np.lexsort((found.columns, found.rows))
    peak_ra, peak_dec = mosaic.face.positions(found.rows, found.columns)
    n, place = len(found), tile.rows[0] * mosaic.shape[1] + tile.columns[0]
    beam = scale_of(tile.face(mosaic)).beam.major
    values = [found.ra, found.dec, found.total, found.peak, found.major, found.minor, found.rms]
    columns = [found.rows, found.columns, *values, peak_ra, peak_dec]
    return pa.table(
        [np.full(n, number), np.full(n, place), np.full(n, beam), *(each[order] for each in columns)],
        schema=_PART,
    )


def _unread(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        if reason := (pq.read_schema(file).metadata or {}).get(_UNREAD):
            yield reason.decode()


def _once(rows: pa.Table, mosaics: Sequence[Mosaic]) -> NDArray[np.int64]:
    """Choose rows so that each source is there once: as the mosaic shows it in which it lies furthest from the edge."""
    values = {name: rows[name].to_numpy() for name in rows.column_names}
    depth = np.zeros(rows.num_rows)
    for number, mosaic in enumerate(mosaics):
        own = np.flatnonzero(values["mosaic"] == number)
        depth[own] = edge_distance(mosaic, values["RA"][own], values["DEC"][own])
    group = np.column_stack([values["mosaic"], values["tile"]])
    dropped = np.zeros(rows.num_rows, dtype=bool)
    pairs = _pairs(values, group)
    # The deepest first: what it takes out takes out no other.
    better, worse = np.where((depth[pairs[:, 0]] >= depth[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1]).T
    for at in np.lexsort((worse, better, -depth[better])).tolist():
        if not dropped[better[at]]:
            dropped[worse[at]] = True
    return np.flatnonzero(~dropped)


def _pairs(values: dict[str, NDArray[Any]], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give pairs of rows of different tiles whose middles, or brightest pixels, lie within a beam of each other."""
    found = [np.zeros((0, 2), dtype=np.int64)]
    if len(group):
        for suffix in ("", "_max"):
            tree = cKDTree(on_sphere(values[f"RA{suffix}"], values[f"DEC{suffix}"], np.arange(len(group))))
            pairs = tree.query_pairs(np.radians(values["beam"].max() / 3600), output_type="ndarray")
            apart = np.linalg.norm(tree.data[pairs[:, 0]] - tree.data[pairs[:, 1]], axis=1)
            within = apart <= np.radians(values["beam"][pairs].max(axis=1) / 3600)
            found.append(pairs[within & (group[pairs[:, 0]] != group[pairs[:, 1]]).any(axis=1)])
    return np.unique(np.concatenate(found), axis=0)


_COLUMNS = {
    "RA": "deg", "DEC": "deg", "Total_flux": "Jy", "Peak_flux": "Jy/beam", "Maj": "arcsec", "Min": "arcsec",
    "Isl_rms": "Jy/beam", "RA_max": "deg", "DEC_max": "deg",
}  # fmt: skip


def _catalogue(rows: pa.Table, mosaics: Sequence[Mosaic], facts: dict[str, Any]) -> pa.Table:
    names = [mosaics[number].name for number in rows["mosaic"].to_pylist()]
    schema = [pa.field("Source_id", pa.int64()), pa.field("Image", pa.string())]
    schema += [pa.field(name, pa.float64(), metadata={"unit": unit}) for name, unit in _COLUMNS.items()]
    return pa.table(
        [np.arange(rows.num_rows), names, *(rows[name] for name in _COLUMNS)],
        schema=pa.schema(schema, metadata={_FACTS: json.dumps(facts, sort_keys=True)}),
    )


def _nothing(mosaics: Sequence[Mosaic], thresholds: Thresholds, unread: Sequence[str]) -> str:
    why = f"; {counted(len(unread), 'part')} could not be searched, the first: {unread[0]}" if unread else ""
    return (
        f"--find: no source above {thresholds.peak:g} times the noise in {counted(len(mosaics), 'image')}, the first "
        f"{mosaics[0].name}{why}"
    )
