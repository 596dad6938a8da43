"""The data set histology: from a clone of its repository, by the lines of its README."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conf_options import experiment
from PIL import Image

from bench.config.groups import CONF
from bench.data.check import check
from bench.data.setup import make_source

README = CONF.parent / "datasets" / "histology" / "README.md"
STAINS = ("CD31-3", "Cc10-5", "HE-4", "Ki67-7", "proSPC-4")  # with the number of the section


@pytest.fixture
def clone(tmp_path):
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
    return images.parents[2]


def test_the_lines_of_the_readme_lay_a_clone_out(clone, tmp_path):
    block = [line[6:] for line in README.read_text().splitlines() if line.startswith(" " * 6)]
    script, root = tmp_path / "lay_out.py", tmp_path / "histology"
    script.write_text("\n".join(block))
    subprocess.run([sys.executable, script, root], cwd=clone, check=True, env=os.environ)
    overrides = ["dataset=histology", f"dataset.root={root}", "dataset.shape=[56,64]"]
    source = make_source(experiment(overrides))
    subjects = source.subjects()
    assert subjects[0].id == "images/CD31.jpg"
    assert len(subjects) == 5
    assert len(source.given_pairs()["test"]) == 10
    raw = source.read(subjects[1])
    sample = source.preprocess(subjects[1], raw)
    assert sample.image.shape == (1, 56, 64)
    first = sample.landmarks.points[0]  # x = 21.1, y = 28; 3 columns and, of 61, 3 rows are cut off
    np.testing.assert_allclose(first, [28 - 3, 21.1 - 3], atol=1e-6)
    report = check(source)
    assert not report.faults
    assert report.splits["test"].pairs == 10
