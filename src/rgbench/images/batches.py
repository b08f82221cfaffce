"""Batches: the order of an epoch as index tensors, and a store of images that gives them to the device.

An order is a sequence of index tensors on the CPU, drawn from an explicit generator. A position of an
order that goes through views (such as rotations) is ``source * n_views + view``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rgbench.errors import DataError, SpecError
from rgbench.images.storage import memory_bytes, read_ahead

RESIDENT_SHARE = 0.5
"""Share of the memory that images may take before they are streamed."""


def sequential_batches(n: int, batch_size: int) -> list[Tensor]:
    """Give 0 .. n - 1 in order; the last batch may be smaller.

    Examples
    --------
    >>> [batch.tolist() for batch in sequential_batches(5, 2)]
    [[0, 1], [2, 3], [4]]
    """
    return _cut(torch.arange(n), batch_size)


def shuffled_batches(n: int, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Give 0 .. n - 1, each once, in random order; the last batch may be smaller."""
    return _cut(torch.randperm(n, generator=generator), batch_size)


def two_source_batches(
    n_sources: int, n_views: int, batch_size: int, generator: torch.Generator | None = None
) -> list[Tensor]:
    """Give the fixed consecutive batches of the 2021 protocol, in random order.

    The views of a source follow one another, and batches are cut from that list once for all: with 24
    views and a batch of 32, each holds images of two sources, 24 + 8, 16 + 16 or 8 + 24. Only the order
    of the batches changes from epoch to epoch; the last one, which may be smaller, can come anywhere.

    Parameters
    ----------
    n_sources, n_views : int
        Number of sources, and of views of each.
    batch_size : int
        Images in a batch.
    generator : torch.Generator, optional
        Where the order comes from. Left out: as listed, which is the order of validation.

    Returns
    -------
    list of Tensor of int64
        Positions ``source * n_views + view``.

    Examples
    --------
    >>> batches = two_source_batches(4, 24, 32)
    >>> [torch.bincount(batch // 24).tolist() for batch in batches]
    [[24, 8], [0, 16, 16], [0, 0, 8, 24]]
    """
    fixed = sequential_batches(n_sources * n_views, batch_size)
    if generator is None:
        return fixed
    return [fixed[number] for number in torch.randperm(len(fixed), generator=generator).tolist()]


def fits_in_memory(n_bytes: int, device: torch.device | str = "cpu", share: float = RESIDENT_SHARE) -> bool:
    """Say whether so many bytes may lie on a device for good.

    Parameters
    ----------
    n_bytes : int
        Size of what is to be kept.
    device : torch.device or str
        On CUDA the memory that is free now counts, elsewhere all that the process may have.
    share : float
        Share of that memory that may be taken.

    Returns
    -------
    bool
        Whether it fits.
    """
    on_card = torch.device(device).type == "cuda"
    memory = torch.cuda.mem_get_info(torch.device(device))[0] if on_card else memory_bytes()
    return n_bytes <= share * memory


class ImageStore:
    """Images that lie on the device if they fit, and else are streamed to it batch by batch.

    Parameters
    ----------
    images : ndarray of uint8 or float32, shape (n, h, w)
        Images, a memory map for instance. They keep their type in memory; batches are float32 with the
        same values.
    labels : ndarray of int, shape (n,)
        Class indices.
    device : torch.device or str
        Where batches come out.
    resident : bool, optional
        Whether the images are moved to the device for good. Left out: if they fit, and do not lie in a file.

    Attributes
    ----------
    resident : bool
        Whether the images lie on the device.

    Raises
    ------
    DataError
        If shapes or types are not as above.

    Examples
    --------
    >>> store = ImageStore(np.zeros((3, 8, 8), np.uint8), np.array([0, 1, 2]))
    >>> for images, labels, index in store.batches(sequential_batches(3, 2)):
    ...     print(tuple(images.shape), labels.tolist(), index.tolist())
    (2, 1, 8, 8) [0, 1] [0, 1]
    (1, 1, 8, 8) [2] [2]
    """

    def __init__(
        self,
        images: NDArray[np.uint8] | NDArray[np.float32],
        labels: NDArray[np.int64],
        device: torch.device | str = "cpu",
        resident: bool | None = None,
    ) -> None:
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise DataError(
                f"images of shape {images.shape} with labels of shape {labels.shape}; "
                "(n, h, w) with (n,) is needed"
            )
        if images.dtype not in (np.uint8, np.float32):
            raise DataError(f"images are of type {images.dtype}; uint8 and float32 are legal")
        self.device = torch.device(device)
        if resident is None:
            in_file = isinstance(images, np.memmap) and self.device.type == "cpu"
            resident = not in_file and fits_in_memory(images.nbytes, self.device)
        self.resident = resident
        self._images = images
        self._pixels = torch.tensor(images, device=self.device) if resident else None
        self._labels = torch.tensor(labels, dtype=torch.int64, device=self.device)

    def __len__(self) -> int:
        return len(self._labels)

    def take(self, index: Tensor) -> Tensor:
        """Give images of an index as float32 on the device, shape (len(index), 1, h, w)."""
        if self._pixels is not None:
            chosen = self._pixels[index.to(self.device)]
        else:
            self.expect(index)
            chosen = torch.from_numpy(self._images[index.cpu().numpy()])
            if self.device.type == "cuda":
                chosen = chosen.pin_memory()
            chosen = chosen.to(self.device, non_blocking=True)
        return chosen[:, None].to(torch.float32)

    def expect(self, index: Tensor) -> None:
        """Have images of an index read from the disk meanwhile, if they lie in a file: they are taken soon."""
        if self._pixels is None:
            read_ahead(self._images, index.tolist())

    def batches(
        self, order: Iterable[Tensor], augmentation: Callable[[Tensor], Tensor] | None = None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Give the batches of an order.

        Parameters
        ----------
        order : iterable of Tensor of int64
            The index of each batch.
        augmentation : callable, optional
            Applied on the device to each batch of images.

        Yields
        ------
        (images, labels, index) : tuple of Tensor
            Images (b, 1, h, w) float32 and labels (b,) on the device, index (b,) as given.
        """
        for index in order:
            images = self.take(index)
            yield (
                images if augmentation is None else augmentation(images),
                self._labels[index.to(self.device)],
                index,
            )


class KeptBatches:
    """Batches that are the same every time, of which what is not 0 is kept: bit for bit what was made once.

    Parameters
    ----------
    most : int
        Bytes that are kept at most; batches that do not fit are made anew.

    Notes
    -----
    Images that were clipped at three times the noise are 0 in more than 99 of 100 pixels, so that a batch of 32 of
    300 x 300 pixels takes 0.2 MB in place of 11.5.

    Examples
    --------
    >>> kept, made = KeptBatches(10**6), []
    >>> def make():
    ...     made.append(1)
    ...     return torch.eye(20)
    >>> torch.equal(kept.get(0, make), kept.get(0, make)), len(made)
    (True, 1)
    """

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._batches: dict[int, _Sparse] = {}

    def get(self, number: int, make: Callable[[], Tensor]) -> Tensor:
        """Give the batch of a number; `make` makes it where it is not kept."""
        if number in self._batches:
            return self._batches[number].batch()
        made = make()
        sparse = _Sparse.of(made)
        if sparse is not None and self._bytes + sparse.n_bytes <= self._most:
            self._batches[number] = sparse
            self._bytes += sparse.n_bytes
        return made


@dataclass(frozen=True)
class _Sparse:
    """Places and values of what is not 0 in a tensor, and how it lies in memory."""

    size: torch.Size
    stride: tuple[int, ...]
    places: Tensor
    values: Tensor

    @classmethod
    def of(cls, dense: Tensor) -> _Sparse | None:
        """Take a tensor of float32 apart; None if it has gaps in memory, or less than nine zeros of ten numbers."""
        if not dense.is_contiguous() or dense.dtype != torch.float32:
            return None
        flat = dense.view(-1)
        places = flat.view(torch.int32).nonzero().squeeze(1)  # of the bits: -0 is not 0
        if len(places) > len(flat) // 10:
            return None
        return cls(dense.size(), dense.stride(), places.to(torch.int32), flat[places])

    @property
    def n_bytes(self) -> int:
        """What it takes."""
        return self.places.nbytes + self.values.nbytes

    def batch(self) -> Tensor:
        """Give the tensor."""
        flat = torch.zeros(self.size.numel())
        flat[self.places.long()] = self.values
        # One channel has two descriptions of one order, and a convolution may compute otherwise with the other.
        return flat.as_strided(self.size, self.stride)


def _cut(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an order into batches; the last may be smaller."""
    if batch_size < 1:
        raise SpecError(f"recipe.batch_size: {batch_size} was given; 1 or more is needed")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
