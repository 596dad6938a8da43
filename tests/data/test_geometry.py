"""Distances in mm, and places in the world, whatever kind of file and header holds the images."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
import torch
from image_files import itk_image, write_series
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from PIL import Image
from volumes import header

from bench.data import NiftiTable, prepare
from bench.data.lengths import MILLIMETRES
from bench.models.identity import Identity
from bench.models.method import Objective
from bench.tasks.registration.testing import score_pairs

SHAPE = (9, 8, 7)  # as files store the axes
MOVING, FIXED = (2, 4, 3), (6, 3, 5)  # the voxel that is labelled, and the only landmark


def of_codes(codes, edges):
    """An affine whose axes run towards these directions."""
    axes = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (code, edge) in enumerate(zip(codes, edges, strict=True)):
        world, sign = axes[code]
        affine[world, axis] = sign * edge
    affine[:3, 3] = [-20, 14, 9]
    return affine


PLACED = {
    "half a millimetre": of_codes("RAS", (0.5, 0.5, 0.5)),
    "anisotropic": of_codes("RAS", (0.4, 0.9, 2.5)),
    "oblique": header((1, 1, 1), (0.8, 1, 1.5), 25),
    "LPS": of_codes("LPS", (0.4, 0.9, 2.5)),
    "PIR": of_codes("PIR", (0.4, 0.9, 2.5)),
    "left-handed": of_codes("LAS", (0.4, 0.9, 2.5)),
    "left-handed, oblique": header((1, 1, -1), (0.8, 1, 1.5), -20),
}


def nifti(stem, array, affine, unit="mm", forms="same", kind=nibabel.Nifti1Image):
    stored = affine / np.array([*[MILLIMETRES[unit]] * 3, 1])[:, None]
    elsewhere = stored @ header((1, -1, 1), (2, 1.5, 3), 40)
    image = kind(array, stored)
    image.header.set_xyzt_units({"um": "micron", "mm": "mm", "m": "meter"}[unit])
    image.set_sform(stored, code=0 if forms == "qform" else 1)
    image.set_qform(elsewhere if forms == "differ" else stored, code=0 if forms == "sform" else 1)
    path = f"{stem}.{'hdr' if kind is nibabel.Nifti1Pair else 'nii.gz'}"
    nibabel.save(image, path)
    return path


def analyze(stem, array, affine):
    nibabel.save(nibabel.Spm99AnalyzeImage(array, affine), f"{stem}.img")
    return f"{stem}.hdr"


def mgh(stem, array, affine):
    nibabel.save(nibabel.MGHImage(array, affine), f"{stem}.mgz")
    return f"{stem}.mgz"


def by_itk(ending):
    def write(stem, array, affine):
        sitk.WriteImage(itk_image(array, affine), f"{stem}{ending}")
        return f"{stem}{ending}"

    return write


def dicom(stem, array, affine):
    if array.dtype == np.uint8:  # labels
        return nifti(stem, array, affine)
    write_series(stem, itk_image(array, affine))
    return stem


def of(**options):
    return lambda stem, array, affine: nifti(stem, array, affine, **options)


VOLUMES = {
    "NIfTI": of(),
    "NIfTI in micrometres": of(unit="um"),
    "NIfTI in metres": of(unit="m"),
    "NIfTI, qform only": of(forms="qform"),
    "NIfTI, sform only": of(forms="sform"),
    "NIfTI, both differing": of(forms="differ"),
    "NIfTI pair": of(kind=nibabel.Nifti1Pair),
    "Analyze": analyze,
    "MGH": mgh,
    "NRRD": by_itk(".nrrd"),
    "NRRD, detached": by_itk(".nhdr"),
    "MetaImage": by_itk(".mha"),
    "MetaImage, detached": by_itk(".mhd"),
    "DICOM": dicom,
}
RIGHT_HANDED = ("DICOM",)  # slices follow the cross product of rows and columns
CASES = [
    (kind, placed)
    for kind in VOLUMES
    for placed in PLACED
    if not (kind in RIGHT_HANDED and placed.startswith("left-handed"))
]


def marked(shape, voxel, seed):
    """An image of noise, and labels of which one voxel is not 0."""
    image = np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)
    labels = np.zeros(shape, np.uint8)
    labels[voxel] = 1
    return image, labels


def table(root, subjects):
    """A table of a moving and a fixed subject: image, labels, text of a file of points each."""
    columns = [[], []]
    for name, files in zip(("moving", "fixed"), subjects, strict=True):
        *paths, points = files
        (root / f"{name}.csv").write_text(points)
        columns[0] += [name, f"{name}_labels", f"{name}_landmarks"]
        columns[1] += [*paths, f"{name}.csv"]
    (root / "subjects.csv").write_text("\n".join(",".join(map(str, row)) for row in columns))


def scored(root, ndim=3, **settings):
    """The scores of the pair as it is, and the data set."""
    source = NiftiTable(name="placed", ndim=ndim, root=root, pairs={}, **settings)
    dataset = prepare(source, None)
    method, objective = Identity(ndim, 1), Objective(None, None, 0.0)
    (case,) = score_pairs(method, objective, dataset, torch.device("cpu"), warm_up=False)
    return case.scores, dataset


def points_lie_on_labels(dataset):
    found = [np.argwhere(one[0]) for one in dataset.labels[[0, 1]]]
    return np.allclose(found, dataset.landmarks, atol=1e-3)


@pytest.mark.parametrize(("kind", "placed"), CASES)
def test_distances_of_volumes_are_in_millimetres(tmp_path, kind, placed):
    affine, subjects = PLACED[placed], []
    for name, voxel in (("moving", MOVING), ("fixed", FIXED)):
        image, labels = marked(SHAPE, voxel, seed=len(subjects))
        paths = [
            VOLUMES[kind](tmp_path / f"{name}{what}", array, affine)
            for what, array in (("", image), ("_labels", labels))
        ]
        subjects.append((*paths, ",".join(map(str, voxel))))
    table(tmp_path, subjects)
    scores, dataset = scored(tmp_path)
    expected = np.linalg.norm(affine[:3, :3] @ np.subtract(MOVING, FIXED))
    assert dataset.unit == "mm"
    assert scores["hd95"] == pytest.approx(expected, rel=1e-4)
    assert scores["tre"] == pytest.approx(expected, rel=1e-4)
    assert points_lie_on_labels(dataset)


def stored_as(codes, array, affine, voxel):
    """Array, affine and a voxel of a volume whose axes are turned to these directions."""
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    turned = nibabel.orientations.apply_orientation(array, turn)
    to_former = inv_ornt_aff(turn, array.shape)
    place = np.linalg.solve(to_former, [*voxel, 1])[:3]
    return turned, affine @ to_former, np.rint(place).astype(int)


@pytest.mark.parametrize("codes", ["LPS", "PIR", "LAS", "SLA"])
@pytest.mark.parametrize("kind", VOLUMES)
def test_pairs_that_agree_in_the_world_begin_at_dice_1(tmp_path, kind, codes):
    if kind in RIGHT_HANDED and codes in ("LAS", "SLA"):
        codes = "ASR"
    grid = header((1, 1, 1), (0.8, 1, 1.5), 25)
    image, labels = marked((12, 11, 10), (6, 5, 4), seed=0)
    labels[4:8, 4:9, 3:6] = 2
    subjects = []
    for name, first in (("moving", (2, 1, 2)), ("fixed", (0, 0, 0))):
        part = tuple(slice(start, start + size) for start, size in zip(first, SHAPE, strict=True))
        shifted = grid.copy()
        shifted[:3, 3] += grid[:3, :3] @ first
        write, wanted = (VOLUMES[kind], codes) if name == "moving" else (nifti, "RAS")
        paths = []
        for what, array in (("", image), ("_labels", labels)):
            array, affine, voxel = stored_as(
                wanted, array[part], shifted, np.subtract((6, 5, 4), first)
            )
            paths.append(write(tmp_path / f"{name}{what}", np.ascontiguousarray(array), affine))
        subjects.append((*paths, ",".join(map(str, voxel))))
    table(tmp_path, subjects)
    scores, _ = scored(tmp_path, space="world", reference=subjects[1][0])
    assert scores["dice"] == 1
    assert scores["hd95"] == 0
    assert scores["tre"] == pytest.approx(0, abs=2e-3)
    assert scored(tmp_path)[0]["dice"] < 0.6


def tiff_slices(**options):
    """A TIFF with a page for each slice of an array (X, Y, Z)."""

    def write(stem, array):
        path = f"{stem}.ome.tif" if "ome" in options else f"{stem}.tif"
        tifffile.imwrite(path, array.T, photometric="minisblack", **options)
        return path

    return write


VOXEL = (0.4, 0.9, 2.5)  # mm along x, y and z


def sizes_of_ome(unit, per_mm):
    sizes = {f"PhysicalSize{axis}": edge * per_mm for axis, edge in zip("XYZ", VOXEL, strict=True)}
    return {"axes": "ZYX", **sizes, **{f"PhysicalSize{axis}Unit": unit for axis in "XYZ"}}


IN_MICROMETRES = tuple(1e-3 / edge for edge in VOXEL[:2])  # pixels of x and y in one
SLICES = {
    "OME in micrometres": tiff_slices(ome=True, metadata=sizes_of_ome("µm", 1000)),
    "OME in millimetres": tiff_slices(ome=True, metadata=sizes_of_ome("mm", 1)),
    "ImageJ": tiff_slices(
        imagej=True,
        resolution=IN_MICROMETRES,
        metadata={"unit": "um", "spacing": 2500.0, "axes": "ZYX"},
    ),
    "ImageJ, micro sign": tiff_slices(
        imagej=True,
        resolution=IN_MICROMETRES,
        metadata={"unit": "\\u00B5m", "spacing": 2500.0, "axes": "ZYX"},
    ),
    "plain": tiff_slices(),  # with dataset.pixel_size
}


@pytest.mark.parametrize("kind", SLICES)
@pytest.mark.parametrize("frame", ["array", "columns"])
def test_distances_of_tiff_volumes_are_in_millimetres(tmp_path, kind, frame):
    subjects = []
    for name, voxel in (("moving", MOVING), ("fixed", FIXED)):
        image, labels = marked(SHAPE, voxel, seed=len(subjects))
        paths = [
            SLICES[kind](tmp_path / f"{name}{what}", array)
            for what, array in (("", image.astype(np.uint16)), ("_labels", labels))
        ]
        heading = "x,y,z\n" if frame == "columns" else ""
        subjects.append((*paths, heading + ",".join(map(str, voxel))))
    table(tmp_path, subjects)
    scores, dataset = scored(tmp_path, **({"pixel_size": VOXEL} if kind == "plain" else {}))
    expected = np.linalg.norm(np.multiply(VOXEL, np.subtract(MOVING, FIXED)))
    assert dataset.unit == "mm"
    assert dataset.shape == SHAPE
    assert scores["hd95"] == pytest.approx(expected, rel=1e-4)
    assert scores["tre"] == pytest.approx(expected, rel=1e-4)
    assert points_lie_on_labels(dataset)


EDGES = (0.8, 0.5)  # mm along x and y


def plane_of_nifti(unit="mm", codes="RAS"):
    def write(stem, array):
        affine = of_codes(codes, (*EDGES, 3))
        return nifti(stem, np.ascontiguousarray(array.T[..., None]), affine, unit)

    return write


def plane_by_itk(ending):
    def write(stem, array):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(EDGES)
        sitk.WriteImage(image, f"{stem}{ending}")
        return f"{stem}{ending}"

    return write


def tiff(**options):
    def write(stem, array):
        path = f"{stem}.ome.tif" if "ome" in options else f"{stem}.tif"
        tifffile.imwrite(path, array, photometric="minisblack", **options)
        return path

    return write


def physical(x, y, unit):
    sizes = {"PhysicalSizeX": x, "PhysicalSizeY": y}
    return {"axes": "YX", **sizes, "PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}


def png(dots=None):
    def write(stem, array):
        Image.fromarray(array).save(f"{stem}.png", **({"dpi": dots} if dots else {}))
        return f"{stem}.png"

    return write


PLANES = {
    "NIfTI": plane_of_nifti(),
    "NIfTI in micrometres": plane_of_nifti("um"),
    "NIfTI, LPS": plane_of_nifti(codes="LPS"),
    "NIfTI, coronal": plane_of_nifti(codes="LIP"),
    "NIfTI, sagittal": plane_of_nifti(codes="PIR"),
    "NRRD": plane_by_itk(".nrrd"),
    "MetaImage": plane_by_itk(".mha"),
    "OME-TIFF in micrometres": tiff(ome=True, metadata=physical(800, 500, "µm")),
    "OME-TIFF in millimetres": tiff(ome=True, metadata=physical(0.8, 0.5, "mm")),
    "ImageJ": tiff(imagej=True, resolution=(1 / 800, 1 / 500), metadata={"unit": "um"}),
    "TIFF, resolution": tiff(resolution=(12.5, 20), resolutionunit="CENTIMETER"),
    "PNG, resolution": png((25.4 / EDGES[0], 25.4 / EDGES[1])),
    "PNG": png(),  # with dataset.pixel_size
}


@pytest.mark.parametrize("kind", PLANES)
def test_distances_of_planes_are_in_millimetres(tmp_path, kind):
    subjects = []
    rows = {"moving": (2, 7), "fixed": (5, 1)}  # y, x
    for name, pixel in rows.items():
        image, labels = marked((8, 9), pixel, seed=len(subjects))
        image = (image // 4).astype(np.uint8)
        paths = [
            PLANES[kind](tmp_path / f"{name}{what}", array)
            for what, array in (("", image), ("_labels", labels))
        ]
        subjects.append((*paths, f"x,y\n{pixel[1]},{pixel[0]}"))
    table(tmp_path, subjects)
    given = {"pixel_size": EDGES[::-1]} if kind == "PNG" else {}
    scores, dataset = scored(tmp_path, ndim=2, **given)
    expected = np.hypot(3 * EDGES[1], 6 * EDGES[0]) / MILLIMETRES[dataset.unit]
    assert scores["hd95"] == pytest.approx(expected, rel=1e-4)
    assert scores["tre"] == pytest.approx(expected, rel=1e-4)
    assert points_lie_on_labels(dataset)


@pytest.mark.parametrize("dots", [None, (72, 72), (300, 300)], ids=str)
def test_pictures_of_unknown_size_have_distances_in_pixels(tmp_path, dots):
    subjects = []
    for name, pixel in (("moving", (2, 7)), ("fixed", (5, 3))):
        image, labels = marked((8, 9), pixel, seed=len(subjects))
        paths = (
            png(dots)(tmp_path / f"{name}{what}", array.astype(np.uint8))
            for what, array in (("", image), ("_labels", labels))
        )
        subjects.append((*paths, f"x,y\n{pixel[1]},{pixel[0]}"))
    table(tmp_path, subjects)
    scores, dataset = scored(tmp_path, ndim=2)
    assert dataset.unit == "px"
    assert (scores["hd95"], scores["tre"]) == (5, 5)
