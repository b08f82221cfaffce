"""Seconds and megabytes of a report of many runs: 10 networks x 5 seeds, 2,000 test sources with images."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.special import log_softmax

from rgbench.comparison.label_consensus import known_classes
from rgbench.comparison.summary import compare
from rgbench.comparison.words.known_scores import with_known_scores
from rgbench.comparison.words.second_views import with_second_views
from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.diagnostics.disturbances import default_conditions
from rgbench.measures.uncertainty import with_members
from rgbench.report.html import ReportOptions, write_page
from rgbench.report.material import Beside, Runs, Setting
from rgbench.report.sections import sections
from rgbench.spec import Study, resolve
from rgbench.store.attributions import Looks
from rgbench.store.doubt import MC_DROPOUT
from rgbench.store.store import RunRecord
from rgbench.store.tables import MODELS, SIDES, Predictions, concatenate

NETWORKS = (
    *("convxpress", "mcrgnet", "radio-galaxy-zoo", "first-class", "fr-deep"),
    *("toothless", "alexnet", "vgg16", "lenet", "convnet4"),
)
CLASSES = ("Compact", "FRI", "FRII", "Bent")
SIDE = 96
Clock = Callable[[], float]
LIMITS = {"seconds": 36.0, "megabytes": 15.0}
"""What a report of 50 runs over 2,000 sources may take."""


@dataclass(frozen=True)
class Size:
    """How much there is to report: the first networks, their seeds, test sources, and epochs of each run."""

    networks: int = len(NETWORKS)
    seeds: int = 5
    sources: int = 2000
    epochs: int = 100


def make_predictions(run_id: str, names: dict[str, np.ndarray], skill: float, seed: int) -> Predictions:
    """Scores = skill x truth + difficulty of the source, the same in every run + noise of the run."""
    tables = []
    for split, own in names.items():
        n, k = len(own), len(CLASSES)
        label = np.arange(n) % k
        shared = np.random.default_rng(n).normal(size=(n, k))
        for m, model in enumerate(MODELS):
            noise = np.random.default_rng([seed, m, int(1000 * skill)]).normal(size=(n, k))
            tables.append(
                Predictions(
                    run_id=run_id,
                    classes=CLASSES,
                    activation="softmax",
                    label_version="1",
                    source_id=own,
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
    """Losses that fall, and rise again on validation sources."""
    rng, t = np.random.default_rng(seed), np.arange(1, epochs + 1, dtype=float)
    train = np.abs(1.38 * np.exp(-t * skill / 40) + 0.02 * rng.normal(size=epochs))
    validation = 0.5 + 0.8 * np.exp(-t * skill / 25) + 0.004 * np.clip(t - 30, 0, None)
    return {
        "epoch": t,
        "train_loss": train,
        "train_accuracy": np.clip(1 - 0.5 * train, 0.25, 1),
        "validation_loss": validation + 0.03 * rng.normal(size=epochs),
        "validation_accuracy": np.clip(1 - 0.3 * validation, 0.25, 1),
        "l2": np.full(epochs, 0.01),
        "learning_rate": np.full(epochs, 1e-3),
    }


def make_cost(number: int, sources: int) -> dict[str, float]:
    """Give what a network's run costs: the later the network, the more of everything but operations."""
    return {
        "parameters": 1e5 * (number + 1),
        "macs": 1e8 / (number + 1),
        "receptive_field": 20.0 * (number + 1),
        "stride": 2.0 ** (number % 4 + 1),
        "coverage": 0.2 * (number + 1),
        "training_seconds": 60.0 * (number + 1),
        "training_images_per_second": 500.0 * (number + 1),
        "inference_images_per_second": 2000.0 * (number + 1),
        "training_sources": 10.0 * sources,
    }


def make_records(size: Size) -> list[RunRecord]:
    """Make complete runs."""
    sources, epochs = size.sources, size.epochs
    known = list(known_classes())[: sources // 4]
    others = [f"J{i // 3600:02}{i // 60 % 60:02}{i % 60:02}.0+300000" for i in range(len(known), sources)]
    test = np.array([*known, *others])
    names = {"validation": np.char.add("V", test[: sources // 2]), "test": test}
    study = Study(
        name="speed",
        networks=("convxpress",),
        seeds=tuple(range(1, size.seeds + 1)),
        recipe={"epochs": epochs},
    )
    made = []
    for number, network in enumerate(NETWORKS[: size.networks]):
        for spec in resolve(study, "0" * 64):
            own = spec.model_copy(update={"network": spec.network.model_copy(update={"name": network})})
            skill = 2.6 - 0.15 * number
            run_id = f"{number:02}{spec.seed:014}"
            predictions = make_predictions(run_id, names, skill, spec.seed)
            history = make_history(skill, spec.seed, epochs)
            provenance = {
                "written": "2025-01-02T03:04:05+00:00",
                "versions": {"rgbench": "0"},
                "machine": "none",
            }
            kept = {"predictions": predictions, "history": history, "provenance": provenance}
            made.append(
                RunRecord(run_id=run_id, spec=own, status="complete", cost=make_cost(number, sources), **kept)
            )
    return made


def make_data(record: RunRecord) -> DataSet:
    """Make the data of the runs: two lobes and noise in every image, as float32, and properties by source."""
    names = np.unique(record.predictions.source_id)
    order = {name: i for i, name in enumerate(record.predictions.source_id.tolist())}
    label = record.predictions.label[[order[name] for name in names.tolist()]]
    n, rng = len(names), np.random.default_rng(7)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    angle, reach = rng.uniform(0, np.pi, n), rng.uniform(0, 25, n)
    images = np.abs(rng.normal(0, 0.02, (n, SIDE, SIDE))).astype(np.float32)
    for i, image in enumerate(images):
        for side in (-1, 1):
            dx, dy = side * reach[i] * np.cos(angle[i]), side * reach[i] * np.sin(angle[i])
            image += np.exp(-((x - dx) ** 2 + (y - dy) ** 2) / 18)
    extra = {"angular_size": 2 * reach, "peak": rng.lognormal(0, 1, n)}
    ra, dec, zero = rng.uniform(100, 250, n), rng.uniform(0, 60, n), np.zeros(n, np.int64)
    catalogue = Catalogue(names, ra, dec, label, np.arange(n), names, zero, extra)
    card = Card("first-galaxy-data", "speed", classes=CLASSES, pixel_scale=1.8, beam=5.4, survey="FIRST")
    return DataSet(card, catalogue, images, {"published": np.full(n, "test")})


def beside_of(records: list[RunRecord], data: DataSet) -> Beside:
    """Make all that can stand beside runs: for half of the networks runs on fewer sources, for each run 39 disturbed
    conditions and 20 passes with dropout, for each network maps, and two other data sets.
    """
    smaller = []
    for record in records[: len(records) // 2]:
        for limit in (500, 2000):
            less = record.spec.data.model_copy(update={"train_limit": limit})
            spec = record.spec.model_copy(update={"data": less})
            smaller.append(replace(record, spec=spec, cost={**record.cost, "training_sources": limit}))
    first = {record.spec.network.name: record for record in reversed(records)}
    others = (("other", compare(records)), ("third", compare(records[::2])))
    protocol, seen = records[0].spec.protocol, data.catalogue
    return Beside(
        tuple(smaller),
        {record.run_id: stressed(record) for record in records},
        data,
        dict(others),
        doubt={record.run_id: asked_again(record) for record in records},
        looks={record.run_id: look(record) for record in first.values()},
        settings={name: Setting(name, protocol, seen, seen) for name, _ in others},
    )


def stressed(record: RunRecord) -> Predictions:
    """Give rows of the conditions of ``rgbench stress``: answers turned for a tenth of the sources."""
    test = record.predictions.select("test", "best")
    turned = np.random.default_rng(record.spec.seed).random(len(test)) < 0.1
    rows = replace(test, logits=np.where(turned[:, None], np.roll(test.logits, 1, axis=1), test.logits))
    return concatenate(
        [replace(rows, condition=np.full(len(rows), each.name)) for each in default_conditions()]
    )


def asked_again(record: RunRecord, passes: int = 20) -> Predictions:
    """Give rows of ``rgbench uncertainty``: noise about what the run said."""
    rng, parts = np.random.default_rng(record.spec.seed), []
    for side in SIDES:
        rows = record.predictions.select(side, "best")
        scores = rows.log_probabilities() + rng.normal(0, 0.5, (passes, *rows.logits.shape))
        parts.append(with_members(rows, MC_DROPOUT, log_softmax(scores, axis=2)))
    return concatenate(parts)


def look(record: RunRecord, shown: int = 8) -> Looks:
    """Give what ``rgbench explain`` keeps of a run, made of chance."""
    rng, test = np.random.default_rng(record.spec.seed), record.predictions.select("test", "best")
    return Looks(
        run_id=record.run_id,
        method="occlusion",
        classes=np.array(CLASSES),
        shown=test.source_id[:shown],
        label=test.label[:shown],
        target=test.label[:shown],
        inputs=rng.random((shown, SIDE, SIDE), dtype=np.float32),
        maps=rng.normal(size=(shown, SIDE, SIDE)).astype(np.float32),
        likeness=rng.uniform(-0.1, 0.1, shown),
        sources=test.source_id,
        source_label=test.label,
        points=rng.normal(size=(len(test), 2)),
        explained=np.array([0.5, 0.25]),
        neighbour=0.75,
        field=np.full((SIDE, SIDE), SIDE**-2.0),
        field_pixels=40.0,
        pixel_scale=1.8,
    )


def timed(work: Callable[[], Any], clock: Clock) -> tuple[float, Any]:
    """Give the seconds that something takes, and what it gives."""
    began = clock()
    result = work()
    return round(clock() - began, 2), result


def measure(size: Size, folder: Path, clock: Clock = time.perf_counter) -> dict[str, Any]:
    """Time the comparison, every section by itself, the whole page and its figures as files.

    `time.process_time` counts only what this process computes, not what others on the machine do.
    """
    records = make_records(size)
    data = make_data(records[0])
    beside = beside_of(records, data)
    place = {name: i for i, name in enumerate(data.catalogue.source_id.tolist())}
    seconds: dict[str, float] = {}
    comparisons = {}
    for model in MODELS:
        seconds[f"comparison, {model} model"], comparisons[model] = timed(
            partial(compare, records, model=model), clock
        )
    lead = comparisons[MODELS[0]]
    seconds["second views"], comparisons[MODELS[0]] = timed(
        partial(with_second_views, lead, records, beside.conditions), clock
    )
    lead = comparisons[MODELS[0]]
    seconds["known classes"], comparisons[MODELS[0]] = timed(partial(with_known_scores, lead, records), clock)
    runs = Runs.of(comparisons, records, beside)
    for name, card in sections():
        seconds[f"section, {name}"], _ = timed(partial(card.maker, runs), clock)
    find = lambda name: data.images[place[name]] if name in place else None  # noqa: E731
    path = folder / "report.html"
    seconds["whole page"], _ = timed(
        partial(write_page, path, comparisons, records, find, None, beside), clock
    )
    figures = ReportOptions(figures=folder / "figures")
    with_files, _ = timed(partial(write_page, path, comparisons, records, find, figures, beside), clock)
    seconds["figures and tables as files"] = round(with_files - seconds["whole page"], 2)
    whole = (
        sum(v for k, v in seconds.items() if k.startswith(("comparison", "second views", "known classes")))
        + seconds["whole page"]
    )
    return {
        "runs": len(records),
        "test sources": size.sources,
        "epochs": size.epochs,
        "seconds": seconds,
        "report, comparisons and page": round(whole, 2),
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "files": len(list(figures.figures.iterdir())) if figures.figures else 0,
    }


def main() -> None:
    """Print seconds by part and the size; with --out, keep them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sources", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        found = measure(
            Size(seeds=options.seeds, sources=options.sources, epochs=options.epochs), Path(folder)
        )
    found["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    for name, value in found["seconds"].items():
        print(f"{name:34}{value:8.2f} s")
    print(f"{found['runs']} runs, {found['test sources']} test sources:", end=" ")
    print(f"{found['report, comparisons and page']:.1f} s, {found['megabytes']:.1f} MB")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
