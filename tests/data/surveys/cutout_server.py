"""A local server that answers as hips2fits and SkyView do, and misbehaves as they may."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
from astropy.io import fits

HTML = b"<html><head><title>SkyView Error</title></head><body><h1>Sorry</h1></body></html>"


class CutoutServer(ThreadingHTTPServer):
    """Serves the mirror's image at the position that is asked for; `plan` says what else it does, in order."""

    def __init__(self, images: dict[tuple[float, float], bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.images = images
        self.plan: dict[int, list[str]] = defaultdict(list)
        self.always = ""
        self.asked: list[int] = []
        self.queries: list[dict[str, str]] = []
        self.busy = self.most = 0
        self.lock = threading.Lock()

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{service}"

    def handle_error(self, request, client_address) -> None:
        """A client that was killed has hung up."""


class Handler(BaseHTTPRequestHandler):
    server: CutoutServer

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.busy += 1
            self.server.most = max(self.server.most, self.server.busy)
        try:
            self.respond()
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def respond(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        skyview = parts.path == "/skyview"
        ra, dec = query["Position"].split(",") if skyview else (query["ra"], query["dec"])
        places = list(self.server.images)
        apart = [np.hypot((a - float(ra)) * np.cos(np.radians(d)), d - float(dec)) for a, d in places]
        index = int(np.argmin(apart)) if min(apart) < 0.03 else -1
        with self.server.lock:
            self.server.asked.append(index)
            self.server.queries.append(query)
            plan = self.server.plan[index]
            what = plan.pop(0) if plan else self.server.always
        content = self.server.images[places[index]] if index >= 0 else blank(query, skyview)
        self.act(what, content, query, skyview)

    def act(self, what: str, content: bytes, query: dict[str, str], skyview: bool) -> None:
        if what == "slow":
            time.sleep(0.1)
        elif what == "late":
            time.sleep(1.0)
        elif what == "drip":
            return self.drip(content)
        elif what == "html":
            return self.send(HTML, kind="text/html")
        elif what == "500":
            return self.send(HTML, 500, kind="text/html")
        elif what == "json":
            return self.send(
                json.dumps({"title": "Bad request", "description": "no such HiPS"}).encode(), 400
            )
        elif what.startswith("429"):
            return self.send(b"slow down", 429, after=what[4:])
        elif what == "blank":
            content = blank(query, skyview)
        elif what == "truncated":
            content = content[: len(content) // 2]
        elif what == "broken off":
            return self.send(content[: len(content) // 2], length=len(content))
        elif what == "empty":
            content = b""
        elif what == "other":
            content = next(c for c in self.server.images.values() if c != content)
        return self.send(content)

    def send(self, content: bytes, code: int = 200, after: str = "", kind: str = "", length: int = 0) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind or "application/fits")
        if after:
            self.send_header("Retry-After", after)
        self.send_header("Content-Length", str(length or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def drip(self, content: bytes) -> None:
        """Send a little now and then, so that no single read takes long."""
        self.send(content[:100_000], length=len(content))
        for start in range(100_000, 110_000, 500):
            if not self.connection.send(content[start : start + 500]):
                return
            time.sleep(0.1)

    def log_message(self, *_) -> None:
        pass


def blank(query: dict[str, str], skyview: bool) -> bytes:
    """Give what lies outside of a survey: zeros of SkyView, NaN of hips2fits."""
    side = int(query["Pixels"] if skyview else query["width"])
    file = io.BytesIO()
    fits.writeto(file, np.full((side, side), 0.0 if skyview else np.nan, np.float32))
    return file.getvalue()
