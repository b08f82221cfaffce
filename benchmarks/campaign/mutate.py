"""Seeded mutations of files: bytes of any file, and the cards, cells, keys and members of the kinds that have them."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

Mutation = Callable[[np.random.Generator, bytes], bytes]
CARD = 80
NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e400",
    "1e308",
    "-1e308",
    "1e-320",
    "9223372036854775808",
    "2147483648",
)
WORDS = (
    "",
    "'",
    '"',
    "\x00",
    "\x1b[2J",
    "é",
    "\u202eabc",
    "=1+1",
    "../../up",
    "<b>",
    "[red]",
    "x" * 5000,
    "a\nb",
    "%s",
)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 2**63, 10**30, 10**400, float("nan"), float("inf"), "", "x" * 5000, "\x1b[2J",
    "../../up", [], {}, [[]], {"": None},
)  # fmt: skip
NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")
WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9]{2,}")


def _pick(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _span(rng: np.random.Generator, n: int) -> tuple[int, int]:
    start = int(rng.integers(n + 1))
    return start, min(n, start + int(2 ** rng.integers(0, 12)))


def flipped(rng: np.random.Generator, data: bytes) -> bytes:
    """Change a few bytes, most of them near the beginning, where formats keep what they declare."""
    if not data:
        return data
    changed = bytearray(data)
    reach = _pick(rng, (min(len(data), 512), len(data)))
    for place in rng.integers(0, reach, int(2 ** rng.integers(0, 7))):
        changed[place] = int(rng.integers(256))
    return bytes(changed)


def truncated(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def duplicated(rng: np.random.Generator, data: bytes) -> bytes:
    start, end = _span(rng, len(data))
    return data[:end] + data[start:end] + data[end:]


def swapped(rng: np.random.Generator, data: bytes) -> bytes:
    start, end = _span(rng, len(data))
    middle = int(rng.integers(end, len(data) + 1))
    return data[:start] + data[end:middle] + data[start:end] + data[middle:]


BYTES: tuple[Mutation, ...] = (flipped, truncated, duplicated, swapped)


def _replaced(
    rng: np.random.Generator, data: bytes, pattern: re.Pattern[bytes], choices: tuple[str, ...]
) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data
    match = _pick(rng, found)
    return data[: match.start()] + _pick(rng, choices).encode() + data[match.end() :]


def number(rng: np.random.Generator, data: bytes) -> bytes:
    return _replaced(rng, data, NUMBER, NUMBERS)


def word(rng: np.random.Generator, data: bytes) -> bytes:
    return _replaced(rng, data, WORD, WORDS)


def line(rng: np.random.Generator, data: bytes) -> bytes:
    """Remove, double or move a line."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    one = lines.pop(int(rng.integers(len(lines))))
    for _ in range(int(rng.integers(3))):
        lines.insert(int(rng.integers(len(lines) + 1)), one)
    return b"".join(lines)


TEXT: tuple[Mutation, ...] = (number, word, line, *BYTES)


def card(rng: np.random.Generator, data: bytes) -> bytes:
    """Change the value of a header card, remove, double or move one; the file keeps its length where it can."""
    blocks = [
        at for at in range(0, len(data) - CARD, CARD) if re.match(rb"[A-Z0-9_-]+ *= ", data[at : at + CARD])
    ]
    if not blocks:
        return data
    at = _pick(rng, blocks)
    kind = int(rng.integers(6))
    if kind == 0:
        other = _pick(rng, blocks)
        new = data[other : other + CARD]
    elif kind == 1:
        new = b"COMMENT".ljust(CARD)
    elif kind == 2:
        new = data[at : at + 10] + ("'" + _pick(rng, WORDS[:11])[:60] + "'").encode()[:70].ljust(70)
    else:
        new = data[at : at + 10] + _pick(rng, NUMBERS).rjust(20).encode().ljust(70)
    return data[:at] + new[:CARD] + data[at + CARD :]


def pixels(rng: np.random.Generator, data: bytes) -> bytes:
    """Write NaN, infinity or a huge number over a stretch of the last blocks, where the pixels are."""
    if len(data) < 5760:
        return data
    start = int(rng.integers(2880, len(data) // 4 * 4) // 4 * 4)
    count = int(rng.integers(1, (len(data) - start) // 4 + 1))
    value = struct.pack(">f", _pick(rng, (np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0)))
    return data[:start] + value * count + data[start + 4 * count :]


FITS: tuple[Mutation, ...] = (card, card, card, pixels, *BYTES)


def inside_gzip(mutation: Mutation) -> Mutation:
    def changed(rng: np.random.Generator, data: bytes) -> bytes:
        try:
            plain = gzip.decompress(data)
        except (OSError, EOFError, ValueError):
            return data
        except Exception:  # zlib.error of a stream that an earlier mutation broke
            return data
        return gzip.compress(mutation(rng, plain), 1, mtime=0)

    return changed


def leaf(rng: np.random.Generator, content: Any) -> Any:
    """Give JSON-like content with one value replaced, or one key removed."""
    if isinstance(content, dict) and content and rng.random() < 0.9:
        key = _pick(rng, sorted(content))
        if rng.random() < 0.1:
            return {k: v for k, v in content.items() if k != key}
        return {**content, key: leaf(rng, content[key])}
    if isinstance(content, list) and content and rng.random() < 0.9:
        place = int(rng.integers(len(content)))
        return [*content[:place], leaf(rng, content[place]), *content[place + 1 :]]
    return _pick(rng, VALUES)


def json_value(rng: np.random.Generator, data: bytes) -> bytes:
    try:
        return json.dumps(leaf(rng, json.loads(data))).encode()
    except (ValueError, RecursionError):
        return flipped(rng, data)


JSON: tuple[Mutation, ...] = (json_value, json_value, json_value, *BYTES)


def tensor_head(rng: np.random.Generator, data: bytes) -> bytes:
    """Change the head of a safetensors file: shapes, offsets, types, and the JSON texts in its metadata."""
    try:
        (size,) = struct.unpack("<Q", data[:8])
        head = json.loads(data[8 : 8 + size])
        texts = {k: v for k, v in head.get("__metadata__", {}).items() if v[:1] in "{["}
        if texts and rng.random() < 0.6:
            key = _pick(rng, sorted(texts))
            head["__metadata__"][key] = json_value(rng, texts[key].encode()).decode()
        else:
            head = leaf(rng, head)
    except (ValueError, struct.error, AttributeError, TypeError):
        return flipped(rng, data)
    new = json.dumps(head).encode()
    return struct.pack("<Q", len(new)) + new + data[8 + size :]


def tensor_values(rng: np.random.Generator, data: bytes) -> bytes:
    value = struct.pack("<f", _pick(rng, (np.nan, np.inf, 3e38, -3e38, 0.0)))
    start = len(data) - 4 * int(rng.integers(1, max(2, len(data) // 5)))
    return data[: max(start, 0)] + value + data[max(start, 0) + 4 :]


TENSORS: tuple[Mutation, ...] = (tensor_head, tensor_head, tensor_values, *BYTES)


def hdf5(rng: np.random.Generator, data: bytes) -> bytes:
    """Change an attribute, a dataset's values or shape, or remove or link one."""
    buffer = io.BytesIO(data)
    try:
        with h5py.File(buffer, "r+") as file:
            _change_hdf5(rng, file)
    except Exception:  # what an earlier mutation broke is changed as bytes
        return flipped(rng, data)
    return buffer.getvalue()


def _change_hdf5(rng: np.random.Generator, file: Any) -> None:
    names: list[str] = []
    file.visit(names.append)
    kind = int(rng.integers(5))
    if kind <= 1 and "model_config" in file.attrs:
        text = file.attrs["model_config"]
        raw = text if isinstance(text, bytes) else str(text).encode()
        file.attrs["model_config"] = json_value(rng, raw).decode()
        return
    name = _pick(rng, names)
    if kind == 2 and isinstance(file[name], h5py.Dataset) and file[name].size:
        values = np.asarray(file[name], dtype=np.float32)
        values.flat[int(rng.integers(values.size))] = _pick(rng, (np.nan, np.inf, 3e38, -1.0))
        file[name][...] = values
        return
    attributes = [(n, a) for n in ["/", *names] for a in file[n].attrs]
    if kind == 3 and attributes:
        place, key = _pick(rng, attributes)
        file[place].attrs[key] = _pick(rng, (np.float64("nan"), -1, "x", [b"a", b"b"], b"\xff\xfe", 2**62))
        return
    del file[name]
    new = (
        h5py.SoftLink("/nowhere"),
        h5py.ExternalLink("/etc/passwd", "/x"),
        np.zeros(0),
        np.array(["a"], "S1"),
    )
    file[name] = _pick(rng, new)


HDF5: tuple[Mutation, ...] = (hdf5, hdf5, hdf5, *BYTES)
HOSTILE = (
    "../outside.txt",
    "/tmp/outside.txt",
    "a/../../outside",
    "a\\..\\b",
    "C:\\x",
    "",
    ".",
    "a\x1b[2J",
    "n" * 300,
)


def tar_member(rng: np.random.Generator, data: bytes) -> bytes:
    """Add a member that leads out, links, repeats, is a device, or is far larger than it looks."""
    buffer = io.BytesIO()
    try:
        with (
            tarfile.open(fileobj=io.BytesIO(data)) as old,
            tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as new,
        ):
            members = [(m, old.extractfile(m)) for m in old.getmembers()]
            for info, content in members:
                new.addfile(info, content)
            info = tarfile.TarInfo(_pick(rng, (*HOSTILE, members[0][0].name)))
            info.type = _pick(
                rng, (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
            )
            info.linkname = _pick(rng, HOSTILE) if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            size = _pick(rng, (3, 3, 80_000_000)) if info.type == tarfile.REGTYPE else 0
            info.size = size
            new.addfile(info, io.BytesIO(bytes(size)))
    except Exception:  # what an earlier mutation broke is changed as bytes
        return flipped(rng, data)
    return buffer.getvalue()


def zip_member(rng: np.random.Generator, data: bytes) -> bytes:
    """Add a member that leads out, repeats, links, or is far larger than it looks."""
    buffer = io.BytesIO(data)
    try:
        with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            info = zipfile.ZipInfo(_pick(rng, tuple(name for name in HOSTILE if name)))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = _pick(rng, (0o100644, 0o120777, 0o020644)) << 16
            file.writestr(info, bytes(_pick(rng, (3, 3, 80_000_000))))
    except Exception:  # what an earlier mutation broke is changed as bytes
        return flipped(rng, data)
    return buffer.getvalue()


TAR: tuple[Mutation, ...] = (tar_member, tar_member, *BYTES, *(inside_gzip(each) for each in BYTES))
ZIP: tuple[Mutation, ...] = (zip_member, zip_member, *BYTES)
