"""What the networks of a store's runs cost: which there are, how each is measured, and what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rgbench.errors import SpecError
from rgbench.networks.catalogue import networks
from rgbench.runs.cost import Cost, CostSpec
from rgbench.store.costs import KeptCost, cost_key, distinct, keep_costs
from rgbench.store.store import Store


def measurements(store: Store, names: Sequence[str], spec: CostSpec) -> list[tuple[str, CostSpec]]:
    """List how the networks of a store's complete runs are measured: at their own image size and number of classes.

    Parameters
    ----------
    store : Store
        The store.
    names : sequence of str
        Some of its networks; if empty, all.
    spec : CostSpec
        Everything else.

    Returns
    -------
    list of (str, CostSpec)
        A network, by its label, and how it is measured. Networks that take images that are not square, or of several
        channels, cannot be measured and are left out.

    Raises
    ------
    SpecError
        If the store has no such run.
    """
    known = networks()
    wanted = {known.canonical(name) if name in known else name for name in names}
    found, there = list[tuple[str, CostSpec]](), set[str]()
    for record in distinct(store.records(on_damage=lambda words: None)):
        network, size = record.trained.network, record.trained.images.size
        if network.channels != 1 or not isinstance(size, int) or record.outputs is None:
            continue
        there.add(network.name)
        if network.name in wanted or not wanted:
            layers = {network.label: network.layers} if network.layers else {}
            n_classes = len(record.outputs.classes)
            own = replace(spec, image_size=size, n_classes=n_classes, layers=layers)
            found.append((network.label, own))
    if not found or wanted - there:
        lacking = ", ".join(sorted(wanted - there)) or "any network that can be measured"
        raise SpecError(
            f"{store.root}: no complete run of {lacking}; there are {', '.join(sorted(there)) or 'none'}"
        )
    return found


def keep(store: Store, costs: Sequence[Cost]) -> Path:
    """Keep in a store what was measured; give the file."""
    found = {}
    for cost in costs:
        subject, own = cost.subject, _kept(cost)
        if own is not None:
            found[cost_key(subject.name, subject.rows, subject.columns, subject.n_classes)] = own
    return keep_costs(store.root, found)


def _kept(cost: Cost) -> KeptCost | None:
    """Give what a store keeps of a cost; None if nothing was measured."""
    found, best = cost.measured, cost.best
    if found is None or not best.batch:
        return None
    joules = best.joules_per_image
    return KeptCost(
        mode=cost.mode,
        device=found.device,
        images_per_second=best.median,
        batch=best.batch,
        latency_ms=cost.latency(50),
        latency_p95_ms=cost.latency(95),
        memory_mb=found.memory_mb,
        joules_per_image=joules if math.isfinite(joules) else None,
    )
