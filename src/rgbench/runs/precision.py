"""The arithmetic of a network, float32 or bfloat16: measured before a study, on the network's own shapes.

bfloat16 is up to nine times as fast on one processor, and six times slower on another; on one it lost for networks
with large dense layers alone. So it is tried. What was found is kept in the store, so that all runs of a network there
compute alike, and a command that is given again goes on with the same runs.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from rgbench.errors import DeviceError, RgbenchError, StoreError, one_line, raise_stop
from rgbench.networks.modules.build import Network
from rgbench.runs.device import check_device, device_kind
from rgbench.runs.prepare import make_network
from rgbench.spec import RunSpec
from rgbench.store.files import locked, read_json, write_json
from rgbench.store.store import Store
from rgbench.training.loop import autocast, keep_dropout
from rgbench.training.loss import cross_entropy
from rgbench.training.shortcuts import Shortcuts, shorten

AUTO, SLOW, FAST = "auto", "float32", "bfloat16"
FILE = "precisions.json"
"""What was found, in the folder of the store."""
LEAST_GAIN = 1.2
"""bfloat16 must be so many times as fast to be taken: a trial of a network without gain gives 0.9 to 1.1 times."""
LEAST_AGREEMENT = 0.9
"""Least cosine between the gradients of a batch in both."""
ROUNDS = 3
LONG = 4.0
"""Seconds of one step after which the first round counts."""


@dataclass(frozen=True)
class Trial:
    """What a training step of a network was like in both.

    Attributes
    ----------
    times : float
        Seconds of a step in float32 over those in bfloat16: the median over rounds.
    agreement : float
        Cosine between the two gradients of one batch; 1 is perfect, NaN if one of them is not finite.
    """

    times: float
    agreement: float

    @property
    def precision(self) -> str:
        """What is to be taken."""
        return FAST if self.times >= LEAST_GAIN and self.agreement >= LEAST_AGREEMENT else SLOW

    @property
    def why(self) -> str:
        """What was found, in words."""
        if math.isnan(self.agreement) or self.agreement < LEAST_AGREEMENT:
            return f"bfloat16 gives other gradients (cosine {self.agreement:.2f})"
        return f"a step in bfloat16 is {self.times:.1f} times as fast as in float32"


def settle(
    specs: Sequence[RunSpec],
    n_classes: int,
    store: Store,
    device: str | None,
    told: Callable[[str], None] = lambda network: None,
) -> tuple[list[RunSpec], tuple[str, ...]]:
    """Give runs whose precision is "auto" the one that they are computed in.

    Parameters
    ----------
    specs : sequence of RunSpec
        The runs of a study.
    n_classes : int
        Classes of the data.
    store : Store
        It remembers what was found. A network of which it holds runs in one precision keeps it.
    device : str or None
        Where runs are computed; None where nothing may be tried, as where runs are only looked for.
    told : callable
        Is told the name of each network that is tried, before it is.

    Returns
    -------
    specs : list of RunSpec
        None of them "auto".
    words : tuple of str
        What was taken for each network, and why; empty where nothing was to be settled.
    """
    open_, found = dict[str, list[RunSpec]](), dict[str, tuple[str, str]]()
    for spec in specs:
        if spec.recipe.precision == AUTO:
            open_.setdefault(_key(spec, device), []).append(spec)
    for key, alike in open_.items():
        known = _stored(alike, store) or _remembered(alike[0], store, device)
        if known is None:
            told(alike[0].network.name)
        found[key] = known or _found(alike[0], n_classes, store, str(device))
    words = [f"{key}: {precision}; {why}" for key, (precision, why) in found.items() if why]
    settled = [
        _in(spec, found[_key(spec, device)][0]) if spec.recipe.precision == AUTO else spec for spec in specs
    ]
    return settled, tuple(words)


def try_both(network: Network, images: Tensor, labels: Tensor) -> Trial:
    """Time a training step in float32 and in bfloat16, by turns, and compare the gradients.

    Parameters
    ----------
    network : Network
        On the device of the images; its weights stay.
    images, labels : Tensor
        A batch, as in training.
    """
    shorten(network, Shortcuts.chosen())
    network.train()
    gradients = [_step(network, images, labels, precision)[1] for precision in (SLOW, FAST)]
    seconds: dict[str, list[float]] = {SLOW: [], FAST: []}
    for _ in range(ROUNDS):
        for precision, own in seconds.items():
            own.append(_step(network, images, labels, precision)[0])
        if seconds[SLOW][0] + seconds[FAST][0] > LONG:
            break
    network.zero_grad(set_to_none=True)
    ratios = [slow / fast for slow, fast in zip(seconds[SLOW], seconds[FAST], strict=True)]
    return Trial(statistics.median(ratios), _cosine(*gradients))


def _step(network: Network, images: Tensor, labels: Tensor, precision: str) -> tuple[float, list[Tensor]]:
    """Compute the gradients of a batch, with the same dropout each time; give the seconds, and them."""
    network.zero_grad(set_to_none=True)
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(1)
        began = time.perf_counter()
        with autocast(images.device, precision):
            logits = network(images)
        loss = cross_entropy(logits, labels, network.activation_name)
        loss.backward()  # type: ignore[no-untyped-call]
        float(loss.detach())  # waits for the device
    seconds = time.perf_counter() - began
    return seconds, [part.grad for part in network.parameters() if part.grad is not None]


def _cosine(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Give the cosine between two gradients; NaN if one of them is 0 or not finite."""

    def product(these: Sequence[Tensor], those: Sequence[Tensor]) -> float:
        return sum(float((a.double() * b.double()).sum()) for a, b in zip(these, those, strict=True))

    length = math.sqrt(product(one, one) * product(other, other))
    return product(one, other) / length if 0 < length < math.inf else math.nan


def _stored(specs: Sequence[RunSpec], store: Store) -> tuple[str, str] | None:
    """Give the precision in which the store holds one of some runs, complete or begun; None if it holds none."""
    for precision in (FAST, SLOW):
        if any(store.run_path(_in(spec, precision).run_id).exists() for spec in specs):
            return precision, ""
    return None


def _remembered(spec: RunSpec, store: Store, device: str | None) -> tuple[str, str] | None:
    """Give what was found for a network before, or what is taken where nothing can be tried; None else."""
    known = _read(store.root / FILE).get(_key(spec, device))
    if known is not None:
        return known.precision, known.why
    if device is None:
        return SLOW, ""
    if _is_here(device):
        return None
    return (FAST if device_kind(device) == "cuda" else SLOW), f"not tried, as {device} is not on this machine"


def _found(spec: RunSpec, n_classes: int, store: Store, device: str) -> tuple[str, str]:
    """Try a network, and keep what was found, unless another process has kept what it found meanwhile."""
    try:
        trial = _try(spec, n_classes, device)
    # A network that cannot train at all, for want of memory for one, fails in its own run: the others go on.
    except (RgbenchError, RuntimeError, MemoryError) as error:
        raise_stop(error)
        return SLOW, f"bfloat16 cannot be tried ({one_line(error)})"
    store.root.mkdir(parents=True, exist_ok=True)
    with locked(store.root / f".{FILE}.lock"):
        known = _read(store.root / FILE)
        kept = known.setdefault(_key(spec, device), trial)
        write_json(store.root / FILE, {key: asdict(each) for key, each in known.items()})
    return kept.precision, kept.why


def _try(spec: RunSpec, n_classes: int, device: str) -> Trial:
    size, channels, n = spec.images.size, spec.network.channels, spec.recipe.batch_size
    generator = torch.Generator().manual_seed(1)
    network = make_network(spec, n_classes, generator)
    keep_dropout(network, spec.recipe.dropout)
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rows, columns = (size, size) if isinstance(size, int) else size
    # Mostly 0, as clipped images are, so that their norms are like those of images.
    images = torch.rand((n, channels, rows, columns), generator=generator).pow(8)
    labels = torch.randint(0, n_classes, (n,), generator=generator)
    images = images.to(device).contiguous(memory_format=torch.channels_last)
    return try_both(network, images, labels.to(device))


def _key(spec: RunSpec, device: str | None) -> str:
    """Name a network, its input and where it is computed, in words."""
    size = spec.images.size
    rows, columns = (size, size) if isinstance(size, int) else size
    kind = "cpu" if device is None else device_kind(device)
    return f"{spec.network.label}, {rows} x {columns} pixels, batches of {spec.recipe.batch_size}, {kind}"


def _in(spec: RunSpec, precision: str) -> RunSpec:
    return spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"precision": precision})})


def _is_here(device: str) -> bool:
    try:
        check_device(device)
    except DeviceError:
        return False
    return True


def _read(path: Path) -> dict[str, Trial]:
    """Read what was found before; `StoreError` says how a damaged file is mended."""
    if not path.exists():
        return {}
    try:
        known = read_json(path)
        return {str(key): Trial(float(v["times"]), float(v["agreement"])) for key, v in known.items()}
    except (StoreError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{path}: is damaged ({type(error).__name__}); without the file it is measured anew"
        ) from error
