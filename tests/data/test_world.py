"""Volumes that agree in the world are compared there: `dataset.space=world`."""

import csv
from itertools import permutations

import nibabel
import numpy as np
import pytest
from conf_options import compose_raw
from image_files import write_nifti, write_tiff
from volumes import HEADERS, SMALL

from bench.data import NiftiTable, TiffStacks, prepare
from bench.data.check import check
from bench.data.setup import make_source
from bench.errors import ConfigError, DataError
from bench.runs.file_pairs import PairOfFiles
from bench.runs.lookup import run
from bench.runs.registering import Registrar

EDGES = (66.0, 70.0, 62.0)  # of the field of view, in mm
CENTRE = np.array([5.0, -8.0, 20.0])  # of the anatomy, in mm
SHIFTED = [
    "plain",
    "oblique",
    "anisotropic",
    "left-handed",
    "flipped",
]
CROSS = dict.fromkeys(("train", "val", "test"), "cross")


def placed(name):
    """Shape and affine of a field of view around the anatomy, by a header of `HEADERS`."""
    affine = HEADERS[name].copy()
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    shape = tuple(int(size) for size in np.rint(np.array(EDGES) / edges))
    middle = (np.array(shape) - 1) / 2
    shift = [(0, 0, 0), (6, -5, 4), (-5, 6, 3), (4, 5, -6), (-6, -4, -5)][SHIFTED.index(name)]
    affine[:3, 3] = CENTRE + shift - affine[:3, :3] @ middle
    return shape, affine


def anatomy(shape, affine, size=1.0):
    """An ellipsoid with a core off its centre, where a grid puts them; image and labels."""
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    points = np.tensordot(affine[:3, :3], voxels, 1) + affine[:3, 3].reshape(3, 1, 1, 1)
    away = points - CENTRE.reshape(3, 1, 1, 1)
    outer = np.sqrt((away[0] / 24) ** 2 + (away[1] / 22) ** 2 + (away[2] / 20) ** 2) / size
    inner = np.linalg.norm(away - np.array([4, 3, -2]).reshape(3, 1, 1, 1), axis=0)
    image = 50 + 60 / (1 + np.exp(12 * (outer - 1))) + 30 * (inner < 12)
    return image.astype(np.float32), ((outer < 1) + 4 * (inner < 12)).astype(np.uint8)


def write(folder, name, size=1.0):
    shape, affine = placed(name)
    image, labels = anatomy(shape, affine, size)
    return (
        write_nifti(folder / f"{name}.nii.gz", image, affine),
        write_nifti(folder / f"{name}_labels.nii.gz", labels, affine),
    )


@pytest.fixture
def root(tmp_path):
    """One anatomy in volumes of five headers, which are all tested on."""
    folder = tmp_path / "placed"
    for name in SHIFTED:
        write(folder, name)
    table(folder, SHIFTED)
    return folder


def table(folder, names):
    with open(folder / "subjects.csv", "w", newline="") as file:
        rows = ((f"{name}.nii.gz", f"{name}_labels.nii.gz") for name in names)
        csv.writer(file).writerows([("image", "labels"), *rows])


def source(root, **settings):
    settings = {
        "space": "world",
        "intensity": {"policy": "range", "low": 0, "high": 255},
    } | settings
    return NiftiTable(name="placed", ndim=3, root=root, pairs=CROSS, **settings)


def dice(first, second):
    ids = set(np.unique(first)) - {0}
    found = [
        2 * ((first == i) & (second == i)).sum() / ((first == i).sum() + (second == i).sum())
        for i in ids
    ]
    return min(found)


def test_volumes_that_agree_in_the_world_begin_at_dice_1(root, tmp_path):
    dataset = prepare(source(root), tmp_path / "cache")
    shape, affine = placed("plain")
    assert dataset.shape == shape
    assert dataset.spacing == (1, 1, 1)
    labels, images = dataset.labels[:, 0], dataset.images[:, 0].astype(float)
    _, expected = anatomy(shape, affine)
    assert np.array_equal(dataset.labels[0, 0] > 0, expected > 0)
    for i, j in permutations(range(len(SHIFTED)), 2):
        assert dice(labels[i], labels[j]) > 0.94, (SHIFTED[i], SHIFTED[j])
        centres = [np.argwhere(one).mean(axis=0) for one in (labels[i], labels[j])]
        assert np.abs(centres[0] - centres[1]).max() < 0.1  # voxels
        within = expected > 0
        assert np.corrcoef(images[i][within], images[j][within])[0, 1] > 0.95
    table(root, ["plain", "oblique"])  # of one size of voxels
    by_voxel = prepare(source(root, space="voxels", shape=[64, 68, 40]), tmp_path / "cache")
    assert dice(by_voxel.labels[0, 0], by_voxel.labels[1, 0]) < 0.8


def test_outside_of_a_volume_lie_its_least_intensity_and_label_0(root, tmp_path):
    shape, affine = placed("plain")
    image, labels = anatomy(shape, affine)
    labels[labels == 0] = 5  # no background in the file
    write_nifti(root / "plain.nii.gz", image[10:], shifted(affine, [10, 0, 0]))
    write_nifti(root / "plain_labels.nii.gz", labels[10:], shifted(affine, [10, 0, 0]))
    table(root, ["oblique", "plain"])
    write_nifti(
        root / "grid.nii", np.zeros(shape, np.uint8) + np.eye(*shape[:2])[..., None], affine
    )
    chosen = source(root, reference="grid.nii", intensity={"policy": "keep"})
    dataset = prepare(chosen, tmp_path / "cache")
    one = dataset.images[1, 0].astype(float)
    assert one[:9].max() == one[:9].min() == pytest.approx(float(image[10:].min()), rel=1e-3)
    assert np.allclose(one[10:], image[10:], rtol=1e-3)
    assert dataset.class_names[dataset.labels[1, 0, 0, 0, 0]] == "background"
    assert dataset.class_names[dataset.labels[1, 0, 12, 0, 0]] == "label 5"


def shifted(affine, voxels):
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ voxels
    return moved


def test_volumes_on_the_grid_stay_as_they_are(tmp_path):
    folder = tmp_path / "one"
    draw = np.random.default_rng(0)
    for name in "ab":
        volume = draw.integers(0, 256, (6, 7, 8), np.uint8)
        write_nifti(folder / f"{name}.nii.gz", volume, HEADERS["oblique"])
        write_nifti(folder / f"{name}_labels.nii.gz", volume // 64, HEADERS["oblique"])
    table(folder, "ab")
    worlds, voxels = (
        prepare(source(folder, space=space, intensity={"policy": "bits"}), tmp_path / "cache")
        for space in ("world", "voxels")
    )
    assert worlds.step == voxels.step is not None
    assert np.array_equal(worlds.images, voxels.images)
    assert np.array_equal(worlds.labels, voxels.labels)


def test_grid_is_that_of_the_atlas_or_of_a_file(root, tmp_path):
    with open(root / "subjects.csv", "w") as file:
        file.write("image,split\noblique.nii.gz,test\nanisotropic.nii.gz,atlas\n")
    assert prepare(source(root), tmp_path / "cache").shape == placed("anisotropic")[0]
    chosen = source(root, reference="flipped.nii.gz")
    dataset = prepare(chosen, tmp_path / "cache")
    assert dataset.shape == placed("flipped")[0]
    assert dataset.spacing == pytest.approx((1.1, 0.9, 1))
    finer = prepare(source(root, spacing=[2, 2, 2]), tmp_path / "cache")
    assert finer.spacing == (2, 2, 2)


def test_grid_counts_and_where_it_is_from_does_not(root):
    shape, affine = placed("plain")
    before, again = source(root).settings(), source(root, reference="plain.nii.gz").settings()
    assert before == again
    assert before["world"] == {"shape": list(shape), "affine": affine.tolist()}
    assert not {"world", "space", "reference"} & source(root, space="voxels").settings().keys()


def test_check_says_nothing_of_headers_that_are_obeyed(root):
    (apart,) = (note for note in check(source(root, space="voxels")).notes if "headers" in note)
    assert "voxel by voxel" in apart
    report = check(source(root))
    assert not report.faults
    assert not [note for note in report.notes if "headers" in note]


def test_volumes_that_do_not_overlap_are_refused(root, tmp_path):
    image = nibabel.load(root / "oblique.nii.gz")
    write_nifti(root / "far.nii.gz", np.asarray(image.dataobj), shifted(image.affine, [200, 0, 0]))
    with open(root / "subjects.csv", "w") as file:
        file.write("image\nplain.nii.gz\nfar.nii.gz\n")
    words = r"far.nii.gz: does not overlap the grid of dataset.space=world; .* 20\d mm apart"
    with pytest.raises(DataError, match=words) as raised:
        prepare(source(root), tmp_path / "cache")
    assert "\n" not in str(raised.value)
    (fault,) = check(source(root)).faults
    assert "does not overlap" in fault


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"space": "mars"}, "dataset.space=mars: must be voxels or world."),
        ({"space": "voxels", "reference": "a.nii"}, "dataset.reference=a.nii: has an effect only"),
        ({"pixel_size": 2}, "places volumes by their headers, .* dataset.pixel_size=2. Leave one"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(root, settings, words):
    with pytest.raises(ConfigError, match=words):
        source(root, **settings)


def test_flat_and_generated_images_have_no_place_in_the_world(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset.space=world: .* dataset.ndim=2. Leave"):
        TiffStacks(name="flat", ndim=2, root=tmp_path, splits={}, pairs=CROSS, space="world")
    from bench.config.experiment import Experiment

    chosen = Experiment.from_config(compose_raw(["dataset=demo3d", "dataset.space=world"]))
    with pytest.raises(DataError, match="its files have no headers that place images in space"):
        make_source(chosen).settings()


def test_run_begins_aligned_and_registers_new_files_in_the_world(root, tmp_path):
    options = ["dataset=nifti", f"dataset.root={root}", "model=identity", *SMALL]
    outcome = run(compose_raw([*options, "dataset.space=world", f"results_dir={tmp_path / 'r'}"]))
    assert outcome.summary["scores_before"]["dice"]["mean"] > 0.96
    new = tmp_path / "new"
    (moving, labels), (fixed, fixed_labels) = (
        write(new, name, 0.9) for name in ("left-handed", "anisotropic")
    )
    for path in root.iterdir():
        path.unlink()
    registrar = Registrar(outcome.folder)
    found = registrar.register(PairOfFiles(moving, fixed, labels, fixed_labels), new / "out")
    assert found.before["dice"] > 0.94
    warped = nibabel.load(new / "out" / "warped_labels.nii.gz")
    expected = nibabel.load(fixed_labels)
    assert np.allclose(warped.affine, expected.affine, atol=1e-4)
    assert dice(np.asarray(warped.dataobj), np.asarray(expected.dataobj)) > 0.94
    displacement = nibabel.load(new / "out" / "displacement.nii.gz").get_fdata()
    assert np.abs(displacement).max() < 1e-3  # in mm: the identity of the world


@pytest.mark.parametrize("first", ["nifti", "tiff"])
def test_volumes_that_do_not_say_where_they_lie_are_refused(tmp_path, first):
    files = {kind: tmp_path / f"{kind}.{end}" for kind, end in (("nifti", "nii"), ("tiff", "tif"))}
    volume = np.random.default_rng(0).integers(0, 200, (9, 8, 7), np.uint8)
    write_nifti(files["nifti"], volume)
    write_tiff(files["tiff"], volume.T)
    second = next(kind for kind in files if kind != first)
    (tmp_path / "subjects.csv").write_text(f"image\n{files[first]}\n{files[second]}\n")
    words = {
        "nifti": r"tiff.tif: has no position in space",
        "tiff": "its files have no headers that",
    }
    with pytest.raises(DataError, match=words[first]):
        prepare(NiftiTable(name="mixed", ndim=3, root=tmp_path, pairs=CROSS, space="world"), None)
