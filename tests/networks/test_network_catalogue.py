"""Names, cards and counts of the published networks, against counts of the original."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rgbench.errors import SpecError
from rgbench.networks import (
    NetworkCard,
    canonical_name,
    describe_network,
    network_names,
    networks,
)
from rgbench.networks.analysis import analyse
from rgbench.networks.catalogue import read_cards
from rgbench.networks.notation import parse_layers, to_text

EXPECTED: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "expected_counts.json").read_text()
)["networks"]
PUBLISHED = [
    "convxpress",
    "convnet-4",
    "convnet-8",
    "vgg16-d",
    "alexnet",
    "alexnet-plain",
    "alexnet-adapted",
    "simplenet",
    "mcrgnet",
    "hosenie",
    "atlas-x-id",
    "atlas-softmax",
    "fr-deep",
    "first-classifier",
    "radio-galaxy-zoo",
    "toothless",
]


def test_the_published_networks_come_first() -> None:
    assert network_names()[: len(PUBLISHED)] == PUBLISHED


@pytest.mark.parametrize("name", EXPECTED)
def test_counts_of_the_original(name: str) -> None:
    facts, expected = describe_network(name, image_size=300, n_classes=4), dict(EXPECTED[name])
    table = facts["layer_table"]
    assert [list(layer["output_shape"]) for layer in table] == expected.pop("output_shapes")
    pads = [[list(pair) for pair in layer["pads"]] for layer in table if re.match(r"C\d|MP", layer["text"])]
    assert pads == expected.pop("pads")
    if "parameters_150_2" in expected:
        assert describe_network(name, 150, 2)["parameters"] == expected.pop("parameters_150_2")
    expected["feature_map"] = tuple(expected.get("feature_map", facts["feature_map"]))
    for key in ("coverage", "last_conv_coverage"):
        facts[key] = round(facts[key], 4)
    assert {key: facts[key] for key in expected} == expected


def test_every_network_has_an_original_and_a_paper() -> None:
    assert {canonical_name(name) for name in EXPECTED} == set(PUBLISHED)
    for name in PUBLISHED:
        card = networks().get(name)
        assert isinstance(card, NetworkCard)
        assert card.paper.citation
        assert to_text(parse_layers(card.layers)) == card.layers


def test_a_description_is_plain_data() -> None:
    facts = describe_network("atlas")
    assert (facts["name"], facts["activation"]) == ("atlas-x-id", "sigmoid")
    assert facts["paper"]["arxiv"] == "1805.05540"
    assert json.loads(json.dumps(facts))["layer_table"][0]["text"] == "C10x10-32 s1 same relu"


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"unknown network 'convexpress'; did you mean conv[xX]press"):
        describe_network("convexpress")


def test_a_network_that_does_not_fit_says_where() -> None:
    with pytest.raises(SpecError, match=r"layer 7 \(C3x3-256 .*\) does not fit: .* map of 2x2 pixels"):
        describe_network("alexnet-plain", image_size=150)


def test_images_need_not_be_square() -> None:
    facts = describe_network("mcrgnet", image_size=(64, 128), channels=2)
    assert facts["feature_map"] == (2, 4, 32)
    assert facts["coverage"] == 63 / 64


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FC{classes} softmax", "needs a vector: write Flat before it"),
        ("Flat · Flat", "stands after another Flat"),
        ("Flat · C3x3-1 same", "needs a map, but stands after Flat"),
    ],
)
def test_layers_in_a_wrong_order(text: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        analyse(parse_layers(text), 8, 4)


@pytest.mark.parametrize(("size", "classes"), [(0, 4), ((3, 0), 4), (8, 1)])
def test_impossible_sizes(size: int | tuple[int, int], classes: int) -> None:
    with pytest.raises(SpecError):
        analyse(parse_layers("Flat · FC{classes} softmax"), size, classes)


def test_a_network_without_windows_sees_single_pixels() -> None:
    facts = analyse(parse_layers("Flat · FC{classes} softmax"), 10, 3)
    assert (facts.receptive_field, facts.stride, facts.coverage, facts.flatten_size) == (1, 1, 0.1, 100)


def test_a_card_with_a_wrong_key_is_refused() -> None:
    with pytest.raises(SpecError, match=r"network 'x'.*colour.*the keys are title, paper"):
        read_cards('[x]\ntitle = "X"\ncolour = "red"\nlayers = "BN"\npaper = { citation = "none" }')


def test_descriptions_need_no_torch() -> None:
    code = "import sys, rgbench.networks as n; n.describe_network('vgg16-d'); print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "False"
