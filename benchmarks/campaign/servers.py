"""A download from servers that stall, cut short, lie about lengths, send something else, or send one elsewhere."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.campaign.ledger import Ledger
from benchmarks.campaign.trials import Verdict, _judge_message, _signature
from rgbench.data.public.fetch import PublicFile, locate
from rgbench.data.public.patience import RetryPolicy
from rgbench.errors import RgbenchError

CONTENT = np.random.default_rng(0).bytes(100_000)
PATIENCE = RetryPolicy(attempts=4, first_wait=0.01, longest_wait=0.05, timeout=0.3)
LONGEST = 10.0
WAYS = (
    "good", "good without a range", "stall", "cut", "too long", "too short", "no length", "other bytes", "page",
    "loop", "file", "nowhere", "error", "busy", "busy for ever", "odd range", "no such range", "changed", "no answer",
)  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    """Answers each request in the next of the ways that the server was given, then in the last."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        ways: list[str] = self.server.ways  # type: ignore[attr-defined]
        way = ways.pop(0) if len(ways) > 1 else ways[0]
        self.close_connection = True
        start = 0 if way == "good without a range" else self._asked()
        status = 206 if start else 200
        body = CONTENT[start:]
        if way in ("good", "good without a range"):
            self._send(status, body, start=start)
        elif way == "stall":
            self._send(status, body, stop=len(body) // 3, start=start)
            time.sleep(2 * PATIENCE.timeout)
        elif way == "cut":
            self._send(status, body, stop=len(body) // 2, start=start)
        elif way == "too long":
            self._send(status, body, length=len(body) + 1000, start=start)
        elif way == "too short":
            self._send(status, body, length=len(body) - 1000, start=start)
        elif way == "no length":
            self._send(status, body, length=-1, start=start)
        elif way == "other bytes":
            self._send(status, bytes(len(body)), start=start)
        elif way == "page":
            self._send(200, b"<html>Please log in</html>")
        elif way == "changed":
            self._send(200, CONTENT[::-1], headers={"ETag": '"new"'})
        elif way == "odd range":
            self._send(206, body, headers={"Content-Range": "bytes 7-8/nine"})
        elif way != "no answer":
            self._refuse(way)

    def _refuse(self, way: str) -> None:
        places = {"loop": self.path, "file": "file:///etc/passwd", "nowhere": "http://127.0.0.1:1/x"}
        if way in places:
            self._send(302, b"", headers={"Location": places[way]})
        else:
            status, wait = {
                "error": (500, ""),
                "busy": (503, "0"),
                "busy for ever": (503, "99999999999999999999"),
            }.get(way, (416, ""))
            self._send(status, b"no", headers={"Retry-After": wait} if wait else {})

    def _asked(self) -> int:
        text = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
        return min(int(text), len(CONTENT)) if text.isdigit() else 0

    def _send(
        self,
        status: int,
        body: bytes,
        length: int | None = None,
        stop: int | None = None,
        start: int = 0,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        told = {"ETag": '"one"'} | (headers or {})
        if status == 206:
            told.setdefault("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        for name, value in told.items():
            self.send_header(name, value)
        if length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body[:stop])


class _Server(ThreadingHTTPServer):
    """Keeps quiet when a client goes away."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


@contextmanager
def serving(ways: list[str]) -> Iterator[str]:
    """Give the address of a server that answers in these ways."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.ways = list(ways)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/data.bin"
    finally:
        server.shutdown()
        server.server_close()


def judge_download(ways: list[str], known: bool = True) -> Verdict:
    """Fetch a file from such a server: the right bytes come, or an error in one line; never other bytes."""
    sha256 = hashlib.sha256(CONTENT).hexdigest() if known else ""
    with tempfile.TemporaryDirectory() as folder, serving(ways) as url:
        settings = {"RGBENCH_CACHE": folder, "RGBENCH_MIRROR": "", "RGBENCH_OFFLINE": "0"}
        started = time.monotonic()
        try:
            with mock.patch.dict(os.environ, settings):
                path = locate(PublicFile("data.bin", "data.bin", url, sha256), retry=PATIENCE)
            verdict = Verdict(True, "fetched")
            if known and path.read_bytes() != CONTENT:
                verdict = Verdict(False, "other bytes are taken for the file")
        except RgbenchError as error:
            verdict = _judge_message(str(error))
            if (Path(folder) / "data.bin").exists():
                verdict = Verdict(False, "a file stands in its place in spite of the error")
        except Exception as error:
            verdict = Verdict(False, _signature(error), repr(error))
        if time.monotonic() - started > LONGEST:
            return Verdict(False, f"more than {LONGEST:.0f} s")
        return verdict


def try_servers(seed: int, count: int, end: float, ledger: Ledger) -> None:
    """Fetch from so many servers, or as many as there is time for; each has one to four ways, good ones among them."""
    for number in range(count):
        if time.monotonic() > end:
            break
        rng = np.random.default_rng([seed, 3, number])
        ways = [
            WAYS[number % len(WAYS)],
            *(WAYS[int(k)] for k in rng.integers(0, len(WAYS), int(rng.integers(4)))),
        ]
        ledger.add("server", judge_download(ways), f"server {number} of seed {seed}: {', '.join(ways)}")
