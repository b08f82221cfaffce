"""MiraBest and FR-DEEP: every published number, every known defect, and the cards of all sets."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import sigma_clipped_stats
from hypothesis import given
from hypothesis import strategies as st

from rgbench.data.catalogue import CLASSES, Flag
from rgbench.data.sets import (
    data_names,
    data_sets,
    describe_data,
    fr_deep,
    load_data,
)
from rgbench.data.sets import mirabest as mirabest_module
from rgbench.data.split import published_split
from rgbench.errors import ChecksumError, DataError, SpecError
from rgbench.images.preprocess import preprocess_batch

pytestmark = pytest.mark.slow

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")

FULL_COUNTS = {
    "100": (297, 42),
    "102": (43, 6),
    "104": (8, 1),
    "110": (167, 24),
    "112": (2, 1),
    "200": (378, 54),
    "201": (3, 1),
    "210": (171, 24),
    "300": (17, 2),
    "310": (13, 2),
}
"""Training and test sources of mirabest-full and mirabest-f by native code."""


@pytest.fixture(scope="module")
def first():
    return load_data("first-galaxy-data")


@pytest.fixture(scope="module")
def sets(first):
    """Give data sets by name, each loaded once."""
    names = ("mirabest-basic", "mirabest-full", "mirabest-f", "fr-deep-first", "fr-deep-nvss")
    return {name: load_data(name) for name in names} | {"first-galaxy-data": first}


@pytest.fixture(scope="module")
def hybrid():
    return {name: mirabest_module.load(name, hybrids=True) for name in ("mirabest-full", "mirabest-f")}


def class_counts(dataset):
    return Counter(dataset.classes[label] for label in dataset.catalogue.label)


def test_every_set_is_registered_with_a_whole_card():
    assert data_names()[:14] == [
        "first-galaxy-data",
        "mirabest-basic",
        "mirabest-full",
        "mirabest-f",
        "mirabest-confident",
        "mirabest-two-class",
        "fr-deep-first",
        "fr-deep-nvss",
        "lrg",
        "unlrg",
        "lrg-first",
        "first-consensus",
        "frgmrc",
        "mnist",
    ]
    for name, entry in data_sets():
        card = describe_data(name)
        for key in ("title", "paper", "doi", "url", "licence", "survey", "version", "defects", "classes"):
            assert card[key], (name, key)
        assert entry.card.name == name
        if name != "mnist":
            assert set(card["classes"]) <= set(CLASSES)
            assert card["classes"] == tuple(c for c in CLASSES if c in card["classes"])
            assert (card["pixel_scale"], card["beam"]) == ((15, 45) if name == "fr-deep-nvss" else (1.8, 5.4))
        if card["survey"].startswith("FIRST") and name not in ("lrg", "unlrg"):
            assert "1994, University of California" in card["licence"]


@needs_mirror
def test_mirabest_basic_has_the_published_numbers(sets):
    basic = sets["mirabest-basic"]
    assert basic.images.shape == (770, 150, 150)
    assert basic.images.dtype == np.uint8
    assert class_counts(basic) == {"FRI": 339, "FRII": 431}
    test = basic.splits["published"] == "test"
    assert Counter(np.array(basic.classes)[basic.catalogue.label[test]]) == {"FRI": 34, "FRII": 43}
    assert Counter(basic.splits["published"]) == {"train": 693, "test": 77}
    assert (basic.images.max(axis=(1, 2)) == 255).all()
    assert len(set(basic.catalogue.group)) == 770
    assert basic.set_aside == ()
    assert (basic.catalogue.extra["native"] == np.where(basic.catalogue.label == 0, "100", "200")).all()


@needs_mirror
@pytest.mark.parametrize("name", ["mirabest-full", "mirabest-f"])
def test_mirabest_has_the_published_numbers_per_code_and_split(hybrid, name):
    dataset = hybrid[name]
    assert dataset.images.shape == (1256, 150, 150)
    counts = Counter(zip(dataset.catalogue.extra["native"], dataset.splits["published"], strict=True))
    assert {code: (counts[code, "train"], counts[code, "test"]) for code in FULL_COUNTS} == FULL_COUNTS
    assert sum(counts.values()) == 1256
    assert dataset.classes == ("FRI", "FRII", "Bent", "Hybrid")
    assert class_counts(dataset) == {"FRI": 530, "FRII": 631, "Bent": 61, "Hybrid": 34}
    certain = [code[1] == "0" for code in dataset.catalogue.extra["native"]]
    assert dataset.catalogue.extra["certain"].tolist() == certain


@needs_mirror
@pytest.mark.parametrize("name", ["mirabest-full", "mirabest-f"])
def test_hybrids_are_set_aside_and_named(sets, hybrid, name):
    dataset, whole = sets[name], hybrid[name]
    assert dataset.classes == ("FRI", "FRII", "Bent")
    assert class_counts(dataset) == {"FRI": 530, "FRII": 631, "Bent": 61}
    assert len(dataset.set_aside) == 34
    names = {source for source, _ in dataset.set_aside}
    assert all(source.startswith("3") for source in names)
    assert names | set(dataset.catalogue.source_id) == set(whole.catalogue.source_id)
    assert all(reason.startswith("hybrid morphology") for _, reason in dataset.set_aside)
    assert Counter(dataset.splits["published"]) == {"train": 1069, "test": 153}
    assert (dataset.catalogue.label >= 0).all()


@needs_mirror
@pytest.mark.parametrize(
    ("name", "train", "test", "tailed"),
    [("mirabest-confident", 729, (49, 55), 58), ("mirabest-two-class", 1069, (74, 79), 61)],
)
def test_the_tasks_of_papers_have_the_numbers_that_they_give(sets, name, train, test, tailed):
    # 104 test sources, 49 FRI and 55 FRII, and 153 of which 79 are FRII: as papers on them say.
    dataset = load_data(name)
    side = dataset.splits["published"]
    assert dataset.classes == ("FRI", "FRII")
    assert (side == "train").sum() == train
    assert np.bincount(dataset.catalogue.label[side == "test"]).tolist() == list(test)
    native = dataset.catalogue.extra["native"]
    assert [code[0] for code in native] == np.where(dataset.catalogue.label == 0, "1", "2").tolist()
    assert sum(code[2] in "24" for code in native) == tailed
    assert f"{tailed} " in dataset.card.defects[0]
    whole = sets["mirabest-f"].catalogue.source_id.tolist() + [
        name for name, _ in sets["mirabest-f"].set_aside
    ]
    aside = [name for name, _ in dataset.set_aside]
    assert sorted([*dataset.catalogue.source_id.tolist(), *aside]) == sorted(whole)
    with pytest.raises(SpecError, match="mirabest-confident"):
        mirabest_module.load("mirabest-certain")


@needs_mirror
def test_mirabest_names_carry_position_redshift_and_size(sets):
    full = sets["mirabest-full"].catalogue
    row = full.source_id.tolist().index("100_185.137+000.072_0.1585_0135.33")
    assert (full.ra[row], full.dec[row]) == (185.137, 0.072)
    assert full.extra["redshift"][row] == 0.1585
    assert full.extra["angular_size"][row] == 135.33
    assert full.extra["file_name"][row] == "100_185.137+000.072_0.1585_0135.33.png"
    for name in ("mirabest-basic", "mirabest-full", "mirabest-f"):
        assert sets[name].catalogue.extra["angular_size"].max() < 270
        assert (sets[name].catalogue.dec < 0).sum() > 5
        assert (sets[name].catalogue.dec > -12).all()


@needs_mirror
def test_mirabest_positions_and_sizes_agree_with_the_parent_catalogue(hybrid):
    parent = np.loadtxt(MIRROR / "MiraBest" / "mirabestdata.txt", usecols=(3, 4, 5, 7))
    catalogue = hybrid["mirabest-f"].catalogue
    assert len(parent) == 1329
    for i in range(0, 1256, 25):
        near = np.hypot((parent[:, 0] * 15 - catalogue.ra[i]), parent[:, 1] - catalogue.dec[i]) < 0.0015
        match = np.abs(parent[near, 2] - catalogue.extra["redshift"][i]) < 1e-3
        assert match.any()
        assert np.abs(parent[near, 3] - catalogue.extra["angular_size"][i]).min() < 0.02


@needs_mirror
def test_the_three_releases_hold_the_same_sources_with_other_test_sets(sets, hybrid):
    basic, full, circular = (set(s.catalogue.source_id) for s in (sets["mirabest-basic"], *hybrid.values()))
    assert full == circular
    assert basic <= full
    f = hybrid["mirabest-f"]
    test = set(
        sets["mirabest-basic"].catalogue.source_id[sets["mirabest-basic"].splits["published"] == "test"]
    )
    train = set(f.catalogue.source_id[f.splits["published"] == "train"])
    assert len(test & train) == 64


@needs_mirror
def test_the_known_pairs_of_mirabest_share_a_sky_group(sets):
    for name in ("mirabest-full", "mirabest-f"):
        catalogue = sets[name].catalogue
        numbers, counts = np.unique(catalogue.group, return_counts=True)
        pairs = {
            tuple(sorted(s[4:19] for s in catalogue.source_id[catalogue.group == g]))
            for g in numbers[counts > 1]
        }
        assert pairs == {
            ("169.640+031.253", "169.641+031.255"),
            ("227.489+033.454", "227.499+033.463"),
        }
        assert not published_split(sets[name]).removed


@needs_mirror
@pytest.mark.parametrize("name", ["mirabest-basic", "mirabest-full"])
def test_mirabest_images_are_made_of_the_fits_and_row_0_is_south(sets, name):
    dataset = sets[name]
    place = {source: i for i, source in enumerate(dataset.catalogue.source_id)}
    paths = sorted((MIRROR / "MiraBest_FITS").glob("*.fits.gz"))
    found = 0
    for path in [p for p in paths if p.name.removesuffix(".fits.gz") in place][:12]:
        with fits.open(path) as units:
            image, header = units[0].data.astype(np.float64), units[0].header
        assert header["CDELT2"] > 0  # rows run north, so the file's row 0 is the south edge
        image[image <= 3 * sigma_clipped_stats(image, sigma=3, maxiters=5)[2]] = 0
        crop = image[75:225, 75:225]
        grey = (crop - crop.min()) / (crop.max() - crop.min()) * 255
        ours = dataset.images[place[path.name.removesuffix(".fits.gz")]].astype(float)
        assert np.abs(ours - np.floor(grey)).max() <= 1
        assert np.abs(ours[::-1] - np.floor(grey)).max() > 20
        found += 1
    assert found == 12


@needs_mirror
def test_mirabest_images_and_their_fits_enter_alike_under_sky(sets):
    """The level at which the public images were clipped is subtracted, as it is from the FITS."""
    dataset = sets["mirabest-full"]
    place = {source: i for i, source in enumerate(dataset.catalogue.source_id)}
    paths = sorted((MIRROR / "MiraBest_FITS").glob("*.fits.gz"))
    known = [path for path in paths if path.name.removesuffix(".fits.gz") in place][:20]
    rows = [place[path.name.removesuffix(".fits.gz")] for path in known]
    theirs = [fits.getdata(path)[102:198, 102:198] for path in known]
    ours = preprocess_batch(dataset.images[rows][:, 27:123, 27:123], "sky")
    again = preprocess_batch(np.array(theirs, dtype=np.float32), "sky")
    flux = ours.sum(axis=(1, 2)) / again.sum(axis=(1, 2))
    assert abs(np.median(flux) - 1) < 0.05
    assert np.median(np.abs(ours - again).max(axis=(1, 2))) < 0.02


@needs_mirror
def test_mirabest_f_is_the_full_release_inside_a_circle(hybrid):
    y, x = np.mgrid[:150, :150]
    outside = np.hypot(x - 75, y - 75) > 75
    assert not hybrid["mirabest-f"].images[:, outside].any()
    assert hybrid["mirabest-full"].images[:, outside].any()


@needs_mirror
def test_overlap_with_first_galaxy_data_is_as_the_cards_say(sets, hybrid):
    first = sets["first-galaxy-data"].catalogue

    def near(catalogue):
        separation = np.hypot(
            (catalogue.ra[:, None] - first.ra) * np.cos(np.deg2rad(first.dec)),
            catalogue.dec[:, None] - first.dec,
        )
        return int((separation.min(axis=1) * 3600 < 10).sum())

    assert near(sets["mirabest-basic"].catalogue) == 709
    assert near(hybrid["mirabest-f"].catalogue) == 806


def test_codes_of_mirabest_map_to_the_common_classes():
    common = {code: mirabest_module.common_class(code) for code in FULL_COUNTS}
    assert common == {
        "100": "FRI",
        "102": "Bent",
        "104": "Bent",
        "110": "FRI",
        "112": "Bent",
        "200": "FRII",
        "201": "FRII",
        "210": "FRII",
        "300": "Hybrid",
        "310": "Hybrid",
    }
    for code in ("400", "120", "103", "10", "", "1000", "FRI"):
        with pytest.raises(DataError, match="unknown code"):
            mirabest_module.common_class(code)
    with pytest.raises(SpecError, match="legal are mirabest-basic, mirabest-full, mirabest-f"):
        mirabest_module.load("mirabest")


@given(
    st.sampled_from(sorted(FULL_COUNTS)),
    st.integers(0, 359999),
    st.integers(-90000, 90000),
    st.integers(0, 9999),
    st.integers(0, 27000),
)
def test_file_names_of_mirabest_are_parsed(code, ra, dec, redshift, size):
    name = f"{code}_{ra / 1000:07.3f}{dec / 1000:+08.3f}_{redshift / 10000:.4f}_{size / 100:07.2f}.png"
    found = mirabest_module.parse_file_name(name)
    assert found == (code, ra / 1000, dec / 1000, redshift / 10000, size / 100)
    fixed = (name[0:3], float(name[4:11]), float(name[11:19]), float(name[20:26]), float(name[27:34]))
    assert found == fixed


@pytest.mark.parametrize("name", ["", "a.png", "100_1.0+2.0_0.1_3.0.png", "100_100.000_+010.000.png"])
def test_other_names_are_refused(name):
    with pytest.raises(DataError, match="is not CCC_RRR"):
        mirabest_module.parse_file_name(name)


@needs_mirror
@pytest.mark.parametrize("name", ["fr-deep-first", "fr-deep-nvss"])
def test_fr_deep_has_the_published_numbers(sets, name):
    dataset = sets[name]
    assert dataset.images.shape == (600, 150, 150)
    assert class_counts(dataset) == {"FRI": 264, "FRII": 336}
    assert Counter(dataset.splits["published"]) == {"train": 550, "test": 50}
    per_batch = Counter(zip(dataset.catalogue.extra["batch"], dataset.catalogue.extra["native"], strict=True))
    assert len(per_batch) == 24
    assert {label: {n for (_, k), n in per_batch.items() if k == label} for label in ("FRI", "FRII")} == {
        "FRI": {22},
        "FRII": {28},
    }
    assert np.isnan(dataset.catalogue.ra).all()
    assert np.isnan(dataset.catalogue.dec).all()
    assert len(set(dataset.catalogue.source_id)) == 600


@needs_mirror
def test_file_names_of_fr_deep_are_as_published(sets):
    first, nvss = (sets[name].catalogue for name in ("fr-deep-first", "fr-deep-nvss"))
    names = first.extra["file_name"]
    repeated = Counter(Counter(names).values())
    assert len(set(names)) == 557
    assert repeated == {1: 514, 2: 43}
    fricat = np.char.find(names, "FRICAT") >= 0
    assert fricat.sum() == 215
    assert Counter(np.array(("FRI", "FRII"))[first.label[~fricat]]) == {"FRI": 49, "FRII": 336}
    kinds = Counter(name.lstrip("0123456789") for name in nvss.extra["file_name"])
    assert kinds == {"_FRICAT_FR1_.png": 214, "_CoNFIG_FR1_.png": 50, "a.png": 336}


@needs_mirror
def test_the_all_zero_image_of_fr_deep_is_flagged_and_leaves_the_split(sets):
    first = sets["fr-deep-first"]
    unusable = (first.catalogue.flags & Flag.UNUSABLE) != 0
    assert first.catalogue.extra["file_name"][unusable].tolist() == ["13_FRICAT_FR1_example.png"]
    assert first.catalogue.extra["batch"][unusable].tolist() == ["data_batch_11"]
    assert not (sets["fr-deep-nvss"].catalogue.flags & Flag.UNUSABLE).any()
    removed = dict(published_split(first).removed)
    assert (
        removed[first.catalogue.source_id[unusable][0]] == "train image has no signal: all pixels are equal"
    )


def groups_of(catalogue):
    numbers, counts = np.unique(catalogue.group, return_counts=True)
    extra = catalogue.extra
    return {
        frozenset(
            zip(extra["file_name"][catalogue.group == g], extra["native"][catalogue.group == g], strict=True)
        )
        for g in numbers[counts > 1]
    }


@needs_mirror
def test_known_duplicates_of_fr_deep_share_a_group(sets):
    first = sets["fr-deep-first"]
    assert groups_of(first.catalogue) == {
        frozenset({("163_FRICAT_FR1_example.png", "FRI"), ("30_example.png", "FRI")}),
        frozenset({("151_FRICAT_FR1_example.png", "FRI"), ("15_example.png", "FRI")}),
        frozenset({("154_FRICAT_FR1_example.png", "FRI"), ("44_example.png", "FRI")}),
        frozenset({("134_example.png", "FRII"), ("182_example.png", "FRII")}),
    }
    removed = [name for name, reason in published_split(first).removed if "sky group" in reason]
    assert (
        first.catalogue.extra["file_name"][first.catalogue.source_id == removed[0]]
        == "163_FRICAT_FR1_example.png"
    )
    assert len(removed) == 1
    nvss = sets["fr-deep-nvss"]
    assert groups_of(nvss.catalogue) == {
        frozenset({("163_FRICAT_FR1_.png", "FRI"), ("30_CoNFIG_FR1_.png", "FRI")}),
        frozenset({("151_FRICAT_FR1_.png", "FRI"), ("15_CoNFIG_FR1_.png", "FRI")}),
        frozenset({("154_FRICAT_FR1_.png", "FRI"), ("44_CoNFIG_FR1_.png", "FRI")}),
    }


@needs_mirror
@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("fr-deep-first", [("data_batch_10", "134_example.png", "data_batch_10", "182_example.png")]),
        ("fr-deep-nvss", [("data_batch_10", "163_FRICAT_FR1_.png", "data_batch_4", "30_CoNFIG_FR1_.png")]),
    ],
)
def test_images_of_fr_deep_that_are_equal_are_those_of_the_card(sets, name, pairs):
    dataset = sets[name]
    flat = dataset.images.reshape(600, -1).astype(np.int64)
    weights = np.random.default_rng(0).integers(1, 1 << 30, flat.shape[1])
    prints = flat @ weights
    found = []
    for value in np.unique(prints):
        same = np.flatnonzero(prints == value)
        if len(same) > 1:
            assert (flat[same] == flat[same[0]]).all()
            rows = [(dataset.catalogue.extra[k][i]) for i in same for k in ("batch", "file_name")]
            found.append(rows)
    assert {frozenset(row) for row in found} == {frozenset(row) for row in pairs}


@needs_mirror
def test_fr_deep_has_row_0_at_the_south_edge_like_first_galaxy_data(sets):
    """Securely matched images correlate as they lie, not when turned upside down."""

    def normed(images):
        flat = images.reshape(len(images), -1).astype(np.float32)
        flat = flat - flat.mean(axis=1, keepdims=True)
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)

    sky = normed(sets["first-galaxy-data"].images[::2, 75:225, 75:225])
    ours = sets["fr-deep-first"].images
    upright, flipped = ((normed(view) @ sky.T).max(axis=1) for view in (ours, ours[:, ::-1]))
    # Symmetric sources tell nothing: only those that match clearly better one way are counted.
    assert ((upright > 0.95) & (upright > flipped + 0.1)).sum() > 30
    assert ((flipped > 0.95) & (flipped > upright + 0.1)).sum() < 3


def test_an_unknown_set_of_fr_deep_names_the_known_ones():
    with pytest.raises(SpecError, match="legal are fr-deep-first, fr-deep-nvss"):
        fr_deep.load("fr-deep")


@needs_mirror
def test_checksums_are_those_of_the_mirror():
    sums = dict(reversed(line.split("  ")) for line in (MIRROR / "SHA256SUMS").read_text().splitlines())
    files = [file for _, entry in data_sets() for file in entry.files if file.mirror_path in sums]
    assert len(files) >= 10
    for file in files:
        assert sums[file.mirror_path] == file.sha256, file.name


def test_a_wrong_archive_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RGBENCH_MIRROR", str(tmp_path))
    (tmp_path / "FR-DEEP").mkdir()
    (tmp_path / "FR-DEEP" / "FIRST_PNG_dataset.tar.gz").write_bytes(b"something else")
    with pytest.raises(ChecksumError, match="expected 9bacbcc7"):
        load_data("fr-deep-first")
