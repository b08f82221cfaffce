"""What a user asks for: a study in a TOML file, which resolves to runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from rgbench.errors import SpecError
from rgbench.escapes import utf8
from rgbench.extensions import load_extensions
from rgbench.protocols import protocols, read_protocol
from rgbench.protocols.choices import Choice
from rgbench.spec.parts import (
    LARGEST_RATE,
    MOST_EPOCHS,
    AugmentationSpec,
    DataSpec,
    ImageSpec,
    NetworkSpec,
    RecipeSpec,
)
from rgbench.spec.run import RunSpec
from rgbench.toml import read_toml
from rgbench.validation import MOST_LISTED, Flag, Frozen, Number, Whole, validate

MOST_RUNS = 10_000
"""Runs of a study."""
PUBLISHED_SEEDS = (8901, 1826, 4915)
"""The three seeds of the 2021 study."""


class Study(Frozen):
    """What a user asks for: networks x seeds under one protocol on one data set.

    `layers` holds networks of one's own, by the names under which `networks` lists them. `splits` and
    `train_limits` run everything on several splits (folds), and with several numbers of training sources, in
    place of those of `data`; with `same_steps` a smaller training set is gone through so much more often that
    every run has as many optimiser steps.

    `extensions` names modules and Python files (``.py``; in a TOML file relative to it) that add presets,
    protocols, layers and more by `rgbench.register`. Making the study imports them: **their Python code runs**, so
    read a study of somebody else's before you run it. They do not enter the ids of runs.

    Attributes
    ----------
    name : str
        Name of the report.
    extensions : tuple of str
        Modules and Python files that are imported first.
    networks : tuple of str
        What is compared: registered names, aliases, names of `layers`, ``module:callable`` or ``timm:NAME``.
    seeds : tuple of int
        One run for each network and seed.
    protocol : str
        What `images`, `augmentation` and `recipe` are by default.
    data : DataSpec
        Data set or folder, and split; a dictionary will do.
    images, augmentation, recipe : dict
        Keys in which the study differs from its protocol.
    layers : dict of str to str
        Networks of one's own, in the notation.
    splits : tuple of str
        Several splits, in place of that of `data`.
    train_limits : tuple of int
        Several numbers of training sources.
    same_steps : bool
        Whether runs on fewer training sources get as many optimiser steps.
    schedule : tuple of ScheduleLine
        Learning rate and epochs, network by network.
    choices : tuple of Choice
        What was chosen for this study, and on which sources, which are no test sources of it. They do not enter the ids
        of runs.

    Examples
    --------
    >>> study = Study(name="demo", networks=("mcrgnet",), seeds=(1, 2), recipe={"epochs": 3})
    >>> [run.recipe.epochs for run in resolve(study, checksum="")]
    [3, 3]
    """

    name: str
    # Before all that may name what they bring: fields are validated in this order.
    extensions: tuple[str, ...] = Field((), max_length=MOST_LISTED)
    networks: tuple[str, ...] = Field(min_length=1, max_length=MOST_LISTED)
    seeds: tuple[Whole, ...] = Field(PUBLISHED_SEEDS, min_length=1, max_length=MOST_LISTED)
    protocol: str = "modern"
    data: DataSpec = DataSpec()
    images: dict[str, Any] = Field(default_factory=dict)
    augmentation: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    layers: dict[str, str] = Field(default_factory=dict)
    splits: tuple[str, ...] = Field((), max_length=MOST_LISTED)
    train_limits: tuple[Whole, ...] = Field((), max_length=MOST_LISTED)
    same_steps: Flag = True
    schedule: tuple[ScheduleLine, ...] = Field((), max_length=MOST_LISTED)
    choices: tuple[Choice, ...] = Field((), max_length=MOST_LISTED)

    @field_validator("name")
    @classmethod
    def _names_a_file(cls, value: str) -> str:
        if not value.strip() or value.startswith(".") or len(value) > 100 or not value.isprintable():
            raise ValueError(
                "the report is named after it: 1 to 100 printable characters, no dot at the beginning"
            )
        if value == "report":
            raise ValueError("the report is named after it: not 'report', which names that of the store")
        return value

    @field_validator("extensions")
    @classmethod
    def _loaded(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        load_extensions(values)
        return values

    @field_validator("networks", "seeds", "splits", "train_limits")
    @classmethod
    def _unique(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"{value!r} is listed twice")
        return values

    @field_validator("protocol")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return protocols().canonical(value)
        except SpecError as error:
            raise ValueError(str(error)) from None


class ScheduleLine(Frozen):
    """A line of an architecture file: a network with its own learning rate and epochs."""

    network: str
    learning_rate: Number = Field(gt=0, le=LARGEST_RATE)
    epochs: Whole = Field(ge=1, le=MOST_EPOCHS)


Study.model_rebuild()


def read_study(path: Path | str) -> Study:
    """Read a study from a TOML file.

    Parameters
    ----------
    path : path
        The file; its name is that of the study if it tells none.

    Returns
    -------
    Study
        Its keys are those of ``docs/study-keys.md``.

    Raises
    ------
    SpecError
        If the file cannot be read, or a key or value is not legal; the message names the key and
        the legal values.
    """
    path = Path(path)
    content = read_toml(path)
    content.setdefault("name", utf8(path.stem))
    if isinstance(content.get("extensions"), list):
        content["extensions"] = [_beside(path, each) for each in content["extensions"]]
    study = validate(Study, content, str(path))
    try:
        resolve(study, checksum="")
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    return study


def _beside(path: Path, extension: Any) -> Any:
    """Give the path of a Python file that a study names relative to itself; a module stays as it is."""
    is_file = isinstance(extension, str) and extension.endswith(".py")
    return str(path.parent / extension) if is_file else extension


def resolve(
    study: Study,
    checksum: str,
    frame: tuple[int, int] | None = None,
    pixel_scale: float | None = None,
) -> list[RunSpec]:
    """Resolve a study to its runs: schedule lines or networks, times seeds.

    Parameters
    ----------
    study : Study
        The study; its network names must be canonical (`rgbench.runs.study` sees to that).
    checksum : str
        SHA-256 of the data set's content.
    frame : (int, int), optional
        Rows and columns of its images.
    pixel_scale : float, optional
        Arcseconds per pixel of its images, if known.

    Returns
    -------
    list of RunSpec
        The runs, network by network, in the order of the study.
    """
    protocol = read_protocol(study.protocol)
    facts = {"checksum": checksum, "frame": frame, "pixel_scale": pixel_scale}
    parts = list(_parts(study, facts))
    lines = _lines(study, protocol)
    number = len(parts) * len(lines) * len(study.seeds)
    if number > MOST_RUNS:
        raise SpecError(
            f"the study has {number:,} runs, {len(lines)} networks times {len(study.seeds)} seeds times {len(parts)} "
            f"splits and numbers of training sources; 1 to {MOST_RUNS:,} are legal"
        )
    images = validate(ImageSpec, {**protocol["images"], **study.images}, "[images]")
    turned = {**protocol["augmentation"], **study.augmentation}
    augmentation = validate(AugmentationSpec, turned, "[augmentation]")
    return [
        RunSpec(
            protocol=study.protocol,
            data=data,
            images=images,
            augmentation=augmentation,
            network=NetworkSpec(name=name, layers=study.layers.get(name, "")),
            recipe=validate(RecipeSpec, {**protocol["recipe"], **own, **study.recipe, **line}, "[recipe]"),
            seed=seed,
        )
        for data in parts
        for name, own, line in lines
        for seed in study.seeds
    ]


def _parts(study: Study, facts: dict[str, Any]) -> Iterator[DataSpec]:
    """Give the data of each split and each number of training sources."""
    defaults = DataSpec()
    unused = {"train_size": defaults.train_size, "validation_size": defaults.validation_size}
    for split in study.splits or (study.data.split,):
        sizes = {} if split == "becker2021" else unused
        for limit in study.train_limits or (study.data.train_limit,):
            wanted = {**study.data.model_dump(), **facts, **sizes, "split": split, "train_limit": limit}
            yield validate(DataSpec, wanted, "[data]")


def _lines(study: Study, protocol: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    per_network = protocol.get("networks", {})
    if study.schedule:
        return [
            (line.network, {}, {"learning_rate": line.learning_rate, "epochs": line.epochs})
            for line in study.schedule
        ]
    return [(name, per_network.get(name, {}), {}) for name in study.networks]
