"""What is known of a network, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from rgbench.networks.notation.analysis import ImageSize
from rgbench.notebook import html_facts
from rgbench.protocols.choices import Choice
from rgbench.references import Paper

ENTRY_POINT_GROUP = "rgbench.networks"
"""Packages register networks here: a `NetworkCard` or a `NetworkFactory` under a name."""


@dataclass(frozen=True)
class NetworkCard:
    """One network as data.

    Attributes
    ----------
    name : str
        Canonical name, lower-case kebab.
    title : str
        Name in words, for tables and figures.
    paper : Paper
        Its publication.
    layers : str
        The layers, in the notation of `rgbench.networks.notation.notation`; empty if a factory makes the network.
    aliases : tuple of str
        Other names, those of the 2021 testbed among them.
    notes : str
        Where it differs from its paper.
    base, change : str
        Of a variant: the network that it derives from, and how, in the words of `rgbench.networks.notation.derive`.
    factory : str
        ``module:callable`` of a network that is more than the notation can say.
    choices : tuple of Choice
        What was chosen of it, and on which sources.
    """

    name: str
    title: str
    paper: Paper
    layers: str
    aliases: tuple[str, ...] = ()
    notes: str = ""
    base: str = ""
    change: str = ""
    factory: str = ""
    choices: tuple[Choice, ...] = ()

    def _repr_html_(self) -> str:
        paper = (self.paper.citation, self.paper.doi, self.paper.arxiv)
        facts = {
            "name": self.name,
            "aliases": ", ".join(self.aliases),
            "paper": "; ".join(filter(None, paper)),
            "layers": self.layers,
            "made by": self.factory,
            "derived from": ": ".join(filter(None, (self.base, self.change))),
            "notes": self.notes,
        }
        return html_facts(self.title, facts)


class NetworkFactory(Protocol):
    """A callable that makes a torch module which gives logits (n, n_classes)."""

    def __call__(self, *, image_size: ImageSize, n_classes: int, channels: int) -> Any:
        """Make the module for images of (n, channels, rows, columns)."""
