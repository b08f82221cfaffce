"""Help: every command has it, it is quick, and nothing heavy is loaded for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer

from rgbench.cli.app import app, main

HEAVY = ("torch", "astropy", "scipy", "pyarrow", "numpy", "jinja2", "rich.console")
COMMANDS = (
    *(
        "quickstart",
        "run",
        "runs",
        "report",
        "predict",
        "classify",
        "survey",
        "finetune",
        "export",
        "score",
        "replicate",
    ),
    *("uncertainty", "doubt", "stress", "explain", "suspects"),
    *("tasks", "bundle", "board"),
    *("networks", "networks/list", "networks/show"),
    *(
        "data",
        "data/list",
        "data/show",
        "data/fetch",
        "data/split",
        "data/check",
        "data/croissant",
        "data/overlap",
        "data/build",
        "data/consensus",
    ),
    *("cost", "simulate", "import-keras", "about"),
)


def declared() -> set[str]:
    """List the commands that typer knows, with those of groups as group/command."""
    root = typer.main.get_command(app)
    found = set()
    for name, command in root.commands.items():
        found |= {name, *(f"{name}/{own}" for own in getattr(command, "commands", {}))}
    return found


def in_a_process(code: str) -> str:
    environment = {**os.environ, "COLUMNS": "110", "TERM": "dumb", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_no_command_is_forgotten_here():
    assert declared() == set(COMMANDS)


NAMING = ("run", "report", "predict", "classify", "stress")
"""Commands whose help lists names of registries, which may load NumPy and the like, but never torch."""


@pytest.mark.slow
def test_help_of_no_command_loads_anything_heavy():
    """Each is called in the same process, so that one list of modules tells of all; those that list names come last."""
    code = f"""
import sys
from rgbench.cli.app import main
for command in ["", *sorted({COMMANDS!r}, key={NAMING!r}.__contains__)]:
    try:
        main([*filter(None, command.split("/")), "--help"])
    except SystemExit as ended:
        assert ended.code == 0, command
    heavy = ("torch",) if command in {NAMING!r} else {HEAVY!r}
    loaded = [name for name in heavy if name in sys.modules]
    assert not loaded, (command, loaded)
print("all", len({COMMANDS!r}))
"""
    said = in_a_process(code)
    assert said.count("Usage: rgbench") == len(COMMANDS) + 1
    assert said.endswith(f"all {len(COMMANDS)}\n")


def test_help_is_quick():
    """0.2 s of processor time on an idle core; the limit is for one that others use too."""
    code = """
import time
from rgbench.cli.app import main
try:
    main(["--help"])
except SystemExit:
    print("took", time.process_time())
"""
    assert min(float(in_a_process(code).split()[-1]) for _ in range(3)) < 0.6


def test_commands_stand_under_headings_in_whole_sentences(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    headings = ("classify:", "Look closer at stored runs:", "Share results:", "Networks and data:")
    places = [said.index(f"{text}\n") for text in headings]
    assert places == sorted(places)
    order = [
        "quickstart",
        "run",
        "report",
        "predict",
        "classify",
        "uncertainty",
        "suspects",
        "networks",
        "data",
    ]
    found = [said.index(f"\n  {name} ") for name in order]
    assert found == sorted(found)
    assert "..." not in said.partition("Train, compare, classify:")[2], "no sentence is cut"
    assert "\n  doubt" not in said


def test_the_old_name_of_uncertainty_is_the_same_command():
    commands = typer.main.get_command(app).commands
    assert commands["doubt"].hidden
    assert not commands["uncertainty"].hidden
    first, second = ([p.opts for p in commands[name].params] for name in ("doubt", "uncertainty"))
    assert first == second
