"""Commands that are stopped: by which signal, what they say, with which code they end, and what is kept."""

from __future__ import annotations

import csv
import gzip
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from rgbench.cli import stops
from rgbench.cli.app import main
from rgbench.data.own.files import ImageFile, examine
from rgbench.errors import DataError, Stopped, raise_stop
from rgbench.images.fits import read_fits
from rgbench.runs.execute import Bench
from rgbench.runs.listeners import Several, Silence
from rgbench.store.store import Store

CELESTIAL = {
    "CTYPE1": "RA---SIN",
    "CTYPE2": "DEC--SIN",
    "CRVAL1": 150.0,
    "CRVAL2": 20.0,
    "CRPIX1": 80.5,
    "CRPIX2": 80.5,
    "CDELT1": -0.0005,
    "CDELT2": 0.0005,
}
# --- an interrupt is never taken for a bad file ---------------------------------------------------------


@pytest.fixture
def packed(tmp_path) -> Path:
    path = tmp_path / "a.fits.gz"
    with gzip.open(path, "wb") as file:
        fits.PrimaryHDU(np.random.default_rng(1).normal(size=(64, 64))).writeto(file)
    return path


@pytest.mark.parametrize("kind", [KeyboardInterrupt, lambda: Stopped(15)])
def test_an_interrupt_at_any_moment_of_reading_is_raised(packed, monkeypatch, kind):
    """A library that closes what it was stopped in the midst of must not make a bad file of a good one."""
    read, calls, stop_at = gzip._GzipReader.read, 0, 10**9

    def stopped(self, *rest):
        nonlocal calls
        calls += 1
        content = read(self, *rest)
        if calls == stop_at:
            raise kind()
        return content

    monkeypatch.setattr(gzip._GzipReader, "read", stopped)
    assert examine(ImageFile("a", packed))[1] == ""
    total = calls
    assert total > 1
    for stop_at in range(1, total + 1):  # noqa: B007
        calls = 0
        with pytest.raises((KeyboardInterrupt, Stopped)):
            examine(ImageFile("a", packed))


def test_an_error_that_hides_an_interrupt_gives_way_to_it(tmp_path, monkeypatch):
    """Whatever a library raises while it is stopped: the file is not set aside."""
    fits.writeto(tmp_path / "a.fits", np.zeros((4, 4), np.float32))

    def closing(*rest, **more):
        try:
            raise Stopped(signal.SIGTERM)
        finally:
            raise OSError("I/O operation on closed file")

    monkeypatch.setattr(fits, "open", closing)
    with pytest.raises(Stopped):
        read_fits(tmp_path / "a.fits")
    listener = Silence()
    listener.starts = lambda plan: closing()
    told = Several(listener)
    with pytest.raises(Stopped):
        told.starts(None)
    assert told.dropped == []


def test_an_error_by_itself_stays_an_error():
    try:
        try:
            raise ValueError("first")
        except ValueError as first:
            raise DataError("second") from first
    except DataError as error:
        raise_stop(error)


# --- what is said, and the code --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "stopped; conditions that were computed are in the store"),
        (Stopped(signal.SIGINT), 130, "stopped; conditions"),
        (Stopped(signal.SIGTERM), 143, "stopped by SIGTERM; conditions"),
        (Stopped(signal.SIGHUP), 129, "stopped by SIGHUP; conditions"),
    ],
)
def test_a_stop_says_what_is_kept_and_how_to_go_on(monkeypatch, capsys, raised, code, said):
    def stop(*rest):
        raise raised

    monkeypatch.setattr("rgbench.cli.work.diagnostics.stress_runs", stop)
    with pytest.raises(SystemExit) as ended:
        main(["stress", "--store", "my store"])
    assert ended.value.code == code
    told = capsys.readouterr().err
    assert told.startswith(said)
    assert told.endswith("to go on from there: rgbench stress --store 'my store'\n")
    assert "Traceback" not in told


def test_an_error_at_the_end_that_hides_a_stop_is_told_as_the_stop(monkeypatch, capsys):
    def fail(*rest):
        try:
            raise Stopped(signal.SIGTERM)
        finally:
            raise DataError("bad file")

    monkeypatch.setattr("rgbench.cli.work.diagnostics.stress_runs", fail)
    with pytest.raises(SystemExit) as ended:
        main(["stress"])
    assert ended.value.code == 143
    assert "bad file" not in capsys.readouterr().err


@stops.stoppable()
def _hang_up_and_end() -> None:
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)


def test_handlers_are_put_back_and_those_that_ignore_stay():
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(Stopped) as stop:
            _hang_up_and_end()
        assert stop.value.signal == signal.SIGTERM
    finally:
        assert signal.signal(signal.SIGHUP, signal.SIG_DFL) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is before


@stops.stoppable()
def _clear(how) -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except Stopped:
        how()
    for _ in range(500):
        time.sleep(0.01)
    raise AssertionError("the stop was lost")


def _never() -> None:
    """Go on as if nothing had been."""


def _type_error() -> None:
    raise TypeError("expected a message argument") from None


@pytest.mark.parametrize("how", [_never, _type_error])
def test_a_stop_that_is_caught_on_its_way_comes_again(how):
    """C code clears it, or raises its own error in its place, as importing from a module does."""
    with pytest.raises(Stopped) as stop:
        _clear(how)
    assert stop.value.signal == signal.SIGTERM


@stops.stoppable()
def _end_well() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except Stopped:
        sys.exit(0)


def test_a_command_that_ends_well_has_not_been_stopped():
    with pytest.raises(SystemExit) as ended:
        _end_well()
    assert not ended.value.code


class _Deleted:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


@stops.stoppable()
def _delete() -> None:
    made = _Deleted()
    del made
    time.sleep(5)


def test_a_stop_that_falls_into_a_destructor_is_not_lost():
    """Python drops what a destructor raises."""
    with pytest.raises(Stopped) as stop:
        _delete()
    assert stop.value.signal == signal.SIGTERM


_TWICE = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from rgbench.cli import stops
with stops.stoppable():
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.raise_signal(signal.SIGINT)
        print("one stop", flush=True)
        time.sleep(1)
        signal.raise_signal(signal.SIGINT)
        time.sleep(30)
"""


def test_the_second_stop_ends_at_once_and_an_echo_of_the_first_does_not():
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", _TWICE], capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "one stop\n", "")
    assert time.monotonic() - began < 20


def test_what_predict_classified_before_a_stop_is_in_its_table(tmp_path, monkeypatch, capsys):
    """Every file has a row; those that were not reached say so."""
    from rgbench.runs import classify as work

    paths = []
    for name in "abcde":
        paths.append(tmp_path / f"{name}.fits")
        pixels = np.random.default_rng(ord(name)).normal(size=(160, 160)).astype(np.float32)
        pixels[75:85, 75:85] += 100
        fits.writeto(paths[-1], pixels, fits.Header(CELESTIAL))
    see = work.see_image

    def stop_at_d(file, *rest):
        if file.name == "d":
            raise Stopped(signal.SIGTERM)
        return see(file, *rest)

    monkeypatch.setattr(work, "see_image", stop_at_d)
    monkeypatch.setattr(work, "CHUNK", 2)
    out = tmp_path / "p.csv"
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, paths), "--views", "1", "--out", str(out)])
    assert ended.value.code == 143
    assert f"stopped by SIGTERM; {out} has the first 2 of 5 images" in " ".join(
        capsys.readouterr().err.split()
    )
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["source"] for row in rows] == list("abcde")
    assert [row["class"] != "" for row in rows] == [True, True, False, False, False]
    assert {row["remark"] for row in rows[2:]} == {"not looked at: the work was stopped before"}
    assert list(tmp_path.glob(".*")) == []


def test_a_stopped_run_is_not_a_failed_one(tmp_path, monkeypatch, toy_study):
    """Even where an error took the place of the stop."""
    from rgbench.runs import execute as work
    from rgbench.spec import resolve

    (spec,) = resolve(toy_study(tmp_path, (4, 4), (16, 16), 1), "c")

    def hide(*rest):
        try:
            raise Stopped(signal.SIGTERM)
        finally:
            raise DataError("bad file")

    monkeypatch.setattr(work, "_compute", hide)
    store = Store(tmp_path / "store")
    with pytest.raises(Stopped):
        work.execute(spec, Bench(None, store))
    assert store.record(spec.run_id).status == "running"
