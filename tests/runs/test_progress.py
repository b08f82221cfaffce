"""Progress as plain text: on a terminal, in a log, in a notebook."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rgbench.runs import progress
from rgbench.runs.plan import Plan
from rgbench.runs.progress import Cell, Stream, TextProgress, find_screen


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


def study(make_run, seeds=(1, 2)):
    records = [make_run("lenet", seed, 0.9) for seed in seeds]
    for record in records:
        record.history["validation_accuracy"] = np.array([0.5, 0.6, 0.7])
        record.history["epoch"] = np.array([1.0, 2.0, 3.0])
    specs = tuple(record.spec for record in records)
    numbers = {spec.run_id: 64 for spec in specs}
    return records, Plan(specs, frozenset(), numbers, dict.fromkeys(numbers, 2.0), ("in float32",))


def tell(told, records, plan, clock):
    """Tell of a whole study, a second a step."""
    told.starts(plan)
    for record in records:
        spec = record.spec
        told.run_starts(spec)
        for epoch in range(1, spec.recipe.epochs + 1):
            for step in range(plan.steps(spec)):
                clock.now += 1.0
                told.step(spec, epoch, step)
        told.run_ends(record)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_a_log_has_a_line_for_each_run_and_no_more(make_run, clock):
    records, plan = study(make_run)
    log = io.StringIO()
    tell(TextProgress(Stream(log)), records, plan, clock)
    assert log.getvalue().splitlines() == [
        "2 runs, 0 of them in the store already",
        "  in float32",
        "  lenet, seed 1: validation accuracy 70.0 % after 3 epochs, 4.0 s",
        "  lenet, seed 2: validation accuracy 70.0 % after 3 epochs, 5.0 s",
    ]


def test_a_terminal_is_told_the_epoch_and_the_time_left(make_run, clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    records, plan = study(make_run)
    screen = Terminal()
    tell(TextProgress(Stream(screen)), records, plan, clock)
    shown = screen.getvalue().split("\r\x1b[K")
    epochs = records[0].spec.recipe.epochs
    # Two runs of so many epochs of two steps, a second each: after the first step all others are left.
    assert f"lenet, seed 1: epoch 1 of {epochs}; 0 of 2 runs done, about {4 * epochs - 1} s left" in shown
    assert f"lenet, seed 2: epoch {epochs} of {epochs}; 1 of 2 runs done, about 0.0 s left" in shown


def test_a_quick_study_changes_the_line_twice_a_second_at_most(make_run, clock):
    records, plan = study(make_run, (1,))
    screen = Terminal()
    told = TextProgress(Stream(screen))
    told.starts(plan)
    before = len(screen.getvalue())
    clock.now += progress.PAUSE
    for step in range(1000):
        clock.now += 0.001
        told.step(records[0].spec, 1, step)
    assert screen.getvalue()[before:].count("\r") == 2


def test_the_time_left_of_a_run_that_goes_on_is_that_of_the_rest(make_run, clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    records, plan = study(make_run, (1,))
    screen = Terminal()
    told = TextProgress(Stream(screen))
    told.starts(plan)
    clock.now += 2.0
    told.step(records[0].spec, 13, 0)
    # Of 14 epochs of two steps three steps are left, two seconds each.
    assert "about 6.0 s left" in screen.getvalue()


def test_runs_of_the_store_are_not_listed_again(make_run, clock):
    records, plan = study(make_run)
    log = io.StringIO()
    told = TextProgress(Stream(log))
    told.starts(Plan(plan.runs, frozenset(r.run_id for r in records), plan.images, plan.work))
    for record in records:
        told.run_ends(record)
    assert log.getvalue() == "2 runs, 2 of them in the store already\n"


@pytest.fixture
def notebook(monkeypatch):
    """A notebook that remembers what its one output showed, and how often one was made."""
    shown = SimpleNamespace(made=0, texts=[])

    def display(bundle, raw, display_id):
        shown.made += 1
        return SimpleNamespace(update=lambda bundle, raw: shown.texts.append(bundle["text/plain"]))

    shell = SimpleNamespace(kernel=object())
    fake = SimpleNamespace(get_ipython=lambda: shell, display=SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython", fake)
    return shown


def test_a_notebook_has_one_output_whose_text_changes(make_run, clock, notebook):
    records, plan = study(make_run)
    tell(TextProgress(), records, plan, clock)
    assert notebook.made == 1
    assert (
        notebook.texts[-1].splitlines()[-1]
        == "  lenet, seed 2: validation accuracy 70.0 % after 3 epochs, 5.0 s"
    )
    assert len(notebook.texts[-1].splitlines()) == 4
    assert any("about" in text.splitlines()[-1] for text in notebook.texts)


def test_of_many_runs_a_notebook_keeps_the_latest_lines(notebook):
    cell = Cell()
    for number in range(100):
        cell.say(f"line {number}")
    lines = notebook.texts[-1].splitlines()
    assert lines[0] == "... 88 earlier lines"
    assert lines[1:] == [f"line {number}" for number in range(88, 100)]


def test_without_a_notebook_it_goes_to_standard_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert isinstance(find_screen(), Stream)
    monkeypatch.delitem(sys.modules, "IPython")
    assert isinstance(find_screen(), Stream)
