"""The page of a report: its head, and the sections that it goes through in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rgbench.comparison.results import Comparison
from rgbench.comparison.words.answer import without_pairs
from rgbench.numbers import NONE, listed
from rgbench.report import sections
from rgbench.report.blocks import Figure, LeftOut, Section, Table
from rgbench.report.files import text
from rgbench.report.material import Runs
from rgbench.report.sections import ranking
from rgbench.report.sections.table import images_words
from rgbench.report.sizes import Sizes, class_words
from rgbench.store.store import RunRecord

_PAIRS = 3
"""Most pairs of networks of which the answer has a sentence each."""


@dataclass(frozen=True)
class Page:
    """A report before it is written.

    Attributes
    ----------
    title : str
        Title of the page.
    facts : tuple of (str, str)
        What it is about, in a few words each.
    answer : tuple of str
        The answer in sentences, the verdict first.
    problems : tuple of str
        What went wrong with runs.
    broken : tuple of str
        What other packages brought and the page does not show, and why.
    sections : tuple of Section
        Everything else, in order.
    footer : str
        With what it was made.
    absent : tuple of LeftOut
        Sections that a report may have and this one has not, with the reasons.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    answer: tuple[str, ...]
    problems: tuple[str, ...]
    broken: tuple[str, ...]
    sections: tuple[Section, ...]
    footer: str
    absent: tuple[LeftOut, ...] = ()

    @property
    def menu(self) -> list[tuple[str, str]]:
        """Anchor and name of each section."""
        return [(section.anchor, section.menu) for section in self.sections]

    @property
    def front(self) -> list[Section]:
        """The sections beside the answer."""
        return [section for section in self.sections if section.place == "front"]

    @property
    def rest(self) -> list[Section]:
        """The sections beneath."""
        return [section for section in self.sections if section.place != "front"]

    @property
    def figures(self) -> list[Figure]:
        """Every figure, in the order of the page."""
        return [figure for section in self.sections for figure in section.all_figures]

    @property
    def tables(self) -> list[Table]:
        """Every table, in the order of the page."""
        return [table for section in self.sections for table in section.all_tables]

    def section(self, anchor: str) -> Section:
        """Give the section of an anchor; KeyError if the page has none."""
        found = {section.anchor: section for section in self.sections}
        return found[anchor]


def make(runs: Runs) -> Page:
    """Make the page of some runs.

    Parameters
    ----------
    runs : Runs
        As of `Runs.of`.
    """
    found = sections.make(runs)
    data = runs.records[0].spec.data.name
    return Page(
        runs.options.title or f"Which network classifies {data} best?",
        tuple(_facts(runs.main, runs.records)),
        _answer(runs, found.made),
        tuple(_problems(runs.main, runs.records)),
        found.problems,
        found.made,
        _footer(runs.records),
        found.left_out,
    )


def _answer(runs: Runs, made: Sequence[Section]) -> tuple[str, ...]:
    """Give the answer: the verdict, what joins it with the ranking, what no section says, and on what images."""
    # Of many pairs, the verdict names them all, and the table of pairs has their numbers.
    many = sum(sentence.of_pairs for sentence in runs.main.sentences) > _PAIRS
    verdict, *rest = without_pairs(runs.main) if many else runs.main.words
    elsewhere = {sentence for section in made for sentence in section.sentences}
    return (
        verdict,
        *ranking.joined(runs),
        *(sentence for sentence in rest if sentence not in elsewhere),
        *images_words(runs.main.data),
    )


def _facts(main: Comparison, records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    specs = [record.spec for record in records]
    complete = sum(record.status == "complete" for record in records)
    elsewhere = list(dict.fromkeys(record.spec.network.name for record in records if record.elsewhere))
    return [
        ("data", specs[0].data.name),
        (
            "protocol",
            ", ".join(sorted({record.spec.protocol for record in records if not record.elsewhere})) or NONE,
        ),
        ("classes", class_words(main)),
        ("test sources", Sizes.of(records, main.model).test_words()),
        ("networks", str(len(main.rows))),
        *([("made elsewhere", listed(elsewhere))] if elsewhere else []),
        ("seeds", ", ".join(str(seed) for seed in dict.fromkeys(spec.seed for spec in specs))),
        ("runs", f"{complete}" if complete == len(records) else f"{complete} of {len(records)} complete"),
    ]


def _problems(main: Comparison, records: Sequence[RunRecord]) -> list[str]:
    failed = [
        f"{r.spec.network.name}, seed {r.spec.seed}, {r.lacking}" for r in records if r.status != "complete"
    ]
    return [
        *failed,
        *(f"{row.network}: {text.remarks(row)}" for row in main.rows if not text.learned(row)),
        *_several(main, records),
    ]


def _several(main: Comparison, records: Sequence[RunRecord]) -> list[str]:
    """Say of networks with several recipes what the page leaves out."""
    rows = {row.network for row in main.rows}
    names = dict.fromkeys(record.spec.network.name for record in records)
    return [
        f"{name} was trained under several recipes, each with a row of its own; the sections on differences, "
        "overfitting, ensembles and all that follow, and the pictures, leave it out."
        for name in names
        if name not in rows
    ]


def _footer(records: Sequence[RunRecord]) -> str:
    versions = sorted({str(r.provenance.get("versions", {}).get("rgbench", "")) for r in records} - {""})
    dates = [str(r.provenance["written"]) for r in records if r.provenance.get("written")]
    made = f"rgbench {', '.join(versions)}".strip()
    return f"{made}, runs up to {max(dates)[:10]}." if dates else f"{made}."
