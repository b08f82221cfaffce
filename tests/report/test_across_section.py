"""Networks across data sets, the ranking's weights, and tests over splits, as the report tells them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import friedmanchisquare, rankdata, ttest_1samp

from rgbench.comparison.summary import compare
from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.errors import SpecError
from rgbench.report.blocks import LeftOut
from rgbench.report.draw.cd_diagram import cd_diagram
from rgbench.report.material import Beside, Runs, Setting
from rgbench.report.of_store import ReportSpec
from rgbench.report.sections import across, differences, ranking
from rgbench.statistics.rank_tests import Nemenyi, nemenyi
from rgbench.store.store import Store

N = 80
NETWORKS = ("convxpress", "mcrgnet", "radio-galaxy-zoo")
HOSTILE = '<script>alert("x")</script>'


def names_of(data: str) -> np.ndarray:
    return np.array([f"{data} {i}" for i in range(N)])


def on(runs, data: str, networks: tuple[str, ...] = NETWORKS, **more):
    """Give runs on a data set of its own; `more` are keys of the data, and the protocol."""
    protocol = more.pop("protocol", "modern")
    return [
        replace(
            record,
            run_id=f"{record.run_id}{data}{protocol}",
            spec=record.spec.model_copy(
                update={
                    "protocol": protocol,
                    "data": record.spec.data.model_copy(update={"name": data, **more}),
                }
            ),
        )
        for record in runs(networks, (1, 2), names_of(data))
    ]


def shuffled(records, network: str):
    """Make one network's answers those of chance."""
    return [
        replace(r, predictions=replace(r.predictions, logits=np.roll(r.predictions.logits, 1, axis=0)))
        if r.spec.network.name == network
        else r
        for r in records
    ]


def sky(data: str, ra: float) -> DataSet:
    """Give the data's sources, 36 arcsec apart in declination, 0 to 79."""
    zero = np.zeros(N, np.int64)
    dec = np.arange(N) / 100
    catalogue = Catalogue(names_of(data), np.full(N, ra), dec, zero, np.arange(N), zero.astype(str), zero)
    return DataSet(Card(data, data), catalogue, np.zeros((N, 1, 1), np.float32))


def section_of(groups, data=None):
    """Make the section of the first of some groups of runs, given by name."""
    data = data or {}
    compared = {name: compare(records) for name, records in groups.items()}
    settings = {name: Setting.of(records, data.get(name)) for name, records in groups.items()}
    first, *others = groups
    elsewhere = {name: compared[name] for name in others}
    beside = Beside(data=data.get(first), elsewhere=elsewhere, settings=settings)
    return across.section(Runs.of(compared[first], groups[first], beside)), compared


@pytest.fixture(scope="module")
def three(runs):
    groups = {name: on(runs, name) for name in ("one", "two", "three")}
    groups["two"] = shuffled(groups["two"], "convxpress")
    return section_of(
        groups, {"one": sky("one", 10), "two": sky("two", 10 + 5 / 3600), "three": sky("three", 50)}
    )


def test_the_table_has_every_networks_score_on_every_set(three):
    section, compared = three
    table = section.tables[0]
    assert table.columns[2::2] == tuple(f"{name}: MPCA %" for name in compared)
    scores = []
    for name, comparison in compared.items():
        place = table.columns.index(f"{name}: MPCA %")
        rows = {row.network: row.metrics["mpca"] for row in comparison.rows}
        for cells in table.rows:
            found = rows[cells[0].text]
            assert (cells[place].value, cells[place + 1].value) == (found.mean, found.low)
            assert cells[place + 1].high == found.high
        scores.append([cells[place].value for cells in table.rows])
    ranks = rankdata(-np.array(scores), axis=1).mean(axis=0)
    assert [row[1].value for row in table.rows] == pytest.approx(ranks)
    assert sorted(ranks) == list(ranks), "best first"


def test_three_sets_have_friedmans_test_and_a_diagram(three):
    section, _ = three
    scores = np.array([[cell.value for cell in row[2::2]] for row in section.tables[0].rows]).T
    said = next(words for words in section.sentences if words.startswith("Friedman's test"))
    limit = friedmanchisquare(*scores.T).pvalue
    assert f"by its limit for many data sets {limit:.2g}".rstrip("0") in said
    assert "from 3 data sets on, and neighbours from 11 on" in " ".join(section.sentences)
    (figure,) = section.figures
    assert [row[1] for row in figure.rows] == pytest.approx([row[1].value for row in section.tables[0].rows])
    assert figure.rows[0][2] == pytest.approx(nemenyi(scores).critical_difference)
    chances = np.array([[cell.value for cell in row[3:]] for row in section.tables[1].rows])
    assert chances.sum(axis=1) == pytest.approx(1)
    assert section.tables[1].rows[0][2].value == pytest.approx(np.mean(scores[:, 0] - scores[:, 1]))


def test_sets_that_share_test_sources_are_said_not_to_be_independent(three):
    section, _ = three
    said = " ".join(section.sentences)
    assert "80 test sources of one are test sources of two too: these two are not independent." in said
    assert "Counting sets that share test sources as one leaves 2 of the 3 data sets." in said
    assert [[cell.value for cell in row[2:]] for row in section.tables[2].rows] == [[80, 80], [0, 0], [0, 0]]
    assert "take data sets for independent draws" in section.notes[1]


def test_two_sets_have_no_test_and_unknown_positions_are_said(runs):
    section, _ = section_of({name: on(runs, name) for name in ("one", "two")})
    said = " ".join(section.sentences)
    assert "Two data sets are too few for Friedman's test" in said
    assert "from 3 data sets on" in said
    assert "Without positions it is not known which sources these share: one with two." in said
    assert section.figures == ()
    assert "p = " not in said
    assert len(section.tables[1].rows) == 3, "the signed-rank test says how little is known"


def test_what_is_no_other_data_set_is_not_counted(runs):
    groups = {
        "one": on(runs, "one"),
        "one, becker2021": on(runs, "one", protocol="becker2021"),
        "two, tested on one": on(runs, "two", test="one"),
        "two": on(runs, "two", NETWORKS[:1]),
    }
    section, _ = section_of(groups)
    said = " ".join(section.sentences)
    assert said.startswith("One data set only, one, so nothing can be said of others.")
    assert "one, becker2021, of protocol becker2021 where this report is of modern." in said
    assert "two, tested on one, tested on sources of one, which counts already." in said
    assert "two, which has fewer than two networks of this report." in said
    assert (section.tables, section.figures) == ((), ())
    alone, _ = section_of({"one": on(runs, "one")})
    assert alone == LeftOut(
        "Other data sets", "the store holds runs on one data set only; train on another one"
    )


def test_a_network_that_failed_on_a_set_has_the_lowest_rank_there(runs):
    groups = {name: on(runs, name) for name in ("one", "two", "three")}
    groups["two"] = [
        replace(r, status="failed", error="diverged", predictions=None, history={}, cost={})
        if r.spec.network.name == "convxpress"
        else r
        for r in groups["two"]
    ]
    section, compared = section_of(groups)
    row = next(row for row in section.tables[0].rows if row[0].text == "convxpress")
    assert row[4].text == "failed"
    values = [
        {each.network: each.metrics["mpca"].mean if each.metrics else -1.0 for each in compared[name].rows}
        for name in groups
    ]
    ranks = [rankdata([-own[network] for network in NETWORKS])[0] for own in values]
    assert ranks[1] == 3
    assert row[1].value == pytest.approx(np.mean(ranks))


def test_hostile_names_are_inert(runs):
    section, _ = section_of({name: on(runs, name) for name in (f"a{HOSTILE}", f"b{HOSTILE}", "c")})
    test = Nemenyi(np.array([1.2, 2.0, 2.8]), 1.0, np.ones((3, 3)), 0.05)
    for drawn in (section.figures[0].drawing, cd_diagram([HOSTILE, "b", "c"], test, HOSTILE)):
        assert "<script" not in drawn
        ET.fromstring(drawn)


@pytest.mark.parametrize("k", [3, 4, 7, 12])
def test_the_diagram_joins_what_is_not_told_apart(k):
    """Dots lie at the ranks, and each bar reaches from the first to the last rank of its group."""
    test = nemenyi(np.random.default_rng(k).random((20, k)) - np.linspace(0, 1, k))
    root = ET.fromstring(cd_diagram([f"n{i}" for i in range(k)], test, "ranks"))
    dots = {each[0].text.split(":")[0]: float(each.get("cx")) for each in root.iter("circle")}
    assert list(np.argsort([dots[f"n{i}"] for i in range(k)], kind="stable")) == list(
        np.argsort(test.ranks, kind="stable")
    )
    scale = np.polyfit(test.ranks, [dots[f"n{i}"] for i in range(k)], 1)
    bars = [each for each in root.iter("line") if "whisker" in each.get("class", "")]
    assert len(bars) == len(test.groups) > 0
    for bar, group in zip(bars, test.groups, strict=True):
        ends = [
            np.polyval(scale, rank) for rank in (min(test.ranks[list(group)]), max(test.ranks[list(group)]))
        ]
        assert [float(bar.get(key)) for key in ("x1", "x2")] == pytest.approx(
            [ends[0] - 4, ends[1] + 4], abs=0.2
        )
    texts = [(float(each.get("x")), float(each.get("y"))) for each in root.iter("text")]
    assert len(texts) == len(set(texts)), "no two words at one place"
    _, _, width, height = map(float, root.get("viewBox").split())
    assert all(0 <= x <= width and 0 < y < height for x, y in texts)


# Weights


def test_weights_change_the_order_and_the_report_says_so(made):
    runs = Runs.of(made.comparisons["best"], made.records)
    plain = ranking.section(runs)
    chosen = ranking.section(replace(runs, beside=Beside(weights={"mpca": 5.0, "macs": 1.0})))
    assert plain.finding.endswith("by MPCA, inference time, parameters and operations in equal parts.")
    assert chosen.finding.endswith("by MPCA (weight 5) and operations (weight 1), as chosen with --weights.")
    assert [row[0].text for row in plain.tables[1].rows] == ["as above", "recognition only"]
    orders = {row[0].text: row for row in chosen.tables[1].rows}
    assert list(orders) == ["as above", "default", "recognition only"]
    by_mpca = ", ".join(row.network for row in made.comparisons["best"].rows)
    assert orders["recognition only"][2].text == by_mpca
    first, other = (orders[key][2].text.split(", ") for key in ("as above", "default"))
    turned = sum(
        (first.index(a) < first.index(b)) != (other.index(a) < other.index(b)) for a in first for b in first
    )
    assert orders["default"][3].value == turned // 2


def test_failed_networks_stay_in_the_ranking_as_such(runs):
    records = runs()
    records = [
        replace(r, status="failed", error="loss is no number", predictions=None, history={}, cost={})
        if r.spec.network.name == "mcrgnet" or r.run_id == records[0].run_id
        else r
        for r in records
    ]
    section = ranking.section(Runs.of(compare(records), records))
    table = section.tables[0]
    assert table.rows[-1][0].text == "mcrgnet"
    assert table.tags == {2: "failed"}
    assert {cell.text for cell in table.rows[-1][1:]} == {"–"}
    said = " ".join(section.sentences)
    assert "mcrgnet has no rank, because it failed." in said


# Splits


def split(record, name: str):
    data = record.spec.data.model_copy(update={"split": name})
    cost = {**record.cost, "training_sources": 4 * N}
    return replace(record, spec=record.spec.model_copy(update={"data": data}), cost=cost)


def test_folds_are_tested_by_the_corrected_t(runs):
    """The runs come in an order that is not that of the folds, as they do from a store."""
    made = [
        replace(split(record, f"fold-{fold}"), run_id=f"{record.run_id}{fold}")
        for fold, seed in zip((3, 0, 4, 1, 2), (11, 12, 13, 14, 15), strict=True)
        for record in runs(NETWORKS[:2], (seed,), names_of("one"))
    ]
    main = compare(made)
    section = differences.section(Runs.of(main, made))
    scores = {
        (r.spec.network.name, r.spec.data.split): compare([r]).rows[0].metrics["mpca"].mean for r in made
    }
    first, second = main.pairs[0].first, main.pairs[0].second
    d = np.array([scores[first, f"fold-{i}"] - scores[second, f"fold-{i}"] for i in range(5)])
    row = section.tables[1].rows[0]
    assert [row[2].value, row[3].value] == pytest.approx([5, d.mean()])
    # Student's t, for 1/5 + 1/4 where it has 1/5: as many test sources as a quarter of the training sources.
    assert row[5].value == pytest.approx(ttest_1samp(d, 0).statistic * np.sqrt((1 / 5) / (1 / 5 + 1 / 4)))
    assert sum(cell.value for cell in row[7:]) == pytest.approx(1)
    assert "over 5 folds, on these 80 test sources alone" in " ".join(section.sentences)


def test_random_splits_have_the_tests_over_splits_but_not_mcnemars(runs):
    made = [
        split(record, "becker2021")
        for seed in (1, 2, 3)
        for record in runs(NETWORKS[:2], (seed,), names_of(f"seed {seed}"))
    ]
    section = differences.section(Runs.of(compare(made), made))
    assert "McNemar p" not in section.tables[0].columns
    assert "p" in section.tables[0].columns
    assert section.tables[1].rows[0][2].value == 3
    assert "over 3 random splits" in " ".join(section.sentences)


def test_one_published_split_has_no_tests_over_splits(made):
    section = differences.section(Runs.of(made.comparisons["best"], made.records))
    assert [table.name for table in section.tables] == ["differences"]
    assert "McNemar p" in section.tables[0].columns


# Files


@pytest.mark.slow
def test_every_report_has_the_name_of_its_data(runs, tmp_path, monkeypatch):
    from rgbench.cli.work import report as commands

    gone = {"path": "/there/is/no/such/folder"}
    records = [
        *on(runs, "one", **gone),
        *on(runs, "two", NETWORKS[:2], **gone),
        *on(runs, "two", NETWORKS[:2], protocol="becker2021", **gone),
    ]
    monkeypatch.setattr(Store, "records", lambda self, on_damage: records)
    console = Console(width=140, record=True)
    commands.report(tmp_path, ReportSpec(table=tmp_path / "t.csv"), console)
    files = ["report.html", "report-two-modern.html", "report-two-becker2021.html"]
    assert sorted(path.name for path in tmp_path.glob("*.html")) == sorted(files)
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == [
        "t-two-becker2021.csv",
        "t-two-modern.csv",
        "t.csv",
    ]
    said = console.export_text()
    for name, file in zip(("one", "two, modern", "two, becker2021"), files, strict=True):
        assert re.search(
            rf"^  {name} +\S*{re.escape(file)}$", said.replace("\n" + str(tmp_path), str(tmp_path)), re.M
        )
    assert "Which network classifies one best?" in (tmp_path / "report.html").read_text()
    with pytest.raises(SpecError, match="the measure 'beauty'; legal are mpca"):
        commands.report(tmp_path, ReportSpec(weights={"beauty": 1.0}), Console(quiet=True))
