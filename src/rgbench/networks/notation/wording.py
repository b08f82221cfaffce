"""Words of the notation that several layers share: how they are checked, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rgbench.errors import SpecError, shown

PADDING = re.compile(r"same|valid|pad[1-9]\d{0,3}")
"""Every padding: Keras' two, and a fixed number of pixels on each side."""
LARGEST_NUMBER = 1_000_000
"""No side, step, or number of filters or units is larger."""


def check_positive(**sizes: tuple[int, ...]) -> None:
    """Raise `SpecError` if any number is below 1, or above `LARGEST_NUMBER`; the keyword is its name."""
    for name, values in sizes.items():
        if min(values) < 1:
            raise SpecError(f"{name} {by(values)} is less than 1")
        if max(values) > LARGEST_NUMBER:
            raise SpecError(f"{name} {shown(max(values))} is too large; 1 to {LARGEST_NUMBER:,} is legal")


def check_number(name: str, value: float) -> None:
    """Raise `SpecError` if a number is negative or infinite."""
    if not 0 <= value < float("inf"):
        raise SpecError(f"{name} {value!r} is less than 0, or infinite")


def check_choice(name: str, value: str, legal: Iterable[str]) -> None:
    """Raise `SpecError` if a value is not one of the legal ones."""
    if value not in legal:
        raise SpecError(f"{name} {value!r} is not one of {', '.join(legal)}")


def check_padding(padding: str) -> None:
    """Raise `SpecError` if a padding is not a word of the notation."""
    if not PADDING.fullmatch(padding):
        raise SpecError(f"padding {shown(padding)} is not one of same, valid, pad1, pad2 ... pad9999")


def by(sizes: tuple[int, ...]) -> str:
    """Write sizes as ``3x3``."""
    return "x".join(str(size) for size in sizes)


def step(stride: tuple[int, int]) -> str:
    """Write a stride as ``2`` or ``2x1``."""
    return str(stride[0]) if stride[0] == stride[1] else by(stride)


def l2_text(l2: float) -> str:
    """Write an L2 coefficient; nothing for 0."""
    return f" L2({l2!r})" if l2 else ""


def seed_text(seeded: bool) -> str:
    """Write that the original gave no seed; nothing if it did."""
    return "" if seeded else " (unseeded)"
