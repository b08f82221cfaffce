"""Every option of a Keras layer is obeyed or refused by name: files of Keras 2 and 3, and architectures of all kinds.

The files in ``keras/small_files.zip`` come from ``keras/make_small_files.py``, with what Keras itself predicts.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.errors import DataError, RgbenchError, SpecError
from rgbench.networks.keras import file
from rgbench.networks.keras.contents import Contents, read_here
from rgbench.networks.keras.file import KerasModel, read_keras_file
from rgbench.networks.keras.options import LAYERS, WITHOUT_EFFECT, make_layers
from rgbench.networks.keras.weights import load_keras_weights
from rgbench.networks.modules.build import build_layers
from rgbench.networks.notation.layers import LeakyReLU
from rgbench.networks.notation.notation import parse_layers, to_text

SMALL = Path(__file__).parent / "keras" / "small_files.zip"
NAMES = sorted(name for name in zipfile.ZipFile(SMALL).namelist() if not name.endswith("npz"))


def _outputs(model: KerasModel, images: Any) -> Any:
    """Compute class outputs of images (n, rows, columns, channels)."""
    network = build_layers(model.layers, model.image_size, model.n_classes, model.channels).eval()
    load_keras_weights(network, model.arrays)
    with torch.inference_mode():
        return network.activate(network(torch.from_numpy(images).permute(0, 3, 1, 2))).numpy()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files in this process, which is fast."""
    monkeypatch.setattr(file, "read_contents", read_here)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", NAMES)
def test_small_files_give_what_keras_predicts(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(SMALL) as archive:
        path = Path(archive.extract(name, tmp_path))
        golden = np.load(io.BytesIO(archive.read(f"{path.stem}.npz")))
    outputs = _outputs(read_keras_file(path), golden["images"])
    # Processors sum in another order: 1.02e-6 was seen. An option that is not obeyed changes the third digit.
    np.testing.assert_allclose(outputs, golden["outputs"], rtol=0, atol=5e-6)


CONV = {"filters": 2, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same"}
DENSE = {"units": 3}
POOL = {"pool_size": [2, 2], "strides": None, "padding": "valid"}
REFUSED = [
    ("Conv2D", CONV, "dilation_rate", [2, 1]),
    ("Conv2D", CONV, "groups", 2),
    ("Conv2D", CONV, "groups", True),
    ("Conv2D", CONV, "data_format", "channels_first"),
    ("Conv2D", CONV, "padding", "causal"),
    ("Conv2D", CONV, "padding", "pad1"),
    ("Conv2D", CONV, "kernel_size", [3, 3, 3]),
    ("Conv2D", CONV, "kernel_size", [3, "3"]),
    ("Conv2D", CONV, "strides", [0, 1]),
    ("Conv2D", CONV, "filters", 2.5),
    ("Conv2D", CONV, "filters", 10**30),
    ("Conv2D", CONV, "use_bias", "no"),
    ("Conv2D", CONV, "activation", "tanh"),
    ("Conv2D", CONV, "activation", {"class_name": "PReLU", "config": {}}),
    ("Conv2D", CONV, "lora_rank", 4),
    ("Conv2D", CONV, "dtype", "float16"),
    ("Conv2D", CONV, "dtype", {"class_name": "Policy", "config": {"name": "mixed_float16"}}),
    ("Conv2D", CONV, "kernel_regularizer", {"class_name": "L1", "config": {"l1": 0.1}}),
    ("Conv2D", CONV, "kernel_regularizer", {"class_name": "Own", "config": {"how": 3}}),
    ("MaxPooling2D", POOL, "data_format", "channels_first"),
    ("MaxPooling2D", POOL, "padding", "full"),
    ("MaxPooling2D", POOL, "pool_size", [2]),
    ("BatchNormalization", {}, "axis", [1]),
    ("BatchNormalization", {}, "axis", [3, 1]),
    ("BatchNormalization", {}, "epsilon", 1e-5),
    ("BatchNormalization", {}, "scale", None),
    ("BatchNormalization", {}, "renorm", True),
    ("BatchNormalization", {}, "virtual_batch_size", 4),
    ("Dense", DENSE, "units", 0),
    ("Dense", DENSE, "activation", "selu"),
    ("Dense", DENSE, "quantization_config", {"mode": "int8"}),
    ("Flatten", {}, "data_format", "channels_first"),
    ("GlobalAveragePooling2D", {}, "keepdims", True),
    ("GlobalAveragePooling2D", {}, "data_format", "channels_first"),
    ("Dropout", {}, "rate", -0.1),
    ("ReLU", {}, "max_value", 6.0),
    ("ReLU", {}, "threshold", 0.1),
    ("ReLU", {}, "negative_slope", -0.1),
    ("LeakyReLU", {}, "alpha", float("nan")),
    ("Softmax", {}, "axis", 1),
    ("InputLayer", {}, "sparse", True),
    ("InputLayer", {}, "ragged", True),
    ("InputLayer", {}, "dtype", "uint8"),
]


@pytest.mark.parametrize(("kind", "options", "key", "value"), REFUSED)
def test_an_option_that_cannot_be_obeyed_is_refused(kind: str, options: Any, key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^option '{key}' is .* legal"):
        make_layers(kind, {**options, key: value}, 4)


@pytest.mark.parametrize("kind", LAYERS)
def test_an_option_that_is_not_known_is_refused(kind: str) -> None:
    needed = {**CONV, **DENSE, **POOL, "rate": 0.5, "alpha": 0.3, "activation": "relu"}
    own = {"Conv2D": CONV, "Dense": DENSE, "MaxPooling2D": POOL}
    own |= {"Dropout": {"rate": 0.5}, "LeakyReLU": {"alpha": 0.3}, "Activation": {"activation": "relu"}}
    options = own.get(kind, {})
    assert set(options) <= set(needed)
    make_layers(kind, {**options, **dict.fromkeys(WITHOUT_EFFECT, 3)}, 4)
    with pytest.raises(ValueError, match="option 'circular' is True, and is not known"):
        make_layers(kind, {**options, "circular": True}, 4)


@pytest.mark.parametrize(
    ("activation", "layers"),
    [
        ({"class_name": "LeakyReLU", "config": {"alpha": 0.13}}, "C3x3-2 same <gu> · LeakyReLU(0.13)"),
        ({"class_name": "ReLU", "config": {}}, "C3x3-2 same <gu> · relu"),
        ({"class_name": "function", "module": "builtins", "config": "gelu"}, "C3x3-2 same gelu <gu>"),
        ("leaky_relu", "C3x3-2 same <gu> · LeakyReLU(0.2)"),
        (None, "C3x3-2 same <gu>"),
    ],
)
def test_activations_in_all_their_forms(activation: Any, layers: str) -> None:
    assert tuple(make_layers("Conv2D", {**CONV, "activation": activation}, 4)) == parse_layers(layers)


@pytest.mark.parametrize(
    ("rank", "axis", "legal"), [(4, 3, True), (4, 1, False), (2, 1, True), (2, [1], True)]
)
def test_the_axis_of_the_channels_depends_on_what_comes_in(rank: int, axis: Any, legal: bool) -> None:
    if legal:
        make_layers("BatchNormalization", {"axis": axis}, rank)
        return
    with pytest.raises(ValueError, match="option 'axis'"):
        make_layers("BatchNormalization", {"axis": axis}, rank)


def test_a_slope_is_the_one_that_was_meant() -> None:
    assert make_layers("LeakyReLU", {"alpha": 0.30000001192092896}, 4) == [LeakyReLU(0.3)]


def _layer(kind: str, name: str, before: list[str], **options: Any) -> dict[str, Any]:
    nodes = [[[each, 0, 0, {}] for each in before]] if before else []
    return {"class_name": kind, "config": {"name": name, **options}, "inbound_nodes": nodes}


def _functional(*layers: dict[str, Any]) -> dict[str, Any]:
    """Write the architecture of a small network whose inner layers are these; the last one is a map."""
    image = _layer("InputLayer", "image", [], batch_input_shape=[None, 6, 6, 1])
    last = layers[-1]["config"]["name"]
    end = [
        _layer("Flatten", "flat", [last]),
        _layer("Dense", "out", ["flat"], units=2, activation="softmax", use_bias=False),
    ]
    return {"class_name": "Functional", "config": {"layers": [image, *layers, *end]}}


def _read(monkeypatch: pytest.MonkeyPatch, model: Any, **contents: Any) -> KerasModel:
    told = {"architecture": json.dumps(model), "weights": {"out": []}, "by_class": False, **contents}
    monkeypatch.setattr(file, "read_contents", lambda path: Contents(**told))
    return read_keras_file("model.h5")


PLAIN = _functional(_layer("Activation", "a", ["image"], activation="relu"))
OUT = {"out": [("out/kernel:0", np.ones((36, 2), dtype=np.float32))]}


def _changed(change: Change) -> Any:
    model = json.loads(json.dumps(PLAIN))
    change(model, model["config"]["layers"])
    return model


Change = Callable[[Any, list[Any]], object]
CHANGES: list[tuple[Change, str]] = [
    (
        lambda model, at: at[1].update(class_name="Lambda"),
        r"layer 'a' \(Lambda\) has no counterpart here",
    ),
    (
        lambda model, at: at[1].update(class_name="Functional"),
        r"\(Functional\) has no counterpart here",
    ),
    (
        lambda model, at: at[1].update(class_name="TimeDistributed"),
        r"\(TimeDistributed\) has no counterpart",
    ),
    (
        lambda model, at: at[1].update(registered_name="Own>Activation"),
        "'Own>Activation', which is not Keras' own",
    ),
    (lambda model, at: at[1].update(module="mine.layers"), "'mine.layers', which is not Keras' own"),
    (lambda model, at: at[1].update(extra=1), "layer 'a': key 'extra' is 1, and is not known"),
    (
        lambda model, at: model.update(class_name="MyModel"),
        "the model is a 'MyModel'; legal are Sequential",
    ),
    (lambda model, at: model["config"].update(dtype="float64"), "option 'dtype' is 'float64'"),
    (lambda model, at: model["config"].update(own=1), "the model: key 'own' is 1"),
    (lambda model, at: at[1]["config"].update(name="flat"), "two layers are named 'flat'"),
    (
        lambda model, at: at[1]["inbound_nodes"].append(at[1]["inbound_nodes"][0]),
        "layer 'a' is used 2 times",
    ),
    (
        lambda model, at: at[1]["inbound_nodes"][0][0].__setitem__(1, 1),
        r"takes output \[1, 0\] of 'image'",
    ),
    (
        lambda model, at: at[1]["inbound_nodes"][0][0][3].update(training=True),
        "called with 'training' = True",
    ),
    (lambda model, at: model["config"].update(output_layers=[["flat", 0, 0]]), "output_layers is"),
    (
        lambda model, at: model["config"].update(input_layers=[["image", 0, 0], ["b", 0, 0]]),
        "input_layers is",
    ),
    (
        lambda model, at: at.append(_layer("ReLU", "b", ["a"])),
        "the model ends in 'out', 'b'; one output is legal",
    ),
    (
        lambda model, at: at.insert(1, _layer("InputLayer", "b", [])),
        "the model starts in 'image', 'b'; one input",
    ),
    (
        lambda model, at: at[0]["config"].update(batch_input_shape=[None, 36]),
        "is not .batch, rows, columns",
    ),
    (
        lambda model, at: at[-1]["config"].update(activation="linear"),
        "must end in softmax or sigmoid",
    ),
    (lambda model, at: at[-1]["config"].update(units=1), "a classifier has 2 or more classes"),
    (lambda model, at: at.pop(2), "takes 'flat', which does not stand before it"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_model_that_is_another_one_is_refused(
    change: Change, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=rf"^model\.h5: .*{message}"):
        _read(monkeypatch, _changed(change), weights=OUT)


def test_a_dense_layer_on_a_map_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _functional(_layer("Dense", "inner", ["image"], units=2, use_bias=False))
    with pytest.raises(DataError, match="needs a vector: write Flat or GAP before it"):
        _read(monkeypatch, model, weights=OUT)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"version": "1.2.2"}, "written by Keras 1.2.2; Keras 2 and 3 are legal"),
        ({"backend": "theano"}, "kernels are mirrored"),
        ({"weights": {}}, r"layer 'out' \(Dense\) has the weights \[\]; kernel is legal"),
        ({"weights": {**OUT, "b": OUT["out"]}}, "holds weights of 'b', which is no layer"),
        ({"weights": {"out": [("out/bias:0", OUT["out"][0][1])]}}, "kernel is legal"),
        ({"weights": {"out": OUT["out"] * 2}}, "kernel is legal"),
    ],
)
def test_weights_that_belong_to_another_model_are_refused(
    contents: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=message):
        _read(monkeypatch, PLAIN, **{"weights": OUT, **contents})


def test_weights_belong_to_their_layers_in_whatever_order_these_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two branches of one shape: the first adds 1 to each pixel, the second 10."""
    conv = {"filters": 1, "kernel_size": 1, "strides": 1, "padding": "same"}
    branches = [_layer("Conv2D", name, ["image"], **conv) for name in ("one", "ten")]
    join = _layer("Concatenate", "join", ["one", "ten"], axis=-1)
    weights = {
        name: [
            ("kernel", np.zeros((1, 1, 1, 1), np.float32)),
            ("bias", np.array([value], np.float32)),
        ]
        for name, value in (("one", 1), ("ten", 10))
    }
    # Each class sums one of the two channels.
    weights["out"] = [("kernel", np.tile(np.eye(2, dtype=np.float32), (36, 1)) / 36)]
    for written in (branches, branches[::-1]):
        model = _read(monkeypatch, _functional(*written, join), weights=weights)
        expected = torch.softmax(torch.tensor([[1.0, 10.0]]), 1).numpy()
        np.testing.assert_allclose(_outputs(model, np.zeros((1, 6, 6, 1), np.float32)), expected, rtol=1e-5)


def test_a_ladder_of_layers_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer takes the two before it: written as branches within branches these would be 2 ** 60."""
    names = ["image", "l0", *(f"l{place}" for place in range(1, 60))]
    layers = [_layer("ReLU", "l0", ["image"])]
    layers += [_layer("Add", names[place + 1], names[place - 1 : place + 1]) for place in range(1, 60)]
    with pytest.raises(DataError, match="not made of branches that start and meet together"):
        _read(monkeypatch, _functional(*layers), weights=OUT)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "", "nul", "3", "[]", '{"class_name": 3}']
)
def test_an_architecture_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"^model\.h5: "):
        _read(monkeypatch, None, architecture=text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
OPTION_NAMES = sorted({key for _, _, key, _ in REFUSED} | {"strides", "activation", "center", "alpha"})


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(LAYERS)), st.dictionaries(st.sampled_from(OPTION_NAMES), JSON, max_size=4))
def test_options_of_any_value_make_layers_that_are_written_or_are_refused(kind: str, options: Any) -> None:
    needed = {"Conv2D": CONV, "Dense": DENSE, "MaxPooling2D": POOL}.get(kind, {})
    try:
        layers = tuple(make_layers(kind, {**needed, **options}, 4))
    except (ValueError, SpecError):
        return
    assert not layers or parse_layers(to_text(layers)) == layers


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [above, *(place for key in keys for place in _places(value[key], (*above, key)))]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_an_architecture_with_any_change_is_read_or_refused(data: st.DataObject) -> None:
    model = json.loads(json.dumps(PLAIN))
    place = data.draw(st.sampled_from(_places(model)[1:]))
    at = model
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = data.draw(JSON)
    with pytest.MonkeyPatch.context() as patch:
        message = ""
        try:
            _read(patch, model, weights=OUT)
        except RgbenchError as error:
            message = str(error)
    assert message == "" or (message.startswith("model.h5: ") and "\n" not in message)
