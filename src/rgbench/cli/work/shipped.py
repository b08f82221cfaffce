"""What the classifier that comes with the package gives on test sources: the first lines of the quickstart."""

from __future__ import annotations

import numpy as np
from rich.console import Console

from rgbench.cli.screen import say
from rgbench.data.catalogue import DataSet
from rgbench.diagnostics.disturbances import beams_seen, disturb
from rgbench.measures.calibration import wilson_intervals
from rgbench.numbers import counted, interval, percent
from rgbench.runs.classifier import Classifier, load_classifier
from rgbench.runs.inputs import prepare
from rgbench.store.conditions import VIEW, Condition

AGAIN = Condition(VIEW, 1)


def say_shipped(dataset: DataSet, device: str, console: Console) -> None:
    """Apply it to the published test sources, and to a second view of each; say how often it is right."""
    classifier = load_classifier(device=device)
    rows = np.flatnonzero(dataset.splits["published"] == "test")
    images, label = dataset.images[rows], dataset.catalogue.label[rows]
    there = classifier.predict(images).argmax(axis=1)
    again = _again(classifier, dataset, rows)
    right, right_again, kept = (int(hit.sum()) for hit in (there == label, again == label, there == again))
    n = len(rows)
    say(
        console,
        f"{classifier.name}, the classifier that comes with the package, was trained under protocol "
        f"{classifier.card.spec.protocol} on none of the {counted(n, 'test source')}.",
        f"  It is right for {_share(right, n)} of them, and for {_share(right_again, n)} in a second view.",
        f"  {_share(kept, n)} have the same class in both.",
        *([f"  {classifier.card.choices}"] if classifier.card.choices else []),
        "  rgbench predict FOLDER applies it to your own FITS images.",
    )


def _again(classifier: Classifier, dataset: DataSet, rows: np.ndarray) -> np.ndarray:
    """Give the class numbers of sources in a second view of them, whose beam is told."""
    names = dataset.catalogue.source_id[rows].tolist()
    seen = disturb(dataset.images[rows], names, AGAIN, dataset.card)
    beams = beams_seen(names, AGAIN, dataset.card)
    pixels = prepare(seen, classifier.card.spec, beams=beams)
    return np.asarray(classifier.predict(pixels, prepared=True).argmax(axis=1))


def _share(hits: int, n: int) -> str:
    low, high = wilson_intervals(np.array([hits]), np.array([n]))
    return f"{percent(hits / n)} % ({interval(float(low[0]), float(high[0]))})"
