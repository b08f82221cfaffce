"""Commands killed at random moments and given again: in the end the same bits as if nothing had happened."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from benchmarks.campaign.jobs import Job
from benchmarks.campaign.ledger import Ledger
from benchmarks.campaign.states import differences, place_for, state_of
from benchmarks.campaign.trials import Verdict

SIGNALS = {
    signal.SIGINT: (0, 130),
    signal.SIGTERM: (0, 143, -signal.SIGTERM),
    signal.SIGKILL: (0, -signal.SIGKILL),
}
"""Signals, and the exit codes that each may lead to."""
LONG_AFTER = 30.0
"""Seconds after which no process that a killed command began may be there: one that loads torch ends after it."""


@dataclass(frozen=True)
class Undisturbed:
    """A command, the store that it begins with, its undisturbed seconds and what it leaves behind."""

    arguments: tuple[str, ...]
    store: str
    seconds: float
    state: dict[str, str]


_SMALL = ("--classifier", "small-1.safetensors")
COMMANDS = {
    "run": (("run", "long.toml", "--store", "store"), ""),
    "report": (("report", "--store", "store"), "store"),
    "stress": (("stress", "--store", "store"), "store"),
    "survey": (
        ("survey", "sky.csv", "--images", "mosaics", "--out", "survey", "--jobs", "2", *_SMALL),
        "",
    ),
    "predict": (
        ("predict", "sky", *_SMALL, "--out", "p.csv", "--overwrite"),
        "",
    ),
}


def undisturbed(ground: Path, folder: Path, name: str) -> Undisturbed:
    """Run a command to its end."""
    arguments, store = COMMANDS[name]
    place = place_for(ground, folder, store)
    end = Job(arguments, place).end()
    if end.code != 0:
        raise RuntimeError(f"rgbench {' '.join(arguments)} ended with {end.code}: {end.said[-500:]}")
    return Undisturbed(arguments, store, end.seconds, _left(place))


def _left(place: Path) -> dict[str, str]:
    found = state_of(place / "store") if (place / "store").exists() else {}
    table, survey = place / "p.csv", place / "survey"
    if table.exists():
        found["p.csv"] = table.read_text()
    for path in sorted(survey.rglob("*")):
        # Locks stay; what the merging is made from is of its process.
        if path.is_file() and path.suffix != ".lock" and path.name not in (".lock", "found.npy", "plan.json"):
            found[str(path.relative_to(place))] = sha256(path.read_bytes()).hexdigest()
    return found


def try_kills(
    ground: Path, scratch: Path, seed: int, count: int, end: float, ledger: Ledger, only: str = ""
) -> None:
    """Kill so many commands, or as many as there is time for, each with the next of three signals."""
    whole: dict[str, Undisturbed] = {}
    turns = (turn for turn in _turns() if only in ("", turn[0]))
    for number, (name, sign) in zip(range(count), turns, strict=False):
        if time.monotonic() > end:
            break
        if name not in whole:
            whole[name] = undisturbed(ground, scratch / f"whole-{name}", name)
        rng = np.random.default_rng([seed, 1, number])
        after = float(rng.uniform(0, whole[name].seconds))
        place = place_for(ground, scratch / f"kill-{number}", whole[name].store)
        verdict = kill_once(place, whole[name], sign, after)
        ledger.add(f"kill {name} {sign.name}", verdict, f"kill {number} of seed {seed}, after {after:.3f} s")
        shutil.rmtree(place)


def _turns() -> Iterator[tuple[str, signal.Signals]]:
    while True:
        for sign in SIGNALS:
            # Twice as many kills while it trains: most is at stake there.
            yield from ((name, sign) for name in ("run", "survey", "predict", "run", "stress", "report"))


def kill_once(place: Path, whole: Undisturbed, sign: signal.Signals, after: float) -> Verdict:
    """Kill a command after so many seconds, give it again, and compare what is left with the undisturbed."""
    job = Job(whole.arguments, place)
    job.kill_after(after, sign)
    killed = job.end()
    if killed.crashed:
        return Verdict(False, "a traceback when killed", killed.said[-1500:])
    if killed.code not in SIGNALS[sign]:
        return Verdict(False, f"exit code {killed.code} when killed", killed.said[-500:])
    if _others_stay(place):
        return Verdict(False, "processes stay when killed", killed.said[-500:])
    again = Job(whole.arguments, place).end()
    if again.code != 0:
        return Verdict(False, f"exit code {again.code} when given again", again.said[-1500:])
    return compared(_left(place), whole.state)


def _others_stay(place: Path) -> bool:
    """Tell whether processes that a command began are there long after its end: those that work in its folder."""
    end = time.monotonic() + LONG_AFTER
    while _work_in(place):
        if time.monotonic() > end:
            return True
        time.sleep(0.1)
    return False


def _work_in(place: Path) -> bool:
    for each in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has ended, or is another user's
            if each.samefile(place):
                return True
    return False


def compared(found: dict[str, str], expected: dict[str, str]) -> Verdict:
    """Judge what is left by what should be."""
    other = differences(found, expected)
    litter = [name for name in other if Path(name).name.startswith(".tmp-")]
    if litter == other and other:
        return Verdict(False, "temporary files stay", ", ".join(litter))
    if other:
        return Verdict(
            False, f"other content: {', '.join(sorted({Path(name).name for name in other}))}", str(other)
        )
    return Verdict(True, "same bits")
