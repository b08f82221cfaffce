"""A report of 50 runs over 2,000 sources is quick and small: the benchmark's own report, against its limits."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

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
    assert len(sections) == len(benchmark.analysis.MAKERS)
    page = (tmp_path / "report.html").read_text()
    for maker in benchmark.analysis.MAKERS:
        anchor = maker.__module__.rpartition(".")[2]
        assert f'<section id="{anchor}"' in page, f"the benchmark's runs fill the section {anchor}"
    assert page.count("<img") > 100


@pytest.mark.slow
def test_fifty_runs_over_two_thousand_sources(benchmark, tmp_path):
    found = benchmark.measure(benchmark.Size(), tmp_path)
    assert (found["runs"], found["test sources"]) == (50, 2000)
    assert found["report, comparisons and page"] < benchmark.LIMITS["seconds"]
    assert 1 < found["megabytes"] < benchmark.LIMITS["megabytes"]
