"""What a class outside the suite changes: its options, and its file."""

import importlib
import sys
from pathlib import Path

import pytest
from conf_options import experiment

from bench.config.extractors import extractor_sections
from bench.config.identity import digest, extractor_identity, run_identity
from bench.config.imports import imported_from_beside
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
    for name in ("outside_part", "lab"):
        sys.modules.pop(name, None)


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


IMPORTS = {  # files of a package `lab` and beside it, and how `lab.metric` reaches `edited`
    "beside": ("helper.py", {"lab/metric.py": "import helper\n"}),
    "from beside": ("helper.py", {"lab/metric.py": "from helper import thing\n"}),
    "package": ("lab/helper.py", {"lab/metric.py": "from lab import helper\n"}),
    "relative": ("lab/helper.py", {"lab/metric.py": "from . import helper\n"}),
    "of its class": ("lab/__init__.py", {"lab/metric.py": ""}),
    "parent": ("tools/__init__.py", {"lab/metric.py": "import tools.deep\n", "tools/deep.py": ""}),
    "in a function": (
        "lab/helper.py",
        {"lab/metric.py": "def later():\n    from .helper import thing\n"},
    ),
    "two away": (
        "lab/parts/far.py",
        {
            "lab/metric.py": "from .parts import near\n",
            "lab/parts/near.py": "from ..parts.far import thing\nfrom .. import metric\n",
        },
    ),
}


@pytest.mark.parametrize("reached", IMPORTS)
def test_editing_what_a_file_imports_makes_another_run(reached, module):
    edited, files = IMPORTS[reached]
    folder = module.parent
    for name, text in {"lab/__init__.py": "", edited: "", "other.py": "", **files}.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text + "class Thing: ...\n" * (file.name == "metric.py"))
    importlib.invalidate_caches()
    chosen = ["metric._target_=lab.metric.Thing"]
    before = identities(chosen)
    (folder / "other.py").write_text("edited = True\n")  # which nothing imports
    assert identities(chosen) == before
    (folder / edited).write_text("edited = True\n")
    sys.modules.pop("lab", None)  # as in the next process
    assert identities(chosen) != before


def test_library_beside_an_installed_class_does_not_count(tmp_path):
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "library.py").write_text("")
    assert imported_from_beside("mine", installed / "mine.py", b"import library") == {}
    assert imported_from_beside("mine", tmp_path / "mine.py", b"import library, json") == {}


def test_folder_of_a_package_may_have_another_name(tmp_path):
    for name in ("source/__init__.py", "source/parts/__init__.py", "source/helper.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    file, text = tmp_path / "source" / "parts" / "metric.py", b"from lab.helper import thing"
    found = imported_from_beside("lab.parts.metric", file, text)
    assert sorted(found) == ["lab", "lab.helper", "lab.parts"]
    assert found["lab.helper"] == tmp_path / "source" / "helper.py"


def test_file_without_valid_syntax_imports_nothing(tmp_path):
    (tmp_path / "helper.py").write_text("")
    file = tmp_path / "mine.py"
    assert list(imported_from_beside("mine", file, b"import helper")) == ["helper"]
    assert imported_from_beside("mine", file, b"import helper\nclass") == {}
    assert imported_from_beside("mine", file, b"import helper\0") == {}


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


def test_editing_what_the_file_of_a_data_set_imports_makes_another_cache(module):
    helper = module.with_name("outside_helper.py")
    module.write_text(SOURCE + "def later():\n    import outside_helper\n")
    helper.write_text("")
    importlib.invalidate_caches()
    before = gamma()
    assert before == gamma()
    helper.write_text("edited = True\n")
    assert gamma()[0] != before[0]
