"""Islands by PyBDSF: each as one source, of the Gaussians that were fitted to it."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from rgbench.errors import DataError, one_line, raise_stop
from rgbench.images.fits import quiet
from rgbench.survey.finders.islands import (
    MARGIN,
    NO_ISLANDS,
    Find,
    Islands,
    Scale,
    Thresholds,
    Tile,
    scale_of,
)
from rgbench.survey.mosaics import Mosaic

PYBDSF = "bdsf"
_FREQUENCY = 1.4e9
"""Hz, where the header tells none: PyBDSF asks for one, and nothing that is taken from it depends on it."""
_SEEN = 0.05
"""Share of the pixels of a tile below which it is taken to be blank: PyBDSF needs some to measure the noise."""


def find_gaussians(mosaic: Mosaic, thresholds: Thresholds) -> Find:
    """Give what finds the islands of the tiles of a mosaic."""

    def find(tile: Tile) -> Islands:
        seen = tile.grown(MARGIN)
        pixels = mosaic.padded(seen.rows, seen.columns)
        pixels[pixels == 0] = np.nan
        inside = pixels[MARGIN:-MARGIN, MARGIN:-MARGIN]
        if not np.isfinite(inside).any() or np.isfinite(pixels).mean() < _SEEN:
            return NO_ISLANDS
        scale = scale_of(tile.face(mosaic))
        with TemporaryDirectory(prefix="rgbench-find-") as folder:
            image = Path(folder) / "tile.fits"
            factor = scale.peak if np.isfinite(scale.peak) else 1.0
            fits.writeto(image, pixels * np.float32(factor), _header(mosaic, seen))
            table = _run(mosaic.name, image, scale, thresholds)
        return NO_ISLANDS if table is None else _islands(mosaic, tile, table, np.isfinite(scale.peak))

    return find


def _header(mosaic: Mosaic, seen: Tile) -> fits.Header:
    """Give a header of two axes with the positions of a part of a mosaic; CDELT tells the size of a pixel."""
    wcs = mosaic.face.wcs.deepcopy()
    wcs.wcs.crpix = wcs.wcs.crpix - (seen.columns[0], seen.rows[0])
    with quiet():
        matrix = wcs.pixel_scale_matrix
        sides = np.sqrt((matrix**2).sum(axis=0)) * (-1, 1)
        header = wcs.to_header()
    for axis in (1, 2):
        header[f"CDELT{axis}"] = sides[axis - 1]
        for other in (1, 2):
            header[f"PC{axis}_{other}"] = matrix[axis - 1, other - 1] / sides[axis - 1]
    header["BUNIT"] = "JY/BEAM"
    return header


def _run(name: str, image: Path, scale: Scale, thresholds: Thresholds) -> Any:
    """Run PyBDSF on an image; give its list of sources, None if there is none.

    Raises
    ------
    DataError
        If it fails: it names the mosaic.
    """
    beam, catalogue = scale.beam, image.with_name("sources.fits")
    options = {
        "thresh": "hard",
        "thresh_pix": thresholds.peak,
        "thresh_isl": thresholds.island,
        "group_by_isl": True,
        "beam": (beam.major / 3600, beam.minor / 3600, beam.angle),
        "frequency": _FREQUENCY,
        "ncores": 1,
        "quiet": True,
    }
    try:
        with quiet(), np.errstate(all="ignore"), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            found = import_module(PYBDSF).process_image(str(image), **options)
            written = found.write_catalog(
                outfile=str(catalogue), format="fits", catalog_type="srl", incl_empty=True, clobber=True
            )
            return Table.read(catalogue) if written and catalogue.exists() else None
    # It fails with errors of every kind.
    except Exception as error:
        raise_stop(error)
        raise DataError(f"{name}: PyBDSF failed on a part of it: {one_line(error)}") from error


def _islands(mosaic: Mosaic, tile: Tile, table: Any, known: bool) -> Islands:
    """Give the sources of a table of PyBDSF whose brightest pixel lies in a tile."""

    def column(name: str, factor: float = 1.0) -> NDArray[np.float64]:
        return np.asarray(table[name], dtype=np.float64) * factor

    rows, columns = mosaic.face.places(column("RA_max"), column("DEC_max"))
    flux = 1.0 if known else np.nan
    found = Islands(
        rows,
        columns,
        column("RA") % 360,
        column("DEC"),
        column("Total_flux", flux),
        column("Peak_flux", flux),
        column("Maj", 3600),
        column("Min", 3600),
        column("Isl_rms", flux),
    )
    return found[tile.holds(rows, columns)]
