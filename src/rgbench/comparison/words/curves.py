"""Learning curves and trends, in sentences."""

from __future__ import annotations

from math import exp

import numpy as np

from rgbench.numbers import PERCENT, Scale, counted
from rgbench.statistics.learning_curve import LearningCurve
from rgbench.statistics.significance import excludes_zero
from rgbench.statistics.trend import Trend

_STEEP = 7
"""Logarithm of the odds from which on a factor is written in powers of ten."""


def learning_curve(curve: LearningCurve, scale: Scale = PERCENT) -> str:
    """Say where a learning curve went, and what twice as many training sources would bring; no full stop."""
    first, last = curve.sizes[0], curve.sizes[-1]
    begun, ended = (scale.whole(float(curve.mean[i])) for i in (0, -1))
    less = float(curve.law(last) - curve.law(2 * last))
    law = f"{curve.law.a:.3f} + {curve.law.b:.3g} n^-{curve.law.c:.2f}"
    return (
        f"from {first:,.0f} to {last:,.0f} training sources the error went from {begun} to {ended}; the law error = "
        f"{law} takes off {f'{less:.3g}' if scale is not PERCENT else f'{100 * less:.1f} points'} for twice as many"
    )


def trend(found: Trend) -> str:
    """Say whether accuracy rises or falls with a property; no full stop.

    Examples
    --------
    >>> from rgbench.statistics.trend import Trend
    >>> trend(Trend(-0.71, -1.02, -0.40, 1.8e-5, 1.0, "log", 200, 0.95))
    'accuracy falls: the odds of being recognised change by a factor 0.49 (95 % interval 0.36 to 0.67) for each
    factor of 2 (p = 1.8e-05)'
    """
    if found.reason:
        return f"no trend can be fitted: {found.reason}"
    each = "factor of 2" if found.scale == "log" else f"{found.step:.3g}"
    odds = (
        f"the odds of being recognised change by a factor {_odds(found.slope)} "
        f"({100 * found.confidence:g} % interval {_odds(found.low)} to {_odds(found.high)}) for each {each}"
    )
    if not excludes_zero(found.low, found.high):
        return f"no trend is seen in {counted(found.n, 'source')}: {odds}"
    return f"accuracy {'rises' if found.slope > 0 else 'falls'}: {odds} (p = {found.p_value:.2g})"


def _odds(slope: float) -> str:
    """Write a factor of the odds; very large ones, of data that are nearly parted, in powers of ten."""
    if abs(slope) < _STEEP:
        return f"{exp(slope):.2f}"
    return f"{exp(float(np.clip(slope, -700, 700))):.0e}"
