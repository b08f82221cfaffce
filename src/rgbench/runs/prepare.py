"""A run made ready from its spec: its split, what it is trained on, and its network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from rgbench.data.catalogue import DataSet, Flag
from rgbench.data.consensus import training_targets
from rgbench.data.split import Split, becker2021, limit_training, published_split
from rgbench.images.domain import Oddity, blanked
from rgbench.images.geometry import central_crop
from rgbench.networks.modules.build import Network, build_layers, build_network
from rgbench.networks.notation.notation import parse_layers
from rgbench.spec import RunSpec


def make_split(spec: RunSpec, dataset: DataSet) -> Split:
    """Split a data set as the spec says; no sky group ever stands on two sides."""
    wanted = spec.data
    if wanted.split == "becker2021":
        split = becker2021(dataset, spec.seed, wanted.train_size, wanted.validation_size)
    else:
        split = published_split(dataset, "published" if wanted.test else wanted.split)
    split = _without_blanked(split, dataset, spec.images.field)
    if wanted.train_limit is None:
        return split
    return limit_training(split, dataset.catalogue.label, wanted.train_limit, spec.seed)


def _without_blanked(split: Split, dataset: DataSet, field: int) -> Split:
    """Take out the sources of whose field, which is all that a network sees, too much is missing."""
    assignment, removed = split.assignment.copy(), list(split.removed)
    for row in np.flatnonzero((assignment != "") & ((dataset.catalogue.flags & Flag.BLANKED) != 0)):
        if blanked(central_crop(dataset.images[row][None], field)[0]) & Oddity.BLANKED:
            name = str(dataset.catalogue.source_id[row])
            removed.append(
                (name, f"too much of the field of {field} pixels of its {assignment[row]} image is blanked")
            )
            assignment[row] = ""
    return replace(split, assignment=assignment, removed=tuple(removed))


def make_targets(spec: RunSpec, dataset: DataSet, split: Split) -> NDArray[np.float64] | None:
    """Give the probabilities that a run is trained on, for all sources; None where it is trained on their labels."""
    if spec.recipe.labels == "published":
        return None
    return training_targets(dataset, split.indices("train"))


def make_network(spec: RunSpec, n_classes: int, generator: torch.Generator | None = None) -> Network:
    """Build a run's network: by its name, or from the layers that it brought."""
    wanted, size = spec.network, spec.images.size
    if not wanted.layers:
        return build_network(wanted.name, size, n_classes, wanted.channels, generator)
    network = build_layers(parse_layers(wanted.layers), size, n_classes, wanted.channels, generator)
    network.name = wanted.name
    return network
