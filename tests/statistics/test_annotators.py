"""Annotators: crowd-kit's numbers, a loop written from the paper, sources drawn from known annotators."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.errors import DataError, SpecError
from rgbench.statistics.annotators import Annotator, Belief, class_posterior, fit_annotators

SAID = (
    "2122.2.0000220.00201.010...101.112.2211.10202.101.01212.2221",
    "2002.02100..201.02022...0021111.2220.11122.02120..0111222.11",
    "212212110200.0120112..10102211..111.2.121.10221..0012.22220.",
    "2012022122022.1.00.02.1220220111.2222.1221202102.00221222.11",
)
"""What four annotators say of 60 sources in three classes; "." where they did not look."""
CROWD_KIT = [
    [0.998714, 0.001285, 0.0],
    [0.05897, 0.30357, 0.63746],
    [0.965486, 0.034513, 2e-06],
    [0.998714, 0.001285, 0.0],
    [0.109874, 0.506327, 0.383799],
    [0.996748, 0.000505, 0.002746],
]
"""Probabilities by crowd-kit 1.4.2, DawidSkene(n_iter=5000, tol=1e-14), classes in the order 2, 1, 0."""
NO_BELIEF = Belief(votes=0, sources=0)
THREE = [Annotator(name, ("a", "b", "c"), (0, 1, 2)) for name in "wxyz"]


def said(lines=SAID, k=3):
    return [np.array([[float(c == str(s)) for s in range(k)] for c in line]) for line in lines]


def test_as_crowd_kit(golden):
    fit = fit_annotators(said(golden["said"]), THREE, 3, NO_BELIEF, tolerance=1e-12, most_steps=20000)
    np.testing.assert_allclose(fit.posterior[: len(golden["posterior"])], golden["posterior"], atol=2e-5)
    np.testing.assert_allclose(fit.prior, golden["prior"], atol=2e-5)
    np.testing.assert_allclose(fit.confusion(2), golden["confusion"], atol=5e-5)
