"""Names of the files of a board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rgbench.board.standing import Standing
from rgbench.report.blocks import file_name


@dataclass(frozen=True)
class Names:
    """Names of the pages' files, each its own.

    Attributes
    ----------
    tasks, networks, bundles : mapping of str to str
        By name of the task, name of the network, and SHA-256 of the bundle.
    """

    tasks: Mapping[str, str]
    networks: Mapping[str, str]
    bundles: Mapping[str, str]

    @classmethod
    def of(cls, standings: Sequence[Standing]) -> Names:
        """Name the pages and downloads of a board."""
        places = [place for standing in standings for place in standing.places]
        stems = {place.entry.bundle.sha256: place.entry.bundle.path.stem for place in places}
        return cls(
            _different({standing.task.name: standing.task.name for standing in standings}, "task-{}.html"),
            _different({place.entry.network: place.entry.network for place in places}, "network-{}.html"),
            _different(stems, "bundles/{}.zip"),
        )


def _different(words_of: Mapping[str, str], pattern: str) -> dict[str, str]:
    """Make names of files, a number behind those that would be the same."""
    names: dict[str, str] = {}
    for key, said in words_of.items():
        stem, n = file_name(said), 1
        name = pattern.format(stem)
        while name in names.values():
            n += 1
            name = pattern.format(f"{stem}-{n}")
        names[key] = name
    return names
