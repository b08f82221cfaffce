"""What networks of a store cost, measured apart by ``rgbench cost --store``; it takes the place of rates in passing.

A run notes how fast its network answered, between its training and its end, in whatever the machine did besides.
Networks are compared by what was measured alike: so where each of them has been measured apart, at the size of its
images and on one machine, that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from rgbench.errors import SpecError, StoreError, one_line
from rgbench.store.files import check_version, locked, read_json, write_json
from rgbench.store.store import RunRecord
from rgbench.validation import Frozen, Number, Whole, validate

FILE = "costs.json"
VERSION = 1


class KeptCost(Frozen):
    """What answering costs: how it was measured, and rate, latency of one image and memory."""

    mode: str
    device: str
    images_per_second: Number = Field(gt=0)
    batch: Whole = Field(ge=1)
    latency_ms: Number = Field(gt=0)
    latency_p95_ms: Number = Field(gt=0)
    memory_mb: Number = Field(gt=0)
    joules_per_image: Number | None = None

    @property
    def way(self) -> str:
        """How it was measured, in words; rates of one way can be compared."""
        return f"{self.mode} on {self.device}"


class _File(Frozen):
    version: Whole
    costs: dict[str, KeptCost]


def cost_key(label: str, rows: int, columns: int, n_classes: int) -> str:
    """Name what a cost is of.

    Examples
    --------
    >>> cost_key("lenet", 96, 96, 4)
    'lenet, 96 x 96 pixels, 4 classes'
    """
    return f"{label}, {rows} x {columns} pixels, {n_classes} classes"


def keep_costs(root: Path, found: Mapping[str, KeptCost]) -> Path:
    """Write costs by their keys into the folder of a store, in place of those of the same keys; give the file."""
    with locked(root / f".{FILE}.lock"):
        both = read_costs(root) | dict(found)
        write_json(root / FILE, _File(version=VERSION, costs=dict(sorted(both.items()))).model_dump())
    return root / FILE


def read_costs(root: Path) -> dict[str, KeptCost]:
    """Read what `keep_costs` wrote; nothing if there is no such file, `StoreError` if it is damaged or newer."""
    path = root / FILE
    if not path.exists():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise StoreError(f"{path}: is damaged: it holds no costs; without the file they are measured anew")
    check_version(path, content.get("version"), VERSION)
    try:
        return validate(_File, content, str(path)).costs
    except SpecError as error:
        raise StoreError(f"{one_line(error)}; without the file they are measured anew") from error


def key_of(record: RunRecord) -> str:
    """Give the key under which the cost of a trained run's network is kept."""
    size = record.trained.images.size
    rows, columns = (size, size) if isinstance(size, int) else size
    n_classes = 0 if record.outputs is None else len(record.outputs.classes)
    return cost_key(record.spec.network.label, rows, columns, n_classes)


def take_measured(records: Sequence[RunRecord], root: Path) -> list[RunRecord]:
    """Give runs with the rates that were measured apart, if all of their networks have been, alike.

    Parameters
    ----------
    records : sequence of RunRecord
        Runs that are compared.
    root : Path
        Folder of their store.

    Returns
    -------
    list of RunRecord
        With "inference_images_per_second" and "inference_batch_size" of `cost` measured apart, and how in
        "inference_measured". As they were if one network has not been, or they were not measured on one device, in one
        mode and with as many threads.

    Raises
    ------
    StoreError
        If the file of costs is damaged.
    """
    known = read_costs(root)
    own = [known.get(key_of(record)) for record in records if _costs_something(record)]
    if len({None if each is None else each.way for each in own}) != 1 or None in own:
        return list(records)
    return [
        replace(record, cost=record.cost | _rates(known[key_of(record)]))
        if _costs_something(record)
        else record
        for record in records
    ]


def _costs_something(record: RunRecord) -> bool:
    """Tell whether a run has a network that can be measured."""
    return record.status == "complete" and not record.elsewhere


def _rates(known: KeptCost) -> dict[str, object]:
    return {
        "inference_images_per_second": known.images_per_second,
        "inference_batch_size": known.batch,
        "inference_measured": known.way,
    }


def distinct(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Give one complete run of each network, image size and number of classes."""
    found: dict[str, RunRecord] = {}
    for record in records:
        if _costs_something(record):
            found.setdefault(key_of(record), record)
    return list(found.values())
