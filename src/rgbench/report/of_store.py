"""The report of a store: runs grouped, what lies beside them gathered, files named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rgbench.comparison.groups import families
from rgbench.comparison.shared_sources import set_names
from rgbench.comparison.summary import Comparison, compare
from rgbench.data.catalogue import DataSet
from rgbench.data.load import load_dataset
from rgbench.errors import DataError, SpecError
from rgbench.report.blocks import file_name
from rgbench.report.material import Beside
from rgbench.store.attributions import read_looks
from rgbench.store.conditions import read_conditions
from rgbench.store.store import RunRecord, Store, read_doubt
from rgbench.store.tables import MODELS


def _beside(
    records: list[RunRecord],
    smaller: list[RunRecord],
    store: Store,
    dataset: DataSet | None,
    elsewhere: Mapping[str, Comparison] | None = None,
) -> Beside:
    """Gather what stands beside runs."""
    found = {record.run_id: read_conditions(store, record.run_id) for record in records}
    conditions = {key: table for key, table in found.items() if table is not None}
    doubt = {record.run_id: read_doubt(store, record.run_id) for record in records}
    # The report asks the model that leads it; the rows of the other would only take memory.
    led = {
        key: table.select(None, MODELS[0], None, None) for key, table in doubt.items() if table is not None
    }
    seen = {record.run_id: read_looks(store, record.run_id) for record in records}
    looks = {key: each for key, each in seen.items() if each is not None}
    return Beside(tuple(smaller), conditions, dataset, elsewhere or {}, led, looks)


def _comparisons(records: list[RunRecord]) -> dict[str, Comparison]:
    return {model: compare(records, model=model) for model in MODELS}


def _groups(records: Sequence[RunRecord]) -> dict[str, tuple[list[RunRecord], list[RunRecord]]]:
    """Part runs into those that may be compared, by names that tell them apart; most runs first."""
    found = sorted(families(records), key=lambda group: (-len(group[0]), group[0][0].spec.data.name))
    names = set_names([lead[0].spec for lead, _ in found])
    return dict(zip(names, found, strict=True))


def _paths(path: Path, names: Sequence[str]) -> list[Path]:
    """Give each group its file: the first that of the path, the others with the group's name in it."""
    found = [path]
    for number, name in enumerate(names[1:], start=2):
        own = path.with_name(f"{path.stem}-{file_name(name)}{path.suffix}")
        found.append(own if own not in found else path.with_name(f"{own.stem}-{number}{path.suffix}"))
    return found


def _images(dataset: DataSet | None) -> Callable[[str], Any] | None:
    if dataset is None:
        return None
    place = {name: i for i, name in enumerate(dataset.catalogue.source_id.tolist())}
    return lambda source_id: dataset.images[place[source_id]] if source_id in place else None


def _stored_data(records: list[RunRecord], console: Console) -> DataSet | None:
    """Load the data of runs; None, said aloud, if they cannot be had: what is compared stands in the store."""
    data = records[0].spec.data
    try:
        if data.path is not None and not Path(data.path).exists():
            raise DataError(f"{data.path} is no longer there")
        return load_dataset(data)
    except (DataError, SpecError) as error:
        text = f"The report on {data.name} has no images and no properties of sources: {error}"
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
        return None
