"""MNIST: the IDX files, and the split of the 2021 testbed."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rgbench.data.catalogue import Flag
from rgbench.data.sets import load_data, mnist
from rgbench.data.split import published_split
from rgbench.errors import ChecksumError, DataError

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


def write(folder, content: bytes):
    path = folder / "a-idx-ubyte.gz"
    path.write_bytes(gzip.compress(content))
    return path


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)))
def test_what_is_written_is_read(folder, array):
    found = mnist.read_idx(write(folder, idx(array)))
    np.testing.assert_array_equal(found, array)
    assert found.shape == array.shape
    assert found.dtype == np.uint8


@given(st.binary(max_size=40), st.booleans())
def test_other_files_raise_nothing_but_data_errors(folder, content, start):
    path = write(folder, (b"\0\0\x08" if start else b"") + content)
    with contextlib.suppress(DataError):
        found = mnist.read_idx(path)
        assert idx(found) == (b"\0\0\x08" if start else b"") + content


SMALL = idx(np.arange(12, dtype=np.uint8).reshape(3, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SMALL[:-1], "declares 12 elements, but has 11"),
        (SMALL + b"x", "declares 12 elements, but has 13"),
        (SMALL[:9], "ends within its header of 12 bytes"),
        (b"", "starts with ''"),
        (idx(np.zeros((2, 2), np.uint8), kind=13), "starts with '00000d02'"),
        (b"\0\0\x08\0", "starts with '00000800'"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "declares 79228162458924105385300197375 elements, but has 0"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        mnist.read_idx(write(tmp_path, content))


def test_files_that_are_no_gzip_or_too_large_are_refused(tmp_path):
    path = tmp_path / "a.gz"
    for content in (b"plain", gzip.compress(SMALL)[:-6], b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.gz"):
            mnist.read_idx(path)
    with pytest.raises(DataError, match=r"nowhere\.gz"):
        mnist.read_idx(tmp_path / "nowhere.gz")
    with pytest.raises(DataError, match="unpacks to more than 67108864 bytes"):
        mnist.read_idx(write(tmp_path, bytes((1 << 26) + 1)))


def make(train: int = 3010, test: int = 20):
    rng = np.random.default_rng(0)
    arrays = (
        rng.integers(0, 256, (train, 28, 28), np.uint8),
        rng.integers(0, 10, train).astype(np.uint8),
        rng.integers(0, 256, (test, 28, 28), np.uint8),
        rng.integers(0, 10, test).astype(np.uint8),
    )
    return dict(zip(mnist.FILES, arrays, strict=True))


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Give a writer of made-up files in a temporary mirror, with the checksums to match."""
    monkeypatch.setenv("RGBENCH_MIRROR", str(tmp_path))
    (tmp_path / "mnist").mkdir()

    def write_all(arrays):
        for name, array in arrays.items():
            content = gzip.compress(idx(array))
            (tmp_path / "mnist" / name).write_bytes(content)
            file = replace(mnist.FILES[name], sha256=hashlib.sha256(content).hexdigest())
            monkeypatch.setitem(mnist.FILES, name, file)
        return arrays

    return write_all


def test_the_first_3000_training_images_are_the_validation_set(mirror):
    arrays = make()
    arrays["train-images-idx3-ubyte.gz"][5] = 7
    mirror(arrays)
    dataset = load_data("mnist")
    assert dataset.images.shape == (3030, 28, 28)
    assert dataset.images.dtype == np.uint8
    sides = dataset.splits["published"]
    assert Counter(sides) == {"train": 10, "validation": 3000, "test": 20}
    assert (sides[:3000] == "validation").all()
    np.testing.assert_array_equal(dataset.images[sides == "test"], arrays["t10k-images-idx3-ubyte.gz"])
    np.testing.assert_array_equal(dataset.images[:3010], arrays["train-images-idx3-ubyte.gz"])
    np.testing.assert_array_equal(dataset.catalogue.label[3010:], arrays["t10k-labels-idx1-ubyte.gz"])
    assert dataset.classes == tuple("0123456789")
    assert len(set(dataset.catalogue.group)) == 3030
    assert dataset.catalogue.source_id[[0, 3010]].tolist() == ["train-00000", "test-00000"]
    assert np.flatnonzero(dataset.catalogue.flags == Flag.UNUSABLE).tolist() == [5]
    split = published_split(dataset)
    assert [len(split.indices(s)) for s in ("train", "validation", "test")] == [10, 2999, 20]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("train-images-idx3-ubyte.gz", np.zeros((3010, 27, 28), np.uint8)),
        ("train-labels-idx1-ubyte.gz", np.zeros(3009, np.uint8)),
        ("t10k-labels-idx1-ubyte.gz", np.full(20, 10, np.uint8)),
        ("t10k-images-idx3-ubyte.gz", np.zeros((20, 784), np.uint8)),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(mirror, name, array):
    mirror(make() | {name: array})
    with pytest.raises(DataError, match=r"mnist: found images of shape .* are needed"):
        load_data("mnist")


def test_a_wrong_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RGBENCH_MIRROR", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(SMALL))
    with pytest.raises(ChecksumError, match="expected 440fcabf73cc546f"):
        load_data("mnist")


@pytest.mark.skipif(
    MIRROR is None or not all((MIRROR / file.mirror_path).exists() for file in mnist.FILES.values()),
    reason="needs the four files of MNIST in $RGBENCH_MIRROR",
)
def test_the_published_files_have_the_published_numbers():
    dataset = load_data("mnist")
    assert Counter(dataset.splits["published"]) == {"train": 57000, "validation": 3000, "test": 10000}
