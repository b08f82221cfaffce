"""Where the networks fail, and likely label errors, in the report: against counts of one's own and cleanlab."""

from __future__ import annotations

import csv
import io
import os
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy.special import softmax
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from rgbench.comparison.summary import compare
from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.data.sets import load_data
from rgbench.errors import SpecError
from rgbench.report import page
from rgbench.report.blocks import Gallery
from rgbench.report.cells import Cell
from rgbench.report.html import write_page
from rgbench.report.material import Beside, Runs
from rgbench.report.measured import MEASURED, measured
from rgbench.report.sections import failures, label_errors
from rgbench.statistics.trend import trend

CLASSES = ("Compact", "FRI", "FRII", "Bent")
needs_mirror = pytest.mark.skipif(
    not os.environ.get("RGBENCH_MIRROR"), reason="needs the public files in $RGBENCH_MIRROR"
)


def data_of(images: dict[str, np.ndarray], kind=np.uint8, **extra) -> DataSet:
    """Give the tested sources, and as many that no run was tested on, with images that cannot be measured."""
    names = np.array([*images, *(f"not tested {i}" for i in range(len(images)))])
    n = len(names)
    pixels = np.stack([*images.values(), *(np.zeros_like(image) for image in images.values())]).astype(kind)
    catalogue = Catalogue(
        names,
        ra=np.linspace(1.0, 359.0, n),
        dec=np.linspace(-60.0, 60.0, n),
        label=np.arange(n) % 4,
        group=np.arange(n),
        path=names,
        flags=np.zeros(n, dtype=np.int64),
        extra={key: np.resize(value, n) for key, value in extra.items()},
    )
    return DataSet(Card("toy", "toy", pixel_scale=1.8, beam=5.4), catalogue, pixels)


def hits(records) -> dict[str, list[bool]]:
    """Give for every source whether each run is right, counted without the package."""
    found: dict[str, list[bool]] = {}
    for record in records:
        table = record.predictions
        for row in range(len(table)):
            if (table.split[row], table.model[row]) == ("test", "best"):
                own = found.setdefault(str(table.source_id[row]), [])
                own.append(bool(table.logits[row].argmax() == table.label[row]))
    return found


def held_out(records) -> tuple[np.ndarray, np.ndarray]:
    """Give the label and the mean probabilities of every validation and test source, sources in sorted order."""
    said: dict[str, list[np.ndarray]] = {}
    label: dict[str, int] = {}
    for record in records:
        table = record.predictions
        for row in np.flatnonzero(table.model == "best"):
            name = str(table.source_id[row])
            label[name] = int(table.label[row])
            said.setdefault(name, []).append(softmax(table.logits[row].astype(float)))
    names = sorted(said)
    return np.array([label[name] for name in names]), np.array(
        [np.mean(said[name], axis=0) for name in names]
    )


def table_of(section, name):
    return next(table for table in section.tables if table.name == name)


@pytest.fixture(scope="module")
def right(made):
    return hits(made.records)


@pytest.fixture(scope="module")
def data(made, right):
    """Recognised sources have lower redshifts; the parent catalogue and the flux density have nothing to say."""
    rng = np.random.default_rng(3)
    share = np.array([np.mean(right[name]) for name in made.images])
    images = {
        name: np.minimum(image, 120 + 15 * (i % 9)) for i, (name, image) in enumerate(made.images.items())
    }
    for image in [*images.values()][::3]:
        image[40:46, 72:78] = 200
    return data_of(
        images,
        redshift=np.concatenate([rng.random(len(share)) + 0.8 * (1 - share), rng.random(len(share))]),
        parent=rng.choice(["Gendre", "Proctor"], 2 * len(share)),
        flux_density=rng.lognormal(size=2 * len(share)),
        file_name=np.array([f"{i}.png" for i in range(2 * len(share))]),
    )


@pytest.fixture(scope="module")
def section(made, data):
    return failures.section(Runs.of(made.comparisons["best"], made.records, Beside(data=data)))


def test_accuracies_are_those_counted_by_hand(section, made, data, right):
    names, z = data.catalogue.source_id[:200], data.catalogue.extra["redshift"][:200]
    rows = [row for row in table_of(section, "failures-accuracy").rows if row[1].text == "redshift"]
    assert len(rows) == 3 * 5
    for network in made.comparisons["best"].rows:
        own = hits([r for r in made.records if r.spec.network.name == network.network])
        share = np.array([np.mean(own[name]) for name in names])
        for k, row in enumerate(row for row in rows if row[0].text == network.network):
            inside = (z > np.quantile(z, k / 5)) & (z <= np.quantile(z, (k + 1) / 5)) | (k == 0) & (
                z == z.min()
            )
            assert row[3].value == inside.sum() == 40
            assert row[4].value == pytest.approx(share[inside].mean())
            low, high = proportion_confint(share[inside].sum(), inside.sum(), method="wilson")
            assert (row[5].value, row[5].high) == (pytest.approx(low), pytest.approx(high))


def test_properties_are_those_that_say_how_a_source_looks(section):
    found = {row[1].text for row in table_of(section, "failures-accuracy").rows}
    assert found == {
        "class",
        "angular size on the published image / arcsec",
        "S/N on the published image",
        "number of components on the published image",
        "flux density / Jy",
        "redshift",
        "parent catalogue",
    }
    assert section.figures[0].title == "Class"
    assert {figure.columns[1] for figure in section.figures} == found
    for figure in section.figures:
        assert {row[0] for row in figure.rows} == {"convxpress", "mcrgnet", "radio-galaxy-zoo"}


def test_trends_are_within_classes_and_corrected_for_their_number(section, data, right):
    said = {
        match[1]: match[0] for text in section.sentences if (match := re.match(r"With (.*?), (.*)", text))
    }
    assert len(said) == 5
    names = sorted(right)
    row = {str(name): i for i, name in enumerate(data.catalogue.source_id)}
    rows = np.array([row[name] for name in names])
    share = np.array([np.mean(right[name]) for name in names])
    known, _ = measured(data, np.array(names))
    place = {str(name): i for i, name in enumerate(known.source_id)}
    columns = ("largest_angular_size", "signal_to_noise", "flux_density", "components", "redshift")
    alone = [
        trend(
            known.extra[name][[place[n] for n in names]],
            share,
            data.catalogue.label[rows],
            "linear" if name == "redshift" else "log",
        ).p_value
        for name in columns
    ]
    corrected = multipletests(alone, method="holm")[1]
    assert "accuracy falls" in said["redshift"]
    assert f"(p = {corrected[-1]:.2g})" in said["redshift"]
    assert corrected[-1] > alone[-1]
    assert "no trend is seen in 200 sources" in said["flux density"]


def test_groups_that_fail_are_said_and_listed(section):
    groups = table_of(section, "failing-groups")
    assert all("redshift" in row[0].text or "class" in row[0].text for row in groups.rows)
    first = next(row for row in groups.rows if row[0].text.startswith("redshift"))
    assert first[2].value < first[4].value
    assert any(f"% of {first[1].text} sources are recognised" in text for text in section.sentences)


def test_what_all_runs_miss_is_listed_with_its_place(section, data, right):
    missed = {name for name, own in right.items() if not any(own)}
    table = table_of(section, "missed-by-all")
    assert {row[0].text for row in table.rows} == missed
    assert len(missed) >= 6
    every = sum(all(own) for own in right.values())
    assert (
        f"{every} of 200 test sources are recognised by every run, {len(missed)} by none" in section.finding
    )
    place = {str(name): i for i, name in enumerate(data.catalogue.source_id)}
    for row, line in zip(table.rows, csv.DictReader(io.StringIO(table.csv())), strict=True):
        i = place[row[0].text]
        assert row[1].link.startswith("https://www.legacysurvey.org/viewer?ra=")
        assert line["look"] == row[1].link
        assert float(line["RA / deg"]) == data.catalogue.ra[i]
        assert float(line["Dec / deg"]) == data.catalogue.dec[i]
        assert f"ra={data.catalogue.ra[i]:.6f}&" in row[1].link
        assert row[2].text == CLASSES[data.catalogue.label[i]]
        assert sum(int(number) for number in re.findall(r"\((\d+)\)", row[3].text)) == 9


def test_only_tested_sources_are_measured_and_columns_of_the_catalogue_stay(data, made):
    some = np.array(list(made.images))[5:9]
    found, notes = measured(data, some)
    assert found.source_id.tolist() == some.tolist()
    np.testing.assert_array_equal(found.extra["flux_density"], data.catalogue.extra["flux_density"][5:9])
    assert np.isfinite(found.extra["signal_to_noise"]).all()
    assert not {"peak", "noise"} & set(found.extra), "8-bit images have no flux scale"
    assert len(notes) == 1
    assert "as they were published" in notes[0]
    other = replace(data.catalogue, extra={"signal_to_noise": np.full(len(data.catalogue), 7.0)})
    kept, _ = measured(replace(data, catalogue=other), some)
    assert kept.extra["signal_to_noise"].tolist() == [7.0] * 4
    bare = replace(data, catalogue=replace(data.catalogue, extra={}))
    assert any("Flux density is not known" in note for note in measured(bare, some)[1])
    scaleless = replace(bare, card=replace(bare.card, pixel_scale=float("nan")))
    assert any("Angular size is not known" in note for note in measured(scaleless, some)[1])


def test_clipped_images_say_that_there_is_no_noise(made):
    clipped = {name: np.where(image > 60, image, 0) for name, image in list(made.images.items())[:8]}
    _, notes = measured(data_of(clipped), np.array(list(clipped)))
    assert any("S/N is not known: the images were clipped" in note for note in notes)


def test_images_with_measures_are_not_measured_again(made):
    names = list(made.images)[:4]
    extra = {name: np.arange(8.0) for name in MEASURED}
    own = data_of({name: made.images[name] for name in names}, np.float32, **extra)
    found, notes = measured(own, np.array(names))
    assert notes == ()
    assert found.extra["signal_to_noise"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_network_that_was_tested_on_other_sources_keeps_its_own(runs, made):
    names = np.array(list(made.images))
    records = runs(("convxpress",), (1,), names) + runs(("mcrgnet",), (1,), names[100:160])
    data = data_of(made.images, redshift=np.arange(400.0))
    section = failures.section(Runs.of(compare(records), records, Beside(data=data)))
    rows = [row for row in table_of(section, "failures-accuracy").rows if row[1].text == "redshift"]
    ranges = [row[2].text for row in rows if row[0].text == "mcrgnet"]
    assert ranges == ["100 to 111", "112 to 123", "124 to 135", "136 to 147", "148 to 159"]
    assert [row[3].value for row in rows if row[0].text == "convxpress"] == [40] * 5


def test_without_data_only_the_classes_are_known(made):
    section = failures.section(Runs.of(made.comparisons["best"], made.records))
    assert {row[1].text for row in table_of(section, "failures-accuracy").rows} == {"class"}
    assert all(row[1].link == "" for row in table_of(section, "missed-by-all").rows)
    assert any("data are not at hand" in note for note in section.notes)
    alone = made.records[:1]
    one = failures.section(Runs.of(compare(alone), alone))
    assert re.match(r"\d+ of 200 test sources are recognised\.", one.finding)
    assert "missed-by-all" not in [table.name for table in one.tables]


def test_runs_that_contradict_each_other_are_told_not_hidden(made, runs):
    records = runs(("mcrgnet",), (1, 2))
    wrong = records[1].predictions
    label = wrong.label.copy()
    label[wrong.source_id == "FIRST J1000+3000"] = 2
    records = [records[0], replace(records[1], predictions=replace(wrong, label=label))]
    of = Runs.of(made.comparisons["best"], records)
    for part in (failures.section(of), label_errors.section(of)):
        assert part.line == "This cannot be told: source 'FIRST J1000+3000' has two labels in these runs."


def test_no_predictions_no_section(made):
    bare = [replace(record, predictions=None) for record in made.records]
    of = Runs.of(made.comparisons["best"], bare)
    for section in (failures.section(of), label_errors.section(of)):
        assert section.reason == "no run has predictions"


def planted(records, every: int = 9):
    """Give runs with the label of each ninth test source turned to the next class, and those sources."""
    changed = []
    for record in records:
        table = record.predictions
        bad = (table.split == "test") & (np.arange(len(table)) % every == 0)
        bad &= np.array([name.startswith("FIRST") for name in table.source_id])
        names = set(table.source_id[bad].tolist())
        bad = np.isin(table.source_id, list(names))
        label = np.where(bad, (table.label + 1) % 4, table.label)
        logits = table.logits + 6 * np.eye(4, dtype=np.float32)[table.label]
        changed.append(replace(record, predictions=replace(table, label=label, logits=logits)))
    return changed, names


def test_planted_label_errors_are_found_as_cleanlab_finds_them(made, data):
    filters = pytest.importorskip("cleanlab.filter")
    records, wrong = planted(made.records)
    section = label_errors.section(Runs.of(made.comparisons["best"], records, Beside(data=data)))
    table = table_of(section, "suspects")
    listed = [row[0].text for row in table.rows]
    assert wrong, "some labels are wrong"
    assert len(set(listed) & wrong) > 0.8 * len(wrong)
    assert len(set(listed) & wrong) > 0.8 * len(listed)
    label, p = held_out(records)
    theirs = filters.find_label_issues(label, p, filter_by="prune_by_noise_rate", n_jobs=1)
    assert abs(int(theirs.sum()) - len(listed)) <= 4, "rounding of a count"
    margins = [row[5].value for row in table.rows]
    assert margins == sorted(margins)


def test_the_list_downloads_with_an_empty_verdict_and_says_what_could_be_looked_at(made, data):
    section = label_errors.section(
        Runs.of(made.comparisons["best"], planted(made.records)[0], Beside(data=data))
    )
    table = table_of(section, "suspects")
    lines = list(csv.DictReader(io.StringIO(table.csv())))
    assert len(lines) == len(table.rows) > 0
    assert all(line["verdict"] == "" for line in lines)
    assert all(line["look"].startswith("https://") for line in lines if line["source"].startswith("FIRST"))
    assert section.finding.startswith(f"{len(table.rows)} of 400 labels are worth a second look")
    said = " ".join(section.sentences)
    assert "200 of the 400 are validation sources, which helped to choose the best epoch" in said
    assert "could be asked about" not in said, "all 400 labelled sources were held out"
    more = data_of({f"a{i}": image for i, image in enumerate([*made.images.values()] * 2)})
    part = label_errors.section(Runs.of(made.comparisons["best"], made.records, Beside(data=more)))
    assert "Only 400 of the 800 labelled sources could be asked about" in " ".join(part.sentences)


def constant(record):
    """Give a run that says one class of all sources, as a network does that has learnt nothing."""
    table = record.predictions
    logits = np.tile(5 * np.eye(4, dtype=np.float32)[2], (len(table), 1))
    return replace(record, predictions=replace(table, logits=logits))


def test_runs_that_did_not_learn_have_no_say_in_labels(made, data):
    """A constant run would contradict three labels of four."""
    lame, sound = constant(made.records[0]), made.records[1:]
    with_lame, without = (
        label_errors.section(Runs.of(made.comparisons["best"], own, Beside(data=data)))
        for own in ([lame, *sound], list(sound))
    )
    assert with_lame.tables == without.tables
    assert with_lame.sentences[:-1] == without.sentences
    spec = lame.spec
    assert with_lame.sentences[-1] == (
        f"Not asked, because they have learnt nothing: {spec.network.name}, seed {spec.seed} (predicts FRII for "
        "every one of 200 sources)."
    )
    of = Runs.of(made.comparisons["best"], [constant(record) for record in made.records])
    said = label_errors.section(of).finding
    assert said.startswith("This cannot be told, because no run has learnt anything: ")
    assert said.count("predicts FRII for every one of 200 sources") == 4, "four are named, the others counted"


def test_runs_that_guess_have_no_say_in_labels(made):
    """Their answers are drawn at random, which no single run shows."""
    guessing = []
    for i, record in enumerate(made.records):
        drawn = np.random.default_rng(i).normal(size=record.predictions.logits.shape)
        guessing.append(
            replace(record, predictions=replace(record.predictions, logits=drawn.astype(np.float32)))
        )
    section = label_errors.section(Runs.of(made.comparisons["best"], guessing))
    said = section.finding
    found = re.search(
        r"recognise ([\d.]+) % .*interval ([\d.]+) to ([\d.]+)\), and guessing recognises 25.0 %", said
    )
    value, low, high = map(float, found.groups())
    assert low < 25 < high
    assert low < value < high
    assert section.tables == ()


def test_sources_that_only_lame_runs_miss_are_not_shown_as_hard(made):
    lame = [constant(record) for record in made.records[:7]]
    content = page.make(Runs.of(made.comparisons["best"], [*lame, *made.records[7:]]))
    tiles = next(b for b in content.section("sources").blocks if isinstance(b, Gallery)).tiles
    said = [line for tile in tiles for line in tile.lines]
    assert said
    assert {line.partition("of ")[2] for line in said} == {"2 runs"}


class Links(HTMLParser):
    """Collects where anchors lead and what a page loads or runs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for key, value in attrs:
            if key == "href" and tag == "a":
                self.found.append(value or "")
            elif key in ("src", "href", "srcset", "data", "action"):
                self.loads.append(value or "")
            if key.startswith("on"):
                self.handlers.append(key)


@pytest.mark.slow
def test_the_page_loads_nothing_and_hostile_names_are_inert(runs, made, tmp_path):
    hostile = np.array(
        [f'"><script>alert({i})</script><a onclick="x" href="javascript:1">{i}' for i in range(60)]
    )
    records = runs(("mcrgnet", "convxpress"), (1, 2), hostile)
    images = dict(zip(hostile.tolist(), [*made.images.values()][:60], strict=True))
    data = data_of(images, parent=np.array(["<b onload=1>", "javascript:2"]))
    comparisons = {"best": compare(records)}
    path = write_page(tmp_path / "r.html", comparisons, records, images, beside=Beside(data=data))
    text = path.read_text()
    assert "<script>alert" not in text
    assert "<b onload" not in text
    page = Links(text)
    assert all(load.startswith("data:") for load in page.loads)
    assert not page.handlers
    away = [address for address in page.found if not address.startswith(("#", "data:"))]
    assert len(away) > 10
    assert all(address.startswith("https://www.legacysurvey.org/viewer?ra=") for address in away)
    with pytest.raises(SpecError, match="link: found 'javascript:1'; legal are addresses of https and http"):
        Cell("sky", link="javascript:1")


@needs_mirror
def test_sizes_redshifts_and_certainty_of_a_real_set_are_looked_at(runs):
    mirabest = load_data("mirabest-full")
    names = mirabest.catalogue.source_id[::6]
    records = runs(("mcrgnet", "convxpress"), (1, 2), names)
    section = failures.section(Runs.of(compare(records), records, Beside(data=mirabest)))
    found = {row[1].text for row in table_of(section, "failures-accuracy").rows}
    assert {"class", "catalogued angular size / arcsec", "redshift", "certain label"} <= found
    assert any("Flux density is not known" in note for note in section.notes)
