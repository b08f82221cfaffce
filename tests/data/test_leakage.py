"""Sky groups: equal to a brute-force grouping, whatever the sky looks like, and quick on a large one."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from rgbench.data import leakage
from rgbench.data.leakage import linked_groups, sky_groups


def brute_force(ra, dec, radius):
    """Group by every separation that astropy gives, friends of friends."""
    sky = SkyCoord(ra, dec, unit="deg")
    near = sky[:, None].separation(sky[None, :]).arcsec <= radius
    return connected_components(near, directed=False)[1]


def same_partition(first, second):
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    return len(pairs) == len(set(first.tolist())) == len(set(second.tolist()))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    centre=st.sampled_from([(0.0, 0.0), (359.99, 45.0), (12.0, 89.99), (200.0, -89.995)]),
    strip=st.sampled_from([3, 17, 1000]),
    pairs=st.sampled_from([4, 50, 10**6]),
)
def test_groups_are_those_of_brute_force(seed, centre, strip, pairs):
    generator = np.random.default_rng(seed)
    ra = (centre[0] + generator.normal(0, 0.05, 60) / max(np.cos(np.deg2rad(centre[1])), 1e-3)) % 360
    dec = np.clip(centre[1] + generator.normal(0, 0.05, 60), -90, 90)
    ra[5], dec[5] = ra[4], dec[4]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leakage, "STRIP", strip)
        patch.setattr(leakage, "PAIRS", pairs)
        found = sky_groups(ra, dec, 60.0)
    assert same_partition(found, brute_force(ra, dec, 60.0))
    assert found[0] == 0
    assert (np.diff(np.unique(found, return_index=True)[1]) > 0).all(), "numbered by first appearance"


def test_a_chain_is_one_group_and_no_position_is_a_group_of_its_own():
    ra = np.array([10.0, np.nan, 10.015, 10.03, 50.0, np.nan])
    dec = np.array([0.0, 0.0, 0.0, 0.0, 0.0, np.nan])
    assert sky_groups(ra, dec).tolist() == [0, 1, 0, 0, 2, 3]
    assert sky_groups(ra[:0], dec[:0]).tolist() == []
    assert sky_groups(ra[1:2], dec[1:2]).tolist() == [0]


def test_a_crowd_at_one_place_takes_no_memory_of_all_its_pairs():
    n = 200_000
    assert (sky_groups(np.full(n, 30.0), np.full(n, -20.0)) == 0).all()
    generator = np.random.default_rng(0)
    crowd = sky_groups(30 + generator.normal(0, 1e-3, 4000), generator.normal(0, 1e-3, 4000))
    assert (crowd == 0).all()


def test_links_join_whatever_their_order():
    links = [np.array([[3, 1]]), np.array([[4, 3], [0, 0]])]
    assert linked_groups(5, links).tolist() == [0, 1, 2, 1, 1]


_LARGE = """
import resource, time
import numpy as np
from rgbench.data.leakage import sky_groups
generator = np.random.default_rng(0)
n = {n}
ra, dec = generator.uniform(0, 360, n), np.rad2deg(np.arcsin(generator.uniform(-1, 1, n)))
start = time.process_time()
groups = sky_groups(ra, dec)
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, groups.max() + 1)
"""


@pytest.mark.slow
def test_ten_million_positions_take_less_than_a_minute_and_4_gb():
    """The whole sky at 242 sources per square degree; CPU seconds of one process, gigabytes at the peak."""
    n = 10_000_000
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", _LARGE.format(n=n)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    seconds, gigabytes, groups = (float(word) for word in result.stdout.split())
    assert seconds < 60
    assert gigabytes < 4
    expected_pairs = n * (n - 1) / 2 * (1 - np.cos(np.deg2rad(60 / 3600))) / 2
    assert 0.8 * expected_pairs < n - groups < expected_pairs
