"""From the spec of data to the data: a registered set or one's own folder, tested on itself or another set."""

from __future__ import annotations

from rgbench.data.catalogue import DataSet
from rgbench.data.combine import train_here_test_there
from rgbench.data.own.folder import load_folder
from rgbench.data.own.labels import LabelRule
from rgbench.data.own.plan import FolderOptions
from rgbench.data.own.sources import SourceColumns
from rgbench.data.sets import load_data
from rgbench.images.cutout import CutoutSpec
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


def folder_options(spec: DataSpec) -> FolderOptions:
    """Give how the images of one's own folder are read; `SpecError` or `DataError` says what is wrong."""
    cut = None if spec.cutout is None else CutoutSpec(size_arcsec=spec.cutout, pixel_scale=spec.cutout_scale)
    about = spec.about or FolderOptions.about
    rule = LabelRule(mapping=spec.labels, unlabelled=spec.leave_out)
    return FolderOptions(
        SourceColumns.of(spec.columns), rule, cut, about, spec.plane, spec.beam, spec.image_scale
    )
