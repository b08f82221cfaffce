"""The survey's eye: images of blobs through the beam, noise, and unrelated neighbours.

The beam is a round Gaussian. Images are Jy/beam as (rows, columns); row 0 is south and column 0 is
east, so right ascension grows to the left, as in the surveys' cutouts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from rgbench.errors import SpecError
from rgbench.simulate.sources import Blobs
from rgbench.simulate.truth import Range

Floats = NDArray[np.float64]

FWHM = float(np.sqrt(8 * np.log(2)))
"""Full width at half maximum of a Gaussian over its standard deviation."""


@dataclass(frozen=True)
class Survey:
    """How a survey sees; the defaults are those of FIRST (Becker, White & Helfand 1995, ApJ 450, 559).

    Attributes
    ----------
    name : str
        Its name.
    beam : float
        Full width at half maximum of the round beam, arcseconds; at least two pixels.
    pixel_scale : float
        Arcseconds per pixel.
    side : int
        Pixels along a side of an image.
    rms : Range
        Noise of an image, mJy/beam.
    noise : tuple of (float, float)
        The noise is a sum of white noises, each convolved with a Gaussian: its full width at half maximum
        in arcseconds, and its share of the variance. The default was measured on the empty corners of 168
        FIRST images: finer than the clean beam, with sidelobes that reach far.
    density : float
        Unrelated sources per square degree that are brighter than the lower limit of `counts`.
    counts : Range
        Their flux densities, mJy.
    """

    name: str = "FIRST"
    beam: float = 5.4
    pixel_scale: float = 1.8
    side: int = 300
    rms: Range = field(default=Range(0.13, 0.15, source="Helfand, White & Becker 2015, ApJ 801, 26"))
    noise: tuple[tuple[float, float], ...] = ((3.4, 0.78), (20.0, 0.22))
    density: float = 90.0
    counts: Range = field(
        default=Range(1.0, 1000.0, -1.8, "White, Becker, Helfand & Gregg 1997, ApJ 475, 479")
    )

    def __post_init__(self) -> None:
        if not 0 < 2 * self.pixel_scale <= self.beam < float("inf"):
            raise SpecError(
                f"survey {self.name}: beam {self.beam} must be at least 2 pixels of {self.pixel_scale} arcsec"
            )
        if self.side < 16:
            raise SpecError(f"survey {self.name}: side is {self.side} pixels; 16 is the least")
        if self.density < 0 or self.rms.low <= 0:
            raise SpecError(
                f"survey {self.name}: rms must be positive and density {self.density} not negative"
            )
        if min(min(pair) for pair in self.noise) < 0 or abs(sum(share for _, share in self.noise) - 1) > 1e-9:
            raise SpecError(
                f"survey {self.name}: noise {self.noise}: widths and shares must not be negative, and the "
                "shares add up to 1"
            )

    @property
    def width(self) -> float:
        """Side of an image, arcseconds."""
        return self.side * self.pixel_scale


FIRST = Survey()
"""The Faint Images of the Radio Sky at Twenty-centimeters, with the VLA in B configuration."""


def render(blobs: Blobs, survey: Survey) -> Floats:
    """Make the noise-free image of round Gaussians through the beam.

    Parameters
    ----------
    blobs : Blobs
        The Gaussians; those outside the image shine in by their wings only.
    survey : Survey
        Beam and pixels.

    Returns
    -------
    ndarray of float64, shape (side, side)
        mJy/beam, sampled at the centres of the pixels. The sum over pixels, times the pixel's area over the
        beam's (π FWHM² / 4 ln 2), is the integrated flux density in mJy.
    """
    image = np.zeros((survey.side, survey.side))
    if len(blobs.flux) == 0:
        return image
    sigma = np.sqrt(blobs.fwhm**2 + survey.beam**2) / FWHM / survey.pixel_scale
    middle = (survey.side - 1) / 2
    x, y = middle - blobs.east / survey.pixel_scale, middle + blobs.north / survey.pixel_scale
    columns, rows = _reach(x, sigma, survey.side), _reach(y, sigma, survey.side)
    peak = blobs.flux * (survey.beam / FWHM / survey.pixel_scale / sigma) ** 2
    image[rows, columns] = (_profile(rows, y, sigma) * peak) @ _profile(columns, x, sigma).T
    return image


def _reach(centres: Floats, sigma: Floats, side: int) -> slice:
    """Give the pixels that any Gaussian lights up by more than 2e-8 of its peak."""
    low, high = float((centres - 6 * sigma).min()), float((centres + 6 * sigma).max())
    return slice(int(np.clip(np.floor(low), 0, side)), int(np.clip(np.ceil(high) + 1, 0, side)))


def _profile(pixels: slice, centres: Floats, sigma: Floats) -> Floats:
    """Give each Gaussian's profile along an axis, shape (pixels, k), with a peak of 1."""
    positions = np.arange(pixels.start, pixels.stop)[:, None]
    return np.asarray(np.exp(-0.5 * ((positions - centres) / sigma) ** 2))


def make_noise(rms: float, survey: Survey, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw Gaussian noise that is correlated as `survey.noise` says.

    Parameters
    ----------
    rms : float
        Its standard deviation; an image's own scatters about it, as it holds some thousands of beams.
    survey : Survey
        Pixels and correlation.
    rng : numpy.random.Generator
        The stream.

    Returns
    -------
    ndarray of float32, shape (side, side)
        In the unit of `rms`. Its autocorrelation at a lag of d arcsec is the sum of
        share · exp(-2 ln 2 d² / FWHM²).
    """
    parts = [
        np.sqrt(share) * _smooth_noise(width / FWHM / survey.pixel_scale, survey.side, rng)
        for width, share in survey.noise
    ]
    return np.asarray(rms * sum(parts), dtype=np.float32)


def _smooth_noise(sigma: float, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw noise of standard deviation 1, smoothed by a Gaussian of `sigma` pixels.

    White noise is drawn beyond the edges too, so that edges are as good as the middle.
    """
    reach = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-9)) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    white = rng.standard_normal((side + 2 * reach, side + 2 * reach), dtype=np.float32)
    inner = slice(reach, reach + side)
    rows = convolve1d(white, kernel, axis=0)[inner]
    return np.asarray(convolve1d(rows, kernel, axis=1)[:, inner])


def draw_neighbours(survey: Survey, rng: np.random.Generator) -> Blobs:
    """Draw the unrelated compact sources of an image: evenly on the sky, up to 3 arcsec wide."""
    n = int(rng.poisson(survey.density * (survey.width / 3600) ** 2))
    east, north = rng.uniform(-survey.width / 2, survey.width / 2, (2, n))
    flux = np.array([survey.counts.draw(rng) for _ in range(n)])
    return Blobs(east, north, rng.uniform(0, 3, n), flux)
