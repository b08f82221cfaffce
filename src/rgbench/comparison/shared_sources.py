"""Data sets of one comparison: their names, and the sky sources that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rgbench.data.catalogue import Catalogue
from rgbench.data.overlap import SAME, close_pairs
from rgbench.spec import AnySpec, RunSpec


def set_names(specs: Sequence[AnySpec]) -> list[str]:
    """Name settings by their data set, and by what else tells those of one data set apart.

    Parameters
    ----------
    specs : sequence of RunSpec or ScoredSpec
        One run of each setting.

    Returns
    -------
    list of str
        A name for each, no two alike: "mirabest-f", or "mirabest-f, becker2021", "mirabest-f, becker2021, folds",
        in the end with a number.
    """
    split = ["folds" if spec.data.split.startswith("fold-") else f"{spec.data.split} split" for spec in specs]
    pixels = [f"{spec.images.size} pixels" if isinstance(spec, RunSpec) else "" for spec in specs]
    more = [(spec.protocol, split[i], pixels[i]) for i, spec in enumerate(specs)]
    names = [
        f"{spec.data.name}, tested on {spec.data.test}" if spec.data.test else spec.data.name
        for spec in specs
    ]
    for level in range(3):
        names = [
            f"{name}, {more[i][level]}" if _differ(i, names, [own[level] for own in more]) else name
            for i, name in enumerate(names)
        ]
    before = [names[:i].count(name) for i, name in enumerate(names)]
    return [f"{name}, no. {n + 1}" if n else name for name, n in zip(names, before, strict=True)]


@dataclass(frozen=True)
class Shared:
    """Sources that two data sets have in common.

    Attributes
    ----------
    first, second : str
        Names of the data sets.
    tested : int or None
        Test sources of the first that are test sources of the second; None if one tells no positions.
    all : int or None
        Sources of the first, of all its sides, that stand in the second.
    """

    first: str
    second: str
    tested: int | None
    all: int | None


@dataclass(frozen=True)
class SetSources:
    """A data set's sources, and those tested on.

    Attributes
    ----------
    name : str
        Name of the data set.
    sources, tested : Catalogue or None
        All sources, and the test sources; None if the data are not at hand.
    """

    name: str
    sources: Catalogue | None
    tested: Catalogue | None


def shared_sources(sets: Sequence[SetSources], radius: float = SAME) -> list[Shared]:
    """Count the sources that every two data sets share, by their positions.

    Parameters
    ----------
    sets : sequence of SetSources
        The data sets.
    radius : float
        Largest separation in arcseconds of what is taken to be one source.

    Returns
    -------
    list of Shared
        One for each pair, in the order of the sets.
    """
    pairs = [(first, second) for i, first in enumerate(sets) for second in sets[i + 1 :]]
    return [
        Shared(
            first.name,
            second.name,
            _common(first.tested, second.tested, radius),
            _common(first.sources, second.sources, radius),
        )
        for first, second in pairs
    ]


def distinct_sets(names: Sequence[str], shared: Sequence[Shared]) -> int:
    """Count the groups of data sets that are linked by common test sources.

    Examples
    --------
    >>> distinct_sets(["a", "b", "c"], [Shared("a", "b", 7, 9), Shared("a", "c", 0, 0), Shared("b", "c", None, None)])
    2
    """
    group = {name: {name} for name in names}
    for each in shared:
        if each.tested:
            joined = group[each.first] | group[each.second]
            group.update(dict.fromkeys(joined, joined))
    return len({frozenset(members) for members in group.values()})


def _differ(i: int, names: Sequence[str], words: Sequence[str]) -> bool:
    """Tell whether a word tells a name from another that is alike."""
    return any(name == names[i] and word != words[i] for name, word in zip(names, words, strict=True))


def _common(first: Catalogue | None, second: Catalogue | None, radius: float) -> int | None:
    """Count the sources of the first that stand in the second; None where positions are missing."""
    if first is None or second is None:
        return None
    if not (np.isfinite(first.ra).any() and np.isfinite(second.ra).any()):
        return None
    pairs, _ = close_pairs(first, second, radius)
    return len(np.unique(pairs[:, 0]))
