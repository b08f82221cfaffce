"""Published numbers as data, and whether ours agree with them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.stats import norm

from rgbench.comparison.summary import Comparison, Row
from rgbench.errors import SpecError
from rgbench.measures.cards import metrics
from rgbench.spec import Study, validate


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Number(_Frozen):
    """One published number.

    `network` is as the paper calls it, `ours` the registered network that it is, "" if none is: then it is held
    against all of ours. `value` is a fraction, `uncertainty` the standard deviation over the paper's repeats.
    """

    network: str
    ours: str = ""
    metric: str
    value: float = Field(ge=0, le=1)
    uncertainty: float | None = Field(None, ge=0)
    n_test: int | None = Field(None, ge=1)
    where: str


class Paper(_Frozen):
    """A paper: its numbers, and the study that is run to compare with them."""

    citation: str
    doi: str = ""
    arxiv: str = ""
    note: str = ""
    study: dict[str, Any]
    number: tuple[Number, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether one of our networks agrees with a published number.

    Attributes
    ----------
    number : Number
        The published one.
    network : str
        Ours.
    value, low, high : float
        Our mean, and its interval for new test sources.
    agrees : bool
        Whether the difference is within what both uncertainties allow.
    words : str
        The same in a sentence.
    """

    number: Number
    network: str
    value: float
    low: float
    high: float
    agrees: bool
    words: str


def paper_names() -> list[str]:
    """List the papers that ship with the package."""
    folder = resources.files("rgbench.papers")
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def read_paper(name: str | Path) -> Paper:
    """Read a paper from a TOML file, or one that ships with the package by its bare name.

    Raises
    ------
    SpecError
        If there is none, or a key or value is not legal; the message names the file and the key.
    """
    path = Path(name)
    try:
        if path.suffix == ".toml":
            text = path.read_text(encoding="utf8")
        elif str(name) in paper_names():
            text = resources.files("rgbench.papers").joinpath(f"{name}.toml").read_text(encoding="utf8")
        else:
            raise SpecError(f"no paper {str(name)!r}: give a TOML file, or one of {', '.join(paper_names())}")
        paper = Paper.model_validate(tomllib.loads(text))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SpecError(f"{path}: key {key!r}: {first['msg']}, found {first['input']!r}") from None
    for number in paper.number:
        metrics().get(number.metric)
    study_of(paper, str(path))
    return paper


def study_of(paper: Paper, where: str = "the paper") -> Study:
    """Give the study that a paper's numbers are compared with."""
    return validate(Study, paper.study, f"{where}, [study]")


def judge(paper: Paper, comparison: Comparison) -> list[Verdict]:
    """Hold our networks against the numbers of a paper.

    Parameters
    ----------
    paper : Paper
        Its numbers.
    comparison : Comparison
        Ours, on the same data and split as far as that is known.

    Returns
    -------
    list of Verdict
        Number by number; one for each of our networks where the paper's is not registered.

    Notes
    -----
    The difference is held against 1.96 times the root of four variances: that of our test sources (from the
    interval), of our seeds and folds (spread squared over their number), the paper's, and the binomial one of its
    test sources, where it tells their number. Where both tested the same sources this is too lenient.
    """
    rows: Mapping[str, Row] = {row.network: row for row in comparison.rows if row.status == "ok"}
    found = []
    for number in paper.number:
        chosen: Sequence[str] = (number.ours,) if number.ours else tuple(rows)
        found += [
            _verdict(number, rows[name], comparison.confidence)
            for name in chosen
            if name in rows and number.metric in rows[name].metrics
        ]
    return found


def _verdict(number: Number, row: Row, confidence: float) -> Verdict:
    ours = row.metrics[number.metric]
    z = float(norm.ppf((1 + confidence) / 2))
    variance = ((ours.high - ours.low) / (2 * z)) ** 2
    if math.isfinite(ours.spread):
        variance += ours.spread**2 / max(row.n_seeds, 1)
    variance += (number.uncertainty or 0.0) ** 2
    if number.n_test:
        variance += number.value * (1 - number.value) / number.n_test
    difference = ours.mean - number.value
    agrees = abs(difference) <= z * math.sqrt(variance)
    published = f"{100 * number.value:.1f}"
    if number.uncertainty is not None:
        published += f" ± {100 * number.uncertainty:.1f}"
    said = "agrees" if agrees else "ours is better" if difference > 0 else "ours is worse"
    words = (
        f"{number.network}, {metrics().get(number.metric).title}: published {published} %; ours, {row.network}, "
        f"{100 * ours.mean:.1f} % ({100 * confidence:.0f} % interval {100 * ours.low:.1f} to {100 * ours.high:.1f}, "
        f"{row.n_test} sources, {row.n_seeds} runs): {said}"
    )
    return Verdict(number, row.network, ours.mean, ours.low, ours.high, agrees, words)
