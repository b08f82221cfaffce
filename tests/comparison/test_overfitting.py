"""Overfitting from histories: by hand, with a known opening, without one, and over seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rgbench.comparison.overfitting import LASTING, opening_epoch, over_seeds, overfitting, rotated
from rgbench.errors import DataError
from rgbench.store.tables import HISTORY_COLUMNS, read_history, write_history


def history(
    n: int = 30, opens: int = 12, slope: float = 0.04, noise: float = 0.01, seed: int = 0, l2: float = 0.5
):
    """Both losses fall alike until the validation loss stays behind from epoch `opens` on."""
    rng = np.random.default_rng(seed)
    epoch = np.arange(1, n + 1)
    train = 0.2 + 1.1 * np.exp(-epoch / 8)
    gap = slope * np.maximum(epoch - opens, 0) + rng.normal(0, noise, n)
    columns = dict.fromkeys(HISTORY_COLUMNS, np.ones(n))
    columns |= {"epoch": epoch, "train_loss": train, "validation_loss": train + gap, "l2": np.full(n, l2)}
    columns |= {"train_accuracy": 1 - train / 2, "validation_accuracy": 1 - train / 2 - gap / 2}
    return columns


def test_series_and_models_by_hand():
    columns = {
        "epoch": [1, 2, 3, 4],
        "train_loss": [1.2, 0.8, 0.4, 0.2],
        "validation_loss": [1.2, 1.0, 0.8, 1.0],
        "train_accuracy": [0.4, 0.6, 0.8, 0.9],
        "validation_accuracy": [0.4, 0.5, 0.75, 0.6],
        "l2": [2.0, 1.5, 1.2, 0.6],
    }
    found = overfitting(columns)
    np.testing.assert_allclose(found.loss_gap, [0, 0.2, 0.4, 0.8])
    np.testing.assert_allclose(found.loss_ratio, [1, 0.8, 0.5, 0.2])
    np.testing.assert_allclose(found.loss_ratio_l2, [1, 2.3 / 2.5, 1.6 / 2.0, 0.8 / 1.6])
    np.testing.assert_allclose(found.accuracy_gap, [0, 0.1, 0.05, 0.3])
    np.testing.assert_allclose(found.accuracy_ratio, [1, 1.2, 0.8 / 0.75, 1.5])
    # Without the penalty epoch 3 would be best; the model that is kept is that of the sum, epoch 4.
    assert (found.best.epoch, found.final.epoch) == (4, 4)
    found = overfitting({**columns, "l2": np.zeros(4)})
    assert (found.best.epoch, found.best.validation_loss, found.best.loss_ratio) == (3, 0.8, 0.5)
    assert found.loss_lost == pytest.approx(0.2)
    assert found.accuracy_lost == pytest.approx(0.15)
    np.testing.assert_array_equal(found.loss_ratio, found.loss_ratio_l2)


def test_a_history_as_it_is_stored_is_read(tmp_path):
    write_history(tmp_path / "history.parquet", history())
    found = overfitting(read_history(tmp_path / "history.parquet"))
    assert found.epoch.tolist() == list(range(1, 31))
    assert 12 < found.loss_opens <= 16
    assert found.best.epoch < found.final.epoch == 30
    assert found.loss_lost > 0


@pytest.mark.parametrize("n", [16, 30, 60])
def test_the_epoch_is_found_soon_after_the_gap_opens(n):
    opens = n // 3
    found = [overfitting(history(n, opens, 0.05, 0.05, seed)).loss_opens for seed in range(200)]
    known = np.array([epoch for epoch in found if epoch is not None])
    assert len(known) >= 0.98 * 200
    assert np.mean(known < opens) < 0.02
    assert np.median(known) <= opens + 6


@pytest.mark.parametrize("n", [6, 16, 60])
@pytest.mark.parametrize("memory", [0.0, 0.7])
def test_noise_alone_hardly_ever_opens_a_gap(n, memory):
    rng, opened = np.random.default_rng(0), 0
    for _ in range(400):
        gap = rng.normal(0, 0.05, n)
        for i in range(1, n):
            gap[i] += memory * gap[i - 1]
        opened += opening_epoch(gap) is not None
    assert opened / 400 <= 0.04 if n > 6 else opened / 400 <= 0.15


def test_a_gap_that_closes_again_is_not_open_for_good():
    gap = np.zeros(30)
    gap[10:20] = 1.0
    assert opening_epoch(gap) is None
    gap[24:] = 1.0
    assert opening_epoch(gap) == 24
    gap[-1] = 0
    assert opening_epoch(gap) is None
    late = np.zeros(30)
    late[-LASTING + 1 :] = 1
    assert opening_epoch(late) is None
    late[-LASTING] = 1
    assert opening_epoch(late) == 30 - LASTING


def test_a_gap_too_small_to_matter_and_one_that_was_always_there_do_not_open():
    assert opening_epoch(np.linspace(0, 0.015, 40)) is None
    assert opening_epoch(np.full(40, 0.5)) is None
    assert opening_epoch(np.linspace(0, -1, 40)) is None
    assert opening_epoch(np.ones(LASTING + 2)) is None


@settings(deadline=None)
@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-2, 2)))
def test_an_opening_leaves_the_gap_open_to_the_end(gap):
    found = opening_epoch(gap)
    if found is None:
        return
    first = max(3, len(gap) // 5)
    assert len(gap) - found >= LASTING
    assert (gap[found:] > max(np.median(gap[:first]), 0)).all()
    assert found == 0 or gap[found - 1] < gap[found:].min()


def test_seeds_that_stopped_at_different_epochs():
    runs = [overfitting(history(n, 10, 0.05, 0.0, l2=0.1 * n)) for n in (20, 30, 25)]
    found = over_seeds(runs)
    assert found.n_seeds == 3
    assert found.epoch.tolist() == list(range(1, 31))
    assert found.n.tolist() == [3] * 20 + [2] * 5 + [1] * 5
    at = [run.loss_ratio_l2[14] for run in runs]
    assert found.mean["loss_ratio_l2"][14] == pytest.approx(np.mean(at))
    assert found.spread["loss_ratio_l2"][14] == pytest.approx(np.std(at, ddof=1))
    assert found.mean["loss_gap"][22] == pytest.approx(np.mean([run.loss_gap[22] for run in runs[1:]]))
    assert np.isnan(found.spread["loss_gap"][27])
    assert found.mean["loss_gap"][27] == pytest.approx(runs[1].loss_gap[27])
    assert found.final_ratio.mean == pytest.approx(np.mean([run.final.loss_ratio for run in runs]))
    assert found.best_epoch.n == found.opened_loss.n == 3
    assert found.opened_loss.spread == pytest.approx(np.std([run.loss_opens for run in runs], ddof=1))


def test_seeds_of_which_not_all_overfit():
    runs = [overfitting(history(slope=slope, noise=0)) for slope in (0.05, 0.0)]
    found = over_seeds(runs)
    assert (found.opened_loss.n, found.opened_loss.mean) == (1, runs[0].loss_opens)
    assert np.isnan(found.opened_loss.spread)
    none = over_seeds(runs[1:])
    assert none.opened_loss.n == 0
    assert np.isnan(none.opened_loss.mean)


def test_histories_that_cannot_be_read_are_refused():
    with pytest.raises(DataError, match="no column 'l2'"):
        overfitting({name: values for name, values in history().items() if name != "l2"})
    with pytest.raises(DataError, match="no epoch"):
        overfitting({name: values[:0] for name, values in history().items()})
    broken = history()
    broken["train_loss"][7] = np.nan
    with pytest.raises(DataError, match="'train_loss' is not finite in row 8: the run diverged"):
        overfitting(broken)
    with pytest.raises(DataError, match="found none"):
        over_seeds([])


def test_rotated_sets_are_read_as_a_run_keeps_them():
    """The names are those that `rgbench.runs.execute` writes after training on fixed rotations."""
    kept = {"train_loss": 0.3, "train_accuracy": 0.9, "validation_loss": 0.6, "validation_accuracy": 0.8}
    cost = {"evaluation": {"best": kept, "final": {**kept, "validation_loss": 0.0}}}
    assert rotated(cost, "best").loss_ratio == pytest.approx(0.5)
    assert rotated(cost, "best").validation_accuracy == 0.8
    assert np.isnan(rotated(cost, "final").loss_ratio)
    for other in ({}, {"evaluation": {}}, {"evaluation": {"best": {"train_loss": 1.0}}}):
        assert rotated(other, "best") is None
