"""All pairs at once: the level is kept, more is found than by Holm, and the best is not left out."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from rgbench.statistics.all_pairs import all_pairs
from rgbench.statistics.recognition import Answers, differences
from rgbench.statistics.significance import holm


def study(rng, skills, n=200, seeds=1, scatter=0.0, folds=1):
    """Draw the answers of networks, which share how hard each source is."""
    y, hard = np.arange(n) % 4, rng.normal(0, 1.8, n)
    made = []
    for k, skill in enumerate(skills):
        chance = [
            expit(skill + rng.normal(0, scatter) - hard + rng.normal(0, 0.3, n)) for _ in range(seeds * folds)
        ]
        splits = tuple(f"fold-{i}" if folds > 1 else "published" for i in range(folds) for _ in range(seeds))
        made.append(Answers(f"n{k}", y, rng.random((seeds * folds, n)) < np.array(chance), splits))
    return made


def jointly(made):
    found = differences(list(combinations(made, 2)))
    return found, all_pairs(made, found)


def test_single_runs_have_the_smallest_p_of_a_multivariate_normal():
    """Drawn here from the networks' own answers, centred: the bootstrap that the covariance stands for."""
    made = study(np.random.default_rng(1), [1.0, 1.4, 1.6], n=400)
    found, joint = jointly(made)
    rng, y = np.random.default_rng(2), made[0].y
    right = np.stack([each.right[0].astype(float) for each in made])
    drawn = np.zeros((3, 4000))
    for c in range(4):
        own = right[:, y == c] - right[:, y == c].mean(axis=1, keepdims=True)
        drawn += own @ rng.multinomial(100, np.full(100, 0.01), 4000).T / 100 / 4
    gaps = np.stack([drawn[i] - drawn[j] for i, j in combinations(range(3), 2)])
    statistic = np.abs(gaps) / gaps.std(axis=1, keepdims=True)
    seen = np.array([each.p_value for each in found])
    smallest = 2 * norm.sf(statistic.max(axis=0))
    assert joint.confidence == pytest.approx(1 - np.quantile(smallest, 0.05), abs=0.004)
    clearest = int(seen.argmin())
    assert joint.p_values[clearest] == pytest.approx(float(np.mean(smallest <= seen[clearest])), abs=0.02)


def test_corrected_p_values_keep_their_order_and_are_at_least_those_of_the_pairs_alone():
    found, joint = jointly(study(np.random.default_rng(3), np.linspace(0.5, 2.5, 6), seeds=3, scatter=0.1))
    single = np.array([each.p_value for each in found])
    corrected = np.array(joint.p_values)
    assert (corrected >= single).all()
    assert (np.diff(corrected[np.argsort(single)]) >= 0).all()
    assert joint.maybe_best == tuple(sorted(joint.maybe_best))
    assert joint.maybe_best[-1] == 5


def test_two_runs_say_the_same_of_equal_networks_as_holm_where_there_is_one_pair():
    found, joint = jointly(study(np.random.default_rng(4), [1.0, 1.2]))
    assert joint.p_values == (found[0].p_value,)
    assert joint.confidence == pytest.approx(0.95)


def test_folds_are_corrected_by_holm():
    found, joint = jointly(study(np.random.default_rng(5), [0.5, 1.0, 2.5], folds=3))
    assert list(joint.p_values) == holm([each.p_value for each in found])


def test_networks_that_say_the_same_are_not_told_apart():
    made = study(np.random.default_rng(6), [1.0, 1.5])
    made.append(Answers("twin", made[1].y, made[1].right, made[1].splits))
    _, joint = jointly(made)
    pairs = list(combinations(range(3), 2))
    assert joint.p_values[pairs.index((1, 2))] == 1.0
    assert {1, 2} <= set(joint.maybe_best)


@pytest.mark.slow
def test_the_level_is_kept_more_is_found_than_by_holm_and_the_best_is_kept():
    false, ours, theirs, kept, cases = 0, 0, 0, 0, 120
    for case in range(cases):
        rng = np.random.default_rng([case, 7])
        _, joint = jointly(study(rng, [1.5] * 5, seeds=3, scatter=0.1))
        false += min(joint.p_values) < 0.05
        found, joint = jointly(study(rng, [1.6, 1.6, 1.6, 1.0, 1.0], seeds=3, scatter=0.1))
        ours += sum(p < 0.05 for p in joint.p_values)
        theirs += sum(p < 0.05 for p in holm([each.p_value for each in found]))
        kept += 0 in joint.maybe_best
    assert false / cases <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / cases)
    assert ours > 1.2 * theirs
    assert kept / cases >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / cases)
