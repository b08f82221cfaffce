"""Variants as derivations: a base network and its changes in words.

Changes are separated by commas and applied from left to right:

=========================================  ===================================================================
``no conv dropout``                        layers are taken out
``hidden: relu L2(0.01) <he>``             the words of a layer are replaced; L2(0) takes the term away
``conv 1 4: s2``, ``hidden 2: 500 units``  ... of the first and fourth convolution, of the second hidden layer
``relu 6: linear``                         an activation of its own is replaced
``D0.25 after pools``                      layers are put in, ``after`` or ``before`` each of ...
``C3x3-256 s1 same relu before Flat``
``head: FC500 linear <gu> · D0.5``         everything between Flat and the output layer is replaced, and the
                                           output layer too if the head has one
``group D8``                               the group of all group convolutions
=========================================  ===================================================================

What can be named: ``conv``, ``pool``, ``relu``, ``dropout``, ``batch norm``, ``hidden`` (dense layers but the
output), ``output``, ``Flat``, ``Rings``; in the plural or with numbers, which count from 1; ``conv`` and
``dense`` before ``dropout`` and ``batch norm`` mean those before and after Flat. Layers in branches are
reached too, but have no numbers of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from rgbench.errors import SpecError
from rgbench.networks.notation.kinds import Options
from rgbench.networks.notation.layers import (
    Activation,
    BatchNorm,
    Branches,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GroupConv,
    GroupPool,
    Layer,
    MaxPool,
    RingPool,
)
from rgbench.networks.notation.notation import parse_layers

_NAMES: dict[str, Callable[[Layer], bool]] = {
    "conv": lambda layer: isinstance(layer, Conv),
    "pool": lambda layer: isinstance(layer, MaxPool),
    "relu": lambda layer: layer == Activation("relu"),
    "dropout": lambda layer: isinstance(layer, Dropout),
    "batch norm": lambda layer: isinstance(layer, BatchNorm),
    "hidden": lambda layer: isinstance(layer, Dense) and layer.units is not None,
    "output": lambda layer: isinstance(layer, Dense) and layer.units is None,
    "Flat": lambda layer: isinstance(layer, Flatten),
    "Rings": lambda layer: isinstance(layer, RingPool),
}
_SELECTOR = re.compile(rf"(?:(conv|dense) )?({'|'.join(_NAMES)})s?((?: \d+)*)")
_INSERT = re.compile(r"(.+) (after|before) (.+)", re.DOTALL)
_GRAMMAR = (
    "write 'no SELECTOR', 'SELECTOR: WORDS', 'LAYERS after SELECTOR', 'LAYERS before SELECTOR' "
    f"'head: LAYERS' or 'group GROUP'; a selector is one of {', '.join(_NAMES)}, with numbers if wanted"
)


def derive(layers: Sequence[Layer], change: str) -> tuple[Layer, ...]:
    """Change a network as words say.

    Parameters
    ----------
    layers : sequence of Layer
        The base network.
    change : str
        Changes, in the grammar of this module.

    Returns
    -------
    tuple of Layer
        The layers of the variant.

    Raises
    ------
    SpecError
        If a change is not in the grammar, or finds nothing to change.

    Examples
    --------
    >>> from rgbench.networks.notation.notation import to_text
    >>> base = parse_layers("C3x3-8 same relu · D0.25 · Flat · FC64 relu <he> · FC{classes} softmax")
    >>> to_text(derive(base, "no conv dropout, hidden: linear L2(0.01), D0.5 after hidden"))
    'C3x3-8 s1 same relu · Flat · FC64 linear L2(0.01) <he> · D0.5 · FC{classes} softmax <gu>'
    """
    changed = tuple(layers)
    for words in change.split(","):
        before, changed = changed, _change(changed, words.strip())
        if changed == before:
            raise SpecError(f"the change {words.strip()!r} changes nothing")
    return changed


def _change(layers: tuple[Layer, ...], words: str) -> tuple[Layer, ...]:
    """Apply one change."""
    if words.startswith("head:"):
        return _replace_head(layers, parse_layers(words.removeprefix("head:")))
    if words.startswith("group "):
        group = words.removeprefix("group ")
        return tuple(
            replace(layer, group=group) if isinstance(layer, GroupConv | GroupPool) else layer
            for layer in layers
        )
    if words.startswith("no "):
        return _edit(layers, words.removeprefix("no "), lambda layer: ())
    inserted = _INSERT.fullmatch(words)
    if inserted:
        new, after = parse_layers(inserted[1]), inserted[2] == "after"
        return _edit(layers, inserted[3], lambda layer: (layer, *new) if after else (*new, layer))
    selector, colon, options = words.partition(":")
    if not colon:
        raise SpecError(f"the change {words!r} is not understood; {_GRAMMAR}")
    return _edit(layers, selector.strip(), lambda layer: (_modify(layer, options.split()),))


def _edit(
    layers: tuple[Layer, ...], selector: str, edit: Callable[[Layer], tuple[Layer, ...]]
) -> tuple[Layer, ...]:
    """Replace each selected layer by what `edit` makes of it."""
    match = _SELECTOR.fullmatch(selector)
    if match is None:
        raise SpecError(f"{selector!r} names no layers; {_GRAMMAR}")
    part, name, numbers = match[1], match[2], {int(number) for number in match[3].split()}
    edited: list[Layer] = []
    count, flat = 0, False
    for layer in layers:
        if isinstance(layer, Branches) and not numbers:
            inner = tuple(_edit(branch, selector, edit) for branch in layer.branches)
            layer = replace(layer, branches=inner)
        flat = flat or _flattens(layer)
        here = part is None or (part == "dense") == flat
        chosen = here and _NAMES[name](layer)
        count += chosen
        edited += edit(layer) if chosen and (not numbers or count in numbers) else (layer,)
    if numbers and max(numbers) > count:
        raise SpecError(f"{selector!r}: there are {count} of these")
    return tuple(edited)


def _flattens(layer: Layer) -> bool:
    """Tell whether a vector follows on a layer because of a Flat in it."""
    if isinstance(layer, Branches):
        return any(_flattens(inner) for branch in layer.branches for inner in branch)
    return isinstance(layer, Flatten)


def _modify(layer: Layer, words: list[str]) -> Layer:
    """Give a layer with some of its words replaced."""
    options = Options(_join_counts(words))
    if isinstance(layer, Conv):
        filters = options.take(r"(\d+)filters")
        changed: Layer = replace(
            layer,
            filters=int(filters[1]) if filters else layer.filters,
            stride=options.stride(layer.stride),
            padding=_padding(options, layer.padding),
            activation=options.activation(layer.activation),
            l2=options.l2(layer.l2),
            initialiser=options.initialiser(layer.initialiser),
        )
    elif isinstance(layer, Dense):
        units = options.take(r"(\d+)units")
        changed = replace(
            layer,
            units=int(units[1]) if units else layer.units,
            activation=options.activation(layer.activation),
            l2=options.l2(layer.l2),
            initialiser=options.initialiser(layer.initialiser),
            seeded=options.seeded(layer.seeded),
        )
    elif isinstance(layer, Dropout):
        rate = options.take(r"[\d.]+")
        changed = replace(
            layer, rate=float(rate[0]) if rate else layer.rate, seeded=options.seeded(layer.seeded)
        )
    elif isinstance(layer, MaxPool):
        changed = replace(
            layer, stride=options.stride(layer.stride), padding=_padding(options, layer.padding)
        )
    else:
        changed = Activation(options.activation())
    options.done()
    return changed


def _join_counts(words: list[str]) -> list[str]:
    """Join ``500 units`` and ``64 filters`` to one word each."""
    return re.sub(r"(\d+) (filters|units)", r"\1\2", " ".join(words)).split()


def _padding(options: Options, default: str) -> str:
    match = options.take(r"same|valid|pad\d+")
    return match[0] if match else default


def _replace_head(layers: tuple[Layer, ...], head: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Replace what stands between Flat and the output layer; or all after Flat, if the head has an output."""
    flat = next(place for place, layer in enumerate(layers) if isinstance(layer, Flatten))
    if any(_NAMES["output"](layer) for layer in head):
        return (*layers[: flat + 1], *head)
    output = next(place for place, layer in enumerate(layers) if _NAMES["output"](layer))
    return (*layers[: flat + 1], *head, *layers[output:])
