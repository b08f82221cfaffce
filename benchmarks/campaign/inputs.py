"""Broken inputs: each is a seeded mutation of a sound file, tried in a worker; what fails is kept and made smaller."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.campaign.ledger import Ledger
from benchmarks.campaign.mutate import Mutation
from benchmarks.campaign.specimens import Specimen, specimens
from benchmarks.campaign.trials import Verdict
from benchmarks.campaign.worker import Keeper

MOST_MUTATIONS, SHRINKING_SECONDS = 3, 5.0


def draw(
    seed: int, number: int, sound: list[Specimen]
) -> tuple[Specimen, list[Mutation], np.random.SeedSequence]:
    """Give the specimen of an input, its mutations and the seed that they share; the same for the same numbers."""
    sequence = np.random.SeedSequence([seed, number])
    rng = np.random.default_rng(sequence)
    specimen = sound[number % len(sound)]
    count = int(rng.integers(1, MOST_MUTATIONS + 1))
    return (
        specimen,
        [specimen.mutations[int(k)] for k in rng.integers(0, len(specimen.mutations), count)],
        sequence,
    )


def broken(specimen: Specimen, mutations: list[Mutation], sequence: np.random.SeedSequence) -> bytes:
    """Apply mutations, each with a stream of its own, so that one can be left out."""
    content = specimen.content
    for place, mutation in enumerate(mutations):
        content = mutation(np.random.default_rng([*sequence.generate_state(4), place]), content)
    return content


def try_inputs(ground: Path, seed: int, count: int, end: float, ledger: Ledger) -> None:
    """Try so many inputs, or as many as there is time for until `end` (of `time.monotonic`)."""
    sound, keeper = specimens(ground), Keeper(ground)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                if time.monotonic() > end:
                    break
                specimen, mutations, sequence = draw(seed, number, sound)
                path = Path(folder) / specimen.name
                path.write_bytes(broken(specimen, mutations, sequence))
                verdict = keeper.try_file(specimen.trial, path)
                new = ledger.add(specimen.kind, verdict, f"input {number} of seed {seed}")
                if new and ledger.keep is not None:
                    shrink(keeper, specimen.trial, path, verdict)
                    shutil.copyfile(path, ledger.place(specimen.trial, number, specimen.name))
                path.unlink()
    finally:
        keeper.stop()


def shrink(keeper: Keeper, trial: str, path: Path, verdict: Verdict) -> None:
    """Remove stretches of a file, ever shorter ones, while the fault stays the same; slow faults stay as they are."""
    end = time.monotonic() + SHRINKING_SECONDS
    if verdict.signature.startswith("more than"):
        return
    best = path.read_bytes()
    size = len(best) // 2
    while size >= 1:
        start = 0
        while start < len(best) and time.monotonic() < end:
            smaller = best[:start] + best[start + size :]
            path.write_bytes(smaller)
            same = keeper.try_file(trial, path).signature == verdict.signature
            best, start = (smaller, start) if same else (best, start + size)
        size //= 2
    path.write_bytes(best)
