"""Seeds are added to networks that cannot be told apart, until they can be, or it is no longer worth it.

Who looks at a comparison again and again, and stops when it shows a difference, finds one among equal networks in the
end. So the number of looks is set before: `LOOKS`. At each a pair must have a p-value, corrected for all pairs, below
that part of 0.05 (Bonferroni over the looks of a group-sequential plan; Jennison & Turnbull 1999, Group Sequential
Methods, chapter 2). That the looks share test sources and seeds makes this careful, never bold. Runs that were added
tell so in the store, and every later comparison of them counts it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rgbench.comparison.results import Comparison
from rgbench.comparison.summary import compare
from rgbench.errors import SpecError
from rgbench.numbers import capital, counted, listed
from rgbench.seeds import derive_seed
from rgbench.spec import AnySpec, Study
from rgbench.statistics.paired import MORE_SEEDS
from rgbench.store.record import LOOKS as LOOKS
from rgbench.store.store import RunRecord, Store

_SMALLEST, _SPAN = 1000, 9000
"""New seeds have four digits."""

Plan = Callable[[Study], Sequence[AnySpec]]
"""Resolves a study to its runs."""
Compute = Callable[[Study], Sequence[RunRecord]]
"""Computes what a store lacks of a study, and gives the records of all its runs."""


@dataclass(frozen=True)
class Decided:
    """A study that was computed until its pairs were decided.

    Attributes
    ----------
    records : tuple of RunRecord
        All runs.
    looks : int
        Times that the pairs were compared.
    undecided : tuple of (str, str)
        Pairs that still cannot be told apart.
    why : str
        Why no more seeds were added.
    """

    records: tuple[RunRecord, ...]
    looks: int
    undecided: tuple[tuple[str, str], ...]
    why: str

    @property
    def words(self) -> str:
        """Say in a sentence how it ended."""
        if not self.looks:
            return f"{capital(self.why)}: no seeds are added."
        seeds = len({record.spec.seed for record in self.records})
        told = f"The pairs were compared {counted(self.looks, 'time')}, at last with {counted(seeds, 'seed')}"
        said = f"{told}: {self.why}."
        left = [f"{first} and {second}" for first, second in self.undecided]
        return f"{said} Not told apart: {listed(left)}." if left else said


def run_until_decided(
    study: Study,
    store: Store,
    plan: Plan,
    compute: Compute,
    hours: float | None = None,
    say: Callable[[str], None] = print,
) -> Decided:
    """Compute a study, and more seeds of networks of undecided pairs.

    Parameters
    ----------
    study : Study
        The study, of one split on which all seeds are tested, with the canonical names of its networks.
    store : Store
        Where its runs are.
    plan : callable
        Resolves a study to its runs.
    compute : callable
        Computes what the store lacks of a study.
    hours : float, optional
        No more seeds are begun if they would end later than so many hours after the start, as the last ones took.
    say : callable
        Told in a sentence what is added.

    Raises
    ------
    SpecError
        If the study has several splits or its seeds draw their own: more seeds are then no more runs on one test set.
    """
    if study.splits or study.train_limits or study.data.split == "becker2021":
        raise SpecError(
            f"study {study.name}: --until-decided needs one split for all seeds; it has "
            f"{listed(study.splits) if study.splits else 'several sizes' if study.train_limits else study.data.split}"
        )
    began = time.monotonic()
    records, seeds, took, look = list(compute(study)), list(study.seeds), 0.0, 1
    while True:
        found = compare(records, looks=LOOKS)
        pairs, started = _undecided(found), time.monotonic()
        if not found.pairs:
            return Decided(tuple(records), 0, (), "no two networks can be compared")
        if why := _why_no_more(pairs, look, started - began + took, hours):
            return Decided(tuple(records), look, pairs, why)
        more = _with_seeds(study, found, _new_seeds(seeds))
        told = listed([str(seed) for seed in more.seeds])
        say(f"{counted(len(pairs), 'pair')} cannot be told apart: seeds {told} for {listed(more.networks)}")
        # Before any of them is computed: the store then tells it also of those that are there when this is stopped.
        for spec in plan(more):
            with store.claim(spec) as directory:
                directory.write_looks(LOOKS)
        records += compute(more)
        seeds += more.seeds
        took, look = time.monotonic() - started, look + 1


def _why_no_more(pairs: Sequence[tuple[str, str]], look: int, seconds: float, hours: float | None) -> str:
    """Say why no seeds are added, with which so many seconds would have passed in all; "" where they are."""
    if not pairs:
        return "all pairs are decided"
    if hours is not None and seconds > 3600 * hours:
        return f"more seeds would take longer than {hours:g} h in all"
    return f"{LOOKS} looks were planned" if look == LOOKS else ""


def _with_seeds(study: Study, found: Comparison, seeds: Sequence[int]) -> Study:
    """Give the networks of undecided pairs, with other seeds; of a network with several recipes, all of these."""
    names = {row.network: row.name for row in found.rows}
    networks = tuple(dict.fromkeys(names[network] for pair in _undecided(found) for network in pair))
    lines = tuple(line for line in study.schedule if line.network in networks)
    return study.model_copy(update={"networks": networks, "schedule": lines, "seeds": tuple(seeds)})


def _undecided(found: Comparison) -> tuple[tuple[str, str], ...]:
    return tuple((pair.first, pair.second) for pair in found.pairs if not pair.separable)


def _new_seeds(seeds: Sequence[int]) -> list[int]:
    """Give the next seeds of a study, which are the same whoever adds them."""
    new: list[int] = []
    tried = 0
    while len(new) < MORE_SEEDS:
        seed = _SMALLEST + derive_seed(seeds[0], "seeds", added=len(seeds), tried=tried) % _SPAN
        tried += 1
        if seed not in (*seeds, *new):
            new.append(seed)
    return new
