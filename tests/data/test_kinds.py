"""What files are, by their bytes."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from image_files import write_nifti, write_tiff
from PIL import Image

from bench.config.image_parts import files_in, parts_of
from bench.data.files.kinds import kind_of, stem_of
from bench.data.files.volumes import read_volume
from bench.data.sources.paired_folders import rows_of_folders
from bench.data.sources.subject import Subject
from bench.errors import DataError

ARRAY = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)


def write(path, kind):
    if kind in ("NIfTI", "gzipped NIfTI"):
        write_nifti(path.with_suffix(".nii.gz" if kind[0] == "g" else ".nii"), ARRAY).rename(path)
    elif kind == "TIFF":
        write_tiff(path, ARRAY)
    elif kind in ("PNG", "JPEG"):
        Image.fromarray(ARRAY[0]).save(path, format=kind)
    else:
        ending = {"NRRD": ".nrrd", "MetaImage": ".mha", "DICOM": ".dcm"}[kind]
        array = ARRAY[:1] if kind == "DICOM" else ARRAY
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path.with_suffix(ending)))
        path.with_suffix(ending).rename(path)


@pytest.mark.parametrize(
    "kind", ["NIfTI", "gzipped NIfTI", "TIFF", "PNG", "JPEG", "NRRD", "MetaImage", "DICOM"]
)
@pytest.mark.parametrize("name", ["file", "file.dat", "file.png", "file.nrrd"])
def test_bytes_decide_whatever_the_name(tmp_path, kind, name):
    write(tmp_path / name, kind)
    assert kind_of(tmp_path / name) == kind.removeprefix("gzipped ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89HDF\r\n\x1a\n", "is HDF5, as MINC 2, Imaris or MATLAB 7.3 write it, which the"),
        (
            b"MATLAB 5.0 MAT-file",
            r"is a MATLAB file, which the suite does not read. Convert it to NIfTI \(n",
        ),
        (b"\x93NUMPY\x01", "is a NumPy array, which the suite does not read. Convert it to NIfTI"),
        (b"PK\x03\x04", "is a zip archive, which the suite does not read. Unpack it"),
        (b"BM\x00\x00", "is a BMP image, which the suite does not read. Convert it to PNG"),
        (b"ZISRAWFILE", "is a Zeiss CZI file, which the suite does not read. Convert it to TIFF"),
        (b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS, not the file it"),
        (
            b"\xff\xfe\0",
            "is not an image file that the suite reads \\(NIfTI, MGH, .*JPEG\\). Convert",
        ),
        (b"\n<HTML>", "is a web page, such as a login or an error, which the suite does not"),
        (gzip.compress(b"<!doctype html>" * 99, mtime=0), "is a web page, such as a login or an"),
        (b"<?xml version='1.0'?><GIFTI>", "is GIFTI, a surface, which the suite does not"),
        (b"<?xml version='1.0'?><Error>", "is XML, which the suite does not read. If it is a"),
        (
            b"/annex/objects/MD5E-s1",
            "is a pointer of git-annex, not the file itself.*git annex g",
        ),
        (b'{"a": 1}', "is JSON, which the suite does not read. Name the image that belongs to it"),
        (
            "Käse\n".encode() * 500,
            "is a text file, which the suite does not read. Name an image file",
        ),
        (b"", "file: is empty. Copy or download it again"),
        (bytes(2000), "file: is filled with zeros. Copy or download it again"),
    ],
)
def test_other_kinds_are_named_with_how_to_convert_them(tmp_path, content, words):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        kind_of(tmp_path / "file")
    assert len(str(caught.value).splitlines()) == 1


def test_ending_decides_where_bytes_say_nothing(tmp_path):
    (tmp_path / "cut.nii.gz").write_bytes(b"\x1f\x8b")
    assert kind_of(tmp_path / "cut.nii.gz") == "NIfTI"


def test_missing_files_and_folders_of_other_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none.png: no such file"):
        kind_of(tmp_path / "none.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    with pytest.raises(DataError, match=r"loop.png: cannot be opened \("):
        kind_of(tmp_path / "loop.png")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="is a folder without DICOM files"):
        kind_of(tmp_path)


def test_files_are_counted_by_their_numbers(tmp_path):
    for name in ("s10.png", "s9.png", "s9b.png", "10.png", "a.png", ".hidden", "S8.png"):
        (tmp_path / name).touch()
    names = [path.name for path in files_in(tmp_path)]
    assert names == ["10.png", "S8.png", "a.png", "s9.png", "s9b.png", "s10.png"]
    assert parts_of(tmp_path) == files_in(tmp_path)


@pytest.mark.parametrize(("ending", "raw"), [(".mhd", ".raw"), (".nhdr", ".raw")])
def test_header_comes_with_the_file_that_it_points_to(tmp_path, ending, raw):
    path = tmp_path / f"image{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY), str(path))
    assert parts_of(path) == [path, path.with_suffix(raw)]


def test_stem_is_the_name_without_its_ending(tmp_path):
    names = {"a.nii.gz": "a", "a.b.NII": "a.b", "a.mha": "a", "series": "series", "x.y": "x.y"}
    assert {name: stem_of(tmp_path / name) for name in names} == names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.mhd", "ObjectType = Image\nElementDataFile = LIST\ns1.raw\ns2.raw\n"),
        ("a.mhd", "ObjectType = Image\nElementDataFile = s%d.raw 1 2 1\n"),
        ("a.nhdr", "NRRD0004\ndimension: 3\ndata file: LIST\ns1.raw\ns2.raw\n"),
        ("a.nhdr", "NRRD0004\ndimension: 3\ndatafile: s%01d.raw 1 2 1\n"),
    ],
)
def test_header_comes_with_all_files_that_it_lists(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    parts = [tmp_path / part for part in ("s1.raw", "s2.raw")]
    for part in parts:
        part.touch()
    assert parts_of(tmp_path / name) == [tmp_path / name, *parts]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_header_and_voxels_of_a_pair_belong_together(tmp_path, ending):
    pair = [tmp_path / f"a.{kind}{ending}" for kind in ("hdr", "img")]
    for path in pair:
        path.touch()
    assert parts_of(pair[0]) == pair
    assert parts_of(pair[1]) == pair[::-1]


@pytest.mark.parametrize("kind", ["NRRD", "MetaImage"])
@pytest.mark.parametrize("name", ["file.nii", "file.nii.gz", "file.png", "file"])
def test_volume_is_read_by_its_bytes(tmp_path, kind, name):
    write(tmp_path / name, kind)
    (array,), _ = read_volume(tmp_path / name)
    assert np.array_equal(array, ARRAY.T)


def test_nifti_whose_name_says_otherwise_of_gzip_is_told_its_name(tmp_path):
    plain = write_nifti(tmp_path / "plain.nii", ARRAY)
    plain.rename(tmp_path / "plain.nii.gz")
    with pytest.raises(DataError, match=r"is not compressed, but .* Rename it to plain\.nii\."):
        read_volume(tmp_path / "plain.nii.gz")
    write_nifti(tmp_path / "x.nii.gz", ARRAY).rename(tmp_path / "x.nii")
    with pytest.raises(DataError, match=r"is compressed by gzip, .* Rename it to x\.nii\.gz\."):
        read_volume(tmp_path / "x.nii")


@pytest.mark.parametrize(
    "take",
    [
        lambda path: files_in(path.parent),
        lambda path: rows_of_folders(path.parent.parent),
        lambda path: Subject("a", "train", path),
        lambda path: Subject("a", "train", Path("a.tif"), further=(path,)),
        lambda path: Subject("a", "train", Path("a.tif"), labels=path),
        lambda path: Subject("a", "train", Path("a.tif"), landmarks=path),
        lambda path: Subject("a", "train", Path("a.tif"), mask=path),
    ],
)
def test_name_that_is_not_utf8_is_refused(tmp_path, take):
    """Tables and figures cannot show it."""
    for role in ("fixed", "moving"):
        (tmp_path / role).mkdir()
        path = tmp_path / role / os.fsdecode(b"a\xffb.tif")
        write_tiff(path, ARRAY)
    with pytest.raises(
        DataError, match=r"a\\udcffb.tif: its name is not UTF-8. Rename it"
    ) as found:
        take(path)
    str(found.value).encode()
