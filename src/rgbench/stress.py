"""Stress tests: a stored run's network on disturbed images of its own test sources.

Noise, a coarser beam, a shifted centre and coarser pixels are done to the raw images, before they are prepared,
as a telescope would. Rotations are done to the prepared ones, as in the 2021 protocol: a turned raw image has
empty corners and smoother noise, from which the preparation would take its statistics. They are not written
over the run's predictions but to a table of their own beside it, ``conditions.parquet``.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from torch import Tensor

from rgbench.comparison.robustness import CONDITIONS_FILE, Condition, read_conditions
from rgbench.data.catalogue import Card, DataSet
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.images.augment import rotate_stack
from rgbench.images.batches import sequential_batches
from rgbench.images.noise import mad_noise
from rgbench.networks.build import Network
from rgbench.predict import predict_logits
from rgbench.run import check_device, load_network, make_split
from rgbench.seeds import numpy_generator
from rgbench.spec import AugmentationSpec, RunSpec
from rgbench.store import RunRecord, Store
from rgbench.tables import MODELS, Predictions, concatenate, write_predictions
from rgbench.training.source import EVALUATION_BATCH, ImageSource, prepare

SEED = 0
"""All runs are tested on the same noise and shifts, whatever their own seeds: they can be paired."""
PEAK_SHARE = 0.01
"""Unit of added noise, as a share of the peak, for images whose own noise has been clipped away."""
CLIP = 3.0
"""Such images are clipped again at so many times the noise that was added, as they were before."""
CHUNK = 128
"""Raw images that are disturbed together; bounds the memory."""
FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))

Pixels = NDArray[np.floating[Any]]


def _conditions(family: str, *strengths: float) -> tuple[Condition, ...]:
    return tuple(Condition(family, strength) for strength in strengths)


CONDITIONS: tuple[Condition, ...] = (
    *_conditions("rotation", *range(0, 360, 15)),
    *_conditions("noise", 0.5, 1, 2, 4),
    *_conditions("beam", 1.25, 1.5, 2, 3),
    *_conditions("shift", 2, 4, 8, 16),
    *_conditions("resolution", 2, 3, 4),
)
"""What is tested unless one asks for something else."""


def add_noise(
    images: NDArray[Any],
    strength: float,
    generators: Sequence[np.random.Generator],
    beam_pixels: float = float("nan"),
) -> Pixels:
    """Add Gaussian noise, correlated over the beam where that is known.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images in any unit; NaN stay.
    strength : float
        Standard deviation in units of each image's own noise (`rgbench.images.noise.mad_noise`); an image
        with noise s then has s * sqrt(1 + strength^2). An image more than half of whose pixels are equal,
        such as one of 8 bits that was clipped, shows no noise: the unit is 1 % of its peak, and what then
        lies below 3 times the added noise is set to the background, as the clipping would have done.
    generators : sequence of numpy.random.Generator
        One per image.
    beam_pixels : float
        Full width at half maximum of the beam in pixels; NaN for noise independent in each pixel.

    Returns
    -------
    ndarray, shape (n, h, w)
        float32, or float64 if the images are; values of 8-bit images are not rounded.

    Examples
    --------
    >>> sky = np.random.default_rng(1).normal(0, 2.0, (1, 200, 200))
    >>> noisy = add_noise(sky, 1.0, [np.random.default_rng(2)])
    >>> round(float(noisy.std() / sky.std()), 1)  # the square root of 2
    1.4
    """
    images = _floating(images)
    if strength == 0 or len(images) == 0:
        return images
    middle = np.nanmedian(images, axis=(1, 2), keepdims=True)
    own = mad_noise(images).reshape(-1, 1, 1)
    clipped = ~(own > 0)
    peak = np.nanmax(images, axis=(1, 2), keepdims=True) - middle
    level = (strength * np.where(clipped, PEAK_SHARE * peak, own)).astype(images.dtype)
    noise = np.stack([_unit_noise(each, images.shape[1:], beam_pixels) for each in generators])
    noisy = images + level * noise.astype(images.dtype)
    return np.where(clipped & (noisy - middle <= CLIP * level), middle, noisy)


def coarser_beam(images: NDArray[Any], kernel_pixels: float) -> Pixels:
    """Convolve images with a Gaussian.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images. NaN stay, and count as the image's median for their neighbours.
    kernel_pixels : float
        Full width at half maximum of the Gaussian in pixels, as from `beam_kernel`.

    Returns
    -------
    ndarray, shape (n, h, w)
        Smoothed images. The sum of the pixels stays, so brightness still counts per old beam: a factor that
        min-max scaling does not see. The noise of the sky is smoothed with the sources.
    """
    sigma = kernel_pixels * FWHM_TO_SIGMA
    if sigma == 0:
        return _floating(images)
    # "reflect" hands back at an edge what leaves there, which keeps the sum.
    return _despite_nan(images, lambda stack: gaussian_filter(stack, (0, sigma, sigma), mode="reflect"))


def beam_kernel(card: Card, factor: float) -> float:
    """Give the kernel that makes a survey's beam wider by a factor, as its FWHM in pixels.

    Gaussian beams add in quadrature: sqrt(factor^2 - 1) times the beam.

    Raises
    ------
    SpecError
        If the card does not tell beam and pixel scale.

    Examples
    --------
    >>> round(beam_kernel(Card("first", "", pixel_scale=1.8, beam=5.4), 5 / 4), 3)
    2.25
    """
    reason = missing(Condition("beam", factor), card)
    if reason:
        raise SpecError(reason)
    return float(np.sqrt(factor**2 - 1) * card.beam / card.pixel_scale)


def shift_centre(images: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pixels:
    """Move each image by whole pixels.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images.
    rows, columns : ndarray of int64, shape (n,)
        How far the source moves towards the last row and column; negative the other way.

    Returns
    -------
    ndarray, shape (n, h, w)
        Moved images; what comes in at an edge has the median of the image, its sky.

    Examples
    --------
    >>> shift_centre(np.array([[[0, 0, 0], [0, 5, 0]]]), np.array([-1]), np.array([1])).tolist()
    [[[0.0, 0.0, 5.0], [0.0, 0.0, 0.0]]]
    """
    images = _floating(images)
    moved = np.empty_like(images)
    for image, target, down, right in zip(images, moved, rows.tolist(), columns.tolist(), strict=True):
        target[:] = np.nanmedian(image) if down or right else 0
        (to_y, from_y), (to_x, from_x) = (
            (slice(max(by, 0), max(side + min(by, 0), 0)), slice(max(-by, 0), max(side - max(by, 0), 0)))
            for by, side in zip((down, right), image.shape, strict=True)
        )
        target[to_y, to_x] = image[from_y, from_x]
    return moved


def coarser_pixels(images: NDArray[Any], factor: int) -> Pixels:
    """Average blocks of pixels and give each pixel the mean of its block: the same size, less resolution.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images. NaN stay, and count as the image's median for their block.
    factor : int
        Side of the blocks. Where it does not divide a side, the image is continued by its edge pixels.

    Returns
    -------
    ndarray, shape (n, h, w)
        Images of the same sum, to rounding, where the factor divides the sides.

    Examples
    --------
    >>> coarser_pixels(np.array([[[0, 4, 1, 1], [0, 0, 1, 1]]]), 2).tolist()
    [[[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]]
    """
    if factor == 1:
        return _floating(images)

    def average(stack: Pixels) -> Pixels:
        rows, columns = stack.shape[1:]
        pads = [
            (0, 0),
            *((-side % factor // 2, -side % factor - -side % factor // 2) for side in (rows, columns)),
        ]
        wide = np.pad(stack, pads, mode="edge")
        blocks = wide.reshape(len(wide), wide.shape[1] // factor, factor, wide.shape[2] // factor, factor)
        same = np.broadcast_to(blocks.mean(axis=(2, 4), keepdims=True), blocks.shape).reshape(wide.shape)
        top, left = pads[1][0], pads[2][0]
        return same[:, top : top + rows, left : left + columns]

    return _despite_nan(images, average)


def disturb(images: NDArray[Any], names: Sequence[str], condition: Condition, card: Card) -> Pixels:
    """Do to raw images what a condition says; chance depends on the family and the source's name alone.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images.
    names : sequence of str
        Sources. The noise of a source is the same at every strength but for its level, and so is the
        direction, one of four, in which it is shifted.
    condition : Condition
        Of any family but "rotation", which is done to prepared images.
    card : Card
        Beam and pixel scale are taken from it.

    Returns
    -------
    ndarray, shape (n, h, w)
        Disturbed images, float32 or float64.

    Raises
    ------
    SpecError
        If the condition cannot be made of such images.
    """
    if condition.family not in DISTURBANCES:
        raise SpecError(f"{condition.name}: raw images take {', '.join(DISTURBANCES)}")
    return DISTURBANCES[condition.family](images, names, condition.strength, card)


def missing(condition: Condition, card: Card) -> str | None:
    """Say why a condition cannot be made of a data set's images, or give None if it can."""
    known = np.isfinite(card.beam) and np.isfinite(card.pixel_scale)
    if condition.family == "beam" and not known:
        return f"{condition.name}: the card of {card.name} tells no beam, or no pixel scale"
    return None


def conditions_for(card: Card) -> tuple[Condition, ...]:
    """List the conditions of `CONDITIONS` that can be made of a data set's images."""
    return tuple(condition for condition in CONDITIONS if missing(condition, card) is None)


OnCondition = Callable[[Condition, bool], None]
"""Called with each condition, and whether it had been computed before."""


def _ignore(condition: Condition, known: bool) -> None:
    """Say nothing of a condition."""


def stress(
    record: RunRecord,
    dataset: DataSet,
    store: Store,
    conditions: Sequence[Condition] | None = None,
    device: str = "cpu",
    on_condition: OnCondition = _ignore,
) -> Predictions:
    """Predict the test sources of a stored run from disturbed images, and keep the rows beside the run.

    Parameters
    ----------
    record : RunRecord
        A complete run.
    dataset : DataSet
        The data it was trained on.
    store : Store
        The store that holds its weights. ``conditions.parquet`` in the directory of the run is written after
        each condition; those that are there already are not computed again.
    conditions : sequence of Condition, optional
        What to test; left out, `conditions_for` the data set.
    device : str
        A torch device.
    on_condition : callable
        Told of each condition when it is done.

    Returns
    -------
    Predictions
        Rows of the conditions asked for, of the best and the final model; `condition` holds their names.

    Raises
    ------
    SpecError
        If the run is not complete, or a condition cannot be made of these images.
    DataError
        If the data are not those of the run.
    StoreError
        If the table cannot be read or written.
    DeviceError
        If the device is not there.
    """
    check_device(device)
    wanted = conditions_for(dataset.card) if conditions is None else tuple(dict.fromkeys(conditions))
    _check(record, dataset, wanted)
    folder = store.run_path(record.run_id)
    with _locked(folder):
        table = read_conditions(store, record.run_id)
        known = set() if table is None else set(table.condition.tolist())
        place = None
        for condition in wanted:
            if condition.name not in known:
                place = place or _place(record, dataset, store, device)
                table = concatenate([*([] if table is None else [table]), *_predict(place, condition)])
                write_predictions(folder / CONDITIONS_FILE, table)
            on_condition(condition, condition.name in known)
    if table is None:
        raise SpecError("no condition is asked for; name one, or leave them out for the default ones")
    return table.take(np.isin(table.condition, [condition.name for condition in wanted]))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's directory, whose name may come from the spec of an earlier version."""
    try:
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class _Place:
    """A run under test: its spec, its test sources, its networks by model."""

    record: RunRecord
    dataset: DataSet
    index: NDArray[np.int64]
    networks: dict[str, Network]
    device: torch.device

    @cached_property
    def turnable(self) -> ImageSource:
        """The prepared images, with all that a turn can bring into the field."""
        wide = self.record.spec.model_copy(update={"augmentation": AugmentationSpec(kind="rotations")})
        return self._source(self.dataset.images[self.index], wide)

    def source(self, condition: Condition) -> ImageSource:
        """Give the prepared images, disturbed unless they are to be turned."""
        if condition.family == "rotation":
            return self.turnable
        raw, names = self.dataset.images, self.dataset.catalogue.source_id[self.index].tolist()
        pixels = []
        for start in range(0, len(names), CHUNK):
            part = slice(start, start + CHUNK)
            disturbed = disturb(raw[self.index[part]], names[part], condition, self.dataset.card)
            pixels.append(prepare(disturbed, self.record.spec))
        return self._source(np.concatenate(pixels), self.record.spec, ready=True)

    def _source(self, images: NDArray[Any], spec: RunSpec, ready: bool = False) -> ImageSource:
        pixels = images if ready else prepare(images, spec)
        return ImageSource(pixels, self.dataset.catalogue.label[self.index], spec, self.device)


def _check(record: RunRecord, dataset: DataSet, wanted: Sequence[Condition]) -> None:
    if record.status != "complete" or record.predictions is None:
        raise SpecError(f"run {record.run_id} is {record.status}; only complete runs can be tested")
    if dataset.checksum != record.spec.data.checksum:
        raise DataError(
            f"run {record.run_id} was trained on data with checksum {record.spec.data.checksum[:16]}, "
            f"those of {dataset.card.name} have {dataset.checksum[:16]}"
        )
    for condition in wanted:
        reason = missing(condition, dataset.card)
        if reason:
            raise SpecError(reason)


def _place(record: RunRecord, dataset: DataSet, store: Store, device: str) -> _Place:
    index = make_split(record.spec, dataset).indices("test")
    networks = {model: load_network(record, store, model, device) for model in MODELS}
    for network in networks.values():
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _Place(record, dataset, index, networks, torch.device(device))


def _predict(place: _Place, condition: Condition) -> Iterator[Predictions]:
    """Give the rows of one condition, model by model."""
    recipe, catalogue = place.record.spec.recipe, place.dataset.catalogue
    index, n = place.index, len(place.index)
    source = place.source(condition)
    angle = condition.strength if condition.family == "rotation" else 0.0
    for model, network in place.networks.items():
        yield Predictions(
            run_id=place.record.run_id,
            classes=place.dataset.classes,
            activation=network.activation_name,
            label_version=place.dataset.card.version,
            source_id=catalogue.source_id[index],
            split=np.full(n, "test"),
            model=np.full(n, model),
            condition=np.full(n, condition.name),
            member=np.zeros(n, dtype=np.int64),
            label=catalogue.label[index],
            logits=predict_logits(network, _batches(source, angle), recipe.precision, recipe.views),
        )


def _batches(source: ImageSource, angle: float) -> Iterator[Tensor]:
    """Give the images for the network, turned by an angle in degrees."""
    for part in sequential_batches(len(source.labels), EVALUATION_BATCH):
        yield source.finish(rotate_stack(source.take(part), angle))


def _noise(images: NDArray[Any], names: Sequence[str], strength: float, card: Card) -> Pixels:
    chance = [numpy_generator(SEED, "augmentation", stress="noise", source=name) for name in names]
    return add_noise(images, strength, chance, card.beam / card.pixel_scale)


def _beam(images: NDArray[Any], names: Sequence[str], strength: float, card: Card) -> Pixels:  # noqa: ARG001
    return coarser_beam(images, beam_kernel(card, strength))


def _shift(images: NDArray[Any], names: Sequence[str], strength: float, card: Card) -> Pixels:  # noqa: ARG001
    ways = [numpy_generator(SEED, "augmentation", stress="shift", source=n).integers(4) for n in names]
    steps = int(strength) * np.array([(1, 0), (-1, 0), (0, 1), (0, -1)], dtype=np.int64)[ways]
    return shift_centre(images, steps[:, 0], steps[:, 1])


def _resolution(images: NDArray[Any], names: Sequence[str], strength: float, card: Card) -> Pixels:  # noqa: ARG001
    return coarser_pixels(images, int(strength))


Disturbance = Callable[[NDArray[Any], Sequence[str], float, Card], Pixels]
DISTURBANCES: Mapping[str, Disturbance] = MappingProxyType(
    {"noise": _noise, "beam": _beam, "shift": _shift, "resolution": _resolution}
)
"""How raw images are disturbed, by family."""


def _unit_noise(
    generator: np.random.Generator, shape: tuple[int, ...], beam_pixels: float
) -> NDArray[np.float64]:
    """Draw noise of unit variance, correlated over the beam if its width is known."""
    noise = generator.standard_normal(shape)
    if not (np.isfinite(beam_pixels) and beam_pixels > 0):
        return noise
    sigma = beam_pixels * FWHM_TO_SIGMA
    for axis, side in enumerate(shape):
        impulse = np.zeros(side)
        impulse[0] = 1.0
        kernel = gaussian_filter1d(impulse, sigma, mode="wrap")
        noise = gaussian_filter1d(noise, sigma, axis=axis, mode="wrap") / np.linalg.norm(kernel)
    return noise


def _floating(images: NDArray[Any]) -> Pixels:
    """Give native floating images: float64 stays, all else becomes float32."""
    kind = np.float64 if images.dtype.kind == "f" and images.dtype.itemsize == 8 else np.float32
    return np.array(images, dtype=kind)


def _despite_nan(images: NDArray[Any], function: Callable[[Pixels], Pixels]) -> Pixels:
    """Apply a function to images whose NaN are filled with the median; put the NaN back."""
    images = _floating(images)
    bad = np.isnan(images)
    if not bad.any():
        return function(images)
    filled = np.where(bad, np.nanmedian(images, axis=(1, 2), keepdims=True), images)
    return np.where(bad, images.dtype.type(np.nan), function(filled))
