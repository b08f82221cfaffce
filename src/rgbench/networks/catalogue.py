"""The names of all networks and what is known of each, without torch."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any, Protocol

from rgbench.errors import SpecError
from rgbench.networks.analysis import Analysis, ImageSize, analyse, check_outputs, image_shape
from rgbench.networks.derive import derive
from rgbench.networks.layers import Activation, Dense
from rgbench.networks.notation import parse_layers, to_text
from rgbench.registry import Registry

ENTRY_POINT_GROUP = "rgbench.networks"
"""Packages register networks here: a `NetworkCard` or a `NetworkFactory` under a name."""


FILES = ("published.toml", "field.toml")
"""Where the networks stand: those of the 2021 testbed, and the field's others."""
KEYS = (
    "title",
    "paper (citation, doi, arxiv)",
    "layers",
    "aliases",
    "notes",
    "base",
    "change",
    "factory",
    "variants",
)
"""The keys of a network's table."""


@dataclass(frozen=True)
class Paper:
    """Where a network was published; `doi` and `arxiv` are empty if there is none."""

    citation: str
    doi: str = ""
    arxiv: str = ""


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
        The layers, in the notation of `rgbench.networks.notation`; empty if a factory makes the network.
    aliases : tuple of str
        Other names, those of the 2021 testbed among them.
    notes : str
        Where it differs from its paper.
    base, change : str
        Of a variant: the network that it derives from, and how, in the words of `rgbench.networks.derive`.
    factory : str
        ``module:callable`` of a network that is more than the notation can say.
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


class NetworkFactory(Protocol):
    """A callable that makes a torch module which gives logits (n, n_classes)."""

    def __call__(self, *, image_size: ImageSize, n_classes: int, channels: int) -> Any:
        """Make the module for images of (n, channels, rows, columns)."""


@cache
def networks() -> Registry[NetworkCard | NetworkFactory]:
    """Give the registry of networks, read from the package's TOML files at the first call.

    Examples
    --------
    >>> networks().canonical("convXpress")
    'convxpress'
    """
    registry: Registry[NetworkCard | NetworkFactory] = Registry("network", ENTRY_POINT_GROUP)
    for file in FILES:
        for card in read_cards(files("rgbench.networks").joinpath(file).read_text("utf-8")):
            registry.register(card.name, card, card.aliases)
    return registry


def read_cards(text: str) -> list[NetworkCard]:
    """Read network cards from TOML text.

    One table is one network: ``title``, ``paper`` (``citation``, ``doi``, ``arxiv``), ``layers``, ``aliases``,
    ``notes``. A derived network has ``base`` (a table above it) and ``change`` in place of ``layers``, and takes
    its base's paper if it names none. The table ``variants`` of a network holds short ones: the variant
    ``relu`` of ``convnet-4`` is called ``convnet-4-relu``. Variants stand last in the list.

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
        if "base" in content:
            base = known[content["base"]]
            content["layers"] = to_text(derive(parse_layers(base.layers), content["change"]))
            content.setdefault("paper", asdict(base.paper))
        content.setdefault("layers", "" if "factory" in content else None)
        if content["layers"] is None:
            raise KeyError("layers")
        paper = Paper(**content.pop("paper"))
        return NetworkCard(name=name, paper=paper, aliases=tuple(content.pop("aliases", ())), **content)
    except (KeyError, TypeError) as error:
        raise SpecError(f"network {name!r}: {error}; the keys are {', '.join(KEYS)}") from error
    except SpecError as error:
        raise SpecError(f"network {name!r}: {error}") from error


def network_names() -> list[str]:
    """List every registered canonical name; aliases resolve too but are not listed."""
    return networks().names()


def canonical_name(name: str) -> str:
    """Give the canonical name of a name or alias; ``module:callable`` and ``timm:NAME`` stay as they are.

    Examples
    --------
    >>> canonical_name("vgg16_d_real"), canonical_name("timm:resnet18")
    ('vgg16-d', 'timm:resnet18')
    """
    return name if ":" in name else networks().canonical(name)


def describe_network(
    name: str, image_size: ImageSize = 300, n_classes: int = 4, channels: int = 1, layers: str = ""
) -> dict[str, Any]:
    """Describe a network at one image size.

    Networks of the catalogue are not built for it. Of a network whose layers are not known, a shadow
    without weights is built and run once; what only layers would tell is ``None``.

    Parameters
    ----------
    name : str
        A name of the catalogue, an alias, ``module:callable`` or ``timm:NAME``.
    image_size : int or (int, int)
        Side of the square images, or (rows, columns), in pixels.
    n_classes, channels : int
        Length of the output, channels of the images.
    layers : str
        Layers of a network that is not registered, in the notation; `name` is then any name.

    Returns
    -------
    dict
        ``name``, ``title``, ``paper`` (``citation``, ``doi``, ``arxiv``), ``aliases``, ``notes``,
        ``base``, ``change`` and ``factory`` (see `NetworkCard`), ``activation`` (of the output), ``layers`` (the
        line of text), ``layer_table`` (one dict per layer), and the attributes of
        `rgbench.networks.analysis.Analysis`: ``parameters``, ``macs``,
        ``flops_2021``, ``receptive_field``, ``stride``, ``coverage``, ``flatten_size`` ...

    Raises
    ------
    SpecError
        If the name is unknown, or the network cannot be built at this image size.

    Examples
    --------
    >>> facts = describe_network("convXpress", image_size=300)
    >>> facts["parameters"], facts["receptive_field"], facts["stride"]
    (4567944, 333, 64)
    """
    card = _find(name, layers)
    if not isinstance(card, NetworkCard) or card.factory:
        return _describe_foreign(name, card, image_size, n_classes, channels)
    parsed = parse_layers(card.layers)
    facts = analyse(parsed, image_size, n_classes, channels).as_dict()
    check_outputs(facts["layers"][-1]["output_shape"], str(parsed[-1]), n_classes)
    last = parsed[-1]
    activation = last.function if isinstance(last, Activation) else ""
    described = asdict(card)
    described["activation"] = last.activation if isinstance(last, Dense) else activation
    described["layer_table"] = list(facts.pop("layers"))
    return {**described, **facts}


def _find(name: str, layers: str) -> NetworkCard | NetworkFactory | None:
    """Give a network's card: made up of its layers, or registered; none for one behind a door."""
    if layers:
        return NetworkCard(name, name, Paper(""), layers)
    return None if ":" in name else networks().get(name)


def _describe_foreign(
    name: str, item: Any, image_size: ImageSize, n_classes: int, channels: int
) -> dict[str, Any]:
    """Describe a network whose layers are not known; only this loads torch. No weight is made."""
    builder = import_module("rgbench.networks.build")
    adapters = import_module("rgbench.networks.adapters")
    model = builder.build_network(name, image_size, n_classes, channels, seed=0, device="meta")
    card = item if isinstance(item, NetworkCard) else NetworkCard(model.name, model.name, Paper(""), "")
    keys = {field.name for field in fields(Analysis)} - {"layers"}
    return {
        **dict.fromkeys(sorted(keys)),
        **asdict(card),
        "activation": model.activation_name,
        "image_size": image_shape(image_size)[:2],
        "n_classes": n_classes,
        "channels": channels,
        **adapters.count_foreign(model),
    }
