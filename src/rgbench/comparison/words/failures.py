"""Sources that fail together, and labels that are likely wrong, in sentences."""

from __future__ import annotations

from rgbench import numbers
from rgbench.comparison.failures import NOT_KNOWN, Group
from rgbench.comparison.label_errors import OutOfSample, Suspects
from rgbench.statistics.significance import Interval


def group(found: Group) -> str:
    """Say how much more often a group of sources is missed than others; no full stop."""
    named = " and ".join(_condition(name, part) for name, part in found.conditions)
    inside, outside = numbers.percent(found.accuracy.value), numbers.percent(found.elsewhere.value)
    return (
        f"{named}: {inside} % of {numbers.counted(found.n, 'source')} are recognised, and {outside} % of all others; "
        f"{found.excess:.0f} more are missed than expected (Fisher's exact test, corrected p = {found.p_value:.2g})"
    )


def suspects(held: OutOfSample, share: Interval, found: Suspects, of: int = 0) -> str:
    """Say how many labels are likely wrong, of the `of` labelled sources (0: not known); no full stop.

    Examples
    --------
    >>> import numpy as np
    >>> from rgbench.comparison.label_errors import OutOfSample, suspects as search
    >>> from rgbench.statistics.significance import Interval
    >>> p = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> held = OutOfSample(("FRI", "FRII"), np.array(["a", "b"]), np.array([0, 1]), p, np.array(["test"] * 2))
    >>> suspects(held, Interval(0.0, 0.0, 0.1), search(held))
    'for 0 of 2 sources the networks are surer of another class than of the label: worth a second look; how many of
    these labels are wrong only looking can tell'
    """
    n = len(held.label)
    said = (
        f"for {len(found)} of {numbers.counted(n, 'source')} the networks are surer of another class than of the "
        "label: worth a second look; how many of these labels are wrong only looking can tell"
    )
    if share.value > 0:
        span = numbers.interval(share.low, share.high, share.confidence)
        said += (
            f" (confident learning estimates {numbers.percent(share.value)} % of all labels, {span}: a number that "
            "leans high where classes are hard to tell apart)"
        )
    if held.validated:
        said += f". {held.validated:,} of the {n:,} took part in choosing the best epoch"
    if of > n:
        said += (
            f". Only {n:,} of the {numbers.counted(of, 'labelled source')} ({numbers.percent(n / of, 0)} %) could be "
            "looked at: every run was trained on the others, or left them out"
        )
    return said


def _condition(name: str, part: str) -> str:
    """Write a condition in words, the unit behind the numbers."""
    quantity, _, unit = name.partition(" / ")
    return f"{quantity} {part} {'' if part == NOT_KNOWN else unit}".rstrip()
