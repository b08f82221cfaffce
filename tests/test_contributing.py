"""The guide's three examples, done as it says in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^( *)```(?:toml|python)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
HEAD = re.compile(r"# (src/[\w/.]+), (at the end|a new file|beside the lines of mnist)\n")
pytestmark = pytest.mark.slow


def blocks() -> list[tuple[str, str, str]]:
    """Give file, place and text of each block of the guide."""
    found = []
    for _, block in BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")):
        text = textwrap.dedent(block)
        head = HEAD.match(text)
        assert head, f"a block begins with its file and place: {text[:60]}"
        found.append((head[1], head[2], text[head.end() :]))
    return found


def apply(folder: Path, file: str, place: str, text: str) -> None:
    """Do what a block says."""
    path = folder / file
    if place == "a new file":
        assert not path.exists()
        path.write_text(text, encoding="utf8")
    elif place == "at the end":
        path.write_text(f"{path.read_text(encoding='utf8')}\n\n{text}", encoding="utf8")
    else:
        imported, entry = filter(None, text.splitlines())
        name = imported.rpartition(" ")[2]
        own = path.read_text(encoding="utf8")
        own = own.replace("    mnist,\n", f"    mnist,\n    {name},\n")
        own = re.sub(r"^( +)(Entry\(mnist\.CARD.*)$", rf"\1\2\n\1{entry},", own, flags=re.MULTILINE)
        assert own.count(name) == 3
        path.write_text(own, encoding="utf8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(ROOT / "src", folder / "src", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for block in blocks():
        apply(folder, *block)
    return folder


def call(copy: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rgbench(copy: Path, *words: str) -> str:
    return call(copy, "-m", "rgbench", *words)


def test_the_guide_has_one_example_of_each():
    assert len(blocks()) == 4
    assert {file.split("/")[2] for file, *_ in blocks()} == {"networks", "data", "measures"}


def test_the_network_is_listed_and_described(copy):
    assert "Two scales" in rgbench(copy, "networks")
    said = rgbench(copy, "networks", "show", "two-scales")
    assert "Nobody 2030, in preparation; arXiv:2101.00001" in said
    assert "C7x7-16 s2 same relu" in said


def test_the_data_set_is_shown_and_has_no_fault(copy):
    said = rgbench(copy, "data", "show", "rings")
    assert "120 sources, 64 x 64 pixels" in said
    assert "no sky group is divided" in rgbench(copy, "data", "check", "rings")
    assert (copy / "rings-sheet.svg").exists()


def test_the_metric_is_the_geometric_mean_of_recalls(copy):
    code = """
import numpy as np
from scipy.stats import gmean
from rgbench.measures.catalogue import metrics
y = np.array([0, 0, 0, 0, 1, 1, 2])
said = np.array([0, 0, 0, 1, 1, 0, 2])
card = metrics().get("g_mean")
print(abs(card.value(y, np.eye(4)[said]) - gmean([3 / 4, 1 / 2, 1])) < 1e-12, card.value(y, np.eye(3)[0 * said]))
"""
    assert call(copy, "-c", code).split() == ["True", "0.0"]


def test_all_three_go_together(copy):
    (copy / "study.toml").write_text(
        'name = "guide"\nnetworks = ["two-scales"]\nseeds = [1]\nprotocol = "modern"\n'
        '[data]\nname = "rings"\n[images]\nfield = 64\nsize = 64\n[recipe]\nepochs = 1\n'
    )
    rgbench(copy, "run", "study.toml", "--store", "store")
    assert "G-mean" in rgbench(copy, "report", "--store", "store", "--metric", "g_mean")


def test_the_examples_are_formatted_and_typed_as_all_code_is(copy):
    files = [file for file, *_ in blocks() if file.endswith(".py") and not file.endswith("__init__.py")]
    for command in (["check", "--quiet"], ["format", "--check"]):
        call(copy, "-m", "ruff", *command, *files)
