"""Commands that work on several runs: one that is damaged costs the others nothing, and is said."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from rgbench.cli.app import main
from rgbench.cli.work.stored import OneByOne
from rgbench.errors import StoreError
from rgbench.store.store import Store

FIXTURE = Path(__file__).parents[1] / "fixtures" / "store-0.1"
BEST, OTHER = "56f1b059efb43921", "5ea7dbee727b144a"


@pytest.fixture
def store(tmp_path) -> Store:
    shutil.copytree(FIXTURE / "runs", tmp_path / "store" / "runs")
    return Store(tmp_path / "store")


def test_others_are_worked_on_and_the_command_ends_with_an_error(store):
    out, done = io.StringIO(), []
    work = OneByOne(store, Console(file=out, width=1000))
    for run_id in ("a", "b", "c"):
        with work.run(run_id):
            if run_id == "b":
                raise StoreError("b/best.safetensors: is damaged")
            done.append(run_id)
    assert done == ["a", "c"]
    assert out.getvalue().startswith(
        "Run b is left out: b/best.safetensors: is damaged. To compute it again, "
    )
    with pytest.raises(StoreError, match=re.escape(f"{store.root}: 1 run was left out, as said above")):
        work.ends()
    OneByOne(store, Console(file=out)).ends()


def test_predict_takes_the_best_of_the_runs_that_can_be_read(store, capsys):
    table = store.run_path(BEST) / "predictions.parquet"
    table.write_bytes(table.read_bytes()[:100])
    with pytest.raises(SystemExit) as ended:
        main(["predict", "--card", "--store", str(store.root)])
    told = capsys.readouterr().out
    assert not ended.value.code
    assert f"Run {BEST} is left out: {table}: cannot be read" in told
    assert told.count("is left out") == 1


@pytest.mark.parametrize("command", ["stress", "uncertainty", "explain"])
def test_commands_that_look_again_name_what_cannot_be_read(store, command, capsys):
    for run_id in store.run_ids():
        (store.run_path(run_id) / "run.json").write_text("{")
    with pytest.raises(SystemExit) as ended:
        main([command, "--store", str(store.root)])
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert told.out.count("is left out") == len(store.run_ids())
    assert "Traceback" not in told.err
