"""Fetching from a real HTTP server that breaks off, lies, changes its mind, or is not there."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.data import fetch
from rgbench.data.fetch import PublicFile, RetryPolicy, locate, where
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
    etag: str | None = '"one"'
    headers: dict[str, str] = field(default_factory=dict)
    false_start: int = 0
    length: bool = True
    delay: float = 0.0
    asked: list[str] = field(default_factory=list)
    on_request: object = None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        do: Behaviour = self.server.behaviour
        do.asked.append(self.headers.get("Range", ""))
        if callable(do.on_request):
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
        if do.etag:
            headers["ETag"] = do.etag
        if start:
            first = start + do.false_start
            headers["Content-Range"] = f"bytes {first}-{len(do.content) - 1}/{len(do.content)}"
        self.answer(206 if start else 200, do.content[start:], headers)

    def start(self, do: Behaviour) -> int:
        asked = self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, do.etag)
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked and do.ranges and same else 0

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        do: Behaviour = self.server.behaviour
        self.send_response(status)
        if do.length:
            self.send_header("Content-Length", str(len(body)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Connection", "close")
        self.end_headers()
        stop = do.breaks.pop(0) if do.breaks and status in (200, 206) else len(body)
        self.wfile.write(body[:stop])
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
    for name in ("RGBENCH_MIRROR", "RGBENCH_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("RGBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def public(url: str, content: bytes = CONTENT) -> PublicFile:
    return PublicFile("data.bin", "folder/data.bin", url, hashlib.sha256(content).hexdigest())


def fetched(behaviour: Behaviour, cache, retry: RetryPolicy = HASTY) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    with served(behaviour) as url:
        path = locate(public(url), progress=lambda done, total: told.append((done, total)), retry=retry)
    assert path == cache / "data.bin"
    assert path.read_bytes() == CONTENT
    assert sorted(p.name for p in cache.iterdir()) == ["data.bin"], "no part, lock or version is left"
    return told


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


def test_the_next_call_goes_on_where_the_last_one_gave_up(cache):
    behaviour = Behaviour(breaks=[10_000] * 3)
    with served(behaviour) as url, pytest.raises(DataError, match="broke after 20000 of 300000 bytes"):
        locate(public(url), retry=replace(HASTY, attempts=2))
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


def test_a_range_that_starts_elsewhere_is_refused(cache):
    behaviour = Behaviour(breaks=[100_000], false_start=7)
    with (
        served(behaviour) as url,
        pytest.raises(DataError, match="asked for bytes from 100000, got 'bytes 100007-"),
    ):
        locate(public(url), retry=replace(HASTY, attempts=3))


def test_a_wrong_file_is_thrown_away_and_named(cache):
    with served(Behaviour(content=b"another")) as url, pytest.raises(ChecksumError) as caught:
        locate(public(url), retry=HASTY)
    for part in (hashlib.sha256(b"another").hexdigest(), hashlib.sha256(CONTENT).hexdigest(), "data.bin"):
        assert part in str(caught.value)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (410, 1), (500, 6), (503, 6)])
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


def test_a_server_that_does_not_tell_the_length_will_do(cache):
    told = fetched(Behaviour(length=False), cache)
    assert told[-1] == (len(CONTENT), 0)


def test_a_silent_server_is_given_up(cache):
    start = time.monotonic()
    with served(Behaviour(delay=0.6)) as url, pytest.raises(DataError, match="timed out"):
        locate(public(url), retry=RetryPolicy(attempts=2, first_wait=0.0, timeout=0.2))
    assert time.monotonic() - start < 5


def test_nobody_is_led_to_files_of_this_machine(cache, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    behaviour = Behaviour(statuses=[302], headers={"Location": secret.as_uri()})
    with served(behaviour) as url, pytest.raises(DataError, match="Redirection to url 'file:"):
        locate(public(url), retry=HASTY)
    with pytest.raises(DataError, match="unknown url type"):
        locate(public(secret.as_uri()), retry=replace(HASTY, attempts=1))


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


def test_a_spoilt_cache_is_named_not_mended_silently(cache):
    cache.mkdir()
    (cache / "data.bin").write_bytes(b"spoilt")
    with pytest.raises(ChecksumError, match="delete it and fetch it anew"):
        locate(public("http://127.0.0.1:1/"))
    assert (cache / "data.bin").read_bytes() == b"spoilt"


def test_offline_nothing_is_asked(cache, monkeypatch):
    monkeypatch.setenv("RGBENCH_OFFLINE", "1")
    behaviour = Behaviour()
    with (
        served(behaviour) as url,
        pytest.raises(DataError, match=r"RGBENCH_OFFLINE is set; fetch http://.* by hand"),
    ):
        locate(public(url))
    assert behaviour.asked == []


def test_an_installed_package_that_brings_the_file_is_named(cache):
    file = replace(public("http://127.0.0.1:1/"), package="firstgalaxydata-that-is-not-there")
    with pytest.raises(DataError, match="pip install --no-deps firstgalaxydata-that-is-not-there, or fetch"):
        locate(file, retry=replace(HASTY, attempts=1))


def test_a_full_disk_is_found_before_a_byte_is_written(cache, monkeypatch):
    usage = shutil.disk_usage(cache.parent)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    behaviour = Behaviour()
    with (
        served(behaviour) as url,
        pytest.raises(DataError, match="300000 bytes are needed in .*, 1000 are free"),
    ):
        locate(public(url), retry=HASTY)
    assert len(behaviour.asked) == 1
    assert not (cache / "data.bin.part").exists()


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


def test_the_lock_of_a_dead_process_is_taken_over(cache, monkeypatch):
    (cache / "data.bin.lock").mkdir(parents=True)
    monkeypatch.setattr(fetch, "STALE_LOCK", 0.1)
    fetched(Behaviour(), cache)
