"""Run a survey of a million rows to its end: how fast it goes on, and how much memory it holds, over time.

    python -m benchmarks.survey_million --folder /scratch --engine onnx --out million.json --figure million.png

Twenty mosaics of 16,000 pixels a side are simulated (20 GB), with 50,000 sources each: 780 on a square degree, as in
LoTSS. Memory is what all processes hold for themselves; pages of the mosaics' files, which the system may drop at any
time, are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table
from matplotlib.figure import Figure

from rgbench.runs.classifier import load_classifier
from rgbench.simulate import MosaicSpec, write_mosaic
from rgbench.survey.survey import SurveyChoice, plan_survey, usable_cores

MOSAICS, SOURCES, SIDE = 20, 50_000, 16_000
EVERY = 2.0
"""Seconds between two looks at the memory."""


def make_sky(folder: Path, mosaics: int, sources: int, side: int) -> Path:
    """Simulate mosaics next to each other, and write one catalogue of all; what is there already stays."""
    parts = []
    for number in range(mosaics):
        own = folder / f"field-{number:02d}"
        if not (own / "sources.fits").exists():
            middle = (120.0 + 9 * (number % 10), 30.0 + 9 * (number // 10))
            write_mosaic(MosaicSpec(sources, side, seed=number, centre=middle), own)
        parts.append(Table.read(own / "sources.fits"))
    catalogue = folder / "sources.parquet"
    schema = pa.schema([("RA", pa.float64()), ("DEC", pa.float64()), ("truth", pa.string())])
    with pq.ParquetWriter(catalogue, schema) as file:
        for part in parts:
            words = [
                part[name].astype(str).tolist() if name == "truth" else part[name].tolist()
                for name in schema.names
            ]
            file.write_table(pa.table(words, schema=schema))
    return catalogue


def memory_of(processes: Sequence[int]) -> int:
    """Give the kilobytes that processes hold for themselves, without pages of files."""
    total = 0
    for number in processes:
        try:
            lines = Path(f"/proc/{number}/status").read_text(encoding="utf8").splitlines()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem")))
    return total


def family(first: int) -> list[int]:
    """Give a process and all that it started, by their numbers."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(
                path.read_text(encoding="utf8").rpartition(")")[2].split()[1]
            )
        except OSError:
            continue
    found = [first]
    for number in found:
        found += [child for child, parent in parents.items() if parent == number]
    return found


class Watch:
    """Notes the rows that are done and the memory that is held, every so often, until it is told to end."""

    def __init__(self, process: int) -> None:
        self.notes: list[dict[str, float]] = []
        self.rows = 0
        self._process, self._began, self._end = process, time.perf_counter(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(EVERY):
            seconds = time.perf_counter() - self._began
            memory = memory_of(family(self._process)) / 1024**2
            self.notes.append(
                {"seconds": round(seconds, 1), "rows": self.rows, "gigabytes": round(memory, 3)}
            )

    def end(self) -> None:
        """Stop noting."""
        self._end.set()
        self._thread.join()


def draw(notes: Sequence[dict[str, float]], path: Path) -> None:
    """Draw rows a second and memory over time."""
    minutes = [each["seconds"] / 60 for each in notes]
    figure = Figure(figsize=(7, 4), layout="constrained")
    rate, memory = figure.subplots(2, 1, sharex=True)
    step = max(1, round(60 / EVERY))
    pairs = [(notes[at], notes[at + step]) for at in range(0, len(notes) - step, step // 2)]
    rate.plot(
        [(one["seconds"] + other["seconds"]) / 120 for one, other in pairs],
        [(other["rows"] - one["rows"]) / (other["seconds"] - one["seconds"]) for one, other in pairs],
    )
    rate.set(ylabel="rows / s", ylim=(0, None))
    memory.plot(minutes, [each["gigabytes"] for each in notes], color="C1")
    memory.set(xlabel="minutes", ylabel="memory, GiB", ylim=(0, None))
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="for the mosaics, which stay, and the result"
    )
    parser.add_argument("--mosaics", type=int, default=MOSAICS)
    parser.add_argument("--sources", type=int, default=SOURCES, help="of each mosaic")
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--only-sky", action="store_true", help="simulate the mosaics, and no more")
    parser.add_argument("--out", type=Path, help="JSON file for what was noted")
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    catalogue = make_sky(asked.folder, asked.mosaics, asked.sources, asked.side)
    if asked.only_sky:
        return
    result = measure(asked.folder, catalogue, asked.engine, asked.views)
    print(json.dumps({key: value for key, value in result.items() if key != "notes"}, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(result) + "\n", encoding="utf8")
    if asked.figure:
        draw(result["notes"], asked.figure)


def measure(folder: Path, catalogue: Path, engine: str, views: int) -> dict[str, Any]:
    """Run the survey, and give what was noted."""
    watch, times = Watch(os.getpid()), {}
    began = time.perf_counter()
    classifier = load_classifier().with_engine(engine)
    mosaics = sorted(folder.glob("field-*/mosaic.fits"))
    survey = plan_survey(
        catalogue, mosaics, folder / f"out-{engine}-{views}", classifier, SurveyChoice(views=views)
    )
    times["plan_s"] = time.perf_counter() - began

    def told(shard: int) -> None:
        watch.rows += survey.plan.size_of(shard)

    lost = survey.run(told=told)
    times["classify_s"] = time.perf_counter() - began - times["plan_s"]
    survey.write()
    times["write_s"] = time.perf_counter() - began - times["plan_s"] - times["classify_s"]
    watch.end()
    return {
        "rows": len(survey.catalogue), "engine": engine, "views": views,
        "cores": usable_cores(), "machine": platform.machine(),
        "lost_shards": len(lost), "classes": survey.counts().classes,
        "peak_gigabytes": max(each["gigabytes"] for each in watch.notes),
        **{key: round(value, 1) for key, value in times.items()},
        "rows_per_s": round(len(survey.catalogue) / times["classify_s"], 1),
        "notes": watch.notes,
    }  # fmt: skip


if __name__ == "__main__":
    main()
