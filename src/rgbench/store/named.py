"""How people are told of runs: by network and seed, with the beginning of the id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rgbench.numbers import counted
from rgbench.spec import AnySpec

SHORT = 8
"""Digits of an id that stand for it where people read it."""
FEW = 4
"""Runs that an error names."""


def named(run_id: str, spec: AnySpec | None) -> str:
    """Name a run; without its spec, which cannot be read then, it is a damaged one.

    Examples
    --------
    >>> named("1a2b3c4d5e6f7a8b", None)
    'a damaged run (1a2b3c4d)'
    """
    what = "a damaged run" if spec is None else f"{spec.network.name} seed {spec.seed}"
    return f"{what} ({run_id[:SHORT]})"


def a_few(runs: Mapping[str, AnySpec | None]) -> str:
    """Name a few runs, of as many networks as can be, and count the others.

    Parameters
    ----------
    runs : mapping of str to RunSpec or ScoredSpec
        Specs by id; None where one cannot be read.

    Examples
    --------
    >>> a_few({})
    'no run'
    """
    readable = sorted((spec.network.name, spec.seed, run_id) for run_id, spec in runs.items() if spec)
    turns: Counter[str] = Counter()
    order = []
    for network, _, run_id in readable:
        order.append((turns[network], run_id))
        turns[network] += 1
    # The sort keeps networks in order within a turn.
    ids = [run_id for _, run_id in sorted(order, key=lambda each: each[0])]
    ids += sorted(runs.keys() - set(ids))
    words = [named(run_id, runs[run_id]) for run_id in ids[:FEW]]
    if len(ids) > FEW:
        words.append(f"and {counted(len(ids) - FEW, 'other')}; rgbench runs lists them")
    return ", ".join(words) or "no run"
