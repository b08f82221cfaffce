"""The order in which Keras lists the layers of a graph, and with them the weights of a model."""

from __future__ import annotations

from collections.abc import Sequence

from rgbench.networks.notation.layers import Branches, Layer

Place = tuple[int, ...]
"""Where a layer stands, from 0: ``(2,)``, or ``(2, 1, 0)`` for the first layer of the second branch of layer 2."""


def keras_order(layers: Sequence[Layer]) -> list[Place]:
    """List the places of all layers, deepest first: depth is the distance from the output.

    Examples
    --------
    >>> from rgbench.networks.notation.notation import parse_layers
    >>> keras_order(parse_layers("relu; Add[= | BN; relu]; Flat"))
    [(0,), (1, 1, 0), (1, 1, 1), (1,), (2,)]
    """
    nodes, _ = _depths(layers, 0, ())
    return [place for _, place in sorted(nodes, key=lambda node: -node[0])]


def _depths(layers: Sequence[Layer], depth: int, above: Place) -> tuple[list[tuple[int, Place]], int]:
    """List (depth, place) from the output back to the input, and give the depth before the input."""
    nodes: list[tuple[int, Place]] = []
    for number, layer in reversed(list(enumerate(layers))):
        nodes.append((depth, (*above, number)))
        depth += 1
        if isinstance(layer, Branches):
            ends = [depth]
            for letter, inner in enumerate(layer.branches):
                found, end = _depths(inner, depth, (*above, number, letter))
                nodes += found
                ends.append(end)
            depth = max(ends)
    return nodes, depth


def position(place: Place) -> str:
    """Write a place for people, from 1: ``3b2`` is the second layer of branch b of layer 3.

    Examples
    --------
    >>> position((2,)), position((2, 1, 0)), position((0, 26, 1))
    ('3', '3b1', '1(27)2')
    """
    return "".join(letter(part) if step % 2 else str(part + 1) for step, part in enumerate(place))


def letter(branch: int) -> str:
    """Write the number of a branch, from 0: a to z, then (27), (28) ...

    Examples
    --------
    >>> letter(1), letter(26)
    ('b', '(27)')
    """
    return chr(ord("a") + branch) if branch < 26 else f"({branch + 1})"
