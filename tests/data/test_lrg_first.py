"""LRG rebuilt: the 2021 paper's labels with public images, and a list of what is missing."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rgbench.data.sets import load_data
from rgbench.data.sets.ma2019 import FR0_REASON
from rgbench.data.split import becker2021
from rgbench.runs.study import find_study
from rgbench.spec import resolve

pytestmark = pytest.mark.skipif(not os.environ.get("RGBENCH_MIRROR"), reason="RGBENCH_MIRROR is not set")


@pytest.fixture(scope="module")
def lrg():
    return load_data("lrg-first")


def test_nine_in_ten_labelled_sources_have_an_image(lrg):
    counts = Counter(lrg.classes[label] for label in lrg.catalogue.label)
    assert counts == {"Compact": 267, "FRI": 183, "FRII": 411, "Bent": 236}
    assert len(lrg.catalogue) + len(lrg.set_aside) == 1328
    reasons = Counter(reason for _, reason in lrg.set_aside)
    assert reasons[FR0_REASON] == 134
    assert reasons["no image of first-galaxy-data within 10 arcsec"] == 94
    assert sum(reasons.values()) == 134 + 94 + 3


def test_every_pair_is_one_of_the_published_join(lrg):
    """The mirror's own join, made with other code, tells which image belongs to which name."""
    path = Path(os.environ["RGBENCH_MIRROR"]) / "catalogues" / "lrg_unlrg_with_images_10arcsec.csv"
    with path.open(newline="") as file:
        rows = {
            row["name"]: row for row in csv.DictReader(file) if row["catalogue"] == "LRG" and row["rgd_key"]
        }
    wanted = {name for name, row in rows.items() if row["native"] != "1F"}
    found = set(lrg.catalogue.source_id.tolist())
    assert found <= wanted
    assert len(wanted - found) == 3, "three share an image with a source that is nearer to it"
    for name, key, other, apart in zip(
        lrg.catalogue.source_id.tolist(),
        lrg.catalogue.path.tolist(),
        lrg.catalogue.extra["other_label"].tolist(),
        lrg.catalogue.extra["separation"].tolist(),
        strict=True,
    ):
        assert rows[name]["rgd_key"] == key
        assert rows[name]["rgd_class4"] == other
        assert apart == pytest.approx(float(rows[name]["rgd_sep"]), abs=2.6), "its positions are rounded"
    assert len(set(lrg.catalogue.path.tolist())) == len(lrg.catalogue), "every image once"


@pytest.mark.slow
def test_images_and_labels_are_those_of_their_sets(lrg):
    first = load_data("first-galaxy-data")
    place = {name: i for i, name in enumerate(first.catalogue.source_id.tolist())}
    rows = [place[name] for name in lrg.catalogue.extra["image_id"].tolist()]
    np.testing.assert_array_equal(lrg.images, first.images[rows])
    names = np.array(lrg.classes)[lrg.catalogue.label]
    assert (names != lrg.catalogue.extra["other_label"]).sum() == 16


def test_the_paper_s_task_runs_with_its_sizes(lrg):
    study = find_study("becker2021-lrg")
    runs = resolve(study, lrg.checksum)
    assert len(runs) == 14 * 3
    assert {(run.data.train_size, run.data.validation_size) for run in runs} == {(80, 60)}
    for seed in study.seeds:
        split = becker2021(lrg, seed, 80, 60)
        train = Counter(lrg.classes[label] for label in lrg.catalogue.label[split.indices("train")])
        validation = Counter(lrg.classes[label] for label in lrg.catalogue.label[split.indices("validation")])
        for name in lrg.classes:
            assert 77 <= train[name] <= 80, "80, less what is within 60 arcsec of another side"
            assert 57 <= validation[name] <= 60
        assert len(split.indices("test")) == 1097 - 8 * 70
