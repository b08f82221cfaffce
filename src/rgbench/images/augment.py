"""Augmentation in batches, on the device of the images, in one interpolation.

Coordinates: pixel centres; x runs along columns, y along rows; angles are counter-clockwise as an image is
shown with row 0 at the top, as in `skimage.transform.rotate`, which `rotate` equals to 1e-4 of the range of
the pixels. Outside an image there is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rgbench.errors import DataError, SpecError
from rgbench.images.network_input import EXACT, VIEWS

BLOCK = 8
"""Images interpolated at a time on a CPU: so many, with their grids, stay in its caches."""

SPARSE = 0.02
"""Share of pixels that are not zero below which a CPU rotates these alone."""


@dataclass(frozen=True)
class Transformation:
    """A transformation for each of n images: magnify, mirror, turn, then shift.

    Attributes
    ----------
    angle : Tensor, shape (n,)
        Turn in degrees, counter-clockwise.
    mirror : Tensor of bool, shape (n,)
        Whether columns are mirrored before the turn.
    zoom : Tensor, shape (n,)
        Magnification; above 1 the source becomes larger.
    shift : Tensor, shape (n, 2)
        Shift of the source in pixels, along columns and rows of the result.
    """

    angle: Tensor
    mirror: Tensor
    zoom: Tensor
    shift: Tensor

    @classmethod
    def draw(
        cls, n: int, rotate: bool, flip: bool, zoom: float, shift: float, generator: torch.Generator
    ) -> Transformation:
        """Draw n transformations: any angle, mirrored half the time, magnified by exp(-zoom) to exp(zoom), shifted.

        Magnifications are even in the logarithm; shifts are up to so many pixels along each axis, either way.
        All numbers are drawn whatever the arguments, on the device of the generator: switching one kind
        off leaves the others as they were, and a generator on the CPU gives the same on every device.
        """
        chance = torch.rand((n, 5), generator=generator, device=generator.device)
        return cls(
            angle=chance[:, 0] * (360.0 if rotate else 0.0),
            mirror=(chance[:, 1] < 0.5) & flip,
            zoom=torch.exp(zoom * (2 * chance[:, 2] - 1)),
            shift=shift * (2 * chance[:, 3:5] - 1),
        )

    def matrices(self) -> Tensor:
        """Give where output pixels come from: shape (n, 2, 3), float64, from centred (x, y, 1)."""
        angle = torch.deg2rad(self.angle.double())
        scale = 1 / self.zoom.double()
        sign = 1.0 - 2.0 * self.mirror.double()
        cos, sin = scale * angle.cos(), scale * angle.sin()
        linear = torch.stack((torch.stack((sign * cos, -sign * sin), -1), torch.stack((sin, cos), -1)), -2)
        return torch.cat((linear, -linear @ self.shift.double()[:, :, None]), dim=2)


def transform(
    images: Tensor, how: Transformation, field: int | None = None, size: int | None = None
) -> Tensor:
    """Transform images, cut the central field and shrink it, with one interpolation.

    Parameters
    ----------
    images : Tensor, shape (n, c, h, w)
        Images. They may be larger than the field, so that what turns into it is there.
    how : Transformation
        One transformation per image, about the centre of the field.
    field : int, optional
        Side of the central field in pixels, as in `rgbench.images.preprocess.central_crop`; an axis that
        is shorter is kept whole. Left out: the whole image.
    size : int, optional
        Side of the result, which must divide that of the field. The field is interpolated at full
        resolution and then averaged in blocks, so nothing aliases. Left out: no shrinking.

    Returns
    -------
    Tensor of float32, shape (n, c, rows, columns)
        Transformed images.

    Raises
    ------
    DataError
        If the number of images is not that of the transformations, or `size` does not fit.
    """
    if images.ndim != 4 or len(how.angle) != len(images):
        raise DataError(
            f"{len(how.angle)} transformations for images of shape {tuple(images.shape)}; "
            "(n, c, h, w) with one transformation per image is needed"
        )
    rows, columns = (side if field is None else min(field, side) for side in images.shape[2:])
    result = sample(images, how.matrices().to(images.device), (rows, columns))
    if size is None or (rows, columns) == (size, size):
        return result
    if size < 1 or rows % size or columns % size:
        raise DataError(f"size: {size} does not divide a field of {rows} x {columns} pixels")
    return F.avg_pool2d(result, (rows // size, columns // size))


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Turn each image by its own angle about its centre, at the same size.

    Equals `skimage.transform.rotate` with its defaults (bilinear, zero outside, no resize).

    Parameters
    ----------
    images : Tensor, shape (n, c, h, w) or (n, h, w)
        Images; square or not.
    angles : Tensor, shape (n,)
        Degrees, counter-clockwise.

    Returns
    -------
    Tensor of float32, shape of `images`
        Turned images.

    Raises
    ------
    DataError
        If shapes do not fit.

    Notes
    -----
    On a CPU, images nearly all of whose pixels are zero, such as clipped ones, are turned pixel by pixel:
    the same result to rounding, several times as fast.

    Examples
    --------
    >>> image = torch.zeros(1, 3, 3)
    >>> image[0, 1, 2] = 1
    >>> rotate(image, torch.tensor([90.0]))[0, 0].round().tolist()
    [0.0, 1.0, 0.0]
    """
    if images.ndim not in (3, 4) or angles.shape != images.shape[:1]:
        raise DataError(
            f"angles of shape {tuple(angles.shape)} for images of shape {tuple(images.shape)}; "
            "one angle for each image of (n, c, h, w) or (n, h, w) is needed"
        )
    stack = images[:, None] if images.ndim == 3 else images
    if images.device.type == "cpu" and torch.count_nonzero(images) < SPARSE * images.numel():
        return _rotate_sparse(stack, angles).view(images.shape)
    zero = torch.zeros(len(angles), device=angles.device)
    turned = Transformation(angles, zero.bool(), zero + 1, torch.stack((zero, zero), dim=1))
    return sample(stack, turned.matrices().to(images.device), (stack.shape[2], stack.shape[3])).view(
        images.shape
    )


def rotate_stack(images: Tensor, angle: float) -> Tensor:
    """Turn all images by the same angle; `rotate` tells the rest, this is the fast case of it.

    Quarter turns of square images and half turns of any are exact. Other angles share one grid.

    Parameters
    ----------
    images : Tensor, shape (n, h, w) or (n, c, h, w)
        Images.
    angle : float
        Degrees, counter-clockwise.

    Returns
    -------
    Tensor of float32, shape of `images`
        Turned images.
    """
    height, width = images.shape[-2:]
    quarters, rest = divmod(angle % 360, 90)
    if rest == 0 and (height == width or quarters % 2 == 0):
        return torch.rot90(images, int(quarters), (-2, -1)).to(torch.float32)
    radians = torch.deg2rad(torch.tensor(angle, dtype=torch.float64))
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros((), dtype=torch.float64)
    matrix = torch.stack((cos, -sin, zero, sin, cos, zero)).view(1, 2, 3).to(images.device)
    grid = _grid(matrix, (height, width), (height, width))
    channels = images.reshape(-1, height, width)
    result = torch.empty(channels.shape, dtype=torch.float32, device=images.device)
    lanes = torch.get_num_threads() if images.device.type == "cpu" else 1
    block = BLOCK * lanes if images.device.type == "cpu" else max(1, len(channels))
    for first in range(0, len(channels), block):
        part = channels[first : first + block].to(torch.float32)
        shape = (lanes, -1, height, width) if len(part) % lanes == 0 else (1, -1, height, width)
        part = part.reshape(shape)
        sampled = F.grid_sample(part, grid.expand(part.shape[0], -1, -1, -1), align_corners=False)
        result[first : first + block] = sampled.view(-1, height, width)
    return result.view(images.shape)


def views(images: Tensor, n: int) -> Iterator[Tensor]:
    """Give views of images for averaging at test time, the images themselves first.

    Parameters
    ----------
    images : Tensor, shape (..., h, w)
        Images.
    n : {1, 2, 4, 8, 16, 24, 48}
        2: with the half turn; 4: with the mirror images of these; 8: with the quarter turns of these; 16, 24
        and 48: these of the images turned by 0 and 45, by 0, 30 and 60, and by multiples of 15 degrees. Up to 8
        views are exact, the others interpolated. 8 and more need square images.

    Yields
    ------
    Tensor, shape of `images`
        A turned or mirrored view of the images.

    Raises
    ------
    SpecError
        If there are no so many views.
    """
    if n not in VIEWS:
        raise SpecError(f"recipe.views: {n} was given; {', '.join(map(str, VIEWS))} are legal")
    if n >= EXACT and images.shape[-2] != images.shape[-1]:
        raise SpecError(f"recipe.views: {n} views need square images; 1, 2 and 4 are legal for others")
    turns = max(1, n // EXACT)
    for number in range(turns):
        turned = rotate_stack(images, 90 / turns * number) if number else images
        yield from _exact_views(turned, min(n, EXACT))


def _exact_views(images: Tensor, n: int) -> Iterator[Tensor]:
    """Give 1, 2, 4 or 8 quarter turns and mirror images."""
    turns = (0, 2) if n < EXACT else (0, 2, 1, 3)
    for mirrored in (images, images.flip(-1)) if n > 2 else (images,):
        for quarters in turns[:n]:
            yield torch.rot90(mirrored, quarters, (-2, -1))


def view_places(n: int, among: int) -> tuple[int, ...] | None:
    """Tell which of many `views` are those that fewer would be; None if some of them are not among those.

    Examples
    --------
    >>> view_places(4, 8), view_places(8, 24), view_places(16, 24)
    ((0, 1, 4, 5), (0, 1, 2, 3, 4, 5, 6, 7), None)
    """
    turns, more = max(1, n // EXACT), max(1, among // EXACT)
    few, many = min(n, EXACT), min(among, EXACT)
    if n > among or more % turns:
        return None
    first = range(few) if few == many else (0, 1, many // 2, many // 2 + 1)[:few]
    return tuple(many * (more // turns) * turn + place for turn in range(turns) for place in first)


def sample(images: Tensor, matrices: Tensor, out: tuple[int, int]) -> Tensor:
    """Interpolate images (n, c, h, w) at pixel matrices (n, 2, 3) about the centre of a field."""
    shape = (int(images.shape[2]), int(images.shape[3]))
    result = torch.empty((*images.shape[:2], *out), dtype=torch.float32, device=images.device)
    block = BLOCK if images.device.type == "cpu" else max(1, len(images))
    for first in range(0, len(images), block):
        part = slice(first, first + block)
        grid = _grid(matrices[part], shape, out)
        result[part] = F.grid_sample(images[part].to(torch.float32), grid, align_corners=False)
    return result


def _grid(matrices: Tensor, shape: tuple[int, int], out: tuple[int, int]) -> Tensor:
    """Turn pixel matrices (n, 2, 3) into the grid (n, rows, columns, 2) of `grid_sample`.

    Along an axis of length s, `grid_sample` calls the centre of pixel i (2 i + 1) / s - 1.
    """
    (height, width), (rows, columns) = shape, out
    device = matrices.device
    x = torch.arange(columns, device=device, dtype=torch.float32) - (columns - 1) / 2
    y = torch.arange(rows, device=device, dtype=torch.float32) - (rows - 1) / 2
    grid = torch.empty((len(matrices), rows, columns, 2), device=device)
    for axis, (side, have) in enumerate(((width, columns), (height, rows))):
        centre = (side - have) // 2 + (have - 1) / 2
        along_x, along_y, offset = (matrices[:, axis] * (2 / side)).unbind(1)
        offset = offset + ((2 * centre + 1) / side - 1)
        of_x = (along_x.float()[:, None] * x + offset.float()[:, None])[:, None, :]
        of_y = (along_y.float()[:, None] * y)[:, :, None]
        torch.add(of_x, of_y, out=grid[..., axis])
    return grid


def _rotate_sparse(images: Tensor, angles: Tensor) -> Tensor:
    """Turn images (n, c, h, w) by spreading each pixel that is not zero over its new neighbours.

    A bilinear interpolation gives an output pixel o the value sum_p tri(u) tri(v) image[p], where (u, v)
    is the distance between pixel p and where o comes from, and tri(u) = max(0, 1 - |u|). A pixel
    therefore reaches only what lies in a turned square about its new place: 3 x 3 pixels at most.
    """
    height, width = images.shape[2:]
    flat = images.to(torch.float32).reshape(-1)
    where = flat.nonzero().squeeze(1)
    number = where // (height * width)
    row, column = (where // width) % height, where % width
    angle = torch.deg2rad(angles.double())[number // images.shape[1]]
    cos, sin = angle.cos(), angle.sin()
    x, y = column - (width - 1) / 2, row - (height - 1) / 2
    new_x, new_y = cos * x + sin * y + (width - 1) / 2, cos * y - sin * x + (height - 1) / 2
    reach = cos.abs() + sin.abs()
    left, top = torch.ceil(new_x - reach), torch.ceil(new_y - reach)
    origin = number * (height * width) + top.long() * width + left.long()
    dx, dy = (left - new_x).float(), (top - new_y).float()
    left, top, cos, sin, value = left.int(), top.int(), cos.float(), sin.float(), flat[where]
    result = torch.zeros_like(flat)
    for j in range(3):
        for i in range(3):
            u, v = cos * (dx + i) - sin * (dy + j), sin * (dx + i) + cos * (dy + j)
            weight = (1 - u.abs()).clamp_min_(0) * (1 - v.abs()).clamp_min_(0)
            inside = (left + i >= 0) & (left + i < width) & (top + j >= 0) & (top + j < height)
            kept = (inside & (weight > 0)).nonzero().squeeze(1)
            result.index_add_(0, (origin + (j * width + i))[kept], (weight * value)[kept])
    return result.view(images.shape)
