"""How long a server is waited for, and how long it asks to be left alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime

Progress = Callable[[int, int], None]
"""Called with the bytes had and the bytes in all, 0 if the server does not tell."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often a download is tried, and how long is waited in between.

    Attributes
    ----------
    attempts : int
        Times that a file is asked for; each goes on where the one before broke off.
    first_wait, longest_wait : float
        Seconds before the second attempt, doubled before each further one up to the longest. A server that
        names a time (Retry-After) is given it; one that asks for more than the longest is not asked again.
    timeout : float
        Seconds without a byte after which an attempt is given up.
    slowest : float
        Bytes per second, in each `timeout` seconds, below which an attempt is given up.

    Examples
    --------
    >>> RetryPolicy(attempts=6, first_wait=1.0, longest_wait=5.0).waits()
    [1.0, 2.0, 4.0, 5.0, 5.0]
    """

    attempts: int = 5
    first_wait: float = 0.5
    longest_wait: float = 120.0
    timeout: float = 30.0
    slowest: float = 100.0

    def waits(self) -> list[float]:
        """Give the seconds between attempts, if the server names none."""
        return [min(self.first_wait * 2**n, self.longest_wait) for n in range(self.attempts - 1)]


def retry_after(headers: Message, now: datetime) -> float | None:
    """Give the seconds that Retry-After asks to wait, as a number or a date; None if it does not.

    Examples
    --------
    >>> headers = Message()
    >>> headers["Retry-After"] = "120"
    >>> retry_after(headers, datetime.now(UTC))
    120.0
    """
    text = str(headers.get("Retry-After", "")).strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - now).total_seconds())


class Watch:
    """Tells a progress, and gives a server up that sends next to nothing; one that sends nothing times out."""

    def __init__(self, progress: Progress, retry: RetryPolicy) -> None:
        self._progress, self._retry = progress, retry
        self._since, self._had = time.monotonic(), 0

    def __call__(self, have: int, total: int) -> None:
        """Take note of the bytes had; raise `OSError` if too few came in the last while."""
        self._progress(have, total)
        now, came = time.monotonic(), have - self._had
        if now - self._since < self._retry.timeout:
            return
        if came < self._retry.slowest * (now - self._since):
            raise OSError(f"only {came} bytes came in {now - self._since:.0f} s")
        self._since, self._had = now, have
