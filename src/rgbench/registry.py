"""One registry for everything that has a name: networks, data sets, metrics."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from rgbench.errors import SpecError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names, their aliases, and what they stand for.

    Parameters
    ----------
    kind : str
        What is registered, in the singular, for messages: "network", "data set".
    entry_point_group : str, optional
        Group of Python entry points whose objects are registered on the first look-up.

    Examples
    --------
    >>> shapes = Registry("shape")
    >>> shapes.register("circle", 1, aliases=["disc"])
    >>> shapes.get("disc")
    1
    """

    def __init__(self, kind: str, entry_point_group: str | None = None) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}
        self._aliases: dict[str, str] = {}
        self._pending_group = entry_point_group

    def register(self, name: str, item: T, aliases: Iterable[str] = ()) -> None:
        """Add an item under a name and its aliases; a name that is taken raises `SpecError`."""
        for key in (name, *aliases):
            if key in self._items or key in self._aliases:
                raise SpecError(f"{self.kind} {key!r} is registered twice")
        self._items[name] = item
        self._aliases.update(dict.fromkeys(aliases, name))

    def canonical(self, name: str) -> str:
        """Give the canonical name of a name or alias; raise `SpecError` with close matches."""
        self._load_entry_points()
        if name in self._items:
            return name
        if name in self._aliases:
            return self._aliases[name]
        raise SpecError(self._unknown(name))

    def get(self, name: str) -> T:
        """Give the item of a name or alias; raise `SpecError` with close matches."""
        return self._items[self.canonical(name)]

    def aliases(self, name: str) -> list[str]:
        """List the aliases of a canonical name."""
        return [alias for alias, target in self._aliases.items() if target == name]

    def names(self) -> list[str]:
        """List the canonical names in the order of registration."""
        self._load_entry_points()
        return list(self._items)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        self._load_entry_points()
        return iter(list(self._items.items()))

    def __contains__(self, name: str) -> bool:
        self._load_entry_points()
        return name in self._items or name in self._aliases

    def _unknown(self, name: str) -> str:
        known = [*self._items, *self._aliases]
        by_folded = {key.lower(): key for key in known}
        matches = difflib.get_close_matches(name.lower(), by_folded, n=3, cutoff=0.5)
        if matches:
            hint = f"did you mean {' or '.join(by_folded[match] for match in matches)}?"
        else:
            hint = f"the names are {', '.join(self._items)}"
        return f"unknown {self.kind} {name!r}; {hint}"

    def _load_entry_points(self) -> None:
        if self._pending_group is None:
            return
        group, self._pending_group = self._pending_group, None
        for point in entry_points(group=group):
            self.register(point.name, point.load())
