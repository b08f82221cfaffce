"""A run made ready from its spec: its split, what it is trained on, and its network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from rgbench.data.catalogue import DataSet
from rgbench.data.consensus import training_targets
from rgbench.data.load import split_dataset
from rgbench.data.split import Split
from rgbench.networks.modules.build import Network, build_layers, build_network
from rgbench.networks.notation.notation import parse_layers
from rgbench.spec import RunSpec


def make_split(spec: RunSpec, dataset: DataSet) -> Split:
    """Split a data set as the spec says; no sky group ever stands on two sides."""
    return split_dataset(spec.data, dataset, spec.seed, spec.images.field)


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
