"""The options of Keras' layers: each is obeyed, known to change no output, or refused.

A maker takes the options that it understands from an `Options`; what is left and is not in `WITHOUT_EFFECT` is
refused by `Options.done`, so that no option is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from rgbench.errors import shown
from rgbench.networks.modules.modules import BATCHNORM_EPSILON
from rgbench.networks.notation.layers import (
    ACTIVATIONS,
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    LeakyReLU,
    MaxPool,
)
from rgbench.networks.notation.wording import LARGEST_NUMBER

Config = dict[str, Any]
_TRAINING = "is used in training only"
WITHOUT_EFFECT: Mapping[str, str] = MappingProxyType(
    {
        "name": "is only the layer's name",
        "fused": "says how the same numbers are computed",
        "batch_input_shape": "is read from the first layer",
        **dict.fromkeys(
            (
                *("trainable", "seed", "noise_shape", "momentum", "renorm_clipping", "renorm_momentum"),
                *(
                    "synchronized",
                    "lora_alpha",
                    "bias_initializer",
                    "bias_regularizer",
                    "activity_regularizer",
                ),
                *("kernel_constraint", "bias_constraint", "beta_constraint", "gamma_constraint"),
                *("beta_initializer", "gamma_initializer", "beta_regularizer", "gamma_regularizer"),
                *("moving_mean_initializer", "moving_variance_initializer"),
            ),
            _TRAINING,
        ),
    }
)
"""Options that change no output of a trained model, and why."""
_INITIALISERS = {"HeNormal": "he", "he_normal": "he"}


class Options:
    """The options of one layer, taken away as they are understood; a wrong one raises `ValueError`."""

    def __init__(self, config: Config, rank: int) -> None:
        self._left = dict(config)
        self.rank = rank
        """Axes of what the layer takes, that of the batch among them: 4 for maps, 2 for vectors."""
        self.only("dtype", *_FLOAT32)

    def take(self, key: str, default: Any = ...) -> Any:
        """Take an option; without a default it must be there."""
        if key not in self._left and default is ...:
            raise ValueError(f"option {key!r} is missing")
        return self._left.pop(key, default)

    def has(self, key: str) -> bool:
        """Tell whether an option is given, and not taken yet."""
        return key in self._left

    def only(self, key: str, *legal: Any) -> None:
        """Take an option that must have one of these values, where it is given."""
        value = self._left.pop(key, legal[0])
        found = _typed(value)
        if found not in map(_typed, legal):
            names = " or ".join(map(repr, legal))
            raise ValueError(f"option {key!r} is {shown(found[1])}; {names} is legal")

    def flag(self, key: str, default: bool) -> bool:
        """Take true or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise ValueError(f"option {key!r} is {shown(value)}; true or false is legal")
        return value

    def whole(self, key: str) -> int:
        """Take a number of things."""
        return _whole(key, self.take(key))

    def pair(self, key: str, default: Any = ...) -> tuple[int, int]:
        """Take (rows, columns), or one number for both."""
        value = self.take(key, default)
        value = default if value is None and default is not ... else value
        both = [value, value] if isinstance(value, int) else value
        if not isinstance(both, list | tuple) or len(both) != 2:
            raise ValueError(f"option {key!r} is {shown(value)}; one whole number or two are legal")
        return _whole(key, both[0]), _whole(key, both[1])

    def number(self, key: str, default: Any = ...) -> float:
        """Take a number that is not negative, as it was meant: 0.01 where the file says 0.009999999776482582."""
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST_NUMBER:
            raise ValueError(
                f"option {key!r} is {shown(value)}; a number from 0 to {LARGEST_NUMBER:,} is legal"
            )
        return shortest(value)

    def channels(self, key: str = "axis") -> None:
        """Take an axis that must be the last one."""
        value = self.take(key, -1)
        last = self.rank - 1
        if [value] not in ([-1], [last]) and value not in ([-1], [last]):
            raise ValueError(f"option {key!r} is {shown(value)}; {last}, the axis of the channels, is legal")

    def done(self) -> None:
        """Refuse what is left."""
        for key, value in self._left.items():
            if key not in WITHOUT_EFFECT:
                raise ValueError(f"option {key!r} is {shown(value)}, and is not known; leave it out")


_FLOAT32 = ("float32", None)


def _typed(value: Any) -> tuple[type, Any]:
    """Give an option with its type (1 is not True), and a policy of numbers by its name."""
    if isinstance(value, dict) and value.get("class_name") in ("Policy", "DTypePolicy"):
        inner = value.get("config")
        value = inner.get("name") if isinstance(inner, dict) else value
    return type(value), value


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_NUMBER:
        raise ValueError(
            f"option {key!r} is {shown(value)}; a whole number from 1 to {LARGEST_NUMBER:,} is legal"
        )
    return value


def shortest(value: float) -> float:
    """Give a float32 that the file writes out in full, 0.009999999776482582, as it was meant, 0.01."""
    return float(np.format_float_positional(np.float32(value)))


def make_layers(kind: str, config: Config, rank: int) -> list[Layer]:
    """Make the layers of one layer of Keras: none of an input, two of one with an activation that has a slope.

    Parameters
    ----------
    kind : str
        Keras' class, one of `LAYERS`.
    config : dict
        Its options.
    rank : int
        Axes of what it takes: 4 for maps (batch, rows, columns, channels), 2 for vectors.

    Raises
    ------
    ValueError
        If an option is not legal; the message names it, its value and what is legal.
    SpecError
        If the layer cannot be made with these values.

    Examples
    --------
    >>> make_layers("ReLU", {"negative_slope": 0.3}, 4)
    [LeakyReLU(slope=0.3)]
    """
    options = Options(config, rank)
    layers = LAYERS[kind](options)
    options.done()
    return layers


def check_merge(kind: str, config: Config, rank: int) -> str:
    """Give the word of the notation for a layer that takes several; errors as in `make_layers`."""
    options = Options(config, rank)
    if kind == "Concatenate":
        options.channels()
    options.done()
    return MERGES[kind]


def _input(options: Options) -> list[Layer]:
    for key in ("sparse", "ragged", "optional"):
        options.only(key, False, None)
    options.take("batch_shape", None)
    return []


def _window(options: Options) -> str:
    options.only("data_format", "channels_last")
    padding = options.take("padding", "valid")
    if padding not in ("same", "valid"):
        raise ValueError(f"option 'padding' is {shown(padding)}; 'same' or 'valid' is legal")
    return str(padding)


def _conv(options: Options) -> list[Layer]:
    options.flag("use_bias", True)
    options.only("lora_rank", None)
    padding = _window(options)
    options.only("groups", 1)
    options.only("dilation_rate", [1, 1], 1)
    size, filters = options.pair("kernel_size"), options.whole("filters")
    stride = options.pair("strides", [1, 1])
    function, after = _activation(options)
    return [
        Conv(size, filters, stride, padding, function, _l2(options), _kernel_initialiser(options)),
        *after,
    ]


def _dense(options: Options) -> list[Layer]:
    options.flag("use_bias", True)
    options.only("lora_rank", None)
    options.only("quantization_config", None)
    function, after = _activation(options)
    return [
        Dense(options.whole("units"), function, _l2(options), _kernel_initialiser(options)),
        *after,
    ]


def _activation(options: Options) -> tuple[str, list[Layer]]:
    """Take an activation: a word of the notation, and a layer to follow where it is an object with options."""
    value = options.take("activation", "linear")
    if isinstance(value, dict) and value.get("class_name") == "function":
        check_origin(value)
        value = value.get("config")
    if value is None:
        return "linear", []
    if isinstance(value, str) and value in ACTIVATIONS:
        return value, []
    if isinstance(value, str) and value in _AS_LAYER:
        return "linear", [LeakyReLU(_AS_LAYER[value])]
    if isinstance(value, dict) and value.get("class_name") in ("ReLU", "LeakyReLU", "Softmax"):
        check_origin(value)
        return "linear", make_layers(value["class_name"], dict(value["config"]), options.rank)
    legal = ", ".join((*ACTIVATIONS, "leaky_relu", "or an object ReLU, LeakyReLU or Softmax"))
    raise ValueError(f"option 'activation' is {shown(value)}; legal are {legal}")


_AS_LAYER = {"leaky_relu": 0.2}
"""Activations by name that are layers here, and their slope: Keras' ``leaky_relu`` has 0.2, its layer 0.3."""


def check_origin(layer: Config) -> None:
    """Refuse a class of somebody's own that has the name of one of Keras'."""
    module, registered = layer.get("module"), layer.get("registered_name")
    known = module is None or str(module).split(".")[0] in ("keras", "tf_keras", "tensorflow", "builtins")
    if not known or registered not in (None, layer["class_name"], layer.get("config")):
        raise ValueError(f"its class is {shown(registered or module)}, which is not Keras' own")


def _pool(options: Options) -> list[Layer]:
    padding = _window(options)
    size = options.pair("pool_size")
    return [MaxPool(size, options.pair("strides", size), padding)]


def _batch_norm(options: Options) -> list[Layer]:
    options.channels()
    epsilon = options.number("epsilon", BATCHNORM_EPSILON)
    if epsilon != BATCHNORM_EPSILON:
        raise ValueError(f"option 'epsilon' is {epsilon!r}; {BATCHNORM_EPSILON!r} is legal")
    options.flag("center", True)
    options.flag("scale", True)
    options.only("renorm", False)
    options.only("virtual_batch_size", None)
    options.only("adjustment", None)
    return [BatchNorm()]


def _flatten(options: Options) -> list[Layer]:
    options.only("data_format", "channels_last")
    return [Flatten()]


def _global_pool(options: Options) -> list[Layer]:
    options.only("data_format", "channels_last")
    options.only("keepdims", False)
    return [GlobalPool()]


def _dropout(options: Options) -> list[Layer]:
    return [Dropout(options.number("rate"))]


def _activation_layer(options: Options) -> list[Layer]:
    function, after = _activation(options)
    return after or [Activation(function)]


def _relu(options: Options) -> list[Layer]:
    options.only("max_value", None)
    options.only("threshold", 0.0, 0, None)
    slope = options.number("negative_slope", 0.0)
    return [LeakyReLU(slope) if slope else Activation("relu")]


def _leaky_relu(options: Options) -> list[Layer]:
    # Keras 2 calls it alpha, Keras 3 negative_slope.
    key = "negative_slope" if options.has("negative_slope") else "alpha"
    return [LeakyReLU(options.number(key))]


def _softmax(options: Options) -> list[Layer]:
    options.channels()
    return [Activation("softmax")]


LAYERS: Mapping[str, Callable[[Options], list[Layer]]] = MappingProxyType(
    {
        "InputLayer": _input,
        "Conv2D": _conv,
        "MaxPooling2D": _pool,
        "Dropout": _dropout,
        "BatchNormalization": _batch_norm,
        "BatchNormalizationV1": _batch_norm,
        "Flatten": _flatten,
        "GlobalAveragePooling2D": _global_pool,
        "Dense": _dense,
        "Activation": _activation_layer,
        "ReLU": _relu,
        "LeakyReLU": _leaky_relu,
        "Softmax": _softmax,
    }
)
"""Keras' classes that are read, and what makes their layers."""
MERGES: Mapping[str, str] = MappingProxyType({"Add": "Add", "Concatenate": "Concat"})
"""Keras' classes that take several layers, and their words in the notation."""


def _l2(options: Options) -> float:
    regulariser = options.take("kernel_regularizer", None)
    if regulariser is None:
        return 0.0
    terms = regulariser.get("config") if isinstance(regulariser, dict) else None
    if not isinstance(terms, dict) or not set(terms) <= {"l1", "l2"}:
        raise ValueError(f"option 'kernel_regularizer' is {shown(regulariser)}; L2 is legal")
    inner = Options(terms, options.rank)
    if inner.number("l1", 0.0):
        raise ValueError(
            f"option 'kernel_regularizer' is {shown(regulariser)}: an L1 term is not supported; L2 is legal"
        )
    return inner.number("l2", 0.0)


def _kernel_initialiser(options: Options) -> str:
    """Give the initialiser, which matters only to a network that is trained anew; Glorot uniform for all others."""
    initialiser = options.take("kernel_initializer", None)
    name = initialiser.get("class_name") if isinstance(initialiser, dict) else initialiser
    return _INITIALISERS.get(str(name), "gu")
