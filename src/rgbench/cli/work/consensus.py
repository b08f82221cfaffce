"""The command ``rgbench data consensus``; it loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from rgbench.cli.screen import say
from rgbench.comparison.label_consensus import (
    Reached,
    Trust,
    agreements,
    published_labels,
    reach_consensus,
    trust,
)
from rgbench.data.catalogue import CLASSES
from rgbench.data.consensus import SHARP, Consensus, consensus_csv, read_consensus
from rgbench.data.sets import first_galaxy_data
from rgbench.data.votes import gather_votes
from rgbench.errors import StoreError
from rgbench.numbers import counted, percent
from rgbench.store.files import write_bytes


@dataclass(frozen=True)
class ConsensusChoice:
    """Where the table goes, whether the files are read anew, and how many resamples intervals are of (0: none)."""

    out: Path | None = None
    overwrite: bool = False
    rebuild: bool = False
    resamples: int = 0


def show_consensus(choice: ConsensusChoice, console: Console) -> None:
    """Say how often catalogues agree and how many classes are known; write the table of all votes."""
    if choice.out is not None and choice.out.exists() and not choice.overwrite:
        raise StoreError(f"{choice.out}: is there already; give another name, or --overwrite")
    votes = gather_votes() if choice.rebuild else read_consensus().votes
    reached = reach_consensus(votes)
    say(console, "Sources that two catalogues labelled apart, and how many of them they call the same:")
    console.print(_pairs(reached))
    say(
        console,
        f"Sources whose class is known (probability {SHARP} or more, two catalogues or more name it):",
    )
    console.print(_known(reached.consensus))
    if choice.resamples:
        _say_trust(_trust(reached, choice.resamples), console)
    if choice.out is not None:
        write_bytes(choice.out, consensus_csv(reached.consensus).encode())
        say(console, f"{choice.out}: {counted(len(votes), 'source')}, their votes and probabilities")


def _pairs(reached: Reached) -> Table:
    table = Table("", "", "sources", "same", "", box=None)
    for pair in agreements(reached.consensus.votes):
        if pair.n:
            table.add_row(
                pair.first, pair.second, str(pair.n), str(pair.same), f"{percent(pair.same / pair.n)} %"
            )
    return table


def _known(consensus: Consensus) -> Table:
    table = Table("", *CLASSES, "all", box=None)
    pictured = consensus.votes.image != ""
    for name, chosen in (
        ("known", consensus.sharp),
        ("of these with an image (first-consensus)", consensus.sharp & pictured),
    ):
        counts = np.bincount(consensus.label[chosen], minlength=len(CLASSES)).tolist()
        table.add_row(name, *map(str, counts), str(sum(counts)))
    return table


def _trust(reached: Reached, resamples: int) -> Trust:
    dataset, votes = first_galaxy_data.load(), reached.consensus.votes
    names = dataset.catalogue.source_id
    tested = np.isin(votes.source_id, names[dataset.splits["published"] == "test"])
    published = published_labels(votes, names, dataset.catalogue.label)
    return trust(reached, published, tested, resamples=resamples)


def _say_trust(found: Trust, console: Console) -> None:
    share = found.ceiling
    say(
        console,
        f"{found.n} test sources of first-galaxy-data have two votes or more. Of their published labels "
        f"{percent(share.value)} % ({percent(share.low)} to {percent(share.high)}) are expected to be right: what a "
        "perfect classifier would score.",
        "How often a catalogue names the true class, in per cent:",
    )
    table = Table("", *CLASSES, box=None)
    for name, bounds in found.confusion.items():
        value, lower, upper = (np.diagonal(each) for each in bounds)
        cells = [
            f"{percent(v)} ({percent(a)} to {percent(b)})"
            for v, a, b in zip(value, lower, upper, strict=True)
        ]
        table.add_row(name, *cells)
    console.print(table)
