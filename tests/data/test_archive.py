"""Archives are unpacked whole and safely, or not at all."""

import errno
import io
import os
import struct
import tarfile
import zipfile
import zlib

import pytest

from bench.data.getting.archive import unpack
from bench.errors import DataError, NoRoom


def make_zip(path, members, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def make_tar(path, members, kind="w:gz"):
    with tarfile.open(path, kind) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


MEMBERS = {"top/a.txt": b"a" * 5000, "top/b/c.txt": os.urandom(5000)}


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_archive_is_unpacked(tmp_path, kind):
    path = tmp_path / "archive"
    make_zip(path, MEMBERS) if kind == "zip" else make_tar(path, MEMBERS, kind)
    unpack(path, tmp_path / "out")
    for name, content in MEMBERS.items():
        assert (tmp_path / "out" / name).read_bytes() == content


def refused(path, folder, words):
    with pytest.raises(DataError, match=words) as raised:
        unpack(path, folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:/evil", "..\\evil"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_path_that_leaves_the_folder_is_refused(tmp_path, make, name):
    path = make(tmp_path / "archive", {"good": b"", name: b"evil"})
    refused(path, tmp_path / "in" / "out", "leaves the folder, so the suite unpacked nothing.")
    assert [entry.name for entry in tmp_path.rglob("*") if entry.is_file()] == ["archive"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_link_in_a_tar_is_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "archive", "w") as file:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    refused(tmp_path / "archive", tmp_path / "out", "its member link is a link")


def test_device_in_a_tar_is_refused(tmp_path):
    with tarfile.open(tmp_path / "archive", "w") as file:
        info = tarfile.TarInfo("pipe")
        info.type = tarfile.FIFOTYPE
        file.addfile(info)
    refused(tmp_path / "archive", tmp_path / "out", "pipe is neither a file nor a folder")


def test_link_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive", "w") as file:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    refused(tmp_path / "archive", tmp_path / "out", "its member link is a link")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_truncated_archive_is_named(tmp_path, make, share):
    path = make(tmp_path / "archive", MEMBERS)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path, tmp_path / "out", "truncated.*Download it again")


def test_damaged_member_is_named(tmp_path):
    path = make_zip(tmp_path / "archive", MEMBERS)
    data = bytearray(path.read_bytes())
    data[5100] ^= 0xFF
    path.write_bytes(data)
    refused(path, tmp_path / "out", "is damaged or truncated")


def test_other_file_is_refused(tmp_path):
    (tmp_path / "page.html").write_text("<html>log in</html>" * 100)
    refused(tmp_path / "page.html", tmp_path / "out", "is not a zip or tar archive")
    refused(tmp_path / "gone.zip", tmp_path / "out", "no such file")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_archive_larger_than_the_disk_is_refused(tmp_path, make, monkeypatch):
    path = make(tmp_path / "archive", MEMBERS)
    usage = type("Usage", (), {"free": 9999})
    monkeypatch.setattr("bench.data.getting.archive.shutil.disk_usage", lambda folder: usage)
    refused(path, tmp_path / "out", r"unpacks to 0 MB, but .* has 0 MB free")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("method", [9, 20, 97])
def test_compression_that_is_not_known_is_told(tmp_path, method):
    """Such as that of Windows' explorer for files beyond 2 GB."""
    path = make_zip(tmp_path / "archive", MEMBERS)
    data = bytearray(path.read_bytes())
    for signature, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        start = data.index(signature)
        data[start + place : start + place + 2] = method.to_bytes(2, "little")
    path.write_bytes(data)
    refused(path, tmp_path / "out", f"top/a.txt is compressed by method {method}, .*plain zip or t")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", "a\x1b[31m", "a\nb", "a\0b"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_name_that_cannot_be_read_is_refused(tmp_path, make, name):
    path = make(tmp_path / "archive", {"good": b"", "bad/place": b"x"})
    if make is make_zip:
        path = rename_in_zip(path, name.encode(), flag=0)
        if "\0" in name:  # zipfile ends a name there
            return
    else:
        path = make_tar(tmp_path / "archive", {"good": b"", "zzzzzzzzz": b"x"}, "w")
        path.write_bytes(renamed_in_tar(path.read_bytes(), name.encode()))
        if "\0" in name:  # so does tar
            return
    refused(path, tmp_path / "out", "has an unreadable name, so the suite unpacked nothing.")
    assert "\x1b" not in told(path, tmp_path / "out")


def test_name_of_no_encoding_is_refused(tmp_path):
    path = rename_in_zip(make_zip(tmp_path / "a.zip", {"bad/place": b""}), b"\xff\xfe", flag=0x800)
    refused(path, tmp_path / "out", "is damaged or truncated")
    path = make_tar(tmp_path / "a.tar", {"zzzzzzzzz": b"x"}, "w")
    path.write_bytes(renamed_in_tar(path.read_bytes(), b"\xff\xfe"))
    refused(path, tmp_path / "out", "has an unreadable name")


def rename_in_zip(path, name, flag):
    """Writes a zip with one member of any name, which zipfile would not write."""
    info = struct.pack("<5H3L2H", 20, flag, 0, 0, 33, zlib.crc32(b"x"), 1, 1, len(name), 0)
    local = b"PK\3\4" + info + name + b"x"
    central = b"PK\1\2" + struct.pack("<H", 20) + info + struct.pack("<3H2L", 0, 0, 0, 0, 0) + name
    end = b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 1, 1, len(central), len(local), 0)
    path.write_bytes(local + central + end)
    return path


def renamed_in_tar(data, name):
    """The bytes of a tar whose member zzzzzzzzz has another name, its header's sum corrected."""
    start = data.index(b"zzzzzzzzz")
    header = bytearray(data[start : start + 512])
    header[:100] = name.ljust(100, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return data[:start] + bytes(header) + data[start + 512 :]


def told(path, folder):
    with pytest.raises(DataError) as raised:
        unpack(path, folder)
    return str(raised.value)


@pytest.mark.parametrize("kind", ["w:gz", "w:xz"])
def test_checksum_at_the_end_is_checked(tmp_path, kind):
    path = make_tar(tmp_path / "archive", MEMBERS, kind)
    data = bytearray(path.read_bytes())
    data[-6 if kind == "w:gz" else -20] ^= 1
    path.write_bytes(data)
    refused(path, tmp_path / "out", "is damaged or truncated")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_full_disk_is_no_damage(tmp_path, make, monkeypatch):
    path = make(tmp_path / "archive", MEMBERS)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zipfile.shutil.copyfileobj", full)
    monkeypatch.setattr("tarfile.copyfileobj", full)
    with pytest.raises(NoRoom, match=r"cannot be unpacked .*No space left on device.*Free space"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_folder_that_cannot_be_written_is_no_damage(tmp_path, make):
    path = make(tmp_path / "archive", MEMBERS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "top").write_text("a file")
    line = told(path, tmp_path / "out")
    assert "cannot be unpacked into" in line
    assert "damaged" not in line
