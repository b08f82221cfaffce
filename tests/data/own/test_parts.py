"""Tables that are read a part at a time are those that are read as a whole: columns, types, units, remarks, errors."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rgbench.data.own import parts as module
from rgbench.data.own.parts import FitsParts, TextParts, WholeTable, as_arrow, open_table
from rgbench.errors import DataError

SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Let tables of a few rows have several parts."""
    monkeypatch.setattr(module, "_BLOCK", 16)
    monkeypatch.setattr(module, "_SCANNED", 2)


def joined(table, rows):
    """Give for each column what all its parts hold: type, values, cells as written, unit, frame, and Arrow's."""
    found = {name: [] for name in table.names}
    for part in table.parts(rows):
        assert list(part) == list(table.names)
        for name, column in part.items():
            found[name].append(column)
    return {
        name: (
            # The length of the longest text is of a part alone.
            {"U" if each.values.dtype.kind == "U" else each.values.dtype.str for each in columns},
            [repr(value) for each in columns for value in each.values.tolist()],
            [None if each.written is None else each.written.tolist() for each in columns],
            {each.unit for each in columns},
            {str(each.frame) for each in columns},
            arrow(columns, table.types[name]),
        )
        for name, columns in found.items()
    }


def arrow(columns, kind):
    try:
        return repr([as_arrow(column, kind).to_pylist() for column in columns])
    except (pa.ArrowException, OverflowError, TypeError) as error:
        return type(error)


def said(path: Path, reader):
    """Give what a reader says of a file, be it an error."""
    try:
        table = reader(path)
    except DataError as error:
        return str(error)
    facts = (list(table.names), table.rows, dict(table.types), table.remarks)
    return facts, [joined(table, rows) for rows in (1, 3, 100)] if table.rows else []


def assert_alike(path: Path) -> None:
    assert said(path, open_table) == said(path, WholeTable)


CELLS = st.one_of(
    st.sampled_from(
        ["", "", "1", "-1", "+1", "007", "1.5", ".5", "1e3", "-2E-3", "nan", "NaN", "inf", "--5", "-",
         "1237648720693755918",
         "9999999999999999", "123456789012345678901", "-0", "0", " 7 ", "12:30:49.4", "+12 23 28", "'=x", "'-5",
         "#a", "²",
         "٣", "β", "a b", "a,b", 'say "x"', "two\nlines", "a\rb", "\x1c", "1_0", "True", "0x10"]
    ),
    st.text(max_size=5).filter(lambda text: "\0" not in text),
)  # fmt: skip
HEADS = ["a", "b (deg)", "c [B1950]", "RA (J2000) (deg)", "a (x)", "", " d", "e"]


def quoted(cell: str, delimiter: str) -> str:
    if any(sign in cell for sign in (delimiter, '"', "\n", "\r")):
        return '"' + cell.replace('"', '""') + '"'
    return cell


@SOME
@given(
    st.lists(st.sampled_from(HEADS), max_size=4),
    st.lists(st.lists(CELLS, max_size=5), max_size=9),
    st.sampled_from(",\t;|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "\ufeff", "# a remark\n", "\n \n"]),
    st.booleans(),
)
@example(["a", "b"], [["1", "2"], ["", "2"], ["3", "5"]], ",", "\n", "", False)
@example(["a", "b"], [["1", "x"], ["1", "2", "", ""], ["1", "2", "3"]], ",", "\n", "", True)
def test_tables_of_text(tmp_path, head, rows, delimiter, end, before, fill):
    if fill:  # as many cells as the head has
        rows = [[*row, *[""] * len(head)][: len(head)] for row in rows]
    lines = [delimiter.join(quoted(cell, delimiter) for cell in row) for row in (head, *rows)]
    path = tmp_path / "a.csv"
    path.write_bytes((before + end.join(lines) + end).encode("utf-8", "surrogatepass"))
    assert_alike(path)


@SOME
@given(
    st.lists(
        st.sampled_from(
            [b"a,b\n", b"1,2\n", b'"', b"\xff", b"\0", b"\xe2\x82", b"\n", b"1,2,3\n", b"x", b","]
        )
    )
)
def test_text_of_which_something_is_wrong(tmp_path, pieces):
    """Of several faults the same is told."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"".join(pieces))
    assert_alike(path)


@SOME
@given(
    st.lists(
        st.sampled_from(["", "1", "2.5", "nan", "7", "123456789012345678", "1234567890123456789", "x", "-3"])
    )
)
def test_columns_of_numbers(tmp_path, cells):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["n,a", *(f"s,{cell}" for cell in cells)]) + "\n")
    assert_alike(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "ra,dec\n1,2\n".encode("utf-16")),
        ("a.txt", b"# %ECSV 1.0\n# ---\n# datatype:\n# - {name: a, datatype: int64}\na\n1\n"),
        ("a.csv", b""),
        ("a.csv", b"\n\n"),
        ("a.csv", b"a,a\n1,2\n"),
        # Without a time: the processes that share the tests must call them alike.
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n3,x\n", mtime=0)),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n" * 9, mtime=0)[:-9]),
        ("a.csv.gz", b"a,b\n1,2\n"),
        ("a.dat", b"a,b\n1,2\n"),
        ("a.fits", b"no table"),
        ("a.ecsv", b"no table"),
    ],
)
def test_other_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert_alike(tmp_path / name)


def test_no_file(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name in ("none.csv", "none.fits", "folder.csv"):
        assert_alike(tmp_path / name)


N = 7
INTEGERS = st.lists(st.integers(-128, 127), min_size=N, max_size=N)
COLUMNS = st.one_of(
    st.tuples(st.just("int"), st.sampled_from("BIJK"), INTEGERS, st.sampled_from([None, 5, -1])),
    st.tuples(st.just("float"), st.sampled_from("ED"), st.lists(
        st.one_of(st.floats(width=32), st.just(float("nan")), st.just(1.0)), min_size=N, max_size=N), st.just(None)),
    st.tuples(st.just("text"), st.just("5A"), st.lists(
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=5), min_size=N, max_size=N),
        st.just(None)),
    st.tuples(st.just("flag"), st.just("L"), st.lists(st.booleans(), min_size=N, max_size=N), st.just(None)),
    st.tuples(st.just("vector"), st.sampled_from(["3E", "3J", "2D"]), INTEGERS, st.sampled_from([None, 5])),
    st.tuples(st.just("scaled"), st.sampled_from("IJ"), INTEGERS, st.sampled_from([None, 5])),
)  # fmt: skip


def fits_column(number: int, what: str, kind: str, values: list, null: int | None) -> fits.Column:
    name, unit = f"c{number}", "deg" if number % 2 else None
    if what == "vector":
        side = int(kind[0])
        array = np.repeat(np.array(values, float)[:, None], side, axis=1) + np.arange(side)
        if "J" not in kind and null is not None:
            array[array == null] = np.nan
        return fits.Column(name, kind, unit, array=array, null=null if "J" in kind else None)
    if what == "scaled":
        return fits.Column(name, kind, unit, array=np.array(values), null=null)  # the header is told later
    if kind == "B":
        values = [abs(value) for value in values]
    return fits.Column(name, kind, unit, array=np.array(values), null=null)


@settings(SOME, max_examples=25)
@given(st.lists(COLUMNS, min_size=1, max_size=5), st.sampled_from([None, "FK4", "FK5"]), st.booleans())
def test_tables_of_fits(tmp_path, columns, frame, two):
    """Integers of which some are missing, NaN in numbers of 32 bits, vectors, scaled ones."""
    made = [fits_column(k, *each) for k, each in enumerate(columns)]
    table = fits.BinTableHDU.from_columns(made, name="FIRST")
    if frame:
        table.header["RADESYS"] = frame
    path = tmp_path / "a.fits"
    for number, each in enumerate(columns, start=1):
        if each[0] == "scaled":
            table.header[f"TSCAL{number}"], table.header[f"TZERO{number}"] = 0.5, 3.0
    fits.HDUList([fits.PrimaryHDU(), table, *([table.copy()] if two else [])]).writeto(path, overwrite=True)
    assert_alike(path)
    if not isinstance(said(path, WholeTable), str):  # which astropy cannot read
        FitsParts(path)


def test_kinds_of_tables_that_are_read_in_parts(tmp_path):
    table = Table(
        {"id": np.arange(9, dtype=np.uint16), "big": np.arange(9, dtype=np.uint64) + 2**63, "x": np.ones(9)}
    )
    table["name"] = [f"β{k}".encode() for k in range(9)]
    table["some"] = MaskedColumn(np.arange(9), mask=np.arange(9) == 8)
    table["x"].unit = "mJy"
    table.write(tmp_path / "a.fits")
    table.write(tmp_path / "a.csv")
    assert type(open_table(tmp_path / "a.fits")) is FitsParts
    assert type(open_table(tmp_path / "a.csv")) is TextParts
    assert open_table(tmp_path / "a.fits").types["some"] == pa.int64()
    for kind in ("fits", "csv"):
        assert_alike(tmp_path / f"a.{kind}")
    some = next(open_table(tmp_path / "a.fits").parts(5, ["x", "id"]))
    assert list(some) == ["x", "id"]


def test_kinds_of_tables_that_only_make_sense_as_a_whole(tmp_path):
    varying = fits.Column("v", "PJ()", array=np.array([np.array([1, 2]), np.array([3])], dtype=object))
    fits.BinTableHDU.from_columns([varying]).writeto(tmp_path / "varying.fits")
    sky = SkyCoord([1, 2] * units.deg, [3, 4] * units.deg)
    QTable({"at": sky, "f": [1, 2] * units.Jy}).write(tmp_path / "serialised.fits")
    fits.TableHDU.from_columns([fits.Column("a", "I5", array=[1, 2])]).writeto(tmp_path / "text.fits")
    fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[])]).writeto(tmp_path / "empty.fits")
    Table({"ra": [1.0, 2.0]}).write(tmp_path / "packed.fits.gz")
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    Table({"ra": np.arange(999.0)}).write(tmp_path / "whole.fits")
    (tmp_path / "cut.fits").write_bytes((tmp_path / "whole.fits").read_bytes()[:-2880])
    Table({"ra": [1.0, 2.0], "id": [1, 2]}).write(tmp_path / "a.vot", format="votable")
    for path in tmp_path.glob("[!w]*"):
        assert_alike(path)
        if path.name not in ("image.fits", "cut.fits"):
            assert type(open_table(path)) is WholeTable


def test_rows_that_are_wide_come_fewer_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_BYTES", 100)
    Table({"v": np.arange(60.0).reshape(12, 5)}).write(tmp_path / "a.fits")
    assert [len(part["v"].values) for part in open_table(tmp_path / "a.fits").parts(50)] == [2] * 6
