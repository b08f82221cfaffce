"""The whole report in a browser: quiet, deaf to hostile names, usable from the keyboard, on a phone and on paper."""

from __future__ import annotations

import csv
import io
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.special import log_softmax

from rgbench.comparison.summary import compare
from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.measures.uncertainty import with_members
from rgbench.report import page
from rgbench.report.files.standalone import standalone
from rgbench.report.html import write_page
from rgbench.report.material import Beside, Runs, Setting
from rgbench.store.attributions import Looks
from rgbench.store.doubt import MC_DROPOUT
from rgbench.store.tables import SIDES, concatenate
from tests.browser import BROWSER, Browser, quiet

pytestmark = [pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome"), pytest.mark.slow]

SCRIPT = "<script>window.pwned = 1</script>"
IMAGE = '"><img src=x onerror="window.pwned = 1">'
LINK = 'javascript:window.pwned=1//" href="javascript:window.pwned=1'
FORMULA = '=HYPERLINK("http://example.org/?"&A1)'
HOSTILE = (
    SCRIPT,
    IMAGE,
    LINK,
    FORMULA,
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+cmd()",
    "-cmd()",
    "\x0b\x00]]>-->",
    "\x1b[31m\u202egnp[/b]",
)
SECTIONS = {
    *(
        "differences",
        "places",
        "models",
        "confusion",
        "training",
        "overfitting",
        "learning",
    ),
    *("ensembles", "calibration", "doubt", "robustness", "looks", "failures", "labels", "sources", "runs"),
    *("across", "terms", "cite"),
}
TABBABLE = """
[...document.querySelectorAll("a[href], button, summary, [tabindex='0']")]
  .filter((each) => each.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true}))
"""
NAME = """((each) => [each.tagName, each.className.baseVal ?? each.className,
  each.getAttribute("aria-label") ?? each.textContent.trim()].join(" "))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


def hostile(records, classes=None):
    """Give records with hostile names of data, networks and classes, notes and machines."""
    names = {"convxpress": f"net {SCRIPT}", "mcrgnet": IMAGE, "radio-galaxy-zoo": FORMULA}
    made = []
    for record in records:
        network = record.spec.network.model_copy(update={"name": names[record.spec.network.name]})
        data = record.spec.data.model_copy(update={"name": f"set {IMAGE}"})
        spec = record.spec.model_copy(update={"network": network, "data": data})
        predictions = replace(record.predictions, classes=classes or record.predictions.classes)
        origin = {**record.provenance, "machine": f"box {SCRIPT}", "written": IMAGE}
        notes = (f"{SCRIPT} removed", f"{LINK}{IMAGE} removed")
        made.append(replace(record, spec=spec, predictions=predictions, provenance=origin, notes=notes))
    return made


def stressed(record):
    """Give predictions on disturbed images: the later the condition, the more answers are turned."""
    tables = []
    for k, name in enumerate(("rotation-000", "rotation-090", "noise-1.0", "noise-2.0")):
        test = record.predictions.select("test", "best")
        turned = np.random.default_rng([k, record.spec.seed]).random(len(test)) < 0.1 * k
        logits = np.where(turned[:, None], np.roll(test.logits, 1, axis=1), test.logits)
        tables.append(replace(test, logits=logits, condition=np.full(len(test), name)))
    return concatenate(tables)


def asked_again(record):
    """Give rows of Monte-Carlo dropout: noise about what the run said."""
    rng, parts = np.random.default_rng(record.spec.seed), []
    for split in SIDES:
        rows = record.predictions.select(split, "best")
        noise = rng.normal(0, 0.5, (4, *rows.logits.shape))
        parts.append(with_members(rows, MC_DROPOUT, log_softmax(rows.log_probabilities() + noise, axis=2)))
    return concatenate(parts)


def look(record, names, classes) -> Looks:
    """Give maps and an embedding of the first sources."""
    rng, m, n = np.random.default_rng(record.spec.seed), 8, 40
    return Looks(
        run_id=record.run_id,
        method="occlusion",
        classes=np.array(classes),
        shown=names[:m],
        label=np.arange(m) % 4,
        target=np.arange(m) // 2 % 4,
        inputs=rng.random((m, 16, 16), dtype=np.float32),
        maps=rng.normal(size=(m, 16, 16)).astype(np.float32),
        likeness=rng.uniform(-0.1, 0.1, m),
        sources=names[:n],
        source_label=np.arange(n) % 4,
        points=rng.normal(size=(n, 2)),
        explained=np.array([0.5, 0.25]),
        neighbour=0.75,
        field=np.full((16, 16), 1 / 256),
        field_pixels=16.0,
        pixel_scale=1.8,
    )


def on_fewer(record, n: int):
    """Give a run as if it had been trained on n sources."""
    data = record.spec.data.model_copy(update={"train_limit": n})
    turned = np.random.default_rng([n, record.spec.seed]).random(len(record.predictions)) < 2 * n**-0.5
    logits = np.where(
        turned[:, None], np.roll(record.predictions.logits, 1, axis=1), record.predictions.logits
    )
    spec, cost = record.spec.model_copy(update={"data": data}), {**record.cost, "training_sources": n}
    return replace(record, spec=spec, cost=cost, predictions=replace(record.predictions, logits=logits))


def dataset(records, names, classes) -> DataSet:
    """Make the data of the runs: positions, properties and images of the test sources."""
    n, rng = len(names), np.random.default_rng(5)
    extra = {
        "size": rng.uniform(1, 200, n),
        "parent": np.array([*HOSTILE, "a"])[np.arange(n) % (len(HOSTILE) + 1)],
    }
    label = np.arange(n) % len(classes)
    zero = np.zeros(n, np.int64)
    ra, dec = rng.uniform(100, 200, n), rng.uniform(0, 60, n)
    catalogue = Catalogue(names, ra, dec, label, np.arange(n), names, zero, extra)
    card = Card("toy", SCRIPT, classes=classes, pixel_scale=1.8, beam=5.4, survey="FIRST")
    images = np.repeat(np.eye(32, dtype=np.float32)[None], n, axis=0)
    return DataSet(card, catalogue, images, {"published": np.full(n, "test")})


@pytest.fixture(scope="module")
def filled(runs, tmp_path_factory):
    """Give the path and the content of a report with all sections, in which every name is hostile."""
    names = np.array([f"{HOSTILE[i % len(HOSTILE)]} {i}" for i in range(200)])
    classes = (f"A{SCRIPT}", f"B{IMAGE}", FORMULA, f"D{LINK}")
    records = hostile(runs(seeds=(1, 2, 3), names=names), classes)
    failed = replace(
        records[0],
        status="failed",
        error=f"ValueError: {SCRIPT}{IMAGE}",
        predictions=None,
        history={},
        cost={},
    )
    smaller = tuple(on_fewer(record, n) for n in (100, 200, 400) for record in records)
    data = dataset(records, names, classes)
    whole = [replace(r, cost=r.cost | {"training_sources": 1600}) for r in records]
    conditions = {record.run_id: stressed(record) for record in whole}
    elsewhere = {f"{kind} {IMAGE}": compare(whole) for kind in ("other", "third")}
    beside = Beside(
        smaller,
        conditions,
        data,
        elsewhere,
        doubt={record.run_id: asked_again(record) for record in whole},
        looks={record.run_id: look(record, names, classes) for record in whole[::3]},
        settings={name: Setting(name, whole[0].spec.protocol) for name in elsewhere},
    )
    failed = replace(failed, spec=failed.spec.model_copy(update={"seed": 99}), run_id="f" * 16)
    comparisons = {model: compare([*whole, failed], model=model) for model in ("best", "final")}
    images = dict(zip(names.tolist(), data.images, strict=True))
    path = tmp_path_factory.mktemp("filled") / "report.html"
    write_page(path, comparisons, [*whole, failed], images, beside=beside)
    return path, page.make(Runs.of(comparisons, [*whole, failed], beside))


@pytest.fixture(scope="module")
def plain(made, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "report.html"
    return write_page(path, made.comparisons, made.records, made.images)


def test_a_full_page_of_hostile_names_is_quiet_and_inert(browser, filled):
    browser.open(filled[0])
    anchors = set(browser.run("[...document.querySelectorAll('section.part')].map((each) => each.id)"))
    assert anchors >= SECTIONS
    assert browser.run("document.querySelectorAll('#answer, #table, #ranking').length") == 3
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    browser.run(
        "document.querySelectorAll('thead button, .downloads button').forEach((each) => each.click())"
    )
    assert quiet(browser) == []
    assert browser.run("window.pwned") is None
    assert (
        browser.run("document.querySelectorAll('[onerror], main script, img:not([src^=\"data:\"])').length")
        == 0
    )
    links = browser.run("[...document.querySelectorAll('a')].map((a) => a.href.baseVal ?? a.href)")
    assert {link.partition(":")[0] for link in links} <= {"file", "data", "https", "#cell"} | {
        link for link in links if link.startswith("#cell-")
    }
    assert SCRIPT in browser.run("document.body.innerText"), "the names are there, as text"


def test_the_policy_of_the_page_lets_nothing_in(browser, plain):
    browser.open(plain)
    assert quiet(browser) == []
    browser.run(
        "document.body.insertAdjacentHTML('beforeend', "
        '\'<img src="https://example.org/x.png" onerror="window.pwned=1">\')'
    )
    browser.run("new Promise((go) => setTimeout(go, 50))")
    assert "img-src" in browser.run("window.violations"), "the watch of this test sees what is refused"
    assert browser.run("window.pwned") is None


def test_tab_goes_through_everything_in_order(browser, plain):
    browser.open(plain)
    expected = browser.run(f"{TABBABLE}.map({NAME})")
    # The page notes itself what is reached: a key may arrive late where the machine has other work.
    browser.run(
        f"window.found = []; document.addEventListener('focusin', "
        f"(event) => window.found.push(({NAME})(event.target)))"
    )
    for _ in expected:
        browser.press("Tab")
    browser.run("new Promise((go) => setTimeout(go, 100))")
    found = browser.run("window.found")
    assert found == expected
    assert found[0] == "A skip Skip to the answer"
    wanted = (
        "BUTTON  SVG of the figure: Mean per-class accuracy (MPCA)",
        "BUTTON  MPCA %",
        "A  CSV, unrounded",
        "BUTTON  Open all",
    )
    places = [found.index(each) for each in wanted]
    assert places == sorted(places), "the figure, headings of the table, its downloads, then the questions"
    assert any(each.startswith("SUMMARY  Are they different? ") for each in found)
    assert not any("taken for" in each and each.startswith("a ") for each in found), (
        "what is folded is not in the way"
    )


def test_enter_and_space_sort_a_table(browser, plain):
    browser.open(plain)
    browser.run("document.querySelectorAll('#table thead button')[2].focus()")
    values = (
        "[...document.querySelectorAll('#table tbody tr')].map((row) => Number(row.cells[2].dataset.value))"
    )
    orders = []
    for key in ("Enter", " "):
        browser.press(key)
        orders.append((browser.run("document.activeElement.closest('th').ariaSort"), browser.run(values)))
    (first, down), (second, up) = orders
    assert (first, second) == ("descending", "ascending")
    assert down == sorted(down, reverse=True)
    assert up == down[::-1]
    assert len(set(up)) == 3


def test_enter_on_a_cell_unfolds_its_sources(browser, plain):
    browser.open(plain)
    browser.run("document.querySelector('#confusion > details').open = true")
    anchor = browser.run(
        "document.querySelector('#confusion svg a').focus(), document.activeElement.href.baseVal"
    )
    assert browser.run(f"document.getElementById('{anchor[1:]}').closest('details').open") is False
    browser.press("Enter")
    browser.run("new Promise((go) => setTimeout(go, 50))")
    assert browser.run("document.activeElement.id") == anchor[1:]
    assert browser.run(f"document.getElementById('{anchor[1:]}').closest('details').open") is True


def test_the_first_screen_holds_answer_main_table_and_figure(browser, plain):
    browser.open(plain, 1400)
    for name in ("#answer", "#ranking svg", "#table tbody tr:last-child"):
        assert browser.run(f"document.querySelector('{name}').getBoundingClientRect().bottom") <= 900, name
    assert browser.run("document.documentElement.scrollHeight") <= 4 * 900, (
        "folded, the page has no more than four screens"
    )
    said = browser.run("document.body.innerText")
    assert len(said.split()) <= 1100
    assert said.count("has the best mean per-class accuracy") == 1
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.run("document.body.innerText").count("has the best mean per-class accuracy") == 1
    wide = "[...document.querySelectorAll('#table .scroll')].every((each) => each.scrollWidth <= each.clientWidth)"
    assert browser.run(wide), "the main table fits the page"


@pytest.mark.parametrize("key", ["Enter", " "])
def test_a_question_opens_and_closes_from_the_keyboard(browser, plain, key):
    browser.open(plain)
    browser.run("document.querySelector('#doubt summary').focus()")
    states = []
    for _ in range(2):
        browser.press(key)
        states.append(browser.run("document.querySelector('#doubt > details').open"))
    assert states == [True, False]
    words = browser.run("document.querySelector('#doubt summary').innerText")
    assert words.startswith("Do they know when they are wrong?")
    assert words.rstrip().endswith(".")


def test_anchors_open_the_question_they_lead_to(browser, plain):
    browser.open(plain)
    state = "['labels', 'confusion'].map((id) => document.querySelector(`#${id} > details`).open)"
    assert browser.run(state) == [False, False]
    browser.run("location.hash = '#labels'; new Promise((go) => setTimeout(go, 50))")
    assert browser.run(state) == [True, False]
    assert browser.run("document.activeElement.closest('section').id") == "labels"
    browser.run("location.hash = '#cell-convxpress-0-0'; new Promise((go) => setTimeout(go, 50))")
    assert browser.run(state) == [True, True], "all that is folded about a place is opened"
    assert browser.run("document.activeElement.id") == "cell-convxpress-0-0"
    for words, count in (("Open all", 0), ("Close all", "all")):
        browser.run(
            f"[...document.querySelectorAll('.open button')].find((each) => each.textContent === '{words}').click()"
        )
        closed = browser.run("document.querySelectorAll('.part > details:not([open])').length")
        assert closed == (
            0 if count == 0 else browser.run("document.querySelectorAll('.part > details').length")
        )


def test_a_table_that_is_wider_than_the_page_says_so(browser, plain):
    seen = "document.querySelector('#table .more').checkVisibility()"
    for width, wanted in ((1400, False), (390, True)):
        browser.open(plain, width)
        browser.run("new Promise((go) => setTimeout(go, 100))")
        assert browser.run(seen) is wanted, width


SAVED = """
(async () => {
  const blobs = [];
  URL.createObjectURL = (blob) => { blobs.push(blob); return "blob:none"; };
  HTMLAnchorElement.prototype.click = () => {};
  document.querySelectorAll("figure .downloads button").forEach((button) => button.click());
  return Promise.all(blobs.map((blob) => blob.text()));
})()
"""
COMPUTED = """
[...document.querySelectorAll("figure[data-name] > svg")].map((svg) => {
  const shapes = [...svg.querySelectorAll("*:not(a, title)")];
  return shapes.map((each) => {
    const look = getComputedStyle(each);
    const names = ["fill", "stroke", "strokeWidth", "fontSize", "strokeDasharray", "fillOpacity"];
    return [each.tagName, ...names.map((name) => look[name])];
  });
})
"""


def shapes(drawing: str) -> list[tuple[str, dict[str, str]]]:
    """Give the shapes of an SVG file, colours and numbers written in one way."""
    found = []
    for shape in ElementTree.fromstring(drawing).iter():
        tag, look = shape.tag.rpartition("}")[2], dict(shape.attrib)
        if tag not in ("g", "title", "svg"):
            found.append((tag, {key: one_way(value) for key, value in look.items()}))
    return found


def one_way(value: str) -> str:
    """Write a colour, a length or a list of lengths in one way."""
    if match := re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", value):
        return "#{:02x}{:02x}{:02x}".format(*map(int, match.groups()))
    if re.fullmatch(r"#[0-9a-fA-F]{3}", value):
        return "#" + "".join(2 * digit for digit in value[1:].lower())
    plain = value.lower().replace("px", "").replace(",", " ")
    return " ".join(
        f"{float(part):g}" if re.fullmatch(r"\d*\.?\d+", part) else part for part in plain.split()
    )


def test_saved_figures_are_those_of_the_page_in_light_colours(browser, filled):
    path, content = filled
    browser.open(path, dark=True)
    dark = browser.run(SAVED)
    figures = {figure.name: figure for figure in content.figures}
    shown = browser.run(
        "[...document.querySelectorAll('figure[data-name]')].map((each) => each.dataset.name)"
    )
    assert len(dark) == len(shown)
    assert set(shown) == set(figures)
    browser.open(path, dark=False)
    assert browser.run(SAVED) == dark
    for name, saved, computed in zip(shown, dark, browser.run(COMPUTED), strict=True):
        assert "var(" not in saved
        assert "class=" not in saved
        ours = shapes(saved)
        assert ours == shapes(standalone(figures[name].drawing)), name
        for (tag, look), (kind, *seen) in zip(
            ours[1:], [each for each in computed if each[0] != "g"], strict=True
        ):
            assert tag == kind
            keys = ("fill", "stroke", "stroke-width", "font-size", "stroke-dasharray", "fill-opacity")
            for key, value in zip(keys, seen, strict=True):
                if key in look and look[key] != "none":
                    assert look[key] == one_way(value), (name, tag, key)


def test_a_saved_figure_opens_as_a_file(browser, plain, tmp_path):
    browser.open(plain, dark=True)
    file = tmp_path / "figure.svg"
    file.write_text(browser.run(SAVED)[0], encoding="utf8")
    browser.open(file, dark=True)
    assert browser.run("document.documentElement.tagName") == "svg"
    assert browser.run("document.querySelectorAll('text').length") > 5
    assert browser.run("getComputedStyle(document.querySelector('rect')).fill") == "rgb(255, 255, 255)"


def test_downloaded_tables_start_no_formula_and_keep_their_shape(browser, filled):
    browser.open(filled[0])
    script = "[...document.querySelectorAll('a[download]')].map((a) => [a.download, a.href])"
    downloads = browser.run(script)
    tables = [
        b64decode(address.partition("base64,")[2]).decode()
        for name, address in downloads
        if name.endswith(".csv")
    ]
    assert len(tables) > 30
    seen = set()
    for table in tables:
        rows = list(csv.reader(io.StringIO(table)))
        assert {len(row) for row in rows} == {len(rows[0])}
        for cell in (cell for row in rows for cell in row):
            seen.add(cell)
            assert not cell.startswith(("=", "@", "\t", "\r")), cell
            if cell.startswith(("+", "-")):
                float(cell)
    assert f"'{FORMULA}" in seen, "a network of that name stands in the tables"
    assert len({name for name, _ in downloads}) == len(downloads), "no two downloads have the same name"


@pytest.mark.parametrize(
    ("full", "width", "dark"),
    [
        (False, 390, True),
        (False, 1200, True),
        (False, 1400, False),
        (True, 390, False),
        (True, 1200, False),
        (True, 1400, True),
    ],
)
def test_nothing_is_cut_off_or_covered(browser, plain, filled, full, width, dark):
    browser.open(filled[0] if full else plain, width, dark)
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= width
    script = """[...document.querySelectorAll("body *")].filter((each) => !each.closest(".scroll, .skip, svg")
      && each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.outerHTML.slice(0, 200))"""
    assert browser.run(script) == []
    bottom, top = (
        browser.run(f"document.querySelector('{name}').getBoundingClientRect().{side}")
        for name, side in (("header", "bottom"), ("main", "top"))
    )
    assert bottom <= top
    inside = """[...document.querySelectorAll(".scroll")].every((each) =>
      each.clientWidth <= innerWidth && getComputedStyle(each).overflowX === "auto")"""
    assert browser.run(inside)
    ink = browser.run(
        "['color', 'backgroundColor'].map((name) => getComputedStyle(document.body)[name].match(/\\d+/g).map(Number))"
    )
    light = [sum(colour[:3]) for colour in ink]
    assert (light[0] > 500 > 200 > light[1]) if dark else (light[1] > 700 and light[0] < 200)


@pytest.mark.parametrize("full", [False, True])
def test_on_paper_all_is_unfolded_light_and_within_the_page(browser, plain, filled, full):
    browser.open(filled[0] if full else plain, 703, dark=True)
    browser(
        "Emulation.setEmulatedMedia",
        media="print",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )
    browser.run("dispatchEvent(new Event('beforeprint'))")
    closed = (
        "[...document.querySelectorAll('.part > details:not([open])')].map((each) => each.parentElement.id)"
    )
    assert browser.run(closed) == ["runs", "terms", "cite"], (
        "the appendix stays in the file, all questions are open"
    )
    assert browser.run("document.querySelectorAll('.part details details[open]').length") == 0, (
        "as do long lists"
    )
    shown = """[...document.querySelectorAll(".paper, p.open, .screen")].map((each) =>
      [each.className || each.tagName, each.checkVisibility()])"""
    assert {visible for name, visible in browser.run(shown) if "paper" in name} == {True}
    assert {visible for name, visible in browser.run(shown) if "paper" not in name} == {False}
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("getComputedStyle(document.querySelector('svg .dot')).fill") == "rgb(31, 95, 168)"
    wide = """[...document.querySelectorAll("table, figure")].filter((each) =>
      each.getBoundingClientRect().right > 704).map((each) => each.innerText.slice(0, 80))"""
    assert browser.run(wide) == []
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") > 0
    assert b64decode(browser("Page.printToPDF")["data"]).startswith(b"%PDF")
