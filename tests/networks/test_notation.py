"""The notation reads what it writes, and says what it cannot read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgbench.errors import SpecError
from rgbench.networks.notation import (
    ACTIVATIONS,
    INITIALISERS,
    PADDINGS,
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
    parse_layers,
    to_text,
)

SIZES = st.tuples(st.integers(1, 30), st.integers(1, 30))
KERNELS = {
    "activation": st.sampled_from(ACTIVATIONS),
    "l2": st.floats(0, 1),
    "initialiser": st.sampled_from(sorted(INITIALISERS)),
    "seeded": st.booleans(),
}
LAYERS = st.one_of(
    st.builds(
        Conv,
        kernel=SIZES,
        filters=st.integers(1, 512),
        stride=SIZES,
        padding=st.sampled_from(PADDINGS),
        **KERNELS,
    ),
    st.builds(MaxPool, window=SIZES, stride=SIZES, padding=st.sampled_from(PADDINGS)),
    st.builds(Dropout, rate=st.floats(0, 1, exclude_max=True), seeded=st.booleans()),
    st.just(BatchNorm()),
    st.just(Flatten()),
    st.builds(Dense, units=st.none() | st.integers(1, 5000), **KERNELS),
    st.builds(Activation, function=st.sampled_from(ACTIVATIONS)),
)


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
        ("BN · C3x3-8 same same", "'same' does not belong here"),
        ("BN · C3x3-8 same tanh", "'tanh' does not belong here"),
        ("BN · C0x3-8 same", "kernel 0x3 is less than 1"),
        ("BN · C3x3-8 s0 same", "stride 0x0 is less than 1"),
        ("BN · FC8 relu <xavier>", "initialiser 'xavier' is not one of he, gu"),
        ("BN · MP2x2 s2 same relu", "'relu' does not belong here"),
        ("BN · D1.5", "not in [0, 1)"),
        ("BN · Flat ×0", "repeated 0 times"),
        ("BN ·  · Flat", "a layer is empty"),
        ("BN · Flatten", "'Flatten' is not a layer"),
    ],
)
def test_errors_name_the_layer_and_the_legal_forms(text: str, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_layers(text)
    message = str(caught.value)
    assert message.startswith(f"layer 2 ({text.split('·')[1].strip()!r})")
    assert reason in message
    assert "legal forms: C3x3-32 s2 same" in message


def test_a_negative_penalty_is_refused() -> None:
    with pytest.raises(SpecError, match="L2 -1 is less than 0"):
        Dense(3, l2=-1)
