"""Frozen specifications: a study (what a user writes) and a run (what is computed).

A study names networks, seeds, a protocol and a data set, and may override any key of the
protocol. It resolves to runs. A run's spec holds every value that its result depends on, and its
id is the hash of that spec: two people with the same spec have the same id.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from rgbench.errors import SpecError
from rgbench.escapes import utf8
from rgbench.extensions import load_extensions
from rgbench.protocols import protocols, read_protocol
from rgbench.toml import read_toml
from rgbench.validation import MOST_LISTED, Flag, Frozen, Number, Whole, validate

SPEC_VERSION = 1
MOST_EPOCHS = 100_000
"""Epochs of a run; a larger number is taken for a slip, as are those beyond the limits below."""
LARGEST_BATCH = 100_000
"""Images of a batch."""
LARGEST_RATE = 100.0
"""Learning rate, weight decay and such; Adam learns nothing at 1 any more."""
LARGEST_CUTOUT = 10_000
"""Pixels along a side of a cutout."""
MOST_RUNS = 10_000
"""Runs of a study."""
PUBLISHED_SEEDS = (8901, 1826, 4915)
"""The three seeds of the 2021 study."""
OWN_KEYS = (
    "manifest",
    "class_labels",
    "columns",
    "labels",
    "leave_out",
    "cutout",
    "cutout_scale",
    "about",
    "beam",
    "image_scale",
    "plane",
)
"""Keys of one's own data, which go with `path`."""
_OWN_DATA = {"path", *OWN_KEYS}

_LATER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "data": ("about", "image_scale", "leave_out", "plane"),
        "images": ("frame", "beam"),
        "augmentation": ("beam", "noise"),
        "recipe": ("labels",),
    }
)
"""Keys that came later: they do not enter the id where they have their defaults, so that older runs keep theirs."""


class DataSpec(Frozen):
    """Which data, and how they are split.

    `train_limit` keeps that many training sources, for a learning curve. `test` names another data set to test
    on: its published test side, or "all" its sources. Training sources that stand in it too are removed or
    refused, as `shared` says.

    `path`, `manifest` and `class_labels` say where one's own data are, `columns` and `labels` what the table's
    columns and labels mean, `leave_out` which labels count as none, `cutout` (arcseconds) and `cutout_scale`
    (arcseconds per pixel) to which field every image is brought, `about` the middle of that field (the position in the
    table, unless it is "image"), `plane` which plane of cubes is taken, and `beam` (arcseconds) and `image_scale`
    (arcseconds per pixel) what headers do not tell. They do not enter the id of a run, since `checksum` says what came
    of them. It, `frame` (rows and columns of the images) and `pixel_scale` (arcseconds) are filled in from the data.
    """

    name: str = "first-galaxy-data"
    split: str = "published"
    train_size: Whole = Field(250, ge=1)
    validation_size: Whole = Field(100, ge=1)
    train_limit: Whole | None = Field(None, ge=1)
    test: str = ""
    test_sources: Literal["test", "all"] = "test"
    shared: Literal["remove", "refuse"] = "remove"
    checksum: str = ""
    frame: tuple[int, int] | None = None
    pixel_scale: Number | None = None
    path: str | None = None
    manifest: str | None = None
    class_labels: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    leave_out: tuple[str, ...] = Field((), max_length=MOST_LISTED)
    cutout: Number | None = Field(None, gt=0, le=36_000)
    cutout_scale: Number | None = Field(None, gt=0)
    about: Literal["source", "image"] | None = None
    plane: Whole | tuple[Whole, ...] | None = None
    beam: Number | None = Field(None, gt=0)
    image_scale: Number | None = Field(None, gt=0)

    @field_validator("split")
    @classmethod
    def _known_split(cls, value: str) -> str:
        if not re.fullmatch(r"published|becker2021|fold-\d{1,4}", value):
            raise ValueError(
                "must be 'published' or 'becker2021', or a published fold: 'fold-0', 'fold-1', ..."
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DataSpec:
        if self.test and self.split == "becker2021":
            raise ValueError("test goes with a published split; that of 2021 makes its own test set")
        if self.cutout_scale and not self.cutout:
            raise ValueError("cutout_scale goes with cutout, the side of the field in arcsec")
        if self.cutout and self.cutout_scale and self.cutout > LARGEST_CUTOUT * self.cutout_scale:
            raise ValueError(
                f"cutout_scale is {self.cutout_scale}; for a cutout of {self.cutout} arcsec, "
                f"{self.cutout / LARGEST_CUTOUT} or more is legal: up to {LARGEST_CUTOUT:,} pixels"
            )
        return self


class ImageSpec(Frozen):
    """How an image becomes a network's input; sizes are pixels, of square fields unless two are given.

    `frame` is "sky" where each image is brought to the standard frame of `rgbench.images.frame` last; "sky-axis" where
    it is also turned, so that the long axis of the source lies along the rows, in training at any angle. `beam` is the
    width of the beam to which all are brought, in units of that of the training images; 1 leaves them as they are.
    """

    preset: str
    field: Whole = Field(ge=8)
    size: Whole | tuple[Whole, Whole]
    frame: Literal["none", "sky", "sky-axis"] = "none"
    beam: Number = Field(1.0, ge=1, le=4)

    @field_validator("size")
    @classmethod
    def _positive(cls, value: int | tuple[int, int]) -> int | tuple[int, int]:
        if min(value if isinstance(value, tuple) else (value,)) < 8:
            raise ValueError("must be at least 8 pixels")
        return value


class AugmentationSpec(Frozen):
    """How training images are varied, on the device, in each epoch."""

    kind: Literal["rotations", "random", "none"]
    step: Whole = Field(15, ge=1, le=360)
    validation: Flag = False
    rotate: Flag = True
    flip: Flag = True
    zoom: Number = Field(0.0, ge=0, lt=1)
    shift: Number = Field(0.0, ge=0)
    beam: Number = Field(1.0, ge=1, le=4)
    noise: Number = Field(0.0, ge=0, lt=1)

    @property
    def reobserves(self) -> bool:
        """Whether training images are seen through other beams, or in other noise."""
        return self.beam > 1 or self.noise > 0


class RecipeSpec(Frozen):
    """How a network is trained and applied.

    `labels` is "consensus" where training sources that several catalogues labelled have the probabilities that their
    votes give, in place of the published class (`rgbench.data.consensus.training_targets`).
    """

    epochs: Whole = Field(ge=1, le=MOST_EPOCHS)
    batch_size: Whole = Field(ge=1, le=LARGEST_BATCH)
    batches: Literal["shuffled", "two-sources"] = "shuffled"
    learning_rate: Number = Field(gt=0, le=LARGEST_RATE)
    optimizer: Literal["adam", "adamw"] = "adam"
    adam_epsilon: Number = Field(1e-8, gt=0, le=LARGEST_RATE)
    weight_decay: Number = Field(0.0, ge=0, le=LARGEST_RATE)
    schedule: Literal["plateau", "warmup-cosine", "constant"] = "constant"
    warmup: Number = Field(0.1, ge=0, lt=1)
    plateau_factor: Number = Field(0.5, gt=0, lt=1)
    plateau_patience: Whole = Field(3, ge=0)
    plateau_min_delta: Number = Field(0.01, ge=0)
    plateau_min_rate: Number = Field(1e-12, ge=0, le=LARGEST_RATE)
    labels: Literal["published", "consensus"] = "published"
    class_weights: Flag = False
    label_smoothing: Number = Field(0.0, ge=0, lt=1)
    early_stopping: Whole = Field(-1, ge=-1)
    l2: Flag = True
    dropout: Literal["all", "dense", "none"] = "all"
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    views: Literal[1, 2, 4, 8, 16, 24, 48] = 1
    pretraining: Literal["none", "autoencoder"] = "none"
    pretraining_epochs: Whole = Field(10, ge=1, le=MOST_EPOCHS)
    pretraining_rate: Number = Field(1e-3, gt=0, le=LARGEST_RATE)

    @field_validator("views", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("must be 1, 2, 4, 8, 16, 24 or 48")
        return value


class NetworkSpec(Frozen):
    """Which network, by its canonical name.

    A network that is not registered brings its `layers`, in the notation of `rgbench.networks.notation.notation`; one
    that was imported also the SHA-256 of the file that its `weights` came from, and one that was trained further that
    of the weights that it began with.
    """

    name: str
    channels: Whole = Field(1, ge=1)
    layers: str = ""
    weights: str = ""

    @property
    def is_foreign(self) -> bool:
        """Whether its code is in another package, which ``module:callable`` names, and not its layers in this spec."""
        return ":" in self.name and not self.layers


class RunSpec(Frozen):
    """Everything that the result of one run depends on."""

    version: Whole = SPEC_VERSION
    protocol: str
    data: DataSpec
    images: ImageSpec
    augmentation: AugmentationSpec
    network: NetworkSpec
    recipe: RecipeSpec
    seed: Whole

    @property
    def run_id(self) -> str:
        """The id: the first 16 hexadecimal digits of the SHA-256 of the spec as canonical JSON."""
        content = self.settings()
        content["data"] = {key: content["data"][key] for key in content["data"].keys() - _unhashed(self.data)}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def settings(self) -> dict[str, Any]:
        """Give the spec as JSON has it, without keys that came later and have their defaults."""
        unused = {name: _unused(getattr(self, name), keys) for name, keys in _LATER.items()}
        return self.model_dump(mode="json", exclude=unused)


class Study(Frozen):
    """What a user asks for: networks x seeds under one protocol on one data set.

    `layers` holds networks of one's own, by the names under which `networks` lists them. `splits` and
    `train_limits` run everything on several splits (folds), and with several numbers of training sources, in
    place of those of `data`; with `same_steps` a smaller training set is gone through so much more often that
    every run has as many optimiser steps.

    `extensions` names modules and Python files (``.py``; in a TOML file relative to it) that add presets,
    protocols, layers and more by `rgbench.register`. Making the study imports them: **their Python code runs**, so
    read a study of somebody else's before you run it. They do not enter the ids of runs.

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


def _unused(part: BaseModel, keys: tuple[str, ...]) -> set[str]:
    """Give the keys that have their defaults."""
    return {key for key in keys if getattr(part, key) == type(part).model_fields[key].default}


def _unhashed(data: DataSpec) -> set[str]:
    """Give the keys that do not enter the id: how one's own data are read, and options that are not used."""
    keys = _OWN_DATA if data.test else _OWN_DATA | {"test", "test_sources", "shared"}
    return keys if data.train_limit is not None else keys | {"train_limit"}


def _lines(study: Study, protocol: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    per_network = protocol.get("networks", {})
    if study.schedule:
        return [
            (line.network, {}, {"learning_rate": line.learning_rate, "epochs": line.epochs})
            for line in study.schedule
        ]
    return [(name, per_network.get(name, {}), {}) for name in study.networks]
