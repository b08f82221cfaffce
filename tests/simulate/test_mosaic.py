"""A simulated mosaic: sources lie where its catalogue says, with the flux that was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from rgbench.errors import SpecError
from rgbench.simulate import MosaicSpec, write_mosaic


def test_sources_lie_where_the_catalogue_says(tmp_path):
    mosaic, catalogue = write_mosaic(MosaicSpec(n=12, side=1500), tmp_path / "new")
    pixels, header = fits.getdata(mosaic, header=True)
    table = Table.read(catalogue)
    noise = 1.4826 * np.median(np.abs(pixels - np.median(pixels)))
    assert 1.2e-4 < noise < 1.7e-4  # of FIRST, Jy/beam
    columns, rows = WCS(header).world_to_pixel_values(table["RA"], table["DEC"])
    compact = np.flatnonzero(table["truth"] == "Compact")
    for row, column in zip(rows[compact], columns[compact], strict=True):
        near = pixels[round(row) - 4 : round(row) + 5, round(column) - 4 : round(column) + 5]
        down, across = np.unravel_index(near.argmax(), near.shape)
        assert near.max() > 5 * noise
        assert max(abs(down - 4), abs(across - 4)) <= 2


def test_equal_specs_give_equal_bytes(tmp_path):
    files = [write_mosaic(MosaicSpec(n=3, side=400, seed=5), tmp_path / name) for name in "ab"]
    assert files[0][0].read_bytes() == files[1][0].read_bytes()


def test_a_mosaic_smaller_than_a_source_is_refused():
    with pytest.raises(SpecError, match="300 pixels, the side of one source's image"):
        MosaicSpec(n=1, side=200)
