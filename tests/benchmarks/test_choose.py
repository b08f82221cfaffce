"""Choices made anew: on which sources, and that what ships is what was found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks import choose
from rgbench.data.sets.first_galaxy_data import sources
from rgbench.data.split import published_split
from rgbench.networks import networks
from rgbench.networks.notation.notation import parse_layers
from rgbench.protocols import protocol_choices
from rgbench.spec import Study, resolve

FOUND = Path(__file__).parents[2] / "benchmarks" / "results" / "choices-modern.json"


def test_no_source_of_a_test_set_judges_or_is_trained_on():
    whole = sources()
    split = published_split(choose.untouched(whole), choose.FOLD)
    group = whole.catalogue.group
    for name in ("published", "fold-0"):
        tested = group[published_split(whole, name).assignment == "test"]
        for side in ("train", "validation"):
            assert not np.isin(group[split.assignment == side], tested).any(), (name, side)


def test_what_ships_is_what_was_found_best_on_as_many_sources():
    rows = json.loads(FOUND.read_text())["rows"]
    judged = len(published_split(choose.untouched(sources()), choose.FOLD).indices("validation"))
    assert {row["sources"] for row in rows} == {judged}
    scores: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        scores.setdefault((row["choice"], row["value"]), []).append(row["accuracy"])
    best = {
        choice: max((float(np.mean(a)), value) for (c, value), a in scores.items() if c == choice)[1]
        for choice, _ in scores
    }
    (spec,) = resolve(Study(name="s", networks=("mcrgnet",), seeds=(1,), protocol="modern"), "")
    assert best["shift"] == spec.augmentation.shift
    layers = [str(layer) for layer in parse_layers(networks().get("rg-resnet").layers)]
    assert best["dropout"] == 0
    assert not any(layer.startswith("D0") for layer in layers)


def test_the_protocol_says_what_was_tried():
    tried = choose.trials()
    (choice,) = [c for _, c in protocol_choices("modern") if c.what == "shift"]
    assert choice.values == tuple(t.value for t in tried if t.choice == "shift")
    assert set(choice.tried) == {name for t in tried if t.choice == "shift" for name in t.networks}
    assert (choice.splits, choice.without) == ((choose.FOLD,), (choose.UNTOUCHED,))
