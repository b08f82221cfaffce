"""The counts of a campaign, and the file that keeps them."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.campaign.trials import Verdict


@dataclass
class Ledger:
    """Counts by kind, and of each fault its number, one example and where it was first met.

    Parameters
    ----------
    keep : Path, optional
        Folder for inputs that failed, and the details of all faults.
    """

    keep: Path | None = None
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    faults: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, kind: str, verdict: Verdict, where: str) -> bool:
        """Count a verdict; tell whether it is a fault not met before."""
        self.counts[kind]["held" if verdict.held else "failed"] += 1
        if verdict.held:
            self.counts[kind][verdict.signature] += 1
            return False
        key = f"{kind}: {verdict.signature}"
        fault = self.faults.setdefault(key, {"times": 0, "first": where, "detail": verdict.detail})
        fault["times"] += 1
        if fault["times"] == 1:
            self._note_details()
            print(f"FAILED {key} ({where})", flush=True)
        return bool(fault["times"] == 1)

    def place(self, trial: str, number: int, name: str) -> Path:
        """Give where a failing input is kept; the file keeps its name, which tells its kind."""
        assert self.keep is not None
        folder = self.keep / f"{trial}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def write(self, path: Path, about: dict[str, Any]) -> None:
        """Write counts, faults and what they were met on to a JSON file."""
        content = {
            **about,
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in ("rgbench", "astropy", "numpy", "torch")},
            "counts": {kind: dict(sorted(found.items())) for kind, found in sorted(self.counts.items())},
            "faults": {
                name: {"times": fault["times"], "first": fault["first"]}
                for name, fault in sorted(self.faults.items())
            },
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")

    def _note_details(self) -> None:
        """Write the details of all faults so far, tracebacks with their paths, beside the inputs that failed."""
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            (self.keep / "faults.json").write_text(json.dumps(self.faults, indent=1) + "\n", encoding="utf8")
