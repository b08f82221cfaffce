"""The networks give what the original Keras networks give, weight for weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rgbench.networks.keras.weights import keras_weights, load_keras_weights
from rgbench.networks.modules.build import build_network

HERE = Path(__file__).parent
SLOW = {
    150: {"vgg16_d_real", "toothless_real", "maslej", "convX"},
    300: {
        "alexnet",
        "alexnet_adapted",
        "alexnet_real_do_seed",
        "atlas",
        "conv4",
        "conv8",
        "first_class",
        "simple",
        "toothless_real",
        "vgg16_d_real",
        "vgg19",
        "maslej",
        "deepsource",
        "convosource",
    },
}


def _golden(size: int) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads((HERE / f"golden_{size}.json").read_text())
    return golden


def _cases() -> list[Any]:
    return [
        pytest.param(size, name, id=f"{name}-{size}", marks=[pytest.mark.slow] if name in SLOW[size] else [])
        for size in (150, 300)
        for name in _golden(size)["networks"]
    ]


def _fill(shapes: list[tuple[int, ...]], seed: int) -> list[NDArray[np.float32]]:
    """Draw the weights of the golden outputs; a batch norm is four vectors, others a kernel and a bias."""
    rng = np.random.default_rng(seed)

    def normal(shape: tuple[int, ...], scale: float) -> NDArray[np.float32]:
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)

    arrays: list[NDArray[np.float32]] = []
    while len(arrays) < len(shapes):
        shape = shapes[len(arrays)]
        if len(shape) > 1:
            arrays += [normal(shape, np.sqrt(2 / np.prod(shape[:-1]))), normal(shape[-1:], 0.1)]
        else:
            arrays += [1 + normal(shape, 0.1), normal(shape, 0.1), normal(shape, 0.1)]
            arrays.append(rng.random(shape, dtype=np.float32) + np.float32(0.5))
    return arrays


@pytest.mark.parametrize(("size", "name"), _cases())
def test_outputs_of_the_original(size: int, name: str) -> None:
    golden = _golden(size)
    expected = golden["networks"][name]
    model = build_network(name, image_size=size, n_classes=4, seed=0).eval()
    load_keras_weights(model, _fill([a.shape for a in keras_weights(model)], golden["weight_seed"]))
    images = np.random.default_rng(golden["input_seed"]).random((3, size, size, 1), dtype=np.float32)
    with torch.inference_mode():
        outputs = model.activate(model(torch.from_numpy(images).permute(0, 3, 1, 2)))
    np.testing.assert_allclose(outputs.numpy(), expected["outputs"], rtol=0, atol=2e-5)
