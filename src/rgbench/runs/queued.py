"""Runs of a study in jobs of a queue: the store says which are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import chdir
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

from rgbench.data.load import load_dataset
from rgbench.errors import DataError
from rgbench.extensions import load_extensions, named_in_environment
from rgbench.queues.hand_on import MOST_JOBS, TRIES, Bundles, Submit, Work, run_queue
from rgbench.runs.execute import Bench, execute
from rgbench.runs.listeners import Several
from rgbench.runs.threads import in_threads
from rgbench.spec import DataSpec, RunSpec
from rgbench.store.files import locked
from rgbench.store.store import RunRecord, Store

LOOK = 5.0
"""Seconds between two looks into the store while no job has ended."""


def _ignore(spec: RunSpec, why: str) -> None:
    """Hear of a run that is handed on again, and do nothing."""


@dataclass(frozen=True)
class Queue:
    """A queue for runs.

    Attributes
    ----------
    submit : callable
        See `rgbench.queues.hand_on.Submit`.
    cores : int
        Threads that a run computes in; its last digits depend on them.
    beside : int
        Other runs that share the GPU of a run.
    most : int
        Runs that are handed on before the first has ended.
    again : callable
        Is told each run that is handed on again, and why.
    """

    submit: Submit
    cores: int = 1
    beside: int = 0
    most: int = MOST_JOBS
    again: Callable[[RunSpec, str], None] = _ignore


@dataclass(frozen=True)
class Place:
    """What a job needs to know beside its run.

    Attributes
    ----------
    store : path
        Where runs are kept.
    folder : path
        That of the command: paths in the study are seen from there.
    checksum : str
        Of the data.
    extensions : tuple of str
        What the study adds to the registries, as `Study.extensions`.
    device : str
        A torch device.
    cores, beside : int
        As in `Queue`.
    data : DataSpec
        The data of the study.
    """

    store: Path
    folder: Path
    checksum: str
    extensions: tuple[str, ...]
    device: str
    cores: int
    beside: int
    data: DataSpec = field(compare=False)


@dataclass(frozen=True)
class Part:
    """A run as a queue hands it on."""

    run_id: str
    spec: RunSpec = field(compare=False)


def compute_run(place: Place, part: Part) -> None:
    """Compute a run in a job of a queue, unless it is in the store; wait for another job that is at it.

    One at a time in a process: dropout draws from the one generator that torch has.

    Raises
    ------
    DataError
        If the data are others where the job runs.
    DeviceError
        If the device is not there.
    StoreError
        If the store cannot be written.
    """
    with chdir(place.folder), in_threads(place.cores):
        execute(part.spec, _bench(place))


@lru_cache(maxsize=1)
def _bench(place: Place) -> Bench:
    """Load what runs of a study share; once in each process."""
    load_extensions((*named_in_environment(), *place.extensions))
    dataset = load_dataset(place.data)
    if dataset.checksum != place.checksum:
        raise DataError(
            f"data {dataset.card.name}: they have the checksum {dataset.checksum[:16]} where the job runs, and "
            f"{place.checksum[:16]} where the command was given"
        )
    return Bench(dataset, Store(place.store), place.device, beside=place.beside)


def run_on_queue(
    runs: Sequence[RunSpec], place: Place, store: Store, queue: Queue, told: Several
) -> dict[str, RunRecord]:
    """Compute runs that are not in the store on a queue; give the records of those that were lost, by run id.

    A lost run is one whose jobs ended without it, again and again. Its record has the status "running", and the
    reason for an error. What it has computed stays, as that of a run that was stopped.

    Parameters
    ----------
    runs : sequence of RunSpec
        Which, in the order in which they are handed on.
    place : Place
        What jobs need to know.
    store : Store
        Where runs are kept.
    queue : Queue
        The queue.
    told : Several
        Who is told how it goes: a run starts when its job does. Nobody is told of its steps and epochs.

    Raises
    ------
    StoreError
        If the store cannot be locked, or the record of a run is damaged.
    """
    with locked(store.root / ".queue-lock"):
        pass  # where locks are not to be had, one learns it here, and not in each job
    watch, parts = _Watch(store, runs, told), [Part(spec.run_id, spec) for spec in runs]
    work = Work(
        partial(compute_run, place),
        watch.missing,
        lambda part: told.run_ends(store.record(part.run_id)),
        lambda part, why: queue.again(part.spec, why),
    )
    lost = run_queue(work, parts, queue.submit, Bundles(size=1, ahead=queue.most, look=LOOK))
    found = {}
    for part, why in lost.items():
        found[part.run_id] = _lost(store, part, f"its job failed {TRIES} times: {why}")
        told.run_ends(found[part.run_id])
    return found


def _lost(store: Store, part: Part, why: str) -> RunRecord:
    """Give the record of a run that was lost."""
    if store.state(part.run_id) is None:
        return RunRecord(part.run_id, part.spec, "running", why)
    return replace(store.record(part.run_id), status="running", error=why)


class _Watch:
    """Looks into the store for runs that have begun or ended since the command was given."""

    def __init__(self, store: Store, runs: Sequence[RunSpec], told: Several) -> None:
        self._store, self._told = store, told
        self._before = {spec.run_id: store.state(spec.run_id) for spec in runs}
        self._begun = set[str]()

    def missing(self, parts: Sequence[Part]) -> list[Part]:
        """Give those that are neither complete, nor have failed since."""
        return [part for part in parts if not self._has_ended(part)]

    def _has_ended(self, part: Part) -> bool:
        state = self._store.state(part.run_id)
        if state is None or (state == self._before[part.run_id] and state.status != "complete"):
            return False
        if part.run_id not in self._begun:
            self._begun.add(part.run_id)
            self._told.run_starts(part.spec)
        return state.status in ("complete", "failed")
