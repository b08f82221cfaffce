"""What stands in a bundle: the names of its files, and ``bundle.json``, which lists them with their checksums."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from rgbench.store.conditions import CONDITIONS_FILE
from rgbench.store.tables import MODELS
from rgbench.validation import Frozen, Whole

FORMAT = 1
"""Of bundles; a newer one is refused, with the advice to upgrade."""
MANIFEST = "bundle.json"
CARDS = "cards.json"
TABLES = ("run.json", "cost.json", "predictions.parquet", "history.parquet", CONDITIONS_FILE)
"""Files of a run that a bundle holds, where they are there."""
WEIGHTS = tuple(f"{model}.safetensors" for model in MODELS)
"""Files of a run that it holds if somebody asks for them."""
_RUN_FILE = re.compile(rf"runs/[0-9a-f]{{16}}/(?:{'|'.join(map(re.escape, (*TABLES, *WEIGHTS)))})")
_LONGEST = 1000
"""Characters of what somebody states."""
_SAID = r"\S"
"""In what must be stated: more than blanks."""
_DIGEST = r"[0-9a-f]{64}"


class BundledFile(Frozen):
    """Length in bytes and SHA-256 of a file."""

    bytes: Whole = Field(ge=0)
    sha256: str = Field(pattern=f"^{_DIGEST}$")


class Statement(Frozen):
    """What a network was trained on, as somebody states it.

    Attributes
    ----------
    network : str
        The network, as `rgbench.spec.NetworkSpec.label` names it.
    trained_on : str
        Data set and side, in words.
    external_data : {"no", "yes", "not known"}
        Whether anything but the training side of the data set was used: other images, labels or weights.
    external_words : str
        What, if anything.
    by : str
        Who states it.
    """

    network: str = Field(min_length=1)
    trained_on: str = Field(pattern=_SAID, max_length=_LONGEST)
    external_data: Literal["no", "yes", "not known"]
    external_words: str = Field("", max_length=_LONGEST)
    by: str = Field(pattern=_SAID, max_length=_LONGEST)

    @property
    def words(self) -> str:
        """The statement in a line.

        Examples
        --------
        >>> Statement(network="a", trained_on="set x", external_data="yes", external_words="ImageNet", by="me").words
        'trained on set x; external data: yes (ImageNet); stated by me'
        """
        why = f" ({self.external_words})" if self.external_words else ""
        return f"trained on {self.trained_on}; external data: {self.external_data}{why}; stated by {self.by}"


class LeftOut(Frozen):
    """A run of the store that is not in the bundle, and why."""

    run_id: str
    network: str
    seed: Whole
    why: str


class TaskName(Frozen):
    """A task, and the checksum that it had when the bundle was made."""

    name: str
    checksum: str = Field(pattern=f"^{_DIGEST}$")


class Manifest(Frozen):
    """What ``bundle.json`` holds. No scores: whoever wants them computes them from the predictions.

    Attributes
    ----------
    version : int
        Of the format.
    made_with : str
        Release of rgbench.
    task : TaskName or None
        The task that all its runs are of.
    statements : tuple of Statement
        One for each network.
    left_out : tuple of LeftOut
        Runs that are not in it.
    files : dict of str to BundledFile
        Every other file, by name.
    """

    version: Whole
    made_with: str
    task: TaskName | None = None
    statements: tuple[Statement, ...]
    left_out: tuple[LeftOut, ...] = ()
    files: dict[str, BundledFile]

    @field_validator("files")
    @classmethod
    def _known_names(cls, value: dict[str, BundledFile]) -> dict[str, BundledFile]:
        for name in value:
            if name != CARDS and not _RUN_FILE.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a file in a bundle")
        return value
