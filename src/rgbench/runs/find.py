"""Which stored runs a user means: one by its id, or all seeds of a network by its name. It loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rgbench.errors import DataError, SpecError, StoreError
from rgbench.networks import networks
from rgbench.spec import OWN_KEYS, AnySpec, ScoredSpec
from rgbench.store.named import SHORT, named
from rgbench.store.store import RunRecord, Store

OnDamage = Callable[[str], None]
MOST_CHOICES = 4
"""Settings that an error lists."""
_TELLING = (
    "protocol",
    "data.name",
    "data.split",
    "data.train_limit",
    "recipe.epochs",
    "recipe.learning_rate",
)
"""Keys of a spec that tell settings apart to a reader, the first ones best."""
_UNTOLD = {"seed", "data.path", *(f"data.{key}" for key in OWN_KEYS)}
"""Keys that do not tell settings apart: where one's own data lie does not enter the id."""


def find_runs(
    store: Store, wanted: str, folds: bool = False, on_damage: OnDamage | None = None
) -> list[RunRecord]:
    """Give the runs that a user names.

    Parameters
    ----------
    store : Store
        The store.
    wanted : str
        The id of a run, or its beginning, if only one begins so; else the name of a network, or an alias: all complete
        runs of it, which must differ in their seeds only. Several of these may stand there, with commas between them.
    folds : bool
        Whether runs on different published folds count as seeds do.
    on_damage : callable, optional
        Told, in a sentence, of each run that may be meant and is left out, as one of its files cannot be read.
        Without it, it is an error.

    Returns
    -------
    list of RunRecord
        A run that is named by its id has any status. Of a network without a complete run it is those that were
        imported.

    Raises
    ------
    SpecError
        If nothing has such a name, or runs of the network differ in more than their seeds: the message lists the
        choices, as they may be given.
    DataError
        If no run of the network is complete.
    StoreError
        If a run cannot be read, and nobody is told of it.
    """
    begun = [run_id for run_id in store.run_ids() if run_id.startswith(wanted)]
    if len(begun) == 1:
        return [store.record(begun[0])]
    if runs := _of_network(store, wanted, on_damage):
        return _whole(store, _of_one_setting(_usable(runs, wanted), wanted, folds), on_damage)
    parts = [part for part in map(str.strip, wanted.split(",")) if part]
    if len(parts) > 1:
        found = [record for part in parts for record in find_runs(store, part, folds, on_damage)]
        return list({record.run_id: record for record in found}.values())
    if begun:
        store.find(wanted)  # it says that there are several
    raise SpecError(
        f"{store.root}: no run begins with {wanted!r}, and no network there is called so; the store holds "
        f"{store.held()}"
    )


def is_called(network: str, wanted: str) -> bool:
    """Tell whether a network has a name, or an alias of that name; capitals do not count.

    Examples
    --------
    >>> is_called("convxpress", "convXpress"), is_called("vgg16-d", "vgg16_d_real"), is_called("lenet", "alexnet")
    (True, True, False)
    """
    low = wanted.lower()
    return network.lower() == low or low in (alias.lower() for alias in networks().aliases(network))


def _of_network(store: Store, wanted: str, on_damage: OnDamage | None) -> list[RunRecord]:
    """Give the runs of a network whose specs can be read, sorted by seed."""

    def tell(run_id: str, error: Exception) -> None:
        if on_damage is None:
            raise error
        on_damage(store.left_out(run_id, error))

    found = list(store.readable(tell))
    called = {name: is_called(name, wanted) for name in {record.spec.network.name for record in found}}
    found = [record for record in found if called[record.spec.network.name]]
    return sorted(found, key=lambda record: (record.spec.seed, record.run_id))


def _usable(runs: Sequence[RunRecord], wanted: str) -> list[RunRecord]:
    """Give the complete ones, or else those that were imported."""
    for status in ("complete", "imported"):
        if chosen := [record for record in runs if record.status == status]:
            return chosen
    said = ", ".join(
        f"{named(record.run_id, record.spec)} is {record.status}" for record in runs[:MOST_CHOICES]
    )
    raise DataError(f"{wanted}: no run of it is complete: {said}{', ...' * (len(runs) > MOST_CHOICES)}")


def _of_one_setting(runs: Sequence[RunRecord], wanted: str, folds: bool) -> list[RunRecord]:
    """Give runs back that differ in their seeds only; raise `SpecError` with the choices if they differ in more."""
    lots: dict[str, list[RunRecord]] = {}
    for record in runs:
        lots.setdefault(_setting(record.spec, folds), []).append(record)
    if len(lots) == 1:
        return list(runs)
    flat = [_flat(lot[0].spec.settings()) for lot in lots.values()]
    keys = _telling(flat)
    choices = [
        f"{', '.join(f'{key} {_short(own.get(key))}' for key in keys)} ({_seeds(lot)}): "
        f"--run {','.join(record.run_id[:SHORT] for record in lot)}"
        for own, lot in list(zip(flat, lots.values(), strict=True))[:MOST_CHOICES]
    ]
    more = len(lots) - len(choices)
    choices += [f"and {more} more: rgbench runs --network {wanted}"] * (more > 0)
    raise SpecError(
        f"--run {wanted}: its runs have {len(lots)} settings, which differ in {', '.join(keys)}; choose one: "
        f"{'; '.join(choices)}"
    )


def _setting(spec: AnySpec, folds: bool) -> str:
    """Give the id that runs share which differ in their seeds only."""
    data = spec.data
    if folds and data.split.startswith("fold-"):
        data = data.model_copy(update={"split": "folds"})
    same: dict[str, Any] = {"seed": 0, "data": data}
    if isinstance(spec, ScoredSpec):
        same["elsewhere"] = spec.elsewhere.model_copy(update={"table": ""})
    return spec.model_copy(update=same).run_id


def _flat(content: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    """Give a nested table as one, with the names of its keys joined by dots."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _flat(value, f"{head}{key}.") if isinstance(value, dict) else {f"{head}{key}": value}
    return found


def _telling(flat: Sequence[dict[str, Any]]) -> list[str]:
    """Give as few keys as tell all settings apart."""
    known = {key for own in flat for key in own} - _UNTOLD
    chosen: list[str] = []
    parts = 1
    for key in sorted(known, key=lambda each: (each not in _TELLING, _place(each), each)):
        apart = len({repr([own.get(name) for name in (*chosen, key)]) for own in flat})
        if apart > parts:
            chosen, parts = [*chosen, key], apart
    return chosen


def _place(key: str) -> int:
    return _TELLING.index(key) if key in _TELLING else 0


def _short(value: object) -> str:
    """Write a value; of a checksum, its first digits."""
    text = str(value)
    return text[:SHORT] if len(text) == 64 else text


def _seeds(lot: Sequence[RunRecord]) -> str:
    seeds = sorted({record.spec.seed for record in lot})
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _whole(store: Store, runs: Sequence[RunRecord], on_damage: OnDamage | None) -> list[RunRecord]:
    """Give the runs whose tables can be read too."""
    whole = store.records([record.run_id for record in runs], on_damage)
    if not whole:
        raise StoreError(f"{store.root}: none of these runs can be read")
    return whole
