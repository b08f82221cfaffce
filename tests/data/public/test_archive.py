"""Archives: read in memory; whatever leads elsewhere or is too large is refused by name."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgbench.data.public.archive import Limits, read_members
from rgbench.errors import DataError

SMALL = Limits(members=3, member_bytes=1000, total_bytes=2000)
HOSTILE_NAMES = ["../up", "a/../../up", "/etc/passwd", "..", "C:/x", "C:x", "a\\..\\b", "//host/x"]


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **fields) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def make_tar(path, *members, format=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w:gz", format=format) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def files_of(**contents: bytes):
    return [(member(name, len(content)), content) for name, content in contents.items()]


def make_zip(path, *members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def read(path, limits=SMALL):
    return dict(read_members(path, limits))


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}\.bin", fullmatch=True),
        st.binary(max_size=300),
        max_size=6,
    )
)
def test_what_is_packed_comes_back(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("a")
    infos = [(member(name, len(content)), content) for name, content in files.items()]
    assert read(make_tar(folder / "a.tar.gz", *infos), Limits()) == files
    assert read(make_zip(folder / "a.zip", *files.items()), Limits()) == files


def test_nothing_is_written_to_disk(tmp_path, monkeypatch):
    path = make_tar(tmp_path / "a.tar.gz", *files_of(a=b"x"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert read(path) == {"a": b"x"}
    assert list((tmp_path / "here").iterdir()) == []
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.tar.gz"]


def test_folders_are_passed_over_and_names_are_plain(tmp_path):
    infos = [(member("f", kind=tarfile.DIRTYPE), b""), (member("./f/a", 1), b"x")]
    assert read(make_tar(tmp_path / "a.tar.gz", *infos)) == {"f/a": b"x"}
    assert read(make_zip(tmp_path / "a.zip", ("f/", b""), ("f/a", b"x"))) == {"f/a": b"x"}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    for path in (
        make_tar(tmp_path / "a.tar.gz", (member(name, 1), b"x")),
        make_zip(tmp_path / "a.zip", (name, b"x")),
    ):
        with pytest.raises(DataError, match="refused") as caught:
            read(path)
        assert path.name in str(caught.value)
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    path = make_tar(tmp_path / "a.tar.gz", (member("odd", kind=kind, linkname="/etc/passwd"), b""))
    with pytest.raises(DataError, match="the member 'odd' is a link, device or the like"):
        read(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, kind):
    info = zipfile.ZipInfo("odd")
    info.external_attr = (kind | 0o777) << 16
    with pytest.raises(DataError, match="the member 'odd' is a link, device or the like"):
        read(make_zip(tmp_path / "a.zip", (info, "/etc/passwd")))


def test_too_many_members_are_refused(tmp_path):
    many = files_of(a=b"", b=b"", c=b"", d=b"")
    for path in (
        make_tar(tmp_path / "a.tar.gz", *many),
        make_zip(tmp_path / "a.zip", *((info.name, b"") for info, _ in many)),
    ):
        with pytest.raises(DataError, match="the member 'd' is one too many; the limit is 3 members"):
            read(path)


def test_a_member_that_is_too_large_is_refused(tmp_path):
    for path in (
        make_tar(tmp_path / "a.tar.gz", *files_of(a=bytes(1000), big=bytes(1001))),
        make_zip(tmp_path / "a.zip", ("a", bytes(1000)), ("big", bytes(1001))),
    ):
        with pytest.raises(DataError, match="the member 'big' unpacks to more than the limit of 1000 bytes"):
            read(path)


def test_too_much_in_all_is_refused(tmp_path):
    for path in (
        make_tar(tmp_path / "a.tar.gz", *files_of(a=bytes(900), b=bytes(900), c=bytes(900))),
        make_zip(tmp_path / "a.zip", ("a", bytes(900)), ("b", bytes(900)), ("c", bytes(900))),
    ):
        with pytest.raises(DataError, match="the member 'c' it unpacks to more than the limit of 2000 bytes"):
            read(path)


def test_members_before_a_bad_one_can_be_used_but_the_bad_one_never_comes(tmp_path):
    path = make_tar(tmp_path / "a.tar.gz", *files_of(a=b"x", b=bytes(5000)))
    members = read_members(path, SMALL)
    assert next(members) == ("a", b"x")
    with pytest.raises(DataError, match="'b'"):
        next(members)


def peak_of(path, limits, message):
    tracemalloc.start()
    with pytest.raises(DataError, match=message):
        read(path, limits)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_bombs_are_stopped_while_they_unpack(tmp_path):
    size = 1 << 27
    limits = Limits(members=10, member_bytes=1 << 20, total_bytes=1 << 21)
    bomb = make_tar(tmp_path / "a.tar.gz", (member("bomb", size), bytes(size)))
    assert bomb.stat().st_size < 1 << 18
    assert peak_of(bomb, limits, "'bomb' unpacks to more than the limit of 1048576 bytes") < 1 << 23
    bomb = make_zip(tmp_path / "a.zip", ("bomb", bytes(size)))
    assert peak_of(bomb, limits, "'bomb' unpacks to more than the limit of 1048576 bytes") < 1 << 23


def test_a_bomb_in_a_header_is_stopped_too(tmp_path):
    """A long name or comment is read by the library before the member is seen."""
    size = 1 << 27
    header = member("././@PaxHeader", size, tarfile.XHDTYPE)
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(size))
    limits = Limits(members=10, member_bytes=1 << 20, total_bytes=1 << 21)
    assert peak_of(path, limits, "unpacks to more than 2097152 bytes in all") < 1 << 24


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", ("a", bytes(5000)))
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", 5000), struct.pack("<I", 10)))
    with pytest.raises(DataError, match=r"a\.zip"):
        read(path)


def test_overlapping_members_count_each_time(tmp_path):
    """Members of a zip may share the same packed bytes; each still counts."""
    path = make_zip(tmp_path / "a.zip", ("a", bytes(900)))
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.getinfo("a")
        for name in ("b", "c"):
            info = zipfile.ZipInfo(name)
            for key in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(info, key, getattr(first, key))
            archive.filelist.append(info)
            archive.NameToInfo[name] = info
        archive._didModify = True
    with pytest.raises(DataError, match=r"a\.zip"):
        read(path)


def test_a_name_that_stands_there_twice_is_refused(tmp_path):
    twice = [(member("a", 1), b"x"), (member("./a", 1), b"y")]
    with pytest.raises(DataError, match="'./a' stands there twice"):
        read(make_tar(tmp_path / "a.tar.gz", *twice))
    with pytest.raises(DataError, match="'./a' stands there twice"):
        read(make_zip(tmp_path / "a.zip", ("a", b"x"), ("./a", b"y")))


def test_sparse_members_are_refused(tmp_path):
    path = tmp_path / "a.tar.gz"
    info = member("holes", 512, tarfile.GNUTYPE_SPARSE)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"%011o\0%011o\0" % (0, 512)
    block[483:495] = b"%011o\0" % (1 << 33)
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    with gzip.open(path, "wb") as file:
        file.write(bytes(block) + bytes(512 + 1024))
    with pytest.raises(DataError, match="'holes' is a link, device or the like"):
        read(path)


def test_encrypted_and_oddly_packed_zips_are_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", ("a", b"x"), method=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    content[6] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read: .*encrypted"):
        read(path)
    path = make_zip(tmp_path / "b.zip", ("a", bytes(100)), method=zipfile.ZIP_BZIP2)
    with pytest.raises(DataError, match="the member 'a' is packed in an unknown way"):
        read(path)


def test_broken_archives_are_errors_that_name_the_file(tmp_path):
    good = make_tar(tmp_path / "good.tar.gz", *files_of(a=os.urandom(900), b=os.urandom(900))).read_bytes()
    packed = make_zip(tmp_path / "good.zip", ("a", os.urandom(900))).read_bytes()
    flipped = bytearray(packed)
    flipped[200] ^= 255
    cases = {
        "empty": b"",
        "text": b"this is no archive",
        "short.tar.gz": good[:1000],
        "garbage.tar.gz": gzip.compress(b"x" * 2000),
        "zlib.tar.gz": good[:20] + b"\xff" * 100,
        "short.zip": packed[:500],
        "flipped.zip": bytes(flipped),
    }
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read(path)
        assert name in str(caught.value)
    with pytest.raises(DataError, match=r"nowhere\.zip"):
        read(tmp_path / "nowhere.zip")


def test_a_chain_of_headers_is_an_error(tmp_path):
    path = tmp_path / "a.tar.gz"
    record = b"12 a=bcdefg\n"
    block = member("x", len(record), tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")
    with gzip.open(path, "wb") as file:
        file.write(block * 3000)
    with pytest.raises(DataError, match=r"a\.tar\.gz"):
        read(path, Limits())


@given(st.binary(max_size=400))
def test_random_bytes_raise_nothing_but_data_errors(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("r") / "a"
    packed = zlib.compress(content, wbits=31)
    for start in (packed, b"PK\x03\x04" + content, b"PK\x05\x06" + content, b"\x1f\x8b" + content):
        path.write_bytes(start)
        with contextlib.suppress(DataError):
            assert isinstance(read(path), dict)
