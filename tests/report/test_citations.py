"""Methods text and BibTeX: the file, the keys of cards and sections, and what a report prints of it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from pybtex.database import parse_string

import rgbench.report.sections as package
from rgbench.data.sets import data_sets
from rgbench.networks import NetworkCard, networks
from rgbench.references import STUDY, Paper, bibliography, entry, library
from rgbench.report.material import Runs
from rgbench.report.sections import make
from rgbench.report.sections.cite import STATISTICS, entries, methods
from rgbench.report.sections.differences import FOLDS


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
    made, _ = make(runs)
    return next(section for section in made if section.anchor == "cite").blocks[-1].text


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


def test_a_network_without_a_key_is_cited_as_a_note_that_cannot_break_out():
    hostile = entry("my-net", Paper(r"Nobody 2024} \input{/etc/passwd} & 50 % of $x_1$", arxiv="2401.00001"))
    fields = parse_string(bibliography([hostile]), "bibtex").entries["my-net"].fields
    assert "\\input" not in fields["note"]
    assert fields["eprint"] == "2401.00001"
    with pytest.raises(KeyError, match="Nobody1900"):
        bibliography(["Nobody1900"])


def test_methods_name_what_was_done(made):
    text = " ".join(methods(made.comparisons["best"], made.records))
    for part in (
        "first-galaxy-data (Griese",
        "with 200 validation and 200 test sources. No two",
        "ConvXpress (Becker, Vaccari, Prescott & Grobler 2021",
        "MCRGNet (Ma et al. 2019",
        "3 seeds (8901, 1826, 4915)",
        "96 x 96 pixels",
        "the model of the lowest validation loss was tested",
        "mean per-class accuracy (MPCA)",
    ):
        assert part in text, part
    assert "the model of the last epoch was tested" in " ".join(
        methods(made.comparisons["final"], made.records)
    )
