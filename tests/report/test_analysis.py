"""The report's later sections: what they are made of, what they say, and that they stand hostile names."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest

from rgbench.comparison.groups import comparable_groups
from rgbench.comparison.summary import compare
from rgbench.comparison.words.second_views import with_second_views
from rgbench.escapes import csv_text
from rgbench.report import page
from rgbench.report.blocks import Figure, Section, Table
from rgbench.report.cells import Cell
from rgbench.report.draw.plots import Axes, Line, lines_figure
from rgbench.report.html import write_page
from rgbench.report.material import Beside, Runs
from rgbench.report.sections import differences, make, ranking
from rgbench.store.tables import concatenate

NAMES = np.array([f"source {i}" for i in range(60)])
ALWAYS = ("table", "ranking", "models", "confusion", "training", "sources", "runs", "terms", "cite")
"""Anchors of the sections that every report has."""


def parts(main, records, beside=None) -> list[Section]:
    """Make the sections that need runs which have learnt something."""
    found = make(Runs.of(main, records, beside))
    assert found.problems == ()
    return [section for section in found.made if section.anchor not in ALWAYS]


def left_out(main, records, beside=None) -> dict[str, str]:
    """Give the sections that are not there, with the reasons."""
    return {each.name: each.reason for each in make(Runs.of(main, records, beside)).left_out}


@pytest.fixture(scope="module")
def sections(made) -> dict[str, Section]:
    return {part.anchor: part for part in parts(made.comparisons["best"], made.records)}


def test_every_section_is_there_for_runs_that_have_all(sections):
    assert list(sections) == [
        "differences",
        "places",
        "failures",
        "labels",
        "calibration",
        "doubt",
        "design",
        "overfitting",
        "ensembles",
    ]
    for part in sections.values():
        assert part.title.endswith("?"), "every section has a question"
        assert part.finding.endswith("."), "and says in a sentence what it found"
        assert len(part.finding.split()) < 40
        assert part.finding not in part.sentences
        assert part.notes
        assert part.tables or part.figures


def test_tables_hold_a_cell_for_each_column_and_download(sections):
    for part in sections.values():
        for table in part.tables:
            assert table.rows, table.name
            assert {len(row) for row in table.rows} == {len(table.columns)}, table.name
            for _, file, address in table.downloads:
                content = b64decode(address.partition("base64,")[2]).decode()
                if file.endswith(".csv"):
                    rows = list(csv.reader(io.StringIO(content)))
                    kinds = [
                        name.removesuffix(" low").removesuffix(" high").removesuffix(" spread")
                        for name in rows[0]
                    ]
                    assert list(dict.fromkeys(kinds)) == list(dict.fromkeys(table.columns))
                    assert {len(row) for row in rows} == {len(kinds)}
                    assert len(rows) == len(table.rows) + 1
                else:
                    assert content.count(r"\\") == len(table.rows) + 1
                    assert r"\toprule" in content


def test_figures_are_svg_with_their_numbers(sections):
    figures = [figure for part in sections.values() for figure in part.figures]
    assert len(figures) == 11
    for figure in figures:
        root = ET.fromstring(figure.drawing)
        assert root.get("aria-label")
        assert figure.rows
        assert {len(row) for row in figure.rows} == {len(figure.columns)}
        assert not re.search(r'="(nan|inf)', figure.drawing)


def test_what_is_said_agrees_with_the_comparison(sections, made):
    main = made.comparisons["best"]
    rows = {row[0].text: row for row in sections["places"].tables[0].rows}
    assert set(rows) == {row.network for row in main.rows}
    by_mpca = sorted(rows.values(), key=lambda row: row[6].value)
    assert [row[0].text for row in by_mpca] == [row.network for row in main.rows]
    pairs = sections["differences"].tables[0].rows
    assert [(row[0].text, row[1].text) for row in pairs] == [(p.first, p.second) for p in main.pairs]
    assert [row[2].value for row in pairs] == [p.difference for p in main.pairs]
    assert (
        "With 200 test sources and these runs, a true difference of " in sections["differences"].sentences[0]
    )
    apart = sum(pair.separable for pair in main.pairs)
    assert sections["differences"].finding.startswith(
        "Yes: all 3" if apart == 3 else f"{apart} of 3 pairs are"
    )


@pytest.mark.parametrize("metric", ["mpca", "accuracy", "nll", "macro_f1"])
def test_the_notes_of_differences_are_those_of_the_metric(runs, metric):
    records = runs(("mcrgnet", "convxpress"), (1, 2), NAMES[:40])
    found = differences.section(Runs.of(compare(records, metric, resamples=200), records))
    said, scored = found.notes[0], metric in ("mpca", "accuracy")
    for part in ("step-down minP", "benchmarks/coverage_runs.py", "First better"):
        assert (part in said) == scored, part
    assert ("first better" in found.tables[0].columns) == scored
    assert ("by Holm's method (Holm 1979). It decides" in said) == (not scored)
    assert ("transformed t" in said) == (metric == "nll")
    assert ("too narrow" in said) == (metric == "macro_f1")


def test_random_splits_are_said_to_rest_on_the_bootstrap_and_holm(runs):
    both = ("mcrgnet", "convxpress")
    records = []
    for record in runs(both, (1,), NAMES) + runs(both, (2,), np.char.add(NAMES, "b")):
        data = record.spec.data.model_copy(update={"split": "becker2021"})
        records.append(replace(record, spec=record.spec.model_copy(update={"data": data})))
    found = differences.section(Runs.of(compare(records), records))
    said = found.notes[0]
    assert "percentile bootstrap in which a source has one weight" in said
    assert "by Holm's method (Holm 1979). It decides" in said
    assert "minP" not in said
    assert "first better" not in found.tables[0].columns


def test_one_pair_is_spoken_of_as_one(runs):
    records = runs(("mcrgnet", "convxpress"), (1, 2), NAMES[:12])
    main = compare(records)
    assert not main.pairs[0].separable
    first, second = main.pairs[0].first, main.pairs[0].second
    found = differences.section(Runs.of(main, records))
    assert found.finding == f"That cannot be shown: {first} and {second} are not told apart."
    three = runs(seeds=(1, 2), names=NAMES[:4])
    found = differences.section(Runs.of(compare(three), three))
    assert found.finding == "That cannot be shown for any of 3 pairs."


def test_one_run_has_no_pairs_and_no_ensemble(made):
    alone = made.records[:1]
    found = [part.anchor for part in parts(compare(alone), alone)]
    assert found == ["failures", "labels", "calibration", "doubt", "overfitting"]
    why = left_out(compare(alone), alone)
    assert why["Ensembles"] == "there is one run only"
    assert why["Robustness, and another image of the same sources"] == "run rgbench stress"
    assert why["What the networks look at"] == "run rgbench explain"
    failed = [replace(record, status="failed", predictions=None) for record in made.records]
    assert parts(compare(failed), failed) == []


def test_runs_on_different_test_sources_are_told_why_sections_are_left_out(runs):
    other = runs(("mcrgnet",), (1,), NAMES) + runs(("convxpress",), (1,), np.char.add(NAMES, "b"))
    found = {part.anchor: part for part in parts(compare(other), other)}
    assert list(found) == ["places", "failures", "labels", "design", "overfitting"]
    why = left_out(compare(other), other)
    for name in ("Ensembles", "Calibration", "Uncertainty"):
        assert why[name].endswith(
            "and the runs do not share their test sources, as every seed or fold has a split of its own"
        )
    content = page.make(Runs.of(compare(other), other))
    assert {each.name for each in content.absent} == set(why)
    assert "Guo2017" not in content.section("cite").blocks[-1].blocks[0].text, (
        "what a section that is left out would have used is not cited"
    )


def test_folds_that_hold_out_other_validation_sources_are_told_so(made):
    table = made.records[1].predictions
    other = np.where(table.split == "validation", np.char.add(table.source_id, "b"), table.source_id)
    moved = replace(made.records[1], predictions=replace(table, source_id=other))
    records = [made.records[0], moved, *made.records[2:]]
    found = {part.anchor: part for part in parts(compare(records), records)}
    assert "do not share their validation sources" in left_out(compare(records), records)["Calibration"]
    assert found["differences"].tables, "test sources are enough for paired differences"


def test_overfitting_is_written_to_the_digits_that_matter(sections):
    for row in sections["overfitting"].tables[0].rows:
        for cell, decimals in zip(row[2:], (1, 1, None, 2, 2, 3, 1), strict=True):
            if decimals is not None and cell.text != "–":
                assert re.fullmatch(rf"−?\d+\.\d{{{decimals}}} ± \d+\.\d{{{decimals}}}", cell.text), cell
                assert cell.text.startswith(f"{cell.value:z.{decimals}f}".replace("-", "−"))


def test_hostile_names_stay_text(runs, tmp_path):
    records = runs(("mcrgnet", "convxpress"), (1, 2), np.char.add("<script>1</script>", NAMES))
    table = Table("t", "<b>title</b>", ("a&b", "<i>"), ((Cell("<script>1</script>"), Cell("50 %_$", 0.5)),))
    assert r"50 \%\_\$" in table.latex()
    assert table.csv() == "a&b,<i>\n<script>1</script>,0.5\n"
    figure = Figure(
        "f", "<b>", lines_figure([Line("<x>", np.arange(2.0), np.arange(2.0))], Axes("<", ">"), '"'), ""
    )
    assert "<x>" not in figure.drawing
    ET.fromstring(figure.drawing)
    path = write_page(tmp_path / "r.html", {"best": compare(records)}, records)
    assert "<script>1" not in path.read_text()


def test_lines_have_gaps_where_values_are_missing():
    line = Line(
        "a", np.arange(5.0), np.array([1, 2, np.nan, 4, 5]), np.zeros(5), np.full(5, 6.0), points=True
    )
    drawing = lines_figure([line], Axes("x", "y", log=False, diagonal=True), "label")
    assert drawing.count("<polyline") == 2
    assert drawing.count('class="mark c0"') == 4
    assert drawing.count("<polygon") == 1
    empty = Line("b", np.arange(3.0), np.full(3, np.nan))
    assert "<polyline" not in lines_figure([empty], Axes("x", "y", (0, 1), (0, 1)), "label")
    log = lines_figure(
        [Line("c", np.array([10.0, 100, 1000]), np.arange(3.0))], Axes("n", "y", log=True), "label"
    )
    assert ">100<" in log


def test_missing_values_are_empty_cells():
    assert csv_text([("a", "b"), (None, 1.5), ("x", float("nan"))]) == "a,b\n,1.5\nx,nan\n"
    assert Cell("–").data is None
    assert Cell("5 %", 5.0).data == 5.0


def on_fewer(record, n: int, seed: int):
    """Give a run as if on n training sources: the fewer, the more of its answers are turned to another class."""
    predictions = record.predictions
    turned = np.random.default_rng([n, seed]).random(len(predictions)) < 2 * n**-0.5
    logits = np.where(turned[:, None], np.roll(predictions.logits, 1, axis=1), predictions.logits)
    spec = record.spec.model_copy(update={"data": record.spec.data.model_copy(update={"train_limit": n})})
    cost = {**record.cost, "training_sources": n}
    return replace(record, spec=spec, cost=cost, predictions=replace(predictions, logits=logits))


@pytest.mark.slow
def test_runs_on_fewer_sources_make_a_learning_curve(runs):
    whole = [on_fewer(record, 1600, record.spec.seed) for record in runs(("mcrgnet",), (1, 2, 3))]
    smaller = [
        on_fewer(record, n, record.spec.seed)
        for n in (100, 200, 400)
        for record in runs(("mcrgnet",), (1, 2, 3))
    ]
    ((lead, rest),) = comparable_groups([*smaller, *whole])
    assert lead == whole
    assert len(rest) == 9
    found = {part.anchor: part for part in parts(compare(lead), lead, Beside(tuple(rest)))}
    section = found["learning"]
    assert section.finding.startswith("By the fitted law, twice as many training sources would take ")
    assert section.sentences[0].startswith("mcrgnet: from 100 to 1,600 training sources the error went from ")
    assert len(section.figures[0].rows) == 12
    few = parts(compare(lead), lead, Beside(tuple(r for r in rest if r.spec.data.train_limit == 100)))
    refused = next(part for part in few if part.anchor == "learning")
    assert "mcrgnet: " in refused.sentences[0]
    assert refused.tables == ()
    assert "learning" not in {part.anchor for part in parts(compare(lead), lead)}


def test_other_data_make_another_family(runs):
    one = runs(("mcrgnet",), (1,))
    other = [
        replace(
            r, spec=r.spec.model_copy(update={"data": r.spec.data.model_copy(update={"checksum": "1" * 64})})
        )
        for r in one
    ]
    assert comparable_groups([*one, *other]) == [(one, []), (other, [])]


def disturbed(record, names: tuple[str, ...]):
    """Give predictions on disturbed images: the later the condition, the more answers are turned."""
    tables = []
    for k, name in enumerate(names):
        test = record.predictions.select("test", "best")
        turned = np.random.default_rng([k, record.spec.seed]).random(len(test)) < 0.1 * k
        logits = np.where(turned[:, None], np.roll(test.logits, 1, axis=1), test.logits)
        tables.append(replace(test, logits=logits, condition=np.full(len(test), name)))
    return concatenate(tables)


def test_second_views_are_told_with_the_share_that_keeps_its_class(runs):
    records = runs(("mcrgnet", "convxpress"), (1, 2))
    stressed = {r.run_id: disturbed(r, ("noise-1.0", "view-1")) for r in records}
    beside = Beside(conditions=stressed)
    section = {part.anchor: part for part in parts(compare(records), records, beside)}["robustness"]
    content = page.make(Runs.of(with_second_views(compare(records), records, stressed), records, beside))
    said = [each for each in section.sentences if each.startswith("In another image of the same 60 sources")]
    assert len(said) == 1 or len(section.sentences) > 2
    assert not set(content.answer) & set(section.sentences), (
        "what the section says, the answer does not repeat"
    )
    column = content.tables[0].columns.index("MPCA in a second image %")
    view = Runs.of(compare(records), records, beside).second_view
    for row in content.tables[0].rows:
        mean, low, high = view.scores[row[0].text].values["mpca"]
        assert row[column].value == mean
        assert row[column].beneath == f"{100 * low:.0f} – {100 * high:.0f}"
    assert [figure.name for figure in section.figures] == ["robustness-noise"], "draws are no curve"
    table = section.tables[0]
    kept = table.columns.index("class kept %")
    noise, view = table.rows[:2]
    assert view[1].text == "view-1"
    assert noise[kept].value == 1
    assert view[kept + 1].value < view[kept].value < view[kept + 1].high
    assert "95 % interval of the kept low" in table.csv().splitlines()[0]


@pytest.mark.slow
def test_runs_that_were_stressed_have_a_section_on_robustness(runs):
    records = runs(("mcrgnet", "convxpress"), (1, 2))
    names = ("rotation-000", "rotation-090", "rotation-180", "noise-1.0", "noise-2.0")
    stressed = {r.run_id: disturbed(r, names) for r in records if r.spec.network.name == "mcrgnet"}
    found = {part.anchor: part for part in parts(compare(records), records, Beside(conditions=stressed))}
    section = found["robustness"]
    assert [figure.name for figure in section.figures] == ["robustness-rotation", "robustness-noise"]
    assert [row[1].text for row in section.tables[0].rows] == ["noise-1.0", "noise-2.0"]
    assert {row[0].text for row in section.tables[0].rows} == {"mcrgnet"}, "the other one was not stressed"
    assert "get the same class at all 3 angles" in " ".join(section.sentences)
    assert section.tables[0].rows[1][3].value > section.tables[0].rows[0][3].value > 0
    one = dict(list(stressed.items())[:1])
    anchors = {part.anchor for part in parts(compare(records), records, Beside(conditions=one))}
    assert "robustness" not in anchors, "every seed must have been stressed"


def test_without_intervals_the_page_decides_nothing(runs):
    """Of one source of each class a loss has no interval."""
    records = runs(names=NAMES[:4])
    main = compare(records, metric="nll")
    found = {part.anchor: part for part in page.make(Runs.of(main, records)).sections}
    assert [cell.text for row in found["differences"].tables[0].rows for cell in row[3:6]] == ["–"] * 9
    assert {row[-2].text for row in found["places"].tables[0].rows} == {"a"}
    (paired,) = found["differences"].figures
    assert paired.drawing.count('class="dot dull"') == 3
    for part in found.values():
        texts = [
            *part.sentences,
            *part.notes,
            *(cell.text for t in part.tables for row in t.rows for cell in row),
        ]
        assert not [text for text in texts if re.search(r"\bnan\b|beats (?!another)|: \.", text)]


def test_ranks_without_an_interval_are_said_to_have_none(made):
    main = made.comparisons["best"]
    drawn = {name: np.where(np.arange(len(own)) == 5, np.nan, own) for name, own in main.resamples.items()}
    found = {part.anchor: part for part in parts(replace(main, resamples=drawn), made.records)}["places"]
    assert found.sentences[0] == (
        "It cannot be said how probably each network has the best MPCA: there are too few test sources to resample "
        "them."
    )
    assert {cell.text for row in found.tables[0].rows for cell in row[7:9]} == {"–"}


def test_in_a_wide_field_the_likeliest_are_named(made):
    """None of 25 equal networks is first in one resample of twenty."""
    main, draws = made.comparisons["best"], np.random.default_rng(1)
    rows = [replace(main.rows[0], network=f"n{i}", notes=()) for i in range(25)]
    drawn = {row.network: draws.normal(size=2000) for row in rows}
    wide = replace(main, rows=tuple(rows), pairs=(), resamples=drawn)
    said = next(
        s for s in ranking.section(Runs.of(wide, made.records)).sentences if s.startswith("With other test")
    )
    assert len(re.findall(r"n\d+ in [45] %", said)) == 4
