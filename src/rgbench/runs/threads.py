"""How many threads torch and numpy compute in: the last digits of sums depend on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from threadpoolctl import threadpool_limits


class _Inside:
    """How many threads of Python compute, and what torch and numpy had before the first began."""

    def __init__(self) -> None:
        self.lock, self.number, self.torch = Lock(), 0, 1
        self.numpy: Any = None


_INSIDE = _Inside()


@contextmanager
def in_threads(threads: int) -> Iterator[None]:
    """Make torch and numpy compute in so many threads until the last that computes in this process has ended.

    Threads of Python that compute at the same time want the same number.
    """
    with _INSIDE.lock:
        if not _INSIDE.number:
            _INSIDE.torch = torch.get_num_threads()
            _INSIDE.numpy = threadpool_limits(threads, user_api="blas")
        _INSIDE.number += 1
        torch.set_num_threads(threads)  # by each: OpenMP keeps the number for each thread
    try:
        yield
    finally:
        with _INSIDE.lock:
            _INSIDE.number -= 1
            if not _INSIDE.number:
                torch.set_num_threads(_INSIDE.torch)
                _INSIDE.numpy.restore_original_limits()
