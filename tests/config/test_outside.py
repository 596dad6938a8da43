"""What a class outside the suite changes: its options, and its file."""

import importlib
import sys
from pathlib import Path

import pytest
from conf_options import experiment

from bench.config.extractors import extractor_sections
from bench.config.identity import digest, extractor_identity, run_identity
from bench.data.cache.preparing import cache_folder
from bench.data.setup import make_source

DATA = {"fingerprint": "f", "settings": {}}
SOURCE = """
from dataclasses import dataclass
from bench.data import Demo

@dataclass(kw_only=True)
class Gamma(Demo):
    gamma: float = 1.0
    note: str = ""
    HARMLESS = Demo.HARMLESS | {"note"}
"""
TARGETS = {
    "task": ["task._target_=outside_part.Thing"],
    "metric": ["metric._target_=outside_part.Thing"],
    "regularizer": ["regularizer._target_=outside_part.Thing"],
    "model": ["model._target_=outside_part.Thing"],
    "extractor": ["metric=deepsim_ae", "metric.extractor._target_=outside_part.Thing"],
    "pretrained": ["metric=vgg", "metric.extractor._target_=outside_part.Thing"],
}


@pytest.fixture
def module(tmp_path, monkeypatch) -> Path:
    """The file of a module outside the suite, which can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield tmp_path / "outside_part.py"
    sys.modules.pop("outside_part", None)


def identities(overrides):
    """Of the run, and of its extractors."""
    composed = experiment(overrides)
    extractors = {
        place: digest(extractor_identity(composed, section, DATA))
        for place, section in extractor_sections(composed["metric"])
    }
    return digest(run_identity(composed, DATA, extractors)), extractors


@pytest.mark.parametrize("group", TARGETS)
def test_editing_the_file_of_a_class_makes_another_run(group, module):
    module.write_text("class Thing: ...\n")
    importlib.invalidate_caches()
    before, same = identities(TARGETS[group]), identities(TARGETS[group])
    module.write_text("class Thing: better = True\n")
    after = identities(TARGETS[group])
    assert before == same
    assert before[0] != after[0]
    for place, identity in before[1].items():
        assert identity != after[1][place]


def test_class_counts_as_the_process_imported_it(module):
    module.write_text("class Thing: ...\n")
    importlib.invalidate_caches()
    earlier = identities(TARGETS["metric"])
    module.write_text("class Thing: better = True\n")
    before = identities(TARGETS["metric"])
    importlib.import_module("outside_part")
    module.write_text("class Thing: worse = True\n")  # edited while a sweep runs
    assert identities(TARGETS["metric"]) == before != earlier
    del sys.modules["outside_part"]
    assert identities(TARGETS["metric"]) != before


def gamma(*overrides):
    """Cache folder, settings and fingerprint of a data set of the user's."""
    target = ["dataset._target_=outside_part.Gamma", *overrides]
    source = make_source(experiment(["dataset.resolution=8", "dataset.shape=[8,8]", *target]))
    subjects = source.subjects()
    return cache_folder(source, subjects, Path("cache")), source.fingerprint(subjects)


def test_option_of_a_data_set_counts_unless_it_is_named_harmless(module):
    module.write_text(SOURCE)
    importlib.invalidate_caches()
    one, three = gamma("+dataset.gamma=1.0"), gamma("+dataset.gamma=3.0")
    assert one == gamma()
    assert one[0] != three[0]
    assert one[1] != three[1]
    assert gamma("+dataset.note=changed") == one


def test_editing_the_file_of_a_data_set_makes_another_cache(module):
    module.write_text(SOURCE)
    importlib.invalidate_caches()
    before = gamma()
    assert before == gamma()
    module.write_text(SOURCE + "# another\n")
    del sys.modules["outside_part"]  # as in the next process
    after = gamma()
    assert before[0] != after[0]
    assert before[1] != after[1]
