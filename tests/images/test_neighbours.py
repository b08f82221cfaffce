"""The light of other sources is taken out of a picture, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgbench.images.neighbours import without_others

SIDE = 61
MIDDLE = (SIDE - 1) / 2


def picture(places, peak=20.0, sigma=1.8, noise=1.0):
    """Give point sources at places (row, column) seen through a Gaussian beam, in noise."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    sky = np.random.default_rng(1).normal(0, noise, (SIDE, SIDE))
    for row, column in places:
        sky += peak * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))
    return sky.astype(np.float32)


def test_a_neighbour_goes_and_a_lobe_that_is_not_listed_stays():
    lobe, neighbour = (MIDDLE, 14.0), (12.0, 45.0)
    frame = picture([(MIDDLE, MIDDLE), lobe, neighbour])
    found = without_others(frame, np.array([neighbour]) - MIDDLE, near=2.0)
    changed = np.argwhere(found != frame)
    assert np.hypot(*(changed - neighbour).T).max() < 8
    assert found[8:17, 41:50].max() < 4
    assert found[30, 14] == frame[30, 14] > 15


def test_light_that_two_sources_share_stays():
    frame = picture([(MIDDLE, MIDDLE), (MIDDLE, MIDDLE + 4)])
    assert without_others(frame, np.array([[0.0, 4.0]]), near=2.0) is frame


@pytest.mark.parametrize("others", [np.zeros((0, 2)), np.array([[200.0, 0.0]]), np.array([[-25.0, -25.0]])])
def test_the_picture_is_the_same_where_there_is_nothing_to_take_out(others):
    frame = picture([(MIDDLE, MIDDLE)])
    assert without_others(frame, others, near=2.0) is frame


def test_blanked_pixels_and_pictures_without_noise_stay():
    frame = picture([(MIDDLE, MIDDLE), (12.0, 45.0)])
    frame[:, 50:] = np.nan
    found = without_others(frame, np.array([[12.0, 45.0]]) - MIDDLE, near=2.0)
    assert np.isnan(found[:, 50:]).all()
    assert found[12, 45] < 4
    empty = np.zeros((SIDE, SIDE), dtype=np.float32)
    assert without_others(empty, np.array([[3.0, 3.0]]), near=2.0) is empty


@given(st.lists(st.tuples(st.floats(-40, 40), st.floats(-40, 40)), max_size=6), st.randoms())
def test_own_light_stays_whatever_the_others_are_and_their_order_does_not_matter(offsets, chance):
    others = np.array(offsets).reshape(-1, 2)
    frame = picture([(MIDDLE, MIDDLE), *(others + MIDDLE)])
    found = without_others(frame, others, near=2.0)
    assert (found[28:33, 28:33] == frame[28:33, 28:33]).all()
    mixed = list(offsets)
    chance.shuffle(mixed)
    assert (without_others(frame, np.array(mixed).reshape(-1, 2), near=2.0) == found).all()
