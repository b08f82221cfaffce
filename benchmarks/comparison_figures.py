"""Pictures of docs/comparison.md and docs/sky-recipe.md, drawn from tables there or in comparison-record.md.

.venv/bin/python -m benchmarks.comparison_figures docs
"""

from __future__ import annotations

import argparse
import re
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

DOCS = Path(__file__).parents[1] / "docs"
COLOURS = {"ConvXpress": "#4477aa", "Radio Galaxy Zoo": "#cc6677", "MCRGNet": "#228833"}
FIRST, VIEW = "accuracy, first image", "accuracy, second view"


def table_after(text: str, heading: str) -> tuple[list[str], list[list[str]]]:
    """Give the heads and the rows of the first table below a heading."""
    part = text.split(f"\n## {heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\|\n)+", part, flags=re.MULTILINE)
    if lines is None:
        raise SystemExit(f"no table below {heading!r}")
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()]
    return head, rows


def numbers(cell: str) -> list[float]:
    """Give the numbers of a cell such as "82.5 (77.1 to 86.9)"."""
    return [float(each) for each in re.findall(r"-?\d+(?:\.\d+)?", cell)]


def plain(cell: str) -> str:
    """Give a cell such as "`shift-4px`, 4 pixels off the centre" as lines below a tick."""
    name, _, words = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", cell).partition(", ")
    return "\n".join([name.strip("`"), *textwrap.wrap(words, 20)])


def second_views(text: str) -> plt.Figure:
    """Draw the accuracy on the first image and on each second view, with intervals."""
    head, rows = table_after(text, "Second views")
    figure, axes = plt.subplots(1, len(COLOURS), figsize=(9, 3.2), sharey=True, layout="constrained")
    for axis, (network, colour) in zip(axes, COLOURS.items(), strict=True):
        own = [row for row in rows if row[0].startswith(network)]
        scores = [numbers(own[0][head.index(FIRST)]), *(numbers(row[head.index(VIEW)]) for row in own)]
        for place, (value, low, high) in enumerate(scores):
            shade = "0.35" if place == 0 else colour
            axis.plot([place, place], [low, high], color=shade, lw=3, alpha=0.5)
            axis.plot(place, value, "o", color=shade)
        axis.axhline(scores[0][0], color="0.6", lw=1, ls=":")
        axis.set_xticks(range(4), ["first\nimage", "view-1", "view-2", "view-3"])
        axis.set(title=network, xlim=(-0.6, 3.6))
    axes[0].set(ylabel="accuracy / %", ylim=(45, 100))
    return figure


def disturbed(text: str) -> plt.Figure:
    """Draw what is left of the score in each disturbance."""
    head, rows = table_after(text, "Disturbed images")
    figure, axis = plt.subplots(figsize=(9, 3.4), layout="constrained")
    for shift, row in enumerate(rows):
        clean = numbers(row[1])[0]
        left = [clean, *(clean + numbers(cell)[0] for cell in row[2:])]
        place = np.arange(len(left)) + 0.27 * (shift - 1)
        axis.bar(place, left, 0.25, color=COLOURS[row[0]], label=row[0])
    axis.axhline(25, color="0.4", lw=1, ls=":")
    axis.annotate("guessing", (-0.75, 26.5), color="0.4")
    axis.set_xticks(range(len(head) - 1), [name.replace(" (", "\n(") for name in head[1:]])
    axis.set(ylabel="MPCA / %", xlim=(-0.8, len(head) - 1.5), ylim=(0, 100))
    axis.legend(ncols=3, loc="upper center")
    return figure


def sky(text: str) -> plt.Figure:
    """Draw the accuracy under two protocols on the first image and on others, with intervals."""
    head, rows = table_after(text, "What it gives")
    figure, axis = plt.subplots(figsize=(9, 3.6), layout="constrained")
    for column, name in enumerate(head[1:], start=1):
        network, protocol = name.replace("`", "").split(", ")
        scores = np.array([numbers(row[column]) for row in rows])
        place = np.arange(len(rows)) + 0.2 * (column - 2)
        face = COLOURS[network] if protocol == "sky" else "white"
        axis.vlines(place, scores[:, 1], scores[:, 2], color=COLOURS[network], lw=3, alpha=0.5)
        axis.plot(
            place, scores[:, 0], "o", color=COLOURS[network], mfc=face, ms=8, label=f"{network}, {protocol}"
        )
    axis.set_xticks(range(len(rows)), [plain(row[0]) for row in rows])
    axis.set(ylabel="accuracy / %", ylim=(30, 100))
    axis.legend(ncols=3, loc="upper center")
    return figure


PICTURES = (
    ("comparison-record.md", "second-views.png", second_views),
    ("comparison-record.md", "disturbed.png", disturbed),
    ("sky-recipe.md", "sky.png", sky),
)


def main() -> None:
    """Draw all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for page, name, draw in PICTURES:
        draw((DOCS / page).read_text(encoding="utf8")).savefig(folder / name, dpi=110)


if __name__ == "__main__":
    main()
