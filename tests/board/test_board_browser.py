"""The board in a browser: sorted, filtered, linked to, on a phone, in the dark, and from the keyboard alone."""

from __future__ import annotations

import pytest

from tests.browser import BROWSER, Browser, quiet

pytestmark = [pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome"), pytest.mark.slow]

TASK = "task-rgbench-first-4class-1.html"
SHOWN = "[...document.querySelectorAll('.board tbody tr')].filter((r) => !r.hidden).map((r) => r.cells[0].innerText)"
HASH = "location.hash"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture
def page(browser, site):
    browser.open(site / TASK)
    return browser


def choose(page, name, value):
    page.run(
        f"(() => {{ const each = document.querySelector('[data-filter={name}]'); each.value = {value!r}; "
        "each.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def column(page, key):
    return page.run(
        f"(() => {{ const i = document.querySelector('[data-key={key}]').cellIndex; "
        "return [...document.querySelectorAll('.board tbody tr')].map((r) => Number(r.cells[i].dataset.value)); })()"
    )


def test_every_page_is_quiet_inert_and_whole(browser, site):
    for path in sorted(site.glob("*.html")):
        browser.open(path)
        browser.run("document.querySelectorAll('thead button, [data-view]').forEach((each) => each.click())")
        assert quiet(browser) == [], path.name
        assert browser.run("window.pwned") is None
        assert browser.run("document.querySelectorAll('[onerror], main script').length") == 0
        assert browser.run("document.documentElement.dataset.ready") == "true"


def test_tie_groups_stand_first(page):
    assert page.run("document.querySelector('h2').innerText.toLowerCase()") == "who cannot be told apart"
    members = page.run("document.querySelector('.groups .members').innerText")
    assert members == "convxpress, mcrgnet (modern), radio-galaxy-zoo"


def test_a_heading_sorts_both_ways_and_the_link_says_so(page):
    assert column(page, "score") == sorted(column(page, "score"), reverse=True)
    assert page.run(HASH) == ""
    page.run("document.querySelector('[data-key=score] button').click()")
    assert column(page, "score") == sorted(column(page, "score"))
    assert page.run(HASH) == "#sort=score&order=ascending"
    page.run("document.querySelector('[data-key=score] button').click()")
    assert page.run(HASH) == "", "what is so at first is left out"


def test_filters_leave_what_fits_and_say_how_much(page):
    choose(page, "name", "McRG")
    assert page.run(SHOWN) == ["mcrgnet (modern)", "mcrgnet (sky)"]
    assert page.run("document.getElementById('count').innerText") == "2 of 6 entries shown."
    choose(page, "protocol", "sky")
    assert page.run(SHOWN) == ["mcrgnet (sky)"]
    choose(page, "group", "a")
    assert page.run(SHOWN) == []
    assert page.run("document.getElementById('none').checkVisibility()") is True
    page.run("document.getElementById('reset').click()")
    assert len(page.run(SHOWN)) == 6
    assert page.run(HASH) == ""
    choose(page, "external", "yes")
    assert len(page.run(SHOWN)) == 1


def test_a_link_shows_the_same_view(page, site):
    choose(page, "group", "a")
    page.run("document.querySelector('[data-view=cost]').click()")
    page.run("document.querySelector('[data-key=entry] button').click()")
    state = f"""(() => {{
      const head = document.querySelector('[aria-sort]');
      const heads = [...document.querySelectorAll('.board thead th')].filter((each) => !each.hidden);
      return {{rows: {SHOWN}, view: document.querySelector('[aria-pressed=true]').dataset.view,
        columns: heads.map((each) => each.dataset.key), head: head.dataset.key + head.ariaSort}};
    }})()"""
    before, link = page.run(state), page.run("document.getElementById('link').href")
    assert before["rows"] == ["convxpress", "mcrgnet (modern)", "radio-galaxy-zoo"]
    assert (before["view"], before["head"]) == ("cost", "entryascending")
    assert {"macs", "parameters"} <= set(before["columns"])
    assert "ranks" not in before["columns"]
    page.open(site / "index.html")
    page("Page.navigate", url=link)
    page.run("new Promise((go) => setTimeout(go, 300))")
    assert page.run(state) == before
    page.run("location.hash = '#protocol=sky'")
    page.run("new Promise((go) => setTimeout(go, 50))")
    assert len(page.run(SHOWN)) == 2
    assert page.run("document.querySelector('[aria-sort]').dataset.key") == "score"


@pytest.mark.parametrize(
    "state", ["sort=evil&order=sideways", "group=%3Cscript%3E&view=none", "=&&&==", "sort=score&order="]
)
def test_a_broken_link_shows_the_whole_table(page, site, state):
    page("Page.navigate", url=f"{(site / TASK).as_uri()}#{state}")
    page.run("new Promise((go) => setTimeout(go, 200))")
    assert len(page.run(SHOWN)) == 6
    assert page.run("document.querySelector('[aria-pressed=true]').dataset.view") == "scores"
    assert page.run("window.violations") == []


def test_a_link_to_a_place_keeps_the_view(page):
    choose(page, "group", "a")
    page.run("location.hash = '#rules'")
    page.run("new Promise((go) => setTimeout(go, 50))")
    assert len(page.run(SHOWN)) == 3


CUT = """[...document.querySelectorAll("body *")].filter((each) => !each.closest(".skip, svg, [hidden]")
  && each.checkVisibility() && each.getBoundingClientRect().right > innerWidth + 1)
  .map((each) => each.outerHTML.slice(0, 200))"""
SCROLLED = """[...document.querySelectorAll(".scroll")].filter((each) => each.scrollWidth > each.clientWidth + 1)
  .map((each) => each.getAttribute("aria-label"))"""
OVERLAP = """[...document.querySelectorAll("td, th")].filter((each) => each.checkVisibility()
  && each.scrollWidth > each.clientWidth + 1).map((each) => each.innerText)"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_is_cut_off(browser, site, width, dark):
    for path in sorted(site.glob("*.html")):
        browser.open(path, width, dark)
        for view in browser.run(
            "[...document.querySelectorAll('[data-view]')].map((each) => each.dataset.view)"
        ) or [""]:
            if view:
                browser.run(f"document.querySelector('[data-view={view}]').click()")
            assert browser.run("document.documentElement.scrollWidth") <= width, (path.name, view)
            assert browser.run(CUT) == [], (path.name, view)
            assert browser.run(SCROLLED) == [], (path.name, view)
            assert browser.run(OVERLAP) == [], (path.name, view)
    light = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    assert (sum(browser.run(light)) < 200) is dark


def test_on_a_phone_each_number_stands_by_its_name(browser, site):
    browser.open(site / TASK, 390)
    row = browser.run("document.querySelector('.board tbody tr').innerText")
    assert row.startswith("convxpress")
    names = browser.run(
        "[...document.querySelectorAll('.board tbody tr:first-child td')].filter((cell) => !cell.hidden)"
        ".map((cell) => getComputedStyle(cell, '::before').content)"
    )
    assert names[:3] == ['"tie group"', '"MPCA %"', '"95 % interval"']
    browser.run("document.querySelector('[data-key=score] button').click()")
    assert column(browser, "score") == sorted(column(browser, "score"))


def test_the_keyboard_alone_reaches_and_works_everything(page):
    tabbable = """[...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
      .filter((each) => each.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true}))"""
    page.run(f"window.wanted = {tabbable}; window.reached = []; window.blind = []")
    # The page notes itself what is reached: a key may arrive late where the machine has other work.
    page.run(
        "document.addEventListener('focusin', ({target}) => { window.reached.push(target); "
        "if (getComputedStyle(target).outlineStyle === 'none') window.blind.push(target.outerHTML.slice(0, 100)); })"
    )
    missed = "window.wanted.filter((each) => !window.reached.includes(each)).map((e) => e.outerHTML)"
    # Some keys lead through the browser's own buttons, and behind the last place the first one comes again.
    for _ in range(2 * page.run("window.wanted.length") + 10):
        page.press("Tab")
        if not page.run(missed):
            break
    assert page.run(missed) == []
    assert page.run("window.blind") == [], "the focus is seen wherever it is"
    page.run("document.querySelector('[data-key=accuracy] button').focus()")
    for key, order in (("Enter", "descending"), (" ", "ascending")):
        page.press(key)
        assert page.run("document.querySelector('[data-key=accuracy]').ariaSort") == order
    page.run("document.querySelector('[data-view=training]').focus()")
    page.press(" ")
    assert page.run(HASH).endswith("view=training")


def test_names_and_states_are_told_to_screen_readers(page):
    tree = page("Accessibility.getFullAXTree")["nodes"]
    roles = {node["role"]["value"] for node in tree if not node.get("ignored")}
    assert {"table", "columnheader", "rowheader", "searchbox", "combobox"} <= roles
    # Chromium leaves a status out of its tree now and then, so that it is asked of the page.
    assert page.run("document.querySelector('#count').getAttribute('role')") == "status"
    assert "entries shown" in page.run("document.querySelector('#count').textContent")
    unnamed = [
        node["role"]["value"]
        for node in tree
        if not node.get("ignored")
        and node["role"]["value"] in ("button", "link", "searchbox", "combobox", "region", "group")
        and not node.get("name", {}).get("value")
    ]
    assert unnamed == []
