"""The notation reads what it writes, and says what it cannot read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.errors import SpecError
from rgbench.networks.notation.layers import (
    ACTIVATIONS,
    GROUP_BASIS,
    INITIALISERS,
    MERGES,
    Activation,
    BatchNorm,
    BlurPool,
    Branches,
    Conv,
    Dense,
    DepthwiseConv,
    Disc,
    Dropout,
    Flatten,
    GlobalPool,
    GroupConv,
    GroupPool,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    RingPool,
)
from rgbench.networks.notation.notation import parse_layers, to_text

SIZES = st.tuples(st.integers(1, 30), st.integers(1, 30))
PADDINGS = st.sampled_from(["same", "valid", "pad1", "pad12"])
GROUPS = st.sampled_from(["C1", "C4", "D8", "C16"])
INITS = st.sampled_from(sorted(INITIALISERS))
KERNELS = {
    "activation": st.sampled_from(ACTIVATIONS),
    "l2": st.floats(0, 1),
    "initialiser": INITS,
    "seeded": st.booleans(),
}
STRAIGHT = st.one_of(
    st.builds(Conv, kernel=SIZES, filters=st.integers(1, 512), stride=SIZES, padding=PADDINGS, **KERNELS),
    st.builds(DepthwiseConv, kernel=SIZES, stride=SIZES, padding=PADDINGS, initialiser=INITS),
    st.builds(
        GroupConv,
        size=st.sampled_from(sorted(GROUP_BASIS)),
        fields=st.integers(1, 99),
        group=GROUPS,
        lift=st.booleans(),
        padding=PADDINGS,
    ),
    st.builds(GroupPool, group=GROUPS),
    st.builds(MaxPool, size=SIZES, stride=SIZES, padding=PADDINGS),
    st.builds(RingPool, rings=st.integers(1, 20)),
    st.builds(LeakyReLU, slope=st.floats(0, 1)),
    st.builds(Dropout, rate=st.floats(0, 1, exclude_max=True), seeded=st.booleans()),
    st.sampled_from([BatchNorm(), LayerNorm(), Flatten(), GlobalPool(), BlurPool(), Disc()]),
    st.builds(Dense, units=st.none() | st.integers(1, 5000), **KERNELS),
    st.builds(Activation, function=st.sampled_from(ACTIVATIONS)),
)


def _branches(inside: st.SearchStrategy[Layer]) -> st.SearchStrategy[Layer]:
    branch = st.lists(inside, max_size=3).map(tuple)
    both = st.lists(branch, min_size=2, max_size=3).map(tuple)
    return st.builds(Branches, merge=st.sampled_from(MERGES), branches=both)


LAYERS = st.recursive(STRAIGHT, _branches, max_leaves=8)


@pytest.mark.slow
@given(st.lists(LAYERS, min_size=1, max_size=8))
def test_text_is_read_back(layers: list) -> None:
    assert parse_layers(to_text(layers)) == tuple(layers)


def test_every_form() -> None:
    text = "C3x5-32 s2x1 same relu L2(0.01) · MP2x2 same · D0.4(unseeded) · BN · relu · Flat · FC9"
    assert parse_layers(text) == (
        Conv((3, 5), 32, (2, 1), "same", "relu", 0.01),
        MaxPool((2, 2), (2, 2), "same"),
        Dropout(0.4, seeded=False),
        BatchNorm(),
        Activation("relu"),
        Flatten(),
        Dense(9),
    )


def test_branches() -> None:
    conv = Conv((3, 3), 8)
    assert parse_layers("Add[= | C3x3-8 same · BN] ×2; Concat[Flat|Add[=|BN] · Flat]") == (
        *[Branches("Add", ((), (conv, BatchNorm())))] * 2,
        Branches("Concat", ((Flatten(),), (Branches("Add", ((), (BatchNorm(),))), Flatten()))),
    )


def test_output_layer_has_as_many_units_as_classes() -> None:
    assert parse_layers("FC{classes} softmax <he>") == (Dense(None, "softmax", initialiser="he"),)


@pytest.mark.parametrize("text", ["D0.5 ×2 · BN", "D0.5*2; BN", "D0.5·D0.5·BN", "D0.5 * 2 ;BN"])
def test_separators_and_repeats(text: str) -> None:
    assert parse_layers(text) == (Dropout(0.5), Dropout(0.5), BatchNorm())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("BN · C3x3 same", "'C3x3' is not a layer"),
        ("BN · C3x3-8 s1", "padding is missing"),
        ("BN · C3x3-8 same valid", "'valid' does not belong here"),
        ("BN · C3x3-8 same tanh", "'tanh' does not belong here"),
        ("BN · C0x3-8 same", "kernel 0x3 is less than 1"),
        ("BN · C3x3-8 s0 same", "stride 0x0 is less than 1"),
        ("BN · FC8 relu <xavier>", "initialiser 'xavier' is not one of he, gu"),
        ("BN · MP2x2 s2 same relu", "'relu' does not belong here"),
        ("BN · D1.5", "not in [0, 1)"),
        ("BN · Flat ×0", "repeated 0 times"),
        ("BN ·  · Flat", "a layer is empty"),
        ("BN · Flatten", "'Flatten' is not a layer"),
        ("BN · C3x3-8 pad0", "padding is missing"),
        ("BN · GC5x5-8 same", "the group is missing"),
        ("BN · GC5x3-8 C4 same", "is square"),
        ("BN · GC4x4-8 C4 same", "kernel size '4' is not one of 3, 5, 7"),
        ("BN · GP C0", "the group is missing"),
        ("BN · Add[BN]", "Add needs two branches or more"),
        ("BN · Mul[=|BN]", "merge 'Mul' is not one of Add, Concat"),
        ("BN · Add[= | C3x3]", "branch 2: layer 1 ('C3x3'): 'C3x3' is not a layer"),
    ],
)
def test_errors_name_the_layer_and_the_legal_forms(text: str, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_layers(text)
    message = str(caught.value)
    assert message.startswith(f"layer 2 ({text.split('·')[1].strip()!r})")
    assert reason in message
    assert "legal forms: C3x3-32 s2 same" in message


HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("BN ×1000000000000", "a layer cannot be repeated 1000000000000 times; 1 to 10,000 is legal"),
        (f"BN ×{HUGE}", "1 to 10,000 is legal"),
        ("Add[Add[= | BN ×99] ×99 | =] ×99", "the network has more than 10,000 layers"),
        ("BN; " * 10_000 + "BN", "the network has more than 10,000 layers"),
        ("Add[=|" * 30 + "BN" + "]" * 30, "branches stand more than 20 deep"),
        ("Add[" * 10_000 + "]" * 10_000, "branches stand more than 20 deep"),
        (" " * 100_001, "the line has 100,001 characters; up to 100,000 are legal"),
        ("C3x3-1000001 same", "filters '?1000001'? is too large; 1 to 1,000,000 is legal"),
        (f"C3x3-{HUGE} same", "digits"),
        ("MP2x99999999 same", "window '?99999999'? is too large"),
        (f"C3x3-8 s{HUGE} same", "digits"),
        ("C3x3-8 pad99999", "padding is missing"),
        (f"FC{HUGE} relu", "digits"),
        ("FC8 relu L2(1e999)", "L2 inf is less than 0, or infinite"),
        ("LeakyReLU(1e999)", "slope inf is less than 0, or infinite"),
        ("D1e999", "not in"),
        ("GC5x5-8 C99999 same", "from 1 to 999"),
        ("[" * 50_000, "is not closed"),
        ("a" + " " * 50_000 + "b", "'a' is not a layer"),
        ("a" + " *" * 25_000 + "b", "is not a layer"),
    ],
)
def test_lines_without_end_are_refused_at_once(text: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason) as caught:
        parse_layers(text)
    assert len(str(caught.value)) < 10_000
    assert "\n" not in str(caught.value)


LONGER = ("C3x3-8 same", "Add[", "Concat[", "FC{classes}", "×2", "L2(", "pad1", "GC5x5-2 C4")
WORDS = st.sampled_from([*"CDBN[]|·;×*=x-<>(){} .s1e9\n\0é٣", *LONGER])


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, max_size=30).map("".join))
def test_any_line_is_read_and_written_again_or_refused(text: str) -> None:
    message = ""
    try:
        layers = parse_layers(text)
    except SpecError as error:
        message = str(error)
    else:
        assert parse_layers(to_text(layers)) == layers
    assert "\n" not in message


def test_a_negative_penalty_is_refused() -> None:
    with pytest.raises(SpecError, match="L2 -1 is less than 0"):
        Dense(3, l2=-1)


@pytest.mark.parametrize("text", ["BN · Add[= | BN", "BN · Add = | BN]"])
def test_brackets_are_counted(text: str) -> None:
    with pytest.raises(SpecError, match="a bracket '.' (is not closed|closes nothing)"):
        parse_layers(text)
