"""Headers of NIfTI and tags of TIFF that nobody thought of."""

import struct

import numpy as np
from fuzzing import altered, efforts, explore, reading
from hypothesis import strategies as st
from image_files import write_nifti, write_tiff

from bench.data.files.images import read_raw
from bench.data.files.tiff import read_labels
from bench.data.files.tiff_stack import count_pages
from bench.data.files.volumes import read_volume

HEADER = 348  # bytes of a NIfTI-1 header
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
TYPES |= {1024: "i8", 1280: "u8"}
FIELDS = {  # offset and format of what a NIfTI header says
    "dim": (40, "8h"),
    "datatype": (70, "h"),
    "bitpix": (72, "h"),
    "pixdim": (76, "8f"),
    "vox_offset": (108, "f"),
    "scl_slope": (112, "f"),
    "scl_inter": (116, "f"),
    "xyzt_units": (123, "b"),
    "qform_code": (252, "h"),
    "sform_code": (254, "h"),
    "quatern": (256, "6f"),
    "srow": (280, "12f"),
}
NUMBERS = {
    "h": st.one_of(st.sampled_from([*TYPES, 0, 1, -1, 7, 32767]), st.integers(-(2**15), 2**15 - 1)),
    "f": st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, 352.0, 353.5, 1e30])),
    "b": st.integers(-128, 127),
}


def nifti_values(content):
    """Second reading of a NIfTI-1 in one file: voxels as the standard has them, scaled."""
    order = next(o for o in "<>" if 1 <= struct.unpack_from(f"{o}h", content, 40)[0] <= 7)
    said = {
        name: struct.unpack_from(order + kind, content, place)
        for name, (place, kind) in FIELDS.items()
    }
    count, *shape = said["dim"]
    shape = shape[:count]
    stored = np.frombuffer(
        content,
        np.dtype(TYPES[said["datatype"][0]]).newbyteorder(order),
        int(np.prod(shape)),
        int(said["vox_offset"][0]),
    ).reshape(shape, order="F")
    (slope,), (inter,) = said["scl_slope"], said["scl_inter"]
    if not np.isfinite(slope) or slope == 0 or (slope, inter) == (1, 0):
        return stored
    with np.errstate(all="ignore"):
        return stored * np.float64(slope) + np.float64(inter)


def header_edits():
    """Fields of a header with numbers to write there."""
    return st.lists(st.sampled_from([*FIELDS]).flatmap(_edit), min_size=1, max_size=3)


def _edit(name):
    place, kind = FIELDS[name]
    size = struct.calcsize(kind[-1])
    count = int(kind[:-1] or 1)
    number = st.integers(0, count - 1)
    return st.tuples(number.map(lambda i: place + i * size), st.just(kind[-1]), NUMBERS[kind[-1]])


@efforts
def test_nifti_is_what_its_header_says_or_refused(effort, tmp_path):
    rng = np.random.default_rng(0)
    path = write_nifti(tmp_path / "x.nii", rng.integers(0, 9, (4, 5, 6)).astype(np.int16))
    whole = path.read_bytes()

    def check(edits, bytewise):
        content = bytearray(bytewise if bytewise is not None else whole)
        for place, kind, value in edits if bytewise is None else ():
            struct.pack_into(f"<{kind}", content, place, value)
        path.write_bytes(content)
        raw = reading(read_raw, [path], None, 3)
        reading(read_raw, [path], path, 3)
        if raw is None:
            return
        assert np.isfinite(raw.affine).all()
        assert min(raw.spacing) > 0
        found = reading(read_volume, path)
        assert found is not None
        values = nifti_values(bytes(content))
        volume = np.moveaxis(found[0], 0, -1).reshape(values.shape)
        assert np.allclose(volume, values, rtol=1e-5, atol=1e-6, equal_nan=True)

    bytewise = st.one_of(st.none(), altered(whole, HEADER))
    explore(check, 150 * effort, edits=header_edits(), bytewise=bytewise)


def tiff_values(content):
    """Second reading of a baseline TIFF of one strip: grey values; None if it is not one."""
    order = {b"II": "<", b"MM": ">"}[content[:2]]
    (first,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, first)
    said = {}
    for i in range(count):
        code, kind, number = struct.unpack_from(f"{order}HHI", content, first + 2 + 12 * i)
        if number == 1 and kind in (1, 3, 4):
            form = {1: "B", 3: "H", 4: "I"}[kind]
            (said[code],) = struct.unpack_from(order + form, content, first + 10 + 12 * i)
    width, height, bits = (said.get(code) for code in (256, 257, 258))
    plain = said.get(259, 1) == 1 and said.get(262) in (0, 1) and said.get(339, 1) == 1
    plain &= said.get(277, 1) == 1 and said.get(266, 1) == 1 and said.get(317, 1) == 1
    if not plain or bits not in (8, 16) or 273 not in said:
        return None
    kind = np.dtype(f"u{bits // 8}").newbyteorder(order)
    values = np.frombuffer(content, kind, width * height, said[273]).reshape(height, width)
    return np.iinfo(kind).max - values if said[262] == 0 else values


@efforts
def test_tiff_is_what_its_tags_say_or_refused(effort, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "x.tif"
    wholes = []
    for array, options in (
        (rng.integers(0, 255, (5, 6), np.uint8), {}),
        (rng.integers(0, 999, (5, 6), np.uint16), {"byteorder": ">"}),
        (rng.integers(0, 255, (3, 5, 6), np.uint8), {}),
        (rng.integers(0, 255, (5, 6, 3), np.uint8), {"photometric": "rgb"}),
        (rng.integers(0, 999, (5, 6), np.uint16), {"resolution": (50, 50), "resolutionunit": 3}),
        (rng.random((5, 6), np.float32), {"compression": "zlib"}),
        (rng.integers(0, 255, (2, 5, 6), np.uint8), {"ome": True}),
        (rng.integers(0, 255, (2, 5, 6), np.uint8), {"imagej": True}),
    ):
        wholes.append(write_tiff(path, array, **options).read_bytes())

    def check(content):
        path.write_bytes(content)
        reading(count_pages, path)
        reading(read_labels, path, 0)
        raw = reading(read_raw, [path], None, 2)
        if raw is None:
            return
        assert np.isfinite(raw.spacing).all()
        assert min(raw.spacing) > 0
        values = tiff_values(content)
        if values is not None and len(raw.image) == 1:
            assert np.array_equal(raw.image[0], values)

    explore(check, 250 * effort, content=st.sampled_from(wholes).flatmap(altered))
