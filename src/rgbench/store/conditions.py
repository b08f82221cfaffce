"""The conditions under which a network is tested: ways to disturb an image, and their names in the tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from rgbench.errors import SpecError
from rgbench.registry import Registry
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
    strengths : tuple of float
        What is tested unless one asks for something else.
    words : str
        What is done to the images, as a sentence for the report.
    function : callable, optional
        Does it to raw images: ``function(images, names, strength, card)``, of images (n, h, w) of float32 or float64
        (NaN are missing pixels), the sources' names, the strength, and the data set's
        `rgbench.data.catalogue.Card`; gives images of the same shape. Chance may depend on the names alone. Those of
        this package stand in `rgbench.diagnostics.disturbances`.
    drawn : bool
        Whether the strength is the number of a draw: more of it is not worse, and no curve is drawn.
    """

    title: str
    unit: str
    clean: float
    pattern: str
    whole: bool = False
    below: float = np.inf
    strengths: tuple[float, ...] = ()
    words: str = ""
    function: Callable[..., Any] | None = None
    drawn: bool = False


SURVEY = "survey"
"""The kind without a strength: the same sources, seen by another survey."""
VIEW = "view"
"""The kind that is a second view: another image of the same source, as one would have come by it."""
_FAMILY_NAME = re.compile(r"[a-z][a-z0-9]*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_SURVEY_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@cache
def disturbances() -> Registry[Family]:
    """Give the registry of kinds of disturbance, whose strength is a number.

    Others join it by entry points ``rgbench.disturbances`` or `rgbench.register`, as a `Family` with a function.

    Examples
    --------
    >>> disturbances().get("noise").strengths
    (0.5, 1.0, 2.0, 4.0)
    """
    registry = Registry("disturbance", "rgbench.disturbances", _family)
    for name, family in _FAMILIES.items():
        registry.register(name, family)
    return registry


def families() -> dict[str, Family]:
    """Give all kinds of disturbance by name, those of other packages last."""
    return dict(disturbances())


def is_known(name: str) -> bool:
    """Tell whether the kind of a condition's name can be used here; a store may hold those of other packages.

    Examples
    --------
    >>> is_known("noise-1.0"), is_known("survey-nvss"), is_known("fog-2")
    (True, True, False)
    """
    kind = name.partition("-")[0]
    return kind == SURVEY or kind in families()


def _family(name: str, item: Any) -> Family:
    """Check what was registered; `SpecError` says what is legal."""
    if not isinstance(item, Family):
        raise SpecError(f"disturbance {name!r} is a {type(item).__name__}; a Family is legal")
    if not _FAMILY_NAME.fullmatch(name) or name == SURVEY:
        raise SpecError(f"disturbance {name!r}: a name of small letters and digits, not {SURVEY!r}, is legal")
    if item.function is None and name not in _FAMILIES:
        raise SpecError(f"disturbance {name!r}: its Family has no function")
    for strength in item.strengths:
        reason = _illegal(name, item, strength)
        if reason:
            raise SpecError(reason)
        written = _NUMBER.match(item.pattern.format(float(strength)))
        if written is None or float(written[0]) != strength:
            raise SpecError(
                f"disturbance {name!r}: {strength:g} is written {item.pattern.format(float(strength))!r} by its "
                "pattern, from which it cannot be read again"
            )
    return item


def _illegal(name: str, family: Family, found: float) -> str | None:
    """Say why a strength is not legal, or give None if it is."""
    if family.clean <= found < family.below and not (family.whole and found % 1):
        return None
    number = "a whole number" if family.whole else "a number"
    bound = f" and below {family.below:g}" if np.isfinite(family.below) else ""
    return (
        f"condition {name}: strength {found:g} was given; {number} of {family.unit}, "
        f"{family.clean:g} or more{bound}, is legal"
    )


@dataclass(frozen=True)
class Condition:
    """One way to disturb an image, or to see it through another survey.

    Attributes
    ----------
    family : str
        One of `disturbances`, or "survey".
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
        object.__setattr__(self, "strength", float(self.strength))
        reason = _illegal(self.family, _find_family(self.family), self.strength)
        if reason:
            raise SpecError(reason)

    @property
    def name(self) -> str:
        """The name, as it stands in the tables."""
        if self.family == SURVEY:
            return f"{SURVEY}-{self.survey}"
        return f"{self.family}-{disturbances().get(self.family).pattern.format(self.strength)}"

    @classmethod
    def of(cls, name: str) -> Condition:
        """Read a name; raise `SpecError` if it is none that `name` gives."""
        if name.startswith(f"{SURVEY}-"):
            return cls(SURVEY, survey=name.removeprefix(f"{SURVEY}-"))
        family, _, written = name.partition("-")
        number = _NUMBER.match(written)
        found = cls(family, float(number[0])) if number else None
        if found is None or found.name != name:
            examples = "rotation-015, noise-1.0, beam-1.5x, shift-4px, resolution-2x"
            hint = f"did you mean {found.name!r}?" if found else f"conditions are written like {examples}"
            raise SpecError(f"unknown condition {name!r}; {hint}")
        return found


def _find_family(name: str) -> Family:
    try:
        return disturbances().get(name)
    except SpecError as error:
        if name in disturbances():
            raise
        raise SpecError(f"condition {name!r}: {error}, {SURVEY}") from None


_FAMILIES = {
    "rotation": Family(
        "rotation",
        "degrees",
        0.0,
        "{:03.0f}",
        whole=True,
        below=360.0,
        strengths=tuple(map(float, range(0, 360, 15))),
        words="The image is turned about its middle.",
    ),
    "noise": Family(
        "added noise",
        "own noise of the image",
        0.0,
        "{!r}",
        strengths=(0.5, 1.0, 2.0, 4.0),
        words="Gaussian noise is added, its strength as a multiple of the image's own.",
    ),
    "beam": Family(
        "coarser beam",
        "beams of the survey",
        1.0,
        "{!r}x",
        strengths=(1.25, 1.5, 2.0, 3.0),
        words="The image is smoothed to a beam so many times as wide.",
    ),
    "shift": Family(
        "shifted centre",
        "pixels",
        0.0,
        "{:.0f}px",
        whole=True,
        strengths=(2.0, 4.0, 8.0, 16.0),
        words="The source is moved out of the middle.",
    ),
    "resolution": Family(
        "lower pixel resolution",
        "pixels",
        1.0,
        "{:.0f}x",
        whole=True,
        strengths=(2.0, 3.0, 4.0),
        words="The image is averaged into pixels so many times as large.",
    ),
    VIEW: Family(
        "second view",
        "draws",
        0.0,
        "{:.0f}",
        whole=True,
        strengths=(1.0,),
        words="The source is observed again: other pixels, beam, depth and clipping, within what is usual.",
        drawn=True,
    ),
}
"""The kinds of this package."""
CONDITIONS_FILE = "conditions.parquet"
"""Predictions on disturbed test images, in the directory of the run."""


def read_conditions(store: Store, run_id: str) -> Predictions | None:
    """Read a run's predictions on disturbed images; None if there are none yet. Errors as `Store.beside`."""
    return store.beside(run_id, CONDITIONS_FILE)
