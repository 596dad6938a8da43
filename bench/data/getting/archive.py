"""Unpacks archives of foreign origin."""

import errno
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from unicodedata import category

from bench.errors import DataError, NoRoom

DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(ValueError, RuntimeError),  # names that are no text or none at all, unknown compression
)
CHUNK = 1 << 20
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a zip or tar archive into a folder.

    Raises:
        DataError: If it is missing, damaged, encrypted or compressed in a way that is not known, or
            holds anything but plain files and folders below its top; nothing is unpacked then but
            what a damaged archive held before its damage.
        NoRoom: If it is larger than the disk.
    """
    if not archive.is_file():
        raise DataError(f"--archive {archive}: no such file. Name the archive you downloaded.")
    if zipfile.is_zipfile(archive):
        _unpack_zip(archive, folder)
    elif tarfile.is_tarfile(archive):
        _unpack_tar(archive, folder)
    else:
        raise DataError(
            f"{archive}: is not a zip or tar archive, or it is truncated. Download it again."
        )


def _unpack_zip(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                _check_name(archive, member.filename)
                if stat.S_ISLNK(member.external_attr >> 16):
                    raise _refused(archive, member.filename, "is a link")
                if member.flag_bits & 1:
                    raise _refused(archive, member.filename, "is encrypted")
                if member.compress_type not in COMPRESSIONS:
                    raise DataError(
                        f"{archive}: its member {member.filename} is compressed by method "
                        f"{member.compress_type}, which Python cannot decompress. Unpack the "
                        "archive by hand and repack its files as a plain zip or tar."
                    )
            _check_room(archive, sum(member.file_size for member in file.infolist()), folder)
            file.extractall(folder)
    except DAMAGED as error:
        raise _failure(archive, folder, error) from error


def _unpack_tar(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as file:
            members = file.getmembers()
            _read_to_the_end(file)
            for member in members:
                _check_name(archive, member.name)
                if member.issym() or member.islnk():
                    raise _refused(archive, member.name, "is a link")
                if not (member.isfile() or member.isdir()):
                    raise _refused(archive, member.name, "is neither a file nor a folder")
            _check_room(archive, sum(member.size for member in members), folder)
            if hasattr(tarfile, "data_filter"):
                file.extractall(folder, filter="data")
            else:  # Python below 3.11.4; what the filter refuses has been refused above
                file.extractall(folder)
    except DAMAGED as error:
        raise _failure(archive, folder, error) from error


def _read_to_the_end(file: tarfile.TarFile) -> None:
    """Reads what follows the members: a checksum of all comes last, and is checked then."""
    assert file.fileobj is not None
    while file.fileobj.read(CHUNK):
        pass


def _check_name(archive: Path, name: str) -> None:
    if not name or not _is_text(name):
        raise _refused(archive, ascii(name), "has an unreadable name")
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise _refused(archive, name, "leaves the folder")


def _check_room(archive: Path, size: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise NoRoom(
            f"{archive}: unpacks to {size / 1e6:.0f} MB, but {folder} has {free / 1e6:.0f} MB "
            "free. Free space, or choose another folder with --root DIR."
        )


def _refused(archive: Path, name: str, what: str) -> DataError:
    return DataError(
        f"{archive}: its member {name} {what}, so the suite unpacked nothing. Get the archive from "
        "its official address."
    )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are of no encoding
        return False
    return not any(category(character) == "Cc" for character in name)


def _failure(archive: Path, folder: Path, error: Exception) -> DataError:
    """What went wrong in words: with the disk, or else with the archive."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoRoom(
            f"{archive}: cannot be unpacked into {folder} ({error.strerror}). Free space, or "
            "choose another folder with --root DIR."
        )
    if isinstance(error, OSError) and error.errno is not None:
        return DataError(
            f"{archive}: cannot be unpacked into {folder} ({error.strerror}: {error.filename}). "
            "Permit reading and writing there, or choose another folder with --root DIR."
        )
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return DataError(f"{archive}: is damaged or truncated ({reason}). Download it again.")
