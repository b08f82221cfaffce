"""Damaged and odd model files are refused in bounded time and memory, by their name."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rgbench.errors import DataError
from rgbench.networks.keras import contents
from rgbench.networks.keras.contents import read_contents, read_here
from rgbench.networks.keras.file import read_keras_file

FILES = Path(__file__).parent / "keras"


def _with_bytes(tmp_path: Path, changes: dict[int, int], length: int | None = None) -> Path:
    """Copy a model file with single bytes changed, or its end cut off."""
    content = bytearray((FILES / "normalised.h5").read_bytes())
    for place, value in changes.items():
        content[place] = value
    path = tmp_path / "damaged.h5"
    path.write_bytes(content[:length])
    return path


def test_a_file_on_which_the_library_crashes_is_refused(tmp_path: Path) -> None:
    """HDF5 1.14 ends by a segmentation fault on this one."""
    with pytest.raises(DataError, match=r"damaged\.h5: is .*damaged"):
        read_keras_file(_with_bytes(tmp_path, {1009: 255}))


@pytest.mark.slow
def test_a_file_that_is_never_read_to_its_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 1.14 runs in a circle on this one."""
    monkeypatch.setattr(contents, "SECONDS", 2)
    with pytest.raises(DataError, match=r"damaged\.h5: is .*damaged"):
        read_keras_file(_with_bytes(tmp_path, {2057: 48}))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_files_with_wrong_bytes_are_read_or_refused(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    number = int(rng.choice([1, 2, 8, 64]))
    places, values = rng.integers(0, 12_000, number), rng.integers(0, 256, number)
    path = _with_bytes(tmp_path, dict(zip(places.tolist(), values.tolist(), strict=True)))
    message = f"{path}: "
    try:
        read_keras_file(path)
    except DataError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


@pytest.mark.parametrize("length", [0, 1, 8, 100, 2000, 40_000, 113_511])
def test_a_file_that_is_cut_off_is_refused(length: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no Keras model file"):
        read_here(_with_bytes(tmp_path, {}, length))


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    for path in (tmp_path / "pipe.h5", tmp_path, Path("/dev/zero"), tmp_path / "none.h5", Path("a\0b")):
        with pytest.raises(DataError, match="is no Keras model file"):
            read_keras_file(path)


def _edited(tmp_path: Path, edit: Callable[[Any, Any], None]) -> Path:
    """Copy a model file, with an edit of the file and of the group of its first dense layer."""
    path = tmp_path / "model.h5"
    shutil.copy(FILES / "mcrgnet.h5", path)
    with h5py.File(path, "r+") as file:
        edit(file, file["model_weights/dense"])
    return path


def _replace(name: str, **options: Any) -> Callable[[Any, Any], None]:
    def edit(file: Any, layer: Any) -> None:
        del layer["dense"][name]
        layer["dense"].create_dataset(name, **options)

    return edit


def _link(target: Any) -> Callable[[Any, Any], None]:
    def edit(file: Any, layer: Any) -> None:
        del layer["dense"]
        layer["dense"] = target

    return edit


def _circle(file: Any, layer: Any) -> None:
    del layer["dense"]
    layer["dense"] = file["model_weights"]


def _virtual(file: Any, layer: Any) -> None:
    layout = h5py.VirtualLayout((64,), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "data", (64,))
    del layer["dense"]["bias:0"]
    layer["dense"].create_virtual_dataset("bias:0", layout)


def _unknown(file: Any, layer: Any) -> None:
    file["model_weights"].attrs["layer_names"] = ["dense", "dense"]


def _long(file: Any, layer: Any) -> None:
    file.attrs["model_config"] = "x" * ((1 << 24) + 1)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_link(h5py.SoftLink("/model_weights/dense_1/dense_1")), "is a link to elsewhere"),
        (_link(h5py.ExternalLink("other.h5", "/a")), "is a link to elsewhere"),
        (_circle, "is missing in the group"),
        (_virtual, "are a link to elsewhere"),
        (
            _replace("bias:0", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(1 << 10, 1)),
            "does not hold as many",
        ),
        (_replace("bias:0", shape=(64,), dtype="f4", chunks=(64,)), "does not hold as many"),
        (_replace("bias:0", data=np.zeros(64), compression="gzip", dtype="f4"), "does not hold as many"),
        (_replace("bias:0", data=np.zeros(64)), "are float64; float32 is legal"),
        (_replace("bias:0", data=np.zeros(64, "i4")), "are int32; float32 is legal"),
        (_replace("bias:0", data=[b"a"] * 64), "float32 is legal"),
        (_replace("bias:0", data=np.full(64, np.nan, "f4")), "hold infinite numbers or NaN"),
        (_unknown, "layer_names lists 2 names; up to 2000, each once, are legal"),
        (_long, "up to 16,777,216 are legal"),
    ],
)
def test_odd_hdf5_files_are_refused(edit: Callable[[Any, Any], None], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_here(_edited(tmp_path, edit))


def _archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


WEIGHTS = "model.weights.h5"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "holds 0 members 'config.json'; 1 is legal"),
        ({"../config.json": b"{}"}, "holds 0 members 'config.json'"),
        ({"config.json": b"{}"}, "holds 0 members 'model.weights.h5'"),
        ({"config.json": b"{}", WEIGHTS: b"no HDF5"}, "is damaged"),
        ({"config.json": b"\xff", WEIGHTS: b""}, "is damaged"),
        ({"config.json": b" " * ((1 << 24) + 1)}, "'config.json' has 16,777,217 bytes; up to 16,777,216"),
        ({"config.json": b"{}", WEIGHTS: bytes(1 << 20)}, "'model.weights.h5' has 1,048,576 bytes; up to"),
    ],
)
def test_odd_archives_are_refused(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    if not members:
        members = {"notes.txt": b"nothing"}
    with pytest.raises(DataError, match=message):
        read_here(_archive(tmp_path / "model.keras", **members))


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = _archive(tmp_path / "model.keras", **{"config.json": b"{}"})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("config.json", b"[]")
    with pytest.raises(DataError, match="holds 2 members 'config.json'"):
        read_here(path)


@pytest.mark.parametrize("seed", range(30))
def test_archives_with_wrong_bytes_are_refused_or_read(seed: int, tmp_path: Path) -> None:
    """The checksums of the archive find what is wrong in its members."""
    with zipfile.ZipFile(FILES / "small_files.zip") as archive:
        content = bytearray(archive.read("keras_row.keras"))
    rng = np.random.default_rng(seed)
    ends = np.r_[0:200, len(content) - 400 : len(content)]
    for place in rng.choice(ends if seed % 2 else len(content), 3):
        content[place] = rng.integers(256)
    path = tmp_path / "model.keras"
    path.write_bytes(content[: None if seed % 3 else rng.integers(len(content))])
    try:
        found = read_here(path)
    except DataError:
        return
    assert json.loads(found.architecture)["class_name"] == "Sequential"


def test_what_is_read_apart_is_what_is_in_the_file() -> None:
    apart, here = (read(FILES / "normalised.h5") for read in (read_contents, read_here))
    assert (apart.architecture, apart.version, apart.backend) == (
        here.architecture,
        here.version,
        here.backend,
    )
    assert list(apart.weights) == list(here.weights)
    for layer, found in here.weights.items():
        for (name, array), (other, expected) in zip(apart.weights[layer], found, strict=True):
            assert name == other
            np.testing.assert_array_equal(array, expected)
