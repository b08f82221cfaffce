"""The one-line notation of networks: text to layers and back.

Layers are separated by ``·`` or ``;`` and each may be repeated by ``×n`` or ``*n``::

    C3x3-32 s2 same relu ×2 · MP2x2 s2 same · BN · D0.25 · Flat ·
    FC500 linear L2(0.01) <gu> · relu · FC{classes} softmax <gu>

=======================================  ===================================================================
``C3x3-32 s2 same relu L2(0.01)``        convolution: rows x columns - filters, stride, padding,
                                         activation (none if left out), L2 on the kernel (none)
``DW7x7 s1 same``                        convolution of each channel by itself
``GC5x5-6 C8 lift pad1``                 group convolution: side - fields, group, ``lift`` at the first
``GP C8``                                maximum over the group's elements
``MP2x2 s2 valid``                       max pool; the stride is the window if left out
``Blur``                                 every second pixel after a blur
``GAP``, ``Rings8``                      mean over all pixels, or over 8 rings about the centre
``Disc``                                 zero outside the largest disc
``D0.25``                                dropout of single elements
``BN``, ``LN``                           batch or layer normalisation over the channels
``Flat``                                 flatten, channels last
``FC500 relu L2(0.01) <gu>``             dense layer; ``FC{classes}`` has as many units as there are classes
``relu``, ``sigmoid``, ``gelu`` ...      an activation of its own; ``LeakyReLU(0.3)``
``Add[= | C3x3-8 same relu · BN]``       branches from one input, summed; ``=`` is the input itself
``Concat[C3x3-8 same | MP3x3 s1 same]``  branches side by side: channels of maps, or vectors
=======================================  ===================================================================

Padding is Keras' ``same`` or ``valid``, or ``pad1``, ``pad2`` ... pixels on each side. ``<he>`` is He
normal (the default of convolutions), ``<gu>`` Glorot uniform (the default of dense layers).
``(unseeded)`` records that the original gave a dropout or a kernel no seed of its own. Other packages may bring
further kinds of layers, see `rgbench.networks.notation.kinds`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

from rgbench.errors import SpecError, shown
from rgbench.networks.notation.kinds import legal_forms, read_layer
from rgbench.networks.notation.layers import Branches, Layer

MOST_LAYERS = 10_000
"""Layers of a network, repeats and those of branches among them."""
DEEPEST = 20
"""How deep branches stand within branches."""
LONGEST_TEXT = 100_000
"""Characters of a line."""


def parse_layers(text: str) -> tuple[Layer, ...]:
    """Read one line of layers.

    Parameters
    ----------
    text : str
        Layers in the notation of this module.

    Returns
    -------
    tuple of Layer
        The layers in order, repeats written out.

    Raises
    ------
    SpecError
        If a layer is not in the notation; the message names it, its place and the legal forms.

    Examples
    --------
    >>> parse_layers("D0.25 ×2 · Flat")
    (Dropout(rate=0.25, seeded=True), Dropout(rate=0.25, seeded=True), Flatten())
    """
    try:
        if len(text) > LONGEST_TEXT:
            raise SpecError(f"the line has {len(text):,} characters; up to {LONGEST_TEXT:,} are legal")
        return _parse_line(text, DEEPEST)
    except SpecError as error:
        raise SpecError(
            f"{error}; legal forms: {legal_forms()}; ×n repeats a layer, '·' or ';' separates layers"
        ) from error


def to_text(layers: Iterable[Layer]) -> str:
    """Write layers as one line; equal neighbours become one layer with ``×n``.

    Examples
    --------
    >>> to_text(parse_layers("C3x3-8 same relu; C3x3-8 same relu; Add[=|BN]; Flat"))
    'C3x3-8 s1 same relu ×2 · Add[= | BN] · Flat'
    """
    parts = []
    for layer, equal in groupby(layers):
        count = len(list(equal))
        parts.append(f"{_layer_text(layer)} ×{count}" if count > 1 else _layer_text(layer))
    return " · ".join(parts)


def _layer_text(layer: Layer) -> str:
    if not isinstance(layer, Branches):
        return str(layer)
    return f"{layer.merge}[{' | '.join(to_text(branch) or '=' for branch in layer.branches)}]"


def _parse_line(text: str, deeper: int) -> tuple[Layer, ...]:
    """Read a line; `deeper` is how deep branches may stand in it."""
    layers: list[Layer] = []
    size = 0
    for place, token in enumerate(_split(text, "·;"), start=1):
        try:
            layer, count = _parse_token(token, deeper)
            size += _size(layer) * count
            if size > MOST_LAYERS:
                raise SpecError(f"the network has more than {MOST_LAYERS:,} layers, so many are legal")
            layers += [layer] * count
        except SpecError as error:
            raise SpecError(f"layer {place} ({shown(token)}): {error}") from error
    return tuple(layers)


def _size(layer: Layer) -> int:
    """Count a layer, and the layers of its branches."""
    if isinstance(layer, Branches):
        return 1 + sum(_size(inner) for branch in layer.branches for inner in branch)
    return 1


def _split(text: str, separators: str) -> list[str]:
    """Split a text at separators that stand outside all brackets."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth < 0:
            raise SpecError(f"a bracket ']' closes nothing in {shown(text)}")
        if depth == 0 and character in separators:
            parts.append(text[start:place])
            start = place + 1
    if depth:
        raise SpecError(f"a bracket '[' is not closed in {shown(text)}")
    return [part.strip() for part in [*parts, text[start:]]]


def _parse_token(token: str, deeper: int) -> tuple[Layer, int]:
    """Read one layer, and how often it is repeated."""
    match = re.fullmatch(r"(.*)[×*]\s*(\d+)", token, re.DOTALL)
    body, count = (match[1].rstrip(), _count(match[2])) if match else (token, 1)
    branches = re.fullmatch(r"(\w+)\s*\[(.*)\]", body, re.DOTALL)
    if branches:
        return _read_branches(branches[1], branches[2], deeper), count
    words = body.replace("(unseeded)", " (unseeded)").split()
    if not words:
        raise SpecError("a layer is empty")
    return read_layer(words), count


def _count(digits: str) -> int:
    if len(digits) > len(str(MOST_LAYERS)) or not 1 <= int(digits) <= MOST_LAYERS:
        raise SpecError(f"a layer cannot be repeated {digits[:20]} times; 1 to {MOST_LAYERS:,} is legal")
    return int(digits)


def _read_branches(merge: str, inside: str, deeper: int) -> Branches:
    if deeper == 0:
        raise SpecError(f"branches stand more than {DEEPEST} deep within each other; so many are legal")
    branches: list[tuple[Layer, ...]] = []
    for place, text in enumerate(_split(inside, "|"), start=1):
        try:
            branches.append(() if text == "=" else _parse_line(text, deeper - 1))
        except SpecError as error:
            raise SpecError(f"branch {place}: {error}") from error
    return Branches(merge, tuple(branches))
