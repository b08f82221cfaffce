"""Likely label errors: cleanlab as the oracle, planted errors found, training sources refused, the list on disk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from rgbench.comparison.label_errors import (
    OutOfSample,
    likely_errors,
    noise,
    out_of_sample,
    suspects,
    write_suspects,
    wrong_share,
)
from rgbench.comparison.words.failures import suspects as words
from rgbench.data.catalogue import Catalogue
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.store.tables import concatenate

CLASSES = ("Compact", "FRI", "FRII", "Bent")


def flipped(seed=0, n=1200, share=0.1, apart=2.5):
    """Points of four classes with a share of the labels wrong, and cross-validated probabilities."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, n)
    x = rng.normal(size=(n, 2)) + apart * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])[truth] / 2**0.5
    wrong = rng.random(n) < share
    label = np.where(wrong, (truth + rng.integers(1, 4, n)) % 4, truth)
    p = cross_val_predict(LogisticRegression(), x, label, cv=5, method="predict_proba")
    return label, p, wrong


def held_out(label, p, side="test"):
    names = np.array([f"s{i:04d}" for i in range(len(label))])
    return OutOfSample(CLASSES, names, label, p, np.full(len(label), side))


@pytest.fixture(scope="module")
def planted():
    return flipped()


def test_planted_errors_are_found(planted):
    label, p, wrong = planted
    found = likely_errors(label, p)
    precision, recall = (found & wrong).sum() / found.sum(), (found & wrong).sum() / wrong.sum()
    said = f"precision {precision:.2f}, recall {recall:.2f}"
    assert precision > 0.85, said
    assert recall > 0.85, said
    top = suspects(held_out(label, p))
    first = np.isin(held_out(label, p).source_id, top.source_id[:50])
    assert wrong[first].mean() > 0.95, "the likeliest come first"


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_the_share_of_wrong_labels_is_estimated(share):
    label, p, wrong = flipped(seed=4, share=share, apart=3.5)
    found = wrong_share(held_out(label, p), resamples=100)
    assert found.value == pytest.approx(wrong.mean(), abs=0.02)
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 0.08


def test_a_noise_matrix_that_is_known_is_estimated():
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 3, 30_000)
    chances = np.array([[0.9, 0.1, 0.0], [0.0, 0.8, 0.2], [0.05, 0.05, 0.9]])
    label = (rng.random((30_000, 1)) > chances[truth].cumsum(axis=1)).sum(axis=1)
    # What a perfect observer says of the given label is the chance of each label.
    found = noise(label, np.eye(3)[truth] * 0.97 + 0.01)
    assert found.noise_matrix == pytest.approx(chances.T, abs=0.02)
    assert found.prior == pytest.approx(np.full(3, 1 / 3), abs=0.02)
    assert found.noise_matrix.sum(axis=0) == pytest.approx(np.ones(3))
    assert found.inverse.sum(axis=1) == pytest.approx(np.ones(3))
    assert found.joint.sum() == pytest.approx(1)
    by_bayes = chances.T * (1 / 3) / (chances.T * (1 / 3)).sum(axis=1, keepdims=True)
    assert found.inverse == pytest.approx(by_bayes, abs=0.02)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_estimates_are_those_of_cleanlab(seed):
    count = pytest.importorskip("cleanlab.count")
    ranking = pytest.importorskip("cleanlab.rank")
    filters = pytest.importorskip("cleanlab.filter")
    label, p, _ = flipped(seed=seed, n=800, share=0.15, apart=2.0)
    found = noise(label, p)
    confident = p >= found.thresholds - 1e-6
    same = (confident.sum(axis=1) < 2) | confident[np.arange(len(p)), p.argmax(axis=1)]
    assert same.all(), "elsewhere cleanlab leaves the paper"
    np.testing.assert_allclose(found.thresholds, count.get_confident_thresholds(label, p))
    np.testing.assert_array_equal(found.confident, count.compute_confident_joint(label, p, calibrate=False))
    calibrated = count.compute_confident_joint(label, p, calibrate=True)
    np.testing.assert_allclose(found.joint * len(label), calibrated, atol=1.0)  # cleanlab's are whole numbers
    prior, by_truth, by_label = count.estimate_latent(calibrated, label)
    np.testing.assert_allclose(found.prior, prior, atol=0.005)
    np.testing.assert_allclose(found.noise_matrix, by_truth, atol=0.01)
    np.testing.assert_allclose(found.inverse, by_label.T, atol=0.01)
    pruned = filters.find_label_issues(label, p, filter_by="prune_by_noise_rate", n_jobs=1)
    assert (pruned != likely_errors(label, p)).sum() <= 4, "rounding of a count"
    joint = filters.find_label_issues(label, p, filter_by="confident_learning", n_jobs=1)
    mine = likely_errors(label, p, "confident joint")
    np.testing.assert_array_equal(mine & (p.argmax(axis=1) != label), joint)
    held = held_out(label, p)
    for order, theirs in (("self-confidence", "self_confidence"), ("normalised margin", "normalized_margin")):
        quality = ranking.get_label_quality_scores(label, p, method=theirs)
        listed = suspects(held, order=order)
        score = listed.self_confidence if order == "self-confidence" else (listed.normalised_margin + 1) / 2
        rows = np.searchsorted(held.source_id, listed.source_id)
        np.testing.assert_allclose(score, quality[rows], atol=1e-9)
        assert (np.diff(score) >= 0).all()


def test_the_paper_is_followed_where_cleanlab_leaves_it():
    # Thresholds 0.9, 0.15 and 0.1: the last source is confidently of classes 1 and 2, most probably of 0.
    p = np.array([[0.95, 0.03, 0.02], [0.85, 0.1, 0.05], [0.8, 0.15, 0.05], [0.8, 0.1, 0.1], [0.5, 0.3, 0.2]])
    label = np.array([0, 0, 1, 2, 0])
    found = noise(label, p)
    assert (p[4] >= found.thresholds).tolist() == [False, True, True]
    assert found.confident[0].tolist() == [2.0, 1.0, 0.0]


def test_a_resample_of_weights_is_one_of_sources(planted):
    label, p, _ = planted
    drawn = np.random.default_rng(0).integers(0, len(label), len(label))
    weights = np.bincount(drawn, minlength=len(label)).astype(float)
    by_weight, by_row = noise(label, p, weights), noise(label[drawn], p[drawn])
    np.testing.assert_allclose(by_weight.joint, by_row.joint)
    np.testing.assert_allclose(by_weight.thresholds, by_row.thresholds)


def test_a_class_without_label_is_no_label_error():
    found = noise(np.array([0, 0, 1, 1]), np.array([[0.8, 0.1, 0.1]] * 2 + [[0.1, 0.8, 0.1]] * 2))
    assert np.isinf(found.thresholds[2])
    assert found.share == 0
    assert np.isfinite(found.noise_matrix).all()


def test_probabilities_of_training_sources_are_refused(planted, make_run):
    label, p, _ = planted
    with pytest.raises(
        DataError, match="1200 of 1200 probabilities are not out of sample, e.g. of 's0000' on side 'tr"
    ):
        held_out(label, p, "train")
    with pytest.raises(
        SpecError, match="splits: found 'train'; legal are validation, test: a network repeats"
    ):
        out_of_sample([make_run("mcrgnet", 1, 0.8)], splits=("train",))
    record = make_run("mcrgnet", 1, 0.8)
    train = replace(record.predictions, split=np.full(200, "train"))
    both = replace(record, predictions=concatenate([record.predictions, train]))
    with pytest.raises(DataError, match="was trained on 't0s0', which it held out too"):
        out_of_sample([both])


def test_folds_make_a_cross_validation(make_run):
    """Each fold holds other sources out; together they are all there, and what runs said is averaged."""
    runs = []
    for fold in range(5):
        record = make_run("mcrgnet", fold + 1, 0.9)
        split = np.where(np.arange(200) % 5 == fold, "validation", "train")
        runs.append(replace(record, predictions=replace(record.predictions, split=split)))
    held = out_of_sample(runs)
    assert len(held.source_id) == held.validated == 200
    first = runs[0].predictions
    row = int(np.flatnonzero(held.source_id == first.source_id[0])[0])
    np.testing.assert_allclose(held.probabilities[row], first.probabilities()[0])
    twice = out_of_sample([make_run("mcrgnet", 1, 0.9), make_run("convxpress", 1, 0.9)])
    assert twice.validated == 0
    mean = np.mean(
        [make_run(n, 1, 0.9).predictions.probabilities()[0] for n in ("mcrgnet", "convxpress")], axis=0
    )
    row = int(np.flatnonzero(twice.source_id == "t0s0")[0])
    np.testing.assert_allclose(twice.probabilities[row], mean)
    with pytest.raises(DataError, match="no complete run has predictions of labelled sources on test"):
        out_of_sample(runs, splits=("test",))


@pytest.mark.parametrize(
    ("label", "p", "message"),
    [
        ([0, 1], [[0.5, 0.5]], "do not fit"),
        ([0, 2], [[0.5, 0.5]] * 2, "labels lie between 0 and 2; legal are 0 to 1"),
        ([0, 1], [[0.5, 0.5], [0.5, 0.6]], "row 1: .* are no probabilities"),
        ([0, 1], [[np.nan, 0.5], [0.5, 0.5]], "row 0: "),
    ],
)
def test_what_is_no_probability_is_refused(label, p, message):
    with pytest.raises(DataError, match=message):
        noise(np.array(label), np.array(p))
    with pytest.raises(SpecError, match="method: found 'x'"):
        likely_errors(np.array([0, 1]), np.eye(2), "x")


def test_the_list_is_written_whole_and_nothing_is_overwritten(tmp_path, planted):
    label, p, _ = planted
    names = np.array([f"s{i:04d}" for i in range(1200)], dtype="U20")
    names[0] = 'J12,"x"\n=1'
    names[1::3] = [f"=HYPERLINK({i})" for i in range(400)]
    names[2::3] = [f"-{i}.5" for i in range(400)]
    held = OutOfSample(CLASSES, names, label, p, np.full(1200, "test"))
    n = np.arange(1200)
    ra = np.where(n % 7 == 0, np.nan, n / 4)
    catalogue = Catalogue(names, ra, np.where(np.isnan(ra), np.nan, n / 20 - 30), label, n, names, n * 0)
    found = suspects(held, catalogue)
    for name, read in (("a.csv", pc.read_csv), ("a.parquet", pq.read_table)):
        path = tmp_path / name
        write_suspects(path, found)
        options = {"parse_options": pc.ParseOptions(newlines_in_values=True)} if name == "a.csv" else {}
        back = read(path, **options)
        named = [f"'{s}" if s[0] == "=" and name == "a.csv" else s for s in found.source_id.tolist()]
        assert back.column("source_id").to_pylist() == named
        assert back.column("suggested_label").to_pylist() == found.suggested.tolist()
        assert back.column("normalised_margin").to_pylist() == found.normalised_margin.tolist(), "not rounded"
        assert back.column("ra_deg").null_count == np.isnan(found.ra).sum() > 0
        assert all((link == "") == bool(np.isnan(x)) for link, x in zip(found.link, found.ra, strict=True))
        assert back.column_names[-1] == "verdict"
        with pytest.raises(StoreError, match="is there already"):
            write_suspects(path, found)
        write_suspects(path, found, overwrite=True)
    with pytest.raises(SpecError, match="legal endings are .csv and .parquet"):
        write_suspects(tmp_path / "a.fits", found)
    assert "worth a second look" in words(held, wrong_share(held, resamples=20), found)
    n = len(held.label)
    some = words(held, wrong_share(held, resamples=20), found, 4 * n)
    assert f"Only {n:,} of the {4 * n:,} labelled sources (25 %) could be looked at" in some
    assert "could be looked at" not in words(held, wrong_share(held, resamples=20), found, n)
    assert "took part in choosing" in words(
        held_out(label, p, "validation"), wrong_share(held, resamples=20), found
    )
