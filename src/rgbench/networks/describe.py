"""A network described at one image size: parameters, operations, what it sees."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, cast

from rgbench.networks.cards import NetworkCard, NetworkFactory
from rgbench.networks.catalogue import networks
from rgbench.networks.facts import NetworkFacts
from rgbench.networks.notation.analysis import Analysis, ImageSize, analyse, check_outputs, image_shape
from rgbench.networks.notation.layers import Activation, Dense
from rgbench.networks.notation.notation import parse_layers
from rgbench.references import Paper


def describe_network(
    name: str, image_size: ImageSize = 300, n_classes: int = 4, channels: int = 1, layers: str = ""
) -> NetworkFacts:
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
    NetworkFacts
        A dict with ``name``, ``title``, ``paper`` (``citation``, ``doi``, ``arxiv``), ``aliases``, ``notes``,
        ``base``, ``change``, ``factory`` and ``choices`` (see `NetworkCard`), ``activation`` (of the output),
        ``layers`` (the line of text), ``layer_table`` (one dict per layer), and the attributes of
        `rgbench.networks.notation.analysis.Analysis`: ``parameters``, ``macs``,
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
    return cast(NetworkFacts, {**described, **facts})


def _find(name: str, layers: str) -> NetworkCard | NetworkFactory | None:
    """Give a network's card: made up of its layers, or registered; none for one behind a door."""
    if layers:
        return NetworkCard(name, name, Paper(""), layers)
    return None if ":" in name else networks().get(name)


def _describe_foreign(
    name: str, item: Any, image_size: ImageSize, n_classes: int, channels: int
) -> NetworkFacts:
    """Describe a network whose layers are not known; only this loads torch. No weight is made."""
    from rgbench.networks.modules import build, foreign

    model = build.build_network(name, image_size, n_classes, channels, seed=0, device="meta")
    card = item if isinstance(item, NetworkCard) else NetworkCard(model.name, model.name, Paper(""), "")
    keys = {field.name for field in fields(Analysis)} - {"layers"}
    described = {
        **dict.fromkeys(sorted(keys)),
        **asdict(card),
        "activation": model.activation_name,
        "image_size": image_shape(image_size)[:2],
        "n_classes": n_classes,
        "channels": channels,
        **foreign.count_foreign(model),
    }
    return cast(NetworkFacts, described)
