"""Find a public file: in the mirror, an installed package, the cache, or by download; checked by SHA-256.

Pooch, the usual library for this, was tried: it gives its downloader a new temporary file at every attempt and removes
it when the attempt fails, so that nothing can be resumed; it knows no If-Range, which tells whether both halves of a
file are of one version, no Retry-After and no lock between processes; so what does this stands here.

A download is written to ``NAME.part``, the ETag or date of what that is a part of to ``NAME.part.version``; both are
gone when the file is in its place. While a process fetches, ``NAME.lock`` is locked; the lock is the operating
system's, so it ends with the process, and the empty file that stays means nothing. Where a file system knows no locks,
each process writes its own part.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import re
import secrets
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

from rgbench.data.public.patience import Progress, RetryPolicy, Watch, retry_after
from rgbench.errors import ChecksumError, DataError, one_line

BLOCK = 1 << 16
_LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR)
"""Errors of this machine's disk, which a second request does not mend."""
_LARGEST = 16 << 30
"""Bytes of a file whose length the server does not tell, beyond which it is given up; no public file has half of it."""
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII)
_RECORD = re.compile(r"([0-9a-f]{64})\b", re.ASCII)


@dataclass(frozen=True)
class PublicFile:
    """A public file: its name, place in a mirror, URL and SHA-256, and the Python package that brings it.

    If the SHA-256 is not known beforehand (""), the one first met is recorded in the cache, as ``NAME.sha256``,
    and held to from then on.
    """

    name: str
    mirror_path: str
    url: str
    sha256: str
    package: str = ""


def locate(
    file: PublicFile,
    mirror: Path | str | None = None,
    progress: Progress = lambda done, total: None,
    retry: RetryPolicy | None = None,
) -> Path:
    """Give the path of a public file, whose content is the published one.

    It is looked for in the mirror, in an installed package that brings it, then in the cache; what is in none of
    them is downloaded into the cache. What is found but is not the published file is an error, and stays.

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
        If it cannot be read or fetched, or ``RGBENCH_OFFLINE`` is set; the message says what to fetch by hand
        and where to put it.
    """
    path = cache_folder() / file.name
    found = where(file, mirror)
    if found is None and is_offline():
        raise DataError(f"{file.name} is not here, and RGBENCH_OFFLINE is set; {_by_hand(file)}")
    try:
        return _checked(found, file) if found else _fetch(file, path, progress, retry or RetryPolicy())
    except (OSError, http.client.HTTPException) as error:
        reason = one_line(error)
        if found:
            raise DataError(f"{found}: cannot be read or checked: {reason}") from error
        raise DataError(f"{file.name} could not be fetched: {reason}; {_by_hand(file)}") from error


def fetch(
    files: Iterable[PublicFile],
    mirror: Path | str | None = None,
    progress: Progress = lambda done, total: None,
    retry: RetryPolicy | None = None,
) -> list[Path]:
    """Give the paths of several public files, in their order; see `locate`.

    Raises
    ------
    DataError
        If some are not to be had. The others are fetched nevertheless, and the message names all that are
        missing, so that they can be fetched by hand in one go.
    """
    paths, errors = [], []
    for file in files:
        try:
            paths.append(locate(file, mirror, progress, retry))
        except DataError as error:
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else DataError("\n".join(map(str, errors)))
    return paths


def where(file: PublicFile, mirror: Path | str | None = None) -> Path | None:
    """Give the path of a public file if it is here, unchecked; None if it would have to be downloaded.

    Raises
    ------
    DataError
        If the mirror is not a folder.

    Examples
    --------
    >>> where(PublicFile("no.such.file", "no/such.file", "https://example.org/file", "")) is None
    True
    """
    return next((place for place in _places(file, mirror) if place.is_file()), None)


def cache_folder() -> Path:
    """Give the folder that downloads go to."""
    named = os.environ.get("RGBENCH_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rgbench"


def is_offline() -> bool:
    """Tell whether the user wants no connection: ``RGBENCH_OFFLINE`` is set, and not to 0."""
    return os.environ.get("RGBENCH_OFFLINE", "0") not in ("", "0")


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_recorded(path: Path, record: Path) -> str:
    r"""Compare a file with the SHA-256 recorded at its first reading, or record it; give the SHA-256.

    Parameters
    ----------
    path, record : path
        The file, and where its checksum stands or will stand, in the form of ``sha256sum``.

    Raises
    ------
    ChecksumError
        If it is not the recorded one.
    DataError
        If there is something else in the record.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     record = Path(folder) / "data.bin.sha256"
    ...     _ = (Path(folder) / "data.bin").write_bytes(b"abc")
    ...     first = check_recorded(Path(folder) / "data.bin", record)
    ...     record.read_text()
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  data.bin\n'
    """
    found, expected = sha256_of(path), _recorded(record)
    if expected and found != expected:
        raise ChecksumError(
            f"{path}: SHA-256 is {found}, but {expected} was recorded at the first reading; if the new "
            f"file is the right one, delete {record}"
        )
    if not expected:
        record.parent.mkdir(parents=True, exist_ok=True)
        part = record.with_name(f"{record.name}.{secrets.token_hex(4)}.part")
        part.write_text(f"{found}  {path.name}\n", encoding="utf-8")
        part.replace(record)
    return found


def _recorded(record: Path) -> str:
    """Give the recorded SHA-256; "" if there is no record."""
    if not record.exists():
        return ""
    found = _RECORD.match(record.read_text(encoding="utf-8", errors="replace"))
    if not found:
        raise DataError(f"{record}: begins with no SHA-256 (64 hexadecimal digits); delete it to record anew")
    return found[1]


def _expected(file: PublicFile) -> str:
    """Give the SHA-256 that a file must have; "" if any is right, as none was met before."""
    return file.sha256.lower() or _recorded(cache_folder() / f"{file.name}.sha256")


def _places(file: PublicFile, mirror: Path | str | None) -> Iterator[Path]:
    """Give where a file may be, first the place that counts most."""
    mirror = mirror or os.environ.get("RGBENCH_MIRROR")
    if mirror:
        if not Path(mirror).is_dir():
            raise DataError(f"{mirror}: is no folder, but named as the mirror (--mirror or RGBENCH_MIRROR)")
        yield Path(mirror) / file.mirror_path
    if file.package:
        yield from _in_package(file)
    yield cache_folder() / file.name


def _in_package(file: PublicFile) -> Iterator[Path]:
    """Give the file inside the installed package that brings it, which is not imported."""
    try:
        entries = metadata.files(file.package) or []
    except metadata.PackageNotFoundError:
        return
    yield from (Path(str(entry.locate())) for entry in entries if entry.name == file.name)


def _checked(path: Path, file: PublicFile) -> Path:
    if not file.sha256:
        check_recorded(path, cache_folder() / f"{file.name}.sha256")
        return path
    found = sha256_of(path)
    if found != file.sha256.lower():
        raise ChecksumError(f"{path}: SHA-256 is {found}, expected {file.sha256}; delete it to fetch it anew")
    return path


def _by_hand(file: PublicFile) -> str:
    easier = f"pip install --no-deps {file.package}, or " if file.package else ""
    expected = _expected(file) or "is not known beforehand"
    return (
        f"{easier}fetch {file.url} by hand (SHA-256 {expected}) and put it at {cache_folder() / file.name}, or set "
        f"RGBENCH_MIRROR to a folder that holds {file.mirror_path}"
    )


def _fetch(file: PublicFile, path: Path, progress: Progress, retry: RetryPolicy) -> Path:
    """Download into a part beside the path; move it into place when it is whole and right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path) as part:
        if not path.exists():
            _fetch_part(file, part, progress, retry)
            part.replace(path)
            _discard(part)
        return _checked(path, file)


def _fetch_part(file: PublicFile, part: Path, progress: Progress, retry: RetryPolicy) -> None:
    """Download the part, once more from the first byte if its pieces turn out not to be of one version."""
    expected = _expected(file)
    for _ in range(2):
        resumed = _download(file, part, progress, retry)
        found = sha256_of(part)
        if found == (expected or found):
            return
        _discard(part)
        if not resumed:
            break
    raise ChecksumError(
        f"{file.name}: what came has SHA-256 {found}, expected {expected}, and is not kept; {_by_hand(file)}"
    )


def _download(file: PublicFile, part: Path, progress: Progress, retry: RetryPolicy) -> bool:
    """Fetch the whole file into a part; tell whether it may be pieced together."""
    resumed = False
    for wait in (*retry.waits(), None):
        resumed |= part.exists()
        try:
            _attempt(file, part, progress, retry)
            break
        except (OSError, http.client.HTTPException) as error:
            if wait is None or _is_final(error):
                raise
            _pause(error, wait, retry.longest_wait)
    return resumed


def _attempt(file: PublicFile, part: Path, progress: Progress, retry: RetryPolicy) -> None:
    """Ask once, from where the part ends."""
    have, version = _state(file, part)
    opener = urllib.request.build_opener(_OnlyWeb())
    try:
        answer = opener.open(_request(file.url, have, version), timeout=retry.timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416 or not have:
            raise
        if sha256_of(part) != _expected(file):
            _discard(part)
            raise OSError(f"no more than {have} bytes are there, and those had are not the file") from error
        progress(have, have)
    except ValueError as error:
        raise _Final(f"an address that is none: {error}") from error
    else:
        with answer:
            _receive(answer, file, part, Watch(progress, retry))


def _state(file: PublicFile, part: Path) -> tuple[int, str]:
    """Give the bytes had and their version; none if no version is known, nor a checksum to tell if all is well."""
    note = _version_note(part)
    version = note.read_text(encoding="latin-1") if note.exists() else ""
    if not part.exists() or not (version or _expected(file)):
        return 0, ""
    return part.stat().st_size, version


def _request(url: str, have: int, version: str) -> urllib.request.Request:
    headers = {"User-Agent": "rgbench", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        headers |= {"If-Range": version} if version else {}
    return urllib.request.Request(url, headers=headers)


def _receive(answer: Any, file: PublicFile, part: Path, progress: Progress) -> None:
    """Write an answer to the end of the part, or to a new one if it is the whole file."""
    if answer.status == 206:
        have, total = _continued(answer, file, part)
    else:
        have, total = 0, answer.length or 0
        # First the old bytes go, then the new version is noted: never do old bytes stand under a new version.
        _discard(part)
        _version_note(part).write_text(_validator(answer.headers), encoding="latin-1")
    if answer.length is None and not answer.chunked and not _expected(file):
        raise _Final("neither its length nor its SHA-256 is known, so nothing would tell whether it is whole")
    _make_room(part, total - have)
    with part.open("ab") as target:
        progress(have, total)
        while block := answer.read1(BLOCK):  # what has come; `read` would lose it when the connection breaks
            target.write(block)
            have += len(block)
            if not total and have > _LARGEST:
                raise _Final(
                    f"more than {_LARGEST} bytes came, and the server does not tell how many there are"
                )
            progress(have, total)
        target.flush()
        os.fsync(target.fileno())
    if have < total:
        raise OSError(f"the connection broke after {have} of {total} bytes")


def _continued(answer: Any, file: PublicFile, part: Path) -> tuple[int, int]:
    """Give the bytes had and the bytes in all of a partial answer, which must go on where the part ends."""
    have, version = _state(file, part)
    told = str(answer.headers.get("Content-Range", ""))
    match = _CONTENT_RANGE.fullmatch(told)
    if not match or int(match[1]) != have:
        raise OSError(f"asked for bytes from {have}, got {told!r}")
    now = answer.headers.get("ETag" if version.startswith('"') else "Last-Modified")
    if version and now and now != version:
        _discard(part)
        raise OSError(f"the file there changed: it was {version}, and is {now}")
    return have, have + (answer.length or 0) if match[2] == "*" else int(match[2])


def _version_note(part: Path) -> Path:
    """Give the file that tells which version of the remote file a part is of."""
    return part.with_name(f"{part.name}.version")


def _validator(headers: Any) -> str:
    """Give what tells versions apart in an If-Range: a strong ETag, else the date; "" if there is neither."""
    tag = str(headers.get("ETag") or "")
    return tag if tag.startswith('"') else str(headers.get("Last-Modified") or "")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_note(part).unlink(missing_ok=True)


class _Final(OSError):
    """What will be the same next time: trying again is of no use."""


def _is_final(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code < 500 and error.code not in (408, 425, 429)
    return isinstance(error, (_Final, http.client.InvalidURL)) or getattr(error, "errno", None) in _LOCAL


def _make_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise _Final(f"{needed} bytes are needed in {part.parent}, {free} are free")


def _pause(error: Exception, wait: float, longest: float) -> None:
    """Wait before the next attempt, as long as the server asks if it names a time."""
    asked = _asked_wait(error)
    if asked > longest:
        raise _Final(f"{error}; the server asks to be left alone for {asked:.0f} s") from error
    time.sleep(max(asked, wait))


def _asked_wait(error: Exception) -> float:
    """Give the seconds that a server asks to wait; 0 if it does not."""
    if not isinstance(error, urllib.error.HTTPError):
        return 0.0
    return retry_after(error.headers, datetime.now(UTC)) or 0.0


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """Keep other processes from fetching the same file, and give the part to write; they wait, and find it there."""
    lock, part = FileLock(f"{path}.lock"), path.with_name(f"{path.name}.part")
    try:
        lock.acquire()
    except (OSError, NotImplementedError):  # the file system knows no locks
        part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        yield part
    finally:
        if lock.is_locked:
            lock.release()
        else:
            _discard(part)


class _OnlyWeb(urllib.request.BaseHandler):
    """Refuse all but http and https, e.g. file:, by which a redirection could lead to files of this machine."""

    handler_order = 0

    def default_open(self, request: urllib.request.Request) -> None:
        if request.type not in ("http", "https"):
            raise _Final(f"{request.full_url}: {request.type} is neither http nor https")
