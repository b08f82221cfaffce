"""One's own list of sources: a table in CSV, ECSV, VOTable, FITS or Parquet, with whatever columns it has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import CLASSES
from rgbench.data.own.angles import NOTHING, name_of_position, parse_positions, to_degrees
from rgbench.data.own.files import file_stem
from rgbench.data.own.manifest import CLASS_FOLDERS
from rgbench.data.own.tabular import Column, read_table
from rgbench.errors import DataError, SpecError

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
                    f"columns: unknown key {key!r}{_near(key, legal)}; legal are {', '.join(legal)}"
                )
        return cls(**mapping)


@dataclass(frozen=True)
class LabelRule:
    """What the labels of a table mean.

    Attributes
    ----------
    classes : tuple of str
        Legal classes. Empty: every label is one.
    mapping : mapping of str to str
        Class by label, as {"1": "Compact", "wat": "Bent"}. Class names stand for themselves; small and
        capital letters, blanks and hyphens make no difference.
    unlabelled : tuple of str
        Labels that are to be read as none. An empty cell always is.
    """

    classes: tuple[str, ...] = CLASSES
    mapping: Mapping[str, str] = field(default_factory=dict)
    unlabelled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for label, name in self.mapping.items():
            if self.classes and name not in self.classes:
                raise SpecError(
                    f"labels: {label!r} is mapped to {name!r}{_near(name, self.classes)}; "
                    f"legal are {', '.join(self.classes)}"
                )

    def class_of(self, label: str) -> str:
        """Give the class of a label, "" if it is none.

        Examples
        --------
        >>> LabelRule().class_of("FR-II"), LabelRule().class_of("images")
        ('FRII', '')
        """
        return self.table().get(_fold(label), "")

    def table(self) -> dict[str, str]:
        """Give the class by folded label; "" for those to be left unlabelled."""
        known = {_fold(folder): name for folder, name in CLASS_FOLDERS.items() if name in self.classes}
        known |= {_fold(name): name for name in self.classes}
        known |= {_fold(label): name for label, name in self.mapping.items()}
        return known | {_fold(label): "" for label in self.unlabelled} | {"": ""}


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
        head: "RA (hours)". Without a unit, a decimal RA is in degrees; a sexagesimal one is in hours.

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
    table = read_table(path)
    n = len(next(iter(table.values())).values) if table else 0
    if n == 0:
        raise DataError(f"{path}: holds no source; a head of column names and rows are needed")
    used = find_columns(path, list(table), columns or SourceColumns())
    ra, dec = _positions(path, table, used, n)
    files = _texts(table, used.path, n)
    name = _names(path, _texts(table, used.name, n), files, ra, dec)
    label = _labels(path, _texts(table, used.label, n), name, labels or LabelRule())
    taken = {getattr(used, entry.name) for entry in fields(used)}
    return SourceList(
        name,
        files,
        ra,
        dec,
        label,
        _numbers(path, table, used.redshift, n),
        _numbers(path, table, used.size, n, "arcsec"),
        {key: column.values for key, column in table.items() if key not in taken},
        used,
    )


def find_columns(path: Path, names: list[str], columns: SourceColumns) -> SourceColumns:
    """Give the column of a table for each quantity; "" where there is none.

    Raises
    ------
    SpecError
        If a mapped column is not there, more than one would do, or only one of RA and Dec is there.
    """
    found: dict[str, str] = {}
    for key in ALIASES:
        asked = getattr(columns, key)
        found[key] = _found(path, names, key) if asked is None else _asked(path, names, key, asked)
    if columns.position is None and found["ra"] and found["dec"]:
        found["position"] = ""
    if bool(found["ra"]) != bool(found["dec"]):
        there, missing = ("ra", "dec") if found["ra"] else ("dec", "ra")
        raise SpecError(
            f"{path}: the column {found[there]!r} is {there}, but no column is {missing}; the columns are "
            f"{', '.join(names)}: map one, or map {there} to nothing"
        )
    if not (found["name"] or found["path"] or found["ra"] or found["position"]):
        raise SpecError(
            f"{path}: no column is a name, path or position; the columns are {', '.join(names)}: map one"
        )
    return SourceColumns(**found)


def _asked(path: Path, names: list[str], key: str, asked: str) -> str:
    if asked == "" or asked in names:
        return asked
    alike = [name for name in names if name.casefold() == asked.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise SpecError(
        f"{path}: there is no column {asked!r} for {key}{_near(asked, names)}; the columns are {', '.join(names)}"
    )


def _found(path: Path, names: list[str], key: str) -> str:
    alike = [name for name in names if re.sub(r"[\s\-]+", "_", name.strip()).casefold() in ALIASES[key]]
    if len(alike) > 1:
        raise SpecError(f"{path}: {key} could be any of the columns {', '.join(alike)}: map one of them")
    return alike[0] if alike else ""


def _near(word: str, legal: Any) -> str:
    by_folded = {str(name).casefold(): str(name) for name in legal}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(by_folded[match]) for match in near)}?" if near else ""


def _positions(
    path: Path, table: dict[str, Column], used: SourceColumns, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if used.position:
        ra, dec = parse_positions(str(path), table[used.position].values)
    elif used.ra and used.dec:
        ra, dec = (
            to_degrees(f"{path}: {name}", table[name].values, table[name].unit, axis)
            for name, axis in ((used.ra, "ra"), (used.dec, "dec"))
        )
    else:
        return np.full(n, np.nan), np.full(n, np.nan)
    half = np.isfinite(ra) != np.isfinite(dec)
    if half.any():
        row = int(np.argmax(half))
        raise DataError(
            f"{path}, row {row + 1}: has RA {ra[row]} and Dec {dec[row]}; both or neither are needed"
        )
    return ra, dec


def _texts(table: dict[str, Column], name: str | None, n: int) -> NDArray[Any]:
    """Give a column as text; numbers without a needless ".0"."""
    if not name:
        return np.full(n, "")
    values = table[name].values
    if values.dtype.kind == "f":
        words = ["" if np.isnan(x) else str(int(x)) if x.is_integer() else str(x) for x in values.tolist()]
    else:
        words = [str(value).strip() for value in values.tolist()]
    return np.array(["" if word.casefold() in NOTHING else word for word in words])


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


def _fold(label: str) -> str:
    return re.sub(r"[\s_\-]+", "", label).casefold()


def _labels(path: Path, label: NDArray[Any], name: NDArray[Any], rule: LabelRule) -> NDArray[Any]:
    table, result = rule.table(), []
    for row, word in enumerate(label.tolist()):
        folded = _fold(word)
        if folded in table:
            result.append(table[folded])
        elif not rule.classes:
            result.append(word)
        else:
            legal = [*rule.classes, *rule.mapping, *rule.unlabelled]
            raise DataError(
                f"{path}, row {row + 1} ({name[row]}): unknown label {word!r}{_near(word, legal)}; legal are "
                f"{', '.join(legal)}: map it to a class, or list it as unlabelled"
            )
    return np.array(result)


def _numbers(
    path: Path, table: dict[str, Column], name: str | None, n: int, unit: str = ""
) -> NDArray[np.float64]:
    if not name:
        return np.full(n, np.nan)
    column = table[name]
    values = column.values
    if values.dtype.kind not in "biuf":
        values = np.array([_number(path, name, row, word) for row, word in enumerate(values.tolist())])
    return column.converted(f"{path}: {name}", np.asarray(values, dtype=np.float64), unit)


def _number(path: Path, name: str, row: int, word: Any) -> float:
    word = str(word).strip()
    if word.casefold() in NOTHING:
        return float("nan")
    try:
        return float(word)
    except ValueError:
        raise DataError(f"{path}, row {row + 1}: {name} is {word!r}; a number or nothing is needed") from None
