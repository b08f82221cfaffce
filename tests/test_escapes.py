"""Text that others wrote comes out as text, in every format, as readers see it that know nothing of rgbench."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas
import pytest
from astropy.io import votable
from astropy.table import Table as AstropyTable
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.progress import Progress, TextColumn
from rich.table import Table as RichTable
from rich.text import Text as RichText

from rgbench.cli.app import main
from rgbench.cli.plain import PlainConsole
from rgbench.cli.progress import TerminalListener
from rgbench.cli.screen import say
from rgbench.comparison.summary import compare
from rgbench.data.own.files import find_images
from rgbench.data.own.tabular import read_table
from rgbench.errors import SpecError
from rgbench.escapes import (
    csv_text,
    for_ascii,
    for_csv,
    for_file_name,
    for_latex,
    for_xml,
    from_csv,
    utf8,
    visible,
)
from rgbench.references import Paper, entry
from rgbench.report import html
from rgbench.report.blocks import Code, Figure, Gallery, Heading, Listing, Section, Table, Terms, Text, Tile
from rgbench.report.cells import Cell
from rgbench.report.draw import svg
from rgbench.report.draw.figures import short
from rgbench.report.files.latex import latex_table
from rgbench.report.files.standalone import standalone
from rgbench.report.files.text import comparison_table
from rgbench.report.page import Page
from rgbench.runs.output_tables import table_writer
from rgbench.spec import Study, resolve

NASTY = (
    "a[/b] [bold]x[/bold] [link=file:///etc]l[/link] [red]",
    ":bee: :smile:",
    "\x1b[31mred\x1b[0m \x1b]8;;http://example.org\x07link\x1b]8;;\x07 \x1b[2J",
    "line\nbreak\ttab\rreturn",
    "error: this is no error\r\nerror: nor this",
    "back\x08space \x07 \x7f \x85 \u2028 \u2029",
    '=HYPERLINK("http://example.org/?"&A1)',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "\t=1+1",
    "'=quoted",
    "''",
    "＝1+1",
    "-0.5",
    "-J1204",
    "\u202egnp.exe\u202c \u200f \u2066x\u2069",
    "zero\u200bwidth\ufeff",
    "<script>window.pwned = 1</script>",
    '"><img src=x onerror="window.pwned = 1">',
    "]]>--><!--<![CDATA[",
    "<svg onload=alert(1)>&amp;&#60;b&#62;",
    "{{ 7 * 7 }}{% raw %}",
    r"\input{/etc/passwd} $x_1^2$ 50 % # & ~ ^ {} -- --- `a' C:\new",
    "[1cm] first",
    "*star",
    "a}, author = {evil}, x={",
    "# heading [l](javascript:alert(1)) `code` **b** | c",
    "../../etc/passwd",
    "C:\\windows\\nul",
    "con",
    "β Cas é e\u0301 銀河 😀 👨\u200d👩\u200d👧",
    "x" * 300,
    'a,b;c"d',
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
EACH = pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))


def no_control(text: str, but: str = "\n") -> bool:
    """Tell whether no character acts on a terminal or turns text around."""
    return not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs") and c not in but]


def screen(width: int = 400) -> PlainConsole:
    return PlainConsole(file=io.StringIO(), width=width, force_terminal=True, color_system=None)


def written(console: PlainConsole) -> str:
    return console.file.getvalue()


def test_visible_of_examples():
    assert visible("a\x1b[1m\u202e\udce9") == r"a\x1b[1m\u202e\udce9"
    assert visible("é 銀河 😀 [b] \\n") == "é 銀河 😀 [b] \\n"
    assert visible("a\nb", "\n") == "a\nb"


@given(st.text())
def test_visible_text_can_be_seen_and_is_stable(text):
    assert visible(text).isprintable()
    assert visible(visible(text)) == visible(text)
    assert utf8(text).encode("utf8").decode("utf8") == utf8(text)


@EACH
def test_terminal_lines(name):
    console = screen()
    say(console, name, style="yellow")
    assert written(console) == f"{visible(name)}\n"


@EACH
def test_terminal_tables_and_texts(name):
    console = screen(1000)
    console.print(RichText(name))
    table = RichTable("name", name, box=None)
    table.add_row(name, name)
    console.print(table)
    assert no_control(written(console))
    for line in visible(name, "\n").split("\n"):
        assert written(console).replace("\n", "").count(line.strip()) >= 3


@EACH
def test_terminal_comparison(name, make_run):
    record = make_run("mcrgnet", 1, 0.7)
    network = record.spec.network.model_copy(update={"name": name})
    object.__setattr__(record, "spec", record.spec.model_copy(update={"network": network}))
    comparison = compare([record])
    console = screen()
    console.print(comparison_table(comparison))
    say(console, *comparison.words)
    assert no_control(written(console))
    shown = visible(name)
    assert shown in "".join(written(console).split("\n"))


@EACH
def test_progress_bars(name):
    console = screen()
    (spec,) = resolve(Study(name="s", networks=("mcrgnet",), seeds=(1,)), "c")
    spec = spec.model_copy(update={"network": spec.network.model_copy(update={"name": name})})
    listener = TerminalListener(console, "cpu")
    listener._plan = SimpleNamespace(steps=lambda _: 1, done={}, missing=[spec], total_work=lambda _: 1)
    listener._all = listener._bars.add_task("all runs", total=1, state="")
    listener.run_starts(spec)
    console.print(listener._bars)
    assert visible(name)[:60] in written(console)
    listener.run_ends(SimpleNamespace(run_id="r", spec=spec, status="failed", error=name))
    assert no_control(written(console))


def test_bars_of_others_are_plain_too():
    console = screen()
    bars = Progress(TextColumn("{task.description}", markup=False), console=console)
    bars.add_task("a[/b]\x1b[31m" + " " * 20, total=1)
    console.print(bars)
    assert r"a[/b]\x1b[31m" in written(console)


@EACH
def test_errors_are_one_line(name, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["data", "check", f"x{name}"])
    said = capsys.readouterr().err
    assert no_control(said)
    if "\n" not in name:
        assert said.count("\n") == 1
        assert visible(str(Path(f"x{name}"))) in said
    else:
        assert all(line.startswith("  ") for line in said.splitlines()[1:])


def test_usage_errors_are_plain(capsys):
    with pytest.raises(SystemExit):
        main(["data", "check", "a", "b\x1b[31m\u202e"])
    said = capsys.readouterr().err
    assert no_control(said)
    assert r"b\x1b[31m\u202e" in said


def test_tracebacks_are_plain(capsys):
    with pytest.raises(SystemExit):
        main(["--debug", "data", "check", "b\x1b[31m"])
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert no_control(said)


def test_warnings_are_plain(capsys, monkeypatch):
    import warnings

    import rgbench.cli.work.data as work

    def warn(*_arguments):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("the header of a\x1b[31m[b]", stacklevel=1)

    monkeypatch.setattr(work, "check_data", warn)
    with pytest.raises(SystemExit) as done:
        main(["data", "check", "x"])
    assert done.value.code == 0
    assert capsys.readouterr().err == "warning: the header of a\\x1b[31m[b] (UserWarning)\n"


def test_a_terminal_that_lacks_characters_shows_the_rest(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stderr", stream)
    with pytest.raises(SystemExit):
        main(["data", "check", "β"])
    stream.flush()
    assert rb"\u03b2: neither a data set nor a folder" in stream.buffer.getvalue()


def check_csv(names: list[str]) -> None:
    text = csv_text([["name", "value"], *([name, -0.5] for name in names)])
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert [from_csv(row[0]) for row in rows[1:]] == names
    assert all(row[1] == "-0.5" for row in rows[1:])
    for row in rows[1:]:
        assert row[0][:1] not in set("=+-@\t\r\n") or re.fullmatch(r"[+-][\d.]+(?:[eE][+-]?\d+)?", row[0])
    frame = pandas.read_csv(io.StringIO(text, newline=""), dtype={"name": str}, keep_default_na=False)
    assert [from_csv(name) for name in frame["name"]] == names
    assert frame["value"].tolist() == [-0.5] * len(names)


@given(st.lists(TEXT, min_size=1, max_size=5))
@example(list(NASTY))
def test_csv_is_no_formula_and_gives_names_back(names):
    check_csv(names)


def test_csv_of_examples():
    cells = ["=1", "-0.5", "-a", "'=1", "'tis", "a\0b", "\udce9"]
    assert [for_csv(cell) for cell in cells] == [
        "'=1", "-0.5", "'-a", "''=1", "'tis", "a\0b", r"\udce9",
    ]  # fmt: skip
    assert csv_text([["x"], [-0.5], [True], [None], [float("nan")]]) == 'x\n-0.5\nTrue\n""\nnan\n'


def test_our_reader_gives_names_back(tmp_path):
    names = [name for name in NASTY if "\n" not in name and "\r" not in name and name == name.strip()]
    path = tmp_path / "t.csv"
    path.write_text(csv_text([["name", "ra"], *([name, "1.5"] for name in names)]), encoding="utf8")
    assert read_table(path).columns["name"].values.tolist() == names


@EACH
@pytest.mark.parametrize("ending", ["csv", "parquet", "vot", "fits"])
def test_tables_of_predictions(name, ending, tmp_path):
    path = tmp_path / f"t.{ending}"
    columns = {"source": np.array([name, "b"]), f"p_{name}": np.array([0.25, -0.5])}
    table_writer(path)(path, columns)
    if ending == "csv":
        (head, *rows) = csv.reader(io.StringIO(path.read_bytes().decode(), newline=""), strict=True)
        assert head == ["source", f"p_{name}"]
        assert [[from_csv(row[0]), float(row[1])] for row in rows] == [[name, 0.25], ["b", -0.5]]
    elif ending == "parquet":
        frame = pandas.read_parquet(path)
        assert frame.to_dict("list") == {"source": [name, "b"], f"p_{name}": [0.25, -0.5]}
    elif ending == "vot":
        found = votable.parse_single_table(path)
        assert [field.name for field in found.fields] == ["source", visible(f"p_{name}")]
        assert found.array["source"][0] == visible(name).strip()
        assert found.array["f1" if "f1" in found.array.dtype.names else found.fields[1].ID][1] == -0.5
    else:
        found = AstropyTable.read(path)
        assert found["source"][0] == for_ascii(name).rstrip()
        assert found.columns[1].tolist() == [0.25, -0.5]
        assert found.colnames[1][:47] == for_ascii(f"p_{name}").replace("'", r"\x27")[:47]


LATEX_WORDS = {
    r"\textbackslash{}": "\\", r"\textbraceleft{}": "{", r"\textbraceright{}": "}", r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^", r"\textasciigrave{}": "`", r"\&": "&", r"\%": "%", r"\$": "$", r"\#": "#", r"\_": "_",
    r"$<$": "<", r"$>$": ">", r"$\pm$": "±", r"$\times$": "×", r"$-$": "−", r"\ldots{}": "…", "--": "–", "{}": "",
}  # fmt: skip
LATEX_TOKEN = re.compile(r"\\[a-z]+\{\}|\\[&%$#_]|\$[<>-]\$|\$\\[a-z]+\$|--|\{\}|[^\\{}$&%#_^~]")


def latex_read(text: str) -> str:
    """Give what LaTeX sets; fails at anything that would do something else."""
    tokens = LATEX_TOKEN.findall(text)
    assert "".join(tokens) == text, text
    assert {token for token in tokens if len(token) > 1} <= set(LATEX_WORDS)
    return "".join(LATEX_WORDS.get(token, token) for token in tokens)


@given(TEXT)
@example(" ".join(NASTY))
def test_latex_sets_the_text(text):
    assert latex_read(for_latex(text)) == visible(text)


@EACH
def test_latex_tables(name):
    text = latex_table([name, name], [[name, name], ["b", "1.5"]])
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 3
    for row in rows[:2]:
        cells = re.split(r"(?<!\\) & ", row.removesuffix(r" \\"))
        assert [latex_read(cell).replace("−", "-") for cell in cells] == [visible(name)] * 2
    assert not any(row.startswith(("[", "*")) for row in rows)


@EACH
def test_bibtex_fields_hold_the_text(name):
    text = entry(name, Paper(name, doi=name, arxiv=name))
    head, *fields, end = text.split("\n")
    assert re.fullmatch(r"@misc\{[A-Za-z0-9:._+/-]+,", head)
    assert end == "}"
    assert len(fields) == 4
    for field in fields:
        depth = np.cumsum([{"{": 1, "}": -1}.get(c, 0) for c in field])
        assert depth.min() >= 0
        assert depth[-1] == 0
    note = re.fullmatch(r"  note = \{(.*)\},", fields[0])
    assert latex_read(note[1]) == visible(name)


@given(TEXT)
def test_xml_holds_the_text(text):
    root = ElementTree.fromstring(f'<a b="{for_xml(text)}">{for_xml(text)}</a>')
    assert root.text == visible(text, "\n\t")
    assert root.get("b") == visible(text, "\n\t").replace("\n", " ").replace("\t", " ")


@EACH
def test_svg_files(name):
    parts = [svg.text(1, 9, name), svg.circle(1, 1, 1, "dot", name), svg.image((0, 0, 1, 1), "data:,", name)]
    root = ElementTree.fromstring(standalone(svg.drawing(50, 20, [*parts, svg.link("a", parts, name)], name)))
    shown = [each.text for each in root.iter() if each.text]
    assert shown == [visible(name, "\n\t")] * 6
    assert {each.tag.rpartition("}")[2] for each in root.iter()} == {
        *("svg", "rect", "text", "circle", "title", "image", "g"),
    }


@EACH
def test_names_are_shortened_as_they_are_shown(name):
    assert len(short(name, 12)) <= 12
    assert no_control(short(name, 12), "")
    assert visible(name).startswith(short(name, 12).removesuffix("…"))


class Reader(HTMLParser):
    """What a page holds: its tags with the names of their attributes, and its text outside of style and script."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, ...]] = []
        self.text: list[str] = []
        self.values: list[str] = []
        self.within = ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, *(key for key, _ in attributes)))
        self.values += [value or "" for key, value in attributes if key not in ("content", "href")]
        self.within = tag

    def handle_data(self, data):
        if self.within not in ("style", "script"):
            self.text.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")


def page_of(name: str) -> str:
    """Give a page with a name in every place that a name can have."""
    table = Table(
        "t", name, (name, name), ((Cell(name, name), Cell(name)),), tags={0: name}, meanings=(name, name)
    )
    figure = Figure("f", name, svg.drawing(9, 9, [svg.text(1, 1, name)], name), name, (name,), ((name,),))
    tile = Tile(name, None, True, name, (name, name), name, "https://example.org/")
    blocks = (Text(name, more=name), Heading(name), Listing((name,)), Terms(((name, name),)), Code(name))
    parts = (*blocks, Gallery((tile,)))
    section = Section("a", name, name, (name,), (figure,), (table,), (name,), parts)
    return html._render(Page(name, ((name, name),), (name,), (name,), (name,), (section,), name))


@EACH
def test_html_pages(name):
    read, plain = Reader(), Reader()
    read.feed(page_of(name))
    plain.feed(page_of("plain"))
    assert [tag for tag in read.tags if tag[0] != "br"] == [tag for tag in plain.tags if tag[0] != "br"]
    shown = visible(name, "\n\t")
    assert "".join(read.text).count(shown) >= "".join(plain.text).count("plain")
    assert any(shown in value for value in read.values)
    assert no_control("".join(read.text) + "".join(read.values), "\n\t")


@EACH
def test_json_keeps_names(name):
    text = json.dumps({name: name})
    assert text.isascii()
    assert json.loads(text) == {name: name}


@given(st.text(max_size=300), st.text(max_size=300))
@example("a/b", "a%2Fb")
@example("nul", "%6Eul")
@example("x" * 300, "x" * 301)
@example("", "%")
def test_file_names_are_legal_and_differ(one, two):
    for name in (one, two):
        safe = for_file_name(name)
        assert not set(safe) & set('<>:"/\\|?*')
        assert safe.isprintable()
        assert 0 < len(safe.encode()) <= 180
        assert safe[0] not in ".- "
        assert safe[-1] not in ". "
        assert not re.match(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", safe)
    if one != two and {one, two} != {"", "%"}:
        assert for_file_name(one) != for_file_name(two)


@EACH
def test_file_names_can_be_written(name, tmp_path):
    path = tmp_path / f"{for_file_name(name)}.html"
    path.write_text("x")
    assert list(tmp_path.iterdir()) == [path]


def test_a_study_may_have_slashes_in_its_name():
    assert for_file_name(Study(name="a[/b]", networks=("mcrgnet",)).name) == "a[%2Fb]"


def test_ordinary_file_names_stay():
    for name in ("quickstart", "my study (2)", "first-1", "β Cas", "a[b]", "v1.2", "console", "it's"):
        assert for_file_name(name) == name


def test_files_whose_names_are_no_utf8_have_names_that_can_be_stored(tmp_path):
    raw = bytes(tmp_path) + b"/caf\xe9.fits"
    try:
        Path(raw.decode("utf8", "surrogateescape")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (file,) = find_images([tmp_path])
    assert file.name == r"caf\udce9"
    assert file.place.endswith(r"caf\udce9.fits")
    assert file.path.exists()
    assert file.place.encode()


settings.register_profile("quick", max_examples=60, deadline=None)
settings.load_profile("quick")


@given(st.text(max_size=200), st.integers(1, 60))
def test_no_message_moves_a_cursor_or_fills_a_screen(text, times):
    """Messages quote files: found by the campaign, a clear-screen sequence and a key of 100,000 characters."""
    said = str(SpecError(f"a.toml: unknown key {text * times}; legal are name, seeds"))
    assert said.startswith("a.toml: unknown key")
    assert said.endswith("; legal are name, seeds")
    assert all(line.isprintable() and len(line) <= 1805 for line in said.split("\n"))
