"""What all trackers have in common: when a run is opened in them, which epochs they know, when it is closed."""

from __future__ import annotations

from abc import ABC, abstractmethod

from rgbench.runs.listeners import History, Silence
from rgbench.runs.plan import Plan
from rgbench.runs.trackers.values import at_the_end, of_epoch
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord


class Page(ABC):
    """One run in a tracker.

    Parameters
    ----------
    epochs : int
        Epochs that it holds already.
    """

    def __init__(self, epochs: int = 0) -> None:
        self.epochs = epochs

    def add(self, history: History) -> None:
        """Write the epochs that it does not hold yet."""
        for row in range(self.epochs, len(history.get("epoch", ()))):
            self.write(of_epoch(history, row), int(history["epoch"][row]))
            self.epochs = row + 1

    @abstractmethod
    def write(self, numbers: dict[str, float], epoch: int) -> None:
        """Write numbers of an epoch, by their names."""

    @abstractmethod
    def close(self, record: RunRecord, numbers: dict[str, float]) -> None:
        """Write numbers of the end, and how the run ended."""


class Tracker(Silence, ABC):
    """A listener that writes runs into a tracker, epoch by epoch.

    Runs that were in the store before are written too, unless the tracker has them. Whatever goes wrong is raised:
    `rgbench.runs.listeners.Several` then goes on without the tracker, and says so.
    """

    def __init__(self) -> None:
        self._pages: dict[str, Page] = {}

    @abstractmethod
    def starts(self, plan: Plan) -> None:
        """Import what the tracker needs, and reach it."""

    @abstractmethod
    def has(self, spec: RunSpec) -> bool:
        """Tell whether the tracker has a run that is complete."""

    @abstractmethod
    def page(self, spec: RunSpec) -> Page:
        """Open a run: a new one, or one that was stopped."""

    def run_starts(self, spec: RunSpec) -> None:
        """Open a run."""
        self._pages[spec.run_id] = self.page(spec)

    def epoch(self, spec: RunSpec, history: History) -> None:
        """Write an epoch, and those before it that were computed before the run was stopped."""
        self._pages[spec.run_id].add(history)

    def run_ends(self, record: RunRecord) -> None:
        """Write the end of a run; of one that was in the store, all of it."""
        page = self._pages.pop(record.run_id, None)
        if page is None and self.has(record.trained):
            return
        page = page or self.page(record.trained)
        page.add({column: values.tolist() for column, values in record.history.items()})
        page.close(record, at_the_end(record))
