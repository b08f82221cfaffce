"""How long a server asks to be left alone."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime


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
