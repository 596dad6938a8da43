"""Files of points, and what becomes of the points of a data set."""

import json
import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch
from image_files import write_nifti, write_tiff

from bench.data import NiftiTable, prepare
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import TrainingPairs, read_pairs
from bench.data.check import check
from bench.data.files.images import read_raw
from bench.data.landmarks.placing import read_landmarks
from bench.data.landmarks.points import Frame, Landmarks
from bench.data.landmarks.reading import read_points
from bench.data.preprocessing.intensity import Intensity
from bench.data.preprocessing.label_table import LabelTable
from bench.data.preprocessing.steps import preprocess
from bench.data.sources.source import Source
from bench.data.sources.subject import Raw, Sample, Subject
from bench.errors import DataError

FCSV = """\
# Markups fiducial file version = 4.11
# CoordinateSystem = {system}
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
1,-1.5,2,3,0,0,0,1,1,1,0,F-1,,
2,4,-5,6.25,0,0,0,1,1,1,0,F-2,"a, b",
"""
SLICER = [[-1.5, 2, 3], [4, -5, 6.25]]


def markups(positions=SLICER, system="LPS", **other):
    points = [
        {"id": str(i), "label": f"F-{i}", "position": position, "positionStatus": "defined"}
        for i, position in enumerate(positions, start=1)
    ]
    entry = {"type": "Fiducial", "coordinateSystem": system, "controlPoints": points, **other}
    return json.dumps({"@schema": "x", "markups": [entry]}, indent=1)


def written(tmp_path, text, name="points.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "points", "frame", "names"),
    [
        ("1.5,2,3\n\n4,nan,6\n", [[1.5, 2, 3], [4, np.nan, 6]], Frame.ARRAY, None),
        ("1,2\n", [[1, 2]], Frame.ARRAY, None),
        ("  1 2\t3\n 41 50 6 \n", [[0, 1, 2], [40, 49, 5]], Frame.COLUMNS, None),
        (",X,Y\n1,5,6.5\n2,,8\n", [[5, 6.5], [np.nan, 8]], Frame.COLUMNS, ("1", "2")),
        ("\ufeffindex, y, x\n7,6,5\n", [[5, 6]], Frame.COLUMNS, ("7",)),
        ("X,Y,Z\n5,6,7\n", [[5, 6, 7]], Frame.COLUMNS, None),
        (FCSV.format(system="RAS"), SLICER, Frame.RAS, ("F-1", "F-2")),
        (FCSV.format(system="0"), SLICER, Frame.RAS, ("F-1", "F-2")),
        (FCSV.format(system="LPS"), [[1.5, -2, 3], [-4, 5, 6.25]], Frame.RAS, ("F-1", "F-2")),
        (markups(), [[1.5, -2, 3], [-4, 5, 6.25]], Frame.RAS, ("F-1", "F-2")),
        (markups(system="RAS"), SLICER, Frame.RAS, ("F-1", "F-2")),
    ],
)
def test_the_content_says_how_a_file_is_read(tmp_path, text, points, frame, names):
    file = read_points(written(tmp_path, text, "points.any"))
    np.testing.assert_array_equal(file.points, points)
    assert (file.frame, file.names) == (frame, names)


def test_points_that_slicer_has_not_placed_are_missing(tmp_path):
    content = json.loads(markups())
    content["markups"][0]["controlPoints"][1]["positionStatus"] = "undefined"
    points = read_points(written(tmp_path, json.dumps(content))).points
    assert np.isnan(points).tolist() == [[False] * 3, [True] * 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2\n3,x4\n", "line 2 has the coordinate 'x4', which is not a number. Correct it"),
        ("1,2\n3,inf\n", "line 2 has the coordinate 'inf', which is not a number"),
        ("1 2 3\n4 b 6\n", "line 2 has the coordinate 'b', which is not a number"),
        ("x,y\n1,2\n3,--\n", "line 3 has the coordinate '--', which is not a number"),
        (FCSV.format(system="RAS").replace("6.25", "z"), "line 5 has the coordinate 'z'"),
        ("1,2,3\n4,5\n", "line 2 has 2 values, but the first has 3"),
        ("1 2 3\n\n4 5\n", "line 3 has 2 values, but the first has 3"),
        ("x,y\n1,2\n3\n", "line 3 has 1 value, but the first has 2"),
        ("row,column\n1,2\n", "its header has row, column; points need the columns x and y"),
        ("x,y,z,t,label\n1,2,3,0,1\n", "is a table of ANTs, whose points are in mm"),
        ("x,y\n", "holds a header but no points"),
        ("\n \n", "is empty. Add a line for each point"),
        ("0 5 5\n3 4 5\n", "has the coordinate 0, but DIR-Lab's text format counts voxels from 1"),
        (FCSV.format(system="IJK"), "has the coordinate system IJK; known are RAS and LPS"),
        (FCSV.format(system="RAS").partition("1,-1.5")[0], "holds no points"),
        (markups([]), "holds no points"),
        (markups([[1, 2]]), "is not a JSON file with one list of markups"),
        ("1_0,2\n", "line 1 has the coordinate '1_0', which is not a number"),
        ("1_0 2\n", "line 1 has the coordinate '1_0', which is not a number"),
        ("x,x,y\n1,2,3\n", "has several columns x. Rename or delete all but one of them"),
        ('x,y,name\n1,2,"a\n3,4,b\n', "line 3 is not CSV (unexpected end of data). Quote a cell"),
        (
            FCSV.format(system="RAS").replace("id,x,y,z", "id,x,y"),
            "points need one x, one y and one z",
        ),
        (FCSV.format(system="RAS") + "3,1,2\n", "line 6 has 3 values and ends before x, y and z"),
        (markups([[1, 2, 10**400]]), "is not a JSON file with one list of markups (OverflowError)"),
        (markups([[1, 2, math.inf]]), "is not a JSON file with one list of markups (ValueError)"),
        (markups([[1, 2, "1_0"]]), "is not a JSON file with one list of markups (ValueError)"),
        (markups([[1, 2, True]]), "is not a JSON file with one list of markups (ValueError)"),
        ('{"a":' + "[" * 10**5, "is not a JSON file with one list of markups (RecursionError)"),
        ('{"markups": []}', "is not a JSON file with one list of markups"),
        ("{", "is not a JSON file with one list of markups"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(DataError) as raised:
        read_points(path)
    line = str(raised.value)
    assert line.startswith(f"{path}: ")
    assert words in line
    assert "\n" not in line


def test_missing_and_binary_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: cannot be read \(No such file"):
        read_points(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x80,\x81")
    with pytest.raises(DataError, match=r"x\.csv: is not text"):
        read_points(tmp_path / "x.csv")


def marked(shape, voxel):
    """An image that is bright in one voxel."""
    image = np.zeros(shape, np.uint8)
    image[voxel] = 200
    return image


def affine_of(codes, edges=(2.0, 1.5, 3.0), origin=(-7.0, 11.0, 4.0)):
    """The affine of a volume whose axes point where three letters say."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        row = next(i for i, both in enumerate(("RL", "AP", "SI")) if code in both)
        affine[row, axis] = edges[axis] * (1 if code in "RAS" else -1)
    affine[:3, 3] = origin
    return affine


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL", "LAI"])
def test_points_of_volumes_are_where_the_file_has_them(tmp_path, codes):
    voxel = (1, 4, 2)
    affine = affine_of(codes)
    raw = read_raw([write_nifti(tmp_path / "image.nii", marked((5, 7, 6), voxel), affine)], None, 3)
    right, front, top = (affine @ [*voxel, 1])[:3]
    files = {
        "learn2reg.csv": "1,4,2\n",
        "dirlab.txt": "2 5 3\n",
        "columns.csv": "x,y,z\n1,4,2\n",
        "ras.fcsv": FCSV.format(system="RAS").partition("1,-1.5")[0]
        + f"1,{right},{front},{top},0,0,0,1,1,1,0,F-1,,\n",
        "lps.mrk.json": markups([[-right, -front, top]]),
    }
    for name, text in files.items():
        (point,) = read_landmarks(written(tmp_path, text, name), raw).points
        np.testing.assert_allclose(point, np.argwhere(raw.image[0])[0], atol=1e-9, err_msg=name)


@pytest.mark.parametrize(("text", "name"), [("3,8\n", "a.csv"), (",X,Y\n1,8,3\n", "b.csv")])
def test_x_of_a_flat_image_is_its_column(tmp_path, text, name):
    raw = read_raw([write_tiff(tmp_path / "image.tif", marked((7, 11), (3, 8)))], None, 2)
    found = read_landmarks(written(tmp_path, text, name), raw)
    assert found.points.tolist() == [[3, 8]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3,4,5\n", "has 3 coordinates per point, but its image has 2 axes"),
        (
            "3,22\n",
            r"point 1 is voxel (3, 22) of an image of shape (7, 11), outside it by more than",
        ),
        ("a,x,y\n1,3,4\n2,-12,4\n", "point 2 is voxel (4, -12) of an image of shape (7, 11)"),
        ("1,1\n7,3\n", "point 2 is voxel (7, 3) of an image of shape (7, 11), one beyond the far"),
        ("x,y\n11,2\n1,1\n", "no coordinate is below 1, so they count from 1. Subtract 1 from all"),
        (markups([[1, 2, 3]]), "holds points in mm, but its image has no position"),
    ],
)
def test_points_that_do_not_fit_the_image_are_refused(tmp_path, text, words):
    raw = read_raw([write_tiff(tmp_path / "image.tif", marked((7, 11), (3, 8)))], None, 2)
    with pytest.raises(DataError) as raised:
        read_landmarks(written(tmp_path, text), raw)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("signs", "outside"), [((1, 1, 1), 3), ((-1, -1, 1), 4)])  # RAS, LPS
def test_millimetres_are_not_taken_for_voxels(tmp_path, signs, outside):
    affine = np.diag([0.5, 0.5, 0.5, 1])
    affine[:3, 3] = [-3, -2.5, -3]
    write_nifti(tmp_path / "a.nii.gz", np.zeros((20, 18, 16), np.int16), affine)
    raw = read_raw([tmp_path / "a.nii.gz"], None, 3)
    voxels = np.array([[1, 2, 3], [18, 2, 3], [1, 16, 3], [18, 16, 14]])
    points = (voxels * 0.5 + affine[:3, 3]) * signs
    lines = [",".join(map(str, point)) for point in points]
    with pytest.raises(DataError, match=f"{outside} of 4 points lie outside .* if they are mm"):
        read_landmarks(written(tmp_path, "\n".join(["x,y,z", *lines])), raw)
    lines = [",".join(map(str, point)) for point in voxels]
    found = read_landmarks(written(tmp_path, "\n".join(["x,y,z", *lines, "-1,5,5"])), raw)
    np.testing.assert_array_equal(found.points, [*voxels, [-1, 5, 5]])


@pytest.mark.parametrize("text", ["0,3\n7,3\n", "1.5,3\n7,3\n", "1,1\n8,3\n", "-7,21\n"])
def test_points_a_little_outside_are_not_taken_to_count_from_one(tmp_path, text):
    raw = read_raw([write_tiff(tmp_path / "image.tif", marked((7, 11), (3, 8)))], None, 2)
    expected = [[float(cell) for cell in line.split(",")] for line in text.split()]
    assert read_landmarks(written(tmp_path, text), raw).points.tolist() == expected


def blob(shape, centre, width=1.5):
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.exp(-((places - centre) ** 2).sum(-1) / (2 * width**2)).astype(np.float32)


def centre_of(image):
    places = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), axis=-1)
    return (places * image[..., None]).sum(tuple(range(image.ndim))) / image.sum()


@pytest.mark.parametrize(
    ("shape", "edges"), [((24, 29), (1.0, 2.0)), ((20, 23, 26), (1.0, 2.0, 1.5))]
)
@pytest.mark.parametrize("spacing", [None, 0.8])
@pytest.mark.parametrize("cut", [{}, {"border": 2}, {"shape": 27}, {"shape": 41}])
def test_preprocessing_takes_points_along(shape, edges, spacing, cut):
    centre = np.array([size / 2 + 0.6 * axis for axis, size in enumerate(shape)])
    points = np.array([centre, [np.nan] * len(shape)])
    raw = Raw(blob(shape, centre)[None], None, edges, landmarks=Landmarks(points))
    if "shape" in cut:
        cut = {"shape": (cut["shape"],) * len(shape)}
    wanted = None if spacing is None else (spacing,) * len(shape)
    table, intensity = LabelTable(2, None), Intensity.from_config({"policy": "keep"})
    sample = preprocess(raw, "image", "labels", table, intensity, wanted, **cut)
    np.testing.assert_allclose(sample.landmarks.points[0], centre_of(sample.image[0]), atol=0.05)
    assert np.isnan(sample.landmarks.points[1]).all()


@dataclass(kw_only=True)
class Blobs(Source):
    """Images of a blob at each subject's first landmark."""

    points: tuple = ()

    def subjects(self):
        return [Subject(name, split) for name, split, _ in self.points]

    def fingerprint(self, subjects):
        return "blobs"

    def load(self, subject):
        (landmarks,) = (points for name, _, points in self.points if name == subject.id)
        centre = (10.0, 10.0) if landmarks is None else landmarks.points[0]
        image = blob((21, 24), centre, 2)
        return Sample(image[None], None, (1.0, 1.0), landmarks=landmarks)


def blobs(*points, splits=("train", "val", "test")):
    """Subjects with these landmarks, the same in each split."""
    listed = [
        (f"{split}{i}", split, None if one is None else Landmarks(np.array(one[0], float), one[1]))
        for split, (i, one) in product(splits, enumerate(points))
    ]
    return Blobs(name="blobs", ndim=2, pairs=dict.fromkeys(splits, "next"), points=tuple(listed))


TWO = [[5, 6], [7, 8.25]], None
ONE = [[9, 3], [np.nan, np.nan]], None


@pytest.mark.parametrize("cached", [True, False])
def test_points_are_kept_and_read_with_pairs(tmp_path, cached):
    dataset = prepare(blobs(TWO, ONE), tmp_path / "cache" if cached else None)
    assert dataset.has_landmarks
    pair = read_pairs(dataset, dataset.pairs("test"), torch.device("cpu"))
    np.testing.assert_array_equal(pair.landmarks[0].numpy(), [TWO[0]])
    np.testing.assert_array_equal(pair.landmarks[1].numpy(), [ONE[0]])
    assert dataset.landmark_names(0) == ["1", "2"]


def test_a_subject_without_points_has_missing_ones(tmp_path):
    dataset = prepare(blobs(TWO, None), tmp_path / "cache")
    pair = read_pairs(dataset, dataset.pairs("test"), torch.device("cpu"))
    assert torch.isnan(pair.landmarks[1]).all()
    assert not pair.counted_landmarks.any()


def test_sets_without_points_have_none(tmp_path):
    dataset = prepare(blobs(None, None), tmp_path / "cache")
    assert not dataset.has_landmarks
    assert not (dataset.folder / "landmarks.npy").exists()
    pair = read_pairs(dataset, dataset.pairs("test"), torch.device("cpu"))
    with pytest.raises(DataError, match="asks for landmarks, but the data set has none"):
        _ = pair.landmarks


@pytest.mark.parametrize(
    ("moving", "fixed", "words"),
    [
        (TWO, ([[1, 2]], None), "test0 has 2 landmarks, and test1, to which it is registered, has"),
        (
            (TWO[0], ("1", "2")),
            (TWO[0], ("2", "1")),
            "landmark 1 of test0 is called 1, and that of test1, to which it is registered, 2",
        ),
        ((TWO[0], ("1", "2")), (TWO[0], ("1", "3")), "landmark 2 of test0 is called 2"),
        ((TWO[0], ("apex", "base")), (TWO[0], ("base", "apex")), "landmark 1 of test0 is called"),
    ],
)
def test_pairs_whose_points_do_not_correspond_are_refused(tmp_path, moving, fixed, words):
    source = blobs(moving, fixed)
    with pytest.raises(DataError, match=words):
        prepare(source, tmp_path / "cache").pairs("test")
    assert any(words in fault for fault in check(source).faults)


def test_labels_that_only_name_their_list_may_differ(tmp_path):
    source = blobs((TWO[0], ("A-1", "A-2")), (TWO[0], ("B-1", "B-2")))
    assert prepare(source, tmp_path / "cache").pairs("test") == [(4, 5)]


def test_check_counts_points_that_are_missing_or_outside():
    notes = check(blobs(TWO, ([[9, 3], [21, 4]], None), ONE)).notes
    assert (
        "9 of 9 subjects have landmarks, 18 in all; 3 are missing; 3 lie outside the images and "
        "are not counted"
    ) in notes


@pytest.mark.parametrize(
    "changes", [{"rotation": 30, "scale": [0.8, 1.2], "shear": 0.1, "translation": 2}, {}]
)
def test_augmentation_takes_points_along(tmp_path, changes):
    centres = ([[9.0, 13.0]], None), ([[11.0, 10.0]], None)
    dataset = prepare(blobs(*centres), tmp_path / "cache")
    augmentation = Augmentation.from_config({**changes, "flip": bool(changes)})
    for position in range(4):
        pair = TrainingPairs(dataset, augmentation, 0).batch([position], torch.device("cpu"))
        for image, points in zip((pair.moving, pair.fixed), pair.landmarks, strict=True):
            shown = centre_of(image[0, 0].numpy())
            np.testing.assert_allclose(points[0, 0].numpy(), shown, atol=0.25)


def table_of_pairs(root, landmarks=("a.csv", "b.csv")):
    for name in "ab":
        write_nifti(root / f"{name}.nii", marked((5, 7, 6), (1, 4, 2)), affine_of("LPS"))
        (root / f"{name}.csv").write_text("1,4,2\n0,0,0\n")
    header = "moving,fixed,moving_landmarks,fixed_landmarks\n"
    (root / "subjects.csv").write_text(header + ",".join(["a.nii", "b.nii", *landmarks]) + "\n")
    pairs = dict.fromkeys(("train", "val", "test"), "cross")
    keep = {"policy": "keep"}
    return NiftiTable(name="own", ndim=3, root=root, pairs=pairs, intensity=keep)


def test_a_table_of_pairs_names_their_points(tmp_path):
    dataset = prepare(table_of_pairs(tmp_path), tmp_path / "cache")
    pair = read_pairs(dataset, dataset.pairs("test"), torch.device("cpu"))
    place = [[float(x) for x in np.unravel_index(int(pair.fixed.argmax()), (5, 7, 6))], [4, 6, 0]]
    assert [points[0].tolist() for points in pair.landmarks] == [place, place]


def test_a_table_of_subjects_names_their_points_and_the_files_count(tmp_path):
    table_of_pairs(tmp_path)
    table = "image,landmarks,split\na.nii,a.csv,test\nb.nii,,test\n"
    (tmp_path / "subjects.csv").write_text(table)
    pairs = dict.fromkeys(("train", "val", "test"), "cross")
    keep = {"policy": "keep"}
    source = NiftiTable(name="own", ndim=3, root=tmp_path, pairs=pairs, intensity=keep)
    first = prepare(source, tmp_path / "cache")
    assert first.index["landmarks"]["counts"] == [2, 0]
    (tmp_path / "a.csv").write_text("1,4,3\n")
    second = prepare(source, tmp_path / "cache")
    assert second.fingerprint != first.fingerprint
    assert second.landmarks[0].tolist() == [[3, 2, 3]]


def test_an_image_has_the_same_points_in_each_row(tmp_path):
    source = table_of_pairs(tmp_path)
    with open(tmp_path / "subjects.csv", "a") as file:
        file.write("b.nii,a.nii,b.csv,b.csv\n")
    with pytest.raises(DataError, match=r"line 3 gives a\.nii the landmarks b\.csv, but an"):
        source.subjects()


def test_points_of_histology(real_set):
    folder = real_set("histology_lung")
    for path in sorted((folder / "landmarks").iterdir()):
        image = np.zeros((662, 896), np.uint8)
        found = read_landmarks(path, Raw(image[None], None, (1.0, 1.0)))
        assert found.points.shape == (80, 2)
        assert found.names == tuple(str(i) for i in range(1, 81))
        assert found.inside((660, 892)).all()
    he = read_landmarks(folder / "landmarks" / "HE.csv", Raw(image[None], None, (1.0, 1.0)))
    assert he.points[0].tolist() == [158.4, 212.4]
