"""Splits: the 2021 algorithm to the golden hashes; no sky group on two sides."""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.data.catalogue import Card, Catalogue, DataSet, Flag
from rgbench.data.leakage import assert_no_leak, sky_groups
from rgbench.data.sets import load_data
from rgbench.data.split import (
    Split,
    becker2021,
    becker2021_split,
    grouped_stratified_folds,
    limit_training,
    published_split,
    source_columns,
)
from rgbench.errors import DataError, LeakageError, SpecError

MIRROR = os.environ.get("RGBENCH_MIRROR")
needs_mirror = pytest.mark.skipif(not MIRROR, reason="needs the public manifests in $RGBENCH_MIRROR")

GOLDEN = {
    ("unLRG", 8901): ("J010101.68+010903.0", "a8edc3b0410cfd1f", "3cf2ae3248aa7b95", "4beb031bc619a6eb"),
    ("unLRG", 1826): ("J135801.04+562727.9", "d0d10d2170864cfa", "0ebd2252cce4f00e", "43b5141ae52c9da2"),
    ("unLRG", 4915): ("J131536.21+411327.6", "9b22d19e64c23ca8", "a27a699a15430f45", "4a5c40c75a272a04"),
    ("LRG", 8901): ("J151105.58+220806.4", "142b184663ef416a", "1a73e2d6f685e2ca", "a3dea55170fc81c1"),
    ("LRG", 1826): ("J115312.53+091402.5", "1b244f1a187c3ede", "69c5652a5066983e", "44337315fc957b32"),
    ("LRG", 4915): ("J164845.08+254119.5", "bcf527fb69042f59", "9ced17e695f50a6a", "689e4b2d00ae6d94"),
}
"""First shuffled name, and SHA-256 beginnings of the newline-joined train, validation and test names,
as the 2021 testbed's own code gives them; 250/100 sources per class for unLRG, 80/60 for LRG."""


@needs_mirror
@pytest.mark.parametrize(("manifest", "seed"), GOLDEN)
def test_the_2021_split_has_the_original_s_names_in_their_order(manifest, seed):
    path = Path(MIRROR) / "catalogues" / "original" / f"{manifest}_manifest.csv"
    rows = list(csv.reader(path.read_text().splitlines()))[1:]
    train, validation = (250, 100) if manifest == "unLRG" else (80, 60)
    names, labels = [row[0] for row in rows], [row[1] for row in rows]
    split = becker2021_split(names, labels, seed, train, validation)
    hashes = [hashlib.sha256("\n".join(split[s]).encode()).hexdigest()[:16] for s in split]
    assert (split["train"][0], *hashes) == GOLDEN[manifest, seed]


@given(
    labels=st.lists(st.sampled_from(["1", "1F", "2", "3", "4"]), min_size=1, max_size=60),
    seed=st.integers(0, 2**31),
    train=st.integers(1, 5),
    validation=st.integers(1, 5),
)
def test_every_source_goes_to_one_side_and_no_class_beyond_its_number(labels, seed, train, validation):
    names = [f"s{i}" for i in range(len(labels))]
    split = becker2021_split(names, labels, seed, train, validation)
    label_of = dict(zip(names, labels, strict=True))
    assert sorted(name for side in split.values() for name in side) == sorted(
        n for n in names if label_of[n] != "1F"
    )
    for label in "1234":
        total = sum(value == label for value in labels)
        found = {side: sum(label_of[n] == label for n in split[side]) for side in split}
        assert found["train"] == min(train, total)
        assert found["validation"] == min(validation, total - found["train"])


def test_a_source_without_image_goes_nowhere_and_does_not_count():
    names = [f"s{i}" for i in range(10)]
    split = becker2021_split(names, ["1"] * 10, 8901, 3, 3, usable=lambda name: name not in ("s1", "s2"))
    assert {side: len(members) for side, members in split.items()} == {"train": 3, "validation": 3, "test": 2}


def make(n: int = 40, **columns) -> DataSet:
    rng = np.random.default_rng(1)
    catalogue = Catalogue(
        source_id=np.array([f"s{i}" for i in range(n)]),
        ra=rng.uniform(0, 360, n),
        dec=rng.uniform(-80, 80, n),
        label=np.arange(n) % 4,
        group=np.arange(n),
        path=np.full(n, ""),
        flags=np.zeros(n, dtype=np.int64),
    )
    sides = np.array(["train", "train", "validation", "test"])[np.arange(n) // 10]
    return DataSet(
        Card("toy", "toy"), replace(catalogue, **columns), np.zeros((n, 8, 8), np.uint8), {"published": sides}
    )


def test_a_published_split_loses_what_leaks_but_keeps_its_test_set():
    group = np.arange(40)
    group[[0, 35]] = 99  # train and test
    group[[25, 36]] = 98  # validation and test
    group[[1, 26]] = 97  # train and validation
    split = published_split(make(group=group))
    assert len(split.indices("test")) == 10
    assert dict(split.removed).keys() == {"s0", "s25", "s1"}
    assert "train source in the sky group of s35 (test)" in dict(split.removed)["s0"]
    assert_no_leak(make().catalogue.source_id, group, split.assignment)


def test_an_unusable_image_is_taken_out_and_listed():
    flags = np.zeros(40, dtype=np.int64)
    flags[39] = Flag.UNUSABLE
    split = published_split(make(flags=flags))
    assert len(split.indices("test")) == 9
    assert "test image has no signal" in dict(split.removed)["s39"]


def test_the_2021_split_of_a_data_set_keeps_its_order():
    split = becker2021(make(), 8901, train=3, validation=2)
    names = [f"s{i}" for i in range(40)]
    expected = becker2021_split(names, [str(i % 4) for i in range(40)], 8901, 3, 2)
    for side, members in expected.items():
        assert [names[i] for i in split.indices(side)] == members


def test_a_split_that_leaves_no_test_source_is_an_error():
    with pytest.raises(
        DataError,
        match="the test set is empty: 40 labelled sources.* such as 5 and 2: train_size and validation_size",
    ):
        becker2021(make(), 8901, train=8, validation=2)


def test_an_unknown_split_names_the_known_ones():
    with pytest.raises(SpecError, match="toy has no split 'random'; its splits: published"):
        published_split(make(), "random")
    with pytest.raises(SpecError, match="legal are train, validation, test"):
        published_split(make()).indices("valid")


def test_leaks_name_the_sources():
    with pytest.raises(LeakageError, match=r"a \(train\) and b \(test\)"):
        assert_no_leak(np.array(["a", "b"]), np.array([1, 1]), np.array(["train", "test"]))


@given(st.integers(2, 5), st.integers(0, 1000))
def test_folds_keep_groups_whole_and_classes_even(n_folds, seed):
    rng = np.random.default_rng(seed)
    label, group = rng.integers(0, 4, 200), rng.integers(0, 120, 200)
    fold = grouped_stratified_folds(label, group, n_folds, seed)
    for g in np.unique(group):
        assert len(set(fold[group == g])) == 1
    counts = np.array([[np.sum((fold == f) & (label == c)) for c in range(4)] for f in range(n_folds)])
    assert np.ptp(counts, axis=0).max() <= 10
    assert np.ptp(counts.sum(axis=1)) <= 20


def brute_groups(ra, dec, radius):
    """Friends of friends over all pairs, by angular separation (astropy)."""
    from astropy.coordinates import SkyCoord

    sky = SkyCoord(ra, dec, unit="deg")
    near = sky[:, None].separation(sky[None, :]).arcsec <= radius
    label = np.arange(len(ra))
    while True:
        new = np.array([label[row].min() for row in near])
        if (new == label).all():
            return label
        label = new


@pytest.mark.parametrize("centre", [(10.0, 0.0), (359.999, 30.0), (120.0, 89.99), (0.0, -89.995)])
def test_sky_groups_equal_brute_force(centre):
    rng = np.random.default_rng(3)
    dec = np.clip(centre[1] + rng.normal(0, 0.05, 60), -90, 90)
    ra = (centre[0] + rng.normal(0, 0.05, 60) / np.cos(np.deg2rad(min(abs(centre[1]), 89.9)))) % 360
    ours, theirs = sky_groups(ra, dec, 60), brute_groups(ra, dec, 60)
    assert (np.equal.outer(ours, ours) == np.equal.outer(theirs, theirs)).all()


def test_chains_count_and_unknown_positions_stand_alone():
    ra = np.array([10.0, 10 + 50 / 3600, 10 + 100 / 3600, np.nan, np.nan])
    dec = np.array([0.0, 0, 0, np.nan, np.nan])
    assert sky_groups(ra, dec).tolist() == [0, 0, 0, 1, 2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(1, 60), min_size=2, max_size=4, unique=True))
def test_training_sets_of_a_learning_curve_are_nested_and_stratified(seed, limits):
    label = np.repeat([0, 1, 2], [60, 30, 10])
    assignment = np.array(["train"] * 90 + ["test"] * 10)
    whole = Split("made up", assignment, np.arange(100))
    kept = {n: set(limit_training(whole, label, n, seed).indices("train").tolist()) for n in limits}
    for n, rows in kept.items():
        assert len(rows) == n
        assert abs(sum(label[list(rows)] == 0) - n * 60 / 90) <= 1
        for m, others in kept.items():
            assert n > m or rows <= others
    limited = limit_training(whole, label, limits[0], seed)
    assert (limited.indices("test") == whole.indices("test")).all()
    with pytest.raises(SpecError, match="train_limit: found 91; the split has 90"):
        limit_training(whole, label, 91, seed)


@needs_mirror
@pytest.mark.parametrize("name", ["mirabest-basic", "mirabest-f", "fr-deep-first", "fr-deep-nvss"])
def test_sets_without_a_validation_side_get_one_from_training(name):
    dataset = load_data(name)
    split = published_split(dataset)
    train, validation = split.indices("train"), split.indices("validation")
    assert abs(len(validation) - (len(train) + len(validation)) / 8) < 5
    shares = [
        np.bincount(dataset.catalogue.label[rows], minlength=3) / len(rows) for rows in (train, validation)
    ]
    np.testing.assert_allclose(*shares, atol=0.03)
    assert not set(dataset.catalogue.group[train]) & set(dataset.catalogue.group[validation])
    published = np.flatnonzero(dataset.splits["published"] == "test")
    assert set(split.indices("test")) <= set(published)
    assert (published_split(dataset).assignment == split.assignment).all(), "the same every time"


def test_sources_as_columns_have_the_names_of_their_classes_and_sides():
    label, sides = np.array([1, -1, 0]), np.array(["test", "", "train"])
    ra, dec, group = np.array([10.5, np.nan, 12]), np.array([-1.25, np.nan, 2]), np.array([7, 8, 9])
    names, paths = np.array(["a", "b", "c"]), np.array(["a.fits", "b.fits", ""])
    catalogue = Catalogue(names, ra, dec, label, group, paths, np.zeros(3, dtype=np.int64))
    dataset = DataSet(Card("toy", "A toy", classes=("A", "B")), catalogue, np.zeros((3, 4, 4)))
    columns = source_columns(dataset, Split("own", sides, np.arange(3)))
    assert list(columns) == ["source_id", "ra", "dec", "label", "split", "group", "path"]
    rows = list(zip(*(columns[name].tolist() for name in columns if name not in ("ra", "dec")), strict=True))
    assert rows == [
        ("a", "B", "test", 7, "a.fits"),
        ("b", "", "", 8, "b.fits"),
        ("c", "A", "train", 9, ""),
    ]
    np.testing.assert_array_equal((columns["ra"], columns["dec"]), (ra, dec))
    assert "split" not in source_columns(dataset)
