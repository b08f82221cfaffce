"""The sections of a run's spec: data, images, augmentation, recipe, network; each a table of a study or a protocol."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from rgbench.validation import MOST_LISTED, Flag, Frozen, Number, Whole

MOST_EPOCHS = 100_000
"""Epochs of a run; a larger number is taken for a slip, as are those beyond the limits below."""
LARGEST_BATCH = 100_000
"""Images of a batch."""
LARGEST_RATE = 100.0
"""Learning rate, weight decay and such; Adam learns nothing at 1 any more."""
LARGEST_CUTOUT = 10_000
"""Pixels along a side of a cutout."""
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
    def label(self) -> str:
        """Its name, and behind it what tells its layers from those of others, if it brought its own."""
        own = f" ({hashlib.sha256(repr(self.layers).encode()).hexdigest()[:8]})" if self.layers else ""
        return f"{self.name}{own}"

    @property
    def is_foreign(self) -> bool:
        """Whether its code is in another package, which ``module:callable`` names, and not its layers in this spec."""
        return ":" in self.name and not self.layers
