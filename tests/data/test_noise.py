"""`dataset.added_noise`: the same noise for a subject each time, in arrays and in the identity."""

import numpy as np
import pytest
from image_files import write_tiff

from bench.data import TiffStacks, prepare
from bench.data.cache.preparing import cache_folder
from bench.data.sources.source import Source
from bench.data.sources.subject import SPLITS
from bench.errors import ConfigError

PIXELS = (80, 90)


def stacks(root, **settings):
    if not (root / "images.tif").exists():
        random = np.random.default_rng(0)
        write_tiff(root / "images.tif", random.integers(0, 256, (6, *PIXELS)).astype(np.uint8))
    return TiffStacks(
        name="stacks",
        ndim=2,
        root=root,
        splits={
            split: {"images": "images.tif", "slices": [2 * i, 2 * i + 2]}
            for i, split in enumerate(SPLITS)
        },
        pairs=dict.fromkeys(SPLITS, "cross"),
        **settings,
    )


@pytest.mark.parametrize("cached", [True, False])
def test_images_differ_by_the_noise_that_was_asked_for(tmp_path, cached):
    cache = tmp_path / "cache" if cached else None
    clean = prepare(stacks(tmp_path), cache)
    weak, strong = (prepare(stacks(tmp_path, added_noise=level), cache) for level in (0.1, 0.2))
    kept = [d.images[i][0].astype(float) for d in (clean, weak, strong) for i in (0, 1)]
    first, second = kept[2] - kept[0], kept[3] - kept[1]
    for noise in (first, second):
        assert noise.std() == pytest.approx(0.1, rel=0.05)
        assert abs(noise.mean()) < 0.005
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05
    assert kept[4] - kept[0] == pytest.approx(2 * first, abs=0.005)


def test_it_is_the_same_each_time(tmp_path):
    subject = stacks(tmp_path).subjects()[0]
    once, again = (stacks(tmp_path, added_noise=0.1).sample(subject).image for _ in range(2))
    assert np.array_equal(once, again)


def kinds_of(source):
    return [kind for one in source.__subclasses__() for kind in (one, *kinds_of(one))]


@pytest.mark.parametrize("kind", kinds_of(Source), ids=lambda kind: kind.__name__)
def test_no_kind_of_source_means_something_else_by_a_setting_of_all(kind):
    """The demo has noise of its scanner besides, under another name."""
    kinds, common = vars(kind).get("__annotations__", {}), Source.__annotations__
    assert {name: kinds[name] for name in kinds if name in common} == {
        name: common[name] for name in kinds if name in common
    }


def test_it_counts_where_it_is_asked_for(tmp_path):
    plain, noisy = stacks(tmp_path), stacks(tmp_path, added_noise=0.1)
    assert "added_noise" not in plain.settings()
    folders = {cache_folder(source, source.subjects(), tmp_path) for source in (plain, noisy)}
    assert len(folders) == 2


@pytest.mark.parametrize("noise", [0, -0.1, float("nan"), "0.1", True, 1e5])
def test_other_values_are_refused(tmp_path, noise):
    with pytest.raises(ConfigError, match=r"^dataset.added_noise=.*: must be a number above 0"):
        stacks(tmp_path, added_noise=noise)
