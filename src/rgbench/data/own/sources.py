"""One's own list of sources: a table in CSV, ECSV, VOTable, FITS or Parquet, with whatever columns it has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.own.angles import NOTHING, name_of_position
from rgbench.data.own.files import file_stem
from rgbench.data.own.labels import LabelRule, near, read_labels
from rgbench.data.own.positions import read_positions, unplaced
from rgbench.data.own.tabular import Column, listed_names, read_table
from rgbench.errors import DataError, SpecError
from rgbench.numbers import counted

ALIASES: dict[str, tuple[str, ...]] = {
    "name": (
        "name", "id", "source", "source_id", "source_name", "sourceid", "sourcename", "object", "object_id",
        "object_name", "objname", "obj_id", "component_name", "component_id", "island_name", "designation",
        "main_id", "iau_name", "first_name", "nvss_name",
    ),
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "fits"),
    "position": ("position", "pos", "coord", "coords", "coordinate", "coordinates", "radec", "ra_dec", "coord_str"),
    "ra": (
        "ra", "raj2000", "ra_j2000", "_raj2000", "ra_icrs", "_ra_icrs", "ra_deg", "radeg", "ra_degrees", "ra2000",
        "alpha", "alpha_j2000", "right_ascension", "s_ra", "ra_d",
    ),
    "dec": (
        "dec", "dej2000", "decj2000", "de_j2000", "dec_j2000", "_dej2000", "de_icrs", "dec_icrs", "_de_icrs", "dec_deg",
        "decdeg", "dedeg", "dec_degrees", "de", "decl", "declination", "delta", "delta_j2000", "dec2000", "s_dec",
        "dec_d",
    ),
    "label": ("label", "class", "classification", "morphology", "morph", "type", "class_label", "source_class"),
    "redshift": ("redshift", "z", "zspec", "z_spec", "redshift_spec", "specz", "z_best", "zbest"),
    "size": (
        "size", "las", "ang_size", "angular_size", "angsize", "angularsize", "largest_angular_size", "size_arcsec",
        "las_arcsec", "angular_size_arcsec",
    ),
}  # fmt: skip
"""Names by which columns are found, small and capital letters alike; blanks and hyphens count as "_"."""
LESS_USUAL = (
    "file_id", "fileid", "image_id", "imageid", "image_name", "imagename", "cutout_id", "galaxy", "galaxy_id",
    "galaxy_name", "target", "target_id", "target_name", "objid",
)  # fmt: skip
"""Names of columns of names, where none has a name of `ALIASES` and none is a path: a table may hold both."""
LEAST_REDSHIFT, MOST_REDSHIFT = -0.01, 20.0
"""Beyond them a number stands for "not known", as 99: no source comes nearer by 1 % of the speed of light."""
_ANGLE_IN_NAME = re.compile(r".*_(arcsec|arcmin|deg)", re.IGNORECASE)
LONGEST_NAME = 255
"""Bytes of a file name, or of a folder's, that file systems hold."""


@dataclass(frozen=True)
class SourceColumns:
    """Which column of the table holds what; None has it found by `ALIASES`, "" says there is none.

    Attributes
    ----------
    name, path : str, optional
        Name of the source; file of its image.
    position : str, optional
        RA and Dec in one column, as "12 30 49.4 +12 23 28".
    ra, dec : str, optional
        Right ascension and declination.
    label, redshift, size : str, optional
        Class, redshift and angular size.
    """

    name: str | None = None
    path: str | None = None
    position: str | None = None
    ra: str | None = None
    dec: str | None = None
    label: str | None = None
    redshift: str | None = None
    size: str | None = None

    @classmethod
    def of(cls, mapping: Mapping[str, str]) -> SourceColumns:
        """Make it from a mapping as {"ra": "RA_J2000"}; raise `SpecError` for an unknown key.

        Examples
        --------
        >>> SourceColumns.of({"ra": "RA_J2000"}).ra
        'RA_J2000'
        """
        legal = [entry.name for entry in fields(cls)]
        for key in mapping:
            if key not in legal:
                raise SpecError(
                    f"columns: unknown key {key!r}{near(key, legal)}; legal are {', '.join(legal)}"
                )
        return cls(**mapping)

    @property
    def placed(self) -> list[str]:
        """The column of positions, or those of RA and Dec; none where there are none.

        Examples
        --------
        >>> SourceColumns(ra="RA", dec="Dec").placed, SourceColumns(position="radec").placed, SourceColumns().placed
        (['RA', 'Dec'], ['radec'], [])
        """
        return [self.position] if self.position else [name for name in (self.ra, self.dec) if name]


@dataclass(frozen=True, eq=False)
class Places:
    """Where the rows of a table lie on the sky, and which of its columns holds what.

    Attributes
    ----------
    columns : SourceColumns
        The column that was found for each; "" where there is none.
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS; NaN where the table tells none.
    remark : str
        What was done to the positions, "" for nothing.
    """

    columns: SourceColumns
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    remark: str

    def __len__(self) -> int:
        return len(self.ra)


@dataclass(frozen=True, eq=False)
class SourceList:
    """Sources of a table, in its order; row i of every column is one source.

    Attributes
    ----------
    name : ndarray of str, shape (n,)
        Unique. Where the table has none: the stem of the file, else JHHMMSS.ss+DDMMSS.s of the position.
    path : ndarray of str, shape (n,)
        As in the table, "" where it tells none.
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS; NaN where the table tells none.
    label : ndarray of str, shape (n,)
        Class; "" where there is none.
    redshift : ndarray of float64, shape (n,)
        NaN where it is not known.
    size : ndarray of float64, shape (n,)
        Angular size in arcsec; NaN where it is not known.
    extra : dict of str to ndarray
        The other columns, by their names in the table.
    columns : SourceColumns
        The column that was taken for each; "" where there is none.
    remarks : tuple of str
        What was done, or taken for granted, on the way.
    left_out : dict of str to int
        Rows by label, of those labels that were to be left out.
    """

    name: NDArray[Any]
    path: NDArray[Any]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    label: NDArray[Any]
    redshift: NDArray[np.float64]
    size: NDArray[np.float64]
    extra: dict[str, NDArray[Any]]
    columns: SourceColumns
    remarks: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.name)


def read_sources(
    path: Path | str, columns: SourceColumns | None = None, labels: LabelRule | None = None
) -> SourceList:
    r"""Read a list of sources from a table.

    Parameters
    ----------
    path : path
        CSV, ECSV, VOTable, FITS table or Parquet, by its ending; the first table of the file.
    columns : SourceColumns, optional
        Columns that are not to be found by `ALIASES`.
    labels : LabelRule, optional
        What labels mean; by default the four common classes are legal.

    Returns
    -------
    SourceList
        Positions are degrees or sexagesimal. The unit of a column counts, of a CSV too if it stands in the
        head: "RA (hours)". Without a unit, a decimal RA is in degrees; a sexagesimal one is in hours. The frame
        counts too that a table states (COOSYS, RADESYS, EQUINOX, or a head as "RA (B1950)"): positions are turned
        to ICRS. Names and paths are taken as they are written, never as numbers.

    Raises
    ------
    DataError
        If the file cannot be read, or a row is wrong: it is named, counted from 1 without the head.
    SpecError
        If a mapped column is not there, or more than one column would do.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     table = Path(folder) / "mine.csv"
    ...     _ = table.write_text("Name,RAJ2000,DEJ2000,Type\nM87,12:30:49.4,+12:23:28,fri\n")
    ...     sources = read_sources(table)
    >>> sources.name[0], sources.ra[0].round(4), sources.dec[0].round(4), sources.label[0]
    (np.str_('M87'), np.float64(187.7058), np.float64(12.3911), np.str_('FRI'))
    """
    path = Path(path)
    table, remarks = read_table(path)
    places = read_places(path, table, columns or SourceColumns())
    used, ra, dec, n = places.columns, places.ra, places.dec, len(places)
    files = written_names(path, table, used.path, n)
    name = _names(path, written_names(path, table, used.name, n), files, ra, dec)
    label, left_out = read_labels(path, read_texts(path, table, used.label, n), name, labels or LabelRule())
    taken = {getattr(used, entry.name) for entry in fields(used)}
    extra = {key: column.values for key, column in table.items() if key not in taken}
    unnamed = "" if used.name or used.path else _unnamed(path, list(table), extra)
    looks_placed = "" if used.placed else unplaced(path, list(extra))
    redshift, size = (
        read_numbers(path, table, used.redshift, n),
        read_numbers(path, table, used.size, n, "arcsec"),
    )
    redshift, far = _known(
        redshift, (redshift >= LEAST_REDSHIFT) & (redshift < MOST_REDSHIFT), f"{used.redshift}: no redshift"
    )
    size, small = _known(size, size > 0, f"{used.size}: no size")
    return SourceList(
        name,
        files,
        ra,
        dec,
        label,
        redshift,
        size,
        extra,
        used,
        (*remarks, *(remark for remark in (unnamed, looks_placed, places.remark, far, small) if remark)),
        left_out,
    )


def read_places(path: Path, table: dict[str, Column], columns: SourceColumns, of: str = "source") -> Places:
    """Find the columns of a table of sources, and read its positions.

    Parameters
    ----------
    path : path
        The table, for messages.
    table : dict of str to Column
        Its columns.
    columns : SourceColumns
        Columns that are not to be found by `ALIASES`.
    of : str
        What a row is called, in the singular.

    Raises
    ------
    DataError
        If the table has no row, or a position is wrong.
    SpecError
        If a mapped column is not there, or more than one would do.

    Examples
    --------
    >>> table = {"ID": Column(np.array(["M87"])), "RA": Column(np.array([187.5])), "Dec": Column(np.array([12.25]))}
    >>> places = read_places(Path("mine.csv"), table, SourceColumns())
    >>> places.columns.name, places.ra, places.dec
    ('ID', array([187.5]), array([12.25]))
    """
    n = len(next(iter(table.values())).values) if table else 0
    if n == 0:
        raise DataError(f"{path}: holds no {of}; a head of column names and rows are needed")
    found = find_columns(path, list(table), columns)
    return Places(found, *read_positions(path, table, found.placed, n))


def _known(
    values: NDArray[np.float64], legal: NDArray[np.bool_], what: str
) -> tuple[NDArray[np.float64], str]:
    """Give values with NaN for those that no source can have, as -99 for "not known", and say how many they are."""
    wrong = np.isinf(values) | ~(legal | np.isnan(values))
    if not wrong.any():
        return values, ""
    told = f"{counted(int(wrong.sum()), 'row')} (the first {values[wrong][0]:g}); taken as not known"
    return np.where(wrong, np.nan, values), f"{what} in {told}"


def find_columns(path: Path, names: list[str], columns: SourceColumns) -> SourceColumns:
    """Give the column of a table for each quantity; "" where there is none.

    Raises
    ------
    SpecError
        If a mapped column is not there, more than one would do, or only one of RA and Dec is there.
    """
    found: dict[str, str] = {}
    alike = _alike(names)
    for key in ALIASES:
        asked = getattr(columns, key)
        found[key] = _found(path, alike[key], key) if asked is None else _asked(path, names, key, asked)
    if columns.name is None and not (found["name"] or found["path"]):
        found["name"] = _found(path, [name for name in names if as_alias(name) in LESS_USUAL], "name")
    if columns.position is None and found["ra"] and found["dec"]:
        found["position"] = ""
    if bool(found["ra"]) != bool(found["dec"]):
        there, missing = ("ra", "dec") if found["ra"] else ("dec", "ra")
        likely = next((name for name in names if as_alias(name).startswith(missing)), "COLUMN")
        raise SpecError(
            f"{path}: the column {found[there]!r} is {there}, but no column is {missing}; the columns are "
            f"{listed_names(names)}. Say which it is: --column {quote(f'{missing}={likely}')}, or take {there} "
            f"for none: --column {there}=; in a study columns = {{ {missing} = '{likely}' }} or "
            f"columns = {{ {there} = '' }}"
        )
    if not (found["name"] or found["path"] or found["ra"] or found["position"]):
        raise SpecError(
            f"{path}: no column is a name, path or position; the columns are {listed_names(names)}. Say which it is: "
            "--column name=COLUMN, or --column ra=COLUMN --column dec=COLUMN; in a study columns = { name = 'COLUMN' }"
        )
    return SourceColumns(**found)


def _asked(path: Path, names: list[str], key: str, asked: str) -> str:
    if asked == "" or asked in names:
        return asked
    alike = [name for name in names if name.casefold() == asked.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise SpecError(
        f"{path}: there is no column {asked!r} for {key}{near(asked, names)}; the columns are {listed_names(names)}"
    )


def _alike(names: list[str]) -> dict[str, list[str]]:
    """Give the columns that are named as each quantity is."""
    key_of = {alias: key for key, aliases in ALIASES.items() for alias in aliases}
    alike: dict[str, list[str]] = {key: [] for key in ALIASES}
    for name in names:
        key = key_of.get(as_alias(name))
        if key is not None:
            alike[key].append(name)
    return alike


def as_alias(name: str) -> str:
    """Give the name of a column as `ALIASES` has it.

    Examples
    --------
    >>> as_alias(" Source-ID ")
    'source_id'
    """
    return re.sub(r"[\s\-]+", "_", name.strip()).casefold()


def _unnamed(path: Path, names: list[str], others: Mapping[str, NDArray[Any]]) -> str:
    """Say that names were made of the positions; the first column whose texts all differ may be the one of names."""
    texts = (key for key, values in others.items() if values.ndim == 1 and values.dtype.kind == "U")
    likely = next(
        (key for key in texts if len(set(others[key].tolist()) - {""}) == len(others[key])), "COLUMN"
    )
    return (
        f"{path}: no column of names or files was found among {listed_names(names)}: names were made of the "
        f"positions. Say which it is: --column name={likely}, in a study columns = {{ name = '{likely}' }}"
    )


def _found(path: Path, alike: list[str], key: str) -> str:
    if len(alike) > 1:
        raise SpecError(
            f"{path}: {key} could be any of the columns {listed_names(alike)}: map one of them, --column "
            f"{quote(f'{key}={alike[0]}')}, in a study columns = {{ {key} = '{alike[0]}' }}"
        )
    return alike[0] if alike else ""


def read_texts(path: Path, table: dict[str, Column], name: str | None, n: int) -> NDArray[Any]:
    """Give a column as text; numbers without a needless ".0"."""
    if not name:
        return np.full(n, "")
    values = _flat(path, table, name).values
    if values.dtype.kind == "f":
        words = ["" if np.isnan(x) else str(int(x)) if x.is_integer() else str(x) for x in values.tolist()]
    else:
        words = [str(value).strip() for value in values.tolist()]
    return np.array(["" if word.casefold() in NOTHING else word for word in words])


def written_names(path: Path, table: dict[str, Column], name: str | None, n: int) -> NDArray[Any]:
    """Give a column of names or paths as it is written.

    Raises
    ------
    DataError
        If a name was stored as a floating-point number that cannot hold its digits, or no file and no table can
        hold it.
    """
    if not name:
        return np.full(n, "")
    column = _flat(path, table, name)
    if column.written is None and column.values.dtype.kind == "f":
        lost = np.abs(column.values) >= 2.0 ** np.finfo(column.values.dtype).nmant
        if lost.any():
            row = int(np.argmax(lost))
            raise DataError(
                f"{path}, row {row + 1}: {name} is {column.values[row]!r}, a floating-point number, which has lost the "
                "last digits of the name; store names as text or as whole numbers"
            )
    words = column.written if column.written is not None else read_texts(path, table, name, n)
    words = np.array(["" if word.strip().casefold() in NOTHING else word.strip() for word in words.tolist()])
    for row, word in enumerate(words.tolist()):
        check_word(f"{path}, row {row + 1}: {name}", word)
    return words


def check_word(where: str, word: str) -> None:
    """Raise `DataError` if a name or path cannot stand in a file name, or in a table of results."""
    odd = next((character for character in word if not character.isprintable()), None)
    if odd is not None:
        raise DataError(
            f"{where} is {word!r}; the character {odd!r} cannot stand in a name of a file or a source"
        )
    longest = max(
        (len(part.encode("utf-8", "surrogatepass")) for part in re.split(r"[/\\]", word)), default=0
    )
    if longest > LONGEST_NAME:
        raise DataError(
            f"{where} has a part of {longest} bytes, {word[:40]!r}...; a name of a file has {LONGEST_NAME} at most"
        )


def _flat(path: Path, table: dict[str, Column], name: str) -> Column:
    """Give a column; `DataError` if it holds several values a row."""
    column = table[name]
    if column.values.ndim != 1:
        raise DataError(f"{path}: {name} holds {column.values.shape[1:]} values a row; one is needed")
    return column


def _names(
    path: Path, name: NDArray[Any], files: NDArray[Any], ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> NDArray[Any]:
    names: list[str] = []
    seen: dict[str, int] = {}
    for row, (word, file) in enumerate(zip(name.tolist(), files.tolist(), strict=True)):
        word = word or (file_stem(file) if file else "")
        if not word and np.isfinite(ra[row]):
            word = name_of_position(ra[row], dec[row])
        if not word:
            raise DataError(f"{path}, row {row + 1}: the name is empty, and so are path and position")
        if word in seen:
            raise DataError(
                f"{path}, row {row + 1}: the name {word!r} stands in row {seen[word]} already; map another column "
                "to name if these are different sources"
            )
        seen[word] = row + 1
        names.append(word)
    return np.array(names)


def read_numbers(
    path: Path, table: dict[str, Column], name: str | None, n: int, unit: str = ""
) -> NDArray[np.float64]:
    """Give a column as numbers, in a unit if one is asked for; NaN where a cell is empty, or there is no column."""
    if not name:
        return np.full(n, np.nan)
    column = _flat(path, table, name)
    if unit and not column.unit and (stated := _ANGLE_IN_NAME.fullmatch(name.strip())):
        column = replace(column, unit=stated[1].lower())
    values = column.values
    if values.dtype.kind not in "biuf":
        values = np.array([_number(path, name, row, word) for row, word in enumerate(values.tolist())])
    return column.converted(f"{path}: {name}", np.asarray(values, dtype=np.float64), unit)


def _number(path: Path, name: str, row: int, word: Any) -> float:
    word = str(word).strip()
    if word.casefold() in NOTHING:
        return float("nan")
    try:
        if "_" in word:  # which Python takes for a number
            raise ValueError(word)
        return float(word)
    except ValueError:
        raise DataError(f"{path}, row {row + 1}: {name} is {word!r}; a number or nothing is needed") from None
