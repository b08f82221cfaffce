"""Fetching from a real HTTP server that breaks off, lies, changes its mind, or is not there."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.data.public import fetch
from rgbench.data.public.fetch import (
    PublicFile,
    cache_folder,
    check_recorded,
    locate,
    sha256_of,
    where,
)
from rgbench.data.public.patience import RetryPolicy
from rgbench.errors import ChecksumError, DataError

CONTENT = np.random.default_rng(0).bytes(300_000)
HASTY = RetryPolicy(attempts=6, first_wait=0.0, longest_wait=0.0, timeout=2.0)


@dataclass
class Behaviour:
    """What the server does; `breaks` are the bytes sent before it hangs up, request by request."""

    content: bytes = CONTENT
    breaks: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    heeds_if_range: bool = True
    etag: str | None = '"one"'
    modified: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    false_start: int = 0
    most: int = 1 << 40
    length: str | None = ""
    chunked: bool = False
    delay: float = 0.0
    stalls: list[float] = field(default_factory=list)
    drips: bool = False
    reset: bool = False
    asked: list[str] = field(default_factory=list)
    if_range: list[str | None] = field(default_factory=list)
    on_request: Callable[[Behaviour], None] = lambda do: None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        do: Behaviour = self.server.behaviour
        do.asked.append(self.headers.get("Range", ""))
        do.if_range.append(self.headers.get("If-Range"))
        do.on_request(do)
        time.sleep(do.delay)
        status = do.statuses.pop(0) if do.statuses else 200
        if status != 200:
            self.answer(status, b"no", do.headers)
            return
        start = self.start(do)
        if start >= len(do.content):
            self.answer(416, b"", {})
            return
        headers = dict(do.headers)
        headers |= {"ETag": do.etag} if do.etag else {}
        headers |= {"Last-Modified": do.modified} if do.modified else {}
        end = min(len(do.content), start + do.most) if start else len(do.content)
        if start:
            headers["Content-Range"] = f"bytes {start + do.false_start}-{end - 1}/{len(do.content)}"
        self.answer(206 if start else 200, do.content[start:end], headers)

    def start(self, do: Behaviour) -> int:
        asked, version = self.headers.get("Range"), self.headers.get("If-Range")
        # A weak ETag never matches in an If-Range (RFC 9110, section 13.1.5).
        same = version is None or not do.heeds_if_range or version in (do.etag, do.modified)
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked and do.ranges and same else 0

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        do: Behaviour = self.server.behaviour
        self.send_response(status)
        if do.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif do.length is not None:
            self.send_header("Content-Length", do.length or str(len(body)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Connection", "close")
        self.end_headers()
        broken = do.breaks and status in (200, 206)
        sent = body[: do.breaks.pop(0)] if broken else body
        with suppress(ConnectionError):  # the client may have left
            for _ in range(60 if do.drips else 0):
                self.wfile.write(b"x")
                time.sleep(0.05)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(sent), sent) if do.chunked and sent else sent)
            time.sleep(do.stalls.pop(0) if do.stalls else 0.0)
            self.wfile.write(b"0\r\n\r\n" if do.chunked and not broken else b"")
        if broken and do.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@contextmanager
def served(behaviour: Behaviour) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.behaviour = behaviour
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/data.bin"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("RGBENCH_MIRROR", "RGBENCH_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("RGBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def public(url: str, content: bytes = CONTENT) -> PublicFile:
    return PublicFile("data.bin", "folder/data.bin", url, hashlib.sha256(content).hexdigest())


def left(folder: Path) -> list[str]:
    """Name what is in the cache, but for the lock files, which are empty and stay."""
    locks = [path for path in folder.iterdir() if path.suffix == ".lock"]
    assert all(path.stat().st_size == 0 for path in locks)
    return sorted(path.name for path in folder.iterdir() if path not in locks)


def fetched(behaviour: Behaviour, cache, retry: RetryPolicy = HASTY) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    with served(behaviour) as url:
        path = locate(public(url), progress=lambda done, total: told.append((done, total)), retry=retry)
    assert path == cache / "data.bin"
    assert path.read_bytes() == CONTENT
    assert left(cache) == ["data.bin"], "no part or version is left"
    return told


def failing(
    behaviour: Behaviour, match: str, retry: RetryPolicy = HASTY, error: type[DataError] = DataError
) -> None:
    with served(behaviour) as url, pytest.raises(error, match=match):
        locate(public(url), retry=retry)


def test_a_file_is_fetched_once_and_the_progress_is_told(cache):
    behaviour = Behaviour()
    told = fetched(behaviour, cache)
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert locate(public("http://127.0.0.1:1/gone")) == cache / "data.bin", "from the cache: nothing is asked"
    assert len(behaviour.asked) == 1


def test_a_broken_download_goes_on_where_it_was(cache):
    behaviour = Behaviour(breaks=[100_000, 50_000])
    fetched(behaviour, cache)
    assert behaviour.asked == ["", "bytes=100000-", "bytes=150000-"]


def test_a_connection_that_is_reset_is_taken_up_again(cache):
    behaviour = Behaviour(breaks=[100_000, 100_000], reset=True)
    fetched(behaviour, cache)
    assert len(behaviour.asked) == 3


@settings(max_examples=25, deadline=None)
@given(
    breaks=st.lists(st.integers(0, len(CONTENT)), max_size=5),
    ranges=st.booleans(),
    etag=st.sampled_from([None, '"a"', 'W/"weak"']),
)
def test_whatever_the_breaks_the_bytes_are_the_same(tmp_path_factory, breaks, ranges, etag):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RGBENCH_MIRROR", raising=False)
        patch.setenv("no_proxy", "*")
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("RGBENCH_CACHE", str(folder))
        fetched(Behaviour(breaks=breaks, ranges=ranges, etag=etag), folder)


@settings(max_examples=25, deadline=None)
@given(
    breaks=st.lists(st.integers(0, len(CONTENT) - 1), min_size=1, max_size=5),
    etags=st.sampled_from([(None, None), ('"a"', '"b"'), ('W/"a"', 'W/"b"'), ('"a"', None)]),
    most=st.integers(100_000, 400_000),
    heeds=st.booleans(),
)
def test_whatever_the_breaks_a_file_that_changes_is_never_glued(tmp_path_factory, breaks, etags, most, heeds):
    def change(do: Behaviour) -> None:
        if len(do.asked) == 2:
            do.content, do.etag = CONTENT, etags[1]

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RGBENCH_MIRROR", raising=False)
        patch.setenv("no_proxy", "*")
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("RGBENCH_CACHE", str(folder))
        behaviour = Behaviour(
            content=bytes(len(CONTENT)),
            breaks=breaks,
            etag=etags[0],
            most=most,
            heeds_if_range=heeds,
            on_request=change,
        )
        fetched(behaviour, folder, replace(HASTY, attempts=20))


def test_the_next_call_goes_on_where_the_last_one_gave_up(cache):
    behaviour = Behaviour(breaks=[10_000] * 3)
    failing(behaviour, "broke after 20000 of 300000 bytes", replace(HASTY, attempts=2))
    assert (cache / "data.bin.part").stat().st_size == 20_000
    assert not (cache / "data.bin").exists()
    again = Behaviour()
    fetched(again, cache)
    assert again.asked == ["bytes=20000-"]


def test_a_file_that_changed_in_between_is_not_glued_together(cache):
    def change(do: Behaviour) -> None:
        if len(do.asked) == 2:
            do.content, do.etag = CONTENT, '"two"'

    behaviour = Behaviour(content=bytes(300_000), breaks=[100_000], on_request=change)
    fetched(behaviour, cache)
    assert len(behaviour.asked) == 2, "If-Range: the server sends the new one whole"


def test_a_changed_file_of_a_server_without_versions_is_fetched_anew(cache):
    def change(do: Behaviour) -> None:
        if len(do.asked) == 2:
            do.content = CONTENT

    behaviour = Behaviour(content=bytes(300_000), breaks=[100_000], etag=None, on_request=change)
    fetched(behaviour, cache)
    assert behaviour.asked == ["", "bytes=100000-", ""], "the checksum tells, and it begins again"


def test_a_part_longer_than_the_file_is_dropped(cache):
    cache.mkdir()
    (cache / "data.bin.part").write_bytes(bytes(400_000))
    fetched(Behaviour(), cache)


def test_a_server_that_heeds_no_if_range_is_seen_through_by_its_etag(cache):
    def change(do: Behaviour) -> None:
        if len(do.asked) == 2:
            do.content, do.etag = CONTENT, '"two"'

    behaviour = Behaviour(content=bytes(300_000), breaks=[100_000], heeds_if_range=False, on_request=change)
    fetched(behaviour, cache)
    assert behaviour.asked == ["", "bytes=100000-", ""]


@pytest.mark.parametrize(
    ("etag", "modified", "sent"),
    [
        ('"one"', formatdate(0, usegmt=True), '"one"'),
        ('W/"one"', formatdate(0, usegmt=True), "Thu, 01 Jan 1970 00:00:00 GMT"),
        (None, formatdate(0, usegmt=True), "Thu, 01 Jan 1970 00:00:00 GMT"),
        ('W/"one"', None, None),
    ],
)
def test_a_range_is_asked_for_under_what_tells_versions_apart(cache, etag, modified, sent):
    behaviour = Behaviour(breaks=[100_000], etag=etag, modified=modified)
    fetched(behaviour, cache)
    assert behaviour.asked == ["", "bytes=100000-"]
    assert behaviour.if_range == [None, sent]


def test_a_part_that_is_whole_is_not_fetched_again(cache):
    cache.mkdir()
    (cache / "data.bin.part").write_bytes(CONTENT)
    behaviour = Behaviour()
    told = fetched(behaviour, cache)
    assert behaviour.asked == ["bytes=300000-"], "416, and the checksum is right"
    assert told == [(300_000, 300_000)]


def test_a_wrong_part_as_long_as_the_file_is_dropped(cache):
    cache.mkdir()
    (cache / "data.bin.part").write_bytes(bytes(300_000))
    behaviour = Behaviour()
    fetched(behaviour, cache)
    assert behaviour.asked == ["bytes=300000-", ""]


def test_a_server_that_gives_less_than_the_range_is_asked_on(cache):
    behaviour = Behaviour(breaks=[100_000], most=90_000)
    told = fetched(behaviour, cache)
    assert behaviour.asked == ["", "bytes=100000-", "bytes=190000-", "bytes=280000-"]
    assert {total for _, total in told} == {300_000}


def test_a_body_in_chunks_that_breaks_goes_on(cache):
    behaviour = Behaviour(chunked=True, breaks=[100_000, 7])
    fetched(behaviour, cache)
    assert behaviour.asked == ["", "bytes=100000-", "bytes=100007-"], "not a byte that came is lost"


def test_a_length_that_is_too_long_is_found(cache):
    failing(
        Behaviour(length="300100", ranges=False),
        "broke after 300000 of 300100 bytes",
        replace(HASTY, attempts=2),
    )
    assert not (cache / "data.bin").exists()


def test_a_length_that_is_too_short_is_found(cache):
    failing(Behaviour(length="299999"), hashlib.sha256(CONTENT[:-1]).hexdigest(), HASTY, ChecksumError)
    assert left(cache) == []


def test_a_length_that_is_no_number_is_none(cache):
    assert fetched(Behaviour(length="much"), cache)[-1] == (300_000, 0)


def test_a_range_that_starts_elsewhere_is_refused(cache):
    behaviour = Behaviour(breaks=[100_000], false_start=7)
    failing(behaviour, "asked for bytes from 100000, got 'bytes 100007-", replace(HASTY, attempts=3))


def test_a_wrong_file_is_thrown_away_and_named(cache):
    behaviour = Behaviour(content=b"another")
    with served(behaviour) as url, pytest.raises(ChecksumError) as caught:
        locate(public(url), retry=HASTY)
    assert behaviour.asked == [""], "it came in one piece, so it would be the same again"
    for part in (hashlib.sha256(b"another").hexdigest(), hashlib.sha256(CONTENT).hexdigest(), "data.bin"):
        assert part in str(caught.value)
    assert left(cache) == []


@pytest.mark.parametrize(
    ("status", "requests"), [(404, 1), (403, 1), (410, 1), (451, 1), (408, 6), (429, 6), (500, 6), (503, 6)]
)
def test_only_errors_that_may_pass_are_tried_again(cache, status, requests):
    behaviour = Behaviour(statuses=[status] * 10)
    with served(behaviour) as url, pytest.raises(DataError, match=f"HTTP Error {status}") as caught:
        locate(public(url), retry=HASTY)
    assert len(behaviour.asked) == requests
    for part in (url, str(cache / "data.bin"), "folder/data.bin", "RGBENCH_MIRROR", public(url).sha256):
        assert part in str(caught.value), "what to fetch by hand, and where to put it"


def test_a_server_error_that_passes_is_no_error(cache):
    fetched(Behaviour(statuses=[500, 502, 429]), cache)


def test_waits_double_and_a_server_that_names_one_is_obeyed(cache, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(fetch.time, "sleep", waits.append)
    patient = RetryPolicy(attempts=5, first_wait=1.0, longest_wait=3.0, timeout=2.0)
    fetched(Behaviour(statuses=[500, 500, 500, 500]), cache, patient)
    assert [wait for wait in waits if wait] == [1.0, 2.0, 3.0, 3.0], "the server sleeps for no time"
    waits.clear()
    shutil.rmtree(cache)
    fetched(Behaviour(statuses=[503, 503], headers={"Retry-After": "2"}), cache, patient)
    assert [wait for wait in waits if wait] == [2.0, 2.0]


def test_a_server_may_name_a_date_to_come_back_at(cache, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(fetch.time, "sleep", waits.append)
    then = formatdate(time.time() + 60, usegmt=True)
    fetched(Behaviour(statuses=[429], headers={"Retry-After": then}), cache, RetryPolicy(first_wait=0.1))
    [wait] = [wait for wait in waits if wait]
    assert 50 < wait <= 60


@pytest.mark.parametrize("asked", ["soon", "-5", "\u00b2", formatdate(0, usegmt=True)])
def test_a_time_that_is_none_or_past_is_not_waited_for(cache, asked):
    fetched(Behaviour(statuses=[503], headers={"Retry-After": asked}), cache)


def test_a_server_that_asks_for_too_long_is_left_alone(cache):
    behaviour = Behaviour(statuses=[503] * 3, headers={"Retry-After": "3600"})
    failing(behaviour, r"503.*asks to be left alone for 3600 s", RetryPolicy())
    assert len(behaviour.asked) == 1


def test_a_server_that_does_not_tell_the_length_will_do(cache):
    told = fetched(Behaviour(length=None), cache)
    assert told[-1] == (len(CONTENT), 0)


def test_a_silent_server_is_given_up(cache):
    start = time.monotonic()
    failing(Behaviour(delay=0.6), "timed out", RetryPolicy(attempts=2, first_wait=0.0, timeout=0.2))
    assert time.monotonic() - start < 5


def test_a_server_that_drips_is_given_up(cache):
    """Every byte comes before the time is out; 20 bytes a second are next to none."""
    start = time.monotonic()
    hasty = RetryPolicy(attempts=2, first_wait=0.0, timeout=0.3, slowest=100.0)
    failing(Behaviour(drips=True), r"only \d+ bytes came in 0 s", hasty)
    assert time.monotonic() - start < 2.5


def test_a_server_that_sends_on_and_on_without_a_length_is_given_up(cache, monkeypatch):
    monkeypatch.setattr(fetch, "_LARGEST", 200_000)
    failing(Behaviour(length=None), "more than 200000 bytes came, and the server does not tell how many")
    fetched(Behaviour(), cache)


def test_a_server_that_falls_silent_midway_is_asked_again_from_there(cache):
    behaviour = Behaviour(breaks=[100_000], stalls=[0.6])
    fetched(behaviour, cache, RetryPolicy(attempts=2, first_wait=0.0, timeout=0.2))
    assert behaviour.asked == ["", "bytes=100000-"]


def test_a_server_that_is_not_there_is_named_with_the_reason(cache):
    with pytest.raises(
        DataError, match=r"could not be fetched: .*refused.*; fetch http://127.0.0.1:1/ by hand"
    ):
        locate(public("http://127.0.0.1:1/"), retry=HASTY)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("ftp://127.0.0.1:1/data.bin", "ftp is neither http nor https|Redirection to url 'ftp:"),
        ("http://[", "an address that is none"),
        ("http://a..b/", "an address that is none"),
        ("http://127.0.0.1:port/", "port"),
        ("data:,x", "Redirection to url 'data:"),
    ],
)
def test_a_redirection_elsewhere_is_refused_at_once(cache, target, reason):
    behaviour = Behaviour(statuses=[302], headers={"Location": target})
    failing(behaviour, reason, RetryPolicy(first_wait=60.0))
    assert len(behaviour.asked) == 1


@pytest.mark.parametrize("url", ["data.bin", "ftp://127.0.0.1:1/data.bin", "data:,x"])
def test_an_address_that_is_not_http_is_refused_at_once(cache, url):
    with pytest.raises(DataError, match="neither http nor https|an address that is none"):
        locate(public(url), retry=RetryPolicy(first_wait=60.0))


def test_nobody_is_led_to_files_of_this_machine(cache, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    behaviour = Behaviour(statuses=[302], headers={"Location": secret.as_uri()})
    failing(behaviour, "Redirection to url 'file:")
    with pytest.raises(DataError, match="file is neither http nor https"):
        locate(public(secret.as_uri()), retry=RetryPolicy(first_wait=60.0))


def test_a_redirection_is_followed(cache):
    with served(Behaviour()) as there:
        behaviour = Behaviour(statuses=[302], headers={"Location": there})
        with served(behaviour) as url:
            assert locate(public(url), retry=HASTY).read_bytes() == CONTENT


def test_the_mirror_comes_first_and_is_checked(cache, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    (mirror / "folder").mkdir(parents=True)
    (mirror / "folder" / "data.bin").write_bytes(CONTENT)
    file = public("http://127.0.0.1:1/")
    assert locate(file, mirror=mirror) == where(file, mirror) == mirror / "folder" / "data.bin"
    assert not cache.exists()
    assert where(file) is None
    monkeypatch.setenv("RGBENCH_MIRROR", str(mirror))
    assert locate(file) == mirror / "folder" / "data.bin"
    (mirror / "folder" / "data.bin").write_bytes(b"spoilt")
    with pytest.raises(ChecksumError, match=r"data.bin: SHA-256 is .*, expected"):
        locate(file)


def test_a_mirror_that_is_not_there_is_no_mirror(cache, tmp_path):
    for ask in (locate, where):
        with pytest.raises(DataError, match="nowhere: is no folder, but named as the mirror"):
            ask(public("http://127.0.0.1:1/"), tmp_path / "nowhere")


def test_a_folder_is_not_the_file(cache):
    (cache / "data.bin").mkdir(parents=True)
    assert where(public("http://127.0.0.1:1/")) is None


def test_a_file_of_an_installed_package_is_found_after_the_mirror(cache, tmp_path):
    [inside] = [Path(str(entry.locate())) for entry in metadata.files("pytest") if entry.name == "METADATA"]
    file = PublicFile("METADATA", "METADATA", "http://127.0.0.1:1/", sha256_of(inside), package="pytest")
    assert locate(file) == inside
    assert locate(file, mirror=tmp_path) == inside, "the mirror has none"
    shutil.copy(inside, tmp_path)
    assert locate(file, mirror=tmp_path) == tmp_path / "METADATA"


def test_where_the_cache_is(monkeypatch):
    monkeypatch.delenv("RGBENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/rgbench")
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch")
    assert cache_folder() == Path("/scratch/rgbench")
    monkeypatch.setenv("RGBENCH_CACHE", "~/here")
    assert cache_folder() == Path("/home/somebody/here")


def test_a_file_that_cannot_be_read_is_named(cache, monkeypatch):
    cache.mkdir()
    (cache / "data.bin").write_bytes(CONTENT)

    def broken(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(fetch, "sha256_of", broken)
    with pytest.raises(DataError, match=r"data.bin: cannot be read or checked: .*Input/output error"):
        locate(public("http://127.0.0.1:1/"))


def test_a_spoilt_cache_is_named_not_mended_silently(cache):
    cache.mkdir()
    (cache / "data.bin").write_bytes(b"spoilt")
    with pytest.raises(ChecksumError, match="delete it to fetch it anew"):
        locate(public("http://127.0.0.1:1/"))
    assert (cache / "data.bin").read_bytes() == b"spoilt"


def test_offline_nothing_is_asked(cache, monkeypatch):
    monkeypatch.setenv("RGBENCH_OFFLINE", "1")
    behaviour = Behaviour()
    failing(behaviour, r"RGBENCH_OFFLINE is set; fetch http://.* by hand", RetryPolicy())
    assert behaviour.asked == []


def test_offline_a_zero_means_no(cache, monkeypatch):
    monkeypatch.setenv("RGBENCH_OFFLINE", "0")
    fetched(Behaviour(), cache)


def test_an_installed_package_that_brings_the_file_is_named(cache):
    file = replace(public("http://127.0.0.1:1/"), package="firstgalaxydata-that-is-not-there")
    with pytest.raises(DataError, match="pip install --no-deps firstgalaxydata-that-is-not-there, or fetch"):
        locate(file, retry=replace(HASTY, attempts=1))


def test_a_full_disk_is_found_before_a_byte_is_written(cache, monkeypatch):
    usage = shutil.disk_usage(cache.parent)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    behaviour = Behaviour()
    failing(behaviour, "300000 bytes are needed in .*, 1000 are free")
    assert len(behaviour.asked) == 1
    assert not (cache / "data.bin.part").exists()


def test_a_disk_that_fills_up_midway_is_not_tried_again(cache, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch.os, "fsync", full)
    behaviour = Behaviour()
    failing(behaviour, "No space left on device", RetryPolicy(first_wait=60.0))
    assert len(behaviour.asked) == 1


def test_a_cache_that_cannot_be_made_is_named(cache):
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(DataError, match=r"could not be fetched: .*cache'; fetch"):
        locate(public("http://127.0.0.1:1/"))


def test_two_at_once_fetch_it_once(cache):
    behaviour = Behaviour(delay=0.2)
    with served(behaviour) as url:
        found: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: found.append(locate(public(url), retry=HASTY).read_bytes()))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [CONTENT] * 3
    assert behaviour.asked == [""]


def test_no_two_hold_the_lock_at_once(tmp_path):
    inside, most = [], []

    def enter() -> None:
        for _ in range(40):
            with fetch._alone(tmp_path / "data.bin"):
                inside.append(1)
                time.sleep(0.0002)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 240
    assert left(tmp_path) == []


def test_who_waits_for_a_lock_does_not_wait_for_the_children_of_its_holder(tmp_path, monkeypatch):
    held = []
    monkeypatch.setattr(fetch, "FileLock", lambda path: held.append(FileLock(path)) or held[-1])

    def enter() -> None:
        with fetch._alone(tmp_path / "data.bin"):
            pass

    waiting = threading.Thread(target=enter, daemon=True)
    with fetch._alone(tmp_path / "data.bin"):
        child = os.dup(held[0]._context.lock_file_fd)  # as a fork leaves it
        waiting.start()
        time.sleep(0.1)
        assert waiting.is_alive()
    waiting.join(timeout=5)
    ended = not waiting.is_alive()
    os.close(child)
    assert ended


def other_process(url: str) -> subprocess.Popen[bytes]:
    """Start another process that fetches the file into the same cache."""
    code = (
        "import sys; from rgbench.data.public.fetch import *; "
        "print(locate(PublicFile('data.bin', 'data.bin', *sys.argv[1:])))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(fetch.__file__).parents[3])}
    command = [sys.executable, "-c", code, url, public(url).sha256]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


def test_two_processes_at_once_fetch_it_once(cache):
    behaviour = Behaviour(delay=0.5)
    with served(behaviour) as url:
        processes = [other_process(url) for _ in range(2)]
        outputs = [process.communicate(timeout=30)[0].decode().strip() for process in processes]
    assert outputs == [str(cache / "data.bin")] * 2
    assert behaviour.asked == [""]
    assert left(cache) == ["data.bin"]


def test_where_a_killed_process_was_the_next_goes_on(cache):
    behaviour = Behaviour(breaks=[200_000], stalls=[60.0])
    part, released = cache / "data.bin.part", threading.Event()
    with served(behaviour) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: released.wait(seconds) if seconds else None)
        process = other_process(url)
        end = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size > 150_000) and time.monotonic() < end:
            released.wait(0.01)
        process.kill()
        process.communicate()
        released.set()
        assert (cache / "data.bin.lock").exists(), "nobody removed it; but nobody holds it"
        had = part.stat().st_size
        assert locate(public(url), retry=HASTY).read_bytes() == CONTENT
    assert behaviour.asked == ["", f"bytes={had}-"]
    assert left(cache) == ["data.bin"]


def test_what_another_process_fetched_meanwhile_is_checked(cache, monkeypatch):
    cache.mkdir()
    (cache / "data.bin").write_bytes(b"spoilt")
    monkeypatch.setattr(fetch, "where", lambda file, mirror: None)
    with pytest.raises(ChecksumError, match=r"data.bin: SHA-256 is"):
        locate(public("http://127.0.0.1:1/"))
    assert (cache / "data.bin").read_bytes() == b"spoilt"


def test_where_there_are_no_locks_each_writes_a_part_of_its_own(cache, monkeypatch):
    def no_locks(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "_acquire", no_locks)
    cache.mkdir()
    (cache / "data.bin.part").write_bytes(b"of another process")
    behaviour = Behaviour(breaks=[1000])
    with served(behaviour) as url:
        assert locate(public(url), retry=HASTY).read_bytes() == CONTENT
    assert behaviour.asked == ["", "bytes=1000-"]
    assert (cache / "data.bin.part").read_bytes() == b"of another process"
    (cache / "data.bin").unlink()
    failing(Behaviour(breaks=[1000]), "broke after 1000", replace(HASTY, attempts=1))
    assert left(cache) == ["data.bin.part"]


def test_a_callback_that_stops_a_download_leaves_no_lock(cache):
    def stop(done: int, total: int) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    with served(Behaviour()) as url, pytest.raises(KeyboardInterrupt):
        locate(public(url), progress=stop, retry=HASTY)
    had = (cache / "data.bin.part").stat().st_size
    assert had > 100_000
    again = Behaviour()
    fetched(again, cache)
    assert again.asked == [f"bytes={had}-"]


def test_several_files_are_fetched_in_order(cache):
    with served(Behaviour()) as url:
        files = [replace(public(url), name=name) for name in ("b.bin", "a.bin")]
        paths = fetch.fetch(iter(files), retry=HASTY)
    assert paths == [cache / "b.bin", cache / "a.bin"]
    assert all(path.read_bytes() == CONTENT for path in paths)


def test_of_several_files_all_that_fail_are_named_and_the_others_fetched(cache):
    with served(Behaviour(statuses=[404, 200, 404])) as url:
        files = [replace(public(url), name=name) for name in ("a.bin", "b.bin", "c.bin")]
        with pytest.raises(DataError) as caught:
            fetch.fetch(files, retry=HASTY)
    assert left(cache) == ["b.bin"]
    lines = str(caught.value).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["a.bin", "c.bin"]
    assert all("put it at" in line for line in lines)
    with served(Behaviour(content=b"another")) as url, pytest.raises(ChecksumError):
        fetch.fetch([replace(public(url), name="d.bin")], retry=HASTY)


def unknown(url: str) -> PublicFile:
    return replace(public(url), sha256="")


def test_an_unknown_checksum_is_recorded_and_held_to(cache):
    record = cache / "data.bin.sha256"
    with served(Behaviour(breaks=[100_000])) as url:
        path = locate(unknown(url), retry=HASTY)
        assert record.read_text().split() == [hashlib.sha256(CONTENT).hexdigest(), "data.bin"]
        assert left(cache) == ["data.bin", "data.bin.sha256"]
        assert locate(unknown(url)) == path
        path.write_bytes(b"spoilt")
        with pytest.raises(
            ChecksumError, match=r"recorded at the first reading; .* delete .*data\.bin\.sha256"
        ):
            locate(unknown(url))
        path.unlink()
    with served(Behaviour(content=b"another")) as url, pytest.raises(ChecksumError, match="is not kept"):
        locate(unknown(url), retry=HASTY)
    record.write_text("no checksum")
    with pytest.raises(DataError, match="begins with no SHA-256"):
        locate(unknown("http://127.0.0.1:1/"), retry=HASTY)


def test_of_an_unknown_checksum_no_pieces_without_a_version_are_joined(cache):
    behaviour = Behaviour(breaks=[100_000], etag=None)
    with served(behaviour) as url:
        assert locate(unknown(url), retry=HASTY).read_bytes() == CONTENT
    assert behaviour.asked == ["", ""]


def test_of_an_unknown_checksum_no_pieces_of_two_versions_are_joined(cache):
    def change(do: Behaviour) -> None:
        if len(do.asked) == 2:
            do.content, do.etag = CONTENT, '"two"'

    behaviour = Behaviour(content=bytes(300_000), breaks=[100_000], heeds_if_range=False, on_request=change)
    with served(behaviour) as url:
        assert locate(unknown(url), retry=HASTY).read_bytes() == CONTENT
    assert behaviour.asked == ["", "bytes=100000-", ""]


def test_of_an_unknown_checksum_a_part_too_long_is_dropped(cache):
    cache.mkdir()
    (cache / "data.bin.part").write_bytes(bytes(400_000))
    (cache / "data.bin.part.version").write_text('"one"')
    behaviour = Behaviour()
    with served(behaviour) as url:
        assert locate(unknown(url), retry=HASTY).read_bytes() == CONTENT
    assert behaviour.asked == ["bytes=400000-", ""]


def test_an_unknown_checksum_and_length_are_too_little_to_go_by(cache):
    with served(Behaviour(length=None)) as url, pytest.raises(DataError, match="neither its length nor"):
        locate(unknown(url), retry=HASTY)
    with served(Behaviour(chunked=True)) as url:
        assert locate(unknown(url), retry=HASTY).read_bytes() == CONTENT


def test_an_unknown_checksum_of_a_file_in_the_mirror_is_recorded_in_the_cache(cache, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "data.bin").write_bytes(CONTENT)
    assert locate(unknown("http://127.0.0.1:1/"), mirror=tmp_path) == tmp_path / "folder" / "data.bin"
    assert left(cache) == ["data.bin.sha256"]
    (tmp_path / "folder" / "data.bin").write_bytes(b"another")
    with pytest.raises(ChecksumError):
        check_recorded(tmp_path / "folder" / "data.bin", cache / "data.bin.sha256")
