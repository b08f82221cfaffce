"""TOML files of users: whatever stands in them, a message of one line names the file and the key."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.errors import SpecError
from rgbench.runs.study import find_study
from rgbench.spec import MOST_EPOCHS, Study, read_study
from rgbench.toml import read_toml

STUDY = 'networks = ["mcrgnet"]\n'


def _written(folder: Path, text: str | bytes) -> Path:
    path = folder / "study.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def _refused(path: Path, message: str) -> None:
    began = time.perf_counter()
    with pytest.raises(SpecError, match=message) as caught:
        find_study(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 100_000, "is not TOML: its lists or tables are nested too deeply"),
        ("a = " + "{b = " * 50_000, "is not TOML: its lists or tables are nested too deeply"),
        ("a = " + "9" * 5000, "is not TOML: Exceeds the limit"),
        (
            "seeds = [0x" + "f" * 5000 + "]",
            "key 'seeds' is int, too large to write; whole numbers of 64 bits",
        ),
        ("seeds = [9223372036854775808]", "key 'seeds' is 9223372036854775808; whole numbers of 64 bits"),
        ('[data]\npath = "a\\u0000b"', r"key 'data.path' is 'a\\x00b'; a text without the character NUL"),
        ('"a\\u0000b" = 1', "a text without the character NUL"),
        ("a = 2026-13-99", "is not TOML"),
        (b"a = '\xff'", "is not TOML: 'utf-8'"),
        (b"# " + b"x" * (4 << 20), "has more than 4,194,304 bytes"),
        (b"\x00", "is not TOML"),
    ],
)
def test_what_is_no_toml_is_refused(text: str | bytes, message: str, tmp_path: Path) -> None:
    _refused(_written(tmp_path, text), message)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "zero", "none"):
        _refused(tmp_path / f"{name}.toml", "cannot be read: ")
    with pytest.raises(SpecError, match="no study"):
        find_study("a\0b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[recipe]\nepochs = 1000000000000000000", r"key 'epochs': .* equal to 100000, found 10"),
        ("[recipe]\npretraining_epochs = 1000000000", r"key 'pretraining_epochs': .* equal to 100000"),
        ("[recipe]\nbatch_size = 1000000000000", r"key 'batch_size': .* equal to 100000"),
        ("[recipe]\nlearning_rate = inf", r"key 'learning_rate': input should be a finite number, found inf"),
        ("[recipe]\nlearning_rate = nan", r"key 'learning_rate': .* finite number"),
        ("[recipe]\nlearning_rate = 2026-01-01", r"key 'learning_rate': .*found datetime.date"),
        ("[recipe]\nlabels = 1979-05-27T07:32:00Z", r"key 'labels'"),
        ("[images]\nfield = 12:00:00", r"\[images\]: key 'field'"),
        ("[augmentation]\nstep = 0", r"\[augmentation\]: key 'step'"),
        ("[recipe]\nepochs = [[[[[1]]]]]", r"key 'epochs'"),
        ('[recipe]\nlabels = "' + "x" * 100_000 + '"', r"key 'labels': .*found 'xxx"),
        (
            "seeds = " + str(list(range(20_000))),
            "key 'seeds': must have 1 to 1,000 entries, found 20,000",
        ),
        ("splits = " + str([f"fold-{i}" for i in range(2000)]), "key 'splits': must have 1 to 1,000 entries"),
        ("train_limits = " + str(list(range(1, 2000))), "key 'train_limits': must have 1 to 1,000 entries"),
        ('splits = ["fold-' + "9" * 5000 + '"]', "must be 'published' or 'becker2021'"),
        (
            f"seeds = {list(range(500))}\ntrain_limits = {list(range(1, 501))}",
            "the study has 250,000 runs, .* 1 to 10,000 are legal",
        ),
        (
            "[data]\ncutout = 300.0\ncutout_scale = 1e-300",
            r"cutout_scale is 1e-300; .* 0.03 or more is legal",
        ),
        (
            '[layers]\nown = "BN ×1000000000; Flat; FC4 softmax"',
            "'own': layer 1 .*cannot be repeated 1000000000",
        ),
        ("schedule = 3", "key 'schedule'"),
        (
            '[[schedule]]\nnetwork = "mcrgnet"\nlearning_rate = 0.1\nepochs = 10000000',
            r"key 'schedule.0.epochs': .* equal to 100000",
        ),
    ],
)
def test_studies_that_never_end_are_refused_with_the_legal_values(
    text: str, message: str, tmp_path: Path
) -> None:
    _refused(_written(tmp_path, STUDY + text), message)


def test_a_network_that_is_not_known_names_the_file(tmp_path: Path) -> None:
    _refused(_written(tmp_path, 'networks = ["mcrgnot"]'), "did you mean mcrgnet")


def test_limits_are_legal_themselves(tmp_path: Path) -> None:
    text = f"{STUDY}seeds = {list(range(1000))}\n[recipe]\nepochs = {MOST_EPOCHS}\nbatch_size = 100000"
    assert len(find_study(str(_written(tmp_path, text))).seeds) == 1000


WORDS = ("networks", "seeds", "recipe", "data", "mcrgnet", "inf", "nan", "1e999", "1979-05-27", "true")
PIECES = st.sampled_from([*"[]{}=\"'#\n\\,. 0x_-e\0", *WORDS])


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=20).map("".join))
def test_any_text_is_a_table_or_a_message(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = _written(tmp_path_factory.getbasetemp(), text)
    message = ""
    try:
        assert isinstance(read_toml(path), dict)
    except SpecError as error:
        message = str(error)
    assert message == "" or (message.startswith(f"{path}: ") and "\n" not in message)


KEYS = st.sampled_from([*Study.model_fields, "epochs", "x"])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


VALUES = st.recursive(
    st.sampled_from(["0", "-1", "9223372036854775807", "1e308", "inf", "nan", "true", "1979-05-27"])
    | st.text("ab\n\"'\\ é/", max_size=4).map(_quoted),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]")
        | st.dictionaries(KEYS, inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        )
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_keys_of_any_value_make_a_study_or_a_message(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]
) -> None:
    content = {"networks": '["mcrgnet"]', **content}
    # Code is never run here.
    content.pop("extensions", None)
    path = _written(
        tmp_path_factory.getbasetemp(), "\n".join(f"{key} = {value}" for key, value in content.items())
    )
    message = ""
    try:
        assert isinstance(read_study(path), Study)
    except SpecError as error:
        message = str(error)
    assert message == "" or (message.startswith(f"{path}: ") and "\n" not in message)
