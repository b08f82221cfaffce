"""What is said of two networks: verdicts, intervals, and what would be needed to tell."""

from __future__ import annotations

import pytest

from rgbench.comparison.words.pairs import pair
from rgbench.statistics.paired import PairedDifference

NAN, INF = float("nan"), float("inf")


def found(low, high, names=("a", "b"), **more):
    fields = {"p_value": 0.5, "resolvable": 0.04, "separable": False, "n_test": 800}
    fields |= {"difference": round((low + high) / 2, 6), **more}
    return PairedDifference(*names, low=low, high=high, **fields)


def test_the_better_network_is_said_to_beat_the_other_whichever_comes_first():
    said = "ConvXpress beats MCRGNet by 3.1 points (95 % interval 0.4 to 5.8)"
    assert pair(found(0.004, 0.058, ("ConvXpress", "MCRGNet"), separable=True)) == said
    assert pair(found(-0.058, -0.004, ("MCRGNet", "ConvXpress"), separable=True)) == said
    alone = found(0.004, 0.058, separable=True, single=(False, True))
    assert pair(alone).endswith("(95 % interval 0.4 to 5.8), of one trained run of b")
    assert pair(found(0.004, 0.058, separable=True, single=(True, True))).endswith("of one trained run each")


def test_a_pair_that_is_separable_alone_only_is_said_to_be_so():
    assert pair(found(0.004, 0.058, pairs=6, needed=500)) == (
        "a and b cannot be told apart with 800 test sources when all 6 pairs are counted "
        "(+3.1 points (95 % interval 0.4 to 5.8) for this pair alone)"
    )


@pytest.mark.parametrize(
    ("needed", "more", "said"),
    [
        (1094.2, {}, "; about 1,100 would be needed to resolve a difference of 2 points"),
        (300, {"wanted": 0.01}, ", which would most likely have shown a difference of 1 point"),
        (INF, {}, "; to resolve a difference of 2 points, more seeds are needed, not only more sources"),
        (NAN, {}, ": +1.0 points (95 % interval −2.0 to 4.0)"),
    ],
)
def test_what_would_tell_them_apart(needed, more, said):
    text = pair(found(-0.02, 0.04, needed=needed, **more))
    assert text == f"a and b cannot be told apart with 800 test sources{said}"


def test_lower_is_better_for_losses_and_they_have_no_points():
    beats = pair(found(-0.058, -0.004, metric="nll", separable=True))
    assert beats == "a beats b in NLL by 0.031 (95 % interval 0.0040 to 0.058)"
    tied = pair(found(-0.058, 0.004, metric="nll"))
    assert tied.endswith("in NLL with 800 test sources: −0.027 (95 % interval −0.058 to 0.0040)")


def test_without_an_interval_nobody_beats_anybody():
    none = found(NAN, NAN, difference=0.2, p_value=NAN, n_test=7)
    assert pair(none) == (
        "a and b cannot be told apart with 7 test sources: these are too few to give their difference an interval"
    )
    # Whatever a p-value of another test says.
    assert "beats" not in pair(found(NAN, NAN, difference=0.2, separable=True, n_test=7))
    assert pair(found(NAN, NAN, difference=0.2, n_test=1)).endswith(
        "1 test source: this is too little to give their difference an interval"
    )


def test_an_interval_of_all_that_is_possible_is_said_to_exclude_nothing():
    assert pair(found(-1.0, 1.0)).endswith(
        "0.0 points (95 % interval −100.0 to 100.0, which excludes nothing)"
    )
    assert "excludes" not in pair(found(-1.0, 1.0, metric="mcc"))
    assert pair(found(-2.0, 2.0, metric="mcc")).endswith(
        "(95 % interval −2.0 to 2.0, which excludes nothing)"
    )
