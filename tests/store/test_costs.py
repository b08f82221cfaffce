"""Costs that were measured apart take the place of those in passing: all of them, alike, or none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rgbench.errors import StoreError
from rgbench.report.of_store import write_report
from rgbench.store.costs import (
    FILE,
    KeptCost,
    cost_key,
    distinct,
    keep_costs,
    key_of,
    read_costs,
    take_measured,
)
from rgbench.store.store import Store

FOLDER = Path(__file__).parents[1] / "fixtures" / "formats-1"
APART = KeptCost(
    mode="eager",
    device="a CPU, 2 threads",
    images_per_second=1234.5,
    batch=32,
    latency_ms=2.0,
    latency_p95_ms=3.0,
    memory_mb=400.0,
)


@pytest.fixture
def store(tmp_path) -> Store:
    shutil.copytree(FOLDER / "runs", tmp_path / "runs")
    return Store(tmp_path)


def two_networks(store):
    (record,) = store.records()
    spec = record.spec.model_copy(
        update={"network": record.spec.network.model_copy(update={"name": "lenet"})}
    )
    return [record, replace(record, spec=spec)]


def other(**changes) -> KeptCost:
    return APART.model_copy(update=changes)


def test_costs_are_kept_and_read(store):
    key, another = cost_key("lenet", 96, 96, 4), cost_key("mcrgnet", 96, 96, 4)
    assert keep_costs(store.root, {key: APART}) == store.root / FILE
    assert read_costs(store.root) == {key: APART}
    keep_costs(store.root, {another: APART, key: other(batch=8)})
    assert read_costs(store.root) == {key: other(batch=8), another: APART}
    assert json.loads((store.root / FILE).read_text())["version"] == 1


def test_rates_are_taken_where_all_networks_were_measured_alike(store):
    records = two_networks(store)
    keys = [key_of(record) for record in records]
    assert len(set(keys)) == len(distinct(records)) == 2
    before = [record.cost for record in records]
    keep_costs(store.root, {keys[0]: APART})
    assert [record.cost for record in take_measured(records, store.root)] == before
    for way in ({"device": "a CPU, 1 threads"}, {"mode": "onnx"}):
        keep_costs(store.root, {keys[1]: other(**way)})
        assert [record.cost for record in take_measured(records, store.root)] == before
    keep_costs(store.root, {keys[1]: other(images_per_second=10.0)})
    found = [record.cost for record in take_measured(records, store.root)]
    assert [cost["inference_images_per_second"] for cost in found] == [1234.5, 10.0]
    assert {cost["inference_measured"] for cost in found} == {"eager on a CPU, 2 threads"}
    assert all(cost["parameters"] == old["parameters"] for cost, old in zip(found, before, strict=True))


def test_networks_of_one_name_and_other_layers_have_costs_of_their_own(store):
    (record,) = store.records()
    network = record.spec.network.model_copy(update={"layers": record.spec.network.layers + " · D0.5"})
    changed = replace(record, spec=record.spec.model_copy(update={"network": network}))
    assert key_of(changed) != key_of(record)


def test_the_report_takes_them_and_says_so(store):
    (report,) = write_report(store).reports
    assert "measured right after training" in report.path.read_text()
    (record,) = store.records()
    keep_costs(store.root, {key_of(record): APART})
    (report,) = write_report(store).reports
    text = report.path.read_text()
    assert "1235" in text or "1234" in text
    assert "measured for each network alone, in a process of its own: eager on a CPU, 2 threads" in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", "holds no costs"),
        ('{"version": 1, "costs": 3}', "key 'costs': .*found 3"),
        ('{"version": 1, "costs": {"a": {"mode": "eager"}}}', "key 'costs.a.device' is missing"),
        (
            '{"version": 1, "costs": {"a": {"images_per_second": "fast"}}}',
            "costs.a.images_per_second.*'fast'",
        ),
        ('{"version": 99, "costs": {}}', "99"),
        ("{", FILE),
    ],
)
def test_a_damaged_file_is_told_and_the_report_goes_on(store, content, reason):
    (store.root / FILE).write_text(content)
    with pytest.raises(StoreError, match=reason):
        take_measured(store.records(), store.root)
    written = write_report(store)
    assert any("measured in passing" in words for words in written.warnings)
