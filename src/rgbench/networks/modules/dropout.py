"""Dropout whose random numbers cost little: PyTorch draws one of 8 bytes for each number, on one core of the CPU."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 1 << 16
"""Numbers below which PyTorch's own dropout is used."""
_QUARTERS = 4
_WORD = 16
"""Bits that are looked up at a time: 8 numbers."""


class Dropout(nn.Dropout):
    """Dropout of single numbers, as `torch.nn.Dropout`; two random bits decide on each where `quick` is set.

    Attributes
    ----------
    quick : bool
        Whether rates of 0.25, 0.5 and 0.75 are drawn by `draw_kept`, on a CPU and for large maps. Each number is
        dropped with the same chance and by itself, but others are than with `torch.nn.Dropout`.

    Notes
    -----
    Measured: half of a training step of MCRGNet, whose dropout stands between convolutions, was PyTorch's drawing.
    """

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.quick = False

    def forward(self, x: Tensor) -> Tensor:
        """Drop numbers in training, and scale the others up: any shape to the same shape."""
        in_quarters = 0 < self.p < 1 and float(self.p * _QUARTERS).is_integer()
        if self.quick and self.training and in_quarters and _is_large(x):
            return x * draw_kept(x, self.p)
        return super().forward(x)


def _is_large(x: Tensor) -> bool:
    """Tell whether a tensor lies on a CPU and is worth it."""
    return x.device.type == "cpu" and x.numel() >= SMALLEST


def draw_kept(x: Tensor, rate: float) -> Tensor:
    """Draw what a tensor is multiplied with: 0, or 1 / (1 - rate).

    Parameters
    ----------
    x : Tensor
        Its shape, type and order in memory are taken.
    rate : {0.25, 0.5, 0.75}
        The chance of 0.

    Returns
    -------
    Tensor
        Of the shape of `x`, drawn from torch's default generator; what it is hangs on the order in memory of `x`.

    Examples
    --------
    >>> sorted(set(draw_kept(torch.zeros(100, 100), 0.5).flatten().tolist()))
    [0.0, 2.0]
    """
    numbers = 2 * x.numel()
    words = torch.empty(-(-numbers // 64), dtype=torch.int64).random_(-(2**63), None)
    index = words.view(torch.int16).to(torch.int32) & (2**_WORD - 1)
    flat = F.embedding(index, _kept_by_word(rate, x.dtype)).view(-1)[: x.numel()]
    dense = torch.empty_like(x)
    return flat.as_strided(dense.size(), dense.stride())


@lru_cache(maxsize=8)
def _kept_by_word(rate: float, dtype: torch.dtype) -> Tensor:
    """Tabulate the 8 factors that each word of 16 bits stands for, shape (65536, 8)."""
    pairs = torch.arange(2**_WORD)[:, None] >> torch.arange(0, _WORD, 2) & 3
    kept = (pairs >= round(rate * _QUARTERS)).to(torch.float32)
    # The scale is rounded to the type before it is used, as PyTorch's own is.
    return (kept.to(dtype) / (1 - rate)).to(dtype)
