"""What the labels of a table, and the names of folders, mean: the class of each, or none."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import CLASSES
from rgbench.errors import DataError, SpecError

CLASS_WORDS: dict[str, tuple[str, ...]] = {
    "Compact": ("Compact", "COMP", "compact source", "point source", "point-like", "unresolved"),
    "FRI": ("FRI", "FR1", "FR type I", "FR class I", "Fanaroff-Riley I", "Fanaroff-Riley type I"),
    "FRII": ("FRII", "FR2", "FR type II", "FR class II", "Fanaroff-Riley II", "Fanaroff-Riley type II"),
    "Bent": (
        "Bent", "bent-tail", "bent-tailed", "BT", "WAT", "wide-angle tail", "wide-angle-tailed", "NAT",
        "narrow-angle tail", "narrow-angle-tailed", "HT", "head-tail", "head-tailed",
    ),
}  # fmt: skip
"""Usual words for the classes; small and capital letters, blanks, hyphens and "_" make no difference."""
MOST_COMPARED = 1000
"""Names among which like ones are looked for."""


def _fold(label: str) -> str:
    """Give a label as it is compared; signs and points of numbers stay, so that -1 is not 1."""
    if not any(map(str.isalpha, label)):
        return label.strip()
    return re.sub(r"[\s_\-]+", "", label).casefold()


_CLASS_OF = {_fold(word): name for name, words in CLASS_WORDS.items() for word in words}


@dataclass(frozen=True)
class LabelRule:
    """What the labels of a table mean.

    Attributes
    ----------
    classes : tuple of str
        Legal classes. Empty: every label is one.
    mapping : mapping of str to str
        Class by label, as {"1": "Compact", "odd": "Bent"}. Class names stand for themselves, and so do the words of
        `CLASS_WORDS`; small and capital letters, blanks and hyphens make no difference, in labels and in classes.
    unlabelled : tuple of str
        Labels whose sources are left out: they are read as none. An empty cell always is.
    may_leave_out : bool
        Whether whoever reads a message can name labels to be left out; else it advises an empty cell.

    Examples
    --------
    >>> LabelRule(mapping={"odd": "bent"}).class_of("Odd")
    'Bent'
    """

    classes: tuple[str, ...] = CLASSES
    mapping: Mapping[str, str] = field(default_factory=dict)
    unlabelled: tuple[str, ...] = ()
    may_leave_out: bool = True

    def __post_init__(self) -> None:
        known, first = self._known(), dict[str, str]()
        for label, name in self.mapping.items():
            other = first.setdefault(_fold(label), label)
            if _fold(self.mapping[other]) != _fold(name):
                raise SpecError(
                    f"labels: {other!r} and {label!r} are one label, and mapped to {self.mapping[other]!r} and {name!r}"
                )
            if self.classes and _fold(name) not in known:
                instead = (
                    f"--leave-out {label}, in a study leave_out = [{label!r}]"
                    if self.may_leave_out
                    else "leave their cells empty"
                )
                raise SpecError(
                    f"labels: {label!r} is mapped to {name!r}{near(name, self.classes)}; "
                    f"legal are {', '.join(self.classes)}. To leave sources out instead: {instead}"
                )

    def class_of(self, label: str) -> str:
        """Give the class of a label, "" if it is none.

        Examples
        --------
        >>> LabelRule().class_of("FR-II"), LabelRule().class_of("wide-angle tail"), LabelRule().class_of("images")
        ('FRII', 'Bent', '')
        """
        return self.table().get(_fold(label), "")

    def table(self) -> dict[str, str]:
        """Give the class by folded label; "" for those to be left out."""
        known = self._known()
        own = {_fold(label): known.get(_fold(name), name) for label, name in self.mapping.items()}
        return known | own | {_fold(label): "" for label in self.unlabelled} | {"": ""}

    def _known(self) -> dict[str, str]:
        """Give the class by folded word, of what needs no mapping."""
        usual = {word: name for word, name in _CLASS_OF.items() if name in self.classes}
        return usual | {_fold(name): name for name in self.classes}


class Labels(NamedTuple):
    """Class of each row, "" for none, and how many rows were left out for each label that was to be left out."""

    classes: NDArray[Any]
    left_out: dict[str, int]


def read_labels(path: Path, label: NDArray[Any], name: NDArray[Any], rule: LabelRule) -> Labels:
    """Give the class of each row of a table.

    Parameters
    ----------
    path : path
        The table, for messages.
    label, name : ndarray of str, shape (n,)
        Labels as the table has them, "" for none; names of the sources.
    rule : LabelRule
        What labels mean.

    Raises
    ------
    DataError
        If a label is neither a class nor mapped to one; the message names the row, and the options.
    """
    table, result = rule.table(), []
    for row, word in enumerate(label.tolist()):
        folded = _fold(word)
        if folded not in table and rule.classes:
            raise DataError(_unknown(path, f"row {row + 1} ({name[row]})", word, rule))
        result.append(table.get(folded, word))
    found = Counter(map(_fold, label.tolist()))
    return Labels(np.array(result), {word: found[_fold(word)] for word in rule.unlabelled})


def _unknown(path: Path, row: str, word: str, rule: LabelRule) -> str:
    legal = [*rule.classes, *rule.mapping, *rule.unlabelled]
    said = (
        f"{path}, {row}: unknown label {word!r}{near(word, legal)}; legal are {', '.join(legal)}. Say which class "
        "it is"
    )
    if not rule.may_leave_out:
        return f"{said} (--label {quote(f'{word}=CLASS')}), or leave its cells empty, which says nothing"
    return (
        f"{said} (--label WORD=CLASS, in a study labels = {{ WORD = 'CLASS' }}), or leave its sources out "
        "(--leave-out WORD, in a study leave_out = ['WORD'])"
    )


def near(word: str, legal: Iterable[Any]) -> str:
    """Ask whether one of the legal words was meant that are like a word; "" if none is.

    Examples
    --------
    >>> near("Bend", ("FRI", "Bent"))
    "; did you mean 'Bent'?"
    """
    by_folded = {str(name).casefold(): str(name) for name in list(legal)[:MOST_COMPARED]}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(by_folded[match]) for match in found)}?" if found else ""
