"""Runs chosen from a store: the complete ones, one of each network, those of one data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rgbench.errors import DataError, SpecError
from rgbench.store.named import named
from rgbench.store.record import NO_WEIGHTS
from rgbench.store.store import RunRecord, Store


def complete_runs(store: Store, on_damage: Callable[[str], None] | None = None) -> list[RunRecord]:
    """Give the complete runs of a store.

    `on_damage` is told of runs that cannot be read, as `Store.records` says; without it they are errors.

    Raises
    ------
    DataError
        If there is no complete run.
    """
    complete = [record for record in store.records(on_damage=on_damage) if record.status == "complete"]
    if not complete:
        raise DataError(f"{store.root}: the store holds no complete run; begin with rgbench quickstart")
    return complete


def with_weights(records: Sequence[RunRecord]) -> tuple[list[RunRecord], tuple[str, ...]]:
    """Part the runs that have a network from predictions made elsewhere; of each of these a sentence says so."""
    kept = [record for record in records if not record.elsewhere]
    said = tuple(
        f"Left out: run {named(r.run_id, r.spec)} holds {NO_WEIGHTS}." for r in records if r.elsewhere
    )
    return kept, said


def one_of_each_network(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Give the first run of each network on each data set, by split and seed."""
    found: dict[tuple[str, str], RunRecord] = {}
    for record in sorted(records, key=lambda r: (r.spec.network.name, r.spec.data.split, r.spec.seed)):
        found.setdefault((record.spec.network.name, record.spec.data.checksum), record)
    return list(found.values())


def runs_of_one_set(records: Sequence[RunRecord], name: str = "") -> list[RunRecord]:
    """Give the runs of a data set, by its name or the beginning of its checksum; "" if there is only one.

    Raises
    ------
    SpecError
        If none, or several, answer to the name; the message lists those there are.
    """
    sets = {r.spec.data.checksum: r.spec.data for r in records}
    chosen = [key for key, data in sets.items() if not name or name == data.name or key.startswith(name)]
    if len(chosen) != 1:
        listed = ", ".join(
            f"{key[:8]} ({data.name}{data.test and ' tested on ' + data.test})" for key, data in sets.items()
        )
        raise SpecError(f"data: found {name!r}; one data set is needed of those in the store: {listed}")
    return [record for record in records if record.spec.data.checksum == chosen[0]]
