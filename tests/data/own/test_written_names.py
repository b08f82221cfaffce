"""Names and paths are taken as they are written, and the file that a table names before any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from rgbench.data.own.folder import load_folder
from rgbench.data.own.manifest import is_original
from rgbench.data.own.plan import FolderOptions, plan_folder
from rgbench.data.own.sources import read_sources
from rgbench.errors import DataError

LONG = 1237648720693755918
NAMES = [
    "12.10",
    "12.1",
    "1e5",
    "3E12",
    "007",
    "1237648720693755918",
    "1237648720693755919",
    "99999999999999999999",
]


def csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "names", [NAMES, NAMES[:1], NAMES[2:4], NAMES[5:7], ["5", "", "1237648720693755918"]]
)
def test_names_of_a_csv_stay_as_written(tmp_path, names):
    lines = [f"{name},f{i}.fits,{i + 1}.5,2" for i, name in enumerate(names)]
    sources = read_sources(csv(tmp_path / "s.csv", "id,file,ra,dec", *lines))
    assert sources.name.tolist() == [name or f"f{i}" for i, name in enumerate(names)]


@pytest.mark.parametrize("kind", ["fits", "vot", "ecsv", "parquet"])
def test_long_whole_numbers_stay_beside_a_masked_one(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        columns = {
            "source_id": pyarrow.array([LONG, None], pyarrow.int64()),
            "ra": [1.0, 2.0],
            "dec": [1.0, 2.0],
        }
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    else:
        table = Table(
            {"source_id": MaskedColumn([LONG, 0], mask=[False, True]), "ra": [1.0, 2.0], "dec": [1.0, 2.0]}
        )
        table.write(path, format={"vot": "votable", "ecsv": "ascii.ecsv"}.get(kind, kind))
    assert read_sources(path).name.tolist() == [str(LONG), "J000800.00+020000.0"]


def test_long_whole_numbers_of_other_columns_lose_nothing(tmp_path):
    path = csv(tmp_path / "s.csv", "name,objid,host", f"a,{LONG},{LONG}", f"b,{LONG + 1},")
    extra = read_sources(path).extra
    assert extra["objid"].tolist() == [str(LONG), str(LONG + 1)]
    assert extra["host"].tolist() == [str(LONG), ""]


def test_a_name_that_has_lost_its_digits_is_refused(tmp_path):
    Table({"name": [1.0, float(LONG)], "ra": [1.0, 2.0], "dec": [1.0, 2.0]}).write(tmp_path / "t.fits")
    with pytest.raises(
        DataError, match=r"t.fits, row 2: name is .*, a floating-point number, which has lost"
    ):
        read_sources(tmp_path / "t.fits")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\x07b", r"row 1: name is 'a\\x07b'; the character '\\x07' cannot stand"),
        ("a\x1b[31m", "the character .* cannot stand in a name"),
        ("x" * 256, "has a part of 256 bytes, 'xxx.*'...; a name of a file has 255 at most"),
        ("é" * 128, "has a part of 256 bytes"),
    ],
)
def test_names_that_no_file_can_have_are_refused_with_their_row(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        read_sources(csv(tmp_path / "s.csv", "name,ra,dec", f"{name},1,2"))
    assert read_sources(csv(tmp_path / "s.csv", "name,ra,dec", f"{'x' * 255},1,2")).name[0] == "x" * 255


@pytest.mark.parametrize(
    ("second", "original"),
    [("Type-Lit", True), ("type-man", True), ("size", False), ("label", False), ("", False)],
)
def test_two_columns_alone_make_no_manifest_of_2021(tmp_path, second, original):
    path = csv(tmp_path / "m.csv", f"name,{second}", "a,1", "b,2")
    assert is_original(path) == original
    assert is_original(path, stated=True)
    assert not is_original(csv(tmp_path / "n.csv", "name,Type-Lit,x", "a,1,2"))


def images(root: Path, *places: str) -> Path:
    for number, place in enumerate(places, start=1):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        fits.writeto(root / place, np.eye(8, dtype=np.float32) * number)
    return root


def test_sizes_are_no_classes(tmp_path):
    root = images(tmp_path / "d", "s0.fits", "s1.fits")
    data = load_folder(root, csv(tmp_path / "m.csv", "name,size", "s0,12", "s1,1"))
    assert data.catalogue.label.tolist() == [-1, -1]
    assert data.catalogue.extra["angular_size"].tolist() == [12, 1]
    with pytest.raises(DataError, match=r"row 1 \(s0\): unknown label '1'"):
        load_folder(root, csv(tmp_path / "m.csv", "name,label", "s0,1", "s1,2"))


def planned(root: Path, *rows: str) -> dict[str, tuple[str, str]]:
    table = csv(root.parent / "m.csv", "name,path", *rows)
    wanted = plan_folder(root, table, None, FolderOptions()).wanted
    return {w.name: (str(w.file.path.relative_to(root)), w.guess) for w in wanted}


def test_the_path_of_the_table_is_taken_before_a_file_of_its_name(tmp_path):
    root = images(
        tmp_path / "d", "x/a.fits", "y/a.fits", "a.fits", "b_clipped.fits", "x/b_clipped.fits", "c.image"
    )
    found = planned(
        root, "one,y/a.fits", "two,a.fits", "three,b_clipped.fits", "four,c.image", r"five,x\a.fits"
    )
    assert [found[name][0] for name in ("one", "two", "three", "four", "five")] == [
        "y/a.fits",
        "a.fits",
        "b_clipped.fits",
        "c.image",
        "x/a.fits",
    ]
    assert not any(guess for _, guess in found.values())


def test_another_file_of_the_name_is_a_guess_that_is_said(tmp_path):
    root = images(tmp_path / "d", "x/a.fits", "y/a.fits", "z/b.fits")
    found = planned(root, "one,/elsewhere/y/a.fits", "two,b.fits", "three,q/a.fits")
    assert found["one"] == (
        "y/a.fits",
        f"/elsewhere/y/a.fits of the table is not there; {root}/y/a.fits is taken",
    )
    assert found["two"] == ("z/b.fits", f"b.fits of the table is not there; {root}/z/b.fits is taken")
    assert found["three"] == ("q/a.fits", "")  # two would do: it is set aside
    data = load_folder(root, tmp_path / "m.csv")
    assert ("two", found["two"][1]) in data.remarks


def test_one_position_for_all_is_refused_before_any_image_is_read(tmp_path):
    root = images(tmp_path / "d", "a.fits", "b.fits")
    with pytest.raises(
        DataError, match="m.csv: all 2 rows have one position, RA 10, Dec 20 degrees; each source"
    ):
        load_folder(root, csv(tmp_path / "m.csv", "name,ra,dec", "a,10,20", "b,10,20"))


def test_a_file_of_a_name_that_no_table_of_results_holds_is_refused_first(tmp_path):
    images(tmp_path / "d", "b.fits")
    (tmp_path / "d/b.fits").rename(tmp_path / "d/a\x07.fits")
    with pytest.raises(DataError, match=r"its name is .*; the character .* cannot stand in a name"):
        plan_folder(tmp_path / "d", None, None, FolderOptions())
