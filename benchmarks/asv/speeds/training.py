"""A training step beside plain PyTorch: a ratio, which says more about the code than about the machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

PAIRS = 5


def seconds(step: Callable[[], object]) -> float:
    """Seconds of one step."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


class TrainingStep:
    """32 images of 300 x 300 pixels; both sides take steps by turns, and the median of the ratios counts."""

    params = ("convxpress", "mcrgnet", "radio-galaxy-zoo")
    param_names = ("network",)
    timeout = 600

    def track_times_plain_pytorch(self, network: str) -> float:
        from benchmarks.networks_2021 import steps_of

        plain, _, _ = steps_of(network, "plain")
        ours, _, _ = steps_of(network, "rgbench")
        for step in (plain, ours):  # the first ones are slow
            step()
            step()
        return statistics.median(seconds(plain) / seconds(ours) for _ in range(PAIRS))

    track_times_plain_pytorch.unit = "times as fast"  # type: ignore[attr-defined]
