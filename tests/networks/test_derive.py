"""Variants are derived from their base by words, and words that change nothing are refused."""

from __future__ import annotations

import pytest

from rgbench.errors import SpecError
from rgbench.networks.catalogue import read_cards
from rgbench.networks.notation.derive import derive
from rgbench.networks.notation.notation import parse_layers, to_text

BASE = (
    "C3x3-8 s1 same relu · BN · MP2x2 s2 same · D0.25 · C3x3-16 s1 same · relu · MP2x2 s2 valid · D0.25 · "
    "Flat · FC64 linear <he> · relu · BN · D0.5 · FC{classes} softmax <gu>"
)


@pytest.mark.parametrize(
    ("change", "lost", "won"),
    [
        ("no conv dropout", [" · D0.25"], []),
        ("no dense dropout", [" · D0.5"], []),
        ("no dense batch norm", ["<he> · relu · BN"], ["<he> · relu"]),
        ("hidden: relu L2(0.01) <gu>", ["FC64 linear <he>"], ["FC64 relu L2(0.01) <gu>"]),
        ("hidden: 500 units", ["FC64"], ["FC500"]),
        ("conv 2: 32 filters s2 valid", ["C3x3-16 s1 same"], ["C3x3-32 s2 valid"]),
        ("convs: L2(0.5)", ["same relu", "16 s1 same"], ["same relu L2(0.5)", "16 s1 same L2(0.5)"]),
        ("pools: valid", ["MP2x2 s2 same"], ["MP2x2 s2 valid"]),
        ("relu 2: linear", ["<he> · relu"], ["<he> · linear"]),
        ("dense dropout: 0.9 (unseeded)", ["D0.5"], ["D0.9 (unseeded)"]),
        ("D0.1 after pool 2", ["MP2x2 s2 valid"], ["MP2x2 s2 valid · D0.1"]),
        ("D0.1 · BN before Flat", ["Flat"], ["D0.1 · BN · Flat"]),
        ("head: FC9 relu <gu>", ["FC64 linear <he> · relu · BN · D0.5"], ["FC9 relu <gu>"]),
        ("output: (unseeded)", ["softmax <gu>"], ["softmax <gu> (unseeded)"]),
    ],
)
def test_one_change(change: str, lost: list[str], won: list[str]) -> None:
    expected = BASE
    for before, after in zip(lost, won or [""] * len(lost), strict=True):
        expected = expected.replace(before, after)
    assert expected != BASE
    assert to_text(derive(parse_layers(BASE), change)) == expected


def test_changes_follow_each_other_and_reach_into_branches() -> None:
    base = parse_layers("Add[= | C3x3-8 s1 same · D0.5 · BN] · Flat · FC{classes} softmax")
    changed = derive(base, "no dropout, D0.1 after convs, D0.2 before Flat")
    assert to_text(changed).startswith("Add[= | C3x3-8 s1 same · D0.1 · BN] · D0.2 · Flat")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("without dropout", "the change 'without dropout' is not understood; write 'no SELECTOR'"),
        ("no drop", "'drop' names no layers"),
        ("conv 7: s2", "'conv 7': there are 2 of these"),
        ("pools: same same", "'same' does not belong here"),
        ("hidden: linear", "the change 'hidden: linear' changes nothing"),
        ("conv 1: relu s1", "changes nothing"),
        ("hidden: tanh", "'tanh' does not belong here"),
        ("head: tanh", "'tanh' is not a layer"),
    ],
)
def test_what_is_refused(change: str, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        derive(parse_layers(BASE), change)
    assert reason in str(caught.value)


def test_a_card_names_the_network_whose_change_fails() -> None:
    text = f'''
[a]
title = "A"
paper = {{ citation = "none" }}
layers = "{BASE}"
[a.variants]
b = {{ change = "no conv dropout" }}
c = {{ change = "no maxout" }}
'''
    with pytest.raises(SpecError, match=r"network 'a-c': 'maxout' names no layers"):
        read_cards(text)
    first, second = read_cards(text.replace('c = { change = "no maxout" }', ""))
    assert (first.name, second.name, second.title, second.base) == ("a", "a-b", "A, b", "a")
    assert second.paper == first.paper


def test_a_card_without_layers_or_with_an_unknown_base_is_refused() -> None:
    with pytest.raises(SpecError, match=r"network 'x': layers missing; the keys are"):
        read_cards('[x]\ntitle = "X"\npaper = { citation = "none" }')
    with pytest.raises(SpecError, match=r"network 'x': base: there is no network 'y' above it in this file"):
        read_cards('[x]\ntitle = "X"\nbase = "y"\nchange = "no convs"')
