"""Robust reading of one image from a FITS file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from rgbench.errors import DataError


@dataclass(frozen=True)
class FitsImage:
    """One image and what its header says.

    Attributes
    ----------
    pixels : ndarray of float32, shape (h, w)
        Native byte order, row 0 as in the file (south for north-up images); NaN where blanked.
    pixel_scale : float
        Arcseconds per pixel, NaN if the header does not tell.
    unit : str
        BUNIT as written, empty if absent.
    """

    pixels: NDArray[np.float32]
    pixel_scale: float
    unit: str


def read_fits(path: Path | str) -> FitsImage:
    """Read the image of the primary or the first image extension.

    Axes of length 1 are dropped; what is left must be two axes. BSCALE, BZERO, .gz and byte order are
    taken care of.

    Raises
    ------
    DataError
        If the file cannot be read, is truncated, or holds no image of two axes; the message names it.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path, memmap=False, lazy_load_hdus=False) as units:
                header, data = _first_image(units)
                pixels = None if data is None else np.array(data, dtype=np.float32)
    except (OSError, ValueError, TypeError, EOFError, KeyError, fits.VerifyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path}: cannot be read as FITS: {reason}") from error
    if pixels is None:
        raise DataError(f"{path}: holds no image")
    squeezed = pixels.reshape([side for side in pixels.shape if side != 1] or [1])
    if squeezed.ndim != 2:
        raise DataError(f"{path}: the image has shape {pixels.shape}; two axes longer than 1 are needed")
    return FitsImage(squeezed, _pixel_scale(header), str(header.get("BUNIT", "")))


def _first_image(units: Any) -> tuple[Any, Any]:
    for unit in units:
        if unit.is_image and unit.header.get("NAXIS", 0) >= 2:
            _check_size(unit)
            return unit.header, unit.data
    return units[0].header, None


def _check_size(unit: Any) -> None:
    """Raise if the file ends before the image does; astropy alone would only warn."""
    info = unit.fileinfo()
    if info is None or unit.size == 0:
        return
    file = info["file"]
    here = file.tell()
    file.seek(0, 2)
    end = file.tell()
    file.seek(here)
    if end < info["datLoc"] + unit.size:
        raise OSError(f"the file ends after {end} bytes, {info['datLoc'] + unit.size} are needed")


def _pixel_scale(header: Any) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        warnings.simplefilter("ignore")
        try:
            sky = WCS(header).celestial
        except (ValueError, KeyError, TypeError):
            return float("nan")
    if sky.naxis != 2:
        return float("nan")
    return float(np.mean(proj_plane_pixel_scales(sky))) * 3600
