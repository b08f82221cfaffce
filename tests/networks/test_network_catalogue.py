"""Names, cards and counts of the published networks, against counts of the original."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from rgbench.errors import SpecError
from rgbench.networks import (
    NetworkCard,
    canonical_name,
    card_of,
    catalogue,
    describe_network,
    network_names,
    networks,
)
from rgbench.networks.catalogue import read_cards
from rgbench.networks.notation.analysis import analyse
from rgbench.networks.notation.notation import parse_layers, to_text
from rgbench.registry import Registry

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


TESTBED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "testbed.json").read_text())[
    "networks"
]
UNLISTED = {"conv8_relu__shadowed"}
"""Hidden in the original's file by a second function of its name."""
GRAPHS = {"deepsource", "maslej", "maslej_l2_no_do", "maslej_l2_do"}
"""Their list of layers does not say how branches are joined; the golden outputs do."""


def test_the_published_networks_come_first() -> None:
    assert network_names()[: len(PUBLISHED)] == PUBLISHED


def test_all_functions_of_the_testbed_are_there() -> None:
    assert len(set(TESTBED) - UNLISTED) == 127


@pytest.mark.parametrize("name", [name for name in TESTBED if name not in GRAPHS])
def test_layers_of_the_testbed(name: str) -> None:
    card = networks().get(name)
    assert isinstance(card, NetworkCard)
    original = TESTBED[name]["layers"]
    output = re.compile(r"FC4 (?=(?:linear|softmax|sigmoid) <gu>(?: · D0\.5)?(?: · softmax)?$)")
    expected = to_text(parse_layers(output.sub("FC{classes} ", original)))
    # The list leaves out the one seed that the output layer of conv8_final lacks.
    assert card.layers.replace("<gu> (unseeded)", "<gu>") == expected


@pytest.mark.parametrize("name", TESTBED)
def test_counts_of_the_testbed(name: str) -> None:
    expected = {key: value for key, value in TESTBED[name].items() if key != "layers"}
    for size, classes in ((150, 2), (28, 10)):
        count = expected.pop(f"parameters_{size}_{classes}", "unknown")
        if count is None:
            with pytest.raises(SpecError, match=r"layer \d+ \(.*\) does not fit: its .* map of .* pixels"):
                describe_network(name, size, classes)
        elif count != "unknown":
            assert describe_network(name, size, classes)["parameters"] == count
    facts = describe_network(name, 300, 4)
    found = {key: round(facts[key], 4) if "coverage" in key else facts[key] for key in expected}
    if "feature_map" in expected:
        found["feature_map"] = list(found["feature_map"])
    assert found == expected


def test_testbed_is_a_few_hundred_lines() -> None:
    text = files("rgbench.networks").joinpath("published.toml").read_text("utf-8")
    assert len(text.splitlines()) < 450


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


def test_every_network_has_a_paper_and_canonical_layers() -> None:
    assert {canonical_name(name) for name in EXPECTED} == set(PUBLISHED)
    for name in network_names():
        card = networks().get(name)
        assert isinstance(card, NetworkCard)
        assert card.paper.citation
        assert card.factory or parse_layers(to_text(parse_layers(card.layers))) == parse_layers(card.layers)


def test_a_description_is_plain_data() -> None:
    facts = describe_network("atlas")
    assert (facts["name"], facts["activation"]) == ("atlas-x-id", "sigmoid")
    assert facts["paper"]["arxiv"] == "1805.05540"
    assert json.loads(json.dumps(facts))["layer_table"][0]["text"] == "C10x10-32 s1 same relu"


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"unknown network 'convexpress'; did you mean conv[xX]press"):
        describe_network("convexpress")


def test_a_network_has_its_card_by_any_name_unless_its_layers_are_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = tomllib.loads(files("rgbench.networks").joinpath("published.toml").read_text("utf-8"))
    for name in ("convxpress", "convXpress"):
        card = card_of(name)
        assert card is not None
        assert card.title == tables["convxpress"]["title"]
    assert card_of("convxpress", "Flat · FC{classes} softmax") is None
    assert card_of("nobody-s") is None
    assert card_of("timm:resnet18") is None
    known: Registry[Any] = Registry("network")
    known.register("made", lambda **_: None)
    known.register("door:made", card)
    monkeypatch.setattr(catalogue, "networks", lambda: known)
    assert card_of("made") is None
    assert card_of("door:made") is None, "its code is elsewhere, whatever is registered"


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
        ("FC{classes} softmax", "needs a vector: write Flat or GAP before it"),
        ("Flat · Flat", "needs a map, but stands after Flat"),
        ("Flat · C3x3-1 same", "needs a map, but stands after Flat"),
        ("Add[= | MP2x2 s2 same] · Flat", r"layer 1 \(Add\) its branches end in \(8, 8, 1\) and \(4, 4, 1\)"),
        ("Add[= | Flat · Flat] · Flat", r"layer 1b2 \(Flat\) needs a map"),
        ("GC3x3-2 C4 same · Flat", "it takes fields of C4, not 1 channels: write lift at the first one"),
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


def test_the_receptive_field_study_says_what_its_networks_see() -> None:
    """The comments of the study's file are the facts at 300 pixels, in rising order."""
    text = files("rgbench.studies").joinpath("receptive-field.toml").read_text("utf-8")
    stated = re.findall(r'^    "([\w-]+)",\s+#\s+(\d+) px(?:,\s+(\d+) %)?', text, re.MULTILINE)
    names, fields, _ = zip(*stated, strict=True)
    assert list(names) == tomllib.loads(text)["networks"]
    assert [int(field) for field in fields] == sorted(int(field) for field in fields)
    for name, field, coverage in stated:
        facts = describe_network(name, 300)
        assert facts["receptive_field"] == int(field)
        assert not coverage or round(100 * facts["coverage"]) == int(coverage)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('title = "T"\nlayers = "GAP"', "network 'n': paper missing; the keys are title, paper"),
        ('paper = { citation = "P" }', "network 'n': title and layers missing; the keys are"),
        (
            'title = "T"\nlayers = "GAP"\npaper = { key = "Nobody2030", citation = "P" }',
            "network 'n': paper: references.bib has no entry 'Nobody2030'; add it there",
        ),
        (
            'title = "T"\nbase = "m"\nchange = "group C8"',
            "network 'n': base: there is no network 'm' above it",
        ),
        ('title = "T"\nbase = "m"', "network 'n': change missing; the keys are"),
        ('title = "T"\nlayers = "GAP"\npaper = { who = "P" }', "who.*; the keys are title, paper"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(table, message):
    with pytest.raises(SpecError, match=message):
        read_cards(f"[n]\n{table}\n")
