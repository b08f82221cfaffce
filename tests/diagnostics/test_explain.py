"""rgbench explain: what stored networks look at, kept beside the run, and shown in the report."""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scipy.stats import spearmanr

from rgbench.cli.work.diagnostics import ExplainChoice, explain_runs
from rgbench.cli.work.report import report
from rgbench.data.load import load_dataset
from rgbench.diagnostics.explain import _likeness, look_again
from rgbench.errors import DataError, SpecError
from rgbench.report.draw.overlay import AGAINST, FOR, overlay
from rgbench.report.draw.scatter import marker, scatter_figure
from rgbench.report.of_store import ReportSpec
from rgbench.runs.prepare import make_split
from rgbench.runs.reopen import StoredRun
from rgbench.runs.study import run_study
from rgbench.spec import DataSpec, Study
from rgbench.store.attributions import read_looks
from rgbench.store.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    study = Study(
        name="looks",
        networks=("mcrgnet", "radio-galaxy-zoo"),
        seeds=(1, 2),
        images={"field": 64, "size": 64},
        recipe={"epochs": 1, "views": 1, "precision": "float32"},
    )
    store = Store(tmp_path_factory.mktemp("store"))
    assert [r.error for r in run_study(study, store)] == [None] * 4
    return store


def explain(store, **choice) -> str:
    out = io.StringIO()
    explain_runs(store.root, ExplainChoice(**choice), "cpu", Console(file=out, width=200))
    return out.getvalue()


def pixels(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


@pytest.mark.slow
def test_one_run_of_each_network_is_looked_at_once(store, tmp_path):
    said = explain(store, method="hirescam-fine")
    assert re.findall(r"(\S+), seed (\d): hirescam-fine of 8 sources", said) == [
        ("mcrgnet", "1"),
        ("radio-galaxy-zoo", "1"),
    ]
    found = {r.spec.network.name: read_looks(store, r.run_id) for r in store.records() if r.spec.seed == 1}
    assert all(read_looks(store, r.run_id) is None for r in store.records() if r.spec.seed == 2)
    one, other = found.values()
    assert one.shown.tolist() == other.shown.tolist(), "maps can be compared"
    assert np.bincount(one.label).tolist() == [2, 2, 2, 2]
    assert one.maps.shape == one.inputs.shape == (8, 64, 64)
    assert one.pixel_scale == pytest.approx(1.8)
    assert one.field.sum() == pytest.approx(1)

    record = next(r for r in store.records() if r.spec.seed == 1)
    dataset = load_dataset(record.spec.data)
    test = dataset.catalogue.source_id[make_split(record.spec, dataset).indices("test")]
    assert sorted(one.sources.tolist()) == sorted(test.tolist())
    predicted = record.predictions.select("test", "best")
    said_there = dict(
        zip(predicted.source_id.tolist(), predicted.logits.argmax(axis=1).tolist(), strict=True)
    )
    looks = read_looks(store, record.run_id)
    assert [said_there[name] for name in looks.shown.tolist()] == looks.target.tolist()

    path = store.run_path(record.run_id) / "looks.npz"
    before = path.stat().st_mtime_ns
    explain(store, method="hirescam-fine")
    assert path.stat().st_mtime_ns == before, "what is there is not made again"
    explain(store, run_id=record.run_id, method="gradcam")
    assert read_looks(store, record.run_id).method == "gradcam"

    page = tmp_path / "report.html"
    report(store.root, ReportSpec(out=page), Console(file=io.StringIO()))
    text = page.read_text(encoding="utf8")
    assert 'id="looks"' in text
    assert text.count("<image ") == 16
    assert (
        "The middle of the last feature map sees this much of the sky (its effective receptive field): "
        in text
    )


@pytest.mark.slow
def test_wrong_requests_are_named(store):
    record = store.records()[0]
    dataset = load_dataset(record.spec.data)
    some = [str(dataset.catalogue.source_id[0])]
    with pytest.raises(SpecError, match="the methods are gradcam"):
        look_again(StoredRun(record, store, dataset=dataset), some, "saliency")
    with pytest.raises(SpecError, match="has no source"):
        look_again(StoredRun(record, store, dataset=dataset), ["nobody"], "gradcam")
    other = load_dataset(DataSpec(split="fold-0"))
    if other.checksum != dataset.checksum:
        with pytest.raises(DataError, match="checksum"):
            StoredRun(record, store, dataset=other)


def test_likeness_is_spearman_s():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(3, 8, 8)), rng.normal(size=(3, 8, 8))
    b[1], a[2] = -a[1], 0
    found = _likeness(a, b)
    assert found[0] == pytest.approx(spearmanr(a[0].ravel(), b[0].ravel()).statistic)
    assert found[1] == pytest.approx(-1)
    assert np.isnan(found[2])


def test_an_overlay_is_grey_where_the_map_is_silent_and_north_is_up():
    image, evidence = np.zeros((6, 6)), np.zeros((6, 6))
    image[0, 1] = 1.0  # the south
    evidence[4, 2], evidence[4, 3] = 2.0, -2.0
    seen = pixels(overlay(image, evidence)).astype(int)
    assert seen[5, 1].tolist() == [0, 0, 0]
    assert seen[0, 0].tolist() == [255, 255, 255]
    for column, colour in ((2, FOR), (3, AGAINST)):
        np.testing.assert_allclose(seen[1, column], 0.2 * 255 + 0.8 * np.array(colour), atol=1)
    assert (pixels(overlay(np.full((4, 4), np.nan), np.zeros((4, 4)))) == 255).all()
    for bad in (np.zeros((3, 3, 1)), np.zeros((0, 3)), np.zeros((3, 4))):
        with pytest.raises(ValueError, match="one shape"):
            overlay(bad, np.zeros((3, 3)))
    raw = base64.b64decode(overlay(image, evidence).partition(",")[2])
    length, kind = struct.unpack(">I4s", raw[8:16])
    assert struct.unpack(">I", raw[16 + length : 20 + length])[0] == zlib.crc32(kind + raw[16 : 16 + length])


def test_every_point_with_a_class_has_its_mark():
    points = np.array([[0.0, 0], [1, 1], [2, 0], [np.nan, 1], [3, 3]])
    drawing = scatter_figure(points, np.array([0, 1, 1, 0, -1]), ["FRI", "<b>"], ("x", "y"), "said")
    tree = ElementTree.fromstring(drawing)
    assert len(tree.findall("circle")) == 1 + 1
    assert len(tree.findall("polygon")) == 2 + 1
    assert "<b>" in [text.text for text in tree.findall("text")]
    assert len({marker(kind, 0, 0).replace(f"c{kind}", "") for kind in range(4)}) == 4
