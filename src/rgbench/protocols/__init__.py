"""Protocols: how images are prepared, augmented and trained on, as TOML; those of the package lie in this folder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from rgbench.errors import SpecError
from rgbench.protocols.choices import Choice, read_choices
from rgbench.registry import Registry
from rgbench.toml import read_toml

PROTOCOL_TABLES = ("images", "augmentation", "recipe")
"""The tables that every protocol has, its own or those of the protocol that it extends."""
PROTOCOL_KEYS = ("title", "extends", *PROTOCOL_TABLES, "networks", "choices")
"""All that may stand in a protocol."""


@cache
def protocols() -> Registry[Mapping[str, Any]]:
    """Give the registry of protocols: those of the package, one TOML file each, and those of other packages.

    Others join it by entry points ``rgbench.protocols`` or `rgbench.register`, as a dictionary of the tables
    `PROTOCOL_KEYS` or the path of a TOML file with them.

    Examples
    --------
    >>> protocols().names()[:3]
    ['becker2021', 'modern', 'rg-benchmarker-2021-11']
    """
    registry = Registry("protocol", "rgbench.protocols", _protocol)
    folder = resources.files("rgbench.protocols")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            registry.register(file.name.removesuffix(".toml"), file)
    return registry


def _protocol(name: str, item: Any) -> Mapping[str, Any]:
    """Make a protocol of what was registered; `SpecError` says what is legal."""
    if isinstance(item, str | Path):
        item = Path(item)
    if isinstance(item, Traversable):
        try:
            item = read_toml(item)
        except SpecError as error:
            raise SpecError(f"protocol {name!r}: {error}") from error
    if not isinstance(item, Mapping):
        raise SpecError(
            f"protocol {name!r} is a {type(item).__name__}; a dictionary of tables or the path of a TOML file is legal"
        )
    for key in item:
        if key not in PROTOCOL_KEYS:
            raise SpecError(
                f"protocol {name!r}: unknown key {key!r}; the keys are {', '.join(PROTOCOL_KEYS)}"
            )
    own = item.get("networks", {})
    tables = {key: item[key] for key in (*PROTOCOL_TABLES, "networks") if key in item}
    if isinstance(own, Mapping):
        tables |= {f"networks.{network}": table for network, table in own.items()}
    for key, table in tables.items():
        if not isinstance(table, Mapping):
            raise SpecError(f"protocol {name!r}: {key} is {table!r}; a table is legal")
    if not isinstance(item.get("extends", ""), str):
        raise SpecError(f"protocol {name!r}: extends is {item['extends']!r}; the name of a protocol is legal")
    read_choices(item.get("choices", []), f"protocol {name!r}")
    return item


def read_protocol(name: str) -> dict[str, Any]:
    """Give a protocol's tables: images, augmentation, recipe, networks (overrides per network).

    Raises
    ------
    SpecError
        If there is no such protocol, a table is missing, or protocols extend each other in a circle.
    """
    content: dict[str, Any] = {}
    for link in _chain(name):
        content = {**protocols().get(link), **content}
    for table in PROTOCOL_TABLES:
        if table not in content:
            raise SpecError(f"protocol {name!r}: the table [{table}] is missing")
    return {key: value for key, value in content.items() if key not in ("extends", "choices")}


def protocol_choices(name: str) -> list[tuple[str, Choice]]:
    """Give what was chosen for a protocol, each with the protocol that says so: itself, or one that it extends.

    Examples
    --------
    >>> sorted({owner for owner, _ in protocol_choices("rg-benchmarker-2021-11")})
    ['becker2021', 'rg-benchmarker-2021-11']
    """
    return [
        (link, choice)
        for link in _chain(name)
        for choice in read_choices(protocols().get(link).get("choices", []), f"protocol {link!r}")
    ]


def ships(name: str) -> bool:
    """Tell whether a protocol is one of this package.

    Examples
    --------
    >>> ships("modern"), ships("mine")
    (True, False)
    """
    return (resources.files("rgbench.protocols") / f"{name}.toml").is_file()


def _chain(name: str) -> list[str]:
    """Give a protocol and those that it extends, itself first."""
    chain = [name]
    while (base := protocols().get(chain[-1]).get("extends")) is not None:
        if base in chain:
            raise SpecError(f"protocol {name!r}: extends itself ({' extends '.join([*chain, base])})")
        chain.append(base)
    return chain
