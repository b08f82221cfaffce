"""What a paper that uses the report would say and cite: methods in words, and BibTeX, from the cards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rgbench.comparison.results import Comparison
from rgbench.data.sets import data_sets
from rgbench.measures.cards import MAIN
from rgbench.measures.catalogue import metrics
from rgbench.networks import NetworkCard, networks
from rgbench.numbers import counted
from rgbench.references import bibliography, entry
from rgbench.report.blocks import Code, Section, Text, data_uri
from rgbench.report.material import Runs
from rgbench.report.sizes import Sizes, class_words
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord

STATISTICS = ("Wilson1927", "Tango1998", "Zou2008", "Holm1979", "Hall1992", "Rubin1981", "McNemar1947")
"""What every comparison rests on: keys of ``references.bib``."""


def section(runs: Runs) -> Section:
    """Give methods to adapt for a paper, and everything to cite as BibTeX."""
    bibtex = bibliography((*entries(runs.records), *STATISTICS, *runs.cited))
    last = (
        "Cite the 2021 study, the paper of each network you report, the data set, the statistics, and the version of "
        "rgbench under “How it was made”."
    )
    download = ("BibTeX", "rgbench.bib", data_uri("application/x-bibtex", bibtex))
    return Section(
        "cite",
        "Cite",
        "How to cite",
        sentences=("Methods, to adapt for a paper:", *methods(runs.main, runs.records)),
        blocks=(Text(last, download=download), Code(bibtex)),
    )


def entries(records: Sequence[RunRecord]) -> list[str]:
    """Collect what networks and data sets are to be cited by: keys, or whole entries where a card has no key."""
    found = []
    for name in dict.fromkeys(record.spec.network.name for record in records):
        card = _card(name)
        if card is not None and card.paper.citation:
            found.append(card.paper.key or entry(name, card.paper))
    for name in dict.fromkeys(n for r in records for n in (r.spec.data.name, r.spec.data.test) if n):
        if name in data_sets():
            found += data_sets().get(name).card.keys
    return found


def methods(main: Comparison, records: Sequence[RunRecord]) -> list[str]:
    """Write the methods paragraph of a paper: data, networks, training, statistics."""
    spec = records[0].spec
    tested = "the lowest validation loss" if main.model == "best" else "the last epoch"
    seeds = list(dict.fromkeys(record.spec.seed for record in records))
    return [
        _data_words(spec, main, Sizes.of(records, main.model)),
        f"We compare {_listed(_network_words(records))}.",
        f"Each was trained under the protocol {spec.protocol} of rgbench with {counted(len(seeds), 'seed')} "
        f"({', '.join(map(str, seeds))}), on images prepared by the preset {spec.images.preset!r} and brought to "
        f"{_size(spec)} pixels; the model of {tested} was tested. The test set took no part in any "
        "choice.",
        f"Networks are compared by {metrics().get(main.metric).words}. {_interval_words(main, spec, seeds)}",
    ]


def _interval_words(main: Comparison, spec: RunSpec, seeds: Sequence[int]) -> str:
    beats = (
        "A network beats another where the interval of their difference excludes zero, corrected for the number of "
        "pairs (Holm 1979)."
    )
    if spec.data.split == "becker2021" and len(seeds) > 1:
        return (
            f"Intervals ({100 * main.confidence:.0f} %) are of a bootstrap in which a source has one weight in all "
            "test sets that it is in, with the scatter over the seeds added in squares (Zou & Donner 2008), networks "
            f"paired seed by seed. {beats}"
        )
    scored = f"{metrics().get(MAIN).short} and accuracy"
    return (
        f"Intervals ({100 * main.confidence:.0f} %) of {scored} are score intervals (Wilson 1927; Tango 1998 "
        "for paired differences); those of NLL and Brier score come from the transformed t of Hall (1992), those of "
        "macro F1 from sources weighted at random (Rubin 1981). They are for new test sources and, from two runs on, "
        f"new seeds or folds (combined after Zou & Donner 2008). {beats} Permutation of their answers and McNemar's "
        "exact test (McNemar 1947), of these trained networks, stand beside it."
    )


def _data_words(spec: RunSpec, main: Comparison, sizes: Sizes) -> str:
    data = spec.data
    known = data_sets().get(data.name).card if data.name in data_sets() else None
    source = f"{data.name} ({known.paper})" if known is not None else "our own images"
    split = (
        f"its split {data.split!r}"
        if data.split != "becker2021"
        else "a new split by the 2021 algorithm for every seed"
    )
    where = f", tested on {data.test}, without the sources that both sets hold" if data.test else ""
    return (
        f"We use {source}, classes {class_words(main)}, {split}{where}, with {sizes.words()}. No two sources within "
        "60 arcsec stand on two sides of a split."
    )


def _network_words(records: Sequence[RunRecord]) -> list[str]:
    said = []
    for name in dict.fromkeys(record.spec.network.name for record in records):
        card = _card(name)
        said.append(
            f"{card.title} ({card.paper.citation})" if card is not None and card.paper.citation else name
        )
    return said


def _card(name: str) -> NetworkCard | None:
    known = networks()
    item = known.get(name) if name in known else None
    return item if isinstance(item, NetworkCard) else None


def _size(spec: RunSpec) -> str:
    size = spec.images.size
    return f"{size} x {size}" if isinstance(size, int) else f"{size[0]} x {size[1]}"


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
