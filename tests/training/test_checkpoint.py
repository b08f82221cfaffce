"""Files of tensors: the same content is the same bytes, in every process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from rgbench.training.checkpoint import read_tensors, write_tensors

WRITE = """
import sys
from pathlib import Path
import torch
from rgbench.training.checkpoint import write_tensors
write_tensors(Path(sys.argv[1]), {"w": torch.arange(6.0).reshape(2, 3)}, {k: k for k in "zyxwvutsé"})
"""


@pytest.mark.slow
def test_the_same_tensors_are_the_same_bytes_in_every_process(tmp_path):
    """The library writes metadata in another order in every process: with nine keys never twice in the same."""
    for name in "ab":
        subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / name)], check=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_libraries_read_what_is_written(tmp_path):
    path, odd = (
        tmp_path / "a.safetensors",
        {"weiß.1": torch.arange(5, dtype=torch.int16), "b": torch.ones(1, 3)},
    )
    write_tensors(path, odd, {"state": '{"a": "\\u00e9 \\""}'})
    found = load_file(path)
    assert all(torch.equal(found[name], odd[name]) for name in odd)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata()["state"] == '{"a": "\\u00e9 \\""}'
    assert read_tensors(path)[1]["format_version"] == "1"


def test_tensors_begin_where_memory_is_aligned(tmp_path):
    for length in range(1, 10):
        path = Path(tmp_path / f"{length}")
        write_tensors(path, {"w": torch.ones(3)}, {"k": "x" * length})
        assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0
