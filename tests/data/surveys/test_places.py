"""Places as people write them, and names that Sesame is asked for; no network."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from rgbench.data.surveys import sesame
from rgbench.data.surveys.places import read_places
from rgbench.data.surveys.sesame import Sesame
from rgbench.data.surveys.surveys import FetchError
from rgbench.errors import DataError, SpecError

ANSWER = b"""# 3C 31\t#Q1
#=S=Simbad (via url):    1
%@ 123
%C.0 Sy2
%J 16.8539917 +32.4125778 = 01:07:24.96 +32:24:45.3
#====Done====
"""
NAMED = ["J104312.3+243521", "FIRST J104312.3+243521", "ILTJ104312.30+243521.0", "j104312.3+243521"]
WRITTEN = [
    "10h43m12.3s +24d35m21s", "10h43m12.3s+24d35m21s", "10:43:12.3 +24:35:21", "10 43 12.3 +24 35 21",
    "J10:43:12.3 +24:35:21", "160.80125 24.5891667", "160.80125, +24.5891667", "160.80125+24.5891667",
    "160.80125deg +24.5891667deg",
]  # fmt: skip


@pytest.mark.parametrize("text", [*NAMED, *WRITTEN])
def test_a_position_is_read_however_it_is_written(text):
    found = read_places([text])
    assert (found.ra[0], found.dec[0]) == pytest.approx((160.80125, 24.5891667), abs=1e-6)
    assert found.names == [text.replace("j", "J") if text in NAMED else "J104312.30+243521.0"]


@pytest.mark.parametrize("dash", ["-", "\N{MINUS SIGN}", "\N{EN DASH}"])
def test_south_is_south_whatever_the_dash(dash):
    assert read_places(f"10 43 12.3 {dash}00 35 21").dec[0] == pytest.approx(-0.5891667, abs=1e-6)
    assert read_places(f"J104312.3{dash}003521").dec[0] == pytest.approx(-0.5891667, abs=1e-6)


@given(st.floats(0, 359.999), st.floats(-89.999, 89.999))
def test_what_astropy_writes_is_read_back(ra, dec):
    sky = SkyCoord(ra, dec, unit="deg")
    for text in (sky.to_string("hmsdms", precision=6), sky.to_string("decimal", precision=8)):
        found = read_places(text)
        there = SkyCoord(found.ra[0], found.dec[0], unit="deg")
        assert sky.separation(there) < 0.001 * units.arcsec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "3C 31",
            "'3C 31' is no position, and no name that holds one; legal are positions (\"160.80 +24.59\"",
        ),
        ("M 87", "Sesame is asked for other names with --resolve"),
        ("0055+30", "no position, and no name"),
        ("B2 0055+30", "no position, and no name"),
        ("24.59N 160E", "no position, and no name"),
        ("J0104+24", "a name that holds no position to the second"),
        ("J1043+2435", "a name that holds no position to the second"),
        ("J109912.3+243521", "a name that holds no position to the second"),
        (160.8, "'160.8' is half a position, or less"),
        ("160.80", "half a position, or less: RA and Dec go within one pair of quotes"),
        ("400 +24", "'400 +24': RA is 400 degrees; 0 to 360 are legal"),
        ("160 +95", "Dec is 95 degrees; -90 to 90 are legal"),
        ("10h73m12s +24d35m21s", "has minutes or seconds of 60 or more"),
        ("nan nan", "no position"),
        ("", "no position"),
        ("lost.csv", "there is no such file"),
        ((160.8, 95.0), "Dec is 95 degrees"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_is_legal(text, words):
    with pytest.raises(SpecError) as told:
        read_places([text])
    assert words in str(told.value)
    assert "legal" in str(told.value)
    assert "\n" not in str(told.value)


@given(st.text(max_size=60))
def test_any_text_is_a_position_or_refused(text):
    try:
        found = read_places([f"?{text}"])
    except SpecError:
        return
    assert 0 <= found.ra[0] < 360
    assert -90 <= found.dec[0] <= 90


def test_a_folder_and_an_image_lead_to_predict(tmp_path):
    with pytest.raises(SpecError, match=f"a folder; rgbench predict {tmp_path} classifies its images"):
        read_places([tmp_path])
    image = tmp_path / "a.fits"
    image.write_bytes(b"no table")
    with pytest.raises(DataError, match=f"if it is an image: rgbench predict {image}"):
        read_places([image])


def test_tables_positions_and_pairs_stand_in_their_order(tmp_path):
    table = tmp_path / "mine.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "RA", "Dec"), ("A", 10, 20), ("B", "", "")])
    found = read_places(["160.80 +24.59", table, (1, 2.5)])
    assert found.names == ["J104312.00+243524.0", "A", "B", "J000400.00+023000.0"]
    np.testing.assert_array_equal(found.ra, [160.8, 10, np.nan, 1])
    assert read_places((160.8, 24.59)).names == ["J104312.00+243524.0"]
    table.write_text("name\nA\n")
    with pytest.raises(DataError, match="tells the position of no source; columns of RA and Dec are needed"):
        read_places(table)
    with pytest.raises(SpecError, match="there is no source to classify"):
        read_places([])


@pytest.fixture
def reached(monkeypatch):
    monkeypatch.setattr(sesame, "check_reach", lambda url: None)


@pytest.mark.usefixtures("reached")
def test_a_name_is_asked_for_once_and_kept(tmp_path):
    asked = []

    def fetch(url, timeout):
        asked.append(url)
        return ANSWER

    for _ in range(2):
        ask = Sesame(tmp_path, fetch)
        found = read_places(["3C 31", "10 20"], resolve=ask)
        assert found.names == ["3C 31", "J004000.00+200000.0"]
        assert (found.ra[0], found.dec[0]) == (16.8539917, 32.4125778)
    assert asked == ["https://cds.unistra.fr/cgi-bin/nph-sesame/SNV?3C%2031"]
    assert [path.name for path in tmp_path.iterdir()] == ["3C 31.txt"]
    with pytest.raises(SpecError, match="half a position"):
        read_places(["10"], resolve=ask)


@pytest.mark.usefixtures("reached")
def test_a_name_that_nobody_knows_is_told_and_not_kept(tmp_path):
    with pytest.raises(DataError, match="'3C 999': CDS Sesame knows no such name; legal are"):
        Sesame(tmp_path / "n", lambda url, timeout: b"#! *** Nothing found *** \n")("3C 999")
    assert not (tmp_path / "n").exists()


def test_without_a_network_a_name_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("RGBENCH_OFFLINE", "1")
    with pytest.raises(DataError, match="RGBENCH_OFFLINE is set; give the position itself"):
        Sesame(tmp_path)("3C 31")
    monkeypatch.delenv("RGBENCH_OFFLINE")
    monkeypatch.setattr(sesame, "SERVER", "http://127.0.0.1:1/x")
    with pytest.raises(DataError, match="no connection to 127.0.0.1"):
        Sesame(tmp_path)("3C 31")
    assert issubclass(FetchError, DataError)
