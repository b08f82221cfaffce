"""What is said before and during a study."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rgbench.cli.progress import TerminalListener
from rgbench.runs.device import emulates_bfloat16
from rgbench.runs.plan import Plan
from rgbench.spec import Study, resolve


def said(precision: str) -> str:
    study = Study(name="s", networks=("mcrgnet",), seeds=(1,), recipe={"precision": precision})
    (spec,) = resolve(study, "abc", (300, 300))
    console = Console(file=io.StringIO(), width=200)
    with TerminalListener(console, "cpu") as listener:
        listener.starts(Plan((spec,), frozenset(), {spec.run_id: 10}, {spec.run_id: 1.0}))
    return console.file.getvalue()


@pytest.mark.parametrize(("capability", "slow"), [("AVX2", True), ("DEFAULT", True), ("AVX512", False)])
def test_a_processor_without_bfloat16_is_said_before_the_work(monkeypatch, capability, slow):
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert emulates_bfloat16("cpu") == slow
    assert ("no instructions for bfloat16" in said("bfloat16")) == slow
    assert ("under [recipe] in the study file" in said("bfloat16")) == slow
    assert "no instructions" not in said("float32")
