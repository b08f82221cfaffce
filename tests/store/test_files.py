"""Folders are made and files written, or it is said why not."""

from __future__ import annotations

import pytest

from rgbench.errors import StoreError
from rgbench.store.files import make_folder, writing


def test_a_folder_is_made_with_those_above_it_once_and_again(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file/b: cannot be made: Not a directory"):
        make_folder(tmp_path / "file" / "b")


def test_only_errors_of_the_system_become_those_of_the_store(tmp_path):
    place = tmp_path / "no" / "x"
    with pytest.raises(StoreError, match="no/x: cannot be written: No such file"), writing(place):
        place.write_text("x")
    with pytest.raises(KeyError), writing(place):
        raise KeyError("x")
