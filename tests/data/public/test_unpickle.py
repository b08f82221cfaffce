"""The restricted unpickler: honest batches are read, hostile ones run nothing and say what they named."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rgbench
from rgbench.data.public.unpickle import GLOBALS, load_batch, read_batches
from rgbench.errors import DataError


def old_style(text: bytes) -> bytes:
    """Write NumPy 1's module name, as the published batches have it."""
    return text.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


class Calls:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_an_honest_batch_is_read_with_numpy_s_old_and_new_names():
    batch = {
        "batch_label": "training batch 1 of 9",
        "labels": [0, 1],
        "data": [np.arange(6, dtype=np.uint8).reshape(2, 3), np.asfortranarray(np.eye(3, dtype=">f4"))],
        "filenames": [np.str_("./MiraBest_data/é.png"), np.str_("b.png")],
        "scale": np.float64(0.25),
        "nothing": None,
    }
    for protocol in (3, 4):
        written = pickle.dumps(batch, protocol=protocol)
        assert b"numpy._core" in written or b"numpy.core" in written
        for text in (written, old_style(written)) if protocol == 3 else (written,):
            found = load_batch(text, "toy")
            assert list(found) == list(batch)
            for ours, theirs in zip(found["data"], batch["data"], strict=True):
                np.testing.assert_array_equal(ours, theirs)
                assert ours.dtype == theirs.dtype
            assert found["filenames"] == ["./MiraBest_data/é.png", "b.png"]
            assert (found["labels"], found["scale"], found["nothing"]) == ([0, 1], 0.25, None)
            assert found["batch_label"] == batch["batch_label"]


@given(
    hnp.arrays(
        dtype=hnp.integer_dtypes()
        | hnp.unsigned_integer_dtypes()
        | hnp.floating_dtypes()
        | hnp.boolean_dtypes(),
        shape=hnp.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=5),
    )
)
def test_any_plain_array_comes_back_as_it_was(array):
    found = load_batch(pickle.dumps({"a": array}, protocol=3), "toy")["a"]
    if not isinstance(found, np.ndarray):
        found = np.asarray(found)
    np.testing.assert_array_equal(found, array)
    assert found.shape == array.shape
    assert found.dtype == array.dtype


def test_exactly_the_four_globals_are_known():
    assert set(GLOBALS) == {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        *(
            (f"numpy.{core}.multiarray", name)
            for core in ("core", "_core")
            for name in ("_reconstruct", "scalar")
        ),
    }


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, f"{os.system.__module__}.system"),
        (eval, "builtins.eval"),
        (subprocess.Popen, "subprocess.Popen"),
        (np.load, "numpy.load"),
        (getattr, "builtins.getattr"),
        (np.frombuffer, "numpy.frombuffer"),
    ],
)
def test_a_hostile_global_is_refused_by_name_and_not_run(tmp_path, function, name, protocol):
    target = tmp_path / "run"
    command = {
        os.system: f"touch {target}",
        eval: f"open({str(target)!r}, 'w')",
        subprocess.Popen: ["touch", str(target)],
    }.get(function, str(target))
    hostile = pickle.dumps({"data": Calls(function, command)}, protocol=protocol, fix_imports=False)
    with pytest.raises(DataError) as caught:
        load_batch(hostile, "evil.tar.gz: data_batch_1")
    assert "evil.tar.gz: data_batch_1" in str(caught.value)
    if protocol >= 2:
        assert name in str(caught.value)
    assert not target.exists()


def test_the_hostile_pickle_is_really_hostile(tmp_path):
    target = tmp_path / "run"
    pickle.loads(pickle.dumps(Calls(os.system, f"touch {target}")))
    assert target.exists()


def test_dotted_names_do_not_reach_into_the_allowed_modules():
    for module, name in ((b"numpy", b"ndarray.tofile"), (b"numpy.core", b"multiarray.scalar")):
        hostile = (
            b"\x80\x04\x8c" + bytes([len(module)]) + module + b"\x8c" + bytes([len(name)]) + name + b"\x93."
        )
        with pytest.raises(DataError, match=f"names {module.decode()}.{name.decode()}, which is refused"):
            load_batch(hostile, "toy")


def call(what: bytes, arguments: bytes) -> bytes:
    """Give a pickle {"a": what(*arguments)}; both are written as operations."""
    return b"\x80\x03}X\x01\x00\x00\x00a" + b"c" + what + b"\n" + arguments + b"Rs."


def number(code: bytes) -> bytes:
    """Give a pickle of a number of an element type, of one byte."""
    kind = b"cnumpy\ndtype\nX" + len(code).to_bytes(4, "little") + code + b"\x85R"
    return call(b"numpy.core.multiarray\nscalar", kind + b"C\x01x\x86")


HUGE = b"J\xff\xff\xff\x7f"
BYTE = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1K\x00K\x01\x87R"
ARRAY = b"numpy.core.multiarray\n_reconstruct"
EMPTY = b"cnumpy\nndarray\nK\x00\x85C\x01b\x87"


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (call(b"numpy\nndarray", HUGE + HUGE + b"\x86\x85"), "calls numpy's ndarray"),
        (call(b"numpy\nndarray", b"K\x01\x85" + BYTE + b"\x86"), "calls numpy's ndarray"),
        (call(ARRAY, b"cnumpy\ndtype\nK\x00\x85C\x01b\x87"), "builds an array by"),
        (call(ARRAY, b"K\x01\x85"), "builds an array by what is of type int"),
        (
            call(ARRAY, EMPTY)[:-2] + b"(K\x01" + HUGE + HUGE + b"\x86" + BYTE + b"\x89C\x01xtbs.",
            "declares 4611686014132420609 elements of 1 bytes, but has 1 bytes",
        ),
        (
            call(ARRAY, EMPTY)[:-2] + b"(K\x01J\xff\xff\xff\xff\x85" + BYTE + b"\x89C\x01xtbs.",
            "which is not legal",
        ),
        (call(ARRAY, EMPTY)[:-2] + b"(K\x01K\x01\x85" + BYTE + b"\x89]tbs.", "expected bytes"),
        (call(ARRAY, EMPTY)[:-2] + b"K\x01bs.", "an array without shape"),
        (call(ARRAY, EMPTY), "an array without shape"),
        (number(b"O"), "elements of type 'O'"),
        (number(b"V9999999999"), "elements of type 'V9999999999'"),
        (number(b"U9999999999"), "elements of type 'U9999999999'"),
        (number(b"u1,O,O"), "elements of type 'u1,O,O'"),
        (call(b"numpy\ndtype", b"X\x02\x00\x00\x00u1\x85"), "'a': is numpy's dtype; numbers, texts, arrays"),
        (call(b"numpy.core.multiarray\nscalar", BYTE + b"C\x02xx\x86"), "declares 1 elements"),
        (call(b"numpy.core.multiarray\nscalar", b"K\x01C\x02xx\x86"), "number without element type"),
    ],
    ids=range(16),
)
def test_numpy_s_own_names_with_odd_arguments_are_refused_and_take_no_memory(hostile, message):
    tracemalloc.start()
    with pytest.raises(DataError, match=message) as caught:
        load_batch(hostile, "evil")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "evil" in str(caught.value)
    assert peak < 1 << 22


@pytest.mark.parametrize("code", [0x110000, 0xFFFFFFFF, 0xD800])
@pytest.mark.parametrize("order", "<>")
def test_texts_of_characters_that_do_not_exist_are_refused(code, order):
    good = pickle.dumps(
        {"a": np.array("x", dtype=f"{order}U1")[()], "b": np.array(["x"], f"{order}U1")}, protocol=3
    )
    raw = "x".encode(f"utf-32-{'le' if order == '<' else 'be'}")
    bad = code.to_bytes(4, "little" if order == "<" else "big")
    assert load_batch(good, "toy")["a"] == "x"
    assert raw in good
    with pytest.raises(DataError, match="toy: is not a pickled batch: 'utf-32-le' codec can't decode"):
        load_batch(good.replace(raw, bad), "toy")


def test_a_file_cannot_change_the_stand_ins():
    for state in (b"}X\x05\x00\x00\x00_nameX\x06\x00\x00\x00systems", b"N}X\x05\x00\x00\x00_nameK\x01s\x86"):
        with pytest.raises(DataError, match="changes numpy's dtype, which is refused"):
            load_batch(b"\x80\x03cnumpy\ndtype\n" + state + b"b.", "evil")
    assert load_batch(call(b"numpy.core.multiarray\nscalar", BYTE + b"C\x01\x07\x86"), "toy") == {"a": 7}


def test_a_name_with_control_characters_is_told_on_one_line():
    with pytest.raises(DataError, match=r"the pickle names num\\x07py\.ndarray, which is refused") as told:
        load_batch(b"\x80\x03cnum\x07py\nndarray\n.", "evil")
    assert str(told.value).isprintable()


def test_a_persistent_id_is_refused():
    for hostile, name in ((b"\x80\x03K\x01Q.", "BINPERSID"), (b"Pmine\n.", "PERSID")):
        with pytest.raises(DataError, match=f"evil: the pickle operation {name} at byte"):
            load_batch(hostile, "evil")


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (b"\x80\x03Nr\xff\xff\xff\x7f.", "declares memo 2147483647"),
        (b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".", "not a pickled batch"),
        (b"\x80\x05\x96" + struct.pack("<Q", 1) + b"x.", "operation BYTEARRAY8"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".", "not a pickled batch"),
        (b"\x80\x02\x82\x01.", "operation EXT1"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "operation NEWOBJ"),
        (b"(ios\nsystem\n.", "operation INST"),
        (b"\x80\x03\x8f.", "operation EMPTY_SET"),
    ],
)
def test_operations_that_plain_data_does_not_need_are_refused(hostile, message):
    tracemalloc.start()
    with pytest.raises(DataError, match=message):
        load_batch(hostile, "evil")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 22


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not a pickled batch"),
        (b"not a pickle", "not a pickled batch|is refused"),
        (pickle.dumps([1], protocol=3), "expected a dictionary"),
        (pickle.dumps({1: 2}, protocol=3), "a key is of type int"),
        (pickle.dumps({"a": {"b": 1}}, protocol=3), "'a': is of type dict"),
        (pickle.dumps({"a": [[1]]}, protocol=3), "'a', item 0: is of type list"),
        (pickle.dumps({"a": [b"x"]}, protocol=3), "'a', item 0: is of type bytes"),
        (pickle.dumps({"a": 1}, protocol=3)[:-3], "not a pickled batch"),
        (b"\x80\x03h\x05.", "not a pickled batch"),
        (b"\x80\x03}]]s.", "not a pickled batch"),
        (b"\x80\x03NR.", "not a pickled batch"),
        (b"\x80\x03\x85.", "not a pickled batch"),
    ],
)
def test_what_is_no_batch_is_an_error_with_its_source(text, message):
    with pytest.raises(DataError, match=message) as caught:
        load_batch(text, "file X")
    assert str(caught.value).startswith("file X")


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_data_errors(text):
    with contextlib.suppress(DataError):
        assert isinstance(load_batch(b"\x80\x03" + text, "noise"), dict)


GOOD = pickle.dumps(
    {"labels": [0, 1, 2], "data": [np.zeros((2, 2), np.uint8)] * 2, "filenames": [np.str_("a")]}, protocol=3
)


def test_a_warning_of_python_s_own_reader_does_not_escape():
    with pytest.raises(DataError, match=r"names numpy\._cor"):
        load_batch(
            GOOD.replace(b"numpy._core.multiarray\nscalar", b"numpy._cor\\.multiarray\nscalar"), "broken"
        )


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_batch_with_one_wrong_byte_raises_nothing_but_data_errors(place, value):
    broken = GOOD[:place] + bytes([value]) + GOOD[place + 1 :]
    with contextlib.suppress(DataError):
        assert isinstance(load_batch(broken, "broken"), dict)


def test_the_published_globals_are_found_by_an_independent_reader():
    found = {argument for op, argument, _ in pickletools.genops(old_style(GOOD)) if op.name == "GLOBAL"}
    assert {tuple(name.split()) for name in found} <= set(GLOBALS)
    assert len(found) == 4


def test_reading_loads_no_deprecated_module_of_numpy(tmp_path):
    (tmp_path / "batch").write_bytes(old_style(GOOD))
    code = (
        "import sys, pathlib; from rgbench.data.public.unpickle import load_batch; "
        f"load_batch(pathlib.Path({str(tmp_path / 'batch')!r}).read_bytes(), 'toy'); "
        "sys.exit('numpy.core.multiarray' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(rgbench.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, env=environment)
    assert done.returncode == 0


def make_archive(path, batches: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in batches.items():
            member = tarfile.TarInfo(f"batches/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def batch_of(values, labels=None, **columns) -> bytes:
    batch = {
        "batch_label": "b",
        "labels": [0] * len(values) if labels is None else labels,
        "data": [np.full((2, 3), value, np.uint8) for value in values],
        "filenames": [np.str_(f"./here/{value}.png") for value in values],
    }
    return pickle.dumps(batch | columns, protocol=3)


META = pickle.dumps({"label_names": ["FRI", "FRII"]}, protocol=3)


def test_batches_are_joined_in_the_order_of_their_numbers_the_test_batch_last(tmp_path):
    files = {
        "test_batch": batch_of([9], [1]),
        "data_batch_10": batch_of([3]),
        "hash.md5": b"no pickle",
        "data_batch_2": batch_of([1, 2], data=[np.full(6, value, np.uint8) for value in (1, 2)]),
        "batches.meta": META,
    }
    found = read_batches(make_archive(tmp_path / "b.tar.gz", files), (2, 3))
    assert found.images[:, 0, 0].tolist() == [1, 2, 3, 9]
    assert found.images.shape == (4, 2, 3)
    assert found.batch == ["data_batch_2", "data_batch_2", "data_batch_10", "test_batch"]
    assert found.place == [0, 1, 0, 0]
    assert found.file_name == ["1.png", "2.png", "3.png", "9.png"]
    assert found.label_name == ["FRI", "FRI", "FRI", "FRII"]
    assert found.split.tolist() == ["train", "train", "train", "test"]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (batch_of([1, 2], [0]), "different lengths"),
        (batch_of([]), "different lengths"),
        (batch_of([1], [2]), "label 2; legal are 0 to 1"),
        (batch_of([1], [-1]), "label -1"),
        (batch_of([1], [0.0]), "label 0.0"),
        (batch_of([1], data=[np.zeros((3, 3), np.uint8)]), "item 0: is not an image of 2 x 3 bytes"),
        (batch_of([1], data=[np.zeros((2, 3), np.float32)]), "item 0: is not an image"),
        (batch_of([1], data=["x"]), "item 0: is not an image"),
    ],
)
def test_a_batch_that_does_not_hold_what_it_should_is_named(tmp_path, batch, message):
    path = make_archive(tmp_path / "b.tar.gz", {"batches.meta": META, "data_batch_1": batch})
    with pytest.raises(DataError, match=message) as caught:
        read_batches(path, (2, 3))
    assert "b.tar.gz: data_batch_1" in str(caught.value)


def test_an_archive_without_batches_is_an_error(tmp_path):
    with pytest.raises(DataError, match="holds no batches"):
        read_batches(make_archive(tmp_path / "b.tar.gz", {"batches.meta": META}), (2, 3))
    with pytest.raises(DataError, match="no batches.meta"):
        read_batches(make_archive(tmp_path / "c.tar.gz", {"data_batch_1": batch_of([1])}), (2, 3))
