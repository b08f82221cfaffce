"""HDF5 files of images: what they hold, and that damaged ones cost one file and not the program."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from rgbench.data.own.files import examine, find_images
from rgbench.errors import DataError, SpecError
from rgbench.images import apart

STACK = np.random.default_rng(3).normal(size=(4, 20, 30)).astype(np.float32)


def stack(path: Path, **options) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=STACK, **options)
        file["names"] = [f"J{i}" for i in range(len(STACK))]
    return path


def alone(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        for i in (10, 9, 2):
            file[f"{i}/pixels"] = STACK[i % 4]
    return path


def test_a_stack_is_read_image_by_image(tmp_path):
    files = find_images([stack(tmp_path / "s.h5", compression="gzip")])
    assert [file.name for file in files] == ["J0", "J1", "J2", "J3"]
    for file, pixels in zip(files, STACK, strict=True):
        image, reason = examine(file)
        assert reason == ""
        np.testing.assert_array_equal(image.pixels, pixels)


def test_images_of_their_own_stand_in_the_order_of_their_numbers(tmp_path):
    files = find_images([alone(tmp_path / "a.h5")])
    assert [file.name for file in files] == ["2", "9", "10"]
    np.testing.assert_array_equal(examine(files[0])[0].pixels, STACK[2])


def test_what_cannot_be_told_apart_is_said_with_the_file(tmp_path):
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["a"], file["b"] = STACK, STACK
    with pytest.raises(
        DataError, match=r"^\S*two\.h5: holds 2 datasets of three axes and 0 of two; legal are"
    ):
        apart.list_hdf5(path)
    (file,) = find_images([path])
    assert examine(file)[1].startswith("holds 2 datasets")


def test_a_promise_of_many_pixels_is_refused_before_memory_is_taken(tmp_path, monkeypatch):
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", shape=(50_000, 50_000), dtype=np.float32, chunks=(1000, 1000))
    (file,) = find_images([path])
    assert "it promises 50000x50000 pixels; at most 400000000" in examine(file)[1]
    monkeypatch.setenv("RGBENCH_MAX_PIXELS", "many")
    with pytest.raises(SpecError, match="RGBENCH_MAX_PIXELS: 'many' was given"):
        apart.read_hdf5(path, "a", -1)


@pytest.mark.slow
def test_a_chunk_that_unpacks_to_much_costs_its_file_only(tmp_path):
    path = tmp_path / "chunk.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.zeros((20, 30), np.float32), chunks=(20, 30), maxshape=(None, None))
        bomb = file.create_dataset(
            "b/a",
            shape=(10, 10),
            dtype=np.int64,
            chunks=(9_000, 9_000),
            maxshape=(None, None),
            compression="gzip",
        )
        bomb[0, 0] = 1
    first, second = find_images([path])
    assert examine(first)[1] == "all pixels are equal"
    assert "cannot be read as HDF5" in examine(second)[1]
    assert examine(first)[1] == "all pixels are equal"


def read_mutated(path: Path, first: int, count: int) -> dict[str, int]:
    """Read stacks with changed bytes; count files that give images and files that are refused."""
    wholes = [make(path).read_bytes() for make in (stack, alone)]
    found = {"images": 0, "refused": 0}
    for seed in range(first, first + count):
        chance = np.random.default_rng(seed)
        content = bytearray(wholes[seed % 2])
        for _ in range(chance.integers(1, 8)):
            # What describes the datasets stands near the beginning and the end.
            content[int(chance.integers(len(content)) * chance.random() ** 2)] = int(chance.integers(256))
        if chance.random() < 0.1:
            content = content[: int(chance.integers(len(content)))]
        path.write_bytes(content)
        reasons = [examine(file)[1] for file in find_images([path])]
        found["images"] += all(reason == "" for reason in reasons)
        found["refused"] += any(reason != "" for reason in reasons)
        assert not any("\n" in reason or len(reason) > 500 for reason in reasons)
    return found


def test_damaged_files_give_images_or_a_reason(tmp_path):
    assert min(read_mutated(tmp_path / "m.h5", 0, 40).values()) >= 3


@pytest.mark.slow
def test_many_damaged_files_give_images_or_a_reason(tmp_path):
    assert min(read_mutated(tmp_path / "m.h5", 1000, 1000).values()) >= 100


def test_stacks_of_pixels_beyond_32_bits_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = np.full((2, 12, 12), 1e300)
    image, reason = examine(find_images([tmp_path])[0])
    assert image is None
    assert (
        reason
        == "cannot be read as HDF5: has pixels beyond the range of 32-bit floats, which ends at 3.4e+38"
    )


@pytest.mark.parametrize(
    ("sets", "reason"),
    [
        (
            {"images": STACK.transpose(1, 2, 0), "names": [b"a"] * 4},
            r"the dataset 'names' has 4 names, and the images have",
        ),
        ({"a": STACK[0] * 1j}, "has pixels of type complex64; numbers are needed"),
        ({"images": STACK, "names": np.zeros(4, [("x", int)])}, "the dataset 'names' of names has the type"),
    ],
)
def test_what_is_no_stack_of_numbers_is_refused(tmp_path, sets, reason):
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        for name, values in sets.items():
            file[name] = values
    (file,) = find_images([tmp_path / "odd.h5"])
    assert re.search(reason, examine(file)[1])


def test_names_that_are_odd_lose_no_image(tmp_path):
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        for i, name in enumerate(("b²", "²", "a1")):
            file[name] = STACK[i]
    assert len(find_images([tmp_path / "odd.h5"])) == 3
    with h5py.File(tmp_path / "latin.h5", "w") as file:
        file["images"], file["names"] = STACK, np.array([b"a", b"caf\xe9", b"c", b"d"])
    assert [file.name for file in find_images([tmp_path / "latin.h5"])] == ["a", "caf\\xe9", "c", "d"]
