"""Methods text and BibTeX, made from the cards of what was used."""

from __future__ import annotations

import re
from dataclasses import replace

from rgbench.report.analysis import MAKERS
from rgbench.report.citations import SECTIONS, Reference, bibliography, methods, references


def test_networks_data_and_statistics_are_cited_once_each(made):
    text = bibliography(made.records)
    keys = re.findall(r"^@\w+\{(\w+),$", text, flags=re.M)
    assert len(keys) == len(set(keys))
    assert {"Becker2021", "Lukic2018", "Ma2019", "Griese2023", "Wilson1927", "Tango1998", "Holm1979"} <= set(
        keys
    )
    assert "Corani2015" not in keys
    assert text.count("{") == text.count("}")
    assert r"Zou \& Donner" in text
    assert "10.5281/zenodo.7120632" in text


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
    makers = {maker.__module__.rsplit(".", 1)[1] for maker in MAKERS}
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
