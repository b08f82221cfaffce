"""The version is that of the code that runs: in a clone, a further working tree, and installed."""

from __future__ import annotations

import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import rgbench
from rgbench.cli.app import main
from rgbench.cli.work.about import facts, requirements
from rgbench.version import clone, commit, version

ROOT = Path(__file__).parents[1]


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return folder


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_stands_in_one_place_and_is_said_everywhere():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert version() == rgbench.__version__ == project()["version"] == cited
    assert "__version__" in dir(rgbench)


def test_a_clone_is_told_from_an_installed_package(tmp_path):
    assert clone() == ROOT
    installed = tmp_path / "lib" / "python3.11" / "site-packages" / "rgbench"
    installed.mkdir(parents=True)
    assert clone(installed) is None
    other = tmp_path / "src" / "rgbench"
    other.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "7"\n')
    assert clone(other) is None


def test_an_installed_package_gives_the_version_of_its_metadata(monkeypatch):
    monkeypatch.setattr("rgbench.version.clone", lambda: None)
    version.cache_clear()
    try:
        assert version() == metadata.version("rgbench")
    finally:
        version.cache_clear()


def test_the_commit_of_a_branch_a_packed_one_a_detached_one_and_a_working_tree(repository, tmp_path):
    head = git(repository, "rev-parse", "HEAD")
    assert commit(repository) == head
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "tree"))
    git(tmp_path / "tree", "commit", "-q", "--allow-empty", "-m", "two")
    assert commit(tmp_path / "tree") == git(tmp_path / "tree", "rev-parse", "HEAD") != head
    git(repository, "pack-refs", "--all")
    assert commit(repository) == head
    assert commit(tmp_path / "tree") == git(tmp_path / "tree", "rev-parse", "HEAD")
    git(repository, "checkout", "-q", "--detach")
    assert commit(repository) == head


@pytest.mark.parametrize("head", ["", "ref: refs/heads/none\n", "nonsense\n"])
def test_a_folder_that_tells_no_commit_has_none(tmp_path, head):
    assert commit(tmp_path) == ""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(head)
    assert commit(tmp_path) == ""


def test_version_says_which_clone(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    at = commit(ROOT)[:10]
    assert capsys.readouterr().out == f"rgbench {version()}{f' (clone at {at})' if at else ''}\n"


def test_about_names_each_package_that_is_declared(monkeypatch, capsys):
    monkeypatch.setenv("RGBENCH_STORE", "/somewhere")
    with pytest.raises(SystemExit):
        main(["about"])
    said = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert said["rgbench"].startswith(version())
    assert "RGBENCH_STORE=/somewhere" in said["environment"]
    needed, optional = requirements()
    assert {line.split(">=")[0] for line in project()["dependencies"]} == set(needed)
    for name in needed:
        assert f"{name} {metadata.version(name)}" in said["packages"]
    assert "timm" in said["optional packages"]
    assert not {"pytest", "ruff"} & set(optional)


def test_about_says_what_is_wrong_with_the_mirror(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("RGBENCH_MIRROR", str(tmp_path / "none"))
    with pytest.raises(SystemExit):
        main(["about"])
    assert "is no folder" in capsys.readouterr().out


def test_the_facts_for_a_report_of_a_bug_tell_no_secret(monkeypatch):
    monkeypatch.setenv("RGBENCH_SECRET", "hunter2")
    monkeypatch.setenv("RGBENCH_OFFLINE", "1")
    said = dict(facts())["environment"]
    assert "RGBENCH_OFFLINE=1" in said
    assert "RGBENCH_SECRET (not one of rgbench)" in said
    assert "hunter2" not in said
