"""What is computed, or was elsewhere: all that the result of a run depends on, and the id that is the hash of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, Field

from rgbench.spec.parts import OWN_KEYS, AugmentationSpec, DataSpec, ImageSpec, NetworkSpec, RecipeSpec
from rgbench.validation import Frozen, Whole

SPEC_VERSION = 1
ELSEWHERE: Literal["elsewhere"] = "elsewhere"
"""Stands for a protocol where predictions were made elsewhere, and nobody knows any."""
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
        return _id(self.settings(), self.data)

    def settings(self) -> dict[str, Any]:
        """Give the spec as JSON has it, without keys that came later and have their defaults."""
        unused = {name: _unused(getattr(self, name), keys) for name, keys in _LATER.items()}
        return self.model_dump(mode="json", exclude=unused)


class Elsewhere(Frozen):
    """Predictions that were made elsewhere, by whatever code.

    `table` is the SHA-256 of the sources and of what each was given, `outputs` what was given. The rest is stated by
    whoever gave them, and does not enter the id of the run: on what the model was `trained_on`, how many `parameters`
    it has, a `reference` (a paper, a URL), and where its `code` is.
    """

    table: str
    outputs: Literal["probabilities", "logits", "classes"]
    trained_on: str = ""
    parameters: Whole | None = Field(None, ge=1)
    reference: str = ""
    code: str = ""


class ScoredSpec(Frozen):
    """What a run is whose predictions were made elsewhere: it was scored here, and nothing else is known of it.

    It has no images, augmentation and recipe of its own, and no weights.
    """

    version: Whole = SPEC_VERSION
    protocol: Literal["elsewhere"] = ELSEWHERE
    data: DataSpec
    network: NetworkSpec
    seed: Whole
    elsewhere: Elsewhere

    @property
    def run_id(self) -> str:
        """The id, as that of `RunSpec`: of the data, the name, the seed and the predictions."""
        content = self.settings()
        content["elsewhere"] = {key: content["elsewhere"][key] for key in ("table", "outputs")}
        return _id(content, self.data)

    def settings(self) -> dict[str, Any]:
        """Give the spec as JSON has it, without keys that came later and have their defaults."""
        return self.model_dump(mode="json", exclude={"data": _unused(self.data, _LATER["data"])})


AnySpec = RunSpec | ScoredSpec
"""What a run of a store is: trained here, or scored here and trained elsewhere."""


def _id(content: dict[str, Any], data: DataSpec) -> str:
    """Hash the settings of a run, but for how its data are read."""
    content["data"] = {key: content["data"][key] for key in content["data"].keys() - _unhashed(data)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unused(part: BaseModel, keys: tuple[str, ...]) -> set[str]:
    """Give the keys that have their defaults."""
    return {key for key in keys if getattr(part, key) == type(part).model_fields[key].default}


def _unhashed(data: DataSpec) -> set[str]:
    """Give the keys that do not enter the id: how one's own data are read, and options that are not used."""
    keys = _OWN_DATA if data.test else _OWN_DATA | {"test", "test_sources", "shared"}
    return keys if data.train_limit is not None else keys | {"train_limit"}
