"""Every engine gives what PyTorch gives; a classifier as an ONNX file does too, in a program that has no torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits

from rgbench.cli.app import main
from rgbench.data.own.files import file_stem
from rgbench.data.sets import load_data
from rgbench.errors import DataError, DeviceError, SpecError, StoreError
from rgbench.images.augment import view_places, views
from rgbench.images.network_input import VIEWS, Preparation
from rgbench.measures.unlike import Unlikeness
from rgbench.networks import NetworkCard, describe_network, network_names, networks
from rgbench.networks.modules.build import build_network
from rgbench.runs import onnx_file
from rgbench.runs.classifier import Classifier, load_classifier
from rgbench.runs.classifier_card import ClassifierCard, ConformalCard, MemberCard
from rgbench.runs.classify import Classifying, classify_files
from rgbench.runs.embedding import embed, with_hidden
from rgbench.runs.engines import choose_engine, engine_of, lacking
from rgbench.runs.inputs import cut_to_field, prepare
from rgbench.runs.logits import predict_logits
from rgbench.runs.onnx_file import check_onnx_path, write_onnx
from rgbench.runs.trained import Trained
from rgbench.spec import Study, resolve
from rgbench.store.tables import Outputs
from rgbench.survey.plan import Asked
from rgbench.training.checkpoint import read_tensors

ROOT = Path(__file__).parents[2]
SOURCE = {"PYTHONPATH": str(ROOT / "src")}
CLASSES = ("FRI", "FRII", "Bent")
FIELD, SIZE = 64, 32
SIZES = (64, 100, 180, 200, 240, 300)
MIRROR = os.environ.get("RGBENCH_MIRROR")
OTHERS = ("onnx", "openvino")


def needs(engine: str):
    """Skip without the packages of an engine."""
    missing = lacking(engine)
    return pytest.mark.skipif(
        bool(missing), reason=f"needs {', '.join(missing)}: pip install 'rgbench[{engine}]'"
    )


other_engines = pytest.mark.parametrize("engine", [pytest.param(name, marks=needs(name)) for name in OTHERS])


@cache
def untrained(seed: int):
    """One network for all tests: it becomes a graph but once."""
    return build_network("lenet", SIZE, len(CLASSES), seed=seed).eval()


def toy(activation: str = "softmax", precision: str = "float32", counts=(8, 8)) -> Classifier:
    """Two small networks that nobody trained, calibrated by hand."""
    members, cards = [], []
    for seed, n in enumerate(counts, start=1):
        study = Study(
            name="toy",
            networks=("lenet",),
            seeds=(seed,),
            protocol="sky",
            images={"field": FIELD, "size": SIZE},
            recipe={"views": n, "precision": precision},
        )
        (spec,) = resolve(study, "")
        members.append(Trained(spec, Outputs(CLASSES, activation), untrained(seed)))
        cards.append(MemberCard(spec=spec, activation=activation))
    chance = np.random.default_rng(1)
    unlikeness = Unlikeness(
        chance.normal(size=84),
        chance.normal(size=(84, 2)),
        chance.normal(size=(9, 3)),
        np.sort(chance.random(20)),
    )
    card = ClassifierCard(
        name="toy-1",
        classes=CLASSES,
        members=tuple(cards),
        temperature=1.7,
        conformal=ConformalCard(alpha=0.1, score="lac", per_class=True, threshold=(0.9, 0.8, None)),
        not_for="anything",
    )
    return Classifier(card, tuple(members), unlikeness)


def sources(n: int = 20, side: int = 150) -> np.ndarray:
    """Raw images of double sources in noise."""
    chance = np.random.default_rng(3)
    y, x = np.indices((side, side)) - (side - 1) / 2
    images = chance.normal(0, 1e-4, (n, side, side))
    for image in images:
        for at_x, at_y, peak in chance.uniform((-9, -9, 0.002), (9, 9, 0.02), (2, 3)):
            image += peak * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 5)
    return images.astype(np.float32)


def command(capsys, *words) -> tuple[int, str]:
    """Run the command line; give its exit code and all that it wrote."""
    code = 0
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        code = int(stop.code or 0)
    told = capsys.readouterr()
    return code, " ".join((told.out + told.err).split())


# --- one pass gives both ----------------------------------------------------------------------------------


def test_fewer_views_are_found_among_more():
    images = torch.rand(1, 1, 12, 12)
    for among in VIEWS:
        many = list(views(images, among))
        for n in VIEWS:
            places = view_places(n, among)
            assert (places is None) == (n > among or (n, among) == (16, 24))
            if places is not None:
                few = list(views(images, n))
                assert len(places) == n
                assert all(torch.equal(one, many[at]) for one, at in zip(few, places, strict=True))


@pytest.mark.parametrize("counts", [(8, 8), (1, 1), (16, 16), (2, 4), (24, 16)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_pass_gives_the_bits_of_two(counts, precision):
    """Of PyTorch, by the functions that compute one thing each."""
    classifier = toy(precision=precision, counts=counts)
    prepared = cut_to_field(prepare(sources(5), classifier.card.spec), classifier.card.spec)
    logits, unlike = classifier.logits_and_unlike(prepared, prepared=True)
    np.testing.assert_array_equal(logits, classifier.logits(prepared, prepared=True))
    np.testing.assert_array_equal(unlike, classifier.unlike(prepared, prepared=True))
    for member, n in zip(classifier.members, counts, strict=True):
        batches = list(member.framed(prepared))
        alone = predict_logits(member.network, iter(batches), precision, n)
        np.testing.assert_array_equal(alone, member.logits(prepared, prepared=True))
        seen = member.embeddings(prepared, prepared=True, n_views=8)
        np.testing.assert_array_equal(embed(member.network, iter(batches), 8), seen)


def test_without_images_there_are_no_rows():
    none = np.zeros((0, 96, 96), dtype=np.float32)
    logits, unlike = toy().logits_and_unlike(none, prepared=True)
    assert (logits.shape, unlike.shape) == ((0, 3), (0,))
    with pytest.raises(DataError, match="none is given"):
        toy().members[0].embeddings(none, prepared=True)


# --- choosing ---------------------------------------------------------------------------------------------


def test_an_engine_that_is_not_there_is_said(monkeypatch):
    with pytest.raises(
        SpecError, match="found 'tensorrt'; legal are auto, torch, onnx, openvino, openvino-bf16"
    ):
        choose_engine("tensorrt")
    monkeypatch.setattr("rgbench.runs.engines.lacking", lambda name: [])
    with pytest.raises(DeviceError, match=r"computes on the processor \(cpu\) alone; the device is cuda"):
        choose_engine("onnx", "cuda")
    monkeypatch.setattr("rgbench.runs.engines.lacking", lambda name: ["onnxruntime"])
    with pytest.raises(SpecError, match=r"onnxruntime is not installed: pip install 'rgbench\[onnx\]'"):
        load_classifier().with_engine("onnx")
    assert choose_engine("auto") == choose_engine("auto", "cuda") == "torch"
    monkeypatch.setattr("rgbench.runs.engines.lacking", lambda name: [])
    assert (choose_engine("auto"), choose_engine("auto", "cuda")) == ("onnx", "torch")


@needs("openvino")
def test_bfloat16_is_refused_where_the_processor_has_none(monkeypatch):
    class Core:
        def get_property(self, *_):
            return ["FP32"]

    monkeypatch.setattr("rgbench.runs.engines._core", Core)
    with pytest.raises(DeviceError, match="no instructions for bfloat16"):
        choose_engine("openvino-bf16")


@pytest.mark.slow
def test_no_engine_is_imported_unless_it_is_asked_for():
    code = (
        "import sys; import rgbench.runs.classifier, rgbench.survey.survey, rgbench.cli.work.predict;"
        "assert not {'onnx', 'onnxscript', 'onnxruntime', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | SOURCE, check=True)


def test_the_table_and_the_survey_name_another_engine(tmp_path):
    fits.writeto(tmp_path / "a.fits", sources(1)[0])
    classifier = toy()
    assert "engine" not in Classifying(classifier, [tmp_path])._made_by
    other = Classifier(
        classifier.card,
        tuple(Trained(m.spec, m.outputs, m.network, "cpu", "onnx") for m in classifier.members),
    )
    assert "; engine onnx; " in Classifying(other, [tmp_path])._made_by
    asked = {
        "catalogue": "c",
        "columns": (),
        "mosaics": (),
        "stamps": (),
        "classifier": "x",
        "views": 8,
        "prior": {},
    }
    assert Asked(**asked).checksum != Asked(**asked, engine="onnx").checksum


# --- the numbers ------------------------------------------------------------------------------------------


@other_engines
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_an_engine_gives_what_pytorch_gives(engine, activation):
    classifier = toy(activation)
    images = sources()
    other = classifier.with_engine(engine)
    assert (classifier.engine, other.engine) == ("torch", engine)
    np.testing.assert_allclose(other.predict(images), classifier.predict(images), atol=1e-5)
    np.testing.assert_allclose(other.logits(images[:1]), classifier.logits(images[:1]), atol=1e-5)
    few = other.with_views(2)
    assert few.engine == engine
    found, expected = few.logits_and_unlike(images), classifier.with_views(2).logits_and_unlike(images)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=0.051)  # shares of 20 sources
    seen = [each.members[1].embeddings(images) for each in (other, classifier)]
    np.testing.assert_allclose(*seen, atol=1e-4)
    assert classifier.with_engine(engine).members[0].compute is other.members[0].compute  # made once


@pytest.fixture(scope="module")
def real():
    try:
        data = load_data("first-galaxy-data")
    except DataError as error:
        pytest.skip(str(error))
    return data.images[data.splits["published"] == "test"]


@pytest.mark.slow
@other_engines
def test_first_1_gives_the_classes_of_pytorch(engine, real):
    classifier = load_classifier()
    other = classifier.with_engine(engine)
    fields = cut_to_field(prepare(real, classifier.card.spec), classifier.card.spec)
    (logits, unlike), (ours, own) = (each.logits_and_unlike(fields, True) for each in (classifier, other))
    p, q = (np.exp(classifier.calibrated(each)) for each in (logits, ours))
    np.testing.assert_allclose(q, p, atol=1e-4)
    assert (p.argmax(axis=1) != q.argmax(axis=1)).mean() <= 1e-3
    np.testing.assert_allclose(own, unlike, atol=0.011)  # two of 198 validation sources


def _bases() -> list[str]:
    """Networks that are no variants of others, and one of each kind of group."""
    cards = {name: networks().get(name) for name in network_names()}
    own = [name for name, card in cards.items() if not (isinstance(card, NetworkCard) and card.base)]
    return [*own, "lenet-c8", "lenet-d4", "lenet-d16", "lenet-c4-flat"]


def _smallest(name: str) -> int:
    for size in SIZES:
        try:
            describe_network(name, size, 3)
        except SpecError:
            continue
        return size
    raise AssertionError(name)


@pytest.mark.slow
@needs("onnx")
@needs("openvino")
@pytest.mark.parametrize("name", _bases())
def test_every_network_can_be_computed_by_every_engine(name):
    size = _smallest(name)
    network = build_network(name, size, 3, seed=1).eval()
    images = torch.rand((3, 1, size, size), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        logits, hidden = with_hidden(network, images)
    for engine in OTHERS:
        compute = engine_of(engine, network)
        found, read = compute(images, True)
        np.testing.assert_allclose(found.softmax(1), logits.softmax(1), atol=1e-4)
        np.testing.assert_allclose(read, hidden, atol=1e-3 * float(hidden.abs().max()) + 1e-6)
        alone, nothing = compute(images[:1], False)
        np.testing.assert_allclose(alone.softmax(1), logits[:1].softmax(1), atol=1e-4)
        assert nothing is None


# --- the file ---------------------------------------------------------------------------------------------


@needs("onnx")
@pytest.mark.parametrize("activation", ["softmax", pytest.param("sigmoid", marks=pytest.mark.slow)])
def test_the_file_gives_calibrated_probabilities_and_says_what_it_is(activation, tmp_path):
    import onnxruntime

    classifier, path = toy(activation), tmp_path / "toy.onnx"
    write_onnx(path, classifier)
    session = onnxruntime.InferenceSession(str(path))
    assert [each.name for each in session.get_inputs()] == ["images"]
    assert session.get_inputs()[0].shape[1:] == [1, SIZE, SIZE]
    images = sources()
    (field,) = classifier.members[0].framed(prepare(images, classifier.card.spec))
    logits, p = session.run(["logits", "probabilities"], {"images": field.contiguous().numpy()})
    np.testing.assert_allclose(p, classifier.predict(images), atol=1e-5)
    np.testing.assert_allclose(logits, classifier.logits(images), atol=1e-5)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["rgbench-classes"]) == list(CLASSES)
    assert float(told["rgbench-temperature"]) == 1.7
    assert json.loads(told["rgbench-conformal"])["threshold"] == [0.9, 0.8, None]
    assert (told["rgbench-name"], told["rgbench-views"], told["rgbench-opset"]) == ("toy-1", "8", "18")
    assert Preparation.read(told["rgbench-preparation"]) == Preparation.of(classifier.card.spec)
    classifier.save(tmp_path / "toy.safetensors")
    assert told["rgbench-sha256"] == read_tensors(tmp_path / "toy.safetensors")[1]["sha256"]
    with pytest.raises(SpecError, match="toy.onnx"):
        write_onnx(path, classifier)


@pytest.mark.slow
@needs("onnx")
def test_a_file_that_differs_is_not_written(tmp_path, monkeypatch):
    path = tmp_path / "toy.onnx"
    monkeypatch.setattr(onnx_file, "TOLERANCE", 0.0)
    with pytest.raises(StoreError, match="was not written: ONNX Runtime gives probabilities that differ"):
        write_onnx(path, toy())
    assert not path.exists()


@needs("onnx")
def test_what_is_no_one_graph_is_refused(tmp_path):
    with pytest.raises(SpecError, match="1, 2, 4 or 8 views"):
        write_onnx(tmp_path / "a.onnx", toy().with_views(48))
    with pytest.raises(SpecError, match="different sizes or numbers of views"):
        write_onnx(tmp_path / "a.onnx", toy(counts=(2, 4)))
    with pytest.raises(SpecError, match="ending is not .onnx"):
        check_onnx_path(tmp_path / "a.safetensors", False)


@needs("onnx")
def test_the_command_writes_a_file_of_a_classifier(tmp_path, capsys, monkeypatch):
    import onnxruntime

    monkeypatch.chdir(tmp_path)
    toy().save(tmp_path / "toy.safetensors")
    code, said = command(capsys, "export", "toy.safetensors", "--onnx", "--views", "1")
    assert code == 0, said
    assert "wrote toy-1.onnx" in said
    own = toy().with_views(1)
    (field,) = own.members[0].framed(prepare(sources(), own.card.spec))
    session = onnxruntime.InferenceSession("toy-1.onnx")
    (p,) = session.run(["probabilities"], {"images": field.contiguous().numpy()})
    np.testing.assert_allclose(p, own.predict(sources()), atol=1e-5)
    assert command(capsys, "export", "toy.safetensors", "--onnx")[0] == 2  # it is there
    code, said = command(capsys, "export", "toy.safetensors", "--onnx", "--name", "x", "--overwrite")
    assert code == 2
    assert "is a classifier already" in said
    assert command(capsys, "export", "first-1", "first-1", "--onnx")[0] == 2
    code, said = command(capsys, "export", "3f2a", "5b1c", "--onnx")
    assert code == 2
    assert "needs a name" in said
    assert "names the classifier" in command(capsys, "export", "3f2a")[1]
    assert "goes with --onnx" in command(capsys, "export", "3f2a", "--name", "x", "--views", "1")[1]


@needs("onnx")
def test_predict_takes_an_engine(tmp_path, capsys):
    fits.writeto(
        tmp_path / "a.fits", sources(1)[0], fits.Header({"CDELT1": -1.8 / 3600, "CDELT2": 1.8 / 3600})
    )
    toy().save(tmp_path / "toy.safetensors")
    words = (
        "predict",
        tmp_path / "a.fits",
        "--classifier",
        tmp_path / "toy.safetensors",
        "--pixel-scale",
        1.8,
    )
    code, said = command(capsys, *words, "--out", tmp_path / "a.csv", "--engine", "onnx")
    assert code == 0, said
    assert "Engine: onnx" in said
    assert "engine onnx" in (tmp_path / "a.csv").read_text(encoding="utf8")
    assert command(capsys, *words, "--out", tmp_path / "b.csv", "--engine", "fast")[0] == 2


# --- the example of the documents, where there is no torch --------------------------------------------------


def example() -> str:
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    return code


def run_example(folder: Path, *files: Path) -> list[str]:
    (folder / "example.py").write_text(example(), encoding="utf8")
    code = "import sys, runpy; sys.modules['torch'] = None; runpy.run_path('example.py', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, files)],
        cwd=folder,
        env=os.environ | SOURCE,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


def test_the_example_has_25_lines_at_most():
    assert len(example().splitlines()) <= 25


@pytest.mark.slow
@needs("onnx")
@pytest.mark.skipif(MIRROR is None, reason="RGBENCH_MIRROR is not set")
def test_the_example_gives_what_predict_gives_without_torch(tmp_path):
    classifier = load_classifier()
    write_onnx(tmp_path / "first-1.onnx", classifier)
    files = sorted((Path(str(MIRROR)) / "MiraBest_FITS").glob("*.fits.gz"))[:40]
    lines = run_example(tmp_path, *files)
    table = classify_files(classifier, files).table()
    expected = dict(zip(table["source"], zip(table["class"], table["set"], strict=True), strict=True))
    p = {
        name: np.array([table[f"p_{c}"][i] for c in classifier.classes])
        for i, name in enumerate(table["source"])
    }
    assert len(lines) == len(files)
    for file, line in zip(files, lines, strict=True):
        name, word, chosen, *numbers = line.split()
        source = file_stem(str(file))
        assert name == file.name
        if expected[source][0]:
            assert (word, chosen) == expected[source]
            np.testing.assert_allclose(np.array(numbers, dtype=float), p[source], atol=2e-3)
