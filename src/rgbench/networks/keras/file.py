"""Model files of Keras 2 and 3 (.h5, .keras): their layers and weights. No code from the file is run.

`rgbench.networks.keras.contents` reads the file, `rgbench.networks.keras.graph` its layers, and
`rgbench.networks.keras.options` the options of each.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rgbench.errors import DataError, SpecError, shown
from rgbench.networks.keras.contents import Contents, FloatArray, read_contents
from rgbench.networks.keras.graph import Graph, Node, Row, check_ends, read_nodes
from rgbench.networks.notation.analysis import analyse, check_outputs, split_output
from rgbench.networks.notation.layers import Branches, Conv, Dense, Dropout, Layer
from rgbench.networks.notation.notation import parse_layers, to_text
from rgbench.networks.notation.order import Place, keras_order
from rgbench.networks.notation.wording import LARGEST_NUMBER


@dataclass(frozen=True)
class KerasModel:
    """What a model file holds.

    Attributes
    ----------
    layers : tuple of Layer
        The layers, output activation included.
    image_size : (int, int)
        Rows and columns of its images.
    channels, n_classes : int
        Channels of its images, and length of its output.
    arrays : list of ndarray
        The weights in Keras' order and layout, for `rgbench.networks.keras.weights.load_keras_weights`.
    """

    layers: tuple[Layer, ...]
    image_size: tuple[int, int]
    channels: int
    n_classes: int
    arrays: list[FloatArray]


def read_keras_file(path: Path | str) -> KerasModel:
    """Read a model that Keras saved with ``model.save``: ``....h5`` of Keras 2 or 3, ``....keras`` of Keras 3.

    Raises
    ------
    DataError
        If it is no such file, is damaged, or holds a layer or an option that has no counterpart here; the message
        names the file, the layer and the option.
    """
    path = Path(path)
    try:
        return _understand(read_contents(path))
    except RecursionError:
        raise DataError(f"{path}: its architecture is nested too deeply") from None
    except (LookupError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise DataError(
            f"{path}: its architecture is not that of a Keras model: {type(error).__name__} {shown(str(error))}"
        ) from error
    except (ValueError, SpecError) as error:
        raise DataError(f"{path}: {error}") from error


def _understand(contents: Contents) -> KerasModel:
    """Make layers and arrays of a file's contents; other exceptions than ours tell that they are of another form."""
    _check_origin(contents)
    model = json.loads(contents.architecture)
    nodes = read_nodes(model)
    image_size, channels = _input_shape(model, nodes[0])
    graph = Graph(nodes)
    check_ends(model, nodes)
    row = graph.row()
    # The store keeps the layers as text.
    parse_layers(to_text(row.layers))
    n_classes = _outputs(row.layers, image_size, channels)
    arrays = _arrays(row, _by_name(contents, nodes))
    return KerasModel(row.layers, image_size, channels, n_classes, arrays)


def _check_origin(contents: Contents) -> None:
    """Refuse files of Keras 1, and of Theano, whose kernels are mirrored."""
    if contents.version.startswith(("0.", "1.")):
        raise ValueError(f"was written by Keras {contents.version}; Keras 2 and 3 are legal")
    if contents.backend == "theano":
        raise ValueError(
            "was written with the backend 'theano', whose kernels are mirrored; tensorflow is legal"
        )


def _input_shape(model: Any, first: Node) -> tuple[tuple[int, int], int]:
    """Give (rows, columns) and the number of channels of the images."""
    shape = first.options.get("batch_input_shape") or first.options.get("batch_shape")
    if not shape and isinstance(model["config"], dict):
        shape = model["config"].get("build_input_shape")
    if not shape:
        raise ValueError("the architecture does not say the shape of its input")
    if (
        not isinstance(shape, list)
        or len(shape) != 4
        or not all(type(side) is int and 0 < side <= LARGEST_NUMBER for side in shape[1:])
    ):
        raise ValueError(f"the input's shape {shown(shape)} is not (batch, rows, columns, channels)")
    return (shape[1], shape[2]), shape[3]


def _outputs(layers: tuple[Layer, ...], image_size: tuple[int, int], channels: int) -> int:
    """Count the class outputs; raise `SpecError` if the layers do not fit together, or end in none."""
    outputs = [layer for layer in layers if isinstance(layer, Dense)]
    if not outputs or outputs[-1].units is None:
        raise ValueError("the model has no dense layer, so no class outputs")
    split_output(layers)
    facts = analyse(layers, image_size, outputs[-1].units, channels).layers
    check_outputs(facts[-1].output_shape, facts[-1].text, outputs[-1].units)
    return outputs[-1].units


def _by_name(contents: Contents, nodes: list[Node]) -> dict[str, list[tuple[str, FloatArray]]]:
    """Give the weights of each layer by its name; refuse weights of which the architecture does not know."""
    names = {node.name: node.name for node in nodes}
    if contents.by_class:
        names = dict(_names_by_class(nodes))
    for layer, found in contents.weights.items():
        if found and layer not in names.values():
            raise ValueError(f"holds weights of {shown(layer)}, which is no layer of its architecture")
    return {name: contents.weights.get(stored, []) for name, stored in names.items()}


def _names_by_class(nodes: list[Node]) -> Iterator[tuple[str, str]]:
    """Give each layer's name and the one of its class and number, under which a .keras file has its weights."""
    before: Counter[str] = Counter()
    for node in nodes:
        stem = _SNAKE.get(node.kind, node.kind)
        yield node.name, f"{stem}_{before[stem]}" if before[stem] else stem
        before[stem] += 1


_SNAKE = {"Conv2D": "conv2d", "Dense": "dense", "BatchNormalization": "batch_normalization"}
"""What a .keras file calls the classes that have weights."""


def _arrays(row: Row, weights: dict[str, list[tuple[str, FloatArray]]]) -> list[FloatArray]:
    """List the weights in Keras' order; what a layer was saved without is added, zeros for a bias, ones for a scale."""
    arrays: list[FloatArray] = []
    known: set[str] = set()
    for place in keras_order(row.layers):
        node = _source(row, place)
        if isinstance(node, Node) and node.name not in known:
            known.add(node.name)
            arrays += _complete(node, weights[node.name])
    return arrays


def _source(row: Row, place: Place) -> Node | tuple[Row, ...]:
    """Give the layer of Keras at a place of the row."""
    source = row.sources[place[0]]
    if len(place) > 1 and isinstance(source, tuple):
        return _source(source[place[1]], place[2:])
    return source


_PARTS = {
    "Conv2D": {"kernel": "", "bias": "use_bias"},
    "Dense": {"kernel": "", "bias": "use_bias"},
    "BatchNormalization": {"gamma": "scale", "beta": "center", "moving_mean": "", "moving_variance": ""},
}
"""The weights of a layer in their order, and the option without which each is left out."""


def _complete(node: Node, found: list[tuple[str, FloatArray]]) -> list[FloatArray]:
    """Give all weights of a layer, those that it was saved without among them."""
    parts = _PARTS.get(node.kind.removesuffix("V1"), {})
    there = [part for part, option in parts.items() if not option or node.options.get(option, True)]
    names = [name for name, _ in found]
    # An array of a .keras file has a number for its name.
    short = [name.rpartition("/")[2].partition(":")[0] for name in names]
    if len(found) != len(there) or any(
        not name.isdecimal() and name != part for name, part in zip(short, there, strict=True)
    ):
        raise ValueError(
            f"layer {node.name!r} ({node.kind}) has the weights {shown(names)}; "
            f"{', '.join(there) or 'none'} is legal"
        )
    given = {part: array for part, (_, array) in zip(there, found, strict=True)}
    length = found[-1][1].shape[-1] if found and found[-1][1].ndim else 0
    fill = {"gamma": np.ones, "bias": np.zeros, "beta": np.zeros}
    return [given[part] if part in given else fill[part](length, dtype=np.float32) for part in parts]


def unseeded(layer: Layer) -> Layer:
    """Give a layer without what a model file does not tell, whether the original gave it a seed."""
    if isinstance(layer, Branches):
        return replace(layer, branches=tuple(tuple(map(unseeded, branch)) for branch in layer.branches))
    if isinstance(layer, Conv | Dense | Dropout):
        return replace(layer, seeded=True)
    return layer
