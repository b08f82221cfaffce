"""``rgbench classify``: from positions to classes and a page, from a local server with real images; no network."""

from __future__ import annotations

import csv
import gzip
import os
import re
import subprocess
import sys
import threading
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import rgbench
from rgbench.cli.app import main
from rgbench.data.surveys import cutouts
from rgbench.data.surveys.surveys import BuildSpec
from rgbench.images.fits import read_fits

N = 3


def cutout_server():
    """Import the server of the tests of cutouts, which is in no package."""
    place = Path(__file__).parents[1] / "data" / "surveys" / "cutout_server.py"
    spec = spec_from_file_location("cutout_server", place)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CutoutServer


@pytest.fixture(scope="module")
def images() -> dict[tuple[float, float], bytes]:
    mirror = os.environ.get("RGBENCH_MIRROR")
    if not mirror:
        pytest.skip("RGBENCH_MIRROR is not set: no FITS images to serve")
    paths = sorted((Path(mirror) / "MiraBest_FITS").glob("*.fits.gz"))[::50][:N]
    return {read_fits(path).centre: gzip.decompress(path.read_bytes()) for path in paths}


@pytest.fixture
def server(images):
    with cutout_server()(images) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def away(tmp_path, monkeypatch):
    """Work in a folder of its own, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RGBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def places(images) -> list[str]:
    return [f"{ra:.5f} {dec:+.5f}" for ra, dec in images]


def run(capsys, server, *arguments) -> tuple[int, str, str]:
    """Run the command against the server; give its exit code and what it said."""
    given = ["--server", server.url("skyview")] if server else []
    with pytest.raises(SystemExit) as ended:
        main(["classify", *map(str, arguments), *given])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_from_positions_to_classes_and_pages_and_the_second_call_asks_nothing(
    server, images, places, tmp_path, capsys
):
    code, out, _ = run(capsys, server, *places, "--out", "out")
    assert code == 0
    assert len(server.asked) == N
    assert "Faint Images of the Radio Sky" in out
    assert "Please cite Becker, White & Helfand 1995" in out
    for again in ("again", "again.html", "again.csv"):
        code, out, _ = run(capsys, server, *places, "--out", again)
        assert code == 0
        assert "SkyView" not in out
    assert len(server.asked) == N
    found = rows(tmp_path / "out" / "sources.csv")
    assert found == rows(tmp_path / "again" / "sources.csv") == rows(tmp_path / "again.csv")
    assert (tmp_path / "again.html").read_text() == (tmp_path / "out" / "sources.html").read_text()
    assert [f"{float(row['ra']):.5f} {float(row['dec']):+.5f}" for row in found] == places
    assert all(row["class"] in out and row["source"] in out for row in found)
    assert all("in-training" in row["flags"] for row in found)  # the data set of first-1 holds them


def test_the_answer_is_that_of_predict_for_the_same_files(server, images, places, tmp_path, capsys):
    result = rgbench.classify_positions(places, BuildSpec(server=server.url("skyview"), rate=1000))
    for (ra, dec), content in images.items():
        (tmp_path / f"{ra:.4f}{dec:+.4f}.fits").write_bytes(content)
    files = [tmp_path / f"{ra:.4f}{dec:+.4f}.fits" for ra, dec in images]
    own = rgbench.classify_files(rgbench.load_classifier(), files).table()
    table = result.table()
    for key in ("class", "set", "flags", "remark"):
        assert table[key].tolist() == own[key].tolist()
    for key in ("p_FRI", "p_FRII", "unlike"):
        np.testing.assert_allclose(table[key].astype(float), own[key].astype(float), atol=1e-6)
    assert result.field == pytest.approx(96 * 1.8)
    assert all(result.image(i).shape == (96, 96) for i in range(N))


def test_sources_without_an_image_are_rows_with_the_reason(server, places, tmp_path, capsys):
    (tmp_path / "t.csv").write_text(f"name,alpha,delta\n<b>A</b>,{places[0].replace(' ', ',')}\nB,,\n")
    wanted = ["t.csv", "10 10", "10 -60", places[1]]
    code, out, _ = run(capsys, server, *wanted, "--out", "out", "--column", "ra=alpha")
    assert code == 3
    found = rows(tmp_path / "out" / "sources.csv")
    assert [bool(row["class"]) for row in found] == [True, False, False, False, True]
    assert [row["source"] for row in found][:4] == [
        "<b>A</b>",
        "B",
        "J004000.00+100000.0",
        "J004000.00-600000.0",
    ]
    reasons = [row["remark"] for row in found]
    assert reasons[1] == "its position is not known"
    assert "outside of the survey's footprint; nvss, vlass, lotss, racs reach there" in reasons[2]
    assert "outside of the survey: Dec -60.00" in reasons[3]
    assert reasons[3].endswith("; racs reaches there")
    assert "its position is not known" in out
    page = (tmp_path / "out" / "sources.html").read_text()
    assert page.count('src="data:image/png;base64,') == 2
    assert page.count("no image") == 3
    assert "&lt;b&gt;A&lt;/b&gt;" in page
    assert "<b>A</b>" not in page
    assert not re.search(r'(?:src|href)="(?!data:|#|https://www\.legacysurvey\.org/)', page)
    assert str(tmp_path) not in page


def test_one_source_is_told_by_name_with_its_probability(server, places, tmp_path, capsys):
    code, _, _ = run(capsys, server, places[0], "--out", "page.html", "--views", 1, "--prior", "compact=0.5")
    assert code == 0
    page = (tmp_path / "page.html").read_text()
    (name,) = re.findall(r"<title>(.*)</title>", page)
    assert re.search(rf"{re.escape(name)} is \w+ with probability \d\.\d\d\.", page)
    assert "views 1; prior compact=0.5" in page
    code, _, said = run(capsys, server, places[0], "--out", "page.html")
    assert code == 2
    assert "page.html: is there already; choose another name, or give --overwrite" in said
    assert run(capsys, server, places[0], "--out", "page.html", "--overwrite")[0] == 0
    assert run(capsys, server, places[0], "--out", "page.html", "--overwrite", "--views", "auto")[0] == 0
    assert "views auto" in (tmp_path / "page.html").read_text()
    code, _, said = run(capsys, server, places[0], "--views", "many")
    assert code == 2
    assert "views: found 'many'; legal are 1, 2, 4, 8, 16, 24, 48 and auto" in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["3C 31"], 2, "'3C 31' is no position, and no name that holds one; legal are"),
        (["160.80", "+24.59"], 2, "within one pair of quotes"),
        (["10 10", "--survey", "frist"], 2, "unknown survey 'frist'; did you mean first?"),
        (["10 -60"], 1, "error: J004000.00-600000.0: outside of the survey: Dec -60.00"),
        (["10 10"], 1, "error: J004000.00+100000.0: blank: all pixels are equal"),
        (["10 10", "--out", "x.doc"], 2, "the ending is none of .html, .htm, .csv"),
        (["10 10", "--out", "no/x.html"], 2, "there is no folder no; make it first"),
        (["10 10", "--prior", "x"], 2, "CLASS=SHARE is legal"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_legal(server, tmp_path, capsys, arguments, code, words):
    found, _, said = run(capsys, server, *arguments)
    assert found == code
    assert words in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


def test_several_that_all_fail_are_named_with_their_reasons(server, capsys):
    code, _, said = run(capsys, server, *(f"10 -{60 + i}" for i in range(7)))
    assert code == 1
    assert said.startswith("error: none of 7 sources could be classified\n  J004000.00-600000.0: outside")
    assert said.endswith("and 2 more sources\n")


def test_without_a_network_it_says_so_at_once_and_what_is_kept_is_classified(
    server, places, tmp_path, capsys, monkeypatch
):
    assert run(capsys, server, places[0])[0] == 0
    monkeypatch.setenv("RGBENCH_OFFLINE", "1")
    code, out, _ = run(capsys, None, places[0])
    assert code == 0
    assert "FRI" in out
    code, out, said = run(capsys, None, *places)
    assert (code, out) == (1, "")
    assert "NASA SkyView cannot be asked for cutouts: RGBENCH_OFFLINE is set" in said
    assert "rgbench predict FOLDER classifies FITS images that are at hand" in said
    monkeypatch.delenv("RGBENCH_OFFLINE")
    monkeypatch.setattr(cutouts.Pace, "wait", lambda self: pytest.fail("the service was asked"))
    code, _, said = run(capsys, None, *places, "--server", "http://127.0.0.1:1/x")
    assert code == 1
    assert "no connection to 127.0.0.1" in said
    assert said.count("\n") == 1


def test_torch_is_not_loaded_where_there_is_nothing_to_classify(tmp_path):
    code = (
        "import sys\nfrom rgbench.cli.app import main\n"
        "try:\n    main(['classify', '10 10'])\n"
        "except SystemExit as ended:\n    assert ended.code == 1\n"
        "assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "RGBENCH_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_a_survey_whose_service_tells_no_beam_is_flagged_for_it(server, places):
    spec = BuildSpec("nvss", pixel_scale=1.8, server=server.url("hips2fits"), rate=1000)
    table = rgbench.classify_positions(places, spec).table()
    assert all("coarse-beam" in flags and "no-beam" not in flags for flags in table["flags"])


def test_a_source_that_is_named_twice_is_asked_for_once(server, images, places):
    ra, dec = next(iter(images))
    spec = BuildSpec(server=server.url("skyview"), rate=1000)
    table = rgbench.classify_positions([(ra, dec), places[0], f"{ra!r} {dec!r}"], spec).table()
    assert len(set(table["class"].tolist())) == 1
    assert len(server.asked) == 2  # five digits are another place
