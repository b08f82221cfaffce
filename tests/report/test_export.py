"""Figures and tables as files for a paper: what stands in the folder, in the SVG, the PDF and the LaTeX."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rgbench.comparison.summary import compare
from rgbench.errors import StoreError
from rgbench.numbers import PERCENT
from rgbench.report import page
from rgbench.report.blocks import Figure, Table, file_name
from rgbench.report.cells import Cell
from rgbench.report.draw import svg
from rgbench.report.files import export
from rgbench.report.files.export import can_write_pdf, pdf_writer, write_figures
from rgbench.report.files.latex import latex_table
from rgbench.report.files.standalone import standalone
from rgbench.report.files.text import comparison_latex
from rgbench.report.html import ReportOptions, write_page
from rgbench.report.material import Runs

needs_pdf = pytest.mark.skipif(not can_write_pdf(), reason="needs svglib and reportlab")
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = r"\input{/etc/passwd} & 50 % of $x_1$ #~^ <b>"


def cells_of(line: str) -> list[str]:
    """Part a row of a ``tabular`` into its cells, a ``multicolumn`` as many times as it is wide."""
    assert line.endswith(r" \\")
    found = []
    for cell in re.split(r"(?<!\\)&", line.removesuffix(r" \\")):
        match = re.fullmatch(r"\s*\\multicolumn\{(\d)\}\{c\}\{.*\}\s*", cell)
        found += [cell.strip()] * (int(match[1]) if match else 1)
    return found


def check_tabular(text: str) -> list[list[str]]:
    """Check a table's frame, and that each row has as many cells as the preamble says; give the rows."""
    lines = text.splitlines()
    kinds = re.fullmatch(r"\\begin\{tabular\}\{([lrc@{}]+)\}", lines[0])[1].replace("@{}", "")
    end = lines.index(r"\end{tabular}")
    assert (lines[1], lines[3], lines[end - 1]) == (r"\toprule", r"\midrule", r"\bottomrule")
    rows = [cells_of(line) for line in [lines[2], *lines[4 : end - 1]]]
    assert {len(row) for row in rows} == {len(kinds)}
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[%#~^_±−–<>](?![^$]*\$)", re.sub(r"\$[^$]*\$|~to~", "", bare))
    return rows


@pytest.fixture(scope="module")
def content(made):
    options = ReportOptions(galleries=0, cells=0, hard=0)
    return page.make(Runs.of(made.comparisons, made.records, options=options))


@pytest.fixture(scope="module")
def folder(content, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("figures") / "new"
    write_figures(path, content.figures, content.tables)
    return path


@pytest.mark.slow
def test_every_figure_and_table_of_the_page_is_in_the_folder(content, folder, made, tmp_path):
    names = [figure.name for figure in content.figures]
    assert len(names) == len(set(names))
    for stem in (
        "mpca",
        "paired-differences",
        "mpca-against-macs",
        "confusion-mcrgnet",
        "training-mcrgnet-8901",
    ):
        assert stem in names
    for name in names:
        assert (folder / f"{name}.svg").exists()
        assert (folder / f"{name}.csv").read_text().count("\n") > 1
    tables = [table.name for table in content.tables]
    for stem in (
        "rgbench-first-galaxy-data",
        "best-and-final",
        "per-class",
        "runs",
        "settings",
        "differences",
    ):
        assert stem in tables
    for name in tables:
        assert (folder / f"{name}.tex").read_text().startswith(r"\begin{tabular}")
    options = ReportOptions(figures=tmp_path / "again", galleries=0, cells=0, hard=0)
    write_page(tmp_path / "r.html", made.comparisons, made.records, options=options)
    assert {path.name: path.read_bytes() for path in options.figures.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }, "the same report gives the same files, to the byte"
    page_text = (tmp_path / "r.html").read_text()
    offered = set(re.findall(r'download="([^"]+)"', page_text)) | {f"{name}.svg" for name in names}
    assert offered - {"rgbench.bib"} == {path.name for path in folder.iterdir() if path.suffix != ".pdf"}


def test_other_files_of_the_folder_are_left_alone_and_the_same_names_replaced(folder, content):
    (folder / "mine.txt").write_text("mine")
    (folder / "mpca.svg").write_text("old")
    write_figures(folder, content.figures[:1], [])
    assert (folder / "mine.txt").read_text() == "mine"
    assert (folder / "mpca.svg").read_text().startswith("<svg")
    (folder / "mine.txt").unlink()


def test_names_that_are_taken_get_a_number(tmp_path):
    figure = Figure("a", "A", svg.drawing(9, 9, [], ""), columns=("x",), rows=((1,),))
    table = Table("a", "A", ("x",), ((Cell("1"),),))
    written = write_figures(tmp_path, [figure, replace(figure, rows=((2,),))], [table])
    assert {path.name for path in written if path.suffix == ".csv"} == {"a.csv", "a-2.csv", "a-3.csv"}
    assert (tmp_path / "a-2.csv").read_text() == "x\n2\n"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file: cannot be made"):
        write_figures(tmp_path / "file", [], [])


def test_names_of_files_are_plain():
    assert file_name("training", "timm:../../etc/passwd", "8901") == "training-timm-etc-passwd-8901"
    assert file_name("../..") == "figure"
    assert len(file_name("x" * 500)) == 80


def test_without_the_extra_pdf_files_are_left_out(tmp_path, content, monkeypatch):
    monkeypatch.setattr(export, "can_write_pdf", lambda: False)
    written = write_figures(tmp_path, content.figures[:2], [])
    assert {path.suffix for path in written} == {".svg", ".csv"}
    assert "rgbench[figures]" in export.NO_PDF


def test_svg_files_need_no_style_sheet(folder):
    for path in folder.glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert root.tag == f"{SVG}svg"
        assert not any(
            "class" in shape.attrib or shape.tag in (f"{SVG}style", f"{SVG}a") for shape in root.iter()
        )
        text = path.read_text()
        for word in ("var(", "currentColor", "<script", "onload"):
            assert word not in text
        assert all(address.startswith("data:image/png") for address in re.findall(r'href="([^"]*)"', text))
        paper = root[0]
        assert (paper.tag, paper.get("fill"), paper.get("width")) == (
            f"{SVG}rect",
            "#ffffff",
            root.get("width"),
        )
        drawn = [shape for shape in root.iter() if shape.tag.rpartition("}")[2] in ("line", "polyline")]
        assert all(shape.get("stroke") for shape in drawn)
        assert all(shape.get("fill") and shape.get("font-size") for shape in root.iter(f"{SVG}text"))


def test_hostile_text_stays_text_in_svg():
    drawing = svg.drawing(50, 20, [svg.text(1, 9, '<script>"\x00\x1b&\ud7ff')], '"><script>')
    root = ElementTree.fromstring(standalone(drawing))
    (text,) = root.iter(f"{SVG}text")
    assert text.text == r'<script>"\x00\x1b&\ud7ff'
    assert not list(root.iter("script"))


@needs_pdf
def test_pdf_files_have_the_size_of_the_svg_and_embed_their_fonts(folder):
    for path in folder.glob("*.svg"):
        pdf = path.with_suffix(".pdf").read_bytes()
        assert pdf.startswith(b"%PDF-")
        assert pdf.count(b"/Type /Page\n") == 1
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
        root = ElementTree.parse(path).getroot()
        size = [0.75 * float(root.get(side)) for side in ("width", "height")]
        assert [float(side) for side in box.groups()] == pytest.approx(size, abs=0.5)
        used = set(re.findall(rb"/BaseFont /[A-Z]{6}\+([\w-]+)", pdf))
        assert used
        assert used <= {b"BitstreamVeraSans-Roman", b"BitstreamVeraSans-Bold"}


@needs_pdf
def test_pdf_of_text_that_is_no_latin():
    drawing = svg.drawing(50, 20, [svg.text(1, 9, "−1 ± 2 – Ω銀河 <b>")], "")
    assert pdf_writer()(standalone(drawing)).startswith(b"%PDF")


def test_latex_tables_are_whole(content):
    for table in content.tables:
        rows = check_tabular(table.latex())
        assert len(rows) == len(table.rows) + 1
    (head, *rows) = check_tabular(content.tables[0].latex())
    assert head[1] == head[2] == head[3] == r"\multicolumn{3}{c}{MPCA \%}"
    assert all(re.fullmatch(r"\d\d\.\d", row[1]) and row[2] == r"${}\pm{}$" for row in rows)


def test_latex_of_hostile_names_and_failed_runs(runs):
    good, bad = runs(networks=("mcrgnet", "convxpress"), seeds=(1,))
    spec = bad.spec.model_copy(update={"network": bad.spec.network.model_copy(update={"name": HOSTILE})})
    bad = replace(bad, spec=spec, status="failed", error=HOSTILE, predictions=None, history={}, cost={})
    text = comparison_latex(compare([good, bad]))
    rows = check_tabular(text)
    assert rows[2][0].startswith(
        r"\textbackslash{}input\textbraceleft{}/etc/passwd\textbraceright{} \& 50 \% of \$x\_1\$"
    )
    assert r"\input" not in text


def test_latex_numbers_stand_below_each_other():
    rows = [
        ["a", "77.9 ± 1.25", "+1.2 – −3.4", "0.5"],
        ["b", "8.15 ± 0.1", "–", "< 0.001"],
        ["[c]", "9", "-1 – 2", "-12"],
    ]
    text = latex_table(["n", "score %", "interval", "p"], rows)
    table = check_tabular(text)
    assert table[1] == [
        "a",
        r"77.9\phantom{0}",
        r"${}\pm{}$",
        "1.25",
        r"+1.2",
        "~to~",
        "$-$3.4",
        r"0.5\phantom{00}",
    ]
    assert table[2][:4] == ["b", "8.15", r"${}\pm{}$", r"0.1\phantom{0}"]
    assert table[2][4:7] == [r"\multicolumn{3}{c}{--}"] * 3
    assert table[2][7] == "$<$ 0.001"
    assert table[3] == [
        "{}[c]", r"9\phantom{.00}", "", "", r"$-$1\phantom{.0}", "~to~", r"2\phantom{.0}", r"$-$12\phantom{.000}",
    ]  # fmt: skip


def test_csv_has_both_ends_of_every_interval_in_the_units_shown():
    cells = (
        Cell("a"),
        Cell("77.9 ± 1.2", 0.77912, spread=0.0123, scale=PERCENT),
        Cell("−1.2 – +3.4", -0.01234, 0.0341, scale=PERCENT),
        Cell("0.5", 0.5),
    )
    table = Table(
        "t",
        "T",
        ("n", "MPCA %", "95 % interval", "p"),
        (cells, (Cell("b"), Cell("–"), Cell("–"), Cell("0.012", 0.0123))),
    )
    assert table.csv().splitlines() == [
        "n,MPCA %,MPCA % spread,95 % interval low,95 % interval high,p",
        "a,77.912,1.23,-1.234,3.41,0.5",
        "b,,,,,0.0123",
    ]


def test_a_cell_says_its_scale_and_nothing_is_guessed_from_its_text():
    rows = ((Cell("a"), Cell("0.5 – 1", 0.005, 0.01), Cell("1.0", 0.01)), (Cell("b"), Cell("–"), Cell("–")))
    assert Table("t", "T", ("n", "interval", "p"), rows).csv().splitlines() == [
        "n,interval low,interval high,p",
        "a,0.005,0.01,0.01",
        "b,,,",
    ]
    ranks = Table("t", "T", ("n", "ranks"), ((Cell("a"), Cell("2 – 3", "2-3")),))
    assert ranks.csv() == "n,ranks\na,2-3\n"


def test_every_table_shows_what_its_csv_holds(content):
    """Shown numbers are the unrounded ones, rounded; one that ends in 5 may go either way."""
    checked = 0
    for table in content.tables[1:]:
        lines = list(csv.reader(io.StringIO(table.csv())))
        for i, row in enumerate(table.rows):
            for j, cell in enumerate(row):
                match = re.fullmatch(r"([+−-]?)(\d+)\.(\d+)", cell.text)
                if match is None or not isinstance(cell.value, float):
                    continue
                column = lines[0].index(table.columns[j]) if table.columns[j] in lines[0] else None
                if column is not None:
                    shown, half = float(f"{match[2]}.{match[3]}"), 0.5 / 10 ** len(match[3])
                    away = abs(abs(float(lines[i + 1][column])) - shown)
                    assert away <= half + 1e-12, (table.name, cell)
                    checked += 1
    assert checked > 40


def test_the_figure_of_the_pairs_holds_all_pairs_in_its_data(content, made):
    figure = next(figure for figure in content.figures if figure.name == "paired-differences")
    pairs = made.comparisons["best"].pairs
    assert [row[1] / 100 for row in figure.rows] == pytest.approx([pair.difference for pair in pairs])
    assert all(low <= difference <= high for _, difference, low, high in figure.rows)
