"""Data that many tests share."""

import locale
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conf_options import in_contrasts, tiny_experiment

from bench.data import PreparedDataset, prepare
from bench.data.setup import make_source
from bench.extractors.vgg import VGG16

# As many processes test as there are cores, and sums vary with the number of threads.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start


@pytest.fixture(scope="session")
def tiny_datasets(tmp_path_factory) -> dict[int, PreparedDataset]:
    """The demo by number of axes: 3 training, 2 validation and 2 test subjects, odd sizes."""
    cache = tmp_path_factory.mktemp("cache")
    return {ndim: prepare(make_source(tiny_experiment(ndim)), cache) for ndim in (2, 3)}


@pytest.fixture(scope="session")
def datasets_of_channels(tiny_datasets, tmp_path_factory) -> dict[tuple[int, int], PreparedDataset]:
    """The same by number of axes and of channels, which are different contrasts."""
    cache = tmp_path_factory.mktemp("cache")
    found = {(ndim, 1): dataset for ndim, dataset in tiny_datasets.items()}
    for ndim, channels in ((2, 2), (2, 3), (3, 2)):
        experiment = tiny_experiment(ndim, *in_contrasts(channels))
        found[ndim, channels] = prepare(make_source(experiment), cache)
    return found


@pytest.fixture(scope="session")
def vgg_weights(tmp_path_factory) -> Path:
    """A state dict with the keys of the official VGG-16 file, and random values."""
    torch.manual_seed(0)
    network = VGG16()
    state = {f"features.{name[10:]}": value for name, value in network.state_dict().items()}
    # what follows relu3_3 is in the official file, and never read
    rest = [f"features.{number}" for number in (17, 19, 21, 24, 26, 28)]
    rest += [f"classifier.{number}" for number in (0, 3, 6)]
    state |= {f"{name}.{kind}": torch.zeros(1) for name in rest for kind in ("weight", "bias")}
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets."""
    if "BENCH_DATA" not in os.environ:
        pytest.skip("needs real data: BENCH_DATA=FOLDER with hippocampus/ and brain_slab/")
    return Path(os.environ["BENCH_DATA"])


@pytest.fixture(scope="session")
def real_set(real_data: Path) -> Callable[[str], Path]:
    """Gives the folder of a real data set by its name."""

    def folder(name: str) -> Path:
        if not (real_data / name).is_dir():
            pytest.skip(f"BENCH_DATA={real_data} has no folder {name}")
        return real_data / name

    return folder


@pytest.fixture(autouse=True)
def _locale_as_before():
    """ITK's writing of DICOM changes the locale, and so the text encoding of later tests."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)
