"""A package of somebody else's with one thing of each kind; its entry points stand beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.data.sets import Entry
from rgbench.measures.cards import metric
from rgbench.networks.notation.kinds import LayerKind
from rgbench.networks.notation.layers import Layer
from rgbench.report.blocks import Section
from rgbench.report.sections import SectionCard
from rgbench.runs.listeners import Silence
from rgbench.store.conditions import Family

SIDE = 40


# --- a network --------------------------------------------------------------------------------------------


def network(*, image_size, n_classes, channels):
    """One convolution."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, 4, 3),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, n_classes),
    )


# --- a layer, Toy2.0: each channel times a weight, which begins at 2 ---------------------------------------


@dataclass(frozen=True)
class Gain(Layer):
    """Each channel times a weight of its own."""

    takes = "map"
    start: float

    def __str__(self):
        return f"Toy{self.start!r}"

    def parameters(self, shape):
        return shape[2], shape[2]

    def macs(self, before, after):
        return int(np.prod(after))


class GainModule(torch.nn.Module):
    def __init__(self, channels, start):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.full((channels, 1, 1), start))

    def forward(self, x):
        return x * self.gain


LAYER = LayerKind(
    form="Toy2.0",
    pattern=r"Toy(\d+\.\d+)",
    read=lambda head, options: Gain(float(head[1])),
    module=lambda layer, facts, generator: GainModule(facts.input_shape[2], layer.start),
)


# --- a data set: one blob or two --------------------------------------------------------------------------


def images():
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    sky = rng.normal(0, 0.01, (40, SIDE, SIDE))
    for i, image in enumerate(sky):
        for shift in (0,) if i % 2 == 0 else (-8, 8):
            image += np.exp(-((x - shift) ** 2 + y**2) / 8)
    return sky.astype(np.float32)


CARD = Card(
    "toy-set",
    "Toy: one blob or two",
    classes=("one", "two"),
    pixel_scale=1.8,
    beam=5.4,
    image_size=(SIDE, SIDE),
)


def load():
    n = 40
    names = np.array([f"t{i:02d}" for i in range(n)])
    nowhere = np.full(n, np.nan)
    catalogue = Catalogue(
        names, nowhere, nowhere, np.arange(n) % 2, np.arange(n), names, np.zeros(n, dtype=np.int64)
    )
    sides = np.where(np.arange(n) < 24, "train", np.where(np.arange(n) < 32, "validation", "test"))
    return DataSet(CARD, catalogue, images(), {"published": sides})


DATA = Entry(CARD, load)


# --- a preset and a protocol ------------------------------------------------------------------------------


def preset(images):
    """Give the images in units of their peaks."""
    return images / images.max(axis=(1, 2), keepdims=True)


PROTOCOL = {
    "title": "Toy",
    "extends": "modern",
    "images": {"preset": "toy-preset", "field": 32, "size": 32},
    "recipe": {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3},
}


# --- a disturbance, a table, a listener -------------------------------------------------------------------


def fog(images, names, strength, card):
    return images + np.float32(strength) * images.max(axis=(1, 2), keepdims=True)


FOG = Family(
    "fog",
    "peaks of the image",
    0.0,
    "{:g}pk",
    strengths=(0.5, 1.0),
    words="A constant is added.",
    function=fog,
)


def write(path, columns):
    lines = [" ".join(columns), *(" ".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines))


class Listener(Silence):
    def epoch(self, spec, history):
        print(f"the toy hears of epoch {len(history['epoch'])} of {spec.network.name}")  # noqa: T201

    def run_ends(self, record):
        print(f"the toy hears that {record.spec.network.name} is {record.status}")  # noqa: T201


# --- a metric and a section of the report -----------------------------------------------------------------


@metric("Hits", "share of sources that are hit", words="share of hits of the toy", interval="bootstrap")
def toy_hits(y, logits):
    return float((logits.argmax(axis=1) == y).mean())


def section(runs):
    return Section(
        "toys", "Toys", "How many toys?", sentences=(f"The toy counts {len(runs.main.rows)} networks.",)
    )


SECTION = SectionCard("toy-section", section, after="table")


# --- a task ---------------------------------------------------------------------------------------------------

TASK = {
    "name": "toy/toy-task@1",
    "title": "Toys in two classes",
    "data": "toy-set",
    "split": "becker2021",
    "metric": "accuracy",
    "rules": {"training": "Toys.", "external_data": "no", "looks": 1},
    "test": {"one": ["t1"], "two": ["t2"]},
    "checksum": "95807a6e6b8a9422e8bccb5d1fa0f4f95af0fa0ae43de3cced4e94aba0b86e87",
}
