"""Data sets that are made of a clone: `bench data prepare NAME --clone FOLDER`."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conf_options import experiment
from image_files import write_tiff
from PIL import Image

from bench.data.check import check
from bench.data.getting.obtain import obtain
from bench.data.setup import make_source
from bench.errors import DataError

STAINS = ("CD31-3", "Cc10-5", "HE-4", "Ki67-7", "proSPC-4")  # with the number of the section
VALUES = {0: (0, 32, 64, 96, 128, 159), 1: (223, 255), 2: (191,)}  # of a source, by class


@pytest.fixture
def histology(tmp_path):
    """A repository like the one that is cloned: at 5 %, with landmarks placed at 50 %."""
    images = tmp_path / "clone" / "dataset" / "lung-lesion_3" / "scale-5pc"
    annotations = tmp_path / "clone" / "annotations" / "lung-lesion_3" / "user-PS_scale-50pc"
    for folder in (images, annotations):
        folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number, stain in enumerate(STAINS):
        name = f"29-041-Izd2-w35-{stain}-les3"
        noise = random.integers(0, 256, (60 + number % 2, 70, 3), np.uint8)
        Image.fromarray(noise).save(images / f"{name}.jpg")
        rows = [f"{i},{200 + 10 * i + number},{300 - 20 * i}" for i in range(1, 6)]
        (annotations / f"{name}.csv").write_text("\n".join([",X,Y", *rows]) + "\n")
    return tmp_path / "clone"


def write_em_vnc(clone, sections, classes):
    """A repository of sections (20, H, W), whose classes have values of the source."""
    random = np.random.default_rng(0)
    (clone / "stack1" / "labels").mkdir(parents=True)
    for number, (section, ids) in enumerate(zip(sections, classes, strict=True)):
        write_tiff(clone / "stack1" / "raw" / f"{number:02d}.tif", section)
        values = np.zeros(ids.shape, np.uint8)
        for label, choices in VALUES.items():
            values = np.where(ids == label, random.choice(choices, ids.shape), values)
        path = clone / "stack1" / "labels" / f"labels{number:08d}.png"
        Image.fromarray(values.astype(np.uint8)).save(path)
    return clone


@pytest.fixture
def em_vnc(tmp_path):
    random = np.random.default_rng(1)
    sections = random.integers(0, 256, (20, 24, 30), np.uint8)
    return write_em_vnc(tmp_path / "clone", sections, random.integers(0, 3, sections.shape))


def prepared(name, clone, root, *overrides):
    chosen = experiment([f"dataset={name}", f"dataset.root={root}", *overrides])
    source = make_source(chosen)
    obtain(source, chosen["dataset"]["about"], None, clone)
    return source


def test_histology_is_made_of_a_clone(histology, tmp_path):
    source = prepared("histology", histology, tmp_path / "set", "dataset.shape=[56,64]")
    subjects = source.subjects()
    assert subjects[0].id == "images/CD31.jpg"
    assert len(subjects) == 5
    assert len(source.given_pairs()["test"]) == 10
    original = next((histology / "dataset" / "lung-lesion_3" / "scale-5pc").glob("*CD31*"))
    assert subjects[0].image.read_bytes() == original.read_bytes()
    sample = source.preprocess(subjects[1], source.read(subjects[1]))
    assert sample.image.shape == (1, 56, 64)
    first = sample.landmarks.points[0]  # x = 21.1, y = 28; 3 columns and, of 61, 3 rows are cut off
    np.testing.assert_allclose(first, [28 - 3, 21.1 - 3], atol=1e-6)
    report = check(source)
    assert not report.faults
    assert report.splits["test"].pairs == 10


def test_em_vnc_is_made_of_a_clone(em_vnc, tmp_path):
    source = prepared("em_vnc", em_vnc, tmp_path / "set")
    counts = {split: found.subjects for split, found in check(source).splits.items()}
    assert counts == {"train": 12, "val": 4, "test": 4}
    subject = source.subjects()[13]
    assert (subject.split, subject.place) == ("val", 1)
    raw = source.read(subject)
    assert np.array_equal(raw.image[0], tifffile.imread(em_vnc / "stack1" / "raw" / "13.tif"))
    values = np.asarray(Image.open(em_vnc / "stack1" / "labels" / "labels00000013.png"))
    for label, choices in VALUES.items():
        assert np.array_equal(raw.labels == label, np.isin(values, choices))


def test_em_vnc_of_its_sections_is_the_real_set(real_set, tmp_path):
    real = real_set("em_vnc")
    stacks = [
        np.concatenate(
            [tifffile.imread(real / what / f"{s}.tif") for s in ("train", "val", "test")]
        )
        for what in ("images", "labels-class")
    ]
    root = tmp_path / "set"
    prepared("em_vnc", write_em_vnc(tmp_path / "clone", *stacks), root)
    for path in sorted(root.rglob("*.tif")):
        there = tifffile.imread(real / path.relative_to(root))
        assert np.array_equal(tifffile.imread(path), there), path


def spoil_label(clone):
    path = clone / "stack1" / "labels" / "labels00000007.png"
    Image.fromarray(np.full((24, 30), 7, np.uint8)).save(path)


def lose_section(clone):
    (clone / "stack1" / "raw" / "03.tif").unlink()


def cut_section(clone):
    write_tiff(clone / "stack1" / "raw" / "14.tif", np.zeros((24, 20), np.uint8))


def lose_folder(clone):
    (clone / "stack1" / "labels").rename(clone / "stack1" / "other")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_label, r"labels00000007.png: has the label 7; known are 0, 32, 64, 96, 128, 159"),
        (lose_section, r"raw: has 19 sections of 20. Clone the repository again"),
        (cut_section, r"labels00000014.png: has \(24, 30\) pixels, but its image 14.tif has"),
        (lose_folder, r"--clone .*clone: has no folder stack1/labels. Name the folder of the clo"),
    ],
)
def test_clone_that_lacks_something_leaves_no_set_behind(em_vnc, tmp_path, spoil, words):
    spoil(em_vnc)
    with pytest.raises(DataError, match=words) as raised:
        prepared("em_vnc", em_vnc, tmp_path / "set")
    assert "\n" not in str(raised.value)
    assert not [path for path in (tmp_path / "set").iterdir() if path.name[0] != "."]


def test_landmarks_that_are_missing_or_broken_are_told(histology, tmp_path):
    annotations = histology / "annotations" / "lung-lesion_3" / "user-PS_scale-50pc"
    path = next(annotations.glob("*HE*"))
    path.write_text(",X,Y\n1,2,three\n")
    with pytest.raises(DataError, match=r"HE-4-les3.csv: is no table of index, X and Y"):
        prepared("histology", histology, tmp_path / "set")
    path.unlink()
    with pytest.raises(DataError, match=r"HE-4-les3.csv: no such file. Clone the repository ag"):
        prepared("histology", histology, tmp_path / "set")


def test_set_that_is_made_of_no_clone_says_so(em_vnc, tmp_path):
    with pytest.raises(DataError, match="not go with dataset phc_u373: it is not made from"):
        prepared("phc_u373", em_vnc, tmp_path / "set")
    with pytest.raises(DataError, match=r"not made from a clone\. Clone github\.com/muschellij2/"):
        prepared("ms_longitudinal", em_vnc, tmp_path / "set")
    with pytest.raises(DataError, match="--clone gone: no such folder"):
        prepared("em_vnc", Path("gone"), tmp_path / "set")
    (tmp_path / "file").touch()
    with pytest.raises(
        DataError, match=r"--clone .*file: is a file\. Name the folder of the clone"
    ):
        prepared("em_vnc", tmp_path / "file", tmp_path / "set")


def test_prepared_set_in_place_of_a_clone_is_named(em_vnc, tmp_path):
    prepared("em_vnc", em_vnc, tmp_path / "set")
    ready = tmp_path / "set"
    words = (
        f"--clone {ready}: this is the prepared data set; dataset.root={ready} uses it in place."
    )
    with pytest.raises(DataError, match=f"^{re.escape(words)}$"):
        prepared("em_vnc", ready, tmp_path / "other")
