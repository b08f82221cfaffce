"""The report's sections, one module each, all of one kind: a function from the runs to a `Section`, or None.

Another package adds one by an entry point of the group ``rgbench.sections`` that leads to a `SectionCard`; a script
adds one with ``sections().register(name, card)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import get_args

from rgbench.errors import SpecError, raise_stop
from rgbench.references import bibliography
from rgbench.registry import Registry
from rgbench.report.blocks import Block, Figure, LeftOut, Place, Section, Table, file_name
from rgbench.report.material import Runs
from rgbench.report.sections import (
    across,
    attribution,
    calibration,
    cite,
    confusion,
    design,
    differences,
    ensembles,
    failures,
    known_classes,
    label_errors,
    learning_curve,
    models,
    overfitting,
    ranking,
    robustness,
    scores,
    sources,
    table,
    terms,
    training,
    uncertainty,
)
from rgbench.report.sections import runs as runs_section

Maker = Callable[[Runs], Section | LeftOut | None]
LAST = "label_errors"
"""Section after which those of other packages stand unless they say otherwise."""


@dataclass(frozen=True)
class SectionCard:
    """A section of the report, and where it stands.

    Attributes
    ----------
    name : str
        Its name.
    maker : callable
        ``f(runs) -> Section, LeftOut or None``: LeftOut, with the reason, if the runs have nothing for it.
    after : str
        Name of the section after which it stands.
    untrained : bool
        Whether it is made even if no run has learnt anything.
    place : {"front", "fold", "appendix"}
        Where on the page: beside the answer, folded under its question, or in the appendix, which is not printed.
    """

    name: str
    maker: Maker
    after: str = LAST
    untrained: bool = False
    place: Place = "fold"


_ORDER: tuple[tuple[str, Maker, bool, Place], ...] = (
    ("scores", scores.section, True, "front"),
    ("table", table.section, True, "front"),
    ("differences", differences.section, False, "fold"),
    ("ranking", ranking.section, False, "fold"),
    ("across", across.section, False, "fold"),
    ("confusion", confusion.section, True, "fold"),
    ("failures", failures.section, False, "fold"),
    ("sources", sources.section, True, "fold"),
    ("label_errors", label_errors.section, False, "fold"),
    ("known_classes", known_classes.section, False, "fold"),
    ("calibration", calibration.section, False, "fold"),
    ("uncertainty", uncertainty.section, False, "fold"),
    ("robustness", robustness.section, False, "fold"),
    ("attribution", attribution.section, False, "fold"),
    ("design", design.section, False, "fold"),
    ("training", training.section, True, "fold"),
    ("overfitting", overfitting.section, False, "fold"),
    ("models", models.section, True, "fold"),
    ("learning_curve", learning_curve.section, False, "fold"),
    ("ensembles", ensembles.section, False, "fold"),
    ("runs", runs_section.section, True, "appendix"),
    ("terms", terms.section, True, "appendix"),
    ("cite", cite.section, True, "appendix"),
)
"""Names and makers in the order of the page, whether each is made even if no run has learnt anything, and its place."""
ANCHORS = frozenset(
    ("answer", "table", "ranking", "differences", "places", "across", "models", "confusion", "training", "overfitting",
     "learning", "ensembles", "calibration", "doubt", "robustness", "looks", "design", "failures", "known", "labels",
     "sources", "runs", "terms", "cite")
)  # fmt: skip
"""Addresses within the page that are taken; links of readers lead to them, so that they stay."""
OWN = tuple(name for name, *_ in _ORDER)
"""Sections that ship, in the order of the page."""


@cache
def sections() -> Registry[SectionCard]:
    """Give the registry of sections; others join it by entry points ``rgbench.sections``.

    Examples
    --------
    >>> sections().names()[:3]
    ['scores', 'table', 'differences']
    """
    registry = Registry("report section", "rgbench.sections", _card)
    before = ""
    for name, maker, untrained, place in _ORDER:
        registry.register(name, SectionCard(name, maker, before, untrained, place))
        before = name
    return registry


def _card(name: str, item: object) -> SectionCard:
    """Check what somebody registers as a section."""
    if not isinstance(item, SectionCard):
        raise SpecError(f"report section {name!r} is a {type(item).__name__}; a SectionCard is legal")
    return SectionCard(name, item.maker, item.after, item.untrained, item.place)


_PARTS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "sentences": (str,),
        "figures": (Figure,),
        "tables": (Table,),
        "blocks": get_args(Block),
        "notes": (str,),
        "cites": (str,),
    }
)
"""What the parts of a section are tuples of."""


@dataclass(frozen=True)
class Sections:
    """The sections of a page.

    Attributes
    ----------
    made : tuple of Section
        Those for which the runs have what is needed, in the order of the page.
    left_out : tuple of LeftOut
        Those that are not there, and why.
    problems : tuple of str
        What went wrong in sections of other packages: one that fails is left out, and the rest stand.
    """

    made: tuple[Section, ...]
    left_out: tuple[LeftOut, ...]
    problems: tuple[str, ...]


def make(runs: Runs) -> Sections:
    """Make the sections for which the runs have what is needed."""
    cards, problems = _cards()
    made: list[Section] = []
    left_out: list[LeftOut] = []
    for card in _ordered(cards, problems):
        if not (runs.complete or card.untrained):
            continue
        section = card.maker(runs) if card.name in OWN else _guarded(card, runs, made, problems)
        if isinstance(section, Section):
            made.append(replace(section, place=card.place))
            runs = runs.citing(section.cites)
        elif section is not None:
            left_out.append(section)
    return Sections(tuple(made), tuple(left_out), tuple(problems))


def _cards() -> tuple[list[SectionCard], list[str]]:
    """Give all cards, and say which of other packages cannot be used."""
    cards = [card for _, card in sections()]
    return cards, [
        f"The section {name!r} is left out: it {why}." for name, why in sections().broken().items()
    ]


def _ordered(cards: list[SectionCard], problems: list[str]) -> list[SectionCard]:
    """Put every section after the one that its card names; of several after the same, the first name first."""
    ordered = [card for card in cards if card.name in OWN]
    left = sorted((card for card in cards if card.name not in OWN), key=lambda card: card.name, reverse=True)
    while left:
        names = [card.name for card in ordered]
        card = next((card for card in left if card.after in names), None)
        if card is None:
            card = left[0]
            problems.append(
                f"The section {card.name!r} is to stand after {card.after!r}, which is none of {', '.join(names)}: it "
                f"stands after {LAST!r}."
            )
        left.remove(card)
        ordered.insert(names.index(card.after if card.after in names else LAST) + 1, card)
    return ordered


def _guarded(
    card: SectionCard, runs: Runs, made: list[Section], problems: list[str]
) -> Section | LeftOut | None:
    """Make a section of another package; None if it fails, which is said."""
    try:
        section = card.maker(runs.copied())
        _check(section, made)
    except (Exception, SystemExit) as error:  # whatever is wrong in another package must not cost the report
        raise_stop(error)
        problems.append(f"The section {card.name!r} is left out: {type(error).__name__}: {error}")
        return None
    return section


def _check(section: object, made: list[Section]) -> None:
    """Refuse what the page could not show."""
    if section is None or isinstance(section, LeftOut):
        return
    if not isinstance(section, Section):
        raise SpecError(f"its maker gave a {type(section).__name__}; legal are Section and None")
    for name, kinds in _PARTS.items():
        value = getattr(section, name)
        if not isinstance(value, tuple) or not all(isinstance(each, kinds) for each in value):
            legal = " or ".join(kind.__name__ for kind in kinds)
            raise SpecError(f"its {name} are {value!r}; a tuple of {legal} is legal")
    if not all(isinstance(text, str) and text for text in (section.anchor, section.menu, section.title)):
        raise SpecError("its anchor, menu and title must be texts")
    names = [own.name for own in section.all_tables] + [own.name for own in section.all_figures]
    for name in names:
        if file_name(name) != name:
            raise SpecError(
                f"the name {name!r} is to name files; small letters, digits and hyphens are legal"
            )
    if section.anchor in {*ANCHORS, *(each.anchor for each in made)}:
        raise SpecError(f"its anchor {section.anchor!r} is that of another section")
    bibliography(section.cites)
