"""Which runs may be compared with which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rgbench.store.store import RunRecord


def group_records(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Part runs into groups that may be compared: same protocol, data, split and images."""
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in records:
        groups.setdefault(tuple(_setting(record).values()), []).append(record)
    return list(groups.values())


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
        "images": str(spec.images),
    }


def _why_not(groups: list[list[RunRecord]]) -> str:
    if not groups:
        return "there is no run to compare"
    first, second = (_setting(group[0]) for group in groups[:2])
    differ = [f"{key} ({first[key]} and {second[key]})" for key in first if first[key] != second[key]]
    return f"runs of {len(groups)} different settings cannot be compared; they differ in {', '.join(differ)}"
