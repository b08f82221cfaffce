"""How many threads torch computes in: the last digits of sums depend on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch


class _Inside:
    """How many threads of Python compute, and how many threads torch had before the first began."""

    lock, number, before = Lock(), 0, 1


@contextmanager
def in_threads(threads: int) -> Iterator[None]:
    """Make torch compute in so many threads until the last that computes in this process has ended.

    Threads of Python that compute at the same time want the same number.
    """
    with _Inside.lock:
        if not _Inside.number:
            _Inside.before = torch.get_num_threads()
        _Inside.number += 1
        torch.set_num_threads(threads)  # by each: OpenMP keeps the number for each thread
    try:
        yield
    finally:
        with _Inside.lock:
            _Inside.number -= 1
            if not _Inside.number:
                torch.set_num_threads(_Inside.before)
