"""What networks cost: parameters, operations, latency, throughput, memory and energy, in each mode that computes them.

Each network in each mode is measured in a process of its own (`rgbench.runs.cost_process`), one after the other. One
that dies or hangs is told, and the others go on.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from rgbench import child
from rgbench.errors import DeviceError, SpecError, one_line, shown
from rgbench.networks import describe_network
from rgbench.networks.catalogue import networks
from rgbench.networks.notation.analysis import image_shape
from rgbench.runs.classifier import load_classifier, names_classifier
from rgbench.runs.cost_process import COMPILED, EAGER, READY, Job, Measured, Rate
from rgbench.runs.device import check_device, choose_device
from rgbench.runs.engines import PACKAGES, choose_engine

MODES = (EAGER, COMPILED, *PACKAGES)
"""All that may compute a network: PyTorch as it is, PyTorch compiled, and the other engines."""
MEASURED, LEFT_OUT, FAILED = "measured", "left out", "failed"
"""What became of a network in a mode: left out is what cannot be had here, failed a process that died or hung."""
FLOAT = 4
"""Bytes of a weight in float32."""
_PROCESS = "rgbench.runs.cost_process"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class CostSpec:
    """How networks are measured.

    Attributes
    ----------
    image_size : int
        Side of the square images, in pixels; a classifier has its own.
    n_classes : int
        Length of the output; a classifier has its own.
    device : str
        A torch device, or "auto".
    modes : tuple of str
        Some of `MODES`.
    batches : tuple of int
        Batch sizes of which the fastest counts.
    repeats : int
        How often the throughput of each batch size is measured.
    threads : int
        Threads of the processor.
    passes : int
        Passes of one image whose latency is measured; fewer of slow networks.
    ready_limit : float
        Seconds that making a network ready for one batch size may take: compilation, or the graph of an engine.
    patience : float
        Seconds after which a process that says nothing is taken to hang.
    layers : mapping of str to str
        Layers of networks that are not in the catalogue, in its notation, by their names.
    """

    image_size: int = 96
    n_classes: int = 4
    device: str = "cpu"
    modes: tuple[str, ...] = MODES
    batches: tuple[int, ...] = (1, 8, 32, 128)
    repeats: int = 5
    threads: int = 1
    passes: int = 100
    ready_limit: float = 120.0
    patience: float = 600.0
    layers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [mode for mode in self.modes if mode not in MODES]
        if unknown or not self.modes:
            raise SpecError(f"mode: found {shown(''.join(unknown[:1]))}; legal are {', '.join(MODES)}")
        if not self.batches:
            raise SpecError("batch: found none; one whole number or more is legal, each from 1 on")
        for name, value in (
            *(("batch", each) for each in self.batches),
            *(("size", self.image_size), ("classes", self.n_classes), ("repeats", self.repeats)),
            *(("threads", self.threads), ("passes", self.passes)),
        ):
            if value < 1:
                raise SpecError(f"{name}: found {value}; whole numbers from 1 on are legal")


DEFAULT = CostSpec()


@dataclass(frozen=True)
class Subject:
    """A network, or a classifier, before anything is measured.

    Attributes
    ----------
    name : str
        As it is listed.
    rows, columns : int
        Its image, in pixels.
    n_classes : int
        Length of its output.
    parameters : int
        All weights, running statistics of batch normalisation among them; 0 of a network that cannot be built.
    macs : int
        Multiply-accumulates for an image; 0 likewise.
    """

    name: str
    rows: int
    columns: int
    n_classes: int
    parameters: int = 0
    macs: int = 0

    @property
    def weight_bytes(self) -> int:
        """Size of the weights in float32, which is how they are stored, in bytes."""
        return FLOAT * self.parameters


@dataclass(frozen=True)
class Cost:
    """What a network costs in one mode.

    Attributes
    ----------
    subject : Subject
        The network.
    mode : str
        One of `MODES`.
    status : str
        `MEASURED`, `LEFT_OUT` or `FAILED`.
    remark : str
        Why nothing was measured, or what was left out.
    threads : int
        Threads of the processor.
    measured : Measured or None
        What was measured.
    """

    subject: Subject
    mode: str
    status: str
    remark: str
    threads: int
    measured: Measured | None = None

    @property
    def best(self) -> Rate:
        """The batch size with the greatest median rate; one without a rate where nothing was measured."""
        rates = [rate for rate in self.measured.rates if rate.images_per_second] if self.measured else []
        return max(rates, key=lambda rate: rate.median, default=Rate(0))

    def latency(self, percentile: float) -> float:
        """Give a percentile of the latencies of one image, in ms; NaN where nothing was measured."""
        return float(np.percentile(self.measured.latency_ms, percentile)) if self.measured else math.nan

    def row(self) -> dict[str, Any]:
        """Give all of it by name; numbers that were not measured are NaN, or 0 where they are whole."""
        found, best, subject = self.measured, self.best, self.subject
        rates = best.images_per_second
        return {
            "network": subject.name,
            "mode": self.mode,
            "status": self.status,
            "remark": self.remark,
            "image_rows": subject.rows,
            "image_columns": subject.columns,
            "n_classes": subject.n_classes,
            "parameters": subject.parameters,
            "macs": subject.macs,
            "weight_bytes": subject.weight_bytes,
            "latency_ms": self.latency(50),
            "latency_p95_ms": self.latency(95),
            "latency_passes": len(found.latency_ms) if found else 0,
            "warm_up_passes": found.warm_up if found else 0,
            "images_per_second": best.median,
            "images_per_second_low": min(rates, default=math.nan),
            "images_per_second_high": max(rates, default=math.nan),
            "repeats": len(rates),
            "batch": best.batch,
            "ready_s": found.ready_s if found else math.nan,
            "memory_mb": found.memory_mb if found else math.nan,
            "device_memory_mb": found.device_memory_mb if found else math.nan,
            "joules_per_image": best.joules_per_image,
            "energy": found.energy if found else "",
            "device": found.device if found else "",
            "threads": self.threads,
            "torch": found.torch if found else "",
            "engine": found.engine if found else "",
        }


Told = Callable[[Sequence["Cost"], int], None]
"""Is told what was measured so far, and how many there are in all."""


def cost(
    names: Sequence[str], spec: CostSpec = DEFAULT, told: Told = lambda so_far, total: None
) -> list[Cost]:
    """Measure what networks cost, in each mode and each in a process of its own.

    Parameters
    ----------
    names : sequence of str
        Networks by their names, as ``rgbench networks`` lists them, or classifiers: names as "first-1", or files.
    spec : CostSpec
        How they are measured.
    told : callable, optional
        Is told what was measured so far, and how many there are in all.

    Returns
    -------
    list of Cost
        One for each network and mode, in their order. What cannot be had or cannot be computed has a remark.

    Raises
    ------
    SpecError
        If a name is unknown, or the only network cannot be built at this image size.
    DeviceError
        If the device is not there.

    Examples
    --------
    >>> spec = CostSpec(image_size=32, modes=("eager",), batches=(1, 4), repeats=2, passes=20)
    >>> (found,) = cost(["lenet"], spec)
    >>> found.status, found.best.batch in (1, 4), found.latency(50) <= found.latency(95)
    ('measured', True, True)
    """
    device = choose_device(spec.device)
    check_device(device)
    if spec.threads > (cores := os.cpu_count() or 1):
        raise SpecError(f"threads: found {spec.threads}; 1 to {cores} are legal on this machine")
    subjects = _described(names, spec)
    refused = {mode: _refused(mode, device) for mode in spec.modes}
    pairs = [(*subject, mode) for subject in subjects for mode in dict.fromkeys(spec.modes)]
    found: list[Cost] = []
    told(found, len(pairs))
    for subject, reason, mode in pairs:
        if why := reason or refused[mode]:
            found.append(Cost(subject, mode, LEFT_OUT, why, spec.threads))
        else:
            found.append(_measured(subject, mode, device, spec))
        told(found, len(pairs))
    return found


def _described(names: Sequence[str], spec: CostSpec) -> list[tuple[Subject, str]]:
    """Describe networks, each once; one of several that cannot be built goes with the reason."""
    canonical = dict.fromkeys(_canonical(name, spec) for name in names)
    found: dict[str, tuple[Subject, str]] = {}
    for name in canonical:
        try:
            found[name] = describe(name, spec), ""
        except SpecError as error:
            if len(canonical) == 1:
                raise
            found[name] = Subject(name, spec.image_size, spec.image_size, spec.n_classes), one_line(error)
    return list(found.values())


def _canonical(name: str, spec: CostSpec = DEFAULT) -> str:
    """Give the name that an alias stands for; `SpecError` if there is no such network."""
    if name in spec.layers or ":" in name or names_classifier(name):
        return name
    return networks().canonical(name)


def describe(name: str, spec: CostSpec = DEFAULT) -> Subject:
    """Give what is known of a network, or a classifier, without measuring.

    Examples
    --------
    >>> describe("lenet", CostSpec(image_size=32)).parameters == describe_network("lenet", 32)["parameters"]
    True
    """
    layers = spec.layers.get(name, "")
    if names_classifier(name) and not layers:
        return _of_classifier(name)
    facts = describe_network(name, spec.image_size, spec.n_classes, layers=layers)
    rows, columns = facts["image_size"]
    return Subject(_canonical(name, spec), rows, columns, spec.n_classes, facts["parameters"], facts["macs"])


def _of_classifier(name: str) -> Subject:
    """Add up the networks of a classifier, each of which answers every image."""
    classifier = load_classifier(name)
    facts = [
        describe_network(own.name, own.image_size, own.n_classes, own.channels, member.spec.network.layers)
        for member in classifier.members
        for own in (member.network,)
    ]
    rows, columns, _ = image_shape(classifier.members[0].network.image_size)
    parameters, macs = sum(each["parameters"] for each in facts), sum(each["macs"] for each in facts)
    return Subject(name, rows, columns, len(classifier.classes), parameters, macs)


def _refused(mode: str, device: str) -> str:
    """Say why a mode is not to be had on a device; nothing if it is."""
    if mode in (EAGER, COMPILED):
        return ""
    try:
        choose_engine(mode, device)
    except (SpecError, DeviceError) as error:
        return one_line(error)
    return ""


def _measured(subject: Subject, mode: str, device: str, spec: CostSpec) -> Cost:
    job = Job(
        name=subject.name,
        mode=mode,
        image_size=spec.image_size,
        n_classes=spec.n_classes,
        channels=1,
        device=device,
        batches=spec.batches,
        repeats=spec.repeats,
        threads=spec.threads,
        passes=spec.passes,
        layers=spec.layers.get(subject.name, ""),
    )
    # Compilers keep what they make in a folder: an empty one each time, so that all begin alike.
    with tempfile.TemporaryDirectory(prefix="rgbench-cost-") as folder:
        status, answer = _ask(job, spec, Path(folder))
    if status != MEASURED:
        return Cost(subject, mode, status, str(answer), spec.threads)
    found = Measured.read(answer)
    remarks = [f"batches of {rate.batch}: {rate.remark}" for rate in found.rates if rate.remark]
    return Cost(subject, mode, MEASURED, "; ".join(remarks), spec.threads, found)


def _ask(job: Job, spec: CostSpec, folder: Path) -> tuple[str, Any]:
    """Have a job done by a process; give what became of it, and what it found, or why it found nothing."""
    log = folder / "log.txt"
    with log.open("wb") as errors, _Apart(job, folder, errors) as apart:
        answer = apart.listen(spec)
        if "found" in answer:
            return MEASURED, answer["found"]
        if "refused" in answer:
            return LEFT_OUT, answer["refused"]
        if apart.late == READY:
            return LEFT_OUT, f"takes longer than {spec.ready_limit:g} s to make ready for one batch size"
        if apart.late:
            return FAILED, f"its process said nothing for {spec.patience:g} s, and was ended"
        return FAILED, f"its process {apart.death()}{_last_line(log)}"


class _Apart:
    """The process that does a job, seen from here; at the end it is gone, with all that it started."""

    def __init__(self, job: Job, folder: Path, errors: IO[bytes]) -> None:
        self.late = ""
        self._timer: threading.Timer | None = None
        # A group of its own, so that compilers which it started end with it.
        self._process = subprocess.Popen(
            child.command(_PROCESS, json.dumps(asdict(job))),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(job.threads, folder),
            start_new_session=True,
        )

    def __enter__(self) -> _Apart:
        return self

    def __exit__(self, *_: object) -> None:
        self._watch(0, "")
        self._kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def listen(self, spec: CostSpec) -> dict[str, Any]:
        """Give the last answer; nothing if the process ended, or was ended, before it."""
        assert self._process.stdout is not None
        self._watch(spec.patience, "starting")
        for line in self._process.stdout:
            answer: dict[str, Any] = json.loads(line)
            doing = answer.get("doing")
            if doing is None:
                return answer
            self._watch(spec.ready_limit if doing == READY else spec.patience, doing)
        return {}

    def death(self) -> str:
        """Say how it ended by itself."""
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "closed its output, and was ended"
        if code == -signal.SIGKILL:
            return "was killed, perhaps for want of memory"
        return f"ended with {signal.strsignal(-code) if code < 0 else f'code {code}'}"

    def _watch(self, seconds: float, doing: str) -> None:
        """End the process if it does the same for so many seconds; do not, where nothing is done."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, self._end, (doing,)) if doing else None
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def _end(self, doing: str) -> None:
        self.late = doing
        self._kill()

    def _kill(self) -> None:
        with suppress(OSError):  # it is gone already
            os.killpg(self._process.pid, signal.SIGKILL)


def _environment(threads: int, folder: Path) -> dict[str, str]:
    """Give the environment of a process: its threads, and where compilers keep what they make."""
    # Compilation in the process itself: helpers would compute beside what is measured, and outlive it.
    compiling = {"TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled")}
    own = {**dict.fromkeys(_THREADS, str(threads)), **compiling, "TRITON_CACHE_DIR": str(folder / "triton")}
    return {**child.environment(), **own}


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f" ({one_line(last)})" if last else ""


def columns(costs: Sequence[Cost]) -> dict[str, NDArray[Any]]:
    """Give costs as the columns of a table, for `rgbench.runs.output_tables`."""
    rows = [found.row() for found in costs]
    return {key: np.array([row[key] for row in rows]) for key in (rows[0] if rows else ())}


def plain(found: Cost) -> dict[str, Any]:
    """Give a cost as JSON has it: null where something was not measured, and all batch sizes."""
    row = {key: _or_null(value) for key, value in found.row().items()}
    unknown = [] if found.measured else list(_OF_A_MEASUREMENT)
    unknown += [] if found.subject.parameters else ["parameters", "macs", "weight_bytes"]
    rates = found.measured.rates if found.measured else ()
    listed = [{key: _or_null(value) for key, value in asdict(rate).items()} for rate in rates]
    return {**row, **dict.fromkeys(unknown), "rates": listed}


_OF_A_MEASUREMENT = (
    *("latency_ms", "latency_p95_ms", "latency_passes", "warm_up_passes", "images_per_second"),
    *("images_per_second_low", "images_per_second_high", "repeats", "batch", "ready_s", "memory_mb"),
    *("device_memory_mb", "joules_per_image", "energy", "device", "torch", "engine"),
)
"""Keys of what is not known before anything is measured."""


def _or_null(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def fastest(costs: Sequence[Cost]) -> dict[str, Cost]:
    """Give the mode with the greatest throughput of each network; networks without any are left out."""
    found: dict[str, Cost] = {}
    for each in costs:
        before = found.get(each.subject.name)
        if each.measured and (before is None or each.best.median > before.best.median):
            found[each.subject.name] = each
    return found
