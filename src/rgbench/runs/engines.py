"""What computes a network: PyTorch, which is always there, or an engine that is an extra and often faster.

All take the same images and give the same numbers to rounding. The network goes to the other engines as an ONNX
graph, which is made once in a process. They are imported when they are asked for, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from rgbench.errors import DataError, DeviceError, SpecError, one_line
from rgbench.networks.modules.build import Network
from rgbench.runs.embedding import with_hidden
from rgbench.runs.onnx_graph import HIDDEN, IMAGES, LOGITS, network_graph

TORCH, AUTO = "torch", "auto"
PACKAGES = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
    "openvino-bf16": ("onnx", "onnxscript", "openvino"),
}
"""The engines beside PyTorch, and the packages that each needs."""
ENGINES = (TORCH, *PACKAGES)
"""Every engine."""
_EXTRAS = {"onnx": "onnx", "openvino": "openvino", "openvino-bf16": "openvino"}
_KEPT = 16
"""Networks that are kept ready for an engine."""

Engine = Callable[[Tensor, bool], tuple[Tensor, Tensor | None]]
"""Computes one view of a batch of images (n, channels, h, w): the logits, and the hidden layer if that is asked for."""


def choose_engine(name: str, device: str = "cpu") -> str:
    """Give the engine that was asked for, or that "auto" stands for, if it can compute here.

    Parameters
    ----------
    name : str
        One of `ENGINES`; "auto" takes onnx if it is installed, else torch, and torch on any device but the processor.
    device : str
        A torch device.

    Returns
    -------
    str
        One of `ENGINES`.

    Raises
    ------
    SpecError
        If there is no such engine, or its packages are not installed: the message says how to install them.
    DeviceError
        If it does not compute on the device, or the processor lacks its arithmetic.

    Examples
    --------
    >>> choose_engine("torch"), choose_engine("auto", "cuda")
    ('torch', 'torch')
    """
    if name == AUTO:
        fits = torch.device(device).type == "cpu" and not lacking("onnx")
        return "onnx" if fits else TORCH
    if name not in ENGINES:
        raise SpecError(f"engine: found {name!r}; legal are {AUTO}, {', '.join(ENGINES)}")
    if name == TORCH:
        return name
    if missing := lacking(name):
        raise SpecError(
            f"engine {name}: {', '.join(missing)} is not installed: pip install 'rgbench[{_EXTRAS[name]}]'; "
            f"the engine {TORCH} needs no more"
        )
    if torch.device(device).type != "cpu":
        raise DeviceError(f"engine {name}: computes on the processor (cpu) alone; the device is {device}")
    if name == "openvino-bf16" and "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise DeviceError(
            f"engine {name}: this processor has no instructions for bfloat16; openvino computes in float32"
        )
    return name


def lacking(name: str) -> list[str]:
    """Give the packages of an engine that are not installed."""
    return [package for package in PACKAGES.get(name, ()) if find_spec(package) is None]


def engine_of(name: str, network: Network, precision: str = "float32") -> Engine:
    """Give what computes a network.

    Parameters
    ----------
    name : str
        As from `choose_engine`.
    network : Network
        In evaluation mode it is, from then on.
    precision : {"float32", "bfloat16"}
        Arithmetic of PyTorch; the other engines have their own. The hidden layer is in float32 always.

    Returns
    -------
    callable
        See `Engine`. It computes in as many threads as PyTorch does when it is made.

    Raises
    ------
    DataError
        If the network cannot be handed over to the engine.
    """
    if name == TORCH:
        return _torch_engine(network.eval(), precision)
    return _compiled(name, network, torch.get_num_threads())


def _torch_engine(network: Network, precision: str) -> Engine:
    def compute(images: Tensor, hidden: bool) -> tuple[Tensor, Tensor | None]:
        if precision == "float32" and hidden:
            logits, read = with_hidden(network, images)
            return logits.float(), read.cpu()
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            logits = network(images).float()
        return logits, with_hidden(network, images)[1].cpu() if hidden else None

    return compute


@lru_cache(maxsize=_KEPT)
def _compiled(name: str, network: Network, threads: int) -> Engine:
    graph = _graph(network)
    try:
        if name == "onnx":
            return _onnx_engine(graph, threads)
        return _openvino_engine(graph, threads, "bf16" if name == "openvino-bf16" else "f32")
    except Exception as error:  # each library has errors of its own, or none but RuntimeError
        raise DataError(
            f"engine {name}: cannot compute network {network.name} ({one_line(error)}); try --engine {TORCH}"
        ) from error


@lru_cache(maxsize=_KEPT)
def _graph(network: Network) -> bytes:
    return network_graph(network)


def onnx_session(graph: bytes, threads: int) -> Any:
    """Open an ONNX graph with ONNX Runtime, on the processor, in so many threads."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _onnx_engine(graph: bytes, threads: int) -> Engine:
    session = onnx_session(graph, threads)

    def compute(images: Tensor, hidden: bool) -> tuple[Tensor, Tensor | None]:
        wanted = [LOGITS, HIDDEN] if hidden else [LOGITS]
        found = [
            torch.from_numpy(each) for each in session.run(wanted, {IMAGES: images.contiguous().numpy()})
        ]
        return found[0], found[1] if hidden else None

    return compute


def _openvino_engine(graph: bytes, threads: int, precision: str) -> Engine:
    core = _core()
    how = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": precision}
    model = core.compile_model(core.read_model(graph), "CPU", how)

    def compute(images: Tensor, hidden: bool) -> tuple[Tensor, Tensor | None]:
        found = model([images.contiguous().numpy()])
        logits = torch.from_numpy(found[LOGITS])
        return logits, torch.from_numpy(found[HIDDEN]) if hidden else None

    return compute


def _core() -> Any:
    return import_module("openvino").Core()
