"""Numbers that papers report, as data; `rgbench.comparison.replication` sets ours against them.

One TOML file per paper stands in ``rgbench/papers``. It begins with ``citation``, ``doi``, ``arxiv``, ``read`` (where
the numbers were read) and ``note``. Each ``[[tests]]`` is a test set under one protocol (`Test`) with its values
(`Value`). Each ``[[studies]]``, as of `rgbench.spec.Study`, says what to run here to set against them.

Values are fractions. Only what was seen in code, notebooks or data of a repository ("C") or in the paper's abstract or
README ("A") is legal.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rgbench.data.sets import data_sets
from rgbench.errors import SpecError
from rgbench.measures import classification  # noqa: F401  # registers the metrics
from rgbench.measures.catalogue import metrics
from rgbench.networks import networks
from rgbench.registry import Registry
from rgbench.spec import Study
from rgbench.toml import read_toml
from rgbench.validation import validate

OTHER_METRICS = {
    "precision": "of one class; without of_class a mean over classes, whose weights were not said",
    "recall": "of one class; without of_class a mean over classes, whose weights were not said",
    "f1": "of one class; without of_class a mean over classes, whose weights were not said",
    "auc": "area under the receiver operating characteristic",
    "g_mean": "geometric mean of the recalls",
    "mean_average_precision": "of finding and classifying sources in larger images",
    "share_iou_above_half": "share of sources whose box overlaps the true one by more than half (IoU)",
    "share_host_within_3_arcsec": "share of sources whose host is found within 3 arcsec",
}
"""What papers report besides the registered metrics."""
Spread = Literal[
    "standard deviation over folds",
    "standard deviation over seeds",
    "population standard deviation over folds",
    "population standard deviation over seeds",
    "standard error",
    "half width of a 95 % interval",
    "not said",
]
PER_CLASS = ("precision", "recall", "f1")
"""Those that may be of one class."""
T = TypeVar("T", bound=BaseModel)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Value(_Table):
    """A number of a paper.

    It belongs to a ``network`` that is registered here or to a ``method`` in words. ``against`` names networks of
    ours that are set against it; without it, that is the network itself. ``relation`` says "about" for a number
    that a text rounds and "above" for a bound. A population standard deviation divides by the number of
    ``repeats``, not by one less. ``n_test`` is the number of test sources where it is not that of the test, as for
    one class.
    """

    network: str = ""
    method: str = ""
    against: tuple[str, ...] = ()
    metric: str
    of_class: str = ""
    value: float
    relation: Literal["exactly", "about", "above"] = "exactly"
    uncertainty: float | None = Field(None, ge=0)
    uncertainty_is: Spread | None = None
    repeats: int | None = Field(None, ge=1)
    n_test: int | None = Field(None, ge=1)
    where: str = Field(min_length=1)
    confidence: Literal["C", "A"]
    note: str = ""

    @field_validator("network")
    @classmethod
    def _registered(cls, value: str) -> str:
        return _canonical(networks(), value) if value else value

    @field_validator("against")
    @classmethod
    def _all_registered(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_canonical(networks(), value) for value in values)

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        legal = [*metrics().names(), *OTHER_METRICS]
        if value not in legal:
            raise ValueError(f"must be one of {', '.join(legal)}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Value:
        if bool(self.network) == bool(self.method):
            raise ValueError("network (registered here) or method (in words) is needed, and not both")
        if (self.uncertainty is None) != (self.uncertainty_is is None):
            raise ValueError("uncertainty and uncertainty_is go together")
        if self.of_class and self.metric not in PER_CLASS:
            raise ValueError("of_class goes with the metrics precision, recall and f1")
        if (self.uncertainty_is or "").startswith("population") and (self.repeats or 0) < 2:
            raise ValueError("a population standard deviation needs repeats, 2 or more")
        low, high = _legal_range(self.metric)
        if not low <= self.value <= high:
            raise ValueError(f"value must lie between {low:g} and {high:g}: fractions, not percent")
        return self

    @property
    def title(self) -> str:
        """The network or the method."""
        return self.network or self.method

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks of ours that are set against it."""
        return self.against or ((self.network,) if self.network else ())


class Test(_Table):
    """A test set under one protocol.

    ``data`` is a data set that is registered here, ``data_words`` says in words what it is. ``split`` and
    ``protocol`` are words too. ``our_splits`` names the splits of ours that have the same test sources; where
    there are none, ``differs`` says why nothing of ours can be compared. Where there are some, ``kind`` says what comes
    of it: a "replication", if our study has the paper's networks and training, else a "comparison" of other methods
    with it, whose agreement confirms nothing.
    """

    __test__ = False  # no test of pytest

    data: str = ""
    data_words: str = ""
    split: str = Field(min_length=1)
    protocol: str = Field(min_length=1)
    n_test: int | None = Field(None, ge=1)
    our_splits: tuple[str, ...] = ()
    kind: Literal["replication", "comparison"] | None = None
    differs: str = ""
    values: tuple[Value, ...] = ()

    @field_validator("data")
    @classmethod
    def _registered(cls, value: str) -> str:
        return _canonical(data_sets(), value) if value else value

    @model_validator(mode="after")
    def _consistent(self) -> Test:
        if not self.data and not self.data_words:
            raise ValueError("data (registered here) or data_words is needed")
        if bool(self.our_splits) == bool(self.differs):
            raise ValueError(
                "our_splits (the same test sources) or differs (why not) is needed, and not both"
            )
        if self.our_splits and not self.data:
            raise ValueError("our_splits goes with data, a data set that is registered here")
        if bool(self.our_splits) != bool(self.kind):
            raise ValueError('our_splits goes with kind: "replication" or "comparison"')
        if self.kind == "replication" and (others := [v.title for v in self.values if v.against]):
            raise ValueError(
                f'kind must be "comparison": other networks are set against {", ".join(others)} (against)'
            )
        return self


class Paper(_Table):
    """A paper and its numbers; ``name`` is that of its file, ``studies`` what to run here."""

    name: str
    citation: str = Field(min_length=1)
    doi: str = ""
    arxiv: str = ""
    read: str = Field(min_length=1)
    note: str = ""
    tests: tuple[Test, ...] = Field(min_length=1)
    studies: tuple[Study, ...] = ()


def paper_names() -> list[str]:
    """List the papers that ship with the package.

    Examples
    --------
    >>> "rustige2023" in paper_names()
    True
    """
    folder = resources.files("rgbench.papers")
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def find_paper(name: str) -> Paper:
    """Read a paper from a TOML file, or one that ships with the package by its bare name.

    Raises
    ------
    SpecError
        If there is no such paper, or as `read_paper` does.

    Examples
    --------
    >>> paper = find_paper("rustige2023")
    >>> best = max((v for v in paper.tests[0].values if v.metric == "accuracy"), key=lambda v: v.value)
    >>> best.title, best.value, best.uncertainty
    ('CNN + wGAN (lambda 3)', 0.8135, 0.008)
    """
    if name.endswith(".toml") or Path(name).exists():
        return read_paper(Path(name))
    if name not in paper_names():
        raise SpecError(f"no paper {name!r}: give a TOML file, or one of {', '.join(paper_names())}")
    with resources.as_file(resources.files("rgbench.papers").joinpath(f"{name}.toml")) as path:
        return read_paper(path)


def read_paper(path: Path | str) -> Paper:
    """Read a paper's numbers from a TOML file.

    Raises
    ------
    SpecError
        If the file cannot be read, or a key or value is not legal; the message names the file, the table and the
        key, and the legal values.
    """
    path = Path(path)
    content = read_toml(path)
    content["tests"] = [
        _test(test, f"{path}: tests {i}")
        for i, test in enumerate(_tables(content, "tests", str(path)), start=1)
    ]
    content["studies"] = [
        _study(study, path, f"{path}: studies {i}")
        for i, study in enumerate(_tables(content, "studies", str(path)), start=1)
    ]
    return _checked(Paper, {**content, "name": path.stem}, str(path))


def _test(content: dict[str, Any], where: str) -> dict[str, Any]:
    """Check the tables within a test one by one, so that messages name each."""
    values = [
        _checked(Value, value, f"{where}, values {i}")
        for i, value in enumerate(_tables(content, "values", where), start=1)
    ]
    return {**_checked(Test, {**content, "values": []}, where).model_dump(), "values": values}


def _study(content: dict[str, Any], path: Path, where: str) -> Study:
    study = validate(Study, {"name": path.stem, **content}, where)
    try:
        data_sets().canonical(study.data.name)
        for name in study.networks:
            networks().canonical(name)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    return study


def _tables(content: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    found = content.get(key, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise SpecError(f"{where}: key {key!r}: must be a list of tables, [[{key}]], found {found!r}")
    return found


def _checked(model: type[T], content: dict[str, Any], where: str) -> T:
    return cast(T, validate(cast(Any, model), content, where))


def _canonical(registry: Registry[Any], name: str) -> str:
    try:
        return registry.canonical(name)
    except SpecError as error:
        raise ValueError(str(error)) from None


def _legal_range(metric: str) -> tuple[float, float]:
    return metrics().get(metric).value_range if metric in metrics() else (0.0, 1.0)
