"""The device that computes: chosen, checked, named, and its memory."""

from __future__ import annotations

import platform
import resource
import sys
from pathlib import Path

import torch

from rgbench.errors import DeviceError


def choose_device(name: str) -> str:
    """Give the device that "auto" stands for: cuda if it is there, else cpu; other names stand."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def device_kind(name: str) -> str:
    """Give the kind of a device by its name, as cuda of cuda:1, whether it is there or not.

    Raises
    ------
    DeviceError
        If there are no devices of that name.
    """
    try:
        return torch.device(name).type
    except RuntimeError as error:
        raise DeviceError(f"device {name!r} is not known ({str(error).splitlines()[0]})") from None


def check_device(device: str) -> None:
    """Raise `DeviceError` if a torch device is not there; never fall back to another one."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(f"device {device!r} is not available ({reason}); try --device cpu") from None


def emulates_bfloat16(device: str) -> bool:
    """Tell whether a device has no instructions for bfloat16, so that it is slower there than float32.

    Measured on two cores with AVX2 alone: a training step of ConvXpress takes 6 times as long as in float32.
    """
    if torch.device(device).type != "cpu" or platform.machine() not in ("x86_64", "AMD64"):
        return False
    return torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")


def _peak_memory(device: torch.device) -> float:
    """Give the peak memory in MB: of the device, or of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return process_memory()


def process_memory(status: Path = Path("/proc/self/status")) -> float:
    """Give the peak memory of this process, in MB."""
    # What getrusage gives begins, on Linux, with the memory of the process that started this one.
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
