"""Read the files in an archive, safely: in memory, nothing is ever written to disk.

Names that lead elsewhere, links and devices are refused. Sizes are counted while the archive unpacks,
because what it declares may be a lie.
"""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from rgbench.errors import DataError

_BLOCK = 1 << 20
_FAULTS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    MemoryError,
)
"""What the libraries raise on broken archives."""


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold.

    Attributes
    ----------
    members : int
        Files and folders.
    member_bytes, total_bytes : int
        Unpacked bytes of one file, and of all.
    """

    members: int = 2000
    member_bytes: int = 1 << 26
    total_bytes: int = 1 << 29


def read_members(path: Path | str, limits: Limits | None = None) -> Iterator[tuple[str, bytes]]:
    """Give the files in a .tar.gz or .zip archive one by one, in its order.

    Parameters
    ----------
    path : path
        The archive; its kind is told from its first bytes.
    limits : Limits, optional
        How much it may hold.

    Yields
    ------
    (str, bytes)
        Name within the archive, with forward slashes, and content. Folders are passed over.

    Raises
    ------
    DataError
        If a name is absolute, leads out of the archive or stands there twice, a member is neither a file
        nor a folder, a limit is exceeded, or the archive is broken. The message names the archive, and
        the member and limit where there is one.
    """
    path, limits = Path(path), limits or Limits()
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start[:2] == b"\x1f\x8b":
                yield from _read_tar(path, file, limits)
            elif start[:2] == b"PK":
                yield from _read_zip(path, file, limits)
            else:
                raise DataError(f"{path}: is neither a .tar.gz nor a .zip archive")
    except _FAULTS as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{path}: the archive cannot be read: {reason}") from error


class _Bounded(io.RawIOBase):
    """A stream that ends in an error when it has given more bytes than it may."""

    def __init__(self, file: gzip.GzipFile, path: Path, limits: Limits) -> None:
        self._file, self._path, self._limits = file, path, limits
        # Headers and padding of a member take 1.5 kB, or a few more for a long name.
        self._left = limits.total_bytes + 8192 * limits.members + tarfile.RECORDSIZE

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes; the whole of what is left may not be asked for."""
        wanted = min(size, self._left + 1) if size >= 0 else self._left + 1
        block = self._file.read(wanted)
        self._left -= len(block)
        if self._left < 0:
            raise DataError(f"{self._path}: unpacks to more than {self._limits.total_bytes} bytes in all")
        return block


class _Count:
    """What has been read of an archive so far."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._seen: set[str] = set()
        self._total = 0

    def admit(self, name: str) -> None:
        """Raise unless a member of this name may be read."""
        pure = PurePosixPath(name)
        if pure.is_absolute() or PureWindowsPath(name).drive or "\\" in name or "\0" in name:
            raise DataError(f"{self._path}: the member {name!r} has an absolute or foreign path; refused")
        if not pure.parts or ".." in pure.parts:
            raise DataError(f"{self._path}: the member {name!r} leads out of the archive; refused")
        if str(pure) in self._seen:
            raise DataError(f"{self._path}: the member {name!r} stands there twice")
        self._seen.add(str(pure))
        if len(self._seen) > self._limits.members:
            raise DataError(
                f"{self._path}: the member {name!r} is one too many; the limit is {self._limits.members} members"
            )

    def read(self, name: str, stream: IO[bytes]) -> bytes:
        """Read a member, block by block, up to the limits."""
        content = bytearray()
        while block := stream.read(min(_BLOCK, self._limits.member_bytes + 1)):
            content += block
            self._total += len(block)
            if len(content) > self._limits.member_bytes:
                raise DataError(
                    f"{self._path}: the member {name!r} unpacks to more than the limit of "
                    f"{self._limits.member_bytes} bytes"
                )
            if self._total > self._limits.total_bytes:
                raise DataError(
                    f"{self._path}: with the member {name!r} it unpacks to more than the limit of "
                    f"{self._limits.total_bytes} bytes in all"
                )
        return bytes(content)


def _read_tar(path: Path, file: IO[bytes], limits: Limits) -> Iterator[tuple[str, bytes]]:
    count = _Count(path, limits)
    with gzip.GzipFile(fileobj=file) as unpacked:
        bounded = _Bounded(unpacked, path, limits)
        with tarfile.open(fileobj=bounded, mode="r|") as archive:
            for member in archive:
                count.admit(member.name)
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise DataError(
                        f"{path}: the member {member.name!r} is a link, device or the like; refused"
                    )
                stream = archive.extractfile(member)
                content = b"" if stream is None else count.read(member.name, stream)
                if len(content) != member.size:
                    raise DataError(
                        f"{path}: the member {member.name!r} breaks off after {len(content)} bytes"
                    )
                yield str(PurePosixPath(member.name)), content


def _read_zip(path: Path, file: IO[bytes], limits: Limits) -> Iterator[tuple[str, bytes]]:
    count = _Count(path, limits)
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            name = member.orig_filename
            count.admit(name)
            if member.is_dir():
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise DataError(f"{path}: the member {name!r} is a link, device or the like; refused")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(f"{path}: the member {name!r} is packed in an unknown way; refused")
            with archive.open(member) as stream:
                yield str(PurePosixPath(name)), count.read(name, stream)
