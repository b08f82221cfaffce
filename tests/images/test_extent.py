"""The extent of the central source, of shapes whose size is known and of real images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.data.sets import load_data
from rgbench.images.extent import extents


@given(st.integers(6, 40), st.floats(0, np.pi))
@settings(max_examples=40)
def test_a_bar_is_as_long_as_it_is(length: int, angle: float) -> None:
    y, x = np.indices((80, 80)) - 39.5
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    image = ((np.abs(along) <= length / 2) & (np.abs(across) <= 1.5)).astype(np.float32)
    assert abs(extents(image[None])[0] - np.hypot(length, 3)) <= 1.5


def test_neighbours_and_noise_are_left_out() -> None:
    image = np.zeros((100, 100), dtype=np.float32)
    image[48:52, 40:44] = image[48:52, 58:62] = 1  # two lobes, 14 pixels apart
    image[10:14, 10:14] = 1  # a neighbour
    image[80, 50] = 1  # a pixel of noise
    assert np.isclose(extents(image[None])[0], np.hypot(21, 3) + 1)
    assert np.isclose(extents(image[None], gap=8)[0], np.hypot(3, 3) + 1)
    assert extents(np.zeros((1, 50, 50), np.float32)).tolist() == [0.0]


def test_real_sources_of_each_class() -> None:
    """Compact sources are as large as the beam of 5.4 arcsec makes them; the others are larger."""
    data = load_data("first-galaxy-data")
    sizes = extents(data.images[::10]) * 1.8
    median = {name: np.median(sizes[data.catalogue.label[::10] == k]) for k, name in enumerate(data.classes)}
    assert median["Compact"] == pytest.approx(17, abs=4)
    assert all(median[name] > 2 * median["Compact"] for name in ("FRI", "FRII", "Bent"))
