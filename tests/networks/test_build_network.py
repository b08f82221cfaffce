"""Modules against an independent computation, the counts, and the facts of Keras."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError
from rgbench.networks import describe_network
from rgbench.networks.modules.build import build_layers, build_network, ends_in_softmax
from rgbench.networks.modules.modules import KerasBatchNorm1d, KerasConv2d, KerasMaxPool2d, initialise_
from rgbench.networks.notation.notation import parse_layers

SMALL = ["convxpress", "simplenet", "mcrgnet", "hosenie", "atlas-x-id", "atlas-softmax", "fr-deep"]
HEAD = " · Flat · FC{classes} softmax"


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _windows(
    image: NDArray[np.float64], kernel: int, stride: int, padding: str, fill: float
) -> NDArray[np.float64]:
    """Cut windows by the definition of same and valid: (rows', columns', kernel, kernel)."""
    size = image.shape[0]
    if padding == "same":
        out = int(np.ceil(size / stride))
        total = max((out - 1) * stride + kernel - size, 0)
        image = np.pad(image, (total // 2, total - total // 2), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(image, (kernel, kernel))[::stride, ::stride]


CASES = given(
    size=st.integers(1, 14),
    kernel=st.integers(1, 11),
    stride=st.integers(1, 5),
    padding=st.sampled_from(["same", "valid"]),
)


@CASES
@settings(deadline=None, max_examples=150)
def test_convolution_by_its_definition(size: int, kernel: int, stride: int, padding: str) -> None:
    if padding == "valid" and kernel > size:
        return
    image = np.random.default_rng(1).standard_normal((size, size))
    model = build_layers(parse_layers(f"C{kernel}x{kernel}-2 s{stride} {padding}{HEAD}"), size, 2).double()
    conv = model.stack[0]
    assert isinstance(conv, KerasConv2d)
    weight = conv.weight.detach().numpy()[:, 0]
    expected = np.einsum("rckl,fkl->frc", _windows(image, kernel, stride, padding, 0.0), weight)
    found = conv(torch.from_numpy(image)[None, None]).detach().numpy()[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@CASES
@settings(deadline=None, max_examples=150)
def test_pool_by_its_definition(size: int, kernel: int, stride: int, padding: str) -> None:
    if padding == "valid" and kernel > size:
        return
    image = np.random.default_rng(2).standard_normal((size, size)) - 5
    model = build_layers(parse_layers(f"MP{kernel}x{kernel} s{stride} {padding}{HEAD}"), size, 2)
    pool = model.stack[0]
    assert isinstance(pool, KerasMaxPool2d)
    expected = _windows(image, kernel, stride, padding, -np.inf).max(axis=(2, 3))
    np.testing.assert_array_equal(pool(torch.from_numpy(image)[None, None]).numpy()[0, 0], expected)


@pytest.mark.parametrize("name", SMALL)
def test_a_module_has_what_the_analysis_counts(name: str) -> None:
    model, facts = build_network(name, 150, seed=0), describe_network(name, 150)
    trainable = sum(weight.numel() for weight in model.parameters())
    statistics = sum(buffer.numel() for buffer in model.buffers() if buffer.is_floating_point())
    assert trainable == facts["trainable_parameters"]
    assert trainable + statistics == facts["parameters"]
    assert (model.name, model.image_size, model.n_classes, model.channels) == (name, 150, 4, 1)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_weight(name: str) -> None:
    model = build_network(name, 64, n_classes=3, seed=4).eval()
    x = torch.rand(4, 1, 64, 64, generator=_generator())
    logits = model(x)
    assert logits.shape == (4, 3)
    assert logits.dtype == torch.float32
    (torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])) + model.l2_penalty()).backward()
    for key, weight in model.named_parameters():
        assert weight.grad is not None, key
        assert torch.isfinite(weight.grad).all(), key
        assert weight.grad.any(), key


def test_he_normal_is_truncated_and_rescaled() -> None:
    weight = torch.empty(128, 64, 3, 3)
    initialise_(weight, "he", _generator(1))
    std = (2 / (64 * 9)) ** 0.5
    assert float(weight.std()) == pytest.approx(std, rel=0.01)
    assert float(weight.mean()) == pytest.approx(0, abs=0.01 * std)
    assert 2.2 < float(weight.abs().max()) / std <= 2 / 0.87962566


def test_glorot_uniform() -> None:
    weight = torch.empty(300, 500)
    initialise_(weight, "gu", _generator(1))
    limit = (6 / 800) ** 0.5
    assert 0.999 * limit < float(weight.abs().max()) <= limit
    assert float(weight.std()) == pytest.approx(limit / 3**0.5, rel=0.01)


def test_biases_start_at_zero_and_batch_norms_at_one() -> None:
    for key, weight in build_network("hosenie", 64, seed=0).state_dict().items():
        if key.endswith("bias"):
            assert not weight.any(), key


def test_a_seed_decides_all_and_nothing_else_is_touched() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (build_network("mcrgnet", 64, seed=seed).state_dict() for seed in (1, 1, 2))
    by_generator = build_network("mcrgnet", 64, seed=_generator(1)).state_dict()
    unseeded = build_network("mcrgnet", 64).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(torch.equal(first[key], by_generator[key]) for key in first)
    kernels = [key for key in first if key.endswith("weight")]
    assert not any(torch.equal(first[key], other[key]) for key in kernels)
    assert not any(torch.equal(first[key], unseeded[key]) for key in kernels)


def test_the_penalty_is_over_kernels_only() -> None:
    model = build_network("convXpress", 64, seed=0)
    (kernel, coefficient), *others = model.regularised_kernels()
    assert not others
    assert (coefficient, kernel.shape[0]) == (0.01, 500)
    penalty = model.l2_penalty()
    assert float(penalty.detach()) == pytest.approx(0.01 * float((kernel.detach() ** 2).sum()), rel=1e-6)
    penalty.backward()
    assert kernel.grad is not None
    torch.testing.assert_close(kernel.grad, 0.02 * kernel.detach())


def test_the_penalty_of_convxpress_at_the_start() -> None:
    # 9.27 was measured on the original, at 300 pixels and 4 classes.
    assert float(build_network("convXpress", 300, seed=0).l2_penalty().detach()) == pytest.approx(
        9.27, rel=0.02
    )


def test_no_penalty_is_zero() -> None:
    assert float(build_network("mcrgnet", 32, seed=0).l2_penalty().detach()) == 0


def test_outputs_are_logits_and_activate_makes_them_classes() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.0, 0.5]])
    softmax, sigmoid = build_network("mcrgnet", 32, seed=0), build_network("atlas", 32, seed=0)
    assert (softmax.activation_name, sigmoid.activation_name) == ("softmax", "sigmoid")
    torch.testing.assert_close(softmax.activate(logits), logits.softmax(1))
    torch.testing.assert_close(sigmoid.activate(logits), logits.sigmoid())


def test_hosenie_drops_logits_in_training_only() -> None:
    model = build_network("hosenie", 64, seed=0)
    x = torch.rand(64, 1, 64, 64, generator=_generator())
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        trained = model.train()(x)
        tested = model.eval()(x)
    assert 0.3 < float((trained == 0).float().mean()) < 0.7
    assert not (tested == 0).any()


def test_batch_norm_of_vectors_keeps_the_biased_variance() -> None:
    norm = KerasBatchNorm1d(3)
    x = torch.randn(5, 3, generator=_generator())
    found = norm(x)
    mean, variance = x.mean(0), x.var(0, unbiased=False)
    torch.testing.assert_close(found, (x - mean) / (variance + 1e-3).sqrt())
    torch.testing.assert_close(norm.running_mean, 0.01 * mean)
    torch.testing.assert_close(norm.running_var, 0.99 + 0.01 * variance)


def test_batch_norm_of_maps_keeps_the_unbiased_variance() -> None:
    model = build_layers(parse_layers(f"BN{HEAD}"), 6, 2)
    x = torch.randn(4, 1, 6, 6, generator=_generator())
    model(x)
    variance = x.var(unbiased=True).reshape(1)
    torch.testing.assert_close(model.stack[0].running_var, 0.99 + 0.01 * variance)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_memory_format_does_not_change_the_outputs(memory_format: torch.memory_format) -> None:
    model = build_network("convxpress", 75, seed=0).eval()
    x = torch.rand(2, 1, 75, 75, generator=_generator())
    expected = model(x)
    found = model.to(memory_format=memory_format)(x.to(memory_format=memory_format))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_images_of_another_size_are_refused() -> None:
    model = build_network("mcrgnet", (32, 48), channels=2, seed=0)
    assert model(torch.zeros(1, 2, 32, 48)).shape == (1, 4)
    with pytest.raises(
        DataError, match=r"mcrgnet takes images of shape \(n, 2, 32, 48\), not \(1, 1, 32, 32\)"
    ):
        model(torch.zeros(1, 1, 32, 32))


def test_errors_of_building() -> None:
    with pytest.raises(SpecError, match="did you mean mcrgnet"):
        build_network("mcrgnett")
    with pytest.raises(SpecError, match=r"layer 7 .* map of 2x2 pixels"):
        build_network("alexnet-plain", 150)
    with pytest.raises(SpecError, match="must end in softmax or sigmoid"):
        build_layers(parse_layers("Flat · FC{classes} relu"), 8, 4)
    with pytest.raises(SpecError, match=r"gives \(5,\), not \(4,\): write FC\{classes\}"):
        build_layers(parse_layers("Flat · FC5 softmax"), 8, 4)


def test_a_softmax_at_the_end_is_seen() -> None:
    linear = torch.nn.Linear(2, 2)
    assert ends_in_softmax(torch.nn.Sequential(linear, torch.nn.LogSoftmax(dim=1)))
    assert not ends_in_softmax(torch.nn.Sequential(torch.nn.Softmax(dim=1), linear))
    assert not ends_in_softmax(build_network("mcrgnet", 32, seed=0))
