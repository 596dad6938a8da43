"""Detects the kind of an image file by its first bytes."""

import re
import zlib
from pathlib import Path

from bench.config.image_parts import files_in
from bench.errors import DataError

NIFTI, MGH, MINC = "NIfTI", "MGH", "MINC 1"
NRRD, METAIMAGE, DICOM = "NRRD", "MetaImage", "DICOM"
TIFF, PNG, JPEG = "TIFF", "PNG", "JPEG"
BY_NIBABEL, BY_ITK = (NIFTI, MGH, MINC), (NRRD, METAIMAGE, DICOM)
VOLUMES, PICTURES = (*BY_NIBABEL, *BY_ITK), (TIFF, PNG, JPEG)

ENDINGS = {
    ".nii.gz": NIFTI,
    ".nii": NIFTI,
    ".nrrd": NRRD,
    ".nhdr": NRRD,
    ".mha": METAIMAGE,
    ".mhd": METAIMAGE,
    ".dcm": DICOM,
    ".tiff": TIFF,
    ".tif": TIFF,
    ".png": PNG,
    ".jpeg": JPEG,
    ".jpg": JPEG,
}
KNOWN = {
    b"II*\0": TIFF,
    b"MM\0*": TIFF,
    b"II+\0": TIFF,
    b"MM\0+": TIFF,
    b"\x89PNG": PNG,
    b"\xff\xd8\xff": JPEG,
    b"NRRD": NRRD,
    b"\0\0\0\1": MGH,
    b"CDF\1": MINC,
}
HEADERS = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))
TO_NIFTI, TO_TIFF = "Convert it to NIfTI", "Convert it to TIFF"
UNREAD = {  # first bytes of others: their name, and what makes a known kind of them
    b"\x89HDF": (
        "HDF5, as MINC 2, Imaris or MATLAB 7.3 write it",
        f"{TO_NIFTI} (MINC 2: mnc2nii) or TIFF (Imaris: Fiji)",
    ),
    b"MATLAB": ("a MATLAB file", f"{TO_NIFTI} (niftiwrite in MATLAB)"),
    b"\x93NUMPY": ("a NumPy array", f"{TO_NIFTI} (nibabel.Nifti1Image) or TIFF (tifffile.imwrite)"),
    b"PK\3\4": ("a zip archive", "Unpack it"),
    b"Rar!": ("a rar archive", "Unpack it"),
    b"7z\xbc\xaf": ("a 7z archive", "Unpack it"),
    b"BM": ("a BMP image", "Convert it to PNG"),
    b"GIF8": ("a GIF image", "Convert its frames to PNG"),
    b"RIFF": ("a WebP image or a video", "Convert it to PNG"),
    b"\0\0\0\x0cjP": ("a JPEG 2000 image", TO_TIFF),
    b"\xff\x4f\xff\x51": ("a JPEG 2000 image", TO_TIFF),
    b"ZISRAWFILE": ("a Zeiss CZI file", f"{TO_TIFF} (Fiji, or bfconvert)"),
    b"\xda\xce\xbe\x0a": ("a Nikon ND2 file", f"{TO_TIFF} (Fiji, or bfconvert)"),
    b"\x70\0\0\0": ("a Leica LIF file", f"{TO_TIFF} (Fiji, or bfconvert)"),
    b"%PDF": ("a PDF document", "Export its images as PNG"),
    b"P5": ("a PGM image", "Convert it to PNG"),
    b"P6": ("a PPM image", "Convert it to PNG"),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "Run `git lfs pull`"),
    b"/annex/objects": ("a pointer of git-annex, not the file itself", "Run `git annex get`"),
}
AGAIN = "Copy or download it again"  # a file that is damaged
EMPTY = ("empty", AGAIN)
IN_TEXT = (  # patterns in the first bytes of texts: their name, and what to do
    (rb"<GIFTI", "GIFTI, a surface", "Give the volume that it was made from"),
    (
        rb"^\s*<(!doctype html|html|head|body)",
        "a web page, such as a login or an error",
        "Download the file again",
    ),
    (rb"^\s*<[?a-z]", "XML", "If it is a server's message, download the file again"),
    (rb"^\s*[{\[]", "JSON", "Name the image that belongs to it"),
)
GZIP = b"\x1f\x8b"
ENOUGH = 1024  # bytes that tell


def kind_of(path: Path) -> str:
    """The kind of image that a file, or a folder of DICOM files, holds.

    The bytes decide. The ending decides only where they match no known format, so that the reader
    of that format reports the fault.

    Raises:
        DataError: If there is no such file, or the suite does not read its format.
    """
    if path.is_dir():
        if any(kind_in(file) == DICOM for file in files_in(path)):
            return DICOM
        raise DataError(
            f"{path}: is a folder without DICOM files. Name an image file, or the folder of a "
            "DICOM series."
        )
    try:
        head = _head(path)
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file. Copy it there, or remove the subject from the list."
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}).") from error
    kind = _kind(head)
    if kind is None:
        lowered = path.name.lower()
        kind = next((ENDINGS[end] for end in ENDINGS if lowered.endswith(end)), None)
        unread = _unread(head) if path.stat().st_size else EMPTY
        if unread is not None and not (kind and _is_cut(path, head)):
            foreign = "" if unread[1] == AGAIN else ", which the suite does not read"
            raise DataError(f"{path}: is {unread[0]}{foreign}. {unread[1]}.")
    if kind is None:
        raise DataError(
            f"{path}: is not an image file that the suite reads ({', '.join(VOLUMES)}, "
            f"{', '.join(PICTURES)}). {TO_NIFTI} or TIFF."
        )
    return kind


def misnamed(path: Path) -> str | None:
    """The right name of a NIfTI file whose name and bytes disagree about gzip."""
    if _kind(_head(path)) != NIFTI:
        return None
    with open(path, "rb") as file:
        compressed = file.read(2) == GZIP
    called = path.name.lower().endswith(".gz")
    if compressed == called:
        return None
    name = f"{path.name}.gz" if compressed else path.name[: -len(".gz")]
    how = "is compressed by gzip" if compressed else "is not compressed"
    return f"{how}, but its name says otherwise. Rename it to {name}."


def kind_in(path: Path) -> str | None:
    """The kind of a file's bytes, if the suite reads it."""
    return _kind(_head(path))


def stem_of(path: Path) -> str:
    """A file's name without its ending."""
    lowered = path.name.lower()
    found = next((end for end in ENDINGS if lowered.endswith(end)), "")
    return path.name[: len(path.name) - len(found)]


def _head(path: Path) -> bytes:
    """The first bytes of a file, decompressed if it is gzipped."""
    with open(path, "rb") as file:
        head = file.read(ENOUGH)
    if head[:2] != GZIP:
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, ENOUGH)
    except zlib.error:
        return head


def _is_cut(path: Path, head: bytes) -> bool:
    """Whether a gzipped file ends before its bytes tell what it is."""
    with open(path, "rb") as file:
        return file.read(len(GZIP)) == GZIP and len(head) < ENOUGH


def _unread(head: bytes) -> tuple[str, str] | None:
    """Name of an unsupported kind of file, and what to do."""
    if head and not head.strip(b"\0"):
        return "filled with zeros", AGAIN
    if found := next((UNREAD[start] for start in UNREAD if head.startswith(start)), None):
        return found
    if b"\0" in head:
        return None
    for pattern, name, advice in IN_TEXT:
        if re.search(pattern, head, re.I):
            return name, advice
    try:
        head[: head.rfind(b"\n") + 1 or None].decode()
    except UnicodeDecodeError:
        return None
    return "a text file", "Name an image file"


def _kind(head: bytes) -> str | None:
    if head[128:132] == b"DICM":
        return DICOM
    if head[:4] in HEADERS:
        return NIFTI
    if re.search(rb"^\s*(ObjectType|NDims)\s*=", head, re.M):
        return METAIMAGE
    return next((KNOWN[start] for start in KNOWN if head.startswith(start)), None)
