"""The conditions under which a network is tested: ways to disturb an image, and their names in the tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from rgbench.errors import SpecError
from rgbench.store.store import Store
from rgbench.store.tables import Predictions


@dataclass(frozen=True)
class Family:
    """One kind of disturbance, whose strength is a number.

    Attributes
    ----------
    title, unit : str
        What is done, and what the strength counts.
    clean : float
        Strength at which nothing is disturbed, and the smallest that is legal.
    pattern : str
        How the strength is written in a name, for `str.format`.
    whole : bool
        Whether the strength must be a whole number.
    below : float
        Strengths must lie below this.
    """

    title: str
    unit: str
    clean: float
    pattern: str
    whole: bool = False
    below: float = np.inf


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "rotation": Family("rotation", "degrees", 0.0, "{:03.0f}", whole=True, below=360.0),
        "noise": Family("added noise", "own noise of the image", 0.0, "{!r}"),
        "beam": Family("coarser beam", "beams of the survey", 1.0, "{!r}x"),
        "shift": Family("shifted centre", "pixels", 0.0, "{:.0f}px", whole=True),
        "resolution": Family("lower pixel resolution", "pixels", 1.0, "{:.0f}x", whole=True),
    }
)
"""The kinds of disturbance by name, whose strength is a number."""
SURVEY = "survey"
"""The kind without a strength: the same sources, seen by another survey."""
_SURVEY_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True)
class Condition:
    """One way to disturb an image, or to see it through another survey.

    Attributes
    ----------
    family : str
        One of `FAMILIES`, or "survey".
    strength : float
        In the unit of the family; 0 for a survey.
    survey : str
        Name of the survey, in lower case; "nvss-simulated" is what the images themselves show through its beam.

    Raises
    ------
    SpecError
        If there is no such family, or strength or survey is not legal.

    Examples
    --------
    >>> [Condition(*each).name for each in (("rotation", 15), ("noise", 1), ("beam", 1.5), ("shift", 4))]
    ['rotation-015', 'noise-1.0', 'beam-1.5x', 'shift-4px']
    >>> Condition.of("resolution-2x").strength, Condition.of("survey-nvss").survey
    (2.0, 'nvss')
    """

    family: str
    strength: float = 0.0
    survey: str = ""

    def __post_init__(self) -> None:
        if self.family == SURVEY:
            if not _SURVEY_NAME.fullmatch(self.survey) or self.strength:
                raise SpecError(
                    f"condition survey: found {self.survey!r}; a name of small letters, digits and hyphens is legal"
                )
            return
        if self.family not in FAMILIES:
            raise SpecError(
                f"unknown condition {self.family!r}; the families are {', '.join(FAMILIES)}, {SURVEY}"
            )
        object.__setattr__(self, "strength", float(self.strength))
        family, found = FAMILIES[self.family], self.strength
        legal = family.clean <= found < family.below and not (family.whole and found % 1)
        if not legal:
            number = "a whole number" if family.whole else "a number"
            bound = f" and below {family.below:g}" if np.isfinite(family.below) else ""
            raise SpecError(
                f"condition {self.family}: strength {found:g} was given; {number} of {family.unit}, "
                f"{family.clean:g} or more{bound}, is legal"
            )

    @property
    def name(self) -> str:
        """The name, as it stands in the tables."""
        if self.family == SURVEY:
            return f"{SURVEY}-{self.survey}"
        return f"{self.family}-{FAMILIES[self.family].pattern.format(self.strength)}"

    @classmethod
    def of(cls, name: str) -> Condition:
        """Read a name; raise `SpecError` if it is none that `name` gives."""
        if name.startswith(f"{SURVEY}-"):
            return cls(SURVEY, survey=name.removeprefix(f"{SURVEY}-"))
        match = re.fullmatch(r"([a-z]+)-(\d+(?:\.\d+)?(?:e[-+]?\d+)?)(x|px)?", name)
        found = cls(match[1], float(match[2])) if match else None
        if found is None or found.name != name:
            examples = "rotation-015, noise-1.0, beam-1.5x, shift-4px, resolution-2x"
            hint = f"did you mean {found.name!r}?" if found else f"conditions are written like {examples}"
            raise SpecError(f"unknown condition {name!r}; {hint}")
        return found


CONDITIONS_FILE = "conditions.parquet"
"""Predictions on disturbed test images, in the directory of the run."""


def read_conditions(store: Store, run_id: str) -> Predictions | None:
    """Read a run's predictions on disturbed images; None if there are none yet. Errors as `Store.beside`."""
    return store.beside(run_id, CONDITIONS_FILE)
