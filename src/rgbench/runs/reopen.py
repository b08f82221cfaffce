"""A stored run opened again: its split, its network, its images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rgbench.data.catalogue import DataSet
from rgbench.data.split import Split, becker2021, limit_training, published_split
from rgbench.networks.modules.build import Network, build_layers, build_network
from rgbench.networks.notation.notation import parse_layers
from rgbench.runs.inputs import ImageSource, prepare
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord, Store
from rgbench.training.checkpoint import load_weights

TIMING_BATCH = 32
"""Images in the batch on which the inference rate is measured."""


def make_split(spec: RunSpec, dataset: DataSet) -> Split:
    """Split a data set as the spec says; no sky group ever stands on two sides."""
    wanted = spec.data
    if wanted.split == "becker2021":
        split = becker2021(dataset, spec.seed, wanted.train_size, wanted.validation_size)
    else:
        split = published_split(dataset, "published" if wanted.test else wanted.split)
    if wanted.train_limit is None:
        return split
    return limit_training(split, dataset.catalogue.label, wanted.train_limit, spec.seed)


def load_network(record: RunRecord, store: Store, model: str = "best", device: str = "cpu") -> Network:
    """Rebuild the network of a stored run with its weights."""
    classes = record.predictions.classes if record.predictions is not None else ()
    network = make_network(record.spec, len(classes))
    load_weights(store.run_path(record.run_id) / f"{model}.safetensors", network)
    return network.to(device)


def make_network(spec: RunSpec, n_classes: int, generator: torch.Generator | None = None) -> Network:
    """Build a run's network: by its name, or from the layers that it brought."""
    wanted, size = spec.network, spec.images.size
    if not wanted.layers:
        return build_network(wanted.name, size, n_classes, wanted.channels, generator)
    network = build_layers(parse_layers(wanted.layers), size, n_classes, wanted.channels, generator)
    network.name = wanted.name
    return network


def timing_batch(record: RunRecord, dataset: DataSet, device: str) -> Tensor:
    """Give a batch of prepared test images of a run, on the device, to time its network on."""
    index = make_split(record.spec, dataset).indices("test")[:TIMING_BATCH]
    spec, catalogue = record.spec, dataset.catalogue
    pixels = prepare(dataset.images[index], spec)
    source = ImageSource(pixels, catalogue.label[index], spec, torch.device(device))
    return next(source.plain(np.arange(len(index))).images())
