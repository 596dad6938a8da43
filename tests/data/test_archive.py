"""Archives are unpacked whole and safely, or not at all."""

import io
import os
import tarfile
import zipfile

import pytest

from bench.data.getting.archive import unpack
from bench.errors import DataError


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
    refused(path, tmp_path / "in" / "out", "leaves the folder, so nothing was unpacked")
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
    refused(path, tmp_path / "out", "cut short.*Download it again")


def test_damaged_member_is_named(tmp_path):
    path = make_zip(tmp_path / "archive", MEMBERS)
    data = bytearray(path.read_bytes())
    data[5100] ^= 0xFF
    path.write_bytes(data)
    refused(path, tmp_path / "out", "is damaged or cut short")


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
