"""Run a campaign: ``python -m benchmarks.campaign --minutes 60 --seed 1``; or try one file again: ``--again``."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.campaign.inputs import try_inputs
from benchmarks.campaign.kills import COMMANDS, try_kills
from benchmarks.campaign.ledger import Ledger
from benchmarks.campaign.servers import try_servers
from benchmarks.campaign.specimens import make_ground
from benchmarks.campaign.stores import try_stores
from benchmarks.campaign.trials import TRIALS
from benchmarks.campaign.worker import Keeper

INPUTS, KILLS, STORES, SERVERS = 2000, 100, 25, 100
SHARES = {"servers": 0.05, "stores": 0.1, "kills": 0.4, "inputs": 0.45}
"""What is tried, in this order, and its share of the time."""


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        ground = (options.ground or Path(folder) / "ground").resolve()
        make_ground(ground)
        if options.again:
            return _again(ground, *options.again)
        ledger, started = Ledger(options.keep), time.monotonic()
        _all(options, ground, Path(folder), ledger)
    about = {"minutes": round((time.monotonic() - started) / 60, 1), "seed": options.seed}
    if options.out is not None:
        ledger.write(options.out, about)
    for kind, found in sorted(ledger.counts.items()):
        print(f"{kind:32} {found['held']:5} held {found['failed']:5} failed")
    for fault, facts in sorted(ledger.faults.items()):
        print(f"FAILED {fault} ({facts['times']} times; first {facts['first']})")
    return 1 if ledger.faults else 0


def _all(options: argparse.Namespace, ground: Path, scratch: Path, ledger: Ledger) -> None:
    """Give each part its share of the minutes; what one leaves is the next one's."""
    end = time.monotonic() + 60 * options.minutes
    parts = [name for name in SHARES if name in options.parts]
    for place, name in enumerate(parts):
        now, rest = time.monotonic(), sum(SHARES[each] for each in parts[place:])
        until = now + max(0.0, end - now) * SHARES[name] / rest
        if name == "inputs":
            try_inputs(ground, options.seed, INPUTS, until, ledger)
        elif name == "kills":
            try_kills(ground, scratch / "kills", options.seed, KILLS, until, ledger, options.command)
        elif name == "stores":
            try_stores(ground, scratch / "stores", options.seed, STORES, until, ledger)
        else:
            try_servers(options.seed, SERVERS, until, ledger)


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
    parser.add_argument("--parts", nargs="+", default=list(SHARES), choices=list(SHARES))
    parser.add_argument("--command", default="", choices=["", *COMMANDS], help="kill only this command")
    parser.add_argument(
        "--again", nargs=2, metavar=("TRIAL", "FILE"), help=f"try a file; {', '.join(TRIALS)}"
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
