"""A finished run's method on new files, and what it writes for other programs."""

import csv
import errno
import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
import torch
from conf_options import compose_raw
from image_files import write_nifti, write_tiff
from volumes import HEADERS, SHAPE, SMALL, TRAINING, finished, head, write_table

from bench.data.files.images import FileGrid
from bench.data.landmarks.points import Landmarks
from bench.data.landmarks.reading import read_points
from bench.data.landmarks.writing import write_mapped
from bench.data.mapping import Mapping
from bench.errors import BenchError, Busy, ConfigError, DataError, StoreError
from bench.runs.file_pairs import PairOfFiles, listed_pairs
from bench.runs.lookup import run
from bench.runs.outputs import MADE, Origin, claimed, written_aside
from bench.runs.registering import Registered, Registrar
from bench.runs.trained import load_method, load_run
from bench.store.folder import Folder
from bench.store.locks import held


class Moved:
    """A method that moves every image by the same voxels."""

    def __init__(self, ndim: int, image_channels: int, by: list[float]) -> None:
        self.by = by

    def register(self, pair, objective):
        return pair.u + torch.tensor(self.by).view(1, -1, 1, 1, 1)


MOVED = [f"model._target_={__name__}.Moved", "model.name=moved", "++model.uses=[]", *SMALL]


@pytest.fixture(scope="module")
def as_stored(tmp_path_factory) -> tuple[Folder, Path]:
    """A trained run on oblique volumes taken as they are, and their folder."""
    root = tmp_path_factory.mktemp("plain") / "data"
    root.mkdir()
    write_table(root, HEADERS["left-handed"])
    return finished(root, "model.integrate=5", *TRAINING), root


@pytest.fixture(scope="module")
def resampled(tmp_path_factory) -> Folder:
    """A trained run whose volumes were resampled, cut and padded; its data are gone."""
    root = tmp_path_factory.mktemp("resampled") / "data"
    root.mkdir()
    write_table(root, HEADERS["plain"])
    made = ["dataset.spacing=[1.2,1.1,1.3]", "dataset.border=1", "dataset.shape=[16,12,16]"]
    folder = finished(root, *made, *TRAINING)
    for path in root.iterdir():
        path.unlink()
    root.rmdir()
    return folder


def as_sitk(path: Path, kind: int | None = None):
    return sitk.ReadImage(str(path)) if kind is None else sitk.ReadImage(str(path), kind)


def warp_by_itk(moving: Path, fixed: Path, field: Path, nearest: bool = False) -> np.ndarray:
    """The moving image under a written displacement, by SimpleITK; axes as nibabel has them."""
    import SimpleITK as sitk

    transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(field), sitk.sitkVectorFloat64))
    image = as_sitk(moving)
    way = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    outside = 0.0 if nearest else float(sitk.GetArrayFromImage(image).min())
    warped = sitk.Resample(image, as_sitk(fixed), transform, way, outside)
    return sitk.GetArrayFromImage(warped).T


@pytest.mark.parametrize("moving_header", HEADERS)
@pytest.mark.parametrize("fixed_header", HEADERS)
def test_itk_warps_files_of_any_header_as_written(
    resampled: Folder, tmp_path: Path, moving_header: str, fixed_header: str
) -> None:
    files = {}
    for number, (role, name) in enumerate([("moving", moving_header), ("fixed", fixed_header)]):
        shape = (24, 22, 21) if role == "moving" else (21, 25, 20)
        image, labels = head(number, shape)
        files[role] = write_nifti(tmp_path / f"{role}.nii.gz", image, HEADERS[name])
        files[f"{role}_labels"] = write_nifti(tmp_path / f"l{role}.nii.gz", labels, HEADERS[name])
    pair = PairOfFiles(
        files["moving"], files["fixed"], files["moving_labels"], files["fixed_labels"]
    )
    found = Registrar(resampled).register(pair, tmp_path / "out")
    assert [path.name for path in found.files] == [
        "warped.nii.gz",
        "warped_labels.nii.gz",
        "displacement.nii.gz",
    ]
    warped, labels, field = found.files
    written = nibabel.load(warped)
    np.testing.assert_allclose(written.affine, nibabel.load(files["fixed"]).affine, atol=1e-5)
    vectors = np.asarray(nibabel.load(field).dataobj)
    assert vectors.shape == (21, 25, 20, 1, 3)
    assert np.linalg.norm(vectors, axis=-1).max() > 1
    expected = warp_by_itk(files["moving"], files["fixed"], field)
    difference = np.abs(np.asarray(written.dataobj) - expected)
    assert np.mean(difference > 0.01) < 2e-3, difference.max()  # points at half a voxel's distance
    expected = warp_by_itk(files["moving_labels"], files["fixed"], field, nearest=True)
    assert np.mean(np.asarray(nibabel.load(labels).dataobj) != expected) < 2e-3


def test_a_known_displacement_is_written_in_mm(tmp_path: Path) -> None:
    """Of voxels 2, -1 and 0.5 along the axes of the preprocessed images, in LPS."""
    root = tmp_path / "data"
    root.mkdir()
    write_table(root, HEADERS["oblique"])
    folder = finished(root, "model=custom", *MOVED, "+model.by=[2,-1,0.5]")
    pair = PairOfFiles(root / "image4.nii.gz", root / "image5.nii.gz")
    found = Registrar(folder, trust=True).register(pair, tmp_path / "out")
    vectors = np.asarray(nibabel.load(found.files[-1]).dataobj)[:, :, :, 0]
    ras = HEADERS["oblique"][:3, :3] @ [2, -1, 0.5]
    np.testing.assert_allclose(
        vectors, np.broadcast_to(ras * [-1, -1, 1], vectors.shape), atol=1e-4
    )
    image, warped = (np.asarray(nibabel.load(p).dataobj) for p in (pair.moving, found.files[0]))
    between = (image[2:, :-1, :-1] + image[2:, :-1, 1:]) / 2  # at half a voxel
    np.testing.assert_allclose(warped[:-2, 1:, :-1], between, atol=1e-3)
    assert (warped[-1] == image.min()).all()


@pytest.mark.parametrize("header", ["oblique", "left-handed"])
def test_points_of_the_fixed_image_are_mapped_into_the_moving_one(
    resampled: Folder, tmp_path: Path, header: str
) -> None:
    write_nifti(tmp_path / "moving.nii.gz", head(0, (24, 22, 21))[0], HEADERS["flipped"])
    write_nifti(tmp_path / "fixed.nii.gz", head(1, (21, 25, 20))[0], HEADERS[header])
    (tmp_path / "points.csv").write_text("label,x,y,z\na,5,6,7\nb,,1,2\nc,9,12,4\n")
    names = ("moving.nii.gz", "fixed.nii.gz", "points.csv")
    moving, fixed, points = (tmp_path / name for name in names)
    pair = PairOfFiles(moving, fixed, landmarks=points)
    found = Registrar(resampled).register(pair, tmp_path / "out", "voxels")
    field = np.load(tmp_path / "out" / "displacement.npy")
    mapped = read_points(found.files[-1])
    assert MADE.match(found.files[-1].name)
    assert mapped.names == ("a", "b", "c")
    assert np.isnan(mapped.points[1]).all()
    for row, place in ((0, (5, 6, 7)), (2, (9, 12, 4))):
        np.testing.assert_allclose(mapped.points[row], place + field[:, *place], atol=1e-3)


def test_mapped_points_of_pictures_have_their_columns_first(tmp_path: Path) -> None:
    u = np.zeros((2, 8, 9))
    u[0], u[1] = 2, -1
    points = Landmarks(np.array([[3.0, 5.0], [1.0, 2.5]]), ("a", "=1+1"))
    grid = FileGrid((8, 9), np.eye(3))
    path = tmp_path / "points.csv"
    write_mapped(path, points, np.eye(3), Mapping(u, np.eye(3), np.eye(3)), grid)
    assert path.read_text().splitlines() == ["point,x,y", "a,4,5", "'=1+1,1.5,3"]


@pytest.mark.parametrize("layout", ["voxels", "learn2reg"])
def test_voxel_displacements_count_in_voxels_of_the_files(
    as_stored: tuple[Folder, Path], tmp_path: Path, layout: str
) -> None:
    """As Learn2Reg's evaluation warps: scipy, array axes as nibabel has them."""
    from scipy.ndimage import map_coordinates

    folder, root = as_stored
    pair = PairOfFiles(root / "image4.nii.gz", root / "image5.nii.gz")
    found = Registrar(folder).register(pair, tmp_path, layout)
    if layout == "voxels":
        u = np.load(tmp_path / "displacement.npy")
    else:
        u = np.moveaxis(np.asarray(nibabel.load(tmp_path / "displacement.nii.gz").dataobj), -1, 0)
    assert u.shape == (3, *SHAPE)
    image, warped = (np.asarray(nibabel.load(p).dataobj) for p in (pair.moving, found.files[0]))
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")) + u
    inside = np.logical_and.reduce(
        [(p >= 0) & (p <= n - 1) for p, n in zip(places, SHAPE, strict=True)]
    )
    assert inside.mean() > 0.5
    expected = map_coordinates(image, places, order=1)
    np.testing.assert_allclose(warped[inside], expected[inside], atol=1e-2)


def test_the_runs_test_pair_gets_the_runs_scores(
    as_stored: tuple[Folder, Path], tmp_path: Path
) -> None:
    folder, root = as_stored
    with open(folder.file("pairs.csv"), newline="") as file:
        rows = {(row["moving"], row["fixed"]): row for row in csv.DictReader(file)}
    registrar = Registrar(folder)
    for (moving, fixed), row in rows.items():
        pair = PairOfFiles(
            root / f"{moving}.nii.gz",
            root / f"{fixed}.nii.gz",
            root / f"{moving.replace('image', 'labels')}.nii.gz",
            root / f"{fixed.replace('image', 'labels')}.nii.gz",
        )
        found = registrar.register(pair, tmp_path / moving)
        assert found.after["dice"] == pytest.approx(float(row["dice"]), abs=1e-9)
        assert found.before["dice"] == pytest.approx(float(row["dice_before"]), abs=1e-9)
        assert found.after["folding"] == pytest.approx(float(row["folding"]), abs=1e-9)
        assert found.after["sdlogj"] == pytest.approx(float(row["sdlogj"]), abs=1e-9)
        assert found.after["similarity"] != found.before["similarity"]
        assert found.line.startswith(f"{moving} to {fixed}: D ")


def test_a_velocity_gives_an_inverse(as_stored: tuple[Folder, Path], tmp_path: Path) -> None:
    """Forth and back is nearer to the identity than forth, and SimpleITK composes them."""
    folder, root = as_stored
    pair = PairOfFiles(root / "image4.nii.gz", root / "image5.nii.gz")
    found = Registrar(folder).register(pair, tmp_path)
    names = [path.name for path in found.files]
    assert names[-1] == "inverse_displacement.nii.gz"
    assert all(map(MADE.match, names))
    there, back = (
        sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
        for path in found.files[-2:]
    )
    fixed = as_sitk(pair.fixed)
    lengths = {"there": [], "both": []}
    for index in np.ndindex(6, 6, 6):
        x = fixed.TransformIndexToPhysicalPoint([7 + i for i in index])
        y = there.TransformPoint(x)
        lengths["there"].append(np.linalg.norm(np.subtract(y, x)))
        lengths["both"].append(np.linalg.norm(np.subtract(back.TransformPoint(y), x)))
    assert np.mean(lengths["there"]) > 0.05
    assert np.mean(lengths["both"]) < 0.1 * np.mean(lengths["there"])


def test_methods_are_loaded_without_the_data(resampled: Folder) -> None:
    job = load_method(resampled)
    assert (job.dataset.ids, job.dataset.shape) == ([], (16, 12, 16))
    assert job.setup.dataset.fingerprint == resampled.summary()["data"]
    with pytest.raises(BenchError, match="does not exist"):
        load_run(resampled)


def test_extractors_are_read_not_trained(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    write_table(root, HEADERS["plain"])
    trained = ["metric=deepsim_ae", "metric.extractor.channels=[4,6,8]", "metric.extractor.steps=2"]
    folder = finished(root, "dataset.shape=[16,16,16]", *TRAINING, *trained)
    files = PairOfFiles(root / "image4.nii.gz", root / "image5.nii.gz")
    found = Registrar(folder).register(files, tmp_path / "out")
    assert found.after["similarity"] > 0
    (extractor,) = (folder.path.parents[1] / "extractors").glob("nifti-*")
    extractor.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=rf"{extractor.name}: the metric needs"):
        Registrar(folder)
    assert not extractor.exists()


def test_tables_list_many_pairs(as_stored: tuple[Folder, Path], tmp_path: Path) -> None:
    _, root = as_stored
    table = root / "new.csv"
    table.write_text("moving,fixed,labels\nimage4.nii.gz,image5.nii.gz,labels4.nii.gz\n")
    assert listed_pairs(table) == [
        PairOfFiles(root / "image4.nii.gz", root / "image5.nii.gz", root / "labels4.nii.gz")
    ]
    table.write_text("moving,fixed\nimage4.nii.gz,\n")
    with pytest.raises(DataError, match="line 2 has no fixed image"):
        listed_pairs(table)
    with pytest.raises(DataError, match="no such file"):
        listed_pairs(root / "none.csv")
    table.write_text("moving,fixed\nimage4.nii.gz,none.nii\n")
    with pytest.raises(DataError, match=r"new.csv: line 2: fixed .*none.nii: no such file\.$"):
        listed_pairs(table)
    row = "image4.nii.gz,image5.nii.gz\n"
    table.write_text(f"moving,fixed\n{row}image5.nii.gz,image4.nii.gz\n{row}")
    with pytest.raises(DataError, match="lines 2 and 4 both register image4 to image5"):
        listed_pairs(table)
    table.write_text("moving,fixed,labels,fixed_labels\na.nii,b.nii,,l.nii\n")
    with pytest.raises(DataError, match=r"l.nii: labels the fixed image .*b.nii, but the"):
        listed_pairs(table)


@pytest.mark.parametrize(
    ("rows", "folders"),
    [
        (["a/t1,b/t1"], ["a_t1_to_b_t1"]),
        (["a/anat/t1,b/anat/t1", "a/anat/t1,b/anat/t2"], ["a_anat_t1_to_b_anat_t1", "t1_to_t2"]),
        (["a/t1,a/t2", "b/t1,b/t2"], ["a_t1_to_a_t2", "b_t1_to_b_t2"]),
        (["a/t1,a/t1"], ["t1_to_t1"]),
    ],
)
def test_pairs_of_equal_file_names_are_called_by_their_folders(
    tmp_path: Path, rows: list[str], folders: list[str]
) -> None:
    for name in ",".join(rows).split(","):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.nii").touch()
    table = tmp_path / "pairs.csv"
    lines = [",".join(f"{name}.nii" for name in row.split(",")) for row in rows]
    table.write_text("\n".join(["moving,fixed", *lines]))
    pairs = listed_pairs(table)
    assert [pair.folder for pair in pairs] == folders
    if rows[0] == "a/t1,b/t1":
        assert pairs[0].names == ("a/t1", "b/t1")


ORIGIN = Origin("run", "a.nii", "b.nii")


def write_into(out: Path, content: str, origin: Origin = ORIGIN, full: bool = False) -> None:
    with claimed(out, origin), written_aside(out, origin) as aside:
        (aside / "warped.nii.gz").write_text(content)
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")


def files_of(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="out: cannot be written \\(No space left"):
        write_into(out, "ha", full=True)
    assert not out.exists()
    write_into(out, "former")
    (out / ".partial").mkdir()
    (out / ".partial/half").touch()  # of a process that was killed
    with pytest.raises(ConfigError, match="cannot be written"):
        write_into(out, "ha", full=True)
    assert (out / "warped.nii.gz").read_text() == "former"
    write_into(out, "new")
    assert files_of(out) == ["origin.json", "warped.nii.gz"]
    assert (out / "warped.nii.gz").read_text() == "new"
    with pytest.raises(ConfigError, match=r"warped.nii.gz: is a file\. Name a folder"):
        write_into(out / "warped.nii.gz", "into a file")


def test_files_of_another_origin_are_not_replaced(tmp_path: Path) -> None:
    write_into(tmp_path / "out", "former")
    with pytest.raises(ConfigError, match=r"files of another pair \(fixed b\.nii\)"):
        write_into(tmp_path / "out", "new", replace(ORIGIN, fixed="c.nii"))
    with pytest.raises(ConfigError, match=r"files of another run \(run run\)"):
        write_into(tmp_path / "out", "new", replace(ORIGIN, run="other"))
    with pytest.raises(ConfigError, match=r"files of another λ \(the run's own\)"):
        write_into(tmp_path / "out", "new", replace(ORIGIN, weight=0.5))
    write_into(tmp_path / "other", "former", replace(ORIGIN, weight=0.5))
    with pytest.raises(ConfigError, match=r"files of another λ \(weight 0\.5\)"):
        write_into(tmp_path / "other", "new")
    for damaged in ("", "{", "[]", "null", '{"run": "run"}'):
        (tmp_path / "out/origin.json").write_text(damaged)
        with pytest.raises(ConfigError, match=r"its origin.json is damaged"):
            write_into(tmp_path / "out", "new")
    assert (tmp_path / "out/warped.nii.gz").read_text() == "former"


@pytest.mark.parametrize("name", ["warped.tif", "change.nii.gz", "inverse_displacement.npy"])
def test_files_of_the_users_are_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("the user's")
    (tmp_path / "image.nii.gz").touch()
    with pytest.raises(ConfigError, match=f"holds {name}, which this command did not write"):
        write_into(tmp_path, "new")
    (tmp_path / name).rename(tmp_path / "mine.nii.gz")
    write_into(tmp_path, "new")
    assert (tmp_path / "mine.nii.gz").read_text() == "the user's"


def test_a_folder_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    lock = held(tmp_path / "out/.lock", "the folder", "--out DIR", patience=0)
    with claimed(tmp_path / "out", ORIGIN), pytest.raises(Busy), lock:
        pass
    assert not (tmp_path / "out").exists()


def test_what_the_scores_leave_out_is_noted(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    write_table(root, HEADERS["flipped"])
    made = ["dataset.shape=[16,30,18]", "model=direct", "model.steps=[1,1,1,1]", *SMALL]
    registrar = Registrar(finished(root, *made))
    more = nibabel.load(root / "labels4.nii.gz").get_fdata().astype(np.uint16)
    more[:3], more[3:5] = 7, 300
    other = write_nifti(root / "more.nii.gz", more, HEADERS["flipped"])
    files = [root / f"{kind}{number}.nii.gz" for number in (4, 5) for kind in ("image", "labels")]
    plain = registrar.register(
        PairOfFiles(files[0], files[2], files[1], files[3]), tmp_path / "plain"
    )
    cut = "16 x 22 x 18 of 20 x 22 x 18 voxels of the"
    of_crop = f"the run sees {cut} moving image and {cut} fixed image; beyond them it"
    assert [note.partition(" extends")[0] for note in plain.notes] == [of_crop]
    pair = PairOfFiles(files[0], files[2], other, files[3])
    found = registrar.register(pair, tmp_path / "out")
    labels = "labels 7, 300 are not classes of the run; Dice covers label 1, label 2"
    assert found.notes == [*plain.notes, labels]
    assert found.before["dice"] == plain.before["dice"]  # 7 and 300 are where 0 was
    assert {7, 300} <= set(np.unique(nibabel.load(found.files[1]).dataobj).tolist())
    unscored = registrar.register(PairOfFiles(files[0], files[2], other), tmp_path / "unscored")
    assert unscored.notes == plain.notes


def test_intensities_of_another_range_than_the_runs_are_noted(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    write_table(root, HEADERS["plain"])
    keep = ["dataset.intensity={policy: keep}", "model=identity", *SMALL]
    registrar = Registrar(finished(root, *keep))
    plain = nibabel.load(root / "image4.nii.gz").get_fdata()
    files = {}
    for name, factor in (("brighter", 4), ("darker", 0.1), ("alike", 1.2)):
        image = (factor * plain).astype(np.float32)
        files[name] = write_nifti(root / f"{name}.nii.gz", image, HEADERS["plain"])
    pair = PairOfFiles(files["brighter"], files["darker"])
    notes = registrar.register(pair, tmp_path / "out").notes
    low, high = registrar.dataset.index["intensities"]
    assert [note.partition(", those")[0] for note in notes] == [
        f"normalized intensities of the {role} image run from {factor * plain.min():.3g} to "
        f"{factor * plain.max():.3g}"
        for role, factor in (("moving", 4), ("fixed", 0.1))
    ]
    assert all(f"test images from {low:.3g} to {high:.3g}; rescale" in note for note in notes)
    pair = PairOfFiles(files["alike"], root / "image5.nii.gz")
    assert registrar.register(pair, tmp_path / "alike").notes == []
    normalized = Registrar(finished(root, "model=identity", *SMALL))
    pair = PairOfFiles(files["brighter"], files["darker"])
    assert normalized.register(pair, tmp_path / "normalized").notes == []


def test_resampling_cuts_nothing_off(tmp_path: Path) -> None:
    """It may lose less than a voxel, which is not worth a note."""
    root = tmp_path / "data"
    root.mkdir()
    write_table(root, HEADERS["oblique"])
    made = ["dataset.spacing=[1.5,1.6,1.7]", "model=identity", *SMALL]
    pair = PairOfFiles(root / "image4.nii.gz", root / "image5.nii.gz")
    assert Registrar(finished(root, *made)).register(pair, tmp_path / "out").notes == []


def test_a_growing_dissimilarity_is_said() -> None:
    smooth = {"folding": 0, "sdlogj": 0.0625}
    scores = {"similarity": 0.25, "dice": 0.5}, {"similarity": 0.5, "dice": 0.4, **smooth}
    line = Registered(("a", "b"), *scores, files=[Path("out/warped.nii.gz")]).line
    said = "D grew from 0.25 to 0.5, Dice 0.5 to 0.4, 0.000% folded, SD log J 0.0625"
    assert line == f"a to b: {said}; out: warped.nii.gz"
    line = Registered(("a", "b"), scores[1], scores[0] | smooth, files=[Path("w")]).line
    assert line.startswith("a to b: D 0.5 to 0.25, Dice 0.4 to 0.5")


def test_direct_registration_registers_new_files(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    write_table(root, HEADERS["flipped"])
    folder = finished(root, "model=direct", "regularizer.weight=0.001", *SMALL)
    files = [root / f"{kind}{number}.nii.gz" for number in (4, 5) for kind in ("image", "labels")]
    pair = PairOfFiles(files[0], files[2], files[1], files[3])
    found = Registrar(folder).register(pair, tmp_path / "out")
    assert found.after["similarity"] < 0.5 * found.before["similarity"]
    with open(folder.file("pairs.csv"), newline="") as file:
        rows = {row["moving"]: float(row["dice"]) for row in csv.DictReader(file)}
    assert found.after["dice"] == pytest.approx(rows["image4"], abs=1e-4)
    summary = json.loads(folder.file("summary.json").read_text())
    assert summary["metric"] == "mse"


def test_tiff_volumes_are_registered_as_nifti_is(tmp_path: Path) -> None:
    roots = {kind: tmp_path / kind for kind in ("nifti", "tiff")}
    ending = {"nifti": ".nii.gz", "tiff": ".tif"}
    edges = (1.1, 0.9, 2.0)  # mm
    voxel = {f"PhysicalSize{axis}": 1000 * edge for axis, edge in zip("XYZ", edges, strict=True)}
    of_ome = {"ome": True, "metadata": {"axes": "ZYX", **voxel}}
    for number in (4, 5):
        for what, array in zip(("image", "labels"), head(number), strict=True):
            write_nifti(roots["nifti"] / f"{what}{number}.nii.gz", array, np.diag((*edges, 1)))
            write_tiff(roots["tiff"] / f"{what}{number}.tif", array.T, **of_ome)
    scores, displacements = {}, {}
    for kind, root in roots.items():
        files = [f"{what}{n}{ending[kind]}" for n in (4, 5) for what in ("image", "labels")]
        (root / "subjects.csv").write_text("image,labels\n{},{}\n{},{}\n".format(*files))
        (root / "points.csv").write_text("x,y,z\n6,8,9\n")
        folder = finished(root, "model=direct", "regularizer.weight=0.001", *SMALL)
        scores[kind] = json.loads(folder.file("summary.json").read_text())["scores"]
        first, labels, second, _ = (root / name for name in files)
        pair = PairOfFiles(first, second, labels, landmarks=root / "points.csv")
        found = Registrar(folder).register(pair, tmp_path / "out" / kind, "voxels")
        displacements[kind] = np.load(found.files[2])
        mapped = read_points(found.files[3]).points[0]
        assert mapped == pytest.approx((6, 8, 9) + displacements[kind][:, 6, 8, 9], abs=1e-4)
    for name in ("dice", "hd95", "sdlogj"):
        expected = scores["nifti"][name]["mean"]
        assert scores["tiff"][name]["mean"] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(displacements["tiff"], displacements["nifti"], atol=1e-4)
    warped = tifffile.imread(found.files[0]).T
    by_nifti = np.asarray(nibabel.load(tmp_path / "out" / "nifti" / "warped.nii.gz").dataobj)
    np.testing.assert_allclose(warped, by_nifti, atol=1e-2)
    assert Registrar(folder).register(pair, tmp_path / "again").files[2].suffix == ".npy"
    with pytest.raises(ConfigError, match="--format ants: needs volumes with a position"):
        Registrar(folder).register(pair, tmp_path / "out", "ants")


@pytest.fixture(scope="module")
def flat(tmp_path_factory) -> tuple[Folder, Path]:
    """A run on slices of TIFF stacks, and a folder of single slices."""
    root = tmp_path_factory.mktemp("flat") / "data"
    pages = [head(number, (24, 28)) for number in range(9)]
    images = np.stack([image for image, _ in pages]).clip(0, 255).astype(np.uint8)
    labels = np.stack([ids for _, ids in pages])
    write_tiff(root / "images.tif", images)
    write_tiff(root / "labels.tif", labels)
    split = "{{images: images.tif, labels: labels.tif, slices: [{},{}]}}"
    splits = ",".join(f"{name}: {split.format(*ends)}" for name, ends in FLAT_SPLITS.items())
    made = ["dataset=tiff_stack", f"dataset.root={root}", f"dataset.splits={{{splits}}}"]
    made += ["dataset.shape=[20,32]", "dataset.classes=3", "metric=mse", *TRAINING]
    folder = run(compose_raw([*made, f"results_dir={root.parent / 'results'}"])).folder
    for number in (6, 7):
        write_tiff(root / f"image{number}.tif", images[number])
        write_tiff(root / f"labels{number}.tif", labels[number])
    return folder, root


FLAT_SPLITS = {"train": (0, 3), "val": (3, 6), "test": (6, 9)}


def test_slices_are_registered_alike(flat: tuple[Folder, Path], tmp_path: Path) -> None:
    import imagecodecs
    from scipy.ndimage import map_coordinates

    folder, root = flat
    (root / "image6.png").write_bytes(imagecodecs.png_encode(tifffile.imread(root / "image6.tif")))
    for number, moving in enumerate(["image6.tif", "image6.png"]):
        pair = PairOfFiles(
            root / moving, root / "image7.tif", root / "labels6.tif", root / "labels7.tif"
        )
        found = Registrar(folder).register(pair, tmp_path / str(number))
        names = ["warped.tif", "warped_labels.tif", "displacement.npy"]
        assert all(map(MADE.match, names))
        assert [path.name for path in found.files] == names
        warped, labels = (tifffile.imread(path) for path in found.files[:2])
        u = np.load(found.files[2])
        assert (u.shape, warped.dtype, labels.dtype) == ((2, 24, 28), np.uint8, np.uint8)
        image = tifffile.imread(root / "image6.tif")
        places = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij")) + u
        inside = np.logical_and.reduce(
            [(p >= 0) & (p <= n - 1) for p, n in zip(places, image.shape, strict=True)]
        )
        expected = np.rint(map_coordinates(image.astype(float), places, order=1))
        assert np.abs(warped[inside].astype(float) - expected[inside]).max() <= 1
        assert 0 < found.after["dice"] < 1


def test_files_unlike_the_runs_are_one_line(
    as_stored: tuple[Folder, Path], flat: tuple[Folder, Path], tmp_path: Path
) -> None:
    folder, root = as_stored
    slices, flat_root = flat
    good = root / "image4.nii.gz"
    image, labels = head(4)
    wide = write_nifti(tmp_path / "wide.nii.gz", head(4, (21, 22, 18))[0], HEADERS["left-handed"])
    coarse = write_nifti(tmp_path / "coarse.nii.gz", image, HEADERS["plain"])
    holes = write_nifti(tmp_path / "holes.nii.gz", np.where(image > 50, np.nan, image))
    odd = write_nifti(tmp_path / "odd.nii.gz", (labels * 200.0).astype(np.float32) * 2)
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(good.read_bytes()[:1000])
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    html = tmp_path / "page.html"
    html.write_text("<html>404 not found</html>")
    registrar, of_slices = Registrar(folder), Registrar(slices)
    stack = flat_root / "images.tif"
    colour = write_tiff(
        tmp_path / "colour.tif",
        (np.eye(20)[..., None] * [1, 2, 3]).astype(np.uint8),
        photometric="rgb",
    )
    cases = [
        (registrar, PairOfFiles(flat_root / "image6.tif", good), "is a 2D image"),
        (of_slices, PairOfFiles(good, good), "is a volume of"),
        (registrar, PairOfFiles(wide, good), r"has shape \(21, 22, 18\) after preprocessing,"),
        (registrar, PairOfFiles(coarse, good), "has voxels of 1 x 1 x 1 mm, but .* 1 x 1.2 x 1 mm"),
        (registrar, PairOfFiles(good, holes), "voxels are not finite"),
        (registrar, PairOfFiles(good, cut), "cannot be read as NIfTI"),
        (registrar, PairOfFiles(good, tmp_path / "none.nii"), "none.nii: no such file"),
        (registrar, PairOfFiles(good, html), "page.html: is a web page, such as a login"),
        (registrar, PairOfFiles(good, good, odd), "labels 400 are outside|place the same voxel"),
        (
            registrar,
            PairOfFiles(good, good, stack),
            "is a different kind of file .TIFF. than its image",
        ),
        (of_slices, PairOfFiles(stack, stack), "has 9 pages, but the data set needs one"),
        (of_slices, PairOfFiles(colour, stack), "has 3 channel"),
        (
            of_slices,
            PairOfFiles(broken, stack),
            "broken.png: is a text file, which the suite does not read",
        ),
    ]
    for one, pair, words in cases:
        with pytest.raises(DataError, match=words) as caught:
            one.register(pair, tmp_path / "out")
        assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()
    for one, layout in ((registrar, "itk"), (of_slices, "ants")):
        with pytest.raises(ConfigError, match=f"--format {layout}: "):
            one.register(PairOfFiles(good, good), tmp_path / "out", layout)


def test_other_channels_are_refused(as_stored: tuple[Folder, Path], tmp_path: Path) -> None:
    folder, root = as_stored
    registrar = Registrar(folder)
    registrar.dataset.index["channels"] = 2  # type: ignore[index]
    good = root / "image4.nii.gz"
    with pytest.raises(DataError, match=r"has 1 channel\(s\), but .* registers images with 2"):
        registrar.register(PairOfFiles(good, good), tmp_path)


def test_metrics_of_labels_ask_for_them_where_they_are_optimized(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    write_table(root, HEADERS["plain"])
    folder = finished(root, "model=direct", "model.steps=[1,1,1,1]", "metric=dice", *SMALL)
    files = PairOfFiles(root / "image4.nii.gz", root / "image5.nii.gz")
    with pytest.raises(DataError, match="Give --labels and --fixed-labels"):
        Registrar(folder).register(files, tmp_path / "out")


def test_runs_that_cannot_be_used_are_refused(
    as_stored: tuple[Folder, Path], tmp_path: Path
) -> None:
    folder, _ = as_stored
    with pytest.raises(StoreError, match="has not finished"):
        Registrar(Folder(tmp_path))
    data = folder.file("data.json")
    content = data.read_text()
    data.unlink()
    with pytest.raises(StoreError, match=r"is damaged: data\.json cannot be read"):
        Registrar(folder)
    data.write_text(content)


def test_ants_warps_files_as_written(resampled: Folder, tmp_path: Path) -> None:
    ants = pytest.importorskip("ants")
    files = [
        write_nifti(tmp_path / f"{name}.nii.gz", head(number, shape)[0], HEADERS[name])
        for number, (name, shape) in enumerate(
            [("anisotropic", (24, 22, 21)), ("left-handed", (21, 25, 20))]
        )
    ]
    found = Registrar(resampled).register(PairOfFiles(*files), tmp_path / "out")
    moving, fixed = (ants.image_read(str(path)) for path in files)
    by_ants = ants.apply_transforms(fixed, moving, [str(found.files[-1])], "linear").numpy()
    ours = np.asarray(nibabel.load(found.files[0]).dataobj)
    inside = by_ants != 0  # which lies outside there
    assert inside.mean() > 0.5
    assert np.mean(np.abs(by_ants - ours)[inside] > 0.05) < 2e-3
