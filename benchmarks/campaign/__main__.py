"""Run a campaign: ``python -m benchmarks.campaign --minutes 60 --seed 1``; or try one file again: ``--again``."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.campaign.inputs import try_inputs
from benchmarks.campaign.ledger import Ledger
from benchmarks.campaign.specimens import make_ground
from benchmarks.campaign.trials import TRIALS
from benchmarks.campaign.worker import Keeper

INPUTS, KILLS = 2000, 100


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        ground = (options.ground or Path(folder) / "ground").resolve()
        make_ground(ground)
        if options.again:
            return _again(ground, *options.again)
        ledger, started = Ledger(options.keep), time.monotonic()
        _all(options, ground, ledger, started + 60 * options.minutes)
    about = {"minutes": round((time.monotonic() - started) / 60, 1), "seed": options.seed}
    if options.out is not None:
        ledger.write(options.out, about)
    for kind, found in sorted(ledger.counts.items()):
        print(f"{kind:32} {found['held']:5} held {found['failed']:5} failed")
    for fault, facts in sorted(ledger.faults.items()):
        print(f"FAILED {fault} ({facts['times']} times; first {facts['first']})")
    return 1 if ledger.faults else 0


def _all(options: argparse.Namespace, ground: Path, ledger: Ledger, end: float) -> None:
    now = time.monotonic()
    if "inputs" in options.parts:
        share = now + (end - now) * (0.4 if len(options.parts) > 1 else 1.0)
        try_inputs(ground, options.seed, INPUTS, share, ledger)


def _again(ground: Path, trial: str, file: str) -> int:
    keeper = Keeper(ground)
    try:
        verdict = keeper.try_file(trial, Path(file).resolve())
    finally:
        keeper.stop()
    print("held" if verdict.held else "FAILED", verdict.signature, verdict.detail, sep="\n")
    return 0 if verdict.held else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file for the counts")
    parser.add_argument("--keep", type=Path, help="folder for inputs that failed")
    parser.add_argument("--ground", type=Path, help="folder of the sound files; made, and used again")
    parser.add_argument("--parts", nargs="+", default=["inputs"], choices=["inputs"])
    parser.add_argument(
        "--again", nargs=2, metavar=("TRIAL", "FILE"), help=f"try a file; {', '.join(TRIALS)}"
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
