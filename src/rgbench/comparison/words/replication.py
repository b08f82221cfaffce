"""Whether runs contradict what a paper reports, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf

from rgbench.comparison.published import Value
from rgbench.comparison.replication import MARGIN, Verdict
from rgbench.measures.catalogue import metrics
from rgbench.numbers import counted, listed, points

_COUNTED = {
    "equivalent": f"equivalent within {points(MARGIN)}",
    "not contradicted": "not contradicted",
    "below": "below",
    "above": "above",
}


def verdict(found: Verdict) -> str:
    """Say whether ours contradicts a published number, or why that cannot be said; no full stop."""
    said = _published(found.value)
    if found.ours is None or found.difference is None:
        return f"{said}: cannot be said because {found.reason}"
    ours, d = found.ours, found.difference
    runs = f"{found.runs} runs" if found.runs > 1 else "one run"
    said += (
        f"; ours ({found.network}) {ours.value:.3f} ({100 * ours.confidence:g} % interval {ours.low:.3f} to "
        f"{ours.high:.3f}, {_sources(found)}, {runs}): {found.kind}"
    )
    if found.kind == "equivalent":
        return f"{said} within {points(MARGIN)}"
    if found.kind == "not contradicted":
        if isinf(found.resolvable):
            return f"{said}; this would most likely have shown no difference, however large it is"
        least = f"{found.resolvable:.3f}"
        return f"{said}; {least} is the smallest difference that this would most likely have shown"
    low, high = sorted((abs(d.low), abs(d.high)))
    better = (found.kind == "above") == _higher_is_better(found.value.metric)
    return (
        f"{said}, i.e. {'better' if better else 'worse'}, by {abs(d.value):.3f} ({low:.3f} to {high:.3f}, "
        f"p = {found.p_value:.2g})"
    )


def summary(verdicts: Sequence[Verdict]) -> str:
    """Say how a paper's numbers fare; no full stop.

    Examples
    --------
    >>> from rgbench.comparison.published import find_paper
    >>> from rgbench.comparison.replication import compare_with
    >>> summary(compare_with(find_paper("ndungu2024"), {}))
    'none of 1 number can be compared'
    """
    judged = [v for v in verdicts if v.kind != "cannot be said"]
    said = counted(len(verdicts), "number")
    if not judged:
        return f"none of {said} can be compared"
    counts = [(sum(v.kind == kind for v in judged), words) for kind, words in _COUNTED.items()]
    told = listed([f"{n} {'is' if n == 1 else 'are'} {words}" for n, words in counts if n])
    if all(v.replicates for v in judged):
        how = "this is a replication"
    elif any(v.replicates for v in judged):
        n = sum(v.replicates for v in judged)
        what = "is a replication" if n == 1 else "are replications"
        how = f"{n} of them {what}, the others set other methods beside it"
    else:
        how = "this sets other methods beside it, and replicates nothing"
    return f"{len(judged)} of {said} can be compared, of which {told}; {how}"


def _published(value: Value) -> str:
    title = metrics().get(value.metric).title if value.metric in metrics() else value.metric
    of_class = f" of {value.of_class}" if value.of_class else ""
    about = {"exactly": "", "about": "about ", "above": "more than "}[value.relation]
    spread = f" ± {value.uncertainty:g}" if value.uncertainty is not None else ""
    return f"{title}{of_class} of {value.title}: published {about}{value.value:g}{spread}"


def _sources(found: Verdict) -> str:
    if found.n_published is None or found.n_published == found.n_test:
        return counted(found.n_test, "source")
    return f"{found.n_test} of the {counted(found.n_published, 'source')}, the others are unusable"


def _higher_is_better(metric: str) -> bool:
    return metrics().get(metric).higher_is_better if metric in metrics() else True
