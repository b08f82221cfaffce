"""What the classes of a survey were made with, as the metadata of each format tell it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

VERSION = 1
"""Of the columns and metadata that are written."""
KEY = b"rgbench"
"""Where they stand in the metadata of Parquet."""


@dataclass(frozen=True)
class About:
    """What classes were made with; nothing of it tells a date, so that two runs give the same bytes.

    Attributes
    ----------
    classifier, checksum : str
        Name of the classifier, and the SHA-256 of its card and tensors.
    rgbench : str
        Version of the package.
    classes : tuple of str
        Of the classifier, in the order of its probabilities.
    views : int
        Turns and reflections that an answer is averaged over.
    prior : mapping of str to float
        Shares of classes in the survey; empty for those of training.
    """

    classifier: str
    checksum: str
    rgbench: str
    classes: tuple[str, ...]
    views: int | str
    prior: Mapping[str, float]

    def json(self) -> str:
        """Give it all as JSON, with the version of the format."""
        return json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True)

    def facts(self) -> list[tuple[str, str, str]]:
        """Give keyword, value and meaning of what headers tell; a keyword has eight letters at most."""
        shares = " ".join(f"{name}={share:g}" for name, share in self.prior.items())
        return [
            ("RGCLASSF", self.classifier, "name of the classifier"),
            ("RGCHECK", self.checksum, "SHA-256 of the card and tensors of the classifier"),
            ("RGVERS", self.rgbench, "version of rgbench"),
            ("RGCLASSE", "|".join(self.classes), "classes of the classifier"),
            ("RGVIEWS", str(self.views), "turns and reflections averaged over"),
            ("RGPRIOR", shares or "as in training", "shares of the classes in the survey"),
        ]
