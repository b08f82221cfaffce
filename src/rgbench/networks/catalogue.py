"""The names of all networks and what is known of each, without torch."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import Any, cast

from rgbench.errors import SpecError
from rgbench.networks.cards import ENTRY_POINT_GROUP, NetworkCard, NetworkFactory
from rgbench.networks.notation.derive import derive
from rgbench.networks.notation.notation import parse_layers, to_text
from rgbench.numbers import listed
from rgbench.protocols.choices import read_choices
from rgbench.references import Paper, library
from rgbench.registry import Registry

FILES = ("published.toml", "field.toml")
"""Where the networks stand: those of the 2021 testbed, and the field's others."""
KEYS = (
    "title",
    "paper (key, citation, doi, arxiv)",
    "layers",
    "aliases",
    "notes",
    "base",
    "change",
    "factory",
    "choices",
    "variants",
)
"""The keys of a network's table."""


@cache
def networks() -> Registry[NetworkCard | NetworkFactory]:
    """Give the registry of networks, read from the package's TOML files at the first call.

    Examples
    --------
    >>> networks().canonical("convXpress")
    'convxpress'
    """
    registry = Registry("network", ENTRY_POINT_GROUP, _network)
    for file in FILES:
        for card in read_cards(files("rgbench.networks").joinpath(file).read_text("utf-8")):
            registry.register(card.name, card, card.aliases)
    return registry


def _network(name: str, item: Any) -> NetworkCard | NetworkFactory:
    """Check what was registered; `SpecError` says what is legal."""
    if not isinstance(item, NetworkCard) and not callable(item):
        raise SpecError(
            f"network {name!r} is a {type(item).__name__}; a NetworkCard, or a function that makes a module, is legal"
        )
    return cast(NetworkCard | NetworkFactory, item)


def read_cards(text: str) -> list[NetworkCard]:
    """Read network cards from TOML text.

    One table is one network: ``title``, ``paper`` (``citation``, ``doi``, ``arxiv``, ``key`` of references.bib),
    ``layers``, ``aliases``, ``notes``, ``choices``. A derived network has ``base`` (a table above it) and ``change`` in
    place of ``layers``, and takes its base's paper if it names none. The table ``variants`` of a network holds short
    ones: the variant ``relu`` of ``convnet-4`` is called ``convnet-4-relu``. Variants stand last in the list.

    Raises
    ------
    SpecError
        If a key is unknown or missing, or a change does not fit its base; the message names the network.
    """
    cards: dict[str, NetworkCard] = {}
    short: dict[str, NetworkCard] = {}
    for name, table in tomllib.loads(text).items():
        variants = table.pop("variants", {})
        cards[name] = _read_card(name, table, cards)
        for key, variant in variants.items():
            title = f"{cards[name].title}, {key.replace('-', ' ')}"
            content = {"title": title, "base": name, **variant}
            short[f"{name}-{key}"] = _read_card(f"{name}-{key}", content, cards)
    return [*cards.values(), *short.values()]


def _read_card(name: str, table: dict[str, Any], known: dict[str, NetworkCard]) -> NetworkCard:
    content = dict(table)
    try:
        _check_keys(content)
        if "base" in content:
            base = _base(content["base"], known)
            content["layers"] = to_text(derive(parse_layers(base.layers), content["change"]))
            content.setdefault("paper", asdict(base.paper))
        content.setdefault("layers", "")
        paper = _paper(content.pop("paper"))
        content["choices"] = read_choices(content.pop("choices", []), "its table")
        return NetworkCard(name=name, paper=paper, aliases=tuple(content.pop("aliases", ())), **content)
    except (KeyError, TypeError) as error:
        raise SpecError(f"network {name!r}: {error}; the keys are {', '.join(KEYS)}") from error
    except SpecError as error:
        raise SpecError(f"network {name!r}: {error}") from error


@cache
def shipped_names() -> frozenset[str]:
    """Give the names of the networks of this package."""
    texts = (files("rgbench.networks").joinpath(file).read_text("utf-8") for file in FILES)
    return frozenset(card.name for text in texts for card in read_cards(text))


def _check_keys(content: dict[str, Any]) -> None:
    """Raise `SpecError` if a table lacks what it must have: layers, or in place of them a base or a factory."""
    needed = ["title", "change"] if "base" in content else ["title", "paper"]
    if not {"base", "factory"} & set(content):
        needed.append("layers")
    missing = [key for key in needed if key not in content]
    if missing:
        raise SpecError(f"{listed(missing)} missing; the keys are {', '.join(KEYS)}")


def _base(name: str, known: dict[str, NetworkCard]) -> NetworkCard:
    """Give the network that another is derived from; it stands above in the file."""
    if name not in known:
        raise SpecError(f"base: there is no network {name!r} above it in this file")
    return known[name]


def _paper(content: dict[str, str]) -> Paper:
    """Read a paper, whose key must be an entry of ``references.bib``; without a key it is cited by its words."""
    paper = Paper(**content)
    if paper.key and paper.key not in library():
        raise SpecError(
            f"paper: references.bib has no entry {paper.key!r}; add it there, or leave the key out while there is none"
        )
    return paper


def card_of(name: str, layers: str = "") -> NetworkCard | None:
    """Give the card of a network that a run has; None if it has none here.

    None have a network that brings its own layers, one of another package, which ``module:callable`` or ``timm:NAME``
    names, one that is not registered, and one of which no more than a factory is registered.

    Parameters
    ----------
    name : str
        Its name or an alias, as in a `rgbench.spec.NetworkSpec`.
    layers : str
        The layers that it brings.

    Raises
    ------
    SpecError
        If it is registered by another package that cannot be imported.

    Examples
    --------
    >>> card_of("vgg16_d_real").name, card_of("mine", "C3x3-8 s1 relu"), card_of("timm:resnet18")
    ('vgg16-d', None, None)
    """
    if layers or ":" in name or name not in networks():
        return None
    item = networks().get(name)
    return item if isinstance(item, NetworkCard) else None


def network_names() -> list[str]:
    """List every registered canonical name; aliases resolve too but are not listed.

    Returns
    -------
    list of str
        Networks that ship, and those that other packages have registered.

    Examples
    --------
    >>> "convxpress" in network_names(), "convXpress" in network_names()
    (True, False)
    """
    return networks().names()


def canonical_name(name: str) -> str:
    """Give the canonical name of a name or alias; ``module:callable`` and ``timm:NAME`` stay as they are.

    Examples
    --------
    >>> canonical_name("vgg16_d_real"), canonical_name("timm:resnet18")
    ('vgg16-d', 'timm:resnet18')
    """
    return name if ":" in name else networks().canonical(name)
