"""What can go wrong: one line that says what was given, what is allowed and what to do."""

import gzip
import json
import re
import resource
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from .conftest import (
    DEMO,
    DEMO3D,
    TRAINING,
    VOLUME,
    Command,
    assert_nothing_written,
    at,
    only_run,
    read_rows,
    read_summary,
    run_folders,
    run_process,
    subject,
    write_volume,
)

CUSTOM = ["metric=mse", "metric.name=custom"]


def custom(target: str) -> list[str]:
    return [*CUSTOM, f"metric._target_=custom_parts.{target}"]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "metric=nccc",
            "Unknown metric 'nccc'. Known: deepsim_ae, deepsim_seg, mse, ncc, ncc_sup, vgg. "
            "Add conf/metric/nccc.yaml or pass metric._target_=CLASS.",
        ),
        (
            "dataset=dmeo",
            "Unknown dataset 'dmeo'. Known: brain, demo, demo3d, hippocampus. "
            "Add conf/dataset/dmeo.yaml.",
        ),
        (
            "model=unet9",
            "Unknown model 'unet9'. Known: voxelmorph. Add conf/model/unet9.yaml.",
        ),
    ],
)
def test_unknown_option_lists_the_known_ones(
    override: str, line: str, empty_results: Path, run: Command
) -> None:
    outcome = run(override, at(empty_results))
    known = re.compile(r"Known: (.*?)\. Add")
    expected, found = known.search(line), known.search(outcome.line)
    assert expected is not None
    assert found is not None
    assert set(expected[1].split(", ")) <= set(found[1].split(", "))
    assert known.sub("", outcome.line) == known.sub("", line)
    assert not empty_results.exists()


def test_unknown_metric_ends_its_process_with_one_line(empty_results: Path) -> None:
    outcome = run_process("metric=nccc", at(empty_results))
    assert outcome.code == 1
    assert outcome.line.startswith("Unknown metric 'nccc'. Known: ")
    assert outcome.out == ""


def test_unknown_setting_is_named(empty_results: Path, run: Command) -> None:
    line = run("metric=mse", *DEMO, at(empty_results), "trainer.stepz=3").line
    assert line.startswith("Unknown trainer.stepz. Known in trainer: accelerator, accumulate, ")
    assert "+trainer" not in line
    line = run("metric=mse", *DEMO, at(empty_results), "metric.mesk=labels").line
    assert line == (
        "Unknown metric.mesk. Known in metric: _target_, mask, name. +metric.mesk=VALUE passes an "
        "argument to your class."
    )
    assert not empty_results.exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.steps=0", "trainer.steps=0: must be a whole number of at least 1."),
        ("trainer.steps=2.5", "trainer.steps=2.5: must be a whole number of at least 1."),
        ("trainer.lr=0", "trainer.lr=0: must be a finite number above 0."),
        ("trainer.batch_size=-1", "trainer.batch_size=-1: must be a whole number of at least 1."),
        ("trainer.precision=half", "must be one of auto, float32, bfloat16."),
        (
            "regularizer.weight=-1",
            "regularizer.weight=-1: must be a number from 0 to 1e+30. The papers use values "
            "from 0.005 to 2.",
        ),
        ("regularizer.weight=1e31", "regularizer.weight=1e+31: must be a number from 0 to 1e+30."),
        ("regularizer.weight=nan", "regularizer.weight=nan: must be a number from 0"),
        ("regularizer.weight=heavy", "regularizer.weight=heavy: must be a number from 0"),
        ("regularizer.scale=twice", "regularizer.scale=twice: must be a number from 0"),
        ("+trainer.stepz=3", "Unknown trainer.stepz. Known: accelerator, "),
        ("+traner.steps=3", "Unknown traner. Known: dataset, "),
        (
            "metric.name=a/b",
            "metric.name=a/b: must consist of letters, digits, '.', '_', '+' and '-' ",
        ),
        ("metric.name=..", "metric.name='..': must consist of letters, digits, "),
        ("metric.name=", "metric.name='': must consist of letters, digits, "),
        ("dataset.name=/tmp/x", "dataset.name=/tmp/x: must consist of letters, digits, "),
        ("task.name=foo", "task.name=foo: bench.tasks.registration.Registration is the task regis"),
        ("trainer=3", "trainer=3: must be one of paper, short."),
        ("+tracker=true", "+tracker=true: must be one of none, tensorboard, wandb."),
        ("dataset.pairs=null", "dataset.pairs=null: must be a policy for each split, such as"),
        ("seed=one", "seed=one: must be a whole number of at least 0."),
        ("seed=1.5", "seed=1.5: must be a whole number of at least 0."),
        ("dataset.ndim=4", "dataset.ndim=4: must be 2 or 3."),
        (
            "dataset.shape=[32]",
            "dataset.shape=[32]: must have 2 whole numbers of at least 3, one per axis, since "
            "scores need derivatives along each.",
        ),
        ("dataset.noise=-1", "dataset.noise=-1: must be a finite number of at least 0."),
        (
            "dataset.subjects_per_split.val=0",
            "dataset demo: split 'val' has no subjects, but this run needs some. Add subjects, or "
            "use a method without training, such as model=direct metric=ncc.",
        ),
    ],
)
def test_bad_value_is_refused_before_anything_is_written(
    override: str, words: str, empty_results: Path, run: Command
) -> None:
    assert words in run("metric=mse", *DEMO, at(empty_results), override).line
    assert_nothing_written(empty_results)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.channels=[]"], "model.channels=[]: must be a list of whole numbers above 0"),
        (["model.channels=[0]"], "model.channels=[0]: must be a list of whole numbers above 0"),
        (["model.channels=[a]"], "model.channels=[a]: must be a list of whole numbers above 0"),
        (["model.norm=yes please"], "norm='yes please': must be true or false"),
        (
            ["dataset.augmentation.scale=0.1"],
            "Unknown dataset.augmentation.scale. Known in dataset.augmentation: rotation. "
            "+dataset.augmentation.scale=VALUE adds it, if docs/data.md names it.",
        ),
        (["dataset.pairs.val=3"], "dataset.pairs: unknown policy 3. Known: atlas, "),
        (["model.channels=7"], "model.channels=7: must be a list of whole numbers above 0"),
        (
            ["model._target_=custom_parts.L1"],
            "model._target_=custom_parts.L1: cannot be built",
        ),
        (["dataset.pairs.train=all"], "dataset.pairs: unknown policy all. Known: atlas, "),
        (
            ["dataset.subjects_per_split.test=1"],
            "dataset demo: split 'test' has 1 subject; pairing 'mirrored' needs at "
            "least 2. Add subjects to the split.",
        ),
        (
            ["metric._target_=nowhere.Metric"],
            "No module named 'nowhere'",
        ),
        (
            ["metric._target_=builtins.abs"],
            "metric._target_=builtins.abs: cannot be built (",
        ),
        (
            ["metric._target_=custom_parts.L3"],
            "metric._target_=custom_parts.L3: cannot be built (module custom_parts has no L3)",
        ),
        (
            ["metric._target_=custom_parts.L2"],
            "metric._target_=custom_parts.L2: cannot be built (",
        ),
        (
            ["+metric.window=3"],
            "metric._target_=bench.similarity.MSE: cannot be built (",
        ),
        (
            ["metric._target_=custom_parts.Broken"],
            "metric=mse fails on the first training pair: AttributeError: 'Pair' object has no "
            "attribute 'waped' (",
        ),
        (
            ["metric._target_=custom_parts.Unmoved"],
            "metric=mse has no gradient in the displacement, so nothing can learn from it.",
        ),
        (
            ["metric._target_=custom_parts.Root"],
            "metric=mse has a gradient with NaN or infinite values on the first training pair",
        ),
        (["metric._target_=custom_parts.NoCall"], "metric=mse: NoCall has no __call__"),
        (
            ["metric._target_=custom_parts.Refuses"],
            "metric._target_=custom_parts.Refuses: cannot be built (ValueError: bad init (",
        ),
        (["metric._target_=custom_parts.Exits"], "fails on the first training pair: SystemExit: 0"),
        (
            ["metric._target_=custom_parts.NotANumber"],
            "metric=mse is nan on the first training pair; it must return a finite number.",
        ),
        (
            ["metric._target_=custom_parts.InPlace"],
            "metric=mse changes pair.fixed in place on the first training pair, and whatever",
        ),
        (
            ["metric._target_=custom_parts.PerVoxel"],
            "metric=mse returns a tensor of shape (1, 1, 32, 40) on the first training pair; it "
            "must return a scalar tensor.",
        ),
        (
            ["metric._target_=custom_parts.PythonNumber"],
            "metric=mse returns float on the first training pair; it must return a scalar tensor.",
        ),
        (
            ["regularizer._target_=bench.spatial.jacobian.forward_differences"],
            "regularizer._target_=bench.spatial.jacobian.forward_differences: cannot be built",
        ),
        (["+task.uses=[metric]"], "task.uses=[metric]: is for tasks that register nothing, but"),
        (["~dataset.pairs.val"], "has no policy for split 'val'. Add one, such as +dataset."),
    ],
)
def test_part_that_does_not_fit_is_named_before_anything_is_trained(
    overrides: list[str], words: str, results: Path, run: Command
) -> None:
    line = run("metric=mse", *DEMO, at(results), *overrides).line
    assert words in line
    assert run_folders(results) == []
    assert not (results / "extractors").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["metric=ncc", "metric.window=0"], "metric.window=0"),
        (["metric=ncc", "metric.window=4"], "metric.window=4"),
        (
            [
                "metric=deepsim_ae",
                "metric.levels=[3]",
                "metric.extractor.channels=[4,8]",
            ],
            "metric.levels=[3]: the extractor has levels [1, 2]; name one or more of them in a ",
        ),
        (["metric=deepsim_ae", "metric.levels=2"], "metric.levels=2: the extractor has levels"),
        (["metric=deepsim_ae", "metric.levels=[1,1]"], "metric.levels=[1,1]: name each level on"),
        (["metric=ncc_sup", "metric.factors.ncc=-1"], "metric.factors.ncc=-1: must be a finite"),
        (["metric=deepsim_seg", "metric.levels=[0,1]"], "metric.levels=[0,1]: the extractor has"),
        (["metric=deepsim_csr", "metric.levels=[]"], "metric.levels=[]: the extractor has levels"),
        (
            ["metric=deepsim_ae", "metric.levels=[1,2]", "metric.center=mean"],
            "metric.center=mean: must be null, features or places.",
        ),
        (["metric=mse", "metric.mask=brain"], "metric.mask=brain: must be null, foreground or lab"),
        (
            ["metric=ncc", "metric.window=33"],
            "NCC's window=33 is larger than the images, whose shortest axis has 32 voxels. "
            "Choose a smaller metric.window (metric.terms.NAME.window in a sum), or whole for the",
        ),
        (
            ["metric=ncc_sup", "metric.terms.ncc.window=33"],
            "NCC's window=33 is larger than the images, whose shortest axis has 32 voxels.",
        ),
        (["metric=nmi", "metric.bins=1"], "metric.bins=1: must be a whole number of at least 6, "),
        (["metric=nmi", "metric.fraction=0"], "metric.fraction=0: must be above 0 and at most 1."),
        (["metric=mind", "metric.radius=0"], "metric.radius=0: must be a whole number of at least"),
        (
            ["metric=deepsim_csr", "metric.extractor.places=1"],
            "places=1: must be a whole number of at least 2.",
        ),
        (
            ["metric=ncc_sup", "+metric.factors.mind=1"],
            "metric.factors has ['labels', 'mind', 'ncc'] but metric.terms has ['labels', 'ncc']",
        ),
        (
            ["metric=vgg", "metric.extractor.state_dict=nowhere.pth"],
            "metric.extractor.state_dict=nowhere.pth: No such file or directory. Give a file with "
            "a state dict, or null for the official one.",
        ),
    ],
)
def test_bad_argument_of_a_metric_is_named(
    overrides: list[str], words: str, results: Path, run: Command
) -> None:
    assert words in run(*overrides, *DEMO, at(results)).line
    assert run_folders(results) == []
    assert not (results / "extractors").exists()


def test_weights_file_of_another_network_is_named(
    tmp_path: Path, results: Path, run: Command
) -> None:
    import torch

    wrong = tmp_path / "resnet.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 7, 7)}, wrong)
    line = run("metric=vgg", f"metric.extractor.state_dict={wrong}", *DEMO, at(results)).line
    assert line.startswith(
        f"metric.extractor.state_dict={wrong}: key 'features.0.weight' holds (64, 3, 7, 7), "
        "VGG-16 needs (64, 3, 3, 3)."
    )
    assert run_folders(results) == []


TRANSFER = ["metric=deepsim_ae", "metric.levels=[1,2]", "metric.extractor.dataset=phc_u373"]


def test_transfer_from_data_that_are_not_there_says_how_to_get_them(
    tmp_path: Path, results: Path, run: Command
) -> None:
    root = tmp_path / "nowhere"
    line = run(*TRANSFER, f"metric.extractor.root={root}", *DEMO, at(results)).line
    assert line == (
        f"metric.extractor.dataset=phc_u373: dataset phc_u373: the folder {root} does not exist. "
        "Pass metric.extractor.root=PATH; `python -m bench data prepare phc_u373` downloads the "
        "data or explains how to get it."
    )
    assert run_folders(results) == []
    assert not (results / "extractors").exists()


def test_transfer_from_an_unknown_data_set_lists_the_known_ones(
    results: Path, run: Command
) -> None:
    line = run(*TRANSFER[:2], "metric.extractor.dataset=dmeo", *DEMO, at(results)).line
    assert line.startswith("metric.extractor.dataset=dmeo: no such data set. Known: brain")
    assert run_folders(results) == []


@pytest.mark.parametrize(
    ("dataset", "name", "has"),
    [
        (DEMO3D, "demo3d", "3D images of 1"),
        ([*DEMO, "dataset._target_=custom_parts.Coloured"], "demo", "2D images of 3"),
    ],
)
def test_transfer_to_other_dimensions_or_channels_is_refused(
    dataset: list[str], name: str, has: str, cells: Path, results: Path, run: Command
) -> None:
    line = run(*TRANSFER, f"metric.extractor.root={cells}", *dataset, at(results)).line
    assert line == (
        f"metric=deepsim_ae cannot be used on dataset={name}: the extractor was trained on 2D "
        f"images of 1 channel(s), but the data set has {has}. Choose another metric or data set."
    )
    assert run_folders(results) == []
    assert not (results / "extractors").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["regularizer=elastic", "regularizer.mu=-1"],
            "regularizer.mu=-1: must be a finite number",
        ),
        (["regularizer=folding", "regularizer.margin=-1"], "regularizer.margin=-1: must be a fin"),
        (
            ["regularizer=sum", "+regularizer.factors.bending=1"],
            "regularizer.factors has ['bending', 'diffusion', 'folding'] but regularizer.terms has "
            "['diffusion', 'folding']: give each term one factor, under the same name.",
        ),
    ],
)
def test_bad_argument_of_a_regularizer_is_named(
    overrides: list[str], words: str, results: Path, run: Command
) -> None:
    assert words in run("metric=mse", *overrides, *DEMO, at(results)).line
    assert run_folders(results) == []


VOXELMORPH = ["channels", "norm", "dropout", "integrate", "flow_std", "flow_scale"]
MODEL = [
    "model=voxelmorph",
    *(f"~model.{option}" for option in VOXELMORPH),
    "model.name=custom",
]


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (
            "PickyModel",
            "model=custom cannot take the 2D images of shape (32, 40) with 1 channel(s) of "
            "dataset=demo (sizes must be divisible by 64). Choose another model, or crop or pad "
            "the images with dataset.shape.",
        ),
        (
            "WrongShapeModel",
            "model=custom returns a displacement of shape (1, 3, 32, 40) for 2D images of shape "
            "(32, 40) with 1 channel(s), but needs (1, 2, 32, 40), one channel per axis.",
        ),
    ],
)
def test_model_that_does_not_fit_the_images_is_refused(
    target: str, line: str, results: Path, run: Command
) -> None:
    model = [word for word in DEMO if not word.startswith("model.")]
    outcome = run(
        "metric=mse", *model, *MODEL, f"model._target_=custom_parts.{target}", at(results)
    )
    assert outcome.line == line
    assert run_folders(results) == []


def test_volume_of_one_slice_is_refused(results: Path, run: Command) -> None:
    demo = [word for word in DEMO3D if not word.startswith("dataset.shape")]
    outcome = run("metric=mse", *demo, "dataset.shape=[1,24,24]", at(results))
    assert outcome.line == (
        "dataset.shape=[1,24,24]: must have 3 whole numbers of at least 3, one per axis, since "
        "scores need derivatives along each."
    )
    assert run_folders(results) == []


HIPPOCAMPUS = ["dataset=hippocampus", "dataset.shape=[12,16,12]", "metric=mse", *TRAINING]
BRAIN = ["dataset=brain", "dataset.classes=3", "metric=mse", *TRAINING]


@pytest.mark.parametrize("dataset", [HIPPOCAMPUS, BRAIN])
def test_missing_folder_says_how_to_get_the_data(
    dataset: list[str], tmp_path: Path, empty_results: Path, run: Command
) -> None:
    root = tmp_path / "nowhere"
    name = dataset[0].partition("=")[2]
    line = run(*dataset, f"dataset.root={root}", at(empty_results)).line
    assert line == (
        f"dataset {name}: the folder {root} does not exist. Pass dataset.root=PATH; `python -m "
        f"bench data prepare {name}` downloads the data or explains how to get it."
    )
    assert_nothing_written(empty_results)


@pytest.mark.parametrize("dataset", [HIPPOCAMPUS, BRAIN])
def test_empty_folder_says_how_to_get_the_data(
    dataset: list[str], tmp_path: Path, empty_results: Path, run: Command
) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    (root / "README.md").write_text("How to get the data.\n")
    line = run(*dataset, f"dataset.root={root}", at(empty_results)).line
    assert f"the folder {root} is empty. Pass dataset.root=PATH;" in line
    assert_nothing_written(empty_results)


def test_missing_listing_names_what_the_folder_should_hold(
    decathlon: Path, brain: Path, empty_results: Path, run: Command
) -> None:
    swapped = {tuple(HIPPOCAMPUS): (brain, "dataset.json"), tuple(BRAIN): (decathlon, "metadata")}
    for dataset, (root, listing) in swapped.items():
        line = run(*dataset, f"dataset.root={root}", at(empty_results)).line
        assert listing in line
        assert "does not exist. Point dataset.root at the folder that holds" in line
        assert_nothing_written(empty_results)


Damage = Callable[[Path, Path], None]


def remove(image: Path, labels: Path) -> None:
    image.unlink()


def remove_labels(image: Path, labels: Path) -> None:
    labels.unlink()


def empty(image: Path, labels: Path) -> None:
    image.write_bytes(b"")


def cut_compressed(image: Path, labels: Path) -> None:
    image.write_bytes(image.read_bytes()[:500])


def cut_content(image: Path, labels: Path) -> None:
    content = gzip.decompress(image.read_bytes())
    image.write_bytes(gzip.compress(content[: len(content) // 2]))


def cut_header(image: Path, labels: Path) -> None:
    image.write_bytes(gzip.compress(gzip.decompress(image.read_bytes())[:100]))


def corrupt(image: Path, labels: Path) -> None:
    content = bytearray(image.read_bytes())
    half = len(content) // 2
    content[half : half + 50] = b"x" * 50
    image.write_bytes(bytes(content))


def replace_by_text(image: Path, labels: Path) -> None:
    image.write_text("<html>404 not found</html>\n" * 40)


def other_shape(image: Path, labels: Path) -> None:
    write_volume(labels, subject(0, (12, 14, 11))[1])


def four_dimensions(image: Path, labels: Path) -> None:
    write_volume(image, np.zeros((*VOLUME, 2), np.float32))


def slice_only(image: Path, labels: Path) -> None:
    write_volume(image, np.zeros(VOLUME[:2], np.float32))


def undeclared_labels(image: Path, labels: Path) -> None:
    volume = np.asarray(nibabel.load(labels).dataobj).astype(np.uint8)
    volume[0, 0, :2] = 7, 9
    write_volume(labels, volume)


def negative_labels(image: Path, labels: Path) -> None:
    volume = np.asarray(nibabel.load(labels).dataobj).astype(np.int16)
    volume[0, 0, 0] = -1
    write_volume(labels, volume)


def fractional_labels(image: Path, labels: Path) -> None:
    volume = np.asarray(nibabel.load(labels).dataobj).astype(np.float32)
    volume[0, 0, 0] = 0.5
    write_volume(labels, volume)


def not_finite(image: Path, labels: Path) -> None:
    volume = np.asarray(nibabel.load(image).dataobj).astype(np.float32)
    volume[0, 0, :2] = np.nan, np.inf
    write_volume(image, volume)


DAMAGES: dict[Damage, tuple[str, str]] = {
    remove: ("image", "is missing. Copy it there, or remove the subject from the list."),
    remove_labels: ("labels", "is missing. Copy it there, or remove the subject from the list."),
    empty: ("image", "is empty. Copy or download it again"),
    cut_compressed: ("image", "cannot be read as NIfTI; it is damaged or truncated"),
    cut_content: ("image", "cannot be read as NIfTI; it is damaged or truncated"),
    cut_header: ("image", "cannot be read as NIfTI; it is damaged or truncated"),
    corrupt: ("image", "cannot be read as NIfTI; it is damaged or truncated"),
    replace_by_text: (
        "image",
        "is a web page, such as a login or an error, which the suite does not read.",
    ),
    other_shape: ("labels", "has shape (12, 14, 11), but its image"),
    four_dimensions: (
        "image",
        "(channel 0): has the same intensity everywhere, so there is nothing to align.",
    ),
    slice_only: (
        "image",
        "is a 2D image of (12, 14, 1), but the data set needs volumes. Set dataset.ndim=2, or name "
        "the volume or the folder of all slices.",
    ),
    undeclared_labels: (
        "labels",
        "labels 7, 9 are outside the declared classes 0, 1, 2. Declare them in dataset.classes "
        "or merge them in dataset.labels, or correct the file.",
    ),
    negative_labels: ("labels", "labels -1 are outside the declared classes 0, 1, 2."),
    fractional_labels: (
        "labels",
        "label 0.5 is not a whole number. Resample label maps with nearest-neighbour "
        "interpolation.",
    ),
    not_finite: (
        "image",
        "2 voxels are not finite (NaN or Inf). Replace them, or leave the image out.",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("layout", ["decathlon", "brain"])
def test_bad_file_is_named_with_how_to_mend_it(
    layout: str, damage: Damage, empty_results: Path, run: Command, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(layout)
    if layout == "decathlon":
        image, labels = (root / kind / "case_004.nii.gz" for kind in ("imagesTr", "labelsTr"))
        dataset = HIPPOCAMPUS
    else:
        folder = root / "data" / "person3"
        image, labels = folder / "brain_aligned.nii.gz", folder / "seg_coalesced_aligned.nii.gz"
        dataset = BRAIN
    damage(image, labels)
    line = run(*dataset, f"dataset.root={root}", at(empty_results)).line
    which, words = DAMAGES[damage]
    assert str({"image": image, "labels": labels}[which]) in line
    assert words in line
    assert_nothing_written(empty_results)


def test_intensities_too_large_for_the_cache_are_refused(
    brain: Path, empty_results: Path, run: Command
) -> None:
    path = brain / "data" / "person3" / "brain_aligned.nii.gz"
    image = np.asarray(nibabel.load(path).dataobj).astype(np.float32)
    write_volume(path, image * 1e6)
    line = run(*BRAIN, f"dataset.root={brain}", at(empty_results)).line
    assert str(path) in line
    assert "dataset.intensity" in line
    assert_nothing_written(empty_results)


def test_different_shapes_ask_for_batches_of_one(
    brain: Path, empty_results: Path, run: Command
) -> None:
    image, labels = subject(3, (12, 16, 10))
    folder = brain / "data" / "person3"
    write_volume(folder / "brain_aligned.nii.gz", image)
    write_volume(folder / "seg_coalesced_aligned.nii.gz", labels)
    line = run(*BRAIN, f"dataset.root={brain}", at(empty_results)).line
    assert line == (
        "trainer.batch_size=2: dataset=brain has images of different sizes, which cannot share a "
        "batch. Set trainer.batch_size=1, or dataset.shape to crop or pad all to one shape."
    )
    assert run_folders(empty_results) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "subject_id;SPLIT\na;train\n",
            "has the heading 'subject_id;SPLIT', separated by semicolons. Separate",
        ),
        ("", "lacks the column SPLIT; it has none. Separate columns by commas."),
        (
            "subject_id,SPLIT\nperson0,training\n",
            "subject person0 has SPLIT 'training'; known: train, val, test.",
        ),
        (
            "subject_id,SPLIT\nperson0,train\nperson0,val\nperson1,test\n",
            "dataset brain: subject person0 is listed in train and in val. List it once, in one "
            "split.",
        ),
        (
            "subject_id,SPLIT\nperson0,train\nperson1,test\n",
            "dataset brain: split 'val' has no subjects, but this run needs some.",
        ),
        (
            "subject_id,SPLIT\nperson0,train\nperson1,val\nstranger,test\n",
            "of subject stranger is missing.",
        ),
        ("subject_id,SPLIT\nperson0\n", "known: train, val, test."),
    ],
)
def test_bad_list_of_subjects(
    content: str, words: str, brain: Path, empty_results: Path, run: Command
) -> None:
    (brain / "metadata.csv").write_text(content)
    assert words in run(*BRAIN, f"dataset.root={brain}", at(empty_results)).line
    assert_nothing_written(empty_results)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "must be JSON with a list 'training'"),
        ("[]", "must be JSON with a list 'training'"),
        ('{"training": ["a.nii.gz"]}', "must be JSON with a list 'training'"),
        ('{"training": []}', "its list 'training' is empty. Download it again."),
        ('{"training": [{"image": "imagesTr/case_000.nii.gz"}]}', "has no subjects, but"),
    ],
)
def test_bad_decathlon_list(
    content: str, words: str, decathlon: Path, empty_results: Path, run: Command
) -> None:
    (decathlon / "dataset.json").write_text(content)
    assert words in run(*HIPPOCAMPUS, f"dataset.root={decathlon}", at(empty_results)).line
    assert_nothing_written(empty_results)


def forget_labels(root: Path, count: int) -> None:
    listing = root / "dataset.json"
    entries = json.loads(listing.read_text())["training"]
    for entry in entries[:count]:
        del entry["label"]
    listing.write_text(json.dumps({"training": entries}))


def test_labels_for_some_subjects_only(decathlon: Path, empty_results: Path, run: Command) -> None:
    forget_labels(decathlon, 4)
    line = run(*HIPPOCAMPUS, f"dataset.root={decathlon}", at(empty_results)).line
    assert "labels, unlike the first subject. Give labels to all subjects or to none." in line
    assert_nothing_written(empty_results)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (["metric=ncc_sup"], "labels: needs labels, but the data set has none"),
        (
            ["metric=deepsim_seg", "metric.levels=[1,2]"],
            "its extractor learns from labels, but the data set has none",
        ),
        (["metric=dice"], "needs labels, but the data set has none"),
        (["metric=mse", "metric.mask=labels"], "needs labels, but the data set has none"),
        (
            ["metric=mse", "metric.mask=foreground", "dataset.added_noise=0.1"],
            "dataset.added_noise makes the whole image foreground, so metric.mask=foreground "
            "selects everything",
        ),
        (["metric=ncc", "metric.mask=labels"], "needs labels, but the data set has none"),
        (
            ["metric=deepsim_ae", "metric.levels=[1,2]", "metric.mask=labels"],
            "needs labels, but the data set has none",
        ),
    ],
)
def test_metric_that_needs_labels_is_refused_without_them(
    metric: list[str], reason: str, decathlon: Path, empty_results: Path, run: Command
) -> None:
    forget_labels(decathlon, 10)
    line = run(*HIPPOCAMPUS, *metric, f"dataset.root={decathlon}", at(empty_results)).line
    name = metric[0].partition("=")[2]
    assert line == (
        f"metric={name} cannot be used on dataset=hippocampus: {reason}. Choose another metric or "
        "data set."
    )
    assert run_folders(empty_results) == []
    assert not (empty_results / "extractors").exists()


@pytest.mark.parametrize(
    "metric",
    [
        ["metric=keypoints"],
        [
            "metric=sum",
            "~metric.terms.deepsim_ae",
            "+metric.terms.points._target_=bench.similarity.Keypoints",
            "~metric.factors.deepsim_ae",
            "+metric.factors.points=1",
        ],
    ],
)
def test_metric_that_needs_landmarks_is_refused_without_them(
    metric: list[str], decathlon: Path, empty_results: Path, run: Command
) -> None:
    name = metric[0].partition("=")[2]
    arguments = [argument for argument in HIPPOCAMPUS if not argument.startswith("metric=")]
    line = run(*arguments, *metric, f"dataset.root={decathlon}", at(empty_results)).line
    assert line == (
        f"metric={name} cannot be used on dataset=hippocampus: needs landmarks, but the data set "
        "has none. Choose another metric or data set."
    )
    assert run_folders(empty_results) == []


def test_metric_without_labels_runs_and_records_no_dice(
    decathlon: Path, empty_results: Path, run: Command, bench: Command
) -> None:
    forget_labels(decathlon, 10)
    outcome = run(*HIPPOCAMPUS, f"dataset.root={decathlon}", at(empty_results))
    assert outcome.code == 0, outcome.err
    folder = only_run(empty_results)
    scores = read_summary(folder)["scores"]
    for name in ("dice", "dice_published", "hd95"):
        assert name not in scores
    assert scores["folding"]["n"] == 2
    assert "dice" not in read_rows(folder / "pairs.csv")[0]
    assert (folder / "figure.png").exists()
    (row,) = json.loads(bench("runs", "--results", str(empty_results), "--format", "json").out)
    assert (row["status"], "dice" in row) == ("finished", False)
    assert bench("runs", "--results", str(empty_results)).code == 0


def test_results_below_a_file_name_another_folder(tmp_path: Path, run: Command) -> None:
    file = tmp_path / "file"
    file.write_text("taken")
    for results in (file, file / "results"):
        line = run("metric=mse", *DEMO, at(results)).line
        assert line == (
            f"Cannot write {results}: {file} is a file where a folder belongs. Choose another "
            "folder with results_dir=DIR."
        )
    assert file.read_text() == "taken"


@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1"]])
def test_results_where_no_folder_can_be_made_name_another(sweep: list[str], run: Command) -> None:
    line = run(*sweep, "metric=mse", *DEMO, "results_dir=/proc/nowhere").line
    assert line.startswith("Cannot write /proc/nowhere: No such file or directory.")


def test_full_disk_names_the_file_and_leaves_nothing_half_written(
    results: Path, run: Command, bench: Command
) -> None:
    assert run("metric=mse", *DEMO, at(results)).code == 0
    finished = only_run(results)
    command = ["metric=mse", "seed=1", *DEMO, at(results)]
    limit = 30 * 1024  # the weights fit, the training's state does not

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    outcome = run_process(*command, before=limit_file_size)
    (folder,) = set(run_folders(results)) - {finished}
    assert outcome.code == 1
    assert outcome.line == (
        f"Cannot write {folder / 'last.pt'}: File too large. Free space, permit writing, or "
        "choose another folder with results_dir=DIR. Finished runs are safe; the same command "
        "continues from the last saved state."
    )
    assert list(results.rglob("*.partial")) == []
    rows = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert {row["seed"]: row["status"] for row in rows} == {0: "finished", 1: "failed"}
    assert read_summary(finished)["status"] == "finished"
    assert run(*command).code == 0
    assert read_summary(folder)["status"] == "finished"


NAN = [*custom("NanFrom"), *DEMO]


def test_loss_that_is_not_finite_stops_the_run_and_is_recorded(
    results: Path, run: Command, bench: Command
) -> None:
    line = run(*NAN, "+metric.first=4", at(results)).line
    assert line.startswith("custom on demo: loss is nan at step 4. Try a lower trainer.lr (now ")
    assert "trainer.precision=float32" in line
    assert "a larger regularizer.weight (now 1)" in line
    folder = only_run(results)
    assert not (folder / "summary.json").exists()
    traceback = (folder / "traceback.txt").read_text()
    assert traceback.startswith("Traceback")
    assert traceback.rstrip().endswith(line)
    (row,) = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert (row["status"], row["metric"], row["error"]) == ("failed", "custom", line)
    assert line in bench("runs", "--results", str(results)).out


def test_a_displacement_that_is_not_finite_is_no_result(results: Path, run: Command) -> None:
    settings = [option for option in DEMO if not option.startswith("model.")]
    line = run(*custom("LaterNan"), *settings, "model=direct", at(results)).line
    assert re.match(r"The displacement of \S+ to \S+ has NaN or infinite values\.", line)
    assert not (only_run(results) / "summary.json").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("dataset.root=2024", "dataset.root=2024: is not a path. Write dataset.root=./2024."),
        ("dataset.root=[a]", "dataset.root=[a]: is not a path. Name one folder."),
        ("dataset.root=0", "dataset.root=0: is not a path. Write dataset.root=./0."),
        ("results_dir=77", "results_dir=77: is not a path. Write results_dir=./77."),
        ("dataset.name=2024", "dataset.name=2024: is a number. Begin it with a letter."),
    ],
)
def test_a_number_is_no_path_and_no_name(
    setting: str, words: str, empty_results: Path, run: Command
) -> None:
    assert run("dataset=nifti", "metric=mse", at(empty_results), setting).line == words
    assert_nothing_written(empty_results)


def test_failed_run_is_tried_again_by_the_same_command(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*custom("Disturbed"), *DEMO, at(results)]
    monkeypatch.setenv("TEST_DISTURBANCE", "error:3")
    line = run(*command).line
    assert line.startswith("RuntimeError: the metric broke (")
    assert re.search(r"custom_parts\.py:\d+; HYDRA_FULL_ERROR=1 shows the traceback\)$", line)
    folder = only_run(results)
    assert (folder / "traceback.txt").exists()
    monkeypatch.delenv("TEST_DISTURBANCE")
    assert run(*command).code == 0
    assert read_summary(folder)["status"] == "finished"
    assert not (folder / "traceback.txt").exists()
    assert not (folder / "failure.json").exists()


def test_failed_run_does_not_stop_a_sweep(results: Path, run: Command, bench: Command) -> None:
    outcome = run("-m", *NAN, "+metric.first=4,1000", "seed=0,1", at(results))
    assert outcome.code == 1
    failed = [line for line in outcome.err.splitlines() if "loss is nan at step 4" in line]
    assert len(failed) >= 2
    assert "Traceback" not in outcome.err
    rows = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert sorted((row["status"], row["seed"]) for row in rows) == [
        ("failed", 0),
        ("failed", 1),
        ("finished", 0),
        ("finished", 1),
    ]


def test_combination_that_cannot_work_is_a_skipped_row_in_a_sweep(
    results: Path, run: Command, bench: Command
) -> None:
    outcome = run("-m", "metric=vgg,mse", *DEMO3D, at(results))
    assert outcome.code == 0, outcome.err
    reason = "metric=vgg cannot be used on dataset=demo3d: VGG-16 is a 2D network"
    assert reason in outcome.err
    rows = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    found = {row["metric"]: row for row in rows}
    assert {name: row["status"] for name, row in found.items()} == {
        "mse": "finished",
        "vgg": "skipped",
    }
    assert found["vgg"]["error"].startswith(reason)
    assert not (results / "weights").exists()


def test_full_error_keeps_the_traceback(results: Path) -> None:
    """The way out for whoever needs more than one line."""
    full = {"HYDRA_FULL_ERROR": "1"}
    outcome = run_process("metric=mse", *DEMO, "seed=one", at(results), environment=full)
    assert outcome.code == 1
    assert "Traceback (most recent call last)" in outcome.err
    assert outcome.err.rstrip().endswith(
        "ConfigError: seed=one: must be a whole number of at least 0."
    )
