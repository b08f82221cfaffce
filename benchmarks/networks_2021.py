"""Images/s of the 14 networks of the 2021 study at 300 px, batch 32: rgbench, plain PyTorch and Keras, by turns.

    .venv/bin/python benchmarks/networks_2021.py --keras /path/to/python-with-tensorflow --out FILE.json
    .venv/bin/python benchmarks/networks_2021.py --profiles FILE.md    # where the time of a training step goes

Every network is timed by each in a process of its own, so many rounds; the median of a round's steps counts. Images
lie in memory, so that reading and rotating are left out. Keras is TensorFlow's own (tf_keras, as in 2021), and needs an
environment of its own: ``pip install tensorflow-cpu tf_keras``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE, BATCH, CLASSES = 300, 32, 4
KINDS = ("plain", "rgbench", "rgbench-float32", "keras")
SECONDS, LEAST, MOST = 5.0, 2, 60
"""A kind is timed for so many seconds, in so many steps at least and at most."""
ESTIMATOR = "batch over the median seconds of a step; of several rounds the median"


def per_second(step: Callable[[], object]) -> float:
    """Give images/s of a step, which is one batch: the median after two that warm up, or one that is slow."""
    began = time.perf_counter()
    step()
    if time.perf_counter() - began < SECONDS:
        step()
    seconds: list[float] = []
    began = time.perf_counter()
    while len(seconds) < LEAST or (time.perf_counter() - began < SECONDS and len(seconds) < MOST):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return BATCH / statistics.median(seconds)


def time_keras(layers: list[dict[str, Any]]) -> dict[str, float | str]:
    """Time a network that is described layer by layer; runs where TensorFlow is, without rgbench."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_USE_LEGACY_KERAS="1")
    import numpy as np
    import tensorflow as tf

    keras = tf.keras
    make = {
        "Conv": lambda **o: keras.layers.Conv2D(**o),
        "MaxPool": lambda **o: keras.layers.MaxPool2D(**o),
        "Dropout": lambda **o: keras.layers.Dropout(**o),
        "BatchNorm": lambda **o: keras.layers.BatchNormalization(**o),
        "Flatten": lambda **o: keras.layers.Flatten(**o),
        "Activation": lambda **o: keras.layers.Activation(**o),
        "Dense": lambda l2=0.0, **o: keras.layers.Dense(
            kernel_regularizer=keras.regularizers.l2(l2) if l2 else None, **o
        ),
    }
    model = keras.Sequential([keras.layers.InputLayer((SIZE, SIZE, 1))])
    for layer in layers:
        model.add(make[layer.pop("kind")](**layer))
    model.compile(
        loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(1e-5), metrics=["accuracy"]
    )
    images = tf.constant(np.random.default_rng(1).random((BATCH, SIZE, SIZE, 1), dtype=np.float32))
    labels = tf.constant(np.eye(CLASSES, dtype=np.float32)[np.arange(BATCH) % CLASSES])
    return {
        "version": f"tensorflow {tf.__version__}",
        "training": per_second(lambda: model.train_on_batch(images, labels)),
        "inference": per_second(lambda: model.predict_on_batch(images)),
    }


def keras_layers(name: str) -> list[dict[str, Any]]:
    """Describe a network of the study for `time_keras`: kinds and the arguments of Keras' layers."""
    import rgbench
    from rgbench.networks.notation import layers as notation

    described = []
    for layer in rgbench.build_network(name, SIZE, CLASSES, device="meta").layers:
        kind = type(layer).__name__
        own: dict[str, Any] = {"kind": kind}
        if isinstance(layer, notation.Conv):
            own |= {"filters": layer.filters, "kernel_size": layer.kernel, "strides": layer.stride}
            own |= {"padding": layer.padding, "activation": layer.activation}
        elif isinstance(layer, notation.MaxPool):
            own |= {"pool_size": layer.size, "strides": layer.stride, "padding": layer.padding}
        elif isinstance(layer, notation.Dense):
            units = CLASSES if layer.units == notation.CLASSES else layer.units
            own |= {"units": units, "activation": layer.activation, "l2": layer.l2}
        elif isinstance(layer, notation.Dropout):
            own |= {"rate": layer.rate}
        elif isinstance(layer, notation.Activation):
            own |= {"activation": layer.function}
        described.append(own)
    return described


def time_torch(name: str, kind: str) -> dict[str, float | str]:
    """Time a network as rgbench trains it, or as plain PyTorch does."""
    train, infer, precision = steps_of(name, kind)
    return {"training": per_second(train), "inference": per_second(infer), "precision": precision}


def steps_of(name: str, kind: str) -> tuple[Callable[[], object], Callable[[], object], str]:
    """Give a training step and an inference of one batch, and their arithmetic.

    "plain" is PyTorch as it comes: float32, images and weights as they are, Adam, memory from the system.
    "rgbench-float32" is rgbench with bfloat16 left out.
    """
    import torch

    import rgbench
    from rgbench.protocols import read_protocol
    from rgbench.runs.precision import try_both
    from rgbench.spec import RecipeSpec
    from rgbench.training.loop import TrainingStep, autocast
    from rgbench.training.shortcuts import NONE, Shortcuts

    shortcuts = NONE if kind == "plain" else Shortcuts()
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(BATCH, 1, SIZE, SIZE, generator=generator).pow(8)
    labels = torch.arange(BATCH) % CLASSES
    network, precision = rgbench.build_network(name, SIZE, CLASSES, seed=1), "float32"
    if kind != "plain":
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    if kind == "rgbench":
        precision = try_both(network, images, labels).precision
    recipe = RecipeSpec(**read_protocol("becker2021")["recipe"] | {"precision": precision})
    step = TrainingStep.of(network, recipe, shortcuts)

    def train() -> float:
        network.train()
        return float(step(images, labels))

    def infer() -> None:
        network.eval()
        with torch.inference_mode(), autocast(images.device, precision):
            network(images)

    return train, infer, precision


def operators_of(name: str, kind: str, most: int = 6) -> list[tuple[str, float]]:
    """Give what a training step spends its time in: operators of PyTorch, and milliseconds of the whole machine."""
    from torch.profiler import ProfilerActivity, profile

    train, _, _ = steps_of(name, kind)
    train()
    train()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        train()
    found = [
        (each.key.removeprefix("aten::"), each.self_cpu_time_total / 1e3) for each in profiler.key_averages()
    ]
    longest = sorted(found, key=lambda each: -each[1])
    rest = sum(ms for _, ms in longest[most:])
    return [*longest[:most], ("others", rest)]


def answer(name: str, kind: str, keras: Path | None, profile: bool) -> Any:
    """Have one kind time or profile a network in a process of its own."""
    python = str(keras) if kind == "keras" else sys.executable
    command = [python, __file__, "--child", kind, "--networks", name, *(["--profiles", "-"] * profile)]
    with tempfile.TemporaryDirectory() as folder:
        layers = Path(folder, "layers.json")
        if kind == "keras":
            layers.write_text(json.dumps(keras_layers(name)))
            command += ["--layers", str(layers)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def be_child(kind: str, name: str, options: argparse.Namespace) -> None:
    """Time or profile one network by one kind, and print what was found."""
    if kind == "keras":
        found: Any = time_keras(json.loads(options.layers.read_text()))
    else:
        from rgbench.training.shortcuts import memory_kept

        with memory_kept(kind != "plain"):
            found = operators_of(name, kind) if options.profiles else time_torch(name, kind)
    print(json.dumps(found))


def networks() -> list[str]:
    """Give the networks of the study `becker2021`."""
    from rgbench.runs.study import find_study

    return [str(name) for name in find_study("becker2021").networks]


def medians(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the median of each rate over rounds, and the precision of the last."""
    rates = {what: statistics.median(each[what] for each in rounds) for what in ("training", "inference")}
    return rates | {key: value for key, value in rounds[-1].items() if key in ("precision", "version")}


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Write ratios as a table of Markdown."""
    kinds = [kind for kind in KINDS if kind in next(iter(results.values()))]
    head = [f"{kind} {what}" for what in ("training", "inference") for kind in kinds]
    against = [
        (what, kind) for what in ("training", "inference") for kind in ("plain", "keras") if kind in kinds
    ]
    head += [f"{what} / {kind}" for what, kind in against]
    lines = [f"| network | {' | '.join(head)} | arithmetic |", f"|---|{'--:|' * len(head)}---|"]
    ratios: dict[tuple[str, str], list[float]] = {each: [] for each in against}
    for name, found in results.items():
        cells = [f"{found[kind][what]:.1f}" for what in ("training", "inference") for kind in kinds]
        for what, kind in against:
            ratios[what, kind].append(found["rgbench"][what] / found[kind][what])
            cells.append(f"**{ratios[what, kind][-1]:.1f}**")
        lines.append(f"| {name} | {' | '.join(cells)} | {found['rgbench']['precision']} |")
    middle = [f"**{statistics.median(each):.1f}**" for each in ratios.values()]
    lines.append(f"| median | {' | '.join([''] * 2 * len(kinds) + middle)} | |")
    return "\n".join(lines)


def main() -> None:
    """Time or profile the networks, print it, and keep it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--keras", type=Path, help="a Python that has tensorflow and tf_keras; left out: no Keras"
    )
    parser.add_argument("--networks", nargs="+", help="some of them; left out: all 14")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is timed by each, by turns")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--profiles", help="write a table of operators to this file, and time nothing")
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--layers", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        be_child(options.child, options.networks[0], options)
        return
    kinds = [kind for kind in KINDS if kind != "keras" or options.keras]
    names = options.networks or networks()
    if options.profiles:
        write_profiles(names, Path(options.profiles))
        return
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for name in names:
        rounds: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
        for _ in range(options.rounds):
            for kind, found in rounds.items():
                found.append(answer(name, kind, options.keras, profile=False))
        results[name] = {kind: medians(found) | {"rounds": found} for kind, found in rounds.items()}
        print(table({name: results[name]}), flush=True)
        if options.out:
            report = {"machine": machine(), "size": SIZE, "batch": BATCH, "estimator": ESTIMATOR}
            report |= {"rounds": options.rounds, "images_per_second": results}
            options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(table(results))


def write_profiles(names: list[str], path: Path) -> None:
    """Write what the training steps of networks spend their time in, before and after the shortcuts."""
    lines = [
        f"Milliseconds of a training step of {BATCH} images of {SIZE} x {SIZE} pixels, by operator of PyTorch.",
        "",
    ]
    lines += [f"{json.dumps(machine())}", "", "| network | kind | ms | operators |", "|---|---|--:|---|"]
    for name in names:
        for kind in ("plain", "rgbench"):
            found = answer(name, kind, None, profile=True)
            words = ", ".join(f"{key} {ms:,.0f}" for key, ms in found)
            lines.append(f"| {name} | {kind} | {sum(ms for _, ms in found):,.0f} | {words} |")
            path.write_text("\n".join(lines) + "\n")


def machine() -> dict[str, Any]:
    """Say what this is measured on."""
    try:
        from speed import machine as known
    except ImportError:
        from benchmarks.speed import machine as known
    return known()


if __name__ == "__main__":
    main()
