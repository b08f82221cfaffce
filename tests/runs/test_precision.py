"""Which arithmetic a network trains in: tried once, kept in the store, the same for all runs of a network."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch

from rgbench.data.catalogue import Catalogue, DataSet
from rgbench.data.sets import load_data
from rgbench.errors import SpecError, StoreError
from rgbench.networks.modules.build import build_network
from rgbench.runs import precision
from rgbench.runs.execute import Bench, execute
from rgbench.runs.listeners import Several, Silence
from rgbench.runs.precision import FILE, Trial, settle, try_both
from rgbench.runs.study import plan_study, run_study, stored_records
from rgbench.spec import Study, resolve
from rgbench.store.store import Store


def study_of(**others) -> Study:
    own = {
        "name": "s",
        "networks": ("lenet",),
        "seeds": (1, 2),
        "protocol": "modern",
        "images": {"field": 32, "size": 32},
        "recipe": {"epochs": 1, "views": 1},
    }
    return Study(**(own | others))


@pytest.fixture
def tried(monkeypatch) -> list[str]:
    """Trials say that bfloat16 is three times as fast; the networks that were tried."""
    names: list[str] = []

    def trial(spec, n_classes, device):
        names.append(spec.network.name)
        return Trial(3.0, 0.99)

    monkeypatch.setattr(precision, "_try", trial)
    return names


@pytest.mark.parametrize(
    ("trial", "expected", "words"),
    [
        (Trial(2.0, 0.99), "bfloat16", "2.0 times as fast"),
        (Trial(1.05, 0.99), "float32", "1.1 times as fast"),
        (Trial(0.1, 0.99), "float32", "0.1 times as fast"),
        (Trial(5.0, 0.3), "float32", r"other gradients \(cosine 0.30\)"),
        (Trial(5.0, float("nan")), "float32", r"other gradients \(cosine nan\)"),
    ],
)
def test_what_is_faster_and_agrees_is_taken(trial, expected, words):
    assert trial.precision == expected
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(trial.why)


def test_a_trial_changes_no_weight_and_sees_that_gradients_agree():
    network = build_network("lenet", 32, 4, seed=1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images, labels = torch.rand(8, 1, 32, 32), torch.arange(8) % 4
    state = torch.random.get_rng_state()
    found = try_both(network, images, labels)
    assert found.times > 0
    assert 0.98 < found.agreement < 1  # not the same arithmetic, but the same direction
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(part.grad is None for part in network.parameters())


def test_gradients_that_are_not_finite_do_not_agree():
    network = build_network("lenet", 32, 4, seed=1)
    found = try_both(network, torch.full((8, 1, 32, 32), torch.inf), torch.arange(8) % 4)
    assert found.precision == "float32"
    assert np.isnan(found.agreement)


def test_the_store_remembers_what_was_found(tried, tmp_path):
    store, specs = Store(tmp_path), resolve(study_of(), "x")
    assert {spec.recipe.precision for spec in specs} == {"auto"}
    found, words = settle(specs, 4, store, "cpu")
    assert [spec.recipe.precision for spec in found] == ["bfloat16"] * 2
    assert [spec.seed for spec in found] == [1, 2]
    assert tried == ["lenet"]  # once, for both seeds
    (line,) = words
    assert (
        line
        == "lenet, 32 x 32 pixels, batches of 32, cpu: bfloat16; a step in bfloat16 is 3.0 times as fast as in float32"
    )
    assert settle(specs, 4, store, "cpu") == (found, words)
    assert tried == ["lenet"]
    (tmp_path / FILE).write_text(json.dumps({line.split(":")[0]: {"times": 0.2, "agreement": 1.0}}))
    assert settle(specs, 4, store, "cpu")[0][0].recipe.precision == "float32"


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"times": "x", "agreement": 1}}'])
def test_a_damaged_memory_is_told(text, tried, tmp_path):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StoreError, match=rf"{FILE}: is damaged .*; without the file it is measured anew"):
        settle(resolve(study_of(), "x"), 4, Store(tmp_path), "cpu")


def test_where_nothing_may_be_tried_nothing_is(tried, tmp_path):
    specs = resolve(study_of(), "x")
    found, words = settle(specs, 4, Store(tmp_path), None)
    assert (found[0].recipe.precision, words) == ("float32", ())
    found, (line,) = settle(specs, 4, Store(tmp_path), "cuda:9")
    assert found[0].recipe.precision == "bfloat16"
    assert "not tried, as cuda:9 is not on this machine" in line
    assert not tried
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("error", [RuntimeError("can't allocate memory"), MemoryError("none left")])
def test_a_network_that_cannot_be_tried_is_left_to_its_run(error, monkeypatch, tmp_path):
    def fail(spec, n_classes, device):
        raise error

    monkeypatch.setattr(precision, "_try", fail)
    found, (line,) = settle(resolve(study_of(), "x"), 4, Store(tmp_path), "cpu")
    assert found[0].recipe.precision == "float32"
    assert line.endswith(f"float32; bfloat16 cannot be tried ({error})")
    assert not (tmp_path / FILE).exists()


def test_what_a_study_says_itself_stands(tried, tmp_path):
    specs = resolve(study_of(recipe={"precision": "float32"}), "x")
    assert settle(specs, 4, Store(tmp_path), "cpu") == (specs, ())
    assert not tried


def test_networks_of_one_name_and_other_layers_are_tried_apart(tried, tmp_path):
    for layers in ("C8(3,1) · MP2(2) · F · FC4 softmax <gu>", "C16(3,1) · MP2(2) · F · FC4 softmax <gu>"):
        specs = resolve(study_of(networks=("mine",), layers={"mine": layers}), "x")
        settle(specs, 4, Store(tmp_path), "cpu")
    assert tried == ["mine", "mine"]
    assert len(json.loads((tmp_path / FILE).read_text())) == 2


def toy() -> DataSet:
    data = load_data("first-galaxy-data")
    rows = np.concatenate([np.flatnonzero(data.catalogue.label == k)[:12] for k in range(4)])
    catalogue: Catalogue = data.catalogue.take(rows)
    return DataSet(data.card, catalogue, data.images[rows], {})


class Hears(Silence):
    """A listener that hears of trials; others need not."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tries(self, network: str) -> None:
        self.told.append(network)


def test_a_study_goes_on_in_the_precision_of_its_first_runs(tried, tmp_path):
    """Also where the memory is lost, or the machine is another one."""
    data, store, hears = toy(), Store(tmp_path), Hears()
    first = study_of(data={"split": "becker2021", "train_size": 6, "validation_size": 3})
    (one, two) = run_study(first, store, listener=Several(Silence(), hears), dataset=data)
    assert hears.told == ["lenet"]
    assert {one.spec.recipe.precision, two.spec.recipe.precision} == {"bfloat16"}
    assert one.cost["precision"] == "bfloat16"
    (tmp_path / FILE).unlink()
    more = first.model_copy(update={"seeds": (1, 2, 3)})
    plan = plan_study(more, data, store, "cpu")
    assert [spec.recipe.precision for spec in plan.runs] == ["bfloat16"] * 3
    assert len(plan.missing) == 1
    assert tried == ["lenet"]
    assert len(stored_records(more, data, store)) == 2


def test_one_run_is_in_one_precision(tmp_path):
    (spec, *_) = resolve(study_of(), "x")
    with pytest.raises(SpecError, match="one run has float32 or bfloat16"):
        execute(spec, Bench(toy(), Store(tmp_path), "cpu"))


OLD = """
import torch
from rgbench.networks.modules.build import build_network
from rgbench.runs.precision import try_both
torch.set_num_threads(1)
network = build_network("convxpress", 96, 4, seed=1).to(memory_format=torch.channels_last)
images = torch.rand(16, 1, 96, 96).contiguous(memory_format=torch.channels_last)
print(try_both(network, images, torch.arange(16) % 4).precision)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="has another instruction set")
def test_a_processor_without_bfloat16_computes_in_float32():
    """oneDNN is told to do without newer instructions: bfloat16 is ten times slower then."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", OLD], env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    assert found.stdout.strip() == "float32"
