"""What a table states of its positions is honoured: frames, units, the first of several tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import FK5, SkyCoord
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import Table

from rgbench.data.own.frames import Frame, astropy_frame
from rgbench.data.own.sources import SourceColumns, read_sources
from rgbench.errors import DataError

RA, DEC = 40.0, 25.0
VOTABLE = """<?xml version="1.0"?>
<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>{systems}<TABLE>
<FIELD name="name" datatype="char" arraysize="*"/>
<FIELD ID="f1" name="RA" datatype="double" unit="deg" {ref}/>
<FIELD ID="f2" name="DEC" datatype="double" unit="deg" {ref}/>{group}
<DATA><TABLEDATA><TR><TD>a</TD><TD>40</TD><TD>25</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
FK4, GALACTIC = (
    SkyCoord(RA, DEC, unit="deg", frame="fk4").icrs,
    SkyCoord(RA, DEC, unit="deg", frame="galactic").icrs,
)


def coosys(system: str, equinox: str = "", name: str = "c") -> str:
    return f'<COOSYS ID="{name}" system="{system}"' + (f' equinox="{equinox}"' if equinox else "") + "/>"


def votable(tmp_path: Path, *systems: str, ref: str = 'ref="c"', group: str = "") -> Path:
    path = tmp_path / "t.vot"
    path.write_text(VOTABLE.format(systems="".join(systems), ref=ref, group=group))
    return path


def position(path: Path, columns: SourceColumns | None = None) -> tuple[float, float]:
    sources = read_sources(path, columns)
    return float(sources.ra[0]), float(sources.dec[0])


def icrs(sky: SkyCoord) -> object:
    return pytest.approx((sky.ra.deg, sky.dec.deg), abs=1e-9)


@pytest.mark.parametrize(
    ("system", "equinox", "right"),
    [
        ("ICRS", "", SkyCoord(RA, DEC, unit="deg")),
        ("eq_FK4", "B1950", FK4),
        ("eq_FK4", "1950.0", FK4),
        ("eq_FK5", "J2000", SkyCoord(RA, DEC, unit="deg", frame="fk5").icrs),
        ("eq_FK5", "J1975", SkyCoord(RA, DEC, unit="deg", frame=FK5(equinox="J1975")).icrs),
        ("galactic", "", GALACTIC),
    ],
)
def test_a_coosys_is_honoured_by_field_by_group_and_alone(tmp_path, system, equinox, right):
    stated = coosys(system, equinox)
    assert position(votable(tmp_path, stated)) == icrs(right)
    group = '<GROUP ref="c"><FIELDref ref="f1"/><FIELDref ref="f2"/></GROUP>'
    other = coosys("ICRS" if system != "ICRS" else "eq_FK4", name="d")
    assert position(votable(tmp_path, stated, other, ref="", group=group)) == icrs(right)
    assert position(votable(tmp_path, stated, ref="")) == icrs(right)


def test_what_was_turned_is_said(tmp_path):
    (remark,) = read_sources(votable(tmp_path, coosys("eq_FK4", "B1950"))).remarks
    assert remark == "RA and DEC are in eq_FK4 B1950, as COOSYS says: turned to ICRS"
    assert read_sources(votable(tmp_path, coosys("ICRS"))).remarks == ()


@pytest.mark.parametrize(
    ("systems", "ref", "message"),
    [
        (
            [coosys("ecl_FK5", "J2000")],
            'ref="c"',
            "t.vot: its positions are in the frame 'ecl_FK5 J2000', as COOSYS",
        ),
        (
            [coosys("eq_FK5", "soon")],
            'ref="c"',
            "have the equinox 'soon', as COOSYS says; legal are such as J2000",
        ),
        ([coosys("eq_FK5"), coosys("eq_FK4", name="d")], "", "in the frame 'eq_FK5 or eq_FK4'"),
    ],
)
def test_a_frame_that_is_not_understood_is_refused(tmp_path, systems, ref, message):
    with pytest.raises(DataError, match=message):
        read_sources(votable(tmp_path, *systems, ref=ref))


KEYS = [
    ({"EQUINOX": 1950.0}, FK4),
    ({"RADESYS": "FK4"}, FK4),
    ({"RADESYS": "FK4", "EQUINOX": 1950.0}, FK4),
    ({"RADESYS": "ICRS", "EQUINOX": 2000.0}, SkyCoord(RA, DEC, unit="deg")),
    ({"EQUINOX": 2000.0}, SkyCoord(RA, DEC, unit="deg", frame="fk5").icrs),
]


@pytest.mark.parametrize("kind", ["fits", "ascii.ecsv", "parquet"])
@pytest.mark.parametrize(("keys", "right"), KEYS)
def test_radesys_and_equinox_are_honoured(tmp_path, kind, keys, right):
    table = Table({"Source_name": ["a"], "RA": [RA * 3600], "DEC": [DEC]}, meta=keys)
    table["RA"].unit, table["DEC"].unit = "arcsec", "deg"
    path = tmp_path / f"t.{kind.removeprefix('ascii.')}"
    table.write(path, format=kind)
    assert position(path) == icrs(right)


def test_names_of_columns_and_the_frame_must_agree(tmp_path):
    path = tmp_path / "t.fits"
    Table({"name": ["a"], "RAJ2000": [RA], "DEJ2000": [DEC]}, meta={"EQUINOX": 1950.0}).write(path)
    with pytest.raises(
        DataError, match="t.fits: the column 'RAJ2000' and EQUINOX = 'FK4 1950.0' say different"
    ):
        read_sources(path)


def test_longitude_and_latitude_need_one_frame(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("name,RA (B1950),Dec (J2000)\na,40,25\n")
    with pytest.raises(DataError, match="RA is in the frame 'FK4 B1950', Dec in ''|one is needed"):
        read_sources(path)


@pytest.mark.parametrize(
    ("head", "row", "right"),
    [
        ("RA (J2000),Dec (J2000)", "12:30:00,+10:00:00", (187.5, 10)),
        ("RA [h m s],Dec [d m s]", "12 30 00,+10 00 00", (187.5, 10)),
        ("RA (hh:mm:ss.s),Dec (dd:mm:ss)", "12:30:00,+10:00:00", (187.5, 10)),
        ("RA(J2000) [deg],DEC(J2000) [deg]", "187.5,10", (187.5, 10)),
        ("RA (Degrees),Dec (DEGREES)", "187.5,10", (187.5, 10)),
        ("RA (radians),Dec (arcsec)", f"{float(np.deg2rad(187.5))!r},36000", (187.5, 10)),
        ("RA (hourangle),Dec (deg)", "12.5,10", (187.5, 10)),
        ("RA (deg),Dec (deg)", "187:30:00,10:00:00", (187.5, 10)),
        ("RA (deg),Dec (deg)", "12:30:00,10:00:00", (12.5, 10)),
        ("RA (d:m:s),Dec (d:m:s)", "12:30:00,10:00:00", (12.5, 10)),
        ("RA (deg),Dec (deg)", "12h30m00s,10d00m00s", (187.5, 10)),
        ("RA,Dec", "12:30:00,10:00:00", (187.5, 10)),
        ("RA (B1950),Dec (B1950)", "40,25", (FK4.ra.deg, FK4.dec.deg)),
    ],
)
def test_units_and_frames_in_a_head(tmp_path, head, row, right):
    path = tmp_path / "s.csv"
    path.write_text(f"name,{head}\na,{row}\n")
    assert position(path) == pytest.approx(right, abs=1e-9)


@pytest.mark.parametrize(
    ("head", "row", "message"),
    [
        ("RA (h:m:s),Dec (d:m:s)", "187.5,10", r"RA, row 1: is a plain number, but the unit 'h:m:s' says"),
        ("RA (deg),Dec (h:m:s)", "187.5,10:00:00", "Dec has the unit 'h:m:s'; degrees are needed"),
        ("RA (Jy),Dec (deg)", "187.5,10", "RA has the unit 'Jy'; legal are deg"),
        ("RA (deg),Dec (deg),z (km/s)", "187.5,10,3000", "z has the unit 'km/s'; none is needed"),
        ("RA (deg),Dec (deg),LAS (Jy)", "187.5,10,3000", "LAS has the unit 'Jy'; one that becomes arcsec"),
    ],
)
def test_units_that_do_not_fit_are_refused(tmp_path, head, row, message):
    path = tmp_path / "s.csv"
    path.write_text(f"name,{head}\na,{row}\n")
    with pytest.raises(DataError, match=message):
        read_sources(path)


def test_two_columns_that_differ_by_their_unit_only_stay_two(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("name,flux (mJy),flux (Jy)\na,1,0.001\n")
    assert list(read_sources(path).extra) == ["flux (mJy)", "flux (Jy)"]


def test_the_first_of_two_tables_is_read_and_said(tmp_path):
    one, two = (Table({"name": [name], "ra": [ra], "dec": [20.0]}) for name, ra in (("a", 10.0), ("b", 11.0)))
    content = from_table(one)
    content.resources.append(from_table(two).resources[0])
    content.to_xml(str(tmp_path / "two.vot"))
    units = [fits.PrimaryHDU(), fits.table_to_hdu(one), fits.table_to_hdu(two)]
    fits.HDUList(units).writeto(tmp_path / "two.fits")
    for name in ("two.vot", "two.fits"):
        sources = read_sources(tmp_path / name)
        assert (sources.name.tolist(), sources.ra.tolist()) == (["a"], [10.0])
        assert sources.remarks == (f"{tmp_path / name}: holds 2 tables; the first is read",)


def test_a_votable_s_columns_have_their_names_not_their_ids(tmp_path):
    path = votable(tmp_path)
    assert read_sources(path).columns.ra == "RA"


def test_supergalactic_and_fk4_without_e_terms():
    for system, name in (("supergalactic", "supergalactic"), ("FK4-NO-E", "fk4noeterms")):
        assert astropy_frame("t", Frame(system, "", "RADESYS")).name == name
