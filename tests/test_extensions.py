"""Everything with a name can be brought from outside: by a package (tests/toy_package), one call, or a study."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rgbench.errors import SpecError
from rgbench.extensions import ENTRY_POINTS, REGISTRIES, names, register, registry
from rgbench.images.preprocess import Preset, preprocess_batch
from rgbench.registry import Registry
from rgbench.runs.listeners import Several, Silence, make_listener

PACKAGE = Path(__file__).parent / "toy_package"
TOYS = {
    "network": "toy-network",
    "layer": "Toy",
    "data set": "toy-set",
    "preset": "toy-preset",
    "protocol": "toy-protocol",
    "disturbance": "toyfog",
    "table": "toy",
    "listener": "toy-listener",
    "metric": "toy_hits",
    "report section": "toy-section",
    "task": "toy/toy-task@1",
}
"""What the package brings, by kind."""
STUDY = """
name = "toys"
networks = ["tiny", "toy-network"]
seeds = [1]
protocol = "toy-protocol"
[layers]
tiny = "C3x3-4 s2 same relu · Toy2.0 · GAP · FC{classes} softmax"
[data]
name = "toy-set"
[recipe]
epochs = 15
learning_rate = 0.03
"""


def python(script: str, *arguments: str | Path, package: Path = PACKAGE, **environment: str) -> str:
    """Run Python in a process of its own that finds the toy package; give what it printed."""
    path = os.pathsep.join([str(package), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


COMMAND = """
import sys
from rgbench.cli.app import main
def rgbench(*words):
    try:
        main(list(words))
    except SystemExit as end:
        assert not end.code, (words, end.code)
"""


def test_the_package_has_one_of_each_kind_that_is_asked_for_here():
    assert set(TOYS) <= set(REGISTRIES)
    assert set(REGISTRIES) == set(ENTRY_POINTS)
    found = (PACKAGE / "toy-1.0.dist-info" / "entry_points.txt").read_text()
    for kind, name in TOYS.items():
        assert f"[{ENTRY_POINTS[kind]}]\n{name} = toy:" in found


@pytest.mark.slow
def test_names_are_known_before_any_code_is_imported():
    script = f"""
import sys
from rgbench.extensions import names, registry
toys = {TOYS!r}
for kind, name in toys.items():
    assert name in names(kind), (kind, names(kind))
    assert name in registry(kind), kind
assert "toy" not in sys.modules
assert "torch" not in sys.modules
for kind, name in toys.items():
    registry(kind).get(name)
    assert not registry(kind).broken()
assert "toy" in sys.modules
"""
    python(script)


@pytest.mark.slow
def test_help_and_lists_show_them():
    script = f"""{COMMAND}
for words in (("run", "--help"), ("predict", "--help"), ("stress", "--help"), ("report", "--help")):
    rgbench(*words)
    assert "torch" not in sys.modules and "toy" not in sys.modules, words
rgbench("networks")
rgbench("data")
rgbench("tasks")
"""
    shown = python(script)
    for kind, name in TOYS.items():
        if kind != "layer":  # a form of the notation, which `rgbench networks` does not list
            assert name in shown, name


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A study of toys, run, stressed, reported and applied; the folder, and what was printed."""
    folder = tmp_path_factory.mktemp("toys")
    (folder / "s.toml").write_text(STUDY)
    script = f"""{COMMAND}
from pathlib import Path
from astropy.io import fits
from rgbench.data.load import load_dataset
from rgbench.diagnostics.stress import stress
from rgbench.runs.reopen import StoredRun
from rgbench.runs.listeners import Several, Silence, make_listener
from rgbench.runs.study import run_study
from rgbench.spec import read_study
from rgbench.store.conditions import Condition
from rgbench.store.store import Store
import toy
folder = Path(sys.argv[1])
study = read_study(folder / "s.toml")
store, dataset = Store(folder / "store"), load_dataset(study.data)
records = run_study(study, store, listener=Several(Silence(), make_listener("toy-listener")), dataset=dataset)
for record in records:
    assert record.status == "complete", record.error
    stress(StoredRun(record, store, dataset=dataset), [Condition("toyfog", 1)])
rgbench("report", "--store", str(folder / "store"), "--table", str(folder / "table.csv"))
rgbench("report", "--store", str(folder / "store"), "--metric", "toy-hits", "--out", str(folder / "by-toy.html"))
step = dict(CTYPE1="RA---SIN", CTYPE2="DEC--SIN", CDELT1=-1.8 / 3600, CDELT2=1.8 / 3600)
fits.writeto(folder / "a.fits", toy.images()[0], fits.Header(step))
rgbench("predict", str(folder / "a.fits"), "--store", str(folder / "store"), "--out", str(folder / "p.toy"))
"""
    return folder, python(script, folder)


@pytest.mark.slow
def test_a_study_uses_them(place):
    _, printed = place
    assert "the toy hears that tiny is complete" in printed
    assert "the toy hears of epoch 15 of tiny" in printed
    assert "the toy hears that toy-network is complete" in printed


@pytest.mark.slow
def test_a_prediction_goes_to_the_toy_s_table(place):
    lines = (place[0] / "p.toy").read_text().splitlines()
    assert lines[0] == "source path class p_one p_two spread set unlike flags ra dec remark classifier"
    assert lines[1].startswith("a ")


@pytest.mark.slow
def test_the_report_shows_the_disturbance(place):
    page = (place[0] / "store" / "report.html").read_text()
    assert "A constant is added." in page
    assert "toyfog-1pk" in page


@pytest.mark.slow
def test_the_report_has_the_section_and_the_metric(place):
    page = (place[0] / "store" / "report.html").read_text()
    assert '<section id="toys"' in page
    assert 'id="toys-title"' in page
    assert "The toy counts 2 networks." in page
    heads, first = (place[0] / "table.csv").read_text().splitlines()[:2]
    told = dict(zip(heads.split(","), first.split(","), strict=True))
    assert 0 <= float(told["toy_hits_mean"]) <= 1
    assert float(told["toy_hits_low"]) <= float(told["toy_hits_mean"]) <= float(told["toy_hits_high"])


@pytest.mark.slow
def test_the_page_by_the_toy_s_metric_speaks_of_it_from_the_first_sentence(place):
    page = (place[0] / "by-toy.html").read_text()
    assert "tiny and toy-network share the best share of hits of the toy, 100.0 % (95 % interval" in page
    assert "the best mean per-class accuracy" not in page


@pytest.mark.slow
def test_a_store_is_read_where_the_package_is_not_installed(place):
    folder, _ = place
    script = f"""{COMMAND}
from rgbench.store.store import Store
records = Store(sys.argv[1]).records()
assert [r.spec.images.preset for r in records] == ["toy-preset", "toy-preset"]
assert all(r.status == "complete" for r in records)
rgbench("report", "--store", sys.argv[1], "--out", sys.argv[1] + "/elsewhere.html")
page = open(sys.argv[1] + "/elsewhere.html").read()
assert "tiny" in page and "toyfog" not in page
"""
    said = python(script, folder / "store", package=folder)
    assert "has no images and no properties of sources: unknown data set 'toy-set'" in said
    applied = f"""{COMMAND}
from rgbench.errors import SpecError
from rgbench.runs.classify import classify
from rgbench.store.store import Store
store = Store(sys.argv[1])
for record in store.records():
    try:
        classify(record, store, [sys.argv[2]])
    except SpecError as error:
        print(error)
"""
    said = python(applied, folder / "store", folder / "a.fits", package=folder)
    assert "unknown network 'toy-network'" in said
    assert "'Toy'" in said


@pytest.fixture
def file(tmp_path):
    """A file of one's own beside a study that names it, and what it needs; there is no package."""
    lines = [
        "import rgbench, toy",
        "for kind, name, item in (",
        "    ('layer', 'Toy', toy.LAYER), ('data set', 'toy-set', toy.DATA), ('preset', 'toy-preset', toy.preset),",
        "    ('protocol', 'toy-protocol', toy.PROTOCOL), ('network', 'toy-network', toy.network),",
        "    ('disturbance', 'toyfog', toy.FOG), ('table', 'toy', toy.write),",
        "    ('listener', 'toy-listener', toy.Listener), ('report section', 'toy-section', toy.SECTION),",
        "    ('task', 'toy/toy-task@1', toy.TASK),",
        "):",
        "    rgbench.register(kind, name, item)",
    ]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    (tmp_path / "toy.py").write_text((PACKAGE / "toy.py").read_text())
    (tmp_path / "s.toml").write_text('extensions = ["mine.py"]\n' + STUDY)
    return tmp_path / "mine.py"


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_one_call_does_what_an_entry_point_does(file, when):
    """Before or after the first look at the registries, from a file that the study names."""
    script = f"""
import sys
from rgbench.extensions import names, registry
toys = {TOYS!r}
if sys.argv[2] == "after":
    assert not any(name in registry(kind) for kind, name in toys.items())
from rgbench.runs.check import check_study
from rgbench.spec import read_study
study = check_study(read_study(sys.argv[1]))
assert study.networks == ("tiny", "toy-network")
assert all(name in names(kind) for kind, name in toys.items())
"""
    python(script, file.parent / "s.toml", when, package=file.parent)


@pytest.mark.slow
def test_other_commands_know_what_the_environment_names(file, place):
    script = f"""{COMMAND}
rgbench("predict", *sys.argv[1:])
"""
    out = file.parent / "p.toy"
    words = (place[0] / "a.fits", "--store", place[0] / "store", "--out", out)
    python(script, *words, package=file.parent, RGBENCH_EXTENSIONS=str(file))
    assert out.read_text() == (place[0] / "p.toy").read_text()


@pytest.mark.parametrize("kind", TOYS)
def test_an_item_of_another_sort_is_refused(kind):
    with pytest.raises(SpecError, match=f"{kind} 'wrong' is a int; .* is legal"):
        register(kind, "wrong", 3)
    assert "wrong" not in names(kind)


@pytest.mark.parametrize("kind", TOYS)
def test_a_name_that_is_taken_is_refused(kind):
    first = names(kind)[0]
    with pytest.raises(SpecError, match=f"{kind} '{first}' is registered twice"):
        register(kind, first, registry(kind).get(first))


@pytest.mark.parametrize("kind", TOYS)
def test_unknown_names_have_close_matches(kind):
    first = max(names(kind), key=len)
    with pytest.raises(SpecError, match=f"unknown {kind} '{first}x'; did you mean {first}"):
        registry(kind).get(first + "x")


def test_an_unknown_kind_lists_the_kinds():
    with pytest.raises(
        SpecError, match="unknown kind 'colour'; .*network, layer, data set, preset, protocol"
    ):
        register("colour", "red", 1)


def test_what_a_broken_package_brings_is_named_by_its_error(monkeypatch):
    class Point:
        name, value, module, dist = "bad", "toy:bad", "toy", None

        def load(self):
            return 3

    monkeypatch.setattr("rgbench.registry.entry_points", lambda group: [Point()])
    numbers: Registry[str] = Registry("word", "words", registry("preset")._adapt)
    assert numbers.names() == ["bad"]
    with pytest.raises(
        SpecError, match=r"word 'bad' of an unknown package \(toy:bad\) cannot be used: preset 'bad' is a int"
    ):
        numbers.get("bad")
    with pytest.raises(SpecError, match="word 'bad' is registered twice"):
        numbers.register("bad", print)


def test_several_listeners_hear_the_same_in_order():
    heard = []

    class Ear(Silence):
        def __init__(self, name):
            self.name = name

        def step(self, spec, epoch, step):
            heard.append((self.name, epoch, step))

    Several(Ear("a"), make_listener("silence"), Ear("b")).step(None, 1, 2)
    assert heard == [("a", 1, 2), ("b", 1, 2)]


def test_a_listener_that_raises_is_told_nothing_more_and_stops_no_run():
    class Deaf(Silence):
        def step(self, spec, epoch, step):
            raise RuntimeError("no ear")

    heard = []

    class Ear(Silence):
        def step(self, spec, epoch, step):
            heard.append(step)

    told = Several(Deaf(), Ear())
    with pytest.warns(
        UserWarning, match="listener Deaf raised RuntimeError: no ear; it was told nothing more"
    ):
        told.step(None, 1, 1)
    told.step(None, 1, 2)
    assert heard == [1, 2]
    assert told.dropped == ["listener Deaf raised RuntimeError: no ear; it was told nothing more"]


def test_a_listener_that_cannot_be_made_is_an_error_of_one_line():
    def fails():
        raise ValueError("no screen")

    register("listener", "unmade", fails)
    with pytest.raises(SpecError, match="^listener 'unmade' raised ValueError: no screen$"):
        make_listener("unmade")


PRESETS = {
    "raises": (lambda images: 1 / 0, "preset 'raises' raised ZeroDivisionError"),
    "flat": (lambda images: images[0], "preset 'flat': of images of shape .* a step made"),
    "complex": (lambda images: images + 1j, "preset 'complex': a step made pixels of type complex"),
    "nan": (lambda images: images * np.nan, "preset 'nan': image 0 has pixels that are not finite after it"),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_that_fails_is_named(name):
    step, message = PRESETS[name]
    images = np.random.default_rng(1).random((3, 8, 8)).astype(np.float32)
    with pytest.raises(SpecError, match=message):
        preprocess_batch(images, Preset(name, ((step, {}),)))


def test_a_preset_cannot_change_the_images_it_is_given():
    images = np.ones((1, 2, 2), dtype=np.float32) * np.arange(4, dtype=np.float32).reshape(2, 2)

    def spoils(given):
        given[:] = 7
        return given

    preprocess_batch(images, Preset("spoils", ((spoils, {}),)))
    assert images[0].tolist() == [[0, 1], [2, 3]]


def test_a_network_that_cannot_be_made_is_an_error_of_one_line():
    wrap = pytest.importorskip("rgbench.networks.modules.foreign").wrap_factory
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(1)

    def fails(**sizes):
        raise KeyError("width")

    with pytest.raises(SpecError, match="^network own raised KeyError when it was made with image_size=8"):
        wrap("own", fails, 8, 4, 1, generator)
    with pytest.raises(SpecError, match="network own has no parameters"):
        wrap("own", lambda **sizes: torch.nn.Flatten(), 8, 4, 1, generator)
