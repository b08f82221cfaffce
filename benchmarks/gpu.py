"""What one GPU gives: the networks of the 2021 study in each way of computing, beside the CPU and plain PyTorch.

    make bench-gpu                                                       # kept under benchmarks/results/
    .venv/bin/python benchmarks/gpu.py --networks mcrgnet --device cpu   # try the script where there is no GPU

Each network is timed in a process of its own, at 300 px, batch 32, images on the device. First it is checked: the
logits of the device against those of the CPU, both in float32. Then every way trains and answers. A way that fails says
why, and the others go on. Last, one epoch of the protocol `becker2021` by the code that computes studies.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import rgbench
from rgbench.protocols import read_protocol
from rgbench.spec import RecipeSpec
from rgbench.training.loop import TrainingStep, autocast
from rgbench.training.shortcuts import NONE, Shortcuts

SIZE, BATCH, CLASSES = 300, 32, 4
SECONDS, LEAST, WARM = 2.0, 5, 3
"""A way is timed for so many seconds, in so many steps at least, after so many that warm up."""


@dataclass(frozen=True)
class Way:
    """How steps are computed.

    Attributes
    ----------
    precision : str
        "float32" or "bfloat16".
    tf32 : bool
        Products of float32 numbers are rounded to TF32.
    plain : bool
        As PyTorch comes: no shortcuts, planes in the order NCHW.
    by : str
        "eager", "compiled" (`torch.compile`), or "graph" (`torch.compile` with CUDA graphs).
    """

    precision: str = "float32"
    tf32: bool = False
    plain: bool = False
    by: str = "eager"


WAYS = {
    "plain": Way(plain=True),
    "float32": Way(),
    "tf32": Way(tf32=True),
    "bfloat16": Way("bfloat16"),
    "bfloat16 compiled": Way("bfloat16", by="compiled"),
    "bfloat16 graph": Way("bfloat16", by="graph"),
}


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def per_second(step: Callable[[], object], device: torch.device) -> float:
    """Give images/s of a step, which is one batch: the median step after some that warm up."""
    for _ in range(WARM):
        step()
    wait(device)
    seconds: list[float] = []
    while sum(seconds) < SECONDS or len(seconds) < LEAST:
        began = time.perf_counter()
        step()
        wait(device)
        seconds.append(time.perf_counter() - began)
    return BATCH / statistics.median(seconds)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Give made-up images, nearly empty as those of the study, and labels."""
    images = torch.rand(BATCH, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1)).pow(8)
    return images, torch.arange(BATCH) % CLASSES


def off_by(name: str, device: torch.device) -> float:
    """Give the largest difference of a logit from the CPU's, over the spread of the CPU's logits."""
    images, _ = batch()
    found = []
    for where in (torch.device("cpu"), device):
        network = rgbench.build_network(name, SIZE, CLASSES, seed=1).to(where).eval()
        with torch.inference_mode():
            found.append(network(images.to(where)).double().cpu())
    return float((found[1] - found[0]).abs().max() / found[0].std())


def time_way(name: str, way: Way, device: torch.device) -> dict[str, float]:
    """Time training and inference of a network in one way."""
    torch.set_float32_matmul_precision("high" if way.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = way.tf32
    network = rgbench.build_network(name, SIZE, CLASSES, seed=1).to(device)
    images, labels = (each.to(device) for each in batch())
    if not way.plain:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    recipe = RecipeSpec(**read_protocol("becker2021")["recipe"] | {"precision": way.precision})
    step = TrainingStep.of(network, recipe, NONE if way.plain else Shortcuts())
    if way.by != "eager":
        network.compile(dynamic=False, mode="reduce-overhead" if way.by == "graph" else None)

    def infer() -> None:
        with torch.inference_mode(), autocast(device, way.precision):
            network(images)

    network.train()
    training = per_second(lambda: step(images, labels), device)
    network.eval()
    return {"training": training, "inference": per_second(infer, device)}


def time_network(name: str, device: torch.device) -> dict[str, Any]:
    """Check a network on the device, and time it in every way."""
    found: dict[str, Any] = {"off_by": off_by(name, device)}
    for called, way in WAYS.items():
        try:
            found[called] = time_way(name, way, device)
        except Exception as error:
            found[called] = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
        torch.compiler.reset()
    if device.type == "cuda":
        found["memory_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
    return found


STUDY = """
name = "gpu"
networks = ["{name}"]
seeds = [8901]
protocol = "becker2021"
[data]
name = "first-galaxy-data"
[recipe]
epochs = 2
precision = "auto"
"""


def time_protocol(name: str, device: torch.device) -> dict[str, float]:
    """Train two epochs of the 2021 protocol; the second has all batches at hand."""
    from rgbench.runs.study import find_study, run_study
    from rgbench.store.store import Store

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "gpu.toml").write_text(STUDY.format(name=name))
        began = time.perf_counter()
        store, study = Store(Path(folder, "store")), find_study(str(Path(folder, "gpu.toml")))
        (record,) = run_study(study, store, device=str(device))
        whole = time.perf_counter() - began
        epochs = record.history["seconds"]
    return {"epoch_seconds": float(epochs[-1]), "run_seconds_of_16_epochs": whole + 14 * float(epochs[-1])}


def ask(name: str, device: str, what: str) -> Any:
    """Have one network timed in a process of its own."""
    command = [sys.executable, __file__, "--networks", name, "--device", device, "--child", what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def machine(device: torch.device) -> dict[str, Any]:
    """Say what this was measured on."""
    found: dict[str, Any] = {"device": str(device), "cores": os.cpu_count(), "torch": torch.__version__}
    if device.type == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
        found["cudnn"] = torch.backends.cudnn.version()
    return found


def networks() -> list[str]:
    """Give the networks of the study `becker2021`."""
    from rgbench.runs.study import find_study

    return [str(name) for name in find_study("becker2021").networks]


def main() -> None:
    """Time the networks, print it, and keep it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1; cpu only tries the script")
    parser.add_argument("--networks", nargs="+", help="some of them; left out: all 14")
    parser.add_argument("--no-protocol", action="store_true", help="leave out the epochs of becker2021")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--child", choices=("network", "protocol"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.exit(message="There is no GPU here that PyTorch can use: nothing was measured.\n")
    if options.child:
        work = time_network if options.child == "network" else time_protocol
        print(json.dumps(work(options.networks[0], device)))
        return
    results: dict[str, Any] = {}
    for name in options.networks or networks():
        results[name] = ask(name, options.device, "network")
        if not options.no_protocol:
            results[name]["becker2021"] = ask(name, options.device, "protocol")
        print(name, json.dumps(results[name]), flush=True)
        if options.out:
            report = {"machine": machine(device), "size": SIZE, "batch": BATCH, "networks": results}
            options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
