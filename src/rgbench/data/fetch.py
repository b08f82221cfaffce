"""Find a public file: in an installed package, the mirror, the cache, or by download; checked by SHA-256.

Pooch, the usual library for this, goes on with no broken download and would join the halves of two versions of
a file; so the few lines that do it stand here, on the standard library alone.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rgbench.errors import ChecksumError, DataError

BLOCK = 1 << 16
STALE_LOCK = 120.0
"""Seconds after which a lock that nobody renews belongs to a process that died."""
_FINAL = (301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410)
"""Answers that will be the same next time; redirections that are not followed among them."""

Progress = Callable[[int, int], None]
"""Called with the bytes had and the bytes in all, 0 if the server does not tell."""


@dataclass(frozen=True)
class PublicFile:
    """A public file: its name, place in a mirror, URL and SHA-256, and the Python package that brings it."""

    name: str
    mirror_path: str
    url: str
    sha256: str
    package: str = ""


@dataclass(frozen=True)
class RetryPolicy:
    """How often a download is tried, and how long is waited in between.

    Attributes
    ----------
    attempts : int
        Times that a file is asked for; each goes on where the one before broke off.
    first_wait, longest_wait : float
        Seconds before the second attempt, doubled before each further one up to the longest. A server that
        names a time (Retry-After) is given it, up to the longest too.
    timeout : float
        Seconds without a byte after which an attempt is given up.
    """

    attempts: int = 5
    first_wait: float = 0.5
    longest_wait: float = 30.0
    timeout: float = 30.0


def locate(
    file: PublicFile,
    mirror: Path | str | None = None,
    progress: Progress = lambda done, total: None,
    retry: RetryPolicy | None = None,
) -> Path:
    """Give the path of a public file, whose content is the published one.

    An installed package that brings it is looked in first, then the mirror, then the cache; what is in none of
    them is downloaded into the cache.

    Parameters
    ----------
    file : PublicFile
        Which file.
    mirror : path, optional
        Folder that holds public files under their own names; by default ``$RGBENCH_MIRROR``.
    progress : callable
        Told how a download goes.
    retry : RetryPolicy, optional
        How often and how patiently it is tried.

    Returns
    -------
    Path
        In the cache: ``$RGBENCH_CACHE``, by default ``rgbench`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises
    ------
    ChecksumError
        If the file found or fetched has another SHA-256.
    DataError
        If it cannot be fetched, or ``RGBENCH_OFFLINE`` is set; the message says what to fetch by hand and
        where to put it.
    """
    found = where(file, mirror)
    if found is not None:
        return _checked(found, file)
    path = cache_folder() / file.name
    if os.environ.get("RGBENCH_OFFLINE"):
        raise DataError(f"{file.name} is not here, and RGBENCH_OFFLINE is set; {_by_hand(file, path)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            return path if path.exists() else _fetch(file, path, progress, retry or RetryPolicy())
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{file.name} could not be fetched: {reason}; {_by_hand(file, path)}") from error


def where(file: PublicFile, mirror: Path | str | None = None) -> Path | None:
    """Give the path of a public file if it is here, unchecked; None if it would have to be downloaded."""
    mirror = mirror or os.environ.get("RGBENCH_MIRROR")
    places = [_in_package(file), Path(mirror) / file.mirror_path if mirror else None]
    places.append(cache_folder() / file.name)
    return next((place for place in places if place is not None and place.exists()), None)


def cache_folder() -> Path:
    """Give the folder that downloads go to."""
    named = os.environ.get("RGBENCH_CACHE")
    return (
        Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rgbench"
    )


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_package(file: PublicFile) -> Path | None:
    """Give the file inside the installed package that brings it, which is not imported."""
    if not file.package:
        return None
    try:
        entries = metadata.files(file.package) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(entry.locate())) for entry in entries if entry.name == file.name), None)


def _checked(path: Path, file: PublicFile) -> Path:
    found = sha256_of(path)
    if found != file.sha256:
        raise ChecksumError(
            f"{path}: SHA-256 is {found}, expected {file.sha256}; delete it and fetch it anew"
        )
    return path


def _by_hand(file: PublicFile, path: Path) -> str:
    easier = f"pip install --no-deps {file.package}, or " if file.package else ""
    return (
        f"{easier}fetch {file.url} by hand (SHA-256 {file.sha256}) and put it at {path}, or set RGBENCH_MIRROR to "
        f"a folder that holds {file.mirror_path}"
    )


def _fetch(file: PublicFile, path: Path, progress: Progress, retry: RetryPolicy) -> Path:
    """Download into a part beside the path; move it into place when it is whole and right."""
    part = path.with_name(f"{path.name}.part")
    resumed = _download(file.url, part, progress, retry)
    try:
        _checked(part, file)
    except ChecksumError:
        _discard(part)
        if not resumed:
            raise
        # Its pieces may have been of two versions: once more, from the first byte.
        _download(file.url, part, progress, retry)
        try:
            _checked(part, file)
        except ChecksumError:
            _discard(part)
            raise
    part.replace(path)
    _discard(part)
    return path


def _download(url: str, part: Path, progress: Progress, retry: RetryPolicy) -> bool:
    """Fetch the whole file into a part; tell whether it was pieced together."""
    resumed, wait = False, retry.first_wait
    for attempt in range(1, retry.attempts + 1):
        resumed |= part.exists()
        try:
            _attempt(url, part, progress, retry.timeout)
            break
        except (OSError, http.client.HTTPException) as error:
            final = isinstance(error, urllib.error.HTTPError) and error.code in _FINAL
            if final or isinstance(error, _NoSpace) or attempt == retry.attempts:
                raise
            time.sleep(min(_asked_wait(error, wait), retry.longest_wait))
            wait = min(2 * wait, retry.longest_wait)
    return resumed


def _attempt(url: str, part: Path, progress: Progress, timeout: float) -> None:
    """Ask once, from where the part ends."""
    have = part.stat().st_size if part.exists() else 0
    version = _version(part)
    request = urllib.request.Request(url, headers={"User-Agent": "rgbench", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if version.exists() and version.stat().st_size:
            request.add_header("If-Range", version.read_text(encoding="latin-1"))
    try:
        answer = _opener().open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            _discard(part)
            raise OSError("the file there is shorter than what was fetched before") from error
        raise
    with answer:
        if answer.status != 206:
            have = 0
        elif _start(answer.headers.get("Content-Range", "")) != have:
            raise OSError(f"asked for bytes from {have}, got {answer.headers.get('Content-Range')!r}")
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else 0
        _make_room(part, total - have)
        version.write_text(_validator(answer.headers), encoding="latin-1")
        with part.open("ab" if have else "wb") as file:
            progress(have, total)
            while block := answer.read(BLOCK):
                file.write(block)
                have += len(block)
                progress(have, total)
            file.flush()
            os.fsync(file.fileno())
    if have < total:
        raise OSError(f"the connection broke after {have} of {total} bytes")


def _version(part: Path) -> Path:
    """Give the file that tells which version of the remote file a part is of."""
    return part.with_name(f"{part.name}.version")


def _validator(headers: Any) -> str:
    """Give what tells versions apart in an If-Range: a strong ETag, else the date; "" if there is neither."""
    tag = str(headers.get("ETag") or "")
    return tag if tag and not tag.startswith("W/") else str(headers.get("Last-Modified") or "")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version(part).unlink(missing_ok=True)


def _start(content_range: str) -> int:
    """Give the first byte of a Content-Range as ``bytes 100-199/200``; -1 if it is none."""
    first = content_range.removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else -1


class _NoSpace(OSError):
    """The disk is full: trying again is of no use."""


def _make_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise _NoSpace(f"{needed} bytes are needed in {part.parent}, {free} are free")


def _asked_wait(error: Exception, otherwise: float) -> float:
    """Give the seconds that a server asks to wait, if it names them."""
    if isinstance(error, urllib.error.HTTPError):
        asked = str(error.headers.get("Retry-After") or "")
        if asked.isdigit():
            return float(asked)
    return otherwise


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from fetching the same file; they wait, and then find it there.

    The lock is a folder beside the file, which any file system makes at once or not at all. Its owner renews
    its time by every byte that it writes into the part; one that is not renewed is taken over.
    """
    lock, part = path.with_name(f"{path.name}.lock"), path.with_name(f"{path.name}.part")
    while True:
        try:
            lock.mkdir()
            break
        except FileExistsError:
            ages = [time.time() - p.stat().st_mtime for p in (lock, part) if p.exists()]
            if ages and min(ages) > STALE_LOCK:
                shutil.rmtree(lock, ignore_errors=True)
            time.sleep(0.05)
    try:
        yield
    finally:
        shutil.rmtree(lock, ignore_errors=True)


def _opener() -> urllib.request.OpenerDirector:
    """Give an opener for http and https, with the proxies of the environment.

    It knows no other scheme, e.g. file:, by which a redirection could lead to files of this machine.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPRedirectHandler(),
    ):
        opener.add_handler(handler)
    return opener
