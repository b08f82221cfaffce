"""The layers of networks: what each takes, what it gives, what it costs; no tensor is made.

A layer works on a map, whose shape is (rows, columns, channels), or on a vector, (features,); the
batch axis is left out. Symbols of the formulas: a layer takes maps of ``c`` channels to maps of
``h x w`` pixels and ``f`` channels with a ``k x l`` window, or a vector of ``m`` numbers to one of ``n``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from rgbench.errors import SpecError
from rgbench.networks.notation.geometry import Shape, Window
from rgbench.networks.notation.wording import (
    by,
    check_choice,
    check_number,
    check_padding,
    check_positive,
    l2_text,
    seed_text,
    step,
)

ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "gelu")
"""Every activation that is a word of the notation."""
INITIALISERS = {"he": "He normal, truncated at two sigma", "gu": "Glorot uniform"}
"""Every kernel initialiser, in words."""
GROUP = re.compile(r"([CD])([1-9]\d*)")
"""The groups of the plane: C8 holds 8 rotations, D8 these and their mirror images."""
CLASSES = "{classes}"
"""What stands for the number of classes in ``FC{classes}``."""
GROUP_BASIS = {3: 6, 5: 15, 7: 28}
"""Numbers that describe one kernel of a group convolution, by its size; see `rgbench.networks.modules.groups`."""
MERGES = ("Add", "Concat")
"""How branches come together."""


@dataclass(frozen=True)
class Layer:
    """A layer that changes no shape and costs nothing; the others say where they differ."""

    takes: ClassVar[str] = "any"
    """What the layer works on: ``map``, ``vector`` or ``any``."""
    counts_as: ClassVar[str] = ""
    """Class here, such as ``Conv``, among which a summary counts the layer; left out, it is its own."""

    def window(self, shape: Shape) -> Window | None:
        """Give the window that slides over a map of this shape, if there is one."""
        return None

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape after the layer."""
        return shape

    def parameters(self, shape: Shape) -> tuple[int, int]:
        """Count all and trainable parameters for an input of this shape."""
        return 0, 0

    def macs(self, before: Shape, after: Shape) -> int:
        """Count multiply-accumulate operations per image."""
        return 0

    def flops_2021(self, before: Shape, after: Shape) -> int:
        """Count operations per image by the rule of the 2021 testbed; see `rgbench.networks.notation.analysis`."""
        macs = self.macs(before, after)
        return 2 * macs + prod(after) if macs else 0


@dataclass(frozen=True)
class _Kernel(Layer):
    """What layers with a kernel share."""

    def _check_kernel(self, activation: str, l2: float, initialiser: str) -> None:
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("initialiser", initialiser, INITIALISERS)
        check_number("L2", l2)


@dataclass(frozen=True)
class Conv(_Kernel):
    """A two-dimensional convolution with a bias; kernel and stride are (rows, columns)."""

    takes: ClassVar[str] = "map"
    kernel: tuple[int, int]
    filters: int
    stride: tuple[int, int] = (1, 1)
    padding: str = "same"
    activation: str = "linear"
    l2: float = 0.0
    initialiser: str = "he"
    seeded: bool = True

    def __post_init__(self) -> None:
        check_positive(kernel=self.kernel, filters=(self.filters,), stride=self.stride)
        check_padding(self.padding)
        self._check_kernel(self.activation, self.l2, self.initialiser)

    def __str__(self) -> str:
        activation = "" if self.activation == "linear" else f" {self.activation}"
        initialiser = "" if self.initialiser == "he" else f" <{self.initialiser}>"
        window = f"C{by(self.kernel)}-{self.filters} s{step(self.stride)} {self.padding}"
        return f"{window}{activation}{l2_text(self.l2)}{initialiser}{seed_text(self.seeded)}"

    def window(self, shape: Shape) -> Window:
        """Give the kernel's window."""
        return Window(self.kernel, self.stride, self.padding)

    def output_shape(self, shape: Shape) -> Shape:
        """Give (rows, columns, filters)."""
        return (*self.window(shape).slide(shape), self.filters)

    def parameters(self, shape: Shape) -> tuple[int, int]:
        """Count ``f (k l c + 1)``."""
        return twice(self.filters * (prod(self.kernel) * shape[2] + 1))

    def macs(self, before: Shape, after: Shape) -> int:
        """Count ``h w f k l c``."""
        return prod(after) * prod(self.kernel) * before[2]


@dataclass(frozen=True)
class DepthwiseConv(_Kernel):
    """A convolution of each channel by itself, with a bias; kernel and stride are (rows, columns)."""

    takes: ClassVar[str] = "map"
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: str = "same"
    initialiser: str = "he"

    def __post_init__(self) -> None:
        check_positive(kernel=self.kernel, stride=self.stride)
        check_padding(self.padding)
        self._check_kernel("linear", 0.0, self.initialiser)

    def __str__(self) -> str:
        initialiser = "" if self.initialiser == "he" else f" <{self.initialiser}>"
        return f"DW{by(self.kernel)} s{step(self.stride)} {self.padding}{initialiser}"

    def window(self, shape: Shape) -> Window:
        """Give the kernel's window."""
        return Window(self.kernel, self.stride, self.padding)

    def output_shape(self, shape: Shape) -> Shape:
        """Give (rows, columns, the same channels)."""
        return (*self.window(shape).slide(shape), shape[2])

    def parameters(self, shape: Shape) -> tuple[int, int]:
        """Count ``c (k l + 1)``."""
        return twice(shape[2] * (prod(self.kernel) + 1))

    def macs(self, before: Shape, after: Shape) -> int:
        """Count ``h w c k l``."""
        return prod(after) * prod(self.kernel)


@dataclass(frozen=True)
class GroupConv(_Kernel):
    """A convolution that is equivariant to a group of rotations (and reflections) of the plane.

    Its output holds `fields` fields, each of one channel per element of the group (the regular
    representation). A lifting convolution takes plain channels, the others take fields.
    """

    takes: ClassVar[str] = "map"
    size: int
    fields: int
    group: str
    lift: bool = False
    padding: str = "same"

    def __post_init__(self) -> None:
        check_positive(fields=(self.fields,))
        check_padding(self.padding)
        check_choice("kernel size", str(self.size), [str(size) for size in GROUP_BASIS])
        group_order(self.group)

    def __str__(self) -> str:
        lift = " lift" if self.lift else ""
        return f"GC{self.size}x{self.size}-{self.fields} {self.group}{lift} {self.padding}"

    def window(self, shape: Shape) -> Window:
        """Give the kernel's window; the stride is 1."""
        return Window((self.size, self.size), (1, 1), self.padding)

    def output_shape(self, shape: Shape) -> Shape:
        """Give (rows, columns, fields * order of the group)."""
        if not self.lift and shape[2] % group_order(self.group):
            raise SpecError(
                f"it takes fields of {self.group}, not {shape[2]} channels: write lift at the first one"
            )
        return (*self.window(shape).slide(shape), self.fields * group_order(self.group))

    def parameters(self, shape: Shape) -> tuple[int, int]:
        """Count ``fields (c b + 1)``, where ``b`` numbers describe one kernel."""
        return twice(self.fields * (shape[2] * GROUP_BASIS[self.size] + 1))

    def macs(self, before: Shape, after: Shape) -> int:
        """Count ``h w f k l c``, as of a convolution with all rotated kernels written out."""
        return prod(after) * self.size**2 * before[2]


@dataclass(frozen=True)
class GroupPool(Layer):
    """The maximum over the group's elements: fields become plain channels that turn with the image."""

    takes: ClassVar[str] = "map"
    group: str

    def __post_init__(self) -> None:
        group_order(self.group)

    def __str__(self) -> str:
        return f"GP {self.group}"

    def output_shape(self, shape: Shape) -> Shape:
        """Give (rows, columns, fields)."""
        fields, rest = divmod(shape[2], group_order(self.group))
        if rest:
            raise SpecError(f"it takes fields of {self.group}, not {shape[2]} channels")
        return (shape[0], shape[1], fields)


@dataclass(frozen=True)
class MaxPool(Layer):
    """A maximum over windows; size and stride are (rows, columns)."""

    takes: ClassVar[str] = "map"
    size: tuple[int, int]
    stride: tuple[int, int]
    padding: str = "valid"

    def __post_init__(self) -> None:
        check_positive(window=self.size, stride=self.stride)
        check_padding(self.padding)

    def __str__(self) -> str:
        return f"MP{by(self.size)} s{step(self.stride)} {self.padding}"

    def window(self, shape: Shape) -> Window:
        """Give the pool's window."""
        return Window(self.size, self.stride, self.padding)

    def output_shape(self, shape: Shape) -> Shape:
        """Give (rows, columns, the same channels)."""
        return (*self.window(shape).slide(shape), shape[2])

    def flops_2021(self, before: Shape, after: Shape) -> int:
        """Count ``k k h w c``: the testbed squares the first side."""
        return self.size[0] ** 2 * prod(after)


@dataclass(frozen=True)
class BlurPool(Layer):
    """Every second pixel after a binomial blur (Zhang 2019, arXiv 1904.11486).

    The kernel has 4 pixels where the axis is even and 3 where it is odd, so that it is symmetric and
    commutes with quarter turns and reflections of a square map.
    """

    takes: ClassVar[str] = "map"

    def __str__(self) -> str:
        return "Blur"

    def window(self, shape: Shape) -> Window:
        """Give the window, which depends on whether rows and columns are even."""
        return Window((4 - shape[0] % 2, 4 - shape[1] % 2), (2, 2), "pad1")

    def output_shape(self, shape: Shape) -> Shape:
        """Give (ceil(rows / 2), ceil(columns / 2), the same channels)."""
        return (*self.window(shape).slide(shape), shape[2])

    def macs(self, before: Shape, after: Shape) -> int:
        """Count ``h w c k l``."""
        return prod(after) * prod(self.window(before).kernel)


@dataclass(frozen=True)
class GlobalPool(Layer):
    """The mean over all pixels: a map to a vector of its channels."""

    takes: ClassVar[str] = "map"

    def __str__(self) -> str:
        return "GAP"

    def output_shape(self, shape: Shape) -> Shape:
        """Give (channels,)."""
        return shape[2:]


@dataclass(frozen=True)
class RingPool(Layer):
    """The mean over rings about the centre: a map to a vector (rings * channels) that no turn changes."""

    takes: ClassVar[str] = "map"
    rings: int

    def __post_init__(self) -> None:
        check_positive(rings=(self.rings,))

    def __str__(self) -> str:
        return f"Rings{self.rings}"

    def output_shape(self, shape: Shape) -> Shape:
        """Give (rings * channels,)."""
        return (self.rings * shape[2],)

    def macs(self, before: Shape, after: Shape) -> int:
        """Count ``h w`` for each number of the output."""
        return before[0] * before[1] * after[0]


@dataclass(frozen=True)
class Disc(Layer):
    """Zero outside the largest disc in the map, less a margin of one pixel: turns lose no corner."""

    takes: ClassVar[str] = "map"

    def __str__(self) -> str:
        return "Disc"


@dataclass(frozen=True)
class Dropout(Layer):
    """Inverted dropout of single elements, in training only."""

    rate: float
    seeded: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise SpecError(f"dropout rate {self.rate!r} is not in [0, 1)")

    def __str__(self) -> str:
        return f"D{self.rate!r}{seed_text(self.seeded)}"


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation over the channels (of a map) or the features (of a vector)."""

    def __str__(self) -> str:
        return "BN"

    def parameters(self, shape: Shape) -> tuple[int, int]:
        """Count scale, offset, mean and variance per channel, of which the first two are trained."""
        return 4 * shape[-1], 2 * shape[-1]

    def flops_2021(self, before: Shape, after: Shape) -> int:
        """Count 4 per element."""
        return 4 * prod(after)


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Layer normalisation over the channels of each pixel, or the features of a vector."""

    def __str__(self) -> str:
        return "LN"

    def parameters(self, shape: Shape) -> tuple[int, int]:
        """Count scale and offset per channel."""
        return twice(2 * shape[-1])


@dataclass(frozen=True)
class Flatten(Layer):
    """A map to a vector, in Keras' order: index = (row * columns + column) * channels + channel."""

    takes: ClassVar[str] = "map"

    def __str__(self) -> str:
        return "Flat"

    def output_shape(self, shape: Shape) -> Shape:
        """Give (rows * columns * channels,)."""
        return (prod(shape),)


@dataclass(frozen=True)
class Dense(_Kernel):
    """A dense layer with a bias; ``units = None`` stands for the number of classes."""

    takes: ClassVar[str] = "vector"
    units: int | None
    activation: str = "linear"
    l2: float = 0.0
    initialiser: str = "gu"
    seeded: bool = True

    def __post_init__(self) -> None:
        if self.units is not None:
            check_positive(units=(self.units,))
        self._check_kernel(self.activation, self.l2, self.initialiser)

    def __str__(self) -> str:
        units = CLASSES if self.units is None else self.units
        end = f"{l2_text(self.l2)} <{self.initialiser}>{seed_text(self.seeded)}"
        return f"FC{units} {self.activation}{end}"

    def output_shape(self, shape: Shape) -> Shape:
        """Give (units,)."""
        if self.units is None:
            raise SpecError("FC{classes} needs the number of classes")
        return (self.units,)

    def parameters(self, shape: Shape) -> tuple[int, int]:
        """Count ``n (m + 1)``."""
        return twice(self.output_shape(shape)[0] * (shape[0] + 1))

    def macs(self, before: Shape, after: Shape) -> int:
        """Count ``m n``."""
        return before[0] * after[0]


@dataclass(frozen=True)
class Activation(Layer):
    """An activation that is a layer of its own."""

    function: str

    def __post_init__(self) -> None:
        check_choice("activation", self.function, ACTIVATIONS)

    def __str__(self) -> str:
        return self.function


@dataclass(frozen=True)
class LeakyReLU(Layer):
    """``x`` where it is positive, `slope` times ``x`` elsewhere."""

    slope: float

    def __post_init__(self) -> None:
        check_number("slope", self.slope)

    def __str__(self) -> str:
        return f"LeakyReLU({self.slope!r})"


@dataclass(frozen=True)
class Branches(Layer):
    """Branches that all start from the same input, and how their ends come together.

    `merge` is ``Add`` (equal shapes are summed) or ``Concat`` (channels of maps, or vectors, one after
    the other). An empty branch is the input itself.
    """

    merge: str
    branches: tuple[tuple[Layer, ...], ...]

    def __post_init__(self) -> None:
        check_choice("merge", self.merge, MERGES)
        if len(self.branches) < 2:
            raise SpecError(f"{self.merge} needs two branches or more, separated by |")

    def __str__(self) -> str:
        return self.merge

    def merged_shape(self, shapes: list[Shape]) -> Shape:
        """Give the shape after the merge; `SpecError` if the ends do not fit together."""
        first = shapes[0]
        if self.merge == "Add":
            fits = all(shape == first for shape in shapes)
            merged = first
        else:
            fits = all(shape[:-1] == first[:-1] for shape in shapes)
            merged = (*first[:-1], sum(shape[-1] for shape in shapes))
        if not fits:
            raise SpecError(
                f"its branches end in {' and '.join(map(str, shapes))}, which do not fit together"
            )
        return merged


def group_order(group: str) -> int:
    """Give the number of elements of a group of the plane; a name that is none raises `SpecError`.

    Examples
    --------
    >>> group_order("C8"), group_order("D4")
    (8, 8)
    """
    match = GROUP.fullmatch(group)
    if match is None or len(match[2]) > 3:
        raise SpecError(f"group {group!r} is not C or D and a number from 1 to 999, such as C8 or D4")
    return int(match[2]) * (2 if match[1] == "D" else 1)


def twice(count: int) -> tuple[int, int]:
    """Give a count of parameters of which all are trained."""
    return count, count
