"""The one-line notation of networks: text to layers and back.

Layers are separated by ``·`` or ``;`` and each may be repeated by ``×n`` or ``*n``::

    C3x3-32 s2 same relu ×2 · MP2x2 s2 same · BN · D0.25 · Flat ·
    FC500 linear L2(0.01) <gu> · relu · FC{classes} softmax <gu>

====================================  ==============================================================
``C3x3-32 s2 same relu L2(0.01)``     convolution: rows x columns - filters, stride, padding,
                                      activation (none if left out), L2 on the kernel (none)
``DW7x7 s1 same``                     convolution of each channel by itself
``GC5x5-6 C8 lift pad1``              group convolution: side - fields, group, ``lift`` at the first
``GP C8``                             maximum over the group's elements
``MP2x2 s2 valid``                    max pool; the stride is the window if left out
``Blur``                              every second pixel after a blur
``GAP``, ``Rings8``                   mean over all pixels, or over 8 rings about the centre
``Disc``                              zero outside the largest disc
``D0.25``                             dropout of single elements
``BN``, ``LN``                        batch or layer normalisation over the channels
``Flat``                              flatten, channels last
``FC500 relu L2(0.01) <gu>``          dense layer; ``FC{classes}`` has as many units as there are classes
``relu``, ``sigmoid``, ``gelu`` ...   an activation of its own; ``LeakyReLU(0.3)``
``Add[= | C3x3-8 same relu · BN]``    branches from one input, summed; ``=`` is the input itself
``Concat[C3x3-8 same | MP3x3 s1 same]``  branches side by side: channels of maps, or vectors
====================================  ==============================================================

Padding is Keras' ``same`` or ``valid``, or ``pad1``, ``pad2`` ... pixels on each side. ``<he>`` is He
normal (the default of convolutions), ``<gu>`` Glorot uniform (the default of dense layers).
``(unseeded)`` records that the original gave a dropout or a kernel no seed of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import groupby

from rgbench.errors import SpecError
from rgbench.networks.notation.layers import (
    ACTIVATIONS,
    CLASSES,
    GROUP,
    Activation,
    BatchNorm,
    BlurPool,
    Branches,
    Conv,
    Dense,
    DepthwiseConv,
    Disc,
    Dropout,
    Flatten,
    GlobalPool,
    GroupConv,
    GroupPool,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    RingPool,
)
from rgbench.networks.notation.wording import PADDING

LEGAL_FORMS = (
    "C3x3-32 s2 same relu L2(0.01) <he>, DW7x7 s1 same, GC5x5-6 C8 lift same, GP C8, MP2x2 s2 same, Blur, "
    "GAP, Rings8, Disc, D0.25, BN, LN, Flat, FC500 linear L2(0.01) <gu>, FC{classes} softmax <gu>, relu, "
    "sigmoid, softmax, gelu, LeakyReLU(0.3), Add[= | ...], Concat[... | ...]; ×n repeats a layer, "
    "'·' or ';' separates layers"
)


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
        return _parse_line(text)
    except SpecError as error:
        raise SpecError(f"{error}; legal forms: {LEGAL_FORMS}") from error


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


def _parse_line(text: str) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for place, token in enumerate(_split(text, "·;"), start=1):
        try:
            layers += _parse_token(token)
        except SpecError as error:
            raise SpecError(f"layer {place} ({token!r}): {error}") from error
    return tuple(layers)


def _split(text: str, separators: str) -> list[str]:
    """Split a text at separators that stand outside all brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            raise SpecError(f"a bracket ']' closes nothing in {text!r}")
        if depth == 0 and character in separators:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise SpecError(f"a bracket '[' is not closed in {text!r}")
    return [part.strip() for part in parts]


def _parse_token(token: str) -> list[Layer]:
    """Read one layer with its repeat count."""
    match = re.fullmatch(r"(.*?)\s*[×*]\s*(\d+)", token, re.DOTALL)
    body, count = (match[1], int(match[2])) if match else (token, 1)
    if count < 1:
        raise SpecError("a layer cannot be repeated 0 times")
    branches = re.fullmatch(r"(\w+)\s*\[(.*)\]", body, re.DOTALL)
    if branches:
        return [_read_branches(branches[1], branches[2])] * count
    words = body.replace("(unseeded)", " (unseeded)").split()
    if not words:
        raise SpecError("a layer is empty")
    for pattern, make in _READERS:
        head = re.fullmatch(pattern, words[0])
        if head:
            options = Options(words[1:])
            layer = make(head, options)
            options.done()
            return [layer] * count
    raise SpecError(f"{words[0]!r} is not a layer")


def _read_branches(merge: str, inside: str) -> Branches:
    branches: list[tuple[Layer, ...]] = []
    for place, text in enumerate(_split(inside, "|"), start=1):
        try:
            branches.append(() if text == "=" else _parse_line(text))
        except SpecError as error:
            raise SpecError(f"branch {place}: {error}") from error
    return Branches(merge, tuple(branches))


class Options:
    """The words after the first one of a layer, taken away as they are understood."""

    def __init__(self, words: list[str]) -> None:
        self._words = list(words)

    def take(self, pattern: str) -> re.Match[str] | None:
        """Take the first word of a pattern away, if there is one."""
        for word in self._words:
            match = re.fullmatch(pattern, word)
            if match:
                self._words.remove(word)
                return match
        return None

    def stride(self, default: tuple[int, int]) -> tuple[int, int]:
        """Take a stride, ``s2`` or ``s2x1``."""
        match = self.take(r"s(\d+)(?:[x×](\d+))?")
        return (int(match[1]), int(match[2] or match[1])) if match else default

    def padding(self) -> str:
        """Take the padding, which must be there."""
        match = self.take(PADDING.pattern)
        if match is None:
            raise SpecError("the padding is missing: write same, valid, or pad1 for 1 pixel on each side")
        return match[0]

    def activation(self, default: str = "linear") -> str:
        """Take an activation."""
        match = self.take("|".join(ACTIVATIONS))
        return match[0] if match else default

    def l2(self, default: float = 0.0) -> float:
        """Take an L2 coefficient, ``L2(0.01)``."""
        match = self.take(rf"L2\(({FLOAT})\)")
        return float(match[1]) if match else default

    def initialiser(self, default: str) -> str:
        """Take an initialiser, ``<he>`` or ``<gu>``."""
        match = self.take(r"<(\w+)>")
        return match[1] if match else default

    def group(self) -> str:
        """Take a group of the plane, which must be there."""
        match = self.take(GROUP.pattern)
        if match is None:
            raise SpecError(
                "the group is missing: write C8 for eight rotations, D8 for these and reflections"
            )
        return match[0]

    def seeded(self, default: bool = True) -> bool:
        """Take ``(unseeded)``."""
        return default and self.take(r"\(unseeded\)") is None

    def done(self) -> None:
        """Raise `SpecError` if a word is left."""
        if self._words:
            raise SpecError(f"{self._words[0]!r} does not belong here, or is given twice")


def _read_conv(head: re.Match[str], options: Options) -> Layer:
    return Conv(
        kernel=(int(head[1]), int(head[2])),
        filters=int(head[3]),
        stride=options.stride((1, 1)),
        padding=options.padding(),
        activation=options.activation(),
        l2=options.l2(),
        initialiser=options.initialiser("he"),
        seeded=options.seeded(),
    )


def _read_depthwise(head: re.Match[str], options: Options) -> Layer:
    return DepthwiseConv(
        kernel=(int(head[1]), int(head[2])),
        stride=options.stride((1, 1)),
        padding=options.padding(),
        initialiser=options.initialiser("he"),
    )


def _read_group_conv(head: re.Match[str], options: Options) -> Layer:
    if head[1] != head[2]:
        raise SpecError("the kernel of a group convolution is square")
    return GroupConv(
        size=int(head[1]),
        fields=int(head[3]),
        group=options.group(),
        lift=options.take("lift") is not None,
        padding=options.padding(),
    )


def _read_pool(head: re.Match[str], options: Options) -> Layer:
    size = (int(head[1]), int(head[2]))
    return MaxPool(size=size, stride=options.stride(size), padding=options.padding())


def _read_dense(head: re.Match[str], options: Options) -> Layer:
    return Dense(
        units=None if head[1] == CLASSES else int(head[1]),
        activation=options.activation(),
        l2=options.l2(),
        initialiser=options.initialiser("gu"),
        seeded=options.seeded(),
    )


def _read_dropout(head: re.Match[str], options: Options) -> Layer:
    return Dropout(rate=float(head[1]), seeded=options.seeded())


_PLAIN: dict[str, Layer] = {
    "BN": BatchNorm(),
    "LN": LayerNorm(),
    "Flat": Flatten(),
    "GAP": GlobalPool(),
    "Blur": BlurPool(),
    "Disc": Disc(),
}
FLOAT = r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?"
"""Pattern of a number that is not negative."""

_READERS: tuple[tuple[str, Callable[[re.Match[str], Options], Layer]], ...] = (
    (r"C(\d+)[x×](\d+)-(\d+)", _read_conv),
    (r"DW(\d+)[x×](\d+)", _read_depthwise),
    (r"GC(\d+)[x×](\d+)-(\d+)", _read_group_conv),
    (r"GP", lambda head, options: GroupPool(options.group())),
    (r"MP(\d+)[x×](\d+)", _read_pool),
    (r"FC(\d+|\{classes\})", _read_dense),
    (rf"D({FLOAT})", _read_dropout),
    (rf"LeakyReLU\((?:alpha=)?({FLOAT})\)", lambda head, options: LeakyReLU(float(head[1]))),
    (r"Rings(\d+)", lambda head, options: RingPool(int(head[1]))),
    ("|".join(_PLAIN), lambda head, options: _PLAIN[head[0]]),
    ("|".join(ACTIVATIONS), lambda head, options: Activation(head[0])),
)
