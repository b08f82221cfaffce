"""The container files: what they copy is there, both make the same environment, and rgbench works in it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "containers"


def instructions() -> list[tuple[str, str]]:
    """Give the instructions of the Dockerfile: name and rest, lines joined, comments left out."""
    lines = [
        line for line in (FOLDER / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split()[0], line.partition(" ")[2]) for line in joined.splitlines() if line]


def sections() -> dict[str, list[str]]:
    """Give the sections of the Apptainer file, and what stands before the first."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in (FOLDER / "rgbench.def").read_text().splitlines():
        if line.startswith("%"):
            name = line[1:].strip()
            found[name] = []
        elif line.strip() and not line.strip().startswith("#"):
            found[name].append(line.strip())
    return found


def copied() -> list[str]:
    """Give what the Dockerfile copies from the clone."""
    words = [shlex.split(rest) for name, rest in instructions() if name == "COPY"]
    return [source for parts in words if not parts[0].startswith("--from") for source in parts[:-1]]


def environment() -> dict[str, str]:
    pairs = [pair for name, rest in instructions() if name == "ENV" for pair in shlex.split(rest)]
    return dict(pair.split("=", 1) for pair in pairs)


def test_what_is_copied_is_there_and_in_both_files():
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert {line.split()[0] for line in sections()["files"]} == set(copied())
    for line in sections()["files"]:
        source, target = line.split()
        assert target == f"/source/{source}"


def test_what_is_copied_is_not_left_out_of_the_context():
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied())


def test_what_a_build_needs_is_copied():
    """The build reads what pyproject.toml names; constraints.txt is read by the script."""
    assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", "src", "containers/install"} == set(
        copied()
    )


def test_it_runs_as_nobody_in_particular_without_a_network():
    names = [name for name, _ in instructions()]
    assert ("USER", "1000:1000") in instructions()
    assert names.index("USER") > max(k for k, name in enumerate(names) if name == "RUN")
    assert environment()["RGBENCH_OFFLINE"] == "1"
    assert "export RGBENCH_OFFLINE=1" in sections()["environment"]


def test_both_start_from_the_same_image_and_the_same_script():
    base = dict(instructions())["ARG"]
    bases = [rest for name, rest in instructions() if name == "ARG"]
    assert base in bases
    assert f"BASE={sections()[''][1].removeprefix('From: ')}" == bases[0]
    script = "/source/containers/install /source /opt/rgbench"
    assert any(rest.startswith(script) for name, rest in instructions() if name == "RUN")
    assert any(line.startswith(script) for line in sections()["post"])
    assert os.access(FOLDER / "install", os.X_OK)
    subprocess.run(["sh", "-n", FOLDER / "install"], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["Dockerfile", "rgbench.def"])
def test_the_environment_serves_a_user_without_name_and_home(tmp_path, file):
    """As in the container: another user number, no network, nothing of the caller's environment."""
    alone = ["unshare", "--user", "--map-user=12345", "--map-group=12345", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user and network namespaces can be made here")
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(tmp_path / "tmp")}
    if file == "Dockerfile":
        settings = [f"{name}={value}" for name, value in environment().items()]
    else:
        settings = [line.removeprefix("export ") for line in sections()["environment"]]
        own["HOME"] = str(tmp_path)  # Apptainer brings the caller's
    # What is at /tmp in the container is a folder of this test; the command is that of this environment.
    lines = [f"export {line}".replace("/tmp/", f"{tmp_path}/tmp/") for line in settings]
    lines = [line for line in lines if not line.startswith("export PATH=")]
    folders = {line.split("=")[1] for line in lines if file == "Dockerfile" and f"{tmp_path}/tmp/" in line}
    (tmp_path / "tmp").mkdir()
    out = tmp_path / "out"
    for folder in (out, *map(Path, folders)):
        folder.mkdir(parents=True, exist_ok=True)
    command = f"{shlex.quote(sys.executable)} -m rgbench"
    script = "\n".join(
        [*lines, "set -eu", f"{command} simulate sky -n 4 --side 150", f"{command} predict sky --out c.csv"]
    )
    done = subprocess.run(
        [*alone, "sh", "-c", script],
        cwd=out,
        env=own,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((out / "c.csv").read_text().splitlines()) == 5
