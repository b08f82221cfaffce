"""Lists of sources in any format: columns found or mapped, positions, units, labels, and errors by row."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from astropy import units as u
from astropy.coordinates import FK4, Angle, SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from hypothesis import given
from hypothesis import strategies as st

from rgbench.data.own.angles import name_of_position, parse_angle, position_in_name
from rgbench.data.own.files import file_stem
from rgbench.data.own.labels import LabelRule
from rgbench.data.own.sources import (
    ALIASES,
    LESS_USUAL,
    SourceColumns,
    SourceList,
    read_places,
    read_sources,
)
from rgbench.data.own.tabular import Column
from rgbench.errors import DataError, SpecError

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")


def csv(tmp_path: Path, *lines: str, name="s.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def same_table() -> Table:
    table = Table()
    table["Source_Name"] = ["a", "b", "007"]
    table["RAJ2000"] = MaskedColumn([10.5, 0.0, 359.5], mask=[False, True, False], unit="deg")
    table["DEJ2000"] = MaskedColumn([-1.5, 0.0, 89.0], mask=[False, True, False], unit="deg")
    table["Type"] = MaskedColumn([1, 2, 0], mask=[False, False, True])
    table["z"] = MaskedColumn([0.1, 0.2, 0.0], mask=[False, False, True], dtype="f4")
    table["LAS"] = MaskedColumn([0.5, 1.0, 2.0], unit="arcmin")
    table["flux"] = [1, 2, 3]
    return table


FORMATS = {
    "t.ecsv": "ascii.ecsv",
    "t.vot": "votable",
    "t.xml": "votable",
    "t.fits": "fits",
    "t.fits.gz": "fits",
    "t.parquet": "parquet",
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_the_same(tmp_path, name):
    path = tmp_path / name
    if name.endswith("parquet"):
        table = same_table()
        columns = {k: pyarrow.array(table[k].tolist()) for k in table.colnames}
        schema = pyarrow.schema(
            [
                pyarrow.field(k, v.type, metadata={"unit": str(table[k].unit or "")})
                for k, v in columns.items()
            ]
        )
        pyarrow.parquet.write_table(pyarrow.table(list(columns.values()), schema=schema), path)
    else:
        same_table().write(path, format=FORMATS[name])
    sources = read_sources(path, labels=LabelRule(mapping={"1": "Compact", "2": "Bent"}))
    assert sources.name.tolist() == ["a", "b", "007"]
    np.testing.assert_array_equal(sources.ra, [10.5, np.nan, 359.5])
    np.testing.assert_array_equal(sources.dec, [-1.5, np.nan, 89.0])
    assert sources.label.tolist() == ["Compact", "Bent", ""]
    np.testing.assert_allclose(sources.redshift, [0.1, 0.2, np.nan], rtol=1e-6)
    np.testing.assert_allclose(sources.size, [30, 60, 120])
    assert list(sources.extra) == ["flux"]
    assert sources.extra["flux"].dtype.isnative
    assert sources.extra["flux"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("unit", ["deg", "hourangle", "rad", "arcsec"])
def test_units_of_columns_count(tmp_path, unit):
    table = Table({"name": ["a"], "ra": [(187.5 * u.deg).to_value(unit)], "dec": [-12.0]})
    table["ra"].unit, table["dec"].unit = unit, "deg"
    path = tmp_path / ("t.ecsv" if unit == "hourangle" else "t.vot")  # VOTable has no hour angle
    table.write(path, format=FORMATS[path.name])
    sources = read_sources(path)
    assert sources.ra[0] == pytest.approx(187.5)
    assert sources.dec[0] == pytest.approx(-12)


def test_hours_only_if_the_unit_says_so(tmp_path):
    assert read_sources(csv(tmp_path, "name,ra,dec", "a,12.5,1")).ra[0] == 12.5
    assert read_sources(csv(tmp_path, "name,RA (hours),Dec [deg]", "a,12.5,1")).ra[0] == 187.5
    assert read_sources(csv(tmp_path, "name,ra (h),dec", "a,12 30 00,1")).ra[0] == 187.5
    with pytest.raises(DataError, match=r"s.csv: ra has the unit 'furlong'; legal are deg"):
        read_sources(csv(tmp_path, "name,ra (furlong),dec", "a,12.5,1"))
    hours = fits.BinTableHDU.from_columns(
        [
            fits.Column("ID", "J", array=[5, 6]),
            fits.Column("RA", "D", unit="h", array=[1.0, 2.0]),
            fits.Column("DEC", "D", unit="rad", array=[0.5, -0.5]),
        ]
    )
    hours.writeto(tmp_path / "h.fits")
    sources = read_sources(tmp_path / "h.fits")
    assert sources.name.tolist() == ["5", "6"]
    np.testing.assert_allclose(sources.ra, [15, 30])
    np.testing.assert_allclose(sources.dec, np.rad2deg([0.5, -0.5]))


@pytest.mark.parametrize(
    ("text", "ra", "dec"),
    [
        ("12 30 49.4 +12 23 28", 187.7058333, 12.3911111),
        ("12:30:49.4 -00:23:28", 187.7058333, -0.3911111),
        ("12h30m49.4s +12d23m28s", 187.7058333, 12.3911111),
        ("12h30m49.4s+12d23m28s", 187.7058333, 12.3911111),
        ("J123049.4", None, None),
        ("12 30 49.4 12 23 28", 187.7058333, 12.3911111),
        ("187.7 12.4", 187.7, 12.4),
        ("187.7 -12.4", 187.7, -12.4),
        ("187.7+12.4", 187.7, 12.4),
    ],
)
def test_positions_in_one_column(tmp_path, text, ra, dec):
    path = csv(tmp_path, "name,position", f"a,{text}")
    if ra is None:
        with pytest.raises(DataError, match=r"row 1: .* is no position"):
            read_sources(path)
        return
    sources = read_sources(path)
    assert (sources.ra[0], sources.dec[0]) == pytest.approx((ra, dec), abs=1e-6)


@given(ra=st.floats(0, 359.999), dec=st.floats(-89.99, 89.99), mark=st.sampled_from([":", " ", "letters"]))
def test_sexagesimal_is_astropy_s(ra, dec, mark):
    sky = SkyCoord(ra, dec, unit="deg")
    seps = {"letters": "fromunit"}.get(mark, mark)
    hours, degrees = (
        sky.ra.to_string("hour", sep=seps, precision=6, pad=True),
        sky.dec.to_string("deg", sep=seps, precision=6, pad=True, alwayssign=True),
    )
    assert parse_angle(hours, "ra") == pytest.approx(Angle(hours, "hourangle").deg, abs=1e-10)
    assert parse_angle(degrees, "dec") == pytest.approx(dec, abs=1e-8)


@pytest.mark.parametrize(
    ("text", "axis", "degrees"),
    [
        ("12h30m", "ra", 187.5),
        ("12:30", "ra", 187.5),
        ("187d30m", "ra", 187.5),
        ("-0d30.5m", "dec", -(30 + 0.5) / 60),
        ("1°30′", "dec", 1.5),
        ("12:30:00 S", "dec", -12.5),
    ],
)
def test_what_has_not_three_parts_is_read_by_astropy(text, axis, degrees):
    assert parse_angle(text, axis) == pytest.approx(degrees, abs=1e-11)
    for hours in ("12h30m", "12h"):
        with pytest.raises(ValueError, match="is in hours; degrees are needed"):
            parse_angle(hours, "dec")
    for wrong in ("12:61", "12 apples", "h", "12:30:60"):
        with pytest.raises(ValueError, match="is neither degrees nor sexagesimal|of 60 or more"):
            parse_angle(wrong, axis)


@given(ra=st.floats(0, 359.9999), dec=st.floats(-90, 90))
def test_names_of_positions_are_truncated_and_read_back(ra, dec):
    back = position_in_name(name_of_position(ra, dec))
    assert -1e-6 <= (ra - back[0]) * 240 < 0.01 + 1e-6  # seconds of time: cut off, never rounded up
    assert -1e-6 <= (abs(dec) - abs(back[1])) * 3600 < 0.1 + 1e-5


@given(text=st.text(max_size=20))
def test_any_text_is_an_angle_or_refused(text):
    try:
        value = parse_angle(text, "ra")
    except ValueError:
        return
    assert isinstance(value, float)


@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("LOTSS_J105007.27+304037.52", (162.5302917, 30.6770889)),
        ("J103007+304037", (157.5291667, 30.6769444)),
        ("100_209.593+018.300_0.1256_0045.00", (209.593, 18.3)),
        ("100_209.593_-018.300", (209.593, -18.3)),
        ("48.71_-0.77_3_Proctor_Tab1", (48.71, -0.77)),
        ("3C194", (np.nan, np.nan)),
        ("1409-0135", (np.nan, np.nan)),
        ("data_100", (np.nan, np.nan)),
    ],
)
def test_positions_in_names(name, position):
    assert position_in_name(name) == pytest.approx(position, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,1,2,FRI", "b,361,2,FRI"], r"s.csv: ra, row 2: 361.* is 361 degrees; legal are 0 to 360"),
        (["a,1,-90.5,FRI"], r"s.csv: dec, row 1: -90.5 is -90.5 degrees; legal are -90 to 90"),
        (["a,12:61:00,2,FRI"], r"ra, row 1: '12:61:00' has minutes or seconds of 60 or more"),
        (["a,1,12h00m00s,FRI"], r"dec, row 1: '12h00m00s' is in hours"),
        (["a,somewhere,2,FRI"], r"ra, row 1: 'somewhere' is neither degrees nor sexagesimal"),
        (["a,1,,FRI"], r"s.csv, row 1: has RA 1.0 and Dec nan; both or neither are needed"),
        (
            ["a,1,2,FRII", "b,1,2,FR3"],
            r"s.csv, row 2 \(b\): unknown label 'FR3'; did you mean .*legal are Compact, FRI",
        ),
        (["a,1,2,FRI", "a,1,2,FRI"], r"s.csv, row 2: the name 'a' stands in row 1 already"),
        ([",,,FRI"], r"s.csv, row 1: the name is empty, and so are path and position"),
        (["a,1,2"], r"s.csv, row 1: has 3 cells, the head has 4"),
        ([], "s.csv: holds no source"),
    ],
)
def test_mistakes_name_the_row_and_what_is_legal(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read_sources(csv(tmp_path, "name,ra,dec,label", *rows))


def test_numbers_that_are_none(tmp_path):
    sources = read_sources(csv(tmp_path, "name,z,size", "a,--,12", "b,0.5,", "c,N/A,3"))
    np.testing.assert_array_equal(sources.redshift, [np.nan, 0.5, np.nan])
    np.testing.assert_array_equal(sources.size, [12, np.nan, 3])
    with pytest.raises(DataError, match="row 1: z is 'high'; a number or nothing is needed"):
        read_sources(csv(tmp_path, "name,z", "a,high"))


def test_names_fall_back_to_file_and_position(tmp_path):
    lines = ("name,file,ra,dec", "x,a.fits,1,2", ",sub/b.fits.gz,1,2", ",,187.5,-1.5")
    sources = read_sources(csv(tmp_path, *lines))
    assert sources.name.tolist() == ["x", "b", "J123000.00-013000.0"]
    assert sources.path.tolist() == ["a.fits", "sub/b.fits.gz", ""]


def test_columns_are_mapped_or_the_question_is_put(tmp_path):
    path = csv(tmp_path, "Component_Name,RA_J2000,DEC,peak_ra,peak_dec", "a,1,2,3,4")
    sources = read_sources(path)
    assert (sources.ra[0], sources.columns.ra, sources.columns.dec) == (1, "RA_J2000", "DEC")
    mapped = SourceColumns.of({"ra": "peak_ra", "dec": "PEAK_DEC"})
    assert read_sources(path, mapped).ra[0] == 3
    assert list(read_sources(path, mapped).extra) == ["RA_J2000", "DEC"]
    with pytest.raises(SpecError, match=r"no column 'peek_ra' for ra; did you mean 'peak_ra'"):
        read_sources(path, SourceColumns(ra="peek_ra"))
    with pytest.raises(SpecError, match=r"unknown key 'rightasc'.*legal are name, path, position, ra"):
        SourceColumns.of({"rightasc": "RA"})
    with pytest.raises(SpecError, match="ra could be any of the columns ra, RAJ2000: map one of them"):
        read_sources(csv(tmp_path, "name,ra,RAJ2000,dec", "a,1,2,3"))
    with pytest.raises(SpecError, match="the column 'ra' is ra, but no column is dec"):
        read_sources(csv(tmp_path, "name,ra", "a,1"))
    with pytest.raises(SpecError, match="no column is a name, path or position; the columns are flux"):
        read_sources(csv(tmp_path, "flux", "1"))
    without = read_sources(csv(tmp_path, "name,label", "a,what"), SourceColumns(label=""))
    assert without.label.tolist() == [""]


def test_less_usual_names_of_names_count_where_there_is_no_other(tmp_path):
    alone = read_sources(csv(tmp_path, "File_ID,ra,dec", "a.fits,1,2"))
    assert (alone.name.tolist(), alone.columns.name, alone.remarks) == (["a.fits"], "File_ID", ())
    beside = read_sources(csv(tmp_path, "file id,name", "a,b"))
    assert (beside.name.tolist(), list(beside.extra)) == (["b"], ["file id"])
    with pytest.raises(SpecError, match="name could be any of the columns file_id, target: map one of them"):
        read_sources(csv(tmp_path, "file_id,target,ra,dec", "a,b,1,2"))


def test_names_that_were_made_of_positions_are_said_with_the_likely_column(tmp_path):
    sources = read_sources(csv(tmp_path, "note,which,ra,dec", "x,a,1,2", "x,b,3,4"))
    assert sources.name[0].startswith("J0004")
    (remark,) = sources.remarks
    assert "no column of names or files was found among note, which, ra, dec" in remark
    assert "names were made of the positions" in remark
    assert "--column name=which" in remark
    assert "columns = { name = 'which' }" in remark
    (remark,) = read_sources(csv(tmp_path, "flux,ra,dec", "1,1,2")).remarks
    assert "--column name=COLUMN" in remark


def test_every_alias_is_found_and_stands_for_one_thing():
    words = [*(alias for aliases in ALIASES.values() for alias in aliases), *LESS_USUAL]
    assert len(words) == len(set(words))
    assert all(word == word.casefold().strip() for word in words)


def test_labels_are_mapped(tmp_path):
    path = csv(tmp_path, "name,class", "a,1", "b,wat", "c,FR-II", "d,fr i", "e,", "f,unclear", "g,COMP")
    rule = LabelRule(mapping={"1": "Compact", "WAT": "Bent"}, unlabelled=("unclear",))
    assert read_sources(path, labels=rule).label.tolist() == [
        "Compact",
        "Bent",
        "FRII",
        "FRI",
        "",
        "",
        "Compact",
    ]
    with pytest.raises(DataError, match=r"row 6 \(f\): unknown label 'unclear'.*--leave-out WORD"):
        read_sources(path, labels=LabelRule(mapping={"1": "Compact", "wat": "Bent"}))
    assert set(read_sources(path, labels=LabelRule(classes=())).label) >= {"wat", "FR-II", ""}
    with pytest.raises(SpecError, match=r"labels: '1' is mapped to 'Compakt'; did you mean 'Compact'"):
        LabelRule(mapping={"1": "Compakt"})


def test_csv_of_many_kinds(tmp_path):
    text = '\ufeff# a remark\nname;ra;dec;note\n"a;b";1,5;2;x\n'
    path = tmp_path / "s.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="'1,5' is neither degrees nor sexagesimal"):
        read_sources(path)
    path.write_text(text.replace("1,5", "1.5"), encoding="utf-8")
    sources = read_sources(path)
    assert (sources.name[0], sources.ra[0]) == ("a;b", 1.5)
    with gzip.open(tmp_path / "s.tsv.gz", "wt") as file:
        file.write("id\tra\tdec\n007\t1\t2\n\n")
    assert read_sources(tmp_path / "s.tsv.gz").name.tolist() == ["007"]


@pytest.mark.parametrize("name", ["bad.fits", "bad.vot", "bad.parquet", "bad.ecsv", "bad.csv"])
def test_unreadable_tables_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00nothing\x00")
    with pytest.raises(DataError, match=f"{name}: cannot be read as a table"):
        read_sources(tmp_path / name)
    with pytest.raises(DataError, match="missing.csv: cannot be read as a table"):
        read_sources(tmp_path / "missing.csv")
    with pytest.raises(DataError, match=r"a.xlsx: unknown kind of table; legal endings are .ecsv, .csv"):
        read_sources(tmp_path / "a.xlsx")


def test_byte_strings_and_skycoord(tmp_path):
    array = np.array([(b"src ", 1.5, 2.5)], dtype=[("name", "S4"), ("ra", ">f8"), ("dec", ">f4")])
    fits.BinTableHDU(array).writeto(tmp_path / "b.fits")
    sources = read_sources(tmp_path / "b.fits")
    assert sources.name.tolist() == ["src"]
    assert (sources.ra.dtype, sources.ra[0], sources.dec[0]) == (np.dtype("float64"), 1.5, 2.5)
    sky = SkyCoord([1.0], [2.0], unit="deg", frame="galactic")
    Table({"name": ["a"], "sky": sky}).write(tmp_path / "g.ecsv", format="ascii.ecsv")
    sources = read_sources(tmp_path / "g.ecsv")
    assert (sources.ra[0], sources.dec[0]) == pytest.approx((sky.icrs.ra.deg[0], sky.icrs.dec.deg[0]))


def test_stems():
    assert file_stem("J0030.50+1.5") == "J0030.50+1.5"
    assert file_stem("C:\\data\\a.FITS") == "a"


@needs_mirror
def test_real_catalogues():
    sources = read_sources(MIRROR / "catalogues/lrg_unlrg.csv", SourceColumns(label="class4"))
    assert len(sources) == 15421
    there = [position_in_name(name) for name in sources.name.tolist()]
    np.testing.assert_allclose(np.array(there), np.stack((sources.ra, sources.dec), axis=1), atol=1e-6)
    columns = SourceColumns(ra="ra_header", dec="dec_header", label="mb_class4", size="size_arcsec")
    with pytest.raises(DataError, match="unknown label 'Hybrid'"):
        read_sources(MIRROR / "MiraBest_FITS/labels.csv", columns)
    sources = read_sources(MIRROR / "MiraBest_FITS/labels.csv", columns, LabelRule(unlabelled=("Hybrid",)))
    assert len(sources) == 168
    assert sources.redshift[0] == 0.1228
    assert set(sources.label) == {"FRI", "FRII", "Bent", ""}


# --- what a table says in words of its own ----------------------------------------------------------------


def of_text(folder, text: str, **columns) -> SourceList:
    path = folder / "t.csv"
    path.write_text(text)
    return read_sources(path, SourceColumns(**columns))


def test_masks_and_positions_of_astropy_s_parquet_are_those_of_its_ecsv(tmp_path):
    """The masks are columns there, and were not looked at: hidden labels were trained on."""
    table = QTable(
        {
            "name": ["a", "b", "c"],
            "sky": SkyCoord([45, 60, 70], [45, 46, 47], unit="deg", frame="galactic"),
            "label": MaskedColumn(["FRI", "FRII", "Bent"], mask=[False, True, False]),
        }
    )
    found = []
    for ending in ("ecsv", "parquet"):
        table.write(tmp_path / f"t.{ending}")
        found.append(read_sources(tmp_path / f"t.{ending}"))
    assert found[1].label.tolist() == found[0].label.tolist() == ["FRI", "", "Bent"]
    np.testing.assert_allclose(found[1].ra, found[0].ra)
    np.testing.assert_allclose(found[1].ra, table["sky"].icrs.ra.deg)


def test_a_parquet_without_rows_holds_no_source(tmp_path):
    pyarrow.parquet.write_table(
        pyarrow.table({"name": pyarrow.array([], pyarrow.string())}), tmp_path / "t.parquet"
    )
    with pytest.raises(DataError, match="holds no source"):
        read_sources(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    "head",
    [
        "RAh,RAm,DEd",
        "RA_B1950,DEC_B1950,x",
        "glon,glat,x",
        "_RAB1950,_DEB1950,x",
        "sky.ra,sky.dec,x",
        "ra_rad,dec_rad,x",
    ],
)
def test_columns_that_look_like_positions_and_are_none_are_said(tmp_path, head):
    found = of_text(tmp_path, f"name,{head}\na,3,0,45\nb,4,0,46\n")
    assert np.isnan(found.ra).all()
    assert any(
        "no position is read, though " in remark and head.split(",")[0] in remark for remark in found.remarks
    )


def test_other_columns_are_not_taken_for_positions(tmp_path):
    found = of_text(tmp_path, "name,radius,decision,blend,rate,label\na,1,2,3,4,FRI\n")
    assert found.remarks == ()


def test_the_name_of_a_column_states_its_radians(tmp_path):
    found = of_text(tmp_path, "name,ra_rad,dec_rad\na,3.2,-0.5\n", ra="ra_rad", dec="dec_rad")
    np.testing.assert_allclose([found.ra[0], found.dec[0]], np.degrees([3.2, -0.5]))


def test_the_name_of_a_column_states_its_frame_and_hours(tmp_path):
    text = "name,RA_B1950,DEC_B1950,glon,glat,RAh,DEd\na,45,45,30,60,3,45\n"
    old = of_text(tmp_path, text, ra="RA_B1950", dec="DEC_B1950")
    expected = SkyCoord(45, 45, unit="deg", frame=FK4(equinox="B1950")).icrs
    np.testing.assert_allclose([old.ra[0], old.dec[0]], [expected.ra.deg, expected.dec.deg])
    galactic = of_text(tmp_path, text, ra="glon", dec="glat")
    assert galactic.ra[0] == pytest.approx(SkyCoord(30, 60, unit="deg", frame="galactic").icrs.ra.deg)
    assert "glon and glat are in galactic, as its name says: turned to ICRS" in galactic.remarks
    assert of_text(tmp_path, text, ra="RAh", dec="DEd").ra[0] == 45.0


def test_a_part_of_an_angle_is_no_angle(tmp_path):
    with pytest.raises(SpecError, match="RAh and RAm are parts of one angle"):
        of_text(tmp_path, "name,RAh,RAm,DEd\na,3,30,45\n", ra="RAh", dec="DEd")


def test_numbers_that_no_source_can_have_are_not_known(tmp_path):
    """-99 was plotted as a redshift, and counted as an angular size."""
    found = of_text(tmp_path, "name,z,las\na,-9.99,-99\nb,0.1,30\nc,inf,0\nd,-0.001,\n")
    np.testing.assert_array_equal(found.redshift, [np.nan, 0.1, np.nan, -0.001])
    np.testing.assert_array_equal(found.size, [np.nan, 30, np.nan, np.nan])
    assert found.remarks == (
        "z: no redshift in 2 rows (the first -9.99); taken as not known",
        "las: no size in 2 rows (the first -99); taken as not known",
    )


@pytest.mark.parametrize(("ra", "dec"), [("lii", "bii"), ("SGL", "SGB")])
def test_frames_that_catalogues_have_names_for(tmp_path, ra, dec):
    found = of_text(tmp_path, f"name,{ra},{dec}\na,30,60\n", ra=ra, dec=dec)
    frame = "galactic" if ra == "lii" else "supergalactic"
    assert found.ra[0] == pytest.approx(SkyCoord(30, 60, unit="deg", frame=frame).icrs.ra.deg)


def test_a_frame_that_is_not_read_is_named(tmp_path):
    with pytest.raises(DataError, match="its positions are in the frame 'ecliptic', as its name says"):
        of_text(tmp_path, "name,ELON,ELAT\na,30,60\n", ra="ELON", dec="ELAT")


def test_a_column_of_equinoxes_counts(tmp_path):
    found = of_text(tmp_path, "name,ra,dec,equinox\na,45,45,B1950\nb,60,46,B1950\n")
    expected = SkyCoord([45, 60], [45, 46], unit="deg", frame=FK4(equinox="B1950")).icrs
    np.testing.assert_allclose(found.ra, expected.ra.deg)
    assert of_text(tmp_path, "name,ra,dec,equinox\na,45,45,J2000\n").ra[0] == 45
    with pytest.raises(DataError, match="its rows have the frames B1950, J2000"):
        of_text(tmp_path, "name,ra,dec,equinox\na,45,45,B1950\nb,60,46,J2000\n")


def test_the_name_of_a_size_states_its_unit(tmp_path):
    assert of_text(tmp_path, "name,LAS_arcmin\na,3.5\n", size="LAS_arcmin").size[0] == pytest.approx(210)


def test_python_s_own_spelling_of_numbers_and_far_redshifts_are_none(tmp_path):
    with pytest.raises(DataError, match="row 1: las is '1_000'"):
        of_text(tmp_path, "name,las\na,1_000\nb,x\n")
    assert np.isnan(of_text(tmp_path, "name,z\na,99\nb,0.3\n").redshift[0])


def test_places_are_read_of_any_columns():
    cells = {"Source Name": ["a", "b"], "RA": ["12:30:49.4", ""], "Dec": ["+12:23:28", ""]}
    table = {name: Column(np.array(values)) for name, values in cells.items()}
    places = read_places(Path("t"), table, SourceColumns(label="", size=""))
    expected = SkyCoord("12h30m49.4s +12d23m28s")
    assert (places.columns.name, places.columns.placed, len(places)) == ("Source Name", ["RA", "Dec"], 2)
    np.testing.assert_allclose(places.ra, [expected.ra.deg, np.nan])
    np.testing.assert_allclose(places.dec, [expected.dec.deg, np.nan])
    for empty in ({}, {"ra": Column(np.array([]))}):
        with pytest.raises(DataError, match="t: holds no galaxy; a head of column names and rows are needed"):
            read_places(Path("t"), empty, SourceColumns(), of="galaxy")
