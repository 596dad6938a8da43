"""Subjects of different sizes in one set: pairs are padded, one per batch."""

import nibabel
import numpy as np
import pytest
import torch
from conf_options import compose_raw
from image_files import write_nifti
from volumes import HEADERS, TRAINING, head
from volumes import SMALL as QUIET

from bench.config.overrides import quoted
from bench.data import NiftiTable, prepare
from bench.data.batches.loading import read_images, read_pairs
from bench.data.check import check
from bench.errors import Unsupported
from bench.runs.file_pairs import PairOfFiles
from bench.runs.lookup import run
from bench.runs.registering import Registrar

SHAPES = [(20, 22, 18), (21, 19, 18), (18, 24, 21), (20, 22, 18), (17, 22, 19), (22, 20, 20)]
SPLITS = ["train", "train", "val", "val", "test", "test"]
POINT = (8, 9, 7)
AFFINE = HEADERS["left-handed"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two volumes for each split, no two of one size, with labels and a point each."""
    folder = tmp_path_factory.mktemp("sizes") / "data"
    rows = ["image,labels,landmarks,split"]
    for number, (shape, split) in enumerate(zip(SHAPES, SPLITS, strict=True)):
        image, labels = head(number, shape)
        names = [f"{number}.nii.gz", f"{number}_labels.nii.gz", f"{number}.csv"]
        write_nifti(folder / names[0], image, AFFINE)
        write_nifti(folder / names[1], labels, AFFINE)
        (folder / names[2]).write_text(",".join(map(str, POINT)))
        rows.append(",".join([*names, split]))
    (folder / "subjects.csv").write_text("\n".join(rows))
    return folder


def source(root, **settings):
    pairs = dict.fromkeys(("train", "val", "test"), "mirrored")
    settings = {"intensity": {"policy": "keep"}} | settings
    return NiftiTable(name="sizes", ndim=3, root=root, pairs=pairs, **settings)


@pytest.mark.parametrize("cached", [True, False])
def test_a_pair_has_the_larger_of_both_sizes_and_all_of_both_subjects(root, tmp_path, cached):
    dataset = prepare(source(root), tmp_path / "cache" if cached else None)
    assert [tuple(shape) for shape in dataset.shapes] == SHAPES
    pair = read_pairs(dataset, [(4, 5)], torch.device("cpu"))
    assert pair.moving.shape == pair.fixed.shape == (1, 1, 22, 22, 20)
    for number, image, labels, points in zip(
        (4, 5), (pair.moving, pair.fixed), pair.segmentations, pair.landmarks, strict=True
    ):
        values, ids = head(number, SHAPES[number])
        flipped = values[::-1]  # files run from right to left
        start = [-(-(a - b) // 2) for a, b in zip(image.shape[2:], values.shape, strict=True)]
        part = tuple(slice(s, s + n) for s, n in zip(start, values.shape, strict=True))
        np.testing.assert_allclose(image[0, 0][part], flipped, rtol=2e-3, atol=0.01)
        np.testing.assert_array_equal(labels[0, 0][part], ids[::-1])
        assert (labels > 0).sum() == (ids > 0).sum()
        outside = torch.ones_like(image[0, 0], dtype=bool)
        outside[part] = False
        assert (image[0, 0][outside] == image.min()).all()
        place = [values.shape[0] - 1 - POINT[0], *POINT[1:]]
        np.testing.assert_allclose(points[0, 0], np.add(place, start), atol=1e-5)
    assert read_images(dataset, [4], torch.device("cpu")).shape[2:] == SHAPES[4]


def test_sets_of_one_size_are_read_as_they_are(root, tmp_path):
    dataset = prepare(source(root, shape=[16, 16, 16]), tmp_path / "cache")
    assert dataset.shapes is None
    pair = read_pairs(dataset, [(4, 5)], torch.device("cpu"))
    assert torch.equal(pair.fixed, torch.from_numpy(dataset.images[[5]]).float())


def test_check_says_so(root):
    report = check(source(root))
    assert not report.faults
    (note,) = (note for note in report.notes if "shapes differ" in note)
    assert "(20, 22, 18) (2)" in note
    assert "batches hold one pair" in note


def finished(root, results, *overrides):
    options = ["dataset=nifti", f"dataset.root={root}", "dataset.name=sizes"]
    options += [f"results_dir={results}", *overrides]
    return run(compose_raw(options)).folder


DIRECT = ["model=direct", "metric=mse", "regularizer.weight=0.05", "model.steps=[8,8,8,4]", *QUIET]


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=affine", *QUIET],
        ["metric=mse", *TRAINING],
    ],
    ids=["affine", "voxelmorph"],
)
def test_methods_take_pairs_of_any_size(root, tmp_path, overrides):
    folder = finished(root, tmp_path, *overrides)
    summary = folder.summary()
    assert summary["scores"]["dice"]["n"] == 2


@pytest.mark.parametrize(
    ("overrides", "option"),
    [
        (["metric=mse", *TRAINING, "trainer.batch_size=2"], "trainer.batch_size=2"),
        ([*DIRECT, "model.batch=3"], "model.batch=3"),
    ],
)
def test_batches_of_several_are_refused(root, tmp_path, overrides, option):
    words = rf"^{option}: dataset=sizes has images of different sizes, .* Set {option[:-2]}=1, or"
    with pytest.raises(Unsupported, match=words):
        finished(root, tmp_path, *overrides)


def test_new_files_and_fields_of_any_size(root, tmp_path):
    folder = finished(root, tmp_path, *DIRECT)
    summary = folder.summary()
    assert summary["scores"]["dice"]["mean"] > summary["scores_before"]["dice"]["mean"]
    pairs = [(root / f"{m}.nii.gz", root / f"{f}.nii.gz") for m, f in ((4, 5), (5, 4))]
    for moving, fixed in pairs:
        target = tmp_path / "fields" / f"{moving.name[0]}_to_{fixed.name[0]}"
        found = Registrar(folder).register(PairOfFiles(moving, fixed), target)
        warped = nibabel.load(found.files[0])
        assert warped.shape == nibabel.load(fixed).shape
        np.testing.assert_allclose(warped.affine, AFFINE, atol=1e-5)
    given = ["model=fields", "model.name=given", f"model.folder={quoted(str(tmp_path / 'fields'))}"]
    scored = finished(root, tmp_path, *given, *QUIET)
    first, second = (one.summary()["scores"] for one in (folder, scored))
    for name in ("dice", "tre"):
        assert second[name]["mean"] == pytest.approx(first[name]["mean"], abs=0.02)
