"""Images/s and memory of training against the number of images, in memory and streamed from a file; a figure of it.

    .venv/bin/python benchmarks/growth.py --out FILE.json --figure FILE.png

MCRGNet under the protocol `modern`, whose steps are so short that bringing the images counts. Each number of images has
a fresh process, in each way. Before the streamed steps the file is dropped from the memory of the system.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

COUNTS = (1_000, 3_000, 10_000, 30_000, 100_000, 200_000)
WAYS = ("memory", "file")
MOST_RESIDENT = 100_000
"""Images that are kept in memory at most: 7 GB, twice while they are brought there."""
STEPS = 150


def train(n: int, way: str) -> dict[str, float]:
    """Train on n images, which are made up, for some steps; give images/s and megabytes."""
    import torch

    from rgbench.images import storage
    from rgbench.images.network_input import kept_pixels
    from rgbench.runs.inputs import ImageSource
    from rgbench.runs.prepare import make_network
    from rgbench.spec import Study, resolve
    from rgbench.training.loop import TrainingStep
    from rgbench.training.shortcuts import Shortcuts

    study = Study(name="growth", networks=("mcrgnet",), seeds=(8901,), protocol="modern")
    spec = resolve(study, "growth", (300, 300), 1.8)[0]
    side = kept_pixels(spec)
    pixels = storage.make_stack((n, side, side), most=0 if way == "file" else 1 << 60)
    rng = np.random.default_rng(1)
    for first in range(0, n, 1000):
        blobs = np.zeros((min(1000, n - first), side, side), np.float32)
        blobs[:, side // 2 - 4 : side // 2 + 4, side // 2 - 9 : side // 2 + 9] = rng.random(
            (len(blobs), 8, 18)
        )
        pixels[first : first + len(blobs)] = blobs
    if isinstance(pixels, np.memmap):
        forget(pixels)
    labels = np.arange(n) % 4
    source = ImageSource(pixels, labels, spec, torch.device("cpu"))
    network = (
        make_network(spec, 4, torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last).train()
    )
    step, seconds = TrainingStep.of(network, spec.recipe, Shortcuts()), []
    epoch = 0
    while len(seconds) < STEPS:
        epoch, began = epoch + 1, time.perf_counter()
        for images, wanted in source.training(np.arange(n)).epoch(epoch):
            float(step(images, wanted))
            seconds.append(time.perf_counter() - began)
            began = time.perf_counter()
            if len(seconds) >= STEPS:
                break
    return {"images_per_second": spec.recipe.batch_size / statistics.mean(seconds[5:])} | memory()


def forget(pixels: np.memmap) -> None:
    """Write a file without a name out, and drop it from the memory of the system, so that it is read from the disk."""
    pixels.flush()
    pixels._mmap.madvise(mmap.MADV_DONTNEED)
    for link in list(Path("/proc/self/fd").iterdir()):
        if link.is_symlink() and "(deleted)" in str(link.readlink()):
            os.posix_fadvise(int(link.name), 0, 0, os.POSIX_FADV_DONTNEED)


def memory() -> dict[str, float]:
    """Give the memory of this process that is its own, and that which maps files, in MB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        key: int(lines[name].split()[0]) * 1024 / 1e6
        for key, name in (("own_mb", "RssAnon"), ("file_mb", "RssFile"))
    }


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Draw both against the number of images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    rate, size = figure.subplots(1, 2)
    for way, mark in zip(WAYS, ("o-", "s--"), strict=True):
        own = [each for each in found if each["way"] == way]
        n = [each["n"] for each in own]
        rate.plot(n, [each["images_per_second"] for each in own], mark, label=f"images in {way}")
        size.plot(n, [each["own_mb"] / 1e3 for each in own], mark, label=f"images in {way}")
    for axes, label in ((rate, "training images/s"), (size, "memory of the process, GB")):
        axes.set(xscale="log", xlabel="images", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main() -> None:
    """Train with each number of images in each way, and keep what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--figure", type=Path, help="PNG file to draw")
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        from rgbench.training.shortcuts import memory_kept

        with memory_kept():
            print(json.dumps(train(options.counts[0], options.child)))
        return
    found: list[dict[str, Any]] = []
    for n in options.counts:
        for way in WAYS:
            if way == "memory" and n > MOST_RESIDENT:
                continue
            command = [sys.executable, __file__, "--child", way, "--counts", str(n)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append({"n": n, "way": way} | json.loads(done.stdout.splitlines()[-1]))
            print(found[-1], flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    if options.figure:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
