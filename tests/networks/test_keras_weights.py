"""Weights go in and out in Keras' order; wrong ones are refused before anything changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rgbench.errors import DataError
from rgbench.networks.keras.weights import keras_weights, load_keras_weights
from rgbench.networks.modules.build import build_layers, build_network
from rgbench.networks.notation.notation import parse_layers

LINE = "C3x3-2 s1 same relu · BN · Flat · BN · D0.1 · FC5 relu · BN · FC{classes} softmax"


def test_weights_come_out_as_they_went_in() -> None:
    model = build_layers(parse_layers(LINE), (4, 6), 3)
    rng = np.random.default_rng(0)
    arrays = [rng.random(array.shape, dtype=np.float32) for array in keras_weights(model)]
    assert [array.shape for array in arrays] == [
        *[(3, 3, 1, 2), (2,)],
        *[(2,)] * 4,
        *[(48,)] * 4,
        *[(48, 5), (5,)],
        *[(5,)] * 4,
        *[(5, 3), (3,)],
    ]
    load_keras_weights(model, arrays)
    for given, found in zip(arrays, keras_weights(model), strict=True):
        np.testing.assert_array_equal(found, given)


def test_flattened_maps_are_channels_last() -> None:
    rng = np.random.default_rng(1)
    model = build_layers(parse_layers("Flat · BN · FC{classes} softmax"), (3, 4), 2, channels=5).eval()
    gamma, beta, mean, kernel = (rng.standard_normal(s) for s in ((60,), (60,), (60,), (60, 2)))
    variance = rng.random(60) + 0.5
    load_keras_weights(model, [gamma, beta, mean, variance, kernel, np.zeros(2)])
    image = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    flat = (image.reshape(2, 60) - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    found = model(torch.from_numpy(image).permute(0, 3, 1, 2)).detach().numpy()
    np.testing.assert_allclose(found, flat @ kernel, rtol=1e-4, atol=1e-4)


def test_wrong_arrays_are_refused_and_nothing_changes() -> None:
    model = build_layers(parse_layers(LINE), (4, 6), 3)
    before = keras_weights(model)
    arrays = [array + 1 for array in before]
    with pytest.raises(DataError, match=r"18 arrays are expected, 17 were given; .* is layer 8 .*, bias"):
        load_keras_weights(model, arrays[:-1])
    with pytest.raises(DataError, match="18 arrays are expected, 19 were given"):
        load_keras_weights(model, [*arrays, arrays[0]])
    arrays[10] = arrays[10].T
    with pytest.raises(
        DataError, match=r"layer 6 \(FC5 relu <gu>\), kernel: expected shape \(48, 5\), found \(5, 48\)"
    ):
        load_keras_weights(model, arrays)
    for old, new in zip(before, keras_weights(model), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_network_from_elsewhere_has_no_keras_weights() -> None:
    with pytest.raises(DataError, match="not Linear"):
        load_keras_weights(torch.nn.Linear(1, 1), [])


def test_aliases_load_the_same_weights() -> None:
    assert [a.shape for a in keras_weights(build_network("fr_deep", 60, seed=0))] == [
        a.shape for a in keras_weights(build_network("fr_deep_real", 60, seed=0))
    ]
