"""A classifier in one file: it says what its run said, calibrated; what is wrong with a file is one line; predict."""

from __future__ import annotations

import csv
import json
import math
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

import rgbench
from rgbench.cli.app import main
from rgbench.diagnostics.stress import views_of
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.images.domain import FORBIDDING, Oddity
from rgbench.images.fits import read_fits
from rgbench.images.geometry import central_crop
from rgbench.images.noise import ImageError
from rgbench.measures.best import best_on_validation
from rgbench.runs.classifier import Classifier, load_classifier
from rgbench.runs.classifier_card import KEY, card_lines, sight
from rgbench.runs.classify import check_table_path, classify_files
from rgbench.runs.export import ExportChoice, classifier_of_run, make_classifier
from rgbench.runs.inputs import prepare
from rgbench.runs.reopen import StoredRun
from rgbench.runs.seen import OwnImages
from rgbench.simulate import SimulationSpec, Survey, simulate, write_simulation
from rgbench.store.store import Store

FIELD = 64
MIRROR = os.environ.get("RGBENCH_MIRROR", "")
needs_mirror = pytest.mark.skipif(not MIRROR, reason="needs the public files in $RGBENCH_MIRROR")


@pytest.fixture(scope="module")
def sky(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sky")
    spec = SimulationSpec(n=120, seed=1, survey=Survey(side=100), neighbours=False)
    write_simulation(simulate(spec), folder)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory, sky, toy_study) -> Store:
    """One seed, trained for an epoch."""
    made = Store(tmp_path_factory.mktemp("store"))
    study = toy_study(sky, (10, 14), (FIELD, 32), epochs=1)
    (record,) = rgbench.run_study(study, made)
    assert record.error is None
    return made


@pytest.fixture(scope="module")
def run(store) -> StoredRun:
    return StoredRun(store.run_ids()[0], store)


@pytest.fixture(scope="module")
def made(run) -> Classifier:
    return make_classifier([run], ExportChoice("toy-1"))


@pytest.fixture(scope="module")
def file(made, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("file") / "toy-1.safetensors"
    made.save(path)
    return path


@pytest.fixture(scope="module")
def classifier(file) -> Classifier:
    return load_classifier(file)


# --- the file ---------------------------------------------------------------------------------------------


def test_it_says_what_its_run_said_bit_for_bit(classifier, made, run):
    images = run.dataset.images[run.side("test")]
    np.testing.assert_array_equal(np.exp(classifier.logits(images)), run.predict(images))
    np.testing.assert_array_equal(made.predict(images), classifier.predict(images))
    assert classifier.card == made.card
    assert (classifier.classes, classifier.name) == (run.classes, "toy-1")
    np.testing.assert_allclose(classifier.unlike(images), made.unlike(images), atol=0.02)


def test_temperature_and_sets_are_those_of_a_computation_of_its_own(classifier, run):
    rows = run.record.predictions.select("validation", "best")
    logits, y = rows.logits.astype(float), rows.label

    def loss(t):
        return -log_softmax(logits / t, axis=1)[np.arange(len(y)), y].mean()

    expected = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
    assert classifier.card.temperature == pytest.approx(expected, rel=1e-3)
    images = run.dataset.images[run.side("test")]
    p = softmax(classifier.logits(images) / classifier.card.temperature, axis=1)
    np.testing.assert_allclose(classifier.predict(images), p, rtol=1e-12)
    score = 1 - softmax(logits / classifier.card.temperature, axis=1)
    for k in range(4):
        own = np.sort(score[y == k, k])
        rank = math.ceil(round(0.9 * (len(own) + 1), 9))
        assert classifier.card.conformal.threshold[k] == pytest.approx(own[rank - 1], rel=1e-9)
    sets = classifier.sets(np.log(p))
    np.testing.assert_array_equal(sets, 1 - p <= np.array(classifier.card.conformal.threshold))


def test_second_views_calibrate_too(run):
    """The temperature is that of first images and views together, by a minimisation of its own."""
    views = views_of(run, draws=(1, 2))
    assert [set(table.split) for table in views] == [{"validation"}] * 2
    tables = [run.record.predictions.select("validation", "best")]
    tables += [table.select("validation", "best", condition=None) for table in views]
    assert len({table.logits.tobytes() for table in tables}) == 3
    logits = np.concatenate([table.logits for table in tables]).astype(float)
    y = np.concatenate([table.label for table in tables])

    def loss(t):
        return -log_softmax(logits / t, axis=1)[np.arange(len(y)), y].mean()

    expected = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
    card = make_classifier([run], ExportChoice("toy-2"), [views]).card
    assert card.temperature == pytest.approx(expected, rel=1e-3)
    assert "calibrated on 2 second views too" in card.recipe


def test_the_card_tells_where_it_comes_from_and_no_folder_of_the_machine(classifier, run, sky, file):
    card = classifier.card
    assert card.prior == (0.25, 0.25, 0.25, 0.25)
    assert card.domain.pixel_scale == 1.8
    assert card.domain.beam == 5.4
    assert card.domain.largest_size > 20
    assert card.domain.least_signal_to_noise > 3
    rows = np.concatenate((run.side("train"), run.side("validation")))
    assert len(card.seen) == len(rows)
    places = np.column_stack((run.dataset.catalogue.ra, run.dataset.catalogue.dec))[rows]
    np.testing.assert_allclose(np.sort(np.array(card.seen)[:, 0]), np.sort(places[:, 0]), atol=1e-4)
    test = run.record.predictions.select("test", "best")
    right = test.logits.argmax(axis=1) == test.label
    overall, covered = (score for score in card.scores if not score.of)
    assert (overall.metric, covered.metric) == ("recognised", "covered")
    sets = classifier.sets(np.log(classifier.predict(run.dataset.images[run.side("test")])))
    assert covered.value == sets[np.arange(len(test)), test.label].mean()
    assert (overall.value, overall.n) == (right.mean(), len(test))
    assert overall.low < overall.value < overall.high
    assert card.members[0].spec.run_id == run.run_id
    assert str(sky.parent) not in json.dumps(card.model_dump(mode="json"))
    assert str(sky).encode() not in file.read_bytes()
    text = "\n".join(card_lines(card))
    assert "Must not be used for" in text
    assert "FRII" in text


def test_several_runs_vote_with_their_mean_log_probability(run, store, tmp_path):
    twin = StoredRun(run.record, store, dataset=run.dataset)
    twin.trained.network.load_state_dict(
        {key: value * 1.5 for key, value in run.trained.network.state_dict().items()}
    )
    pair = make_classifier([run, twin], ExportChoice("pair-1"))
    images = run.dataset.images[run.side("test")[:9]]
    log_p = [np.log(run.predict(images)), np.log(twin.predict(images))]
    np.testing.assert_allclose(pair.logits(images), log_softmax(np.mean(log_p, axis=0), axis=1), atol=1e-9)
    pair.save(tmp_path / "pair-1.safetensors")
    np.testing.assert_array_equal(
        load_classifier(tmp_path / "pair-1.safetensors").predict(images), pair.predict(images)
    )


def test_unlike_is_the_same_for_a_mirrored_and_a_turned_image():
    """However few views the classes are taken from."""
    shipped = load_classifier()
    y, x = np.indices((128, 128)) - 63.5
    image = np.exp(-((x - 9) ** 2 + y**2) / 9) + 0.4 * np.exp(-((x + 12) ** 2 + (y - 15) ** 2) / 25)
    ways = np.stack([image, image[::-1], np.rot90(image), np.rot90(image[::-1])]).astype(np.float32)
    seen = shipped.unlike(ways)
    np.testing.assert_allclose(seen, seen[0], atol=0.011)
    np.testing.assert_array_equal(shipped.with_views(1).unlike(ways), seen)


def test_fewer_views_are_the_first_ones_alone(classifier, run):
    """One view is a plain pass; two are averaged with the half turn; the classifier itself stays as it was."""
    images = run.dataset.images[run.side("test")[:5]]
    pixels = prepare(images, run.spec)
    before = classifier.logits(images)
    one, two, turned = (
        classifier.with_views(n).members[0].logits(ready, True)
        for n, ready in ((1, pixels), (2, pixels), (1, np.rot90(pixels, 2, (1, 2)).copy()))
    )
    np.testing.assert_allclose(two, (one + turned) / 2, atol=1e-5)
    np.testing.assert_array_equal(classifier.logits(images), before)
    for wrong in (3, 2.0, True, "all"):
        with pytest.raises(
            SpecError, match=f"views: found {wrong!r}; legal are 1, 2, 4, 8, 16, 24, 48 and auto"
        ):
            classifier.with_views(wrong)


def test_only_images_that_one_view_is_not_sure_of_are_looked_at_in_all(classifier, run):
    images = run.dataset.images[run.side("test")]
    one, all_, auto = (classifier.with_views(n) for n in (1, 4, 4))
    auto = auto.with_views("auto")
    first = one.predict(images).max(axis=1)
    sure = float(np.median(first))
    found, unlike = replace(auto, sure=sure).logits_and_unlike(images)
    assert (auto.views, all_.views) == ("auto", 4)
    np.testing.assert_array_equal(found[first >= sure], one.logits(images)[first >= sure])
    np.testing.assert_allclose(found[first < sure], all_.logits(images)[first < sure], atol=1e-5)
    assert 0 < (first < sure).sum() < len(images)
    np.testing.assert_array_equal(unlike, classifier.unlike(images))
    np.testing.assert_allclose(replace(auto, sure=1.0).logits(images), all_.logits(images), atol=1e-5)
    np.testing.assert_array_equal(replace(auto, sure=0.0).logits(images), one.logits(images))
    assert auto.with_views(2).views == 2


def rewritten(file: Path, path: Path, change) -> Path:
    """Write a file again with other tensors or another card."""
    with safe_open(file, framework="pt") as old:
        tensors = {name: old.get_tensor(name) for name in old.keys()}  # noqa: SIM118
        card = json.loads(old.metadata()[KEY])
    metadata = {KEY: json.dumps(card)}
    found = change(tensors, card)
    save_file(tensors, path, metadata if found is None else found)
    return path


DAMAGE = {
    "no card": (lambda t, c: {"other": "x"}, "is no classifier: its metadata has no 'rgbench-classifier'"),
    "no json": (lambda t, c: {KEY: "{"}, "is damaged: its card is no JSON"),
    "newer": (
        lambda t, c: {KEY: json.dumps({**c, "version": 9})},
        "has schema version 9, this rgbench reads up to 1",
    ),
    "a key": (lambda t, c: {KEY: json.dumps({**c, "extra": 1})}, "is damaged: extra: Extra inputs"),
    "a list": (lambda t, c: {KEY: "[1]"}, "is damaged: the card"),
    "no member": (lambda t, c: {KEY: json.dumps({**c, "members": []})}, "is damaged: members"),
    "prior": (lambda t, c: {KEY: json.dumps({**c, "prior": [1.0]})}, "prior has 1 numbers for 4 classes"),
    "temperature": (lambda t, c: {KEY: json.dumps({**c, "temperature": 0})}, "is damaged: temperature"),
    "weights": (
        lambda t, c: t.pop(next(k for k in t if k.startswith("member0"))) is None or None,
        "do not fit the network",
    ),
    "not finite": (
        lambda t, c: t.update({k: v * np.inf for k, v in t.items() if k.startswith("member0")}),
        "has values that are not finite",
    ),
    "no scale": (
        lambda t, c: {KEY: json.dumps({**c, "domain": {**c["domain"], "pixel_scale": -1.8}})},
        "domain.pixel_scale is -1.8; above 0 is legal",
    ),
    "no name": (
        lambda t, c: {KEY: json.dumps({**c, "classes": ["", *c["classes"][1:]]})},
        "different names are legal",
    ),
    "unlike": (lambda t, c: t.pop("unlike.mean") is None or None, "tensors unlike"),
    "shape": (lambda t, c: t.update({"unlike.mean": torch.zeros(3)}), "which do not fit"),
    "width": (
        lambda t, c: t.update({k: t[k][:9] for k in ("unlike.mean", "unlike.components")}),
        "the tensor unlike.mean has 9 numbers; the last layers of 1 of its networks read",
    ),
    "more members": (
        lambda t, c: {KEY: json.dumps({**c, "unlike_members": 2})},
        "unlike_members is 2; 1 to 1 are legal",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_is_one_line(file, tmp_path, what):
    change, message = DAMAGE[what]

    def apply(tensors, card):
        found = change(tensors, card)
        return found if isinstance(found, dict) else None

    with pytest.raises(StoreError, match="toy.safetensors") as raised:
        load_classifier(rewritten(file, tmp_path / "toy.safetensors", apply))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_nothing_is_unpickled_and_no_code_is_imported(file, tmp_path, monkeypatch):
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(StoreError, match=r"foreign\.safetensors: weights cannot be read"):
        load_classifier(foreign)
    half = tmp_path / "half.safetensors"
    half.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(StoreError, match=r"half\.safetensors: weights cannot be read"):
        load_classifier(half)

    def imports(tensors, card):
        card["members"][0]["spec"]["network"]["name"] = "evil:network"
        return {KEY: json.dumps(card)}

    with pytest.raises(StoreError, match="network 'evil:network' needs the code of another package"):
        load_classifier(rewritten(file, tmp_path / "evil.safetensors", imports))

    def preset(tensors, card):
        card["members"][0]["spec"]["images"]["preset"] = "unheard"
        return {KEY: json.dumps(card)}

    with pytest.raises(StoreError, match="member 0 cannot be built: unknown preset 'unheard'"):
        load_classifier(rewritten(file, tmp_path / "preset.safetensors", preset))


def test_networks_of_other_beams_are_not_handed_the_same_images(run):
    wider = run.spec.images.model_copy(update={"beam": 1.5, "frame": "sky"})
    assert sight(run.spec) != sight(run.spec.model_copy(update={"images": wider}))


@needs_mirror
def test_an_array_has_the_probabilities_of_its_file():
    """At a distance from the centre another source drew the frame to itself, in the array only."""
    classifier = load_classifier().with_views(1)
    files = sorted((Path(MIRROR) / "MiraBest_FITS").glob("*.fits.gz"))[:20]
    images = np.stack([read_fits(file).pixels for file in files])
    np.testing.assert_allclose(
        classifier.predict(images), classify_files(classifier, files).probabilities, atol=1e-5
    )
    small = classifier.predict(central_crop(images, 130)).argmax(axis=1)
    assert (small == classifier.predict(images).argmax(axis=1)).all()


def test_what_is_masked_is_not_seen(classifier):
    images = np.random.default_rng(1).normal(size=(2, 100, 100)).astype(np.float32)
    images[:, 45:55, 45:55] += 30
    blank = images.copy()
    blank[:, 50, 50] = np.nan
    masked = np.ma.masked_array(np.where(np.isnan(blank), np.float32(1e6), blank), np.isnan(blank))
    np.testing.assert_array_equal(classifier.predict(masked), classifier.predict(blank))
    np.testing.assert_array_equal(classifier.predict(list(images)), classifier.predict(images))


def test_where_the_table_goes_is_checked_before_the_work(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for path, why in (
        (tmp_path / "folder.csv", "is a folder"),
        (tmp_path / "no" / "x.csv", "there is no folder"),
    ):
        with pytest.raises(SpecError, match=why):
            check_table_path(path, overwrite=True)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(
        SpecError, match=r"no file and no classifier 'third-9'; those that come with this rgbench: "
    ):
        load_classifier("third-9")
    with pytest.raises(SpecError, match="no run is given"):
        make_classifier([], ExportChoice("x"))


def test_runs_that_differ_make_no_classifier(run, store):
    other = replace(
        run.record,
        spec=run.spec.model_copy(update={"data": run.spec.data.model_copy(update={"frame": None})}),
    )
    with pytest.raises(SpecError, match="differ in their data, classes, field or preset"):
        make_classifier([run, StoredRun(other, store)], ExportChoice("x"))


def test_a_class_without_a_training_source_has_no_share(run, store):
    """It was given an equal one, and 36 of 36 sources the class by --prior."""
    other, catalogue = StoredRun(run.run_id, store), run.dataset.catalogue
    label = np.where(catalogue.label == 0, 1, catalogue.label)
    other.dataset = replace(run.dataset, catalogue=replace(catalogue, label=label))
    made = make_classifier([other], ExportChoice("x"))
    assert made.card.prior is None
    assert made.card.not_for.startswith(
        "Surveys with Compact: it was trained without one, so that --prior cannot"
    )
    with pytest.raises(DataError, match="the shares of its classes in training are not known"):
        _ = made.prior


def test_a_stored_run_is_a_classifier_too_without_its_data(run, store, monkeypatch):
    monkeypatch.setattr("rgbench.runs.reopen.load_dataset", lambda spec: pytest.fail("loaded the data"))
    found = classifier_of_run(StoredRun(run.run_id, store))
    images = np.random.default_rng(1).normal(size=(3, 100, 100)).astype(np.float32)
    assert found.card.conformal is not None
    assert np.isnan(found.unlike(images)).all()
    assert found.predict(images).shape == (3, 4)
    with pytest.raises(DataError, match="the shares of its classes in training are not known"):
        _ = found.prior
    assert classifier_of_run(StoredRun(run.run_id, store), with_shares=True).prior.tolist() == [0.25] * 4


# --- files ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, sky) -> Path:
    """Two good images, and one of each kind of trouble."""
    new = tmp_path / "new"
    new.mkdir()
    good = sorted((sky / "FRII").glob("*.fits"))[0]
    shutil.copy(good, new / "good.fits")
    header, image = fits.getheader(good), fits.getdata(good)
    rng = np.random.default_rng(1)
    fits.writeto(new / "noise.fits", rng.normal(0, 1e-4, (100, 100)).astype(np.float32), header)
    fits.writeto(new / "nan.fits", np.full((100, 100), np.nan, np.float32), header)
    fits.writeto(new / "zero.fits", np.zeros((100, 100), np.float32), header)
    fits.writeto(new / "small.fits", image[:30, :30], header)
    (new / "broken.fits").write_bytes(b"SIMPLE")
    header["CDELT1"], header["CDELT2"] = -3 / 3600, 3 / 3600
    header["CRVAL1"] = (header["CRVAL1"] + 90) % 360
    fits.writeto(new / "scale.fits", image, header)
    return new


def test_nothing_is_lost_and_everything_odd_is_told(classifier, folder):
    result = classify_files(classifier, [folder])
    assert len(result.path) + len(result.set_aside) == len(list(folder.iterdir())) == 7
    reasons = {Path(path).stem: reason for path, reason in result.set_aside}
    assert set(reasons) == {"zero", "small", "broken"}
    assert reasons["small"] == "is 30x30 pixels; the network was trained on fields of 64x64"
    columns = result.columns()
    rows = dict(zip(columns["source"].tolist(), result.oddities, strict=True))
    assert set(rows) == {"good", "noise", "nan", "scale"}
    assert rows["noise"] & FORBIDDING == Oddity.NO_DETECTION
    assert rows["nan"] & FORBIDDING == Oddity.BLANKED
    assert Oddity.RESAMPLED in rows["scale"]
    assert Oddity.IN_TRAINING not in rows["scale"]
    for i, name in enumerate(columns["source"].tolist()):
        told = bool(rows[name] & FORBIDDING)
        assert np.isnan(result.probabilities[i]).all() == told
        assert np.isnan(result.unlike[i]) == told
        assert (columns["class"][i] == "") == told
        assert np.isfinite(columns["ra"][i])


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ((1.8, 3.6), "pixels are 1.8 x 3.6 arcsec; square ones are needed"),
        ((360.0, 360.0), "tells pixels of 360 arcsec"),
        ((36000.0, 36000.0), "degrees, more than the sky; is CUNIT1 another unit?"),
    ],
)
def test_pixels_that_cannot_be_brought_to_those_of_training_cost_their_image_only(
    classifier, folder, steps, why
):
    with fits.open(folder / "good.fits") as file:
        file[0].header["CDELT1"], file[0].header["CDELT2"] = -steps[0] / 3600, steps[1] / 3600
        file.writeto(folder / "odd.fits")
    aside = dict(classify_files(classifier, [folder]).set_aside)
    assert why in next(reason for place, reason in aside.items() if place.endswith("odd.fits"))
    assert not any(place.endswith("good.fits") for place in aside)


def test_a_scale_that_was_given_is_not_laid_to_the_header(classifier, folder):
    with fits.open(folder / "good.fits") as file:
        del file[0].header["CDELT1"]
        file.writeto(folder / "odd.fits")
    paths = [folder / "odd.fits", folder / "good.fits"]
    for given in (0.05, 500.0):
        ((_, reason),) = classify_files(classifier, paths, own=OwnImages(given)).set_aside
        said = f"the pixel scale that was given (--pixel-scale) is {given:g} arcsec; 0.056 to 57.6 are legal"
        assert reason == said
    for given in (0.0, 1e300, float("nan")):
        with pytest.raises(SpecError, match="1e-06 to 3600 arcsec are legal"):
            OwnImages(given)


def test_pixels_are_judged_where_the_image_is_not_at_the_reference(classifier, folder):
    """At 60 degrees CAR shrinks columns to a half: what is square in the header is not on the sky, and the reverse."""
    with fits.open(folder / "good.fits") as file:
        keys = file[0].header
        for name, step in (("flat", 1.8), ("wide", 3.6)):
            keys["CTYPE1"], keys["CTYPE2"] = "RA---CAR", "DEC--CAR"
            keys["CRVAL2"], keys["CRPIX2"] = 0.0, 50.5 - 60 * 2000
            keys["CDELT1"], keys["CDELT2"] = -step / 3600, 1.8 / 3600
            file.writeto(folder / f"{name}.fits")
    found = classify_files(classifier, [folder / "flat.fits", folder / "wide.fits"])
    assert found.set_aside == [
        (str(folder / "flat.fits"), "pixels are 0.9 x 1.8 arcsec; square ones are needed")
    ]
    assert [Path(path).name for path in found.path] == ["wide.fits"]
    assert Oddity.RESAMPLED not in found.oddities[0]


def test_a_coarse_beam_is_coarse_whichever_axis_is_called_the_major_one(tmp_path):
    keys = {
        "CTYPE1": "RA---SIN",
        "CTYPE2": "DEC--SIN",
        "CRVAL1": 180.0,
        "CRVAL2": 40.0,
        "CRPIX1": 150.5,
        "CRPIX2": 150.5,
    }
    keys |= {"CDELT1": -0.0005, "CDELT2": 0.0005, "BUNIT": "Jy/beam"}
    y, x = np.indices((300, 300)) - 149.5
    image = np.random.default_rng(1).normal(0, 0.002, (300, 300)) + np.exp(-((x / 5) ** 2) - (y / 2) ** 2)
    for name, beam in (("ordered", (20, 5.4, 0.0)), ("swapped", (5.4, 20, 90.0))):
        keys |= {"BMAJ": beam[0] / 3600, "BMIN": beam[1] / 3600, "BPA": beam[2]}
        fits.writeto(tmp_path / f"{name}.fits", image.astype(np.float32), fits.Header(keys))
    found = classify_files(load_classifier(), [tmp_path])
    assert all(Oddity.COARSE_BEAM in odd for odd in found.oddities)
    np.testing.assert_array_equal(*found.probabilities)
    assert [remark[:18] for remark in found.remarks] == ["", "BMIN, 20 arcsec, i"]


def test_a_mirrored_or_turned_file_of_one_sky_has_one_answer(tmp_path):
    """A point source through a long thin beam that is convolved; the header says how the pixels lie."""
    step, side = 1.0, 300
    y, x = np.indices((side, side)) - (side - 1) / 2
    along, across = (
        (x + y) / np.sqrt(2),
        (x - y) / np.sqrt(2),
    )  # position angle 315 degrees, north up, east left
    image = np.random.default_rng(1).normal(0, 0.002, (side, side))
    image += np.exp(-4 * np.log(2) * ((along / 5.2) ** 2 + (across / 2.0) ** 2))
    keys = {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 180.0, "CRVAL2": 40.0, "BUNIT": "Jy/beam"}
    keys |= {
        "BMAJ": 5.2 / 3600,
        "BMIN": 2.0 / 3600,
        "BPA": 315.0,
        "CRPIX1": (side + 1) / 2,
        "CRPIX2": (side + 1) / 2,
    }
    up, turned = (
        {"CDELT1": -step / 3600, "CDELT2": step / 3600},
        {"CD1_2": step / 3600, "CD2_1": step / 3600},
    )
    ways = {
        "up": (image, up),
        "mirrored": (image[:, ::-1], {**up, "CDELT1": step / 3600}),
        "turned": (np.rot90(image), {**turned, "CD1_1": 0.0, "CD2_2": 0.0}),
    }
    for name, (pixels, steps) in ways.items():
        fits.writeto(tmp_path / f"{name}.fits", pixels.astype(np.float32), fits.Header(keys | steps))
    found = classify_files(load_classifier(), [tmp_path])
    assert len(found.path) == 3
    np.testing.assert_allclose(found.probabilities, found.probabilities[[0] * 3], atol=0.01)


def test_a_source_of_training_is_told_by_its_position_and_one_of_the_test_is_not(classifier, run, sky):
    catalogue = run.dataset.catalogue
    for side, told in (("train", True), ("validation", True), ("test", False)):
        row = run.side(side)[0]
        name = str(catalogue.source_id[row])
        (path,) = sky.rglob(f"{name}.fits")
        (odd,) = classify_files(classifier, [path]).oddities
        assert (Oddity.IN_TRAINING in odd) == told, side


def test_a_prior_changes_probabilities_by_the_formula(classifier, folder):
    path = [folder / "good.fits"]
    plain, survey = classify_files(classifier, path), classify_files(classifier, path, {"compact": 0.95})
    shares = np.array([0.95, 0.05 / 3, 0.05 / 3, 0.05 / 3])
    expected = plain.probabilities * shares / np.array(classifier.card.prior)
    np.testing.assert_allclose(survey.probabilities, expected / expected.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(survey.sets, plain.sets)
    with pytest.raises(SpecError, match="no class 'star'"):
        classify_files(classifier, path, {"star": 0.5})


def test_an_image_that_the_preset_refuses_costs_itself_only(classifier, folder, monkeypatch):
    kept = prepare

    def picky(images, spec, **more):
        if images[0].std() < 1e-3:
            raise ImageError(0, "has no noise to stretch by")
        return kept(images, spec)

    monkeypatch.setattr("rgbench.runs.seen.prepare", picky)
    shutil.copy(folder / "good.fits", folder / "faint.fits")
    with fits.open(folder / "faint.fits", mode="update") as file:
        file[0].data /= 1e4
    result = classify_files(classifier, [folder / "faint.fits", folder / "noise.fits"])
    assert [reason for _, reason in result.set_aside] == ["has no noise to stretch by"]
    assert len(result.path) == 1


def test_if_nothing_can_be_read_it_is_an_error(classifier, folder):
    with pytest.raises(DataError, match=r"none of 1 files could be classified; the first, .*broken\.fits"):
        classify_files(classifier, [folder / "broken.fits"])


# --- the command line -------------------------------------------------------------------------------------


def command(capsys, *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    said = capsys.readouterr()
    return ended.value.code or 0, said.out + said.err


@pytest.mark.slow
def test_a_run_becomes_an_onnx_file(store, run, tmp_path, capsys):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    file, run_id = tmp_path / "run.onnx", store.run_ids()[0]
    code, said = command(capsys, "export", run_id[:6], "--onnx", "--out", file, "--store", store.root)
    assert code == 0, said
    images = run.dataset.images[run.side("test")]
    (fields,) = run.trained.framed(prepare(images, run.spec))
    found = runtime.InferenceSession(str(file)).run(
        ["probabilities"], {"images": fields.contiguous().numpy()}
    )[0]
    np.testing.assert_allclose(found, classifier_of_run(run).predict(images), atol=1e-4)


def test_a_run_is_exported_shown_and_applied(store, folder, tmp_path, capsys):
    file, table = tmp_path / "t-1.safetensors", tmp_path / "t.csv"
    run_id = store.run_ids()[0]
    code, said = command(capsys, "export", run_id[:6], "--name", "t-1", "--out", file, "--store", store.root)
    assert (code, "wrote" in said) == (0, True)
    assert command(capsys, "export", run_id, "--name", "t-1", "--out", file, "--store", store.root)[0] == 2
    assert command(capsys, "export", run_id, "--name", "t", "--out", "t.bin", "--store", store.root)[0] == 2
    code, said = command(capsys, "predict", "--card", "--classifier", file)
    assert code == 0
    assert "t-1: Compact, FRI, FRII, Bent" in said
    code, said = command(
        capsys, "predict", folder, "--classifier", file, "--out", table, "--prior", "compact=0.9"
    )
    assert code == 3
    assert "4 sources" in said
    assert "3 set aside" in said
    assert "2 without a class" in said
    assert "no-detection 1" in said
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["source"]: row["flags"].split("|")[0] for row in rows}["noise"] == "no-detection"
    assert {row["source"]: (row["class"], row["remark"]) for row in rows}["small"] == (
        "",
        "is 30x30 pixels; the network was trained on fields of 64x64",
    )
    assert len(rows) == 7
    assert list(rows[0])[:3] == ["source", "path", "class"]
    for wrong in (["--prior", "star=1"], ["--run", run_id], ["--classifier", "nothing-1"]):
        options = [*wrong] if "--classifier" in wrong else ["--classifier", file, *wrong]
        assert command(capsys, "predict", folder, "--out", tmp_path / "u.csv", *options)[0] == 2
    assert command(capsys, "predict")[0] == 2


def test_the_table_replaces_no_image_that_is_classified(file, folder, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(folder / "good.fits", images / "good.fits")
    (images / "link.fits").hardlink_to(images / "good.fits")
    before = (images / "good.fits").read_bytes()
    for out in ("good.fits", "link.fits"):
        code, said = command(
            capsys,
            "predict",
            images / "good.fits",
            "--classifier",
            file,
            "--out",
            images / out,
            "--overwrite",
        )
        assert code == 2
        assert f"--out {images / out}: is one of the files that are to be classified" in " ".join(
            said.split()
        )
    assert (images / "good.fits").read_bytes() == before
    (images / "link.fits").unlink()
    table = images / "predictions.fits"
    for options in ([], ["--overwrite"]):
        assert command(capsys, "predict", images, "--classifier", file, "--out", table, *options)[0] == 0
        assert len(fits.getdata(table, 1)) == 1
    code, said = command(capsys, "predict", table, "--classifier", file, "--out", table, "--overwrite")
    assert (code, "no FITS file" in said) == (1, True)
    other = tmp_path / "other.csv"
    code, said = command(capsys, "predict", images, "--classifier", file, "--out", other)
    assert (code, "predictions.fits: is a table of classes that rgbench wrote, no image" in said) == (0, True)
    fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])]).writeto(images / "foreign.fits")
    code, said = command(capsys, "predict", images, "--classifier", file, "--out", other, "--overwrite")
    assert (code, "foreign.fits: holds no image" in said) == (3, True)


def test_with_the_store_alone_the_best_run_of_it_classifies(store, folder, tmp_path, capsys):
    code, said = command(capsys, "predict", folder, "--store", store.root, "--out", tmp_path / "t.csv")
    assert code == 3
    assert f"(run {store.run_ids()[0]})" in said


@needs_mirror
def test_real_images_are_classified_through_the_command_line(file, tmp_path, capsys):
    folders = [Path(MIRROR, "FITS_defects"), Path(MIRROR, "other_FITS")]
    table = tmp_path / "t.csv"
    code, said = command(capsys, "predict", *folders, "--classifier", file, "--out", table)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert code == 0
    assert len(rows) == 17
    assert " 0 set aside: " in said
    flags = {row["source"]: row["flags"] for row in rows}
    assert "blanked" in flags["200_033.655+000.710_0.2900_0030.76"]
    assert "coarse-beam" in flags["NVSS_J105007.27+304037.52"]
    assert not [row for row in rows if (row["class"] == "") != (row["p_FRI"] == "nan")]


def test_nothing_of_a_classifier_is_chosen_on_test_sources(run, store, made):
    """With other answers and labels of the test sources, only the scores on its card are others."""
    table = run.record.predictions
    tested = table.split == "test"
    label, logits = table.label.copy(), table.logits.copy()
    label[tested] = (label[tested] + 1) % len(run.classes)
    logits[tested] = -3 * logits[tested]
    other = StoredRun(replace(run.record, predictions=replace(table, label=label, logits=logits)), store)
    changed = make_classifier([other], ExportChoice("toy-1"))
    for key in ("temperature", "conformal", "domain", "prior", "seen", "unlike_views"):
        assert getattr(changed.card, key) == getattr(made.card, key), key
    assert changed.card.scores != made.card.scores
    assert (changed.unlikeness.validation == made.unlikeness.validation).all()
    assert changed.with_views("auto").sure == made.with_views("auto").sure
    plain, own = classifier_of_run(run).card, classifier_of_run(other).card
    assert (own.temperature, own.conformal) == (plain.temperature, plain.conformal)
    worse = replace(run.record, predictions=replace(table, logits=np.where(tested[:, None], logits, -logits)))
    assert best_on_validation([worse, other.record]) is other.record, "whatever they say of test sources"
