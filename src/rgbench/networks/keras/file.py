"""Keras 2 model files (HDF5): their layers and weights. No code from the file is run.

Such a file holds the architecture as JSON (attribute ``model_config``) and the weights of each layer as
data sets under ``model_weights``. Graphs must be made of branches that start from one layer and meet in one
(`rgbench.networks.notation.layers.Branches`), as those of the 2021 testbed are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError
from rgbench.networks.modules.modules import BATCHNORM_EPSILON
from rgbench.networks.notation.layers import (
    Activation,
    BatchNorm,
    Branches,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    LeakyReLU,
    MaxPool,
)

FloatArray = NDArray[np.float32]
Config = dict[str, Any]
LARGEST_CONFIG = 1 << 24
"""Bytes of JSON that are read at most; the testbed's longest takes 40,000."""
_INITIALISERS = {"HeNormal": "he", "he_normal": "he"}
_MERGES = {"Add": "Add", "Concatenate": "Concat"}


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
    """Read a model that Keras 2 saved with ``model.save("....h5")``.

    Raises
    ------
    DataError
        If it is no such file, or holds a layer that has no counterpart here; the message names the layer.
    """
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            configs = _layer_configs(path, file)
            weights = {
                name: _weights(path, file, name) for name in _names(file["model_weights"], "layer_names")
            }
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: is no Keras 2 model file (HDF5): {error}") from error
    shape = _input_shape(path, configs)
    made = _Graph(path, configs).layers()
    arrays = [
        array for config in configs for array in _complete(path, config, weights.get(config["name"], []))
    ]
    outputs = [layer for layer in made if isinstance(layer, Dense)]
    if not outputs or outputs[-1].units is None:
        raise DataError(f"{path}: the model has no dense layer, so no class outputs")
    return KerasModel(made, (shape[0], shape[1]), shape[2], outputs[-1].units, arrays)


def _layer_configs(path: Path, file: Any) -> list[Config]:
    """Read the layers of the architecture, each with its name and the names of the layers before it."""
    if "model_config" not in file.attrs:
        raise DataError(f"{path}: holds weights but no architecture; name the network that they belong to")
    text = file.attrs["model_config"]
    if len(text) > LARGEST_CONFIG:
        raise DataError(f"{path}: the architecture has {len(text)} bytes; {LARGEST_CONFIG} are read at most")
    try:
        model = json.loads(text)
        layers = model["config"]["layers"] if isinstance(model["config"], dict) else model["config"]
        sequential = model["class_name"] == "Sequential"
        return [
            _layer_config(path, layer, layers[place - 1] if sequential and place else None)
            for place, layer in enumerate(layers)
        ]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{path}: its architecture is not that of a Keras 2 model: {error!r}") from error


def _layer_config(path: Path, layer: Config, before: Config | None) -> Config:
    """Give one layer's class, name, options, and the names of the layers that it takes."""
    nodes = layer.get("inbound_nodes", [])
    if len(nodes) > 1:
        raise DataError(
            f"{path}: layer {layer['config']['name']!r} is used {len(nodes)} times; once is legal"
        )
    inbound = [str(entry[0]) for entry in nodes[0]] if nodes else []
    if before is not None:
        inbound = [before["config"]["name"]]
    options = layer["config"]
    return {"class": layer["class_name"], "name": options["name"], "options": options, "inbound": inbound}


def _names(group: Any, attribute: str) -> list[str]:
    """Read a list of names; long lists are kept in pieces, ``layer_names0``, ``layer_names1`` ..."""
    pieces = [attribute] if attribute in group.attrs else []
    if not pieces:
        pieces = sorted(
            (key for key in group.attrs if key.startswith(attribute)), key=lambda key: (len(key), key)
        )
    return [
        name.decode() if isinstance(name, bytes) else str(name)
        for piece in pieces
        for name in group.attrs[piece]
    ]


def _weights(path: Path, file: Any, layer: str) -> list[FloatArray]:
    """Read the weights of one layer, in its own order."""
    group = file["model_weights"][layer]
    arrays = []
    for name in _names(group, "weight_names"):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{path}: the weights {name!r} of layer {layer!r} are a link to elsewhere")
        arrays.append(np.asarray(group[name], dtype=np.float32))
    return arrays


def _input_shape(path: Path, configs: list[Config]) -> tuple[int, int, int]:
    for config in configs:
        shape = config["options"].get("batch_input_shape") or config["options"].get("batch_shape")
        if shape:
            if len(shape) != 4 or not all(isinstance(side, int) and side > 0 for side in shape[1:]):
                raise DataError(f"{path}: the input's shape {shape} is not (batch, rows, columns, channels)")
            return (shape[1], shape[2], shape[3])
    raise DataError(f"{path}: the architecture does not say the shape of its input")


class _Graph:
    """The layers of a model by name, written as rows of layers and branches."""

    def __init__(self, path: Path, configs: list[Config]) -> None:
        self.path = path
        self.nodes = {config["name"]: config for config in configs}
        self.place = {name: place for place, name in enumerate(self.nodes)}
        self.dominators: dict[str, set[str]] = {}
        for name, node in self.nodes.items():
            above = [self._dominators_of(name, inbound) for inbound in node["inbound"]]
            self.dominators[name] = {name} | (set.intersection(*above) if above else set())
        self.taken: list[str] = []

    def _dominators_of(self, name: str, inbound: str) -> set[str]:
        if inbound not in self.dominators:
            raise DataError(f"{self.path}: layer {name!r} takes {inbound!r}, which does not stand before it")
        return self.dominators[inbound]

    def layers(self) -> tuple[Layer, ...]:
        """Write the whole graph as one row."""
        used = {name for node in self.nodes.values() for name in node["inbound"]}
        ends = [name for name in self.nodes if name not in used]
        if len(ends) != 1:
            raise DataError(
                f"{self.path}: the model ends in {', '.join(ends) or 'nothing'}; one output is legal"
            )
        row = self._row(ends[0], None)
        if sorted(self.taken) != sorted(self.nodes):
            twice = next(name for name in self.nodes if self.taken.count(name) != 1)
            raise DataError(
                f"{self.path}: the graph is not made of branches that start and meet together ({twice!r})"
            )
        return tuple(row)

    def _row(self, name: str, start: str | None) -> list[Layer]:
        """List the layers after `start`, up to and with `name`."""
        row: list[list[Layer]] = []
        while name != start:
            node = self.nodes[name]
            self.taken.append(name)
            if len(node["inbound"]) > 1:
                shared = set.intersection(*(self.dominators[inbound] for inbound in node["inbound"]))
                fork = max(shared, key=lambda each: self.place[each])
                merge = _merge(self.path, node)
                row.append([Branches(merge, tuple(tuple(self._row(each, fork)) for each in node["inbound"]))])
                name = fork
                continue
            row.append(_make(self.path, node))
            if not node["inbound"]:
                break
            name = node["inbound"][0]
        return [layer for part in reversed(row) for layer in part]


def _merge(path: Path, node: Config) -> str:
    if node["class"] not in _MERGES:
        raise _foreign(path, node, "takes several layers")
    if node["class"] == "Concatenate" and node["options"].get("axis", -1) not in (-1, 3):
        raise _foreign(path, node, "joins along another axis than the channels")
    return _MERGES[node["class"]]


def _make(path: Path, node: Config) -> list[Layer]:
    """Make the layer of one node; an input layer makes none."""
    maker = _MAKERS.get(node["class"])
    if maker is None:
        raise _foreign(path, node, "has no counterpart here")
    try:
        return maker(node["options"])
    except (KeyError, TypeError, ValueError, SpecError) as error:
        raise _foreign(path, node, f"cannot be read ({error})") from error


def _foreign(path: Path, node: Config, reason: str) -> DataError:
    legal = ", ".join(sorted([*_MAKERS, *_MERGES]))
    return DataError(
        f"{path}: layer {node['name']!r} ({node['class']}) {reason}; layers that are read: {legal}"
    )


def _conv(options: Config) -> list[Layer]:
    _require(options, data_format="channels_last", groups=1)
    _require({"dilation_rate": list(options.get("dilation_rate", [1, 1]))}, dilation_rate=[1, 1])
    return [
        Conv(
            _pair(options["kernel_size"]),
            int(options["filters"]),
            _pair(options["strides"]),
            str(options["padding"]),
            str(options["activation"]),
            _l2(options),
            _initialiser(options, "gu"),
        )
    ]


def _dense(options: Config) -> list[Layer]:
    initialiser = _initialiser(options, "gu")
    return [Dense(int(options["units"]), str(options["activation"]), _l2(options), initialiser)]


def _pool(options: Config) -> list[Layer]:
    _require(options, data_format="channels_last")
    size = _pair(options["pool_size"])
    return [MaxPool(size, _pair(options["strides"] or size), str(options["padding"]))]


def _batch_norm(options: Config) -> list[Layer]:
    _require(options, epsilon=BATCHNORM_EPSILON)
    return [BatchNorm()]


def _relu(options: Config) -> list[Layer]:
    _require({"max_value": options.get("max_value")}, max_value=None)
    slope = float(options.get("negative_slope") or 0.0)
    return [LeakyReLU(slope) if slope else Activation("relu")]


_MAKERS: dict[str, Callable[[Config], list[Layer]]] = {
    "InputLayer": lambda options: [],
    "Conv2D": _conv,
    "MaxPooling2D": _pool,
    "Dropout": lambda options: [Dropout(float(options["rate"]))],
    "BatchNormalization": _batch_norm,
    "BatchNormalizationV1": _batch_norm,
    "Flatten": lambda options: [Flatten()],
    "GlobalAveragePooling2D": lambda options: [GlobalPool()],
    "Dense": _dense,
    "Activation": lambda options: [Activation(str(options["activation"]))],
    "ReLU": _relu,
    "LeakyReLU": lambda options: [LeakyReLU(_shortest(options.get("alpha", options.get("negative_slope"))))],
    "Softmax": lambda options: [Activation("softmax")],
}


def _complete(path: Path, config: Config, arrays: list[FloatArray]) -> list[FloatArray]:
    """Add what a layer was saved without: zeros for a bias or offset, ones for a scale."""
    options = config["options"]
    if config["class"] in ("Conv2D", "Dense") and not options.get("use_bias", True):
        return [*arrays, np.zeros(arrays[0].shape[-1], dtype=np.float32)]
    if config["class"].startswith("BatchNormalization") and len(arrays) < 4:
        if len(arrays) < 2:
            raise DataError(f"{path}: layer {config['name']!r} lacks its running mean and variance")
        like = arrays[-1]
        scale = [arrays[0]] if options.get("scale", True) else [np.ones_like(like)]
        offset = [arrays[-3]] if options.get("center", True) else [np.zeros_like(like)]
        return [*scale, *offset, *arrays[-2:]]
    return arrays


def _require(options: Config, **wanted: Any) -> None:
    for key, value in wanted.items():
        if options.get(key, value) != value:
            raise ValueError(f"{key} is {options[key]!r}; {value!r} is legal")


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _l2(options: Config) -> float:
    regulariser = options.get("kernel_regularizer")
    if not regulariser:
        return 0.0
    if float(regulariser["config"].get("l1", 0.0)):
        raise ValueError("an L1 term is not supported")
    return _shortest(regulariser["config"]["l2"])


def _shortest(value: Any) -> float:
    """Give a float32 that the file writes out in full, 0.009999999776482582, as it was meant, 0.01."""
    return float(np.format_float_positional(np.float32(value)))


def _initialiser(options: Config, default: str) -> str:
    initialiser = options.get("kernel_initializer") or {}
    return _INITIALISERS.get(str(initialiser.get("class_name")), default)


def unseeded(layer: Layer) -> Layer:
    """Give a layer without what a model file does not tell, whether the original gave it a seed."""
    if isinstance(layer, Branches):
        return replace(layer, branches=tuple(tuple(map(unseeded, branch)) for branch in layer.branches))
    if isinstance(layer, Conv | Dense | Dropout):
        return replace(layer, seeded=True)
    return layer
