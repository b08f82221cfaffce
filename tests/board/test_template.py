"""The template of a leaderboard's repository: its workflow does with its bundles what it says."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rgbench.tasks.catalogue import tasks

TEMPLATE = Path(__file__).parents[2] / "board-template"
WORKFLOW = (TEMPLATE / ".github" / "workflows" / "board.yml").read_text(encoding="utf8")


def script() -> str:
    """Give the shell script of the step that checks and builds."""
    (found,) = re.findall(r"        id: pages\n        run: \|\n((?:          .*\n)+)", WORKFLOW)
    return re.sub(r"^ {10}", "", found, flags=re.MULTILINE)


@pytest.fixture
def repository(tmp_path):
    """Copy the template, with a command rgbench that is this package."""
    shutil.copytree(TEMPLATE, tmp_path / "repository")
    command = tmp_path / "bin" / "rgbench"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rgbench "$@"\n')
    command.chmod(0o755)
    return tmp_path / "repository"


@pytest.fixture
def empty(repository):
    """Give the repository without the bundle that it comes with."""
    for bundle in repository.glob("bundles/*.zip"):
        bundle.unlink()
    return repository


def run(repository: Path) -> subprocess.CompletedProcess[str]:
    (task,) = re.findall(r"^  TASK: (.*)$", WORKFLOW, flags=re.MULTILINE)
    assert task in tasks()
    places = {
        "PATH": f"{repository.parent / 'bin'}:{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(repository / "told"),
    }
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script()],
        cwd=repository,
        env={**os.environ, **places, "TASK": task},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_it_gives_nothing_to_whoever_opens_a_pull_request():
    assert "pull_request_target" not in WORKFLOW
    assert "secrets." not in WORKFLOW
    assert re.search(r"^permissions:\n  contents: read$", WORKFLOW, flags=re.MULTILINE)
    build, publish = WORKFLOW.split("  publish:\n")
    assert "write" not in build.partition("jobs:")[2]
    assert "if: github.event_name == 'push'" in publish
    # Text of a pull request would be run as shell.
    assert re.findall(r"\$\{\{ github\.(?!event\.pull_request\.base\.sha)[\w.]+ \}\}", WORKFLOW) == []


def test_without_a_bundle_it_ends_well(empty):
    done = run(empty)
    assert done.returncode == 0, done.stderr
    assert not (empty / "site").exists()
    assert not (empty / "told").exists()


@pytest.mark.slow
def test_the_bundle_that_it_comes_with_gives_the_scores_of_the_docs(repository):
    done = run(repository)
    assert done.returncode == 0, done.stderr
    (table,) = (repository / "site").glob("task-*.csv")
    with table.open(encoding="utf8", newline="") as file:
        scores = {row["entry"]: round(float(row["MPCA %"]), 1) for row in csv.DictReader(file)}
    docs = Path(__file__).parents[2] / "docs" / "board.md"
    told = re.findall(
        r"^\| `([\w-]+)` \| \w+ \| (\d\d\.\d) ±", docs.read_text(encoding="utf8"), flags=re.MULTILINE
    )
    assert len(told) == 12
    assert {name: float(value) for name, value in told} == scores


@pytest.mark.slow
def test_sound_bundles_become_pages_and_others_end_it(empty, bundles):
    repository = empty
    shutil.copy(bundles[0], repository / "bundles" / "one.zip")
    done = run(repository)
    assert done.returncode == 0, done.stderr
    assert (repository / "site" / "index.html").is_file()
    assert (repository / "told").read_text() == "built=true\n"
    shutil.rmtree(repository / "site")
    (repository / "bundles" / "two.zip").write_bytes(bundles[1].read_bytes()[:-100])
    done = run(repository)
    assert done.returncode == 1
    assert "bundles/two.zip" in done.stderr
    assert not (repository / "site").exists()
