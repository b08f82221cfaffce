"""Find a public file: in the mirror, in the cache, or by download; always checked by SHA-256."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rgbench.errors import ChecksumError, DataError

BLOCK = 1 << 16
TIMEOUT = 30.0
RETRIES = 4
"""Attempts at a download; each goes on where the one before broke off."""


@dataclass(frozen=True)
class PublicFile:
    """A public file: its name, place in a mirror, URL and SHA-256."""

    name: str
    mirror_path: str
    url: str
    sha256: str


def where(file: PublicFile, mirror: Path | str | None = None) -> Path | None:
    """Give the path of a public file if it is here, unchecked."""
    return None


def locate(
    file: PublicFile,
    mirror: Path | str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Give the path of a public file.

    ``$RGBENCH_MIRROR`` is looked in first, then the cache (``$RGBENCH_CACHE``, by default
    ``~/.cache/rgbench``); what is in neither is downloaded into the cache.

    Raises
    ------
    ChecksumError
        If the file found or fetched has another SHA-256.
    DataError
        If it cannot be fetched; the message says what to fetch by hand and where to put it.
    """
    mirror = os.environ.get("RGBENCH_MIRROR")
    if mirror:
        path = Path(mirror) / file.mirror_path
        if path.exists():
            return _checked(path, file)
    cache = Path(os.environ.get("RGBENCH_CACHE") or Path.home() / ".cache" / "rgbench")
    path = cache / file.name
    if path.exists():
        return _checked(path, file)
    cache.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    for attempt in range(RETRIES):
        try:
            _download(file.url, part, progress)
            break
        except (urllib.error.URLError, OSError, EOFError) as error:
            if attempt == RETRIES - 1:
                raise DataError(
                    f"{file.name} could not be fetched from {file.url} ({error}); fetch it by hand and put it "
                    f"at {path}, or set RGBENCH_MIRROR to a folder that holds {file.mirror_path}"
                ) from error
            time.sleep(0.2 * 2**attempt)
    try:
        _checked(part, file)
    except ChecksumError:
        part.unlink()
        raise
    part.replace(path)
    return path


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(path: Path, file: PublicFile) -> Path:
    found = sha256_of(path)
    if found != file.sha256:
        raise ChecksumError(
            f"{path}: SHA-256 is {found}, expected {file.sha256}; delete it and fetch it anew"
        )
    return path


def _download(url: str, part: Path, progress: Callable[[int, int], None]) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return
        raise
    with answer:
        if have and answer.status != 206:
            have = 0
        total = have + int(answer.headers.get("Content-Length") or 0)
        with part.open("ab" if have else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                have += len(block)
                progress(have, total)
    if have < total:
        raise EOFError(f"the connection broke after {have} of {total} bytes")
