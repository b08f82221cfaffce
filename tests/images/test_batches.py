from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.errors import DataError, SpecError
from rgbench.images.batches import (
    ImageStore,
    KeptBatches,
    fits_in_memory,
    sequential_batches,
    shuffled_batches,
    two_source_batches,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_two_source_batches_hold_two_sources():
    batches = two_source_batches(1000, 24, 32, generator())
    assert len(batches) == 750
    kinds = Counter(tuple(torch.unique(batch // 24, return_counts=True)[1].tolist()) for batch in batches)
    assert kinds == {(24, 8): 250, (16, 16): 250, (8, 24): 250}


def test_two_source_batches_change_their_order_only():
    fixed = [tuple(batch.tolist()) for batch in two_source_batches(10, 24, 32)]
    epochs = [[tuple(b.tolist()) for b in two_source_batches(10, 24, 32, generator(i))] for i in range(2)]
    assert fixed == [tuple(range(i, min(i + 32, 240))) for i in range(0, 240, 32)]
    assert epochs[0] != epochs[1]
    assert set(epochs[0]) == set(epochs[1]) == set(fixed)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 300), st.integers(1, 64), st.integers(0, 5))
def test_every_image_comes_once(n, batch_size, seed):
    for batches in (
        sequential_batches(n, batch_size),
        shuffled_batches(n, batch_size, generator(seed)),
        two_source_batches(n, 1, batch_size, generator(seed)),
    ):
        assert sorted(i for batch in batches for i in batch.tolist()) == list(range(n))
        assert sum(len(batch) < batch_size for batch in batches) <= 1
        assert len(batches) == -(-n // batch_size)


def test_shuffling_follows_the_generator():
    one, two, three = (torch.cat(shuffled_batches(50, 8, generator(seed))) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_batch_size_is_checked():
    with pytest.raises(SpecError, match="batch_size: 0"):
        sequential_batches(5, 0)


def test_fits():
    assert fits_in_memory(1)
    assert not fits_in_memory(1 << 60)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_streamed_and_resident_stores_give_the_same(dtype):
    images = np.random.default_rng(0).integers(0, 255, (7, 6, 5)).astype(dtype)
    labels = np.arange(7) % 4
    stores = [ImageStore(images, labels, resident=resident) for resident in (True, False)]
    assert [store.resident for store in stores] == [True, False]
    assert len(stores[0]) == 7
    order = shuffled_batches(7, 3, generator())
    for (a, b, i), (c, d, j) in zip(*(store.batches(order) for store in stores), strict=True):
        assert a.dtype == torch.float32
        assert a.shape == (len(i), 1, 6, 5)
        np.testing.assert_array_equal(a[:, 0], images[i.numpy()].astype(np.float32))
        assert torch.equal(a, c)
        assert b.tolist() == d.tolist() == labels[i.numpy()].tolist()
        assert torch.equal(i, j)


def test_store_keeps_its_images_when_the_caller_changes_his():
    images = np.zeros((2, 4, 4), np.float32)
    store = ImageStore(images, np.array([0, 1]), resident=True)
    images += 1
    assert not store.take(torch.tensor([0, 1])).any()


def test_store_augments_on_the_way_out():
    store = ImageStore(np.ones((4, 4, 4), np.float32), np.zeros(4, np.int64))
    for images, _, _ in store.batches(sequential_batches(4, 2), lambda batch: batch * 2):
        assert (images == 2).all()


def test_store_checks_what_it_is_given():
    with pytest.raises(DataError, match="shape"):
        ImageStore(np.zeros((2, 4, 4), np.float32), np.zeros(3, np.int64))
    with pytest.raises(DataError, match="float64"):
        ImageStore(np.zeros((2, 4, 4)), np.zeros(2, np.int64))


@pytest.mark.parametrize("stride", [(400, 400, 20, 1), (400, 1, 20, 1)])
def test_kept_batches_are_made_once_and_are_the_same_bits(stride):
    """One channel has two descriptions of the same order in memory."""
    dense = torch.zeros(4, 1, 20, 20).as_strided((4, 1, 20, 20), stride)
    dense[1, 0, 3, 4], dense[3, 0, 19, 19], dense[0, 0, 0, 0] = 0.1, float("nan"), 1e-40
    dense[2, 0, 5, 5] = -0.0
    kept, made = KeptBatches(10**6), []

    def make(number):
        made.append(number)
        return dense * (number + 1)

    for number in (0, 1, 1, 0):
        found, expected = kept.get(number, lambda number=number: make(number)), (dense * (number + 1))
        assert found.stride() == expected.stride()
        assert torch.equal(found.view(torch.int32), expected.view(torch.int32))
        found += 1  # what was given is not what is kept
    assert made == [0, 1]


@pytest.mark.parametrize(
    "batch",
    [
        torch.ones(2, 1, 8, 8),
        -torch.zeros(2, 1, 8, 8),
        torch.zeros(2, 1, 8, 8)[..., ::2],
        torch.zeros(2, 1, 8, 8).bfloat16(),
    ],
)
def test_batches_that_would_not_come_back_alike_are_made_anew(batch):
    kept, made = KeptBatches(10**6), []
    for _ in range(2):
        assert torch.equal(kept.get(0, lambda: made.append(1) or batch), batch)
    assert len(made) == 2


def test_no_more_is_kept_than_there_is_room_for():
    batch, kept, made = torch.zeros(2, 1, 8, 8), KeptBatches(15), []
    batch[0, 0, 0, 0] = 1  # 8 bytes
    for number in (0, 1, 0, 1):
        kept.get(number, lambda number=number: made.append(number) or batch)
    assert made == [0, 1, 1]
