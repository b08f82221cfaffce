"""The loop learns, and a resumed run is an uninterrupted one, to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rgbench.errors import StoreError
from rgbench.networks.modules.build import build_network
from rgbench.spec import RecipeSpec
from rgbench.training.checkpoint import load_weights, read_tensors, write_tensors
from rgbench.training.loop import Progress, TrainingData, TrainingFiles, fit, keep_dropout

SIZE = 40


class Toy:
    """Batches of two separable classes: a blob at the left or at the right, over noise."""

    def __init__(self, n: int, seed: int, shuffle: bool = False) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(0, 2, (n,), generator=generator)
        self.images = torch.rand(n, 1, SIZE, SIZE, generator=generator) * 0.1
        for image, label in zip(self.images, self.labels, strict=True):
            image[0, 15:25, 5 + 20 * int(label) : 15 + 20 * int(label)] += 1
        self.shuffle = shuffle

    @property
    def n_images(self) -> int:
        return len(self.labels)

    def __len__(self) -> int:
        return -(-len(self.labels) // 16)

    def epoch(self, epoch: int):
        order = torch.arange(len(self.labels))
        if self.shuffle:
            order = torch.randperm(len(order), generator=torch.Generator().manual_seed(epoch))
        for part in order.split(16):
            yield self.images[part], self.labels[part]


class Stop(Exception):
    """Stands for a kill."""


def recipe(**changes) -> RecipeSpec:
    content = {"epochs": 4, "batch_size": 16, "learning_rate": 2e-3, "schedule": "plateau", **changes}
    return RecipeSpec(**content)


def train(folder: Path, on_step=lambda epoch, step: None, **changes):
    network = build_network("mcrgnet", SIZE, 2, seed=1)
    data = TrainingData(Toy(96, 1, shuffle=True), Toy(32, 1), Toy(48, 2), Toy(96, 1).labels)
    files = TrainingFiles(folder / "best.safetensors", folder / "checkpoint.safetensors")
    return network, fit(network, data, recipe(**changes), 8901, files, on_step)


def test_it_learns_what_can_be_learnt(tmp_path):
    _, progress = train(tmp_path, epochs=8)
    assert progress.history["validation_accuracy"][-1] == 1.0
    assert progress.history["train_loss"][-1] < 0.3 < progress.history["train_loss"][0]
    assert progress.history["epoch"] == list(range(1, 9))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_killed_in_any_epoch_resumes_to_the_same_bits(tmp_path, precision):
    (tmp_path / "a").mkdir()
    whole, expected = train(tmp_path / "a", precision=precision)

    def kill_at(when):
        def on_step(epoch: int, step: int) -> None:
            if (epoch, step) == when:
                raise Stop

        return on_step

    (tmp_path / "b").mkdir()
    for when in ((1, 3), (2, 0), (3, 5)):
        with pytest.raises(Stop):
            train(tmp_path / "b", kill_at(when), precision=precision)
    resumed, progress = train(tmp_path / "b", precision=precision)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    for name in ("train_loss", "validation_loss", "running_loss", "learning_rate"):
        assert expected.history[name] == progress.history[name]
    best, again = (build_network("mcrgnet", SIZE, 2) for _ in range(2))
    load_weights(tmp_path / "a" / "best.safetensors", best)
    load_weights(tmp_path / "b" / "best.safetensors", again)
    assert all(torch.equal(a, b) for a, b in zip(best.parameters(), again.parameters(), strict=True))


def test_the_global_generator_is_left_alone(tmp_path):
    before = torch.get_rng_state()
    train(tmp_path, epochs=1)
    assert torch.equal(before, torch.get_rng_state())


def test_the_seed_moves_dropout(tmp_path):
    network = build_network("mcrgnet", SIZE, 2, seed=1)
    data = TrainingData(Toy(96, 1), Toy(32, 1), Toy(48, 2), Toy(96, 1).labels)
    losses = []
    for seed in (1, 2, 1):
        folder = tmp_path / str(len(losses))
        folder.mkdir()
        network = build_network("mcrgnet", SIZE, 2, seed=1)
        files = TrainingFiles(folder / "best.safetensors", folder / "checkpoint.safetensors")
        losses.append(fit(network, data, recipe(epochs=1), seed, files).history["running_loss"][0])
    assert losses[0] == losses[2] != losses[1]


def test_early_stopping_counts_epochs_without_progress():
    progress = Progress(epoch=5)
    progress.history["validation_loss"] = [1.0, 0.5, 0.495, 0.494, 0.493]
    progress.history["l2"] = [0.0] * 5
    assert progress.stale(recipe(early_stopping=3))
    assert not progress.stale(recipe(early_stopping=4))
    assert not progress.stale(recipe())


def test_a_diverging_run_ends_with_nan_and_keeps_its_history(tmp_path):
    _, progress = train(tmp_path, learning_rate=100.0, optimizer="adam")
    assert len(progress.history["epoch"]) == 4
    assert (
        not np.isfinite(progress.history["validation_loss"][-1])
        or progress.history["validation_loss"][-1] > 0.6
    )
    assert (tmp_path / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("where", "expected"), [("all", [0.25] * 6), ("dense", [0.0] * 5 + [0.25]), ("none", [0.0] * 6)]
)
def test_dropout_is_kept_where_the_recipe_says(where, expected):
    network = build_network("mcrgnet", SIZE, 2)
    keep_dropout(network, where)
    assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == expected


@pytest.mark.parametrize("name", ["lenet-c4", "lenet-d4", "ag-cnn"])
def test_networks_that_pool_instead_of_flattening_keep_the_dropout_of_their_last_layers(name):
    network = build_network(name, 150, 4)
    published = [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)]
    keep_dropout(network, "dense")
    assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == published != []


def test_dropout_before_the_last_convolution_is_off_in_a_network_without_flattening():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.Dropout(0.1), torch.nn.Conv2d(2, 2, 3), torch.nn.Dropout(0.2)
    )
    keep_dropout(network, "dense")
    assert (network[1].p, network[3].p) == (0.0, 0.2)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _rewrite(change) -> object:
    def damage(path: Path) -> None:
        tensors, metadata = read_tensors(path)
        state = json.loads(metadata["state"])
        change(tensors, state)
        write_tensors(path, tensors, {"state": json.dumps(state)})

    return damage


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_cut, "weights cannot be read"),
        (_rewrite(lambda tensors, state: state.pop("progress")), "is damaged: KeyError"),
        (_rewrite(lambda tensors, state: state["progress"].update(epoch=9)), "epoch is 9, its history has"),
        (
            _rewrite(lambda tensors, state: state["progress"]["history"].pop("l2")),
            "is damaged: KeyError: 'l2'",
        ),
        (_rewrite(lambda tensors, state: tensors.clear()), "is no checkpoint of this run: RuntimeError"),
    ],
)
def test_a_damaged_checkpoint_is_told_with_the_way_out(tmp_path, damage, reason):
    train(tmp_path, epochs=1)
    path = tmp_path / "checkpoint.safetensors"
    damage(path)
    with pytest.raises(StoreError) as error:
        train(tmp_path, epochs=2)
    assert str(error.value).startswith(f"{path}: ")
    assert reason in str(error.value)
    assert str(error.value).endswith("; delete the file, and the run begins anew")
    path.unlink()
    train(tmp_path, epochs=1)
