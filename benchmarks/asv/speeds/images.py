"""Images prepared in a second, on one core."""

from __future__ import annotations

import time

import numpy as np

COUNT, SIDE, PASSES = 64, 300, 5


class Preprocessing:
    """The same nearly empty images, by each preset that protocols use."""

    params = ("becker2021", "modern")
    param_names = ("preset",)
    timeout = 300

    def setup(self, preset: str) -> None:  # noqa: ARG002
        generator = np.random.default_rng(1)
        self.images = generator.normal(0, 1e-4, (COUNT, SIDE, SIDE)).astype(np.float32)
        self.images[:, 145:155, 120:180] += 0.01

    def track_rate(self, preset: str) -> float:
        from rgbench.images.preprocess import preprocess_batch

        preprocess_batch(self.images[:8], preset)
        seconds = []
        for _ in range(PASSES):
            began = time.perf_counter()
            preprocess_batch(self.images, preset)
            seconds.append(time.perf_counter() - began)
        return COUNT / sorted(seconds)[PASSES // 2]

    track_rate.unit = "images/s"  # type: ignore[attr-defined]
