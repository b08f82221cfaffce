"""Fetch cutouts by position from the public services of `surveys`: politely, in parallel, and to be resumed.

The services are asked with the standard library, not through astroquery. Of astroquery 0.4.11, the class for
SkyView takes no time limit, makes up to four requests for an image, and keeps answers as pickles; that for
hips2fits needs matplotlib and Pillow, which astroquery does not require, and loses what a page of error says.
Neither shows Retry-After. The parameters are the same: tests compare them with those that astroquery makes.
"""

from __future__ import annotations

import csv
import io
import math
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import astuple, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from astropy.io import fits

from rgbench.data.own.angles import separation
from rgbench.data.own.files import ImageFile, examine, wrong_size
from rgbench.data.surveys.asking import Fetch, Pace, check_reach, fetch_url
from rgbench.data.surveys.surveys import (
    LONGEST_WAIT,
    SERVICES,
    BuildSpec,
    FetchError,
    Field,
    first_line,
    reaching,
    request_url,
)
from rgbench.errors import DataError
from rgbench.escapes import csv_text, from_csv
from rgbench.images.fits import FitsImage, read_fits
from rgbench.store.files import locked

MANIFEST = "manifest.csv"
FAILURES = "failures.csv"
GIVE_UP = 20
"""Sources in a row that may fail by the service's fault before it is left in peace."""
_SCALE_TOLERANCE = 0.03
"""SkyView writes CDELT in two significant digits."""
_LONGEST_NAME = 120
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)

Progress = Callable[[int, int, int], None]
"""Is told how many cutouts are there, how many failed, and how many are wanted."""


@dataclass(frozen=True)
class Failure:
    """A source without cutout: why, after how many requests, and when (UTC)."""

    name: str
    ra: float
    dec: float
    reason: str
    attempts: int
    when: str


@dataclass(frozen=True)
class BuildResult:
    """What a run has done.

    Attributes
    ----------
    done : tuple of str
        Sources whose cutout is there, in the order of the catalogue.
    fetched : int
        How many of them came in this run; the others were there.
    failed : tuple of Failure
        Sources without cutout, in the order of the catalogue.
    manifest, failures : Path
        Tables of both: what `rgbench.data.own.folder.load_folder` reads, and why the others failed.
    """

    done: tuple[str, ...]
    fetched: int
    failed: tuple[Failure, ...]
    manifest: Path
    failures: Path


def file_name(name: str) -> str:
    """Give a file name for a source: what is not a letter, digit, or one of "+-_." becomes "_".

    Raises
    ------
    DataError
        If nothing is left of the name, or it is longer than 120 characters.

    Examples
    --------
    >>> file_name("3C 31"), file_name("../../etc/passwd"), file_name("J123000.00-013000.0")
    ('3C_31.fits', '_.._etc_passwd.fits', 'J123000.00-013000.0.fits')
    """
    safe = re.sub(r"[^A-Za-z0-9+._-]", "_", name.strip()).lstrip(".-")
    if not safe.strip("_.-") or len(safe) > _LONGEST_NAME:
        raise DataError(
            f"source {name!r}: no file can be named so; letters or digits are needed, {_LONGEST_NAME} at most"
        )
    return f"_{safe}.fits" if _RESERVED.fullmatch(safe) else f"{safe}.fits"


@dataclass(frozen=True)
class _Source:
    name: str
    ra: float
    dec: float
    label: str
    file: str


def build_cutouts(
    names: Iterable[Any],
    ra: Sequence[float] | Any,
    dec: Sequence[float] | Any,
    out_folder: Path | str,
    spec: BuildSpec,
    labels: Iterable[Any] | None = None,
    fetch: Fetch = fetch_url,
    progress: Progress = lambda done, failed, total: None,
) -> BuildResult:
    """Fetch a cutout of each source into a folder, one FITS file ``NAME.fits`` each.

    A file that is there, can be read and was made by the same request is not fetched again, so a run that was
    stopped goes on when it is started anew. An image is checked before it gets its name: FITS, shape, pixel
    scale, position, not blank. Its header says what was asked of whom and when (RGSURVEY, RGSERVIC, RGIDENT,
    RGRA, RGDEC, RGSIZE, RGSCALE, RGDATE, and the URL in HISTORY).

    Parameters
    ----------
    names : iterable of str, n
        Sources.
    ra, dec : sequence of float, shape (n,)
        Degrees, ICRS. A source without position fails.
    out_folder : path
        Is made if it is not there. Gets ``manifest.csv`` and ``failures.csv`` too, of an interrupted run as well.
    spec : BuildSpec
        What is fetched, and how.
    labels : iterable of str, n, optional
        Classes, for the manifest.
    fetch, progress : callable, optional
        Asks the service; is told of every source that is done or has failed, in the thread of the caller.

    Raises
    ------
    DataError
        If two sources would have one file, the folder holds the tables of other sources, a file cannot be
        written, or the service failed for many sources in a row: then what has come is kept.
    """
    sources = _sources(list(names), list(ra), list(dec), labels)
    build = _Build(Path(out_folder), spec, fetch)
    build.check_tables(sources)
    build.make_folder()
    wanted = build.wanted(sources)
    try:
        build.run(wanted, lambda: progress(len(build.here), len(build.failed), len(sources)))
    finally:
        build.write_tables(sources, labelled=labels is not None)
    return build.result(sources)


def keep_cutouts(
    names: Sequence[str],
    ra: Sequence[float],
    dec: Sequence[float],
    folder: Path,
    spec: BuildSpec,
    progress: Progress = lambda done, failed, total: None,
) -> dict[str, str]:
    """Fetch cutouts as `build_cutouts` does, into a folder that many runs share, which gets no tables.

    The service is asked for what is not there only; one run at a time asks it.

    Returns
    -------
    dict of str to str
        Reason of each source, by its name, that has no cutout.

    Raises
    ------
    FetchError
        If something must be fetched, and the service cannot be reached.
    DataError
        As `build_cutouts`.
    """
    sources = _sources(list(names), list(ra), list(dec), None)
    build = _Build(folder, spec, fetch_url)
    if build.wanted(sources):
        check_reach(spec.server or build.service.url)
        build.make_folder()
        with locked(folder / ".lock"):
            wanted = build.wanted(sources)
            build.run(wanted, lambda: progress(len(build.here), len(build.failed), len(sources)))
    return {name: failure.reason for name, failure in build.failed.items()}


def _sources(names: list[Any], ra: list[Any], dec: list[Any], labels: Iterable[Any] | None) -> list[_Source]:
    classes = [""] * len(names) if labels is None else [str(label) for label in labels]
    for key, column in (("ra", ra), ("dec", dec), ("labels", classes)):
        if len(column) != len(names):
            raise DataError(f"{key} has {len(column)} values, expected {len(names)}, as many as names")
    if not names:
        raise DataError("there is no source to fetch")
    found: dict[str, _Source] = {}
    for name, a, d, label in zip(map(str, names), ra, dec, classes, strict=True):
        source = _Source(name, float(a), float(d), label, file_name(name))
        # Some file systems take small and capital letters for one.
        other = found.setdefault(source.file.lower(), source)
        if other is not source:
            raise DataError(
                f"the sources {other.name!r} and {name!r} would both be {source.file}: rename one"
            )
    return list(found.values())


@dataclass
class _Build:
    folder: Path
    spec: BuildSpec
    fetch: Fetch
    here: set[str] = field(default_factory=set)
    fetched: int = 0
    failed: dict[str, Failure] = field(default_factory=dict)
    streak: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.card, self.service = self.spec.card, SERVICES[self.spec.card.service]
        self.pace = Pace(self.spec.rate)

    def run(self, wanted: list[_Source], progress: Callable[[], None]) -> None:
        """Fetch; on an interruption, end what is under way and keep it."""
        progress()
        pool = ThreadPoolExecutor(self.spec.workers, thread_name_prefix="cutout")
        try:
            for future in as_completed([pool.submit(self._try, source) for source in wanted]):
                future.result()
                progress()
                self._check_service()
        finally:
            self.pace.stop()
            pool.shutdown(wait=True, cancel_futures=True)

    def result(self, sources: list[_Source]) -> BuildResult:
        done = tuple(source.name for source in sources if source.name in self.here)
        failed = tuple(self.failed[source.name] for source in sources if source.name in self.failed)
        return BuildResult(done, self.fetched, failed, self.folder / MANIFEST, self.folder / FAILURES)

    def _check_service(self) -> None:
        if self.streak >= GIVE_UP:
            last = list(self.failed.values())[-1]
            raise DataError(
                f"{self.service.title} failed for {self.streak} sources in a row, the last, {last.name}: "
                f"{last.reason}; it is left in peace. What came is in {self.folder}; the same command goes on later"
            )

    def make_folder(self) -> None:
        """Make the folder, unless it is there."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be made: {error}") from error

    def wanted(self, sources: Sequence[_Source]) -> list[_Source]:
        """Give the sources that must be fetched."""
        return [source for source in sources if not self.settled(source)]

    def settled(self, source: _Source) -> bool:
        """Tell whether nothing is to be fetched: it is there, or cannot be had."""
        reason = self._hopeless(source) or (None if self.spec.overwrite else self._there(source))
        if reason:
            self._fail(source, reason, 0)
        elif reason == "":
            self.here.add(source.name)
        return reason is not None

    def _hopeless(self, source: _Source) -> str:
        if not (math.isfinite(source.ra) and math.isfinite(source.dec)):
            return "its position is not known"
        if abs(source.dec) > 90:
            return f"Dec {source.dec:g} is no declination; legal are -90 to 90 degrees"
        if not self.card.covers(source.dec):
            others = reaching(source.dec, self.card.name)
            return f"outside of the survey: Dec {source.dec:.2f}; {self.card.name} is {self.card.coverage}{others}"
        return ""

    def _there(self, source: _Source) -> str | None:
        """Give None if there is no file that can be read, "" if it is the one wanted, else what it is."""
        path = self.folder / source.file
        if not path.exists():
            return None
        try:
            header = read_fits(path).header
        except DataError:
            return None
        for key, wanted in self._request(source).items():
            found = header.get(key)
            near = isinstance(wanted, float) and isinstance(found, int | float) and abs(found - wanted) < 1e-6
            if not near and found != wanted:
                said = "it was not fetched by this program" if found is None else f"its {key} is {found!r}"
                return f"{path} is there and is not what is wanted ({said}): overwrite it, or take another folder"
        return ""

    def _request(self, source: _Source) -> dict[str, str | float]:
        return {
            "RGSURVEY": self.card.name,
            "RGSERVIC": self.card.service,
            "RGIDENT": self.card.survey_id,
            "RGRA": source.ra % 360,
            "RGDEC": source.dec,
            "RGSIZE": float(self.spec.size),
            "RGSCALE": float(self.spec.scale),
        }

    def _try(self, source: _Source) -> None:
        """Ask for one cutout until it comes, or no attempt is left or of use."""
        wanted = Field(source.ra % 360, source.dec, self.spec.pixels, self.spec.scale)
        url = request_url(self.card, wanted, self.spec.server)
        for attempt in range(1, self.spec.attempts + 1):
            self.pace.wait()
            try:
                self._save(source, self.fetch(url, self.spec.timeout), url)
                return
            except FetchError as error:
                last = error
            if not last.again or attempt == self.spec.attempts:
                break
            if last.after is not None:
                self.pace.hold(last.after)
            else:
                self.pace.sleep(min(self.spec.backoff * 2 ** (attempt - 1), LONGEST_WAIT))
        self._fail(source, str(last), attempt, last.service_fault)

    def _fail(self, source: _Source, reason: str, attempts: int, service_fault: bool = False) -> None:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        with self.lock:
            self.failed[source.name] = Failure(source.name, source.ra, source.dec, reason, attempts, when)
            self.streak = self.streak + 1 if service_fault else 0 if attempts else self.streak

    def _save(self, source: _Source, content: bytes, url: str) -> None:
        """Check an answer and give it its name."""
        if not content.startswith(b"SIMPLE"):
            words = first_line(content)
            said = f"with {words!r}" if words else "with nothing"
            raise FetchError(f"the service answered {said}, not with a FITS image", again=True)
        part = self.folder / f"{source.file}.part"
        # One at a time: to keep astropy's warnings to itself, the reader changes state of the whole program.
        with self.lock:
            try:
                part.write_bytes(content)
                _sign(content, part, self._request(source) | self._beam(self._check(source, part)), url)
                part.replace(self.folder / source.file)
            except OSError as error:
                raise DataError(f"{part}: cannot be written: {error}") from error
            except (ValueError, KeyError, TypeError, fits.VerifyError) as error:
                raise FetchError(f"the image that came has a header that cannot be kept: {error}") from error
            finally:
                part.unlink(missing_ok=True)
            self.here.add(source.name)
            self.fetched += 1
            self.streak = 0

    def _beam(self, image: FitsImage) -> dict[str, Any]:
        """Give cards of the survey's published beam for an image whose header tells none, as hips2fits has it."""
        if math.isfinite(image.beam.major) or image.beam_fault or self.spec.hips:
            return {}
        words = f"published beam of {self.card.name}"
        return dict.fromkeys(("BMAJ", "BMIN"), (self.card.beam / 3600, words)) | {"BPA": (0.0, words)}

    def _check(self, source: _Source, part: Path) -> FitsImage:
        """Give the image that came, or raise `FetchError`."""
        image, reason = examine(ImageFile(source.name, part))
        if reason.startswith("all"):
            others = reaching(source.dec, self.card.name)
            raise FetchError(
                f"blank: {reason}; outside of the survey's footprint{others}", service_fault=False
            )
        if image is not None and not reason:
            reason = self._wrong(source, image)
        if reason or image is None:
            raise FetchError(f"the image that came {reason}", again=True)
        return image

    def _wrong(self, source: _Source, image: FitsImage) -> str:
        """Say what is wrong with the shape, scale or place of an image, "" if nothing."""
        if reason := wrong_size(image.pixels.shape, (self.spec.pixels, self.spec.pixels)):
            return reason
        if not abs(image.pixel_scale / self.spec.scale - 1) <= _SCALE_TOLERANCE:
            return f"has pixels of {image.pixel_scale:.4g} arcsec, expected {self.spec.scale:g}"
        off = separation(*image.centre, source.ra, source.dec)
        if not off <= self.spec.scale + self.service.rounding:
            return f"is centred {off:.1f} arcsec off the position"
        return ""

    def check_tables(self, sources: list[_Source]) -> None:
        """Raise if the folder holds a manifest that would lose sources."""
        path = self.folder / MANIFEST
        if self.spec.overwrite or not path.exists():
            return
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
        except (OSError, UnicodeDecodeError, csv.Error):
            rows = []
        if not rows or rows[0][:4] != ["name", "path", "ra", "dec"]:
            raise DataError(f"{path}: is there and was not written by this program; take another folder")
        names = {source.name for source in sources}
        found = [from_csv(row[0]) for row in rows[1:] if row]
        others = [name for name in found if name not in names]
        if others:
            raise DataError(
                f"{path}: holds {len(others)} sources that are not in the catalogue, the first {others[0]!r}; "
                "take another folder, or overwrite it"
            )

    def write_tables(self, sources: list[_Source], labelled: bool) -> None:
        """Write both tables, each at once."""
        head = ["name", "path", "ra", "dec", "label"][: 5 if labelled else 4]
        done = [s for s in sources if s.name in self.here]
        rows = [[s.name, s.file, repr(s.ra), repr(s.dec), s.label][: len(head)] for s in done]
        _write_csv(self.folder / MANIFEST, [head, *rows])
        lost = [astuple(self.failed[s.name]) for s in sources if s.name in self.failed]
        _write_csv(self.folder / FAILURES, [[entry.name for entry in fields(Failure)], *lost])


def _sign(content: bytes, path: Path, request: dict[str, Any], url: str) -> None:
    """Write an answer with words in its header on where it came from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(content), memmap=False, do_not_scale_image_data=True) as units:
            units[0].header.update(request, RGDATE=datetime.now(UTC).isoformat(timespec="seconds"))
            units[0].header.add_history(f"Fetched by rgbench from {url}")
            units.writeto(path, overwrite=True, output_verify="silentfix+ignore")


def _write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(csv_text(rows).encode())
        part.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error}") from error
