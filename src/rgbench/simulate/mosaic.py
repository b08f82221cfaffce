"""A simulated mosaic: many sources on one image, and their catalogue, for trials of surveys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from rgbench.errors import SpecError
from rgbench.seeds import numpy_generator
from rgbench.simulate.simulate import ROLE, SimulationSpec, simulate
from rgbench.simulate.sky import FIRST, Survey, make_noise

DRAWN = 400
"""Sources that are drawn; of more on a mosaic the same come again, turned and mirrored."""
MIX = ("Compact",) * 16 + ("FRI", "FRII", "FRII", "Bent")
"""Classes in turn: four in five are compact, so that the rarer ones are there in small mosaics too."""
_NOISE_TILE = 1024


@dataclass(frozen=True)
class MosaicSpec:
    """What mosaic to simulate; equal specs give equal bytes.

    Attributes
    ----------
    n : int
        Number of sources, placed evenly at random.
    side : int
        Rows and columns.
    seed : int
        Seed of the sky.
    survey : Survey
        Beam, pixels and noise.
    centre : (float, float)
        RA and Dec of its middle, degrees.
    """

    n: int
    side: int
    seed: int = 8901
    survey: Survey = FIRST
    centre: tuple[float, float] = (180.0, 30.0)

    def __post_init__(self) -> None:
        if self.n < 1 or self.side < self.survey.side:
            raise SpecError(
                f"a mosaic of {self.side} pixels and {self.n} sources: {self.survey.side} pixels, the side of one "
                "source's image, and 1 source are the least"
            )


def write_mosaic(spec: MosaicSpec, folder: Path) -> tuple[Path, Path]:
    """Simulate a mosaic and write ``mosaic.fits``, and its catalogue ``sources.fits`` in the manner of PyBDSF.

    Parameters
    ----------
    spec : MosaicSpec
        What.
    folder : path
        Is made if it is not there.

    Returns
    -------
    mosaic, catalogue : path
        The catalogue has the class that each source was drawn with in the column ``truth``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = numpy_generator(spec.seed, ROLE, sky="mosaic")
    drawn = simulate(
        SimulationSpec(min(spec.n, DRAWN), spec.seed, MIX, spec.survey, noise=False, neighbours=False)
    )
    pixels = _noise(spec, rng)
    half = spec.survey.side // 2
    rows, columns = rng.integers(half, spec.side - half + 1, (2, spec.n))
    which = np.arange(spec.n) % len(drawn.images)
    for number, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        image = np.rot90(drawn.images[which[number]], number // len(drawn.images) % 4)
        pixels[row - half : row - half + image.shape[0], column - half : column - half + image.shape[1]] += (
            image
        )
    header = _header(spec)
    fits.writeto(folder / "mosaic.fits", pixels, header, overwrite=True)
    # The middle of an image of an even side lies half a pixel before the pixel of that number.
    odd = spec.survey.side % 2
    ra, dec = WCS(header).pixel_to_world_values(columns - 0.5 * (1 - odd), rows - 0.5 * (1 - odd))
    truth = np.array(drawn.classes)[drawn.catalogue.label[which]]
    names = {"Source_id": np.arange(spec.n), "Isl_id": np.arange(spec.n), "RA": ra, "DEC": dec}
    table = Table(
        {**names, "S_Code": np.full(spec.n, "S"), "truth": truth}, units={"RA": "deg", "DEC": "deg"}
    )
    table.write(folder / "sources.fits", overwrite=True)
    return folder / "mosaic.fits", folder / "sources.fits"


def _noise(spec: MosaicSpec, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the noise of a mosaic, a tile at a time."""
    pixels = np.empty((spec.side, spec.side), dtype=np.float32)
    tile, rms = replace(spec.survey, side=_NOISE_TILE), spec.survey.rms.draw(rng) / 1000
    for top in range(0, spec.side, _NOISE_TILE):
        for left in range(0, spec.side, _NOISE_TILE):
            part = pixels[top : top + _NOISE_TILE, left : left + _NOISE_TILE]
            part[:] = make_noise(rms, tile, rng)[: part.shape[0], : part.shape[1]]
    return pixels


def _header(spec: MosaicSpec) -> fits.Header:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval = list(spec.centre)
    wcs.wcs.cdelt = [-spec.survey.pixel_scale / 3600, spec.survey.pixel_scale / 3600]
    wcs.wcs.crpix = [(spec.side + 1) / 2, (spec.side + 1) / 2]
    header = wcs.to_header()
    header["BUNIT"] = "JY/BEAM"
    header["BMAJ"] = header["BMIN"] = spec.survey.beam / 3600
    header["BPA"] = 0.0
    header["COMMENT"] = "Simulated: not an observation."
    return header
