"""The command line: help that a newcomer can read, errors in one line with their exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rgbench.cli.app import main


def rgbench(*arguments: str, cwd=None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}
    environment.pop("RGBENCH_STORE", None)
    return subprocess.run(
        [sys.executable, "-m", "rgbench", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_names_every_command():
    result = rgbench("--help")
    assert result.returncode == 0
    for command in ("quickstart", "run", "report", "networks", "data", "predict"):
        assert command in result.stdout


def test_the_original_s_options_are_all_there():
    text = rgbench("quickstart", "-h").stdout
    long = "architectures num_classes data_path data_manifest img_size model_path only_test results_path"
    for name in f"{long} rotate seed train_size val_size mnist".split():
        assert f"--{name}" in text, name
    for letter in "acdfimoprstvX":
        assert f"-{letter} " in text or f"-{letter}," in text, letter


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["run", "nope"],
            2,
            "give a TOML file, or one of across-sets, becker2021, becker2021-lrg, cross-validation",
        ),
        (["run", "nope.toml"], 2, "nope.toml: cannot be read"),
        (["networks", "show", "convexpress"], 2, "unknown network 'convexpress'; did you mean conv"),
        (
            ["data", "show", "first-galaxy"],
            2,
            "unknown data set 'first-galaxy'; did you mean first-galaxy-data",
        ),
        (["quickstart", "-a", "nope.txt"], 2, "nope.txt: the architecture file cannot be read"),
        (["report", "--store", "nowhere"], 2, "--store nowhere: there is no such folder"),
        (["report", "--model", "worst"], 2, "--model: found 'worst'; legal are best, final"),
        (["predict", "x.fits", "--out", "t.txt"], 2, "the ending is none of .csv, .parquet"),
        (["predict", "x.fits", "--store", "nowhere"], 2, "there is no such folder"),
        (["run", "smoke", "--device", "cuda:77"], 1, "device 'cuda:77' is not available"),
        (["quickstart", "--sed", "1"], 2, "--seed"),
        (["quickstart", "-d", "somewhere"], 2, "-d, -f and -X go with -a"),
    ],
)
def test_errors_are_one_line_with_their_code(tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RGBENCH_STORE", raising=False)
    with pytest.raises(SystemExit) as done:
        main(arguments)
    said = capsys.readouterr().err
    assert done.value.code == code, said
    assert message in " ".join(said.split())
    assert "Traceback" not in said


@pytest.mark.slow
def test_an_error_of_the_command_is_one_line_with_its_code(tmp_path):
    result = rgbench("run", "nope.toml", cwd=tmp_path)
    assert (result.returncode, result.stderr.count("Traceback")) == (2, 0)
    assert "nope.toml: cannot be read" in result.stderr


@pytest.mark.slow
def test_debug_shows_the_traceback(tmp_path):
    result = rgbench("--debug", "run", "nope", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" in result.stderr


@pytest.mark.slow
def test_networks_are_listed_and_shown(capsys):
    with pytest.raises(SystemExit) as done:
        main(["networks"])
    assert done.value.code == 0
    assert "radio-galaxy-zoo" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["networks", "show", "convXpress", "--image-size", "300"])
    assert "4567944" in capsys.readouterr().out.replace(",", "")


@pytest.mark.slow
def test_lists_load_no_torch(tmp_path):
    code = """
import sys
from rgbench.cli.app import main
for command in ("networks", "networks show mcrgnet", "data list", "data show lrg", "replicate"):
    try:
        main(command.split())
    except SystemExit as ended:
        assert ended.code == 0, command
    assert "torch" not in sys.modules, command
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import rgbench, sys; print([m for m in ('torch', 'ray', 'astropy', 'pyarrow') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_public_names_have_the_types_of_what_they_stand_for():
    """What a type checker reads of the package is what a user gets."""
    import ast

    import rgbench

    tree = ast.parse(Path(rgbench.__file__).read_text(encoding="utf8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    homes = {
        name.asname: node.module
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert homes == rgbench._HOMES


def test_public_names_resolve():
    import rgbench

    for name in rgbench.__all__:
        assert getattr(rgbench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = rgbench.nope
