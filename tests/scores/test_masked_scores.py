"""Scores within the fixed subject's mask."""

import json

import numpy as np
import pytest
import torch
from conf_options import compose_raw, experiment
from image_files import write_nifti
from scipy import ndimage
from volumes import SHAPE, SMALL, head

from bench.analysis.reading.records import reading_settings
from bench.data.batches.loading import read_pairs
from bench.data.setup import Setup
from bench.errors import BenchError
from bench.runs.lookup import run
from bench.runs.trained import load_run
from bench.scores.case import Case
from bench.scores.scoring import class_scores, score_case
from bench.spatial.jacobian import jacobian_determinant
from bench.tasks.registration.masks import Masks

SHAPES = [(17, 22), (10, 13, 15)]
COUNTED = ["dice", "hd95", "folding", "sdlogj", "sdlogj_positive", "ndv", "logj_var_published"]


def smooth(shape, seed, size=1.0):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    return size * field / field.std()


def case_of(shape, mask=None, elsewhere=None):
    """A case of smooth blobs under a displacement that folds; where `elsewhere` is, another one."""
    parts = []
    for seed in (0, 100):
        u = np.stack([smooth(shape, seed + axis, 1.5) for axis in range(len(shape))])
        blobs = [np.digitize(smooth(shape, seed + 10 + i), [0.2, 1.0]) for i in range(2)]
        parts.append((u, *blobs))
    first, other = parts
    chosen = np.zeros(shape, bool) if elsewhere is None else elsewhere
    u, warped, fixed = (np.where(chosen, b, a) for a, b in zip(first, other, strict=True))
    return Case(
        displacement=torch.from_numpy(u).float()[None],
        warped=warped.astype(np.uint8),
        fixed=fixed.astype(np.uint8),
        classes=3,
        spacing=(1.0, 0.5, 2.0)[: len(shape)],
        reverse=torch.from_numpy(-u).float()[None],
        mask=None if mask is None else torch.from_numpy(mask),
    )


def box(shape, margin):
    inside = np.zeros(shape, bool)
    inside[tuple(slice(margin, size - margin - 1) for size in shape)] = True
    return inside


@pytest.mark.parametrize("shape", SHAPES)
def test_a_mask_of_everything_changes_nothing(shape):
    whole, masked = case_of(shape), case_of(shape, np.ones(shape, bool))
    assert score_case(masked) == pytest.approx(score_case(whole), rel=1e-12)
    assert set(score_case(whole)) >= {*COUNTED, "dice_published", "inverse_consistency"}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_lies_outside_of_the_mask_does_not_count(shape):
    mask, far = box(shape, 3), ~box(shape, 2)  # differences at p look at the next voxel
    far &= ~ndimage.binary_dilation(mask, iterations=1)
    same, changed = (score_case(case_of(shape, mask, other)) for other in (None, far))
    for name in COUNTED:
        assert changed[name] == pytest.approx(same[name], rel=1e-6), name
        assert same[name] > 0
    whole, other = (score_case(case_of(shape, None, other)) for other in (None, far))
    assert all(whole[name] != pytest.approx(other[name], rel=1e-6) for name in COUNTED)


@pytest.mark.parametrize("shape", SHAPES)
def test_shares_are_of_what_lies_in_the_mask(shape):
    mask = smooth(shape, 7) > 0
    case = case_of(shape, mask)
    scores = score_case(case)
    places = mask[tuple(slice(0, size - 1) for size in shape)]
    folded = (jacobian_determinant(case.displacement)[0] <= 0).numpy()
    assert scores["folding"] == pytest.approx(folded[places].mean())
    first, second = case.warped[mask], case.fixed[mask]
    dice = [
        2 * ((first == k) & (second == k)).sum() / ((first == k).sum() + (second == k).sum())
        for k in range(3)
    ]
    assert [row["dice"] for row in class_scores(case)] == pytest.approx(dice)
    assert scores["dice_published"] == pytest.approx(np.mean(dice))


SHAPED = (16, 20, 20)  # 20 x 22 x 18 cropped by 2 and 1 at both ends, and padded by 1


def shaped(array):
    return np.pad(array[2:18, 1:21], ((0, 0), (0, 0), (1, 1)))


@pytest.fixture
def root(tmp_path):
    """A pair with masks of half a volume each."""
    for number, half in ((4, slice(0, 11)), (5, slice(8, None))):
        image, labels = head(number)
        mask = np.zeros(SHAPE, np.uint8)
        mask[:, half] = 1
        for name, array in (("image", image), ("labels", labels), ("mask", mask)):
            write_nifti(tmp_path / f"{name}{number}.nii.gz", array)
    lines = [f"image{n}.nii.gz,labels{n}.nii.gz,mask{n}.nii.gz" for n in (4, 5)]
    (tmp_path / "subjects.csv").write_text("\n".join(["image,labels,inside", *lines]))
    return tmp_path


def registered(root, *overrides):
    options = ["dataset=nifti", f"dataset.root={root}", "model=identity", *SMALL]
    options += [f"dataset.shape=[{','.join(map(str, SHAPED))}]", f"results_dir={root / 'results'}"]
    return run(compose_raw([*options, *overrides])).folder


@pytest.mark.parametrize("pairs", ["mirrored", "cross"])
def test_a_run_scores_within_the_mask_if_asked_to(root, pairs):
    masked = ["dataset.mask=inside", f"dataset.pairs.test={pairs}"]
    plain, within = registered(root, *masked), registered(root, *masked, "+task.within_mask=true")
    assert plain.path != within.path
    scores = [
        json.loads(f.file("summary.json").read_text())["scores"]["dice"] for f in (plain, within)
    ]
    labels, masks = (
        [shaped(head(n)[1]) for n in (4, 5)],
        [shaped(np.isin(np.indices(SHAPE)[1], cut)) for cut in (range(11), range(8, 22))],
    )
    labels = [ids * mask for ids, mask in zip(labels, masks, strict=True)]
    for score, cut in zip(scores, (False, True), strict=True):
        expected = []
        for moving, fixed in ((0, 1), (1, 0)):
            first, second = labels[moving] * (masks[fixed] if cut else 1), labels[fixed]
            expected.append(
                np.mean(
                    [
                        2
                        * ((first == k) & (second == k)).sum()
                        / ((first == k).sum() + (second == k).sum())
                        for k in (1, 2)
                    ]
                )
            )
        assert score["mean"] == pytest.approx(np.mean(expected))
    assert scores[1]["mean"] > scores[0]["mean"] + 0.01
    assert load_run(within).masks is not None
    assert load_run(plain).masks is None


def test_masks_lie_on_the_images_of_a_pair_whatever_is_done_to_them(tmp_path):
    rows = ["image,labels,inside"]
    for number, shape in enumerate([SHAPE, (19, 24, 17), (22, 21, 18)]):
        mask = (smooth(shape, number) > 0).astype(np.uint8)
        write_nifti(tmp_path / f"image{number}.nii.gz", head(number, shape)[0])
        write_nifti(tmp_path / f"mask{number}.nii.gz", mask)
        rows.append(f"image{number}.nii.gz,mask{number}.nii.gz,mask{number}.nii.gz")
    (tmp_path / "subjects.csv").write_text("\n".join(rows))
    options = [f"dataset.root={tmp_path}", "dataset.mask=inside", "dataset.spacing=[1.3,1,0.8]"]
    options += ["dataset=nifti", "model=identity", "dataset.border=1", "dataset.pairs.test=cross"]
    setup = Setup.of(experiment([*options, f"results_dir={tmp_path / 'results'}"]))
    masks = Masks(setup)
    for pair in setup.dataset.pairs("test"):
        read = read_pairs(setup.dataset, [pair], torch.device("cpu"))
        mask = masks.of(setup.dataset.ids[pair[1]], read.fixed.shape[2:])
        assert torch.equal(mask, read.segmentations[1][0, 0] == 1)


def test_runs_with_and_without_are_not_compared():
    configs = [{"dataset": {"name": "own"}, "task": task} for task in ({}, {"within_mask": True})]
    assert reading_settings(configs[0]) == reading_settings({"dataset": {"name": "own"}})
    assert reading_settings(configs[1]) != reading_settings(configs[0])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["+task.within_mask=true"], "image5.* of dataset=nifti has no mask. Name a column of mas"),
        (["+task.within_mask=1"], "task.within_mask=1: must be true or false"),
    ],
)
def test_what_has_no_mask_is_told(root, overrides, words):
    with pytest.raises(BenchError, match=words):
        registered(root, *overrides)


def test_mask_that_cropping_leaves_empty_is_refused(root):
    border = np.zeros(SHAPE, np.uint8)
    border[:2] = 1
    write_nifti(root / "mask5.nii.gz", border)
    words = "the mask of subject image5 has no voxel within its preprocessed image. Choose a larger"
    with pytest.raises(BenchError, match=words):
        registered(root, "dataset.mask=inside", "+task.within_mask=true")
