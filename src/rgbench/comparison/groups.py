"""Which runs may be compared with which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rgbench.errors import SpecError
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord


def group_records(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Part runs into groups that may be compared: same protocol, data, split and images.

    Predictions that were made elsewhere have no protocol and no images of their own. They are compared with every
    group that was tested on their data and split, and stand at its end; where there is none they are a group.

    Raises
    ------
    SpecError
        If runs of one name were partly trained here and partly made elsewhere.
    """
    _check_names(records)
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    alone: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in records:
        lot = alone if record.elsewhere else groups
        lot.setdefault(tuple(_setting(record).values()), []).append(record)
    found = list(groups.values())
    for scored in alone.values():
        hosts = [group for group in groups.values() if _tested_as(group[0]) == _tested_as(scored[0])]
        for group in hosts:
            group += scored
        found += [] if hosts else [scored]
    return found


def _check_names(records: Sequence[RunRecord]) -> None:
    """Raise `SpecError` if one name stands for networks of two kinds, which would be taken for seeds of one."""
    kinds: dict[str, bool] = {}
    for record in records:
        name = record.spec.network.name
        if kinds.setdefault(name, record.elsewhere) != record.elsewhere:
            raise SpecError(
                f"{name}: some of its runs were trained here, others are predictions made elsewhere; score those under "
                "another name, and delete the folders of the runs that have this one"
            )


def _tested_as(record: RunRecord) -> tuple[str, ...]:
    """Give what predictions made elsewhere have in common with runs that they are compared with."""
    setting = _setting(record)
    return setting["data"], setting["split"]


def comparable_groups(records: Sequence[RunRecord]) -> list[tuple[list[RunRecord], list[RunRecord]]]:
    """Part runs into groups to report: the comparable ones on most training sources, and those on fewer."""
    found: dict[tuple[str, ...], list[list[RunRecord]]] = {}
    for group in group_records(records):
        found.setdefault(tuple(_setting(group[0], limited=False).values()), []).append(group)
    parts = []
    for groups in found.values():
        groups.sort(key=lambda group: -(group[0].spec.data.train_limit or np.inf))
        parts.append((groups[0], [record for group in groups[1:] for record in group]))
    return parts


def _setting(record: RunRecord, limited: bool = True) -> dict[str, str]:
    spec = record.spec
    # Folds share their test sources: they are repetitions, as seeds are.
    split = "folds" if spec.data.split.startswith("fold-") else spec.data.split
    limit = f", {spec.data.train_limit} for training" if limited and spec.data.train_limit else ""
    return {
        "protocol": spec.protocol,
        "data": f"{spec.data.name}{spec.data.test and ' tested on ' + spec.data.test} {spec.data.checksum[:8]}",
        "split": f"{split} {spec.data.train_size}/{spec.data.validation_size}{limit}",
        "images": str(spec.images) if isinstance(spec, RunSpec) else "not known",
    }


def _why_not(groups: list[list[RunRecord]]) -> str:
    if not groups:
        return "there is no run to compare"
    first, second = (_setting(group[0]) for group in groups[:2])
    differ = [f"{key} ({first[key]} and {second[key]})" for key in first if first[key] != second[key]]
    return f"runs of {len(groups)} different settings cannot be compared; they differ in {', '.join(differ)}"
