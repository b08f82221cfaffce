"""Training views, a source as another telescope, night or pipeline would have shown it; and one beam for all.

All on stacks of linear flux above the clip level, on the device of the images, each image with numbers of its own.
It is not `rgbench.diagnostics.second_view`, on purpose: what networks are tested on is made by other code, from raw
images with an estimate of their noise, than what they are trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rgbench.images.network_input import BEAM_PIXELS, EMPTY
from rgbench.images.noise import FWHM_TO_SIGMA

CLIP = 3.0
"""Level, in units of the noise, below which an image has been cut, and which was subtracted."""
GREYS = 255
SPAN = 30.0
"""Largest noise over the least."""


@dataclass(frozen=True)
class Views:
    """How far training views differ from the image that is there.

    Attributes
    ----------
    beam : float
        Largest factor by which the beam is wider.
    beam_pixels : float
        Full width at half maximum of the image's own beam, in pixels.
    noise : float
        Largest noise that is added, as a share of the peak; drawn evenly in the logarithm over a factor of `SPAN`.
    level : float
        Largest change of the clip level, in units of the noise that is added, either way.
    """

    beam: float = 1.6
    beam_pixels: float = BEAM_PIXELS
    noise: float = 0.03
    level: float = 1.0


def reobserve(images: Tensor, how: Views, generator: torch.Generator) -> Tensor:
    """Draw a view of each image: a wider beam, more noise and its clipping, grey levels.

    Parameters
    ----------
    images : Tensor, shape (n, 1, h, w)
        Flux above the clip level, 0 elsewhere, with a peak of 1.
    how : Views
        What is drawn from.
    generator : torch.Generator
        On the CPU: the same numbers on every device.

    Returns
    -------
    Tensor, shape (n, 1, h, w)
        Flux above a clip level, with a peak of 1; four in ten images keep their beam, four in ten their depth, half get
        grey levels.
    """
    n = len(images)
    chance = torch.rand((n, 6), generator=generator).to(images.device)
    factor = 1 + (how.beam - 1) * chance[:, 0] * (chance[:, 1] < 0.6)
    beam = float(how.beam_pixels * FWHM_TO_SIGMA)
    seen = _to_peak(blur(images, beam * torch.sqrt(factor**2 - 1)))
    noise = how.noise / SPAN * SPAN ** chance[:, 2] * (chance[:, 3] < 0.6)
    white = torch.randn(images.shape, generator=generator).to(images.device)
    ripple = blur(white, beam * factor)
    ripple = ripple / ripple.std(dim=(1, 2, 3), keepdim=True)
    scale = noise[:, None, None, None]
    level = CLIP + how.level * (2 * chance[:, 4] - 1)
    seen = _to_peak((seen + scale * (ripple - level[:, None, None, None])).clamp(min=0))
    grey = torch.round(seen * GREYS) / GREYS
    return torch.where((chance[:, 5] < 0.5)[:, None, None, None], grey, seen)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Convolve each image with a Gaussian of its own, round the edges; the sum stays.

    Parameters
    ----------
    images : Tensor, shape (n, 1, h, w)
        Images.
    sigma : Tensor, shape (n,)
        Standard deviations in pixels; 0 leaves an image as it is, to rounding.

    Examples
    --------
    >>> image = torch.zeros(1, 1, 33, 33)
    >>> image[0, 0, 16, 16] = 1.0
    >>> round(1 / (blur(image, torch.tensor([3.0])).max().item() * 2 * math.pi), 2)  # sigma squared
    9.0
    """
    rows, columns = images.shape[2:]
    # The transform of a Gaussian is one: a product in place of a convolution.
    down = torch.fft.fftfreq(rows, device=images.device)
    across = torch.fft.rfftfreq(columns, device=images.device)
    square = down[:, None] ** 2 + across[None, :] ** 2
    if len(sigma) and (sigma == sigma[0]).all():
        sigma = sigma[:1]
    gain = torch.exp(-2 * math.pi**2 * sigma[:, None, None] ** 2 * square)[:, None]
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * gain, s=(rows, columns))
    return blurred


def beam_reach(wanted: float) -> int:
    """Give the pixels about a place that count for it when an image is brought to a common beam."""
    return math.ceil(5 * BEAM_PIXELS * float(FWHM_TO_SIGMA) * math.sqrt(max(wanted**2 - 1, 0.0)))


def to_common_beam(
    images: NDArray[np.float32], wanted: float, beams: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Bring images to one beam, as far as theirs are narrower.

    Parameters
    ----------
    images : ndarray of float32, shape (n, h, w)
        Linear flux, 0 where nothing is. What lies beyond the edge is taken for 0.
    wanted : float
        Width of the common beam, in units of that of the training images, which is `BEAM_PIXELS` wide.
    beams : ndarray of float64, shape (n,)
        Widths of the images' own beams, in the same unit. A wider one than `wanted` stays, and so does an unknown one.

    Returns
    -------
    ndarray of float32, shape (n, h, w)
        Convolved with the Gaussian whose square of the width is the difference of the two squares.

    Examples
    --------
    >>> image = np.zeros((2, 33, 33), dtype=np.float32)
    >>> image[:, 16, 16] = 1
    >>> found = to_common_beam(image, 1.5, np.array([1.0, 1.5]))
    >>> [round(float(peak), 3) for peak in found.max(axis=(1, 2))]
    [0.078, 1.0]
    """
    images = np.require(images, np.float32, ["C", "W"])
    sigma = (
        BEAM_PIXELS
        * FWHM_TO_SIGMA
        * np.sqrt(np.maximum(wanted**2 - np.nan_to_num(beams, nan=wanted) ** 2, 0))
    )
    if len(sigma) and (sigma == sigma[0]).all():
        return _smeared(images, float(sigma[0]))
    ready = np.empty_like(images)
    for width in np.unique(sigma).tolist():
        rows = np.flatnonzero(sigma == width)
        ready[rows] = _smeared(images[rows], width)
    return ready


def _smeared(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Convolve images (n, h, w) with one Gaussian; what falls below `EMPTY` of the peak is 0."""
    if not sigma:
        return images.copy()
    down, across = (torch.from_numpy(_smearing(side, sigma)) for side in images.shape[1:])
    # Along the rows, then along the columns: a Gaussian is a product of two.
    blurred = torch.matmul(torch.from_numpy(images), across)
    blurred = torch.bmm(down.expand(len(images), -1, -1), blurred)
    least = EMPTY * blurred.amax(dim=(1, 2), keepdim=True)
    return torch.where(blurred > least, blurred, 0.0).numpy()


def _smearing(side: int, sigma: float) -> NDArray[np.float32]:
    """Give the matrix (side, side) that convolves a line of pixels as `blur` does, with nothing beyond its ends."""
    length = side + 2 * math.ceil(5 * sigma)
    gain = np.exp(-2 * math.pi**2 * sigma**2 * np.fft.rfftfreq(length) ** 2)
    line = np.arange(side)
    kernel = np.fft.irfft(gain, length).astype(np.float32)
    return np.asarray(kernel[np.subtract.outer(line, line) % length])


def _to_peak(images: Tensor) -> Tensor:
    """Divide each image by its highest pixel; one that is 0 stays."""
    return images / images.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
