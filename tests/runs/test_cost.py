"""What networks cost: facts, estimators, counters of energy, and processes that die, hang or refuse."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rgbench.errors import DeviceError, SpecError
from rgbench.networks import describe_network
from rgbench.networks.modules.build import build_network
from rgbench.runs import cost as costs
from rgbench.runs import cost_process, energy, engines
from rgbench.runs.classifier import load_classifier
from rgbench.runs.cost import FAILED, LEFT_OUT, MEASURED, MODES, Cost, CostSpec, Subject, columns, describe
from rgbench.runs.cost_process import Job, Measured, Rate, measure
from rgbench.runs.device import process_memory
from rgbench.runs.energy import Counter, Meter, energy_meter
from rgbench.runs.output_tables import table_writer

SMALL = CostSpec(image_size=32, modes=("eager",), batches=(1, 4, 16), repeats=3, passes=20)
SUBJECT = Subject("lenet", 32, 32, 4, 10, 20)


def job(**other) -> Job:
    told = {
        "name": "lenet",
        "mode": "eager",
        "image_size": 32,
        "n_classes": 4,
        "channels": 1,
        "device": "cpu",
        "batches": (1, 4, 16),
        "repeats": 3,
        "threads": 1,
        "passes": 20,
    }
    return Job(**told | other)


def found(*rates: Rate, latency=(1.0, 3.0, 2.0)) -> Measured:
    return Measured(latency, 3, 0.5, rates, 100.0, math.nan, "no counter", "a device", "2", "torch 2")


def process(monkeypatch, code: str) -> None:
    """Have a process of some code stand for the one that measures."""
    monkeypatch.setattr(costs.child, "command", lambda *_: [sys.executable, "-c", code])


@pytest.mark.parametrize("name", ["lenet", "convxpress"])
def test_the_facts_are_those_of_the_network(name):
    """convxpress has batch normalisation, whose running statistics are weights too."""
    facts = describe_network(name, 96, 3)
    subject = describe(name, CostSpec(image_size=96, n_classes=3))
    assert (subject.parameters, subject.macs) == (facts["parameters"], facts["macs"])
    state = build_network(name, 96, 3, seed=1).state_dict().values()
    assert subject.weight_bytes == sum(each.numel() * each.element_size() for each in state)


def test_an_alias_is_listed_by_the_name_that_it_stands_for():
    assert describe("convXpress").name == "convxpress"


def test_a_classifier_costs_what_its_networks_cost_together():
    subject = describe("first-1")
    members = load_classifier("first-1").members
    own = [member.network for member in members]
    each = [describe_network(n.name, n.image_size, n.n_classes, n.channels)["macs"] for n in own]
    assert (subject.macs, subject.n_classes) == (sum(each), own[0].n_classes)
    assert len(members) == 3
    assert len(cost_process.networks_of(job(name="first-1"))) == 3


def test_a_measurement_in_this_process():
    said: list[str] = []
    result = measure(job(), said.append)
    assert [rate.batch for rate in result.rates] == [1, 4, 16]
    assert [len(rate.images_per_second) for rate in result.rates] == [3, 3, 3]
    assert all(rate > 0 for each in result.rates for rate in each.images_per_second)
    assert (len(result.latency_ms), result.warm_up) == (20, 10)
    assert said == ["ready", "measuring"] * 4
    assert result.engine.startswith("torch ")
    own = Cost(SUBJECT, "eager", MEASURED, "", 1, result)
    assert own.best.median == max(rate.median for rate in result.rates)
    assert 0 < own.latency(50) <= own.latency(95) <= max(result.latency_ms)


def test_rates_count_images_and_not_batches():
    rates, _ = cost_process._repeated(lambda: time.sleep(0.02), 10, 2, Meter((), ""))
    assert all(250 < rate <= 500 for rate in rates), rates


def test_slow_passes_are_fewer_but_never_fewer_than_the_least():
    assert len(cost_process._timed(lambda: time.sleep(0.01), 50, 3, 0.05)) in (3, 4, 5)
    assert len(cost_process._timed(lambda: time.sleep(0.01), 50, 8, 0.01)) == 8


def test_the_best_batch_is_that_of_the_greatest_median():
    rates = Rate(1, (5.0, 9.0, 100.0)), Rate(8, (20.0, 21.0, 22.0)), Rate(32, remark="no memory")
    own = Cost(SUBJECT, "eager", MEASURED, "", 1, found(*rates))
    row = own.row()
    assert (row["batch"], row["images_per_second"]) == (8, 21.0)
    assert (row["images_per_second_low"], row["images_per_second_high"], row["repeats"]) == (20.0, 22.0, 3)
    assert (row["latency_ms"], row["latency_p95_ms"]) == (2.0, pytest.approx(2.9))
    assert row["weight_bytes"] == 40


def test_the_fastest_mode_of_each_network():
    slow, fast = (found(Rate(1, (rate,))) for rate in (5.0, 7.0))
    other = dataclasses.replace(SUBJECT, name="other")
    rows = [
        Cost(SUBJECT, "eager", MEASURED, "", 1, slow),
        Cost(SUBJECT, "onnx", MEASURED, "", 1, fast),
        Cost(SUBJECT, "compiled", LEFT_OUT, "too slow", 1),
        Cost(other, "onnx", FAILED, "died", 1),
    ]
    assert {name: each.mode for name, each in costs.fastest(rows).items()} == {"lenet": "onnx"}


def test_what_was_not_measured_is_null_in_json_and_stays_a_row_of_tables(tmp_path):
    rows = [
        Cost(SUBJECT, "eager", MEASURED, "", 1, found(Rate(4, (5.0,)))),
        Cost(Subject("odd", 32, 32, 4), "onnx", LEFT_OUT, "why", 1),
    ]
    first, second = (costs.plain(row) for row in rows)
    assert json.loads(json.dumps(first, allow_nan=False))["rates"][0]["images_per_second"] == [5.0]
    assert (first["joules_per_image"], first["parameters"]) == (None, 10)
    assert (second["batch"], second["parameters"], second["rates"]) == (None, None, [])
    assert second.keys() == first.keys()
    for ending in ("csv", "parquet", "vot", "fits"):
        path = tmp_path / f"t.{ending}"
        table_writer(path)(path, columns(rows))
        assert path.stat().st_size > 0
    assert columns([]) == {}


@pytest.mark.slow
def test_each_network_and_mode_has_a_process_of_its_own():
    told: list[tuple[int, int]] = []
    modes = [mode for mode in MODES if mode in ("eager", "onnx")]
    spec = dataclasses.replace(SMALL, modes=tuple(modes))
    result = costs.cost(["lenet", "lenet"], spec, lambda found, total: told.append((len(found), total)))
    assert [(each.subject.name, each.mode) for each in result] == [("lenet", mode) for mode in modes]
    assert told == [(done, len(modes)) for done in range(len(modes) + 1)]
    for each in result:
        if each.mode != "onnx" or not engines.lacking("onnx"):
            assert (each.status, each.remark) == (MEASURED, "")
            assert each.best.batch in SMALL.batches
            assert 50 < each.measured.memory_mb < 5000


@pytest.mark.slow
def test_compilation_is_measured_and_has_a_limit():
    """Whether there is a compiler or not, there is a line."""
    spec = dataclasses.replace(SMALL, modes=("compiled",), batches=(2,), repeats=1)
    (late,) = costs.cost(["lenet"], dataclasses.replace(spec, ready_limit=0.2))
    assert late.status == LEFT_OUT
    assert late.remark == "takes longer than 0.2 s to make ready for one batch size"
    (compiled,) = costs.cost(["lenet"], spec)
    assert compiled.status == MEASURED or compiled.remark
    assert compiled.status in (MEASURED, LEFT_OUT)


def test_the_memory_of_a_process_is_its_own():
    """getrusage would give a small process what a large one that started it had."""
    held = np.ones(60_000_000)
    code = "from pathlib import Path; print(Path('/proc/self/status').read_text())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    path = Path("/proc/self/status")
    if not path.exists():
        pytest.skip("only Linux tells it")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("VmHWM")]
    assert int(line.split()[1]) * 1024 < held.nbytes < process_memory() * 1e6


def test_memory_is_read_in_megabytes(tmp_path):
    path = tmp_path / "status"
    path.write_text("Name:\tpython\nVmPeak:\t 900000 kB\nVmHWM:\t 500000 kB\n")
    assert process_memory(path) == pytest.approx(512.0)
    assert process_memory(tmp_path / "nowhere") > 1


def test_a_mode_that_is_not_installed_is_a_line(monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    monkeypatch.setattr(costs, "_ask", lambda *_: (MEASURED, dataclasses.asdict(found(Rate(1, (5.0,))))))
    onnx, eager = costs.cost(["lenet"], dataclasses.replace(SMALL, modes=("onnx", "eager")))
    assert (onnx.status, onnx.measured, eager.status) == (LEFT_OUT, None, MEASURED)
    assert "onnxruntime is not installed: pip install 'rgbench[onnx]'" in onnx.remark
    assert "\n" not in onnx.remark
    assert eager.measured == found(Rate(1, (5.0,))) or math.isnan(eager.measured.device_memory_mb)


@pytest.mark.parametrize(
    ("code", "status", "remark"),
    [
        ("import os; os.kill(os.getpid(), 11)", FAILED, "its process ended with Segmentation fault"),
        ("import os; os.kill(os.getpid(), 9)", FAILED, "its process was killed, perhaps for want of memory"),
        ("raise SystemExit('no more')", FAILED, "its process ended with code 1 (no more)"),
        ('print(\'{"refused": "cannot"}\')', LEFT_OUT, "cannot"),
    ],
)
def test_a_process_that_dies_or_refuses_is_told_and_the_others_go_on(monkeypatch, code, status, remark):
    process(monkeypatch, code)
    first, second = costs.cost(["lenet"], dataclasses.replace(SMALL, modes=("eager", "compiled")))
    assert (first.status, first.remark, first.measured) == (status, remark, None)
    assert second.mode == "compiled"


@pytest.mark.parametrize(
    ("doing", "patience", "status", "remark"),
    [
        ("starting", 0.5, FAILED, "its process said nothing for 0.5 s, and was ended"),
        ("measuring", 1.0, FAILED, "its process said nothing for 1 s, and was ended"),
        ("ready", 60.0, LEFT_OUT, "takes longer than 0.3 s to make ready for one batch size"),
    ],
)
def test_a_process_that_hangs_is_ended_with_all_that_it_started(
    monkeypatch, tmp_path, doing, patience, status, remark
):
    mark = tmp_path / "pid"
    say = "" if doing == "starting" else f'print(\'{{"doing": "{doing}"}}\', flush=True);'
    code = (
        f"import subprocess, sys, time; own = subprocess.Popen(['sleep', '60']);"
        f"open({str(mark)!r}, 'w').write(str(own.pid)); {say} time.sleep(60)"
    )
    process(monkeypatch, code)
    (only,) = costs.cost(["lenet"], dataclasses.replace(SMALL, patience=patience, ready_limit=0.3))
    assert (only.status, only.remark) == (status, remark)
    if mark.exists():
        assert not alive(int(mark.read_text() or 0))


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended, and whose end nobody asked for, does not."""
    for _ in range(50):
        try:
            os.kill(pid, 0)
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        if text.rpartition(")")[2].split()[0] == "Z":
            return False
        time.sleep(0.02)
    return True


def test_a_batch_size_that_cannot_be_computed_is_said_of_it_alone(monkeypatch):
    ready = cost_process._ready

    def short_of_memory(job, networks, batch):
        if batch == 16:
            raise RuntimeError("not enough memory")
        return ready(job, networks, batch)

    monkeypatch.setattr(cost_process, "_ready", short_of_memory)
    result = measure(job(passes=5, repeats=1))
    assert [rate.remark for rate in result.rates] == ["", "", "not enough memory"]
    answer = dataclasses.asdict(result)
    monkeypatch.setattr(costs, "_ask", lambda *_: (MEASURED, json.loads(json.dumps(answer))))
    (only,) = costs.cost(["lenet"], SMALL)
    assert (only.status, only.remark) == (MEASURED, "batches of 16: not enough memory")
    assert only.best.batch in (1, 4)
    assert only.measured.rates[0] == result.rates[0] or math.isnan(result.rates[0].joules_per_image)


def test_an_error_in_the_process_is_an_answer(tmp_path):
    path = tmp_path / "answers"
    for other in ({"name": "nope"}, {"mode": "nope"}):
        with path.open("wb") as answers:
            cost_process.serve(json.dumps(dataclasses.asdict(job(**other))), answers)
        assert "nope" in json.loads(path.read_bytes().splitlines()[-1])["refused"]


def test_one_of_several_networks_that_cannot_be_built_is_a_line(monkeypatch):
    monkeypatch.setattr(costs, "_ask", lambda *_: (LEFT_OUT, "not asked"))
    with pytest.raises(SpecError, match="does not fit"):
        costs.cost(["alexnet"], SMALL)
    odd, other = costs.cost(["alexnet", "lenet"], SMALL)
    assert (odd.subject.name, odd.status, odd.subject.parameters) == ("alexnet", LEFT_OUT, 0)
    assert "does not fit" in odd.remark
    assert (other.subject.name, other.remark) == ("lenet", "not asked")


def zone(folder: Path, name: str, called: str, micro: int, most: int = 1_000_000) -> Path:
    own = folder / name
    own.mkdir(parents=True)
    for key, value in {"name": called, "energy_uj": micro, "max_energy_range_uj": most}.items():
        (own / key).write_text(f"{value}\n")
    return own


def test_rapl_adds_up_processors_and_counts_no_part_twice(tmp_path):
    one = zone(tmp_path, "intel-rapl:0", "package-0", 100_000)
    core = zone(tmp_path, "intel-rapl:0:0", "core", 0)
    two = zone(tmp_path, "intel-rapl:1", "package-1", 900_000)
    whole = zone(tmp_path, "intel-rapl:2", "psys", 0)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0)
    meter = energy_meter("cpu", tmp_path)
    before = meter.read()
    assert before == (0.1, 0.9)
    for own, micro in ((one, 350_000), (core, 200_000), (two, 50_000), (whole, 500_000)):
        (own / "energy_uj").write_text(f"{micro}\n")
    assert meter.since(before) == pytest.approx(0.25 + 0.15)  # the second began again after 1 J
    assert meter.words.startswith("RAPL: the whole processor")


def test_energy_that_is_not_known_says_why(tmp_path, monkeypatch):
    assert energy_meter("cpu", tmp_path).words == f"{tmp_path} has no counters of the processor (intel-rapl)"
    own = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (own / "energy_uj").write_text("none\n")
    broken = energy_meter("cpu", tmp_path)
    assert "cannot be read (" in broken.words
    (own / "energy_uj").unlink()
    assert "cannot be read (No such file" in energy_meter("cpu", tmp_path).words
    assert math.isnan(broken.since(broken.read()))
    monkeypatch.setattr(energy, "find_spec", lambda name: None)
    assert energy_meter("cuda").words == "pynvml is not installed: pip install nvidia-ml-py"
    assert energy_meter("mps").words == "mps has no counter that rgbench reads"


def test_nvml_is_read_by_the_identity_of_the_card(monkeypatch):
    millijoules = iter([1000, 2000, 5000])

    class Nvml:
        asked = ""

        def nvmlInit(self):  # noqa: N802
            pass

        def nvmlDeviceGetHandleByUUID(self, identity):  # noqa: N802
            self.asked = identity
            return identity

        def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
            return next(millijoules)

    class Card:
        uuid = "12-34"

    nvml = Nvml()
    monkeypatch.setattr(energy, "find_spec", lambda name: name)
    monkeypatch.setattr(energy, "import_module", lambda name: nvml)
    monkeypatch.setattr(energy.torch.cuda, "get_device_properties", lambda device: Card())
    meter = energy_meter("cuda:1")
    assert meter.since(meter.read()) == 3.0
    assert nvml.asked == "GPU-12-34"
    assert energy_meter("cuda").words.startswith("NVML does not tell the energy of the graphics card (")


def test_joules_are_those_of_one_image():
    joules = iter([0.0, 8.0])
    meter = Meter((Counter(lambda: next(joules)),), "")
    _, each = cost_process._repeated(lambda: time.sleep(0.3), 2, 2, meter)
    assert each == 2.0  # 2 repeats of one pass of 2 images


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"modes": ("fast",)},
            "mode: found 'fast'; legal are eager, compiled, onnx, openvino, openvino-bf16",
        ),
        ({"modes": ()}, "mode: found ''; legal are eager"),
        ({"batches": ()}, "batch: found none"),
        ({"batches": (1, 0)}, "batch: found 0; whole numbers from 1 on are legal"),
        ({"repeats": 0}, "repeats: found 0"),
        ({"threads": -1}, "threads: found -1"),
        ({"image_size": 0}, "size: found 0"),
    ],
)
def test_wrong_values_are_named_with_the_legal_ones(other, message):
    with pytest.raises(SpecError) as raised:
        CostSpec(**other)
    assert message in str(raised.value)


def test_wrong_names_and_devices_end_it_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr(costs, "_ask", lambda *_: pytest.fail("asked"))
    with pytest.raises(SpecError, match="unknown network 'lenett'; did you mean lenet"):
        costs.cost(["lenet", "lenett"], SMALL)
    with pytest.raises(DeviceError, match="cuda:77"):
        costs.cost(["lenet"], dataclasses.replace(SMALL, device="cuda:77"))
    with pytest.raises(SpecError, match=r"threads: found 99999; 1 to \d+ are legal on this machine"):
        costs.cost(["lenet"], dataclasses.replace(SMALL, threads=99999))
