"""One registry for everything that has a name: networks, data sets, metrics."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
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
        self._points: dict[str, EntryPoint] = {}
        self._broken: dict[str, str] = {}

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
        if name in self._items or name in self._points or name in self._broken:
            return name
        if name in self._aliases:
            return self._aliases[name]
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
        """List the canonical names in the order of registration; those of other packages last."""
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
        return name in self._items or name in self._aliases or name in self._points

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
        """Learn the names that other packages bring; nothing is imported yet."""
        if self._pending_group is None:
            return
        group, self._pending_group = self._pending_group, None
        for point in entry_points(group=group):
            package = point.dist.name if point.dist else "an unknown package"
            if point.name in self._items or point.name in self._aliases or point.name in self._points:
                raise SpecError(
                    f"{self.kind} {point.name!r} of {package} has a name that is taken: uninstall or rename it"
                )
            self._points[point.name] = point

    def _load(self, name: str) -> None:
        """Import an item of another package; whatever goes wrong there is kept as the reason."""
        point = self._points.pop(name)
        try:
            # A module that registers the item by itself, when it is imported, has the say.
            self._items.setdefault(name, point.load())
        except Exception as error:
            package = point.dist.name if point.dist else "an unknown package"
            self._broken[name] = (
                f"of {package} ({point.value}) cannot be imported: {type(error).__name__}: {error}"
            )
