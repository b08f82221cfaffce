"""What disturbed images do to a network, in sentences."""

from __future__ import annotations

from rgbench import numbers
from rgbench.comparison.robustness import ConditionScore
from rgbench.comparison.rotation import RotationConsistency
from rgbench.measures.cards import MAIN
from rgbench.measures.catalogue import metrics
from rgbench.statistics.significance import excludes_zero


def condition(score: ConditionScore, metric: str = MAIN) -> str:
    """Say what a network loses under a condition in a metric of recognition; no full stop."""
    (drop, low, high), name = score.drops[metric], score.condition.name
    if not numbers.is_number(drop):
        return f"{name}: logits that are not finite, nothing can be said"
    short = metrics().get(metric).short
    p = "p < 0.001" if score.p_value < 0.001 else f"p = {score.p_value:.3f}"
    span = (
        f"{numbers.interval(low, high, score.confidence)}, {numbers.counted(score.n_sources, 'test source')}"
    )
    span += f"; of these runs, corrected {p}"
    if not excludes_zero(low, high):
        return f"{name}: no loss of {short} can be shown, {numbers.signed_percent(drop)} points ({span})"
    verb = "falls" if drop > 0 else "rises"
    return f"{name}: {short} {verb} by {numbers.percent(abs(drop))} points ({span})"


def rotation(found: RotationConsistency) -> str:
    """Say how many sources get the same class however they are turned; no full stop."""
    share, low, high = (numbers.percent(value) for value in found.same)
    return (
        f"{share} % of {numbers.counted(len(found.source_id), 'source')} ({low} to {high} %) get the same class at "
        f"all {len(found.angles)} angles"
    )
