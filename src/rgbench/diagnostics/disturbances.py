"""What is done to raw images before a network sees them: noise, a coarser beam, a shift, coarser pixels, or all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from rgbench.data.catalogue import Card
from rgbench.data.surveys.surveys import Survey, find_survey
from rgbench.diagnostics.second_view import View, see_again
from rgbench.errors import SpecError
from rgbench.images.geometry import central_crop, resample
from rgbench.images.noise import FWHM_TO_SIGMA, mad_noise, unit_noise
from rgbench.seeds import numpy_generator
from rgbench.store.conditions import SURVEY, VIEW, Condition, disturbances, families

SEED = 0
"""All runs are tested on the same noise and shifts, whatever their own seeds: they can be paired."""
PEAK_SHARE = 0.01
"""Unit of added noise, as a share of the peak, for images whose own noise has been clipped away."""
CLIP = 3.0
"""Such images are clipped again at so many times the noise that was added, as they were before."""
SIMULATED = "-simulated"
"""What the name of a survey ends in whose view is made of the images themselves."""
BEAM = "beam"
"""Column of a catalogue with the widths of its images' beams, in units of that of the data set's card."""

Pixels = NDArray[np.floating[Any]]


SEEN_BY = ("lotss", "racs", "nvss")
"""Surveys whose view is made of the images unless one asks for something else."""


def default_conditions() -> tuple[Condition, ...]:
    """List what is tested unless one asks for something else: all kinds of disturbance at their strengths."""
    kinds = families()
    surveys = tuple(Condition(SURVEY, survey=f"{name}{SIMULATED}") for name in SEEN_BY)
    of = {name: tuple(Condition(name, strength) for strength in kinds[name].strengths) for name in kinds}
    ours = [name for name in kinds if kinds[name].function is None]
    return (
        *(condition for name in ours for condition in of[name]),
        *surveys,
        *(condition for name in kinds if name not in ours for condition in of[name]),
    )


def add_noise(
    images: NDArray[Any],
    strength: float,
    generators: Sequence[np.random.Generator],
    beam_pixels: float = float("nan"),
) -> Pixels:
    """Add Gaussian noise, correlated over the beam where that is known.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images in any unit; NaN stay.
    strength : float
        Standard deviation in units of each image's own noise (`rgbench.images.noise.mad_noise`); an image
        with noise s then has s * sqrt(1 + strength^2). An image more than half of whose pixels are equal,
        such as one of 8 bits that was clipped, shows no noise: the unit is 1 % of its peak, and what then
        lies below 3 times the added noise is set to the background, as the clipping would have done.
    generators : sequence of numpy.random.Generator
        One per image.
    beam_pixels : float
        Full width at half maximum of the beam in pixels; NaN for noise independent in each pixel.

    Returns
    -------
    ndarray, shape (n, h, w)
        float32, or float64 if the images are; values of 8-bit images are not rounded.

    Examples
    --------
    >>> sky = np.random.default_rng(1).normal(0, 2.0, (1, 200, 200))
    >>> noisy = add_noise(sky, 1.0, [np.random.default_rng(2)])
    >>> round(float(noisy.std() / sky.std()), 1)  # the square root of 2
    1.4
    """
    images = _floating(images)
    if strength == 0 or len(images) == 0:
        return images
    middle = np.nanmedian(images, axis=(1, 2), keepdims=True)
    own = mad_noise(images).reshape(-1, 1, 1)
    clipped = ~(own > 0)
    peak = np.nanmax(images, axis=(1, 2), keepdims=True) - middle
    level = (strength * np.where(clipped, PEAK_SHARE * peak, own)).astype(images.dtype)
    noise = np.stack([unit_noise(each, images.shape[1:], beam_pixels) for each in generators])
    noisy = images + level * noise.astype(images.dtype)
    return np.where(clipped & (noisy - middle <= CLIP * level), middle, noisy)


def coarser_beam(images: NDArray[Any], kernel_pixels: float) -> Pixels:
    """Convolve images with a Gaussian.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images. NaN stay, and count as the image's median for their neighbours.
    kernel_pixels : float
        Full width at half maximum of the Gaussian in pixels, as from `beam_kernel`.

    Returns
    -------
    ndarray, shape (n, h, w)
        Smoothed images. The sum of the pixels stays, so brightness still counts per old beam: a factor that
        min-max scaling does not see. The noise of the sky is smoothed with the sources.
    """
    sigma = kernel_pixels * FWHM_TO_SIGMA
    if sigma == 0:
        return _floating(images)
    # "reflect" hands back at an edge what leaves there, which keeps the sum.
    return _despite_nan(images, lambda stack: gaussian_filter(stack, (0, sigma, sigma), mode="reflect"))


def beam_kernel(card: Card, factor: float) -> float:
    """Give the kernel that makes a survey's beam wider by a factor, as its FWHM in pixels.

    Gaussian beams add in quadrature: sqrt(factor^2 - 1) times the beam.

    Raises
    ------
    SpecError
        If the card does not tell beam and pixel scale.

    Examples
    --------
    >>> round(beam_kernel(Card("first", "", pixel_scale=1.8, beam=5.4), 5 / 4), 3)
    2.25
    """
    reason = missing(Condition("beam", factor), card)
    if reason:
        raise SpecError(reason)
    return float(np.sqrt(factor**2 - 1) * card.beam / card.pixel_scale)


def shift_centre(images: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pixels:
    """Move each image by whole pixels.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images.
    rows, columns : ndarray of int64, shape (n,)
        How far the source moves towards the last row and column; negative the other way.

    Returns
    -------
    ndarray, shape (n, h, w)
        Moved images; what comes in at an edge has the median of the image, its sky.

    Examples
    --------
    >>> shift_centre(np.array([[[0, 0, 0], [0, 5, 0]]]), np.array([-1]), np.array([1])).tolist()
    [[[0.0, 0.0, 5.0], [0.0, 0.0, 0.0]]]
    """
    images = _floating(images)
    moved = np.empty_like(images)
    for image, target, down, right in zip(images, moved, rows.tolist(), columns.tolist(), strict=True):
        target[:] = np.nanmedian(image) if down or right else 0
        (to_y, from_y), (to_x, from_x) = (
            (slice(max(by, 0), max(side + min(by, 0), 0)), slice(max(-by, 0), max(side - max(by, 0), 0)))
            for by, side in zip((down, right), image.shape, strict=True)
        )
        target[to_y, to_x] = image[from_y, from_x]
    return moved


def coarser_pixels(images: NDArray[Any], factor: int) -> Pixels:
    """Average blocks of pixels and give each pixel the mean of its block: the same size, less resolution.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images. NaN stay, and count as the image's median for their block.
    factor : int
        Side of the blocks. Where it does not divide a side, the image is continued by its edge pixels.

    Returns
    -------
    ndarray, shape (n, h, w)
        Images of the same sum, to rounding, where the factor divides the sides.

    Examples
    --------
    >>> coarser_pixels(np.array([[[0, 4, 1, 1], [0, 0, 1, 1]]]), 2).tolist()
    [[[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]]
    """
    if factor == 1:
        return _floating(images)

    def average(stack: Pixels) -> Pixels:
        rows, columns = stack.shape[1:]
        pads = [
            (0, 0),
            *((-side % factor // 2, -side % factor - -side % factor // 2) for side in (rows, columns)),
        ]
        wide = np.pad(stack, pads, mode="edge")
        blocks = wide.reshape(len(wide), wide.shape[1] // factor, factor, wide.shape[2] // factor, factor)
        same = np.broadcast_to(blocks.mean(axis=(2, 4), keepdims=True), blocks.shape).reshape(wide.shape)
        top, left = pads[1][0], pads[2][0]
        return same[:, top : top + rows, left : left + columns]

    return _despite_nan(images, average)


def see_as(images: NDArray[Any], card: Card, survey: Survey) -> Pixels:
    """Show images as they would look through the beam and on the pixels of a coarser survey.

    Convolved with the Gaussian that makes the beam of the card that of the survey; where the survey's pixels are
    larger, averaged over them and brought back to the old pixels by linear interpolation. It is the same emission:
    neither the survey's noise, nor its frequency, nor the extended emission that the finer survey has missed.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images. NaN stay, and count as the image's median for their neighbours.
    card : Card
        Of the images.
    survey : Survey
        As from `rgbench.data.surveys.surveys.find_survey`.

    Returns
    -------
    ndarray, shape (n, h, w)
        Images on the old pixels.

    Raises
    ------
    SpecError
        If the card tells no beam or no pixel scale, or the survey's beam is not larger.

    Examples
    --------
    >>> image = np.zeros((1, 99, 99))
    >>> image[0, 49, 49] = 1.0
    >>> seen = see_as(image, Card("first", "", pixel_scale=1.8, beam=5.4), find_survey("nvss"))
    >>> seen.shape, bool(np.isclose(seen[0, 49, 49], seen.max())), round(float(seen.sum()), 2)
    ((1, 99, 99), True, 1.0)
    """
    reason = missing(Condition(SURVEY, survey=f"{survey.name}{SIMULATED}"), card)
    if reason:
        raise SpecError(reason)
    smooth = coarser_beam(images, float(np.sqrt(survey.beam**2 - card.beam**2)) / card.pixel_scale)
    ratio = survey.pixel_scale / card.pixel_scale
    return _despite_nan(smooth, lambda stack: _regrid(stack, ratio)) if ratio > 1 else smooth


def _regrid(stack: Pixels, ratio: float) -> Pixels:
    """Average over pixels that are larger by a ratio, and interpolate back to the old ones."""
    rows, columns = stack.shape[1:]
    margin = int(np.ceil(ratio)) + 1
    wide = np.pad(stack, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    coarse = resample(wide, 1.0, ratio)
    if rows == columns:
        return resample(coarse, ratio, 1.0, size=rows)
    return np.asarray(central_crop(resample(coarse, ratio, 1.0), (rows, columns)))


def disturb(images: NDArray[Any], names: Sequence[str], condition: Condition, card: Card) -> Pixels:
    """Do to raw images what a condition says; chance depends on the family and the source's name alone.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images.
    names : sequence of str
        Sources. The noise of a source is the same at every strength but for its level, and so is the
        direction, one of four, in which it is shifted.
    condition : Condition
        Of any family but "rotation", which is done to prepared images.
    card : Card
        Beam and pixel scale are taken from it.

    Returns
    -------
    ndarray, shape (n, h, w)
        Disturbed images, float32 or float64.

    Raises
    ------
    SpecError
        If the condition cannot be made of such images.
    """
    if condition.family == SURVEY:
        return see_as(images, card, _simulated(condition))
    function = disturbances().get(condition.family).function or DISTURBANCES.get(condition.family)
    if function is None:
        legal = [name for name in disturbances().names() if name != "rotation"]
        raise SpecError(f"{condition.name}: raw images take {', '.join(legal)}, {SURVEY}")
    disturbed = np.asarray(function(images, names, condition.strength, card))
    if disturbed.shape != images.shape:
        raise SpecError(
            f"{condition.name}: made images of shape {disturbed.shape} of {images.shape}; the shape must stay"
        )
    return disturbed


def beams_seen(names: Sequence[str], condition: Condition, card: Card) -> NDArray[np.float64]:
    """Give the widths of the beams of disturbed images, shape (n,), in units of that of the card.

    They are what the header of such an image says. Of families from elsewhere it is not known, and taken to be 1; so
    is that of another survey's own images, which `rgbench.diagnostics.survey_shift.seen_by` reads.

    Examples
    --------
    >>> beams_seen(["a", "b"], Condition("beam", 1.5), Card("first", "", pixel_scale=1.8, beam=5.4)).tolist()
    [1.5, 1.5]
    """
    if condition.family == VIEW and condition.strength:
        return np.array([View.draw(chance).beam for chance in _chance_of_view(names, condition.strength)])
    wider = 1.0
    if condition.family == "beam":
        wider = condition.strength
    elif condition.family == SURVEY and condition.survey.endswith(SIMULATED):
        wider = _simulated(condition).beam / card.beam
    return np.full(len(names), wider)


def missing(condition: Condition, card: Card) -> str | None:
    """Say why a condition cannot be made of a data set's images, or give None if it can."""
    known = np.isfinite(card.beam) and np.isfinite(card.pixel_scale)
    if condition.family in ("beam", VIEW) and not known:
        return f"{condition.name}: the card of {card.name} tells no beam, or no pixel scale"
    if condition.family == SURVEY and condition.survey.endswith(SIMULATED):
        return _why_not(condition, card, known)
    return None


def _why_not(condition: Condition, card: Card, known: bool) -> str | None:
    survey = _simulated(condition)
    if not known:
        return f"{condition.name}: the card of {card.name} tells no beam, or no pixel scale"
    if survey.beam <= card.beam:
        return (
            f"{condition.name}: the beam of {survey.name}, {survey.beam:g} arcsec, is not larger than that of "
            f"{card.name}, {card.beam:g} arcsec; its view can only be fetched (rgbench data build)"
        )
    return None


def _simulated(condition: Condition) -> Survey:
    """Give the survey of a condition whose images are made of those at hand."""
    if not condition.survey.endswith(SIMULATED):
        raise SpecError(f"{condition.name}: the survey's own images are needed (rgbench stress --survey)")
    return find_survey(condition.survey.removesuffix(SIMULATED))


def conditions_for(card: Card) -> tuple[Condition, ...]:
    """List the conditions of `default_conditions` that can be made of a data set's images."""
    return tuple(condition for condition in default_conditions() if missing(condition, card) is None)


def _noise(images: NDArray[Any], names: Sequence[str], strength: float, card: Card) -> Pixels:
    chance = [numpy_generator(SEED, "augmentation", stress="noise", source=name) for name in names]
    return add_noise(images, strength, chance, card.beam / card.pixel_scale)


def _beam(images: NDArray[Any], names: Sequence[str], strength: float, card: Card) -> Pixels:  # noqa: ARG001
    return coarser_beam(images, beam_kernel(card, strength))


def _shift(images: NDArray[Any], names: Sequence[str], strength: float, card: Card) -> Pixels:  # noqa: ARG001
    ways = [numpy_generator(SEED, "augmentation", stress="shift", source=n).integers(4) for n in names]
    steps = int(strength) * np.array([(1, 0), (-1, 0), (0, 1), (0, -1)], dtype=np.int64)[ways]
    return shift_centre(images, steps[:, 0], steps[:, 1])


def _resolution(images: NDArray[Any], names: Sequence[str], strength: float, card: Card) -> Pixels:  # noqa: ARG001
    return coarser_pixels(images, int(strength))


def _view(images: NDArray[Any], names: Sequence[str], strength: float, card: Card) -> Pixels:
    if strength == 0:
        return _floating(images)
    return see_again(images, _chance_of_view(names, strength), card.beam / card.pixel_scale)


def _chance_of_view(names: Sequence[str], strength: float) -> list[np.random.Generator]:
    return [numpy_generator(SEED, "augmentation", stress=VIEW, source=n, draw=int(strength)) for n in names]


Disturbance = Callable[[NDArray[Any], Sequence[str], float, Card], Pixels]
DISTURBANCES: Mapping[str, Disturbance] = MappingProxyType(
    {"noise": _noise, "beam": _beam, "shift": _shift, "resolution": _resolution, VIEW: _view}
)
"""How raw images are disturbed by the families of this package; the others bring a function of their own."""


def _floating(images: NDArray[Any]) -> Pixels:
    """Give native floating images: float64 stays, all else becomes float32."""
    kind = np.float64 if images.dtype.kind == "f" and images.dtype.itemsize == 8 else np.float32
    return np.array(images, dtype=kind)


def _despite_nan(images: NDArray[Any], function: Callable[[Pixels], Pixels]) -> Pixels:
    """Apply a function to images whose NaN are filled with the median; put the NaN back."""
    images = _floating(images)
    bad = np.isnan(images)
    if not bad.any():
        return function(images)
    filled = np.where(bad, np.nanmedian(images, axis=(1, 2), keepdims=True), images)
    return np.where(bad, images.dtype.type(np.nan), function(filled))
