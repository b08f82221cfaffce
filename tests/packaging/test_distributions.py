"""Wheel and source distribution: all that git holds of the package is inside, and it works where there is no clone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from tempfile import gettempdir

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def call(*command: str | Path, cwd: Path = ROOT, timeout: int = 600) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHONPATH")}
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked(*under: str) -> set[str]:
    """Give the files that git has, links left out."""
    if not (ROOT / ".git").exists():
        pytest.skip("no clone: which files belong to the package is not known")
    lines = call("git", "ls-files", "--stage", *under).splitlines()
    return {line.split("\t")[1] for line in lines if not line.startswith("120000")}


def build(out: Path, *options: str) -> Path:
    """Build in the clone: source distribution, and the wheel from it, without options; one process at a time."""
    pytest.importorskip("build", reason="pip install build")
    with FileLock(Path(gettempdir()) / "rgbench-build.lock"):
        call(sys.executable, "-m", "build", *options, "--outdir", out, ".")
    return out


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(built):
    (path,) = built.glob("*.tar.gz")
    return path


def digests(wheel: Path) -> dict[str, str]:
    """Give the SHA-256 of each file of a wheel, but for the list of them."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("RECORD")]
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in names}


def test_the_wheel_holds_what_git_holds_of_the_package(wheel):
    expected = {name.removeprefix("src/") for name in tracked("src")}
    found = {name for name in digests(wheel) if ".dist-info/" not in name}
    assert found == expected
    for name in expected:
        assert digests(wheel)[name] == hashlib.sha256((ROOT / "src" / name).read_bytes()).hexdigest(), name


def test_the_source_distribution_holds_what_git_holds(sdist):
    with tarfile.open(sdist) as archive:
        found = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert tracked() - found == set()
    extra = {name for name in found - tracked() if not name.startswith(("studies/", "papers/"))}
    assert {name for name in extra if ".egg-info/" not in name} == {"PKG-INFO", "setup.cfg"}


def test_the_source_distribution_builds_the_wheel_of_the_clone(wheel, tmp_path):
    (direct,) = build(tmp_path, "--wheel").glob("*.whl")
    assert digests(direct) == digests(wheel)


def test_the_wheel_works_from_an_empty_folder(wheel, tmp_path):
    """Its own environment holds the wheel alone; what it needs is that of these tests."""
    call(sys.executable, "-m", "venv", tmp_path / "env")
    call(tmp_path / "env" / "bin" / "python", "-m", "pip", "install", "--no-deps", wheel)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    # A path in such a file is no site folder: links to clones that lie there are not followed.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    said = call(
        tmp_path / "env" / "bin" / "python", "-c", "import rgbench; print(rgbench.__file__)", cwd=tmp_path
    )
    assert str(site) in said
    call(ROOT / ".ci" / "outside", tmp_path / "env" / "bin")
