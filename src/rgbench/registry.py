"""One registry for everything that has a name: networks, data sets, presets, metrics and more."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from rgbench.errors import SpecError

T = TypeVar("T")

FEW = 20
"""An error lists all legal names if there are not more than these."""


class Registry(Generic[T]):
    """Names, their aliases, and what they stand for.

    Items of other packages are known by the names of their entry points; their code is imported when
    the item is asked for, and not before.

    Parameters
    ----------
    kind : str
        What is registered, in the singular, for messages: "network", "data set".
    entry_point_group : str, optional
        Group of Python entry points whose objects join the registry.
    adapt : callable, optional
        Called with the name and the object that somebody registers; gives the item, or raises `SpecError` which
        says what would be legal. Left out, every object is an item.

    Examples
    --------
    >>> shapes = Registry("shape")
    >>> shapes.register("circle", 1, aliases=["disc"])
    >>> shapes.get("disc")
    1
    >>> shapes.get("circel")
    Traceback (most recent call last):
    rgbench.errors.SpecError: unknown shape 'circel'; did you mean circle? The shapes are circle
    """

    def __init__(
        self,
        kind: str,
        entry_point_group: str | None = None,
        adapt: Callable[[str, Any], T] | None = None,
    ) -> None:
        self.kind = kind
        self._adapt = adapt
        self._items: dict[str, T] = {}
        self._aliases: dict[str, str] = {}
        self._pending_group = entry_point_group
        self._points: dict[str, EntryPoint] = {}
        self._broken: dict[str, str] = {}

    def register(self, name: str, item: Any, aliases: Iterable[str] = ()) -> None:
        """Add an item under a name and its aliases; a name that is taken raises `SpecError`.

        It makes no difference whether this is done before or after the first look-up.
        """
        aliases = tuple(aliases)
        point = self._points.get(name)
        if point is not None and _home(item) == point.module:
            del self._points[name]  # its module registers it itself, before anybody asked for it
        for key in (name, *aliases):
            if self._is_taken(key):
                raise SpecError(f"{self.kind} {key!r} is registered twice")
        self._items[name] = self._item(name, item)
        self._aliases.update(dict.fromkeys(aliases, name))

    def canonical(self, name: str) -> str:
        """Give the canonical name of a name or alias; raise `SpecError` with close matches."""
        self._load_entry_points()
        if name in self._aliases:
            return self._aliases[name]
        if self._is_taken(name):
            return name
        raise SpecError(self._unknown(name))

    def get(self, name: str) -> T:
        """Give the item of a name or alias; raise `SpecError` with close matches.

        An item of another package is imported now; if that fails, the error names the package.
        """
        canonical = self.canonical(name)
        if canonical in self._points:
            self._load(canonical)
        if canonical in self._broken:
            raise SpecError(f"{self.kind} {canonical!r} {self._broken[canonical]}")
        return self._items[canonical]

    def broken(self) -> dict[str, str]:
        """Tell which items of other packages could not be imported so far, and why."""
        return dict(self._broken)

    def aliases(self, name: str) -> list[str]:
        """List the aliases of a canonical name."""
        return [alias for alias, target in self._aliases.items() if target == name]

    def names(self) -> list[str]:
        """List the canonical names in the order of registration; those of other packages last.

        No code of another package is imported for it.
        """
        self._load_entry_points()
        return [*self._items, *self._points, *self._broken]

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """Go through names and items; what cannot be imported is left out, see `broken`."""
        self._load_entry_points()
        for name in list(self._points):
            self._load(name)
        return iter(list(self._items.items()))

    def __contains__(self, name: str) -> bool:
        self._load_entry_points()
        return self._is_taken(name)

    def _is_taken(self, name: str) -> bool:
        return any(name in known for known in (self._items, self._aliases, self._points, self._broken))

    def _item(self, name: str, item: Any) -> T:
        return item if self._adapt is None else self._adapt(name, item)

    def _unknown(self, name: str) -> str:
        names = [*self._items, *self._points, *self._broken]
        by_folded = {key.lower(): key for key in [*names, *self._aliases]}
        matches = difflib.get_close_matches(name.lower(), by_folded, n=3, cutoff=0.5)
        hints = []
        if matches:
            hints.append(f"did you mean {' or '.join(by_folded[match] for match in matches)}?")
        if len(names) <= FEW or not matches:
            hints.append(f"{'The' if hints else 'the'} {self.kind}s are {', '.join(names)}")
        return f"unknown {self.kind} {name!r}; {' '.join(hints)}"

    def _load_entry_points(self) -> None:
        """Learn the names that other packages bring; nothing is imported yet."""
        if self._pending_group is None:
            return
        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=self._pending_group):
            if _home(self._items.get(point.name)) == point.module:
                continue  # imported already, and registered by its own module
            if self._is_taken(point.name) or point.name in found:
                raise SpecError(
                    f"{self.kind} {point.name!r} of {_package(point)} has a name that is taken: "
                    "uninstall or rename it"
                )
            found[point.name] = point
        self._points.update(found)
        self._pending_group = None

    def _load(self, name: str) -> None:
        """Import an item of another package; whatever goes wrong there is kept as the reason."""
        point = self._points.pop(name)
        where = f"of {_package(point)} ({point.value})"
        try:
            item = point.load()
        except Exception as error:
            self._broken[name] = f"{where} cannot be imported: {type(error).__name__}: {error}"
            return
        if name in self._items:
            return  # its module registered it itself
        try:
            self._items[name] = self._item(name, item)
        except SpecError as error:
            self._broken[name] = f"{where} cannot be used: {error}"


def _home(item: object) -> str | None:
    """Name the module in which an item was made; None if it does not tell."""
    return getattr(getattr(item, "function", item), "__module__", None)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown package"
