"""The kinds of layers that the notation knows: how each is written, read and, from outside, made.

A layer is known by the letters that its first word begins with: ``C3x3-32`` is of the kind ``C``, ``D0.25`` of the
kind ``D``. The layers of this package are made into torch modules by `rgbench.networks.modules.build`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from rgbench.errors import SpecError, shown
from rgbench.networks.notation.layers import (
    ACTIVATIONS,
    CLASSES,
    GROUP,
    Activation,
    BatchNorm,
    BlurPool,
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
from rgbench.registry import Registry

if TYPE_CHECKING:
    from rgbench.networks.notation.analysis import LayerFacts

NAME = re.compile(r"[A-Za-z]+")
"""What the name of a kind looks like: the letters that its word begins with."""
FLOAT = r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?"
"""Pattern of a number that is not negative."""


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
            raise SpecError(f"{shown(self._words[0])} does not belong here, or is given twice")


@dataclass(frozen=True)
class LayerKind:
    """A kind of layer, which registers under the letters that its word begins with.

    Attributes
    ----------
    form : str
        How it is written, for messages: ``D0.25``.
    pattern : str
        Regular expression of the whole first word.
    read : callable
        Gives the layer, of its match and of the `Options` that follow. The layer is a frozen dataclass derived from
        `rgbench.networks.notation.layers.Layer`, which says what it takes, gives and costs; its ``str`` is
        the layer in the notation, and must be read as the same layer again.
    module : callable, optional
        Gives the torch module of a layer: ``module(layer, facts, generator)``. `facts` are its
        `rgbench.networks.notation.analysis.LayerFacts` (shapes, padding); a layer with weights fills them from
        `generator`, a `torch.Generator`, alone. A map comes as (n, channels, rows, columns).
    """

    form: str
    pattern: str
    read: Callable[[re.Match[str], Options], Layer]
    module: Callable[[Any, LayerFacts, Any], Any] | None = None


@cache
def layer_kinds() -> Registry[LayerKind]:
    """Give the registry of kinds of layers; others join by entry points ``rgbench.layers`` or `rgbench.register`.

    Examples
    --------
    >>> layer_kinds().get("D").form
    'D0.25'
    """
    registry = Registry("layer", "rgbench.layers", _kind)
    for name, (form, pattern, read) in _KINDS.items():
        registry.register(name, LayerKind(form, pattern, read))
    for function in ACTIVATIONS:
        registry.register(function, LayerKind(function, function, lambda head, options: Activation(head[0])))
    return registry


def kind_of(word: str) -> LayerKind:
    """Find the kind of a layer by its first word; raise `SpecError` with close matches.

    Examples
    --------
    >>> kind_of("D0.25").form
    'D0.25'
    """
    return _find(word)[0]


def read_layer(words: list[str]) -> Layer:
    """Read a layer from its words; raise `SpecError` if one is not understood.

    Examples
    --------
    >>> read_layer(["MP2x2", "valid"])
    MaxPool(size=(2, 2), stride=(2, 2), padding='valid')
    """
    kind, head = _find(words[0])
    options = Options(words[1:])
    try:
        layer = kind.read(head, options)
    except ValueError as error:  # a number of too many digits
        raise SpecError(f"{shown(words[0])}: {error}") from error
    options.done()
    return layer


def _find(word: str) -> tuple[LayerKind, re.Match[str]]:
    """Find the kind of a word, and match the word with its pattern."""
    letters = NAME.match(word)
    try:
        kind = layer_kinds().get(letters[0] if letters else word)
    except SpecError as error:
        raise SpecError(f"{shown(word)} is not a layer: {error}") from None
    head = re.fullmatch(kind.pattern, word)
    if head is None:
        raise SpecError(f"{shown(word)} is not a layer; it is written like {kind.form}")
    return kind, head


def legal_forms() -> str:
    """Give examples of every layer, for messages; those of other packages by their names alone."""
    known = [form for form, _, _ in _KINDS.values()]
    others = [name for name in layer_kinds().names() if name not in _KINDS and name not in ACTIVATIONS]
    return ", ".join([*known, *ACTIVATIONS, "Add[= | ...]", "Concat[... | ...]", *others])


def _kind(name: str, item: Any) -> LayerKind:
    """Check what was registered; `SpecError` says what is legal."""
    if not isinstance(item, LayerKind):
        raise SpecError(f"layer {name!r} is a {type(item).__name__}; a LayerKind is legal")
    if not NAME.fullmatch(name):
        raise SpecError(f"layer {name!r}: the name is the letters that its word begins with, and no more")
    if name not in _KINDS and name not in ACTIVATIONS:
        _try(name, item)
    return item


def _try(name: str, kind: LayerKind) -> None:
    """Read the form of a kind from elsewhere; `SpecError` if what it gives is not written so that it is read again."""
    if kind.module is None:
        raise SpecError(f"layer {name!r}: its kind has no module")
    layer = _read_text(name, kind, kind.form)
    again = _read_text(name, kind, str(layer))
    if again != layer:
        raise SpecError(
            f"layer {name!r}: {kind.form!r} is {layer!r}, written {layer}, which is read as {again!r}"
        )


def _read_text(name: str, kind: LayerKind, text: str) -> Layer:
    """Read a text by a kind; `SpecError` if it is not a layer of that name."""
    words = text.split() or [""]
    head, letters = re.fullmatch(kind.pattern, words[0]), NAME.match(words[0])
    if head is None or letters is None or letters[0] != name:
        raise SpecError(
            f"layer {name!r}: {text!r} does not begin with that name, or does not fit its pattern"
        )
    options = Options(words[1:])
    layer: object = kind.read(head, options)
    options.done()
    if not isinstance(layer, Layer):
        raise SpecError(f"layer {name!r}: its reader gave a {type(layer).__name__}, not a Layer")
    return layer


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


def _constant(layer: Layer) -> tuple[str, str, Callable[[re.Match[str], Options], Layer]]:
    return str(layer), str(layer), lambda head, options: layer


_KINDS: dict[str, tuple[str, str, Callable[[re.Match[str], Options], Layer]]] = {
    "C": ("C3x3-32 s2 same relu L2(0.01) <he>", r"C(\d+)[x×](\d+)-(\d+)", _read_conv),
    "DW": ("DW7x7 s1 same", r"DW(\d+)[x×](\d+)", _read_depthwise),
    "GC": ("GC5x5-6 C8 lift same", r"GC(\d+)[x×](\d+)-(\d+)", _read_group_conv),
    "GP": ("GP C8", r"GP", lambda head, options: GroupPool(options.group())),
    "MP": ("MP2x2 s2 same", r"MP(\d+)[x×](\d+)", _read_pool),
    "Blur": _constant(BlurPool()),
    "GAP": _constant(GlobalPool()),
    "Rings": ("Rings8", r"Rings(\d+)", lambda head, options: RingPool(int(head[1]))),
    "Disc": _constant(Disc()),
    "D": ("D0.25", rf"D({FLOAT})", _read_dropout),
    "BN": _constant(BatchNorm()),
    "LN": _constant(LayerNorm()),
    "Flat": _constant(Flatten()),
    "FC": (
        "FC500 linear L2(0.01) <gu>, FC{classes} softmax <gu>",
        r"FC(\d+|\{classes\})",
        _read_dense,
    ),
    "LeakyReLU": (
        "LeakyReLU(0.3)",
        rf"LeakyReLU\((?:alpha=)?({FLOAT})\)",
        lambda head, options: LeakyReLU(float(head[1])),
    ),
}
"""The kinds of this package by name: how each is written, the pattern of its word, and how it is read."""
