"""Ask a public service: one request at a time, no faster than it bears, and not at all where there is no network."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from rgbench.data.public.fetch import is_offline
from rgbench.data.public.patience import retry_after
from rgbench.data.surveys.surveys import LONGEST_WAIT, FetchError, first_line

_LARGEST_ANSWER = 1 << 28
_BLOCK = 1 << 16
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_KNOCK = 10.0
"""Seconds within which a service must be reached at all, before anything is asked of it."""
_PORTS = {"http": 80, "https": 443}

Fetch = Callable[[str, float], bytes]
"""Gives the content of a URL within so many seconds, or raises `FetchError`."""


class _Stopped(Exception):
    """The run is being stopped."""


class Pace:
    """One rate limit for all workers, in requests per second: a token bucket that holds one token."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Any = None) -> None:
        self._step, self._clock = 1 / rate, clock
        self._next = self._held = clock()
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._sleep = sleep or self._stopped.wait

    def wait(self) -> None:
        """Wait for one's turn; raise at once if the run is stopped."""
        while True:
            with self._lock:
                now = self._clock()
                turn = max(now, self._next, self._held)
                self._next = turn + self._step
            self.sleep(turn - now)
            if self._held <= turn:
                return

    def sleep(self, seconds: float) -> None:
        """Wait, of one worker; the others go on."""
        if seconds > 0:
            self._sleep(seconds)
        if self._stopped.is_set():
            raise _Stopped

    def hold(self, seconds: float) -> None:
        """Let no worker ask anything for so many seconds."""
        with self._lock:
            self._held = max(self._held, self._clock() + seconds)

    def stop(self) -> None:
        """Wake all who wait; nobody asks anything any more."""
        self._stopped.set()


def fetch_url(url: str, timeout: float) -> bytes:
    """Give the content of a URL.

    Raises
    ------
    FetchError
        If it does not come, or not whole, within `timeout` seconds; it says whether to try again.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "rgbench"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return _read(answer, time.monotonic() + timeout)
    except urllib.error.HTTPError as error:
        with error:
            words = first_line(error.read(_BLOCK))
        after = retry_after(error.headers, datetime.now(UTC))
        said = f": {words!r}" if words else ""
        said += f"; the service asks to wait {after:.0f} s" if after else ""
        again = error.code in _PASSING and (after or 0) <= LONGEST_WAIT
        raise FetchError(f"HTTP {error.code} {error.reason}{said}", again, after) from None
    except (OSError, http.client.HTTPException) as error:
        inner = getattr(error, "reason", error)
        late = isinstance(inner, TimeoutError)
        why = f"no whole answer within {timeout:g} s" if late else f"no connection: {inner or type(inner)}"
        raise FetchError(why, again=True) from None


def _read(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    content = bytearray()
    while block := answer.read1(_BLOCK):  # what has come; `read` would wait for all of it
        content += block
        if len(content) > _LARGEST_ANSWER:
            raise FetchError(f"the answer is longer than {_LARGEST_ANSWER} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError
    expected = answer.headers.get("Content-Length", "")
    if expected.isdigit() and len(content) < int(expected):
        raise FetchError(f"the answer broke off after {len(content)} of {expected} bytes", again=True)
    return bytes(content)


def check_reach(url: str, timeout: float = _KNOCK) -> None:
    """Raise `FetchError` if the server of a URL, or the proxy that leads to it, cannot be reached: soon, and once.

    Whoever asks it all the same would try again and again before saying so.
    """
    if is_offline():
        raise FetchError("RGBENCH_OFFLINE is set")
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        place = (parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80))
        socket.create_connection(place, timeout).close()
    except (OSError, ValueError) as error:
        raise FetchError(f"no connection to {parts.hostname}: {error}") from None
