"""Fine-tuning: who is held out, what is compared, what the file says, and what is refused before any training."""

from __future__ import annotations

import csv
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

import rgbench
from rgbench.data.leakage import near_any
from rgbench.data.own.labels import LabelRule
from rgbench.data.own.plan import FolderOptions
from rgbench.data.own.sources import SourceColumns
from rgbench.errors import DataError, RgbenchError, SpecError
from rgbench.finetuning.finetune import finetune
from rgbench.finetuning.own import read_own
from rgbench.finetuning.spec import FinetuneSpec
from rgbench.finetuning.train import Tuner
from rgbench.finetuning.verdict import HeldOut, compare
from rgbench.runs.classifier import load_classifier
from rgbench.runs.classifier_card import card_lines
from rgbench.runs.classify import classify_files

pytestmark = pytest.mark.slow

MIRROR = os.environ.get("RGBENCH_MIRROR", "")
needs_mirror = pytest.mark.skipif(not MIRROR, reason="needs the public files in $RGBENCH_MIRROR")
NOTHING = FinetuneSpec(epochs=0)
QUICK = FinetuneSpec(epochs=1, folds=2)


def labels_file(path: Path, rows: dict[str, str]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "class"), *rows.items()])
    return path


def same_weights(one, other) -> bool:
    pairs = zip(one.members, other.members, strict=True)
    return all(
        np.array_equal(a.network.state_dict()[key].numpy(), b.network.state_dict()[key].numpy())
        for a, b in pairs
        for key in a.network.state_dict()
    )


@pytest.fixture(scope="module")
def swapped(tmp_path_factory, truth) -> Path:
    """The same sources, of which somebody calls FRI what others call FRII, and Bent what others call Compact."""
    other = {"FRI": "FRII", "FRII": "FRI", "Bent": "Compact", "Compact": "Bent"}
    return labels_file(
        tmp_path_factory.mktemp("table") / "swapped.csv", {name: other[own] for name, own in truth.items()}
    )


@pytest.fixture(scope="module")
def learnt(sky, swapped, parent):
    """Trained on them, long enough to learn it."""
    how = FinetuneSpec(epochs=15, learning_rate=3e-3, folds=2)
    return finetune(sky, swapped, parent, how, name="swapped-1")


# --- who is held out --------------------------------------------------------------------------------------


def test_no_sky_group_stands_on_two_sides_and_what_is_known_is_held_out_nowhere(own):
    rng = np.random.default_rng(1)
    crowded = replace(own.catalogue, group=rng.integers(0, 40, len(own)))
    own = replace(own, catalogue=crowded, known=crowded.group < 8)
    fold = own.folds(4, seed=3)
    assert set(fold[own.known]) == {-1}
    assert set(fold[~own.known]) == {0, 1, 2, 3}
    for group in np.unique(crowded.group):
        assert len(set(fold[crowded.group == group])) == 1
    per_class = [np.bincount(fold[(crowded.label == k) & ~own.known], minlength=4) for k in range(4)]
    assert np.ptp(per_class, axis=1).max() <= 6
    np.testing.assert_array_equal(fold, own.folds(4, seed=3))
    assert (fold != own.folds(4, seed=4)).any()


def test_networks_that_are_scored_were_not_trained_on_the_source_or_its_group(own, parent, monkeypatch):
    own = replace(own, catalogue=replace(own.catalogue, group=np.arange(len(own)) // 3))
    tuner, asked = Tuner(parent, own, FinetuneSpec(folds=4)), []

    def remember(self, rows, on_step):
        asked.append(set(rows.tolist()))
        return parent.members

    monkeypatch.setattr(Tuner, "tuned", remember)
    fold = tuner.folds()
    tuner.held_out(fold, lambda: None)
    for number, rows in enumerate(asked):
        groups = set(own.catalogue.group[list(rows)])
        assert groups.isdisjoint(own.catalogue.group[fold == number])
        assert len(rows) + (fold == number).sum() == len(own)


def test_sources_that_the_classifier_knows_are_trained_on_but_do_not_count(tmp_path, sky, old_sky, parent):
    shutil.copytree(sky, tmp_path / "both")
    for folder in ("FRI", "FRII"):
        for path in sorted((old_sky / folder).glob("*.fits"))[:12]:
            shutil.copy(path, tmp_path / "both" / folder)
    found = finetune(tmp_path / "both", classifier=parent, spec=QUICK)
    own, held = found.own, found.comparison.held_out
    seen = np.array(parent.card.seen)
    near = near_any(own.catalogue.ra, own.catalogue.dec, seen)
    assert 0 < near.sum() <= 24
    np.testing.assert_array_equal(own.known, near)
    assert set(held.source_id) == set(own.catalogue.source_id[~near])
    assert f"{near.sum()} of your {len(own)} sources do not count: toy-1 was trained on them" in " ".join(
        found.basis
    )


# --- what is compared -------------------------------------------------------------------------------------


def test_without_epochs_nothing_changes(sky, parent):
    found = finetune(sky, classifier=parent, spec=NOTHING)
    held, own = found.comparison.held_out, found.own
    np.testing.assert_array_equal(held.before, held.after)
    assert same_weights(parent, found.classifier)
    np.testing.assert_array_equal(
        parent.logits(own.fields, prepared=True), found.classifier.logits(own.fields, prepared=True)
    )
    assert found.comparison.difference.value == 0
    assert found.comparison.verdict == "not told apart"
    assert "my-classifier has the weights of toy-1: it gives the same classes" in found.words
    assert "trained" not in " ".join(found.basis)


@needs_mirror
def test_real_fits_are_seen_as_predict_sees_them(tmp_path):
    """Of the MiraBest images, those whose class the shipped classifier has not been told, and a few others."""
    folder = Path(MIRROR) / "MiraBest_FITS"
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    new = [r for r in rows if r["rgd_split"] in ("", "test")]
    few = [r for r in rows if r["rgd_split"] == "train" and r["mb_class4"] != "Bent"][:6]
    table = tmp_path / "labels.csv"
    with table.open("w", newline="") as file:
        chosen = [(r["file"], r["mb_class4"], r["ra_header"], r["dec_header"]) for r in (*new, *few)]
        csv.writer(file).writerows([("file", "class", "ra", "dec"), *(r for r in chosen if r[1] != "Bent")])
    shipped = load_classifier()
    rule = LabelRule(unlabelled=("Hybrid",))
    found = finetune(folder, table, shipped, NOTHING, FolderOptions(SourceColumns(), rule))
    held, own = found.comparison.held_out, found.own
    np.testing.assert_allclose(held.before, held.after, atol=1e-5)
    assert own.known.sum() >= len([r for r in few if r["mb_class4"] != "Hybrid"])
    said = classify_files(
        shipped, [folder / place.split("/")[-1] for place in own.catalogue.path[own.scored]]
    )
    np.testing.assert_allclose(np.exp(shipped.calibrated(held.before)), said.probabilities, rtol=0, atol=2e-6)
    assert np.array_equal(held.before.argmax(1), said.probabilities.argmax(1))
    assert f"{own.known.sum()} of your {len(own)} sources do not count: first-1 was trained" in found.basis[0]


def held_out(y, group, before, after) -> HeldOut:
    """Make answers that are right where they are said to be."""
    k = int(y.max()) + 1
    scores = [np.log(0.05 + 0.8 * np.eye(k)[np.where(right, y, (y + 1) % k)]) for right in (before, after)]
    return HeldOut(np.arange(len(y)).astype(str), y, group, np.arange(len(y)) % 5, *scores)


def answers(n=400, seed=1, classes=4, of_group=1):
    rng = np.random.default_rng(seed)
    group = np.arange(n) // of_group
    y = (group % classes).astype(np.int64)
    luck = rng.random(n // of_group)[group] * 0.6 + 0.4 * rng.random(n)
    return held_out(y, group, luck < 0.5, rng.permuted(luck) * 0.3 + luck * 0.7 < 0.62)


@pytest.mark.parametrize("of_group", [1, 4])
def test_intervals_are_those_of_a_bootstrap_over_sky_groups(of_group):
    held = answers(of_group=of_group)
    found = compare(held)
    before, after = held.right()
    y, rng = held.label, np.random.default_rng(7)
    members = [[np.flatnonzero(held.group == g) for g in np.unique(held.group[y == k])] for k in range(4)]
    drawn = []
    for _ in range(2000):
        rows = [np.concatenate([own[i] for i in rng.integers(0, len(own), len(own))]) for own in members]
        drawn.append([[right[r].mean() for r in rows] for right in (before, after)])
    one, two = np.mean(drawn, axis=2).T
    for span, values in ((found.before, one), (found.after, two), (found.difference, two - one)):
        low, high = np.quantile(values, [0.025, 0.975])
        assert (span.low, span.high) == pytest.approx((low, high), abs=0.015)
        assert span.value == pytest.approx(values.mean(), abs=0.005)


def test_of_one_class_the_answer_is_mcnemar_s_and_the_score_wilson_s():
    held = answers(n=200, classes=2)
    held = replace(held, label=np.zeros(200, np.int64))
    before, after = held.right()
    found = compare(held)
    table = [
        [(before & after).sum(), (before & ~after).sum()],
        [(~before & after).sum(), (~before & ~after).sum()],
    ]
    expected = mcnemar(np.array(table), exact=False, correction=False).pvalue
    assert found.p_value == pytest.approx(expected, rel=0.02)
    wilson = proportion_confint(after.sum(), 200, method="wilson")
    assert (found.after.low, found.after.high) == pytest.approx(wilson, abs=1e-9)


def test_a_source_that_is_there_twice_counts_once():
    held = answers(n=200)
    twice = HeldOut(*(np.concatenate([getattr(held, name)] * 2) for name in held.__dataclass_fields__))
    once, both = compare(held), compare(twice)
    assert once.difference == both.difference
    assert (once.before, once.after) == (both.before, both.after)


def test_labels_of_another_meaning_are_learnt_and_it_is_said(learnt, parent):
    found = learnt.comparison
    assert found.verdict == "better"
    assert found.difference.low > 0.2
    assert found.before.value < 0.4
    assert learnt.words.startswith("swapped-1 beats toy-1 on your own sources. As a mean over the classes, ")
    assert learnt.words.endswith("Use swapped-1.")


def test_labels_that_are_the_classifier_s_own_cannot_be_bettered(tmp_path, sky, parent):
    said = classify_files(parent, [sky]).columns()
    names, classes = said["source"].tolist(), said["class"].tolist()
    rows = {name: own for name, own in zip(names, classes, strict=True) if classes.count(own) >= 10}
    found = finetune(
        sky,
        labels_file(tmp_path / "own.csv", rows),
        parent,
        FinetuneSpec(epochs=1, learning_rate=1e-5, folds=3),
    )
    assert found.comparison.before.value == 1
    assert found.comparison.verdict == "not told apart"
    assert "my-classifier and toy-1 cannot be told apart on your own sources." in found.words


def test_a_worse_one_is_called_worse():
    held = answers(n=400)
    found = compare(replace(held, before=held.after, after=held.before))
    assert found.verdict == "worse"


# --- what comes of it -------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_bits_and_the_parent_stays_as_it_was(sky, parent, parent_file):
    before = load_classifier(parent_file)
    first, second = (finetune(sky, classifier=parent, spec=QUICK) for _ in range(2))
    other = finetune(sky, classifier=parent, spec=replace(QUICK, seeds=(5, 6)))
    assert same_weights(first.classifier, second.classifier)
    np.testing.assert_array_equal(first.comparison.held_out.after, second.comparison.held_out.after)
    assert first.classifier.card == second.classifier.card
    assert not same_weights(first.classifier, other.classifier)
    assert not same_weights(first.classifier, parent)
    assert same_weights(before, parent)


def test_the_file_says_the_same_and_its_card_tells_all(learnt, parent, sky, tmp_path):
    path = tmp_path / "swapped-1.safetensors"
    learnt.classifier.save(path)
    loaded, own = load_classifier(path), learnt.own
    np.testing.assert_array_equal(
        loaded.predict(own.fields, prepared=True), learnt.classifier.predict(own.fields, prepared=True)
    )
    card, held = loaded.card, learnt.comparison.held_out
    assert (card.name, card.classes) == ("swapped-1", parent.classes)
    assert set(card.seen) > set(parent.card.seen)
    assert near_any(own.catalogue.ra, own.catalogue.dec, np.array(card.seen)).all()
    assert card.prior == (0.25,) * 4
    (overall,) = (score for score in card.scores if not score.of)
    assert (overall.value, overall.n) == (held.right()[1].mean(), len(held.label))
    assert [m.spec.recipe.epochs for m in card.members] == [15, 15]
    assert all(len(m.spec.network.weights) == 64 for m in card.members)
    assert len({m.spec.network.weights for m in card.members}) == 2
    assert "toy-1, trained further: 15 epochs" in card.recipe
    assert "swapped-1 beats toy-1" in card.recipe
    assert str(sky.parent).encode() not in path.read_bytes()
    assert "held out of one's own" in "\n".join(card_lines(card))
    flags = classify_files(loaded, [sky / "FRI"]).columns()["flags"]
    assert all("in-training" in each for each in flags)
    assert np.isfinite(classify_files(loaded, [sky / "FRI"]).unlike).all()


def test_temperature_and_sets_come_from_the_held_out_sources(learnt):
    held, card = learnt.comparison.held_out, learnt.classifier.card

    def loss(t):
        return -log_softmax(held.after / t, axis=1)[np.arange(len(held.label)), held.label].mean()

    expected = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
    assert card.temperature == pytest.approx(expected, rel=1e-3)
    p = np.exp(log_softmax(held.after / card.temperature, axis=1))
    for k in range(4):
        own = np.sort(1 - p[held.label == k, k])
        rank = math.ceil(round(0.9 * (len(own) + 1), 9))
        assert card.conformal.threshold[k] == pytest.approx(own[rank - 1], rel=1e-9)


def test_a_class_that_one_has_not_is_said_and_no_shares_are_assumed(tmp_path, sky, truth, parent):
    rows = {name: own for name, own in truth.items() if own != "Compact"}
    found = finetune(sky, labels_file(tmp_path / "three.csv", rows), parent, QUICK)
    assert found.classifier.card.prior is None
    assert (
        "You have no source of Compact: the new classifier may unlearn what it is never shown."
        in " ".join(found.basis)
    )
    with pytest.raises(DataError, match="shares of its classes in training are not known"):
        _ = found.classifier.prior


def test_ten_lines_of_python(sky, parent_file, tmp_path):
    result = rgbench.finetune(sky, classifier=parent_file, spec=rgbench.FinetuneSpec(epochs=1, folds=2))
    assert "on your own sources" in result.words
    result.classifier.save(tmp_path / "mine.safetensors")
    assert rgbench.load_classifier(tmp_path / "mine.safetensors").name == "my-classifier"


# --- what is refused --------------------------------------------------------------------------------------


def only(name):
    return lambda rows: {key: own for key, own in rows.items() if own == name}


def few(rows):
    kept = [key for key, own in rows.items() if own == "Bent"][:4]
    return {key: own for key, own in rows.items() if own != "Bent" or key in kept}


TABLES = {
    "one class": (
        only("FRI"),
        "all 20 are FRI; labelled sources of two classes or more of Compact, FRI, FRII",
    ),
    "few": (few, "has only 4 Bent; 10 sources or more of each class that stands there are needed"),
    "unknown": (
        lambda rows: {**rows, "zzz": "Odd"},
        r"row 81 \(zzz\): unknown label 'Odd'.*legal are Compact, FRI",
    ),
    "no label": (lambda rows: dict.fromkeys(rows, ""), "no source has a label"),
}


@pytest.mark.parametrize("what", TABLES)
def test_a_wrong_table_is_refused_before_training(tmp_path, sky, truth, parent, monkeypatch, what):
    monkeypatch.setattr("rgbench.finetuning.train.fit", lambda *a: pytest.fail("trained"))
    change, message = TABLES[what]
    table = labels_file(tmp_path / "table.csv", change(truth))
    with pytest.raises(RgbenchError, match=f"table.csv.*{message}"):
        finetune(sky, table, parent)


def with_seen(classifier, seen):
    return replace(classifier, card=classifier.card.model_copy(update={"seen": seen}))


def test_sources_that_are_all_known_are_refused(sky, own, parent, monkeypatch):
    monkeypatch.setattr("rgbench.finetuning.train.fit", lambda *a: pytest.fail("trained"))
    seen = tuple(zip(own.catalogue.ra.tolist(), own.catalogue.dec.tolist(), strict=True))
    with pytest.raises(DataError, match="toy-1 was trained on 80 of these 80 sources.* there are none"):
        finetune(sky, classifier=with_seen(parent, seen))


def test_all_reasons_are_given_at_once_where_the_table_tells_positions(tmp_path, sky, truth, own, parent):
    names, places = own.catalogue.source_id.tolist(), zip(own.catalogue.ra, own.catalogue.dec, strict=True)
    rows = [(name, truth[name], *place) for name, place in zip(names, places, strict=True)]
    few_bent = [row for row in rows if row[1] != "Bent"] + [row for row in rows if row[1] == "Bent"][:4]
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "class", "ra", "dec"), *few_bent])
    seen = tuple((float(ra), float(dec)) for _, label, ra, dec in rows if label in ("FRI", "FRII"))
    with pytest.raises(
        DataError, match=r"has only 4 Bent; .* Besides, toy-1 was trained on 40 of these 64 sources"
    ):
        read_own(sky, table, with_seen(parent, seen), FolderOptions())
    with pytest.raises(DataError) as caught:
        read_own(sky, table, parent, FolderOptions())
    assert "Besides" not in str(caught.value)


def test_images_that_cannot_be_used_are_named_where_too_few_are_left(tmp_path, sky, parent):
    shutil.copytree(sky, tmp_path / "bad")
    for path in sorted((tmp_path / "bad" / "BENT").glob("*.fits"))[:15]:
        path.write_bytes(b"SIMPLE")
    with pytest.raises(DataError, match="has only 5 Bent; 15 were set aside: .*BENT"):
        read_own(tmp_path / "bad", None, parent, FolderOptions())


def test_a_classifier_without_positions_says_that_nothing_is_known(sky, parent):
    found = finetune(sky, classifier=with_seen(parent, ()), spec=NOTHING)
    assert "toy-1 tells no positions: whether it was trained on your sources is not known." in found.basis


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": -1}, "epochs: found -1; 0 or more are legal"),
        ({"learning_rate": 0.0}, "learning_rate: found 0; a number above 0 and below 1 is legal"),
        ({"folds": 1}, "folds: found 1; 2 or more are legal"),
    ],
)
def test_a_wrong_spec_is_refused(changes, message):
    with pytest.raises(SpecError, match=message):
        FinetuneSpec(**changes)


def test_seeds_and_folds_have_to_fit(sky, parent):
    with pytest.raises(SpecError, match="seeds: found 3; toy-1 has 2 networks, and each needs one"):
        finetune(sky, classifier=parent, spec=FinetuneSpec(seeds=(1, 2, 3)))


def test_more_folds_than_sources_are_refused_before_an_image_is_read(sky, parent, monkeypatch):
    def never(*rest):
        raise AssertionError("an image was read")

    monkeypatch.setattr("rgbench.finetuning.own.see_image", never)
    with pytest.raises(SpecError, match="folds: found 81; legal are 2 to 80, the number of labelled sources"):
        finetune(sky, classifier=parent, spec=FinetuneSpec(folds=81))


def test_more_folds_than_sky_groups_are_refused_before_training(own):
    groups = len(np.unique(own.catalogue.group[~own.known]))
    with pytest.raises(
        SpecError, match=f"folds: found {groups + 1}; legal are 2 to {groups}, the number of sky"
    ):
        own.folds(groups + 1, seed=1)
    assert own.folds(groups, seed=1).max() == groups - 1


def test_one_image_under_two_names_is_refused_where_positions_do_not_group_it(sky, parent, tmp_path):
    """Else it could be trained on and scored; with positions both are in one sky group."""
    for number, path in enumerate(sorted(sky.rglob("*.fits"))):
        place = tmp_path / path.parent.name / f"s{number:03}.fits"
        place.parent.mkdir(exist_ok=True)
        fits.writeto(place, fits.getdata(path), fits.Header({"BUNIT": "Jy/beam"}))
    assert len(read_own(tmp_path, None, parent, FolderOptions(pixel_scale=1.8))) == 80
    shutil.copy(min((tmp_path / "FRI").iterdir()), tmp_path / "FRI" / "twin.fits")
    with pytest.raises(
        DataError, match=r"'s\d+' and 'twin' have the same image \(.*twin.fits\); leave one of them out"
    ):
        read_own(tmp_path, None, parent, FolderOptions(pixel_scale=1.8))
