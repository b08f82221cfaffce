"""Cutouts of sources that are fetched once, and kept in the cache of downloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rgbench.data.public.fetch import cache_folder
from rgbench.data.surveys.cutouts import Progress, keep_cutouts
from rgbench.data.surveys.surveys import SERVICES, BuildSpec, FetchError
from rgbench.data.surveys.targets import Targets
from rgbench.errors import DataError
from rgbench.escapes import for_file_name
from rgbench.numbers import counted

NAMED = 5
"""Sources whose reasons are named where none could be classified."""


@dataclass(frozen=True)
class Cutouts:
    """Cutouts of sources; entry i of every list is source i.

    Attributes
    ----------
    targets : Targets
        Names and positions.
    spec : BuildSpec
        What was asked of which survey.
    paths : tuple of Path
        File of each cutout: where it is, or would be.
    reasons : tuple of str
        Why there is none, "" where there is one.
    """

    targets: Targets
    spec: BuildSpec
    paths: tuple[Path, ...]
    reasons: tuple[str, ...]

    @property
    def found(self) -> list[Path]:
        """The files that are there, each once."""
        there = (path for path, reason in zip(self.paths, self.reasons, strict=True) if not reason)
        return list(dict.fromkeys(there))

    def check_any(self, reasons: Sequence[str]) -> None:
        """Raise `DataError` if there is a reason for each source why it has no class: of one in one line.

        Parameters
        ----------
        reasons : sequence of str, n
            "" for none.
        """
        if not all(reasons):
            return
        lines = [f"{name}: {reason}" for name, reason in zip(self.targets.names, reasons, strict=True)]
        if len(lines) == 1:
            raise DataError(lines[0])
        more = [f"and {counted(len(lines) - NAMED, 'more source')}"] if len(lines) > NAMED else []
        head = f"none of {counted(len(lines), 'source')} could be classified"
        raise DataError("\n".join((head, *lines[:NAMED], *more)))


def fetch_positions(
    targets: Targets, spec: BuildSpec, progress: Progress = lambda done, failed, total: None
) -> Cutouts:
    """Fetch the cutouts of sources that are not in the cache.

    Raises
    ------
    DataError
        If some must be fetched, and the service cannot be reached.
    """
    # One file for each place, however often and under whatever name it is asked for.
    keys = [f"{ra % 360:.7f}{dec:+.7f}" for ra, dec in zip(targets.ra, targets.dec, strict=True)]
    place = {key: (float(ra), float(dec)) for key, ra, dec in zip(keys, targets.ra, targets.dec, strict=True)}
    folder = _folder(spec)
    try:
        ra, dec = zip(*place.values(), strict=True)
        reasons = keep_cutouts(list(place), ra, dec, folder, spec, progress)
    except FetchError as error:
        raise DataError(
            f"{SERVICES[spec.card.service].title} cannot be asked for cutouts: {error}; without a network, rgbench "
            "predict FOLDER classifies FITS images that are at hand"
        ) from None
    paths = tuple(folder / f"{key}.fits" for key in keys)
    return Cutouts(targets, spec, paths, tuple(reasons.get(key, "") for key in keys))


def _folder(spec: BuildSpec) -> Path:
    """Give the folder of the cache for cutouts of one kind."""
    kind = f"{spec.card.name} {spec.size:g} {spec.scale:g} {spec.hips}".strip()
    return cache_folder() / "cutouts" / for_file_name(kind)
