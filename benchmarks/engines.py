"""What computes networks fastest: images/s of the shipped classifier's networks, by engine, in one thread.

    python benchmarks/engines.py [--rounds 7] [--compile-limit 300] [--out FILE.json]

All engines take turns, round by round, as the machine's speed drifts: what counts is the ratio to plain eager PyTorch
(contiguous, float32) within a round, and its median over the rounds. Images are prepared ones of first-galaxy-data, in
batches of 128 (64 with eight views). Needs the extras rgbench[onnx] and rgbench[openvino].
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rgbench.data.sets import load_data
from rgbench.errors import RgbenchError
from rgbench.images.augment import views
from rgbench.networks.modules.build import Network, build_network
from rgbench.runs.classifier import Classifier, load_classifier
from rgbench.runs.engines import choose_engine, engine_of, onnx_session
from rgbench.runs.inputs import cut_to_field, prepare
from rgbench.runs.onnx_graph import IMAGES, graph_of

Variant = Callable[[Tensor], object]
"""Answers a view of a batch."""
BATCHES = {1: 128, 8: 64}
"""Images of a batch, by the number of views."""
PRODUCT = 1024
"""Side of the matrices whose product tells what the core can do."""


class Together(nn.Module):
    """Networks as one module."""

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([network(images) for network in self.networks], dim=1)


class Stacked(nn.Module):
    """Networks of equal layers as one: their convolutions are stacked, in groups after the first."""

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        self.stacks = nn.ModuleList(network.stack for network in networks)
        self.first_dense = next(i for i, part in enumerate(self.stacks[0]) if isinstance(part, nn.Flatten))

    def forward(self, images: Tensor) -> Tensor:
        groups = 1
        for place, part in enumerate(self.stacks[0][: self.first_dense]):
            if not isinstance(part, nn.Conv2d):
                images = part(images)
                continue
            own = [stack[place] for stack in self.stacks]
            weight, bias = torch.cat([each.weight for each in own]), torch.cat([each.bias for each in own])
            padded = functional.pad(images, part.explicit_pads) if part.explicit_pads else images
            images = functional.conv2d(padded, weight, bias, part.stride, part.padding, groups=groups)
            groups = len(self.stacks)
        parts = images.chunk(groups, dim=1)
        heads = [stack[self.first_dense :](part) for stack, part in zip(self.stacks, parts, strict=True)]
        return torch.stack(heads, dim=1)


@contextmanager
def limited(seconds: int):
    """Raise `TimeoutError` in what takes longer."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def variants(
    networks: Sequence[Network], batch: Tensor, left_out: dict[str, str], limit: int
) -> dict[str, Variant]:
    """Give every way to compute the networks that works here."""
    together = Together(networks).eval()
    plain = copy.deepcopy(together).to(memory_format=torch.contiguous_format)
    last = copy.deepcopy(together).to(memory_format=torch.channels_last)
    found: dict[str, Variant] = {
        "eager": lambda view: plain(view.contiguous()),
        "channels_last": lambda view: last(view.contiguous(memory_format=torch.channels_last)),
    }
    traced = torch.jit.freeze(torch.jit.trace(copy.deepcopy(plain), batch.contiguous()))
    found["jit trace and freeze"] = lambda view: traced(view.contiguous())
    try:
        compiled = compile_frozen(plain, batch, limit)
        found["torch.compile, frozen"] = lambda view: compiled(view.contiguous())
    except Exception as error:
        left_out["torch.compile, frozen"] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    for name in ("onnx", "openvino", "openvino-bf16"):
        try:
            engines = [engine_of(choose_engine(name), network) for network in networks]
            found[name] = lambda view, engines=engines: [engine(view, False) for engine in engines]
        except RgbenchError as error:
            left_out[name] = str(error)
    if len(networks) > 1:
        found |= others(networks, batch)
    return found


def others(networks: Sequence[Network], batch: Tensor) -> dict[str, Variant]:
    """Give variants of the engine onnx, and of PyTorch, that might have paid."""
    together, stacked = Together(networks).eval(), Stacked(networks).eval()
    sessions = {
        "onnx, one graph": onnx_session(graph_of(together, batch, ["all"]).SerializeToString(), 1),
        "onnx, convolutions stacked": onnx_session(graph_of(stacked, batch, ["all"]).SerializeToString(), 1),
    }
    found: dict[str, Variant] = {"eager, convolutions stacked": lambda view: stacked(view.contiguous())}
    for name, session in sessions.items():
        found[name] = lambda view, session=session: session.run(None, {IMAGES: view.contiguous().numpy()})
    one = sessions["onnx, one graph"]
    found["onnx, one graph, batches of 8"] = lambda view: [
        one.run(None, {IMAGES: part.contiguous().numpy()}) for part in view.split(8)
    ]
    return found


def compile_frozen(module: nn.Module, batch: Tensor, limit: int) -> Variant:
    """Compile a module with its weights as constants, for one size of batch."""
    from torch._inductor import config

    config.freezing = True
    compiled = torch.compile(copy.deepcopy(module), dynamic=False)
    began = time.perf_counter()
    with limited(limit):
        compiled(batch.contiguous())
    print(f"torch.compile took {time.perf_counter() - began:.0f} s")
    return compiled


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time all in turns, after a round that warms up."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, each in work.items():
            taken = seconds(each)
            if number:
                times[name].append(taken)
    return times


def summary(times: dict[str, list[float]], images: int, baseline: str) -> dict[str, dict[str, float]]:
    """Give images/s (median and best) and the median ratio to the baseline within a round."""
    base = np.array(times[baseline])
    return {
        name: {
            "images_per_second": round(images / float(np.median(own)), 1),
            "best": round(images / min(own), 1),
            "times_baseline": round(float(np.median(base / np.array(own))), 2),
        }
        for name, own in times.items()
    }


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    print(title)
    for name, row in rows.items():
        print(f"  {name:32} {row['images_per_second']:8.0f} images/s, {row['times_baseline']:.2f} times")


def measure(
    networks: Sequence[Network], fields: Tensor, n_views: int, rounds: int, limit: int
) -> dict[str, object]:
    """Measure all variants with so many views."""
    batch, left_out = fields[: BATCHES[n_views]], {}
    ways = variants(networks, batch, left_out, limit)

    def work(way: Variant) -> Callable[[], object]:
        return lambda: [way(view) for view in views(batch, n_views)]

    times = in_turns({name: work(way) for name, way in ways.items()}, rounds)
    return {"rates": summary(times, len(batch), "eager"), "left_out": left_out}


def measure_whole(classifier: Classifier, prepared: np.ndarray, rounds: int) -> dict[str, object]:
    """Measure class and `unlike` together: two goes in PyTorch, as before, and one go of each engine."""
    found = {}
    for n_views in (1, 8):
        own = classifier.with_views(n_views)
        part = prepared[: BATCHES[n_views]]
        work: dict[str, Callable[[], object]] = {
            "torch, two goes": lambda own=own, part=part: (own.logits(part, True), own.unlike(part, True)),
        }
        for name in ("torch", "onnx", "openvino"):
            with suppress(RgbenchError):
                engine = own.with_engine(name)
                work[name] = lambda engine=engine, part=part: engine.logits_and_unlike(part, True)
        found[str(n_views)] = summary(in_turns(work, rounds), len(part), "torch, two goes")
    return found


def changed_by_bfloat16(classifier: Classifier, prepared: np.ndarray) -> float:
    """Give the share of images with another class when PyTorch computes in bfloat16 (which it can anywhere)."""
    members = []
    for member in classifier.members:
        recipe = member.spec.recipe.model_copy(update={"precision": "bfloat16"})
        spec = member.spec.model_copy(update={"recipe": recipe})
        members.append(type(member)(spec, member.outputs, member.network, member.device))
    other = type(classifier)(classifier.card, tuple(members), classifier.unlikeness)
    same = classifier.logits(prepared, True).argmax(axis=1) == other.logits(prepared, True).argmax(axis=1)
    return float(1 - same.mean())


def processor() -> str:
    """Name the processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile-limit", type=int, default=300)
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    classifier = load_classifier()
    spec, networks = classifier.card.spec, [member.network.eval() for member in classifier.members]
    images = load_data("first-galaxy-data").images[:512].astype(np.float32)
    prepared = cut_to_field(prepare(images, spec), spec)
    fields = torch.cat(list(classifier.members[0].framed(prepared))).contiguous()
    matrix = torch.rand(PRODUCT, PRODUCT)
    result: dict[str, object] = {
        "machine": f"{processor()}, {torch.backends.cpu.get_cpu_capability()}, one thread",
        "versions": {name: version(name) for name in ("torch", "onnxruntime", "openvino")},
        "rounds": wanted.rounds,
        "networks": f"{len(networks)} times {networks[0].name}, {fields.shape[-1]} pixels",
    }
    with torch.inference_mode(False), torch.no_grad():
        product = in_turns({"product": lambda: matrix @ matrix}, 20)["product"]
        result["matrix_product_gflops"] = round(2 * PRODUCT**3 / float(np.median(product)) / 1e9, 1)
        for n_views in BATCHES:
            found = measure(networks, fields, n_views, wanted.rounds, wanted.compile_limit)
            show(f"{classifier.name}, views {n_views}", found["rates"])
            result[f"views_{n_views}"] = found
        large = build_network("convxpress", fields.shape[-1], seed=1).eval()
        found = measure([large], fields[:64], 1, wanted.rounds, wanted.compile_limit)
        show("convxpress", found["rates"])
        result["convxpress"] = found
    result["class_and_unlike"] = measure_whole(classifier, prepared, wanted.rounds)
    for n_views, rows in result["class_and_unlike"].items():
        show(f"class and unlike, views {n_views}", rows)
    result["changed_by_bfloat16"] = changed_by_bfloat16(classifier, prepared)
    print(json.dumps({key: value for key, value in result.items() if not isinstance(value, dict)}, indent=1))
    if wanted.out:
        wanted.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
