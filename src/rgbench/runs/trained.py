"""A trained network and how it is applied: its preparation of images, its precision, its views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rgbench.errors import DataError
from rgbench.images.preprocess import central_crop, usable
from rgbench.networks.modules.build import Network
from rgbench.runs.embedding import embed
from rgbench.runs.inputs import image_source, prepare
from rgbench.runs.logits import predict_logits
from rgbench.spec import RunSpec
from rgbench.store.tables import Outputs


@dataclass(frozen=True, eq=False)
class Trained:
    """A network with its weights, and the spec that says how images are prepared for it.

    Attributes
    ----------
    spec : RunSpec
        Of the run that trained it.
    outputs : Outputs
        Its classes and output activation.
    network : Network
        On `device`.
    device : str
        A torch device.
    """

    spec: RunSpec
    outputs: Outputs
    network: Network
    device: str = "cpu"

    def logits(self, images: NDArray[np.generic], prepared: bool = False) -> NDArray[np.float32]:
        """Give the outputs before the activation, shape (n, n_classes), as `StoredRun.logits` says.

        Raises
        ------
        DataError
            If an image is smaller than the field of the network, or cannot be used: all blank, for instance.
        """
        return logits_of((self,), prepared_images(images, self.spec, prepared))[0]

    def embeddings(
        self, images: NDArray[np.generic], prepared: bool = False, n_views: int | None = None
    ) -> NDArray[np.float32]:
        """Give what the last layer reads, shape (n, d), the mean over views of each image; arguments as of `logits`.

        `n_views` is the number of views; left out, as many as the recipe has.
        """
        batches = self.framed(prepared_images(images, self.spec, prepared))
        return embed(self.network, batches, n_views or self.spec.recipe.views)

    def framed(self, pixels: NDArray[np.float32]) -> Iterator[Tensor]:
        """Give batches of prepared images as the network takes them."""
        return image_source(pixels, self.spec, self.device).plain(np.arange(len(pixels))).images()

    def answer(self, batches: Iterator[Tensor]) -> NDArray[np.float32]:
        """Give the logits of such batches, shape (n, n_classes)."""
        return predict_logits(self.network, batches, self.spec.recipe.precision, self.spec.recipe.views)


def logits_of(members: Sequence[Trained], pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Give the logits of several networks that take the same prepared images; each image is framed once.

    Parameters
    ----------
    members : sequence of Trained
        On one device, with one way of making input of images.
    pixels : ndarray of float32, shape (n, h, w)
        Prepared images.

    Returns
    -------
    list of ndarray of float32, each of shape (n, n_classes)
        In the order of the members.
    """
    parts = [[m.answer(iter([batch])) for m in members] for batch in members[0].framed(pixels)]
    if not parts:
        return [m.answer(iter([])) for m in members]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def finite(scores: NDArray[Any], whose: str) -> NDArray[Any]:
    """Give outputs back if they are finite; `DataError` names whose they are if not: no class can be told of them."""
    bad = int((~np.isfinite(scores).all(axis=-1)).sum())
    if bad:
        raise DataError(
            f"{whose}: its outputs are not finite for {bad} of {len(scores)} images: its weights are damaged, or it "
            "diverged in training; it classifies nothing"
        )
    return scores


def _as_array(images: Any) -> NDArray[np.generic]:
    """Give images as an array; a list of arrays of one shape will do. What is masked is NaN."""
    if isinstance(images, np.ma.MaskedArray):
        return np.where(
            np.ma.getmaskarray(images), np.float32(np.nan), np.ma.getdata(images).astype(np.float32)
        )
    try:
        return np.asarray(images)
    except ValueError as error:
        raise DataError(f"images are no array (n, rows, columns): {error}") from None


def prepared_images(
    images: NDArray[np.generic], spec: RunSpec, prepared: bool = False
) -> NDArray[np.float32]:
    """Prepare raw images (n, h, w) as those of training were, if they are not `prepared` already.

    Raises
    ------
    DataError
        If an image is smaller than the field of the network, or cannot be used: all blank, for instance.
    """
    field, frame = spec.images.field, spec.data.frame
    images = _as_array(images)
    if images.ndim != 3 or min(images.shape[1:]) < field:
        raise DataError(
            f"images have shape {images.shape}; (n, rows, columns) is legal, with {field} or more rows and "
            "columns, the field that the network was trained on"
        )
    if prepared:
        return np.asarray(images, dtype=np.float32)
    pixels = images if frame is None else central_crop(images, frame)
    for number, image in enumerate(pixels):
        if reason := usable(image):
            raise DataError(f"image {number}: {reason}")
    return prepare(pixels, spec)
