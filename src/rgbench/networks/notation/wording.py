"""Words of the notation that several layers share: how they are checked, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rgbench.errors import SpecError

PADDING = re.compile(r"same|valid|pad[1-9]\d*")
"""Every padding: Keras' two, and a fixed number of pixels on each side."""


def check_positive(**sizes: tuple[int, ...]) -> None:
    """Raise `SpecError` if any number is below 1; the keyword is its name."""
    for name, values in sizes.items():
        if min(values) < 1:
            raise SpecError(f"{name} {by(values)} is less than 1")


def check_choice(name: str, value: str, legal: Iterable[str]) -> None:
    """Raise `SpecError` if a value is not one of the legal ones."""
    if value not in legal:
        raise SpecError(f"{name} {value!r} is not one of {', '.join(legal)}")


def check_padding(padding: str) -> None:
    """Raise `SpecError` if a padding is not a word of the notation."""
    if not PADDING.fullmatch(padding):
        raise SpecError(f"padding {padding!r} is not one of same, valid, pad1, pad2 ...")


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
