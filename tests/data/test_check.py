"""Sets in the papers' layouts, broken in every way we know of: the check names the fault."""

import csv
import json
import re
import shutil

import nibabel
import numpy as np
import pytest
import tifffile
from conf_options import experiment

from bench.data.check import check
from bench.data.headers import header_distance
from bench.data.setup import Setup, make_source
from bench.errors import BenchError
from bench.tasks.registration.assembly import make_parts

RANDOM = np.random.default_rng(0)
SPLITS = ["train"] * 3 + ["val"] * 2 + ["test"] * 2


def volume(path, array, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)


def write_brain(root):
    names = [f"s{i}" for i in range(len(SPLITS))]
    for folder in ("atlas", *(f"data/{name}" for name in names)):
        image = RANDOM.integers(1, 128, size=(8, 9, 4)).astype(np.uint8)
        volume(root / folder / "brain_aligned.nii.gz", image)
        volume(root / folder / "seg_coalesced_aligned.nii.gz", image // 32)
    rows = [f"{name},{split}" for name, split in zip(names, SPLITS, strict=True)]
    (root / "metadata.csv").write_text("\n".join(["subject_id,SPLIT", *rows]) + "\n")


def write_hippocampus(root):
    entries = []
    for i in range(10):
        entry = {"image": f"./imagesTr/h_{i}.nii.gz", "label": f"./labelsTr/h_{i}.nii.gz"}
        image = RANDOM.uniform(0, 500, size=(7, 8, 6)).astype(np.float32)
        volume(root / entry["image"], image)
        volume(root / entry["label"], (image // 200).astype(np.uint8))
        entries.append(entry)
    (root / "dataset.json").write_text(json.dumps({"training": entries}))


def write_em(root):
    for split, count in (("train", 4), ("val", 3), ("test", 3)):
        image = RANDOM.integers(256, size=(count, 16, 20)).astype(np.uint8)
        for folder, stack in (("images", image), ("labels-class", image // 128)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(root / folder / f"{split}.tif", stack, photometric="minisblack")


def write_phc(root):
    for sequence in ("01", "02"):
        masks = root / f"{sequence}_ST" / "SEG"
        masks.mkdir(parents=True)
        (root / sequence).mkdir()
        for i in range(10):
            image = RANDOM.integers(256, size=(24, 30)).astype(np.uint8)
            tifffile.imwrite(root / sequence / f"t{i:03d}.tif", image)
            tifffile.imwrite(masks / f"man_seg{i:03d}.tif", (image // 64).astype(np.uint16))


LAYOUTS = {
    "brain": ("brain", "brain_slab", write_brain),
    "hippocampus": ("hippocampus", "hippocampus", write_hippocampus),
    "em": ("tiff_stack", "em_isbi2012", write_em),
    "phc": ("phc_u373", "phc_trpl", write_phc),
}


@pytest.fixture(params=["small", "real"])
def layout(request, tmp_path):
    """Makes a copy of a set, small and synthetic or a real one, and checks it."""

    def make(name):
        dataset, folder, write = LAYOUTS[name]
        root = tmp_path / name
        if request.param == "small":
            write(root)
        else:
            shutil.copytree(request.getfixturevalue("real_data") / folder, root)
            shorten(name, root)
        return root, [f"dataset={dataset}", f"dataset.root={root}"]

    return make


def shorten(name, root):
    """Leaves few of the real volumes in the list, for speed."""
    if name == "brain":
        rows = (root / "metadata.csv").read_text().split()
        kept = []
        for split in ("train", "val", "test"):
            kept += [row for row in rows if row.endswith(split)][: SPLITS.count(split)]
        (root / "metadata.csv").write_text("\n".join([rows[0], *kept]) + "\n")
    if name == "hippocampus":
        content = json.loads((root / "dataset.json").read_text())
        content["training"] = content["training"][:10]
        (root / "dataset.json").write_text(json.dumps(content))


def checked(options, *more):
    return check(make_source(experiment([*options, *more])))


def first_image(name, root):
    """Image, labels and shape of one subject of the training split."""
    if name == "brain":
        subject = root / "data" / (root / "metadata.csv").read_text().split()[1].split(",")[0]
        return subject / "brain_aligned.nii.gz", subject / "seg_coalesced_aligned.nii.gz"
    entry = json.loads((root / "dataset.json").read_text())["training"][0]
    return root / entry["image"], root / entry["label"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_whole_set_passes(layout, name):
    _, options = layout(name)
    report = checked(options)
    assert report.faults == []
    assert [name for name in report.splits if name != "atlas"] == ["train", "val", "test"]
    assert all(split.pairs for key, split in report.splits.items() if key != "atlas")
    assert all(split.shown for split in report.splits.values())
    assert len(report.labels) >= 2
    assert report.labels[0].name == "background"


@pytest.mark.parametrize("padding", [[], ["dataset.shape=[16,16,16]"]])
def test_data_narrower_than_a_window_of_ncc_are_noted(padding, tmp_path):
    write_brain(tmp_path)
    source = make_source(experiment(["dataset=brain", f"dataset.root={tmp_path}", *padding]))
    (note,) = [note for note in check(source, 9).notes if "metric=ncc" in note]
    assert "brain_aligned.nii.gz: the shortest axis has 4 voxels of data, fewer than the 9" in note
    assert note.endswith("Set metric.window=3 or less with metric=ncc.")
    for window in (3, None):
        assert not any("metric=ncc" in note for note in check(source, window).notes)


def test_counts_of_labels_are_those_of_the_files(layout):
    root, options = layout("em")
    stacks = [tifffile.imread(path) for path in sorted((root / "labels-class").iterdir())]
    report = checked(options)
    for label in report.labels:
        (value,) = label.ids
        assert label.voxels == sum(int((stack == value).sum()) for stack in stacks)
        assert label.subjects == sum(int((page == value).any()) for s in stacks for page in s)


def truncate(image, labels):
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])


def truncate_labels(image, labels):
    truncate(labels, None)


def make_constant(image, labels):
    file = nibabel.load(image)
    volume(image, np.full(file.shape, 7, np.uint8), file.affine)


def make_4d(image, labels):
    file = nibabel.load(image)
    array = np.asanyarray(file.dataobj)
    volume(image, np.stack([array, array], axis=3), file.affine)


def shear(image, labels):
    affine = np.eye(4)
    affine[0, 1] = 0.3
    volume(image, np.asanyarray(nibabel.load(image).dataobj), affine)


def make_fractions(image, labels):
    file = nibabel.load(labels)
    volume(labels, np.asanyarray(file.dataobj).astype(np.float32) / 2, file.affine)


def make_unknown(image, labels):
    file = nibabel.load(labels)
    array = np.asanyarray(file.dataobj).copy()
    array[0, 0, 0] = 99
    volume(labels, array, file.affine)


def cut_labels(image, labels):
    file = nibabel.load(labels)
    volume(labels, np.asanyarray(file.dataobj)[1:], file.affine)


def move_labels(image, labels):
    file = nibabel.load(labels)
    affine = file.affine.copy()
    affine[0, 3] += 10
    volume(labels, np.asanyarray(file.dataobj), affine)


def make_nan(image, labels):
    file = nibabel.load(image)
    array = file.get_fdata(dtype=np.float32)
    array[0, 0, 0] = np.nan
    volume(image, array, file.affine)


def remove(image, labels):
    image.unlink()


@pytest.mark.parametrize("name", ["brain", "hippocampus"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate, "cannot be read as NIfTI; it is damaged or truncated"),
        (truncate_labels, "cannot be read as NIfTI; it is damaged or truncated"),
        (make_constant, "has the same intensity everywhere"),
        (make_4d, "channel(s), but most images have"),
        (shear, "its affine is sheared"),
        (make_fractions, "is not a whole number"),
        (make_unknown, "labels 99 are outside the declared classes"),
        (cut_labels, "but its image"),
        (move_labels, "its affine disagrees with that of its image"),
        (make_nan, "1 voxel is not finite"),
        (remove, "no such file"),
    ],
)
def test_damaged_volume_is_named(layout, name, damage, words):
    root, options = layout(name)
    image, labels = first_image(name, root)
    damage(image, labels)
    faults = checked(options).faults
    assert any(words in fault for fault in faults), faults
    assert any(image.name in fault or labels.name in fault for fault in faults)
    assert all("\n" not in fault for fault in faults)


def rescale(image, labels):
    file = nibabel.load(image)
    array = np.asanyarray(file.dataobj)
    new = nibabel.Nifti1Image(np.clip(array, 0, 30000).astype(np.int16), file.affine)
    new.header.set_slope_inter(0.5, 3)
    nibabel.save(new, image)


def widen_labels(image, labels):
    file = nibabel.load(labels)
    array = np.asanyarray(file.dataobj).astype(np.int64)
    nibabel.save(nibabel.Nifti1Image(array, file.affine, dtype=np.int64), labels)


def turn(image, labels):
    """Stores image and labels with other axes, at the same place."""
    for path in (image, labels):
        file = nibabel.load(path)
        nibabel.save(file.slicer[::-1, :, ::-1], path)


@pytest.mark.parametrize("name", ["brain", "hippocampus"])
@pytest.mark.parametrize("change", [rescale, widen_labels, turn])
def test_unusual_but_sound_volume_passes(layout, name, change):
    root, options = layout(name)
    change(*first_image(name, root))
    report = checked(options)
    assert report.faults == []
    assert any("stored as" in note for note in report.notes) == (change is turn)


def edit_csv(root, change):
    path = root / "metadata.csv"
    rows = list(csv.reader(path.read_text().splitlines()))
    path.write_text("\n".join(",".join(row) for row in change(rows)) + "\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [*rows[:-1], [rows[-1][0], "tset"]], "has SPLIT 'tset'; known: train"),
        (lambda rows: [*rows, rows[1]], "is listed more than once"),
        (lambda rows: [*rows, [rows[1][0], "test"]], "is listed in test and in train"),
        (lambda rows: [*rows, ["", "test"]], "line 9 has no subject_id"),
        (lambda rows: [[";".join(row)] for row in rows], "Separate columns by commas"),
        (lambda rows: rows[:1], "has no rows below its header."),
        (lambda rows: [*rows, ["gone", "test"]], "gone"),
    ],
)
def test_wrong_list_of_subjects_is_named(layout, change, words):
    root, options = layout("brain")
    edit_csv(root, change)
    faults = checked(options).faults
    assert any(words in fault for fault in faults), faults


def test_byte_order_mark_is_no_fault(layout):
    root, options = layout("brain")
    listing = root / "metadata.csv"
    listing.write_bytes(b"\xef\xbb\xbf" + listing.read_bytes())
    assert checked(options).faults == []


def test_one_image_under_two_names_in_two_splits_is_a_fault(layout):
    root, options = layout("brain")
    rows = (root / "metadata.csv").read_text().split()
    first, last = rows[1].split(",")[0], rows[-1].split(",")[0]
    shutil.rmtree(root / "data" / last)
    shutil.copytree(root / "data" / first, root / "data" / last)
    (fault,) = checked(options).faults
    assert f"{first} (train) and {last} (test) hold the same image" in fault


def test_a_single_subject_makes_no_pair(layout):
    root, options = layout("hippocampus")
    content = json.loads((root / "dataset.json").read_text())
    content["training"] = content["training"][:5]
    (root / "dataset.json").write_text(json.dumps(content))
    faults = checked(options).faults
    assert any("split 'val' has 1 subject; pairing 'mirrored' needs" in fault for fault in faults)


def rewrite(path, change, **options):
    tifffile.imwrite(
        path, change(tifffile.imread(path)), **{"photometric": "minisblack", **options}
    )


def colored(stack):
    return np.stack([stack, 255 - stack, stack], axis=-1)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda s: s[:-1], {}, "slices, but"),
        (lambda s: s.astype(np.float32), {}, "float32 pixels have no bit depth"),
        (colored, {"photometric": "rgb"}, "channel(s), but most images have"),
        (lambda s: s.astype(np.int16) - 99, {}, "has negative int16 pixels"),
        (lambda s: s * 0 + 9, {}, "has the same intensity everywhere"),
        (
            lambda s: s,
            {"photometric": "palette", "colormap": RANDOM.integers(65536, size=(3, 256))},
            "channel(s), but most images have",
        ),
    ],
)
def test_damaged_stack_is_named(layout, change, options, words):
    root, composed = layout("em")
    if "colormap" in options:
        options = options | {"colormap": options["colormap"].astype(np.uint16)}
    rewrite(root / "images" / "train.tif", change, **options)
    faults = checked(composed).faults
    assert any(words in fault for fault in faults), faults
    assert any("train.tif" in fault or "val.tif" in fault for fault in faults)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.7])
def test_truncated_stack_is_named(layout, share):
    root, options = layout("em")
    path = root / "images" / "train.tif"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    faults = checked(options).faults
    assert faults
    assert "train.tif" in faults[0]


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda s: s, {"byteorder": ">"}),
        (lambda s: s, {"compression": "deflate"}),
        (lambda s: s, {"compression": "lzw"}),
        (lambda s: s.astype(np.uint16) * 257, {}),
        (lambda s: np.stack([s] * 3, axis=-1), {"photometric": "rgb"}),
    ],
)
def test_unusual_but_sound_stack_passes_with_the_same_range(layout, change, options):
    root, composed = layout("em")
    before = checked(composed).splits["train"].normalized
    rewrite(root / "images" / "train.tif", change, **options)
    report = checked(composed)
    assert report.faults == []
    assert report.splits["train"].normalized == pytest.approx(before, abs=0.005)


def test_coloured_labels_want_a_table(layout):
    root, options = layout("em")
    rewrite(root / "labels-class" / "train.tif", lambda s: colored(s * 255), photometric="rgb")
    (fault,) = set(checked(options).faults)
    assert "train.tif: holds colours, but labels must be ids." in fault
    table = "dataset.colors=[[0,255,0,0],[255,0,255,1]]"
    assert checked(options, table).faults == []


def test_twelve_bits_in_sixteen_are_noted(layout):
    root, options = layout("em")
    rewrite(root / "images" / "train.tif", lambda s: s.astype(np.uint16) * 16)
    report = checked(options)
    assert report.faults == []
    assert any("train: normalized intensities only reach" in note for note in report.notes)


@pytest.mark.parametrize(
    ("remove", "words"),
    [
        (["02/t004.tif"], "lacks frame 4 of its sequence 0 to 9"),
        (["02/t004.tif", "02_ST/SEG/man_seg004.tif"], "lacks frame 4 of its sequence 0 to 9"),
        (["01_ST/SEG/man_seg003.tif"], "man_seg003.tif, the mask of frame t003.tif, is missing"),
        ([f"01/t{i:03d}.tif" for i in range(10)], "01 holds no frames tNNN.tif"),
    ],
)
def test_incomplete_sequence_is_named(layout, remove, words):
    root, options = layout("phc")
    for name in remove:
        (root / name).unlink()
    (fault,) = checked(options).faults
    assert words in fault


def test_folder_that_is_missing_or_empty_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "gone"):
        (fault,) = checked(["dataset=brain", f"dataset.root={tmp_path / folder}"]).faults
        assert "python -m bench data prepare brain" in fault


def test_generated_set_is_checked_too():
    small = ["dataset=demo", "dataset.shape=[17,22]", "dataset.resolution=4"]
    report = checked([*small, "dataset.subjects_per_split={train:2,val:2,test:2}"])
    assert report.faults == []
    assert report.splits["test"].pairs == 2


def test_channels_are_counted_and_named():
    few = ["dataset=demo", "dataset.subjects_per_split={train: 2, val: 2, test: 2}"]
    assert not any("channel" in note for note in checked(few).notes)
    assert "images have 2 channels: flair, t1" in checked(few, "dataset.contrast=[flair,t1]").notes
    (fault,) = checked(few, "dataset.moving=3").faults
    assert fault == "dataset.moving=3: is not a channel; images have 1, counted from 0 (t1)."


def test_distance_of_the_headers_of_pairs_is_told(layout):
    root, options = layout("brain")
    assert not any("by their headers" in note for note in checked(options).notes)
    moved = np.diag([1, 1, 2, 1.0])
    moved[0, 3] = 30
    for name in ("brain_aligned.nii.gz", "seg_coalesced_aligned.nii.gz"):
        subject = (root / "metadata.csv").read_text().split()[-1].partition(",")[0]
        path = root / "data" / subject / name
        volume(path, np.asarray(nibabel.load(path).dataobj), moved)
    report = checked(options)
    assert all("Set dataset.spacing to resample" in fault for fault in report.faults)
    (note,) = [note for note in report.notes if "by their headers" in note]
    assert note.startswith("test: by their headers, the images of a pair lie up to ")
    assert float(note.split(" mm apart")[0].split()[-1]) >= 30
    assert "degrees" not in note
    assert "mm) and have voxels up to 2.00 times as large; they are compared voxel by voxel" in note


def test_empty_split_is_a_note(layout):
    root, options = layout("brain")
    edit_csv(root, lambda rows: [row for row in rows if row[1] != "val"])
    report = checked(options)
    assert report.faults == []
    assert "split 'val' is empty: λ cannot be chosen" in report.notes


def test_angle_between_grids_is_that_of_the_rotation():
    turned = np.eye(4)
    angle = np.radians(20)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    shift, degrees, ratio = header_distance(turned, np.eye(4), (1, 1, 1))
    assert (shift, ratio) == (0, pytest.approx(1))
    assert degrees == pytest.approx(20)


def own_set(root, shape=(6, 7, 8), ids=(1, 2, 1001, 2035), edges=(1.0, 1.0)):
    """Four subjects in a table, two with other voxels, with a set of label ids in turn."""
    for i in range(4):
        image = RANDOM.uniform(0, 500, size=shape).astype(np.float32)
        affine = np.diag([edges[i // 2]] * 3 + [1.0])
        volume(root / f"{i}.nii.gz", image, affine)
        labels = np.resize([0, *ids], shape).astype(np.int16)
        volume(root / f"{i}_seg.nii.gz", labels, affine)
    lines = [f"{i}.nii.gz,{i}_seg.nii.gz,{'train' if i < 2 else 'test'}" for i in range(4)]
    (root / "subjects.csv").write_text("\n".join(["image,labels,split", *lines]) + "\n")
    return ["dataset=nifti", f"dataset.root={root}"]


def test_classes_that_some_subjects_lack_are_told_but_not_the_background(tmp_path):
    options = own_set(tmp_path)
    affine = nibabel.load(tmp_path / "0_seg.nii.gz").affine
    for i, value in enumerate((1, 3)):
        volume(tmp_path / f"{i}_seg.nii.gz", np.full((6, 7, 5), value, np.int16), affine)
    told = [note for note in checked(options).notes if "occurs in" in note]
    assert told
    assert not any("background" in note for note in told)


@pytest.mark.parametrize(
    ("labels", "name"),
    [("freesurfer", "background"), ("{one:1,other:rest}", "other")],
)
def test_ids_that_the_rest_takes_in_are_told(tmp_path, labels, name):
    report = checked(own_set(tmp_path), f"dataset.labels={labels}")
    (line,) = [note for note in report.notes if "dataset.labels does not name" in note]
    assert f"they count as {name}: " in line
    assert "1001 (19.94%), 2035 (19.94%)" in line
    assert report.faults == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": (6, 7, 1)}, "but the data set needs volumes."),
        (
            {"shape": (6, 7, 2)},
            r"of shape \(6, 7, 2\): each axis must have at least 3",
        ),
        (
            {"edges": (1.0, 1.5)},
            "voxels of subject 2 have edges of 1.5 x 1.5 x 1.5 mm, those",
        ),
    ],
)
def test_check_refuses_what_a_run_refuses(tmp_path, change, words):
    options = [*own_set(tmp_path / "data", ids=(1, 2), **change), f"results_dir={tmp_path}"]
    report = checked(options)
    assert re.search(words, report.faults[0])
    run = [*options, "model=direct", "metric=mse", "tracker=none"]
    with pytest.raises(BenchError, match=words):
        make_parts(Setup.of(experiment(run)))
