"""Cutouts by position, from a local server that answers as hips2fits and SkyView do; no network."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from rgbench.cli.app import main
from rgbench.data.own.folder import load_folder
from rgbench.data.own.sources import read_sources
from rgbench.data.public.patience import retry_after
from rgbench.data.surveys import cutouts
from rgbench.data.surveys.asking import Pace, fetch_url
from rgbench.data.surveys.cutouts import build_cutouts, file_name
from rgbench.data.surveys.surveys import (
    SERVICES,
    SURVEYS,
    BuildSpec,
    FetchError,
    Field,
    find_survey,
    first_line,
    parse_size,
    request_url,
)
from rgbench.errors import DataError, SpecError
from rgbench.escapes import from_csv
from rgbench.images.fits import read_fits

N = 8


def neighbour(name: str):
    """Import a module of this folder, which is no package."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CutoutServer = neighbour("cutout_server").CutoutServer


@pytest.fixture(scope="module")
def images() -> dict[tuple[float, float], bytes]:
    mirror = os.environ.get("RGBENCH_MIRROR")
    if not mirror:
        pytest.skip("RGBENCH_MIRROR is not set: no FITS images to serve")
    paths = sorted((Path(mirror) / "MiraBest_FITS").glob("*.fits.gz"))[::20][:N]
    assert len(paths) == N
    return {read_fits(path).centre: gzip.decompress(path.read_bytes()) for path in paths}


@pytest.fixture
def server(images):
    with CutoutServer(images) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def sources(images):
    """Names, RA and Dec of the images that are served."""
    return [f"S{i}" for i in range(N)], [ra for ra, _ in images], [dec for _, dec in images]


def quick(server, survey="first", **options) -> BuildSpec:
    """A spec that asks the local server, and does not wait long."""
    service = "hips2fits" if options.get("hips") else find_survey(survey).service
    options = {"rate": 1000.0, "backoff": 0.01, "timeout": 5.0, "pixel_scale": 1.8} | options
    return BuildSpec(survey, server=server.url(service), **options)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def reasons(result) -> dict[str, str]:
    return {failure.name: failure.reason for failure in result.failed}


@pytest.mark.parametrize("survey", ["first", "nvss", "racs", "lotss"])
def test_pixels_come_as_they_are_served(server, sources, images, tmp_path, survey) -> None:
    names, ra, dec = sources
    inside = [i for i in range(N) if find_survey(survey).covers(dec[i])]
    assert inside
    result = build_cutouts(names, ra, dec, tmp_path, quick(server, survey))
    assert result.done == tuple(names[i] for i in inside)
    assert result.fetched == len(inside) == len(server.asked)
    for i in inside:
        image = read_fits(tmp_path / f"S{i}.fits")
        with fits.open(io.BytesIO(list(images.values())[i])) as served:
            np.testing.assert_array_equal(image.pixels, served[0].data)
        assert image.centre == pytest.approx((ra[i], dec[i]), abs=1e-9)
        assert image.header["RGSURVEY"] == survey
        # No image that is served tells its beam.
        assert image.beam == pytest.approx((find_survey(survey).beam, find_survey(survey).beam, 0.0))
        assert image.header["RGIDENT"] == find_survey(survey).survey_id
        assert (image.header["RGRA"], image.header["RGDEC"]) == pytest.approx((ra[i], dec[i]))
        assert "Fetched by rgbench from http://127.0.0.1" in str(image.header["HISTORY"]).replace("\n", "")
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"S{i}.fits" for i in inside), "manifest.csv", "failures.csv"
    }  # fmt: skip


def test_what_is_asked_of_each_service(server, sources, tmp_path) -> None:
    names, ra, dec = sources
    build_cutouts(names[:1], ra[:1], dec[:1], tmp_path / "a", quick(server))
    build_cutouts(names[:1], ra[:1], dec[:1], tmp_path / "b", quick(server, hips="CDS/P/FIRST"))
    skyview, hips = server.queries
    assert skyview["Survey"] == "VLA FIRST (1.4 GHz)"
    assert (skyview["Pixels"], float(skyview["Size"]), skyview["Return"]) == ("300", 0.15, "FITS")
    assert [float(x) for x in skyview["Position"].split(",")] == pytest.approx([ra[0], dec[0]], abs=1e-7)
    assert hips["hips"] == "CDS/P/FIRST"
    assert "BMAJ" not in read_fits(tmp_path / "b" / "S0.fits").header  # of another HiPS it is not known
    assert (hips["width"], hips["height"], float(hips["fov"]), hips["format"]) == ("300", "300", 0.15, "fits")


def test_parameters_are_those_of_astroquery_for_hips2fits() -> None:
    module = pytest.importorskip("astroquery.hips2fits", reason="astroquery is not installed")
    pytest.importorskip("matplotlib", reason="astroquery's hips2fits needs matplotlib")
    from astropy.coordinates import Angle, Latitude, Longitude

    theirs = module.hips2fitsClass().query(
        "CDS/P/NVSS", 60, 60, "TAN", Longitude("187.5d"), Latitude("-1.5d"), Angle("0.25d"),
        get_query_payload=True,
    )  # fmt: skip
    ours = SERVICES["hips2fits"].parameters("CDS/P/NVSS", Field(187.5, -1.5, 60, 15.0))
    for key, value in ours.items():
        expected = theirs[key]
        assert (float(value) if isinstance(expected, int | float) else value) == expected
    assert set(theirs) - set(ours) == {"min_cut", "max_cut", "cmap", "stretch"}  # of JPEG and PNG only
    assert SERVICES["hips2fits"].url in module.hips2fitsClass.server


def test_parameters_are_those_of_astroquery_for_skyview(monkeypatch) -> None:
    module = pytest.importorskip("astroquery.skyview", reason="astroquery is not installed")
    from astropy import units
    from astropy.coordinates import SkyCoord

    page = Path(module.__file__).parent / "tests" / "data" / "query_page.html"
    if not page.exists():
        pytest.skip("astroquery was installed without the page of its tests")

    class Answer:
        content = page.read_bytes()

        def raise_for_status(self) -> None:
            pass

    query = module.SkyViewClass()
    monkeypatch.setattr(query, "_request", lambda *args, **kwargs: Answer())
    names = [name for values in query.survey_dict.values() for name in values]
    assert [s.survey_id for s in SURVEYS if s.service == "skyview" and s.survey_id not in names] == []
    theirs = query.get_image_list(
        SkyCoord("187.5d -1.5d"), "VLA FIRST (1.4 GHz)", projection="Tan", coordinates="J2000", pixels="300",
        radius=0.075 * units.deg, get_query_payload=True,
    )  # fmt: skip
    theirs = {key.lower(): value for key, value in theirs.items()}
    ours = SERVICES["skyview"].parameters("VLA FIRST (1.4 GHz)", Field(187.5, -1.5, 300, 1.8))
    for key in ("survey", "projection", "coordinates", "pixels"):
        assert {k.lower(): v for k, v in ours.items()}[key] == theirs[key]
    assert float(ours["Size"]) == float(theirs["size"])
    position = [float(word) for word in theirs["position"].split()]
    assert [float(word) for word in ours["Position"].split(",")] == pytest.approx(position, abs=1e-5)
    url, _ = query._generate_payload()
    assert SERVICES["skyview"].url == url


@pytest.mark.parametrize(
    ("plan", "requests"),
    [(["slow"], 1), (["500"], 2), (["429:0"], 2), (["html", "500"], 3), (["truncated"], 2), (["broken off"], 2),
     (["empty"], 2), (["500", "500", "500"], 4)],
)  # fmt: skip
def test_passing_trouble_is_waited_out(server, sources, tmp_path, plan, requests) -> None:
    server.plan[3] = list(plan)
    names, ra, dec = sources
    result = build_cutouts(names, ra, dec, tmp_path, quick(server))
    assert result.done == tuple(names)
    assert server.asked.count(3) == requests
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("what", "words", "requests"),
    [
        ("html", "the service answered with 'SkyView Error', not with a FITS image", 3),
        ("500", "HTTP 500 Internal Server Error: 'SkyView Error'", 3),
        ("429:0", "HTTP 429 Too Many Requests: 'slow down'", 3),
        ("429:99999", "the service asks to wait 99999 s", 1),
        ("json", "HTTP 400 Bad Request: 'Bad request: no such HiPS'", 1),
        ("blank", "blank: all pixels are equal; outside of the survey's footprint", 1),
        ("truncated", "cannot be read as FITS: the file ends after", 3),
        ("broken off", "the answer broke off after 188640 of 377280 bytes", 3),
        ("empty", "the service answered with nothing", 3),
        ("other", "arcsec off the position", 3),
    ],
)
def test_a_failure_says_why(server, sources, tmp_path, what, words, requests) -> None:
    server.plan[2] = [what] * 9
    names, ra, dec = sources
    result = build_cutouts(names, ra, dec, tmp_path, quick(server, attempts=3))
    assert list(reasons(result)) == ["S2"]
    assert words in reasons(result)["S2"]
    assert server.asked.count(2) == requests == result.failed[0].attempts
    assert not (tmp_path / "S2.fits").exists()
    assert not list(tmp_path.glob("*.part"))
    (row,) = table(tmp_path / "failures.csv")
    assert (row["name"], float(row["ra"]), float(row["dec"])) == ("S2", ra[2], dec[2])
    assert (row["reason"], int(row["attempts"])) == (result.failed[0].reason, requests)
    assert abs(datetime.fromisoformat(row["when"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_footprint_miss_of_hips2fits_is_blank(server, tmp_path) -> None:
    result = build_cutouts(["A"], [0.0], [0.0], tmp_path, quick(server, "nvss"))
    assert reasons(result)["A"].startswith("blank: all pixels are NaN")
    assert server.asked == [-1]


def test_what_cannot_be_had_is_not_asked_for(server, sources, tmp_path) -> None:
    names, ra, dec = ["south", "nowhere", "wrong"], [10.0, np.nan, 3.0], [-60.0, 5.0, 100.0]
    result = build_cutouts(names, ra, dec, tmp_path, quick(server))
    found = reasons(result)
    assert "outside of the survey: Dec -60.00; first is 10,575 square degrees" in found["south"]
    assert found["nowhere"] == "its position is not known"
    assert "100 is no declination" in found["wrong"]
    assert server.asked == []


def test_an_answer_that_takes_too_long_is_given_up(server, sources, tmp_path) -> None:
    server.plan[0] = ["late"]
    names, ra, dec = sources
    result = build_cutouts(names[:1], ra[:1], dec[:1], tmp_path, quick(server, attempts=1, timeout=0.3))
    assert reasons(result) == {"S0": "no whole answer within 0.3 s"}


def test_an_answer_that_drips_is_given_up(server, sources, tmp_path) -> None:
    server.plan[0] = ["drip"]
    names, ra, dec = sources
    start = time.monotonic()
    result = build_cutouts(names[:1], ra[:1], dec[:1], tmp_path, quick(server, attempts=1, timeout=0.3))
    assert reasons(result) == {"S0": "no whole answer within 0.3 s"}
    assert time.monotonic() - start < 1.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 360.0}, "is 300x300 pixels, expected 200x200"),
        ({"size": 600.0, "pixel_scale": 2.0}, "has pixels of 1.8 arcsec, expected 2"),
    ],
)
def test_an_image_that_was_not_asked_for_is_refused(server, sources, tmp_path, options, words) -> None:
    names, ra, dec = sources
    result = build_cutouts(names, ra, dec, tmp_path, quick(server, attempts=1, **options))
    assert result.done == ()
    assert all(words in reason for reason in reasons(result).values())


def test_a_server_that_is_not_there_is_named_and_left_in_peace(tmp_path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as gone:
        port = gone.server_address[1]
    spec = BuildSpec(server=f"http://127.0.0.1:{port}/", rate=1000, attempts=1)
    n = 60
    with pytest.raises(DataError, match=r"NASA SkyView failed for \d+ sources in a row.*refused"):
        build_cutouts([f"S{i}" for i in range(n)], np.arange(n), np.full(n, 30.0), tmp_path, spec)
    assert cutouts.GIVE_UP <= len(table(tmp_path / "failures.csv")) < n


def test_no_more_requests_at_once_than_workers(server, sources, tmp_path) -> None:
    server.always = "slow"
    names, ra, dec = sources
    build_cutouts(names, ra, dec, tmp_path / "1", quick(server, workers=1))
    assert server.most == 1
    build_cutouts(names, ra, dec, tmp_path / "4", quick(server, workers=4))
    assert 2 <= server.most <= 4


class Clock:
    """Time that passes when someone sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_rate_is_kept_and_not_made_up_for_later() -> None:
    clock = Clock()
    pace = Pace(2.0, clock=lambda: clock.now, sleep=clock.sleep)
    for _ in range(5):
        pace.wait()
        clock.turns.append(clock.now)
    assert clock.turns == [0.0, 0.5, 1.0, 1.5, 2.0]
    clock.now = 100.0
    pace.wait()
    pace.wait()
    assert clock.now == 100.5


def test_all_wait_when_the_service_asks_to() -> None:
    clock = Clock()
    pace = Pace(2.0, clock=lambda: clock.now, sleep=clock.sleep)
    pace.wait()
    pace.hold(30.0)
    pace.wait()
    assert clock.now == 30.0
    pace.wait()
    assert clock.now == 30.5


def test_who_waits_already_waits_longer_when_the_service_asks_to() -> None:
    clock = Clock()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now == 1.0:
            pace.hold(10.0)

    pace = Pace(1.0, clock=lambda: clock.now, sleep=sleep)
    pace.wait()
    pace.wait()
    assert clock.now == 11.0


def test_a_run_keeps_the_rate(server, sources, tmp_path) -> None:
    names, ra, dec = sources
    start = time.monotonic()
    build_cutouts(names, ra, dec, tmp_path, quick(server, rate=20.0, workers=8))
    assert time.monotonic() - start >= (N - 1) / 20


def test_waiting_times_double_and_heed_the_service(images, tmp_path, monkeypatch) -> None:
    slept, held = [], []
    monkeypatch.setattr(Pace, "sleep", lambda self, seconds: slept.append(seconds) if seconds > 0.1 else None)
    monkeypatch.setattr(Pace, "hold", lambda self, seconds: held.append(seconds))
    answers = iter([*(FetchError("no", again=True),) * 3, FetchError("wait", again=True, after=7.0)])

    def fetch(url: str, timeout: float) -> bytes:
        try:
            raise next(answers)
        except StopIteration:
            return next(iter(images.values()))

    (ra, dec) = next(iter(images))
    spec = BuildSpec(rate=1000, attempts=5, backoff=1.0)
    result = build_cutouts(["A"], [ra], [dec], tmp_path, spec, fetch=fetch)
    assert (result.done, slept, held) == (("A",), [1.0, 2.0, 4.0], [7.0])


def test_a_second_run_asks_for_nothing(server, sources, tmp_path) -> None:
    names, ra, dec = sources
    first = build_cutouts(names, ra, dec, tmp_path, quick(server))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.fits")}
    second = build_cutouts(names, ra, dec, tmp_path, quick(server))
    assert (first.fetched, second.fetched, len(server.asked)) == (N, 0, N)
    assert second.done == first.done
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.fits")} == before
    build_cutouts(names, ra, dec, tmp_path, quick(server, overwrite=True))
    assert len(server.asked) == 2 * N


def test_a_failure_is_tried_anew_and_its_table_cleared(server, sources, tmp_path) -> None:
    server.plan[5] = ["500"]
    names, ra, dec = sources
    result = build_cutouts(names, ra, dec, tmp_path, quick(server, attempts=1))
    assert list(reasons(result)) == ["S5"]
    result = build_cutouts(names, ra, dec, tmp_path, quick(server, attempts=1))
    assert (result.fetched, result.failed, table(tmp_path / "failures.csv")) == (1, (), [])
    assert [row["name"] for row in table(tmp_path / "manifest.csv")] == names


def test_a_broken_file_is_fetched_anew(server, sources, tmp_path) -> None:
    names, ra, dec = sources
    build_cutouts(names, ra, dec, tmp_path, quick(server))
    whole = (tmp_path / "S4.fits").read_bytes()
    (tmp_path / "S4.fits").write_bytes(whole[:100_000])
    assert build_cutouts(names, ra, dec, tmp_path, quick(server)).fetched == 1
    assert len((tmp_path / "S4.fits").read_bytes()) == len(whole)


def test_files_of_another_request_are_left_alone(server, sources, tmp_path) -> None:
    names, ra, dec = sources
    build_cutouts(names, ra, dec, tmp_path, quick(server))
    fits.writeto(tmp_path / "S1.fits", np.eye(3), overwrite=True)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.fits")}
    result = build_cutouts(names, ra, dec, tmp_path, quick(server, hips="CDS/P/FIRST"))
    assert "it was not fetched by this program" in reasons(result)["S1"]
    assert "its RGSERVIC is 'skyview'" in reasons(result)["S2"]
    assert {path: path.read_bytes() for path in tmp_path.glob("*.fits")} == before
    moved = build_cutouts(names, ra, [dec[0] + 0.1, *dec[1:]], tmp_path, quick(server))
    assert "its RGDEC is" in reasons(moved)["S0"]


def test_tables_of_others_are_left_alone(server, sources, tmp_path) -> None:
    names, ra, dec = sources
    build_cutouts(names, ra, dec, tmp_path, quick(server))
    with pytest.raises(DataError, match=r"holds 1 sources that are not in the catalogue, the first 'S0'"):
        build_cutouts(names[1:], ra[1:], dec[1:], tmp_path, quick(server))
    (tmp_path / "manifest.csv").write_text("Name,Type-MAN\nA,1\n")
    with pytest.raises(DataError, match="was not written by this program"):
        build_cutouts(names, ra, dec, tmp_path, quick(server))
    assert (tmp_path / "manifest.csv").read_text() == "Name,Type-MAN\nA,1\n"


@pytest.fixture
def ctrl_c():
    """Have SIGINT raise KeyboardInterrupt: a shell that starts tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_what_is_there_and_a_second_run_goes_on(server, sources, tmp_path) -> None:
    server.always = "slow"
    names, ra, dec = sources

    def progress(done: int, failed: int, total: int) -> None:
        if done == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build_cutouts(names, ra, dec, tmp_path, quick(server, workers=2), progress=progress)
    kept = sorted(path.stem for path in tmp_path.glob("*.fits"))
    assert 3 <= len(kept) <= 5 < N
    assert len(server.asked) == len(kept)
    assert sorted(row["name"] for row in table(tmp_path / "manifest.csv")) == kept
    assert threading.active_count() < 10
    result = build_cutouts(names, ra, dec, tmp_path, quick(server))
    assert (result.done, len(server.asked)) == (tuple(names), N)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_does_not_wait_for_a_service_that_asks_to_wait(server, sources, tmp_path) -> None:
    server.always = "429:300"
    names, ra, dec = sources
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        build_cutouts(names, ra, dec, tmp_path, quick(server))
    assert time.monotonic() - start < 3
    assert table(tmp_path / "manifest.csv") == table(tmp_path / "failures.csv") == []


def test_a_killed_run_leaves_no_half_file(server, sources, tmp_path) -> None:
    server.always = "slow"
    names, ra, dec = sources
    code = (
        "import json, sys\n"
        "from rgbench.data.surveys.cutouts import *\n"
        "from rgbench.data.surveys.surveys import BuildSpec\n"
        "names, ra, dec, out, url = json.loads(sys.argv[1])\n"
        "build_cutouts(names, ra, dec, out, BuildSpec(server=url, rate=1000, workers=2))"
    )
    arguments = json.dumps([names, ra, dec, str(tmp_path), server.url("skyview")])
    with subprocess.Popen([sys.executable, "-c", code, arguments]) as process:
        limit = time.monotonic() + 10
        while len(list(tmp_path.glob("*.fits"))) < 3 and time.monotonic() < limit:
            time.sleep(0.002)
        process.kill()
    kept = list(tmp_path.glob("*.fits"))
    assert 3 <= len(kept) < N
    assert all(read_fits(path).pixels.shape == (300, 300) for path in kept)
    server.always, before = "", len(server.asked)
    result = build_cutouts(names, ra, dec, tmp_path, quick(server))
    assert (result.done, result.fetched) == (tuple(names), N - len(kept))
    assert len(server.asked) == before + N - len(kept)
    assert not list(tmp_path.glob("*.part"))


def test_a_full_disk_stops_the_run(server, sources, tmp_path, monkeypatch) -> None:
    def full(*_args) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cutouts, "_sign", full)
    names, ra, dec = sources
    with pytest.raises(DataError, match=r"S\d\.fits\.part: cannot be written: .*No space left"):
        build_cutouts(names, ra, dec, tmp_path, quick(server))
    assert not list(tmp_path.glob("*.fits*"))


HOSTILE = ["../../evil", "/etc/passwd", "..", "a/../../b", "C:\\x\\y", "NUL", ".hidden", "-rf", "3C 31", "β Cas",
           "x\x00y", 'q"u,o\'te', "line\nbreak"]  # fmt: skip


def test_hostile_names_stay_in_the_folder(server, sources, tmp_path) -> None:
    _, ra, dec = sources
    out = tmp_path / "in" / "out"
    names = [name for name in HOSTILE if name != ".."][:N]
    result = build_cutouts(names, ra, dec, out, quick(server))
    assert result.done == tuple(names)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != out] == []
    assert [from_csv(row["name"]) for row in table(out / "manifest.csv")] == names
    assert build_cutouts(names, ra, dec, out, quick(server)).fetched == 0
    assert all((out / row["path"]).is_file() for row in table(out / "manifest.csv"))
    with pytest.raises(DataError, match=r"source '\.\.': no file can be named so"):
        build_cutouts([".."], ra[:1], dec[:1], out, quick(server))


@given(st.text(max_size=150))
def test_a_file_name_is_one_plain_name(name: str) -> None:
    try:
        file = file_name(name)
    except DataError:
        return
    assert Path(file).name == file
    assert file.isascii()
    assert file[0] not in ".-"
    assert set(file).isdisjoint('/\\:*?"<>| \n\0')
    assert file_name(file.removesuffix(".fits")) in (file, f"_{file}")


def test_two_sources_of_one_file_are_refused(server, tmp_path) -> None:
    for names in (["3C 31", "3C_31"], ["a", "A"], ["a", "a"]):
        with pytest.raises(DataError, match=f"sources '{names[0]}' and '{names[1]}' would both be"):
            build_cutouts(names, [1.0, 2.0], [3.0, 4.0], tmp_path / "x", quick(server))
    assert not (tmp_path / "x").exists()
    with pytest.raises(DataError, match="dec has 1 values, expected 2"):
        build_cutouts(["a", "b"], [1.0, 2.0], [3.0], tmp_path, quick(server))


def test_the_loader_reads_what_was_built(server, sources, tmp_path) -> None:
    server.plan[1] = ["blank"]
    names, ra, dec = sources
    labels = ["FRI", "FRII", "Bent", "Compact"] * 2
    build_cutouts(names, ra, dec, tmp_path, quick(server), labels=labels)
    listed = read_sources(tmp_path / "manifest.csv")
    assert listed.label.tolist() == [label for i, label in enumerate(labels) if i != 1]
    data = load_folder(tmp_path, tmp_path / "manifest.csv")
    kept = [i for i in range(N) if i != 1]
    assert data.catalogue.source_id.tolist() == [names[i] for i in kept]
    assert [data.classes[label] for label in data.catalogue.label] == [labels[i] for i in kept]
    np.testing.assert_array_equal(data.catalogue.ra, [ra[i] for i in kept])
    assert data.card.pixel_scale == pytest.approx(1.8)
    assert (data.images.shape, data.set_aside) == ((N - 1, 300, 300), ())
    unlabelled = build_cutouts(names, ra, dec, tmp_path / "b", quick(server))
    assert list(table(unlabelled.manifest)[0]) == ["name", "path", "ra", "dec"]


@given(st.floats(1e-3, 1e5), st.sampled_from([("arcsec", 1), ("arcmin", 60), ("deg", 3600)]))
def test_sizes_are_read_back(value: float, unit: tuple[str, int]) -> None:
    assert parse_size(f"{value!r}{unit[0]}") == pytest.approx(value * unit[1])
    assert parse_size(f" {value!r} {unit[0]} ") == pytest.approx(value * unit[1])


@pytest.mark.parametrize(
    "text", ["", "9", "arcmin", "-9arcmin", "0deg", "9 parsec", "nanarcsec", "1e999deg", "9'9"]
)
def test_what_is_no_size_is_refused(text) -> None:
    with pytest.raises(SpecError, match="9arcmin, 540arcsec, 0.15deg"):
        parse_size(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"survey": "frist"}, "unknown survey 'frist'; did you mean first"),
        ({"survey": "nvss", "size": 10.0}, "1 pixels of 15 arcsec"),
        ({"size": float("nan")}, "size: found nan"),
        ({"size": 1e9}, "legal are 2 to 4096"),
        ({"pixel_scale": 0.0}, "pixel_scale: found 0.0"),
        ({"workers": 0}, "workers: found 0; legal are 1 to 16"),
        ({"rate": 0.0}, "rate: found 0.0"),
        ({"attempts": 21}, "attempts: found 21; legal are 1 to 20"),
        ({"server": "file:///etc"}, "it must begin with http"),
        ({"hips": "no id"}, "'no id' is no id of a HiPS"),
    ],
)
def test_a_wrong_spec_names_the_key(options, words) -> None:
    with pytest.raises(SpecError, match=words):
        BuildSpec(**options)


def test_surveys_are_complete_and_say_what_is_not_verified() -> None:
    assert [survey.name for survey in SURVEYS] == ["first", "nvss", "vlass", "lotss", "racs"]
    for survey in SURVEYS:
        assert all((survey.title, survey.coverage, survey.licence, survey.citation, survey.survey_id))
        assert survey.service in SERVICES
        assert survey.verified or survey.note
        assert survey.beam / survey.pixel_scale >= 2.5  # the beam is sampled
        assert survey.name == find_survey(survey.name.upper()).name
    assert not find_survey("first").with_hips("https://a.b/hips").verified


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for text, expected in (
        ("5", 5.0), (format_datetime(now + timedelta(seconds=90), usegmt=True), 90.0), ("", None), ("soon", None),
        (format_datetime(now - timedelta(seconds=90), usegmt=True), 0.0), ("-5", None),
    ):  # fmt: skip
        headers = Message()
        headers["Retry-After"] = text
        assert retry_after(headers, now) == expected


@given(st.binary(max_size=300))
def test_the_first_line_is_always_one_printable_line(content: bytes) -> None:
    line = first_line(content)
    assert line.isprintable()
    assert len(line) <= 200


def test_first_line_skips_what_nobody_reads() -> None:
    page = b"<!DOCTYPE html><html><!-- x -->\n<script>var a = 1</script>\n<body>\n <p>No survey </p>more"
    assert first_line(page) == "No survey"
    assert first_line(b"\n\n  ERROR: bad position\nmore") == "ERROR: bad position"
    assert first_line(b'{"title": 3}') == "3"
    assert first_line(b"[1, 2]") == "[1, 2]"


def test_only_http_is_asked() -> None:
    with pytest.raises(FetchError):
        fetch_url("http://127.0.0.1:1/", 1.0)
    assert request_url(find_survey("first"), Field(1, 2, 3, 4), "http://x/y").startswith(
        "http://x/y?Survey=VLA+"
    )


def test_the_command_builds_goes_on_and_loads(server, sources, tmp_path, capsys, monkeypatch) -> None:
    """``rgbench data build`` from a table to a data set; the second call asks for nothing."""
    names, ra, dec = sources
    rows = [
        ("name", "RA_J2000", "Dec", "morph"),
        *zip(names, ra, dec, ["FRI", "bent"] * (N // 2), strict=True),
    ]
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    monkeypatch.chdir(tmp_path)
    arguments = [
        "data",
        "build",
        "mine.csv",
        "out",
        "--survey",
        "first",
        "--size",
        "9arcmin",
        "--rate",
        "1000",
    ]
    arguments += ["--server", server.url("skyview"), "--column", "ra=RA_J2000", "--column", "label=morph"]
    for asked in (N, N):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        assert len(server.asked) == asked
    text = " ".join(capsys.readouterr().out.split())
    assert f"{N} cutouts in out, {N} of them fetched now; 0 failed" in text
    assert f"{N} cutouts in out, 0 of them fetched now; 0 failed" in text
    assert "Becker, White & Helfand 1995" in text
    data = load_folder(tmp_path / "out", tmp_path / "out" / "manifest.csv")
    assert data.images.shape == (N, 300, 300)
    assert [data.classes[label] for label in data.catalogue.label] == ["FRI", "Bent"] * (N // 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--survey", "frist"], "unknown survey 'frist'; did you mean first"),
        (["--size", "nine"], "'nine' is no angle"),
        (["--workers", "99"], "workers: found 99; legal are 1 to 16"),
    ],
)
def test_the_command_explains_mistakes(arguments, message, tmp_path, capsys) -> None:
    (tmp_path / "mine.csv").write_text("name,ra,dec\na,10,10\n")
    with pytest.raises(SystemExit) as ended:
        main(["data", "build", str(tmp_path / "mine.csv"), str(tmp_path / "out"), *arguments])
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
