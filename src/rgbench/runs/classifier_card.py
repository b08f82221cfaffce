"""The card of a classifier: all that its file says beside the weights, checked when it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rgbench.errors import StoreError
from rgbench.images.domain import Domain
from rgbench.measures.calibration import Floats
from rgbench.measures.conformal import ConformalRule
from rgbench.numbers import listed, percent
from rgbench.spec import RunSpec
from rgbench.store.files import check_version

CARD_VERSION = 1
KEY = "rgbench-classifier"
"""Where the card stands in the metadata of the safetensors file."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MemberCard(_Part):
    """One network: the spec of the run that trained it, and its output activation."""

    spec: RunSpec
    activation: Literal["softmax", "sigmoid"]


class ConformalCard(_Part):
    """Conformal sets: the rule, and the largest score of each class; null where every set holds the class."""

    alpha: float = Field(gt=0, lt=1)
    score: Literal["lac", "aps"]
    per_class: bool
    threshold: tuple[float | None, ...]

    @property
    def rule(self) -> ConformalRule:
        """The rule."""
        return ConformalRule(self.alpha, self.score, self.per_class)

    @property
    def thresholds(self) -> Floats:
        """Largest score of each class, shape (k,)."""
        return np.array([np.inf if value is None else value for value in self.threshold], dtype=np.float64)


OWN = "held out of one's own"
"""Condition of the scores of a classifier that was trained further: of sources that each network had not seen."""
_METRICS = {
    "recognised": "accuracy",
    "covered": "share whose conformal set holds their class",
    "kept": "share that keeps the class of the first image",
}


class ScoreCard(_Part):
    """One score on test sources, with its interval: of one class, or of all where `of` is empty."""

    metric: Literal["recognised", "covered", "kept"]
    of: str = ""
    condition: str = "clean"
    value: float
    low: float
    high: float
    n: int = Field(ge=1)


class ClassifierCard(_Part):
    """What a classifier is, was trained on, and may be used for.

    `unlike_views` is the number of views in which `unlike` is measured, None for those of the recipe; `unlike_members`
    says by how many networks, from the first. `prior` holds the shares of the classes that its probabilities assume:
    those of the training sources, or equal ones where classes were weighted. `seen` holds RA and Dec, degrees, of the
    sources that it was trained or tuned on. `choices` says which of the test sources took part in choices of its
    protocol or its networks, "" if none did.
    """

    version: Literal[1] = 1
    name: str = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=2)
    members: tuple[MemberCard, ...] = Field(min_length=1)
    temperature: float = Field(1.0, gt=0)
    prior: tuple[float, ...] | None = None
    conformal: ConformalCard | None = None
    domain: Domain = Domain()
    seen: tuple[tuple[float, float], ...] = ()
    unlike_views: Literal[1, 2, 4, 8, 16, 24, 48] | None = None
    unlike_members: int = Field(1, ge=1)
    scores: tuple[ScoreCard, ...] = ()
    choices: str = ""
    data: str = ""
    licence: str = ""
    recipe: str = ""
    not_for: str = ""
    made_with: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> ClassifierCard:
        k = len(self.classes)
        threshold = None if self.conformal is None else self.conformal.threshold
        for name, values in (("prior", self.prior), ("conformal.threshold", threshold)):
            if values is not None and len(values) != k:
                raise ValueError(f"{name} has {len(values)} numbers for {k} classes")
        if self.prior is not None and (min(self.prior) <= 0 or abs(sum(self.prior) - 1) > 1e-6):
            raise ValueError(f"prior is {self.prior}; shares above 0 with sum 1 are legal")
        if not all(self.classes) or len(set(self.classes)) < k:
            raise ValueError(f"classes are {self.classes}; different names are legal")
        for name in ("pixel_scale", "beam", "largest_size", "least_signal_to_noise"):
            value = getattr(self.domain, name)
            if value is not None and not value > 0:
                raise ValueError(f"domain.{name} is {value}; above 0 is legal")
        if any(sight(member.spec) != sight(self.members[0].spec) for member in self.members):
            raise ValueError("the members' fields, presets or pixel scales differ")
        if self.unlike_members > len(self.members):
            raise ValueError(f"unlike_members is {self.unlike_members}; 1 to {len(self.members)} are legal")
        return self

    @property
    def spec(self) -> RunSpec:
        """The spec of the first member: field, preset and pixel scale are those of all."""
        return self.members[0].spec


def sight(spec: RunSpec) -> tuple[object, ...]:
    """Give what must be equal for networks to be handed the same prepared images."""
    images = spec.images
    return images.preset, images.field, images.frame, images.beam, spec.data.frame, spec.data.pixel_scale


def write_card(card: ClassifierCard) -> dict[str, str]:
    """Give the metadata of a file."""
    return {KEY: json.dumps(card.model_dump(mode="json"), allow_nan=False, separators=(",", ":"))}


def read_card(path: Path, metadata: dict[str, str]) -> ClassifierCard:
    """Read the card from the metadata of a file.

    Raises
    ------
    StoreError
        If there is none, it is of a newer version, or a key is missing or wrong: the message names the file and the
        key.
    """
    if KEY not in metadata:
        raise StoreError(f"{path}: is no classifier: its metadata has no {KEY!r}")
    try:
        content = json.loads(metadata[KEY])
    except ValueError as error:
        raise StoreError(f"{path}: is damaged: its card is no JSON: {error}") from error
    found = content.get("version") if isinstance(content, dict) else None
    if isinstance(found, int):
        check_version(path, found, CARD_VERSION)
    try:
        # Strict specs take no lists for tuples but from JSON.
        return ClassifierCard.model_validate_json(metadata[KEY])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the card"
        message = first["msg"].removeprefix("Value error, ")
        raise StoreError(f"{path}: is damaged: {where}: {message}") from None


def card_lines(card: ClassifierCard) -> list[str]:
    """Write a card for people, a fact to a line.

    Examples
    --------
    >>> from rgbench.spec import Study, resolve
    >>> (spec,) = resolve(Study(name="s", networks=("lenet",), seeds=(1,)), checksum="")
    >>> member = MemberCard(spec=spec, activation="softmax")
    >>> lines = card_lines(ClassifierCard(name="first-1", classes=("FRI", "FRII"), members=(member,)))
    >>> lines[0], lines[1]
    ('first-1: FRI, FRII', 'Sources seen: none known')
    """
    facts = {
        "Data": card.data,
        "Licence of the data": card.licence,
        "Recipe": card.recipe,
        "Sources seen": f"{len(card.seen)} positions, in training or validation"
        if card.seen
        else "none known",
        "Domain": _domain(card.domain) + _common_beam(card),
        "Calibration": _calibration(card),
        "Assumed shares": card.prior
        and ", ".join(
            f"{name} {100 * share:.1f} %" for name, share in zip(card.classes, card.prior, strict=True)
        ),
        "Must not be used for": card.not_for,
        "Made with": card.made_with,
        "The scores below": card.choices,
    }
    told = [f"{key}: {value}" for key, value in facts.items() if value]
    return [f"{card.name}: {', '.join(card.classes)}", *told, *_score_lines(card.scores)]


def _domain(domain: Domain) -> str:
    limits = {
        "pixels of {:.2f} arcsec": domain.pixel_scale,
        "beam of {:.1f} arcsec": domain.beam,
        "sources up to {:.0f} arcsec": domain.largest_size,
        "peak over noise from {:.1f}": domain.least_signal_to_noise,
    }
    return ", ".join(text.format(value) for text, value in limits.items() if value is not None) or "not known"


def _common_beam(card: ClassifierCard) -> str:
    wider = card.spec.images.beam
    if wider == 1 or card.domain.beam is None:
        return ""
    return f"; narrower beams than {wider * card.domain.beam:.1f} arcsec are convolved to that"


def _calibration(card: ClassifierCard) -> str:
    how = card.conformal
    sets = "no conformal sets"
    if how is not None:
        each = " of each class" if how.per_class else ""
        sets = (
            f"conformal sets hold the true class of {100 * (1 - how.alpha):g} % of validation sources{each}"
        )
        if free := [name for name, limit in zip(card.classes, how.threshold, strict=True) if limit is None]:
            sets += f"; {listed(free)} in every set, for want of sources"
    return f"temperature {card.temperature:.3f}; {sets}"


def _score_lines(scores: tuple[ScoreCard, ...]) -> list[str]:
    """Write the scores of all test sources by condition, then those of each class on the first images."""
    lines: list[str] = []
    for metric, words in _METRICS.items():
        of_all = [score for score in scores if score.metric == metric and not score.of]
        if of_all:
            lines.append(f"{of_all[0].n} sources not trained on, {words}, %, with 95 % intervals:")
            lines += [f"  {score.condition}: {_share(score)}" for score in of_all]
    for metric, words in _METRICS.items():
        of_each = [s for s in scores if s.metric == metric and s.of and s.condition in ("clean", OWN)]
        if of_each:
            told = "; ".join(f"{score.of} {_share(score)} of {score.n}" for score in of_each)
            lines.append(f"Of each class, {words}, %: {told}")
    return lines


def _share(score: ScoreCard) -> str:
    return f"{percent(score.value)} ({percent(score.low)} to {percent(score.high)})"
