"""The energy that a device takes: counters of processors (RAPL) and of NVIDIA's graphics cards (NVML), where they are.

The counters are those of a whole processor or card: what other programs do on it is in them too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from rgbench.errors import one_line

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the counters of processors."""
_PACKAGE = re.compile(r"intel-rapl:\d+")
"""A whole processor; intel-rapl:0:0 is a part of intel-rapl:0, and would be counted twice."""


@dataclass(frozen=True)
class Counter:
    """One counter of energy.

    Attributes
    ----------
    joules : callable
        Reads it, in joules.
    size : float
        Joules after which it begins again from 0; infinite where it does not.
    """

    joules: Callable[[], float]
    size: float = math.inf


@dataclass(frozen=True)
class Meter:
    """The counters of a device.

    Attributes
    ----------
    counters : tuple of Counter
        They are added up; empty where there are none.
    words : str
        What they count; where there are none, why.

    Examples
    --------
    >>> joules = iter([90.0, 20.0])
    >>> meter = Meter((Counter(lambda: next(joules), size=100.0),), "one that began again")
    >>> meter.since(meter.read())
    30.0
    """

    counters: tuple[Counter, ...]
    words: str

    def read(self) -> tuple[float, ...]:
        """Read all counters, in joules."""
        return tuple(counter.joules() for counter in self.counters)

    def since(self, before: tuple[float, ...]) -> float:
        """Give the joules since the counters were read; NaN where there are none."""
        if not self.counters:
            return math.nan
        taken = zip(self.counters, before, self.read(), strict=True)
        # Where a counter began again, what is missing is its size, as long as it did so only once.
        return sum(now - then + (counter.size if now < then else 0.0) for counter, then, now in taken)


def energy_meter(device: str, powercap: Path = POWERCAP) -> Meter:
    """Find the counters of a device.

    Parameters
    ----------
    device : str
        A torch device.
    powercap : Path
        Where the counters of processors are.

    Returns
    -------
    Meter
        One without counters says in its `words` why there are none.

    Examples
    --------
    >>> energy_meter("cpu", Path("nowhere")).words
    'nowhere has no counters of the processor (intel-rapl)'
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return _nvml(torch.device(device))
    if kind == "cpu":
        return _rapl(powercap)
    return Meter((), f"{kind} has no counter that rgbench reads")


def _rapl(powercap: Path) -> Meter:
    zones = [zone for zone in _zones(powercap) if _text(zone / "name") != "psys"]  # psys holds the others
    if not zones:
        return Meter((), f"{powercap} has no counters of the processor (intel-rapl)")
    try:
        counters = tuple(_zone(zone) for zone in zones)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        return Meter((), f"the counters of the processor cannot be read ({reason}: {zones[0] / 'energy_uj'})")
    return Meter(counters, "RAPL: the whole processor, without memory and the rest of the machine")


def _zones(powercap: Path) -> list[Path]:
    try:
        return sorted(zone for zone in powercap.iterdir() if _PACKAGE.fullmatch(zone.name))
    except OSError:
        return []


def _zone(zone: Path) -> Counter:
    def joules() -> float:
        return int((zone / "energy_uj").read_text(encoding="ascii")) / 1e6

    joules()  # whether it can be read is told now, not in the middle of the work
    return Counter(joules, int((zone / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _nvml(device: torch.device) -> Meter:
    if find_spec("pynvml") is None:
        return Meter((), "pynvml is not installed: pip install nvidia-ml-py")
    try:
        return Meter((_card(import_module("pynvml"), device),), "NVML: the whole graphics card alone")
    except Exception as error:  # the library has errors of its own for each card and driver
        return Meter((), f"NVML does not tell the energy of the graphics card ({one_line(error)})")


def _card(nvml: Any, device: torch.device) -> Counter:
    nvml.nvmlInit()
    # By its identity: NVML numbers all cards, torch those that it may see.
    identity = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    handle = nvml.nvmlDeviceGetHandleByUUID(identity)

    def joules() -> float:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000

    joules()
    return Counter(joules)
