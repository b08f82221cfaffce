"""The one-line notation of networks: text to layers and back.

Layers are separated by ``·`` or ``;`` and each may be repeated by ``×n`` or ``*n``::

    C3x3-32 s2 same relu ×2 · MP2x2 s2 same · BN · D0.25 · Flat ·
    FC500 linear L2(0.01) <gu> · relu · FC{classes} softmax <gu>

====================================  ==============================================================
``C3x3-32 s2 same relu L2(0.01)``     convolution: rows x columns - filters, stride, padding,
                                      activation (none if left out), L2 on the kernel (none)
``MP2x2 s2 valid``                    max pool; the stride is the window if left out
``D0.25``                             dropout of single elements
``BN``                                batch normalisation over the channels
``Flat``                              flatten, channels last
``FC500 relu L2(0.01) <gu>``          dense layer; ``FC{classes}`` has as many units as there are classes
``relu``, ``sigmoid``, ``softmax``    an activation of its own
====================================  ==============================================================

``<he>`` is He normal (the default of convolutions), ``<gu>`` Glorot uniform (the default of dense
layers). ``(unseeded)`` records that the original gave a dropout or a kernel no seed of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

from rgbench.errors import SpecError

ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax")
"""Every activation of the notation."""
INITIALISERS = {"he": "He normal, truncated at two sigma", "gu": "Glorot uniform"}
"""Every kernel initialiser of the notation, in words."""
PADDINGS = ("same", "valid")
"""Every padding of the notation."""
CLASSES = "{classes}"
"""What stands for the number of classes in ``FC{classes}``."""

LEGAL_FORMS = (
    "C3x3-32 s2 same relu L2(0.01) <he>, MP2x2 s2 same, D0.25, BN, Flat, "
    "FC500 linear L2(0.01) <gu>, FC{classes} softmax <gu>, relu, sigmoid, softmax; "
    "×n repeats a layer, '·' or ';' separates layers"
)


@dataclass(frozen=True)
class Conv:
    """A two-dimensional convolution with a bias; kernel and stride are (rows, columns)."""

    kernel: tuple[int, int]
    filters: int
    stride: tuple[int, int] = (1, 1)
    padding: str = "same"
    activation: str = "linear"
    l2: float = 0.0
    initialiser: str = "he"
    seeded: bool = True

    def __post_init__(self) -> None:
        _check_positive(kernel=self.kernel, filters=(self.filters,), stride=self.stride)
        _check_choice("padding", self.padding, PADDINGS)
        _check_kernel(self.activation, self.l2, self.initialiser)

    def __str__(self) -> str:
        activation = "" if self.activation == "linear" else f" {self.activation}"
        initialiser = "" if self.initialiser == "he" else f" <{self.initialiser}>"
        window = f"C{_by(self.kernel)}-{self.filters} s{_step(self.stride)} {self.padding}"
        return f"{window}{activation}{_l2_text(self.l2)}{initialiser}{_seed_text(self.seeded)}"


@dataclass(frozen=True)
class MaxPool:
    """A maximum over windows; window and stride are (rows, columns)."""

    window: tuple[int, int]
    stride: tuple[int, int]
    padding: str = "valid"

    def __post_init__(self) -> None:
        _check_positive(window=self.window, stride=self.stride)
        _check_choice("padding", self.padding, PADDINGS)

    def __str__(self) -> str:
        return f"MP{_by(self.window)} s{_step(self.stride)} {self.padding}"


@dataclass(frozen=True)
class Dropout:
    """Inverted dropout of single elements, in training only."""

    rate: float
    seeded: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise SpecError(f"dropout rate {self.rate!r} is not in [0, 1)")

    def __str__(self) -> str:
        return f"D{self.rate!r}{_seed_text(self.seeded)}"


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation over the channels (of a map) or the features (of a vector)."""

    def __str__(self) -> str:
        return "BN"


@dataclass(frozen=True)
class Flatten:
    """A map to a vector, in Keras' order: index = (row * columns + column) * channels + channel."""

    def __str__(self) -> str:
        return "Flat"


@dataclass(frozen=True)
class Dense:
    """A dense layer with a bias; ``units = None`` stands for the number of classes."""

    units: int | None
    activation: str = "linear"
    l2: float = 0.0
    initialiser: str = "gu"
    seeded: bool = True

    def __post_init__(self) -> None:
        if self.units is not None:
            _check_positive(units=(self.units,))
        _check_kernel(self.activation, self.l2, self.initialiser)

    def __str__(self) -> str:
        units = CLASSES if self.units is None else self.units
        end = f"{_l2_text(self.l2)} <{self.initialiser}>{_seed_text(self.seeded)}"
        return f"FC{units} {self.activation}{end}"


@dataclass(frozen=True)
class Activation:
    """An activation that is a layer of its own."""

    function: str

    def __post_init__(self) -> None:
        _check_choice("activation", self.function, ACTIVATIONS)

    def __str__(self) -> str:
        return self.function


Layer = Conv | MaxPool | Dropout | BatchNorm | Flatten | Dense | Activation
"""Any layer of the notation."""


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
    layers: list[Layer] = []
    for place, token in enumerate(re.split("[·;]", text), start=1):
        try:
            layers += _parse_token(token.strip())
        except SpecError as error:
            found = token.strip()
            raise SpecError(f"layer {place} ({found!r}): {error}; legal forms: {LEGAL_FORMS}") from error
    return tuple(layers)


def to_text(layers: Iterable[Layer]) -> str:
    """Write layers as one line; equal neighbours become one layer with ``×n``.

    Examples
    --------
    >>> to_text(parse_layers("C3x3-8 same relu; C3x3-8 same relu; Flat"))
    'C3x3-8 s1 same relu ×2 · Flat'
    """
    parts = []
    for layer, equal in groupby(layers):
        count = len(list(equal))
        parts.append(f"{layer} ×{count}" if count > 1 else str(layer))
    return " · ".join(parts)


def _parse_token(token: str) -> list[Layer]:
    """Read one layer with its repeat count."""
    match = re.fullmatch(r"(.*?)\s*[×*]\s*(\d+)", token)
    body, count = (match[1], int(match[2])) if match else (token, 1)
    if count < 1:
        raise SpecError("a layer cannot be repeated 0 times")
    words = body.replace("(unseeded)", " (unseeded)").split()
    if not words:
        raise SpecError("a layer is empty")
    for pattern, make in _READERS:
        head = re.fullmatch(pattern, words[0])
        if head:
            return [make(head, words[1:])] * count
    raise SpecError(f"{words[0]!r} is not a layer")


def _read_conv(head: re.Match[str], words: list[str]) -> Layer:
    options = _Options(words)
    return Conv(
        kernel=(int(head[1]), int(head[2])),
        filters=int(head[3]),
        stride=options.stride((1, 1)),
        padding=options.padding(),
        activation=options.activation(),
        l2=options.l2(),
        initialiser=options.initialiser("he"),
        seeded=options.seeded_and_done(),
    )


def _read_pool(head: re.Match[str], words: list[str]) -> Layer:
    options = _Options(words)
    window = (int(head[1]), int(head[2]))
    pool = MaxPool(window=window, stride=options.stride(window), padding=options.padding())
    options.done()
    return pool


def _read_dense(head: re.Match[str], words: list[str]) -> Layer:
    options = _Options(words)
    return Dense(
        units=None if head[1] == CLASSES else int(head[1]),
        activation=options.activation(),
        l2=options.l2(),
        initialiser=options.initialiser("gu"),
        seeded=options.seeded_and_done(),
    )


def _read_dropout(head: re.Match[str], words: list[str]) -> Layer:
    return Dropout(rate=float(head[1]), seeded=_Options(words).seeded_and_done())


def _read_plain(head: re.Match[str], words: list[str]) -> Layer:
    _Options(words).done()
    plain: dict[str, Layer] = {"BN": BatchNorm(), "Flat": Flatten()}
    return plain.get(head[0]) or Activation(head[0])


_FLOAT = r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?"

_READERS: tuple[tuple[str, Callable[[re.Match[str], list[str]], Layer]], ...] = (
    (r"C(\d+)[x×](\d+)-(\d+)", _read_conv),
    (r"MP(\d+)[x×](\d+)", _read_pool),
    (r"FC(\d+|\{classes\})", _read_dense),
    (rf"D({_FLOAT})", _read_dropout),
    (r"BN|Flat|linear|relu|sigmoid|softmax", _read_plain),
)


class _Options:
    """The words after the first one of a layer, taken away as they are understood."""

    def __init__(self, words: list[str]) -> None:
        self._words = list(words)

    def _take(self, pattern: str) -> re.Match[str] | None:
        for word in self._words:
            match = re.fullmatch(pattern, word)
            if match:
                self._words.remove(word)
                return match
        return None

    def stride(self, default: tuple[int, int]) -> tuple[int, int]:
        match = self._take(r"s(\d+)(?:[x×](\d+))?")
        return (int(match[1]), int(match[2] or match[1])) if match else default

    def padding(self) -> str:
        match = self._take("|".join(PADDINGS))
        if match is None:
            raise SpecError("the padding is missing: write same or valid")
        return match[0]

    def activation(self) -> str:
        match = self._take("|".join(ACTIVATIONS))
        return match[0] if match else "linear"

    def l2(self) -> float:
        match = self._take(rf"L2\(({_FLOAT})\)")
        return float(match[1]) if match else 0.0

    def initialiser(self, default: str) -> str:
        match = self._take(r"<(\w+)>")
        return match[1] if match else default

    def seeded_and_done(self) -> bool:
        seeded = self._take(r"\(unseeded\)") is None
        self.done()
        return seeded

    def done(self) -> None:
        if self._words:
            raise SpecError(f"{self._words[0]!r} does not belong here, or is given twice")


def _check_positive(**sizes: tuple[int, ...]) -> None:
    for name, values in sizes.items():
        if min(values) < 1:
            raise SpecError(f"{name} {_by(values)} is less than 1")


def _check_choice(name: str, value: str, legal: Iterable[str]) -> None:
    if value not in legal:
        raise SpecError(f"{name} {value!r} is not one of {', '.join(legal)}")


def _check_kernel(activation: str, l2: float, initialiser: str) -> None:
    _check_choice("activation", activation, ACTIVATIONS)
    _check_choice("initialiser", initialiser, INITIALISERS)
    if l2 < 0:
        raise SpecError(f"L2 {l2!r} is less than 0")


def _by(sizes: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in sizes)


def _step(stride: tuple[int, int]) -> str:
    return str(stride[0]) if stride[0] == stride[1] else _by(stride)


def _l2_text(l2: float) -> str:
    return f" L2({l2!r})" if l2 else ""


def _seed_text(seeded: bool) -> str:
    return "" if seeded else " (unseeded)"
