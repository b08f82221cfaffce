"""A small sky of made-up sources: a mosaic, its catalogue, and where each lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

NOISE = 1e-4
STEP = 170


@dataclass(frozen=True)
class Sky:
    """A mosaic on disk, and its sources."""

    folder: Path
    pixels: np.ndarray
    header: fits.Header
    catalogue: Table

    @property
    def mosaic(self) -> Path:
        return self.folder / "mosaic.fits"

    def table(self, name: str) -> Path:
        """Write the catalogue by the ending of a name, and give its path."""
        path = self.folder / name
        if name.endswith(".parquet"):
            self.catalogue.to_pandas().to_parquet(path)
        else:
            kind = {"vot": "votable", "ecsv": "ascii.ecsv", "csv": "ascii.csv", "fits": "fits"}[
                name.rsplit(".")[-1]
            ]
            self.catalogue.write(path, format=kind, overwrite=True)
        return path


def header_of(shape: tuple[int, int], ra: float = 180.0, dec: float = 30.0) -> fits.Header:
    """Give the header of a mosaic in pixels of 1.8 arcsec through a beam of 5.4 arcsec."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.cdelt = [ra, dec], [-0.0005, 0.0005]
    wcs.wcs.crpix = [shape[1] / 2 + 0.5, shape[0] / 2 + 0.5]
    header = wcs.to_header()
    header["BUNIT"], header["BMAJ"], header["BMIN"], header["BPA"] = "Jy/beam", 0.0015, 0.0015, 0.0
    return header


def draw(pixels: np.ndarray, row: float, column: float, apart: float, angle: float, peak: float) -> None:
    """Add two lobes of the beam's width."""
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    for sign in (-1, 1):
        y, x = row + sign * apart * np.sin(angle), column + sign * apart * np.cos(angle)
        near = (slice(max(0, int(y) - 20), int(y) + 21), slice(max(0, int(x) - 20), int(x) + 21))
        square = (rows[near] - y) ** 2 + (columns[near] - x) ** 2
        pixels[near] += peak * np.exp(-4 * np.log(2) * square / 3.0**2)


def make_sky(folder: Path, across: int = 4, ra: float = 180.0, dec: float = 30.0, seed: int = 1) -> Sky:
    """Make a mosaic of `across` x `across` sources, and its catalogue in the manner of PyBDSF."""
    rng = np.random.default_rng(seed)
    side = across * STEP + 200
    pixels = rng.normal(0, NOISE, (side, side)).astype(np.float32)
    header = header_of(pixels.shape, ra, dec)
    rows, columns = (
        100 + STEP / 2 + STEP * places.ravel() + rng.uniform(-9, 9, across**2)
        for places in np.mgrid[:across, :across]
    )
    for row, column in zip(rows, columns, strict=True):
        draw(pixels, row, column, rng.uniform(0, 14), rng.uniform(0, np.pi), rng.uniform(0.003, 0.05))
    at = WCS(header).pixel_to_world_values(columns, rows)
    table = Table(
        {
            "Source_id": np.arange(across**2),
            "Isl_id": np.arange(across**2) + 7,
            "RA": at[0],
            "DEC": at[1],
            "Maj": rng.uniform(0.001, 0.01, across**2),
            "S_Code": np.array(["S", "M"] * (across**2 // 2) + ["C"] * (across**2 % 2)),
        },
        units={"RA": "deg", "DEC": "deg", "Maj": "deg"},
    )
    fits.writeto(folder / "mosaic.fits", pixels, header)
    return Sky(folder, pixels, header, table)


@pytest.fixture
def sky(tmp_path) -> Sky:
    return make_sky(tmp_path)


@pytest.fixture
def sky_header():
    return header_of
