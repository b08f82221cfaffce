"""Train on one set, test on another: shared sources are out of training, by position or by image."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.data.catalogue import CLASSES, Card, Catalogue, DataSet
from rgbench.data.combine import joint_groups, train_here_test_there
from rgbench.data.leakage import sky_groups, unit_vectors
from rgbench.data.overlap import close_pairs
from rgbench.data.sets import load_data, load_labels
from rgbench.data.split import published_split
from rgbench.data.twins import find_twins, identical_groups
from rgbench.errors import DataError, LeakageError, SpecError

mirror = pytest.mark.skipif(not os.environ.get("RGBENCH_MIRROR"), reason="RGBENCH_MIRROR is not set")


@pytest.fixture(scope="module")
def first():
    return load_data("first-galaxy-data")


def made_up(name, ra, classes=("FRI", "FRII"), side=16, scale=1.8, **more):
    """Make a data set of random images at some right ascensions on the equator."""
    n = len(ra)
    names, zeros = np.array([f"s{i}" for i in range(n)]), np.zeros(n, dtype=np.int64)
    ra, dec = np.array(ra), np.where(np.isnan(ra), np.nan, 0.0)
    label = more.get("label", np.arange(n) % len(classes))
    catalogue = Catalogue(names, ra, dec, label, sky_groups(ra, dec), names, zeros)
    card = Card(name=name, title=name, classes=classes, pixel_scale=scale, survey=more.get("survey", "FIRST"))
    images = np.random.default_rng(len(name)).integers(0, 255, (n, side, side)).astype(np.uint8)
    sides = np.array(more.get("sides", ["train", "train", "validation", "test"]))
    return DataSet(card, catalogue, more.get("images", images), {"published": sides})


def test_sources_near_a_test_source_are_taken_out_by_name():
    train = made_up("here", [10.0, 20.0, 30.0, 40.0])
    test = made_up("there", [20.01, 30.0, 50.0, 10.01], sides=["train", "train", "test", "test"])
    both = train_here_test_there(train, test)
    split = published_split(both)
    assert both.catalogue.source_id[split.indices("test")].tolist() == ["there/s2", "there/s3"]
    assert both.catalogue.source_id[split.indices("train")].tolist() == ["s1"]
    assert split.removed == (("s0", "train source in the sky group of there/s3 (test)"),)
    assert len(both.images) == 5, "its own test source is not used"


def test_all_sources_of_the_other_set_can_be_tested():
    train = made_up("here", [10.0, 20.0, 30.0, 40.0])
    test = made_up("there", [60.0, 70.0, 80.0, 90.0])
    split = published_split(train_here_test_there(train, test, sources="all"))
    assert len(split.indices("test")) == 4
    nothing = replace(test, splits={})
    with pytest.raises(SpecError, match='there has no published test side; give test_sources = "all"'):
        train_here_test_there(train, nothing)


def test_refusal_names_the_shared_sources():
    train, test = made_up("here", [10.0, 20.0, 30.0, 40.0]), made_up("there", [1.0, 2.0, 3.0, 20.001])
    with pytest.raises(LeakageError, match="1 training source of here is a test source of there too: s1"):
        train_here_test_there(train, test, shared="refuse")
    far = made_up("there", [1.0, 2.0, 3.0, 40.001])
    assert len(train_here_test_there(train, far, shared="refuse").images) == 4, "own test sources do no harm"


def test_chains_over_both_sets_are_one_group():
    step = 50 / 3600
    train, test = made_up("here", [10.0, 20.0, 30.0, 40.0]), made_up("there", [1.0, 2.0, 3.0, 10 + 2 * step])
    link = made_up("there", [1.0, 2.0, 10 + step, 10 + 2 * step])
    assert published_split(train_here_test_there(train, test)).removed == ()
    removed = published_split(train_here_test_there(train, link)).removed
    assert [name for name, _ in removed] == ["s0"], "by way of a source that is not even used"


def test_classes_are_mapped_by_name_and_foreign_ones_set_aside():
    train = made_up("here", [10.0, 20.0, 30.0, 40.0], classes=("FRI", "FRII"))
    test = made_up(
        "there", [1.0, 2.0, 3.0, 4.0], classes=CLASSES, label=np.array([0, 1, 2, 3]), sides=["test"] * 4
    )
    both = train_here_test_there(train, test)
    assert both.classes == ("FRI", "FRII")
    tested = published_split(both).indices("test")
    assert both.catalogue.source_id[tested].tolist() == ["there/s1", "there/s2"]
    assert both.catalogue.label[tested].tolist() == [0, 1]
    assert both.set_aside == (("s0", "class Compact: not trained"), ("s3", "class Bent: not trained"))
    other = made_up("there", [1.0, 2.0, 3.0, 4.0], classes=("Spiral", "Ring"))
    with pytest.raises(DataError, match="has the classes Spiral, Ring, none of which here has"):
        train_here_test_there(train, other)


def test_images_come_to_one_pixel_scale_and_field():
    train = made_up("here", [10.0, 20.0, 30.0, 40.0], side=30, scale=2.0)
    coarse = np.zeros((4, 11, 11), dtype=np.uint8)
    coarse[:, 5, 5] = 100
    test = made_up("there", [1.0, 2.0, 3.0, 4.0], images=coarse, scale=6.0)
    both = train_here_test_there(train, test)
    assert both.images.shape == (4, 30, 30)
    image = both.images[-1]
    peak = np.unravel_index(image.argmax(), image.shape)
    assert all(abs(place - 14.5) <= 1 for place in peak), "the centre stays the centre"
    unknown = made_up("there", [1.0, 2.0, 3.0, 4.0], scale=np.nan)
    with pytest.raises(DataError, match="pixel scale must be known"):
        train_here_test_there(train, unknown)


def test_mistakes_name_the_legal_values():
    train, test = made_up("here", [10.0, 20.0, 30.0, 40.0]), made_up("there", [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(SpecError, match="'here' is the training set itself"):
        train_here_test_there(train, train)
    with pytest.raises(SpecError, match="split: here has no published split 'fold-9'.*legal are published"):
        train_here_test_there(train, test, split="fold-9")
    with pytest.raises(SpecError, match="shared: found 'keep'; legal are remove, refuse"):
        train_here_test_there(train, test, shared="keep")


def test_without_positions_images_decide():
    images = np.zeros((4, 24, 24), dtype=np.uint8)
    images[:, 4:-4, 4:-4] = np.random.default_rng(0).integers(0, 255, (4, 16, 16))
    train = made_up("here", [10.0, 20.0, 30.0, 40.0], images=images)
    test = made_up("there", [np.nan] * 4, images=np.roll(images[::-1], 1, axis=2))
    both = train_here_test_there(train, test)
    reason = "its image may show the test source there/s3 (correlation 1.000)"
    assert both.set_aside == (("s0", reason),)
    with pytest.raises(LeakageError, match="1 training source of here"):
        train_here_test_there(train, test, shared="refuse")
    with pytest.raises(LeakageError, match="there: positions are not known, and images of FIRST and NVSS"):
        train_here_test_there(train, made_up("there", [np.nan] * 4, images=images, survey="NVSS"))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shift=st.tuples(st.integers(-1, 1), st.integers(-1, 1)),
    gain=st.floats(0.2, 5),
    offset=st.floats(-50, 50),
)
def test_twins_are_found_whatever_scaling_and_shift(seed, shift, gain, offset):
    images = np.random.default_rng(seed).gamma(0.1, size=(5, 20, 20))
    inner = images.copy()
    inner[:, [0, -1]] = inner[:, :, [0, -1]] = 0
    moved = gain * np.roll(inner, shift, axis=(1, 2)) + offset
    twins = find_twins(inner, moved[::-1] - offset, similar=0.99)
    assert {tuple(pair) for pair in twins.pairs.tolist()} >= {(i, 4 - i) for i in range(5)}
    assert (twins.correlation >= 0.99).all()
    assert (twins.correlation <= 1 + 1e-5).all()


def test_two_equal_images_make_no_match_secure():
    images = np.random.default_rng(1).random((3, 12, 12))
    twins = find_twins(images[:1], images[[0, 0, 1]])
    assert twins.pairs.tolist() == [[0, 0], [0, 1]]
    assert not twins.secure.any()
    assert len(find_twins(np.zeros((2, 8, 8)), np.zeros((2, 8, 8))).pairs) == 0, (
        "constant images match nothing"
    )
    with pytest.raises(DataError, match=r"found shape \(8, 8\), expected \(n, h, w\)"):
        find_twins(np.zeros((8, 8)), images)


@mirror
def test_known_overlaps_of_test_sets_are_removed_from_training(first):
    """Section 3 of FORMATS.md: 66 and 89 test sources are in train and validation of first-galaxy-data."""
    for name, known in (("mirabest-basic", 66), ("mirabest-f", 89)):
        test = load_data(name)
        split = published_split(train_here_test_there(first, test))
        removed = [reason for _, reason in split.removed if "(test)" in reason]
        assert known - 3 <= len(removed) <= known + 2, "hybrids are not tested; 60 arcsec adds at most 2"
        own = first.catalogue.take(np.isin(first.splits["published"], ["train", "validation"]))
        pairs, _ = close_pairs(own, test.catalogue.take(test.splits["published"] == "test"))
        gone = {name for name, reason in split.removed if "(test)" in reason}
        assert set(own.source_id[pairs[:, 0]].tolist()) <= gone


@pytest.mark.slow
@mirror
def test_images_of_fr_deep_are_found_where_the_description_has_them(first):
    """FORMATS.md identified 275 images in first-galaxy-data; its table of sky groups tells their positions."""
    deep = load_data("fr-deep-first")
    twins = find_twins(deep.images, first.images)
    secure = twins.pairs[twins.secure]
    assert 260 <= len(secure) <= 290
    positions = described_positions()
    files = [
        f"{b}/{f}"
        for b, f in zip(deep.catalogue.extra["batch"], deep.catalogue.extra["file_name"], strict=True)
    ]
    unique = {file for file in files if files.count(file) == 1}
    checked = [(i, j) for i, j in secure.tolist() if files[i] in unique and files[i] in positions]
    assert len(checked) > 220
    there = np.array([positions[files[i]] for i, _ in checked])
    found = np.array([(first.catalogue.ra[j], first.catalogue.dec[j]) for _, j in checked])
    chord = np.linalg.norm(unit_vectors(*there.T) - unit_vectors(*found.T), axis=1)
    assert np.mean(np.rad2deg(chord) * 3600 < 10) > 0.98


@mirror
def test_equal_images_of_fr_deep_are_found():
    for name, known in (
        ("fr-deep-first", {"134_example.png", "182_example.png"}),
        ("fr-deep-nvss", {"163_FRICAT_FR1_.png", "30_CoNFIG_FR1_.png"}),
    ):
        deep = load_data(name)
        groups = identical_groups(deep.images)
        numbers, counts = np.unique(groups, return_counts=True)
        files = [set(deep.catalogue.extra["file_name"][groups == n].tolist()) for n in numbers[counts > 1]]
        assert files == [known]
    assert len(np.unique(identical_groups(load_data("mirabest-basic").images))) == 770


@mirror
def test_training_beside_fr_deep_loses_what_may_be_its_test_sources(first):
    both = train_here_test_there(first, load_data("fr-deep-first"))
    removed = [reason for _, reason in both.set_aside if "its image may show the test source" in reason]
    assert len(removed) > 28, "at least the 28 that FORMATS.md identified"


@mirror
def test_groups_over_all_sets_are_those_of_the_published_table():
    """sky_groups_60arcsec.csv, whose positions of first-galaxy-data are rounded; the other sets' are exact."""
    rows = described_rows(
        {"LRG": "lrg", "unLRG": "unlrg", "MB_F": "mirabest-f", "MB_basic": "mirabest-basic"}
    )
    catalogues = [load_labels(name).catalogue for name in dict.fromkeys(name for name, _ in rows)]
    names = [
        f"{name}/{s}"
        for name, c in zip(dict.fromkeys(n for n, _ in rows), catalogues, strict=True)
        for s in c.source_id
    ]
    ours = dict(zip(names, joint_groups(*catalogues).tolist(), strict=True))
    assert len(ours) == len(rows)
    theirs = {f"{name}/{source}": group for (name, source), group in rows.items()}
    joined = [(ours[name], theirs[name]) for name in ours]
    # A group of ours may be a part of theirs, which further sets can chain together; never the reverse.
    assert len(set(joined)) == len({group for group, _ in joined})
    assert len({group for group, _ in joined}) - len({group for _, group in joined}) < 5


def described_rows(sets):
    path = Path(os.environ["RGBENCH_MIRROR"]) / "catalogues" / "sky_groups_60arcsec.csv"
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] in sets]
    rows.sort(key=lambda row: list(sets).index(row["dataset"]))
    return {(sets[row["dataset"]], row["id"].removesuffix(".png")): int(row["group"]) for row in rows}


def described_positions():
    path = Path(os.environ["RGBENCH_MIRROR"]) / "catalogues" / "sky_groups_60arcsec.csv"
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == "FRDEEP_F"]
    return {row["id"]: (float(row["ra_deg"]), float(row["dec_deg"])) for row in rows}
