"""What the commands on networks print, and what other packages bring by entry points."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from rich.console import Console

from rgbench.cli.app import main
from rgbench.cli.work.networks import View, import_model, list_networks, show_network
from rgbench.data.sets import load_data
from rgbench.diagnostics.receptive_field import Subject, look
from rgbench.errors import SpecError
from rgbench.networks import network_names, networks
from rgbench.registry import Registry
from rgbench.runs.import_keras import ImportChoice, import_keras
from rgbench.store.store import Store


@pytest.fixture
def console_on(capsys: pytest.CaptureFixture[str]) -> Any:
    def printed() -> str:
        return capsys.readouterr().out

    return Console(width=200), printed


def test_the_list_holds_every_network_once(console_on: Any) -> None:
    console, printed = console_on
    list_networks(300, True, console)
    first_words = [line.split()[0] for line in printed().splitlines() if line.strip()]
    assert [name for name in network_names() if first_words.count(name) != 1] == []
    list_networks(150, False, console)
    short = printed()
    assert "variants of these: rgbench networks --all" in short
    assert "mcrgnet-l2 " not in short
    assert "cannot be built: layer 7 (C3x3-256 s1 valid relu) does not fit" in short


def test_nothing_is_built_to_be_listed() -> None:
    code = (
        "import sys, time; from rich.console import Console; start = time.process_time();"
        "from rgbench.cli.work.networks import list_networks; list_networks(300, True, Console(quiet=True));"
        "print(time.process_time() - start, 'torch' in sys.modules)"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        spent, torch_loaded = done.stdout.split()
        assert torch_loaded == "False"
        seconds.append(float(spent))
    assert min(seconds) < 2  # building them takes a minute


@pytest.mark.slow
def test_a_network_is_shown_with_what_it_sees(console_on: Any, tmp_path: Path) -> None:
    console, printed = console_on
    picture = tmp_path / "field.svg"
    show_network("mcrgnet", View(image_size=100, picture=picture), console)
    text = printed()
    assert "Ma et al. 2019, ApJS 240, 34; doi:10.3847/1538-4365/aaf9a2" in text
    assert "9 C3x3-32 s2 same relu 4 x 4 x 32 4,640 0.07 63 113 32" in " ".join(text.split())
    assert "sees 63 px = 113 arcsec: 63 % of the image, at least the extent of 9" in text
    assert "Effective receptive field (initial weights, 16 real images)" in text
    drawing = ET.fromstring(picture.read_text())
    assert drawing.tag.endswith("svg")
    assert "MCRGNet: 100 x 100 px; theoretical 63 px = 113 arcsec" in "".join(drawing.itertext())
    with pytest.raises(SpecError, match="is there already"):
        show_network("mcrgnet", View(image_size=100, picture=picture), console)
    with pytest.raises(SpecError, match=r"the ending must be .svg"):
        show_network("mcrgnet", View(image_size=100, picture=tmp_path / "field.png"), console)


@pytest.mark.slow
def test_the_weights_of_a_stored_run_are_looked_at(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = import_keras(Path(__file__).parents[1] / "networks" / "keras" / "mcrgnet.h5", store)
    data = load_data("first-galaxy-data")
    seen = look(Subject("mcrgnet", 300, 4, tmp_path, record.run_id[:6]), data)
    assert (seen.field.shape, seen.weights) == ((48, 48), f"run {record.run_id[:8]}")
    assert 0 < seen.size < 63
    with pytest.raises(SpecError, match="is a run of mcrgnet, not of convxpress"):
        look(Subject("convxpress", 300, 4, tmp_path, record.run_id), data)
    with pytest.raises(SpecError, match="--image-size 400: the images have 300 x 300 pixels"):
        look(Subject("mcrgnet", 400, 4, tmp_path), data)


@pytest.mark.slow
def test_a_network_from_a_factory_is_shown(console_on: Any) -> None:
    console, printed = console_on
    show_network("ag-cnn", View(image_size=64, n_classes=2), console)
    text = printed()
    assert "102,027 parameters (101,447 trained)" in text
    assert "gates.0.of_signal" in text
    assert "not known from layers" in text


def test_an_import_says_how_to_use_it(console_on: Any, tmp_path: Path) -> None:
    console, printed = console_on
    choice = ImportChoice(pixel_scale=1.8)
    import_model(Path(__file__).parents[1] / "networks" / "keras" / "mcrgnet.h5", tmp_path, choice, console)
    (run_id,) = Store(tmp_path).run_ids()
    assert f"mcrgnet.h5: mcrgnet, 17,308 parameters, run {run_id}" in printed()


def run_command(*words: str) -> None:
    code: object = 0
    try:
        main(list(words))
    except SystemExit as ended:
        code = ended.code
    assert not code


def test_an_imported_model_that_is_no_network_of_ours_classifies(tmp_path: Path) -> None:
    graph = Path(__file__).parents[1] / "networks" / "keras" / "graph.h5"
    run_command("import-keras", str(graph), "--store", str(tmp_path / "store"), "--pixel-scale", "1.8")
    (run_id,) = Store(tmp_path / "store").run_ids()
    header = fits.Header(
        {"CDELT1": -1.8 / 3600, "CDELT2": 1.8 / 3600, "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}
    )
    header.update({"CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 20.5, "CRPIX2": 20.5})
    image = np.random.default_rng(1).normal(0, 1, (40, 40))
    image[18:22, 16:24] += 100
    fits.writeto(tmp_path / "source.fits", image.astype(np.float32), header)
    out = tmp_path / "classes.csv"
    options = ["--store", str(tmp_path / "store"), "--run", run_id, "--out", str(out)]
    run_command("predict", str(tmp_path / "source.fits"), *options)
    (row,) = csv.DictReader(out.read_text(encoding="utf8").splitlines())
    assert row["class"] in ("FRI", "FRII")


class _Point:
    """An entry point as importlib.metadata gives them."""

    def __init__(self, name: str, item: Any) -> None:
        self.name, self.value, self._item = name, f"elsewhere:{name}", item
        self.module = "elsewhere"
        self.dist = type("Distribution", (), {"name": "their-package"})()

    def load(self) -> Any:
        if isinstance(self._item, Exception):
            raise self._item
        return self._item


def _with_points(monkeypatch: pytest.MonkeyPatch, *points: _Point) -> Registry[Any]:
    monkeypatch.setattr("rgbench.registry.entry_points", lambda group: points)
    registry: Registry[Any] = Registry("network", "rgbench.networks")
    registry.register("ours", 1)
    return registry


def test_entry_points_are_imported_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = _with_points(monkeypatch, _Point("theirs", 2), _Point("broken", ImportError("no libfoo")))
    assert registry.names() == ["ours", "theirs", "broken"]
    assert registry.get("theirs") == 2
    assert registry.broken() == {}
    with pytest.raises(
        SpecError,
        match=r"'broken' of their-package \(elsewhere:broken\) cannot be imported: ImportError: no libfoo",
    ):
        registry.get("broken")
    assert dict(registry) == {"ours": 1, "theirs": 2}
    assert list(registry.broken()) == ["broken"]
    assert "broken" in registry.names()


def test_an_entry_point_with_a_taken_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = _with_points(monkeypatch, _Point("ours", 2))
    with pytest.raises(SpecError, match="network 'ours' of their-package has a name that is taken"):
        registry.names()


@pytest.mark.slow
def test_a_network_builds_no_slower_than_its_weights_are_drawn() -> None:
    """Here the largest of each initialiser, the best of three, beside as many numbers drawn by torch alone."""
    build = pytest.importorskip("rgbench.networks.modules.build").build_network
    for name in ("cosmodeep", "alexnet-plain-same"):
        seconds = []
        for _ in range(3):
            # Of this process: other tests run beside this one.
            start = time.process_time()
            network = build(name, 300, seed=1)
            seconds.append(time.process_time() - start)
        start = time.process_time()
        for weight in network.parameters():
            torch.randn(weight.shape)
        assert min(seconds) < 4 * (time.process_time() - start) + 0.5
    assert len(networks().names()) > 130
