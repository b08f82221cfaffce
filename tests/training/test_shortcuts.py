"""Every shortcut gives what the long way gives, and can be left out."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chisquare
from torch import nn

from rgbench.errors import SpecError
from rgbench.networks.modules.build import build_network
from rgbench.networks.modules.dropout import Dropout, draw_kept
from rgbench.networks.modules.modules import KerasBatchNorm2d, LayeredNetwork
from rgbench.spec import RecipeSpec
from rgbench.training.checkpoint import load_checkpoint, save_checkpoint
from rgbench.training.loop import TrainingStep
from rgbench.training.loss import cross_entropy
from rgbench.training.shortcuts import NONE, VARIABLE, Shortcuts, has_l2, shorten

NETWORKS = ("convxpress", "convnet-4", "hosenie", "fr-deep", "radio-galaxy-zoo")
SIZE, CLASSES = 64, 4


def recipe(**changes) -> RecipeSpec:
    return RecipeSpec(
        **{"epochs": 1, "batch_size": 6, "learning_rate": 1e-3, "adam_epsilon": 1e-7, **changes}
    )


def batch(n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(n, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(3)).pow(4)
    return images.contiguous(memory_format=torch.channels_last), torch.arange(n) % CLASSES


def network_of(name: str) -> LayeredNetwork:
    return build_network(name, SIZE, CLASSES, seed=1).to(memory_format=torch.channels_last).train()


def step_of(network, shortcuts: Shortcuts, spec: RecipeSpec) -> TrainingStep:
    return TrainingStep.of(network, spec, shortcuts)


def trained(name: str, shortcuts: Shortcuts, steps: int = 1, **changes) -> tuple[list[float], LayeredNetwork]:
    """Train a network for some steps; give the losses and the network, whose gradients are those of the last step."""
    network, (images, labels) = network_of(name), batch()
    step = step_of(network, shortcuts, recipe(**changes))
    torch.manual_seed(7)
    return [float(step(images, labels)) for _ in range(steps)], network


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_late_relus_give_the_same_bits(name, precision):
    plain, slow = trained(name, NONE, precision=precision)
    late, fast = trained(name, replace(NONE, relu=True), precision=precision)
    assert plain == late
    for one, other in zip(slow.parameters(), fast.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NETWORKS)
def test_late_relus_are_set_where_there_are_any(name):
    network = network_of(name)
    shorten(network, Shortcuts())
    assert any(getattr(m, "late", False) or getattr(m, "overwrites", False) for m in network.modules())
    shorten(network, NONE)
    assert not any(getattr(m, "late", False) or getattr(m, "overwrites", False) for m in network.modules())


def test_shortcuts_change_no_inference():
    images, _ = batch()
    for name in NETWORKS:
        network = network_of(name).eval()
        with torch.inference_mode():
            before = network(images)
            shorten(network, Shortcuts())
            assert torch.equal(network(images), before)


@pytest.mark.parametrize("name", ["convxpress", "hosenie"])
def test_the_optimiser_adds_the_l2_term_and_is_that_of_torch(name):
    """Against torch's Adam, one weight after the other, with the L2 term in the loss."""
    network, (images, labels) = network_of(name), batch()
    plain = torch.optim.Adam(network.parameters(), lr=1e-3, eps=1e-7, foreach=False)
    torch.manual_seed(7)
    losses = []
    for _ in range(3):
        loss = cross_entropy(network(images), labels, network.activation_name)
        loss = loss + sum(c * kernel.square().sum() for kernel, c in network.regularised_kernels())
        plain.zero_grad()
        loss.backward()
        plain.step()
        losses.append(float(loss.detach()))
    found, fast = trained(name, replace(NONE, adam=True, l2=True), steps=3)
    np.testing.assert_allclose(found, losses, rtol=2e-4)
    for one, other in zip(network.parameters(), fast.parameters(), strict=True):
        # Adam moves a weight by the learning rate at most in a step; the sign of a gradient near 0 hangs on rounding.
        assert (one - other).abs().median() < 2e-6
    if name == "convxpress":
        assert any(
            group["weight_decay"] == 0.02
            for group in step_of(fast, Shortcuts(), recipe()).optimizer.param_groups
        )


def test_an_l2_term_stays_in_the_loss_where_the_optimiser_has_another_decay():
    assert not has_l2(recipe(optimizer="adamw", weight_decay=0.05), Shortcuts())
    assert not has_l2(recipe(l2=False), Shortcuts())
    plain, _ = trained("convxpress", NONE, steps=3, optimizer="adamw", weight_decay=0.05)
    fast, _ = trained(
        "convxpress", replace(NONE, adam=True, l2=True), 3, optimizer="adamw", weight_decay=0.05
    )
    np.testing.assert_allclose(fast, plain, rtol=2e-4)


def test_weights_go_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    """The fused Adam goes through memory: moments from a file must lie there as the weights do."""
    images, labels = batch()
    step = step_of(network_of("convxpress"), replace(Shortcuts(), dropout=False), recipe())
    other = step_of(network_of("convxpress"), replace(Shortcuts(), dropout=False), recipe())
    step(images, labels)
    save_checkpoint(tmp_path / "checkpoint", step.network, step.optimizer, {})
    load_checkpoint(tmp_path / "checkpoint", other.network, other.optimizer)
    for each in (step, other):
        torch.manual_seed(5)
        each(images, labels)
    for one, same in zip(step.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(one, same)


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.75])
def test_dropout_drops_each_number_by_itself_at_its_rate(rate):
    torch.manual_seed(11)
    kept = draw_kept(torch.zeros(200, 1000), rate)
    assert set(kept.flatten().tolist()) == {0.0, np.float32(1 / (1 - rate)).item()}
    dropped = (kept == 0).numpy()
    assert binomtest(int(dropped.sum()), dropped.size, rate).pvalue > 1e-4
    # The eight numbers of a word, and neighbours within and across words, are independent.
    for lag in (1, 2, 3, 8, 32):
        both = dropped.ravel()[:-lag] & dropped.ravel()[lag:]
        assert binomtest(int(both[:: lag + 1].sum()), len(both[:: lag + 1]), rate**2).pvalue > 1e-4
    counts = dropped.reshape(-1, 8).sum(axis=0)
    assert chisquare(counts).pvalue > 1e-4


def test_dropout_is_drawn_anew_from_the_seed_and_lies_as_its_input():
    x = torch.ones(4, 8, 64, 64, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    torch.manual_seed(1)
    one, other = draw_kept(x, 0.25), draw_kept(x, 0.25)
    torch.manual_seed(1)
    assert torch.equal(draw_kept(x, 0.25), one)
    assert not torch.equal(one, other)
    assert one.dtype == x.dtype
    assert one.stride() == x.stride()


def test_dropout_gives_the_gradient_of_what_it_kept():
    layer = Dropout(0.25).train()
    layer.quick = True
    x = torch.randn(300, 300, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    kept = y.detach() != 0
    torch.testing.assert_close(y.detach()[kept], x.detach()[kept] / 0.75)
    torch.testing.assert_close(x.grad, kept / 0.75)


@pytest.mark.parametrize(
    ("quick", "rate", "shape"), [(False, 0.25, (300, 300)), (True, 0.4, (300, 300)), (True, 0.25, (10, 10))]
)
def test_elsewhere_dropout_is_that_of_torch(quick, rate, shape):
    layer, x = Dropout(rate).train(), torch.randn(shape)
    layer.quick = quick
    torch.manual_seed(2)
    found = layer(x)
    torch.manual_seed(2)
    assert torch.equal(found, nn.Dropout(rate).train()(x))
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("channels", [6, 48])
def test_normalising_by_plane_gives_the_same_to_rounding(channels):
    x = torch.randn(4, channels, 33, 21, generator=torch.Generator().manual_seed(1))
    x = (3 * x + 1).contiguous(memory_format=torch.channels_last)
    found = []
    for by_plane in (False, True):
        norm, own = KerasBatchNorm2d(channels).train(), x.clone().requires_grad_()
        norm.by_plane = by_plane
        y = norm(own)
        y.square().mul(torch.arange(21)).sum().backward()
        found.append((y.detach(), own.grad, norm.weight.grad, norm.running_var))
        assert y.is_contiguous(memory_format=torch.channels_last)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


FAULTS = """
import re, resource, sys, torch
from pathlib import Path
from rgbench.training.shortcuts import memory_kept
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def resident(): return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
torch.zeros(10)
empty = resident()
with memory_kept(sys.argv[1] == "keep"):
    for _ in range(3): torch.zeros(20_000_000)
    before = faults()
    for _ in range(12): torch.zeros(20_000_000)
    found, full = faults() - before, resident()
print(found, round(full - empty), round(resident() - empty))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_memory_that_is_kept_is_not_asked_for_again_and_given_back_at_the_end():
    def count(word: str) -> list[int]:
        command = [sys.executable, "-c", FAULTS, word]
        return [int(each) for each in subprocess.run(command, capture_output=True, check=True).stdout.split()]

    (few, kept, given_back), (many, *_) = count("keep"), count("give back")
    assert kept > 70
    assert few < many / 4, (
        "now and then a small object takes a place among the kept memory: then one tensor is new"
    )
    assert given_back < 20


def test_the_environment_leaves_shortcuts_out(monkeypatch):
    monkeypatch.setenv(VARIABLE, "adam, relu")
    assert Shortcuts.chosen() == replace(Shortcuts(), adam=False, relu=False)
    monkeypatch.setenv(VARIABLE, "all")
    assert Shortcuts.chosen() == NONE
    monkeypatch.setenv(VARIABLE, "adam,fast")
    with pytest.raises(
        SpecError, match=r"RGBENCH_WITHOUT: found 'fast'; legal are adam, dropout, l2, .*, and all"
    ):
        Shortcuts.chosen()


def test_a_wrong_name_in_the_environment_stops_a_study_before_it_begins(monkeypatch, tmp_path: Path):
    from rgbench.runs.study import find_study, run_study
    from rgbench.store.store import Store

    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(SpecError, match=VARIABLE):
        run_study(find_study("quickstart"), Store(tmp_path))
    assert not Store(tmp_path).run_ids()
