"""One's own image as a classifier sees it: read, brought to the domain, looked at, prepared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rgbench.data.own.angles import distance, separation
from rgbench.data.own.files import ImageFile, SetAside, examine, scale_of, unknown_scale
from rgbench.data.own.folder import is_on, no_position, place_of
from rgbench.errors import DataError
from rgbench.images.brightness import per_pixel
from rgbench.images.domain import FORBIDDING, SCALE_TOLERANCE, Domain, Looked, Oddity, beam_after, bring, look
from rgbench.images.fits import NO_BEAM, Beam, FitsImage
from rgbench.images.limits import check_scale
from rgbench.images.neighbours import without_others
from rgbench.images.noise import ImageError
from rgbench.images.preprocess import central_crop, find_preset, usable
from rgbench.runs.classifier_card import ClassifierCard
from rgbench.runs.inputs import cut_to_field, prepare, prepare_field, side_that_counts
from rgbench.spec import RunSpec

ALL_BLANK = "all pixels are NaN"
"""The verdict of `usable` on an image that has a row all the same: it is an image, of a blanked field."""

MOSAIC = 6
"""Sides of the field from which on an image is no cutout about a source any more."""
NOTHING_ODD = Oddity(0)
NOWHERE = (float("nan"), float("nan"))
NO_OTHERS = np.zeros((0, 2))
"""No other source whose light is taken out of an image."""
_CLIP = 3.0
"""Noises above the sky at which the preset "sky" cuts."""
FURTHEST = 32
"""Largest ratio, either way, of pixel scales that are brought to those of training; more is a mistake in a header."""


@dataclass(frozen=True)
class OwnImages:
    """What is said of images beside their headers.

    Attributes
    ----------
    pixel_scale : float, optional
        Arcsec per pixel of those whose header does not tell it, or that have none; without it they are set aside.
    plane : int or tuple of int, optional
        Plane of FITS cubes; see `rgbench.images.fits.read_fits`.
    """

    pixel_scale: float | None = None
    plane: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_scale(self.pixel_scale, "pixel scale (--pixel-scale, image_scale)")


AS_TOLD = OwnImages()
"""Nothing is said beside the headers."""


@dataclass(frozen=True)
class SeenImage:
    """One image as a classifier sees it.

    Attributes
    ----------
    place : str
        Its file, and its place within an HDF5 file.
    looked : Looked
        What is odd about it, and how large and bright its source is.
    centre : (float, float)
        RA and Dec of its middle in degrees; NaN if the header does not tell.
    prepared : ndarray of float32, shape (h, w), optional
        Prepared as the images of training were; larger than the field where the image is. None if nothing is to
        be classified.
    field : ndarray of float32, shape (side, side), optional
        The central field of it, which the networks are asked about.
    remark : str
        What was taken on trust: what `rgbench.images.fits.FitsImage.remarks` says, and that the source lies in the
        middle of a large image, or of one whose header tells no position. "" for nothing.
    """

    place: str
    looked: Looked
    centre: tuple[float, float]
    prepared: NDArray[np.float32] | None = None
    field: NDArray[np.float32] | None = None
    remark: str = ""

    @property
    def oddities(self) -> Oddity:
        """What is odd about it."""
        return self.looked.oddities

    def without_pixels(self) -> SeenImage:
        """Give the same without its pixels."""
        return replace(self, prepared=None, field=None)


def see_image(
    file: ImageFile,
    card: ClassifierCard,
    aside: list[SetAside],
    own: OwnImages = AS_TOLD,
    position: tuple[float, float] = NOWHERE,
) -> SeenImage | None:
    """Read and prepare one image by itself; one that cannot be used goes to `aside`, with the reason.

    An image of another pixel scale or a finer beam is brought to those of training; one whose scale is not known is set
    aside.

    Parameters
    ----------
    file : ImageFile
        Which image.
    card : ClassifierCard
        Card of the classifier that is to see it.
    aside : list of SetAside
        Is appended to.
    own : OwnImages
        What is said of the image beside its header.
    position : (float, float)
        RA and Dec of the source, degrees, ICRS, which is then brought to the middle; NaN where it is not known.
    """
    image, reason = examine(file, own.plane)
    if image is not None and reason == ALL_BLANK:
        blank = Looked(Oddity.BLANKED, np.nan, np.nan)
        return SeenImage(file.place, blank, image.centre, remark="; ".join(image.remarks))
    if image is None or reason:
        aside.append(SetAside(file.place, "; ".join((reason, *(image.remarks if image else ())))))
        return None
    spec, domain = card.spec, card.domain
    scale = scale_of(image, own.pixel_scale)
    trust = _on_trust(image, scale, spec.images.field, domain) if np.isnan(position[0]) else ""
    remark = "; ".join(part for part in (*image.remarks, trust) if part)
    image, reason = about_position(image, position)
    scale = scale_of(image, own.pixel_scale)  # of the pixels that are in the middle now
    if reason := reason or unlikely_pixels(image, scale, domain):
        aside.append(SetAside(file.place, reason))
        return None
    try:
        seen = see_pixels(image.pixels, pixel_facts(image, scale, domain), card)
    except DataError as error:
        aside.append(SetAside(file.place, str(error)))
        return None
    return replace(seen, place=file.place, centre=image.centre, remark=remark)


@dataclass(frozen=True)
class PixelFacts:
    """What is known of pixels beside their values.

    Attributes
    ----------
    scale : float
        Arcsec per pixel; NaN if it is not known.
    beam, on_pixels : Beam
        The beam with its angle on the sky, and on the pixels (`FitsImage.beam_on_pixels`).
    quantity : {"per beam", "per pixel"}
        What pixels hold.
    odd : Oddity
        What is odd about the image already.
    """

    scale: float
    beam: Beam
    on_pixels: Beam
    quantity: str = "per beam"
    odd: Oddity = NOTHING_ODD


UNKNOWN_PIXELS = PixelFacts(math.nan, NO_BEAM, NO_BEAM)
"""Of pixels of which nothing is known."""


def pixel_facts(image: FitsImage, scale: float, domain: Domain) -> PixelFacts:
    """Give what the header of an image tells of its pixels."""
    quantity = "per pixel" if per_pixel(image.unit) else "per beam"
    return PixelFacts(scale, image.beam, image.beam_on_pixels, quantity, _not_told(image, domain))


def see_pixels(pixels: NDArray[np.float32], facts: PixelFacts, card: ClassifierCard) -> SeenImage:
    """Bring pixels, with the source in their middle, to a classifier's domain, look at them, and prepare them.

    Parameters
    ----------
    pixels : ndarray of float32, shape (h, w)
        North up; NaN where they are blanked.
    facts : PixelFacts
        What is known of them.
    card : ClassifierCard
        Card of the classifier that is to see them.

    Returns
    -------
    SeenImage
        Without a place and a position.

    Raises
    ------
    DataError
        If they cannot be prepared, with the reason alone.
    """
    frame, looked = _look_at(pixels, facts, card)
    if looked.oddities & FORBIDDING:
        return SeenImage("", looked, NOWHERE)
    return _seen(frame, looked, facts, card)


def _seen(frame: NDArray[np.float32], looked: Looked, facts: PixelFacts, card: ClassifierCard) -> SeenImage:
    ready = _prepared(frame, card.spec, beam_after(facts.beam, looked.oddities, card.domain))
    return SeenImage("", looked, NOWHERE, ready, cut_to_field(ready[None], card.spec)[0])


def see_fields(
    images: Iterable[tuple[NDArray[np.float32], NDArray[np.float64]]], facts: PixelFacts, card: ClassifierCard
) -> list[SeenImage | str]:
    """See many images of one survey: what `see_pixels` gives of each without its `prepared`, several times as fast.

    Parameters
    ----------
    images : iterable of (ndarray of float32, shape (h, w), ndarray of float64, shape (k, 2))
        The pixels of each, as of `see_pixels`, and other sources whose light is taken out of it: rows and columns in
        pixels from its middle (`rgbench.images.neighbours`).
    facts : PixelFacts
        What is known of all of them.
    card : ClassifierCard
        Card of the classifier that is to see them.

    Returns
    -------
    list of SeenImage or str
        The reason alone of those that cannot be prepared.
    """
    found: list[SeenImage | str] = []
    waiting: list[tuple[int, NDArray[np.float32], Looked]] = []
    quick = find_preset(card.spec.images.preset).steps == find_preset("sky").steps
    side = side_that_counts(card.spec)
    for image, others in images:
        try:
            frame, looked = _look_at(image, facts, card, others)
            if looked.oddities & FORBIDDING:
                found.append(SeenImage("", looked, NOWHERE))
            elif quick and looked.noise > 0 and not np.isinf(frame).any():
                waiting.append((len(found), central_crop(frame, side), looked))
                found.append("")
            else:
                found.append(replace(_seen(frame, looked, facts, card), prepared=None))
        except DataError as error:
            found.append(str(error))
    for at, seen in _prepared_together(waiting, facts, card):
        found[at] = seen
    return found


def _prepared_together(
    waiting: Sequence[tuple[int, NDArray[np.float32], Looked]], facts: PixelFacts, card: ClassifierCard
) -> Iterator[tuple[int, SeenImage]]:
    """Prepare the middles of frames, those of one shape together; give their places in a list, and what is seen."""
    shapes = dict.fromkeys(frame.shape for _, frame, _ in waiting)
    for shape in shapes:
        alike = [each for each in waiting if each[1].shape == shape]
        levels = np.array([looked.sky + _CLIP * looked.noise for _, _, looked in alike])
        beams = np.array([beam_after(facts.beam, looked.oddities, card.domain) for _, _, looked in alike])
        fields = prepare_field(np.stack([frame for _, frame, _ in alike]), levels, card.spec, beams)
        for (at, _, looked), field in zip(alike, fields, strict=True):
            yield at, SeenImage("", looked, NOWHERE, field=field)


def _look_at(
    pixels: NDArray[np.float32],
    facts: PixelFacts,
    card: ClassifierCard,
    others: NDArray[np.float64] = NO_OTHERS,
) -> tuple[NDArray[np.float32], Looked]:
    """Bring pixels to the domain, and look at them; `DataError` says that they show too little."""
    spec, domain, shape = card.spec, card.domain, pixels.shape
    side = max(spec.data.frame or (spec.images.field,))
    frame, odd = bring(pixels, facts.scale, facts.on_pixels, domain, side, facts.quantity)
    odd |= facts.odd
    if spec.data.frame is not None:
        frame = central_crop(frame, spec.data.frame)
    if reason := _too_small(frame, spec.images.field, odd, shape):
        raise DataError(reason)
    if len(others):
        frame, out = _without_others(frame, others, facts, odd, domain)
        odd |= out
    looked = look(frame, spec.images.field, domain)
    return frame, replace(looked, oddities=odd | looked.oddities)


def _without_others(
    frame: NDArray[np.float32], others: NDArray[np.float64], facts: PixelFacts, odd: Oddity, domain: Domain
) -> tuple[NDArray[np.float32], Oddity]:
    """Take the light of other sources out of a frame that was brought to the domain, and say whether there was any."""
    scale = domain.pixel_scale if odd & Oddity.RESAMPLED and domain.pixel_scale else facts.scale
    beam = beam_after(facts.beam, odd, domain) * (domain.beam or math.nan)
    near = beam / scale / 2 if np.isfinite(beam) else 0.0
    found = without_others(frame, others * (facts.scale / scale), near)
    return found, Oddity(0) if found is frame else Oddity.NEIGHBOUR_OUT


def about_position(image: FitsImage, position: tuple[float, float]) -> tuple[FitsImage, str]:
    """Bring a position to the middle of an image by whole pixels; what is not covered then is NaN.

    Returns
    -------
    image : FitsImage
        The same where the position is not known, or in the middle already.
    reason : str
        Why it cannot be done, "" if it can: the position is not on the image.
    """
    if np.isnan(position[0]) or image.wcs is None:
        return image, ""
    rows, columns = image.pixels.shape
    if not is_on(image, *position):
        off = distance(separation(*image.centre, *position))
        return image, f"its middle is {off} off the position in the manifest, which is not on the image"
    x, y = place_of(image, *position)
    down, across = (round(place - (side - 1) / 2) for place, side in ((y, rows), (x, columns)))
    if not (down or across):
        return image, ""
    pixels = np.full_like(image.pixels, np.nan)
    new_rows, old_rows = _overlap(down, rows)
    new_columns, old_columns = _overlap(across, columns)
    pixels[new_rows, new_columns] = image.pixels[old_rows, old_columns]
    return replace(image, pixels=pixels, header=image.header_from(down, across)), ""


def _overlap(shift: int, side: int) -> tuple[slice, slice]:
    """Give where pixels come to lie, and where they are taken from, when they move down by a shift."""
    return slice(max(-shift, 0), side - max(shift, 0)), slice(max(shift, 0), side - max(-shift, 0))


def _on_trust(image: FitsImage, scale: float, field: int, domain: Domain) -> str:
    """Say what is taken on trust of where the source lies, "" for nothing."""
    rows, columns = image.pixels.shape
    known = domain.pixel_scale is not None and np.isfinite(scale)
    side = field * domain.pixel_scale / scale if known and domain.pixel_scale else field
    if max(rows, columns) > MOSAIC * side:
        return (
            f"the image of {rows}x{columns} pixels is much larger than the field of {math.ceil(side)}x"
            f"{math.ceil(side)}: only what lies in its middle is classified"
        )
    if image.wcs is None:
        return f"{no_position(image)}; the source is taken to lie in the middle"
    return ""


def _not_told(image: FitsImage, domain: Domain) -> Oddity:
    """Tell what the header does not, though it matters: a scale that was given, a beam whose cards are not legible."""
    odd = Oddity(0)
    if domain.pixel_scale is not None and image.scale_fault:
        odd |= Oddity.NO_SCALE
    return odd | Oddity.NO_BEAM if image.beam_fault and domain.beam is not None else odd


def unlikely_pixels(image: FitsImage, scale: float, domain: Domain) -> str:
    """Say why pixels of such a shape or size cannot be brought to those of training; "" if they can."""
    if domain.pixel_scale is not None and not np.isfinite(scale):
        return unknown_scale(image.scale_fault)
    if reason := _not_square(image):
        return reason
    if domain.pixel_scale is not None and abs(math.log(scale / domain.pixel_scale)) > math.log(FURTHEST):
        told = (
            "the pixel scale that was given (--pixel-scale) is"
            if image.scale_fault
            else "the header tells pixels of"
        )
        return (
            f"{told} {scale:.4g} arcsec; {domain.pixel_scale / FURTHEST:.2g} to "
            f"{domain.pixel_scale * FURTHEST:.3g} are legal"
        )
    return ""


def _not_square(image: FitsImage) -> str:
    """Say how the pixels of an image differ from square ones in its middle, "" if they do not."""
    most = math.exp(SCALE_TOLERANCE)
    (one, other), (longest, shortest) = image.pixel_sides, image.pixel_span
    if max(one, other) > most * min(one, other):
        return f"pixels are {one:.4g} x {other:.4g} arcsec; square ones are needed"
    if longest > most * shortest:
        return (
            f"pixels are slanted, {longest:.4g} arcsec long in one direction and {shortest:.4g} in the other; square "
            "ones are needed"
        )
    return ""


def _prepared(pixels: NDArray[np.float32], spec: RunSpec, beam: float) -> NDArray[np.float32]:
    """Prepare one image; `DataError` says why it cannot be done."""
    if reason := usable(pixels):
        raise DataError(reason)
    try:
        ready = prepare(pixels[None], spec, beams=np.array([beam]))
    except ImageError as error:
        raise DataError(error.reason) from None
    return np.asarray(ready[0])


def _too_small(image: NDArray[np.float32], side: int, odd: Oddity, original: tuple[int, ...]) -> str:
    """Say that an image, of some shape before it was brought to the classifier's scale, shows too little; "" if not."""
    if min(image.shape) >= side:
        return ""
    rows, columns = original
    scaled = (
        f", {image.shape[0]}x{image.shape[1]} of the classifier's scale" if odd & Oddity.RESAMPLED else ""
    )
    return f"is {rows}x{columns} pixels{scaled}; the network was trained on fields of {side}x{side}"
