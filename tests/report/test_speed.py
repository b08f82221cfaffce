"""A report of 50 runs over 2,000 sources is quick and small: the benchmark's own report, against its limits."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rgbench.report.sections import ANCHORS, OWN

REFERENCE = 0.27
"""Seconds of processor time of the piece of work in `slowness` on the machine of the benchmark's results."""
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "report_speed.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("report_speed", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


@pytest.mark.slow
def test_the_benchmark_measures_every_section(benchmark, tmp_path):
    found = benchmark.measure(benchmark.Size(3, 2, 120, 5), tmp_path)
    assert found["runs"] == 6
    sections = {name for name in found["seconds"] if name.startswith("section")}
    assert len(sections) == len(OWN)
    page = (tmp_path / "report.html").read_text()
    for anchor in ANCHORS - {"across"}:
        assert f'id="{anchor}"' in page, f"the benchmark's runs fill the section {anchor}"
    assert page.count("<img") > 100


def slowness() -> float:
    """How much slower than the machine of the benchmark's results this one is just now, by a fixed piece of work."""
    began = time.process_time()
    rng = np.random.default_rng(0)
    for _ in range(20):
        rng.multinomial(500, np.full(500, 1 / 500), size=100)
        np.unique(rng.integers(0, 9999, 20_000).astype(str))
        sum(str(i).count("1") for i in range(20_000))
    return max(1.0, (time.process_time() - began) / REFERENCE)


@pytest.mark.slow
def test_fifty_runs_over_two_thousand_sources(benchmark, tmp_path):
    before = slowness()
    found = benchmark.measure(benchmark.Size(), tmp_path, time.process_time)
    slower = max(before, slowness())
    assert (found["runs"], found["test sources"]) == (50, 2000)
    assert found["report, comparisons and page"] < benchmark.LIMITS["seconds"] * slower
    assert 1 < found["megabytes"] < benchmark.LIMITS["megabytes"]
