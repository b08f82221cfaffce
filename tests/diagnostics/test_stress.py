"""Disturbed images: what each disturbance must keep, and what is stored of them."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.transform import rotate as skimage_rotate

from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.data.load import load_dataset
from rgbench.diagnostics.disturbances import (
    PEAK_SHARE,
    add_noise,
    beam_kernel,
    coarser_beam,
    coarser_pixels,
    conditions_for,
    default_conditions,
    disturb,
    shift_centre,
)
from rgbench.diagnostics.stress import stress
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.images.noise import mad_noise
from rgbench.images.preprocess import central_crop, preprocess_batch
from rgbench.runs.reopen import StoredRun
from rgbench.runs.study import run_study
from rgbench.spec import DataSpec, Study
from rgbench.store.conditions import CONDITIONS_FILE, Condition, read_conditions
from rgbench.store.store import RunRecord, Store
from rgbench.training.checkpoint import read_tensors, write_tensors

SIDE, FIELD = 64, 32
CARD = Card("toy", "toy", classes=("one", "two"), pixel_scale=1.8, beam=5.4)
WORDS = ["noise-2.0", "beam-1.5x", "shift-4px", "resolution-2x", "rotation-000", "rotation-045"]
ASKED = [Condition.of(name) for name in WORDS]

stacks = arrays(np.float32, (2, 9, 12), elements=st.floats(-1, 100, width=32))


def gaussian(side: int, fwhm: float, peak: float = 1.0) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return peak * np.exp(-4 * np.log(2) * (x**2 + y**2) / fwhm**2)


def generators(n: int) -> list[np.random.Generator]:
    return [np.random.default_rng(i) for i in range(n)]


# --- the disturbances -------------------------------------------------------------------------------------


@given(stacks, st.floats(0, 20))
def test_a_coarser_beam_keeps_the_flux(images, kernel):
    smoothed = coarser_beam(images.astype(np.float64), kernel)
    np.testing.assert_allclose(smoothed.sum((1, 2)), images.sum((1, 2), dtype=float), rtol=1e-9, atol=1e-7)


def test_a_coarser_beam_is_as_wide_as_it_says():
    """A point source seen with a beam of 5.4 arcsec becomes one seen with 8.1 arcsec."""
    point = gaussian(101, 5.4 / 1.8)[None]
    seen = coarser_beam(point, beam_kernel(CARD, 1.5))[0]
    wanted = gaussian(101, 8.1 / 1.8, (5.4 / 8.1) ** 2)
    np.testing.assert_allclose(seen, wanted, atol=2e-3 * wanted.max())


@given(stacks, st.integers(1, 5))
def test_coarser_pixels_are_the_means_of_their_blocks(images, factor):
    images = images.astype(np.float64)
    seen = coarser_pixels(images, factor)
    assert seen.shape == images.shape
    np.testing.assert_allclose(coarser_pixels(seen, factor), seen, atol=1e-9)
    if factor == 3:  # divides 9 and 12
        np.testing.assert_allclose(seen.sum((1, 2)), images.sum((1, 2)), atol=1e-9)
        np.testing.assert_allclose(seen[0, 3:6, 6:9], images[0, 3:6, 6:9].mean(), atol=1e-12)


@given(stacks, st.integers(-15, 15), st.integers(-15, 15))
def test_a_shift_moves_whole_pixels(images, down, right):
    moved = shift_centre(images, np.array([down, 0]), np.array([right, 0]))
    np.testing.assert_array_equal(moved[1], images[1])
    for y, x in ((0, 0), (4, 7), (8, 11)):
        inside = 0 <= y - down < 9 and 0 <= x - right < 12
        wanted = images[0, y - down, x - right] if inside else np.median(images[0])
        assert moved[0, y, x] == wanted


@pytest.mark.parametrize("strength", [0.5, 3.0])
@pytest.mark.parametrize("beam", [np.nan, 4.0])
def test_noise_adds_in_quadrature(strength, beam):
    sky = np.random.default_rng(9).normal(5.0, [[[2.0]], [[0.1]]], (2, 256, 256))
    noisy = add_noise(sky, strength, generators(2), beam)
    added = (noisy - sky).std(axis=(1, 2))
    np.testing.assert_allclose(added, strength * mad_noise(sky), rtol=0.1)
    np.testing.assert_allclose(
        noisy.std(axis=(1, 2)), [2 * np.hypot(1, strength), 0.1 * np.hypot(1, strength)], rtol=0.08
    )


def test_noise_is_as_wide_as_the_beam():
    """The correlation of neighbours in white noise seen with a Gaussian beam: exp(-ln 2 * 2 d^2 / fwhm^2)."""
    sky = np.random.default_rng(9).normal(0, 1, (4, 256, 256))
    noise = add_noise(sky, 1.0, generators(4), 4.0) - sky
    for lag in (1, 2, 3):
        found = (noise[:, :, lag:] * noise[:, :, :-lag]).mean() / noise.var()
        assert found == pytest.approx(np.exp(-2 * np.log(2) * lag**2 / 4.0**2), abs=0.03)


def test_an_image_that_was_clipped_is_clipped_again():
    image = np.zeros((1, 100, 100), dtype=np.uint8)
    image[0, 40:60, 40:60] = 100
    image[0, 50, 50] = 200
    noisy = add_noise(image, 2.0, generators(1))
    level = 2.0 * PEAK_SHARE * 200
    source = image > 0
    assert (noisy[source] - image[source]).std() == pytest.approx(level, rel=0.1)
    sky = noisy[~source]
    assert set(np.unique(sky[sky <= 3 * level])) == {0.0}
    assert np.mean(sky > 0) == pytest.approx(0.00135, abs=0.001)


@pytest.mark.parametrize("name", WORDS[:4])
def test_nan_stay_and_do_not_spread(name):
    images = np.random.default_rng(3).normal(0, 1, (1, 40, 40)).astype(np.float32)
    images[0, 10, 12] = np.nan
    seen = disturb(images, ["a"], Condition.of(name), CARD)
    assert seen.dtype == np.float32
    assert np.isnan(seen).sum() == 1


@pytest.mark.parametrize(
    ("family", "strength"), [("noise", 0), ("beam", 1), ("shift", 0), ("resolution", 1), ("view", 0)]
)
@pytest.mark.parametrize("kind", [np.uint8, np.float64, ">f4"])
def test_no_strength_is_no_change(family, strength, kind):
    images = np.random.default_rng(3).integers(0, 255, (3, 20, 31)).astype(kind)
    before = images.copy()
    seen = disturb(images, list("abc"), Condition(family, strength), CARD)
    np.testing.assert_array_equal(seen, before)
    seen += 1
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("name", ["noise-1.0", "shift-4px", "view-1"])
def test_chance_follows_the_source_not_its_place(name):
    images = np.random.default_rng(3).normal(0, 1, (12, 40, 40))
    names, condition = [f"s{i}" for i in range(12)], Condition.of(name)
    seen = disturb(images, names, condition, CARD)
    np.testing.assert_array_equal(seen[::-1], disturb(images[::-1], names[::-1], condition, CARD))
    other = disturb(images, [f"t{i}" for i in range(12)], condition, CARD)
    assert (seen != other).any()


def test_noise_of_twice_the_strength_is_the_same_noise():
    images = np.random.default_rng(3).normal(0, 1, (1, 40, 40))
    weak, strong = (disturb(images, ["a"], Condition("noise", s), CARD) - images for s in (1, 2))
    np.testing.assert_allclose(strong, 2 * weak, atol=1e-12)


def test_shifts_go_all_four_ways():
    images = np.zeros((40, 21, 21))
    images[:, 10, 10] = 1
    seen = disturb(images, [f"s{i}" for i in range(40)], Condition("shift", 4), CARD)
    places = {tuple(np.argwhere(image)[0].tolist()) for image in seen}
    assert places == {(6, 10), (14, 10), (10, 6), (10, 14)}


def test_what_the_card_does_not_tell_is_not_made_up():
    card = replace(CARD, beam=float("nan"))
    assert {c.family for c in default_conditions()} - {c.family for c in conditions_for(card)} == {
        "beam",
        "survey",
        "view",
    }
    assert conditions_for(CARD) == default_conditions()
    with pytest.raises(SpecError, match="beam-2.0x: the card of toy tells no beam"):
        disturb(np.ones((1, 8, 8)), ["a"], Condition("beam", 2), card)
    with pytest.raises(SpecError, match="raw images take noise, beam, shift, resolution"):
        disturb(np.ones((1, 8, 8)), ["a"], Condition("rotation", 15), CARD)


def test_default_conditions_are_those_of_the_design():
    names = [condition.name for condition in default_conditions()]
    assert "view-1" in names
    assert len(set(names)) == len(names)
    assert sum(name.startswith("rotation") for name in names) == 24


# --- a stored run -----------------------------------------------------------------------------------------


def toy_dataset(n: int = 60) -> DataSet:
    """Two classes: one blob, or two at an angle of their own; beyond the field a neighbour, which turns in."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    label = np.arange(n) % 2
    images = rng.normal(0, 0.01, (n, SIDE, SIDE))
    for image, kind in zip(images, label, strict=True):
        place = kind * 7 * np.exp(1j * rng.uniform(0, 2 * np.pi))
        for spot in (place, -place, 20j):
            image += np.exp(-((x - spot.real) ** 2 + (y - spot.imag) ** 2) / 6)
    names = np.array([f"s{i:03d}" for i in range(n)])
    nothing, zero = np.full(n, np.nan), np.zeros(n, np.int64)
    catalogue = Catalogue(names, nothing, nothing, label.astype(np.int64), np.arange(n), names, zero)
    sides = np.array(["train"] * 30 + ["validation"] * 10 + ["test"] * (n - 40))
    return DataSet(CARD, catalogue, images.astype(np.float32), {"published": sides})


def toy_study(network: str = "lenet", **changes) -> Study:
    recipe = {"epochs": 2, "batch_size": 10, "precision": "float32", "views": 1}
    return Study(
        name="toy",
        networks=(network,),
        seeds=(1,),
        data=DataSpec(name="toy"),
        images={"field": FIELD, "size": FIELD, "preset": "becker2021"},
        augmentation={"kind": "none"},
        recipe=recipe | changes,
    )


@pytest.fixture(scope="module")
def dataset() -> DataSet:
    return toy_dataset()


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory, dataset) -> Path:
    root = tmp_path_factory.mktemp("store")
    (record,) = run_study(toy_study(), Store(root), dataset=dataset)
    assert record.error is None
    return root


@pytest.fixture
def trained(tmp_path, trained_once) -> tuple[RunRecord, Store]:
    store = Store(shutil.copytree(trained_once, tmp_path / "store"))
    return store.records()[0], store


def test_rows_are_kept_beside_the_run_and_computed_once(trained, dataset, monkeypatch):
    record, store = trained
    path = store.run_path(record.run_id)
    before = (path / "predictions.parquet").read_bytes()
    told = []
    first = stress(
        StoredRun(record, store, dataset=dataset),
        ASKED[:3],
        on_condition=lambda c, known: told.append((c.name, known)),
    )
    assert told == [(name, False) for name in WORDS[:3]]
    assert (path / "predictions.parquet").read_bytes() == before
    assert len(first) == 3 * 2 * 20

    rows = first.select("test", "final", condition="noise-2.0")
    clean = record.predictions.select("test", "final")
    np.testing.assert_array_equal(rows.source_id, clean.source_id)
    np.testing.assert_array_equal(rows.label, clean.label)
    assert (rows.logits != clean.logits).any()

    again = stress(
        StoredRun(record, store, dataset=dataset),
        ASKED,
        on_condition=lambda c, known: told.append((c.name, known)),
    )
    assert told[3:] == [(name, name in WORDS[:3]) for name in WORDS]
    assert set(again.condition) == set(WORDS)
    monkeypatch.setattr("rgbench.diagnostics.stress.predict_logits", None)  # nothing may be predicted now
    third = stress(StoredRun(record, store, dataset=dataset), ASKED[2:])
    assert set(third.condition) == set(WORDS[2:])
    np.testing.assert_array_equal(
        first.select("test", "best", condition="shift-4px").logits,
        third.select("test", "best", condition="shift-4px").logits,
    )
    assert not list(path.glob(".tmp-*"))


def test_what_was_done_before_a_kill_is_kept(trained, dataset):
    record, store = trained

    def stop(condition: Condition, known: bool) -> None:
        if condition.name == WORDS[1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stress(StoredRun(record, store, dataset=dataset), ASKED[:4], on_condition=stop)
    assert set(read_conditions(store, record.run_id).condition) == set(WORDS[:2])


def check_turns(record: RunRecord, store: Store, dataset: DataSet, quarters_alike: bool) -> None:
    rows = stress(StoredRun(record, store, dataset=dataset), [Condition("rotation", a) for a in (0, 90, 45)])
    clean = record.predictions.select("test", "best").logits
    none, quarter, eighth = (
        rows.select("test", "best", condition=f"rotation-{a}").logits for a in ("000", "090", "045")
    )
    np.testing.assert_allclose(none, clean, atol=1e-5)
    assert np.allclose(quarter, clean, atol=1e-4) == quarters_alike
    assert not np.allclose(eighth, clean, atol=1e-2)


def test_no_turn_is_the_clean_image(trained, dataset):
    """Also with a field that is cut out of a larger image, of which more is kept for turning."""
    check_turns(*trained, dataset, quarters_alike=False)


def test_views_are_averaged_as_in_the_run(tmp_path, dataset):
    store = Store(tmp_path)
    (record,) = run_study(toy_study(views=8, epochs=1), store, dataset=dataset)
    check_turns(record, store, dataset, quarters_alike=True)


def test_a_turned_image_is_skimage_s(trained, dataset, monkeypatch):
    record, store = trained
    seen = []

    def keep(network, batches, *rest):
        seen.extend(batches)
        return np.zeros((20, 2), dtype=np.float32)

    monkeypatch.setattr("rgbench.diagnostics.stress.predict_logits", keep)
    stress(StoredRun(record, store, dataset=dataset), [Condition("rotation", 45)])
    whole = preprocess_batch(dataset.images[40:], "becker2021")
    wanted = central_crop(np.stack([skimage_rotate(image, 45) for image in whole]), FIELD)
    np.testing.assert_allclose(seen[0].numpy()[:, 0], wanted, atol=1e-4)
    assert wanted[:, -4:, -4:].any()  # where the neighbour has come to


def test_a_blob_is_told_from_two_until_the_beam_blends_them(trained, dataset):
    """Seen with a beam wider than any source all images are alike, and so are the answers."""
    record, store = trained
    spread = {}
    for name in ("beam-1.0x", "beam-9.0x"):
        logits = (
            stress(StoredRun(record, store, dataset=dataset), [Condition.of(name)])
            .select("test", "best", condition=name)
            .logits
        )
        spread[name] = np.ptp(logits[:, 0] - logits[:, 1])
    assert spread["beam-9.0x"] < spread["beam-1.0x"]


def test_wrong_requests_are_named(trained, dataset):
    record, store = trained
    with pytest.raises(DataError, match="was trained on data with checksum"):
        StoredRun(record, store, dataset=toy_dataset(62))
    with pytest.raises(SpecError, match="is failed; only complete runs"):
        stress(StoredRun(replace(record, status="failed"), store, dataset=dataset))
    with pytest.raises(SpecError, match="no condition is asked for"):
        stress(StoredRun(record, store, dataset=dataset), [])
    blind = replace(dataset, card=replace(CARD, beam=float("nan")))
    with pytest.raises(SpecError, match="tells no beam"):
        stress(StoredRun(record, store, dataset=blind), [Condition("beam", 2)])
    path = store.run_path(record.run_id) / CONDITIONS_FILE
    path.write_bytes(b"no table")
    with pytest.raises(StoreError, match="cannot be read"):
        stress(StoredRun(record, store, dataset=dataset), ASKED)
    assert path.read_bytes() == b"no table"


@pytest.mark.slow
@pytest.mark.skipif("RGBENCH_MIRROR" not in os.environ, reason="needs the real images: set RGBENCH_MIRROR")
def test_real_sources_stay_where_they_are():
    """FIRST cutouts of 8 bits: the peak keeps its place, the flux its sum, and clipped sky stays clipped."""
    real = load_dataset(DataSpec(name="first-galaxy-data"))
    images, names = real.images[:12], real.catalogue.source_id[:12].tolist()
    flux = images.sum((1, 2), dtype=float)
    for name in ("beam-1.5x", "resolution-2x"):
        seen = disturb(images, names, Condition.of(name), real.card)
        np.testing.assert_allclose(seen.sum((1, 2), dtype=float), flux, rtol=1e-4)
    noisy = disturb(images, names, Condition("noise", 1), real.card)
    assert np.median(noisy) == 0
    assert np.mean(noisy[images == 0] > 0) < 0.01
    brightest = images > 200
    assert np.abs(noisy - images)[brightest].max() < 30


@pytest.mark.parametrize("name", ["shift-4px", "rotation-045"])
def test_an_image_that_cannot_be_prepared_is_named(trained, dataset, name):
    record, store = trained
    broken = replace(dataset, images=dataset.images.copy())
    (run,) = [StoredRun(record, store, dataset=broken)]
    number = int(run.side("test")[2])
    broken.images[number] = np.inf
    with pytest.raises((DataError, SpecError), match=str(dataset.catalogue.source_id[number])):
        stress(run, [Condition.of(name)])


def test_damaged_weights_are_told_and_no_condition_is_kept(trained, dataset):
    """A store of before has no checksums."""
    record, store = trained
    run = StoredRun(record, store, dataset=dataset)
    path = store.run_path(run.run_id) / "final.safetensors"
    tensors, _ = read_tensors(path)
    write_tensors(path, {key: torch.full_like(value, float("nan")) for key, value in tensors.items()}, {})
    with pytest.raises(
        StoreError, match=r"final\.safetensors: is damaged: the network gives values that are not"
    ):
        stress(run, [Condition("rotation", 15)])
    assert read_conditions(store, run.run_id) is None
