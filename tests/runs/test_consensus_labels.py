"""Training on what catalogues agree on: which sources, which probabilities, and that nothing else changes."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import rgbench.runs.execute
from rgbench.data import consensus
from rgbench.data.catalogue import CLASSES
from rgbench.data.consensus import training_targets
from rgbench.data.sets import load_data
from rgbench.data.split import published_split
from rgbench.errors import DataError
from rgbench.runs.execute import _training_data
from rgbench.runs.inputs import ImageSource
from rgbench.runs.prepare import make_targets
from rgbench.runs.study import run_study
from rgbench.spec import Study, resolve
from rgbench.store.store import Store
from rgbench.training import loop

SIDE = 40
ORIGINS = ("CoNFIG", "FRCAT", "Proctor", "MiraBest", "unLRG")


@pytest.fixture(scope="module")
def some():
    """Every twentieth source of first-galaxy-data, the middle of its image."""
    whole = load_data("first-galaxy-data")
    rows = np.arange(0, len(whole.catalogue), 20)
    middle = slice(150 - SIDE // 2, 150 + SIDE // 2)
    return replace(
        whole,
        catalogue=whole.catalogue.take(rows),
        images=np.ascontiguousarray(whole.images[rows][:, middle, middle]),
        splits={"published": whole.splits["published"][rows]},
    )


@pytest.fixture(scope="module")
def expected(some):
    """Probabilities by source, read from the table without the package: published where fewer than two voted."""
    with Path(consensus.__file__).with_name("consensus.csv").open(newline="") as file:
        rows = {row["source_id"]: row for row in csv.DictReader(file)}
    found = {}
    for name, label in zip(some.catalogue.source_id.tolist(), some.catalogue.label.tolist(), strict=True):
        row = rows[name]
        if sum(row[origin] != "" for origin in ORIGINS) > 1:
            p = np.array([float(row[f"p_{c}"]) for c in CLASSES])
            found[name] = p / p.sum()
        else:
            found[name] = np.eye(4)[label]
    return found


def study(labels, protocol="modern", **recipe) -> Study:
    return Study(
        name="toy",
        networks=("mcrgnet",),
        seeds=(8901,),
        protocol=protocol,
        images={"field": SIDE, "size": SIDE},
        recipe={"epochs": 2, "precision": "float32", "views": 1, **recipe, "labels": labels},
    )


def test_only_training_sources_with_several_votes_change(some, expected):
    split = published_split(some)
    train = split.indices("train")
    found = training_targets(some, train)
    published = np.eye(4)[some.catalogue.label]
    names = some.catalogue.source_id.tolist()
    for row in train.tolist():
        np.testing.assert_allclose(found[row], expected[names[row]], atol=1e-12)
    others = np.setdiff1d(np.arange(len(names)), train)
    np.testing.assert_array_equal(found[others], published[others])
    changed = (found != published).any(axis=1)
    assert 20 < changed.sum() < len(train) / 2
    assert any((expected[names[row]] != published[row]).any() for row in others), "others have votes too"


def test_other_orders_of_classes_and_other_names_are_followed(some):
    train = np.arange(10)
    plain = training_targets(some, train)
    turned = replace(
        some,
        card=replace(some.card, classes=tuple(reversed(CLASSES))),
        catalogue=replace(some.catalogue, label=3 - some.catalogue.label),
    )
    np.testing.assert_array_equal(training_targets(turned, train), plain[:, ::-1])
    named = replace(
        some.catalogue,
        source_id=np.array([f"s{i}" for i in range(len(some.catalogue))]),
        extra={"image_id": some.catalogue.source_id},
    )
    np.testing.assert_array_equal(training_targets(replace(some, catalogue=named), train), plain)
    lost = replace(some, catalogue=replace(named, extra={}))
    with pytest.raises(DataError, match="10 sources are not in the table of votes, e.g. 's0'"):
        training_targets(lost, train)


def test_a_source_without_a_label_is_trained_on_its_votes_alone(some):
    label = some.catalogue.label.copy()
    label[5] = -1
    found = training_targets(replace(some, catalogue=replace(some.catalogue, label=label)), np.arange(3))
    assert found[5].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("protocol", ["modern", "becker2021"])
def test_training_batches_hold_probabilities_and_all_others_labels(some, expected, protocol):
    wanted = study("consensus", protocol)
    if protocol == "becker2021":
        wanted = wanted.model_copy(update={"augmentation": {"step": 90}})
    (spec,) = resolve(wanted, "")
    split = published_split(some)
    pixels = some.images.astype(np.float32)
    source = ImageSource(
        pixels, some.catalogue.label, spec, torch.device("cpu"), make_targets(spec, some, split)
    )
    data = _training_data(source, split)
    train = some.catalogue.source_id[split.indices("train")].tolist()
    given = torch.cat([labels for _, labels in data.train.epoch(1)]).numpy()
    times = len(given) / len(train)
    want = np.concatenate([[expected[name]] * int(times) for name in train])
    np.testing.assert_allclose(np.sort(given, axis=0), np.sort(want, axis=0), atol=1e-6)
    np.testing.assert_allclose(data.labels.sum(dim=0), want.sum(axis=0) / times, rtol=1e-5)
    parts = [data.train_plain, data.validation]
    if protocol == "becker2021":
        parts.append(source.rotated(split.indices("train")))
    for part in parts:
        assert all(labels.dtype == torch.int64 for _, labels in part.epoch(0))


def test_each_image_has_its_own_probabilities(some, expected):
    """The order of a batch is drawn; images of one colour each tell which source came with which probabilities."""
    (spec,) = resolve(study("consensus"), "")
    split = published_split(some)
    marks = np.broadcast_to(np.arange(len(some.images), dtype=np.float32)[:, None, None], some.images.shape)
    source = ImageSource(
        np.ascontiguousarray(marks),
        some.catalogue.label,
        spec,
        torch.device("cpu"),
        make_targets(spec, some, split),
    )
    names, seen = some.catalogue.source_id.tolist(), 0
    for images, labels in source.training(split.indices("train")).epoch(1):
        for image, label in zip(images, labels, strict=True):
            row = round(float(image[0, SIDE // 2, SIDE // 2]))
            np.testing.assert_allclose(label, expected[names[row]], atol=1e-6)
            seen += 1
    assert seen == len(split.indices("train"))


def test_a_run_end_to_end(some, tmp_path, monkeypatch):
    """Trained on probabilities, chosen and tested on published labels; the plain run beside it is another one."""
    handed = []
    fit = loop.fit

    def spy(network, data, *rest, **keywords):
        handed.append(data)
        return fit(network, data, *rest, **keywords)

    monkeypatch.setattr(rgbench.runs.execute, "fit", spy)
    store = Store(tmp_path)
    (soft,), (plain,) = (
        run_study(study(labels), store, dataset=some) for labels in ("consensus", "published")
    )
    assert (soft.status, plain.status) == ("complete", "complete")
    assert soft.run_id != plain.run_id
    assert handed[0].labels.shape == (len(handed[0].train.index), 4)
    assert handed[1].labels.dtype == torch.int64
    label = dict(zip(some.catalogue.source_id.tolist(), some.catalogue.label.tolist(), strict=True))
    for record in (soft, plain):
        assert all(
            label[name] == own
            for name, own in zip(
                record.predictions.source_id.tolist(), record.predictions.label.tolist(), strict=True
            )
        )
    assert (soft.predictions.source_id == plain.predictions.source_id).all()
    assert not np.array_equal(soft.predictions.logits, plain.predictions.logits)
    assert Store(tmp_path).record(soft.run_id).spec.recipe.labels == "consensus"


def test_what_nobody_voted_on_is_refused_before_anything_is_trained(some, tmp_path):
    names = np.array([f"s{i}" for i in range(len(some.catalogue))])
    strange = replace(some, catalogue=replace(some.catalogue, source_id=names))
    with pytest.raises(DataError, match="sources are not in the table of votes, e.g. 's"):
        run_study(study("consensus"), Store(tmp_path), dataset=strange)
    two = replace(some, card=replace(some.card, classes=("A", "B", "C", "D")))
    with pytest.raises(DataError, match="has the classes A, B, C, D; soft labels are of Compact"):
        run_study(study("consensus"), Store(tmp_path), dataset=two)
    assert not list(tmp_path.rglob("run.json"))
