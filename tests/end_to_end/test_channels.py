"""Whole runs on images of several channels: networks, extractors, tools, figures, new files."""

from pathlib import Path

import matplotlib.image
import nibabel
import numpy as np
import pytest
import tifffile
import torch
from conf_options import SMALL, TINY, compose_raw, in_contrasts
from image_files import write_nifti
from PIL import Image
from volumes import HEADERS, head

from bench.cli.data_commands import check
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import TrainingImages, read_pairs
from bench.errors import ConfigError
from bench.inspection.metrics import features
from bench.inspection.panel import draw
from bench.runs.file_pairs import PairOfFiles
from bench.runs.lookup import run
from bench.runs.registering import Registrar
from bench.runs.trained import load_run
from bench.store.folder import Folder

QUICK = [
    "trainer.steps=2",
    "trainer.validate_every=2",
    "trainer.batch_size=2",
    "+dataset.augmentation.intensity={noise:0.05,gain:0.1,bias:0.1}",
]
QUIET = ["tracker=none", "trainer.progress=false", "trainer.accelerator=cpu"]
SURROGATE = ["metric.extractor.channels=[4,6,8]", "metric.extractor.steps=2"]


def finished(results: Path, channels: int, *overrides: str) -> Folder:
    """A tiny run on the demo in several contrasts."""
    options = [*TINY[2], *SMALL, *in_contrasts(channels), f"results_dir={results}"]
    if any(override.startswith("model=") for override in overrides):
        options = [option for option in options if not option.startswith("model.")]
    return run(compose_raw([*options, *QUICK, *overrides])).folder


@pytest.mark.parametrize(
    ("channels", "overrides"),
    [
        (2, ["metric=mind"]),
        (3, ["metric=deepsim_ae", *SURROGATE]),
        (3, ["metric=deepsim_csr", *SURROGATE]),
        (2, ["metric=deepsim_seg", *SURROGATE]),
        (3, ["model=direct", "metric=ncc_sup"]),
        (2, ["model=direct", "metric=nmi"]),
        (2, ["model=segresnet", "model.options.init_filters=8", "metric=mse"]),
        (3, ["model=affine"]),
        (2, ["model=demons"]),
        (3, ["model=identity"]),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else str(value),
)
def test_runs_finish_with_a_figure(tmp_path, channels, overrides):
    folder = finished(tmp_path, channels, *overrides)
    summary = folder.summary()
    assert 0 < summary["scores"]["dice"]["mean"] < 1
    assert (colourful(folder.file("figure.png"), 1 / 6) > 0.4) == (channels == 3)


def colourful(path: Path, share: float) -> float:
    """Share of pixels in colour in the left part of a drawing."""
    drawn = matplotlib.image.imread(path)[60:-10]
    drawn = drawn[:, : int(share * drawn.shape[1]), :3]
    return (drawn.max(axis=2) - drawn.min(axis=2) > 0.1).mean()


def test_panels_and_features_are_drawn(tmp_path):
    folder = finished(tmp_path, 3, "metric=deepsim_ae", *SURROGATE)
    for function in (draw, features):
        drawn, _ = function([folder], None, tmp_path / function.__name__)
        assert colourful(drawn, 0.2) > 0.2


def write_coloured(root: Path) -> list[Path]:
    """Four colour images with labels in a table, all tested on."""
    root.mkdir()
    rows, paths = ["image,labels"], []
    for number in range(4):
        image, labels = head(number, (32, 40))
        shades = (image / image.max())[..., None] * [255, 180, 120]
        path = root / f"{number}.png"
        Image.fromarray(shades.astype(np.uint8)).save(path)
        Image.fromarray(labels).save(root / f"{number}_labels.png")
        rows.append(f"{number}.png,{number}_labels.png")
        paths.append(path)
    (root / "subjects.csv").write_text("\n".join(rows))
    return paths


def test_colour_pictures_are_checked_shown_and_registered(tmp_path, capsys):
    paths = write_coloured(tmp_path / "data")
    options = ["dataset=nifti", "dataset.ndim=2", f"dataset.root={tmp_path / 'data'}"]
    check("nifti", options[1:], None, tmp_path)
    assert "images have 3 channels\n" in capsys.readouterr().out
    folder = run(
        compose_raw([*options, "model=direct", "metric=ncc", f"results_dir={tmp_path}", *QUIET])
    ).folder
    summary = folder.summary()
    assert summary["scores"]["dice"]["mean"] > summary["scores_before"]["dice"]["mean"]
    assert colourful(tmp_path / "data" / "nifti-check.png", 0.5) > 0.25
    found = Registrar(folder).register(PairOfFiles(paths[0], paths[1]), tmp_path / "out")
    warped = tifffile.imread(found.files[0])
    fixed, moving = (np.asarray(Image.open(path)).astype(float) for path in paths[1::-1])
    assert warped.shape == (32, 40, 3)
    assert warped.dtype == np.uint8
    before, after = (np.abs(image - fixed).mean() for image in (moving, warped))
    assert after < 0.7 * before


def write_pair_of_contrasts(tmp_path: Path) -> Path:
    """Two volumes in two contrasts in a table of files for each; beside it, a file with both."""
    rows, affine = ["image,labels"], HEADERS["left-handed"]
    for number in range(2):
        image, labels = head(number)
        contrasts = [image, image.max() - image]
        for name, values in zip("ab", contrasts, strict=True):
            write_nifti(tmp_path / "data" / f"{number}{name}.nii.gz", values, affine)
        write_nifti(tmp_path / f"{number}.nii.gz", np.stack(contrasts, -1), affine)
        write_nifti(tmp_path / "data" / f"{number}_labels.nii.gz", labels, affine)
        rows.append(f"{number}a.nii.gz;{number}b.nii.gz,{number}_labels.nii.gz")
    (tmp_path / "data" / "subjects.csv").write_text("\n".join(rows))
    return tmp_path / "data"


def test_volumes_of_several_files_and_of_one_are_registered_alike(tmp_path):
    root, affine = write_pair_of_contrasts(tmp_path), HEADERS["left-handed"]
    options = ["dataset=nifti", f"dataset.root={root}", "model=direct", "metric=ncc"]
    folder = run(compose_raw([*options, f"results_dir={tmp_path}", *QUIET])).folder
    assert Registrar(folder).dataset.channels == 2
    pair = PairOfFiles(tmp_path / "0.nii.gz", tmp_path / "1.nii.gz")
    found = Registrar(folder).register(pair, tmp_path / "out")
    warped = nibabel.load(found.files[0])
    assert warped.shape == (*head(0)[0].shape, 2)
    np.testing.assert_allclose(warped.affine, affine, atol=1e-5)
    first, second = np.moveaxis(warped.get_fdata(), -1, 0)
    inside = (slice(3, -3),) * 3
    np.testing.assert_allclose((first + second)[inside], head(0)[0].max(), atol=0.1)
    fixed, moving = head(1)[0], head(0)[0]
    before, after = (np.abs(image - fixed)[inside].mean() for image in (moving, first))
    assert after < 0.8 * before


MODALITIES = ["dataset.moving=0", "dataset.fixed=1"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["metric=nmi"],
        ["metric=deepsim_ae", *SURROGATE],
        ["metric=deepsim_csr", *SURROGATE],
        ["metric=deepsim_seg", *SURROGATE],
        ["model=affine"],
    ],
    ids=lambda value: value[0],
)
def test_moving_and_fixed_images_show_different_channels(tmp_path, overrides):
    folder = finished(tmp_path, 3, *MODALITIES, *overrides)
    job = load_run(folder)
    assert (job.dataset.channels, job.dataset.stored_channels) == (1, 3)
    pair = job.dataset.pairs("test")[0]
    batch = read_pairs(job.dataset, [pair], job.device)
    images = torch.from_numpy(job.dataset.images[list(pair)]).float()
    assert torch.equal(batch.moving[0], images[0, :1])
    assert torch.equal(batch.fixed[0], images[1, 1:2])
    assert (
        finished(tmp_path, 3, "dataset.moving=0", "dataset.fixed=2", *overrides).path != folder.path
    )


def test_new_files_hold_all_channels_or_those_of_their_role(tmp_path):
    folder = write_pair_of_contrasts(tmp_path)
    options = ["dataset=nifti", f"dataset.root={folder}", "model=direct", "metric=nmi"]
    finished = run(compose_raw([*options, *MODALITIES, f"results_dir={tmp_path}", *QUIET])).folder
    results = []
    for names in (("0", "1"), ("data/0a", "data/1b")):
        pair = PairOfFiles(*(tmp_path / f"{name}.nii.gz" for name in names))
        found = Registrar(finished).register(pair, tmp_path / names[0])
        results.append(nibabel.load(found.files[-1]).get_fdata())
    assert np.abs(results[0]).max() > 0.5
    np.testing.assert_allclose(*results, atol=1e-5)


def test_extractors_learn_on_both(tmp_path):
    dataset = load_run(finished(tmp_path, 2, *MODALITIES, "model=identity")).dataset
    images = TrainingImages(dataset, Augmentation(), 0, labels=False)
    batch, _ = images.batch(range(6), torch.device("cpu"))
    members = [images.members[images.sampler[position]] for position in range(6)]
    stored = torch.from_numpy(dataset.images[members]).float()
    expected = torch.stack([image[i % 2][None] for i, image in enumerate(stored)])
    assert torch.equal(batch, expected)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["dataset.moving=0", "dataset.fixed=2"],
            r"dataset.fixed=2: is not a channel; images have 2",
        ),
        (["dataset.moving=T1", "dataset.fixed=1"], r"dataset.moving=T1: is not a channel"),
        (["dataset.moving=0"], "choose 1 and 2 of 2 channel.s.. Choose the same number"),
    ],
)
def test_channels_that_are_not_there_are_refused(tmp_path, overrides, words):
    with pytest.raises(ConfigError, match=words):
        finished(tmp_path, 2, "model=identity", *overrides)


@pytest.mark.parametrize("flat", [0, 2])
def test_planes_in_space_are_registered_and_written_as_such(tmp_path, flat):
    rows, affine = ["image"], HEADERS["left-handed"]
    for number in range(2):
        image = np.expand_dims(head(number, (32, 40))[0], flat)
        write_nifti(tmp_path / "data" / f"{number}.nii.gz", image, affine)
        rows.append(f"{number}.nii.gz")
    (tmp_path / "data" / "subjects.csv").write_text("\n".join(rows))
    options = ["dataset=nifti", "dataset.ndim=2", f"dataset.root={tmp_path / 'data'}"]
    options += ["model=direct", "metric=ncc", "regularizer.weight=0.1"]
    folder = run(compose_raw([*options, f"results_dir={tmp_path}", *QUIET])).folder
    paths = [tmp_path / "data" / f"{number}.nii.gz" for number in range(2)]
    found = Registrar(folder).register(PairOfFiles(*paths), tmp_path / "out")
    warped, moving, fixed = (nibabel.load(path) for path in (found.files[0], *paths))
    assert warped.shape == fixed.shape
    np.testing.assert_allclose(warped.affine, fixed.affine, atol=1e-5)
    before, after = (np.abs(i.get_fdata() - fixed.get_fdata()).mean() for i in (moving, warped))
    assert after < 0.7 * before
