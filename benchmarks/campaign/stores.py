"""Stores under strain: several processes at once, a full disk, no right to write, a clock that jumps."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.campaign.jobs import End, Job, jumping_clock, small_files, without_privileges
from benchmarks.campaign.kills import COMMANDS, Undisturbed, _left, compared, undisturbed
from benchmarks.campaign.ledger import Ledger
from benchmarks.campaign.states import place_for
from benchmarks.campaign.trials import Verdict


def try_stores(ground: Path, scratch: Path, seed: int, count: int, end: float, ledger: Ledger) -> None:
    """Strain so many stores, or as many as there is time for, each way in turn."""
    whole = undisturbed(ground, scratch / "whole", "run")
    for number, (kind, strain) in zip(range(count), _turns(), strict=False):
        if time.monotonic() > end:
            break
        place = scratch / f"store-{number}"
        verdict = strain(
            ground, place, whole, int(np.random.default_rng([seed, 2, number]).integers(1 << 30))
        )
        ledger.add(kind, verdict, f"store {number} of seed {seed}")
        shutil.rmtree(place)


Strain = Callable[[Path, Path, Undisturbed, int], Verdict]


def _turns() -> Iterator[tuple[str, Strain]]:
    while True:
        yield "full disk", full_disk
        yield "two processes", partial(crowd, processes=2)
        yield "read-only store", read_only
        yield "clock that jumps", clock
        yield "four processes", partial(crowd, processes=4)


def crowd(ground: Path, folder: Path, whole: Undisturbed, seed: int, processes: int) -> Verdict:
    """Let several processes run one study in one store."""
    place = place_for(ground, folder)
    jobs = [Job(whole.arguments, place, name=f"log-{number}") for number in range(processes)]
    for end in [job.end() for job in jobs]:
        if end.code != 0:
            return Verdict(False, f"exit code {end.code} beside others", end.said[-1500:])
    return compared(_left(place), whole.state)


def full_disk(ground: Path, folder: Path, whole: Undisturbed, seed: int) -> Verdict:
    """Let no file grow beyond a random size, then let the study go on."""
    most = int(np.exp(np.random.default_rng(seed).uniform(np.log(2000), np.log(500_000))))
    place = place_for(ground, folder)
    refused = _refused(Job(whole.arguments, place, small_files(most)).end())
    if refused is not None:
        return refused
    again = Job(whole.arguments, place).end()
    if again.code != 0:
        return Verdict(False, f"exit code {again.code} when there is room again", again.said[-1500:])
    return compared(_left(place), whole.state)


def read_only(ground: Path, folder: Path, whole: Undisturbed, seed: int) -> Verdict:
    """Give the commands in a place that cannot be written to."""
    place = place_for(ground, folder, "store")
    before = _left(place)
    place.chmod(0o555)
    for path in (place / "store").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (place / "store").chmod(0o555)
    for number, name in enumerate(COMMANDS):
        log = place / f"log-{number}.txt"
        log.touch()
        log.chmod(0o666)
        refused = _refused(Job(COMMANDS[name][0], place, without_privileges, f"log-{number}").end())
        if refused is not None:
            return Verdict(False, f"{name}: {refused.signature}", refused.detail)
    return compared(_left(place), before)


def clock(ground: Path, folder: Path, whole: Undisturbed, seed: int) -> Verdict:
    """Run a study while the time of day jumps."""
    place = place_for(ground, folder)
    end = Job(whole.arguments, place, jumping_clock(seed)).end()
    if end.code != 0:
        return Verdict(False, f"exit code {end.code} while the clock jumps", end.said[-1500:])
    return compared(_left(place), whole.state)


def _refused(end: End) -> Verdict | None:
    """Give a verdict if a command ended neither well nor with one clear error."""
    said = [line for line in end.said.splitlines() if line.startswith("error: ")]
    if end.crashed or end.code not in (0, 1, 2) or (end.code and len(said) != 1):
        return Verdict(False, f"exit code {end.code}, {len(said)} errors told", end.said[-1500:])
    return None
