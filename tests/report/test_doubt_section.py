"""Calibration, doubt and ensembles in the report: what stands there against counts of one's own."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import balanced_accuracy_score, log_loss

from rgbench.comparison.summary import compare
from rgbench.measures.catalogue import metrics
from rgbench.measures.uncertainty import with_members
from rgbench.report.blocks import Section, Table
from rgbench.report.cells import Cell
from rgbench.report.html import write_page
from rgbench.report.material import Beside, Runs
from rgbench.report.sections import calibration, ensembles, uncertainty
from rgbench.store.doubt import MC_DROPOUT
from rgbench.store.tables import SIDES, Predictions, concatenate

WAYS = ["single run", "MC dropout, 5 passes", "seed ensemble, 3 seeds"]


def passes(record, model: str = "best", m: int = 5) -> Predictions:
    parts = []
    for split in SIDES:
        rows = record.predictions.select(split, model)
        noise = np.random.default_rng(record.spec.seed).normal(0, 0.6, (m, len(rows), 4))
        scores = log_softmax(rows.log_probabilities() + noise, axis=2)
        parts.append(with_members(rows, MC_DROPOUT, scores))
    return concatenate(parts)


def runs_of(records, asked: bool = True, model: str = "best") -> Runs:
    beside = Beside(doubt={r.run_id: passes(r, model) for r in records} if asked else {})
    return Runs.of(compare(records, model=model), records, beside)


@pytest.fixture(scope="module")
def asked(made) -> Runs:
    return runs_of(made.records)


def table_of(section: Section | None, name: str) -> Table:
    return next(table for table in section.all_tables if table.name == name)


def column(table: Table, name: str) -> list[Cell]:
    return [row[table.columns.index(name)] for row in table.rows]


def test_single_runs_dropout_and_seeds_stand_in_one_table(asked):
    section = calibration.section(asked)
    for name in ("answers", "calibration"):
        table = table_of(section, name)
        assert [row[1].text for row in table.rows] == WAYS * 3
        assert [row[0].text for row in table.rows] == [name for name in asked.networks for _ in WAYS]
    table = table_of(section, "answers")
    main = {row.network: row.metrics for row in asked.main.rows}
    for network, way, value, span in zip(
        column(table, "network"),
        column(table, "answer"),
        column(table, "MPCA %"),
        column(table, "interval of MPCA"),
        strict=True,
    ):
        if way.text == "single run":
            known = main[network.text]["mpca"]
            assert value.value == pytest.approx(known.mean)
            # Here of these runs, for new sources alone; in the main table for new seeds too.
            assert span.value < known.mean < span.high
            assert (span.high - span.value) == pytest.approx(known.high - known.low, rel=0.5)
    gains = column(table, "NLL gained / nat")
    assert [cell.text for cell in gains[::3]] == ["–"] * 3
    assert all(cell.value > 0 for cell in gains[2::3])
    rows = list(csv.reader(io.StringIO(table.csv())))
    assert {len(row) for row in rows} == {len(rows[0])}


def test_the_ensemble_s_row_is_that_of_scikit_learn(asked):
    table = table_of(calibration.section(asked), "answers")
    for i, network in enumerate(asked.networks):
        tests = [r.predictions.select("test", "best") for r in asked.of_network(network)]
        p, y = np.mean([test.probabilities() for test in tests], axis=0), tests[0].label
        row = dict(zip(table.columns, table.rows[3 * i + 2], strict=True))
        assert row["NLL / nat"].value == pytest.approx(log_loss(y, p), abs=1e-6)
        assert row["MPCA %"].value == pytest.approx(balanced_accuracy_score(y, p.argmax(axis=1)))


def test_calibration_errors_are_the_registered_ones_and_defined_below(asked):
    section = calibration.section(asked)
    table = table_of(section, "calibration")
    for name, key in (("ECE, equal width %", "ece"), ("ECE, equal mass %", "ece_equal_mass")):
        card = metrics().get(key)
        tests = [r.predictions.select("test", "best") for r in asked.of_network(asked.networks[0])]
        wanted = np.mean([card.function(test.label, test.logits) for test in tests])
        assert column(table, name)[0].value == pytest.approx(wanted)
        assert card.definition in section.notes[-1]
    expected, high = (
        column(table, "equal mass, if calibrated %"),
        column(table, "95 % of calibrated ones below %"),
    )
    assert all(0 < a.value < b.value for a, b in zip(expected, high, strict=True))


def test_every_class_has_a_diagram_of_its_own(asked):
    figures = {figure.name: figure for figure in calibration.section(asked).all_figures}
    assert list(figures) == ["reliability", *(f"reliability-class-{c}" for c in (1, 2, 3, 4))]
    for c, name in enumerate(asked.main.classes, start=1):
        figure = figures[f"reliability-class-{c}"]
        assert name in figure.title
        assert "<polygon" in figure.drawing
        assert sum(row[-1] for row in figure.rows) == 200
        share = sum(row[2] * row[-1] for row in figure.rows) / 200
        assert share == pytest.approx(0.25)


def test_p_values_of_calibration_are_corrected_for_the_number_of_networks(asked, monkeypatch):
    found = {
        name: replace(calibration._tested(*each), p_value=0.03) for name, each in _answers(asked).items()
    }
    monkeypatch.setattr(calibration, "_tested", lambda *_: next(iter(found.values())))
    y, scores = next(iter(_answers(asked).values()))
    assert (
        calibration._finding(y, {"a": scores})
        == "Not those of a: they are wrong by more than chance explains."
    )
    assert "show no error" in calibration._finding(y, {"a": scores, "b": scores})


def _answers(runs: Runs):
    y = runs.side("test").y
    return {name: (y, calibration.mean_answer(own)) for name, own in runs.answers.items()}


def test_sources_are_rejected_by_each_kind_of_doubt(asked):
    section = uncertainty.section(asked)
    assert [figure.name for figure in section.figures] == [
        "rejection",
        "rejection-seeds",
        "rejection-dropout",
    ]
    for figure in section.figures[1:]:
        assert {row[0] for row in figure.rows} == {"max probability", "entropy", "mutual information"}
    assert "Means over 3 runs" in section.figures[2].words
    table = table_of(section, "doubt")
    assert [row[1].text for row in table.rows] == WAYS[1:] * 3
    for row in table.rows:
        named = dict(zip(table.columns, row, strict=True))
        parts = named["expected entropy"].value + named["mutual information"].value
        assert parts == pytest.approx(named["entropy / nat"].value)
        excess = named["area by mutual information %"].value - named["area by max probability %"].value
        assert named["mutual information less probability / points"].value == pytest.approx(excess)
        assert named["95 % interval"].value <= excess <= named["95 % interval"].high
    leading = [said for said in section.sentences if "mutual information" in said]
    assert len(leading) == 2
    assert all(said.startswith(asked.networks[0]) for said in leading)


def test_random_order_of_doubt_is_found_to_be_worse(made):
    """Passes that differ by chance alone: their mutual information tells little of errors."""
    section = uncertainty.section(runs_of(made.records[:3]))
    said = next(each for each in section.sentences if "MC dropout" in each)
    assert "mutual information is worse than the largest probability" in said


def test_conformal_sets_are_judged_for_each_way_and_the_promise_is_bounded(asked):
    section = uncertainty.section(asked)
    table = table_of(section, "conformal")
    assert [row[1].text for row in table.rows] == WAYS * 3
    for row in table.rows:
        named = dict(zip(table.columns, row, strict=True))
        assert named["95 % interval"].value < named["coverage %"].value < named["95 % interval"].high
        assert 1 <= named["mean size"].value <= 4
    note = section.notes[-1]
    assert "exchangeable" in note
    assert "chose the epoch of the best model" in note
    assert "25, 25, 25, 25 %" in note


def test_of_the_final_model_it_is_not_said_that_validation_sources_chose_it(made):
    runs = runs_of(made.records, model="final")
    for section in (calibration.section(runs), uncertainty.section(runs)):
        assert not any("chose the epoch" in note for note in section.notes)
    assert [row[1].text for row in table_of(calibration.section(runs), "answers").rows] == WAYS * 3


def test_validation_sources_unlike_the_test_sources_are_found_out(made):
    """Validation labels that the network always gets right promise sets that are too small."""
    flattered = []
    for record in made.records:
        table = record.predictions
        sure = np.where(
            (table.split == "validation")[:, None], 20 * np.eye(4)[table.label], table.logits
        ).astype(np.float32)
        flattered.append(replace(record, predictions=replace(table, logits=sure)))
    section = uncertainty.section(runs_of(flattered, asked=False))
    assert "less often than chance allows" in section.sentences[-1]


def test_without_passes_and_with_one_seed_the_sections_are_shorter(made):
    runs = runs_of(made.records, asked=False)
    assert [row[1].text for row in table_of(calibration.section(runs), "answers").rows] == WAYS[::2] * 3
    alone = runs_of(made.records[:1], asked=False)
    section = uncertainty.section(alone)
    assert [table.name for table in section.tables] == ["conformal"]
    assert "rgbench uncertainty" in section.notes[0]
    assert [row[1].text for row in table_of(calibration.section(alone), "answers").rows] == ["single run"]


@pytest.mark.slow
def test_the_ensemble_that_is_spoken_of_is_chosen_on_validation_sources(made):
    """Other test labels change the scores, never the choice."""
    runs = runs_of(made.records, asked=False)
    other = []
    for record in made.records:
        table = record.predictions
        moved = np.where(table.split == "test", (table.label + 1) % 4, table.label)
        other.append(replace(record, predictions=replace(table, label=moved)))
    moved_runs = replace(runs, complete=tuple(other))
    made_of = (ensembles.section(each) for each in (runs, moved_runs))
    said, moved_said = ((each.finding, *each.sentences) for each in made_of)
    assert len(said) == len(moved_said) == 3
    for sentence, again in zip(said[:2], moved_said[:2], strict=True):
        assert sentence.startswith(
            ("All 9 runs together", "The ensemble that is best on validation sources (")
        )
        for what in (r"\(\d+ members\)", r"single run \([^)]*seed \d+\)"):
            assert re.findall(what, sentence) == re.findall(what, again)


def test_ensembles_are_combined_in_every_way_and_their_differences_shown(made):
    section = ensembles.section(runs_of(made.records, asked=False))
    names = [table.name for table in section.all_tables]
    assert names == [
        "ensembles",
        "ensemble-rules",
        "ensemble-groups",
        "ensemble-diversity",
        "ensemble-pairs",
        "ensemble-members",
    ]
    groups, rules = table_of(section, "ensemble-groups"), table_of(section, "ensemble-rules")
    assert len(rules.rows) == len(groups.columns) - 1 == 5
    everything = groups.rows[-1]
    assert [cell.value for cell in everything[1:]] == pytest.approx([row[1].value for row in rules.rows])
    kinds = {row[0].text: row[1].text for row in section.tables[0].rows}
    assert set(kinds.values()) == {"seeds", "networks", "everything", "chosen, all subsets tried"}
    pairs = table_of(section, "ensemble-pairs")
    assert len(pairs.rows) == 9 * 8 // 2
    mean = np.mean([row[3].value for row in pairs.rows])
    diversity = table_of(section, "ensemble-diversity")
    assert diversity.rows[-1][3].value == pytest.approx(mean)


def test_the_page_is_written_with_doubt(made, tmp_path):
    beside = Beside(doubt={r.run_id: passes(r) for r in made.records})
    path = write_page(tmp_path / "r.html", made.comparisons, made.records, beside=beside)
    page = path.read_text()
    assert 'id="doubt"' in page
    assert "MC dropout, 5 passes" in page
