"""One number of threads for torch and for numpy, until the last that computes has ended."""

from __future__ import annotations

import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from rgbench.runs.threads import in_threads


def blas() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_torch_and_numpy_compute_in_so_many_threads_until_the_last_has_ended():
    before = torch.get_num_threads()
    with threadpool_limits(2, user_api="blas"):
        torch.set_num_threads(2)
        try:
            with in_threads(1):
                assert (torch.get_num_threads(), blas()) == (1, {1})
                with in_threads(1):
                    pass
                assert (torch.get_num_threads(), blas()) == (1, {1})
            assert (torch.get_num_threads(), blas()) == (2, {2})
        finally:
            torch.set_num_threads(before)
