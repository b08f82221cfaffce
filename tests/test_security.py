"""What SECURITY.md promises: no network unasked, no file outside of what was named, no code from data."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import rgbench

ROOT = Path(__file__).parents[1]
PACKAGE = Path(rgbench.__file__).parent
STORE = ROOT / "tests" / "fixtures" / "store-0.1"
RUNS_CODE = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "subprocess",
    "pty",
}
CALLS_CODE = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "torch.jit.load", "yaml.load",
    "pandas.read_pickle", "pd.read_pickle",
}  # fmt: skip
UNPACKS = {"extractall", "extract", "unpack_archive"}
NETWORK = {"socket", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "aiohttp", "ftplib", "smtplib"}
REACHES = {"data/public/fetch.py", "data/surveys/asking.py"}
"""What may ask the network, when somebody asks for a download or for cutouts."""
WATCHED = """
import json, os, socket, sys
written = set()
FILES = {"os.mkdir": (0,), "os.rename": (0, 1), "os.link": (1,), "os.symlink": (1,), "os.truncate": (0,)}
def watch(event, arguments):
    inet = event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6)
    if inet or event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto"):
        os.write(2, f"NETWORK {event} {arguments}".encode())
        os._exit(77)
    if event in ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn"):
        os.write(2, f"CODE {event} {arguments}".encode())
        os._exit(78)
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    names = []
    if event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[2] & writes:
        names = [arguments[0]]
    names += [arguments[place] for place in FILES.get(event, ())]
    # A folder that is there is made anew by nobody, and opened only for a file without a name.
    written.update(os.path.abspath(os.fsdecode(name)) for name in names if not os.path.isdir(name))
import rgbench
from rgbench.cli.app import main
sys.addaudithook(watch)
for command in json.loads(sys.argv[1]):
    try:
        main(command)
    except SystemExit as end:
        if end.code:
            raise
print("WRITTEN", json.dumps(sorted(written)))
"""


def watched(tmp_path: Path, *commands: list[str]) -> set[str]:
    """Run commands where a socket or foreign code ends them; give the files that Python opened to write."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir(exist_ok=True)
    # Where folders cannot be written to, nothing may depend on it; whoever is root can write all the same.
    home.chmod(0o555)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH", "LANG", "LD_LIBRARY_PATH")}
    environment = kept | {
        "HOME": str(home), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    command = [sys.executable, "-c", WATCHED, json.dumps(commands)]
    done = subprocess.run(
        command, cwd=work, env=environment, capture_output=True, text=True, timeout=550, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert list(home.rglob("*")) == []
    found = re.search(r"^WRITTEN (.*)$", done.stdout, flags=re.MULTILINE)
    return {name for name in json.loads(found[1]) if not name.startswith(("/dev/", str(temporary)))}


def outside(names: set[str], *places: Path) -> list[str]:
    """Give the names that are none of some places, lie in none, and are not the hidden names beside them."""
    hidden = tuple(f"{place.parent}/.tmp-" for place in places)
    inside = tuple(f"{place}/" for place in places)
    own = {str(place) for place in places}
    return sorted(name for name in names if name not in own and not name.startswith((*hidden, *inside)))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_report_and_a_check_open_no_socket_and_write_what_is_named(tmp_path):
    work = tmp_path / "work"
    shutil.copytree(STORE, work / "store")
    (work / "images").mkdir()
    (work / "images" / "a.fits").write_bytes(b"x")
    fits.writeto(work / "images" / "b.fits", np.random.default_rng(1).normal(size=(20, 20)))
    before = tree(work)
    names = watched(
        tmp_path,
        ["report", "--store", "store", "--out", "r.html", "--table", "t.csv"],
        ["data", "check", "images"],
    )
    places = [work / name for name in ("r.html", "t.csv")]
    assert outside(names, *places) == []
    after = tree(work)
    assert {name: after[name] for name in before} == before
    new = {name.partition("/")[0] for name in set(after) - set(before)}
    assert new == {"r.html", "t.csv"}


@pytest.mark.slow
def test_a_study_and_a_classification_open_no_socket_and_write_what_is_named(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "s.toml").write_text(
        'name = "s"\nnetworks = ["lenet"]\nseeds = [1]\nprotocol = "modern"\n'
        "[data]\ntrain_limit = 40\n[images]\nfield = 64\nsize = 32\n"
        '[recipe]\nepochs = 1\nviews = 1\nprecision = "float32"\n'
    )
    before = tree(work)
    names = watched(
        tmp_path,
        ["simulate", "sky", "-n", "8", "--side", "120"],
        ["run", "s.toml", "--store", "store"],
        ["predict", "sky", "--out", "first.csv", "--views", "1"],
        ["predict", "sky", "--store", "store", "--out", "own.fits"],
        ["report", "--store", "store"],
    )
    places = [work / name for name in ("sky", "store", "first.csv", "own.fits")]
    assert outside(names, *places) == []
    after = tree(work)
    assert {name: after[name] for name in before} == before
    new = {name.partition("/")[0] for name in set(after) - set(before)}
    assert new == {"sky", "store", "first.csv", "own.fits"}


def test_the_watch_sees_sockets_code_and_files(tmp_path):
    """Each of them is caught, so that the tests above can fail."""
    for code, status in (
        ("import socket; socket.create_connection(('127.0.0.1', 9))", 77),
        ("import pickle; pickle.loads(b'cbuiltins\\nprint\\n.')", 78),
        ("import os; os.system('true')", 78),
    ):
        script = WATCHED.replace("import rgbench\nfrom rgbench.cli.app import main\n", "main = exec\n")
        done = subprocess.run(
            [sys.executable, "-c", script, json.dumps([code])], capture_output=True, check=False
        )
        assert done.returncode == status
    path = tmp_path / "x"
    script = WATCHED.replace("import rgbench\nfrom rgbench.cli.app import main\n", "main = exec\n")
    code = f"open({str(path)!r}, 'w').close()"
    done = subprocess.run([sys.executable, "-c", script, json.dumps([code])], capture_output=True, check=True)
    assert json.loads(done.stdout.decode().removeprefix("WRITTEN ")) == [str(path)]
    assert outside({str(path)}, tmp_path / "y") == [str(path)]
    assert outside({str(path), str(tmp_path / "y" / "z")}, path, tmp_path / "y") == []


@cache
def nodes() -> dict[str, list[ast.AST]]:
    """Give all nodes of each module of the package."""
    return {
        p.relative_to(PACKAGE).as_posix(): list(ast.walk(ast.parse(p.read_text(encoding="utf8"))))
        for p in sorted(PACKAGE.rglob("*.py"))
    }


def imported(content: list[ast.AST]) -> set[str]:
    """Give the modules that a module imports, as written."""
    names: set[str] = set()
    for node in content:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.slow
def test_one_module_reads_pickles_and_none_starts_foreign_programs_or_runs_text():
    found = {
        name: {each.partition(".")[0] for each in imported(content)} & RUNS_CODE
        for name, content in nodes().items()
    }
    assert {name: words for name, words in found.items() if words} == {
        "data/public/unpickle.py": {"pickle"},
        # Readers of their own, which start this interpreter on a module of rgbench and nothing else.
        "images/apart.py": {"subprocess"},
        "networks/keras/contents.py": {"subprocess"},
        # And what measures a network, likewise.
        "runs/cost.py": {"subprocess"},
        # Slurm's own programs, by fixed names.
        "queues/slurm.py": {"subprocess"},
    }
    calls = [
        (name, dotted(node.func), node)
        for name, content in nodes().items()
        for node in content
        if isinstance(node, ast.Call)
    ]
    assert [(name, function) for name, function, _ in calls if function in CALLS_CODE] == []
    assert [name for name, function, _ in calls if function.rpartition(".")[2] in UNPACKS] == []
    programs = [
        ast.unparse(node.args[0]) for name, function, node in calls
        if name == "queues/slurm.py" and function.startswith("subprocess.")
    ]  # fmt: skip
    assert programs == ["SQUEUE", "[*SCANCEL, *arrays]"]
    loads = [node for _, function, node in calls if function in ("np.load", "numpy.load")]
    assert loads
    for node in loads:
        assert [ast.unparse(word.value) for word in node.keywords if word.arg == "allow_pickle"] == ["False"]


def test_only_downloads_reach_the_network():
    reach = {
        name
        for name, content in nodes().items()
        for each in imported(content)
        if each.partition(".")[0] in NETWORK and not each.startswith("urllib.parse")
    }
    assert reach == REACHES


def test_every_test_that_the_promises_name_is_there():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf8")
    named = re.findall(r"`(tests/[\w/]+\.py):(\w+)`", text)
    assert len(named) > 10
    for path, function in named:
        assert f"def {function}(" in (ROOT / path).read_text(encoding="utf8"), (path, function)
