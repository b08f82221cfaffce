"""What ``rgbench cost`` prints, writes and ends with."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
from pathlib import Path

import pytest

from rgbench.cli.app import main
from rgbench.errors import Stopped
from rgbench.runs import cost as costs
from rgbench.runs import engines
from rgbench.runs.cost import FAILED, LEFT_OUT, MEASURED, MODES
from rgbench.runs.cost_process import Measured, Rate
from rgbench.runs.engines import lacking
from rgbench.store.costs import key_of, read_costs
from rgbench.store.store import Store

FORMATS = Path(__file__).parents[1] / "fixtures" / "formats-1"
SPEEDS = {"eager": 100.0, "compiled": 150.0, "onnx": 250.0}


def measured(mode: str) -> Measured:
    rates = Rate(1, (SPEEDS[mode] / 2,) * 3), Rate(8, (SPEEDS[mode] - 1, SPEEDS[mode], SPEEDS[mode] + 1))
    none = math.nan
    latency = tuple(float(n) / SPEEDS[mode] for n in range(1, 101))
    return Measured(
        latency, 10, 0.5, rates, 400.0, none, "no counter here", "x CPU, 1 threads", "2", "torch 2"
    )


@pytest.fixture
def processes(monkeypatch):
    """Stand for the processes: those of openvino die, and openvino-bf16 refuses."""

    def ask(job, spec, folder):
        if job.mode in SPEEDS:
            return MEASURED, dataclasses.asdict(measured(job.mode))
        return (FAILED, "its process died") if job.mode == "openvino" else (LEFT_OUT, "refused")

    monkeypatch.setattr(costs, "_ask", ask)
    monkeypatch.setattr(costs, "_refused", lambda mode, device: "")


def rgbench(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(["cost", *arguments])
    said = capsys.readouterr()
    return done.value.code or 0, said.out, said.err


def of_modes(*modes: str) -> list[str]:
    return [word for mode in modes for word in ("--mode", mode)]


def test_the_answer_comes_first_and_the_rest_follows(capsys, processes):
    code, said, _ = rgbench(capsys, "lenet", "convxpress", "--size", "64", *of_modes(*SPEEDS))
    first, second, *others = said.splitlines()
    assert code == 0
    rate, alone = "250 images/s in batches of 8, 2.5 times eager", "one image alone takes 0.202 ms with onnx"
    answer = f"fastest with onnx, {rate}; {alone}"
    assert (first, second) == (f"lenet: {answer}", f"convxpress: {answer}")
    assert others[0].startswith("lenet: 389,516 parameters (1.56 MB), 2.98 million multiply-accumulates")
    row = next(line.split() for line in others if line.split()[:2] == ["convxpress", "compiled"])
    assert row[2:] == ["0.337", "0.634", "150", "149", "to", "151", "8", "400", "–", "0.50"]
    assert "Energy is not known: no counter here" in others
    assert "x CPU, 1 threads; torch 2" in others


def test_what_died_is_told_in_a_line_and_gives_code_3(capsys, processes):
    code, said, _ = rgbench(capsys, "lenet", "mcrgnet", "--size", "64")
    assert code == 3
    lines = said.splitlines()
    assert "lenet and mcrgnet, openvino: failed: its process died" in lines
    assert "lenet and mcrgnet, openvino-bf16: left out: refused" in lines
    assert lines[0].startswith("lenet: fastest with onnx")


def test_what_is_left_out_is_no_failure(capsys, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    code, said, _ = rgbench(capsys, "lenet", "--mode", "onnx")
    assert code == 0
    first, *others = said.splitlines()
    assert first == "lenet: not measured in any mode"
    (line,) = [line for line in others if line.startswith("lenet, onnx: left out: ")]
    assert "is not installed: pip install 'rgbench[onnx]'" in line


def test_json_is_all_that_is_printed(capsys, processes):
    code, said, _ = rgbench(capsys, "lenet", "--json", "--size", "64")
    rows = json.loads(said)
    assert code == 3
    assert [row["mode"] for row in rows] == list(MODES)
    assert rows[2]["images_per_second"] == 250.0
    assert rows[2]["rates"][0]["batch"] == 1
    assert (rows[3]["images_per_second"], rows[3]["status"]) == (None, "failed")


def test_a_table_is_written_and_replaced_only_when_told(capsys, processes, tmp_path):
    out = tmp_path / "t.csv"
    code, said, _ = rgbench(capsys, "lenet", *of_modes("eager", "onnx"), "--out", str(out))
    assert code == 0
    assert f"{out}: 2 rows" in said.splitlines()
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["mode"], float(row["images_per_second"])) for row in rows] == [
        ("eager", 100.0),
        ("onnx", 250.0),
    ]
    code, _, error = rgbench(capsys, "lenet", "--out", str(out))
    assert code == 2
    assert "is there already" in error


def test_a_stop_tells_what_was_measured(capsys, processes, monkeypatch, tmp_path):
    ask = costs._ask

    def stopped(job, spec, folder):
        if job.mode == "onnx":
            raise Stopped(2)
        return ask(job, spec, folder)

    monkeypatch.setattr(costs, "_ask", stopped)
    out = tmp_path / "t.csv"
    code, said, error = rgbench(capsys, "lenet", *of_modes("eager", "onnx"), "--out", str(out))
    assert code == 130
    assert said.startswith("lenet: fastest with eager, 100 images/s in batches of 8;")
    assert len(out.read_text().splitlines()) == 2
    assert "what was measured before that is told; to begin again: rgbench cost lenet" in " ".join(
        error.split()
    )
    assert error.rstrip().endswith("--overwrite")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["lenet", "--mode", "fast"], 2, "mode: found 'fast'; legal are eager, compiled, onnx, openvino,"),
        (["lenet", "--batch", "0"], 2, "batch: found 0; whole numbers from 1 on are legal"),
        (["lenet", "--repeats", "0"], 2, "repeats: found 0"),
        (["lenett"], 2, "unknown network 'lenett'; did you mean lenet"),
        (["alexnet", "--size", "32"], 2, "does not fit"),
        (["nowhere.safetensors"], 2, "nowhere.safetensors"),
        (["lenet", "--out", "t.txt"], 2, "the ending is none of .csv, .parquet"),
        (["lenet", "--device", "cuda:77"], 1, "device 'cuda:77' is not available"),
        ([], 2, "give networks, or --store FOLDER"),
    ],
)
def test_wrong_options_are_one_line_with_their_code(capsys, processes, arguments, code, message):
    found, _, error = rgbench(capsys, *arguments)
    assert found == code, error
    assert message in " ".join(error.split())
    assert "Traceback" not in error


@pytest.mark.slow
def test_a_network_and_a_classifier_are_measured(capsys):
    own = of_modes("eager", "onnx", "openvino")
    code, said, _ = rgbench(
        capsys, "lenet", "first-1", "--size", "32", *own, "--batch", "2", "--repeats", "2", "--json"
    )
    assert code == 0
    rows = json.loads(said)
    assert [row["network"] for row in rows] == ["lenet"] * 3 + ["first-1"] * 3
    for row in rows:
        assert row["status"] == (LEFT_OUT if lacking(row["mode"]) else MEASURED), row
        if row["status"] == MEASURED:
            assert (row["batch"], row["repeats"], row["threads"]) == (2, 2, 1)
            assert 0 < row["latency_ms"] <= row["latency_p95_ms"]
            assert row["images_per_second_low"] <= row["images_per_second"] <= row["images_per_second_high"]


@pytest.fixture
def stored(tmp_path):
    shutil.copytree(FORMATS / "runs", tmp_path / "runs")
    return Store(tmp_path)


def test_the_networks_of_a_store_are_measured_and_kept_there(capsys, processes, stored):
    (record,) = stored.records()
    code, said, _ = rgbench(capsys, "--store", str(stored.root))
    assert code == 0
    assert said.startswith(f"{record.spec.network.label}: fastest with eager, 100 images/s")
    assert said.rstrip().endswith(f"(rgbench report {stored.root})")
    assert read_costs(stored.root)[key_of(record)].images_per_second == 100.0
    assert rgbench(capsys, record.spec.network.name, "--store", str(stored.root), "--mode", "onnx")[0] == 0
    assert read_costs(stored.root)[key_of(record)].mode == "onnx"


def test_what_a_store_cannot_do_is_told(capsys, processes, stored):
    code, _, wrong = rgbench(capsys, "convxpress", "--store", str(stored.root))
    assert code == 2
    assert "no complete run of convxpress; there are tiny" in " ".join(wrong.split())
    code, _, wrong = rgbench(capsys, "--store", str(stored.root), *of_modes("eager", "onnx"))
    assert code == 2
    assert "only rates of one mode can be compared" in " ".join(wrong.split())
    assert not read_costs(stored.root)


def test_what_was_measured_before_a_stop_is_kept_in_the_store(capsys, processes, stored, monkeypatch):
    (record,) = stored.records()
    small = record.spec.model_copy(update={"images": record.spec.images.model_copy(update={"size": 24})})
    both = [record, dataclasses.replace(record, spec=small)]
    monkeypatch.setattr(Store, "records", lambda *rest, **more: both)
    ask, asked = costs._ask, []

    def stopped(job, *rest):
        asked.append(job.image_size)
        if len(asked) > 1:
            raise Stopped(2)
        return ask(job, *rest)

    monkeypatch.setattr(costs, "_ask", stopped)
    with pytest.raises((SystemExit, Stopped)):
        main(["cost", "--store", str(stored.root)])
    assert list(read_costs(stored.root)) == [key_of(record)]


def test_without_networks_or_a_store_it_says_what_to_give(capsys):
    code, _, said = rgbench(capsys)
    assert code == 2
    assert "give networks, or --store FOLDER" in said
