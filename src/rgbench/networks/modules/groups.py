"""Convolutions that are equivariant to rotations and reflections of the plane.

Group convolutions of Cohen & Welling 2016 (arXiv 1602.07576) on the regular representation of C_N (N
rotations by 360 / N degrees) and D_N (these and their mirror images). A kernel is a sum of steerable
functions (Weiler & Cesa 2019, arXiv 1911.08251), rings in radius times harmonics in angle::

    exp(-(rho - r)^2 / (2 sigma^2)) * {cos, sin}(m phi),   r = 0 ... k // 2,   m = 0 ... 2 r

so that it is turned by any angle without interpolation. Quarter turns and reflections are exact on the
pixel grid; other angles are as good as the sampling.
"""

from __future__ import annotations

from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbench.networks.notation.geometry import Pads
from rgbench.networks.notation.layers import GROUP, GROUP_BASIS, group_order

RING_WIDTH = 0.6
"""Sigma of a ring of the kernel's basis, in pixels."""

Element = tuple[int, int]
"""(s, k): mirrored (s = 1) or not, then turned by k / N of a circle."""


def elements(group: str) -> list[Element]:
    """List the elements of a group, the rotations first.

    Examples
    --------
    >>> elements("D2")
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    order, turns = group_order(group), _turns(group)
    return [(index // turns, index % turns) for index in range(order)]


def product(first: Element, second: Element, turns: int) -> Element:
    """Give the element that does `second`, then `first`.

    Examples
    --------
    >>> product((1, 1), (0, 1), turns=4)  # a mirror image turns the other way
    (1, 0)
    """
    sign = -1 if first[0] else 1
    return ((first[0] + second[0]) % 2, (first[1] + sign * second[1]) % turns)


def inverse(element: Element, turns: int) -> Element:
    """Give the element that undoes another; a mirror image undoes itself."""
    return element if element[0] else (0, -element[1] % turns)


def relative_table(group: str) -> Tensor:
    """Tabulate ``h^-1 g``: row h, column g, entries are places in `elements`, (order, order)."""
    members, turns = elements(group), _turns(group)
    place = {member: index for index, member in enumerate(members)}
    rows = [[place[product(inverse(h, turns), g, turns)] for g in members] for h in members]
    return torch.tensor(rows)


def steerable_basis(size: int, group: str) -> Tensor:
    """Sample the basis of kernels for each element of a group.

    Parameters
    ----------
    size : {3, 5, 7}
        Side of the kernel in pixels.
    group : str
        C_N or D_N, such as ``C8``.

    Returns
    -------
    Tensor
        (order of the group, functions, size, size), float32; each function of the identity has norm 1.

    Examples
    --------
    >>> basis = steerable_basis(5, "C4")
    >>> tuple(basis.shape)
    (4, 15, 5, 5)
    >>> bool(torch.allclose(basis[1], torch.rot90(basis[0], -1, dims=(1, 2)), atol=1e-6))
    True
    """
    axis = torch.arange(size, dtype=torch.float64) - size // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    rho, phi = torch.hypot(x, y), torch.atan2(y, x)
    members, turns = elements(group), _turns(group)
    sampled = torch.stack(
        [_harmonics(rho, (-1) ** s * (phi - 2 * pi * k / turns), size // 2) for s, k in members]
    )
    norms = sampled[0].flatten(1).norm(dim=1)
    basis: Tensor = sampled / norms[:, None, None]
    return basis.float()


def _harmonics(rho: Tensor, phi: Tensor, radius: int) -> Tensor:
    """Stack all functions of the basis at the given polar coordinates, (functions, size, size)."""
    functions = []
    for ring in range(radius + 1):
        profile = torch.exp(-((rho - ring) ** 2) / (2 * RING_WIDTH**2))
        functions.append(profile)
        for m in range(1, 2 * ring + 1):
            functions += [profile * (rho > 0) * wave(m * phi) for wave in (torch.cos, torch.sin)]
    return torch.stack(functions)


def _turns(group: str) -> int:
    match = GROUP.fullmatch(group)
    return int(match[2]) if match else 1


class GroupConv2d(nn.Module):
    """A group convolution: fields (or, lifting, plain channels) to fields of the group.

    Channel ``field * order + element`` of a map is one element of one field.

    Parameters
    ----------
    channels : int
        Channels of the input: fields * order, or plain ones if `lift`.
    fields : int
        Fields of the output.
    size : {3, 5, 7}
        Side of the kernel, in pixels.
    group : str
        C_N or D_N.
    pads : ((int, int), (int, int))
        Padding in pixels.
    lift : bool
        Whether the input has plain channels.
    """

    def __init__(self, channels: int, fields: int, size: int, group: str, pads: Pads, lift: bool) -> None:
        super().__init__()
        self.order, self.lift = group_order(group), lift
        self.padding = (*pads[1], *pads[0])
        self.weight = nn.Parameter(torch.empty(fields, channels, GROUP_BASIS[size]))
        self.bias = nn.Parameter(torch.zeros(fields))
        self.register_buffer("basis", steerable_basis(size, group), persistent=False)
        self.register_buffer("table", relative_table(group), persistent=False)
        self.basis: Tensor
        self.table: Tensor

    def kernel(self) -> Tensor:
        """Write all turned kernels out, (fields * order, channels, size, size)."""
        fields, channels, functions = self.weight.shape
        if self.lift:
            kernel = torch.einsum("oib,hbxy->ohixy", self.weight, self.basis)
        else:
            own = self.weight.view(fields, channels // self.order, self.order, functions)
            kernel = torch.einsum("oihgb,hbxy->ohigxy", own[:, :, self.table], self.basis)
        return kernel.reshape(fields * self.order, channels, *self.basis.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        """Convolve: (n, channels, rows, columns) to (n, fields * order, rows', columns')."""
        bias = self.bias.repeat_interleave(self.order)
        return F.conv2d(F.pad(x, self.padding), self.kernel(), bias)


class GroupPool2d(nn.Module):
    """The maximum over the elements of each field."""

    def __init__(self, group: str) -> None:
        super().__init__()
        self.order = group_order(group)

    def forward(self, x: Tensor) -> Tensor:
        """Pool: (n, fields * order, rows, columns) to (n, fields, rows, columns)."""
        n, channels, rows, columns = x.shape
        return x.reshape(n, channels // self.order, self.order, rows, columns).amax(dim=2)
