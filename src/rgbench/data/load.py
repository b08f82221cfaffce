"""From the spec of data to the data and their split: a set or one's own folder, tested on itself or another set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rgbench.data.catalogue import DataSet, Flag
from rgbench.data.combine import train_here_test_there
from rgbench.data.own.folder import load_folder
from rgbench.data.own.labels import LabelRule
from rgbench.data.own.plan import FolderOptions
from rgbench.data.own.sources import SourceColumns
from rgbench.data.sets import load_data
from rgbench.data.split import Split, becker2021, limit_training, published_split
from rgbench.images.cutout import CutoutSpec
from rgbench.images.domain import Oddity, blanked
from rgbench.images.geometry import central_crop
from rgbench.spec import DataSpec


def load_dataset(spec: DataSpec, image_size: tuple[int, int] | None = None) -> DataSet:
    """Load the data that a spec names: a registered set or one's own folder, tested on itself or another set."""
    if spec.path is None:
        dataset = load_data(spec.name)
    else:
        dataset = load_folder(spec.path, spec.manifest, spec.class_labels, image_size, folder_options(spec))
    if not spec.test:
        return dataset
    return train_here_test_there(dataset, load_data(spec.test), spec.split, spec.test_sources, spec.shared)


def split_dataset(spec: DataSpec, dataset: DataSet, seed: int, field: int | None = None) -> Split:
    """Split a data set as a spec says; no sky group ever stands on two sides.

    Parameters
    ----------
    spec : DataSpec
        The split, its sizes, and the limit of training sources.
    dataset : DataSet
        The data.
    seed : int
        Seed of what is left to chance: the split of 2021, and which training sources a limit keeps.
    field : int, optional
        Side in pixels of what a network sees of an image: sources are left out of whose field too much is missing. By
        default the whole image.

    Raises
    ------
    SpecError
        If the data set has no such split, or fewer training sources than the limit.
    DataError
        If a side of the split of 2021 has no source.
    """
    if spec.split == "becker2021":
        split = becker2021(dataset, seed, spec.train_size, spec.validation_size)
    else:
        split = published_split(dataset, "published" if spec.test else spec.split)
    split = _without_blanked(split, dataset, field or max(dataset.images.shape[1:]))
    if spec.train_limit is None:
        return split
    return limit_training(split, dataset.catalogue.label, spec.train_limit, seed)


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


def folder_options(spec: DataSpec) -> FolderOptions:
    """Give how the images of one's own folder are read; `SpecError` or `DataError` says what is wrong."""
    cut = None if spec.cutout is None else CutoutSpec(size_arcsec=spec.cutout, pixel_scale=spec.cutout_scale)
    about = spec.about or FolderOptions.about
    rule = LabelRule(mapping=spec.labels, unlabelled=spec.leave_out)
    return FolderOptions(
        SourceColumns.of(spec.columns), rule, cut, about, spec.plane, spec.beam, spec.image_scale
    )
