"""From a raw image to what a network takes, with NumPy alone: the path that needs no torch.

It gives what training and `rgbench predict` give, which `rgbench.runs.inputs` makes with torch: the preset, the common
beam, the standard frame, the network's size and its views. A file of `rgbench export --onnx` says in its metadata how
its network's images are made (`Preparation.read`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError
from rgbench.images.geometry import central_crop
from rgbench.images.noise import FWHM_TO_SIGMA, ImageError
from rgbench.images.preprocess import preprocess_batch
from rgbench.spec import RunSpec

Floats = NDArray[np.float32]

MARGIN = 16
"""Pixels by which the centre of a source may lie off the middle of its image, in the standard frame."""
WINDOW = 24.0
"""Standard deviation, in pixels, of the window about the centre within which flux counts for it."""
ROUNDS = 6
"""Steps towards the centre of flux; after so many it moves by less than a pixel. All but the last two are on bins of
2 x 2 pixels, a quarter of the work."""
SYMMETRIC = 1e-5
"""Skewness up to which a source counts as symmetric, so that rounding does not decide how it is mirrored."""
BEAM_PIXELS = 3.0
"""Full width at half maximum of a beam in pixels, where it is sampled as surveys do."""
EMPTY = 1e-6
"""Share of the peak below which a convolved pixel is 0: the rounding of the transform, of which a root would show."""
EXACT = 8
"""Views of a square image that need no interpolation: its quarter turns and their mirror images."""
VIEWS = (1, 2, 4, EXACT, 16, 24, 48)
"""Numbers of turns and mirror images that an answer can be the average of."""
_CHUNK = 64


@dataclass(frozen=True)
class Preparation:
    """How images are made ready for a network.

    Attributes
    ----------
    preset : str
        Name of the preprocessing; see `rgbench.images.preprocess.presets`.
    frame : {"none", "sky", "sky-axis"}
        The standard frame that comes last.
    field : int
        Side of the central field that the network sees, in pixels.
    size : (int, int)
        Rows and columns of the network's input, which divide the field.
    beam : float
        Width of the common beam, in units of that of the training images.
    shown : (int, int) or None
        Rows and columns to which images are cut before all else; None where they are not.
    kept : int
        Side to which images are cut after the preset.
    pixel_scale : float or None
        Arcsec per pixel that images must have; None where it is not known.
    """

    preset: str
    frame: str
    field: int
    size: tuple[int, int]
    beam: float = 1.0
    shown: tuple[int, int] | None = None
    kept: int = 0
    pixel_scale: float | None = None

    @classmethod
    def of(cls, spec: RunSpec) -> Preparation:
        """Give that of a run, or of a network of a classifier."""
        own, size = spec.images, spec.images.size
        return cls(
            preset=own.preset,
            frame=own.frame,
            field=own.field,
            size=(size, size) if isinstance(size, int) else size,
            beam=own.beam,
            shown=spec.data.frame,
            kept=kept_pixels(spec),
            pixel_scale=spec.data.pixel_scale,
        )

    @classmethod
    def read(cls, text: str) -> Preparation:
        """Read what `words` wrote, as it stands in the metadata of an ONNX file.

        Raises
        ------
        DataError
            If it is no such text.
        """
        try:
            found: Mapping[str, Any] = json.loads(text)
            pairs = {key: tuple(found[key]) for key in ("size", "shown") if found[key] is not None}
            return cls(**{**found, **pairs})
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the preparation of images cannot be read: {error}") from None

    def words(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self))


def kept_field(spec: RunSpec) -> int:
    """Give the side of what a prepared image must show: the field, and where the standard frame may look for it."""
    return _with_margin(spec.images.field, spec.images.frame)


def kept_pixels(spec: RunSpec) -> int:
    """Give the side, in pixels, of what must be kept so that a turned and zoomed field is still full."""
    how = spec.augmentation
    turned = how.kind == "rotations" or (how.kind == "random" and how.rotate)
    reach = kept_field(spec) * (math.sqrt(2) if turned else 1.0) / (1 - how.zoom) + 2 * how.shift + 2
    return math.ceil(reach / 2) * 2


def network_input(
    images: NDArray[Any], how: Preparation, beams: NDArray[np.float64] | float = 1.0
) -> NDArray[np.float32]:
    """Make raw images ready for a network.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw pixels of one unit, such as Jy/beam, of the pixel scale of training; row 0 at the south edge, the source in
        the middle; NaN are missing ones.
    how : Preparation
        Of the network.
    beams : float or ndarray, shape (n,)
        Full width at half maximum of the beam in units of that of the training images (5.4 arcsec for ``first-1``), of
        all images or of each.

    Returns
    -------
    ndarray of float32, shape (n, 1, rows, columns)
        What the network takes, one view: see `turned_views`.

    Raises
    ------
    DataError
        If images are no such array, smaller than the field, or one cannot be used.
    SpecError
        If the preset is not known, or the network's size does not divide the field.

    Notes
    -----
    Equal to what torch gives, to the rounding of its transform in float32: to 1e-5 of the peak in flux, of which the
    input is the root. So a pixel that holds a millionth of the peak may differ by 0.005. A source whose centre lies
    within rounding of the border between two pixels may be moved by one more, and with the frame "sky-axis" a round
    source, which has no long axis, turned by some thousandths.

    Examples
    --------
    >>> image = np.random.default_rng(1).normal(0, 1e-4, (1, 150, 150))
    >>> image[0, 74:77, 74:77] = 0.01
    >>> how = Preparation("sky", "sky", field=96, size=(96, 96), beam=1.5, kept=200)
    >>> found = network_input(image, how)
    >>> found.shape, float(found.max())
    ((1, 1, 96, 96), 1.0)
    """
    if images.ndim != 3 or min(images.shape[1:]) < how.field:
        raise DataError(
            f"images have shape {images.shape}; (n, rows, columns) is legal, with {how.field} or more rows and columns"
        )
    own = np.broadcast_to(np.asarray(beams, dtype=np.float64), len(images))
    shown = images if how.shown is None else central_crop(images, how.shown)
    parts = []
    for first in range(0, max(len(images), 1), _CHUNK):
        part = slice(first, first + _CHUNK)
        try:
            parts.append(_ready(shown[part], how, own[part]))
        except ImageError as error:
            raise error.shifted(first) from None
    return np.concatenate(parts)[:, None]


def turned_views(images: Floats, n: int) -> Iterator[Floats]:
    """Give views of images for averaging, the images themselves first; as `rgbench.images.augment.views`.

    Parameters
    ----------
    images : ndarray of float32, shape (..., h, w)
        Images; square ones for 8 views and more.
    n : {1, 2, 4, 8, 16, 24, 48}
        How many.

    Examples
    --------
    >>> [view[0, 0].tolist() for view in turned_views(np.eye(2, 3, 1, dtype=np.float32)[None], 2)]
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    if n not in VIEWS:
        raise SpecError(f"views: found {n}; legal are {', '.join(map(str, VIEWS))}")
    if n >= EXACT and images.shape[-2] != images.shape[-1]:
        raise SpecError(f"views: {n} need square images; 1, 2 and 4 are legal for others")
    turns, few = max(1, n // EXACT), min(n, EXACT)
    for number in range(turns):
        turned = _rotated(images, 90 / turns * number)
        for mirrored in (turned, turned[..., ::-1]) if few > 2 else (turned,):
            for quarters in ((0, 2) if few < EXACT else (0, 2, 1, 3))[:few]:
                yield np.ascontiguousarray(np.rot90(mirrored, quarters, (-2, -1)))


def _ready(images: NDArray[Any], how: Preparation, beams: NDArray[np.float64]) -> Floats:
    prepared = central_crop(preprocess_batch(images, how.preset), how.kept or max(images.shape))
    if how.beam > 1:
        prepared = _to_common_beam(prepared, how.beam, beams)
    if how.frame != "none":
        seen = _central_field(prepared, _with_margin(how.field, how.frame))
        prepared = (_turned_frame if how.frame == "sky-axis" else _frame)(seen, how.field)
    return _to_size(central_crop(prepared, how.field), how.size)


def _with_margin(field: int, frame: str) -> int:
    return field + (2 * MARGIN if frame != "none" else 0)


def _to_size(images: Floats, size: tuple[int, int]) -> Floats:
    """Shrink images by the mean of blocks."""
    rows, columns = images.shape[1:]
    if (rows, columns) == size:
        return images
    if rows % size[0] or columns % size[1]:
        raise SpecError(f"size: {size[0]} x {size[1]} does not divide a field of {rows} x {columns} pixels")
    blocks = images.reshape(len(images), size[0], rows // size[0], size[1], columns // size[1])
    return np.asarray(blocks.mean(axis=(2, 4)), dtype=np.float32)


def _central_field(images: Floats, side: int) -> Floats:
    """Cut images to a central field; what they do not show of it is 0."""
    cut = central_crop(images, side)
    lacking = [side - have for have in cut.shape[1:]]
    return np.pad(cut, ((0, 0), *((lack // 2, lack - lack // 2) for lack in lacking)))


def _to_common_beam(images: Floats, wanted: float, beams: NDArray[np.float64]) -> Floats:
    """Convolve images with the Gaussian that brings their beams to one, as far as they are narrower."""
    sigma = BEAM_PIXELS * FWHM_TO_SIGMA * np.sqrt(np.maximum(wanted**2 - beams**2, 0))
    ready = images.copy()
    rows = np.flatnonzero(sigma > 0)
    if not len(rows):
        return ready
    margin = math.ceil(5 * float(sigma.max()))
    wide = np.pad(images[rows].astype(np.float64), ((0, 0), (margin, margin), (margin, margin)))
    down, across = np.fft.fftfreq(wide.shape[1]), np.fft.rfftfreq(wide.shape[2])
    square = down[:, None] ** 2 + across[None, :] ** 2
    gain = np.exp(-2 * math.pi**2 * sigma[rows][:, None, None] ** 2 * square)
    blurred = np.fft.irfft2(np.fft.rfft2(wide) * gain, s=wide.shape[1:])
    blurred[blurred <= EMPTY * blurred.max(axis=(1, 2), keepdims=True)] = 0
    ready[rows] = blurred[:, margin:-margin, margin:-margin]
    return ready


def _frame(images: Floats, field: int) -> Floats:
    """Bring images to the standard frame "sky", by whole pixels."""
    rows, columns = images.shape[1:]
    root = np.sqrt(images)
    offset = np.rint(_centre(root, max(0.0, (min(rows, columns) - field) / 2))).astype(np.int64)
    steps = np.arange(field)
    at_rows = ((rows - field) // 2 + offset[:, 1:] + steps).clip(0, rows - 1)
    at_columns = ((columns - field) // 2 + offset[:, :1] + steps).clip(0, columns - 1)
    number = np.arange(len(images))[:, None, None]
    return _in_disc(root[number, at_rows[:, :, None], at_columns[:, None, :]])


def _turned_frame(images: Floats, field: int) -> Floats:
    """Bring images to the standard frame "sky-axis", in one interpolation."""
    root = np.sqrt(images)
    centre = _centre(root, max(0.0, (min(images.shape[1:]) - field) / 2))
    angle, right, up = _pose(root, centre)
    turns = zip(root, angle.tolist(), centre, strict=True)
    cut = [_sampled(one, turn, where, field) for one, turn, where in turns]
    cut = [one[:: int(b), :: int(a)] for one, a, b in zip(cut, right, up, strict=True)]
    return _in_disc(np.stack(cut) if cut else np.zeros((0, field, field), dtype=np.float32))


def _in_disc(cut: Floats) -> Floats:
    """Set what lies outside the disc to 0, and divide by the peak."""
    field = cut.shape[1]
    place = np.arange(field) - (field - 1) / 2
    kept = cut * ((place[:, None] ** 2 + place[None, :] ** 2) <= (field / 2) ** 2)
    peak = kept.max(axis=(1, 2), keepdims=True, initial=0)
    return np.asarray(kept / np.maximum(peak, 1e-6), dtype=np.float32)


def _centre(root: Floats, reach: float) -> NDArray[np.float64]:
    """Find the centre of what is near the middle of each image, (columns, rows) off it, shape (n, 2)."""
    odd = [side % 2 for side in root.shape[1:]]
    filled = np.pad(root.astype(np.float64), ((0, 0), (0, odd[0]), (0, odd[1])))
    blocks = filled.reshape(len(root), filled.shape[1] // 2, 2, filled.shape[2] // 2, 2)
    coarse = blocks.mean(axis=(2, 4))
    # The mean of a bin at the edge is of the pixels that are there.
    if odd[0]:
        coarse[:, -1] *= 2
    if odd[1]:
        coarse[:, :, -1] *= 2
    centre = np.zeros((len(root), 2))
    for _ in range(ROUNDS - 2):
        centre = _nearer(coarse, 2, centre).clip(-reach, reach)
    for _ in range(2):
        centre = _nearer(root, 1, centre).clip(-reach, reach)
    return centre


def _nearer(root: NDArray[Any], bin_pixels: int, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the mean place of what lies in the window about a centre; one step of mean shift."""
    rows, columns = (np.arange(n) * float(bin_pixels) for n in root.shape[1:])
    x, y = (place - place[-1] / 2 for place in (columns, rows))
    along, down = _window(x, centre[:, :1]), _window(y, centre[:, 1:])
    of_rows = np.einsum("nrc,nc->nr", root, along)
    of_columns = np.einsum("nr,nrc->nc", down, root)
    total = np.maximum((of_rows * down).sum(axis=1), 1e-12)
    places = (of_columns * along * x).sum(axis=1), (of_rows * down * y).sum(axis=1)
    return np.asarray(np.stack(places, axis=1) / total[:, None])


def _window(place: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * ((place - centre) / WINDOW) ** 2))


def _pose(root: Floats, centre: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Find how sources lie: angle of the long axis, 0 of a round one; -1 where the tail is left, or down; (n,) each."""
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in root.shape[1:])
    x, y = columns - centre[:, :1], rows - centre[:, 1:]
    along, down = (np.exp(-0.5 * (place / WINDOW) ** 2) for place in (x, y))
    weights = down[:, :, None] * along[:, None, :] * root
    total = np.maximum(weights.sum(axis=(1, 2)), 1e-12)

    def mean(of_x: int, of_y: int) -> NDArray[np.float64]:
        return np.asarray(np.einsum("nrc,nr,nc->n", weights, y**of_y, x**of_x, optimize=True) / total)

    mean_x, mean_y = mean(1, 0), mean(0, 1)
    xx, yy, xy = mean(2, 0) - mean_x**2, mean(0, 2) - mean_y**2, mean(1, 1) - mean_x * mean_y
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    c, s = np.cos(angle), np.sin(angle)
    xxx, xxy, xyy, yyy = (mean(3 - i, i) for i in range(4))
    ahead = c**3 * xxx + 3 * c**2 * s * xxy + 3 * c * s**2 * xyy + s**3 * yyy
    aside = -(s**3) * xxx + 3 * s**2 * c * xxy - 3 * s * c**2 * xyy + c**3 * yyy
    least = -SYMMETRIC * np.maximum(xx + yy, 0) ** 1.5
    return angle, *(np.where(third < least, -1.0, 1.0) for third in (ahead, aside))


def _rotated(images: Floats, degrees: float) -> Floats:
    """Turn square images counter-clockwise as they are shown, about their middle; by 0 they stay as they are."""
    if degrees == 0:
        return images
    side = images.shape[-1]
    flat = images.reshape(-1, side, side)
    nowhere = np.zeros(2)
    turned = np.stack([_sampled(image, math.radians(degrees), nowhere, side) for image in flat])
    return turned.reshape(images.shape)


def _sampled(image: Floats, angle: float, centre: NDArray[np.float64], side: int) -> Floats:
    """Interpolate an image linearly on a turned grid about a centre (column, row) off its middle; 0 lies outside."""
    rows, columns = image.shape
    step = np.arange(side) - (side - 1) / 2
    # A field that cannot be central to the pixel lies half a pixel nearer to row 0 and column 0.
    middle = [(have - side) // 2 + (side - 1) / 2 for have in (columns, rows)]
    cos, sin = math.cos(angle), math.sin(angle)
    x = cos * step[None, :] - sin * step[:, None] + centre[0] + middle[0]
    y = sin * step[None, :] + cos * step[:, None] + centre[1] + middle[1]
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    wide = np.pad(image, 1)
    found = np.zeros((side, side))
    for down in (0, 1):
        for right in (0, 1):
            weight = (1 - np.abs(x - left - right)) * (1 - np.abs(y - top - down))
            at = (top + down + 1).clip(0, rows + 1), (left + right + 1).clip(0, columns + 1)
            found += weight * wide[at]
    return found.astype(np.float32)
