"""``rgbench run --until-decided``: the study is computed, seeds are added, and the report counts the looks."""

from __future__ import annotations

import pytest

from rgbench.cli.app import main
from rgbench.comparison import until_decided
from rgbench.store.store import Store

# Two recipes that are nearly one, so that they cannot be told apart.
STUDY = """
name = "undecided"
networks = ["lenet"]
seeds = [1]
protocol = "modern"

[data]
train_limit = 24

[images]
field = 16
size = 16

[recipe]
views = 1
precision = "float32"

[[schedule]]
network = "lenet"
learning_rate = 1e-3
epochs = 1

[[schedule]]
network = "lenet"
learning_rate = 1.0001e-3
epochs = 1
"""


@pytest.mark.slow
def test_seeds_are_added_and_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(until_decided, "LOOKS", 2)
    (tmp_path / "study.toml").write_text(STUDY)
    with pytest.raises(SystemExit) as ended:
        main(["run", "study.toml", "--store", "store", "--device", "cpu", "--until-decided"])
    out, errors = capsys.readouterr()
    said = " ".join(out.split())
    assert not ended.value.code, errors
    assert "1 pair cannot be told apart: seeds" in said
    assert "The pairs were compared 2 times, at last with 3 seeds: 2 looks were planned." in said
    records = Store("store").records()
    assert {record.status for record in records} == {"complete"}
    assert sorted(record.looks for record in records) == [1, 1, 2, 2, 2, 2]
