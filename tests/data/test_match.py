"""Which source a row means: by name, else by position."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.data.catalogue import Catalogue
from rgbench.data.match import LARGEST, match_sources
from rgbench.errors import DataError


def catalogue(ra, dec) -> Catalogue:
    n = len(ra)
    whole = np.zeros(n, np.int64)
    names = np.array([f"s{i}" for i in range(n)])
    return Catalogue(names, np.array(ra, float), np.array(dec, float), whole, np.arange(n), names, whole)


SKY = catalogue([10.0, 10.02, 359.9999, np.nan], [0.0, 0.0, 60.0, np.nan])


def test_a_known_name_decides_whatever_the_position():
    found = match_sources(np.array(["s1", "s3", "x"]), np.array([10.0, 50, 10]), np.array([0.0, 5, 0]), SKY)
    assert found.row.tolist() == [1, 3, 0]
    assert found.by_position.tolist() == [False, False, True]


def test_a_position_across_the_meridian_and_one_too_far():
    ra, dec = np.array([0.0001, 10.0]), np.array([60.0, 6 / 3600])
    assert match_sources(np.array(["", ""]), ra, dec, SKY).row.tolist() == [2, -1]
    assert match_sources(np.array(["", ""]), ra, dec, SKY, 7).row.tolist() == [2, 0]


def test_two_sources_within_the_tolerance_are_an_error():
    near = catalogue([10.0, 10.001], [0.0, 0.0])
    with pytest.raises(DataError, match="s0 and s1 lie within 5 arcsec"):
        match_sources(np.array([""]), np.array([10.0005]), np.array([0.0]), near)


@pytest.mark.parametrize("tolerance", [0, -1, LARGEST + 1, float("nan")])
def test_illegal_tolerances(tolerance):
    with pytest.raises(DataError, match="tolerance"):
        match_sources(np.array([""]), np.zeros(1), np.zeros(1), SKY, tolerance)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 8), seed=st.integers(0, 99), tolerance=st.floats(0.5, 30))
def test_matches_are_those_of_astropy(n, seed, tolerance):
    rng = np.random.default_rng(seed)
    ra, dec = np.arange(n) * 360 / n, np.linspace(-80, 80, n)
    whole = SkyCoord(ra * units.deg, dec * units.deg)
    moved = whole.directional_offset_by(0 * units.deg, rng.uniform(0, 40, len(ra)) * units.arcsec)
    found = match_sources(
        np.full(len(ra), ""), moved.ra.deg, moved.dec.deg, catalogue(ra, dec), tolerance
    ).row
    near = whole.separation(moved).arcsec
    wanted = np.where(near <= tolerance, np.arange(len(ra)), -1)
    clear = np.abs(near - tolerance) > 1e-6
    assert (found == wanted)[clear].all()
