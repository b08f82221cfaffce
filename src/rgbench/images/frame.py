"""The standard frame: what every image is brought to last, the same in training and in prediction.

A frame removes what tells nothing of a source's morphology: where it lies in the image, how bright it is,
and what stands in the corners of the field. What enters is linear flux above the clip level, as from the
preset "sky"; pixel centres, x along columns, y along rows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rgbench.images.augment import sample
from rgbench.images.network_input import ROUNDS, SYMMETRIC, WINDOW


def centre_of_flux(images: Tensor, reach: float, window: float = WINDOW) -> Tensor:
    """Find the centre of the flux that is near the middle of each image.

    Parameters
    ----------
    images : Tensor, shape (n, 1, h, w)
        Flux above the clip level, 0 elsewhere.
    reach : float
        Largest distance from the middle along each axis, in pixels.
    window : float
        Standard deviation of the Gaussian window in pixels. It moves with the centre, so that the centre
        found does not depend on where in the image the source lies (mean shift; Comaniciu & Meer 2002).

    Returns
    -------
    Tensor, shape (n, 2)
        Offsets (columns, rows) of the centre from the middle of the image, in pixels. 0 for an empty image.

    Examples
    --------
    >>> image = torch.zeros(1, 1, 41, 41)
    >>> image[0, 0, 23, 15] = 4.0
    >>> centre_of_flux(image, 10).round().tolist()
    [[-5.0, 3.0]]
    """
    return _centre(_root(images), reach, window)


def into_frame(images: Tensor, field: int) -> Tensor:
    """Bring images to the standard frame: centred on their flux, in a disc, from 0 to 1, square root.

    Parameters
    ----------
    images : Tensor, shape (n, 1, h, w)
        Flux above the clip level, 0 elsewhere; larger than the field by what the centre may lie off.
    field : int
        Side of the result, and diameter of the disc outside which all is 0, in pixels.

    Returns
    -------
    Tensor of float32, shape (n, 1, field, field)
        Shifts are by whole pixels, so that nothing is interpolated. An image without flux is 0.

    Examples
    --------
    >>> image = torch.zeros(1, 1, 41, 41)
    >>> image[0, 0, 23, 15] = 4.0
    >>> framed = into_frame(image, 21)
    >>> framed[0, 0, 10, 10].item(), framed.sum().item()
    (1.0, 1.0)
    """
    rows, columns = images.shape[2:]
    root = _root(images)
    offset = _centre(root, max(0.0, (min(rows, columns) - field) / 2), WINDOW).round().long()
    steps = torch.arange(field, device=images.device)
    at_rows = ((rows - field) // 2 + offset[:, 1:] + steps).clamp(0, rows - 1)
    at_columns = ((columns - field) // 2 + offset[:, :1] + steps).clamp(0, columns - 1)
    number = torch.arange(len(images), device=images.device)[:, None, None]
    cut = root[number, at_rows[:, :, None], at_columns[:, None, :]] * _disc(field, images.device)
    return (cut / cut.amax(dim=(1, 2), keepdim=True).clamp(min=1e-6))[:, None]


def into_turned_frame(images: Tensor, field: int, turn: Tensor | None = None) -> Tensor:
    """Bring images to the standard frame, turned so that the source's long axis lies along the rows of pixels.

    Parameters
    ----------
    images : Tensor, shape (n, 1, h, w)
        Flux above the clip level, 0 elsewhere; larger than the field by what the centre may lie off.
    field : int
        Side of the result, and diameter of the disc outside which all is 0, in pixels.
    turn : Tensor, shape (n,), optional
        Angles in radians by which the axis is turned off the rows. Left out, it is 0, and the image is mirrored so that
        the tails of the source are right and up.

    Returns
    -------
    Tensor of float32, shape (n, 1, field, field)
        Centred, turned and mirrored in one interpolation.

    Notes
    -----
    The axis is that of the second moments (Brand et al. 2023, MNRAS 522, 292, who take it from a principal component
    analysis of the bright pixels), of the square root of the flux, in the window in which the centre is found. Right
    and up are settled by the third moments, so that an image that is turned by 90 degrees or mirrored gives the same.

    Examples
    --------
    >>> image = torch.zeros(1, 1, 41, 41)
    >>> image[0, 0, 15:26, 20] = 4.0
    >>> into_turned_frame(image, 21)[0, 0, 10, 6:15].round().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    root = _root(images)
    centre = _centre(root, max(0.0, (min(images.shape[2:]) - field) / 2), WINDOW)
    angle, right, up = _pose(root, centre, WINDOW)
    if turn is not None:
        angle, right, up = angle + turn, torch.ones_like(right), torch.ones_like(up)
    cos, sin = angle.cos(), angle.sin()
    matrices = torch.stack(
        (
            torch.stack((right * cos, -up * sin, centre[:, 0]), -1),
            torch.stack((right * sin, up * cos, centre[:, 1]), -1),
        ),
        -2,
    )
    cut = sample(root[:, None], matrices, (field, field))[:, 0] * _disc(field, images.device)
    return (cut / cut.amax(dim=(1, 2), keepdim=True).clamp(min=1e-6))[:, None]


def _pose(root: Tensor, centre: Tensor, window: float) -> tuple[Tensor, Tensor, Tensor]:
    """Find how sources lie.

    Returns
    -------
    angle : Tensor, shape (n,)
        Direction of the long axis, from x towards y in radians; 0 of a round or empty image.
    right, up : Tensor, shape (n,)
        -1 where the tail of the flux is at the other end along the axis, or across it; else 1.
    """
    rows, columns = (torch.arange(n, device=root.device) - (n - 1) / 2 for n in root.shape[1:])
    x, y = columns - centre[:, :1], rows - centre[:, 1:]
    along, down = (torch.exp(-0.5 * (place / window) ** 2) for place in (x, y))
    of_x = torch.stack((along, along * x, along * x**2, along * x**3), dim=2)
    of_y = torch.stack((down, down * y, down * y**2, down * y**3), dim=1)
    moments = torch.bmm(of_y, torch.bmm(root, of_x))
    moments = moments / moments[:, :1, :1].clamp(min=1e-12)
    mean_x, mean_y = moments[:, 0, 1], moments[:, 1, 0]
    xx, yy, xy = (
        moments[:, 0, 2] - mean_x**2,
        moments[:, 2, 0] - mean_y**2,
        moments[:, 1, 1] - mean_x * mean_y,
    )
    angle = 0.5 * torch.atan2(2 * xy, xx - yy)
    c, s = angle.cos(), angle.sin()
    xxx, xxy, xyy, yyy = (moments[:, i, 3 - i] for i in range(4))
    ahead = c**3 * xxx + 3 * c**2 * s * xxy + 3 * c * s**2 * xyy + s**3 * yyy
    aside = -(s**3) * xxx + 3 * s**2 * c * xxy - 3 * s * c**2 * xyy + c**3 * yyy
    least = -SYMMETRIC * (xx + yy).clamp(min=0) ** 1.5
    right, up = (torch.where(third < least, -1.0, 1.0) for third in (ahead, aside))
    return angle, right, up


def _root(images: Tensor) -> Tensor:
    """Take the square root, which keeps one bright knot from being all that counts: shape (n, h, w)."""
    return images[:, 0].clamp(min=0).sqrt()


def _centre(root: Tensor, reach: float, window: float) -> Tensor:
    """Find the centre of what is near the middle of each image, shape (n, 2)."""
    coarse = functional.avg_pool2d(root[:, None], 2, ceil_mode=True)[:, 0]
    centre = torch.zeros(len(root), 2, device=root.device)
    for _ in range(ROUNDS - 2):
        centre = _nearer(coarse, 2, centre, window).clamp(-reach, reach)
    for _ in range(2):
        centre = _nearer(root, 1, centre, window).clamp(-reach, reach)
    return centre


def _nearer(root: Tensor, bin_pixels: int, centre: Tensor, window: float) -> Tensor:
    """Give the mean place of what lies in the window about a centre, all in pixels; one step of mean shift."""
    rows, columns = (torch.arange(n, device=root.device) * bin_pixels for n in root.shape[1:])
    x, y = (place - place[-1] / 2 for place in (columns, rows))
    along = torch.exp(-0.5 * ((x - centre[:, :1]) / window) ** 2)
    down = torch.exp(-0.5 * ((y - centre[:, 1:]) / window) ** 2)
    of_rows = torch.bmm(root, along[:, :, None])[:, :, 0]
    of_columns = torch.bmm(down[:, None, :], root)[:, 0]
    total = (of_rows * down).sum(1).clamp(min=1e-12)
    return torch.stack(((of_columns * along * x).sum(1), (of_rows * down * y).sum(1)), dim=1) / total[:, None]


def _disc(field: int, device: torch.device) -> Tensor:
    place = torch.arange(field, device=device) - (field - 1) / 2
    return ((place[:, None] ** 2 + place[None, :] ** 2) <= (field / 2) ** 2).float()
