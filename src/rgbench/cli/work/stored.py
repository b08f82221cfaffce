"""What several commands check before they look at stored runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from rgbench.cli.bars import bar_of
from rgbench.cli.screen import warn
from rgbench.errors import SpecError, StoreError, raise_stop
from rgbench.runs.find import find_runs
from rgbench.store.choose import complete_runs, with_weights
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import MODELS


def open_store(path: Path) -> Store:
    """Open a store that is there; raise `SpecError` rather than make an empty one."""
    try:
        there = path.exists()
    except OSError as error:
        raise SpecError(f"--store {path}: cannot be looked at: {error.strerror or error}") from error
    if not there:
        raise SpecError(f"--store {path}: there is no such folder; rgbench quickstart makes one")
    return Store(path, make=False)


@contextmanager
def reading(what: str, console: Console) -> Iterator[Callable[[str], None]]:
    """Show a bar while runs are read; whoever reads them tells what it yields of those that cannot be.

    They are said when the bar is gone, also where the work ends in an error.
    """
    damaged: list[str] = []
    try:
        with bar_of(what):
            yield damaged.append
    finally:
        warn(console, *damaged)


def wanted_runs(store: Store, wanted: str | None, console: Console) -> list[RunRecord]:
    """Give the runs with weights that ``--run`` names, or all complete ones; say which are left out, and why.

    Raises
    ------
    SpecError
        If one that is named, or all there are, hold predictions made elsewhere.
    """
    with reading("reading runs", console) as told:
        if wanted is not None:
            found = find_runs(store, wanted, folds=True, on_damage=told)
            return [record for record in found if record.trained]
        complete = complete_runs(store, told)
        kept, elsewhere = with_weights(complete)
        if not kept:
            return [record for record in complete if record.trained]
        for words in elsewhere:
            told(words)
        return kept


def check_model(model: str) -> str:
    """Give the name of a model back if it is legal; raise `SpecError` with the legal ones if it is not."""
    if model not in MODELS:
        raise SpecError(f"--model: found {model!r}; legal are {', '.join(MODELS)}")
    return model


class OneByOne:
    """Work on several runs of a store: what is damaged in one is said, and the others are worked on all the same.

    Parameters
    ----------
    store : Store
        The store.
    console : Console
        Where it is said.
    """

    def __init__(self, store: Store, console: Console) -> None:
        self._store, self._console, self._left_out = store, console, 0

    @contextmanager
    def run(self, run_id: str) -> Iterator[None]:
        """Work on one run; a `StoreError` is said."""
        try:
            yield
        except StoreError as error:
            raise_stop(error)
            self._left_out += 1
            warn(self._console, self._store.left_out(run_id, error))

    def ends(self) -> None:
        """Raise `StoreError` if a run was left out, after all others are done."""
        if self._left_out:
            runs = "1 run was" if self._left_out == 1 else f"{self._left_out} runs were"
            raise StoreError(f"{self._store.root}: {runs} left out, as said above; the others are done")
