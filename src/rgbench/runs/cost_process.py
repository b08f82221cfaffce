"""What one network costs in one mode, measured in a process of its own; `rgbench.runs.cost` starts it and listens.

Nothing but the network, what computes it and the measurement is in the process, so that memory and speed are theirs.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from rgbench.errors import DataError, one_line
from rgbench.extensions import load_extensions, named_in_environment
from rgbench.networks.modules.build import Network, build_layers, build_network, make_generator
from rgbench.networks.notation.notation import parse_layers
from rgbench.runs.classifier import load_classifier, names_classifier
from rgbench.runs.device import _device_name, check_device, process_memory
from rgbench.runs.energy import Meter, energy_meter
from rgbench.runs.engines import TORCH, choose_engine, engine_of

EAGER, COMPILED = "eager", "compiled"
"""The two modes that are PyTorch's own; the others are engines."""
READY, MEASURING = "ready", "measuring"
"""What the process says that it begins: making the network ready for a batch size, or measuring it."""
WARM_UP, LEAST_WARM_UP, WARM_UP_SECONDS = 10, 3, 3.0
"""Passes before the latency is measured; fewer, but not below the second, where they take longer than so many s."""
LEAST_PASSES, LATENCY_SECONDS = 20, 15.0
"""The same for passes whose latency is measured."""
REPEAT_SECONDS = 0.2
"""Passes of a batch follow each other for so long in each repeat: short ones are timed together."""

Work = Callable[[], object]
"""Computes a batch once; its logits are on the host then."""


@dataclass(frozen=True)
class Job:
    """What is to be measured: a network by its name, or a classifier, in one mode; see `rgbench.runs.cost.CostSpec`."""

    name: str
    mode: str
    image_size: int
    n_classes: int
    channels: int
    device: str
    batches: tuple[int, ...]
    repeats: int
    threads: int
    passes: int
    layers: str = ""


@dataclass(frozen=True)
class Rate:
    """How fast batches of one size are.

    Attributes
    ----------
    batch : int
        Images of a batch.
    images_per_second : tuple of float
        The rate in each repeat.
    joules_per_image : float
        Energy over all repeats; NaN where it is not known.
    ready_s : float
        Seconds that it took to make the network ready for this size, the first pass among them.
    remark : str
        Why there is no rate; empty where there is one.
    """

    batch: int
    images_per_second: tuple[float, ...] = ()
    joules_per_image: float = math.nan
    ready_s: float = math.nan
    remark: str = ""

    @property
    def median(self) -> float:
        """The median rate over the repeats, images/s; NaN without any."""
        return float(np.median(self.images_per_second)) if self.images_per_second else math.nan


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes
    ----------
    latency_ms : tuple of float
        Milliseconds of each pass of one image.
    warm_up : int
        Passes before those.
    ready_s : float
        Seconds that it took to make the network ready for one image: graph, compilation, first pass.
    rates : tuple of Rate
        One for each batch size.
    memory_mb, device_memory_mb : float
        Peak memory of the process, and of a graphics card (NaN without one), in MB (1e6 bytes).
    energy : str
        What counted the energy, or why it is not known.
    device, torch, engine : str
        Name of the device, versions of torch and of what computed.
    """

    latency_ms: tuple[float, ...]
    warm_up: int
    ready_s: float
    rates: tuple[Rate, ...]
    memory_mb: float
    device_memory_mb: float
    energy: str
    device: str
    torch: str
    engine: str

    @classmethod
    def read(cls, told: dict[str, Any]) -> Measured:
        """Make it of what JSON had."""
        rates = tuple(
            Rate(**{**rate, "images_per_second": tuple(rate["images_per_second"])}) for rate in told["rates"]
        )
        return cls(**{**told, "latency_ms": tuple(told["latency_ms"]), "rates": rates})


def measure(job: Job, tell: Callable[[str], None] = lambda _: None) -> Measured:
    """Measure what a network costs in one mode, in this process.

    Parameters
    ----------
    job : Job
        What is to be measured.
    tell : callable
        Is told `READY` or `MEASURING` when that begins.

    Returns
    -------
    Measured
        See there. A batch size that cannot be computed has a remark in its `Rate`.

    Raises
    ------
    RgbenchError
        If the network cannot be built, or the mode is not to be had.

    Examples
    --------
    >>> job = Job("lenet", "eager", 32, 4, 1, "cpu", (1, 4), repeats=2, threads=1, passes=20)
    >>> found = measure(job)
    >>> len(found.latency_ms), [rate.batch for rate in found.rates]
    (20, [1, 4])
    """
    torch.set_num_threads(job.threads)
    check_device(job.device)
    if job.mode not in (EAGER, COMPILED):
        choose_engine(job.mode, job.device)
    networks, device = networks_of(job), torch.device(job.device)
    tell(READY)
    work, ready_s = _ready(job, networks, 1)
    tell(MEASURING)
    with _passes(job.mode):
        latencies, warm_up = _latencies(work, job.passes)
    meter = energy_meter(job.device)
    rates = tuple(_rate(job, networks, batch, meter, tell) for batch in job.batches)
    on_card = device.type == "cuda"
    return Measured(
        latency_ms=latencies,
        warm_up=warm_up,
        ready_s=ready_s,
        rates=rates,
        memory_mb=process_memory(),
        device_memory_mb=torch.cuda.max_memory_allocated(device) / 1e6 if on_card else math.nan,
        energy=meter.words,
        device=_device_name(device),
        torch=torch.__version__,
        engine=_engine_version(job.mode),
    )


def networks_of(job: Job) -> list[Network]:
    """Give the network, or all that a classifier has, on the device and ready to answer."""
    network: Network
    if job.layers:
        network = build_layers(
            parse_layers(job.layers), job.image_size, job.n_classes, job.channels, make_generator(1)
        )
    elif names_classifier(job.name):
        return [member.network.eval() for member in load_classifier(job.name, job.device).members]
    else:
        network = build_network(job.name, job.image_size, job.n_classes, job.channels, seed=1)
    return [network.to(job.device).eval()]


def _ready(job: Job, networks: Sequence[Network], batch: int) -> tuple[Work, float]:
    """Make networks ready for a batch size; give what computes a batch, and the seconds that it took."""
    images = _images(networks[0], batch, job.device)
    began = time.perf_counter()
    with torch.no_grad():
        work = _compiled(networks, images) if job.mode == COMPILED else _by_engine(job, networks, images)
    with _passes(job.mode):
        work()
    return work, time.perf_counter() - began


def _images(network: Network, batch: int, device: str) -> Tensor:
    """Give a batch of noise: what is in the pixels changes no time."""
    size = network.image_size
    rows, columns = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(1)
    return torch.rand((batch, network.channels, rows, columns), generator=generator).to(device)


def _by_engine(job: Job, networks: Sequence[Network], images: Tensor) -> Work:
    name = TORCH if job.mode == EAGER else job.mode
    engines = [engine_of(name, network) for network in networks]
    return lambda: [engine(images, False)[0].cpu() for engine in engines]


def _compiled(networks: Sequence[Network], images: Tensor) -> Work:
    # The compiler keeps what it made for other sizes, and gives up at the eighth without a word.
    torch._dynamo.reset()
    torch._inductor.config.freezing = True
    compiled = [torch.compile(network, dynamic=False) for network in networks]
    return lambda: [each(images).cpu() for each in compiled]


def _passes(mode: str) -> AbstractContextManager[object]:
    """Give what passes are computed under: weights are frozen only without the mode for inference."""
    return torch.no_grad() if mode == COMPILED else torch.inference_mode()


def _latencies(work: Work, passes: int) -> tuple[tuple[float, ...], int]:
    """Time passes of one image, in ms, after some that warm up; give them, and how many warmed up."""
    warm_up = _timed(work, min(WARM_UP, passes), LEAST_WARM_UP, WARM_UP_SECONDS)
    found = _timed(work, passes, LEAST_PASSES, LATENCY_SECONDS)
    return tuple(1000 * seconds for seconds in found), len(warm_up)


def _timed(work: Work, passes: int, least: int, seconds: float) -> list[float]:
    """Time so many passes; fewer, but not fewer than the least, where they take longer than so many seconds."""
    found: list[float] = []
    while len(found) < passes and (len(found) < least or sum(found) < seconds):
        found.append(_seconds(work))
    return found


def _seconds(work: Work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _rate(
    job: Job, networks: Sequence[Network], batch: int, meter: Meter, tell: Callable[[str], None]
) -> Rate:
    """Measure batches of one size; what cannot be computed, as for want of memory, is said of this size alone."""
    try:
        tell(READY)
        work, ready_s = _ready(job, networks, batch)
        tell(MEASURING)
        with _passes(job.mode):
            rates, joules = _repeated(work, batch, job.repeats, meter)
        return Rate(batch, rates, joules, ready_s)
    except Exception as error:  # each library has errors of its own
        return Rate(batch, remark=one_line(error))


def _repeated(work: Work, batch: int, repeats: int, meter: Meter) -> tuple[tuple[float, ...], float]:
    """Give the images/s of each repeat, and the joules per image over all."""
    passes = max(1, math.ceil(REPEAT_SECONDS / max(_seconds(work), 1e-6)))

    def once() -> None:
        for _ in range(passes):
            work()

    before = meter.read()
    seconds = [_seconds(once) for _ in range(repeats)]
    joules = meter.since(before)
    return tuple(passes * batch / each for each in seconds), joules / (repeats * passes * batch)


def _engine_version(mode: str) -> str:
    if mode in (EAGER, COMPILED):
        return f"torch {torch.__version__}"
    name = "onnxruntime" if mode == "onnx" else "openvino"
    # Behind the first hyphen OpenVINO has the numbers of a build and of a commit.
    return f"{name} {str(import_module(name).__version__).partition('-')[0]}"


def serve(text: str, answers: IO[bytes]) -> None:
    """Measure a job that is told as JSON; each answer is a line of JSON, the last one what was found or why not."""

    def tell(**answer: object) -> None:
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()

    told = json.loads(text)
    job = Job(**{**told, "batches": tuple(told["batches"])})
    try:
        load_extensions(named_in_environment())
        found = measure(job, lambda doing: tell(doing=doing))
        _check_rates(found.rates)
        tell(found=asdict(found))
    # Whatever a library raises is told to who asked, and the other modes go on.
    except Exception as error:
        tell(refused=one_line(error))


def _check_rates(rates: Sequence[Rate]) -> None:
    """Raise `DataError` if no batch size could be computed."""
    if not any(rate.images_per_second for rate in rates):
        raise DataError(f"no batch size can be computed ({rates[0].remark})")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # What libraries print must not come between the answers.
    with os.fdopen(os.dup(1), "wb") as own:
        os.dup2(2, 1)
        serve(sys.argv[1], own)
