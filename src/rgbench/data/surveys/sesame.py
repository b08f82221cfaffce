"""Positions of names by CDS Sesame, which asks Simbad, NED and VizieR; each name is asked once, and kept."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from rgbench.data.public.fetch import cache_folder
from rgbench.data.surveys.asking import Fetch, Pace, check_reach, fetch_url
from rgbench.data.surveys.surveys import FetchError
from rgbench.errors import DataError, shown
from rgbench.escapes import for_file_name, utf8

SERVER = "https://cds.unistra.fr/cgi-bin/nph-sesame"
"""Answers SERVER/SNV?NAME with lines of text, as astropy 7 asks it; that of the position in ICRS begins with %J."""
_POSITION = re.compile(r"^%J\s*(\d+\.?\d*)\s+([+-]?\d+\.?\d*)", re.MULTILINE | re.ASCII)
_TIMEOUT = 30.0


class Sesame:
    """Gives positions of names; use it as a function of a name.

    Parameters
    ----------
    folder : path, optional
        Where answers are kept; by default the folder ``names`` of the cache of downloads.
    fetch : callable
        Asks the service.
    """

    def __init__(self, folder: Path | None = None, fetch: Fetch = fetch_url) -> None:
        self.folder = folder or cache_folder() / "names"
        self._fetch, self._pace = fetch, Pace(1.0)

    def __call__(self, name: str) -> tuple[float, float]:
        """Give RA and Dec of a name in degrees, ICRS.

        Raises
        ------
        DataError
            If the service cannot be reached or knows no such name.
        """
        kept = self.folder / f"{for_file_name(utf8(name))}.txt"
        answer = self._kept(kept) or self._ask(name)
        found = _POSITION.search(answer)
        if found is None:
            raise DataError(
                f"{shown(name)}: CDS Sesame knows no such name; legal are names that Simbad, NED or VizieR know"
            )
        self._keep(kept, answer)
        return float(found[1]), float(found[2])

    def _ask(self, name: str) -> str:
        url = f"{SERVER}/SNV?{quote(utf8(name))}"
        try:
            check_reach(url)
            self._pace.wait()
            return self._fetch(url, _TIMEOUT).decode("utf8", "replace")
        except FetchError as error:
            raise DataError(
                f"{shown(name)}: CDS Sesame cannot be asked for its position: {error}; give the position itself, as "
                '"160.80 +24.59"'
            ) from None

    def _kept(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf8") if path.is_file() else ""
        except (OSError, ValueError):
            return ""

    def _keep(self, path: Path, answer: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.part")
            part.write_text(answer, encoding="utf8")
            part.replace(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error}") from error
