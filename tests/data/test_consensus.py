"""Votes of all catalogues, and the sources whose class is known: the real files, other people's joins, no leak."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from rgbench.comparison.label_consensus import (
    agreements,
    on_consensus,
    published_labels,
    reach_consensus,
    trust,
)
from rgbench.data import consensus as module
from rgbench.data.catalogue import CLASSES
from rgbench.data.combine import train_here_test_there
from rgbench.data.consensus import ORIGINS, Votes, consensus_csv, read_consensus, soft_labels
from rgbench.data.sets import first_consensus, load_data
from rgbench.data.split import published_split
from rgbench.data.votes import gather_votes
from rgbench.errors import DataError, LeakageError, SpecError
from rgbench.statistics.annotators import Belief

pytestmark = pytest.mark.slow

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")
SHIPPED = Path(module.__file__).with_name("consensus.csv")


@pytest.fixture(scope="module")
def first():
    return load_data("first-galaxy-data")


@pytest.fixture(scope="module")
def known():
    return load_data("first-consensus")


@pytest.fixture(scope="module")
def shipped():
    return read_consensus()


@pytest.fixture(scope="module")
def gathered():
    return gather_votes()


@needs_mirror
def test_the_files_give_the_shipped_table(gathered):
    text = consensus_csv(reach_consensus(gathered).consensus)
    ours, theirs = (list(csv.reader(each.splitlines())) for each in (text, SHIPPED.read_text()))
    assert [row[:7] for row in ours] == [row[:7] for row in theirs]
    for mine, their in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(np.array(mine[7:], float), np.array(their[7:], float), atol=2e-4)
    assert SHIPPED.stat().st_size < 300_000


@needs_mirror
def test_votes_are_those_of_a_join_made_by_others(gathered):
    """The mirror's own join of MiraBest and unLRG, made with other code, has the same labels at the same places."""
    path = MIRROR / "catalogues" / "lrg_unlrg_with_images_10arcsec.csv"
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["catalogue"] == "unLRG" and row["rgd_key"]]
    sky = SkyCoord(gathered.ra, gathered.dec, unit="deg")
    ra = [15 * (int(n[1:3]) + int(n[3:5]) / 60 + float(n[5:10]) / 3600) for n in (r["name"] for r in rows)]
    dec = [
        (-1 if n[10] == "-" else 1) * (int(n[11:13]) + int(n[13:15]) / 60 + float(n[15:]) / 3600)
        for n in (r["name"] for r in rows)
    ]
    there = SkyCoord(ra, dec, unit="deg")
    near, apart, _ = there.match_to_catalog_sky(sky)
    assert len(rows) == 721, "the number of common sources that FORMATS.md of the mirror tells"
    assert (apart < 10.2 * u.arcsec).all()
    assert (gathered.image[near] != "").all()
    votes = gathered.classes("unLRG")[near]
    assert [CLASSES[c] for c in votes] == [row["class4"] for row in rows]


@needs_mirror
def test_agreement_of_unlrg_and_mirabest_is_that_of_the_mirror(gathered):
    """FORMATS.md: 107 FRI, 449 FRII and 42 Bent of 1030; entries of one source in both catalogues, not pairs, here."""
    (pair,) = [a for a in agreements(gathered) if (a.first, a.second) == ("MiraBest", "unLRG")]
    assert pair.matrix[1].tolist() == [15, 107, 155, 158]
    assert pair.matrix[2].tolist() == [11, 42, 449, 37]
    assert abs(pair.n - 1030) <= 5
    assert pair.same / pair.n == pytest.approx(0.58, abs=0.005)


def test_every_source_with_an_image_has_a_vote_and_no_origin_votes_twice(shipped, first):
    votes = shipped.votes
    assert (votes.number >= 1).all()
    assert set(votes.image.tolist()) - {""} == set(first.catalogue.source_id.tolist())
    assert (votes.number[votes.image == ""] >= 2).all()
    for origin in ORIGINS:
        sums = votes.counts(origin).sum(axis=1)
        np.testing.assert_allclose(sums, votes.words[origin] != "")


def test_what_a_parent_catalogue_says_stands_in_its_column(shipped, first):
    """A label of first-galaxy-data is the vote of its parent, and of nobody else."""
    parents = {"Gendre": "CoNFIG", "Proctor_Tab1": "Proctor", "MiraBest": "MiraBest"}
    row = {name: i for i, name in enumerate(shipped.votes.source_id.tolist())}
    for name, parent, label in zip(
        first.catalogue.source_id.tolist(),
        first.catalogue.extra["parent"].tolist(),
        first.catalogue.label.tolist(),
        strict=True,
    ):
        word = shipped.votes.words[parents.get(parent, "FRCAT")][row[name]]
        assert CLASSES[label] in word.split("|"), name


def test_entropy_and_sharpness(shipped):
    p = shipped.posterior
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(shipped.entropy, [-sum(x * np.log2(x) for x in row if x > 0) for row in p])
    for i in np.flatnonzero(shipped.sharp):
        names = [shipped.votes.words[origin][i].rstrip("?") for origin in ORIGINS]
        assert names.count(CLASSES[p[i].argmax()]) >= 2
        assert p[i].max() >= 0.95


def test_first_consensus_has_the_numbers_of_its_card_and_documents(known):
    counts = Counter(known.classes[label] for label in known.catalogue.label)
    assert counts == {"Compact": 8, "FRI": 73, "FRII": 384, "Bent": 70}
    assert len(known.catalogue) == 535
    assert "535 sources" in known.card.title
    published = known.catalogue.extra["published_label"]
    assert (published == np.array(CLASSES)[known.catalogue.label]).sum() == 533
    close = (known.catalogue.label == 1) & (known.catalogue.extra["probability"] < 0.956)
    assert close.sum() == 59
    assert set(known.splits) == set(known.card.splits)
    assert Counter(known.splits["published"]) == {"train": 452, "validation": 38, "test": 45}


def test_images_are_those_of_the_same_source(known, first):
    place = {name: i for i, name in enumerate(first.catalogue.source_id.tolist())}
    rows = [place[name] for name in known.catalogue.source_id.tolist()]
    assert rows == sorted(rows)
    np.testing.assert_array_equal(known.images, first.images[rows])
    assert (known.splits["published"] == first.splits["published"][rows]).all()


def test_no_fold_divides_sources_within_an_arcminute(known):
    """With astropy's separations, not with the groups that the folds are made of."""
    sky = SkyCoord(known.catalogue.ra, known.catalogue.dec, unit="deg")
    i, j, _, _ = sky.search_around_sky(sky, 60 * u.arcsec)
    close = [(a, b) for a, b in zip(i.tolist(), j.tolist(), strict=True) if a < b]
    tested = np.zeros(len(sky), dtype=int)
    for name in (f"fold-{k}" for k in range(first_consensus.N_FOLDS)):
        sides = known.splits[name]
        assert all(sides[a] == sides[b] for a, b in close)
        assert set(sides.tolist()) == {"train", "validation", "test"}
        assert published_split(known, name).removed == ()
        tested += sides == "test"
        counts = np.bincount(known.catalogue.label[sides == "test"], minlength=4)
        assert (np.abs(counts - np.array([8, 73, 384, 70]) / 5) < 1.5).all()
    assert (tested == 1).all(), "every source is tested once"


def test_groups_stay_whole_in_the_folds():
    label, group = np.arange(90) % 3, np.repeat(np.arange(30), 3)
    for sides in first_consensus.fold_splits(label.astype(np.int64), group.astype(np.int64)).values():
        for g in range(30):
            assert len(set(sides[group == g].tolist())) == 1


def test_what_is_trained_on_first_galaxy_data_is_tested_here_without_a_copy(first, known):
    both = train_here_test_there(first, known, sources="all")
    split = published_split(both)
    names = both.catalogue.source_id
    trained = set(names[np.isin(split.assignment, ("train", "validation"))].tolist())
    tested = {name.removeprefix("first-consensus/") for name in names[split.assignment == "test"].tolist()}
    assert tested == set(known.catalogue.source_id.tolist())
    assert not trained & tested
    rows = split.assignment != "test"
    left = rows & (split.assignment != "")
    sky = [
        SkyCoord(both.catalogue.ra[chosen], both.catalogue.dec[chosen], unit="deg")
        for chosen in (left, ~rows)
    ]
    _, apart, _ = sky[0].match_to_catalog_sky(sky[1])
    assert apart.min() > 60 * u.arcsec
    assert 452 + 38 <= len(split.removed) < 520
    with pytest.raises(LeakageError, match="training sources of first-galaxy-data are test sources"):
        train_here_test_there(first, known, sources="all", shared="refuse")


def test_the_published_test_side_takes_nothing_out_of_training(first, known):
    both = train_here_test_there(first, known, sources="test")
    split = published_split(both)
    assert Counter(split.assignment)["test"] == 45
    assert [reason for _, reason in split.removed] == ["validation image has no signal: all pixels are equal"]


@needs_mirror
@pytest.mark.parametrize("name", ["mirabest-basic", "mirabest-f"])
def test_other_training_sets_have_no_copy_of_a_known_source_either(name, known):
    both = train_here_test_there(load_data(name), known, sources="all")
    split = published_split(both)
    sides = [split.assignment == "test", np.isin(split.assignment, ("train", "validation"))]
    tested, trained = (
        SkyCoord(both.catalogue.ra[chosen], both.catalogue.dec[chosen], unit="deg") for chosen in sides
    )
    _, apart, _ = trained.match_to_catalog_sky(tested)
    assert apart.min() > 60 * u.arcsec
    assert len(tested) == 535 - (8 + 70 if name == "mirabest-basic" else 8), "classes that are not trained"
    assert len(trained) > 200


def test_soft_labels_follow_the_data_set(first, shipped):
    soft = soft_labels(first)
    assert soft.shape == (2158, 4)
    np.testing.assert_allclose(soft.sum(axis=1), 1)
    turned = replace(first, card=replace(first.card, classes=tuple(reversed(CLASSES))))
    np.testing.assert_array_equal(soft_labels(turned), soft[:, ::-1])
    some = replace(first, catalogue=first.catalogue.take(np.array([7, 3])), images=first.images[[7, 3]])
    np.testing.assert_array_equal(soft_labels(some), soft[[7, 3]])
    own = soft[np.arange(2158), first.catalogue.label]
    assert own.mean() > 0.75, "a label is right more often than not"


def test_soft_labels_of_other_sets_are_refused(first):
    two = replace(first, card=replace(first.card, classes=("FRI", "FRII")))
    with pytest.raises(
        DataError, match="first-galaxy-data has the classes FRI, FRII; soft labels are of Compact"
    ):
        soft_labels(two)
    catalogue = replace(first.catalogue, source_id=np.array([f"x{i}" for i in range(2158)]))
    with pytest.raises(DataError, match="2158 sources are not in the table of votes, e.g. 'x0'"):
        soft_labels(replace(first, catalogue=catalogue))


def test_tables_that_are_no_tables(tmp_path):
    lines = SHIPPED.read_text().splitlines()
    path = tmp_path / "a.csv"
    path.write_text(lines[0].replace("MiraBest", "Mirabest") + "\n" + lines[1])
    with pytest.raises(DataError, match="a.csv: has no column 'MiraBest'"):
        read_consensus(path)
    path.write_text("\n".join([lines[0], lines[1].replace("FRI,FRI", "FR1,FRI")]))
    with pytest.raises(DataError, match=r"column MiraBest: found 'FR1'; legal are FRI, FRII, FRI\?"):
        read_consensus(path)
    cells = lines[1].split(",")
    for p, message in (("0.5", "are no probabilities"), ("x", "could not convert")):
        path.write_text("\n".join([lines[0], ",".join([*cells[:7], p, *cells[8:]])]))
        with pytest.raises(DataError, match=rf"a.csv: source {re.escape(cells[0])}: .*{message}"):
            read_consensus(path)


def test_compilations_that_contradict_each_other_count_half():
    words = {origin: np.array(["", ""]) for origin in ORIGINS}
    votes = Votes(
        np.array(["a", "b"]),
        np.zeros(2),
        np.zeros(2),
        np.array(["", ""]),
        {**words, "CoNFIG": np.array(["FRI|Compact", "FRI"])},
    )
    assert votes.counts("CoNFIG").tolist() == [[0.5, 0.5, 0, 0], [0, 1, 0, 0]]
    assert votes.classes("CoNFIG").tolist() == [-1, 1]
    assert votes.number.tolist() == [1, 1]


def test_the_known_sources_stay_whatever_is_believed(shipped):
    """Another prior changes how many classes are known, not which."""
    for belief in (Belief(1, 0.7), Belief(10, 0.7), Belief(4, 0.9)):
        other = reach_consensus(shipped.votes, belief).consensus
        both = shipped.sharp & other.sharp
        assert (other.label == shipped.label)[both].all()
        assert both.sum() > 500
    # Proctor's bent sources as an annotator of their own, who only ever says Bent: it is worth nothing.
    apart = (("CoNFIG",), ("FRCAT",), ("Proctor",), ("MiraBest",), ("unLRG",))
    other = reach_consensus(shipped.votes, origins=apart).consensus
    both = shipped.sharp & other.sharp
    assert (other.label == shipped.label)[both].all()


def test_trust_is_as_documented(shipped, first):
    reached = reach_consensus(shipped.votes)
    names = first.catalogue.source_id
    published = published_labels(shipped.votes, names, first.catalogue.label)
    tested = np.isin(shipped.votes.source_id, names[first.splits["published"] == "test"])
    found = trust(reached, published, tested, resamples=20)
    assert found.n == 72
    assert found.ceiling.value == pytest.approx(0.706, abs=0.001)
    assert found.ceiling.low < found.ceiling.value < found.ceiling.high
    several = shipped.votes.number > 1
    rows = np.flatnonzero(tested & several)
    by_hand = np.mean([reached.consensus.posterior[i, published[i]] for i in rows])
    assert found.ceiling.value == pytest.approx(by_hand)
    assert list(found.confusion) == ["CoNFIG", "FRCAT and Proctor", "MiraBest", "unLRG"]
    with pytest.raises(DataError, match="no source with two votes"):
        trust(reached, published, np.zeros(len(published), dtype=bool), resamples=2)
    with pytest.raises(SpecError, match="found 0.95, 1"):
        trust(reached, published, tested, resamples=1)
    with pytest.raises(SpecError, match="origins CoNFIG, MiraBest: one annotator needs"):
        reach_consensus(shipped.votes, origins=(("CoNFIG", "MiraBest"),))


def test_stored_predictions_are_scored_on_the_known_sources(make_run, first, known):
    record = make_run("mcrgnet", 1, 0.9)
    with pytest.raises(DataError, match="none of its test sources is in first-consensus"):
        on_consensus(record.predictions)
    test = first.splits["published"] == "test"
    names = first.catalogue.source_id[test]
    wrong = replace(record.predictions, source_id=names, label=np.zeros(200, dtype=np.int64))
    held = on_consensus(wrong)
    assert len(held) == 45
    truth = dict(zip(known.catalogue.source_id.tolist(), known.catalogue.label.tolist(), strict=True))
    assert [truth[name] for name in held.source_id.tolist()] == held.label.tolist()
    with pytest.raises(DataError, match="has the classes A, B"):
        on_consensus(replace(wrong, classes=("A", "B")))
