"""Draw the picture of the README: the first three test sources of each class as the shipped classifier sees them.

python benchmarks/twelve.py docs/twelve.png        # needs matplotlib (in the extra `dev`)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rgbench.data.load import load_dataset
from rgbench.images.geometry import central_crop
from rgbench.runs.classifier import load_classifier

OF_EACH = 3
WRONG, RIGHT = "#b22222", "black"


def draw(path: Path) -> None:
    """Classify the twelve sources, and draw them in columns of two, class by class."""
    classifier = load_classifier()
    spec = classifier.card.spec
    dataset = load_dataset(spec.data)
    test = np.flatnonzero(dataset.splits["published"] == "test")
    label = dataset.catalogue.label
    rows = np.concatenate([test[label[test] == k][:OF_EACH] for k in range(len(dataset.classes))])
    found = classifier.predict(dataset.images[rows])
    figure = Figure(figsize=(9.6, 4), dpi=100, layout="constrained")
    axes = figure.subplots(2, len(rows) // 2)
    for place, (row, p) in enumerate(zip(rows, found, strict=True)):
        one = axes[place % 2, place // 2]
        one.imshow(
            np.sqrt(central_crop(dataset.images[row].astype(float), spec.images.field)),
            cmap="inferno",
            origin="lower",
        )
        name = dataset.classes[int(p.argmax())]
        published = dataset.classes[label[row]]
        colour = RIGHT if name == published else WRONG
        one.set_title(f"{name}  {100 * p.max():.0f} %", color=colour, fontsize=9, fontweight="bold")
        one.set_xlabel(f"published: {published}", fontsize=7)
        one.set(xticks=[], yticks=[])
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    draw(parser.parse_args().out)
