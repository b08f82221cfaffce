"""Preprocessing: pure functions on stacks of images, and presets that name them in order.

Every step takes an array of shape (n, h, w) and gives one of the same kind. A preset is data: the
names of steps with their arguments. The steps stand in `steps`, `noise`, `stretch`, `geometry` and `align`.
Integer images are worked on as float32, floating ones in their own precision, and what comes out is float32.

The 2021 protocol works image by image on float32 arrays, so its mean and standard deviation are NumPy's
pairwise float32 sums over the 90,000 pixels of one contiguous image. The steps here reduce over one flat
contiguous axis in the same precision, which gives the same bits: a pixel next to the threshold falls on
the same side as in the original.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError
from rgbench.images.align import align_principal_axis
from rgbench.images.geometry import block_mean, central_crop, circular_mask, resample
from rgbench.images.noise import ImageError, noise_clip, rms_clip, subtract_clip
from rgbench.images.steps import (
    ConstantImageError,
    bin_thresh_2021,
    divide,
    minmax,
    replace_nan,
    sigma_clip_2021,
    threshold_2021,
    to_peak,
)
from rgbench.images.stretch import (
    asinh_noise_stretch,
    asinh_stretch,
    grey_levels,
    log_noise_stretch,
    log_stretch,
    power_stretch,
)
from rgbench.registry import Registry

__all__ = [
    "CHUNK",
    "STEPS",
    "ConstantImageError",
    "Preset",
    "asinh_stretch",
    "bin_thresh_2021",
    "block_mean",
    "central_crop",
    "divide",
    "find_preset",
    "log_stretch",
    "minmax",
    "noise_clip",
    "power_stretch",
    "preprocess",
    "preprocess_batch",
    "presets",
    "replace_nan",
    "sigma_clip_2021",
    "subtract_clip",
    "threshold_2021",
    "to_peak",
    "usable",
]

Pixels = NDArray[np.floating[Any]]

CHUNK = 8
"""Images worked on at a time by `preprocess_batch`, which bounds its memory."""


STEPS: Mapping[str, Callable[..., Pixels]] = MappingProxyType(
    {
        step.__name__: step
        for step in (
            replace_nan,
            minmax,
            sigma_clip_2021,
            bin_thresh_2021,
            noise_clip,
            power_stretch,
            log_stretch,
            asinh_stretch,
            central_crop,
            block_mean,
            divide,
            to_peak,
            subtract_clip,
            rms_clip,
            asinh_noise_stretch,
            log_noise_stretch,
            grey_levels,
            circular_mask,
            resample,
            align_principal_axis,
        )
    }
)
"""Every step that a preset may name."""


Step = str | Callable[..., Pixels]
"""A step of a preset: a name in `STEPS`, or a function of one's own that takes and gives images (n, h, w)."""


@dataclass(frozen=True)
class Preset:
    """A way to prepare images: steps, in order.

    Attributes
    ----------
    name : str
        What a study writes.
    steps : tuple of (str or callable, mapping)
        Names in `STEPS`, or functions of one's own, each with its keyword arguments.
    """

    name: str
    steps: tuple[tuple[Step, Mapping[str, Any]], ...]

    def __post_init__(self) -> None:
        for step, _ in self.steps:
            if not callable(step) and step not in STEPS:
                raise SpecError(
                    f"preset {self.name!r}: unknown step {step!r}; the steps are {', '.join(STEPS)}"
                )

    def apply(self, images: Pixels) -> Pixels:
        """Apply the steps to floating images of shape (n, h, w).

        Raises
        ------
        SpecError
            If a step of one's own raises, or gives anything but as many images of finite or missing pixels.
        """
        for step, arguments in self.steps:
            images = (
                self._own(step, images, arguments) if callable(step) else STEPS[step](images, **arguments)
            )
        return images

    def _own(self, step: Callable[..., Pixels], images: Pixels, arguments: Mapping[str, Any]) -> Pixels:
        """Apply a step from elsewhere; whatever is wrong with it is told with the name of the preset."""
        try:
            found = np.asarray(step(images.copy(), **arguments))
        except DataError:
            raise
        except Exception as error:
            raise SpecError(f"preset {self.name!r} raised {type(error).__name__}: {error}") from error
        if found.ndim != 3 or len(found) != len(images):
            raise SpecError(
                f"preset {self.name!r}: of images of shape {images.shape} a step made {found.shape}; "
                "as many images, (n, h, w), are needed"
            )
        if found.dtype.kind not in "biuf":
            raise SpecError(
                f"preset {self.name!r}: a step made pixels of type {found.dtype}; numbers are needed"
            )
        return found if found.dtype.kind == "f" else found.astype(np.float32)


_Steps = tuple[tuple[Step, Mapping[str, Any]], ...]
_NORMALISED: _Steps = (("replace_nan", {}), ("minmax", {}))
_MIRABEST_FIELD: _Steps = (("rms_clip", {}), ("replace_nan", {}), ("central_crop", {"size": 150}))

_PRESETS: Mapping[str, _Steps] = MappingProxyType(
    {
        "modern": (("replace_nan", {}), ("noise_clip", {}), ("minmax", {}), ("power_stretch", {})),
        "sky": (("subtract_clip", {}), ("to_peak", {})),
        "none": (("replace_nan", {}),),
        "bytes": (("replace_nan", {}), ("divide", {"by": 255})),
        "minmax": _NORMALISED,
        "becker2021": (*_NORMALISED, ("sigma_clip_2021", {})),
        "becker2021-bin-thresh": (*_NORMALISED, ("bin_thresh_2021", {})),
        "clip-log": (*_NORMALISED, ("sigma_clip_2021", {}), ("log_stretch", {})),
        "log": (*_NORMALISED, ("log_stretch", {})),
        "asinh": (*_NORMALISED, ("asinh_stretch", {})),
        "asinh-noise": (("asinh_noise_stretch", {}), ("replace_nan", {})),
        "log-noise": (("log_noise_stretch", {}), ("replace_nan", {})),
        "mirabest": (*_MIRABEST_FIELD, ("minmax", {}), ("grey_levels", {})),
        "mirabest-f": (
            *_MIRABEST_FIELD,
            ("circular_mask", {"shift": 0.5}),
            ("minmax", {}),
            ("grey_levels", {}),
        ),
        "principal-axis": (("align_principal_axis", {}), ("noise_clip", {}), ("minmax", {})),
    }
)


@cache
def presets() -> Registry[Preset]:
    """Give the registry of presets; others join it by entry points ``rgbench.presets`` or `rgbench.register`.

    What joins is a `Preset`, or a function that takes floating images (n, h, w) and gives as many prepared ones.

    Notes
    -----
    "becker2021" is the protocol of the 2021 study, "modern" that of our own recipe. "sky" gives linear
    flux above the clip level, for the standard frame of `rgbench.images.frame`. "mirabest" makes the 8-bit
    images of the data sets mirabest-basic and mirabest-full, "mirabest-f" those of mirabest-f, from FITS images of
    300 x 300 pixels: grey levels 0 to 255 of the central 150 x 150 (Porter & Scaife 2023, RASTI 2, 293). "bytes" is
    what the 2021 testbed did to MNIST. "asinh-noise" and "log-noise" need images whose noise is still there.

    Examples
    --------
    >>> presets().get("minmax").steps
    (('replace_nan', {}), ('minmax', {}))
    """
    registry = Registry("preset", "rgbench.presets", _as_preset)
    for name, steps in _PRESETS.items():
        registry.register(name, Preset(name, steps))
    return registry


def _as_preset(name: str, item: Any) -> Preset:
    """Make a preset of what was registered; `SpecError` says what is legal."""
    if isinstance(item, Preset):
        return item
    if callable(item):
        return Preset(name, ((item, {}),))
    raise SpecError(
        f"preset {name!r} is a {type(item).__name__}; a Preset, or a function of images (n, h, w), is legal"
    )


def usable(image: NDArray[Any]) -> str | None:
    """Say why an image cannot be used, or give None if it can.

    Parameters
    ----------
    image : ndarray
        One image.

    Returns
    -------
    str or None
        The reason, to follow "image N: " or a file name.

    Examples
    --------
    >>> usable(np.ones((4, 4)))
    'all pixels are equal'
    """
    if image.ndim != 2:
        return f"has {image.ndim} axes (shape {image.shape}); 2 are needed"
    if image.size == 0:
        return f"has no pixels (shape {image.shape})"
    if image.dtype.kind not in "biuf":
        return f"has pixels of type {image.dtype}; numbers are needed"
    low, high = np.fmin.reduce(image, axis=None), np.fmax.reduce(image, axis=None)
    if np.isnan(low):
        return "all pixels are NaN"
    if np.isinf(low) or np.isinf(high):
        return "has infinite pixels"
    if low == high and (low == 0 or not np.isnan(image).any()):
        return "all pixels are equal"
    return None


def find_preset(name: str) -> Preset:
    """Give a preset by name; raise `SpecError` with the legal names."""
    return presets().get(name)


def preprocess(
    image: NDArray[Any], preset: str | Preset = "becker2021", size: int | None = None
) -> NDArray[np.float32]:
    """Prepare one image for a network.

    Parameters
    ----------
    image : ndarray, shape (h, w)
        Raw pixels of any number type and byte order; NaN are missing ones.
    preset : str or Preset
        The name of one of `presets`, or one's own.
    size : int, optional
        Side of the result in pixels, reached by averaging after the preset; it must divide both sides
        of the image by the same factor. Left out: the size of the image.

    Returns
    -------
    ndarray of float32, shape (h, w) or (size, size)
        The prepared image.

    Raises
    ------
    DataError
        If the image is not of two axes, all NaN, infinite or constant, or `size` does not fit.
    SpecError
        If there is no such preset.

    Examples
    --------
    >>> image = np.zeros((20, 20))
    >>> image[10, 10], image[0, 0] = 5.0, np.nan
    >>> float(preprocess(image).sum())
    1.0
    """
    image = np.asarray(image)
    reason = usable(image)
    if reason is not None:
        raise DataError(f"image {reason}" if reason.startswith("has") else f"image: {reason}")
    ready: NDArray[np.float32] = _prepare(image[None], 0, _preset(preset))[0]
    if size is None:
        return ready
    rows, columns = ready.shape
    if size < 1 or rows != columns or rows % size:
        raise DataError(f"size: {size} does not divide an image of {rows} x {columns} pixels evenly")
    return np.asarray(block_mean(ready, rows // size), dtype=np.float32)


def preprocess_batch(images: NDArray[Any], preset: str | Preset = "becker2021") -> NDArray[np.float32]:
    """Prepare many images, some at a time.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw pixels of any number type and byte order; a memory map will do.
    preset : str or Preset
        The name of one of `presets`, or one's own.

    Returns
    -------
    ndarray of float32, shape (n, h, w)
        The prepared images; each is what `preprocess` gives for it alone.

    Raises
    ------
    DataError
        If the array has not three axes, or an image cannot be used: the message gives its index.
    SpecError
        If there is no such preset.
    """
    if images.ndim != 3:
        raise DataError(f"images have {images.ndim} axes (shape {images.shape}); (n, h, w) is needed")
    steps = _preset(preset)
    parts = []
    for first in range(0, max(len(images), 1), CHUNK):
        chunk = np.asarray(images[first : first + CHUNK])
        for index, image in enumerate(chunk, start=first):
            reason = usable(image)
            if reason is not None:
                raise ImageError(index, reason)
        parts.append(_prepare(chunk, first, steps))
    return np.concatenate(parts)


def _preset(preset: str | Preset) -> Preset:
    return find_preset(preset) if isinstance(preset, str) else preset


def _prepare(chunk: NDArray[Any], first: int, preset: Preset) -> NDArray[np.float32]:
    """Prepare usable images, the first of which is number `first` to the caller."""
    try:
        ready = np.asarray(preset.apply(_floating(chunk)), dtype=np.float32)
    except ImageError as error:
        raise error.shifted(first) from None
    if not np.isfinite(ready).all():
        index = first + int(np.argmin(np.isfinite(ready).all(axis=(1, 2))))
        raise SpecError(f"preset {preset.name!r}: image {index} has pixels that are not finite after it")
    return ready


def _floating(images: NDArray[Any]) -> Pixels:
    """Give contiguous native floating images: float64 stays, all else becomes float32."""
    kind = np.float64 if images.dtype.kind == "f" and images.dtype.itemsize == 8 else np.float32
    return np.ascontiguousarray(images, dtype=kind)
