"""Scores of disturbed images, from tables with known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgbench.comparison.robustness import StressedRun, score_conditions, strength_curves, stressed_run
from rgbench.comparison.rotation import rotation_consistency
from rgbench.comparison.words.robustness import condition, rotation
from rgbench.errors import SpecError, StoreError
from rgbench.store.conditions import CONDITIONS_FILE, Condition, families, read_conditions
from rgbench.store.store import Store
from rgbench.store.tables import Predictions, concatenate, write_predictions

K = 4
NAMES = np.array([f"s{i:03d}" for i in range(200)])
LABEL = np.arange(200) % K


def said(classes: np.ndarray) -> np.ndarray:
    return (5 * np.eye(K)[classes]).astype(np.float32)


def rows(classes: np.ndarray, condition: str = "clean", label: np.ndarray = LABEL) -> Predictions:
    n = len(classes)
    text = [NAMES[:n], np.full(n, "test"), np.full(n, "best"), np.full(n, condition)]
    return Predictions(
        "r", tuple("abcd"), "softmax", "1", *text, np.zeros(n, np.int64), label[:n], said(classes)
    )


def wrong(index: np.ndarray | list[int], label: np.ndarray = LABEL) -> np.ndarray:
    """Right classes but for the sources of an index."""
    classes = label.copy()
    classes[index] = (classes[index] + 1) % K
    return classes


def stressed(clean: list[int], **disturbed: np.ndarray) -> StressedRun:
    found = {Condition.of(name): rows(classes, name) for name, classes in disturbed.items()}
    return StressedRun(rows(wrong(clean)), found)


@given(st.sampled_from(sorted(families())), st.floats(0, 1e6, allow_nan=False))
def test_every_name_is_read_back(family, strength):
    card = families()[family]
    strength = min(np.floor(strength) if card.whole else strength, card.below - 1)
    condition = Condition(family, max(strength, card.clean))
    assert Condition.of(condition.name) == condition


@pytest.mark.parametrize(
    "name", ["clean", "noise", "noise-", "noise-1.0x", "fog-1", "beam-0.5x", "shift--1px"]
)
def test_other_names_are_refused(name):
    with pytest.raises(SpecError, match="condition"):
        Condition.of(name)


def test_a_name_in_another_form_is_corrected():
    with pytest.raises(SpecError, match="did you mean 'rotation-015'"):
        Condition.of("rotation-15")


@pytest.mark.parametrize(
    ("family", "strength"),
    [("rotation", 360), ("shift", 1.5), ("beam", 0.9), ("noise", -1), ("noise", np.nan)],
)
def test_strengths_that_mean_nothing_are_refused(family, strength):
    with pytest.raises(SpecError, match=f"condition {family}: strength"):
        Condition(family, strength)


def test_accuracy_drop_and_test_are_those_of_the_counts():
    """20 of 200 wrong; with noise these and 12 more, but 2 of them become right."""
    now = wrong([*range(2, 20), *range(100, 112)])
    (score,) = score_conditions([stressed(list(range(20)), **{"noise-1.0": now})])
    assert score.values["accuracy"][0] == pytest.approx(170 / 200)
    assert score.clean["accuracy"][0] == pytest.approx(0.9)
    assert score.drops["accuracy"][0] == pytest.approx(0.05)
    assert score.changed == pytest.approx(14 / 200)
    # McNemar's exact test of 12 against 2: twice the sum of the binomial's tail.
    assert score.p_value == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    # Wilson's interval of 170 of 200, from its closed form.
    z, p, n = 1.959963985, 0.85, 200
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    assert score.values["accuracy"][1:] == pytest.approx((middle - half, middle + half), abs=1e-8)
    assert f"MPCA falls by {100 * score.drops['mpca'][0]:.1f} points" in condition(score)


def test_the_interval_of_the_drop_is_paired():
    """Of 200 sources 60 are wrong both times: only the 10 that change count, as the standard error shows."""
    now = wrong([*range(60), *range(100, 110)])
    (score,) = score_conditions([stressed(list(range(60)), **{"noise-1.0": now})], resamples=8000)
    _, low, high = score.drops["accuracy"]
    paired, unpaired = (np.sqrt(v / 200) for v in (0.05 * 0.95, 0.35 * 0.65 + 0.3 * 0.7))
    assert (high - low) / (2 * 1.96) == pytest.approx(paired, rel=0.1)
    assert (high - low) / (2 * 1.96) < unpaired / 2


def test_no_change_is_no_loss():
    clean = list(range(20))
    (score,) = score_conditions([stressed(clean, **{"rotation-000": wrong(clean)})])
    for drop, low, high in score.drops.values():
        # Other sources might change: 0 of 200 did.
        assert drop == 0
        assert -0.03 < low < 0 < high == -low
    assert (score.p_value, score.changed) == (1.0, 0.0)
    assert "no loss of MPCA can be shown" in condition(score)
    assert "no loss of accuracy can be shown" in condition(score, "accuracy")


def test_runs_are_averaged_and_p_values_corrected():
    runs = [stressed([], **{"noise-1.0": wrong(list(range(a))), "shift-2px": wrong([])}) for a in (20, 40)]
    noise, shift = score_conditions(runs)
    assert noise.n_runs == 2
    assert noise.values["accuracy"][0] == pytest.approx(0.85)
    # 40 sources are lost in at least one run, none gained; two conditions were tested.
    assert noise.p_value == pytest.approx(2 * 2 * 0.5**40)
    assert shift.p_value == 1.0


def test_mpca_and_unlabelled_sources():
    label = LABEL.copy()
    label[:40] = -1
    now = rows(wrong(list(range(40, 80, 4))), "noise-1.0", label)
    run = StressedRun(rows(LABEL, label=label), {Condition("noise", 1): now})
    (score,) = score_conditions([run])
    assert score.n_sources == 160
    assert score.values["mpca"][0] == pytest.approx((0.75 + 3) / 4)  # 10 of 40 of the first class
    with pytest.raises(SpecError, match="no test source has a label"):
        score_conditions([StressedRun(rows(LABEL, label=-np.ones_like(LABEL)), run.disturbed)])


def test_a_diverged_run_says_nothing():
    run = stressed([], **{"noise-1.0": LABEL, "rotation-000": LABEL, "rotation-090": LABEL})
    for each in run.disturbed.values():
        each.logits[3, 0] = np.nan
    score = next(s for s in score_conditions([run]) if s.condition.family == "noise")
    assert np.isnan(score.values["accuracy"][0])
    assert np.isnan(score.changed)
    assert np.isnan(score.p_value)
    assert "not finite" in condition(score)
    assert np.isnan(rotation_consistency([run]).same[0])


def test_curves_begin_with_the_clean_images():
    run = stressed(
        [0],
        **{
            "noise-2.0": wrong(list(range(40))),
            "noise-0.5": wrong(list(range(10))),
            "rotation-000": wrong([0]),
        },
    )
    curves = {curve.family: curve for curve in strength_curves(score_conditions([run]))}
    noise = curves["noise"]
    assert noise.strengths.tolist() == [0.0, 0.5, 2.0]
    np.testing.assert_allclose(noise.values[:, 0], [0.995, 0.95, 0.8])
    np.testing.assert_allclose(noise.drops[:, 0], [0, 0.045, 0.195])
    assert (noise.values[:, 1] < noise.values[:, 0]).all()
    assert curves["rotation"].strengths.tolist() == [0.0]
    with pytest.raises(SpecError, match="mpca, accuracy"):
        strength_curves([], "nll")


def test_rotation_consistency_by_hand():
    """Three angles: 190 sources always the same; 8 differ at one angle; 2 at all three."""
    turned = [LABEL.copy() for _ in range(3)]
    turned[1][190:] = (turned[1][190:] + 1) % K
    turned[2][198:] = (turned[2][198:] + 2) % K
    names = ("rotation-000", "rotation-015", "rotation-345")
    found = rotation_consistency([stressed([], **dict(zip(names, turned, strict=True)))])
    assert found.angles == (0.0, 15.0, 345.0)
    assert found.same[0] == pytest.approx(0.95)
    assert found.same[1] < 0.95 < found.same[2]
    np.testing.assert_allclose(found.agreement, [1.0] * 190 + [1 / 3] * 8 + [0.0] * 2)
    two_to_one = -(np.log(1 / 3) / 3 + 2 * np.log(2 / 3) / 3) / np.log(3)
    np.testing.assert_allclose(found.entropy, [0.0] * 190 + [two_to_one] * 8 + [1.0] * 2, atol=1e-12)
    assert found.mean_agreement[0] == pytest.approx(found.agreement.mean())
    assert rotation(found).startswith("95.0 % of 200 sources")


def test_agreement_is_the_share_of_pairs():
    rng = np.random.default_rng(1)
    turned = rng.integers(0, K, (24, 200))
    names = [Condition("rotation", 15 * i).name for i in range(24)]
    found = rotation_consistency([stressed([], **dict(zip(names, turned, strict=True)))])
    pairs = [(turned[i] == turned[j]) for i in range(24) for j in range(i)]
    np.testing.assert_allclose(found.agreement, np.mean(pairs, axis=0))


def test_what_cannot_be_scored():
    one = stressed([], **{"rotation-000": LABEL})
    with pytest.raises(SpecError, match="two angles or more, found 1"):
        rotation_consistency([one])
    with pytest.raises(SpecError, match="there is no run"):
        score_conditions([])
    with pytest.raises(SpecError, match="no condition in common"):
        score_conditions([one, stressed([], **{"rotation-015": LABEL})])


def test_rows_are_matched_by_name_not_by_place(make_run):
    record = make_run("mcrgnet", 1, 0.8)
    clean = record.predictions
    order = np.random.default_rng(2).permutation(len(clean))
    noisy = replace(clean.take(order), condition=np.full(len(clean), "noise-1.0"))
    run = stressed_run(record, noisy)
    (score,) = score_conditions([run])
    assert score.changed == 0
    with pytest.raises(SpecError, match=r"noise-1.0: 150 sources, not the same as the 200 clean"):
        stressed_run(record, noisy.take(np.arange(150)))
    with pytest.raises(SpecError, match="has no predictions"):
        stressed_run(replace(record, predictions=None), noisy)


def test_the_table_is_read_from_the_run_s_directory(tmp_path):
    store = Store(tmp_path)
    assert read_conditions(store, "r") is None
    store.run_path("r").mkdir()
    table = concatenate([rows(LABEL, name) for name in ("noise-1.0", "noise-2.0")])
    write_predictions(store.run_path("r") / CONDITIONS_FILE, table)
    assert len(read_conditions(store, "r")) == 400
    store.run_path("q").mkdir()
    write_predictions(store.run_path("q") / CONDITIONS_FILE, table)
    with pytest.raises(StoreError, match="is of run 'r', not of q"):
        read_conditions(store, "q")


def own_sources(name: str, lost: int) -> StressedRun:
    """A run on 100 sources of its own, right on all clean images, that noise makes wrong on some."""
    label, names = LABEL[:100], np.array([f"{name} {i}" for i in range(100)])
    clean, noisy = (replace(rows(wrong([], label)), source_id=names) for _ in range(2))
    noisy = replace(rows(wrong(np.arange(lost), label), "noise-1.0", label), source_id=names)
    return StressedRun(clean, {Condition("noise", 1.0): noisy})


def test_runs_with_test_sources_of_their_own_count_their_scatter():
    """Drops of 20, 30 and 40 %: 4.303 standard errors of their mean, and the sources' part, in squares."""
    (score,) = score_conditions([own_sources(name, lost) for name, lost in (("a", 20), ("b", 30), ("c", 40))])
    drop, low, high = score.drops["accuracy"]
    of_runs = 4.3027 * 0.1 / np.sqrt(3)
    of_sources = 1.96 * np.sqrt((0.2 * 0.8 + 0.3 * 0.7 + 0.4 * 0.6) / 100) / 3
    assert drop == pytest.approx(0.3)
    assert (drop - low, high - drop) == pytest.approx((np.hypot(of_runs, of_sources),) * 2, abs=0.005)


def test_two_runs_on_a_handful_of_sources_show_no_loss():
    """One loses a fifth, the other nothing: two runs have t = 12.7, and no drop is larger than 1."""
    (score,) = score_conditions([own_sources("a", 20), own_sources("b", 0)])
    assert score.drops["accuracy"] == pytest.approx((0.1, -1.0, 1.0))
    assert "no loss of MPCA can be shown, +10.0 points (95 % interval −100.0 to 100.0" in condition(score)


def test_a_drop_ends_where_no_drop_can_be_larger():
    """Two seeds on the same sources: one loses nothing, the other nearly everything."""
    bad = np.arange(190)
    runs = [stressed([], **{"noise-1.0": LABEL}), stressed([], **{"noise-1.0": wrong(bad)})]
    (score,) = score_conditions(runs)
    assert score.drops["accuracy"] == pytest.approx((0.475, -1.0, 1.0))
