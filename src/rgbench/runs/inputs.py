"""From a data set's images to batches on the device, as a run's spec says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rgbench.errors import DataError
from rgbench.images.augment import Transformation, rotate, transform
from rgbench.images.batches import (
    ImageStore,
    KeptBatches,
    sequential_batches,
    shuffled_batches,
    two_source_batches,
)
from rgbench.images.frame import into_frame, into_turned_frame
from rgbench.images.network_input import BEAM_PIXELS, kept_field, kept_pixels
from rgbench.images.noise import ImageError
from rgbench.images.preprocess import central_crop, preprocess_batch
from rgbench.images.reobserve import Views, beam_reach, reobserve, to_common_beam
from rgbench.images.steps import to_peak
from rgbench.images.storage import make_stack, memory_bytes
from rgbench.seeds import derive_seed
from rgbench.spec import RunSpec
from rgbench.training.shortcuts import Shortcuts

EVALUATION_BATCH = 128
KEPT_SHARE = 0.05
"""Share of the memory that rotated batches of one run take at most."""


class ImageSource:
    """Prepared images on the device, and the batches made of them.

    Parameters
    ----------
    pixels : ndarray of float32, shape (n, h, w)
        Prepared images, as from `prepare`.
    labels : ndarray of int, shape (n,)
        Class indices; only those of the sources asked for are read.
    spec : RunSpec
        Sizes, augmentation, batch order and seed are taken from it.
    device : torch.device
        Where the images lie and the batches come out.
    targets : ndarray of float, shape (n, n_classes), optional
        What training batches have for labels: the probability of each class. Left out: the labels.
    """

    def __init__(
        self,
        pixels: NDArray[np.float32],
        labels: NDArray[np.int64],
        spec: RunSpec,
        device: torch.device,
        targets: NDArray[np.float64] | None = None,
    ) -> None:
        self.spec = spec
        self.device = device
        size = spec.images.size
        self.size = (size, size) if isinstance(size, int) else size
        self.field = spec.images.field
        self._store = ImageStore(pixels, np.asarray(labels, dtype=np.int64), device)
        self.labels = torch.tensor(labels, dtype=torch.int64, device=device)
        self.targets = self.labels
        if targets is not None:
            self.targets = torch.tensor(targets, dtype=torch.float32, device=device)

    def plain(self, index: NDArray[np.int64]) -> PlainBatches:
        """Give sequential batches of the images of an index, not augmented."""
        return PlainBatches(self, torch.from_numpy(index))

    def training(self, index: NDArray[np.int64]) -> RandomBatches | RotationBatches:
        """Give augmented training batches of the sources of an index."""
        sources = torch.from_numpy(index)
        if self.spec.augmentation.kind == "rotations":
            fixed = self.spec.recipe.batches == "two-sources"
            return RotationBatches(self, sources, shuffle=True, kept=self._keeping() if fixed else None)
        return RandomBatches(self, sources)

    def validation(self, index: NDArray[np.int64]) -> PlainBatches | RotationBatches:
        """Give validation batches; rotated where the protocol says so."""
        if self.spec.augmentation.kind == "rotations" and self.spec.augmentation.validation:
            return RotationBatches(self, torch.from_numpy(index), shuffle=False, kept=self._keeping())
        return self.plain(index)

    def _keeping(self) -> KeptBatches | None:
        """Give what keeps batches that every epoch has, if that is wanted."""
        if self.device.type != "cpu" or not Shortcuts.chosen().rotations:
            return None
        return KeptBatches(int(KEPT_SHARE * memory_bytes()))

    def rotated(self, index: NDArray[np.int64]) -> RotationBatches:
        """Give sequential batches of every source at every angle."""
        return RotationBatches(self, torch.from_numpy(index), shuffle=False)

    def take(self, index: Tensor) -> Tensor:
        """Give stored images of an index, shape (n, 1, h, w)."""
        return self._store.take(index)

    def expect(self, index: Tensor) -> None:
        """Have stored images of an index read meanwhile: they are taken soon."""
        self._store.expect(index)

    def finish(self, images: Tensor, turn: Tensor | None = None) -> Tensor:
        """Cut the central field, in the standard frame if there is one, and bring it to the network's size.

        Sizes are reached by averaging, or by interpolation where they do not divide the field. `turn` is that of
        `rgbench.images.frame.into_turned_frame`.
        """
        if self.spec.images.frame != "none":
            # However much of an image there is: the same source is found in a cutout and in a large image.
            images = central_field(images, kept_field(self.spec))
            turned = self.spec.images.frame == "sky-axis"
            images = into_turned_frame(images, self.field, turn) if turned else into_frame(images, self.field)
        rows, columns = ((have - self.field) // 2 if have > self.field else 0 for have in images.shape[2:])
        images = images[:, :, rows : rows + self.field, columns : columns + self.field]
        if images.shape[2:] != self.size:
            factors = [have // want for have, want in zip(images.shape[2:], self.size, strict=True)]
            exact = all(f * w == h for f, w, h in zip(factors, self.size, images.shape[2:], strict=True))
            if exact:
                images = F.avg_pool2d(images, factors)
            else:
                images = F.interpolate(
                    images, self.size, mode="bilinear", antialias=True, align_corners=False
                )
        return images.contiguous(memory_format=torch.channels_last)


def image_source(
    pixels: NDArray[np.float32], spec: RunSpec, device: str, labels: NDArray[np.int64] | None = None
) -> ImageSource:
    """Put prepared images (n, h, w), of known classes or not, on a device for a network."""
    own = np.full(len(pixels), -1, dtype=np.int64) if labels is None else labels
    return ImageSource(pixels, own, spec, torch.device(device))


def prepare(
    images: NDArray[Any],
    spec: RunSpec,
    usable: NDArray[np.bool_] | None = None,
    beams: NDArray[np.float64] | None = None,
    names: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """Preprocess images as a spec says, and keep what its augmentation can bring into the field.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images, row 0 at the south edge.
    spec : RunSpec
        Preprocessing preset, field and augmentation are taken from it.
    usable : ndarray of bool, shape (n,), optional
        Images that can be preprocessed; others come out as zeros.
    beams : ndarray of float64, shape (n,), optional
        Widths of their beams, in units of that of the training images; left out, they are 1.
    names : sequence of str, optional
        What an error calls them; left out, it counts them from 0.

    Returns
    -------
    ndarray of float32, shape (n, side, side)
        Prepared images, cut about their centres; in a file where they would fill the memory.

    Raises
    ------
    DataError
        If an image cannot be prepared, by its name, or neither memory nor disk has room for them.
    """
    side, common = kept_side(spec, max(images.shape[1:])), spec.images.beam
    own = np.ones(len(images)) if beams is None else beams
    rows = np.flatnonzero(np.ones(len(images), dtype=bool) if usable is None else usable)
    shape = central_crop(images[:1], side).shape[1:]
    ready = make_stack((len(images), *shape))
    for start in range(0, len(rows), EVALUATION_BATCH):
        chosen = rows[start : start + EVALUATION_BATCH]
        try:
            prepared = central_crop(preprocess_batch(images[chosen], spec.images.preset), side)
        except ImageError as error:
            raise _named(error, int(chosen[error.index]), names) from None
        if start == 0 and prepared.shape[1:] != shape:  # of a preset that cuts or resamples
            ready = make_stack((len(images), *prepared.shape[1:]))
        ready[chosen] = to_common_beam(prepared, common, own[chosen]) if common > 1 else prepared
    return ready


def prepare_field(
    frames: NDArray[np.float32], levels: NDArray[np.float64], spec: RunSpec, beams: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Prepare the fields of images whose clip levels are known: what the preset "sky" gives, where it is seen.

    Parameters
    ----------
    frames : ndarray of float32, shape (n, h, w)
        Raw images; NaN are missing pixels.
    levels : ndarray of float64, shape (n,)
        Sky and three times the noise of each.
    spec : RunSpec
        Of a run with the preset "sky".
    beams : ndarray of float64, shape (n,)
        Widths of their beams, in units of that of the training images.

    Returns
    -------
    ndarray of float32, shape (n, side, side)
        `cut_to_field` of what `prepare` gives, to rounding.
    """
    common, seen = spec.images.beam, central_crop(frames, side_that_counts(spec))
    above = seen - levels.astype(np.float32)[:, None, None]
    flux = to_peak(np.where(above > 0, above, np.float32(0)))
    return cut_to_field(to_common_beam(flux, common, beams) if common > 1 else flux, spec)


def side_that_counts(spec: RunSpec) -> int:
    """Give the side, in pixels, of the central part of a raw image that `prepare_field` makes the field from."""
    return kept_field(spec) + 2 * beam_reach(spec.images.beam)


def _named(error: ImageError, row: int, names: Sequence[str] | None) -> DataError:
    """Give the same error of an image of all that were asked for, by its name if it has one."""
    return ImageError(row, error.reason) if names is None else DataError(f"{names[row]}: {error.reason}")


def cut_to_field(prepared: NDArray[np.float32], spec: RunSpec) -> NDArray[np.float32]:
    """Cut prepared images (n, h, w) to `kept_field`; for the standard frame a smaller one is filled up with 0."""
    side = kept_field(spec)
    cut = central_crop(prepared, side)
    if spec.images.frame == "none" or min(cut.shape[1:]) == side:
        return cut
    before = [(side - have) // 2 for have in cut.shape[1:]]
    width = [(b, side - have - b) for b, have in zip(before, cut.shape[1:], strict=True)]
    return np.pad(cut, ((0, 0), *width))


def central_field(images: Tensor, side: int) -> Tensor:
    """Cut images (n, c, h, w) to a central field of a side; what they do not show of it is 0.

    Examples
    --------
    >>> central_field(torch.ones(1, 1, 3, 4), 4)[0, 0].sum(dim=1)
    tensor([4., 4., 4., 0.])
    """
    rows, columns = (max(have - side, 0) // 2 for have in images.shape[2:])
    cut = images[:, :, rows : rows + side, columns : columns + side]
    lacking = [side - have for have in cut.shape[2:]]
    if not any(lacking):
        return cut
    (top, left) = (lack // 2 for lack in lacking)
    return F.pad(cut, (left, lacking[1] - left, top, lacking[0] - top))


def kept_side(spec: RunSpec, available: int) -> int:
    """Give the side, in pixels, of what is kept of images of a side: `kept_pixels`, if they are so large."""
    return min(available, kept_pixels(spec))


@dataclass(frozen=True)
class PlainBatches:
    """Sequential batches, as they are."""

    source: ImageSource
    index: Tensor

    @property
    def n_images(self) -> int:
        """Give the number of images of an epoch."""
        return len(self.index)

    def __len__(self) -> int:
        return math.ceil(self.n_images / EVALUATION_BATCH)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:  # noqa: ARG002
        """Give (images, labels); every epoch is the same."""
        for part in sequential_batches(len(self.index), EVALUATION_BATCH):
            chosen = self.index[part]
            yield (
                self.source.finish(self.source.take(chosen)),
                self.source.labels[chosen.to(self.source.device)],
            )

    def images(self) -> Iterator[Tensor]:
        """Give the images alone."""
        return (images for images, _ in self.epoch(0))


@dataclass(frozen=True)
class RandomBatches:
    """Shuffled batches of randomly turned, flipped, zoomed and shifted images."""

    source: ImageSource
    index: Tensor

    @property
    def n_images(self) -> int:
        """Give the number of images of an epoch."""
        return len(self.index)

    def __len__(self) -> int:
        return math.ceil(self.n_images / self.source.spec.recipe.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give (images, labels); order and transformations follow from the seed and the epoch."""
        spec, source = self.source.spec, self.source
        order = _generator(spec, "order", epoch)
        chance = _generator(spec, "augmentation", epoch)
        how, parts = spec.augmentation, shuffled_batches(len(self.index), spec.recipe.batch_size, order)
        for part, following in zip_longest(parts, parts[1:]):
            if following is not None:
                source.expect(self.index[following])
            chosen = self.index[part]
            images = source.take(chosen)
            if how.kind == "random":
                drawn = Transformation.draw(len(chosen), how.rotate, how.flip, how.zoom, how.shift, chance)
                images = transform(images, drawn, kept_field(spec))
            if how.reobserves:
                views = Views(how.beam, BEAM_PIXELS * spec.images.beam, how.noise)
                images = reobserve(images, views, chance)
            turn = None
            if spec.images.frame == "sky-axis" and how.rotate:
                turn = (math.pi * torch.rand(len(chosen), generator=chance)).to(images.device)
            yield source.finish(images, turn), source.targets[chosen.to(source.device)]


@dataclass(frozen=True)
class RotationBatches:
    """Every source at every angle; fixed two-source batches or true shuffling, as the recipe says.

    Shuffled ones are for training, so that they have what is trained on for labels.
    """

    source: ImageSource
    index: Tensor
    shuffle: bool
    kept: KeptBatches | None = None

    @property
    def angles(self) -> Tensor:
        """The angles in degrees, counter-clockwise."""
        return torch.arange(0, 360, self.source.spec.augmentation.step, dtype=torch.float32)

    @property
    def n_images(self) -> int:
        """Give the number of images of an epoch: sources times angles."""
        return len(self.index) * len(self.angles)

    def __len__(self) -> int:
        return math.ceil(self.n_images / self.source.spec.recipe.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give (images, labels) of the rotations, in the order of the epoch."""
        source, angles = self.source, self.angles
        labels = source.targets if self.shuffle else source.labels
        for part in self._order(epoch):
            chosen = self.index[part // len(angles)]
            make = partial(self._make, part)
            # Batches are cut once for all, so that the first image tells which it is.
            images = make() if self.kept is None else self.kept.get(int(part[0]), make)
            yield images, labels[chosen.to(source.device)]

    def _make(self, part: Tensor) -> Tensor:
        """Give the images of some places among all rotations of all sources."""
        source, angles = self.source, self.angles
        chosen = self.index[part // len(angles)]
        return source.finish(rotate(source.take(chosen), angles[part % len(angles)].to(source.device)))

    def _order(self, epoch: int) -> Iterator[Tensor]:
        recipe, n = self.source.spec.recipe, self.n_images
        if not self.shuffle:
            return iter(sequential_batches(n, recipe.batch_size))
        generator = _generator(self.source.spec, "order", epoch)
        if recipe.batches == "two-sources":
            return iter(two_source_batches(len(self.index), len(self.angles), recipe.batch_size, generator))
        return iter(shuffled_batches(n, recipe.batch_size, generator))


def _generator(spec: RunSpec, role: str, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(spec.seed, role, epoch=epoch))
