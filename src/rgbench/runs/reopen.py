"""A stored run opened again: its data, its split, its images, its network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rgbench.data.catalogue import DataSet, Flag
from rgbench.data.load import load_dataset
from rgbench.data.split import Split
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.networks.modules.build import Network
from rgbench.runs.device import check_device
from rgbench.runs.inputs import ImageSource, image_source, prepare
from rgbench.runs.prepare import make_network, make_split
from rgbench.runs.trained import Trained, finite, prepared_images
from rgbench.store.record import check_own
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import MODELS, Outputs, log_probabilities, read_outputs
from rgbench.training.checkpoint import load_weights
from rgbench.training.loop import keep_dropout

TIMING_BATCH = 32
"""Images in the batch on which the inference rate is measured."""


class StoredRun:
    """A run of a store, opened to be used again; weights and data are read when they are first needed.

    Parameters
    ----------
    run : RunRecord or str
        The run, or the beginning of its id: a complete run, or an imported one.
    store : Store
        The store that holds it.
    model : {"best", "final"}
        Which weights.
    device : str
        A torch device.
    dataset : DataSet, optional
        The data that it was trained on, if they are loaded already.

    Attributes
    ----------
    record, store, model, device
        As given.
    spec : RunSpec
        The resolved spec of the run.
    outputs : Outputs
        Its classes and output activation.

    Raises
    ------
    SpecError
        If no run of the store has such an id, it is not complete, its predictions were made elsewhere so that it has no
        weights, or there is no such model.
    StoreError
        If nothing in the store tells its classes.
    DataError
        If the data are not those of the run.
    DeviceError
        If the device is not there.

    Examples
    --------
    What was trained yesterday looks at new images, an array of shape (n, rows, columns)::

        run = rgbench.StoredRun("3f2a", rgbench.Store("store"))
        run.classes                        # ("Compact", "FRI", "FRII", "Bent")
        run.predict(images)                # probabilities, shape (n, 4)
        run.images(run.side("test"))       # its own test images, prepared
    """

    def __init__(
        self,
        run: RunRecord | str,
        store: Store,
        model: str = "best",
        device: str = "cpu",
        dataset: DataSet | None = None,
    ) -> None:
        check_device(device)
        if model not in MODELS:
            raise SpecError(f"model: found {model!r}; legal are {', '.join(MODELS)}")
        self.record = store.record(store.find(run)) if isinstance(run, str) else run
        self.store, self.model, self.device = store, model, device
        self.spec = self.record.trained
        self.outputs = _outputs(self.record, store)
        self._given = dataset
        if dataset is not None:
            self._check_data(dataset)

    @property
    def run_id(self) -> str:
        """Hash of the spec."""
        return self.record.run_id

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits' columns."""
        return self.outputs.classes

    @property
    def activation(self) -> str:
        """How logits become class probabilities: "softmax" or "sigmoid"."""
        return self.outputs.activation

    @cached_property
    def dataset(self) -> DataSet:
        """The data that it was trained on, loaded as its spec says if they were not given.

        Raises
        ------
        SpecError
            If the run was imported: nobody knows its data.
        DataError
            If they are not to be had, or are no longer those that it was trained on.
        """
        if self._given is not None:
            return self._given
        _check_has_data(self.record)
        dataset = load_dataset(self.spec.data)
        self._check_data(dataset)
        return dataset

    @cached_property
    def split(self) -> Split:
        """The split of its data."""
        return make_split(self.spec, self.dataset)

    def side(self, name: str) -> NDArray[np.int64]:
        """Give the rows of its data that are in "train", "validation" or "test"."""
        return self.split.indices(name)

    def rows(self, source_ids: Sequence[str]) -> NDArray[np.int64]:
        """Give the rows of its data that hold some sources.

        Raises
        ------
        SpecError
            If there is no such source, or none is named.
        DataError
            If a source has no usable image.
        """
        name, catalogue = self.dataset.card.name, self.dataset.catalogue
        place = {source: row for row, source in enumerate(catalogue.source_id.tolist())}
        unknown = [source for source in source_ids if source not in place]
        if unknown or not source_ids:
            raise SpecError(f"{name} has no source {unknown[0]!r}" if unknown else "no source given")
        index = np.array([place[source] for source in source_ids], dtype=np.int64)
        bad = catalogue.source_id[index[(catalogue.flags[index] & Flag.UNUSABLE) != 0]].tolist()
        if bad:
            raise DataError(f"source {bad[0]!r} of {name} has no usable image")
        return index

    def images(self, index: NDArray[np.int64]) -> ImageSource:
        """Prepare the images of rows of its data; those of row ``index[i]`` are number i of the result."""
        pixels = prepare(
            self.dataset.images[index], self.spec, names=self.dataset.catalogue.take(index).places()
        )
        return self.prepared(pixels, self.dataset.catalogue.label[index])

    def prepared(self, pixels: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> ImageSource:
        """Put prepared images (n, h, w), as from `rgbench.runs.inputs.prepare`, on the device for the network."""
        return image_source(pixels, self.spec, self.device, labels)

    def network(
        self, model: str | None = None, dropout: bool = False, channels_last: bool = False
    ) -> Network:
        """Build its network with its weights, on the device; each call builds another.

        Parameters
        ----------
        model : {"best", "final"}, optional
            Which weights; by default those that the run was opened with.
        dropout : bool
            Whether its dropout is as it was trained with, not as the network was published, for those who leave
            it on. Without dropout, in evaluation mode, both are the same.
        channels_last : bool
            Whether its weights lie in memory as in the run's own test. Logits differ by rounding only.

        Raises
        ------
        StoreError
            If the weights cannot be read.
        """
        network = make_network(self.spec, len(self.classes))
        load_weights(self.store.run_path(self.run_id) / f"{model or self.model}.safetensors", network)
        if dropout:
            keep_dropout(network, self.spec.recipe.dropout)
        if channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network.to(self.device)

    @cached_property
    def trained(self) -> Trained:
        """Its network with its weights, and how it is applied; built once."""
        return Trained(self.spec, self.outputs, self.network(), self.device)

    def logits(self, images: NDArray[np.generic], prepared: bool = False) -> NDArray[np.float32]:
        """Apply the network to images as in the run's own test: its preparation, precision and views.

        Parameters
        ----------
        images : ndarray, shape (n, h, w)
            Raw images with the pixel scale of those that it was trained on, row 0 at the south edge. A larger
            one is cut to its centre.
        prepared : bool
            Whether they are prepared already, as `prepare` of `rgbench.runs.inputs` does.

        Returns
        -------
        ndarray of float32, shape (n, n_classes)
            Outputs before the activation.

        Raises
        ------
        DataError
            If an image is smaller than the field of the network, or cannot be used: all blank, for instance.
        """
        pixels = prepared_images(images, self.spec, prepared)  # before the weights are read
        return self.trained.logits(pixels, prepared=True)

    def predict(self, images: NDArray[np.generic], prepared: bool = False) -> NDArray[np.float64]:
        """Give the class probabilities of images, shape (n, n_classes); rows sum to 1. Arguments as in `logits`.

        Raises
        ------
        DataError
            As for `logits`, and if what the network gives is not finite.
        """
        logits = finite(self.logits(images, prepared), f"run {self.run_id}")
        return np.exp(log_probabilities(logits, self.activation))

    def timing_batch(self) -> Tensor:
        """Give a batch of its prepared test images, on the device, to time its network on."""
        index = self.side("test")[:TIMING_BATCH]
        return next(self.images(index).plain(np.arange(len(index))).images())

    def _check_data(self, dataset: DataSet) -> None:
        """Raise unless data are those that the run was trained on."""
        _check_has_data(self.record)
        if dataset.checksum != self.spec.data.checksum:
            raise DataError(
                f"run {self.run_id} was trained on data with checksum {self.spec.data.checksum[:16]}, "
                f"those of {dataset.card.name} have {dataset.checksum[:16]}"
            )


def _outputs(record: RunRecord, store: Store) -> Outputs:
    """Give what a run's outputs mean; raise unless it has a network to open."""
    if record.status not in ("complete", "imported"):
        raise SpecError(
            f"run {record.run_id} is {record.status}; only complete runs can be used, and imported ones"
        )
    if not record.classes:
        path = store.run_path(record.run_id)
        raise StoreError(f"{path}: neither run.json nor predictions.parquet tells the classes of this run")
    outputs = Outputs(record.classes, record.activation)
    table = store.run_path(record.run_id) / "predictions.parquet"
    if table.exists():
        check_own(table, read_outputs(table), outputs)
    return outputs


def _check_has_data(record: RunRecord) -> None:
    if record.status != "complete":
        raise SpecError(
            f"run {record.run_id} is {record.status}, its data are not known; only complete runs can be asked "
            "about their own data"
        )


def open_runs(records: Sequence[RunRecord], store: Store, device: str = "cpu") -> Iterator[StoredRun]:
    """Open runs one by one with their data, which are loaded once for runs in a row that share them.

    Errors are those of `StoredRun`, raised when the run's turn has come.
    """
    loaded: dict[str, DataSet] = {}
    for record in records:
        checksum = record.spec.data.checksum
        run = StoredRun(record, store, device=device, dataset=loaded.get(checksum))
        loaded = {checksum: run.dataset}
        yield run
