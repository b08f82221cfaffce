"""Time a survey from a mosaic to Parquet: sources a second with one view and eight, engine against engine, in turns.

    python -m benchmarks.survey_speed --sources 12000 --rounds 2 --out survey-speed.json

The mosaic is simulated (`rgbench simulate --mosaic`), with as many sources a square degree whatever their number. The
rate is that of all shards but the first of each process, so that it holds for long surveys: what processes take to
start and to load the classifier is told as the time until the first shards are done. Writing the result is timed apart.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rgbench.runs.classifier import load_classifier
from rgbench.simulate import MosaicSpec, write_mosaic
from rgbench.survey.survey import SurveyChoice, plan_survey, usable_cores

PIXELS_OF_A_SOURCE = 9_000
"""So that 444 sources lie on a square degree of pixels of 1.8 arcsec."""
WAYS = (("torch", 1), ("onnx", 1), ("openvino-bf16", 1), ("torch", 8), ("openvino-bf16", 8))


def measure(catalogue: Path, mosaic: Path, out: Path, engine: str, views: int) -> dict[str, float]:
    """Time one survey by as many processes as there are cores."""
    classifier = load_classifier().with_engine(engine)
    survey = plan_survey(catalogue, [mosaic], out, classifier, SurveyChoice(views=views))
    done: list[tuple[float, int]] = []
    cores, began = usable_cores(), time.perf_counter()
    lost = survey.run(
        cores, lambda shard: done.append((time.perf_counter() - began, survey.plan.size_of(shard)))
    )
    assert not lost
    assert len(done) > cores, "more sources are needed: each process must have two shards or more"
    classified = time.perf_counter()
    survey.write()
    first, last = done[cores - 1][0], done[-1][0]
    rate = sum(rows for _, rows in done[cores:]) / (last - first)
    return {"sources_per_s": rate, "first_shards_s": first, "write_s": time.perf_counter() - classified}


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sources", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--without-bfloat16", action="store_true", help="on a processor that has no instructions for it"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the times")
    asked = parser.parse_args()
    found: list[dict[str, Any]] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        side = max(600, math.ceil(math.sqrt(PIXELS_OF_A_SOURCE * asked.sources)))
        mosaic, catalogue = write_mosaic(MosaicSpec(asked.sources, side), folder)
        for turn in range(asked.rounds):
            for engine, views in WAYS:
                if engine == "openvino-bf16" and asked.without_bfloat16:
                    continue
                took = measure(catalogue, mosaic, folder / f"{turn}-{engine}-{views}", engine, views)
                found.append({"engine": engine, "views": views, **took})
                print(json.dumps(found[-1]), flush=True)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    facts = {"sources": asked.sources, "side": side, "cores": usable_cores(), "machine": platform.machine()}
    facts["largest_process_kB"] = memory
    asked.out.write_text(json.dumps({**facts, "times": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
