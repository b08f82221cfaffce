"""Synthetic runs to write reports of: three networks, three seeds, 200 sources with pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from rgbench.comparison.results import Comparison
from rgbench.comparison.summary import compare
from rgbench.spec import Study, resolve
from rgbench.store.store import RunRecord
from rgbench.store.tables import MODELS, Predictions, concatenate

CLASSES = ("Compact", "FRI", "FRII", "Bent")
SEEDS = (8901, 1826, 4915)
SKILL = {"convxpress": 2.6, "mcrgnet": 2.3, "radio-galaxy-zoo": 1.2}
COST = {"convxpress": (4_567_890, 779e6), "mcrgnet": (248_000, 52e6), "radio-galaxy-zoo": (12_345_678, 1.9e9)}
SEEN = {"convxpress": (333, 32, 3.47), "mcrgnet": (63, 8, 0.66), "radio-galaxy-zoo": (74, 16, 0.77)}
"""Receptive field and stride in pixels, and coverage."""
N = 200


@dataclass(frozen=True)
class Made:
    """Records, their comparisons, and images by source."""

    records: list[RunRecord]
    comparisons: dict[str, Comparison]
    images: dict[str, np.ndarray]


def source_ids(n: int = N) -> np.ndarray:
    return np.array([f"FIRST J{1000 + 7 * i:04d}+{3000 + 3 * i:04d}" for i in range(n)])


def make_records(
    networks: tuple[str, ...] = tuple(SKILL),
    seeds: tuple[int, ...] = SEEDS,
    names: np.ndarray | None = None,
    epochs: int = 30,
) -> list[RunRecord]:
    study = Study(name="fake", networks=networks, seeds=seeds, recipe={"epochs": epochs})
    return [
        _record(spec, source_ids() if names is None else names, epochs) for spec in resolve(study, "0" * 64)
    ]


def make_predictions(run_id: str, names: np.ndarray, skill: float, seed: int) -> Predictions:
    """Scores = skill x truth + difficulty of the source (the same in every run) + noise of the run."""
    n, k = len(names), len(CLASSES)
    label = np.arange(n) % k
    shared = np.random.default_rng(0).normal(size=(n, k))
    shared[:6] += 4 * np.eye(k)[(label[:6] + 1) % k]
    tables = []
    for m, model in enumerate(MODELS):
        noise = np.random.default_rng([seed, m, int(skill * 10)]).normal(size=(n, k))
        for split in ("validation", "test"):
            tables.append(
                Predictions(
                    run_id=run_id,
                    classes=CLASSES,
                    activation="softmax",
                    label_version="1",
                    source_id=np.array([f"validation {i}" for i in range(n)])
                    if split == "validation"
                    else names,
                    split=np.full(n, split),
                    model=np.full(n, model),
                    condition=np.full(n, "clean"),
                    member=np.zeros(n, dtype=np.int64),
                    label=label.astype(np.int64),
                    logits=(1.4 * (skill * np.eye(k)[label] + shared + 0.7 * noise)).astype(np.float32),
                )
            )
    return concatenate(tables)


def make_history(skill: float, seed: int, epochs: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    t = np.arange(1, epochs + 1, dtype=float)
    train = 1.38 * np.exp(-t * skill / 22) + 0.02 * rng.normal(size=epochs)
    validation = (
        0.55
        + 0.85 * np.exp(-t * skill / 14)
        + 0.014 * np.clip(t - 12, 0, None)
        + 0.03 * rng.normal(size=epochs)
    )
    return {
        "epoch": t,
        "learning_rate": np.full(epochs, 1e-3),
        "running_loss": train + 0.3,
        "train_loss": np.abs(train),
        "train_accuracy": np.clip(1 - 0.55 * np.abs(train), 0.25, 1),
        "validation_loss": validation,
        "validation_accuracy": np.clip(0.98 - 0.35 * validation, 0.25, 1),
        "l2": np.full(epochs, 0.01),
        "train_seconds": np.full(epochs, 8.0),
        "seconds": np.full(epochs, 9.0),
    }


def make_images(names: np.ndarray, size: int = 150) -> dict[str, np.ndarray]:
    y, x = np.mgrid[:size, :size] - size / 2
    images = {}
    for i, name in enumerate(names):
        rng = np.random.default_rng(i)
        angle, reach = rng.uniform(0, np.pi), (0, 10, 24, 18)[i % 4]
        image = np.zeros((size, size))
        for side in (-1, 0, 1):
            dx, dy = (
                side * reach * np.cos(angle),
                side * reach * np.sin(angle) + (i % 4 == 3) * abs(side) * 12,
            )
            image += (1.3 if side == 0 else 1) * np.exp(-((x - dx) ** 2 + (y - dy) ** 2) / (2 * 4.0**2))
        images[str(name)] = np.clip(200 * image + 8 * np.abs(rng.normal(size=image.shape)), 0, 255).astype(
            np.uint8
        )
    return images


def make_all(records: list[RunRecord], names: np.ndarray) -> Made:
    return Made(records, {model: compare(records, model=model) for model in MODELS}, make_images(names))


@pytest.fixture(scope="session")
def runs():
    return make_records


@pytest.fixture(scope="session")
def made() -> Made:
    return make_all(make_records(), source_ids())


def _record(spec, names: np.ndarray, epochs: int) -> RunRecord:
    network = spec.network.name
    skill, (parameters, macs), (field, stride, coverage) = SKILL[network], COST[network], SEEN[network]
    return RunRecord(
        run_id=spec.run_id,
        spec=spec,
        status="complete",
        predictions=make_predictions(spec.run_id, names, skill, spec.seed),
        history=make_history(skill, spec.seed, epochs),
        cost={
            "parameters": parameters,
            "trainable_parameters": parameters,
            "macs": macs,
            "receptive_field": field,
            "stride": stride,
            "coverage": coverage,
            "training_seconds": 9.0 * epochs,
            "training_images_per_second": 2e9 / macs**0.9,
            "inference_images_per_second": 6e9 / macs**0.9,
            "inference_batch_size": 32,
            "peak_memory_mb": 1234.5,
            "device": "x86_64 CPU, 2 threads",
            "precision": "bfloat16",
            "best_epoch": 17,
        },
        provenance={
            "written": "2025-01-02T03:04:05+00:00",
            "python": "3.11.9",
            "versions": {"rgbench": "0.1.0", "torch": "2.9.0", "numpy": "2.3.0"},
            "machine": "Linux x86_64, 2 cores",
            "device": "cpu",
        },
        notes=("J0000+0000 removed from the split: 12 arcsec from J0000+0001 in train",),
    )
