"""Methods text and BibTeX, made from the cards of what was used."""

from __future__ import annotations

import re
from dataclasses import replace

from pybtex.database import parse_string

from rgbench.data.sets import data_sets
from rgbench.networks import NetworkCard, networks
from rgbench.references import Reference
from rgbench.report.sections import MAKERS
from rgbench.report.sections.cite import SECTIONS, bibliography, methods, references


def test_networks_data_and_statistics_are_cited_once_each(made):
    text = bibliography(made.records)
    keys = re.findall(r"^@\w+\{(\w+),$", text, flags=re.M)
    assert len(keys) == len(set(keys))
    assert {"Becker2021", "Lukic2018", "Ma2019", "Griese2023", "Wilson1927", "Tango1998", "Holm1979"} <= set(
        keys
    )
    assert "Corani2015" not in keys
    assert text.count("{") == text.count("}")
    assert "10.5281/zenodo.7120632" in text


def test_an_independent_reader_finds_authors_year_and_place(made):
    anchors = list(SECTIONS)
    entries = parse_string(bibliography(made.records, anchors), "bibtex").entries
    assert len(entries) == len(references(made.records, anchors)), "Becker et al. 2021 stands there once"
    for key, entry in entries.items():
        assert entry.persons["author"], key
        assert 1900 < int(entry.fields["year"]) < 2100, key
        assert entry.fields.get("journal") or entry.fields.get("note") or entry.fields.get("eprint"), key
    assert [str(person) for person in entries["Zou2008"].persons["author"]] == ["Zou", "Donner"]
    assert [str(person) for person in entries["Lukic2018"].persons["author"]] == ["Lukic", "others"]
    hall = entries["Hall1992"]
    assert (hall.type, hall.fields["journal"], hall.fields["volume"], hall.fields["pages"]) == (
        "article",
        "J. R. Stat. Soc. B",
        "54",
        "221",
    )
    assert entries["Griese2023"].fields["note"] == "data: doi:10.5281/zenodo.7120632"


def test_every_network_and_data_set_can_be_cited():
    cards = [card for _, card in networks()]
    papers = {card.paper.citation for card in cards if isinstance(card, NetworkCard)}
    papers |= {entry.card.paper for _, entry in data_sets()}
    for paper in papers - {""}:
        (entry,) = parse_string(Reference(paper).bibtex(), "bibtex").entries.values()
        assert entry.persons["author"], paper
        assert entry.fields["year"] in paper
        said = "".join(f"{p}" for p in entry.persons["author"]) + "".join(entry.fields.values())
        for word in re.findall(r"\w{3,}", paper.replace("et al.", "").replace(" & ", " ")):
            assert word in said, (paper, word)


def test_folds_bring_their_test(made):
    record = made.records[0]
    data = record.spec.data.model_copy(update={"split": "fold-0", "test": "mirabest-f"})
    folded = replace(record, spec=record.spec.model_copy(update={"data": data}))
    citations = [reference.citation for reference in references([folded])]
    assert any("Corani & Benavoli" in citation for citation in citations)
    assert any("Porter & Scaife" in citation for citation in citations), "the set that is tested on, too"


def test_sections_of_the_report_are_cited_where_they_stand(made):
    assert "Guo2017" not in bibliography(made.records)
    text = bibliography(made.records, ["calibration", "doubt", "places"])
    assert "{Guo2017," in text
    assert "{Gal2016," in text
    assert "Demsar" not in text
    makers = {maker.__module__.rsplit(".", 1)[1] for maker in MAKERS} | {"doubt", "labels", "looks", "places"}
    assert set(SECTIONS) <= makers, "a reference of a section that is not there is never cited"


def test_methods_name_what_was_done(made):
    text = " ".join(methods(made.comparisons["best"], made.records))
    for part in (
        "first-galaxy-data (Griese",
        "200 test sources",
        "ConvXpress (Becker, Vaccari, Prescott & Grobler 2021",
        "MCRGNet (Ma et al. 2019",
        "3 seeds (1826, 4915, 8901)",
        "96 x 96 pixels",
        "the model of the lowest validation loss was tested",
        "MPCA",
    ):
        assert part in text, part
    assert "the model of the last epoch was tested" in " ".join(
        methods(made.comparisons["final"], made.records)
    )


def test_keys_are_first_author_and_year():
    assert Reference("Krizhevsky, Sutskever & Hinton 2012, NeurIPS 25").key == "Krizhevsky2012"
    assert Reference("A network of nobody").key == "A"
