"""What came of it, in whole sentences: the answer first, then what it rests on."""

from __future__ import annotations

from math import ceil, isinf

import numpy as np

from rgbench.finetuning.own import OwnSources
from rgbench.finetuning.spec import LEAST
from rgbench.finetuning.verdict import WANTED, BeforeAfter
from rgbench.numbers import PERCENT, counted, interval, listed, points, rounded_up
from rgbench.statistics.significance import Interval


def answer(found: BeforeAfter, before: str, after: str) -> str:
    """Say whether the classifier trained further beats the one it came from, and which to use."""
    use = {
        "better": f"Use {after}.",
        "worse": f"Use {before}.",
        "not told apart": f"Use {before}: nothing shows that the new one is better.",
    }[found.verdict]
    return f"{result(found, before, after)} {use}{_needed(found)}"


def recalibrated(found: BeforeAfter, before: str, after: str) -> str:
    """Say what a classifier is whose weights were kept."""
    return (
        f"{after} has the weights of {before}: it gives the same classes. Its probabilities and sets are new, from "
        f"{len(found.held_out.label)} of your sources. As a mean over the classes, {before} recognises "
        f"{_share(found.before)} of them."
    )


def result(found: BeforeAfter, before: str, after: str) -> str:
    """Say whether the classifier trained further beats the one it came from, with both scores and the difference."""
    said = {
        "better": f"{after} beats {before} on your own sources.",
        "worse": f"{after} is worse than {before} on your own sources.",
        "not told apart": f"{after} and {before} cannot be told apart on your own sources.",
    }[found.verdict]
    gap = found.difference
    return (
        f"{said} As a mean over the classes, {after} recognises {_share(found.after)} and {before} "
        f"{_share(found.before)}. The difference is {PERCENT.difference(gap.value)} ({interval(gap.low, gap.high)})."
    )


def basis(
    found: BeforeAfter, own: OwnSources, before: str, knows_positions: bool, trained: bool = True
) -> list[str]:
    """Say on what the answer rests, and what it leaves out; a sentence or two a line."""
    n, folds = len(found.held_out.label), len(np.unique(found.held_out.fold))
    lines = [
        f"This rests on {counted(n, 'source')}. Each was classified by networks that were trained on {folds - 1} of "
        f"{folds} parts of your sources: not on itself, nor on a source of its sky group (60 arcsec)."
    ] * trained
    if own.known.any():
        lines.append(
            f"{int(own.known.sum())} of your {len(own)} sources do not count: {before} was trained on them, or on a "
            f"source of their sky group, and has seen the label.{' They were trained on.' if trained else ''}"
        )
    if not knows_positions:
        lines.append(f"{before} tells no positions: whether it was trained on your sources is not known.")
    lost = int((~np.isfinite(own.catalogue.ra)).sum())
    if lost and knows_positions:
        those = f"{counted(lost, 'source')} without a position"
        lines.append(
            f"{those}: whether {before} was trained on {'it' if lost == 1 else 'them'} is not known."
        )
    return lines + (_classes(found, own) if trained else [])


def class_rows(found: BeforeAfter, classes: tuple[str, ...]) -> list[tuple[str, int, int, int]]:
    """Give class, number of sources, and how many are recognised before and after, of each class that is scored."""
    held, (before, after) = found.held_out, found.held_out.right()
    return [
        (name, int(own.sum()), int(before[own].sum()), int(after[own].sum()))
        for name, own in ((name, held.label == k) for k, name in enumerate(classes))
        if own.any()
    ]


def _classes(found: BeforeAfter, own: OwnSources) -> list[str]:
    scored = set(found.held_out.label.tolist())
    few = [name for k, name in enumerate(own.classes) if own.counts[k] and k not in scored]
    none = [name for k, name in enumerate(own.classes) if not own.counts[k]]
    lines = []
    if few:
        lines.append(
            f"No score for {listed(few)}: a class needs {LEAST} sources that the classifier has not seen."
        )
    if none:
        lines.append(
            f"You have no source of {listed(none)}: the new classifier may unlearn what it is never shown. Use it only "
            "where there are none."
        )
    return lines


def _share(span: Interval) -> str:
    return f"{PERCENT.whole(span.value)} ({interval(span.low, span.high)})"


def _needed(found: BeforeAfter) -> str:
    """Say how many sources would show a difference worth having, where these did not show one."""
    if found.verdict != "not told apart" or isinf(found.needed) or found.needed <= len(found.held_out.label):
        return ""
    return (
        f" To tell a difference of {points(WANTED)}, about {rounded_up(ceil(found.needed)):,} sources that neither has "
        "seen are needed."
    )
