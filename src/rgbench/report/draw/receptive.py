"""A figure of an effective receptive field, on its own: an SVG file for a talk or a thesis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rgbench.escapes import for_xml
from rgbench.report.draw.pictures import picture

SIDE = 360
"""Side of the map in the drawing's units."""
MARGIN = 20
FOOT = 64


def receptive_figure(
    field: NDArray[np.float64], pixel_scale: float, receptive_field: int | None, title: str
) -> str:
    """Draw an effective receptive field with its scale and the theoretical one.

    Parameters
    ----------
    field : ndarray, shape (rows, columns)
        Effective receptive field, row 0 south.
    pixel_scale : float
        Arcseconds per pixel.
    receptive_field : int or None
        Theoretical receptive field in pixels, drawn as a dashed square where it fits into the image.
    title : str
        Name of the network.

    Returns
    -------
    str
        A complete SVG file, which needs no other.

    Examples
    --------
    >>> receptive_figure(np.eye(10), 1.8, 5, "LeNet")[:4]
    '<svg'
    """
    unit = SIDE / max(field.shape)
    image = f'<image x="{MARGIN}" y="{MARGIN}" width="{field.shape[1] * unit:.1f}" height="{field.shape[0] * unit:.1f}"'
    caption = for_xml(_caption(field, pixel_scale, receptive_field, title))
    parts = [
        f'{image} style="image-rendering:pixelated" href="{picture(field, max(field.shape))}"/>',
        _square(field.shape, receptive_field, unit),
        _scale_bar(max(field.shape) * pixel_scale, unit / pixel_scale),
        f'<text x="{MARGIN}" y="{SIDE + MARGIN + 52}">{caption}</text>',
    ]
    width, height = SIDE + 2 * MARGIN, SIDE + MARGIN + FOOT
    style = "text{font:12px sans-serif;fill:#222}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return (
        f'{head}<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _square(shape: tuple[int, ...], receptive_field: int | None, unit: float) -> str:
    """Outline the theoretical receptive field about the centre; nothing if it is larger than the image."""
    if receptive_field is None or receptive_field >= max(shape):
        return ""
    side = receptive_field * unit
    x, y = MARGIN + (shape[1] * unit - side) / 2, MARGIN + (shape[0] * unit - side) / 2
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" fill="none" stroke="#fff" '
        'stroke-dasharray="5 4" stroke-width="1.5"/>'
    )


def _scale_bar(extent: float, unit: float) -> str:
    """Draw a bar of a round number of arcseconds, about a quarter of the image."""
    power = 10 ** np.floor(np.log10(extent / 4))
    length = max(step * power for step in (1, 2, 5) if step * power <= extent / 4)
    y = SIDE + MARGIN + 22
    return (
        f'<line x1="{MARGIN}" y1="{y}" x2="{MARGIN + length * unit:.1f}" y2="{y}" stroke="#222" stroke-width="2"/>'
        f'<text x="{MARGIN + length * unit + 8:.1f}" y="{y + 4}">{length:g} arcsec</text>'
    )


def _caption(field: NDArray[np.float64], scale: float, receptive_field: int | None, title: str) -> str:
    known = (
        ""
        if receptive_field is None
        else f"; theoretical {receptive_field} px = {receptive_field * scale:.0f} arcsec"
    )
    return f"{title}: {field.shape[0]} x {field.shape[1]} px{known}"
