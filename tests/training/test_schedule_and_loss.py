"""Schedules follow Keras' rules, losses follow Keras' and scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from rgbench.spec import RecipeSpec
from rgbench.training.loss import balanced_weights, cross_entropy
from rgbench.training.schedule import Schedule


def recipe(**changes) -> RecipeSpec:
    return RecipeSpec(**{"epochs": 10, "batch_size": 32, "learning_rate": 1e-3, **changes})


def keras_plateau(losses: list[float], rate: float) -> list[float]:
    """Rates after each epoch, as the rules of Keras' ReduceLROnPlateau give them (cooldown 0)."""
    best, wait, rates = math.inf, 0, []
    for loss in losses:
        if loss < best - 0.01:
            best, wait = loss, 0
        else:
            wait += 1
            if wait >= 3:
                rate, wait = max(rate * 0.5, 1e-12), 0
        rates.append(rate)
    return rates


def test_plateau_waits_three_epochs_then_halves():
    schedule = Schedule.start(recipe(schedule="plateau"), steps_per_epoch=5)
    losses = [1.0, 0.9, 0.895, 0.894, 0.893, 0.892, 0.891, 0.889, 0.5, 0.6, 0.6, 0.6, 0.4]
    rates = []
    for loss in losses:
        schedule.epoch_ends(loss)
        rates.append(schedule.rate_at(1, 0))
    assert rates == keras_plateau(losses, 1e-3)
    assert rates[3:5] == [1e-3, 5e-4]


def test_a_nan_loss_counts_as_no_progress():
    schedule = Schedule.start(recipe(schedule="plateau"), steps_per_epoch=5)
    for _ in range(3):
        schedule.epoch_ends(math.nan)
    assert schedule.rate_at(1, 0) == 5e-4


def test_a_schedule_goes_on_from_its_state():
    schedule, other = (Schedule.start(recipe(schedule="plateau"), 5) for _ in range(2))
    for loss in (1.0, 1.0, 1.0):
        schedule.epoch_ends(loss)
    other.restore(schedule.state())
    schedule.epoch_ends(1.0)
    other.epoch_ends(1.0)
    assert schedule.rate_at(5, 0) == other.rate_at(5, 0) == 5e-4


def test_warmup_rises_to_the_rate_and_the_cosine_falls_to_nothing():
    schedule = Schedule.start(recipe(schedule="warmup-cosine", warmup=0.1), steps_per_epoch=10)
    rates = [schedule.rate_at(epoch, step) for epoch in range(1, 11) for step in range(10)]
    assert rates[9] == pytest.approx(1e-3)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-6


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(40, 4, generator=generator), torch.randint(0, 4, (40,), generator=generator)


def test_cross_entropy_equals_scikit_learn_s(batch):
    logits, labels = batch
    expected = log_loss(labels.numpy(), logits.double().softmax(1).numpy(), labels=range(4))
    assert float(cross_entropy(logits, labels, "softmax")) == pytest.approx(expected, rel=1e-6)


def test_sigmoid_outputs_are_divided_by_their_sum(batch):
    logits, labels = batch
    p = logits.double().sigmoid()
    expected = -torch.log((p / p.sum(1, keepdim=True))[torch.arange(40), labels]).mean()
    assert float(cross_entropy(logits, labels, "sigmoid")) == pytest.approx(float(expected), rel=1e-6)


def test_label_smoothing_and_weights_equal_torch_s(batch):
    logits, labels = batch
    weights = balanced_weights(labels, 4)
    for smoothing in (0.0, 0.1):
        ours = cross_entropy(logits, labels, "softmax", label_smoothing=smoothing)
        theirs = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    weighted = cross_entropy(logits, labels, "softmax", weights)
    theirs = torch.nn.functional.cross_entropy(logits, labels, weight=weights)
    assert float(weighted) == pytest.approx(float(theirs), rel=1e-5)


def test_balanced_weights_equal_scikit_learn_s(batch):
    _, labels = batch
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels.numpy())
    np.testing.assert_allclose(balanced_weights(labels, 4).numpy(), expected, rtol=1e-6)


@pytest.fixture
def soft() -> torch.Tensor:
    """Probabilities of 40 sources: some even, some sure."""
    drawn = torch.rand(40, 4, generator=torch.Generator().manual_seed(2)) ** 4
    return drawn / drawn.sum(dim=1, keepdim=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_with_probabilities_equals_torch_s(batch, soft, smoothing):
    logits, _ = batch
    ours = cross_entropy(logits, soft, "softmax", label_smoothing=smoothing)
    theirs = torch.nn.functional.cross_entropy(logits, soft, label_smoothing=smoothing)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_weighted_cross_entropy_with_probabilities_equals_a_count_by_hand(batch, soft):
    """Every source stands there as four parts, one of each class, as heavy as it is likely and as the class weighs."""
    logits, _ = batch
    weights = balanced_weights(soft, 4)
    np.testing.assert_allclose(weights.numpy(), 40 / (4 * soft.double().sum(0).numpy()), rtol=1e-6)
    total = mass = 0.0
    for row, p in zip(logits.double().tolist(), soft.double().tolist(), strict=True):
        norm = math.log(sum(math.exp(value) for value in row))
        for c in range(4):
            total += float(weights[c]) * p[c] * (norm - row[c])
            mass += float(weights[c]) * p[c]
    assert float(cross_entropy(logits, soft, "softmax", weights)) == pytest.approx(total / mass, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_of_0_and_1_are_labels(batch, smoothing, activation):
    logits, labels = batch
    sure = torch.nn.functional.one_hot(labels, 4).float()
    assert balanced_weights(sure, 4).tolist() == balanced_weights(labels, 4).tolist()
    weights = balanced_weights(labels, 4)
    for given in (None, weights):
        hard, same = (cross_entropy(logits, y, activation, given, smoothing) for y in (labels, sure))
        assert float(hard) == pytest.approx(float(same), rel=1e-5)
