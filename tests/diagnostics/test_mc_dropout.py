"""Monte-Carlo dropout against torch's own dropout and by hand; what is stored of it, and the command."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rgbench.cli.app import main
from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.diagnostics import mc_dropout as ours
from rgbench.diagnostics.explain import look_again
from rgbench.diagnostics.stress import stress
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.measures.uncertainty import member_doubt, stack_members
from rgbench.networks.modules.build import Network, build_layers, build_network
from rgbench.networks.notation.notation import parse_layers
from rgbench.runs.logits import predict_logits
from rgbench.runs.reopen import StoredRun
from rgbench.runs.study import run_study
from rgbench.spec import DataSpec, RecipeSpec, Study
from rgbench.store.attributions import LOOKS_FILE
from rgbench.store.conditions import CONDITIONS_FILE, Condition
from rgbench.store.doubt import DOUBT_FILE, MC_DROPOUT, read_doubt
from rgbench.store.store import RunRecord, Store

SIDE = 32
RECIPE = RecipeSpec(epochs=1, batch_size=8, learning_rate=1e-3)
NORMALISED = "C3x3-4 s2 same · BN · relu · D0.25 · Flat · FC16 relu <he> · D0.5 · FC3 softmax <gu>"


def images(n: int = 12) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(n, 1, SIDE, SIDE)).astype(np.float32))


def layered(text: str = NORMALISED) -> Network:
    return build_layers(parse_layers(text), SIDE, 3, 1, torch.Generator().manual_seed(3))


def ask(network: Network, pixels: torch.Tensor, passes: int = 5, batch: int = 12, **recipe) -> np.ndarray:
    parts = iter(pixels.split(batch))
    return ours.predict_passes(network, parts, ours.Masks(1, passes), RECIPE.model_copy(update=recipe))


# --- the passes -------------------------------------------------------------------------------------------


def test_passes_are_spread_as_torch_s_own_dropout_spreads_them():
    network, pixels, n = layered(), images(6), 3000
    found = ask(network, pixels, n)
    for module in network.modules():
        module.train(isinstance(module, nn.Dropout))
    torch.manual_seed(0)
    with torch.no_grad():
        theirs = torch.stack([network(pixels) for _ in range(n)]).numpy()
    error = np.hypot(found.std(axis=0), theirs.std(axis=0)) / np.sqrt(n)
    assert (np.abs(found.mean(axis=0) - theirs.mean(axis=0)) < 4.5 * error).all()
    np.testing.assert_allclose(found.std(axis=0), theirs.std(axis=0), rtol=0.08)


def test_the_spread_of_a_linear_layer_behind_dropout_is_that_of_the_formula():
    """Variance of sum_i w_i h_i m_i / (1 - p): p / (1 - p) sum_i (w_i h_i)^2."""
    network, pixels = layered("Flat · D0.3 · FC3 softmax <gu>"), images(4)
    found = ask(network, pixels, 4000)
    weight, bias = (each.detach().numpy() for each in network.stack[2].parameters())
    flat = pixels.permute(0, 2, 3, 1).reshape(4, -1).numpy()  # one channel: rows and columns in either order
    np.testing.assert_allclose(found.mean(axis=0), flat @ weight.T + bias, atol=0.1)
    wanted = np.sqrt(0.3 / 0.7 * (flat**2) @ (weight.T**2))
    np.testing.assert_allclose(found.std(axis=0), wanted, rtol=0.06)


def test_a_pass_does_not_depend_on_batches_order_or_the_number_of_passes():
    network, pixels = layered(), images()
    whole = ask(network, pixels)
    np.testing.assert_allclose(ask(network, pixels, batch=5), whole, atol=1e-5)
    np.testing.assert_allclose(ask(network, pixels.flip(0), batch=1)[:, ::-1], whole, atol=1e-5)
    np.testing.assert_array_equal(ask(network, pixels, passes=9)[:5], whole)
    assert whole.std(axis=0).min() > 1e-3
    assert len({each.tobytes() for each in whole}) == 5


def test_layers_before_the_first_dropout_are_computed_once_and_give_the_same(monkeypatch):
    network, pixels = layered(), images()
    calls: list[int] = []
    handle = network.stack[0].register_forward_hook(lambda *_: calls.append(1))
    found = ask(network, pixels)
    assert len(calls) == 1
    monkeypatch.setattr(ours, "_cut", lambda network: (nn.Identity(), network))
    np.testing.assert_array_equal(ask(network, pixels), found)
    assert len(calls) == 1 + 5
    handle.remove()


def test_batch_normalisation_and_global_chance_stay_and_dropout_is_off_again_afterwards():
    network, pixels = layered(), images()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state, clean = torch.random.get_rng_state(), predict_logits(network, iter([pixels]))
    ask(network, pixels)
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    np.testing.assert_array_equal(predict_logits(network, iter([pixels])), clean)


def test_views_of_an_image_are_averaged_within_a_pass():
    """A network that cannot tell the views apart, with one mask for all, gives the same as without views."""
    network, pixels = build_network("lenet-d4", SIDE, 3, seed=2), images(4)
    both = [ask(network, pixels, views=views) for views in (1, 4)]
    np.testing.assert_allclose(both[0], both[1], atol=1e-4)
    assert both[0].std(axis=0).max() > 1e-3


def test_a_network_whose_dropout_layer_is_used_more_than_once_has_a_mask_for_each_use():
    network, pixels = build_network("ag-cnn", SIDE, 3, seed=2), images(4)
    whole = ask(network, pixels)
    np.testing.assert_allclose(ask(network, pixels, batch=1), whole, atol=1e-4)
    assert whole.std(axis=0).max() > 1e-4


def test_no_dropout_no_passes():
    with pytest.raises(SpecError, match="no dropout layer is on"):
        ask(layered("Flat · FC3 softmax <gu>"), images())


# --- a stored run -----------------------------------------------------------------------------------------


def toy_dataset(n: int = 60) -> DataSet:
    """Two classes: a blob left of the centre, or right of it."""
    rng, label = np.random.default_rng(5), np.arange(n) % 2
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    blobs = [np.exp(-((x + 10 * kind - 5) ** 2 + y**2) / 12) for kind in label]
    names = np.array([f"s{i:03d}" for i in range(n)])
    nothing = np.full(n, np.nan)
    catalogue = Catalogue(
        names, nothing, nothing, label.astype(np.int64), np.arange(n), names, np.zeros(n, np.int64)
    )
    sides = np.array(["train"] * 30 + ["validation"] * 10 + ["test"] * (n - 40))
    card = Card("toy", "toy", classes=("one", "two"), pixel_scale=1.8, beam=5.4)
    pixels = (np.stack(blobs) + rng.normal(0, 0.05, (n, SIDE, SIDE))).astype(np.float32)
    return DataSet(card, catalogue, pixels, {"published": sides})


def toy_study(network: str = "lenet", seeds: tuple[int, ...] = (1,), **changes) -> Study:
    recipe = {"epochs": 2, "batch_size": 10, "precision": "float32", "views": 1}
    return Study(
        name="toy",
        networks=(network,),
        seeds=seeds,
        data=DataSpec(name="toy"),
        images={"field": SIDE, "size": SIDE, "preset": "becker2021"},
        augmentation={"kind": "none"},
        recipe=recipe | changes,
    )


@pytest.fixture(scope="module")
def dataset() -> DataSet:
    return toy_dataset()


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory, dataset) -> Path:
    root = tmp_path_factory.mktemp("store")
    (record,) = run_study(toy_study(), Store(root), dataset=dataset)
    assert record.error is None
    return root


@pytest.fixture
def trained(tmp_path, trained_once) -> tuple[RunRecord, Store]:
    store = Store(shutil.copytree(trained_once, tmp_path / "store"))
    return store.records()[0], store


def test_rows_stand_beside_the_run_with_their_mean_and_are_computed_once(trained, dataset, monkeypatch):
    record, store = trained
    folder = store.run_path(record.run_id)
    before = (folder / "predictions.parquet").read_bytes()
    assert read_doubt(store, record.run_id) is None
    told: list[tuple[int, int]] = []
    run = StoredRun(record, store, dataset=dataset)
    table = ours.mc_dropout(run, passes=4, on_progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (60, 60), "30 sources, two models"
    assert (folder / "predictions.parquet").read_bytes() == before
    assert len(table) == 2 * (10 + 20) * (4 + 1)
    for split in ("validation", "test"):
        for model in ("best", "final"):
            clean = record.predictions.select(split, model)
            mean = table.select(split, model, condition=MC_DROPOUT)
            assert mean.source_id.tolist() == clean.source_id.tolist()
            assert mean.label.tolist() == clean.label.tolist()
            source_id, _, scores = stack_members(table.select(split, model, None, MC_DROPOUT))
            order = np.argsort(mean.source_id)
            assert source_id.tolist() == mean.source_id[order].tolist()
            np.testing.assert_allclose(mean.probabilities()[order], np.exp(scores).mean(axis=0), atol=1e-6)
            assert member_doubt(scores).mutual_information.max() > 1e-6

    stored = read_doubt(store, record.run_id)
    np.testing.assert_array_equal(stored.logits, table.logits)
    more = ours.mc_dropout(StoredRun(record, store, dataset=dataset), passes=6)
    for member in (1, 4):
        np.testing.assert_array_equal(
            more.select("test", "best", member, MC_DROPOUT).logits,
            table.select("test", "best", member, MC_DROPOUT).logits,
        )
    monkeypatch.setattr(ours, "predict_passes", None)  # nothing may be predicted now
    assert ours.mc_dropout(StoredRun(record, store, dataset=dataset), passes=3).member.max() == 6
    assert not list(folder.glob(".tmp-*"))


def test_passes_centre_on_what_the_run_says_without_dropout(trained, dataset):
    """With the rate of every layer near 0, the passes are the stored predictions."""
    record, store = trained
    run = StoredRun(record, store, dataset=dataset)
    network = run.network(dropout=True)
    for layer in ours.dropout_layers(network):
        layer.p = 1e-9
    index = run.side("test")
    batches = run.images(index).plain(np.arange(len(index)))
    found = ours.predict_passes(network, batches.images(), ours.Masks(1, 2), record.spec.recipe)
    clean = record.predictions.select("test", "best")
    assert (
        dataset.catalogue.source_id[index].tolist()
        == clean.source_id.tolist()
        == [f"s{i:03d}" for i in range(40, 60)]
    )
    np.testing.assert_allclose(found[0], clean.logits, atol=1e-5)


def test_only_the_dropout_that_it_was_trained_with_is_on(tmp_path, dataset):
    everywhere, dense = (
        run_study(toy_study("atlas-x-id", dropout=where, epochs=1), Store(tmp_path), dataset=dataset)[0]
        for where in ("all", "dense")
    )
    rates = [
        [layer.p for layer in ours.dropout_layers(StoredRun(record, Store(tmp_path)).network(dropout=True))]
        for record in (everywhere, dense)
    ]
    assert rates == [[0.25, 0.25, 0.5], [0.5]]
    table = ours.mc_dropout(StoredRun(dense, Store(tmp_path), dataset=dataset), passes=3)  # ends in sigmoids
    assert dense.predictions.activation == "sigmoid"
    assert table.activation == "softmax"
    np.testing.assert_allclose(table.probabilities().sum(axis=1), 1, atol=1e-6)
    members = table.select("test", "best", None, MC_DROPOUT)
    mean = members.take(members.member == 0).probabilities()
    each = members.take(members.member > 0).probabilities().reshape(3, 20, 2)
    np.testing.assert_allclose(mean, each.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("file", "write"),
    [
        (DOUBT_FILE, lambda run: ours.mc_dropout(run, passes=2)),
        (CONDITIONS_FILE, lambda run: stress(run, [Condition("noise", 1)])),
        (LOOKS_FILE, lambda run: look_again(run, ["s041"])),
    ],
)
def test_who_writes_beside_a_run_waits_until_nobody_else_does(trained, dataset, file, write):
    record, store = trained
    run = StoredRun(record, store, dataset=dataset)
    path = store.run_path(record.run_id) / file
    writer = threading.Thread(target=write, args=(run,))
    with store.lock(record.run_id):
        writer.start()
        writer.join(1)
        assert writer.is_alive()
        assert not path.exists()
    writer.join(60)
    assert path.exists()


def test_what_cannot_be_asked_again_says_why(trained, dataset, tmp_path):
    record, store = trained
    with pytest.raises(SpecError, match="passes: found 1; 2 or more are needed"):
        ours.mc_dropout(StoredRun(record, store, dataset=dataset), passes=1)
    with pytest.raises(SpecError, match="is failed; only complete runs"):
        ours.mc_dropout(StoredRun(replace(record, status="failed"), store, dataset=dataset))
    other = replace(dataset, images=dataset.images + 1)
    with pytest.raises(DataError, match="was trained on data with checksum"):
        StoredRun(record, store, dataset=other)
    other_id = replace(ours.mc_dropout(StoredRun(record, store, dataset=dataset), passes=2), run_id="0" * 16)
    ours.write_predictions(store.run_path(record.run_id) / DOUBT_FILE, other_id)
    with pytest.raises(StoreError, match="is of run '0000000000000000'"):
        ours.mc_dropout(StoredRun(record, store, dataset=dataset))
    for network, dropout, reason in (
        ("cosmodeep", "all", "cosmodeep has no dropout layer to leave on: it has none"),
        ("simplenet", "dense", "recipe.dropout is 'dense', which leaves none of its 2 on"),
    ):
        study = toy_study(network, dropout=dropout, epochs=1)
        (bare,) = run_study(study, Store(tmp_path / network), dataset=dataset)
        run = StoredRun(bare, Store(tmp_path / network), dataset=dataset)
        assert reason in ours.no_dropout(run)
        with pytest.raises(SpecError, match=reason):
            ours.mc_dropout(run)


# --- the command ------------------------------------------------------------------------------------------


def test_the_command_asks_every_run_and_says_which_it_leaves_out(tmp_path, dataset, monkeypatch, capsys):
    store = Store(tmp_path / "store")
    (asked,) = run_study(toy_study(epochs=1), store, dataset=dataset)
    (skipped,) = run_study(toy_study("cosmodeep", epochs=1), store, dataset=dataset)
    monkeypatch.setattr("rgbench.runs.reopen.load_dataset", lambda data: dataset)
    with pytest.raises(SystemExit) as end:
        main(["doubt", "--store", str(store.root), "--passes", "2", "--device", "cpu"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "lenet, seed 1: 2 passes" in said
    assert "cosmodeep, seed 1: left out: cosmodeep has no dropout layer to leave on: it has none" in said
    assert read_doubt(store, asked.run_id).member.max() == 2
    assert read_doubt(store, skipped.run_id) is None
    with pytest.raises(SystemExit) as end:
        main(["doubt", "--store", str(store.root), "--run", "LeNet", "--passes", "3", "--device", "cpu"])
    assert end.value.code == 0
    assert "cosmodeep" not in capsys.readouterr().out
    assert read_doubt(store, asked.run_id).member.max() == 3
    with pytest.raises(SystemExit) as end:
        main(["doubt", "--store", str(store.root), "--run", skipped.run_id, "--device", "cpu"])
    assert end.value.code != 0, "nothing was asked"
    assert "cosmodeep has no dropout layer to leave on" in capsys.readouterr().err
