"""The graph of a Keras model, written as rows of layers and branches.

Graphs must be made of branches that start from one layer and meet in one
(`rgbench.networks.notation.layers.Branches`), as those of the 2021 testbed are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rgbench.errors import SpecError, shown
from rgbench.networks.keras.contents import MOST_LAYERS
from rgbench.networks.keras.options import (
    LAYERS,
    MERGES,
    Config,
    Options,
    check_merge,
    check_origin,
    make_layers,
)
from rgbench.networks.notation.layers import Branches, Layer

_LAYER_KEYS = (
    *("class_name", "config", "name", "inbound_nodes"),
    *("module", "registered_name", "build_config", "compile_config"),
)
_MODELS = ("Sequential", "Functional", "Model")
_MODEL_KEYS = ("name", "trainable", "layers", "input_layers", "output_layers", "build_input_shape", "dtype")


@dataclass(frozen=True)
class Node:
    """One layer of a model, and the names of the layers whose outputs it takes."""

    name: str
    kind: str
    options: Config
    inbound: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """Layers one after the other; beside each its node, or for branches their rows."""

    layers: tuple[Layer, ...]
    sources: tuple[Node | tuple[Row, ...], ...]


def read_nodes(model: Any) -> list[Node]:
    """List the layers of an architecture.

    Raises
    ------
    ValueError
        If it is not that of a Keras model of one input and one output; the message names the layer.
    """
    kind = model["class_name"]
    if kind not in _MODELS or model.get("registered_name") not in (None, kind):
        raise ValueError(f"the model is a {shown(kind)}; legal are {', '.join(_MODELS)}")
    config = model["config"] if isinstance(model["config"], dict) else {"layers": model["config"]}
    _refuse_others("the model", config, _MODEL_KEYS)
    Options({"dtype": config.get("dtype", "float32")}, 4)
    layers = config["layers"]
    if not isinstance(layers, list) or not 1 <= len(layers) <= MOST_LAYERS:
        raise ValueError(f"the model has no list of 1 to {MOST_LAYERS} layers")
    nodes: list[Node] = []
    for layer in layers:
        before = (nodes[-1].name,) if nodes else ()
        nodes.append(_node(layer, before if kind == "Sequential" else None))
    names = [node.name for node in nodes]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"two layers are named {shown(twice[0])}")
    return nodes


def _node(layer: Any, before: tuple[str, ...] | None) -> Node:
    """Read one layer; `before` names what it takes in a sequential model."""
    options = layer["config"]
    name = options.get("name", layer.get("name"))
    if not isinstance(name, str) or not isinstance(layer["class_name"], str):
        raise ValueError(
            f"a layer is named {shown(name)}, of class {shown(layer['class_name'])}; texts are legal"
        )
    if layer["class_name"] not in (*LAYERS, *MERGES):
        raise _foreign(name, layer["class_name"], "has no counterpart here")
    _refuse_others(f"layer {name!r}", layer, _LAYER_KEYS)
    try:
        check_origin(layer)
    except ValueError as error:
        raise ValueError(f"layer {name!r}: {error}") from None
    if before is not None:
        return Node(name, layer["class_name"], options, before)
    nodes = layer.get("inbound_nodes", [])
    if len(nodes) > 1:
        raise ValueError(f"layer {name!r} is used {len(nodes)} times; once is legal")
    return Node(name, layer["class_name"], options, _inbound(name, nodes[0]) if nodes else ())


def _refuse_others(where: str, config: Config, known: tuple[str, ...]) -> None:
    for key, value in config.items():
        if key not in known:
            raise ValueError(f"{where}: key {key!r} is {shown(value)}, and is not known; leave it out")


def _inbound(name: str, node: Any) -> tuple[str, ...]:
    """Name the layers that one layer takes, as Keras 2 (lists) or Keras 3 (a call with its arguments) writes it."""
    if isinstance(node, dict):
        _check_call(name, node["kwargs"])
        if len(node["args"]) != 1:
            raise ValueError(f"layer {name!r} is called with {len(node['args'])} arguments; one is legal")
        found = node["args"][0]
        tensors = found if isinstance(found, list) else [found]
        entries = [tensor["config"]["keras_history"] for tensor in tensors]
    else:
        entries = node
        for entry in entries:
            _check_call(name, entry[3] if len(entry) > 3 else {})
    return tuple(_source(name, entry) for entry in entries)


def _check_call(name: str, arguments: Config) -> None:
    """Refuse a call that says more than which layers are taken: dropout in use, for one."""
    for key, value in arguments.items():
        if value not in {"training": (None, False), "mask": (None,)}.get(key, ()):
            raise ValueError(
                f"layer {name!r} is called with {shown(key)} = {shown(value)}; calls without it are legal"
            )


def _source(name: str, entry: Any) -> str:
    """Name one layer that is taken, at its first call and of its only output."""
    if entry[1:3] != [0, 0]:
        raise ValueError(
            f"layer {name!r} takes output {shown(entry[1:3])} of {shown(entry[0])}; [0, 0] is legal"
        )
    return str(entry[0])


def check_ends(model: Any, nodes: list[Node]) -> None:
    """Raise `ValueError` if a model has several inputs or outputs, or another output than it says."""
    config = model["config"] if isinstance(model["config"], dict) else {}
    inputs = [node.name for node in nodes if not node.inbound]
    used = {name for node in nodes for name in node.inbound}
    outputs = [node.name for node in nodes if node.name not in used]
    for what, names, key in (("starts", inputs, "input_layers"), ("ends", outputs, "output_layers")):
        if len(names) != 1:
            verb = "one input" if key == "input_layers" else "one output"
            raise ValueError(
                f"the model {what} in {', '.join(map(repr, names)) or 'nothing'}; {verb} is legal"
            )
        told = config.get(key, [[names[0], 0, 0]])
        if told not in ([[names[0], 0, 0]], [names[0], 0, 0]):
            raise ValueError(
                f"{key} is {shown(told)}; [[{names[0]!r}, 0, 0]] is legal, where the model {what}"
            )


class Graph:
    """The layers of a model by name; `ValueError` names the layer that cannot be read."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.place = {name: place for place, name in enumerate(self.nodes)}
        self.dominators: dict[str, set[str]] = {}
        self.rank: dict[str, int] = {}
        for node in nodes:
            above = [self._dominators_of(node.name, inbound) for inbound in node.inbound]
            self.dominators[node.name] = {node.name} | (set.intersection(*above) if above else set())
            before = self.rank[node.inbound[0]] if node.inbound else 4
            self.rank[node.name] = 2 if node.kind in _TO_VECTORS else before
        self.taken: set[str] = set()

    def _dominators_of(self, name: str, inbound: str) -> set[str]:
        if inbound not in self.dominators:
            raise ValueError(f"layer {name!r} takes {inbound!r}, which does not stand before it")
        return self.dominators[inbound]

    def row(self) -> Row:
        """Write the whole graph as one row."""
        # A list in order ends in the layer that no other takes.
        used = {name for node in self.nodes.values() for name in node.inbound}
        end = next(name for name in self.nodes if name not in used)
        row = self._row(end, None)
        left = [name for name in self.nodes if name not in self.taken]
        if left:
            raise ValueError(_NOT_BRANCHES.format(left[0]))
        return row

    def _row(self, name: str, start: str | None) -> Row:
        """Write the layers after `start`, up to and with `name`."""
        parts: list[tuple[Layer, Node | tuple[Row, ...]]] = []
        while name != start:
            node = self.nodes[name]
            if name in self.taken:
                raise ValueError(_NOT_BRANCHES.format(name))
            self.taken.add(name)
            if len(node.inbound) > 1:
                shared = set.intersection(*(self.dominators[inbound] for inbound in node.inbound))
                fork = max(shared, key=lambda each: self.place[each])
                rows = tuple(self._row(each, fork) for each in node.inbound)
                parts.append((Branches(self._merge(node), tuple(row.layers for row in rows)), rows))
                name = fork
                continue
            parts += [(layer, node) for layer in reversed(self._make(node))]
            if not node.inbound:
                break
            name = node.inbound[0]
        parts.reverse()
        return Row(tuple(layer for layer, _ in parts), tuple(source for _, source in parts))

    def _make(self, node: Node) -> list[Layer]:
        if node.kind in MERGES:
            raise ValueError(f"layer {node.name!r} ({node.kind}) takes one layer; two or more are legal")
        before = self.rank[node.inbound[0]] if node.inbound else 4
        try:
            return make_layers(node.kind, node.options, before)
        except (ValueError, SpecError) as error:
            raise ValueError(f"layer {node.name!r} ({node.kind}): {error}") from error

    def _merge(self, node: Node) -> str:
        if node.kind not in MERGES:
            raise _foreign(node.name, node.kind, "takes several layers")
        try:
            return check_merge(node.kind, node.options, self.rank[node.inbound[0]])
        except ValueError as error:
            raise ValueError(f"layer {node.name!r} ({node.kind}): {error}") from error


_TO_VECTORS = ("Flatten", "GlobalAveragePooling2D", "Dense")
_NOT_BRANCHES = "the graph is not made of branches that start and meet together ({!r})"


def _foreign(name: str, kind: str, reason: str) -> ValueError:
    legal = ", ".join(sorted([*LAYERS, *MERGES]))
    return ValueError(f"layer {name!r} ({kind}) {reason}; layers that are read: {legal}")
