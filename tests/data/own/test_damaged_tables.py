"""Any bytes under the name of a table give sources or an error that names the file, and nothing else."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rgbench.data.own.files import find_images
from rgbench.data.own.plan import FolderOptions, plan_folder
from rgbench.data.own.sources import SourceColumns, read_sources
from rgbench.errors import DataError, RgbenchError

TABLE = Table(
    {"name": ["a", "b", "c"], "ra": [1.5, 2.5, 3.5], "dec": [-1.0, 0.0, 1.0], "label": ["FRI", "", "Bent"]}
)
TABLE["ra"].unit = TABLE["dec"].unit = "deg"
TABLE.meta["EQUINOX"] = 2000.0
KINDS = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable", "fits": "fits", "parquet": "parquet"}


def written(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.{kind}"
        TABLE.write(path, format=KINDS[kind])
        return path.read_bytes()


WHOLE = {kind: written(kind) for kind in KINDS}


def read(content: bytes, kind: str) -> object:
    """Read bytes as a table of a kind; None if they were refused by an error that names the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.{kind}"
        path.write_bytes(content)
        try:
            return read_sources(path)
        except RgbenchError as error:
            message = str(error)
    assert str(path) in message
    return None


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """Bytes of a table that was cut, or of which some were changed, taken out or put in."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    content = bytearray(WHOLE[kind])
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        how = draw(st.sampled_from(("cut", "change", "insert", "delete", "repeat")))
        some = draw(
            st.binary(min_size=1, max_size=4) | st.sampled_from((b"\x00", b"\xff", b"\n", b",", b'"', b"9"))
        )
        if how == "cut":
            del content[place:]
        elif how == "delete":
            del content[place : place + len(some)]
        elif how == "repeat":
            content[place:place] = content[place : place + 40]
        else:
            content[place : place + (len(some) if how == "change" else 0)] = some
    return kind, bytes(content)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_a_damaged_table_is_read_or_refused_by_name(case):
    kind, content = case
    read(content, kind)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(sorted(KINDS)))
def test_any_bytes_are_read_or_refused_by_name(content, kind):
    read(content, kind)


CELLS = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=3))
def test_any_cells_are_read_or_refused_by_name(rows):
    text = io.StringIO()
    text.write("name,ra,dec,z\n" + "\n".join(",".join(row) for row in rows))
    found = read(text.getvalue().encode(), "csv")
    if found is not None:
        assert all(name.isprintable() and name for name in found.name.tolist())


def test_every_whole_table_is_read():
    for kind, content in WHOLE.items():
        found = read(content, kind)
        assert found.name.tolist() == ["a", "b", "c"]
        np.testing.assert_allclose(found.ra, [1.5, 2.5, 3.5], atol=1e-4)


TEXT = "name,ra,dec\nSégré,1.5,2\nb,3,4\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.replace("\n", "\r\n").encode(),
    ],
)
def test_text_of_each_encoding_that_tells_itself(content):
    assert read(content, "csv").name.tolist() == ["Ségré", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("latin-1"), "line 2 holds the byte 0xe9, which is no UTF-8; save the table in UTF-8"),
        (b'name,ra,dec\n"a,1,2\n', "t.csv: cannot be read as a table: line 2: unexpected end of data"),
        (b"name,ra,dec\na,1,2,3\n", r"t.csv, row 1: has 4 cells, the head has 3"),
        (b"name,ra,dec,ra\na,1,2,3\n", "t.csv: column 4 of the head, 'ra', is empty or stands there twice"),
        (b"name,,ra,dec\na,1,2,3\n", "t.csv: column 2 of the head, '', is empty"),
        (b"name,ra,dec\na\x00,1,2\n", "t.csv: cannot be read as a table: line 2 holds a NUL byte"),
        (b"", "t.csv: holds no source"),
    ],
)
def test_what_is_wrong_with_a_text_is_named(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_sources(tmp_path / "t.csv")


def test_columns_of_one_name_are_refused_in_parquet_and_fits(tmp_path):
    values = [pyarrow.array(["a"]), pyarrow.array([1.0]), pyarrow.array([2.0]), pyarrow.array([3.0])]
    pyarrow.parquet.write_table(
        pyarrow.table(values, names=["name", "ra", "dec", "ra"]), tmp_path / "t.parquet"
    )
    with pytest.raises(
        DataError, match="t.parquet: column 4 of the head, 'ra', is empty or stands there twice"
    ):
        read_sources(tmp_path / "t.parquet")
    hdu = fits.BinTableHDU.from_columns(
        [fits.Column(name, "D", array=[1.0]) for name in ("name", "ra", "dec", "x")]
    )
    hdu.writeto(tmp_path / "x.fits")
    (tmp_path / "t.fits").write_bytes(
        (tmp_path / "x.fits").read_bytes().replace(b"'x       '", b"'ra      '")
    )
    with pytest.raises(DataError, match="t.fits: column 4 of the head, 'ra', is empty or stands there twice"):
        read_sources(tmp_path / "t.fits")


def test_an_entity_bomb_is_refused(tmp_path):
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE VOTABLE [<!ENTITY e0 "x">{entities}]><VOTABLE><DESCRIPTION>&e11;'
    (tmp_path / "t.vot").write_text(f"{bomb}</DESCRIPTION></VOTABLE>")
    with pytest.raises(DataError, match="t.vot: cannot be read as a table"):
        read_sources(tmp_path / "t.vot")


def test_a_message_does_not_list_thousands_of_columns(tmp_path):
    (tmp_path / "t.csv").write_text(
        ",".join(f"c{i}" for i in range(5000)) + "\n" + ",".join("1" * 5000) + "\n"
    )
    with pytest.raises(RgbenchError, match=r"the columns are c0, c1, .* and 4970 more") as error:
        read_sources(tmp_path / "t.csv")
    assert len(str(error.value)) < 1000


def test_a_column_of_several_values_a_row_is_none_of_positions(tmp_path):
    Table({"name": ["a"], "ra": [[1.0, 2.0]], "dec": [1.0]}).write(tmp_path / "t.fits")
    with pytest.raises(DataError, match="t.fits: ra: holds 2 values a row; one is needed"):
        read_sources(tmp_path / "t.fits")
    with pytest.raises(DataError, match=r"t.fits: ra holds \(2,\) values a row; one is needed"):
        read_sources(tmp_path / "t.fits", SourceColumns(ra="", dec="", size="ra"))


def test_a_broken_gzip_is_refused(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TEXT.encode())[:-9])
    with pytest.raises(DataError, match="t.csv.gz: cannot be read as a table"):
        read_sources(tmp_path / "t.csv.gz")


def test_a_path_that_no_file_system_holds_is_no_traceback(tmp_path):
    path = "/".join(["d" * 200] * 30) + "/a.fits"
    (tmp_path / "m.csv").write_text(f"name,path\na,{path}\n")
    (wanted,) = plan_folder(tmp_path, tmp_path / "m.csv", None, FolderOptions()).wanted
    assert wanted.name == "a"


def test_folders_and_files_that_cannot_be_looked_at_are_refused_by_name(tmp_path, monkeypatch):
    too_long = tmp_path / ("d" * 300)
    for refused in (
        lambda: plan_folder(too_long, None, None, FolderOptions()),
        lambda: find_images([too_long]),
    ):
        with pytest.raises(DataError, match="ddd: cannot be looked at: File name too long"):
            refused()

    def locked(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", locked)
    with pytest.raises(DataError, match=f"{tmp_path}: cannot be looked at: Permission denied"):
        plan_folder(tmp_path, None, None, FolderOptions())


@pytest.mark.parametrize("axes", ["2147483648", "999999999", "-3"])
def test_a_header_of_too_many_axes_is_refused_at_once(axes):
    """Found by the campaign: astropy counts them, for minutes."""
    card = b"NAXIS   =                    0"
    assert WHOLE["fits"].count(card) == 1
    hostile = WHOLE["fits"].replace(card, f"NAXIS   = {axes:>20}".encode())
    start = time.monotonic()
    for kind, content in (("fits", hostile), ("fits.gz", gzip.compress(hostile))):
        assert read(content, kind) is None
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("columns", ["9223372036854775808", "1000", "-1"])
def test_a_header_of_too_many_columns_is_refused_at_once(columns):
    """Found by the campaign: astropy looks for each of them."""
    card = re.compile(rb"TFIELDS = {19,20}\d+")
    assert len(card.findall(WHOLE["fits"])) == 1
    start = time.monotonic()
    assert read(card.sub(f"TFIELDS = {columns:>20}".encode(), WHOLE["fits"]), "fits") is None
    assert time.monotonic() - start < 5


def test_a_packed_fits_table_is_read_as_the_plain_one():
    plain, packed = read(WHOLE["fits"], "fits"), read(gzip.compress(WHOLE["fits"]), "fits.gz")
    np.testing.assert_array_equal(plain.ra, packed.ra)
