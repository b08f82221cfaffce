"""FITS files/s, read and preprocessed on one core: copies of the mirror's MiraBest images of 300 x 300 pixels."""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rgbench.images.fits import read_fits
from rgbench.images.preprocess import preprocess

SHAPE = (300, 300)


def unpack(mirror: Path, folder: Path, count: int) -> list[Path]:
    """Write the FITS files of the mirror, unpacked, to a folder, again and again until there are enough."""
    packed = sorted((mirror / "MiraBest_FITS").glob("*.fits.gz"))
    if not packed:
        sys.exit(f"{mirror}: there is no file MiraBest_FITS/*.fits.gz")
    contents = [gzip.decompress(path.read_bytes()) for path in packed]
    written = []
    for number, content in zip(range(count), itertools.cycle(contents), strict=False):
        path = folder / f"{number:05}.fits"
        path.write_bytes(content)
        written.append(path)
    return written


def read_all(paths: list[Path]) -> None:
    """Read each file, and keep nothing."""
    for path in paths:
        read_fits(path)


def prepare_all(paths: list[Path], preset: str) -> np.ndarray:
    """Read and preprocess each file on its own, and keep all results."""
    first = preprocess(read_fits(paths[0]).pixels, preset)
    images = np.empty((len(paths), *first.shape), np.float32)
    for image, path in zip(images, paths, strict=True):
        image[:] = preprocess(read_fits(path).pixels, preset)
    return images


def files_per_second(work, paths: list[Path], repeats: int) -> float:
    """Median of some passes after one that warms up."""
    work(paths[:50])
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        work(paths)
        rates.append(len(paths) / (time.perf_counter() - began))
    return statistics.median(rates)


def main() -> None:
    """Time the presets that are named, and reading alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=["becker2021", "mirabest"], help="names of presets")
    parser.add_argument("--mirror", type=Path, default=os.environ.get("RGBENCH_MIRROR"))
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.mirror is None:
        parser.error("give --mirror, or set RGBENCH_MIRROR")
    if hasattr(os, "sched_setaffinity"):
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(cores)})
    with TemporaryDirectory() as folder:
        paths = unpack(Path(options.mirror), Path(folder), options.files)
        print(f"{len(paths)} files of {SHAPE[0]} x {SHAPE[1]} pixels, one core of {os.cpu_count()}")
        print(f"{'reading alone':20}{files_per_second(read_all, paths, options.repeats):8.0f} files/s")
        for preset in options.presets:
            rate = files_per_second(lambda p, preset=preset: prepare_all(p, preset), paths, options.repeats)
            print(f"{preset:20}{rate:8.0f} files/s")


if __name__ == "__main__":
    main()
