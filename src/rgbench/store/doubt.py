"""Rows of Monte-Carlo dropout beside a run: where they lie, and how they are read."""

from __future__ import annotations

from rgbench.store.store import Store
from rgbench.store.tables import Predictions

DOUBT_FILE = "doubt.parquet"
"""Rows of Monte-Carlo dropout, in the directory of the run."""
MC_DROPOUT = "mc-dropout"
"""Their condition."""


def read_doubt(store: Store, run_id: str) -> Predictions | None:
    """Read a run's rows of Monte-Carlo dropout; None if there are none yet.

    Raises
    ------
    StoreError
        If the table cannot be read, or is of another run.
    """
    return store.beside(run_id, DOUBT_FILE)
