"""The report: one file, complete, inert, and alive in a browser."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from rgbench.cli.work.report import say_results
from rgbench.comparison.summary import compare
from rgbench.report import page
from rgbench.report.files.text import comparison_csv, comparison_latex, comparison_tables
from rgbench.report.html import write_page
from rgbench.report.material import Runs
from tests.browser import BROWSER, QUIET

SEEDS = (8901, 1826, 4915)
"""Of the study, in its order."""

NETWORKS = ("convxpress", "mcrgnet", "radio-galaxy-zoo")
FLAGS = (*QUIET, "--hide-scrollbars", "--window-size=1000,2000")
HOSTILE = '<img src=x onerror="document.title=1">&"\''


class Page(HTMLParser):
    """Collects tags, what they load, ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: set[str] = set()
        self.anchors: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.ids.add(found.get("id") or "")
        if tag == "a" and (found.get("href") or "").startswith("#"):
            self.anchors.append(found["href"][1:])
        if tag in ("img", "script", "link", "iframe", "source", "object"):
            self.loads += [value for key, value in attrs if key in ("src", "href", "data") and value]
        if tag == "img":
            self.images.append(found)


@pytest.fixture(scope="module")
def report(made, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_page(path, made.comparisons, made.records, made.images)


def test_everything_is_in_one_file(report, made):
    page = Page(report.read_text())
    assert all(load.startswith("data:") for load in page.loads)
    assert "default-src 'none'" in report.read_text()
    assert report.stat().st_size < 3_000_000
    assert page.images
    assert all(image["alt"] for image in page.images)
    assert set(page.anchors) <= page.ids
    text = report.read_text()
    for word in (*NETWORKS, "MPCA", "95 %", "validation", "Becker", "2102.03780", "8901", "1826", "4915"):
        assert word in text, word
    pair = made.comparisons["best"].pairs[0]
    places = [
        text.index(each)
        for each in ("has the best mean per-class accuracy", f"{pair.words}.", "<table", "<main>")
    ]
    assert places == sorted(places), "the answer, then the main table, then the questions"
    assert text.count("has the best mean per-class accuracy") == text.count(f"{pair.words}.") == 1


@pytest.mark.parametrize(("n", "some_tied"), [(200, False), (60, True)])
def test_the_answer_says_who_is_told_apart_from_whom(runs, n, some_tied):
    records = runs(names=np.array([f"J{i:04d}" for i in range(n)]))
    main = compare(records)
    lead, *rest = main.words
    best = main.rows[0]
    assert lead.startswith(f"{best.network} has the best mean per-class accuracy (MPCA), ")
    assert f"{100 * best.metrics['mpca'].mean:.1f} %" in lead
    verdicts = {pair.second: pair.low > 0 for pair in main.pairs if pair.first == best.network}
    assert set(verdicts) == set(NETWORKS) - {best.network}
    beats, _, rest_of_lead = lead.partition("cannot be told apart from")
    for name, told_apart in verdicts.items():
        assert (name in beats, name in rest_of_lead) == (told_apart, not told_apart)
    mine = [pair for pair in main.pairs if pair.first == best.network]
    tied = [pair for pair in mine if pair.low <= 0]
    assert bool(tied) == some_tied
    least = max(pair.resolvable for pair in tied or mine)
    assert any(f"a true difference of {100 * least:.1f} points or more" in sentence for sentence in rest)


def test_the_answer_says_which_run_makes_the_resolution_poor(runs):
    records = runs(names=np.array([f"J{i:04d}" for i in range(60)]))
    i, stuck = next((i, r) for i, r in enumerate(records) if r.spec.network.name == "mcrgnet")
    always = np.tile(np.float32([0, 9, 0, 0]), (len(stuck.predictions), 1))
    records[i] = replace(stuck, predictions=replace(stuck.predictions, logits=always))
    main = compare(records)
    pairs = {p.second: p.resolvable for p in main.pairs if p.first == main.rows[0].network}
    assert main.rows[0].network != "mcrgnet"
    (sentence,) = [s for s in main.words if "a true difference of" in s]
    assert f"a true difference of {100 * pairs['mcrgnet']:.1f} points" in sentence
    without = f"Without mcrgnet (seed {stuck.spec.seed} did not learn) it would be "
    assert f"{without}{100 * pairs['radio-galaxy-zoo']:.1f} points." in sentence


@pytest.mark.slow
@pytest.mark.parametrize(("many", "said"), [(10, True), (9, False)])
def test_the_first_of_many_networks_is_said_to_be_picked(runs, many, said):
    records = []
    for i, record in enumerate(runs(networks=("mcrgnet",), seeds=tuple(range(many)))):
        network = record.spec.network.model_copy(update={"name": f"net-{i}"})
        spec = record.spec.model_copy(update={"network": network, "seed": 1})
        records.append(replace(record, spec=spec))
    main = compare(records)
    told = " ".join(main.words)
    assert (f"{main.rows[0].network} is the first of {many} networks on these very" in told) == said


def test_the_answer_of_one_network_of_unknown_data_and_of_failed_runs(runs):
    good, bad = runs(networks=("mcrgnet", "convxpress"), seeds=(1,))
    bad = replace(bad, status="failed", error="no room", predictions=None, history={}, cost={})
    good, bad = (
        replace(r, spec=r.spec.model_copy(update={"data": r.spec.data.model_copy(update={"name": "mine"})}))
        for r in (good, bad)
    )
    said = compare([good, bad]).words
    assert said[0].endswith(").")
    assert "told apart" not in " ".join(said)
    assert said[1] == "convxpress failed: seed 1 failed: no room."
    assert compare([bad]).words[0] == "No network has learnt anything."


def test_cells_of_the_confusion_matrix_lead_to_their_sources(report, made):
    page = report.read_text()
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links <= set(re.findall(r' id="([^"]+)"', page)), "no link leads nowhere"
    cells = [link for link in links if link.startswith("cell-convxpress-")]
    assert len(cells) >= 8
    section = page.partition('id="cell-convxpress-0-0"')[2].partition("</ul>")[0]
    assert section.count("<img") == 8
    assert "Compact, said Compact: " in section


def test_hostile_names_are_inert(tmp_path, runs):
    names = np.array([f"J{i:04d}" for i in range(200)], dtype="<U80")
    names[:8] = [f"{HOSTILE}{i}" for i in range(8)]
    records = runs(networks=("mcrgnet",), seeds=(1,), names=names)
    images = dict.fromkeys(names, np.eye(20, dtype=np.uint8))
    path = write_page(tmp_path / "r.html", {"best": compare(records)}, records, images)
    text = path.read_text()
    assert HOSTILE not in text
    assert "&lt;img src=x" in text
    assert not any("onerror" in image for image in Page(text).images)


def test_every_recipe_of_a_network_has_its_training_curves(tmp_path, runs):
    records = runs(seeds=(2, 1))
    own = [record for record in records if record.spec.network.name == "mcrgnet"]
    for record in own:
        recipe = record.spec.recipe.model_copy(update={"learning_rate": 0.5, "batch_size": 8})
        spec = record.spec.model_copy(update={"recipe": recipe})
        records.append(replace(record, spec=spec, run_id=spec.run_id))
    main = compare(records)
    content = page.make(Runs.of(main, records))
    _, _, head, grid, *folds = content.section("training").blocks
    drawn = {head.text: grid, **{fold.title.removeprefix("Training of "): fold.blocks[0] for fold in folds}}
    groups = {name: [figure.title for figure in own.figures] for name, own in drawn.items()}
    assert set(groups) == {"convxpress", "mcrgnet", "radio-galaxy-zoo"}
    assert groups["convxpress"] == ["seed 1", "seed 2"]
    (rate,) = {record.spec.recipe.learning_rate for record in own}
    size = own[0].spec.recipe.batch_size
    ways = [f", batch size {size}, learning rate {rate}", ", batch size 8, learning rate 0.5"]
    assert sorted(groups["mcrgnet"]) == sorted(f"seed {seed}{way}" for seed in (1, 2) for way in ways)
    names = [figure.name for figure in content.figures]
    assert len(set(names)) == len(names)
    (warning,) = content.problems
    assert warning.startswith("mcrgnet was trained under several recipes")


def test_probabilities_are_written_as_relations(report):
    text = report.read_text(encoding="utf8")
    shown = set(re.findall(r"<(?:div|br)>p (=|&lt;|&gt;) [\d.]+", text))
    assert shown == {"=", "&gt;"}
    assert not re.search(r"p = &[lg]t;", text)


def test_failed_runs_and_missing_images_do_not_stop_it(tmp_path, runs):
    good, bad = runs(networks=("mcrgnet", "convxpress"), seeds=(1,))
    bad = replace(
        bad, status="failed", error="OutOfMemoryError: no room", predictions=None, history={}, cost={}
    )
    path = write_page(tmp_path / "r.html", {"best": compare([good, bad])}, [good, bad])
    assert "OutOfMemoryError: no room" in path.read_text()


def test_the_csv_keeps_every_digit(made):
    comparison = made.comparisons["best"]
    rows = list(csv.DictReader(io.StringIO(comparison_csv(comparison))))
    assert [row["network"] for row in rows] == [row.network for row in comparison.rows]
    values = {key: value for key, value in rows[0].items() if "mpca" in key}
    assert str(comparison.rows[0].metrics["mpca"].mean) in values.values()


def test_the_latex_table_is_booktabs(made):
    text = comparison_latex(made.comparisons["best"])
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\pm"):
        assert word in text
    assert text.count("{") == text.count("}")


def test_the_terminal_shows_every_network_at_any_width(made):
    for width in (80, 140):
        console = Console(width=width, file=io.StringIO())
        for table in comparison_tables(made.comparisons["best"], width):
            console.print(table)
        text = console.file.getvalue()
        for name in NETWORKS:
            assert name in text
        assert "…" not in text


def browse(report: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", *options, report.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome")
def test_its_scripts_run_in_a_browser(report, tmp_path):
    done = browse(report, tmp_path, "--enable-logging=stderr", "--v=0", "--dump-dom")
    assert 'data-ready="true"' in done.stdout
    assert "CONSOLE" not in done.stderr
    assert "Refused" not in done.stderr
    assert "<button" in done.stdout


def pixels(path: Path) -> np.ndarray:
    """Give the raw scan lines of a PNG, filter bytes and all."""
    content, found = path.read_bytes()[8:], b""
    while content:
        size = int.from_bytes(content[:4], "big")
        if content[4:8] == b"IDAT":
            found += content[8 : 8 + size]
        content = content[12 + size :]
    return np.frombuffer(zlib.decompress(found), np.uint8)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome")
def test_a_browser_shows_something(report, tmp_path):
    shot = tmp_path / "shot.png"
    browse(report, tmp_path, f"--screenshot={shot}")
    values = pixels(shot)
    assert len(values) > 1_000_000
    assert np.count_nonzero(values) > 50_000
    assert len(np.unique(values)) > 50


def test_seeds_stand_in_the_order_of_the_study_everywhere(made):
    said = ", ".join(map(str, SEEDS))
    assert list(SEEDS) != sorted(SEEDS)
    content = page.make(Runs.of(made.comparisons, made.records))
    assert dict(content.facts)["seeds"] == said
    assert f"3 seeds ({said})" in " ".join(content.section("cite").sentences)
    assert {row.seeds for row in made.comparisons["best"].rows} == {SEEDS}
    table = content.section("runs").tables[0]
    seeds = [row[table.columns.index("seed")].value for row in table.rows]
    assert seeds == [*SEEDS] * 3
    assert [record.spec.seed for record in Runs.of(made.comparisons, made.records).complete] == [*SEEDS] * 3


def test_numbers_of_sources_agree_and_say_what_they_count(made):
    """One seed has a test set of its own, and no test source is compact."""
    records = []
    for record in made.records:
        table, place = record.predictions, SEEDS.index(record.spec.seed)
        test = (table.split == "test") & (table.label != 0)
        names = np.where(test, np.char.add(table.source_id, "" if place else " b"), table.source_id)
        table = replace(table, source_id=names).take((table.split != "test") | test)
        records.append(
            replace(record, predictions=table, cost=record.cost | {"training_sources": 300 + place})
        )
    different = {name for r in records for name in r.predictions.select("test", "best").source_id.tolist()}
    assert len(different) == 300
    content = page.make(Runs.of(compare(records), records))
    facts = dict(content.facts)
    assert facts["test sources"] == "150 in each run, 300 in all"
    assert facts["classes"] == "Compact, FRI, FRII, Bent (no test source of Compact)"
    methods = content.section("cite").sentences[0]
    assert (
        "with 300 to 302 training, 200 validation and 150 test sources in each run (300 test sources in all)"
        in methods
    )
    assert "Bent (no test source of Compact), " in methods
    assert content.section("failures").finding.startswith("Of the 300 sources that any run was tested on, ")


def test_a_run_that_is_not_finished_is_not_said_to_run(tmp_path, runs):
    """Nothing in the store tells a run that is computed from one that was stopped."""
    good, stopped = runs(networks=("mcrgnet",), seeds=(1, 2))
    (other,) = runs(networks=("convxpress",), seeds=(1,))
    stopped, other = (
        replace(r, status="running", predictions=None, history={}, cost={}) for r in (stopped, other)
    )
    main = compare([good, stopped, other])
    state = "not finished: it is being computed, or was stopped"
    assert [(row.network, row.status) for row in main.rows] == [
        ("mcrgnet", "ok"),
        ("convxpress", "not finished"),
    ]
    assert main.rows[0].notes == (f"seed 2 {state}",)
    assert f"Among the runs of mcrgnet: seed 2 {state}. Those that ended count in its mean." in main.words
    assert f"convxpress is not finished: seed 1 {state}." in main.words
    content = page.make(Runs.of(main, [good, stopped, other]))
    assert content.problems[:2] == (f"mcrgnet, seed 2, {state}", f"convxpress, seed 1, {state}")
    told = page_text(tmp_path, main, [good, stopped, other])
    assert "running" not in told
    assert "failed" not in told


def test_a_network_that_did_not_learn_is_said_why_though_a_run_is_not_finished(runs):
    good, lame, stopped = runs(networks=("mcrgnet",), seeds=(1,)) + runs(
        networks=("convxpress",), seeds=(1, 2)
    )
    table = lame.predictions
    flat = np.tile(5 * np.eye(4, dtype=np.float32)[2], (len(table), 1))
    lame = replace(lame, predictions=replace(table, logits=flat))
    stopped = replace(stopped, status="running", predictions=None, history={}, cost={})
    said = compare([good, stopped, lame]).words
    assert (
        "convxpress did not learn: seed 1 did not learn: predicts FRII for every one of 200 sources." in said
    )


def page_text(folder, main, records) -> str:
    """Give what a page says, without its drawings, style and script."""
    text = write_page(folder / "r.html", {"best": main}, records).read_text()
    return re.sub(r"(?s)<(style|script)\b.*?</\1>|<[^>]+>", " ", text)


def test_one_of_something_is_not_several(tmp_path, runs):
    (one,) = runs(("mcrgnet",), (1,), np.array(["s0"]))
    one = replace(one, notes=("s1 set aside: it is empty",))
    main = compare([one])
    told = page_text(tmp_path, main, [one])
    assert "1 note on the data" in told
    console = Console(record=True, width=120)
    say_results(main, [one], console)
    told += console.export_text()
    assert "1 source removed or set aside" in told
    assert "1 test source, 1 seed)" in told
    assert "with 1 seed (1)" in told
    assert (
        re.findall(r".*\b1 (?:test )?(?:sources|notes|seeds|runs|networks|pairs|epochs|images)\b.*", told)
        == []
    )
