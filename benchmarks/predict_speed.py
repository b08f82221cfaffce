"""Cutouts/s that the classifier which comes with the package answers, from images in memory.

    python benchmarks/predict_speed.py [--threads 2] [--count 512] [--repeats 3]

Raw: 300 x 300 pixels of first-galaxy-data, its noise measured, clipped, brought to the common beam, classified.
Prepared: what the network's frame needs, 128 x 128 pixels, ready. Both give probabilities, for each number of views.
Beside them: how many of the published test sources are right, keep their class when they are turned by 90 degrees, and
have that of eight views.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from rgbench.data.sets import load_data
from rgbench.runs.classifier import AUTO_VIEWS, load_classifier
from rgbench.runs.inputs import cut_to_field, prepare


def rate(work: Callable[[], object], count: int, repeats: int) -> float:
    """Median of some passes after one that warms up."""
    work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return count / statistics.median(seconds)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    dataset = load_data("first-galaxy-data")
    images = dataset.images[: wanted.count].astype(np.float32)
    classifier = load_classifier()
    ready = cut_to_field(prepare(images, classifier.card.spec), classifier.card.spec)
    print(
        f"{classifier.name}, {len(classifier.members)} networks, {wanted.threads} threads, {len(images)} cutouts"
    )
    print(
        f"preparation alone: {rate(lambda: prepare(images, classifier.card.spec), len(images), wanted.repeats):.0f}/s"
    )
    test = np.flatnonzero(dataset.splits["published"] == "test")
    shown, label = dataset.images[test].astype(np.float32), dataset.catalogue.label[test]
    eight = classifier.with_views(8).predict(shown).argmax(axis=1)
    for n in (AUTO_VIEWS, 8, 4, 2, 1):
        seen = classifier.with_views(n)
        own = seen.predict(shown).argmax(axis=1)
        turned = seen.predict(np.rot90(shown, axes=(1, 2)).copy()).argmax(axis=1)
        counts = [int((own == other).sum()) for other in (label, turned, eight)]
        print(
            f"{n} views: {counts[0]} right, {counts[1]} the same turned, {counts[2]} as with 8, of {len(test)}"
        )
        prepared = rate(lambda seen=seen: seen.predict(ready, prepared=True), len(images), wanted.repeats)
        raw = rate(lambda seen=seen: seen.predict(images), len(images), wanted.repeats)
        print(f"{n} views: {prepared:.0f}/s prepared, {raw:.0f}/s raw")


if __name__ == "__main__":
    main()
