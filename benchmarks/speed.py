"""Images/s of training, inference and augmentation at 300 px, beside plain PyTorch and scikit-image."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from skimage.transform import rotate as skimage_rotate
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import rgbench
from rgbench.data.sets import load_data
from rgbench.images.augment import rotate, rotate_stack
from rgbench.images.preprocess import preprocess_batch
from rgbench.training.loop import autocast
from rgbench.training.loss import cross_entropy

NETWORKS = ("convxpress", "mcrgnet", "toothless")
SIZE, BATCH = 300, 32


def rate(work: Callable[[], int], repeats: int) -> float:
    """Median images/s of `repeats` passes after one that warms up; `work` gives the number of images."""
    work()
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        n = work()
        rates.append(n / (time.perf_counter() - began))
    return statistics.median(rates)


def network_speed(name: str, batches: int, repeats: int) -> dict[str, float]:
    """Time one network: ours (bfloat16, channels last) and plain (float32, NCHW, DataLoader)."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(BATCH * batches, 1, SIZE, SIZE, generator=generator)
    labels = torch.randint(0, 4, (len(images),), generator=generator)
    loader = DataLoader(TensorDataset(images, labels), batch_size=BATCH, shuffle=True)
    ready = images.contiguous(memory_format=torch.channels_last)
    found = {}
    for kind in ("plain", "rgbench"):
        network = rgbench.build_network(name, SIZE, 4, seed=1)
        if kind == "rgbench":
            network = network.to(memory_format=torch.channels_last)
        precision = "bfloat16" if kind == "rgbench" else "float32"
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-5)
        source = (
            loader if kind == "plain" else list(zip(ready.split(BATCH), labels.split(BATCH), strict=True))
        )
        found[f"{kind}_training"] = rate(lambda: train(network, source, optimizer, precision), repeats)  # noqa: B023
        found[f"{kind}_inference"] = rate(lambda: infer(network, source, precision), repeats)  # noqa: B023
    return found


def train(network: nn.Module, source, optimizer: torch.optim.Optimizer, precision: str) -> int:
    """One pass of training steps."""
    network.train()
    n = 0
    for images, labels in source:
        with autocast(images.device, precision):
            logits = network(images)
        loss = cross_entropy(logits, labels, "softmax") + network.l2_penalty()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        n += len(images)
    return n


def infer(network: nn.Module, source, precision: str) -> int:
    """One pass of inference."""
    network.eval()
    n = 0
    with torch.inference_mode():
        for images, _ in source:
            with autocast(images.device, precision):
                network(images)
            n += len(images)
    return n


def augmentation_speed(repeats: int) -> dict[str, float]:
    """Time the 24 rotations of real, clipped 300 x 300 images, in all three ways that are used."""
    dataset = load_data("first-galaxy-data")
    clipped = preprocess_batch(dataset.images[:64], "becker2021")
    stack, angles = torch.from_numpy(clipped), range(0, 360, 15)
    drawn = torch.tensor(angles, dtype=torch.float32).repeat(4)[:BATCH]

    def by_skimage() -> int:
        for angle in angles:
            skimage_rotate(clipped[0], angle)
        return len(angles)

    def in_batches() -> int:
        for first in range(0, len(stack), BATCH):
            rotate(stack[first : first + BATCH, None], drawn)
        return len(stack)

    def all_angles() -> int:
        return sum(len(rotate_stack(stack[:16], angle)) for angle in angles)

    return {
        "skimage": rate(by_skimage, repeats),
        "rgbench_batches": rate(in_batches, repeats),
        "rgbench_all_angles": rate(all_angles, repeats),
    }


def machine() -> dict[str, object]:
    """Say what this was measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bfloat16_instructions": "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _cpu_flags() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def main() -> None:
    """Run everything, print it, and keep it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--batches", type=int, default=4, help="batches of 32 images in a pass")
    parser.add_argument("--repeats", type=int, default=3, help="passes, of which the median counts")
    parser.add_argument("--network", choices=NETWORKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.network:
        print(json.dumps(network_speed(options.network, options.batches, options.repeats)))
        return
    results: dict[str, dict[str, float]] = {"augmentation": augmentation_speed(options.repeats)}
    print(f"augmentation, {SIZE} px: {_show(results['augmentation'])}")
    for name in NETWORKS:
        command = [sys.executable, __file__, "--network", name]
        command += ["--batches", str(options.batches), "--repeats", str(options.repeats)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = results[name] = json.loads(done.stdout)
        print(f"{name}, {SIZE} px, batch {BATCH}: {_show(found)}")
        for what in ("training", "inference"):
            print(f"  {what}: {found[f'rgbench_{what}'] / found[f'plain_{what}']:.2f} times plain PyTorch")
    report = {"machine": machine(), "images_per_second": results, "size": SIZE, "batch": BATCH}
    report |= {
        "estimator": f"median of {options.repeats} passes of {options.batches} batches after a warm-up"
    }
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


def _show(found: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.1f}" for key, value in found.items())


if __name__ == "__main__":
    main()
