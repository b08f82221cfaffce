"""The first screen of the report, and what its sections say: the joining sentence, the main table, labels, design."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

import rgbench
from rgbench.comparison.summary import compare
from rgbench.comparison.words.answer import without_pairs
from rgbench.report import page
from rgbench.report.files.text import comparison_csv
from rgbench.report.material import Beside, Runs
from rgbench.report.sections import cite, design, label_errors, overfitting, ranking
from rgbench.report.sections.table import images_words, main_table
from rgbench.report.sections.terms import TERMS


def with_costs(records, **of):
    """Give records whose networks have other numbers of operations."""
    return [
        replace(r, cost=r.cost | {"macs": of.get(r.spec.network.name.replace("-", "_"), 1e6)})
        for r in records
    ]


def runs_of(records, **beside) -> Runs:
    return Runs.of(compare(records), records, Beside(**beside))


def test_one_sentence_joins_the_verdict_and_the_ranking(made):
    runs = runs_of(made.records)
    best, cheap = runs.main.rows[:2]
    (said,) = ranking.joined(runs)
    lost = 100 * (best.metrics["mpca"].mean - cheap.metrics["mpca"].mean)
    assert said == (
        "Where inference time, parameters and operations count as much as MPCA, the first choice is mcrgnet: it "
        f"needs 7 % of the operations; its MPCA is {lost:.1f} points lower, a difference that is more than chance."
    )
    answer = page.make(runs).answer
    assert answer[:2] == (runs.main.words[0], said)


def test_what_is_joined_follows_weights_and_ties(made):
    alone = runs_of(made.records, weights={"mpca": 1.0})
    assert ranking.joined(alone) == (), "nothing but the score counts"
    heavy = runs_of(made.records, weights={"mpca": 9.0, "macs": 1.0})
    assert ranking.joined(heavy) == ("It is also the first choice where operations count too.",)
    tied = runs_of(made.records, weights={"mpca": 1.0, "macs": 1.0})
    assert ranking.joined(tied) == ("Where operations count as much as MPCA, mcrgnet is as good a choice.",)
    one = [r for r in made.records if r.spec.network.name == "mcrgnet"]
    assert ranking.joined(runs_of(one)) == ()


def test_scores_on_clipped_images_say_so_beside_the_verdict(made):
    (said,) = images_words("first-galaxy-data")
    assert "8-bit images" in said
    assert "3 times the noise" in said
    assert images_words("my-own") == ()
    assert page.make(runs_of(made.records)).answer[-1] == said


def test_the_main_table_has_the_recall_of_every_class_and_the_cost_of_an_answer(made):
    runs = runs_of(made.records)
    table = main_table(runs)
    for row, cells in zip(runs.main.rows, table.rows, strict=True):
        named = dict(zip(table.columns, cells, strict=True))
        estimate = row.metrics["mpca"]
        assert named["MPCA %"].value == estimate.mean
        assert named["MPCA %"].beneath == f"{100 * estimate.low:.1f} – {100 * estimate.high:.1f}"
        for name, recall in zip(runs.main.classes, row.recalls, strict=True):
            assert named[f"{name} recall %"].value == recall.mean
            assert named[f"{name} recall %"].beneath == f"{100 * recall.low:.0f} – {100 * recall.high:.0f}"
        assert np.mean([each.mean for each in row.recalls]) == pytest.approx(estimate.mean)
        assert named["seeds"].value == 3
        assert row.views == 8
        assert named["MACs"].value == 8 * row.cost["macs"]
        assert named["inference images/s"].value == row.cost["inference_images_per_second"] / 8
    assert "for one answer, all its views included" in dict(TERMS)["MAC"], "as the table has it"
    costs = ("seeds", "parameters", "MACs", "training time", "inference images/s")
    assert table.columns[-len(costs) :] == costs
    lines = list(csv.DictReader(io.StringIO(comparison_csv(runs.main))))
    for row, line in zip(runs.main.rows, lines, strict=True):
        assert float(line["recall_Bent_low"]) == row.recalls[3].low
        assert float(line["macs"]) == 8 * row.cost["macs"]
        assert line["views"] == "8"
    table = runs.main.table()
    assert table["macs"].tolist() == [8 * row.cost["macs"] for row in runs.main.rows]
    assert table["recall_Bent"].tolist() == [row.recalls[3].mean for row in runs.main.rows]
    for head, name in (
        ("n_test", "test_sources"),
        ("macs", "macs"),
        ("mpca_low", "mpca_low"),
        ("nll_mean", "nll"),
    ):
        assert [float(line[head]) for line in lines] == table[name].tolist()
    assert "8 views" in " ".join(cite.methods(runs.main, runs.records))


def renamed(record, name):
    network = record.spec.network.model_copy(update={"name": name})
    return replace(record, spec=record.spec.model_copy(update={"network": network}))


def named(runs, *names) -> Runs:
    """Give networks of these names that all say the same."""
    return runs_of([renamed(r, name) for name in names for r in runs(networks=("mcrgnet",), seeds=(1, 2))])


@pytest.mark.parametrize("n", [5, 6, 7])
def test_many_pairs_are_left_to_their_table(runs, n):
    found = named(runs, *(f"net-{k}" for k in range(n)))
    answer = " ".join(page.make(found).answer)
    assert not any(pair.words in answer for pair in found.main.pairs)
    assert "in the report" not in answer
    whole = " ".join(found.main.words)
    assert whole.count("net-0 and net-1 cannot be told apart") == 1
    others = {
        6: "The other pair with net-0 stands in the report.",
        7: "The other 2 pairs with net-0 stand in the report.",
    }
    assert [said for said in found.main.words if "in the report" in said] == (
        [others[n]] if n in others else []
    )


def test_few_pairs_are_said_in_full(runs):
    found = named(runs, *(f"net-{k}" for k in range(4)))
    answer = page.make(found).answer
    assert [f"{pair.words}." in answer for pair in found.main.pairs] == [True] * 3 + [False] * 3


def test_no_sentence_is_taken_for_one_on_a_pair_because_of_its_words(runs):
    """A network whose name ends the verdict as pointers to the report end: a board left its verdict out."""
    records = runs(networks=("convxpress", "radio-galaxy-zoo"), seeds=(1, 2))
    found = compare(
        [r if r.spec.network.name == "convxpress" else renamed(r, "no. 2 in the report") for r in records]
    )
    verdict, pair, *rest = found.words
    assert verdict.endswith("and beats no. 2 in the report.")
    assert pair.startswith("convxpress beats no. 2 in the report by ")
    assert without_pairs(found) == (verdict, *rest)


def test_three_networks_cannot_show_what_their_design_does(made):
    section = design.section(runs_of(made.records))
    assert section.finding == (
        "3 networks cannot tell: whatever the order of their scores, it could be chance."
    )
    assert [figure.name for figure in section.figures] == [
        f"mpca-against-{key}" for key in ("receptive-field", "stride", "coverage")
    ]
    assert all("p is never below 0.33: nothing is shown" in said for said in section.sentences)
    rows = {row[0].text: row for row in section.tables[0].rows}
    assert [cell.value for cell in rows["convxpress"][2:]] == [333, 32, 3.47]
    assert {cell.text for cell in rows["Kendall's tau"][2:]} == {"0.33"}
    bare = [
        replace(r, cost={k: v for k, v in r.cost.items() if k != "receptive_field"}) for r in made.records
    ]
    assert design.section(runs_of(bare)).reason == "fewer than two networks tell their receptive field"
    two = design.section(runs_of([r for r in made.records if r.spec.network.name != "convxpress"]))
    assert len(two.figures) == 3
    assert two.finding.startswith("2 networks cannot tell")
    assert two.sentences[0] == (
        "Receptive field: nothing can be said, as it is known of fewer than 3 networks."
    )


def ordered(runs, seen, metric="mpca") -> Runs:
    """Give a network for each receptive field, stride and coverage; each is right less often than the one before."""
    records = []
    for k, (field, stride, coverage) in enumerate(seen):
        for record in runs(networks=("mcrgnet",), seeds=(1, 2)):
            wrong = np.arange(len(record.predictions)) % 20 < 2 * k
            logits = np.where(
                wrong[:, None], np.roll(record.predictions.logits, 1, axis=1), record.predictions.logits
            )
            cost = record.cost | {"receptive_field": field, "stride": stride, "coverage": coverage}
            predictions = replace(record.predictions, logits=logits)
            records.append(replace(renamed(record, f"net-{k}"), cost=cost, predictions=predictions))
    return Runs.of(compare(records, metric), records, Beside())


FALLING = [(300 - 40 * k, 8, 1 + k % 2) for k in range(6)]
"""Receptive field, stride and coverage of six networks."""


def test_six_networks_whose_score_rises_with_their_field_show_it(runs):
    section = design.section(ordered(runs, FALLING))
    assert (
        section.finding
        == "Among these 6 networks MPCA goes with receptive field; other reasons are not ruled out."
    )
    field, stride, _ = section.sentences
    assert field.startswith("Receptive field: with it, MPCA rises (Kendall's tau 1.00, 95 % interval ")
    assert field.endswith("That is more than chance.")
    assert stride == "Stride: nothing can be said, as the networks are alike in it, or in MPCA."


def test_a_loss_falls_where_scores_get_better(runs):
    field, *_ = design.section(ordered(runs, FALLING, "nll")).sentences
    assert field.startswith("Receptive field: with it, NLL falls (Kendall's tau 1.00, ")


def test_what_six_networks_can_show_depends_on_how_many_are_alike(runs):
    one_larger = [(63, 8, 1.0), *[(9, 8, 1.0)] * 5]
    section = design.section(ordered(runs, one_larger))
    assert section.finding.startswith("6 networks cannot tell: ")
    assert section.sentences[0].endswith("With these 6 networks p is never below 0.33: nothing is shown.")
    by_stride = [(9 + (k == 0), 32 - k, 1.0) for k in range(6)]
    section = design.section(ordered(runs, by_stride))
    assert section.finding.startswith("Among these 6 networks MPCA goes with stride")
    alike = design.section(ordered(runs, [(9, 8, 1.0)] * 3))
    assert alike.finding.startswith("3 networks cannot tell: ")


def test_labels_are_held_against_another_catalogue_class_by_class(runs):
    data = rgbench.load_data("first-galaxy-data")
    names = data.catalogue.source_id[data.splits["published"] == "test"]
    records = runs(networks=("mcrgnet", "convxpress"), seeds=(1, 2), names=names)
    found = runs_of(records, data=data)
    said = " ".join(label_errors.section(found).sentences)
    for part in (
        "342 of 378 FRII",
        "only 77 of 256 FRI: it calls these 94 Bent, 80 FRII and 5 Compact",
        "This is a difference of definition. It does not tell how many labels are wrong, and no highest possible "
        "score follows from it.",
    ):
        assert part in said


def test_losses_on_the_rotated_sets_of_2021_reach_the_report(made):
    def measured(record, train):
        kept = {
            "train_loss": train,
            "train_accuracy": 0.9,
            "validation_loss": 0.8,
            "validation_accuracy": 0.7,
        }
        return replace(
            record,
            cost=record.cost | {"evaluation": {"best": kept, "final": {**kept, "train_loss": train / 2}}},
        )

    losses = {"convxpress": 0.2, "mcrgnet": 0.4, "radio-galaxy-zoo": 0.6}
    section = overfitting.section(runs_of([measured(r, losses[r.spec.network.name]) for r in made.records]))
    (said,) = section.sentences
    assert said == (
        "On the rotated sets of the 2021 study, the best model of convxpress overfits most: its training loss is 0.25 "
        "times its validation loss. radio-galaxy-zoo overfits least (0.75 times)."
    )
    rows = {(row[0].text, row[1].text): row for row in section.tables[0].rows}
    assert rows["mcrgnet", "best"][5].value == pytest.approx(0.5)
    assert rows["mcrgnet", "final"][5].value == pytest.approx(0.25)
    assert rows["mcrgnet", "final"][2].value == 3
    assert [table.name for table in overfitting.section(runs_of(made.records)).tables] == ["overfitting"]
