"""Sections are of one kind and can be added from outside; the page follows the metric that was asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from rgbench.comparison.summary import compare
from rgbench.errors import SpecError
from rgbench.measures.catalogue import find_metric
from rgbench.registry import Registry
from rgbench.report import page, sections
from rgbench.report.blocks import Code, Figure, Fold, Gallery, Grid, Section, Table
from rgbench.report.cells import Cell
from rgbench.report.draw import svg
from rgbench.report.html import write_page
from rgbench.report.material import Beside, ReportOptions, Runs
from rgbench.report.sections import OWN, SectionCard, make
from rgbench.store.tables import MODELS


@pytest.fixture
def registry(monkeypatch) -> Registry[SectionCard]:
    """The sections in a registry of the test's own."""
    own = Registry("report section", adapt=sections.sections()._adapt)
    for name, card in sections.sections():
        own.register(name, card)
    monkeypatch.setattr(sections, "sections", lambda: own)
    return own


def toy(runs: Runs) -> Section:
    drawing = svg.drawing(9, 9, [svg.line(0, 0, 9, 9, "rule")], "a line")
    figure = Figure("toy-figure", "Toy figure", drawing, columns=("x",), rows=((1,),))
    table = Table("toy-table", "Toy table", ("network",), ((Cell(runs.networks[0]),),))
    return Section(
        "toy",
        "Toy",
        "A toy",
        (f"{len(runs.records)} runs.",),
        blocks=(Fold("More", (Grid((figure,)), table)),),
        cites=("@misc{Toy2024,\n  note = {a toy}\n}",),
    )


def broken(runs: Runs) -> Section:
    raise ZeroDivisionError(f"{len(runs.records)} / 0 <b>")


@pytest.mark.slow
def test_a_section_of_another_package_is_in_menu_page_downloads_and_bibtex(registry, made, tmp_path):
    registry.register("toy", SectionCard("toy", toy, after="calibration"))
    content = page.make(Runs.of(made.comparisons, made.records))
    anchors = [anchor for anchor, _ in content.menu]
    assert anchors[anchors.index("calibration") + 1] == "toy"
    assert "toy-figure" in [figure.name for figure in content.figures]
    assert "toy-table" in [table.name for table in content.tables]
    assert content.problems == ()
    text = write_page(tmp_path / "r.html", made.comparisons, made.records).read_text()
    for part in ('<section id="toy" class="part"', "9 runs.", 'download="toy-table.csv"', "@misc{Toy2024,"):
        assert part in text, part


@pytest.mark.slow
def test_what_is_wrong_in_another_package_is_said_and_costs_nothing_else(registry, made, tmp_path):
    registry.register("broken", SectionCard("broken", broken))
    registry.register("twin", SectionCard("twin", lambda runs: Section("cite", "Mine", "Mine")))
    registry.register("words", SectionCard("words", lambda runs: "no section"))
    registry.register("lost", SectionCard("lost", lambda runs: None, after="nowhere"))
    registry.register("uncited", SectionCard("uncited", lambda runs: Section("u", "U", "U", cites=("No1",))))
    with pytest.raises(SpecError, match="'no-card' is a function; a SectionCard is legal"):
        registry.register("no-card", toy)
    registry._broken["away"] = "of their-package cannot be imported: ImportError: no libfoo"
    plain = [anchor for anchor, _ in page.make(Runs.of(made.comparisons, made.records)).menu]
    text = write_page(tmp_path / "r.html", made.comparisons, made.records).read_text()
    said = [unescape(each) for each in re.findall(r'<p class="warning" role="note">(.*?)</p>', text)]
    assert plain.count("cite") == 1
    for part in (
        "'broken' is left out: ZeroDivisionError: 9 / 0 <b>",
        "'cite' is that of another section",
        "gave a str; legal are Section and None",
        "'lost' is to stand after 'nowhere', which is none of scores, table,",
        "'uncited' is left out: KeyError: 'No1'",
        "'away' is left out: it of their-package cannot be imported: ImportError: no libfoo",
    ):
        assert any(part in sentence for sentence in said), (part, said)
    assert "/ 0 <b>" not in text


def test_several_sections_after_one_stand_in_the_order_of_their_names(registry, made):
    for name, after in (("b", "a"), ("c", "scores"), ("a", "scores")):
        maker = lambda runs, name=name: Section(name, name, name)  # noqa: E731
        registry.register(name, SectionCard(name, maker, after=after))
    found = make(Runs.of(made.comparisons, made.records))
    anchors = [section.anchor for section in found.made]
    assert found.problems == ()
    assert anchors[anchors.index("ranking") + 1 :][:3] == ["a", "b", "c"]


def test_an_entry_point_is_found_and_one_that_cannot_be_imported_is_said(monkeypatch, made):
    points = [EntryPoint("mine", "rgbench_no_such_package:section", "rgbench.sections")]
    monkeypatch.setattr("rgbench.registry.entry_points", lambda group: points)
    sections.sections.cache_clear()
    try:
        problems = make(Runs.of(made.comparisons, made.records)).problems
        assert any("rgbench_no_such_package" in problem for problem in problems)
    finally:
        sections.sections.cache_clear()


def test_every_section_that_ships_is_registered_once_in_the_order_of_the_page(made):
    assert tuple(name for name, _ in sections.sections()) == OWN
    assert len(OWN) == 23
    content = page.make(Runs.of(made.comparisons, made.records))
    anchors = {anchor for anchor, _ in content.menu}
    assert len(anchors) == len(content.menu)
    assert len(sections.ANCHORS) == len(OWN) + 1, "and the answer"
    assert anchors <= sections.ANCHORS
    with pytest.raises(KeyError):
        content.section("nothing")
    with pytest.raises(SpecError, match="registered twice"):
        sections.sections().register("cite", SectionCard("cite", toy))


@pytest.fixture(scope="module")
def texts(made, runs):
    """Give, by metric, the page and all that it says, headings apart."""
    found = {}
    elsewhere = runs(("convxpress", "mcrgnet"), (1, 2), np.array([f"e{i}" for i in range(60)]))
    for name in ("mpca", "macro_f1", "nll", "mcc", "ece"):
        comparisons = {model: compare(made.records, name, model) for model in MODELS}
        other = compare(elsewhere, name)
        beside = Beside(elsewhere={"another": other})
        found[name] = page.make(Runs.of(comparisons, made.records, beside))
    return found


def lead_texts(content: page.Page) -> list[str]:
    """Give what is said of the metric compared: answer, titles, sentences, headings of the columns of its tables."""
    about = ("ranking", "differences", "places", "across", "models", "learning", "ensembles")
    found = [content.title, *content.answer]
    for section in content.sections:
        if section.anchor not in about:
            continue
        found += [section.title, *section.sentences]
        found += [
            text for figure in section.all_figures for text in (figure.title, figure.words, figure.drawing)
        ]
        found += [text for figure in section.all_figures for text in (figure.name, *figure.columns)]
        found += [text for table in section.all_tables for text in (table.title, *table.columns)]
    return found


@pytest.mark.parametrize("name", ["macro_f1", "nll", "mcc", "ece"])
def test_what_is_said_of_the_metric_compared_names_it_and_no_other(texts, name):
    content, card = texts[name], find_metric(name)
    for text in lead_texts(content):
        assert "mpca" not in text.lower(), text
        assert "per-class accuracy" not in text.lower(), text
    assert card.words in content.answer[0]
    assert content.tables[0].columns[1].startswith(card.short)
    assert card.short in content.section("ranking").figures[0].drawing
    cited = " ".join(content.section("cite").sentences)
    assert f"Networks are compared by {card.words}" in cited
    assert any(card.short.lower() in term.lower() for term, _ in content.section("terms").blocks[0].items)


def test_the_page_of_the_main_metric_names_it_everywhere(texts):
    said = " ".join(lead_texts(texts["mpca"]))
    assert "mean per-class accuracy (MPCA)" in said
    assert "difference of MPCA / points" in said


@pytest.mark.parametrize("name", ["mpca", "macro_f1", "nll", "mcc", "ece"])
def test_no_text_says_nan_and_values_are_in_the_scale_of_the_card(texts, name):
    content, card = texts[name], find_metric(name)
    for section in content.sections:
        for table in section.all_tables:
            assert not re.search(r"\bnan\b", " ".join(cell.text for row in table.rows for cell in row)), (
                table.name
            )
            if table.name not in ("settings", "runs"):
                assert not re.search(r"\bnan\b", table.csv()), table.name
        assert not re.search(r"\bnan\b", " ".join((*section.sentences, *section.notes))), section.anchor
    assert not re.search(r"\bnan\b", " ".join(content.answer))
    row, shown = content.tables[0].rows[0], find_metric(name).scale == "percent"
    factor = 100 if shown else 1
    value = float(re.match(r"−?[\d.]+", row[1].text)[0].replace("−", "-"))
    assert value == pytest.approx(factor * row[1].value, rel=5e-3)
    assert content.tables[0].columns[1] == (f"{card.short} %" if shown else card.short)


def test_a_metric_without_an_interval_says_so(texts):
    assert find_metric("ece").interval == "none"
    content = texts["ece"]
    assert "no interval" in content.answer[0]
    assert {row[1].beneath for row in content.tables[0].rows} == {""}
    assert "has no interval" in content.section("ranking").figures[0].words
    assert "paired-differences" not in [figure.name for figure in content.figures]


def test_lower_is_better_turns_what_is_said(texts, made):
    content = texts["nll"]
    means = [row[1].value for row in content.tables[0].rows]
    assert means == sorted(means), "the lowest NLL leads"
    best = content.tables[0].rows[0][0].text
    assert content.answer[0].startswith(f"{best} has the best negative log-likelihood (NLL), ")
    caption = next(figure for figure in content.figures if figure.name == "nll-against-macs").words
    assert caption.startswith("Down is better")
    ranks = {row[0].text: row for row in content.section("places").all_tables[0].rows}
    assert ranks[best][6].value == 1
    assert ranks[best][8].value == max(row[8].value for row in ranks.values())


def test_the_terminal_and_the_page_give_the_same_answer(made, tmp_path):
    main = made.comparisons["best"]
    text = unescape(write_page(tmp_path / "r.html", made.comparisons, made.records).read_text())
    for sentence in main.words:
        assert text.count(f">{sentence}</p>") == 1, "once, whatever else the page says"


@pytest.mark.slow
def test_a_report_and_its_words_load_no_torch():
    program = (
        "import sys, rgbench.comparison.words.answer, rgbench.report.html, rgbench.report.of_store; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_blocks_of_every_kind_are_shown(made):
    kinds = {
        block.kind
        for section in make(Runs.of(made.comparisons, made.records)).made
        for block in section.content
    }
    assert kinds == {"text", "heading", "grid", "table", "terms", "key", "gallery", "fold"}
    assert Code("x").kind == "code"


@pytest.mark.parametrize(
    ("blocks", "tables", "why"),
    [
        ((Fold("a", ("b",)),), (), "UndefinedError"),
        ((Gallery((1,)),), (), "UndefinedError"),
        ((), (Table("../away", "T", ("x",), ((Cell("1"),),)),), "the name '../away' is to name files"),
        ((), (Table("ragged", "T", ("x", "y"), ((Cell("1"),),)),), "IndexError"),
    ],
)
def test_what_the_page_cannot_show_is_left_out_and_said(registry, made, tmp_path, blocks, tables, why):
    registry.register(
        "odd", SectionCard("odd", lambda runs: Section("odd", "O", "O", blocks=blocks, tables=tables))
    )
    options = ReportOptions(figures=tmp_path / "figures")
    text = unescape(
        write_page(tmp_path / "r.html", made.comparisons, made.records, options=options).read_text()
    )
    assert "The section 'odd' is left out: " in text
    assert why in text
    assert '<section id="odd"' not in text
    assert sorted(each.name for each in tmp_path.iterdir()) == ["figures", "r.html"]


@pytest.mark.slow
def test_a_section_that_changes_the_comparison_is_the_only_one_that_sees_it(registry, made, tmp_path):
    def changes(runs):
        runs.main.rows[0].metrics.clear()
        runs.main.resamples.clear()

    plain = write_page(tmp_path / "plain.html", made.comparisons, made.records).read_text()
    registry.register("changes", SectionCard("changes", changes, after="table"))
    assert write_page(tmp_path / "r.html", made.comparisons, made.records).read_text() == plain
