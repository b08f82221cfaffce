"""One shard of a survey: a pure function from a plan and its number to a file of classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rgbench.data.leakage import near_any
from rgbench.errors import DataError, StoreError
from rgbench.images.brightness import read_brightness
from rgbench.images.domain import Domain, Oddity, beam_after
from rgbench.images.measure import beam_area
from rgbench.measures.prior import complete_shares
from rgbench.runs.classifier import Classifier
from rgbench.runs.classify import Ask, answer
from rgbench.runs.seen import UNKNOWN_PIXELS, PixelFacts, SeenImage, pixel_facts, see_fields
from rgbench.store.files import write_parquet
from rgbench.survey.mosaics import Mosaic
from rgbench.survey.plan import OTHERS, TILE, Plan

CHUNK = 128
"""Sources that the networks are asked about together."""
_BEAMS = 4.0
"""Widths of the training beam that are read beyond the frame, for a convolution."""


@dataclass(frozen=True, eq=False)
class Work:
    """What a shard needs beside its number.

    Attributes
    ----------
    plan : Plan
        The work.
    mosaics : sequence of Mosaic
        Those of the plan.
    classifier : Classifier
        With the views that were asked for.
    prior : mapping of str to float
        Shares of classes in the survey; empty for those of training.
    ask : callable, optional
        Asks the networks, where they are held elsewhere.
    """

    plan: Plan
    mosaics: Sequence[Mosaic]
    classifier: Classifier
    prior: Mapping[str, float]
    ask: Ask | None = None

    @cached_property
    def shares(self) -> NDArray[np.float64] | None:
        """The shares of all classes, None for those of training."""
        own = self.classifier
        return complete_shares(self.prior, own.classes, own.prior) if self.prior else None


def schema(classes: Sequence[str]) -> pa.Schema:
    """Give the columns of a finished shard."""
    return pa.schema(
        [
            ("row", pa.int64()),
            *((f"p_{name}", pa.float32()) for name in classes),
            ("spread", pa.float32()),
            ("set", pa.uint32()),
            ("unlike", pa.float32()),
            ("flags", pa.int32()),
            ("peak", pa.float32()),
            ("total", pa.float32()),
            ("size", pa.float32()),
            ("snr", pa.float32()),
            ("mosaic", pa.int32()),
            ("reason", pa.string()),
        ]
    )


def classify_shard(work: Work, shard: int) -> None:
    """Classify the rows of a shard, and write them into place; one that is done is left alone.

    Raises
    ------
    StoreError
        If the plan was replaced meanwhile: what was found is not of the work that the folder holds now.
    """
    done = work.plan.done_file(shard)
    if not done.exists():
        parts = [_chunk(work, shard, part) for part in _chunks(work.plan.rows_of(shard))]
        if Plan(work.plan.folder).facts != work.plan.facts:
            raise StoreError(f"{work.plan.folder}: holds the work of another survey by now")
        write_parquet(done, pa.concat_tables(parts))


def try_rows(work: Work, shard: int, n: int) -> None:
    """Classify the first rows of a shard, and keep nothing: a trial of how long it takes."""
    _chunk(work, shard, work.plan.rows_of(shard).slice(0, n))


def _chunks(rows: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, rows.num_rows, CHUNK):
        yield rows.slice(start, CHUNK)


def _chunk(work: Work, shard: int, rows: pa.Table) -> pa.Table:
    classifier, best = work.classifier, work.plan.mosaic_of(shard)
    sources = _sources(rows)
    seen, facts = _see(work.mosaics[best], sources, classifier)
    mosaic = np.full(len(seen), best, dtype=np.int32)
    for name in OTHERS:
        _see_instead(work, sources, rows[name].to_numpy(), (seen, facts, mosaic))
    there = [each for each in seen if isinstance(each, SeenImage)]
    said = answer(there, classifier, work.shares, work.ask)
    n, at = len(seen), np.array([isinstance(each, SeenImage) for each in seen], dtype=bool)
    probabilities = _spread(said.probabilities, at, np.nan)
    sets = np.zeros(n, dtype=np.uint32)
    if said.sets is not None:
        sets[at] = said.sets @ (1 << np.arange(said.sets.shape[1], dtype=np.uint32))
    old = near_any(sources.ra, sources.dec, np.array(classifier.card.seen, dtype=np.float64).reshape(-1, 2))
    flags = [
        0 if isinstance(one, str) else int(one.oddities | (Oddity.IN_TRAINING if known else Oddity(0)))
        for one, known in zip(seen, old, strict=True)
    ]
    units, domain = [work.mosaics[at].face.unit.strip() for at in mosaic.tolist()], classifier.card.domain
    measured = np.array(
        [_measured(*each, domain) for each in zip(seen, facts, units, strict=True)], dtype=np.float32
    ).reshape(-1, 4)
    columns = [
        rows["row"],
        *probabilities.astype(np.float32).T,
        _spread(said.spread, at, np.nan).astype(np.float32),
        sets,
        _spread(said.unlike, at, np.nan).astype(np.float32),
        np.array(flags, dtype=np.int32),
        *measured.T,
        mosaic,
        pa.array([each if isinstance(each, str) else "" for each in seen], pa.string()),
    ]
    return pa.table(columns, schema=schema(classifier.classes))


@dataclass(frozen=True, eq=False)
class _Sources:
    """Where sources are: RA and Dec in degrees, (n,) each; `around` has those (k, 2) of others that are taken out."""

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    around: list[NDArray[np.float64]]

    def take(self, rows: NDArray[np.int64]) -> _Sources:
        return _Sources(self.ra[rows], self.dec[rows], [self.around[row] for row in rows.tolist()])


def _sources(rows: pa.Table) -> _Sources:
    around = [np.array(each, dtype=np.float64).reshape(-1, 2) for each in rows["around"].to_pylist()]
    return _Sources(rows["ra"].to_numpy(), rows["dec"].to_numpy(), around)


def _spread(values: NDArray[np.float64], at: NDArray[np.bool_], other: float) -> NDArray[np.float64]:
    whole = np.full((len(at), *values.shape[1:]), other)
    whole[at] = values
    return whole


def _see_instead(
    work: Work,
    sources: _Sources,
    other: NDArray[np.int32],
    found: tuple[list[SeenImage | str], list[PixelFacts], NDArray[np.int32]],
) -> None:
    """Look at other mosaics where the first shows nothing; what they show is put into `found`, if it is more.

    Parameters
    ----------
    work : Work
        The mosaics.
    sources : _Sources
        All of them.
    other : ndarray of int32, shape (n,)
        Which mosaic is to be looked at, -1 for none.
    found : (list, list, ndarray of int32)
        What was seen of each source, what is known of its pixels, and in which mosaic.
    """
    seen, facts, mosaic = found
    lacking = np.array([_shows_nothing(each) for each in seen], dtype=bool) & (other >= 0)
    for number in np.unique(other[lacking]).tolist():
        rows = np.flatnonzero(lacking & (other == number))
        again, known = _see(work.mosaics[number], sources.take(rows), work.classifier)
        for row, one, own in zip(rows.tolist(), again, known, strict=True):
            if not _shows_nothing(one):
                seen[row], facts[row], mosaic[row] = one, own, number


def _shows_nothing(one: SeenImage | str) -> bool:
    """Tell whether the pixels about a source are blanked or cannot be read, so that another mosaic may show more."""
    return isinstance(one, str) or bool(one.oddities & Oddity.BLANKED)


def _see(
    mosaic: Mosaic, sources: _Sources, classifier: Classifier
) -> tuple[list[SeenImage | str], list[PixelFacts]]:
    """See each source in the middle of its own field, or say why it cannot be seen; and what is known of its pixels."""
    places = np.column_stack(mosaic.face.places(sources.ra, sources.dec))
    found: list[SeenImage | str] = [""] * len(places)
    known: list[PixelFacts] = [UNKNOWN_PIXELS] * len(places)
    tiles = places // TILE
    for down, across in np.unique(tiles, axis=0).tolist():
        own = np.flatnonzero((tiles == (down, across)).all(axis=1))
        # Scale and beam are those of the tile: far from the reference pixel they are others.
        face = mosaic.face_at((down + 0.5) * TILE, (across + 0.5) * TILE, TILE)
        facts = pixel_facts(face, face.pixel_scale, classifier.card.domain)
        others = _places_of_others(mosaic, [sources.around[row] for row in own.tolist()])
        for at, each in zip(own, _see_tile(mosaic, places[own], others, facts, classifier), strict=True):
            found[at], known[at] = each, facts
    return found, known


def _places_of_others(mosaic: Mosaic, around: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Give rows and columns (k, 2) of the others about each source, from their RA and Dec (k, 2)."""
    whole = np.concatenate(around)
    places = np.column_stack(mosaic.face.places(*whole.T)) if len(whole) else whole
    return np.split(places, np.cumsum([len(each) for each in around])[:-1])


def _see_tile(
    mosaic: Mosaic,
    places: NDArray[np.float64],
    others: list[NDArray[np.float64]],
    facts: PixelFacts,
    classifier: Classifier,
) -> list[SeenImage | str]:
    """See sources of one tile; the reason alone of those that cannot be seen."""
    side = _side(facts, classifier)
    first = np.rint(places - (side - 1) / 2).astype(int)
    cut = _cutouts(mosaic, first, side)
    middles = first + (side - 1) / 2
    pairs = [
        (pixels, own - middle)
        for pixels, own, middle in zip(cut, others, middles, strict=True)
        if not isinstance(pixels, str)
    ]
    seen = iter(see_fields(pairs, facts, classifier.card))
    return [each if isinstance(each, str) else next(seen) for each in cut]


def _cutouts(mosaic: Mosaic, first: NDArray[np.int64], side: int) -> list[NDArray[np.float32] | str]:
    """Cut out the pixels about sources that lie together in one reading; of those that cannot be read, say why.

    Parameters
    ----------
    mosaic : Mosaic
        The image.
    first : ndarray of int, shape (n, 2)
        Row and column of the first pixel of each; what lies beyond the edge is NaN.
    side : int
        Rows and columns of each.
    """
    (top, left), (bottom, right) = first.min(axis=0), first.max(axis=0) + side
    if len(first) == 1 or max(bottom - top, right - left) <= 2 * TILE:
        try:
            pixels = mosaic.padded((int(top), int(bottom)), (int(left), int(right)))
        except DataError as error:
            if len(first) == 1:
                return [str(error)]
        else:
            return [pixels[y : y + side, x : x + side] for y, x in (first - (top, left)).tolist()]
    half = len(first) // 2
    return _cutouts(mosaic, first[:half], side) + _cutouts(mosaic, first[half:], side)


def _side(facts: PixelFacts, classifier: Classifier) -> int:
    """Give the side, in pixels of the mosaic, of what is cut out about each source; even where the frame's is."""
    spec, domain = classifier.card.spec, classifier.card.domain
    side = max(spec.data.frame or (spec.images.field,))
    ours = domain.pixel_scale or facts.scale
    needed = side * ours / facts.scale + 2 * _BEAMS * (domain.beam or 0.0) / facts.scale + 2
    return math.ceil((needed - side % 2) / 2) * 2 + side % 2


def _measured(
    one: SeenImage | str, facts: PixelFacts, unit: str, domain: Domain
) -> tuple[float, float, float, float]:
    """Give peak (Jy/beam), integrated flux density (Jy), largest size (arcsec) and signal to noise of what was seen."""
    nothing = (math.nan,) * 4
    if isinstance(one, str):
        return nothing
    scale = domain.pixel_scale if one.oddities & Oddity.RESAMPLED else facts.scale
    looked = one.looked
    if scale is None:
        return nothing
    size = looked.extent * scale
    brightness = read_brightness(unit) if unit else None
    width = beam_after(facts.beam, one.oddities, domain) * (domain.beam or math.nan)
    if brightness is None or not math.isfinite(width):
        return math.nan, math.nan, size, looked.signal_to_noise
    area = beam_area(width, scale)
    per_pixel = brightness.per == "pixel"
    peak = looked.peak * brightness.jansky * (area if per_pixel else 1.0)
    total = looked.total * brightness.jansky / (1.0 if per_pixel else area)
    return peak, total, size, looked.signal_to_noise
