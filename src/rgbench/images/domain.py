"""Is an image of the kind that a classifier knows? What can be mended is mended, all else is flagged.

Pixel scale and a finer beam can be brought to those of training (`bring`). What the image then shows is looked at
within the field of the network (`look`): whether anything is there, and whether it is like what was trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from rgbench.images.fits import Beam
from rgbench.images.flags import Flag
from rgbench.images.geometry import central_crop, resample
from rgbench.images.measure import OFF_CENTRE, measure_source
from rgbench.images.noise import sky_and_noise
from rgbench.images.segment import Segmentation, central_source, clump_mask

SCALE_TOLERANCE = 0.1
"""Largest difference of pixel scales, as a share, at which images are taken as they are."""
FINE_BEAM, COARSE_BEAM = 0.8, 1.6
"""Beams below the first share of the training beam are convolved to it; above the second they are flagged."""
OBSERVED = 0.5
"""Least share of the field, and of its middle, that must not be blanked for a class to be given."""
MIDDLE = 5
"""Side, in pixels, of the middle of the field."""
DETECTION = Segmentation(detect=5.0, grow=3.0, smallest=4)
"""What counts as a source: four pixels above three times the noise, one of them above five."""
_FWHM = math.sqrt(8 * math.log(2))


class Oddity(IntFlag):
    """What a classifier should be told about an image; those of `FORBIDDING` allow no class.

    Examples
    --------
    >>> words(Oddity.NO_DETECTION | Oddity.RESAMPLED)
    'no-detection|resampled'
    """

    NO_DETECTION = 1
    """No source stands out from the noise in the field: fewer than four pixels above 3 sigma, or none above 5."""
    BLANKED = 2
    """Half of the field or more is blanked, or its middle is."""
    PART_BLANKED = 4
    """Some pixels of the field are blanked."""
    IN_TRAINING = 8
    """The classifier was trained, or tuned, on a source at this position."""
    BRIGHT_NEIGHBOUR = 16
    """Another source in the field has a higher peak than the one at the centre."""
    LOW_SNR = 32
    """Peak over noise is below that of the training sources."""
    LARGE = 64
    """The source reaches the edge of the field, or is larger than the training sources."""
    OFF_CENTRE = 128
    """The source nearest to the centre lies far from it, and not on both sides of it: it may be another one."""
    RESAMPLED = 256
    """The image was brought to the pixel scale of training."""
    CONVOLVED = 512
    """The image was convolved to the beam of training."""
    COARSE_BEAM = 1024
    """The beam, along its major axis, is wider than that of training: detail that tells classes apart is lost."""
    NO_SCALE = 2048
    """The header tells no pixel scale; that which was given is taken."""
    NO_BEAM = 4096
    """The header of an image of another pixel scale tells no beam; that of training is assumed."""
    FROM_SIZE = 8192
    """The class follows from the size in the catalogue of a survey; no image was looked at."""
    NEIGHBOUR_OUT = 16384
    """The light of another source of the catalogue was taken out of the picture (a survey of whole sources)."""


FORBIDDING = Oddity.NO_DETECTION | Oddity.BLANKED
"""With one of these there is nothing to classify."""


def words(oddities: Oddity) -> str:
    """Write flags as tables have them: in small letters, with a bar between them; "" for none."""
    return "|".join(str(each.name).lower().replace("_", "-") for each in oddities)


@dataclass(frozen=True)
class Domain:
    """What a classifier was trained on, and so what it may be asked about; None where it is not known.

    Attributes
    ----------
    pixel_scale, beam : float or None
        Arcsec per pixel, and full width at half maximum of the beam in arcsec.
    largest_size : float or None
        Largest angular size of the sources, arcsec, measured as `look` does.
    least_signal_to_noise : float or None
        Least peak over noise of the sources.
    """

    pixel_scale: float | None = None
    beam: float | None = None
    largest_size: float | None = None
    least_signal_to_noise: float | None = None


@dataclass(frozen=True)
class Looked:
    """What one image shows within the field.

    Attributes
    ----------
    oddities : Oddity
        What is odd.
    signal_to_noise : float
        Peak of the source over the noise; NaN where one of them is not known.
    extent : float
        Largest distance between two pixels of the source, in pixels; NaN without a source.
    peak, total : float
        Highest pixel of the source and the sum of its pixels above the sky, in the unit of the image; NaN without one.
    sky, noise : float
        Median and noise (`mad_noise`) of what is not blanked; NaN where they were not measured.
    """

    oddities: Oddity
    signal_to_noise: float
    extent: float
    peak: float = math.nan
    total: float = math.nan
    sky: float = math.nan
    noise: float = math.nan


def bring(
    pixels: NDArray[np.float32],
    pixel_scale: float,
    beam: Beam,
    domain: Domain,
    side: int,
    quantity: str = "per beam",
) -> tuple[NDArray[np.float32], Oddity]:
    """Bring an image to the pixel scale and the beam of a domain, where that is honest.

    A beam that is finer is convolved to that of training; a coarser one cannot be mended. Pixels of another scale
    are averaged, or interpolated by a cubic spline; brightnesses (Jy/beam) keep their values, amounts per pixel
    (Jy/pixel) their sums.

    Parameters
    ----------
    pixels : ndarray of float32, shape (h, w)
        The image, north up; NaN where it is blanked.
    pixel_scale : float
        Arcsec per pixel. NaN if it is not known: nothing is brought to anything then.
    beam : Beam
        Its beam; NaN if the header does not tell.
    domain : Domain
        What it is brought to.
    side : int
        Pixels of the domain's scale, about the centre, that are needed; more are cut off first.
    quantity : {"per beam", "per pixel"}
        What pixels hold; see `rgbench.images.geometry.resample`.

    Returns
    -------
    pixels : ndarray of float32, shape (h', w')
        The image as the classifier may see it.
    oddities : Oddity
        What was done, and what could not be: RESAMPLED, CONVOLVED, COARSE_BEAM, NO_SCALE, NO_BEAM.

    Examples
    --------
    >>> image = np.ones((30, 30), dtype=np.float32)
    >>> found, odd = bring(image, 3.6, Beam(5.4, 5.4, 0.0), Domain(pixel_scale=1.8, beam=5.4), side=40)
    >>> found.shape, words(odd)
    ((60, 60), 'resampled')
    """
    ours = domain.pixel_scale
    if ours is None:
        return pixels, Oddity(0)
    if not np.isfinite(pixel_scale):
        return pixels, Oddity.NO_SCALE | (_to_beam(beam, domain.beam)[1] & Oddity.COARSE_BEAM)
    other = abs(math.log(pixel_scale / ours)) > SCALE_TOLERANCE
    kernel, odd = _to_beam(beam, domain.beam)
    if not other:  # FIRST itself tells no beam in its cutouts
        odd &= ~Oddity.NO_BEAM
    if kernel is not None or other:
        margin = 4 * (domain.beam or 0.0)
        pixels = _cut(pixels, math.ceil((side * ours + 2 * margin) / pixel_scale) + 2)
    if kernel is not None:
        pixels = _convolved(pixels, kernel / pixel_scale**2)
    if other:
        pixels, odd = resample(pixels, pixel_scale, ours, quantity, order=3), odd | Oddity.RESAMPLED
    return np.asarray(pixels, dtype=np.float32), odd


def beam_after(beam: Beam, oddities: Oddity, domain: Domain) -> float:
    """Give the width of the beam of an image that `bring` gave, in units of that of training; 1 if it is not known.

    Examples
    --------
    >>> beam_after(Beam(7.0, 6.0, 0.0), Oddity(0), Domain(pixel_scale=1.8, beam=5.4)).__round__(2)
    1.2
    """
    if domain.beam is None or not np.isfinite(beam.major):
        return 1.0
    least = domain.beam if oddities & Oddity.CONVOLVED else 0.0
    return math.sqrt(max(beam.major, least) * max(beam.minor, least)) / domain.beam


def look(frame: NDArray[np.float32], field: int, domain: Domain) -> Looked:
    """Look at an image as a classifier will see it, and tell whether its source is there, and like those of training.

    Parameters
    ----------
    frame : ndarray of float32, shape (h, w)
        The image in pixels of the domain, as from `bring`. Noise and sky (the median) are measured on all of it, on
        pixels that are not blanked.
    field : int
        Side of the central field, in pixels, that the network sees; all else is looked at within it.
    domain : Domain
        Limits of size and signal to noise.

    Returns
    -------
    Looked
        An image that has been clipped, so that more than half of its pixels are equal, has no noise left: neither a
        detection nor a ratio to the noise can be judged there.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(0, 1, (100, 100)).astype(np.float32)
    >>> words(look(noise, 60, Domain()).oddities)
    'no-detection'
    >>> noise[48:52, 48:52] += 20
    >>> words(look(noise, 60, Domain()).oddities)
    ''
    """
    odd = blanked(central_crop(frame, field))
    if odd & Oddity.BLANKED:
        return Looked(odd, math.nan, math.nan)
    middle, noise = sky_and_noise(frame)
    sky = middle if noise > 0 else 0.0
    image = central_crop(frame, field) - np.float32(sky)
    clumps = clump_mask(image, noise, DETECTION)
    mask = central_source(clumps, DETECTION.gap)
    if not mask.any():
        nothing = noise > 0 or np.nanmin(image) == np.nanmax(image)
        odd |= Oddity.NO_DETECTION if nothing else Oddity(0)
        return Looked(odd, math.nan, math.nan, sky=middle, noise=noise)
    peak, total, extent, found = measure_source(image, mask)
    ratio = peak / noise if noise > 0 else math.nan
    others = clumps & ~mask
    if others.any() and image[others].max() > peak:
        odd |= Oddity.BRIGHT_NEIGHBOUR
    if domain.least_signal_to_noise is not None and ratio < domain.least_signal_to_noise:
        odd |= Oddity.LOW_SNR
    if (found & Flag.TRUNCATED and _reaches_edge(mask)) or _larger(extent, domain):
        odd |= Oddity.LARGE
    if found & Flag.OFF_CENTRE and _middle_off(mask):
        odd |= Oddity.OFF_CENTRE
    return Looked(odd, ratio, extent, peak, total, middle, noise)


def _cut(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Cut the central field out, a pixel larger where it would not lie about the same centre."""
    rows, columns = (side + (have - side) % 2 for have in pixels.shape)
    return central_crop(pixels, (rows, columns))


def blanked(image: NDArray[np.floating[Any]]) -> Oddity:
    """Tell whether too many pixels of a field (h, w) are missing to classify it: `BLANKED`, `PART_BLANKED` or neither.

    Examples
    --------
    >>> field = np.ones((20, 20))
    >>> field[:, :14] = np.nan
    >>> words(blanked(field))
    'blanked'
    """
    known = np.isfinite(image)
    if known.all():
        return Oddity(0)
    enough = known.mean() > OBSERVED and central_crop(known, MIDDLE).mean() > OBSERVED
    return Oddity.PART_BLANKED if enough else Oddity.BLANKED


def _middle_off(mask: NDArray[np.bool_]) -> bool:
    """Tell whether the middle of a source, be it two lobes with nothing between them, lies far from the centre."""
    places = np.argwhere(mask)
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    return bool(np.hypot(*(middle - (np.array(mask.shape) - 1) / 2)) > OFF_CENTRE * min(mask.shape))


def _reaches_edge(mask: NDArray[np.bool_]) -> bool:
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def _larger(extent: float, domain: Domain) -> bool:
    if domain.largest_size is None or domain.pixel_scale is None:
        return False
    return extent * domain.pixel_scale > domain.largest_size


def _to_beam(beam: Beam, ours: float | None) -> tuple[NDArray[np.float64] | None, Oddity]:
    """Give the covariance, in square arcsec along rows and columns, of what a beam is convolved with, if it is."""
    if ours is None:
        return None, Oddity(0)
    if not np.isfinite(beam.major):
        return None, Oddity.NO_BEAM
    if beam.major > COARSE_BEAM * ours:
        return None, Oddity.COARSE_BEAM
    width = math.sqrt(beam.major * beam.minor)
    if width >= FINE_BEAM * ours:
        return None, Oddity(0)
    angle = math.radians(beam.angle)
    # North to east: east is where columns fall.
    axes = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]).T
    lacking = np.maximum(ours**2 - np.array([beam.major, beam.minor]) ** 2, 0.0) / _FWHM**2
    return axes @ np.diag(lacking) @ axes.T, Oddity.CONVOLVED


def _convolved(pixels: NDArray[np.float32], covariance: NDArray[np.float64]) -> NDArray[np.float32]:
    """Convolve with a Gaussian of a covariance in square pixels; blanked pixels have no weight, and stay blanked."""
    known = np.isfinite(pixels)
    reach = math.ceil(5 * math.sqrt(np.trace(covariance)))
    shape = [next_fast_len(side + reach) for side in pixels.shape]
    down, across = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    form = covariance[0, 0] * down**2 + 2 * covariance[0, 1] * down * across + covariance[1, 1] * across**2
    transfer = np.exp(-2 * np.pi**2 * form)

    def smooth(image: NDArray[np.float64]) -> NDArray[np.float64]:
        wide = np.fft.irfft2(np.fft.rfft2(image, shape) * transfer, shape)
        return np.asarray(wide[: pixels.shape[0], : pixels.shape[1]])

    weight = smooth(known.astype(np.float64))
    values = smooth(np.where(known, pixels, 0).astype(np.float64)) / np.maximum(weight, 1e-6)
    return np.where(known, values, np.nan).astype(np.float32)
