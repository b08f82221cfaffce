"""Maps over images of sources, as small PNG data URIs: grey where nothing is said, orange for, blue against."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOR, AGAINST = (213, 94, 0), (0, 114, 178)
"""Vermilion and blue, which the colour-blind tell apart (Okabe & Ito 2008)."""
LEVELS = 16
"""Steps of grey and of colour: enough for the eye, and few bytes."""
_COVER = 0.8
_SOFTENING = 0.08


def overlay(image: NDArray[Any], evidence: NDArray[Any]) -> str:
    """Draw an image in grey, the source dark on white, and over it a map.

    Parameters
    ----------
    image : ndarray, shape (h, w)
        Brightness, row 0 at the south; NaN counts as faintest.
    evidence : ndarray, shape (h, w)
        Above 0 what speaks for a class, below 0 what speaks against it. The strongest value, of either sign, has the
        full colour.

    Returns
    -------
    str
        ``data:image/png;base64,...``, north up.

    Raises
    ------
    ValueError
        If the shapes differ, or are not those of images.

    Examples
    --------
    >>> overlay(np.eye(8), np.zeros((8, 8)))[:22]
    'data:image/png;base64,'
    """
    if image.ndim != 2 or image.shape != evidence.shape or not image.size:
        raise ValueError(
            f"an image and its map have one shape of two dimensions; found {image.shape}, {evidence.shape}"
        )
    paper = 255.0 * (1 - _stepped(_stretched(np.asarray(image, dtype=np.float64))))[:, :, None]
    largest = float(np.nanmax(np.abs(evidence))) or 1.0
    part = np.nan_to_num(evidence / largest)
    cover = _COVER * _stepped(np.abs(part))[:, :, None]
    colour = np.where(part[:, :, None] > 0, np.array(FOR, dtype=float), np.array(AGAINST, dtype=float))
    pixels = np.round((1 - cover) * paper + cover * colour).astype(np.uint8)
    return f"data:image/png;base64,{base64.b64encode(_png(np.flipud(pixels))).decode('ascii')}"


def _stretched(image: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = image[np.isfinite(image)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if high <= low:
        return np.zeros(image.shape)
    part = np.clip((np.nan_to_num(image, nan=low, posinf=high, neginf=low) - low) / (high - low), 0, 1)
    return np.asarray(np.arcsinh(part / _SOFTENING) / np.arcsinh(1 / _SOFTENING))


def _stepped(part: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.round(part * (LEVELS - 1)) / (LEVELS - 1))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode colours, shape (h, w, 3), as PNG (PNG specification, 3rd edition, 5 and 11)."""
    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = np.hstack([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)]).tobytes()
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
