"""A trained network and how it is applied: its preparation of images, its precision, its views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rgbench.errors import DataError
from rgbench.images.augment import view_places, views
from rgbench.images.preprocess import central_crop, usable
from rgbench.networks.modules.build import Network
from rgbench.runs.engines import TORCH, Engine, engine_of
from rgbench.runs.inputs import image_source, prepare
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
    engine : str
        What computes it, one of `rgbench.runs.engines.ENGINES`.
    """

    spec: RunSpec
    outputs: Outputs
    network: Network
    device: str = "cpu"
    engine: str = TORCH

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
        pixels = prepared_images(images, self.spec, prepared)
        hidden = ask((self,), pixels, n_views or self.spec.recipe.views, logits=False).hidden
        if hidden is None:
            raise DataError("embeddings are of images; none is given")
        return hidden

    def framed(self, pixels: NDArray[np.float32]) -> Iterator[Tensor]:
        """Give batches of prepared images as the network takes them."""
        return image_source(pixels, self.spec, self.device).plain(np.arange(len(pixels))).images()

    @property
    def compute(self) -> Engine:
        """What computes one view of a batch of such images."""
        return engine_of(self.engine, self.network, self.spec.recipe.precision)


@dataclass(frozen=True)
class Said:
    """What networks say of images.

    Attributes
    ----------
    logits : list of ndarray of float32, each of shape (n, n_classes)
        Of each network, the mean over the views of its recipe.
    hidden : ndarray of float32, shape (n, d), optional
        What the last layers of the first networks read, side by side, the mean over as many views as were asked for.
    """

    logits: list[NDArray[np.float32]]
    hidden: NDArray[np.float32] | None = None


def ask(
    members: Sequence[Trained],
    pixels: NDArray[np.float32],
    hidden_views: int = 0,
    logits: bool = True,
    deep: int = 1,
) -> Said:
    """Ask several networks that take the same prepared images; each image is framed, and each view made, once.

    Parameters
    ----------
    members : sequence of Trained
        On one device, with one way of making input of images.
    pixels : ndarray of float32, shape (n, h, w)
        Prepared images.
    hidden_views : {0, 1, 2, 4, 8, 16, 24, 48}
        Views over which hidden layers are averaged; 0 leaves them out. Where they are among those that the logits of
        a network need, or the other way round, one pass of it gives both.
    logits : bool
        Whether logits are wanted.
    deep : int
        Of how many networks, from the first, the hidden layer is wanted.

    Returns
    -------
    Said
        In the order of the members.
    """
    counts = [member.spec.recipe.views if logits else 0 for member in members]
    most = max(*counts, hidden_views)
    if any(n and view_places(n, most) is None for n in (*counts, hidden_views)):
        found = [ask((member,), pixels).logits[0] for member in members]
        alone = ask(members, pixels, hidden_views, logits=False, deep=deep) if hidden_views else None
        return Said(found, alone.hidden if alone else None)
    inner = [hidden_views if number < deep else 0 for number in range(len(members))]
    parts = [_ask_batch(members, batch, most, counts, inner) for batch in members[0].framed(pixels)]
    if not parts:
        return Said([np.zeros((0, member.network.n_classes), dtype=np.float32) for member in members])
    hidden = (
        np.concatenate([part.hidden for part in parts if part.hidden is not None]) if hidden_views else None
    )
    if not logits:
        return Said([], hidden)
    return Said([np.concatenate(each) for each in zip(*(part.logits for part in parts), strict=True)], hidden)


def _ask_batch(
    members: Sequence[Trained], batch: Tensor, most: int, counts: Sequence[int], inner: Sequence[int]
) -> Said:
    """Ask networks about one batch: of `most` views each network answers some, and tells what is within it of some."""
    wanted, deep = (
        [frozenset(view_places(n, most) or ()) if n else frozenset() for n in own] for own in (counts, inner)
    )
    engines = [member.compute for member in members]
    seen: list[list[Tensor]] = [[] for _ in members]
    hidden: list[list[Tensor]] = [[] for _ in members]
    with torch.inference_mode():
        for place, view in enumerate(views(batch, most)):
            for number, engine in enumerate(engines):
                if not (place in deep[number] or place in wanted[number]):
                    continue
                found, read = engine(view, place in deep[number])
                if place in wanted[number]:
                    seen[number].append(found)
                if read is not None:
                    hidden[number].append(read)
        totals = [sum(own) / len(own) for own in seen if own]
        means = [torch.stack(own).mean(dim=0) for own in hidden if own]
    return Said(
        [torch.as_tensor(total).cpu().numpy() for total in totals],
        torch.cat(means, dim=1).numpy() if means else None,
    )


def logits_of(members: Sequence[Trained], pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Give the logits of several networks, each of shape (n, n_classes); arguments as of `ask`."""
    return ask(members, pixels).logits


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
