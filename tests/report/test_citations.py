"""Methods text and BibTeX: the file, the keys of cards and sections, and what a report prints of it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pybtex.database import parse_string

import rgbench.report.sections as package
from rgbench.comparison.summary import compare
from rgbench.data.sets import data_sets
from rgbench.networks import NetworkCard, networks
from rgbench.references import STUDY, Paper, bibliography, entry, library
from rgbench.report.material import Runs
from rgbench.report.sections import make
from rgbench.report.sections.cite import STATISTICS, entries, methods
from rgbench.report.sections.differences import FOLDS
from rgbench.store.store import RunRecord


def cited_in_code() -> set[str]:
    """Give every key that a section's ``cites`` names, read from the source of the sections."""
    found = set(STATISTICS) | set(FOLDS) | {STUDY}
    for path in Path(package.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.keyword) and node.arg == "cites":
                found |= {each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)}
    return found


def cited_by_cards() -> set[str]:
    cards = [card for _, card in networks()]
    keys = {card.paper.key for card in cards if isinstance(card, NetworkCard) and card.paper.citation}
    return keys | {key for _, item in data_sets() for key in item.card.keys}


def test_an_independent_reader_finds_every_entry_with_author_year_and_place():
    found = parse_string("\n\n".join(library().values()), "bibtex").entries
    assert list(found) == list(library())
    for key, each in found.items():
        assert each.persons["author"], key
        assert 1900 < int(each.fields["year"]) < 2100, key
        assert key.startswith(
            each.persons["author"][0].last_names[0].strip("{}").replace("-", "").split()[0]
        ), key
        assert {"journal", "booktitle", "note", "eprint"} & set(each.fields), key
    assert [str(person) for person in found["Zou2008"].persons["author"]] == ["Zou", "Donner"]
    hall = found["Hall1992"]
    assert (hall.type, hall.fields["journal"], hall.fields["volume"], hall.fields["pages"]) == (
        "article",
        "J. R. Stat. Soc. B",
        "54",
        "221",
    )
    assert found["Griese2023"].fields["note"] == "data: doi:10.5281/zenodo.7120632"


def test_every_key_that_a_card_or_a_section_names_is_in_the_file_and_no_entry_is_left_over():
    named = cited_in_code() | cited_by_cards()
    assert "" not in named, "a card with a paper has a key"
    assert named == set(library())


def test_every_data_set_with_a_paper_has_keys():
    for name, item in data_sets():
        assert bool(item.card.paper) == bool(item.card.keys), name
        for key in item.card.keys:
            year = parse_string(library()[key], "bibtex").entries[key].fields["year"]
            assert year in item.card.paper, name


def test_the_years_of_networks_are_those_of_their_entries():
    for name, card in networks():
        if isinstance(card, NetworkCard) and card.paper.key:
            fields = parse_string(library()[card.paper.key], "bibtex").entries[card.paper.key].fields
            assert fields["year"] in card.paper.citation, name
            assert fields.get("eprint", "") in (card.paper.arxiv, fields.get("eprint", "")), name
            assert not card.paper.arxiv or fields["eprint"] == card.paper.arxiv, name
            assert not card.paper.doi or fields["doi"] == card.paper.doi, name


def bibtex_of(runs: Runs) -> str:
    section = next(section for section in make(runs).made if section.anchor == "cite")
    (code,) = section.blocks[-1].blocks
    return code.text


def test_the_page_holds_entries_of_the_file_word_for_word_each_once(made):
    text = bibtex_of(Runs.of(made.comparisons, made.records))
    found = parse_string(text, "bibtex").entries
    assert next(iter(found)) == "Becker2021"
    assert text.split("\n\n")[:-1] == [library()[key] for key in found][:-1]
    assert {"Lukic2018", "Ma2019", "Griese2023", "Wilson1927", "Tango1998", "Holm1979", "Guo2017"} <= set(
        found
    )
    assert "Corani2015" not in found, "nothing was compared over folds"
    assert "Demsar2006" not in found, "no other data set"


def test_the_set_that_is_tested_on_is_cited_too(made):
    data = made.records[0].spec.data.model_copy(update={"split": "fold-0", "test": "mirabest-f"})
    folded = replace(made.records[0], spec=made.records[0].spec.model_copy(update={"data": data}))
    assert entries([folded]) == ["Becker2021", "Griese2023", "Porter2023", "Miraghaei2017"]


def test_a_network_of_other_layers_is_not_cited_as_the_one_of_its_name(made):
    record = made.records[0]
    name = record.spec.network.name
    key = networks().get(name).paper.key
    own = record.spec.network.model_copy(update={"layers": "Flat · FC{classes} softmax"})
    changed = replace(record, spec=record.spec.model_copy(update={"network": own}))
    assert key in entries([record])
    assert key not in entries([changed])
    assert f"We compare {name}." in methods(made.comparisons["best"], [changed])


def test_a_network_without_a_key_is_cited_as_a_note_that_cannot_break_out():
    hostile = entry("my-net", Paper(r"Nobody 2024} \input{/etc/passwd} & 50 % of $x_1$", arxiv="2401.00001"))
    fields = parse_string(bibliography([hostile]), "bibtex").entries["my-net"].fields
    assert "\\input" not in fields["note"]
    assert fields["eprint"] == "2401.00001"
    with pytest.raises(KeyError, match="Nobody1900"):
        bibliography(["Nobody1900"])


def statistics(records, metric="mpca", looks=None) -> str:
    return methods(compare(records, metric, resamples=200, looks=looks), records)[-1]


@pytest.fixture(scope="module")
def few(runs) -> list[RunRecord]:
    return runs(("mcrgnet", "convxpress"), (1, 2), np.array([f"J{i}" for i in range(40)]))


def on_split(record, name):
    data = record.spec.data.model_copy(update={"split": name})
    cost = {**record.cost, "training_sources": 400}
    spec = record.spec.model_copy(update={"data": data})
    return replace(record, run_id=f"{record.run_id}-{name}", spec=spec, cost=cost)


@pytest.mark.parametrize(
    ("metric", "said", "unsaid"),
    [
        ("mpca", ("with score intervals (Tango 1998)", "half-Cauchy", "step-down minP"), ()),
        ("accuracy", ("with score intervals (Tango 1998)", "half-Cauchy", "step-down minP"), ()),
        (
            "nll",
            ("the transformed t of Hall (1992)", "by Holm's method (Holm 1979)"),
            ("half-Cauchy", "minP", "Tango"),
        ),
        (
            "macro_f1",
            ("a percentile bootstrap", "by Holm's method (Holm 1979)"),
            ("half-Cauchy", "minP", "Tango"),
        ),
    ],
)
def test_methods_say_of_each_metric_what_its_differences_rest_on(few, metric, said, unsaid):
    text = statistics(few, metric)
    for part in said:
        assert part in text
    for part in unsaid:
        assert part not in text
    only_there = "In a difference over seeds, and not in the interval of a single network, "
    assert (only_there in text) == ("half-Cauchy" in said)
    assert "is below 0.05" in text


def test_methods_name_only_what_the_metrics_shown_have(few):
    text = statistics(few)
    assert (
        "(MPCA and accuracy: score intervals, Wilson 1927; macro F1: Bayesian bootstrap, Rubin 1981)" in text
    )
    assert "NLL: transformed t, Hall 1992" in statistics(few, "nll")
    assert "A network beats another" not in statistics(few, "ece"), "it has no interval"


def test_methods_of_random_splits_rest_on_the_bootstrap(runs):
    records = [
        on_split(r, "becker2021")
        for seed in (1, 2)
        for r in runs(("mcrgnet", "convxpress"), (seed,), np.array([f"J{seed}-{i}" for i in range(40)]))
    ]
    text = statistics(records)
    assert "a percentile bootstrap in which a source has one weight in all test sets" in text
    assert "Differences are paired, seed by seed." in text
    for part in ("minP", "Tango", "half-Cauchy", "McNemar"):
        assert part not in text


def test_methods_count_folds_seeds_and_runs_that_did_not_end(runs):
    folds = [on_split(r, f"fold-{k}") for k in range(3) for r in runs(("mcrgnet",), (k,))]
    text = " ".join(methods(compare(folds), folds))
    assert "3 folds of it" in text
    assert "fold-0" not in text
    assert text.count("We test MCRGNet") == 1
    assert "beats" not in text
    more = runs(("mcrgnet",), (1, 2, 3)) + runs(("convxpress",), (1,))
    failed = replace(runs(("convxpress",), (2,))[0], status="failed", predictions=None)
    text = " ".join(methods(compare([*more, failed]), [*more, failed]))
    assert "with 2 to 3 seeds (1, 2, 3)" in text
    assert "1 run did not end and is left out." in text


def test_methods_say_how_often_was_looked(few):
    assert "multiplied" not in statistics(few)
    assert "compared 4 times at most, and p-values are multiplied by 4." in statistics(few, looks=4)


def test_methods_name_what_was_done(made):
    text = " ".join(methods(made.comparisons["best"], made.records))
    for part in (
        "first-galaxy-data (Griese",
        "with 200 validation and 200 test sources. No two",
        "ConvXpress (Becker, Vaccari, Prescott & Grobler 2021",
        "MCRGNet (Ma et al. 2019",
        "3 seeds (8901, 1826, 4915)",
        "96 x 96 pixels",
        "The model of the lowest validation loss was tested; each answer is the mean over 8 views of an image",
        "mean per-class accuracy (MPCA)",
    ):
        assert part in text, part
    assert "The model of the last epoch was tested" in " ".join(
        methods(made.comparisons["final"], made.records)
    )
