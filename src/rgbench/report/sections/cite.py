"""What a paper that uses the report would say and cite: methods in words, and BibTeX, from the cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rgbench.comparison.results import Comparison
from rgbench.comparison.words.choices import choices_by_run, method_words, touched_words
from rgbench.comparison.words.pairs import basis, correction
from rgbench.data.catalogue import DataSet
from rgbench.data.leakage import RADIUS
from rgbench.data.sets import data_sets
from rgbench.measures.cards import Method
from rgbench.measures.catalogue import metrics
from rgbench.networks import NetworkCard, card_of
from rgbench.numbers import capital, counted, joined
from rgbench.references import bibliography, entry
from rgbench.report.blocks import Code, Fold, Section, Text, data_uri
from rgbench.report.files.text import BESIDE
from rgbench.report.material import Runs
from rgbench.report.sizes import Sizes, class_words
from rgbench.spec import DataSpec, RunSpec
from rgbench.store.store import RunRecord

STATISTICS = (
    "Wilson1927",
    "Tango1998",
    "Zou2008",
    "Gelman2006",
    "Romano2005",
    "Holm1979",
    "Hall1992",
    "Rubin1981",
    "McNemar1947",
)
"""What every comparison rests on: keys of ``references.bib``."""
_METHODS: Mapping[Method, str] = MappingProxyType(
    {
        "classes": "score intervals, Wilson 1927",
        "score": "score intervals, Wilson 1927",
        "rows": "Bayesian bootstrap, Rubin 1981",
        "mean": "transformed t, Hall 1992",
        "bootstrap": "bootstrap",
    }
)
"""How the interval of a metric is made."""
_PRIOR = (
    " In a difference over seeds, and not in the interval of a single network, how far these move a network has a "
    "half-Cauchy prior (Gelman 2006) in place of Student's t."
)
_BESIDE = (
    "McNemar's exact test of accuracy (McNemar 1947) and a permutation test of MPCA stand beside it; they are of these "
    "trained networks alone, with one answer per source, and are corrected by Holm's method."
)


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
        "What to write, and what to cite?",
        finding="A methods paragraph for a paper, and all references as BibTeX.",
        sentences=methods(runs.main, runs.records, runs.beside.data),
        blocks=(Text(last, download=download), Fold("The BibTeX entries", (Code(bibtex),))),
    )


def entries(records: Sequence[RunRecord]) -> list[str]:
    """Collect what networks and data sets are to be cited by: keys, or whole entries where a card has no key."""
    found = []
    for name, card in _cards(records).items():
        if card is not None and card.paper.citation:
            found.append(card.paper.key or entry(name, card.paper))
    for name in dict.fromkeys(n for r in records for n in (r.spec.data.name, r.spec.data.test) if n):
        if name in data_sets():
            found += data_sets().get(name).card.keys
    return found


def methods(main: Comparison, records: Sequence[RunRecord], data: DataSet | None = None) -> tuple[str, ...]:
    """Write the methods paragraph of a paper: data, networks, training, choices, statistics."""
    spec = records[0].spec.data
    seeds = list(dict.fromkeys(record.spec.seed for record in records))
    trained = [record for record in records if not record.elsewhere]
    scored = [record for record in records if record.elsewhere]
    several = len(main.rows) > 1
    return (
        _data_words(records, main),
        f"We {'compare' if several else 'test'} {joined(_network_words(records))}.",
        *([_training_words(main, trained, bool(scored))] if trained else []),
        *method_words(
            [record.trained for record in trained], touched_words(trained, data), choices_by_run(trained)
        ),
        *([_elsewhere_words(scored)] if scored else []),
        f"{'Networks are compared' if several else 'The network is scored'} by {metrics().get(main.metric).words}. "
        f"{_statistics_words(main, spec, seeds)}",
    )


def _views_words(records: Sequence[RunRecord]) -> str:
    """Say of how many views an answer is the mean."""
    views = sorted({record.trained.recipe.views for record in records})
    if views == [1]:
        return ", on one view of each image"
    number = str(views[0]) if len(views) == 1 else f"{views[0]} to {views[-1]}"
    return (
        f"; each answer is the mean over {number} views of an image, turned and mirrored, and costs are given for "
        "such an answer"
    )


def _training_words(main: Comparison, trained: Sequence[RunRecord], others: bool) -> str:
    """Say how the networks were trained that were trained here."""
    spec = trained[0].trained
    tested = "the lowest validation loss" if main.model == "best" else "the last epoch"
    lost = sum(record.status != "complete" for record in trained)
    did_not = f" {capital(counted(lost, 'run'))} did not end and {'is' if lost == 1 else 'are'} left out."
    who = f"{joined(_network_words(trained))}: each" if others else "Each network"
    return (
        f"{who} was trained under the protocol {spec.protocol} of rgbench with {_seeds_words(trained)}, on images "
        f"prepared by the preset {spec.images.preset!r} and brought to {_size(spec)} pixels. The model of {tested} was "
        f"tested{_views_words(trained)}.{did_not if lost else ''}"
    )


def _seeds_words(trained: Sequence[RunRecord]) -> str:
    """Say with how many seeds each network was trained, and name them."""
    own = dict[str, set[int]]()
    for record in trained:
        own.setdefault(record.spec.network.name, set()).add(record.spec.seed)
    numbers_of = sorted({len(seeds) for seeds in own.values()})
    least, most = numbers_of[0], numbers_of[-1]
    said = counted(most, "seed") if least == most else f"{least} to {most} seeds"
    return f"{said} ({', '.join(map(str, dict.fromkeys(record.spec.seed for record in trained)))})"


def _elsewhere_words(scored: Sequence[RunRecord]) -> str:
    """Say which predictions were made elsewhere."""
    return (
        f"The predictions of {joined(_network_words(scored))} were made elsewhere and scored here on the same test "
        "sources; say how each was trained, and that the test set took no part in any choice."
    )


def _statistics_words(main: Comparison, data: DataSpec, seeds: Sequence[int]) -> str:
    """Say where intervals come from and what decides that a network beats another, if any two were compared."""
    common = data.split != "becker2021" or len(seeds) < 2
    said = [_interval_words(main, common)]
    if main.pairs:
        said += [_difference_words(main, common), *_looked_words(main), *([_BESIDE] if common else [])]
    return " ".join(said)


def _interval_words(main: Comparison, common: bool) -> str:
    """Say where the intervals of single networks come from."""
    share = f"{100 * main.confidence:g} %"
    runs = "is added in squares (Zou & Donner 2008), by Student's t"
    if not common:
        return (
            f"Intervals ({share}) come from {basis(metrics().get(main.metric), common)}; what other seeds would change "
            f"{runs}."
        )
    ways = dict[str, list[str]]()
    for card in map(metrics().get, dict.fromkeys((*BESIDE, main.metric))):
        if card.interval in _METHODS:
            ways.setdefault(_METHODS[card.interval], []).append(card.short)
    named = "; ".join(f"{joined(names)}: {way}" for way, names in ways.items())
    return (
        f"Intervals ({share}) of single networks are for new test sources ({named}) and, from two runs on, "
        f"for new seeds or folds: what these would change {runs}."
    )


def _difference_words(main: Comparison, common: bool) -> str:
    """Say where the intervals of differences come from, and what decides that a network beats another."""
    card = metrics().get(main.metric)
    paired = f"source by source, with {basis(card)}" if common else "seed by seed"
    return (
        f"Differences are paired, {paired}.{_PRIOR if common and card.is_recognition else ''} A network beats another "
        f"where the p-value of their difference, {correction(card, common)}, is below {1 - main.confidence:g}."
    )


def _looked_words(main: Comparison) -> list[str]:
    """Say that seeds were added until pairs were told apart, where they were."""
    if main.looks == 1:
        return []
    return [
        "Seeds were added to networks that could not be told apart; they were to be compared "
        f"{main.looks} times at most, and p-values are multiplied by {main.looks}."
    ]


def _data_words(records: Sequence[RunRecord], main: Comparison) -> str:
    data = records[0].spec.data
    known = data_sets().get(data.name).card if data.name in data_sets() else None
    source = f"{data.name} ({known.paper})" if known is not None else "our own images"
    split = _split_words([record.spec.data.split for record in records])
    where = f", tested on {data.test}, without the sources that both sets hold" if data.test else ""
    return (
        f"We use {source}, classes {class_words(main)}, {split}{where}, with "
        f"{Sizes.of(records, main.model).words()}. No two sources whose positions are known lie within {RADIUS:g} "
        "arcsec of each other on two sides of a split."
    )


def _split_words(splits: Sequence[str]) -> str:
    """Name the split; folds, which are compared together, by their number."""
    different = list(dict.fromkeys(splits))
    if different[1:]:
        return f"{len(different)} folds of it"
    return (
        "a new split by the 2021 algorithm for every seed"
        if different == ["becker2021"]
        else f"its split {different[0]!r}"
    )


def _network_words(records: Sequence[RunRecord]) -> list[str]:
    return [
        f"{card.title} ({card.paper.citation})" if card is not None and card.paper.citation else name
        for name, card in _cards(records).items()
    ]


def _cards(records: Sequence[RunRecord]) -> dict[str, NetworkCard | None]:
    """Give the card of each network by its name, None for one that has none."""
    specs = {record.spec.network.name: record.spec.network for record in records}
    return {name: card_of(name, spec.layers) for name, spec in specs.items()}


def _size(spec: RunSpec) -> str:
    size = spec.images.size
    return f"{size} x {size}" if isinstance(size, int) else f"{size[0]} x {size[1]}"
