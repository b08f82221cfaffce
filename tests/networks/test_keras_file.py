"""Model files that a real Keras 2 wrote give what Keras predicted; what is odd is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from rgbench.errors import DataError, SpecError
from rgbench.networks.keras.contents import read_here
from rgbench.networks.keras.file import read_keras_file
from rgbench.networks.notation.notation import to_text
from rgbench.runs.classify import classify
from rgbench.runs.import_keras import ImportChoice, import_keras
from rgbench.runs.reopen import StoredRun
from rgbench.store.store import Store

FILES = Path(__file__).parent / "keras"
OUTPUTS: dict[str, Any] = json.loads((FILES / "outputs.json").read_text())
CLASSES = {"mcrgnet": (), "normalised": ("a", "b", "c"), "graph": ()}


@pytest.mark.parametrize("name", OUTPUTS["models"])
def test_a_stored_run_predicts_what_keras_predicted(name: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = import_keras(FILES / f"{name}.h5", store, ImportChoice(CLASSES[name]))
    network = StoredRun(record, store).network().eval()
    golden = OUTPUTS["models"][name]
    images = np.random.default_rng(OUTPUTS["input_seed"]).random((3, *golden["shape"]), dtype=np.float32)
    with torch.inference_mode():
        outputs = network.activate(network(torch.from_numpy(images).permute(0, 3, 1, 2)))
    np.testing.assert_allclose(outputs.numpy(), golden["outputs"], rtol=0, atol=1e-6)
    assert record.status == "imported"
    assert import_keras(FILES / f"{name}.h5", store, ImportChoice(CLASSES[name])).run_id == record.run_id
    assert len(store.run_ids()) == 1


def test_a_known_network_is_recognised(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = import_keras(FILES / "mcrgnet.h5", store)
    assert (record.spec.network.name, record.spec.network.layers) == ("mcrgnet", "")
    assert record.predictions is None
    assert (record.classes, record.activation) == (("Compact", "FRI", "FRII", "Bent"), "softmax")
    other = import_keras(FILES / "graph.h5", store)
    assert other.spec.network.name == "imported:graph"


def test_branches_and_options_are_read() -> None:
    assert to_text(read_keras_file(FILES / "graph.h5").layers).startswith(
        "C5x5-4 s1 same relu <gu> · Add[= | C5x5-4 s1 same relu <gu>] · BN · Concat[C4x4-3 s2 valid"
    )
    text = to_text(read_keras_file(FILES / "normalised.h5").layers)
    assert text.startswith("C5x3-6 s2x1 valid <gu> · relu · BN · MP3x3 s2 same")
    assert "FC20 linear L2(0.01) <gu> · LeakyReLU(0.3)" in text


def test_an_imported_run_classifies_files(tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    pixels = np.zeros((60, 60), dtype=np.float32)
    pixels[28:32, 20:40] = 1.0
    fits.PrimaryHDU(pixels).writeto(tmp_path / "a.fits")
    store = Store(tmp_path / "store")
    result = classify(import_keras(FILES / "mcrgnet.h5", store), store, [tmp_path / "a.fits"])
    assert result.probabilities.shape == (1, 4)
    assert np.isclose(result.probabilities.sum(), 1)


def test_the_number_of_class_names_is_checked(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"mcrgnet.h5: the model has 4 outputs; 2 class names are given"):
        import_keras(FILES / "mcrgnet.h5", Store(tmp_path), ImportChoice(("a", "b")))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            ImportChoice(pixel_scale=float("nan")),
            "pixel_scale is nan; a number of arcseconds above 0 is legal",
        ),
        (ImportChoice(pixel_scale=-1.0), "pixel_scale is -1.0; a number of arcseconds above 0"),
        (ImportChoice(("a", "")), "classes: found ''; names of printable characters are legal"),
        (ImportChoice(("a", "b\0")), r"classes: found 'b\\x00'; names"),
    ],
)
def test_a_choice_that_is_not_legal_is_refused(choice: ImportChoice, message: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(SpecError, match=message):
        import_keras(FILES / "graph.h5", store, choice)
    assert store.run_ids() == []


def test_a_file_name_that_cannot_be_printed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines.h5"
    shutil.copy(FILES / "graph.h5", path)
    with pytest.raises(SpecError, match="rename it, with printable characters"):
        import_keras(path, Store(tmp_path / "store"))


def test_class_names_of_a_stored_run_are_not_overwritten(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = import_keras(FILES / "graph.h5", store, ImportChoice(("a", "b")))
    with pytest.raises(
        SpecError, match=r"is this file, with the classes a, b; found b, a: import it with the same"
    ):
        import_keras(FILES / "graph.h5", store, ImportChoice(("b", "a")))
    assert store.record(first.run_id).classes == ("a", "b")


def _edited(tmp_path: Path, edit: Any, name: str = "graph") -> Path:
    """Copy a model file with its architecture edited as plain data."""
    path = tmp_path / f"{name}.h5"
    shutil.copy(FILES / f"{name}.h5", path)
    with h5py.File(path, "r+") as file:
        model = json.loads(file.attrs["model_config"])
        edit(model)
        file.attrs["model_config"] = json.dumps(model)
    return path


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files in this process, which is fast."""
    monkeypatch.setattr("rgbench.networks.keras.file.read_contents", read_here)


def _layer(model: Any, kind: str) -> Any:
    return next(layer for layer in model["config"]["layers"] if layer["class_name"] == kind)


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        (
            "Dropout",
            {"class_name": "Lambda"},
            r"\(Lambda\) has no counterpart here; layers that are read: Activation",
        ),
        (
            "Conv2D",
            {"config": {"dilation_rate": [2, 2]}},
            r"'dilation_rate' is \[2, 2\]; \[1, 1\] or 1 is legal",
        ),
        (
            "Conv2D",
            {"config": {"data_format": "channels_first"}},
            "'data_format' is 'channels_first'; 'channels_last'",
        ),
        (
            "Conv2D",
            {"config": {"activation": "tanh"}},
            "option 'activation' is 'tanh'; legal are linear, relu",
        ),
        ("BatchNormalization", {"config": {"epsilon": 1e-5}}, "option 'epsilon' is 1e-05; 0.001 is legal"),
        ("Concatenate", {"config": {"axis": 0}}, "option 'axis' is 0; 1, the axis of the channels, is legal"),
        ("Add", {"class_name": "Multiply"}, r"\(Multiply\) has no counterpart here"),
        (
            "Flatten",
            {"inbound_nodes": [[["nobody", 0, 0, {}]]]},
            "takes 'nobody', which does not stand before it",
        ),
        (
            "InputLayer",
            {"config": {"batch_input_shape": [None, None, None, 1]}},
            "the input's shape .* is not",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused(tmp_path: Path, kind: str, change: Any, reason: str) -> None:
    def edit(model: Any) -> None:
        layer = _layer(model, kind)
        for key, value in change.items():
            if key == "config":
                layer["config"].update(value)
            else:
                layer[key] = value

    with pytest.raises(DataError, match=reason):
        read_keras_file(_edited(tmp_path, edit))


def test_a_graph_that_is_no_set_of_branches_is_refused(tmp_path: Path) -> None:
    """One branch of the concatenation is used twice."""

    def edit(model: Any) -> None:
        _layer(model, "Concatenate")["inbound_nodes"][0].append(
            [_layer(model, "Flatten")["config"]["name"], 0, 0, {}]
        )

    with pytest.raises(DataError, match="not made of branches that start and meet together"):
        read_keras_file(_edited(tmp_path, edit))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(b"no HDF5")
    with pytest.raises(DataError, match=r"model.h5: is no Keras model file"):
        read_keras_file(path)
    with h5py.File(path, "w") as file:
        file.create_group("model_weights")
    with pytest.raises(DataError, match="holds weights but no architecture"):
        read_keras_file(path)
    with h5py.File(path, "w") as file:
        file.create_group("model_weights")
        file.attrs["model_config"] = '{"class_name": "Functional", "config": {}}'
    with pytest.raises(DataError, match="its architecture is not that of a Keras model"):
        read_keras_file(path)


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "mcrgnet.h5"
    shutil.copy(FILES / "mcrgnet.h5", path)
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]["dense"]
        name = group.attrs["weight_names"][0]
        name = name.decode() if isinstance(name, bytes) else name
        del group[name]
        group[name] = h5py.ExternalLink(str(FILES / "mcrgnet.h5"), f"model_weights/dense/{name}")
    with pytest.raises(DataError, match=r"mcrgnet.h5: 'dense/kernel:0' is a link to elsewhere"):
        read_keras_file(path)
