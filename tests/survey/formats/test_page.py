"""The page of a survey, the list to look at, and which formats are legal."""

import csv
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pytest

from rgbench.errors import SpecError, StoreError
from rgbench.escapes import from_csv
from rgbench.report.draw.sky import mollweide, sky_figure
from rgbench.survey import outputs as module
from rgbench.survey.formats.folders import folder_into_place
from rgbench.survey.outputs import Format, check_formats, default_formats, known_formats, write_outputs
from rgbench.survey.page.chosen import Leading, Thinned
from rgbench.survey.page.expected import Sums, expectations


class Seen(HTMLParser):
    """What stands in a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("href", "src")]

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def text(outputs):
    return outputs.files["page"][0].read_text(encoding="utf8")


def test_the_page_tells_counts_and_needs_no_network(text, survey, outputs, rows):
    seen = Seen(text)
    words = " ".join(seen.words)
    assert "8 of 10 rows have a class" in words
    assert "no mosaic covers the position" in words
    assert "the catalogue has no position" in words
    assert not [link for link in seen.links if link.startswith("http") and "legacysurvey" not in link]
    assert survey.about.checksum in words
    assert text.count("<svg") == 1
    assert "Compact 0.7" in words


def test_names_of_sources_are_text_in_the_page(text):
    seen = Seen(text)
    assert seen.tags.count("script") == 1  # our own
    assert "</script><script>alert(1)</script>" in " ".join(seen.words).replace("\n", "")
    assert "\x1b" not in text
    assert "\\x1b[31mred" in text


def test_the_page_links_to_every_file(text, outputs):
    seen = Seen(text)
    folder = outputs.files["page"][0].parent
    for name, files in outputs.files.items():
        for path in files if name != "page" else ():
            assert path.relative_to(folder).as_posix() in map(unquote, seen.links)


def test_the_list_to_look_at_has_a_picture_for_each_doubtful_source(survey, outputs, rows):
    path = outputs.files["inspect"][0]
    found = list(csv.DictReader(StringIO(path.read_bytes().decode(), newline="")))
    chances = [
        max(row[f"rg_p_{name}"] for name in survey.about.classes) for row in rows.slice(0, 8).to_pylist()
    ]
    order = np.argsort(chances, kind="stable")[:3]
    assert [int(line["subject_id"]) - 1 for line in found] == order.tolist()
    pillow = pytest.importorskip("PIL.Image")
    for line in found:
        row = rows.slice(int(line["subject_id"]) - 1, 1).to_pylist()[0]
        assert from_csv(line["source"]) == row["name"]
        assert line["class"] == row["rg_class"]
        assert float(line["ra"]) == pytest.approx(row["rg_ra"], abs=1e-6)
        with pillow.open(path.parent / line["image"]) as image:
            assert min(image.size) >= 400
    assert len(list(path.parent.iterdir())) == 1 + len(found)


def test_answers_of_those_who_looked_are_not_replaced(survey, outputs):
    folder = outputs.files["inspect"][0].parent
    (folder / "answers.csv").write_text("mine")
    try:
        with pytest.raises(StoreError, match="inspect: holds answers.csv, which rgbench did not write"):
            write_outputs(survey, ["inspect"], inspected=1)
        assert len(list(folder.iterdir())) == 5
    finally:
        (folder / "answers.csv").unlink()


def fail_within(folder):
    with folder_into_place(folder, r"a\.txt") as half:
        (half / "a.txt").write_text("new")
        raise OSError(28, "No space left on device")


def test_a_folder_that_fails_leaves_the_old_one(tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a.txt").write_text("old")
    with pytest.raises(StoreError, match="No space left"):
        fail_within(tmp_path / "f")
    assert (tmp_path / "f/a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_an_unknown_format_is_told_before_any_work(survey, monkeypatch):
    monkeypatch.setattr(module, "Written", None)
    with pytest.raises(
        SpecError, match="unknown format 'docx'.*parquet, page, regions, moc, fits, votable, csv"
    ):
        write_outputs(survey, ["page", "docx"])


def test_a_format_whose_package_is_missing_says_how_to_get_it():
    known_formats().register("odd", Format(list, "no_such_package"))
    try:
        with pytest.raises(SpecError, match=r"needs the package no_such_package.*rgbench\[survey\].*fits"):
            check_formats(["odd"])
    finally:
        known_formats.cache_clear()


def test_formats_by_default_and_in_which_order(monkeypatch):
    assert default_formats(99_999)[:3] == ["parquet", "page", "regions"]
    assert "regions" not in default_formats(100_000)
    assert check_formats(["page", "ds9", "csv"]) == ["parquet", "regions", "csv", "page"]
    assert check_formats([]) == ["parquet"]


@pytest.mark.parametrize("rows", [40, 3000])
def test_what_is_expected_agrees_with_surveys_that_are_drawn(rows):
    rng = np.random.default_rng(3)
    p = rng.dirichlet([0.5, 0.3, 0.3], rows)
    called = p.argmax(axis=1)
    chances = np.array([p[called == c].sum(axis=0) for c in range(3)])
    squares = np.array([(p[called == c] ** 2).sum(axis=0) for c in range(3)])
    found = expectations(("a", "b", "c"), Sums(np.bincount(called, minlength=3), chances, squares))
    truth = (rng.random((2000, rows, 1)) > p.cumsum(axis=1)[:, :2]).sum(axis=2)
    for c, each in enumerate(found):
        right = ((truth == c) & (called == c)).sum(axis=1)
        for estimate, drawn in (
            (each.number, (truth == c).sum(axis=1)),
            (each.purity, right / (called == c).sum()),
            (each.completeness, right / np.maximum((truth == c).sum(axis=1), 1)),
        ):
            step = 1.5 * (drawn.max() / rows if drawn.max() > 1 else 1 / (called == c).sum())
            assert estimate.value == pytest.approx(drawn.mean(), rel=0.05 if rows < 100 else 0.02)
            low, high = np.quantile(drawn, [0.025, 0.975])
            wide = max(high - low, step)
            assert abs(estimate.low - low) < 0.2 * wide + step * (rows < 100)
            assert abs(estimate.high - high) < 0.2 * wide + step * (rows < 100)
            inside = ((drawn >= estimate.low - 1e-9) & (drawn <= estimate.high + 1e-9)).mean()
            assert 0.92 < inside <= 0.995 or rows < 100


def test_a_class_that_no_row_has_shows_no_purity():
    sums = Sums(np.array([2, 0]), np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 0.0]]))
    certain, none = expectations(("a", "b"), sums)
    assert (certain.purity.low, certain.purity.value, certain.purity.high) == (1, 1, 1)
    assert np.isnan([none.purity.value, none.completeness.value]).all()
    assert (none.number.low, none.number.high) == (0, 0)


def test_leading_rows_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(1)
    marks = np.round(rng.random(1000), 2)
    marks[::7] = np.nan
    leading = Leading(20)
    for start in range(0, 1000, 64):
        part = slice(start, start + 64)
        leading.add(pa.table({"k": np.arange(1000)[part]}), marks[part])
    wanted = np.argsort(-np.nan_to_num(marks, nan=-1), kind="stable")[:20]
    assert [row["k"] for row in leading.rows()] == wanted.tolist()


def test_thinned_rows_are_spread_evenly():
    thinned = Thinned(100)
    for start in range(0, 5000, 333):
        k = np.arange(start, min(start + 333, 5000), dtype=float)
        thinned.add(np.stack([k, k], axis=1))
    steps = np.diff(thinned.places[:, 0])
    assert 50 <= len(thinned.places) <= 100
    assert len(set(steps.tolist())) == 1
    assert not thinned.whole


@pytest.mark.parametrize("n", [0, 1, 50, 2000])
@pytest.mark.parametrize("middle", [(0.0, 0.0), (359.9, 89.9), (10.0, -60.0)])
@pytest.mark.parametrize("reach", [0.0, 1.0, 25.0, 170.0])
def test_maps_of_any_extent_stay_on_the_paper(n, middle, reach):
    rng = np.random.default_rng(n)
    ra = (middle[0] + reach * rng.uniform(-1, 1, n)) % 360
    dec = np.clip(middle[1] + reach / 2 * rng.uniform(-1, 1, n), -90, 90)
    drawn = sky_figure(ra, dec, np.arange(n) % 3, ("</svg>", "b", "c"), "map")
    assert "nan" not in drawn
    assert "&lt;/svg&gt;" in drawn
    numbers = [float(part.split('"')[0]) for part in drawn.split('cx="')[1:]]
    assert all(30 <= x <= 420 for x in numbers)


def test_mollweide_has_its_known_places():
    x, y = mollweide(np.array([180.0, 180.0, 180.0, 90.0]), np.array([0.0, 90.0, -90.0, 0.0]))
    width = 420 - 8 - 40
    assert x.tolist() == pytest.approx([226, 226, 226, 226 + width / 4])
    assert y.tolist() == pytest.approx([10 + width / 4, 10, 10 + width / 2, 10 + width / 4], abs=0.1)


def test_all_that_is_written_lies_in_the_folder_of_the_survey(survey, outputs):
    left = {path.name for path in Path(survey.out).iterdir()}
    known = {
        "classes",
        "work",
        "page.html",
        "classes.reg",
        "classes.fits",
        "classes.vot",
        "classes.csv",
        "inspect",
    }
    assert left - {"coverage.fits", "hats"} == known
